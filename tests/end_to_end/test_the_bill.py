"""What a run costs at most: the nodes go when they are not needed, whatever becomes of the run."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from azure.batch import models as batchmodels

from tests.conftest import MakeVideo
from tests.local_azure.faults import RequestFault
from tests.local_azure.http_front import Request

from .conftest import Sample, mp3s_of

JOB, POOL = 'LinuxFFmpegJob', 'LinuxFFmpegPool'


@pytest.fixture(autouse=True)
def video(make_video: MakeVideo) -> None:
    make_video('a.mp4')


def shorten_limits(sample: Sample, seconds: int) -> None:
    """Let the nodes of a new pool end so many seconds after its creation."""
    sample.change('_JOB_TIMEOUT', f'datetime.timedelta(seconds={seconds - 1})')
    sample.change('_MARGIN', 'datetime.timedelta(seconds=1)')
    sample.azure.evaluate_autoscale_every(0.2)


def get_pool(sample: Sample) -> batchmodels.CloudPool:
    pool: batchmodels.CloudPool = sample.azure.batch_client().pool.get(POOL)
    return pool


def nodes(sample: Sample) -> int:
    """Return how many nodes exist, and so bill."""
    return sum(len(pool.nodes) for pool in sample.azure.batch.all_pools())


def formula_requests(sample: Sample) -> list[Request]:
    return [request for request in sample.azure.requests if 'enableautoscale' in request.path]


def end_of_nodes(sample: Sample) -> datetime:
    """Return the time after which the pool's formula leaves no node."""
    formula = get_pool(sample).auto_scale_formula
    assert formula
    found = re.findall(r'time\("(.+?)"\)', formula)
    assert found[0] == found[1]
    return datetime.fromisoformat(found[0])


# --- The nodes end by themselves ------------------------------------------------------------------


def test_a_run_that_is_killed_before_its_pool_is_created_has_no_nodes(sample: Sample) -> None:
    process = sample.start_until_held(sample.hold_upload(), '-y')

    sample.kill(process)

    assert sample.pools() == []


def test_a_run_that_is_killed_has_no_nodes_after_its_deadline_and_the_next_brings_them_back(
    sample: Sample,
) -> None:
    shorten_limits(sample, 12)
    creation = sample.azure.hold_requests('POST', r'/pools\?')
    sample.kill(sample.start_until_held(creation, '-y'))
    creation.remove()
    sample.azure.wait_until(lambda: nodes(sample) == 1)
    created, deadline = get_pool(sample).creation_time, end_of_nodes(sample)
    sample.azure.wait_until(lambda: nodes(sample) == 0)
    assert datetime.now(UTC) >= deadline
    assert sample.pools() == [POOL]
    sample.break_lease()
    sample.changes = ''
    began = datetime.now(UTC)

    held = sample.hold_task()
    process = sample.start_until_held(held, '-y')

    assert nodes(sample) == 1
    assert get_pool(sample).creation_time == created
    assert end_of_nodes(sample) - began > timedelta(minutes=59)
    held.remove()
    result = sample.finish(process)
    assert result.returncode == 0, result.stderr
    assert sample.nothing_is_left()


# --- The formula ----------------------------------------------------------------------------------


def test_a_pool_has_its_formula_from_its_creation(sample: Sample, make_video: MakeVideo) -> None:
    make_video('b.mp4')
    make_video('c.mp4')
    began = datetime.now(UTC)

    result = sample.run('--keep', '--dedicated', '1', '--low-priority', '2', '--timeout', '7.5')

    assert result.returncode == 0, result.stderr
    pool = get_pool(sample)
    assert formula_requests(sample) == []
    assert pool.auto_scale_evaluation_interval == timedelta(minutes=5)
    assert (pool.target_dedicated_nodes, pool.target_low_priority_nodes) == (1, 2)
    assert nodes(sample) == 3
    longest = timedelta(minutes=37.5)
    assert began + longest - timedelta(seconds=1) < end_of_nodes(sample)
    assert end_of_nodes(sample) < datetime.now(UTC) + longest


