"""Options, settings and packages as the process of a user has them, and --check."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from batch_python_tutorial_ffmpeg import output_name
from tests.conftest import MakeVideo
from tests.local_azure import LocalAzure, script_environment

from .conftest import SCRIPT, TIMEOUT, Sample, mp3s_of

# A sitecustomize.py that lets the import of a package fail.
NOT_INSTALLED = """
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == 'rich':
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)

sys.meta_path.insert(0, Finder())
"""


def test_wrong_usage_ends_with_2_before_anything_is_contacted_or_made(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('a.mp4')
    sample.environment = {'AZURE_BATCH_ACCOUNT': '<Batch account>'}

    result = sample.run('-y')

    assert (result.returncode, result.stdout) == (2, '')
    assert 'AZURE_BATCH_ACCOUNT' in result.stderr
    assert not sample.has_contacted_azure()
    assert not sample.output.exists()


def test_a_missing_package_is_one_line_with_the_pip_command(sample: Sample, tmp_path: Path) -> None:
    (tmp_path / 'sitecustomize.py').write_text(NOT_INSTALLED)
    sample.environment = {'PYTHONPATH': str(tmp_path)}

    result = sample.run('-y')

    assert (result.returncode, result.stdout) == (2, '')
    (line,) = result.stderr.splitlines()
    assert 'rich' in line
    assert 'pip install -r requirements.txt' in line


def test_options_take_the_place_of_settings(sample: Sample, make_video: MakeVideo) -> None:
    for name in ('a.mp4', 'b.mp4', 'c.mp4'):
        make_video(name)

    size = ('--dedicated', '1', '--low-priority', '2', '--vm-size', 'Standard_D2s_v3')
    result = sample.run('--keep', '--timeout', '7.5', *size)

    assert result.returncode == 0, result.stderr
    client = sample.azure.batch_client()
    pool, job = client.pool.get('LinuxFFmpegPool'), client.job.get('LinuxFFmpegJob')
    assert (pool.target_dedicated_nodes, pool.target_low_priority_nodes) == (1, 2)
    assert pool.vm_size == 'standard_d2s_v3'
    assert job.constraints.max_wall_clock_time == timedelta(minutes=37.5)
    for task in client.task.list('LinuxFFmpegJob'):
        no_limit = task.constraints.max_wall_clock_time
        assert no_limit is None or no_limit.days > 365


def test_the_videos_beside_the_script_are_taken_when_it_runs_in_another_folder(
    azure: LocalAzure, clips: Path, tmp_path: Path
) -> None:
    result = subprocess.run(
        [sys.executable, SCRIPT, '-y'],
        env=script_environment(azure),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding='utf-8',
        timeout=TIMEOUT,
    )

    assert result.returncode == 0, result.stderr
    arrived = sorted(path.name for path in (tmp_path / 'OutputFiles').iterdir())
    assert arrived == mp3s_of(*(path.name for path in clips.glob('*.mp4')))


def test_check_asks_both_accounts_and_makes_nothing_even_if_no_video_is_missing(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('a.mp4')
    sample.output.mkdir()
    (sample.output / output_name('a.mp4')).write_bytes(b'of an earlier run')

    result = sample.run('--check', '--missing')

    assert result.returncode == 0, result.stderr
    assert {request.service for request in sample.azure.requests} == {'batch', 'storage'}
    assert {request.method for request in sample.azure.requests} <= {'GET', 'HEAD'}
    assert (sample.containers(), sample.jobs(), sample.pools()) == ([], [], [])
