"""Ctrl-C, SIGTERM and SIGKILL at bad moments."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable

import pytest

from tests.conftest import MakeVideo

from .conftest import Sample
from .random_interrupts import SIGNALS, interrupt


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
    return any('taskcounts' in request.path for request in sample.azure.requests)


MOMENTS = [container_exists, pool_exists, job_exists, is_monitoring]


def start_until(
    sample: Sample, moment: Callable[[Sample], bool], *options: str, start_task: float = 60
) -> subprocess.Popen[str]:
    """Start the sample, and return at that moment. The nodes are slow: it cannot be over."""
    sample.azure.slow_nodes(start_task=start_task)
    process = sample.start(*options)
    sample.azure.wait_until(lambda: moment(sample))
    return process


def first_lines(process: subprocess.Popen[str], count: int) -> list[str]:
    """Wait for so many lines on stderr."""
    assert process.stderr
    return [process.stderr.readline() for _ in range(count)]


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('moment', MOMENTS)
def test_the_first_interrupt_cleans_up(
    sample: Sample, moment: Callable[[Sample], bool], number: signal.Signals
) -> None:
    process = start_until(sample, moment, '-y')

    process.send_signal(number)
    result = sample.finish(process)

    assert result.returncode == 130
    assert result.stderr.count('Interrupted: cleaning up.') == 1
    assert 'Sample end' in result.stdout
    assert sample.nothing_is_left()


@pytest.mark.parametrize('number', SIGNALS)
@pytest.mark.parametrize('after', [0, 0.15, 0.3, 0.6, 1.0, 1.5])  # seconds
def test_an_interrupt_at_any_moment_cleans_up_soon(
    sample: Sample, after: float, number: signal.Signals
) -> None:
    sample.azure.slow_nodes(start_task=3)  # no run is over before the signal

    outcome = interrupt(sample, after, number)

    assert outcome.problem == ''
    assert not outcome.too_late
    assert outcome.until_cleanup < 2


@pytest.mark.parametrize('path', ['/pools', '/jobs'])
def test_an_interrupt_waits_for_the_answer_to_a_creation_under_way(
    sample: Sample, path: str
) -> None:
    held = sample.azure.hold_requests('POST', rf'{path}\?')
    process = sample.start('-y')
    sample.azure.wait_until(lambda: held.hits)

    process.send_signal(signal.SIGINT)
    said = first_lines(process, 3)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=2)
    held.remove()
    result = sample.finish(process)

    assert 'Interrupted: cleaning up. Once more leaves at once.\n' in said
    assert result.returncode == 130
    assert sample.nothing_is_left()


def test_a_terminal_that_closes_does_not_cut_the_cleanup_short(sample: Sample) -> None:
    process = start_until(sample, is_monitoring, '-y')

    process.send_signal(signal.SIGHUP)
    said = first_lines(process, 4)
    process.send_signal(signal.SIGHUP)  # the second one, from its shell
    result = sample.finish(process)

    assert any('Interrupted' in line for line in said)
    assert result.returncode == 130
    assert sample.nothing_is_left()


def test_a_run_whose_parent_ignores_interrupts_ignores_them(sample: Sample) -> None:
    """As a script's background command does, which Ctrl-C is not meant for."""
    sample.shell = 'trap "" INT; exec "$@"'
    held = sample.azure.hold_requests('GET', '/input/a.mp4', service='storage', source='node')
    process = sample.start('-y')
    sample.azure.wait_until(lambda: held.hits)

    process.send_signal(signal.SIGINT)
    held.remove()
    result = sample.finish(process)

    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == ['a.mp3']


def test_an_interrupt_during_the_uploads_does_not_wait_for_them(sample: Sample) -> None:
    upload = sample.azure.hang_requests('PUT', '/input/a.mp4', count=None, service='storage')
    process = sample.start('-y')
    sample.azure.wait_until(lambda: upload.hits)

    process.send_signal(signal.SIGINT)
    result = sample.finish(process)  # the upload hangs until its time is up, much later

    assert result.returncode == 130
    assert result.stderr.replace('\n', '').isprintable()  # as there is no terminal
    assert sample.nothing_is_left()


def test_an_interrupted_run_with_keep_keeps_what_the_job_needs_and_says_so(sample: Sample) -> None:
    process = start_until(sample, is_monitoring, '--keep')

    process.send_signal(signal.SIGINT)
    result = sample.finish(process)

    assert result.returncode == 130
    assert (sample.jobs(), sample.pools()) == (['LinuxFFmpegJob'], ['LinuxFFmpegPool'])
    assert 'input' in sample.containers()
    assert 'The container is kept: the job still needs it.' in result.stderr


def test_the_second_interrupt_leaves_at_once_with_the_two_commands(sample: Sample) -> None:
    process = start_until(sample, is_monitoring, '-y')
    hanging = sample.azure.hang_requests('DELETE', '/jobs/', count=None)

    process.send_signal(signal.SIGINT)
    sample.azure.wait_until(lambda: hanging.hits)
    process.send_signal(signal.SIGINT)
    result = sample.finish(process)

    assert result.returncode == 130
    assert 'az batch job delete --job-id LinuxFFmpegJob' in result.stderr
    assert 'az batch pool delete --pool-id LinuxFFmpegPool' in result.stderr


def test_an_interrupt_during_the_cleanup_does_not_cut_it_short(sample: Sample) -> None:
    waiting = sample.azure.hang_requests('DELETE', '/jobs/')
    process = sample.start('-y')
    sample.azure.wait_until(lambda: waiting.hits)

    process.send_signal(signal.SIGINT)
    waiting.remove()
    result = sample.finish(process)

    assert result.returncode == 130
    assert sample.nothing_is_left()


@pytest.mark.parametrize('moment', MOMENTS)
def test_a_killed_run_followed_by_another_ends_in_success_with_nothing_left(
    sample: Sample, moment: Callable[[Sample], bool]
) -> None:
    sample.change('_LEASE_SECONDS', '15')  # for so long the second one waits
    process = start_until(sample, moment, '-y', start_task=8)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    sample.azure.faults.clear()
    assert not sample.nothing_is_left()

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == ['a.mp3']
    assert sample.nothing_is_left()


def test_a_run_that_was_killed_in_a_download_leaves_no_half_written_file_to_the_next(
    sample: Sample,
) -> None:
    sample.change('_LEASE_SECONDS', '15')
    download = sample.azure.hang_requests('GET', '/output/a.mp3', service='storage')
    process = sample.start('-y')
    sample.azure.wait_until(lambda: download.hits and any(sample.output.glob('.*.part')))
    process.kill()
    process.communicate()
    download.remove()

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert [path.name for path in sample.output.iterdir()] == ['a.mp3']
