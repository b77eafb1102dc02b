"""Pools: adding, changing, resizing, autoscaling, deletion."""

from __future__ import annotations

from dataclasses import replace

from tests.local_azure.batch.autoscale import FormulaResult, evaluate
from tests.local_azure.batch.errors import BatchError, invalid_property
from tests.local_azure.batch.model import AutoScale, AutoScaleRun, Node, Pool, Spec
from tests.local_azure.batch.nodes import Nodes
from tests.local_azure.batch.resizing import Resizing
from tests.local_azure.batch.shared_state import SharedState
from tests.local_azure.batch.states import AllocationState, PoolState
from tests.local_azure.batch.time_formats import SECOND, parse_duration

# Of evaluations (SDK14 PoolEnableAutoScaleParameter.auto_scale_evaluation_interval).
_DEFAULT_INTERVAL = 'PT15M'
_SHORTEST_INTERVAL = 5 * 60 * SECOND
_LONGEST_INTERVAL = 168 * 3600 * SECOND


class Pools:
    def __init__(self, shared: SharedState, nodes: Nodes) -> None:
        self._shared = shared
        self._resizing = Resizing(shared, nodes)
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

        Recorded traffic: GET /pools/{id} just after POST. That a formula is evaluated at once:
        nextflow-io/nextflow AzBatchService, whose default formula has nodes for the first interval
        of a pool; Azure/batch-shipyard issue 138.
        """
        with self._shared.lock:
            self._check_new(spec['id'])
            targets = {
                True: spec['targetDedicatedNodes'],
                False: spec['targetLowPriorityNodes'],
            }
            timeout = parse_duration(spec['resizeTimeout'])
            pool = Pool(spec['id'], spec, self._shared.stamp, targets, timeout)

            if spec.get('enableAutoScale'):
                pool.autoscale = self._new_autoscale(pool, spec)
                pool.targets = self._evaluate(pool, pool.autoscale).targets
                self._plan_evaluation(pool, pool.autoscale.interval)

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

            self._shared.cancel(_evaluations_of(pool))
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
        """Gives a pool a formula, or changes its formula or interval.

        The formula is checked, and the pool shows what it gives (the .NET client's tests,
        TestPoolAutoscaleVerbs), but follows it only from the next evaluation on: nothing brings
        that forward (CDCgov/cfa_azure issue 211).

        Documented (REST reference, "Enable pool auto scale"): not during a resize; not twice in 30
        seconds for one pool, with its own code and 503; a new interval begins a new schedule. Ours:
        the code during a resize, which is that of another resize; only what was accepted counts as
        a call.
        """
        with self._shared.lock:
            pool = self._updatable(pool_id)
            self._check_steady(pool)
            self._check_pause(pool)
            new = self._new_autoscale(pool, spec)

            has_new_interval = 'autoScaleEvaluationInterval' in spec
            is_schedule_new = pool.autoscale is None or has_new_interval
            pool.autoscale = new
            pool.autoscale_enabled = self._shared.stamp()
            pool.modified = pool.autoscale_enabled
            if is_schedule_new:
                self._plan_evaluation(pool, new.interval)
            return pool

    def disable_autoscale(self, pool_id: str) -> Pool:
        """The pool keeps its size. Without a formula nothing changes: ours."""
        with self._shared.lock:
            pool = self._updatable(pool_id)
            if pool.autoscale:
                self._shared.cancel(_evaluations_of(pool))
                pool.autoscale = None
                pool.modified = self._shared.stamp()
            return pool

    def evaluate_autoscale(self, pool_id: str, spec: Spec) -> AutoScaleRun:
        """What a formula would give, for a pool that has one (SDK14 pool.evaluate_auto_scale)."""
        with self._shared.lock:
            pool = self._updatable(pool_id)
            if pool.autoscale is None:
                # The code and this text are ours.
                text = 'The pool is not configured for automatic scaling.'
                raise BatchError('OperationInvalidForCurrentState', text)
            result = self._try_formula(pool, spec['autoScaleFormula'])
            return AutoScaleRun(self._shared.stamp(), str(result))

    def evaluate_autoscale_every(self, seconds: float) -> None:
        """From now on, whatever the intervals of the pools are."""
        with self._shared.lock:
            self._shared.delays = replace(self._shared.delays, autoscale_interval=seconds)
            for pool in self.by_key.values():
                if pool.autoscale and pool.state is PoolState.active:
                    self._plan_evaluation(pool, pool.autoscale.interval)

    def _check_pause(self, pool: Pool) -> None:
        if pool.autoscale_enabled is None:
            return
        pause = self._shared.delays.autoscale_pause * SECOND
        end = pool.autoscale_enabled + pause
        if self._shared.stamp() < end:
            raise BatchError('TooManyEnableAutoScaleRequests')

    def _new_autoscale(self, pool: Pool, spec: Spec) -> AutoScale:
        """What a request asks for; what it leaves out stays as it is."""
        formula = None
        interval = _DEFAULT_INTERVAL
        if pool.autoscale:
            formula = pool.autoscale.formula
            interval = pool.autoscale.interval
        formula = spec.get('autoScaleFormula') or formula
        interval = spec.get('autoScaleEvaluationInterval', interval)

        if not formula:  # that it is required is documented, the code is ours
            raise BatchError('MissingRequiredProperty', PropertyName='autoScaleFormula')
        _check_interval(interval)
        result = self._try_formula(pool, formula)
        run = AutoScaleRun(self._shared.stamp(), str(result))
        return AutoScale(formula, interval, run)

    def _evaluate(self, pool: Pool, scale: AutoScale) -> FormulaResult:
        """What the formula gives now is what the pool is to follow."""
        scale.wanted = self._try_formula(pool, scale.formula)
        scale.run = AutoScaleRun(self._shared.stamp(), str(scale.wanted))
        return scale.wanted

    def _try_formula(self, pool: Pool, formula: str) -> FormulaResult:
        now = self._shared.timeline.now()
        return evaluate(formula, now, pool.targets[True], pool.targets[False])

    def _plan_evaluation(self, pool: Pool, interval: str) -> None:
        seconds = self._shared.delays.autoscale_interval
        if seconds is None:
            seconds = parse_duration(interval) / SECOND
        self._shared.later(_evaluations_of(pool), seconds, self._evaluate_again, pool)

    def _evaluate_again(self, pool: Pool) -> None:
        """Moves no ETag, as all that the service does by itself."""
        scale = pool.autoscale
        assert scale  # disabling cancels the plan
        self._evaluate(pool, scale)
        self._resizing.follow_formula(pool)
        self._plan_evaluation(pool, scale.interval)


def _evaluations_of(pool: Pool) -> object:
    """Under this the next evaluation is planned; under the pool itself, its resize."""
    return ('evaluations', pool)


def _check_interval(interval: str) -> None:
    """SDK14 PoolEnableAutoScaleParameter.auto_scale_evaluation_interval."""
    ticks = parse_duration(interval)
    if not _SHORTEST_INTERVAL <= ticks <= _LONGEST_INTERVAL:
        reason = 'the value must be between 5 minutes and 168 hours'
        raise invalid_property('autoScaleEvaluationInterval', reason, interval)