def test_a_kept_pool_whose_nodes_never_came_gets_them_when_there_is_quota(sample: Sample) -> None:
    quota = sample.azure.set_quota(low_priority_cores=0)
    assert sample.run('--keep').returncode == 1
    assert nodes(sample) == 0
    created = get_pool(sample).creation_time
    quota.remove()
    sample.azure.evaluate_autoscale_every(0.2)
    held = sample.hold_task()

    process = sample.start_until_held(held, '-y')
    again = get_pool(sample).creation_time
    held.remove()
    result = sample.finish(process)

    assert again == created
    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == mp3s_of('a.mp4')
    assert sample.nothing_is_left()


# --- Nodes go as soon as they are not needed ------------------------------------------------------


def test_the_pool_is_gone_before_the_last_download_ends_if_nobody_is_asked(
    sample: Sample,
) -> None:
    held = sample.hold_download()
    process = sample.start_until_held(held)
    sample.azure.wait_until(lambda: not sample.azure.batch.all_pools())
    jobs = sample.jobs()
    held.remove()

    result = sample.finish(process)

    assert jobs == [JOB]
    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == mp3s_of('a.mp4')
    assert sample.nothing_is_left()


def test_a_pool_that_cannot_be_deleted_early_is_deleted_at_the_end(sample: Sample) -> None:
    fault = sample.azure.fail_requests('DELETE', '/pools/', status=409, code='PoolBeingResized')

    sample.run('-y')

    fault.check()
    assert sample.mp3s() == mp3s_of('a.mp4')
    assert sample.nothing_is_left()


# --- Outages --------------------------------------------------------------------------------------


def start_until_outage(sample: Sample) -> tuple[subprocess.Popen[str], RequestFault, RequestFault]:
    """Start the sample; while its task is held, let every request of it to Batch fail."""
    sample.change('_RETRY', 'sample._RETRY.new(total=1)')  # a request is given up after two tries
    held = sample.hold_task()
    process = sample.start_until_held(held, '-y')
    return process, held, sample.azure.fail_requests('*', '', count=None)


def test_an_outage_of_batch_in_mid_run_ends_in_success(sample: Sample) -> None:
    process, held, outage = start_until_outage(sample)
    sample.azure.wait_until(lambda: outage.hits >= 3)  # the second request by now
    held.remove()
    sample.azure.wait_until(lambda: sample.azure.batch.all_tasks()[0].state.value == 'completed')
    outage.remove()

    result = sample.finish(process)

    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == mp3s_of('a.mp4')
    assert sample.nothing_is_left()


def test_an_outage_that_outlasts_the_time_limit_of_the_job_ends_the_run(sample: Sample) -> None:
    shorten_limits(sample, 10)
    process, _, outage = start_until_outage(sample)

    result = sample.finish(process)

    outage.check()
    assert result.returncode == 1
    sample.azure.wait_until(lambda: nodes(sample) == 0)  # although nobody could delete the pool


# --- Only what is missing -------------------------------------------------------------------------


def test_missing_takes_what_was_not_converted_and_what_is_newer_than_its_mp3(
    sample: Sample, make_video: MakeVideo
) -> None:
    broken = make_video('broken.mp4')
    broken.write_text('no video')
    make_video('sub/c.mp4')
    make_video('sub/unchanged.mp4')
    assert sample.run('-y', '--missing').returncode == 1
    make_video('broken.mp4')  # mended
    make_video('sub/c.mp4')

    result = sample.run('--keep', '--missing')

    assert result.returncode == 0, result.stderr
    tasks = sample.azure.batch_client().task.list(JOB)
    assert sorted(task.display_name for task in tasks) == ['broken.mp4', 'sub/c.mp4']
    assert sample.mp3s() == mp3s_of('a.mp4', 'broken.mp4', 'sub/c.mp4', 'sub/unchanged.mp4')
