"""Which task runs next, and on which node. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Iterable

from tests.local_azure.batch.model import ALIVE, Job, Node, Pool, Task
from tests.local_azure.batch.states import JobState, TaskState

FreeSlots = dict[Node, int]


def by_priority(jobs: Iterable[Job]) -> list[Job]:
    """The highest priority first, equal ones in their order."""
    return sorted(jobs, key=_priority, reverse=True)


def _priority(job: Job) -> int:
    return int(job.spec['priority'])


def free_slots(pool: Pool) -> FreeSlots:
    slots_of_node = pool.spec['taskSlotsPerNode']
    free = {}
    for node in pool.nodes.values():
        if node.state in ALIVE:
            free[node] = slots_of_node - node.used_slots
    return free


def next_task(job: Job, room: int) -> Task | None:
    """The first waiting task that `room` slots are enough for.

    A task that needs more lets others go first (Azure docs: batch-parallel-node-tasks).
    """
    if room <= 0 or job.state is not JobState.active:
        return None

    most = job.spec['maxParallelTasks']
    is_limited = most >= 0
    if is_limited and job.counts['running'] >= most:
        return None

    for task in job.queue:
        is_waiting = task.state is TaskState.active
        if is_waiting and task.spec['requiredSlots'] <= room:
            return task
    return None


def choose_node(pool: Pool, task: Task, free: FreeSlots) -> Node:
    """Of the nodes with room for it the emptiest or the fullest, by the pool's fill type."""
    needed = task.spec['requiredSlots']
    fitting = {}
    for node, slots in free.items():
        if slots >= needed:
            fitting[node] = slots

    policy = pool.spec['taskSchedulingPolicy']
    if policy['nodeFillType'] == 'Spread':
        return max(fitting, key=fitting.__getitem__)
    return min(fitting, key=fitting.__getitem__)
