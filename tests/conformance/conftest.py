"""One local Azure for these tests, emptied before each; makers of the usual pool, job and tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import azure.batch.models as models
import pytest
import requests
from azure.batch import BatchServiceClient
from azure.batch.batch_auth import SharedKeyCredentials
from azure.storage.blob import BlobServiceClient, ContainerSasPermissions, generate_container_sas

from tests.local_azure import Delays, LocalAzure


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
        self.url, self._verify = (
            environment['AZURE_BATCH_ENDPOINT'],
            environment.get('REQUESTS_CA_BUNDLE'),
        )
        self._session = requests.Session()
        credentials = SharedKeyCredentials(
            environment['AZURE_BATCH_ACCOUNT'], azure.keys['AZURE_BATCH_ACCESS_KEY']
        )
        self._session.auth = credentials.auth

    def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        version: str | None = '2025-06-01',
        **more: Any,
    ) -> requests.Response:
        query = {**({'api-version': version} if version else {}), **more.pop('query', {})}
        data = (
            body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        )
        headers = {
            'Content-Type': 'application/json; odata=minimalmetadata',
            **more.pop('headers', {}),
        }
        return self._session.request(
            method,
            self.url + path,
            params=query,
            data=data,
            headers=headers,
            timeout=10,
            verify=self._verify,
            **more,
        )


@pytest.fixture
def wire(azure: LocalAzure) -> Iterator[Wire]:
    sender = Wire(azure)
    yield sender
    sender._session.close()


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


def wait_completed(azure: LocalAzure, count: int, job_id: str = 'job') -> None:
    job = azure.batch.jobs.get(job_id)
    azure.wait_until(lambda: job.counts['completed'] == count, 20, f'{count} tasks completed')


def refusal(call: Callable[..., object], *arguments: object) -> tuple[int, str]:
    """Status and code of the error that a call ends with."""
    with pytest.raises(models.BatchErrorException) as caught:
        call(*arguments)
    error: Any = caught.value.error
    return caught.value.response.status_code, str(error.code)


def address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return str(parts.hostname), int(parts.port or 0)
