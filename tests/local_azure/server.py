"""The HTTP server in front of the local Batch service: keep-alive, requests on record, latency and faults on demand."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_to_bytes

from werkzeug.test import run_wsgi_app

from .errors import ERRORS
from .faults import Faults, RequestFault, Service, Source

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

LARGEST_BODY = 8 << 20
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


@dataclass
class Conditions:
    """What both HTTP fronts share: faults, latency in seconds, and the record of requests."""

    faults: Faults
    latency: float = 0.0
    requests: list[Request] = field(default_factory=list)
    on_request: Callable[[], None] = lambda: None

    def delay(self, source: Source) -> None:
        if self.latency and source == 'client':
            time.sleep(self.latency)

    def record(self, request: Request) -> None:
        self.requests.append(request)
        self.on_request()


def cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class LoopbackServer(ThreadingTCPServer):
    """A thread for each connection to a free loopback port; knows those that are open, so that it can close them."""

    request_queue_size = 1024
    daemon_threads = True

    def __init__(self, handler: type[BaseRequestHandler], conditions: Conditions, name: str) -> None:
        self.conditions = conditions
        self._open: set[Any] = set()
        self._open_lock = threading.Lock()
        super().__init__(('127.0.0.1', 0), handler)
        self.url = f'http://127.0.0.1:{self.server_address[1]}'
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
        with self._open_lock:
            for connection in self._open:
                cut(connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, *_: object) -> None:
        """A client that went away is no news; crashes of the service are caught where they happen."""


class _Handler(BaseHTTPRequestHandler):
    """One connection: each request becomes a WSGI call, or what a fault makes of it."""

    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True
    wbufsize = -1  # a response leaves in one piece
    server: BatchServer

    def handle_one_request(self) -> None:
        try:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline:
                self.close_connection = True
            elif len(self.raw_requestline) > 65536:
                self.requestline, self.request_version, self.command = '', 'HTTP/1.1', ''
                self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
                self.close_connection = True
            elif self.parse_request():
                self._serve()
            self.wfile.flush()
        except (OSError, ValueError):  # the client has gone, or a fault has cut the connection
            self.close_connection = True

    def _serve(self) -> None:
        started, conditions, request_id = time.monotonic(), self.server.conditions, str(uuid.uuid4())
        path, _, query = self.path.partition('?')
        body = self._body()
        status = size = 0
        try:
            if body is None:
                status = self._send('413 Request Entity Too Large', [], b'', close=True)
                return
            fault = conditions.faults.take_request('batch', self.command, self.path, 'client')
            conditions.delay('client')
            if fault and fault.cuts_before():
                self._cut()
            if fault and fault.action == 'answer':
                line, headers, content = _faulty(fault, request_id)
            else:
                line, headers, content = self._call(path, query, body, request_id)
                if fault and fault.where == 'after':
                    self._cut()
            half = fault is not None and fault.action == 'cut'
            status, size = self._send(line, headers, content, half=half), len(content)
        finally:
            seconds = time.monotonic() - started
            conditions.record(
                Request('batch', 'client', self.command, path, query, status, len(body or b''), size, started, seconds)
            )

    def _body(self) -> bytes | None:
        """The whole body; None when it is too large, or its length cannot be read."""
        if 'chunked' in self.headers.get('Transfer-Encoding', '').lower():
            return self._chunks()
        text = self.headers.get('Content-Length', '0').strip() or '0'
        if not (text.isascii() and text.isdigit() and len(text) < 12 and int(text) <= LARGEST_BODY):
            return None
        body = self.rfile.read(int(text))
        if len(body) < int(text):
            raise ConnectionResetError
        return body

    def _chunks(self) -> bytes | None:
        body = b''
        while size := int(self.rfile.readline(1000).split(b';')[0], 16):
            if size < 0 or len(body) + size > LARGEST_BODY:
                return None
            body += self.rfile.read(size)
            self.rfile.readline(10)
        self.rfile.readline(10)
        return body

    def _call(self, path: str, query: str, body: bytes, request_id: str) -> tuple[str, list[tuple[str, str]], bytes]:
        environ: dict[str, Any] = {
            'REQUEST_METHOD': self.command,
            'SCRIPT_NAME': '',
            'PATH_INFO': unquote_to_bytes(path).decode('latin-1'),
            'QUERY_STRING': query,
            'REQUEST_URI': self.path,
            'SERVER_NAME': '127.0.0.1',
            'SERVER_PORT': str(self.server.server_address[1]),
            'SERVER_PROTOCOL': 'HTTP/1.1',
            'wsgi.version': (1, 0),
            'wsgi.url_scheme': 'http',
            'wsgi.input': BytesIO(body),
            'wsgi.errors': sys.stderr,
            'wsgi.multithread': True,
            'wsgi.multiprocess': False,
            'wsgi.run_once': False,
            'CONTENT_LENGTH': str(len(body)),
            'CONTENT_TYPE': self.headers.get('Content-Type', ''),
            'local.request_id': request_id,
            'local.headers': {name.lower(): value for name, value in self.headers.items()},
        }
        for name, value in self.headers.items():
            key = name.upper().replace('-', '_')
            if key not in ('CONTENT_LENGTH', 'CONTENT_TYPE'):
                environ[f'HTTP_{key}'] = value
        chunks, status, headers = run_wsgi_app(self.server.app, environ, buffered=True)
        return status, list(headers.items()), b''.join(chunks)

    def _send(
        self, line: str, headers: list[tuple[str, str]], content: bytes, *, close: bool = False, half: bool = False
    ) -> int:
        status, _, reason = line.partition(' ')
        self.send_response_only(int(status), reason)
        headers = [
            (name, value) for name, value in headers if name.lower() != 'content-length' or self.command == 'HEAD'
        ]
        if self.command != 'HEAD':
            headers.append(('Content-Length', str(len(content))))
        if close:
            headers.append(('Connection', 'close'))
            self.close_connection = True
        for name, value in [('Date', self.date_time_string()), ('Server', 'Microsoft-HTTPAPI/2.0'), *headers]:
            self.send_header(name, value)
        self.end_headers()
        if self.command != 'HEAD' and status not in ('204', '304'):
            self.wfile.write(content[: len(content) // 2] if half else content)
        self.wfile.flush()
        if half:
            self._cut()
        return int(status)

    def _cut(self) -> None:
        cut(self.connection)
        raise ConnectionAbortedError

    def log_message(self, *_: object) -> None:
        """Says nothing: the requests are on record."""


def _faulty(fault: RequestFault, request_id: str) -> tuple[str, list[tuple[str, str]], bytes]:
    message = ERRORS.get(fault.code, (0, 'The request failed.'))[1]
    text = f'{message}\nRequestId:{request_id}\nTime:2026-01-01T00:00:00.0000001Z'
    error = {'code': fault.code, 'message': {'lang': 'en-US', 'value': text}}
    headers = [('request-id', request_id)]
    headers.append(('Content-Type', 'text/html' if fault.html else 'application/json;odata=minimalmetadata'))
    if fault.retry_after is not None:
        headers.append(('Retry-After', str(fault.retry_after)))
    return f'{fault.status} {message}', headers, HTML if fault.html else json.dumps(error).encode()


class BatchServer(LoopbackServer):
    app: WSGIApplication

    def __init__(self, conditions: Conditions) -> None:
        super().__init__(_Handler, conditions, 'batch')
