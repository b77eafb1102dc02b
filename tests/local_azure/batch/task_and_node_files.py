"""Files of tasks and nodes as the service lists and serves them.

Recorded traffic: GET and HEAD .../files, 2023-05-01.17.0, Linux.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.local_azure.batch.errors import BatchError
from tests.local_azure.batch.model import Node, Task
from tests.local_azure.batch.states import TaskState
from tests.local_azure.node import files_on_disk
from tests.local_azure.node.files_on_disk import NodeFile

_RANGE = re.compile(r'bytes=(\d{1,18})-(\d{0,18})')
_NO_ACCESS = 'The files of the specified task cannot be accessed as the task'


def task_folder(task: Task) -> Path:
    """Where a task's files are.

    409 before it ran, and after its node or the disk that the node then had is gone
    (MicrosoftDocs/azure-docs issues 53298 and 100370).
    """
    node = task.node
    if node is None:
        reason = 'moved to completed state without running'
        if task.state is TaskState.active:
            reason = 'state is still active'
        raise BatchError('OperationInvalidForCurrentState', Reason=f'{_NO_ACCESS} {reason}')

    started = task.execution.start or 0
    booted = node.booted or 0
    if node.root is None or started < booted:
        raise BatchError('TaskFilesUnavailable')
    return node.root / task.directory


def node_folder(node: Node) -> Path:
    """Where a node's files are; 409 while it has none."""
    if node.root is None:
        raise BatchError(
            'OperationInvalidForCurrentState',
            'The files of the specified node cannot be accessed now.',
        )
    return node.root


def listing(folder: Path, recursive: bool) -> Iterator[NodeFile]:
    """Files and folders, one level or all of them."""
    return files_on_disk.listing(folder, recursive)


def get(folder: Path, name: str) -> NodeFile:
    """The file of this name; 404 if there is none."""
    try:
        return files_on_disk.find(folder, name)
    except FileNotFoundError as error:
        raise BatchError('FileNotFound') from error


def part(file: NodeFile, wanted: str | None) -> tuple[int, int]:
    """Offset and length of an ocp-range header, the whole file without one.

    SDK14 FileGetFromTaskOptions.ocp_range.
    """
    if not wanted:
        return 0, file.size
    match = _RANGE.fullmatch(wanted.strip())
    if not match:
        raise BatchError('InvalidHeaderValue', HeaderName='ocp-range', HeaderValue=wanted[:100])

    first = int(match[1])
    last = int(match[2] or file.size)
    last = min(last, file.size - 1)
    if first > last:
        raise BatchError('InvalidRange')
    return first, last - first + 1


def read(file: NodeFile, offset: int, length: int) -> bytes:
    """What there is: a task may change its files at any time. A directory has no content (ours)."""
    try:
        return file.read(offset, length)
    except OSError as error:
        raise BatchError('FileNotFound') from error
