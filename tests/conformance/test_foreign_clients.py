"""Clients that this repository does not install, as requests that look like theirs.

@azure/batch 10.2.0 of npm was run against a server that printed what it received. The Azure CLI
sends what its user typed: numbers and booleans as strings.
"""

from __future__ import annotations

from typing import Any

import requests

from tests.local_azure import LocalAzure

from .conftest import POOL, Wire

MACHINE = POOL['virtualMachineConfiguration']
COUNTS = {'active': 0, 'running': 0, 'completed': 2, 'succeeded': 1, 'failed': 1}
LIKE_JAVASCRIPT = {
    'Accept': '*/*',
    'accept-language': 'en-US',
    'x-ms-client-request-id': '11111111-2222-4333-8444-555555555555',
    # It stands in requests without a body, too.
    'Content-Type': 'application/json; charset=utf-8',
}


class Client:
    """Sends requests with the version and the headers of a client library."""

    def __init__(
        self, azure: LocalAzure, wire: Wire, version: str, headers: dict[str, str] | None = None
    ) -> None:
        self.azure = azure
        self._wire = wire
        self._version = version
        self._headers = headers

    def send(
        self, method: str, path: str, body: object = None, *, status: int = 200, query: Any = None
    ) -> requests.Response:
        """The answer, which must have this status."""
        answer = self._wire(method, path, body, self._version, query, self._headers)
        assert answer.status_code == status, f'{method} {path}: {answer.status_code} {answer.text}'
        return answer

    def get(self, path: str, **query: str) -> Any:
        return self.send('GET', path, query=query).json()

    def wait_for_states(self, path: str, *states: str) -> None:
        def are_reached() -> bool:
            return [item['state'] for item in self.get(path)['value']] == list(states)

        self.azure.wait_until(are_reached, describe=f'{path} in the states {states}')

    def delete_and_wait(self, path: str) -> None:
        """Delete the only job or pool, and wait until the service does not know it any more."""
        self.send('DELETE', path, status=202)
        self.wait_for_states(path.rpartition('/')[0])
        self.send('GET', path, status=404)

    def check_job(self) -> None:
        """Of two tasks one has printed a line, and one has failed."""
        self.wait_for_states('/jobs/job/tasks', 'completed', 'completed')
        counts = self.get('/jobs/job/taskcounts')
        assert counts['taskCounts'] == counts['taskSlotCounts'] == COUNTS

        path = '/jobs/job/tasks/good/files'
        names = [file['name'] for file in self.get(path, recursive='true')['value']]
        assert names == ['stderr.txt', 'stdout.txt', 'wd']
        assert self.send('HEAD', f'{path}/stdout.txt').headers['Content-Length'] == '6'
        assert self.send('GET', f'{path}/stdout.txt').content == b'hello\n'


def test_azure_cli_from_pool_to_deletion(azure: LocalAzure, wire: Wire) -> None:
    cli = Client(azure, wire, '2024-02-01.19.0')
    start = {'commandLine': 'true', 'waitForSuccess': 'true', 'maxTaskRetryCount': '1'}
    pool = {
        'id': 'pool',
        'vmSize': 'Standard_A1_v2',
        'virtualMachineConfiguration': MACHINE,
        'targetDedicatedNodes': ' 1 ',
        'enableInterNodeCommunication': 'False',
        'startTask': start,
    }
    cli.send('POST', '/pools', pool, status=201)
    cli.wait_for_states('/pools/pool/nodes', 'idle')
    shown = cli.get('/pools/pool')
    assert (shown['targetDedicatedNodes'], shown['enableInterNodeCommunication']) == (1, False)
    assert shown['startTask']['waitForSuccess'] is True
    assert shown['startTask']['maxTaskRetryCount'] == 1
    cli.send('POST', '/pools/pool/resize', {'targetDedicatedNodes': '2'}, status=202)
    cli.wait_for_states('/pools/pool/nodes', 'idle', 'idle')

    limits = {'maxTaskRetryCount': '2'}
    job = {'id': 'job', 'poolInfo': {'poolId': 'pool'}, 'priority': '5', 'constraints': limits}
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
    cli.check_job()
    failed = {'$filter': 'executionInfo/exitCode ne 0 and executionInfo/retryCount ge 1'}
    (task,) = cli.get('/jobs/job/tasks', **failed)['value']
    ended = task['executionInfo']
    assert (ended['exitCode'], ended['retryCount'], ended['result']) == (1, 1, 'failure')

    cli.send('DELETE', '/jobs/job/tasks/bad')
    cli.delete_and_wait('/jobs/job')
    cli.delete_and_wait('/pools/pool')


def test_javascript_from_pool_to_deletion(azure: LocalAzure, wire: Wire) -> None:
    client = Client(azure, wire, '2022-10-01.16.0', LIKE_JAVASCRIPT)
    pool = {
        'id': 'pool',
        'vmSize': 'STANDARD_A1_v2',
        'virtualMachineConfiguration': MACHINE,
        'resizeTimeout': 'PT10M',
        'targetDedicatedNodes': 1,
        'taskSlotsPerNode': 2,
        'startTask': {'commandLine': 'true', 'maxTaskRetryCount': 1, 'waitForSuccess': True},
    }
    client.send('HEAD', '/pools/pool', status=404)
    client.send('POST', '/pools', pool, status=201)
    client.send('HEAD', '/pools/pool')
    client.wait_for_states('/pools/pool/nodes', 'idle')
    assert client.get('/pools/pool')['taskSlotsPerNode'] == 2
    (node_counts,) = client.get('/nodecounts')['value']
    assert (node_counts['poolId'], node_counts['dedicated']['idle']) == ('pool', 1)

    job = {'id': 'job', 'constraints': {'maxTaskRetryCount': 1}, 'poolInfo': {'poolId': 'pool'}}
    client.send('POST', '/jobs', job, status=201)
    client.send('POST', '/jobs/job/tasks', {'id': 'bad', 'commandLine': 'false'}, status=201)
    limits = {'maxWallClockTime': 'PT01H00M00S'}
    good = {'id': 'good', 'commandLine': "bash -c 'echo hello'", 'constraints': limits}
    client.send('POST', '/jobs/job/addtaskcollection', {'value': [good]})
    client.check_job()
    query = {'$filter': "state eq 'completed'", '$select': 'id,state'}
    assert client.get('/jobs/job/tasks', **query)['value'] == [
        {'id': 'bad', 'state': 'completed'},
        {'id': 'good', 'state': 'completed'},
    ]

    client.send('PATCH', '/jobs/job', {'onAllTasksComplete': 'terminatejob'})
    client.wait_for_states('/jobs', 'completed')
    info = client.get('/jobs/job')['executionInfo']
    assert info['terminateReason'] == 'AllTasksComplete'
    client.send('POST', '/pools/pool/resize', {'targetDedicatedNodes': 0}, status=202)
    client.wait_for_states('/pools/pool/nodes')
    client.delete_and_wait('/jobs/job')
    client.delete_and_wait('/pools/pool')
