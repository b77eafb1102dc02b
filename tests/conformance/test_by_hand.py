"""What a person does in the portal or with az while jobs run: nodes removed, jobs disabled.

SDK14: pool.remove_nodes, job.disable, job.enable, DisableJobOption, ComputeNodeDeallocationOption,
TaskExecutionInformation.requeue_count.
"""

from __future__ import annotations

import azure.batch.models as models
import pytest
from azure.batch import BatchServiceClient

from tests.local_azure import LocalAzure

from .conftest import (
    a_job,
    a_pool,
    a_task,
    refusal,
    states_of_nodes,
    wait_completed,
    wait_for_nodes,
    wait_running,
    wait_until_steady,
)

LONG = 'sleep 600'


def start_tasks(azure: LocalAzure, *tasks: models.TaskAddParameter, nodes: int) -> None:
    """A steady pool with one slot on each node; returns when every node runs one of these tasks."""
    client = azure.batch_client()
    client.pool.add(a_pool(target_low_priority_nodes=nodes))
    wait_until_steady(azure)
    client.job.add(a_job())
    for task in tasks:
        client.task.add('job', task)
    wait_running(azure, nodes)


def wait_for_job(azure: LocalAzure, state: str) -> None:
    job = azure.batch.jobs.get('job')
    azure.wait_until(lambda: job.state.value == state, describe=f'a job that is {state}')


def node_of(client: BatchServiceClient, task_id: str) -> str:
    return str(client.task.get('job', task_id).node_info.node_id)


def removal(*nodes: str, option: str | None = None) -> models.NodeRemoveParameter:
    return models.NodeRemoveParameter(node_list=list(nodes), node_deallocation_option=option)


# Nodes


