"""Convert MP4 videos to MP3 in parallel on Azure Batch.

This is the sample of the tutorial "Run a parallel workload with Azure Batch using the Python API":

1. Upload the videos of InputFiles/ to a container in Azure Storage.
2. Create a pool of compute nodes. Each node installs ffmpeg when it starts.
3. Create a job, and add one task for each video. ffmpeg converts it, the node uploads the MP3.
4. Wait for the tasks, and look at the result of every one.
5. Download the MP3s to OutputFiles/.
6. Delete the input container and, if you agree, the job and the pool. (If you have agreed in
   advance, by -y, the pool is deleted before step 5.)

Put the names of your accounts into the settings below, and run

    python batch_python_tutorial_ffmpeg.py

Exit codes: 0 all converted; 1 failed or damaged files, other errors; 2 wrong usage; 130 interrupted

Part 1 of this file is the tutorial: read it from top to bottom. Part 2 makes it dependable.
"""

# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "azure-batch==14.2.0",
#   "azure-identity==1.27.0",
#   "azure-storage-blob==12.31.1",
#   "msrestazure==0.6.4.post1",
#   "requests==2.34.2",
#   "rich==15.0.0",
#   "urllib3==2.8.0",
# ]
# ///

import argparse
import concurrent.futures
import contextlib
import functools
import hashlib
import io
import logging
import os
import re
import signal
import sys
import textwrap
import threading
import time
import unicodedata
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, Self, TextIO

try:
    import requests
    import rich.cells
    import rich.filesize
    from azure.batch import BatchServiceClient, models as batchmodels
    from azure.batch.batch_auth import SharedKeyCredentials
    from azure.batch.custom.custom_errors import CreateTasksErrorException
    from azure.core.exceptions import (
        AzureError,
        ClientAuthenticationError,
        DeserializationError,
        HttpResponseError,
    )
    from azure.identity import DefaultAzureCredential
    from azure.storage.blob import (
        BlobServiceClient,
        ExponentialRetry,
        generate_blob_sas,
        generate_container_sas,
    )
    from msrest.exceptions import ClientException, ClientRequestError
    from msrestazure.azure_active_directory import AdalAuthentication
    from requests.adapters import HTTPAdapter
    from rich.console import Console
    from rich.table import Table
    from urllib3 import Retry
except ModuleNotFoundError as missing:
    print(f'Error: {missing}. Run: pip install -r requirements.txt', file=sys.stderr)
    sys.exit(2)


# ==================================================================================================
# Part 1: the tutorial
# ==================================================================================================

# --- Settings -------------------------------------------------------------------------------------


def setting(variable: str, value: str) -> str:
    """Return the environment variable if it is set, and otherwise the value that stands here."""
    # What was copied from a file may come with a line end or in quotes.
    return os.getenv(variable, value).strip().strip('\'"').strip()


# Replace the values in <...>, or set the environment variables beside them.
_BATCH_ACCOUNT_NAME = setting('AZURE_BATCH_ACCOUNT', '<Batch account>')
_BATCH_ACCOUNT_KEY = setting('AZURE_BATCH_ACCESS_KEY', '')  # empty: sign in with Entra ID
_BATCH_ACCOUNT_URL = setting(
    'AZURE_BATCH_ENDPOINT', 'https://<Batch account>.<region>.batch.azure.com'
)
_STORAGE_ACCOUNT_NAME = setting('AZURE_STORAGE_ACCOUNT', '<storage account>')
_STORAGE_ACCOUNT_KEY = setting('AZURE_STORAGE_KEY', '')  # empty: sign in with Entra ID
_STORAGE_ACCOUNT_URL = setting(
    'AZURE_STORAGE_SERVICE_ENDPOINT', f'https://{_STORAGE_ACCOUNT_NAME}.blob.core.windows.net'
)

_INPUT_CONTAINER_NAME = 'input'  # created by each run, and deleted at its end
_OUTPUT_CONTAINER_NAME = 'output'  # created if it does not exist, never deleted

_POOL_ID = 'LinuxFFmpegPool'
_DEDICATED_POOL_NODE_COUNT = 0
_LOW_PRIORITY_POOL_NODE_COUNT = 5  # Spot nodes: much cheaper, but Azure may take them back
_POOL_VM_SIZE = 'STANDARD_A1_v2'
_POOL_IMAGE = {
    'publisher': 'canonical',
    'offer': 'ubuntu-24_04-lts',
    'sku': 'server-gen1',  # A1_v2 boots images of generation 1 only; others may need 'server'
    'version': 'latest',
}
_POOL_NODE_AGENT_SKU_ID = 'batch.node.ubuntu 24.04'  # goes with the image

_JOB_ID = 'LinuxFFmpegJob'
_JOB_TIMEOUT = timedelta(minutes=30)  # for all tasks together, waiting for the nodes included
_MARGIN = timedelta(minutes=30)  # added to the time limits for the job, its nodes and each SAS
_UPLOAD_TIMEOUT = timedelta(hours=2)  # for all uploads together
# Another format is '.m4a' with the options '-vn -c:a aac'.
_OUTPUT_FORMAT = {'extension': '.mp3', 'ffmpeg_options': ''}


# --- What the nodes run ---------------------------------------------------------------------------
#
# Batch starts a command line without a shell, so each of these starts one.
#
# A fresh Ubuntu installs updates when it boots, and holds the lock of apt for minutes. So the start
# task tries up to 20 times. It also runs at every reboot, and then finds ffmpeg at once.

_START_TASK_COMMAND = (
    "/bin/bash -c 'export DEBIAN_FRONTEND=noninteractive; "
    'for attempt in {1..20}; do '
    'command -v ffmpeg && exit 0; '
    'apt-get update && apt-get install -y --no-install-recommends ffmpeg || sleep 15; '
    "done; command -v ffmpeg'"
)

# ffmpeg ends with exit code 0 even if half of the video is missing or unreadable, but then it
# prints errors. The task then ends with exit code 3 and keeps its MP3: the video is damaged. (One
# that ffmpeg cannot open at all has failed: then there is no MP3.)
#
# `grep -a ^` copies every line. Its own exit code tells whether there was one: 1 means there was
# none. (In a file the errors would be lost when the disk is full.) PIPESTATUS holds the exit codes
# of ffmpeg and of grep. The option -abort_on lets a video fail whose audio track is empty.

_DAMAGED_EXIT_CODE = 3


def task_command() -> str:
    """Return the command line of every task: input.mp4 becomes output.mp3, on every node."""
    output = output_name('output')
    options = _OUTPUT_FORMAT['ffmpeg_options']
    return (
        "/bin/bash -c '"
        'ffmpeg -nostdin -loglevel error -abort_on empty_output_stream -y '
        f'-i input.mp4 {options} {output} 2>&1 | grep -a ^ >&2; '
        'code=${PIPESTATUS[0]} grep_code=${PIPESTATUS[1]}; '
        f'if [ $code -ne 0 ]; then rm -f {output}; exit $code; fi; '
        f"if [ $grep_code -ne 1 ]; then exit {_DAMAGED_EXIT_CODE}; fi'"
    )


def output_name(video: str) -> str:
    """Return the name of what a video becomes: 'sub/a.b.mp4' becomes 'sub/a.b.mp3'."""
    return PurePosixPath(video).with_suffix(_OUTPUT_FORMAT['extension']).as_posix()


# --- The whole run --------------------------------------------------------------------------------


def convert_videos(run: 'Run') -> None:
    """Take the steps of the tutorial, one after the other.

    `convert_and_clean_up` in part 2 calls this, and then `clean_up`, step 6, whatever happens here.
    """
    batch_client, blob_client, options = run.batch_client, run.blob_client, run.options

    create_container(blob_client, _INPUT_CONTAINER_NAME)
    create_container(blob_client, _OUTPUT_CONTAINER_NAME)
    run.since = creation_time(blob_client, _INPUT_CONTAINER_NAME)  # ignore older MP3s
    input_files = upload_videos(blob_client, run.videos, options.timeout)
    output_container_sas_url = get_container_sas_url(
        blob_client,
        _OUTPUT_CONTAINER_NAME,
        'cw',  # create and write
        timeout=options.timeout,
    )

    create_pool(
        batch_client,
        _POOL_ID,
        dedicated_nodes=options.dedicated_nodes,
        low_priority_nodes=options.low_priority_nodes,
        vm_size=options.vm_size,
    )
    create_job(batch_client, _JOB_ID, _POOL_ID, timeout=options.timeout)
    add_tasks(batch_client, _JOB_ID, input_files, output_container_sas_url)
    run.results = wait_for_tasks_to_complete(
        batch_client,
        _JOB_ID,
        options.timeout,
        pool_id=_POOL_ID,
        dedicated_nodes=options.dedicated_nodes,
        low_priority_nodes=options.low_priority_nodes,
    )

    find_outputs(run)
    print_success(run)
    delete_pool_early(run)  # if you need not be asked: it bills
    download_outputs(run)
    print_report(run)


# --- Step 1: upload the videos --------------------------------------------------------------------
#
# The nodes cannot see your disk. What they read and write are blobs (files) in containers (folders)
# of an Azure Storage account: the videos in one container, the MP3s in another.


def create_container(blob_service_client: BlobServiceClient, container_name: str) -> None:
    """Create a container, or use the one of that name."""
    container = blob_service_client.get_container_client(container_name)

    existing = create_or_find(
        f'Container [{container_name}]',
        functools.partial(container.create_container, metadata=run_metadata()),
        container.get_container_properties,
    )

    if existing is None or is_ours(existing, this_run=True):  # the latter if an answer was lost
        say(f'Container [{container_name}] created.')
    else:
        say(f'Container [{container_name}] exists and is used again.')
        if is_ours(existing):  # left by an earlier run; this one takes it over
            container.set_container_metadata(run_metadata())


# A node has no password for the storage account. It gets a URL with a SAS (shared access
# signature): permission for one thing, for a limited time. Here it is to read this one video, for
# three hours by default: two for the uploads, half an hour for the tasks, and half an hour more.
# Whoever has the URL has the permission, so it is never printed.
#
# `upload_videos` in part 2 calls this function for each video, for many at once.


def upload_file_to_container(
    blob_service_client: BlobServiceClient,
    container_name: str,
    file_path: str | Path,
    *,
    blob_name: str = '',
    timeout: timedelta = _JOB_TIMEOUT,
    **upload_options: Any,
) -> Any:
    """Upload a file, and return it as a resource file: a URL from which a node can download it."""
    blob_name = blob_name or Path(file_path).name
    blob_client = blob_service_client.get_blob_client(container_name, blob_name)

    with Path(file_path).open('rb') as data:
        blob_client.upload_blob(data, overwrite=True, validate_content=True, **upload_options)

    sas_token = generate_blob_sas(
        account_name=_STORAGE_ACCOUNT_NAME,
        container_name=container_name,
        blob_name=blob_name,
        permission='r',
        **key_and_expiry(blob_service_client, timeout),
    )

    return batchmodels.ResourceFile(
        http_url=f'{blob_client.url}?{sas_token}',
        file_path=blob_name,  # names the video; `add_tasks` names the file on the node
    )


# The nodes write their MP3s with a SAS of the output container. It permits to create and to write
# blobs ('cw'), not to read, list or delete them.


def get_container_sas_url(
    blob_service_client: BlobServiceClient,
    container_name: str,
    blob_permissions: Any,
    *,
    timeout: timedelta = _JOB_TIMEOUT,
) -> str:
    """Return the URL of a container with a SAS that grants `blob_permissions`."""
    sas_token = generate_container_sas(
        account_name=_STORAGE_ACCOUNT_NAME,
        container_name=container_name,
        permission=blob_permissions,
        **key_and_expiry(blob_service_client, timeout),
    )
    container = blob_service_client.get_container_client(container_name)
    return f'{container.url}?{sas_token}'


# --- Step 2: create a pool ------------------------------------------------------------------------
#
# A pool is a number of virtual machines, the compute nodes, all of one size and with one image. You
# pay for each node from the moment it exists until it is gone, whether it works or not. The bill
# ends when the pool is deleted. If you keep the pool, or this machine disappears, Batch removes the
# nodes half an hour after the time limit for the tasks. It does so by a formula (`nodes_formula`)
# that the pool gets when its nodes are there. Before that, only deleting the pool ends the bill.
#
# Low-priority (Spot) nodes cost a fraction of dedicated ones. In return Azure may take one away at
# any time, and Batch then runs its task again on another. Blobs bill by their size, the MP3s in the
# output container until you delete them. Jobs and tasks are free.
#
# Each node runs the start task before it takes any other. Here it installs ffmpeg, which is why it
# runs as administrator. The tasks that follow need no such rights, and do not get them.


