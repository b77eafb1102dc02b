"""$filter, $select and $expand (REST reference, "OData filters in Batch"; names are case-sensitive, values are not).

Every scalar property of a resource can be filtered on, where the service has a shorter list for each resource.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from enum import Enum
from typing import Any, NamedTuple

import azure.batch.models

from .durations import to_ticks
from .errors import invalid_query
from .schema import properties

Fields = Mapping[str, Callable[[Any], Any]]  # how to get each top-level property of a resource
Predicate = Callable[[Fields, Any], bool]
_TOKEN = re.compile(
    r"\s*(?:(?P<time>DateTime'(?P<moment>[^']*)')|(?P<text>'(?:[^']|'')*')|(?P<number>-?\d{1,18})(?![\w.])"
    r'|(?P<word>[A-Za-z_][\w/]*)|(?P<sign>[(),]))',
    re.IGNORECASE,
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    'eq': operator.eq,
    'ne': operator.ne,
    'gt': operator.gt,
    'ge': operator.ge,
    'lt': operator.lt,
    'le': operator.le,
}
_MAX_DEPTH = 50


class _Token(NamedTuple):
    kind: str
    value: Any


def _bad(text: str, reason: str) -> Exception:
    return invalid_query('$filter', text[:200], reason)


def _moment(text: str, clause: str) -> int:
    trimmed = re.sub(r'(\.\d{6})\d+', r'\1', text.strip()).replace('Z', '+00:00').replace('z', '+00:00')
    trimmed = re.sub(r'\.(\d{1,6})', lambda m: '.' + m[1].ljust(6, '0'), trimmed)  # Python 3.10 wants 3 or 6 digits
    try:
        moment = datetime.fromisoformat(trimmed)
        return to_ticks(moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc))
    except (ValueError, OverflowError) as error:
        raise _bad(clause, f'not a date: {text[:50]}') from error


def _tokens(clause: str) -> list[_Token]:
    tokens, position = [], 0
    while position < len(clause.rstrip()):
        match = _TOKEN.match(clause, position)
        if not match:
            raise _bad(clause, f'syntax error at position {position}')
        position = match.end()
        if match['time']:
            tokens.append(_Token('time', _moment(match['moment'], clause)))
        elif match['text']:
            tokens.append(_Token('text', match['text'][1:-1].replace("''", "'").lower()))
        elif match['number']:
            tokens.append(_Token('number', int(match['number'])))
        else:
            tokens.append(_Token('word' if match['word'] else 'sign', match['word'] or match['sign']))
    return tokens


def _kind(model: str, path: str, clause: str) -> str:
    """The kind of literal that a property is compared with, by the SDK's models."""
    kind = model
    for name in path.split('/'):
        try:
            kind = properties(kind)[name]
        except (AttributeError, KeyError) as error:
            raise _bad(clause, f'unknown property {path[:100]}') from error
    simple = {'iso-8601': 'time', 'str': 'text', 'duration': 'text', 'int': 'number', 'long': 'number', 'bool': 'word'}
    if kind in simple:
        return simple[kind]
    cls = getattr(azure.batch.models, kind, None)
    if isinstance(cls, type) and issubclass(cls, Enum):
        return 'text'
    raise _bad(clause, f'{path[:100]} cannot be compared')


class _Parser:
    def __init__(self, clause: str, model: str) -> None:
        self._clause, self._model = clause, model
        self._tokens = [*_tokens(clause), _Token('end', None)]
        self._at = 0
        self._depth = 0

    def parse(self) -> Predicate:
        predicate = self._or()
        if self._tokens[self._at].kind != 'end':
            raise _bad(self._clause, 'text after the end of the expression')
        return predicate

    def _next(self, kind: str, value: str | None = None) -> Any:
        token = self._tokens[self._at]
        if token.kind != kind or (value is not None and token.value.lower() != value):
            raise _bad(self._clause, f'{value or kind} expected')
        self._at += 1
        return token.value

    def _is(self, kind: str, value: str) -> bool:
        token = self._tokens[self._at]
        if token.kind == kind and token.value.lower() == value:
            self._at += 1
            return True
        return False

    def _or(self) -> Predicate:
        terms = [self._and()]
        while self._is('word', 'or'):
            terms.append(self._and())
        return terms[0] if len(terms) == 1 else lambda fields, item: any(term(fields, item) for term in terms)

    def _and(self) -> Predicate:
        terms = [self._comparison()]
        while self._is('word', 'and'):
            terms.append(self._comparison())
        return terms[0] if len(terms) == 1 else lambda fields, item: all(term(fields, item) for term in terms)

    def _comparison(self) -> Predicate:
        if self._is('sign', '('):
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise _bad(self._clause, 'too many parentheses')
            inner = self._or()
            self._next('sign', ')')
            self._depth -= 1
            return inner
        name = self._next('word')
        if name.lower() == 'startswith':
            return self._starts_with()
        compare = _COMPARE.get(self._next('word').lower())
        if not compare:
            raise _bad(self._clause, 'unknown operator')
        get, literal = self._operand(name)
        return lambda fields, item: (value := get(fields, item)) is not None and compare(value, literal)

    def _starts_with(self) -> Predicate:
        self._next('sign', '(')
        name = self._next('word')
        self._next('sign', ',')
        get, literal = self._operand(name)
        self._next('sign', ')')
        if not isinstance(literal, str):
            raise _bad(self._clause, 'startswith needs a text')
        return lambda fields, item: str(get(fields, item) or '').startswith(literal)

    def _operand(self, path: str) -> tuple[Callable[[Fields, Any], Any], Any]:
        """How to get a property's value, and the literal that it is compared with."""
        kind, literal = _kind(self._model, path, self._clause), self._tokens[self._at]
        if literal.kind != kind or (kind == 'word' and literal.value.lower() not in ('true', 'false')):
            raise _bad(self._clause, f'{path[:100]} is compared with a value of another type')
        self._at += 1
        first, *rest = path.split('/')

        def get(fields: Fields, item: Any) -> Any:
            value = fields[first](item) if first in fields else None
            for name in rest:
                value = value.get(name) if value else None
            if value is None:
                return None
            if kind == 'time':
                return _moment(value, self._clause)
            return str(value).lower() if kind in ('text', 'word') else int(value)

        return get, literal.value.lower() if kind == 'word' else literal.value


def parse_filter(clause: str, model: str) -> Predicate:
    """Whether an item passes; 400 InvalidQueryParameterValue for a bad clause."""
    if len(clause) > 2000:
        raise _bad(clause, 'the clause is too long')
    return _Parser(clause, model).parse()


def parse_select(clause: str, model: str) -> set[str]:
    """Names to keep; a space after the comma is fine (recorded traffic: GET /pools, 2019-08-01.10.0)."""
    names = {name.strip().split('/')[0] for name in clause.split(',')}
    unknown = names - set(properties(model))
    if unknown:
        raise invalid_query('$select', clause[:200], f'unknown property {sorted(unknown)[0][:100]}')
    return names


def check_expand(clause: str) -> None:
    """Only `stats`; none come, as in recorded traffic (GET /pools with $expand=stats)."""
    if clause.strip() != 'stats':
        raise invalid_query('$expand', clause[:200], 'only stats can be expanded')
