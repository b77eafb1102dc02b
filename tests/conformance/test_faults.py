"""Each fault on demand does what it says, is counted, and ends with `clear`."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import azure.batch.models as models
import pytest
import requests
from azure.batch import BatchServiceClient
from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient

from tests.local_azure import LocalAzure
from tests.local_azure.faults import Fault, Where

from .conftest import (
    LONG,
    Wire,
    a_job,
    a_pool,
    a_task,
    an_output,
    file_of_start_task,
    refusal,
    run_to_end,
    wait_completed,
    wait_for_nodes,
    wait_running,
    wait_until_steady,
)


def test_failed_requests_have_the_given_status_code_and_retry_after(
    azure: LocalAzure, wire: Wire
) -> None:
    fault = azure.fail_requests(
        'GET', '/jobs$|/jobs[?]', 2, status=429, code='TooManyRequests', retry_after=7, skip=1
    )

    answers = [wire('GET', '/jobs') for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 429, 429, 200]
    assert answers[1].headers['Retry-After'] == '7'
    assert answers[1].json()['code'] == 'TooManyRequests'
    assert fault.hits == 2
    fault.check()


def test_check_fails_when_a_fault_never_happened(azure: LocalAzure) -> None:
    missed, allocation = azure.fail_requests('GET', '/none'), azure.fail_allocation()
    faults: list[Fault] = [missed, allocation, azure.lose_output(), azure.set_quota(pools=1)]

    for fault in faults:
        with pytest.raises(AssertionError, match='never happened'):
            fault.check()


@pytest.mark.parametrize(('where', 'executed'), [('before', False), ('after', True)])
def test_cut_requests(azure: LocalAzure, wire: Wire, where: Where, executed: bool) -> None:
    fault = azure.cut_requests('POST', '/jobs', where=where)

    with pytest.raises(requests.ConnectionError):
        wire('POST', '/jobs', {'id': 'job', 'poolInfo': {'poolId': 'p'}})

    assert bool(azure.batch.all_jobs()) is executed
    assert fault.hits == 1
    assert wire('GET', '/jobs').status_code == 200


def test_hanging_requests_end_with_the_fault(azure: LocalAzure, wire: Wire) -> None:
    fault = azure.hang_requests('GET', '/jobs')

    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.get(f'{wire.url}/jobs', timeout=0.2)

    azure.wait_until(lambda: fault.hits)  # the service may read it when its sender has gone
    fault.remove()
    assert wire('GET', '/jobs').status_code == 200


def test_answer_cut_in_the_middle(azure: LocalAzure, wire: Wire) -> None:
    azure.cut_requests('GET', '/supportedimages', where='mid-body')

    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        wire('GET', '/supportedimages')


def test_held_requests_are_answered_with_the_end_of_the_fault(
    azure: LocalAzure, wire: Wire
) -> None:
    azure.batch_client().job.add(a_job())
    fault = azure.hold_requests('GET', '/jobs')

    with concurrent.futures.ThreadPoolExecutor() as threads:
        held = threads.submit(wire, 'GET', '/jobs')
        azure.wait_until(lambda: fault.hits)
        assert not held.done()
        fault.remove()

    assert [job['id'] for job in held.result().json()['value']] == ['job']


@pytest.mark.parametrize('status', [200, 502])
def test_html_instead_of_json(azure: LocalAzure, wire: Wire, status: int) -> None:
    azure.html_requests('GET', '/jobs', status=status)

    answer = wire('GET', '/jobs')

    assert (answer.status_code, answer.headers['Content-Type']) == (status, 'text/html')
    assert answer.text.startswith('<html>')


def test_storage_requests_fail_too_but_not_those_of_the_nodes(
    azure: LocalAzure, blobs: BlobServiceClient, container_url: Callable[..., str]
) -> None:
    url = container_url('out')
    fault = azure.fail_requests(
        'PUT', '/out/', None, service='storage', status=409, code='BlobImmutableDueToPolicy'
    )

    with pytest.raises(ResourceExistsError) as caught:
        blobs.get_blob_client('out', 'x').upload_blob(b'x')
    run_to_end(azure, a_task(command_line='touch a', output_files=[an_output('a', url)]))

    assert 'BlobImmutableDueToPolicy' in str(caught.value)
    assert fault.hits == 1
    assert [blob.name for blob in blobs.get_container_client('out').list_blobs()] == ['a']


def test_download_cut_in_the_middle_is_repeated_by_the_storage_client(
    azure: LocalAzure, blobs: BlobServiceClient
) -> None:
    blobs.create_container('out').upload_blob('x', b'0123456789' * 1000)
    fault = azure.cut_requests('GET', '/out/x', service='storage', where='mid-body')

    content = blobs.get_blob_client('out', 'x').download_blob().readall()

    assert content == b'0123456789' * 1000
    fault.check()


def test_container_being_deleted(azure: LocalAzure, blobs: BlobServiceClient) -> None:
    fault = azure.container_being_deleted('input', 2)
    blobs.create_container('input')
    blobs.delete_container('input')

    for _ in range(2):
        with pytest.raises(ResourceExistsError) as caught:
            blobs.create_container('input')
        assert 'ContainerBeingDeleted' in str(caught.value)
    blobs.create_container('input')

    assert fault.hits == 2


def test_latency_is_added_to_each_request_of_both_services(
    azure: LocalAzure, wire: Wire, blobs: BlobServiceClient
) -> None:
    azure.set_latency(0.1)
    started = time.monotonic()

    wire('GET', '/jobs')
    blobs.get_service_properties()

    assert time.monotonic() - started >= 0.2
    assert all(request.seconds >= 0.1 for request in azure.requests)


def test_clock_that_is_off_by_more_than_15_minutes(azure: LocalAzure, wire: Wire) -> None:
    for minutes, status in ((-16, 403), (-14, 200), (14, 200), (16, 403)):
        azure.clock_offset(timedelta(minutes=minutes))
        assert wire('GET', '/jobs').status_code == status, minutes


@pytest.mark.parametrize(
    ('kind', 'nodes', 'code'),
    [
        ('low_priority', 1, 'AccountLowPriorityCoreQuotaReached'),
        ('dedicated', 0, 'AccountCoreQuotaReached'),
    ],
)
def test_core_quota(
    azure: LocalAzure, client: BatchServiceClient, kind: str, nodes: int, code: str
) -> None:
    fault = azure.set_quota(**{f'{kind}_cores': nodes})
    targets: dict[str, Any] = {f'target_{kind}_nodes': 2}

    client.pool.add(a_pool(**targets))

    wait_until_steady(azure)
    pool = client.pool.get('pool')
    assert [error.code for error in pool.resize_errors] == [code]
    assert pool.current_dedicated_nodes + pool.current_low_priority_nodes == nodes
    fault.check()


def test_pool_and_job_quota(azure: LocalAzure, client: BatchServiceClient) -> None:
    fault = azure.set_quota(pools=0, jobs=1)
    client.job.add(a_job('one'))

    assert refusal(client.pool.add, a_pool()) == (409, 'PoolQuotaReached')
    assert refusal(client.job.add, a_job('two')) == (409, 'ActiveJobAndScheduleQuotaReached')
    assert fault.hits == 2
    fault.remove()
    client.pool.add(a_pool())


def test_failed_allocation_of_one_kind_of_node(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    fault = azure.fail_allocation('AllocationFailed', 'No capacity', dedicated=False, allocated=1)

    client.pool.add(a_pool(target_dedicated_nodes=1, target_low_priority_nodes=3))

    wait_until_steady(azure)
    pool = client.pool.get('pool')
    assert [(error.code, error.message) for error in pool.resize_errors] == [
        ('AllocationFailed', 'No capacity')
    ]
    assert (pool.current_dedicated_nodes, pool.current_low_priority_nodes) == (1, 1)
    fault.check()


def test_slow_allocation_and_slow_nodes(azure: LocalAzure, client: BatchServiceClient) -> None:
    slow = azure.slow_allocation(0.2)
    azure.slow_nodes(creating=60, count=1)
    azure.slow_nodes(starting=60, count=1)
    azure.slow_nodes(start_task=60, count=1)
    started = time.monotonic()

    client.pool.add(
        a_pool(target_dedicated_nodes=4, start_task=models.StartTask(command_line='true'))
    )

    wait_until_steady(azure)
    assert time.monotonic() - started >= 0.2
    slow.check()
    wait_for_nodes(azure, 'creating', 'idle', 'starting', 'waitingforstarttask')


@pytest.mark.parametrize(
    ('nodes', 'states'), [('all', ['starttaskfailed'] * 2), (1, ['idle', 'starttaskfailed'])]
)
def test_failing_start_task(
    azure: LocalAzure, client: BatchServiceClient, nodes: Literal['all'] | int, states: list[str]
) -> None:
    fault = azure.fail_start_task(nodes, stderr='E: lock\n', exit_code=100)
    start = models.StartTask(command_line='true', max_task_retry_count=1)

    client.pool.add(a_pool(target_dedicated_nodes=2, start_task=start))

    wait_for_nodes(azure, *states)
    (failed, *_) = [
        node
        for node in client.compute_node.list('pool')
        if node.state == models.ComputeNodeState.start_task_failed
    ]
    assert (failed.start_task_info.exit_code, failed.start_task_info.retry_count) == (100, 1)
    assert file_of_start_task(client, failed.id, 'stderr.txt') == 'E: lock\n'
    fault.check()


def start_long_task(azure: LocalAzure, task_id: str, folder: Path) -> None:
    """Adds a task to the job and returns when it runs; it ends only when it runs once more."""
    seen = folder / 'seen'
    command = f'bash -c "if mkdir {seen} 2> /dev/null; then sleep 60; fi"'
    azure.batch_client().task.add('job', a_task(task_id, command))
    azure.wait_until(seen.exists)


def test_preempted_node_comes_back_and_its_task_runs_again(
    azure: LocalAzure, client: BatchServiceClient, tmp_path: Path
) -> None:
    client.pool.add(a_pool(target_low_priority_nodes=1))
    client.job.add(a_job())
    start_long_task(azure, 'long', tmp_path)

    fault = azure.preempt_node('long')

    wait_completed(azure, 1)
    fault.check()
    assert client.task.get('job', 'long').execution_info.result.value == 'success'
    assert client.task.get('job', 'long').execution_info.retry_count == 0
    wait_for_nodes(azure, 'idle')


def test_files_of_a_preempted_node_do_not_come_back_with_it(
    azure: LocalAzure, client: BatchServiceClient, tmp_path: Path
) -> None:
    run_to_end(azure, a_task('first'))
    start_long_task(azure, 'second', tmp_path)

    fault = azure.preempt_node('second')

    wait_completed(azure, 2)
    fault.check()
    gone = (409, 'TaskFilesUnavailable')
    assert refusal(lambda: list(client.file.list_from_task('job', 'first'))) == gone
    assert refusal(client.file.get_from_task, 'job', 'first', 'stdout.txt') == gone
    assert b''.join(client.file.get_from_task('job', 'second', 'stdout.txt')) == b''


def test_preempted_node_without_return_stays_listed_and_counted(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    client.pool.add(a_pool(target_low_priority_nodes=1))
    client.job.add(a_job())
    client.task.add('job', a_task(command_line=LONG))
    wait_running(azure)

    azure.preempt_node(restore=False)  # while it runs already

    wait_for_nodes(azure, 'preempted')
    assert client.pool.get('pool').current_low_priority_nodes == 1
    assert client.task.get('job', 'task').state == models.TaskState.active


def test_unusable_node_gives_its_task_to_another(
    azure: LocalAzure, client: BatchServiceClient, tmp_path: Path
) -> None:
    client.pool.add(a_pool(target_low_priority_nodes=2))
    client.job.add(a_job())
    start_long_task(azure, 'long', tmp_path)

    fault = azure.make_node_unusable('long')

    wait_completed(azure, 1)
    fault.check()
    wait_for_nodes(azure, 'idle', 'unusable')
    broken = next(
        n for n in client.compute_node.list('pool') if n.state == models.ComputeNodeState.unusable
    )
    assert broken.errors[0].code == 'NodeUnusable'


@pytest.mark.parametrize('pattern', ['t1', 'films/*.mp3'])
def test_refused_upload(
    azure: LocalAzure, client: BatchServiceClient, container_url: Callable[..., str], pattern: str
) -> None:
    url = container_url('out')
    fault = azure.refuse_upload(pattern, count=1)

    run_to_end(azure, a_task('t1', 'touch a', output_files=[an_output('a', url, 'films/a.mp3')]))

    failure = client.task.get('job', 't1').execution_info.failure_info
    assert (failure.code, failure.category.value) == ('FileUploadAccessDenied', 'usererror')
    fault.check()


@pytest.mark.parametrize('empty', [False, True])
def test_lost_output(
    azure: LocalAzure,
    client: BatchServiceClient,
    blobs: BlobServiceClient,
    container_url: Callable[..., str],
    empty: bool,
) -> None:
    url = container_url('out')
    fault = azure.lose_output('t1', empty=empty)

    run_to_end(azure, a_task('t1', 'bash -c "echo x > a"', output_files=[an_output('a', url)]))

    assert client.task.get('job', 't1').execution_info.result.value == 'success'
    assert [blob.size for blob in blobs.get_container_client('out').list_blobs()] == (
        [0] if empty else []
    )
    fault.check()


def test_stale_task_counts(azure: LocalAzure, client: BatchServiceClient) -> None:
    client.job.add(a_job())
    lag = azure.stale_task_counts(2)
    client.task.add('job', a_task())

    assert [client.job.get_task_counts('job').task_counts.active for _ in range(3)] == [0, 0, 1]
    assert lag.hits == 2
    azure.stale_task_counts(counts={'completed': 9, 'succeeded': 9})
    assert [client.job.get_task_counts('job').task_counts.completed for _ in range(3)] == [9, 9, 9]


def test_clear_leaves_nothing_running_and_nothing_stored(
    azure: LocalAzure, client: BatchServiceClient, wire: Wire
) -> None:
    azure.fail_requests('*', '.', None)
    azure.set_quota(pools=0)
    azure.set_latency(0.5)
    azure.clear()
    azure.blob_service_client().create_container('input')
    client.pool.add(
        a_pool(target_dedicated_nodes=1, start_task=models.StartTask(command_line=LONG))
    )
    client.job.add(a_job())
    client.task.add('job', a_task(command_line=LONG))
    wait_for_nodes(azure, 'waitingforstarttask')

    azure.clear()

    assert wire('GET', '/pools').json()['value'] == wire('GET', '/jobs').json()['value'] == []
    azure.wait_until(lambda: [request.path for request in azure.requests] == ['/pools', '/jobs'])
    azure.blob_service_client().create_container('input')  # the same name, at once
    azure.wait_until(lambda: not list((azure.root / 'nodes').iterdir()))


def test_several_nodes_are_lost_some_time_into_their_tasks(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    fault = azure.preempt_node(after=0.1, count=2)

    run_to_end(azure, *(a_task(f'{number}', 'sleep 0.3') for number in range(3)), nodes=2)

    assert fault.hits == 2
    assert {task.execution_info.result.value for task in client.task.list('job')} == {'success'}


def test_requests_are_on_record(azure: LocalAzure, wire: Wire, blobs: BlobServiceClient) -> None:
    wire('POST', '/jobs', b'{"id": "j", "poolInfo": {"poolId": "p"}}')
    blobs.create_container('box').upload_blob('x', b'12345')

    azure.wait_until(lambda: len(azure.requests) == 3)
    # They are recorded when they have ended.
    batch, create, put = sorted(azure.requests, key=lambda request: request.started)
    assert (batch.service, batch.method, batch.path) == ('batch', 'POST', '/jobs')
    assert (batch.query, batch.status, batch.bytes_in) == ('api-version=2025-06-01', 201, 40)
    assert (create.service, create.status, put.method, put.bytes_in) == ('storage', 201, 'PUT', 5)


def test_wait_until_says_what_the_state_was(azure: LocalAzure, client: BatchServiceClient) -> None:
    client.job.add(a_job())

    with pytest.raises(
        TimeoutError, match=r'a miracle did not come true within 0\.05 s: job job active'
    ):
        azure.wait_until(lambda: False, 0.05, 'a miracle')
