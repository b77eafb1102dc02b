"""Containers, uploads, SAS, the clock of Azure, and outputs that arrive complete."""

from __future__ import annotations

import errno
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ServiceRequestError

import batch_python_tutorial_ffmpeg as sample

from .conftest import NewRun, interrupt
from .mocks import INPUT, MP3S, OUTPUT, StorageMock
from .service_objects import (
    BEGAN,
    OURS,
    blob_properties,
    container_properties,
    sas_of,
    storage_answer,
    storage_error,
    user_delegation_key,
)

A, B = sample.output_name('a.mp4'), sample.output_name('b.c.mp4')
EARLIER = b'of an earlier run'
EXPIRY = datetime(2026, 11, 23, 16, tzinfo=UTC)


def answer_clock(storage: StorageMock, moment: datetime = BEGAN) -> None:
    """Let the output container answer at this moment of Azure's clock."""

    def get(**options: Any) -> Any:
        options.get('raw_response_hook', lambda _: None)(storage_answer(moment))
        return container_properties(OURS)

    storage.container(OUTPUT).get_container_properties.side_effect = get


# --- Containers -----------------------------------------------------------------------------------


def test_a_container_is_created_with_the_metadata_of_the_sample(storage: StorageMock) -> None:
    sample.create_container(storage.client, 'input')

    storage.container('input').create_container.assert_called_once_with(metadata=OURS)


def test_a_container_that_is_being_deleted_is_waited_for(storage: StorageMock) -> None:
    create = storage.container('input').create_container
    create.side_effect = [storage_error('ContainerBeingDeleted')] * 3 + [None]

    sample.create_container(storage.client, 'input')

    assert create.call_count == 4


# --- Uploads --------------------------------------------------------------------------------------


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / 'a.b.mp4'
    path.write_bytes(b'a video')
    return path


def test_an_uploaded_file_becomes_a_resource_file_that_may_only_be_read(
    storage: StorageMock, video: Path
) -> None:
    sent = []
    upload = storage.blob('input', 'sub/a.b.mp4').upload_blob
    upload.side_effect = lambda data, **_: sent.append(data.read())

    resource = sample.upload_file_to_container(
        storage.client, 'input', video, blob_name='sub/a.b.mp4', sas_expiry=EXPIRY
    )

    assert sent == [b'a video']
    assert upload.call_args.kwargs['overwrite'] is True
    assert upload.call_args.kwargs['validate_content'] is True
    assert resource.file_path == 'sub/a.b.mp4'
    assert resource.http_url.startswith(storage.blob('input', 'sub/a.b.mp4').url + '?')
    sas = sas_of(resource.http_url)
    assert (sas['sr'], sas['sp'], sas['se']) == ('b', 'r', '2026-11-23T16:00:00Z')


def test_a_file_without_name_and_expiry_keeps_its_own_and_gets_that_of_the_settings(
    storage: StorageMock, video: Path
) -> None:
    resource = sample.upload_file_to_container(storage.client, 'input', video)

    lasts = BEGAN + sample._UPLOAD_TIME + sample._JOB_TIMEOUT
    assert resource.file_path == 'a.b.mp4'
    assert sas_of(resource.http_url)['se'] == f'{lasts:%Y-%m-%dT%H:%M:%SZ}'
    url = sample.get_container_sas_url(storage.client, 'output', 'w')
    assert sas_of(url)['se'] == f'{lasts:%Y-%m-%dT%H:%M:%SZ}'


def test_a_file_that_is_there_is_signed_and_not_sent(storage: StorageMock, video: Path) -> None:
    resource = sample.upload_file_to_container(storage.client, 'input', video, is_there=True)

    storage.blob('input', 'a.b.mp4').upload_blob.assert_not_called()
    assert 'sig' in sas_of(resource.http_url)


