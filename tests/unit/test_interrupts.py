"""Interrupts: a signal leaves a note, the next pause ends the run, and a second one leaves."""

from __future__ import annotations

import os
import signal
import threading
from typing import NoReturn

import pytest

import batch_python_tutorial_ffmpeg as sample

from .conftest import BATCH_KEY, STORAGE_KEY, Clock

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


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


# --- pause ----------------------------------------------------------------------------------------


@pytest.mark.parametrize('seconds', [0, 0.1, 3, 4.5])
def test_pause_takes_as_long_as_it_is_told(seconds: float, clock: Clock) -> None:
    sample.pause(seconds)

    assert clock.elapsed == pytest.approx(seconds, abs=0.01)


@pytest.mark.parametrize('number', SIGNALS)
def test_pause_ends_soon_after_a_signal(number: signal.Signals, clock: Clock) -> None:
    def send_once() -> None:
        if clock.elapsed >= 10 and not sample.stop.signals:
            signal.raise_signal(number)

    clock.on_sleep.append(send_once)

    with sample.signals_noted(), pytest.raises(sample.InterruptedRunError):
        sample.pause(3600)

    assert clock.elapsed < 10.5


def test_pause_of_no_time_ends_a_run_that_has_to_stop(clock: Clock) -> None:
    sample.stop.reason = sample.SampleError('Another run has taken over.')

    with pytest.raises(sample.SampleError, match='Another run has taken over'):
        sample.pause(0)

    assert clock.sleeps == []


def test_run_that_need_not_stop_goes_on() -> None:
    sample.stop_if_asked()

    assert sample.stop.reason is None


# --- The first signal -----------------------------------------------------------------------------


@pytest.mark.parametrize('number', SIGNALS)
def test_signal_lets_the_request_under_way_end_and_says_so(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    ended = False

    with sample.signals_noted():
        signal.raise_signal(number)
        ended = True

    assert ended
    assert capfd.readouterr().err == '\nInterrupted: cleaning up. Once more leaves at once.\n'


@pytest.mark.parametrize('number', SIGNALS)
def test_run_has_to_stop_after_a_signal(number: signal.Signals) -> None:
    with sample.signals_noted():
        signal.raise_signal(number)

        with pytest.raises(sample.InterruptedRunError):
            sample.stop_if_asked()


def test_signal_on_a_broken_terminal_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(_number: int, _text: bytes) -> NoReturn:
        raise OSError(5, 'Input/output error')

    monkeypatch.setattr(os, 'write', write)

    with sample.signals_noted():
        signal.raise_signal(signal.SIGHUP)

    assert sample.stop.signals == 1


# --- The second signal ----------------------------------------------------------------------------


@pytest.mark.parametrize('first', SIGNALS)
@pytest.mark.parametrize('second', [signal.SIGINT, signal.SIGTERM])
def test_second_signal_leaves_at_once_and_names_what_may_be_left(
    first: signal.Signals,
    second: signal.Signals,
    exit_codes: list[int],
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(Left), sample.signals_noted():
        signal.raise_signal(first)
        capfd.readouterr()
        signal.raise_signal(second)

    printed = capfd.readouterr().err
    lines = printed.splitlines()
    assert exit_codes == [130]
    assert 'Left at once. What may be left, and how to delete it:' in lines
    for kind in ('job', 'pool', 'container'):
        assert f'  {sample.deletion_command(kind)}' in lines
    assert BATCH_KEY not in printed
    assert STORAGE_KEY not in printed


@pytest.mark.parametrize('first', SIGNALS)
def test_terminal_that_closes_does_not_end_the_cleanup(
    first: signal.Signals, exit_codes: list[int]
) -> None:
    """The terminal sends SIGHUP, and its shell sends another one."""
    with sample.signals_noted():
        signal.raise_signal(first)
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGHUP)

    assert exit_codes == []


# --- Handlers -------------------------------------------------------------------------------------


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]

    with sample.signals_noted():
        during = [signal.getsignal(number) for number in SIGNALS]

    after = [signal.getsignal(number) for number in SIGNALS]
    assert after == before
    assert all(now != then for now, then in zip(during, before, strict=True))


def test_handlers_are_put_back_after_an_error() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]

    with pytest.raises(ZeroDivisionError), sample.signals_noted():
        raise ZeroDivisionError

    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize('number', SIGNALS)
def test_signal_that_is_ignored_stays_ignored(number: signal.Signals) -> None:
    """nohup ignores SIGHUP, and a shell ignores SIGINT for a command in the background."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with sample.signals_noted():
            signal.raise_signal(number)
    finally:
        signal.signal(number, before)

    assert sample.stop.signals == 0


def test_run_in_a_thread_leaves_the_handlers_alone() -> None:
    """Only the main thread may set handlers."""
    during: list[object] = []

    def run() -> None:
        with sample.signals_noted():
            during.extend(signal.getsignal(number) for number in SIGNALS)

    before = [signal.getsignal(number) for number in SIGNALS]
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()

    assert during == before


def test_new_run_knows_nothing_of_the_signals_of_the_last_one() -> None:
    with sample.signals_noted():
        signal.raise_signal(signal.SIGTERM)

    with sample.signals_noted():
        sample.stop_if_asked()

        assert sample.stop.signals == 0
        assert not sample.stop.unattended
