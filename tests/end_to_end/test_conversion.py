"""Videos in, MP3s out: what a user has when all goes well."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from batch_python_tutorial_ffmpeg import output_name
from tests.conftest import MakeVideo

from .audio import decode, streams
from .conftest import Sample

STRANGE_NAMES = [
    'with spaces.mp4',
    'a.b.mp4',
    'UPPER.MP4',
    '[x] {y} (z).mp4',
    'it\'s "q" $(touch pwned);&.mp4',
    '-leading.mp4',
    '50%.mp4',
    'ação de graças.mp4',
    '视频文件.mp4',
    'one/same.mp4',
    'two/same.mp4',
    'a?b*c#d+e=f.mp4',
    '`backtick` | tick.mp4',
    'at 3.04\u202fPM\xa0on\u3000Sunday.mp4',  # macOS names screen recordings with such spaces
    'a family 👨\u200d👩\u200d👧.mp4',
]


def test_five_clips_become_five_mp3s_and_nothing_that_bills_is_left(
    sample: Sample, clips: Path
) -> None:
    sample.input = clips
    names = [f'LowPriVMs-{number}.mp4' for number in range(1, 6)]

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == [output_name(name) for name in names]
    for name in names:
        mp3 = sample.output / output_name(name)
        video, sound = decode(clips / name), decode(mp3)
        assert sound.seconds == pytest.approx(video.seconds, abs=0.1)
        assert sound.loudest > 3000
        assert 'Audio: mp3' in streams(mp3)
        assert 'Video' not in streams(mp3)
    assert sample.nothing_is_left()
    assert sample.containers() == ['output']


def test_strange_file_names_survive_the_whole_way(sample: Sample, make_video: MakeVideo) -> None:
    for name in STRANGE_NAMES:
        make_video(name)

    result = sample.run('--keep')  # with the folders of the nodes

    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == sorted(output_name(name) for name in STRANGE_NAMES)
    assert all(decode(sample.output / mp3).loudest > 1000 for mp3 in sample.mp3s())
    assert not list(sample.azure.root.rglob('pwned'))


def test_names_that_the_terminal_cannot_show_are_no_error(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('视频.mp4')
    sample.environment = {'PYTHONIOENCODING': 'ascii', 'LC_ALL': 'C'}

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert ascii('视频')[1:-1] in result.stderr
    assert sample.mp3s() == [output_name('视频.mp4')]


def test_keep_keeps_job_and_pool_and_not_the_videos(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')

    result = sample.run('--keep')

    assert result.returncode == 0, result.stderr
    assert (sample.jobs(), sample.pools()) == (['LinuxFFmpegJob'], ['LinuxFFmpegPool'])
    assert sample.containers() == ['output']


def test_old_files_in_the_output_container_stay(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')
    with sample.azure.blob_service_client() as client:
        client.create_container('output').upload_blob('precious.txt', b'keep me')

    assert sample.run('-y').returncode == 0

    with sample.azure.blob_service_client() as client:
        names = {blob.name for blob in client.get_container_client('output').list_blobs()}
    assert names == {'precious.txt', output_name('a.mp4')}
    assert sample.mp3s() == [output_name('a.mp4')]


def test_every_sas_grants_no_more_than_its_use_needs(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')

    assert sample.run('--keep').returncode == 0

    (task,) = sample.azure.batch_client().task.list('LinuxFFmpegJob')
    url, container_url = (
        task.resource_files[0].http_url,
        task.output_files[0].destination.container.container_url,
    )
    assert re.search('[?&]sp=r(&|$)', url)
    assert re.search('[?&]sr=b(&|$)', url)
    assert re.search('[?&]sp=cw(&|$)', container_url)
    assert re.search('[?&]sr=c(&|$)', container_url)
