"""What a run costs at most: the nodes go when they are not needed, whatever becomes of the run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from azure.batch import models as batchmodels
from azure.storage.blob import BlobLeaseClient

from tests.conftest import MakeVideo
from tests.local_azure.faults import Fault, RequestFault
from tests.local_azure.http_front import Request
from tests.screen import ENTER

from .conftest import OpenScreen, Sample

POOL = 'LinuxFFmpegPool'
ALL_NODES = 5  # as the settings say
ZONE = 'Asia/Kolkata'  # 5.5 hours from UTC: neither this machine's zone nor a whole hour
OUTAGES = ('503', 'cut', 'HTML 502')


@pytest.fixture(autouse=True)
def video(make_video: MakeVideo) -> None:
    make_video('a.mp4')


def shorten_limits(sample: Sample, seconds: int) -> None:
    """Let the time limits of the runs pass so many seconds after their waiting has begun."""
    sample.change('_JOB_TIMEOUT', f'datetime.timedelta(seconds={seconds - 1})')
    sample.change('_MARGIN', 'datetime.timedelta(seconds=1)')
    sample.azure.evaluate_autoscale_every(0.2)


def allow_a_second_formula_at_once(sample: Sample) -> None:
    """Take back the rule that a pool gets no second formula within 30 seconds."""
    sample.azure.batch.delays = replace(sample.azure.batch.delays, autoscale_pause=0)


def get_pool(sample: Sample) -> batchmodels.CloudPool:
    pool: batchmodels.CloudPool = sample.azure.batch_client().pool.get(POOL)
    return pool


def nodes(sample: Sample) -> int:
    """Return how many nodes exist, and so bill."""
    return sum(len(pool.nodes) for pool in sample.azure.batch.all_pools())


def has_formula(sample: Sample) -> bool:
    return any(pool.autoscale for pool in sample.azure.batch.all_pools())


def formula_requests(sample: Sample) -> list[Request]:
    return [request for request in sample.azure.requests if 'enableautoscale' in request.path]


def end_of_nodes(sample: Sample) -> datetime:
    """Return the time after which the pool's formula leaves no node."""
    formula = get_pool(sample).auto_scale_formula
    assert formula
    found = re.findall(r'time\("(.+?)"\)', formula)
    assert found[0] == found[1]
    return datetime.fromisoformat(found[0])


def hold_task(sample: Sample) -> RequestFault:
    """Let the task of a.mp4 run until the fault is removed."""
    return sample.azure.hold_requests(
        'GET', '/input/a.mp4', count=None, service='storage', source='node'
    )


def start_until_formula(sample: Sample, *options: str) -> subprocess.Popen[str]:
    """Start the sample, and return in the middle: the pool has its nodes and its formula."""
    process = sample.start(*options)
    sample.azure.wait_until(lambda: has_formula(sample))
    return process


def kill(process: subprocess.Popen[str]) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def forget_lease(sample: Sample) -> None:
    """End the lease of a run that has died, as a minute would."""
    with sample.azure.blob_service_client() as client:
        output = client.get_container_client('output')
        BlobLeaseClient(output).break_lease(lease_break_period=0)


# --- The nodes end by themselves ------------------------------------------------------------------


def test_a_killed_run_leaves_a_pool_that_has_no_nodes_after_its_deadline(sample: Sample) -> None:
    shorten_limits(sample, 12)
    hold_task(sample)
    process = start_until_formula(sample, '-y')

    kill(process)

    assert nodes(sample) == ALL_NODES
    deadline = end_of_nodes(sample)
    sample.azure.wait_until(lambda: nodes(sample) == 0)
    assert datetime.now(UTC) >= deadline
    assert sample.pools() == [POOL]


def test_a_kept_pool_has_no_nodes_after_its_deadline(sample: Sample) -> None:
    shorten_limits(sample, 12)

    result = sample.run('--keep')

    assert result.returncode == 0, result.stderr
    assert nodes(sample) == ALL_NODES
    deadline = end_of_nodes(sample)
    sample.azure.wait_until(lambda: nodes(sample) == 0)
    assert datetime.now(UTC) >= deadline
    assert sample.pools() == [POOL]


def test_a_rerun_on_a_kept_pool_without_nodes_gets_its_nodes_again(sample: Sample) -> None:
    shorten_limits(sample, 8)
    allow_a_second_formula_at_once(sample)
    assert sample.run('--keep').returncode == 0
    sample.azure.wait_until(lambda: nodes(sample) == 0)
    before = get_pool(sample)
    sample.changes = ''

    result = sample.run('--keep')

    assert result.returncode == 0, result.stderr
    assert f'Pool [{POOL}] exists with the same settings and is used again.' in result.stdout
    assert sample.mp3s() == ['a.mp3']
    assert nodes(sample) == ALL_NODES
    assert get_pool(sample).creation_time == before.creation_time
    assert end_of_nodes(sample) - datetime.now(UTC) > timedelta(minutes=58)


