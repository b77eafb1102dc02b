"""Tasks: one for each video, names as data only, in requests of at most 100, each confirmed."""

from __future__ import annotations

from typing import Any

import pytest
from azure.batch import models

import batch_python_tutorial_ffmpeg as sample

from .mocks import STORAGE_URL, BatchMock
from .service_objects import batch_error

JOB_ID = sample._JOB_ID
OUTPUT_SAS_URL = f'{STORAGE_URL}/output?sp=cw&sig=c2VjcmV0'
NASTY_NAMES = [
    '$(reboot).mp4',
    "'; rm -rf *; '.mp4",
    'a*?[b].mp4',
    '-version.mp4',
    'sub/%AZ_BATCH%.mp4',
    'vidéo.mp4',
]


def resource_files(names: list[str]) -> list[models.ResourceFile]:
    """Return the uploaded videos of these names."""
    return [
        models.ResourceFile(
            http_url=f'{STORAGE_URL}/input/{number}?sp=r&sig={number}', file_path=name
        )
        for number, name in enumerate(names)
    ]


def added_tasks(batch: BatchMock, names: list[str]) -> list[Any]:
    """Return all tasks that add_tasks sends for videos of these names."""
    sample.add_tasks(batch.client, JOB_ID, resource_files(names), OUTPUT_SAS_URL)
    return [task for call in batch.task.add_collection.call_args_list for task in call.args[1]]


def many(number: int) -> list[str]:
    return [f'{index}.mp4' for index in range(number)]


def test_task_reads_its_video_and_uploads_its_mp3_with_their_sas(batch: BatchMock) -> None:
    (task,) = added_tasks(batch, ['sub/a.b.mp4'])

    (resource_file,) = task.resource_files
    (output_file,) = task.output_files
    assert resource_file.http_url == f'{STORAGE_URL}/input/0?sp=r&sig=0'
    assert output_file.destination.container.container_url == OUTPUT_SAS_URL
    assert output_file.destination.container.path == 'sub/a.b.mp3'


def test_task_uploads_only_what_a_success_has_made(batch: BatchMock) -> None:
    (task,) = added_tasks(batch, ['a.mp4'])

    assert (
        task.output_files[0].upload_options.upload_condition
        == models.OutputFileUploadCondition.task_success
    )


def test_task_has_the_name_of_its_video_to_be_shown(batch: BatchMock) -> None:
    tasks = added_tasks(batch, ['a.mp4', 'sub/b.mp4'])

    assert [task.display_name for task in tasks] == ['a.mp4', 'sub/b.mp4']


def test_task_ends_by_itself_and_is_tried_once_more(batch: BatchMock) -> None:
    (task,) = added_tasks(batch, ['a.mp4'])

    assert task.constraints.max_wall_clock_time == sample._TASK_TIMEOUT
    assert task.constraints.max_task_retry_count == 1


@pytest.mark.parametrize('name', NASTY_NAMES)
def test_task_has_no_part_of_a_file_name_in_command_pattern_and_path(
    name: str, batch: BatchMock
) -> None:
    (plain,) = added_tasks(BatchMock(), ['plain.mp4'])

    (task,) = added_tasks(batch, [name])

    assert task.command_line == plain.command_line == sample._TASK_COMMAND
    assert task.output_files[0].file_pattern == plain.output_files[0].file_pattern
    assert set(task.output_files[0].file_pattern).isdisjoint('*?[]')
    assert task.resource_files[0].file_path == plain.resource_files[0].file_path
    assert task.resource_files[0].file_path in task.command_line
    assert task.output_files[0].file_pattern in task.command_line
    assert task.id == plain.id
    assert not task.environment_settings


def test_tasks_of_250_videos_go_in_three_requests(batch: BatchMock) -> None:
    tasks = added_tasks(batch, many(250))

    sent = batch.task.add_collection.call_args_list
    assert sorted(len(call.args[1]) for call in sent) == [50, 100, 100]
    assert {call.args[0] for call in sent} == {JOB_ID}
    assert sorted(task.display_name for task in tasks) == sorted(many(250))
    assert len({task.id for task in tasks}) == 250


@pytest.mark.parametrize(('number', 'requests'), [(1, 1), (99, 1), (100, 1), (101, 2)])
def test_tasks_fill_their_requests(number: int, requests: int, batch: BatchMock) -> None:
    tasks = added_tasks(batch, many(number))

    assert len(tasks) == number
    assert batch.task.add_collection.call_count == requests


def test_tasks_are_announced(batch: BatchMock, capsys: pytest.CaptureFixture[str]) -> None:
    added_tasks(batch, many(5))

    assert capsys.readouterr().out == 'Adding 5 tasks to job [LinuxFFmpegJob]...\n'


@pytest.mark.parametrize('lost', [[0], [149], list(range(150))], ids=['first', 'last', 'all'])
def test_tasks_that_are_not_confirmed_are_an_error(lost: list[int], batch: BatchMock) -> None:
    def add(_job_id: str, tasks: list[Any]) -> models.TaskAddCollectionResult:
        lost_names = {f'{number}.mp4' for number in lost}
        results = [
            models.TaskAddResult(status='success', task_id=task.id)
            for task in tasks
            if task.display_name not in lost_names
        ]
        return models.TaskAddCollectionResult(value=results)

    batch.task.add_collection.side_effect = add

    with pytest.raises(sample.SampleError, match=r'did not confirm \d+ tasks, among them Task'):
        added_tasks(batch, many(150))


def test_tasks_that_batch_refuses_are_an_error(batch: BatchMock) -> None:
    batch.task.add_collection.side_effect = batch_error('JobCompleted')

    with pytest.raises(models.BatchErrorException):
        added_tasks(batch, many(3))
