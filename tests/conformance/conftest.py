"""One local Azure for these tests, emptied before each; makers of the usual pool, job and tasks."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import azure.batch.models as models
import pytest
import requests
from azure.batch import BatchServiceClient
from azure.batch.batch_auth import SharedKeyCredentials
from azure.storage.blob import BlobServiceClient, ContainerSasPermissions, generate_container_sas

from tests.local_azure import Delays, LocalAzure

# Request bodies of the smallest pool, job and task.
IMAGE = {'publisher': 'canonical', 'offer': 'ubuntu-24_04-lts', 'sku': 'server-gen1'}
POOL: dict[str, Any] = {
    'id': 'Pool1',
    'vmSize': 'STANDARD_D1_V2',
    'virtualMachineConfiguration': {
        'imageReference': IMAGE,
        'nodeAgentSKUId': 'batch.node.ubuntu 24.04',
    },
    'targetDedicatedNodes': 1,
}
EMPTY_POOL = {**POOL, 'targetDedicatedNodes': 0}
JOB = {'id': 'Job1', 'poolInfo': {'poolId': 'Pool1'}}
TASK = {'id': 'myTask', 'commandLine': '/bin/bash -c "echo test"'}

LONG = 'sleep 600'  # a command line that a test ends


@pytest.fixture(scope='package')
def running_azure() -> Iterator[LocalAzure]:
    with LocalAzure() as azure:
        yield azure


@pytest.fixture
def azure(running_azure: LocalAzure) -> Iterator[LocalAzure]:
    running_azure.clear()
    # Long enough for a test to see what is in between, also on a machine with much to do.
    running_azure.batch.delays = Delays(
        allocation=0.2, pool_deleting=0.6, job_deleting=0.6, job_terminating=0.4
    )
    yield running_azure
    running_azure.clear()


@pytest.fixture(scope='package')
def running_entra_azure() -> Iterator[LocalAzure]:
    with LocalAzure(entra=True) as azure:
        yield azure


@pytest.fixture
def entra_azure(running_entra_azure: LocalAzure) -> Iterator[LocalAzure]:
    """As `azure`, reached over TLS; it accepts tokens as well as its keys."""
    yield running_entra_azure
    running_entra_azure.clear()


@pytest.fixture
def client(azure: LocalAzure) -> Iterator[BatchServiceClient]:
    client = azure.batch_client()
    yield client
    client.close()


@pytest.fixture
def blobs(azure: LocalAzure) -> Iterator[BlobServiceClient]:
    with azure.blob_service_client() as client:
        yield client


@pytest.fixture
def container_url(azure: LocalAzure, blobs: BlobServiceClient) -> Callable[..., str]:
    """Creates a container and returns its URL with a SAS of the given permissions."""
    return partial(container_with_sas, azure, blobs)


def container_with_sas(
    azure: LocalAzure, blobs: BlobServiceClient, name: str, permissions: str = 'cw'
) -> str:
    container = blobs.create_container(name)
    sas = generate_container_sas(
        azure.environment['AZURE_STORAGE_ACCOUNT'],
        name,
        account_key=azure.keys['AZURE_STORAGE_KEY'],
        permission=ContainerSasPermissions.from_string(permissions),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    return f'{container.url}?{sas}'


class Wire:
    """Signed requests as they are, for what the SDK's client does not send or show."""

    def __init__(self, azure: LocalAzure) -> None:
        environment = azure.environment
        self.url = environment['AZURE_BATCH_ENDPOINT']
        self._verify = environment.get('REQUESTS_CA_BUNDLE')

        account = environment['AZURE_BATCH_ACCOUNT']
        credentials = SharedKeyCredentials(account, azure.keys['AZURE_BATCH_ACCESS_KEY'])
        self._session = requests.Session()
        self._session.auth = credentials.auth

    def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        version: str | None = '2025-06-01',
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send a body of bytes as it is and any other as JSON; without a version send none."""
        arguments = dict(query or {})
        if version:
            arguments = {'api-version': version, **arguments}

        data = None
        if isinstance(body, bytes):
            data = body
        elif body is not None:
            data = json.dumps(body).encode()

        content_type = {'Content-Type': 'application/json; odata=minimalmetadata'}
        return self._session.request(
            method,
            self.url + path,
            params=arguments,
            data=data,
            headers={**content_type, **(headers or {})},
            timeout=120,
            verify=self._verify,
        )

    def next_page(self, page: dict[str, Any]) -> Any:
        """The page that comes after this one: its link is sent as it is."""
        return self._session.get(page['odata.nextLink'], timeout=120, verify=self._verify).json()

    def close(self) -> None:
        self._session.close()


@pytest.fixture
def wire(azure: LocalAzure) -> Iterator[Wire]:
    sender = Wire(azure)
    yield sender
    sender.close()


def finish(azure: LocalAzure, wire: Wire, **task: Any) -> dict[str, Any]:
    """A pool, a job and this task, run to its end; the task as it is then."""
    wire('POST', '/pools', POOL)
    wire('POST', '/jobs', JOB)
    assert wire('POST', '/jobs/Job1/tasks', {**TASK, **task}).status_code == 201
    wait_completed(azure, 1, 'Job1')
    body: dict[str, Any] = wire('GET', '/jobs/Job1/tasks/myTask').json()
    return body


def changed(body: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy of the body in which the property at this path has this value."""
    result = copy.deepcopy(body)
    *parents, last = path.split('/')
    target = result
    for name in parents:
        target = target.setdefault(name, {})
    target[last] = value
    return result


