"""A small HTTP proxy in front of Azurite: requests on record, latency and faults on demand.

Bodies are streamed, connections kept alive.
"""

from __future__ import annotations

import re
import socket
import socketserver
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO
from urllib.parse import parse_qs

from .faults import BeingDeleted, RequestFault, Source
from .server import HTML, Conditions, LoopbackServer, Request, cut
from .transfer import AGENT

CHUNK = 1 << 18
_HEAD_LIMIT = 1 << 16


class _BrokenError(Exception):
    """The connection ends here."""


@dataclass
class _Head:
    """A request or response head: its first line, and the raw bytes to pass on."""

    line: str
    raw: bytes
    headers: dict[str, str]

    @property
    def chunked(self) -> bool:
        return 'chunked' in self.headers.get('transfer-encoding', '').lower()

    @property
    def length(self) -> int:
        text = self.headers.get('content-length', '0')
        if not text.isascii() or not text.isdigit():
            raise _BrokenError
        return int(text)


def _read_head(stream: IO[bytes]) -> _Head | None:
    """None at the end of the connection."""
    lines: list[bytes] = []
    size = 0
    while True:
        line = stream.readline(_HEAD_LIMIT)
        size += len(line)
        if not line or not line.endswith(b'\n') or size > _HEAD_LIMIT:
            if not lines and not line:
                return None
            raise _BrokenError
        lines.append(line)
        if line in (b'\r\n', b'\n'):
            break
    pairs = (line.decode('latin-1').partition(':') for line in lines[1:-1])
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return _Head(lines[0].decode('latin-1').strip(), b''.join(lines), headers)


def _copy(source: IO[bytes], head: _Head, write: Callable[[bytes], object]) -> int:
    """Passes a body on as it comes; its size without the framing of chunks."""
    if not head.chunked:
        return _copy_exactly(source, head.length, write)
    total = 0
    while True:
        line = source.readline(_HEAD_LIMIT)
        try:
            size = int(line.split(b';')[0], 16)
        except ValueError as error:
            raise _BrokenError from error
        write(line)
        total += _copy_exactly(source, size, write)
        write(source.readline(_HEAD_LIMIT))  # the line end after a chunk; the empty line after the last one
        if size == 0:
            return total


def _copy_exactly(source: IO[bytes], length: int, write: Callable[[bytes], object]) -> int:
    left = length
    while left:
        data = source.read(min(left, CHUNK))
        if not data:
            raise _BrokenError
        write(data)
        left -= len(data)
    return length


class _Upstream:
    """One connection to Azurite, for one connection of a client."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(('127.0.0.1', port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream: IO[bytes] = self.socket.makefile('rb')

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


class _Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    rbufsize = CHUNK
    server: StorageProxy
    rfile: IO[bytes]  # type: ignore[assignment]

    def handle(self) -> None:
        self._upstream: _Upstream | None = None
        try:
            while (head := _read_head(self.rfile)) and self._one(head):
                pass
        except (_BrokenError, OSError, ValueError):
            cut(self.connection)
        finally:
            if self._upstream:
                self._upstream.close()

    def _one(self, head: _Head) -> bool:
        """Serves one request; False when the connection ends with it."""
        started = time.monotonic()
        method, _, rest = head.line.partition(' ')
        target = rest.rpartition(' ')[0]
        path, _, query = target.partition('?')
        source: Source = 'node' if head.headers.get('user-agent', '') == AGENT else 'client'
        conditions = self.server.conditions
        if head.headers.get('expect', '').lower() == '100-continue':
            self.wfile.write(b'HTTP/1.1 100 Continue\r\n\r\n')
            head.raw = re.sub(rb'(?i)\r\nexpect:[^\r]*', b'', head.raw)
        conditions.delay(source)
        fault = conditions.faults.take_request('storage', method, target, source) or self._being_deleted(
            method, path, query
        )
        status, size_in, size_out = 0, 0, 0
        try:
            if fault and fault.cuts_before():
                raise _BrokenError
            if fault and fault.action == 'answer':
                size_in = _copy(self.rfile, head, len)
                status, size_out = fault.status, self._answer(fault, method)
            else:
                status, size_in, size_out = self._forward(head, method, fault)
                if method == 'DELETE' and status == 202:
                    self._deleted(path, query)
        finally:
            seconds = time.monotonic() - started
            conditions.record(
                Request('storage', source, method, path, query, status, size_in, size_out, started, seconds)
            )
        return head.headers.get('connection', '').lower() != 'close'

    def _forward(self, head: _Head, method: str, fault: RequestFault | None) -> tuple[int, int, int]:
        if not self._upstream:
            self._upstream = _Upstream(self.server.azurite_port())
        upstream = self._upstream
        upstream.socket.sendall(head.raw)
        size_in = _copy(self.rfile, head, upstream.socket.sendall)
        answer = _read_head(upstream.stream)
        if answer is None:
            raise _BrokenError
        status = int(answer.line.split()[1])
        empty = method == 'HEAD' or status in (204, 304)
        if not fault:
            self.wfile.write(answer.raw)
            return status, size_in, 0 if empty else _copy(upstream.stream, answer, self.wfile.write)
        body: list[bytes] = []
        if not empty:
            _copy(upstream.stream, answer, body.append)
        if fault.where == 'mid-body':
            whole = b''.join(body)
            self.wfile.write(answer.raw + whole[: len(whole) // 2])
        raise _BrokenError

    def _answer(self, fault: RequestFault, method: str) -> int:
        """An error of the storage service (REST reference, "Blob service error codes"), or a broken gateway's HTML."""
        text = f'<?xml version="1.0"?><Error><Code>{fault.code}</Code><Message>{fault.code}</Message></Error>'
        body = HTML if fault.html else text.encode()
        lines = [f'HTTP/1.1 {fault.status} {fault.code}', f'Content-Length: {len(body)}']
        if fault.html:
            lines.append('Content-Type: text/html')
        else:
            lines += ['Content-Type: application/xml', f'x-ms-error-code: {fault.code}']
        if fault.retry_after is not None:
            lines.append(f'Retry-After: {fault.retry_after}')
        self.wfile.write('\r\n'.join([*lines, '', '']).encode() + (b'' if method == 'HEAD' else body))
        return len(body)

    def _container(self, path: str, query: str) -> str | None:
        """The container that a request on a container itself is about."""
        arguments = parse_qs(query)
        if arguments.get('restype') == ['container'] and 'comp' not in arguments:
            return path.strip('/').partition('/')[2]
        return None

    def _deleted(self, path: str, query: str) -> None:
        name = self._container(path, query)
        if name and (found := self.server.conditions.faults.find(BeingDeleted, lambda fault: fault.container == name)):
            found.armed = True

    def _being_deleted(self, method: str, path: str, query: str) -> RequestFault | None:
        if method != 'PUT' or not (name := self._container(path, query)):
            return None
        faults = self.server.conditions.faults
        if not faults.take(BeingDeleted, lambda fault: fault.container == name and fault.armed):
            return None
        return RequestFault(
            service='storage',
            method='PUT',
            path='',
            source=None,
            action='answer',
            status=409,
            code='ContainerBeingDeleted',
        )


class StorageProxy(LoopbackServer):
    """Accepts connections at once; the first request waits for Azurite."""

    def __init__(self, conditions: Conditions, azurite_port: Callable[[], int]) -> None:
        super().__init__(_Handler, conditions, 'storage')
        self.azurite_port = azurite_port
