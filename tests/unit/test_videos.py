"""The input folder: which files are videos, which names are refused, and what cannot be read."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

import batch_python_tutorial_ffmpeg as sample

from .conftest import Videos

COMPOSED = 'caf\u00e9.mp4'
DECOMPOSED = 'cafe\u0301.mp4'


def refusal(folder: Path) -> str:
    """Return why find_videos refuses a folder."""
    with pytest.raises(sample.UsageError) as raised:
        sample.find_videos(folder)
    return str(raised.value)


# --- What is found --------------------------------------------------------------------------------


def test_videos_are_in_the_folder_and_below_it(videos: Videos) -> None:
    folder = videos(['b.mp4', 'a.MP4', 'sub/deep/c.Mp4', 'notes.txt', 'mp4', 'a.mp4.part'])

    found = sample.find_videos(folder)

    assert found == {name: folder / name for name in ('a.MP4', 'b.mp4', 'sub/deep/c.Mp4')}


def test_videos_are_sorted(videos: Videos) -> None:
    folder = videos(['c.mp4', 'a.mp4', 'b.mp4'])

    assert list(sample.find_videos(folder)) == ['a.mp4', 'b.mp4', 'c.mp4']


def test_videos_may_have_any_name_that_can_be_shown(videos: Videos) -> None:
    names = ["it's $(here).mp4", '-rf.mp4', 'a*?[b].mp4', 'vid\u00e9o \u52d5\u753b.mp4', 'a..mp4']

    found = sample.find_videos(videos(names))

    assert sorted(found) == sorted(names)


def test_videos_do_not_include_a_folder_named_like_one(videos: Videos) -> None:
    folder = videos(['a.mp4', 'folder.mp4/readme.txt'])

    assert list(sample.find_videos(folder)) == ['a.mp4']


def test_videos_with_one_stem_in_different_folders_do_not_clash(videos: Videos) -> None:
    found = sample.find_videos(videos(['x.mp4', 'sub/x.mp4']))

    assert sorted(found) == ['sub/x.mp4', 'x.mp4']


def test_videos_are_found_in_a_folder_that_is_a_link(videos: Videos, tmp_path: Path) -> None:
    link = tmp_path / 'link'
    link.symlink_to(videos(['a.mp4']))

    assert list(sample.find_videos(link)) == ['a.mp4']


def test_videos_may_be_links_to_files(videos: Videos, tmp_path: Path) -> None:
    folder = videos(['a.mp4'])
    elsewhere = tmp_path / 'elsewhere.bin'
    elsewhere.write_bytes(b'a video')
    (folder / 'b.mp4').symlink_to(elsewhere)

    assert list(sample.find_videos(folder)) == ['a.mp4', 'b.mp4']


# --- What is left out -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    'name',
    [
        '._a.mp4',
        '.hidden.mp4',
        '.Trash-1000/b.mp4',
        'sub/.cache/b.mp4',
        '$RECYCLE.BIN/b.mp4',
        '@eaDir/b.mp4',
        'sub/@eaDir/b.mp4',
    ],
)
def test_hidden_files_and_folders_are_not_taken(name: str, videos: Videos) -> None:
    folder = videos(['a.mp4', name])

    assert list(sample.find_videos(folder)) == ['a.mp4']


@pytest.mark.parametrize('name', ['._a.mp4', '.Trash-1000/b.mp4', '$RECYCLE.BIN/b.mp4'])
def test_a_folder_with_hidden_files_only_is_refused_and_says_that_they_are_not_taken(
    name: str, videos: Videos
) -> None:
    message = refusal(videos([name]))

    assert 'holds no .mp4 file' in message
    assert 'hidden' in message
    assert 'not taken' in message


def test_a_folder_without_any_video_is_refused_and_says_nothing_of_hidden_ones(
    videos: Videos,
) -> None:
    folder = videos(['notes.txt', '.git'])

    assert refusal(folder) == f'--input: {folder} holds no .mp4 file.'


def test_a_link_to_a_folder_is_not_followed_and_is_named(
    videos: Videos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = videos(['a.mp4'])
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    (elsewhere / 'b.mp4').write_bytes(b'a video')
    (folder / 'linked').symlink_to(elsewhere)

    found = sample.find_videos(folder)

    assert list(found) == ['a.mp4']
    link = folder / 'linked'
    assert capsys.readouterr().err == f'Not looked into: {link} is a link to a folder.\n'


# --- What cannot be read --------------------------------------------------------------------------
#
# root may read everything, so the permissions are made up.


def test_a_folder_that_is_missing_or_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / 'file.mp4'
    file.write_bytes(b'a video')

    assert refusal(tmp_path / 'missing') == f'--input: {tmp_path / "missing"} is no folder.'
    assert refusal(file) == f'--input: {file} is no folder.'


@pytest.mark.parametrize('closed', ['', 'sub'], ids=['the folder', 'a sub-folder'])
def test_a_folder_that_cannot_be_read_is_refused_and_named(
    closed: str, videos: Videos, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = videos(['a.mp4', 'sub/b.mp4'])
    scandir = os.scandir

    def scan(path: Any) -> Any:
        if Path(path) == folder / closed:
            raise PermissionError(errno.EACCES, 'Permission denied', str(path))
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', scan)

    assert refusal(folder) == f'--input: {folder / closed} cannot be read: Permission denied.'


def test_a_folder_that_can_be_listed_and_not_entered_is_refused_and_named(
    videos: Videos, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = videos(['a.mp4', 'sub/b.mp4'])
    closed = folder / 'sub'

    def access(path: Any, mode: int) -> bool:
        return not (mode == os.X_OK and Path(path) == closed)

    monkeypatch.setattr(os, 'access', access)

    assert refusal(folder) == f'--input: {closed} cannot be read: permission denied.'


def test_a_video_that_cannot_be_read_is_refused_and_named(
    videos: Videos, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = videos(['a.mp4', 'b.mp4'])
    monkeypatch.setattr(os, 'access', lambda path, _mode: path != folder / 'b.mp4')

    assert refusal(folder) == f'--input: {folder / "b.mp4"} cannot be read: permission denied.'


def test_a_link_to_nowhere_is_refused_and_named(videos: Videos, tmp_path: Path) -> None:
    folder = videos(['a.mp4'])
    (folder / 'b.mp4').symlink_to(tmp_path / 'missing')

    assert refusal(folder) == f'--input: {folder / "b.mp4"} is not a file, or a link to nowhere.'


# --- Names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('name', 'shown', 'problem'),
    [
        ('line\nbreak.mp4', r"'line\nbreak.mp4'", 'cannot be shown'),
        ('\x1b[31mred.mp4', r"'\x1b[31mred.mp4'", 'cannot be shown'),
        ('\x7f.mp4', r"'\x7f.mp4'", 'cannot be shown'),
        ('\x85.mp4', r"'\x85.mp4'", 'cannot be shown'),
        ('not-utf8-\udcff.mp4', r"'not-utf8-\udcff.mp4'", 'cannot be shown'),
        ('\uffff.mp4', r"'\uffff.mp4'", 'cannot be shown'),
        ('back\\slash.mp4', 'back\\slash.mp4', 'turns a backslash into a slash'),
        ('sub./a.mp4', 'sub./a.mp4', 'drops the dot at the end of a folder name'),
        ('a/b./c/a.mp4', 'a/b./c/a.mp4', 'drops the dot at the end of a folder name'),
    ],
)
def test_a_name_that_storage_would_change_is_refused_with_the_reason(
    name: str, shown: str, problem: str, videos: Videos
) -> None:
    message = refusal(videos([name]))

    assert message.startswith(f'Rename {shown}: ')
    assert problem in message


def test_a_name_may_have_1024_characters_and_not_one_more() -> None:
    longest = f'{"d" * 200}/' * 5 + 'a' * 15 + '.mp4'
    assert len(longest) == 1024

    sample.check_names([longest])
    with pytest.raises(sample.UsageError, match='allows 1,024 characters'):
        sample.check_names([f'a{longest}'])


@pytest.mark.parametrize(
    ('names', 'problem'),
    [
        (['x.MP4', 'x.mp4'], 'x.MP4 and x.mp4 both become x.mp3'),
        (['sub/x.Mp4', 'sub/x.mp4'], 'sub/x.Mp4 and sub/x.mp4 both become sub/x.mp3'),
        (['Talk.mp4', 'talk.mp4'], 'Talk.mp4 and talk.mp4 both become talk.mp3'),
        (['Sub/x.mp4', 'sub/x.mp4'], 'Sub/x.mp4 and sub/x.mp4 both become sub/x.mp3'),
        ([DECOMPOSED, COMPOSED], f'{DECOMPOSED} and {COMPOSED} both become caf\u00e9.mp3'),
        (['CAF\u00c9.mp4', DECOMPOSED], 'both become cafe\u0301.mp3'),
    ],
    ids=['suffix', 'in a folder', 'case', 'case of a folder', 'accent', 'accent and case'],
)
def test_two_names_that_would_be_one_mp3_are_refused_and_both_named(
    names: list[str], problem: str
) -> None:
    with pytest.raises(sample.UsageError) as raised:
        sample.check_names(names)

    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ('names', 'problem'),
    [
        (['a.mp4', 'a.mp3/b.mp4'], 'a.mp4 becomes a file where a.mp3/b.mp4 needs a folder'),
        (['a.mp3/b.mp4', 'a.mp4'], 'a.mp4 becomes a file where a.mp3/b.mp4 needs a folder'),
        (['x/a.mp4', 'x/a.mp3/c/b.mp4'], 'x/a.mp4 becomes a file where x/a.mp3/c/b.mp4 needs'),
        (['A.mp4', 'a.MP3/b.mp4'], 'A.mp4 becomes a file where a.MP3/b.mp4 needs a folder'),
    ],
    ids=['beside', 'in the other order', 'deeper', 'case'],
)
def test_an_mp3_in_the_place_of_a_folder_is_refused_and_both_named(
    names: list[str], problem: str
) -> None:
    with pytest.raises(sample.UsageError) as raised:
        sample.check_names(names)

    assert problem in str(raised.value)


def test_a_folder_named_like_an_mp3_of_another_folder_is_accepted() -> None:
    sample.check_names(['a.mp4', 'sub/a.mp3/b.mp4', 'a/b.mp4', 'b.mp3/b.mp4'])


def test_two_videos_that_would_be_one_mp3_are_refused(videos: Videos) -> None:
    assert 'both become' in refusal(videos(['Talk.mp4', 'talk.mp4']))


# --- --missing ------------------------------------------------------------------------------------


def test_videos_that_have_an_mp3_are_left_out(
    videos: Videos, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = sample.find_videos(videos(['a.mp4', 'sub/b.mp4', 'sub/c.mp4']))
    (output / 'sub').mkdir(parents=True)
    (output / 'sub' / 'b.mp3').write_bytes(b'ID3')
    (output / 'a.mp3').mkdir()  # no file

    missing = sample.leave_out_converted(found, output)

    assert missing == {name: found[name] for name in ('a.mp4', 'sub/c.mp4')}
    line = f'1 of 3 videos have an MP3 in {output} and are left out.\n'
    assert capsys.readouterr().out == line


def test_no_video_is_left_out_when_there_is_no_output_folder(videos: Videos, output: Path) -> None:
    found = sample.find_videos(videos(['a.mp4']))

    assert sample.leave_out_converted(found, output) == found
