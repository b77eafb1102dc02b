"""Results: what became of each video, from its task's execution info and ffmpeg's words."""

from __future__ import annotations

from typing import Any

import pytest
from azure.batch import models

import batch_python_tutorial_ffmpeg as sample

from .conftest import Clock
from .mocks import BatchMock
from .service_objects import BEGAN, batch_error, damaged, failed, succeeded, unfinished

JOB_ID = sample._JOB_ID
SAS_URL = 'https://mystorage.blob.core.windows.net/input/a.mp4?se=2026-11-22&sp=r&sig=c2VjcmV0%3D'


def read(batch: BatchMock, *tasks: models.CloudTask, **options: Any) -> list[sample.VideoResult]:
    batch.tasks[:] = tasks
    return list(sample.read_results(batch.client, JOB_ID, **options).values())


@pytest.fixture(autouse=True)
def silent_ffmpeg(batch: BatchMock) -> None:
    batch.file.get_from_task.return_value = []


# --- Status and reason ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('task', 'status', 'reason'),
    [
        pytest.param(succeeded('a.mp4'), 'ok', '', id='ok'),
        pytest.param(damaged('a.mp4'), 'damaged', 'ffmpeg reported errors', id='damaged'),
        pytest.param(failed('a.mp4', exit_code=69), 'failed', 'exit code 69', id='exit-code'),
        pytest.param(
            failed('a.mp4', exit_code=1, code='FileUploadMiscError'),
            'failed',
            'exit code 1',
            id='exit-code-and-therefore-no-file',
        ),
        pytest.param(
            failed('a.mp4', exit_code=0, code='FileUploadContainerNotFound', message='No.'),
            'failed',
            'FileUploadContainerNotFound: No. Was container [output] deleted meanwhile?',
            id='upload-failed',
        ),
        pytest.param(
            failed('a.mp4', exit_code=None, code='BlobNotFound', message='No blob.\nTime: 1'),
            'failed',
            'BlobNotFound: No blob. Was container [input], or a file in it, deleted meanwhile?',
            id='never-ran',
        ),
        pytest.param(
            failed('a.mp4', exit_code=None, code='TaskEnded', message='Terminated by the user.'),
            'failed',
            'TaskEnded: Terminated by the user.',
            id='terminated',
        ),
        pytest.param(
            failed('a.mp4', exit_code=137, code='TaskEnded', message='The time is over.'),
            'failed',
            'TaskEnded: The time is over.',
            id='terminated-while-it-ran',
        ),
        pytest.param(unfinished('a.mp4'), 'failed', 'not done: active', id='waits'),
        pytest.param(unfinished('a.mp4', 'running'), 'failed', 'not done: running', id='runs'),
    ],
)
def test_result_is_that_of_the_task(
    task: models.CloudTask, status: str, reason: str, batch: BatchMock
) -> None:
    (result,) = read(batch, task)

    assert (result.status, result.reason) == (status, reason)


def test_result_of_an_unfinished_task_names_the_problem(batch: BatchMock) -> None:
    tasks = (succeeded('a.mp4'), failed('b.mp4', exit_code=7), unfinished('c.mp4'))

    ok, bad, waiting = read(batch, *tasks, problem='The pool is gone')

    assert ok.status == 'ok'
    assert bad.reason == 'exit code 7'
    assert waiting.reason == 'not done: The pool is gone'


def test_results_are_by_the_names_of_the_videos(batch: BatchMock) -> None:
    batch.tasks[:] = [succeeded('a.mp4'), succeeded('sub/b.mp4')]

    results = sample.read_results(batch.client, JOB_ID)

    assert {name: result.name for name, result in results.items()} == {
        'a.mp4': 'a.mp4',
        'sub/b.mp4': 'sub/b.mp4',
    }


@pytest.mark.parametrize(
    ('task', 'done'),
    [(succeeded('a.mp4'), True), (failed('a.mp4'), True), (unfinished('a.mp4', 'running'), False)],
    ids=['ok', 'failed', 'runs'],
)
def test_result_tells_whether_the_task_has_ended(
    task: models.CloudTask, done: bool, batch: BatchMock
) -> None:
    (result,) = read(batch, task)

    assert result.done is done


