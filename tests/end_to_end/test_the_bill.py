"""What a run costs at most: the nodes go when they are not needed, whatever becomes of the run."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from azure.batch import models as batchmodels

from tests.conftest import MakeVideo
from tests.local_azure.faults import RequestFault
from tests.local_azure.http_front import Request
from tests.screen import ENTER

from .conftest import OpenScreen, Sample, mp3s_of

JOB, POOL = 'LinuxFFmpegJob', 'LinuxFFmpegPool'
ZONE = 'Asia/Kolkata'  # 5.5 hours from UTC: neither this machine's zone nor a whole hour


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


@pytest.mark.parametrize('moment', ['during the creation of the pool', 'after it'])
def test_a_run_that_is_killed_has_no_nodes_after_its_deadline(sample: Sample, moment: str) -> None:
    shorten_limits(sample, 12)
    held = sample.hold_task()
    if moment == 'during the creation of the pool':
        held = sample.azure.hold_requests('POST', r'/pools\?')
    process = sample.start_until_held(held, '-y')

    sample.kill(process)
    held.remove()

    sample.azure.wait_until(lambda: nodes(sample) == 1)
    deadline = end_of_nodes(sample)
    sample.azure.wait_until(lambda: nodes(sample) == 0)
    assert datetime.now(UTC) >= deadline
    assert sample.pools() == [POOL]


def test_a_kept_pool_has_no_nodes_after_its_deadline_and_the_next_run_brings_them_back(
    sample: Sample,
) -> None:
    shorten_limits(sample, 15)
    assert sample.run('--keep').returncode == 0
    assert nodes(sample) == 1
    created, deadline = get_pool(sample).creation_time, end_of_nodes(sample)
    sample.azure.wait_until(lambda: nodes(sample) == 0)
    assert datetime.now(UTC) >= deadline
    sample.changes = ''

    result = sample.run('--keep')

    assert result.returncode == 0, result.stderr
    assert nodes(sample) == 1
    assert get_pool(sample).creation_time == created
    assert end_of_nodes(sample) - datetime.now(UTC) > timedelta(minutes=58)


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


def test_there_are_never_more_nodes_than_videos(sample: Sample) -> None:
    result = sample.run('--keep', '--dedicated', '2', '--low-priority', '7')

    assert result.returncode == 0, result.stderr
    pool = get_pool(sample)
    assert (pool.target_dedicated_nodes, pool.target_low_priority_nodes) == (1, 0)


@pytest.mark.parametrize(
    ('status', 'code'),
    [
        (503, 'TooManyEnableAutoScaleRequests'),  # a run that follows within 30 seconds
        (409, 'PoolBeingResized'),
    ],
)
def test_a_kept_pool_gets_its_new_formula_in_spite_of_a_passing_refusal(
    sample: Sample, status: int, code: str
) -> None:
    assert sample.run('--keep').returncode == 0
    first = end_of_nodes(sample)
    fault = sample.azure.fail_requests('POST', '/enableautoscale', 2, status=status, code=code)

    result = sample.run('--keep', '--timeout', '60')

    assert fault.hits == 2
    assert result.returncode == 0, result.stderr
    assert end_of_nodes(sample) - first > timedelta(minutes=29)


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


# --- What is said ---------------------------------------------------------------------------------


def test_the_bill_is_said_before_anything_else(sample: Sample) -> None:
    sample.shell = 'exec "$@" 2>&1'  # so that the order of the lines is seen

    result = sample.run('-y', '--dedicated=1', '--vm-size=STANDARD_D2S_V3')

    assert result.returncode == 0, result.stdout
    assert result.stdout.startswith('1 dedicated node (STANDARD_D2S_V3)')


def test_a_kept_pool_is_said_to_bill_until_its_deadline_in_local_time(sample: Sample) -> None:
    sample.environment = {'TZ': ZONE}

    result = sample.run('--keep')

    end = end_of_nodes(sample).astimezone(ZoneInfo(ZONE))
    line, _, command = result.stderr.partition(f'{end:%Y-%m-%d %H:%M}')
    assert 'bill until' in line.splitlines()[-1]
    assert 'az batch pool delete' in command


# --- Nodes go as soon as they are not needed ------------------------------------------------------


@pytest.mark.parametrize('options', [['-y'], []])
def test_the_pool_is_gone_before_the_last_download_ends_if_nobody_is_asked(
    sample: Sample, options: list[str]
) -> None:
    held = sample.hold_download()
    process = sample.start_until_held(held, *options)
    sample.azure.wait_until(lambda: not sample.azure.batch.all_pools())
    jobs = sample.jobs()
    held.remove()

    result = sample.finish(process)

    assert jobs == [JOB]
    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == mp3s_of('a.mp4')
    assert sample.nothing_is_left()


def test_a_pool_that_is_kept_stays_during_the_downloads_and_after_them(sample: Sample) -> None:
    held = sample.hold_download()
    process = sample.start_until_held(held, '--keep')
    during = sample.pools()
    held.remove()

    result = sample.finish(process)

    assert result.returncode == 0, result.stderr
    assert (during, sample.pools()) == ([POOL], [POOL])


def test_with_a_question_the_pool_is_deleted_where_the_tutorial_deletes_it(
    open_screen: OpenScreen, sample: Sample
) -> None:
    screen = open_screen()

    screen.wait_for(r'^Delete job\? \[Y/n\]')
    screen.type(ENTER)
    screen.wait_for(r'^Delete pool\? \[Y/n\]')
    assert sample.pools() == [POOL]
    screen.type(ENTER)

    assert screen.finish() == 0
    assert sample.nothing_is_left()


def test_a_pool_that_cannot_be_deleted_early_is_deleted_at_the_end(sample: Sample) -> None:
    fault = sample.azure.fail_requests('DELETE', '/pools/', status=409, code='PoolBeingResized')

    sample.run('-y')

    fault.check()
    assert sample.mp3s() == mp3s_of('a.mp4')
    assert sample.nothing_is_left()


# --- Outages --------------------------------------------------------------------------------------


def start_until_outage(
    sample: Sample, kind: str
) -> tuple[subprocess.Popen[str], RequestFault, RequestFault]:
    """Start the sample; while its task is held, let every request of it to Batch fail."""
    sample.change('_RETRY', 'sample._RETRY.new(total=1)')  # a request is given up after two tries
    held = sample.hold_task()
    process = sample.start_until_held(held, '-y')
    kinds: dict[str, Callable[..., RequestFault]] = {
        '503': sample.azure.fail_requests,
        'cut': sample.azure.cut_requests,
        'HTML 502': sample.azure.html_requests,
    }
    return process, held, kinds[kind]('*', '', count=None)


@pytest.mark.parametrize('kind', ['503', 'cut', 'HTML 502'])
def test_an_outage_of_batch_in_mid_run_ends_in_success_with_one_warning(
    sample: Sample, kind: str
) -> None:
    process, held, outage = start_until_outage(sample, kind)
    sample.azure.wait_until(lambda: outage.hits >= 3)  # the second request by now
    held.remove()
    sample.azure.wait_until(lambda: sample.azure.batch.all_tasks()[0].state.value == 'completed')
    outage.remove()

    result = sample.finish(process)

    assert result.returncode == 0, result.stderr
    assert result.stderr.count('Warning: ') == 1
    assert sample.mp3s() == mp3s_of('a.mp4')
    assert sample.nothing_is_left()


def test_an_outage_that_outlasts_the_time_limit_of_the_job_ends_the_run(sample: Sample) -> None:
    shorten_limits(sample, 10)
    process, _, outage = start_until_outage(sample, '503')

    result = sample.finish(process)

    outage.check()
    assert result.returncode == 1
    assert len(re.findall('^Error: ', result.stderr, re.MULTILINE)) == 1
    for kind in ('job', 'pool'):
        assert f'az batch {kind} delete' in result.stderr
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


def test_missing_with_none_missing_is_a_success_with_nothing_contacted(sample: Sample) -> None:
    assert sample.run('-y').returncode == 0
    sample.azure.requests.clear()

    result = sample.run('--missing')

    assert (result.returncode, result.stderr) == (0, '')
    assert not sample.has_contacted_azure()
