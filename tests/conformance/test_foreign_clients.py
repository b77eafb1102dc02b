"""Clients that this repository does not install, as requests that look like theirs.

Each was run against a server that printed what it received: azure-batch 6.0.0 and 15.1.0 of PyPI,
and @azure/batch 10.2.0 of npm. The Azure CLI sends what its user typed: numbers as strings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from azure.batch.batch_auth import SharedKeyCredentials
from azure.storage.blob import BlobServiceClient
from requests.auth import AuthBase

from tests.local_azure import LocalAzure

IMAGE = {
    'imageReference': {
        'publisher': 'canonical',
        'offer': 'ubuntu-24_04-lts',
        'sku': 'server-gen1',
        'version': 'latest',
    },
    'nodeAgentSKUId': 'batch.node.ubuntu 24.04',
}
ADMIN = {'autoUser': {'scope': 'pool', 'elevationLevel': 'admin'}}
COMPLETED = '$filter=state%20eq%20%27completed%27'


class BearerToken(AuthBase):
    """Signs a request with a token of Microsoft Entra ID."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers['Authorization'] = f'Bearer {self._token}'
        return request


class Client:
    """Sends requests with the version and the headers of a client library."""

    def __init__(
        self,
        azure: LocalAzure,
        version: str,
        headers: dict[str, str],
        body_type: str,
        auth: AuthBase | None = None,
    ) -> None:
        self.azure = azure
        self._version = version
        self._headers = headers
        self._body_type = body_type
        self._session = requests.Session()
        self._session.auth = auth or shared_key(azure)
        self._certificates = azure.environment.get('REQUESTS_CA_BUNDLE')

    def send(
        self, method: str, path: str, body: object = None, *, status: int = 200, query: str = ''
    ) -> requests.Response:
        """The answer, which must have this status. `query` is the text after the version."""
        url = f'{self.azure.environment["AZURE_BATCH_ENDPOINT"]}{path}?api-version={self._version}'
        if query:
            url = f'{url}&{query}'
        headers = dict(self._headers)
        data = None
        if method in ('POST', 'PATCH'):
            headers['Content-Type'] = self._body_type
        if body is not None:
            data = json.dumps(body).encode()

        answer = self._session.request(
            method, url, data=data, headers=headers, timeout=10, verify=self._certificates
        )

        assert answer.status_code == status, f'{method} {path}: {answer.status_code} {answer.text}'
        return answer

    def get(self, path: str, query: str = '') -> Any:
        return self.send('GET', path, query=query).json()

    def close(self) -> None:
        self._session.close()


def shared_key(azure: LocalAzure) -> AuthBase:
    account = azure.environment['AZURE_BATCH_ACCOUNT']
    credentials = SharedKeyCredentials(account, azure.keys['AZURE_BATCH_ACCESS_KEY'])
    auth: AuthBase = credentials.auth
    return auth


def token_of_identity(azure: LocalAzure) -> AuthBase:
    """A token for Batch from the endpoint of the managed identity."""
    answer = requests.get(
        azure.environment['IDENTITY_ENDPOINT'],
        {'resource': 'https://batch.core.windows.net/', 'api-version': '2019-08-01'},
        headers={'X-IDENTITY-HEADER': azure.environment['IDENTITY_HEADER']},
        timeout=10,
    )
    return BearerToken(answer.json()['access_token'])


def wait_for_idle_nodes(client: Client, pool_id: str, count: int) -> None:
    def is_ready() -> bool:
        nodes = client.get(f'/pools/{pool_id}/nodes')['value']
        return [node['state'] for node in nodes] == ['idle'] * count

    client.azure.wait_until(is_ready, 30, f'{count} idle nodes')


def wait_for_tasks(client: Client, job_id: str, count: int) -> None:
    def are_completed() -> bool:
        tasks = client.get(f'/jobs/{job_id}/tasks')['value']
        return [task['state'] for task in tasks] == ['completed'] * count

    client.azure.wait_until(are_completed, 30, f'{count} completed tasks')


def delete_and_wait(client: Client, path: str) -> None:
    """Delete a job or pool and wait until the service does not know it any more."""
    client.send('DELETE', path, status=202)

    def is_gone() -> bool:
        paths = [item['url'] for item in client.get(path.rpartition('/')[0])['value']]
        return not any(url.endswith(path) for url in paths)

    client.azure.wait_until(is_gone, 30, f'the end of {path}')
    client.send('GET', path, status=404)


