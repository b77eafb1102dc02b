"""Starts two runs of the sample shortly after each other: neither may harm the other.

    python -m tests.end_to_end.random_offsets N [--at-once N] [--seed N]

N random offsets are tried for equal and for different file names and for other names in the
settings, each with and without -y. Every run must succeed in the end, with MP3s of its own videos.
"""

from __future__ import annotations

import argparse
import itertools
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg

from batch_python_tutorial_ffmpeg import output_name
from tests.local_azure import LocalAzure

from .audio import decode
from .conftest import Sample

NAMES = ('equal', 'different', 'settings')
OPTIONS: tuple[tuple[str, ...], ...] = (('-y',), ())
SECONDS = (1, 2)  # of audio in the videos of the first and of the second run
LONGEST_OFFSET = 4  # seconds; a run takes about three
OTHER_SETTINGS = {
    '_INPUT_CONTAINER_NAME': "'input2'",
    '_OUTPUT_CONTAINER_NAME': "'output2'",
    '_POOL_ID': "'Pool2'",
    '_JOB_ID': "'Job2'",
}


@dataclass
class Pair:
    """Two samples on one local Azure."""

    first: Sample
    second: Sample


def make_pair(azure: LocalAzure, folder: Path, names: str) -> Pair:
    """Return two samples with two videos each, whose lengths tell whose they are.

    `names`: the videos have 'equal' or 'different' names, or the 'settings' have other names.
    """
    pair = []
    for number, seconds in enumerate(SECONDS):
        sample = Sample(azure, folder / f'in{number}', folder / f'out{number}')
        sample.input.mkdir(parents=True)
        prefix = f'{number}-' if names == 'different' else ''
        make_video(sample.input / f'{prefix}a.mp4', seconds)
        shutil.copy(sample.input / f'{prefix}a.mp4', sample.input / f'{prefix}b.mp4')
        pair.append(sample)

    if names == 'settings':
        for setting, value in OTHER_SETTINGS.items():
            pair[1].change(setting, value)
    return Pair(*pair)


def make_video(path: Path, seconds: int) -> None:
    """Make a video with so many seconds of audio."""
    picture = ['-f', 'lavfi', '-i', f'testsrc=size=64x36:rate=10:duration={seconds}']
    sound = ['-f', 'lavfi', '-i', f'sine=frequency=440:duration={seconds}']
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), '-loglevel', 'error']
    subprocess.run([*ffmpeg, *picture, *sound, path], check=True)


def run_both(pair: Pair, offset: float, options: Sequence[str]) -> list[str]:
    """Run both, the second so many seconds after the first; return all that is wrong."""
    first = pair.first.start(*options)
    time.sleep(offset)
    second = pair.second.start(*options)
    results = [pair.first.finish(first), pair.second.finish(second)]

    wrong = []
    for sample, result, seconds in zip((pair.first, pair.second), results, SECONDS, strict=True):
        if result.returncode != 0:
            wrong.append(f'exit code {result.returncode}: {result.stdout}{result.stderr}')
        wrong.extend(wrong_mp3s(sample, seconds))
    if pair.first.jobs() or pair.first.pools():
        wrong.append(f'left: jobs {pair.first.jobs()}, pools {pair.first.pools()}')
    if not {'input', 'input2'}.isdisjoint(pair.first.containers()):
        wrong.append(f'left: containers {pair.first.containers()}')
    return wrong


def wrong_mp3s(sample: Sample, seconds: int) -> Iterator[str]:
    """Yield the MP3s of a run that are missing, or are not of its own videos."""
    for video in sample.input.iterdir():
        mp3 = sample.output / output_name(video.name)
        if not mp3.exists():
            yield f'{mp3} is missing'
        elif abs(decode(mp3).seconds - seconds) > 0.1:
            yield f'{mp3} is of another video'


@contextmanager
def new_pair(azure: LocalAzure, names: str) -> Iterator[Pair]:
    """Two samples in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        yield make_pair(azure, Path(folder), names)


def try_some(cases: Sequence[tuple[float, str, tuple[str, ...]]]) -> int:
    """Try these offsets, one after the other; return how many went wrong."""
    failures = 0
    with LocalAzure() as azure:
        for offset, names, options in cases:
            with new_pair(azure, names) as pair:
                wrong = run_both(pair, offset, options)
            if wrong:
                failures += 1
                print(f'{offset:.2f} s, {names}, {options}:', *wrong, sep='\n', flush=True)
            azure.clear()
    return failures


def main() -> int:
    """Try as many offsets as the command line asks for; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog='python -m tests.end_to_end.random_offsets')
    parser.add_argument('number', type=int, metavar='N', help='offsets for each combination')
    parser.add_argument('--at-once', type=int, default=2, metavar='N')
    parser.add_argument('--seed', type=int, default=random.randrange(1000000), metavar='N')
    arguments = parser.parse_args()
    print(f'--seed {arguments.seed}', flush=True)

    chance = random.Random(arguments.seed)
    cases = [
        (chance.uniform(0, LONGEST_OFFSET), names, options)
        for names, options in itertools.product(NAMES, OPTIONS)
        for _ in range(arguments.number)
    ]
    shares = [cases[number :: arguments.at_once] for number in range(arguments.at_once)]
    with ThreadPoolExecutor(arguments.at_once) as workers:
        failures = sum(workers.map(try_some, shares))

    print(f'{len(cases)} pairs of runs, {failures} went wrong.')
    return 1 if failures else 0


if __name__ == '__main__':
    signal.signal(signal.SIGINT, signal.default_int_handler)  # or the sample would ignore it
    sys.exit(main())
