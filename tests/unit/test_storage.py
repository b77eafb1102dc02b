"""Storage: containers with our mark, uploads, and SAS that grant no more than needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import MagicMock
from urllib.parse import parse_qs, urlsplit

import pytest
from azure.storage.blob import ContainerSasPermissions

import batch_python_tutorial_ffmpeg as sample

from .conftest import STORAGE_KEY, Clock, Videos
from .mocks import STORAGE_URL, StorageMock
from .service_objects import (
    BEGAN,
    EARLIER_RUN,
    SOMEBODY,
    THIS_RUN,
    container_properties,
    storage_error,
)

INPUT, OUTPUT = sample._INPUT_CONTAINER_NAME, sample._OUTPUT_CONTAINER_NAME
NAMES = ['a.mp4', 'sub/b c.mp4', 'vidéo?#.mp4']


def query(url: str) -> dict[str, str]:
    """Return what a URL with a SAS says after the question mark."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


# --- create_container -------------------------------------------------------------------------------------------------
def test_create_container_puts_the_mark_of_this_run_on_it(
    storage: StorageMock, capsys: pytest.CaptureFixture[str]
) -> None:
    sample.create_container(storage.client, INPUT)

    storage.container(INPUT).create_container.assert_called_once_with(metadata=THIS_RUN)
    assert capsys.readouterr().out == 'Container [input] created.\n'


def test_create_container_takes_over_one_of_an_earlier_run(
    storage: StorageMock, capsys: pytest.CaptureFixture[str]
) -> None:
    container = storage.container(INPUT)
    container.create_container.side_effect = storage_error('ContainerAlreadyExists')
    container.get_container_properties.return_value = container_properties(EARLIER_RUN)

    sample.create_container(storage.client, INPUT)

    container.set_container_metadata.assert_called_once_with(THIS_RUN)
    assert 'exists and is used again' in capsys.readouterr().out


def test_create_container_leaves_the_metadata_of_somebody_else(storage: StorageMock) -> None:
    container = storage.container(OUTPUT)
    container.create_container.side_effect = storage_error('ContainerAlreadyExists')
    container.get_container_properties.return_value = container_properties(SOMEBODY)

    sample.create_container(storage.client, OUTPUT)

    container.set_container_metadata.assert_not_called()


def test_create_container_waits_until_the_old_one_is_gone(
    storage: StorageMock, clock: Clock
) -> None:
    container = storage.container(INPUT)
    container.create_container.side_effect = [storage_error('ContainerBeingDeleted')] * 3 + [{}]
    container.get_container_properties.side_effect = storage_error('ContainerNotFound')

    sample.create_container(storage.client, INPUT)

    assert container.create_container.call_count == 4
    assert clock.elapsed > 0


# --- Uploads ----------------------------------------------------------------------------------------------------------
def keep_uploads(
    storage: StorageMock, names: Iterable[str]
) -> dict[str, tuple[bytes, dict[str, Any]]]:
    """Return what is going to be uploaded to the input container: content and options by name of the blob."""
    uploads: dict[str, tuple[bytes, dict[str, Any]]] = {}

    def upload_to(name: str) -> Callable[..., None]:
        return lambda data, **options: uploads.update({name: (data.read(), options)})

    for name in names:
        storage.blob(INPUT, name).upload_blob.side_effect = upload_to(name)
    return uploads


def test_upload_input_files_uploads_every_video_under_its_name(
    storage: StorageMock, videos: Videos, capsys: pytest.CaptureFixture[str]
) -> None:
    uploads = keep_uploads(storage, NAMES)
    input_paths = sample.find_input_files(videos(NAMES))

    resource_files = sample.upload_input_files(storage.client, input_paths)

    assert [file.file_path for file in resource_files] == list(input_paths)
    assert {name: content for name, (content, _) in uploads.items()} == {
        name: path.read_bytes() for name, path in input_paths.items()
    }
    assert capsys.readouterr().out.splitlines() == [
        f'Uploading file {name} to container [input]...' for name in input_paths
    ]


def test_upload_input_files_raises_if_one_upload_fails(
    storage: StorageMock, videos: Videos
) -> None:
    keep_uploads(storage, NAMES)
    storage.blob(INPUT, 'sub/b c.mp4').upload_blob.side_effect = storage_error(
        'AuthorizationFailure'
    )

    with pytest.raises(sample._EXPECTED_ERRORS, match='Refused'):
        sample.upload_input_files(storage.client, sample.find_input_files(videos(NAMES)))


def test_upload_input_files_stops_when_a_sas_could_end_before_the_job(
    storage: StorageMock, videos: Videos, clock: Clock
) -> None:
    uploads = keep_uploads(storage, NAMES)
    sample.sas_options(storage.client)
    clock.sleep(sample._UPLOAD_TIMEOUT.total_seconds() + 1)

    with pytest.raises(sample.SampleError, match='The uploads took longer than _UPLOAD_TIMEOUT'):
        sample.upload_input_files(storage.client, sample.find_input_files(videos(NAMES)))

    assert uploads == {}


def test_upload_file_replaces_what_an_earlier_run_left(
    storage: StorageMock, videos: Videos
) -> None:
    uploads = keep_uploads(storage, ['a.mp4'])

    sample.upload_file_to_container(storage.client, INPUT, videos(['a.mp4']) / 'a.mp4')

    content, options = uploads['a.mp4']
    assert content == b'a video: a.mp4'
    assert options['overwrite'] is True


