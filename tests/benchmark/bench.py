"""The local Azure, and the client processes that are measured on it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.local_azure import LocalAzure, script_environment
from tests.local_azure.http_front import Request

from .table import Cost

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Measurement:
    """What a client process reported, and what the services recorded meanwhile."""

    cost: Cost
    ended: float  # time.monotonic()
    memory: float  # MB
    connections: int  # requests at once
    requests: Sequence[Request]


class Bench:
    """A local Azure that takes longer for every request of a client."""

    def __init__(self, azure: LocalAzure) -> None:
        self.azure = azure

    def measure(self, phase: str, **arguments: object) -> Measurement:
        """Run one phase in a process of its own."""
        command = [sys.executable, '-m', 'tests.benchmark.client', phase, json.dumps(arguments)]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=script_environment(self.azure),
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise SystemExit(f'{phase} failed:\n{done.stdout}{done.stderr}')

        result = json.loads(done.stdout.splitlines()[-1])
        requests = self._requests_between(result['began'], result['ended'])
        cost = Cost(
            seconds=result['ended'] - result['began'],
            requests=len(requests),
            size=size_of(requests),
        )
        return Measurement(cost, result['ended'], result['memory'], result['connections'], requests)

    def _requests_between(self, began: float, ended: float) -> list[Request]:
        """Return the requests of clients that began in this time, in this order."""
        requests = []
        for request in list(self.azure.requests):
            if request.source == 'client' and began <= request.started <= ended:
                requests.append(request)
        requests.sort(key=when_started)
        return requests


def when_started(request: Request) -> float:
    """Return when a request began, in seconds of time.monotonic()."""
    return request.started


def size_of(requests: Iterable[Request]) -> int:
    """Return the bytes of all bodies."""
    return sum(request.bytes_in + request.bytes_out for request in requests)


def median_cost(measurements: Sequence[Measurement]) -> Cost:
    """Return the median of each part of the cost."""
    costs = [measurement.cost for measurement in measurements]
    return Cost(
        seconds=median(cost.seconds for cost in costs),
        requests=median(cost.requests for cost in costs),
        size=median(cost.size for cost in costs),
    )


@contextmanager
def bench(latency: float, instant_output: bytes | None = None) -> Iterator[Bench]:
    """A fresh local Azure that takes that many seconds longer for every request of a client."""
    with LocalAzure(instant_output=instant_output) as azure:
        azure.wait_ready()
        azure.set_latency(latency)
        yield Bench(azure)


@contextmanager
def files(count: int, size: int) -> Iterator[str]:
    """A folder of so many files of so many bytes, all zero."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            with Path(folder, f'video-{number:05}.mp4').open('wb') as file:
                file.truncate(size)
        yield folder
