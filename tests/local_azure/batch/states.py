"""The states of pools, allocations, nodes, jobs and tasks, and the moves between them that are legal.

The states are the SDK's, and so are the moves (SDK14: the docs of the states and of the operations that lead to them;
recorded traffic for pools, jobs and tasks). What only operations outside of this subset lead to (disabling, rebooting,
preparing, ...) is not in the table.
"""

from __future__ import annotations

from typing import Any

from azure.batch.models import (
    AllocationState,
    ComputeNodeState as NodeState,
    JobState,
    PoolState,
    TaskState,
)

__all__ = ['MOVES', 'AllocationState', 'JobState', 'NodeState', 'PoolState', 'TaskState', 'move']

_LOST = 'unusable preempted leavingpool'
MOVES: dict[Any, dict[str, str]] = {  # a state that is not here is final
    PoolState: {'active': 'deleting'},
    AllocationState: {
        'steady': 'resizing',
        'resizing': 'stopping steady',
        'stopping': 'steady resizing',  # resizing: the pool is deleted
    },
    NodeState: {
        'creating': f'starting {_LOST}',
        'starting': f'waitingforstarttask idle {_LOST}',
        'waitingforstarttask': f'idle starttaskfailed {_LOST}',
        'starttaskfailed': _LOST,
        'idle': f'running {_LOST}',
        'running': f'idle {_LOST}',
        'unusable': 'preempted leavingpool',
        'preempted': 'creating leavingpool',  # creating: capacity has come back
    },
    JobState: {
        'active': 'terminating deleting',
        'terminating': 'completed deleting',
        'completed': 'deleting',
    },
    TaskState: {
        'active': 'running completed',
        'running': 'completed active',  # active: requeued, its node is gone
        'completed': 'active',  # by reactivation of a failed task, by nothing else
    },
}


def move(old: Any, new: Any) -> Any:
    """The new state; an illegal move is a bug in the local service."""
    assert new.value in MOVES[type(new)].get(old.value, '').split(), f'{old} -> {new}'
    return new
