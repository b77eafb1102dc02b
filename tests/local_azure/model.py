"""What the account holds: pools, nodes, jobs, tasks, runs of command lines. Data only; others act on it.

Times are .NET ticks (100 ns since the year 1), because the service's times have 7 decimals and its ETags are the ticks
of the last change (recorded traffic: lastModified 2022-09-06T23:44:11.5153711Z, eTag 0x8DA9061B2F7BB2F).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import states
from .states import AllocationState, JobState, NodeState, PoolState, TaskState
from .timeline import Plan

Spec = Mapping[str, Any]  # a request body after `schema` has checked it, defaults filled in
COUNTERS = ('active', 'running', 'completed', 'succeeded', 'failed')  # of tasks, and of their slots
NEVER = 10675199 * 86_400 * 10**7 + 100_854_775_807  # ticks of P10675199DT2H48M5.4775807S, the service's "no limit"


@dataclass(frozen=True)
class Failure:
    """failureInfo of a task or start task."""

    code: str
    message: str
    category: str = 'UserError'
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How one run ended; `exit_code` is None when the command line never started."""

    exit_code: int | None
    failure: Failure | None = None


@dataclass(eq=False)
class Run:
    """One execution of a command line on a node; `over` as soon as nobody waits for its end."""

    node: Node
    spec: Spec
    directory: str  # below the node's root: 'startup' or 'workitems/<job>/job-1/<task>'
    environment: dict[str, str]
    task: Task | None = None  # None: the node's start task
    forced: tuple[int, str] | None = None  # exit code and stderr instead of running: a fault
    delay: float = 0.0  # seconds before the command line starts: a fault
    over: bool = False
    limit: Plan | None = None


@dataclass
class Execution:
    """executionInfo of a task, startTaskInfo of a node."""

    start: int | None = None
    end: int | None = None
    exit_code: int | None = None
    failure: Failure | None = None
    result: str | None = None
    retries: int = 0
    last_retry: int | None = None
    requeues: int = 0
    last_requeue: int | None = None


@dataclass(eq=False)
class Node:
    id: str
    pool: Pool
    dedicated: bool
    allocated: int
    changed: int
    address: str
    state: NodeState = NodeState.CREATING
    booted: int | None = None
    start: Execution | None = None
    start_run: Run | None = None
    runs: dict[str, Run] = field(default_factory=dict)  # by job and task key
    errors: list[Failure] = field(default_factory=list)
    tasks_run: int = 0
    tasks_succeeded: int = 0
    root: Path | None = None  # the folder of its files, while it has one
    plan: Plan | None = None

    @property
    def key(self) -> str:
        return self.id

    @property
    def used_slots(self) -> int:
        return sum(run.spec['requiredSlots'] for run in self.runs.values())

    def move(self, state: NodeState, now: int) -> None:
        self.state, self.changed = states.move(states.NODE_MOVES, self.state, state), now


@dataclass(eq=False)
class Pool:
    id: str
    spec: dict[str, Any]
    created: int
    modified: int
    changed: int
    allocation_changed: int
    targets: dict[bool, int]  # by dedicated
    resize_timeout: int
    state: PoolState = PoolState.ACTIVE
    allocation: AllocationState = AllocationState.STEADY
    resize_errors: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    nodes: dict[str, Node] = field(default_factory=dict)
    dealloc: str = 'requeue'
    plan: Plan | None = None

    @property
    def key(self) -> str:
        return self.id.lower()

    def count(self, dedicated: bool) -> int:
        return sum(node.dedicated is dedicated for node in self.nodes.values())

    def move(self, state: PoolState, now: int) -> None:
        self.state, self.changed = states.move(states.POOL_MOVES, self.state, state), now

    def allocate(self, state: AllocationState, now: int) -> None:
        self.allocation = states.move(states.ALLOCATION_MOVES, self.allocation, state)
        self.allocation_changed = now


@dataclass(eq=False)
class Task:
    id: str
    job: Job
    spec: Spec
    created: int
    modified: int
    changed: int
    state: TaskState = TaskState.ACTIVE
    previous: tuple[TaskState, int] | None = None
    execution: Execution = field(default_factory=Execution)
    node: Node | None = None
    ran: bool = False  # has been on a node since it was added or reactivated

    @property
    def key(self) -> str:
        return self.id.lower()

    @property
    def run_key(self) -> str:
        return f'{self.job.key}/{self.key}'

    @property
    def counter(self) -> tuple[str, ...]:
        """Which numbers of the task counts this task is in."""
        if self.state is TaskState.COMPLETED:
            return ('completed', 'succeeded' if self.execution.result == 'success' else 'failed')
        return (self.state.value,)


@dataclass(eq=False)
class Job:
    id: str
    spec: dict[str, Any]
    created: int
    modified: int
    changed: int
    state: JobState = JobState.ACTIVE
    previous: tuple[JobState, int] | None = None
    ended: int | None = None
    reason: str | None = None
    tasks: dict[str, Task] = field(default_factory=dict)
    queue: deque[Task] = field(default_factory=deque)  # active tasks, and entries that are active no more
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    slots: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    plan: Plan | None = None
    limit: Plan | None = None

    @property
    def key(self) -> str:
        return self.id.lower()

    @property
    def pool_key(self) -> str:
        return str(self.spec['poolInfo']['poolId']).lower()

    def move(self, state: JobState, now: int) -> None:
        # previousState skips terminating (recorded traffic: a completed job says previousState active).
        if self.state is not JobState.TERMINATING:
            self.previous = (self.state, self.changed)
        self.state, self.changed = states.move(states.JOB_MOVES, self.state, state), now

    def recount(self, task: Task, by: int) -> None:
        for name in task.counter:
            self.counts[name] += by
            self.slots[name] += by * task.spec['requiredSlots']
