"""The operations of the service: each reads its request, calls the account, and shows the result.

Status codes: SDK14 operations. The account's methods refuse by a BatchError.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.local_azure.batch import api_versions, lists, request_properties, task_and_node_files
from tests.local_azure.batch.calls import Call, Result
from tests.local_azure.batch.errors import BatchError, invalid_property, not_imitated
from tests.local_azure.batch.images_and_sizes import IMAGES, node_agents
from tests.local_azure.batch.model import Pool, Task
from tests.local_azure.batch.request_rules import check_slots
from tests.local_azure.batch.resource_documents import (
    Document,
    added_task_document,
    autoscale_run_document,
    refused_task_document,
    task_counts_document,
)
from tests.local_azure.batch.time_formats import http_date

Spec = dict[str, Any]

# The account


def list_supported_images(call: Call) -> Result:
    if call.version < api_versions.SUPPORTED_IMAGES:
        raise not_imitated('GET /supportedimages, which this API version does not have')
    return lists.page(call, lists.IMAGES, IMAGES)


def list_node_agents(call: Call) -> Result:
    """Only in API versions before images were listed."""
    if call.version >= api_versions.SUPPORTED_IMAGES:
        raise not_imitated('GET /nodeagentskus, which this API version does not have')
    return lists.page(call, lists.NODE_AGENTS, node_agents())


def list_pool_node_counts(call: Call) -> Result:
    with call.account.lock:
        pools = call.account.all_pools()
        return lists.page(call, lists.NODE_COUNTS, pools)


# Pools


def add_pool(call: Call) -> Result:
    spec = call.spec(request_properties.POOL)
    pool = call.pools.add(spec)
    return call.created(f'/pools/{pool.id}', pool)


def list_pools(call: Call) -> Result:
    with call.account.lock:
        pools = call.account.all_pools()
        return lists.page(call, lists.POOLS, pools)


def get_pool(call: Call, pool_id: str) -> Result:
    with call.holding(call.pools.get, pool_id) as pool:
        document = lists.selected(call, lists.POOLS, pool)
        return call.element('pools/@Element', document, pool)


def patch_pool(call: Call, pool_id: str) -> Result:
    with call.holding(call.pools.get, pool_id) as pool:
        spec = call.spec(request_properties.POOL_PATCH)
        _check_patch(pool, spec)
        call.pools.patch(pool_id, spec)
        return call.changed(200, pool)


# Azure changes these only while a pool is empty (SDK15 BatchPoolUpdateOptions).
_ONLY_OF_EMPTY_POOLS = (
    'displayName',
    'vmSize',
    'enableInterNodeCommunication',
    'virtualMachineConfiguration',
    'taskSlotsPerNode',
    'taskSchedulingPolicy',
    'networkConfiguration',
    'userAccounts',
    'upgradePolicy',
)


def _check_patch(pool: Pool, spec: Spec) -> None:
    for name in _ONLY_OF_EMPTY_POOLS:
        if name in spec and pool.nodes:
            raise not_imitated(f'a change of {name} while the pool has nodes')
    result = {**pool.spec, **spec}
    check_slots(result['taskSlotsPerNode'], result['vmSize'])


def delete_pool(call: Call, pool_id: str) -> Result:
    with call.holding(call.pools.get, pool_id):
        call.pools.delete(pool_id)
        return Result(202)


def resize_pool(call: Call, pool_id: str) -> Result:
    with call.holding(call.pools.get, pool_id) as pool:
        spec = call.spec(request_properties.RESIZE)
        call.pools.resize(pool_id, spec)
        return call.changed(202, pool)


def remove_nodes(call: Call, pool_id: str) -> Result:
    with call.holding(call.pools.get, pool_id) as pool:
        spec = call.spec(request_properties.REMOVE_NODES)
        call.pools.remove_nodes(pool_id, spec)
        return call.changed(202, pool)


def stop_pool_resize(call: Call, pool_id: str) -> Result:
    with call.holding(call.pools.get, pool_id) as pool:
        call.pools.stop_resize(pool_id)
        return call.changed(202, pool)


def enable_pool_autoscale(call: Call, pool_id: str) -> Result:
    with call.holding(call.pools.get, pool_id) as pool:
        spec = call.spec(request_properties.ENABLE_AUTOSCALE)
        call.pools.enable_autoscale(pool_id, spec)
        return call.changed(200, pool)


def disable_pool_autoscale(call: Call, pool_id: str) -> Result:
    pool = call.pools.disable_autoscale(pool_id)
    return call.changed(200, pool)


def evaluate_pool_autoscale(call: Call, pool_id: str) -> Result:
    """Without an ETag (recorded traffic, 2020-03-01.11.0)."""
    spec = call.spec(request_properties.EVALUATE_AUTOSCALE)
    run = call.pools.evaluate_autoscale(pool_id, spec)
    document = autoscale_run_document(run)
    result = call.element('Microsoft.Azure.Batch.Protocol.Entities.AutoScaleRun', document)
    result.headers = {'DataServiceId': call.url}
    return result


# Nodes


def list_nodes(call: Call, pool_id: str) -> Result:
    with call.account.lock:
        pool = call.pools.get(pool_id)
        return lists.page(call, lists.NODES, pool.nodes.values())


def get_node(call: Call, pool_id: str, node_id: str) -> Result:
    """Nodes have no ETag."""
    with call.account.lock:
        node = call.pools.node(pool_id, node_id)
        document = lists.selected(call, lists.NODES, node)
        return call.element('nodes/@Element', document)


def list_node_files(call: Call, pool_id: str, node_id: str) -> Result:
    node = call.pools.node(pool_id, node_id)
    folder = task_and_node_files.node_folder(node)
    return _list_files(call, folder)


def get_node_file(call: Call, pool_id: str, node_id: str, path: str) -> Result:
    node = call.pools.node(pool_id, node_id)
    folder = task_and_node_files.node_folder(node)
    return _get_file(call, folder, path)


# Jobs


def add_job(call: Call) -> Result:
    """Location says job-1 whatever the job's id (recorded traffic)."""
    spec = call.spec(request_properties.JOB)
    job = call.jobs.add(spec)
    return call.created('/jobs/job-1', job)


