"""Names of blobs, where Azure differs from Azurite; leases of containers through the proxy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest
import requests
from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.storage.blob import BlobClient, BlobServiceClient, generate_blob_sas

from tests.local_azure import LocalAzure

from .conftest import a_task, an_output, run_to_end

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


def test_name_is_stored_as_azure_stores_it(blobs: BlobServiceClient) -> None:
    for number, (sent, stored) in enumerate(NAMES):
        container = blobs.create_container(f'box{number}')
        container.upload_blob(sent, b'content')
        assert names_in(blobs, f'box{number}') == [stored]
        assert container.download_blob(sent).readall() == b'content', sent
        assert container.download_blob(stored).readall() == b'content', stored


def test_name_is_stored_so_with_the_sas_of_a_container(
    blobs: BlobServiceClient, container_url: Callable[..., str]
) -> None:
    headers = {'x-ms-blob-type': 'BlockBlob'}
    for number, (sent, stored) in enumerate(NAMES):
        path, sas = container_url(f'box{number}', 'cwr').split('?')
        url = f'{path}/{quote(sent, safe="")}?{sas}'
        answer = requests.put(url, data=b'content', headers=headers, timeout=120)
        assert answer.status_code == 201, sent
        assert names_in(blobs, f'box{number}') == [stored]


def test_name_is_stored_so_with_a_token(entra_azure: LocalAzure) -> None:
    with entra_azure.blob_service_client() as blobs:
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


def test_name_with_a_part_of_dots_alone_is_not_imitated(blobs: BlobServiceClient) -> None:
    container = blobs.create_container('box')

    for name in ('...', 'a/.../b', 'a\\...'):
        refusal = status_of(partial(container.upload_blob, name, b''))
        assert refusal == (501, 'NotImplemented'), name

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


def test_name_has_at_most_1024_characters_of_utf_16(blobs: BlobServiceClient) -> None:
    for number, (character, most) in enumerate((('a', 1024), ('é', 1024), ('😊', 512))):
        container = blobs.create_container(f'box{number}')
        longest = container.get_blob_client(character * most)
        longer = container.get_blob_client(character * (most + 1))

        longest.upload_blob(b'')

        assert status_of(partial(longer.upload_blob, b'')) == (400, 'OutOfRangeInput'), character
        assert names_in(blobs, f'box{number}') == [longest.blob_name]


# Leases: Azurite's own


def test_leased_container_is_taken_once_and_deleted_with_the_id_of_the_lease_only(
    blobs: BlobServiceClient,
) -> None:
    container = blobs.create_container('box')
    lease = container.acquire_lease(15)

    again = status_of(lambda: container.acquire_lease(15))
    without = status_of(container.delete_container)
    lease.renew()
    container.delete_container(lease=lease)

    assert again == (409, 'LeaseAlreadyPresent')
    assert without == (412, 'LeaseIdMissing')
    assert not container.exists()


def test_clear_deletes_containers_that_are_leased(
    azure: LocalAzure, blobs: BlobServiceClient
) -> None:
    blobs.create_container('box').acquire_lease(15)
    blobs.create_container('other').acquire_lease(-1)

    azure.clear()

    assert not list(blobs.list_containers())
