"""Outputs: an MP3 counts only if it has arrived whole, and nothing half-written has its name."""

from __future__ import annotations

import errno
from datetime import timedelta
from pathlib import Path

import pytest
from azure.core.exceptions import ServiceRequestError
from azure.storage.blob import BlobProperties

import batch_python_tutorial_ffmpeg as sample

from .conftest import NewRun
from .mocks import MP3S, OUTPUT, VIDEOS, StorageMock
from .service_objects import BEGAN, blob_properties, storage_error

SIZES = {name: len(content) for name, content in MP3S.items()}
SUCCESS = 'Success! All tasks completed successfully within the specified timeout period.\n'


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


@pytest.fixture
def converted(new_run: NewRun) -> sample.Run:
    """A run whose tasks have all ended well."""
    run = new_run()
    run.since = BEGAN
    run.results = {name: sample.VideoResult(name) for name in VIDEOS}
    return run


# --- find_outputs ---------------------------------------------------------------------------------


def put_blobs(storage: StorageMock, sizes: dict[str, int], *more: BlobProperties) -> None:
    """Let these MP3s of this run be in the output container, and `more`."""
    blobs = [blob_properties(name, size) for name, size in sizes.items()]
    storage.container(OUTPUT).list_blobs.return_value = [*blobs, *more]


def outcomes(run: sample.Run) -> dict[str, tuple[str, str]]:
    return {name: (result.status, result.reason) for name, result in run.results.items()}


def test_outputs_that_have_arrived_leave_the_results_alone(
    converted: sample.Run, storage: StorageMock
) -> None:
    put_blobs(storage, SIZES)

    sample.find_outputs(converted)

    assert outcomes(converted) == dict.fromkeys(VIDEOS, ('ok', ''))
    assert [result.output_size for result in converted.results.values()] == [5, 6, 7]


@pytest.mark.parametrize(
    ('sizes', 'reason'),
    [
        pytest.param(
            {'a.mp3': 5, 'sub/d.mp3': 7},
            'the task has ended, but its MP3 is missing',
            id='missing',
        ),
        pytest.param(
            SIZES | {'b.c.mp3': 0}, 'the task has ended, but its MP3 is empty', id='empty'
        ),
    ],
)
def test_video_whose_output_has_not_arrived_has_failed(
    sizes: dict[str, int], reason: str, converted: sample.Run, storage: StorageMock
) -> None:
    put_blobs(storage, sizes)

    sample.find_outputs(converted)

    assert outcomes(converted) == {
        'a.mp4': ('ok', ''),
        'b.c.mp4': ('failed', reason),
        'sub/d.MP4': ('ok', ''),
    }


def test_damaged_video_whose_output_has_not_arrived_has_failed(
    converted: sample.Run, storage: StorageMock
) -> None:
    put_blobs(storage, {'b.c.mp3': 6, 'sub/d.mp3': 7})
    converted.results['a.mp4'].status = 'damaged'

    sample.find_outputs(converted)

    assert converted.results['a.mp4'].status == 'failed'


def test_failed_video_keeps_its_reason(converted: sample.Run, storage: StorageMock) -> None:
    put_blobs(storage, {'a.mp3': 5, 'sub/d.mp3': 7})
    converted.results['b.c.mp4'] = sample.VideoResult(
        'b.c.mp4', status='failed', reason='exit code 1'
    )

    sample.find_outputs(converted)

    assert outcomes(converted)['b.c.mp4'] == ('failed', 'exit code 1')


def test_video_whose_task_was_deleted_has_failed(
    converted: sample.Run, storage: StorageMock
) -> None:
    put_blobs(storage, SIZES)
    del converted.results['a.mp4']

    sample.find_outputs(converted)

    assert outcomes(converted)['a.mp4'] == (
        'failed',
        'its task is gone: somebody has deleted it',
    )


def test_task_that_somebody_else_has_added_to_the_job_is_no_video_of_the_run(
    converted: sample.Run, storage: StorageMock
) -> None:
    put_blobs(storage, SIZES)
    converted.results['their.mp4'] = sample.VideoResult('their.mp4', status='failed')

    sample.find_outputs(converted)

    assert set(converted.results) == set(converted.videos)


def test_output_of_an_earlier_run_does_not_count(
    converted: sample.Run, storage: StorageMock
) -> None:
    older = blob_properties('a.mp3', 5, BEGAN - timedelta(seconds=1))
    put_blobs(storage, {'b.c.mp3': 6, 'sub/d.mp3': 7}, older)

    sample.find_outputs(converted)

    assert outcomes(converted)['a.mp4'] == (
        'failed',
        'the task has ended, but its MP3 is missing',
    )


