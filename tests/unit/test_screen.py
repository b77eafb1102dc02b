"""What is printed, where it goes, and that no failure to print ends the run."""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

import batch_python_tutorial_ffmpeg as sample

from .conftest import Clock, NewRun, RunMain, Typed
from .mocks import OUTPUT, Azure
from .terminal import Terminal

CLOSED = io.StringIO()
CLOSED.close()


class Broken(io.StringIO):
    """A stream to which nothing can be written."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def write(self, _text: str) -> int:
        raise self._error


@pytest.mark.parametrize(
    'stream',
    [None, Broken(BrokenPipeError()), Broken(OSError(28, 'disk full')), Broken(ValueError())],
    ids=['none', 'closed pipe', 'disk full', 'closed'],
)
@pytest.mark.parametrize('name', ['stdout', 'stderr'])
def test_a_run_that_cannot_print_converts_all_and_cleans_up(
    azure: Azure,
    run_main: RunMain,
    monkeypatch: pytest.MonkeyPatch,
    stream: io.StringIO | None,
    name: str,
) -> None:
    monkeypatch.setattr(sys, name, stream)

    assert run_main('-y') == 0

    assert azure.made == {OUTPUT}


@pytest.mark.parametrize(
    ('encoding', 'name', 'shown'),
    [('ascii', 'ä.mp4', b'\\xe4.mp4'), ('utf-8', '\udcff.mp4', b'\\udcff.mp4')],
    ids=['not ascii', 'not utf-8'],
)
@pytest.mark.parametrize('stream', ['stdout', 'stderr'])
def test_names_that_the_terminal_does_not_know_are_escaped(
    monkeypatch: pytest.MonkeyPatch, stream: str, encoding: str, name: str, shown: bytes
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, stream, io.TextIOWrapper(written, encoding=encoding))

    (sample.say if stream == 'stdout' else sample.warn)(f'Uploading file {name}...')

    assert written.getvalue() == b'Uploading file ' + shown + b'...\n'


def test_a_line_is_in_the_log_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log = tmp_path / 'log'
    with log.open('w') as stream:
        monkeypatch.setattr(sys, 'stdout', stream)
        sample.say('a line')

        assert log.read_text() == 'a line\n'


def test_the_transcript_goes_to_stdout_and_all_else_to_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sample.say('the transcript')
    sample.warn('[bold]a warning[/bold] :smile: ' + 'long ' * 50)

    shown = capsys.readouterr()
    assert shown.out == 'the transcript\n'
    assert shown.err == '[bold]a warning[/bold] :smile: ' + 'long ' * 50 + '\n'


def test_a_warning_that_is_the_same_comes_once(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        sample.warn('the same', once=True)
    sample.warn('the same')

    assert capsys.readouterr().err == 'the same\n' * 2


@contextlib.contextmanager
def on_terminal(monkeypatch: pytest.MonkeyPatch, kind: str = 'xterm') -> Iterator[Terminal]:
    """Let stdout and stderr be a terminal of 60 columns."""
    monkeypatch.setenv('TERM', kind)
    with Terminal(60) as terminal, monkeypatch.context() as patch:
        patch.setattr(sys, 'stdout', terminal.stream)
        patch.setattr(sys, 'stderr', terminal.stream)
        console = Console(file=sample.err, width=60, markup=False, highlight=False, emoji=False)
        patch.setattr(sample, 'console', console)
        yield terminal


def test_on_a_terminal_a_bar_stands_below_the_transcript_and_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with on_terminal(monkeypatch) as terminal:
        with sample.progress() as show:
            show('Tasks: 1 of 4 done', 1, 4)
            sample.say('a line of the transcript')
            show('Tasks: 2 of 4 done', 2, 4)
            during = terminal.rows
        afterwards = terminal.rows

    assert during[0] == 'a line of the transcript'
    assert during[1].startswith('Tasks: 2 of 4 done')
    assert len(during) == 2
    assert afterwards == ['a line of the transcript']


def test_a_transcript_that_goes_to_a_file_is_not_on_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = io.StringIO()
    with on_terminal(monkeypatch) as terminal:
        monkeypatch.setattr(sys, 'stdout', file)
        sample.say('the transcript')
        rows = terminal.rows

    assert file.getvalue() == 'the transcript\n'
    assert rows == []


def test_a_line_that_is_copied_from_a_terminal_has_no_breaks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with on_terminal(monkeypatch) as terminal:
        sample.say('word ' * 20 + 'end')
        rows = terminal.rows

    assert [len(row) for row in rows] == [59, 43]  # 60 columns, of which the last is a space


def test_where_the_cursor_cannot_move_there_is_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    with on_terminal(monkeypatch, kind='dumb') as terminal:
        with sample.progress() as show:
            show('Tasks: 1 of 4 done', 1, 4)
        rows = terminal.rows

    assert rows == []


def test_a_long_status_goes_on_in_the_next_row(monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'Tasks: 1 of 4 done, 2 queued, 1 running, 0 failed; 5 nodes: 4 idle, 1 running'
    with on_terminal(monkeypatch) as terminal, sample.progress() as show:
        show(text, 1, 4)
        rows = terminal.rows

    shown = ' '.join(row[:32].strip() for row in rows)
    assert shown.split() == text.split()


def test_without_a_terminal_there_is_a_line_every_ten_seconds(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with sample.progress() as show:
        for second in range(31):
            show(f'{second} s', second, 100)
            clock.sleep(1)

    assert capsys.readouterr().err.splitlines() == ['10 s', '20 s', '30 s']


@pytest.fixture
def finished(new_run: NewRun) -> sample.Run:
    """A run with 30 videos, of which one has failed and one is damaged."""
    run = new_run(names=[f'{number:02}.mp4' for number in range(30)])
    for name in run.videos:
        run.results[name] = sample.VideoResult(name, status='ok', has_verdict=True, seconds=2.25)
    run.results['28.mp4'].status = 'failed'
    run.results['28.mp4'].reason = 'exit code 1\n    last words'
    run.results['29.mp4'].status = 'damaged'
    return run


def test_the_table_has_the_first_files_and_what_went_wrong_first(
    finished: sample.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    sample.print_report(finished)

    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines[2:6]] == ['28.mp4', '29.mp4', '00.mp4', '01.mp4']
    assert lines[2].split()[1:3] == ['2.2', 's']
    assert lines[22].startswith('... and 10 more')
    assert lines[23:25] == ['28.mp4 failed: exit code 1', '    last words']


def test_a_table_in_a_file_has_long_names_in_one_row(
    new_run: NewRun, capsys: pytest.CaptureFixture[str]
) -> None:
    name = 'x' * 100 + '.mp4'
    run = new_run(names=[name])
    run.results[name] = sample.VideoResult(name, status='ok', has_verdict=True)

    sample.print_report(run)

    assert name in capsys.readouterr().err


def test_a_video_that_is_gone_meanwhile_has_its_row_as_well(
    finished: sample.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    finished.videos['00.mp4'].unlink()

    sample.print_report(finished)

    assert '00.mp4' in capsys.readouterr().err


def test_long_names_of_the_table_go_on_in_the_next_row(
    new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = 'x' * 80 + '.mp4'
    run = new_run(names=[name])
    run.results[name] = sample.VideoResult(name, status='ok', has_verdict=True)

    with on_terminal(monkeypatch) as terminal:
        sample.print_report(run)
        rows = terminal.rows

    assert ''.join(row.split()[0] for row in rows[2:]) == name
    assert rows[2].rstrip().endswith('ok')


# --- Questions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('replies', 'default', 'answer'),
    [
        (['y'], 'no', 'yes'),
        (['YES '], 'no', 'yes'),
        (['n'], 'yes', 'no'),
        ([''], 'yes', 'yes'),
        ([''], 'no', 'no'),
        (['what?', 'perhaps', 'n'], 'yes', 'no'),
        ([EOFError()], 'no', 'no'),
        ([OSError(5, 'Input/output error')], 'yes', 'yes'),
        ([UnicodeDecodeError('utf-8', b'\xff', 0, 1, 'invalid')], 'yes', 'yes'),
    ],
)
def test_a_question_is_asked_until_it_is_answered(
    typed: Typed, replies: list[str], default: str, answer: str
) -> None:
    prompts = typed(*replies)

    assert sample.query_yes_no('Delete job?', default) == answer

    assert len(prompts) == len(replies)


@pytest.mark.parametrize('default', ['yes', 'no'])
@pytest.mark.parametrize('name', ['stdin', 'stdout'])
@pytest.mark.parametrize(
    'stream', [None, io.StringIO('y\n'), CLOSED], ids=['none', 'file', 'closed']
)
def test_where_nobody_is_there_the_default_is_the_answer(
    typed: Typed,
    monkeypatch: pytest.MonkeyPatch,
    stream: io.StringIO | None,
    name: str,
    default: str,
) -> None:
    prompts = typed()
    monkeypatch.setattr(sys, name, stream)

    assert sample.query_yes_no('Delete job?', default) == default

    assert prompts == []


def interrupted_by(number: signal.Signals) -> Callable[[str], str]:
    """Return an input() during which a signal arrives."""

    def reply(_prompt: str) -> str:
        signal.raise_signal(number)
        return 'the signal has raised nothing'

    return reply


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_a_question_answers_it_and_the_following_ones(
    typed: Typed, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    typed()
    monkeypatch.setattr(builtins, 'input', interrupted_by(number))

    with sample.signals_noted():
        assert sample.query_yes_no('Delete job?') == 'yes'
        assert sample.query_yes_no('Delete container?', 'no') == 'no'


def test_after_ctrl_c_in_the_steps_the_questions_are_asked(typed: Typed) -> None:
    prompts = typed('n')

    with sample.signals_noted():
        signal.raise_signal(signal.SIGINT)

        assert sample.query_yes_no('Delete job?') == 'no'

    assert len(prompts) == 1


def test_a_signal_after_a_question_raises_nothing(typed: Typed) -> None:
    typed('y')

    with sample.signals_noted():
        sample.query_yes_no('Delete job?')
        signal.raise_signal(signal.SIGTERM)

    assert sample.stop.signalled


# --- Signals --------------------------------------------------------------------------------------


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The exit codes with which the process would have ended at once."""
    codes: list[int] = []
    monkeypatch.setattr(os, '_exit', codes.append)
    return codes


