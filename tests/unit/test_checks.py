"""The checks before a run: both accounts answer, and nothing of somebody else is in the way."""

from __future__ import annotations

from datetime import UTC, datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from azure.batch import models

import batch_python_tutorial_ffmpeg as sample

from .conftest import Videos
from .mocks import BatchMock, StorageMock
from .service_objects import (
    EARLIER_RUN,
    SOMEBODY,
    batch_error,
    container_properties,
    job,
    pool,
    storage_error,
    task_counts,
)

INPUT = sample._INPUT_CONTAINER_NAME


# --- check_what_exists ------------------------------------------------------------------------------------------------
@pytest.fixture
def empty_accounts(batch: BatchMock, storage: StorageMock) -> None:
    batch.job.get.side_effect = batch_error('JobNotFound', status=404)
    batch.pool.get.side_effect = batch_error('PoolNotFound', status=404)
    storage.container(INPUT).get_container_properties.side_effect = storage_error(
        'ContainerNotFound'
    )


def old_job(batch: BatchMock, state: str = 'active', mark: dict[str, str] = EARLIER_RUN) -> None:
    batch.job.get.side_effect = None
    batch.job.get.return_value = job(mark, state)
    batch.job.get_task_counts.return_value = task_counts(active=1, running=2, completed=3)


@pytest.mark.usefixtures('empty_accounts')
def test_check_what_exists_passes_when_nothing_exists_and_says_what_a_run_can_cost(
    batch: BatchMock, storage: StorageMock, capsys: pytest.CaptureFixture[str]
) -> None:
    sample.check_what_exists(batch.client, storage.client, None)

    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ('', '5 nodes STANDARD_A1_v2, up to 2.5 node-hours.\n')

    batch.job.delete.assert_not_called()


@pytest.mark.usefixtures('empty_accounts')
def test_check_what_exists_passes_for_a_container_of_an_earlier_run(
    batch: BatchMock, storage: StorageMock
) -> None:
    properties = storage.container(INPUT).get_container_properties
    properties.side_effect, properties.return_value = None, container_properties(EARLIER_RUN)

    sample.check_what_exists(batch.client, storage.client, None)


@pytest.mark.usefixtures('empty_accounts')
@pytest.mark.parametrize('mark', [SOMEBODY, {}, None])
def test_check_what_exists_stops_at_a_container_of_somebody_else(
    mark: dict[str, str] | None, batch: BatchMock, storage: StorageMock
) -> None:
    old_job(batch)
    properties = storage.container(INPUT).get_container_properties
    properties.side_effect, properties.return_value = None, container_properties(mark)

    with pytest.raises(
        sample.SampleError,
        match=r'Container \[input\] is not this sample\'s: change _INPUT_CONTAINER_NAME',
    ):
        sample.check_what_exists(batch.client, storage.client, 'yes')

    batch.job.delete.assert_not_called()
    assert [call[0] for call in storage.container(INPUT).method_calls] == [
        'get_container_properties'
    ]


@pytest.mark.usefixtures('empty_accounts')
@pytest.mark.parametrize('answer', ['no', None])
def test_check_what_exists_stops_at_an_old_job_unless_told_to_delete_it(
    answer: str | None, batch: BatchMock, storage: StorageMock, capsys: pytest.CaptureFixture[str]
) -> None:
    old_job(batch)

    with pytest.raises(sample.SampleError, match='az batch job delete --job-id LinuxFFmpegJob'):
        sample.check_what_exists(batch.client, storage.client, answer)

    batch.job.delete.assert_not_called()
    assert '[LinuxFFmpegJob] exists: 3 tasks done, 3 not done.' in capsys.readouterr().out


@pytest.mark.usefixtures('empty_accounts')
def test_check_what_exists_deletes_an_old_job_if_told_so(
    batch: BatchMock, storage: StorageMock
) -> None:
    old_job(batch)

    sample.check_what_exists(batch.client, storage.client, 'yes')

    batch.job.delete.assert_called_once_with(sample._JOB_ID)


@pytest.mark.usefixtures('empty_accounts')
@pytest.mark.parametrize('mark', [SOMEBODY, {}])
def test_check_what_exists_never_deletes_a_job_of_somebody_else(
    mark: dict[str, str], batch: BatchMock, storage: StorageMock
) -> None:
    old_job(batch, mark=mark)

    with pytest.raises(sample.SampleError, match=r'Job \[LinuxFFmpegJob\] exists'):
        sample.check_what_exists(batch.client, storage.client, 'yes')

    batch.job.delete.assert_not_called()


