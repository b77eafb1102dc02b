"""The checks before a run: both accounts answer, and nothing of somebody else is in the way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from azure.batch import models

import batch_python_tutorial_ffmpeg as sample

from .conftest import NewRun, Typed
from .mocks import INPUT, BatchMock, StorageMock
from .service_objects import (
    EARLIER_RUN,
    SOMEBODY,
    THIS_RUN,
    batch_error,
    container_properties,
    job,
    pool,
    storage_error,
    task_counts,
)

OTHER_OUTPUT = EARLIER_RUN | {'output': 'https://other.blob.core.windows.net/output'}


@pytest.fixture(autouse=True)
def empty_accounts(batch: BatchMock, storage: StorageMock) -> None:
    batch.job.get.side_effect = batch_error('JobNotFound', status=404)
    batch.pool.get.side_effect = batch_error('PoolNotFound', status=404)
    missing = storage_error('ContainerNotFound')
    storage.container(INPUT).get_container_properties.side_effect = missing


def old_job(
    batch: BatchMock,
    metadata: dict[str, str] = EARLIER_RUN,
    state: str = 'active',
    running: int = 0,
) -> None:
    """Let there be a job of an earlier run, with three completed tasks and so many running."""
    batch.job.get.side_effect = None
    batch.job.get.return_value = job(metadata, state)
    batch.job.get_task_counts.return_value = task_counts(running=running, completed=3)


def old_container(storage: StorageMock, metadata: dict[str, str] | None) -> None:
    get = storage.container(INPUT).get_container_properties
    get.side_effect = None
    get.return_value = container_properties(metadata)


def changes(batch: BatchMock, storage: StorageMock) -> list[Any]:
    """Return the requests that are not only questions."""
    sent = [*batch.requests, *storage.container(INPUT).method_calls]
    return [call for call in sent if not call[0].startswith(('get', 'list'))]


# --- contact_services -----------------------------------------------------------------------------


def test_contact_passes_when_nothing_exists_and_says_what_a_run_can_cost(
    batch: BatchMock,
    storage: StorageMock,
    new_run: NewRun,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sample.contact_services(new_run())

    printed = capsys.readouterr()
    # 5 nodes for 30 minutes, the margin of 30 minutes, and 5 until Batch looks at the formula
    cost = '5 nodes STANDARD_A1_v2, up to 5.42 node-hours, even if this machine disappears'
    assert (printed.out, printed.err) == ('', f'{cost} while the tasks run.\n')
    assert changes(batch, storage) == []


def test_contact_says_the_cost_of_the_options(
    new_run: NewRun, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ['--dedicated=1', '--low-priority=2', '--vm-size=STANDARD_D2s_v3', '--timeout=205']

    sample.contact_services(new_run(*options))

    assert capsys.readouterr().err.startswith('3 nodes STANDARD_D2s_v3, up to 12.00 node-hours,')


def test_contact_has_more_patience_with_batch_once_it_has_answered(
    batch: BatchMock, new_run: NewRun
) -> None:
    sample.set_patience(batch.client, 1, longest_pause=5, longest_wait=10)

    sample.contact_services(new_run())

    policy = batch.client.config.retry_policy.policy
    assert (policy.total, policy.connect, policy.read, policy.status) == (8, 8, 8, 8)
    assert policy.retry_after_max == 30
    assert batch.client.config.connection.timeout == (10, 30)


def test_contact_asks_storage_with_little_patience(storage: StorageMock, new_run: NewRun) -> None:
    sample.contact_services(new_run())

    get = storage.container(INPUT).get_container_properties
    get.assert_called_once_with(retry_total=1, read_timeout=15)


@pytest.mark.parametrize(
    'metadata',
    [EARLIER_RUN, THIS_RUN, {'createdby': THIS_RUN['createdby']}],
    ids=['earlier run', 'this run', 'an older version, without the output'],
)
def test_contact_passes_for_a_container_of_the_sample(
    metadata: dict[str, str], storage: StorageMock, new_run: NewRun
) -> None:
    old_container(storage, metadata)

    sample.contact_services(new_run())


@pytest.mark.parametrize('metadata', [SOMEBODY, {}, None, OTHER_OUTPUT])
def test_contact_stops_at_a_container_of_somebody_else_or_of_a_run_with_another_output(
    metadata: dict[str, str] | None, batch: BatchMock, storage: StorageMock, new_run: NewRun
) -> None:
    old_container(storage, metadata)

    with pytest.raises(sample.SampleError) as raised:
        sample.contact_services(new_run('-y'))

    assert "Container [input] is not this sample's" in str(raised.value)
    assert 'change _INPUT_CONTAINER_NAME' in str(raised.value)
    assert changes(batch, storage) == []


def test_contact_fails_if_batch_refuses(batch: BatchMock, new_run: NewRun) -> None:
    batch.job.get.side_effect = batch_error('AuthenticationFailed', status=403)

    with pytest.raises(models.BatchErrorException, match='AuthenticationFailed'):
        sample.contact_services(new_run())


def test_contact_fails_if_storage_refuses(storage: StorageMock, new_run: NewRun) -> None:
    refused = storage_error('AuthorizationFailure')
    storage.container(INPUT).get_container_properties.side_effect = refused

    with pytest.raises(type(refused)) as raised:
        sample.contact_services(new_run())

    assert raised.value is refused


# --- replace_old_job ------------------------------------------------------------------------------


def refusal(run: sample.Run) -> str:
    with pytest.raises(sample.SampleError) as raised:
        sample.replace_old_job(run)
    return str(raised.value)


def test_replace_does_nothing_without_an_old_job(batch: BatchMock, new_run: NewRun) -> None:
    sample.replace_old_job(new_run('-y'))

    batch.job.delete.assert_not_called()


def test_replace_does_not_ask_about_a_job_that_is_being_deleted(
    batch: BatchMock, new_run: NewRun, capsys: pytest.CaptureFixture[str]
) -> None:
    old_job(batch, state='deleting', running=1)

    sample.replace_old_job(new_run())

    batch.job.delete.assert_not_called()
    assert capsys.readouterr() == ('', '')


@pytest.mark.parametrize('running', [0, 2], ids=['done', 'not done'])
def test_replace_deletes_an_old_job_with_y(
    running: int, batch: BatchMock, new_run: NewRun, capsys: pytest.CaptureFixture[str]
) -> None:
    old_job(batch, running=running)

    sample.replace_old_job(new_run('-y'))

    batch.job.delete.assert_called_once_with('LinuxFFmpegJob')
    printed = capsys.readouterr()
    state = f'Job [LinuxFFmpegJob] exists: 3 tasks done, {running} not done.'
    assert printed.out.startswith(state)
    assert ('No run is at work on job' in printed.err) is bool(running)


def test_replace_counts_the_queued_tasks_as_not_done(batch: BatchMock, new_run: NewRun) -> None:
    old_job(batch)
    batch.job.get_task_counts.return_value = task_counts(active=4, completed=3)

    assert 'Wait until it is done' in refusal(new_run('--keep'))


@pytest.mark.parametrize('running', [0, 2], ids=['done', 'not done'])
def test_replace_without_anybody_to_ask_keeps_an_old_job_and_stops(
    running: int, batch: BatchMock, new_run: NewRun
) -> None:
    old_job(batch, running=running)

    message = refusal(new_run())

    assert 'Job [LinuxFFmpegJob] exists.' in message
    assert 'choose another _JOB_ID' in message
    assert 'az batch job delete --job-id LinuxFFmpegJob' in message
    batch.job.delete.assert_not_called()


@pytest.mark.parametrize(('reply', 'deleted'), [('y', True), ('n', False), ('', False)])
def test_replace_asks_whether_to_delete_an_old_job(
    reply: str, deleted: bool, batch: BatchMock, new_run: NewRun, typed: Typed
) -> None:
    old_job(batch)
    prompts = typed(reply)
    run = new_run()

    if deleted:
        sample.replace_old_job(run)
    else:
        refusal(run)

    assert prompts == ['Delete it and go on? [y/N] ']
    assert batch.job.delete.called is deleted


def test_replace_deletes_a_finished_job_that_was_kept_before(
    batch: BatchMock, new_run: NewRun, capsys: pytest.CaptureFixture[str]
) -> None:
    old_job(batch)

    sample.replace_old_job(new_run('--keep'))

    batch.job.delete.assert_called_once_with('LinuxFFmpegJob')
    assert 'It was kept by an earlier run, and is replaced.' in capsys.readouterr().out


def test_replace_keeps_an_unfinished_job_with_keep(batch: BatchMock, new_run: NewRun) -> None:
    old_job(batch, running=1)

    refusal(new_run('--keep'))

    batch.job.delete.assert_not_called()


@pytest.mark.parametrize('running', [0, 2], ids=['done', 'not done'])
@pytest.mark.parametrize('answer', ['-y', '--keep'])
@pytest.mark.parametrize('metadata', [SOMEBODY, {}], ids=['somebody', 'nobody'])
def test_replace_never_deletes_a_job_of_somebody_else(
    metadata: dict[str, str], answer: str, running: int, batch: BatchMock, new_run: NewRun
) -> None:
    old_job(batch, metadata, running=running)

    assert 'Job [LinuxFFmpegJob] exists' in refusal(new_run(answer))
    batch.job.delete.assert_not_called()


def test_replace_never_deletes_an_unfinished_job_whose_output_is_not_locked_by_this_run(
    batch: BatchMock, new_run: NewRun
) -> None:
    """A run of another storage account may be alive."""
    old_job(batch, OTHER_OUTPUT, running=1)

    refusal(new_run('-y'))

    batch.job.delete.assert_not_called()


def test_replace_deletes_a_finished_job_of_another_output(
    batch: BatchMock, new_run: NewRun
) -> None:
    old_job(batch, OTHER_OUTPUT)

    sample.replace_old_job(new_run('-y'))

    batch.job.delete.assert_called_once_with('LinuxFFmpegJob')


def test_replace_names_the_pool_that_bills_beside_the_job(
    batch: BatchMock, new_run: NewRun
) -> None:
    old_job(batch, SOMEBODY)
    batch.pool.get.side_effect = None
    batch.pool.get.return_value = pool()

    message = refusal(new_run('-y'))

    assert 'az batch pool delete --pool-id LinuxFFmpegPool' in message


def test_replace_takes_a_job_that_is_gone_meanwhile_for_deleted(
    batch: BatchMock, new_run: NewRun
) -> None:
    old_job(batch)
    batch.job.delete.side_effect = batch_error('JobNotFound', status=404)

    sample.replace_old_job(new_run('-y'))


# --- check_only -----------------------------------------------------------------------------------


def image(sku: str, until: datetime | None = None) -> models.ImageInformation:
    reference = models.ImageReference(
        publisher='canonical', offer='ubuntu-24_04-lts', sku=sku, version='latest'
    )
    return models.ImageInformation(
        node_agent_sku_id='batch.node.ubuntu 24.04',
        image_reference=reference,
        os_type=models.OSType.linux,
        verification_type=models.VerificationType.verified,
        batch_support_end_of_life=until,
    )


def test_check_only_reports_and_changes_nothing(
    batch: BatchMock,
    storage: StorageMock,
    new_run: NewRun,
    capsys: pytest.CaptureFixture[str],
) -> None:
    until = datetime(2029, 4, 30, tzinfo=UTC)
    batch.account.list_supported_images.return_value = [image('other'), image('server-gen1', until)]

    sample.check_only(new_run())

    assert capsys.readouterr().out.splitlines() == [
        'Both accounts answer. Image: server-gen1 is supported, until 2029-04-30.',
        'Files: 3. Pool: new. Job: new.',
    ]
    assert changes(batch, storage) == []
    (options,) = batch.account.list_supported_images.call_args.args
    assert options.filter == "nodeAgentSKUId eq 'batch.node.ubuntu 24.04'"


def test_check_only_says_that_the_pool_exists(
    batch: BatchMock, new_run: NewRun, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.pool.get.side_effect = None
    batch.pool.get.return_value = pool()
    batch.account.list_supported_images.return_value = [image('server-gen1')]

    sample.check_only(new_run())

    printed = capsys.readouterr().out
    assert 'Pool: exists. Job: new.' in printed
    assert 'is supported, no end known.' in printed


def test_check_only_fails_if_batch_no_longer_supports_the_image(
    batch: BatchMock, new_run: NewRun
) -> None:
    batch.account.list_supported_images.return_value = [image('other')]

    with pytest.raises(sample.SampleError, match='does not support the image server-gen1'):
        sample.check_only(new_run())


def test_check_only_fails_at_an_old_job_and_never_deletes_it(
    batch: BatchMock, storage: StorageMock, new_run: NewRun
) -> None:
    old_job(batch)

    with pytest.raises(sample.SampleError) as raised:
        sample.check_only(new_run('-y'))

    assert 'Job [LinuxFFmpegJob] exists.' in str(raised.value)
    assert 'az batch job delete' in str(raised.value)
    assert changes(batch, storage) == []


def test_check_only_passes_while_an_old_job_is_being_deleted(
    batch: BatchMock, new_run: NewRun
) -> None:
    old_job(batch, state='deleting')
    batch.account.list_supported_images.return_value = [image('server-gen1')]

    sample.check_only(new_run())
