"""A terminal without a window: a command runs in it, and a test sees its screen and types.

The command has a pseudo-terminal of its own, and pyte draws what it writes.
"""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pyte
from pyte.screens import Char
from wcwidth import wcwidth

TIMEOUT = 300  # seconds; it ends what hangs, and nothing else
BARS = ('Uploading: ', 'Tasks: ', 'Downloading: ')

# What the sample says when it has noticed a signal, and its questions: patterns to wait for.
INTERRUPTED = '^Interrupted: '
DELETE_CONTAINER = r'^Delete container\?'
DELETE_JOB = r'^Delete job\?'
DELETE_POOL = r'^Delete pool\?'
DELETE_OLD_JOB = r'^Delete it and go on\?'

# What the keys send.
ENTER = '\r'
CTRL_C = '\x03'
CTRL_D = '\x04'

# The pseudo-terminal becomes the controlling terminal of the command that follows. Otherwise
# Ctrl-C and a new size would send it no signal.
_LOGIN = 'import os, sys; os.login_tty(0); os.execvp(sys.argv[1], sys.argv[1:])'


class Screen:
    """A terminal of this size in which the command runs.

    What is on the screen when the command has ended stays there. With a width and a height of 0,
    the terminal does not tell its size.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        folder: Path,
        width: int = 80,
        height: int = 24,
    ) -> None:
        self._written = b''
        self._emulator = _Emulator(width or 80, height or 24, history=10_000)
        self._stream = pyte.ByteStream(self._emulator)
        self._lock = threading.Lock()

        self._master, slave = pty.openpty()
        termios.tcsetwinsize(self._master, (height, width))

        self.process = subprocess.Popen(
            [sys.executable, '-c', _LOGIN, *command],
            env=_environment_of_a_terminal(environment),
            cwd=folder,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """Draw what the command writes, until nobody holds its end of the terminal any more."""
        with suppress(OSError):  # Linux reports the end as an error
            while written := os.read(self._master, 65536):
                with self._lock:
                    self._written += written
                    self._stream.feed(written)

    @property
    def output(self) -> str:
        """All that the command has written so far, with its control sequences."""
        with self._lock:
            return self._written.decode(errors='replace')

    def cells(self) -> list[list[Char]]:
        """Return the rows of the screen, each a list of characters with their colours."""
        with self._lock:
            return [self._emulator.row(y) for y in range(self._emulator.lines)]

    def look(self) -> str:
        """Return what is on the screen; no bar may be on it twice."""
        with self._lock:
            shown = '\n'.join(self._emulator.shown())
        for bar in BARS:
            assert shown.count(bar) <= 1, shown
        return shown

    def look_back(self) -> str:
        """Return what is on the screen, after all that has left it at the top."""
        with self._lock:
            return '\n'.join([*self._emulator.scrolled_away(), *self._emulator.shown()])

    def wait_for(self, pattern: str) -> str:
        """Return the first screen on which this regular expression is found."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            has_ended = not self._reader.is_alive()
            shown = self.look()
            if re.search(pattern, shown, re.MULTILINE):
                return shown

            assert not has_ended, f'The command has ended without {pattern!r}:\n{shown}'
            assert time.monotonic() < deadline, f'{pattern!r} never came:\n{shown}'
            time.sleep(0.02)

    def type(self, text: str) -> None:
        """Press these keys; ENTER, CTRL_C and CTRL_D are among them."""
        os.write(self._master, text.encode())

    def resize(self, width: int, height: int, *, reflow: bool = False) -> None:
        """Change the size of the window, and tell the command by SIGWINCH.

        A line that has become too long is cut, as xterm does it. With `reflow` it goes on in
        the next row, as in GNOME Terminal, kitty and tmux.
        """
        with self._lock:
            self._emulator.change_size(width, height, reflow=reflow)
            termios.tcsetwinsize(self._master, (height, width))

    def finish(self) -> int:
        """Wait for the end of the command, and return its exit code."""
        exit_code = self.process.wait(timeout=TIMEOUT)
        self._reader.join(timeout=TIMEOUT)
        return exit_code

    def close(self) -> None:
        """End what runs in the terminal, at once, and the terminal."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.finish()
        os.close(self._master)


def _environment_of_a_terminal(environment: Mapping[str, str]) -> dict[str, str]:
    """Return these variables as they are in a terminal of this kind."""
    variables = {**environment, 'TERM': 'xterm-256color', 'LC_ALL': 'C.UTF-8'}
    for name in ('COLUMNS', 'LINES'):  # pytest-xdist sets them; they would win over the real size
        variables.pop(name, None)
    return variables


class _Emulator(pyte.HistoryScreen):
    """pyte's screen, which here treats wide characters and a new size as common terminals do."""

    def draw(self, data: str) -> None:
        """Draw a text; a wide character that does not fit into the row begins the next one."""
        # One by one: pyte drops what follows a character without a width, a joiner for example.
        for character in data:
            is_in_last_column = self.cursor.x == self.columns - 1
            if is_in_last_column and wcwidth(character) == 2:
                self.cursor.x = self.columns
            super().draw(character)

    def row(self, y: int) -> list[Char]:
        """Return the cells of a row; the second cell of a wide character is empty."""
        return [self.buffer[y][x] for x in range(self.columns)]

    def shown(self) -> list[str]:
        """Return the text of each row on the screen."""
        return [_text(self.row(y)) for y in range(self.lines)]

    def scrolled_away(self) -> list[str]:
        """Return the text of each row that has left the screen at the top."""
        return [
            _text([row[x] for x in range(max(row, default=-1) + 1)]) for row in self.history.top
        ]

    def change_size(self, width: int, height: int, *, reflow: bool) -> None:
        """Change the size; what no longer fits leaves the screen at the top."""
        rows: list[list[Char]] = []
        cursor_x, cursor_y = self.cursor.x, self.cursor.y
        for y in range(self._used_rows()):
            pieces = list(_pieces(self._used_cells(y), width))
            if not reflow:
                pieces = pieces[:1]

            if y == self.cursor.y:
                cursor_y = len(rows)
                for piece in pieces[:-1]:
                    if cursor_x < len(piece):
                        break
                    cursor_x -= len(piece)
                    cursor_y += 1
            rows.extend(pieces)

        excess = max(0, len(rows) - height)
        self._fill(rows[:excess])
        self.history.top.extend(self.buffer[y] for y in range(excess))
        self._fill(rows[excess:])

        self.lines, self.columns = height, width
        self.set_margins()
        self.cursor.x = min(cursor_x, width - 1)
        self.cursor.y = max(0, cursor_y - excess)
        self.dirty.update(range(height))

    def _used_rows(self) -> int:
        """Return the number of rows down to the cursor or to the last text."""
        last = max((y for y in range(self.lines) if self._used_cells(y)), default=0)
        return max(last, self.cursor.y) + 1

    def _used_cells(self, y: int) -> list[Char]:
        """Return the cells of a row without the blank ones at its end."""
        cells = self.row(y)
        while cells and cells[-1] == self.default_char:
            cells.pop()
        return cells

    def _fill(self, rows: list[list[Char]]) -> None:
        """Replace all that is on the screen by these rows."""
        self.buffer.clear()
        for y, cells in enumerate(rows):
            self.buffer[y].update(enumerate(cells))


def _pieces(cells: list[Char], width: int) -> Iterator[list[Char]]:
    """Split a row into rows of this width, and no wide character into halves."""
    while len(cells) > width:
        end = width
        if cells[end].data == '':
            end -= 1
        yield cells[:end]
        cells = cells[end:]
    yield cells


def _text(cells: list[Char]) -> str:
    """Return the text in these cells; where half of a wide character is overwritten, a space."""
    text = ''
    previous = ''
    for place, cell in enumerate(cells):
        following = cells[place + 1].data if place + 1 < len(cells) else ' '
        is_wide = wcwidth(cell.data[:1]) == 2
        is_torn = is_wide and following != ''
        is_second_half = cell.data == '' and wcwidth(previous[:1]) == 2
        is_remnant = cell.data == '' and not is_second_half
        if is_torn or is_remnant:
            text += ' '
        else:
            text += cell.data
        previous = cell.data
    return text.rstrip()