def list_jobs(call: Call) -> Result:
    with call.account.lock:
        jobs = call.account.all_jobs()
        return lists.page(call, lists.JOBS, jobs)


def get_job(call: Call, job_id: str) -> Result:
    with call.holding(call.jobs.get, job_id) as job:
        document = lists.selected(call, lists.JOBS, job)
        return call.element('jobs/@Element', document, job)


def patch_job(call: Call, job_id: str) -> Result:
    with call.holding(call.jobs.get, job_id) as job:
        spec = call.spec(request_properties.JOB_PATCH)
        call.jobs.patch(job_id, spec)
        return call.changed(200, job)


def delete_job(call: Call, job_id: str) -> Result:
    with call.holding(call.jobs.get, job_id):
        call.jobs.delete(job_id)
        return Result(202)


def terminate_job(call: Call, job_id: str) -> Result:
    with call.holding(call.jobs.get, job_id) as job:
        call.jobs.terminate(job_id, _terminate_reason(call))
        return call.changed(202, job)


def _terminate_reason(call: Call) -> str:
    """The caller's text, or UserTerminate without one.

    Recorded traffic: POST /jobs/{id}/terminate with an empty body.
    """
    if call.body() is None:
        return 'UserTerminate'
    spec = call.spec(request_properties.TERMINATE_JOB)
    return spec.get('terminateReason') or 'UserTerminate'


def disable_job(call: Call, job_id: str) -> Result:
    with call.holding(call.jobs.get, job_id) as job:
        spec = call.spec(request_properties.DISABLE_JOB)
        call.jobs.disable(job_id, spec['disableTasks'])
        return call.changed(202, job)


def enable_job(call: Call, job_id: str) -> Result:
    with call.holding(call.jobs.get, job_id) as job:
        call.jobs.enable(job_id)
        return call.changed(202, job)


def get_task_counts(call: Call, job_id: str) -> Result:
    counts, slots = call.jobs.counts(job_id)
    document = task_counts_document(counts, slots, call.view)
    if call.version < api_versions.TASK_SLOTS:
        return call.element('taskcounts/@Element', document)
    return call.element('taskcountsresult/@Element', document)


# Tasks


def add_task(call: Call, job_id: str) -> Result:
    spec = call.spec(request_properties.TASK)
    task = call.jobs.add_task(job_id, spec)
    return call.created(f'/jobs/{task.job.id}/tasks/{task.id}', task)


def add_task_collection(call: Call, job_id: str) -> Result:
    bodies = _tasks_of_collection(call)
    specs: list[Mapping[str, Any] | BatchError] = []
    for body in bodies:
        specs.append(_checked_task(body, call.version))
    results = call.jobs.add_tasks(job_id, specs)

    value = []
    for body, result in zip(bodies, results, strict=True):
        value.append(_added_or_refused(call, body['id'], result))
    # Not the order of the request (recorded traffic, REST reference's example).
    value.reverse()
    return call.element('taskaddresult', {'value': value})


