"""README's commands run as they stand there, and its tables are those of the script."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.local_azure import LocalAzure, script_environment
from tests.local_azure.azurite import cache_folder

from .conftest import SCRIPT, TIMEOUT

ROOT = SCRIPT.parent
README = (ROOT / 'README.md').read_text('utf-8')
BLOCKS = re.findall(r'^```(\w*)\n(.*?)^```$', README, re.MULTILINE | re.DOTALL)
INLINE = re.findall(r'`(python -m (?:tests\.|pytest)[^`]*)`', README)
COMMANDS = {
    line for language, block in BLOCKS if not language for line in block.splitlines()
} | set(INLINE)

INSTALL = 'python3 -m venv .venv && . .venv/bin/activate && pip install -r'
PLAIN = 'python batch_python_tutorial_ffmpeg.py'
RUN = (PLAIN, f'{PLAIN} --check', 'python -m tests.local_azure --entra -y')
RUN_ELSEWHERE = {  # as a part or with other folders, below
    f'{INSTALL} tests/local_azure/requirements.txt && python -m tests.local_azure',
    'python -m tests.local_azure --input ~/Videos --output ~/Music -y',
    'python -m tests.local_azure --serve',
    'python -m tests.media.make_pictures',
}
COLLECTED = ('python -m pytest tests/unit/test_tasks.py', 'python -m pytest -k preempted')

# They need an Azure account or a package index, take minutes, or would start these tests again.
NOT_RUN = (
    'az ',
    'ME=$(az ',
    'export AZURE_',
    'python -m pip install -r requirements.txt',
    f'{INSTALL} tests/requirements.txt && python -m pytest',
    'python -m tests.benchmark',
)
MP3S = [f'LowPriVMs-{number}.mp3' for number in range(1, 6)]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the repository, so that what the commands write does not land in it."""
    ignored = shutil.ignore_patterns('.*', '__pycache__', 'OutputFiles')
    return Path(shutil.copytree(ROOT, tmp_path / 'copy', ignore=ignored))


def run(
    command: str, folder: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command line in which `python` is this one."""
    shell = f'python() {{ "{sys.executable}" "$@"; }}; {command}'
    return subprocess.run(
        ['bash', '-c', shell],  # noqa: S607 - the one of the user
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding='utf-8',
        timeout=TIMEOUT,
        check=False,
    )


def mp3s(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob('*'))


def test_every_command_is_tried_or_known_not_to_be() -> None:
    tried = {*RUN, *RUN_ELSEWHERE, *COLLECTED}

    assert tried <= COMMANDS
    assert [command for command in COMMANDS - tried if not command.startswith(NOT_RUN)] == []


def test_the_plain_run_and_the_check_do_what_they_say(azure: LocalAzure, copy: Path) -> None:
    check = run(f'{PLAIN} --check', copy, script_environment(azure))

    assert check.returncode == 0, check.stderr
    assert not (copy / 'OutputFiles').exists()

    plain = run(PLAIN, copy, script_environment(azure))

    assert plain.returncode == 0, plain.stderr
    assert mp3s(copy / 'OutputFiles') == MP3S


@pytest.mark.parametrize(
    'command', ['python -m tests.local_azure', 'python -m tests.local_azure --entra -y']
)
def test_the_local_azure_converts_the_five_videos(copy: Path, command: str) -> None:
    result = run(command, copy)

    assert result.returncode == 0, result.stderr
    assert mp3s(copy / 'OutputFiles') == MP3S


def test_arguments_go_through_to_the_script(copy: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / 'InputFiles', tmp_path / 'Videos')
    environment = {
        **os.environ,
        'HOME': str(tmp_path),
        'XDG_CACHE_HOME': str(cache_folder().parent),
    }

    result = run(
        'python -m tests.local_azure --input ~/Videos --output ~/Music -y', copy, environment
    )

    assert result.returncode == 0, result.stderr
    assert mp3s(tmp_path / 'Music') == MP3S


def test_the_pictures_are_of_a_real_run(copy: Path) -> None:
    shutil.rmtree(copy / 'tests' / 'media' / 'pictures')

    result = run('python -m tests.media.make_pictures', copy)

    assert result.returncode == 0, result.stderr
    named = re.findall(r'!\[.*\]\((.*)\)', README)
    assert sorted(named) == sorted(
        path.relative_to(copy).as_posix() for path in copy.glob('tests/media/pictures/*')
    )
    texts = [(copy / name).read_text('utf-8') for name in named]
    for text, words in zip(
        texts, ['of&#160;5&#160;nodes&#160;ready', 'lecture-12.mp4'], strict=True
    ):
        assert words in text


@pytest.mark.parametrize('command', COLLECTED)
def test_a_selection_of_tests_selects_some(command: str) -> None:
    result = run(f'{command} --collect-only -q -n 0 -p no:cacheprovider', ROOT)

    assert result.returncode == 0, result.stdout


def test_the_options_are_those_of_the_help() -> None:
    table = README.partition('## Options and settings')[2].partition('\n## ')[0]
    described = set(re.findall(r'^\| `(-[-\w]*)', table, re.MULTILINE))
    shown = run(f'{PLAIN} --help', ROOT).stdout.partition('\noptions:')[2]
    real = set(re.findall(r'^  (?:-h, )?(-[-\w]*)', shown, re.MULTILINE)) - {'--help'}

    assert described == real


def test_the_variables_of_the_settings_are_those_that_the_script_reads() -> None:
    described = set(re.findall(r'^\| `(_\w+)` \| `(AZURE_\w+)` \|$', README, re.MULTILINE))
    reads = re.findall(r"^(_\w+) = os\.getenv\(\s*'(\w+)'", SCRIPT.read_text('utf-8'), re.MULTILINE)

    assert described == set(reads)


def test_the_exit_codes_are_those_of_the_help() -> None:
    table = README.partition('## Exit codes')[2].partition('\n## ')[0]
    described = re.findall(r'^\| (\d+) \|', table, re.MULTILINE)
    shown = re.search('^Exit codes: (.*)$', run(f'{PLAIN} --help', ROOT).stdout, re.MULTILINE)

    assert shown
    assert described == re.findall(r'(?:^|; )(\d+) ', shown[1])
