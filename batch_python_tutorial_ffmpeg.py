"""Convert MP4 videos to MP3 in parallel on Azure Batch.

This is the sample of the tutorial "Run a parallel workload with Azure Batch using the Python API":

1. Upload the videos of InputFiles/ to a container in Azure Storage.
2. Create a pool of compute nodes. Each node installs ffmpeg when it starts.
3. Create a job, and add one task for each video. ffmpeg converts it, the node uploads the MP3.
4. Wait for the tasks, and look at the result of every one.
5. Download the MP3s to OutputFiles/.
6. Delete the videos in Azure and, if you agree, the job and the pool.

Put the names of your accounts into the settings below, and run

    python batch_python_tutorial_ffmpeg.py

What exists in Azure, for how long, and what bills:

                        bills            exists until
    input container     by size          every video has its verdict: converted, damaged or failed;
                                         otherwise you are asked, and it stays if nobody is there
    output container    by size          you delete it
    nodes               by the minute    the pool is deleted; at the latest, Batch removes them half
                                         an hour (and five minutes) after the time limit
    pool without nodes  nothing          you agree to delete it, or nobody is there to ask
    job and tasks       nothing          you agree to delete it, or nobody is there to ask

The nodes end by a formula that the pool has from its creation. So this machine may crash at any
moment: what is left bills for storage, and for nodes until the time in that formula. The next run
finds what is left, and uses it again.

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
import threading
import time
import unicodedata
import urllib.request
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath
from typing import Any

try:
    import requests
    import rich.filesize
    import urllib3
    from azure.batch import BatchServiceClient, models as batchmodels
    from azure.batch.batch_auth import SharedKeyCredentials
    from azure.batch.custom.custom_errors import CreateTasksErrorException
    from azure.core.credentials import AccessToken, AzureNamedKeyCredential
    from azure.core.exceptions import (
        AzureError,
        ClientAuthenticationError,
        DeserializationError,
        HttpResponseError,
    )
    from azure.identity import DefaultAzureCredential
    from azure.storage.blob import (
        BlobServiceClient,
        generate_blob_sas,
        generate_container_sas,
    )
    from msrest.exceptions import ClientException, ClientRequestError
    from msrestazure.azure_active_directory import AdalAuthentication
    from requests.adapters import HTTPAdapter
    from rich.console import Console
    from rich.control import Control
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.segment import ControlType
    from rich.table import Column, Table
except ModuleNotFoundError as missing:
    print(f'Error: {missing}. Run: pip install -r requirements.txt', file=sys.stderr)
    sys.exit(2)


# ==================================================================================================
# Part 1: the tutorial
# ==================================================================================================

# --- Settings -------------------------------------------------------------------------------------

# Replace the values in <...>, or set the environment variables beside them.
_BATCH_ACCOUNT_NAME = os.getenv('AZURE_BATCH_ACCOUNT', '<Batch account>')
_BATCH_ACCOUNT_KEY = os.getenv('AZURE_BATCH_ACCESS_KEY', '')  # empty: sign in with Entra ID
_BATCH_ACCOUNT_URL = os.getenv(
    'AZURE_BATCH_ENDPOINT', 'https://<Batch account>.<region>.batch.azure.com'
)
_STORAGE_ACCOUNT_NAME = os.getenv('AZURE_STORAGE_ACCOUNT', '<storage account>')
_STORAGE_ACCOUNT_KEY = os.getenv('AZURE_STORAGE_KEY', '')  # empty: sign in with Entra ID
_STORAGE_ACCOUNT_URL = os.getenv(
    'AZURE_STORAGE_SERVICE_ENDPOINT', f'https://{_STORAGE_ACCOUNT_NAME}.blob.core.windows.net'
)

_INPUT_CONTAINER_NAME = 'input'
_OUTPUT_CONTAINER_NAME = 'output'  # may exist already; it is never deleted

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
_POOL_NODE_AGENT_SKU_ID = 'batch.node.ubuntu 24.04'  # the agent of Batch for this image

_JOB_ID = 'LinuxFFmpegJob'
# The time limit for all tasks together, with the wait for the nodes, is _JOB_TIMEOUT, and
# _TIMEOUT_PER_GIGABYTE for each gigabyte that one node has to convert. (A slow node of one core
# reads and writes about 10 MB a second, and converts the audio of an hour in about two minutes.)
# The option --timeout takes the place of both.
_JOB_TIMEOUT = timedelta(minutes=30)
_TIMEOUT_PER_GIGABYTE = timedelta(minutes=6)
_MARGIN = timedelta(minutes=30)  # beyond the time limit, until Batch itself ends job and nodes
_UPLOAD_TIME = timedelta(days=1)  # for which a SAS lasts beyond the time limit

# Another format is '.m4a' with the options '-vn -c:a aac'.
_OUTPUT_FORMAT = {'extension': '.mp3', 'ffmpeg_options': ''}


# --- The words ------------------------------------------------------------------------------------
#
# A compute node is a virtual machine that Batch starts for you; a pool is a number of nodes, all
# alike. A task is one command line that runs on one node. A job is a collection of tasks that run
# on one pool. The nodes cannot see your disk: what they read and write are blobs (files) in
# containers (folders) of an Azure Storage account. A SAS (shared access signature) is a permission
# in a URL: whoever has the URL may do one thing with one blob or container, for a limited time.
#
# "Output" below is what a video becomes: its MP3, unless you choose another format. A video has its
# verdict when ffmpeg has converted it, has found it damaged (the output goes as far as it can), or
# has failed to convert it. It has none if its task did not come that far.


@dataclass
class Run:
    """What the steps of one run share."""

    options: argparse.Namespace  # of the command line: `parse_arguments` in part 2
    videos: dict[str, Path]  # by name, which is the path below the input folder: 'sub/talk.mp4'
    batch_client: BatchServiceClient
    blob_client: BlobServiceClient
    lock: 'RunLock'  # nobody else uses the containers, the pool and the job meanwhile
    started: datetime  # by Azure's clock: outputs that are older are of an earlier run
    stopwatch: float  # seconds, by a clock of this machine that nobody sets
    results: dict[str, 'VideoResult'] = field(default_factory=dict)  # by the name of the video
    arrived: set[str] = field(default_factory=set)  # videos whose output is here
    cleaned_up: bool = True  # no deletion has failed

    def is_success(self) -> bool:
        """Return whether every video was converted without an error."""
        good = [result for result in self.results.values() if result.status == 'ok']
        return len(good) == len(self.videos)


# --- The whole run --------------------------------------------------------------------------------
#
# The steps stand in the `try` of `take_steps`, the cleanup in its `finally`. So it happens after an
# error, too, and after Ctrl-C: nodes that nobody needs any more are the expensive part of a failed
# run.
#
# Two runs at once would mix their files and delete each other's containers. So the first thing is a
# lock: the lease on the output container, which only one run can have. A run that dies loses it
# within a minute.
#
# Three things make the calls below dependable, all in part 2. Both clients send again what fails
# for a moment (`repeat_failed_requests`). `retry_while_busy` waits for what is still being deleted.
# `ask_patiently` goes on asking how the tasks are while the service is away.


def convert_videos(options: argparse.Namespace, videos: dict[str, Path]) -> int:
    """Sign in, lock out other runs, and take the steps; return the exit code."""
    batch_client, blob_client = create_clients()
    say(f'Sample start: {datetime.now():%Y-%m-%d %H:%M:%S}\n')
    stopwatch = time.monotonic()

    # The output container is needed for the lock. Its line is printed after that of the input
    # container, as in the tutorial.
    output_line = create_container(blob_client, _OUTPUT_CONTAINER_NAME)
    lock = take_lock(blob_client)
    try:
        started = azure_now(blob_client)
        run = Run(options, videos, batch_client, blob_client, lock, started, stopwatch)
        # A pool, job or container of somebody else ends the run. An old job of this sample is
        # deleted if you agree, and ends the run if you do not.
        make_room(run)

        say(create_container(blob_client, _INPUT_CONTAINER_NAME))
        say(output_line)
        return take_steps(run)
    finally:
        lock.release()


def take_steps(run: Run) -> int:
    """Convert the videos, and clean up even after an error; return the exit code."""
    batch_client, blob_client, options = run.batch_client, run.blob_client, run.options
    succeeded = False
    try:
        input_files = upload_videos(run)
        output_container_sas_url = get_container_sas_url(
            blob_client,
            _OUTPUT_CONTAINER_NAME,
            'cw',  # create and write blobs; not read, list or delete them
            expiry=azure_now(blob_client) + _UPLOAD_TIME + options.timeout,
        )

        create_pool(
            batch_client,
            _POOL_ID,
            dedicated_nodes=options.dedicated_nodes,
            low_priority_nodes=options.low_priority_nodes,
            vm_size=options.vm_size,
            nodes_end=azure_now(blob_client) + options.timeout + _MARGIN,
        )
        create_job(batch_client, _JOB_ID, _POOL_ID, time_limit=options.timeout + _MARGIN)
        add_tasks(batch_client, _JOB_ID, input_files, output_container_sas_url)

        why_unfinished = wait_for_tasks_to_complete(
            batch_client, _JOB_ID, options.timeout, pool_id=_POOL_ID
        )
        run.results = read_results(batch_client, _JOB_ID, why_unfinished)  # while there are nodes
        find_outputs(run)
        if run.is_success():
            say('Success! All tasks completed successfully within the specified timeout period.')

        # With -y or without a terminal, no question about the pool will come. Then its nodes need
        # not bill during the downloads.
        unattended = options.answer == 'yes' or (options.answer is None and not can_ask())
        if unattended and not run.lock.is_lost():
            say(f'Deleting pool [{_POOL_ID}]...')
            with removing(run, 'pool'):
                batch_client.pool.delete(_POOL_ID)

        download_outputs(run)
        print_report(run)
        succeeded = run.is_success()
    except InterruptedRunError:
        pass  # Ctrl-C, which has said so itself; `main` makes 130 of the exit code
    except EXPECTED_ERRORS as error:
        print_batch_exception(error)
    finally:
        clean_up(run)

    return 0 if succeeded and run.cleaned_up else 1


# --- Sign in --------------------------------------------------------------------------------------
#
# There is a client for each service. Both sign in with the key of their account or, without one,
# with Microsoft Entra ID: as you after `az login`, on a server as its managed identity, or as the
# service principal that variables name. (`Token` in part 2 asks for one token and keeps it.)


def create_clients() -> tuple[BatchServiceClient, BlobServiceClient]:
    """Return a client of the Batch account and one of the storage account."""
    if not (_BATCH_ACCOUNT_KEY and _STORAGE_ACCOUNT_KEY):
        token = Token(DefaultAzureCredential(process_timeout=60))  # seconds, for `az` to answer

    batch_credentials: Any
    if _BATCH_ACCOUNT_KEY:
        batch_credentials = SharedKeyCredentials(_BATCH_ACCOUNT_NAME, _BATCH_ACCOUNT_KEY)
    else:
        batch_credentials = AdalAuthentication(token.for_batch)  # sends a token with each request
    batch_client = BatchServiceClient(batch_credentials, _BATCH_ACCOUNT_URL.rstrip('/'))
    repeat_failed_requests(batch_client)

    storage_credential: Any
    if _STORAGE_ACCOUNT_KEY:
        storage_credential = AzureNamedKeyCredential(_STORAGE_ACCOUNT_NAME, _STORAGE_ACCOUNT_KEY)
    else:
        storage_credential = token
    blob_client = BlobServiceClient(
        _STORAGE_ACCOUNT_URL,
        credential=storage_credential,
        max_single_put_size=_BLOCK_SIZE,  # larger files travel in blocks of this size
        max_single_get_size=_BLOCK_SIZE,
        session=repeating_session(),
        retry_total=0,  # the session repeats what fails
        connection_timeout=10,  # seconds
        read_timeout=60,
    )
    return batch_client, blob_client


# --- Step 1: upload the videos --------------------------------------------------------------------
#
# The videos go into one container, the outputs come into another. All that the sample creates
# carries metadata that say so, and it deletes nothing that does not carry them.


def create_container(blob_service_client: BlobServiceClient, container_name: str) -> str:
    """Create a container, or use the one of that name; return a line that says which."""
    container = blob_service_client.get_container_client(container_name)
    try:
        retry_while_busy(container.create_container, metadata=our_metadata())
    except AzureError as error:
        if error_code(error) != 'ContainerAlreadyExists':
            raise
        return f'Container [{container_name}] exists and is used again.'

    return f'Container [{container_name}] created.'


# A node has no password for the storage account. For each video it gets a URL with a SAS that
# permits to read this one blob. Whoever has the URL has the permission, so it is never printed.
#
# A SAS is signed with a key: that of the account or, if you have signed in with Entra ID, one that
# Storage gives you for some days (the user delegation key). Each SAS is signed when its video is
# uploaded. It has to last until all the others are uploaded (a day, at most) and the tasks have
# ended (the time limit).
#
# The metadata of the blob are the size of the file and the time of its last change. So the next run
# can see whether the blob still is this file.


def upload_file_to_container(
    blob_service_client: BlobServiceClient,
    container_name: str,
    file_path: str | Path,
    *,
    blob_name: str = '',
    sas_expiry: datetime | None = None,
    is_there: bool = False,
    **upload_options: Any,
) -> batchmodels.ResourceFile:
    """Upload a file unless it is there; return a resource file, from which a node can get it."""
    path = Path(file_path)
    blob_name = blob_name or path.name
    blob_client = blob_service_client.get_blob_client(container_name, blob_name)

    if not is_there:
        with path.open('rb') as data:
            blob_client.upload_blob(
                data,
                overwrite=True,
                validate_content=True,  # each block carries an MD5 checksum
                metadata=file_metadata(path),
                **upload_options,
            )

    sas_expiry = sas_expiry or datetime.now(UTC) + _UPLOAD_TIME + _JOB_TIMEOUT
    sas_token = generate_blob_sas(
        account_name=_STORAGE_ACCOUNT_NAME,
        container_name=container_name,
        blob_name=blob_name,
        # One of the two is None.
        account_key=_STORAGE_ACCOUNT_KEY or None,
        user_delegation_key=user_delegation_key(blob_service_client, sas_expiry),
        permission='r',
        expiry=sas_expiry,
    )
    return batchmodels.ResourceFile(
        http_url=f'{blob_client.url}?{sas_token}',
        file_path=blob_name,
    )


# One upload after the other leaves the line idle most of the time: each request waits for its
# answer. Therefore several videos are uploaded at once (`in_parallel` in part 2). Those that an
# earlier run has uploaded only get a new SAS.


def upload_videos(run: Run) -> list[batchmodels.ResourceFile]:
    """Upload the videos that are not there yet; return all as resource files, in their order."""
    there = find_uploaded(run)
    expiry = azure_now(run.blob_client) + _UPLOAD_TIME + run.options.timeout
    user_delegation_key(run.blob_client, expiry)  # is kept: no thread has to ask for it
    sent = dict.fromkeys(run.videos, 0)  # bytes
    total = sum(path.stat().st_size for name, path in run.videos.items() if name not in there)

    def upload(name: str) -> batchmodels.ResourceFile:
        def count_bytes(so_far: int, _total: int | None) -> None:
            pause(0)  # raises an error if the run has to stop, as after Ctrl-C
            sent[name] = so_far

        if name not in there:
            say(f'Uploading file {name} to container [{_INPUT_CONTAINER_NAME}]...')
        with unchanged(run.videos[name]):
            return upload_file_to_container(
                run.blob_client,
                _INPUT_CONTAINER_NAME,
                run.videos[name],
                blob_name=name,
                sas_expiry=expiry,
                is_there=name in there,
                max_concurrency=run.options.max_concurrency,
                progress_hook=count_bytes,
            )

    with progress() as show:

        def show_bytes(_files: int) -> None:
            done = sum(sent.values())
            text = f'Uploading: {rich.filesize.decimal(done)} of {rich.filesize.decimal(total)}'
            show(text, done, total)

        files = in_parallel(upload, list(run.videos), show_bytes)

    # After more than a day each SAS would end before the tasks. All is there now, so it is only
    # signed again.
    if azure_now(run.blob_client) + run.options.timeout > expiry:
        return upload_videos(run)
    return files


# The nodes write into the output container with a SAS of the container.


def get_container_sas_url(
    blob_service_client: BlobServiceClient,
    container_name: str,
    blob_permissions: Any,
    *,
    expiry: datetime | None = None,
) -> str:
    """Return the URL of a container with a SAS that grants `blob_permissions` until `expiry`."""
    expiry = expiry or datetime.now(UTC) + _UPLOAD_TIME + _JOB_TIMEOUT
    sas_token = generate_container_sas(
        account_name=_STORAGE_ACCOUNT_NAME,
        container_name=container_name,
        account_key=_STORAGE_ACCOUNT_KEY or None,
        user_delegation_key=user_delegation_key(blob_service_client, expiry),
        permission=blob_permissions,
        expiry=expiry,
    )
    container = blob_service_client.get_container_client(container_name)
    return f'{container.url}?{sas_token}'


# --- Step 2: create a pool ------------------------------------------------------------------------
#
# You pay for each node from the moment it exists until it is gone, whether it works or not. How
# many there are is decided by the pool's formula, which Batch evaluates when the pool is created
# and every five minutes from then on. Ours says: so many nodes until `nodes_end`, and none after.
# So the bill ends even if this program dies, at the latest five minutes after that time. (The job
# ends at about that time, too, by a limit of its own.)
#
# Low-priority (Spot) nodes cost a fraction of dedicated ones. In return Azure may take one away at
# any time, and Batch then runs its task again on another.
#
# Each node first runs the start task, which installs ffmpeg. Only an administrator may install
# something, so it runs as one, as a user that the whole pool shares. The tasks that follow run
# without these rights. A node whose start task has failed three times (two retries) takes no task,
# and bills all the same. If that happens on all nodes, the wait for the tasks ends.
#
# Batch starts a command line without a shell, so this one starts its own. A fresh Ubuntu installs
# updates when it boots, and nobody else can install anything for some minutes. Hence the loop, with
# up to 20 attempts. The start task also runs at every reboot, and then finds ffmpeg at once.

_START_TASK_COMMAND = (
    "/bin/bash -c '"
    'export DEBIAN_FRONTEND=noninteractive; '
    'for attempt in {1..20}; do '
    'if command -v ffmpeg; then exit 0; fi; '
    'apt-get update; '
    'if apt-get install -y --no-install-recommends ffmpeg; then exit 0; fi; '
    'sleep 15; '
    'done; '
    "exit 1'"
)


def create_pool(
    batch_service_client: BatchServiceClient,
    pool_id: str,
    *,
    dedicated_nodes: int = _DEDICATED_POOL_NODE_COUNT,
    low_priority_nodes: int = _LOW_PRIORITY_POOL_NODE_COUNT,
    vm_size: str = _POOL_VM_SIZE,
    nodes_end: datetime | None = None,
) -> None:
    """Create a pool whose nodes install ffmpeg, or use one that this sample has left."""
    say(f'Creating pool [{pool_id}]...')
    nodes_end = nodes_end or datetime.now(UTC) + _JOB_TIMEOUT + _MARGIN
    before_end = f'time() < time("{nodes_end.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")'
    formula = (
        f'$TargetDedicatedNodes = {before_end} ? {dedicated_nodes} : 0;\n'
        f'$TargetLowPriorityNodes = {before_end} ? {low_priority_nodes} : 0;'
    )
    pool = batchmodels.PoolAddParameter(
        id=pool_id,
        virtual_machine_configuration=batchmodels.VirtualMachineConfiguration(
            image_reference=batchmodels.ImageReference(**_POOL_IMAGE),
            node_agent_sku_id=_POOL_NODE_AGENT_SKU_ID,
        ),
        vm_size=vm_size,
        enable_auto_scale=True,
        auto_scale_formula=formula,
        auto_scale_evaluation_interval=_FORMULA_INTERVAL,
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
        metadata=[batchmodels.MetadataItem(name=k, value=v) for k, v in our_metadata().items()],
    )

    try:
        # If the pool exists, `get` looks at it. It may be the one of this request, whose first
        # answer was lost on the way.
        retry_while_busy(batch_service_client.pool.add, pool, get=batch_service_client.pool.get)
    except batchmodels.BatchErrorException as error:
        if error_code(error) != 'PoolExists':
            raise

        # An earlier run has kept it. The formula of that run has removed its nodes, or soon will.
        # The new one brings them back when Batch evaluates it next: within five minutes.
        check_existing_pool(batch_service_client.pool.get(pool_id), vm_size)
        retry_while_busy(
            batch_service_client.pool.enable_auto_scale,
            pool_id,
            auto_scale_formula=formula,
            auto_scale_evaluation_interval=_FORMULA_INTERVAL,
        )
        say(f'Pool [{pool_id}] exists with the same settings and is used again.')


# --- Step 3: create a job and its tasks -----------------------------------------------------------
#
# Batch itself ends the job when its own time limit has passed, even without this program. That ends
# its tasks; the nodes end by the formula of the pool.


def create_job(
    batch_service_client: BatchServiceClient,
    job_id: str,
    pool_id: str,
    *,
    time_limit: timedelta = _JOB_TIMEOUT + _MARGIN,
) -> None:
    """Create a job on a pool."""
    say(f'Creating job [{job_id}]...')
    job = batchmodels.JobAddParameter(
        id=job_id,
        pool_info=batchmodels.PoolInformation(pool_id=pool_id),
        constraints=batchmodels.JobConstraints(max_wall_clock_time=time_limit),
        metadata=[batchmodels.MetadataItem(name=k, value=v) for k, v in our_metadata().items()],
    )
    retry_while_busy(batch_service_client.job.add, job, get=batch_service_client.job.get)


# On its node a video is always input.mp4, and its output is output.mp3. So the name of a video
# never becomes part of a command.
#
# ffmpeg ends with exit code 0 even if half of a video is missing or cannot be read. But then it
# prints errors, and for an intact video it prints nothing. So the command keeps what ffmpeg prints
# (the last 100 lines, in memory, since the disk may be full), and copies it to stderr:
#
# - If ffmpeg has failed, the video cannot be converted. The task ends with the exit code of ffmpeg
#   (that is what `pipefail` is for), and leaves no output.
# - If ffmpeg has printed anything, the video is damaged. The task ends with exit code 3, and keeps
#   what could be converted.
#
# `sed` drops two messages that do not concern the audio: about chapters without their track, and
# about a track without any content. (With `repeat`, ffmpeg prints a message again instead of "Last
# message repeated".) The option -abort_on lets a video fail whose audio is empty. The video is
# removed in any case, because the disk of a node is small.

_DAMAGED_EXIT_CODE = 3


def task_command() -> str:
    """Return the command line of every task."""
    output = output_name('output')
    return (
        "/bin/bash -c '"
        'set -o pipefail; '
        'errors=$('
        'ffmpeg -nostdin -loglevel repeat+error -abort_on empty_output_stream -y '
        f'-i input.mp4 {_OUTPUT_FORMAT["ffmpeg_options"]} {output} 2>&1 '
        '| sed "/chapter track not found/d; /missing mandatory atoms/d" | tail -n 100); '
        'code=$?; '
        'rm -f input.mp4; '
        'echo -n "$errors" >&2; '
        f'if [ $code -ne 0 ]; then rm -f {output}; exit $code; fi; '
        f'if [ -n "$errors" ]; then exit {_DAMAGED_EXIT_CODE}; fi\''
    )


def output_name(video: str) -> str:
    """Return the name of what a video becomes: 'sub/a.b.mp4' becomes 'sub/a.b.mp3'."""
    return PurePosixPath(video).with_suffix(_OUTPUT_FORMAT['extension']).as_posix()


# Before a task starts, its node downloads the resource files. After it has ended, the node uploads
# the output files: whether it has succeeded or not (`task_completion`), because the output of a
# damaged video is worth having.
#
# A task that fails stops no other. It is not tried again: what fails is nearly always the video,
# and fails the second time, too. (If Azure takes a node back, Batch repeats its task by itself.)


def add_tasks(
    batch_service_client: BatchServiceClient,
    job_id: str,
    input_files: Sequence[batchmodels.ResourceFile],
    output_container_sas_url: str,
) -> None:
    """Add one task for each input file."""
    say(f'Adding {plural(len(input_files), "task")} to job [{job_id}]...')
    tasks = []
    for number, input_file in enumerate(input_files):
        video = input_file.file_path  # the name of its blob; on the node it is input.mp4
        task = batchmodels.TaskAddParameter(
            id=f'Task{number}',
            display_name=video,
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
                            path=output_name(video),
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

    # Batch takes at most 100 tasks in a request. What it confirms is counted, so that a task that
    # got lost on the way is noticed now, and not after the wait.
    def add_hundred(start: int) -> int:
        added = batch_service_client.task.add_collection(job_id, tasks[start : start + 100])
        return len(added.value)

    confirmed = sum(in_parallel(add_hundred, range(0, len(tasks), 100)))
    if confirmed != len(tasks):
        raise SampleError(f'Batch has confirmed {confirmed} of {plural(len(tasks), "task")}.')


# --- Step 4: wait for the tasks, and look at their results ----------------------------------------
#
# The service sends no message when a task ends, so a client has to ask. It asks for the counts,
# which cost little but may be some seconds old. When they say that all tasks are completed, or have
# not changed for a while, it looks for an unfinished task in the list, which is exact.
#
# `nodes_status` in part 2 also looks at the nodes. If none of them will ever take a task, it raises
# an error that says why. Then the wait ends, and what was converted by then is downloaded.


def wait_for_tasks_to_complete(
    batch_service_client: BatchServiceClient,
    job_id: str,
    timeout: timedelta,
    *,
    pool_id: str = _POOL_ID,
) -> str:
    """Wait until all tasks are completed; return '' then, or why not all are."""
    say(f"Monitoring all tasks for 'Completed' state, timeout in {timeout!s:0>8}...")
    deadline = time.monotonic() + timeout.total_seconds()
    give_up_at = deadline + _MARGIN.total_seconds()
    get_counts = batch_service_client.job.get_task_counts
    unfinished = batchmodels.TaskListOptions(
        filter="state ne 'completed'", select='id', max_results=1
    )
    nodes: dict[str, int] = {}  # how many are in each state
    last_status = ''
    polls_without_news = 0

    with progress() as show:
        while True:
            counts = ask_patiently(give_up_at, get_counts, job_id).task_counts
            total = counts.active + counts.running + counts.completed
            all_completed = counts.completed > 0 and counts.completed == total
            no_news_for_a_while = polls_without_news % 5 == 4
            if all_completed or no_news_for_a_while:
                tasks = batch_service_client.task.list(job_id, unfinished)
                if not ask_patiently(give_up_at, any, tasks):  # any() stops at the first task
                    return ''
            else:
                try:
                    nodes = ask_patiently(give_up_at, nodes_status, batch_service_client, pool_id)
                except SampleError as error:
                    return str(error)

            if time.monotonic() > deadline:
                advice = _ADVICE_AFTER_TIMEOUT.get(tuple(nodes), _MORE_TIME)
                return f'{timeout!s:0>8} have passed, with {describe_nodes(nodes)}. {advice}'

            status = (
                f'Tasks: {counts.completed} of {total} done, {counts.active} queued, '
                f'{counts.running} running, {counts.failed} failed; {describe_nodes(nodes)}'
            )
            polls_without_news = polls_without_news + 1 if status == last_status else 0
            last_status = status
            show(status, counts.completed, total)
            pause(min(1.5**polls_without_news, 4.5))  # seconds: the longer, the less happens


# "Completed" only means that a task has ended. Whether it succeeded is in its execution info: the
# result, the exit code of the command line and, if Batch itself failed, a code and a message.


@dataclass
class VideoResult:
    """What became of one video."""

    name: str
    task_id: str = ''
    status: str = 'failed'  # or 'ok' or 'damaged'
    reason: str = ''
    has_verdict: bool = False  # ffmpeg has spoken; otherwise another run may help
    seconds: float = 0.0  # for which the task ran
    output_size: int = 0  # bytes


def read_results(
    batch_service_client: BatchServiceClient, job_id: str, why_unfinished: str = ''
) -> dict[str, VideoResult]:
    """Return the result of each task, by the name of its video."""
    options = batchmodels.TaskListOptions(select='id,displayName,state,executionInfo')
    results = {}
    for task in batch_service_client.task.list(job_id, options):
        result = VideoResult(task.display_name, task.id)
        if task.state == batchmodels.TaskState.completed:
            judge(result, task.execution_info)
        else:
            result.reason = f'not done: {why_unfinished}'
        results[result.name] = result

    # What ffmpeg has printed is in a file on the node. Each costs a request, so only the first are
    # asked for.
    not_good = [result for result in results.values() if result.reason and result.has_verdict]
    get_file = batch_service_client.file.get_from_task
    for result in not_good[:_SHOWN_FILES]:
        text = last_lines(get_file, job_id, result.task_id, 'stderr.txt')
        if 'does not contain any stream' in text:
            result.reason += ': no audio track'
        result.reason += text
    return results


def judge(result: VideoResult, execution: batchmodels.TaskExecutionInformation) -> None:
    """Fill in what became of a video whose task has ended."""
    if execution.start_time:
        result.seconds = (execution.end_time - execution.start_time).total_seconds()

    if execution.result == batchmodels.TaskExecutionResult.success:
        result.status, result.has_verdict = 'ok', True
        return
    if execution.exit_code == _DAMAGED_EXIT_CODE:
        result.status, result.has_verdict = 'damaged', True
        result.reason = 'ffmpeg reported errors'
        return

    failure = execution.failure_info
    code = failure.code if failure else 'FailureExitCode'
    if code == 'FailureExitCode' or (execution.exit_code and code.startswith('FileUpload')):
        # ffmpeg has failed. It has left no output, so Batch may call that a failed upload.
        result.has_verdict = True
        result.reason = f'exit code {execution.exit_code}'
    else:
        result.reason = describe_code(BATCH, code, failure.message)


# A task's success is not enough: its output must be in the container, and not empty.


def find_outputs(run: Run) -> None:
    """Find the output of each video. One without an output has failed, whatever its task said."""
    sizes = output_sizes(run)
    gone = 'its task is gone: somebody has deleted it'
    run.results = {  # without tasks that somebody else has added to the job
        name: run.results.get(name, VideoResult(name, reason=gone)) for name in run.videos
    }
    for name, result in run.results.items():
        result.output_size = sizes.get(output_name(name), 0)
        if result.output_size == 0 and result.status != 'failed':
            result.status, result.has_verdict = 'failed', False
            result.reason = 'the task has ended, but its output is missing or empty'


def output_sizes(run: Run) -> dict[str, int]:
    """Return the size in bytes of each blob that this run has written to the output container."""
    container = run.blob_client.get_container_client(_OUTPUT_CONTAINER_NAME)
    return {
        blob.name: blob.size
        for blob in container.list_blobs()
        if blob.last_modified >= run.started  # older ones are of an earlier run
    }


# --- Step 5: download the outputs -----------------------------------------------------------------
#
# A file that arrives gets its name when it is complete (`complete_file` in part 2), so that a
# download which breaks off leaves nothing that looks like an MP3. That of a damaged video is called
# talk.damaged.mp3, and does not replace the talk.mp3 of an earlier run. A video whose output cannot
# be saved counts as failed, and the others go on.


def download_outputs(run: Run) -> None:
    """Download the outputs of all videos that were converted, and of the damaged ones as well."""
    results = [result for result in run.results.values() if result.status != 'failed']
    say(
        f'Downloading {plural(len(results), "file")} from container [{_OUTPUT_CONTAINER_NAME}] '
        f'to {run.options.output}...'
    )

    def download(result: VideoResult) -> None:
        blob_name = output_name(result.name)
        blob_client = run.blob_client.get_blob_client(_OUTPUT_CONTAINER_NAME, blob_name)
        with complete_file(run, result) as file:
            downloader = blob_client.download_blob(max_concurrency=run.options.max_concurrency)
            downloader.readinto(file)

    with progress() as show:
        in_parallel(
            download,
            results,
            lambda done: show(f'Downloading: {done} of {len(results)} files', done, len(results)),
        )


# --- Step 6: clean up -----------------------------------------------------------------------------
#
# The input container goes when every video has its verdict. If some have none (an error, a timeout,
# Ctrl-C), the next run need not upload them again, so you are asked. Then come the questions of the
# tutorial; while they wait, the nodes bill. `removing` in part 2 goes on after an error, so that
# one deletion that fails does not prevent the others; what is gone already is no error.


def clean_up(run: Run) -> None:
    """Delete the videos in Azure and, if the user agrees, the job and the pool."""
    if run.lock.is_lost():
        run.cleaned_up = False
        warn('Nothing is deleted, since another run may use it. Its nodes and files bill.')
        warn('When that run has ended:')
        warn(az_commands('job', 'pool', 'container'))
        return

    batch_client = run.batch_client
    container = run.blob_client.get_container_client(_INPUT_CONTAINER_NAME)

    with removing(run, 'container'):
        if is_ours(container.get_container_properties()) and user_agrees(run, 'container'):
            say(f'Deleting container [{_INPUT_CONTAINER_NAME}]...')
            container.delete_container()

    elapsed = timedelta(seconds=int(time.monotonic() - run.stopwatch))
    say(f'\nSample end: {datetime.now():%Y-%m-%d %H:%M:%S}\nElapsed time: {elapsed}\n')

    with removing(run, 'job'):
        if is_ours(batch_client.job.get(_JOB_ID)) and user_agrees(run, 'job'):
            batch_client.job.delete(_JOB_ID)

    with removing(run, 'pool'):
        if is_ours(batch_client.pool.get(_POOL_ID)) and user_agrees(run, 'pool'):
            batch_client.pool.delete(_POOL_ID)

    say_what_is_left(run)


# ==================================================================================================
# Part 2: what makes it dependable
# ==================================================================================================

# --- Limits ---------------------------------------------------------------------------------------
#
# Limits that are written twice will differ one day. These are the ones that nobody needs to change.

_LONGEST_TIMEOUT = timedelta(days=6)  # with _UPLOAD_TIME the 7 days of a user delegation key
_FORMULA_INTERVAL = timedelta(minutes=5)  # the shortest in which Batch evaluates a formula again
_WAIT_FOR_NODES = timedelta(minutes=6)  # in which a formula must have given a pool its nodes
_WAIT_FOR_UNUSABLE_NODES = timedelta(minutes=10)  # Batch tries to repair them meanwhile
_WAIT_WHILE_BUSY = timedelta(minutes=10)  # for what is still being deleted or resized
_LEASE_SECONDS = 60  # the longest that Azure Storage has; the shortest is 15

_CONNECTIONS = 32  # requests under way at once
_BLOCK_SIZE = 4 * 1024 * 1024  # bytes
_SLICE = 0.2  # seconds between two looks at whether the run has to stop
_LOG_SECONDS = 10  # between two lines about the progress where there is no terminal
_SHOWN_FILES = 20  # rows of the table, and files whose last words are fetched from their nodes
_BATCH_API_VERSION = '2025-06-01'  # azure-batch 14.2.0 sends 2024-02-01, which Batch will retire


# --- Command line and main ------------------------------------------------------------------------
#
# A wrong option must not show after nodes have been paid for. So all are read at once, and passed
# on as values. Where an option is not given, the setting of part 1 counts.


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sample. Return 0 if all files were converted, 1, 2 or 130 (see above) if not."""
    options = parse_arguments(argv)
    exit_code = 0
    with signals_noted():
        try:
            check_settings(options)
            options.input = Path(options.input).expanduser()  # the shell leaves --input=~/Videos
            options.output = Path(options.output).expanduser()
            videos = find_videos(options.input)
            check_outputs(videos, options.output)
            if options.missing:
                videos = leave_out_converted(videos, options.output)
            set_limits(options, videos)

            if options.check:
                check_only(options, videos)
            elif videos:
                warn(describe_bill(options))
                options.output.mkdir(parents=True, exist_ok=True)
                exit_code = convert_videos(options, videos)
        except UsageError as error:
            print_batch_exception(error)
            exit_code = 2
        except RuntimeError as error:
            if "can't start new thread" not in str(error):
                raise
            warn('Error: this machine, or its container, allows no more threads (ulimit -u).')
            exit_code = 1
        except InterruptedRunError:
            pass
        except EXPECTED_ERRORS as error:
            print_batch_exception(error)
            exit_code = 1
    return 130 if stop.signalled else exit_code


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        usage='%(prog)s [options]',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(
        input=str(Path(__file__).with_name('InputFiles')),
        output='OutputFiles',
        dedicated_nodes=_DEDICATED_POOL_NODE_COUNT,
        low_priority_nodes=_LOW_PRIORITY_POOL_NODE_COUNT,
        vm_size=_POOL_VM_SIZE,
    )
    add = parser.add_argument
    text = 'take every .mp4 in this folder and below (default: InputFiles beside the script)'
    add('--input', metavar='DIR', help=text)
    text = 'put the MP3s here (default: %(default)s)'
    add('--output', metavar='DIR', help=text)
    text = 'leave out videos that have an MP3 which is newer'
    add('--missing', action='store_true', help=text)
    text = 'only check what can be checked, create nothing'
    add('--check', action='store_true', help=text)
    text = 'dedicated nodes (default: %(default)s); there are never more nodes than videos'
    add('--dedicated', dest='dedicated_nodes', type=int, metavar='N', help=text)
    text = 'Spot nodes (default: %(default)s)'
    add('--low-priority', dest='low_priority_nodes', type=int, metavar='N', help=text)
    text = 'size of each node (default: %(default)s)'
    add('--vm-size', metavar='SIZE', help=text)
    text = 'for all tasks (default: 30, and 6 more for each GB that one node has to convert)'
    add('--timeout', type=minutes, metavar='MINUTES', help=text)

    add = parser.add_mutually_exclusive_group().add_argument
    text = 'delete what the run has made (and an old job) without asking'
    add('-y', dest='answer', action='store_const', const='yes', help=text)
    text = 'keep job and pool without asking'
    add('--keep', dest='answer', action='store_const', const='no', help=text)
    return parser.parse_args(argv)