def test_results_are_read_with_one_listing_of_what_is_needed(batch: BatchMock) -> None:
    read(batch, succeeded('a.mp4'))

    batch.task.list.assert_called_once()
    job_id, options = batch.task.list.call_args.args
    assert job_id == JOB_ID
    assert set(options.select.split(',')) == {
        'id',
        'displayName',
        'state',
        'creationTime',
        'executionInfo',
        'nodeInfo',
    }


def test_reason_of_the_service_holds_no_sas(batch: BatchMock) -> None:
    task = failed('a.mp4', exit_code=None, code='BlobAccessDenied', message=f'No: {SAS_URL}')

    (result,) = read(batch, task)

    assert 'sig=' not in result.reason
    assert result.reason.startswith('BlobAccessDenied: No: https://mystorage')


# --- Last words of ffmpeg -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('task', 'reason'),
    [
        (failed('a.mp4', exit_code=69), 'exit code 69\n    moov atom not found'),
        (damaged('a.mp4'), 'ffmpeg reported errors\n    moov atom not found'),
    ],
    ids=['failed', 'damaged'],
)
def test_reason_ends_with_the_last_words_of_ffmpeg(
    task: models.CloudTask, reason: str, batch: BatchMock
) -> None:
    batch.file.get_from_task.return_value = [b'moov atom not found\n']

    (result,) = read(batch, task)

    assert result.reason == reason
    batch.file.get_from_task.assert_called_once_with(JOB_ID, 'Task-a.mp4', 'stderr.txt')


def test_reason_says_that_a_video_has_no_audio_track(batch: BatchMock) -> None:
    batch.file.get_from_task.return_value = [b'Output file does not contain any stream\n']

    (result,) = read(batch, failed('a.mp4', exit_code=234))

    assert result.reason == (
        'exit code 234: no audio track\n    Output file does not contain any stream'
    )


def test_reason_without_last_words_says_why_there_are_none(batch: BatchMock) -> None:
    batch.file.get_from_task.side_effect = batch_error('FileNotFound', 'No such file.', 404)

    (result,) = read(batch, failed('a.mp4', exit_code=None, code='BlobDownloadMiscError'))

    assert result.reason == (
        'BlobDownloadMiscError: The task failed.\n    no stderr: FileNotFound: No such file.'
    )


def test_last_words_are_read_of_the_first_failed_files_only(batch: BatchMock) -> None:
    tasks = [failed(f'{number}.mp4') for number in range(100)]

    results = read(batch, succeeded('ok.mp4'), *tasks)

    asked = [call.args[1] for call in batch.file.get_from_task.call_args_list]
    assert len(results) == 101
    assert asked == [f'Task-{number}.mp4' for number in range(20)]


def test_last_words_are_not_read_of_files_that_are_ok_or_not_done(batch: BatchMock) -> None:
    read(batch, succeeded('a.mp4'), unfinished('b.mp4', 'running'))

    batch.file.get_from_task.assert_not_called()


# --- When and where -------------------------------------------------------------------------------


def test_times_are_those_of_the_task(batch: BatchMock) -> None:
    (result,) = read(batch, succeeded('a.mp4'))

    assert (result.wait_seconds, result.run_seconds) == (60, 90)
    assert result.node_id == 'tvmps_0123456789abcdef_p'


def test_task_that_still_runs_has_run_until_now(batch: BatchMock, clock: Clock) -> None:
    task = unfinished('a.mp4', 'running')
    task.execution_info.start_time = BEGAN
    clock.sleep(30)

    (result,) = read(batch, task)

    assert (result.wait_seconds, result.run_seconds) == (0, 30)


def test_task_that_never_ran_has_no_times(batch: BatchMock) -> None:
    (result,) = read(batch, unfinished('a.mp4'))

    assert (result.wait_seconds, result.run_seconds) == (0, 0)
    assert (result.started, result.ended) == (None, None)
    assert result.node_id == '-'


def test_task_without_execution_info_is_no_obstacle(batch: BatchMock) -> None:
    task = unfinished('a.mp4')
    task.execution_info = None

    (result,) = read(batch, task)

    assert result.reason == 'not done: active'


def test_task_on_a_node_without_a_name_has_a_dash(batch: BatchMock) -> None:
    task = succeeded('a.mp4')
    task.node_info = models.ComputeNodeInformation()

    (result,) = read(batch, task)

    assert result.node_id == '-'
