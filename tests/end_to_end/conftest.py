"""Running the sample as a user does, and looking at what it leaves."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.local_azure import LocalAzure, script_environment
from tests.local_azure.faults import Fault
from tests.screen import Screen

SCRIPT = Path(__file__).parents[2] / 'batch_python_tutorial_ffmpeg.py'
TIMEOUT = 120  # seconds; a run takes three, and a minute more if it waits for another run
OpenScreen = Callable[..., Screen]


@dataclass
class Sample:
    """The sample with an input and an output folder of its own, on the local Azure."""

    azure: LocalAzure
    input: Path
    output: Path
    environment: dict[str, str] = field(default_factory=dict)
    changes: str = ''
    shell: str = 'exec "$@"'  # the bash line in which the sample is "$@"

    def change(self, setting: str, value: str) -> None:
        """Run the sample with another value (Python text) of one of its settings from now on."""
        self.changes += f'sample.{setting} = {value}; '

    def command(self, *options: str) -> list[str | Path]:
        changed = (
            f'import datetime, os, sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); '
            f'import {SCRIPT.stem} as sample; '
            f'{self.changes}os._exit(sample.main())'
        )
        program = ['-c', changed] if self.changes else [SCRIPT]
        sample = [
            sys.executable,
            *program,
            '--input',
            self.input,
            '--output',
            self.output,
            *options,
        ]
        return ['bash', '-c', self.shell, 'bash', *sample]

    def start(self, *options: str, **streams: Any) -> subprocess.Popen[str]:
        environment = {**script_environment(self.azure), **self.environment}
        streams = {
            'stdin': subprocess.DEVNULL,
            'stdout': subprocess.PIPE,
            'stderr': subprocess.PIPE,
            **streams,
        }
        process: subprocess.Popen[str] = subprocess.Popen(
            self.command(*options),
            env=environment,
            cwd=self.output.parent,
            encoding='utf-8',
            **streams,
        )
        return process

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the sample to its end without a terminal; what it says may hold no secret."""
        process = self.start(*options)
        return self.finish(process)

    def finish(self, process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
        out, err = process.communicate(timeout=TIMEOUT)
        self.check_secrets(out + err)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def run_past_polls(self) -> subprocess.CompletedProcess[str]:
        """Run the sample; a.mp4 waits until two polls have seen all nodes ready or failed."""
        held = self.azure.hold_requests('GET', '/input/a.mp4', service='storage', source='node')
        process = self.start('-y')
        self.azure.wait_until(
            lambda: self._nodes_are_there(held) or process.poll() is not None, TIMEOUT
        )
        polls = self.polls()
        self.azure.wait_until(
            lambda: self.polls() > polls + 1 or process.poll() is not None, TIMEOUT
        )
        held.remove()
        return self.finish(process)

    def _nodes_are_there(self, held: Fault) -> bool:
        states = [
            node.state.value
            for pool in self.azure.batch.all_pools()
            for node in list(pool.nodes.values())
        ]
        return bool(held.hits) and set(states) <= {'idle', 'running', 'starttaskfailed'}

    def has_contacted_azure(self) -> bool:
        """Whether a client has sent anything; nodes of the test before may just be ending."""
        return any(request.source == 'client' for request in list(self.azure.requests))

    def polls(self) -> int:
        """How often the state of the nodes has been asked for."""
        return sum('nodecounts' in request.path for request in list(self.azure.requests))

    def assert_refused(self, *words: str, options: tuple[str, ...] = ('-y',)) -> str:
        """Run the sample, and return stderr.

        It must end within 30 seconds, with exit code 1 and one error message with these words.
        """
        began = time.monotonic()

        result = self.run(*options)

        assert result.returncode == 1, result.stderr
        assert time.monotonic() - began < 30
        assert len(re.findall('^Error: ', result.stderr, re.MULTILINE)) == 1
        for word in words:
            assert word in result.stderr
        return result.stderr

    def assert_failed(self, stderr: str, video: str, reason: str, result: str = 'failed') -> None:
        """The table gives the video this result, and one line below it the reason (a pattern)."""
        name = re.escape(video)
        assert re.search(rf'^{name} .* {result} *$', stderr, re.MULTILINE), stderr
        reasons = re.findall(rf'^{name} {result}: (.*)', stderr, re.MULTILINE)
        assert len(reasons) == 1, stderr
        assert re.match(reason, reasons[0]), stderr

    def check_secrets(self, text: str) -> None:
        assert 'sig=' not in text
        assert not any(key in text for key in self.azure.keys.values())
        assert 'eyJ' not in text  # how a token begins
        assert 'Traceback' not in text

    def mp3s(self) -> list[str]:
        """Names of all files in the output folder."""
        return sorted(
            path.relative_to(self.output).as_posix()
            for path in self.output.rglob('*')
            if path.is_file()
        )

    def containers(self) -> list[str]:
        with self.azure.blob_service_client() as client:
            return sorted(container.name for container in client.list_containers())

    def jobs(self) -> list[str]:
        return [job.id for job in self.azure.batch_client().job.list() if job.state != 'deleting']

    def pools(self) -> list[str]:
        return [
            pool.id for pool in self.azure.batch_client().pool.list() if pool.state != 'deleting'
        ]

    def nothing_is_left(self) -> bool:
        """Whether job, pool and input container are gone."""
        return not self.jobs() and not self.pools() and 'input' not in self.containers()


@pytest.fixture
def sample(azure: LocalAzure, tmp_path: Path) -> Sample:
    (tmp_path / 'in').mkdir(exist_ok=True)
    return Sample(azure, tmp_path / 'in', tmp_path / 'out')


@pytest.fixture
def open_screen(sample: Sample) -> Iterator[OpenScreen]:
    """A function that starts the sample, with these options, in a terminal of this size."""
    screens: list[Screen] = []

    def start(*options: str, width: int = 80, height: int = 24) -> Screen:
        environment = {**script_environment(sample.azure), **sample.environment}
        folder = sample.output.parent
        screen = Screen(sample.command(*options), environment, folder, width, height)
        screens.append(screen)
        return screen

    yield start

    for screen in screens:
        screen.close()
        sample.check_secrets(screen.output)


@pytest.fixture(scope='session')
def clips() -> Path:
    """The five videos that come with the sample."""
    return SCRIPT.parent / 'InputFiles'
