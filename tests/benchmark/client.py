"""What is measured, in a process of its own: it shares no interpreter with the local Azure.

`python -m tests.benchmark.client PHASE 'ARGUMENTS AS JSON'` prints what it measured as JSON, in the
last line.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from unittest import mock

import requests
from azure.batch.batch_auth import SharedKeyCredentials
from azure.batch.models import ResourceFile, TaskAddCollectionResult, TaskAddResult
from requests.adapters import HTTPAdapter

import batch_python_tutorial_ffmpeg as sample

from . import tutorial

SCRIPT = Path(sample.__file__)
POLLS = 7  # without news, the sixth poll and each fifth after it ask for more than the others

Result = dict[str, float]


# --- What is noted --------------------------------------------------------------------------------


@contextmanager
def measured(result: Result, connections: int = 1) -> Iterator[None]:
    """Note when the block began and ended, the memory that it took, and the requests at once.

    The times are in seconds, of the clock that all processes share. The memory is in MB.
    """
    idle = peak_memory()
    result['connections'] = connections
    result['began'] = time.monotonic()
    with Path(os.devnull).open('w') as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield
    result['ended'] = time.monotonic()
    result['memory'] = peak_memory() - idle


def peak_memory() -> float:
    """Return the largest resident memory of this process so far, in MB."""
    # On Linux, getrusage of a new process begins with the peak of the process that started it.
    try:
        status = Path('/proc/self/status').read_text(encoding='ascii')
    except OSError:
        return megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

    kilobytes = status.partition('VmHWM:')[2].split()[0]
    return int(kilobytes) / 1000


def megabytes(maxrss: int) -> float:
    """Return what getrusage says in MB: it counts bytes on macOS, elsewhere kilobytes."""
    if sys.platform == 'darwin':
        return maxrss / 1e6
    return maxrss / 1e3


# --- Uploads --------------------------------------------------------------------------------------


def upload(result: Result, folder: str) -> None:
    """The script's upload of all files in a folder."""
    batch_client, blob_client = sample.create_clients()
    videos = sample.find_videos(Path(folder))
    options = sample.parse_arguments([])
    sample.set_limits(options, videos)
    for container in (sample._INPUT_CONTAINER_NAME, sample._OUTPUT_CONTAINER_NAME):
        blob_client.create_container(container)
    now = sample.azure_now(blob_client)
    lock = sample.take_lock(blob_client)
    run = sample.Run(options, videos, batch_client, blob_client, lock, now, time.monotonic())
    at_once = min(sample._CONNECTIONS, len(videos) * options.max_concurrency)

    with measured(result, connections=at_once):
        sample.upload_videos(run)


def floor_of_uploads(result: Result, folder: str) -> None:
    """The same blobs with their MD5, put by as many threads that do nothing else."""
    _, blob_client = sample.create_clients()
    blob_client.create_container('floor')
    url, sas = sample.get_container_sas_url(blob_client, 'floor', 'cw').split('?')
    paths = sorted(Path(folder).iterdir())
    session = session_for_threads()

    def put(path: Path) -> None:
        content = path.read_bytes()
        digest = hashlib.md5(content, usedforsecurity=False).digest()
        headers = {
            'x-ms-blob-type': 'BlockBlob',
            'x-ms-version': '2025-01-05',
            'Content-MD5': base64.b64encode(digest).decode(),
        }
        answer = session.put(f'{url}/{path.name}?{sas}', data=content, headers=headers)
        answer.raise_for_status()

    with measured(result, connections=sample._CONNECTIONS):
        run_in_threads(put, paths)


def session_for_threads() -> requests.Session:
    """Return a session with a connection for each thread."""
    session = requests.Session()
    session.mount('http://', HTTPAdapter(pool_maxsize=sample._CONNECTIONS))
    return session


def run_in_threads(action: Callable[[Any], None], items: Sequence[Any]) -> None:
    """Run an action for all items, as many at once as the script does."""
    with ThreadPoolExecutor(sample._CONNECTIONS) as threads:
        for _ in threads.map(action, items):
            pass


def tutorial_upload(result: Result, folder: str) -> None:
    """The tutorial's upload of all files in a folder."""
    _, blob_client = tutorial.create_clients()
    paths = sorted(Path(folder).iterdir())
    blob_client.create_container('tutorial')

    with measured(result):
        tutorial.upload_input_files(blob_client, 'tutorial', paths)


# --- Tasks ----------------------------------------------------------------------------------------


def add_tasks(result: Result, job_id: str, count: int) -> None:
    """The script's adding of tasks."""
    batch_client, _ = sample.create_clients()
    files = input_files(count)
    sample.create_job(batch_client, job_id, sample._POOL_ID)

    with measured(result, connections=sample._CONNECTIONS):
        sample.add_tasks(batch_client, job_id, files, output_url())


def tutorial_add_tasks(result: Result, job_id: str, count: int) -> None:
    """The tutorial's adding of tasks."""
    sample.create_job(sample.create_clients()[0], job_id, sample._POOL_ID)
    batch_client, _ = tutorial.create_clients()
    files = input_files(count)

    with measured(result):
        tutorial.add_tasks(batch_client, job_id, files, output_url())


