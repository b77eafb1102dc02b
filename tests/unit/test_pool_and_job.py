"""Pool and job: what is asked for, and what happens to those that exist already."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from azure.batch import models

import batch_python_tutorial_ffmpeg as sample

from .conftest import Clock
from .mocks import BatchMock
from .service_objects import EARLIER_RUN, SOMEBODY, THIS_RUN, batch_error, items, job, pool

POOL_ID = 'LinuxFFmpegPool'
JOB_ID = 'LinuxFFmpegJob'
NO_JOB = batch_error('JobNotFound', status=404)


def metadata_of(resource: Any) -> dict[str, str]:
    return {item.name: item.value for item in resource.metadata}


def new_pool(batch: BatchMock, **options: Any) -> Any:
    """Return what create_pool sends to make a pool."""
    sample.create_pool(batch.client, POOL_ID, **options)
    (sent,) = batch.pool.add.call_args.args
    return sent


# --- create_pool ----------------------------------------------------------------------------------


def test_pool_is_that_of_the_tutorial(batch: BatchMock) -> None:
    sent = new_pool(batch)

    assert (sent.id, sent.vm_size) == (POOL_ID, 'STANDARD_A1_v2')
    assert (sent.target_dedicated_nodes, sent.target_low_priority_nodes) == (0, 5)
    machine = sent.virtual_machine_configuration
    assert machine.image_reference.as_dict() == sample._POOL_IMAGE
    assert machine.node_agent_sku_id == 'batch.node.ubuntu 24.04'
    assert metadata_of(sent) == THIS_RUN
    assert not sent.enable_auto_scale


def test_pool_has_the_size_and_the_nodes_that_it_is_given(batch: BatchMock) -> None:
    sent = new_pool(batch, dedicated_nodes=2, low_priority_nodes=0, vm_size='STANDARD_D2s_v3')

    assert (sent.target_dedicated_nodes, sent.target_low_priority_nodes) == (2, 0)
    assert sent.vm_size == 'STANDARD_D2s_v3'


def test_pool_installs_ffmpeg_as_administrator_before_any_task(batch: BatchMock) -> None:
    start_task = new_pool(batch).start_task

    assert 'apt-get install -y --no-install-recommends ffmpeg' in start_task.command_line
    assert start_task.wait_for_success is True
    assert start_task.max_task_retry_count == 2
    user = start_task.user_identity.auto_user
    assert user.elevation_level == models.ElevationLevel.admin
    assert user.scope == models.AutoUserScope.pool


def test_pool_is_announced(batch: BatchMock, capsys: pytest.CaptureFixture[str]) -> None:
    new_pool(batch)

    assert capsys.readouterr().out == f'Creating pool [{POOL_ID}]...\n'


def test_pool_waits_for_the_old_one_to_be_gone(batch: BatchMock, clock: Clock) -> None:
    going = batch_error('PoolBeingDeleted')
    batch.pool.add.side_effect = [going, going, None]
    batch.pool.get.side_effect = batch_error('PoolNotFound', status=404)

    sample.create_pool(batch.client, POOL_ID)

    assert batch.pool.add.call_count == 3
    assert clock.elapsed > 0


def test_pool_beyond_the_quota_is_an_error(batch: BatchMock) -> None:
    batch.pool.add.side_effect = batch_error('PoolQuotaReached')

    with pytest.raises(models.BatchErrorException, match='PoolQuotaReached'):
        sample.create_pool(batch.client, POOL_ID)


# --- A pool that exists ---------------------------------------------------------------------------


def existing_pool(batch: BatchMock, mark: dict[str, str], **changes: Any) -> None:
    """Let a pool exist that is like the one asked for, but for `changes`."""
    wanted = new_pool(BatchMock())
    like_it = {
        'virtual_machine_configuration': wanted.virtual_machine_configuration,
        'start_task': wanted.start_task,
        'target_dedicated_nodes': wanted.target_dedicated_nodes,
        'target_low_priority_nodes': wanted.target_low_priority_nodes,
        'vm_size': wanted.vm_size.lower(),  # as the service returns it
    }
    batch.pool.add.side_effect = batch_error('PoolExists', 'The specified pool already exists.')
    batch.pool.get.return_value = pool(metadata=items(mark), **(like_it | changes))


@pytest.mark.parametrize('state', [None, 'deleting'], ids=['no job', 'a job on its way out'])
def test_pool_of_an_earlier_run_is_taken_over(
    state: str | None, batch: BatchMock, capsys: pytest.CaptureFixture[str]
) -> None:
    existing_pool(batch, EARLIER_RUN)
    batch.job.get.side_effect = [NO_JOB if state is None else job(EARLIER_RUN, state)]

    sample.create_pool(batch.client, POOL_ID)

    pool_id, patch = batch.pool.patch.call_args.args
    assert pool_id == POOL_ID
    assert metadata_of(patch) == THIS_RUN
    assert 'exists with the same settings and is used again' in capsys.readouterr().out


def test_pool_that_a_job_still_uses_is_not_taken_over(batch: BatchMock) -> None:
    existing_pool(batch, EARLIER_RUN)
    batch.job.get.return_value = job(EARLIER_RUN)

    sample.create_pool(batch.client, POOL_ID)

    batch.pool.patch.assert_not_called()


def test_pool_of_a_run_with_another_output_is_used_and_not_taken_over(batch: BatchMock) -> None:
    """That run may be alive: the lock of this one is on another container."""
    other = EARLIER_RUN | {'output': 'https://other.blob.core.windows.net/output'}
    existing_pool(batch, other)
    batch.job.get.side_effect = NO_JOB

    sample.create_pool(batch.client, POOL_ID)

    batch.pool.patch.assert_not_called()


@pytest.mark.parametrize(
    'metadata',
    [SOMEBODY, SOMEBODY | {'output': THIS_RUN['output']}],
    ids=['of something else', 'with the same output'],
)
def test_pool_of_somebody_else_with_the_same_settings_is_used_and_not_taken_over(
    metadata: dict[str, str], batch: BatchMock, capsys: pytest.CaptureFixture[str]
) -> None:
    existing_pool(batch, metadata)
    batch.job.get.side_effect = NO_JOB

    sample.create_pool(batch.client, POOL_ID)

    batch.pool.patch.assert_not_called()
    assert 'is used again' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('changes', 'difference'),
    [
        ({'vm_size': 'standard_d2s_v3'}, 'vm_size: standard_d2s_v3 instead of STANDARD_A1_v2'),
        ({'target_low_priority_nodes': 0}, 'target_low_priority_nodes: 0 instead of 5'),
        ({'start_task': None}, 'command_line: None instead of'),
        ({'virtual_machine_configuration': None}, 'node_agent_sku_id: None instead of'),
    ],
    ids=['size', 'number', 'no-start-task', 'no-image'],
)
@pytest.mark.parametrize('mark', [EARLIER_RUN, SOMEBODY], ids=['ours', 'not-ours'])
def test_pool_with_other_settings_is_refused(
    mark: dict[str, str], changes: dict[str, Any], difference: str, batch: BatchMock
) -> None:
    existing_pool(batch, mark, **changes)

    with pytest.raises(sample.SampleError) as raised:
        sample.create_pool(batch.client, POOL_ID)

    assert 'already exists with other settings: ' in str(raised.value)
    assert difference in str(raised.value)
    assert f'az batch pool delete --pool-id {POOL_ID}' in str(raised.value)
    batch.pool.patch.assert_not_called()


def test_pool_whose_formula_has_taken_its_nodes_away_is_used_again(batch: BatchMock) -> None:
    existing_pool(
        batch,
        EARLIER_RUN,
        enable_auto_scale=True,
        target_dedicated_nodes=0,
        target_low_priority_nodes=0,
    )
    batch.job.get.side_effect = NO_JOB

    sample.create_pool(batch.client, POOL_ID)

    batch.pool.patch.assert_called_once()


REFUSED = [models.ResizeError(code='AccountLowPriorityCoreQuotaReached', message='No quota.')]


def test_pool_whose_nodes_were_refused_is_asked_for_them_again(batch: BatchMock) -> None:
    existing_pool(batch, EARLIER_RUN, current_low_priority_nodes=0, resize_errors=REFUSED)
    batch.job.get.side_effect = NO_JOB

    sample.create_pool(batch.client, POOL_ID)

    pool_id, numbers = batch.pool.resize.call_args.args
    assert pool_id == POOL_ID
    assert (numbers.target_dedicated_nodes, numbers.target_low_priority_nodes) == (0, 5)


@pytest.mark.parametrize(
    ('mark', 'changes'),
    [
        pytest.param(EARLIER_RUN, {}, id='nothing-refused'),
        pytest.param(
            EARLIER_RUN, {'resize_errors': REFUSED, 'enable_auto_scale': True}, id='with-a-formula'
        ),
        pytest.param(SOMEBODY, {'resize_errors': REFUSED}, id='of-somebody-else'),
    ],
)
def test_pool_is_not_resized_without_need_or_right(
    mark: dict[str, str], changes: dict[str, Any], batch: BatchMock
) -> None:
    existing_pool(batch, mark, **changes)
    batch.job.get.side_effect = NO_JOB

    sample.create_pool(batch.client, POOL_ID)

    batch.pool.resize.assert_not_called()


def test_pool_of_this_run_is_no_surprise_when_the_answer_was_lost(
    batch: BatchMock, capsys: pytest.CaptureFixture[str]
) -> None:
    existing_pool(batch, THIS_RUN)
    capsys.readouterr()

    sample.create_pool(batch.client, POOL_ID)

    assert capsys.readouterr().out == f'Creating pool [{POOL_ID}]...\n'
    batch.pool.patch.assert_not_called()


# --- differences ----------------------------------------------------------------------------------

ONE = {'target_dedicated_nodes': 1}


@pytest.mark.parametrize(
    ('wanted', 'existing', 'expected'),
    [
        pytest.param({'a': 1, 'b': 'x'}, {'a': 1, 'b': 'x', 'more': 2}, [], id='same-and-more'),
        pytest.param({'size': 'Standard_A1'}, {'size': 'STANDARD_a1'}, [], id='case-of-letters'),
        pytest.param({'a': 1}, {'a': 2}, ['a: 2 instead of 1'], id='value'),
        pytest.param({'a': 1}, {}, ['a: None instead of 1'], id='missing'),
        pytest.param(
            {'a': {'b': {'c': 1}}}, {'a': {'b': {'c': 2}}}, ['c: 2 instead of 1'], id='nested'
        ),
        pytest.param({'a': {'b': 1}}, {'a': None}, ['b: None instead of 1'], id='nested-missing'),
        pytest.param({'metadata': [1]}, {'metadata': [2]}, [], id='metadata-does-not-count'),
        pytest.param(
            {'a': 1, 'b': 2}, {}, ['a: None instead of 1', 'b: None instead of 2'], id='each-one'
        ),
        pytest.param(ONE, {}, ['target_dedicated_nodes: None instead of 1'], id='nodes'),
        pytest.param(ONE, {'enable_auto_scale': True}, [], id='nodes-of-a-formula'),
        pytest.param(
            {'a': 1, **ONE}, {'enable_auto_scale': True}, ['a: None instead of 1'], id='formula'
        ),
    ],
)
def test_differences_are_what_is_asked_for_and_not_so(
    wanted: dict[str, Any], existing: dict[str, Any], expected: list[str]
) -> None:
    assert list(sample.differences(wanted, existing)) == expected


# --- create_job -----------------------------------------------------------------------------------


def test_job_runs_on_the_pool_with_the_metadata_of_this_run(
    batch: BatchMock, capsys: pytest.CaptureFixture[str]
) -> None:
    sample.create_job(batch.client, JOB_ID, POOL_ID)

    (sent,) = batch.job.add.call_args.args
    assert (sent.id, sent.pool_info.pool_id) == (JOB_ID, POOL_ID)
    assert metadata_of(sent) == THIS_RUN
    assert capsys.readouterr().out == f'Creating job [{JOB_ID}]...\n'


@pytest.mark.parametrize(
    ('options', 'limit'),
    [({}, timedelta(minutes=60)), ({'timeout': timedelta(hours=10)}, timedelta(hours=10.5))],
    ids=['default', 'given'],
)
def test_job_is_ended_by_the_service_some_time_after_the_time_limit(
    options: dict[str, Any], limit: timedelta, batch: BatchMock
) -> None:
    sample.create_job(batch.client, JOB_ID, POOL_ID, **options)

    (sent,) = batch.job.add.call_args.args
    assert sent.constraints.max_wall_clock_time == limit


@pytest.mark.parametrize('mark', [EARLIER_RUN, SOMEBODY], ids=['another-run', 'somebody-else'])
def test_job_that_appeared_in_the_meantime_is_not_used(
    mark: dict[str, str], batch: BatchMock
) -> None:
    batch.job.add.side_effect = batch_error('JobExists')
    batch.job.get.return_value = job(mark)

    with pytest.raises(sample.SampleError, match='has just been created by somebody else'):
        sample.create_job(batch.client, JOB_ID, POOL_ID)


def test_job_of_this_run_is_no_surprise_when_the_answer_was_lost(batch: BatchMock) -> None:
    batch.job.add.side_effect = batch_error('JobExists')
    batch.job.get.return_value = job(THIS_RUN)

    sample.create_job(batch.client, JOB_ID, POOL_ID)

    assert batch.job.add.call_count == 1


def test_job_waits_for_the_old_one_to_be_gone(batch: BatchMock, clock: Clock) -> None:
    batch.job.add.side_effect = [batch_error('JobBeingDeleted'), None]
    batch.job.get.side_effect = NO_JOB

    sample.create_job(batch.client, JOB_ID, POOL_ID)

    assert batch.job.add.call_count == 2
    assert clock.elapsed > 0
