"""What others do while a client watches its job: pools resized, nodes removed, jobs disabled.

A person in the portal, or another client. SDK14: pool.remove_nodes, job.disable, job.enable,
DisableJobOption, ComputeNodeDeallocationOption, TaskExecutionInformation.requeue_count.
"""

from __future__ import annotations

from pathlib import Path

import azure.batch.models as models
import pytest
from azure.batch import BatchServiceClient

from tests.local_azure import LocalAzure

from .conftest import (
    LONG,
    a_job,
    a_pool,
    a_task,
    is_alive,
    let_time_pass,
    refusal,
    states_of_nodes,
    wait_completed,
    wait_for_nodes,
    wait_running,
    wait_until_steady,
)


def start_tasks(azure: LocalAzure, *tasks: models.TaskAddParameter, nodes: int) -> None:
    """A steady pool with one slot on each node; returns when every node runs one of these tasks."""
    client = azure.batch_client()
    client.pool.add(a_pool(target_low_priority_nodes=nodes))
    wait_until_steady(azure)
    client.job.add(a_job())
    for task in tasks:
        client.task.add('job', task)
    wait_running(azure, nodes)


def resize(client: BatchServiceClient, nodes: int, option: str | None = None) -> None:
    size = models.PoolResizeParameter(
        target_low_priority_nodes=nodes, node_deallocation_option=option
    )
    client.pool.resize('pool', size)


def remove(client: BatchServiceClient, *nodes: str, option: str | None = None) -> None:
    removal = models.NodeRemoveParameter(node_list=list(nodes), node_deallocation_option=option)
    client.pool.remove_nodes('pool', removal)


def wait_for_job(azure: LocalAzure, state: str) -> None:
    job = azure.batch.jobs.get('job')
    azure.wait_until(lambda: job.state.value == state, describe=f'a job that is {state}')


def node_of(client: BatchServiceClient, task_id: str) -> str:
    return str(client.task.get('job', task_id).node_info.node_id)


def state_and_requeues(client: BatchServiceClient, task_id: str) -> tuple[str, int]:
    task = client.task.get('job', task_id)
    return task.state.value, task.execution_info.requeue_count


def failure_of(client: BatchServiceClient, task_id: str) -> str:
    return str(client.task.get('job', task_id).execution_info.failure_info.code)


# Pools


