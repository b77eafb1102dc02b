"""The execution of a command line, of a task or of a start task: what its resource shows of it.

Whether it is repeated after a failure: `retries.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tests.local_azure.batch.errors import FAILURE_EXIT, Failure

# Exit code of a process that the service ended. On a Linux node that of a signal is its negative
# number (Azure/Batch issue 101), as in Python.
KILLED = -9


class Outcome(NamedTuple):
    """How a command line ended; `exit_code` is None when it never started."""

    exit_code: int | None
    failure: Failure | None = None


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
        self.end = now
        self.exit_code = outcome.exit_code
        self.failure = outcome.failure
        if outcome.exit_code and not outcome.failure:
            self.failure = FAILURE_EXIT
        self.result = 'failure' if self.failure else 'success'

    def retried(self, now: int) -> None:
        self.retries += 1
        self.start = now
        self.last_retry = now
