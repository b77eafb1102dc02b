"""Signing in with Microsoft Entra ID: no key anywhere, and plain words when it does not work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from tests.conftest import MakeVideo
from tests.local_azure import LocalAzure
from tests.local_azure.faults import Service

from .conftest import Sample, mp3s_of

KEYS = ('AZURE_BATCH_ACCESS_KEY', 'AZURE_STORAGE_KEY')
BATCH_ROLE = '--role "Azure Batch Data Contributor" --assignee <you>'
STORAGE_ROLE = '--role "Storage Blob Data Contributor" --assignee <you>'


@pytest.fixture(scope='module')
def entra_azure() -> Iterator[LocalAzure]:
    with LocalAzure(entra=True) as azure:
        yield azure


@pytest.fixture
def azure(entra_azure: LocalAzure) -> Iterator[LocalAzure]:
    yield entra_azure
    entra_azure.clear()


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


def assert_refused(sample: Sample, *words: str) -> None:
    """Run the sample: one message with these words, exit code 1, nothing left."""
    sample.assert_refused(*words)

    sample.azure.faults.clear()
    assert sample.nothing_is_left()


def test_the_clips_are_converted_without_any_key(sample: Sample, clips: Path) -> None:
    sample.input = clips

    result = sample.run('-y')

    assert not set(KEYS) & set(sample.azure.environment)
    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == mp3s_of(*(f'LowPriVMs-{number}.mp4' for number in range(1, 6)))
    assert signers(sample) == {'user delegation key'}
    assert sample.nothing_is_left()


@pytest.mark.parametrize('key', KEYS)
def test_each_service_chooses_its_own_way(key: str, sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')
    sample.environment = {key: sample.azure.keys[key]}

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == mp3s_of('a.mp4')
    assert signers(sample) == {
        'account key' if key == 'AZURE_STORAGE_KEY' else 'user delegation key'
    }


def test_a_run_longer_than_the_life_of_a_token_succeeds(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('a.mp4')
    sample.azure.token_life = timedelta(seconds=3)
    # Seconds: beyond the life of a token and what a service allows on top.
    sample.azure.slow_nodes(start_task=12)

    result = sample.run('-y')

    tokens = [request for request in sample.azure.requests if request.service == 'identity']
    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == mp3s_of('a.mp4')
    assert tokens[-1].started - tokens[0].started > 2 * sample.azure.token_life.total_seconds()


@pytest.mark.parametrize('service', ['batch', 'storage'])
def test_a_bad_token_is_said(service: Service, sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')
    sample.azure.bad_tokens('signature', service=service)

    assert_refused(sample, f'{service.capitalize()} account', 'az login')


@pytest.mark.parametrize(
    ('service', 'role'),
    [('batch', BATCH_ROLE), ('storage', STORAGE_ROLE)],
    ids=['batch', 'storage'],
)
def test_a_missing_role_is_said_with_the_command_that_gives_it(
    service: Service, role: str, sample: Sample, make_video: MakeVideo
) -> None:
    make_video('a.mp4')
    denied = sample.azure.deny_role(service)

    assert_refused(sample, 'az role assignment create', role)
    denied.check()


def forbid_keys_of_batch(azure: LocalAzure) -> None:
    azure.forbid_shared_key('batch')


def forbid_keys_of_storage(azure: LocalAzure) -> None:
    azure.forbid_shared_key('storage')


def forbid_entra(azure: LocalAzure) -> None:
    azure.forbid_entra()


@pytest.mark.parametrize(
    ('forbid', 'key', 'word'),
    [
        (
            forbid_keys_of_batch,
            'AZURE_BATCH_ACCESS_KEY',
            'SharedKey is not allowed for this account',
        ),
        (forbid_keys_of_storage, 'AZURE_STORAGE_KEY', 'Leave _STORAGE_ACCOUNT_KEY empty'),
        (forbid_entra, '', 'AAD is not allowed for this account'),
    ],
    ids=['keys of Batch', 'keys of Storage', 'Entra'],
)
def test_a_way_to_sign_in_that_the_account_forbids_is_said(
    forbid: Callable[[LocalAzure], None],
    key: str,
    word: str,
    sample: Sample,
    make_video: MakeVideo,
) -> None:
    make_video('a.mp4')
    sample.environment = {key: sample.azure.keys[key]} if key else {}
    forbid(sample.azure)

    assert_refused(sample, word)


def test_nobody_signed_in_is_said(sample: Sample, make_video: MakeVideo, tmp_path: Path) -> None:
    make_video('a.mp4')
    sample.environment = {
        'IDENTITY_ENDPOINT': '',
        'AZURE_TOKEN_CREDENTIALS': 'dev',
        'HOME': str(tmp_path),
    }

    assert_refused(sample, 'Not signed in')
