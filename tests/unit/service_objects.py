"""Real model objects and errors of both services, as their clients return or raise them."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from azure.batch import models
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import (
    BlobProperties,
    ContainerProperties,
    StorageErrorCode,
    UserDelegationKey,
)
from msrest import Deserializer
from msrest.pipeline import ClientRawResponse
from msrest.universal_http.requests import RequestsClientResponse

import batch_python_tutorial_ffmpeg as sample

BEGAN = datetime(2026, 11, 22, 15, 20, 21, tzinfo=UTC)  # where the fake clock starts
STORAGE_URL = 'https://mystorage.blob.core.windows.net'

# The metadata of what the sample has created, and of what others have.
OURS = {
    'createdby': 'batch_python_tutorial_ffmpeg',
    'output': f'{STORAGE_URL}/output',
}
OTHER_OUTPUT = OURS | {'output': 'https://other.blob.core.windows.net/output'}
SOMEBODY = {'createdby': 'somebody else'}

# Both services end their messages with lines like these.
STATUS_LINES = f'\nRequestId:c0ffee\nTime:{BEGAN.isoformat()}'

_NODE_STATES = [
    name for name in inspect.signature(models.NodeCounts).parameters if name != 'kwargs'
]
_MODELS = {name: member for name, member in vars(models).items() if inspect.isclass(member)}
_DESERIALIZE = Deserializer(_MODELS)  # type: ignore[no-untyped-call]


# --- Errors ---------------------------------------------------------------------------------------


def http_response(
    status: int, body: bytes = b'', reason: str = 'Reason', **headers: str
) -> RequestsClientResponse:
    """Return a response as azure-batch sees it; `Content_Type` stands for `Content-Type`."""
    response = requests.Response()
    response.status_code = status
    response.reason = reason
    response.raw = io.BytesIO(body)
    for name, value in headers.items():
        response.headers[name.replace('_', '-')] = value
    return RequestsClientResponse(None, response)  # type: ignore[no-untyped-call]


def batch_error(
    code: str,
    message: str = 'Refused.',
    status: int = 409,
    details: dict[str, str] | None = None,
    **headers: str,
) -> models.BatchErrorException:
    """Return what azure-batch raises when Batch refuses something."""
    body: dict[str, Any] = {
        'code': code,
        'message': {'lang': 'en-US', 'value': message + STATUS_LINES},
    }
    if details:
        body['values'] = [{'key': key, 'value': value} for key, value in details.items()]

    response = http_response(
        status, json.dumps(body).encode(), Content_Type='application/json', **headers
    )
    return models.BatchErrorException(_DESERIALIZE, response)


def storage_error(code: str, message: str = 'Refused.', status: int = 0) -> HttpResponseError:
    """Return what azure-storage-blob raises; it has an enum for some codes, not for all."""
    kind = HttpResponseError
    if code.endswith('NotFound'):
        kind = ResourceNotFoundError
    elif code.endswith(('Exists', 'BeingDeleted')):
        kind = ResourceExistsError

    error: Any = kind(message + STATUS_LINES)
    error.status_code = status
    error.error_code = code
    with contextlib.suppress(ValueError):
        error.error_code = StorageErrorCode(code)
    return error  # type: ignore[no-any-return]


# --- Storage --------------------------------------------------------------------------------------


def container_properties(
    metadata: dict[str, str] | None, last_modified: datetime = BEGAN
) -> ContainerProperties:
    """Return a container as Storage describes it."""
    return ContainerProperties(**{'metadata': metadata, 'Last-Modified': last_modified})


def blob_properties(
    name: str,
    size: int,
    last_modified: datetime = BEGAN + timedelta(minutes=5),
    metadata: dict[str, str] | None = None,
) -> BlobProperties:
    """Return a blob as Storage lists it."""
    blob = BlobProperties(**{'name': name, 'Content-Length': size, 'Last-Modified': last_modified})
    blob.metadata = metadata or {}
    return blob


def sas_of(url: str | None) -> dict[str, str]:
    """Return the fields of the SAS in a URL."""
    query = parse_qs(urlsplit(url or '').query)
    return {name: values[0] for name, values in query.items()}


def user_delegation_key() -> UserDelegationKey:
    """Return a key that Storage gives to somebody who has signed in, to sign SAS with."""
    key = UserDelegationKey()  # type: ignore[no-untyped-call]
    key.signed_oid = 'a user'
    key.signed_tid = 'a tenant'
    key.signed_start = '2026-11-22T15:20:21Z'
    key.signed_expiry = '2026-11-23T15:20:21Z'
    key.signed_service = 'b'
    key.signed_version = '2026-02-06'
    key.value = 'c2VjcmV0'
    return key


# --- Batch ----------------------------------------------------------------------------------------


def items(metadata: dict[str, str]) -> list[models.MetadataItem]:
    """Return metadata in the form that Batch has for it."""
    return [models.MetadataItem(name=name, value=value) for name, value in metadata.items()]


def pool(**changes: Any) -> models.CloudPool:
    """Return a pool of five low-priority nodes, all there."""
    attributes: dict[str, Any] = {
        'id': sample._POOL_ID,
        'state': models.PoolState.active,
        'allocation_state': models.AllocationState.steady,
        'target_dedicated_nodes': 0,
        'target_low_priority_nodes': 5,
        'current_dedicated_nodes': 0,
        'current_low_priority_nodes': 5,
        'last_modified': BEGAN,
        'allocation_state_transition_time': BEGAN + timedelta(seconds=30),
        'vm_size': sample._POOL_VM_SIZE.lower(),  # as Batch shows it
        'virtual_machine_configuration': models.VirtualMachineConfiguration(
            image_reference=models.ImageReference(**sample._POOL_IMAGE),
            node_agent_sku_id=sample._POOL_NODE_AGENT_SKU_ID,
        ),
        'start_task': models.StartTask(command_line=sample._START_TASK_COMMAND),
        'metadata': items(OURS),
    }
    return models.CloudPool(**(attributes | changes))


def raw_answer(found: Any, seconds: float = 60) -> ClientRawResponse:
    """Return an answer with its headers, as `raw=True` gives it, so long after the beginning."""
    date = format_datetime(BEGAN + timedelta(seconds=seconds), usegmt=True)
    return ClientRawResponse(found, http_response(200, Date=date))


def storage_answer(moment: datetime = BEGAN) -> Any:
    """Return what azure-storage-blob gives to a `raw_response_hook`: an answer of this moment."""
    headers = {'Date': format_datetime(moment, usegmt=True)}
    return SimpleNamespace(http_response=SimpleNamespace(headers=headers))


def image(sku: str, end: datetime | None = None) -> models.ImageInformation:
    """Return an image that Batch supports."""
    return models.ImageInformation(
        node_agent_sku_id=sample._POOL_NODE_AGENT_SKU_ID,
        image_reference=models.ImageReference(**sample._POOL_IMAGE | {'sku': sku}),
        os_type='linux',
        verification_type='verified',
        batch_support_end_of_life=end,
    )


def job(metadata: dict[str, str] = OURS, state: str = 'active') -> models.CloudJob:
    """Return a job as Batch describes it."""
    return models.CloudJob(
        id=sample._JOB_ID, state=models.JobState(state), metadata=items(metadata)
    )


def node_counts(
    dedicated: dict[str, int] | None = None, **low_priority: int
) -> list[models.PoolNodeCounts]:
    """Return the answer of account.list_pool_node_counts for so many nodes in these states."""
    return [
        models.PoolNodeCounts(
            pool_id=sample._POOL_ID,
            dedicated=_counts(dedicated or {}),
            low_priority=_counts(low_priority),
        )
    ]


def _counts(numbers: dict[str, int]) -> models.NodeCounts:
    every_state = dict.fromkeys(_NODE_STATES, 0)
    return models.NodeCounts(**(every_state | numbers | {'total': sum(numbers.values())}))


def task_counts(
    active: int = 0, running: int = 0, completed: int = 0, failed: int = 0
) -> models.TaskCountsResult:
    """Return the answer of job.get_task_counts; the failed tasks are among the completed ones."""
    counts = models.TaskCounts(
        active=active,
        running=running,
        completed=completed,
        succeeded=completed - failed,
        failed=failed,
    )
    return models.TaskCountsResult(task_counts=counts, task_slot_counts=None)


def succeeded(name: str) -> models.CloudTask:
    """Return the task of a video that was converted."""
    return _ended_task(name, result='success', exit_code=0)


def failed(
    name: str,
    *,
    exit_code: int | None = 1,
    code: str = 'FailureExitCode',
    message: str = 'The task failed.',
) -> models.CloudTask:
    """Return a task that ran and failed, or (with `exit_code=None`) one whose command never ran."""
    failure = models.TaskFailureInformation(category='usererror', code=code, message=message)
    return _ended_task(name, result='failure', exit_code=exit_code, failure_info=failure)


def damaged(name: str) -> models.CloudTask:
    """Return the task of a video that was converted, and of which ffmpeg reported errors."""
    return failed(name, exit_code=sample._DAMAGED_EXIT_CODE)


def unfinished(name: str, state: str = 'active') -> models.CloudTask:
    """Return a task that has not ended."""
    return models.CloudTask(
        id=f'Task-{name}',
        display_name=name,
        state=models.TaskState(state),
        creation_time=BEGAN,
        execution_info=models.TaskExecutionInformation(retry_count=0, requeue_count=0),
    )


def _ended_task(name: str, result: str, **execution: Any) -> models.CloudTask:
    """Return a task that was added when the clock started, waited for 60 s and ran for 90 s."""
    return models.CloudTask(
        id=f'Task-{name}',
        display_name=name,
        state=models.TaskState.completed,
        creation_time=BEGAN,
        execution_info=models.TaskExecutionInformation(
            start_time=BEGAN + timedelta(seconds=60),
            end_time=BEGAN + timedelta(seconds=150),
            result=models.TaskExecutionResult(result),
            retry_count=0,
            requeue_count=0,
            **execution,
        ),
        node_info=models.ComputeNodeInformation(node_id='tvmps_0123456789abcdef_p'),
    )
