"""The wait for the tasks, the state of the nodes meanwhile, and the results at its end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from azure.batch import models
from azure.core.exceptions import DeserializationError
from msrest.exceptions import ClientRequestError

import batch_python_tutorial_ffmpeg as sample

from .conftest import Clock
from .mocks import BatchMock
from .service_objects import (
    BEGAN,
    batch_error,
    damaged,
    failed,
    node_counts,
    pool,
    raw_answer,
    succeeded,
    task_counts,
    unfinished,
)

TIMEOUT = timedelta(minutes=30)


@pytest.fixture(autouse=True)
def nodes_at_work(batch: BatchMock) -> None:
    show_nodes(batch, running=5)


def show_nodes(
    batch: BatchMock, *, seconds: float = 60, states: dict[str, int] | None = None, **low: int
) -> None:
    """Let the pool have these nodes, so long after the beginning."""
    numbers = states or low
    found = pool(current_low_priority_nodes=sum(numbers.values()))
    batch.pool.get.side_effect = lambda *_, **__: raw_answer(found, seconds)
    batch.account.list_pool_node_counts.return_value = node_counts({}, **numbers)


def show_pool(batch: BatchMock, seconds: float = 60, **changes: Any) -> None:
    """Let the pool be without nodes, and so, so long after the beginning."""
    found = pool(current_low_priority_nodes=0, **changes)
    batch.pool.get.side_effect = lambda *_, **__: raw_answer(found, seconds)
    batch.account.list_pool_node_counts.return_value = node_counts()


def wait(batch: BatchMock, timeout: timedelta = TIMEOUT) -> str:
    return sample.wait_for_tasks_to_complete(batch.client, sample._JOB_ID, timeout)


def test_the_wait_ends_when_all_tasks_are_completed(batch: BatchMock) -> None:
    batch.tasks[:] = [unfinished('a.mp4', 'running')]
    counts = [task_counts(active=2), task_counts(running=1, completed=1), task_counts(completed=2)]

    def next_counts(*_: object) -> Any:
        answer = counts.pop(0)
        if not counts:
            batch.tasks[:] = [succeeded('a.mp4')]
        return answer

    batch.job.get_task_counts.side_effect = next_counts

    assert wait(batch) == ''
    assert not counts


def test_counts_that_are_ahead_of_the_tasks_are_not_believed(batch: BatchMock) -> None:
    batch.job.get_task_counts.return_value = task_counts(completed=1)
    batch.tasks[:] = [unfinished('a.mp4', 'running')]
    looks = []

    def list_tasks(_job: str, options: Any) -> list[Any]:
        looks.append(options)
        return batch.tasks if len(looks) < 3 else []

    batch.task.list.side_effect = list_tasks

    assert wait(batch) == ''
    assert len(looks) == 3


def test_counts_that_stay_behind_the_tasks_are_not_waited_for(
    batch: BatchMock, clock: Clock
) -> None:
    batch.job.get_task_counts.return_value = task_counts(running=1)
    batch.tasks[:] = [succeeded('a.mp4')]

    assert wait(batch) == ''
    assert clock.elapsed < TIMEOUT.total_seconds()


def test_a_poll_asks_for_little(batch: BatchMock) -> None:
    batch.job.get_task_counts.side_effect = [task_counts(active=10_000), task_counts(completed=1)]

    wait(batch)

    assert [call[0] for call in batch.requests].count('list') == 1  # of tasks, at the end
    options = batch.task.list.call_args.args[1]
    assert (options.max_results, options.select) == (1, 'id')


def test_the_wait_ends_after_the_time_limit(batch: BatchMock, clock: Clock) -> None:
    batch.job.get_task_counts.return_value = task_counts(running=1)
    batch.tasks[:] = [unfinished('a.mp4', 'running')]

    assert '--timeout' in wait(batch)
    assert clock.elapsed == pytest.approx(TIMEOUT.total_seconds(), abs=10)


@pytest.mark.parametrize(
    ('nodes', 'advice'),
    [
        ({'preempted': 5}, '--dedicated'),
        ({'unusable': 5}, '--vm-size'),
        ({'running': 4, 'preempted': 1}, '--timeout'),
    ],
)
def test_the_advice_after_the_time_limit_fits_the_nodes(
    batch: BatchMock, nodes: dict[str, int], advice: str
) -> None:
    batch.job.get_task_counts.return_value = task_counts(active=1)
    batch.tasks[:] = [unfinished('a.mp4')]
    show_nodes(batch, states=nodes)
    batch.compute_node.list.return_value = [node('unusable')]

    assert advice in wait(batch)


OUTAGES = [
    ClientRequestError('no answer'),
    DeserializationError('not JSON'),
]


@pytest.mark.parametrize('outage', OUTAGES, ids=['no answer', 'not readable'])
def test_an_outage_in_the_wait_ends_nothing(batch: BatchMock, outage: Exception) -> None:
    batch.job.get_task_counts.side_effect = [*[outage] * 20, task_counts(completed=1)]

    assert wait(batch) == ''


def test_an_outage_that_outlasts_the_limits_ends_the_wait(batch: BatchMock, clock: Clock) -> None:
    batch.job.get_task_counts.side_effect = OUTAGES[0]

    with pytest.raises(ClientRequestError):
        wait(batch)

    limits = (TIMEOUT + sample._MARGIN).total_seconds()
    assert clock.elapsed == pytest.approx(limits, abs=10)


def test_a_refusal_in_the_wait_ends_it(batch: BatchMock) -> None:
    batch.job.get_task_counts.side_effect = batch_error('JobNotFound', status=404)

    with pytest.raises(models.BatchErrorException):
        wait(batch)


# --- Nodes that never come, or never work ---------------------------------------------------------


def node(state: str, since: float = 0, errors: list[Any] | None = None) -> models.ComputeNode:
    """Return a node that has been in a state since so many seconds after the beginning."""
    return models.ComputeNode(
        id='tvm-1',
        state=models.ComputeNodeState(state),
        state_transition_time=BEGAN + timedelta(seconds=since),
        errors=errors,
    )


def wait_for_queued_task(batch: BatchMock) -> str:
    """Wait for a task that never starts, only for some polls."""
    batch.job.get_task_counts.return_value = task_counts(active=1)
    batch.tasks[:] = [unfinished('a.mp4')]
    return wait(batch)


def resize_error(code: str) -> models.ResizeError:
    return models.ResizeError(code=code, message='Refused.')


@pytest.mark.parametrize(
    'code', ['AccountLowPriorityCoreQuotaReached', 'AccountCoreQuotaReached', 'AllocationFailed']
)
def test_a_pool_that_gets_no_nodes_ends_the_wait(batch: BatchMock, code: str) -> None:
    show_pool(batch, resize_errors=[resize_error(code)])

    assert code in wait_for_queued_task(batch)


def test_an_error_that_is_older_than_the_formula_is_of_an_earlier_run(
    batch: BatchMock, clock: Clock
) -> None:
    show_pool(
        batch,
        resize_errors=[resize_error('AccountCoreQuotaReached')],
        allocation_state_transition_time=BEGAN - timedelta(hours=5),
    )

    wait_for_queued_task(batch)

    assert clock.elapsed > TIMEOUT.total_seconds()


def test_fewer_nodes_than_asked_for_are_a_warning(
    batch: BatchMock, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    found = pool(current_low_priority_nodes=2, resize_errors=[resize_error('AllocationFailed')])
    batch.pool.get.side_effect = lambda *_, **__: raw_answer(found)
    batch.account.list_pool_node_counts.return_value = node_counts(running=2)

    wait_for_queued_task(batch)

    assert clock.elapsed > TIMEOUT.total_seconds()
    assert capsys.readouterr().err.count('fewer nodes') == 1


@pytest.mark.parametrize(
    ('seconds', 'ends'), [(300, False), (1000, True)], ids=['not evaluated yet', 'evaluated']
)
def test_a_pool_without_nodes_ends_the_wait_when_the_formula_must_have_given_some(
    batch: BatchMock, clock: Clock, seconds: float, ends: bool
) -> None:
    show_pool(batch, seconds=seconds)

    wait_for_queued_task(batch)

    assert (clock.elapsed < TIMEOUT.total_seconds()) == ends


def test_a_pool_that_is_still_resized_is_waited_for(batch: BatchMock, clock: Clock) -> None:
    show_pool(batch, seconds=1000, allocation_state=models.AllocationState.resizing)

    wait_for_queued_task(batch)

    assert clock.elapsed > TIMEOUT.total_seconds()


@pytest.mark.parametrize('gone', ['deleted', 'deleting'])
def test_a_pool_that_is_gone_ends_the_wait(batch: BatchMock, gone: str) -> None:
    if gone == 'deleted':
        batch.pool.get.side_effect = batch_error('PoolNotFound', status=404)
    else:
        show_pool(batch, state=models.PoolState.deleting)

    assert 'gone' in wait_for_queued_task(batch)


def test_a_start_task_that_fails_on_all_nodes_ends_the_wait_with_its_words(
    batch: BatchMock,
) -> None:
    show_nodes(batch, start_task_failed=4, unusable=1)
    batch.compute_node.list.return_value = [node('starttaskfailed')]
    batch.file.get_from_compute_node.return_value = [b'E: no \x1b[2J', b'package']

    reason = wait_for_queued_task(batch)

    assert 'E: no  [2Jpackage' in reason
    assert batch.file.get_from_compute_node.call_args.args[2] == 'startup/stderr.txt'


def test_a_start_task_that_fails_on_some_nodes_does_not(batch: BatchMock, clock: Clock) -> None:
    show_nodes(batch, start_task_failed=4, idle=1)

    wait_for_queued_task(batch)

    assert clock.elapsed > TIMEOUT.total_seconds()


@pytest.mark.parametrize(('since', 'ends'), [(100, False), (-700, True)])
def test_nodes_that_are_all_unusable_for_ten_minutes_end_the_wait(
    batch: BatchMock, clock: Clock, since: float, ends: bool
) -> None:
    full = models.ComputeNodeError(code='DiskFull', message='The disk is full.')
    show_nodes(batch, unusable=2)
    batch.compute_node.list.return_value = [node('unusable', -900), node('unusable', since, [full])]

    reason = wait_for_queued_task(batch)

    assert (clock.elapsed < TIMEOUT.total_seconds()) == ends
    assert ('DiskFull' in reason) == ends


# --- Results --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('task', 'status', 'has_verdict', 'reason'),
    [
        (succeeded('a.mp4'), 'ok', True, ''),
        (damaged('a.mp4'), 'damaged', True, 'ffmpeg'),
        (failed('a.mp4', exit_code=183), 'failed', True, '183'),
        (failed('a.mp4', exit_code=1, code='FileUploadMiscError'), 'failed', True, 'exit code 1'),
        (failed('a.mp4', exit_code=0, code='FileUploadMiscError'), 'failed', False, 'MiscError'),
        (failed('a.mp4', exit_code=None, code='BlobNotFound'), 'failed', False, 'BlobNotFound'),
        (failed('a.mp4', exit_code=-9, code='TaskEnded'), 'failed', False, 'TaskEnded'),
        (unfinished('a.mp4'), 'failed', False, 'the reason'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_each_task_is_judged(
    batch: BatchMock, task: Any, status: str, has_verdict: bool, reason: str
) -> None:
    batch.tasks[:] = [task]
    batch.file.get_from_task.return_value = [b'last words']

    result = sample.read_results(batch.client, 'j', 'the reason')['a.mp4']

    assert (result.status, result.has_verdict) == (status, has_verdict)
    assert reason in result.reason


def test_what_ffmpeg_said_last_is_part_of_the_reason(batch: BatchMock) -> None:
    batch.tasks[:] = [failed('a.mp4')]
    lines = [f'line {number}\n'.encode() for number in range(9)]
    batch.file.get_from_task.return_value = [b'does not contain any stream\n', *lines]

    reason = sample.read_results(batch.client, 'j')['a.mp4'].reason

    assert 'no audio track' not in reason  # it is not among the last lines
    assert reason.splitlines()[1:] == [f'    line {number}' for number in range(4, 9)]


def test_a_video_without_sound_is_called_so(batch: BatchMock) -> None:
    batch.tasks[:] = [failed('a.mp4')]
    batch.file.get_from_task.return_value = [b'Output file does not contain any stream\n']

    assert 'no audio track' in sample.read_results(batch.client, 'j')['a.mp4'].reason


def test_words_that_are_gone_with_their_node_are_no_error(batch: BatchMock) -> None:
    batch.tasks[:] = [failed('a.mp4')]
    batch.file.get_from_task.side_effect = batch_error('TaskFilesUnavailable')

    assert 'exit code 1' in sample.read_results(batch.client, 'j')['a.mp4'].reason


def test_only_the_first_files_are_asked_for_their_words(batch: BatchMock) -> None:
    batch.tasks[:] = [failed(f'{number}.mp4') for number in range(100)]
    batch.file.get_from_task.return_value = [b'words']

    sample.read_results(batch.client, 'j')

    assert batch.file.get_from_task.call_count == sample._SHOWN_FILES
