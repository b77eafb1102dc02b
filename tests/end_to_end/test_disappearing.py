"""What disappears or changes in mid-run: files, containers, tasks, nodes, pools and jobs."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from azure.batch import models as batchmodels

from tests.conftest import MakeVideo
from tests.local_azure.faults import Fault

from .conftest import Sample, mp3s_of

JOB, POOL = 'LinuxFFmpegJob', 'LinuxFFmpegPool'


@pytest.fixture(autouse=True)
def videos(make_video: MakeVideo) -> None:
    for name in ('a.mp4', 'b.mp4'):
        make_video(name)


# --- Files ----------------------------------------------------------------------------------------


def append(path: Path) -> None:
    with path.open('ab') as file:
        file.write(b'more')


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def write_over(path: Path) -> None:
    with path.open('r+b') as file:
        file.write(b'other bytes')


@pytest.mark.parametrize('change', [append, cut, write_over, Path.unlink])
def test_a_file_that_changes_or_disappears_while_it_is_uploaded_stops_the_run(
    sample: Sample, change: Callable[[Path], None]
) -> None:
    held = sample.hold_upload()
    process = sample.start_until_held(held, '-y')

    change(sample.input / 'a.mp4')
    held.remove()
    result = sample.finish(process)

    assert result.returncode == 1
    assert f'Error: {sample.input / "a.mp4"}' in result.stderr
    assert sample.nothing_is_left()


# --- Things of Azure: one of the two videos is converted before anything disappears ---------------


def completed_tasks(sample: Sample) -> int:
    if JOB not in sample.jobs():
        return 0
    counts = sample.azure.batch_client().job.get_task_counts(JOB).task_counts
    return int(counts.completed)


def start_until_b_is_converted(sample: Sample) -> tuple[subprocess.Popen[str], Fault]:
    """Start the sample; it waits for a.mp4 only, until the fault is removed."""
    held = sample.hold_task()
    process = sample.start_until(lambda: held.hits and completed_tasks(sample) == 1, '-y')
    return process, held


def finish_with_b_only(sample: Sample, process: subprocess.Popen[str], *words: str) -> None:
    """Wait for the end: b.mp4 is converted, and these words say why a.mp4 is not."""
    result = sample.finish(process)

    assert result.returncode == 1
    assert 'Success' not in result.stdout
    sample.assert_failed(result.stderr, 'a.mp4', '.')
    for word in words:
        assert word in result.stderr
    assert sample.mp3s() == mp3s_of('b.mp4')
    assert sample.nothing_is_left()


def test_a_pool_that_is_resized_to_nothing_stops_the_run(sample: Sample) -> None:
    sample.change('_WAIT_FOR_NODES', 'datetime.timedelta(seconds=3)')
    process, _ = start_until_b_is_converted(sample)
    pools = sample.azure.batch_client().pool

    pools.disable_auto_scale(POOL)
    pools.resize(POOL, batchmodels.PoolResizeParameter(target_low_priority_nodes=0))

    finish_with_b_only(sample, process, f'Pool [{POOL}] has no nodes')


def test_a_pool_that_is_deleted_stops_the_run(sample: Sample) -> None:
    process, _ = start_until_b_is_converted(sample)

    sample.azure.batch_client().pool.delete(POOL)

    finish_with_b_only(sample, process, f'Pool [{POOL}] is gone')


def test_a_task_that_is_deleted_is_named(sample: Sample) -> None:
    process, _ = start_until_b_is_converted(sample)

    sample.azure.batch_client().task.delete(JOB, 'Task0')

    finish_with_b_only(sample, process, 'its task is gone')


def test_an_input_container_that_disappears_in_mid_run_is_named(sample: Sample) -> None:
    process, held = start_until_b_is_converted(sample)

    with sample.azure.blob_service_client() as client:
        client.delete_container('input')
    held.remove()

    finish_with_b_only(sample, process, 'Was container [input]')


def test_an_input_container_that_disappears_during_the_uploads_is_named(sample: Sample) -> None:
    held = sample.hold_upload()
    process = sample.start_until_held(held, '-y')

    with sample.azure.blob_service_client() as client:
        client.delete_container('input')
    held.remove()
    result = sample.finish(process)

    assert result.returncode == 1
    assert 'Was container [input] or [output]' in result.stderr
    assert sample.nothing_is_left()


def test_a_job_that_is_deleted_is_named_and_what_is_converted_can_be_fetched(
    sample: Sample,
) -> None:
    process, _ = start_until_b_is_converted(sample)

    sample.azure.batch_client().job.delete(JOB)
    result = sample.finish(process)

    assert result.returncode == 1
    assert f'Job [{JOB}] is gone' in result.stderr
    assert 'az storage blob download-batch --source output' in result.stderr
    assert sample.nothing_is_left()


def test_ctrl_c_during_the_downloads_keeps_what_has_arrived_and_says_where_the_rest_is(
    sample: Sample,
) -> None:
    hanging = sample.hang_download()
    process = sample.start_until(
        lambda: hanging.hits and mp3s_of('b.mp4')[0] in sample.mp3s(), '-y'
    )

    process.send_signal(signal.SIGINT)
    result = sample.finish(process)

    assert result.returncode == 130
    assert 'az storage blob download-batch --source output' in result.stderr
    assert set(mp3s_of('a.mp4', 'b.mp4')) & set(sample.mp3s()) == set(mp3s_of('b.mp4'))
    assert sample.nothing_is_left()
