"""Running the sample as a user does, and looking at what it leaves."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import BlobLeaseClient

from batch_python_tutorial_ffmpeg import output_name
from tests.local_azure import LocalAzure, script_environment
from tests.local_azure.faults import Fault, RequestFault
from tests.screen import TIMEOUT as TIMEOUT, Screen

SCRIPT = Path(__file__).parents[2] / 'batch_python_tutorial_ffmpeg.py'
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
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

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
        self.processes.append(process)
        return process

    def start_until(self, moment: Callable[[], object], *options: str) -> subprocess.Popen[str]:
        """Start the sample, and return at this moment, in the middle of its run."""
        process = self.start(*options)
        self.azure.wait_until(lambda: moment() or process.poll() is not None, TIMEOUT)
        assert process.poll() is None, process.communicate()
        return process

    def start_until_held(self, fault: Fault, *options: str) -> subprocess.Popen[str]:
        """Start the sample, and return when the first request waits for the end of the fault."""
        return self.start_until(lambda: fault.hits, *options)

    def kill(self, process: subprocess.Popen[str]) -> None:
        """End a run without giving it a chance to clean up."""
        process.kill()
        process.communicate()

    def break_lease(self) -> None:
        """End the lease of a run that has died, or sleeps, as a minute would."""
        with self.azure.blob_service_client() as client:
            container = client.get_container_client('output')
            BlobLeaseClient(container).break_lease(lease_break_period=0)

    def close(self) -> None:
        """End what a test that has failed may have left."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
            process.wait()

    def hold_upload(self) -> RequestFault:
        """Let the upload of a.mp4 wait until the fault is removed."""
        return self.azure.hold_requests('PUT', '/input/a.mp4', service='storage')

    def hold_task(self) -> RequestFault:
        """Let the task of a.mp4 run until the fault is removed."""
        return self.azure.hold_requests(
            'GET', '/input/a.mp4', count=None, service='storage', source='node'
        )

    def hold_download(self) -> RequestFault:
        """Let the download of what a.mp4 becomes wait until the fault is removed."""
        path = f'/output/{output_name("a.mp4")}'
        return self.azure.hold_requests('GET', path, service='storage')

    def hang_download(self) -> RequestFault:
        """Let each download of what a.mp4 becomes hang, and fail when the fault is removed."""
        path = f'/output/{output_name("a.mp4")}'
        return self.azure.hang_requests('GET', path, count=None, service='storage')

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
        held = self.hold_task()
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

    def allow_formulas_at_once(self) -> None:
        """Take back the rule that a pool gets no second formula within 30 seconds."""
        delays = self.azure.batch.delays
        self.azure.batch.delays = dataclasses.replace(delays, autoscale_pause=0)

    def has_contacted_azure(self) -> bool:
        """Whether a client has sent anything; nodes of the test before may just be ending."""
        return any(request.source == 'client' for request in list(self.azure.requests))

    def polls(self) -> int:
        """How often the state of the nodes has been asked for."""
        return sum('nodecounts' in request.path for request in list(self.azure.requests))

    def assert_refused(self, *words: str, options: tuple[str, ...] = ('-y',)) -> str:
        """Run the sample, and return stderr.

        It must end with exit code 1 and one error message with these words.
        """
        result = self.run(*options)

        assert result.returncode == 1, result.stderr
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


def mp3s_of(*videos: str) -> list[str]:
    """Return the names of what becomes of these videos, in the order of `Sample.mp3s`."""
    return sorted(output_name(video) for video in videos)


@pytest.fixture(scope='session')
def entra_azure() -> Iterator[LocalAzure]:
    """A local Azure that is reached over TLS and accepts tokens, too."""
    with LocalAzure(entra=True) as azure:
        yield azure


@pytest.fixture
def sample(azure: LocalAzure, tmp_path: Path) -> Iterator[Sample]:
    (tmp_path / 'in').mkdir(exist_ok=True)
    sample = Sample(azure, tmp_path / 'in', tmp_path / 'out')
    yield sample
    sample.close()


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
