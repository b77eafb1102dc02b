"""Autoscaling: what a formula gives, and when the service follows it; pools that others shrink."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import azure.batch.models as models
import pytest
from azure.batch import BatchServiceClient

from tests.local_azure import Delays, LocalAzure
from tests.local_azure.batch.account import Account
from tests.local_azure.batch.autoscale import FormulaResult, evaluate
from tests.local_azure.batch.errors import BatchError
from tests.local_azure.batch.execution import Outcome
from tests.local_azure.batch.model import Pool

from .conftest import a_job, a_pool, a_task, wait_completed, wait_until_steady
from .manual import ManualMachines, ManualTimeline

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
PRESENT = (2, 3)  # the targets before an evaluation
FIVE_UNTIL_NOON = '$TargetLowPriorityNodes = time() < time("2026-11-25T12:00:00Z") ? 5 : 0;'


def results(formula: str, now: datetime = NOON) -> tuple[int, int]:
    """Numbers of dedicated and of low-priority nodes."""
    result = evaluate(formula, now, *PRESENT)
    return result.dedicated, result.low_priority


# Formulas


@pytest.mark.parametrize(
    ('now', 'nodes'),
    [
        (datetime(2026, 11, 25, 11, 59, 59, tzinfo=UTC), 5),
        (datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC), 0),
    ],
)
def test_formula_gives_nodes_until_its_time(now: datetime, nodes: int) -> None:
    assert results(FIVE_UNTIL_NOON, now) == (2, nodes)


@pytest.mark.parametrize(
    ('formula', 'nodes'),
    [
        ('$TargetDedicatedNodes=7', (7, 3)),
        ('$TargetDedicatedNodes=7;$TargetLowPriorityNodes=8;', (7, 8)),
        ('$TargetDedicatedNodes = 1; $TargetDedicatedNodes = 4;', (4, 3)),
        ('$TargetDedicated = 6; $TargetLowPriority = 7;', (6, 7)),
        ('$TargetDedicatedNodes = 4; $TargetDedicated = 6;', (4, 3)),  # the alias yields
        ('$TargetDedicatedNodes = ((5));', (5, 3)),
        ('', PRESENT),
        (' ;; ', PRESENT),
        ('// nodes; until noon\n$TargetDedicatedNodes // here\n = \n 9; // 10', (9, 3)),
    ],
)
def test_formula_sets_targets(formula: str, nodes: tuple[int, int]) -> None:
    assert results(formula) == nodes


@pytest.mark.parametrize(
    ('expression', 'value'),
    [
        ('1 < 2', 1),
        ('2 < 2', 0),
        ('2 <= 2', 1),
        ('3 > 2', 1),
        ('2 > 2', 0),
        ('2 >= 3', 0),
        ('2 >= 2', 1),
        ('2 == 2', 1),
        ('2 != 2', 0),
        ('0 ? 5 : 6', 6),
        ('7 ? 5 : 6', 5),
        ('0 ? 5 : 1 ? 6 : 7', 6),
        ('1 ? 0 ? 5 : 6 : 7', 6),
        ('(1 < 2) == (3 < 4) ? 5 : 6', 5),
        ('time() == time() ? 5 : 6', 5),
    ],
)
def test_expression_has_value(expression: str, value: int) -> None:
    assert results(f'$TargetDedicatedNodes = {expression}') == (value, 3)


@pytest.mark.parametrize(
    'noon',
    [
        '2026-11-25T12:00:00Z',
        '2026-11-25T12:00Z',
        '2026-11-25T13:30:00+01:30',
        '2026-11-25T12:00:00.0000000Z',
        'Wed, 25 Nov 2026 12:00:00 GMT',
    ],
)
def test_time_is_read_in_the_formats_of_the_service(noon: str) -> None:
    assert results(f'$TargetDedicatedNodes = time() == time("{noon}") ? 5 : 6') == (5, 3)


@pytest.mark.parametrize(
    ('formula', 'part'),
    [
        ('$TargetDedicatedNodes = $PendingTasks.GetSample(1)', '$PendingTasks'),
        ('$TargetDedicatedNodes = min(1, 2)', 'min'),
        ('$TargetDedicatedNodes = 1 + 2', '+'),
        ('$TargetDedicatedNodes = 1.5', '1.5'),
        ('$TargetDedicatedNodes = -1', '-'),
        ('$TargetDedicatedNodes = 1 < 2 && 3 < 4 ? 1 : 2', '&&'),
        ('$TargetDedicatedNodes = 1 < 2 < 3', '<'),
        ('$TargetDedicatedNodes = 99999999999', '99999999999'),
        ('$TargetDedicatedNodes = time()', 'a time'),
        ('$TargetDedicatedNodes = time() < 5', 'a time < a number'),
        ('$TargetDedicatedNodes = time() ? 1 : 2', 'a time before ?'),
        ('$TargetDedicatedNodes = time().weekday == 1 ? 5 : 1', '.weekday'),
        ('$TargetDedicatedNodes = time() - time() < 5', '-'),
        ('$TargetDedicatedNodes = time("2026-11-25")', 'time("2026-11-25")'),
        ('$TargetDedicatedNodes = time("2026-13-25T12:00:00Z")', 'time("2026-13-25T12:00:00Z")'),
        ('$TargetDedicatedNodes = time("2026-11-25T12:00:00.123456789Z")', '123456789'),
        ('$TargetDedicatedNodes =', 'the end'),
        ('$TargetDedicatedNodes', 'the end'),
        ('$TargetDedicatedNodes = (1', 'the end'),
        ('$TargetDedicatedNodes = 1 ? 2', 'the end'),
        ('$TargetDedicatedNodes = "5"', '"5"'),
        ('$TargetDedicatedNodes = "5', '"'),
        ('nodes = 5; $TargetDedicatedNodes = nodes', 'nodes'),
        ('something_useless', 'something_useless'),
        ('$NodeDeallocationOption = taskcompletion', 'taskcompletion'),
        ('$NodeDeallocationOption = retaineddata', 'retaineddata'),
        ('$NodeDeallocationOption = requeue + 5', '+'),
    ],
)
def test_other_formulas_are_not_imitated_and_the_part_is_named(formula: str, part: str) -> None:
    with pytest.raises(BatchError) as caught:
        evaluate(formula, NOON, *PRESENT)

    assert (caught.value.status, caught.value.code) == (501, 'NotImplemented')
    assert part in caught.value.message.partition(':')[2]


def test_formula_beyond_8192_characters_is_refused() -> None:
    longest = '$TargetDedicatedNodes=7;'.ljust(8192)
    assert results(longest) == (7, 3)

    with pytest.raises(BatchError) as caught:
        results(f'{longest} ')

    assert (caught.value.status, caught.value.code) == (400, 'AutoScalingFormulaTooLong')


def test_deallocation_option_is_requeue_unless_it_is_set() -> None:
    assert evaluate(FIVE_UNTIL_NOON, NOON, 0, 0).deallocation == 'requeue'
    assert evaluate('$NodeDeallocationOption=terminate', NOON, 0, 0) == FormulaResult(
        0, 0, 'terminate'
    )


def test_results_are_written_as_the_service_does() -> None:
    result = evaluate('$TargetLowPriorityNodes=3', NOON, 0, 0)

    # Recorded traffic: POST /pools/{id}/evaluateautoscale, 2020-03-01.11.0.
    assert str(result) == (
        '$TargetDedicatedNodes=0;$TargetLowPriorityNodes=3;$NodeDeallocationOption=requeue'
    )


# The rules of the service, with a clock that stands still


class ServiceWithPool:
    """An account with one pool of two low-priority nodes, at 2026-01-01 and steady."""

    def __init__(self, **pool: Any) -> None:
        self.timeline = ManualTimeline()
        self.machines = ManualMachines()
        self.account = Account(self.timeline, self.machines)
        self.account.pools.add(a_pool_spec(**pool))
        self.timeline.advance(1)

    @property
    def pool(self) -> Pool:
        return self.account.pools.get('pool')

    @property
    def nodes(self) -> int:
        return len(self.pool.nodes)

    def enable(self, formula: str | None = None, interval: str | None = None) -> None:
        spec = {}
        if formula is not None:
            spec['autoScaleFormula'] = formula
        if interval is not None:
            spec['autoScaleEvaluationInterval'] = interval
        self.account.pools.enable_autoscale('POOL', spec)

    def refusal(self, formula: str | None = None, interval: str | None = None) -> tuple[int, str]:
        with pytest.raises(BatchError) as caught:
            self.enable(formula, interval)
        return caught.value.status, caught.value.code

    def results(self) -> str:
        assert self.pool.autoscale
        return self.pool.autoscale.run.results


def a_pool_spec(**changes: Any) -> dict[str, Any]:
    image = {'publisher': 'canonical', 'offer': 'ubuntu-24_04-lts', 'sku': 'server-gen1'}
    return {
        'id': 'pool',
        'vmSize': 'standard_a1_v2',
        'virtualMachineConfiguration': {
            'imageReference': image,
            'nodeAgentSKUId': 'batch.node.ubuntu 24.04',
        },
        'resizeTimeout': 'PT15M',
        'targetDedicatedNodes': 0,
        'targetLowPriorityNodes': 2,
        'taskSlotsPerNode': 1,
        'taskSchedulingPolicy': {'nodeFillType': 'Spread'},
        **changes,
    }


@pytest.fixture
def service() -> ServiceWithPool:
    return ServiceWithPool()


def until(seconds: int) -> str:
    """Five nodes until so many seconds after the service's first moment."""
    end = datetime.fromtimestamp(datetime(2026, 1, 1, tzinfo=UTC).timestamp() + seconds, UTC)
    return f'$TargetLowPriorityNodes = time() < time("{end:%Y-%m-%dT%H:%M:%SZ}") ? 5 : 0'


