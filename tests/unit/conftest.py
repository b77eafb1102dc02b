"""Valid settings, a fake clock, no network, mocked clients."""

from __future__ import annotations

import base64
import builtins
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import NoReturn

import pytest

import batch_python_tutorial_ffmpeg as sample

from .mocks import STORAGE_URL, VIDEOS, Azure, BatchMock, StorageMock, take_back_mocks
from .service_objects import BEGAN

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
Run = Callable[..., int]
Typed = Callable[..., list[str]]
Videos = Callable[[Iterable[str]], Path]


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up credentials, and no memory of earlier tests."""
    for name, value in SETTINGS.items():
        monkeypatch.setattr(sample, name, value)
    for name in (
        '_DEDICATED_POOL_NODE_COUNT',
        '_LOW_PRIORITY_POOL_NODE_COUNT',
        '_POOL_VM_SIZE',
        '_JOB_TIMEOUT',
    ):
        monkeypatch.setattr(
            sample, name, getattr(sample, name)
        )  # taken back after a test that gives an option
    monkeypatch.setattr(sample.Run, 'answered', False)
    monkeypatch.setattr(sample.Run, 'interrupted', False)
    monkeypatch.setattr(sample.Run, 'adds', False)
    sample.sas_options.cache_clear()
    sample.say_once.cache_clear()


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(_socket: object, address: object) -> NoReturn:
        pytest.fail(f'a unit test connects to {address}')

    monkeypatch.setattr(socket.socket, 'connect', connect)


@pytest.fixture(autouse=True)
def signal_handlers() -> Iterator[None]:
    stdin, numbers = sys.stdin, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    sys.stdin = stdin  # SIGTERM closes it


# --- Time -----------------------------------------------------------------------------------------------------------
class Clock:
    """What the script uses of the module `time`; only sleeping makes it go on, and it does not sleep for ever."""

    LIMIT = 2000  # sleeps

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.sleeps: list[float] = []
        self.on_sleep: list[Callable[[], None]] = []

    def monotonic(self) -> float:
        return 1000 + self.elapsed

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.sleeps.append(seconds)
        self.elapsed += seconds
        if len(self.sleeps) > self.LIMIT:
            pytest.fail(f'endless loop: {self.LIMIT} sleeps, {self.elapsed} seconds')
        for action in self.on_sleep:
            action()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()

    class FakeDatetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> FakeDatetime:
            now = BEGAN + timedelta(seconds=clock.elapsed)
            return cls.fromtimestamp(now.timestamp(), tz)

    monkeypatch.setattr(sample, 'time', clock)
    monkeypatch.setattr(sample, 'datetime', FakeDatetime)
    return clock


# --- Clients ----------------------------------------------------------------------------------------------------------
@pytest.fixture(autouse=True)
def mocks() -> Iterator[None]:
    yield
    for thread in (
        threading.enumerate()
    ):  # an error leaves uploads under way: not with the mocks of the next test
        if thread.name.startswith('ThreadPoolExecutor'):
            thread.join(timeout=30)
            assert not thread.is_alive(), f'{thread.name} is still at work'
    take_back_mocks()


@pytest.fixture
def batch() -> BatchMock:
    return BatchMock()


@pytest.fixture
def storage() -> StorageMock:
    return StorageMock()


# --- Files and terminal -----------------------------------------------------------------------------------------------
@pytest.fixture
def videos(tmp_path: Path) -> Videos:
    """Makes a folder of small files with these names and returns it."""

    def make(names: Iterable[str]) -> Path:
        folder = tmp_path / 'videos'
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b'a video: ' + name.encode('utf-8', 'surrogateescape'))
        return folder

    return make


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Makes stdin and stdout a terminal where a user types these replies; returns the prompts shown."""

    def make(*replies: str | BaseException) -> list[str]:
        script: Iterator[str | BaseException] = iter(replies)
        prompts = []

        def reply(prompt: str) -> str:
            prompts.append(prompt)
            typed = next(script)
            if isinstance(typed, BaseException):
                raise typed
            return typed

        monkeypatch.setattr(builtins, 'input', reply)
        for stream in (sys.stdin, sys.stdout):
            monkeypatch.setattr(stream, 'isatty', lambda: True)
        return prompts

    return make


# --- A whole run ------------------------------------------------------------------------------------------------------
@pytest.fixture
def azure(batch: BatchMock, storage: StorageMock, monkeypatch: pytest.MonkeyPatch) -> Azure:
    monkeypatch.setattr(sample, 'create_clients', lambda: (batch.client, storage.client))
    return Azure(batch, storage)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / 'outputs'


@pytest.fixture
def run(videos: Videos, output: Path) -> Run:
    """Runs main with three videos."""
    return lambda *argv: sample.main(
        ['--input', str(videos(VIDEOS)), '--output', str(output), *argv]
    )
