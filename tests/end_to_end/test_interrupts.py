"""Ctrl-C, SIGTERM, SIGHUP and SIGKILL at bad moments."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable

import pytest

from tests.conftest import MakeVideo
from tests.local_azure.faults import Fault
from tests.screen import INTERRUPTED

from .conftest import Sample, mp3s_of
from .random_interrupts import SIGNALS, interrupt, wait_for_line

JOB, POOL = 'LinuxFFmpegJob', 'LinuxFFmpegPool'


@pytest.fixture(autouse=True)
def video(make_video: MakeVideo) -> None:
    make_video('a.mp4')


def container_exists(sample: Sample) -> bool:
    return 'input' in sample.containers()


def pool_exists(sample: Sample) -> bool:
    return bool(sample.pools())


def job_exists(sample: Sample) -> bool:
    return bool(sample.jobs())


def is_monitoring(sample: Sample) -> bool:
    return any('taskcounts' in request.path for request in list(sample.azure.requests))


def start_until(
    sample: Sample, moment: Callable[[Sample], bool], *options: str
) -> subprocess.Popen[str]:
    """Start the sample, and return at that moment. The nodes are slow: it cannot be over."""
    sample.azure.slow_nodes(start_task=60)
    return sample.start_until(lambda: moment(sample), *options)


# --- Signals that clean up ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('moment', 'number'),
    [
        (container_exists, signal.SIGTERM),
        (pool_exists, signal.SIGINT),
        (job_exists, signal.SIGTERM),
        (is_monitoring, signal.SIGINT),
    ],
)
def test_the_first_interrupt_cleans_up(
    sample: Sample, moment: Callable[[Sample], bool], number: signal.Signals
) -> None:
    process = start_until(sample, moment, '-y')

    process.send_signal(number)
    result = sample.finish(process)

    assert result.returncode == 130
    assert sample.nothing_is_left()


@pytest.mark.parametrize(
    ('after', 'signals'), [(0.6, SIGNALS[0]), (0.3, SIGNALS[1]), (0, SIGNALS[2])]
)
def test_an_interrupt_at_any_moment_cleans_up(
    sample: Sample, after: float, signals: tuple[signal.Signals, ...]
) -> None:
    sample.azure.slow_nodes(start_task=60)  # no run is over before the signal

    outcome = interrupt(sample, after, signals, '-y')

    assert outcome.problem == ''
    assert not outcome.too_late


def test_an_interrupt_waits_for_the_answer_to_the_creation_of_the_pool(sample: Sample) -> None:
    held = sample.azure.hold_requests('POST', r'/pools\?')
    process = sample.start_until_held(held, '-y')

    process.send_signal(signal.SIGINT)
    wait_for_line(process.stderr, INTERRUPTED)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=2)
    held.remove()
    result = sample.finish(process)

    assert result.returncode == 130
    assert sample.nothing_is_left()


def test_an_interrupt_during_the_uploads_does_not_wait_for_them(sample: Sample) -> None:
    upload = sample.azure.hang_requests('PUT', '/input/a.mp4', count=None, service='storage')
    process = sample.start_until_held(upload, '-y')

    process.send_signal(signal.SIGINT)
    result = sample.finish(process)

    assert not upload.gone.is_set()  # the upload still hangs
    assert result.returncode == 130
    assert result.stderr.replace('\n', '').isprintable()  # as there is no terminal
    assert sample.nothing_is_left()


def test_an_interrupt_during_the_cleanup_does_not_cut_it_short(sample: Sample) -> None:
    held = sample.azure.hold_requests('DELETE', '/jobs/')
    process = sample.start_until_held(held, '-y')

    process.send_signal(signal.SIGINT)
    wait_for_line(process.stderr, INTERRUPTED)
    held.remove()
    result = sample.finish(process)

    assert result.returncode == 130
    assert sample.nothing_is_left()


def test_a_terminal_that_closes_does_not_cut_the_cleanup_short(sample: Sample) -> None:
    process = start_until(sample, is_monitoring, '-y')
    held = sample.azure.hold_requests('DELETE', '/jobs/')

    process.send_signal(signal.SIGHUP)
    sample.azure.wait_until(lambda: held.hits)
    process.send_signal(signal.SIGHUP)  # the second one, from its shell
    held.remove()
    result = sample.finish(process)

    assert result.returncode == 130
    assert sample.nothing_is_left()


# --- What stays -----------------------------------------------------------------------------------


def test_an_interrupted_run_with_keep_keeps_all(sample: Sample) -> None:
    process = start_until(sample, is_monitoring, '--keep')

    process.send_signal(signal.SIGINT)
    result = sample.finish(process)

    assert result.returncode == 130
    assert (sample.jobs(), sample.pools()) == ([JOB], [POOL])
    assert 'input' in sample.containers()


def test_an_interrupted_run_that_nobody_answers_keeps_the_videos_for_the_next(
    sample: Sample, make_video: MakeVideo
) -> None:
    process = start_until(sample, is_monitoring)
    process.send_signal(signal.SIGINT)
    assert sample.finish(process).returncode == 130
    assert sample.jobs() + sample.pools() == []
    sample.azure.faults.clear()
    sample.azure.requests.clear()
    make_video('b.mp4')

    result = sample.run('-y')

    uploaded = [
        request.path.rpartition('/')[2]
        for request in sample.azure.requests
        if request.method == 'PUT' and '/input/' in request.path
    ]
    assert result.returncode == 0, result.stderr
    assert uploaded == ['b.mp4']
    assert sample.mp3s() == mp3s_of('a.mp4', 'b.mp4')
    assert sample.nothing_is_left()


# --- Killed ---------------------------------------------------------------------------------------


def assert_the_next_run_succeeds(sample: Sample) -> None:
    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == mp3s_of('a.mp4')
    assert sample.nothing_is_left()


def test_after_a_killed_run_the_next_one_waits_for_its_lease_and_leaves_nothing(
    sample: Sample,
) -> None:
    sample.change('_LEASE_SECONDS', '15')  # the shortest that there is
    held = sample.hold_task()
    sample.kill(sample.start_until_held(held, '-y'))
    held.remove()
    assert (sample.jobs(), sample.pools()) == ([JOB], [POOL])
    sample.allow_formulas_at_once()

    assert_the_next_run_succeeds(sample)


@pytest.mark.parametrize('hold', [Sample.hold_upload, Sample.hang_download])
def test_after_a_run_that_was_killed_in_a_transfer_the_next_one_leaves_nothing_half_written(
    sample: Sample, hold: Callable[[Sample], Fault]
) -> None:
    held = hold(sample)
    sample.kill(sample.start_until_held(held, '-y'))
    held.remove()
    sample.break_lease()

    assert_the_next_run_succeeds(sample)