@pytest.mark.usefixtures('empty_accounts')
def test_check_what_exists_does_not_ask_about_a_job_that_is_being_deleted(
    batch: BatchMock, storage: StorageMock
) -> None:
    old_job(batch, state='deleting')

    sample.check_what_exists(batch.client, storage.client, 'no')

    batch.job.delete.assert_not_called()


@pytest.mark.parametrize('service', ['batch', 'storage'])
@pytest.mark.usefixtures('empty_accounts')
def test_check_what_exists_fails_if_an_account_refuses(
    service: str, batch: BatchMock, storage: StorageMock
) -> None:
    if service == 'batch':
        batch.job.get.side_effect = batch_error('AuthenticationFailed', status=403)
    else:
        storage.container(INPUT).get_container_properties.side_effect = storage_error(
            'AuthorizationFailure'
        )

    with pytest.raises(sample._EXPECTED_ERRORS, match='Refused') as raised:
        sample.check_what_exists(batch.client, storage.client, None)

    assert sample.error_code(raised.value).startswith('Auth')


# --- check_only -------------------------------------------------------------------------------------------------------
READING = ('get', 'list')


@pytest.fixture
def input_paths(videos: Videos) -> dict[str, Path]:
    return sample.find_input_files(videos(['a.mp4', 'b.mp4']))


def image(sku: str, until: datetime | None = None) -> models.ImageInformation:
    reference = models.ImageReference(
        publisher='canonical', offer='ubuntu-24_04-lts', sku=sku, version='latest'
    )
    return models.ImageInformation(
        node_agent_sku_id='batch.node.ubuntu 24.04',
        image_reference=reference,
        os_type='linux',
        verification_type='verified',
        batch_support_end_of_life=until,
    )


def requests_that_change_something(batch: BatchMock, storage: StorageMock) -> list[Any]:
    sent = [*batch.requests, *storage.container(INPUT).method_calls]
    return [call for call in sent if not call[0].startswith(READING)]


@pytest.mark.usefixtures('empty_accounts')
def test_check_only_reports_and_changes_nothing(
    batch: BatchMock,
    storage: StorageMock,
    input_paths: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    until = datetime(2029, 4, 30, tzinfo=UTC)
    batch.account.list_supported_images.return_value = [
        image('other'),
        image(sample._POOL_IMAGE['sku'], until),
    ]

    exit_code = sample.check_only(batch.client, storage.client, input_paths)

    printed = capsys.readouterr().out
    assert exit_code == 0
    assert requests_that_change_something(batch, storage) == []
    for text in ('Both accounts answer', 'Files: 2.', 'supported until 2029-04-30', 'Pool: new.'):
        assert text in printed


@pytest.mark.usefixtures('empty_accounts')
def test_check_only_says_that_the_pool_exists(
    batch: BatchMock,
    storage: StorageMock,
    input_paths: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    batch.pool.get.side_effect, batch.pool.get.return_value = None, pool()
    batch.account.list_supported_images.return_value = [image(sample._POOL_IMAGE['sku'])]

    sample.check_only(batch.client, storage.client, input_paths)

    printed = capsys.readouterr().out
    assert 'Pool: exists. Job: new.' in printed
    assert 'no end known' in printed


@pytest.mark.usefixtures('empty_accounts')
def test_check_only_fails_if_batch_no_longer_supports_the_image(
    batch: BatchMock, storage: StorageMock, input_paths: dict[str, Path]
) -> None:
    batch.account.list_supported_images.return_value = [image('other')]

    with pytest.raises(sample.SampleError, match='does not support the image server-gen1'):
        sample.check_only(batch.client, storage.client, input_paths)


@pytest.mark.usefixtures('empty_accounts')
def test_check_only_never_deletes_an_old_job(
    batch: BatchMock, storage: StorageMock, input_paths: dict[str, Path]
) -> None:
    old_job(batch)

    with pytest.raises(sample.SampleError, match='exists'):
        sample.check_only(batch.client, storage.client, input_paths)

    assert requests_that_change_something(batch, storage) == []
