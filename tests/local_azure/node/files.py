"""Files on a node as the service lists and serves them.

Recorded traffic: GET and HEAD .../files, 2023-05-01.17.0, Linux.
"""

from __future__ import annotations

import mimetypes
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.local_azure.batch.errors import BatchError
from tests.local_azure.batch.model import Node, Task
from tests.local_azure.batch.states import TaskState
from tests.local_azure.batch.times import format_time

_UNIX_EPOCH = 621_355_968_000_000_000  # ticks
_RANGE = re.compile(r'bytes=(\d{1,18})-(\d{0,18})')
_MOVED = 'The files of the specified task cannot be accessed as the task '


class NodeFile:
    def __init__(self, name: str, path: Path) -> None:
        info = path.stat()
        self.key, self.path, self.size = name, path, info.st_size
        self.is_directory = stat.S_ISDIR(info.st_mode)
        self.modified = _UNIX_EPOCH + info.st_mtime_ns // 100
        self.mode = f'0o{info.st_mode:o}'
        self.content_type = mimetypes.guess_type(name)[0] or 'application/octet-stream'

    def wire(self) -> dict[str, Any] | None:
        """`properties`: none for directories, the length is a string."""
        properties = {
            'lastModified': format_time(self.modified),
            'contentLength': str(self.size),
            'contentType': self.content_type,
            'fileMode': self.mode,
        }
        return None if self.is_directory else properties


def file_fields(base: str) -> dict[str, Any]:
    return {
        'name': lambda file: file.key,
        'url': lambda file: f'{base}/{file.key}',
        'isDirectory': lambda file: file.is_directory,
        'properties': NodeFile.wire,
    }


def task_folder(task: Task) -> Path:
    """Where a task's files are; 409 before it ran and after its node, or the disk that it then had, has gone.

    MicrosoftDocs/azure-docs issues 53298 and 100370.
    """
    if task.node is None:
        active = task.state is TaskState.active
        text = 'state is still active' if active else 'moved to completed state without running'
        raise BatchError('OperationInvalidForCurrentState', Reason=f'{_MOVED}{text}')
    started, booted = task.execution.start or 0, task.node.booted or 0
    if task.node.root is None or started < booted:
        raise BatchError('TaskFilesUnavailable')
    return task.node.root / task.directory


def node_folder(node: Node) -> Path:
    if node.root is None:
        raise BatchError(
            'OperationInvalidForCurrentState',
            'The files of the specified node cannot be accessed now.',
        )
    return node.root


def listing(folder: Path, recursive: bool) -> Iterator[NodeFile]:
    """Files and folders, one level or all of them; what goes away meanwhile is left out."""
    for path in folder.rglob('*') if recursive else folder.glob('*'):
        with suppress(OSError):
            yield NodeFile(path.relative_to(folder).as_posix(), path)


def get(folder: Path, name: str) -> NodeFile:
    with suppress(OSError, ValueError):
        path = (folder / name).resolve()
        if path.is_relative_to(folder.resolve()):
            return NodeFile(name, path)
    raise BatchError('FileNotFound')


def part(file: NodeFile, wanted: str | None) -> tuple[int, int]:
    """Offset and length of an ocp-range header, the whole file without one (SDK14 FileGetFromTaskOptions.ocp_range)."""
    if not wanted:
        return 0, file.size
    match = _RANGE.fullmatch(wanted.strip())
    if not match:
        raise BatchError('InvalidHeaderValue', HeaderName='ocp-range', HeaderValue=wanted[:100])
    first, last = int(match[1]), min(int(match[2] or file.size), file.size - 1)
    if first > last:
        raise BatchError('InvalidRange')
    return first, last - first + 1


def read(file: NodeFile, offset: int, length: int) -> bytes:
    """What there is: a task may change its files at any time. A directory has no content (ours)."""
    try:
        with file.path.open('rb') as stream:
            stream.seek(offset)
            return stream.read(length)
    except OSError as error:
        raise BatchError('FileNotFound') from error
