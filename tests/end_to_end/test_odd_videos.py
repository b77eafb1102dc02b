"""One run over all odd and damaged videos: each gets its verdict."""

from __future__ import annotations

import re

from tests.media.odd_videos import OddVideo, Verdict, make_all

from .audio import decode
from .conftest import Sample


def entry_of(video: OddVideo, table: str) -> str:
    """Return the row of a video, from its result on, and the indented lines below it.

    The table has room for some files only; those that went wrong come first.
    """
    row = rf'^{re.escape(video.name)}\.mp4 .*?\b((?:ok|damaged|failed)\b.*(?:\n +.*)*)'
    found = re.search(row, table, re.MULTILINE)
    return found[1].strip() if found else ''


def assert_has_its_verdict(sample: Sample, video: OddVideo, entry: str) -> None:
    """The entry in the table and the MP3 are those of a video with this verdict."""
    mp3 = sample.output / f'{video.name}.mp3'

    if video.verdict is Verdict.SOUND:
        assert entry in ('', 'ok')
        assert mp3.exists()

    elif video.verdict is Verdict.DAMAGED:
        assert entry.startswith('damaged')
        assert 'ffmpeg reported errors' in entry
        assert decode(mp3).seconds < video.seconds - 0.5

    else:
        assert entry.startswith('failed')
        assert not mp3.exists()


def test_every_odd_video_gets_its_verdict_in_one_run(sample: Sample) -> None:
    videos, _ = make_all(sample.input)

    result = sample.run('-y')

    assert result.returncode == 1, result.stderr
    assert 'Success' not in result.stdout
    for video in videos:
        assert_has_its_verdict(sample, video, entry_of(video, result.stderr))
