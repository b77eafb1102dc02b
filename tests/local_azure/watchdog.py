"""Ends what is left when this process dies without a chance to clean up (kill -9).

That is processes and the temporary folder. Run as a program, it waits for the end of its input,
which is the end of its parent. Then it kills the process groups that have a file in
<folder>/groups, and removes the folder, which is its argument.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

REMOVALS = 50  # attempts: a killed process may still be writing


def kill_group(group: int) -> None:
    """Ends a process group at once; it may be gone already."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


class Watchdog:
    def __init__(self, folder: Path) -> None:
        self._groups = folder / 'groups'
        self._groups.mkdir()
        self._process = subprocess.Popen(
            [sys.executable, '-S', '-E', __file__, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def watch(self, group: int) -> None:
        (self._groups / str(group)).touch()

    def forget(self, group: int) -> None:
        (self._groups / str(group)).unlink()

    def stop(self) -> None:
        """Lets the watchdog do its work now, and waits for it."""
        self._process.communicate()


def main(folder: Path) -> None:
    sys.stdin.read()
    for file in (folder / 'groups').iterdir():
        kill_group(int(file.name))
    kill_unreported(folder)
    remove(folder)


def kill_unreported(folder: Path) -> None:
    """Linux: also what was just started, and knows the folder from its environment."""
    for environment in Path('/proc').glob('[0-9]*/environ'):
        with suppress(OSError):
            if bytes(folder) in environment.read_bytes():
                process = int(environment.parent.name)
                kill_group(os.getpgid(process))


def remove(folder: Path) -> None:
    for _ in range(REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return


if __name__ == '__main__':
    main(Path(sys.argv[1]))
