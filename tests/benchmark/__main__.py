"""Measures each phase several times on the local Azure, and prints a table of the medians.

    python -m tests.benchmark

The sample and the tutorial's way run in processes of their own, so that they do not share an
interpreter with the services. The exit code is 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import imageio_ffmpeg
from azure.batch import models

from tests.local_azure import LocalAzure, script_environment

from .table import Cost, Row, table

ROOT = Path(__file__).resolve().parents[2]
CLIPS = ROOT / 'InputFiles'
POOL = 'LinuxFFmpegPool'
QUIET = (
    11.9,
    13.2,
    14.4,
    15.7,
)  # seconds until the only task ends; by then polls are at their slowest
APART = 1.5  # seconds between the ends of two tasks


@dataclass(frozen=True)
class Measurement:
    """What a client process reported, and what the services recorded meanwhile."""

    cost: Cost
    ended: float
    memory: float
    requests: list[Any]


class Bench:
    """A local Azure and the client processes that are measured on it."""

    def __init__(self, azure: LocalAzure) -> None:
        self.azure = azure

    def measure(self, phase: str, **arguments: object) -> Measurement:
        """Run one phase in a process of its own."""
        command = [sys.executable, '-m', 'tests.benchmark.client', phase, json.dumps(arguments)]
        environment = script_environment(self.azure)
        done = subprocess.run(
            command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f'{phase} failed:\n{done.stdout}{done.stderr}')
        result = json.loads(done.stdout.splitlines()[-1])
        requests = [
            request
            for request in list(self.azure.requests)
            if request.source == 'client' and result['began'] <= request.started <= result['ended']
        ]
        requests.sort(key=lambda request: request.started)
        cost = Cost(result['ended'] - result['began'], len(requests), size_of(requests))
        return Measurement(cost, result['ended'], result['memory'], requests)


def size_of(requests: Iterable[Any]) -> int:
    """Return the bytes of all bodies."""
    return sum(request.bytes_in + request.bytes_out for request in requests)


def median_cost(measurements: list[Measurement]) -> Cost:
    """Return the median of each part of the cost."""
    costs = [measurement.cost for measurement in measurements]
    return Cost(
        median(cost.seconds for cost in costs),
        median(cost.requests for cost in costs),
        median(cost.size for cost in costs),
    )


@contextmanager
def bench(latency: float, instant_output: bytes | None = None) -> Iterator[Bench]:
    """A fresh local Azure that takes that much longer for every request of a client."""
    with LocalAzure(instant_output=instant_output) as azure:
        azure.wait_ready()
        azure.set_latency(latency)
        yield Bench(azure)


@contextmanager
def files(count: int, size: int) -> Iterator[str]:
    """A folder of so many files of so many bytes, all zero."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            with (Path(folder) / f'video-{number:05}.mp4').open('wb') as file:
                file.truncate(size)
        yield folder