def test_the_container_sas_grants_what_is_asked_for(storage: StorageMock) -> None:
    url = sample.get_container_sas_url(storage.client, 'output', 'cw', expiry=EXPIRY)

    sas = sas_of(url)
    assert url.startswith(storage.container('output').url + '?')
    assert (sas['sr'], sas['sp'], sas['se']) == ('c', 'cw', '2026-11-23T16:00:00Z')


def test_without_an_account_key_a_sas_is_signed_by_a_delegation_key(
    storage: StorageMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, '_STORAGE_ACCOUNT_KEY', '')
    answer_clock(storage)
    storage.client.get_user_delegation_key.return_value = user_delegation_key()

    urls = [
        sample.get_container_sas_url(storage.client, 'output', 'cw', expiry=EXPIRY)
        for _ in range(2)
    ]

    assert all('skoid' in sas_of(url) for url in urls)
    start, end = storage.client.get_user_delegation_key.call_args.args
    assert start < BEGAN  # the clocks of Azure's own machines differ a little
    assert end == EXPIRY
    storage.client.get_user_delegation_key.assert_called_once()


def test_a_delegation_key_lives_no_longer_than_seven_days(
    storage: StorageMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, '_STORAGE_ACCOUNT_KEY', '')
    answer_clock(storage)
    storage.client.get_user_delegation_key.return_value = user_delegation_key()

    sample.user_delegation_key(storage.client, BEGAN + timedelta(days=8))

    start, end = storage.client.get_user_delegation_key.call_args.args
    assert end - start == timedelta(days=7)


def upload(run: sample.Run, storage: StorageMock, *there: Any, now: datetime = BEGAN) -> Any:
    """Upload the videos of a run, where these blobs are there already."""
    answer_clock(storage, now)
    show_blobs(storage, *there)
    return sample.upload_videos(run)


def show_blobs(storage: StorageMock, *blobs: Any) -> None:
    """Let the input container hold these. It lists their metadata only if asked to."""

    def list_blobs(include: list[str]) -> list[Any]:
        return list(blobs) if 'metadata' in include else []

    storage.container(INPUT).list_blobs.side_effect = list_blobs


def blob_of(run: sample.Run, name: str, **changes: str) -> Any:
    metadata = sample.file_metadata(run.videos[name]) | changes
    return blob_properties(name, 9, metadata=metadata)


def sent(storage: StorageMock) -> list[str]:
    return sorted(name for (_, name), blob in storage.blobs.items() if blob.upload_blob.called)


def test_the_uploads_come_back_in_the_order_of_the_videos(
    new_run: NewRun, storage: StorageMock
) -> None:
    run = new_run(names=['sub/b.mp4', 'a.mp4'])

    files = upload(run, storage, blob_properties('other.mp4', 9))

    assert [file.file_path for file in files] == ['sub/b.mp4', 'a.mp4']
    assert sent(storage) == ['a.mp4', 'sub/b.mp4']
    lasts = BEGAN + sample._UPLOAD_TIME + run.options.timeout
    assert {sas_of(file.http_url)['se'] for file in files} == {f'{lasts:%Y-%m-%dT%H:%M:%SZ}'}


def test_a_video_that_is_there_is_not_sent_again(new_run: NewRun, storage: StorageMock) -> None:
    run = new_run(names=['a.mp4', 'b.mp4', 'c.mp4', 'd.mp4'])
    changed = blob_of(run, 'b.mp4', filemodified='1')
    other_size = blob_of(run, 'c.mp4', filesize='1')

    files = upload(run, storage, blob_of(run, 'a.mp4'), changed, other_size)

    assert sent(storage) == ['b.mp4', 'c.mp4', 'd.mp4']
    assert len(files) == 4


def test_what_one_run_has_sent_the_next_one_finds(new_run: NewRun, storage: StorageMock) -> None:
    run = new_run(names=['a.mp4', 'b.mp4'])
    upload(run, storage)
    uploads = {name: storage.blob(INPUT, name).upload_blob for name in run.videos}
    blobs = [
        blob_properties(name, 9, metadata=uploads[name].call_args.kwargs['metadata'])
        for name in run.videos
    ]
    moment = run.videos['b.mp4'].stat().st_mtime_ns
    os.utime(run.videos['b.mp4'], ns=(moment, moment + 1000))  # a microsecond later

    upload(run, storage, *blobs)

    assert [uploads[name].call_count for name in run.videos] == [1, 2]


