"""Outputs: an MP3 counts only if it has arrived whole, and nothing half-written has a final name."""

from __future__ import annotations

import errno
from datetime import timedelta
from pathlib import Path

import pytest
from azure.batch import models
from azure.core.exceptions import ServiceRequestError
from azure.storage.blob import BlobProperties

import batch_python_tutorial_ffmpeg as sample

from .conftest import Clock, Videos
from .mocks import BatchMock, StorageMock
from .service_objects import (
    BEGAN,
    THIS_RUN,
    batch_error,
    blob_properties,
    container_properties,
    failed,
    storage_error,
    succeeded,
    unfinished,
)

INPUT, OUTPUT = sample._INPUT_CONTAINER_NAME, sample._OUTPUT_CONTAINER_NAME
NAMES = ['a.mp4', 'b.mp4', 'sub/c.d.mp4']
MP3S = {'a.mp3': b'ID3 a', 'b.mp3': b'ID3 bb', 'sub/c.d.mp3': b'ID3 ccc'}
SIZES = {name: len(content) for name, content in MP3S.items()}
OUTPUTS = dict(zip(NAMES, SIZES.values(), strict=True))  # what find_outputs returns


# --- find_outputs -----------------------------------------------------------------------------------------------------
def arrived(storage: StorageMock, sizes: dict[str, int], *more: BlobProperties) -> None:
    """Let these MP3s be in the output container, made by this run, and `more`."""
    storage.container(INPUT).get_container_properties.return_value = container_properties(
        THIS_RUN, BEGAN
    )
    blobs = [blob_properties(name, size) for name, size in sizes.items()]
    storage.container(OUTPUT).list_blobs.return_value = [*blobs, *more]


def test_outputs_are_all_there_after_a_success(
    storage: StorageMock, capsys: pytest.CaptureFixture[str]
) -> None:
    arrived(storage, SIZES)
    failures: dict[str, str] = {}

    outputs = sample.find_outputs(storage.client, NAMES, failures)

    assert (outputs, failures) == (OUTPUTS, {})
    printed = capsys.readouterr().out
    assert (
        printed
        == 'Success! All tasks completed successfully within the specified timeout period.\n'
    )


def test_outputs_of_failed_tasks_are_not_looked_for(
    storage: StorageMock, capsys: pytest.CaptureFixture[str]
) -> None:
    arrived(storage, SIZES)
    failures = {'b.mp4': 'exit code 1'}

    outputs = sample.find_outputs(storage.client, NAMES, failures)

    assert sorted(outputs) == ['a.mp4', 'sub/c.d.mp4']
    assert failures == {'b.mp4': 'exit code 1'}
    assert 'Success' not in capsys.readouterr().out


@pytest.mark.parametrize(
    ('sizes', 'reason'),
    [
        pytest.param(
            {'a.mp3': 5, 'sub/c.d.mp3': 7},
            'the task succeeded, but its MP3 is missing',
            id='missing',
        ),
        pytest.param(SIZES | {'b.mp3': 0}, 'the task succeeded, but its MP3 is empty', id='empty'),
    ],
)
def test_output_that_has_not_arrived_is_a_failure(
    sizes: dict[str, int], reason: str, storage: StorageMock, capsys: pytest.CaptureFixture[str]
) -> None:
    arrived(storage, sizes)
    failures: dict[str, str] = {}

    outputs = sample.find_outputs(storage.client, NAMES, failures)

    assert sorted(outputs) == ['a.mp4', 'sub/c.d.mp4']
    assert failures == {'b.mp4': reason}
    assert 'Success' not in capsys.readouterr().out


def test_output_of_an_earlier_run_does_not_count(storage: StorageMock) -> None:
    arrived(storage, {'b.mp3': 6}, blob_properties('a.mp3', 5, BEGAN - timedelta(days=1)))
    failures: dict[str, str] = {}

    outputs = sample.find_outputs(storage.client, ['a.mp4', 'b.mp4'], failures)

    assert outputs == {'b.mp4': 6}
    assert failures == {'a.mp4': 'the task succeeded, but its MP3 is missing'}


def test_outputs_of_others_in_the_container_are_left_alone(storage: StorageMock) -> None:
    arrived(storage, SIZES | {'of-somebody-else.mp3': 9})

    outputs = sample.find_outputs(storage.client, NAMES, {})

    assert outputs == OUTPUTS


# --- download_outputs -------------------------------------------------------------------------------------------------
def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


def put_outputs(storage: StorageMock, changes: dict[str, bytes | Exception] | None = None) -> None:
    for name, content in (MP3S | (changes or {})).items():
        storage.put_output(name, content)


