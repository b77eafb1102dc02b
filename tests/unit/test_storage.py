"""Storage: containers with our metadata, one upload, and SAS that grant no more than needed."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from azure.storage.blob import ContainerSasPermissions

import batch_python_tutorial_ffmpeg as sample

from .conftest import STORAGE_KEY, Clock, Videos
from .mocks import INPUT, OUTPUT, StorageMock
from .service_objects import (
    BEGAN,
    EARLIER_RUN,
    SOMEBODY,
    STORAGE_URL,
    THIS_RUN,
    container_properties,
    storage_error,
    user_delegation_key,
)

HALF_AN_HOUR = timedelta(minutes=30)
LATER = BEGAN + timedelta(minutes=1)


def query(url: str) -> dict[str, str]:
    """Return what a URL with a SAS says after the question mark."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def expiry(url: str) -> datetime:
    return datetime.fromisoformat(query(url)['se'])


# --- create_container -----------------------------------------------------------------------------


def container(storage: StorageMock, name: str, metadata: dict[str, str] | None = None) -> Any:
    """Let a container exist, if it has metadata; otherwise it will be new."""
    container = storage.container(name)
    container.get_container_properties.return_value = container_properties(
        THIS_RUN if metadata is None else metadata, LATER
    )
    if metadata is not None:
        container.create_container.side_effect = storage_error('ContainerAlreadyExists')
    return container


def test_create_container_puts_the_metadata_of_this_run_on_it(
    storage: StorageMock, capsys: pytest.CaptureFixture[str]
) -> None:
    new = container(storage, INPUT)

    sample.create_container(storage.client, INPUT)

    new.create_container.assert_called_once_with(metadata=THIS_RUN)
    assert sample.creation_time(storage.client, INPUT) == LATER  # of the service's clock
    assert capsys.readouterr().out == 'Container [input] created.\n'


def test_create_container_takes_over_one_of_an_earlier_run(
    storage: StorageMock, capsys: pytest.CaptureFixture[str]
) -> None:
    old = container(storage, INPUT, EARLIER_RUN)

    sample.create_container(storage.client, INPUT)

    old.set_container_metadata.assert_called_once_with(THIS_RUN)
    assert 'Container [input] exists and is used again.' in capsys.readouterr().out


def test_creation_time_of_a_container_that_was_taken_over_is_that_of_doing_so(
    storage: StorageMock,
) -> None:
    """Blobs that are older are of the earlier run."""
    old = container(storage, INPUT, EARLIER_RUN)
    old.get_container_properties.return_value = container_properties(EARLIER_RUN, BEGAN)

    def take_over(metadata: dict[str, str]) -> None:
        old.get_container_properties.return_value = container_properties(metadata, LATER)

    old.set_container_metadata.side_effect = take_over

    sample.create_container(storage.client, INPUT)

    assert sample.creation_time(storage.client, INPUT) == LATER


def test_create_container_leaves_the_metadata_of_somebody_else(storage: StorageMock) -> None:
    somebodys = container(storage, OUTPUT, SOMEBODY)

    sample.create_container(storage.client, OUTPUT)

    somebodys.set_container_metadata.assert_not_called()


