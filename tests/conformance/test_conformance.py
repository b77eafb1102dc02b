"""azure-batch 14.2.0 through every operation that the local Batch service imitates."""

from __future__ import annotations

from datetime import timedelta

import azure.batch.models as models
from azure.batch import BatchServiceClient

from tests.local_azure import LocalAzure

from .conftest import (
    EMPTY_POOL,
    LONG,
    Wire,
    a_job,
    a_pool,
    a_task,
    let_time_pass,
    refusal,
    run_to_end,
    wait_for_nodes,
    wait_running,
    wait_until_steady,
)


def test_pool_is_added_listed_read_and_deleted(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    azure.batch.delays.pool_deleting = 60
    client.pool.add(
        a_pool(
            'Pool-1', target_low_priority_nodes=2, target_dedicated_nodes=1, display_name='A pool'
        )
    )
    azure.wait_until(lambda: client.pool.get('pool-1').allocation_state == 'steady')

    pool = client.pool.get('POOL-1')
    assert (pool.id, pool.display_name, pool.vm_size) == ('Pool-1', 'A pool', 'standard_a1_v2')
    assert (pool.current_dedicated_nodes, pool.current_low_priority_nodes) == (1, 2)
    assert [pool.id for pool in client.pool.list()] == ['Pool-1']
    assert client.pool.exists('Pool-1')
    client.pool.delete('Pool-1')
    assert client.pool.get('Pool-1').state == models.PoolState.deleting
    assert refusal(client.pool.delete, 'Pool-1') == (409, 'PoolBeingDeleted')
    let_time_pass(azure)
    azure.wait_until(lambda: not client.pool.exists('Pool-1'))
    assert refusal(client.pool.get, 'Pool-1') == (404, 'PoolNotFound')


def test_pool_is_resized_up_and_down(azure: LocalAzure, client: BatchServiceClient) -> None:
    client.pool.add(a_pool(target_low_priority_nodes=1))
    wait_until_steady(azure)
    azure.batch.delays.allocation = 60

    for target in (3, 1, 0):
        client.pool.resize('pool', models.PoolResizeParameter(target_low_priority_nodes=target))
        assert refusal(
            client.pool.resize, 'pool', models.PoolResizeParameter(target_dedicated_nodes=9)
        ) == (
            409,
            'PoolBeingResized',
        )
        let_time_pass(azure)
        wait_until_steady(azure)
        assert client.pool.get('pool').current_low_priority_nodes == target
        assert len(list(client.compute_node.list('pool'))) == target


def test_resize_errors_show_when_the_pool_is_steady(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    client.pool.add(a_pool(target_low_priority_nodes=1))
    wait_until_steady(azure)
    azure.batch.delays.node_leaving = 60
    azure.fail_allocation(dedicated=True)

    smaller = models.PoolResizeParameter(target_dedicated_nodes=1, target_low_priority_nodes=0)
    client.pool.resize('pool', smaller)

    azure.wait_until(lambda: azure.batch.pools.get('pool').resize_errors)
    pool = client.pool.get('pool')
    assert (pool.allocation_state.value, pool.resize_errors) == ('resizing', None)
    let_time_pass(azure)
    wait_until_steady(azure)
    assert [error.code for error in client.pool.get('pool').resize_errors] == ['AllocationFailed']


def test_deletion_of_a_pool_requeues_whatever_the_last_resize_asked_for(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    client.pool.add(a_pool(target_low_priority_nodes=1))
    client.job.add(a_job())
    for target in (2, 1):
        wait_until_steady(azure)
        size = models.PoolResizeParameter(
            target_low_priority_nodes=target, node_deallocation_option='terminate'
        )
        client.pool.resize('pool', size)
    client.task.add('job', a_task(command_line=LONG))
    wait_running(azure)

    client.pool.delete('pool')

    assert client.task.get('job', 'task').state == models.TaskState.active


def test_nodes_are_listed_read_and_counted(azure: LocalAzure, client: BatchServiceClient) -> None:
    client.pool.add(a_pool(target_low_priority_nodes=2, target_dedicated_nodes=1))
    wait_for_nodes(azure, 'idle', 'idle', 'idle')

    nodes = list(client.compute_node.list('pool'))
    assert client.compute_node.get('pool', nodes[0].id).id == nodes[0].id
    assert sorted(node.is_dedicated for node in nodes) == [False, False, True]
    (counts,) = client.account.list_pool_node_counts(
        models.AccountListPoolNodeCountsOptions(filter="poolId eq 'pool'")
    )
    assert (counts.dedicated.idle, counts.dedicated.total, counts.low_priority.idle) == (1, 1, 2)
    assert refusal(client.compute_node.get, 'pool', 'other') == (404, 'NodeNotFound')
    assert refusal(lambda: list(client.compute_node.list('other'))) == (404, 'PoolNotFound')


def test_node_counts_come_ten_at_a_time(
    wire: Wire,
) -> None:  # SDK14 operations: maxresults is 1 to 10
    for number in range(11):
        wire('POST', '/pools', {**EMPTY_POOL, 'id': f'p{number:02}'})

    first = wire('GET', '/nodecounts').json()
    rest = wire.next_page(first)

    assert [counts['poolId'] for counts in first['value']] == [
        f'p{number:02}' for number in range(10)
    ]
    assert [counts['poolId'] for counts in rest['value']] == ['p10']
    assert (
        wire('GET', '/nodecounts', query={'maxresults': '11'}).json()['code']
        == 'OutOfRangeQueryParameterValue'
    )


def test_supported_images_have_ubuntu_24_04_in_both_generations(client: BatchServiceClient) -> None:
    options = models.AccountListSupportedImagesOptions(
        filter="nodeAgentSKUId eq 'batch.node.ubuntu 24.04'"
    )

    images = {
        image.image_reference.sku: image for image in client.account.list_supported_images(options)
    }

    assert set(images) == {'server', 'server-gen1'}
    assert images['server'].capabilities == ['Generation2VMImage']
    assert images['server'].batch_support_end_of_life is None


def test_job_is_added_patched_terminated_and_deleted(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    azure.batch.delays.job_terminating = azure.batch.delays.job_deleting = 60
    client.job.add(a_job('Job-1', priority=5, metadata=[models.MetadataItem(name='a', value='b')]))
    assert refusal(client.job.add, a_job('JOB-1')) == (409, 'JobExists')

    client.job.patch('job-1', models.JobPatchParameter(priority=-7))
    job = client.job.get('job-1')
    assert (job.id, job.priority, job.max_parallel_tasks, job.metadata[0].value) == (
        'Job-1',
        -7,
        -1,
        'b',
    )
    assert [job.id for job in client.job.list()] == ['Job-1']

    client.job.terminate('job-1', 'enough')
    assert client.job.get('job-1').state == models.JobState.terminating
    let_time_pass(azure)
    azure.wait_until(lambda: client.job.get('job-1').state == 'completed')
    assert client.job.get('job-1').execution_info.terminate_reason == 'enough'
    assert refusal(client.job.terminate, 'job-1') == (409, 'JobCompleted')
    assert refusal(client.task.add, 'job-1', a_task()) == (409, 'JobCompleted')

    client.job.delete('job-1')
    assert client.job.get('job-1').state == models.JobState.deleting
    assert refusal(client.job.delete, 'job-1') == (409, 'JobBeingDeleted')
    assert refusal(client.job.add, a_job('Job-1')) == (409, 'JobBeingDeleted')
    let_time_pass(azure)
    azure.wait_until(lambda: not azure.batch.all_jobs())
    assert refusal(client.job.get, 'job-1') == (404, 'JobNotFound')


def test_job_wall_clock_ends_running_tasks_and_leaves_active_ones(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    """Azure docs, error-handling: the constraints of a job end its tasks. The words are ours."""
    client.pool.add(a_pool(target_dedicated_nodes=1))
    limit = models.JobConstraints(max_wall_clock_time=timedelta(seconds=60))
    client.job.add(a_job(constraints=limit))
    client.task.add_collection('job', [a_task('1', LONG), a_task('2', LONG)])
    wait_running(azure)

    let_time_pass(azure)

    azure.wait_until(lambda: client.job.get('job').state == 'completed')
    assert client.job.get('job').execution_info.terminate_reason == 'MaxWallClockTimeExpiry'
    waiting, ended = sorted(client.task.list('job'), key=lambda task: str(task.state.value))
    assert (waiting.state.value, ended.state.value) == ('active', 'completed')
    assert ended.execution_info.failure_info.message == 'The task was ended by user request'


def test_task_counts_follow_the_tasks(azure: LocalAzure, client: BatchServiceClient) -> None:
    client.pool.add(a_pool(target_dedicated_nodes=1, task_slots_per_node=2))
    client.job.add(a_job())
    client.task.add_collection('job', [a_task(f'{n}', LONG) for n in range(3)])
    wait_running(azure, 2)

    counts = client.job.get_task_counts('job')

    assert (counts.task_counts.active, counts.task_counts.running) == (1, 2)
    assert counts.task_slot_counts.running == 2


def test_reactivation_of_a_succeeded_task_is_refused(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    run_to_end(azure, a_task())

    assert refusal(client.task.reactivate, 'job', 'task') == (409, 'TaskSucceeded')


def test_collection_of_101_tasks_is_refused_and_a_large_one_too(
    azure: LocalAzure, client: BatchServiceClient, wire: Wire
) -> None:
    client.job.add(a_job())
    many = [{'id': f'{number}', 'commandLine': 'true'} for number in range(101)]
    answer = wire('POST', '/jobs/job/addtaskcollection', {'value': many})
    assert (answer.status_code, answer.json()['code']) == (400, 'InvalidPropertyValue')

    large = [a_task(f'{n}', 'x' * 30_000) for n in range(100)]
    assert len(client.task.add_collection('job', large).value) == 100

    statuses = [
        request.status for request in azure.requests if request.path.endswith('addtaskcollection')
    ]
    assert 413 in statuses
    assert azure.batch.jobs.get('job').counts['active'] == 100


def test_task_files_are_listed_read_in_part_and_described(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    run_to_end(azure, a_task('t', 'bash -c "echo 0123456789; mkdir sub; echo x > sub/y.txt"'))

    assert [file.name for file in client.file.list_from_task('job', 't')] == [
        'stderr.txt',
        'stdout.txt',
        'wd',
    ]
    every = {file.name: file for file in client.file.list_from_task('job', 't', recursive=True)}
    assert set(every) == {'stderr.txt', 'stdout.txt', 'wd', 'wd/sub', 'wd/sub/y.txt'}
    assert (every['wd'].is_directory, every['stdout.txt'].properties.content_length) == (True, 11)
    assert b''.join(client.file.get_from_task('job', 't', 'wd/sub/y.txt')) == b'x\n'
    part = models.FileGetFromTaskOptions(ocp_range='bytes=2-4')
    assert b''.join(client.file.get_from_task('job', 't', 'stdout.txt', part)) == b'234'
    properties = client.file.get_properties_from_task('job', 't', 'stdout.txt', raw=True)
    assert properties.headers['Content-Length'] == 11
    assert properties.headers['ocp-batch-file-mode'] == '0o100644'
    assert refusal(client.file.get_from_task, 'job', 't', 'nothing.txt') == (404, 'FileNotFound')
    assert refusal(client.file.get_from_task, 'job', 't', '../../../../../etc/hostname') == (
        404,
        'FileNotFound',
    )


def test_files_of_a_node_that_left_are_gone(azure: LocalAzure, client: BatchServiceClient) -> None:
    run_to_end(azure, a_task())

    client.pool.delete('pool')
    azure.wait_until(lambda: not client.pool.exists('pool'))

    assert refusal(client.file.get_from_task, 'job', 'task', 'stdout.txt') == (
        409,
        'TaskFilesUnavailable',
    )
    azure.wait_until(lambda: not any((azure.root / 'nodes').iterdir()))


def test_node_files_are_listed_and_read(azure: LocalAzure, client: BatchServiceClient) -> None:
    run_to_end(azure, a_task(), start_task=models.StartTask(command_line='echo ready'))
    (node,) = client.compute_node.list('pool')

    top = [file.name for file in client.file.list_from_compute_node('pool', node.id)]
    filtered = models.FileListFromComputeNodeOptions(
        filter="startswith(name, 'workitems/job/job-1/task/std')"
    )
    logs = client.file.list_from_compute_node(
        'pool', node.id, recursive=True, file_list_from_compute_node_options=filtered
    )

    assert top == ['applications', 'fsmounts', 'shared', 'startup', 'volatile', 'workitems']
    assert [file.name.rpartition('/')[2] for file in logs] == ['stderr.txt', 'stdout.txt']
    assert (
        b''.join(client.file.get_from_compute_node('pool', node.id, 'startup/stdout.txt'))
        == b'ready\n'
    )


def test_generation_2_image_on_a_generation_1_size_gets_no_nodes(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    pool = a_pool(target_low_priority_nodes=1)
    pool.virtual_machine_configuration.image_reference.sku = 'server'

    client.pool.add(pool)

    wait_until_steady(azure)
    (error,) = client.pool.get('pool').resize_errors
    assert error.code == 'AllocationFailed'
    assert 'Generation' in error.values[0].value
