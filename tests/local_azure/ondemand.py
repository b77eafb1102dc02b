"""Everything that a test can make go wrong, each by an explicit call; `LocalAzure` inherits it.

Each call that arms a fault returns it: `hits` counts how often it happened, `check()` fails the test if it never did,
`remove()` ends it. Each takes `count` (None: until removed). All faults end with `LocalAzure.clear()`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Concatenate, Literal, ParamSpec

from typing_extensions import TypedDict, Unpack

from . import faults as kinds
from .account import Account, Quotas
from .faults import AnyFault, Faults, RequestFault, Scheme, Service, Source, Where
from .front import Conditions

P = ParamSpec('P')
_TYPE = 'The specified type of authentication {} is not allowed for this account.'
REFUSALS = {
    # Azure/BatchExplorer#239; the status, and AAD in the place of SharedKey, are ours.
    ('key', 'batch'): {'code': 'AuthenticationFailed', 'detail': _TYPE.format('SharedKey')},
    ('entra', 'batch'): {'code': 'AuthenticationFailed', 'detail': _TYPE.format('AAD')},
    # No answer to a missing role was found; this 403 met somebody signed in with Entra ID (Azure/BatchExplorer#2203).
    ('role', 'batch'): {
        'code': 'AuthorizationFailure',
        'message': 'This request is not authorized to perform this operation.',
    },
    ('key', 'storage'): {  # microsoft/AzureStorageExplorer#8090
        'code': 'KeyBasedAuthenticationNotPermitted',
        'message': 'Key based authentication is not permitted on this storage account.',
    },
    ('role', 'storage'): {  # Azure/azure-storage-azcopy#1343
        'code': 'AuthorizationPermissionMismatch',
        'message': 'This request is not authorized to perform this operation using this permission.',
    },
}


class Options(TypedDict, total=False):
    """Which requests a fault concerns, besides method and path."""

    service: Service  # 'batch' unless given
    skip: int  # so many go well first; 0 unless given
    source: Source | None  # 'client' unless given; None: the nodes' requests too
    scheme: Scheme | None  # how they are authenticated; in whatever way unless given
    status: int  # 503 unless given
    code: str  # 'ServerBusy' unless given


def _arms(kind: Callable[P, AnyFault]) -> Callable[Concatenate[OnDemand, P], AnyFault]:
    """A method that arms a fault of this kind, with the fault's own arguments."""

    def arm(self: OnDemand, /, *values: P.args, **named: P.kwargs) -> AnyFault:
        return self.faults.add(kind(*values, **named))

    return arm


