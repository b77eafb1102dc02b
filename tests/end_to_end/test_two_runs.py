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
from tests.screen import DELETE_JOB, DELETE_OLD_JOB, DELETE_POOL, ENTER, Screen

from .conftest import OpenScreen, Sample
from .random_offsets import Pair, make_pair, run_both, wrong_mp3s

JOB, POOL = 'LinuxFFmpegJob', 'LinuxFFmpegPool'


@pytest.fixture
def pair(azure: LocalAzure, tmp_path: Path) -> Iterator[Pair]:
    """Two samples with equal file names."""
    azure.evaluate_autoscale_every(0.2)
    pair = make_pair(azure, tmp_path, 'equal')
    yield pair
    pair.first.close()
    pair.second.close()


def assert_is_refused(sample: Sample, *options: str) -> None:
    """Run the sample: it asks for the lease more than once, and ends without having touched it."""
    # A lease without an end, for which it waits 4 seconds only. It must not get it.
    sample.change('_LEASE_SECONDS', '-1')

    result = sample.run(*options)

    assert result.returncode == 1, result.stderr
    assert lease_requests(sample, status=409) > 1
    assert sample.mp3s() == []


def lease_requests(sample: Sample, status: int) -> int:
    """Return how often a lease was asked for, or renewed, with this answer."""
    return sum(
        'comp=lease' in request.query and request.status == status
        for request in list(sample.azure.requests)
    )


def assert_converts(sample: Sample, process: subprocess.Popen[str], seconds: int) -> None:
    """The run succeeds, with MP3s of its own videos, and nothing is left."""
    result = sample.finish(process)

    assert result.returncode == 0, result.stderr
    assert list(wrong_mp3s(sample, seconds)) == []
    assert sample.nothing_is_left()


@pytest.mark.parametrize('hold', [Sample.hold_upload, Sample.hold_download])
def test_a_second_run_stops_and_touches_nothing_of_the_first(
    pair: Pair, hold: Callable[[Sample], Fault]
) -> None:
    held = hold(pair.first)
    first = pair.first.start_until_held(held, '-y')

    assert_is_refused(pair.second, '-y')

    held.remove()
    assert_converts(pair.first, first, 1)


@pytest.mark.parametrize(
    ('names', 'offset', 'options'),
    [('equal', 0, ['-y']), ('different', 1.5, []), ('settings', 0, [])],
)
def test_two_runs_at_once_both_convert_their_own_videos(
    azure: LocalAzure, tmp_path: Path, names: str, offset: float, options: list[str]
) -> None:
    pair = make_pair(azure, tmp_path, names)

    assert run_both(pair, offset, options) == []


def test_only_yes_deletes_the_unfinished_job_of_a_run_that_died(pair: Pair) -> None:
    sample = pair.first
    held = sample.azure.hang_requests('GET', '/input/a.mp4', service='storage', source='node')
    sample.kill(sample.start_until_held(held, '-y'))
    sample.break_lease()

    stopped = sample.run()

    assert stopped.returncode == 1
    assert sample.jobs() == [JOB]
    assert_converts(sample, sample.start('-y'), 1)


OTHER_SETTINGS = {
    '_INPUT_CONTAINER_NAME': "'input2'",
    '_OUTPUT_CONTAINER_NAME': "'output2'",
    '_POOL_ID': "'Pool2'",
}


def test_a_run_with_another_output_leaves_alone_the_job_of_the_first(pair: Pair) -> None:
    for setting, value in OTHER_SETTINGS.items():
        pair.second.change(setting, value)
    held = pair.first.hold_task()
    first = pair.first.start_until_held(held, '-y')

    second = pair.second.run('-y')

    assert second.returncode == 1
    assert pair.first.jobs() == [JOB]
    held.remove()
    assert_converts(pair.first, first, 1)


# --- The first run waits at a question ------------------------------------------------------------


@pytest.fixture
def at_last_question(make_video: MakeVideo, open_screen: OpenScreen) -> Screen:
    """A run that has converted its video, and asks whether to delete the job."""
    make_video('a.mp4')
    screen = open_screen()
    screen.wait_for(DELETE_JOB)
    return screen


def answer_last_questions(screen: Screen) -> int:
    """Answer both with Enter, and return the exit code."""
    screen.type(ENTER)
    screen.wait_for(DELETE_POOL)
    screen.type(ENTER)
    return screen.finish()


def test_a_second_run_stops_while_the_first_waits_at_its_last_question(
    sample: Sample, at_last_question: Screen, pair: Pair
) -> None:
    assert_is_refused(pair.second, '-y')

    assert (sample.jobs(), sample.pools()) == ([JOB], [POOL])
    assert answer_last_questions(at_last_question) == 0
    assert sample.nothing_is_left()


def test_a_run_that_slept_at_its_last_question_deletes_nothing_of_the_next_run(
    sample: Sample, at_last_question: Screen, pair: Pair
) -> None:
    os.killpg(at_last_question.process.pid, signal.SIGSTOP)
    sample.break_lease()  # as a minute of sleep does
    held = sample.hold_task()
    second = pair.second.start_until_held(held, '-y')

    os.killpg(at_last_question.process.pid, signal.SIGCONT)
    exit_code = answer_last_questions(at_last_question)

    assert exit_code == 1
    assert (sample.jobs(), sample.pools()) == ([JOB], [POOL])
    held.remove()
    assert_converts(pair.second, second, 2)


def test_a_second_run_stops_while_the_first_waits_at_the_question_about_an_old_job(
    sample: Sample, make_video: MakeVideo, open_screen: OpenScreen, pair: Pair
) -> None:
    make_video('a.mp4')
    assert sample.run('--keep').returncode == 0
    screen = open_screen()
    screen.wait_for(DELETE_OLD_JOB)

    assert_is_refused(pair.second, '-y')

    assert (sample.jobs(), sample.pools()) == ([JOB], [POOL])
    screen.type(f'n{ENTER}')
    assert screen.finish() == 1


# --- A lease that was lost: the machine has slept, and another run has begun meanwhile ------------


def test_a_run_that_has_lost_its_lease_stops_and_deletes_nothing(pair: Pair) -> None:
    sample = pair.first
    sample.change('_LEASE_SECONDS', '15')  # which is renewed every 5 seconds
    process = sample.start_until_held(sample.hold_task(), '-y')

    sample.break_lease()
    with sample.azure.blob_service_client() as client:
        client.get_container_client('output').acquire_lease(60)
    result = sample.finish(process)

    assert result.returncode == 1
    assert (sample.jobs(), sample.pools()) == ([JOB], [POOL])
    assert 'input' in sample.containers()


def test_a_renewal_without_an_answer_is_repeated_before_the_lease_ends(
    sample: Sample, make_video: MakeVideo, open_screen: OpenScreen, pair: Pair
) -> None:
    make_video('a.mp4')
    sample.change('_LEASE_SECONDS', '30')  # which is renewed every 10 seconds
    screen = open_screen()
    screen.wait_for(DELETE_JOB)
    dead = sample.azure.hang_requests('PUT', 'comp=lease', service='storage')
    sample.azure.wait_until(lambda: dead.hits)

    # It asks as long as a lease of 20 seconds lasts, and longer than that of the first does.
    pair.second.change('_LEASE_SECONDS', '20')
    second = pair.second.run('-y')

    assert second.returncode == 1
    dead.remove()
    assert answer_last_questions(screen) == 0
    assert sample.nothing_is_left()
