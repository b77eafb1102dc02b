"""What can be made to go wrong, each by an explicit call (ondemand.py), with a count of how often it did."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal, TypeVar

from .model import Run

Service = Literal['batch', 'storage', 'identity']
Source = Literal['client', 'node']
Where = Literal['before', 'after', 'mid-body']
Scheme = Literal['SharedKey', 'Bearer']


@dataclass(eq=False)
class Fault:
    """One thing that goes wrong, `count` times (None: until removed) after the first `skip` occasions."""

    count: int | None = field(default=None, kw_only=True)
    skip: int = field(default=0, kw_only=True)
    hits: int = field(default=0, init=False)
    gone: threading.Event = field(default_factory=threading.Event, init=False, repr=False)

    def check(self) -> None:
        """Fails the test if the fault never happened."""
        assert self.hits, f'this fault never happened: {self}'

    def remove(self) -> None:
        self.gone.set()


@dataclass(eq=False, kw_only=True)
class RequestFault(Fault):
    """Requests that get a given answer, a cut connection, or none at all."""

    action: Literal['answer', 'cut', 'hang'] = field(default='answer', kw_only=False)
    where: Where = field(default='before', kw_only=False)  # of a cut: the operation is executed in the last two
    service: Service = 'batch'
    method: str = '*'  # '*' for any
    path: str = ''  # a regular expression, searched in the path (storage: with the account's name; query: after '?')
    source: Source | None = 'client'  # None: requests of the nodes too
    scheme: Scheme | None = None  # how it is authenticated; None: in whatever way
    status: int = 503
    code: str = 'ServerBusy'
    message: str = ''  # otherwise that of the code
    detail: str = ''  # AuthenticationErrorDetail
    headers: Mapping[str, str] = field(default_factory=dict)
    html: bool = False

    def concerns(self, service: Service, method: str, target: str, source: Source, scheme: Scheme | None) -> bool:
        who = self.service == service and self.source in (None, source) and self.scheme in (None, scheme)
        return who and self.method in ('*', method) and re.search(self.path, target) is not None

    def cuts_before(self) -> bool:
        """Whether the connection ends without the operation; a hanging request first waits for the fault's end."""
        if self.action == 'hang':
            self.gone.wait()
        return self.action == 'hang' or (self.action == 'cut' and self.where == 'before')


@dataclass(eq=False)
class TokenFault(Fault):
    """The identity endpoint hands out tokens that their service (None: either) will refuse."""

    kind: Literal['audience', 'expired', 'signature']
    service: Service | None = None


@dataclass(eq=False, kw_only=True)
class BeingDeleted(Fault):
    container: str
    armed: bool


@dataclass(eq=False)
class AllocationFault(Fault):
    """Resizes end with this resizeError; only `allocated` nodes come. `dedicated`: one kind of node only."""

    code: str = 'AllocationFailed'
    message: str | None = None
    dedicated: bool | None = field(default=None, kw_only=True)  # None: both kinds of node
    allocated: int = field(default=0, kw_only=True)  # nodes that come nevertheless


@dataclass(eq=False)
class SlowAllocation(Fault):
    """The pool stays `resizing` that much longer, without nodes."""

    seconds: float


@dataclass(eq=False, kw_only=True)
class SlowNodes(Fault):
    """Seconds more in each state, for the next `count` nodes; `start_task`: before its command line begins."""

    creating: float = 0
    starting: float = 0
    start_task: float = 0


@dataclass(eq=False, kw_only=True)
class StartTaskFault(Fault):
    nodes: int | None  # None: all
    exit_code: int
    stderr: str
    failing: set[str] = field(default_factory=set, init=False)


@dataclass(eq=False, kw_only=True)
class NodeLoss(Fault):
    """The node of a running task is preempted or becomes unusable, `after` seconds into the task."""

    task: str
    unusable: bool
    after: float
    restore: bool

    def concerns(self, run: Run) -> bool:
        return run.task is not None and fnmatchcase(run.task.id, self.task)


@dataclass(eq=False, kw_only=True)
class OutputFault(Fault):
    """Output files that are refused by the storage, lost, or arrive empty, by task id or blob name (wildcards)."""

    pattern: str
    kind: Literal['refused', 'lost', 'empty']

    def concerns(self, task_id: str, blob: str) -> bool:
        return fnmatchcase(task_id, self.pattern) or fnmatchcase(blob, self.pattern)


@dataclass(eq=False, kw_only=True)
class StaleCounts(Fault):
    counts: dict[str, int] | None
    frozen: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)


AnyFault = TypeVar('AnyFault', bound=Fault)


class Faults:
    """The faults that are armed now."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._armed: list[Fault] = []

    def add(self, fault: AnyFault) -> AnyFault:
        with self._lock:
            self._armed.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            for fault in self._armed:
                fault.remove()
            self._armed = []

    def find(self, kind: type[AnyFault], concerns: Callable[[AnyFault], bool] = lambda _: True) -> AnyFault | None:
        """The oldest armed fault of this kind that is concerned, without using it up."""
        if not self._armed:
            return None
        with self._lock:
            self._armed = [fault for fault in self._armed if not fault.gone.is_set()]
            return next((fault for fault in self._armed if isinstance(fault, kind) and concerns(fault)), None)

    def take(self, kind: type[AnyFault], concerns: Callable[[AnyFault], bool] = lambda _: True) -> AnyFault | None:
        """The same fault, used once; None also when it is skipped."""
        with self._lock:
            fault = self.find(kind, concerns)
            if fault and fault.skip:
                fault.skip -= 1
                return None
            if fault:
                fault.hits += 1
                if fault.hits == fault.count:
                    self._armed.remove(fault)
            return fault