def create_pool(
    batch_service_client: BatchServiceClient,
    pool_id: str,
    *,
    dedicated_nodes: int = _DEDICATED_POOL_NODE_COUNT,
    low_priority_nodes: int = _LOW_PRIORITY_POOL_NODE_COUNT,
    vm_size: str = _POOL_VM_SIZE,
) -> None:
    """Create a pool whose nodes install ffmpeg, or use an existing one with the same settings."""
    say(f'Creating pool [{pool_id}]...')
    pool = batchmodels.PoolAddParameter(
        id=pool_id,
        virtual_machine_configuration=batchmodels.VirtualMachineConfiguration(
            image_reference=batchmodels.ImageReference(**_POOL_IMAGE),
            node_agent_sku_id=_POOL_NODE_AGENT_SKU_ID,
        ),
        vm_size=vm_size,
        target_dedicated_nodes=dedicated_nodes,
        target_low_priority_nodes=low_priority_nodes,
        start_task=batchmodels.StartTask(
            command_line=_START_TASK_COMMAND,
            wait_for_success=True,
            max_task_retry_count=2,
            user_identity=batchmodels.UserIdentity(
                auto_user=batchmodels.AutoUserSpecification(
                    scope=batchmodels.AutoUserScope.pool,
                    elevation_level=batchmodels.ElevationLevel.admin,
                ),
            ),
        ),
        metadata=batch_metadata(),
    )
    add_or_use_pool(batch_service_client, pool)


# --- Step 3: create a job and its tasks -----------------------------------------------------------
#
# A job is a collection of tasks that run on one pool. Batch itself ends it half an hour after its
# time limit, even if this machine has disappeared by then.


def create_job(
    batch_service_client: BatchServiceClient,
    job_id: str,
    pool_id: str,
    *,
    timeout: timedelta = _JOB_TIMEOUT,
) -> None:
    """Create a job on a pool."""
    say(f'Creating job [{job_id}]...')
    job = batchmodels.JobAddParameter(
        id=job_id,
        pool_info=batchmodels.PoolInformation(pool_id=pool_id),
        constraints=batchmodels.JobConstraints(max_wall_clock_time=timeout + _MARGIN),
        metadata=batch_metadata(),
    )
    add_job(batch_service_client, job)


# A task is one command line on one node. The node downloads the resource files of the task before
# it starts, and uploads its output files when it has ended. It does so whether the task succeeded
# or not (`task_completion`), because the MP3 of a damaged video is worth having. The files have the
# same names on every node, so that the name of a video never becomes part of a command.
#
# A task that fails stops no other. It is not tried again: what fails is nearly always the video,
# and fails the second time, too. (Tasks of nodes that Azure took back are another matter: Batch
# repeats them by itself.)


def add_tasks(
    batch_service_client: BatchServiceClient,
    job_id: str,
    input_files: Sequence[Any],
    output_container_sas_url: str,
) -> None:
    """Add one task for each input file."""
    say(f'Adding {len(input_files)} tasks to job [{job_id}]...')
    tasks = []
    for number, input_file in enumerate(input_files):
        task = batchmodels.TaskAddParameter(
            id=f'Task{number}',
            display_name=input_file.file_path,
            command_line=task_command(),
            resource_files=[
                batchmodels.ResourceFile(http_url=input_file.http_url, file_path='input.mp4'),
            ],
            output_files=[
                batchmodels.OutputFile(
                    file_pattern=output_name('output'),
                    destination=batchmodels.OutputFileDestination(
                        container=batchmodels.OutputFileBlobContainerDestination(
                            container_url=output_container_sas_url,
                            path=output_name(input_file.file_path),
                        ),
                    ),
                    upload_options=batchmodels.OutputFileUploadOptions(
                        upload_condition=batchmodels.OutputFileUploadCondition.task_completion,
                    ),
                ),
            ],
            constraints=batchmodels.TaskConstraints(max_task_retry_count=0),
        )
        tasks.append(task)

    add_in_hundreds(batch_service_client, job_id, tasks)


# --- Step 4: wait for the tasks, and look at their results ----------------------------------------
#
# The service sends no message when a task ends, so a client has to ask. `Monitor` first asks for
# the counts of active, running and completed tasks. That costs little, but they may be seconds old.
# When they say that all are done, it looks for an unfinished task in the list. It also shows how
# far the tasks are, and notices when they can never be done because the pool has no nodes.


def wait_for_tasks_to_complete(
    batch_service_client: BatchServiceClient,
    job_id: str,
    timeout: timedelta,
    *,
    pool_id: str = _POOL_ID,
    dedicated_nodes: int = _DEDICATED_POOL_NODE_COUNT,
    low_priority_nodes: int = _LOW_PRIORITY_POOL_NODE_COUNT,
) -> dict[str, 'VideoResult']:
    """Return what became of each video, when all tasks are done or the time is over."""
    say(f"Monitoring all tasks for 'Completed' state, timeout in {timeout!s:0>8}...")
    deadline = time.monotonic() + timeout.total_seconds()

    # By this formula Batch removes the nodes when the time is over, even without this program.
    nodes = nodes_formula(dedicated_nodes, low_priority_nodes, timeout + _MARGIN)

    with Monitor(batch_service_client, job_id, pool_id, timeout, nodes) as monitor:
        while not monitor.all_tasks_are_done():
            if monitor.problem or time.monotonic() > deadline:
                break
            monitor.wait_for_next_poll(deadline)
        results: dict[str, VideoResult] = monitor.ask_patiently(
            functools.partial(read_results, batch_service_client, job_id, monitor.problem)
        )

    unfinished = sum(not result.done for result in results.values())
    if unfinished and not monitor.problem:
        warn(
            f'Timeout: {timeout!s:0>8} have passed, and {unfinished} tasks are not done. '
            'Give them more time with --timeout.'
        )

    return results


# "Completed" only means that a task has ended. Whether it succeeded is in its execution info: the
# result, the exit code of the command line and, if Batch itself failed, a code and a message.


def read_results(
    batch_service_client: BatchServiceClient, job_id: str, problem: str = ''
) -> dict[str, 'VideoResult']:
    """Return the result of each task, by the name of its video."""
    results = {}
    options = batchmodels.TaskListOptions(
        select='id,displayName,state,creationTime,executionInfo,nodeInfo'
    )

    for task in batch_service_client.task.list(job_id, options):
        result = VideoResult(task.display_name, task.id)
        result.status, result.reason = judge(task)
        result.done = task.state == batchmodels.TaskState.completed
        if not result.done and problem:
            result.reason = f'not done: {problem}'
        add_times(result, task)
        results[result.name] = result

    add_last_words(batch_service_client, job_id, results)
    return results


def judge(task: Any) -> tuple[str, str]:
    """Return 'ok', 'damaged' or 'failed', and the reason."""
    if task.state != batchmodels.TaskState.completed:
        return 'failed', f'not done: {task.state.value}'

    execution = task.execution_info
    if execution.result == batchmodels.TaskExecutionResult.success:
        return 'ok', ''
    if execution.exit_code == _DAMAGED_EXIT_CODE:
        return 'damaged', 'ffmpeg reported errors'

    failure = execution.failure_info
    code = failure.code if failure else 'FailureExitCode'
    if code == 'FailureExitCode' or (code.startswith('FileUpload') and execution.exit_code):
        # ffmpeg has failed. It left no MP3, so Batch may call that a failed upload.
        return 'failed', f'exit code {execution.exit_code}'

    return 'failed', describe_code(code, failure.message, _BATCH_REMEDIES)


# --- Step 5: download the MP3s --------------------------------------------------------------------
#
# A task's success is not enough: its MP3 must be in the output container, complete and not empty.
# Older files of the same name are of an earlier run, and do not count.


def find_outputs(run: 'Run') -> None:
    """Find the MP3 of each video. A video without one has failed, whatever its task said."""
    no_task = 'its task is gone: somebody has deleted it'
    run.results = {
        name: run.results.get(name, VideoResult(name, status='failed', reason=no_task))
        for name in run.videos
    }

    sizes = output_sizes(run)
    for name, result in run.results.items():
        result.output_size = sizes.get(output_name(name), 0)
        if result.output_size == 0 and result.status != 'failed':
            missing = 'empty' if output_name(name) in sizes else 'missing'
            result.reason = f'the task has ended, but its MP3 is {missing}'
            result.status = 'failed'


def print_success(run: 'Run') -> None:
    """Print the tutorial's last message if it is true."""
    if all(result.status == 'ok' for result in run.results.values()):
        say('Success! All tasks completed successfully within the specified timeout period.')


def download_outputs(run: 'Run') -> None:
    """Download the MP3s of all videos that were converted, and of the damaged ones as well."""
    folder = run.options.output
    found = [result for result in run.results.values() if result.status != 'failed']
    say(f'Downloading {len(found)} files from container [{_OUTPUT_CONTAINER_NAME}] to {folder}...')

    def download(result: 'VideoResult') -> None:
        problem = download_output(run.blob_client, result, folder, blocks_at_once(len(found)))
        if problem:
            result.status, result.reason = 'failed', problem
        else:
            run.arrived.append(result.name)

    with Progress('Downloading', len(found)) as progress:
        in_parallel(download, found, progress.show)


# --- Step 6: clean up -----------------------------------------------------------------------------
#
# This also happens after an error or Ctrl-C: nodes that nobody needs any more are the expensive
# part of a failed run. Only what this run has created is deleted. What is left is named, with the
# command that deletes it.


def clean_up(run: 'Run') -> bool:
    """Delete the inputs and, if the user agrees, job and pool. Return whether that worked."""
    cleanup = Cleanup(run)

    if cleanup.tasks_are_unfinished():  # if the user keeps the job, it still needs its inputs
        cleanup.delete_job()
        cleanup.delete_inputs()
    else:
        cleanup.delete_inputs()
        cleanup.delete_job()

    cleanup.delete_pool()

    cleanup.say_what_is_left()
    return cleanup.worked


# ==================================================================================================
# Part 2: what makes it dependable
# ==================================================================================================

# --- Command line ---------------------------------------------------------------------------------
#
# A wrong option must not show after nodes have been paid for. So all are read at once, and passed
# on as values. Where an option is not given, the setting of part 1 counts.


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        usage='%(prog)s [options]',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(
        input=Path(__file__).with_name('InputFiles'),
        output=Path('OutputFiles'),
        dedicated_nodes=_DEDICATED_POOL_NODE_COUNT,
        low_priority_nodes=_LOW_PRIORITY_POOL_NODE_COUNT,
        vm_size=_POOL_VM_SIZE,
        timeout=_JOB_TIMEOUT,
    )
    add = parser.add_argument
    add('--input', type=folder_path, metavar='DIR', help='take every .mp4 in this folder and below')
    add('--output', type=folder_path, metavar='DIR', help='put the MP3s here')
    add('--missing', action='store_true', help='take only videos that have no MP3 there yet')
    add('--check', action='store_true', help='only check what can be checked, create nothing')
    add('--dedicated', dest='dedicated_nodes', type=count, metavar='N', help='dedicated nodes')
    add('--low-priority', dest='low_priority_nodes', type=count, metavar='N', help='Spot nodes')
    add('--vm-size', metavar='SIZE', help='size of each node')
    add('--timeout', type=minutes, metavar='MINUTES', help='time limit for all tasks together')

    add = parser.add_mutually_exclusive_group().add_argument
    yes, no = 'delete job and pool (and an old job) without asking', 'keep job and pool'
    add('-y', dest='answer', action='store_const', const='yes', help=yes)
    add('--keep', dest='answer', action='store_const', const='no', help=no)
    return parser.parse_args(argv)


def folder_path(text: str) -> Path:
    """Return a folder. The shell does not replace the ~ in `--output=~/Music`."""
    return Path(text).expanduser()


def count(text: str) -> int:
    """Return a number of nodes."""
    if int(text) < 0:
        raise argparse.ArgumentTypeError('a number of nodes cannot be negative')
    return int(text)


def minutes(text: str) -> timedelta:
    """Return a time limit of more than 0 minutes."""
    if not 0.01 < float(text) <= _LONGEST_TIMEOUT / timedelta(minutes=1):
        raise argparse.ArgumentTypeError(
            f'{text}: it must be more than 0 minutes, and up to 6 days (8640)'
        )
    return timedelta(minutes=float(text))


# --- Limits ---------------------------------------------------------------------------------------
#
# Limits that are written twice will differ one day, and a SAS end before the job. These are the
# ones that nobody needs to change.

_LONGEST_TIMEOUT = timedelta(days=6)  # without the account key, a SAS lives 7 days at most
_DELETION_TIMEOUT = timedelta(minutes=10)  # for a pool or job that is still being deleted
_NODES_CHECK = timedelta(minutes=5)  # how often Batch looks at the formula that ends the nodes
_LEASE_SECONDS = 60  # the longest that Azure Storage has; the shortest is 15

_CONNECTIONS = 32  # requests under way at once
_BLOCK_SIZE = 4 * 1024 * 1024  # bytes; larger files travel in blocks of this size
_FIRST_RETRIES = 4  # until a service has answered once: about 15 seconds
_RETRIES = 8  # later: about a minute
_SLICE = 0.2  # seconds between two looks at whether the run has to stop
_SHOWN_FILES = 20  # rows of the table, and files whose last words are fetched from their nodes
_BATCH_API_VERSION = '2025-06-01'  # azure-batch 14.2.0 sends 2024-02-01, which Batch will retire


# --- Checks of the settings -----------------------------------------------------------------------
#
# A wrong setting that is found late has cost an upload, or nodes that do nothing. So all are
# checked before anything is contacted, and all that are wrong are named at once.


class SampleError(Exception):
    """Something that the user should know about: the message says what, why and the way out."""


class UsageError(SampleError):
    """A wrong option, setting or folder, found before anything was contacted."""


