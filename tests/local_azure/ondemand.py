"""Everything that a test can make go wrong, each by an explicit call; `LocalAzure` inherits it.

Each call that arms a fault returns it: `hits` counts how often it happened, `check()` fails the test if it never did,
`remove()` ends it. Each takes `count` (None: until removed). All faults end with `LocalAzure.clear()`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from inspect import signature
from typing import Any, Concatenate, Literal, ParamSpec

from tests.local_azure.batch.account import Account
from tests.local_azure.batch.model import COUNTERS
from tests.local_azure.faults import Fault, Faults, RequestFault, Service, Where
from tests.local_azure.http_front import Conditions

P = ParamSpec('P')
Problem = Literal['audience', 'expired', 'signature']
_TYPE = 'The specified type of authentication {} is not allowed for this account.'
_UNAUTHORIZED = 'This request is not authorized to perform this operation'
REFUSALS = {
    # Azure/BatchExplorer#239; the status, and AAD in the place of SharedKey, are ours.
    ('key', 'batch'): {'code': 'AuthenticationFailed', 'detail': _TYPE.format('SharedKey')},
    ('entra', 'batch'): {'code': 'AuthenticationFailed', 'detail': _TYPE.format('AAD')},
    # No answer to a missing role was found; this 403 met somebody signed in with Entra ID (Azure/BatchExplorer#2203).
    ('role', 'batch'): {'code': 'AuthorizationFailure', 'message': f'{_UNAUTHORIZED}.'},
    ('key', 'storage'): {  # microsoft/AzureStorageExplorer#8090
        'code': 'KeyBasedAuthenticationNotPermitted',
        'message': 'Key based authentication is not permitted on this storage account.',
    },
    ('role', 'storage'): {  # Azure/azure-storage-azcopy#1343
        'code': 'AuthorizationPermissionMismatch',
        'message': f'{_UNAUTHORIZED} using this permission.',
    },
}


def _arms(call: Callable[Concatenate[Any, P], None]) -> Callable[Concatenate[Any, P], Fault]:
    """The call with this signature arms a fault of its name, with its arguments."""

    def arm(self: OnDemand, /, *arguments: P.args, **named: P.kwargs) -> Fault:
        bound = signature(call).bind(None, *arguments, **named)
        bound.apply_defaults()
        del bound.arguments['self']
        fault = self.faults.add(Fault(call.__name__, **bound.arguments))
        self.batch.nodes.armed(fault)
        return fault

    return arm


class OnDemand:
    batch: Account
    faults: Faults
    conditions: Conditions
    offset: timedelta

    # Requests. `path` is searched in path and query as sent; storage paths begin with the account's name. `more` are
    # other attributes of RequestFault, e.g. service, status, skip; source=None: the nodes' requests too.

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
        headers = {} if retry_after is None else {'Retry-After': str(retry_after)}
        return self.faults.add(
            RequestFault(method=method, path=path, count=count, headers=headers, **more)
        )

    def cut_requests(
        self, method: str, path: str, count: int | None = 1, *, where: Where = 'before', **more: Any
    ) -> RequestFault:
        """The connection is closed before anything is executed, after it (without an answer), or in mid-answer."""
        return self.fail_requests(method, path, count, action='cut', where=where, **more)

    def hang_requests(
        self, method: str, path: str, count: int | None = 1, **more: Any
    ) -> RequestFault:
        """No answer, nothing executed, until the fault is removed or cleared; then the connection is closed."""
        return self.fail_requests(method, path, count, action='hang', **more)

    def hold_requests(
        self, method: str, path: str, count: int | None = 1, **more: Any
    ) -> RequestFault:
        """Executed and answered only when the fault is removed or cleared."""
        return self.fail_requests(method, path, count, action='hold', **more)

    def html_requests(
        self, method: str, path: str, count: int | None = 1, **more: Any
    ) -> RequestFault:
        """An HTML page, as from a proxy or gateway in between; nothing is executed. Status 502 unless given."""
        return self.fail_requests(method, path, count, html=True, **{'status': 502, **more})

    def set_latency(self, seconds: float) -> None:
        """Every request of a client, to Batch and to storage, takes that much longer."""
        self.conditions.latency = seconds

    def clock_offset(self, offset: timedelta) -> None:
        """The service's clock for checking the date of signatures and tokens is off by this much."""
        self.offset = offset

    # Sign-in. Without any of these both services accept keys and, with entra=True, tokens.

    def forbid_shared_key(self, service: Service, *, count: int | None = None) -> RequestFault:
        """The account accepts Entra ID only: neither its key nor, in storage, a SAS signed with it."""
        return self._refuse('key', service, count)

    def forbid_entra(self, *, count: int | None = None) -> RequestFault:
        """The Batch account accepts its key only."""
        return self._refuse('entra', 'batch', count)

    def deny_role(
        self, service: Service, method: str = '*', path: str = '', *, count: int | None = None
    ) -> RequestFault:
        """The identity has no role that allows these requests (all, if none are given); keys do not care."""
        return self._refuse('role', service, count, method=method, path=path)

    def _refuse(
        self, reason: str, service: Service, count: int | None, **where: str
    ) -> RequestFault:
        who = {
            'service': service,
            'source': None,
            'scheme': 'SharedKey' if reason == 'key' else 'Bearer',
        }
        return self.faults.add(
            RequestFault(status=403, count=count, **who, **where, **REFUSALS[reason, service])
        )

    @_arms
    def bad_tokens(
        self, problem: Problem, service: Service | None = None, *, count: int | None = None
    ) -> None:
        """The identity endpoint hands out tokens that their service (None: either) will refuse."""

    # Storage and the account

    def container_being_deleted(
        self, container: str, creates: int = 1, *, now: bool = False
    ) -> Fault:
        """After its next deletion (`now`: at once) the next `creates` creations get 409 ContainerBeingDeleted."""
        return self.faults.add(
            Fault('container_being_deleted', count=creates, container=container, armed=now)
        )

    @_arms
    def set_quota(
        self,
        *,
        dedicated_cores: int | None = None,
        low_priority_cores: int | None = None,
        pools: int | None = None,
        jobs: int | None = None,
    ) -> None:
        """Limits of the account (None: no limit): what goes beyond them is refused, or not allocated."""

    # Pools, nodes and tasks

    @_arms
    def fail_allocation(
        self,
        code: str = 'AllocationFailed',
        message: str | None = None,
        *,
        dedicated: bool | None = None,
        allocated: int = 0,
        count: int | None = None,
    ) -> None:
        """Resizes end with this resizeError; only `allocated` nodes come. `dedicated`: one kind of node only."""

    @_arms
    def slow_allocation(self, seconds: float, *, count: int | None = None) -> None:
        """The pool stays `resizing` that much longer, without nodes."""

    @_arms
    def slow_nodes(
        self,
        *,
        creating: float = 0,
        starting: float = 0,
        start_task: float = 0,
        count: int | None = None,
    ) -> None:
        """Seconds more in each state, for the next `count` nodes; `start_task`: before its command line begins."""

    @_arms
    def fail_start_task(
        self,
        nodes: Literal['all'] | int = 'all',
        *,
        stderr: str = 'E: start task failed\n',
        exit_code: int = 1,
    ) -> None:
        """The start task does not run but fails, with every retry, on all nodes or on the first `nodes` ones."""

    @_arms
    def preempt_node(
        self, task: str = '*', *, after: float = 0, restore: bool = True, count: int | None = 1
    ) -> None:
        """A node that runs this task (id with wildcards), now or later, is preempted `after` seconds into it.

        `restore`: comes back.
        """

    @_arms
    def make_node_unusable(
        self, task: str = '*', *, after: float = 0, count: int | None = 1
    ) -> None:
        """As `preempt_node`, but the node becomes unusable and stays so."""

    @_arms
    def refuse_upload(self, pattern: str = '*', *, count: int | None = None) -> None:
        """Output files of this task id, or with this blob name (wildcards), are refused: FileUploadAccessDenied."""

    @_arms
    def lose_output(
        self, pattern: str = '*', *, empty: bool = False, count: int | None = None
    ) -> None:
        """Output files of this task id or blob name never arrive, or arrive empty; the task succeeds all the same."""

    def stale_task_counts(
        self, answers: int | None = None, counts: dict[str, int] | None = None
    ) -> Fault:
        """The next `answers` task counts (None: all) are `counts`, or those of this moment.

        Zeros for jobs that do not exist yet.
        """
        with self.batch.lock:
            frozen = {job.key: (dict(job.counts), dict(job.slots)) for job in self.batch.all_jobs()}
        stale = {**dict.fromkeys(COUNTERS, 0), **counts} if counts else None
        given = stale and (stale, stale)
        return self.faults.add(
            Fault('stale_task_counts', count=answers, counts=given, frozen=frozen)
        )