def test_create_container_of_this_run_is_no_surprise(
    storage: StorageMock, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lock has made the output container; or the answer to the first try was lost."""
    existing = container(storage, OUTPUT, THIS_RUN)

    sample.create_container(storage.client, OUTPUT)

    existing.set_container_metadata.assert_not_called()
    assert capsys.readouterr().out == 'Container [output] created.\n'


def test_create_container_waits_until_the_old_one_is_gone(
    storage: StorageMock, clock: Clock
) -> None:
    going = storage_error('ContainerBeingDeleted')
    gone = storage_error('ContainerNotFound')
    new = storage.container(INPUT)
    new.create_container.side_effect = [going, going, going, {}]
    new.get_container_properties.side_effect = [
        gone,
        gone,
        gone,
        container_properties(THIS_RUN, LATER),
    ]

    sample.create_container(storage.client, INPUT)

    assert sample.creation_time(storage.client, INPUT) == LATER
    assert new.create_container.call_count == 4
    assert clock.elapsed > 0


# --- upload_file_to_container ---------------------------------------------------------------------


def test_upload_file_sends_its_content_and_replaces_what_an_earlier_run_left(
    storage: StorageMock, videos: Videos
) -> None:
    uploaded = []

    def upload(data: Any, **options: Any) -> None:
        uploaded.append((data.read(), options))

    storage.blob(INPUT, 'a.mp4').upload_blob.side_effect = upload

    sample.upload_file_to_container(storage.client, INPUT, videos(['a.mp4']) / 'a.mp4')

    ((content, options),) = uploaded
    assert content == b'a video: a.mp4'
    assert options == {'overwrite': True, 'validate_content': True}


@pytest.mark.parametrize('kind', [str, Path])
def test_upload_file_names_the_blob_after_the_file(
    kind: type, storage: StorageMock, videos: Videos
) -> None:
    path = kind(videos(['sub/b.mp4']) / 'sub' / 'b.mp4')

    resource_file = sample.upload_file_to_container(storage.client, INPUT, path)

    storage.blob(INPUT, 'b.mp4').upload_blob.assert_called_once()
    assert resource_file.file_path == 'b.mp4'


def test_upload_file_takes_another_name_and_options_for_the_upload(
    storage: StorageMock, videos: Videos
) -> None:
    path = videos(['sub/b.mp4']) / 'sub' / 'b.mp4'

    resource_file = sample.upload_file_to_container(
        storage.client, INPUT, path, blob_name='sub/b.mp4', max_concurrency=3
    )

    upload = storage.blob(INPUT, 'sub/b.mp4').upload_blob
    assert upload.call_args.kwargs['max_concurrency'] == 3
    assert resource_file.file_path == 'sub/b.mp4'


def test_upload_file_returns_a_url_that_reads_this_one_blob_only(
    storage: StorageMock, videos: Videos
) -> None:
    path = videos(['a.mp4']) / 'a.mp4'

    resource_file = sample.upload_file_to_container(storage.client, INPUT, path)

    sas = query(resource_file.http_url)
    assert resource_file.http_url.startswith(f'{STORAGE_URL}/input/a.mp4?')
    assert (sas['sp'], sas['sr']) == ('r', 'b')
    assert sas['sig']


# --- get_container_sas_url ------------------------------------------------------------------------


@pytest.mark.parametrize('permissions', ['cw', ContainerSasPermissions(create=True, write=True)])
def test_container_sas_grants_what_is_asked_for_on_the_container(
    permissions: Any, storage: StorageMock
) -> None:
    url = sample.get_container_sas_url(storage.client, OUTPUT, permissions)

    sas = query(url)
    assert url.startswith(f'{STORAGE_URL}/output?')
    assert (sas['sp'], sas['sr']) == ('cw', 'c')


# --- key_and_expiry -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('options', 'lifetime'),
    [
        ({}, timedelta(hours=2) + HALF_AN_HOUR + HALF_AN_HOUR),
        ({'timeout': timedelta(hours=20)}, timedelta(hours=22) + HALF_AN_HOUR),
    ],
    ids=['default', 'given'],
)
def test_every_sas_ends_when_all_time_limits_have_passed(
    options: dict[str, Any],
    lifetime: timedelta,
    storage: StorageMock,
    videos: Videos,
    clock: Clock,
) -> None:
    """Uploads, tasks and the margin, from the first SAS on: they are asked for again and again."""
    path = videos(['a.mp4']) / 'a.mp4'

    blob_url = sample.upload_file_to_container(storage.client, INPUT, path, **options).http_url
    clock.sleep(600)
    container_url = sample.get_container_sas_url(storage.client, OUTPUT, 'w', **options)

    assert expiry(blob_url) == expiry(container_url) == BEGAN + lifetime


def test_a_sas_is_signed_with_the_key_of_the_account_if_there_is_one(
    storage: StorageMock,
) -> None:
    signed_with = sample.key_and_expiry(storage.client, HALF_AN_HOUR)

    assert signed_with['account_key'] == STORAGE_KEY
    assert signed_with['expiry'].utcoffset() == timedelta(0)
    storage.client.get_user_delegation_key.assert_not_called()


@pytest.mark.parametrize(
    ('timeout', 'lifetime'),
    [
        (timedelta(minutes=30), timedelta(hours=3)),
        (timedelta(days=6), timedelta(days=6, hours=2.5)),
    ],
    ids=['half an hour', 'the longest'],
)
def test_a_sas_without_a_key_is_signed_with_a_user_delegation_key(
    timeout: timedelta,
    lifetime: timedelta,
    storage: StorageMock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sample, '_STORAGE_ACCOUNT_KEY', '')
    key = user_delegation_key()
    storage.client.get_user_delegation_key.return_value = key

    signed_with = sample.key_and_expiry(storage.client, timeout)

    expires = BEGAN + lifetime
    begins = BEGAN - timedelta(minutes=15)  # the clock of this machine may be fast
    storage.client.get_user_delegation_key.assert_called_once_with(begins, expires)
    assert signed_with == {'user_delegation_key': key, 'expiry': expires}


def test_a_user_delegation_key_lives_seven_days_at_most(
    storage: StorageMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, '_STORAGE_ACCOUNT_KEY', '')
    monkeypatch.setattr(sample, '_UPLOAD_TIMEOUT', timedelta(days=6))

    signed_with = sample.key_and_expiry(storage.client, timedelta(days=6))

    begins, expires = storage.client.get_user_delegation_key.call_args.args
    assert expires - begins == timedelta(days=7)
    assert signed_with['expiry'] == expires
