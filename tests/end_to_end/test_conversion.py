"""Videos in, MP3s out: what a user has when all goes well."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch_python_tutorial_ffmpeg import output_name
from tests.conftest import MakeVideo

from .audio import decode
from .conftest import Sample, mp3s_of


def longest(folder: str, limit: int) -> str:
    """Return a name in this folder that is, or whose output's name is, as long as a limit."""
    name = f'{folder}y.mp4'
    growth = max(0, len(output_name(name)) - len(name))
    return f'{folder}{"y" * (limit - growth - len(name) + 1)}.mp4'


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
    longest('', 255),  # as the disk allows
    longest(f'{"x" * 100}/' * 9, 1024),  # as Azure allows
]


def test_five_clips_become_five_mp3s_and_nothing_that_bills_is_left(
    sample: Sample, clips: Path
) -> None:
    sample.input = clips
    names = [f'LowPriVMs-{number}.mp4' for number in range(1, 6)]
    with sample.azure.blob_service_client() as client:
        client.create_container('output').upload_blob('precious.txt', b'keep me')

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == mp3s_of(*names)
    for name in names:
        video, sound = decode(clips / name), decode(sample.output / output_name(name))
        assert sound.seconds == pytest.approx(video.seconds, abs=0.1)
        assert sound.loudest > 3000
        assert 'Audio: mp3' in sound.described
        assert 'Video: ' not in sound.described
    assert sample.nothing_is_left()
    assert sample.containers() == ['output']
    with sample.azure.blob_service_client() as client:
        blobs = set(client.get_container_client('output').list_blob_names())
    assert blobs == {'precious.txt', *sample.mp3s()}


def test_strange_names_survive_the_whole_way_even_if_the_terminal_cannot_show_them(
    sample: Sample, make_video: MakeVideo
) -> None:
    for name in STRANGE_NAMES:
        make_video(name)
    sample.environment = {'PYTHONIOENCODING': 'ascii', 'LC_ALL': 'C'}

    result = sample.run('--keep')  # with the folders of the nodes

    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == mp3s_of(*STRANGE_NAMES)
    assert all(decode(sample.output / mp3).loudest > 1000 for mp3 in sample.mp3s())
    assert not list(sample.azure.root.rglob('pwned'))
    assert ascii('视频')[1:-1] in result.stderr

    sample.azure.requests.clear()
    assert sample.run('--missing').returncode == 0
    assert not sample.has_contacted_azure()
