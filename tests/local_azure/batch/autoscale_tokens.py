"""The tokens of an autoscale formula: its numbers, names and signs, each with its place.

Also the refusal of what is not understood, which says the place.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, NoReturn

from tests.local_azure.batch.errors import BatchError

Kind = Literal['number', 'text', 'variable', 'name', 'member', 'sign', 'unknown', 'end']


def not_understood(part: str) -> BatchError:
    text = f'The local Batch service does not imitate this part of an autoscale formula: {part}'
    return BatchError('NotImplemented', text)


_SKIPPED = re.compile(r'(?:\s|//[^\n]*)*')
_TOKENS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ('number', re.compile(r'\d+(?:\.\d+)?')),
    ('text', re.compile(r'"[^"]*"')),
    ('variable', re.compile(r'\$\w+')),
    ('name', re.compile(r'[A-Za-z_]\w*')),
    ('member', re.compile(r'\.[A-Za-z_]\w*')),
    ('sign', re.compile(r'<=|>=|==|!=|&&|\|\||[-+*/<>!=?:;,()]')),
    ('unknown', re.compile(r'(?s:.)')),
)


class Token(NamedTuple):
    kind: Kind
    text: str
    place: str

    def refuse(self, part: str = '') -> NoReturn:
        raise not_understood(f'{part or self.text or "the end"} ({self.place})')


def split(formula: str) -> list[Token]:
    tokens = []
    position = _end_of_space(formula, 0)
    while position < len(formula):
        token = _token_at(formula, position)
        tokens.append(token)
        position = _end_of_space(formula, position + len(token.text))
    tokens.append(Token('end', '', _place(formula, len(formula))))
    return tokens


def _end_of_space(formula: str, position: int) -> int:
    """Where blanks, line breaks and comments that begin here have ended."""
    match = _SKIPPED.match(formula, position)
    return match.end() if match else position


def _token_at(formula: str, position: int) -> Token:
    for kind, pattern in _TOKENS:
        match = pattern.match(formula, position)
        if match:
            return Token(kind, match.group(), _place(formula, position))
    raise AssertionError('the last pattern matches any character')


def _place(formula: str, position: int) -> str:
    """As the service writes it (Azure docs, batch-pool-autoscale-event)."""
    before = formula[:position]
    column = position - before.rfind('\n')
    return f'Line {before.count(chr(10)) + 1}, Col {column}'
