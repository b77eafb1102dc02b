"""What is wrong with, or already in, the two accounts."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from azure.batch import models as batchmodels

from tests.conftest import MakeVideo

from .conftest import Sample, mp3s_of

POOL, JOB = 'LinuxFFmpegPool', 'LinuxFFmpegJob'
OTHER_KEY = base64.b64encode(b'not the key of this account').decode()
NO_SERVER = 'http://127.0.0.1:9'


@pytest.fixture(autouse=True)
def video(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')
    sample.allow_formulas_at_once()


# --- What is wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize('variable', ['AZURE_BATCH_ACCESS_KEY', 'AZURE_STORAGE_KEY'])
def test_a_wrong_key_is_said(sample: Sample, variable: str) -> None:
    sample.environment = {variable: OTHER_KEY}

    sample.assert_refused(variable)

    assert sample.nothing_is_left()


def test_a_wrong_clock_is_said_with_both_times(sample: Sample) -> None:
    sample.azure.clock_offset(timedelta(minutes=20))

    sample.assert_refused('Clocks: ')


@pytest.mark.parametrize(
    ('variable', 'url'),
    [
        ('AZURE_BATCH_ENDPOINT', NO_SERVER),
        ('AZURE_BATCH_ENDPOINT', 'https://no-such-account.invalid'),
        ('AZURE_STORAGE_SERVICE_ENDPOINT', f'{NO_SERVER}/localstorage'),
        ('AZURE_STORAGE_SERVICE_ENDPOINT', 'https://no-such-account.invalid'),
    ],
)
def test_a_service_that_cannot_be_reached_is_said(sample: Sample, variable: str, url: str) -> None:
    sample.environment = {variable: url}

    sample.assert_refused(f'{url} does not answer')

    assert sample.nothing_is_left()


# --- What is not this sample's --------------------------------------------------------------------


def test_an_input_container_of_somebody_else_is_not_touched(sample: Sample) -> None:
    with sample.azure.blob_service_client() as client:
        client.create_container('input').upload_blob('precious.mp4', b'keep me')

    sample.assert_refused('Container [input]')

    with sample.azure.blob_service_client() as client:
        names = list(client.get_container_client('input').list_blob_names())
    assert names == ['precious.mp4']
    assert sample.pools() == []


def test_a_job_of_somebody_else_is_not_deleted(sample: Sample) -> None:
    job = batchmodels.JobAddParameter(
        id=JOB, pool_info=batchmodels.PoolInformation(pool_id='TheirPool')
    )
    sample.azure.batch_client().job.add(job)

    sample.assert_refused('az batch job delete')

    assert sample.jobs() == [JOB]
    assert 'input' not in sample.containers()


def test_a_pool_of_somebody_else_is_neither_used_nor_deleted(sample: Sample) -> None:
    assert sample.run('--keep').returncode == 0
    client = sample.azure.batch_client()
    ours = client.pool.get(POOL)
    client.job.delete(JOB)
    client.pool.delete(POOL)
    sample.azure.wait_until(lambda: not client.pool.exists(POOL))
    theirs = batchmodels.PoolAddParameter(
        id=POOL,
        vm_size=ours.vm_size,
        virtual_machine_configuration=ours.virtual_machine_configuration,
        start_task=ours.start_task,
        target_low_priority_nodes=1,
    )
    client.pool.add(theirs)

    sample.assert_refused('az batch pool delete')

    assert sample.pools() == [POOL]
    assert sample.jobs() == []
    assert 'input' not in sample.containers()


# --- What an earlier run has left -----------------------------------------------------------------


def test_keep_twice_replaces_the_finished_job_and_uses_the_pool_again(
    sample: Sample, make_video: MakeVideo
) -> None:
    assert sample.run('--keep').returncode == 0
    client = sample.azure.batch_client()
    created = client.pool.get(POOL).creation_time
    make_video('b.mp4')

    result = sample.run('--keep')

    assert result.returncode == 0, result.stderr
    assert client.pool.get(POOL).creation_time == created
    assert len(list(client.task.list(JOB))) == 2
    assert sample.mp3s() == mp3s_of('a.mp4', 'b.mp4')


@pytest.mark.parametrize(
    ('setting', 'value'),
    [
        ('_POOL_VM_SIZE', "'STANDARD_A2_v2'"),
        ('_START_TASK_COMMAND', "'/bin/bash -c true'"),
    ],
)
def test_a_kept_pool_with_other_settings_is_refused_with_the_difference_and_stays(
    sample: Sample, setting: str, value: str
) -> None:
    assert sample.run('--keep').returncode == 0
    sample.change(setting, value)

    sample.assert_refused(value.strip("'"), 'az batch pool delete')

    assert sample.pools() == [POOL]
    assert 'input' not in sample.containers()


def test_an_old_job_stops_the_run_where_nobody_can_be_asked(sample: Sample) -> None:
    assert sample.run('--keep').returncode == 0

    sample.assert_refused('az batch job delete', options=())

    assert sample.jobs() == [JOB]
    assert 'input' not in sample.containers()


def test_yes_deletes_an_old_job_and_goes_on(sample: Sample) -> None:
    assert sample.run('--keep').returncode == 0

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert sample.nothing_is_left()


def test_what_is_still_being_deleted_is_waited_for(sample: Sample) -> None:
    container = sample.azure.container_being_deleted('input', creates=2, now=True)
    pool = sample.azure.fail_requests('POST', r'/pools\?', 2, status=409, code='PoolBeingDeleted')
    job = sample.azure.fail_requests('POST', r'/jobs\?', 2, status=409, code='JobBeingDeleted')

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert (container.hits, pool.hits, job.hits) == (2, 2, 2)
    assert sample.mp3s() == mp3s_of('a.mp4')
