"""The input folder: which files are converted, under which names, and which names cannot be."""

from __future__ import annotations

import argparse

import pytest

import batch_python_tutorial_ffmpeg as sample

from .conftest import Videos


def test_inputs_are_the_videos_in_the_folder_and_below_it(videos: Videos) -> None:
    folder = videos(['b.mp4', 'a.MP4', 'sub/deep/c.Mp4', 'notes.txt', 'mp4', 'a.mp4.part'])

    found = sample.find_input_files(folder)

    assert found == {name: folder / name for name in ('a.MP4', 'b.mp4', 'sub/deep/c.Mp4')}


def test_inputs_are_sorted(videos: Videos) -> None:
    folder = videos(['c.mp4', 'a.mp4', 'b.mp4'])

    found = sample.find_input_files(folder)

    assert list(found) == ['a.mp4', 'b.mp4', 'c.mp4']


def test_inputs_may_have_any_name_that_can_be_shown(videos: Videos) -> None:
    names = ["it's $(here).mp4", '-rf.mp4', 'a*?[b].mp4', 'vidéo 動画.mp4']

    found = sample.find_input_files(videos(names))

    assert sorted(found) == sorted(names)


def test_inputs_do_not_include_a_folder_named_like_a_video(videos: Videos) -> None:
    folder = videos(['a.mp4', 'folder.mp4/readme.txt'])

    found = sample.find_input_files(folder)

    assert list(found) == ['a.mp4']


@pytest.mark.parametrize(
    ('names', 'problem'),
    [
        pytest.param([], 'is no folder', id='no-folder'),
        pytest.param(['notes.txt'], 'holds no .mp4 file', id='no-video'),
        pytest.param(
            ['x.mp4', 'x.MP4'], 'x.MP4 and x.mp4 both become x.mp3', id='one-output-name-for-two'
        ),
        pytest.param(
            ['sub/x.mp4', 'sub/x.Mp4'], 'both become sub/x.mp3', id='one-output-name-in-a-subfolder'
        ),
        pytest.param(['line\nbreak.mp4'], r"Rename 'line\nbreak.mp4'", id='line-break'),
        pytest.param(['\x1b[31mred.mp4'], r"Rename '\x1b[31mred.mp4'", id='escape-sequence'),
        pytest.param(['back\\slash.mp4'], r"Rename 'back\\slash.mp4'", id='backslash'),
        pytest.param(['not-utf8-\udcff.mp4'], r"Rename 'not-utf8-\udcff.mp4'", id='not-utf8'),
    ],
)
def test_inputs_that_cannot_be_converted_are_wrong_usage(
    names: list[str], problem: str, videos: Videos
) -> None:
    folder = videos(names)

    with pytest.raises(argparse.ArgumentError) as raised:
        sample.find_input_files(folder)

    assert problem in str(raised.value)


def test_inputs_with_one_stem_in_different_folders_do_not_clash(videos: Videos) -> None:
    found = sample.find_input_files(videos(['x.mp4', 'sub/x.mp4']))

    assert sorted(found) == ['sub/x.mp4', 'x.mp4']


@pytest.mark.parametrize(
    ('video', 'mp3'),
    [
        ('LowPriVMs-1.mp4', 'LowPriVMs-1.mp3'),
        ('a.b.mp4', 'a.b.mp3'),
        ('sub/x.mp4', 'sub/x.mp3'),
        ('UPPER.MP4', 'UPPER.mp3'),
        ('folder.mp4/x.mp4', 'folder.mp4/x.mp3'),
    ],
)
def test_mp3_name_changes_the_suffix_only(video: str, mp3: str) -> None:
    assert sample.mp3_name(video) == mp3
