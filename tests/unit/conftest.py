"""Valid settings, a fake clock, no network, mocked clients."""

from __future__ import annotations

import base64
import builtins
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest

import batch_python_tutorial_ffmpeg as sample

from .mocks import VIDEOS, Azure, BatchMock, StorageMock, take_mocks_back
from .service_objects import BEGAN, STORAGE_URL
from .web import Web, serve

BATCH_KEY = base64.b64encode(b'the key of the Batch account').decode()
STORAGE_KEY = base64.b64encode(b'the key of the storage account').decode()
SETTINGS = {
    '_BATCH_ACCOUNT_NAME': 'mybatch',
    '_BATCH_ACCOUNT_KEY': BATCH_KEY,
    '_BATCH_ACCOUNT_URL': 'https://mybatch.westeurope.batch.azure.com',
    '_STORAGE_ACCOUNT_NAME': 'mystorage',
    '_STORAGE_ACCOUNT_KEY': STORAGE_KEY,
    '_STORAGE_ACCOUNT_URL': STORAGE_URL,
}

NewRun = Callable[..., sample.Run]
RunMain = Callable[..., int]
Typed = Callable[..., list[str]]
Videos = Callable[[Iterable[str]], Path]


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up credentials, and nothing that the script remembers of an earlier test."""
    for name, value in SETTINGS.items():
        monkeypatch.setattr(sample, name, value)
    sample.user_delegation_key.cache_clear()
    sample._warned.clear()
    vars(sample.stop).update(vars(sample.Stop()))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that leaves this machine fails the test."""
    connect = socket.socket.connect
    resolve = socket.getaddrinfo

    def connect_here(used: socket.socket, address: Any) -> None:
        if address[0] != '127.0.0.1':
            pytest.fail(f'a unit test connects to {address}')
        connect(used, address)

    def resolve_here(host: Any, *arguments: Any, **options: Any) -> Any:
        if host != '127.0.0.1':
            pytest.fail(f'a unit test asks for the address of {host}')
        return resolve(host, *arguments, **options)

    monkeypatch.setattr(socket.socket, 'connect', connect_here)
    monkeypatch.setattr(socket, 'getaddrinfo', resolve_here)


@pytest.fixture(autouse=True)
def signal_handlers() -> Iterator[None]:
    """The script puts the handlers of all signals back."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    after = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after == before


# --- Time -----------------------------------------------------------------------------------------


class Clock:
    """A clock that goes on when somebody sleeps, and then at once; a look at it takes 1 us."""

    LONGEST = timedelta(days=2).total_seconds()
    MOST = 1_000_000  # looks and sleeps

    def __init__(self) -> None:
        self.elapsed = 0.0  # seconds that were slept
        self.sleeps: list[float] = []
        self.on_sleep: list[Callable[[], None]] = []  # called after each sleep
        self._looks = 0

    def monotonic(self) -> float:
        self._looks += 1
        self._end_a_loop_that_does_not_end()
        return 1000 + self.elapsed + self._looks / 1_000_000

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.sleeps.append(seconds)
        self.elapsed += seconds
        self._end_a_loop_that_does_not_end()
        for action in self.on_sleep:
            action()

    def _end_a_loop_that_does_not_end(self) -> None:
        if self.elapsed > self.LONGEST or self._looks + len(self.sleeps) > self.MOST:
            pytest.fail(f'endless: {self.elapsed} seconds in {len(self.sleeps)} sleeps')


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the script and of the clients' own retries."""
    clock = Clock()

    class FakeDatetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> FakeDatetime:
            now = BEGAN + timedelta(seconds=clock.elapsed)
            return cls.fromtimestamp(now.timestamp(), tz)

    monkeypatch.setattr(time, 'monotonic', clock.monotonic)
    monkeypatch.setattr(time, 'sleep', clock.sleep)
    monkeypatch.setattr(sample, 'datetime', FakeDatetime)
    return clock


def interrupt() -> None:
    """Let the run know that it has to stop, as the signal handler does."""
    sample.stop.reason = sample.InterruptedRunError()


# --- Clients --------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """An error ends parallel work at once; what was under way then must not reach the next test."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith('ThreadPoolExecutor'):
            thread.join(timeout=30)
            assert not thread.is_alive(), f'{thread.name} is still at work'
    take_mocks_back()


@pytest.fixture
def batch() -> BatchMock:
    return BatchMock()


@pytest.fixture
def storage() -> StorageMock:
    return StorageMock()


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """Both services, for the real clients."""
    with serve() as web:
        monkeypatch.setattr(sample, '_BATCH_ACCOUNT_URL', web.url)
        monkeypatch.setattr(sample, '_STORAGE_ACCOUNT_URL', web.url)
        yield web


@pytest.fixture
def batch_client(web: Web) -> Any:  # noqa: ARG001 - it has to be there
    """A real client of Batch."""
    return sample.create_clients()[0]


# --- Files and terminal ---------------------------------------------------------------------------


@pytest.fixture
def videos(tmp_path: Path) -> Videos:
    """Makes a folder of small files with these names and returns it."""

    def make(names: Iterable[str]) -> Path:
        folder = tmp_path / 'videos'
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b'a video: ' + name.encode('utf-8', 'surrogateescape'))
        return folder

    return make


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """The folder for the MP3s, which does not exist yet."""
    return tmp_path / 'outputs'


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Makes stdin and stdout a terminal where a user types these; returns the prompts shown."""

    def make(*replies: str | BaseException) -> list[str]:
        script = iter(replies)
        prompts = []

        def reply(prompt: str) -> str:
            prompts.append(prompt)
            typed = next(script)
            if isinstance(typed, KeyboardInterrupt):
                sample.stop.unattended = True  # as the signal handler notes
            if isinstance(typed, BaseException):
                raise typed
            return typed

        monkeypatch.setattr(builtins, 'input', reply)
        for stream in (sys.stdin, sys.stdout):
            monkeypatch.setattr(stream, 'isatty', lambda: True)
        return prompts

    return make


# --- Runs -----------------------------------------------------------------------------------------


@pytest.fixture
def new_run(batch: BatchMock, storage: StorageMock, videos: Videos, output: Path) -> NewRun:
    """Returns a run at its beginning, with mocked clients, of these options and videos."""

    def make(*argv: str, names: Iterable[str] = VIDEOS) -> sample.Run:
        options = sample.parse_arguments(argv)
        options.output = output
        folder = videos(names)
        paths = {name: folder / name for name in names}
        sample.set_limits(options, paths)
        lock = create_autospec(sample.RunLock, instance=True)
        lock.is_lost.return_value = False
        clients = (batch.client, storage.client)
        return sample.Run(options, paths, *clients, lock, BEGAN, stopwatch=1000.0)

    return make


@pytest.fixture
def azure(batch: BatchMock, storage: StorageMock, monkeypatch: pytest.MonkeyPatch) -> Azure:
    """Two empty accounts, which main() gets the clients of."""
    monkeypatch.setattr(sample, 'create_clients', lambda: (batch.client, storage.client))
    return Azure(batch, storage)


@pytest.fixture
def run_main(videos: Videos, output: Path) -> RunMain:
    """Runs main() with three videos; returns its exit code."""

    def run(*argv: str) -> int:
        folder = videos(VIDEOS)
        return sample.main(['--input', str(folder), '--output', str(output), *argv])

    return run
