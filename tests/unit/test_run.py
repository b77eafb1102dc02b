"""The steps of a run in their order, and the cleanup after whatever happens."""

from __future__ import annotations

import builtins
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ServiceRequestError

import batch_python_tutorial_ffmpeg as sample

from .conftest import RunMain, Typed
from .mocks import INPUT, MP3S, OUTPUT, Azure
from .service_objects import (
    SOMEBODY,
    batch_error,
    blob_properties,
    damaged,
    failed,
    job,
    sas_of,
    storage_error,
    succeeded,
    unfinished,
)


def downloaded(output: Path) -> dict[str, bytes]:
    return {
        path.relative_to(output).as_posix(): path.read_bytes()
        for path in output.rglob('*')
        if path.is_file()
    }


def at_the_first_poll(azure: Azure, do: Callable[[], object]) -> None:
    """Let something happen when the run looks at its tasks for the first time."""
    counts = azure.batch.job.get_task_counts.return_value

    def look(*_: object) -> Any:
        do()
        return counts

    azure.batch.job.get_task_counts.side_effect = look


def test_a_run_with_y_converts_all_and_leaves_only_the_outputs(
    azure: Azure, run_main: RunMain, output: Path
) -> None:
    exit_code = run_main('-y')

    assert exit_code == 0
    assert downloaded(output) == MP3S
    assert azure.made == {OUTPUT}
    azure.lease.release.assert_called_once()


def test_the_options_reach_both_services(azure: Azure, run_main: RunMain) -> None:
    argv = '-y --dedicated 1 --low-priority 2 --vm-size STANDARD_D2S_V3 --timeout 120'

    assert run_main(*argv.split()) == 0

    pool = azure.batch.pool.add.call_args.args[0]
    assert pool.vm_size == 'STANDARD_D2S_V3'
    assert '$TargetDedicatedNodes = time() < time("2026-11-22T17:50:21Z") ? 1' in (
        pool.auto_scale_formula
    )
    assert '$TargetLowPriorityNodes = time() < time("2026-11-22T17:50:21Z") ? 2' in (
        pool.auto_scale_formula
    )
    sent = azure.batch.job.add.call_args.args[0]
    assert sent.constraints.max_wall_clock_time == timedelta(hours=2, minutes=30)


def test_the_nodes_may_read_one_video_and_write_outputs_for_a_day_and_the_time_limit(
    azure: Azure, run_main: RunMain
) -> None:
    run_main('-y', '--timeout', '120')

    task = azure.batch.task.add_collection.call_args.args[1][0]
    output_url = task.output_files[0].destination.container.container_url
    for url, kind, permissions in (
        (task.resource_files[0].http_url, 'b', 'r'),
        (output_url, 'c', 'cw'),
    ):
        sas = sas_of(url)
        assert (sas['sr'], sas['sp'], sas['se']) == (kind, permissions, '2026-11-23T17:20:21Z')


@pytest.mark.parametrize(
    'group_and_call',
    ['pool.add', 'job.add', 'task.add_collection', 'job.get_task_counts', 'task.list'],
)
def test_an_error_at_any_step_is_followed_by_the_cleanup(
    azure: Azure, run_main: RunMain, group_and_call: str
) -> None:
    group, call = group_and_call.split('.')
    getattr(getattr(azure.batch, group), call).side_effect = batch_error('InternalError')

    exit_code = run_main('-y')

    assert exit_code == 1
    assert azure.made == {OUTPUT}


def test_a_bug_keeps_its_traceback_and_is_followed_by_the_cleanup(
    azure: Azure, run_main: RunMain
) -> None:
    azure.batch.job.add.side_effect = ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_main('-y')

    assert azure.made == {OUTPUT}
    azure.lease.release.assert_called_once()


def test_an_upload_that_fails_keeps_what_is_there_where_nobody_is_asked(
    azure: Azure, run_main: RunMain
) -> None:
    azure.storage.blob(INPUT, 'a.mp4').upload_blob.side_effect = storage_error('ServerBusy')

    exit_code = run_main()

    assert exit_code == 1
    assert azure.made == {INPUT, OUTPUT}


@pytest.mark.parametrize('group', ['pool', 'job'])
def test_one_deletion_that_fails_prevents_neither_another_nor_the_downloads(
    azure: Azure, run_main: RunMain, output: Path, group: str
) -> None:
    getattr(azure.batch, group).delete.side_effect = batch_error('InternalError')

    exit_code = run_main('-y')

    assert exit_code == 1
    assert azure.made == {OUTPUT, group}
    assert downloaded(output) == MP3S


@pytest.mark.parametrize('how', ['NotFound', 'BeingDeleted'])
def test_what_is_gone_when_it_is_to_be_deleted_is_no_failure(
    azure: Azure, run_main: RunMain, how: str
) -> None:
    azure.batch.job.delete.side_effect = batch_error(f'Job{how}')
    azure.batch.pool.delete.side_effect = batch_error(f'Pool{how}')
    container = azure.storage.container(INPUT)
    container.delete_container.side_effect = storage_error(f'Container{how}')

    assert run_main('-y') == 0