def minutes(text: str) -> timedelta:
    """Return a time limit of more than 0 minutes."""
    if not 0.01 < float(text) <= _LONGEST_TIMEOUT / timedelta(minutes=1):
        raise argparse.ArgumentTypeError(
            f'{text}: it must be more than 0 minutes, and up to 6 days (8640)'
        )
    return timedelta(minutes=float(text))


def set_limits(options: argparse.Namespace, videos: dict[str, Path]) -> None:
    """Set what depends on the videos: no more nodes than there are, and the time limit."""
    dedicated = min(options.dedicated_nodes, len(videos))
    options.dedicated_nodes = dedicated
    options.low_priority_nodes = min(options.low_priority_nodes, len(videos) - dedicated)

    if options.timeout is None:
        nodes = dedicated + options.low_priority_nodes
        gigabytes = sum(path.stat().st_size for path in videos.values()) / 1e9
        more = _TIMEOUT_PER_GIGABYTE * gigabytes / max(1, nodes)
        whole_minutes = timedelta(minutes=more // timedelta(minutes=1))
        options.timeout = min(_JOB_TIMEOUT + whole_minutes, _LONGEST_TIMEOUT)

    # The fewer files there are, the more blocks of each travel at once.
    options.max_concurrency = max(1, min(8, _CONNECTIONS // max(1, len(videos))))


def describe_bill(options: argparse.Namespace) -> str:
    """Return what bills at most: '5 Spot nodes (STANDARD_A1_v2), for at most 1 hour each.'"""
    nodes = []
    if options.dedicated_nodes:
        nodes.append(plural(options.dedicated_nodes, 'dedicated node'))
    if options.low_priority_nodes:
        nodes.append(plural(options.low_priority_nodes, 'Spot node'))

    longest = options.timeout + _MARGIN + _FORMULA_INTERVAL
    hours, rest = divmod(longest, timedelta(hours=1))
    times = [plural(hours, 'hour')] if hours else []
    if rest >= timedelta(minutes=1):
        times.append(plural(rest // timedelta(minutes=1), 'minute'))
    return f'{" and ".join(nodes)} ({options.vm_size}), for at most {" ".join(times)} each.'


def plural(number: int, noun: str) -> str:
    """Return '1 file' or '2 files'."""
    return f'{number} {noun}' if number == 1 else f'{number} {noun}s'


# --- Checks of the settings -----------------------------------------------------------------------
#
# A wrong setting that is found late has cost an upload, or nodes that do nothing. So all are
# checked before anything is contacted, and all that are wrong are named at once.


class SampleError(Exception):
    """Something that the user should know about: the message says what, why and the way out."""


class UsageError(SampleError):
    """A wrong option, setting or folder, found before anything was contacted."""


def check_settings(options: argparse.Namespace) -> None:
    """Pass if the settings can be right, or raise a UsageError that names each that cannot."""
    problems = list(wrong_settings(options))
    if any('placeholder' in problem for problem in problems):
        problems[-1] += '. Without an Azure account:\n  python -m tests.local_azure'
    if problems:
        raise UsageError('; '.join(problems))


# The forms of the settings: a pattern, and how a message calls it.
_ACCOUNT = ('[a-z0-9]{3,24}', '3 to 24 lower-case letters and digits')
_KEY = ('([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?', 'base64')
_AZURE = r'https://([\w-]{1,63}\.)+\w+/?'
_LOCAL = r'://(localhost|127\.[\d.]+|\[::1\])(:\d+)?(/\w*)*'  # an emulator on this machine
_URL = (f'{_AZURE}|https?{_LOCAL}', 'https:// and the name of a host')
_HTTPS_URL = (f'{_AZURE}|https{_LOCAL}', 'https:// and the name of a host')  # to sign in
_CONTAINER = ('(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*', 'lower-case letters, digits, single hyphens')
_ID = ('[A-Za-z0-9_-]{1,64}', 'letters, digits, hyphens and underscores')
_FOLDER = ('.+', 'the name of a folder')
_COUNT = (r'\d+', 'a number such as 5')
_NODES = (r'[1-9]\d*', 'a number of nodes: without one nothing is converted')
_DURATION = (r'(?!0:00:00)([1-5] days?, )?[\d:]+', 'a duration of less than 6 days')
_EXTENSION = (r'\.[a-z0-9]+', 'a dot and letters, such as .mp3')
_NO_QUOTES = ('[^\'"]*', 'text without quotes, which would end the command of the tasks')
_PROXY = (
    r'((\w+://)?([^/#@?\[\]\s]*@)?([\w.-]+|\[[\d:a-f]+\])(:\d+)?/?)?',
    'a URL; in its password / # @ ? [ ] have to be written as %2F %23 %40 %3F %5B %5D',
)


def wrong_settings(options: argparse.Namespace) -> Iterator[str]:
    """Yield what is wrong with each setting and option. Neither a key nor a proxy is shown."""
    batch_url = _URL if _BATCH_ACCOUNT_KEY else _HTTPS_URL
    storage_url = _URL if _STORAGE_ACCOUNT_KEY else _HTTPS_URL
    other = (f'(?!{_INPUT_CONTAINER_NAME}$){_CONTAINER[0]}', f'{_CONTAINER[1]}, other than input')
    nodes = options.dedicated_nodes + options.low_priority_nodes
    proxies = urllib.request.getproxies()
    rows = (  # name, variable, value, form
        ('_BATCH_ACCOUNT_NAME', 'AZURE_BATCH_ACCOUNT', _BATCH_ACCOUNT_NAME, _ACCOUNT),
        ('_BATCH_ACCOUNT_KEY', 'AZURE_BATCH_ACCESS_KEY', _BATCH_ACCOUNT_KEY, _KEY),
        ('_BATCH_ACCOUNT_URL', 'AZURE_BATCH_ENDPOINT', _BATCH_ACCOUNT_URL, batch_url),
        ('_STORAGE_ACCOUNT_NAME', 'AZURE_STORAGE_ACCOUNT', _STORAGE_ACCOUNT_NAME, _ACCOUNT),
        ('_STORAGE_ACCOUNT_KEY', 'AZURE_STORAGE_KEY', _STORAGE_ACCOUNT_KEY, _KEY),
        (
            '_STORAGE_ACCOUNT_URL',
            'AZURE_STORAGE_SERVICE_ENDPOINT',
            _STORAGE_ACCOUNT_URL,
            storage_url,
        ),
        ('_INPUT_CONTAINER_NAME', '', _INPUT_CONTAINER_NAME, _CONTAINER),
        ('_OUTPUT_CONTAINER_NAME', '', _OUTPUT_CONTAINER_NAME, other),
        ('_POOL_ID', '', _POOL_ID, _ID),
        ('_JOB_ID', '', _JOB_ID, _ID),
        ('--input', '', options.input, _FOLDER),
        ('--output', '', options.output, _FOLDER),
        ('--dedicated', '', options.dedicated_nodes, _COUNT),
        ('--low-priority', '', options.low_priority_nodes, _COUNT),
        ('--dedicated and --low-priority together', '', nodes, _NODES),
        ('_JOB_TIMEOUT', '', _JOB_TIMEOUT, _DURATION),
        ("_OUTPUT_FORMAT['extension']", '', _OUTPUT_FORMAT['extension'], _EXTENSION),
        ("_OUTPUT_FORMAT['ffmpeg_options']", '', _OUTPUT_FORMAT['ffmpeg_options'], _NO_QUOTES),
        ('HTTP_PROXY', '', proxies.get('http', ''), _PROXY),
        ('HTTPS_PROXY', '', proxies.get('https', ''), _PROXY),
        ('ALL_PROXY', '', proxies.get('all', ''), _PROXY),
    )
    for name, variable, value, (pattern, words) in rows:
        text = str(value)
        if f'//{_STORAGE_ACCOUNT_NAME}.blob.core' in text:
            continue  # a URL made of the account's name, which has a row of its own
        where = f'{name} (from the variable {variable})' if variable in os.environ else name

        if '<' in text or 'xxxx' in text:
            yield f'{where} is still a placeholder'
        elif not re.fullmatch(pattern, text):
            shown = 'its value' if name.endswith(('_KEY', '_PROXY')) else repr(value)
            yield f'{where}: {shown} is not {words}'


# --- Finding the videos ---------------------------------------------------------------------------
#
# Two videos could become one file, and one of them would be lost. A name that Azure Storage changes
# would not be found again. Such names, and folders that cannot be read, are refused here.


def find_videos(folder: Path) -> dict[str, Path]:
    """Return the path of every .mp4 file in a folder and below, by its name relative to it."""
    try:
        paths = sorted(walk(folder))
    except OSError as error:
        raise UsageError(f'--input: {error.filename} cannot be read: {error.strerror}.') from None
    if not paths:
        raise UsageError(f'--input: {folder} holds no .mp4 file. (Hidden ones are not taken.)')

    for path in paths:
        if not path.is_file() or not os.access(path, os.R_OK):
            raise UsageError(
                f'--input: {path} cannot be read: permission denied, or a link to nowhere.'
            )

    videos = {path.relative_to(folder).as_posix(): path for path in paths}
    check_names(videos)
    return videos


def walk(folder: Path) -> Iterator[Path]:
    """Yield every .mp4 file in a folder and below that is not hidden."""
    for path in folder.iterdir():
        path.lstat()  # raises an error in a folder whose names can be listed, but no file opened
        if path.name.startswith('.') or path.name in ('$RECYCLE.BIN', '@eaDir'):
            continue
        if path.is_dir() and path.is_symlink():
            warn(f'Not looked into: {path} is a link to a folder.')
        elif path.is_dir():
            yield from walk(path)
        elif path.suffix.lower() == '.mp4':
            yield path


# What Azure Storage does not keep as it is: a pattern, and the reason.
_UNFIT_NAMES = (
    ('[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]', 'it holds characters that cannot be shown'),
    (r'\\', 'Azure Storage turns a backslash into a slash'),
    (r'\.(/|$)', 'Azure Storage drops the dot at the end of a folder name'),
    ('.{1025}', 'Azure Storage allows 1,024 characters'),
)


def check_names(names: Collection[str]) -> None:
    """Refuse names that Azure Storage would change, and two that would become one file."""
    outputs: dict[str, str] = {}
    for name in names:
        for pattern, reason in _UNFIT_NAMES:
            if re.search(pattern, name):
                shown = name if name.isprintable() else ascii(name)
                raise UsageError(f'Rename {shown}: {reason}.')

        # Some disks ignore case, or the difference between a letter with an accent and a letter
        # followed by an accent.
        for output in outputs_of(name, Path()):
            same_file = unicodedata.normalize('NFC', output.as_posix().casefold())
            other = outputs.setdefault(same_file, name)
            if other != name:
                raise UsageError(f'{other} and {name} can both become {output}: rename one.')

    for name in names:
        for parent in PurePosixPath(name).parents:
            other = outputs.get(unicodedata.normalize('NFC', parent.as_posix().casefold()), '')
            if other:
                raise UsageError(f'{other} becomes a file where {name} needs a folder: rename one.')


def outputs_of(video: str, folder: Path) -> tuple[Path, Path]:
    """Return at which paths the output of a video may arrive: talk.mp3 and talk.damaged.mp3."""
    good = folder / output_name(video)
    return good, good.with_name(f'{good.stem}.damaged{good.suffix}')


def check_outputs(videos: dict[str, Path], output: Path) -> None:
    """Refuse an output folder that cannot be written to, and outputs that would replace a video."""
    existing = output.absolute()
    while not os.path.lexists(existing):
        existing = existing.parent  # the folder in which it will be made
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise UsageError(f'--output: {output} is not a folder that you may write to.')

    originals = {path.resolve() for path in videos.values()}
    for name in videos:
        for path in outputs_of(name, output):
            if path.resolve() in originals:
                raise UsageError(f'--output: {path} would replace one of the videos.')


def leave_out_converted(videos: dict[str, Path], output: Path) -> dict[str, Path]:
    """Return the videos that were not converted, or found damaged, since they changed last."""
    missing = {}
    for name, video in videos.items():
        # Where a name is too long for the disk, is_file() raises an error, and lexists() does not.
        made = [path for path in outputs_of(name, output) if os.path.lexists(path)]
        made = [path for path in made if path.is_file()]
        if not any(path.stat().st_mtime >= video.stat().st_mtime for path in made):
            missing[name] = video

    left_out = len(videos) - len(missing)
    say(f'{left_out} of {plural(len(videos), "video")} left out: {output} has what they become.')
    return missing


# --- What both clients do by themselves -----------------------------------------------------------
#
# One lost connection would end a run of hours. So a request that fails in a way that is likely to
# pass is sent again, with growing pauses. Both clients do so by the same adapter of `requests`,
# below all that they know themselves.

_RETRY = urllib3.Retry(
    total=8,  # about a minute
    allowed_methods=None,  # every method: POST as well
    status_forcelist=(408, 429, 500, 502, 503, 504),
    backoff_factor=1,
    backoff_max=10,  # seconds
    backoff_jitter=1,
    retry_after_max=30,  # seconds that a service may ask for
)
_FIRST_RETRY = _RETRY.new(total=4)  # about 15 seconds: the address may be wrong
_FIRST_TIMEOUT = (5, 10)  # seconds to connect, and to wait for an answer


class RepeatingAdapter(HTTPAdapter):
    """Sends requests again when a service is away for a moment."""

    has_answered = False

    def send(  # type: ignore[override] # of the options it looks at two
        self, request: Any, stream: bool = False, timeout: Any = None, **options: Any
    ) -> Any:
        """Return an answer of Azure that has arrived complete, or raise a RequestException."""
        for attempts_left in (4, 3, 2, 1, 0):
            timeout = timeout if self.has_answered else _FIRST_TIMEOUT
            response = super().send(request, stream=stream, timeout=timeout, **options)
            if stream and 'x-ms-blob-type' in response.headers:
                break  # the content of a blob: its reader repeats what breaks off
            try:
                self.read(response)
                break
            except requests.RequestException:
                if attempts_left == 0:
                    raise
            time.sleep(1)

        self.has_answered = True
        self.max_retries = _RETRY
        return response

    def read(self, response: requests.Response) -> None:
        """Read an answer to its end. Raise an error for the page of a proxy, with any status."""
        content = response.content  # raises an error if it breaks off
        kind = response.headers.get('Content-Type', '').lower()
        is_of_a_service = 'json' in kind or 'xml' in kind or not content
        if 'html' in kind or (response.status_code >= 400 and not is_of_a_service):
            raise requests.ConnectionError(
                f'{response.status_code} {response.reason}: the answer did not come from Azure, '
                'but from a proxy, perhaps.'
            )


def repeating_session() -> requests.Session:
    """Return a session of `requests` that sends with the adapter."""
    session = requests.Session()
    adapter = RepeatingAdapter(pool_maxsize=_CONNECTIONS, max_retries=_FIRST_RETRY)
    session.mount('https://', adapter)
    session.mount('http://', adapter)
    return session


def repeat_failed_requests(batch_client: Any) -> None:
    """Let the client of Batch send with the adapter, and keep its connections."""
    adapters = repeating_session().adapters
    batch_client.config.session_configuration_callback = lambda session, *_, **__: (
        session.adapters.update(adapters)
    )
    batch_client.config.keep_alive = True
    batch_client.config.connection.timeout = (10, 60)  # seconds

    pool_operations = [batch_client.account, batch_client.pool, batch_client.compute_node]
    job_operations = [batch_client.job, batch_client.task, batch_client.file]
    for operations in pool_operations + job_operations:
        operations.api_version = _BATCH_API_VERSION

    logging.getLogger('azure').addHandler(logging.NullHandler())  # what they log, they also raise


@dataclass
class Token:
    """A credential that asks for a token once, and keeps it until five minutes before its end.

    `az login` keeps none: each request would start a new `az`, which takes seconds.
    """

    credential: Any
    lock: Any = field(default_factory=threading.Lock)  # one thread at a time asks
    kept: dict[Any, AccessToken] = field(default_factory=dict)

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """Return a token for these scopes; the client of Storage calls this for each request."""
        key = (scopes, options.get('tenant_id'))
        with self.lock:
            kept = self.kept.get(key)
            if kept and kept.expires_on > time.time() + 300 and not options.get('claims'):
                return kept
            for seconds in (1, 2, 4, 8, 0):
                try:
                    self.kept[key] = self.credential.get_token(*scopes, **options)
                    break
                except ClientAuthenticationError:
                    if not self.kept or not seconds:  # in the middle of a run it is asked again
                        raise
                time.sleep(seconds)
            return self.kept[key]

    def for_batch(self) -> dict[str, str]:
        """Return a token as the client of Batch wants it, which calls this for each request."""
        resource = 'https://batch.core.windows.net'
        host = _BATCH_ACCOUNT_URL.rstrip('/')
        if host.endswith('.cn'):
            resource = 'https://batch.chinacloudapi.cn'
        elif host.endswith('.us') or 'usgovcloudapi' in host:
            resource = 'https://batch.core.usgovcloudapi.net'
        token = self.get_token(f'{resource}/.default').token
        return {'tokenType': 'Bearer', 'accessToken': token}


@functools.cache  # one key for all SAS that end at one time
def user_delegation_key(blob_client: BlobServiceClient, expiry: datetime) -> Any:
    """Return the key that signs a SAS where there is no account key; it lives 7 days at most."""
    if _STORAGE_ACCOUNT_KEY:
        return None
    start = azure_now(blob_client) - timedelta(minutes=5)
    return blob_client.get_user_delegation_key(start, min(expiry, start + timedelta(days=7)))


def azure_now(blob_client: BlobServiceClient) -> datetime:
    """Return the time by Azure's clock. That of this machine may be hours off."""
    answers: list[Any] = []
    container = blob_client.get_container_client(_OUTPUT_CONTAINER_NAME)
    none_if_gone(container.get_container_properties, raw_response_hook=answers.append)
    now: datetime = parsedate_to_datetime(answers[0].http_response.headers['Date'])

    ahead = datetime.now(UTC) - now
    if abs(ahead) > timedelta(minutes=5):
        minutes_off = plural(abs(ahead) // timedelta(minutes=1), 'minute')
        warn(
            f'Warning: the clock of this machine is {minutes_off} '
            f"{'ahead of' if ahead > timedelta() else 'behind'} Azure's, which is used.",
            once=True,
        )
    return now


# --- What exists already --------------------------------------------------------------------------
#
# Containers, pools and jobs may be there: left by a run that died, kept on purpose, or somebody
# else's. What this sample creates carries its metadata, with the URL of the output container. The
# run holds the lease on that container. So what carries both is its own, or of a run that has died.


def our_metadata() -> dict[str, str]:
    """Return the metadata of what the sample creates: who created it, and where its outputs go."""
    return {
        'createdby': 'batch_python_tutorial_ffmpeg',
        'output': f'{_STORAGE_ACCOUNT_URL.rstrip("/")}/{_OUTPUT_CONTAINER_NAME}',
    }


def is_ours(resource: Any) -> bool:
    """Return whether a container, pool or job is this sample's, and not being deleted."""
    if getattr(resource, 'state', '') == 'deleting':
        return False
    items = resource.metadata or {}
    if isinstance(items, list):  # of Batch
        items = {item.name: item.value for item in items}
    return our_metadata().items() <= dict(items).items()


_GONE_CODES = (
    'JobNotFound',
    'JobBeingDeleted',
    'PoolNotFound',
    'PoolBeingDeleted',
    'ContainerNotFound',
    'ContainerBeingDeleted',
)


def none_if_gone(get: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return what `get` returns, or None if there is none, or only one that is being deleted."""
    try:
        existing = get(*arguments, **options)
    except (batchmodels.BatchErrorException, AzureError) as error:
        if error_code(error) in _GONE_CODES:
            return None
        raise
    return None if getattr(existing, 'state', '') == 'deleting' else existing


def retry_while_busy(
    call: Callable[..., Any], *arguments: Any, get: Callable[..., Any] | None = None, **options: Any
) -> None:
    """Call something. Wait while what is there is still being deleted or resized.

    `get` looks at a pool or job that exists: it may still be deleted, without the service saying
    so. Or it is the very one, and the answer to an earlier try was lost; that is a success.
    """
    deadline = time.monotonic() + _WAIT_WHILE_BUSY.total_seconds()
    while True:
        try:
            call(*arguments, **options)
            return
        except (batchmodels.BatchErrorException, AzureError) as error:
            busy = error_code(error).endswith(('BeingDeleted', 'BeingResized'))
            if get and error_code(error).endswith('Exists'):
                existing = none_if_gone(get, arguments[0].id)
                busy = existing is None
                formula = getattr(existing, 'auto_scale_formula', None)
                wanted = getattr(arguments[0], 'auto_scale_formula', None)
                if existing is not None and is_ours(existing) and formula == wanted:
                    return
            if not busy or time.monotonic() > deadline:
                raise
        warn(
            'What an earlier run has left is still being deleted or resized: waiting...', once=True
        )
        pause(2)


def make_room(run: Run) -> None:
    """Raise an error if anything is in the way; delete an old job, if the user agrees."""
    look_at_what_exists(run.batch_client, run.blob_client, run.options.vm_size)

    existing = [os.path.lexists(outputs_of(name, run.options.output)[0]) for name in run.videos]
    if any(existing):
        warn(f'{plural(sum(existing), "file")} in {run.options.output} will be replaced.')

    job = none_if_gone(run.batch_client.job.get, _JOB_ID)
    if job is not None:
        delete_old_job(run, job)


def delete_old_job(run: Run, job: Any) -> None:
    """Delete a job of an earlier run if the user agrees, or raise an error."""
    counts = run.batch_client.job.get_task_counts(_JOB_ID).task_counts
    unfinished = counts.active + counts.running
    say(f'Job [{_JOB_ID}] exists: {plural(counts.completed, "task")} done, {unfinished} not done.')
    answer = run.options.answer
    if answer == 'no' and not unfinished:
        answer = 'yes'  # --keep has kept it for this run to replace

    if is_ours(job):
        if counts.completed and answer != 'yes':
            commands = az_commands('outputs', output=run.options.output)
            warn(
                f'Its outputs stay in container [{_OUTPUT_CONTAINER_NAME}]. To convert only the '
                f'rest, answer no, fetch them, and run again with --missing -y:\n{commands}'
            )
        if query_yes_no('Delete it and go on?', default='no', answer=answer) == 'yes':
            none_if_gone(run.batch_client.job.delete, _JOB_ID)
            return

    raise SampleError(
        f'Job [{_JOB_ID}] is in the way. Run with -y, which deletes a job of this sample, '
        f'choose another _JOB_ID, or delete it:\n{az_commands("job")}'
    )


def look_at_what_exists(batch_client: Any, blob_client: BlobServiceClient, vm_size: str) -> str:
    """Raise an error for what would end the run after the upload: image, container or pool.

    Return until when Batch supports the image.
    """
    options = batchmodels.AccountListSupportedImagesOptions(
        filter=f"nodeAgentSKUId eq '{_POOL_NODE_AGENT_SKU_ID}'"
    )
    ends = {}
    for image in batch_client.account.list_supported_images(options):
        reference = image.image_reference
        name = f'{reference.publisher} {reference.offer} {reference.sku}'.lower()
        ends[name] = image.batch_support_end_of_life

    wanted = '{publisher} {offer} {sku}'.format(**_POOL_IMAGE).lower()
    if wanted not in ends:
        raise SampleError(
            f'Batch does not support the image {wanted} with the node agent '
            f'{_POOL_NODE_AGENT_SKU_ID}. Change _POOL_IMAGE or _POOL_NODE_AGENT_SKU_ID.'
        )

    container = blob_client.get_container_client(_INPUT_CONTAINER_NAME)
    properties = none_if_gone(container.get_container_properties)
    if properties is not None and not is_ours(properties):
        raise SampleError(
            f"Container [{_INPUT_CONTAINER_NAME}] is not this sample's, or is of a run with "
            'another output container: change _INPUT_CONTAINER_NAME.'
        )

    pool = none_if_gone(batch_client.pool.get, _POOL_ID)
    if pool is not None:
        check_existing_pool(pool, vm_size)
    return f'until {ends[wanted]:%Y-%m-%d}' if ends[wanted] else 'without an announced end'


def check_existing_pool(pool: Any, vm_size: str) -> None:
    """Raise an error if a pool is not this sample's, or not as the settings want it."""
    remedy = f'Choose another _POOL_ID, or delete it:\n{az_commands("pool")}'
    if not is_ours(pool):
        raise SampleError(f"Pool [{_POOL_ID}] exists and is not this sample's. {remedy}")

    machine = pool.virtual_machine_configuration
    compared = (
        ('vm_size', pool.vm_size, vm_size),
        ('image', machine.image_reference.sku, _POOL_IMAGE['sku']),
        ('node agent', machine.node_agent_sku_id, _POOL_NODE_AGENT_SKU_ID),
        ('start task', pool.start_task.command_line, _START_TASK_COMMAND),
    )
    for name, found, wanted in compared:
        if found.lower() != wanted.lower():
            raise SampleError(
                f'Pool [{_POOL_ID}] exists with other settings: {name} {found} instead of '
                f'{wanted}. {remedy}'
            )


def check_only(options: argparse.Namespace, videos: dict[str, Path]) -> None:
    """Say what a run would find and cost, and make nothing; SampleError for what is in the way."""
    batch_client, blob_client = create_clients()
    azure_now(blob_client)  # warns if the clock is off
    image_end = look_at_what_exists(batch_client, blob_client, options.vm_size)

    say(f'Both accounts answer. Image: {_POOL_IMAGE["sku"]} is supported {image_end}.')
    size = sum(path.stat().st_size for path in videos.values())
    pool = 'new' if none_if_gone(batch_client.pool.get, _POOL_ID) is None else 'exists'
    say(f'{plural(len(videos), "file")}, {rich.filesize.decimal(size)}. Pool: {pool}.')
    if videos:
        say(f'A run has {describe_bill(options)}')
        say('Not checked: your quota, the size of the nodes, and whether each file fits on one.')
    if none_if_gone(batch_client.job.get, _JOB_ID) is not None and options.answer != 'yes':
        raise SampleError(f'Job [{_JOB_ID}] exists. To delete it:\n{az_commands("job")}')


# --- One run at a time ----------------------------------------------------------------------------
#
# A lease is the lock of Azure Storage. It has to be renewed every minute, so a run that died frees
# it by itself.


_LEASE_IS_LOST = (
    f'Another run has taken over container [{_OUTPUT_CONTAINER_NAME}], or somebody has deleted it '
    'or broken its lease. (Did this machine sleep?)'
)


@dataclass
class RunLock:
    """The lease on the output container, renewed by a thread until it is released."""

    lease: Any
    lost: bool = False
    released: threading.Event = field(default_factory=threading.Event)

    def keep(self) -> None:
        """Renew the lease until it is released."""
        while not self.released.wait(_LEASE_SECONDS / 3):
            self.is_lost()

    def is_lost(self) -> bool:
        """Renew the lease. If another run has it, or somebody has broken it, this run has to stop.

        Somebody may also have deleted the container. Without any answer the lease counts as held.
        """
        try:
            self.lease.renew(read_timeout=10)  # seconds; repeated before the lease ends
        except AzureError as error:
            if getattr(error, 'status_code', 0) in (404, 409, 412):
                self.lost = True
                stop.reason = SampleError(_LEASE_IS_LOST)
        return self.lost

    def release(self) -> None:
        """Let the next run begin."""
        self.released.set()
        if not self.lost:
            with contextlib.suppress(AzureError):
                self.lease.release()


def take_lock(blob_client: BlobServiceClient) -> RunLock:
    """Return the lock of this run; SampleError if another run still holds it after a minute."""
    container = blob_client.get_container_client(_OUTPUT_CONTAINER_NAME)
    lease_id = str(uuid.uuid4())  # so that a request which is repeated finds its own lease
    deadline = time.monotonic() + _LEASE_SECONDS + 5
    while True:
        try:
            lock = RunLock(container.acquire_lease(_LEASE_SECONDS, lease_id=lease_id))
            try:
                threading.Thread(target=lock.keep, daemon=True).start()
            except RuntimeError:  # no more threads: the next run need not wait for a minute
                lock.release()
                raise
            return lock
        except HttpResponseError as error:
            if error_code(error) != 'LeaseAlreadyPresent':
                raise
        if time.monotonic() > deadline:
            raise SampleError(
                'Another run is at work, and nothing of it was touched. Wait until it has ended, '
                'or give this run other names: _INPUT_CONTAINER_NAME, _OUTPUT_CONTAINER_NAME, '
                '_POOL_ID and _JOB_ID.'
            )
        warn(
            f'Container [{_OUTPUT_CONTAINER_NAME}] is used by another run, or by one that has just '
            f'died: waiting for up to {_LEASE_SECONDS} seconds...',
            once=True,
        )
        pause(2)


# --- Uploads and downloads ------------------------------------------------------------------------
#
# Many requests at once take a tenth of the time. An error or Ctrl-C must still end them all, and
# what breaks off must leave nothing that looks complete.


def in_parallel(
    action: Callable[[Any], Any],
    items: Collection[Any],
    show_progress: Callable[[int], None] | None = None,
) -> list[Any]:
    """Return the results of an action for all items, in order. The first error ends it."""
    executor = concurrent.futures.ThreadPoolExecutor(_CONNECTIONS)
    try:
        futures = [executor.submit(action, item) for item in items]
        unfinished = set(futures)
        while unfinished:
            pause(0)
            done, unfinished = concurrent.futures.wait(
                unfinished, _SLICE, concurrent.futures.FIRST_EXCEPTION
            )
            for future in done:
                future.result()  # raises what the action has raised
            if show_progress:
                show_progress(len(items) - len(unfinished))
        return [future.result() for future in futures]
    finally:  # without waiting for requests that hang
        executor.shutdown(wait=False, cancel_futures=True)


def find_uploaded(run: Run) -> set[str]:
    """Return the videos that are in the input container already, and the same file still."""
    container = run.blob_client.get_container_client(_INPUT_CONTAINER_NAME)
    there = set()
    for blob in container.list_blobs(include=['metadata']):
        path = run.videos.get(blob.name)
        if path is not None and file_metadata(path) == blob.metadata:
            there.add(blob.name)

    if there:
        say(f'{len(there)} of {plural(len(run.videos), "file")} are there from an earlier run.')
    return there


def file_metadata(path: Path) -> dict[str, str]:
    """Return what tells a version of a file from another: its size and when it was changed."""
    status = path.stat()
    return {'filesize': str(status.st_size), 'filemodified': str(status.st_mtime_ns)}


@contextlib.contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Raise a SampleError that names the file if it cannot be read, or is changed meanwhile."""
    try:
        before = file_metadata(path)
        yield
        after = file_metadata(path)
    except OSError as error:  # which does not always name the file
        raise SampleError(f'{path}: {error.strerror or error}') from error
    if after != before:  # then the blob is neither version
        raise SampleError(f'{path} was changed while it was uploaded. Run again.')


@contextlib.contextmanager
def complete_file(run: Run, result: VideoResult) -> Iterator[Any]:
    """Give a file to write to, which gets its name when it is complete.

    An error becomes the reason why this video has failed. The name until then is the same in each
    run, and short: that of the output may be as long as the disk allows.
    """
    good, damaged = outputs_of(result.name, run.options.output)
    path = damaged if result.status == 'damaged' else good
    part = path.with_name(f'.{hashlib.sha256(path.name.encode()).hexdigest()[:16]}.part')
    problem = ''
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open('wb') as file:
            yield file
        size = part.stat().st_size
        if size == result.output_size:
            part.replace(path)
            run.arrived.add(result.name)
        else:
            problem = f'{size} of {result.output_size} bytes arrived'
        if path == good and not problem:
            with contextlib.suppress(OSError):  # mostly there is none
                damaged.unlink()
    except OSError as error:
        problem = f'{path}: {error.strerror or error}'
    except AzureError as error:
        problem = describe(error)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)

    if problem:
        result.status = 'failed'
        result.reason = f'not downloaded: {problem}'


# --- The state of the nodes -----------------------------------------------------------------------
#
# A pool may get no nodes (no quota, none free), its start task may fail, somebody may remove them:
# the tasks would wait until the time limit. And while the run waits, the service may be away for
# some minutes, without any harm to the tasks.


def ask_patiently(deadline: float, question: Callable[..., Any], *arguments: Any) -> Any:
    """Return the answer to a question. While the service is away, repeat it until the deadline."""
    while True:
        try:
            return question(*arguments)
        except (ClientRequestError, DeserializationError, AzureError) as error:
            if time.monotonic() > deadline:
                raise
            warn(f'Warning: {describe(error)}', once=True)
            warn('The tasks run on; asking again until there is an answer...', once=True)
        pause(5)


def nodes_status(batch_client: Any, pool_id: str) -> dict[str, int]:
    """Return the number of nodes in each state; SampleError if none will ever take a task."""
    answer = none_if_gone(batch_client.pool.get, pool_id, raw=True)
    if answer is None or answer.output.state == batchmodels.PoolState.deleting:
        raise SampleError(f'Pool [{pool_id}] is gone: somebody has deleted it.')

    options = batchmodels.AccountListPoolNodeCountsOptions(filter=f"poolId eq '{pool_id}'")
    nodes: dict[str, int] = {}
    for pool in batch_client.account.list_pool_node_counts(options):
        for kind in (pool.dedicated, pool.low_priority):
            for state, number in kind.as_dict().items():
                if number and state != 'total':
                    nodes[state] = nodes.get(state, 0) + number

    if answer.output.allocation_state == batchmodels.AllocationState.steady:
        now = parsedate_to_datetime(answer.response.headers['Date'])
        check_allocation(answer.output, now)
        check_start_tasks(batch_client, pool_id, nodes)
        check_unusable(batch_client, pool_id, nodes, now)
    return nodes


def check_allocation(pool: Any, now: datetime) -> None:
    """Raise an error if the pool has no nodes, and will get none."""
    number = pool.current_dedicated_nodes + pool.current_low_priority_nodes
    last_change = pool.allocation_state_transition_time

    # Errors that are older than the formula are of an earlier run: what was refused may be granted.
    if pool.resize_errors and last_change >= pool.last_modified:
        reasons = ' '.join(
            describe_code(BATCH, error.code, error.message) for error in pool.resize_errors
        )
        if number == 0:
            raise SampleError(f'Pool [{pool.id}] gets no nodes. {reasons}')
        warn(f'Warning: pool [{pool.id}] gets fewer nodes than asked for. {reasons}', once=True)

    if number == 0 and now - max(last_change, pool.last_modified) > _WAIT_FOR_NODES:
        raise SampleError(
            f'Pool [{pool.id}] has no nodes: somebody has resized it, or has removed them.'
        )


def check_start_tasks(batch_client: Any, pool_id: str, nodes: dict[str, int]) -> None:
    """Raise an error if the start task has failed on all nodes that can be used."""
    failed = nodes.get('start_task_failed', 0)
    if not failed or failed + nodes.get('unusable', 0) < sum(nodes.values()):
        return

    words = ''
    options = batchmodels.ComputeNodeListOptions(filter="state eq 'starttaskfailed'")
    for node in batch_client.compute_node.list(pool_id, options):
        words = last_lines(
            batch_client.file.get_from_compute_node, pool_id, node.id, 'startup/stderr.txt'
        )
        break
    raise SampleError(f'The start task failed on all nodes of pool [{pool_id}].{words}')


def check_unusable(batch_client: Any, pool_id: str, nodes: dict[str, int], now: datetime) -> None:
    """Raise an error if all nodes have been unusable for a while."""
    if set(nodes) != {'unusable'}:
        return
    broken = list(batch_client.compute_node.list(pool_id))
    last_change = max(node.state_transition_time for node in broken)
    if now - last_change > _WAIT_FOR_UNUSABLE_NODES:
        reasons = [
            describe_code(BATCH, error.code, error.message)
            for node in broken
            for error in node.errors or ()
        ]
        raise SampleError(
            f'All nodes of pool [{pool_id}] are unusable. {" ".join(reasons[:1])} '
            'Choose a larger --vm-size.'
        )


def describe_nodes(nodes: dict[str, int]) -> str:
    """Return how many nodes there are and what they do: '5 nodes: 3 running, 2 idle'."""
    if not nodes:
        return 'no nodes yet'
    parts = [
        f'{number} {state.replace("waiting_for", "in").replace("_", " ")}'
        for state, number in nodes.items()
    ]
    return f'{plural(sum(nodes.values()), "node")}: {", ".join(parts)}'


# What would help after the time limit, by the only state that all nodes are in.
_ADVICE_AFTER_TIMEOUT = {
    (): 'Azure has given no nodes: try later, with another --vm-size, or with --dedicated.',
    ('preempted',): 'Azure has no Spot nodes to give now: use --dedicated, or try later.',
    ('unusable',): 'Choose another --vm-size.',
}
_MORE_TIME = 'Give the tasks more time with --timeout, or more nodes.'


def last_lines(get_file: Callable[..., Any], *where: str) -> str:
    """Return the last five lines of a file on a node, each indented on a new line."""
    try:
        content = b''.join(get_file(*where))
    except EXPECTED_ERRORS as error:
        return f'\n    no stderr: {describe(error)}'
    lines = content[-2000:].decode('utf-8', 'replace').splitlines()[-5:]
    return ''.join(f'\n    {shown(line)}' for line in lines)


# --- The screen -----------------------------------------------------------------------------------
#
# If printing fails (`| head` has ended, the disk is full, the terminal is closed), the cleanup must
# still happen. So errors of the screen end nothing. The transcript goes to stdout, everything else
# to stderr. On a terminal a bar shows how far the run is; elsewhere there are plain lines.


@dataclass(eq=False)
class CarefulStream(io.TextIOBase):
    """Stands for stdout or stderr. Ignores a closed pipe, and escapes what it cannot show."""

    stream_name: str

    def write(self, text: str) -> int:
        """Write what can be written, at once."""
        stream = getattr(sys, self.stream_name)  # None where there is no such stream
        with contextlib.suppress(OSError, ValueError, AttributeError):
            encoding = stream.encoding or 'utf-8'
            stream.write(text.encode(encoding, 'backslashreplace').decode(encoding))
            stream.flush()
        return len(text)

    def isatty(self) -> bool:
        """Return whether this is a terminal that can move its cursor."""
        try:
            return getattr(sys, self.stream_name).isatty() and os.getenv('TERM') != 'dumb'
        except (AttributeError, ValueError):  # no stream, or a closed one
            return False


out = CarefulStream('stdout')
err: Any = CarefulStream('stderr')
console: Any = Console(file=err, markup=False, highlight=False, emoji=False)


def say(text: str) -> None:
    """Print a line of the transcript."""
    if console.is_terminal and out.isatty():
        console.print(text, soft_wrap=True)  # above the bar
    else:
        out.write(f'{text}\n')


_warned: set[str] = set()


def warn(text: str, *, once: bool = False) -> None:
    """Print a line beside the transcript: an error, a warning, what else is to know."""
    if not once or text not in _warned:
        console.print(text, soft_wrap=True)
    _warned.add(text)


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Give a function that shows how far something is: on a terminal a bar, elsewhere lines."""
    bar = Progress(
        TextColumn('{task.description}', markup=False, table_column=Column(ratio=1)),
        BarColumn(bar_width=20),
        TimeRemainingColumn(compact=True),
        console=console,
        expand=True,
        transient=True,  # it disappears at the end
        auto_refresh=False,  # without a thread of its own
        redirect_stdout=False,
        redirect_stderr=False,
        disable=not console.is_terminal,
    )
    task = bar.add_task('', total=None)
    next_line = time.monotonic() + _LOG_SECONDS

    def show(text: str, done: int, total: int) -> None:
        nonlocal next_line
        bar.update(task, description=text, completed=done, total=total)
        if console.is_terminal:
            stop.bar_rows = len(console.render_lines(bar))
            with console:  # both at once
                bar.refresh()
                console.control(Control(ControlType.CARRIAGE_RETURN))  # a terminal shows ^C there
        elif time.monotonic() >= next_line:
            warn(text)
            next_line = time.monotonic() + _LOG_SECONDS

    try:
        with bar:
            yield show
    finally:
        stop.bar_rows = 0


def print_report(run: Run) -> None:
    """Print the table of the files, and what was not converted."""
    results = sorted(run.results.values(), key=lambda result: (result.status == 'ok', result.name))
    print_table(run, results[:_SHOWN_FILES])
    if len(results) > _SHOWN_FILES:
        warn(f'... and {len(results) - _SHOWN_FILES} more, in {run.options.output}.')

    wrong = [result for result in results if result.status != 'ok']
    for result in wrong:
        warn(f'{result.name} {result.status}: {result.reason}')

    parts = []
    for status in ('failed', 'damaged'):
        number = sum(result.status == status for result in wrong)
        if number:
            parts.append(f'{number} of {plural(len(results), "file")} {status}.')
    if any(not result.has_verdict for result in wrong):
        parts.append('To convert what was not converted, run again with --missing.')
    if parts:
        warn(f'Error: {" ".join(parts)}')


def print_table(run: Run, results: Sequence[VideoResult]) -> None:
    """Print a table of some files."""
    table = Table(box=None, pad_edge=False)
    table.add_column(f'File ({len(results)} of {len(run.results)})', overflow='fold')
    for heading in ('Time', 'In', 'Out'):
        table.add_column(heading, justify='right', no_wrap=True)
    table.add_column('Result', no_wrap=True)

    for result in results:
        path = run.videos[result.name]
        table.add_row(
            result.name,
            f'{result.seconds:.1f} s',
            rich.filesize.decimal(path.stat().st_size if path.exists() else 0),
            rich.filesize.decimal(result.output_size),
            result.status,
        )
    if not console.is_terminal:
        console.width = 160  # a log has no width of its own
    warn('')
    console.print(table)


# --- Errors and remedies --------------------------------------------------------------------------
#
# An error of a service is a code, a message in the words of the service, and often an internal URL
# with a SAS in it. A user needs to know what to do.

EXPECTED_ERRORS = (
    SampleError,
    ClientException,
    CreateTasksErrorException,
    DeserializationError,  # of msrest, and yet no ClientException
    AzureError,
    OSError,
)

_WRONG_KEY = 'wrong key ({}), or a wrong clock.'
_SIGN_IN = (
    'the sign-in is refused. Is the account of another tenant? Then az login --tenant <tenant>, or '
    'set AZURE_TENANT_ID.'
)


@dataclass
class Service:
    """What messages say about one of the two services."""

    name: str
    account: str
    url: str
    settings: str  # of the name and the URL
    role: str
    signing: str  # why a signature or a token can be refused


BATCH = Service(
    name='Batch',
    account=_BATCH_ACCOUNT_NAME,
    url=_BATCH_ACCOUNT_URL,
    settings='_BATCH_ACCOUNT_URL (AZURE_BATCH_ENDPOINT)',
    role='Azure Batch Data Contributor',
    signing=_WRONG_KEY.format('_BATCH_ACCOUNT_KEY, AZURE_BATCH_ACCESS_KEY')
    if _BATCH_ACCOUNT_KEY
    else _SIGN_IN,
)
STORAGE = Service(
    name='Storage',
    account=_STORAGE_ACCOUNT_NAME,
    url=_STORAGE_ACCOUNT_URL,
    settings='_STORAGE_ACCOUNT_NAME (AZURE_STORAGE_ACCOUNT), _STORAGE_ACCOUNT_URL',
    role='Storage Blob Data Contributor',
    signing=_WRONG_KEY.format('_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_KEY')
    if _STORAGE_ACCOUNT_KEY
    else _SIGN_IN,
)

_SIGNING = '{name} account {account}: {signing}'
_ROLE = (
    'If you are signed in, a role is missing (or is minutes old). An Owner or User Access '
    'Administrator can give it; with keys none is needed:\n'
    '  az role assignment create --role "{role}" --assignee <you> '
    '--scope $(az resource list --query [0].id -o tsv --name {account})'
)
_QUOTA = 'Ask for more in the portal (Batch account > Quotas), which can take two days, or'
_NO_SPOT = f'No quota for Spot cores is left. {_QUOTA} run with --dedicated 2 --low-priority 0.'
_NO_NODES = (
    'No nodes are free, try later; or _POOL_VM_SIZE does not fit the image (generation 1 or 2).'
)
_GONE = f'Was container [{_INPUT_CONTAINER_NAME}], or a file in it, deleted meanwhile?'

_REMEDIES = {  # by the code of the error, in lower case
    'authenticationfailed': _SIGNING,
    'invalidauthenticationinfo': _SIGNING,
    'noauthenticationinformation': _SIGNING,
    'authorizationfailure': f'{_SIGNING} Or a firewall refuses this machine. {_ROLE}',
    'permissiondenied': _ROLE,
    'authorizationpermissionmismatch': _ROLE,
    'keybasedauthenticationnotpermitted': (
        'The account allows no keys. Leave _STORAGE_ACCOUNT_KEY empty to sign in.'
    ),
    'accountcorequotareached': (
        f'No quota for dedicated cores is left. {_QUOTA} run with fewer --dedicated.'
    ),
    'accountlowprioritycorequotareached': _NO_SPOT,
    'accountspotcorequotareached': _NO_SPOT,
    'accountvmseriescorequotareached': (
        f'No quota for this VM series is left. {_QUOTA} choose another --vm-size.'
    ),
    'poolquotareached': f'The account cannot hold another pool. {_QUOTA} delete one.',
    'activejobandschedulequotareached': (
        f'The account cannot hold another job. {_QUOTA} delete one.'
    ),
    'allocationfailed': _NO_NODES,
    'allocationtimedout': _NO_NODES,
    'invalidpropertyvalue': '(Check _POOL_VM_SIZE, --vm-size, and _POOL_IMAGE.)',
    'unsupportedrequestversion': 'Batch no longer takes this version. Change _BATCH_API_VERSION.',
    'jobnotfound': f'Job [{_JOB_ID}] is gone: somebody has deleted it.',
    'poolnotfound': f'Pool [{_POOL_ID}] is gone: somebody has deleted it.',
    'blobnotfound': _GONE,
    'resourcecontainernotfound': _GONE,
    'fileuploadcontainernotfound': f'Was container [{_OUTPUT_CONTAINER_NAME}] deleted meanwhile?',
    'containernotfound': (
        f'Was container [{_INPUT_CONTAINER_NAME}] or [{_OUTPUT_CONTAINER_NAME}] deleted meanwhile?'
    ),
}


def print_batch_exception(batch_exception: BaseException) -> None:
    """Print what a service refused, why, and the way out."""
    warn(f'Error: {describe(batch_exception)}')


def describe(error: Any) -> str:
    """Return one message for an expected error: what happened and the way out."""
    if isinstance(error, CreateTasksErrorException):
        return describe([*error.errors, *(task.error for task in error.failure_tasks)][0])
    response = getattr(error, 'response', None)
    body: Any = getattr(error, 'error', error)
    if isinstance(body, batchmodels.BatchError) and body.code:
        return describe_code(BATCH, body.code, body.message, body.values, response)
    if isinstance(error, ClientException | DeserializationError):
        return describe_no_answer(BATCH, error)
    if error_code(error):
        return describe_code(STORAGE, error_code(error), error.message, (), response)
    if isinstance(error, ClientAuthenticationError):
        return describe_sign_in(error.message)
    if isinstance(error, AzureError):
        return describe_no_answer(STORAGE, error)
    if getattr(error, 'filename', None):  # an OSError
        return f'{error.filename}: {error.strerror}'
    return str(error)


def describe_code(
    service: Service, code: str, message: Any, values: Any = (), response: Any = None
) -> str:
    """Describe an error code: the service's message, its details, and what to do."""
    # Later lines of a message only repeat the request id, and may hold a signature.
    text = str(getattr(message, 'value', message)).partition('\n')[0]
    details = [
        str(detail.value)
        for detail in values or ()
        if detail.key in ('PropertyName', 'Reason') or 'allowed' in str(detail.value)
    ]
    remedy = _REMEDIES.get(code.lower(), '').format(**vars(service))
    if response is not None and code == 'AuthenticationFailed':
        here = f'{datetime.now(UTC):%a, %d %b %Y %H:%M:%S} GMT'
        remedy += f' (Clocks: service {response.headers.get("Date")}, this machine {here}.)'

    said = ' '.join([f'{code}: {shown(text)}', *map(shown, details)])
    return f'{said} {remedy}'.strip()


def describe_no_answer(service: Service, error: object) -> str:
    """Describe a connection that failed, or an answer that is not from Azure."""
    # Names of classes stand around the reason.
    whole = str(error).partition('\n')[0]
    _, caused, text = whole.rpartition('(Caused by ')
    text = re.sub(r'^Error occurred in request\., \w+: |.*port=\d+\): ', '', text)
    if caused:
        text = re.sub(r'.*Error\((\d+, )?["\']', '', text).strip('"\')')
        text += ')' * (text.count('(') - text.count(')'))
    text = shown(text)

    check = f'Check {service.settings} and the network.'
    if 'certificate' in text.lower():
        check = 'A proxy may inspect TLS: set REQUESTS_CA_BUNDLE to a file with its certificate.'
    elif 'proxy' in whole.lower():
        check += ' Or is it the proxy? Check HTTPS_PROXY, and the name and password in it.'
    return f'{service.name} at {service.url} does not answer. {check} {text}'


# What azure-identity says of a way to sign in that nobody has set up.
_NOT_SET_UP = re.compile(
    'failed to retrieve a token|Attempted credentials|not fully configured|^Visit |^To mitigate|'
    r'authentication unavailable\.$|No accounts were found|azure-identity-broker|not installed|'
    "not found on path|could not be found|Please run 'az login' to set up"
)


def describe_sign_in(message: str) -> str:
    """Describe why nobody is signed in: the lines that name a cause, of each way that was tried."""
    lines = [line.strip() for line in message.splitlines()]
    causes = [shown(line) for line in lines if line and not _NOT_SET_UP.search(line)]
    if not causes:
        return 'Not signed in. Run "az login", or set a key.'
    return f'Not signed in. {" ".join(causes)}'


def error_code(error: Any) -> str:
    """Return the code by which Batch or Storage names an error, '' if it has none."""
    body = getattr(error, 'error', None)
    code = getattr(body, 'code', None) or getattr(error, 'error_code', None) or ''
    return str(getattr(code, 'value', code))


def shown(text: str) -> str:
    """Return a text without SAS and tokens, and without what moves the cursor of a terminal."""
    text = re.sub(r'\?\S*sig=\S*', '', text)
    text = re.sub(r'\beyJ[\w.-]+', '...', text)
    return ''.join(character if character.isprintable() else ' ' for character in text).strip()


# --- Interrupts -----------------------------------------------------------------------------------
#
# Ctrl-C at a bad moment leaves paid nodes behind: after the request for the pool was sent, before
# its answer came. So a signal only leaves a note. Whatever request is under way ends first. Then
# the next pause or parallel step raises an error, and the cleanup follows.


class InterruptedRunError(Exception):
    """The user, or the system, wants the run to end."""


@dataclass
class Stop:
    """Why the run has to stop: looked at by `pause` and by the steps that work in parallel."""

    reason: Exception | None = None
    signalled: bool = False
    interrupts: int = 0  # how often the user has pressed Ctrl-C
    asking: bool = False  # a question is on the terminal
    bar_rows: int = 0  # that the bar takes on the terminal, with the cursor in the last of them
    unattended: bool = False  # nobody is there any more to answer one


stop = Stop()


def pause(seconds: float) -> None:
    """Wait, but no longer than until the run has to stop; then raise the reason."""
    deadline = time.monotonic() + seconds
    while True:
        if stop.reason is not None:
            raise stop.reason
        left = deadline - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, _SLICE))


def on_signal(number: int, _frame: Any) -> None:
    """Note a signal. A second Ctrl-C leaves at once; a question ends by an exception."""
    if number == signal.SIGINT:
        stop.interrupts += 1
    if number == signal.SIGINT and stop.interrupts > 1:
        commands = az_commands('job', 'pool', 'container')
        write_at_once(f'Left at once. What may be left, and how to delete it:\n{commands}')
        os._exit(130)

    if not stop.signalled:
        write_at_once('Interrupted: cleaning up. Ctrl-C once more leaves at once.')
    stop.signalled = True
    stop.reason = InterruptedRunError()
    if number != signal.SIGINT or stop.asking:
        stop.unattended = True  # the default is the answer to this question, and to all others
    if stop.asking:
        stop.asking = False
        raise KeyboardInterrupt


def write_at_once(text: str) -> None:
    """Write to the terminal from a signal handler: print() may be in the middle of a line."""
    start, end = '\n', '\n'
    if stop.bar_rows:
        # The text replaces the bar, and brings back the cursor. The bar will be drawn once more:
        # it first moves up as many rows as it has, and must not meet the text there.
        start = '\r' + '\033[A' * (stop.bar_rows - 1) + '\033[J\033[?25h'
        end = '\n' * stop.bar_rows
    with contextlib.suppress(OSError):
        os.write(2, f'{start}{text}{end}'.encode())


@contextlib.contextmanager
def signals_noted() -> Iterator[None]:
    """Note SIGINT, SIGTERM and SIGHUP, unless they are ignored (nohup, a background command)."""
    vars(stop).update(vars(Stop()))
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
    """Return 'yes' or 'no': `answer` if it is given, or else what the user types.

    Just Enter, the end of input and a signal mean the default.
    """
    prompt = f'{question} [{"Y/n" if default == "yes" else "y/N"}] '
    while answer not in ('yes', 'no'):
        if not can_ask():
            why = 'interrupted' if stop.signalled else 'there is nobody to ask'
            say(f'{prompt}{default} ({why})')
            return default

        stop.asking = True
        try:
            reply = input(prompt).strip().lower() or default
        except KeyboardInterrupt:
            continue  # a signal: from now on there is nobody to ask
        except (EOFError, OSError, UnicodeError):
            say(default)
            return default
        finally:
            stop.asking = False

        if reply in ('y', 'yes'):
            return 'yes'
        if reply in ('n', 'no'):
            return 'no'
        say("Please answer 'yes' or 'no' ('y' or 'n').")

    say(f'{prompt}{answer}')
    return answer


def can_ask() -> bool:
    """Return whether somebody can see a question and answer it."""
    try:
        return not stop.unattended and sys.stdin.isatty() and sys.stdout.isatty()
    except (AttributeError, ValueError):  # no stream, or a closed one
        return False


# --- Cleanup --------------------------------------------------------------------------------------
#
# One deletion that fails must not prevent the others, and whatever is left has to be named, with
# what it costs and the command that deletes it.


@contextlib.contextmanager
def removing(run: Run, kind: str) -> Iterator[None]:
    """Go on after an error. What is gone already needs no deletion."""
    try:
        yield
    except EXPECTED_ERRORS as error:
        if error_code(error) not in _GONE_CODES:
            warn(f'Warning: the {kind} could not be deleted. {describe(error)}')
            run.cleaned_up = False


def user_agrees(run: Run, kind: str) -> bool:
    """Return whether the user agrees to a deletion. What nobody needs is not asked about."""
    question, default = f'Delete {kind}?', 'yes'
    if kind == 'container':
        needed = needed_videos(run)
        if not needed:
            return True
        question += (
            f' The next run would not have to upload its {plural(len(needed), "file")} '
            f'({rich.filesize.decimal(sum(needed))}) again.'
        )
        default = 'no'
    answer = query_yes_no(question, default, answer=run.options.answer)
    if answer == 'yes' and run.lock.is_lost():  # the question may have waited for hours
        raise SampleError(_LEASE_IS_LOST)
    return answer == 'yes'


def needed_videos(run: Run) -> list[int]:
    """Return the sizes of the uploaded videos that may be needed again: without a verdict yet.

    Others are of an earlier run. Those that were converted by now have an output.
    """
    container = run.blob_client.get_container_client(_INPUT_CONTAINER_NAME)
    sizes = []
    for blob in container.list_blobs():
        result = run.results.get(blob.name)
        is_converted = result is not None and result.has_verdict
        if blob.name not in run.videos:
            outputs = outputs_of(blob.name, run.options.output)
            is_converted = any(os.path.lexists(path) for path in outputs)
        if not is_converted:
            sizes.append(blob.size)
    return sizes


def az_commands(*kinds: str, output: Path | str = '.') -> str:
    """Return commands of the Azure CLI by line.

    They delete the job, the pool or the (input) container, or fetch the outputs.
    """
    batch = f'--account-name {_BATCH_ACCOUNT_NAME} --account-endpoint {_BATCH_ACCOUNT_URL}'
    storage = f'--account-name {_STORAGE_ACCOUNT_NAME}'
    if not _STORAGE_ACCOUNT_URL.startswith(f'https://{_STORAGE_ACCOUNT_NAME}.blob.core.'):
        storage += f' --blob-endpoint {_STORAGE_ACCOUNT_URL}'
    if not _STORAGE_ACCOUNT_KEY:
        storage += ' --auth-mode login'

    commands = {
        'job': f'  az batch job delete --job-id {_JOB_ID} --yes {batch}',
        'pool': f'  az batch pool delete --pool-id {_POOL_ID} --yes {batch}',
        'container': f'  az storage container delete -n {_INPUT_CONTAINER_NAME} {storage}',
        'outputs': f'  az storage blob download-batch --source {_OUTPUT_CONTAINER_NAME} '
        f'--destination "{output}" {storage}',
    }
    return '\n'.join(commands[kind] for kind in kinds)


def say_what_is_left(run: Run) -> None:
    """Look at what is left; name it, what it costs, and the command that deletes it."""
    container = run.blob_client.get_container_client(_INPUT_CONTAINER_NAME)
    looks: dict[str, Callable[[], Any]] = {
        'container': container.get_container_properties,
        'job': functools.partial(run.batch_client.job.get, _JOB_ID),
        'pool': functools.partial(run.batch_client.pool.get, _POOL_ID),
    }
    left = []
    for kind, look in looks.items():
        said = f'The {kind} may be left: there was no answer.'
        with contextlib.suppress(*EXPECTED_ERRORS):
            existing = none_if_gone(look)
            if existing is None or not is_ours(existing):
                continue
            said = f'The {kind} is left. {cost_of(run, kind, existing)}'
        left.append(kind)
        warn(f'{said} To delete it:\n{az_commands(kind)}')

    say_what_can_be_fetched(run)
    if not {'container', 'pool'} & set(left):
        warn(
            'Nothing that bills is left, except the files in Storage. '
            'Nodes stop billing when they are gone, in a few minutes.'
        )


def cost_of(run: Run, kind: str, existing: Any) -> str:
    """Return what it costs to leave something behind."""
    if kind == 'job':
        return 'It costs nothing.'
    if kind == 'container':
        container = run.blob_client.get_container_client(_INPUT_CONTAINER_NAME)
        sizes = [blob.size for blob in container.list_blobs()]
        return f'It bills for {plural(len(sizes), "file")} ({rich.filesize.decimal(sum(sizes))}).'

    end = re.search(r'time\("([-:\dT]+Z)"\)', existing.auto_scale_formula or '')
    if end is None:
        return 'Its nodes bill until it is deleted.'
    moment = datetime.fromisoformat(end[1]).astimezone()
    if moment < azure_now(run.blob_client):
        return 'Its nodes are gone, or going.'
    return f'Its nodes bill until {moment:%Y-%m-%d %H:%M}, or until it is deleted.'


def say_what_can_be_fetched(run: Run) -> None:
    """Say how to get the outputs that are in their container and have not arrived here."""
    with contextlib.suppress(*EXPECTED_ERRORS):
        waiting = {output_name(name) for name in run.videos if name not in run.arrived}
        found = len(waiting & set(output_sizes(run))) if waiting else 0
        if found:
            warn(
                f'{plural(found, "output")} of this run, not yet in {run.options.output}, can be '
                f'fetched from container [{_OUTPUT_CONTAINER_NAME}]:\n'
                f'{az_commands("outputs", output=run.options.output)}'
            )


if __name__ == '__main__':
    exit_code = main()
    if not hasattr(sys, 'ps1'):  # a notebook goes on
        os._exit(exit_code)  # without waiting for uploads that hang
