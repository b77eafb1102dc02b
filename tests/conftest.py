"""What all tests share: one local Azure, emptied for each test, and small videos to convert."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import imageio_ffmpeg
import pytest

from tests.local_azure import LocalAzure

MakeVideo = Callable[..., Path]

# A shell lets what runs in the background ignore SIGINT, and nohup ignores SIGHUP. The sample would
# inherit that, and rightly ignore these signals.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope='session')
def local_azure() -> Iterator[LocalAzure]:
    with LocalAzure() as azure:
        yield azure


@pytest.fixture
def azure(local_azure: LocalAzure) -> Iterator[LocalAzure]:
    """The local Azure with empty accounts and without faults."""
    yield local_azure
    local_azure.clear()


@pytest.fixture(scope='session')
def video_bytes(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, bytes]:
    """A video of one second, with (True) and without (False) an audio track."""
    folder = tmp_path_factory.mktemp('videos')
    picture = ['-f', 'lavfi', '-i', 'testsrc=size=64x36:rate=10:duration=1']
    sound = ['-f', 'lavfi', '-i', 'sine=frequency=440:duration=1']
    videos = {}
    for audible in (True, False):
        path = folder / f'{audible}.mp4'
        inputs = picture + (sound if audible else [])
        subprocess.run(
            [imageio_ffmpeg.get_ffmpeg_exe(), '-loglevel', 'error', *inputs, path], check=True
        )
        videos[audible] = path.read_bytes()
    return videos


@pytest.fixture
def make_video(tmp_path: Path, video_bytes: dict[bool, bytes]) -> MakeVideo:
    """A function that puts a video of one second into the input folder, and returns its path."""

    def make(name: str, *, audible: bool = True) -> Path:
        path = tmp_path / 'in' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(video_bytes[audible])
        return path

    return make
