"""The REST side of the local Batch service: routes, conditions, lists, headers.

SDK14 operations: paths, methods, status codes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlencode

from . import files, odata, schema, wire
from .account import Account
from .durations import format_time, from_ticks, http_date, parse_http_date
from .errors import BatchError, error_body, invalid_query
from .front import JSON, Answer, Handler
from .images import IMAGES
from .model import Task

API_VERSIONS = ('2024-02-01.19.0', '2025-06-01')  # of azure-batch 14.2.0; of azure-batch 15 and the Azure CLI
MAX_BODY = 1 << 20  # recorded traffic: POST .../addtaskcollection, 413 with MaxLimit 1048576
_ERROR = '$metadata#Microsoft.Azure.Batch.Protocol.Entities.Container.errors/@Element'


class Result(NamedTuple):
    """What an operation gives: an object of JSON or the content of a file, and the time of the resource's change."""

    status: int
    body: dict[str, Any] | bytes | None = None
    modified: int | None = None
    headers: Mapping[str, str] = {}
    reason: str = ''


Operation = Callable[..., Result]  # of the request and the ids in its path


def _json(request: Handler) -> Any:
    """The parsed body, None when there is none; 400 for anything that is not JSON."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    if len(request.body) > 8 * MAX_BODY:
        raise BatchError('RequestBodyTooLarge', MaxLimit=str(8 * MAX_BODY))
    try:
        return json.loads(request.body.decode(), parse_constant=refuse) if request.body else None
    except (ValueError, RecursionError) as error:
        raise BatchError('InvalidRequestBody', Reason='the body is not JSON') from error


def _version(request: Handler) -> str:
    return request.arguments['api-version']


def _integer(request: Handler, name: str, low: int, high: int) -> int:
    """A number in the query; without one the highest."""
    text = request.arguments.get(name, str(high))
    if not re.fullmatch('[0-9]{1,10}', text):
        raise invalid_query(name, text[:100], 'an integer is expected')
    if not low <= int(text) <= high:
        limits = {'MinimumAllowed': str(low), 'MaximumAllowed': str(high)}
        code = 'OutOfRangeQueryParameterValue'
        raise BatchError(code, QueryParameterName=name, QueryParameterValue=text, **limits)
    return int(text)


def _date(request: Handler, name: str) -> Any:
    text = request.headers.get(name)
    if text and not parse_http_date(text):
        raise BatchError('InvalidHeaderValue', HeaderName=name)
    return parse_http_date(text) if text else None


def _check_conditions(request: Handler, modified: int) -> None:
    """If-Match and its kin: 412 on writes, 304 on reads (recorded traffic: PUT /jobs/{id}; SDK14 operations)."""
    etag, moment = wire.etag(modified), from_ticks(modified).replace(microsecond=0)
    wanted = request.headers.get('If-Match', '*').strip('"')
    unwanted = request.headers.get('If-None-Match', '').strip('"')
    since, until = _date(request, 'If-Modified-Since'), _date(request, 'If-Unmodified-Since')
    if wanted not in ('*', etag) or (until and moment > until):
        raise BatchError('ConditionNotMet')
    if unwanted in ('*', etag) or (since and moment <= since):
        raise BatchError('ConditionNotMet') if request.command not in ('GET', 'HEAD') else NotModified


class NotModified(Exception):  # noqa: N818 - an answer, not an error
    """304: the read resource has not changed."""


class Batch:
    """The backend of the service; `authenticate` refuses a method, path, query and headers by a BatchError."""

    def __init__(
        self,
        account: Account,
        authenticate: Callable[[str, str, str, Mapping[str, str]], None],
        on_crash: Callable[[BaseException], None],
    ) -> None:
        self._account, self._base, self._authenticate, self._on_crash = account, account.url, authenticate, on_crash
        self._fields = wire.resources(account.url)
        pools, jobs, change = account.pools, account.jobs, self._change
        pool, job, task = '/pools/{id}', '/jobs/{id}', '/jobs/{id}/tasks/{id}'
        routes: dict[str, Operation] = {
            'GET /supportedimages': self._list('supportedimages', 'ImageInformation', lambda: IMAGES),
            'GET /nodecounts': self._node_counts,
            'POST /pools': self._add(pools.add, schema.pool, '/pools/{0.id}'),
            'GET /pools': self._list('pools', 'CloudPool', account.all_pools),
            f'GET {pool}': self._get('pools', 'CloudPool', pools.get),
            f'PATCH {pool}': change(200, pools.get, pools.patch, schema.pool_patch),
            f'DELETE {pool}': change(202, pools.get, pools.delete),
            f'POST {pool}/resize': change(202, pools.get, pools.resize, schema.resize),
            f'POST {pool}/stopresize': change(202, pools.get, pools.stop_resize),
            f'GET {pool}/nodes': self._list('nodes', 'ComputeNode', lambda pool_id: pools.get(pool_id).nodes.values()),
            f'GET {pool}/nodes/{{id}}': self._get('nodes', 'ComputeNode', pools.node),
            f'GET {pool}/nodes/{{id}}/files': self._files(files.node_folder, pools.node),
            f'GET {pool}/nodes/{{id}}/files/{{path}}': self._file(files.node_folder, pools.node),
            'POST /jobs': self._add(jobs.add, schema.job, '/jobs/job-1'),  # whatever its id (recorded traffic)
            'GET /jobs': self._list('jobs', 'CloudJob', account.all_jobs),
            f'GET {job}': self._get('jobs', 'CloudJob', jobs.get),
            f'PATCH {job}': change(200, jobs.get, jobs.patch, schema.job_patch),
            f'DELETE {job}': change(202, jobs.get, jobs.delete),
            f'POST {job}/terminate': change(202, jobs.get, jobs.terminate, schema.terminate_reason),
            f'GET {job}/taskcounts': self._task_counts,
            f'POST {job}/tasks': self._add(jobs.add_task, schema.task, '/jobs/{0.job.id}/tasks/{0.id}'),
            f'POST {job}/addtaskcollection': self._add_tasks,
            f'GET {job}/tasks': self._list('tasks', 'CloudTask', lambda job_id: jobs.get(job_id).tasks.values()),
            f'GET {task}': self._get('tasks', 'CloudTask', jobs.task),
            f'POST {task}/terminate': change(204, jobs.task, jobs.terminate_task),
            f'POST {task}/reactivate': change(204, jobs.task, jobs.reactivate_task, linked=False),  # recorded traffic
            f'DELETE {task}': change(200, jobs.task, jobs.delete_task),
            f'GET {task}/files': self._files(files.task_folder, jobs.task),
            f'GET {task}/files/{{path}}': self._file(files.task_folder, jobs.task),
        }
        patterns = {route.format(id='([^/]+)', path='(.+)'): operation for route, operation in routes.items()}
        self._routes = [(re.compile(pattern), operation) for pattern, operation in patterns.items()]

    # A request and its answer

    def __call__(self, request: Handler) -> Answer:
        try:
            result = self._perform(request)
        except NotModified:
            result = Result(304)
        except BatchError as error:
            result = self._refusal(request, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test is to see it
            self._on_crash(error)
            result = self._refusal(request, BatchError('InternalError'))
        body, headers = result.body, {'request-id': request.request_id, 'DataServiceVersion': '3.0'}
        headers['X-Content-Type-Options'] = 'nosniff'
        if isinstance(body, dict):
            body = json.dumps(body, separators=(',', ':')).encode()
            headers |= {'Content-Type': JSON} if request.command != 'HEAD' else {}
        if result.modified is not None:  # the ETag is unquoted (recorded traffic)
            headers |= {'ETag': wire.etag(result.modified), 'Last-Modified': http_date(result.modified)}
        if request.headers.get('return-client-request-id', '').lower() == 'true':
            headers['client-request-id'] = request.headers.get('client-request-id', '')
        return Answer(result.status, {**headers, **result.headers}, body or b'', result.reason)

    def _perform(self, request: Handler) -> Result:
        if 'api-version' not in request.arguments:
            raise BatchError('MissingRequiredQueryParameter', QueryParameterName='api-version')
        headers = {name.lower(): value for name, value in request.headers.items()}
        self._authenticate(request.command, request.path, request.query, headers)
        if _version(request) not in API_VERSIONS:
            raise BatchError('UnsupportedRequestVersion', QueryParameterValue=_version(request)[:100])
        _integer(request, 'timeout', 0, 2**31 - 1)
        wanted = f'{request.command.replace("HEAD", "GET")} {request.path}'
        for pattern, operation in self._routes:
            if match := pattern.fullmatch(wanted):
                return operation(request, *map(unquote, match.groups()))
        text = f'The local Batch service does not imitate {request.command} {unquote(request.path)[:200]}.'
        raise BatchError('NotImplemented', text)

    def _error(self, request: Handler, error: BatchError) -> dict[str, Any]:
        time = format_time(self._account.stamp())
        return error_body(error.code, error.message, error.values, request.request_id, time)

    def _refusal(self, request: Handler, error: BatchError) -> Result:
        """The reason phrase is the message (recorded traffic)."""
        body = {'odata.metadata': f'{self._base}/{_ERROR}', **self._error(request, error)}
        return Result(error.status, body, reason=error.message.splitlines()[0])

    # Makers of operations

    def _add(self, add: Callable[..., Any], check: Callable[[Any, str], Any], path: str) -> Operation:
        def operation(request: Handler, *ids: str) -> Result:
            item = add(*ids, check(_json(request), _version(request)))
            url = self._base + path.format(item)
            return Result(201, None, item.modified, {'DataServiceId': url, 'Location': url})

        return operation

    def _get(self, what: str, model: str, find: Callable[..., Any]) -> Operation:
        def operation(request: Handler, *ids: str) -> Result:
            with self._account.lock:
                item = find(*ids)
                modified = getattr(item, 'modified', None)  # nodes have no ETag
                if modified is not None:
                    _check_conditions(request, modified)
                select = odata.parse_select(request.arguments.get('$select'), model)
                return self._element(what, wire.render(self._fields[model], item, select), modified)

        return operation

    def _element(self, what: str, content: dict[str, Any], modified: int | None = None) -> Result:
        return Result(200, {'odata.metadata': f'{self._base}/$metadata#{what}/@Element', **content}, modified)

    def _change(
        self,
        status: int,
        find: Callable[..., Any],
        change: Callable[..., Any],
        check: Callable[[Any, str], Any] | None = None,
        *,
        linked: bool = True,
    ) -> Operation:
        """A change of what exists, under the request's conditions; `change` gives what is still there after it."""

        def operation(request: Handler, *ids: str) -> Result:
            with self._account.lock:
                _check_conditions(request, find(*ids).modified)
                item = change(*ids, *([check(_json(request), _version(request))] if check else []))
            if item is None:
                return Result(status)
            link = {'DataServiceId': f'{self._base}{request.path}'} if linked else {}
            return Result(status, None, item.modified, link)

        return operation

    def _list(self, what: str, model: str, items: Callable[..., Iterable[Any]]) -> Operation:
        return lambda request, *ids: self._page(request, what, model, self._fields[model], lambda: items(*ids))

    def _page(
        self, request: Handler, what: str, model: str, fields: wire.Fields, items: Callable[[], Iterable[Any]]
    ) -> Result:
        """One page in the order of keys, so that paging stays stable while items come and go."""
        arguments = request.arguments
        limit, after = _integer(request, 'maxresults', 1, 1000), arguments.get('$skiptoken', '')
        keep = odata.parse_filter(arguments.get('$filter'), model)
        select = odata.parse_select(arguments.get('$select'), model)
        odata.check_expand(arguments.get('$expand'))
        with self._account.lock:
            rest = (item for item in sorted(items(), key=lambda item: item.key) if item.key > after)
            page = list(islice((item for item in rest if keep(fields, item)), limit + 1))
            value = [wire.render(fields, item, select) for item in page[:limit]]
        body: dict[str, Any] = {'odata.metadata': f'{self._base}/$metadata#{what}', 'value': value}
        if len(page) > limit:
            query = {**arguments, '$skiptoken': page[limit - 1].key}
            body['odata.nextLink'] = f'{self._base}{request.path}?{urlencode(query, quote_via=quote, safe="$")}'
        return Result(200, body)

    # Operations of a kind of their own

    def _node_counts(self, request: Handler) -> Result:
        fields = wire.node_counts(_version(request))
        return self._page(request, 'poolnodecounts', 'PoolNodeCounts', fields, self._account.all_pools)

    def _task_counts(self, _: Handler, job_id: str) -> Result:
        tasks, slots = self._account.jobs.counts(job_id)
        return self._element('taskcountsresult', {'taskCounts': tasks, 'taskSlotCounts': slots})

    def _add_tasks(self, request: Handler, job_id: str) -> Result:
        # The limit is 1 MB of UTF-16, it seems: 528,959 bytes were refused (recorded traffic).
        if 2 * len(request.body) > MAX_BODY:
            raise BatchError('RequestBodyTooLarge', MaxLimit=str(MAX_BODY))
        bodies: list[Any] = schema.task_collection(_json(request))
        specs = [self._checked_task(request, body) for body in bodies]
        results = zip(bodies, self._account.jobs.add_tasks(job_id, specs), strict=True)
        value = [self._added_task(request, job_id, body['id'], result) for body, result in results]
        return Result(200, {'odata.metadata': f'{self._base}/$metadata#taskaddresult', 'value': value})

    def _checked_task(self, request: Handler, body: object) -> Any:
        """A checked task, or what is wrong with its values; a body that is malformed fails the whole collection."""
        try:
            return schema.task(body, _version(request))
        except BatchError as error:
            if error.code != 'InvalidPropertyValue':
                raise
            return error

    def _added_task(self, request: Handler, job_id: str, task_id: str, result: Task | BatchError) -> dict[str, Any]:
        """REST reference, "Add a collection of tasks to a job": a refused task has an error and no eTag."""
        if isinstance(result, BatchError):
            return {'status': 'ClientError', 'taskId': task_id, 'error': self._error(request, result)}
        added = {'status': 'Success', 'taskId': result.id, 'eTag': wire.etag(result.modified)}
        link = f'{self._base}/jobs/{job_id}/tasks/{result.id}'
        return {**added, 'lastModified': format_time(result.modified), 'location': link}

    def _files(self, folder: Callable[[Any], Path], find: Callable[..., Any]) -> Operation:
        def operation(request: Handler, *ids: str) -> Result:
            recursive = request.arguments.get('recursive', '').lower() == 'true'
            found = list(files.listing(folder(find(*ids)), recursive))
            fields = files.file_fields(f'{self._base}{request.path}')
            return self._page(request, 'files', 'NodeFile', fields, lambda: found)

        return operation

    def _file(self, folder: Callable[[Any], Path], find: Callable[..., Any]) -> Operation:
        def operation(request: Handler, *path: str) -> Result:
            *ids, name = path
            file = files.get(folder(find(*ids)), name)
            if file.is_directory and request.command != 'HEAD':
                raise BatchError('FileNotFound')
            _check_conditions(request, file.modified)
            offset, length = files.part(file, request.headers.get('ocp-range'))
            headers = {
                'Content-Type': file.content_type,
                'Content-Length': str(length),
                'Last-Modified': http_date(file.modified),
                'ocp-batch-file-isdirectory': str(file.is_directory),
                'ocp-batch-file-mode': file.mode,
                'ocp-batch-file-url': quote(f'{self._base}{request.path}', safe=''),
            }
            body = b''.join(files.read(file, offset, length)) if request.command == 'GET' else b''
            return Result(200, body, None, headers)

        return operation
