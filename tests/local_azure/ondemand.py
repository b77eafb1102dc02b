"""Everything that a test can make go wrong, each by an explicit call; `LocalAzure` inherits it.

Each call that arms a fault returns it: `hits` counts how often it happened, `check()` fails the test if it never did,
`remove()` ends it. All faults end with `LocalAzure.clear()`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from typing_extensions import TypedDict, Unpack

from .account import Account, Quotas
from .faults import (
    AllocationFault,
    BeingDeleted,
    Faults,
    NodeLoss,
    OutputFault,
    RequestFault,
    Service,
    SlowAllocation,
    SlowNodes,
    Source,
    StaleCounts,
    StartTaskFault,
)
from .server import Conditions


class Requests(TypedDict, total=False):
    """Which requests a fault concerns, besides method and path."""

    service: Service  # 'batch' unless given
    skip: int  # so many go well first; 0 unless given
    source: Source | None  # 'client' unless given; None: the nodes' requests too


class OnDemand:
    batch: Account
    faults: Faults
    conditions: Conditions
    offset: timedelta

    # Requests. `path_regex` is searched in path and query as sent; storage paths begin with the account's name.
    # `count`: None is all.

    def fail_requests(
        self,
        method: str,
        path_regex: str,
        count: int | None = 1,
        *,
        status: int = 503,
        code: str = 'ServerBusy',
        retry_after: int | None = None,
        **which: Unpack[Requests],
    ) -> RequestFault:
        """Matching requests are answered with an error in the service's form and not executed."""
        answer = {'action': 'answer', 'status': status, 'code': code, 'retry_after': retry_after}
        return self._requests(method, path_regex, count, which, **answer)

    def cut_requests(
        self,
        method: str,
        path_regex: str,
        count: int | None = 1,
        *,
        where: Literal['before', 'after', 'mid-body'] = 'before',
        **which: Unpack[Requests],
    ) -> RequestFault:
        """The connection is closed before anything is executed, after it (without an answer), or in mid-answer."""
        return self._requests(method, path_regex, count, which, action='cut', where=where)

    def hang_requests(
        self, method: str, path_regex: str, count: int | None = 1, **which: Unpack[Requests]
    ) -> RequestFault:
        """No answer, nothing executed, until the fault is removed or cleared; then the connection is closed."""
        return self._requests(method, path_regex, count, which, action='hang')

    def html_requests(
        self, method: str, path_regex: str, count: int | None = 1, *, status: int = 502, **which: Unpack[Requests]
    ) -> RequestFault:
        """An HTML page, as from a proxy or gateway in between; nothing is executed."""
        return self._requests(method, path_regex, count, which, action='answer', status=status, html=True)

    def _requests(self, method: str, path: str, count: int | None, which: Requests, **what: Any) -> RequestFault:
        concerned: Requests = {'service': 'batch', 'source': 'client', **which}
        return self.faults.add(RequestFault(method=method, path=path, count=count, **concerned, **what))

    def set_latency(self, seconds: float) -> None:
        """Every request of a client, to Batch and to storage, takes that much longer."""
        self.conditions.latency = seconds

    def clock_offset(self, offset: timedelta) -> None:
        """The service's clock for checking the date of signatures is off by this much."""
        self.offset = offset

    # Faults of the services

    def container_being_deleted(self, container: str, creates: int = 1, *, now: bool = False) -> BeingDeleted:
        """After its next deletion (`now`: at once) the next `creates` creations get 409 ContainerBeingDeleted."""
        return self.faults.add(BeingDeleted(container=container, creates=creates, count=creates, armed=now))

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

    def fail_allocation(
        self,
        code: str = 'AllocationFailed',
        message: str | None = None,
        *,
        dedicated: bool | None = None,
        allocated: int = 0,
        count: int | None = None,
    ) -> AllocationFault:
        """Resizes end with this resizeError; only `allocated` nodes come. `dedicated`: one kind of node only."""
        return self.faults.add(
            AllocationFault(code=code, message=message, dedicated=dedicated, allocated=allocated, count=count)
        )

    def slow_allocation(self, seconds: float, *, count: int | None = None) -> SlowAllocation:
        """The pool stays `resizing` that much longer, without nodes."""
        return self.faults.add(SlowAllocation(seconds=seconds, count=count))

    def slow_nodes(
        self, *, creating: float = 0, starting: float = 0, start_task: float = 0, count: int | None = None
    ) -> SlowNodes:
        """Seconds more in each state, for the next `count` nodes; `start_task`: before its command line begins."""
        return self.faults.add(SlowNodes(creating=creating, starting=starting, start_task=start_task, count=count))

    def fail_start_task(
        self, nodes: Literal['all'] | int = 'all', *, stderr: str = 'E: start task failed\n', exit_code: int = 1
    ) -> StartTaskFault:
        """The start task does not run but fails, with every retry, on all nodes or on the first `nodes` ones."""
        limit = None if nodes == 'all' else nodes
        return self.faults.add(StartTaskFault(nodes=limit, exit_code=exit_code, stderr=stderr))

    def preempt_node(
        self, task: str = '*', *, after: float = 0.0, restore: bool = True, count: int | None = 1
    ) -> NodeLoss:
        """A node that runs this task (id with wildcards), now or later, is preempted `after` seconds into it.

        `restore`: comes back.
        """
        return self._lose_node(NodeLoss(task=task, unusable=False, after=after, restore=restore, count=count))

    def make_node_unusable(self, task: str = '*', *, after: float = 0.0, count: int | None = 1) -> NodeLoss:
        """As `preempt_node`, but the node becomes unusable and stays so."""
        return self._lose_node(NodeLoss(task=task, unusable=True, after=after, restore=False, count=count))

    def _lose_node(self, fault: NodeLoss) -> NodeLoss:
        self.faults.add(fault)
        self.batch.nodes.arm_running()
        return fault

    def refuse_upload(self, pattern: str = '*', *, count: int | None = None) -> OutputFault:
        """Output files of this task id, or with this blob name (wildcards), are refused: FileUploadAccessDenied."""
        return self.faults.add(OutputFault(pattern=pattern, kind='refused', count=count))

    def lose_output(self, pattern: str = '*', *, empty: bool = False, count: int | None = None) -> OutputFault:
        """Output files of this task id or blob name never arrive, or arrive empty; the task succeeds all the same."""
        return self.faults.add(OutputFault(pattern=pattern, kind='empty' if empty else 'lost', count=count))

    def stale_task_counts(self, answers: int | None = None, counts: dict[str, int] | None = None) -> StaleCounts:
        """The next `answers` task counts (None: all) are `counts`, or those of this moment.

        Zeros for jobs that do not exist yet.
        """
        with self.batch.lock:
            frozen = {job.key: {'tasks': dict(job.counts), 'slots': dict(job.slots)} for job in self.batch.all_jobs()}
        return self.faults.add(StaleCounts(counts=counts, frozen=frozen, count=answers))
