"""`python -m tests.local_azure [--entra] [arguments of the sample]` or `python -m tests.local_azure --serve [--entra]`.

With `--entra` the sample gets no keys: it signs in with Microsoft Entra ID.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from tests.local_azure.azure import LocalAzure, script_environment

SCRIPT = Path(__file__).resolve().parents[2] / 'batch_python_tutorial_ffmpeg.py'
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _on_terminal() -> bool:
    """Whether Ctrl-C reaches this process and the sample together, as the foreground group of a terminal."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError, AttributeError):
        return False


def run_script(azure: LocalAzure, arguments: list[str]) -> int:
    """Runs the sample to its end, whatever signals come, and returns its exit code.

    On a terminal the sample shares the process group, so that it can ask its questions and gets Ctrl-C from the
    terminal itself; otherwise it has its own, and every signal is passed on to it once.
    """
    shared = _on_terminal()
    early: list[int] = []  # signals that come while it is being started
    script: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT and shared:
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
        start_new_session=not shared,
    )
    for missed in early:
        script.send_signal(missed)
    code = script.wait()
    return code if code >= 0 else 128 - code


def serve(azure: LocalAzure) -> int:
    """Prints the environment and serves until SIGINT or SIGTERM."""
    ended: list[
        int
    ] = []  # not an Event: its lock may be held by the very code that a signal handler interrupts
    for number in SIGNALS:
        signal.signal(number, lambda number, _: ended.append(number))
    azure.wait_ready()
    for name, value in azure.environment.items():
        print(
            f"export {name}='{value}'"
            if shlex.quote(value) == value
            else f'export {name}={shlex.quote(value)}'
        )
    print('Ready.', flush=True)
    while not ended:
        time.sleep(0.1)
    return 0


def main(arguments: list[str]) -> int:
    entra = '--entra' in arguments
    arguments = [argument for argument in arguments if argument != '--entra']
    with LocalAzure(entra=entra) as azure:
        if arguments == ['--serve']:
            return serve(azure)
        return run_script(azure, arguments)


if __name__ == '__main__':
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
