"""Size: more tasks than a page has, blobs in blocks, tasks without processes."""

from __future__ import annotations

import azure.batch.models as models
from azure.storage.blob import BlobServiceClient

from tests.local_azure import LocalAzure

from .conftest import Wire, a_job, a_pool, a_task, an_output, container_with_sas, wait_completed

TASKS = 2_500  # three pages


def test_thousands_of_tasks_are_added_counted_and_listed(azure: LocalAzure, wire: Wire) -> None:
    tasks = [{'id': f't{number:05}', 'commandLine': 'true'} for number in range(TASKS)]
    wire('POST', '/jobs', {'id': 'job', 'poolInfo': {'poolId': 'pool'}})
    for start in range(0, TASKS, 100):
        collection = {'value': tasks[start : start + 100]}
        assert wire('POST', '/jobs/job/addtaskcollection', collection).ok

    counts = wire('GET', '/jobs/job/taskcounts').json()
    page = wire('GET', '/jobs/job/tasks', query={'$select': 'id'}).json()
    found = page['value']
    while 'odata.nextLink' in page:
        page = wire.next_page(page)
        found += page['value']

    assert counts['taskCounts']['active'] == TASKS
    assert found == [{'id': task['id']} for task in tasks]
    assert azure.batch.jobs.get('job').counts['active'] == TASKS


def test_instant_tasks_deliver_their_output() -> None:
    with LocalAzure(instant_output=b'ID3 instant') as azure, azure.blob_service_client() as blobs:
        client = azure.batch_client()
        container = container_with_sas(azure, blobs, 'out')
        start_task = models.StartTask(command_line='x')
        client.pool.add(a_pool(target_dedicated_nodes=5, start_task=start_task))
        client.job.add(a_job())
        tasks = []
        for number in range(30):
            output = an_output('output.mp3', container, f'{number}.mp3')
            tasks.append(a_task(f'{number}', output_files=[output]))

        client.task.add_collection('job', tasks)
        wait_completed(azure, 30)

        assert azure.batch.jobs.get('job').counts['succeeded'] == 30
        sizes = [blob.size for blob in blobs.get_container_client('out').list_blobs()]
        assert sizes == [len(b'ID3 instant')] * 30


def test_large_blob_passes_the_proxy_in_blocks(azure: LocalAzure) -> None:
    data = bytes(9 << 20)
    url = azure.environment['AZURE_STORAGE_SERVICE_ENDPOINT']
    key = azure.keys['AZURE_STORAGE_KEY']
    with BlobServiceClient(url, key, max_single_put_size=1 << 20, max_block_size=4 << 20) as blobs:
        container = blobs.create_container('large')

        container.upload_blob('film', data, max_concurrency=4)
        size = sum(len(chunk) for chunk in container.download_blob('film').chunks())

    assert size == len(data)
    assert sum('comp=block&' in f'{request.query}&' for request in azure.requests) == 3
    assert sum(request.bytes_in for request in azure.requests) >= len(data)
