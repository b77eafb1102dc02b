"""On a real terminal: the two questions; and what happens where a terminal, or a reader, is missing."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
from pathlib import Path

import pytest

from tests.conftest import MakeVideo

from .conftest import TIMEOUT, Sample


@pytest.fixture(autouse=True)
def video(make_video: MakeVideo) -> None:
    make_video('a.mp4')


class Terminal:
    """The sample on a pseudo-terminal."""

    def __init__(self, sample: Sample, *options: str) -> None:
        self.master, slave = pty.openpty()
        self.process = sample.start(
            *options, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self.text = ''

    def read_until(self, words: str) -> None:
        """Return when `words` are on the screen."""
        while words not in self.text:
            assert select.select([self.master], [], [], TIMEOUT)[0], (
                f'{words!r} never came: {self.text}'
            )
            try:
                self.text += os.read(self.master, 4096).decode()
            except OSError:  # Linux: nobody holds the other end any more
                pytest.fail(f'{words!r} never came: {self.text}')

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def is_waiting(self) -> bool:
        """Whether the sample sleeps, which after a question means that it waits for the answer."""
        return (
            Path(f'/proc/{self.process.pid}/stat').read_text().rpartition(')')[2].split()[0] == 'S'
        )

    def finish(self) -> int:
        try:
            while select.select([self.master], [], [], TIMEOUT)[0]:
                self.text += os.read(self.master, 4096).decode()
        except OSError:
            pass
        os.close(self.master)
        return self.process.wait(timeout=TIMEOUT)


def test_the_questions_are_asked_and_no_keeps_while_yes_deletes(sample: Sample) -> None:
    terminal = Terminal(sample)

    terminal.read_until('Delete job? [Y/n] ')
    terminal.type('maybe\n')
    terminal.read_until("Please answer 'yes' or 'no'")
    terminal.type('n\n')
    terminal.read_until('Delete pool? [Y/n] ')
    terminal.type('\n')

    assert terminal.finish() == 0
    assert (sample.jobs(), sample.pools()) == (['LinuxFFmpegJob'], [])


def test_a_terminal_of_unknown_size_gets_plain_lines(sample: Sample) -> None:
    terminal = Terminal(sample, '-y')  # openpty() gives one of 0 columns and 0 rows

    assert terminal.finish() == 0
    assert ' nodes ready' in terminal.text
    assert '\x1b' not in terminal.text


def test_the_end_of_input_answers_with_the_default(sample: Sample) -> None:
    terminal = Terminal(sample)

    for question in ('Delete job? [Y/n] ', 'Delete pool? [Y/n] '):
        terminal.read_until(question)
        terminal.type('\x04')

    assert terminal.finish() == 0
    assert sample.nothing_is_left()


def test_an_old_job_is_asked_about_and_yes_goes_on(sample: Sample) -> None:
    assert sample.run('--keep').returncode == 0
    terminal = Terminal(sample)

    terminal.read_until('Delete it and go on? [y/N] ')
    assert 'Job [LinuxFFmpegJob] exists: 1 tasks done, 0 not done.' in terminal.text
    terminal.type('y\n')
    for question in ('Delete job? [Y/n] ', 'Delete pool? [Y/n] '):
        terminal.read_until(question)
        terminal.type('y\n')

    assert terminal.finish() == 0
    assert sample.nothing_is_left()


def test_sigterm_at_a_question_answers_both_with_the_default(sample: Sample) -> None:
    terminal = Terminal(sample)

    terminal.read_until('Delete job? [Y/n] ')
    sample.azure.wait_until(terminal.is_waiting)
    terminal.process.send_signal(signal.SIGTERM)

    assert terminal.finish() == 130
    assert sample.nothing_is_left()


def test_ctrl_c_at_a_question_answers_it_with_the_default(sample: Sample) -> None:
    terminal = Terminal(sample)

    terminal.read_until('Delete job? [Y/n] ')
    sample.azure.wait_until(terminal.is_waiting)  # as long as a person takes at least
    terminal.process.send_signal(signal.SIGINT)
    terminal.read_until('Interrupted: cleaning up.')
    terminal.read_until('Delete pool? [Y/n] ')
    terminal.type('y\n')

    assert terminal.finish() == 130
    assert sample.nothing_is_left()


def test_a_log_has_plain_lines_only(sample: Sample) -> None:
    sample.azure.slow_nodes(start_task=3)

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert (result.stdout + result.stderr).replace('\n', '').isprintable()
    polls = [line for line in result.stderr.splitlines() if 'nodes ready' in line]
    assert len(polls) == len(set(polls)) >= 1


def test_a_log_gets_plain_lines_during_long_transfers(sample: Sample) -> None:
    sample.change(
        'progress', 'sample.functools.partial(sample.progress, delay=0.001, mininterval=0)'
    )  # all are long

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert (result.stdout + result.stderr).replace('\n', '').isprintable()
    assert re.search(r'^Uploading: 100%\|#+\| .*B/s]$', result.stderr, re.MULTILINE), result.stderr
    assert re.search(r'^Downloading: 100%\|#+\| 1/1 .*]$', result.stderr, re.MULTILINE), (
        result.stderr
    )


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
