"""Ends what is left when this process dies without a chance to clean up (kill -9): processes, temporary folder.

Run as a program, it reads '+<process group>' and '-<process group>' lines; at the end of its input, which is the end of
its parent, it kills the groups that are still there and removes the folder given as its argument.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path


def kill_group(group: int) -> None:
    """Ends a process group at once; it may be gone already."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


class Watchdog:
    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, '-S', '-E', __file__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def watch(self, group: int) -> None:
        self._tell(f'+{group}')

    def forget(self, group: int) -> None:
        self._tell(f'-{group}')

    def stop(self) -> None:
        """Lets the watchdog do its work now, and waits for it."""
        assert self._process.stdin
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin
        with self._lock, suppress(BrokenPipeError, ValueError):
            self._process.stdin.write(line.encode() + b'\n')
            self._process.stdin.flush()


def main(folder: str) -> None:
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == '+' else groups.discard)(int(line[1:]))
    for group in groups:
        kill_group(group)
    for environment in Path('/proc').glob('[0-9]*/environ'):  # Linux: what was just started and not yet reported
        with suppress(OSError):
            if folder.encode() in environment.read_bytes():
                kill_group(os.getpgid(int(environment.parent.name)))
    for _ in range(50):  # a killed process may still be writing
        shutil.rmtree(folder, ignore_errors=True)
        if not Path(folder).exists():
            break


if __name__ == '__main__':
    main(sys.argv[1])
