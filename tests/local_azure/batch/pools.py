"""Pools: adding, changing, resizing, autoscaling, deletion."""

from __future__ import annotations

from tests.local_azure.batch.autoscale import Autoscaling
from tests.local_azure.batch.errors import BatchError
from tests.local_azure.batch.model import AutoScaleRun, Node, Pool, Spec
from tests.local_azure.batch.nodes import Nodes
from tests.local_azure.batch.resizing import Resizing
from tests.local_azure.batch.shared_state import SharedState
from tests.local_azure.batch.states import AllocationState, PoolState
from tests.local_azure.batch.time_formats import parse_duration


class Pools:
    def __init__(self, shared: SharedState, nodes: Nodes) -> None:
        self._shared = shared
        self._resizing = Resizing(shared, nodes)
        self._autoscaling = Autoscaling(shared, self._resizing)
        self._nodes = nodes
        self.by_key = shared.pools

    # Operations

    def get(self, pool_id: str) -> Pool:
        pool = self.by_key.get(pool_id.lower())
        if pool is None:
            raise BatchError('PoolNotFound')
        return pool

    def node(self, pool_id: str, node_id: str) -> Node:
        node = self.get(pool_id).nodes.get(node_id.lower())
        if node is None:
            raise BatchError('NodeNotFound')
        return node

    def add(self, spec: Spec) -> Pool:
        """A new pool, already resizing to its targets, or to what its formula gives now.

        Recorded traffic: GET /pools/{id} just after POST.
        """
        with self._shared.lock:
            self._check_new(spec['id'])
            targets = {
                True: spec['targetDedicatedNodes'],
                False: spec['targetLowPriorityNodes'],
            }
            timeout = parse_duration(spec['resizeTimeout'])
            pool = Pool(spec['id'], spec, self._shared.stamp, targets, timeout)

            self._autoscaling.begin(pool, spec)
            self.by_key[pool.key] = pool
            self._resizing.begin(pool)
            return pool

    def _check_new(self, pool_id: str) -> None:
        existing = self.by_key.get(pool_id.lower())
        if existing and existing.state is PoolState.deleting:
            raise BatchError('PoolBeingDeleted')
        if existing:
            raise BatchError('PoolExists')

        number = len(self.by_key) + 1
        if self._shared.exceeded_quota('pools', number) is not None:
            raise BatchError('PoolQuotaReached')

    def patch(self, pool_id: str, spec: Spec) -> Pool:
        """Replaces whole properties, as for a job (SDK14 PoolPatchParameter)."""
        with self._shared.lock:
            pool = self._updatable(pool_id)
            pool.modified = self._shared.stamp()
            pool.spec = {**pool.spec, **spec}
            return pool

    def resize(self, pool_id: str, spec: Spec) -> Pool:
        """Only of a steady pool without a formula: both 409 (SDK14 pool.resize)."""
        with self._shared.lock:
            pool = self._updatable(pool_id)
            self._check_no_formula(pool)
            self._check_steady(pool)

            pool.modified = self._shared.stamp()
            pool.targets[True] = spec.get('targetDedicatedNodes', pool.targets[True])
            pool.targets[False] = spec.get('targetLowPriorityNodes', pool.targets[False])
            pool.resize_timeout = parse_duration(spec.get('resizeTimeout', 'PT15M'))
            pool.dealloc = spec['nodeDeallocationOption']
            self._resizing.begin(pool)
            return pool

    def remove_nodes(self, pool_id: str, spec: Spec) -> Pool:
        """Only from a steady pool (SDK14 pool.remove_nodes) without a formula.

        That a pool with a formula refuses: Azure/BatchExplorer issue 2082. The codes are ours.
        """
        with self._shared.lock:
            pool = self._updatable(pool_id)
            self._check_no_formula(pool)
            self._check_steady(pool)
            nodes = {node_id.lower(): self.node(pool_id, node_id) for node_id in spec['nodeList']}

            pool.modified = self._shared.stamp()
            pool.dealloc = spec['nodeDeallocationOption']
            self._resizing.remove(pool, list(nodes.values()))
            return pool

    def stop_resize(self, pool_id: str) -> Pool:
        """Recorded traffic: POST /pools/{id}/stopresize."""
        with self._shared.lock:
            pool = self._updatable(pool_id)
            if pool.allocation is not AllocationState.resizing:
                raise BatchError('OperationInvalidForCurrentState')
            self._resizing.stop(pool)
            return pool

    def delete(self, pool_id: str) -> None:
        """Deleting: targets 0, tasks requeued, nodes leave, then the pool is gone.

        SDK14 pool.delete; recorded traffic.
        """
        with self._shared.lock:
            pool = self._updatable(pool_id)
            pool.move(PoolState.deleting)
            pool.modified = pool.changed
            pool.targets = {True: 0, False: 0}
            pool.dealloc = 'requeue'

            self._autoscaling.end(pool)
            if pool.allocation is not AllocationState.resizing:
                pool.allocate(AllocationState.resizing)
            self._nodes.leave(pool.nodes.values(), pool.dealloc)

            seconds = self._shared.delays.pool_deleting
            self._shared.later(pool, seconds, self._deleted, pool)

    def _deleted(self, pool: Pool) -> None:
        for node in list(pool.nodes.values()):
            self._nodes.gone(node)
        del self.by_key[pool.key]

    def _updatable(self, pool_id: str) -> Pool:
        pool = self.get(pool_id)
        if pool.state is PoolState.deleting:
            raise BatchError('PoolBeingDeleted')
        return pool

    def _check_no_formula(self, pool: Pool) -> None:
        """The code and the text are ours."""
        if pool.autoscale:
            text = 'The pool is configured for automatic scaling and cannot be resized.'
            raise BatchError('OperationInvalidForCurrentState', text)

    def _check_steady(self, pool: Pool) -> None:
        if pool.allocation is not AllocationState.steady:
            raise BatchError('PoolBeingResized')

    # Autoscaling

    def enable_autoscale(self, pool_id: str, spec: Spec) -> Pool:
        """Not during a resize (REST reference, "Enable pool auto scale").

        The code is ours: it is that of another resize.
        """
        with self._shared.lock:
            pool = self._updatable(pool_id)
            self._check_steady(pool)
            self._autoscaling.enable(pool, spec)
            return pool

    def disable_autoscale(self, pool_id: str) -> Pool:
        with self._shared.lock:
            pool = self._updatable(pool_id)
            self._autoscaling.disable(pool)
            return pool

    def evaluate_autoscale(self, pool_id: str, spec: Spec) -> AutoScaleRun:
        with self._shared.lock:
            pool = self._updatable(pool_id)
            return self._autoscaling.try_formula(pool, spec['autoScaleFormula'])

    def evaluate_autoscale_every(self, seconds: float) -> None:
        with self._shared.lock:
            self._autoscaling.evaluate_every(seconds)
