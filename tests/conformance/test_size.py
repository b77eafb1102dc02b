"""Size: ten thousand tasks, large blobs. How fast, `python -m tests.conformance.speed` tells."""

from __future__ import annotations

import azure.batch.models as models
from azure.storage.blob import BlobServiceClient

from tests.local_azure import LocalAzure

from .conftest import Wire, a_job, a_pool, a_task, an_output, container_with_sas, wait_completed

TASKS = 10_000


def test_ten_thousand_tasks_are_added_counted_and_listed(azure: LocalAzure, wire: Wire) -> None:
    wire('POST', '/jobs', {'id': 'job', 'poolInfo': {'poolId': 'pool'}})
    for start in range(0, TASKS, 100):
        body = [
            {'id': f't{number:05}', 'commandLine': 'true'} for number in range(start, start + 100)
        ]
        assert wire('POST', '/jobs/job/addtaskcollection', {'value': body}).ok

    counts = wire('GET', '/jobs/job/taskcounts').json()
    ids, page = [], wire('GET', '/jobs/job/tasks', query={'$select': 'id,state'}).json()
    while 'odata.nextLink' in page:
        ids += [task['id'] for task in page['value']]
        page = wire.next_page(page)
    ids += [task['id'] for task in page['value']]

    assert counts['taskCounts']['active'] == TASKS
    assert ids == [f't{number:05}' for number in range(TASKS)]
    assert azure.batch.jobs.get('job').counts['active'] == TASKS


def test_instant_tasks_deliver_their_output() -> None:
    with LocalAzure(instant_output=b'ID3 instant') as azure, azure.blob_service_client() as blobs:
        client = azure.batch_client()
        container = container_with_sas(azure, blobs, 'out')
        client.pool.add(
            a_pool(target_dedicated_nodes=5, start_task=models.StartTask(command_line='x'))
        )
        client.job.add(a_job())
        tasks = [
            a_task(f'{n}', output_files=[an_output('output.mp3', container, f'{n}.mp3')])
            for n in range(300)
        ]
        client.task.add_collection('job', tasks)
        wait_completed(azure, 300)

        assert azure.batch.jobs.get('job').counts['succeeded'] == 300
        assert sum(
            blob.size for blob in blobs.get_container_client('out').list_blobs()
        ) == 300 * len(b'ID3 instant')


def test_large_blob_passes_the_proxy_in_blocks(azure: LocalAzure, blobs: BlobServiceClient) -> None:
    data = bytes(1 << 20) * 64
    container = blobs.create_container('large')

    container.upload_blob('film', data, max_concurrency=4)
    size = sum(len(chunk) for chunk in container.download_blob('film').chunks())

    assert size == len(data)
    assert sum(request.bytes_in for request in azure.requests) >= len(data)
