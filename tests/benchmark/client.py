"""What is measured, in a process of its own: it shares no interpreter with the local Azure.

`python -m tests.benchmark.client PHASE 'ARGUMENTS AS JSON'` prints what it measured as JSON, in the
last line.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from azure.batch.models import ResourceFile

import batch_python_tutorial_ffmpeg as sample

from . import tutorial

SCRIPT = Path(sample.__file__)
POLLS = 12  # enough for every kind of poll


class EnoughError(Exception):
    """Enough polls were seen."""


def peak_memory() -> float:
    """Return the largest resident memory of this process so far, in MB."""
    # On Linux, getrusage of a new process begins with the peak of the process that started it.
    try:
        status = Path('/proc/self/status').read_text(encoding='ascii')
        return int(status.partition('VmHWM:')[2].split()[0]) / 1000
    except OSError:
        return _megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _megabytes(maxrss: int) -> float:
    return maxrss / (1e6 if sys.platform == 'darwin' else 1e3)


@contextmanager
def measured(result: dict[str, float]) -> Iterator[None]:
    """Note when the block began and ended, and the memory that it took, in MB.

    The times are of the clock that all processes share, in seconds.
    """
    idle = peak_memory()
    result['began'] = time.monotonic()
    with Path(os.devnull).open('w') as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield
    result['ended'] = time.monotonic()
    result['memory'] = peak_memory() - idle


def upload(result: dict[str, float], folder: str) -> None:
    """The script's upload of all files in a folder."""
    _, blob_client = sample.create_clients()
    paths = sample.find_input_files(Path(folder))
    blob_client.create_container(sample._INPUT_CONTAINER_NAME)
    with measured(result):
        sample.upload_input_files(blob_client, paths)


def tutorial_upload(result: dict[str, float], folder: str) -> None:
    """The tutorial's upload of all files in a folder."""
    _, blob_client = tutorial.create_clients()
    paths = sorted(Path(folder).iterdir())
    blob_client.create_container('tutorial')
    with measured(result):
        tutorial.upload_input_files(blob_client, 'tutorial', paths)


def _input_files(count: int) -> tuple[list[ResourceFile], str]:
    """Input files as if they were uploaded, and the URL of the output container."""
    _, blob_client = sample.create_clients()
    url, sas = (
        f'{blob_client.url}{{}}',
        'se=2030-01-01T00%3A00%3A00Z&sp=r&sv=2025-01-05&sr=b&sig=' + 'x' * 46,
    )
    names = [f'video-{number:05}.mp4' for number in range(count)]
    files = [
        ResourceFile(http_url=url.format(f'input/{name}?{sas}'), file_path=name) for name in names
    ]
    return files, url.format(f'output?{sas}')


def add_tasks(result: dict[str, float], job_id: str, count: int) -> None:
    """The script's adding of tasks."""
    batch_client, _ = sample.create_clients()
    files, container = _input_files(count)
    sample.create_job(batch_client, job_id, sample._POOL_ID)
    with measured(result):
        sample.add_tasks(batch_client, job_id, files, container)


def tutorial_add_tasks(result: dict[str, float], job_id: str, count: int) -> None:
    """The tutorial's adding of tasks."""
    sample.create_job(sample.create_clients()[0], job_id, sample._POOL_ID)
    batch_client, _ = tutorial.create_clients()
    files, container = _input_files(count)
    with measured(result):
        tutorial.add_tasks(batch_client, job_id, files, container)


def poll(result: dict[str, float], job_id: str) -> None:
    """Several polls of the script, without the pauses between them."""
    batch_client, _ = sample.create_clients()
    pauses = [None] * (POLLS - 1)
    with (
        measured(result),
        patch.object(time, 'sleep', side_effect=[*pauses, EnoughError]),
        suppress(EnoughError),
    ):
        sample.wait_for_tasks_to_complete(batch_client, job_id, timedelta(hours=1))


def tutorial_poll(result: dict[str, float], job_id: str) -> None:
    """One poll of the tutorial."""
    batch_client, _ = tutorial.create_clients()
    with (
        measured(result),
        patch.object(time, 'sleep', side_effect=EnoughError),
        suppress(EnoughError),
    ):
        tutorial.wait_for_tasks_to_complete(batch_client, job_id, timedelta(hours=1))


def wait(result: dict[str, float], job_id: str) -> None:
    """The script's waiting for a job, until it knows the end."""
    batch_client, _ = sample.create_clients()
    with measured(result):
        failures = sample.wait_for_tasks_to_complete(batch_client, job_id, timedelta(minutes=5))
    if failures:
        raise RuntimeError(f'tasks failed: {failures}')


def whole_run(result: dict[str, float], folder: str) -> None:
    """The script itself as a process, with its largest resident memory."""
    with tempfile.TemporaryDirectory() as output:
        command = [sys.executable, str(SCRIPT), '-y', '--input', folder, '--output', output]
        with measured(result):
            done = subprocess.run(command, cwd=output, check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f'the script failed:\n{done.stderr[-2000:]}')
        result['files'] = sum(1 for path in Path(output).rglob('*.mp3'))
    result['memory'] = _megabytes(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


PHASES: dict[str, Callable[..., None]] = {
    function.__name__: function
    for function in (
        upload,
        tutorial_upload,
        add_tasks,
        tutorial_add_tasks,
        poll,
        tutorial_poll,
        wait,
        whole_run,
    )
}


def main(phase: str, arguments: str) -> None:
    """Measure one phase and print the result."""
    result: dict[str, Any] = {}
    PHASES[phase](result, **json.loads(arguments))
    print(json.dumps(result))


if __name__ == '__main__':
    main(*sys.argv[1:])
