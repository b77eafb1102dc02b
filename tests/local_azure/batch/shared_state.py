"""What the parts of the account share: one lock, one clock, plans for later, pools and jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.local_azure.batch.clock import Timeline
from tests.local_azure.batch.delays import Delays
from tests.local_azure.batch.model import CommandRun, Job, NodeHost, Pool
from tests.local_azure.batch.time_formats import to_ticks
from tests.local_azure.faults import Faults, Quota, QuotaName


class SharedState:
    """Whoever reads or changes a pool or a job, or what is below it, holds `lock`."""

    def __init__(self, timeline: Timeline, host: NodeHost, faults: Faults, delays: Delays) -> None:
        self.timeline = timeline
        self.host = host
        self.faults = faults
        self.delays = delays
        self.lock = threading.RLock()
        self.pools: dict[str, Pool] = {}
        self.jobs: dict[str, Job] = {}
        self._last_stamp = 0
        self._plans: dict[object, object] = {}

    def stamp(self) -> int:
        """The time now in ticks, never twice the same.

        Its last digit is not 0, since the service drops trailing zeros.
        """
        ticks = max(to_ticks(self.timeline.now()), self._last_stamp + 1)
        if ticks % 10 == 0:
            ticks += 1
        self._last_stamp = ticks
        return ticks

    def later(
        self, owner: object, seconds: float, action: Callable[..., object], *arguments: object
    ) -> None:
        """Does this later, with the lock held.

        Each owner has one plan: the next one replaces it, and `cancel` drops it.
        """
        plan = object()
        self._plans[owner] = plan

        def act() -> None:
            with self.lock:
                if self._plans.get(owner) is plan:
                    del self._plans[owner]
                    action(*arguments)

        self.timeline.after(seconds, act)

    def cancel(self, owner: object) -> None:
        self._plans.pop(owner, None)

    def cancel_all(self) -> None:
        self._plans.clear()

    def stop(self, run: CommandRun) -> None:
        """Whatever becomes of this run, nobody waits for it any more."""
        run.over.set()
        self.cancel(run)
        self.host.stop(run)

    def exceeded_quota(self, name: QuotaName, wanted: int) -> int | None:
        """The quota that `wanted` exceeds, or None. Without a fault nothing is limited."""

        def is_exceeded(quota: Quota) -> bool:
            limit = quota.limit(name)
            return limit is not None and wanted > limit

        quota = self.faults.take(Quota, is_exceeded)
        return quota.limit(name) if quota else None
