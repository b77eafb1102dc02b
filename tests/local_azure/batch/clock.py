"""When things happen: the clock of the local Batch service, what it does later."""

from __future__ import annotations

import sched
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timezone

Action = Callable[[], object]


class Timeline:
    """Runs actions at their time, one after another, in a thread of its own."""

    def __init__(self, on_crash: Callable[[BaseException], None]) -> None:
        self._on_crash, self._stopped = on_crash, False
        self._scheduler, self._wake = sched.scheduler(), threading.Event()
        self._thread = threading.Thread(target=self._run, name='timeline', daemon=True)
        self._thread.start()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def after(self, seconds: float, action: Action) -> None:
        self._scheduler.enter(seconds, 0, action)
        self._wake.set()

    def stop(self) -> None:
        self._stopped = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped:
            try:
                left = self._scheduler.run(blocking=False)  # None: there is nothing to do
                self._wake.wait(min(left or 3600, 3600))
                self._wake.clear()
            except Exception as error:  # noqa: BLE001 - a crash belongs to the test, the thread goes on
                self._on_crash(error)
