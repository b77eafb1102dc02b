"""The states of pools, allocations, nodes, jobs and tasks, and the moves between them that are legal.

Values are those on the wire (SDK14: PoolState, AllocationState, ComputeNodeState, JobState, TaskState). States that
only operations outside of this subset lead to (disabling, rebooting, preparing, ...) are left out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from typing import TypeVar


class PoolState(Enum):
    ACTIVE = 'active'
    DELETING = 'deleting'


class AllocationState(Enum):
    STEADY = 'steady'
    RESIZING = 'resizing'
    STOPPING = 'stopping'


class NodeState(Enum):
    CREATING = 'creating'
    STARTING = 'starting'
    WAITING_FOR_START_TASK = 'waitingforstarttask'
    START_TASK_FAILED = 'starttaskfailed'
    IDLE = 'idle'
    RUNNING = 'running'
    UNUSABLE = 'unusable'
    PREEMPTED = 'preempted'
    LEAVING_POOL = 'leavingpool'


class JobState(Enum):
    ACTIVE = 'active'
    TERMINATING = 'terminating'
    COMPLETED = 'completed'
    DELETING = 'deleting'


class TaskState(Enum):
    ACTIVE = 'active'
    RUNNING = 'running'
    COMPLETED = 'completed'


_LOST = (NodeState.UNUSABLE, NodeState.PREEMPTED, NodeState.LEAVING_POOL)
MOVES: Mapping[Enum, Collection[Enum]] = {  # a state that is not here is final
    PoolState.ACTIVE: (PoolState.DELETING,),
    AllocationState.STEADY: (AllocationState.RESIZING,),
    AllocationState.RESIZING: (AllocationState.STOPPING, AllocationState.STEADY),
    AllocationState.STOPPING: (AllocationState.STEADY, AllocationState.RESIZING),  # resizing: the pool is deleted
    NodeState.CREATING: (NodeState.STARTING, *_LOST),
    NodeState.STARTING: (NodeState.WAITING_FOR_START_TASK, NodeState.IDLE, *_LOST),
    NodeState.WAITING_FOR_START_TASK: (NodeState.IDLE, NodeState.START_TASK_FAILED, *_LOST),
    NodeState.START_TASK_FAILED: _LOST,
    NodeState.IDLE: (NodeState.RUNNING, *_LOST),
    NodeState.RUNNING: (NodeState.IDLE, *_LOST),
    NodeState.UNUSABLE: (NodeState.PREEMPTED, NodeState.LEAVING_POOL),
    NodeState.PREEMPTED: (NodeState.CREATING, NodeState.LEAVING_POOL),  # creating: capacity has come back
    JobState.ACTIVE: (JobState.TERMINATING, JobState.DELETING),
    JobState.TERMINATING: (JobState.COMPLETED, JobState.DELETING),
    JobState.COMPLETED: (JobState.DELETING,),
    TaskState.ACTIVE: (TaskState.RUNNING, TaskState.COMPLETED),
    TaskState.RUNNING: (TaskState.COMPLETED, TaskState.ACTIVE),  # active: requeued, its node is gone
    TaskState.COMPLETED: (TaskState.ACTIVE,),  # by reactivation of a failed task, by nothing else
}
State = TypeVar('State', bound=Enum)


def move(old: State, new: State) -> State:
    """The new state; an illegal move is a bug in the local service."""
    assert new in MOVES.get(old, ()), f'{type(old).__name__}: {old.value} -> {new.value}'
    return new
