"""Damaged videos, many bad ones, and what an MP3 keeps of its video."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest

from tests.conftest import MakeVideo
from tests.media.odd_videos import AS_COVER, COVER, ODD_VIDEOS, SOUND, OddVideo, make

from .audio import decode
from .conftest import Sample

DAMAGED = [
    video for video in ODD_VIDEOS if video.name in ('cut-faststart', 'cut-fragmented', 'zeroed')
]


@pytest.mark.parametrize('video', DAMAGED, ids=[video.name for video in DAMAGED])
def test_a_damaged_video_is_called_damaged_and_its_mp3_is_kept(
    sample: Sample, make_video: MakeVideo, video: OddVideo
) -> None:
    make_video('sound.mp4')
    make(video, sample.input)

    result = sample.run('--keep')

    assert result.returncode == 1
    assert 'Success' not in result.stdout
    name = f'{video.name}.mp4'
    sample.assert_failed(result.stderr, name, 'ffmpeg reported errors', 'damaged')
    assert re.search(rf'^{name} damaged: .*\n    \S', result.stderr, re.MULTILINE)  # its own words
    assert 'Error: 0 of 2 files failed. 1 are damaged.' in result.stderr
    assert sample.mp3s() == sorted([f'{video.name}.mp3', 'sound.mp3'])
    assert 0.2 < decode(sample.output / f'{video.name}.mp3').seconds < video.seconds - 0.5


def test_a_damaged_video_is_converted_once(sample: Sample) -> None:
    make(DAMAGED[0], sample.input)

    assert sample.run('--keep').returncode == 1

    (task,) = sample.azure.batch_client().task.list('LinuxFFmpegJob')
    assert task.execution_info.retry_count == 0
    assert task.execution_info.exit_code == 3


def test_of_thirty_bad_files_each_is_named_once_with_its_reason(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('good.mp4')
    names = [f'bad-{number:02}.mp4' for number in range(30)]
    for name in names:
        (sample.input / name).write_text(f'{name} is no video')

    result = sample.run('-y')

    assert result.returncode == 1
    named = re.findall(r'^(\S+\.mp4) failed: exit code \d+$', result.stderr, re.MULTILINE)
    with_last_words = re.findall(
        r'^(\S+\.mp4) failed: .*\n(?:    .*\n)*    .*Invalid data found',
        result.stderr,
        re.MULTILINE,
    )
    assert named == names
    assert len(with_last_words) == 20
    assert 'Error: 30 of 31 files failed.' in result.stderr
    assert sample.mp3s() == ['good.mp3']


TALK = OddVideo(
    'talk',
    f'{COVER} {SOUND} -i chapters.txt {AS_COVER} -map_metadata 2 -c:v mjpeg '
    '-metadata title=Prélude -metadata artist=Ångström',
)


def test_cover_title_artist_and_chapters_are_in_the_mp3(sample: Sample) -> None:
    make(TALK, sample.input)

    result = sample.run('-y')

    shown = properties(sample.output / 'talk.mp3')
    assert result.returncode == 0, result.stderr
    assert re.search(r'Video: .*\(attached pic\)', shown)
    assert re.search(r'title +: Prélude', shown)
    assert re.search(r'artist +: Ångström', shown)
    assert 'Chapter #0:0: start 0.000000, end 0.400000' in shown
    assert re.search(r'title +: The beginning', shown)


def properties(path: Path) -> str:
    """Return what ffmpeg says about a file."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), '-i', path]
    shown = subprocess.run(command, check=False, capture_output=True, encoding='utf-8')
    return shown.stderr


def test_a_long_time_limit_is_the_only_one(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')

    result = sample.run('--keep', '--timeout', '600')

    assert result.returncode == 0, result.stderr
    assert 'timeout in 10:00:00...' in result.stdout
    client = sample.azure.batch_client()
    job = client.job.get('LinuxFFmpegJob')
    (task,) = client.task.list('LinuxFFmpegJob')
    assert job.constraints.max_wall_clock_time.total_seconds() == (600 + 30) * 60
    no_limit = task.constraints.max_wall_clock_time
    assert no_limit is None or no_limit.days > 365


def test_an_mp3_name_that_the_disk_refuses_is_named(sample: Sample, make_video: MakeVideo) -> None:
    video = make_video('a.mp4')
    name = 'b' * 250
    shutil.copy(video, video.with_name(f'{name}.mp4'))
    sample.change('_OUTPUT_FORMAT', "{'extension': '.mpeg3', 'ffmpeg_options': '-f mp3'}")

    result = sample.run('-y')

    assert result.returncode == 1
    reason = re.escape(f'not downloaded: {sample.output / name}.mpeg3: File name too long')
    assert re.search(f'^{name}.mp4 failed: {reason}$', result.stderr, re.MULTILINE), result.stderr
    assert sample.mp3s() == ['a.mpeg3']
