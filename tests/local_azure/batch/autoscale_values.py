"""What autoscale formulas calculate with: numbers, times, intervals, vectors, samples.

Azure docs, batch-automatic-scaling: "Types", "Operations", "Functions", "Obtain sample data". What
is not in its tables is refused where it is evaluated.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.local_azure.batch.autoscale_samples import Samples
from tests.local_azure.batch.autoscale_tokens import Token
from tests.local_azure.batch.errors import Failure
from tests.local_azure.batch.time_formats import parse_http_date

Vector = tuple[float, ...]
Value = float | datetime | timedelta | Vector

INTERVALS = {
    'TimeInterval_Zero': timedelta(0),
    'TimeInterval_Second': timedelta(seconds=1),
    'TimeInterval_Minute': timedelta(minutes=1),
    'TimeInterval_Hour': timedelta(hours=1),
    'TimeInterval_Day': timedelta(days=1),
    'TimeInterval_Week': timedelta(weeks=1),
}


@dataclass(frozen=True)
class Situation:
    """What a formula is evaluated with."""

    now: datetime
    targets: dict[bool, int]  # numbers of nodes: True for dedicated
    nodes: dict[str, float] = field(default_factory=dict)  # the present values of NODE_METRICS
    slots: int = 1  # of a node
    samples: Samples = field(default_factory=Samples)


class FormulaError(Exception):
    """A formula that is right, and cannot be evaluated now."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def written(value: Value) -> str:
    """Azure docs: $curTime=2016-10-13T19:18:47.805Z, $isWeekday=1, [1,1]. Of intervals: ours."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec='milliseconds').replace('+00:00', 'Z')
    if isinstance(value, tuple):
        return f'[{",".join(written(number) for number in value)}]'
    if isinstance(value, float):
        return f'{value:.15g}'
    return str(value)


_KINDS = {float: 'a number', datetime: 'a time', timedelta: 'an interval', tuple: 'a vector'}


def _kind(value: Value) -> str:
    return _KINDS[type(value)]


_NUMBERS = (float, float)
_TIMES = (datetime, datetime)
_SPANS = (timedelta, timedelta)
_COMPARABLE = (_NUMBERS, _TIMES, _SPANS)
# Each sign, what it does, and between what (Azure docs, "Operations"; not between vectors).
_OPERATIONS: dict[str, tuple[Callable[[Any, Any], Any], tuple[tuple[type, type], ...]]] = {
    '+': (operator.add, (_NUMBERS, _SPANS, (timedelta, datetime), (datetime, timedelta))),
    '-': (operator.sub, (_NUMBERS, _SPANS, _TIMES)),
    '*': (operator.mul, (_NUMBERS, (float, timedelta), (timedelta, float))),
    '/': (operator.truediv, (_NUMBERS, (timedelta, float))),
    '<': (operator.lt, _COMPARABLE),
    '<=': (operator.le, _COMPARABLE),
    '>': (operator.gt, _COMPARABLE),
    '>=': (operator.ge, _COMPARABLE),
    '==': (operator.eq, _COMPARABLE),
    '!=': (operator.ne, _COMPARABLE),
    '&&': (lambda left, right: bool(left and right), (_NUMBERS,)),
    '||': (lambda left, right: bool(left or right), (_NUMBERS,)),
}
# From those that bind least to those that bind most.
LEVELS = (('||',), ('&&',), ('<', '<=', '>', '>=', '==', '!='), ('+', '-'), ('*', '/'))


def combine(left: Value, sign: Token, right: Value) -> Value:
    operation, allowed = _OPERATIONS[sign.text]
    if (type(left), type(right)) not in allowed:
        sign.refuse(f'{_kind(left)} {sign.text} {_kind(right)}')
    try:
        value: Value = operation(left, right)
    except (ZeroDivisionError, OverflowError) as error:
        sign.refuse(f'{sign.text}, {error}')
    return float(value) if isinstance(value, bool) else value


def as_number(value: Value, token: Token) -> float:
    if not isinstance(value, float):
        token.refuse(f'{_kind(value)} where a number could stand, {token.text}')
    return value


def with_sign(sign: Token, value: Value) -> Value:
    if sign.text == '-' and isinstance(value, timedelta):
        return -value
    number = as_number(value, sign)
    return -number if sign.text == '-' else float(not number)


# Functions and samples


def _average(numbers: Vector) -> float:
    return sum(numbers) / len(numbers)


FUNCTIONS: dict[str, Callable[[Vector], float]] = {'min': min, 'max': max, 'avg': _average}


def call(function: Token, arguments: Sequence[Value]) -> float:
    """Numbers and vectors make one vector (Azure docs, "Functions")."""
    numbers: Vector = ()
    for argument in arguments:
        numbers += argument if isinstance(argument, tuple) else (as_number(argument, function),)
    if not numbers:  # what the service does then is not documented
        raise _insufficient(f'{function.place}: Insufficient data for {function.text}')
    return FUNCTIONS[function.text](numbers)


def _get_sample(situation: Situation, metric: str, method: Token, arguments: list[Value]) -> Vector:
    """GetSample(count), GetSample(begin [, end] [, percent]) (Azure docs, "Obtain sample data")."""
    samples = situation.samples
    if len(arguments) == 1 and isinstance(arguments[0], float):
        return samples.last(metric, int(arguments[0]))

    wanted = 0.0
    if len(arguments) > 1 and isinstance(arguments[-1], float):
        wanted = as_number(arguments.pop(), method)
    begin, end = _period(situation, method, arguments)
    found = samples.percent(begin, end)
    if found < wanted:
        raise _insufficient(
            f'{method.place}: Insufficient data from data set: {metric} wanted {wanted:g}%, '
            f'received {found:.0f}%'
        )
    return samples.between(metric, begin, end)


def _get_percent(situation: Situation, _: str, method: Token, arguments: list[Value]) -> float:
    return situation.samples.percent(*_period(situation, method, arguments))


def _period(
    situation: Situation, method: Token, arguments: list[Value]
) -> tuple[datetime, datetime]:
    """From a time, or an interval before now, until another one or now."""
    now = situation.now
    times = []
    for argument in arguments:
        moment = now - argument if isinstance(argument, timedelta) else argument
        if not isinstance(moment, datetime):
            method.refuse(f'{method.text} with {_kind(argument)}')
        times.append(moment)
    if not 1 <= len(times) <= 2:
        method.refuse(f'{method.text} with {len(times)} times')
    return min(times), max(times) if len(times) > 1 else now


METHODS: dict[str, Callable[[Situation, str, Token, list[Value]], Value]] = {
    '.GetSample': _get_sample,
    '.GetSamplePercent': _get_percent,
}


def _insufficient(text: str) -> FormulaError:
    """Azure docs, batch-pool-autoscale-event."""
    message = 'Autoscale evaluation failed due to insufficient sample data'
    return FormulaError(Failure('InsufficientSampleData', message, details=(('Message', text),)))


# Times

_MEMBERS_OF_TIMES: dict[str, Callable[[datetime], int]] = {
    '.year': lambda time: time.year,
    '.month': lambda time: time.month,
    '.day': lambda time: time.day,
    '.weekday': lambda time: time.isoweekday() % 7,  # 1 for Monday; that Sunday is 0 is ours
    '.hour': lambda time: time.hour,
    '.minute': lambda time: time.minute,
    '.second': lambda time: time.second,
}

# A date with a time and a zone; the shorter forms of W3C-DTF are not imitated. The service itself
# writes up to seven decimals.
_W3C_TIME = re.compile(
    r'\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,7})?)?(?:Z|[+-]\d{2}:\d{2})'
)
_RFC_1123_TIME = re.compile(r'[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT')


def moment_of(token: Token) -> datetime:
    """The time in quotation marks."""
    text = token.text[1:-1]
    moment = None
    if _W3C_TIME.fullmatch(text):
        moment = _w3c_time(text)
    elif _RFC_1123_TIME.fullmatch(text):
        moment = parse_http_date(text)

    if moment is None:
        token.refuse(f'time({token.text})')
    return moment


def member_of_time(value: Value, member: Token) -> float:
    if member.text not in _MEMBERS_OF_TIMES or not isinstance(value, datetime):
        member.refuse()
    return float(_MEMBERS_OF_TIMES[member.text](value.astimezone(UTC)))


def _w3c_time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:  # e.g. month 13
        return None
