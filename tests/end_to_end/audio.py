"""What is really in an audio file: decoded by ffmpeg, measured here."""

from __future__ import annotations

import array
import subprocess
from pathlib import Path
from typing import NamedTuple

import imageio_ffmpeg

_RATE = 16000  # samples a second


class Sound(NamedTuple):
    """A decoded sound."""

    seconds: float
    loudest: int  # of 32767
    described: str  # what ffmpeg says of the file: tags, chapters, streams


def decode(path: Path) -> Sound:
    """Return the length and the loudest sample of the first audio track, and the rest in words."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), '-nostdin', '-i', path, '-vn']
    decoded = subprocess.run(
        [*command, '-f', 's16le', '-ac', '1', '-ar', str(_RATE), '-'],
        check=True,
        capture_output=True,
    )
    samples = array.array('h', decoded.stdout)
    described = decoded.stderr.decode('utf-8', 'replace').partition('Stream mapping:')[0]
    return Sound(len(samples) / _RATE, max(map(abs, samples), default=0), described)
