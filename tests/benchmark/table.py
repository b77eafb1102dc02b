"""The table: what was measured, beside its target."""

from __future__ import annotations

import operator
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
        return Cost(self.seconds * factor, self.requests * factor, self.size * factor)

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

    @property
    def met(self) -> bool:
        compare = {'at least': operator.ge, 'at most': operator.le, 'under': operator.lt}[
            self.bound
        ]
        return bool(compare(self.result, self.target))

    def cells(self) -> list[str]:
        """Return the row as texts."""
        result = f'{amount(self.result)} {self.unit}'.strip()
        target = f'{self.bound} {amount(self.target)} {self.unit}'.strip()
        return [
            self.phase,
            str(self.ours),
            str(self.theirs),
            result,
            target,
            'yes' if self.met else 'MISSED',
        ]


HEADINGS = ['Phase', 'This script', "The tutorial's way", 'Result', 'Target', 'Met']


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table whose columns stand in line."""
    lines = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    texts = [
        ' | '.join(f'{cell:<{width}}' for cell, width in zip(line, widths, strict=True))
        for line in lines
    ]
    texts.insert(1, ' | '.join('-' * width for width in widths))
    return '\n'.join(f'| {text} |' for text in texts)


def amount(number: float) -> str:
    """Return a number with as many digits as are of interest."""
    if number >= 100 or number == int(number):
        return f'{number:,.0f}'
    return f'{number:.1f}' if number >= 10 else f'{number:.2f}'


def in_bytes(size: float) -> str:
    """Return a number of bytes with its unit."""
    for unit, factor in (('MB', 1e6), ('KB', 1e3)):
        if size >= factor:
            return f'{amount(size / factor)} {unit}'
    return f'{size:.0f} bytes'
