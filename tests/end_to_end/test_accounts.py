"""What is wrong with, or already in, the two accounts."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from tests.conformance.conftest import a_job, a_pool
from tests.conftest import MakeVideo

from .conftest import Sample, mp3s_of

POOL, JOB = 'LinuxFFmpegPool', 'LinuxFFmpegJob'
OTHER_KEY = base64.b64encode(b'not the key of this account').decode()


@pytest.fixture(autouse=True)
def video(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')
    sample.allow_formulas_at_once()


@pytest.mark.parametrize('variable', ['AZURE_BATCH_ACCESS_KEY', 'AZURE_STORAGE_KEY'])
def test_a_wrong_key_is_named(sample: Sample, variable: str) -> None:
    sample.environment = {variable: OTHER_KEY}

    sample.assert_refused(variable)

    assert sample.nothing_is_left()


@pytest.mark.parametrize(
    ('variable', 'url'),
    [
        ('AZURE_BATCH_ENDPOINT', 'https://no-such-account.invalid'),
        ('AZURE_STORAGE_SERVICE_ENDPOINT', 'http://127.0.0.1:9/localstorage'),
    ],
)
def test_a_service_that_cannot_be_reached_is_named(sample: Sample, variable: str, url: str) -> None:
    sample.change('_FIRST_RETRY', 'sample._RETRY.new(total=0)')  # without its pauses
    sample.environment = {variable: url}

    sample.assert_refused(url)

    assert sample.nothing_is_left()


# --- What is not this sample's --------------------------------------------------------------------


def create_container(sample: Sample) -> None:
    with sample.azure.blob_service_client() as client:
        client.create_container('input').upload_blob('precious.mp4', b'keep me')


def create_pool(sample: Sample) -> None:
    sample.azure.batch_client().pool.add(a_pool(POOL))


def create_job(sample: Sample) -> None:
    sample.azure.batch_client().job.add(a_job(JOB))


def what_there_is(sample: Sample) -> dict[str, list[str]]:
    """Return the names of jobs and pools, and of what is in each container but that of the lock."""
    found = {'jobs': sample.jobs(), 'pools': sample.pools()}
    with sample.azure.blob_service_client() as client:
        for container in sample.containers():
            found[container] = list(client.get_container_client(container).list_blob_names())
    found.pop('output', None)
    return found


@pytest.mark.parametrize('create', [create_container, create_job, create_pool])
def test_what_is_somebody_elses_is_neither_used_nor_deleted(
    sample: Sample, create: Callable[[Sample], None]
) -> None:
    create(sample)
    before = what_there_is(sample)

    sample.assert_refused()

    assert what_there_is(sample) == before


# --- What an earlier run has left -----------------------------------------------------------------


def test_a_kept_pool_is_used_again_by_a_run_with_the_same_settings_only(
    sample: Sample, make_video: MakeVideo
) -> None:
    assert sample.run('--keep').returncode == 0
    assert (sample.jobs(), sample.pools(), sample.containers()) == ([JOB], [POOL], ['output'])
    client = sample.azure.batch_client()
    created = client.pool.get(POOL).creation_time
    make_video('b.mp4')

    sample.assert_refused(
        'az batch pool delete', options=('--keep', '--vm-size', 'Standard_D2s_v3')
    )
    assert (sample.jobs(), sample.pools(), sample.containers()) == ([JOB], [POOL], ['output'])

    again = sample.run('--keep')
    assert again.returncode == 0, again.stderr
    assert client.pool.get(POOL).creation_time == created
    assert len(list(client.task.list(JOB))) == 2  # of a new job
    assert sample.mp3s() == mp3s_of('a.mp4', 'b.mp4')


def test_what_is_still_being_deleted_is_waited_for(sample: Sample) -> None:
    container = sample.azure.container_being_deleted('input', creates=1, now=True)
    pool = sample.azure.fail_requests('POST', r'/pools\?', status=409, code='PoolBeingDeleted')
    job = sample.azure.fail_requests('POST', r'/jobs\?', status=409, code='JobBeingDeleted')

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert (container.hits, pool.hits, job.hits) == (1, 1, 1)
    assert sample.mp3s() == mp3s_of('a.mp4')
