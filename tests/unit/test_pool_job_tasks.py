"""What is sent to Batch: the pool with its formula, the job, the tasks and their command."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.batch import models

import batch_python_tutorial_ffmpeg as sample

from .conftest import Clock, interrupt
from .mocks import BatchMock, confirm_all
from .service_objects import BEGAN, OTHER_OUTPUT, OURS, SOMEBODY, batch_error, items, job, pool

END = datetime(2026, 11, 22, 17, 30, tzinfo=UTC)


def create_pool(batch: BatchMock, **options: Any) -> Any:
    """Create the pool, and return what was sent."""
    usual: dict[str, Any] = {'dedicated_nodes': 1, 'low_priority_nodes': 4, 'nodes_end': END}
    options = usual | options
    sample.create_pool(batch.client, sample._POOL_ID, **options)
    return batch.pool.add.call_args.args[0]


def test_the_pool_is_created_with_the_formula_that_ends_its_nodes(batch: BatchMock) -> None:
    sent = create_pool(batch)

    assert sent.enable_auto_scale
    assert sent.auto_scale_formula == (
        '$TargetDedicatedNodes = time() < time("2026-11-22T17:30:00Z") ? 1 : 0;\n'
        '$TargetLowPriorityNodes = time() < time("2026-11-22T17:30:00Z") ? 4 : 0;'
    )
    assert sent.auto_scale_evaluation_interval == timedelta(minutes=5)
    assert sent.target_dedicated_nodes is None
    assert sent.target_low_priority_nodes is None


def test_the_end_of_the_nodes_is_in_universal_time(batch: BatchMock) -> None:
    local = END.astimezone(datetime.fromisoformat('2026-01-01T00:00:00+05:30').tzinfo)

    assert '2026-11-22T17:30:00Z' in create_pool(batch, nodes_end=local).auto_scale_formula


def test_without_an_end_the_nodes_end_after_the_limits_of_the_settings(batch: BatchMock) -> None:
    sample.create_pool(batch.client, 'p')

    sent = batch.pool.add.call_args.args[0]
    end = BEGAN + sample._JOB_TIMEOUT + sample._MARGIN
    assert sent.id == 'p'
    assert f'{end:%Y-%m-%dT%H:%M:%SZ}' in sent.auto_scale_formula


def test_each_node_installs_ffmpeg_as_administrator_before_its_first_task(
    batch: BatchMock,
) -> None:
    sent = create_pool(batch, vm_size='STANDARD_D2S_V3')

    assert sent.vm_size == 'STANDARD_D2S_V3'
    assert sent.start_task.wait_for_success
    assert sent.start_task.max_task_retry_count == 2
    user = sent.start_task.user_identity.auto_user
    assert user.elevation_level == models.ElevationLevel.admin
    assert user.scope == models.AutoUserScope.pool
    assert sent.start_task.command_line == sample._START_TASK_COMMAND
    assert sent.virtual_machine_configuration.image_reference.sku == 'server-gen1'
    assert {item.name: item.value for item in sent.metadata} == OURS


def test_a_kept_pool_gets_the_new_formula(batch: BatchMock) -> None:
    batch.pool.add.side_effect = batch_error('PoolExists')
    batch.pool.get.return_value = pool(auto_scale_formula='an old one')

    sent = create_pool(batch)

    batch.pool.enable_auto_scale.assert_called_once_with(
        sample._POOL_ID,
        auto_scale_formula=sent.auto_scale_formula,
        auto_scale_evaluation_interval=timedelta(minutes=5),
    )


def test_a_kept_pool_that_is_being_resized_gets_the_formula_when_it_is_steady(
    batch: BatchMock,
) -> None:
    batch.pool.add.side_effect = batch_error('PoolExists')
    batch.pool.get.return_value = pool()
    batch.pool.enable_auto_scale.side_effect = [batch_error('PoolBeingResized')] * 2 + [None]

    create_pool(batch)

    assert batch.pool.enable_auto_scale.call_count == 3


def test_a_pool_whose_answer_was_lost_counts_as_created(batch: BatchMock) -> None:
    def lose_the_answer(sent: Any) -> None:
        batch.pool.get.return_value = pool(auto_scale_formula=sent.auto_scale_formula)
        raise batch_error('PoolExists')

    batch.pool.add.side_effect = lose_the_answer

    create_pool(batch)

    batch.pool.enable_auto_scale.assert_not_called()


@pytest.mark.parametrize('code', ['PoolBeingDeleted', 'PoolExists'])
def test_a_pool_that_is_being_deleted_is_waited_for(batch: BatchMock, code: str) -> None:
    batch.pool.add.side_effect = [batch_error(code)] * 3 + [None]
    batch.pool.get.return_value = pool(state=models.PoolState.deleting)

    create_pool(batch)

    assert batch.pool.add.call_count == 4


def test_the_wait_for_a_deletion_ends(batch: BatchMock) -> None:
    batch.pool.add.side_effect = batch_error('PoolBeingDeleted')
    batch.pool.get.return_value = pool(state=models.PoolState.deleting)

    with pytest.raises(models.BatchErrorException):
        create_pool(batch)


def machine(
    sku: str = sample._POOL_IMAGE['sku'], agent: str = sample._POOL_NODE_AGENT_SKU_ID
) -> models.VirtualMachineConfiguration:
    """Return the configuration of the machines of another pool."""
    image = models.ImageReference(**sample._POOL_IMAGE | {'sku': sku})
    return models.VirtualMachineConfiguration(image_reference=image, node_agent_sku_id=agent)


@pytest.mark.parametrize(
    'changes',
    [
        {'metadata': None},
        {'metadata': items(SOMEBODY)},
        {'metadata': items(OTHER_OUTPUT)},
        {'vm_size': 'standard_d2s_v3'},
        {'start_task': models.StartTask(command_line='another')},
        {'virtual_machine_configuration': machine(sku='server')},
        {'virtual_machine_configuration': machine(agent='batch.node.ubuntu 22.04')},
    ],
    ids=['nobody', 'somebody', 'other output', 'size', 'start task', 'image', 'node agent'],
)
def test_a_pool_of_somebody_else_or_with_other_settings_is_refused(
    batch: BatchMock, changes: dict[str, Any]
) -> None:
    batch.pool.add.side_effect = batch_error('PoolExists')
    batch.pool.get.return_value = pool(**changes)

    with pytest.raises(sample.SampleError):
        create_pool(batch)

    batch.pool.enable_auto_scale.assert_not_called()


def test_a_signal_ends_the_wait_for_a_deletion(batch: BatchMock, clock: Clock) -> None:
    batch.pool.add.side_effect = batch_error('PoolBeingDeleted')
    clock.on_sleep.append(interrupt)

    with pytest.raises(sample.InterruptedRunError):
        create_pool(batch)


# --- Job ------------------------------------------------------------------------------------------


def test_the_job_ends_by_itself(batch: BatchMock) -> None:
    sample.create_job(batch.client, 'j', 'p', time_limit=timedelta(hours=1))

    sent = batch.job.add.call_args.args[0]
    assert (sent.id, sent.pool_info.pool_id) == ('j', 'p')
    assert sent.constraints.max_wall_clock_time == timedelta(hours=1)
    assert {item.name: item.value for item in sent.metadata} == OURS


def test_a_job_whose_answer_was_lost_counts_as_created(batch: BatchMock) -> None:
    batch.job.add.side_effect = batch_error('JobExists')
    batch.job.get.return_value = job()

    sample.create_job(batch.client, 'j', 'p')


def test_a_job_of_somebody_else_is_not_used(batch: BatchMock) -> None:
    batch.job.add.side_effect = batch_error('JobExists')
    batch.job.get.return_value = job(SOMEBODY)

    with pytest.raises(models.BatchErrorException):
        sample.create_job(batch.client, 'j', 'p')


def test_a_job_that_is_being_deleted_is_waited_for(batch: BatchMock) -> None:
    batch.job.add.side_effect = [batch_error('JobExists'), batch_error('JobBeingDeleted'), None]
    batch.job.get.return_value = job(state='deleting')

    sample.create_job(batch.client, 'j', 'p')

    assert batch.job.add.call_count == 3


# --- Tasks ----------------------------------------------------------------------------------------


def resource(name: str) -> models.ResourceFile:
    return models.ResourceFile(http_url=f'https://in/{name}?sas', file_path=name)


def add_tasks(batch: BatchMock, *names: str) -> list[Any]:
    """Add a task for each video; return what was sent, by the number of the task."""
    sample.add_tasks(batch.client, 'j', [resource(name) for name in names], 'https://out?sas')
    calls = batch.task.add_collection.call_args_list
    tasks = [task for call in calls for task in call.args[1]]
    return sorted(tasks, key=lambda task: int(task.id.removeprefix('Task')))


def test_a_task_reads_its_video_and_writes_its_output(batch: BatchMock) -> None:
    (task,) = add_tasks(batch, 'sub/a.b.mp4')

    assert task.command_line == sample.task_command()
    assert task.display_name == 'sub/a.b.mp4'
    (read,) = task.resource_files
    assert (read.http_url, read.file_path) == ('https://in/sub/a.b.mp4?sas', 'input.mp4')
    (written,) = task.output_files
    assert written.file_pattern == 'output.mp3'
    assert written.destination.container.container_url == 'https://out?sas'
    assert written.destination.container.path == 'sub/a.b.mp3'
    assert written.upload_options.upload_condition == 'taskcompletion'
    assert task.constraints.max_task_retry_count == 0


def test_another_format_reaches_command_and_outputs(
    batch: BatchMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {'extension': '.m4a', 'ffmpeg_options': '-vn -c:a aac'}
    monkeypatch.setattr(sample, '_OUTPUT_FORMAT', other)

    (task,) = add_tasks(batch, 'a.mp4')

    assert '-vn -c:a aac output.m4a' in task.command_line
    assert task.output_files[0].file_pattern == 'output.m4a'
    assert task.output_files[0].destination.container.path == 'a.m4a'


def test_tasks_are_added_in_hundreds(batch: BatchMock) -> None:
    tasks = add_tasks(batch, *(f'{number}.mp4' for number in range(250)))

    sizes = [len(call.args[1]) for call in batch.task.add_collection.call_args_list]
    assert sorted(sizes) == [50, 100, 100]
    assert [task.display_name for task in tasks] == [f'{number}.mp4' for number in range(250)]


def test_a_task_that_batch_has_not_confirmed_is_missed(batch: BatchMock) -> None:
    batch.task.add_collection.side_effect = lambda job_id, tasks: confirm_all(job_id, tasks[1:])

    with pytest.raises(sample.SampleError):
        add_tasks(batch, 'a.mp4', 'b.mp4')
