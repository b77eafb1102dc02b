"""Interrupts runs of the sample at random moments: each must clean up, and leave nothing.

    python -m tests.end_to_end.random_interrupts N [--at-once N] [--seed N]

A moment is one from the line `Sample start` on. A run that ends before its moment does not count,
and is repeated. With more runs at once than the machine has cores they are under load.

Job and pool have to be gone, and the lease given back. The input container is gone, too, with -y.
Without it, and without anybody to ask, the videos that were uploaded for nothing stay for the next
run; then the command that deletes them has to be printed.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.local_azure import LocalAzure
from tests.media.odd_videos import ODD_VIDEOS, make
from tests.screen import INTERRUPTED, TIMEOUT

from .conftest import Sample

SIGNALS = (
    (signal.SIGINT,),
    (signal.SIGTERM,),
    (signal.SIGINT, signal.SIGTERM),  # a person, and then the system
)
OPTIONS: tuple[tuple[str, ...], ...] = (('-y',), ())
LONGEST_GAP = 0.5  # seconds between two signals
START = '^Sample start'


@dataclass
class Outcome:
    """What became of one interrupted run."""

    case: str  # the signals, when and to which run
    too_late: bool  # the run had ended by itself
    problem: str  # '' if all is well


def wait_for_line(stream: IO[str] | None, pattern: str) -> None:
    """Read as far as the line with this pattern, or to the end."""
    assert stream
    for line in stream:
        if re.search(pattern, line):
            break


def interrupt(
    sample: Sample,
    after: float,
    signals: Sequence[signal.Signals],
    *options: str,
    gap: float = 0.1,
) -> Outcome:
    """Run the sample, and send it signals so many seconds after `Sample start`."""
    process = sample.start(*options)
    wait_for_line(process.stdout, START)

    time.sleep(after)
    process.send_signal(signals[0])
    for number in signals[1:]:
        time.sleep(gap)
        process.send_signal(number)
    stdout, stderr = process.communicate(timeout=TIMEOUT)

    too_late = not re.search(INTERRUPTED, stderr, re.MULTILINE)
    problem = problem_of(sample, process.returncode, stdout + stderr, options)
    if too_late and process.returncode == 0:
        problem = ''
    names = ' and '.join(number.name for number in signals)
    case = f'{names} after {after:.2f} s, gap {gap:.2f} s, {" ".join(options) or "no option"}'
    return Outcome(case, too_late, problem)


def problem_of(sample: Sample, exit_code: int, text: str, options: Sequence[str]) -> str:
    """Return what is wrong after an interrupted run, '' if nothing is."""
    wrong = []
    if exit_code != 130:
        wrong.append(f'exit code {exit_code}')
    if 'Traceback' in text or 'Error' in text:
        wrong.append('an error is printed')
    if sample.jobs() or sample.pools():
        wrong.append(f'left: jobs {sample.jobs()}, pools {sample.pools()}')
    if 'input' in sample.containers():
        wrong.extend(wrong_container(sample, text, options))
    if not lease_is_free(sample):
        wrong.append('the lease is not given back')
    return f'{", ".join(wrong)}\n{text}' if wrong else ''


def wrong_container(sample: Sample, text: str, options: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong if the input container is left."""
    with sample.azure.blob_service_client() as client:
        uploaded = list(client.get_container_client('input').list_blob_names())
    if '-y' in options:
        yield 'the input container is left, in spite of -y'
    if not uploaded:
        yield 'an empty input container is left'
    if 'az storage container delete' not in text:
        yield 'nobody is told that the input container is left'


def lease_is_free(sample: Sample) -> bool:
    """Whether the next run could begin at once."""
    if 'output' not in sample.containers():
        return True
    with sample.azure.blob_service_client() as client:
        properties = client.get_container_client('output').get_container_properties()
    return str(properties.lease.status) == 'unlocked'


@contextmanager
def samples() -> Iterator[Sample]:
    """A sample with three small videos on a local Azure of its own."""
    with LocalAzure() as azure, tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder, 'in')
        inputs.mkdir()
        first = make(ODD_VIDEOS[0], inputs)
        for name in ('b.mp4', 'c.mp4'):
            shutil.copy(first, inputs / name)
        yield Sample(azure, inputs, Path(folder, 'out'))


def seconds_of_a_run(sample: Sample) -> float:
    """Return how long a run takes from `Sample start` to its end."""
    process = sample.start('-y')
    wait_for_line(process.stdout, START)
    began = time.monotonic()
    process.communicate(timeout=TIMEOUT)
    ended = time.monotonic()
    sample.azure.clear()
    return ended - began


def interrupt_some(number: int, seed: int) -> list[Outcome]:
    """Interrupt so many runs; those that had ended before are among the outcomes, too."""
    # Not for secrets: the moments have to be the same for the same seed.
    chance = random.Random(seed)
    outcomes: list[Outcome] = []
    with samples() as sample:
        seconds = seconds_of_a_run(sample)
        while sum(not outcome.too_late for outcome in outcomes) < number:
            after = chance.uniform(0, seconds)
            gap = chance.uniform(0, LONGEST_GAP)
            signals, options = chance.choice(SIGNALS), chance.choice(OPTIONS)
            outcome = interrupt(sample, after, signals, *options, gap=gap)
            outcomes.append(outcome)
            if outcome.problem:
                print(f'{outcome.case}: {outcome.problem}', flush=True)
            sample.azure.clear()
    return outcomes


def main() -> int:
    """Interrupt the runs that the command line asks for; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog='python -m tests.end_to_end.random_interrupts')
    parser.add_argument('number', type=int, metavar='N', help='runs to interrupt')
    parser.add_argument('--at-once', type=int, default=2, metavar='N')
    parser.add_argument('--seed', type=int, default=random.randrange(1000000), metavar='N')
    options = parser.parse_args()
    print(f'--seed {options.seed}', flush=True)

    shares = [options.number // options.at_once] * options.at_once
    shares[0] += options.number % options.at_once
    seeds = range(options.seed, options.seed + options.at_once)
    with ThreadPoolExecutor(options.at_once) as workers:
        outcomes = [one for some in workers.map(interrupt_some, shares, seeds) for one in some]

    hits = sum(not outcome.too_late for outcome in outcomes)
    wrong = sum(bool(outcome.problem) for outcome in outcomes)
    ended = len(outcomes) - hits
    print(f'{hits} runs interrupted, {wrong} went wrong; {ended} had ended before.')
    return 1 if wrong else 0


if __name__ == '__main__':
    signal.signal(signal.SIGINT, signal.default_int_handler)  # or the sample would ignore it
    sys.exit(main())
