"""The REST side of the local Batch service: routes, conditions, lists, headers.

SDK14 operations: paths, methods, status codes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlencode

from tests.local_azure.batch import (
    documents as wire,
    files,
    filters as odata,
    request_bodies as schema,
)
from tests.local_azure.batch.account import Account
from tests.local_azure.batch.errors import BatchError, error_body, invalid_query
from tests.local_azure.batch.images import IMAGES
from tests.local_azure.batch.model import Task
from tests.local_azure.batch.times import format_time, from_ticks, http_date, parse_http_date
from tests.local_azure.http_front import JSON, Answer, Handler

API_VERSIONS = (
    '2024-02-01.19.0',
    '2025-06-01',
)  # of azure-batch 14.2.0; of azure-batch 15 and the Azure CLI
MAX_BODY = 1 << 20  # recorded traffic: POST .../addtaskcollection, 413 with MaxLimit 1048576
_ERROR = '$metadata#Microsoft.Azure.Batch.Protocol.Entities.Container.errors/@Element'
Call = Callable[..., Any]
Ids = list[str]  # in the path, and the name of a file


class Result(NamedTuple):
    """What an operation gives: an object of JSON or the content of a file, and the time of the resource's change."""

    status: int
    body: dict[str, Any] | bytes | None = None
    modified: int | None = None
    headers: Mapping[str, str] = {}
    reason: str = ''


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


def _checked(request: Handler, check: Call) -> Any:
    return check(_json(request), request.arguments['api-version'])


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


def _date(request: Handler, name: str) -> datetime | None:
    date = parse_http_date(request.headers.get(name, ''))
    if name in request.headers and not date:
        raise BatchError('InvalidHeaderValue', HeaderName=name)
    return date


def _check_conditions(request: Handler, modified: int) -> None:
    """If-Match and its kin: 412 on writes, 304 on reads (recorded traffic: PUT /jobs/{id}; SDK14 operations)."""
    etag, moment = wire.etag(modified), from_ticks(modified).replace(microsecond=0)
    wanted = request.headers.get('If-Match', '*').strip('"')
    unwanted = request.headers.get('If-None-Match', '').strip('"')
    since, until = _date(request, 'If-Modified-Since'), _date(request, 'If-Unmodified-Since')
    if wanted not in ('*', etag) or (until and moment > until):
        raise BatchError('ConditionNotMet')
    if unwanted in ('*', etag) or (since and moment <= since):
        raise BatchError('NotModified' if request.command in ('GET', 'HEAD') else 'ConditionNotMet')


