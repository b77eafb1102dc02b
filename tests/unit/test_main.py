"""A whole run against mocked clients: what the user gets, the exit code, and that nothing is left behind."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import Mock

import pytest

import batch_python_tutorial_ffmpeg as sample

from .conftest import BATCH_KEY, STORAGE_KEY, Clock, Run
from .mocks import MP3S, VIDEOS, Azure
from .service_objects import batch_error, failed, storage_error, unfinished

INPUT, OUTPUT = sample._INPUT_CONTAINER_NAME, sample._OUTPUT_CONTAINER_NAME


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


# --- Success ----------------------------------------------------------------------------------------------------------
def test_main_turns_every_video_into_an_mp3_and_leaves_nothing_that_bills(
    run: Run, azure: Azure, output: Path
) -> None:
    exit_code = run('-y')

    assert exit_code == 0
    assert files_in(output) == MP3S
    assert azure.made == {OUTPUT}


def test_main_prints_the_transcript_of_the_tutorial(
    run: Run, azure: Azure, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run('-y')

    transcript = capsys.readouterr().out
    lines = [line for line in transcript.splitlines() if line]
    assert lines[0].startswith('Sample start: 2026-11-2')
    assert lines[1:-4] == [
        'Container [input] created.',
        'Container [output] created.',
        *(f'Uploading file {name} to container [input]...' for name in VIDEOS),
        'Creating pool [LinuxFFmpegPool]...',
        'Creating job [LinuxFFmpegJob]...',
        'Adding 3 tasks to job [LinuxFFmpegJob]...',
        "Monitoring all tasks for 'Completed' state, timeout in 00:30:00...",
        'Success! All tasks completed successfully within the specified timeout period.',
        f'Downloading 3 files from container [output] to {output}...',
        'Deleting container [input]...',
    ]
    assert [line.partition(':')[0].partition(' [')[0] for line in lines[-4:]] == [
        'Sample end', 'Elapsed time', 'Delete job?', 'Delete pool?'
    ]  # fmt: skip
    assert azure.made == {OUTPUT}


def test_main_lets_the_tasks_write_and_not_read_the_output_container(
    run: Run, azure: Azure
) -> None:
    run('-y')

    tasks = azure.batch.task.add_collection.call_args.args[1]
    urls = {task.output_files[0].destination.container.container_url for task in tasks}
    assert all('sp=cw&' in url for url in urls)


def test_main_keeps_job_and_pool_if_told_so(run: Run, azure: Azure) -> None:
    assert run('--keep') == 0
    assert azure.made == {OUTPUT, 'job', 'pool'}


def test_main_without_a_terminal_deletes_by_default(run: Run, azure: Azure) -> None:
    assert run() == 0
    assert azure.made == {OUTPUT}


# --- Failures ---------------------------------------------------------------------------------------------------------
def test_main_with_a_failed_task_downloads_the_others_and_has_exit_code_1(
    run: Run, azure: Azure, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    azure.batch.tasks[0] = failed('a.mp4', exit_code=69)
    azure.batch.file.get_from_task.return_value = [b'Invalid data found\n']

    exit_code = run('-y')

    printed = capsys.readouterr()
    assert exit_code == 1
    assert sorted(files_in(output)) == ['b.c.mp3', 'sub/d.mp3']
    assert 'Success' not in printed.out
    assert ' failed\n    exit code 69\n    Invalid data found\n' in printed.err
    assert 'Error: 1 of 3 files failed.' in printed.err
    assert azure.made == {OUTPUT}


def test_main_with_a_download_that_fails_has_exit_code_1(
    run: Run, azure: Azure, output: Path
) -> None:
    azure.storage.put_output('a.mp3', b'ID3')

    exit_code = run('-y')

    assert exit_code == 1
    assert sorted(files_in(output)) == ['b.c.mp3', 'sub/d.mp3']
    assert azure.made == {OUTPUT}


def test_main_after_the_timeout_has_exit_code_1_and_cleans_up(
    run: Run, azure: Azure, clock: Clock
) -> None:
    azure.batch.tasks[1] = unfinished('b.c.mp4', 'running')

    exit_code = run('-y')

    assert exit_code == 1
    assert clock.elapsed == sample._JOB_TIMEOUT.total_seconds()
    assert azure.made == {OUTPUT}


def interrupted(*_: object) -> None:
    signal.raise_signal(signal.SIGINT)


STEPS = [
    'create_container',
    'upload_input_files',
    'get_container_sas_url',
    'create_pool',
    'create_job',
    'add_tasks',
    'wait_for_tasks_to_complete',
    'find_outputs',
    'download_outputs',
]


@pytest.mark.parametrize('step', STEPS)
@pytest.mark.parametrize(
    'error',
    [batch_error('PoolQuotaReached'), storage_error('AuthorizationFailure')],
    ids=['batch', 'storage'],
)
def test_main_cleans_up_after_an_error_in_any_step(
    step: str, error: Exception, run: Run, azure: Azure, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(sample, step, fail)

    assert run('-y') == 1
    assert azure.made <= {OUTPUT}


@pytest.mark.parametrize('step', STEPS)
def test_main_interrupted_in_any_step_cleans_up_and_has_exit_code_130(
    step: str, run: Run, azure: Azure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, step, interrupted)

    assert run('-y') == 130
    assert azure.made <= {OUTPUT}


def test_main_cleans_up_with_clients_whose_locks_no_interrupt_has_left_taken(
    run: Run, azure: Azure, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[Any, Any]] = []

    def create_clients() -> tuple[Any, Any]:
        made.append((Mock(wraps=azure.batch.client), Mock(wraps=azure.storage.client)))
        return made[-1]

    monkeypatch.setattr(sample, 'create_clients', create_clients)
    monkeypatch.setattr(sample, 'check_what_exists', interrupted_later := Mock())
    monkeypatch.setattr(sample, 'create_container', interrupted)
    monkeypatch.setattr(sample, 'clean_up', cleanup := Mock(return_value=True))

    assert run('-y') == 130
    assert interrupted_later.call_args.args[:2] == made[0]
    assert cleanup.call_args.args[:2] == made[1]


def test_main_prints_neither_key_nor_sas(
    run: Run, azure: Azure, capsys: pytest.CaptureFixture[str]
) -> None:
    azure.batch.tasks[0] = failed('a.mp4', exit_code=None)
    azure.batch.file.get_from_task.side_effect = batch_error(
        'X', 'No https://mystorage/input/a.mp4?sp=r&sig=c2Vj'
    )

    run('-y')

    printed = capsys.readouterr()
    for secret in ('sig=', BATCH_KEY, STORAGE_KEY):
        assert secret not in printed.out + printed.err
