"""The storage service: passes requests on to Azurite, with the names that Azure would give blobs.

Azure drops the dots at the end of each part of a blob's name (Azure/azure-sdk-for-java#36674,
microsoft/AzureStorageExplorer#2833) and refuses names of more than 1,024 characters, counted in
UTF-16 (Azure/Azurite#398, Azure/azure-storage-cpp#291). Azurite does neither. Both make `\\` in a
name `/`.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from email.message import Message
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from urllib3 import HTTPConnectionPool, HTTPHeaderDict, connection_from_url

from tests.local_azure import storage_resigning, storage_sas
from tests.local_azure.azurite import Azurite
from tests.local_azure.faults import ContainerBeingDeleted, Faults, RequestFault
from tests.local_azure.http_front import TIME_OF_ERRORS, Answer, Handler

LONGEST_NAME = 1024  # characters
MOST_CONNECTIONS = 100
_HOP_BY_HOP = ('connection', 'keep-alive', 'transfer-encoding', 'expect')

# Dots at the end of a part of a path; dots, `/` and `\` may be percent-encoded.
_DOTS_AT_END = re.compile(r'(?:\.|%2E)+(?=/|\\|%2F|%5C|$)', re.IGNORECASE)
_ONLY_DOTS = re.compile(r'(?:^|/|\\|%2F|%5C)(?:\.|%2E)+(?=/|\\|%2F|%5C|$)', re.IGNORECASE)


class Storage:
    """The backend of the storage front."""

    def __init__(
        self,
        azurite: Azurite,
        account: str,
        key: str,
        faults: Faults,
        tls: ssl.SSLContext | None,
        on_crash: Callable[[BaseException], None],
    ) -> None:
        self._azurite = azurite
        self._account = account
        self._key = key
        self._faults = faults
        self._tls = tls
        self._on_crash = on_crash

    def __call__(self, request: Handler) -> Answer:
        refusal = self._refusal(request)
        if refusal:
            return storage_error(refusal, request.request_id)

        deleted = self._armed_by_deletion(request)
        answer = self._pass_on(request)
        if deleted and answer.status == 202:
            deleted.armed = True
        return answer

    def _refusal(self, request: Handler) -> RequestFault | None:
        """What Azure refuses, and Azurite does not; and what cannot be imitated."""
        if self._is_being_deleted(request):
            return RequestFault(service='storage', status=409, code='ContainerBeingDeleted')

        _, name = split_path(request.path)
        if len(unquote(name).encode('utf-16-le')) // 2 > LONGEST_NAME:
            return RequestFault(
                service='storage',
                status=400,
                code='OutOfRangeInput',
                message='One of the request inputs is out of range.',
            )

        if _ONLY_DOTS.search(name):  # what Azure makes of them is not known
            return _not_imitated('a part of a name that has nothing but dots')

        # Which name Azure then checks the signature with is not known.
        is_for_one_blob = storage_sas.is_for_one_blob(request.arguments)
        if is_for_one_blob and request.path != stored_path(request.path):
            return _not_imitated('a SAS for one blob with a dot at the end of a part of its name')
        return None

    # Containers that are being deleted: a fault

    def _is_being_deleted(self, request: Handler) -> bool:
        container = _container_itself(request)

        def concerns(fault: ContainerBeingDeleted) -> bool:
            return fault.container == container and fault.armed

        if request.command != 'PUT':
            return False
        return self._faults.take(ContainerBeingDeleted, concerns) is not None

    def _armed_by_deletion(self, request: Handler) -> ContainerBeingDeleted | None:
        """The fault that begins if this request deletes its container."""
        container = _container_itself(request)

        def concerns(fault: ContainerBeingDeleted) -> bool:
            return fault.container == container

        if request.command != 'DELETE':
            return None
        return self._faults.find(ContainerBeingDeleted, concerns)

    # The way to Azurite

    @cached_property
    def _connections(self) -> HTTPConnectionPool:
        options: dict[str, Any] = {'maxsize': MOST_CONNECTIONS, 'retries': False}
        if self._tls:
            options['ssl_context'] = self._tls
        return connection_from_url(self._url(), **options)

    def _url(self) -> str:
        try:
            return self._azurite.url
        except Exception as error:
            self._on_crash(error)
            raise

    def _pass_on(self, request: Handler) -> Answer:
        path = stored_path(request.path)
        headers = _end_to_end(request.headers)
        if path != request.path and 'Authorization' in request.headers:
            headers['Authorization'] = self._authorization(request, path)

        response = self._connections.urlopen(
            request.command,
            f'{path}?{request.query}',
            body=request.body or None,
            headers=headers,
            decode_content=False,
        )
        return Answer(
            response.status,
            _end_to_end(response.headers),
            response.data,
            response.reason or '',
        )

    def _authorization(self, request: Handler, path: str) -> str:
        """For the request with another path: a good signature becomes another good one.

        A wrong one stays wrong. Tokens, and the SAS of a container, do not depend on the path.
        """
        given: str = request.headers['Authorization']
        as_sent = storage_resigning.authorization(self._account, self._key, request, request.path)
        if given != as_sent:
            return given
        return storage_resigning.authorization(self._account, self._key, request, path)


def _not_imitated(what: str) -> RequestFault:
    return RequestFault(
        service='storage',
        status=501,
        code='NotImplemented',
        message=f'The local Azure does not imitate {what}.',
    )


def split_path(path: str) -> tuple[str, str]:
    """`/account/container/` and the name of the blob, percent-encoded as sent."""
    parts = path.split('/', 3)
    if len(parts) < 4:
        return path, ''
    name = parts[3]
    return path.removesuffix(name), name


def stored_path(path: str) -> str:
    """The path with the name under which Azure stores the blob."""
    container, name = split_path(path)
    return container + _DOTS_AT_END.sub('', name)


def _container_itself(request: Handler) -> str | None:
    """The container, if the request is about it and not about its content or a property."""
    if request.arguments.get('restype') != 'container' or 'comp' in request.arguments:
        return None
    _, _, container = request.path.strip('/').partition('/')
    return container


def _end_to_end(headers: Message | HTTPHeaderDict) -> dict[str, str]:
    """Headers that are not for one connection only."""
    return {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}


def storage_error(fault: RequestFault, request_id: str) -> Answer:
    """An error in the form of the service (REST reference, "Status and error codes")."""
    message = fault.message or fault.code
    text = f'<Code>{fault.code}</Code>'
    text += f'<Message>{message}\nRequestId:{request_id}\nTime:{TIME_OF_ERRORS}</Message>'
    if fault.detail:
        text += f'<AuthenticationErrorDetail>{fault.detail}</AuthenticationErrorDetail>'

    headers = {
        'Content-Type': 'application/xml',
        'x-ms-error-code': fault.code,
        'x-ms-request-id': request_id,
    }
    body = f'<?xml version="1.0" encoding="utf-8"?><Error>{text}</Error>'.encode()
    return Answer(fault.status, headers, body, message)
