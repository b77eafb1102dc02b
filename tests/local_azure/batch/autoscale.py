"""Autoscale formulas: the part of their language that is imitated, and what a formula gives.

    $TargetLowPriorityNodes = time() < time("2026-11-25T12:00:00Z") ? 5 : 0;

That is: assignments of the two targets and of the deallocation option, whole numbers, `time()`, the
six comparisons, `condition ? a : b`, parentheses, comments. The service knows much more (Azure
docs: batch-automatic-scaling). Whatever else stands in a formula is NotImplemented, never an error
of the service, since it may be right there.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from tests.local_azure.batch.errors import BatchError
from tests.local_azure.batch.time_formats import parse_http_date

Value = int | datetime
Kind = Literal['number', 'text', 'variable', 'name', 'comparison', 'sign', 'unknown', 'end']

DEALLOCATION = '$NodeDeallocationOption'
# The second name of each is an alias, which yields to the first (Azure docs).
DEDICATED = ('$TargetDedicatedNodes', '$TargetDedicated')
LOW_PRIORITY = ('$TargetLowPriorityNodes', '$TargetLowPriority')
IMITATED_OPTIONS = ('requeue', 'terminate')
MOST_NODES = 2**31 - 1
LONGEST_FORMULA = 8192  # characters (.NET BatchErrorCodeStrings.AutoScaleFormulaTooLong)

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    '<': operator.lt,
    '<=': operator.le,
    '>': operator.gt,
    '>=': operator.ge,
    '==': operator.eq,
    '!=': operator.ne,
}

_SKIPPED = re.compile(r'(?:\s|//[^\n]*)*')
_TOKENS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ('number', re.compile(r'\d+(?:\.\d+)?')),
    ('text', re.compile(r'"[^"]*"')),
    ('variable', re.compile(r'\$\w+')),
    ('name', re.compile(r'[A-Za-z_]\w*')),
    ('comparison', re.compile(r'<=|>=|==|!=|<|>')),
    ('sign', re.compile(r'[=?:;()]')),
    ('unknown', re.compile(r'&&|\|\||\.\w+|.')),
)

# A date with a time and a zone; the shorter forms of W3C-DTF are not imitated. The service itself
# writes up to seven decimals.
_W3C_TIME = re.compile(
    r'\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,7})?)?(?:Z|[+-]\d{2}:\d{2})'
)
_RFC_1123_TIME = re.compile(r'[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT')


@dataclass(frozen=True)
class FormulaResult:
    """What a formula gives: numbers of nodes, and what becomes of the tasks on nodes that leave."""

    dedicated: int
    low_priority: int
    deallocation: str

    @property
    def targets(self) -> dict[bool, int]:
        """As a pool has them: True for dedicated."""
        return {True: self.dedicated, False: self.low_priority}

    def __str__(self) -> str:
        """Recorded traffic: POST /pools/{id}/evaluateautoscale."""
        return (
            f'{DEDICATED[0]}={self.dedicated};'
            f'{LOW_PRIORITY[0]}={self.low_priority};'
            f'{DEALLOCATION}={self.deallocation}'
        )


def evaluate(formula: str, now: datetime, dedicated: int, low_priority: int) -> FormulaResult:
    """The result of a formula; a target that it does not set stays what it is.

    Recorded traffic: $TargetLowPriorityNodes=3 gave $TargetDedicatedNodes=0 and requeue, too.
    """
    if len(formula) > LONGEST_FORMULA:
        raise BatchError('AutoScalingFormulaTooLong')
    reader = _Reader(_split(formula), now)
    reader.read_formula()

    for name in reversed(DEDICATED):
        dedicated = reader.targets.get(name, dedicated)
    for name in reversed(LOW_PRIORITY):
        low_priority = reader.targets.get(name, low_priority)
    return FormulaResult(dedicated, low_priority, reader.deallocation)


# Tokens


class _Token(NamedTuple):
    kind: Kind
    text: str


def _split(formula: str) -> list[_Token]:
    tokens = []
    position = _end_of_space(formula, 0)
    while position < len(formula):
        token = _token_at(formula, position)
        tokens.append(token)
        position = _end_of_space(formula, position + len(token.text))
    tokens.append(_Token('end', ''))
    return tokens


def _end_of_space(formula: str, position: int) -> int:
    """Where blanks, line breaks and comments that begin here have ended."""
    match = _SKIPPED.match(formula, position)
    return match.end() if match else position


def _token_at(formula: str, position: int) -> _Token:
    for kind, pattern in _TOKENS:
        match = pattern.match(formula, position)
        if match:
            return _Token(kind, match.group())
    return _Token('unknown', formula[position])


# Statements and expressions


def _not_imitated(part: str) -> BatchError:
    text = f'The local Batch service does not imitate this part of an autoscale formula: {part}'
    return BatchError('NotImplemented', text)


class _Reader:
    """Reads a formula once, from left to right, and evaluates it on the way."""

    def __init__(self, tokens: list[_Token], now: datetime) -> None:
        self.targets: dict[str, int] = {}
        self.deallocation = 'requeue'
        self._tokens = tokens
        self._position = 0
        self._now = now

    def read_formula(self) -> None:
        """formula = [statement] {";" [statement]}"""
        while self._peek().kind != 'end':
            if self._peek().text == ';':
                self._take()
            else:
                self._read_statement()

    def _read_statement(self) -> None:
        """statement = variable "=" (expression | option)"""
        variable = self._take().text
        if variable == DEALLOCATION:
            self._expect('=')
            self._read_option()
        elif variable in DEDICATED or variable in LOW_PRIORITY:
            self._expect('=')
            self._read_target(variable)
        else:
            raise _not_imitated(variable)

    def _read_option(self) -> None:
        option = self._take().text
        self._check_end_of_statement()
        if option not in IMITATED_OPTIONS:
            raise _not_imitated(option)
        self.deallocation = option

    def _read_target(self, variable: str) -> None:
        value = self._read_expression()
        self._check_end_of_statement()
        if isinstance(value, datetime):
            raise _not_imitated(f'{variable} = a time')
        self.targets[variable] = value

    def _read_expression(self) -> Value:
        """expression = comparison ["?" expression ":" expression]"""
        condition = self._read_comparison()
        if self._peek().text != '?':
            return condition

        if isinstance(condition, datetime):
            raise _not_imitated('a time before ?')
        self._expect('?')
        value = self._read_expression()
        self._expect(':')
        otherwise = self._read_expression()
        return value if condition else otherwise

    def _read_comparison(self) -> Value:
        """comparison = operand [("<" | "<=" | ">" | ">=" | "==" | "!=") operand]"""
        left = self._read_operand()
        if self._peek().kind != 'comparison':
            return left

        sign = self._take().text
        right = self._read_operand()
        if isinstance(left, datetime) != isinstance(right, datetime):
            raise _not_imitated(f'a time {sign} a number')
        return int(COMPARISONS[sign](left, right))

    def _read_operand(self) -> Value:
        """operand = number | "time" "(" [text] ")" | "(" expression ")" """
        token = self._take()
        if token.kind == 'number':
            return _number(token.text)
        if token.text == 'time':
            return self._read_time()
        if token.text == '(':
            value = self._read_expression()
            self._expect(')')
            return value
        raise _not_imitated(token.text or 'the end')

    def _read_time(self) -> datetime:
        self._expect('(')
        moment = self._now
        if self._peek().kind == 'text':
            moment = _moment(self._take().text[1:-1])
        self._expect(')')
        return moment

    def _peek(self) -> _Token:
        return self._tokens[self._position]

    def _take(self) -> _Token:
        token = self._peek()
        if token.kind != 'end':
            self._position += 1
        return token

    def _check_end_of_statement(self) -> None:
        token = self._peek()
        if token.kind != 'end' and token.text != ';':
            raise _not_imitated(token.text)

    def _expect(self, text: str) -> None:
        token = self._take()
        if token.text != text:
            raise _not_imitated(f'{token.text or "the end"} where {text} could stand')


def _number(text: str) -> int:
    if '.' in text or int(text) > MOST_NODES:
        raise _not_imitated(text)
    return int(text)


def _moment(text: str) -> datetime:
    moment = None
    if _W3C_TIME.fullmatch(text):
        moment = _w3c_time(text)
    elif _RFC_1123_TIME.fullmatch(text):
        moment = parse_http_date(text)

    if moment is None:
        raise _not_imitated(f'time("{text}")')
    return moment


def _w3c_time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:  # e.g. month 13
        return None
