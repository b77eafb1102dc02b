"""The HTTP front of a service: connections, TLS, requests on record, latency and faults on demand.

Behind it is a backend, which turns a request into an answer: Batch, storage, Entra ID.
"""

from __future__ import annotations

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

from tests.local_azure import storage_sas
from tests.local_azure.faults import Faults, RequestFault, Scheme, Service, Source

NODE_USER_AGENT = 'local-azure-node'  # who calls itself so is a node, everybody else a client
HTML = b'<html><head><title>Proxy Error</title></head><body><h1>Proxy Error</h1></body></html>'
TIME_OF_ERRORS = '2026-01-01T00:00:00.0000001Z'  # of those that a fault asks for
WITHOUT_BODY = (204, 304)  # statuses
READ_AT_ONCE = 1 << 20  # bytes
POLL = 0.02  # seconds until a front notices that it is to stop


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
    port: int  # the client's, one for each connection


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b''
    reason: str = ''  # that of the status if empty


@dataclass
class Conditions:
    """What all fronts share: faults, and the record of requests.

    `refusal` is asked with the service and the Authorization header of each request.
    """

    faults: Faults
    requests: list[Request] = field(default_factory=list)
    refusal: Callable[[Service, str], RequestFault | None] | None = None


class Handler(BaseHTTPRequestHandler):
    """One connection.

    Of the request on it a backend reads `command`, `path` and `query` (as sent), `arguments` (the
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
        """Answers a request, and records it however it ends."""
        started = time.monotonic()
        self._target = self.path
        self.path, _, self.query = self._target.partition('?')
        self.arguments = _first_values(self.query)
        self.request_id = str(uuid.uuid4())
        self.body = b''

        is_node = self.headers.get('User-Agent') == NODE_USER_AGENT
        self._source: Source = 'node' if is_node else 'client'
        self._status = 0
        self._bytes_out = 0
        try:
            self._answer()
        finally:
            self._record(started)

    def _record(self, started: float) -> None:
        request = Request(
            service=self.server.service,
            source=self._source,
            method=self.command,
            path=self.path,
            query=self.query,
            status=self._status,
            bytes_in=len(self.body),
            bytes_out=self._bytes_out,
            started=started,
            seconds=time.monotonic() - started,
            port=self.client_address[1],
        )
        self.server.conditions.requests.append(request)

    def _answer(self) -> None:
        fault = self._read_body_or_refuse() or self._armed_fault() or self._wrong_token()

        if self._source == 'client':
            time.sleep(self.server.conditions.faults.latency)

        if fault and fault.cuts_before():  # it also waits for the end of a hold
            self._cut()
        if fault and fault.action == 'answer':
            self._send(self.server.refusal(fault, self.request_id))
            return

        answer = self.server.backend(self)
        if fault and fault.action == 'cut':
            self._send_and_cut(answer, in_mid_body=fault.where == 'mid-body')
        else:
            self._send(answer)

    # What is wrong with a request

    def _read_body_or_refuse(self) -> RequestFault | None:
        """A refusal if nobody can know where the body ends, and where the next request begins."""
        try:
            self._read_body()
        except ValueError:
            self.close_connection = True
            return RequestFault(service=self.server.service, status=400, code='InvalidHeaderValue')
        return None

    def _armed_fault(self) -> RequestFault | None:
        service = self.server.service
        scheme = self._scheme()

        def concerns(fault: RequestFault) -> bool:
            return fault.concerns(service, self.command, self._target, self._source, scheme)

        return self.server.conditions.faults.take(RequestFault, concerns)

    def _wrong_token(self) -> RequestFault | None:
        refusal = self.server.conditions.refusal
        if not refusal:
            return None
        return refusal(self.server.service, self.headers.get('Authorization', ''))

    def _scheme(self) -> Scheme | None:
        """How the request is authenticated; a SAS counts as what it was signed with."""
        name, _, _ = self.headers.get('Authorization', '').partition(' ')
        if not name:
            return storage_sas.signed_with(self.query)
        if name == 'Bearer':
            return 'Bearer'
        if name.startswith('SharedKey'):
            return 'SharedKey'
        return None

    # The body

    def _read_body(self) -> None:
        if 'chunked' in self.headers.get('Transfer-Encoding', '').lower():
            self._read_chunks()
        else:
            self.body = self._read(int(self.headers.get('Content-Length') or 0))

    def _read_chunks(self) -> None:
        while True:
            size, _, _ = self.rfile.readline(1000).partition(b';')
            chunk = self._read(int(size, 16))
            self.rfile.readline(10)
            if not chunk:
                return
            self.body += chunk

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self.rfile.read(min(size - len(data), READ_AT_ONCE))
            if not part:
                raise ConnectionResetError
            data += part
        return bytes(data)

    # The answer

    def _send(self, answer: Answer) -> None:
        body = self._body_of(answer)
        self.wfile.write(self._head_of(answer, body) + body)
        self._status = answer.status
        self._bytes_out = len(body)

    def _send_and_cut(self, answer: Answer, *, in_mid_body: bool) -> None:
        if in_mid_body:
            body = self._body_of(answer)
            half = body[: len(body) // 2]
            self.wfile.write(self._head_of(answer, body) + half)
        self._cut()

    def _body_of(self, answer: Answer) -> bytes:
        if self.command == 'HEAD' or answer.status in WITHOUT_BODY:
            return b''
        return answer.body

    def _head_of(self, answer: Answer, body: bytes) -> bytes:
        reason = answer.reason or HTTPStatus(answer.status).phrase
        lines = [f'HTTP/1.1 {answer.status} {reason}']

        ours = {'Date': formatdate(usegmt=True), 'Server': 'Microsoft-HTTPAPI/2.0'}
        if self.command != 'HEAD':
            ours['Content-Length'] = str(len(body))
        given = {name.lower() for name in answer.headers}
        for name, value in ours.items():
            if name.lower() not in given:
                lines.append(f'{name}: {value}')

        for name, value in answer.headers.items():
            lines.append(f'{name}: {value}')
        head = '\r\n'.join([*lines, '', ''])
        return head.encode('latin-1', 'replace')

    def _cut(self) -> None:
        cut_off(self.connection)
        raise ConnectionAbortedError

    def log_message(self, *_: object) -> None:
        """Says nothing: the requests are on record."""


def _first_values(query: str) -> dict[str, str]:
    values = parse_qs(query, keep_blank_values=True, errors='surrogateescape')
    return {name: several[0] for name, several in values.items()}


def cut_off(connection: Any) -> None:
    with suppress(OSError):
        connection.shutdown(SHUT_RDWR)


# The server


class Front(ThreadingTCPServer):
    """A thread for each connection to a free loopback port; those that are open end with it.

    `say_error` makes the answer for a fault and the id of a request, in the form of the service.
    """

    request_queue_size = 1024
    daemon_threads = True
    backend: Callable[[Handler], Answer]

    def __init__(
        self,
        service: Service,
        conditions: Conditions,
        tls: ssl.SSLContext | None,
        say_error: Callable[[RequestFault, str], Answer],
    ) -> None:
        self.service = service
        self.conditions = conditions
        self._say_error = say_error
        self._open: WeakSet[Any] = WeakSet()
        super().__init__(('127.0.0.1', 0), Handler)

        scheme = 'https' if tls else 'http'
        self.url = f'{scheme}://127.0.0.1:{self.server_address[1]}'
        if tls:  # the handshake comes with the first read, in the connection's own thread
            self.socket = tls.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = Thread(target=self.serve_forever, args=(POLL,), name=service, daemon=True)

    def start(self, backend: Callable[[Handler], Answer]) -> None:
        self.backend = backend
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
        for connection in self._open:
            cut_off(connection)

    def refusal(self, fault: RequestFault, request_id: str) -> Answer:
        """The error as its service says it, or the page of a broken gateway."""
        if fault.html:
            answer = Answer(fault.status, {'Content-Type': 'text/html'}, HTML)
        else:
            answer = self._say_error(fault, request_id)
        return answer._replace(headers={**answer.headers, **fault.headers})

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def handle_error(self, *_: object) -> None:
        """A client that went away is no news; a backend reports its own crashes."""
