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


def test_working_hours_of_the_article() -> None:
    moments = {
        (27, 7): 10,
        (27, 8): 20,
        (27, 17): 20,
        (27, 18): 10,
        (28, 12): 10,  # a Saturday
        (29, 12): 10,
        (30, 12): 20,
    }
    for (day, hour), nodes in moments.items():
        moment = datetime(2026, 11, day, hour, tzinfo=UTC)
        assert results(WORKING_HOURS, moment) == (nodes, 3), moment


def test_task_based_adjustment_of_the_article() -> None:
    assert results(TASKS) == (1, 3)  # half of the 2 nodes
    assert results(TASKS, PendingTasks=[7]) == (7, 3)
    assert results(TASKS, PendingTasks=[10] * 29 + [4]) == (9, 3)  # the average is 9.8
    assert results(TASKS, PendingTasks=[10] * 29 + [40]) == (20, 3)


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


def test_nothing_has_no_least_and_no_average() -> None:
    """Ours."""
    for function in ('min', 'max', 'avg'):
        with pytest.raises(FormulaError):
            results(f'$TargetDedicatedNodes = {function}($PendingTasks.GetSample(1))')


# Parts of formulas


def test_formula_gives_nodes_until_its_time() -> None:
    assert results(FIVE_UNTIL_NOON, NOON - timedelta(seconds=1)) == (2, 5)
    assert results(FIVE_UNTIL_NOON, NOON) == (2, 0)


FORMULAS = {
    '$TargetDedicatedNodes=7;$TargetLowPriorityNodes=8;': (7, 8),
    '$TargetDedicatedNodes = 1; $TargetDedicatedNodes = 4;': (4, 3),
    '$TargetDedicated = 6; $TargetLowPriority = 7;': (6, 7),
    '$TargetDedicatedNodes = 4; $TargetDedicated = 6;': (4, 3),  # the alias yields
    '': PRESENT,
    ' ;; ': PRESENT,
    '// nodes; until noon\n$TargetDedicatedNodes // here\n = \n 9; // 10': (9, 3),
    # A branch that is not taken is not evaluated.
    '$TargetDedicatedNodes = 1 ? 5 : avg($PendingTasks.GetSample(1))': (5, 3),
}
EXPRESSIONS = {
    '1 + 2 * 3 - 4 / 2': 5,
    '((1 + 2)) * 3': 9,
    '10 - 4 - 3': 3,
    '8 / 2 / 2': 2,
    '7 / 2': 3,
    '1.5 + 1.5': 3,
    '-2 + 5': 3,
    '--4': 4,
    '!0 + !7': 1,
    '1 - 5': 0,  # a number of nodes is not negative: ours
    '1 && 2': 1,
    '1 && 0': 0,
    '0 || 7': 1,
    '0 && 0 || 1': 1,
    '1 < 2 && 3 < 4': 1,
    '1 + 1 < 3 ? 5 : 6': 5,
    '1 < 2 < 3': 1,
    'min(4, 2, 3)': 2,
    'max(4, 2, 3)': 4,
    'avg(1, 2, 6)': 3,
    'max(1, min(5, 9))': 5,
    'time() - time("2026-11-25T11:00:00Z") == TimeInterval_Hour': 1,
    'time() + TimeInterval_Day > time() ? 5 : 6': 5,
    'TimeInterval_Second * 60 == TimeInterval_Minute': 1,
    '2 * TimeInterval_Minute - TimeInterval_Minute == TimeInterval_Minute': 1,
    'TimeInterval_Week / 7 == TimeInterval_Day': 1,
    '-TimeInterval_Hour < TimeInterval_Zero': 1,
    '(time() + -6 * TimeInterval_Hour).hour': 6,
    'time().year': 2026,
    'time().month': 11,
    'time().day': 25,
    'time().weekday': 3,
    '(time() + 7 * TimeInterval_Minute).minute': 7,
    '(time() + 9 * TimeInterval_Second).second': 9,
    '$CurrentDedicatedNodes * 1.1': 4,
    '$CurrentLowPriorityNodes': 6,
    '$PreemptedNodeCount': 1,
    '$TaskSlotsPerNode': 4,
    '$TargetDedicatedNodes + $TargetLowPriorityNodes': 5,
    '2 < 2': 0,
    '2 <= 2': 1,
    '3 > 2': 1,
    '2 > 2': 0,
    '2 >= 3': 0,
    '2 >= 2': 1,
    '2 == 2': 1,
    '2 != 2': 0,
    '0 ? 5 : 1 ? 6 : 7': 6,
    '1 ? 0 ? 5 : 6 : 7': 6,
    '(1 < 2) == (3 < 4) ? 5 : 6': 5,
    **dict.fromkeys(
        [
            'time() == time("2026-11-25T12:00:00Z")',
            'time() == time("2026-11-25T12:00Z")',
            'time() == time("2026-11-25T13:30:00+01:30")',
            'time() == time("2026-11-25T12:00:00.0000000Z")',
            'time() == time("Wed, 25 Nov 2026 12:00:00 GMT")',
        ],
        1,
    ),
}
# Expressions that are not imitated, and the part that is named.
NOT_IMITATED = {
    '$PendingTasks.GetSample(1)': 'a vector',
    '$PendingTasks.GetSample(1) + 1': 'a vector + a number',
    '$PendingTasks': '$PendingTasks',
    '$PendingTasks.Count()': '$PendingTasks.Count',
    '$PendingTasks.GetSamplePercent(5)': 'with a number',
    '$CPUPercent.GetSample(1)': '$CPUPercent',
    'std(1, 2)': 'std',
    'max(1, 2': 'the end where , could stand',
    '1 / 0': '/',
    '1 % 2': '%',
    'TimeInterval_Hour / TimeInterval_Minute': 'an interval /',
    'time() - TimeInterval_Hour > time()': 'a time - an interval',
    'time().season': '.season',
    '-time()': 'a time',
    '99999999999': '99999999999',
    'time()': 'a time',
    'time() < 5': 'a time < a number',
    'time() ? 1 : 2': 'a time where a number could stand, ?',
    'time() - time() < 5': 'an interval < a number',
    'time("2026-11-25")': 'time("2026-11-25")',
    'time("2026-13-25T12:00:00Z")': 'time("2026-13-25T12:00:00Z")',
    'time("2026-11-25T12:00:00.123456789Z")': '123456789',
    '': 'the end',
    '(1': 'the end',
    '1 ? 2': 'the end',
    '"5"': '"5"',
    '"5': '"',
    '5; x': 'the end where = could stand',
    '5; $CurrentDedicatedNodes = 5': '$CurrentDedicatedNodes',
    '5; x = 5 5': '5',
    '5; x = 5; y = X': 'X',
    '5; $NodeDeallocationOption = retaineddata': 'retaineddata',
    '5; $NodeDeallocationOption = requeue + 5': '+',
    **dict.fromkeys(
        [
            '(' * 4000,
            '-' * 8000,
            '1?' * 3000,
            f'{"9" * 400} - {"9" * 400}',
            'time("0001-01-01T00:00:00+14:00").year',
            '$ActiveTasks.GetSamplePercent(TimeInterval_Week * 1000000)',
        ],
        '',
    ),
}
SAMPLES = {
    'GetSample(1)': '[6]',
    'GetSample(3)': '[4,5,6]',
    'GetSample(99)': '[1,2,3,4,5,6]',
    'GetSample(0)': '[]',
    'GetSample(TimeInterval_Minute)': '[5,6]',
    'GetSample(TimeInterval_Minute, 100)': '[5,6]',
    'GetSample(TimeInterval_Minute, 2 * TimeInterval_Minute)': '[3,4]',
    'GetSample(1 * TimeInterval_Minute, 2 * TimeInterval_Minute, 75)': '[3,4]',
    'GetSample(time("2026-11-25T11:59:00Z"))': '[5,6]',
    'GetSamplePercent(TimeInterval_Minute * 3)': '100',
    'GetSamplePercent(TimeInterval_Minute * 6)': '50',
    'GetSamplePercent(TimeInterval_Minute * 2, TimeInterval_Minute * 4)': '50',
}


