"""The JSON document of each resource, its properties in the service's order.

Source unless said otherwise: recorded traffic, 2022-01-01.15.0 and 2024-02-01.19.0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.local_azure.batch import api_versions
from tests.local_azure.batch.errors import Failure
from tests.local_azure.batch.etags import etag
from tests.local_azure.batch.execution import Execution
from tests.local_azure.batch.images_and_sizes import Image, NodeAgent
from tests.local_azure.batch.model import (
    AutoScaleRun,
    Job,
    Node,
    Pool,
    Task,
)
from tests.local_azure.batch.states import AllocationState, TaskState
from tests.local_azure.batch.time_formats import format_duration, format_optional_time, format_time
from tests.local_azure.node.files_on_disk import NodeFile

Document = dict[str, Any]


@dataclass(frozen=True)
class View:
    """How a caller sees the account: by this URL, in this version of the API."""

    url: str
    version: str

    def since(self, version: str, value: Any) -> Any:
        """The value, or None in an older version of the API."""
        if self.version < version:
            return None
        return value

    def until(self, version: str, value: Any) -> Any:
        """The value, or None from this version of the API on."""
        if self.version < version:
            return value
        return None


def _without_none(document: Document) -> Document:
    return {name: value for name, value in document.items() if value is not None}


def _name_value_pairs(pairs: Iterable[tuple[str, str]]) -> list[Document] | None:
    """None instead of an empty list."""
    return [{'name': name, 'value': value} for name, value in pairs] or None


# Pools


def pool_document(pool: Pool, view: View) -> Document:
    spec = pool.spec
    slots = spec['taskSlotsPerNode']
    return _without_none(
        {
            'id': pool.id,
            'displayName': spec.get('displayName'),
            'url': f'{view.url}/pools/{pool.id}',
            'eTag': etag(pool.modified),
            'lastModified': format_time(pool.modified),
            'creationTime': format_time(pool.created),
            'state': pool.state.value,
            'stateTransitionTime': format_time(pool.changed),
            'allocationState': pool.allocation.value,
            'allocationStateTransitionTime': format_time(pool.allocation_changed),
            'vmSize': spec['vmSize'],
            'resizeTimeout': format_duration(pool.resize_timeout),
            'currentDedicatedNodes': pool.count(True),
            'targetDedicatedNodes': pool.targets[True],
            'currentLowPriorityNodes': pool.count(False),
            'targetLowPriorityNodes': pool.targets[False],
            'resizeErrors': _resize_errors(pool),
            'enableAutoScale': pool.autoscale is not None,
            **_autoscale(pool),
            'enableInterNodeCommunication': spec.get('enableInterNodeCommunication'),
            'startTask': spec.get('startTask'),
            'userAccounts': spec.get('userAccounts'),
            'metadata': spec.get('metadata'),
            'maxTasksPerNode': view.until(api_versions.TASK_SLOTS, slots),
            'taskSlotsPerNode': view.since(api_versions.TASK_SLOTS, slots),
            'taskSchedulingPolicy': spec.get('taskSchedulingPolicy'),
            'virtualMachineConfiguration': spec.get('virtualMachineConfiguration'),
            'networkConfiguration': spec.get('networkConfiguration'),
            'applicationLicenses': spec.get('applicationLicenses'),
            'targetNodeCommunicationMode': spec.get('targetNodeCommunicationMode'),
            'upgradePolicy': spec.get('upgradePolicy'),
            'resourceTags': spec.get('resourceTags'),
        }
    )


def _resize_errors(pool: Pool) -> list[Document] | None:
    """Only those of a steady pool (SDK14 CloudPool.resize_errors)."""
    if pool.allocation is not AllocationState.steady:
        return None

    errors = []
    for code, message, values in pool.resize_errors:
        error = {
            'code': code,
            'message': message,
            'values': _name_value_pairs(values.items()),
        }
        errors.append(_without_none(error))
    return errors or None


def _autoscale(pool: Pool) -> Document:
    """The properties of a pool that is scaled by a formula (SDK14 CloudPool)."""
    if pool.autoscale is None:
        return {}
    return {
        'autoScaleFormula': pool.autoscale.formula,
        'autoScaleEvaluationInterval': pool.autoscale.interval,
        'autoScaleRun': autoscale_run_document(pool.autoscale.run),
    }


def autoscale_run_document(run: AutoScaleRun) -> Document:
    """Recorded traffic: POST /pools/{id}/evaluateautoscale, 2020-03-01.11.0; SDK14 AutoScaleRun."""
    error = None
    if run.error:
        error = {
            'code': run.error.code,
            'message': run.error.message,
            'values': _name_value_pairs(run.error.details),
        }
        error = _without_none(error)
    return _without_none(
        {
            'timestamp': format_time(run.timestamp),
            'results': run.results,
            'error': error,
        }
    )


# The states of SDK14 NodeCounts, in their recorded order and case.
_NODE_STATES = (
    'creating',
    'idle',
    'leavingPool',
    'offline',
    'preempted',
    'rebooting',
    'reimaging',
    'running',
    'starting',
    'startTaskFailed',
    'unusable',
    'unknown',
    'upgradingOS',
    'waitingForStartTask',
    'deallocated',
    'deallocating',
)


def node_counts_document(pool: Pool, view: View) -> Document:
    return {
        'poolId': pool.id,
        'dedicated': _counts_of_nodes(pool, True, view),
        'lowPriority': _counts_of_nodes(pool, False, view),
    }


def _counts_of_nodes(pool: Pool, dedicated: bool, view: View) -> Document:
    nodes = [node for node in pool.nodes.values() if node.dedicated is dedicated]
    counts = dict.fromkeys(_NODE_STATES, 0)
    for name in _NODE_STATES:
        counts[name] = sum(node.state.value == name.lower() for node in nodes)
    counts['total'] = len(nodes)

    if view.version < api_versions.OS_UPGRADES:
        del counts['upgradingOS']
    if view.version < api_versions.DEALLOCATED_NODES:
        del counts['deallocated']
        del counts['deallocating']
    return counts


# Nodes


def node_document(node: Node, view: View) -> Document:
    return _without_none(
        {
            'id': node.id,
            'url': _node_url(node, view),
            'state': node.state.value,
            'schedulingState': 'enabled',
            'stateTransitionTime': format_time(node.changed),
            'lastBootTime': format_optional_time(node.booted),
            'allocationTime': format_time(node.created),
            'ipAddress': node.address,
            'affinityId': _affinity_id(node),
            'vmSize': node.pool.spec['vmSize'],
            'totalTasksRun': node.tasks_run,
            'totalTasksSucceeded': node.tasks_succeeded,
            'runningTasksCount': len(node.runs),
            'runningTaskSlotsCount': view.since(api_versions.TASK_SLOTS, node.used_slots),
            'recentTasks': _recent_tasks(node, view),
            'startTask': node.pool.spec.get('startTask'),
            'startTaskInfo': _start_task_info(node),
            'errors': _node_errors(node),
            'isDedicated': node.dedicated,
            'nodeAgentInfo': _node_agent_info(node),
            'virtualMachineInfo': view.since(
                api_versions.VIRTUAL_MACHINE_INFO, _virtual_machine_info(node)
            ),
        }
    )


def _node_url(node: Node, view: View) -> str:
    return f'{view.url}/pools/{node.pool.id}/nodes/{node.id}'


def _affinity_id(node: Node) -> str:
    return f'TVM:{node.id}'


def _recent_tasks(node: Node, view: View) -> list[Document] | None:
    """SDK14 ComputeNode.recent_tasks; only those that run now."""
    recent = []
    for task in node.runs:
        recent.append(
            {
                'taskUrl': _task_url(task, view),
                'jobId': task.job.id,
                'taskId': task.id,
                'taskState': task.state.value,
                'executionInfo': execution_document(task.execution),
            }
        )
    return recent or None


def _start_task_info(node: Node) -> Document | None:
    """Without the counts of requeues, which a start task does not have."""
    start = node.start
    if start is None or start.start is None:
        return None
    state = 'running' if start.end is None else 'completed'
    return _without_none({'state': state, **_run_of_command(start)})


def _node_errors(node: Node) -> list[Document] | None:
    errors = []
    for error in node.errors:
        document = {
            'code': error.code,
            'message': error.message,
            'errorDetails': _name_value_pairs(error.details),
        }
        errors.append(_without_none(document))
    return errors or None


def _node_agent_info(node: Node) -> Document | None:
    if node.booted is None:
        return None
    return {
        'lastUpdateTime': format_time(node.booted),
        'version': '1.10.0',
    }


def _virtual_machine_info(node: Node) -> Document:
    configuration = node.pool.spec['virtualMachineConfiguration']
    return {'imageReference': configuration['imageReference']}


# Jobs


def job_document(job: Job, view: View) -> Document:
    spec = job.spec
    return _without_none(
        {
            'id': job.id,
            'displayName': spec.get('displayName'),
            'url': f'{view.url}/jobs/{job.id}',
            'eTag': etag(job.modified),
            'lastModified': format_time(job.modified),
            'creationTime': format_time(job.created),
            'state': job.state.value,
            'stateTransitionTime': format_time(job.changed),
            **_previous_state(job),
            'priority': spec.get('priority'),
            'maxParallelTasks': view.since(
                api_versions.PARALLEL_TASKS, spec.get('maxParallelTasks')
            ),
            'usesTaskDependencies': spec.get('usesTaskDependencies'),
            'allowTaskPreemption': view.since(
                api_versions.TASK_PREEMPTION, spec.get('allowTaskPreemption')
            ),
            'constraints': spec.get('constraints'),
            'commonEnvironmentSettings': spec.get('commonEnvironmentSettings'),
            'poolInfo': spec.get('poolInfo'),
            'metadata': spec.get('metadata'),
            'networkConfiguration': spec.get('networkConfiguration'),
            'executionInfo': _job_execution(job),
            'onAllTasksComplete': spec.get('onAllTasksComplete'),
            'onTaskFailure': spec.get('onTaskFailure'),
        }
    )


def _previous_state(item: Job | Task) -> Document:
    if item.previous is None:
        return {}
    state, changed = item.previous
    return {
        'previousState': state.value,
        'previousStateTransitionTime': format_time(changed),
    }


def _job_execution(job: Job) -> Document:
    return _without_none(
        {
            'startTime': format_time(job.created),
            'endTime': format_optional_time(job.ended),
            'poolId': job.spec['poolInfo']['poolId'],
            'terminateReason': job.reason,
        }
    )


def task_counts_document(counts: dict[str, int], slots: dict[str, int], view: View) -> Document:
    """Before there were slots, the counts of tasks alone (recorded traffic, 2018-03-01.6.1)."""
    if view.version < api_versions.TASK_SLOTS:
        return counts
    return {
        'taskCounts': counts,
        'taskSlotCounts': slots,
    }


# Tasks


def task_document(task: Task, view: View) -> Document:
    spec = task.spec
    return _without_none(
        {
            'id': task.id,
            'displayName': spec.get('displayName'),
            'url': _task_url(task, view),
            'eTag': etag(task.modified),
            'creationTime': format_time(task.created),
            'lastModified': format_time(task.modified),
            'state': task.state.value,
            'stateTransitionTime': format_time(task.changed),
            **_previous_state(task),
            'commandLine': spec.get('commandLine'),
            'resourceFiles': spec.get('resourceFiles'),
            'outputFiles': spec.get('outputFiles'),
            'environmentSettings': spec.get('environmentSettings'),
            'affinityInfo': spec.get('affinityInfo'),
            'userIdentity': spec.get('userIdentity'),
            'constraints': spec.get('constraints'),
            'requiredSlots': view.since(api_versions.TASK_SLOTS, spec.get('requiredSlots')),
            'executionInfo': execution_document(task.execution),
            'nodeInfo': _node_info(task, view),
        }
    )


_SHOWN_AS_SENT = (
    'displayName',
    'commandLine',
    'resourceFiles',
    'outputFiles',
    'environmentSettings',
    'affinityInfo',
    'userIdentity',
    'constraints',
)


def task_property(task: Task, view: View, name: str) -> Any:
    """One property of `task_document`, without writing all of it for each of 10,000 tasks."""
    if name == 'id':
        return task.id
    if name == 'state':
        return task.state.value
    if name == 'stateTransitionTime':
        return format_time(task.changed)
    if name == 'creationTime':
        return format_time(task.created)
    if name == 'lastModified':
        return format_time(task.modified)
    if name == 'executionInfo':
        return execution_document(task.execution)
    if name == 'nodeInfo':
        return _node_info(task, view)
    if name in _SHOWN_AS_SENT:
        return task.spec.get(name)
    return task_document(task, view).get(name)


def _task_url(task: Task, view: View) -> str:
    return f'{view.url}/jobs/{task.job.id}/tasks/{task.id}'


def _node_info(task: Task, view: View) -> Document | None:
    """Empty if it completed without having run (recorded traffic, 2018-12-01.8.0)."""
    node = task.node
    if node is None:
        return {} if task.state is TaskState.completed else None

    node_url = _node_url(node, view)
    return {
        'affinityId': _affinity_id(node),
        'nodeUrl': node_url,
        'poolId': node.pool.id,
        'nodeId': node.id,
        'taskRootDirectory': task.directory,
        'taskRootDirectoryUrl': f'{node_url}/files/{task.directory}',
    }


def execution_document(execution: Execution) -> Document:
    return _without_none(
        {
            **_run_of_command(execution),
            'requeueCount': execution.requeues,
            'lastRequeueTime': format_optional_time(execution.last_requeue),
        }
    )


def _run_of_command(execution: Execution) -> Document:
    """What tasks and start tasks have in common; with None for what has not happened."""
    return {
        'startTime': format_optional_time(execution.start),
        'endTime': format_optional_time(execution.end),
        'exitCode': execution.exit_code,
        'failureInfo': _failure_info(execution.failure),
        'result': execution.result,
        'retryCount': execution.retries,
        'lastRetryTime': format_optional_time(execution.last_retry),
    }


def _failure_info(failure: Failure | None) -> Document | None:
    if failure is None:
        return None
    return _without_none(
        {
            'category': failure.category,
            'code': failure.code,
            'message': failure.message,
            'details': _name_value_pairs(failure.details),
        }
    )


def added_task_document(task: Task, view: View) -> Document:
    """The result of one task of a collection."""
    return {
        'status': 'Success',
        'taskId': task.id,
        'eTag': etag(task.modified),
        'lastModified': format_time(task.modified),
        'location': _task_url(task, view),
    }


def refused_task_document(task_id: str, error: Document) -> Document:
    """REST reference, "Add a collection of tasks to a job": an error and no eTag."""
    return {
        'status': 'ClientError',
        'taskId': task_id,
        'error': error,
    }


# Files


def file_document(file: NodeFile, folder_url: str) -> Document:
    """Recorded traffic: GET .../files, 2023-05-01.17.0, Linux. A directory has no properties."""
    document: Document = {
        'name': file.key,
        'url': f'{folder_url}/{file.key}',
        'isDirectory': file.is_directory,
    }
    if not file.is_directory:
        document['properties'] = {
            'lastModified': format_time(file.modified),
            'contentLength': str(file.size),  # a string
            'contentType': file.content_type,
            'fileMode': file.mode,
        }
    return document


# Images


def _image_reference(image: Image) -> Document:
    return {
        'publisher': image.publisher,
        'offer': image.offer,
        'sku': image.sku,
        'version': 'latest',
    }


def image_document(image: Image, _: View) -> Document:
    capabilities = None
    if image.generation == 2:
        capabilities = ['Generation2VMImage']
    return _without_none(
        {
            'imageReference': _image_reference(image),
            'verificationType': 'verified',
            'nodeAgentSKUId': image.agent,
            'capabilities': capabilities,
            'batchSupportEndOfLife': image.end_of_life,
            'osType': 'linux',
        }
    )


def node_agent_document(agent: NodeAgent, _: View) -> Document:
    """What was listed before images were (azure-batch 6.0.0, NodeAgentSku)."""
    return {
        'id': agent.key,
        'verifiedImageReferences': [_image_reference(image) for image in agent.images],
        'osType': 'linux',
    }
