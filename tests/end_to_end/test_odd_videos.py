"""One run over all odd and damaged videos: each gets its verdict."""

from __future__ import annotations

import re

from batch_python_tutorial_ffmpeg import outputs_of
from tests.media.odd_videos import OddVideo, Verdict, make_all

from .audio import decode
from .conftest import Sample

# The possible results in the table, and how the reason begins.
WORDS = {
    Verdict.SOUND: (['ok', ''], '$'),
    Verdict.DAMAGED: (['damaged'], 'damaged: '),
    Verdict.FAILED: (['failed'], 'failed: '),
    Verdict.UNNOTICED: (['ok', ''], '$'),
}


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
    """The words on stderr and the output are those of a video with this verdict."""
    results, reason = WORDS[video.verdict]
    good, damaged = outputs_of(f'{video.name}.mp4', sample.output)

    assert result_in_table(video, stderr) in results
    assert re.match(reason, reason_below_table(video, stderr))
    assert good.exists() == (video.verdict in (Verdict.SOUND, Verdict.UNNOTICED))
    assert damaged.exists() == (video.verdict is Verdict.DAMAGED)
    if video.verdict is Verdict.DAMAGED:
        assert decode(damaged).seconds < video.seconds - 0.5


def test_every_odd_video_gets_its_verdict_in_one_run(sample: Sample) -> None:
    videos, _ = make_all(sample.input)

    result = sample.run('-y')

    assert result.returncode == 1, result.stderr
    for video in videos:
        assert_has_its_verdict(sample, video, result.stderr)
