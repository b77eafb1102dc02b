"""Size and speed: ten thousand tasks, large blobs. Limits are generous: a slow machine must pass too."""

from __future__ import annotations

import time
from collections.abc import Iterator

import azure.batch.models as models
import pytest
from azure.storage.blob import BlobServiceClient

from tests.local_azure import LocalAzure

from .conftest import Wire, a_job, a_pool, a_task, an_output, container_with_sas, wait_completed

TASKS = 10_000


@pytest.fixture
def ten_thousand(azure: LocalAzure, wire: Wire) -> Iterator[float]:
    """A job with as many tasks; the seconds that adding them took."""
    wire('POST', '/jobs', {'id': 'job', 'poolInfo': {'poolId': 'pool'}})
    environment = [{'name': 'NAME', 'value': 'a film with a rather long name.mp4'}]
    bodies = [
        [
            {'id': f't{number:05}', 'commandLine': 'ffmpeg -i input.mp4 output.mp3', 'environmentSettings': environment}
            for number in range(start, start + 100)
        ]
        for start in range(0, TASKS, 100)
    ]
    started = time.perf_counter()
    for body in bodies:
        assert wire('POST', '/jobs/job/addtaskcollection', {'value': body}).ok
    yield time.perf_counter() - started
    azure.clear()


def test_ten_thousand_tasks_are_added_counted_and_listed(ten_thousand: float, wire: Wire) -> None:
    assert ten_thousand < TASKS / 5000

    durations = []
    for _ in range(20):
        started = time.perf_counter()
        counts = wire('GET', '/jobs/job/taskcounts').json()
        durations.append(time.perf_counter() - started)
    assert counts['taskCounts']['active'] == TASKS
    assert sorted(durations)[10] < 0.005

    started, ids, query = time.perf_counter(), [], {'$select': 'id,state'}
    page = wire('GET', '/jobs/job/tasks', query=query).json()
    while 'odata.nextLink' in page:
        ids += [task['id'] for task in page['value']]
        page = wire._session.get(page['odata.nextLink'], timeout=10).json()
    ids += [task['id'] for task in page['value']]
    assert ids == [f't{number:05}' for number in range(TASKS)]
    assert time.perf_counter() - started < 5

    started = time.perf_counter()
    query = {'$filter': "state eq 'completed' and executionInfo/result eq 'failure'", '$select': 'id'}
    assert wire('GET', '/jobs/job/tasks', query=query).json()['value'] == []
    assert time.perf_counter() - started < 1


def test_instant_tasks_deliver_their_output() -> None:
    with LocalAzure(instant_output=b'ID3 instant') as azure, azure.blob_service_client() as blobs:
        client = azure.batch_client()
        container = container_with_sas(azure, blobs, 'out')
        client.pool.add(a_pool(target_dedicated_nodes=5, start_task=models.StartTask(command_line='x')))
        client.job.add(a_job())
        tasks = [a_task(f'{n}', output_files=[an_output('output.mp3', container, f'{n}.mp3')]) for n in range(300)]
        client.task.add_collection('job', tasks)
        wait_completed(azure, 300)

        assert azure.batch.jobs.get('job').counts['succeeded'] == 300
        assert sum(blob.size for blob in blobs.get_container_client('out').list_blobs()) == 300 * len(b'ID3 instant')


def test_large_blob_passes_the_proxy_in_blocks(azure: LocalAzure, blobs: BlobServiceClient) -> None:
    data = bytes(1 << 20) * 64
    container = blobs.create_container('large')
    started = time.perf_counter()

    container.upload_blob('film', data, max_concurrency=4)
    size = sum(len(chunk) for chunk in container.download_blob('film').chunks())

    assert size == len(data)
    assert time.perf_counter() - started < 20
    assert sum(request.bytes_in for request in azure.requests) >= len(data)