# The form of a setting: a pattern, and how it is called in a message.
_ACCOUNT_FORM = ('[a-z0-9]{3,24}', '3 to 24 lower-case letters and digits')
_KEY_FORM = (
    '([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?',
    'base64, as the portal shows it',
)
_URL_FORM = (
    r'https://([\w-]{1,63}\.)+\w+/?'  # of Azure
    r'|https?://(localhost|127\.[\d.]+|\[::1\])(:\d+)?(/\w*)*',  # of an emulator on this machine
    'https:// and the name of a host',
)
_CONTAINER_FORM = (
    '(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*',
    'lower-case letters, digits and single hyphens',
)
_EXTENSION_FORM = (r'\.[a-z0-9]+', 'a dot and letters, such as .mp3')
_ID_FORM = ('[A-Za-z0-9_-]{1,64}', 'letters, digits, hyphens and underscores')


def check_settings(options: argparse.Namespace) -> None:
    """Pass if the settings can be right, or raise a UsageError that names each that cannot."""
    problems = [
        wrong_text('_BATCH_ACCOUNT_NAME', _BATCH_ACCOUNT_NAME, _ACCOUNT_FORM),
        wrong_text('_BATCH_ACCOUNT_KEY', _BATCH_ACCOUNT_KEY, _KEY_FORM),
        wrong_text('_BATCH_ACCOUNT_URL', _BATCH_ACCOUNT_URL, _URL_FORM),
        wrong_text('_STORAGE_ACCOUNT_NAME', _STORAGE_ACCOUNT_NAME, _ACCOUNT_FORM),
        wrong_text('_STORAGE_ACCOUNT_KEY', _STORAGE_ACCOUNT_KEY, _KEY_FORM),
        wrong_storage_url(),
        wrong_text('_INPUT_CONTAINER_NAME', _INPUT_CONTAINER_NAME, _CONTAINER_FORM),
        wrong_text('_OUTPUT_CONTAINER_NAME', _OUTPUT_CONTAINER_NAME, _CONTAINER_FORM),
        wrong_text('_POOL_ID', _POOL_ID, _ID_FORM),
        wrong_text('_JOB_ID', _JOB_ID, _ID_FORM),
        wrong_text("_OUTPUT_FORMAT['extension']", _OUTPUT_FORMAT['extension'], _EXTENSION_FORM),
        wrong_count('_DEDICATED_POOL_NODE_COUNT', _DEDICATED_POOL_NODE_COUNT),
        wrong_count('_LOW_PRIORITY_POOL_NODE_COUNT', _LOW_PRIORITY_POOL_NODE_COUNT),
        wrong_duration('_JOB_TIMEOUT', _JOB_TIMEOUT),
        wrong_duration('_UPLOAD_TIMEOUT', _UPLOAD_TIMEOUT),
        wrong_output(options.output),
        *wrong_together(options),
    ]
    message = '; '.join(problem for problem in problems if problem)
    if 'placeholder' in message:
        message += '. Without an Azure account:\n  python -m tests.local_azure'
    if message:
        raise UsageError(message)


def wrong_storage_url() -> str:
    """Return what is wrong with the URL, '' if nothing is, or only the name that it is made of."""
    made_of_the_name = f'https://{_STORAGE_ACCOUNT_NAME}.blob.core.windows.net'
    if made_of_the_name == _STORAGE_ACCOUNT_URL:
        return ''
    return wrong_text('_STORAGE_ACCOUNT_URL', _STORAGE_ACCOUNT_URL, _URL_FORM)


_VARIABLES = {  # the settings that can come from the environment
    '_BATCH_ACCOUNT_NAME': 'AZURE_BATCH_ACCOUNT',
    '_BATCH_ACCOUNT_KEY': 'AZURE_BATCH_ACCESS_KEY',
    '_BATCH_ACCOUNT_URL': 'AZURE_BATCH_ENDPOINT',
    '_STORAGE_ACCOUNT_NAME': 'AZURE_STORAGE_ACCOUNT',
    '_STORAGE_ACCOUNT_KEY': 'AZURE_STORAGE_KEY',
    '_STORAGE_ACCOUNT_URL': 'AZURE_STORAGE_SERVICE_ENDPOINT',
}


def wrong_text(name: str, value: object, form: tuple[str, str]) -> str:
    """Return what is wrong with a setting, '' if nothing is. A key is not shown."""
    pattern, description = form
    if isinstance(value, str) and re.fullmatch(pattern, value) and 'xxxx' not in value:
        return ''

    where = name
    variable = _VARIABLES.get(name, '')
    if variable in os.environ:
        where = f'{name} (from the variable {variable})'
    if '<' in str(value) or 'xxxx' in str(value):
        return f'{where} is still a placeholder'
    if value == '':
        return f'{where} is empty'

    shown = 'its value' if name.endswith('_KEY') else repr(value)
    return f'{where}: {shown} is not {description}'


def wrong_count(name: str, value: object) -> str:
    """Return what is wrong with a number of nodes, '' if nothing is."""
    if isinstance(value, int) and value >= 0:
        return ''
    return f'{name}: {value!r} is not a number of nodes, such as 5'


def wrong_duration(name: str, value: object) -> str:
    """Return what is wrong with a time limit, '' if nothing is."""
    if isinstance(value, timedelta) and timedelta() < value <= _LONGEST_TIMEOUT:
        return ''
    return f'{name}: {value!r} is not a duration of up to 6 days, such as timedelta(minutes=30)'


def wrong_together(options: argparse.Namespace) -> Iterator[str]:
    """Yield what is wrong with settings and options that depend on each other."""
    if options.dedicated_nodes == 0 and options.low_priority_nodes == 0:
        yield '--dedicated and --low-priority are both 0: without a node nothing is converted'
    if _OUTPUT_CONTAINER_NAME == _INPUT_CONTAINER_NAME:
        yield '_OUTPUT_CONTAINER_NAME is not other than _INPUT_CONTAINER_NAME, which is deleted'
    if not _STORAGE_ACCOUNT_KEY and _STORAGE_ACCOUNT_URL.startswith('http:'):
        yield '_STORAGE_ACCOUNT_URL: signing in without _STORAGE_ACCOUNT_KEY needs https'
    if not _BATCH_ACCOUNT_KEY and _BATCH_ACCOUNT_URL.startswith('http:'):
        yield '_BATCH_ACCOUNT_URL: signing in without _BATCH_ACCOUNT_KEY needs https'


def wrong_output(output: Path) -> str:
    """Return what is wrong with the output folder, '' if nothing is or it does not exist yet."""
    existing = output.absolute()
    while not os.path.lexists(existing):
        existing = existing.parent  # the folder in which it will be made
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return ''
    return f'--output: {output} is not a folder that you may write to'


# --- Finding the videos ---------------------------------------------------------------------------
#
# Two videos could become one MP3, and one of them would be lost. A name that Azure Storage changes
# would not be found again. Such names, and folders that cannot be read, are refused here.


def find_videos(folder: Path) -> dict[str, Path]:
    """Return the path of every .mp4 file in a folder and below, by its name relative to it."""
    if not folder.is_dir():
        raise UsageError(f'--input: {folder} is no folder.')

    paths = sorted(walk(folder))
    if not paths:
        hidden = sum(path.name.lower().endswith('.mp4') for path in folder.rglob('*.*'))
        left_out = f' but {hidden} hidden ones, which are not taken' if hidden else ''
        raise UsageError(f'--input: {folder} holds no .mp4 file{left_out}.')

    for path in paths:
        check_readable(path)

    videos = {path.relative_to(folder).as_posix(): path for path in paths}
    check_names(videos)
    return videos


def walk(folder: Path) -> Iterator[Path]:
    """Yield every .mp4 file in a folder and below that is not hidden."""
    for parent, folders, files in os.walk(folder, onerror=raise_unreadable):
        if not os.access(parent, os.X_OK):  # its names can be listed, its files not be opened
            raise UsageError(f'--input: {parent} cannot be read: permission denied.')
        folders[:] = [name for name in folders if can_be_entered(Path(parent, name))]
        for name in files:
            if name.lower().endswith('.mp4') and not name.startswith('.'):
                yield Path(parent, name)


def raise_unreadable(error: OSError) -> None:
    """Refuse a folder that cannot be read."""
    raise UsageError(f'--input: {error.filename} cannot be read: {error.strerror}.')


def can_be_entered(folder: Path) -> bool:
    """Return whether videos are looked for in a sub-folder; say so if it is a link."""
    if folder.name.startswith('.') or folder.name in ('$RECYCLE.BIN', '@eaDir'):
        return False
    if folder.is_symlink():
        warn(f'Not looked into: {folder} is a link to a folder.')
        return False
    return True


def check_readable(path: Path) -> None:
    """Refuse a video that cannot be read, such as a link to a file that is gone."""
    if not path.is_file():
        raise UsageError(f'--input: {path} is not a file, or a link to nowhere.')
    if not os.access(path, os.R_OK):
        raise UsageError(f'--input: {path} cannot be read: permission denied.')


_CONTROL_CHARACTERS = re.compile('[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]')


def check_names(names: Collection[str]) -> None:
    """Refuse names that Azure Storage would change, and two that would become one MP3."""
    outputs: dict[str, str] = {}
    for name in names:
        if problem := name_problem(name):
            shown = name if name.isprintable() else ascii(name)
            raise UsageError(f'Rename {shown}: {problem}.')

        # Some disks ignore case, or the difference between a letter with an accent and a letter
        # followed by an accent.
        same_file = unicodedata.normalize('NFC', output_name(name).casefold())
        other = outputs.setdefault(same_file, name)
        if other != name:
            raise UsageError(f'{other} and {name} both become {output_name(name)}: rename one.')

    for name in names:
        for parent in PurePosixPath(name).parents:
            other = outputs.get(unicodedata.normalize('NFC', parent.as_posix().casefold()), '')
            if other:
                raise UsageError(f'{other} becomes a file where {name} needs a folder: rename one.')


def name_problem(name: str) -> str:
    """Return why Azure Storage cannot keep a name as it is, '' if it can."""
    if _CONTROL_CHARACTERS.search(name):
        return 'it holds characters that cannot be shown'
    if '\\' in name:
        return 'Azure Storage turns a backslash into a slash'
    if any(part.endswith('.') for part in PurePosixPath(name).parts):
        return 'Azure Storage drops the dot at the end of a folder name'
    if len(name) > 1024:
        return 'Azure Storage allows 1,024 characters'

    return ''


def leave_out_converted(videos: dict[str, Path], output: Path) -> dict[str, Path]:
    """Return the videos that have no MP3 in the output folder yet."""
    missing = {
        name: path for name, path in videos.items() if not (output / output_name(name)).is_file()
    }
    left_out = len(videos) - len(missing)
    say(f'{left_out} of {len(videos)} videos have an MP3 in {output} and are left out.')
    return missing


# --- Clients and sign-in --------------------------------------------------------------------------
#
# One lost connection would end a run of hours. So the clients repeat what is likely to be
# temporary, with growing pauses. They sign in with a key or, without one, with Microsoft Entra ID:
# what `az login` has left on this machine, a managed identity, or variables.


def create_clients() -> tuple[Any, BlobServiceClient]:
    """Return a client of the Batch account and one of the storage account."""
    logging.getLogger('azure').addHandler(logging.NullHandler())  # what they log, they also raise
    credential = None
    if not (_BATCH_ACCOUNT_KEY and _STORAGE_ACCOUNT_KEY):
        credential = DefaultAzureCredential()
    return create_batch_client(credential), create_blob_client(credential)


def create_batch_client(credential: DefaultAzureCredential | None) -> Any:
    """Return a client of Batch that keeps its connections and repeats what fails for a moment."""
    batch_url = _BATCH_ACCOUNT_URL.rstrip('/')
    client: Any = BatchServiceClient(batch_credentials(batch_url, credential), batch_url)
    pool_operations = [client.account, client.pool, client.compute_node]
    job_operations = [client.job, client.task, client.file]
    for operations in pool_operations + job_operations:
        operations.api_version = _BATCH_API_VERSION

    client.config.keep_alive = True
    client.config.hooks.append(repeat_if_cut)
    client.config.hooks.append(check_answer)

    # The sessions of the client hold this very object, so it is changed, not replaced.
    policy = client.config.retry_policy.policy
    policy.allowed_methods = None  # every method: POST as well
    policy.status_forcelist = (408, 429, 500, 502, 503, 504)
    policy.backoff_factor = 1
    policy.backoff_max = 10  # seconds
    policy.backoff_jitter = 1
    set_patience(client, _FIRST_RETRIES, longest_pause=5, longest_wait=10)
    return client


def repeat_if_cut(
    response: requests.Response, *_: Any, msrest: dict[str, Any], **options: Any
) -> requests.Response:
    """Repeat a request whose answer breaks off, which the retry policy does not notice."""
    session: requests.Session = msrest['session']
    request = response.request.copy()
    request.hooks = {'response': []}  # or each repetition would come here again
    options['stream'] = True  # the rest of the answer is read here

    for _attempt in range(_FIRST_RETRIES):
        with contextlib.suppress(requests.RequestException):
            response.content  # noqa: B018 - reads the rest of the answer
            return response
        response = session.send(request, **options)

    return response


