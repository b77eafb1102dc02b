"""The REST side of the local Batch service: routes, conditions, lists, headers.

SDK14 operations: paths, methods, status codes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime
from itertools import islice
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from . import files, odata, schema, wire
from .account import Account
from .durations import format_time, from_ticks
from .errors import BatchError, invalid_query
from .images import IMAGES
from .model import Job, Pool, Task

API_VERSIONS = ('2024-02-01.19.0', '2025-06-01')  # of azure-batch 14.2.0; of azure-batch 15 and the Azure CLI
MAX_BODY = 1 << 20  # recorded traffic: POST .../addtaskcollection, 413 with MaxLimit 1048576
_JSON = 'application/json;odata=minimalmetadata'
_READS = ('GET', 'HEAD')


# Answers


def answer(status: int, body: object = None, modified: int | None = None, **headers: str) -> Response:
    """A response with the service's headers; ETag unquoted, as in recorded traffic."""
    text = b'' if body is None else json.dumps(body, separators=(',', ':')).encode()
    response = Response(text, status)
    del response.headers['Content-Type']
    if body is not None:
        response.headers['Content-Type'] = _JSON
    if modified is not None:
        response.headers['ETag'] = wire.etag(modified)
        response.headers['Last-Modified'] = format_datetime(from_ticks(modified), usegmt=True)
    for name, value in headers.items():
        response.headers[name.replace('_', '-')] = value
    return response


def error_answer(base: str, error: BatchError, now: int, request_id: str) -> Response:
    """The one place that renders errors; the reason phrase is the message (recorded traffic)."""
    response = answer(error.status, error_body(error, now, request_id, base) if request.method != 'HEAD' else None)
    response.status = f'{error.status} {error.message.splitlines()[0]}'.encode('latin-1', 'replace').decode('latin-1')
    return response


def error_body(error: BatchError, now: int, request_id: str, base: str | None = None) -> dict[str, Any]:
    metadata = '$metadata#Microsoft.Azure.Batch.Protocol.Entities.Container.errors/@Element'
    text = f'{error.message}\nRequestId:{request_id}\nTime:{format_time(now)}'
    body: dict[str, Any] = {'code': error.code, 'message': {'lang': 'en-US', 'value': text}}
    if error.values:
        body['values'] = [{'key': key, 'value': value} for key, value in error.values.items()]
    return {'odata.metadata': f'{base}/{metadata}', **body} if base else body


# Requests