def error_of(answer: requests.Response) -> tuple[int, str]:
    """Status and code of a refusal."""
    return answer.status_code, answer.json()['code']


def details(answer: requests.Response) -> dict[str, str]:
    """What a refusal says beside its code: the name of the property, the reason."""
    return {value['key']: value['value'] for value in answer.json()['values']}


def a_pool(pool_id: str = 'pool', **changes: Any) -> models.PoolAddParameter:
    image = models.ImageReference(
        publisher='canonical', offer='ubuntu-24_04-lts', sku='server-gen1', version='latest'
    )
    configuration = models.VirtualMachineConfiguration(
        image_reference=image, node_agent_sku_id='batch.node.ubuntu 24.04'
    )
    settings = {
        'vm_size': 'STANDARD_A1_v2',
        'virtual_machine_configuration': configuration,
        **changes,
    }
    return models.PoolAddParameter(id=pool_id, **settings)


def a_job(job_id: str = 'job', pool_id: str = 'pool', **changes: Any) -> models.JobAddParameter:
    return models.JobAddParameter(
        id=job_id, pool_info=models.PoolInformation(pool_id=pool_id), **changes
    )


def a_task(
    task_id: str = 'task', command_line: str = 'true', **changes: Any
) -> models.TaskAddParameter:
    return models.TaskAddParameter(id=task_id, command_line=command_line, **changes)


def an_auto_user(scope: str = 'pool', level: str = 'admin') -> models.UserIdentity:
    return models.UserIdentity(
        auto_user=models.AutoUserSpecification(scope=scope, elevation_level=level)
    )


def an_output(
    pattern: str, container: str, path: str | None = None, condition: str = 'tasksuccess'
) -> models.OutputFile:
    destination: Any = models.OutputFileBlobContainerDestination(container_url=container)
    destination.path = path
    return models.OutputFile(
        file_pattern=pattern,
        destination=models.OutputFileDestination(container=destination),
        upload_options=models.OutputFileUploadOptions(upload_condition=condition),
    )


def run_to_end(
    azure: LocalAzure, *tasks: models.TaskAddParameter, nodes: int = 1, **pool: Any
) -> None:
    """A pool of low-priority nodes, a job, these tasks; returns when all have completed."""
    client = azure.batch_client()
    client.pool.add(a_pool(target_low_priority_nodes=nodes, **pool))
    client.job.add(a_job())
    client.task.add_collection('job', list(tasks))
    wait_completed(azure, len(tasks))


def let_time_pass(azure: LocalAzure) -> None:
    """Whatever the service has planned happens now.

    A test sets a delay that it cannot outlast, looks at the state in between, and then calls this.
    """
    scheduler = azure.batch.timeline._scheduler
    with azure.batch.lock:  # not in the middle of something that goes on to plan more
        for event in scheduler.queue:
            with suppress(ValueError):  # it happens by itself at this moment
                scheduler.cancel(event)
                event.action()


def wait_until_steady(azure: LocalAzure, pool_id: str = 'pool') -> None:
    def is_steady() -> bool:
        return azure.batch.pools.get(pool_id).allocation.value == 'steady'

    azure.wait_until(is_steady, describe='a steady pool')


def states_of_nodes(azure: LocalAzure, pool_id: str = 'pool') -> list[str]:
    nodes = list(azure.batch.pools.get(pool_id).nodes.values())
    return sorted(node.state.value for node in nodes)


def wait_for_nodes(azure: LocalAzure, *states: str, pool_id: str = 'pool') -> None:
    """Wait until the nodes are in these states, given in the order of the alphabet."""

    def are_there() -> bool:
        return states_of_nodes(azure, pool_id) == list(states)

    azure.wait_until(are_there, describe=f'nodes in the states {states}')


def wait_running(azure: LocalAzure, count: int = 1, job_id: str = 'job') -> None:
    def is_reached() -> bool:
        return azure.batch.jobs.get(job_id).counts['running'] == count

    azure.wait_until(is_reached, describe=f'{count} running tasks')


def wait_completed(azure: LocalAzure, count: int, job_id: str = 'job') -> None:
    job = azure.batch.jobs.get(job_id)
    azure.wait_until(lambda: job.counts['completed'] == count, 20, f'{count} tasks completed')


def stdout(client: BatchServiceClient, task_id: str = 'task') -> str:
    return b''.join(client.file.get_from_task('job', task_id, 'stdout.txt')).decode()


def file_of_start_task(client: BatchServiceClient, node_id: str, name: str) -> str:
    content = client.file.get_from_compute_node('pool', node_id, f'startup/{name}')
    return b''.join(content).decode()


def is_alive(process: int) -> bool:
    """Whether it runs; one that has ended may stay as a zombie."""
    try:
        status = Path(f'/proc/{process}/stat').read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return ' Z ' not in status


def refusal(call: Callable[..., object], *arguments: object) -> tuple[int, str]:
    """Status and code of the error that a call ends with."""
    with pytest.raises(models.BatchErrorException) as caught:
        call(*arguments)
    error: Any = caught.value.error
    return caught.value.response.status_code, str(error.code)


def address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return str(parts.hostname), int(parts.port or 0)
