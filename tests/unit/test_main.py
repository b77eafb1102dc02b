"""A whole run against mocked clients: what the user gets, the exit code, and what is left."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from azure.core.exceptions import DeserializationError
from msrest.exceptions import ClientRequestError

import batch_python_tutorial_ffmpeg as sample

from .conftest import BATCH_KEY, STORAGE_KEY, Clock, RunMain
from .mocks import INPUT, MP3S, OUTPUT, Azure
from .service_objects import batch_error, damaged, failed, storage_error, task_counts, unfinished


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


# --- Success --------------------------------------------------------------------------------------


def test_main_turns_every_video_into_an_mp3_and_leaves_nothing_that_bills(
    run_main: RunMain, azure: Azure, output: Path
) -> None:
    exit_code = run_main('-y')

    assert exit_code == 0
    assert files_in(output) == MP3S
    assert azure.made == {OUTPUT}


def test_main_prints_the_transcript_of_the_tutorial(
    run_main: RunMain, azure: Azure, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_main('-y')

    lines = capsys.readouterr().out.replace('\n\n', '\n').strip().splitlines()
    assert lines[0].startswith('Sample start: 2026-11-2')
    assert lines[1:3] == ['Container [input] created.', 'Container [output] created.']
    assert sorted(lines[3:6]) == [
        'Uploading file a.mp4 to container [input]...',
        'Uploading file b.c.mp4 to container [input]...',
        'Uploading file sub/d.MP4 to container [input]...',
    ]
    assert lines[6:-4] == [
        'Creating pool [LinuxFFmpegPool]...',
        'Creating job [LinuxFFmpegJob]...',
        'Adding 3 tasks to job [LinuxFFmpegJob]...',
        "Monitoring all tasks for 'Completed' state, timeout in 00:30:00...",
        'Success! All tasks completed successfully within the specified timeout period.',
        f'Downloading 3 files from container [output] to {output}...',
        'Deleting container [input]...',
    ]
    assert lines[-4].startswith('Sample end: 2026-11-2')
    assert lines[-3].startswith('Elapsed time: 0:0')
    assert lines[-2:] == ['Delete job? [Y/n] yes', 'Delete pool? [Y/n] yes']
    assert azure.made == {OUTPUT}


def test_main_ends_with_the_table_and_what_is_left(
    run_main: RunMain,
    azure: Azure,  # noqa: ARG001 - its clients are used
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_main('-y')

    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith('File (3 of 3)') for line in lines)
    assert lines[-2].startswith('Work: 270.0 s in 90.0 s, 3.0 times as fast as one node.')
    assert lines[-1].startswith('Nothing that bills is left')


def test_main_lets_the_tasks_write_and_not_read_the_output_container(
    run_main: RunMain, azure: Azure
) -> None:
    run_main('-y')

    tasks = azure.batch.task.add_collection.call_args.args[1]
    urls = {task.output_files[0].destination.container.container_url for task in tasks}
    assert all('sp=cw&' in url for url in urls)


def test_main_deletes_the_pool_before_the_downloads_if_nobody_is_asked(
    run_main: RunMain, azure: Azure, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_at_download: set[str] = set()
    blob = azure.storage.blob(OUTPUT, 'a.mp3')
    downloader = blob.download_blob.return_value

    def download(**_: object) -> object:
        made_at_download.update(azure.made)
        return downloader

    monkeypatch.setattr(blob, 'download_blob', download)

    assert run_main('-y') == 0
    assert made_at_download == {INPUT, OUTPUT, 'job'}


def test_main_keeps_job_and_pool_if_told_so(run_main: RunMain, azure: Azure) -> None:
    assert run_main('--keep') == 0
    assert azure.made == {OUTPUT, 'job', 'pool'}


def test_main_without_a_terminal_deletes_by_default(run_main: RunMain, azure: Azure) -> None:
    assert run_main() == 0
    assert azure.made == {OUTPUT}


def test_main_gives_the_lease_back(run_main: RunMain, azure: Azure) -> None:
    run_main('-y')

    azure.lease.release.assert_called_once_with()


def test_main_takes_the_options_into_account(run_main: RunMain, azure: Azure) -> None:
    run_main('-y', '--dedicated', '2', '--low-priority', '3', '--vm-size', 'STANDARD_D2_V3')

    (pool,) = azure.batch.pool.add.call_args.args
    assert (pool.target_dedicated_nodes, pool.target_low_priority_nodes) == (2, 3)
    assert pool.vm_size == 'STANDARD_D2_V3'


# --- Files that were not converted ----------------------------------------------------------------


def test_main_with_a_failed_task_downloads_the_others_and_has_exit_code_1(
    run_main: RunMain, azure: Azure, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    azure.batch.tasks[0] = failed('a.mp4', exit_code=69)
    azure.batch.file.get_from_task.return_value = [b'Invalid data found\n']

    exit_code = run_main('-y')

    printed = capsys.readouterr()
    assert exit_code == 1
    assert sorted(files_in(output)) == ['b.c.mp3', 'sub/d.mp3']
    assert 'Success' not in printed.out
    assert 'a.mp4 failed: exit code 69\n    Invalid data found\n' in printed.err
    assert 'Error: 1 of 3 files failed.' in printed.err
    assert azure.made == {OUTPUT}


def test_main_with_a_damaged_video_downloads_it_and_has_exit_code_1(
    run_main: RunMain, azure: Azure, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    azure.batch.tasks[0] = damaged('a.mp4')
    azure.batch.file.get_from_task.return_value = [b'partial file\n']

    exit_code = run_main('-y')

    printed = capsys.readouterr()
    assert exit_code == 1
    assert files_in(output) == MP3S
    assert 'Success' not in printed.out
    assert 'a.mp4 damaged: ffmpeg reported errors\n    partial file\n' in printed.err
    assert 'Error: 0 of 3 files failed. 1 are damaged.' in printed.err


def test_main_with_a_download_that_fails_has_exit_code_1(
    run_main: RunMain, azure: Azure, output: Path
) -> None:
    azure.storage.put_output('a.mp3', b'ID3')

    exit_code = run_main('-y')

    assert exit_code == 1
    assert sorted(files_in(output)) == ['b.c.mp3', 'sub/d.mp3']
    assert azure.made == {OUTPUT}


def test_main_after_the_timeout_has_exit_code_1_and_cleans_up(
    run_main: RunMain, azure: Azure, output: Path, clock: Clock
) -> None:
    azure.batch.tasks[1] = unfinished('b.c.mp4', 'running')
    azure.storage.container(OUTPUT).list_blobs.return_value.pop(1)

    exit_code = run_main('-y', '--timeout', '20')

    assert exit_code == 1
    assert clock.elapsed == pytest.approx(20 * 60, abs=1)
    assert sorted(files_in(output)) == ['a.mp3', 'sub/d.mp3']
    assert azure.made == {OUTPUT}


# --- Errors and interrupts in any step ------------------------------------------------------------


def step(name: str, azure: Azure) -> Any:
    """Return the request of that name."""
    steps = {
        'create-input-container': azure.storage.container(INPUT).create_container,
        'upload': azure.storage.blob(INPUT, 'a.mp4').upload_blob,
        'create-pool': azure.batch.pool.add,
        'create-job': azure.batch.job.add,
        'add-tasks': azure.batch.task.add_collection,
        'count-tasks': azure.batch.job.get_task_counts,
        'list-tasks': azure.batch.task.list,
        'list-mp3s': azure.storage.container(OUTPUT).list_blobs,
        'download': azure.storage.blob(OUTPUT, 'a.mp3').download_blob,
    }
    return steps[name]


STEPS = [
    'create-input-container',
    'upload',
    'create-pool',
    'create-job',
    'add-tasks',
    'count-tasks',
    'list-tasks',
    'list-mp3s',
    'download',
]


@pytest.mark.parametrize('name', STEPS)
@pytest.mark.parametrize(
    ('error', 'words'),
    [
        pytest.param(batch_error('X', 'Not now.'), 'X: Not now.', id='batch'),
        pytest.param(storage_error('X', 'Not you.'), 'X: Not you.', id='storage'),
        pytest.param(OSError(13, 'Permission denied', 'x'), ': Permission denied', id='system'),
    ],
)
def test_main_cleans_up_after_an_error_in_any_step(
    error: Exception,
    words: str,
    name: str,
    run_main: RunMain,
    azure: Azure,
    capsys: pytest.CaptureFixture[str],
) -> None:
    step(name, azure).side_effect = error

    exit_code = run_main('-y')

    assert exit_code == 1
    assert azure.made == {OUTPUT}
    assert words in capsys.readouterr().err


def interrupt_during(request: Any, number: signal.Signals) -> None:
    """Let a signal arrive while a request is under way, which then ends as it would have."""
    answer: Callable[..., Any] | None = request.side_effect
    result = request.return_value

    def interrupted(*arguments: Any, **options: Any) -> Any:
        if not sample.stop.signals:
            signal.raise_signal(number)
        return answer(*arguments, **options) if answer else result

    request.side_effect = interrupted


@pytest.mark.parametrize('name', STEPS)
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_main_interrupted_in_any_step_cleans_up_and_has_exit_code_130(
    number: signal.Signals, name: str, run_main: RunMain, azure: Azure
) -> None:
    interrupt_during(step(name, azure), number)

    exit_code = run_main('-y')

    assert exit_code == 130
    assert azure.made == {OUTPUT}
    azure.lease.release.assert_called_once_with()


def test_main_interrupted_tells_where_the_finished_mp3s_are(
    run_main: RunMain, azure: Azure, capsys: pytest.CaptureFixture[str]
) -> None:
    azure.batch.tasks[1] = unfinished('b.c.mp4', 'running')
    azure.batch.job.get_task_counts.return_value = task_counts(running=1, completed=2)
    azure.storage.container(OUTPUT).list_blobs.return_value.pop(1)
    interrupt_during(azure.batch.account.list_pool_node_counts, signal.SIGINT)

    exit_code = run_main('-y')

    printed = capsys.readouterr().err
    assert exit_code == 130
    assert '2 MP3s of this run are in container [output], 0 of them have arrived' in printed
    assert 'az storage blob download-batch --source output' in printed
    assert 'Error' not in printed


@pytest.mark.parametrize('name', ['create-pool', 'create-job', 'add-tasks'])
def test_main_cleans_up_after_an_answer_that_is_not_of_batch(
    name: str, run_main: RunMain, azure: Azure, capsys: pytest.CaptureFixture[str]
) -> None:
    """A proxy may answer 200 with a page of its own."""
    step(name, azure).side_effect = DeserializationError('Cannot deserialize: text/html')

    exit_code = run_main('-y')

    assert exit_code == 1
    assert azure.made == {OUTPUT}
    assert 'Error: The answer did not come from Batch. ' in capsys.readouterr().err


def test_main_interrupted_in_its_cleanup_finishes_it(run_main: RunMain, azure: Azure) -> None:
    interrupt_during(azure.storage.container(INPUT).delete_container, signal.SIGINT)

    exit_code = run_main('-y')

    assert exit_code == 130
    assert azure.made == {OUTPUT}


def test_main_says_what_failed_before_it_cleans_up(
    run_main: RunMain, azure: Azure, capsys: pytest.CaptureFixture[str]
) -> None:
    azure.batch.pool.add.side_effect = batch_error('PoolQuotaReached', 'No more pools.')
    azure.batch.job.delete.side_effect = batch_error('InternalError')

    exit_code = run_main('-y')

    lines = capsys.readouterr().err.splitlines()
    assert exit_code == 1
    assert [line for line in lines if line.startswith('Error: ')] == [
        f'Error: {sample.describe(batch_error("PoolQuotaReached", "No more pools."))}'
    ]


def test_main_cleans_up_after_a_bug_and_keeps_its_traceback(
    run_main: RunMain, azure: Azure
) -> None:
    azure.batch.job.add.side_effect = ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_main('-y')

    assert azure.made == {OUTPUT}
    azure.lease.release.assert_called_once_with()


@pytest.mark.parametrize('kind', ['job', 'pool'])
def test_main_whose_cleanup_may_have_left_something_has_exit_code_1(
    kind: str, run_main: RunMain, azure: Azure, capsys: pytest.CaptureFixture[str]
) -> None:
    getattr(azure.batch, kind).delete.side_effect = ClientRequestError('no route')

    exit_code = run_main('-y')

    assert exit_code == 1
    assert azure.made == {OUTPUT, kind}
    assert f'The {kind} may be left' in capsys.readouterr().err


LOST = storage_error('LeaseIdMismatchWithLeaseOperation', status=409)


@pytest.mark.parametrize('name', [None, 'create-pool', 'count-tasks'])
def test_main_that_has_lost_its_lease_deletes_nothing_and_has_exit_code_1(
    name: str | None, run_main: RunMain, azure: Azure, capsys: pytest.CaptureFixture[str]
) -> None:
    azure.lease.renew.side_effect = LOST
    if name:
        step(name, azure).side_effect = batch_error('OperationTimedOut')

    exit_code = run_main('--keep')

    printed = capsys.readouterr().err
    assert exit_code == 1
    assert INPUT in azure.made
    assert 'Nothing is deleted, since another run may use it. Its nodes and files bill.' in printed
    for kind in ('job', 'pool', 'container'):
        assert f'  {sample.deletion_command(kind)}\n' in printed
    assert 'MP3s of this run' not in printed
    azure.lease.release.assert_not_called()


def test_main_that_has_lost_its_lease_at_the_end_says_so(
    run_main: RunMain,
    azure: Azure,
    capsys: pytest.CaptureFixture[str],
) -> None:
    azure.lease.renew.side_effect = LOST

    run_main('--keep')

    printed = capsys.readouterr().err
    assert printed.count('Error: ') == 1
    assert 'Error: Another run has taken over container [output], or somebody has' in printed


def test_main_prints_neither_key_nor_sas(
    run_main: RunMain, azure: Azure, capsys: pytest.CaptureFixture[str]
) -> None:
    url = 'https://mystorage/input/a.mp4?sp=r&sig=c2Vj'
    azure.batch.tasks[0] = failed('a.mp4', exit_code=None, code='X', message=f'No {url}')
    azure.batch.file.get_from_task.side_effect = batch_error('X', f'No {url}')
    azure.batch.job.delete.side_effect = batch_error('X', f'No {url}')

    run_main('-y')

    printed = capsys.readouterr()
    for secret in ('sig=', BATCH_KEY, STORAGE_KEY):
        assert secret not in printed.out + printed.err


# --- leave ----------------------------------------------------------------------------------------


@pytest.mark.parametrize('exit_code', [0, 1, 130])
def test_process_ends_at_once(exit_code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, '_exit', codes.append)

    sample.leave(exit_code)

    assert codes == [exit_code]


def test_process_of_a_notebook_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(_code: int) -> NoReturn:
        pytest.fail('the process of the notebook ends')

    monkeypatch.setattr(os, '_exit', end)
    monkeypatch.setattr(sys, 'ps1', 'In [1]: ', raising=False)

    with pytest.raises(SystemExit) as raised:
        sample.leave(1)

    assert raised.value.code == 1
