"""The SharedKey signature of a storage request that goes to Azurite with another path.

REST reference, "Authorize with Shared Key", Blob service, version 2015-02-21 and later.
"""

from __future__ import annotations

import base64
import hmac
from email.message import Message
from typing import Protocol
from urllib.parse import parse_qs

SIGNED_HEADERS = (  # in this order
    'Content-Encoding',
    'Content-Language',
    'Content-Length',
    'Content-MD5',
    'Content-Type',
    'Date',
    'If-Modified-Since',
    'If-Match',
    'If-None-Match',
    'If-Unmodified-Since',
    'Range',
)


class SignedRequest(Protocol):
    """What is signed of a request, besides its path."""

    command: str
    query: str
    headers: Message


def authorization(account: str, key: str, request: SignedRequest, path: str) -> str:
    """The value of the Authorization header; `path` is percent-encoded."""
    text = string_to_sign(account, request, path)
    digest = hmac.digest(base64.b64decode(key), text.encode(), 'sha256')
    signature = base64.b64encode(digest).decode()
    return f'SharedKey {account}:{signature}'


def string_to_sign(account: str, request: SignedRequest, path: str) -> str:
    """The method, some headers, all x-ms- headers, path and query, a line each."""
    lines = [request.command]
    for name in SIGNED_HEADERS:
        value = request.headers.get(name, '')
        if name == 'Content-Length' and value == '0':
            value = ''
        lines.append(value)

    own_headers = []
    for name, value in request.headers.items():
        if name.lower().startswith('x-ms-'):
            own_headers.append((name.lower(), value.strip()))
    for name, value in sorted(own_headers):
        lines.append(f'{name}:{value}')

    lines.append(f'/{account}{path}')
    arguments = parse_qs(request.query, keep_blank_values=True)
    for name in sorted(arguments):
        values = ','.join(sorted(arguments[name]))
        lines.append(f'{name.lower()}:{values}')
    return '\n'.join(lines)