def test_of_few_files_several_blocks_travel_at_once(new_run: NewRun, storage: StorageMock) -> None:
    run = new_run(names=['a.mp4'])

    upload(run, storage)

    options = storage.blob(INPUT, 'a.mp4').upload_blob.call_args.kwargs
    assert options['max_concurrency'] == run.options.max_concurrency > 1


def test_signed_in_all_uploads_share_one_key_that_is_asked_for_before(
    new_run: NewRun, storage: StorageMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, '_STORAGE_ACCOUNT_KEY', '')
    asking = []

    def give_key(*_: object) -> Any:
        asking.append(threading.current_thread())
        return user_delegation_key()

    storage.client.get_user_delegation_key.side_effect = give_key

    upload(new_run(), storage)

    assert asking == [threading.main_thread()]


def test_after_a_day_of_uploads_everything_is_signed_anew(
    new_run: NewRun, storage: StorageMock
) -> None:
    run = new_run(names=['a.mp4'])
    answer_clock(storage)
    upload_blob = storage.blob(INPUT, 'a.mp4').upload_blob
    show_blobs(storage)

    def take_a_day(*_: object, **__: object) -> None:
        answer_clock(storage, BEGAN + timedelta(hours=25))
        show_blobs(storage, blob_of(run, 'a.mp4'))

    upload_blob.side_effect = take_a_day

    files = sample.upload_videos(run)

    upload_blob.assert_called_once()
    lasts = BEGAN + timedelta(hours=25) + sample._UPLOAD_TIME + run.options.timeout
    assert sas_of(files[0].http_url)['se'] == f'{lasts:%Y-%m-%dT%H:%M:%SZ}'


def test_an_upload_ends_when_the_run_has_to_stop(new_run: NewRun, storage: StorageMock) -> None:
    run = new_run(names=['a.mp4'])
    has_ended = threading.Event()

    def upload_blob(*_: object, progress_hook: Any, **__: object) -> None:
        interrupt()
        try:
            progress_hook(1, 2)
        except sample.InterruptedRunError:
            has_ended.set()
            raise

    storage.blob(INPUT, 'a.mp4').upload_blob.side_effect = upload_blob

    with pytest.raises(sample.InterruptedRunError):
        upload(run, storage)

    assert has_ended.wait(60)


# --- The clock ------------------------------------------------------------------------------------


@pytest.mark.parametrize('minutes', [-180, -4, 0, 4, 120])
def test_the_time_is_that_of_azure(storage: StorageMock, minutes: int) -> None:
    moment = BEGAN + timedelta(minutes=minutes)
    answer_clock(storage, moment)

    assert sample.azure_now(storage.client) == moment

    assert bool(sample._warned) == (abs(minutes) > 5)


def test_the_time_is_known_before_there_is_a_container(storage: StorageMock) -> None:
    def get(*, raw_response_hook: Any) -> None:
        raw_response_hook(storage_answer())
        raise storage_error('ContainerNotFound')

    storage.container(OUTPUT).get_container_properties.side_effect = get

    assert sample.azure_now(storage.client) == BEGAN


# --- Downloads ------------------------------------------------------------------------------------


@pytest.fixture
def run_with_results(new_run: NewRun, storage: StorageMock) -> sample.Run:
    """A run whose three videos were converted."""
    run = new_run()
    for name in run.videos:
        output = sample.output_name(name)
        storage.put_output(output, MP3S[output])
        run.results[name] = sample.VideoResult(
            name, status='ok', has_verdict=True, output_size=len(MP3S[output])
        )
    return run


def files_in(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file()
    )


