"""A time limit and a full disk."""

from __future__ import annotations

import pytest

from tests.conftest import MakeVideo

from .conftest import Sample, mp3s_of


@pytest.fixture(autouse=True)
def videos(make_video: MakeVideo) -> None:
    for name in ('a.mp4', 'b.mp4'):
        make_video(name)


def test_a_deadline_saves_what_is_done_and_keeps_the_videos(sample: Sample) -> None:
    sample.change('_JOB_TIMEOUT', 'datetime.timedelta(seconds=20)')
    sample.azure.hang_requests('GET', '/input/b.mp4', count=None, service='storage', source='node')

    result = sample.run('--keep')

    assert result.returncode == 1
    assert sample.mp3s() == mp3s_of('a.mp4')
    assert 'input' in sample.containers()


def test_a_full_disk_leaves_nothing_half_written(sample: Sample) -> None:
    sample.shell = 'ulimit -f 4; exec "$@"'  # no file over 4 KB

    result = sample.run('-y')

    assert result.returncode == 1
    assert sample.mp3s() == []
    assert sample.nothing_is_left()
