"""One run over all odd and damaged videos: each gets its verdict."""

from __future__ import annotations

from batch_python_tutorial_ffmpeg import outputs_of
from tests.media.odd_videos import OddVideo, Verdict, make_all

from .audio import decode
from .conftest import Sample


def assert_has_its_verdict(sample: Sample, video: OddVideo) -> None:
    """What has arrived is what a video with this verdict becomes."""
    good, damaged = outputs_of(f'{video.name}.mp4', sample.output)

    assert good.exists() == (video.verdict in (Verdict.SOUND, Verdict.UNNOTICED)), video
    assert damaged.exists() == (video.verdict is Verdict.DAMAGED), video
    if video.verdict is Verdict.DAMAGED:
        assert decode(damaged).seconds < video.seconds - 0.5


def test_every_odd_video_gets_its_verdict_in_one_run(sample: Sample) -> None:
    videos, _ = make_all(sample.input)

    result = sample.run('-y')

    assert result.returncode == 1, result.stderr
    for video in videos:
        assert_has_its_verdict(sample, video)
