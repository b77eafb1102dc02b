"""Asks azure-cli whether it would take the `az` commands that are told to people, or run in CI.

    python -m tests.azure_cli [--python PYTHON]

Only its parser is asked: names of commands and options, what is required, which values there are.
Nothing is run, nobody is signed in. PYTHON is one that has azure-cli; without it the newest is
installed for this time, 700 MB, which takes some minutes.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from .ask_parser import PARSED
from .commands import Command, in_document, in_messages, in_shell

ROOT = Path(__file__).parents[2]
README = ROOT / 'README.md'
SCRIPT = ROOT / 'batch_python_tutorial_ffmpeg.py'
DOCUMENTS = (README, ROOT / '.github' / 'CONTRIBUTING.md')
SHELL_SCRIPTS = (
    ROOT / '.github' / 'workflows' / 'live.yml',
    ROOT / '.github' / 'live_account.sh',
)
ASK_PARSER = Path(__file__).with_name('ask_parser.py')


def install(folder: Path) -> Path:
    """Install azure-cli, and return the Python that has it."""
    print('Installing azure-cli ...', flush=True)
    venv.create(folder, with_pip=True)
    python = folder / 'bin' / 'python'
    subprocess.run([python, '-m', 'pip', 'install', '--quiet', 'azure-cli'], check=True)
    return python


def complaint(python: Path, command: Command, settings: Path) -> str:
    """What azure-cli has against this command; '' if it would run it."""
    environment = {name: value for name, value in os.environ.items() if 'AZURE' not in name}
    environment['AZURE_CONFIG_DIR'] = str(settings)  # without the defaults of whoever runs this
    environment['AZURE_CORE_COLLECT_TELEMETRY'] = 'no'
    result = subprocess.run(
        [python, ASK_PARSER, *command],
        env=environment,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if result.returncode == PARSED:
        return ''
    return result.stderr.strip() or f'exit code {result.returncode}'


def all_commands() -> list[Command]:
    """The commands of all files that have some."""
    commands = in_messages(SCRIPT.read_text())
    for path in DOCUMENTS:
        commands += in_document(path.read_text())
    for path in SHELL_SCRIPTS:
        commands += in_shell(path.read_text())
    return commands


def check(python: Path, commands: list[Command], settings: Path) -> int:
    """Ask about each; return how many are wrong."""
    wrong = 0
    for command in commands:
        problem = complaint(python, command, settings)
        mark = 'WRONG' if problem else 'ok'
        print(f'{mark:6}az {shlex.join(command)}', flush=True)
        if problem:
            wrong += 1
            print(f'{problem}\n')
    return wrong


def main() -> int:
    """Check all commands; 1 if any is wrong."""
    parser = argparse.ArgumentParser(prog='python -m tests.azure_cli')
    parser.add_argument('--python', type=Path, help='one that has azure-cli')
    options = parser.parse_args()

    commands = all_commands()
    with tempfile.TemporaryDirectory() as folder:
        python = options.python or install(Path(folder, 'venv'))
        wrong = check(python, commands, Path(folder, 'settings'))
    print(f'{len(commands)} commands, {wrong} wrong.')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
