"""The two README.md say what is so: their commands run, their excerpts and tables are true."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import batch_python_tutorial_ffmpeg as sample_script
from tests.conftest import MakeVideo
from tests.local_azure import LocalAzure, script_environment
from tests.local_azure.azurite import cache_folder

from .conftest import SCRIPT, TIMEOUT, Sample

ROOT = SCRIPT.parent
README = (ROOT / 'README.md').read_text('utf-8')
TESTS_README = (ROOT / 'tests' / 'README.md').read_text('utf-8')
SCRIPT_TEXT = SCRIPT.read_text('utf-8')

FENCED = re.compile(r'^```(\w*)\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def blocks(document: str, language: str) -> list[str]:
    """Return the fenced blocks of a document in one language."""
    return [block for name, block in FENCED.findall(document) if name == language]


def section(heading: str) -> str:
    """Return what stands in the README under a heading of the second level."""
    return README.partition(f'\n## {heading}\n')[2].partition('\n## ')[0]


OPTIONS = section('Options')
SHELL_BLOCKS = ''.join(blocks(README, '') + blocks(TESTS_README, ''))

# A function that the README names, and an excerpt of it below.
SCRIPT_LINK = rf'\[`(\w+)`\]\({SCRIPT.name}\)'
WALK = re.findall(rf'{SCRIPT_LINK}\):\n\n```python\n(.*?)^```$', README, FENCED.flags)
SETTINGS_EXCERPT = blocks(README, 'python')[0]

# --- How each command is tried --------------------------------------------------------------------

PLAIN = f'python {SCRIPT.name}'
INSTALL = 'python3 -m venv .venv && . .venv/bin/activate && pip install -r'
TRY_IT = f'{INSTALL} tests/local_azure/requirements.txt && python -m tests.local_azure'
OWN_VIDEOS = 'python -m tests.local_azure --input ~/Videos --output ~/Music'
SERVE = 'python -m tests.local_azure --serve > azure.env'
OWN_COPY = '. azure.env && python my_copy.py'
PICTURES = 'python -m tests.media.make_pictures'
TRIED_BELOW = {
    TRY_IT,  # its last part
    OWN_VIDEOS,
    PICTURES,
    SERVE,
    OWN_COPY,
    PLAIN,
    f'{PLAIN} --check',
    'python -m tests.local_azure --entra -y',
}
SELECTION = re.compile(r'python -m pytest( tests/[\w./]+)?( -k \w+)?')
NOT_TRIED = {
    'python -m tests.local_azure --watch',  # tests/conformance has tests of this one,
    'python -m tests.local_azure --serve',  # and of this one
    f'{INSTALL} tests/requirements.txt && python -m pytest',  # .ci/run runs it
    f'{INSTALL} requirements.txt',  # needs a package index
    'python -m pytest --lf -n 2',  # this very run may have failed tests
    'python -m tests.azure_cli',  # needs azure-cli
    'python -m tests.benchmark',  # takes minutes, as the next two do
    'python -m tests.end_to_end.random_interrupts 200',
    'python -m tests.end_to_end.random_offsets 20',
}

# These need an Azure account. A test runs them with a stand-in for `az`.
ON_AZURE = re.compile('az |export AZURE_|[A-Z]+=')
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

MP3S = [sample_script.output_name(f'LowPriVMs-{number}.mp4') for number in range(1, 6)]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the repository, so that what the commands write does not land in it."""
    ignored = shutil.ignore_patterns('.*', '__pycache__', 'OutputFiles')
    return Path(shutil.copytree(ROOT, tmp_path / 'copy', ignore=ignored))