def check_counts(client: Client, *, succeeded: int, failed: int) -> None:
    """The counts of a job whose tasks have all completed."""
    counts = client.get('/jobs/job/taskcounts')
    expected = {
        'active': 0,
        'running': 0,
        'completed': succeeded + failed,
        'succeeded': succeeded,
        'failed': failed,
    }
    assert counts['taskCounts'] == expected
    assert counts['taskSlotCounts'] == expected


def check_files(client: Client, task_id: str, stdout: bytes) -> None:
    """The files of a task that has only printed something."""
    path = f'/jobs/job/tasks/{task_id}/files'
    names = [file['name'] for file in client.get(path, 'recursive=true')['value']]
    assert names == ['stderr.txt', 'stdout.txt', 'wd']

    properties = client.send('HEAD', f'{path}/stdout.txt').headers
    assert properties['Content-Length'] == str(len(stdout))
    assert client.send('GET', f'{path}/stdout.txt').content == stdout


# The Azure CLI


@pytest.fixture
def cli(azure: LocalAzure) -> Iterator[Client]:
    client = Client(
        azure,
        '2024-02-01.19.0',
        {'Accept': 'application/json'},
        'application/json; odata=minimalmetadata',
    )
    yield client
    client.close()


def test_azure_cli_from_pool_to_deletion(cli: Client) -> None:
    pool = {
        'id': 'pool',
        'vmSize': 'Standard_A1_v2',
        'virtualMachineConfiguration': IMAGE,
        'targetDedicatedNodes': '1',
        'enableInterNodeCommunication': 'false',
        'startTask': {
            'commandLine': 'true',
            'waitForSuccess': 'true',
            'maxTaskRetryCount': '1',
        },
    }
    cli.send('POST', '/pools', pool, status=201)
    wait_for_idle_nodes(cli, 'pool', 1)

    shown = cli.get('/pools/pool')
    assert (shown['targetDedicatedNodes'], shown['enableInterNodeCommunication']) == (1, False)
    start_task = shown['startTask']
    assert (start_task['waitForSuccess'], start_task['maxTaskRetryCount']) == (True, 1)

    cli.send('POST', '/pools/pool/resize', {'targetDedicatedNodes': '2'}, status=202)
    wait_for_idle_nodes(cli, 'pool', 2)

    job = {
        'id': 'job',
        'poolInfo': {'poolId': 'pool'},
        'priority': '5',
        'constraints': {'maxTaskRetryCount': '2'},
    }
    cli.send('POST', '/jobs', job, status=201)
    assert cli.get('/jobs/job')['priority'] == 5
    assert cli.get('/jobs/job')['constraints']['maxTaskRetryCount'] == 2
    cli.send('PATCH', '/jobs/job', {'priority': '-3'})
    assert cli.get('/jobs/job')['priority'] == -3

    good = {'id': 'good', 'commandLine': "bash -c 'echo hello'", 'requiredSlots': '1'}
    cli.send('POST', '/jobs/job/tasks', good, status=201)
    bad = {'id': 'bad', 'commandLine': 'false', 'constraints': {'maxTaskRetryCount': '1'}}
    result = cli.send('POST', '/jobs/job/addtaskcollection', {'value': [bad]}).json()
    assert [(item['taskId'], item['status']) for item in result['value']] == [('bad', 'Success')]
    wait_for_tasks(cli, 'job', 2)

    check_counts(cli, succeeded=1, failed=1)
    ended = cli.get('/jobs/job/tasks/bad')['executionInfo']
    assert (ended['exitCode'], ended['retryCount'], ended['result']) == (1, 1, 'failure')

    check_files(cli, 'good', b'hello\n')

    cli.send('DELETE', '/jobs/job/tasks/bad')
    delete_and_wait(cli, '/jobs/job')
    delete_and_wait(cli, '/pools/pool')


# azure-batch 6.0.0, for which the tutorial was written in 2019


@pytest.fixture
def client_of_2019(azure: LocalAzure) -> Iterator[Client]:
    client = Client(
        azure,
        '2018-12-01.8.0',
        {'Accept': 'application/json', 'accept-language': 'en-US'},
        'application/json; odata=minimalmetadata; charset=utf-8',
    )
    yield client
    client.close()


