"""Both clients as mocks that know only what the real ones know, and two accounts made of them."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import Any, NoReturn
from unittest.mock import create_autospec

import pytest
from azure.batch import BatchServiceClient, models, operations
from azure.batch.batch_auth import SharedKeyCredentials
from azure.storage.blob import (
    BlobClient,
    BlobLeaseClient,
    BlobServiceClient,
    ContainerClient,
    StorageStreamDownloader,
)

import batch_python_tutorial_ffmpeg as sample

from .service_objects import (
    OURS,
    STORAGE_URL,
    batch_error,
    blob_properties,
    container_properties,
    image,
    items,
    job,
    node_counts,
    pool,
    raw_answer,
    storage_answer,
    storage_error,
    succeeded,
    task_counts,
)

INPUT = sample._INPUT_CONTAINER_NAME
OUTPUT = sample._OUTPUT_CONTAINER_NAME
VIDEOS = ['a.mp4', 'b.c.mp4', 'sub/d.MP4']
MP3S = {sample.output_name(name): b'ID3 ' + name.encode() for name in VIDEOS}


class Unscripted:
    """The answer to a request for which the test has none: whoever looks at it fails the test."""

    def __init__(self, request: str) -> None:
        self._request = request

    def __getattr__(self, _name: str) -> NoReturn:
        self._fail()

    def __iter__(self) -> NoReturn:
        self._fail()

    def __bool__(self) -> NoReturn:
        self._fail()

    def _fail(self) -> NoReturn:
        pytest.fail(f'the test has no answer for {self._request}')


# To make a mock of a client takes longer than most tests. So the next test gets those of the last
# one, wiped.
_in_use: list[tuple[type, Any]] = []
_spare: dict[type, list[Any]] = {}


def mock_of(kind: type) -> Any:
    """Return a mock of an instance. Its methods check their arguments, and answer `Unscripted`."""
    spare = _spare.setdefault(kind, [])
    mock = spare.pop() if spare else create_autospec(kind, instance=True)
    for name, member in vars(kind).items():
        if inspect.isfunction(member) and not name.startswith('_'):
            method = getattr(mock, name)
            method.side_effect = None
            method.return_value = Unscripted(f'{kind.__name__}.{name}')
    mock.reset_mock()
    _in_use.append((kind, mock))
    return mock


def take_mocks_back() -> None:
    """Let the next test have the mocks of this one."""
    while _in_use:
        kind, mock = _in_use.pop()
        _spare[kind].append(mock)


class BatchMock:
    """`client` for the script, its operation groups, and `tasks`: those of the job."""

    def __init__(self) -> None:
        self.account = mock_of(operations.AccountOperations)
        self.compute_node = mock_of(operations.ComputeNodeOperations)
        self.file = mock_of(operations.FileOperations)
        self.job = mock_of(operations.JobOperations)
        self.pool = mock_of(operations.PoolOperations)
        self.task = mock_of(operations.TaskOperations)

        # The client has its operation groups and its configuration since it was made.
        real_client = BatchServiceClient(SharedKeyCredentials('mybatch', ''), 'https://mybatch')
        self.client = create_autospec(BatchServiceClient, instance=True)
        self.client.config = real_client.config
        self.client.account = self.account
        self.client.compute_node = self.compute_node
        self.client.file = self.file
        self.client.job = self.job
        self.client.pool = self.pool
        self.client.task = self.task

        self.tasks: list[models.CloudTask] = []
        self.task.list.side_effect = self._list_tasks
        self.task.add_collection.side_effect = confirm_all

    @property
    def requests(self) -> list[Any]:
        """All that was sent to the service, one operation group after the other."""
        return [
            *self.account.mock_calls,
            *self.compute_node.mock_calls,
            *self.file.mock_calls,
            *self.job.mock_calls,
            *self.pool.mock_calls,
            *self.task.mock_calls,
        ]

    def _list_tasks(self, _job_id: str, options: models.TaskListOptions) -> list[models.CloudTask]:
        if options.filter is None:
            return list(self.tasks)
        if options.filter == "state ne 'completed'":
            return [task for task in self.tasks if task.state != models.TaskState.completed]
        pytest.fail(f'the test has no answer for tasks with {options.filter}')


def confirm_all(_job_id: str, tasks: list[Any]) -> models.TaskAddCollectionResult:
    """Return the answer of task.add_collection when all tasks were added."""
    return models.TaskAddCollectionResult(
        value=[models.TaskAddResult(status='success', task_id=task.id) for task in tasks]
    )


class StorageMock:
    """`client` for the script, and the mocks of its containers and blobs by name."""

    def __init__(self) -> None:
        self.client = mock_of(BlobServiceClient)
        self.client.get_container_client.side_effect = self.container
        self.client.get_blob_client.side_effect = self.blob
        self.containers: dict[str, Any] = {}
        self.blobs: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()  # several threads ask for the same mock

    def container(self, container: str) -> Any:
        """Return the mock of a container; it is made when it is asked for first."""
        with self._lock:
            if container not in self.containers:
                self.containers[container] = mock_of(ContainerClient)
                self.containers[container].url = f'{STORAGE_URL}/{container}'
            return self.containers[container]

    def blob(self, container: str, blob: str) -> Any:
        """Return the mock of a blob; it is made when it is asked for first."""
        with self._lock:
            if (container, blob) not in self.blobs:
                self.blobs[container, blob] = mock_of(BlobClient)
                self.blobs[container, blob].url = f'{STORAGE_URL}/{container}/{blob}'
            return self.blobs[container, blob]

    def put_output(self, name: str, content: bytes | Exception) -> None:
        """Let the download of an MP3 bring `content`; an Exception comes after the first bytes."""

        def readinto(file: Any) -> int:
            if isinstance(content, Exception):
                file.write(b'ID3')
                raise content
            file.write(content)
            return len(content)

        downloader = mock_of(StorageStreamDownloader)
        downloader.readinto.side_effect = readinto
        self.blob(OUTPUT, name).download_blob.return_value = downloader


class Azure:
    """Two accounts that remember what was made in them; the tasks have ended when looked at.

    `made` holds 'job', 'pool' and the names of the containers. `metadata` is that of all of them.
    """

    def __init__(self, batch: BatchMock, storage: StorageMock) -> None:
        self.batch = batch
        self.storage = storage
        self.made: set[str] = set()
        self.metadata = OURS
        self.lease = mock_of(BlobLeaseClient)

        self._add_job_and_pool()
        self._add_container(INPUT)
        self._add_container(OUTPUT)

        batch.tasks[:] = [succeeded(name) for name in VIDEOS]
        batch.job.get_task_counts.return_value = task_counts(completed=len(VIDEOS))
        batch.account.list_pool_node_counts.return_value = node_counts(idle=5)
        batch.account.list_supported_images.return_value = [image(sample._POOL_IMAGE['sku'])]
        storage.container(INPUT).list_blobs.side_effect = lambda **_: [
            blob_properties(name, 9) for name in VIDEOS if INPUT in self.made
        ]

        storage.container(OUTPUT).acquire_lease.return_value = self.lease
        storage.container(OUTPUT).list_blobs.return_value = [
            blob_properties(name, len(mp3)) for name, mp3 in MP3S.items()
        ]
        for name, mp3 in MP3S.items():
            storage.put_output(name, mp3)

    def _add_job_and_pool(self) -> None:
        job_group = self.batch.job
        job_group.add.side_effect = self._make('job', batch_error('JobExists'))
        job_group.delete.side_effect = self._unmake('job')
        job_group.get.side_effect = self._if_made(
            'job', lambda: job(self.metadata), batch_error('JobNotFound', status=404)
        )

        pool_group = self.batch.pool
        pool_group.add.side_effect = self._make('pool', batch_error('PoolExists'))
        pool_group.delete.side_effect = self._unmake('pool')
        pool_group.get.side_effect = self._if_made(
            'pool',
            lambda: pool(metadata=items(self.metadata)),
            batch_error('PoolNotFound', status=404),
            raw=raw_answer,
        )

    def _add_container(self, name: str) -> None:
        container = self.storage.container(name)
        container.create_container.side_effect = self._make(
            name, storage_error('ContainerAlreadyExists')
        )
        container.delete_container.side_effect = self._unmake(name)
        container.get_container_properties.side_effect = self._if_made(
            name, lambda: container_properties(self.metadata), storage_error('ContainerNotFound')
        )

    def _make(self, thing: str, exists: Exception) -> Callable[..., None]:
        def make(*_: object, **__: object) -> None:
            if thing in self.made:
                raise exists
            self.made.add(thing)

        return make

    def _unmake(self, thing: str) -> Callable[..., None]:
        def unmake(*_: object, **__: object) -> None:
            self.made.discard(thing)

        return unmake

    def _if_made(
        self,
        thing: str,
        describe: Callable[[], Any],
        missing: Exception,
        raw: Callable[[Any], Any] = lambda found: found,
    ) -> Callable[..., Any]:
        def get(*_: object, **options: Any) -> Any:
            if 'raw_response_hook' in options:
                options['raw_response_hook'](storage_answer())
            if thing not in self.made:
                raise missing
            return raw(describe()) if options.get('raw') else describe()

        return get