class OnDemand:
    batch: Account
    faults: Faults
    conditions: Conditions
    offset: timedelta

    # Requests. `path` is searched in path and query as sent; storage paths begin with the account's name.

    def fail_requests(
        self, method: str, path: str, count: int | None = 1, *, retry_after: int | None = None, **more: Unpack[Options]
    ) -> RequestFault:
        """Matching requests are answered with an error in the service's form and not executed."""
        headers = {} if retry_after is None else {'Retry-After': str(retry_after)}
        return self.faults.add(RequestFault(method=method, path=path, count=count, headers=headers, **more))

    def cut_requests(
        self, method: str, path: str, count: int | None = 1, *, where: Where = 'before', **more: Unpack[Options]
    ) -> RequestFault:
        """The connection is closed before anything is executed, after it (without an answer), or in mid-answer."""
        return self.faults.add(RequestFault('cut', where, method=method, path=path, count=count, **more))

    def hang_requests(self, method: str, path: str, count: int | None = 1, **more: Unpack[Options]) -> RequestFault:
        """No answer, nothing executed, until the fault is removed or cleared; then the connection is closed."""
        return self.faults.add(RequestFault('hang', method=method, path=path, count=count, **more))

    def html_requests(self, method: str, path: str, count: int | None = 1, **more: Unpack[Options]) -> RequestFault:
        """An HTML page, as from a proxy or gateway in between; nothing is executed. Status 502 unless given."""
        more.setdefault('status', 502)
        return self.faults.add(RequestFault(method=method, path=path, count=count, html=True, **more))

    def set_latency(self, seconds: float) -> None:
        """Every request of a client, to Batch and to storage, takes that much longer."""
        self.conditions.latency = seconds

    def clock_offset(self, offset: timedelta) -> None:
        """The service's clock for checking the date of signatures and tokens is off by this much."""
        self.offset = offset

    # Sign-in. Without any of these both services accept keys and, with entra=True, tokens.

    def forbid_shared_key(self, service: Service, *, count: int | None = None) -> RequestFault:
        """The account accepts Entra ID only: neither its key nor, in storage, a SAS signed with it."""
        return self._refuse('SharedKey', service, count, **REFUSALS['key', service])

    def forbid_entra(self, *, count: int | None = None) -> RequestFault:
        """The Batch account accepts its key only."""
        return self._refuse('Bearer', 'batch', count, **REFUSALS['entra', 'batch'])

    def deny_role(
        self, service: Service, method: str = '*', path: str = '', *, count: int | None = None
    ) -> RequestFault:
        """The identity has no role that allows these requests (all, if none are given); keys do not care."""
        return self._refuse('Bearer', service, count, **REFUSALS['role', service], method=method, path=path)

    def _refuse(self, scheme: Scheme, service: Service, count: int | None, **answer: Any) -> RequestFault:
        return self.faults.add(
            RequestFault(service=service, source=None, scheme=scheme, status=403, count=count, **answer)
        )

    bad_tokens = _arms(kinds.TokenFault)

    # Faults of the services

    def container_being_deleted(self, container: str, creates: int = 1, *, now: bool = False) -> kinds.BeingDeleted:
        """After its next deletion (`now`: at once) the next `creates` creations get 409 ContainerBeingDeleted."""
        return self.faults.add(kinds.BeingDeleted(container=container, count=creates, armed=now))

    def set_quota(
        self,
        *,
        dedicated_cores: int | None = None,
        low_priority_cores: int | None = None,
        pools: int | None = None,
        jobs: int | None = None,
    ) -> None:
        """Limits of the account; what is not given is unlimited."""
        self.batch.quotas = Quotas(dedicated_cores, low_priority_cores, pools, jobs)

    fail_allocation = _arms(kinds.AllocationFault)
    slow_allocation = _arms(kinds.SlowAllocation)
    slow_nodes = _arms(kinds.SlowNodes)

    def fail_start_task(
        self, nodes: Literal['all'] | int = 'all', *, stderr: str = 'E: start task failed\n', exit_code: int = 1
    ) -> kinds.StartTaskFault:
        """The start task does not run but fails, with every retry, on all nodes or on the first `nodes` ones."""
        limit = None if nodes == 'all' else nodes
        return self.faults.add(kinds.StartTaskFault(nodes=limit, exit_code=exit_code, stderr=stderr))

    def preempt_node(
        self, task: str = '*', *, after: float = 0.0, restore: bool = True, count: int | None = 1
    ) -> kinds.NodeLoss:
        """A node that runs this task (id with wildcards), now or later, is preempted `after` seconds into it.

        `restore`: comes back.
        """
        return self._lose_node(kinds.NodeLoss(task=task, unusable=False, after=after, restore=restore, count=count))

    def make_node_unusable(self, task: str = '*', *, after: float = 0.0, count: int | None = 1) -> kinds.NodeLoss:
        """As `preempt_node`, but the node becomes unusable and stays so."""
        return self._lose_node(kinds.NodeLoss(task=task, unusable=True, after=after, restore=False, count=count))

    def _lose_node(self, fault: kinds.NodeLoss) -> kinds.NodeLoss:
        self.faults.add(fault)
        self.batch.nodes.arm_running()
        return fault

    def refuse_upload(self, pattern: str = '*', *, count: int | None = None) -> kinds.OutputFault:
        """Output files of this task id, or with this blob name (wildcards), are refused: FileUploadAccessDenied."""
        return self.faults.add(kinds.OutputFault(pattern=pattern, kind='refused', count=count))

    def lose_output(self, pattern: str = '*', *, empty: bool = False, count: int | None = None) -> kinds.OutputFault:
        """Output files of this task id or blob name never arrive, or arrive empty; the task succeeds all the same."""
        return self.faults.add(kinds.OutputFault(pattern=pattern, kind='empty' if empty else 'lost', count=count))

    def stale_task_counts(self, answers: int | None = None, counts: dict[str, int] | None = None) -> kinds.StaleCounts:
        """The next `answers` task counts (None: all) are `counts`, or those of this moment.

        Zeros for jobs that do not exist yet.
        """
        with self.batch.lock:
            frozen = {job.key: {'tasks': dict(job.counts), 'slots': dict(job.slots)} for job in self.batch.all_jobs()}
        return self.faults.add(kinds.StaleCounts(counts=counts, frozen=frozen, count=answers))
