"""The node agent: fetches resource files before a command line, puts output files away after it."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from tests.local_azure.faults import Faults, LostOutput, OutputFault, RefusedUpload
from tests.local_azure.node.assignment import (
    Assignment,
    OutputFile,
    Problem,
    Report,
    ResourceFile,
)
from tests.local_azure.node.blobs import BlobClient, TransferError, blob_url

WILDCARDS = re.compile(r'[*?\[]')
_VARIABLE = re.compile(r'\$\{?(AZ_BATCH_\w+)\}?')
_LOG: Any = {'mode': 'w', 'errors': 'surrogateescape'}  # the names of files may be any bytes


class Agent:
    """Moves blobs for all nodes."""

    def __init__(self, blobs: BlobClient, faults: Faults) -> None:
        self._blobs = blobs
        self._faults = faults

    def fetch(self, resource: ResourceFile, working: Path) -> None:
        """Puts the blobs of a resource file into the working directory."""
        target = working / resource.path
        if resource.blob_url is not None:
            self._download(resource.blob_url, target, resource.mode)
        elif resource.container_url is not None:
            for name in self._blobs.list_names(resource.container_url, resource.prefix):
                url = blob_url(resource.container_url, name)
                self._download(url, target / name, resource.mode)

    def _download(self, url: str, path: Path, mode: int) -> None:
        self._blobs.download(url, path)
        path.chmod(mode)

    def upload_outputs(
        self,
        assignment: Assignment,
        folder: Path,
        environment: Mapping[str, str],
        report: Report,
    ) -> Problem | None:
        """Uploads what the conditions ask for; the result is the first failure.

        Logs beside stdout.txt (Azure docs: batch-task-output-files).
        """
        first_problem = None
        with (
            (folder / 'fileuploadout.txt').open(**_LOG) as out,
            (folder / 'fileuploaderr.txt').open(**_LOG) as err,
        ):
            for output in assignment.output_files:
                if not applies(output, report):
                    continue
                for path, blob in _matching_files(output, folder / 'wd', environment):
                    try:
                        self.upload(assignment, output, blob, path.read_bytes())
                        print(f'Uploaded {path.name}', file=out)
                    except TransferError as error:
                        first_problem = first_problem or error.problem
                        print(f'{error.problem.code}: {path.name}', file=err)
        return first_problem

    def upload(self, assignment: Assignment, output: OutputFile, blob: str, content: bytes) -> None:
        """Puts one output file into its container, unless a fault is armed for it."""

        def concerns(fault: OutputFault) -> bool:
            return fault.concerns(assignment.name, blob)

        fault = self._faults.take(OutputFault, concerns)
        if isinstance(fault, RefusedUpload):
            raise TransferError('FileUploadAccessDenied', FilePath=blob)
        if isinstance(fault, LostOutput):
            if not fault.empty:
                return
            content = b''
        self._blobs.upload(output.container_url, blob, content)


def applies(output: OutputFile, report: Report) -> bool:
    """Whether the output files are wanted after such an end of the command line."""
    if output.condition == 'TaskCompletion':
        return True
    failed = bool(report.exit_code or report.problem)
    return output.condition == ('TaskFailure' if failed else 'TaskSuccess')


def _matching_files(
    output: OutputFile, working: Path, environment: Mapping[str, str]
) -> Iterator[tuple[Path, str]]:
    """Files and their blob names.

    SDK14 OutputFile.file_pattern, OutputFileBlobContainerDestination.path. A pattern may match no
    file at all, and that is no failure (Azure docs: batch-task-output-files).
    """
    pattern = _with_variables(output.pattern, environment)
    if not WILDCARDS.search(pattern):
        file = working / pattern
        if file.is_file():
            yield file, output.path or file.name
        return

    # glob ignores dotfiles, as the service does.
    names = glob.glob(pattern, root_dir=working, recursive=True)  # noqa: PTH207
    folder = _folder_without_wildcards(pattern)
    for name in sorted(names):
        if not (working / name).is_file():
            continue
        below = PurePath(name).relative_to(folder).as_posix()
        blob = f'{output.path}/{below}' if output.path else below
        yield working / name, blob


def _with_variables(pattern: str, environment: Mapping[str, str]) -> str:
    """The pattern with the values of the AZ_BATCH_ variables in it; unknown ones stay."""

    def value(match: re.Match[str]) -> str:
        return environment.get(match[1], match[0])

    return _VARIABLE.sub(value, pattern)


def _folder_without_wildcards(pattern: str) -> str:
    """`a/b/` of `a/b/c*/d`."""
    fixed = WILDCARDS.split(pattern)[0]
    folder, slash, _ = fixed.rpartition('/')
    return folder + slash