def test_a_rerun_after_a_killed_run_gets_its_nodes_and_deletes_the_pool(sample: Sample) -> None:
    shorten_limits(sample, 8)
    allow_a_second_formula_at_once(sample)
    held = hold_task(sample)
    kill(start_until_formula(sample, '-y'))
    sample.azure.wait_until(lambda: nodes(sample) == 0)
    forget_lease(sample)
    held.remove()
    sample.changes = ''

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == ['a.mp3']
    assert sample.nothing_is_left()


def test_a_rerun_within_30_seconds_waits_until_batch_takes_its_formula(sample: Sample) -> None:
    assert sample.run('--keep').returncode == 0
    first = end_of_nodes(sample)

    result = sample.run('--keep', '--timeout', '60')

    assert result.returncode == 0, result.stderr
    statuses = [request.status for request in formula_requests(sample)]
    assert statuses[0] == statuses[-1] == 200
    assert set(statuses[1:-1]) == {503}  # TooManyEnableAutoScaleRequests
    assert 'Warning' not in result.stderr
    assert end_of_nodes(sample) - first > timedelta(minutes=30)


# --- The formula ----------------------------------------------------------------------------------


def test_the_formula_is_given_once_and_only_when_the_pool_is_steady(sample: Sample) -> None:
    slow = sample.azure.slow_allocation(3)
    held = hold_task(sample)
    process = sample.start('--keep')
    sample.azure.wait_until(lambda: sample.polls() >= 2)
    pool = get_pool(sample)
    assert (pool.allocation_state, pool.enable_auto_scale) == ('resizing', False)
    assert pool.target_low_priority_nodes == ALL_NODES
    sample.azure.wait_until(lambda: has_formula(sample))
    polls = sample.polls()
    sample.azure.wait_until(lambda: sample.polls() > polls + 1)
    held.remove()

    result = sample.finish(process)

    slow.check()
    assert result.returncode == 0, result.stderr
    assert [request.status for request in formula_requests(sample)] == [200]


def test_the_formula_keeps_the_nodes_of_the_options_until_the_limits_have_passed(
    sample: Sample,
) -> None:
    began = datetime.now(UTC)

    result = sample.run('--keep', '--dedicated', '1', '--low-priority', '2', '--timeout', '7.5')

    assert result.returncode == 0, result.stderr
    pool = get_pool(sample)
    assert (pool.target_dedicated_nodes, pool.target_low_priority_nodes) == (1, 2)
    assert nodes(sample) == 3
    longest = timedelta(minutes=37.5)
    assert began + longest - timedelta(seconds=1) < end_of_nodes(sample)
    assert end_of_nodes(sample) < datetime.now(UTC) + longest
    assert pool.auto_scale_evaluation_interval == timedelta(minutes=5)


def test_a_kept_pool_that_still_grows_when_the_tasks_are_done_gets_its_formula(
    sample: Sample,
) -> None:
    busy = sample.azure.fail_requests(
        'POST', '/enableautoscale', status=409, code='PoolBeingResized'
    )
    held = hold_task(sample)
    process = sample.start('--keep')
    sample.azure.wait_until(lambda: busy.hits)
    sample.azure.slow_allocation(600)
    more = batchmodels.PoolResizeParameter(target_low_priority_nodes=ALL_NODES + 1)
    sample.azure.batch_client().pool.resize(POOL, more)
    assert get_pool(sample).allocation_state == 'resizing'
    held.remove()

    result = sample.finish(process)

    assert result.returncode == 0, result.stderr
    assert 'Warning' not in result.stderr
    assert sample.mp3s() == ['a.mp3']
    assert has_formula(sample)
    assert end_of_nodes(sample) < datetime.now(UTC) + timedelta(hours=1)


def test_a_kept_pool_whose_nodes_never_came_gets_them_when_there_is_quota(sample: Sample) -> None:
    quota = sample.azure.set_quota(low_priority_cores=0)
    refused = sample.run('--keep')
    assert refused.returncode == 1
    assert f'Pool [{POOL}] gets no nodes.' in refused.stderr
    quota.remove()

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert f'Pool [{POOL}] exists with the same settings and is used again.' in result.stdout
    assert sample.mp3s() == ['a.mp3']
    assert sample.nothing_is_left()


