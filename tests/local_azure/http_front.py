"""The HTTP front of a service: connections, TLS, requests on record, latency and faults on demand.

Behind it is a backend, which turns a request into an answer: the Batch service, the way to Azurite, Entra ID.
"""

from __future__ import annotations

import json
import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socket import SHUT_RDWR
from socketserver import ThreadingTCPServer
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import parse_qs
from weakref import WeakSet

from tests.local_azure.batch.errors import ERRORS, BatchError, error_body
from tests.local_azure.faults import Faults, RequestFault, Scheme, Service, Source
from tests.local_azure.node.agent import AGENT

JSON = 'application/json;odata=minimalmetadata'  # of Batch
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
    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b''
    reason: str = ''  # that of the status if empty


@dataclass
class Conditions:
    """What all fronts share: faults, latency in seconds, and the record of requests."""

    faults: Faults
    latency: float = 0.0
    requests: list[Request] = field(default_factory=list)
    refusal: Callable[[Service, str], RequestFault | None] = lambda *_: (
        None
    )  # of an Authorization header


class Handler(BaseHTTPRequestHandler):
    """One connection. Of the request on it a backend reads `command`, `path` and `query` (as sent), `arguments` (the
    query's), `headers`, `body` and `request_id`.
    """

    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True
    server: Front

    def __getattr__(self, name: str) -> Any:
        """The http.server asks for a method `do_<command>`: any will do."""
        if name.startswith('do_'):
            return self._serve
        raise AttributeError(name)

    def _serve(self) -> None:
        front, conditions, started = self.server, self.server.conditions, time.monotonic()
        target = self.path
        self.path, _, self.query = target.partition('?')
        parsed = parse_qs(self.query, keep_blank_values=True, errors='surrogateescape')
        self.arguments = {name: values[0] for name, values in parsed.items()}
        self.request_id = str(uuid.uuid4())
        source: Source = 'node' if self.headers.get('User-Agent') == AGENT else 'client'
        self.body, status, sent = b'', 0, 0
        try:
            fault = self._malformed()
            request = (front.service, self.command, target, source, self._scheme())
            fault = fault or conditions.faults.take(
                'requests', lambda fault: fault.concerns(*request)
            )
            fault = fault or conditions.refusal(
                front.service, self.headers.get('Authorization', '')
            )
            if conditions.latency and source == 'client':
                time.sleep(conditions.latency)
            if fault and fault.cuts_before():
                self._cut()
            if fault and fault.action == 'answer':
                answer, fault = error_answer(fault, self.request_id), None
            else:
                answer = front.backend(self)
            sent = self._send(answer, fault.where if fault and fault.action == 'cut' else None)
            status = answer.status
        finally:
            what = (
                front.service,
                source,
                self.command,
                self.path,
                self.query,
                status,
                len(self.body),
                sent,
            )
            conditions.requests.append(Request(*what, started, time.monotonic() - started))

    def _scheme(self) -> Scheme | None:
        """How the request is authenticated; a SAS counts as what it was signed with."""
        name = self.headers.get('Authorization', '').partition(' ')[0]
        if not name and 'sig=' in self.query:
            return 'Bearer' if 'skoid=' in self.query else 'SharedKey'
        return (
            'Bearer' if name == 'Bearer' else 'SharedKey' if name.startswith('SharedKey') else None
        )

    def _malformed(self) -> RequestFault | None:
        """Reads the body; a refusal when nobody can know where it ends, and so where the next request begins."""
        try:
            self._read_body()
        except ValueError:
            self.close_connection = True
            return RequestFault(service=self.server.service, status=400, code='InvalidHeaderValue')
        return None

    def _read_body(self) -> None:
        if 'chunked' not in self.headers.get('Transfer-Encoding', '').lower():
            self.body = self._read(int(self.headers.get('Content-Length') or 0))
            return
        while size := int(self.rfile.readline(1000).split(b';')[0], 16):
            self.body += self._read(size)
            self.rfile.readline(10)
        self.rfile.readline(10)

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            if not (part := self.rfile.read(min(size - len(data), 1 << 20))):
                raise ConnectionResetError
            data += part
        return bytes(data)

    def _send(self, answer: Answer, cut: str | None) -> int:
        """Sends an answer, or as much of it as a fault leaves; the bytes of its body."""
        if cut == 'after':
            self._cut()
        body = b'' if self.command == 'HEAD' or answer.status in (204, 304) else answer.body
        ours = {'Date': formatdate(usegmt=True), 'Server': 'Microsoft-HTTPAPI/2.0'}
        ours |= {} if self.command == 'HEAD' else {'Content-Length': str(len(body))}
        given = {name.lower() for name in answer.headers}
        headers = {name: value for name, value in ours.items() if name.lower() not in given} | dict(
            answer.headers
        )
        lines = [f'HTTP/1.1 {answer.status} {answer.reason or HTTPStatus(answer.status).phrase}']
        lines += [f'{name}: {value}' for name, value in headers.items()]
        head = '\r\n'.join([*lines, '', '']).encode('latin-1', 'replace')
        self.wfile.write(head + (body[: len(body) // 2] if cut else body))
        if cut:
            self._cut()
        return len(body)

    def _cut(self) -> None:
        cut_off(self.connection)
        raise ConnectionAbortedError

    def log_message(self, *_: object) -> None:
        """Says nothing: the requests are on record."""


def cut_off(connection: Any) -> None:
    with suppress(OSError):
        connection.shutdown(SHUT_RDWR)


def error_answer(fault: RequestFault, request_id: str) -> Answer:
    """An error in the service's form (REST references: "Status and error codes"), or a broken gateway's HTML."""
    message = fault.message
    if not message:
        message = BatchError(fault.code).message if fault.code in ERRORS else fault.code
    detail = {'AuthenticationErrorDetail': fault.detail} if fault.detail else {}
    error = error_body(fault.code, message, detail, request_id, '2026-01-01T00:00:00.0000001Z')
    if fault.html:
        headers, body = {'Content-Type': 'text/html'}, HTML
    elif fault.service == 'storage':
        headers = {
            'Content-Type': 'application/xml',
            'x-ms-error-code': fault.code,
            'x-ms-request-id': request_id,
        }
        details = ''.join(f'<{name}>{text}</{name}>' for name, text in detail.items())
        text = f'<Code>{fault.code}</Code><Message>{error["message"]["value"]}</Message>{details}'
        body = f'<?xml version="1.0" encoding="utf-8"?><Error>{text}</Error>'.encode()
    else:
        headers, body = {'Content-Type': JSON, 'request-id': request_id}, json.dumps(error).encode()
    return Answer(fault.status, {**headers, **fault.headers}, body, message)


class Front(ThreadingTCPServer):
    """A thread for each connection to a free loopback port; those that are open end when it stops."""

    request_queue_size = 1024
    daemon_threads = True
    backend: Callable[[Handler], Answer]

    def __init__(
        self, service: Service, conditions: Conditions, tls: ssl.SSLContext | None
    ) -> None:
        self.service, self.conditions = service, conditions
        self._open: WeakSet[Any] = WeakSet()
        super().__init__(('127.0.0.1', 0), Handler)
        self.url = f'{"https" if tls else "http"}://127.0.0.1:{self.server_address[1]}'
        if tls:  # the handshake comes with the first read, in the connection's own thread
            self.socket = tls.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = Thread(target=self.serve_forever, args=(0.02,), name=service, daemon=True)

    def start(self, backend: Callable[[Handler], Answer]) -> None:
        self.backend = backend
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
        for connection in self._open:
            cut_off(connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def handle_error(self, *_: object) -> None:
        """A client that went away is no news; crashes of the service are caught where they happen."""
