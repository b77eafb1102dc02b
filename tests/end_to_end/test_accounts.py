"""What is wrong with, or already in, the two accounts."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from azure.batch import models as batchmodels

from tests.conftest import MakeVideo

from .conftest import Sample

OTHER_KEY = base64.b64encode(b'not the key of this account').decode()
NO_SERVER = 'http://127.0.0.1:9'
POOL_STAYS = (
    'The pool is not of this run, or another run uses it by now. '
    'Its nodes bill until it is deleted. To delete it:\n'
    '  az batch pool delete --pool-id LinuxFFmpegPool --yes '
)


@pytest.fixture(autouse=True)
def video(make_video: MakeVideo) -> None:
    make_video('a.mp4')


@pytest.mark.parametrize('variable', ['AZURE_BATCH_ACCESS_KEY', 'AZURE_STORAGE_KEY'])
def test_a_wrong_key_is_said(sample: Sample, variable: str) -> None:
    sample.environment = {variable: OTHER_KEY}

    sample.assert_refused('Server failed to authenticate the request', 'Wrong key')
    assert sample.containers() == []


def test_a_wrong_clock_is_said_with_both_times(sample: Sample) -> None:
    sample.azure.clock_offset(timedelta(minutes=20))

    sample.assert_refused('AuthenticationFailed', 'clock', 'Clocks: ')


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

    sample.assert_refused(url.partition('//')[2].partition(':')[0].partition('/')[0])
    assert sample.containers() == []


def test_an_input_container_of_somebody_else_is_not_touched(sample: Sample) -> None:
    with sample.azure.blob_service_client() as client:
        client.create_container('input').upload_blob('precious.mp4', b'keep me')

    sample.assert_refused('Container [input]', "not this sample's")

    with sample.azure.blob_service_client() as client:
        assert [blob.name for blob in client.get_container_client('input').list_blobs()] == [
            'precious.mp4'
        ]
    assert sample.containers() == ['input']
    assert sample.pools() == []


def test_a_container_that_is_still_being_deleted_is_waited_for(sample: Sample) -> None:
    fault = sample.azure.container_being_deleted('input', creates=2, now=True)

    result = sample.run('-y')

    fault.check()
    assert result.returncode == 0, result.stderr
    assert 'Container [input] is still being deleted: waiting until it is gone...' in result.stderr


def test_a_pool_with_the_same_settings_is_used_again(sample: Sample) -> None:
    assert sample.run('--keep').returncode == 0
    sample.azure.batch_client().job.delete('LinuxFFmpegJob')
    (created,) = [pool.creation_time for pool in sample.azure.batch_client().pool.list()]

    result = sample.run('--keep')

    assert result.returncode == 0, result.stderr
    assert (
        'Pool [LinuxFFmpegPool] exists with the same settings and is used again.' in result.stdout
    )
    assert [pool.creation_time for pool in sample.azure.batch_client().pool.list()] == [created]


def add_pool(sample: Sample, **changes: object) -> None:
    """Add the sample's pool with some changes and without its mark."""
    assert sample.run('--keep').returncode == 0
    client = sample.azure.batch_client()
    pool = client.pool.get('LinuxFFmpegPool')
    client.job.delete('LinuxFFmpegJob')
    client.pool.delete('LinuxFFmpegPool')
    sample.azure.wait_until(lambda: not client.pool.exists('LinuxFFmpegPool'))
    wanted = {
        'vm_size': pool.vm_size,
        'virtual_machine_configuration': pool.virtual_machine_configuration,
        'start_task': pool.start_task,
        'target_low_priority_nodes': 5,
        'target_dedicated_nodes': 0,
    }
    client.pool.add(batchmodels.PoolAddParameter(id='LinuxFFmpegPool', **{**wanted, **changes}))


@pytest.mark.parametrize(
    ('changes', 'word'),
    [
        ({'vm_size': 'standard_a2_v2'}, 'vm_size: standard_a2_v2 instead of STANDARD_A1_v2'),
        ({'target_low_priority_nodes': 2}, 'target_low_priority_nodes: 2 instead of 5'),
        ({'start_task': None}, 'command_line: None instead of'),
    ],
    ids=['size', 'nodes', 'start task'],
)
def test_another_pool_of_that_name_is_refused_with_the_difference_and_stays(
    sample: Sample, changes: dict[str, object], word: str
) -> None:
    add_pool(sample, **changes)

    stderr = sample.assert_refused(
        'Pool [LinuxFFmpegPool] already exists with other settings: ', word
    )

    assert POOL_STAYS in stderr
    assert sample.pools() == ['LinuxFFmpegPool']


def test_a_pool_that_this_sample_did_not_create_is_used_but_never_deleted(sample: Sample) -> None:
    add_pool(sample)

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert POOL_STAYS in result.stderr
    assert sample.pools() == ['LinuxFFmpegPool']


def test_a_pool_and_a_job_that_are_still_being_deleted_are_waited_for(sample: Sample) -> None:
    pool = sample.azure.fail_requests('POST', r'/pools\?', 2, status=409, code='PoolBeingDeleted')
    job = sample.azure.fail_requests('POST', r'/jobs\?', 2, status=409, code='JobBeingDeleted')

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert (pool.hits, job.hits) == (2, 2)
    assert (
        'Pool [LinuxFFmpegPool] is still being deleted: waiting until it is gone...'
        in result.stderr
    )
    assert (
        'Job [LinuxFFmpegJob] is still being deleted: waiting until it is gone...' in result.stderr
    )
    assert sample.mp3s() == ['a.mp3']


def test_an_old_job_stops_the_run_where_nobody_can_be_asked(sample: Sample) -> None:
    assert sample.run('--keep').returncode == 0

    stderr = sample.assert_refused(
        'Job [LinuxFFmpegJob] exists', 'az batch job delete', 'choose another _JOB_ID', options=()
    )

    assert sample.jobs() == ['LinuxFFmpegJob']
    assert 'input' not in sample.containers()
    assert stderr.count('LinuxFFmpegJob') == 2


def test_yes_deletes_an_old_job_and_goes_on(sample: Sample) -> None:
    assert sample.run('--keep').returncode == 0

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert 'Job [LinuxFFmpegJob] exists: 1 tasks done, 0 not done.' in result.stdout
    assert sample.nothing_is_left()


def test_keep_twice_replaces_the_finished_job_and_uses_the_pool_again(
    sample: Sample, make_video: MakeVideo
) -> None:
    assert sample.run('--keep').returncode == 0
    client = sample.azure.batch_client()
    created = client.pool.get('LinuxFFmpegPool').creation_time
    make_video('b.mp4')

    result = sample.run('--keep')

    assert result.returncode == 0, result.stderr
    assert 'Job [LinuxFFmpegJob] exists: 1 tasks done, 0 not done.' in result.stdout
    assert 'It was kept by an earlier run, and is replaced.' in result.stdout
    assert 'Pool [LinuxFFmpegPool] exists with the same settings and is used again.' in (
        result.stdout
    )
    assert client.pool.get('LinuxFFmpegPool').creation_time == created
    assert len(list(client.task.list('LinuxFFmpegJob'))) == 2
    assert sample.mp3s() == ['a.mp3', 'b.mp3']