def test_a_job_that_is_being_deleted_at_the_end_is_not_asked_about(
    azure: Azure, run_main: RunMain, typed: Typed
) -> None:
    prompts = typed('')

    def end_the_job() -> None:
        azure.batch.job.get.side_effect = None
        azure.batch.job.get.return_value = job(state='deleting')

    at_the_first_poll(azure, end_the_job)

    assert run_main() == 0

    assert len(prompts) == 1
    assert azure.made == {OUTPUT, 'job'}


def test_what_has_become_somebody_elses_is_neither_deleted_nor_named(
    azure: Azure, run_main: RunMain, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = typed()
    monkeypatch.setattr(sample, 'az_commands', lambda *_: pytest.fail('it is named'))
    at_the_first_poll(azure, lambda: setattr(azure, 'metadata', SOMEBODY))

    run_main()

    assert azure.made == {INPUT, OUTPUT, 'job', 'pool'}
    assert prompts == []


@pytest.mark.parametrize(
    ('task', 'exit_code', 'input_is_left'),
    [
        (succeeded('a.mp4'), 0, False),
        (damaged('a.mp4'), 1, False),
        (failed('a.mp4', exit_code=1), 1, False),
        (failed('a.mp4', exit_code=None, code='BlobDownloadMiscError'), 1, True),
        (failed('a.mp4', exit_code=0, code='FileUploadMiscError'), 1, True),
    ],
    ids=['converted', 'damaged', 'failed', 'not downloaded by the node', 'not uploaded'],
)
def test_the_videos_stay_if_one_has_no_verdict(
    azure: Azure, run_main: RunMain, task: Any, exit_code: int, input_is_left: bool
) -> None:
    azure.batch.tasks[0] = task
    azure.batch.file.get_from_task.return_value = [b'ffmpeg: error']

    assert run_main() == exit_code

    assert (INPUT in azure.made) == input_is_left


@pytest.mark.parametrize('has_output', [False, True])
@pytest.mark.parametrize('status', ['good', 'damaged'])
def test_a_video_of_an_earlier_run_stays_unless_it_has_its_output(
    azure: Azure, run_main: RunMain, output: Path, status: str, has_output: bool
) -> None:
    container = azure.storage.container(INPUT)
    container.list_blobs.side_effect = None
    container.list_blobs.return_value = [blob_properties('earlier.mp4', 9)]
    good, damaged_output = sample.outputs_of('earlier.mp4', output)
    if has_output:
        output.mkdir()
        (good if status == 'good' else damaged_output).touch()

    assert run_main() == 0

    assert (INPUT in azure.made) != has_output


def lose_the_lock(azure: Azure) -> None:
    lost = storage_error('LeaseIdMismatchWithLeaseOperation', status=409)
    azure.lease.renew.side_effect = lost


@pytest.mark.parametrize('argv', [[], ['-y']], ids=['nobody there', 'yes'])
def test_a_lost_lock_stops_the_run_and_deletes_nothing(
    azure: Azure, run_main: RunMain, argv: list[str]
) -> None:
    at_the_first_poll(azure, lambda: lose_the_lock(azure))

    assert run_main(*argv) == 1

    assert azure.made == {INPUT, OUTPUT, 'job', 'pool'}
    azure.lease.release.assert_not_called()


def test_a_lock_that_is_lost_during_the_downloads_fails_the_run(
    azure: Azure, run_main: RunMain, output: Path
) -> None:
    blob = azure.storage.blob(OUTPUT, sample.output_name('a.mp4'))
    downloader = blob.download_blob.return_value

    def lose(**_: object) -> Any:
        lose_the_lock(azure)
        return downloader

    blob.download_blob.side_effect = lose

    assert run_main('--keep') == 1

    assert downloaded(output) == MP3S
    assert azure.made == {INPUT, OUTPUT, 'job', 'pool'}


def test_a_lock_that_is_lost_while_a_question_waits_deletes_nothing_more(
    azure: Azure, run_main: RunMain, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed()

    def answer_late(_prompt: str) -> str:
        lose_the_lock(azure)
        return 'y'

    monkeypatch.setattr(builtins, 'input', answer_late)

    run_main()

    assert azure.made == {OUTPUT, 'job', 'pool'}


def test_a_lock_that_cannot_be_given_back_is_no_failure(azure: Azure, run_main: RunMain) -> None:
    azure.lease.release.side_effect = ServiceRequestError('no answer')

    assert run_main('-y') == 0


def test_an_interrupt_ends_the_run_with_130_after_the_cleanup(
    azure: Azure, run_main: RunMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    azure.batch.tasks[0] = unfinished('a.mp4')
    monkeypatch.setattr(sample, 'print_batch_exception', lambda _: pytest.fail('it is an error'))
    at_the_first_poll(azure, lambda: signal.raise_signal(signal.SIGINT))

    assert run_main('-y') == 130

    assert azure.made == {OUTPUT}


def test_threads_that_cannot_be_had_are_one_message(
    azure: Azure, run_main: RunMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ThreadPoolExecutor, 'submit', refuse)

    assert run_main('-y') == 1

    azure.lease.release.assert_called_once()
    assert azure.made == {OUTPUT}
