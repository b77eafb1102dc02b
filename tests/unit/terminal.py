"""A terminal in this process: the script writes to it, and a test sees its screen."""

from __future__ import annotations

import os
import pty
import termios
from typing import Self

import pyte


class Terminal:
    """A terminal of this size. What is written to `stream` is drawn on `rows`."""

    def __init__(self, width: int, height: int = 24) -> None:
        self._master, slave = pty.openpty()
        self.stream = os.fdopen(slave, 'w', encoding='utf-8')
        termios.tcsetwinsize(slave, (height, width))
        os.set_blocking(self._master, False)

        self._emulator = pyte.Screen(width, height)
        self._drawing = pyte.ByteStream(self._emulator)

    @property
    def rows(self) -> list[str]:
        """What is on the screen now, without the empty rows at its end."""
        self.stream.flush()
        self._draw()
        shown = [row.rstrip() for row in self._emulator.display]
        while shown and not shown[-1]:
            shown.pop()
        return shown

    def _draw(self) -> None:
        while True:
            try:
                written = os.read(self._master, 65536)
            except BlockingIOError:  # nothing more
                return
            self._drawing.feed(written)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give both ends back."""
        self.stream.close()
        os.close(self._master)
