"""What is printed, where it goes, and that no failure to print ends the run."""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
from rich.console import Console

import batch_python_tutorial_ffmpeg as sample

from .conftest import Clock, NewRun, Typed

CLOSED = io.StringIO()
CLOSED.close()
FULL = Mock(encoding='utf-8', write=Mock(side_effect=OSError(28, 'disk full')))


@pytest.mark.parametrize('stream', [None, CLOSED, FULL], ids=['none', 'closed', 'full disk'])
@pytest.mark.parametrize('name', ['stdout', 'stderr'])
def test_what_cannot_be_printed_is_no_error(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO | None, name: str
) -> None:
    monkeypatch.setattr(sys, name, stream)

    sample.say('the transcript')
    sample.warn('a warning')


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


def test_without_a_terminal_there_is_a_line_every_ten_seconds(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with sample.progress() as show:
        for second in range(31):
            show(f'{second} s', second, 100)
            clock.sleep(1)

    assert capsys.readouterr().err.splitlines() == ['10 s', '20 s', '30 s']


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is written to a terminal of 60 columns."""
    written = io.StringIO()
    console = Console(file=written, width=60, force_terminal=True)
    monkeypatch.setattr(sample, 'console', console)
    return written


@pytest.mark.parametrize('error', [None, ZeroDivisionError])
def test_a_signal_knows_how_high_the_bar_is_and_that_it_is_gone(
    terminal: io.StringIO, error: type[Exception] | None
) -> None:
    with contextlib.suppress(ZeroDivisionError), sample.progress() as show:
        show('a short status', 1, 4)
        short = sample.stop.bar_rows
        show('a long status ' * 9, 2, 4)
        long = sample.stop.bar_rows
        if error:
            raise error

    assert 1 == short < long
    assert sample.stop.bar_rows == 0
    assert 'a short status' in terminal.getvalue()


# --- The report -----------------------------------------------------------------------------------


def converted(new_run: NewRun, *names: str) -> sample.Run:
    """Return a run at its end, whose videos were all converted."""
    run = new_run(names=names)
    for name in names:
        run.results[name] = sample.VideoResult(name, status='ok', has_verdict=True, seconds=2.25)
    return run


def test_the_table_has_the_first_files_and_what_went_wrong_first(
    new_run: NewRun, capsys: pytest.CaptureFixture[str]
) -> None:
    run = converted(new_run, *(f'{number:02}.mp4' for number in range(30)))
    run.results['28.mp4'].status = 'failed'
    run.results['28.mp4'].reason = 'Why.\n    last words'
    run.results['29.mp4'].status = 'damaged'
    run.videos['00.mp4'].unlink()  # it has its row as well

    sample.print_report(run)

    lines = capsys.readouterr().err.splitlines()
    rows = lines[2 : 2 + sample._SHOWN_FILES]
    expected = ['28.mp4', '29.mp4', *(f'{number:02}.mp4' for number in range(18))]
    assert [row.split()[0] for row in rows] == expected
    assert rows[0].split()[1:3] == ['2.2', 's']
    assert '    last words' in lines


def test_a_table_in_a_file_has_long_names_in_one_row(
    new_run: NewRun, capsys: pytest.CaptureFixture[str]
) -> None:
    name = 'x' * 100 + '.mp4'

    sample.print_report(converted(new_run, name))

    assert name in capsys.readouterr().err  # in one row, since a file has no width


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
    """Return an input() during which a signal arrives; it may be called once."""
    calls = []

    def reply(prompt: str) -> str:
        calls.append(prompt)
        if len(calls) > 1:
            pytest.fail('a question was asked after the signal')
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
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:  # it would end pytest
            pytest.fail('the signal has raised an error')

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


def test_the_handlers_are_put_back_after_an_error() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with pytest.raises(ZeroDivisionError), sample.signals_noted():
        during = signal.getsignal(signal.SIGTERM)
        raise ZeroDivisionError

    assert signal.getsignal(signal.SIGTERM) == before != during
