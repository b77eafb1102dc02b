"""Resizing: how the nodes of a pool come and go, and what keeps them from coming."""

from __future__ import annotations

from tests.local_azure.batch.errors import resize_error
from tests.local_azure.batch.images_and_sizes import VM_SIZES, image_of
from tests.local_azure.batch.model import Node, Pool
from tests.local_azure.batch.nodes import Nodes
from tests.local_azure.batch.shared_state import SharedState
from tests.local_azure.batch.states import AllocationState, NodeState
from tests.local_azure.batch.time_formats import SECOND
from tests.local_azure.faults import FailedAllocation, QuotaName, SlowAllocation

LOOK_FOR_TASKS = 0.1  # seconds between two looks at the tasks of nodes that leave


class Resizing:
    """Brings pools to their targets."""

    def __init__(self, shared: SharedState, nodes: Nodes) -> None:
        self._shared = shared
        self._nodes = nodes

    def begin(self, pool: Pool) -> None:
        pool.allocate(AllocationState.resizing)
        pool.resize_errors = []
        seconds = self._shared.delays.allocation
        slow = self._shared.faults.take(SlowAllocation)
        if slow:
            seconds += slow.seconds

        timeout = pool.resize_timeout / SECOND
        if seconds > timeout:
            self._shared.later(pool, timeout, self._steady, pool, 'AllocationTimedOut')
        else:
            self._shared.later(pool, seconds, self._allocate, pool)

    def stop(self, pool: Pool) -> None:
        """First `stopping`, then `steady` with errors; the targets stay."""
        pool.allocate(AllocationState.stopping)
        seconds = self._shared.delays.allocation
        self._shared.later(pool, seconds, self._steady, pool, 'ResizeStopped')

    def follow_formula(self, pool: Pool, *, try_again: bool = False) -> None:
        """Resizes a pool to what its formula gave last, as soon as it is steady.

        `try_again`: also if the pool has tried to, and its resize has ended with errors.
        """
        if pool.autoscale is None or pool.allocation is not AllocationState.steady:
            return
        wanted = pool.autoscale.wanted
        has_failed = try_again and bool(pool.resize_errors)
        if wanted and (wanted.targets != pool.targets or has_failed):
            pool.targets = wanted.targets
            pool.dealloc = wanted.deallocation
            self.begin(pool)

    def _allocate(self, pool: Pool) -> None:
        leaving: list[Node] = []
        for dedicated, target in pool.targets.items():
            nodes = _nodes_of_kind(pool, dedicated)
            missing = target - len(nodes)
            if missing > 0:
                self._add_nodes(pool, dedicated, missing)

            nodes.sort(key=_is_idle)  # the idle ones come last, and leave
            leaving += nodes[target:]

        self._remove(pool, leaving)

    def remove(self, pool: Pool, nodes: list[Node]) -> None:
        """Takes these nodes away. That the targets get smaller by them is ours."""
        pool.allocate(AllocationState.resizing)
        pool.resize_errors = []
        for node in nodes:
            pool.targets[node.dedicated] = max(0, pool.targets[node.dedicated] - 1)
        self._remove(pool, nodes)

    def _remove(self, pool: Pool, nodes: list[Node]) -> None:
        self._nodes.leave(nodes, pool.dealloc)
        seconds = self._shared.delays.node_leaving if nodes else 0
        self._shared.later(pool, seconds, self._steady, pool)

    def _steady(self, pool: Pool, error: str | None = None) -> None:
        """As soon as the nodes that leave are gone, each of which may wait for its tasks."""
        leaving = [node for node in pool.nodes.values() if node.state is NodeState.leaving_pool]
        if any(node.runs for node in leaving):
            self._shared.later(pool, LOOK_FOR_TASKS, self._steady, pool, error)
            return
        for node in leaving:
            self._nodes.gone(node)

        if error:
            for dedicated, target in pool.targets.items():
                if pool.count(dedicated) != target:
                    _add_resize_error(pool, error, dedicated)

        pool.allocate(AllocationState.steady)
        self.follow_formula(pool)

    def _add_nodes(self, pool: Pool, dedicated: bool, wanted: int) -> None:
        """As many as nothing speaks against; what does is a resize error."""
        reason = _boot_problem(pool)
        if reason:
            _add_resize_error(pool, 'AllocationFailed', dedicated, Reason=reason)
            return

        wanted = self._limit_by_fault(pool, dedicated, wanted)
        wanted = self._limit_by_quota(pool, dedicated, wanted)
        for _ in range(wanted):
            self._nodes.create(pool, dedicated)

    def _limit_by_fault(self, pool: Pool, dedicated: bool, wanted: int) -> int:
        def concerns(fault: FailedAllocation) -> bool:
            return fault.dedicated in (None, dedicated)

        fault = self._shared.faults.take(FailedAllocation, concerns)
        if fault is None:
            return wanted

        _add_resize_error(pool, fault.code, dedicated, fault.message)
        return min(wanted, fault.allocated)

    def _limit_by_quota(self, pool: Pool, dedicated: bool, wanted: int) -> int:
        name: QuotaName = 'dedicated_cores' if dedicated else 'low_priority_cores'
        cores = _cores(pool)
        used = 0
        for other in self._shared.pools.values():
            used += _cores(other) * other.count(dedicated)

        quota = self._shared.exceeded_quota(name, used + wanted * cores)
        if quota is None:
            return wanted

        code = 'AccountCoreQuotaReached'
        if not dedicated:
            code = 'AccountLowPriorityCoreQuotaReached'
        _add_resize_error(pool, code, dedicated)

        cores_left = max(0, quota - used)
        return cores_left // cores


def _nodes_of_kind(pool: Pool, dedicated: bool) -> list[Node]:
    nodes = []
    for node in pool.nodes.values():
        if node.dedicated is dedicated:
            nodes.append(node)
    return nodes


def _is_idle(node: Node) -> bool:
    return node.state is not NodeState.running


def _cores(pool: Pool) -> int:
    size = VM_SIZES[pool.spec['vmSize']]
    return size.cores


def _boot_problem(pool: Pool) -> str | None:
    """Why the image cannot start on this size, in Compute's words.

    That the allocation fails then: Azure-Samples/azure-batch-samples pull request 328.
    """
    size = pool.spec['vmSize']
    machine = pool.spec['virtualMachineConfiguration']
    image = image_of(machine['imageReference'])
    assert image  # it was found when the request was checked

    generation = image.generation
    if generation in VM_SIZES[size].generations:
        return None
    return f"The selected VM size '{size}' cannot boot Hypervisor Generation '{generation}'."


def _add_resize_error(
    pool: Pool, code: str, dedicated: bool, message: str | None = None, **values: str
) -> None:
    pool.resize_errors.append(resize_error(code, dedicated, message, values))
