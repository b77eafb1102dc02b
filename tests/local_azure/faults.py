"""What can be made to go wrong, each by an explicit call (ondemand.py), with a count of how often it did."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

Service = Literal['batch', 'storage', 'identity']
Source = Literal['client', 'node']
Where = Literal['before', 'after', 'mid-body']
Scheme = Literal['SharedKey', 'Bearer']
AnyFault = TypeVar('AnyFault', bound='Fault')


class Fault:
    """One thing that goes wrong. `kind` is the call that arms it, what else that call knows are its attributes."""

    count: int | None = None  # so often; None: until removed
    skip = 0  # so many occasions go well first
    hits = 0

    def __init__(self, kind: str, **more: Any) -> None:
        self.kind, self.gone = kind, threading.Event()
        self.seen: set[object] = set()  # for those who ask for it
        vars(self).update(more)

    def check(self) -> None:
        """Fails the test if the fault never happened."""
        assert self.hits, f'this fault never happened: {vars(self)}'

    def remove(self) -> None:
        self.gone.set()


class RequestFault(Fault):
    """Requests that get a given answer, a cut connection, or none at all."""

    action: Literal['answer', 'cut', 'hang', 'hold'] = 'answer'
    where: Where = 'before'  # of a cut: the operation is executed in the last two
    service: Service = 'batch'
    method: str = '*'  # '*' for any
    path: str = ''  # a regular expression, searched in the path (storage: with the account's name; query: after '?')
    source: Source | None = 'client'  # None: requests of the nodes too
    scheme: Scheme | None = None  # how it is authenticated; None: in whatever way
    status: int = 503
    code: str = 'ServerBusy'
    message: str = ''  # otherwise that of the code
    detail: str = ''  # AuthenticationErrorDetail
    headers: Mapping[str, str] = {}
    html: bool = False

    def __init__(self, **more: Any) -> None:
        if unknown := [name for name in more if not hasattr(self, name)]:
            raise TypeError(f'a fault of requests has no {unknown}')
        super().__init__('requests', **more)

    def concerns(
        self, service: Service, method: str, target: str, source: Source, scheme: Scheme | None
    ) -> bool:
        who = (
            self.service == service
            and self.source in (None, source)
            and self.scheme in (None, scheme)
        )
        return who and self.method in ('*', method) and re.search(self.path, target) is not None

    def cuts_before(self) -> bool:
        """Whether the connection ends without the operation; one that hangs or is held waits for the fault's end."""
        if self.action in ('hang', 'hold'):
            self.gone.wait()
        return self.action == 'hang' or (self.action == 'cut' and self.where == 'before')


class Faults:
    """All that were armed since the last `clear`."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._faults: list[Fault] = []

    def add(self, fault: AnyFault) -> AnyFault:
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        while self._faults:
            self._faults.pop().remove()

    def find(self, kinds: str, concerns: Callable[[Any], bool] = lambda _: True) -> Any:
        """The oldest fault of these kinds, separated by blanks, that is concerned and not used up, or None."""
        for fault in list(self._faults):
            if (
                fault.kind in kinds.split()
                and fault.hits != fault.count
                and not fault.gone.is_set()
                and concerns(fault)
            ):
                return fault
        return None

    def take(self, kinds: str, concerns: Callable[[Any], bool] = lambda _: True) -> Any:
        """The same fault, used once; None also when it is skipped."""
        with self._lock:
            fault = self.find(kinds, concerns)
            if fault and fault.skip:
                fault.skip -= 1
                return None
            if fault:
                fault.hits += 1
            return fault