@pytest.mark.parametrize('metadata', [None, 'ours'], ids=['of somebody else', 'of the sample'])
def test_only_a_pool_of_the_sample_gets_the_formula(sample: Sample, metadata: str | None) -> None:
    """A pool without a formula was also left by older versions of the sample."""
    assert sample.run('--keep').returncode == 0
    kept = get_pool(sample)
    client = sample.azure.batch_client()
    client.pool.delete(POOL)
    sample.azure.wait_until(lambda: not client.pool.exists(POOL))
    client.pool.add(
        batchmodels.PoolAddParameter(
            id=POOL,
            vm_size=kept.vm_size,
            virtual_machine_configuration=kept.virtual_machine_configuration,
            start_task=kept.start_task,
            target_low_priority_nodes=ALL_NODES,
            metadata=kept.metadata if metadata else None,
        )
    )
    sample.azure.requests.clear()

    result = sample.run('--keep')

    assert result.returncode == 0, result.stderr
    assert f'Pool [{POOL}] exists with the same settings and is used again.' in result.stdout
    assert get_pool(sample).enable_auto_scale is bool(metadata)
    assert len(formula_requests(sample)) == (1 if metadata else 0)


@pytest.mark.parametrize(
    ('status', 'code'), [(400, 'InvalidPropertyValue'), (403, 'PermissionDenied')]
)
def test_a_refused_formula_is_a_warning_and_the_run_succeeds(
    sample: Sample, status: int, code: str
) -> None:
    fault = sample.azure.fail_requests(
        'POST', '/enableautoscale', count=None, status=status, code=code
    )
    held = hold_task(sample)
    process = sample.start('-y')
    sample.azure.wait_until(lambda: fault.hits)
    polls = sample.polls()
    sample.azure.wait_until(lambda: sample.polls() > polls + 1)
    held.remove()

    result = sample.finish(process)

    assert result.returncode == 0, result.stderr
    warning = (
        f'Warning: the nodes of pool [{POOL}] will not end by themselves: '
        f'they bill until the pool is deleted. {code}: '
    )
    assert result.stderr.count(warning) == result.stderr.count('Warning') == 1
    assert sample.mp3s() == ['a.mp3']
    assert sample.nothing_is_left()


@pytest.mark.parametrize(
    ('status', 'code', 'count'),
    [(409, 'PoolBeingResized', 1), (503, 'ServerBusy', 2)],
    ids=['resize', 'outage'],
)
def test_a_formula_that_meets_a_passing_fault_is_given_all_the_same(
    sample: Sample, status: int, code: str, count: int
) -> None:
    sample.change('_RETRIES', '1')  # so that two busy answers are an outage
    fault = sample.azure.fail_requests('POST', '/enableautoscale', count, status=status, code=code)
    held = hold_task(sample)
    process = start_until_formula(sample, '-y')
    held.remove()

    result = sample.finish(process)

    assert fault.hits == count
    assert result.returncode == 0, result.stderr
    assert 'Warning' not in result.stderr


# --- What is said ---------------------------------------------------------------------------------


def assert_says_until_when(sample: Sample, stderr: str) -> None:
    """The local time at which the kept pool's nodes end must stand before its command."""
    end = end_of_nodes(sample).astimezone(ZoneInfo(ZONE))
    expected = (
        f'Its nodes bill until {end:%Y-%m-%d %H:%M}, or until it is deleted. To delete it:\n'
        f'  az batch pool delete --pool-id {POOL} '
    )
    assert expected in stderr


def test_a_kept_pool_is_said_to_bill_until_its_deadline_in_local_time(sample: Sample) -> None:
    sample.environment = {'TZ': ZONE}

    result = sample.run('--keep')

    assert result.returncode == 0, result.stderr
    assert 'The pool is kept. ' in result.stderr
    assert_says_until_when(sample, result.stderr)


def test_a_run_that_is_refused_for_an_old_job_says_until_when_its_pool_bills(
    sample: Sample,
) -> None:
    assert sample.run('--keep').returncode == 0
    sample.environment = {'TZ': ZONE}

    stderr = sample.assert_refused(f'Pool [{POOL}] exists.', options=())

    assert_says_until_when(sample, stderr)


def test_a_kept_pool_without_a_formula_is_said_to_bill_until_it_is_deleted(
    sample: Sample,
) -> None:
    sample.azure.fail_requests('POST', '/enableautoscale', status=403, code='PermissionDenied')

    result = sample.run('--keep')

    assert result.returncode == 0, result.stderr
    assert 'The pool is kept. Its nodes bill until it is deleted. To delete it:\n' in result.stderr