def scaled(formula: str, interval: str = 'PT5M') -> ServiceWithPool:
    """A service whose pool was created with a formula, a second ago."""
    return ServiceWithPool(
        enableAutoScale=True, autoScaleFormula=formula, autoScaleEvaluationInterval=interval
    )


def test_formula_that_is_given_later_is_not_followed_before_the_next_interval(
    service: ServiceWithPool,
) -> None:
    """CDCgov/cfa_azure issue 211; that its result is shown at once: TestPoolAutoscaleVerbs."""
    before = service.pool.modified

    service.enable('$TargetLowPriorityNodes=5', 'PT5M')

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

    service.enable('$TargetLowPriorityNodes=2', 'PT5M')
    service.timeline.advance(301)

    assert service.pool.allocation_changed == changed


def test_formula_is_evaluated_at_each_interval() -> None:
    service = scaled(until(seconds=450))
    service.timeline.advance(301)
    assert service.nodes == 5
    modified = service.pool.modified

    service.timeline.advance(300)

    assert service.nodes == 0
    assert service.results().startswith('$TargetDedicatedNodes=0;$TargetLowPriorityNodes=0;')
    assert service.pool.modified == modified


def test_interval_is_15_minutes_unless_it_is_given() -> None:
    service = ServiceWithPool(enableAutoScale=True, autoScaleFormula=until(seconds=5))
    service.timeline.advance(898)
    assert service.nodes == 5

    service.timeline.advance(3)

    assert service.pool.autoscale
    assert service.pool.autoscale.interval == 'PT15M'
    assert service.nodes == 0