# Recorded traffic: POST .../addtaskcollection, 413 with MaxLimit 1048576.
_MAX_COLLECTION = 1 << 20
_MAX_TASKS_OF_A_COLLECTION = 100  # SDK14 task.add_collection


def _tasks_of_collection(call: Call) -> list[Any]:
    """The tasks of one collection, not yet checked: each gets its own result."""
    # The limit is 1 MB of UTF-16, it seems: 528,959 bytes were refused (recorded traffic).
    if 2 * len(call.request.body) > _MAX_COLLECTION:
        raise BatchError('RequestBodyTooLarge', MaxLimit=str(_MAX_COLLECTION))

    body = call.body()
    tasks = body.get('value') if isinstance(body, dict) else None
    if not isinstance(tasks, list):
        reason = 'an object with a list named value is expected'
        raise BatchError('InvalidRequestBody', Reason=reason)
    if len(tasks) > _MAX_TASKS_OF_A_COLLECTION:
        reason = f'a collection has at most {_MAX_TASKS_OF_A_COLLECTION} tasks'
        raise invalid_property('value', reason, len(tasks))
    return tasks


def _checked_task(body: object, version: str) -> Spec | BatchError:
    """A checked task, or what is wrong with its values.

    A body that is malformed fails the whole collection.
    """
    try:
        return request_properties.TASK.read_body(body, version)
    except BatchError as error:
        if error.code != 'InvalidPropertyValue':
            raise
        return error


def _added_or_refused(call: Call, task_id: str, result: Task | BatchError) -> Document:
    if isinstance(result, BatchError):
        return refused_task_document(task_id, call.error(result))
    return added_task_document(result, call.view)


def list_tasks(call: Call, job_id: str) -> Result:
    with call.account.lock:
        job = call.jobs.get(job_id)
        return lists.page(call, lists.TASKS, job.tasks.values())


def get_task(call: Call, job_id: str, task_id: str) -> Result:
    with call.holding(call.jobs.task, job_id, task_id) as task:
        document = lists.selected(call, lists.TASKS, task)
        return call.element('tasks/@Element', document, task)


def terminate_task(call: Call, job_id: str, task_id: str) -> Result:
    with call.holding(call.jobs.task, job_id, task_id) as task:
        call.jobs.terminate_task(job_id, task_id)
        return call.changed(204, task)


def reactivate_task(call: Call, job_id: str, task_id: str) -> Result:
    """Without DataServiceId (recorded traffic)."""
    with call.holding(call.jobs.task, job_id, task_id) as task:
        call.jobs.reactivate_task(job_id, task_id)
        return Result(204, None, task.modified)


def delete_task(call: Call, job_id: str, task_id: str) -> Result:
    with call.holding(call.jobs.task, job_id, task_id):
        call.jobs.delete_task(job_id, task_id)
        return Result(200)


def list_task_files(call: Call, job_id: str, task_id: str) -> Result:
    task = call.jobs.task(job_id, task_id)
    folder = task_and_node_files.task_folder(task)
    return _list_files(call, folder)


def get_task_file(call: Call, job_id: str, task_id: str, path: str) -> Result:
    task = call.jobs.task(job_id, task_id)
    folder = task_and_node_files.task_folder(task)
    return _get_file(call, folder, path)


# Files


def _list_files(call: Call, folder: Path) -> Result:
    recursive = call.arguments.get('recursive', '')
    found = task_and_node_files.listing(folder, recursive.lower() == 'true')
    kind = lists.files(call.url)
    return lists.page(call, kind, found)


def _get_file(call: Call, folder: Path, path: str) -> Result:
    """Without an ETag. The URL is quoted, and a boolean is Python's (recorded traffic)."""
    file = task_and_node_files.get(folder, path)
    call.check_conditions(file)
    wanted = call.request.headers.get('ocp-range')
    offset, length = task_and_node_files.part(file, wanted)

    headers = {
        'Content-Type': file.content_type,
        'Last-Modified': http_date(file.modified),
        'ocp-batch-file-mode': file.mode,
        'ocp-batch-file-isdirectory': str(file.is_directory),
        'ocp-batch-file-url': quote(call.url, safe=''),
    }
    if call.request.command == 'HEAD':
        headers['Content-Length'] = str(length)
        return Result(200, headers=headers)
    content = task_and_node_files.read(file, offset, length)
    return Result(200, content, headers=headers)
