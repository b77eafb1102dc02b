"""Signing in with Microsoft Entra ID: each way works, without any key, or says why not."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest
import requests

from tests.conftest import MakeVideo
from tests.local_azure import LocalAzure
from tests.local_azure.faults import Service
from tests.servers import running

from .conftest import Sample, mp3s_of

KEYS = ('AZURE_BATCH_ACCESS_KEY', 'AZURE_STORAGE_KEY')
RESOURCES = ['https://batch.core.windows.net', 'https://storage.azure.com']


@pytest.fixture
def azure(entra_azure: LocalAzure) -> Iterator[LocalAzure]:
    yield entra_azure
    entra_azure.clear()


@pytest.fixture(autouse=True)
def video(make_video: MakeVideo) -> None:
    make_video('a.mp4')


def signers(sample: Sample) -> set[str]:
    """How the SAS were signed with which the nodes have read and written."""
    queries = [
        parse_qs(request.query) for request in sample.azure.requests if request.source == 'node'
    ]
    return {
        'user delegation key' if 'skoid' in query else 'account key'
        for query in queries
        if 'sig' in query
    }


def token_for(azure: LocalAzure, resource: str) -> dict[str, str]:
    """Return a token that the service accepts, with what Microsoft Entra ID says of it."""
    given = azure.environment
    answer = requests.get(
        given['IDENTITY_ENDPOINT'],
        {'api-version': '2019-08-01', 'resource': resource},
        headers={'X-IDENTITY-HEADER': given['IDENTITY_HEADER']},
        timeout=60,
    )
    token: dict[str, str] = answer.json()
    return token


# --- A managed identity ---------------------------------------------------------------------------


def test_a_managed_identity_converts_without_any_key(sample: Sample) -> None:
    result = sample.run('-y')

    assert not set(KEYS) & set(sample.azure.environment)
    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == mp3s_of('a.mp4')
    assert signers(sample) == {'user delegation key'}
    assert sample.nothing_is_left()


@pytest.mark.parametrize('key', KEYS)
def test_each_service_chooses_its_own_way(key: str, sample: Sample) -> None:
    sample.environment = {key: sample.azure.keys[key]}

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == mp3s_of('a.mp4')
    assert signers(sample) == {
        'account key' if key == 'AZURE_STORAGE_KEY' else 'user delegation key'
    }


def test_a_run_longer_than_the_life_of_a_token_succeeds(sample: Sample) -> None:
    sample.azure.token_life = timedelta(seconds=3)
    # Seconds: beyond the life of a token and what a service allows on top.
    sample.azure.slow_nodes(start_task=12)

    result = sample.run('-y')

    tokens = [request for request in sample.azure.requests if request.service == 'identity']
    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == mp3s_of('a.mp4')
    assert tokens[-1].started - tokens[0].started > 2 * sample.azure.token_life.total_seconds()


@pytest.mark.parametrize('service', ['batch', 'storage'])
def test_a_token_that_is_refused_ends_the_run_with_the_command_to_sign_in(
    service: Service, sample: Sample
) -> None:
    sample.azure.bad_tokens('signature', service=service)

    sample.assert_refused('az login')

    sample.azure.faults.clear()
    assert sample.nothing_is_left()


# --- az login -------------------------------------------------------------------------------------

AZ = """\
#!/bin/bash
while [ "$1" != --resource ]; do shift; done
echo "$2" >> '{folder}/calls'
{before}
cat "{folder}/${{2##*/}}"
"""


def put_az_on_the_path(sample: Sample, folder: Path, before: str) -> None:
    """Let `az` be a stand-in that runs `before`, and leaves each call in a file."""
    for resource in RESOURCES:
        token = token_for(sample.azure, resource)
        said = {'accessToken': token['access_token'], 'expires_on': int(token['expires_on'])}
        said |= {'expiresOn': '2030-01-01 00:00:00.000000', 'tokenType': 'Bearer'}
        (folder / resource.rpartition('/')[2]).write_text(json.dumps(said))
    (folder / 'bin').mkdir()
    az = folder / 'bin' / 'az'
    az.write_text(AZ.format(folder=folder, before=before))
    az.chmod(0o755)
    sample.environment = {
        'IDENTITY_ENDPOINT': '',
        'AZURE_TOKEN_CREDENTIALS': 'AzureCliCredential',
        'PATH': f'{folder / "bin"}:/usr/bin:/bin',
    }


def test_az_is_asked_once_for_each_service_also_if_it_is_slow(
    sample: Sample, tmp_path: Path
) -> None:
    longer_than_azure_identity_waits = 'if [ $(wc -l < calls) = 1 ]; then sleep 12; fi'
    put_az_on_the_path(sample, tmp_path, f'cd {tmp_path}; {longer_than_azure_identity_waits}')

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == mp3s_of('a.mp4')
    assert sorted((tmp_path / 'calls').read_text().split()) == RESOURCES


def test_what_az_says_of_a_failed_sign_in_is_shown(sample: Sample, tmp_path: Path) -> None:
    refuse = 'echo "ERROR: AADSTS70043: Expired. Run az login --tenant T" >&2; exit 1'
    put_az_on_the_path(sample, tmp_path, refuse)

    sample.assert_refused('AADSTS70043', 'az login --tenant T')

    assert sample.containers() == []


def test_nobody_signed_in_is_one_short_message(sample: Sample, tmp_path: Path) -> None:
    sample.environment = {
        'IDENTITY_ENDPOINT': '',
        'AZURE_TOKEN_CREDENTIALS': 'dev',
        'HOME': str(tmp_path),
    }

    stderr = sample.assert_refused('az login')

    assert 'Credential' not in stderr  # what each of ten ways to sign in has to say
    assert sample.containers() == []


# --- A service principal --------------------------------------------------------------------------

PRINCIPAL = {
    'AZURE_TENANT_ID': '11111111-2222-3333-4444-555555555555',
    'AZURE_CLIENT_ID': '66666666-7777-8888-9999-000000000000',
    'AZURE_CLIENT_SECRET': 'the secret of the principal',
}


class Authority(BaseHTTPRequestHandler):
    """Gives a token to the principal, as Microsoft Entra ID does."""

    azure: LocalAzure

    def do_GET(self) -> None:  # where tokens are to be had
        tenant = f'https://{self.headers["Host"]}/{PRINCIPAL["AZURE_TENANT_ID"]}'
        self.answer({
            'issuer': f'{tenant}/v2.0',
            'authorization_endpoint': f'{tenant}/oauth2/v2.0/authorize',
            'token_endpoint': f'{tenant}/oauth2/v2.0/token',
        })  # fmt: skip

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers['Content-Length'])).decode())
        who = (form['client_id'], form['client_secret'])
        if who != ([PRINCIPAL['AZURE_CLIENT_ID']], [PRINCIPAL['AZURE_CLIENT_SECRET']]):
            self.answer({'error': 'invalid_client'})
            return
        token = token_for(self.azure, form['scope'][0].removesuffix('/.default'))
        self.answer({
            'token_type': 'Bearer', 'expires_in': 3600, 'access_token': token['access_token'],
        })  # fmt: skip

    def answer(self, document: dict[str, object]) -> None:
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def authority(azure: LocalAzure) -> Iterator[str]:
    """The URL of the authority, which has the certificate of the local Azure."""
    server = ThreadingHTTPServer(('127.0.0.1', 0), type('Here', (Authority,), {'azure': azure}))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(azure.root / 'server.pem')
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    with running(server):
        yield f'https://127.0.0.1:{server.server_port}'


def test_a_service_principal_signs_in_with_its_secret(sample: Sample, authority: str) -> None:
    sample.environment = {**PRINCIPAL, 'AZURE_AUTHORITY_HOST': authority, 'IDENTITY_ENDPOINT': ''}
    # An authority that Microsoft does not know would be asked for on the internet.
    sample.change(
        'DefaultAzureCredential',
        'sample.functools.partial(sample.DefaultAzureCredential, disable_instance_discovery=True)',
    )

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert PRINCIPAL['AZURE_CLIENT_SECRET'] not in result.stdout + result.stderr
    assert sample.mp3s() == mp3s_of('a.mp4')
    assert signers(sample) == {'user delegation key'}
    assert sample.nothing_is_left()
