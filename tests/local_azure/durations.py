"""ISO 8601 durations and times as the service writes them, in ticks of 100 ns."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from functools import lru_cache

SECOND = 10**7
_DURATION = re.compile(
    r'P(?=.)(?:(\d{1,9})Y)?(?:(\d{1,9})M)?(?:(\d{1,9})W)?(?:(\d{1,9})D)?'
    r'(?:T(?=.)(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,12})(?:\.(\d{1,20}))?S)?)?'
)
_EPOCH = datetime(1, 1, 1, tzinfo=timezone.utc)


def parse_duration(text: str) -> int:
    """Ticks; a year has 365 days, a month 30.

    Recorded traffic: PATCH /jobs, P3Y6M4DT12H30M5S came back as P1279DT12H30M5S.
    """
    match = _DURATION.fullmatch(text)
    if not match:
        raise ValueError(f'not a duration: {text[:50]}')
    years, months, weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[:7])
    whole_days = years * 365 + months * 30 + weeks * 7 + days
    fraction = int((match[8] or '').ljust(7, '0')[:7])
    return ((whole_days * 24 + hours) * 60 + minutes) * 60 * SECOND + seconds * SECOND + fraction


def format_duration(ticks: int) -> str:
    seconds, fraction = divmod(ticks, SECOND)
    days, seconds = divmod(seconds, 86_400)
    hours, minutes, seconds = seconds // 3600, seconds // 60 % 60, seconds % 60
    second = f'{seconds}.{fraction:07}'.rstrip('0') if fraction else f'{seconds}'
    clock = ''.join(f'{n}{unit}' for n, unit in ((hours, 'H'), (minutes, 'M'), (second, 'S')) if str(n) != '0')
    return ('P' + (f'{days}D' if days else '') + (f'T{clock}' if clock else '')) if ticks else 'PT0S'


def to_ticks(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 10


def from_ticks(ticks: int) -> datetime:
    return _EPOCH + timedelta(microseconds=ticks // 10)


@lru_cache(maxsize=4096)
def _to_the_second(ticks: int) -> str:
    return from_ticks(ticks).strftime('%Y-%m-%dT%H:%M:%S')


def format_time(ticks: int) -> str:
    second, fraction = divmod(ticks, SECOND)
    return f'{_to_the_second(second * SECOND)}.{fraction:07}Z'