def set_patience(
    batch_client: Any, retries: int, longest_pause: int = 30, longest_wait: int = 30
) -> None:
    """Set how often a failed request is repeated, and how many seconds may pass.

    `longest_pause` is what the service may ask for, `longest_wait` the time for an answer.
    """
    batch_client.config.connection.timeout = (10, longest_wait)  # the former to connect
    policy = batch_client.config.retry_policy.policy
    policy.total = policy.connect = policy.read = policy.status = retries
    policy.retry_after_max = longest_pause


def batch_credentials(batch_url: str, credential: DefaultAzureCredential | None) -> Any:
    """Return what signs the requests to Batch."""
    if credential is None or _BATCH_ACCOUNT_KEY:
        return SharedKeyCredentials(_BATCH_ACCOUNT_NAME, _BATCH_ACCOUNT_KEY)

    resource = 'https://batch.core.windows.net'
    if batch_url.endswith('.cn'):
        resource = 'https://batch.chinacloudapi.cn'
    elif batch_url.endswith('.us') or 'usgovcloudapi' in batch_url:
        resource = 'https://batch.core.usgovcloudapi.net'

    def token() -> dict[str, str]:  # asked for each request; azure-identity keeps and renews it
        access_token = credential.get_token(f'{resource}/.default').token
        return {'tokenType': 'Bearer', 'accessToken': access_token}

    return AdalAuthentication(token)


def create_blob_client(credential: DefaultAzureCredential | None) -> BlobServiceClient:
    """Return a client of Storage with a connection for each of the requests under way."""
    # ExponentialRetry does not repeat 429 (too many requests), so the session does.
    too_many_requests = Retry(
        total=_RETRIES,
        connect=0,
        read=0,
        allowed_methods=None,
        status_forcelist=(429,),
        backoff_factor=1,
        backoff_max=10,
        retry_after_max=30,
    )
    session = requests.Session()
    for scheme in ('https://', 'http://'):
        session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS, max_retries=too_many_requests))

    key: Any = {'account_name': _STORAGE_ACCOUNT_NAME, 'account_key': _STORAGE_ACCOUNT_KEY}
    return BlobServiceClient(
        _STORAGE_ACCOUNT_URL,
        credential=key if _STORAGE_ACCOUNT_KEY else credential,
        session=session,
        connection_timeout=10,  # seconds
        read_timeout=60,
        retry_policy=ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=5),
        max_single_put_size=_BLOCK_SIZE,
        max_single_get_size=_BLOCK_SIZE,
    )


@functools.cache  # one key and one expiry for the whole run
def key_and_expiry(blob_service_client: BlobServiceClient, timeout: timedelta) -> dict[str, Any]:
    """Return the key that signs the SAS, and its expiry: when all time limits have passed."""
    now = datetime.now(UTC)
    expiry = now + _UPLOAD_TIMEOUT + timeout + _MARGIN
    if _STORAGE_ACCOUNT_KEY:
        return {'account_key': _STORAGE_ACCOUNT_KEY, 'expiry': expiry}

    start = now - timedelta(minutes=15)  # the clock of this machine may be fast
    expiry = min(expiry, start + timedelta(days=7))  # such a key lives no longer
    key = blob_service_client.get_user_delegation_key(start, expiry)
    return {'user_delegation_key': key, 'expiry': expiry}


# --- The screen -----------------------------------------------------------------------------------
#
# If printing fails (`| head` has ended, the disk is full, the terminal is closed), the cleanup must
# still happen. So errors of the screen end nothing. The transcript goes to stdout, everything else
# to stderr. On a terminal the last lines show how far the run is; elsewhere there are plain lines.


class Screen:
    """The lines at the bottom of the terminal, which are drawn anew whenever something changes."""

    def __init__(self) -> None:
        self.lines: tuple[str, ...] = ()
        self._lock = threading.Lock()

    def print(self, text: str, stream: TextIO | None) -> None:
        """Print above the lines."""
        with self._lock:
            self._write('\r\033[J' if self.lines else '')
            write(f'{text}\n', stream)
            self._draw()

    def show(self, *lines: str) -> None:
        """Replace the lines; without any, remove them."""
        with self._lock:
            self._write('\r\033[J' if self.lines else '')
            self.lines = lines if on_terminal() else ()
            self._draw()

    def _draw(self) -> None:
        if not self.lines:
            return

        rows: list[str] = []
        for line in self.lines:
            rows += textwrap.wrap(line, max(10, terminal_width() - 1))

        self._write('\n'.join(rows))
        if len(rows) > 1:
            self._write(f'\033[{len(rows) - 1}A')  # up to the first row

        self._write('\r')

    def _write(self, text: str) -> None:
        if text:
            write(text, sys.stderr)


screen = Screen()


def say(text: str) -> None:
    """Print a line of the transcript."""
    screen.print(text, sys.stdout)


def warn(text: str) -> None:
    """Print a line beside the transcript: an error, a warning, what else is to know."""
    screen.print(text, sys.stderr)


def write(text: str, stream: TextIO | None) -> None:
    """Write to a stream. Ignore a closed pipe or a full disk: the cleanup must still run."""
    if stream is None:
        return
    with contextlib.suppress(OSError, ValueError):
        stream.write(text)
        stream.flush()


def on_terminal() -> bool:
    """Return whether stderr is a terminal that can move its cursor."""
    return terminal_width() > 0 and os.getenv('TERM') != 'dumb'


def terminal_width() -> int:
    """Return the number of columns of the terminal, 0 if there is none or it does not say."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except (AttributeError, OSError, ValueError):  # no stream, no terminal, a closed stream
        return 0


class Progress:
    """How far something is: a bar on a terminal, elsewhere a plain line every ten seconds."""

    def __init__(self, label: str, total: int, *, unit: str = '') -> None:
        self._label = label
        self._total = total
        self._unit = unit
        self._began = time.monotonic()
        self._next_line = self._began + 10

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        screen.show()

    def show(self, done: int) -> None:
        """Show that so much is done."""
        text = f'{self._label}: {self._amount(done)} of {self._amount(self._total)}'
        text += time_left(self._began, done, self._total)
        if on_terminal():
            screen.show(with_bar(text, done, self._total))
        elif time.monotonic() > self._next_line:
            self._next_line += 10
            warn(text)

    def _amount(self, number: int) -> str:
        if self._unit == 'bytes':
            return rich.filesize.decimal(number)
        return str(number)


def with_bar(text: str, done: int, total: int) -> str:
    """Return a text and a bar that takes what room there is beside it."""
    room = min(40, terminal_width() - len(text) - 4)
    if room < 5 or total == 0:
        return text
    filled = room * done // total
    return f'{text} [{"#" * filled}{"." * (room - filled)}]'


def time_left(began: float, done: int, total: int) -> str:
    """Return the time that the rest will take at the present speed, '' at the beginning."""
    elapsed = time.monotonic() - began
    if done == 0 or elapsed < 2:
        return ''
    seconds = round(elapsed * (total - done) / done)
    return f', {timedelta(seconds=seconds)} left'


# --- Parallel work --------------------------------------------------------------------------------
#
# One upload after the other leaves the line idle most of the time: many small requests wait for
# answers. Several at once take a tenth of the time.


def in_parallel(
    action: Callable[[Any], Any],
    items: Collection[Any],
    show_progress: Callable[[int], None] | None = None,
) -> list[Any]:
    """Return the results of an action for all items, in order. The first error ends it."""
    executor = concurrent.futures.ThreadPoolExecutor(_CONNECTIONS)
    futures = [executor.submit(action, item) for item in items]
    unfinished = set(futures)

    try:
        while unfinished:
            stop_if_asked()
            done, unfinished = concurrent.futures.wait(
                unfinished, _SLICE, concurrent.futures.FIRST_EXCEPTION
            )
            for future in done:
                future.result()  # raises what the action has raised
            if show_progress:
                show_progress(len(items) - len(unfinished))
    finally:  # without waiting for requests that hang
        executor.shutdown(wait=False, cancel_futures=True)

    return [future.result() for future in futures]


def upload_videos(
    blob_client: BlobServiceClient, videos: dict[str, Path], timeout: timedelta
) -> list[Any]:
    """Upload all videos; return them as resource files, in the same order."""
    deadline = time.monotonic() + _UPLOAD_TIMEOUT.total_seconds()
    sent = dict.fromkeys(videos, 0)  # bytes
    key_and_expiry(blob_client, timeout)  # once, before each thread asks for a key of its own

    def check_deadline() -> None:
        if time.monotonic() > deadline:
            raise SampleError(f'The uploads take longer than _UPLOAD_TIMEOUT, {_UPLOAD_TIMEOUT}.')

    def upload(name: str) -> Any:
        def count_bytes(now: int, _total: int | None) -> None:
            stop_if_asked()
            check_deadline()
            sent[name] = now

        check_deadline()

        with unchanged(videos[name]):
            say(f'Uploading file {name} to container [{_INPUT_CONTAINER_NAME}]...')
            return upload_file_to_container(
                blob_client,
                _INPUT_CONTAINER_NAME,
                videos[name],
                blob_name=name,
                timeout=timeout,
                max_concurrency=blocks_at_once(len(videos)),
                progress_hook=count_bytes,
            )

    size = sum(path.stat().st_size for path in videos.values())
    with Progress('Uploading', size, unit='bytes') as progress:

        def show(_files: int) -> None:
            progress.show(sum(sent.values()))

        return in_parallel(upload, list(videos), show)


def blocks_at_once(files: int) -> int:
    """Return how many blocks of one file travel at once: the more, the fewer files there are."""
    return max(1, min(8, _CONNECTIONS // max(1, files)))


@contextlib.contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Refuse a file that was changed while it was uploaded: the blob is neither version."""
    before = path.stat()
    try:
        yield
    finally:
        after = path.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise SampleError(
                f'{path} was changed while it was uploaded. Run again when it is ready.'
            )


class TemporaryError(Exception):
    """Batch could not add a task, for a reason of its own."""


def add_in_hundreds(batch_client: Any, job_id: str, tasks: Sequence[Any]) -> None:
    """Add tasks, 100 in each request, which is the limit of Batch."""

    def add(chunk: Sequence[Any]) -> None:
        confirmed = add_chunk(batch_client, job_id, chunk)
        missing = {task.id for task in chunk} - confirmed
        if missing:
            raise SampleError(
                f'Batch did not confirm {len(missing)} tasks, such as {missing.pop()}.'
            )

    in_parallel(add, [tasks[start : start + 100] for start in range(0, len(tasks), 100)])


def add_chunk(batch_client: Any, job_id: str, tasks: Sequence[Any]) -> set[str]:
    """Add tasks in one request, several times if need be; return the ids that Batch confirms."""
    attempt = 0
    while True:
        try:
            result = batch_client.task.add_collection(job_id, tasks)
            return {added.task_id for added in result.value}
        except CreateTasksErrorException as error:
            temporary = any(isinstance(cause, TemporaryError) for cause in error.errors)
            if not temporary or attempt == _RETRIES:
                raise
        pause(min(2**attempt, 10))  # tasks that exist by now count as added
        attempt += 1


def check_answer(response: requests.Response, *_: Any, **__: Any) -> None:
    """Refuse a proxy's page, and an answer with which `task.add_collection` loops for ever."""
    kind = response.headers.get('Content-Type', '')
    adds_tasks = 'addtaskcollection' in response.request.path_url
    if 'html' in kind or (adds_tasks and 'json' not in kind):
        raise SampleError(describe_foreign_answer(response, '_BATCH_ACCOUNT_URL'))
    if adds_tasks and (response.status_code >= 500 or '"servererror"' in response.text.lower()):
        raise TemporaryError('Batch could not add some of the tasks. Try again later.')


# --- Files that arrive complete -------------------------------------------------------------------
#
# A download that breaks off must not look like an MP3, and an MP3 of an earlier run must not hide
# one that is missing.


def creation_time(blob_client: BlobServiceClient, container_name: str) -> datetime:
    """Return when this run has created a container, or taken it over, by the service's clock."""
    container = blob_client.get_container_client(container_name)
    return container.get_container_properties().last_modified


def output_sizes(run: 'Run') -> dict[str, int]:
    """Return the size in bytes of each blob that this run has written to the output container."""
    if run.since is None:
        return {}
    container = run.blob_client.get_container_client(_OUTPUT_CONTAINER_NAME)
    return {
        blob.name: blob.size for blob in container.list_blobs() if blob.last_modified >= run.since
    }


def download_output(
    blob_client: BlobServiceClient, result: 'VideoResult', folder: Path, blocks: int
) -> str:
    """Download one MP3. It gets its name when it is complete. Return what went wrong, or ''."""
    name = output_name(result.name)
    path = folder / name
    part = path.with_name(part_name(name))
    blob = blob_client.get_blob_client(_OUTPUT_CONTAINER_NAME, name)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open('wb') as file:
            size = blob.download_blob(max_concurrency=blocks).readinto(file)
        if size == result.output_size:
            part.replace(path)
            return ''
        problem = f'{size} of {result.output_size} bytes arrived'
    except OSError as error:
        problem = f'{path}: {error.strerror or error}'
    except AzureError as error:
        problem = describe(error)

    with contextlib.suppress(OSError):
        part.unlink(missing_ok=True)

    return f'not downloaded: {problem}'


