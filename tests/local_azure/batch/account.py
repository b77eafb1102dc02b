"""The Batch account: one lock around everything, what is planned, and what pools and jobs share."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.local_azure.batch.clock import Action, Timeline
from tests.local_azure.batch.errors import BatchError
from tests.local_azure.batch.jobs import Jobs
from tests.local_azure.batch.model import Job, Pool, Resource, Run, Spec, Task
from tests.local_azure.batch.nodes import Nodes
from tests.local_azure.batch.pools import Pools
from tests.local_azure.batch.times import to_ticks
from tests.local_azure.faults import Fault, Faults

if TYPE_CHECKING:
    from tests.local_azure.batch.dispatch import Machines


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
class Account:
    """A Batch account in memory. Every public method of `pools` and `jobs` takes the lock."""

    timeline: Timeline
    machines: Machines
    url: str = 'http://127.0.0.1'
    faults: Faults = field(default_factory=Faults)
    delays: Delays = field(default_factory=Delays)

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self._last_stamp = 0
        self._plans: dict[object, object] = {}
        self.nodes, self.pools, self.jobs = Nodes(self), Pools(self), Jobs(self)

    def stamp(self) -> int:
        """The time now in ticks, never twice the same, and with a last digit: the service drops trailing zeros."""
        ticks = max(to_ticks(self.timeline.now()), self._last_stamp + 1)
        self._last_stamp = ticks if ticks % 10 else ticks + 1
        return self._last_stamp

    def later(self, owner: object, seconds: float, action: Action) -> None:
        """Does this later, with the lock held, unless something else is planned for its owner by then."""
        plan = self._plans[owner] = object()

        def act() -> None:
            with self.lock:
                if self._plans.get(owner) is plan:
                    del self._plans[owner]
                    action()

        self.timeline.after(seconds, act)

    def cancel(self, owner: object) -> None:
        self._plans.pop(owner, None)

    def stop(self, run: Run) -> None:
        """Whatever becomes of this run, nobody waits for it any more."""
        run.over.set()
        self.cancel(run)
        self.machines.stop(run)

    def check_new(self, kind: str, spec: Spec, items: Mapping[str, Resource]) -> None:
        if old := items.get(spec['id'].lower()):
            raise BatchError(
                f'{kind}BeingDeleted' if old.state.value == 'deleting' else f'{kind}Exists'
            )

    def quota(self, limit: str, wanted: int) -> int | None:
        """The quota of this name that `wanted` exceeds, or None: a fault, without which nothing is limited."""

        def exceeded(fault: Fault) -> bool:
            quota = getattr(fault, limit)
            return quota is not None and wanted > quota

        fault = self.faults.take('set_quota', exceeded)
        return getattr(fault, limit) if fault else None

    def clear(self) -> None:
        """Ends everything at once and forgets it."""
        with self.lock:
            self._plans.clear()
            for pool in self.all_pools():
                for node in pool.nodes.values():
                    self.nodes.abandon(node)
                    self.machines.remove_node(node)
            self.pools.by_key.clear()
            self.jobs.by_key.clear()
            self.faults.clear()

    def all_pools(self) -> list[Pool]:
        return list(self.pools.by_key.values())

    def all_jobs(self) -> list[Job]:
        return list(self.jobs.by_key.values())

    def all_tasks(self) -> list[Task]:
        return [task for job in self.all_jobs() for task in job.tasks.values()]

    def __str__(self) -> str:
        pools = [
            f'pool {p.id} {p.state.value} {[n.state.value for n in p.nodes.values()]}'
            for p in self.all_pools()
        ]
        return (
            '; '.join(pools + [f'job {j.id} {j.state.value} {j.counts}' for j in self.all_jobs()])
            or 'empty account'
        )
