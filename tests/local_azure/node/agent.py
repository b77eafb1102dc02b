"""Blobs to and from a node: the HTTP requests of the node agent, and the service's failure codes when they fail.

Blob..., Resource...Failed: REST reference, "Batch status and error codes". ResourceContainer...: Azure docs, managed
identities of a pool. FileUploadContainerNotFound: Azure docs, batch-task-output-files. The other FileUpload...: .NET
TaskFailureInformationCodes, with texts of ours. No recording of any of these was found: the details are ours.
"""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
import urllib3.exceptions

from tests.local_azure.batch.model import Failure

AGENT = 'local-azure-node'
CHUNK = 1 << 18
_TEXTS = {
    'BlobNotFound': 'One of the specified Azure Blob(s) is not found.',
    'BlobAccessDenied': 'Access for one of the specified Azure Blob(s) is denied.',
    'BlobDownloadTimedOut': 'Timeout encountered while downloading one of the specified Azure Blob(s).',
    'BlobDownloadMiscError': 'Miscellaneous error encountered while downloading one of the specified Azure Blob(s).',
    'ResourceContainerAccessDenied': 'Access for one of the specified Azure Blob container(s) is denied',
    'ResourceContainerListMiscError': 'Miscellaneous error encountered while listing one of the specified Azure Blob '
    'container(s)',
    'ResourceDirectoryCreateFailed': 'Failure encountered creating resource directory for the task.',
    'ResourceFileWriteFailed': 'Failure encountered writing resource file.',
    'FileUploadContainerNotFound': 'One of the specified Azure container(s) was not found while attempting to upload '
    'an output file',
    'FileUploadAccessDenied': 'Access to a container for output files was denied',
    'FileUploadTimedOut': 'The upload of an output file timed out',
    'FileUploadMiscError': 'A miscellaneous error was encountered while uploading one of the output files',
}
# The codes of each transfer by HTTP status; 500: anything else, 0: the node's own disk.
_MKDIR = {0: 'ResourceDirectoryCreateFailed'}
_DOWNLOAD = {
    404: 'BlobNotFound',
    403: 'BlobAccessDenied',
    408: 'BlobDownloadTimedOut',
    500: 'BlobDownloadMiscError',
}
_DOWNLOAD[0] = 'ResourceFileWriteFailed'
_LIST = {403: 'ResourceContainerAccessDenied', 500: 'ResourceContainerListMiscError'}
_UPLOAD = {
    404: 'FileUploadContainerNotFound',
    403: 'FileUploadAccessDenied',
    408: 'FileUploadTimedOut',
}
_UPLOAD[500] = 'FileUploadMiscError'


class TransferError(Exception):
    """A transfer that failed for good, as the task's failureInfo shows it."""

    def __init__(self, code: str, **details: str) -> None:
        ours = code.startswith(
            ('BlobDownload', 'ResourceContainerList', 'ResourceDirectory', 'ResourceFile')
        )
        self.failure = Failure(
            code, _TEXTS[code], 'ServerError' if ours else 'UserError', tuple(details.items())
        )
        super().__init__(code)


@contextmanager
def _failing(codes: dict[int, str], **details: str) -> Iterator[None]:
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        late = isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError))
        status = 408 if late else getattr(getattr(error, 'response', None), 'status_code', 500)
        raise TransferError(
            codes.get(403 if status == 401 else status, codes[500]), **details
        ) from error
    except (OSError, ValueError) as error:  # a name that no file or blob can have is a ValueError
        raise TransferError(codes.get(0) or codes[500], Reason=str(error), **details) from error


def blob_url(container_url: str, name: str) -> str:
    """The URL of a blob in a container whose URL carries a SAS."""
    path, _, sas = container_url.partition('?')
    return f'{path.rstrip("/")}/{quote(name)}?{sas}'


class Agent:
    """The HTTP client of the nodes; `authority`: whom they trust."""

    def __init__(self, authority: Path | None) -> None:
        self._session = requests.Session()
        self._session.trust_env = False  # loopback never goes through a proxy
        self._session.verify = str(authority) if authority else True
        self._session.headers.update({'User-Agent': AGENT})

    def close(self) -> None:
        self._session.close()

    def download(self, url: str, path: Path) -> None:
        """Fetches one blob into a file."""
        with _failing(_MKDIR, FilePath=path.name):
            path.parent.mkdir(parents=True, exist_ok=True)
        with (
            _failing(_DOWNLOAD, BlobSource=url, FilePath=path.name),
            self._request('GET', url, stream=True) as response,
            path.open('wb') as file,
        ):
            for part in response.raw.stream(CHUNK, decode_content=False):
                file.write(part)

    def list_blobs(self, container_url: str, prefix: str) -> Iterator[str]:
        """Names of a container's blobs; the SAS needs read and list (SDK14 ResourceFile.storage_container_url)."""
        query = {'restype': 'container', 'comp': 'list', 'prefix': prefix, 'marker': ''}
        while True:
            with _failing(_LIST, ContainerSource=container_url):
                content = self._request('GET', container_url, params=query).content
            root: Any = ET.fromstring(content)  # noqa: S314 - it comes from our own Azurite
            yield from (name.text or '' for name in root.iterfind('Blobs/Blob/Name'))
            query['marker'] = root.findtext('NextMarker') or ''
            if not query['marker']:
                return

    def upload(self, container_url: str, name: str, content: bytes) -> None:
        """Puts one blob; the SAS needs write (SDK14 OutputFileBlobContainerDestination.container_url)."""
        headers = {'x-ms-blob-type': 'BlockBlob', 'Content-Type': 'application/octet-stream'}
        with _failing(_UPLOAD, FilePath=name):
            self._request('PUT', blob_url(container_url, name), data=content, headers=headers)

    def _request(self, method: str, url: str, **more: Any) -> requests.Response:
        """Repeats what a server error or a lost connection broke off, a little later each time."""
        for pause in (0.05, 0.1, 0):
            try:
                response = self._session.request(method, url, timeout=60, **more)
            except requests.ConnectionError:
                if not pause:
                    raise
            else:
                if response.status_code < 500 or not pause:
                    break
                response.close()
            time.sleep(pause)
        if not response.ok:
            response.close()
        response.raise_for_status()
        return response
