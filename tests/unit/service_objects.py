"""Real model objects, errors and responses of both services, as their clients return or raise them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import requests
from azure.batch import models
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobProperties, ContainerProperties, StorageErrorCode
from msrest import Deserializer
from msrest.pipeline import Request, Response
from msrest.universal_http.requests import RequestsClientResponse

import batch_python_tutorial_ffmpeg as sample

BEGAN = datetime(2026, 11, 22, 15, 20, 21, tzinfo=UTC)  # where the fake clock starts
THIS_RUN = sample._MARK
EARLIER_RUN = {**sample._MARK, 'run': 'an earlier one'}
SOMEBODY = {'createdby': 'somebody else'}
STATUS_LINES = {
    'RequestId': 'c0ffee',
    'Time': BEGAN.isoformat(),
}  # both services end their messages with such lines
_NODE_STATES = [name for name in models.NodeCounts._attribute_map if name != 'total']
_DESERIALIZE = Deserializer(
    {name: kind for name, kind in vars(models).items() if isinstance(kind, type)}
)  # type: ignore[no-untyped-call]


# --- Responses and errors ---------------------------------------------------------------------------------------------
def http_response(
    status: int, body: object = b'', reason: str = 'Reason', **headers: str
) -> RequestsClientResponse:
    """Return a response as azure-batch sees it; a `body` that is not bytes becomes JSON."""
    response = requests.Response()
    response.status_code, response.reason = status, reason
    response._content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response.headers.update({name.replace('_', '-'): value for name, value in headers.items()})
    return RequestsClientResponse(None, response)  # type: ignore[no-untyped-call]


def answer(status: int, body: object = b'', **headers: str) -> Response[Any, Any]:
    """Return what the pipeline of azure-batch returns for a request."""
    return Response(Request(None), http_response(status, body, **headers))


def batch_error(
    code: str, message: str = 'Refused.', status: int = 409, **headers: str
) -> models.BatchErrorException:
    text = '\n'.join([message, *(f'{name}:{value}' for name, value in STATUS_LINES.items())])
    body = {'code': code, 'message': {'lang': 'en-US', 'value': text}}
    return models.BatchErrorException(
        _DESERIALIZE, http_response(status, body, **headers, Content_Type='application/json')
    )


def proxy_error() -> models.BatchErrorException:
    """Return what azure-batch raises when something else than Batch has answered."""
    page = http_response(
        502, b'<html>Bad gateway</html>', reason='Bad Gateway', Content_Type='text/html'
    )
    return models.BatchErrorException(_DESERIALIZE, page)


def storage_error(code: str, message: str = 'Refused.') -> HttpResponseError:
    """Return what azure-storage-blob raises; it turns some codes into an enum, others not."""
    kinds = {
        'NotFound': ResourceNotFoundError,
        'Exists': ResourceExistsError,
        'BeingDeleted': ResourceExistsError,
    }
    kind = next(
        (kind for ending, kind in kinds.items() if code.endswith(ending)), HttpResponseError
    )
    error: Any = kind(
        '\n'.join([message, *(f'{name}:{value}' for name, value in STATUS_LINES.items())])
    )
    error.error_code = StorageErrorCode(code) if kind is HttpResponseError else code
    return error  # type: ignore[no-any-return]


# --- Storage ----------------------------------------------------------------------------------------------------------
def container_properties(
    metadata: dict[str, str] | None, last_modified: datetime = BEGAN
) -> ContainerProperties:
    return ContainerProperties(**{'metadata': metadata, 'Last-Modified': last_modified})


def blob_properties(
    name: str, size: int, last_modified: datetime = BEGAN + timedelta(minutes=5)
) -> BlobProperties:
    return BlobProperties(**{'name': name, 'Content-Length': size, 'Last-Modified': last_modified})


# --- Batch ------------------------------------------------------------------------------------------------------------
def items(mark: dict[str, str]) -> list[models.MetadataItem]:
    """Return metadata in the form that Batch has for it."""
    return [models.MetadataItem(name=name, value=value) for name, value in mark.items()]


def pool(**changes: Any) -> models.CloudPool:
    """Return a pool of five low-priority nodes, all there."""
    sizes = {'target_dedicated_nodes': 0, 'target_low_priority_nodes': 5}
    sizes |= {'current_dedicated_nodes': 0, 'current_low_priority_nodes': 5}
    return models.CloudPool(
        **{'id': sample._POOL_ID, 'state': 'active', 'allocation_state': 'steady'} | sizes | changes
    )


def job(mark: dict[str, str] = THIS_RUN, state: str = 'active') -> models.CloudJob:
    return models.CloudJob(id=sample._JOB_ID, state=models.JobState(state), metadata=items(mark))


def node_counts(**numbers: int) -> list[models.PoolNodeCounts]:
    """Return the answer of account.list_pool_node_counts for so many low-priority nodes in these states."""

    def counts(numbers: dict[str, int]) -> models.NodeCounts:
        return models.NodeCounts(
            **dict.fromkeys(_NODE_STATES, 0) | numbers, total=sum(numbers.values())
        )

    return [
        models.PoolNodeCounts(
            pool_id=sample._POOL_ID, dedicated=counts({}), low_priority=counts(numbers)
        )
    ]


def task_counts(active: int = 0, running: int = 0, completed: int = 0) -> models.TaskCountsResult:
    """Return the answer of job.get_task_counts."""
    return models.TaskCountsResult(
        task_counts=models.TaskCounts(
            active=active, running=running, completed=completed, succeeded=completed, failed=0
        ),
        task_slot_counts=None,
    )


def succeeded(name: str) -> models.CloudTask:
    return _task(name, 'completed', 'success', exit_code=0)


def failed(
    name: str, *, exit_code: int | None = 1, code: str = 'FailureExitCode'
) -> models.CloudTask:
    """Return a task that ran and failed, or (with `exit_code=None`) one that never ran."""
    info = models.TaskFailureInformation(
        category='usererror', code=code, message='The task failed.'
    )
    return _task(name, 'completed', 'failure', exit_code=exit_code, failure_info=info)


def unfinished(name: str, state: str = 'active') -> models.CloudTask:
    return _task(name, state, None)


def _task(name: str, state: str, result: str | None, **execution: Any) -> models.CloudTask:
    """Return a task that was added when the clock started; if it has ended, it waited for 60 s and ran for 90 s."""
    ran: Any = (
        {'start_time': BEGAN + timedelta(seconds=60), 'end_time': BEGAN + timedelta(seconds=150)}
        if result
        else {}
    )
    node_id: Any = 'tvmps_0123456789abcdef_p' if result else None
    result = result and models.TaskExecutionResult(result)
    return models.CloudTask(
        id=f'Task-{name}',
        display_name=name,
        state=models.TaskState(state),
        creation_time=BEGAN,
        execution_info=models.TaskExecutionInformation(
            retry_count=0, requeue_count=0, result=result, **ran, **execution
        ),
        node_info=models.ComputeNodeInformation(node_id=node_id),
    )