def test_download_writes_every_mp3_under_its_name(
    storage: StorageMock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_outputs(storage)

    failures = sample.download_outputs(storage.client, OUTPUTS, tmp_path)

    assert failures == {}
    assert files_in(tmp_path) == MP3S
    assert (
        capsys.readouterr().out == f'Downloading 3 files from container [output] to {tmp_path}...\n'
    )


def test_download_replaces_an_older_file(storage: StorageMock, tmp_path: Path) -> None:
    put_outputs(storage)
    (tmp_path / 'a.mp3').write_bytes(b'of an earlier run, and longer')

    sample.download_outputs(storage.client, OUTPUTS, tmp_path)

    assert files_in(tmp_path) == MP3S


def test_download_gives_no_file_its_final_name_before_it_is_complete(
    storage: StorageMock, tmp_path: Path
) -> None:
    storage.put_output('a.mp3', MP3S['a.mp3'])
    downloader = storage.blob(OUTPUT, 'a.mp3').download_blob.return_value
    write = downloader.readinto.side_effect
    names_before: list[str] = []
    names_after: list[str] = []

    def readinto(file: object) -> int:
        names_before.extend(files_in(tmp_path))
        size: int = write(file)
        names_after.extend(files_in(tmp_path))
        return size

    downloader.readinto.side_effect = readinto

    sample.download_outputs(storage.client, {'a.mp4': SIZES['a.mp3']}, tmp_path)

    assert len(names_before) == len(names_after) == 1
    assert 'a.mp3' not in names_before + names_after
    assert files_in(tmp_path) == {'a.mp3': MP3S['a.mp3']}


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        pytest.param(b'ID3', '3 of 6 bytes arrived', id='too-short'),
        pytest.param(b'ID3 bb and more', '15 of 6 bytes arrived', id='too-long'),
        pytest.param(
            OSError(errno.ENOSPC, 'No space left on device', 'b.part'),
            'not downloaded: b.part: No space left on device',
            id='disk-full',
        ),
        pytest.param(ServiceRequestError('cut off'), 'not downloaded: cut off', id='cut-off'),
        pytest.param(
            storage_error('BlobNotFound'), 'not downloaded: BlobNotFound: Refused.', id='refused'
        ),
    ],
)
def test_download_that_fails_leaves_nothing_and_does_not_stop_the_others(
    content: bytes | Exception, reason: str, storage: StorageMock, tmp_path: Path
) -> None:
    put_outputs(storage, {'b.mp3': content})

    failures = sample.download_outputs(storage.client, OUTPUTS, tmp_path)

    assert failures == {'b.mp4': reason}
    assert files_in(tmp_path) == {name: mp3 for name, mp3 in MP3S.items() if name != 'b.mp3'}


def test_download_that_fails_leaves_the_file_of_an_earlier_run(
    storage: StorageMock, tmp_path: Path
) -> None:
    put_outputs(storage, {'a.mp3': b'ID3'})
    (tmp_path / 'a.mp3').write_bytes(b'whole, but older')

    sample.download_outputs(storage.client, OUTPUTS, tmp_path)

    assert (tmp_path / 'a.mp3').read_bytes() == b'whole, but older'


def test_download_over_a_folder_of_that_name_is_a_failure(
    storage: StorageMock, tmp_path: Path
) -> None:
    put_outputs(storage)
    (tmp_path / 'a.mp3').mkdir()

    failures = sample.download_outputs(storage.client, OUTPUTS, tmp_path)

    assert list(failures) == ['a.mp4']
    assert failures['a.mp4'].startswith('not downloaded: ')


# --- report -----------------------------------------------------------------------------------------------------------
@pytest.fixture
def three_tasks(batch: BatchMock, clock: Clock) -> None:
    """Three tasks have ended on five nodes, which were allocated when the clock started; ten minutes have passed."""
    batch.tasks[:] = [succeeded(name) for name in NAMES]
    batch.compute_node.list.return_value = [models.ComputeNode(allocation_time=BEGAN)] * 5
    clock.sleep(600)


def paths(videos: Videos) -> dict[str, Path]:
    """The three videos; each has 1,000 bytes."""
    folder = videos(NAMES)
    for name in NAMES:
        (folder / name).write_bytes(b'v' * 1000)
    return {name: folder / name for name in NAMES}


