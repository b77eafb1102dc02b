"""Damaged videos: what there is of them has a name of its own."""

from __future__ import annotations

from batch_python_tutorial_ffmpeg import outputs_of
from tests.conftest import MakeVideo
from tests.media.odd_videos import ODD_VIDEOS, make

from .audio import decode
from .conftest import Sample

DAMAGED = [
    video for video in ODD_VIDEOS if video.name in ('cut-faststart', 'cut-fragmented', 'zeroed')
]


def test_damaged_and_whole_outputs_take_the_place_of_their_own_kind_only(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('whole again.mp4')
    whole, was_damaged = outputs_of('whole again.mp4', sample.output)
    earlier = [was_damaged]
    for video in DAMAGED:
        make(video, sample.input)
        earlier += outputs_of(f'{video.name}.mp4', sample.output)
    sample.output.mkdir()
    for path in earlier:
        path.write_bytes(b'of an earlier run')

    result = sample.run('--keep')

    assert result.returncode == 1
    assert sample.mp3s() == sorted(path.name for path in [whole, *earlier[1:]])
    for video in DAMAGED:
        name = f'{video.name}.mp4'
        good, damaged = outputs_of(name, sample.output)
        sample.assert_failed(result.stderr, name, '.', 'damaged')
        assert good.read_bytes() == b'of an earlier run', name
        assert 0.2 < decode(damaged).seconds < video.seconds - 0.5, name
    tasks = [
        task.execution_info for task in sample.azure.batch_client().task.list('LinuxFFmpegJob')
    ]
    assert sorted(task.exit_code for task in tasks) == [0, 3, 3, 3]
    assert {task.retry_count for task in tasks} <= {0}
