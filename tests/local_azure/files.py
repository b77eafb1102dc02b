"""Files on a node as the service lists and serves them.

Recorded traffic: GET and HEAD .../files, 2023-05-01.17.0, Linux.
"""

from __future__ import annotations

import mimetypes
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .durations import format_time
from .errors import BatchError
from .model import Node, Task
from .states import TaskState

_UNIX_EPOCH = 621_355_968_000_000_000  # ticks
_RANGE = re.compile(r'bytes=(\d{1,18})-(\d{0,18})')
_MOVED = 'The files of the specified task cannot be accessed as the task '


@dataclass(frozen=True)
class NodeFile:
    name: str
    path: Path
    info: os.stat_result

    @property
    def key(self) -> str:
        return self.name

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.info.st_mode)

    @property
    def modified(self) -> int:
        return _UNIX_EPOCH + self.info.st_mtime_ns // 100

    @property
    def mode(self) -> str:
        return f'0o{self.info.st_mode:o}'

    @property
    def content_type(self) -> str:
        return mimetypes.guess_type(self.name)[0] or 'application/octet-stream'

    def wire(self) -> dict[str, Any] | None:
        """`properties`: none for directories, the length is a string."""
        if self.is_directory:
            return None
        return {
            'lastModified': format_time(self.modified),
            'contentLength': str(self.info.st_size),
            'contentType': self.content_type,
            'fileMode': self.mode,
        }


def file_fields(base: str) -> dict[str, Any]:
    return {
        'name': lambda file: file.name,
        'url': lambda file: f'{base}/{file.name}',
        'isDirectory': lambda file: file.is_directory,
        'properties': lambda file: file.wire(),
    }


def task_folder(task: Task) -> Path:
    """Where a task's files are; 409 before it ran and after its node has gone.

    MicrosoftDocs/azure-docs issues 53298 and 100370.
    """
    if not task.ran or task.node is None:
        active = task.state is TaskState.ACTIVE
        text = 'state is still active' if active else 'moved to completed state without running'
        raise BatchError('OperationInvalidForCurrentState', f'{_MOVED}{text}.')
    if task.node.root is None:
        raise BatchError('TaskFilesUnavailable')
    return task.node.root / 'workitems' / task.job.id / 'job-1' / task.id


def node_folder(node: Node) -> Path:
    if node.root is None:
        raise BatchError('OperationInvalidForCurrentState', 'The files of the specified node cannot be accessed now.')
    return node.root


def listing(folder: Path, recursive: bool) -> Iterator[NodeFile]:
    """Files and folders, one level or all of them; what goes away meanwhile is left out."""
    for path in sorted(folder.rglob('*') if recursive else folder.glob('*')):
        try:
            yield NodeFile(path.relative_to(folder).as_posix(), path, path.stat())
        except OSError:
            continue


def get(folder: Path, name: str) -> NodeFile:
    try:
        path = (folder / name).resolve()
        if path.is_relative_to(folder.resolve()):
            return NodeFile(name, path, path.stat())
    except (OSError, ValueError):
        pass
    raise BatchError('FileNotFound')


def part(file: NodeFile, wanted: str | None) -> tuple[int, int]:
    """Offset and length of an ocp-range header, the whole file without one (SDK14 FileGetFromTaskOptions.ocp_range)."""
    size = file.info.st_size
    if not wanted:
        return 0, size
    match = _RANGE.fullmatch(wanted.strip())
    if not match:
        raise BatchError('InvalidHeaderValue', HeaderName='ocp-range', HeaderValue=wanted[:100])
    first, last = int(match[1]), min(int(match[2] or size), size - 1)
    if first > last:
        raise BatchError('InvalidRange')
    return first, last - first + 1


def read(file: NodeFile, offset: int, length: int) -> Iterator[bytes]:
    with file.path.open('rb') as stream:
        stream.seek(offset)
        while length > 0 and (chunk := stream.read(min(length, 1 << 16))):
            length -= len(chunk)
            yield chunk
