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
from tests.local_azure.batch.times import parse_http_date

TOLERANCE = timedelta(minutes=15)
_SIGNED_HEADERS = (  # in this order (SDK14 batch_auth.SharedKeyAuth)
    *(
        'content-encoding',
        'content-language',
        'content-length',
        'content-md5',
        'content-type',
        'date',
    ),
    *('if-modified-since', 'if-match', 'if-none-match', 'if-unmodified-since', 'range'),
)


def _refuse(detail: str) -> BatchError:
    return BatchError('AuthenticationFailed', AuthenticationErrorDetail=detail)


def string_to_sign(
    method: str, path: str, query: str, headers: Mapping[str, str], account: str
) -> str:
    """What a client signs: `path` percent-encoded as sent, query values decoded, header names in lower case."""
    signed = {**headers, 'date': ''} if headers.get('ocp-date') else headers
    lines = [method, *(signed.get(name, '') for name in _SIGNED_HEADERS)]
    lines += [
        f'{name}:{headers[name]}'
        for name in sorted(headers)
        if name.startswith('ocp-') and headers[name]
    ]
    resource = [
        f'/{account}{path}',
        *(f'{name}:{values[0]}' for name, values in sorted(parse_qs(query).items())),
    ]
    return '\n'.join([*lines, *resource])


def check(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    account: tuple[str, str],
    now: datetime,
) -> None:
    """Refuses with 403 a request that is not signed with the account's key, or not within 15 minutes of `now`."""
    name, key = account
    scheme, _, credential = headers.get('authorization', '').partition(' ')
    claimed, _, signature = credential.rpartition(':')
    if scheme != 'SharedKey':
        raise _refuse('The Authorization header is missing or has an unknown scheme.')
    if (
        claimed != name
    ):  # recorded traffic: POST .../addtaskcollection with an account that does not exist
        raise _refuse(
            f'Cannot find the claimed account when trying to GetProperties for the account {claimed[:100]}.'
        )
    sent = headers.get('ocp-date') or headers.get('date', '')
    if not (date := parse_http_date(sent)):
        raise _refuse('The Date header in the request is missing or incorrect.')
    if abs(date - now) > TOLERANCE:
        raise _refuse(
            f'The Date header in the request is not within 15 minutes of the server time: {sent[:60]}.'
        )
    text = string_to_sign(method, path, query, headers, name)
    expected = base64.b64encode(hmac.digest(base64.b64decode(key), text.encode(), 'sha256'))
    if not hmac.compare_digest(expected, signature.encode('utf-8', 'replace')):
        raise _refuse(
            f"The MAC signature found in the HTTP request '{signature[:100]}' is not the same as any computed "
            f"signature. Server used following string to sign: '{text}'."
        )
