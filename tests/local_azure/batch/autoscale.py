"""Autoscaling: when the formula of a pool is evaluated, and when the pool follows it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.local_azure.batch.autoscale_formula import FormulaResult, evaluate
from tests.local_azure.batch.autoscale_samples import Sample, Samples
from tests.local_azure.batch.autoscale_values import FormulaError, Situation
from tests.local_azure.batch.errors import BatchError, invalid_property
from tests.local_azure.batch.model import AutoScale, AutoScaleRun, Job, Pool, Spec
from tests.local_azure.batch.resizing import Resizing
from tests.local_azure.batch.shared_state import SharedState
from tests.local_azure.batch.states import JobState, NodeState, PoolState
from tests.local_azure.batch.time_formats import SECOND, parse_duration

# Of evaluations (SDK14 PoolEnableAutoScaleParameter.auto_scale_evaluation_interval).
_DEFAULT_INTERVAL = 'PT15M'
_SHORTEST_INTERVAL = 5 * 60 * SECOND
_LONGEST_INTERVAL = 168 * 3600 * SECOND

# Jobs whose active tasks never run any more.
_ENDED = (JobState.terminating, JobState.completed, JobState.deleting)


class Autoscaling:
    def __init__(self, shared: SharedState, resizing: Resizing) -> None:
        self._shared = shared
        self._resizing = resizing

    # What requests ask for

    def begin(self, pool: Pool, spec: Spec) -> None:
        """A formula that a pool is created with is evaluated at once.

        nextflow-io/nextflow AzBatchService, whose default formula has nodes for the first interval
        of a pool; Azure/batch-shipyard issue 138.
        """
        self._plan_sample(pool)
        if spec.get('enableAutoScale'):
            pool.autoscale = self._new_autoscale(pool, spec)
            self._evaluate(pool, pool.autoscale)
            if pool.autoscale.wanted:
                pool.targets = pool.autoscale.wanted.targets
            self._plan_evaluation(pool, pool.autoscale.interval)

    def enable(self, pool: Pool, spec: Spec) -> None:
        """Gives a pool a formula, or changes its formula or interval.

        The formula is checked, and the pool shows what it gives (the .NET client's tests,
        TestPoolAutoscaleVerbs), but follows it only from the next evaluation on: nothing brings
        that forward (CDCgov/cfa_azure issue 211).

        Documented (REST reference, "Enable pool auto scale"): not twice in 30 seconds for one pool,
        with its own code and 503; a new interval begins a new schedule. Ours: only what was
        accepted counts as a call.
        """
        self._check_pause(pool)
        new = self._new_autoscale(pool, spec)

        has_new_interval = 'autoScaleEvaluationInterval' in spec
        is_schedule_new = pool.autoscale is None or has_new_interval
        pool.autoscale = new
        pool.autoscale_enabled = self._shared.stamp()
        pool.modified = pool.autoscale_enabled
        if is_schedule_new:
            self._plan_evaluation(pool, new.interval)

    def disable(self, pool: Pool) -> None:
        """The pool keeps its size. Without a formula nothing changes: ours."""
        if pool.autoscale:
            self._shared.cancel(_evaluations_of(pool))
            pool.autoscale = None
            pool.modified = self._shared.stamp()

    def end(self, pool: Pool) -> None:
        """The pool is being deleted."""
        self._shared.cancel(_evaluations_of(pool))
        self._shared.cancel(_samples_of(pool))

    def try_formula(self, pool: Pool, formula: str) -> AutoScaleRun:
        """What a formula would give, for a pool that has one (SDK14 pool.evaluate_auto_scale)."""
        if pool.autoscale is None:
            # The code and this text are ours.
            text = 'The pool is not configured for automatic scaling.'
            raise BatchError('OperationInvalidForCurrentState', text)
        _, run = self._result(pool, formula)
        return run

    def evaluate_every(self, seconds: float) -> None:
        """From now on, whatever the intervals of the pools are; as often samples are taken."""
        self._shared.delays = replace(
            self._shared.delays, autoscale_interval=seconds, autoscale_sample=seconds
        )
        for pool in self._shared.pools.values():
            if pool.state is PoolState.active:
                self._plan_sample(pool)
                if pool.autoscale:
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
        _, run = self._result(pool, formula)
        return AutoScale(formula, interval, run)

    # Evaluations

    def _plan_evaluation(self, pool: Pool, interval: str) -> None:
        seconds = self._shared.delays.autoscale_interval
        if seconds is None:
            seconds = parse_duration(interval) / SECOND
        self._shared.later(_evaluations_of(pool), seconds, self._evaluate_again, pool)

    def _evaluate_again(self, pool: Pool) -> None:
        """Moves no ETag, as all that the service does by itself.

        A resize that has ended with errors is tried again: a pool that forgets to is called stuck
        (microsoft/ga4gh-tes issue 313); one beyond its quota tries further (Azure/batch-shipyard
        issue 239).
        """
        scale = pool.autoscale
        assert scale  # disabling cancels the plan
        self._evaluate(pool, scale)
        self._resizing.follow_formula(pool, try_again=True)
        self._plan_evaluation(pool, scale.interval)

    def _evaluate(self, pool: Pool, scale: AutoScale) -> None:
        """What the formula gives now is what the pool is to follow; an error changes nothing."""
        result, scale.run = self._result(pool, scale.formula)
        if result:
            scale.wanted = result

    def _result(self, pool: Pool, formula: str) -> tuple[FormulaResult | None, AutoScaleRun]:
        try:
            result = evaluate(formula, self._situation(pool))
        except FormulaError as error:  # what the results are then is ours
            present = FormulaResult(pool.targets[True], pool.targets[False])
            return None, AutoScaleRun(self._shared.stamp(), str(present), error.failure)
        return result, AutoScaleRun(self._shared.stamp(), str(result))

    def _situation(self, pool: Pool) -> Situation:
        period = timedelta(seconds=self._shared.delays.autoscale_sample)
        return Situation(
            self._shared.timeline.now(),
            pool.targets,
            _numbers_of_nodes(pool),
            pool.spec['taskSlotsPerNode'],
            Samples(pool.samples, period),
        )

    # Samples

    def _plan_sample(self, pool: Pool) -> None:
        seconds = self._shared.delays.autoscale_sample
        self._shared.later(_samples_of(pool), seconds, self._take_sample, pool)

    def _take_sample(self, pool: Pool) -> None:
        numbers = {**self._numbers_of_tasks(pool), **_numbers_of_nodes(pool)}
        pool.samples.append(Sample(self._shared.timeline.now(), numbers))
        self._plan_sample(pool)

    def _numbers_of_tasks(self, pool: Pool) -> dict[str, float]:
        """Of all jobs of the pool (Azure docs, batch-automatic-scaling: the variables)."""
        jobs = [job for job in self._shared.jobs.values() if job.pool_key == pool.key]
        active = sum(job.counts['active'] for job in jobs if job.state not in _ENDED)
        running = _sum(jobs, 'running')
        return {
            '$ActiveTasks': float(active),
            '$RunningTasks': running,
            '$PendingTasks': active + running,
            '$SucceededTasks': _sum(jobs, 'succeeded'),
            '$FailedTasks': _sum(jobs, 'failed'),
        }


def _sum(jobs: list[Job], name: str) -> float:
    return float(sum(job.counts[name] for job in jobs))


def _numbers_of_nodes(pool: Pool) -> dict[str, float]:
    preempted = sum(node.state is NodeState.preempted for node in pool.nodes.values())
    return {
        '$CurrentDedicatedNodes': float(pool.count(dedicated=True)),
        '$CurrentLowPriorityNodes': float(pool.count(dedicated=False)),
        '$PreemptedNodeCount': float(preempted),
    }


def _evaluations_of(pool: Pool) -> object:
    """Under this the next evaluation is planned; under the pool itself, its resize."""
    return ('evaluations', pool)


def _samples_of(pool: Pool) -> object:
    return ('samples', pool)


def _check_interval(interval: str) -> None:
    """SDK14 PoolEnableAutoScaleParameter.auto_scale_evaluation_interval."""
    ticks = parse_duration(interval)
    if not _SHORTEST_INTERVAL <= ticks <= _LONGEST_INTERVAL:
        reason = 'the value must be between 5 minutes and 168 hours'
        raise invalid_property('autoScaleEvaluationInterval', reason, interval)
