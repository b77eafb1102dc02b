"""The HTTP front of a service: connections, TLS, requests on record, latency and faults on demand.

Behind it is a backend, which turns a request into an answer: the Batch service, the way to Azurite, Entra ID.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from io import BytesIO
from socketserver import ThreadingTCPServer
from typing import TYPE_CHECKING, Any, NamedTuple

from werkzeug.serving import WSGIRequestHandler
from werkzeug.test import run_wsgi_app

from .errors import ERRORS
from .faults import Faults, RequestFault, Scheme, Service, Source
from .transfer import AGENT

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

CHUNK = 1 << 18
LARGEST_BODY = 8 << 20  # of a request to Batch
HTML = b'<html><head><title>Proxy Error</title></head><body><h1>Proxy Error</h1></body></html>'


class Request(NamedTuple):
    """One request on record; bytes are those of the bodies."""

    service: Service
    source: Source
    method: str
    path: str
    query: str
    status: int  # 0: the connection was cut
    bytes_in: int
    bytes_out: int
    started: float  # time.monotonic()
    seconds: float


class Answer(NamedTuple):
    line: str  # status and reason
    headers: Iterable[tuple[str, str]]
    body: Iterable[bytes]  # framed as the headers say


@dataclass
class Conditions:
    """What all fronts share: faults, latency in seconds, and the record of requests."""

    faults: Faults
    latency: float = 0.0
    requests: list[Request] = field(default_factory=list)
    on_request: Callable[[], None] = lambda: None
    refusal: Callable[[Service, str], RequestFault | None] = lambda *_: None  # of an Authorization header


def chunked(headers: Iterable[tuple[str, str]]) -> bool:
    return any(name.lower() == 'transfer-encoding' and 'chunked' in value.lower() for name, value in headers)


def chunk(part: bytes) -> bytes:
    """The framing of a part of a body; an empty part ends it."""
    return b'%x\r\n%b\r\n' % (len(part), part)


def cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class Handler(WSGIRequestHandler):
    """One connection. Its backend finds method, target, headers and body in `command`, `path`, `headers`, `body`."""

    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True
    rbufsize = CHUNK
    wbufsize = -1  # a short answer leaves in one piece
    server: Front  # type: ignore[assignment]

    def run_wsgi(self) -> None:
        """Serves one request, whatever its method."""
        front, started = self.server, time.monotonic()
        path, _, query = self.path.partition('?')
        source: Source = 'node' if self.headers.get('User-Agent') == AGENT else 'client'
        self.status = self.received = self.sent = 0
        self.body = self._read_body()
        try:
            request = (front.service, self.command, self.path, source, self._scheme(query))
            fault = front.conditions.faults.take(RequestFault, lambda fault: fault.concerns(*request))
            fault = fault or front.conditions.refusal(front.service, self.headers.get('Authorization', ''))
            if front.conditions.latency and source == 'client':
                time.sleep(front.conditions.latency)
            if fault and fault.cuts_before():
                self._cut()
            if fault and fault.action == 'answer':
                answer, fault = error_answer(fault), None
            else:
                answer = front.backend(self)
            for _ in self.body:  # what the backend has not read stands in front of the next request
                pass
            self._send(answer, fault.where if fault else None)
        finally:
            what = (front.service, source, self.command, path, query, self.status, self.received, self.sent)
            front.conditions.requests.append(Request(*what, started, time.monotonic() - started))
            front.conditions.on_request()

    def _scheme(self, query: str) -> Scheme | None:
        """How the request is authenticated; a SAS counts as what it was signed with."""
        name = self.headers.get('Authorization', '').partition(' ')[0]
        if not name and 'sig=' in query:
            return 'Bearer' if 'skoid=' in query else 'SharedKey'
        return 'Bearer' if name == 'Bearer' else 'SharedKey' if name.startswith('SharedKey') else None

    def _read_body(self) -> Iterator[bytes]:
        """The request's body as it comes, without the framing of chunks."""
        if not chunked(self.headers.items()):
            yield from self._read(int(self.headers.get('Content-Length') or 0))
            return
        while size := int(self.rfile.readline(1000).split(b';')[0], 16):
            yield from self._read(size)
            self.rfile.readline(10)
        self.rfile.readline(10)

    def _read(self, size: int) -> Iterator[bytes]:
        while size > 0:
            part = self.rfile.read(min(size, CHUNK))
            if not part:
                raise ConnectionResetError
            size -= len(part)
            self.received += len(part)
            yield part

    def _send(self, answer: Answer, where_cut: str | None) -> None:
        status, _, reason = answer.line.partition(' ')
        headers, body = list(answer.headers), answer.body
        if where_cut:
            whole = b''.join(body)
            if where_cut == 'after':
                self._cut()
            body = [whole[: len(whole) // 2]]
        self.send_response_only(int(status), reason)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        empty = self.command == 'HEAD' or status in ('204', '304')
        in_chunks = chunked(headers) and not empty
        for part in body:  # to its end in any case: the backend may have something to close
            if not empty:
                self.sent += len(part)
                self.wfile.write(chunk(part) if in_chunks else part)
        if where_cut:
            self.wfile.flush()
            self._cut()
        if in_chunks:
            self.wfile.write(chunk(b''))
        self.wfile.flush()
        self.status = int(status)

    def _cut(self) -> None:
        cut(self.connection)
        raise ConnectionAbortedError

    def handle_expect_100(self) -> bool:
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def log(self, *_: object) -> None:
        """Says nothing: the requests are on record."""


Backend = Callable[[Handler], Answer]


def wsgi_backend(app: WSGIApplication) -> Backend:
    """The backend that calls a WSGI application with the whole body."""

    def call(request: Handler) -> Answer:
        body = b''
        for part in request.body:
            body += part if len(body) <= LARGEST_BODY else b''
        if len(body) > LARGEST_BODY:
            return Answer('413 Request Entity Too Large', [('Content-Length', '0')], ())
        environ: dict[str, Any] = request.make_environ()
        environ.update({'wsgi.input': BytesIO(body), 'CONTENT_LENGTH': str(len(body))})
        environ['local.request_id'] = str(uuid.uuid4())
        environ['local.headers'] = {name.lower(): value for name, value in request.headers.items()}
        chunks, line, headers = run_wsgi_app(app, environ, buffered=True)
        content = b''.join(chunks)
        if request.command != 'HEAD':
            headers['Content-Length'] = str(len(content))
        return Answer(line, [*_standard_headers(), *headers], [content])

    return call


def _standard_headers() -> list[tuple[str, str]]:
    return [('Date', formatdate(usegmt=True)), ('Server', 'Microsoft-HTTPAPI/2.0')]


def error_answer(fault: RequestFault) -> Answer:
    """An error in the service's form (REST references: "Status and error codes"), or a broken gateway's HTML."""
    message, request_id = fault.message or ERRORS.get(fault.code, fault.code).partition(' ')[2], str(uuid.uuid4())
    text = f'{message}\nRequestId:{request_id}\nTime:2026-01-01T00:00:00.0000001Z'
    headers = {'Content-Type': 'application/json;odata=minimalmetadata', 'request-id': request_id}
    body: dict[str, Any] = {'code': fault.code, 'message': {'lang': 'en-US', 'value': text}}
    if fault.detail:
        body['values'] = [{'key': 'AuthenticationErrorDetail', 'value': fault.detail}]
    content = json.dumps(body).encode()
    if fault.service == 'storage':
        detail = f'<AuthenticationErrorDetail>{fault.detail}</AuthenticationErrorDetail>' if fault.detail else ''
        error = f'<Error><Code>{fault.code}</Code><Message>{text}</Message>{detail}</Error>'
        headers = {'Content-Type': 'application/xml', 'x-ms-error-code': fault.code, 'x-ms-request-id': request_id}
        content = f'<?xml version="1.0" encoding="utf-8"?>{error}'.encode()
    if fault.html:
        headers, content = {'Content-Type': 'text/html'}, HTML
    headers |= {'Content-Length': str(len(content)), **fault.headers}
    return Answer(f'{fault.status} {message}', [*_standard_headers(), *headers.items()], [content])


class Front(ThreadingTCPServer):
    """A thread for each connection to a free loopback port; knows those that are open, so that it can close them."""

    request_queue_size = 1024
    daemon_threads = True
    multithread, multiprocess = True, False  # for WSGI
    backend: Backend

    def __init__(self, service: Service, conditions: Conditions, tls: ssl.SSLContext | None) -> None:
        self.service, self.conditions, self.ssl_context = service, conditions, tls
        self._open: set[Any] = set()
        super().__init__(('127.0.0.1', 0), Handler)
        self.url = f'{"https" if tls else "http"}://127.0.0.1:{self.server_address[1]}'
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name=service, daemon=True)

    def start(self, backend: Backend) -> None:
        self.backend = backend
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
        for connection in list(self._open):
            cut(connection)

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self.ssl_context:  # the handshake comes with the first read, in the connection's own thread
            connection = self.ssl_context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, *_: object) -> None:
        """A client that went away is no news; crashes of the service are caught where they happen."""