@pytest.mark.parametrize(
    ('options', 'most'),
    [
        # 5 nodes for 30 minutes, a margin of 30, and 5 until Batch looks at the formula
        ((), '5 nodes STANDARD_A1_v2, up to 5.42 node-hours'),
        (
            ('--dedicated=1', '--low-priority=1', '--vm-size=STANDARD_D2S_V3', '--timeout=55'),
            '2 nodes STANDARD_D2S_V3, up to 3.00 node-hours',
        ),
    ],
    ids=['settings', 'options'],
)
def test_the_most_node_hours_are_said_before_the_pool_is_created(
    sample: Sample, options: tuple[str, ...], most: str
) -> None:
    sample.shell = 'exec "$@" 2>&1'  # so that the order of the lines is seen

    result = sample.run('-y', *options)

    assert result.returncode == 0, result.stdout
    line = f'{most}, even if this machine disappears while the tasks run.'
    lines = result.stdout.splitlines()
    assert lines.index(line) < lines.index(f'Creating pool [{POOL}]...')


# --- Nodes go as soon as they are not needed ------------------------------------------------------


def start_until_download(sample: Sample, *options: str) -> tuple[subprocess.Popen[str], Fault]:
    """Start the sample, and return when its only download waits for its answer."""
    held = sample.azure.hold_requests('GET', '/output/a.mp3', service='storage')
    process = sample.start(*options)
    sample.azure.wait_until(lambda: held.hits, describe='the download')
    return process, held


@pytest.mark.parametrize(
    ('options', 'answer'), [(('-y',), 'yes'), ((), 'yes (there is no terminal to ask)')]
)
def test_the_pool_is_gone_before_the_last_download_ends_if_nobody_is_asked(
    sample: Sample, options: tuple[str, ...], answer: str
) -> None:
    process, held = start_until_download(sample, *options)
    sample.azure.wait_until(lambda: not sample.azure.batch.all_pools())
    assert nodes(sample) == 0
    assert sample.jobs() == ['LinuxFFmpegJob']
    held.remove()

    result = sample.finish(process)

    assert result.returncode == 0, result.stderr
    ends = r'.*Sample end: .*Elapsed time: '
    assert re.search(
        f'^Downloading 1 files .*^Deleting container .*{ends}.*'
        rf'^Delete job\? \[Y/n\] {re.escape(answer)}\n'
        rf'Delete pool\? \[Y/n\] {re.escape(answer)}\n$',
        result.stdout,
        re.MULTILINE | re.DOTALL,
    )
    assert sample.mp3s() == ['a.mp3']
    assert 'The pool' not in result.stderr
    assert sample.nothing_is_left()


def test_a_pool_that_is_kept_stays_during_the_downloads_and_after_them(sample: Sample) -> None:
    process, held = start_until_download(sample, '--keep')
    assert sample.pools() == [POOL]
    held.remove()

    result = sample.finish(process)

    assert result.returncode == 0, result.stderr
    assert sample.pools() == [POOL]


def test_with_a_question_the_pool_is_deleted_where_the_tutorial_deletes_it(
    open_screen: OpenScreen, sample: Sample
) -> None:
    held = sample.azure.hold_requests('GET', '/output/a.mp3', service='storage')
    screen = open_screen()
    sample.azure.wait_until(lambda: held.hits, describe='the download')
    assert sample.pools() == [POOL]
    held.remove()

    screen.wait_for(r'^Delete job\? \[Y/n\]')
    screen.type(ENTER)
    screen.wait_for(r'^Delete pool\? \[Y/n\]')
    assert sample.pools() == [POOL]
    screen.type(ENTER)

    assert screen.finish() == 0
    assert sample.nothing_is_left()


def test_a_pool_that_cannot_be_deleted_early_is_deleted_at_the_end(sample: Sample) -> None:
    fault = sample.azure.fail_requests('DELETE', '/pools/', status=409, code='PoolBeingResized')

    result = sample.run('-y')

    fault.check()
    assert result.returncode == 0, result.stderr
    assert sample.nothing_is_left()


# --- Outages --------------------------------------------------------------------------------------


def break_batch(sample: Sample, kind: str) -> RequestFault:
    """Let every request of the sample to Batch fail until the fault is removed."""
    if kind == 'cut':
        return sample.azure.cut_requests('*', '', count=None)
    if kind == 'HTML 502':
        return sample.azure.html_requests('*', '', count=None)
    return sample.azure.fail_requests('*', '', count=None)