def json_body() -> Any:
    """The parsed body, None when there is none; 400 for anything that is not JSON."""
    raw = request.get_data()
    if not raw:
        return None
    try:
        return json.loads(raw.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BatchError('InvalidRequestBody', Reason='the body is not JSON') from error


def _no_constant(name: str) -> None:
    raise ValueError(name)


def version() -> str:
    return request.args.get('api-version', '')


def _integer_argument(name: str, low: int, high: int, default: int) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise invalid_query(name, text[:100], 'an integer is expected')
    if not low <= int(text) <= high:
        raise BatchError(
            'OutOfRangeQueryParameterValue',
            QueryParameterName=name,
            QueryParameterValue=text,
            MinimumAllowed=str(low),
            MaximumAllowed=str(high),
        )
    return int(text)


def _header_date(name: str) -> datetime | None:
    if name not in request.headers:
        return None
    try:
        return parsedate_to_datetime(request.headers[name])
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        raise BatchError('InvalidHeaderValue', HeaderName=name) from error


class NotModified(Exception):  # noqa: N818 - an answer, not an error
    """304: the read resource has not changed."""


def check_conditions(modified: int) -> None:
    """If-Match and its kin: 412 on writes, 304 on reads (recorded traffic: PUT /jobs/{id}; SDK14 operations)."""
    etag, moment = wire.etag(modified), from_ticks(modified).replace(microsecond=0)
    wanted = request.headers.get('If-Match', '*').strip('"')
    unwanted = request.headers.get('If-None-Match', '').strip('"')
    since, until = _header_date('If-Modified-Since'), _header_date('If-Unmodified-Since')
    if wanted not in ('*', etag) or (until and moment > until):
        raise BatchError('ConditionNotMet')
    if unwanted in ('*', etag) or (since and moment <= since):
        if request.method in _READS:
            raise NotModified
        raise BatchError('ConditionNotMet')


def create_app(
    account: Account,
    authenticate_request: Callable[[str, str, str, Mapping[str, str]], None],
    on_crash: Callable[[BaseException], None],
) -> Flask:
    """The WSGI application; `authenticate_request` refuses a method, path, query and headers by a BatchError."""
    app = Flask(__name__)
    base = account.url
    fields = wire.resources(base)

    @app.before_request
    def authenticate() -> None:
        parts = urlsplit(request.environ['REQUEST_URI'])
        if 'api-version' not in request.args:
            raise BatchError('MissingRequiredQueryParameter', QueryParameterName='api-version')
        authenticate_request(request.method, parts.path, parts.query, request.environ['local.headers'])
        if version() not in API_VERSIONS:
            raise BatchError('UnsupportedRequestVersion', QueryParameterValue=version()[:100])
        _integer_argument('timeout', 0, 2**31 - 1, 30)

    @app.after_request
    def service_headers(response: Response) -> Response:
        response.headers.setdefault('request-id', request.environ['local.request_id'])
        response.headers['DataServiceVersion'] = '3.0'
        response.headers['X-Content-Type-Options'] = 'nosniff'
        if request.headers.get('return-client-request-id', '').lower() == 'true':
            response.headers['client-request-id'] = request.headers.get('client-request-id', '')
        return response

    def failure(error: BatchError) -> Response:
        return error_answer(base, error, account.stamp(), request.environ['local.request_id'])

    @app.errorhandler(BatchError)
    def refused(error: BatchError) -> Response:
        return failure(error)

    @app.errorhandler(NotModified)
    def not_modified(_: NotModified) -> Response:
        return answer(304)

    @app.errorhandler(HTTPException)
    def unknown_route(error: HTTPException) -> Response:
        if error.code in (404, 405):
            text = f'The local Batch service does not imitate {request.method} {request.path[:200]}.'
            return failure(BatchError('NotImplemented', text))
        return failure(BatchError('InvalidRequestBody', Reason=error.name))

    @app.errorhandler(Exception)
    def crashed(error: Exception) -> Response:
        on_crash(error)
        return failure(BatchError('InternalError'))

    def listing(what: str, model: str, fields: wire.Fields, items: Iterable[Any]) -> Response:
        """One page in the order of keys, so that paging stays stable while items come and go."""
        arguments = request.args
        limit = _integer_argument('maxresults', 1, 1000, 1000)
        keep = odata.parse_filter(arguments['$filter'], model) if '$filter' in arguments else None
        select = odata.parse_select(arguments['$select'], model) if '$select' in arguments else None
        if '$expand' in arguments:
            odata.check_expand(arguments['$expand'])
        after = arguments.get('$skiptoken', '')
        with account.lock:
            rest = (item for item in sorted(items, key=lambda item: item.key) if item.key > after)
            matching = (item for item in rest if keep is None or keep(fields, item))
            page = list(islice(matching, limit + 1))
            body = {
                'odata.metadata': f'{base}/$metadata#{what}',
                'value': [wire.render(fields, item, select) for item in page[:limit]],
            }
        if len(page) > limit:
            query = {**arguments.to_dict(), '$skiptoken': page[limit - 1].key}
            body['odata.nextLink'] = f'{base}{request.path}?{urlencode(query, quote_via=quote, safe="$")}'
        return answer(200, body)

    def element(what: str, model: str, fields: wire.Fields, item: Pool | Job | Task) -> Response:
        with account.lock:
            check_conditions(item.modified)
            select = odata.parse_select(request.args['$select'], model) if '$select' in request.args else None
            body = {'odata.metadata': f'{base}/$metadata#{what}/@Element', **wire.render(fields, item, select)}
            return answer(200, body, item.modified)

    def here(suffix: str = '') -> str:
        return f'{base}{request.path}{suffix}'

    # The account

    @app.get('/supportedimages')
    def list_images() -> Response:
        return listing('supportedimages', 'ImageInformation', fields['ImageInformation'], IMAGES)

    @app.get('/nodecounts')
    def list_node_counts() -> Response:
        return listing('poolnodecounts', 'PoolNodeCounts', wire.node_counts(version()), account.all_pools())

    # Pools and nodes

    pool_fields, node_fields = fields['CloudPool'], fields['ComputeNode']

    @app.post('/pools')
    def add_pool() -> Response:
        pool = account.pools.add(schema.pool(json_body(), version()))
        url = f'{base}/pools/{pool.id}'
        return answer(201, None, pool.modified, DataServiceId=url, Location=url)

    @app.get('/pools')
    def list_pools() -> Response:
        return listing('pools', 'CloudPool', pool_fields, account.all_pools())

    @app.get('/pools/<pool_id>')
    def get_pool(pool_id: str) -> Response:
        pool = account.pools.get(pool_id)
        if request.method == 'HEAD':
            check_conditions(pool.modified)
            return answer(200, None, pool.modified)
        return element('pools', 'CloudPool', pool_fields, pool)

    @app.patch('/pools/<pool_id>')
    def patch_pool(pool_id: str) -> Response:
        with account.lock:
            check_conditions(account.pools.get(pool_id).modified)
            pool = account.pools.patch(pool_id, schema.pool_patch(json_body(), version()))
        return answer(200, None, pool.modified, DataServiceId=here())

    @app.delete('/pools/<pool_id>')
    def delete_pool(pool_id: str) -> Response:
        with account.lock:
            check_conditions(account.pools.get(pool_id).modified)
            account.pools.delete(pool_id)
        return answer(202)

    @app.post('/pools/<pool_id>/resize')
    def resize_pool(pool_id: str) -> Response:
        with account.lock:
            check_conditions(account.pools.get(pool_id).modified)
            pool = account.pools.resize(pool_id, schema.resize(json_body(), version()))
        return answer(202, None, pool.modified, DataServiceId=here())

    @app.post('/pools/<pool_id>/stopresize')
    def stop_resize(pool_id: str) -> Response:
        with account.lock:
            check_conditions(account.pools.get(pool_id).modified)
            pool = account.pools.stop_resize(pool_id)
        return answer(202, None, pool.modified, DataServiceId=here())

    @app.get('/pools/<pool_id>/nodes')
    def list_nodes(pool_id: str) -> Response:
        nodes = list(account.pools.get(pool_id).nodes.values())
        return listing('nodes', 'ComputeNode', node_fields, nodes)

    @app.get('/pools/<pool_id>/nodes/<node_id>')
    def get_node(pool_id: str, node_id: str) -> Response:
        node = account.pools.node(pool_id, node_id)
        select = odata.parse_select(request.args['$select'], 'ComputeNode') if '$select' in request.args else None
        with account.lock:
            body = {'odata.metadata': f'{base}/$metadata#nodes/@Element', **wire.render(node_fields, node, select)}
        return answer(200, body)

    @app.get('/pools/<pool_id>/nodes/<node_id>/files')
    def list_node_files(pool_id: str, node_id: str) -> Response:
        folder = files.node_folder(account.pools.node(pool_id, node_id))
        return file_listing(folder)

    @app.get('/pools/<pool_id>/nodes/<node_id>/files/<path:name>')
    def get_node_file(pool_id: str, node_id: str, name: str) -> Response:
        return file_answer(files.get(files.node_folder(account.pools.node(pool_id, node_id)), name))

    # Jobs

    job_fields, task_fields = fields['CloudJob'], fields['CloudTask']

    @app.post('/jobs')
    def add_job() -> Response:
        job = account.jobs.add(schema.job(json_body(), version()))
        url = f'{base}/jobs/job-1'  # whatever its id (recorded traffic: POST /jobs)
        return answer(201, None, job.modified, DataServiceId=url, Location=url)

    @app.get('/jobs')
    def list_jobs() -> Response:
        return listing('jobs', 'CloudJob', job_fields, account.all_jobs())

    @app.get('/jobs/<job_id>')
    def get_job(job_id: str) -> Response:
        return element('jobs', 'CloudJob', job_fields, account.jobs.get(job_id))

    @app.patch('/jobs/<job_id>')
    def patch_job(job_id: str) -> Response:
        with account.lock:
            check_conditions(account.jobs.get(job_id).modified)
            job = account.jobs.patch(job_id, schema.job_patch(json_body(), version()))
        return answer(200, None, job.modified, DataServiceId=here())

    @app.post('/jobs/<job_id>/terminate')
    def terminate_job(job_id: str) -> Response:
        with account.lock:
            check_conditions(account.jobs.get(job_id).modified)
            job = account.jobs.terminate(job_id, schema.terminate_reason(json_body(), version()))
        return answer(202, None, job.modified, DataServiceId=here())

    @app.delete('/jobs/<job_id>')
    def delete_job(job_id: str) -> Response:
        with account.lock:
            check_conditions(account.jobs.get(job_id).modified)
            account.jobs.delete(job_id)
        return answer(202)

    @app.get('/jobs/<job_id>/taskcounts')
    def task_counts(job_id: str) -> Response:
        tasks, slots = account.jobs.counts(job_id)
        metadata = f'{base}/$metadata#taskcountsresult/@Element'
        return answer(200, {'odata.metadata': metadata, 'taskCounts': tasks, 'taskSlotCounts': slots})

    # Tasks

    @app.post('/jobs/<job_id>/tasks')
    def add_task(job_id: str) -> Response:
        task = account.jobs.add_task(job_id, schema.task(json_body(), version()))
        url = f'{base}/jobs/{task.job.id}/tasks/{task.id}'
        return answer(201, None, task.modified, DataServiceId=url, Location=url)

    @app.post('/jobs/<job_id>/addtaskcollection')
    def add_tasks(job_id: str) -> Response:
        # The limit is 1 MB of UTF-16, it seems: 528,959 bytes were refused (recorded traffic).
        if 2 * len(request.get_data()) > MAX_BODY:
            raise BatchError('RequestBodyTooLarge', MaxLimit=str(MAX_BODY))
        bodies = schema.task_collection(json_body())
        results = account.jobs.add_tasks(job_id, [_checked(body) for body in bodies])
        value = [_add_result(body, result, job_id) for body, result in zip(bodies, results, strict=True)]
        return answer(200, {'odata.metadata': f'{base}/$metadata#taskaddresult', 'value': value})

    def _checked(body: object) -> Any:
        """A checked task, or what is wrong with its values; a body that is malformed fails the whole collection."""
        try:
            return schema.task(body, version())
        except BatchError as error:
            if error.code != 'InvalidPropertyValue' or not isinstance(body, dict):
                raise
            return error

    def _add_result(body: Any, result: Task | BatchError, job_id: str) -> dict[str, Any]:
        """REST reference, "Add a collection of tasks to a job": a refused task has an error and no eTag."""
        if isinstance(result, BatchError):
            error = error_body(result, account.stamp(), request.environ['local.request_id'])
            return {'status': 'ClientError', 'taskId': body['id'], 'error': error}
        return {
            'status': 'Success',
            'taskId': result.id,
            'eTag': wire.etag(result.modified),
            'lastModified': format_time(result.modified),
            'location': f'{base}/jobs/{job_id}/tasks/{result.id}',
        }

    @app.get('/jobs/<job_id>/tasks')
    def list_tasks(job_id: str) -> Response:
        job = account.jobs.get(job_id)
        with account.lock:
            return listing('tasks', 'CloudTask', task_fields, job.tasks.values())

    @app.get('/jobs/<job_id>/tasks/<task_id>')
    def get_task(job_id: str, task_id: str) -> Response:
        return element('tasks', 'CloudTask', task_fields, account.jobs.task(job_id, task_id))

    @app.post('/jobs/<job_id>/tasks/<task_id>/terminate')
    def terminate_task(job_id: str, task_id: str) -> Response:
        with account.lock:
            check_conditions(account.jobs.task(job_id, task_id).modified)
            task = account.jobs.terminate_task(job_id, task_id)
        return answer(204, None, task.modified, DataServiceId=here())

    @app.post('/jobs/<job_id>/tasks/<task_id>/reactivate')
    def reactivate_task(job_id: str, task_id: str) -> Response:
        with account.lock:
            check_conditions(account.jobs.task(job_id, task_id).modified)
            task = account.jobs.reactivate_task(job_id, task_id)
        return answer(204, None, task.modified)  # no DataServiceId (recorded traffic)

    @app.delete('/jobs/<job_id>/tasks/<task_id>')
    def delete_task(job_id: str, task_id: str) -> Response:
        with account.lock:
            check_conditions(account.jobs.task(job_id, task_id).modified)
            account.jobs.delete_task(job_id, task_id)
        return answer(200)

    @app.get('/jobs/<job_id>/tasks/<task_id>/files')
    def list_task_files(job_id: str, task_id: str) -> Response:
        return file_listing(files.task_folder(account.jobs.task(job_id, task_id)))

    @app.get('/jobs/<job_id>/tasks/<task_id>/files/<path:name>')
    def get_task_file(job_id: str, task_id: str, name: str) -> Response:
        return file_answer(files.get(files.task_folder(account.jobs.task(job_id, task_id)), name))

    # Files

    def file_listing(folder: Any) -> Response:
        recursive = request.args.get('recursive', '').lower() == 'true'
        return listing('files', 'NodeFile', files.file_fields(here()), list(files.listing(folder, recursive)))

    def file_answer(file: files.NodeFile) -> Response:
        if file.is_directory and request.method != 'HEAD':
            raise BatchError('FileNotFound')
        check_conditions(file.modified)
        offset, length = files.part(file, request.headers.get('ocp-range'))
        response = Response(files.read(file, offset, length) if request.method == 'GET' else b'', 200)
        response.headers.update(
            {
                'Content-Type': file.content_type,
                'Content-Length': str(length),
                'Last-Modified': format_datetime(from_ticks(file.modified), usegmt=True),
                'ocp-batch-file-isdirectory': str(file.is_directory),
                'ocp-batch-file-mode': file.mode,
                'ocp-batch-file-url': quote(here(), safe=''),
            }
        )
        return response

    return app


class _Keyed:
    """An item without a key of its own, in a list that needs one."""

    def __init__(self, key: str, item: Any) -> None:
        self.key, self.item = key, item


def _of_keyed(fields: wire.Fields) -> wire.Fields:
    def unwrapped(get: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda keyed: get(keyed.item)

    return {name: unwrapped(get) for name, get in fields.items()}
