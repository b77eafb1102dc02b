"""The phases that are measured, each with its targets."""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from statistics import median

import imageio_ffmpeg
from azure.batch import models

from tests.local_azure import LocalAzure
from tests.local_azure.http_front import Request

from .bench import ROOT, Bench, Measurement, bench, files, median_cost, size_of
from .table import Cost, Row

CLIPS = ROOT / 'InputFiles'
POOL = 'LinuxFFmpegPool'
KILOBYTES = 100  # of each small file

# --- Uploads --------------------------------------------------------------------------------------
#
# Azurite keeps deleted files in memory, so each measurement has a local Azure of its own.


def many_uploads(options: argparse.Namespace) -> Iterator[Row]:
    """Very many small files, beside the time that they cannot be faster than.

    The limit is what the latency takes. The floor has the same processor under it: the same blobs,
    put by threads that do nothing else.
    """
    measurements, floors = [], []
    with files(options.many_files, KILOBYTES * 1000) as folder:
        for _ in range(options.runs):
            with bench(options.latency) as azure:
                measurements.append(azure.measure('upload', folder=folder))
            with bench(options.latency) as azure:
                floors.append(azure.measure('floor_of_uploads', folder=folder))

    ours = median_cost(measurements)
    limit = ours.limit(options.latency, measurements[0].connections)
    yield Row(
        phase=f'{options.many_files:,} files of {KILOBYTES} KB uploaded',
        ours=ours,
        limit=limit,
        theirs='-',
        result=ours.seconds / limit,
        unit='times the limit',
        bound='at most',
        target=2.5,
    )
    floor = median_cost(floors)
    yield Row(
        phase='the same put by plain requests',
        ours=ours,
        theirs=f'{floor} (the floor)',
        result=ours.seconds / floor.seconds,
        unit='times the floor',
        bound='at most',
        target=1.5,
    )


