"""What autoscale formulas give: those of Microsoft's article, Nextflow's, and their parts.

Azure docs, batch-automatic-scaling. Where a test has another source, it says so.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.local_azure.batch.autoscale_formula import FormulaResult, evaluate
from tests.local_azure.batch.autoscale_samples import METRICS, Sample, Samples
from tests.local_azure.batch.autoscale_values import FormulaError, Situation
from tests.local_azure.batch.errors import BatchError

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
PRESENT = (2, 3)  # the targets before an evaluation
NODES = {
    '$CurrentDedicatedNodes': 4.0,
    '$CurrentLowPriorityNodes': 6.0,
    '$PreemptedNodeCount': 1.0,
}
FIVE_UNTIL_NOON = '$TargetLowPriorityNodes = time() < time("2026-11-25T12:00:00Z") ? 5 : 0;'


def situation(now: datetime = NOON, **samples: list[int]) -> Situation:
    """Slots are 4. `samples`: without their $, what was seen every 30 seconds until now."""
    length = max(map(len, samples.values()), default=0)
    history = []
    for index in range(length):
        numbers = dict.fromkeys(METRICS, 0.0)
        for name, values in samples.items():
            numbers[f'${name}'] = float(values[index])
        age = timedelta(seconds=30) * (length - 1 - index)
        history.append(Sample(now - age, numbers))
    targets = {True: PRESENT[0], False: PRESENT[1]}
    return Situation(now, targets, NODES, slots=4, samples=Samples(history))


def results(formula: str, now: datetime = NOON, **samples: list[int]) -> tuple[int, int]:
    """Numbers of dedicated and of low-priority nodes."""
    result = evaluate(formula, situation(now, **samples))
    return result.dedicated, result.low_priority


# Formulas that people use

PENDING_TASKS = """
startingNumberOfVMs = 1;
maxNumberofVMs = 25;
pendingTaskSamplePercent = $PendingTasks.GetSamplePercent(180 * TimeInterval_Second);
pendingTaskSamples = pendingTaskSamplePercent < 70 ? startingNumberOfVMs
    : avg($PendingTasks.GetSample(180 * TimeInterval_Second));
$TargetDedicatedNodes=min(maxNumberofVMs, pendingTaskSamples);
$NodeDeallocationOption = taskcompletion;
"""
PREEMPTED_NODES = """
maxNumberofVMs = 25;
$TargetDedicatedNodes = min(
    maxNumberofVMs, $PreemptedNodeCount.GetSample(180 * TimeInterval_Second)
);
$TargetLowPriorityNodes = min(maxNumberofVMs , maxNumberofVMs - $TargetDedicatedNodes);
$NodeDeallocationOption = taskcompletion;
"""
WORKING_HOURS = """
$curTime = time();
$workHours = $curTime.hour >= 8 && $curTime.hour < 18;
$isWeekday = $curTime.weekday >= 1 && $curTime.weekday <= 5;
$isWorkingWeekdayHour = $workHours && $isWeekday;
$TargetDedicatedNodes = $isWorkingWeekdayHour ? 20:10;
"""
TASKS = """
// Get pending tasks for the past 15 minutes.
$samples = $PendingTasks.GetSamplePercent(TimeInterval_Minute * 15);
$tasks = $samples < 70 ? max(0,$PendingTasks.GetSample(1)) : max(
    $PendingTasks.GetSample(1), avg($PendingTasks.GetSample(TimeInterval_Minute * 15)));
$targetVMs = $tasks > 0? $tasks:max(0, $TargetDedicatedNodes/2);
$TargetDedicatedNodes = max(0, min($targetVMs, 20));
$NodeDeallocationOption = taskcompletion;
"""
PARALLEL_TASKS = """
$samples = $ActiveTasks.GetSamplePercent(TimeInterval_Minute * 15);
$tasks = $samples < 70 ? max(0,$ActiveTasks.GetSample(1)) : max(
    $ActiveTasks.GetSample(1),avg($ActiveTasks.GetSample(TimeInterval_Minute * 15)));
