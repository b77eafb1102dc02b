"""The two README.md say what is so: commands run, tables are true, what is named exists."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import batch_python_tutorial_ffmpeg as sample_script
from tests.conftest import MakeVideo
from tests.servers import local_azure_of_a_shell

from .conftest import SCRIPT, TIMEOUT, Sample, mp3s_of

ROOT = SCRIPT.parent
README = (ROOT / 'README.md').read_text('utf-8')
TESTS_README = (ROOT / 'tests' / 'README.md').read_text('utf-8')
FENCED = re.compile(r'^```(\w*)\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def blocks(document: str, language: str = '') -> list[str]:
    """Return the fenced blocks of a document in one language."""
    return [block for name, block in FENCED.findall(document) if name == language]


def command_with(words: str) -> str:
    """Return the one command of the README that holds these words."""
    lines = ''.join(blocks(README)).splitlines()
    (command,) = [line for line in lines if words in line]
    return command


# --- Commands -------------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the repository, so that what the commands write does not land in it."""
    ignored = shutil.ignore_patterns('.*', '__pycache__', 'OutputFiles')
    return Path(shutil.copytree(ROOT, tmp_path / 'copy', ignore=ignored))


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command line in which `python` is this one."""
    shell = f'python() {{ "{sys.executable}" "$@"; }}\n{command}'
    return subprocess.run(
        ['bash', '-c', shell],  # noqa: S607 - the one of the user
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding='utf-8',
        timeout=TIMEOUT,
        check=False,
    )


def assert_converted_all(result: subprocess.CompletedProcess[str], folder: Path) -> None:
    videos = [path.name for path in (folder / 'InputFiles').glob('*.mp4')]

    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in (folder / 'OutputFiles').iterdir()) == mp3s_of(*videos)


def test_who_tries_it_here_has_five_mp3s(copy: Path) -> None:
    command = command_with('local_azure/requirements.txt').rpartition(' && ')[2]

    result = run(command, copy)

    assert_converted_all(result, copy)


def test_a_copy_of_the_script_runs_with_the_variables_of_a_local_azure(copy: Path) -> None:
    serve, variables = command_with('--serve').split(' > ')
    own_copy = command_with('my_copy.py')
    shutil.copy(copy / SCRIPT.name, copy / 'my_copy.py')
    arguments = serve.split()[1:]
    with local_azure_of_a_shell(*arguments, folder=copy, variables=copy / variables):
        result = run(own_copy, copy)

    assert_converted_all(result, copy)


# The commands for Azure run with a stand-in for `az`.
STAND_IN = """\
az() {
    case "$*" in
        *accountEndpoint*) echo mybatchaccount.westeurope.batch.azure.com ;;
        *keys*) echo c2VjcmV0 ;;
        *) echo something ;;
    esac
}
"""
SETTINGS_ARE_ACCEPTED = f"""\
import {SCRIPT.stem} as sample
sample.check_settings(sample.parse_arguments([]))
"""


def test_the_commands_for_azure_give_settings_that_the_script_accepts(tmp_path: Path) -> None:
    commands = [block for block in blocks(README) if re.match('az |export AZURE_|[A-Z]+=', block)]
    check = f"cd '{ROOT}'; python -c '{SETTINGS_ARE_ACCEPTED}'"

    # -u: a variable that stands in a command and is set nowhere is an error.
    result = run('\n'.join(['set -eu', STAND_IN, *commands, check]), tmp_path)

    assert result.returncode == 0, result.stderr
    assert result.stderr == ''


# --- Code -----------------------------------------------------------------------------------------


def test_each_line_of_an_excerpt_is_in_the_function_that_is_named() -> None:
    walk = re.findall(
        rf'\[`(\w+)`\]\({SCRIPT.name}\)\):\n\n```python\n(.*?)^```$', README, FENCED.flags
    )

    assert walk
    for function, excerpt in walk:
        source = inspect.getsource(getattr(sample_script, function))
        lines = {line.strip() for line in excerpt.splitlines()} - {'...'}
        assert lines <= {line.strip() for line in source.splitlines()}, function


def test_a_busy_service_is_asked_again(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')
    busy = sample.azure.fail_requests('GET', '/taskcounts', 3, status=503)

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    busy.check()


def test_the_example_of_a_test_is_the_one_above() -> None:
    example = inspect.getsource(test_a_busy_service_is_asked_again)

    assert blocks(TESTS_README, 'python') == [example]


# --- Links and tables -----------------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a document."""
    headings = re.findall('^#+ (.*)$', path.read_text('utf-8'), re.MULTILINE)
    return {re.sub(r'[^\w -]', '', heading).lower().replace(' ', '-') for heading in headings}


@pytest.mark.parametrize('document', ['README.md', 'tests/README.md'])
def test_what_is_linked_to_or_named_exists(document: str) -> None:
    text = (ROOT / document).read_text('utf-8')
    links = re.findall(r'\]\((?!https://)([^)]+)\)', text)
    named = re.findall(r'(?<![\w/])(?:tests|\.ci)/[\w./]*\w', text)

    for link in links:
        name, _, anchor = link.partition('#')
        target = (ROOT / document).parent / name
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
    for name in named:
        assert (ROOT / name).exists() or (ROOT / document).parent.joinpath(name).exists(), name


def rows(heading: str) -> list[list[str]]:
    """Return the cells of a table of the README, without the marks of code."""
    table = README.partition(f'\n| {heading} |')[2].partition('\n\n')[0]
    return [re.split(r' ?\| ?', row.replace('`', ''))[1:-1] for row in table.splitlines()[2:]]


def test_options_and_exit_codes_are_those_of_the_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv('COLUMNS', '200')
    with pytest.raises(SystemExit):
        sample_script.main(['--help'])
    description, _, options = capsys.readouterr().out.partition('\noptions:\n')

    in_help = []
    for line in options.splitlines()[1:]:
        option, text = re.split(' {2,}', line.strip())
        default = re.search(r' \(default: (.+?)\)', text)
        meaning = text.replace(default[0], '') if default else text
        in_help.append([option, meaning, default[1] if default else ''])
    exit_codes = re.findall(r'(?:: |; )(\d+) ', description.partition('Exit codes')[2])
    assert rows('Option | Meaning | Default') == in_help
    assert [row[0] for row in rows('Exit code | Meaning')] == exit_codes


def test_the_variables_of_the_settings_are_those_that_the_script_reads() -> None:
    reads = re.findall(r"^(_\w+) = os.getenv\(\s*'(\w+)'", SCRIPT.read_text('utf-8'), re.MULTILINE)

    assert rows('Setting | Variable') == [list(row) for row in reads]
