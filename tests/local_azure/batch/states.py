"""The states of pools, allocations, nodes, jobs and tasks, and the legal moves between them.

The states are the SDK's, and so are the moves (SDK14: the docs of the states and of the operations
that lead to them; recorded traffic for pools, jobs and tasks). What only operations outside of this
subset lead to (rebooting, preparing, ...) is not in the table.
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

# Each state, and those that it can become. A state that is not here is final. There is a table for
# each enumeration, since members of two of them are equal when their words on the wire are.
MOVES: dict[Any, dict[Any, set[Any]]] = {
    PoolState: {
        PoolState.active: {PoolState.deleting},
    },
    AllocationState: {
        AllocationState.steady: {AllocationState.resizing},
        AllocationState.resizing: {AllocationState.stopping, AllocationState.steady},
        AllocationState.stopping: {
            AllocationState.steady,
            AllocationState.resizing,  # the pool is deleted
        },
    },
    NodeState: {
        NodeState.creating: {
            NodeState.starting,
            NodeState.unusable,
            NodeState.preempted,
            NodeState.leaving_pool,
        },
        NodeState.starting: {
            NodeState.waiting_for_start_task,
            NodeState.idle,
            NodeState.unusable,
            NodeState.preempted,
            NodeState.leaving_pool,
        },
        NodeState.waiting_for_start_task: {
            NodeState.idle,
            NodeState.start_task_failed,
            NodeState.unusable,
            NodeState.preempted,
            NodeState.leaving_pool,
        },
        NodeState.start_task_failed: {
            NodeState.unusable,
            NodeState.preempted,
            NodeState.leaving_pool,
        },
        NodeState.idle: {
            NodeState.running,
            NodeState.unusable,
            NodeState.preempted,
            NodeState.leaving_pool,
        },
        NodeState.running: {
            NodeState.idle,
            NodeState.unusable,
            NodeState.preempted,
            NodeState.leaving_pool,
        },
        NodeState.unusable: {NodeState.preempted, NodeState.leaving_pool},
        NodeState.preempted: {
            NodeState.creating,  # capacity has come back
            NodeState.leaving_pool,
        },
    },
    JobState: {
        JobState.active: {JobState.disabling, JobState.terminating, JobState.deleting},
        JobState.disabling: {JobState.disabled, JobState.terminating, JobState.deleting},
        JobState.disabled: {JobState.enabling, JobState.terminating, JobState.deleting},
        JobState.enabling: {JobState.active, JobState.terminating, JobState.deleting},
        JobState.terminating: {JobState.completed, JobState.deleting},
        JobState.completed: {JobState.deleting},
    },
    TaskState: {
        TaskState.active: {TaskState.running, TaskState.completed},
        TaskState.running: {
            TaskState.completed,
            TaskState.active,  # requeued: its node is gone
        },
        TaskState.completed: {
            TaskState.active,  # by reactivation of a failed task, by nothing else
        },
    },
}


def move(old: Any, new: Any) -> Any:
    """The new state; an illegal move is a bug in the local service."""
    legal = MOVES[type(new)].get(old, set())
    assert new in legal, f'{old} -> {new}'
    return new
