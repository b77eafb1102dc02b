"""Which videos are taken from a folder, and which names are refused before anything is uploaded."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

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


def assert_refused(sample: Sample, *words: str) -> None:
    """Run the sample: exit code 2, one line with these words, nothing contacted."""
    result = sample.run('-y')

    assert (result.returncode, result.stdout) == (2, '')
    lines = [line for line in result.stderr.splitlines() if not line.startswith('  ')]
    assert len(lines) == 1, result.stderr  # beside commands, which have lines of their own
    for word in words:
        assert word in result.stderr
    assert not sample.has_contacted_azure()


def assert_converts(sample: Sample, *mp3s: str) -> subprocess.CompletedProcess[str]:
    """Run the sample: these MP3s and no others come."""
    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == sorted(mp3s)
    return result


@pytest.mark.parametrize(
    ('one', 'other'),
    [
        ('Talk.mp4', 'talk.mp4'),
        ('sub/a.mp4', 'Sub/a.mp4'),
        ('Caf\u00e9.mp4', 'Cafe\u0301.mp4'),  # composed and decomposed
        ('a.mp4', 'a.MP4'),
    ],
)
def test_two_names_that_are_one_on_some_disks_are_refused(
    sample: Sample, make_video: MakeVideo, one: str, other: str
) -> None:
    make_video(one)
    make_video(other)

    assert_refused(sample, one, other)


def test_a_sub_folder_that_cannot_be_read_is_named(
    sample: Sample, make_video: MakeVideo, forbidden: Path
) -> None:
    make_video('a.mp4')

    assert_refused(sample, f'--input: {forbidden} cannot be read: Permission denied')


def test_an_input_folder_that_cannot_be_read_is_named(sample: Sample, forbidden: Path) -> None:
    sample.input = forbidden

    assert_refused(sample, f'--input: {forbidden} cannot be read: Permission denied')


def test_a_video_that_cannot_be_read_is_named(sample: Sample, make_video: MakeVideo) -> None:
    if os.geteuid() == 0:
        sample.shell = AS_ORDINARY_USER
    video = make_video('a.mp4')
    video.chmod(0)

    assert_refused(sample, f'--input: {video} cannot be read: permission denied')


def test_a_dangling_link_is_named(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')
    link = sample.input / 'b.mp4'
    link.symlink_to('nowhere.mp4')

    assert_refused(sample, f'--input: {link} is not a file, or a link to nowhere')


def test_a_linked_folder_is_not_followed_and_a_line_says_so(
    sample: Sample, make_video: MakeVideo, tmp_path: Path
) -> None:
    video = make_video('a.mp4')
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    (elsewhere / 'b.mp4').write_bytes(video.read_bytes())
    (sample.input / 'link').symlink_to(elsewhere)

    result = assert_converts(sample, 'a.mp3')

    assert f'Not looked into: {sample.input / "link"} is a link to a folder.' in result.stderr


def test_a_linked_video_is_converted(sample: Sample, make_video: MakeVideo, tmp_path: Path) -> None:
    video = make_video('a.mp4')
    video.rename(tmp_path / 'elsewhere.mp4')
    (sample.input / 'a.mp4').symlink_to(tmp_path / 'elsewhere.mp4')

    assert_converts(sample, 'a.mp3')


HIDDEN = ('._lecture.mp4', '.Trash-1000/a.mp4', '$RECYCLE.BIN/a.mp4', 'sub/@eaDir/a.mp4')


def test_hidden_files_and_folders_of_systems_are_not_taken(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('a.mp4')
    for name in HIDDEN:
        (sample.input / name).parent.mkdir(parents=True, exist_ok=True)
        (sample.input / name).write_text('no video')

    assert_converts(sample, 'a.mp3')


@pytest.mark.parametrize('name', HIDDEN)
def test_a_folder_with_hidden_videos_only_is_refused_and_says_so(
    sample: Sample, make_video: MakeVideo, name: str
) -> None:
    make_video(name)

    assert_refused(sample, f'--input: {sample.input} holds no .mp4 file', 'hidden')


@pytest.mark.parametrize(
    ('name', 'reason'),
    [
        ('ends in a dot./a.mp4', 'Azure Storage drops the dot at the end of a folder name'),
        ('back\\slash.mp4', 'Azure Storage turns a backslash into a slash'),
        ('/'.join(['x' * 200] * 5) + f'/{"y" * 16}.mp4', 'Azure Storage allows 1,024 characters'),
    ],
    ids=['dot', 'backslash', '1025 characters'],
)
def test_a_name_that_azure_changes_or_cannot_hold_is_refused(
    sample: Sample, make_video: MakeVideo, name: str, reason: str
) -> None:
    make_video(name)

    assert_refused(sample, f'Rename {name}: ', reason)


def test_the_longest_name_that_azure_holds_is_converted(
    sample: Sample, make_video: MakeVideo
) -> None:
    folders = '/'.join(['x' * 200] * 5)
    name = f'{folders}/{"y" * 15}.mp4'
    assert len(name) == 1024
    make_video(name)

    assert_converts(sample, name.replace('.mp4', '.mp3'))


def test_white_space_and_quotes_around_a_setting_are_taken_off(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('a.mp4')
    variables = sample.azure.environment
    sample.environment = {
        'AZURE_STORAGE_KEY': f'"{variables["AZURE_STORAGE_KEY"]}"\n',
        'AZURE_BATCH_ACCESS_KEY': f" '{variables['AZURE_BATCH_ACCESS_KEY']}'\r\n",
        'AZURE_BATCH_ENDPOINT': f'{variables["AZURE_BATCH_ENDPOINT"]}\t',
    }

    assert_converts(sample, 'a.mp3')


def test_the_home_folder_is_meant_by_a_tilde(
    sample: Sample, make_video: MakeVideo, tmp_path: Path
) -> None:
    make_video('a.mp4')
    sample.environment = {'HOME': str(tmp_path / 'home')}

    result = sample.run('-y', '--output=~/Music')  # which the shell leaves as it is

    assert result.returncode == 0, result.stderr
    assert (tmp_path / 'home' / 'Music' / 'a.mp3').is_file()
    assert not (tmp_path / '~').exists()
