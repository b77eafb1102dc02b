"""Autoscaling: when the service follows a formula. What it gives: `test_autoscale_formulas.py`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import azure.batch.models as models
import pytest
from azure.batch import BatchServiceClient

from tests.local_azure import Delays, LocalAzure
from tests.local_azure.batch.account import Account
from tests.local_azure.batch.errors import BatchError
from tests.local_azure.batch.execution import Outcome
from tests.local_azure.batch.model import Pool
from tests.local_azure.batch.request_properties import JOB, POOL, TASK

from .conftest import a_job, a_pool, a_task, wait_completed, wait_for_nodes, wait_until_steady
from .manual import ManualMachines, ManualTimeline
from .test_autoscale_formulas import TASKS

VERSION = '2025-06-01'
IMAGE = {'publisher': 'canonical', 'offer': 'ubuntu-24_04-lts', 'sku': 'server-gen1'}
TWO = '$TargetLowPriorityNodes=2'
FIVE = '$TargetLowPriorityNodes=5'

# The rules of the service, with a clock that stands still


class ServiceWithPool:
    """An account with one pool of two low-priority nodes, at 2026-01-01 and steady."""

    def __init__(self, **formula: Any) -> None:
        self.timeline = ManualTimeline()
        self.machines = ManualMachines()
        self.account = Account(self.timeline, self.machines)
        size = formula or {'targetLowPriorityNodes': 2}
        self.account.pools.add(a_pool_spec(**size))
        self.timeline.advance(1)

    @property
    def pool(self) -> Pool:
        return self.account.pools.get('pool')

    @property
    def nodes(self) -> int:
        return len(self.pool.nodes)

    def enable(self, formula: str | None = None, interval: str | None = None) -> None:
        spec = {'autoScaleFormula': formula, 'autoScaleEvaluationInterval': interval}
        given = {name: value for name, value in spec.items() if value is not None}
        self.account.pools.enable_autoscale('POOL', given)

    def refusal(self, formula: str | None = None, interval: str | None = None) -> tuple[int, str]:
        with pytest.raises(BatchError) as caught:
            self.enable(formula, interval)
        return caught.value.status, caught.value.code

    def results(self) -> str:
        assert self.pool.autoscale
        return self.pool.autoscale.run.results

    def start_task(self) -> None:
        job = {'id': 'job', 'poolInfo': {'poolId': 'pool'}}
        self.account.jobs.add(JOB.read_body(job, VERSION))
        task = {'id': 'task', 'commandLine': 'x'}
        self.account.jobs.add_task('job', TASK.read_body(task, VERSION))
        assert self.machines.running

    def finish_task(self) -> None:
        (run,) = self.machines.running
        self.machines.finish(run, Outcome(0))


def a_pool_spec(**changes: Any) -> dict[str, Any]:
    machine = {'imageReference': IMAGE, 'nodeAgentSKUId': 'batch.node.ubuntu 24.04'}
    body = {'id': 'pool', 'vmSize': 'standard_a1_v2', 'virtualMachineConfiguration': machine}
    return POOL.read_body({**body, **changes}, VERSION)


@pytest.fixture
def service() -> ServiceWithPool:
    return ServiceWithPool()


def until(seconds: int) -> str:
    """Five nodes until so many seconds after the service's first moment."""
    end = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return f'$TargetLowPriorityNodes = time() < time("{end:%Y-%m-%dT%H:%M:%SZ}") ? 5 : 0'


def scaled(formula: str, **more: Any) -> ServiceWithPool:
    """A service whose pool was created with a formula, a second ago."""
    return ServiceWithPool(enableAutoScale=True, autoScaleFormula=formula, **more)


def test_formula_of_a_new_pool_is_followed_at_once_and_every_15_minutes() -> None:
    """nextflow-io/nextflow AzBatchService; Azure/batch-shipyard issue 138."""
    service = scaled(until(seconds=5))
    assert service.pool.targets == {True: 0, False: 5}
    assert (service.pool.allocation.value, service.nodes) == ('steady', 5)
    modified = service.pool.modified

    service.timeline.advance(898)
    before = service.nodes
    service.timeline.advance(3)

    assert (before, service.nodes) == (5, 0)
    assert service.results().startswith('$TargetDedicatedNodes=0;$TargetLowPriorityNodes=0;')
    assert service.pool.modified == modified


