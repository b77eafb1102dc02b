"""Who runs the command lines of start tasks and tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .model import Node, Outcome, Run

Done = Callable[[Run, Outcome], None]


class Executor(Protocol):
    """All methods return at once; `done` is called later, from any thread, and not any more after `stop`."""

    def add_node(self, node: Node) -> None:
        """A machine with an empty disk."""

    def remove_node(self, node: Node) -> None:
        """The machine and its files go away."""

    def start(self, run: Run, done: Done) -> None: ...

    def stop(self, run: Run) -> None:
        """Ends the whole process group of a run."""


class ManualExecutor:
    """Runs nothing: a test says how each run ends."""

    def __init__(self) -> None:
        self.running: dict[Run, Done] = {}

    def add_node(self, node: Node) -> None:
        """Nothing to make."""

    def remove_node(self, node: Node) -> None:
        """Nothing to remove."""

    def start(self, run: Run, done: Done) -> None:
        self.running[run] = done

    def stop(self, run: Run) -> None:
        self.running.pop(run, None)

    def finish(self, run: Run, outcome: Outcome) -> None:
        self.running.pop(run)(run, outcome)
