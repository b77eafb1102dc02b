"""The Batch account in memory: its pools, nodes, jobs and tasks."""

from __future__ import annotations

from tests.local_azure.batch.clock import Timeline
from tests.local_azure.batch.delays import Delays
from tests.local_azure.batch.jobs import Jobs
from tests.local_azure.batch.model import Job, NodeHost, Pool, Task
from tests.local_azure.batch.nodes import Nodes
from tests.local_azure.batch.pools import Pools
from tests.local_azure.batch.shared_state import SharedState
from tests.local_azure.faults import Fault, Faults, NodeLoss, StaleTaskCounts


class Account:
    """Every public method of `pools` and `jobs` takes the lock."""

    def __init__(
        self,
        timeline: Timeline,
        host: NodeHost,
        url: str = 'http://127.0.0.1',
        faults: Faults | None = None,
        delays: Delays | None = None,
    ) -> None:
        self.url = url
        self.faults = faults or Faults()
        self._shared = SharedState(timeline, host, self.faults, delays or Delays())
        self.timeline = timeline
        self.lock = self._shared.lock

        self.jobs = Jobs(self._shared)
        self.nodes = Nodes(self._shared, self.jobs)
        self.pools = Pools(self._shared, self.nodes)

        self.jobs.on_task_start = self.nodes.plan_loss
        self.faults.listen(self._fault_added)

    @property
    def delays(self) -> Delays:
        return self._shared.delays

    @delays.setter
    def delays(self, delays: Delays) -> None:
        self._shared.delays = delays

    def stamp(self) -> int:
        """The time now in ticks, never twice the same."""
        return self._shared.stamp()

    def all_pools(self) -> list[Pool]:
        return list(self._shared.pools.values())

    def all_jobs(self) -> list[Job]:
        return list(self._shared.jobs.values())

    def all_tasks(self) -> list[Task]:
        return [task for job in self.all_jobs() for task in job.tasks.values()]

    def clear(self) -> None:
        """Ends everything at once and forgets it."""
        with self.lock:
            self._shared.cancel_all()
            for pool in self.all_pools():
                self.nodes.remove_all(pool)
            self._shared.pools.clear()
            self._shared.jobs.clear()
            self.faults.clear()

    def _fault_added(self, fault: Fault) -> None:
        """Some faults concern what is going on already."""
        with self.lock:
            if isinstance(fault, NodeLoss):
                self.nodes.plan_losses()
            if isinstance(fault, StaleTaskCounts):
                self.jobs.freeze_counts(fault)

    def __str__(self) -> str:
        lines = []
        for pool in self.all_pools():
            node_states = [node.state.value for node in pool.nodes.values()]
            lines.append(f'pool {pool.id} {pool.state.value} {node_states}')
        for job in self.all_jobs():
            lines.append(f'job {job.id} {job.state.value} {job.counts}')
        return '; '.join(lines) or 'empty account'