def uploads(options: argparse.Namespace) -> Iterator[Row]:
    """Small files, beside some of them one by one."""
    some = max(1, options.files // 8)
    ours, theirs = [], []
    with (
        files(options.files, KILOBYTES * 1000) as folder,
        files(some, KILOBYTES * 1000) as part,
    ):
        for _ in range(options.runs):
            with bench(options.latency) as azure:
                ours.append(azure.measure('upload', folder=folder))
                theirs.append(azure.measure('tutorial_upload', folder=part))

    cost = median_cost(ours)
    one_by_one = median_cost(theirs).times(options.files / some)
    yield Row(
        phase=f'{options.files:,} files of {KILOBYTES} KB uploaded',
        ours=cost,
        limit=cost.limit(options.latency, ours[0].connections),
        theirs=f'{one_by_one} (from {some} files)',
        result=one_by_one.seconds / cost.seconds,
        unit='times faster',
        bound='at least',
        target=10,
    )


def big_upload(options: argparse.Namespace) -> Iterator[Row]:
    """One big file."""
    ours, theirs = [], []
    with files(1, options.megabytes * 1_000_000) as folder:
        for _ in range(options.runs):
            with bench(options.latency) as azure:
                ours.append(azure.measure('upload', folder=folder))
                theirs.append(azure.measure('tutorial_upload', folder=folder))

    cost, in_one_stream = median_cost(ours), median_cost(theirs)
    yield Row(
        phase=f'one file of {options.megabytes} MB uploaded',
        ours=cost,
        limit=cost.limit(options.latency, ours[0].connections),
        theirs=in_one_stream,
        result=in_one_stream.seconds / cost.seconds,
        unit='times faster',
        bound='at least',
        target=2,
    )

    memory = max(measurement.memory for measurement in ours)
    yield Row(
        phase='its memory, above the idle script',
        ours=f'{memory:.0f} MB',
        theirs='-',
        result=memory,
        unit='MB',
        bound='under',
        target=100,
    )


# --- Tasks ----------------------------------------------------------------------------------------


def tasks(options: argparse.Namespace) -> Iterator[Row]:
    """Adding tasks, then asking how they are doing."""
    some = max(1, options.tasks // 4)
    ours, theirs, floors = [], [], []
    with bench(options.latency) as azure:
        for run in range(options.runs):
            ours.append(azure.measure('add_tasks', job_id=f'job{run}', count=options.tasks))
            floor = azure.measure('floor_of_adding', job_id=f'floor{run}', count=options.tasks)
            floors.append(floor)
            theirs.append(azure.measure('tutorial_add_tasks', job_id=f'tutorial{run}', count=some))
        wait_for_idle_tasks(azure.azure)
        polls = azure.measure('poll', job_id='job0')
        listing = azure.measure('tutorial_poll', job_id='job0')

    yield from rows_of_adding(options, ours, theirs, some)
    yield row_of_floor(ours, floors)
    yield from rows_of_polling(options, polls, listing)


def wait_for_idle_tasks(azure: LocalAzure) -> None:
    """Add a pool whose nodes stay in their start task, so that no poll finds any news."""
    azure.slow_nodes(start_task=3600)
    add_pool(azure, POOL, nodes=5)
    wait_for_nodes(azure, POOL, 'waitingforstarttask', nodes=5)


def wait_for_nodes(azure: LocalAzure, pool_id: str, state: str, nodes: int) -> None:
    """Return when all nodes of a pool are in a state."""
    client = azure.batch_client()

    def all_are() -> bool:
        states = [node.state for node in client.compute_node.list(pool_id)]
        return states == [state] * nodes

    azure.wait_until(all_are, describe=f'{nodes} nodes {state}')


def add_pool(azure: LocalAzure, pool_id: str, nodes: int) -> None:
    """Add a pool with a start task.

    It has no metadata of the script, which therefore does not give it the formula that ends its
    nodes. That is one request in each run, and belongs to no poll.
    """
    pool = models.PoolAddParameter(
        id=pool_id,
        vm_size='standard_a1_v2',
        virtual_machine_configuration=models.VirtualMachineConfiguration(
            image_reference=models.ImageReference(
                publisher='canonical',
                offer='ubuntu-24_04-lts',
                sku='server-gen1',
            ),
            node_agent_sku_id='batch.node.ubuntu 24.04',
        ),
        target_low_priority_nodes=nodes,
        start_task=models.StartTask(command_line='/bin/true', wait_for_success=True),
    )
    azure.batch_client().pool.add(pool)


def rows_of_adding(
    options: argparse.Namespace,
    ours: Sequence[Measurement],
    theirs: Sequence[Measurement],
    some: int,
) -> Iterator[Row]:
    """The rows of what it takes to add all tasks."""
    cost = median_cost(ours)
    one_after_the_other = median_cost(theirs).times(options.tasks / some)
    yield Row(
        phase=f'{options.tasks:,} tasks added',
        ours=cost,
        limit=cost.limit(options.latency, ours[0].connections),
        theirs=f'{one_after_the_other} (from {some:,} tasks)',
        result=one_after_the_other.seconds / cost.seconds,
        unit='times faster',
        bound='at least',
        target=2,
    )

    most = max(measurement.cost.requests for measurement in ours)
    yield Row(
        phase='its requests',
        ours=f'{most:,.0f}',
        theirs=f'{one_after_the_other.requests:,.0f}',
        result=most,
        unit='requests',
        bound='at most',
        target=math.ceil(options.tasks / 100) + 1,
    )


def row_of_floor(ours: Sequence[Measurement], floors: Sequence[Measurement]) -> Row:
    """The row that says how far the adding is from posting JSON that is ready.

    The difference is the client's: it makes objects of each task, JSON of these, and objects of the
    answer, in Python and so on one processor.
    """
    cost, floor = median_cost(ours), median_cost(floors)
    return Row(
        phase='the same posted as ready JSON',
        ours=cost,
        theirs=f'{floor} (the floor)',
        result=cost.seconds / floor.seconds,
        unit='times the floor',
        bound='at most',
        target=10,
    )


def rows_of_polling(
    options: argparse.Namespace, polls: Measurement, listing: Measurement
) -> Iterator[Row]:
    """The rows of what one poll takes."""
    cost = dearest_poll(polls.requests)
    yield Row(
        phase=f'one poll with {options.tasks:,} tasks',
        ours=cost,
        limit=cost.limit(options.latency, polls.connections),
        theirs=listing.cost,
        result=listing.cost.size / cost.size,
        unit='times fewer bytes',
        bound='at least',
        target=1000 * min(1, options.tasks / 10_000),
    )
    yield Row(
        phase='its requests',
        ours=f'{cost.requests:.0f}',
        theirs=f'{listing.cost.requests:.0f}',
        result=cost.requests,
        unit='requests',
        bound='at most',
        target=3,
    )
    yield Row(
        phase='its bytes',
        ours=f'{cost.size:,.0f}',
        theirs=f'{listing.cost.size:,.0f}',
        result=cost.size,
        unit='bytes',
        bound='at most',
        target=4096,
    )


def dearest_poll(requests: Sequence[Request]) -> Cost:
    """Return the most that one poll takes; each begins with the task counts."""
    polls: list[list[Request]] = []
    for request in requests:
        if request.path.endswith('/taskcounts'):
            polls.append([])
        polls[-1].append(request)

    return Cost(
        seconds=max(poll[-1].started + poll[-1].seconds - poll[0].started for poll in polls),
        requests=max(len(poll) for poll in polls),
        size=max(size_of(poll) for poll in polls),
    )


# --- The end of a job -----------------------------------------------------------------------------

# When the last task of a job ends, in seconds after it began. If it is the only one, the polls are
# at their slowest then, and these moments lie differently between two of them.
#
# Each job has a pool of its own: what the nodes of another job do would be news, too, and the polls
# would come faster.
QUIET = (11.9, 13.2, 14.4, 15.7)
APART = 1.5  # seconds between the ends of two tasks


def ends(options: argparse.Namespace) -> Iterator[Row]:
    """How soon the script knows the end of a job whose tasks run for a known time."""
    quiet: list[Future[float]] = []
    busy: list[Future[float]] = []
    with bench(options.latency) as azure, ThreadPoolExecutor(2 * len(QUIET)) as threads:
        for number, end in enumerate(QUIET):
            quiet.append(threads.submit(delay, azure, f'quiet{number}', [end]))
            several = [end - 2 * APART, end - APART, end]
            busy.append(threads.submit(delay, azure, f'busy{number}', several))

    quiet_delay = max(future.result() for future in quiet)
    yield Row(
        phase='last task ends, script knows it',
        ours=f'the slowest of {len(QUIET)}',
        theirs='-',
        result=quiet_delay,
        unit='s',
        bound='at most',
        target=6,
    )

    busy_delay = max(future.result() for future in busy)
    yield Row(
        phase=f'another ended {APART} s before',
        ours=f'the slowest of {len(QUIET)}',
        theirs='-',
        result=busy_delay,
        unit='s',
        bound='at most',
        target=2,
    )


def delay(azure: Bench, job_id: str, durations: Sequence[float]) -> float:
    """Return the seconds from the end of a job's last task until the script knows it."""
    nodes = len(durations)
    add_pool(azure.azure, job_id, nodes)
    wait_for_nodes(azure.azure, job_id, 'idle', nodes)

    client = azure.azure.batch_client()
    job = models.JobAddParameter(id=job_id, pool_info=models.PoolInformation(pool_id=job_id))
    client.job.add(job)
    for number, seconds in enumerate(durations):
        task = models.TaskAddParameter(
            id=f'Task{number}',
            display_name=f'video{number}.mp4',
            command_line=f'sleep {seconds}',
        )
        client.task.add(job_id, task)

    known = azure.measure('wait', job_id=job_id, pool_id=job_id).ended
    known_at = known - time.monotonic() + time.time()
    last = max(task.execution_info.end_time.timestamp() for task in client.task.list(job_id))
    return float(known_at - last)


# --- The whole script -----------------------------------------------------------------------------


def whole_runs(options: argparse.Namespace) -> Iterator[Row]:
    """The script from its start to its end, with tasks that end at once."""
    many, few = options.whole_run, options.whole_run // 10
    small = whole_run(options, few)
    large = whole_run(options, many)

    slower = (large.cost.seconds / many) / (small.cost.seconds / few)
    yield Row(
        phase=f'{many:,} tasks, whole run',
        ours=f'{large.cost}; {few:,} tasks: {small.cost}',
        limit=large.cost.limit(options.latency, large.connections),
        theirs='-',
        result=slower,
        unit=f'times the time per task at {few:,}',
        bound='at most',
        target=1.3,
    )

    memory = max(small.memory, large.memory)
    yield Row(
        phase='its memory',
        ours=f'{memory:.0f} MB',
        theirs='-',
        result=memory,
        unit='MB',
        bound='under',
        target=200,
    )


def whole_run(options: argparse.Namespace, count: int) -> Measurement:
    """Measure one run with so many files of 100 bytes."""
    with (
        files(count, 100) as folder,
        bench(options.latency, instant_output=b'ID3' * 30) as azure,
    ):
        return azure.measure('whole_run', folder=folder)


def clips(options: argparse.Namespace) -> Iterator[Row]:
    """The five clips on this machine, through the local Azure and without it."""
    ours, theirs = [], []
    for _ in range(options.runs):
        ours.append(seconds_with_azure())
        theirs.append(seconds_with_xargs())

    yield Row(
        phase='five clips: python -m tests.local_azure -y',
        ours=f'{median(ours):.1f} s',
        theirs=f'{median(theirs):.1f} s (xargs -P 2 ffmpeg)',
        result=median(ours) - median(theirs),
        unit='s more',
        bound='at most',
        target=6,
    )


def seconds_with_azure() -> float:
    """Return how long the script takes for the clips on a local Azure that it starts and stops."""
    command = [sys.executable, '-m', 'tests.local_azure', '-y', '--input', str(CLIPS)]
    with tempfile.TemporaryDirectory() as output:
        return seconds_of([*command, '--output', output])


def seconds_with_xargs() -> float:
    """Return how long ffmpeg takes for the clips, two at a time."""
    names = '\n'.join(path.name for path in sorted(CLIPS.glob('*.mp4')))
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    with tempfile.TemporaryDirectory() as output:
        convert = [ffmpeg, '-nostdin', '-v', 'error', '-y', '-i', '{}', '-vn', f'{output}/{{}}.mp3']
        return seconds_of(['xargs', '-P', '2', '-I', '{}', *convert], names, CLIPS)


def seconds_of(command: Sequence[str], text: str = '', folder: Path = ROOT) -> float:
    """Return how long a command takes; it must succeed."""
    began = time.monotonic()
    subprocess.run(command, input=text, cwd=folder, check=True, capture_output=True, text=True)
    return time.monotonic() - began