$cores = $TargetDedicatedNodes * 4;
$extraVMs = (($tasks - $cores) + 3) / 4;
$targetVMs = ($TargetDedicatedNodes + $extraVMs);
$TargetDedicatedNodes = max(0,min($targetVMs,3));
$NodeDeallocationOption = taskcompletion;
"""
INITIAL_SIZE = """
$TargetDedicatedNodes = 4;
lifespan         = time() - time("Wed, 25 Nov 2026 12:00:00 GMT");
span             = TimeInterval_Minute * 60;
startup          = TimeInterval_Minute * 10;
ratio            = 50;

$TargetDedicatedNodes = (lifespan > startup ? (max($RunningTasks.GetSample(span, ratio),
    $ActiveTasks.GetSample(span, ratio)) == 0 ? 0 : $TargetDedicatedNodes) : 4);
"""
# nextflow-io/nextflow AzBatchService, with 5 nodes at first, 50 at most, and its interval.
NEXTFLOW = """
// Get pool lifetime since creation.
lifespan = time() - time("2026-11-25T12:00:00.123456Z");
interval = TimeInterval_Minute * 5;

// Compute the target nodes based on pending tasks.
// $PendingTasks == The sum of $ActiveTasks and $RunningTasks
$samples = $PendingTasks.GetSamplePercent(interval);
$tasks = $samples < 70 ? max(0, $PendingTasks.GetSample(1)) : max( $PendingTasks.GetSample(1),
    avg($PendingTasks.GetSample(interval)));
$targetVMs = $tasks > 0 ? $tasks : max(0, $TargetDedicatedNodes/2);
targetPoolSize = max(0, min($targetVMs, 50));

