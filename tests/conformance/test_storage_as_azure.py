"""Names of blobs, where Azure differs from Azurite; and leases, where it does not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
import requests
from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.storage.blob import BlobClient, BlobLeaseClient, BlobServiceClient, generate_blob_sas

from tests.local_azure import LocalAzure

from .conftest import a_task, an_output, run_to_end

EXPIRY = 15  # seconds: the shortest lease there is

NAMES = [  # as sent, as stored
    ('Vol. 1./a.mp4', 'Vol. 1/a.mp4'),
    ('file.', 'file'),
    ('a../b...', 'a/b'),
    ('é 中./%2E.mp4', 'é 中/%2E.mp4'),
    ('a.\\b.', 'a/b'),
    ('a\\b.mp4', 'a/b.mp4'),
    ('.hidden/..a/b.c.mp4', '.hidden/..a/b.c.mp4'),
]
DOTTED = 'Vol. 1./a.mp4'


def names_in(blobs: BlobServiceClient, container: str = 'box') -> list[str]:
    return list(blobs.get_container_client(container).list_blob_names())


def status_of(call: Callable[[], object]) -> tuple[int | None, str]:
    """Status and error code of the refusal that a call ends with."""
    with pytest.raises(HttpResponseError) as caught:
        call()
    response: Any = caught.value.response
    return caught.value.status_code, response.headers['x-ms-error-code']


# Names


@pytest.mark.parametrize(('sent', 'stored'), NAMES)
def test_name_is_stored_as_azure_stores_it(
    blobs: BlobServiceClient, sent: str, stored: str
) -> None:
    container = blobs.create_container('box')

    container.upload_blob(sent, b'content')

    assert names_in(blobs) == [stored]
    assert container.download_blob(sent).readall() == b'content'
    assert container.download_blob(stored).readall() == b'content'


@pytest.mark.parametrize(('sent', 'stored'), NAMES)
def test_name_is_stored_so_with_the_sas_of_a_container(
    blobs: BlobServiceClient, container_url: Callable[..., str], sent: str, stored: str
) -> None:
    path, sas = container_url('box', 'cwr').split('?')

    answer = requests.put(
        f'{path}/{quote(sent, safe="")}?{sas}',
        data=b'content',
        headers={'x-ms-blob-type': 'BlockBlob'},
        timeout=10,
    )

    assert answer.status_code == 201
    assert names_in(blobs) == [stored]


def test_name_is_stored_so_with_a_token() -> None:
    with LocalAzure(entra=True) as azure, azure.blob_service_client() as blobs:
        container = blobs.create_container('box')

        container.upload_blob(DOTTED, b'content')

        assert names_in(blobs) == ['Vol. 1/a.mp4']


def test_name_of_an_output_file_is_stored_so(
    azure: LocalAzure, blobs: BlobServiceClient, container_url: Callable[..., str]
) -> None:
    output = an_output('a', container_url('box'), 'Vol. 1./a.mp3')

    run_to_end(azure, a_task(command_line='touch a', output_files=[output]))

    assert names_in(blobs) == ['Vol. 1/a.mp3']


def test_two_names_that_azure_makes_one_are_one_blob(blobs: BlobServiceClient) -> None:
    container = blobs.create_container('box')
    container.upload_blob('a/b', b'1')

    with pytest.raises(ResourceExistsError):
        container.upload_blob('a./b', b'2')


@pytest.mark.parametrize('name', ['...', 'a/.../b', 'a\\...'])
def test_name_with_a_part_of_dots_alone_is_not_imitated(
    blobs: BlobServiceClient, name: str
) -> None:
    container = blobs.create_container('box')

    refusal = status_of(lambda: container.upload_blob(name, b''))

    assert refusal == (501, 'NotImplemented')
    assert names_in(blobs) == []


def test_sas_for_one_blob_with_such_a_name_is_not_imitated(
    azure: LocalAzure, blobs: BlobServiceClient
) -> None:
    blobs.create_container('box').upload_blob(DOTTED, b'content')
    sas = generate_blob_sas(
        azure.environment['AZURE_STORAGE_ACCOUNT'],
        'box',
        DOTTED,
        account_key=azure.keys['AZURE_STORAGE_KEY'],
        permission='r',
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    blob = blobs.get_blob_client('box', DOTTED)

    with BlobClient.from_blob_url(f'{blob.url}?{sas}', retry_total=0) as client:
        refusal = status_of(client.download_blob)

    assert refusal == (501, 'NotImplemented')


def test_wrong_key_stays_wrong_with_such_a_name(
    azure: LocalAzure, blobs: BlobServiceClient
) -> None:
    blobs.create_container('box').upload_blob(DOTTED, b'content')
    url = azure.environment['AZURE_STORAGE_SERVICE_ENDPOINT']

    with BlobServiceClient(url, azure.keys['AZURE_BATCH_ACCESS_KEY']) as wrong:
        refusal = status_of(wrong.get_blob_client('box', DOTTED).download_blob)

    assert refusal[0] == 403


@pytest.mark.parametrize(('character', 'most'), [('a', 1024), ('é', 1024), ('😊', 512)])
def test_name_has_at_most_1024_characters_of_utf_16(
    blobs: BlobServiceClient, character: str, most: int
) -> None:
    container = blobs.create_container('box')

    container.upload_blob(character * most, b'')
    refusal = status_of(lambda: container.upload_blob(character * (most + 1), b''))

    assert refusal == (400, 'OutOfRangeInput')
    assert names_in(blobs) == [character * most]


# Leases


@pytest.fixture
def lease(blobs: BlobServiceClient) -> Iterator[BlobLeaseClient]:
    container = blobs.create_container('box')
    yield container.acquire_lease(EXPIRY)


def test_leased_container_is_deleted_with_the_id_of_the_lease_only(
    blobs: BlobServiceClient, lease: BlobLeaseClient
) -> None:
    container = blobs.get_container_client('box')

    without = status_of(container.delete_container)
    with_another = status_of(lambda: container.delete_container(lease='0' * 8 + lease.id[8:]))
    container.delete_container(lease=lease)

    assert without == (412, 'LeaseIdMissing')
    assert with_another == (412, 'LeaseIdMismatchWithContainerOperation')
    assert not container.exists()


def test_lease_is_taken_once_and_kept_by_its_holder(
    blobs: BlobServiceClient, lease: BlobLeaseClient
) -> None:
    container = blobs.get_container_client('box')

    refusal = status_of(lambda: container.acquire_lease(EXPIRY))
    lease.renew()
    container.upload_blob('a', b'')  # a lease of the container is none of its blobs

    assert refusal == (409, 'LeaseAlreadyPresent')
    assert container.get_container_properties().lease.state == 'leased'


def test_lease_given_back_can_be_taken_and_not_renewed(
    blobs: BlobServiceClient, lease: BlobLeaseClient
) -> None:
    container = blobs.get_container_client('box')

    former = BlobLeaseClient(container, lease.id)
    lease.release()
    other = container.acquire_lease(EXPIRY)
    refusal = status_of(former.renew)

    assert other.id != former.id
    assert refusal == (409, 'LeaseIdMismatchWithLeaseOperation')


def test_lease_ends_when_it_is_not_renewed(
    azure: LocalAzure, blobs: BlobServiceClient, lease: BlobLeaseClient
) -> None:
    container = blobs.get_container_client('box')
    began = time.monotonic()

    azure.wait_until(
        lambda: container.get_container_properties().lease.state == 'expired', EXPIRY + 15
    )
    lasted = time.monotonic() - began
    other = container.acquire_lease(EXPIRY)
    refusal = status_of(lease.renew)

    assert lasted > EXPIRY - 3
    assert other.id != lease.id
    assert refusal == (409, 'LeaseIdMismatchWithLeaseOperation')


def test_clear_deletes_containers_that_are_leased(
    azure: LocalAzure, blobs: BlobServiceClient
) -> None:
    blobs.create_container('box').acquire_lease(EXPIRY)
    blobs.create_container('other').acquire_lease(-1)

    azure.clear()

    assert not list(blobs.list_containers())