def run(
    command: str, folder: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command line in which `python` is this one."""
    shell = f'python() {{ "{sys.executable}" "$@"; }}\n{command}'
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


def help_of_the_script() -> str:
    """Return what --help says, each option on one line."""
    return run(f'{PLAIN} --help', ROOT, {**os.environ, 'COLUMNS': '200'}).stdout


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob('*'))


# --- Commands -------------------------------------------------------------------------------------


def test_every_command_is_tried_or_known_not_to_be() -> None:
    commands = set(SHELL_BLOCKS.splitlines()) - {''}
    on_azure = set(filter(ON_AZURE.match, commands))
    selections = set(filter(SELECTION.fullmatch, commands))

    assert commands - on_azure - selections == TRIED_BELOW | NOT_TRIED


def test_the_plain_run_and_the_check_do_what_they_say(azure: LocalAzure, copy: Path) -> None:
    check = run(f'{PLAIN} --check', copy, script_environment(azure))

    assert check.returncode == 0, check.stderr
    assert not (copy / 'OutputFiles').exists()

    plain = run(PLAIN, copy, script_environment(azure))

    assert plain.returncode == 0, plain.stderr
    assert names(copy / 'OutputFiles') == MP3S


@pytest.mark.parametrize(
    'command', [TRY_IT.rpartition(' && ')[2], 'python -m tests.local_azure --entra -y']
)
def test_the_local_azure_converts_the_five_videos(copy: Path, command: str) -> None:
    result = run(command, copy)

    assert result.returncode == 0, result.stderr
    assert names(copy / 'OutputFiles') == MP3S


def test_a_copy_of_the_script_runs_with_the_variables_of_a_local_azure(copy: Path) -> None:
    shutil.copy(copy / SCRIPT.name, copy / 'my_copy.py')
    serve = [sys.executable, *SERVE.split()[1:-2]]
    variables = copy / SERVE.split()[-1]
    with (
        variables.open('w') as file,
        subprocess.Popen(serve, cwd=copy, stdout=file, stderr=subprocess.PIPE, text=True) as server,
    ):
        assert server.stderr
        while server.stderr.readline() != 'Ready.\n':
            assert server.poll() is None

        result = run(OWN_COPY, copy)

        server.send_signal(signal.SIGINT)
    assert result.returncode == 0, result.stderr
    assert names(copy / 'OutputFiles') == MP3S


def test_arguments_go_through_to_the_script(copy: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / 'InputFiles', tmp_path / 'Videos')
    environment = {
        **os.environ,
        'HOME': str(tmp_path),
        'XDG_CACHE_HOME': str(cache_folder().parent),
    }

    result = run(OWN_VIDEOS, copy, environment)

    assert result.returncode == 0, result.stderr
    assert names(tmp_path / 'Music') == MP3S


def test_the_pictures_are_of_a_real_run(copy: Path) -> None:
    shutil.rmtree(copy / 'tests' / 'media' / 'pictures')

    result = run(PICTURES, copy)

    assert result.returncode == 0, result.stderr
    running, end = re.findall(r'!\[.*\]\((.*)\)', README)
    assert names(copy / 'tests' / 'media' / 'pictures') == [Path(end).name, Path(running).name]
    running_text = (copy / running).read_text('utf-8')
    end_text = (copy / end).read_text('utf-8')
    assert 'Tasks:&#160;8&#160;of&#160;12&#160;done' in running_text
    assert 'Warning' not in running_text
    assert 'lecture-12.mp4' in end_text


def test_selections_of_tests_select_some() -> None:
    commands = list(filter(SELECTION.fullmatch, SHELL_BLOCKS.splitlines()))

    assert commands
    for command in commands:
        if 'tests/' in command:
            result = run(f'{command} --collect-only -q -n 0 -p no:cacheprovider', ROOT)
            assert result.returncode == 0, result.stdout
        else:  # to collect all tests takes long
            word = command.rpartition(' ')[2]
            tests = ''.join(path.read_text('utf-8') for path in (ROOT / 'tests').rglob('test_*.py'))
            assert re.search(rf'^def test_\w*{word}', tests, re.MULTILINE), command


def test_the_commands_for_azure_give_settings_that_the_script_accepts(tmp_path: Path) -> None:
    commands = [block for block in blocks(README, '') if ON_AZURE.match(block)]
    check = f"cd '{ROOT}'; python -c '{SETTINGS_ARE_ACCEPTED}'"

    # -u: a variable that stands in a command and is set nowhere is an error.
    result = run('\n'.join(['set -eu', STAND_IN, *commands, check]), tmp_path)

    assert result.returncode == 0, result.stderr
    assert result.stderr == ''


# --- Excerpts -------------------------------------------------------------------------------------


def missing_pieces(excerpt: str, text: str) -> list[str]:
    """Return which pieces of an excerpt, separated by `...`, do not stand in a text in this order.

    A piece is some lines, one below the other. In the text they may be indented more.
    """
    rest = text.splitlines()
    missing = []
    for piece in re.split(r'^ *\.\.\.\n', excerpt, flags=re.MULTILINE):
        wanted = textwrap.dedent(piece).splitlines()
        start = find_lines(wanted, rest)
        if start is None:
            missing.append(piece)
        else:
            rest = rest[start + len(wanted) :]
    return missing


def find_lines(wanted: list[str], lines: list[str]) -> int | None:
    """Return where these lines begin among others, or None."""
    for start in range(len(lines)):
        found = '\n'.join(lines[start : start + len(wanted)])
        if textwrap.dedent(found).splitlines() == wanted:
            return start
    return None


def test_every_excerpt_is_checked() -> None:
    in_the_walk = [excerpt for _, excerpt in WALK]

    assert in_the_walk
    assert blocks(README, 'python') == [SETTINGS_EXCERPT, *in_the_walk]


@pytest.mark.parametrize(('function', 'excerpt'), WALK, ids=[function for function, _ in WALK])
def test_an_excerpt_of_a_function_is_in_that_function(function: str, excerpt: str) -> None:
    source = inspect.getsource(getattr(sample_script, function))

    assert missing_pieces(excerpt, source) == []


def test_the_excerpt_of_the_settings_is_in_the_script() -> None:
    assert missing_pieces(SETTINGS_EXCERPT, SCRIPT_TEXT) == []


def test_functions_that_are_named_exist() -> None:
    named = re.findall(SCRIPT_LINK, README)

    assert named
    for name in named:
        assert hasattr(sample_script, name), name


def test_a_busy_service_is_asked_again(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')
    busy = sample.azure.fail_requests('GET', '/taskcounts', 3, status=503)

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    busy.check()


def test_the_example_of_a_test_is_the_one_above() -> None:
    example = inspect.getsource(test_a_busy_service_is_asked_again)

    assert blocks(TESTS_README, 'python') == [example]


# --- Words, links and tables ----------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a document."""
    headings = re.findall('^#+ (.*)$', path.read_text('utf-8'), re.MULTILINE)
    return {re.sub(r'[^\w -]', '', heading).lower().replace(' ', '-') for heading in headings}


@pytest.mark.parametrize('document', ['README.md', 'tests/README.md'])
def test_what_is_linked_to_exists(document: str) -> None:
    text = (ROOT / document).read_text('utf-8')
    links = re.findall(r'\]\(([^)]+)\)', text)

    assert links
    for link in links:
        if link.startswith('https://'):
            continue
        name, _, anchor = link.partition('#')
        target = (ROOT / document).parent / name
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_files_that_the_tests_readme_names_exist() -> None:
    named = re.findall(r'`((?:tests|\.ci)/[^ `]+)`', TESTS_README)

    assert named
    for name in named:
        assert (ROOT / name).exists(), name


def test_the_options_are_those_of_the_help() -> None:
    described = re.findall(r'^\| `(-.+?)` \| (.+) \| (.*?) ?\|$', OPTIONS, re.MULTILINE)
    described = [(option, text, default.replace('`', '')) for option, text, default in described]
    options = help_of_the_script().partition('\noptions:\n')[2]

    real = []
    for option, text in re.findall(r'^  (-\S+(?: [A-Z]+)?) {2,}(.+)$', options, re.MULTILINE):
        default = re.search(r' \(default: (.+)\)', text)
        if default:
            real.append((option, text.replace(default[0], ''), default[1]))
        else:
            real.append((option, text, ''))
    assert described == real


def test_the_exit_codes_are_those_of_the_help() -> None:
    described = re.findall(r'^\| (\d+) \|', OPTIONS, re.MULTILINE)
    line = help_of_the_script().partition('\nExit codes: ')[2].partition('\n')[0]

    assert described
    assert described == re.findall(r'(?:^|; )(\d+) ', line)


def test_the_variables_of_the_settings_are_those_that_the_script_reads() -> None:
    described = re.findall(r'^\| `(_\w+)` \| `(AZURE_\w+)` \|$', OPTIONS, re.MULTILINE)
    reads = re.findall(r"^(_\w+) = os.getenv\(\s*'(\w+)'", SCRIPT_TEXT, re.MULTILINE)

    assert described == reads
