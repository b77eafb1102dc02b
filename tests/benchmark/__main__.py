"""Measures each phase on the local Azure, and prints a table of the medians beside the targets.

    python -m tests.benchmark

The sample and the tutorial's way run in processes of their own, so that they do not share an
interpreter with the services. The limit is what the latency alone takes: requests x latency /
connections. The exit code is 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from . import phases
from .table import Row, table

PHASES: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {
    'many_uploads': phases.many_uploads,
    'uploads': phases.uploads,
    'big_upload': phases.big_upload,
    'tasks': phases.tasks,
    'ends': phases.ends,
    'whole_runs': phases.whole_runs,
    'clips': phases.clips,
}


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the sizes, and the phases to measure."""
    parser = argparse.ArgumentParser(
        prog='python -m tests.benchmark',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    def add(option: str, default: int, text: str) -> None:
        parser.add_argument(option, type=int, default=default, help=f'{text} (default: {default})')

    add('--many-files', 1000, 'small files, beside the limit')
    add('--files', 200, "small files, beside the tutorial's way")
    add('--megabytes', 300, 'size of the big file')
    add('--tasks', 10_000, 'tasks that are added, then asked for')
    add('--whole-run', 10_000, 'files of a whole run, beside a run with a tenth of them')
    add('--runs', 3, 'medians are of so many; whole runs and ends are measured once')
    parser.add_argument(
        '--latency',
        type=float,
        default=0.04,
        help='seconds added to a request (default: %(default)s)',
    )
    parser.add_argument('--only', choices=PHASES, nargs='+', default=PHASES, help='default: all')
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Print the table; return 1 if a target is missed."""
    options = parse_arguments(arguments)
    began = time.monotonic()

    rows: list[Row] = []
    for name in options.only:
        print(f'{name}...', file=sys.stderr, flush=True)
        measure = PHASES[name]
        rows += measure(options)
    print(table(rows))

    seconds = time.monotonic() - began
    print(
        f'\n{options.latency * 1000:.0f} ms added to every request; '
        f'medians of {options.runs} runs; {os.cpu_count()} cores; {seconds:.0f} s.'
    )
    return 0 if all(row.met for row in rows) else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
