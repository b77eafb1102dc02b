"""How resources look on the wire: for each its properties in the service's order, and how to get them (None: left out).

Source unless said otherwise: recorded traffic, 2022-01-01.15.0 and 2024-02-01.19.0.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from enum import Enum
from operator import attrgetter
from typing import Any

from tests.local_azure.batch.model import Node, Pool, Task
from tests.local_azure.batch.states import AllocationState, TaskState
from tests.local_azure.batch.times import format_duration, format_time

Getter = Callable[[Any], Any]
Fields = Mapping[str, Getter]


def render(fields: Fields, item: Any, select: Container[str] | None = None) -> dict[str, Any]:
    """The JSON object of one resource."""
    wanted = fields if select is None else [name for name in fields if name in select]
    return {name: value for name in wanted if (value := fields[name](item)) is not None}


def etag(modified: int) -> str:
    return f'0x{modified:X}'


_COMMON: Fields = {
    'eTag': lambda item: etag(item.modified),
    'previousState': lambda item: item.previous[0].value if item.previous else None,
    'previousStateTransitionTime': lambda item: (
        format_time(item.previous[1]) if item.previous else None
    ),
}


def _fields(names: str, **more: Getter) -> Fields:
    """`name=attribute`: of the item; a name alone: by a function in `more` or in _COMMON, or else of its spec."""
    pairs = (entry.partition('=')[::2] for entry in names.split())
    return {
        name: _attribute(name, path) if path else {**_COMMON, **more}.get(name) or _spec(name)
        for name, path in pairs
    }


def _spec(name: str) -> Getter:
    return lambda item: item.spec.get(name)


def _attribute(name: str, path: str) -> Getter:
    get, is_time = attrgetter(path), name.endswith(('Time', 'Modified'))

    def plain(item: Any) -> Any:
        value = get(item)
        if isinstance(value, Enum):
            return value.value
        return format_time(value) if is_time and value is not None else value

    return plain


def _pairs(pairs: Iterable[tuple[str, str]]) -> list[dict[str, str]] | None:
    return [{'name': name, 'value': value} for name, value in pairs] or None


_FAILURE = _fields(
    'category=category code=code message=message details',
    details=lambda failure: _pairs(failure.details),
)
_NODE_ERROR = _fields(
    'code=code message=message errorDetails', errorDetails=lambda error: _pairs(error.details)
)
_START = (
    'startTime=start endTime=end exitCode=exit_code failureInfo result=result retryCount=retries '
    'lastRetryTime=last_retry'
)
_RUN = {
    'failureInfo': lambda execution: (
        render(_FAILURE, execution.failure) if execution.failure else None
    )
}
_START_TASK = _fields(
    f'state {_START}', state=lambda start: 'completed' if start.end else 'running', **_RUN
)
_TASK_RUN = _fields(f'{_START} requeueCount=requeues lastRequeueTime=last_requeue', **_RUN)
_JOB_RUN = _fields(
    'startTime=created endTime=ended poolId terminateReason=reason',
    poolId=lambda job: job.spec['poolInfo']['poolId'],
)


def _resize_errors(pool: Pool) -> list[dict[str, Any]] | None:
    """Only those of a steady pool (SDK14 CloudPool.resize_errors)."""
    if pool.allocation is not AllocationState.steady:
        return None
    errors = (
        {'code': code, 'message': text, 'values': _pairs(v.items())}
        for code, text, v in pool.resize_errors
    )
    return [{name: value for name, value in error.items() if value} for error in errors] or None


_NODE_COUNTS = (  # all states of SDK14 NodeCounts, in its recorded order and case
    *(
        'creating',
        'idle',
        'leavingPool',
        'offline',
        'preempted',
        'rebooting',
        'reimaging',
        'running',
        'starting',
    ),
    *('startTaskFailed', 'unusable', 'unknown', 'upgradingOS', 'waitingForStartTask'),
)


def node_counts(version: str) -> Fields:
    names = (*_NODE_COUNTS, *(('deallocated', 'deallocating') if version >= '2025' else ()))

    def counts(pool: Pool, dedicated: bool) -> dict[str, int]:
        states = [node.state.value for node in pool.nodes.values() if node.dedicated is dedicated]
        return {**{name: states.count(name.lower()) for name in names}, 'total': len(states)}

    kinds = {
        'dedicated': lambda pool: counts(pool, True),
        'lowPriority': lambda pool: counts(pool, False),
    }
    return _fields('poolId=id dedicated lowPriority', **kinds)


def resources(base: str) -> dict[str, Fields]:
    """Those of the account with this URL, by the name of the SDK's model."""

    def task_url(task: Task) -> str:
        return f'{base}/jobs/{task.job.id}/tasks/{task.id}'

    def node_url(node: Node) -> str:
        return f'{base}/pools/{node.pool.id}/nodes/{node.id}'

    def node_info(task: Task) -> dict[str, str] | None:
        if (
            task.node is None
        ):  # completed without having run: an empty object (recorded traffic, 2018-12-01.8.0)
            return {} if task.state is TaskState.completed else None
        url, directory = node_url(task.node), task.directory
        names = (
            'affinityId',
            'nodeUrl',
            'poolId',
            'nodeId',
            'taskRootDirectory',
            'taskRootDirectoryUrl',
        )
        ids = (task.node.pool.id, task.node.id)
        return dict(
            zip(
                names,
                (f'TVM:{task.node.id}', url, *ids, directory, f'{url}/files/{directory}'),
                strict=True,
            )
        )

    run = {'executionInfo': lambda task: render(_TASK_RUN, task.execution)}
    recent = _fields(
        'taskUrl jobId=job.id taskId=id taskState=state executionInfo', taskUrl=task_url, **run
    )
    return {
        'CloudPool': _fields(
            'id=id displayName url eTag lastModified=modified creationTime=created state=state '
            'stateTransitionTime=changed allocationState=allocation allocationStateTransitionTime=allocation_changed '
            'vmSize resizeTimeout currentDedicatedNodes targetDedicatedNodes currentLowPriorityNodes '
            'targetLowPriorityNodes resizeErrors enableAutoScale enableInterNodeCommunication startTask userAccounts '
            'metadata taskSlotsPerNode taskSchedulingPolicy virtualMachineConfiguration networkConfiguration '
            'applicationLicenses targetNodeCommunicationMode upgradePolicy resourceTags',
            url=lambda pool: f'{base}/pools/{pool.id}',
            resizeTimeout=lambda pool: format_duration(pool.resize_timeout),
            currentDedicatedNodes=lambda pool: pool.count(True),
            targetDedicatedNodes=lambda pool: pool.targets[True],
            currentLowPriorityNodes=lambda pool: pool.count(False),
            targetLowPriorityNodes=lambda pool: pool.targets[False],
            resizeErrors=_resize_errors,
        ),
        'ComputeNode': _fields(
            'id=id url state=state schedulingState stateTransitionTime=changed lastBootTime=booted '
            'allocationTime=created ipAddress=address affinityId vmSize totalTasksRun=tasks_run '
            'totalTasksSucceeded=tasks_succeeded runningTasksCount runningTaskSlotsCount=used_slots recentTasks '
            'startTask startTaskInfo errors isDedicated=dedicated nodeAgentInfo virtualMachineInfo',
            url=node_url,
            schedulingState=lambda _: 'enabled',
            affinityId=lambda node: f'TVM:{node.id}',
            vmSize=lambda node: node.pool.spec['vmSize'],
            runningTasksCount=lambda node: len(node.runs),
            # SDK14 ComputeNode.recent_tasks; only those running now
            recentTasks=lambda node: (
                [render(recent, run.task) for run in node.runs.values() if run.task] or None
            ),
            startTask=lambda node: node.pool.spec.get('startTask'),
            startTaskInfo=lambda n: (
                render(_START_TASK, n.start) if n.start and n.start.start is not None else None
            ),
            errors=lambda node: [render(_NODE_ERROR, error) for error in node.errors] or None,
            nodeAgentInfo=lambda n: (
                {'lastUpdateTime': format_time(n.booted), 'version': '1.10.0'} if n.booted else None
            ),
            virtualMachineInfo=lambda n: {
                'imageReference': n.pool.spec['virtualMachineConfiguration']['imageReference']
            },
        ),
        'CloudJob': _fields(
            'id=id displayName url eTag lastModified=modified creationTime=created state=state '
            'stateTransitionTime=changed previousState previousStateTransitionTime priority maxParallelTasks '
            'usesTaskDependencies allowTaskPreemption constraints commonEnvironmentSettings poolInfo metadata '
            'networkConfiguration executionInfo onAllTasksComplete onTaskFailure',
            url=lambda job: f'{base}/jobs/{job.id}',
            executionInfo=lambda job: render(_JOB_RUN, job),
        ),
        'CloudTask': _fields(
            'id=id displayName url eTag creationTime=created lastModified=modified state=state '
            'stateTransitionTime=changed previousState previousStateTransitionTime commandLine resourceFiles '
            'outputFiles environmentSettings affinityInfo userIdentity constraints requiredSlots executionInfo '
            'nodeInfo',
            url=task_url,
            nodeInfo=node_info,
            **run,
        ),
        'ImageInformation': _fields(
            'imageReference verificationType nodeAgentSKUId=agent capabilities '
            'batchSupportEndOfLife=end_of_life osType',
            imageReference=lambda i: {
                'publisher': i.publisher,
                'offer': i.offer,
                'sku': i.sku,
                'version': 'latest',
            },
            verificationType=lambda _: 'verified',
            capabilities=lambda image: ['Generation2VMImage'] if image.generation == 2 else None,
            osType=lambda _: 'linux',
        ),
    }
