"""Blobs to and from a node: the HTTP requests of the node agent, and the service's failure codes when they fail.

Codes: REST reference, "Batch status and error codes" (Blob...) and .NET TaskFailureInformationCodes (FileUpload...,
ResourceContainer...). No recording of any of these failures was found: the details are ours.
"""

from __future__ import annotations

import ssl
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from .model import Failure

AGENT = 'local-azure-node'
CHUNK = 1 << 18
TRIES = 3
TLS = ssl.create_default_context()  # whom the nodes trust
_OPENER = urllib.request.build_opener(  # loopback never goes through a proxy
    urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=TLS)
)
_BLOB = {
    'BlobNotFound': 'One of the specified Azure Blob(s) is not found.',
    'BlobAccessDenied': 'Access for one of the specified Azure Blob(s) is denied.',
    'BlobDownloadTimedOut': 'The download of one of the specified Azure Blob(s) timed out.',
    'BlobDownloadMiscError': 'Unknown error in downloading one of the specified Azure Blob(s).',
    'ResourceContainerAccessDenied': 'Access to one of the specified Azure Blob container(s) is denied.',
    'ResourceContainerListMiscError': 'Unknown error in listing one of the specified Azure Blob container(s).',
}
_UPLOAD = {
    'FileUploadContainerNotFound': 'A container for output files was not found',
    'FileUploadAccessDenied': 'Access to a container for output files was denied',
    'FileUploadTimedOut': 'The upload of an output file timed out',
    'FileUploadMiscError': 'A miscellaneous error was encountered while uploading one of the output files',
}


class TransferError(Exception):
    """A transfer that failed for good, as the task's failureInfo shows it."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.code)


def _failure(texts: dict[str, str], code: str, **details: str) -> TransferError:
    category = (
        'ServerError' if code.endswith(('MiscError', 'TimedOut')) and not code.startswith('FileUpload') else 'UserError'
    )
    return TransferError(Failure(code, texts[code], category, tuple(details.items())))


def _request(method: str, url: str, body: IO[bytes] | None, length: int, headers: dict[str, str]) -> IO[bytes]:
    """The response; repeats what a server error or a lost connection broke off, a little later each time."""
    for attempt in range(TRIES):
        if body:
            body.seek(0)
        request = urllib.request.Request(url, body, {'User-Agent': AGENT, **headers}, method=method)  # noqa: S310
        if body:
            request.add_unredirected_header('Content-Length', str(length))
        try:
            response: IO[bytes] = _OPENER.open(request, timeout=60)
        except urllib.error.HTTPError as error:
            if error.code < 500 or attempt == TRIES - 1:
                raise
            error.close()
        except (urllib.error.URLError, ConnectionError):
            if attempt == TRIES - 1:
                raise
        else:
            return response
        time.sleep(0.05 * 2**attempt)
    raise AssertionError('unreachable')


def download(url: str, path: Path) -> None:
    """Fetches one blob into a file."""
    details = {'BlobSource': url, 'FilePath': path.name}
    try:
        with _request('GET', url, None, 0, {}) as response, path.open('wb') as file:
            while chunk := response.read(CHUNK):
                file.write(chunk)
    except urllib.error.HTTPError as error:
        error.close()
        code = {404: 'BlobNotFound', 403: 'BlobAccessDenied', 401: 'BlobAccessDenied'}.get(error.code)
        raise _failure(_BLOB, code or 'BlobDownloadMiscError', **details) from error
    except TimeoutError as error:
        raise _failure(_BLOB, 'BlobDownloadTimedOut', **details) from error
    except (OSError, ValueError) as error:
        if isinstance(error, (urllib.error.URLError, ConnectionError, ValueError)):
            raise _failure(_BLOB, 'BlobDownloadMiscError', **details) from error
        failure = Failure('ResourceFileWriteFailed', f'A resource file could not be written: {error}', 'ServerError')
        raise TransferError(failure) from error


def blob_url(container_url: str, name: str) -> str:
    """The URL of a blob in a container whose URL carries a SAS."""
    parts = urlsplit(container_url)
    return urlunsplit(parts._replace(path=f'{parts.path.rstrip("/")}/{quote(name)}'))


def list_blobs(container_url: str, prefix: str) -> Iterator[str]:
    """Names of a container's blobs; the SAS needs read and list (SDK14 ResourceFile.storage_container_url)."""
    parts, marker = urlsplit(container_url), ''
    while True:
        query = urlencode({'restype': 'container', 'comp': 'list', 'prefix': prefix, 'marker': marker})
        url = urlunsplit(parts._replace(query=f'{parts.query}&{query}'))
        try:
            with _request('GET', url, None, 0, {}) as response:
                root: Any = ET.fromstring(response.read())  # noqa: S314 - it comes from our own Azurite
        except urllib.error.HTTPError as error:
            error.close()
            denied = error.code in (401, 403)
            code = 'ResourceContainerAccessDenied' if denied else 'ResourceContainerListMiscError'
            raise _failure(_BLOB, code, ContainerSource=container_url) from error
        except (OSError, ValueError) as error:
            raise _failure(_BLOB, 'ResourceContainerListMiscError', ContainerSource=container_url) from error
        yield from (name.text or '' for name in root.iterfind('Blobs/Blob/Name'))
        marker = root.findtext('NextMarker') or ''
        if not marker:
            return


def refused_upload(blob: str) -> TransferError:
    return _failure(_UPLOAD, 'FileUploadAccessDenied', FilePath=blob)


def upload(container_url: str, name: str, file: IO[bytes], length: int) -> None:
    """Puts one blob; the SAS needs write (SDK14 OutputFileBlobContainerDestination.container_url)."""
    headers = {'x-ms-blob-type': 'BlockBlob', 'Content-Type': 'application/octet-stream'}
    try:
        _request('PUT', blob_url(container_url, name), file, length, headers).close()
    except urllib.error.HTTPError as error:
        error.close()
        code = {404: 'FileUploadContainerNotFound', 403: 'FileUploadAccessDenied', 401: 'FileUploadAccessDenied'}
        raise _failure(_UPLOAD, code.get(error.code, 'FileUploadMiscError'), FilePath=name) from error
    except TimeoutError as error:
        raise _failure(_UPLOAD, 'FileUploadTimedOut', FilePath=name) from error
    except (OSError, ValueError) as error:
        raise _failure(_UPLOAD, 'FileUploadMiscError', FilePath=name) from error
