"""Durations (ISO 8601) and times as the service writes them, in ticks of 100 ns."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime, parsedate_to_datetime

SECOND = 10**7
_DURATION = re.compile(
    r'P(?=.)(?:(\d{1,9})Y)?(?:(\d{1,9})M)?(?:(\d{1,9})W)?(?:(\d{1,9})D)?'
    r'(?:T(?=.)(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,12})(?:\.(\d{1,20}))?S)?)?'
)
# Recorded traffic: PATCH /jobs, P3Y6M4DT12H30M5S came back as P1279DT12H30M5S.
_UNITS = (365 * 86_400, 30 * 86_400, 7 * 86_400, 86_400, 3600, 60, 1)
_EPOCH = datetime(1, 1, 1, tzinfo=UTC)


def parse_duration(text: str) -> int:
    if not (match := _DURATION.fullmatch(text)):
        raise ValueError(f'not a duration: {text[:50]}')
    *parts, fraction = match.groups('0')
    seconds = sum(int(part) * unit for part, unit in zip(parts, _UNITS, strict=True))
    return seconds * SECOND + int(fraction.ljust(7, '0')[:7])


def format_duration(ticks: int) -> str:
    minutes, ticks = divmod(ticks, 60 * SECOND)
    second = f'{ticks / SECOND:.7f}'.rstrip('0').rstrip('.')
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    clock = ''.join(
        f'{n}{unit}' for n, unit in ((hours, 'H'), (minutes, 'M'), (second, 'S')) if str(n) != '0'
    )
    return (
        (f'P{days}D' if days else 'P') + (f'T{clock}' if clock else '') if days or clock else 'PT0S'
    )


def to_ticks(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 10


def from_ticks(ticks: int) -> datetime:
    return _EPOCH + timedelta(microseconds=ticks // 10)


def format_time(ticks: int) -> str:
    return f'{from_ticks(ticks).isoformat()[:19]}.{ticks % SECOND:07}Z'


def http_date(ticks: int) -> str:
    return format_datetime(from_ticks(ticks), usegmt=True)


def parse_http_date(text: str) -> datetime | None:
    """None for what is no date."""
    try:
        moment = parsedate_to_datetime(text)
        return moment if moment.tzinfo else None
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
