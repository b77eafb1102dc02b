"""The task command tells sound videos from damaged ones.

It runs as on a node: in a folder of its own, with a real ffmpeg on the PATH.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import pytest

import batch_python_tutorial_ffmpeg as sample
from tests.end_to_end.audio import decode, streams

from .odd_videos import ODD_VIDEOS, MissingFeatureError, OddVideo, Verdict, make

TASK_COMMAND = sample.task_command()

PRINTS_MANY_ERRORS = """#!/bin/bash
for ((line = 1; line <= 20000; line++)); do echo "error $line"; done >&2
echo something >output.mp3
"""
PRINTS_AN_ERROR = '#!/bin/bash\necho something >output.mp3\necho some error >&2\n'
IS_KILLED = '#!/bin/bash\necho something >output.mp3\nkill -KILL $$\n'

BY_NAME = {video.name: video for video in ODD_VIDEOS}


def with_verdict(verdict: Verdict) -> pytest.MarkDecorator:
    """Return the parameters of a test that runs on each video with this verdict."""
    videos = [video for video in ODD_VIDEOS if video.verdict is verdict]
    return pytest.mark.parametrize('video', videos, ids=[video.name for video in videos])


def describe(path: Path) -> str:
    """Return what ffmpeg says of a file: tags, chapters, streams."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), '-nostdin', '-i', path]
    return subprocess.run(command, check=False, capture_output=True, encoding='utf-8').stderr


@dataclass
class TaskFolder:
    """The folder in which a task runs, with a folder of programs beside it."""

    path: Path
    programs: Path

    @property
    def mp3(self) -> Path:
        return self.path / 'output.mp3'

    def put(self, video: OddVideo) -> None:
        """Make the video and put it where the task expects it; skip the test where it cannot be."""
        try:
            made = make(video, self.path)
        except MissingFeatureError as error:
            pytest.skip(str(error))
        made.rename(self.path / 'input.mp4')

    def replace_ffmpeg(self, script: str) -> None:
        """Put a script in the place of ffmpeg."""
        ffmpeg = self.programs / 'ffmpeg'
        ffmpeg.unlink()
        ffmpeg.write_text(script)
        ffmpeg.chmod(0o755)

    def run(
        self, command: str = TASK_COMMAND, stderr: int = subprocess.PIPE
    ) -> subprocess.CompletedProcess[str]:
        """Run a task's command line."""
        return subprocess.run(
            shlex.split(command),
            cwd=self.path,
            env={**os.environ, 'PATH': f'{self.programs}:{os.environ["PATH"]}'},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            check=False,
            encoding='utf-8',
        )


@pytest.fixture
def task(tmp_path: Path) -> TaskFolder:
    folder = TaskFolder(tmp_path / 'wd', tmp_path / 'bin')
    folder.path.mkdir()
    folder.programs.mkdir()
    (folder.programs / 'ffmpeg').symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    return folder


@pytest.fixture
def m4a_command(monkeypatch: pytest.MonkeyPatch) -> str:
    """The command line with another output format in the settings."""
    m4a = {'extension': '.m4a', 'ffmpeg_options': '-vn'}
    monkeypatch.setattr(sample, '_OUTPUT_FORMAT', m4a)
    return sample.task_command()


@with_verdict(Verdict.SOUND)
def test_a_sound_video_is_converted_without_a_word(task: TaskFolder, video: OddVideo) -> None:
    task.put(video)

    result = task.run()

    assert (result.returncode, result.stdout, result.stderr) == (0, '', '')
    sound = decode(task.mp3)
    assert sound.seconds == pytest.approx(video.seconds, abs=0.1)
    assert sound.loudest > 1000
    pictures = [line for line in streams(task.mp3).splitlines() if 'Video' in line]
    assert len(pictures) == video.cover
    assert all('(attached pic)' in picture for picture in pictures)


@with_verdict(Verdict.DAMAGED)
def test_a_damaged_video_ends_with_3_and_leaves_an_mp3_as_far_as_it_goes(
    task: TaskFolder, video: OddVideo
) -> None:
    task.put(video)

    result = task.run()

    assert result.returncode == 3
    assert result.stderr.strip()
    assert 1 < decode(task.mp3).seconds < video.seconds - 0.5


@with_verdict(Verdict.UNNOTICED)
def test_lost_fragments_are_not_noticed(task: TaskFolder, video: OddVideo) -> None:
    """A limit that the README names: if this fails, ffmpeg has learnt to notice them."""
    task.put(video)

    result = task.run()

    assert (result.returncode, result.stdout, result.stderr) == (0, '', '')
    assert 1 < decode(task.mp3).seconds < video.seconds - 0.5


@with_verdict(Verdict.FAILED)
def test_a_video_of_which_nothing_can_be_had_leaves_no_mp3(
    task: TaskFolder, video: OddVideo
) -> None:
    task.put(video)

    result = task.run()

    assert result.returncode not in (0, 3)
    assert result.stderr.strip()
    assert not task.mp3.exists()


def test_title_and_artist_are_kept(task: TaskFolder) -> None:
    task.put(BY_NAME['tags'])

    task.run()

    words = describe(task.mp3).split()
    assert 'Prélude' in words
    assert 'Ångström' in words


def test_chapters_are_kept(task: TaskFolder) -> None:
    task.put(BY_NAME['chapters'])

    task.run()

    described = describe(task.mp3)
    assert described.count('Chapter #') == 2
    assert 'The beginning' in described
    assert 'The end' in described


@pytest.mark.parametrize('name', ['plain', 'cover-beside-pictures', 'chapters', 'surround-5.1'])
def test_another_output_format_without_video_works(
    task: TaskFolder, m4a_command: str, name: str
) -> None:
    task.put(BY_NAME[name])

    result = task.run(m4a_command)

    assert (result.returncode, result.stderr) == (0, '')
    m4a = task.path / 'output.m4a'
    assert decode(m4a).seconds == pytest.approx(1, abs=0.1)
    assert 'Video' not in streams(m4a)
    assert not task.mp3.exists()


def test_a_failed_conversion_to_another_format_leaves_nothing(
    task: TaskFolder, m4a_command: str
) -> None:
    task.put(BY_NAME['no-audio'])

    result = task.run(m4a_command)

    assert result.returncode not in (0, 3)
    assert not list(task.path.glob('output*'))


@pytest.mark.parametrize('name', ['plain', 'cut-faststart', 'no-audio'])
def test_the_video_leaves_the_disk_whatever_came_of_it(task: TaskFolder, name: str) -> None:
    task.put(BY_NAME[name])

    task.run()

    assert not (task.path / 'input.mp4').exists()


def test_of_many_errors_the_last_hundred_are_kept(task: TaskFolder) -> None:
    task.replace_ffmpeg(PRINTS_MANY_ERRORS)

    result = task.run()

    assert result.returncode == 3
    assert task.mp3.exists()
    assert result.stderr.splitlines() == [f'error {line}' for line in range(19901, 20001)]


def test_a_killed_ffmpeg_leaves_no_mp3(task: TaskFolder) -> None:
    task.replace_ffmpeg(IS_KILLED)

    result = task.run()

    assert result.returncode == 128 + 9
    assert not task.mp3.exists()


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='needs /dev/full, which Linux has')
def test_an_error_that_a_full_disk_swallows_still_counts(task: TaskFolder) -> None:
    task.replace_ffmpeg(PRINTS_AN_ERROR)
    (task.path / 'errors.txt').symlink_to('/dev/full')

    with Path('/dev/full').open('w') as full_disk:
        result = task.run(stderr=full_disk.fileno())

    assert result.returncode == 3
