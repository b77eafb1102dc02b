"""The way to Azurite: bodies are streamed, connections kept. What Azurite does not know is answered here."""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from urllib.parse import parse_qs, urlsplit

from .azurite import Azurite
from .faults import BeingDeleted, Faults, RequestFault
from .front import CHUNK, Answer, Handler, chunk, chunked, error_answer


class StorageProxy:
    """A front's backend; its first request waits for Azurite."""

    def __init__(self, azurite: Azurite, faults: Faults, tls: ssl.SSLContext | None) -> None:
        self._azurite, self._faults, self._tls = azurite, faults, tls
        self._idle: deque[HTTPConnection] = deque()

    def __call__(self, request: Handler) -> Answer:
        path, _, query = request.path.partition('?')
        arguments = parse_qs(query)
        itself = arguments.get('restype') == ['container'] and 'comp' not in arguments  # not its content or a property
        container = path.strip('/').partition('/')[2] if itself else None
        if request.command == 'PUT' and self._faults.take(
            BeingDeleted, lambda fault: fault.container == container and fault.armed
        ):
            return error_answer(RequestFault(service='storage', status=409, code='ContainerBeingDeleted'))
        upstream = self._connection()
        try:
            response = self._forward(request, upstream)
        except BaseException:
            upstream.close()
            raise
        deletes = request.command == 'DELETE' and response.status == 202
        if deletes and (fault := self._faults.find(BeingDeleted, lambda fault: fault.container == container)):
            fault.armed = True
        return Answer(f'{response.status} {response.reason}', response.headers.items(), self._body(upstream, response))

    def close(self) -> None:
        for upstream in self._idle:
            upstream.close()

    def _connection(self) -> HTTPConnection:
        with suppress(IndexError):
            return self._idle.pop()
        address = urlsplit(self._azurite.url).netloc
        return HTTPSConnection(address, context=self._tls) if self._tls else HTTPConnection(address)

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
