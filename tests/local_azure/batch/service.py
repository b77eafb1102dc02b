"""The local Batch service as HTTP sees it: which operation a request asks for, and its answer.

SDK14 operations: paths and methods.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import unquote

from tests.local_azure.batch import operations
from tests.local_azure.batch.account import Account
from tests.local_azure.batch.api_versions import check_version
from tests.local_azure.batch.calls import Call, Result
from tests.local_azure.batch.errors import ERRORS, BatchError, error_body, not_imitated
from tests.local_azure.batch.etags import etag
from tests.local_azure.batch.time_formats import http_date
from tests.local_azure.faults import RequestFault
from tests.local_azure.http_front import TIME_OF_ERRORS, Answer, Handler

Operation = Callable[..., Result]  # gets the call, and the names in the path as keyword arguments
Authenticate = Callable[[str, str, str, Mapping[str, str]], None]

_INT32_MAX = 2**31 - 1
_JSON = 'application/json;odata=minimalmetadata'


class Route(NamedTuple):
    method: str
    path: str  # {path} is the name of a file, which may have slashes
    operation: Operation


_POOL = '/pools/{pool_id}'
_NODE = '/pools/{pool_id}/nodes/{node_id}'
_JOB = '/jobs/{job_id}'
_TASK = '/jobs/{job_id}/tasks/{task_id}'

ROUTES = (
    Route('GET', '/supportedimages', operations.list_supported_images),
    Route('GET', '/nodeagentskus', operations.list_node_agents),
    Route('GET', '/nodecounts', operations.list_pool_node_counts),
    Route('POST', '/pools', operations.add_pool),
    Route('GET', '/pools', operations.list_pools),
    Route('GET', _POOL, operations.get_pool),
    Route('HEAD', _POOL, operations.get_pool),
    Route('PATCH', _POOL, operations.patch_pool),
    Route('DELETE', _POOL, operations.delete_pool),
    Route('POST', f'{_POOL}/resize', operations.resize_pool),
    Route('POST', f'{_POOL}/stopresize', operations.stop_pool_resize),
    Route('POST', f'{_POOL}/removenodes', operations.remove_nodes),
    Route('POST', f'{_POOL}/enableautoscale', operations.enable_pool_autoscale),
    Route('POST', f'{_POOL}/disableautoscale', operations.disable_pool_autoscale),
    Route('POST', f'{_POOL}/evaluateautoscale', operations.evaluate_pool_autoscale),
    Route('GET', f'{_POOL}/nodes', operations.list_nodes),
    Route('GET', _NODE, operations.get_node),
    Route('GET', f'{_NODE}/files', operations.list_node_files),
    Route('GET', f'{_NODE}/files/{{path}}', operations.get_node_file),
    Route('HEAD', f'{_NODE}/files/{{path}}', operations.get_node_file),
    Route('POST', '/jobs', operations.add_job),
    Route('GET', '/jobs', operations.list_jobs),
    Route('GET', _JOB, operations.get_job),
    Route('PATCH', _JOB, operations.patch_job),
    Route('DELETE', _JOB, operations.delete_job),
    Route('POST', f'{_JOB}/terminate', operations.terminate_job),
    Route('POST', f'{_JOB}/disable', operations.disable_job),
    Route('POST', f'{_JOB}/enable', operations.enable_job),
    Route('GET', f'{_JOB}/taskcounts', operations.get_task_counts),
    Route('POST', f'{_JOB}/tasks', operations.add_task),
    Route('POST', f'{_JOB}/addtaskcollection', operations.add_task_collection),
    Route('GET', f'{_JOB}/tasks', operations.list_tasks),
    Route('GET', _TASK, operations.get_task),
    Route('POST', f'{_TASK}/terminate', operations.terminate_task),
    Route('POST', f'{_TASK}/reactivate', operations.reactivate_task),
    Route('DELETE', _TASK, operations.delete_task),
    Route('GET', f'{_TASK}/files', operations.list_task_files),
    Route('GET', f'{_TASK}/files/{{path}}', operations.get_task_file),
    Route('HEAD', f'{_TASK}/files/{{path}}', operations.get_task_file),
)


def _pattern(path: str) -> re.Pattern[str]:
    """Matches a path as it was sent; its groups are the names in it."""
    pattern = path.replace('{path}', '(?P<path>.+)')
    pattern = re.sub(r'\{(\w+)\}', r'(?P<\1>[^/]+)', pattern)
    return re.compile(pattern)


def _unquoted(texts: dict[str, str]) -> dict[str, str]:
    return {name: unquote(text) for name, text in texts.items()}


_PATTERNS = [(route, _pattern(route.path)) for route in ROUTES]


class BatchService:
    """The backend of its front. `authenticate` refuses a method, path, query and headers."""

    def __init__(
        self,
        account: Account,
        authenticate: Authenticate,
        on_crash: Callable[[BaseException], None],
    ) -> None:
        self._account = account
        self._authenticate = authenticate
        self._on_crash = on_crash

    def __call__(self, request: Handler) -> Answer:
        call = Call(request, self._account)
        try:
            result = self._perform(call)
        except BatchError as error:
            result = self._refusal(call, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test is to see it
            self._on_crash(error)
            result = self._refusal(call, BatchError('InternalError'))
        return self._answer(call, result)

    def _perform(self, call: Call) -> Result:
        if 'api-version' not in call.arguments:
            raise BatchError('MissingRequiredQueryParameter', QueryParameterName='api-version')

        request = call.request
        headers = {name.lower(): value for name, value in request.headers.items()}
        self._authenticate(request.command, request.path, request.query, headers)
        check_version(call.version)
        call.integer('timeout', 0, _INT32_MAX)

        for route, pattern in _PATTERNS:
            match = pattern.fullmatch(request.path)
            if match and route.method == request.command:
                names = _unquoted(match.groupdict())
                return route.operation(call, **names)

        path = unquote(request.path)
        raise not_imitated(f'{request.command} {path[:200]}')

    def _refusal(self, call: Call, error: BatchError) -> Result:
        """The reason phrase is the message (recorded traffic)."""
        reason = error.message.splitlines()[0]
        if error.status == 304:
            return Result(error.status, reason=reason)

        what = 'Microsoft.Azure.Batch.Protocol.Entities.Container.errors/@Element'
        result = call.element(what, call.error(error))
        result.status = error.status
        result.reason = reason
        return result

    def _answer(self, call: Call, result: Result) -> Answer:
        """With the headers that each answer has (recorded traffic)."""
        request = call.request
        headers = {
            'request-id': request.request_id,
            'DataServiceVersion': '3.0',
            'X-Content-Type-Options': 'nosniff',
            'Strict-Transport-Security': 'max-age=31536000; includeSubDomains',
        }

        body = result.body
        if isinstance(body, dict):
            body = json.dumps(body, separators=(',', ':')).encode()
            if request.command != 'HEAD':
                headers['Content-Type'] = _JSON

        if result.modified is not None:
            headers['ETag'] = etag(result.modified)  # unquoted
            headers['Last-Modified'] = http_date(result.modified)

        if request.headers.get('return-client-request-id', '').lower() == 'true':
            headers['client-request-id'] = request.headers.get('client-request-id', '')

        headers.update(result.headers)
        return Answer(result.status, headers, body or b'', result.reason)


def batch_error(fault: RequestFault, request_id: str) -> Answer:
    """An error that a fault asks for; the text is that of its code if it has none of its own."""
    message = fault.message or fault.code
    if not fault.message and fault.code in ERRORS:
        message = ERRORS[fault.code].message

    values = {'AuthenticationErrorDetail': fault.detail} if fault.detail else {}
    error = error_body(fault.code, message, values, request_id, TIME_OF_ERRORS)
    headers = {'Content-Type': _JSON, 'request-id': request_id}
    return Answer(fault.status, headers, json.dumps(error).encode(), message)