def test_formula_sets_targets() -> None:
    for formula, nodes in FORMULAS.items():
        assert results(formula) == nodes, formula


def test_expression_has_value() -> None:
    for expression, value in EXPRESSIONS.items():
        assert results(f'$TargetDedicatedNodes = {expression}') == (value, 3), expression


def test_samples_by_number_and_by_time() -> None:
    now = situation(ActiveTasks=[1, 2, 3, 4, 5, 6])

    for expression, values in SAMPLES.items():
        result = evaluate(f'x = $ActiveTasks.{expression}', now)
        assert result.variables == f';x={values}', expression


def test_other_formulas_are_not_imitated_and_the_part_is_named() -> None:
    for expression, part in NOT_IMITATED.items():
        with pytest.raises(BatchError) as caught:
            results(f'$TargetDedicatedNodes = {expression}')
        error = caught.value
        assert (error.status, error.code) == (501, 'NotImplemented'), expression
        assert part in error.message.partition(':')[2], expression


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


def test_results_have_the_variables_of_the_formula_by_name() -> None:
    """The three of the service: recorded traffic, POST /pools/{id}/evaluateautoscale."""
    result = evaluate(f'{WORKING_HOURS}half = 0.5;', situation())

    assert str(result) == (
        '$TargetDedicatedNodes=20;$TargetLowPriorityNodes=3;$NodeDeallocationOption=requeue;'
        '$curTime=2026-11-25T12:00:00.000Z;$isWeekday=1;$isWorkingWeekdayHour=1;$workHours=1;'
        'half=0.5'
    )