def test_removed_node_leaves_and_its_task_runs_elsewhere(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    start_tasks(azure, a_task('1', LONG), a_task('2', LONG), nodes=2)
    other = node_of(client, '2')

    client.pool.remove_nodes('pool', removal(node_of(client, '1')))

    wait_until_steady(azure)
    pool = client.pool.get('pool')
    assert (pool.target_low_priority_nodes, pool.current_low_priority_nodes) == (1, 1)
    assert [node.id for node in client.compute_node.list('pool')] == [other]
    task = client.task.get('job', '1')
    assert (task.state.value, task.execution_info.requeue_count) == ('active', 1)
    client.task.terminate('job', '2')
    azure.wait_until(lambda: client.task.get('job', '1').state == models.TaskState.running)


def test_task_of_a_removed_node_is_ended_if_that_is_asked_for(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    start_tasks(azure, a_task('1', LONG), nodes=1)

    client.pool.remove_nodes('pool', removal(node_of(client, '1'), option='terminate'))

    wait_completed(azure, 1)
    assert client.task.get('job', '1').execution_info.failure_info.code == 'TaskEnded'


def test_removed_node_waits_for_its_task_and_gets_no_other(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    start_tasks(azure, a_task('1', LONG), a_task('2', LONG), nodes=1)

    client.pool.remove_nodes('pool', removal(node_of(client, '1'), option='taskcompletion'))

    assert states_of_nodes(azure) == ['leavingpool']
    assert client.task.get('job', '1').state == models.TaskState.running
    assert client.pool.get('pool').allocation_state == models.AllocationState.resizing
    client.task.terminate('job', '1')
    wait_until_steady(azure)
    assert states_of_nodes(azure) == []
    assert client.task.get('job', '2').state == models.TaskState.active


def test_pool_is_deleted_while_a_node_waits_for_its_task(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    start_tasks(azure, a_task('1', LONG), nodes=1)
    client.pool.remove_nodes('pool', removal(node_of(client, '1'), option='taskcompletion'))

    client.pool.delete('pool')

    azure.wait_until(lambda: not azure.batch.all_pools())
    assert client.task.get('job', '1').state == models.TaskState.active


def test_node_that_waits_for_its_task_is_not_preempted(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    """Ours. The loss on demand comes for the next node."""
    start_tasks(azure, a_task('1', LONG), nodes=1)
    client.pool.remove_nodes('pool', removal(node_of(client, '1'), option='taskcompletion'))

    loss = azure.preempt_node()

    client.task.terminate('job', '1')
    wait_until_steady(azure)
    assert loss.hits == 0


@pytest.mark.parametrize(
    ('nodes', 'error'),
    [
        (['none'], (404, 'NodeNotFound')),
        ([], (400, 'InvalidPropertyValue')),
        ([f'n{number}' for number in range(101)], (400, 'InvalidPropertyValue')),
    ],
    ids=['unknown', 'none', '101'],
)
def test_nodes_that_cannot_be_removed(
    azure: LocalAzure, client: BatchServiceClient, nodes: list[str], error: tuple[int, str]
) -> None:
    client.pool.add(a_pool())
    wait_until_steady(azure)

    assert refusal(client.pool.remove_nodes, 'pool', removal(*nodes)) == error


def test_nodes_are_not_removed_during_a_resize(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    client.pool.add(a_pool(target_low_priority_nodes=1))
    wait_for_nodes(azure, 'idle')
    wait_until_steady(azure)
    (node,) = client.compute_node.list('pool')
    client.pool.resize('pool', models.PoolResizeParameter(target_low_priority_nodes=2))

    assert refusal(client.pool.remove_nodes, 'pool', removal(node.id)) == (409, 'PoolBeingResized')


def test_nodes_are_not_removed_from_a_pool_with_a_formula(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    """Azure/BatchExplorer issue 2082. The code is ours."""
    formula = '$TargetLowPriorityNodes = 1;'
    client.pool.add(a_pool(enable_auto_scale=True, auto_scale_formula=formula))
    wait_for_nodes(azure, 'idle')
    wait_until_steady(azure)
    (node,) = client.compute_node.list('pool')

    assert refusal(client.pool.remove_nodes, 'pool', removal(node.id))[0] == 409


# Jobs


def test_disabled_job_starts_no_task_until_it_is_enabled(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    start_tasks(azure, a_task('1', LONG), a_task('2'), nodes=1)

    client.job.disable('job', 'requeue')

    assert client.job.get('job').state == models.JobState.disabling
    wait_for_job(azure, 'disabled')
    task = client.task.get('job', '1')
    assert (task.state.value, task.execution_info.requeue_count) == ('active', 1)
    assert states_of_nodes(azure) == ['idle']
    client.job.enable('job')
    assert client.job.get('job').state == models.JobState.enabling
    wait_for_job(azure, 'active')
    wait_running(azure)


def test_running_tasks_of_a_disabled_job_are_ended_if_that_is_asked_for(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    start_tasks(azure, a_task('1', LONG), a_task('2'), nodes=1)

    client.job.disable('job', 'terminate')

    wait_for_job(azure, 'disabled')
    assert client.task.get('job', '1').execution_info.failure_info.code == 'TaskEnded'
    assert client.task.get('job', '2').state == models.TaskState.active


def test_job_is_disabling_as_long_as_it_waits_for_its_running_tasks(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    start_tasks(azure, a_task('1', LONG), a_task('2'), nodes=1)

    client.job.disable('job', 'wait')

    assert client.task.get('job', '1').state == models.TaskState.running
    assert client.job.get('job').state == models.JobState.disabling
    client.task.terminate('job', '1')
    wait_for_job(azure, 'disabled')
    assert client.task.get('job', '2').state == models.TaskState.active


def test_disabling_goes_on_when_the_node_of_the_last_task_is_lost(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    start_tasks(azure, a_task('1', LONG), nodes=1)
    client.job.disable('job', 'wait')

    azure.preempt_node()

    wait_for_job(azure, 'disabled')


def test_what_was_waited_for_can_still_be_ended(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    """SDK14 job.disable: it is no error in the states disabling and disabled."""
    start_tasks(azure, a_task('1', LONG), nodes=1)
    client.job.disable('job', 'wait')

    client.job.disable('job', 'terminate')

    wait_for_job(azure, 'disabled')
    client.job.disable('job', 'terminate')
    assert client.job.get('job').state == models.JobState.disabled


def test_disabled_job_takes_tasks_and_can_be_ended(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    client.job.add(a_job())
    client.job.disable('job', 'requeue')
    wait_for_job(azure, 'disabled')

    client.task.add('job', a_task())
    client.job.terminate('job')

    wait_for_job(azure, 'completed')
    assert refusal(client.job.disable, 'job', 'requeue') == (409, 'JobCompleted')
    assert refusal(client.job.enable, 'job') == (409, 'JobCompleted')


def test_job_that_is_deleted_while_it_is_disabled_is_gone(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    client.job.add(a_job())
    client.job.disable('job', 'requeue')

    client.job.delete('job')

    azure.wait_until(lambda: not azure.batch.all_jobs())


def test_job_that_is_terminated_while_it_is_disabled_completes(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    client.job.add(a_job())
    client.job.disable('job', 'requeue')

    client.job.terminate('job')

    wait_for_job(azure, 'completed')


def test_job_that_ends_by_itself_does_not_do_so_while_it_is_disabled(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    client.job.add(a_job(on_all_tasks_complete='noaction'))
    client.job.disable('job', 'requeue')
    wait_for_job(azure, 'disabled')
    client.job.patch('job', models.JobPatchParameter(on_all_tasks_complete='terminatejob'))

    assert client.job.get('job').state == models.JobState.disabled

    client.job.enable('job')
    wait_for_job(azure, 'completed')


def test_only_a_disabled_job_is_enabled(client: BatchServiceClient) -> None:
    """Ours."""
    client.job.add(a_job())

    assert refusal(client.job.enable, 'job') == (409, 'OperationInvalidForCurrentState')


def test_pool_of_a_job_is_changed_only_while_the_job_is_disabled(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    """SDK14 JobPatchParameter.pool_info."""
    client.pool.add(a_pool('other', target_low_priority_nodes=1))
    client.job.add(a_job())
    client.task.add('job', a_task())
    patch = models.JobPatchParameter(pool_info=models.PoolInformation(pool_id='other'))
    assert refusal(client.job.patch, 'job', patch)[0] == 409

    client.job.disable('job', 'requeue')
    wait_for_job(azure, 'disabled')
    client.job.patch('job', patch)
    client.job.enable('job')

    wait_completed(azure, 1)
