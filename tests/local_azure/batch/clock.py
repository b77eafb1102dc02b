"""When things happen: the clock of the local Batch service, and what it does later."""

from __future__ import annotations

import sched
import threading
from collections.abc import Callable
from datetime import UTC, datetime

Action = Callable[[], object]
LONGEST_NAP = 3600  # seconds


class Timeline:
    """Runs actions at their time, one after another, in a thread of its own."""

    def __init__(self, on_crash: Callable[[BaseException], None]) -> None:
        self._on_crash = on_crash
        self._stopped = False
        self._scheduler = sched.scheduler()
        self._wake = threading.Event()
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
                seconds_left = self._scheduler.run(blocking=False)
                if seconds_left is None:  # nothing is planned
                    seconds_left = LONGEST_NAP
                self._wake.wait(min(seconds_left, LONGEST_NAP))
                self._wake.clear()
            except Exception as error:  # noqa: BLE001 - the test must hear of it
                self._on_crash(error)
