"""$filter, $select and $expand.

REST reference, "OData filters in Batch"; names are case-sensitive, values are not. Every scalar
property of a resource can be filtered on, where the service has a shorter list for each resource.
"""

from __future__ import annotations

import operator
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tests.local_azure.batch.errors import invalid_query
from tests.local_azure.batch.property_types import Shape, Value

# Gives the property of this name of the resource that is looked at.
ReadProperty = Callable[[str], Any]

_MAX_LENGTH = 2000
_MAX_DEPTH = 50

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    'eq': operator.eq,
    'ne': operator.ne,
    'gt': operator.gt,
    'ge': operator.ge,
    'lt': operator.lt,
    'le': operator.le,
}


# Conditions


class Condition(ABC):
    @abstractmethod
    def holds(self, read: ReadProperty) -> bool:
        """Whether it is true of a resource."""


class Always(Condition):
    def holds(self, read: ReadProperty) -> bool:  # noqa: ARG002 - nothing needs to be read
        return True


@dataclass(frozen=True)
class Comparison(Condition):
    """A property, compared with a literal; false where the resource has no such property."""

    path: list[str]
    compare: Callable[[Any, Any], bool]
    convert: Callable[[Any], Any]
    literal: Any

    def holds(self, read: ReadProperty) -> bool:
        value = read(self.path[0])
        for name in self.path[1:]:
            value = value.get(name) if value else None
        if value is None:
            return False
        return self.compare(self.convert(value), self.literal)


@dataclass(frozen=True)
class Both(Condition):
    left: Condition
    right: Condition

    def holds(self, read: ReadProperty) -> bool:
        return self.left.holds(read) and self.right.holds(read)


@dataclass(frozen=True)
class Either(Condition):
    left: Condition
    right: Condition

    def holds(self, read: ReadProperty) -> bool:
        return self.left.holds(read) or self.right.holds(read)


# Literals


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text.strip().upper())
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return moment


def _lower(value: object) -> str:
    return str(value).lower()


def _unquoted(text: str) -> str:
    return text[1:-1].replace("''", "'")


def _converter(kind: str) -> Callable[[Any], Any]:
    """Makes values of a property, and literals, comparable."""
    if kind == 'time':
        return _moment
    if kind == 'number':
        return int
    return _lower


# Tokens


class Token(NamedTuple):
    kind: str  # 'sign', 'text', 'time', 'number', 'name' or 'end'
    text: str


_TOKEN = re.compile(
    r"""
    \s*
    (?: (?P<sign> [(),] )
      | (?P<text> '(?: [^'] | '' )*' )
      | datetime (?P<time> '[^']*' )
      | (?P<number> -?[0-9]{1,18} (?![\w.]) )
      | (?P<name> [a-z] [\w/]* )
    )
    \s*
    """,
    re.IGNORECASE | re.VERBOSE,
)


def _tokens(clause: str) -> list[Token]:
    """ValueError where something begins that is no token."""
    tokens = []
    position = 0
    while position < len(clause):
        match = _TOKEN.match(clause, position)
        if not match:
            raise ValueError(f'unexpected {clause[position : position + 100]}')
        kind = str(match.lastgroup)
        tokens.append(Token(kind, match[kind]))
        position = match.end()
    tokens.append(Token('end', 'end'))
    return tokens


