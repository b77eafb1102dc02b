"""The task command tells sound videos from damaged ones.

It runs as on a node: in a folder of its own, with a real ffmpeg on the PATH.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import pytest

import batch_python_tutorial_ffmpeg as sample
from tests.end_to_end.audio import decode

from .odd_videos import ODD_VIDEOS, MissingFeatureError, OddVideo, Verdict, make

TASK_COMMAND = sample.task_command()
PRINTS_AN_ERROR = f'#!/bin/bash\necho something >{sample.output_name("output")}\necho error >&2\n'

BY_NAME = {video.name: video for video in ODD_VIDEOS}


def with_verdict(verdict: Verdict) -> pytest.MarkDecorator:
    """Return the parameters of a test that runs on each video with this verdict."""
    videos = [video for video in ODD_VIDEOS if video.verdict is verdict]
    return pytest.mark.parametrize('video', videos, ids=[video.name for video in videos])


@dataclass
class TaskFolder:
    """The folder in which a task runs, with a folder of programs beside it."""

    path: Path
    programs: Path

    @property
    def video(self) -> Path:
        return self.path / 'input.mp4'

    @property
    def output(self) -> Path:
        return self.path / sample.output_name('output')

    def put(self, video: OddVideo) -> None:
        """Make the video and put it where the task expects it; skip the test where it cannot be."""
        try:
            made = make(video, self.path)
        except MissingFeatureError as error:
            pytest.skip(str(error))
        made.rename(self.video)

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


@with_verdict(Verdict.SOUND)
def test_a_sound_video_is_converted_without_a_word(task: TaskFolder, video: OddVideo) -> None:
    task.put(video)

    result = task.run()

    assert (result.returncode, result.stdout, result.stderr) == (0, '', '')
    sound = decode(task.output)
    assert sound.seconds == pytest.approx(video.seconds, abs=0.1)
    assert sound.loudest > 1000
    pictures = [line for line in sound.described.splitlines() if 'Video: ' in line]
    assert len(pictures) == video.cover
    assert all('(attached pic)' in picture for picture in pictures)
    assert not task.video.exists()


@with_verdict(Verdict.DAMAGED)
def test_a_damaged_video_ends_with_3_and_leaves_an_mp3_as_far_as_it_goes(
    task: TaskFolder, video: OddVideo
) -> None:
    task.put(video)

    result = task.run()

    assert result.returncode == 3
    assert result.stderr.strip()
    assert 1 < decode(task.output).seconds < video.seconds - 0.5
    assert not task.video.exists()


@with_verdict(Verdict.UNNOTICED)
def test_lost_fragments_are_not_noticed(task: TaskFolder, video: OddVideo) -> None:
    """A limit that the README names: if this fails, ffmpeg has learnt to notice them."""
    task.put(video)

    result = task.run()

    assert (result.returncode, result.stdout, result.stderr) == (0, '', '')
    assert 1 < decode(task.output).seconds < video.seconds - 0.5


@with_verdict(Verdict.FAILED)
def test_a_video_of_which_nothing_can_be_had_leaves_no_mp3(
    task: TaskFolder, video: OddVideo
) -> None:
    task.put(video)

    result = task.run()

    assert result.returncode not in (0, 3)
    assert result.stderr.strip()
    assert not list(task.path.iterdir())  # neither the video nor an output


@pytest.mark.parametrize(
    ('name', 'kept'),
    [
        ('tags', ['title +: Prélude', 'artist +: Ångström']),
        ('chapters', ['Chapter #0:1', 'title +: The beginning', 'title +: The end']),
    ],
    ids=['tags', 'chapters'],
)
def test_tags_and_chapters_are_kept(task: TaskFolder, name: str, kept: list[str]) -> None:
    task.put(BY_NAME[name])

    task.run()

    described = decode(task.output).described
    for pattern in kept:
        assert re.search(pattern, described), pattern


@pytest.mark.parametrize('name', ['cover-beside-pictures', 'chapters'])
def test_another_output_format_without_video_works(
    task: TaskFolder, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(sample, '_OUTPUT_FORMAT', {'extension': '.m4a', 'ffmpeg_options': '-vn'})
    task.put(BY_NAME[name])

    result = task.run(sample.task_command())

    assert (result.returncode, result.stderr) == (0, '')
    assert [path.suffix for path in task.path.iterdir()] == ['.m4a']
    sound = decode(task.output)
    assert sound.seconds == pytest.approx(1, abs=0.1)
    assert 'Video: ' not in sound.described


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='needs /dev/full, which Linux has')
def test_an_error_that_a_full_disk_swallows_still_counts(task: TaskFolder) -> None:
    task.replace_ffmpeg(PRINTS_AN_ERROR)
    (task.path / 'errors.txt').symlink_to('/dev/full')

    with Path('/dev/full').open('w') as full_disk:
        result = task.run(stderr=full_disk.fileno())

    assert result.returncode == 3
