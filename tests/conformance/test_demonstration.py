"""What somebody meets who tries the sample: --help, --watch, --serve with a second shell."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.local_azure import LocalAzure, __main__ as command
from tests.servers import local_azure_of_a_shell

from .conftest import a_job, a_pool, a_task, wait_completed

ROOT = Path(__file__).resolve().parents[2]


def test_help_says_how_to_get_the_help_and_the_options_of_the_script(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        command.parse(['--help'])

    assert caught.value.code == 0
    shown = capsys.readouterr().out
    for words in (
        '--serve',
        '--entra',
        '--watch',
        'python -m tests.local_azure -- --help',
        'python -m tests.local_azure --serve > azure.env',
        '. azure.env',
    ):
        assert words in shown


def test_what_is_no_option_or_follows_two_hyphens_goes_to_the_script(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options, arguments = command.parse(['-y', '--watch', '--', '--help', '--serve'])

    assert (options.watch, options.serve) == (True, False)
    assert arguments == ['-y', '--help', '--serve']
    with pytest.raises(SystemExit) as caught:
        command.parse(['--serve', '-y'])
    assert caught.value.code == 2
    assert '--serve runs no script that could get -y' in capsys.readouterr().err


def test_variables_of_serve_can_be_read_by_another_shell(tmp_path: Path) -> None:
    arguments = ('-m', 'tests.local_azure', '--serve')
    variables = tmp_path / 'azure.env'
    with local_azure_of_a_shell(*arguments, folder=ROOT, variables=variables) as server:
        check = subprocess.run(
            [
                '/bin/sh',
                '-c',
                '. ./azure.env && exec "$0" "$1" --check --input "$2"',
                sys.executable,
                command.SCRIPT,
                ROOT / 'InputFiles',
            ],
            cwd=tmp_path,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0

    assert check.returncode == 0


def test_watched_nodes_arrive_one_after_the_other_and_tasks_take_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, 'NODE_INTERVAL', 0.5)
    monkeypatch.setattr(command, 'START_TASK_SECONDS', 0.1)
    with LocalAzure(task_delay=0.5) as azure:
        command.slow_down(azure)
        client = azure.batch_client()
        client.job.add(a_job())
        client.task.add('job', a_task())

        client.pool.add(a_pool(target_low_priority_nodes=3))
        wait_completed(azure, 1)
        azure.wait_until(
            lambda: all(node.state == 'idle' for node in client.compute_node.list('pool'))
        )

        booted = sorted(node.last_boot_time for node in client.compute_node.list('pool'))
        created = client.pool.get('pool').creation_time
        task = client.task.get('job', 'task').execution_info
    assert len(booted) == 3
    for number, moment in enumerate(booted):
        assert moment - created > number * timedelta(seconds=0.5)
    assert task.end_time - task.start_time > timedelta(seconds=0.5)
