"""A web server on this machine that gives the answers of a test, to try the real clients on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.servers import running


@dataclass
class Answer:
    """What the server sends. `cut`: it closes the connection before the last byte."""

    status: int = 200
    body: bytes = b'{}'
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


def json_answer(status: int, body: object, **headers: str) -> Answer:
    """Return an answer in the form of Batch; `Retry_After` stands for `Retry-After`."""
    named = {name.replace('_', '-'): value for name, value in headers.items()}
    named['Content-Type'] = 'application/json; odata=minimalmetadata'
    return Answer(status, json.dumps(body).encode(), named)


@dataclass(frozen=True)
class Request:
    """What a client has sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Web:
    """The server's answers, one for each request; when they are used up, `otherwise`."""

    def __init__(self, port: int) -> None:
        self.url = f'http://127.0.0.1:{port}'
        self.answers: list[Answer] = []
        self.otherwise = json_answer(404, {'code': 'NotFound', 'message': {'value': 'None.'}})
        self.requests: list[Request] = []
        self.wait: Callable[[], object] | None = None  # called before each answer
        self.connections = 0

    def next_answer(self) -> Answer:
        return self.answers.pop(0) if self.answers else self.otherwise


@contextmanager
def serve() -> Iterator[Web]:
    """Run a server for as long as the block."""
    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.daemon_threads = True
    server.web = Web(server.server_port)  # type: ignore[attr-defined]
    with running(server):
        yield server.web  # type: ignore[attr-defined]


class Handler(BaseHTTPRequestHandler):
    """Keeps what was sent, and answers."""

    protocol_version = 'HTTP/1.1'
    timeout = 30  # seconds that a connection may be idle

    def setup(self) -> None:
        self.web: Web = self.server.web  # type: ignore[attr-defined]
        self.web.connections += 1
        super().setup()

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        self.web.requests.append(Request(self.command, self.path, dict(self.headers), body))
        if self.web.wait is not None:
            self.web.wait()
        answer = self.web.next_answer()

        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header('Content-Length', str(len(answer.body)))
        self.end_headers()
        if answer.cut:
            self.wfile.write(answer.body[:-1])
            self.close_connection = True
        elif self.command != 'HEAD':
            self.wfile.write(answer.body)

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = answer  # noqa: N815 - http.server

    def log_message(self, *_: object) -> None:
        """Say nothing."""