def test_tests_can_shorten_the_interval() -> None:
    service = scaled(until(seconds=5))

    service.account.pools.evaluate_autoscale_every(2)

    service.timeline.advance(10)
    assert service.nodes == 0


def test_shortened_interval_holds_for_formulas_to_come(service: ServiceWithPool) -> None:
    service.account.pools.evaluate_autoscale_every(2)

    service.enable(until(seconds=5))

    service.timeline.advance(3)
    assert service.nodes == 5
    service.timeline.advance(4)
    assert service.nodes == 0


@pytest.mark.parametrize('interval', ['PT4M59.9999999S', 'P7DT0.0000001S'])
def test_interval_beyond_its_limits_is_refused(service: ServiceWithPool, interval: str) -> None:
    assert service.refusal('$TargetLowPriorityNodes=5', interval) == (400, 'InvalidPropertyValue')
    assert service.pool.autoscale is None


@pytest.mark.parametrize('interval', ['PT5M', 'P7D'])
def test_interval_at_its_limits_is_accepted(service: ServiceWithPool, interval: str) -> None:
    service.enable('$TargetLowPriorityNodes=5', interval)

    assert service.pool.autoscale


def test_enabling_during_a_resize_is_refused(service: ServiceWithPool) -> None:
    service.account.pools.resize(
        'pool', {'targetLowPriorityNodes': 3, 'nodeDeallocationOption': 'requeue'}
    )

    assert service.refusal('$TargetLowPriorityNodes=5') == (409, 'PoolBeingResized')


