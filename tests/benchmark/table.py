"""The table: what was measured, beside its target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Cost:
    """What a phase takes: time, requests and the bytes of their bodies."""

    seconds: float
    requests: float
    size: float

    def times(self, factor: float) -> Cost:
        """Return the cost of so many times the work."""
        return Cost(
            seconds=self.seconds * factor,
            requests=self.requests * factor,
            size=self.size * factor,
        )

    def limit(self, latency: float, connections: int) -> float:
        """Return the seconds for which the requests wait at least, so many of them at once."""
        return self.requests * latency / connections

    def __str__(self) -> str:
        return f'{amount(self.seconds)} s, {self.requests:,.0f} requests, {in_bytes(self.size)}'


@dataclass(frozen=True)
class Row:
    """One target, and what was measured for it."""

    phase: str
    ours: object
    theirs: object
    result: float
    unit: str
    bound: Literal['at least', 'at most', 'under']
    target: float
    limit: float | None = None  # seconds: requests x latency / connections

    @property
    def met(self) -> bool:
        """Whether the result is on the right side of the target."""
        if self.bound == 'at least':
            return self.result >= self.target
        if self.bound == 'at most':
            return self.result <= self.target
        return self.result < self.target

    def cells(self) -> list[str]:
        """Return the row as texts."""
        limit = '-'
        if self.limit is not None:
            limit = f'{amount(self.limit)} s'

        return [
            self.phase,
            str(self.ours),
            limit,
            str(self.theirs),
            f'{amount(self.result)} {self.unit}'.strip(),
            f'{self.bound} {amount(self.target)} {self.unit}'.strip(),
            'yes' if self.met else 'MISSED',
        ]


HEADINGS = ['Phase', 'This script', 'Limit', "The tutorial's way", 'Result', 'Target', 'Met']


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table whose columns stand in line."""
    lines = [HEADINGS]
    for row in rows:
        lines.append(row.cells())

    widths = []
    for column in range(len(HEADINGS)):
        widths.append(max(len(line[column]) for line in lines))

    texts = [in_columns(line, widths) for line in lines]
    texts.insert(1, in_columns(['-' * width for width in widths], widths))
    return '\n'.join(texts)


def in_columns(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Return one line of the table."""
    padded = []
    for cell, width in zip(cells, widths, strict=True):
        padded.append(cell.ljust(width))
    return f'| {" | ".join(padded)} |'


def amount(number: float) -> str:
    """Return a number with as many digits as are of interest."""
    if number >= 100 or number == int(number):
        return f'{number:,.0f}'
    if number >= 10:
        return f'{number:.1f}'
    return f'{number:.2f}'


def in_bytes(size: float) -> str:
    """Return a number of bytes with its unit."""
    if size >= 1e6:
        return f'{amount(size / 1e6)} MB'
    if size >= 1e3:
        return f'{amount(size / 1e3)} KB'
    return f'{size:.0f} bytes'
