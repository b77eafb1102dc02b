"""Waiting: the end is read from the tasks, never too early, never missed, and with few requests."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from azure.batch import models
from azure.core.exceptions import ClientAuthenticationError, DeserializationError
from msrest.exceptions import ClientRequestError

import batch_python_tutorial_ffmpeg as sample

from .conftest import Clock
from .mocks import BatchMock
from .service_objects import (
    EARLIER_RUN,
    SOMEBODY,
    THIS_RUN,
    batch_error,
    failed,
    items,
    node_counts,
    pool,
    succeeded,
    task_counts,
    unfinished,
)

JOB_ID = sample._JOB_ID
TIMEOUT = timedelta(minutes=30)
LIMIT_OF_THE_JOB = TIMEOUT + sample._MARGIN
ALL_DONE = task_counts(completed=3)
SUCCEEDED = [succeeded('a.mp4'), succeeded('b.mp4'), succeeded('c.mp4')]
NO_ANSWER = ClientRequestError('Connection refused')


@pytest.fixture(autouse=True)
def five_nodes(batch: BatchMock) -> None:
    batch.pool.get.return_value = pool()
    batch.account.list_pool_node_counts.return_value = node_counts(idle=5)


def wait(batch: BatchMock, **options: Any) -> dict[str, sample.VideoResult]:
    return sample.wait_for_tasks_to_complete(batch.client, JOB_ID, TIMEOUT, **options)


def statuses(results: dict[str, sample.VideoResult]) -> dict[str, str]:
    return {name: result.status for name, result in results.items()}


def finish_at(seconds: float, batch: BatchMock, clock: Clock) -> None:
    """Let the tasks run until so many seconds have passed, and then succeed; not so the counts."""
    batch.tasks[:] = [
        unfinished('a.mp4', 'running'),
        unfinished('b.mp4'),
        unfinished('c.mp4', 'preparing'),
    ]

    def finish() -> None:
        if clock.elapsed >= seconds:
            batch.tasks[:] = SUCCEEDED

    clock.on_sleep.append(finish)


def times_of_polls(batch: BatchMock, clock: Clock, answers: list[Any]) -> list[float]:
    """Give one answer after the other about the counts; return the list of when it was asked."""
    times: list[float] = []
    remaining = iter(answers)

    def count(_job_id: str) -> Any:
        times.append(clock.elapsed)
        return next(remaining)

    batch.job.get_task_counts.side_effect = count
    return times


def pauses(times: list[float]) -> list[float]:
    return [round(after - before, 1) for before, after in itertools.pairwise(times)]


# --- The end --------------------------------------------------------------------------------------


def test_wait_ends_when_all_tasks_have_completed(batch: BatchMock, clock: Clock) -> None:
    counts = [
        task_counts(active=3),
        task_counts(active=1, running=2),
        task_counts(running=1, completed=2),
        ALL_DONE,
    ]
    times = times_of_polls(batch, clock, counts)
    batch.tasks[:] = SUCCEEDED

    results = wait(batch)

    assert statuses(results) == {'a.mp4': 'ok', 'b.mp4': 'ok', 'c.mp4': 'ok'}
    assert len(times) == len(counts)


def test_wait_returns_what_became_of_each_video(batch: BatchMock) -> None:
    batch.job.get_task_counts.return_value = ALL_DONE
    batch.tasks[:] = [succeeded('a.mp4'), failed('b.mp4', exit_code=7), succeeded('c.mp4')]
    batch.file.get_from_task.return_value = [b'Invalid data\n']

    results = wait(batch)

    assert statuses(results) == {'a.mp4': 'ok', 'b.mp4': 'failed', 'c.mp4': 'ok'}
    assert results['b.mp4'].reason == 'exit code 7\n    Invalid data'


@pytest.mark.parametrize(
    'stale',
    [
        pytest.param(ALL_DONE, id='counted-as-completed-too-early'),
        pytest.param(task_counts(completed=1), id='some-not-counted-yet'),
        pytest.param(task_counts(), id='none-counted-yet'),
        pytest.param(task_counts(active=3), id='still-counted-as-active'),
        pytest.param(task_counts(running=3), id='still-counted-as-running'),
    ],
)
def test_wait_with_stale_counts_ends_neither_too_early_nor_at_the_timeout(
    stale: object, batch: BatchMock, clock: Clock
) -> None:
    batch.job.get_task_counts.return_value = stale
    finish_at(100, batch, clock)

    results = wait(batch)

    assert set(statuses(results).values()) == {'ok'}
    assert 100 <= clock.elapsed <= 140


# --- The polls ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'counts', [task_counts(running=3), ALL_DONE], ids=['no-news', 'counts-stale']
)
def test_wait_makes_at_most_three_requests_a_poll(
    counts: object, batch: BatchMock, clock: Clock
) -> None:
    batch.job.get_task_counts.return_value = counts
    finish_at(300, batch, clock)
    numbers: list[int] = []
    clock.on_sleep.append(lambda: numbers.append(len(batch.requests)))

    wait(batch)

    polls = [after - before for before, after in itertools.pairwise(numbers) if after > before]
    assert len(polls) > 10
    assert max(polls) <= 3


def test_wait_polls_less_often_while_nothing_changes(batch: BatchMock, clock: Clock) -> None:
    times = times_of_polls(batch, clock, [task_counts(active=3)] * 100)
    finish_at(60, batch, clock)

    wait(batch)

    between = pauses(times)
    assert between[0] == 1
    assert between == sorted(between)
    assert between[-1] == 4.5


@pytest.mark.parametrize('quiet_polls', [5, 6, 7, 8, 9])
def test_wait_polls_often_again_after_a_change(
    quiet_polls: int, batch: BatchMock, clock: Clock
) -> None:
    counts = [*[task_counts(active=3)] * quiet_polls, task_counts(active=2, running=1), ALL_DONE]
    times = times_of_polls(batch, clock, counts)
    batch.tasks[:] = [unfinished('a.mp4', 'running')]

    def finish_after_the_change() -> None:
        if len(times) > quiet_polls:
            batch.tasks[:] = SUCCEEDED

    clock.on_sleep.append(finish_after_the_change)

    wait(batch)

    between = pauses(times)
    assert between[quiet_polls - 1] == 4.5
    assert between[quiet_polls] == 1


def test_wait_tells_a_log_of_each_change_once(
    batch: BatchMock, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = [
        *[task_counts(active=3)] * 3,
        *[task_counts(active=1, running=1, completed=1, failed=1)] * 3,
        ALL_DONE,
    ]
    batch.job.get_task_counts.side_effect = counts
    batch.tasks[:] = SUCCEEDED

    wait(batch)

    printed = capsys.readouterr()
    assert printed.out == "Monitoring all tasks for 'Completed' state, timeout in 00:30:00...\n"
    assert printed.err.splitlines() == [
        '5 nodes: 5 idle; Tasks: 0 of 3 done, 3 queued, 0 running, 0 failed',
        '5 nodes: 5 idle; Tasks: 1 of 3 done, 1 queued, 1 running, 1 failed',
    ]


# --- The time limit -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'counts', [task_counts(active=2, completed=1), ALL_DONE], ids=['counts-right', 'counts-stale']
)
def test_wait_ends_at_the_timeout_and_says_what_is_not_done(
    counts: object, batch: BatchMock, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.job.get_task_counts.return_value = counts
    batch.tasks[:] = [unfinished('a.mp4', 'running'), unfinished('b.mp4'), succeeded('c.mp4')]

    results = wait(batch)

    assert statuses(results) == {'a.mp4': 'failed', 'b.mp4': 'failed', 'c.mp4': 'ok'}
    assert results['a.mp4'].reason == 'not done: running'
    assert results['b.mp4'].reason == 'not done: active'
    assert clock.elapsed == pytest.approx(TIMEOUT.total_seconds(), abs=1)
    assert capsys.readouterr().err.endswith(
        'Timeout: 00:30:00 have passed, and 2 tasks are not done. '
        'Give them more time with --timeout.\n'
    )


def test_wait_that_ends_in_time_says_nothing_of_a_timeout(
    batch: BatchMock, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.job.get_task_counts.return_value = ALL_DONE
    batch.tasks[:] = SUCCEEDED

    wait(batch)

    assert capsys.readouterr().err == ''


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_wait_ends_soon_after_a_signal(
    number: signal.Signals, batch: BatchMock, clock: Clock
) -> None:
    batch.job.get_task_counts.return_value = task_counts(running=3)
    finish_at(3000, batch, clock)
    interrupt_at(60, number, clock)

    with sample.signals_noted(), pytest.raises(sample.InterruptedRunError):
        wait(batch)

    assert 60 <= clock.elapsed <= 61


def interrupt_at(seconds: float, number: signal.Signals, clock: Clock) -> None:
    def interrupt() -> None:
        if clock.elapsed >= seconds and not sample.stop.signals:
            signal.raise_signal(number)

    clock.on_sleep.append(interrupt)


# --- The pool while waiting -----------------------------------------------------------------------


def test_wait_ends_when_the_pool_gets_no_nodes(batch: BatchMock, clock: Clock) -> None:
    batch.job.get_task_counts.return_value = task_counts(active=3)
    no_quota = [models.ResizeError(code='AccountLowPriorityCoreQuotaReached', message='No quota.')]
    batch.pool.get.return_value = pool(current_low_priority_nodes=0, resize_errors=no_quota)
    batch.account.list_pool_node_counts.return_value = []

    with pytest.raises(sample.SampleError, match='gets no nodes'):
        wait(batch)

    assert clock.elapsed < 10


def test_wait_whose_pool_is_deleted_returns_what_is_finished(
    batch: BatchMock, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.job.get_task_counts.return_value = task_counts(active=2, completed=1)
    batch.tasks[:] = [succeeded('a.mp4'), unfinished('b.mp4'), unfinished('c.mp4', 'running')]

    def delete_pool() -> None:
        if clock.elapsed >= 60:
            batch.pool.get.side_effect = batch_error('PoolNotFound', status=404)

    clock.on_sleep.append(delete_pool)

    results = wait(batch)

    gone = 'not done: Pool [LinuxFFmpegPool] is gone: somebody has deleted it'
    assert statuses(results) == {'a.mp4': 'ok', 'b.mp4': 'failed', 'c.mp4': 'failed'}
    assert [results['b.mp4'].reason, results['c.mp4'].reason] == [gone, gone]
    assert 60 <= clock.elapsed < 75
    assert 'Timeout' not in capsys.readouterr().err


def test_wait_whose_pool_loses_its_nodes_ends_within_a_few_polls(
    batch: BatchMock, clock: Clock
) -> None:
    batch.job.get_task_counts.return_value = task_counts(active=3)
    finish_at(3000, batch, clock)

    def resize_to_0() -> None:
        if clock.elapsed >= 60:
            batch.pool.get.return_value = pool(
                target_low_priority_nodes=0, current_low_priority_nodes=0
            )
            batch.account.list_pool_node_counts.return_value = []

    clock.on_sleep.append(resize_to_0)

    with pytest.raises(sample.SampleError, match='has no nodes: somebody has resized it'):
        wait(batch)

    assert 60 <= clock.elapsed < 90


def test_wait_lets_the_nodes_end_with_the_limits_of_the_run(batch: BatchMock) -> None:
    batch.job.get_task_counts.side_effect = [task_counts(running=3), ALL_DONE]
    batch.pool.get.return_value = pool(metadata=items(THIS_RUN))
    batch.tasks[:] = SUCCEEDED

    wait(batch, dedicated_nodes=2, low_priority_nodes=7)

    batch.pool.enable_auto_scale.assert_called_once_with(
        sample._POOL_ID,
        auto_scale_formula=(
            '$TargetDedicatedNodes = time() < time("2026-11-22T16:20:21Z") ? 2 : 0;\n'
            '$TargetLowPriorityNodes = time() < time("2026-11-22T16:20:21Z") ? 7 : 0;'
        ),
        auto_scale_evaluation_interval=timedelta(minutes=5),
    )


def test_wait_gives_the_formula_although_all_tasks_are_done_at_the_first_look(
    batch: BatchMock,
) -> None:
    """A pool that is kept has to lose its nodes, too."""
    batch.job.get_task_counts.return_value = ALL_DONE
    batch.pool.get.return_value = pool(metadata=items(THIS_RUN))
    batch.tasks[:] = SUCCEEDED

    wait(batch)

    batch.pool.enable_auto_scale.assert_called_once()


def test_wait_stops_a_pool_that_still_grows_when_all_tasks_are_done_and_gives_the_formula(
    batch: BatchMock, clock: Clock
) -> None:
    batch.job.get_task_counts.return_value = ALL_DONE
    batch.tasks[:] = SUCCEEDED
    batch.pool.get.return_value = pool(
        allocation_state='resizing', current_low_priority_nodes=3, metadata=items(THIS_RUN)
    )

    def be_steady_soon(_pool_id: str) -> None:
        batch.pool.enable_auto_scale.assert_not_called()
        clock.on_sleep.append(be_steady)

    def be_steady() -> None:
        batch.pool.get.return_value = pool(current_low_priority_nodes=3, metadata=items(THIS_RUN))

    batch.pool.stop_resize.side_effect = be_steady_soon

    wait(batch)

    batch.pool.stop_resize.assert_called_once_with(sample._POOL_ID)
    batch.pool.enable_auto_scale.assert_called_once()
    assert clock.elapsed < 5


def test_wait_stops_no_pool_that_is_steady(batch: BatchMock) -> None:
    batch.job.get_task_counts.return_value = ALL_DONE
    batch.pool.get.return_value = pool(metadata=items(THIS_RUN))
    batch.tasks[:] = SUCCEEDED

    wait(batch)

    batch.pool.stop_resize.assert_not_called()


@pytest.mark.parametrize('metadata', [SOMEBODY, EARLIER_RUN], ids=['somebody-else', 'another-run'])
def test_wait_does_not_stop_a_growing_pool_of_somebody_else(
    metadata: dict[str, str], batch: BatchMock, clock: Clock
) -> None:
    batch.job.get_task_counts.return_value = ALL_DONE
    batch.pool.get.return_value = pool(allocation_state='resizing', metadata=items(metadata))
    batch.tasks[:] = SUCCEEDED

    wait(batch)

    batch.pool.stop_resize.assert_not_called()
    assert clock.elapsed == 0


@pytest.mark.parametrize('nodes', [0, 3])
def test_wait_that_has_stopped_a_pool_does_not_complain_of_missing_nodes(
    nodes: int, batch: BatchMock, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.job.get_task_counts.return_value = ALL_DONE
    batch.tasks[:] = SUCCEEDED
    batch.pool.get.return_value = pool(allocation_state='resizing', metadata=items(THIS_RUN))
    stopped = models.ResizeError(code='ResizeStopped', message='Stopped on request.')

    def stop(_pool_id: str) -> None:
        batch.pool.get.return_value = pool(
            current_low_priority_nodes=nodes, resize_errors=[stopped], metadata=items(THIS_RUN)
        )

    batch.pool.stop_resize.side_effect = stop

    wait(batch)

    batch.pool.enable_auto_scale.assert_called_once()
    assert capsys.readouterr().err == ''


def test_wait_for_a_pool_that_goes_on_growing_is_short(batch: BatchMock, clock: Clock) -> None:
    batch.job.get_task_counts.return_value = ALL_DONE
    batch.pool.get.return_value = pool(allocation_state='resizing', metadata=items(THIS_RUN))
    batch.pool.stop_resize.side_effect = batch_error('PoolNotEligibleForStopResize')
    batch.tasks[:] = SUCCEEDED

    results = wait(batch)

    assert set(statuses(results).values()) == {'ok'}
    assert clock.elapsed == pytest.approx(60, abs=2)
    batch.pool.enable_auto_scale.assert_not_called()


def test_wait_for_the_formula_ends_when_the_pool_is_gone(batch: BatchMock, clock: Clock) -> None:
    batch.job.get_task_counts.return_value = ALL_DONE
    batch.pool.get.side_effect = batch_error('PoolNotFound', status=404)
    batch.tasks[:] = SUCCEEDED

    results = wait(batch)

    assert set(statuses(results).values()) == {'ok'}
    assert clock.elapsed == 0
    batch.pool.stop_resize.assert_not_called()


# --- Patience -------------------------------------------------------------------------------------

REQUESTS: dict[str, Callable[[BatchMock], Any]] = {
    'task-counts': lambda batch: batch.job.get_task_counts,
    'pool': lambda batch: batch.pool.get,
    'node-counts': lambda batch: batch.account.list_pool_node_counts,
    'tasks': lambda batch: batch.task.list,
}


def fail_between(
    began: float, ended: float, request: Any, clock: Clock, error: Exception = NO_ANSWER
) -> None:
    """Let a request have no answer between these seconds."""
    answer = request.side_effect

    def fail() -> None:
        is_away = began <= clock.elapsed < ended
        request.side_effect = error if is_away else answer

    clock.on_sleep.append(fail)
    fail()


@pytest.mark.parametrize('name', REQUESTS)
def test_wait_outlasts_an_outage_of_batch(
    name: str, batch: BatchMock, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.job.get_task_counts.return_value = task_counts(running=3)
    finish_at(300, batch, clock)
    fail_between(30, 600, REQUESTS[name](batch), clock)

    results = wait(batch)

    assert set(statuses(results).values()) == {'ok'}
    assert 600 <= clock.elapsed < 640
    printed = capsys.readouterr().err
    assert printed.count(f'Warning: {sample.describe(NO_ANSWER)}\n') == 1
    assert printed.count('The tasks run on; asking again until there is an answer...\n') == 1


def test_wait_outlasts_an_outage_of_the_sign_in(batch: BatchMock, clock: Clock) -> None:
    not_renewed = ClientAuthenticationError('The token could not be renewed.')
    batch.job.get_task_counts.side_effect = [not_renewed, not_renewed, ALL_DONE]
    batch.tasks[:] = SUCCEEDED

    results = wait(batch)

    assert set(statuses(results).values()) == {'ok'}
    assert clock.elapsed == pytest.approx(10, abs=1)


@pytest.mark.parametrize('name', REQUESTS)
def test_wait_outlasts_answers_that_are_not_of_batch(
    name: str, batch: BatchMock, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """A proxy may answer 200 with a page of its own."""
    batch.job.get_task_counts.return_value = task_counts(running=3)
    finish_at(300, batch, clock)
    not_of_batch = DeserializationError('Cannot deserialize content-type: text/html')
    fail_between(30, 600, REQUESTS[name](batch), clock, not_of_batch)

    results = wait(batch)

    assert set(statuses(results).values()) == {'ok'}
    assert 600 <= clock.elapsed < 640
    assert capsys.readouterr().err.count('Check _BATCH_ACCOUNT_URL and the proxy.\n') == 1


def test_wait_says_the_cause_of_each_outage(
    batch: BatchMock, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    signed_out = ClientAuthenticationError('The grant has expired.')
    batch.job.get_task_counts.side_effect = [
        NO_ANSWER,
        task_counts(running=3),
        signed_out,
        ALL_DONE,
    ]
    batch.tasks[:] = SUCCEEDED

    wait(batch)

    warnings = [line for line in capsys.readouterr().err.splitlines() if 'Warning' in line]
    assert warnings == [
        f'Warning: {sample.describe(NO_ANSWER)}',
        f'Warning: {sample.describe(signed_out)}',
    ]
    assert clock.elapsed < 20


def test_wait_reads_the_results_after_an_outage_at_the_timeout(
    batch: BatchMock, clock: Clock
) -> None:
    batch.job.get_task_counts.return_value = task_counts(running=3)
    finish_at(1790, batch, clock)
    fail_between(1780, 2400, batch.job.get_task_counts, clock)
    fail_between(1780, 2400, batch.task.list, clock)

    results = wait(batch)

    assert set(statuses(results).values()) == {'ok'}
    assert 2400 <= clock.elapsed < 2410


def test_wait_gives_up_when_the_job_has_ended_by_its_own_limit(
    batch: BatchMock, clock: Clock
) -> None:
    batch.job.get_task_counts.side_effect = NO_ANSWER

    with pytest.raises(ClientRequestError):
        wait(batch)

    assert clock.elapsed == pytest.approx(LIMIT_OF_THE_JOB.total_seconds(), abs=10)


def test_wait_does_not_repeat_what_batch_refuses(batch: BatchMock, clock: Clock) -> None:
    batch.job.get_task_counts.side_effect = batch_error('JobNotFound', status=404)

    with pytest.raises(models.BatchErrorException):
        wait(batch)

    assert clock.elapsed == 0


def test_wait_ends_soon_after_a_signal_in_an_outage(batch: BatchMock, clock: Clock) -> None:
    batch.job.get_task_counts.side_effect = NO_ANSWER
    interrupt_at(60, signal.SIGINT, clock)

    with sample.signals_noted(), pytest.raises(sample.InterruptedRunError):
        wait(batch)

    assert 60 <= clock.elapsed <= 61


# --- has_unfinished_tasks -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('tasks', 'expected'),
    [
        pytest.param(SUCCEEDED, False, id='all-completed'),
        pytest.param([failed('a.mp4')], False, id='failed'),
        pytest.param([*SUCCEEDED, unfinished('d.mp4')], True, id='one-waits'),
        pytest.param([unfinished('a.mp4', 'running')], True, id='one-runs'),
        pytest.param([], False, id='none'),
    ],
)
def test_has_unfinished_tasks_looks_at_the_tasks_themselves(
    tasks: list[models.CloudTask], expected: bool, batch: BatchMock
) -> None:
    batch.tasks[:] = tasks

    assert sample.has_unfinished_tasks(batch.client, JOB_ID) is expected


def test_has_unfinished_tasks_asks_for_one_id_only(batch: BatchMock) -> None:
    sample.has_unfinished_tasks(batch.client, JOB_ID)

    job_id, options = batch.task.list.call_args.args
    assert job_id == JOB_ID
    assert (options.select, options.max_results) == ('id', 1)
