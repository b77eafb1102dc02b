"""The call of an operation: what it reads of the request, and the result that it gives."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from tests.local_azure.batch.account import Account
from tests.local_azure.batch.errors import BatchError, error_body, invalid_query
from tests.local_azure.batch.etags import check_conditions
from tests.local_azure.batch.jobs import Jobs
from tests.local_azure.batch.pools import Pools
from tests.local_azure.batch.property_types import Shape
from tests.local_azure.batch.resource_documents import Document, View
from tests.local_azure.batch.time_formats import format_time
from tests.local_azure.http_front import Handler

MAX_BODY = 8 << 20


class Changing(Protocol):
    """What has an ETag: a resource with the time of its last change."""

    modified: int


Found = TypeVar('Found', bound=Changing)


@dataclass
class Result:
    """What an operation gives: a JSON document or the content of a file.

    `modified` is when the resource was changed last, for ETag and Last-Modified.
    """

    status: int
    body: Document | bytes | None = None
    modified: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    reason: str = ''  # that of the status if empty


class Call:
    """One request for an operation."""

    def __init__(self, request: Handler, account: Account) -> None:
        self.request = request
        self.account = account
        self.arguments: Mapping[str, str] = request.arguments
        self.version = self.arguments.get('api-version', '')
        self.view = View(account.url, self.version)

    @property
    def pools(self) -> Pools:
        return self.account.pools

    @property
    def jobs(self) -> Jobs:
        return self.account.jobs

    @property
    def url(self) -> str:
        """Of the request, without its query."""
        return f'{self.account.url}{self.request.path}'

    def body(self) -> Any:
        """The parsed body, None when there is none; 400 for anything that is not JSON."""
        body = self.request.body
        if len(body) > MAX_BODY:
            raise BatchError('RequestBodyTooLarge', MaxLimit=str(MAX_BODY))
        if not body:
            return None
        try:
            text = body.decode('utf-8-sig')  # some clients begin with a byte order mark
            return json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise BatchError('InvalidRequestBody', Reason='the body is not JSON') from error

    def integer(self, name: str, low: int, high: int) -> int:
        """A number in the query; without one the highest."""
        text = self.arguments.get(name, str(high))
        if not re.fullmatch('[0-9]{1,10}', text):
            raise invalid_query(name, text[:100], 'an integer is expected')
        number = int(text)
        if not low <= number <= high:
            raise BatchError(
                'OutOfRangeQueryParameterValue',
                QueryParameterName=name,
                QueryParameterValue=text,
                MinimumAllowed=str(low),
                MaximumAllowed=str(high),
            )
        return number

    def spec(self, shape: Shape) -> dict[str, Any]:
        """The body, checked."""
        return shape.read_body(self.body(), self.version)

    @contextmanager
    def holding(self, find: Callable[..., Found], *names: str) -> Iterator[Found]:
        """The resource of these names, which nobody changes meanwhile, if it fulfils If-Match."""
        with self.account.lock:
            resource = find(*names)
            self.check_conditions(resource)
            yield resource

    def check_conditions(self, resource: Changing) -> None:
        is_read = self.request.command in ('GET', 'HEAD')
        check_conditions(self.request.headers, resource.modified, is_read=is_read)

    def error(self, error: BatchError) -> Document:
        """The document of an error."""
        time = format_time(self.account.stamp())
        request_id = self.request.request_id
        return error_body(error.code, error.message, error.values, request_id, time)

    # Results

    def created(self, path: str, resource: Changing) -> Result:
        url = f'{self.account.url}{path}'
        links = {'DataServiceId': url, 'Location': url}
        return Result(201, None, resource.modified, links)

    def changed(self, status: int, resource: Changing) -> Result:
        """A change of a resource that is still there."""
        links = {'DataServiceId': self.url}
        return Result(status, None, resource.modified, links)

    def element(self, what: str, document: Document, resource: Changing | None = None) -> Result:
        """One document; `what` is its kind in the service's metadata.

        Without its resource the answer has no ETag.
        """
        metadata = f'{self.account.url}/$metadata#{what}'
        body = {'odata.metadata': metadata, **document}
        if resource is None:
            return Result(200, body)
        return Result(200, body, resource.modified)


def _refuse_constant(constant: str) -> None:
    """NaN and the like are JSON to Python only."""
    raise ValueError(constant)