// For first interval deploy 1 node, for other intervals scale up/down as per tasks.
$TargetDedicatedNodes = lifespan < interval ? 5 : targetPoolSize;
$NodeDeallocationOption = taskcompletion;
"""


def test_pending_tasks_of_the_article() -> None:
    assert results(PENDING_TASKS) == (1, 3)
    assert results(PENDING_TASKS, PendingTasks=[9, 9, 9, 9]) == (1, 3)  # 4 of 6 samples
    assert results(PENDING_TASKS, PendingTasks=[2, 2, 2, 4, 4, 4]) == (3, 3)
    assert results(PENDING_TASKS, PendingTasks=[99] * 6) == (25, 3)
    assert evaluate(PENDING_TASKS, situation()).deallocation == 'taskcompletion'


def test_preempted_nodes_of_the_article() -> None:
    assert results(PREEMPTED_NODES) == (25, 0)
    assert results(PREEMPTED_NODES, PreemptedNodeCount=[3, 2, 4]) == (2, 23)


@pytest.mark.parametrize(
    ('day', 'hour', 'nodes'),
    [
        (27, 7, 10),
        (27, 8, 20),
        (27, 17, 20),
        (27, 18, 10),
        (28, 12, 10),  # a Saturday
        (29, 12, 10),
        (30, 12, 20),
    ],
)
def test_working_hours_of_the_article(day: int, hour: int, nodes: int) -> None:
    assert results(WORKING_HOURS, datetime(2026, 11, day, hour, tzinfo=UTC)) == (nodes, 3)


def test_task_based_adjustment_of_the_article() -> None:
    assert results(TASKS) == (1, 3)  # half of the 2 nodes
    assert results(TASKS, PendingTasks=[7]) == (7, 3)
    assert results(TASKS, PendingTasks=[10] * 29 + [4]) == (9, 3)  # the average is 9.8
    assert results(TASKS, PendingTasks=[10] * 29 + [40]) == (20, 3)


def test_parallel_tasks_of_the_article() -> None:
    assert results(PARALLEL_TASKS, ActiveTasks=[8]) == (2, 3)  # 2 nodes of 4 slots are enough
    assert results(PARALLEL_TASKS, ActiveTasks=[9]) == (3, 3)
    assert results(PARALLEL_TASKS, ActiveTasks=[0]) == (0, 3)


def test_initial_size_of_the_article() -> None:
    later = NOON + timedelta(minutes=61)
    idle = [0] * 120
    assert results(INITIAL_SIZE, NOON + timedelta(minutes=10)) == (4, 3)
    assert results(INITIAL_SIZE, later, RunningTasks=idle, ActiveTasks=idle) == (0, 3)
    assert results(INITIAL_SIZE, later, RunningTasks=[*idle[1:], 1], ActiveTasks=idle) == (4, 3)


def test_formula_of_nextflow() -> None:
    later = NOON + timedelta(minutes=6)
    assert results(NEXTFLOW, NOON + timedelta(minutes=4)) == (5, 3)
    assert results(NEXTFLOW, later, PendingTasks=[7]) == (7, 3)
    assert results(NEXTFLOW, later, PendingTasks=[99] * 10) == (50, 3)
    assert results(NEXTFLOW, later, PendingTasks=[0] * 10) == (1, 3)


def test_too_few_samples_are_an_error_with_the_place() -> None:
    """Azure docs, batch-pool-autoscale-event: code and texts."""
    formula = '\n$TargetDedicatedNodes =\n  max($RunningTasks.GetSample(TimeInterval_Minute, 70));'

    with pytest.raises(FormulaError) as caught:
        results(formula, RunningTasks=[1])

    failure = caught.value.failure
    assert failure.code == 'InsufficientSampleData'
    assert failure.message == 'Autoscale evaluation failed due to insufficient sample data'
    assert failure.details == (
        (
            'Message',
            'Line 3, Col 20: Insufficient data from data set: $RunningTasks wanted 70%, '
            'received 50%',
        ),
    )


@pytest.mark.parametrize('function', ['min', 'max', 'avg'])
def test_nothing_has_no_least_and_no_average(function: str) -> None:
    """Ours."""
    with pytest.raises(FormulaError):
        results(f'$TargetDedicatedNodes = {function}($PendingTasks.GetSample(1))')


def test_branch_that_is_not_taken_is_not_evaluated() -> None:
    assert results('$TargetDedicatedNodes = 1 ? 5 : avg($PendingTasks.GetSample(1))') == (5, 3)


# Parts of formulas


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
        ('1 + 2 * 3 - 4 / 2', 5),
        ('(1 + 2) * 3', 9),
        ('10 - 4 - 3', 3),
        ('8 / 2 / 2', 2),
        ('7 / 2', 3),
        ('1.5 + 1.5', 3),
        ('-2 + 5', 3),
        ('--4', 4),
        ('!0 + !7', 1),
        ('1 - 5', 0),  # a number of nodes is not negative: ours
        ('1 && 2', 1),
        ('1 && 0', 0),
        ('0 || 7', 1),
        ('0 && 0 || 1', 1),
        ('1 < 2 && 3 < 4', 1),
        ('1 + 1 < 3 ? 5 : 6', 5),
        ('1 < 2 < 3', 1),
        ('min(4, 2, 3)', 2),
        ('max(4, 2, 3)', 4),
        ('avg(1, 2, 6)', 3),
        ('max(1, min(5, 9))', 5),
        ('time() - time("2026-11-25T11:00:00Z") == TimeInterval_Hour', 1),
        ('time() + TimeInterval_Day > time() ? 5 : 6', 5),
        ('TimeInterval_Second * 60 == TimeInterval_Minute', 1),
        ('2 * TimeInterval_Minute - TimeInterval_Minute == TimeInterval_Minute', 1),
        ('TimeInterval_Week / 7 == TimeInterval_Day', 1),
        ('-TimeInterval_Hour < TimeInterval_Zero', 1),
        ('(time() + -6 * TimeInterval_Hour).hour', 6),
        ('time().year', 2026),
        ('time().month', 11),
        ('time().day', 25),
        ('time().weekday', 3),
        ('time().minute + time().second', 0),
        ('$CurrentDedicatedNodes * 1.1', 4),
        ('$CurrentLowPriorityNodes', 6),
        ('$PreemptedNodeCount', 1),
        ('$TaskSlotsPerNode', 4),
        ('$TargetDedicatedNodes + $TargetLowPriorityNodes', 5),
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
        ('$TargetDedicatedNodes = $PendingTasks.GetSample(1)', 'a vector'),
        ('$TargetDedicatedNodes = $PendingTasks.GetSample(1) + 1', 'a vector + a number'),
        ('$TargetDedicatedNodes = $PendingTasks', '$PendingTasks'),
        ('$TargetDedicatedNodes = $PendingTasks.Count()', '$PendingTasks.Count'),
        ('$TargetDedicatedNodes = $PendingTasks.GetSamplePercent(5)', 'with a number'),
        ('$TargetDedicatedNodes = $CPUPercent.GetSample(1)', '$CPUPercent'),
        ('$TargetDedicatedNodes = std(1, 2)', 'std'),
        ('$TargetDedicatedNodes = max(1, 2', 'the end where , could stand'),
        ('$TargetDedicatedNodes = 1 / 0', '/'),
        ('$TargetDedicatedNodes = 1 % 2', '%'),
        ('$TargetDedicatedNodes = TimeInterval_Hour / TimeInterval_Minute', 'an interval /'),
        ('$TargetDedicatedNodes = time() - TimeInterval_Hour > time()', 'a time - an interval'),
        ('$TargetDedicatedNodes = time().season', '.season'),
        ('$TargetDedicatedNodes = -time()', 'a time'),
        ('$CurrentDedicatedNodes = 5', '$CurrentDedicatedNodes'),
        ('time = 5 5', '5'),
        ('$TargetDedicatedNodes = 99999999999', '99999999999'),
        ('$TargetDedicatedNodes = time()', 'a time'),
        ('$TargetDedicatedNodes = time() < 5', 'a time < a number'),
        ('$TargetDedicatedNodes = time() ? 1 : 2', 'a time where a number could stand, ?'),
        ('$TargetDedicatedNodes = time() - time() < 5', 'an interval < a number'),
        ('$TargetDedicatedNodes = time("2026-11-25")', 'time("2026-11-25")'),
        ('$TargetDedicatedNodes = time("2026-13-25T12:00:00Z")', 'time("2026-13-25T12:00:00Z")'),
        ('$TargetDedicatedNodes = time("2026-11-25T12:00:00.123456789Z")', '123456789'),
        ('$TargetDedicatedNodes =', 'the end'),
        ('$TargetDedicatedNodes', 'the end'),
        ('$TargetDedicatedNodes = (1', 'the end'),
        ('$TargetDedicatedNodes = 1 ? 2', 'the end'),
        ('$TargetDedicatedNodes = "5"', '"5"'),
        ('$TargetDedicatedNodes = "5', '"'),
        ('nodes = 5; $TargetDedicatedNodes = Nodes', 'Nodes'),
        ('something_useless', 'the end where = could stand'),
        ('$NodeDeallocationOption = retaineddata', 'retaineddata'),
        ('$NodeDeallocationOption = requeue + 5', '+'),
    ],
)
def test_other_formulas_are_not_imitated_and_the_part_is_named(formula: str, part: str) -> None:
    with pytest.raises(BatchError) as caught:
        results(formula)

    assert (caught.value.status, caught.value.code) == (501, 'NotImplemented')
    assert part in caught.value.message.partition(':')[2]


@pytest.mark.parametrize('deep', ['(' * 4000, '-' * 8000, '1?' * 3000])
def test_formula_that_is_too_deep_is_not_imitated(deep: str) -> None:
    with pytest.raises(BatchError) as caught:
        results(f'$TargetDedicatedNodes = {deep}')

    assert caught.value.code == 'NotImplemented'


@pytest.mark.parametrize(
    'expression',
    [
        f'{"9" * 400} - {"9" * 400}',
        f'-{"9" * 400}',
        'time("0001-01-01T00:00:00+14:00").year',
        '$ActiveTasks.GetSamplePercent(TimeInterval_Week * 1000000)',
    ],
)
def test_values_beyond_all_bounds_are_not_imitated(expression: str) -> None:
    with pytest.raises(BatchError) as caught:
        results(f'$TargetDedicatedNodes = {expression}')

    assert caught.value.code == 'NotImplemented'


def test_refusal_names_the_place() -> None:
    with pytest.raises(BatchError) as caught:
        results('x = 1;\n  $TargetDedicatedNodes = x % 2;')

    assert caught.value.message.endswith(': % (Line 2, Col 29)')


def test_formula_beyond_8192_characters_is_refused() -> None:
    longest = '$TargetDedicatedNodes=7;'.ljust(8192)
    assert results(longest) == (7, 3)

    with pytest.raises(BatchError) as caught:
        results(f'{longest} ')

    assert (caught.value.status, caught.value.code) == (400, 'AutoScalingFormulaTooLong')


def test_deallocation_option_is_requeue_unless_it_is_set() -> None:
    assert evaluate(FIVE_UNTIL_NOON, situation()).deallocation == 'requeue'
    assert evaluate('$NodeDeallocationOption=terminate', situation()) == FormulaResult(
        *PRESENT, 'terminate'
    )


@pytest.mark.parametrize(
    ('expression', 'values'),
    [
        ('GetSample(1)', '[6]'),
        ('GetSample(3)', '[4,5,6]'),
        ('GetSample(99)', '[1,2,3,4,5,6]'),
        ('GetSample(0)', '[]'),
        ('GetSample(TimeInterval_Minute)', '[5,6]'),
        ('GetSample(TimeInterval_Minute, 100)', '[5,6]'),
        ('GetSample(TimeInterval_Minute, 2 * TimeInterval_Minute)', '[3,4]'),
        ('GetSample(1 * TimeInterval_Minute, 2 * TimeInterval_Minute, 75)', '[3,4]'),
        ('GetSample(time("2026-11-25T11:59:00Z"))', '[5,6]'),
        ('GetSamplePercent(TimeInterval_Minute * 3)', '100'),
        ('GetSamplePercent(TimeInterval_Minute * 6)', '50'),
        ('GetSamplePercent(TimeInterval_Minute * 2, TimeInterval_Minute * 4)', '50'),
    ],
)
def test_samples_by_number_and_by_time(expression: str, values: str) -> None:
    now = situation(ActiveTasks=[1, 2, 3, 4, 5, 6])

    result = evaluate(f'x = $ActiveTasks.{expression}', now)

    assert result.variables == f';x={values}'


def test_results_are_written_as_the_service_does() -> None:
    result = evaluate('$TargetLowPriorityNodes=4', situation())

    # Recorded traffic: POST /pools/{id}/evaluateautoscale, 2020-03-01.11.0.
    assert str(result) == (
        '$TargetDedicatedNodes=2;$TargetLowPriorityNodes=4;$NodeDeallocationOption=requeue'
    )


def test_results_have_the_variables_of_the_formula_by_name() -> None:
    result = evaluate(f'{WORKING_HOURS}half = 0.5;', situation())

    assert str(result) == (
        '$TargetDedicatedNodes=20;$TargetLowPriorityNodes=3;$NodeDeallocationOption=requeue;'
        '$curTime=2026-11-25T12:00:00.000Z;$isWeekday=1;$isWorkingWeekdayHour=1;$workHours=1;'
        'half=0.5'
    )