def part_name(name: str) -> str:
    """Return the name under which a file is downloaded until it is complete.

    It is the same for each run, and short: the MP3's name may be as long as the disk allows.
    """
    return f'.{hashlib.sha256(name.encode()).hexdigest()[:16]}.part'


# --- One run at a time ----------------------------------------------------------------------------
#
# Two runs with the same settings would mix their files and delete each other's containers. A lease
# is the lock of Azure Storage: the run that has it on the output container is alone. It has to be
# renewed every minute, so a run that died frees it by itself.


class RunLock:
    """The lease on the output container, renewed by a thread until it is released."""

    def __init__(self, lease: Any) -> None:
        self.lost = False
        self._lease = lease
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._renew_until_released, daemon=True)
        self._thread.start()

    def _renew_until_released(self) -> None:
        while not self._released.wait(_LEASE_SECONDS / 3):
            self.renew()

    def renew(self) -> None:
        """Renew the lease. One that another run has taken meanwhile stops this run."""
        try:
            self._lease.renew(read_timeout=10, retry_total=1)  # well within its 60 seconds
        except AzureError as error:
            if getattr(error, 'status_code', 0) not in (404, 409, 412):
                return  # no answer: later, perhaps
            self.lost = True
            stop.reason = SampleError(
                f'Another run has taken over container [{_OUTPUT_CONTAINER_NAME}], or somebody has '
                'deleted it or broken its lease. (Did this machine sleep?)'
            )

    def release(self) -> None:
        """Let the next run begin."""
        self._released.set()
        self._thread.join()
        if not self.lost:
            with contextlib.suppress(AzureError):
                self._lease.release()


def take_lock(blob_client: BlobServiceClient) -> RunLock:
    """Return the lock of this run; SampleError if another run still holds it after a minute."""
    container = blob_client.get_container_client(_OUTPUT_CONTAINER_NAME)
    create_or_find(
        f'Container [{_OUTPUT_CONTAINER_NAME}]',
        functools.partial(container.create_container, metadata=run_metadata()),
        container.get_container_properties,
    )

    lease_id = str(uuid.uuid4())
    deadline = time.monotonic() + _LEASE_SECONDS + 5
    while True:
        try:
            return RunLock(container.acquire_lease(_LEASE_SECONDS, lease_id=lease_id))
        except HttpResponseError as error:
            if error_code(error) != 'LeaseAlreadyPresent':
                raise
        if time.monotonic() > deadline:
            raise SampleError(
                'Another run is at work, and nothing of it was touched. Wait until it has ended, '
                'or give this run other names: _INPUT_CONTAINER_NAME, _OUTPUT_CONTAINER_NAME, '
                '_POOL_ID and _JOB_ID.'
            )
        warn_once(
            f'Container [{_OUTPUT_CONTAINER_NAME}] is used by another run, or by one that has just '
            f'died: waiting for up to {_LEASE_SECONDS} seconds...'
        )
        pause(2)


# --- What exists already --------------------------------------------------------------------------
#
# Containers, pools and jobs may be there: left by a run that died, kept on purpose, or somebody
# else's. A run must neither fail because of them nor delete what is not its own. So it writes its
# metadata on what it creates, and changes or deletes only what carries the metadata of this sample.

_RUN_ID = uuid.uuid4().hex


def run_metadata() -> dict[str, str]:
    """Return the metadata of what this run creates: who created it, and where its MP3s go."""
    return {
        'createdby': 'batch_python_tutorial_ffmpeg',
        'run': _RUN_ID,
        'output': f'{_STORAGE_ACCOUNT_URL.rstrip("/")}/{_OUTPUT_CONTAINER_NAME}',
    }


def batch_metadata() -> list[Any]:
    """Return the same as metadata items of Batch."""
    return [
        batchmodels.MetadataItem(name=name, value=value) for name, value in run_metadata().items()
    ]


def metadata_of(resource: Any) -> dict[str, str]:
    """Return the metadata of a container, pool or job."""
    items = resource.metadata or {}
    if isinstance(items, list):  # of Batch
        return {item.name: item.value for item in items}
    return dict(items)


def is_ours(resource: Any, *, this_run: bool = False) -> bool:
    """Return whether this sample, or even this very run, has created a container, pool or job."""
    metadata = metadata_of(resource)
    if metadata.get('createdby') != run_metadata()['createdby']:
        return False
    return not this_run or metadata.get('run') == _RUN_ID


def has_our_output(resource: Any) -> bool:
    """Return whether a pool or job is of a run with this output container, whose lock we have."""
    return metadata_of(resource).get('output') == run_metadata()['output']


def existing_job(batch_client: Any) -> Any:
    """Return the job of this id, or None if there is none, or only one that is being deleted."""
    job = none_if_gone(batch_client.job.get, _JOB_ID)
    if job is not None and job.state == batchmodels.JobState.deleting:
        return None
    return job


