"""Durations (ISO 8601) and times as the service writes them, in ticks of 100 ns."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

SECOND = 10**7
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

# Recorded traffic: PATCH /jobs, P3Y6M4DT12H30M5S came back as P1279DT12H30M5S.
_MONTH = 30 * DAY
_YEAR = 365 * DAY
_UNITS = {
    'years': _YEAR,
    'months': _MONTH,
    'weeks': 7 * DAY,
    'days': DAY,
    'hours': HOUR,
    'minutes': MINUTE,
    'seconds': SECOND,
}
_DURATION = re.compile(
    r"""
    P (?=.)
    (?: (?P<years>   \d{1,9}) Y )?
    (?: (?P<months>  \d{1,9}) M )?
    (?: (?P<weeks>   \d{1,9}) W )?
    (?: (?P<days>    \d{1,9}) D )?
    (?: T (?=.)
        (?: (?P<hours>   \d{1,9}) H )?
        (?: (?P<minutes> \d{1,9}) M )?
        (?: (?P<seconds> \d{1,12}) (?: \. (?P<fraction> \d{1,20}) )? S )?
    )?
    """,
    re.VERBOSE,
)
_EPOCH = datetime(1, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def parse_duration(text: str) -> int:
    """The ticks of an ISO 8601 duration; ValueError for anything else."""
    match = _DURATION.fullmatch(text)
    if not match:
        raise ValueError(f'not a duration: {text[:50]}')

    parts = match.groupdict('0')
    fraction = parts['fraction'].ljust(7, '0')
    ticks = int(fraction[:7])
    for name, unit in _UNITS.items():
        ticks += int(parts[name]) * unit
    return ticks


def format_duration(ticks: int) -> str:
    """ISO 8601 with days as the largest unit, as the service writes it."""
    days, ticks = divmod(ticks, DAY)
    hours, ticks = divmod(ticks, HOUR)
    minutes, ticks = divmod(ticks, MINUTE)

    date = f'{days}D' if days else ''
    clock = ''
    if hours:
        clock += f'{hours}H'
    if minutes:
        clock += f'{minutes}M'
    if ticks:
        clock += f'{_format_seconds(ticks)}S'

    if clock:
        return f'P{date}T{clock}'
    if date:
        return f'P{date}'
    return 'PT0S'


def _format_seconds(ticks: int) -> str:
    """Without trailing zeros."""
    seconds, fraction = divmod(ticks, SECOND)
    if not fraction:
        return str(seconds)
    return f'{seconds}.{fraction:07}'.rstrip('0')


def to_ticks(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND * 10


def from_ticks(ticks: int) -> datetime:
    return _EPOCH + timedelta(microseconds=ticks // 10)


def format_time(ticks: int) -> str:
    """With 7 decimals (recorded traffic)."""
    to_the_second = from_ticks(ticks).isoformat()[:19]
    return f'{to_the_second}.{ticks % SECOND:07}Z'


def format_optional_time(ticks: int | None) -> str | None:
    """None for what has not happened yet."""
    if ticks is None:
        return None
    return format_time(ticks)


def http_date(ticks: int) -> str:
    return format_datetime(from_ticks(ticks), usegmt=True)


def parse_http_date(text: str) -> datetime | None:
    """None for what is no date, or has no time zone."""
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        return None
    return moment