def floor_of_adding(result: Result, job_id: str, count: int) -> None:
    """The same tasks as JSON that is ready, posted in hundreds by as many threads."""
    batch_client, _ = sample.create_clients()
    sample.create_job(batch_client, job_id, sample._POOL_ID)
    bodies = ready_bodies(batch_client, count)
    session = session_for_threads()
    key = SharedKeyCredentials(sample._BATCH_ACCOUNT_NAME, sample._BATCH_ACCOUNT_KEY)
    key.signed_session(session)
    headers = {'Content-Type': 'application/json; odata=minimalmetadata; charset=utf-8'}
    version = sample._BATCH_API_VERSION
    url = f'{sample._BATCH_ACCOUNT_URL}/jobs/{job_id}/addtaskcollection?api-version={version}'

    def post(body: bytes) -> None:
        date = format_datetime(datetime.now(UTC), usegmt=True)
        answer = session.post(url, data=body, headers=headers | {'ocp-date': date})
        answer.raise_for_status()

    with measured(result, connections=sample._CONNECTIONS):
        run_in_threads(post, bodies)


def ready_bodies(batch_client: Any, count: int) -> list[bytes]:
    """Return what the script sends for so many tasks."""
    bodies = []

    def keep(_job_id: str, tasks: Sequence[Any]) -> TaskAddCollectionResult:
        values = [task.serialize() for task in tasks]
        bodies.append(json.dumps({'value': values}).encode())
        added = [TaskAddResult(status='success', task_id=task.id) for task in tasks]
        return TaskAddCollectionResult(value=added)

    with mock.patch.object(batch_client.task, 'add_collection', keep):
        sample.add_tasks(batch_client, 'none', input_files(count), output_url())
    return bodies


# As long as a real one: the time that a task takes depends on it.
SAS = f'se=2030-01-01T00%3A00%3A00Z&sp=r&sv=2025-01-05&sr=b&sig={"x" * 46}'


def input_files(count: int) -> list[ResourceFile]:
    """Return so many input files, as if they were uploaded."""
    files = []
    for number in range(count):
        name = f'video-{number:05}.mp4'
        url = f'{sample._STORAGE_ACCOUNT_URL}/input/{name}?{SAS}'
        files.append(ResourceFile(http_url=url, file_path=name))
    return files


def output_url() -> str:
    """Return a URL of the output container."""
    return f'{sample._STORAGE_ACCOUNT_URL}/output?{SAS}'


# --- Polls ----------------------------------------------------------------------------------------


class EnoughError(Exception):
    """Enough polls were seen."""


class PollCounter:
    """Lets the script stop after some polls, as a signal does."""

    def __init__(self) -> None:
        self.polls = 0

    def look(self, response: requests.Response, *_: Any, **__: Any) -> None:
        """Look at an answer of Batch. A poll begins with the task counts."""
        if '/taskcounts' in response.request.path_url:
            self.polls += 1
        if self.polls == POLLS:
            sample.stop.reason = EnoughError()  # the script's next pause raises it


def poll(result: Result, job_id: str) -> None:
    """Several polls of the script, with the pauses between them."""
    batch_client, _ = sample.create_clients()
    counter = PollCounter()
    batch_client.config.hooks.append(counter.look)

    with measured(result), suppress(EnoughError):
        sample.wait_for_tasks_to_complete(batch_client, job_id, timedelta(hours=1))
    if counter.polls != POLLS:
        raise RuntimeError(f'{counter.polls} polls were seen instead of {POLLS}')


def tutorial_poll(result: Result, job_id: str) -> None:
    """One poll of the tutorial."""
    batch_client, _ = tutorial.create_clients()

    with measured(result):
        tutorial.all_tasks_have_completed(batch_client, job_id)


def wait(result: Result, job_id: str, pool_id: str) -> None:
    """The script's waiting for a job, until it knows the end."""
    batch_client, _ = sample.create_clients()

    with measured(result):
        why_unfinished = sample.wait_for_tasks_to_complete(
            batch_client, job_id, timedelta(minutes=5), pool_id=pool_id
        )

    for video in sample.read_results(batch_client, job_id, why_unfinished).values():
        if video.status != 'ok':
            raise RuntimeError(f'task {video.task_id} failed: {video.reason}')


# --- The whole script -----------------------------------------------------------------------------


def whole_run(result: Result, folder: str) -> None:
    """The script itself as a process, with its largest resident memory."""
    videos = len(list(Path(folder).iterdir()))

    with tempfile.TemporaryDirectory() as output:
        command = [sys.executable, str(SCRIPT), '-y', '--input', folder, '--output', output]
        with measured(result, connections=sample._CONNECTIONS):
            done = subprocess.run(command, cwd=output, check=False, capture_output=True, text=True)

        outputs = len(list(Path(output).glob('*.mp3')))
        if done.returncode != 0 or outputs != videos:
            raise RuntimeError(f'{outputs} of {videos} MP3s arrived:\n{done.stderr[-2000:]}')
    result['memory'] = megabytes(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


PHASES: dict[str, Callable[..., None]] = {
    'upload': upload,
    'floor_of_uploads': floor_of_uploads,
    'tutorial_upload': tutorial_upload,
    'add_tasks': add_tasks,
    'floor_of_adding': floor_of_adding,
    'tutorial_add_tasks': tutorial_add_tasks,
    'poll': poll,
    'tutorial_poll': tutorial_poll,
    'wait': wait,
    'whole_run': whole_run,
}


def main(phase: str, arguments: str) -> None:
    """Measure one phase and print the result."""
    result: Result = {}
    measure = PHASES[phase]
    measure(result, **json.loads(arguments))
    print(json.dumps(result))


if __name__ == '__main__':
    main(*sys.argv[1:])