def test_formula_that_is_given_later_is_not_followed_before_the_next_interval(
    service: ServiceWithPool,
) -> None:
    """CDCgov/cfa_azure issue 211; that its result is shown at once: TestPoolAutoscaleVerbs."""
    before = service.pool.modified

    service.enable(FIVE, 'PT5M')

    assert service.results() == (
        '$TargetDedicatedNodes=0;$TargetLowPriorityNodes=5;$NodeDeallocationOption=requeue'
    )
    assert service.pool.modified > before
    service.timeline.advance(299)
    assert (service.pool.allocation.value, service.nodes) == ('steady', 2)
    service.timeline.advance(2)
    assert (service.pool.allocation.value, service.nodes) == ('steady', 5)


def test_formula_that_changes_nothing_begins_no_resize(service: ServiceWithPool) -> None:
    changed = service.pool.allocation_changed

    service.enable(TWO, 'PT5M')
    service.timeline.advance(301)

    assert service.pool.allocation_changed == changed


def test_tests_can_shorten_the_interval_for_present_and_future_formulas() -> None:
    present, future = scaled(until(seconds=5)), ServiceWithPool()

    for service in (present, future):
        service.account.pools.evaluate_autoscale_every(2)
    future.enable(until(seconds=5))

    future.timeline.advance(3)
    assert future.nodes == 5
    for service in (present, future):
        service.timeline.advance(10)
        assert service.nodes == 0


def test_enabling_that_is_refused(
    service: ServiceWithPool,
) -> None:
    service.enable(TWO)
    service.timeline.advance(29)
    service.account.pools.disable_autoscale('pool')
    assert service.refusal(TWO) == (503, 'TooManyEnableAutoScaleRequests')
    service.timeline.advance(2)
    assert service.refusal(interval='PT5M') == (400, 'MissingRequiredProperty')
    for interval in ('PT4M59.9999999S', 'P7DT0.0000001S'):
        assert service.refusal(TWO, interval) == (400, 'InvalidPropertyValue')
    size = {'targetLowPriorityNodes': 3, 'nodeDeallocationOption': 'requeue'}

    service.account.pools.resize('pool', size)

    assert service.refusal(TWO) == (409, 'PoolBeingResized')


def test_creation_is_no_request_to_enable_a_formula() -> None:
    service = scaled(until(seconds=450))

    service.enable(until(seconds=450), 'PT5M')

    service.timeline.advance(601)
    assert service.nodes == 0


def test_refused_request_changes_nothing(service: ServiceWithPool) -> None:
    service.enable(TWO, 'PT6M')
    service.timeline.advance(31)
    modified = service.pool.modified

    assert service.refusal('$TargetLowPriorityNodes=$CPUPercent', 'PT7M') == (501, 'NotImplemented')

    scale = service.pool.autoscale
    assert scale
    assert (scale.formula, scale.interval) == (TWO, 'PT6M')
    assert service.pool.modified == modified
    service.enable(FIVE)  # a refused request does not count
    with pytest.raises(BatchError):
        service.account.pools.add(
            a_pool_spec(id='other', enableAutoScale=True, autoScaleFormula='nodes')
        )
    assert service.account.all_pools() == [service.pool]


def test_formula_alone_can_be_changed_and_the_schedule_goes_on(service: ServiceWithPool) -> None:
    service.enable(TWO, 'PT6M')
    service.timeline.advance(300)

    service.enable(FIVE)

    service.timeline.advance(59)
    assert service.nodes == 2
    service.timeline.advance(3)
    assert service.nodes == 5


def test_interval_alone_can_be_changed_and_begins_a_new_schedule() -> None:
    service = scaled(until(seconds=330), autoScaleEvaluationInterval='PT6M')
    service.timeline.advance(300)

    service.enable(interval='PT10M')

    service.timeline.advance(599)
    assert service.nodes == 5
    service.timeline.advance(3)
    assert service.nodes == 0


