"""Microsoft Entra ID: azure-identity gets tokens, both services check them, no key is needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
import requests
from azure.batch import BatchServiceClient
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential
from azure.storage.blob import BlobServiceClient, ContainerSasPermissions, generate_container_sas
from msrestazure.azure_active_directory import AdalAuthentication

from tests.local_azure import LocalAzure, script_environment
from tests.local_azure.entra import SKEW
from tests.local_azure.faults import OnDemand

from .conftest import Wire, a_job, a_task, an_output, error_of, refusal, run_to_end

BATCH, STORAGE = 'https://batch.core.windows.net//.default', 'https://storage.azure.com/.default'
Kind = Any  # of a bad token


@pytest.fixture
def azure(entra_azure: LocalAzure) -> LocalAzure:
    entra_azure.token_life = timedelta(hours=1)
    return entra_azure


@pytest.fixture
def credential(
    azure: LocalAzure, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ManagedIdentityCredential]:
    for name, value in azure.environment.items():
        monkeypatch.setenv(name, value)
    with ManagedIdentityCredential() as credential:
        yield credential


@pytest.fixture
def client(
    azure: LocalAzure, credential: ManagedIdentityCredential
) -> Iterator[BatchServiceClient]:
    """A client as the sample makes it: all that it knows is in the environment."""
    token = AdalAuthentication(
        lambda: {'tokenType': 'Bearer', 'accessToken': credential.get_token(BATCH).token}
    )
    client = BatchServiceClient(token, azure.environment['AZURE_BATCH_ENDPOINT'])
    yield client
    client.close()


@pytest.fixture
def blobs(azure: LocalAzure, credential: ManagedIdentityCredential) -> Iterator[BlobServiceClient]:
    with BlobServiceClient(
        azure.environment['AZURE_STORAGE_SERVICE_ENDPOINT'], credential
    ) as client:
        yield client


@pytest.fixture
def keyed_blobs(azure: LocalAzure) -> Iterator[BlobServiceClient]:
    url, key = azure.environment['AZURE_STORAGE_SERVICE_ENDPOINT'], azure.keys['AZURE_STORAGE_KEY']
    with BlobServiceClient(
        url, key, connection_verify=azure.environment['REQUESTS_CA_BUNDLE']
    ) as client:
        yield client


def container_url(blobs: BlobServiceClient, name: str, permissions: str, **signing: Any) -> str:
    """The URL of a container with a SAS."""
    sas = generate_container_sas(
        str(blobs.account_name),
        name,
        permission=ContainerSasPermissions.from_string(permissions),
        expiry=datetime.now(UTC) + timedelta(hours=1),
        **signing,
    )
    return f'{blobs.url}{name}?{sas}'


def delegated_url(blobs: BlobServiceClient, name: str, permissions: str) -> str:
    """The same, signed with a user delegation key."""
    now = datetime.now(UTC)
    key = blobs.get_user_delegation_key(now - timedelta(minutes=5), now + timedelta(hours=1))
    return container_url(blobs, name, permissions, user_delegation_key=key)


def storage_refusal(call: Callable[..., object], *arguments: object) -> tuple[int | None, object]:
    """Status and code of the error that a call ends with."""
    with pytest.raises(HttpResponseError) as caught:
        call(*arguments)
    return caught.value.status_code, getattr(caught.value, 'error_code', None)


def get(azure: LocalAzure, url: str, token: str | None = None) -> requests.Response:
    headers = {'Authorization': f'Bearer {token}'} if token else {}
    verify = azure.environment['REQUESTS_CA_BUNDLE']
    return requests.get(url, headers=headers, timeout=120, verify=verify)


def batch_get(azure: LocalAzure, token: str) -> requests.Response:
    url = f'{azure.environment["AZURE_BATCH_ENDPOINT"]}/jobs?api-version=2025-06-01'
    return get(azure, url, token)


@pytest.mark.usefixtures('credential')
def test_default_credential_works_with_the_environment_alone(azure: LocalAzure) -> None:
    with DefaultAzureCredential() as default:
        token = default.get_token(STORAGE)
    claims = jwt.decode(token.token, options={'verify_signature': False})

    assert claims['aud'] == 'https://storage.azure.com'
    assert 3500 < claims['exp'] - time.time() <= 3600
    assert not [name for name in azure.environment if 'KEY' in name]
    azure.wait_until(lambda: [request.service for request in azure.requests] == ['identity'])


def test_script_environment_has_no_credentials_of_this_process(
    azure: LocalAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        'AZURE_BATCH_ACCESS_KEY',
        'AZURE_STORAGE_KEY',
        'AZURE_CLIENT_SECRET',
        'MSI_ENDPOINT',
    ):
        monkeypatch.setenv(name, 'outer')

    assert 'outer' not in script_environment(azure).values()


def test_endpoint_refuses_a_wrong_header_and_a_wrong_version(azure: LocalAzure) -> None:
    url, header = azure.environment['IDENTITY_ENDPOINT'], azure.environment['IDENTITY_HEADER']
    query = {'resource': 'https://storage.azure.com', 'api-version': '2019-08-01'}

    wrong = requests.get(url, query, headers={'X-IDENTITY-HEADER': 'x'}, timeout=120)
    old = requests.get(
        url,
        {**query, 'api-version': '2017-09-01'},
        headers={'X-IDENTITY-HEADER': header},
        timeout=120,
    )

    assert (wrong.status_code, old.status_code) == (401, 400)


def test_batch_accepts_tokens_with_and_without_the_last_slash_of_the_audience(
    azure: LocalAzure, credential: ManagedIdentityCredential
) -> None:
    for scope in (BATCH, BATCH.replace('//.', '/.')):
        answer = batch_get(azure, credential.get_token(scope).token)
        assert answer.status_code == 200, scope
        assert answer.json()['odata.metadata'].startswith('https://127.0.0.1:')


def test_nodes_download_and_upload_with_a_user_delegation_sas(
    azure: LocalAzure, blobs: BlobServiceClient, client: BatchServiceClient
) -> None:
    blobs.create_container('input').upload_blob('x', b'12345')
    blobs.create_container('out')
    source, target = delegated_url(blobs, 'input', 'r'), delegated_url(blobs, 'out', 'cw')
    resource = {'http_url': source.replace('?', '/x?'), 'file_path': 'x'}

    run_to_end(
        azure,
        a_task('t', 'cp x y', resource_files=[resource], output_files=[an_output('y', target)]),
    )

    assert client.task.get('job', 't').execution_info.failure_info is None
    assert blobs.get_blob_client('out', 'y').download_blob().readall() == b'12345'
    of_nodes = [request for request in azure.requests if request.source == 'node']
    assert [(request.method, 'skoid=' in request.query) for request in of_nodes] == [
        ('GET', True),
        ('PUT', True),
    ]


@pytest.mark.parametrize(
    ('kind', 'text'),
    [
        ('audience', 'wrong audience or resource'),
        ('expired', 'is earlier than current UTC time'),
        ('signature', 'The access token is invalid.'),
    ],
)
def test_batch_refuses_bad_tokens(
    azure: LocalAzure,
    credential: ManagedIdentityCredential,
    client: BatchServiceClient,
    kind: Kind,
    text: str,
) -> None:
    fault = azure.bad_tokens(kind, 'batch')

    assert refusal(lambda: list(client.job.list())) == (401, 'AuthenticationFailed')
    assert text in batch_get(azure, credential.get_token(BATCH).token).json()['values'][0]['value']
    assert batch_get(azure, credential.get_token(STORAGE).token).status_code == 401
    fault.check()


@pytest.mark.parametrize(
    ('kind', 'text'),
    [
        ('audience', 'Audience validation failed'),
        ('expired', 'The token is expired'),
        ('signature', 'Signature validation failed'),
    ],
)
def test_storage_refuses_bad_tokens(
    azure: LocalAzure, blobs: BlobServiceClient, kind: Kind, text: str
) -> None:
    fault = azure.bad_tokens(kind, 'storage')

    with pytest.raises(ClientAuthenticationError, match=text) as caught:
        blobs.create_container('box')

    assert (caught.value.status_code, getattr(caught.value, 'error_code', None)) == (
        401,
        'InvalidAuthenticationInfo',
    )
    fault.check()


def test_tokens_expire_after_their_life(
    azure: LocalAzure, credential: ManagedIdentityCredential
) -> None:
    azure.token_life = timedelta(seconds=600)
    token = credential.get_token(BATCH).token

    azure.clock_offset(timedelta(seconds=600))
    before = batch_get(azure, token).status_code
    azure.clock_offset(timedelta(seconds=600 + SKEW))

    assert (before, batch_get(azure, token).status_code) == (200, 401)


@pytest.mark.parametrize(
    ('arm', 'code'),
    [
        (lambda azure: azure.deny_role('batch'), 'AuthorizationFailure'),
        (lambda azure: azure.deny_role('batch', 'POST', '/jobs'), 'AuthorizationFailure'),
        (lambda azure: azure.forbid_entra(), 'AuthenticationFailed'),
    ],
    ids=['no role', 'no role for it', 'no Entra ID'],
)
def test_batch_refuses_the_identity_but_not_the_key(
    azure: LocalAzure, client: BatchServiceClient, arm: Callable[[OnDemand], Any], code: str
) -> None:
    fault = arm(azure)

    assert refusal(client.job.add, a_job()) == (403, code)
    assert (
        Wire(azure)('POST', '/jobs', {'id': 'job', 'poolInfo': {'poolId': 'p'}}).status_code == 201
    )
    assert fault.hits == 1
    fault.remove()
    assert [job.id for job in client.job.list()] == ['job']


def test_storage_client_tries_once_more_after_a_challenge(
    azure: LocalAzure, blobs: BlobServiceClient
) -> None:
    azure.bad_tokens('expired', count=1)

    with pytest.raises(ClientAuthenticationError):
        blobs.create_container('box')  # azure-identity gave it the same token from its cache

    azure.wait_until(
        lambda: [r.status for r in azure.requests if r.service == 'storage'] == [401, 401]
    )


def test_identity_without_a_role_and_its_sas_are_worth_nothing_in_storage(
    azure: LocalAzure, blobs: BlobServiceClient, keyed_blobs: BlobServiceClient
) -> None:
    blobs.create_container('input').upload_blob('x', b'12345')
    url = delegated_url(blobs, 'input', 'r').replace('?', '/x?')
    with_role = get(azure, url)

    fault = azure.deny_role('storage')

    refused = storage_refusal(blobs.create_container, 'box')
    assert refused == (403, 'AuthorizationPermissionMismatch')
    assert (with_role.content, get(azure, url).status_code) == (b'12345', 403)
    assert keyed_blobs.create_container('box').exists()
    fault.check()


def test_shared_key_and_its_sas_can_be_forbidden(
    azure: LocalAzure,
    client: BatchServiceClient,
    blobs: BlobServiceClient,
    keyed_blobs: BlobServiceClient,
) -> None:
    keyed_blobs.create_container('input')
    key = azure.keys['AZURE_STORAGE_KEY']
    url = container_url(keyed_blobs, 'input', 'l', account_key=key) + '&restype=container&comp=list'
    allowed = get(azure, url).status_code
    faults = [azure.forbid_shared_key('batch'), azure.forbid_shared_key('storage')]

    answer = Wire(azure)('GET', '/jobs')

    assert error_of(answer) == (403, 'AuthenticationFailed')
    assert 'SharedKey is not allowed for this account' in answer.text
    refused = storage_refusal(keyed_blobs.create_container, 'box')
    assert refused == (403, 'KeyBasedAuthenticationNotPermitted')
    assert (allowed, get(azure, url).status_code) == (200, 403)
    assert [fault.hits for fault in faults] == [1, 2]
    # What has a token goes on, as the clients of the tests do.
    assert list(client.job.list()) == list(azure.batch_client().job.list()) == []
    assert blobs.create_container('box').exists()
    with azure.blob_service_client() as own:
        assert own.get_container_client('box').exists()


def test_identity_endpoint_can_fail_too(
    azure: LocalAzure, credential: ManagedIdentityCredential
) -> None:
    fault = azure.fail_requests(
        'GET', '/msi/token', None, service='identity', status=400, code='BadRequest'
    )

    with pytest.raises(ClientAuthenticationError):
        credential.get_token(BATCH)

    fault.check()
