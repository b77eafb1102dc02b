"""Damaged videos, many bad ones, and what an MP3 keeps of its video."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest

from batch_python_tutorial_ffmpeg import _SHOWN_FILES, output_name, outputs_of
from tests.conftest import MakeVideo
from tests.media.odd_videos import AS_COVER, COVER, ODD_VIDEOS, SOUND, OddVideo, make

from .audio import decode
from .conftest import Sample

DAMAGED = [
    video for video in ODD_VIDEOS if video.name in ('cut-faststart', 'cut-fragmented', 'zeroed')
]


@pytest.mark.parametrize('video', DAMAGED, ids=[video.name for video in DAMAGED])
def test_a_damaged_video_is_converted_once_and_what_there_is_has_a_name_of_its_own(
    sample: Sample, make_video: MakeVideo, video: OddVideo
) -> None:
    make_video('sound.mp4')
    make(video, sample.input)
    name = f'{video.name}.mp4'
    good, damaged = outputs_of(name, sample.output)
    good.parent.mkdir()
    good.write_bytes(b'of an earlier run')

    result = sample.run('--keep')

    assert result.returncode == 1
    sample.assert_failed(result.stderr, name, '.', 'damaged')
    assert re.search(rf'^{name} damaged: .*\n    \S', result.stderr, re.MULTILINE)  # its own words
    assert sample.mp3s() == sorted([good.name, damaged.name, output_name('sound.mp4')])
    assert good.read_bytes() == b'of an earlier run'
    assert 0.2 < decode(damaged).seconds < video.seconds - 0.5
    tasks = sample.azure.batch_client().task.list('LinuxFFmpegJob')
    assert sorted(task.execution_info.exit_code for task in tasks) == [0, 3]
    assert {task.execution_info.retry_count for task in tasks} <= {0}


def test_a_video_that_is_whole_again_replaces_what_there_was_of_the_damaged_one(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('a.mp4')
    good, damaged = outputs_of('a.mp4', sample.output)
    damaged.parent.mkdir()
    damaged.write_bytes(b'of an earlier run')

    assert sample.run('-y').returncode == 0

    assert sample.mp3s() == [good.name]


def test_of_thirty_bad_files_each_is_named_once_and_the_first_have_their_last_words(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('good.mp4')
    names = [f'bad-{number:02}.mp4' for number in range(30)]
    for name in names:
        (sample.input / name).write_text(f'{name} is no video')

    result = sample.run('-y')

    assert result.returncode == 1
    named = re.findall(r'^(\S+\.mp4) failed: ', result.stderr, re.MULTILINE)
    with_last_words = re.findall(r'^\S+\.mp4 failed: .*\n    \S', result.stderr, re.MULTILINE)
    assert named == names
    assert len(with_last_words) == _SHOWN_FILES
    assert sample.mp3s() == [output_name('good.mp4')]


TALK = OddVideo(
    'talk',
    f'{COVER} {SOUND} -i chapters.txt {AS_COVER} -map_metadata 2 -c:v mjpeg '
    '-metadata title=Prélude -metadata artist=Ångström',
)


def test_cover_title_artist_and_chapters_are_in_the_mp3(sample: Sample) -> None:
    make(TALK, sample.input)

    result = sample.run('-y')

    shown = properties(sample.output / output_name('talk.mp4'))
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
    client = sample.azure.batch_client()
    job = client.job.get('LinuxFFmpegJob')
    (task,) = client.task.list('LinuxFFmpegJob')
    assert job.constraints.max_wall_clock_time.total_seconds() == (600 + 30) * 60
    no_limit = task.constraints.max_wall_clock_time
    assert no_limit is None or no_limit.days > 365


def test_a_name_as_long_as_the_disk_allows_is_converted_and_then_not_missing(
    sample: Sample, make_video: MakeVideo
) -> None:
    name = f'{"b" * 251}.mp4'
    make_video(name)

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == [output_name(name)]
    sample.azure.requests.clear()
    assert sample.run('--missing').returncode == 0
    assert not sample.has_contacted_azure()


def test_an_mp3_name_that_the_disk_refuses_is_named_and_the_others_are_converted(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('a.mp4')
    name = 'b' * 250
    make_video(f'{name}.mp4')
    sample.change('_OUTPUT_FORMAT', "{'extension': '.mpeg3', 'ffmpeg_options': '-f mp3'}")

    result = sample.run('-y')

    assert result.returncode == 1
    assert re.search(f'^{name}.mp4 failed: .*File name too long$', result.stderr, re.MULTILINE)
    assert sample.mp3s() == ['a.mpeg3']
