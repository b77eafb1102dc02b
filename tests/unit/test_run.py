"""The way out: one message, the right exit code and a cleanup, whatever ends the run."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import NoReturn
from unittest.mock import Mock

import pytest
from azure.core.exceptions import ServiceRequestError

import batch_python_tutorial_ffmpeg as sample

from .service_objects import batch_error, proxy_error

SIGNALS = [signal.SIGINT, signal.SIGTERM]


class Left(BaseException):
    """Stands for the end of the process by os._exit."""


@pytest.fixture
def exit_codes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What os._exit was called with."""
    codes: list[int] = []

    def leave(code: int) -> NoReturn:
        codes.append(code)
        raise Left

    monkeypatch.setattr(os, '_exit', leave)
    return codes


@pytest.fixture
def cleanup() -> Mock:
    """A cleanup that works."""
    return Mock(return_value=True)


def run_block(block: Callable[[], object], cleanup: Callable[[], bool] | None = None) -> sample.Run:
    with sample.Run() as run:
        run.cleanup = cleanup
        block()
    return run


def fail_with(error: BaseException) -> Callable[[], NoReturn]:
    def block() -> NoReturn:
        raise error

    return block


def test_run_that_succeeds_has_exit_code_0_and_cleans_up(cleanup: Mock) -> None:
    run = run_block(lambda: None, cleanup)

    assert (run.exit_code, cleanup.call_count) == (0, 1)


@pytest.mark.parametrize(
    ('error', 'exit_code'),
    [
        pytest.param(argparse.ArgumentError(None, 'Wrong usage.'), 2, id='usage'),
        pytest.param(sample.SampleError('2 of 5 files failed.'), 1, id='own'),
        pytest.param(batch_error('PoolQuotaReached'), 1, id='batch'),
        pytest.param(proxy_error(), 1, id='proxy'),
        pytest.param(ServiceRequestError('no route'), 1, id='storage'),
        pytest.param(PermissionError(13, 'Permission denied', 'OutputFiles'), 1, id='system'),
    ],
)
def test_run_turns_an_expected_error_into_one_message_and_cleans_up(
    error: Exception, exit_code: int, cleanup: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_block(fail_with(error), cleanup)

    assert (run.exit_code, cleanup.call_count) == (exit_code, 1)
    assert capsys.readouterr().err == f'Error: {sample.describe(error)}\n'


def test_run_says_what_failed_before_it_cleans_up(
    cleanup: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    cleanup.side_effect = lambda: sample.say('Deleting...', sys.stderr)

    run_block(fail_with(sample.SampleError('It failed.')), cleanup)

    assert capsys.readouterr().err.splitlines() == ['Error: It failed.', 'Deleting...']


def test_run_cleans_up_after_a_bug_and_keeps_its_traceback(cleanup: Mock) -> None:
    with pytest.raises(ZeroDivisionError):
        run_block(lambda: 1 // 0, cleanup)

    cleanup.assert_called_once_with()


def test_run_whose_cleanup_may_have_left_something_has_exit_code_1(cleanup: Mock) -> None:
    cleanup.return_value = False

    run = run_block(lambda: None, cleanup)

    assert run.exit_code == 1


@pytest.mark.parametrize('number', SIGNALS)
def test_run_that_is_interrupted_cleans_up_and_has_exit_code_130(
    number: signal.Signals, cleanup: Mock, capfd: pytest.CaptureFixture[str]
) -> None:
    run = run_block(lambda: signal.raise_signal(number), cleanup)

    assert (run.exit_code, cleanup.call_count) == (130, 1)
    assert 'Interrupted: cleaning up. Once more leaves at once.' in capfd.readouterr().err


def test_an_interrupt_at_the_beginning_of_the_way_out_leaves_no_cleanup_out() -> None:
    frame = SimpleNamespace(f_code=sample.Run.__exit__.__code__)

    sample.Run().interrupt(signal.SIGINT, frame)  # raises nothing

    assert sample.Run.interrupted


@pytest.mark.parametrize('number', SIGNALS)
def test_run_that_is_interrupted_in_its_cleanup_finishes_the_cleanup(
    number: signal.Signals,
) -> None:
    finished = []

    def cleanup() -> bool:
        signal.raise_signal(number)
        finished.append(True)
        return True

    run = run_block(lambda: None, cleanup)

    assert (run.exit_code, finished) == (130, [True])


@pytest.mark.parametrize('second', SIGNALS)
def test_run_that_is_interrupted_twice_leaves_at_once_and_names_what_bills(
    second: signal.Signals, cleanup: Mock, exit_codes: list[int], capfd: pytest.CaptureFixture[str]
) -> None:
    cleanup.side_effect = lambda: signal.raise_signal(second)

    with pytest.raises(Left):
        run_block(lambda: signal.raise_signal(signal.SIGINT), cleanup)

    printed = capfd.readouterr().err
    assert exit_codes == [130]
    assert sample._LEFT_BEHIND['pool'] in printed
    assert sample._LEFT_BEHIND['job'] in printed


@pytest.mark.parametrize('first', [*SIGNALS, signal.SIGHUP])
def test_run_whose_terminal_closes_finishes_the_cleanup(first: signal.Signals) -> None:
    """The terminal sends SIGHUP, and its shell sends another one."""
    finished = []

    def cleanup() -> bool:
        signal.raise_signal(signal.SIGHUP)
        finished.append(True)
        return True

    run = run_block(lambda: signal.raise_signal(first), cleanup)

    assert (run.exit_code, finished) == (130, [True])


def test_run_waits_with_the_interrupt_for_the_answer_to_the_creation_of_a_pool_or_job(
    cleanup: Mock,
) -> None:
    """The cleanup would look for it too early, and it would stay."""
    answered = []

    def block() -> None:
        sample.Run.adds = True
        signal.raise_signal(signal.SIGINT)
        answered.append(True)
        sample.Run.adds = False

    run = run_block(block, cleanup)

    assert (run.exit_code, answered, cleanup.call_count) == (130, [True], 1)


def test_run_without_anything_made_yet_has_nothing_to_clean_up() -> None:
    run = run_block(lambda: signal.raise_signal(signal.SIGINT))

    assert run.exit_code == 130


def test_run_shows_names_that_the_terminal_cannot_show(capsys: pytest.CaptureFixture[str]) -> None:
    run_block(lambda: sample.say('not UTF-8: \udcff'))

    assert capsys.readouterr().out == 'not UTF-8: \\udcff\n'


def test_run_works_without_standard_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, 'stdout', None)

    assert run_block(lambda: None).exit_code == 0
