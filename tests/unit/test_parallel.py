"""Work in parallel: results in order, so many at once, and the first error ends it."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tqdm import tqdm

import batch_python_tutorial_ffmpeg as sample


def test_progress_bars_need_no_lock_between_processes() -> None:
    assert isinstance(tqdm.get_lock(), type(threading.RLock()))


def test_in_parallel_yields_the_results_in_order() -> None:
    later = threading.Event()

    def action(number: int) -> int:
        if number == 0:
            assert later.wait(10)
        if number == 1:
            later.set()
        return number * 10

    assert list(sample.in_parallel(action, range(100))) == [number * 10 for number in range(100)]


def test_in_parallel_has_so_many_under_way_and_no_more() -> None:
    all_threads = threading.Barrier(sample._CONNECTIONS, timeout=10)
    lock, under_way, most = threading.Lock(), 0, 0

    def action(_: int) -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        all_threads.wait()
        with lock:
            under_way -= 1

    list(sample.in_parallel(action, range(sample._CONNECTIONS * 4)))

    assert most == sample._CONNECTIONS


def test_in_parallel_raises_the_first_error_and_cancels_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cancelled, started = threading.Event(), set()
    cancel: Callable[[Any], bool] = concurrent.futures.Future.cancel

    def cancel_and_tell(future: Any) -> bool:
        result = cancel(future)
        cancelled.set()
        return result

    def action(number: int) -> None:
        started.add(number)
        if number == 0:
            raise sample.SampleError('The first one failed.')
        cancelled.wait(5)

    monkeypatch.setattr(concurrent.futures.Future, 'cancel', cancel_and_tell)

    with pytest.raises(sample.SampleError, match='The first one failed'):
        list(sample.in_parallel(action, range(100)))

    assert 99 not in started
