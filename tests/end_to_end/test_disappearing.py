"""What disappears or changes in mid-run: files, containers, tasks, nodes, pools and jobs."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import MakeVideo
from tests.local_azure.faults import Fault

from .conftest import Sample, mp3s_of

JOB, POOL = 'LinuxFFmpegJob', 'LinuxFFmpegPool'


@pytest.fixture(autouse=True)
def videos(make_video: MakeVideo) -> None:
    for name in ('a.mp4', 'b.mp4'):
        make_video(name)


# --- Files ----------------------------------------------------------------------------------------


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize('change', [cut, Path.unlink])
def test_a_file_that_changes_or_disappears_while_it_is_uploaded_stops_the_run(
    sample: Sample, change: Callable[[Path], None]
) -> None:
    held = sample.hold_upload()
    process = sample.start_until_held(held, '-y')

    change(sample.input / 'a.mp4')
    held.remove()
    result = sample.finish(process)

    assert result.returncode == 1
    assert str(sample.input / 'a.mp4') in result.stderr
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


def finish_with_b_only(sample: Sample, process: subprocess.Popen[str]) -> None:
    """Wait for the end: b.mp4 is converted, and a.mp4 has a reason why it is not."""
    result = sample.finish(process)

    assert result.returncode == 1
    sample.assert_failed(result.stderr, 'a.mp4', '.')
    assert sample.mp3s() == mp3s_of('b.mp4')
    assert sample.nothing_is_left()


def test_a_pool_that_is_deleted_stops_the_run(sample: Sample) -> None:
    process, _ = start_until_b_is_converted(sample)

    sample.azure.batch_client().pool.delete(POOL)

    finish_with_b_only(sample, process)


def test_a_task_and_the_videos_that_are_deleted_cost_nothing_that_is_converted(
    sample: Sample,
) -> None:
    process, held = start_until_b_is_converted(sample)

    sample.azure.batch_client().task.delete(JOB, 'Task0')
    with sample.azure.blob_service_client() as client:
        client.delete_container('input')
    held.remove()

    finish_with_b_only(sample, process)


def test_of_a_job_that_is_deleted_what_is_converted_can_be_fetched(sample: Sample) -> None:
    process, _ = start_until_b_is_converted(sample)
    poll = sample.azure.hold_requests('GET', '/taskcounts')
    sample.azure.wait_until(lambda: poll.hits)
    jobs = sample.azure.batch_client().job

    jobs.delete(JOB)
    sample.azure.wait_until(lambda: not list(jobs.list()))
    poll.remove()
    result = sample.finish(process)

    assert result.returncode == 1
    assert 'az storage blob download-batch --source output' in result.stderr
    with sample.azure.blob_service_client() as client:
        outputs = list(client.get_container_client('output').list_blob_names())
    assert outputs == mp3s_of('b.mp4')
    assert sample.nothing_is_left()


def test_ctrl_c_during_the_downloads_keeps_what_has_arrived(sample: Sample) -> None:
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