def none_if_gone(get: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return what `get` returns, or None if the service does not know such a thing."""
    try:
        return get(*arguments, **options)
    except (batchmodels.BatchErrorException, AzureError) as error:
        if re.fullmatch('(Job|Pool|Container)(NotFound|BeingDeleted)', error_code(error)):
            return None
        raise


def create_or_find(what: str, create: Callable[[], Any], get: Callable[[], Any]) -> Any:
    """Create something and return None, or return what exists. Wait while that is being deleted."""
    deadline = time.monotonic() + _DELETION_TIMEOUT.total_seconds()
    while time.monotonic() < deadline:
        try:
            create()
            return None
        except (batchmodels.BatchErrorException, AzureError) as error:
            if not error_code(error).endswith(('Exists', 'BeingDeleted')):
                raise
        existing = none_if_gone(get)
        if existing is not None and getattr(existing, 'state', '') != 'deleting':
            return existing
        warn_once(f'{what} is still being deleted: waiting until it is gone...')
        pause(2)

    raise SampleError(f'{what} is still being deleted after {_DELETION_TIMEOUT}. Try again later.')


def contact_services(run: 'Run') -> None:
    """Sign in to both accounts, refuse a container of somebody else, say what a run can cost."""
    none_if_gone(run.batch_client.job.get, _JOB_ID)
    set_patience(run.batch_client, _RETRIES)

    container = run.blob_client.get_container_client(_INPUT_CONTAINER_NAME)
    existing = none_if_gone(container.get_container_properties, retry_total=1, read_timeout=15)
    if existing is not None:
        output = metadata_of(existing).get('output', '')
        if not is_ours(existing) or output not in ('', run_metadata()['output']):
            raise SampleError(
                f"Container [{_INPUT_CONTAINER_NAME}] is not this sample's, or is of a run with "
                'another output container: change _INPUT_CONTAINER_NAME.'
            )

    nodes = run.options.dedicated_nodes + run.options.low_priority_nodes
    longest = run.options.timeout + _MARGIN + _NODES_CHECK
    warn(
        f'{nodes} nodes {run.options.vm_size}, up to {nodes * longest / timedelta(hours=1):,.2f} '
        'node-hours, even if this machine disappears while the tasks run.'
    )


def replace_old_job(run: 'Run') -> None:
    """Delete a job that an earlier run has left, if the user agrees; otherwise a SampleError."""
    job = existing_job(run.batch_client)
    if job is None:
        return

    counts = run.batch_client.job.get_task_counts(_JOB_ID).task_counts
    unfinished = counts.active + counts.running
    say(f'Job [{_JOB_ID}] exists: {counts.completed} tasks done, {unfinished} not done.')

    if not may_replace(run, job, unfinished):
        wait = 'Wait until it is done, and then run' if unfinished else 'Run'
        raise SampleError(
            f'Job [{_JOB_ID}] exists. {wait} with -y, which deletes a job of this sample, '
            f'or choose another _JOB_ID.\n{left_message(run)}'
        )

    if unfinished:
        warn(f'No run is at work on job [{_JOB_ID}]: it is deleted, its tasks are ended.')

    none_if_gone(run.batch_client.job.delete, _JOB_ID)


def may_replace(run: 'Run', job: Any, unfinished: int) -> bool:
    """Return whether an old job may be deleted. One with another output may be of a live run."""
    if not is_ours(job) or (unfinished and not has_our_output(job)):
        return False
    if run.options.answer == 'no' and not unfinished:
        say('It was kept by an earlier run, and is replaced.')
        return True

    question = 'Delete it and go on?'
    return query_yes_no(question, default='no', answer=run.options.answer) == 'yes'


def check_only(run: 'Run') -> None:
    """Say what a run would find and make, without making anything; SampleError if it would fail."""
    batch_client = run.batch_client
    if existing_job(batch_client) is not None:
        raise SampleError(f'Job [{_JOB_ID}] exists.\n{left_message(run)}')

    options = batchmodels.AccountListSupportedImagesOptions(
        filter=f"nodeAgentSKUId eq '{_POOL_NODE_AGENT_SKU_ID}'"
    )
    images = batch_client.account.list_supported_images(options)
    ends = {image.image_reference.sku: image.batch_support_end_of_life for image in images}
    sku = _POOL_IMAGE['sku']
    if sku not in ends:
        raise SampleError(f'Batch does not support the image {sku}. Change _POOL_IMAGE.')

    until = f'until {ends[sku]:%Y-%m-%d}' if ends[sku] else 'no end known'
    say(f'Both accounts answer. Image: {sku} is supported, {until}.')
    pool = 'new' if none_if_gone(batch_client.pool.get, _POOL_ID) is None else 'exists'
    say(f'Files: {len(run.videos)}. Pool: {pool}. Job: new.')


def add_or_use_pool(batch_client: Any, pool: Any) -> None:
    """Add a pool, or use the one of that name if its settings are the same."""
    existing = create_or_find(
        f'Pool [{pool.id}]',
        functools.partial(batch_client.pool.add, pool),
        functools.partial(batch_client.pool.get, pool.id),
    )
    if existing is None or is_ours(existing, this_run=True):  # the latter if an answer was lost
        return

    found = '; '.join(differences(pool.as_dict(), existing.as_dict()))
    if found:
        raise SampleError(
            f'Pool [{pool.id}] already exists with other settings: {found}.\n'
            f'Choose another _POOL_ID, or delete it:\n  {deletion_command("pool")}'
        )

    unused = existing_job(batch_client) is None
    if (
        is_ours(existing) and unused and has_our_output(existing)
    ):  # of an ended run: this one has the lock
        batch_client.pool.patch(pool.id, batchmodels.PoolPatchParameter(metadata=pool.metadata))
        if existing.resize_errors and not existing.enable_auto_scale:
            numbers = batchmodels.PoolResizeParameter(
                target_dedicated_nodes=pool.target_dedicated_nodes,
                target_low_priority_nodes=pool.target_low_priority_nodes,
            )
            batch_client.pool.resize(pool.id, numbers)  # what was refused may be granted now
    say(f'Pool [{pool.id}] exists with the same settings and is used again.')


def differences(wanted: dict[str, Any], existing: dict[str, Any]) -> Iterator[str]:
    """Yield what is asked for in one description of a pool, and is not so in another."""
    for name, value in wanted.items():
        found = existing.get(name)
        if name == 'metadata':
            continue
        if name.startswith('target_') and existing.get('enable_auto_scale'):
            continue  # its formula sets the number of nodes, and this run gives it a new one
        if isinstance(value, dict):
            yield from differences(value, found if isinstance(found, dict) else {})
        elif str(found).lower() != str(value).lower():
            yield f'{name}: {found} instead of {value}'


def add_job(batch_client: Any, job: Any) -> None:
    """Add a job. One that is there by now is somebody else's."""
    existing = create_or_find(
        f'Job [{job.id}]',
        functools.partial(batch_client.job.add, job),
        functools.partial(batch_client.job.get, job.id),
    )

    if existing is not None and not is_ours(existing, this_run=True):
        raise SampleError(
            f'Job [{job.id}] has just been created by somebody else. Choose another _JOB_ID.'
        )


# --- The state of the nodes -----------------------------------------------------------------------
#
# A pool may get no nodes (no quota, none free), its start task may fail, somebody may resize it:
# the tasks would wait until the time limit. And while the run waits, the service may be away for
# some minutes, without any harm to the tasks.


class Monitor:
    """Watches the tasks of a job and the nodes of its pool, and shows both."""

    def __init__(
        self, batch_client: Any, job_id: str, pool_id: str, timeout: timedelta, formula: str
    ) -> None:
        self.problem = ''  # why the tasks will never be done
        self._batch_client = batch_client
        self._job_id = job_id
        self._pool = PoolWatch(batch_client, pool_id, formula)
        self._began = time.monotonic()
        self._give_up_at = self._began + (timeout + _MARGIN).total_seconds()
        self._nodes = 'state of the nodes not known yet'
        self._status = ''
        self._unchanged = 0  # polls without any news

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        screen.show()

    def all_tasks_are_done(self) -> bool:
        """Ask for the counts, and confirm by a query if they say that all is done."""
        counts = self.ask_patiently(self._task_counts)
        seems_done = counts.completed > 0 and counts.active + counts.running == 0
        seems_stuck = self._unchanged % 5 == 4
        if seems_done or seems_stuck:
            if not self.ask_patiently(self._has_unfinished_tasks):
                self._see_formula_given()
                return True
        else:  # so that no poll takes a fourth request
            self._nodes = self.ask_patiently(self._pool.look)
            self.problem = self._pool.problem

        if self.problem and not counts.completed:
            raise SampleError(self.problem)

        self._show(counts, self._nodes)
        return False

    def _see_formula_given(self) -> None:
        """Look at the pool until it has its formula: one that is kept has to shrink, too."""
        deadline = time.monotonic() + 60
        if self._pool.needs_formula():
            self.ask_patiently(self._pool.look)
        if self._pool.needs_formula():  # it is still growing, which nobody needs any more
            self.ask_patiently(self._pool.stop_growing)
        while self._pool.needs_formula() and time.monotonic() < deadline:
            pause(1)
            self.ask_patiently(self._pool.look)

    def _task_counts(self) -> Any:
        return self._batch_client.job.get_task_counts(self._job_id).task_counts

    def _has_unfinished_tasks(self) -> bool:
        return has_unfinished_tasks(self._batch_client, self._job_id)

    def _show(self, counts: Any, nodes: str) -> None:
        total = counts.active + counts.running + counts.completed
        tasks = f'{counts.active} queued, {counts.running} running, {counts.failed} failed'
        text = f'Tasks: {counts.completed} of {total} done, {tasks}'
        left = time_left(self._began, counts.completed, total)
        screen.show(with_bar(text + left, counts.completed, total), nodes)

        status = f'{nodes}; {text}'
        self._unchanged = self._unchanged + 1 if status == self._status else 0
        self._status = status
        if not self._unchanged and not on_terminal():
            warn(status)

    def wait_for_next_poll(self, deadline: float) -> None:
        """Wait: the longer the less happens, up to 4.5 seconds."""
        seconds = min(1.5 ** min(self._unchanged, 9), 4.5)
        pause(max(0, min(seconds, deadline - time.monotonic())))

    def ask_patiently(self, request: Callable[[], Any]) -> Any:
        """Return the answer to a request, repeated until the time limit of the job has passed."""
        told = False
        while True:
            try:
                return request()
            except (ClientRequestError, DeserializationError, AzureError) as error:
                if time.monotonic() > self._give_up_at:
                    raise
                if not told:
                    warn(f'Warning: {describe(error)}')
                    warn('The tasks run on; asking again until there is an answer...')
                told = True
                pause(5)


def has_unfinished_tasks(batch_client: Any, job_id: str) -> bool:
    """Return whether any task of a job has not completed."""
    options = batchmodels.TaskListOptions(filter="state ne 'completed'", select='id', max_results=1)
    for _ in batch_client.task.list(job_id, options):
        return True
    return False


class PoolWatch:
    """Watches the nodes of a pool, and tells Batch when to take them away."""

    def __init__(self, batch_client: Any, pool_id: str, formula: str) -> None:
        self.problem = ''  # why no node will ever take a task
        self.formula_tries = 3  # left; 0 when Batch has accepted or refused it
        self._batch_client = batch_client
        self._pool_id = pool_id
        self._formula = formula
        self._had_nodes = False
        self._stopped = False  # by this run, which wants no more nodes
        self._polls_without_nodes = 0

    def look(self) -> str:
        """Return what the nodes do, in words."""
        pool = none_if_gone(self._batch_client.pool.get, self._pool_id)
        if pool is None or pool.state == batchmodels.PoolState.deleting:
            self.problem = f'Pool [{self._pool_id}] is gone: somebody has deleted it'
            return self.problem

        if not is_ours(pool, this_run=True):
            self.formula_tries = 0

        states = self._count_states()
        steady = pool.allocation_state == batchmodels.AllocationState.steady
        nodes = pool.current_dedicated_nodes + pool.current_low_priority_nodes
        if steady:
            self._look_for_resize_errors(pool, nodes)
            self._look_for_failed_start_tasks(states, nodes)
            self._look_for_lost_nodes(pool, nodes)
            if not self.problem:
                self._end_nodes_in_time()

        return describe_nodes(states, pool)

    def _count_states(self) -> dict[str, int]:
        options = batchmodels.AccountListPoolNodeCountsOptions(
            filter=f"poolId eq '{self._pool_id}'"
        )
        states: dict[str, int] = {}
        for pool in self._batch_client.account.list_pool_node_counts(options):
            for kind in (pool.dedicated, pool.low_priority):
                for state, number in kind.as_dict().items():
                    states[state] = states.get(state, 0) + number

        states.pop('total', None)
        return states

    def _look_for_resize_errors(self, pool: Any, nodes: int) -> None:
        if not pool.resize_errors or self._stopped:
            return

        reasons = ' '.join(
            describe_code(error.code, error.message, _BATCH_REMEDIES)
            for error in pool.resize_errors
        )

        if nodes == 0:
            self.problem = f'Pool [{self._pool_id}] gets no nodes. {reasons}'
        else:
            warn_once(f'Warning: pool [{self._pool_id}] gets fewer nodes than asked for. {reasons}')

    def _look_for_failed_start_tasks(self, states: dict[str, int], nodes: int) -> None:
        failed = states.get('start_task_failed', 0)
        if not failed:
            return

        failed += states.get('unusable', 0)
        if failed < nodes:
            warn_once(
                f'Warning: the start task failed on {failed} of {nodes} nodes of pool '
                f'[{self._pool_id}].'
            )
            return

        words = start_task_words(self._batch_client, self._pool_id)
        self.problem = f'The start task failed on all nodes of pool [{self._pool_id}].{words}'

    def _look_for_lost_nodes(self, pool: Any, nodes: int) -> None:
        if nodes > 0:
            self._had_nodes = True
            self._polls_without_nodes = 0
        elif self._had_nodes or not is_ours(pool, this_run=True):
            self._polls_without_nodes += 1
        if self._polls_without_nodes >= 3:
            self.problem = (
                f'Pool [{self._pool_id}] has no nodes: somebody has resized it, or has removed them'
            )

    def needs_formula(self) -> bool:
        """Return whether a look at the pool may still give it the formula."""
        return self.formula_tries > 0 and not self.problem

    def stop_growing(self) -> None:
        """Let a pool that waits for more nodes be steady."""
        self._stopped = True
        with contextlib.suppress(batchmodels.BatchErrorException):  # it may be steady by now
            self._batch_client.pool.stop_resize(self._pool_id)

    def _end_nodes_in_time(self) -> None:
        """Give the pool a formula by which Batch removes the nodes when the limits have passed.

        The time limit of the job ends tasks, not nodes. If this machine disappears, or the pool is
        kept, the nodes would bill until somebody remembers them. The pool gets the formula when its
        nodes have been allocated, since Batch takes none during a resize.
        """
        if self.formula_tries == 0:
            return
        try:
            self._batch_client.pool.enable_auto_scale(
                self._pool_id,
                auto_scale_formula=self._formula,
                auto_scale_evaluation_interval=_NODES_CHECK,
            )
            self.formula_tries = 0
        except _EXPECTED_ERRORS as error:
            resized_again = error_code(error) == 'PoolBeingResized'
            temporary = resized_again or isinstance(error, ClientRequestError)
            self.formula_tries = self.formula_tries - 1 if temporary else 0
            if self.formula_tries == 0:
                warn(
                    f'Warning: the nodes of pool [{self._pool_id}] will not end by themselves: '
                    f'they bill until the pool is deleted. {describe(error)}'
                )


def nodes_formula(dedicated_nodes: int, low_priority_nodes: int, duration: timedelta) -> str:
    """Return the autoscale formula for so many nodes from now on, and none after the duration."""
    end = datetime.now(UTC) + duration
    before = f'time() < time("{end:%Y-%m-%dT%H:%M:%SZ}")'
    return (
        f'$TargetDedicatedNodes = {before} ? {dedicated_nodes} : 0;\n'
        f'$TargetLowPriorityNodes = {before} ? {low_priority_nodes} : 0;'
    )


def describe_nodes(states: dict[str, int], pool: Any) -> str:
    """Return how many nodes there are and what they do: '5 nodes: 3 running, 2 idle'."""
    total = sum(states.values())
    wanted = pool.target_dedicated_nodes + pool.target_low_priority_nodes
    number = f'{total} nodes' if total >= wanted else f'{total} of {wanted} nodes'
    if total == 0:
        return f'{number}: being allocated'
    parts = [f'{number} {state_words(state)}' for state, number in states.items() if number]
    return f'{number}: {", ".join(parts)}'


def state_words(state: str) -> str:
    """Return the state of a node as one says it: 'in start task', 'leaving pool'."""
    return state.replace('waiting_for', 'in').replace('_', ' ')


def start_task_words(batch_client: Any, pool_id: str) -> str:
    """Return the last lines that the start task wrote to stderr on a node where it failed."""
    options = batchmodels.ComputeNodeListOptions(filter="state eq 'starttaskfailed'", max_results=1)
    for node in batch_client.compute_node.list(pool_id, options):
        return last_lines(
            batch_client.file.get_from_compute_node, pool_id, node.id, 'startup/stderr.txt'
        )
    return ''


def last_lines(get_file: Callable[..., Any], *where: str) -> str:
    """Return the last five lines of a file on a node, each indented on a new line."""
    try:
        content = b''.join(get_file(*where))
    except _EXPECTED_ERRORS as error:
        return f'\n    no stderr: {describe(error)}'
    lines = content[-2000:].decode('utf-8', 'replace').splitlines()[-5:]
    return ''.join(f'\n    {printable(line)}' for line in lines)


def printable(text: str) -> str:
    """Return a text in which nothing can move the cursor of a terminal."""
    return ''.join(character if character.isprintable() else ' ' for character in text)


def delete_pool_early(run: 'Run') -> None:
    """Delete the pool before the downloads, if it will be deleted without a question anyway."""
    with contextlib.suppress(*_EXPECTED_ERRORS):  # if this fails, the cleanup tries again
        run.node_hours = node_hours(run.batch_client, run.since)
        if run.options.answer == 'no' or (run.options.answer is None and can_ask()):
            return
        if not all(result.done for result in run.results.values()):
            return
        pool = none_if_gone(run.batch_client.pool.get, _POOL_ID)
        if pool is not None and is_ours(pool, this_run=True):
            none_if_gone(run.batch_client.pool.delete, _POOL_ID)
            run.pool_released = True


def node_hours(batch_client: Any, since: datetime | None) -> float:
    """Return for how long the nodes of the pool have existed in this run, all added up."""
    now = datetime.now(UTC)
    hours = 0.0
    for node in batch_client.compute_node.list(_POOL_ID):
        if node.allocation_time is not None:
            began = max(node.allocation_time, since or node.allocation_time)
            hours += (now - began) / timedelta(hours=1)
    return hours


# --- What became of the videos --------------------------------------------------------------------
#
# With ten thousand videos nobody reads ten thousand lines. The table has the first files, failed
# ones before others. After it every file that was not converted is named, with the reason.


@dataclass
class VideoResult:
    """What became of one video."""

    name: str
    task_id: str = ''
    status: str = 'ok'  # or 'damaged' or 'failed'
    reason: str = ''
    done: bool = True  # the task has ended
    node_id: str = '-'
    wait_seconds: float = 0.0
    run_seconds: float = 0.0
    started: datetime | None = None
    ended: datetime | None = None
    output_size: int = 0  # bytes of the MP3


def add_times(result: VideoResult, task: Any) -> None:
    """Add when and where a task ran."""
    execution = task.execution_info
    if task.node_info is not None:
        result.node_id = task.node_info.node_id or '-'
    if execution is None or execution.start_time is None:
        return

    result.started = execution.start_time
    result.ended = execution.end_time or datetime.now(UTC)
    result.wait_seconds = (result.started - task.creation_time).total_seconds()
    result.run_seconds = (result.ended - result.started).total_seconds()


def add_last_words(batch_client: Any, job_id: str, results: dict[str, VideoResult]) -> None:
    """Add to the reasons of the first files what ffmpeg printed last."""
    ended = [result for result in results.values() if result.status != 'ok' and result.done]
    for result in ended[:_SHOWN_FILES]:
        text = last_lines(batch_client.file.get_from_task, job_id, result.task_id, 'stderr.txt')
        if 'does not contain any stream' in text:
            result.reason += ': no audio track'
        result.reason += text


def print_report(run: 'Run') -> None:
    """Print the table of the files, and what was not converted. SampleError if anything was not."""
    results = sorted(run.results.values(), key=lambda result: (result.status == 'ok', result.name))
    warn(f'\n{table_of(run, results[:_SHOWN_FILES])}')
    if len(results) > _SHOWN_FILES:
        warn(f'... and {len(results) - _SHOWN_FILES} more. The MP3s are in {run.options.output}.')

    warn(work_done(run))

    wrong = [result for result in results if result.status != 'ok']
    if not wrong:
        return
    for result in wrong:
        warn(f'{result.name} {result.status}: {result.reason}')

    failed = sum(result.status == 'failed' for result in wrong)
    message = f'{failed} of {len(results)} files failed.'
    if failed < len(wrong):
        message += f' {len(wrong) - failed} are damaged.'
    outputs = [run.options.output / output_name(result.name) for result in wrong]
    if not all(os.path.lexists(output) for output in outputs):
        message += ' To convert only those that have no MP3 yet, run again with --missing.'
    raise SampleError(message)


def table_of(run: 'Run', results: Sequence[VideoResult]) -> str:
    """Return a table of some files, as wide as the terminal."""
    title = f'File ({len(results)} of {len(run.results)})'
    headings = ('Node', 'Wait', 'Run', 'In', 'Out', 'Result')
    rows = [[*figures_of(run, result), result.status] for result in results]

    # The names get the room that the other columns leave; two spaces are before each of these.
    room = terminal_width() or 160
    for column in zip(headings, *rows, strict=True):
        room -= 2 + max(len(text) for text in column)

    name_width = max(room, len(title))  # in a very narrow terminal, whole rows go on in the next

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(title, no_wrap=True)
    for heading in headings:
        justify: Any = 'left' if heading in ('Node', 'Result') else 'right'
        table.add_column(heading, justify=justify, no_wrap=True)
    for result, row in zip(results, rows, strict=True):
        table.add_row(shortened(result.name, name_width), *row)

    text = io.StringIO()
    console = Console(
        file=text,
        width=1000,
        force_terminal=on_terminal(),
        markup=False,
        highlight=False,
        emoji=False,
    )
    console.print(table)
    return text.getvalue().rstrip('\n')


def figures_of(run: 'Run', result: VideoResult) -> list[str]:
    """Return node, waiting time, running time, size before and size after of one file."""
    path = run.videos[result.name]
    input_size = path.stat().st_size if path.exists() else 0
    return [
        result.node_id[-8:],
        f'{result.wait_seconds:.1f} s',
        f'{result.run_seconds:.1f} s',
        rich.filesize.decimal(input_size),
        rich.filesize.decimal(result.output_size),
    ]


def shortened(name: str, width: int) -> str:
    """Return a name of at most so many columns: the middle is left out, as the end tells most."""
    while rich.cells.cell_len(name) > width:
        middle = len(name) // 2
        name = name[: middle - 1].rstrip('…') + '…' + name[middle + 1 :].lstrip('…')
    return name


def work_done(run: 'Run') -> str:
    """Return how long the nodes have worked, and how much faster than one node they were."""
    ran = [result for result in run.results.values() if result.started and result.ended]
    worked = sum(result.run_seconds for result in ran)
    text = f'Work: {worked:.1f} s'
    if ran:
        first = min(result.started for result in ran if result.started)
        last = max(result.ended for result in ran if result.ended)
        wall = (last - first).total_seconds()
        text += f' in {wall:.1f} s'
        if worked > wall > 0:
            text += f', {worked / wall:.1f} times as fast as one node'

    return f'{text}. Pool: {run.node_hours:.2f} node-hours.'


# --- Errors and remedies --------------------------------------------------------------------------
#
# An error of a service is a code, a message in the words of the service, and often an internal URL
# with a SAS in it. A user needs to know what to do.

_EXPECTED_ERRORS = (
    SampleError,
    ClientException,
    CreateTasksErrorException,
    DeserializationError,  # of msrest, and yet no ClientException
    AzureError,
    OSError,
)

_QUOTA = 'Ask for more in the portal (Batch account > Quotas), or'
_BATCH_KEY_HELP = (
    f'Batch account {_BATCH_ACCOUNT_NAME}: Wrong key (_BATCH_ACCOUNT_KEY, '
    'AZURE_BATCH_ACCESS_KEY) or clock, or an expired or forbidden sign-in.'
)
_STORAGE_KEY_HELP = (
    f'Storage account {_STORAGE_ACCOUNT_NAME}: Wrong key (_STORAGE_ACCOUNT_KEY, '
    'AZURE_STORAGE_KEY) or clock, or an expired or forbidden sign-in.'
)


def role_help(role: str, account: str) -> str:
    """Return how to get a role, with the command on lines of its own."""
    return (
        'If you are signed in, a role is missing (or is minutes old):\n'
        f'  az role assignment create --role "{role}" --assignee <you> '
        f'--scope $(az resource list --query [0].id -o tsv --name {account})'
    )


_BATCH_ROLE = role_help('Azure Batch Data Contributor', _BATCH_ACCOUNT_NAME)
_STORAGE_ROLE = role_help('Storage Blob Data Contributor', _STORAGE_ACCOUNT_NAME)

_BATCH_REMEDIES = {  # by the code of the error, in lower case
    'authenticationfailed': _BATCH_KEY_HELP,
    'invalidauthenticationinfo': _BATCH_KEY_HELP,
    'authorizationfailure': f'A network rule of the account may refuse this machine. {_BATCH_ROLE}',
    'permissiondenied': _BATCH_ROLE,
    'accountcorequotareached': (
        f'No quota for dedicated cores is left. {_QUOTA} lower _DEDICATED_POOL_NODE_COUNT.'
    ),
    'accountlowprioritycorequotareached': (
        f'No quota for Spot cores is left. {_QUOTA} lower _LOW_PRIORITY_POOL_NODE_COUNT.'
    ),
    'accountspotcorequotareached': (
        f'No quota for Spot cores is left. {_QUOTA} lower _LOW_PRIORITY_POOL_NODE_COUNT.'
    ),
    'accountvmseriescorequotareached': (
        f'No quota for this VM series is left. {_QUOTA} choose another _POOL_VM_SIZE.'
    ),
    'poolquotareached': f'The account cannot hold another pool. {_QUOTA} delete one.',
    'activejobandschedulequotareached': (
        f'The account cannot hold another job. {_QUOTA} delete one.'
    ),
    'allocationfailed': (
        'No nodes are free, try later; or _POOL_VM_SIZE does not fit the image (generation 1 or 2).'
    ),
    'allocationtimedout': (
        'No nodes are free, try later; or _POOL_VM_SIZE does not fit the image (generation 1 or 2).'
    ),
    'invalidpropertyvalue': '(Check _POOL_VM_SIZE, --vm-size, and _POOL_IMAGE.)',
    'unsupportedrequestversion': (
        'Batch no longer accepts this version. Change _BATCH_API_VERSION.'
    ),
    'jobnotfound': f'Job [{_JOB_ID}] is gone: somebody has deleted it.',
    'poolnotfound': f'Pool [{_POOL_ID}] is gone: somebody has deleted it.',
    'blobnotfound': f'Was container [{_INPUT_CONTAINER_NAME}], or a file in it, deleted meanwhile?',
    'resourcecontainernotfound': f'Was container [{_INPUT_CONTAINER_NAME}] deleted meanwhile?',
    'fileuploadcontainernotfound': f'Was container [{_OUTPUT_CONTAINER_NAME}] deleted meanwhile?',
}
_STORAGE_REMEDIES = {
    'authenticationfailed': _STORAGE_KEY_HELP,
    'invalidauthenticationinfo': _STORAGE_KEY_HELP,
    'authorizationfailure': f'{_STORAGE_KEY_HELP} Or its firewall refuses this machine.',
    'authorizationpermissionmismatch': _STORAGE_ROLE,
    'keybasedauthenticationnotpermitted': (
        'The account allows no keys. Leave _STORAGE_ACCOUNT_KEY empty to sign in.'
    ),
    'containernotfound': (
        f'Was container [{_INPUT_CONTAINER_NAME}] or [{_OUTPUT_CONTAINER_NAME}] deleted meanwhile?'
    ),
}


def print_batch_exception(batch_exception: BaseException) -> None:
    """Print what a service refused, why, and the way out."""
    warn(f'Error: {describe(batch_exception)}')


def describe(error: BaseException) -> str:
    """Return one message for an expected error: what happened and the way out."""
    if isinstance(error, CreateTasksErrorException):
        text = describe_added_tasks(error)
    elif isinstance(error, ClientException):
        text = describe_batch_error(error)
    elif isinstance(error, AzureError):
        text = describe_storage_error(error)
    elif isinstance(error, DeserializationError):
        text = 'The answer did not come from Batch. Check _BATCH_ACCOUNT_URL and the proxy.'
    elif isinstance(error, OSError) and error.filename is not None:
        text = f'{error.filename}: {error.strerror}'
    else:
        text = str(error)

    return without_signatures(text)


def describe_batch_error(error: Any) -> str:
    """Describe an error of Batch, or of the way to it."""
    if isinstance(error, batchmodels.BatchErrorException):
        body: Any = error.error
        if not getattr(body, 'code', None):
            return describe_foreign_answer(error.response, '_BATCH_ACCOUNT_URL')
        text = describe_code(body.code, body.message, _BATCH_REMEDIES, body.values)
        return text + clocks(body.code, error.response)

    cause = getattr(error, 'inner_exception', None) or error
    return (
        f'Batch at {_BATCH_ACCOUNT_URL} does not answer. Check _BATCH_ACCOUNT_URL '
        f'(AZURE_BATCH_ENDPOINT) and the network. {connection_problem(cause)}'
    )


def describe_added_tasks(error: Any) -> str:
    """Describe why tasks could not be added: the first of the reasons."""
    if error.errors:
        return describe(error.errors[0])
    refused = error.failure_tasks[0].error
    return describe_code(refused.code, refused.message, _BATCH_REMEDIES, refused.values)


def describe_storage_error(error: Any) -> str:
    """Describe an error of Storage, of the way to it, or of the sign-in to either service."""
    code = error_code(error)
    if code:
        text = describe_code(code, error.message, _STORAGE_REMEDIES)
        return text + clocks(code, error.response)
    if isinstance(error, ClientAuthenticationError):
        return f'Not signed in. Run "az login", or set a key. ({first_line(error.message)})'
    if isinstance(error, HttpResponseError) and error.response is not None:
        return describe_foreign_answer(error.response, '_STORAGE_ACCOUNT_URL')

    return (
        f'Storage at {_STORAGE_ACCOUNT_URL} does not answer. Check _STORAGE_ACCOUNT_NAME '
        '(AZURE_STORAGE_ACCOUNT), _STORAGE_ACCOUNT_URL and the network. '
        + connection_problem(error)
    )


def describe_code(code: str, message: Any, remedies: dict[str, str], values: Any = None) -> str:
    """Describe an error code: the service's message, its details, and what to do."""
    text = first_line(str(getattr(message, 'value', message)))
    details = [
        str(detail.value)
        for detail in values or ()
        if detail.key in ('PropertyName', 'Reason') or 'allowed' in str(detail.value)
    ]
    remedy = remedies.get(code.lower(), '')
    parts = (f'{code}: {text}', *details, remedy)
    return without_signatures(' '.join(part for part in parts if part))


def describe_foreign_answer(response: Any, url_setting: str) -> str:
    """Describe an answer that is not in the form of the service: a proxy's, most likely."""
    status = f'{response.status_code} {printable(str(response.reason))}'
    return f'{status}: the answer did not come from Azure. Check {url_setting} and the proxy.'


def clocks(code: str, response: Any) -> str:
    """Return both times if a signature was refused: they may be 15 minutes apart."""
    if code != 'AuthenticationFailed' or response is None:
        return ''
    here = f'{datetime.now(UTC):%a, %d %b %Y %H:%M:%S} GMT'
    return f' (Clocks: service {response.headers.get("Date")}, this machine {here}.)'


def error_code(error: Any) -> str:
    """Return the code by which Batch or Storage names an error, '' if it has none."""
    body = getattr(error, 'error', None)
    code = getattr(body, 'code', None) or getattr(error, 'error_code', None) or ''
    return str(getattr(code, 'value', code))


def connection_problem(error: object) -> str:
    """Return why a connection failed, without the names of classes around it."""
    text = first_line(str(error)).rpartition('(Caused by ')[2]
    reason = re.search(r'port=\d+\): (.+)', text)
    return reason[1].strip('"\')') if reason else text


def first_line(text: str) -> str:
    """Return the first line. Later ones only repeat the request id, and may hold a signature."""
    return text.partition('\n')[0].strip()


def without_signatures(text: str) -> str:
    """Return a text without SAS tokens, which stand after a question mark."""
    return re.sub(r'\?\S*sig=\S*', '', text)


_warned: set[str] = set()


def warn_once(text: str) -> None:
    """Print a warning, the first time only."""
    if text not in _warned:
        _warned.add(text)
        warn(text)


# --- Interrupts -----------------------------------------------------------------------------------
#
# Ctrl-C at a bad moment leaves paid nodes behind: after the request for the pool was sent, before
# its answer came. So a signal only leaves a note. Whatever request is under way ends first. Then
# the next pause or parallel step raises an exception, and the cleanup follows.


class InterruptedRunError(Exception):
    """The user, or the system, wants the run to end."""


class Stop:
    """Why the run has to stop: looked at by `pause` and by the steps that work in parallel."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin a run for which nothing is noted."""
        self.reason: Exception | None = None
        self.signals = 0
        self.asking = False  # a question is on the terminal
        self.unattended = False  # nobody is there any more to answer one


stop = Stop()


def stop_if_asked() -> None:
    """Raise the reason if the run has to stop."""
    if stop.reason is not None:
        raise stop.reason


def pause(seconds: float) -> None:
    """Wait, but no longer than until the run has to stop."""
    deadline = time.monotonic() + seconds
    while True:
        stop_if_asked()
        left = deadline - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, _SLICE))


