"""The files on a node: finding, listing and reading them."""

from __future__ import annotations

import mimetypes
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_UNIX_EPOCH = 621_355_968_000_000_000  # in ticks since the year 1
_NANOSECONDS_PER_TICK = 100


class NodeFile:
    """A file or folder as it was when this was made; `modified` is in ticks, as all times here."""

    def __init__(self, name: str, path: Path) -> None:
        status = path.stat()
        self.key = name
        self.path = path
        self.size = status.st_size
        self.is_directory = stat.S_ISDIR(status.st_mode)
        self.modified = _UNIX_EPOCH + status.st_mtime_ns // _NANOSECONDS_PER_TICK
        self.mode = f'0o{status.st_mode:o}'
        self.content_type = mimetypes.guess_type(name)[0] or 'application/octet-stream'

    def read(self, offset: int, length: int) -> bytes:
        """Fewer bytes if the file has become shorter; OSError if it cannot be read."""
        with self.path.open('rb') as stream:
            stream.seek(offset)
            return stream.read(length)


def listing(folder: Path, recursive: bool) -> Iterator[NodeFile]:
    """Files and folders, one level or all of them; what goes away meanwhile is left out."""
    paths = folder.rglob('*') if recursive else folder.glob('*')
    for path in paths:
        with suppress(OSError):
            yield NodeFile(path.relative_to(folder).as_posix(), path)


def find(folder: Path, name: str) -> NodeFile:
    """The file of this name in the folder; FileNotFoundError also for what is outside."""
    try:
        path = (folder / name).resolve()
        if path.is_relative_to(folder.resolve()):
            return NodeFile(name, path)
    except (OSError, ValueError) as error:  # a name that no file can have is a ValueError
        raise FileNotFoundError(name) from error
    raise FileNotFoundError(name)
