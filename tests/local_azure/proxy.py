"""The way to Azurite: bodies are streamed, connections kept. What Azurite does not know is answered here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from .faults import BeingDeleted, Faults, RequestFault
from .front import CHUNK, Answer, Handler, chunk, chunked, error_answer

if TYPE_CHECKING:
    from .entra import Entra  # not needed without it, and its imports take a while


class StorageProxy:
    """A front's backend; its first request waits for Azurite."""

    def __init__(self, azurite_port: Callable[[], int], faults: Faults, entra: Entra | None) -> None:
        self._port, self._faults, self._entra = azurite_port, faults, entra
        self._idle: deque[HTTPConnection] = deque()

    def __call__(self, request: Handler) -> Answer:
        refusal = self._entra and self._entra.storage_refusal(request.headers.get('Authorization', ''))
        if refusal := refusal or self._being_deleted(request):
            return error_answer('storage', refusal)
        upstream = self._idle.pop() if self._idle else self._connect()
        try:
            response = self._forward(request, upstream)
        except BaseException:
            upstream.close()
            raise
        if request.command == 'DELETE' and response.status == 202:
            self._deleted(request)
        headers = response.headers.items()
        return Answer(f'{response.status} {response.reason}', headers, self._body(upstream, response))

    def close(self) -> None:
        for upstream in self._idle:
            upstream.close()

    def _connect(self) -> HTTPConnection:
        if self._entra:
            return HTTPSConnection('127.0.0.1', self._port(), context=self._entra.client_tls)
        return HTTPConnection('127.0.0.1', self._port())

    def _forward(self, request: Handler, upstream: HTTPConnection) -> HTTPResponse:
        upstream.putrequest(request.command, request.path, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers.items():
            if name.lower() != 'expect':
                upstream.putheader(name, value)
        upstream.endheaders()
        in_chunks = chunked(request.headers.items())
        for part in request.body:
            upstream.send(chunk(part) if in_chunks else part)
        if in_chunks:
            upstream.send(chunk(b''))
        return upstream.getresponse()

    def _body(self, upstream: HTTPConnection, response: HTTPResponse) -> Iterator[bytes]:
        try:
            while part := response.read(CHUNK):
                yield part
            self._idle.append(upstream)
        except BaseException:
            upstream.close()
            raise

    def _container(self, request: Handler) -> str | None:
        """The container that a request on a container itself is about."""
        path, _, query = request.path.partition('?')
        arguments = parse_qs(query)
        if arguments.get('restype') == ['container'] and 'comp' not in arguments:
            return path.strip('/').partition('/')[2]
        return None

    def _deleted(self, request: Handler) -> None:
        name = self._container(request)
        if name and (found := self._faults.find(BeingDeleted, lambda fault: fault.container == name)):
            found.armed = True

    def _being_deleted(self, request: Handler) -> RequestFault | None:
        name = self._container(request) if request.command == 'PUT' else None
        if name and self._faults.take(BeingDeleted, lambda fault: fault.container == name and fault.armed):
            return RequestFault(service='storage', status=409, code='ContainerBeingDeleted')
        return None