def on_signal(number: int, _frame: Any) -> None:
    """Note a signal. A question that is on the terminal ends by an exception."""
    if number != signal.SIGINT:
        stop.unattended = True
    closes_twice = stop.signals > 0 and number not in (signal.SIGINT, signal.SIGTERM)
    if not closes_twice:  # a terminal that closes sends SIGHUP twice
        note_signal()
    if stop.asking:
        stop.asking = False
        raise KeyboardInterrupt


def note_signal() -> None:
    """Note that the run has to stop, or leave at once."""
    stop.signals += 1
    if stop.signals > 1:
        write_at_once(
            f'Left at once. What may be left, and how to delete it:\n  {deletion_command("job")}\n'
            f'  {deletion_command("pool")}\n  {deletion_command("container")}'
        )
        os._exit(130)

    write_at_once('Interrupted: cleaning up. Once more leaves at once.')
    stop.reason = InterruptedRunError()


def write_at_once(text: str) -> None:
    """Write to the terminal from a signal handler, where print() may be in the middle of a line."""
    start = '\r\033[J' if screen.lines else '\n'
    with contextlib.suppress(OSError):
        os.write(2, f'{start}{text}\n'.encode())


@contextlib.contextmanager
def signals_noted() -> Iterator[None]:
    """Note SIGINT, SIGTERM and SIGHUP, unless they are ignored (nohup, a background command)."""
    stop.reset()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, 'SIGHUP'):  # not on Windows
        numbers.append(signal.SIGHUP)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in numbers:
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- Questions ------------------------------------------------------------------------------------
#
# Where nobody can be asked, a question answers itself and says so: a prompt that hangs in a cron
# job keeps the pool alive.


