"""The command lines of the nodes, run with stand-ins for ffmpeg and apt-get."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

import batch_python_tutorial_ffmpeg as sample

MP3 = sample.output_name('output')  # on a node


def put_program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f'#!/bin/bash\n{script}\n')
    path.chmod(0o755)


def run(command: str, folder: Path, path: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command line as a node does: in a folder of its own, without a shell."""
    return subprocess.run(
        shlex.split(command), cwd=folder, env={'PATH': path}, capture_output=True, check=False
    )


# --- Tasks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('ffmpeg', 'exit_code', 'is_kept', 'words'),
    [
        (f'echo MP3 > {MP3}', 0, True, b''),
        (f'echo MP3 > {MP3}; echo moov >&2', 3, True, b'moov'),
        (f'echo MP3 > {MP3}; printf "a\\xff" >&2', 3, True, b'a\xff'),
        ('echo bad >&2; exit 1', 1, False, b'bad'),
        (f'echo half > {MP3}; exit 69', 69, False, b''),
        (f'echo MP3 > {MP3}; echo "x: chapter track not found" >&2', 0, True, b''),
        (f'echo MP3 > {MP3}; echo "missing mandatory atoms, x" >&2', 0, True, b''),
        (f'echo MP3 > {MP3}; echo -e "a\\nchapter track not found" >&2', 3, True, b'a'),
    ],
    ids=['sound', 'damaged', 'odd words', 'failed', 'half', 'chapters', 'atoms', 'chapters too'],
)
def test_a_task_tells_sound_damaged_and_failed_apart(
    ffmpeg: str, exit_code: int, is_kept: bool, words: bytes, tmp_path: Path
) -> None:
    put_program(tmp_path, 'ffmpeg', ffmpeg)

    ended = run(sample.task_command(), tmp_path, f'{tmp_path}:{os.environ["PATH"]}')

    assert ended.returncode == exit_code
    assert (tmp_path / MP3).exists() == is_kept
    assert ended.stderr == words


def test_a_task_keeps_the_last_words_of_ffmpeg_and_not_the_video(tmp_path: Path) -> None:
    put_program(tmp_path, 'ffmpeg', f'cat input.mp4 > {MP3}; seq 100000 >&2')
    (tmp_path / 'input.mp4').write_bytes(b'a video')

    ended = run(sample.task_command(), tmp_path, f'{tmp_path}:{os.environ["PATH"]}')

    assert ended.stderr.splitlines() == [b'%d' % number for number in range(99_901, 100_001)]
    assert not (tmp_path / 'input.mp4').exists()
    assert (tmp_path / MP3).read_bytes() == b'a video'


# --- Start task -----------------------------------------------------------------------------------


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """The programs of a node, where a pause takes no time. apt-get is locked."""
    put_program(tmp_path, 'sleep', '')
    put_program(tmp_path, 'apt-get', 'echo "$@" >> apt-get.log; exit 100')
    return tmp_path


def calls(node: Path) -> list[str]:
    log = node / 'apt-get.log'
    return log.read_text().splitlines() if log.exists() else []


def test_a_node_that_has_ffmpeg_installs_nothing(node: Path) -> None:
    put_program(node, 'ffmpeg', '')

    assert run(sample._START_TASK_COMMAND, node, str(node)).returncode == 0

    assert calls(node) == []


def test_a_node_tries_again_while_something_else_is_installed(node: Path) -> None:
    install = """
        echo "$@" >> apt-get.log
        tries=0; while read; do tries=$((tries + 1)); done < apt-get.log
        [ $1 = install ] && [ $tries -gt 6 ]"""
    put_program(node, 'apt-get', install)

    assert run(sample._START_TASK_COMMAND, node, str(node)).returncode == 0

    assert len(calls(node)) == 8
    assert calls(node)[-2:] == ['update', 'install -y --no-install-recommends ffmpeg']


def test_a_node_that_cannot_install_ffmpeg_fails_in_the_end(node: Path) -> None:
    assert run(sample._START_TASK_COMMAND, node, str(node)).returncode == 1

    assert len(calls(node)) == 40
