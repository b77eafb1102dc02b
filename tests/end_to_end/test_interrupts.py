"""Ctrl-C, SIGTERM and SIGKILL at bad moments."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable

import pytest

from tests.conftest import MakeVideo

from .conftest import Sample, mp3s_of
from .random_interrupts import SIGNALS, interrupt

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


MOMENTS = [container_exists, pool_exists, job_exists, is_monitoring]


def start_until(
    sample: Sample, moment: Callable[[Sample], bool], *options: str, start_task: float = 60
) -> subprocess.Popen[str]:
    """Start the sample, and return at that moment. The nodes are slow: it cannot be over."""
    sample.azure.slow_nodes(start_task=start_task)
    return sample.start_until(lambda: moment(sample), *options)


def wait_for_note(process: subprocess.Popen[str]) -> None:
    """Wait until the sample has said that it is interrupted."""
    assert process.stderr
    while not process.stderr.readline().startswith('Interrupted'):
        assert process.poll() is None


# --- Signals that clean up ------------------------------------------------------------------------


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('moment', MOMENTS)
def test_the_first_interrupt_cleans_up(
    sample: Sample, moment: Callable[[Sample], bool], number: signal.Signals
) -> None:
    process = start_until(sample, moment, '-y')

    process.send_signal(number)
    result = sample.finish(process)

    assert result.returncode == 130
    assert result.stderr.count('Interrupted') == 1
    assert 'Sample end' in result.stdout
    assert sample.nothing_is_left()


@pytest.mark.parametrize('signals', SIGNALS, ids=lambda signals: '+'.join(s.name for s in signals))
@pytest.mark.parametrize('after', [0, 0.15, 0.3, 0.6, 1.0, 1.5])  # seconds
def test_an_interrupt_at_any_moment_cleans_up(
    sample: Sample, after: float, signals: tuple[signal.Signals, ...]
) -> None:
    sample.azure.slow_nodes(start_task=60)  # no run is over before the signal

    outcome = interrupt(sample, after, signals, '-y')

    assert outcome.problem == ''
    assert not outcome.too_late


@pytest.mark.parametrize('path', ['/pools', '/jobs'])
def test_an_interrupt_waits_for_the_answer_to_a_creation_under_way(
    sample: Sample, path: str
) -> None:
    held = sample.azure.hold_requests('POST', rf'{path}\?')
    process = sample.start_until_held(held, '-y')

    process.send_signal(signal.SIGINT)
    wait_for_note(process)
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
    wait_for_note(process)
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


def test_the_second_interrupt_leaves_at_once_with_the_commands(sample: Sample) -> None:
    process = start_until(sample, is_monitoring, '-y')
    hanging = sample.azure.hang_requests('DELETE', '/jobs/', count=None)

    process.send_signal(signal.SIGINT)
    sample.azure.wait_until(lambda: hanging.hits)
    process.send_signal(signal.SIGINT)
    result = sample.finish(process)

    assert result.returncode == 130
    for kind in ('job', 'pool'):
        assert f'az batch {kind} delete' in result.stderr


def test_a_run_whose_parent_ignores_interrupts_ignores_them(sample: Sample) -> None:
    """As a script's background command does, which Ctrl-C is not meant for."""
    sample.shell = 'trap "" INT; exec "$@"'
    held = sample.hold_task()
    process = sample.start_until_held(held, '-y')

    process.send_signal(signal.SIGINT)
    held.remove()
    result = sample.finish(process)

    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == mp3s_of('a.mp4')


# --- What stays -----------------------------------------------------------------------------------


def test_an_interrupted_run_with_keep_keeps_all(sample: Sample) -> None:
    process = start_until(sample, is_monitoring, '--keep')

    process.send_signal(signal.SIGINT)
    result = sample.finish(process)

    assert result.returncode == 130
    assert (sample.jobs(), sample.pools()) == ([JOB], [POOL])
    assert 'input' in sample.containers()


def test_an_interrupted_run_that_nobody_answers_keeps_the_videos_and_says_so(
    sample: Sample,
) -> None:
    process = start_until(sample, is_monitoring)

    process.send_signal(signal.SIGINT)
    result = sample.finish(process)

    assert result.returncode == 130
    assert sample.jobs() + sample.pools() == []
    assert 'input' in sample.containers()
    assert 'az storage container delete' in result.stderr


def test_the_next_run_after_an_interrupted_one_uploads_only_what_is_not_there(
    sample: Sample, make_video: MakeVideo
) -> None:
    process = start_until(sample, is_monitoring)
    process.send_signal(signal.SIGINT)
    assert sample.finish(process).returncode == 130
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


@pytest.mark.parametrize('moment', MOMENTS)
def test_a_killed_run_followed_by_another_ends_in_success_with_nothing_left(
    sample: Sample, moment: Callable[[Sample], bool]
) -> None:
    sample.change('_LEASE_SECONDS', '15')  # for so long the second one waits
    sample.allow_formulas_at_once()
    sample.kill(start_until(sample, moment, '-y', start_task=8))
    sample.azure.faults.clear()
    assert not sample.nothing_is_left()

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == mp3s_of('a.mp4')
    assert sample.nothing_is_left()


def test_a_run_that_was_killed_in_a_download_leaves_no_half_written_file_to_the_next(
    sample: Sample,
) -> None:
    sample.change('_LEASE_SECONDS', '15')
    download = sample.hang_download()
    process = sample.start_until(
        lambda: download.hits and any(sample.output.rglob('.*.part')), '-y'
    )
    sample.kill(process)
    download.remove()

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == mp3s_of('a.mp4')
