"""Two runs on one account: one waits or stops, and nothing of the other is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from azure.storage.blob import BlobLeaseClient

from tests.conftest import MakeVideo
from tests.local_azure import LocalAzure
from tests.local_azure.faults import Fault
from tests.screen import ENTER

from .conftest import OpenScreen, Sample
from .random_offsets import NAMES, OPTIONS, Pair, make_pair, run_both, wrong_mp3s

WAITING = 'Container [output] is used by another run, or by one that has just died: waiting'
AT_WORK = 'Another run is at work, and nothing of it was touched.'
SETTINGS = ('_INPUT_CONTAINER_NAME', '_OUTPUT_CONTAINER_NAME', '_POOL_ID', '_JOB_ID')


@pytest.fixture
def pair(azure: LocalAzure, tmp_path: Path) -> Pair:
    """Two samples with equal file names; the second does not wait long for the first."""
    pair = make_pair(azure, tmp_path, 'equal')
    pair.second.change('_LEASE_SECONDS', '15')
    return pair


def assert_stopped_with_the_ways_out(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 1, result.stderr
    assert 'Success' not in result.stdout
    assert f'{WAITING} for up to 15 seconds...' in result.stderr
    assert f'Error: {AT_WORK} Wait until it has ended' in result.stderr
    assert all(setting in result.stderr for setting in SETTINGS)


def hold_upload(azure: LocalAzure) -> Fault:
    return azure.hold_requests('PUT', '/input/a.mp4', service='storage')


def hold_conversion(azure: LocalAzure) -> Fault:
    return azure.hold_requests('GET', '/input/a.mp4', service='storage', source='node')


def hold_download(azure: LocalAzure) -> Fault:
    return azure.hold_requests('GET', '/output/a.mp3', service='storage')


@pytest.mark.parametrize(
    ('hold', 'option'),
    [
        (hold_upload, '-y'),
        (hold_conversion, '-y'),
        (hold_conversion, '--keep'),
        (hold_conversion, None),
        (hold_download, '-y'),
    ],
)
def test_a_second_run_stops_and_touches_nothing_of_the_first(
    pair: Pair, hold: Callable[[LocalAzure], Fault], option: str | None
) -> None:
    held = hold(pair.first.azure)
    first = pair.first.start('-y')
    pair.first.azure.wait_until(lambda: held.hits)

    second = pair.second.run(*([option] if option else []))
    held.remove()
    result = pair.first.finish(first)

    assert_stopped_with_the_ways_out(second)
    assert pair.second.mp3s() == []
    assert result.returncode == 0, result.stderr
    assert list(wrong_mp3s(pair.first, 1)) == []
    assert pair.first.nothing_is_left()


@pytest.mark.parametrize('offset', [0, 1.5])
@pytest.mark.parametrize('options', OPTIONS, ids=['yes', 'no option'])
@pytest.mark.parametrize('names', NAMES)
def test_two_runs_at_once_both_convert_their_own_videos(
    azure: LocalAzure, tmp_path: Path, names: str, options: tuple[str, ...], offset: float
) -> None:
    pair = make_pair(azure, tmp_path, names)

    assert run_both(pair, offset, options) == []


def test_a_run_that_follows_a_killed_one_waits_a_minute_and_says_so(pair: Pair) -> None:
    sample = pair.first
    held = hold_conversion(sample.azure)
    first = sample.start('-y')
    sample.azure.wait_until(lambda: held.hits)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    held.remove()
    began = time.monotonic()

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert time.monotonic() - began < 80
    assert f'{WAITING} for up to 60 seconds...' in result.stderr
    assert list(wrong_mp3s(sample, 1)) == []
    assert sample.nothing_is_left()


def test_yes_deletes_the_unfinished_job_of_a_run_that_died_and_says_so(pair: Pair) -> None:
    sample = pair.second
    held = sample.azure.hang_requests('GET', '/input/a.mp4', service='storage', source='node')
    first = sample.start('-y')
    sample.azure.wait_until(lambda: held.hits)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    stopped = sample.run()

    result = sample.run('-y')

    assert stopped.returncode == 1
    assert 'Error: Job [LinuxFFmpegJob] exists.' in stopped.stderr
    died = 'No run is at work on job [LinuxFFmpegJob]: it is deleted, its tasks are ended.'
    assert result.returncode == 0, result.stderr
    assert died in result.stderr
    assert list(wrong_mp3s(sample, 2)) == []
    assert sample.nothing_is_left()


def test_a_second_run_stops_while_the_first_waits_at_its_last_question(
    sample: Sample, make_video: MakeVideo, open_screen: OpenScreen, pair: Pair
) -> None:
    make_video('a.mp4')
    screen = open_screen()
    screen.wait_for(r'Delete job\? \[Y/n\]')

    second = pair.second.run('-y')

    assert_stopped_with_the_ways_out(second)
    assert (sample.jobs(), sample.pools()) == (['LinuxFFmpegJob'], ['LinuxFFmpegPool'])
    screen.type(ENTER)
    screen.wait_for(r'Delete pool\? \[Y/n\]')
    screen.type(ENTER)
    assert screen.finish() == 0
    assert sample.nothing_is_left()


def test_a_run_that_slept_at_its_last_question_deletes_nothing_of_the_next_run(
    sample: Sample, make_video: MakeVideo, open_screen: OpenScreen, pair: Pair
) -> None:
    make_video('a.mp4')
    screen = open_screen()
    screen.wait_for(r'Delete job\? \[Y/n\]')
    os.killpg(screen.process.pid, signal.SIGSTOP)
    break_lease(sample)  # as a minute of sleep does
    held = hold_conversion(sample.azure)
    second = pair.second.start('-y')
    sample.azure.wait_until(lambda: held.hits)

    os.killpg(screen.process.pid, signal.SIGCONT)
    screen.type(ENTER)
    screen.finish()
    jobs_and_pools = (sample.jobs(), sample.pools())
    held.remove()
    result = pair.second.finish(second)

    assert jobs_and_pools == (['LinuxFFmpegJob'], ['LinuxFFmpegPool'])
    assert 'The job is not of this run, or another run uses it by now.' in screen.output
    assert 'The pool is kept: the job still needs it.' in screen.output
    assert result.returncode == 0, result.stderr
    assert list(wrong_mp3s(pair.second, 2)) == []
    assert sample.nothing_is_left()


def test_a_second_run_stops_while_the_first_waits_at_the_question_about_an_old_job(
    sample: Sample, make_video: MakeVideo, open_screen: OpenScreen, pair: Pair
) -> None:
    make_video('a.mp4')
    assert sample.run('--keep').returncode == 0
    screen = open_screen()
    screen.wait_for(r'Delete it and go on\? \[y/N\]')

    second = pair.second.run('-y')

    assert_stopped_with_the_ways_out(second)
    assert (sample.jobs(), sample.pools()) == (['LinuxFFmpegJob'], ['LinuxFFmpegPool'])
    screen.type(f'n{ENTER}')
    assert screen.finish() == 1


# Two storage accounts, or two pairs of containers in one: each run has the lock of its own.


def use_other_containers(sample: Sample) -> None:
    sample.change('_INPUT_CONTAINER_NAME', "'input2'")
    sample.change('_OUTPUT_CONTAINER_NAME', "'output2'")


@pytest.mark.parametrize('option', ['-y', '--keep', None])
def test_a_run_with_another_storage_leaves_the_job_of_the_first_alone(
    pair: Pair, option: str | None
) -> None:
    use_other_containers(pair.second)
    held = hold_conversion(pair.first.azure)
    first = pair.first.start('-y')
    pair.first.azure.wait_until(lambda: held.hits)

    second = pair.second.run(*([option] if option else []))
    held.remove()
    result = pair.first.finish(first)

    assert second.returncode == 1
    assert 'Error: Job [LinuxFFmpegJob] exists.' in second.stderr
    assert result.returncode == 0, result.stderr
    assert list(wrong_mp3s(pair.first, 1)) == []
    assert pair.first.nothing_is_left()


def test_a_run_with_another_storage_and_job_leaves_the_pool_of_the_first_alone(pair: Pair) -> None:
    use_other_containers(pair.second)
    pair.second.change('_JOB_ID', "'Job2'")
    held = hold_conversion(pair.first.azure)
    first = pair.first.start('-y')
    pair.first.azure.wait_until(lambda: held.hits)

    second = pair.second.run('-y')
    pools = pair.first.pools()
    held.remove()
    result = pair.first.finish(first)

    assert second.returncode == 0, second.stderr
    assert 'The pool is not of this run, or another run uses it by now.' in second.stderr
    assert pools == ['LinuxFFmpegPool']
    assert list(wrong_mp3s(pair.second, 2)) == []
    assert result.returncode == 0, result.stderr
    assert list(wrong_mp3s(pair.first, 1)) == []
    assert pair.first.nothing_is_left()


def test_the_input_container_of_a_run_with_another_output_is_refused(pair: Pair) -> None:
    pair.second.change('_OUTPUT_CONTAINER_NAME', "'output2'")
    held = hold_conversion(pair.first.azure)
    first = pair.first.start('-y')
    pair.first.azure.wait_until(lambda: held.hits)

    second = pair.second.run('-y')
    held.remove()
    result = pair.first.finish(first)

    assert second.returncode == 1
    assert 'change _INPUT_CONTAINER_NAME' in second.stderr
    assert result.returncode == 0, result.stderr
    assert list(wrong_mp3s(pair.first, 1)) == []


# A lease that was lost: the machine has slept, and another run has begun meanwhile.


def break_lease(sample: Sample) -> None:
    with sample.azure.blob_service_client() as client:
        container = client.get_container_client('output')
        BlobLeaseClient(container).break_lease(lease_break_period=0)


def steal_lease(sample: Sample) -> None:
    break_lease(sample)
    with sample.azure.blob_service_client() as client:
        client.get_container_client('output').acquire_lease(60)


def test_a_renewal_without_an_answer_is_repeated_before_the_lease_ends(pair: Pair) -> None:
    sample = pair.first
    held = hold_conversion(sample.azure)
    process = sample.start('-y')
    sample.azure.wait_until(lambda: held.hits)
    dead = sample.azure.hang_requests('PUT', 'comp=lease', service='storage')
    sample.azure.wait_until(lambda: dead.hits)
    began = time.monotonic()

    sample.azure.requests.clear()
    sample.azure.wait_until(lambda: was_renewed(sample))
    seconds = time.monotonic() - began
    dead.remove()
    held.remove()
    result = sample.finish(process)

    assert seconds < 20  # of the 40 that the lease still had
    assert result.returncode == 0, result.stderr


def was_renewed(sample: Sample) -> bool:
    return any(
        'comp=lease' in request.query and request.status == 200
        for request in list(sample.azure.requests)
    )


@pytest.mark.parametrize(
    ('hold', 'left'),
    [
        (hold_upload, ([], [])),
        (hold_conversion, (['LinuxFFmpegJob'], ['LinuxFFmpegPool'])),
        (hold_download, (['LinuxFFmpegJob'], [])),  # the pool is deleted before the downloads
    ],
)
def test_a_run_that_has_lost_its_lease_stops_and_deletes_nothing(
    pair: Pair, hold: Callable[[LocalAzure], Fault], left: tuple[list[str], list[str]]
) -> None:
    sample = pair.second
    held = hold(sample.azure)
    process = sample.start('-y')
    sample.azure.wait_until(lambda: held.hits)

    steal_lease(sample)
    result = sample.finish(process)

    assert result.returncode == 1
    assert 'Error: Another run has taken over container [output]' in result.stderr
    assert 'Nothing is deleted, since another run may use it.' in result.stderr
    assert (sample.jobs(), sample.pools()) == left
    assert 'input' in sample.containers()
