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
from socketserver import ThreadingTCPServer
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from flask import Flask
from werkzeug.test import run_wsgi_app

from .errors import ERRORS
from .faults import Faults, RequestFault, Service, Source

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


class Connections:
    """Mixed into a socket server: knows its open connections, so that it can close them all."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(*arguments, **keywords)

    def process_request(self, request: socket.socket, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)  # type: ignore[misc]

    def shutdown_request(self, request: socket.socket) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)  # type: ignore[misc]

    def cut_all(self) -> None:
        with self._open_lock:
            for connection in self._open:
                cut(connection)


class _Handler(BaseHTTPRequestHandler):
    """One connection: each request becomes a WSGI call, or what a fault makes of it."""

    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True
    wbufsize = -1  # a response leaves in one piece
    server: _Server

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
            if fault and fault.action == 'hang':
                fault.gone.wait()
                raise ConnectionAbortedError
            if fault and fault.action == 'answer':
                line, headers, content = _faulty(fault, request_id)
            elif fault and fault.where == 'before':
                raise ConnectionAbortedError
            else:
                line, headers, content = self._call(path, query, body, request_id)
            if fault and fault.where == 'after' and fault.action == 'cut':
                raise ConnectionAbortedError
            if fault and fault.where == 'mid-body' and fault.action == 'cut':
                self._send(line, headers, content, cut_in_half=True)
            status, size = self._send(line, headers, content), len(content)
        except ConnectionAbortedError:
            cut(self.connection)
            raise
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
        self,
        line: str,
        headers: list[tuple[str, str]],
        content: bytes,
        *,
        close: bool = False,
        cut_in_half: bool = False,
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
            self.wfile.write(content[: len(content) // 2] if cut_in_half else content)
        self.wfile.flush()
        if cut_in_half:
            raise ConnectionAbortedError
        return int(status)

    def log_message(self, *_: object) -> None:
        """Says nothing: the requests are on record."""


class _Server(Connections, ThreadingTCPServer):
    request_queue_size = 1024
    daemon_threads = True
    app: Callable[..., Any]
    conditions: Conditions

    def handle_error(self, *_: object) -> None:
        """A client that went away is no news; crashes of the service are caught where they happen."""


def _faulty(fault: RequestFault, request_id: str) -> tuple[str, list[tuple[str, str]], bytes]:
    message = ERRORS.get(fault.code, (0, 'The request failed.'))[1]
    text = f'{message}\nRequestId:{request_id}\nTime:2026-01-01T00:00:00.0000001Z'
    error = {'code': fault.code, 'message': {'lang': 'en-US', 'value': text}}
    headers = [('request-id', request_id)]
    headers.append(('Content-Type', 'text/html' if fault.html else 'application/json;odata=minimalmetadata'))
    if fault.retry_after is not None:
        headers.append(('Retry-After', str(fault.retry_after)))
    return f'{fault.status} {message}', headers, HTML if fault.html else json.dumps(error).encode()


class BatchServer:
    """Listens on a free loopback port."""

    def __init__(self) -> None:
        self._server = _Server(('127.0.0.1', 0), _Handler)
        self.url = f'http://127.0.0.1:{self._server.server_address[1]}'
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name='batch', daemon=True)

    def start(self, app: Flask, conditions: Conditions) -> None:
        self._server.app, self._server.conditions = app.wsgi_app, conditions
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.cut_all()