def test_outputs_arrive_under_their_names(run_with_results: sample.Run, output: Path) -> None:
    sample.download_outputs(run_with_results)

    assert files_in(output) == sorted(MP3S)
    assert run_with_results.arrived == set(run_with_results.videos)


def test_few_outputs_arrive_in_several_blocks_at_once(
    run_with_results: sample.Run, storage: StorageMock
) -> None:
    sample.download_outputs(run_with_results)

    options = storage.blob(OUTPUT, A).download_blob.call_args.kwargs
    assert options['max_concurrency'] == run_with_results.options.max_concurrency > 1


def test_files_of_one_folder_that_arrive_at_once_do_not_mix(
    run_with_results: sample.Run, output: Path
) -> None:
    first, second = (run_with_results.results[name] for name in ('a.mp4', 'b.c.mp4'))

    with (
        sample.complete_file(run_with_results, first) as a,
        sample.complete_file(run_with_results, second) as b,
    ):
        a.write(MP3S[A])
        b.write(MP3S[B])

    assert {name: (output / name).read_bytes() for name in files_in(output)} == {
        name: MP3S[name] for name in (A, B)
    }


@pytest.mark.parametrize(
    'content',
    [b'ID', ServiceRequestError('cut'), OSError(errno.ENOSPC, 'No space left on device')],
    ids=['too short', 'cut', 'disk full'],
)
def test_what_does_not_arrive_complete_leaves_nothing_and_fails_alone(
    run_with_results: sample.Run, storage: StorageMock, output: Path, content: Any
) -> None:
    storage.put_output(A, content)

    sample.download_outputs(run_with_results)

    assert files_in(output) == sorted(set(MP3S) - {A})
    result = run_with_results.results['a.mp4']
    assert (result.status, result.has_verdict) == ('failed', True)
    assert 'a.mp4' not in run_with_results.arrived


@pytest.fixture
def earlier(output: Path) -> tuple[Path, Path]:
    """The good and the damaged output of a.mp4 that an earlier run has left."""
    paths = sample.outputs_of('a.mp4', output)
    output.mkdir()
    for path in paths:
        path.write_bytes(EARLIER)
    return paths


def test_a_failed_download_keeps_the_files_of_an_earlier_run(
    run_with_results: sample.Run, storage: StorageMock, earlier: tuple[Path, Path]
) -> None:
    storage.put_output(A, b'ID')

    sample.download_outputs(run_with_results)

    assert [path.read_bytes() for path in earlier] == [EARLIER, EARLIER]


def test_a_damaged_output_is_called_so_and_replaces_no_good_one(
    run_with_results: sample.Run, earlier: tuple[Path, Path]
) -> None:
    run_with_results.results['a.mp4'].status = 'damaged'

    sample.download_outputs(run_with_results)

    assert [path.read_bytes() for path in earlier] == [EARLIER, MP3S[A]]


@pytest.mark.usefixtures('earlier')
def test_a_good_output_removes_the_damaged_one(run_with_results: sample.Run, output: Path) -> None:
    sample.download_outputs(run_with_results)

    assert files_in(output) == sorted(MP3S)


def test_failed_videos_are_not_downloaded(run_with_results: sample.Run, output: Path) -> None:
    run_with_results.results['a.mp4'].status = 'failed'

    sample.download_outputs(run_with_results)

    assert files_in(output) == sorted(set(MP3S) - {A})


def test_a_name_as_long_as_the_disk_allows_arrives_in_its_folder(
    new_run: NewRun, storage: StorageMock, output: Path
) -> None:
    name = 'sub/folder/x.mp4'
    room = 255 - len(Path(sample.output_name(name)).name)
    name = 'sub/folder/x' + 'x' * room + '.mp4'
    run = new_run(names=[name])
    storage.put_output(sample.output_name(name), b'ID3')
    run.results[name] = sample.VideoResult(name, status='ok', output_size=3)

    sample.download_outputs(run)

    assert files_in(output) == [sample.output_name(name)]
    assert run.results[name].status == 'ok'
