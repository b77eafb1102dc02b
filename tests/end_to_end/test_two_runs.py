"""Two runs on one account: one waits or stops, and nothing of the other is touched."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import MakeVideo
from tests.local_azure import LocalAzure
from tests.local_azure.faults import Fault
from tests.screen import ENTER, Screen

from .conftest import OpenScreen, Sample
from .random_offsets import NAMES, OPTIONS, Pair, make_pair, run_both, wrong_mp3s

JOB, POOL = 'LinuxFFmpegJob', 'LinuxFFmpegPool'
Hold = Callable[[Sample], Fault]


@pytest.fixture
def pair(azure: LocalAzure, tmp_path: Path) -> Iterator[Pair]:
    """Two samples with equal file names; the second does not wait long for the first."""
    azure.evaluate_autoscale_every(0.2)
    pair = make_pair(azure, tmp_path, 'equal')
    pair.second.change('_LEASE_SECONDS', '15')
    yield pair
    pair.first.close()
    pair.second.close()


def assert_stopped(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 1, result.stderr
    assert 'Error: Another run is at work' in result.stderr


def assert_converted(
    sample: Sample, result: subprocess.CompletedProcess[str], seconds: int
) -> None:
    """The run has succeeded, with MP3s of its own videos."""
    assert result.returncode == 0, result.stderr
    assert list(wrong_mp3s(sample, seconds)) == []


@pytest.mark.parametrize(
    ('hold', 'options'),
    [
        (Sample.hold_upload, ['-y']),
        (Sample.hold_task, ['-y']),
        (Sample.hold_task, ['--keep']),
        (Sample.hold_task, []),
        (Sample.hold_download, ['-y']),
    ],
)
def test_a_second_run_stops_and_touches_nothing_of_the_first(
    pair: Pair, hold: Hold, options: list[str]
) -> None:
    held = hold(pair.first)
    first = pair.first.start_until_held(held, '-y')

    second = pair.second.run(*options)
    held.remove()
    result = pair.first.finish(first)

    assert_stopped(second)
    assert pair.second.mp3s() == []
    assert_converted(pair.first, result, 1)
    assert pair.first.nothing_is_left()


@pytest.mark.parametrize('offset', [0, 1.5])
@pytest.mark.parametrize('options', OPTIONS, ids=['yes', 'no option'])
@pytest.mark.parametrize('names', NAMES)
def test_two_runs_at_once_both_convert_their_own_videos(
    azure: LocalAzure, tmp_path: Path, names: str, options: tuple[str, ...], offset: float
) -> None:
    pair = make_pair(azure, tmp_path, names)

    assert run_both(pair, offset, options) == []


def test_a_run_that_follows_a_killed_one_waits_for_its_lease(pair: Pair) -> None:
    sample = pair.first
    held = sample.hold_task()
    sample.kill(sample.start_until_held(held, '-y'))
    held.remove()

    result = sample.run('-y')

    assert 'is used by another run, or by one that has just died' in result.stderr
    assert_converted(sample, result, 1)
    assert sample.nothing_is_left()


def test_only_yes_deletes_the_unfinished_job_of_a_run_that_died(pair: Pair) -> None:
    sample = pair.second
    held = sample.azure.hang_requests('GET', '/input/a.mp4', service='storage', source='node')
    sample.kill(sample.start_until_held(held, '-y'))
    stopped = sample.run()

    result = sample.run('-y')

    assert stopped.returncode == 1
    assert 'az batch job delete' in stopped.stderr
    assert_converted(sample, result, 2)
    assert sample.nothing_is_left()


# --- The first run waits at a question ------------------------------------------------------------


@pytest.fixture
def at_last_question(make_video: MakeVideo, open_screen: OpenScreen) -> Screen:
    """A run that has converted its video, and asks whether to delete the job."""
    make_video('a.mp4')
    screen = open_screen()
    screen.wait_for(r'Delete job\? \[Y/n\]')
    return screen


def test_a_second_run_stops_while_the_first_waits_at_its_last_question(
    sample: Sample, at_last_question: Screen, pair: Pair
) -> None:
    second = pair.second.run('-y')

    assert_stopped(second)
    assert (sample.jobs(), sample.pools()) == ([JOB], [POOL])
    at_last_question.type(ENTER)
    at_last_question.wait_for(r'Delete pool\? \[Y/n\]')
    at_last_question.type(ENTER)
    assert at_last_question.finish() == 0
    assert sample.nothing_is_left()


def test_a_run_that_slept_at_its_last_question_deletes_nothing_of_the_next_run(
    sample: Sample, at_last_question: Screen, pair: Pair
) -> None:
    os.killpg(at_last_question.process.pid, signal.SIGSTOP)
    sample.break_lease()  # as a minute of sleep does
    held = sample.hold_task()
    second = pair.second.start_until_held(held, '-y')

    os.killpg(at_last_question.process.pid, signal.SIGCONT)
    at_last_question.type(ENTER)
    at_last_question.wait_for(r'Delete pool\? \[Y/n\]')
    at_last_question.type(ENTER)
    exit_code = at_last_question.finish()
    left = (sample.jobs(), sample.pools())
    held.remove()
    result = pair.second.finish(second)

    assert exit_code == 1
    assert 'Another run has taken over' in at_last_question.output
    assert left == ([JOB], [POOL])
    assert_converted(pair.second, result, 2)
    assert sample.nothing_is_left()


def test_a_second_run_stops_while_the_first_waits_at_the_question_about_an_old_job(
    sample: Sample, make_video: MakeVideo, open_screen: OpenScreen, pair: Pair
) -> None:
    make_video('a.mp4')
    assert sample.run('--keep').returncode == 0
    screen = open_screen()
    screen.wait_for(r'Delete it and go on\? \[y/N\]')

    second = pair.second.run('-y')

    assert_stopped(second)
    assert (sample.jobs(), sample.pools()) == ([JOB], [POOL])
    screen.type(f'n{ENTER}')
    assert screen.finish() == 1


# --- Two pairs of containers: each run has the lock of its own ------------------------------------


OTHER_CONTAINERS = {'_INPUT_CONTAINER_NAME': "'input2'", '_OUTPUT_CONTAINER_NAME': "'output2'"}


@pytest.mark.parametrize(
    ('settings', 'command'),
    [
        ({**OTHER_CONTAINERS, '_POOL_ID': "'Pool2'"}, 'az batch job delete'),
        ({**OTHER_CONTAINERS, '_JOB_ID': "'Job2'"}, 'az batch pool delete'),
        ({'_OUTPUT_CONTAINER_NAME': "'output2'"}, '_INPUT_CONTAINER_NAME'),
    ],
    ids=['the job', 'the pool', 'the input container'],
)
@pytest.mark.parametrize('option', ['-y', '--keep'])
def test_a_run_with_another_output_leaves_alone_what_the_first_uses(
    pair: Pair, settings: dict[str, str], command: str, option: str
) -> None:
    for setting, value in settings.items():
        pair.second.change(setting, value)
    held = pair.first.hold_task()
    first = pair.first.start_until_held(held, '-y')

    second = pair.second.run(option)
    held.remove()
    result = pair.first.finish(first)

    assert second.returncode == 1
    assert command in second.stderr
    assert_converted(pair.first, result, 1)
    assert pair.first.nothing_is_left()


# --- A lease that was lost: the machine has slept, and another run has begun meanwhile ------------


def steal_lease(sample: Sample) -> None:
    sample.break_lease()
    with sample.azure.blob_service_client() as client:
        client.get_container_client('output').acquire_lease(60)


@pytest.mark.parametrize(
    ('hold', 'left'),
    [
        (Sample.hold_upload, ([], [])),
        (Sample.hold_task, ([JOB], [POOL])),
        (Sample.hold_download, ([JOB], [])),  # the pool is deleted before the downloads
    ],
)
def test_a_run_that_has_lost_its_lease_stops_and_deletes_nothing(
    pair: Pair, hold: Hold, left: tuple[list[str], list[str]]
) -> None:
    sample = pair.second
    process = sample.start_until_held(hold(sample), '-y')

    steal_lease(sample)
    result = sample.finish(process)

    assert result.returncode == 1
    assert 'Error: Another run has taken over' in result.stderr
    assert (sample.jobs(), sample.pools()) == left
    assert 'input' in sample.containers()


def test_a_renewal_without_an_answer_is_repeated_before_the_lease_ends(pair: Pair) -> None:
    sample = pair.first
    held = sample.hold_task()
    process = sample.start_until_held(held, '-y')
    dead = sample.azure.hang_requests('PUT', 'comp=lease', service='storage')
    sample.azure.wait_until(lambda: dead.hits)

    sample.azure.requests.clear()
    sample.azure.wait_until(lambda: was_renewed(sample))
    # A run that comes now finds the lease held.
    second = pair.second.run('-y')
    dead.remove()
    held.remove()
    result = sample.finish(process)

    assert_stopped(second)
    assert result.returncode == 0, result.stderr


def was_renewed(sample: Sample) -> bool:
    return any(
        'comp=lease' in request.query and request.status == 200
        for request in list(sample.azure.requests)
    )