def test_pool_with_a_formula_is_not_resized_by_hand_before_it_is_disabled() -> None:
    service = scaled(until(seconds=450), autoScaleEvaluationInterval='PT5M')
    size = {'targetLowPriorityNodes': 1, 'nodeDeallocationOption': 'requeue'}
    modified = service.pool.modified
    with pytest.raises(BatchError) as caught:
        service.account.pools.resize('pool', size)

    service.account.pools.disable_autoscale('pool')
    disabled = service.pool.modified
    service.account.pools.disable_autoscale('pool')

    assert caught.value.status == 409
    assert modified < disabled == service.pool.modified  # the second time changes nothing
    service.timeline.advance(3600)
    assert service.nodes == 5
    service.account.pools.resize('pool', size)


def test_evaluation_applies_nothing_and_needs_a_pool_with_a_formula(
    service: ServiceWithPool,
) -> None:
    formula = {'autoScaleFormula': '$TargetDedicatedNodes=9'}
    with pytest.raises(BatchError) as caught:
        service.account.pools.evaluate_autoscale('pool', formula)
    service.enable(TWO)
    modified = service.pool.modified

    run = service.account.pools.evaluate_autoscale('pool', formula)

    assert caught.value.code == 'OperationInvalidForCurrentState'
    assert run.results == (
        '$TargetDedicatedNodes=9;$TargetLowPriorityNodes=2;$NodeDeallocationOption=requeue'
    )
    service.timeline.advance(3600)
    assert (service.nodes, service.pool.modified) == (2, modified)
    assert '$TargetDedicatedNodes=0' in service.results()


def test_pool_being_deleted_takes_no_formula_and_follows_none(service: ServiceWithPool) -> None:
    service.enable(until(seconds=450), 'PT5M')
    service.timeline.advance(31)
    scale = service.pool.autoscale
    assert scale
    last_run = scale.run

    service.account.pools.delete('pool')

    assert service.refusal(FIVE) == (409, 'PoolBeingDeleted')
    service.timeline.advance(3600)
    assert service.account.all_pools() == []
    assert scale.run is last_run


def test_evaluation_during_a_resize_is_followed_after_it(service: ServiceWithPool) -> None:
    service.account.delays = Delays(autoscale_pause=0, autoscale_interval=2, allocation=5)
    service.enable(until(seconds=4))  # at 1; evaluated at 3, at 5 and so on; resized at 8

    service.timeline.advance(6.5)
    while_resizing = (service.pool.allocation.value, service.pool.targets[False])
    service.timeline.advance(6)

    assert while_resizing == ('resizing', 5)
    assert (service.pool.allocation.value, service.pool.targets[False]) == ('steady', 0)
    assert service.nodes == 0


def test_samples_are_taken_every_30_seconds() -> None:
    """Azure docs, batch-automatic-scaling, "Obtain sample data"."""
    formula = f'x = $RunningTasks.GetSample(99); {TWO}'
    service = scaled(formula, autoScaleEvaluationInterval='PT5M')
    service.timeline.advance(60)
    service.start_task()

    service.timeline.advance(240)

    assert service.results().endswith(';x=[0,0,1,1,1,1,1,1,1]')


def test_evaluation_without_samples_changes_nothing() -> None:
    """Azure docs, batch-automatic-scaling, "Obtain sample data": no change is made to the pool."""
    formula = '$TargetLowPriorityNodes = avg($ActiveTasks.GetSample(10 * TimeInterval_Minute, 40))'
    service = scaled(formula, autoScaleEvaluationInterval='PT5M')

    scale = service.pool.autoscale
    assert scale
    assert scale.run.error
    assert (scale.run.error.code, service.nodes) == ('InsufficientSampleData', 0)
    service.timeline.advance(300)
    assert scale.run.error is None