def uploads(options: argparse.Namespace) -> Iterator[Row]:
    """Many small files, then a big one."""
    some = max(1, options.files // 8)
    with (
        files(options.files, options.kilobytes * 1000) as folder,
        files(some, options.kilobytes * 1000) as part,
    ):
        ours, theirs, _ = compare(options, ('upload', folder), ('tutorial_upload', part))
    theirs = theirs.times(options.files / some)
    phase = f'{options.files} files of {options.kilobytes} KB uploaded'
    shown = f'{theirs} (from {some} files)'
    yield Row(phase, ours, shown, theirs.seconds / ours.seconds, 'times faster', 'at least', 10)
    with files(1, options.megabytes * 1000 * 1000) as folder:
        ours, theirs, memory = compare(options, ('upload', folder), ('tutorial_upload', folder))
    phase = f'one file of {options.megabytes} MB uploaded'
    yield Row(phase, ours, theirs, theirs.seconds / ours.seconds, 'times faster', 'at least', 2)
    yield Row(
        'its memory, above the idle script', f'{memory:.0f} MB', '-', memory, 'MB', 'under', 100
    )


def compare(
    options: argparse.Namespace, ours: tuple[str, str], theirs: tuple[str, str]
) -> tuple[Cost, Cost, float]:
    """Return the medians of the script and of the tutorial's way, and the script's memory.

    The two are measured by turns.
    """
    measurements: dict[str, list[Measurement]] = {ours[0]: [], theirs[0]: []}
    for _ in range(options.runs):
        with bench(
            options.latency
        ) as azure:  # a fresh one for each run: Azurite keeps deleted files in memory
            for phase, folder in (ours, theirs):
                measurements[phase].append(azure.measure(phase, folder=folder))
    medians = {phase: median_cost(runs) for phase, runs in measurements.items()}
    return medians[ours[0]], medians[theirs[0]], max(run.memory for run in measurements[ours[0]])


def tasks(options: argparse.Namespace) -> Iterator[Row]:
    """Adding tasks, then asking how they are doing."""
    some = max(1, options.tasks // 4)
    added: list[Measurement] = []
    tutorial: list[Measurement] = []
    with bench(options.latency) as azure:
        for run in range(options.runs):
            added.append(azure.measure('add_tasks', job_id=f'job{run}', count=options.tasks))
            tutorial.append(
                azure.measure('tutorial_add_tasks', job_id=f'tutorial{run}', count=some)
            )
        azure.azure.slow_nodes(start_task=3600)  # the tasks stay where they are
        add_pool(azure.azure)
        polls = azure.measure('poll', job_id='job0')
        listing = azure.measure('tutorial_poll', job_id='job0')
    ours, theirs = median_cost(added), median_cost(tutorial).times(options.tasks / some)
    phase, shown = f'{options.tasks:,} tasks added', f'{theirs} (from {some:,} tasks)'
    most = max(measurement.cost.requests for measurement in added)
    allowed = math.ceil(options.tasks / 100) + 1
    yield Row(phase, ours, shown, theirs.seconds / ours.seconds, 'times faster', 'at least', 2.5)
    yield Row(
        'its requests',
        f'{most:,.0f}',
        f'{theirs.requests:,.0f}',
        most,
        'requests',
        'at most',
        allowed,
    )
    worst = dearest_poll(polls.requests)
    phase = f'one poll with {options.tasks:,} tasks'
    smaller = listing.cost.size / worst.size
    least = 1000 * min(1, options.tasks / 10_000)
    yield Row(phase, worst, listing.cost, smaller, 'times fewer bytes', 'at least', least)
    yield Row(
        'its requests',
        f'{worst.requests:.0f}',
        f'{listing.cost.requests:.0f}',
        worst.requests,
        '',
        'at most',
        3,
    )
    yield Row(
        'its bytes',
        f'{worst.size:,.0f}',
        f'{listing.cost.size:,.0f}',
        worst.size,
        'bytes',
        'at most',
        4096,
    )


def dearest_poll(requests: list[Any]) -> Cost:
    """Return the most that one poll takes; each begins with the task counts."""
    polls: list[list[Any]] = []
    for request in requests:
        if request.path.endswith('/taskcounts'):
            polls.append([])
        polls[-1].append(request)
    return Cost(
        max(poll[-1].started + poll[-1].seconds - poll[0].started for poll in polls),
        max(map(len, polls)),
        max(map(size_of, polls)),
    )


def add_pool(azure: LocalAzure, nodes: int = 5) -> None:
    """Add a pool with a start task."""
    machine = models.VirtualMachineConfiguration(
        image_reference=models.ImageReference(
            publisher='canonical', offer='ubuntu-24_04-lts', sku='server-gen1'
        ),
        node_agent_sku_id='batch.node.ubuntu 24.04',
    )
    pool = models.PoolAddParameter(
        id=POOL,
        vm_size='standard_a1_v2',
        virtual_machine_configuration=machine,
        target_low_priority_nodes=nodes,
        start_task=models.StartTask(command_line='/bin/true', wait_for_success=True),
    )
    azure.batch_client().pool.add(pool)


def ends(options: argparse.Namespace) -> Iterator[Row]:
    """How soon the script knows the end of a task that runs until its time has come."""
    with bench(options.latency) as azure, ThreadPoolExecutor(2 * len(QUIET)) as threads:
        add_pool(azure.azure, nodes=4 * len(QUIET))
        quiet = [
            threads.submit(delay, azure, f'quiet{n}', [seconds]) for n, seconds in enumerate(QUIET)
        ]
        busy = [
            threads.submit(delay, azure, f'busy{n}', [seconds - APART * left for left in (2, 1, 0)])
            for n, seconds in enumerate(QUIET)
        ]
        quiet_delay, busy_delay = (
            max(future.result() for future in futures) for futures in (quiet, busy)
        )
    text = f'the slowest of {len(QUIET)}'
    phase = 'last task ends, script knows it'
    yield Row(phase, text, '-', quiet_delay, 's', 'at most', 6)
    yield Row(f'another ended {APART} s before', text, '-', busy_delay, 's', 'at most', 2)


def delay(azure: Bench, job_id: str, durations: list[float]) -> float:
    """Return the seconds from the end of a job's last task until the script knows it."""
    client = azure.azure.batch_client()
    client.job.add(
        models.JobAddParameter(id=job_id, pool_info=models.PoolInformation(pool_id=POOL))
    )
    for number, seconds in enumerate(durations):
        client.task.add(
            job_id, models.TaskAddParameter(id=f'{number}', command_line=f'sleep {seconds}')
        )
    known = azure.measure('wait', job_id=job_id).ended - time.monotonic() + time.time()
    last: float = max(task.execution_info.end_time.timestamp() for task in client.task.list(job_id))
    return known - last


def whole_runs(options: argparse.Namespace) -> Iterator[Row]:
    """The script from its start to its end, with tasks that end at once."""
    costs: dict[int, Cost] = {}
    memory = 0.0
    for count in (options.whole_run // 10, options.whole_run):
        with (
            files(count, 100) as folder,
            bench(options.latency, instant_output=b'ID3' * 30) as azure,
        ):
            measurement = azure.measure('whole_run', folder=folder)
        costs[count], memory = measurement.cost, max(memory, measurement.memory)
    (few, small), (many, large) = costs.items()
    slower = large.seconds / many / (small.seconds / few)
    phase, text = f'{many:,} tasks, whole run', f'{few:,} tasks: {small}'
    yield Row(
        phase,
        f'{large}; {text}',
        '-',
        slower,
        f'times the time per task at {few:,}',
        'at most',
        1.3,
    )
    yield Row('its memory', f'{memory:.0f} MB', '-', memory, 'MB', 'under', 200)


def clips(options: argparse.Namespace) -> Iterator[Row]:
    """The five clips on this machine, through the local Azure and without it."""
    ours, theirs = [], []
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory() as output:
            command = [
                sys.executable,
                '-m',
                'tests.local_azure',
                '-y',
                '--input',
                CLIPS,
                '--output',
                output,
            ]
            ours.append(seconds_of(command))
            ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
            convert = f'{ffmpeg} -nostdin -v error -y -i {{}} -vn {output}/{{}}.mp3'
            names = '\n'.join(path.name for path in sorted(CLIPS.glob('*.mp4')))
            theirs.append(
                seconds_of(['xargs', '-P', '2', '-I', '{}', *convert.split()], names, CLIPS)
            )
    more = median(ours) - median(theirs)
    phase = 'five clips: python -m tests.local_azure -y'
    yield Row(
        phase,
        f'{median(ours):.1f} s',
        f'{median(theirs):.1f} s (xargs -P 2 ffmpeg)',
        more,
        's more',
        'at most',
        6,
    )


def seconds_of(command: list[Any], text: str = '', folder: Path = ROOT) -> float:
    """Return how long a command takes; it must succeed."""
    began = time.monotonic()
    subprocess.run(command, input=text, cwd=folder, check=True, capture_output=True, text=True)
    return time.monotonic() - began


PHASES = {function.__name__: function for function in (uploads, tasks, ends, whole_runs, clips)}


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Return the sizes."""
    parser = argparse.ArgumentParser(prog='python -m tests.benchmark', description=__doc__)
    parser.add_argument('--files', type=int, default=200, help='small files (default: %(default)s)')
    parser.add_argument(
        '--kilobytes', type=int, default=100, help='size of each (default: %(default)s)'
    )
    parser.add_argument(
        '--megabytes', type=int, default=300, help='size of the big file (default: %(default)s)'
    )
    parser.add_argument('--tasks', type=int, default=10_000, help='default: %(default)s')
    parser.add_argument(
        '--whole-run', type=int, default=2000, help='files of a whole run (default: %(default)s)'
    )
    parser.add_argument(
        '--runs', type=int, default=3, help='medians are of so many (default: %(default)s)'
    )
    parser.add_argument(
        '--latency',
        type=float,
        default=0.04,
        help='seconds added to a request (default: %(default)s)',
    )
    parser.add_argument(
        '--only', choices=PHASES, nargs='+', default=list(PHASES), help='default: all'
    )
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Print the table; return 1 if a target is missed."""
    options = parse_arguments(arguments)
    rows: list[Row] = []
    began = time.monotonic()
    for name in options.only:
        print(f'{name}...', file=sys.stderr, flush=True)
        rows += PHASES[name](options)
    print(table(rows))
    heading = (
        f'{options.latency * 1000:.0f} ms added to every request; medians of {options.runs} runs'
    )
    print(f'\n{heading}; {os.cpu_count()} cores; {time.monotonic() - began:.0f} s.')
    missed = [row for row in rows if not row.met]
    return 1 if missed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
