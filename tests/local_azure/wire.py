"""How resources look on the wire: for each its properties in the service's order, and how to get them (None: left out).

Source unless said otherwise: recorded traffic, 2022-01-01.15.0 and 2024-02-01.19.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .durations import format_duration, format_time
from .images import Image
from .model import Execution, Failure, Job, Node, Pool, Task
from .states import TaskState

Fields = Mapping[str, Callable[[Any], Any]]


def render(fields: Fields, item: Any, select: Iterable[str] | None = None) -> dict[str, Any]:
    """The JSON object of one resource."""
    wanted = fields if select is None else {name: fields[name] for name in fields if name in set(select)}
    return {name: value for name, get in wanted.items() if (value := get(item)) is not None}


def etag(modified: int) -> str:
    return f'0x{modified:X}'


def _spec(*names: str) -> dict[str, Callable[[Any], Any]]:
    return {name: lambda item, name=name: item.spec.get(name) for name in names}  # type: ignore[misc]


def _time(ticks: int | None) -> str | None:
    return None if ticks is None else format_time(ticks)


def _pairs(values: Iterable[tuple[str, str]]) -> list[dict[str, str]] | None:
    return [{'name': name, 'value': value} for name, value in values] or None


def _failure(failure: Failure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    shown = {'category': failure.category, 'code': failure.code, 'message': failure.message}
    return {**shown, **({'details': details} if (details := _pairs(failure.details)) else {})}


def _previous(item: Task | Job) -> dict[str, str]:
    return {} if not item.previous else {'state': item.previous[0].value, 'time': format_time(item.previous[1])}


def _execution(execution: Execution, **more: Any) -> dict[str, Any]:
    values = {
        'startTime': _time(execution.start),
        'endTime': _time(execution.end),
        'exitCode': execution.exit_code,
        'failureInfo': _failure(execution.failure),
        'result': execution.result,
        'retryCount': execution.retries,
        'lastRetryTime': _time(execution.last_retry),
        **more,
    }
    return {name: value for name, value in values.items() if value is not None}


def pool_fields(base: str) -> Fields:
    return {
        'id': lambda pool: pool.id,
        **_spec('displayName'),
        'url': lambda pool: f'{base}/pools/{pool.id}',
        'eTag': lambda pool: etag(pool.modified),
        'lastModified': lambda pool: format_time(pool.modified),
        'creationTime': lambda pool: format_time(pool.created),
        'state': lambda pool: pool.state.value,
        'stateTransitionTime': lambda pool: format_time(pool.changed),
        'allocationState': lambda pool: pool.allocation.value,
        'allocationStateTransitionTime': lambda pool: format_time(pool.allocation_changed),
        **_spec('vmSize'),
        'resizeTimeout': lambda pool: format_duration(pool.resize_timeout),
        'currentDedicatedNodes': lambda pool: pool.count(True),
        'targetDedicatedNodes': lambda pool: pool.targets[True],
        'currentLowPriorityNodes': lambda pool: pool.count(False),
        'targetLowPriorityNodes': lambda pool: pool.targets[False],
        'resizeErrors': _resize_errors,
        **_spec('enableAutoScale', 'enableInterNodeCommunication', 'startTask', 'userAccounts', 'metadata'),
        **_spec('taskSlotsPerNode', 'taskSchedulingPolicy', 'virtualMachineConfiguration', 'networkConfiguration'),
        **_spec('applicationLicenses', 'targetNodeCommunicationMode', 'upgradePolicy', 'resourceTags'),
    }


def _resize_errors(pool: Pool) -> list[dict[str, Any]] | None:
    return [
        {'code': code, 'message': message, **({'values': _pairs(values.items())} if values else {})}
        for code, message, values in pool.resize_errors
    ] or None


def node_fields(base: str) -> Fields:
    return {
        'id': lambda node: node.id,
        'url': lambda node: _node_url(base, node),
        'state': lambda node: node.state.value,
        'schedulingState': lambda _: 'enabled',
        'stateTransitionTime': lambda node: format_time(node.changed),
        'lastBootTime': lambda node: _time(node.booted),
        'allocationTime': lambda node: format_time(node.created),
        'ipAddress': lambda node: node.address,
        'affinityId': lambda node: f'TVM:{node.id}',
        'vmSize': lambda node: node.pool.spec['vmSize'],
        'totalTasksRun': lambda node: node.tasks_run,
        'totalTasksSucceeded': lambda node: node.tasks_succeeded,
        'runningTasksCount': lambda node: len(node.runs),
        'runningTaskSlotsCount': lambda node: node.used_slots,
        'recentTasks': lambda node: _recent_tasks(base, node),
        'startTask': lambda node: node.pool.spec.get('startTask'),
        'startTaskInfo': _start_task_info,
        'errors': lambda node: [_node_error(error) for error in node.errors] or None,
        'isDedicated': lambda node: node.dedicated,
        'nodeAgentInfo': lambda node: (
            {'lastUpdateTime': _time(node.booted), 'version': '1.10.0'} if node.booted else None
        ),
        'virtualMachineInfo': lambda node: {
            'imageReference': node.pool.spec['virtualMachineConfiguration']['imageReference']
        },
    }


def _node_url(base: str, node: Node) -> str:
    return f'{base}/pools/{node.pool.id}/nodes/{node.id}'


def _recent_tasks(base: str, node: Node) -> list[dict[str, Any]] | None:
    """SDK14 ComputeNode.recent_tasks; only those running now."""
    tasks = [run.task for run in node.runs.values() if run.task]
    return [
        {
            'taskUrl': f'{base}/jobs/{task.job.id}/tasks/{task.id}',
            'jobId': task.job.id,
            'taskId': task.id,
            'taskState': task.state.value,
            'executionInfo': _task_execution(task),
        }
        for task in tasks
    ] or None


def _start_task_info(node: Node) -> dict[str, Any] | None:
    if node.start is None or node.start.start is None:
        return None
    return {'state': 'completed' if node.start.end else 'running', **_execution(node.start)}


def _node_error(error: Failure) -> dict[str, Any]:
    return {
        'code': error.code,
        'message': error.message,
        **({'errorDetails': d} if (d := _pairs(error.details)) else {}),
    }


def job_fields(base: str) -> Fields:
    return {
        'id': lambda job: job.id,
        **_spec('displayName'),
        'url': lambda job: f'{base}/jobs/{job.id}',
        'eTag': lambda job: etag(job.modified),
        'lastModified': lambda job: format_time(job.modified),
        'creationTime': lambda job: format_time(job.created),
        'state': lambda job: job.state.value,
        'stateTransitionTime': lambda job: format_time(job.changed),
        'previousState': lambda job: _previous(job).get('state'),
        'previousStateTransitionTime': lambda job: _previous(job).get('time'),
        **_spec('priority', 'maxParallelTasks', 'usesTaskDependencies', 'allowTaskPreemption'),
        'constraints': _job_constraints,
        **_spec('commonEnvironmentSettings', 'poolInfo', 'metadata', 'networkConfiguration'),
        'executionInfo': _job_execution,
        **_spec('onAllTasksComplete', 'onTaskFailure'),
    }


def _job_constraints(job: Job) -> dict[str, Any]:
    return {'maxWallClockTime': 'P10675199DT2H48M5.4775807S', 'maxTaskRetryCount': 0, **job.spec['constraints']}


def _job_execution(job: Job) -> dict[str, Any]:
    values = {
        'startTime': format_time(job.created),
        'endTime': _time(job.ended),
        'poolId': job.spec['poolInfo']['poolId'],
        'terminateReason': job.reason,
    }
    return {name: value for name, value in values.items() if value is not None}


def task_fields(base: str) -> Fields:
    return {
        'id': lambda task: task.id,
        **_spec('displayName'),
        'url': lambda task: f'{base}/jobs/{task.job.id}/tasks/{task.id}',
        'eTag': lambda task: etag(task.modified),
        'creationTime': lambda task: format_time(task.created),
        'lastModified': lambda task: format_time(task.modified),
        'state': lambda task: task.state.value,
        'stateTransitionTime': lambda task: format_time(task.changed),
        'previousState': lambda task: _previous(task).get('state'),
        'previousStateTransitionTime': lambda task: _previous(task).get('time'),
        **_spec('commandLine', 'resourceFiles', 'outputFiles', 'environmentSettings', 'affinityInfo'),
        **_spec('userIdentity', 'constraints', 'requiredSlots'),
        'executionInfo': _task_execution,
        'nodeInfo': lambda task: _node_info(base, task),
    }


def _task_execution(task: Task) -> dict[str, Any]:
    execution = task.execution
    return _execution(execution, requeueCount=execution.requeues, lastRequeueTime=_time(execution.last_requeue))


def _node_info(base: str, task: Task) -> dict[str, str] | None:
    if task.node is None:  # completed without having run: an empty object (recorded traffic, 2018-12-01.8.0)
        return {} if task.state is TaskState.completed else None
    directory = f'workitems/{task.job.id}/job-1/{task.id}'
    return {
        'affinityId': f'TVM:{task.node.id}',
        'nodeUrl': _node_url(base, task.node),
        'poolId': task.node.pool.id,
        'nodeId': task.node.id,
        'taskRootDirectory': directory,
        'taskRootDirectoryUrl': f'{_node_url(base, task.node)}/files/{directory}',
    }


# All states of SDK14 NodeCounts, in its recorded order and case; 2025-06-01 has two more.
_COUNTED = (
    *('creating', 'idle', 'leavingPool', 'offline', 'preempted', 'rebooting', 'reimaging', 'running', 'starting'),
    *('startTaskFailed', 'unusable', 'unknown', 'upgradingOS', 'waitingForStartTask'),
)


def node_counts_fields(version: str) -> Fields:
    names = [*_COUNTED, *(('deallocated', 'deallocating') if version >= '2025' else ())]

    def counts(pool: Pool, dedicated: bool) -> dict[str, int]:
        states = [node.state.value for node in pool.nodes.values() if node.dedicated is dedicated]
        return {**{name: states.count(name.lower()) for name in names}, 'total': len(states)}

    return {
        'poolId': lambda pool: pool.id,
        'dedicated': lambda pool: counts(pool, True),
        'lowPriority': lambda pool: counts(pool, False),
    }


def image_fields() -> Fields:
    def reference(image: Image) -> dict[str, str]:
        return {'publisher': image.publisher, 'offer': image.offer, 'sku': image.sku, 'version': 'latest'}

    return {
        'imageReference': reference,
        'verificationType': lambda _: 'verified',
        'nodeAgentSKUId': lambda image: image.agent,
        'capabilities': lambda image: ['Generation2VMImage'] if image.generation == 2 else None,
        'batchSupportEndOfLife': lambda image: image.end_of_life,
        'osType': lambda _: 'linux',
    }