def wait_for_pauses(sample: Sample, outage: RequestFault, is_enough: Callable[[int], bool]) -> None:
    """Wait until the sample has given up a request, paused, and begun again."""
    sample.azure.wait_until(lambda: is_enough(outage.hits), describe='requests in the outage')


@pytest.mark.parametrize('kind', OUTAGES)
def test_an_outage_of_batch_in_mid_run_ends_in_success_with_one_line(
    sample: Sample, kind: str
) -> None:
    """Minutes, on Azure; here each request is given up after two tries instead of nine."""
    sample.change('_RETRIES', '1')
    held = hold_task(sample)
    process = start_until_formula(sample, '-y')
    outage = break_batch(sample, kind)
    wait_for_pauses(sample, outage, lambda requests: requests >= 5)  # the third request by now
    held.remove()
    sample.azure.wait_until(lambda: sample.azure.batch.all_tasks()[0].state.value == 'completed')
    outage.remove()

    result = sample.finish(process)

    assert result.returncode == 0, result.stderr
    line = 'The tasks run on; asking again until there is an answer...\n'
    assert result.stderr.count(line) == result.stderr.count('Warning: ') == 1
    assert sample.mp3s() == ['a.mp3']
    assert sample.nothing_is_left()


def test_an_outage_that_outlasts_the_time_limit_of_the_job_ends_the_run(sample: Sample) -> None:
    sample.change('_RETRIES', '1')
    shorten_limits(sample, 10)
    hold_task(sample)
    process = start_until_formula(sample, '-y')
    outage = break_batch(sample, '503')

    result = sample.finish(process)

    outage.check()
    assert result.returncode == 1
    assert result.stderr.count('Error: ') == 1
    assert 'Check _BATCH_ACCOUNT_URL (AZURE_BATCH_ENDPOINT) and the network.' in result.stderr
    assert 'The job may be left' in result.stderr
    assert 'The pool may be left' in result.stderr
    sample.azure.wait_until(lambda: nodes(sample) == 0)  # although nobody could delete the pool


def test_an_outage_at_the_first_contact_ends_the_run_soon(sample: Sample) -> None:
    outage = break_batch(sample, '503')

    sample.assert_refused('does not answer')

    outage.check()
    assert sample.containers() == []


# --- Only what is missing -------------------------------------------------------------------------


@pytest.fixture
def twelve_videos(sample: Sample, make_video: MakeVideo) -> None:
    """Twelve videos, of which 03.mp4 and 07.mp4 are none."""
    for number in range(11):  # a.mp4 is there
        make_video(f'{number:02}.mp4')
    (sample.input / '03.mp4').write_text('no video')
    (sample.input / '07.mp4').write_text('no video')


@pytest.mark.usefixtures('twelve_videos')
def test_a_run_with_two_bad_files_of_twelve_names_missing(sample: Sample) -> None:
    result = sample.run('-y')

    assert result.returncode == 1
    assert (
        'Error: 2 of 12 files failed. '
        'To convert only those that have no MP3 yet, run again with --missing.\n'
    ) in result.stderr
    assert len(sample.mp3s()) == 10


@pytest.mark.usefixtures('twelve_videos')
def test_missing_after_two_bad_files_of_twelve_creates_two_tasks(
    sample: Sample, make_video: MakeVideo
) -> None:
    sample.run('-y')
    make_video('03.mp4')  # mended

    result = sample.run('--keep', '--missing')

    assert f'10 of 12 videos have an MP3 in {sample.output} and are left out.\n' in result.stdout
    assert 'Adding 2 tasks to job' in result.stdout
    tasks = sample.azure.batch_client().task.list('LinuxFFmpegJob')
    assert sorted(task.display_name for task in tasks) == ['03.mp4', '07.mp4']
    assert result.returncode == 1
    assert 'Error: 1 of 2 files failed. ' in result.stderr
    assert len(sample.mp3s()) == 11


def test_missing_with_none_missing_is_a_success_with_nothing_contacted(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('sub/b.mp4')
    assert sample.run('-y').returncode == 0
    sample.azure.requests.clear()

    result = sample.run('--missing')

    assert (result.returncode, result.stderr) == (0, '')
    assert result.stdout == (f'2 of 2 videos have an MP3 in {sample.output} and are left out.\n')
    assert not sample.has_contacted_azure()


def test_missing_without_an_output_folder_takes_all(sample: Sample) -> None:
    result = sample.run('-y', '--missing')

    assert result.returncode == 0, result.stderr
    assert '0 of 1 videos have an MP3' in result.stdout
    assert sample.mp3s() == ['a.mp3']