def query_yes_no(question: str, default: str = 'yes', *, answer: str | None = None) -> str:
    """Return 'yes' or 'no': `answer` if it is given, or else what the user types."""
    prompt = f'{question} [{"Y/n" if default == "yes" else "y/N"}] '
    if answer is not None:
        say(f'{prompt}{answer}')
        return answer
    if not can_ask():
        say(f'{prompt}{default} (there is no terminal to ask)')
        return default

    while True:
        reply = ask(prompt, default)
        if reply in ('y', 'yes'):
            return 'yes'
        if reply in ('n', 'no'):
            return 'no'
        say("Please answer 'yes' or 'no' ('y' or 'n').")


def ask(prompt: str, default: str) -> str:
    """Return what the user types; the default for just Enter, the end of input, or a signal."""
    try:
        stop.asking = True
        try:
            return input(prompt).strip().lower() or default
        finally:
            stop.asking = False
    except KeyboardInterrupt:
        say(f'{prompt}{default} (interrupted)')
    except (EOFError, OSError, UnicodeError):
        say(default)

    return default


def can_ask() -> bool:
    """Return whether somebody can see a question and answer it."""
    if stop.unattended:
        return False
    try:
        return sys.stdin.isatty() and sys.stdout.isatty()
    except (AttributeError, ValueError):  # no stream, or a closed one
        return False


# --- Cleanup --------------------------------------------------------------------------------------
#
# One deletion that fails must not prevent the others, and whatever is left has to be named, with
# what it costs and the command that deletes it.


def deletion_command(kind: str) -> str:
    """Return the command of the Azure CLI that deletes the input container, the job or the pool."""
    batch = f'--account-name {_BATCH_ACCOUNT_NAME} --account-endpoint {_BATCH_ACCOUNT_URL}'
    if kind == 'job':
        return f'az batch job delete --job-id {_JOB_ID} --yes {batch}'
    if kind == 'pool':
        return f'az batch pool delete --pool-id {_POOL_ID} --yes {batch}'
    return f'az storage container delete -n {_INPUT_CONTAINER_NAME} {storage_options()}'


def storage_options() -> str:
    """Return the options by which the Azure CLI reaches the storage account."""
    options = f'--account-name {_STORAGE_ACCOUNT_NAME}'
    if not _STORAGE_ACCOUNT_URL.startswith(f'https://{_STORAGE_ACCOUNT_NAME}.blob.core.'):
        options += f' --blob-endpoint {_STORAGE_ACCOUNT_URL}'
    if not _STORAGE_ACCOUNT_KEY:
        options += ' --auth-mode login'
    return options


# Why something is left.
_KEPT = 'is kept'
_NEEDED = 'is kept: the job still needs it'
_FOREIGN = 'is not of this run, or another run uses it by now'


class Cleanup:
    """Deletes what this run has made, and remembers what is left."""

    def __init__(self, run: 'Run') -> None:
        self.worked = True
        self._run = run
        self._left: dict[str, str] = {}  # kind -> why
        self._deleted: set[str] = set()

    def tasks_are_unfinished(self) -> bool:
        """Return whether the job of this run still has something to do."""
        with contextlib.suppress(*_EXPECTED_ERRORS):
            return bool(none_if_gone(has_unfinished_tasks, self._run.batch_client, _JOB_ID))
        return False

    def delete_inputs(self) -> None:
        """Delete the input container, unless a job that is kept still needs it."""
        if self._left.get('job') == _KEPT:
            self._left['container'] = _NEEDED
            return
        container = self._run.blob_client.get_container_client(_INPUT_CONTAINER_NAME)
        self._delete('container', container.get_container_properties, container.delete_container)

    def delete_job(self) -> None:
        """Print the end of the transcript, and delete the job if the user agrees."""
        ended = datetime.now().replace(microsecond=0)
        say(f'\nSample end: {ended}\nElapsed time: {ended - self._run.began}\n')
        jobs = self._run.batch_client.job
        self._delete(
            'job', functools.partial(jobs.get, _JOB_ID), functools.partial(jobs.delete, _JOB_ID)
        )

    def delete_pool(self) -> None:
        """Delete the pool if the user agrees."""
        if self._left.get('job') == _FOREIGN:
            self._left['pool'] = _NEEDED
            return
        if self._run.pool_released:
            query_yes_no('Delete pool?', answer=self._run.options.answer)  # answers itself
            self._deleted.add('pool')
            return

        pools = self._run.batch_client.pool
        self._delete(
            'pool',
            functools.partial(pools.get, _POOL_ID),
            functools.partial(pools.delete, _POOL_ID),
        )

    def _delete(self, kind: str, get: Callable[[], Any], delete: Callable[[], Any]) -> None:
        try:
            if not self._may_delete(kind, get):
                return
            if self._is_wanted(kind):
                self._left[kind] = _KEPT
            elif self._may_delete(kind, get):  # the question may have waited for hours
                none_if_gone(delete)  # None if an earlier try has deleted it, whose answer was lost
                self._deleted.add(kind)
        except _EXPECTED_ERRORS as error:
            warn(f'Warning: the {kind} could not be deleted. {describe(error)}')
            self._left[kind] = 'may be left'
            self.worked = False

    def _may_delete(self, kind: str, get: Callable[[], Any]) -> bool:
        existing = none_if_gone(get)
        if existing is None:
            return False
        if not is_ours(existing, this_run=True):
            self._left[kind] = _FOREIGN
            return False
        return True

    def _is_wanted(self, kind: str) -> bool:
        if kind == 'container':
            say(f'Deleting container [{_INPUT_CONTAINER_NAME}]...')
            return False
        return query_yes_no(f'Delete {kind}?', answer=self._run.options.answer) == 'no'

    def say_what_is_left(self) -> None:
        """Name what is left, what it costs and the command that deletes it."""
        for kind, why in self._left.items():
            warn(f'The {kind} {why}. {cost_of(self._run, kind)}:\n  {deletion_command(kind)}')
        if 'pool' in self._deleted:
            warn(
                'Nothing that bills is left, except the files in Storage. '
                'Nodes stop billing when they are gone, in a few minutes.'
            )


def left_message(run: 'Run') -> str:
    """Return what the job in the way and its pool cost, and how to delete them."""
    message = f'{cost_of(run, "job")}:\n  {deletion_command("job")}'
    if none_if_gone(run.batch_client.pool.get, _POOL_ID) is not None:
        message += f'\nPool [{_POOL_ID}] exists. {cost_of(run, "pool")}:'
        message += f'\n  {deletion_command("pool")}'
    return message


_END_OF_NODES = r'= time\(\) < time\("([-:\dT]+Z)"\) \? \d+ : 0;'  # in a formula of this sample


def cost_of(run: 'Run', kind: str) -> str:
    """Return what it costs to leave something behind."""
    if kind == 'job':
        return 'It costs nothing. To delete it'
    if kind == 'container':
        return 'Its files bill. To delete it'
    with contextlib.suppress(*_EXPECTED_ERRORS):
        pool = none_if_gone(run.batch_client.pool.get, _POOL_ID)
        end = re.search(_END_OF_NODES, pool.auto_scale_formula or '') if pool else None
        if end:
            local = datetime.fromisoformat(end[1]).astimezone()
            if local < datetime.now(UTC):
                return 'Its nodes are gone, or going. To delete it'
            return (
                f'Its nodes bill until {local:%Y-%m-%d %H:%M}, or until it is deleted. To delete it'
            )

    return 'Its nodes bill until it is deleted. To delete it'


def say_where_outputs_are(run: 'Run') -> None:
    """Say where the MP3s are that an unfinished run has made, and how to get them."""
    with contextlib.suppress(*_EXPECTED_ERRORS):
        names = {output_name(name) for name in run.videos}
        made = sum(name in names for name in output_sizes(run))
        if made > len(run.arrived) or (made and stop.signals):
            folder = run.options.output
            warn(
                f'{made} MP3s of this run are in container [{_OUTPUT_CONTAINER_NAME}], '
                f'{len(run.arrived)} of them have arrived in {folder}. To fetch them:\n'
                f'  az storage blob download-batch --source {_OUTPUT_CONTAINER_NAME} '
                f'--destination "{folder}" {storage_options()}\n'
                'To convert only what is missing, run again with --missing.'
            )


# --- main -----------------------------------------------------------------------------------------
#
# An error must leave neither the pool, which bills, nor the lock. So the cleanup follows whatever
# happens (but for a lock that another run has taken), and only then errors become exit codes.


@dataclass
class Run:
    """What the steps of one run share."""

    options: argparse.Namespace
    videos: dict[str, Path]
    batch_client: Any
    blob_client: BlobServiceClient
    began: datetime
    since: datetime | None = None  # the service's time: older blobs are of other runs
    results: dict[str, VideoResult] = field(default_factory=dict)
    node_hours: float = 0.0
    pool_released: bool = False  # deleted before the downloads
    arrived: list[str] = field(default_factory=list)  # videos whose MP3 is in the output folder


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sample. Return 0 if all files were converted, 1, 2 or 130 (see above) if not."""
    options = parse_arguments(argv)
    escape_odd_names()

    with signals_noted():
        try:
            check_settings(options)
            videos = find_videos(options.input)
            if options.missing:
                videos = leave_out_converted(videos, options.output)
            exit_code = run_with_cleanup(options, videos) if videos or options.check else 0
        except UsageError as error:
            print_batch_exception(error)
            exit_code = 2
        except InterruptedRunError:
            exit_code = 130
        except _EXPECTED_ERRORS as error:
            print_batch_exception(error)
            exit_code = 1
        return 130 if stop.signals else exit_code


def run_with_cleanup(options: argparse.Namespace, videos: dict[str, Path]) -> int:
    """Run the sample alone, and clean up whatever happens; return the exit code."""
    batch_client, blob_client = create_clients()
    began = datetime.now().replace(microsecond=0)
    run = Run(options, videos, batch_client, blob_client, began)
    if options.check:
        contact_services(run)
        check_only(run)
        return 0

    options.output.mkdir(parents=True, exist_ok=True)
    say(f'Sample start: {began}\n')
    contact_services(run)
    lock = take_lock(blob_client)
    try:
        stop_if_asked()  # before anything is asked or deleted
        replace_old_job(run)
        return convert_and_clean_up(run, lock)
    finally:
        lock.release()


def convert_and_clean_up(run: Run, lock: RunLock) -> int:
    """Convert the videos, and clean up whatever happens; return the exit code."""
    exit_code = 1
    finished = False
    try:
        convert_videos(run)
        exit_code = 0
        finished = True
    except InterruptedRunError:
        pass
    except _EXPECTED_ERRORS as error:
        print_batch_exception(error)
    finally:
        lock.renew()
        if lock.lost:
            exit_code = 1
            say_lock_is_lost(finished)
        else:
            if not finished:
                say_where_outputs_are(run)
            if not clean_up(run):
                exit_code = 1

    return exit_code


def say_lock_is_lost(finished: bool) -> None:
    """Say that nothing is deleted, since another run may use it by now."""
    if finished:  # otherwise the reason has been told
        print_batch_exception(stop.reason or SampleError('The lease is lost.'))
    warn('Nothing is deleted, since another run may use it. Its nodes and files bill.')
    warn('When that run has ended:')
    for kind in ('job', 'pool', 'container'):
        warn(f'  {deletion_command(kind)}')


def escape_odd_names() -> None:
    """Print names that the terminal cannot show with escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            with contextlib.suppress(ValueError):  # a closed stream
                stream.reconfigure(errors='backslashreplace')


def leave(exit_code: int) -> None:
    """End the process without waiting for uploads that hang; that of a notebook goes on."""
    if hasattr(sys, 'ps1'):
        sys.exit(exit_code)
    os._exit(exit_code)


if __name__ == '__main__':
    leave(main())
