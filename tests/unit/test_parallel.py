"""Work in parallel: results in order, so many at once, and the first error ends it."""

from __future__ import annotations

import threading

import pytest

import batch_python_tutorial_ffmpeg as sample


def test_in_parallel_returns_the_results_in_order() -> None:
    later = threading.Event()

    def action(number: int) -> int:
        if number == 0:
            assert later.wait(10)
        if number == 1:
            later.set()
        return number * 10

    assert sample.in_parallel(action, range(100)) == [number * 10 for number in range(100)]


def test_in_parallel_of_nothing_is_nothing() -> None:
    assert sample.in_parallel(print, []) == []


def test_in_parallel_has_32_under_way_and_no_more() -> None:
    all_threads = threading.Barrier(32, timeout=10)
    lock = threading.Lock()
    under_way = 0
    most = 0

    def action(_: int) -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        all_threads.wait()
        with lock:
            under_way -= 1

    sample.in_parallel(action, range(32 * 4))

    assert most == 32


def wait_for_threads() -> None:
    """Wait until what was under way has ended, and what was not cancelled as well."""
    for thread in threading.enumerate():
        if thread.name.startswith('ThreadPoolExecutor'):
            thread.join(10)


def test_in_parallel_raises_the_first_error_and_does_not_begin_the_rest() -> None:
    started = set()
    may_end = threading.Event()
    ended_late = []

    def action(number: int) -> None:
        started.add(number)
        if number == 0:
            raise sample.SampleError('The first one failed.')
        if not may_end.wait(5):
            ended_late.append(number)

    with pytest.raises(sample.SampleError, match='The first one failed'):
        sample.in_parallel(action, range(100))

    may_end.set()
    wait_for_threads()
    assert 99 not in started
    assert ended_late == []  # the error did not wait for them


def test_in_parallel_stops_when_the_run_has_to_stop() -> None:
    started = set()
    may_end = threading.Event()
    ended_late = []

    def action(number: int) -> None:
        started.add(number)
        sample.stop.reason = sample.InterruptedRunError()
        if not may_end.wait(5):
            ended_late.append(number)

    with pytest.raises(sample.InterruptedRunError):
        sample.in_parallel(action, range(100))

    may_end.set()
    wait_for_threads()
    assert 99 not in started
    assert ended_late == []


def test_in_parallel_does_not_begin_when_the_run_has_to_stop_already() -> None:
    sample.stop.reason = sample.InterruptedRunError()

    with pytest.raises(sample.InterruptedRunError):
        sample.in_parallel(print, range(3))


def test_in_parallel_shows_how_many_are_done() -> None:
    shown: list[int] = []
    two_are_shown = threading.Event()

    def action(number: int) -> None:
        if number == 2:
            assert two_are_shown.wait(10)

    def show(done: int) -> None:
        shown.append(done)
        if done == 2:
            two_are_shown.set()

    sample.in_parallel(action, range(3), show)

    assert shown == sorted(shown)
    assert shown[-2:] == [2, 3]


def test_in_parallel_shows_the_progress_while_it_waits() -> None:
    shown = threading.Event()

    def action(_: int) -> bool:
        return shown.wait(10)

    def show(_done: int) -> None:
        shown.set()

    assert sample.in_parallel(action, [0], show) == [True]


@pytest.mark.parametrize(
    ('files', 'blocks'), [(0, 8), (1, 8), (4, 8), (5, 6), (16, 2), (32, 1), (10_000, 1)]
)
def test_blocks_at_once_share_the_connections(files: int, blocks: int) -> None:
    assert sample.blocks_at_once(files) == blocks
