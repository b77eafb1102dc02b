"""What the account holds: pools, nodes, jobs, tasks, runs of command lines.

Times are .NET ticks (100 ns since the year 1), because the service's times have 7 decimals and its
ETags are the ticks of the last change (recorded traffic: lastModified 2022-09-06T23:44:11.5153711Z,
eTag 0x8DA9061B2F7BB2F).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from tests.local_azure.batch import states
from tests.local_azure.batch.autoscale import FormulaResult
from tests.local_azure.batch.errors import Failure, ResizeError
from tests.local_azure.batch.execution import Execution, Outcome
from tests.local_azure.batch.states import (
    AllocationState,
    JobState,
    NodeState,
    PoolState,
    TaskState,
)

Spec = Mapping[str, Any]  # a request body after it has been checked, defaults filled in
COUNTERS = ('active', 'running', 'completed', 'succeeded', 'failed')  # of tasks, and of their slots
NEVER = 10675199 * 86_400 * 10**7 + 100_854_775_807  # P10675199DT2H48M5.4775807S: "no limit"
ALIVE = (NodeState.idle, NodeState.running)


# Runs of command lines


@dataclass(eq=False)
class CommandRun:
    """One execution of a command line on a node."""

    node: Node
    spec: Spec
    task: Task | None = None  # None: the node's start task
    forced: tuple[int, str] | None = None  # exit code and stderr instead of running: a fault
    delay: float = 0.0  # seconds before the command line starts: a fault
    over: threading.Event = field(default_factory=threading.Event)  # nobody waits for its end

    @property
    def directory(self) -> str:
        if self.task is None:
            return 'startup'
        return self.task.directory


class NodeHost(Protocol):
    """Where the nodes live: it is told what to run, and reports how that ended.

    `done` is called from any thread, and not for a run that is over.
    """

    def add_node(self, node: Node) -> None: ...

    def remove_node(self, node: Node) -> None: ...

    def start(self, run: CommandRun, done: Callable[[CommandRun, Outcome], None]) -> None: ...

    def stop(self, run: CommandRun) -> None: ...


# Resources


class PreviousState(NamedTuple):
    state: Any
    changed: int


@dataclass(eq=False)
class Resource:
    """What pools, nodes, jobs and tasks have in common; `stamp` tells the time."""

    id: str
    spec: Spec
    stamp: Callable[[], int] = field(repr=False)
    previous: PreviousState | None = field(default=None, init=False)
    state: Any = field(init=False)

    def __post_init__(self) -> None:
        self.key = self.id.lower()  # case does not count (SDK14 PoolAddParameter.id)
        self.created = self.stamp()
        self.modified = self.created
        self.changed = self.created

    def move(self, state: Any) -> None:
        self.previous = PreviousState(self.state, self.changed)
        self.state = states.move(self.state, state)
        self.changed = self.stamp()


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
    run: AutoScaleRun  # of the last evaluation, or of the check when the formula was given
    wanted: FormulaResult | None = None  # of the last evaluation; before the first there is none


@dataclass(eq=False)
class Pool(Resource):
    targets: dict[bool, int]  # numbers of nodes: True for dedicated, False for low priority
    resize_timeout: int
    state: PoolState = field(default=PoolState.active, init=False)
    allocation: AllocationState = AllocationState.steady
    allocation_changed: int = 0
    resize_errors: list[ResizeError] = field(default_factory=list)
    nodes: dict[str, Node] = field(default_factory=dict)
    dealloc: str = 'requeue'  # what becomes of the tasks on nodes that leave
    autoscale: AutoScale | None = None
    autoscale_enabled: int | None = None  # when that was last asked for

    def count(self, dedicated: bool) -> int:
        return sum(node.dedicated is dedicated for node in self.nodes.values())

    def allocate(self, state: AllocationState) -> None:
        self.allocation = states.move(self.allocation, state)
        self.allocation_changed = self.stamp()


@dataclass(eq=False)
class Node(Resource):
    pool: Pool
    dedicated: bool
    address: str
    state: NodeState = field(default=NodeState.creating, init=False)
    booted: int | None = None
    start: Execution | None = None  # of the start task
    start_run: CommandRun | None = None  # while the start task runs
    runs: dict[Task, CommandRun] = field(default_factory=dict)
    errors: list[Failure] = field(default_factory=list)
    tasks_run: int = 0
    tasks_succeeded: int = 0
    root: Path | None = None  # the folder of its files, while it has one

    @property
    def used_slots(self) -> int:
        return sum(run.spec['requiredSlots'] for run in self.runs.values())


def _no_counts() -> dict[str, int]:
    return dict.fromkeys(COUNTERS, 0)


@dataclass(eq=False)
class Job(Resource):
    spec: dict[str, Any]
    state: JobState = field(default=JobState.active, init=False)
    ended: int | None = None
    reason: str | None = None  # of its end
    tasks: dict[str, Task] = field(default_factory=dict)
    queue: deque[Task] = field(default_factory=deque)  # active tasks, and some that were active
    counts: dict[str, int] = field(default_factory=_no_counts)
    slots: dict[str, int] = field(default_factory=_no_counts)

    @property
    def pool_key(self) -> str:
        return str(self.spec['poolInfo']['poolId']).lower()

    def move(self, state: Any) -> None:
        """A completed job says previousState active (recorded traffic): terminating is skipped."""
        is_skipped = self.state is JobState.terminating
        before = self.previous

        super().move(state)

        if is_skipped:
            self.previous = before


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
