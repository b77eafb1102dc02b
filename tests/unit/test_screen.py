"""The screen: lines at the bottom of a terminal, plain lines elsewhere, and any stream."""

from __future__ import annotations

import errno
import io
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn, TextIO

import pytest

import batch_python_tutorial_ffmpeg as sample

from .conftest import Clock
from .terminal import Terminal

OpenTerminal = Callable[..., Terminal]


@pytest.fixture
def open_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenTerminal]:
    """Makes a terminal of this width stdout and stderr; to be called in the test itself.

    Between a fixture and the test, pytest puts its own streams back.
    """
    opened: list[Terminal] = []
    monkeypatch.setenv('TERM', 'xterm-256color')

    def make(width: int = 80) -> Terminal:
        terminal = Terminal(width)
        opened.append(terminal)
        monkeypatch.setattr(sys, 'stdout', terminal.stream)
        monkeypatch.setattr(sys, 'stderr', terminal.stream)
        return terminal

    yield make
    sample.screen.show()
    for terminal in opened:
        terminal.close()


# --- say, warn ------------------------------------------------------------------------------------


def test_say_prints_a_line_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    sample.say('Creating pool...')

    assert capsys.readouterr() == ('Creating pool...\n', '')


def test_warn_prints_a_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    sample.warn('Warning: ...')

    assert capsys.readouterr() == ('', 'Warning: ...\n')


class BrokenStream(io.StringIO):
    """A stream that an error has befallen."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def write(self, _text: str) -> NoReturn:
        raise self._error


class UnwritableStream(io.StringIO):
    """A stream that notices only when it is flushed that its disk is full."""

    def flush(self) -> NoReturn:
        raise OSError(errno.ENOSPC, 'No space left on device')


def closed_stream() -> TextIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize(
    'stream',
    [
        pytest.param(None, id='none'),
        pytest.param(closed_stream(), id='closed'),
        pytest.param(BrokenStream(BrokenPipeError(errno.EPIPE, 'Broken pipe')), id='reader-gone'),
        pytest.param(UnwritableStream(), id='disk-full'),
        pytest.param(BrokenStream(OSError(errno.EIO, 'I/O error')), id='terminal-gone'),
        pytest.param(
            BrokenStream(UnicodeEncodeError('ascii', 'ä', 0, 1, 'not ascii')), id='ascii-only'
        ),
    ],
)
@pytest.mark.parametrize('name', ['stdout', 'stderr'])
def test_output_that_cannot_be_printed_is_no_error(
    name: str, stream: TextIO | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, name, stream)

    sample.say('a line')
    sample.warn('a warning')
    sample.screen.show('a line at the bottom')
    with sample.Progress('Uploading', 5) as progress:
        progress.show(1)


def test_lines_come_out_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log = tmp_path / 'log'
    with log.open('w') as stream:
        monkeypatch.setattr(sys, 'stdout', stream)
        sample.say('a line')

        assert log.read_text() == 'a line\n'


def test_output_goes_to_a_stream_that_has_no_file_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as that of a notebook."""

    class Cell:
        text = ''

        def write(self, text: str) -> None:
            self.text += text

        def flush(self) -> None:
            pass

    cell = Cell()
    monkeypatch.setattr(sys, 'stderr', cell)

    sample.screen.show('no terminal, no lines at the bottom')
    sample.warn('a warning')

    assert cell.text == 'a warning\n'


# --- Lines at the bottom --------------------------------------------------------------------------


