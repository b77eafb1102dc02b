"""The wait for the tasks, the state of the nodes meanwhile, and the results at its end."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from azure.batch import models
from azure.core.exceptions import ClientAuthenticationError, DeserializationError
from msrest.exceptions import ClientRequestError

import batch_python_tutorial_ffmpeg as sample

from .conftest import Clock, NewRun, interrupt
from .mocks import OUTPUT, BatchMock, StorageMock
from .service_objects import (
    BEGAN,
    batch_error,
    blob_properties,
    damaged,
    failed,
    node_counts,
    pool,
    raw_answer,
    succeeded,
    task_counts,
    unfinished,
)

TIMEOUT = timedelta(minutes=30)


@pytest.fixture(autouse=True)
def nodes_at_work(batch: BatchMock) -> None:
    show_nodes(batch, running=5)


def show_nodes(
    batch: BatchMock, *, seconds: float = 60, states: dict[str, int] | None = None, **low: int
) -> None:
    """Let the pool have these nodes, so long after the beginning."""
    numbers = states or low
    found = pool(current_low_priority_nodes=sum(numbers.values()))
    batch.pool.get.side_effect = lambda *_, **__: raw_answer(found, seconds)
    batch.account.list_pool_node_counts.return_value = node_counts({}, **numbers)


def show_pool(batch: BatchMock, seconds: float = 60, **changes: Any) -> None:
    """Let the pool be without nodes, and so, so long after the beginning."""
    found = pool(current_low_priority_nodes=0, **changes)
    batch.pool.get.side_effect = lambda *_, **__: raw_answer(found, seconds)
    batch.account.list_pool_node_counts.return_value = node_counts()


def wait(batch: BatchMock, timeout: timedelta = TIMEOUT) -> str:
    return sample.wait_for_tasks_to_complete(batch.client, sample._JOB_ID, timeout)


def test_the_wait_ends_when_all_tasks_are_completed(batch: BatchMock) -> None:
    batch.tasks[:] = [unfinished('a.mp4', 'running')]
    counts = [task_counts(active=2), task_counts(running=1, completed=1), task_counts(completed=2)]

    def next_counts(*_: object) -> Any:
        answer = counts.pop(0)
        if not counts:
            batch.tasks[:] = [succeeded('a.mp4')]
        return answer

    batch.job.get_task_counts.side_effect = next_counts

    assert wait(batch) == ''
    assert not counts


def test_counts_that_are_ahead_of_the_tasks_are_not_believed(batch: BatchMock) -> None:
    batch.job.get_task_counts.return_value = task_counts(completed=1)
    batch.tasks[:] = [unfinished('a.mp4', 'running')]
    looks = []

    def list_tasks(_job: str, options: Any) -> list[Any]:
        looks.append(options)
        return batch.tasks if len(looks) < 3 else []

    batch.task.list.side_effect = list_tasks

    assert wait(batch) == ''
    assert len(looks) == 3


def test_counts_that_stay_behind_the_tasks_are_not_waited_for(
    batch: BatchMock, clock: Clock
) -> None:
    batch.job.get_task_counts.return_value = task_counts(running=1)
    batch.tasks[:] = [succeeded('a.mp4')]

    assert wait(batch) == ''
    assert clock.elapsed < TIMEOUT.total_seconds()


def test_a_poll_asks_for_little(batch: BatchMock) -> None:
    counts = [task_counts(active=number) for number in (3, 2, 1)]
    batch.job.get_task_counts.side_effect = [*counts, task_counts(completed=1)]

    wait(batch)

    batch.task.list.assert_called_once()  # at the end
    options = batch.task.list.call_args.args[1]
    assert (options.max_results, options.select) == (1, 'id')
    assert batch.pool.get.call_count == 3
    assert batch.account.list_pool_node_counts.call_count == 3


def test_the_longer_nothing_happens_the_less_is_asked(batch: BatchMock, clock: Clock) -> None:
    batch.tasks[:] = [unfinished('a.mp4', 'running')]
    polls: list[float] = []

    def count(*_: object) -> Any:
        polls.append(clock.elapsed)
        if len(polls) == 12:
            batch.tasks.clear()
            return task_counts(completed=2)
        return task_counts(running=1, completed=1 if len(polls) >= 10 else 0)

    batch.job.get_task_counts.side_effect = count

    wait(batch)

    gaps = [round(later - earlier, 2) for earlier, later in itertools.pairwise(polls)]
    assert gaps[:9] == sorted(gaps[:9])
    assert gaps[8] > 4 * gaps[0]
    assert gaps[9] == gaps[0]  # after news
    assert max(gaps) < 5


def test_the_nodes_are_those_of_the_pool_that_is_named(batch: BatchMock) -> None:
    batch.job.get_task_counts.side_effect = [task_counts(active=1), task_counts(completed=1)]

    sample.wait_for_tasks_to_complete(batch.client, 'j', TIMEOUT, pool_id='p')

    assert batch.job.get_task_counts.call_args.args == ('j',)
    assert batch.pool.get.call_args.args == ('p',)
    assert batch.account.list_pool_node_counts.call_args.args[0].filter == "poolId eq 'p'"


def test_dedicated_and_spot_nodes_are_counted_together(batch: BatchMock) -> None:
    batch.job.get_task_counts.return_value = task_counts(running=1)
    batch.tasks[:] = [unfinished('a.mp4', 'running')]
    batch.account.list_pool_node_counts.return_value = node_counts({'running': 1}, running=4)

    assert sample.describe_nodes({'running': 5}) in wait(batch)


def test_the_wait_ends_after_the_time_limit(batch: BatchMock, clock: Clock) -> None:
    batch.job.get_task_counts.return_value = task_counts(running=1)
    batch.tasks[:] = [unfinished('a.mp4', 'running')]

    assert wait(batch) != ''
    assert clock.elapsed == pytest.approx(TIMEOUT.total_seconds(), abs=10)


OUTAGES = [
    ClientRequestError('no answer'),
    DeserializationError('not JSON'),
    ClientAuthenticationError('no token'),
]


@pytest.mark.parametrize('outage', OUTAGES, ids=['no answer', 'not readable', 'no sign-in'])
def test_an_outage_in_the_wait_ends_nothing(batch: BatchMock, outage: Exception) -> None:
    batch.job.get_task_counts.side_effect = [*[outage] * 20, task_counts(completed=1)]

    assert wait(batch) == ''


@pytest.mark.parametrize('group_and_call', ['pool.get', 'account.list_pool_node_counts'])
def test_an_outage_when_the_nodes_are_asked_for_ends_nothing(
    batch: BatchMock, group_and_call: str
) -> None:
    group, call = group_and_call.split('.')
    batch.job.get_task_counts.side_effect = [task_counts(active=1), task_counts(completed=1)]
    question = getattr(getattr(batch, group), call)
    answer = batch.pool.get('p') if call == 'get' else question.return_value
    question.side_effect = [OUTAGES[0], OUTAGES[0], answer]

    assert wait(batch) == ''


def test_an_outage_when_the_tasks_are_listed_ends_nothing(batch: BatchMock) -> None:
    batch.job.get_task_counts.return_value = task_counts(completed=1)
    batch.task.list.side_effect = lambda *_: Pager(OUTAGES[0], OUTAGES[0])

    assert wait(batch) == ''


class Pager:
    """What a client returns for a list: it asks when it is read. Here without success at first."""

    def __init__(self, *outages: Exception) -> None:
        self._outages = list(outages)

    def __iter__(self) -> Pager:
        return self

    def __next__(self) -> Any:
        if self._outages:
            raise self._outages.pop()
        raise StopIteration


def test_a_signal_in_an_outage_ends_the_wait(batch: BatchMock, clock: Clock) -> None:
    batch.job.get_task_counts.side_effect = OUTAGES[0]
    clock.on_sleep.append(interrupt)

    with pytest.raises(sample.InterruptedRunError):
        wait(batch)


def test_an_outage_that_outlasts_the_limits_ends_the_wait(batch: BatchMock, clock: Clock) -> None:
    batch.job.get_task_counts.side_effect = OUTAGES[0]

    with pytest.raises(ClientRequestError):
        wait(batch)

    limits = (TIMEOUT + sample._MARGIN).total_seconds()
    assert clock.elapsed == pytest.approx(limits, abs=10)


def test_a_refusal_in_the_wait_ends_it(batch: BatchMock) -> None:
    batch.job.get_task_counts.side_effect = batch_error('JobNotFound', status=404)

    with pytest.raises(models.BatchErrorException):
        wait(batch)


# --- Nodes that never come, or never work ---------------------------------------------------------


def node(state: str, since: float = 0, errors: list[Any] | None = None) -> models.ComputeNode:
    """Return a node that has been in a state since so many seconds after the beginning."""
    return models.ComputeNode(
        id='tvm-1',
        state=models.ComputeNodeState(state),
        state_transition_time=BEGAN + timedelta(seconds=since),
        errors=errors,
    )


def wait_for_queued_task(batch: BatchMock) -> str:
    """Wait for a task that never starts, only for some polls."""
    batch.job.get_task_counts.return_value = task_counts(active=1)
    batch.tasks[:] = [unfinished('a.mp4')]
    return wait(batch)


def resize_error(code: str) -> models.ResizeError:
    return models.ResizeError(code=code, message='Refused.')


def test_an_error_that_is_older_than_the_formula_is_of_an_earlier_run(
    batch: BatchMock, clock: Clock
) -> None:
    show_pool(
        batch,
        resize_errors=[resize_error('AccountCoreQuotaReached')],
        allocation_state_transition_time=BEGAN - timedelta(hours=5),
    )

    wait_for_queued_task(batch)

    assert clock.elapsed > TIMEOUT.total_seconds()


def test_nodes_of_the_other_kind_are_nodes_too(batch: BatchMock, clock: Clock) -> None:
    quota = resize_error('AccountLowPriorityCoreQuotaReached')
    show_pool(batch, current_dedicated_nodes=1, resize_errors=[quota])

    wait_for_queued_task(batch)

    assert clock.elapsed > TIMEOUT.total_seconds()


@pytest.mark.parametrize(
    ('seconds', 'change', 'ends'),
    [(300, 30, False), (1000, 30, True), (1000, 900, False)],
    ids=['not evaluated yet', 'evaluated', 'just changed'],
)
def test_a_pool_without_nodes_ends_the_wait_when_the_formula_must_have_given_some(
    batch: BatchMock, clock: Clock, seconds: float, change: float, ends: bool
) -> None:
    moment = BEGAN + timedelta(seconds=change)
    show_pool(batch, seconds=seconds, allocation_state_transition_time=moment)

    wait_for_queued_task(batch)

    assert (clock.elapsed < TIMEOUT.total_seconds()) == ends


def test_a_pool_that_is_still_resized_is_waited_for(batch: BatchMock, clock: Clock) -> None:
    show_pool(batch, seconds=1000, allocation_state=models.AllocationState.resizing)

    wait_for_queued_task(batch)

    assert clock.elapsed > TIMEOUT.total_seconds()


def test_a_start_task_that_fails_on_all_nodes_ends_the_wait_with_its_words(
    batch: BatchMock,
) -> None:
    show_nodes(batch, start_task_failed=4, unusable=1)
    batch.compute_node.list.return_value = [node('starttaskfailed')]
    batch.file.get_from_compute_node.return_value = [b'E: no \x1b[2J', b'package']

    reason = wait_for_queued_task(batch)

    assert 'E: no  [2Jpackage' in reason
    assert batch.compute_node.list.call_args.args[1].filter == "state eq 'starttaskfailed'"
    assert batch.file.get_from_compute_node.call_args.args[2] == 'startup/stderr.txt'


@pytest.mark.parametrize(
    'counts',
    [node_counts(start_task_failed=4, idle=1), node_counts({'idle': 1}, start_task_failed=4)],
    ids=['of one kind', 'of both kinds'],
)
def test_a_start_task_that_fails_on_some_nodes_does_not(
    batch: BatchMock, clock: Clock, counts: Any
) -> None:
    show_nodes(batch, running=5)
    batch.account.list_pool_node_counts.return_value = counts

    wait_for_queued_task(batch)

    assert clock.elapsed > TIMEOUT.total_seconds()


@pytest.mark.parametrize(('since', 'ends'), [(100, False), (-700, True)])
def test_nodes_that_are_all_unusable_for_ten_minutes_end_the_wait(
    batch: BatchMock, clock: Clock, since: float, ends: bool
) -> None:
    full = models.ComputeNodeError(code='DiskFull', message='The disk is full.')
    show_nodes(batch, unusable=2)
    batch.compute_node.list.return_value = [node('unusable', -900), node('unusable', since, [full])]

    reason = wait_for_queued_task(batch)

    assert (clock.elapsed < TIMEOUT.total_seconds()) == ends
    assert ('DiskFull' in reason) == ends


def test_a_pool_that_is_being_deleted_ends_the_wait(batch: BatchMock, clock: Clock) -> None:
    show_pool(batch, state=models.PoolState.deleting)

    assert wait_for_queued_task(batch) != ''
    assert clock.elapsed == 0


# --- Results --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('task', 'status', 'has_verdict', 'reason'),
    [
        (succeeded('a.mp4'), 'ok', True, ''),
        (damaged('a.mp4'), 'damaged', True, ''),
        (failed('a.mp4', exit_code=183), 'failed', True, '183'),
        (failed('a.mp4', exit_code=77, code='FileUploadMiscError'), 'failed', True, '77'),
        (failed('a.mp4', exit_code=0, code='FileUploadMiscError'), 'failed', False, 'MiscError'),
        (failed('a.mp4', exit_code=None, code='BlobNotFound'), 'failed', False, 'BlobNotFound'),
        (failed('a.mp4', exit_code=-9, code='TaskEnded'), 'failed', False, 'TaskEnded'),
        (unfinished('a.mp4'), 'failed', False, 'the reason'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_each_task_is_judged(
    batch: BatchMock, task: Any, status: str, has_verdict: bool, reason: str
) -> None:
    batch.tasks[:] = [task]
    batch.file.get_from_task.return_value = [b'last words']

    result = sample.read_results(batch.client, 'j', 'the reason')['a.mp4']

    assert (result.status, result.has_verdict) == (status, has_verdict)
    assert reason in result.reason
    has_words = has_verdict and status != 'ok'
    assert batch.file.get_from_task.called == has_words


def test_a_task_has_the_time_for_which_it_ran(batch: BatchMock) -> None:
    never_ran = failed('b.mp4', exit_code=None, code='BlobNotFound')
    never_ran.execution_info.start_time = None
    batch.tasks[:] = [succeeded('a.mp4'), never_ran]

    results = sample.read_results(batch.client, 'j')

    assert [result.seconds for result in results.values()] == [90, 0]


@pytest.mark.parametrize(
    ('size', 'seconds', 'status', 'found'),
    [
        (5, 60, 'ok', 'ok'),
        (5, 0, 'ok', 'ok'),
        (5, 60, 'damaged', 'damaged'),
        (5, -1, 'ok', 'failed'),
        (0, 60, 'ok', 'failed'),
        (None, 60, 'ok', 'failed'),
        (None, 60, 'damaged', 'failed'),
    ],
    ids=['there', 'same second', 'damaged', 'earlier run', 'empty', 'missing', 'damaged, missing'],
)
def test_a_video_whose_output_is_not_there_has_failed(
    new_run: NewRun, storage: StorageMock, size: int | None, seconds: int, status: str, found: str
) -> None:
    run = new_run(names=['a.mp4'])
    run.results['a.mp4'] = sample.VideoResult('a.mp4', status=status, has_verdict=True)
    moment = run.started + timedelta(seconds=seconds)
    blobs = [] if size is None else [blob_properties(sample.output_name('a.mp4'), size, moment)]
    storage.container(OUTPUT).list_blobs.return_value = blobs

    sample.find_outputs(run)

    result = run.results['a.mp4']
    assert run.is_success() == (found == 'ok')
    assert (result.status, result.has_verdict) == (found, found == status)
    assert result.output_size == (size if found == status else 0)


def test_the_results_are_those_of_the_videos(new_run: NewRun, storage: StorageMock) -> None:
    run = new_run(names=['a.mp4', 'without a task.mp4'])
    bad = sample.VideoResult('a.mp4', reason='Why.', has_verdict=True)
    run.results |= {'a.mp4': bad, 'of somebody else': sample.VideoResult('x', status='ok')}
    storage.container(OUTPUT).list_blobs.return_value = []

    sample.find_outputs(run)

    assert list(run.results) == ['a.mp4', 'without a task.mp4']
    assert (bad.status, bad.has_verdict, bad.reason) == ('failed', True, 'Why.')
    other = run.results['without a task.mp4']
    assert (other.status, other.has_verdict) == ('failed', False)


def test_what_ffmpeg_said_last_is_part_of_the_reason(batch: BatchMock) -> None:
    batch.tasks[:] = [failed('a.mp4')]
    lines = [f'line {number} \xe9\n'.encode('latin-1') for number in range(9)]  # no UTF-8
    batch.file.get_from_task.return_value = lines

    reason = sample.read_results(batch.client, 'j')['a.mp4'].reason

    assert reason.splitlines()[1:] == [f'    line {number} \ufffd' for number in range(4, 9)]


def test_only_the_first_files_are_asked_for_their_words(batch: BatchMock) -> None:
    batch.tasks[:] = [failed(f'{number}.mp4') for number in range(100)]
    batch.file.get_from_task.return_value = [b'words']

    sample.read_results(batch.client, 'j')

    assert batch.file.get_from_task.call_count == sample._SHOWN_FILES
