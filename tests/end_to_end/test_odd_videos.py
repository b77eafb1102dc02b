"""One run over all odd and damaged videos: each gets its verdict."""

from __future__ import annotations

import re

from tests.media.odd_videos import OddVideo, Verdict, make_all

from .audio import decode
from .conftest import Sample


def result_in_table(video: OddVideo, stderr: str) -> str:
    """Return the last column of a video's row; the table has room for some files only."""
    row = re.search(rf'^{re.escape(video.name)}\.mp4 .* (\w+) *$', stderr, re.MULTILINE)
    return row[1] if row else ''


def reason_below_table(video: OddVideo, stderr: str) -> str:
    """Return why a video was not converted: each of these is named once below the table."""
    reasons = re.findall(rf'^{re.escape(video.name)}\.mp4 (\w+: .*)', stderr, re.MULTILINE)
    assert len(reasons) <= 1
    return ''.join(reasons)


def assert_has_its_verdict(sample: Sample, video: OddVideo, stderr: str) -> None:
    """The words on stderr and the MP3 are those of a video with this verdict."""
    result = result_in_table(video, stderr)
    reason = reason_below_table(video, stderr)
    mp3 = sample.output / f'{video.name}.mp3'

    if video.verdict is Verdict.SOUND:
        assert result in ('', 'ok')
        assert reason == ''
        assert mp3.exists()

    elif video.verdict is Verdict.DAMAGED:
        assert result == 'damaged'
        assert reason.startswith('damaged: ffmpeg reported errors')
        assert decode(mp3).seconds < video.seconds - 0.5

    else:
        assert result == 'failed'
        assert reason.startswith('failed: ')
        assert not mp3.exists()


def test_every_odd_video_gets_its_verdict_in_one_run(sample: Sample) -> None:
    videos, _ = make_all(sample.input)

    result = sample.run('-y')

    assert result.returncode == 1, result.stderr
    assert 'Success' not in result.stdout
    for video in videos:
        assert_has_its_verdict(sample, video, result.stderr)
