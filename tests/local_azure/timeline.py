"""When things happen: the clock of the local Batch service and the transitions that it has planned."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Protocol

Action = Callable[[], None]


@dataclass(order=True)
class Plan:
    """One planned action; `cancel` makes it a no-op."""

    due: float
    order: int
    action: Action | None = field(compare=False)

    def cancel(self) -> None:
        self.action = None


class Timeline(Protocol):
    def now(self) -> datetime: ...

    def after(self, seconds: float, action: Action) -> Plan: ...


class RealTimeline:
    """Runs actions at their time, one after another, in a thread of its own."""

    def __init__(self, on_crash: Callable[[BaseException], None]) -> None:
        self._on_crash = on_crash
        self._plans: list[Plan] = []
        self._numbers = itertools.count()
        self._wake = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name='timeline', daemon=True)
        self._thread.start()

    def now(self) -> datetime:
        return datetime.now(timezone.utc)

    def after(self, seconds: float, action: Action) -> Plan:
        plan = Plan(time.monotonic() + seconds, next(self._numbers), action)
        with self._wake:
            heapq.heappush(self._plans, plan)
            if self._plans[0] is plan:
                self._wake.notify()
        return plan

    def stop(self) -> None:
        with self._wake:
            self._stopped = True
            self._wake.notify()
        self._thread.join()

    def _next_action(self) -> Action | None:
        with self._wake:
            while not self._stopped:
                if not self._plans:
                    self._wake.wait()
                elif (left := self._plans[0].due - time.monotonic()) > 0:
                    self._wake.wait(min(left, 3600))
                elif action := heapq.heappop(self._plans).action:
                    return action
            return None

    def _run(self) -> None:
        while action := self._next_action():
            try:
                action()
            except Exception as error:  # noqa: BLE001 - a crash belongs to the test, the thread goes on
                self._on_crash(error)


class ManualTimeline:
    """Stands still until `advance` is called: for tests that want every order of events."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 1, tzinfo=timezone.utc)
        self._elapsed = 0.0
        self._plans: list[Plan] = []
        self._numbers = itertools.count()

    def now(self) -> datetime:
        return self._now + timedelta(seconds=self._elapsed)

    def after(self, seconds: float, action: Action) -> Plan:
        plan = Plan(self._elapsed + seconds, next(self._numbers), action)
        heapq.heappush(self._plans, plan)
        return plan

    def advance(self, seconds: float) -> None:
        end = self._elapsed + seconds
        while self._plans and self._plans[0].due <= end:
            plan = heapq.heappop(self._plans)
            self._elapsed = max(self._elapsed, plan.due)
            if plan.action:
                plan.action()
        self._elapsed = end
