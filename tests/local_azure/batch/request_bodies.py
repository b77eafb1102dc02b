"""Request bodies, checked: what the account gets of each request."""

from __future__ import annotations

from typing import Any

from tests.local_azure.batch.errors import BatchError, invalid_property
from tests.local_azure.batch.request_properties import (
    DISABLE_JOB,
    ENABLE_AUTOSCALE,
    EVALUATE_AUTOSCALE,
    JOB,
    JOB_PATCH,
    POOL,
    POOL_PATCH,
    REMOVE_NODES,
    RESIZE,
    TASK,
    TERMINATE_JOB,
)

Spec = dict[str, Any]

MAX_TASKS_OF_A_COLLECTION = 100  # SDK14 task.add_collection


def pool(body: object, version: str) -> Spec:
    return POOL.read_body(body, version)


def pool_patch(body: object, version: str) -> Spec:
    return POOL_PATCH.read_body(body, version)


def resize(body: object, version: str) -> Spec:
    return RESIZE.read_body(body, version)


def remove_nodes(body: object, version: str) -> Spec:
    return REMOVE_NODES.read_body(body, version)


def enable_autoscale(body: object, version: str) -> Spec:
    """A formula, an interval or both; which of them a pool needs depends on what it has."""
    return ENABLE_AUTOSCALE.read_body(body, version)


def evaluate_autoscale(body: object, version: str) -> Spec:
    return EVALUATE_AUTOSCALE.read_body(body, version)


def job(body: object, version: str) -> Spec:
    return JOB.read_body(body, version)


def job_patch(body: object, version: str) -> Spec:
    return JOB_PATCH.read_body(body, version)


def disable_tasks(body: object, version: str) -> str:
    """What becomes of the running tasks of a job."""
    spec = DISABLE_JOB.read_body(body, version)
    return str(spec['disableTasks'])


def terminate_reason(body: object, version: str) -> str:
    """The caller's text, or UserTerminate without one.

    Recorded traffic: POST /jobs/{id}/terminate with an empty body.
    """
    if body is None:
        return 'UserTerminate'
    spec = TERMINATE_JOB.read_body(body, version)
    return str(spec.get('terminateReason') or 'UserTerminate')


def task(body: object, version: str) -> Spec:
    """What a task takes from its job (retries) is filled in when it is added."""
    return TASK.read_body(body, version)


def task_collection(body: object) -> list[Any]:
    """The tasks of one collection, not yet checked: each gets its own result."""
    tasks = body.get('value') if isinstance(body, dict) else None
    if not isinstance(tasks, list):
        reason = 'an object with a list named value is expected'
        raise BatchError('InvalidRequestBody', Reason=reason)
    if len(tasks) > MAX_TASKS_OF_A_COLLECTION:
        reason = f'a collection has at most {MAX_TASKS_OF_A_COLLECTION} tasks'
        raise invalid_property('value', reason, len(tasks))
    return tasks