def test_enabling_twice_in_30_seconds_is_refused(service: ServiceWithPool) -> None:
    service.enable('$TargetLowPriorityNodes=2')
    service.timeline.advance(29)
    service.account.pools.disable_autoscale('pool')

    too_soon = service.refusal('$TargetLowPriorityNodes=2')
    service.timeline.advance(2)
    service.enable('$TargetLowPriorityNodes=2')

    assert too_soon == (503, 'TooManyEnableAutoScaleRequests')


def test_pause_between_two_requests_can_be_shortened(service: ServiceWithPool) -> None:
    service.account.delays = Delays(autoscale_pause=0)

    service.enable('$TargetLowPriorityNodes=2')
    service.enable('$TargetLowPriorityNodes=2')

    assert service.pool.autoscale


def test_enabling_without_a_formula_is_refused_where_there_is_none(
    service: ServiceWithPool,
) -> None:
    assert service.refusal(interval='PT5M') == (400, 'MissingRequiredProperty')


def test_refused_request_changes_nothing(service: ServiceWithPool) -> None:
    service.enable('$TargetLowPriorityNodes=2', 'PT6M')
    service.timeline.advance(31)
    modified = service.pool.modified

    assert service.refusal('$TargetLowPriorityNodes=min(1,2)', 'PT7M') == (501, 'NotImplemented')

    scale = service.pool.autoscale
    assert scale
    assert (scale.formula, scale.interval) == ('$TargetLowPriorityNodes=2', 'PT6M')
    assert service.pool.modified == modified
    service.enable('$TargetLowPriorityNodes=3')  # a refused request does not count


def test_formula_alone_can_be_changed_and_the_schedule_goes_on(service: ServiceWithPool) -> None:
    service.enable('$TargetLowPriorityNodes=2', 'PT6M')
    service.timeline.advance(300)

    service.enable('$TargetLowPriorityNodes=5')

    assert service.pool.autoscale
    assert service.pool.autoscale.interval == 'PT6M'
    service.timeline.advance(59)
    assert service.nodes == 2
    service.timeline.advance(3)
    assert service.nodes == 5


def test_interval_alone_can_be_changed_and_begins_a_new_schedule() -> None:
    service = scaled(until(seconds=330), 'PT6M')
    service.timeline.advance(300)

    service.enable(interval='PT10M')

    assert service.pool.autoscale
    assert service.pool.autoscale.formula == until(seconds=330)
    service.timeline.advance(599)
    assert service.nodes == 5
    service.timeline.advance(3)
    assert service.nodes == 0


def test_pool_with_a_formula_is_not_resized_by_hand(service: ServiceWithPool) -> None:
    service.enable('$TargetLowPriorityNodes=2')
    smaller = {'targetLowPriorityNodes': 0, 'nodeDeallocationOption': 'requeue'}

    with pytest.raises(BatchError) as caught:
        service.account.pools.resize('pool', smaller)

    assert caught.value.status == 409
    service.account.pools.disable_autoscale('pool')
    service.account.pools.resize('pool', smaller)


def test_disabling_keeps_the_size() -> None:
    service = scaled(until(seconds=450))
    modified = service.pool.modified

    service.account.pools.disable_autoscale('pool')

    assert service.pool.autoscale is None
    assert service.pool.modified > modified
    service.timeline.advance(3600)
    assert service.nodes == 5


def test_disabling_what_is_disabled_changes_nothing(service: ServiceWithPool) -> None:
    modified = service.pool.modified

    service.account.pools.disable_autoscale('pool')

    assert service.pool.modified == modified


