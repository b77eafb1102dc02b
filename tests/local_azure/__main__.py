"""`python -m tests.local_azure`: runs the sample on the local Azure, or serves other clients."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from tests.local_azure.azure import LocalAzure, script_environment
from tests.local_azure.azurite import AzuriteError

SCRIPT = Path(__file__).resolve().parents[2] / 'batch_python_tutorial_ffmpeg.py'
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
OPTIONS = ('-h', '--help', '--serve', '--entra', '--watch')

# With --watch: nodes arrive one after the other, and each conversion takes a moment.
WATCHED_NODES = 20  # later ones do not wait
NODE_INTERVAL = 2.0  # seconds
START_TASK_SECONDS = 2.0
TASK_SECONDS = 4.0

DESCRIPTION = f"""\
Runs {SCRIPT.name} without an Azure account: on Azurite and a local Batch service,
which end with this command. It passes terminal, signals and exit code through."""

EPILOG = f"""\
All other arguments go to the script, and what follows "--" goes to it unseen:
  python -m tests.local_azure -- --help
  python -m tests.local_azure --watch --input ~/Videos --output ~/Music

For any other client of Azure Batch and Azure Storage: in one terminal
  python -m tests.local_azure --serve > azure.env
and, when it has said "Ready.", in another
  . azure.env
  python {SCRIPT.name}"""

FAREWELL = (
    'The local Azure has ended: everything was on this machine, nothing is billed, and its '
    'storage, pool and job are gone.'
)


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options of the local Azure, and the arguments of the script."""
    parser = argparse.ArgumentParser(
        prog='python -m tests.local_azure',
        usage='%(prog)s [--entra] [--watch] [--serve | arguments of the script]',
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--serve',
        action='store_true',
        help='print the variables that clients need, as lines for a shell, and serve until Ctrl-C',
    )
    parser.add_argument(
        '--entra',
        action='store_true',
        help='no keys: clients sign in with Microsoft Entra ID, as a managed identity',
    )
    parser.add_argument(
        '--watch',
        action='store_true',
        help='take about 20 seconds for five videos, so that one sees what happens',
    )

    own = []
    scripts = []
    for position, argument in enumerate(arguments):
        if argument == '--':
            scripts += arguments[position + 1 :]
            break
        if argument in OPTIONS:
            own.append(argument)
        else:
            scripts.append(argument)

    options = parser.parse_args(own)
    if options.serve and scripts:
        parser.error(f'--serve runs no script that could get {scripts[0]}')
    return options, scripts


def main(arguments: list[str]) -> int:
    options, script_arguments = parse(arguments)
    task_delay = TASK_SECONDS if options.watch else 0.0
    with LocalAzure(entra=options.entra, task_delay=task_delay) as azure:
        if options.watch:
            slow_down(azure)
        if options.serve:
            return serve(azure)
        code = run_script(azure, script_arguments)
    print(FAREWELL, file=sys.stderr)
    return code


def slow_down(azure: LocalAzure) -> None:
    """The nodes to come arrive one after the other."""
    for number in range(WATCHED_NODES):
        seconds = (number + 1) * NODE_INTERVAL
        azure.slow_nodes(creating=seconds, start_task=START_TASK_SECONDS, count=1)


def run_script(azure: LocalAzure, arguments: list[str]) -> int:
    """Runs the sample to its end, whatever signals come, and returns its exit code.

    On a terminal the sample shares the process group, so that it can ask its questions and gets
    Ctrl-C from the terminal itself; otherwise it has its own, and every signal is passed on to it
    once.
    """
    shares_terminal = is_foreground()
    early: list[int] = []  # signals that come while it is being started
    script: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT and shares_terminal:
            return
        if script:
            script.send_signal(number)
        else:
            early.append(number)

    for number in SIGNALS:
        signal.signal(number, pass_on)
    script = subprocess.Popen(
        [sys.executable, SCRIPT, *arguments],
        env=script_environment(azure),
        start_new_session=not shares_terminal,
    )
    for missed in early:
        script.send_signal(missed)

    code = script.wait()
    if code < 0:  # a signal
        return 128 - code
    return code


def is_foreground() -> bool:
    """Whether Ctrl-C reaches this process and the sample together, as the terminal's group."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError, AttributeError):
        return False


def serve(azure: LocalAzure) -> int:
    """Prints the environment and serves until SIGINT, SIGTERM or SIGHUP.

    Standard output gets nothing but the lines for a shell, all of them before "Ready." appears.
    """
    ended: list[int] = []  # no Event: the code that a signal interrupts may hold its lock

    def end(number: int, _: FrameType | None) -> None:
        ended.append(number)

    for number in SIGNALS:
        signal.signal(number, end)
    azure.wait_ready()
    for name, value in azure.environment.items():
        print(f'export {name}={in_quotes(value)}')
    sys.stdout.flush()
    print('Ready.', file=sys.stderr, flush=True)
    while not ended:
        time.sleep(0.1)
    return 0


def in_quotes(value: str) -> str:
    """The value as a word of a shell."""
    escaped = value.replace("'", "'\\''")
    return f"'{escaped}'"


if __name__ == '__main__':
    try:
        sys.exit(main(sys.argv[1:]))
    except AzuriteError as error:
        sys.exit(f'Error: {error}')
    except KeyboardInterrupt:
        sys.exit(130)
