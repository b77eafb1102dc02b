"""$filter, $select and $expand (REST reference, "OData filters in Batch"; names are case-sensitive, values are not).

Every scalar property of a resource can be filtered on, where the service has a shorter list for each resource.
"""

from __future__ import annotations

import operator
import re
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timezone
from enum import Enum
from typing import Any

import azure.batch.models

from tests.local_azure.batch.documents import Fields
from tests.local_azure.batch.errors import invalid_query
from tests.local_azure.batch.request_bodies import properties

Predicate = Callable[[Fields, Any], bool]
_TOKEN = re.compile(
    r"""\s*(?: (?P<sign>[()]) | (?P<join>and|or)\b
        | (?: startswith\s*\(\s* (?P<start>[a-z][\w/]*) \s*,\s* | (?P<path>[a-z][\w/]*)\s+(?P<compare>[a-z]{2})\b\s* )
          (?: '(?P<text>(?:[^']|'')*)' | datetime'(?P<time>[^']*)' | (?P<number>-?\d{1,18})(?![\w.])
            | (?P<bool>true|false)\b )
          (?(start)\s*\)) )\s*""",
    re.IGNORECASE | re.VERBOSE,
)
_KINDS = {
    'iso-8601': 'time',
    'str': 'text',
    'duration': 'text',
    'int': 'number',
    'long': 'number',
    'bool': 'bool',
}
_MAX_DEPTH = 50


def _moment(text: str) -> datetime:
    digits = re.sub(
        r'\.(\d+)', lambda match: f'.{match[1]:0<6.6}', text.strip().upper()
    )  # Python 3.10 wants 3 or 6
    moment = datetime.fromisoformat(digits.replace('Z', '+00:00'))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _lower(value: object) -> str:
    return str(value).lower()


_VALUES: dict[str, Callable[[Any], Any]] = {
    'time': _moment,
    'text': _lower,
    'number': int,
    'bool': _lower,
}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    **{name: getattr(operator, name) for name in ('eq', 'ne', 'gt', 'ge', 'lt', 'le')},
    'startswith': str.startswith,
}


def _kind(model: str, path: str) -> str | None:
    """The kind of literal that a property is compared with, by the SDK's models."""
    for name in path.split('/'):
        try:
            model = properties(model)[name]
        except (AttributeError, KeyError) as error:
            raise ValueError(f'unknown property {path[:100]}') from error
    enum = getattr(azure.batch.models, model, None)
    return 'text' if isinstance(enum, type) and issubclass(enum, Enum) else _KINDS.get(model)


def _comparison(match: re.Match[str], model: str) -> Predicate:
    path, kind = match['start'] or match['path'], str(match.lastgroup)
    compare = _COMPARE.get((match['compare'] or 'startswith').lower())
    if not compare or (match['start'] and kind != 'text'):
        raise ValueError('unknown operator')
    if _kind(model, path) != kind:
        raise ValueError(f'{path[:100]} is compared with a value of another type')
    literal = _VALUES[kind](match[kind].replace("''", "'"))
    first, *rest = path.split('/')

    def holds(fields: Fields, item: Any) -> bool:
        value = fields[first](item) if first in fields else None
        for name in rest:
            value = value.get(name) if value else None
        return value is not None and compare(_VALUES[kind](value), literal)

    return holds


def _either(tokens: deque[str | Predicate], depth: int) -> Predicate:
    """What `or` joins, each of it joined by `and`, up to a token that does not belong to it."""
    terms: list[list[Predicate]] = [[]]
    while True:
        term = tokens.popleft()
        if term == '(' and depth < _MAX_DEPTH:
            term = _either(tokens, depth + 1)
            if tokens.popleft() != ')':
                raise ValueError(') expected')
        if isinstance(term, str):
            raise ValueError(f'unexpected {term}')  # noqa: TRY004 - in the clause, not in our call
        terms[-1].append(term)
        if tokens[0] not in ('and', 'or'):
            return lambda fields, item: any(
                all(term(fields, item) for term in both) for both in terms
            )
        if tokens.popleft() == 'or':
            terms.append([])


def parse_filter(clause: str | None, model: str) -> Predicate:
    """Whether an item passes; 400 InvalidQueryParameterValue for a bad clause."""
    if clause is None:
        return lambda *_: True
    tokens: deque[str | Predicate] = deque()
    position = 0
    try:
        while position < len(clause) <= 2000 and (match := _TOKEN.match(clause, position)):
            tokens.append(
                match['sign'] or (match['join'] or '').lower() or _comparison(match, model)
            )
            position = match.end()
        tokens.append('end' if position == len(clause) else clause[position:])
        predicate = _either(tokens, 0)
    except ValueError as error:
        raise invalid_query('$filter', clause[:200], str(error)) from error
    if tokens[0] != 'end':
        raise invalid_query('$filter', clause[:200], f'unexpected {tokens[0]}')
    return predicate


def parse_select(clause: str | None, model: str) -> set[str] | None:
    """Names to keep; a space after the comma is fine (recorded traffic: GET /pools, 2019-08-01.10.0)."""
    if clause is None:
        return None
    names = {name.strip().split('/')[0] for name in clause.split(',')}
    if unknown := names - set(properties(model)):
        raise invalid_query('$select', clause[:200], f'unknown property {min(unknown)[:100]}')
    return names


def check_expand(clause: str | None) -> None:
    """Only `stats`; none come, as in recorded traffic (GET /pools with $expand=stats)."""
    if clause is not None and clause.strip() != 'stats':
        raise invalid_query('$expand', clause[:200], 'only stats can be expanded')