class Batch:
    """The backend of the service; `authenticate` refuses a method, path, query and headers by a BatchError."""

    def __init__(
        self,
        account: Account,
        authenticate: Callable[[str, str, str, Mapping[str, str]], None],
        on_crash: Callable[[BaseException], None],
    ) -> None:
        self._account, self._base, self._authenticate, self._on_crash = (
            account,
            account.url,
            authenticate,
            on_crash,
        )
        self._fields = wire.resources(account.url)
        pools, jobs = account.pools, account.jobs
        get, page, change, add = self._get, self._page, self._change, self._add
        pool, node, job, task = (
            '/pools/{id}',
            '/pools/{id}/nodes/{id}',
            '/jobs/{id}',
            '/jobs/{id}/tasks/{id}',
        )
        # An operation is called with the request, the ids in its path, and what follows here.
        routes: dict[str, tuple[Any, ...]] = {
            'GET /supportedimages': (page, 'supportedimages', 'ImageInformation', lambda: IMAGES),
            'GET /nodecounts': (self._node_counts,),
            'POST /pools': (add, pools.add, schema.pool, '/pools/{0.id}'),
            'GET /pools': (page, 'pools', 'CloudPool', account.all_pools),
            f'(?:GET|HEAD) {pool}': (get, 'pools', 'CloudPool', pools.get),
            f'PATCH {pool}': (change, 200, pools.get, pools.patch, schema.pool_patch),
            f'DELETE {pool}': (change, 202, pools.get, pools.delete),
            f'POST {pool}/resize': (change, 202, pools.get, pools.resize, schema.resize),
            f'POST {pool}/stopresize': (change, 202, pools.get, pools.stop_resize),
            f'GET {pool}/nodes': (
                page,
                'nodes',
                'ComputeNode',
                lambda pool_id: pools.get(pool_id).nodes.values(),
            ),
            f'GET {node}': (get, 'nodes', 'ComputeNode', pools.node),
            f'GET {node}/files': (self._files, files.node_folder, pools.node),
            f'(?:GET|HEAD) {node}/files/{{path}}': (self._file, files.node_folder, pools.node),
            'POST /jobs': (
                add,
                jobs.add,
                schema.job,
                '/jobs/job-1',
            ),  # whatever its id (recorded traffic)
            'GET /jobs': (page, 'jobs', 'CloudJob', account.all_jobs),
            f'GET {job}': (get, 'jobs', 'CloudJob', jobs.get),
            f'PATCH {job}': (change, 200, jobs.get, jobs.patch, schema.job_patch),
            f'DELETE {job}': (change, 202, jobs.get, jobs.delete),
            f'POST {job}/terminate': (
                change,
                202,
                jobs.get,
                jobs.terminate,
                schema.terminate_reason,
            ),
            f'GET {job}/taskcounts': (self._task_counts,),
            f'POST {job}/tasks': (add, jobs.add_task, schema.task, '/jobs/{0.job.id}/tasks/{0.id}'),
            f'POST {job}/addtaskcollection': (self._add_tasks,),
            f'GET {job}/tasks': (
                page,
                'tasks',
                'CloudTask',
                lambda job_id: jobs.get(job_id).tasks.values(),
            ),
            f'GET {task}': (get, 'tasks', 'CloudTask', jobs.task),
            f'POST {task}/terminate': (change, 204, jobs.task, jobs.terminate_task),
            f'POST {task}/reactivate': (self._reactivate,),
            f'DELETE {task}': (change, 200, jobs.task, jobs.delete_task),
            f'GET {task}/files': (self._files, files.task_folder, jobs.task),
            f'(?:GET|HEAD) {task}/files/{{path}}': (self._file, files.task_folder, jobs.task),
        }
        patterns = {
            route.format(id='([^/]+)', path='(.+)'): operation
            for route, operation in routes.items()
        }
        self._routes = [(re.compile(pattern), operation) for pattern, operation in patterns.items()]

    # A request and its answer

    def __call__(self, request: Handler) -> Answer:
        try:
            result = self._perform(request)
        except BatchError as error:
            result = self._refusal(request, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test is to see it
            self._on_crash(error)
            result = self._refusal(request, BatchError('InternalError'))
        body, headers = result.body, {'request-id': request.request_id, 'DataServiceVersion': '3.0'}
        headers |= {'X-Content-Type-Options': 'nosniff'}
        headers |= {'Strict-Transport-Security': 'max-age=31536000; includeSubDomains'}
        if isinstance(body, dict):
            body = json.dumps(body, separators=(',', ':')).encode()
            headers |= {'Content-Type': JSON} if request.command != 'HEAD' else {}
        if result.modified is not None:  # the ETag is unquoted (recorded traffic)
            headers |= {
                'ETag': wire.etag(result.modified),
                'Last-Modified': http_date(result.modified),
            }
        if request.headers.get('return-client-request-id', '').lower() == 'true':
            headers['client-request-id'] = request.headers.get('client-request-id', '')
        return Answer(result.status, {**headers, **result.headers}, body or b'', result.reason)

    def _perform(self, request: Handler) -> Result:
        if 'api-version' not in request.arguments:
            raise BatchError('MissingRequiredQueryParameter', QueryParameterName='api-version')
        headers = {name.lower(): value for name, value in request.headers.items()}
        self._authenticate(request.command, request.path, request.query, headers)
        if (version := request.arguments['api-version']) not in API_VERSIONS:
            raise BatchError('UnsupportedRequestVersion', QueryParameterValue=version[:100])
        _integer(request, 'timeout', 0, 2**31 - 1)
        wanted = f'{request.command} {request.path}'
        for pattern, (operation, *arguments) in self._routes:
            if match := pattern.fullmatch(wanted):
                result: Result = operation(
                    request, [unquote(part) for part in match.groups()], *arguments
                )
                return result
        text = f'The local Batch service does not imitate {request.command} {unquote(request.path)[:200]}.'
        raise BatchError('NotImplemented', text)

    def _error(self, request: Handler, error: BatchError) -> dict[str, Any]:
        time = format_time(self._account.stamp())
        return error_body(error.code, error.message, error.values, request.request_id, time)

    def _refusal(self, request: Handler, error: BatchError) -> Result:
        """The reason phrase is the message (recorded traffic)."""
        body = {'odata.metadata': f'{self._base}/{_ERROR}', **self._error(request, error)}
        return Result(
            error.status,
            None if error.status == 304 else body,
            reason=error.message.splitlines()[0],
        )

    # Operations on any kind of resource

    def _add(self, request: Handler, ids: Ids, add: Call, check: Call, path: str) -> Result:
        item = add(*ids, _checked(request, check))
        url = self._base + path.format(item)
        return Result(201, None, item.modified, {'DataServiceId': url, 'Location': url})

    def _get(self, request: Handler, ids: Ids, what: str, model: str, find: Call) -> Result:
        with self._account.lock:
            item = find(*ids)
            modified = getattr(item, 'modified', None)  # nodes have no ETag
            if modified is not None:
                _check_conditions(request, modified)
            select = odata.parse_select(request.arguments.get('$select'), model)
            return self._element(what, wire.render(self._fields[model], item, select), modified)

    def _element(self, what: str, content: dict[str, Any], modified: int | None = None) -> Result:
        return Result(
            200, {'odata.metadata': f'{self._base}/$metadata#{what}/@Element', **content}, modified
        )

    def _change(
        self,
        request: Handler,
        ids: Ids,
        status: int,
        find: Call,
        change: Call,
        check: Call | None = None,
    ) -> Result:
        """A change of what exists, under the request's conditions; `change` gives what is still there after it."""
        with self._account.lock:
            _check_conditions(request, find(*ids).modified)
            item = change(*ids, *([_checked(request, check)] if check else []))
        link = {'DataServiceId': f'{self._base}{request.path}'}
        return Result(status, None, item.modified, link) if item else Result(status)

    def _page(
        self,
        request: Handler,
        ids: Ids,
        what: str,
        model: str,
        items: Call,
        fields: wire.Fields | None = None,
    ) -> Result:
        """One page in the order of keys, so that paging stays stable while items come and go."""
        arguments, fields = request.arguments, fields or self._fields[model]
        most = 10 if what == 'poolnodecounts' else 1000  # SDK14 operations, maxresults
        limit, after = _integer(request, 'maxresults', 1, most), arguments.get('$skiptoken', '')
        keep = odata.parse_filter(arguments.get('$filter'), model)
        select = odata.parse_select(arguments.get('$select'), model)
        odata.check_expand(arguments.get('$expand'))
        with self._account.lock:
            rest = (
                item for item in sorted(items(*ids), key=lambda item: item.key) if item.key > after
            )
            page = list(islice((item for item in rest if keep(fields, item)), limit + 1))
            value = [wire.render(fields, item, select) for item in page[:limit]]
        body: dict[str, Any] = {'odata.metadata': f'{self._base}/$metadata#{what}', 'value': value}
        if len(page) > limit:
            query = {**arguments, '$skiptoken': page[limit - 1].key}
            body['odata.nextLink'] = (
                f'{self._base}{request.path}?{urlencode(query, safe="$", errors="surrogateescape", quote_via=quote)}'
            )
        return Result(200, body)

    # Operations of a kind of their own

    def _node_counts(self, request: Handler, _: Ids) -> Result:
        fields = wire.node_counts(request.arguments['api-version'])
        return self._page(
            request, [], 'poolnodecounts', 'PoolNodeCounts', self._account.all_pools, fields
        )

    def _task_counts(self, _: Handler, ids: Ids) -> Result:
        tasks, slots = self._account.jobs.counts(*ids)
        return self._element('taskcountsresult', {'taskCounts': tasks, 'taskSlotCounts': slots})

    def _reactivate(self, request: Handler, ids: Ids) -> Result:
        jobs = self._account.jobs
        return self._change(request, ids, 204, jobs.task, jobs.reactivate_task)._replace(
            headers={}
        )  # recorded traffic

    def _add_tasks(self, request: Handler, ids: Ids) -> Result:
        # The limit is 1 MB of UTF-16, it seems: 528,959 bytes were refused (recorded traffic).
        if 2 * len(request.body) > MAX_BODY:
            raise BatchError('RequestBodyTooLarge', MaxLimit=str(MAX_BODY))
        (job_id,), bodies = ids, schema.task_collection(_json(request))
        specs = [self._checked_task(request, body) for body in bodies]
        results = zip(bodies, self._account.jobs.add_tasks(job_id, specs), strict=True)
        value = [self._added_task(request, job_id, body['id'], result) for body, result in results]
        value.reverse()  # not the order of the request (recorded traffic, and the example of the REST reference)
        return Result(
            200, {'odata.metadata': f'{self._base}/$metadata#taskaddresult', 'value': value}
        )

    def _checked_task(self, request: Handler, body: object) -> Any:
        """A checked task, or what is wrong with its values; a body that is malformed fails the whole collection."""
        try:
            return schema.task(body, request.arguments['api-version'])
        except BatchError as error:
            if error.code != 'InvalidPropertyValue':
                raise
            return error

    def _added_task(
        self, request: Handler, job_id: str, task_id: str, result: Task | BatchError
    ) -> dict[str, Any]:
        """REST reference, "Add a collection of tasks to a job": a refused task has an error and no eTag."""
        if isinstance(result, BatchError):
            return {
                'status': 'ClientError',
                'taskId': task_id,
                'error': self._error(request, result),
            }
        added = {'status': 'Success', 'taskId': result.id, 'eTag': wire.etag(result.modified)}
        link = f'{self._base}/jobs/{job_id}/tasks/{result.id}'
        return {**added, 'lastModified': format_time(result.modified), 'location': link}

    def _files(self, request: Handler, ids: Ids, folder: Call, find: Call) -> Result:
        recursive = request.arguments.get('recursive', '').lower() == 'true'
        found = list(files.listing(folder(find(*ids)), recursive))
        fields = files.file_fields(f'{self._base}{request.path}')
        return self._page(request, [], 'files', 'NodeFile', lambda: found, fields)

    def _file(self, request: Handler, path: Ids, folder: Call, find: Call) -> Result:
        *ids, name = path
        file = files.get(folder(find(*ids)), name)
        _check_conditions(request, file.modified)
        offset, length = files.part(file, request.headers.get('ocp-range'))
        headers = {'Content-Type': file.content_type}
        headers |= {'Last-Modified': http_date(file.modified), 'ocp-batch-file-mode': file.mode}
        headers |= {'ocp-batch-file-isdirectory': str(file.is_directory)}
        headers |= {'ocp-batch-file-url': quote(f'{self._base}{request.path}', safe='')}
        if request.command == 'HEAD':
            return Result(200, None, None, {**headers, 'Content-Length': str(length)})
        return Result(200, files.read(file, offset, length), None, headers)