class _Parser:
    """Reads a filter from left to right. What is no filter raises ValueError."""

    def __init__(self, clause: str, shape: Shape) -> None:
        self._tokens = _tokens(clause)
        self._position = 0
        self._shape = shape
        self._depth = 0

    def parse(self) -> Condition:
        condition = self._either()
        if self._next.kind != 'end':
            raise ValueError(f'unexpected {self._next.text}')
        return condition

    @property
    def _next(self) -> Token:
        return self._tokens[self._position]

    def _take(self) -> Token:
        token = self._next
        if token.kind == 'end':
            raise ValueError('unexpected end')
        self._position += 1
        return token

    def _take_word(self, word: str) -> bool:
        """Takes the next token if it is this word or sign."""
        is_there = self._next.kind in ('name', 'sign') and self._next.text.lower() == word
        if is_there:
            self._position += 1
        return is_there

    def _expect(self, word: str) -> None:
        if not self._take_word(word):
            raise ValueError(f'{word} expected')

    def _either(self) -> Condition:
        condition = self._both()
        while self._take_word('or'):
            condition = Either(condition, self._both())
        return condition

    def _both(self) -> Condition:
        condition = self._term()
        while self._take_word('and'):
            condition = Both(condition, self._term())
        return condition

    def _term(self) -> Condition:
        if self._take_word('('):
            return self._in_parentheses()
        name = self._take()
        if name.kind != 'name':
            raise ValueError(f'unexpected {name.text}')
        if name.text.lower() == 'startswith':
            return self._starts_with()
        return self._comparison(name.text)

    def _in_parentheses(self) -> Condition:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ValueError('too many parentheses')
        condition = self._either()
        self._expect(')')
        self._depth -= 1
        return condition

    def _starts_with(self) -> Condition:
        self._expect('(')
        path = self._take().text
        self._expect(',')
        literal = self._take()
        self._expect(')')
        if literal.kind != 'text':
            raise ValueError('startswith compares with a text')
        return self._compared(path, str.startswith, literal)

    def _comparison(self, path: str) -> Condition:
        word = self._take().text.lower()
        if word not in _COMPARISONS:
            raise ValueError('unknown operator')
        return self._compared(path, _COMPARISONS[word], self._take())

    def _compared(
        self, path: str, compare: Callable[[Any, Any], bool], literal: Token
    ) -> Comparison:
        kind = _kind_of_literal(literal)
        if _kind_of_property(self._shape, path) != kind:
            raise ValueError(f'{path[:100]} is compared with a value of another type')

        text = literal.text
        if kind in ('text', 'time'):
            text = _unquoted(text)
        convert = _converter(kind)
        return Comparison(path.split('/'), compare, convert, convert(text))


def _kind_of_literal(token: Token) -> str:
    if token.kind == 'name' and token.text.lower() in ('true', 'false'):
        return 'bool'
    if token.kind in ('text', 'time', 'number'):
        return token.kind
    raise ValueError(f'unexpected {token.text}')


def _kind_of_property(shape: Shape, path: str) -> str | None:
    """The kind of literal that a property is compared with, None for an object or a list."""
    value: Value = shape
    for name in path.split('/'):
        if not isinstance(value, Shape) or name not in value.properties:
            raise ValueError(f'unknown property {path[:100]}')
        value = value.properties[name]
    return value.literal


# The clauses


def parse_filter(clause: str | None, shape: Shape) -> Condition:
    """What a resource of this shape must fulfil; 400 for a bad clause."""
    if clause is None:
        return Always()
    if len(clause) > _MAX_LENGTH:
        raise invalid_query('$filter', clause[:200], f'more than {_MAX_LENGTH} characters')
    try:
        return _Parser(clause, shape).parse()
    except ValueError as error:
        raise invalid_query('$filter', clause[:200], str(error)) from error


def parse_select(clause: str | None, shape: Shape) -> list[str] | None:
    """The names to keep, in the order of the shape; None: all.

    A space after the comma is fine (recorded traffic: GET /pools, 2019-08-01.10.0).
    """
    if clause is None:
        return None
    names = {name.strip().split('/')[0] for name in clause.split(',')}
    unknown = names - set(shape.properties)
    if unknown:
        reason = f'unknown property {min(unknown)[:100]}'
        raise invalid_query('$select', clause[:200], reason)
    return [name for name in shape.properties if name in names]


def check_expand(clause: str | None) -> None:
    """Only `stats`; none come, as in recorded traffic (GET /pools with $expand=stats)."""
    if clause is not None and clause.strip() != 'stats':
        raise invalid_query('$expand', clause[:200], 'only stats can be expanded')
