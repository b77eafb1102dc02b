"""A client watches its job while another client resizes the pool or deletes a running task.

What nodes do with their tasks when they leave: SDK14, ComputeNodeDeallocationOption and
TaskExecutionInformation.requeue_count.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import azure.batch.models as models
import pytest

from tests.local_azure import LocalAzure

from .conftest import a_job, a_pool, a_task, let_time_pass, refusal

LONG = 'sleep 600'


class SharedAccount:
    """An account that two clients use: `client` watches, and `other` changes things."""

    def __init__(self, azure: LocalAzure) -> None:
        self.azure = azure
        self.client = azure.batch_client()
        self.other = azure.batch_client()

    def close(self) -> None:
        self.client.close()
        self.other.close()

    def start_tasks(self, *tasks: models.TaskAddParameter, nodes: int) -> None:
        """A pool with one slot on each node, and these tasks; returns when every node runs one."""
        self.client.pool.add(a_pool(target_low_priority_nodes=nodes))
        self.wait_until_steady()
        self.client.job.add(a_job())
        self.client.task.add_collection('job', list(tasks))
        self.wait_for_count('running', nodes)

    def resize(self, nodes: int, option: str | None = None) -> None:
        """The other client asks for this number of nodes."""
        size = models.PoolResizeParameter(
            target_low_priority_nodes=nodes,
            node_deallocation_option=option,
        )
        self.other.pool.resize('pool', size)

    def wait_until_steady(self) -> None:
        def is_steady() -> bool:
            return bool(self.get_pool().allocation_state == models.AllocationState.steady)

        self.azure.wait_until(is_steady, describe='a steady pool')

    def wait_for_count(self, name: str, count: int) -> None:
        def is_reached() -> bool:
            return self.task_counts()[name] == count

        self.azure.wait_until(is_reached, describe=f'{count} tasks {name}')

    def wait_for_nodes(self, *states: str) -> None:
        def are_there() -> bool:
            return self.states_of_nodes() == list(states)

        self.azure.wait_until(are_there, describe=f'nodes in the states {states}')

    def get_pool(self) -> Any:
        return self.client.pool.get('pool')

    def get_job(self) -> Any:
        return self.client.job.get('job')

    def get_task(self, task_id: str) -> Any:
        return self.client.task.get('job', task_id)

    def task_counts(self) -> dict[str, int]:
        counts = self.client.job.get_task_counts('job').task_counts
        return {
            'active': counts.active,
            'running': counts.running,
            'succeeded': counts.succeeded,
            'failed': counts.failed,
        }

    def node_counts(self) -> Any:
        """How many nodes of low priority are in which state."""
        (counts,) = self.client.account.list_pool_node_counts()
        return counts.low_priority

    def states_of_tasks(self) -> dict[str, str]:
        tasks = self.client.task.list('job')
        return {task.id: task.state.value for task in tasks}

    def states_of_nodes(self) -> list[str]:
        nodes = self.client.compute_node.list('pool')
        return sorted(node.state.value for node in nodes)


@pytest.fixture
def account(azure: LocalAzure) -> Iterator[SharedAccount]:
    account = SharedAccount(azure)
    yield account
    account.close()


def test_smaller_pool_shows_the_node_that_leaves(account: SharedAccount) -> None:
    account.start_tasks(a_task('1', LONG), a_task('2', LONG), a_task('3', LONG), nodes=2)
    account.azure.batch.delays.node_leaving = 60  # seconds; the test lets them pass

    account.resize(1)

    account.wait_for_nodes('leavingpool', 'running')
    assert account.get_pool().allocation_state == models.AllocationState.resizing
    assert account.node_counts().leaving_pool == 1
    assert sorted(account.states_of_tasks().values()) == ['active', 'active', 'running']
    let_time_pass(account.azure)
    account.wait_for_nodes('running')


def test_smaller_pool_requeues_the_task_of_the_node_that_leaves(account: SharedAccount) -> None:
    account.start_tasks(a_task('1', LONG), a_task('2', LONG), a_task('3', LONG), nodes=2)

    account.resize(1)
    account.wait_until_steady()

    pool = account.get_pool()
    assert (pool.target_low_priority_nodes, pool.current_low_priority_nodes) == (1, 1)
    assert pool.resize_errors is None
    assert account.states_of_nodes() == ['running']
    assert (account.node_counts().running, account.node_counts().total) == (1, 1)
    assert account.task_counts() == {'active': 2, 'running': 1, 'succeeded': 0, 'failed': 0}
    requeued = [task.execution_info.requeue_count for task in account.client.task.list('job')]
    assert sorted(requeued) == [0, 0, 1]


def test_requeued_task_runs_again_and_ends_well(account: SharedAccount, tmp_path: Path) -> None:
    mark = tmp_path / 'mark'
    long_the_first_time = f"bash -c 'test -e {mark} && exit; touch {mark}; sleep 600'"
    account.start_tasks(a_task('1', long_the_first_time), nodes=1)
    first_node = account.get_task('1').node_info.node_id
    account.azure.wait_until(mark.exists)

    account.resize(0)
    account.wait_until_steady()

    waiting = account.get_task('1')
    assert (waiting.state.value, waiting.node_info) == ('active', None)
    assert account.get_job().state == models.JobState.active
    refused = refusal(account.client.file.get_from_task, 'job', '1', 'stdout.txt')
    assert refused == (409, 'OperationInvalidForCurrentState')

    account.resize(1)
    account.wait_for_count('succeeded', 1)

    again = account.get_task('1')
    assert again.node_info.node_id != first_node
    assert (again.execution_info.requeue_count, again.execution_info.retry_count) == (1, 0)


def test_smaller_pool_may_end_the_tasks_of_nodes_that_leave(account: SharedAccount) -> None:
    account.start_tasks(a_task('1', LONG), a_task('2', LONG), nodes=2)

    account.resize(1, 'terminate')
    account.wait_until_steady()

    assert account.task_counts() == {'active': 0, 'running': 1, 'succeeded': 0, 'failed': 1}
    completed = models.TaskListOptions(filter="state eq 'completed'")
    (ended,) = account.client.task.list('job', completed)
    assert ended.execution_info.failure_info.code == 'TaskEnded'
    assert account.states_of_nodes() == ['running']


@pytest.mark.parametrize('kept', ['1', '2', '3'])
def test_idle_nodes_leave_before_those_that_run_tasks(account: SharedAccount, kept: str) -> None:
    account.start_tasks(a_task('1', LONG), a_task('2', LONG), a_task('3', LONG), nodes=3)
    for ended in {'1', '2', '3'} - {kept}:
        account.client.task.terminate('job', ended)
    account.wait_for_nodes('idle', 'idle', 'running')

    account.resize(1)
    account.wait_until_steady()

    assert account.states_of_nodes() == ['running']
    task = account.get_task(kept)
    assert (task.state.value, task.execution_info.requeue_count) == ('running', 0)


def test_larger_pool_runs_the_tasks_that_wait(account: SharedAccount) -> None:
    account.start_tasks(a_task('1', LONG), a_task('2', LONG), a_task('3', LONG), nodes=1)

    account.resize(3)

    account.wait_for_count('running', 3)
    account.wait_until_steady()
    assert account.states_of_nodes() == ['running', 'running', 'running']
    assert account.node_counts().running == 3
    nodes = {task.node_info.node_id for task in account.client.task.list('job')}
    assert len(nodes) == 3


def test_resize_by_another_client_changes_the_etag_of_the_pool(account: SharedAccount) -> None:
    account.start_tasks(a_task('1', LONG), nodes=1)
    etag = account.get_pool().e_tag

    account.resize(2)

    unchanged = models.PoolDeleteOptions(if_match=etag)
    refused = refusal(account.client.pool.delete, 'pool', unchanged)
    assert refused == (412, 'ConditionNotMet')


def test_deleted_task_is_nowhere_and_its_node_runs_the_next(account: SharedAccount) -> None:
    account.start_tasks(a_task('1', LONG), a_task('2', LONG), nodes=1)

    account.other.task.delete('job', '1')

    account.wait_for_count('running', 1)
    assert account.states_of_tasks() == {'2': 'running'}
    assert account.task_counts() == {'active': 0, 'running': 1, 'succeeded': 0, 'failed': 0}
    assert account.states_of_nodes() == ['running']


@pytest.mark.parametrize('operation', ['get', 'terminate', 'delete', 'reactivate'])
def test_deleted_task_is_not_found(account: SharedAccount, operation: str) -> None:
    account.start_tasks(a_task('1', LONG), nodes=1)

    account.other.task.delete('job', '1')

    refused = refusal(getattr(account.client.task, operation), 'job', '1')
    assert refused == (404, 'TaskNotFound')


def test_files_of_a_deleted_task_are_not_found(account: SharedAccount) -> None:
    account.start_tasks(a_task('1', LONG), nodes=1)

    account.other.task.delete('job', '1')

    refused = refusal(account.client.file.get_from_task, 'job', '1', 'stdout.txt')
    assert refused == (404, 'TaskNotFound')


def test_process_of_a_deleted_task_is_ended(account: SharedAccount) -> None:
    write_number = "bash -c 'cd $AZ_BATCH_NODE_SHARED_DIR; echo $$ > new; mv new number; sleep 600'"
    wait_for_its_end = (
        "bash -c 'number=$(< $AZ_BATCH_NODE_SHARED_DIR/number); "
        "while kill -0 $number; do sleep 0.1; done'"
    )
    account.start_tasks(a_task('1', write_number), nodes=1)
    (root,) = account.azure.root.glob('nodes/*/tasks')
    account.azure.wait_until((root / 'shared/number').exists)

    account.other.task.delete('job', '1')
    account.client.task.add('job', a_task('2', wait_for_its_end))

    account.wait_for_count('succeeded', 1)
    account.wait_for_nodes('idle')


def test_job_completes_when_its_last_running_task_is_deleted(account: SharedAccount) -> None:
    account.start_tasks(a_task('1', LONG), nodes=1)
    change = models.JobPatchParameter(on_all_tasks_complete='terminatejob')
    account.client.job.patch('job', change)

    account.other.task.delete('job', '1')

    # SDK14 JobAddParameter: a job without tasks counts as one whose tasks are all complete.
    account.azure.wait_until(lambda: account.get_job().state == 'completed')
    info = account.get_job().execution_info
    assert info.terminate_reason == 'AllTasksComplete'
    assert account.task_counts() == {'active': 0, 'running': 0, 'succeeded': 0, 'failed': 0}
