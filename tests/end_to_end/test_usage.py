"""Settings, options, folders and packages; what is wrong with them ends a run before it begins."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from batch_python_tutorial_ffmpeg import output_name
from tests.conftest import MakeVideo
from tests.local_azure import LocalAzure, script_environment

from .conftest import SCRIPT, TIMEOUT, Sample

# A sitecustomize.py that lets the import of a package fail.
NOT_INSTALLED = """
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {0!r}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)

sys.meta_path.insert(0, Finder())
"""


def assert_refused(sample: Sample, *words: str, options: tuple[str, ...] = ('-y',)) -> None:
    """Run the sample: exit code 2, one message with these words on stderr, nothing contacted."""
    result = sample.run(*options)

    assert (result.returncode, result.stdout) == (2, '')
    lines = [line for line in result.stderr.splitlines() if not line.startswith('  ')]
    assert len(lines) == 1, result.stderr  # beside commands, which have lines of their own
    assert lines[0].isprintable()
    for word in words:
        assert word in result.stderr
    assert not sample.has_contacted_azure()
    assert not sample.output.is_dir()


def test_all_wrong_settings_are_named_at_once(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')
    sample.environment = {
        'AZURE_BATCH_ACCOUNT': '<Batch account>',
        'AZURE_STORAGE_KEY': 'a key cut o',
    }

    assert_refused(sample, 'AZURE_BATCH_ACCOUNT', 'AZURE_STORAGE_KEY')


def test_an_option_that_cannot_be_is_refused(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')

    result = sample.run('--timeout=0')

    assert (result.returncode, result.stdout) == (2, '')
    assert not sample.has_contacted_azure()


def test_no_nodes_at_all_are_refused(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')

    assert_refused(sample, '--low-priority', options=('--low-priority', '0'))


def test_options_take_the_place_of_settings(sample: Sample, make_video: MakeVideo) -> None:
    for name in 'abcd':
        make_video(f'{name}.mp4')

    size = ('--dedicated', '1', '--low-priority', '2', '--vm-size', 'Standard_D2s_v3')
    result = sample.run('--keep', '--timeout', '7.5', *size)

    assert result.returncode == 0, result.stderr
    client = sample.azure.batch_client()
    pool, job = client.pool.get('LinuxFFmpegPool'), client.job.get('LinuxFFmpegJob')
    assert (pool.target_dedicated_nodes, pool.target_low_priority_nodes) == (1, 2)
    assert pool.vm_size == 'standard_d2s_v3'
    assert job.constraints.max_wall_clock_time == timedelta(minutes=37.5)


def test_a_missing_input_folder_is_refused(sample: Sample) -> None:
    sample.input = sample.input / 'missing'

    assert_refused(sample, str(sample.input))


def test_an_output_folder_that_is_a_file_is_refused(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')
    sample.output.write_text('a file')

    assert_refused(sample, str(sample.output))


def test_a_name_that_would_move_the_cursor_is_refused_and_shown_without_doing_so(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('esc\x1b[2J.mp4')

    assert_refused(sample, 'esc')


def test_the_videos_beside_the_script_are_taken_when_it_runs_in_another_folder(
    azure: LocalAzure, clips: Path, tmp_path: Path
) -> None:
    folder = tmp_path / 'elsewhere'
    folder.mkdir()

    result = subprocess.run(
        [sys.executable, SCRIPT, '-y'],
        env=script_environment(azure),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding='utf-8',
        timeout=TIMEOUT,
    )

    assert result.returncode == 0, result.stderr
    arrived = sorted(path.name for path in (folder / 'OutputFiles').iterdir())
    assert arrived == sorted(output_name(path.name) for path in clips.glob('*.mp4'))


@pytest.mark.parametrize('package', ['azure.batch', 'rich'])
def test_a_missing_package_is_one_line_with_the_pip_command(
    sample: Sample, tmp_path: Path, package: str
) -> None:
    (tmp_path / 'sitecustomize.py').write_text(NOT_INSTALLED.format(package))
    sample.environment = {'PYTHONPATH': str(tmp_path)}

    assert_refused(sample, package, 'pip install -r requirements.txt')
