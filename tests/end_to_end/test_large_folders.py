"""Folders of hundreds of videos: nothing is sent or paid for twice, whatever ends a run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import pytest

from batch_python_tutorial_ffmpeg import outputs_of
from tests.conftest import MakeVideo
from tests.local_azure.faults import RequestFault

from .conftest import Sample, mp3s_of

FORTY = [f'talk {number:02}.mp4' for number in range(40)]


@pytest.fixture
def talks(make_video: MakeVideo) -> list[Path]:
    return [make_video(name) for name in FORTY]


def uploads(sample: Sample) -> list[str]:
    """Return the names of the videos that were sent, each as often as it was."""
    names = []
    for request in list(sample.azure.requests):
        if request.method == 'PUT' and '/input/' in request.path and request.source == 'client':
            names.append(request.path.rpartition('/')[2].replace('%20', ' '))
    return sorted(names)


def uploaded(sample: Sample) -> set[str]:
    """Return the names of the videos that are in the input container."""
    with sample.azure.blob_service_client() as client:
        return {blob.name for blob in client.get_container_client('input').list_blobs()}


@dataclass
class Broken:
    """An upload of forty videos that is under way: some are there, the others hang."""

    process: subprocess.Popen[str]
    missing: set[str]
    hanging: RequestFault


@pytest.fixture
def broken(sample: Sample, talks: list[Path]) -> Broken:
    numbers = random.sample(range(len(talks)), random.randrange(1, 25))
    missing = {talks[number].name for number in numbers}
    path = f'/input/talk%20({"|".join(f"{number:02}" for number in numbers)})'
    hanging = sample.azure.hang_requests('PUT', path, count=None, service='storage')
    process = sample.start_until(lambda: hanging.hits and uploaded(sample) == set(FORTY) - missing)
    return Broken(process, missing, hanging)


# --- An upload that goes on where it stopped ------------------------------------------------------


def test_an_upload_that_was_ended_by_sigterm_goes_on_where_it_stopped(
    sample: Sample, broken: Broken
) -> None:
    broken.process.send_signal(signal.SIGTERM)
    assert sample.finish(broken.process).returncode == 130
    broken.hanging.remove()
    sample.azure.requests.clear()

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert set(uploads(sample)) == broken.missing
    assert sample.mp3s() == mp3s_of(*FORTY)
    assert sample.nothing_is_left()


def test_an_upload_that_was_killed_goes_on_where_it_stopped(sample: Sample, broken: Broken) -> None:
    sample.kill(broken.process)
    sample.break_lease()
    broken.hanging.remove()
    sample.azure.requests.clear()

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert set(uploads(sample)) == broken.missing
    assert sample.mp3s() == mp3s_of(*FORTY)


def test_after_a_quota_of_zero_only_what_has_changed_is_sent_again(
    sample: Sample, talks: list[Path]
) -> None:
    sample.azure.set_quota(low_priority_cores=0)
    assert sample.run().returncode == 1
    assert uploaded(sample) == set(FORTY)
    sample.azure.requests.clear()
    os.utime(talks[7], (2_000_000_000, 2_000_000_000))

    result = sample.run('-y', '--dedicated', '2', '--low-priority', '0')

    assert result.returncode == 0, result.stderr
    assert uploads(sample) == [talks[7].name]
    assert sample.mp3s() == mp3s_of(*FORTY)
    assert sample.nothing_is_left()


def test_keep_keeps_the_videos_of_a_run_that_was_not_finished(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('a.mp4')
    sample.azure.fail_allocation()

    assert sample.run('--keep').returncode == 1

    assert 'input' in sample.containers()


def test_y_deletes_the_videos_of_a_run_that_was_not_finished(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('a.mp4')
    sample.azure.fail_allocation()

    assert sample.run('-y').returncode == 1

    assert sample.nothing_is_left()


# --- Nodes ----------------------------------------------------------------------------------------


def test_a_node_forgets_each_video(sample: Sample, make_video: MakeVideo) -> None:
    make_video('good.mp4')
    make_video('bad.mp4').write_bytes(b'no video')
    kept = sample.start('--keep')
    assert sample.finish(kept).returncode == 1

    client = sample.azure.batch_client()
    files = [
        file.name
        for node in client.compute_node.list('LinuxFFmpegPool')
        for file in client.file.list_from_compute_node('LinuxFFmpegPool', node.id, recursive=True)
        if not file.is_directory
    ]

    assert any(name.endswith('stderr.txt') for name in files)
    assert not any(name.endswith('input.mp4') for name in files)


def test_there_are_no_more_nodes_than_videos(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')
    make_video('b.mp4')

    assert sample.run('--keep', '--dedicated', '1', '--low-priority', '500').returncode == 0

    pool = sample.azure.batch_client().pool.get('LinuxFFmpegPool')
    assert (pool.current_dedicated_nodes, pool.current_low_priority_nodes) == (1, 1)


def test_the_time_limit_grows_with_the_videos(sample: Sample, make_video: MakeVideo) -> None:
    with make_video('large.mp4').open('r+b') as file:
        file.truncate(2 * 10**9)  # a sparse file

    result = sample.run('--check')

    assert '1 hour 17 minutes' in result.stdout, result.stderr  # 65, and 6 for each gigabyte


# --- Known before the upload ----------------------------------------------------------------------


def test_a_pool_with_other_settings_is_known_before_the_upload(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('a.mp4')
    assert sample.run('--keep').returncode == 0
    sample.azure.requests.clear()

    assert sample.run('--keep', '--vm-size', 'STANDARD_D2S_V3').returncode == 1

    assert uploads(sample) == []
    assert sample.pools() == ['LinuxFFmpegPool']


def test_an_image_that_batch_does_not_have_is_known_before_the_upload(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('a.mp4')
    sample.change("_POOL_IMAGE['sku']", "'18.04-lts'")

    assert sample.run('-y').returncode == 1

    assert uploads(sample) == []


# --- Outputs --------------------------------------------------------------------------------------


def damage(video: Path) -> None:
    """Cut a video, so that half of its audio is missing."""
    content = video.read_bytes()
    video.write_bytes(content[: len(content) * 3 // 4])


@pytest.fixture
def long_video(sample: Sample) -> Path:
    """A video whose index stands in front, so that it can be cut."""
    path = sample.input / 'talk.mp4'
    inputs = ['-f', 'lavfi', '-i', 'sine=duration=5', '-f', 'lavfi', '-i', 'testsrc=duration=5']
    command = [imageio_ffmpeg.get_ffmpeg_exe(), '-loglevel', 'error', *inputs]
    subprocess.run([*command, '-movflags', '+faststart', path], check=True)
    return path


def test_a_damaged_output_is_called_so_until_a_good_one_comes(
    sample: Sample, long_video: Path
) -> None:
    whole = long_video.read_bytes()
    good, damaged = outputs_of('talk.mp4', sample.output)
    assert sample.run('-y').returncode == 0
    content = good.read_bytes()
    damage(long_video)

    assert sample.run('-y').returncode == 1
    assert sample.mp3s() == sorted([damaged.name, good.name])
    assert good.read_bytes() == content

    long_video.write_bytes(whole)
    assert sample.run('-y').returncode == 0
    assert sample.mp3s() == [good.name]


def test_missing_takes_what_has_changed_and_what_is_not_there(
    sample: Sample, make_video: MakeVideo
) -> None:
    videos = {name: make_video(f'{name}.mp4') for name in ('old', 'new', 'damaged', 'none')}
    sample.output.mkdir()
    for name, later in (('old', -10), ('new', 10), ('damaged', 10)):
        good, damaged = outputs_of(f'{name}.mp4', sample.output)
        output = damaged if name == 'damaged' else good
        output.write_bytes(b'ID3')
        time = videos[name].stat().st_mtime + later
        os.utime(output, (time, time))

    result = sample.run('-y', '--missing')

    assert result.returncode == 0, result.stderr
    assert uploads(sample) == ['none.mp4', 'old.mp4']
