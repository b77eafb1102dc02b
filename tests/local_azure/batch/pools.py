"""Pools: adding, resizing, quotas, deletion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.local_azure.batch.errors import BatchError
from tests.local_azure.batch.images import VM_SIZES, image_of
from tests.local_azure.batch.model import Node, Pool, Spec
from tests.local_azure.batch.states import AllocationState, NodeState, PoolState
from tests.local_azure.batch.times import SECOND, parse_duration

if TYPE_CHECKING:
    from tests.local_azure.batch.account import Account

_KIND = {True: 'dedicated', False: 'low priority'}  # the words of recorded resizeErrors
_NOT_ALLOCATED = 'Desired number of {kind} nodes could not be allocated'
# Codes: .NET PoolResizeErrorCodes. Texts of ResizeStopped are recorded, the others are quoted by users
# (MicrosoftDocs/azure-docs issue 53298, Azure/batch-shipyard issue 191).
_RESIZE_TEXTS = {
    'AccountCoreQuotaReached': 'The specified account has reached core quota',
    'AccountLowPriorityCoreQuotaReached': 'The specified account has reached low priority core quota',
    'AllocationTimedOut': f'{_NOT_ALLOCATED} as the resize timeout was reached',
    'ResizeStopped': f'{_NOT_ALLOCATED} due to a stop resize operation',
}


class Pools:
    def __init__(self, account: Account) -> None:
        self._account = account
        self.by_key: dict[str, Pool] = {}

    # Operations

    def get(self, pool_id: str) -> Pool:
        if pool := self.by_key.get(pool_id.lower()):
            return pool
        raise BatchError('PoolNotFound')

    def node(self, pool_id: str, node_id: str) -> Node:
        if node := self.get(pool_id).nodes.get(node_id.lower()):
            return node
        raise BatchError('NodeNotFound')

    def add(self, spec: Spec) -> Pool:
        """A new pool, already resizing to its targets (recorded traffic: GET /pools/{id} just after POST)."""
        account = self._account
        with account.lock:
            account.check_new('Pool', spec, self.by_key)
            if account.quota('pools', len(self.by_key) + 1) is not None:
                raise BatchError('PoolQuotaReached')
            targets = {True: spec['targetDedicatedNodes'], False: spec['targetLowPriorityNodes']}
            pool = Pool(
                spec['id'], spec, account.stamp, targets, parse_duration(spec['resizeTimeout'])
            )
            self.by_key[pool.key] = pool
            self._begin_resize(pool)
            return pool

    def patch(self, pool_id: str, spec: Spec) -> Pool:
        """Replaces whole properties, as for a job (SDK14 PoolPatchParameter)."""
        with self._account.lock:
            pool = self._updatable(pool_id)
            pool.modified = self._account.stamp()
            pool.spec = {**pool.spec, **spec}
            return pool

    def resize(self, pool_id: str, spec: Spec) -> Pool:
        """Only of a steady pool (SDK14 pool.resize)."""
        with self._account.lock:
            pool = self._updatable(pool_id)
            if pool.allocation is not AllocationState.steady:
                raise BatchError('PoolBeingResized')
            pool.modified = self._account.stamp()
            pool.targets[True] = spec.get('targetDedicatedNodes', pool.targets[True])
            pool.targets[False] = spec.get('targetLowPriorityNodes', pool.targets[False])
            pool.resize_timeout = parse_duration(spec.get('resizeTimeout', 'PT15M'))
            pool.dealloc = spec['nodeDeallocationOption']
            self._begin_resize(pool)
            return pool

    def stop_resize(self, pool_id: str) -> Pool:
        """First `stopping`, then `steady` with errors; targets stay (recorded traffic: POST /pools/{id}/stopresize)."""
        with self._account.lock:
            pool = self._updatable(pool_id)
            if pool.allocation is not AllocationState.resizing:
                raise BatchError('OperationInvalidForCurrentState')
            pool.allocate(AllocationState.stopping)
            self._account.later(
                pool, self._account.delays.allocation, lambda: self._steady(pool, 'ResizeStopped')
            )
            return pool

    def delete(self, pool_id: str) -> None:
        """Deleting: targets 0, tasks requeued, nodes leave, then the pool is gone.

        SDK14 pool.delete; recorded traffic.
        """
        account = self._account
        with account.lock:
            pool = self._updatable(pool_id)
            pool.move(PoolState.deleting)
            pool.modified, pool.targets, pool.dealloc = pool.changed, {True: 0, False: 0}, 'requeue'
            if pool.allocation is not AllocationState.resizing:
                pool.allocate(AllocationState.resizing)
            account.nodes.leave(pool.nodes.values())
            account.later(pool, account.delays.pool_deleting, lambda: self._deleted(pool))

    def _updatable(self, pool_id: str) -> Pool:
        pool = self.get(pool_id)
        if pool.state is PoolState.deleting:
            raise BatchError('PoolBeingDeleted')
        return pool

    def _deleted(self, pool: Pool) -> None:
        for node in list(pool.nodes.values()):
            self._account.nodes.gone(node)
        del self.by_key[pool.key]

    # Allocation

    def _begin_resize(self, pool: Pool) -> None:
        account = self._account
        pool.allocate(AllocationState.resizing)
        pool.resize_errors = []
        slow = account.faults.take('slow_allocation')
        seconds = account.delays.allocation + (slow.seconds if slow else 0)
        timeout = pool.resize_timeout / SECOND
        if seconds > timeout:
            account.later(pool, timeout, lambda: self._steady(pool, 'AllocationTimedOut'))
        else:
            account.later(pool, seconds, lambda: self._allocate(pool))

    def _allocate(self, pool: Pool) -> None:
        leaving: list[Node] = []
        for dedicated, target in pool.targets.items():
            nodes = [node for node in pool.nodes.values() if node.dedicated is dedicated]
            if len(nodes) < target:
                self._add_nodes(pool, dedicated, target - len(nodes))
            nodes.sort(
                key=lambda node: node.state is not NodeState.running
            )  # the idle ones leave first
            leaving += nodes[target:]
        self._account.nodes.leave(leaving)
        self._account.later(
            pool, self._account.delays.node_leaving if leaving else 0, lambda: self._steady(pool)
        )

    def _steady(self, pool: Pool, error: str | None = None) -> None:
        for node in list(pool.nodes.values()):
            if node.state is NodeState.leaving_pool:
                self._account.nodes.gone(node)
        for dedicated, target in pool.targets.items():
            if error and pool.count(dedicated) != target:
                self._resize_error(pool, error, dedicated)
        pool.allocate(AllocationState.steady)

    def _resize_error(
        self, pool: Pool, code: str, dedicated: bool, message: str | None = None, **values: str
    ) -> None:
        text = message or _RESIZE_TEXTS.get(code, _NOT_ALLOCATED)
        pool.resize_errors.append((code, text.format(kind=_KIND[dedicated]), values))

    def _add_nodes(self, pool: Pool, dedicated: bool, wanted: int) -> None:
        account, size = self._account, VM_SIZES[pool.spec['vmSize']]
        image = image_of(pool.spec['virtualMachineConfiguration']['imageReference'])
        assert image  # the schema has found it
        if image.generation not in size.generations:
            # That the allocation fails is confirmed (Azure-Samples/azure-batch-samples pull request 328); the text is
            # Compute's.
            reason = f"The selected VM size '{pool.spec['vmSize']}' cannot boot Hypervisor Generation '{image.generation}'."
            self._resize_error(pool, 'AllocationFailed', dedicated, Reason=reason)
            return
        if fault := account.faults.take(
            'fail_allocation', lambda fault: fault.dedicated in (None, dedicated)
        ):
            self._resize_error(pool, fault.code, dedicated, fault.message)
            wanted = min(wanted, fault.allocated)
        used = sum(
            VM_SIZES[p.spec['vmSize']].cores * p.count(dedicated) for p in self.by_key.values()
        )
        limit = 'dedicated_cores' if dedicated else 'low_priority_cores'
        if (quota := account.quota(limit, used + wanted * size.cores)) is not None:
            kind = 'AccountCoreQuotaReached' if dedicated else 'AccountLowPriorityCoreQuotaReached'
            self._resize_error(pool, kind, dedicated)
            wanted = max(0, (quota - used) // size.cores)
        for _ in range(wanted):
            account.nodes.create(pool, dedicated)
