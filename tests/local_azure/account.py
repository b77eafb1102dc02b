"""The Batch account: one lock around everything, and what pools and jobs share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .durations import to_ticks
from .executor import Executor
from .faults import Faults
from .jobs import Jobs
from .model import Job, Pool, Task
from .nodes import Nodes
from .pools import Pools
from .timeline import Action, Plan, Timeline


@dataclass
class Delays:
    """Seconds that the service's own transitions take; minutes on Azure."""

    allocation: float = 0.03
    node_creating: float = 0.02
    node_starting: float = 0.02
    node_leaving: float = 0.02
    node_restore: float = 0.1
    pool_deleting: float = 0.1
    job_deleting: float = 0.05
    job_terminating: float = 0.03


@dataclass
class Quotas:
    """Limits of the account; None is no limit (defaults of new accounts on Azure differ by subscription)."""

    dedicated_cores: int | None = None
    low_priority_cores: int | None = None
    pools: int | None = None
    jobs: int | None = None


@dataclass
class Account:
    """A Batch account in memory. Every public method of `pools` and `jobs` takes the lock."""

    timeline: Timeline
    executor: Executor
    name: str = 'localbatch'
    url: str = 'http://127.0.0.1'
    faults: Faults = field(default_factory=Faults)
    delays: Delays = field(default_factory=Delays)
    quotas: Quotas = field(default_factory=Quotas)
    # What POST answers while an id is being deleted is not documented: PoolBeingDeleted/JobBeingDeleted, or this.
    exists_while_deleting: bool = False

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self._last_stamp = 0
        self._version = 0
        self.nodes = Nodes(self)
        self.pools = Pools(self)
        self.jobs = Jobs(self)

    def stamp(self) -> int:
        """The time now in ticks, never twice the same, and with a last digit: the service drops trailing zeros."""
        ticks = max(to_ticks(self.timeline.now()), self._last_stamp + 1)
        self._last_stamp = ticks if ticks % 10 else ticks + 1
        return self._last_stamp

    def notify(self) -> None:
        self._version += 1
        self.changed.notify_all()

    def later(self, seconds: float, action: Action) -> Plan:
        """Plans an action that will run with the lock held."""

        def locked() -> None:
            with self.lock:
                if plan.action:  # not cancelled between its time and the lock
                    action()
                    self.notify()

        plan = self.timeline.after(seconds, locked)
        return plan

    def wait_until(self, predicate: Callable[[], object], timeout: float, describe: str) -> None:
        """Asks the predicate again after each change of the account, and 50 times a second; TimeoutError in the end."""
        deadline = time.monotonic() + timeout
        while True:
            version = self._version
            if predicate():
                return
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f'{describe} did not come true within {timeout} s: {self}')
            with self.lock:
                if self._version == version:
                    self.changed.wait(min(left, 0.02))

    def clear(self) -> None:
        """Ends everything at once and forgets it."""
        with self.lock:
            self.jobs.clear()
            self.pools.clear()
            self.faults.clear()
            self.quotas = Quotas()
            self.exists_while_deleting = False
            self.notify()

    def all_pools(self) -> list[Pool]:
        return list(self.pools.by_key.values())

    def all_tasks(self) -> list[Task]:
        return [task for job in self.jobs.by_key.values() for task in job.tasks.values()]

    def all_jobs(self) -> list[Job]:
        return list(self.jobs.by_key.values())

    def __str__(self) -> str:
        pools = [f'pool {p.id} {p.state.value} {[n.state.value for n in p.nodes.values()]}' for p in self.all_pools()]
        return '; '.join(pools + [f'job {j.id} {j.state.value} {j.counts}' for j in self.all_jobs()]) or 'empty account'