def task_of_2019(task_id: str, name: str, source: str, target: str) -> dict[str, Any]:
    """The conversion of one video; `source` and `target` are URLs of containers with a SAS."""
    resource = {
        'httpUrl': source.replace('?', f'/{name}.mp4?'),
        'filePath': f'{name}.mp4',
    }
    output = {
        'filePattern': f'{name}.mp3',
        'destination': {'container': {'containerUrl': target}},
        'uploadOptions': {'uploadCondition': 'tasksuccess'},
    }
    return {
        'id': task_id,
        'commandLine': f'/bin/bash -c "ffmpeg -i {name}.mp4 {name}.mp3 "',
        'resourceFiles': [resource],
        'outputFiles': [output],
    }


def test_tutorial_of_2019_from_pool_to_deletion(
    client_of_2019: Client,
    blobs: BlobServiceClient,
    container_url: Callable[..., str],
    video_bytes: dict[bool, bytes],
) -> None:
    client = client_of_2019
    source = container_url('input', 'r')
    target = container_url('output', 'w')
    blobs.get_blob_client('input', 'a.mp4').upload_blob(video_bytes[True])
    blobs.get_blob_client('input', 'b.mp4').upload_blob(video_bytes[True])

    pool = {
        'id': 'LinuxFfmpegPool',
        'vmSize': 'STANDARD_A1_v2',
        'virtualMachineConfiguration': IMAGE,
        'targetDedicatedNodes': 0,
        'targetLowPriorityNodes': 2,
        'maxTasksPerNode': 1,
        'startTask': {
            'commandLine': '/bin/bash -c "apt-get update && apt-get install -y ffmpeg"',
            'userIdentity': ADMIN,
            'waitForSuccess': True,
        },
    }
    client.send('POST', '/pools', pool, status=201)
    assert client.get('/pools/LinuxFfmpegPool')['maxTasksPerNode'] == 1
    job = {'id': 'LinuxFfmpegJob', 'poolInfo': {'poolId': 'LinuxFfmpegPool'}}
    client.send('POST', '/jobs', job, status=201)

    tasks = [
        task_of_2019('Task0', 'a', source, target),
        task_of_2019('Task1', 'b', source, target),
    ]
    result = client.send('POST', '/jobs/LinuxFfmpegJob/addtaskcollection', {'value': tasks})
    assert {item['status'] for item in result.json()['value']} == {'Success'}
    wait_for_tasks(client, 'LinuxFfmpegJob', 2)

    for task in client.get('/jobs/LinuxFfmpegJob/tasks')['value']:
        assert task['executionInfo']['exitCode'] == 0
    counts = client.get('/jobs/LinuxFfmpegJob/taskcounts')
    del counts['odata.metadata']
    assert counts == {'active': 0, 'running': 0, 'completed': 2, 'succeeded': 2, 'failed': 0}
    stderr = client.send('GET', '/jobs/LinuxFfmpegJob/tasks/Task0/files/stderr.txt').text
    assert 'ffmpeg version' in stderr
    outputs = list(blobs.get_container_client('output').list_blobs())
    assert [(blob.name, blob.size > 0) for blob in outputs] == [('a.mp3', True), ('b.mp3', True)]

    delete_and_wait(client, '/jobs/LinuxFfmpegJob')
    delete_and_wait(client, '/pools/LinuxFfmpegPool')


# @azure/batch 10.2.0


@pytest.fixture
def javascript(azure: LocalAzure) -> Iterator[Client]:
    headers = {
        'Accept': '*/*',
        'accept-language': 'en-US',
        'x-ms-client-request-id': '11111111-2222-4333-8444-555555555555',
        'Content-Type': 'application/json; charset=utf-8',  # it stands in requests without a body
    }
    client = Client(
        azure,
        '2022-10-01.16.0',
        headers,
        'application/json; odata=minimalmetadata; charset=utf-8',
    )
    yield client
    client.close()


