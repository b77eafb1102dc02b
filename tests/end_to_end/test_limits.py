"""A time limit and a full disk."""

from __future__ import annotations

import pytest

from batch_python_tutorial_ffmpeg import _JOB_ID as JOB_ID
from tests.conftest import MakeVideo

from .conftest import Sample, mp3s_of


@pytest.fixture(autouse=True)
def videos(make_video: MakeVideo) -> None:
    for name in ('a.mp4', 'b.mp4'):
        make_video(name)


def test_a_deadline_saves_what_is_done_and_keeps_the_videos(sample: Sample) -> None:
    late = sample.output.parent / 'late'  # an hour has passed when this file is there
    sample.changes = (
        'clock = sample.time.monotonic; '
        f'sample.time.monotonic = lambda: clock() + 3600 * os.path.exists({str(late)!r}); '
    )
    sample.azure.hang_requests('GET', '/input/b.mp4', count=None, service='storage', source='node')
    client = sample.azure.batch_client()
    process = sample.start_until(
        lambda: sample.jobs() and client.job.get_task_counts(JOB_ID).task_counts.completed,
        '--keep',
    )

    late.touch()
    result = sample.finish(process)

    assert result.returncode == 1
    assert sample.mp3s() == mp3s_of('a.mp4')
    assert 'input' in sample.containers()


def test_a_full_disk_leaves_nothing_half_written(sample: Sample) -> None:
    sample.shell = 'ulimit -f 4; exec "$@"'  # no file over 4 KB

    result = sample.run('-y')

    assert result.returncode == 1
    assert sample.mp3s() == []
    assert sample.nothing_is_left()
