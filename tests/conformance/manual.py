"""A timeline and machines that stand still until a test says what happens."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tests.local_azure.batch.clock import Action, Timeline
from tests.local_azure.batch.execution import Outcome
from tests.local_azure.batch.model import CommandRun, Node

Done = Callable[[CommandRun, Outcome], None]


class ManualTimeline(Timeline):
    def __init__(self) -> None:
        self._elapsed = 0.0
        self._plans: list[tuple[float, int, Action]] = []
        self._planned = 0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._elapsed)

    def after(self, seconds: float, action: Action) -> None:
        self._planned += 1
        heapq.heappush(self._plans, (self._elapsed + seconds, self._planned, action))

    def advance(self, seconds: float) -> None:
        end = self._elapsed + seconds
        while self._plans and self._plans[0][0] <= end:
            due, _, action = heapq.heappop(self._plans)
            self._elapsed = max(self._elapsed, due)
            action()
        self._elapsed = end


class ManualMachines:
    """Runs nothing: a test says how each run ends."""

    def __init__(self) -> None:
        self.running: dict[CommandRun, Done] = {}

    def add_node(self, node: Node) -> None:
        """Nothing to make."""

    def remove_node(self, node: Node) -> None:
        """Nothing to remove."""

    def start(self, run: CommandRun, done: Done) -> None:
        self.running[run] = done

    def stop(self, run: CommandRun) -> None:
        self.running.pop(run, None)

    def finish(self, run: CommandRun, outcome: Outcome) -> None:
        self.running.pop(run)(run, outcome)
