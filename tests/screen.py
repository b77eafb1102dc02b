"""A real terminal in which a command runs: tmux, without the settings of the user."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

TIMEOUT = 60  # seconds
BARS = ('Uploading: ', 'Tasks: ', 'Downloading: ', ' nodes ready')


class Screen:
    """A terminal of this size; what is on it when the command has ended stays. Each look must show a bar only once."""

    def __init__(
        self,
        command: Sequence[object],
        environment: Mapping[str, str],
        folder: Path,
        width: int,
        height: int,
    ) -> None:
        self._socket = f'sample-{uuid.uuid4().hex}'
        line = f'{shlex.join(map(str, command))}; echo "Exit code: $?."; read'
        size = ('-x', str(width), '-y', str(height))
        outside = {name: value for name, value in environment.items() if name != 'TMUX'}
        self._tmux(
            *('-f', '/dev/null', 'new-session', '-d', *size, '-c', str(folder), 'bash', '-c', line),
            env={**outside, 'LC_ALL': 'C.UTF-8'},
        )

    def _tmux(self, *arguments: str, **options: Any) -> str:
        command = ['tmux', '-L', self._socket, *arguments]
        return str(
            subprocess.run(
                command, check=True, capture_output=True, encoding='utf-8', **options
            ).stdout
        )

    def look(self, *options: str) -> str:
        """Return what is on the screen; `-e`: with colours, `-S -`: with what has left it at the top."""
        shown = self._tmux('capture-pane', '-p', *options)
        assert all(shown.count(bar) <= 1 for bar in BARS), shown
        return shown

    def wait_for(self, pattern: str) -> str:
        """Return the first screen with a line that matches this regular expression."""
        deadline = time.monotonic() + TIMEOUT
        while not re.search(pattern, shown := self.look(), re.MULTILINE):
            assert time.monotonic() < deadline, f'{pattern!r} never came:\n{shown}'
            time.sleep(0.02)
        return shown

    def type(self, *keys: str) -> None:
        """Press keys, by their names in tmux."""
        self._tmux('send-keys', *keys)

    def close(self) -> None:
        """End what runs in the terminal, at once, and the terminal."""
        with suppress(ProcessLookupError):
            os.killpg(int(self._tmux('display-message', '-p', '#{pane_pid}')), signal.SIGKILL)
        with suppress(
            subprocess.CalledProcessError
        ):  # without a command in it, it may have ended by itself
            self._tmux('kill-server')
