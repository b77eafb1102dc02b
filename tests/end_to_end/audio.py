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


def decode(path: Path) -> Sound:
    """Return the length and the loudest sample of the first audio track."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), '-loglevel', 'error', '-i', path]
    raw = subprocess.run(
        [*command, '-f', 's16le', '-ac', '1', '-ar', str(_RATE), '-'],
        check=True,
        capture_output=True,
    )
    samples = array.array('h', raw.stdout)
    return Sound(len(samples) / _RATE, max(map(abs, samples), default=0))


def streams(path: Path) -> str:
    """Return what ffmpeg says of the streams of a file."""
    shown = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), '-i', path], check=False, capture_output=True, text=True
    )
    return '\n'.join(line.strip() for line in shown.stderr.splitlines() if 'Stream #' in line)
