"""What the account holds: pools, nodes, jobs, tasks, runs of command lines.

Times are .NET ticks (100 ns since the year 1), because the service's times have 7 decimals and its ETags are the ticks
of the last change (recorded traffic: lastModified 2022-09-06T23:44:11.5153711Z, eTag 0x8DA9061B2F7BB2F).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests.local_azure.batch import states
from tests.local_azure.batch.states import (
    AllocationState,
    JobState,
    NodeState,
    PoolState,
    TaskState,
)

Spec = Mapping[str, Any]  # a request body after `schema` has checked it, defaults filled in
COUNTERS = ('active', 'running', 'completed', 'succeeded', 'failed')  # of tasks, and of their slots
NEVER = (
    10675199 * 86_400 * 10**7 + 100_854_775_807
)  # ticks of P10675199DT2H48M5.4775807S, the service's "no limit"
ALIVE = (NodeState.idle, NodeState.running)


class Failure(NamedTuple):
    """failureInfo of a task or start task."""

    code: str
    message: str
    category: str = 'UserError'
    details: tuple[tuple[str, str], ...] = ()


_EXIT_TEXT = 'The task exited with an exit code representing a failure'
# Recorded traffic: GET /jobs/{id}/tasks/{id}, 2019-06-01.9.0.
FAILURE_EXIT = Failure('FailureExitCode', _EXIT_TEXT, details=(('Message', _EXIT_TEXT),))


class Outcome(NamedTuple):
    """How one run ended; `exit_code` is None when the command line never started."""

    exit_code: int | None
    failure: Failure | None = None


@dataclass(eq=False)
class Run:
    """One execution of a command line on a node."""

    node: Node
    spec: Spec
    task: Task | None = None  # None: the node's start task
    forced: tuple[int, str] | None = None  # exit code and stderr instead of running: a fault
    delay: float = 0.0  # seconds before the command line starts: a fault
    over: threading.Event = field(
        default_factory=threading.Event
    )  # nobody waits for its end any more

    @property
    def directory(self) -> str:
        return self.task.directory if self.task else 'startup'


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

    def ended(self, outcome: Outcome, now: int) -> None:
        self.end, self.exit_code = now, outcome.exit_code
        self.failure = outcome.failure or (FAILURE_EXIT if outcome.exit_code else None)
        self.result = 'failure' if self.failure else 'success'

    def retried(self, outcome: Outcome, limit: int, now: int) -> bool:
        """Whether it runs once more: only exit codes are retried, not failed downloads or uploads.

        SDK14 TaskConstraints.max_task_retry_count, StartTask.max_task_retry_count.
        """
        if not outcome.exit_code or outcome.failure or 0 <= limit <= self.retries:
            return False
        self.retries += 1
        self.start = self.last_retry = now
        return True


@dataclass(eq=False)
class Resource:
    """What pools, nodes, jobs and tasks have in common; `stamp` tells the time."""

    id: str
    spec: Spec
    stamp: Callable[[], int] = field(repr=False)
    previous: tuple[Any, int] | None = field(default=None, init=False)
    state: Any = field(init=False)

    def __post_init__(self) -> None:
        self.key = self.id.lower()
        self.created = self.modified = self.changed = self.stamp()

    def move(self, state: Any) -> None:
        if (
            self.state is not JobState.terminating
        ):  # recorded traffic: a completed job says previousState active
            self.previous = (self.state, self.changed)
        self.state, self.changed = states.move(self.state, state), self.stamp()


@dataclass(frozen=True)
class AutoScaleRun:
    """The result of one evaluation of a formula (SDK14 AutoScaleRun)."""

    timestamp: int
    results: str  # e.g. $TargetDedicatedNodes=0;$TargetLowPriorityNodes=5;...
    error: Failure | None = None  # of the formulas that are imitated none can fail when evaluated


@dataclass(eq=False)
class AutoScale:
    """How a pool is scaled by its formula."""

    formula: str
    interval: str  # between evaluations, a duration
    run: AutoScaleRun  # the last one


@dataclass(eq=False)
class Pool(Resource):
    targets: dict[bool, int]  # by dedicated
    resize_timeout: int
    state: PoolState = field(default=PoolState.active, init=False)
    allocation: AllocationState = AllocationState.steady
    allocation_changed: int = 0
    resize_errors: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    nodes: dict[str, Node] = field(default_factory=dict)
    dealloc: str = 'requeue'
    autoscale: AutoScale | None = None

    def count(self, dedicated: bool) -> int:
        return sum(node.dedicated is dedicated for node in self.nodes.values())

    def allocate(self, state: AllocationState) -> None:
        self.allocation, self.allocation_changed = states.move(self.allocation, state), self.stamp()


@dataclass(eq=False)
class Node(Resource):
    pool: Pool
    dedicated: bool
    address: str
    state: NodeState = field(default=NodeState.creating, init=False)
    booted: int | None = None
    start: Execution | None = None
    start_run: Run | None = None
    runs: dict[Task, Run] = field(default_factory=dict)
    errors: list[Failure] = field(default_factory=list)
    tasks_run: int = 0
    tasks_succeeded: int = 0
    root: Path | None = None  # the folder of its files, while it has one

    @property
    def used_slots(self) -> int:
        return sum(run.spec['requiredSlots'] for run in self.runs.values())


@dataclass(eq=False)
class Job(Resource):
    spec: dict[str, Any]
    state: JobState = field(default=JobState.active, init=False)
    ended: int | None = None
    reason: str | None = None
    tasks: dict[str, Task] = field(default_factory=dict)
    queue: deque[Task] = field(
        default_factory=deque
    )  # active tasks, and entries that are active no more
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    slots: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))

    @property
    def pool_key(self) -> str:
        return str(self.spec['poolInfo']['poolId']).lower()


@dataclass(eq=False)
class Task(Resource):
    job: Job
    state: TaskState = field(default=TaskState.active, init=False)
    execution: Execution = field(default_factory=Execution)
    node: Node | None = None  # where it runs or has run since it was added or reactivated

    @property
    def directory(self) -> str:
        """Where its files are on its node."""
        return f'workitems/{self.job.id}/job-1/{self.id}'

    def move(self, state: TaskState) -> None:
        self.count(-1)
        super().move(state)
        self.count(1)

    def count(self, by: int) -> None:
        """Adds it to, or takes it out of, the task counts of its job."""
        names = [self.state.value]
        if self.state is TaskState.completed:
            names.append('succeeded' if self.execution.result == 'success' else 'failed')
        for name in names:
            self.job.counts[name] += by
            self.job.slots[name] += by * self.spec['requiredSlots']