def test_upload_file_takes_a_path_as_text_and_names_the_blob_after_the_file(
    storage: StorageMock, videos: Videos
) -> None:
    uploads = keep_uploads(storage, ['b.mp4'])

    resource_file = sample.upload_file_to_container(
        storage.client, INPUT, str(videos(['sub/b.mp4']) / 'sub/b.mp4')
    )

    assert list(uploads) == ['b.mp4']
    assert resource_file.file_path == 'b.mp4'


def test_upload_file_returns_a_url_that_reads_this_one_blob_only(
    storage: StorageMock, videos: Videos
) -> None:
    keep_uploads(storage, ['a.mp4'])

    resource_file = sample.upload_file_to_container(
        storage.client, INPUT, videos(['a.mp4']) / 'a.mp4'
    )

    sas = query(resource_file.http_url)
    assert resource_file.http_url.startswith(f'{STORAGE_URL}/input/a.mp4?')
    assert (sas['sp'], sas['sr']) == ('r', 'b')
    assert sas['sig']


# --- SAS --------------------------------------------------------------------------------------------------------------
def test_container_sas_grants_what_is_asked_for_on_the_container(storage: StorageMock) -> None:
    url = sample.get_container_sas_url(
        storage.client, OUTPUT, ContainerSasPermissions(create=True, write=True)
    )

    sas = query(url)
    assert url.startswith(f'{STORAGE_URL}/output?')
    assert (sas['sp'], sas['sr']) == ('cw', 'c')


def test_every_sas_ends_when_all_time_limits_have_passed(
    storage: StorageMock, videos: Videos, clock: Clock
) -> None:
    keep_uploads(storage, ['a.mp4'])
    limits = sample._UPLOAD_TIMEOUT + sample._JOB_TIMEOUT + sample._MARGIN

    blob_url = sample.upload_file_to_container(
        storage.client, INPUT, videos(['a.mp4']) / 'a.mp4'
    ).http_url
    clock.sleep(600)
    container_url = sample.get_container_sas_url(
        storage.client, OUTPUT, ContainerSasPermissions(write=True)
    )

    ends = [
        datetime.fromisoformat(query(url)['se'].replace('Z', '+00:00'))
        for url in (blob_url, container_url)
    ]
    assert ends == [BEGAN + limits] * 2
    assert limits < timedelta(hours=24)


@pytest.mark.parametrize(
    'upload_timeout', [timedelta(hours=2), timedelta(days=30)], ids=['hours', 'weeks']
)
def test_sas_without_a_key_is_signed_with_a_user_delegation_key_of_at_most_seven_days(
    upload_timeout: timedelta, storage: StorageMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, '_STORAGE_ACCOUNT_KEY', '')
    monkeypatch.setattr(sample, '_UPLOAD_TIMEOUT', upload_timeout)
    storage.client.get_user_delegation_key.return_value = delegation_key = object()

    options = sample.sas_options(storage.client)

    start, expiry = storage.client.get_user_delegation_key.call_args.args
    assert start == BEGAN - timedelta(minutes=15)
    assert expiry == min(
        BEGAN + upload_timeout + sample._JOB_TIMEOUT + sample._MARGIN, start + timedelta(days=7)
    )
    assert options == {'user_delegation_key': delegation_key, 'expiry': expiry}


def test_sas_options_hold_the_key_of_the_storage_account_and_an_end_with_time_zone(
    storage: StorageMock,
) -> None:
    options = sample.sas_options(storage.client)

    assert options['account_key'] == STORAGE_KEY
    assert options['expiry'].utcoffset() == timedelta(0)


def test_upload_bar_counts_the_bytes_that_have_arrived(
    storage: StorageMock, videos: Videos, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    bar = MagicMock()
    bar.__enter__.return_value.update.side_effect = steps.append
    monkeypatch.setattr(sample, 'progress', lambda **_: bar)
    folder = videos(['a.mp4', 'b.mp4'])
    for name in ('a.mp4', 'b.mp4'):
        storage.blob(INPUT, name).upload_blob.side_effect = lambda _, progress_hook, **__: [
            progress_hook(now, 10) for now in (4, 8, 10)
        ]

    sample.upload_input_files(storage.client, {name: folder / name for name in ('a.mp4', 'b.mp4')})

    assert sorted(steps) == [2, 2, 4, 4, 4, 4]


def test_upload_tells_a_log_every_ten_seconds_how_far_it_is(
    storage: StorageMock,
    videos: Videos,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = [0.0]
    monkeypatch.setattr('tqdm.std.time', lambda: now[0])
    path = videos(['a.mp4']) / 'a.mp4'
    size = path.stat().st_size

    def upload(_: Any, progress_hook: Callable[..., None], **__: object) -> None:
        for second in range(36):
            now[0] = second
            progress_hook(second * size // 36, size)

    storage.blob(INPUT, 'a.mp4').upload_blob.side_effect = upload

    sample.upload_input_files(storage.client, {'a.mp4': path})

    lines = capsys.readouterr().err.split('\n')
    assert [re.sub(r'\|.*\[(.*)<.*', r'\1', line) for line in lines] == [
        'Uploading:  21%00:10',
        'Uploading:  50%00:20',
        'Uploading:  79%00:30',
        '',
    ]