def test_javascript_from_pool_to_deletion(javascript: Client) -> None:
    client = javascript
    pool = {
        'id': 'pool',
        'vmSize': 'STANDARD_A1_v2',
        'virtualMachineConfiguration': IMAGE,
        'resizeTimeout': 'PT10M',
        'targetDedicatedNodes': 1,
        'taskSlotsPerNode': 2,
        'startTask': {'commandLine': 'true', 'maxTaskRetryCount': 1, 'waitForSuccess': True},
    }
    client.send('HEAD', '/pools/pool', status=404)
    client.send('POST', '/pools', pool, status=201)
    client.send('HEAD', '/pools/pool')
    wait_for_idle_nodes(client, 'pool', 1)
    assert client.get('/pools/pool')['taskSlotsPerNode'] == 2
    (node_counts,) = client.get('/nodecounts')['value']
    assert (node_counts['poolId'], node_counts['dedicated']['idle']) == ('pool', 1)

    job = {
        'id': 'job',
        'priority': 1,
        'constraints': {'maxTaskRetryCount': 1},
        'poolInfo': {'poolId': 'pool'},
    }
    client.send('POST', '/jobs', job, status=201)
    client.send('POST', '/jobs/job/tasks', {'id': 'bad', 'commandLine': 'false'}, status=201)
    task = {
        'id': 'good',
        'commandLine': "bash -c 'echo hello'",
        'constraints': {'maxWallClockTime': 'PT1H'},
    }
    client.send('POST', '/jobs/job/addtaskcollection', {'value': [task]})
    wait_for_tasks(client, 'job', 2)

    query = f'{COMPLETED}&$select=id%2Cstate'
    assert client.get('/jobs/job/tasks', query)['value'] == [
        {'id': 'bad', 'state': 'completed'},
        {'id': 'good', 'state': 'completed'},
    ]
    check_counts(client, succeeded=1, failed=1)
    check_files(client, 'good', b'hello\n')

    client.send('DELETE', '/jobs/job/tasks/bad')
    client.send('PATCH', '/jobs/job', {'onAllTasksComplete': 'terminatejob'})
    client.azure.wait_until(lambda: client.get('/jobs/job')['state'] == 'completed')
    client.send('POST', '/pools/pool/resize', {'targetDedicatedNodes': 0}, status=202)
    wait_for_idle_nodes(client, 'pool', 0)
    delete_and_wait(client, '/jobs/job')
    delete_and_wait(client, '/pools/pool')


# azure-batch 15.1.0


@pytest.fixture(params=[shared_key, token_of_identity], ids=['key', 'token'])
def client_of_2026(entra_azure: LocalAzure, request: pytest.FixtureRequest) -> Iterator[Client]:
    client = Client(
        entra_azure,
        '2025-06-01',
        {'Accept': 'application/json'},
        'application/json; odata=minimalmetadata',
        request.param(entra_azure),
    )
    yield client
    client.close()


def test_client_of_2026_from_pool_to_deletion(client_of_2026: Client) -> None:
    client = client_of_2026
    pool = {
        'id': 'pool',
        'vmSize': 'STANDARD_A1_v2',
        'virtualMachineConfiguration': IMAGE,
        'targetDedicatedNodes': 1,
        'startTask': {'commandLine': 'true', 'waitForSuccess': True, 'userIdentity': ADMIN},
    }
    client.send('POST', '/pools', pool, status=201)
    wait_for_idle_nodes(client, 'pool', 1)
    (node_counts,) = client.get('/nodecounts', 'timeOut=30')['value']
    assert (node_counts['dedicated']['idle'], node_counts['dedicated']['deallocated']) == (1, 0)

    client.send('POST', '/jobs', {'id': 'job', 'poolInfo': {'poolId': 'pool'}}, status=201)
    limited = {'maxTaskRetryCount': 0, 'maxWallClockTime': 'PT01H00M00S'}
    tasks = [
        {'id': 'bad', 'commandLine': 'false', 'constraints': limited},
        {'id': 'good', 'commandLine': "bash -c 'echo hello'", 'constraints': limited},
    ]
    client.send('POST', '/jobs/job/addtaskcollection', {'value': tasks})
    wait_for_tasks(client, 'job', 2)

    # A comma is sent as it is.
    found = client.get('/jobs/job/tasks', f'{COMPLETED}&$select=id,executionInfo')['value']
    results = {task['id']: task['executionInfo']['result'] for task in found}
    assert results == {'bad': 'failure', 'good': 'success'}
    check_counts(client, succeeded=1, failed=1)
    check_files(client, 'good', b'hello\n')

    client.send('DELETE', '/jobs/job/tasks/bad')
    client.send('POST', '/jobs/job/terminate', {'terminateReason': 'enough'}, status=202)
    client.azure.wait_until(lambda: client.get('/jobs/job')['state'] == 'completed')
    delete_and_wait(client, '/jobs/job')
    delete_and_wait(client, '/pools/pool')