def test_smaller_pool_shows_the_node_that_leaves_and_requeues_its_task(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    start_tasks(azure, a_task('1', LONG), a_task('2', LONG), a_task('3', LONG), nodes=2)
    azure.batch.delays.node_leaving = 60
    etag = client.pool.get('pool').e_tag

    resize(client, 1)

    wait_for_nodes(azure, 'leavingpool', 'running')
    pool = client.pool.get('pool')
    assert (pool.allocation_state.value, pool.e_tag > etag) == ('resizing', True)
    (counts,) = client.account.list_pool_node_counts()
    assert counts.low_priority.leaving_pool == 1
    let_time_pass(azure)
    wait_until_steady(azure)
    pool = client.pool.get('pool')
    assert (pool.target_low_priority_nodes, pool.current_low_priority_nodes) == (1, 1)
    assert pool.resize_errors is None
    assert states_of_nodes(azure) == ['running']
    task_counts = client.job.get_task_counts('job').task_counts
    assert (task_counts.active, task_counts.running) == (2, 1)
    requeued = [task.execution_info.requeue_count for task in client.task.list('job')]
    assert sorted(requeued) == [0, 0, 1]


def test_requeued_task_runs_again_and_ends_well(
    azure: LocalAzure, client: BatchServiceClient, tmp_path: Path
) -> None:
    mark = tmp_path / 'mark'
    long_the_first_time = f"bash -c 'test -e {mark} && exit; touch {mark}; sleep 600'"
    start_tasks(azure, a_task('1', long_the_first_time), nodes=1)
    first_node = node_of(client, '1')
    azure.wait_until(mark.exists)

    resize(client, 0)
    wait_until_steady(azure)

    waiting = client.task.get('job', '1')
    assert (waiting.state.value, waiting.node_info) == ('active', None)
    refused = refusal(client.file.get_from_task, 'job', '1', 'stdout.txt')
    assert refused == (409, 'OperationInvalidForCurrentState')
    resize(client, 1)
    wait_completed(azure, 1)
    again = client.task.get('job', '1')
    assert again.execution_info.result.value == 'success'
    assert again.node_info.node_id != first_node
    assert (again.execution_info.requeue_count, again.execution_info.retry_count) == (1, 0)


def test_smaller_pool_may_end_the_tasks_of_nodes_that_leave(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    start_tasks(azure, a_task('1', LONG), a_task('2', LONG), nodes=2)

    resize(client, 1, 'terminate')
    wait_until_steady(azure)

    completed = models.TaskListOptions(filter="state eq 'completed'")
    (ended,) = client.task.list('job', completed)
    assert failure_of(client, ended.id) == 'TaskEnded'
    assert states_of_nodes(azure) == ['running']


@pytest.mark.parametrize('kept', ['1', '3'])
def test_idle_nodes_leave_before_those_that_run_tasks(
    azure: LocalAzure, client: BatchServiceClient, kept: str
) -> None:
    start_tasks(azure, a_task('1', LONG), a_task('2', LONG), a_task('3', LONG), nodes=3)
    for ended in {'1', '2', '3'} - {kept}:
        client.task.terminate('job', ended)
    wait_for_nodes(azure, 'idle', 'idle', 'running')

    resize(client, 1)
    wait_until_steady(azure)

    assert states_of_nodes(azure) == ['running']
    assert state_and_requeues(client, kept) == ('running', 0)


# Nodes


def test_removed_node_leaves_and_its_task_runs_elsewhere(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    start_tasks(azure, a_task('1', LONG), a_task('2', LONG), nodes=2)
    other = node_of(client, '2')

    remove(client, node_of(client, '1'))

    wait_until_steady(azure)
    pool = client.pool.get('pool')
    assert (pool.target_low_priority_nodes, pool.current_low_priority_nodes) == (1, 1)
    assert [node.id for node in client.compute_node.list('pool')] == [other]
    assert state_and_requeues(client, '1') == ('active', 1)
    client.task.terminate('job', '2')
    azure.wait_until(lambda: client.task.get('job', '1').state == models.TaskState.running)


def test_removed_node_waits_for_its_task_and_gets_no_other(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    start_tasks(azure, a_task('1', LONG), a_task('2', LONG), nodes=1)

    remove(client, node_of(client, '1'), option='taskcompletion')
    loss = azure.preempt_node()  # comes for the next node: ours

    assert states_of_nodes(azure) == ['leavingpool']
    assert client.task.get('job', '1').state == models.TaskState.running
    assert client.pool.get('pool').allocation_state == models.AllocationState.resizing
    client.task.terminate('job', '1')
    wait_until_steady(azure)
    assert (states_of_nodes(azure), loss.hits) == ([], 0)
    assert client.task.get('job', '2').state == models.TaskState.active


def test_pool_is_deleted_while_a_node_waits_for_its_task(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    start_tasks(azure, a_task('1', LONG), nodes=1)
    remove(client, node_of(client, '1'), option='taskcompletion')

    client.pool.delete('pool')

    azure.wait_until(lambda: not azure.batch.all_pools())
    assert client.task.get('job', '1').state == models.TaskState.active


def test_nodes_that_cannot_be_removed(azure: LocalAzure, client: BatchServiceClient) -> None:
    """From a pool with a formula: Azure/BatchExplorer issue 2082. That code is ours."""
    formula = '$TargetLowPriorityNodes = 1;'
    client.pool.add(a_pool('scaled', enable_auto_scale=True, auto_scale_formula=formula))
    wait_until_steady(azure, 'scaled')
    client.pool.add(a_pool(target_low_priority_nodes=1))
    wait_until_steady(azure)

    def refused(pool_id: str, nodes: list[str]) -> tuple[int, str]:
        removal = models.NodeRemoveParameter(node_list=nodes)
        return refusal(client.pool.remove_nodes, pool_id, removal)

    assert refused('pool', ['none']) == (404, 'NodeNotFound')
    assert refused('pool', []) == (400, 'InvalidPropertyValue')
    too_many = [f'n{number}' for number in range(101)]
    assert refused('pool', too_many) == (400, 'InvalidPropertyValue')
    assert refused('scaled', ['none']) == (409, 'OperationInvalidForCurrentState')
    resize(client, 2)
    assert refused('pool', ['none']) == (409, 'PoolBeingResized')


# Tasks


def test_deleted_task_is_nowhere_its_process_ends_and_its_node_runs_the_next(
    azure: LocalAzure, client: BatchServiceClient, tmp_path: Path
) -> None:
    file = tmp_path / 'pid'
    command = f'bash -c "echo $$ > {file}.new; mv {file}.new {file}; exec sleep 600"'
    start_tasks(azure, a_task('1', command), a_task('2', LONG), nodes=1)
    azure.wait_until(file.exists)
    process = int(file.read_text())

    client.task.delete('job', '1')

    azure.wait_until(lambda: not is_alive(process), describe='the end of the process')
    for operation in (client.task.get, client.task.terminate, client.task.delete):
        assert refusal(operation, 'job', '1') == (404, 'TaskNotFound')
    files = refusal(client.file.get_from_task, 'job', '1', 'stdout.txt')
    assert files == (404, 'TaskNotFound')
    wait_running(azure)
    assert [task.id for task in client.task.list('job')] == ['2']
    counts = client.job.get_task_counts('job').task_counts
    assert (counts.active, counts.running, counts.completed) == (0, 1, 0)


def test_job_completes_when_its_last_running_task_is_deleted(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    """SDK14 JobAddParameter: a job without tasks counts as one whose tasks are all complete."""
    start_tasks(azure, a_task('1', LONG), nodes=1)
    change = models.JobPatchParameter(on_all_tasks_complete='terminatejob')
    client.job.patch('job', change)

    client.task.delete('job', '1')

    wait_for_job(azure, 'completed')
    assert client.job.get('job').execution_info.terminate_reason == 'AllTasksComplete'


# Jobs


def test_disabled_job_starts_no_task_until_it_is_enabled(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    start_tasks(azure, a_task('1', LONG), a_task('2'), nodes=1)
    azure.batch.delays.job_disabling = azure.batch.delays.job_enabling = 60

    client.job.disable('job', 'requeue')

    assert client.job.get('job').state == models.JobState.disabling
    let_time_pass(azure)
    wait_for_job(azure, 'disabled')
    assert state_and_requeues(client, '1') == ('active', 1)
    assert states_of_nodes(azure) == ['idle']
    client.job.enable('job')
    assert client.job.get('job').state == models.JobState.enabling
    let_time_pass(azure)
    wait_for_job(azure, 'active')
    wait_running(azure)


def test_job_is_disabling_as_long_as_it_waits_for_its_running_tasks(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    """What was waited for can still be ended: SDK14 job.disable."""
    start_tasks(azure, a_task('1', LONG), a_task('2'), nodes=1)

    client.job.disable('job', 'wait')

    assert client.task.get('job', '1').state == models.TaskState.running
    assert client.job.get('job').state == models.JobState.disabling
    client.job.disable('job', 'terminate')
    wait_for_job(azure, 'disabled')
    assert failure_of(client, '1') == 'TaskEnded'
    assert client.task.get('job', '2').state == models.TaskState.active


def test_disabling_goes_on_when_the_node_of_the_last_task_is_lost(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    start_tasks(azure, a_task('1', LONG), nodes=1)
    client.job.disable('job', 'wait')

    azure.preempt_node()

    wait_for_job(azure, 'disabled')


def test_disabled_job_takes_tasks_and_can_be_ended(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    """Ours, as that only a disabled job is enabled."""
    client.job.add(a_job(on_all_tasks_complete='noaction'))
    assert refusal(client.job.enable, 'job') == (409, 'OperationInvalidForCurrentState')
    client.job.disable('job', 'requeue')
    wait_for_job(azure, 'disabled')
    ends = models.JobPatchParameter(on_all_tasks_complete='terminatejob')
    client.job.patch('job', ends)
    assert client.job.get('job').state == models.JobState.disabled  # though it has no task

    client.task.add('job', a_task())
    client.job.terminate('job')

    wait_for_job(azure, 'completed')
    assert refusal(client.job.disable, 'job', 'requeue') == (409, 'JobCompleted')
    assert refusal(client.job.enable, 'job') == (409, 'JobCompleted')


def test_job_that_is_terminated_and_deleted_while_it_is_disabled_is_gone(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    azure.batch.delays.job_disabling = 60
    for job_id in ('terminated', 'deleted'):
        client.job.add(a_job(job_id))
        client.job.disable(job_id, 'requeue')

    client.job.terminate('terminated')
    client.job.delete('deleted')

    azure.wait_until(lambda: len(azure.batch.all_jobs()) == 1)
    job = azure.batch.jobs.get('terminated')
    azure.wait_until(lambda: job.state.value == 'completed')


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
