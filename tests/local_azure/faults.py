"""Everything that a test can make go wrong, each by an explicit call on `LocalAzure`.

A call that arms a fault returns it: `hits` counts how often it happened, `check()` fails the test
if it never did, `remove()` ends it. All of them end with `LocalAzure.clear()`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeVar

Service = Literal['batch', 'storage', 'identity']
Source = Literal['client', 'node']
Where = Literal['before', 'after', 'mid-body']
Scheme = Literal['SharedKey', 'Bearer']
TokenProblem = Literal['audience', 'expired', 'signature']
QuotaName = Literal['dedicated_cores', 'low_priority_cores', 'pools', 'jobs']


@dataclass(eq=False, kw_only=True)
class Fault:
    """One thing that goes wrong."""

    count: int | None = None  # so often; None: until it is removed
    skip: int = 0  # so many occasions go well first
    hits: int = field(default=0, init=False)
    gone: threading.Event = field(default_factory=threading.Event, init=False, repr=False)

    def check(self) -> None:
        """Fails the test if the fault never happened."""
        assert self.hits, f'this fault never happened: {self}'

    def remove(self) -> None:
        self.gone.set()

    def is_over(self) -> bool:
        return self.gone.is_set() or self.hits == self.count


# Requests and sign-in


@dataclass(eq=False, kw_only=True)
class RequestFault(Fault):
    """Requests that get a given answer, a cut connection, or none at all."""

    action: Literal['answer', 'cut', 'hang', 'hold'] = 'answer'
    where: Where = 'before'  # of a cut; the operation is executed in the last two
    service: Service = 'batch'
    method: str = '*'  # '*' for any
    path: str = ''  # a regular expression, searched in path and query as sent
    source: Source | None = 'client'  # None: requests of the nodes too
    scheme: Scheme | None = None  # how it is authenticated; None: in whatever way
    status: int = 503
    code: str = 'ServerBusy'
    message: str = ''  # otherwise that of the code
    detail: str = ''  # AuthenticationErrorDetail
    headers: Mapping[str, str] = field(default_factory=dict)
    html: bool = False

    def concerns(
        self, service: Service, method: str, target: str, source: Source, scheme: Scheme | None
    ) -> bool:
        return (
            service == self.service
            and self.source in (None, source)
            and self.scheme in (None, scheme)
            and self.method in ('*', method)
            and re.search(self.path, target) is not None
        )

    def cuts_before(self) -> bool:
        """Whether the connection ends without the operation.

        A request that hangs or is held waits here for the end of the fault.
        """
        if self.action in ('hang', 'hold'):
            self.gone.wait()
        return self.action == 'hang' or (self.action == 'cut' and self.where == 'before')


@dataclass(eq=False)
class BadTokens(Fault):
    """Tokens that their service will refuse."""

    problem: TokenProblem
    service: Service | None = None  # None: either


# Storage and the account


@dataclass(eq=False)
class ContainerBeingDeleted(Fault):
    """The name of a deleted container cannot be used again at once."""

    container: str
    armed: bool = False  # it has been deleted


@dataclass(eq=False)
class Quota(Fault):
    """Limits of the account; None: no limit."""

    dedicated_cores: int | None = None
    low_priority_cores: int | None = None
    pools: int | None = None
    jobs: int | None = None

    def limit(self, name: QuotaName) -> int | None:
        limits = {
            'dedicated_cores': self.dedicated_cores,
            'low_priority_cores': self.low_priority_cores,
            'pools': self.pools,
            'jobs': self.jobs,
        }
        return limits[name]


@dataclass(eq=False)
class StaleTaskCounts(Fault):
    """Task counts that lag behind."""

    counts: dict[str, int] | None = None  # these, instead of those of the past
    frozen: dict[str, Any] = field(default_factory=dict, repr=False)  # of each job, by its key


# Pools, nodes and tasks


@dataclass(eq=False)
class FailedAllocation(Fault):
    """A resize that ends with an error."""

    code: str = 'AllocationFailed'
    message: str | None = None  # otherwise that of the code
    dedicated: bool | None = None  # one kind of node only
    allocated: int = 0  # so many nodes come all the same


@dataclass(eq=False)
class SlowAllocation(Fault):
    """A pool that stays `resizing` longer, without nodes."""

    seconds: float


@dataclass(eq=False)
class SlowNodes(Fault):
    """Seconds more in each state."""

    creating: float = 0
    starting: float = 0
    start_task: float = 0  # before its command line begins


@dataclass(eq=False)
class FailedStartTask(Fault):
    """A start task that does not run but fails."""

    nodes: Literal['all'] | int = 'all'  # or on so many, which come first
    stderr: str = 'E: start task failed\n'
    exit_code: int = 1
    nodes_seen: set[object] = field(default_factory=set, init=False, repr=False)

    def concerns(self, node: object) -> bool:
        if self.nodes == 'all' or node in self.nodes_seen:
            return True
        return len(self.nodes_seen) < self.nodes


@dataclass(eq=False)
class NodeLoss(Fault):
    """A node that is lost while it runs a task."""

    task: str = '*'  # its id, with wildcards
    after: float = 0  # seconds after the start of the task

    def concerns(self, task_id: str) -> bool:
        return fnmatchcase(task_id, self.task)


@dataclass(eq=False)
class PreemptedNode(NodeLoss):
    """A node that is taken away for somebody who pays more."""

    restore: bool = True  # it comes back


@dataclass(eq=False)
class UnusableNode(NodeLoss):
    """A node that breaks and stays broken."""


@dataclass(eq=False)
class OutputFault(Fault):
    """An output file that does not arrive as it should."""

    pattern: str = '*'  # of the task's id or the blob's name, with wildcards

    def concerns(self, task_id: str, blob: str) -> bool:
        return fnmatchcase(task_id, self.pattern) or fnmatchcase(blob, self.pattern)


@dataclass(eq=False)
class RefusedUpload(OutputFault):
    """It is refused: FileUploadAccessDenied."""


@dataclass(eq=False)
class LostOutput(OutputFault):
    """It is lost, and nobody notices."""

    empty: bool = False  # it arrives, without its content


# Those that are armed

AnyFault = TypeVar('AnyFault', bound=Fault)


class Faults:
    """All that were armed since the last `clear`, and what else is out of order."""

    def __init__(self) -> None:
        self.latency = 0.0  # seconds that every request of a client takes longer
        self.clock_offset = timedelta()  # of the clock that checks signatures and tokens
        self._lock = threading.RLock()
        self._faults: list[Fault] = []
        self._listeners: list[Callable[[Fault], None]] = []

    def listen(self, listener: Callable[[Fault], None]) -> None:
        """Has it called with every fault that will be added."""
        self._listeners.append(listener)

    def add(self, fault: AnyFault) -> AnyFault:
        self._faults.append(fault)
        for listener in self._listeners:
            listener(fault)
        return fault

    def clear(self) -> None:
        while self._faults:
            self._faults.pop().remove()
        self.latency = 0.0
        self.clock_offset = timedelta()

    def find(
        self, kind: type[AnyFault], concerns: Callable[[AnyFault], bool] | None = None
    ) -> AnyFault | None:
        """The oldest fault of this kind that is concerned and not over, or None."""
        for fault in list(self._faults):
            if not isinstance(fault, kind) or fault.is_over():
                continue
            if concerns is None or concerns(fault):
                return fault
        return None

    def take(
        self, kind: type[AnyFault], concerns: Callable[[AnyFault], bool] | None = None
    ) -> AnyFault | None:
        """The same fault, used once; None also when this occasion is skipped."""
        with self._lock:
            fault = self.find(kind, concerns)
            if fault is None:
                return None

            if fault.skip:
                fault.skip -= 1
                return None

            fault.hits += 1
            return fault


# How an account refuses a way to sign in

_FORBIDDEN = 'The specified type of authentication {} is not allowed for this account.'
_UNAUTHORIZED = 'This request is not authorized to perform this operation'

# Azure/BatchExplorer#239; the status, and AAD in the place of SharedKey, are ours.
BATCH_WITHOUT_KEY = {
    'code': 'AuthenticationFailed',
    'detail': _FORBIDDEN.format('SharedKey'),
}
BATCH_WITHOUT_ENTRA = {
    'code': 'AuthenticationFailed',
    'detail': _FORBIDDEN.format('AAD'),
}
# No answer to a missing role was found; this 403 met somebody signed in with Entra ID
# (Azure/BatchExplorer#2203).
BATCH_WITHOUT_ROLE = {
    'code': 'AuthorizationFailure',
    'message': f'{_UNAUTHORIZED}.',
}
# microsoft/AzureStorageExplorer#8090
STORAGE_WITHOUT_KEY = {
    'code': 'KeyBasedAuthenticationNotPermitted',
    'message': 'Key based authentication is not permitted on this storage account.',
}
# Azure/azure-storage-azcopy#1343
STORAGE_WITHOUT_ROLE = {
    'code': 'AuthorizationPermissionMismatch',
    'message': f'{_UNAUTHORIZED} using this permission.',
}


class OnDemand:
    """The calls; `LocalAzure` inherits them.

    `count` is how often it happens; None: until the fault is removed.
    """

    faults: Faults

    # Requests. `path` is a regular expression, searched in path and query as sent; storage paths
    # begin with the account's name. `more` are other fields of RequestFault, e.g. service, status,
    # skip; source=None: the nodes' requests too.

    def fail_requests(
        self,
        method: str,
        path: str,
        count: int | None = 1,
        *,
        retry_after: int | None = None,
        **more: Any,
    ) -> RequestFault:
        """Matching requests are answered with an error in the service's form and not executed."""
        headers = {}
        if retry_after is not None:
            headers['Retry-After'] = str(retry_after)
        fault = RequestFault(method=method, path=path, count=count, headers=headers, **more)
        return self.faults.add(fault)

    def cut_requests(
        self, method: str, path: str, count: int | None = 1, *, where: Where = 'before', **more: Any
    ) -> RequestFault:
        """The connection is closed before anything is executed, after it, or in mid-answer."""
        return self.fail_requests(method, path, count, action='cut', where=where, **more)

    def hang_requests(
        self, method: str, path: str, count: int | None = 1, **more: Any
    ) -> RequestFault:
        """No answer, nothing executed, until the fault ends; then the connection is closed."""
        return self.fail_requests(method, path, count, action='hang', **more)

    def hold_requests(
        self, method: str, path: str, count: int | None = 1, **more: Any
    ) -> RequestFault:
        """Executed and answered only when the fault ends."""
        return self.fail_requests(method, path, count, action='hold', **more)

    def html_requests(
        self, method: str, path: str, count: int | None = 1, *, status: int = 502, **more: Any
    ) -> RequestFault:
        """An HTML page, as from a proxy or gateway in between; nothing is executed."""
        return self.fail_requests(method, path, count, html=True, status=status, **more)

    def set_latency(self, seconds: float) -> None:
        """Every request of a client, to Batch and to storage, takes that much longer."""
        self.faults.latency = seconds

    def clock_offset(self, offset: timedelta) -> None:
        """The clock with which signatures and tokens are checked is off by this much."""
        self.faults.clock_offset = offset

    # Sign-in. Without any of these both services accept keys and, with entra=True, tokens.

    def forbid_shared_key(self, service: Service, *, count: int | None = None) -> RequestFault:
        """The account accepts Entra ID only: no key, and in storage no SAS signed with it."""
        refusal = BATCH_WITHOUT_KEY if service == 'batch' else STORAGE_WITHOUT_KEY
        return self._refuse('SharedKey', service, refusal, count)

    def forbid_entra(self, *, count: int | None = None) -> RequestFault:
        """The Batch account accepts its key only."""
        return self._refuse('Bearer', 'batch', BATCH_WITHOUT_ENTRA, count)

    def deny_role(
        self, service: Service, method: str = '*', path: str = '', *, count: int | None = None
    ) -> RequestFault:
        """The identity has no role for these requests, or for any; keys do not care."""
        refusal = BATCH_WITHOUT_ROLE if service == 'batch' else STORAGE_WITHOUT_ROLE
        return self._refuse('Bearer', service, refusal, count, method, path)

    def _refuse(
        self,
        scheme: Scheme,
        service: Service,
        refusal: Mapping[str, str],
        count: int | None,
        method: str = '*',
        path: str = '',
    ) -> RequestFault:
        fault = RequestFault(
            service=service,
            source=None,
            scheme=scheme,
            method=method,
            path=path,
            count=count,
            status=403,
            code=refusal['code'],
            message=refusal.get('message', ''),
            detail=refusal.get('detail', ''),
        )
        return self.faults.add(fault)

    def bad_tokens(
        self, problem: TokenProblem, service: Service | None = None, *, count: int | None = None
    ) -> BadTokens:
        """The identity endpoint hands out tokens that their service (None: either) will refuse."""
        return self.faults.add(BadTokens(problem, service, count=count))

    # Storage and the account

    def container_being_deleted(
        self, container: str, creates: int = 1, *, now: bool = False
    ) -> ContainerBeingDeleted:
        """After its next deletion (`now`: at once) it cannot be created again.

        The next `creates` attempts get 409 ContainerBeingDeleted.
        """
        return self.faults.add(ContainerBeingDeleted(container, now, count=creates))

    def set_quota(
        self,
        *,
        dedicated_cores: int | None = None,
        low_priority_cores: int | None = None,
        pools: int | None = None,
        jobs: int | None = None,
    ) -> Quota:
        """Limits of the account: what goes beyond them is refused, or not allocated."""
        return self.faults.add(Quota(dedicated_cores, low_priority_cores, pools, jobs))

    # Pools, nodes and tasks

    def fail_allocation(
        self,
        code: str = 'AllocationFailed',
        message: str | None = None,
        *,
        dedicated: bool | None = None,
        allocated: int = 0,
        count: int | None = None,
    ) -> FailedAllocation:
        """Resizes end with this resizeError; only `allocated` nodes come.

        `dedicated`: it concerns one kind of node only.
        """
        return self.faults.add(FailedAllocation(code, message, dedicated, allocated, count=count))

    def slow_allocation(self, seconds: float, *, count: int | None = None) -> SlowAllocation:
        """The pool stays `resizing` that much longer, without nodes."""
        return self.faults.add(SlowAllocation(seconds, count=count))

    def slow_nodes(
        self,
        *,
        creating: float = 0,
        starting: float = 0,
        start_task: float = 0,
        count: int | None = None,
    ) -> SlowNodes:
        """Seconds more in each state, for the next `count` nodes.

        `start_task`: before its command line begins.
        """
        return self.faults.add(SlowNodes(creating, starting, start_task, count=count))

    def fail_start_task(
        self,
        nodes: Literal['all'] | int = 'all',
        *,
        stderr: str = 'E: start task failed\n',
        exit_code: int = 1,
    ) -> FailedStartTask:
        """The start task does not run but fails, with every retry.

        It does so on all nodes, or on the first `nodes` ones.
        """
        return self.faults.add(FailedStartTask(nodes, stderr, exit_code))

    def preempt_node(
        self, task: str = '*', *, after: float = 0, restore: bool = True, count: int | None = 1
    ) -> PreemptedNode:
        """A node that runs this task, now or later, is preempted `after` seconds into it.

        `task`: its id, with wildcards. `restore`: the node comes back.
        """
        return self.faults.add(PreemptedNode(task, after, restore, count=count))

    def make_node_unusable(
        self, task: str = '*', *, after: float = 0, count: int | None = 1
    ) -> UnusableNode:
        """As `preempt_node`, but the node becomes unusable and stays so."""
        return self.faults.add(UnusableNode(task, after, count=count))

    def refuse_upload(self, pattern: str = '*', *, count: int | None = None) -> RefusedUpload:
        """Output files of this task id, or with this blob name (wildcards), are refused."""
        return self.faults.add(RefusedUpload(pattern, count=count))

    def lose_output(
        self, pattern: str = '*', *, empty: bool = False, count: int | None = None
    ) -> LostOutput:
        """Output files of this task id or blob name never arrive, or arrive empty.

        The task succeeds all the same.
        """
        return self.faults.add(LostOutput(pattern, empty, count=count))

    def stale_task_counts(
        self, answers: int | None = None, counts: dict[str, int] | None = None
    ) -> StaleTaskCounts:
        """The next `answers` task counts (None: all) are `counts`, or those of this moment.

        A job that does not exist yet keeps the counts of its first answer.
        """
        return self.faults.add(StaleTaskCounts(counts, count=answers))
