"""Who may call the local Batch service: the SharedKey signature.

REST reference, "Authenticate requests to the Azure Batch service".
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import parse_qs

from tests.local_azure.batch.errors import BatchError
from tests.local_azure.batch.time_formats import parse_http_date

TOLERANCE = timedelta(minutes=15)

# In this order (SDK14 batch_auth.SharedKeyAuth).
_SIGNED_HEADERS = (
    'content-encoding',
    'content-language',
    'content-length',
    'content-md5',
    'content-type',
    'date',
    'if-modified-since',
    'if-match',
    'if-none-match',
    'if-unmodified-since',
    'range',
)


def string_to_sign(
    method: str, path: str, query: str, headers: Mapping[str, str], account: str
) -> str:
    """What a client signs: `path` percent-encoded as sent, query values decoded.

    The names of headers are in lower case.
    """
    signed = dict(headers)
    if signed.get('ocp-date'):
        signed['date'] = ''

    lines = [method]
    for name in _SIGNED_HEADERS:
        lines.append(signed.get(name, ''))
    for name in sorted(headers):
        if name.startswith('ocp-') and headers[name]:
            lines.append(f'{name}:{headers[name]}')

    lines.append(f'/{account}{path}')
    for name, values in sorted(parse_qs(query).items()):
        lines.append(f'{name}:{values[0]}')
    return '\n'.join(lines)


def check(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    account: tuple[str, str],
    now: datetime,
) -> None:
    """Refuses with 403 what is not signed with the account's key within 15 minutes of `now`."""
    name, key = account
    scheme, _, credential = headers.get('authorization', '').partition(' ')
    claimed, _, signature = credential.rpartition(':')
    if scheme != 'SharedKey':
        raise _refusal('The Authorization header is missing or has an unknown scheme.')
    if claimed != name:
        # Recorded traffic: POST .../addtaskcollection with an account that does not exist.
        raise _refusal(
            'Cannot find the claimed account when trying to GetProperties for the account '
            f'{claimed[:100]}.'
        )
    _check_date(headers, now)

    text = string_to_sign(method, path, query, headers, name)
    digest = hmac.digest(base64.b64decode(key), text.encode(), 'sha256')
    expected = base64.b64encode(digest)
    if not hmac.compare_digest(expected, signature.encode('utf-8', 'replace')):
        raise _refusal(
            f"The MAC signature found in the HTTP request '{signature[:100]}' is not the same as "
            f"any computed signature. Server used following string to sign: '{text}'."
        )


def _check_date(headers: Mapping[str, str], now: datetime) -> None:
    sent = headers.get('ocp-date') or headers.get('date', '')
    date = parse_http_date(sent)
    if date is None:
        raise _refusal('The Date header in the request is missing or incorrect.')
    if abs(date - now) > TOLERANCE:
        raise _refusal(
            'The Date header in the request is not within 15 minutes of the server time: '
            f'{sent[:60]}.'
        )


def _refusal(detail: str) -> BatchError:
    return BatchError('AuthenticationFailed', AuthenticationErrorDetail=detail)