def test_evaluation_gives_results_and_applies_nothing(service: ServiceWithPool) -> None:
    service.enable('$TargetLowPriorityNodes=2')
    modified = service.pool.modified

    run = service.account.pools.evaluate_autoscale(
        'pool', {'autoScaleFormula': '$TargetDedicatedNodes=9'}
    )

    assert run.results == (
        '$TargetDedicatedNodes=9;$TargetLowPriorityNodes=2;$NodeDeallocationOption=requeue'
    )
    assert run.error is None
    service.timeline.advance(3600)
    assert (service.nodes, service.pool.modified) == (2, modified)
    assert '$TargetDedicatedNodes=0' in service.results()


def test_evaluation_needs_a_pool_with_a_formula(service: ServiceWithPool) -> None:
    with pytest.raises(BatchError) as caught:
        service.account.pools.evaluate_autoscale('pool', {'autoScaleFormula': ''})

    assert caught.value.code == 'OperationInvalidForCurrentState'


@pytest.mark.parametrize('operation', ['enable_autoscale', 'evaluate_autoscale'])
def test_operations_name_a_pool_that_is_missing(service: ServiceWithPool, operation: str) -> None:
    spec = {'autoScaleFormula': '$TargetLowPriorityNodes=2'}

    with pytest.raises(BatchError) as caught:
        getattr(service.account.pools, operation)('none', spec)

    assert caught.value.code == 'PoolNotFound'


def test_pool_being_deleted_takes_no_formula_and_follows_none(service: ServiceWithPool) -> None:
    service.enable(until(seconds=450), 'PT5M')
    service.timeline.advance(31)
    scale = service.pool.autoscale
    assert scale
    last_run = scale.run

    service.account.pools.delete('pool')

    assert service.refusal('$TargetLowPriorityNodes=5') == (409, 'PoolBeingDeleted')
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


def test_formula_of_a_new_pool_is_evaluated_at_once_and_its_nodes_come() -> None:
    """nextflow-io/nextflow AzBatchService; Azure/batch-shipyard issue 138."""
    service = scaled(until(seconds=450))

    assert service.pool.targets == {True: 0, False: 5}
    assert (service.pool.allocation.value, service.nodes) == ('steady', 5)
    assert service.results().startswith('$TargetDedicatedNodes=0;$TargetLowPriorityNodes=5;')


def test_creation_is_no_request_to_enable_a_formula() -> None:
    service = scaled(until(seconds=450))

    service.enable(until(seconds=450), 'PT5M')

    service.timeline.advance(601)
    assert service.nodes == 0


def test_pool_is_not_created_with_a_formula_that_is_not_imitated(service: ServiceWithPool) -> None:
    spec = a_pool_spec(id='other', enableAutoScale=True, autoScaleFormula='nodes = 5')

    with pytest.raises(BatchError) as caught:
        service.account.pools.add(spec)

    assert caught.value.code == 'NotImplemented'
    assert [pool.id for pool in service.account.all_pools()] == ['pool']


@pytest.mark.parametrize(('option', 'state'), [('requeue', 'active'), ('terminate', 'completed')])
def test_tasks_on_nodes_that_a_formula_takes_away(
    service: ServiceWithPool, option: str, state: str
) -> None:
    start_task(service.account)
    formula = f'$TargetLowPriorityNodes=0;$NodeDeallocationOption={option}'

    service.enable(formula, 'PT5M')
    service.timeline.advance(301)

    task = service.account.jobs.task('job', 'task')
    assert (task.state.value, service.nodes) == (state, 0)


def test_requeued_task_runs_on_nodes_that_come_again(service: ServiceWithPool) -> None:
    start_task(service.account)
    service.enable('$TargetLowPriorityNodes=0', 'PT5M')
    service.timeline.advance(301)

    service.enable('$TargetLowPriorityNodes=1')
    service.timeline.advance(301)
    (run,) = service.machines.running
    service.machines.finish(run, Outcome(0))

    task = service.account.jobs.task('job', 'task')
    assert (task.execution.result, task.execution.requeues) == ('success', 1)


