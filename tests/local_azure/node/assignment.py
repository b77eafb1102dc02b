"""What a node is told to run, and what it reports when that has ended."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Literal

Condition = Literal['TaskSuccess', 'TaskFailure', 'TaskCompletion']


@dataclass(frozen=True)
class ResourceFile:
    """A blob, or the blobs of a container, that the node fetches before the command line starts."""

    path: str  # in the working directory; for a container the folder
    mode: int  # file permissions
    blob_url: str | None = None
    container_url: str | None = None  # instead of `blob_url`
    prefix: str = ''  # of the names of the container's blobs


@dataclass(frozen=True)
class OutputFile:
    """Files that the node puts into a container when the command line has ended."""

    pattern: str  # relative to the working directory
    container_url: str
    path: str | None  # the name of the blob; with wildcards in the pattern the folder
    condition: Condition


@dataclass(frozen=True)
class PretendedEnd:
    """How the command line ends without being run: a fault."""

    exit_code: int
    stderr: str


@dataclass(eq=False)
class Assignment:
    """One execution of a command line on a node."""

    command_line: str
    environment: dict[str, str]
    directory: str  # below the node's root
    name: str  # the task's id, empty for a start task
    is_elevated: bool = False  # whether its user is an administrator
    resource_files: list[ResourceFile] = field(default_factory=list)
    output_files: list[OutputFile] = field(default_factory=list)
    keeps_files: bool = False  # it finds the files of the execution before it
    delay: float = 0.0  # seconds between the resource files and the command line
    pretended_end: PretendedEnd | None = None
    stopped: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Problem:
    """Why it failed, with a code of the service's failureInfo; the service knows its text."""

    code: str
    message: str | None = None  # instead of that text
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Report:
    """How it ended; `exit_code` is None when the command line never started."""

    exit_code: int | None
    problem: Problem | None = None
