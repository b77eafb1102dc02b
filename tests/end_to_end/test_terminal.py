"""On a terminal: the questions; and what happens where a terminal, or a reader, is missing."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from tests.conftest import MakeVideo
from tests.screen import CTRL_C, CTRL_D, ENTER, Screen

from .conftest import OpenScreen, Sample

DELETE_JOB = r'Delete job\? \[Y/n\]'
DELETE_POOL = r'Delete pool\? \[Y/n\]'


@pytest.fixture(autouse=True)
def video(make_video: MakeVideo) -> None:
    make_video('a.mp4')


def sleeps(screen: Screen) -> bool:
    """Whether the sample sleeps, which after a question means that it waits for the answer."""
    status = Path(f'/proc/{screen.process.pid}/stat').read_text()
    state = status.rpartition(')')[2].split()[0]
    return state == 'S'


def test_the_questions_are_asked_and_no_keeps_while_yes_deletes(
    open_screen: OpenScreen, sample: Sample
) -> None:
    screen = open_screen()

    screen.wait_for(DELETE_JOB)
    screen.type(f'maybe{ENTER}')
    screen.wait_for("Please answer 'yes' or 'no'")
    screen.type(f'n{ENTER}')
    screen.wait_for(DELETE_POOL)
    screen.type(ENTER)

    assert screen.finish() == 0
    assert sample.jobs() == ['LinuxFFmpegJob']
    assert sample.pools() == []


def test_a_terminal_of_unknown_size_gets_plain_lines(open_screen: OpenScreen) -> None:
    screen = open_screen('-y', width=0, height=0)

    assert screen.finish() == 0
    assert ' nodes: ' in screen.output
    assert '\x1b' not in screen.output


def test_the_end_of_input_answers_with_the_default(open_screen: OpenScreen, sample: Sample) -> None:
    screen = open_screen()

    screen.wait_for(DELETE_JOB)
    screen.type(CTRL_D)
    screen.wait_for(DELETE_POOL)
    screen.type(CTRL_D)

    assert screen.finish() == 0
    assert sample.nothing_is_left()


def test_an_old_job_is_asked_about_and_yes_goes_on(open_screen: OpenScreen, sample: Sample) -> None:
    assert sample.run('--keep').returncode == 0
    screen = open_screen()

    shown = screen.wait_for(r'Delete it and go on\? \[y/N\]')
    assert 'Job [LinuxFFmpegJob] exists: 1 tasks done, 0 not done.' in shown
    screen.type(f'y{ENTER}')
    screen.wait_for(DELETE_JOB)
    screen.type(f'y{ENTER}')
    screen.wait_for(DELETE_POOL)
    screen.type(f'y{ENTER}')

    assert screen.finish() == 0
    assert sample.nothing_is_left()


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_of_the_system_at_the_first_question_answers_both_with_the_default(
    open_screen: OpenScreen, sample: Sample, number: signal.Signals
) -> None:
    screen = open_screen()

    screen.wait_for(DELETE_JOB)
    sample.azure.wait_until(lambda: sleeps(screen))
    screen.process.send_signal(number)

    assert screen.finish() == 130
    assert re.search(rf'^{DELETE_JOB} yes \(interrupted\)$', screen.look_back(), re.MULTILINE)
    assert sample.nothing_is_left()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_the_last_question_answers_it_with_the_default(
    open_screen: OpenScreen, sample: Sample, number: signal.Signals
) -> None:
    screen = open_screen()

    screen.wait_for(DELETE_JOB)
    screen.type(ENTER)
    screen.wait_for(DELETE_POOL)
    sample.azure.wait_until(lambda: sleeps(screen))
    screen.process.send_signal(number)

    assert screen.finish() == 130
    assert re.search(rf'^{DELETE_POOL} yes \(interrupted\)$', screen.look_back(), re.MULTILINE)
    assert sample.nothing_is_left()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_the_question_about_an_old_job_touches_nothing_and_says_what_bills(
    open_screen: OpenScreen, sample: Sample, number: signal.Signals
) -> None:
    assert sample.run('--keep').returncode == 0
    screen = open_screen(width=200, height=40)

    screen.wait_for(r'Delete it and go on\? \[y/N\]')
    sample.azure.wait_until(lambda: sleeps(screen))
    screen.process.send_signal(number)

    assert screen.finish() == 130
    shown = screen.look_back()
    assert re.search(r'^Delete it and go on\? \[y/N\] no \(interrupted\)$', shown, re.MULTILINE)
    assert re.search('^  az batch job delete --job-id LinuxFFmpegJob --yes', shown, re.MULTILINE)
    assert re.search('^Pool .LinuxFFmpegPool. exists. Its nodes bill until', shown, re.MULTILINE)
    assert re.search('^  az batch pool delete --pool-id Linux', shown, re.MULTILINE)
    assert (sample.jobs(), sample.pools()) == (['LinuxFFmpegJob'], ['LinuxFFmpegPool'])


def test_ctrl_c_at_a_question_answers_it_with_the_default(
    open_screen: OpenScreen, sample: Sample
) -> None:
    screen = open_screen()

    screen.wait_for(DELETE_JOB)
    sample.azure.wait_until(lambda: sleeps(screen))  # as long as a person takes at least
    screen.type(CTRL_C)
    screen.wait_for(r'Interrupted: cleaning up\.')
    screen.wait_for(DELETE_POOL)
    screen.type(f'y{ENTER}')

    assert screen.finish() == 130
    assert sample.nothing_is_left()


def test_a_log_has_plain_lines_only(sample: Sample) -> None:
    sample.azure.slow_nodes(start_task=3)

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert (result.stdout + result.stderr).replace('\n', '').isprintable()
    polls = [line for line in result.stderr.splitlines() if ' nodes: ' in line]
    assert len(polls) == len(set(polls)) >= 1


def test_a_log_beside_a_terminal_has_plain_lines_only(
    open_screen: OpenScreen, sample: Sample
) -> None:
    sample.shell = 'exec "$@" 2>log.txt'

    screen = open_screen('-y')

    assert screen.finish() == 0
    log = (sample.output.parent / 'log.txt').read_text()
    assert 'a.mp4' in log
    assert log.replace('\n', '').isprintable()
    assert 'a.mp4' not in screen.output.replace('Uploading file a.mp4', '')


@pytest.mark.parametrize(
    ('method', 'path', 'line'),
    [
        ('PUT', '/input/b.mp4', r'^Uploading: [\d.]+ kB of [\d.]+ kB(, 0:00:\d\d left)?$'),
        ('GET', '/output/b.mp3', r'^Downloading: 1 of 2, 0:00:\d\d left$'),
    ],
)
def test_a_log_gets_plain_lines_during_long_transfers(
    sample: Sample, make_video: MakeVideo, method: str, path: str, line: str
) -> None:
    make_video('b.mp4')
    log = sample.output.parent / 'log.txt'
    sample.shell = f'exec "$@" 2>{log.name}'
    transfer = sample.azure.hang_requests(method, path, service='storage')
    process = sample.start('-y')

    sample.azure.wait_until(lambda: log.exists() and re.search(line, log.read_text(), re.MULTILINE))
    transfer.remove()
    result = sample.finish(process)

    assert result.returncode == 0, log.read_text()
    assert (result.stdout + log.read_text()).replace('\n', '').isprintable()


@pytest.mark.parametrize('closed', ['<&-', '>&-', '2>&-', '<&- >&- 2>&-'])
def test_a_closed_stream_is_no_obstacle(sample: Sample, closed: str) -> None:
    sample.shell = f'exec "$@" {closed}'

    result = sample.run()

    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == ['a.mp3']
    assert sample.nothing_is_left()


@pytest.mark.parametrize('pipe', ['| head -n 1', '2>&1 | head -n 1', '| true'])
def test_a_reader_that_goes_away_stops_neither_the_work_nor_the_cleanup(
    sample: Sample, pipe: str
) -> None:
    sample.shell = f'set -o pipefail; "$@" {pipe}'

    result = sample.run()

    assert result.returncode == 0, result.stderr
    assert 'Traceback' not in result.stdout + result.stderr
    assert 'BrokenPipe' not in result.stdout + result.stderr
    assert sample.mp3s() == ['a.mp3']
    assert sample.nothing_is_left()


AS_IN_A_NOTEBOOK = """
import runpy, sys

class Cell:
    encoding = 'utf-8'

    def __init__(self, stream):
        self.write, self.flush = stream.write, stream.flush

sys.ps1 = 'In [1]: '
sys.stdin, sys.stdout, sys.stderr = None, Cell(sys.stdout), Cell(sys.stderr)
script, sys.argv = sys.argv[1], sys.argv[1:]
try:
    runpy.run_path(script, run_name='__main__')
except SystemExit as end:
    print('exit code', end.code)
print('the notebook goes on')
"""


def test_a_notebook_whose_streams_are_no_files_runs_the_sample(
    sample: Sample, tmp_path: Path
) -> None:
    notebook = tmp_path / 'notebook.py'
    notebook.write_text(AS_IN_A_NOTEBOOK)
    sample.shell = f'python=$1; shift; exec "$python" {notebook} "$@"'

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith('exit code 0\nthe notebook goes on\n')
    assert 'a.mp4' in result.stderr
    assert sample.mp3s() == ['a.mp3']