def start_task(account: Account) -> None:
    no_limit = 'P10675199DT2H48M5.4775807S'
    account.jobs.add(
        {
            'id': 'job',
            'poolInfo': {'poolId': 'pool'},
            'priority': 0,
            'maxParallelTasks': -1,
            'onAllTasksComplete': 'noaction',
            'constraints': {'maxWallClockTime': no_limit, 'maxTaskRetryCount': 0},
        }
    )
    task = account.jobs.add_task('job', {'id': 'task', 'commandLine': 'x', 'requiredSlots': 1})
    assert task.state.value == 'running'


# With the real client, clock and processes


def test_resize_errors_of_a_new_pool_are_set_by_its_formula(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    """SDK14 CloudPool.resize_errors: those of the last resize, whatever asked for it."""
    azure.set_quota(low_priority_cores=3)
    interval = timedelta(minutes=5)

    client.pool.add(
        a_pool(
            enable_auto_scale=True,
            auto_scale_formula='$TargetLowPriorityNodes = 5;',
            auto_scale_evaluation_interval=interval,
        )
    )
    wait_until_steady(azure)

    pool = client.pool.get('pool')
    (error,) = pool.resize_errors
    assert error.code == 'AccountLowPriorityCoreQuotaReached'
    assert (pool.target_low_priority_nodes, pool.current_low_priority_nodes) == (5, 3)
    assert (pool.enable_auto_scale, pool.auto_scale_evaluation_interval) == (True, interval)
    assert '$TargetLowPriorityNodes=5' in pool.auto_scale_run.results


def test_tasks_run_on_nodes_that_the_formula_of_a_new_pool_brings(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    formula = '$TargetLowPriorityNodes = time() < time("2100-01-01T00:00:00Z") ? 1 : 0;'
    client.job.add(a_job())
    client.task.add('job', a_task())

    client.pool.add(a_pool(enable_auto_scale=True, auto_scale_formula=formula))

    wait_completed(azure, 1)


def test_shortened_interval_ends_with_clear(azure: LocalAzure) -> None:
    pools = azure.batch.pools
    pools.add(a_pool_spec())
    azure.wait_until(lambda: pools.get('pool').allocation.value == 'steady')

    azure.evaluate_autoscale_every(0.05)
    pools.enable_autoscale('pool', {'autoScaleFormula': '$TargetLowPriorityNodes=2'})

    pool = pools.get('pool')
    assert pool.autoscale
    first = pool.autoscale.run.timestamp
    azure.wait_until(lambda: pool.autoscale and pool.autoscale.run.timestamp > first)
    azure.clear()
    assert azure.batch.delays.autoscale_interval is None


def start_endless_task(azure: LocalAzure, folder: Path) -> int:
    """A pool of one node, on which it runs; its process id."""
    client = azure.batch_client()
    client.pool.add(a_pool(target_low_priority_nodes=1))
    client.job.add(a_job())
    file = folder / 'pid'
    command = f'bash -c "echo $$ > {file}.new; mv {file}.new {file}; exec sleep 600"'
    client.task.add('job', a_task(command_line=command))
    azure.wait_until(file.exists)
    azure.wait_until(lambda: client.pool.get('pool').allocation_state == 'steady')
    return int(file.read_text())


def is_alive(process: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(process, 0)
        return True
    return False


def test_pool_shrunk_to_nothing_ends_the_process_and_requeues_the_task(
    azure: LocalAzure, client: BatchServiceClient, tmp_path: Path
) -> None:
    process = start_endless_task(azure, tmp_path)

    client.pool.resize('pool', models.PoolResizeParameter(target_low_priority_nodes=0))

    azure.wait_until(lambda: not is_alive(process), describe='the end of the process')
    azure.wait_until(lambda: not list(client.compute_node.list('pool')))
    task = client.task.get('job', 'task')
    assert (task.state.value, task.execution_info.requeue_count) == ('active', 1)


def test_deletion_of_a_running_task_ends_its_process_and_frees_its_node(
    azure: LocalAzure, client: BatchServiceClient, tmp_path: Path
) -> None:
    process = start_endless_task(azure, tmp_path)

    client.task.delete('job', 'task')

    azure.wait_until(lambda: not is_alive(process), describe='the end of the process')
    (node,) = client.compute_node.list('pool')
    assert node.state == models.ComputeNodeState.idle
    assert client.job.get_task_counts('job').task_counts.running == 0
