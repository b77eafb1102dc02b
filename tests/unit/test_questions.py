"""The questions: what counts as an answer, and what happens where nobody can be asked."""

from __future__ import annotations

import io
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
        (EOFError(), 'yes', 'yes'),
        (EOFError(), 'no', 'no'),
    ],
    ids=str,
)
def test_query_takes_what_the_user_types(
    reply: str | EOFError, default: str, expected: str, typed: Typed
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


@pytest.mark.parametrize('default', ['yes', 'no'])
@pytest.mark.parametrize('stdin', [None, io.StringIO('n\n')], ids=['closed', 'no-terminal'])
def test_query_without_a_terminal_takes_the_default_and_says_so(
    stdin: object, default: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, 'stdin', stdin)

    assert sample.query_yes_no('Delete job?', default) == default
    assert f'{default} (there is no terminal to ask)' in capsys.readouterr().out