@pytest.mark.usefixtures('three_tasks')
def test_report_has_a_row_for_each_file_and_the_totals(
    batch: BatchMock, videos: Videos, capsys: pytest.CaptureFixture[str]
) -> None:
    sample.report(batch.client, paths(videos), OUTPUTS, {})

    printed = capsys.readouterr()
    heading, *rows, totals = printed.err.splitlines()[1:]
    assert printed.out == ''
    assert heading.split() == [
        'File',
        '(3',
        'of',
        '3)',
        'Node',
        'Wait',
        'Run',
        'In',
        'Out',
        'Result',
    ]
    assert [row.split() for row in rows] == [
        [name, 'abcdef_p', '60.0', 's', '90.0', 's', '1.00kB', f'{size:.2f}B', 'ok']
        for name, size in OUTPUTS.items()
    ]
    assert (
        totals == 'Work: 270.0 s in 90.0 s, 3.0 times as fast as one node. Pool: 0.83 node-hours.'
    )
    assert max(map(len, printed.err.splitlines())) < 80


@pytest.mark.usefixtures('three_tasks')
def test_report_tells_of_failed_files_first_and_raises(
    batch: BatchMock,
    videos: Videos,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sample, '_SHOWN_FILES', 2)
    failures = {
        'b.mp4': 'exit code 1\n    Invalid data',
        'sub/c.d.mp4': 'not done in time (active)',
    }
    batch.tasks[1:] = [failed('b.mp4'), unfinished('sub/c.d.mp4')]

    with pytest.raises(sample.SampleError, match=r'^2 of 3 files failed\.$'):
        sample.report(batch.client, paths(videos), {'a.mp4': 5}, failures)

    printed = capsys.readouterr().err
    assert ' failed\n    exit code 1\n    Invalid data\n' in printed
    assert ' failed\n    not done in time (active)\n' in printed
    assert 'a.mp4' not in printed


@pytest.mark.usefixtures('three_tasks')
def test_report_does_not_need_the_videos_any_more(
    batch: BatchMock, videos: Videos, capsys: pytest.CaptureFixture[str]
) -> None:
    input_paths = paths(videos)
    for path in input_paths.values():
        path.unlink()

    sample.report(batch.client, input_paths, OUTPUTS, {})

    assert capsys.readouterr().err.count(' 0.00B ') == len(NAMES)


@pytest.mark.usefixtures('three_tasks')
def test_report_asks_for_no_more_than_it_shows(batch: BatchMock, videos: Videos) -> None:
    sample.report(batch.client, paths(videos), OUTPUTS, {})

    assert (
        batch.task.list.call_args.args[1].select
        == 'displayName,creationTime,executionInfo,nodeInfo'
    )


@pytest.mark.usefixtures('three_tasks')
def test_report_of_tasks_that_never_ran_claims_no_speed(
    batch: BatchMock, videos: Videos, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.tasks[:] = [unfinished(name) for name in NAMES]
    failures = dict.fromkeys(NAMES, 'not done in time (active)')

    with pytest.raises(sample.SampleError, match='3 of 3 files failed'):
        sample.report(batch.client, paths(videos), {}, failures)

    assert 'Work: 0.0 s in 0.0 s. Pool: 0.83 node-hours.' in capsys.readouterr().err


@pytest.mark.usefixtures('three_tasks')
@pytest.mark.parametrize('request_', ['task', 'compute_node'])
@pytest.mark.parametrize(
    'error', [batch_error('PoolNotFound', status=404), sample.SampleError('No answer.')]
)
def test_report_without_an_answer_still_names_every_file_and_failure(
    request_: str,
    error: Exception,
    batch: BatchMock,
    videos: Videos,
    capsys: pytest.CaptureFixture[str],
) -> None:
    getattr(batch, request_).list.side_effect = error

    sample.report(batch.client, paths(videos), OUTPUTS, {})  # a complete run stays one
    with pytest.raises(sample.SampleError, match='1 of 3 files failed'):
        sample.report(
            batch.client, paths(videos), OUTPUTS, {'b.mp4': 'exit code 1\n    Invalid data'}
        )

    printed = capsys.readouterr().err
    assert [line.split()[0] for line in printed.splitlines() if '.mp4' in line][:3] == NAMES
    assert 'exit code 1\n    Invalid data' in printed


@pytest.mark.usefixtures('three_tasks')
def test_report_shows_the_failures_whose_stderr_was_read(
    batch: BatchMock,
    videos: Videos,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sample, '_SHOWN_FILES', 1)
    failures = {
        'sub/c.d.mp4': 'exit code 1\n    Invalid data',
        'a.mp4': 'exit code 1',
    }  # in the order of the service

    with pytest.raises(sample.SampleError):
        sample.report(batch.client, paths(videos), {}, failures)

    assert 'Invalid data' in capsys.readouterr().err
