"""Monitoring: the end is read from the tasks, never too early, never missed, and with few requests."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from azure.batch import models

import batch_python_tutorial_ffmpeg as sample

from .conftest import Clock
from .mocks import BatchMock
from .service_objects import (
    batch_error,
    failed,
    node_counts,
    pool,
    succeeded,
    task_counts,
    unfinished,
)

JOB_ID, POOL_ID = sample._JOB_ID, sample._POOL_ID
TIMEOUT = timedelta(minutes=30)
ALL_DONE = task_counts(completed=3)
SUCCEEDED = [succeeded('a.mp4'), succeeded('b.mp4'), succeeded('c.mp4')]


@pytest.fixture(autouse=True)
def five_nodes(batch: BatchMock) -> None:
    batch.pool.get.return_value = pool()
    batch.account.list_pool_node_counts.return_value = node_counts(idle=5)


def wait(batch: BatchMock) -> dict[str, str]:
    return sample.wait_for_tasks_to_complete(batch.client, JOB_ID, TIMEOUT)


def finish_at(seconds: float, batch: BatchMock, clock: Clock) -> None:
    """Let the tasks run until so many seconds have passed, and then succeed; the counts are left alone."""
    batch.tasks[:] = [
        unfinished('a.mp4', 'running'),
        unfinished('b.mp4'),
        unfinished('c.mp4', 'preparing'),
    ]

    def finish() -> None:
        if clock.elapsed >= seconds:
            batch.tasks[:] = SUCCEEDED

    clock.on_sleep.append(finish)


# --- wait_for_tasks_to_complete ---------------------------------------------------------------------------------------
def test_wait_ends_when_all_tasks_have_completed(batch: BatchMock, clock: Clock) -> None:
    counts = [
        task_counts(active=3),
        task_counts(active=1, running=2),
        task_counts(running=1, completed=2),
        ALL_DONE,
    ]
    batch.job.get_task_counts.side_effect = counts
    batch.tasks[:] = SUCCEEDED

    failures = wait(batch)

    assert failures == {}
    assert len(clock.sleeps) == len(counts) - 1


def test_wait_returns_the_tasks_that_failed(batch: BatchMock) -> None:
    batch.job.get_task_counts.return_value = ALL_DONE
    batch.tasks[:] = [succeeded('a.mp4'), failed('b.mp4', exit_code=7), succeeded('c.mp4')]
    batch.file.get_from_task.return_value = [b'Invalid data\n']

    failures = wait(batch)

    assert failures == {'b.mp4': 'exit code 7\n    Invalid data'}


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

    failures = wait(batch)

    assert failures == {}
    assert 100 <= clock.elapsed <= 140


def test_wait_makes_at_most_three_requests_a_poll(batch: BatchMock, clock: Clock) -> None:
    batch.job.get_task_counts.return_value = task_counts(running=3)
    finish_at(300, batch, clock)
    in_all: list[int] = [0]
    clock.on_sleep.append(lambda: in_all.append(len(batch.requests)))

    wait(batch)

    a_poll = [after - before for before, after in itertools.pairwise(in_all)]
    assert max(a_poll) <= 3
    assert len(a_poll) > 10


@pytest.mark.parametrize(
    'counts', [task_counts(active=2, completed=1), ALL_DONE], ids=['counts-right', 'counts-stale']
)
def test_wait_reports_unfinished_and_failed_tasks_after_the_timeout(
    counts: object, batch: BatchMock, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.job.get_task_counts.return_value = counts
    batch.tasks[:] = [
        unfinished('a.mp4', 'running'),
        unfinished('b.mp4'),
        failed('c.mp4', exit_code=1),
    ]
    batch.file.get_from_task.return_value = []

    failures = wait(batch)

    assert failures == {
        'a.mp4': 'not done: running',
        'b.mp4': 'not done: active',
        'c.mp4': 'exit code 1',
    }
    assert clock.elapsed == TIMEOUT.total_seconds()
    assert 'Timeout: 00:30:00 have passed, and 2 tasks are not done.' in capsys.readouterr().err


def test_wait_polls_less_often_while_nothing_changes(batch: BatchMock, clock: Clock) -> None:
    batch.job.get_task_counts.return_value = task_counts(active=3)
    finish_at(60, batch, clock)

    wait(batch)

    assert clock.sleeps[0] <= 1
    assert clock.sleeps == sorted(clock.sleeps)
    assert clock.sleeps[-1] == 4.5


def test_wait_polls_often_again_after_a_change(batch: BatchMock, clock: Clock) -> None:
    counts = [*[task_counts(active=3)] * 8, task_counts(active=2, running=1), ALL_DONE]
    batch.job.get_task_counts.side_effect = counts
    finish_at(20, batch, clock)

    wait(batch)

    assert clock.sleeps[7] == 4.5
    assert clock.sleeps[8] == 1


def test_wait_shows_progress_on_stderr_once_for_each_change(
    batch: BatchMock, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = [*[task_counts(active=3)] * 3, *[task_counts(active=1, running=2)] * 3, ALL_DONE]
    batch.job.get_task_counts.side_effect = counts
    batch.tasks[:] = SUCCEEDED

    wait(batch)

    printed = capsys.readouterr()
    assert printed.out == "Monitoring all tasks for 'Completed' state, timeout in 00:30:00...\n"
    assert printed.err.splitlines() == [
        '5 of 5 nodes ready; tasks: 0 done, 3 queued, 0 running, 0 failed',
        '5 of 5 nodes ready; tasks: 0 done, 1 queued, 2 running, 0 failed',
    ]


def test_wait_ends_when_the_pool_gets_no_nodes(batch: BatchMock, clock: Clock) -> None:
    batch.job.get_task_counts.return_value = task_counts(active=3)
    no_quota = [models.ResizeError(code='AccountLowPriorityCoreQuotaReached', message='No quota.')]
    batch.pool.get.return_value = pool(current_low_priority_nodes=0, resize_errors=no_quota)
    batch.account.list_pool_node_counts.return_value = []

    with pytest.raises(sample.SampleError, match='gets no nodes'):
        wait(batch)

    assert clock.elapsed < 10


# --- has_unfinished_tasks, failed_tasks -------------------------------------------------------------------------------
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


def test_failed_tasks_names_a_task_that_never_ran_with_the_reason_of_the_service(
    batch: BatchMock,
) -> None:
    batch.tasks[:] = [failed('a.mp4', exit_code=None, code='BlobDownloadMiscError')]
    batch.file.get_from_task.side_effect = batch_error('FileNotFound', 'No such file.', 404)

    failures = sample.failed_tasks(batch.client, JOB_ID)

    assert failures['a.mp4'].startswith('BlobDownloadMiscError: The task failed.')
    assert 'no stderr: FileNotFound: No such file.' in failures['a.mp4']


def test_failed_tasks_names_an_upload_that_failed_after_exit_code_0(batch: BatchMock) -> None:
    batch.tasks[:] = [failed('a.mp4', exit_code=0, code='FileUploadAccessDenied')]
    batch.file.get_from_task.return_value = []

    assert sample.failed_tasks(batch.client, JOB_ID) == {
        'a.mp4': 'FileUploadAccessDenied: The task failed.'
    }


def test_failed_tasks_reads_stderr_of_the_first_ones_only(batch: BatchMock) -> None:
    batch.tasks[:] = [failed(f'{number}.mp4') for number in range(100)]
    batch.file.get_from_task.return_value = [b'Invalid data\n']

    failures = sample.failed_tasks(batch.client, JOB_ID)

    assert len(failures) == 100
    assert batch.file.get_from_task.call_count == sample._SHOWN_FILES
    batch.file.get_from_task.assert_any_call(JOB_ID, 'Task-0.mp4', 'stderr.txt')
