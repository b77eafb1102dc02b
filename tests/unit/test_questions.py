"""The questions: what counts as an answer, and what happens where nobody can be asked."""

from __future__ import annotations

import builtins
import io
import signal
import sys

import pytest

import batch_python_tutorial_ffmpeg as sample

from .conftest import Typed


@pytest.mark.parametrize(
    ('reply', 'default', 'expected'),
    [
        ('y', 'no', 'yes'),
        ('Yes ', 'no', 'yes'),
        ('n', 'yes', 'no'),
        ('NO', 'yes', 'no'),
        ('', 'yes', 'yes'),
        ('', 'no', 'no'),
    ],
)
def test_query_takes_what_the_user_types(
    reply: str, default: str, expected: str, typed: Typed
) -> None:
    prompts = typed(reply)

    assert sample.query_yes_no('Delete job?', default) == expected
    assert prompts == [f'Delete job? {"[Y/n]" if default == "yes" else "[y/N]"} ']


def test_query_asks_again_after_another_reply(
    typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = typed('maybe', 'yess', 'n')

    assert sample.query_yes_no('Delete job?') == 'no'
    assert len(prompts) == 3
    assert capsys.readouterr().out.count("Please answer 'yes' or 'no'") == 2


@pytest.mark.parametrize('answer', ['yes', 'no'])
def test_query_with_an_answer_does_not_ask(
    answer: str, typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = typed()

    assert sample.query_yes_no('Delete job?', answer=answer) == answer
    assert prompts == []
    assert capsys.readouterr().out == f'Delete job? [Y/n] {answer}\n'


# --- Nobody there ---------------------------------------------------------------------------------


@pytest.mark.parametrize('default', ['yes', 'no'])
@pytest.mark.parametrize('stdin', [None, io.StringIO('n\n')], ids=['no-stream', 'no-terminal'])
def test_query_without_a_terminal_takes_the_default_and_says_so(
    stdin: object, default: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, 'stdin', stdin)

    assert sample.query_yes_no('Delete job?', default) == default
    assert f'{default} (there is no terminal to ask)' in capsys.readouterr().out


@pytest.mark.parametrize('name', ['stdin', 'stdout'])
def test_nobody_can_be_asked_through_a_closed_stream(
    name: str, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed()
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, name, closed)

    assert sample.can_ask() is False


def test_nobody_can_be_asked_when_the_output_goes_to_a_file(
    typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed()
    monkeypatch.setattr(sys, 'stdout', io.StringIO())

    assert sample.can_ask() is False


# --- The end of input, an error, a signal ---------------------------------------------------------


@pytest.mark.parametrize('default', ['yes', 'no'])
@pytest.mark.parametrize(
    'end',
    [
        pytest.param(EOFError(), id='end-of-input'),
        pytest.param(OSError(5, 'Input/output error'), id='terminal-gone'),
        pytest.param(UnicodeDecodeError('utf-8', b'\xff', 0, 1, 'invalid'), id='not-utf8'),
    ],
)
def test_query_whose_input_ends_takes_the_default_and_ends_its_line(
    end: Exception, default: str, typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(end)

    assert sample.query_yes_no('Delete job?', default) == default
    assert capsys.readouterr().out == f'{default}\n'


@pytest.mark.parametrize('default', ['yes', 'no'])
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_query_that_is_interrupted_takes_the_default_and_says_so(
    number: signal.Signals,
    default: str,
    typed: Typed,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    typed()
    monkeypatch.setattr(builtins, 'input', interrupted_by(number))

    with sample.signals_noted():
        assert sample.query_yes_no('Delete job?', default) == default

    assert f'Delete job? [{"Y/n" if default == "yes" else "y/N"}] {default} (interrupted)\n' == (
        capsys.readouterr().out
    )


def interrupted_by(number: signal.Signals) -> object:
    """Return an input() during which a signal arrives."""

    def wait_for_reply(_prompt: str) -> str:
        signal.raise_signal(number)
        return 'the signal had no effect'

    return wait_for_reply


def test_next_question_after_ctrl_c_is_asked(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    with sample.signals_noted(), monkeypatch.context() as patch:
        typed()
        patch.setattr(builtins, 'input', interrupted_by(signal.SIGINT))
        sample.query_yes_no('Delete job?')

        prompts = typed('n')

        assert sample.query_yes_no('Delete pool?') == 'no'
        assert prompts == ['Delete pool? [Y/n] ']


def test_question_after_ctrl_c_ends_when_the_terminal_closes(
    typed: Typed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed()
    monkeypatch.setattr(builtins, 'input', interrupted_by(signal.SIGHUP))

    with sample.signals_noted():
        signal.raise_signal(signal.SIGINT)

        assert sample.query_yes_no('Delete pool?') == 'yes'
        assert sample.stop.unattended

    assert capsys.readouterr().out.endswith('yes (interrupted)\n')


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_next_question_after_a_signal_of_the_system_answers_itself(
    number: signal.Signals, typed: Typed
) -> None:
    prompts = typed()

    with sample.signals_noted():
        signal.raise_signal(number)

        assert sample.query_yes_no('Delete pool?') == 'yes'

    assert prompts == []


def test_a_signal_between_two_questions_raises_nothing(typed: Typed) -> None:
    typed('y')

    with sample.signals_noted():
        sample.query_yes_no('Delete job?')
        signal.raise_signal(signal.SIGINT)

    assert sample.stop.signals == 1
