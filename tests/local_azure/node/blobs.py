"""Blobs to and from a node: the HTTP requests, and the service's failure codes when they fail.

No recording of such a failure was found: the details are ours.
"""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
import urllib3.exceptions

from tests.local_azure.node.assignment import Problem

CHUNK = 256 * 1024  # bytes
TIMEOUT = 60  # seconds
PAUSES = (0.05, 0.1)  # seconds between attempts


class TransferError(Exception):
    """A transfer that failed for good."""

    def __init__(self, code: str, **details: str) -> None:
        self.problem = Problem(code, details=tuple(details.items()))
        super().__init__(code)


@dataclass(frozen=True)
class FailureCodes:
    """The codes of one kind of transfer, by what went wrong."""

    other: str
    not_found: str | None = None
    denied: str | None = None
    timed_out: str | None = None
    disk: str | None = None  # the node's own

    def of_status(self, status: int) -> str:
        """The code for an HTTP status."""
        code = None
        if status == 404:
            code = self.not_found
        elif status in (401, 403):
            code = self.denied
        elif status == 408:
            code = self.timed_out
        return code or self.other


MAKE_FOLDER = FailureCodes(
    other='ResourceDirectoryCreateFailed',
    disk='ResourceDirectoryCreateFailed',
)
DOWNLOAD = FailureCodes(
    other='BlobDownloadMiscError',
    not_found='BlobNotFound',
    denied='BlobAccessDenied',
    timed_out='BlobDownloadTimedOut',
    disk='ResourceFileWriteFailed',
)
LIST = FailureCodes(
    other='ResourceContainerListMiscError',
    denied='ResourceContainerAccessDenied',
)
UPLOAD = FailureCodes(
    other='FileUploadMiscError',
    not_found='FileUploadContainerNotFound',
    denied='FileUploadAccessDenied',
    timed_out='FileUploadTimedOut',
)


@contextmanager
def _failing_with(codes: FailureCodes, **details: str) -> Iterator[None]:
    """Turns whatever goes wrong inside into a TransferError."""
    try:
        yield
    except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise TransferError(codes.of_status(408), **details) from error
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 500
        raise TransferError(codes.of_status(status), **details) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise TransferError(codes.other, **details) from error
    except (OSError, ValueError) as error:  # a name that no file or blob can have is a ValueError
        code = codes.disk or codes.other
        raise TransferError(code, Reason=str(error), **details) from error


def blob_url(container_url: str, name: str) -> str:
    """The URL of a blob in a container whose URL carries a SAS."""
    path, _, sas = container_url.partition('?')
    return f'{path.rstrip("/")}/{quote(name)}?{sas}'


class BlobClient:
    """The HTTP client of all nodes.

    `authority` is the file of the certificate that they trust; None: the usual ones.
    """

    def __init__(self, user_agent: str, authority: Path | None) -> None:
        self._session = requests.Session()
        self._session.trust_env = False  # loopback never goes through a proxy
        self._session.headers.update({'User-Agent': user_agent})
        if authority:
            self._session.verify = str(authority)

    def close(self) -> None:
        self._session.close()

    def download(self, url: str, path: Path) -> None:
        """Fetches one blob into a file."""
        with _failing_with(MAKE_FOLDER, FilePath=path.name):
            path.parent.mkdir(parents=True, exist_ok=True)

        with (
            _failing_with(DOWNLOAD, BlobSource=url, FilePath=path.name),
            self._request('GET', url, stream=True) as response,
            path.open('wb') as file,
        ):
            for part in response.raw.stream(CHUNK, decode_content=False):
                file.write(part)

    def list_names(self, container_url: str, prefix: str) -> Iterator[str]:
        """Names of a container's blobs.

        The SAS needs read and list (SDK14 ResourceFile.storage_container_url).
        """
        query = {'restype': 'container', 'comp': 'list', 'prefix': prefix, 'marker': ''}
        while True:
            with _failing_with(LIST, ContainerSource=container_url):
                content = self._request('GET', container_url, params=query).content

            page = ET.fromstring(content)  # noqa: S314 - it comes from our own Azurite
            for name in page.iterfind('Blobs/Blob/Name'):
                yield name.text or ''

            query['marker'] = page.findtext('NextMarker') or ''
            if not query['marker']:
                return

    def upload(self, container_url: str, name: str, content: bytes) -> None:
        """Puts one blob.

        The SAS needs write (SDK14 OutputFileBlobContainerDestination.container_url).
        """
        headers = {'x-ms-blob-type': 'BlockBlob', 'Content-Type': 'application/octet-stream'}
        with _failing_with(UPLOAD, FilePath=name):
            self._request('PUT', blob_url(container_url, name), data=content, headers=headers)

    def _request(self, method: str, url: str, **more: Any) -> requests.Response:
        """Repeats what a server error or a lost connection broke off, a little later each time."""
        for pause in PAUSES:
            try:
                response = self._session.request(method, url, timeout=TIMEOUT, **more)
            except requests.ConnectionError:
                time.sleep(pause)
                continue

            if response.status_code < 500:
                return self._checked(response)
            response.close()
            time.sleep(pause)

        last = self._session.request(method, url, timeout=TIMEOUT, **more)
        return self._checked(last)

    def _checked(self, response: requests.Response) -> requests.Response:
        if not response.ok:
            response.close()
        response.raise_for_status()
        return response
