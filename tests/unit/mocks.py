"""Both clients as mocks that know only what the real ones know, and two accounts made of them."""

from __future__ import annotations

import collections
import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn
from unittest.mock import create_autospec

import pytest
from azure.batch import BatchServiceClient, models, operations
from azure.storage.blob import (
    BlobClient,
    BlobServiceClient,
    ContainerClient,
    StorageStreamDownloader,
)

import batch_python_tutorial_ffmpeg as sample

from .service_objects import (
    BEGAN,
    THIS_RUN,
    batch_error,
    blob_properties,
    container_properties,
    items,
    job,
    node_counts,
    pool,
    storage_error,
    succeeded,
    task_counts,
)

INPUT, OUTPUT = sample._INPUT_CONTAINER_NAME, sample._OUTPUT_CONTAINER_NAME
STORAGE_URL = 'https://mystorage.blob.core.windows.net'
VIDEOS = ['a.mp4', 'b.c.mp4', 'sub/d.MP4']
MP3S = {'a.mp3': b'ID3 a', 'b.c.mp3': b'ID3 bb', 'sub/d.mp3': b'ID3 ccc'}
_LOCK = threading.RLock()


class Unscripted:
    """The answer to a request for which the test has none: whoever looks at it fails the test."""

    def __init__(self, request: str) -> None:
        self._request = request

    def _fail(self, *_: object) -> NoReturn:
        pytest.fail(f'no answer is scripted for {self._request}')

    __getattr__ = __iter__ = __bool__ = _fail


_SPARE: collections.defaultdict[type, list[Any]] = collections.defaultdict(list)
_LENT: list[tuple[type, Any]] = []


def mock_of(kind: type) -> Any:
    """Return a mock of an instance; each of its methods checks its arguments and answers only what the test says."""
    mock = _SPARE[kind].pop() if _SPARE[kind] else create_autospec(kind, instance=True)
    _LENT.append((kind, mock))
    for name in _methods(kind):
        getattr(mock, name).return_value = Unscripted(f'{kind.__name__}.{name}')
    return mock


@functools.cache
def _methods(kind: type) -> list[str]:
    return [
        name
        for name, member in vars(kind).items()
        if inspect.isfunction(member) and not name.startswith('_')
    ]


def take_back_mocks() -> None:
    """Make all mocks as good as new for the next test: making one takes much longer than a test."""
    for kind, mock in _LENT:
        mock.reset_mock(return_value=True, side_effect=True)
        mock.__hash__.return_value = id(mock)
        _SPARE[kind].append(mock)
    _LENT.clear()


class BatchMock:
    """`client` for the script; its operation groups are also here, each made when first used. `tasks`: the job's."""

    _GROUPS: ClassVar = {
        'account': operations.AccountOperations,
        'compute_node': operations.ComputeNodeOperations,
        'file': operations.FileOperations,
        'job': operations.JobOperations,
        'pool': operations.PoolOperations,
        'task': operations.TaskOperations,
    }

    def __init__(self) -> None:
        self.client = create_autospec(BatchServiceClient, instance=True)
        for name in self._GROUPS:
            setattr(type(self.client), name, property(functools.partial(self._group, name)))
        self.tasks: list[models.CloudTask] = []

    def _group(self, name: str, _client: object = None) -> Any:
        return getattr(self, name)

    def __getattr__(
        self, name: str
    ) -> Any:  # is called for what is not there yet, by several threads perhaps
        with _LOCK:
            if name not in vars(self):
                group = mock_of(self._GROUPS[name])
                if name == 'task':
                    group.list.side_effect = self._list_tasks
                    group.add_collection.side_effect = self._add_tasks
                setattr(self, name, group)
            return vars(self)[name]

    @property
    def requests(self) -> list[Any]:
        """All that was sent to the service, in no order."""
        return [
            call
            for name in self._GROUPS
            if name in vars(self)
            for call in vars(self)[name].mock_calls
        ]

    def _list_tasks(self, _job_id: str, options: models.TaskListOptions) -> list[models.CloudTask]:
        filters: dict[str | None, Callable[[Any], bool]] = {
            None: lambda _: True,
            "state ne 'completed'": lambda task: task.state != models.TaskState.completed,
            "executionInfo/result eq 'Failure'": lambda task: (
                task.execution_info.result == 'failure'
            ),
        }
        return list(filter(filters[options.filter], self.tasks))[: options.max_results]

    def _add_tasks(self, _job_id: str, tasks: list[Any]) -> models.TaskAddCollectionResult:
        return models.TaskAddCollectionResult(
            value=[models.TaskAddResult(status='success', task_id=task.id) for task in tasks]
        )


