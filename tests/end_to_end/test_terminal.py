"""On a terminal: the questions; and what happens where a terminal, or a reader, is missing."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from batch_python_tutorial_ffmpeg import output_name
from tests.conftest import MakeVideo
from tests.screen import DELETE_JOB, DELETE_OLD_JOB, DELETE_POOL, ENTER, Screen

from .conftest import OpenScreen, Sample

JOB, POOL = 'LinuxFFmpegJob', 'LinuxFFmpegPool'
MP3S = [output_name('a.mp4')]


@pytest.fixture(autouse=True)
def video(make_video: MakeVideo) -> None:
    make_video('a.mp4')


def send(screen: Screen, number: signal.Signals, sample: Sample) -> None:
    """Send a signal when the sample waits for an answer: a person takes longer than that."""

    def sleeps() -> bool:
        status = Path(f'/proc/{screen.process.pid}/stat').read_text()
        return status.rpartition(')')[2].split()[0] == 'S'

    sample.azure.wait_until(sleeps)
    screen.process.send_signal(number)


# --- Questions ------------------------------------------------------------------------------------


def test_the_questions_are_asked_and_no_keeps_while_yes_deletes(
    open_screen: OpenScreen, sample: Sample
) -> None:
    screen = open_screen()

    screen.wait_for(DELETE_JOB)
    screen.type(f'maybe{ENTER}')
    screen.wait_for(r'(?s)^Delete job\?.* maybe\n.*^Delete job\?')  # once more
    screen.type(f'n{ENTER}')
    screen.wait_for(DELETE_POOL)
    assert sample.pools() == [POOL]  # where the tutorial deletes it
    screen.type(ENTER)

    assert screen.finish() == 0
    assert (sample.jobs(), sample.pools()) == ([JOB], [])


def test_a_terminal_that_closes_at_the_first_question_answers_both_with_the_default(
    open_screen: OpenScreen, sample: Sample
) -> None:
    screen = open_screen()

    screen.wait_for(DELETE_JOB)
    send(screen, signal.SIGHUP, sample)

    assert screen.finish() == 130
    assert sample.nothing_is_left()


def test_ctrl_c_at_the_last_question_answers_it_with_the_default(
    open_screen: OpenScreen, sample: Sample
) -> None:
    screen = open_screen()

    screen.wait_for(DELETE_JOB)
    screen.type(ENTER)
    screen.wait_for(DELETE_POOL)
    send(screen, signal.SIGINT, sample)

    assert screen.finish() == 130
    assert sample.nothing_is_left()


def test_sigterm_at_the_question_about_an_old_job_touches_nothing(
    open_screen: OpenScreen, sample: Sample
) -> None:
    assert sample.run('--keep').returncode == 0
    screen = open_screen()

    screen.wait_for(DELETE_OLD_JOB)
    send(screen, signal.SIGTERM, sample)

    assert screen.finish() == 130
    assert (sample.jobs(), sample.pools()) == ([JOB], [POOL])


# --- Logs and pipes -------------------------------------------------------------------------------


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


def test_closed_streams_are_no_obstacle(sample: Sample) -> None:
    sample.shell = 'exec "$@" <&- >&- 2>&-'

    result = sample.run()

    assert result.returncode == 0
    assert sample.mp3s() == MP3S
    assert sample.nothing_is_left()


def test_a_reader_that_goes_away_stops_neither_the_work_nor_the_cleanup(sample: Sample) -> None:
    sample.shell = 'set -o pipefail; "$@" 2>&1 | head -n 1'

    result = sample.run()

    assert result.returncode == 0, result.stdout
    assert sample.mp3s() == MP3S
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
names = runpy.run_path(script, run_name='__main__')
print('exit code', names['exit_code'])
"""


def test_a_notebook_whose_streams_are_no_files_runs_the_sample_and_goes_on(
    sample: Sample, tmp_path: Path
) -> None:
    notebook = tmp_path / 'notebook.py'
    notebook.write_text(AS_IN_A_NOTEBOOK)
    sample.shell = f'python=$1; shift; exec "$python" {notebook} "$@"'

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith('exit code 0\n')
    assert 'a.mp4' in result.stderr
    assert sample.mp3s() == MP3S
