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

from .conftest import Sample

JOB, POOL = 'LinuxFFmpegJob', 'LinuxFFmpegPool'


@pytest.fixture(autouse=True)
def videos(make_video: MakeVideo) -> None:
    for name in ('a.mp4', 'b.mp4'):
        make_video(name)


# Files


def append(path: Path) -> None:
    with path.open('ab') as file:
        file.write(b'more')


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def write_over(path: Path) -> None:
    with path.open('r+b') as file:
        file.write(b'other bytes')


@pytest.mark.parametrize('change', [append, cut, write_over])
def test_a_file_that_changes_while_it_is_uploaded_stops_the_run(
    sample: Sample, change: Callable[[Path], None]
) -> None:
    held = sample.azure.hold_requests('PUT', '/input/a.mp4', service='storage')
    process = sample.start('-y')
    sample.azure.wait_until(lambda: held.hits)

    change(sample.input / 'a.mp4')
    held.remove()
    result = sample.finish(process)

    assert result.returncode == 1
    message = f'Error: {sample.input / "a.mp4"} was changed while it was uploaded.'
    assert message in result.stderr
    assert sample.nothing_is_left()


def test_a_file_that_disappears_while_it_is_uploaded_stops_the_run(sample: Sample) -> None:
    held = sample.azure.hold_requests('PUT', '/input/a.mp4', service='storage')
    process = sample.start('-y')
    sample.azure.wait_until(lambda: held.hits)

    (sample.input / 'a.mp4').unlink()
    held.remove()
    result = sample.finish(process)

    assert result.returncode == 1
    assert f'Error: {sample.input / "a.mp4"}: No such file or directory' in result.stderr
    assert sample.nothing_is_left()


# Things of Azure. One of the two videos is converted before anything disappears.


def completed_tasks(sample: Sample) -> int:
    if JOB not in sample.jobs():
        return 0
    counts = sample.azure.batch_client().job.get_task_counts(JOB).task_counts
    return int(counts.completed)


def start_until_b_is_converted(sample: Sample) -> tuple[subprocess.Popen[str], Fault]:
    """Start the sample; it waits for a.mp4 only, until the fault is removed."""
    held = sample.azure.hold_requests('GET', '/input/a.mp4', service='storage', source='node')
    process = sample.start('-y')
    sample.azure.wait_until(lambda: held.hits and completed_tasks(sample) == 1)
    return process, held


def finish_with_b_only(sample: Sample, process: subprocess.Popen[str], *words: str) -> None:
    """Wait for the end: b.mp3 has arrived, and these words say why a.mp3 has not."""
    result = sample.finish(process)

    assert result.returncode == 1
    assert 'Success' not in result.stdout
    sample.assert_failed(result.stderr, 'a.mp4', '.')
    for word in words:
        assert word in result.stderr
    assert sample.mp3s() == ['b.mp3']
    assert sample.nothing_is_left()


def test_a_pool_that_is_resized_to_nothing_stops_the_run_soon(sample: Sample) -> None:
    process, _ = start_until_b_is_converted(sample)
    pools = sample.azure.batch_client().pool
    sample.azure.wait_until(lambda: pools.get(POOL).enable_auto_scale)

    pools.disable_auto_scale(POOL)
    pools.resize(POOL, batchmodels.PoolResizeParameter(target_low_priority_nodes=0))
    polls = sample.polls()

    finish_with_b_only(sample, process, f'Pool [{POOL}] has no nodes: somebody has resized it')
    assert sample.polls() - polls <= 6


def test_a_pool_that_is_deleted_stops_the_run_soon(sample: Sample) -> None:
    process, _ = start_until_b_is_converted(sample)

    sample.azure.batch_client().pool.delete(POOL)

    finish_with_b_only(sample, process, f'Pool [{POOL}] is gone: somebody has deleted it')


def test_a_task_that_is_deleted_is_named(sample: Sample) -> None:
    process, _ = start_until_b_is_converted(sample)

    sample.azure.batch_client().task.delete(JOB, 'Task0')

    finish_with_b_only(sample, process, 'its task is gone: somebody has deleted it')


def test_an_input_container_that_disappears_in_mid_run_is_named(sample: Sample) -> None:
    process, held = start_until_b_is_converted(sample)

    with sample.azure.blob_service_client() as client:
        client.delete_container('input')
    held.remove()

    finish_with_b_only(sample, process, 'Was container [input]', 'deleted meanwhile?')


def test_an_input_container_that_disappears_during_the_uploads_is_named(sample: Sample) -> None:
    held = sample.azure.hold_requests('PUT', '/input/a.mp4', service='storage')
    process = sample.start('-y')
    sample.azure.wait_until(lambda: held.hits)

    with sample.azure.blob_service_client() as client:
        client.delete_container('input')
    held.remove()
    result = sample.finish(process)

    assert result.returncode == 1
    assert 'Error: ContainerNotFound' in result.stderr
    assert 'Was container [input] or [output] deleted meanwhile?' in result.stderr
    assert sample.nothing_is_left()


def test_a_job_that_is_deleted_is_named_and_what_is_converted_can_be_fetched(
    sample: Sample,
) -> None:
    process, _ = start_until_b_is_converted(sample)

    sample.azure.batch_client().job.delete(JOB)
    result = sample.finish(process)

    assert result.returncode == 1
    assert f'Job [{JOB}] is gone: somebody has deleted it.' in result.stderr
    assert '1 MP3s of this run are in container [output], 0 of them have arrived' in result.stderr
    assert 'az storage blob download-batch --source output' in result.stderr
    assert sample.nothing_is_left()


def test_ctrl_c_during_the_downloads_keeps_what_has_arrived_and_says_where_the_rest_is(
    sample: Sample,
) -> None:
    hanging = sample.azure.hang_requests('GET', '/output/a.mp3', count=None, service='storage')
    process = sample.start('-y')
    sample.azure.wait_until(lambda: hanging.hits and (sample.output / 'b.mp3').exists())

    process.send_signal(signal.SIGINT)
    result = sample.finish(process)

    assert result.returncode == 130
    assert '2 MP3s of this run are in container [output], 1 of them have arrived' in result.stderr
    assert (sample.output / 'b.mp3').exists()
    assert not (sample.output / 'a.mp3').exists()
    assert sample.nothing_is_left()