class StorageMock:
    """`client` for the script, and the mocks of its containers and blobs by name."""

    def __init__(self) -> None:
        self.client = mock_of(BlobServiceClient)
        self.containers: dict[str, Any] = {}
        self.blobs: dict[tuple[str, str], Any] = {}
        self.client.get_container_client.side_effect = self.container
        self.client.get_blob_client.side_effect = self.blob

    def container(self, container: str) -> Any:
        with _LOCK:
            if container not in self.containers:
                self.containers[container] = mock_of(ContainerClient)
                self.containers[container].url = f'{STORAGE_URL}/{container}'
            return self.containers[container]

    def blob(self, container: str, blob: str) -> Any:
        with _LOCK:
            if (container, blob) not in self.blobs:
                self.blobs[container, blob] = mock_of(BlobClient)
                self.blobs[container, blob].url = f'{STORAGE_URL}/{container}/{blob}'
            return self.blobs[container, blob]

    def put_output(self, name: str, content: bytes | Exception) -> None:
        """Let the download of an MP3 bring `content`; an Exception comes after the first bytes."""

        def readinto(file: Any) -> int:
            file.write(b'ID3' if isinstance(content, Exception) else content)
            if isinstance(content, Exception):
                raise content
            return len(content)

        downloader = mock_of(StorageStreamDownloader)
        downloader.readinto.side_effect = readinto
        blob = self.blob(sample._OUTPUT_CONTAINER_NAME, name)
        blob.download_blob.side_effect = None
        blob.download_blob.return_value = downloader


class Azure:
    """Two accounts that remember what was made in them; the tasks have ended when they are first looked at."""

    def __init__(self, batch: BatchMock, storage: StorageMock) -> None:
        self.batch, self.storage = batch, storage
        self.made: set[str] = set()
        self.mark = THIS_RUN  # on what `made` names
        for kind, group in (('job', batch.job), ('pool', batch.pool)):
            existing = {
                'job': lambda _: job(self.mark),
                'pool': lambda _: pool(metadata=items(self.mark)),
            }[kind]
            missing = batch_error(f'{kind.title()}NotFound', status=404)
            group.add.side_effect = self.make(kind)
            group.get.side_effect = self.if_made(kind, existing, missing)
            group.delete.side_effect = self.unmake(kind)
        for name in (INPUT, OUTPUT):
            container = storage.container(name)
            container.create_container.side_effect = self.make(name)
            container.delete_container.side_effect = self.unmake(name)
            container.get_container_properties.side_effect = self.if_made(
                name,
                lambda **_: container_properties(self.mark, BEGAN),
                storage_error('ContainerNotFound'),
            )
        storage.container(OUTPUT).list_blobs.return_value = [
            blob_properties(n, len(mp3)) for n, mp3 in MP3S.items()
        ]
        batch.job.get_task_counts.return_value = task_counts(completed=len(VIDEOS))
        batch.account.list_pool_node_counts.return_value = node_counts(idle=5)
        batch.compute_node.list.return_value = [models.ComputeNode(allocation_time=BEGAN)] * 5
        batch.tasks[:] = [succeeded(name) for name in VIDEOS]
        for name, mp3 in MP3S.items():
            storage.put_output(name, mp3)

    def make(self, thing: str) -> Callable[..., None]:
        return lambda *_, **__: self.made.add(thing)

    def unmake(self, thing: str) -> Callable[..., None]:
        return lambda *_, **__: self.made.discard(thing)

    def if_made(
        self, thing: str, existing: Callable[..., Any], missing: Exception
    ) -> Callable[..., Any]:
        def get(*arguments: Any, **options: Any) -> Any:
            if thing not in self.made:
                raise missing
            return existing(*arguments, **options)

        return get
