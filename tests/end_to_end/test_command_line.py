"""`python -m tests.local_azure` passes exit codes and signals through and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.conftest import address_of
from tests.local_azure.__main__ import FAREWELL
from tests.screen import CTRL_C, TIMEOUT, Screen

ROOT = Path(__file__).resolve().parents[2]
# Stands in for the sample: tells what it got, then does as it was told.
SCRIPT = """
import os, signal, sys, time
def on_signal(number, frame):
    os.write(1, f'got {signal.Signals(number).name}\\n'.encode())  # print() may be under way
    sys.exit(130)
signal.signal(signal.SIGINT, on_signal)
signal.signal(signal.SIGTERM, on_signal)
variables = sorted(name for name in os.environ if name.startswith('AZURE_'))
print('arguments', sys.argv[1:], variables, flush=True)
if 'exit' in sys.argv:
    sys.exit(7)
if 'kill' in sys.argv:
    os.kill(os.getpid(), 9)
print('waiting', flush=True)
time.sleep(600)
"""
VARIABLES = (
    'AZURE_BATCH_ACCOUNT',
    'AZURE_BATCH_ACCESS_KEY',
    'AZURE_BATCH_ENDPOINT',
    'AZURE_STORAGE_ACCOUNT',
    'AZURE_STORAGE_KEY',
    'AZURE_STORAGE_SERVICE_ENDPOINT',
)
RUNNER = """
import sys
from pathlib import Path
from tests.local_azure import __main__ as command
command.SCRIPT = Path(sys.argv[1])
sys.exit(command.main(sys.argv[2:]))
"""


@pytest.fixture
def temporary(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment whose temporary folder is watched: it must be empty again in the end."""
    folder = tmp_path / 'temporary'
    folder.mkdir()
    yield {**os.environ, 'TMPDIR': str(folder), 'PYTHONPATH': str(ROOT)}
    wait_for(lambda: not list(folder.iterdir()), 'an empty temporary folder')
    assert not processes_in(folder)


def processes_in(folder: Path) -> list[int]:
    """Processes that have this folder in their command line, environment or working directory."""
    found = []
    for process in Path('/proc').glob('[0-9]*'):
        try:
            text = (process / 'cmdline').read_bytes() + (process / 'environ').read_bytes()
        except OSError:
            continue
        if str(folder).encode() in text and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found


def wait_for(condition: object, what: str) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, f'waited in vain for {what}'
        time.sleep(0.02)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / 'script.py'
    path.write_text(SCRIPT)
    return path


def start(environment: dict[str, str], script: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, '-c', RUNNER, str(script), *arguments],
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=ROOT,
    )


def read_until_waiting(process: subprocess.Popen[str]) -> None:
    assert process.stdout
    while process.stdout.readline() != 'waiting\n':
        assert process.poll() is None


def test_arguments_keys_and_the_end_by_a_signal_go_through(
    temporary: dict[str, str], script: Path
) -> None:
    with start(temporary, script, 'kill', '--input', 'a b') as process:
        output, _ = process.communicate(timeout=TIMEOUT)

    assert process.returncode == 128 + signal.SIGKILL
    assert "arguments ['kill', '--input', 'a b']" in output
    assert all(name in output for name in VARIABLES)


def test_entra_gives_the_script_an_identity_and_no_key_and_its_exit_code_goes_through(
    temporary: dict[str, str], script: Path
) -> None:
    with start({**temporary, 'AZURE_STORAGE_KEY': 'outer'}, script, '--entra', 'exit') as process:
        output, _ = process.communicate(timeout=TIMEOUT)

    assert process.returncode == 7
    assert "arguments ['exit']" in output
    assert 'AZURE_BATCH_ENDPOINT' in output
    assert 'KEY' not in output


def test_sigterm_is_passed_on_once_and_waited_for(temporary: dict[str, str], script: Path) -> None:
    with start(temporary, script) as process:
        read_until_waiting(process)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=TIMEOUT)

    assert output == f'got SIGTERM\n{FAREWELL}\n'
    assert process.returncode == 130


def test_ctrl_c_on_a_terminal_arrives_once(temporary: dict[str, str], script: Path) -> None:
    screen = Screen([sys.executable, '-c', RUNNER, str(script)], temporary, ROOT)
    screen.wait_for('^waiting')

    screen.type(CTRL_C)
    exit_code = screen.finish()
    screen.close()

    assert exit_code == 130
    assert screen.output.count('got SIGINT') == 1


def test_nothing_survives_a_kill(temporary: dict[str, str], script: Path) -> None:
    with start(temporary, script) as process:
        read_until_waiting(process)
        folder = Path(temporary['TMPDIR'])
        assert processes_in(folder)

        process.kill()
        process.wait()
        for survivor in _scripts(script):  # the sample itself is not the wrapper's to kill any more
            os.kill(survivor, signal.SIGKILL)

    wait_for(lambda: not processes_in(folder), 'the end of all processes')


def test_tasks_do_not_survive_a_kill_either(temporary: dict[str, str]) -> None:
    program = """
from tests.local_azure import LocalAzure
from tests.conformance.conftest import a_job, a_pool, a_task
azure = LocalAzure()
azure.start()
client = azure.batch_client()
client.pool.add(a_pool(target_dedicated_nodes=1))
client.job.add(a_job())
client.task.add('job', a_task(command_line='bash -c "touch started; sleep 86398 & wait"'))
azure.wait_until(lambda: list(azure.root.glob('nodes/*/tasks/workitems/job/job-1/task/wd/started')))
print('waiting', flush=True)
azure.wait_until(lambda: False, 60)
"""
    folder = Path(temporary['TMPDIR'])
    with subprocess.Popen(
        [sys.executable, '-c', program], env=temporary, text=True, stdout=subprocess.PIPE
    ) as process:
        read_until_waiting(process)

        process.kill()

    wait_for(lambda: not processes_in(folder), 'the end of all processes')


def _scripts(script: Path) -> list[int]:
    return [
        pid
        for pid in processes_in(script)
        if f'{script}\0'.encode() in Path(f'/proc/{pid}/cmdline').read_bytes()
    ]


def test_serve_prints_the_environment_and_serves_until_interrupted(
    temporary: dict[str, str],
) -> None:
    command = [sys.executable, '-m', 'tests.local_azure', '--serve', '--entra']
    with subprocess.Popen(
        command,
        env=temporary,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    ) as process:
        assert process.stdout and process.stderr
        while process.stderr.readline() != 'Ready.\n':
            assert process.poll() is None
        lines = ''.join(process.stdout.readline() for _ in range(7))
        values = dict(re.findall(r"export (\w+)='(.*)'\n", lines))
        endpoints = [
            address_of(value) for name, value in values.items() if name.endswith('ENDPOINT')
        ]
        for endpoint in endpoints:
            socket.create_connection(endpoint, 5).close()
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 0
        assert process.stdout.read() == ''

    assert len(values) == 7
    for endpoint in endpoints:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(endpoint, 5)