def test_output_written_in_the_second_in_which_the_run_began_counts(
    converted: sample.Run, storage: StorageMock
) -> None:
    """Storage's times are whole seconds."""
    put_blobs(storage, {'b.c.mp3': 6, 'sub/d.mp3': 7}, blob_properties('a.mp3', 5, BEGAN))

    sample.find_outputs(converted)

    assert outcomes(converted)['a.mp4'] == ('ok', '')


def test_outputs_of_others_in_the_container_are_left_alone(
    converted: sample.Run, storage: StorageMock
) -> None:
    put_blobs(storage, SIZES | {'of-somebody-else.mp3': 9})

    sample.find_outputs(converted)

    assert sorted(converted.results) == VIDEOS


def test_outputs_of_a_run_that_has_not_begun_are_none(
    converted: sample.Run, storage: StorageMock
) -> None:
    put_blobs(storage, SIZES)
    converted.since = None

    assert sample.output_sizes(converted) == {}


# --- print_success --------------------------------------------------------------------------------


def test_success_is_printed_when_every_video_is_ok(
    converted: sample.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    sample.print_success(converted)

    assert capsys.readouterr().out == SUCCESS


@pytest.mark.parametrize('status', ['failed', 'damaged'])
def test_success_is_not_printed_when_one_video_is_not_ok(
    status: str, converted: sample.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    converted.results['sub/d.MP4'].status = status

    sample.print_success(converted)

    assert capsys.readouterr().out == ''


# --- download_outputs -----------------------------------------------------------------------------


@pytest.fixture
def found(converted: sample.Run, storage: StorageMock, output: Path) -> sample.Run:
    """A run whose MP3s are all in the output container, and wait to be downloaded."""
    output.mkdir()
    for name, content in MP3S.items():
        storage.put_output(name, content)
    for name, result in converted.results.items():
        result.output_size = SIZES[sample.output_name(name)]
    return converted


def test_download_writes_every_mp3_under_its_name(
    found: sample.Run, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample.download_outputs(found)

    assert files_in(output) == MP3S
    assert sorted(found.arrived) == VIDEOS
    assert outcomes(found) == dict.fromkeys(VIDEOS, ('ok', ''))
    assert capsys.readouterr().out == (
        f'Downloading 3 files from container [output] to {output}...\n'
    )


def test_download_brings_what_there_is_of_a_damaged_video(found: sample.Run, output: Path) -> None:
    found.results['a.mp4'].status = 'damaged'
    found.results['a.mp4'].reason = 'ffmpeg reported errors'

    sample.download_outputs(found)

    assert files_in(output) == MP3S
    assert outcomes(found)['a.mp4'] == ('damaged', 'ffmpeg reported errors')


def test_download_leaves_out_what_has_failed(
    found: sample.Run, storage: StorageMock, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found.results['a.mp4'].status = 'failed'

    sample.download_outputs(found)

    assert sorted(files_in(output)) == ['b.c.mp3', 'sub/d.mp3']
    assert (OUTPUT, 'a.mp3') not in storage.blobs or not storage.blobs[
        OUTPUT, 'a.mp3'
    ].download_blob.called
    assert 'Downloading 2 files' in capsys.readouterr().out


def test_download_replaces_an_older_file(found: sample.Run, output: Path) -> None:
    (output / 'a.mp3').write_bytes(b'of an earlier run, and longer')

    sample.download_outputs(found)

    assert files_in(output) == MP3S


def test_download_gives_no_file_its_name_before_it_is_complete(
    found: sample.Run, storage: StorageMock, output: Path
) -> None:
    downloader = storage.blob(OUTPUT, 'a.mp3').download_blob.return_value
    write = downloader.readinto.side_effect
    present: list[bool] = []

    def readinto(file: object) -> int:
        size: int = write(file)
        present.append((output / 'a.mp3').exists())
        return size

    downloader.readinto.side_effect = readinto

    sample.download_outputs(found)

    assert present == [False]
    assert (output / 'a.mp3').read_bytes() == MP3S['a.mp3']


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        pytest.param(b'ID3', '3 of 6 bytes arrived', id='too-short'),
        pytest.param(b'ID3 bb and more', '15 of 6 bytes arrived', id='too-long'),
        pytest.param(
            OSError(errno.ENOSPC, 'No space left on device'),
            '{path}: No space left on device',
            id='disk-full',
        ),
        pytest.param(ServiceRequestError('cut off'), 'Storage at ', id='cut-off'),
        pytest.param(storage_error('BlobNotFound'), 'BlobNotFound: Refused.', id='refused'),
    ],
)
def test_download_that_fails_leaves_nothing_and_does_not_stop_the_others(
    content: bytes | Exception,
    reason: str,
    found: sample.Run,
    storage: StorageMock,
    output: Path,
) -> None:
    storage.put_output('b.c.mp3', content)

    sample.download_outputs(found)

    status, why = outcomes(found)['b.c.mp4']
    assert status == 'failed'
    assert why.startswith(f'not downloaded: {reason.format(path=output / "b.c.mp3")}')
    assert sorted(files_in(output)) == ['a.mp3', 'sub/d.mp3']
    assert sorted(found.arrived) == ['a.mp4', 'sub/d.MP4']


def test_download_that_fails_leaves_the_file_of_an_earlier_run(
    found: sample.Run, storage: StorageMock, output: Path
) -> None:
    storage.put_output('a.mp3', b'ID3')
    (output / 'a.mp3').write_bytes(b'whole, but older')

    sample.download_outputs(found)

    assert (output / 'a.mp3').read_bytes() == b'whole, but older'


def test_download_over_a_folder_of_that_name_names_the_mp3(found: sample.Run, output: Path) -> None:
    (output / 'a.mp3').mkdir()

    sample.download_outputs(found)

    assert outcomes(found)['a.mp4'] == (
        'failed',
        f'not downloaded: {output / "a.mp3"}: Is a directory',
    )


def test_download_whose_folder_is_a_file_names_the_mp3(found: sample.Run, output: Path) -> None:
    (output / 'sub').write_bytes(b'a file')

    sample.download_outputs(found)

    status, reason = outcomes(found)['sub/d.MP4']
    assert status == 'failed'
    assert reason.startswith(f'not downloaded: {output / "sub/d.mp3"}: ')


def test_download_of_a_name_that_the_disk_refuses_names_the_mp3(
    found: sample.Run, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a colon on a disk of Windows."""

    def refuse(part: Path, _target: Path) -> None:
        raise OSError(errno.EINVAL, 'Invalid argument', str(part))

    monkeypatch.setattr(Path, 'replace', refuse)

    sample.download_outputs(found)

    assert outcomes(found)['a.mp4'] == (
        'failed',
        f'not downloaded: {output / "a.mp3"}: Invalid argument',
    )
    assert files_in(output) == {}


def test_download_of_a_name_as_long_as_the_disk_allows(
    new_run: NewRun, storage: StorageMock, output: Path
) -> None:
    video = 'v' * 251 + '.mp4'
    run = new_run(names=[video])
    run.results = {video: sample.VideoResult(video, output_size=3)}
    storage.put_output('v' * 251 + '.mp3', b'ID3')

    sample.download_outputs(run)

    assert files_in(output) == {'v' * 251 + '.mp3': b'ID3'}


def test_unfinished_downloads_have_names_of_their_own() -> None:
    names = {sample.part_name(name) for name in ('a.mp3', 'b.mp3', 'sub/a.mp3')}

    assert len(names) == 3
    assert sample.part_name('a.mp3') in names
    assert all(name.startswith('.') and name.endswith('.part') for name in names)


# --- --missing ------------------------------------------------------------------------------------


def test_missing_leaves_out_the_videos_that_have_an_mp3(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (output / 'sub').mkdir(parents=True)
    (output / 'a.mp3').write_bytes(b'ID3')
    (output / 'sub/d.mp3').write_bytes(b'ID3')
    videos = {name: Path(name) for name in VIDEOS}

    missing = sample.leave_out_converted(videos, output)

    assert missing == {'b.c.mp4': Path('b.c.mp4')}
    assert capsys.readouterr().out == (f'2 of 3 videos have an MP3 in {output} and are left out.\n')


def test_missing_takes_all_videos_when_there_is_no_output_folder(output: Path) -> None:
    videos = {name: Path(name) for name in VIDEOS}

    assert sample.leave_out_converted(videos, output) == videos


def test_missing_does_not_take_an_unfinished_download_for_an_mp3(output: Path) -> None:
    output.mkdir()
    (output / sample.part_name('a.mp3')).write_bytes(b'ID3')

    assert sample.leave_out_converted({'a.mp4': Path('a.mp4')}, output) == {'a.mp4': Path('a.mp4')}