def test_formula_lets_tasks_finish_before_their_nodes_go(service: ServiceWithPool) -> None:
    """SDK14 ComputeNodeDeallocationOption."""
    service.start_task()
    service.enable('$TargetLowPriorityNodes=0;$NodeDeallocationOption=taskcompletion', 'PT5M')
    service.timeline.advance(600)
    states = [node.state.value for node in service.pool.nodes.values()]
    before = (service.pool.allocation.value, states)

    service.finish_task()
    service.timeline.advance(1)

    assert before == ('resizing', ['leavingpool', 'leavingpool'])
    assert service.account.jobs.task('job', 'task').execution.result == 'success'
    assert (service.pool.allocation.value, service.nodes) == ('steady', 0)


def test_task_on_a_node_that_a_formula_takes_away_is_ended_if_that_is_asked_for(
    service: ServiceWithPool,
) -> None:
    service.start_task()

    service.enable('$TargetLowPriorityNodes=0;$NodeDeallocationOption=terminate', 'PT5M')
    service.timeline.advance(301)

    task = service.account.jobs.task('job', 'task')
    assert (task.state.value, service.nodes) == ('completed', 0)


def test_requeued_task_runs_on_nodes_that_come_again(service: ServiceWithPool) -> None:
    service.start_task()
    service.enable('$TargetLowPriorityNodes=0', 'PT5M')
    service.timeline.advance(301)
    assert service.account.jobs.task('job', 'task').state.value == 'active'

    service.enable('$TargetLowPriorityNodes=1')
    service.timeline.advance(301)
    service.finish_task()

    task = service.account.jobs.task('job', 'task')
    assert (task.execution.result, task.execution.requeues) == ('success', 1)


# With the real client, clock and processes


def test_resize_errors_of_a_new_pool_are_set_by_its_formula(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    """SDK14 CloudPool.resize_errors: those of the last resize, whatever asked for it.

    A resize that has failed is tried again: microsoft/ga4gh-tes issue 313.
    """
    quota = azure.set_quota(low_priority_cores=3)

    client.pool.add(a_pool(enable_auto_scale=True, auto_scale_formula=f'{FIVE};'))
    wait_until_steady(azure)

    pool = client.pool.get('pool')
    (error,) = pool.resize_errors
    assert error.code == 'AccountLowPriorityCoreQuotaReached'
    assert (pool.target_low_priority_nodes, pool.current_low_priority_nodes) == (5, 3)
    assert pool.auto_scale_evaluation_interval == timedelta(minutes=15)
    quota.remove()
    azure.evaluate_autoscale_every(0.1)
    wait_for_nodes(azure, *['idle'] * 5)


def test_pool_grows_and_shrinks_with_its_tasks(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    """Azure docs, batch-automatic-scaling: the formula of its second example."""
    client.pool.add(a_pool(enable_auto_scale=True, auto_scale_formula=TASKS))
    wait_until_steady(azure)
    azure.evaluate_autoscale_every(0.1)
    client.job.add(a_job())

    client.task.add_collection('job', [a_task(f'{number}', 'sleep 1') for number in range(3)])

    wait_completed(azure, 3)
    assert len({task.node_info.node_id for task in client.task.list('job')}) == 3
    wait_for_nodes(azure)


def test_error_of_an_evaluation_is_shown(client: BatchServiceClient) -> None:
    """SDK14 AutoScaleRun; Azure docs, batch-pool-autoscale-event: code and texts."""
    formula = '$TargetDedicatedNodes = max($RunningTasks.GetSample(TimeInterval_Minute, 70));'

    client.pool.add(a_pool(enable_auto_scale=True, auto_scale_formula=formula))

    error: models.AutoScaleRunError = client.pool.get('pool').auto_scale_run.error
    assert error.code == 'InsufficientSampleData'
    assert error.message == 'Autoscale evaluation failed due to insufficient sample data'
    (detail,) = error.values
    assert (detail.name, detail.value) == (
        'Message',
        'Line 1, Col 42: Insufficient data from data set: $RunningTasks wanted 70%, received 0%',
    )


def test_shortened_interval_ends_with_clear(azure: LocalAzure) -> None:
    azure.evaluate_autoscale_every(0.05)

    azure.clear()

    assert azure.batch.delays.autoscale_interval is None