def test_lines_stay_below_what_is_printed(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal()

    sample.screen.show('Tasks: 1 of 3 done', '5 nodes: 5 running')
    sample.say('a line')
    sample.warn('a warning')

    assert terminal.rows == ['a line', 'a warning', 'Tasks: 1 of 3 done', '5 nodes: 5 running']


def test_lines_replace_those_before_them(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal()

    sample.say('above')
    sample.screen.show('a long line, of which nothing stays', 'and another', 'and one more')
    sample.screen.show('short', 'second')

    assert terminal.rows == ['above', 'short', 'second']


def test_lines_go_away(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal()

    sample.say('above')
    sample.screen.show('first', 'second')
    sample.screen.show()
    sample.say('below')

    assert terminal.rows == ['above', 'below']


def test_lines_too_long_for_the_terminal_leave_no_ghost(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal(20)

    sample.say('above')
    sample.screen.show('Tasks: 1 of 3 done, 2 queued, 0 failed', 'nodes')
    shown = terminal.rows
    sample.screen.show('Tasks: 3 of 3 done')

    assert shown == ['above', 'Tasks: 1 of 3 done,', '2 queued, 0 failed', 'nodes']
    assert terminal.rows == ['above', 'Tasks: 3 of 3 done']


@pytest.mark.parametrize('lines', [('one line',), ('one', 'two', 'three')])
def test_lines_are_not_shown_without_a_terminal(
    lines: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    sample.screen.show(*lines)
    sample.say('a line')
    sample.screen.show()

    assert capsys.readouterr() == ('a line\n', '')


def test_lines_are_not_shown_where_the_cursor_cannot_move(
    open_terminal: OpenTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = open_terminal()
    monkeypatch.setenv('TERM', 'dumb')

    sample.screen.show('Tasks: 1 of 3 done')
    sample.say('a line')

    assert terminal.rows == ['a line']


def test_lines_are_not_written_into_a_file(
    open_terminal: OpenTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = open_terminal()
    file = io.StringIO()
    monkeypatch.setattr(sys, 'stdout', file)

    sample.screen.show('Tasks: 1 of 3 done')
    sample.say('a line')

    assert file.getvalue() == 'a line\n'
    assert terminal.rows == ['Tasks: 1 of 3 done']


def test_two_threads_do_not_print_into_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one waits until the first has printed its line."""
    written: list[str] = []
    second = threading.Thread(target=sample.warn, args=['second'])

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            if text == 'first\n':
                second.start()
                second.join(timeout=0.1)
            written.append(text)
            return len(text)

    stream = Stream()
    monkeypatch.setattr(sys, 'stdout', stream)
    monkeypatch.setattr(sys, 'stderr', stream)

    sample.say('first')
    second.join()

    assert written == ['first\n', 'second\n']


def test_interrupt_leaves_no_line_torn(
    open_terminal: OpenTerminal, capfd: pytest.CaptureFixture[str]
) -> None:
    terminal = open_terminal()

    sample.screen.show('Tasks: 1 of 3 done')

    sample.write_at_once('Interrupted: cleaning up.')

    assert capfd.readouterr().err == '\r\033[JInterrupted: cleaning up.\n'
    assert terminal.rows == ['Tasks: 1 of 3 done']


# --- Progress -------------------------------------------------------------------------------------


def test_progress_on_a_terminal_is_a_bar(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal()

    with sample.Progress('Downloading', 8) as progress:
        progress.show(2)

        assert terminal.rows == [f'Downloading: 2 of 8 [{"#" * 10}{"." * 30}]']


def test_progress_of_bytes_has_their_unit(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal()

    with sample.Progress('Uploading', 4_000_000, unit='bytes') as progress:
        progress.show(1_500_000)

        assert terminal.rows[0].startswith('Uploading: 1.5 MB of 4.0 MB [')


def test_progress_goes_away_when_it_is_done(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal()

    with sample.Progress('Downloading', 8) as progress:
        progress.show(8)

    assert terminal.rows == []


def test_progress_goes_away_after_an_error(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal()

    with pytest.raises(ZeroDivisionError), sample.Progress('Downloading', 8) as progress:
        progress.show(1)
        raise ZeroDivisionError

    assert terminal.rows == []


def test_progress_says_how_long_the_rest_will_take(
    open_terminal: OpenTerminal, clock: Clock
) -> None:
    terminal = open_terminal()

    with sample.Progress('Downloading', 8) as progress:
        clock.sleep(60)
        progress.show(2)

        assert terminal.rows[0].startswith('Downloading: 2 of 8, 0:03:00 left [')


@pytest.mark.parametrize(('seconds', 'done'), [(1, 4), (60, 0)], ids=['just-begun', 'nothing-yet'])
def test_progress_promises_nothing_at_the_beginning(
    seconds: float, done: int, open_terminal: OpenTerminal, clock: Clock
) -> None:
    terminal = open_terminal()

    with sample.Progress('Downloading', 8) as progress:
        clock.sleep(seconds)
        progress.show(done)

        assert 'left' not in terminal.rows[0]


def test_progress_of_nothing_has_no_bar(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal()

    with sample.Progress('Downloading', 0) as progress:
        progress.show(0)

        assert terminal.rows == ['Downloading: 0 of 0']


def test_bar_gives_way_to_the_counts_in_a_narrow_terminal(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal(22)

    with sample.Progress('Downloading', 8) as progress:
        progress.show(2)

        assert terminal.rows == ['Downloading: 2 of 8']


def test_bar_fits_into_its_row(open_terminal: OpenTerminal) -> None:
    terminal = open_terminal(40)

    with sample.Progress('Downloading', 8) as progress:
        progress.show(4)

        assert len(terminal.rows) == 1
        assert terminal.rows[0].startswith('Downloading: 4 of 8 [####')


def test_progress_without_a_terminal_is_a_line_every_ten_seconds(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with sample.Progress('Downloading', 100) as progress:
        for second in range(35):
            progress.show(second)
            clock.sleep(1)

    assert [line.partition(',')[0] for line in capsys.readouterr().err.splitlines()] == [
        'Downloading: 10 of 100',
        'Downloading: 20 of 100',
        'Downloading: 30 of 100',
    ]


# --- escape_odd_names -----------------------------------------------------------------------------


def test_name_that_the_terminal_cannot_show_is_printed_in_its_own_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, 'stdout', io.TextIOWrapper(written, encoding='ascii'))

    sample.escape_odd_names()
    sample.say('Käse.mp4 \udcff')

    assert written.getvalue() == b'K\\xe4se.mp4 \\udcff\n'


@pytest.mark.parametrize(
    'stream', [None, io.StringIO(), closed_stream()], ids=['none', 'open', 'closed']
)
def test_output_is_prepared_for_any_stream(
    stream: TextIO | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, 'stdout', stream)
    monkeypatch.setattr(sys, 'stderr', stream)

    sample.escape_odd_names()


def test_output_is_prepared_for_a_closed_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = (tmp_path / 'log').open('w')
    stream.close()
    monkeypatch.setattr(sys, 'stdout', stream)

    sample.escape_odd_names()
