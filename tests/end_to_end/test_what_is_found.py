"""Which videos are taken from a folder, and which names come to Azure and back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from batch_python_tutorial_ffmpeg import output_name
from tests.conftest import MakeVideo

from .conftest import Sample

# root may read everything, unless it gives these rights up
AS_ORDINARY_USER = (
    'exec setpriv --bounding-set=-dac_override,-dac_read_search '
    '--inh-caps=-dac_override,-dac_read_search "$@"'
)


@pytest.fixture
def forbidden(sample: Sample) -> Iterator[Path]:
    """A sub-folder that the sample may not read."""
    if os.geteuid() == 0:
        sample.shell = AS_ORDINARY_USER
    path = sample.input / 'sub'
    path.mkdir()
    path.chmod(0)
    yield path
    path.chmod(0o700)


def assert_converts(sample: Sample, *videos: str) -> None:
    """Run the sample: what these videos become comes, and no other file."""
    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == sorted(output_name(video) for video in videos)


def test_a_sub_folder_that_cannot_be_read_is_named(
    sample: Sample, make_video: MakeVideo, forbidden: Path
) -> None:
    make_video('a.mp4')

    result = sample.run('-y')

    assert (result.returncode, result.stdout) == (2, '')
    assert str(forbidden) in result.stderr
    assert not sample.has_contacted_azure()


def test_two_names_that_are_one_on_some_disks_are_refused(
    sample: Sample, make_video: MakeVideo
) -> None:
    names = ('Caf\u00e9.mp4', 'Cafe\u0301.mp4')  # composed and decomposed
    for name in names:
        make_video(name)

    result = sample.run('-y')

    assert (result.returncode, result.stdout) == (2, '')
    assert all(name in result.stderr for name in names)
    assert not sample.has_contacted_azure()


def test_links_to_videos_are_taken_and_links_to_folders_are_named(
    sample: Sample, make_video: MakeVideo, tmp_path: Path
) -> None:
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    make_video('a.mp4').rename(elsewhere / 'b.mp4')
    (sample.input / 'a.mp4').symlink_to(elsewhere / 'b.mp4')
    (sample.input / 'link').symlink_to(elsewhere)

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == [output_name('a.mp4')]
    assert str(sample.input / 'link') in result.stderr


def test_hidden_files_and_folders_of_systems_are_not_taken(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('a.mp4')
    for name in ('._a.mp4', '.Trash-1000/a.mp4', '$RECYCLE.BIN/a.mp4', 'sub/@eaDir/a.mp4'):
        make_video(name)

    assert_converts(sample, 'a.mp4')


def test_the_longest_name_that_azure_holds_is_converted(
    sample: Sample, make_video: MakeVideo
) -> None:
    folders = '/'.join(['x' * 200] * 5)
    name = f'{folders}/{"y" * 15}.mp4'
    assert len(name) == 1024
    make_video(name)

    assert_converts(sample, name)


def test_the_home_folder_is_meant_by_a_tilde(
    sample: Sample, make_video: MakeVideo, tmp_path: Path
) -> None:
    make_video('a.mp4')
    sample.environment = {'HOME': str(tmp_path / 'home')}

    result = sample.run('-y', '--output=~/Music')  # which the shell leaves as it is

    assert result.returncode == 0, result.stderr
    assert (tmp_path / 'home' / 'Music' / output_name('a.mp4')).is_file()
    assert not (tmp_path / '~').exists()
