"""ETags of resources, and the headers of a request that ask for one: If-Match and its kin."""

from __future__ import annotations

from datetime import datetime
from email.message import Message

from tests.local_azure.batch.errors import BatchError
from tests.local_azure.batch.time_formats import from_ticks, parse_http_date


def etag(modified: int) -> str:
    """Of a resource that was changed last at this time, in ticks."""
    return f'0x{modified:X}'


def check_conditions(headers: Message, modified: int, *, is_read: bool) -> None:
    """If-Match and its kin: 412 on writes, 304 on reads.

    Recorded traffic: PUT /jobs/{id}; SDK14 operations.
    """
    tag = etag(modified)
    moment = from_ticks(modified).replace(microsecond=0)
    until = _date(headers, 'If-Unmodified-Since')
    since = _date(headers, 'If-Modified-Since')

    wanted = headers.get('If-Match', '*').strip('"')
    if wanted not in ('*', tag):
        raise BatchError('ConditionNotMet')
    if until and moment > until:
        raise BatchError('ConditionNotMet')

    unwanted = headers.get('If-None-Match', '').strip('"')
    is_known = unwanted in ('*', tag)
    is_old = since is not None and moment <= since
    if is_known or is_old:
        raise BatchError('NotModified' if is_read else 'ConditionNotMet')


def _date(headers: Message, name: str) -> datetime | None:
    """The date in this header, None without one."""
    if name not in headers:
        return None
    date = parse_http_date(headers[name])
    if date is None:
        raise BatchError('InvalidHeaderValue', HeaderName=name)
    return date