@pytest.mark.parametrize(
    ('signals', 'leaves'),
    [
        ([signal.SIGINT], False),
        ([signal.SIGINT, signal.SIGINT], True),
        ([signal.SIGINT, signal.SIGTERM], False),
        ([signal.SIGTERM, signal.SIGTERM], False),
        ([signal.SIGHUP, signal.SIGHUP], False),
        ([signal.SIGTERM, signal.SIGINT], False),
        ([signal.SIGTERM, signal.SIGINT, signal.SIGINT], True),
    ],
    ids=lambda value: '+'.join(item.name for item in value) if isinstance(value, list) else '',
)
def test_only_a_second_ctrl_c_leaves_at_once(
    left: list[int], signals: list[signal.Signals], leaves: bool
) -> None:
    with sample.signals_noted():
        for number in signals:
            signal.raise_signal(number)

    assert left == ([130] if leaves else [])
    assert sample.stop.signalled


def test_a_signal_raises_nothing_until_the_run_comes_to_it() -> None:
    with sample.signals_noted():
        signal.raise_signal(signal.SIGINT)

        with pytest.raises(sample.InterruptedRunError):
            sample.pause(0)


def test_a_pause_ends_soon_after_a_signal(clock: Clock) -> None:
    with sample.signals_noted():
        clock.on_sleep.append(lambda: signal.raise_signal(signal.SIGTERM))

        with pytest.raises(sample.InterruptedRunError):
            sample.pause(3600)

    assert clock.elapsed <= sample._SLICE


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_after_a_signal_of_the_system_nobody_is_asked(number: signal.Signals, typed: Typed) -> None:
    prompts = typed()
    with sample.signals_noted():
        signal.raise_signal(number)

        assert sample.query_yes_no('Delete job?') == 'yes'
    assert prompts == []


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with sample.signals_noted():
            signal.raise_signal(signal.SIGHUP)
        assert not sample.stop.signalled
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_on_a_terminal_that_is_gone_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(_number: int, _text: bytes) -> None:
        raise OSError(5, 'Input/output error')

    monkeypatch.setattr(os, 'write', write)

    with sample.signals_noted():
        signal.raise_signal(signal.SIGHUP)

    assert sample.stop.signalled


def test_what_a_signal_says_stands_above_the_bar_whatever_its_height(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = 'Tasks: 1 of 4 done, 2 queued, 1 running, 0 failed; 5 nodes: 4 idle, 1 running'
    write = os.write
    with on_terminal(monkeypatch) as terminal:
        monkeypatch.setattr(os, 'write', lambda _, data: write(terminal.stream.fileno(), data))
        with sample.progress() as show:
            sample.say('the transcript')
            show(text, 1, 4)
            sample.write_at_once('what a signal says')
            show(text, 2, 4)
            during = terminal.rows
        sample.say('and on')
        afterwards = terminal.rows

    assert during[:2] == ['the transcript', 'what a signal says']
    assert sum(row.startswith('Tasks: ') for row in during) == 1
    assert afterwards == ['the transcript', 'what a signal says', 'and on']


def test_the_handlers_are_put_back_after_an_error() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with pytest.raises(ZeroDivisionError), sample.signals_noted():
        during = signal.getsignal(signal.SIGTERM)
        raise ZeroDivisionError

    assert signal.getsignal(signal.SIGTERM) == before != during
