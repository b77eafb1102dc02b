"""Nodes: what they do, why there are none, when they end, and the end of a file on one of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from azure.batch import models
from msrest.exceptions import ClientRequestError

import batch_python_tutorial_ffmpeg as sample

from .conftest import Clock, NewRun, Typed
from .mocks import BatchMock
from .service_objects import (
    BEGAN,
    EARLIER_RUN,
    SOMEBODY,
    THIS_RUN,
    batch_error,
    items,
    node_counts,
    pool,
    proxy_error,
    storage_error,
)

POOL_ID = sample._POOL_ID
NO_NODES = {'current_low_priority_nodes': 0}


@pytest.fixture(autouse=True)
def five_nodes(batch: BatchMock) -> None:
    batch.pool.get.return_value = pool()
    batch.account.list_pool_node_counts.return_value = node_counts(running=5)


@pytest.fixture
def watch(batch: BatchMock) -> sample.PoolWatch:
    return sample.PoolWatch(batch.client, POOL_ID, 'the formula')


# --- In words -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('numbers', 'text'),
    [
        pytest.param({}, '0 of 5 nodes: being allocated', id='none-yet'),
        pytest.param({'idle': 2, 'running': 3}, '5 nodes: 2 idle, 3 running', id='all'),
        pytest.param({'creating': 4}, '4 of 5 nodes: 4 creating', id='creating'),
        pytest.param(
            {'starting': 2, 'waiting_for_start_task': 3},
            '5 nodes: 2 starting, 3 in start task',
            id='starting',
        ),
        pytest.param(
            {'running': 4, 'preempted': 1}, '5 nodes: 1 preempted, 4 running', id='preempted'
        ),
        pytest.param({'leaving_pool': 5}, '5 nodes: 5 leaving pool', id='leaving'),
        pytest.param({'unusable': 5}, '5 nodes: 5 unusable', id='unusable'),
        pytest.param({'running': 6}, '6 nodes: 6 running', id='more-than-asked-for'),
    ],
)
def test_nodes_are_described_by_what_they_do(
    numbers: dict[str, int], text: str, watch: sample.PoolWatch, batch: BatchMock
) -> None:
    batch.account.list_pool_node_counts.return_value = node_counts(numbers)

    assert in_any_order(watch.look()) == in_any_order(text)


def in_any_order(text: str) -> tuple[str, list[str]]:
    number, _, states = text.partition(': ')
    return number, sorted(states.split(', '))


def test_nodes_of_a_pool_without_counts_yet_are_being_allocated(
    watch: sample.PoolWatch, batch: BatchMock
) -> None:
    batch.account.list_pool_node_counts.return_value = []

    assert watch.look() == '0 of 5 nodes: being allocated'


def test_dedicated_and_low_priority_nodes_are_counted_together(
    watch: sample.PoolWatch, batch: BatchMock
) -> None:
    batch.pool.get.return_value = pool(target_dedicated_nodes=2)
    batch.account.list_pool_node_counts.return_value = node_counts({'running': 1}, running=3)

    assert watch.look() == '4 of 7 nodes: 4 running'


def test_nodes_of_other_pools_are_not_asked_for(watch: sample.PoolWatch, batch: BatchMock) -> None:
    watch.look()

    (options,) = batch.account.list_pool_node_counts.call_args.args
    assert options.filter == "poolId eq 'LinuxFFmpegPool'"


# --- No nodes, or fewer ---------------------------------------------------------------------------


def resize_error(code: str = 'AllocationFailed') -> list[models.ResizeError]:
    return [models.ResizeError(code=code, message='Not all nodes could be allocated.')]


@pytest.mark.parametrize(
    'code', ['AccountLowPriorityCoreQuotaReached', 'AccountSpotCoreQuotaReached']
)
def test_pool_without_quota_for_any_node_is_a_problem_with_the_way_out(
    code: str, watch: sample.PoolWatch, batch: BatchMock
) -> None:
    batch.pool.get.return_value = pool(**NO_NODES, resize_errors=resize_error(code))
    batch.account.list_pool_node_counts.return_value = []

    watch.look()

    assert watch.problem.startswith(
        f'Pool [{POOL_ID}] gets no nodes. {code}: Not all nodes could be allocated. '
    )
    assert 'lower _LOW_PRIORITY_POOL_NODE_COUNT' in watch.problem


def test_pool_with_quota_for_some_nodes_warns_once_and_is_no_problem(
    watch: sample.PoolWatch, batch: BatchMock, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.pool.get.return_value = pool(current_low_priority_nodes=2, resize_errors=resize_error())
    batch.account.list_pool_node_counts.return_value = node_counts(idle=2)

    for _ in range(3):
        watch.look()

    warning = f'Warning: pool [{POOL_ID}] gets fewer nodes than asked for. AllocationFailed: Not '
    assert watch.problem == ''
    assert capsys.readouterr().err.count(warning) == 1


def test_pool_that_is_still_resizing_is_waited_for(
    watch: sample.PoolWatch, batch: BatchMock, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.pool.get.return_value = pool(
        **NO_NODES, allocation_state='resizing', resize_errors=resize_error()
    )
    batch.account.list_pool_node_counts.return_value = []

    for _ in range(10):
        watch.look()

    assert watch.problem == ''
    assert capsys.readouterr().err == ''


def test_start_task_that_failed_on_all_nodes_is_a_problem_with_its_last_words(
    watch: sample.PoolWatch, batch: BatchMock
) -> None:
    batch.account.list_pool_node_counts.return_value = node_counts(start_task_failed=5)
    batch.compute_node.list.return_value = [models.ComputeNode(id='node-1')]
    batch.file.get_from_compute_node.return_value = [b'E: Unable to locate package ffmpeg\n']

    watch.look()

    assert watch.problem == (
        f'The start task failed on all nodes of pool [{POOL_ID}].'
        '\n    E: Unable to locate package ffmpeg'
    )
    batch.file.get_from_compute_node.assert_called_once_with(
        POOL_ID, 'node-1', 'startup/stderr.txt'
    )
    _, options = batch.compute_node.list.call_args.args
    assert options.filter == "state eq 'starttaskfailed'"


def test_start_task_that_failed_on_all_nodes_is_a_problem_without_words_too(
    watch: sample.PoolWatch, batch: BatchMock
) -> None:
    batch.account.list_pool_node_counts.return_value = node_counts(start_task_failed=5)
    batch.compute_node.list.return_value = []

    watch.look()

    assert watch.problem == f'The start task failed on all nodes of pool [{POOL_ID}].'


def test_start_task_that_failed_on_some_nodes_warns_and_is_no_problem(
    watch: sample.PoolWatch, batch: BatchMock, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.account.list_pool_node_counts.return_value = node_counts(start_task_failed=2, idle=3)

    watch.look()

    assert watch.problem == ''
    assert capsys.readouterr().err == (
        f'Warning: the start task failed on 2 of 5 nodes of pool [{POOL_ID}].\n'
    )


def test_start_task_that_failed_on_all_usable_nodes_is_a_problem(
    watch: sample.PoolWatch, batch: BatchMock
) -> None:
    batch.account.list_pool_node_counts.return_value = node_counts(start_task_failed=3, unusable=2)
    batch.compute_node.list.return_value = []

    watch.look()

    assert watch.problem == f'The start task failed on all nodes of pool [{POOL_ID}].'


def test_unusable_nodes_alone_are_no_problem(watch: sample.PoolWatch, batch: BatchMock) -> None:
    """Batch tries to recover them."""
    batch.account.list_pool_node_counts.return_value = node_counts(unusable=5)

    watch.look()

    assert watch.problem == ''


@pytest.mark.parametrize('state', [models.PoolState.deleting, None], ids=['deleting', 'gone'])
def test_pool_that_is_gone_is_a_problem(
    state: models.PoolState | None, watch: sample.PoolWatch, batch: BatchMock
) -> None:
    batch.pool.get.return_value = pool(state=state)
    if state is None:
        batch.pool.get.side_effect = batch_error('PoolNotFound', status=404)

    shown = watch.look()

    assert watch.problem == f'Pool [{POOL_ID}] is gone: somebody has deleted it'
    assert shown == watch.problem


def test_pool_that_has_lost_its_nodes_is_a_problem_at_the_third_look(
    watch: sample.PoolWatch, batch: BatchMock
) -> None:
    watch.look()
    batch.pool.get.return_value = pool(**NO_NODES)

    problems = []
    for _ in range(3):
        watch.look()
        problems.append(watch.problem)

    assert problems[:2] == ['', '']
    assert problems[2] == (
        f'Pool [{POOL_ID}] has no nodes: somebody has resized it, or has removed them'
    )


def test_pool_whose_nodes_come_back_is_no_problem(
    watch: sample.PoolWatch, batch: BatchMock
) -> None:
    for nodes in (5, 0, 0, 5, 0, 0):
        batch.pool.get.return_value = pool(current_low_priority_nodes=nodes)
        watch.look()

    assert watch.problem == ''


def test_pool_of_this_run_that_has_had_no_nodes_yet_is_no_problem(
    watch: sample.PoolWatch, batch: BatchMock
) -> None:
    """A pool that was kept has none until its formula gives it some."""
    batch.pool.get.return_value = pool(**NO_NODES, metadata=items(THIS_RUN))

    for _ in range(10):
        watch.look()

    assert watch.problem == ''


@pytest.mark.parametrize(
    'metadata', [SOMEBODY, {}, EARLIER_RUN], ids=['somebody-else', 'nobody', 'another-run']
)
def test_pool_without_nodes_that_gets_no_formula_is_a_problem_at_the_third_look(
    metadata: dict[str, str], watch: sample.PoolWatch, batch: BatchMock
) -> None:
    batch.pool.get.return_value = pool(**NO_NODES, metadata=items(metadata))

    problems = []
    for _ in range(3):
        watch.look()
        problems.append(watch.problem)

    assert problems[:2] == ['', '']
    assert problems[2].startswith(f'Pool [{POOL_ID}] has no nodes: ')


# --- The end of the nodes -------------------------------------------------------------------------


def test_pool_gets_its_formula_once(watch: sample.PoolWatch, batch: BatchMock) -> None:
    batch.pool.get.return_value = pool(metadata=items(THIS_RUN))

    for _ in range(3):
        watch.look()

    batch.pool.enable_auto_scale.assert_called_once_with(
        POOL_ID,
        auto_scale_formula='the formula',
        auto_scale_evaluation_interval=timedelta(minutes=5),
    )


def test_pool_gets_no_formula_before_it_is_steady(
    watch: sample.PoolWatch, batch: BatchMock
) -> None:
    batch.pool.get.return_value = pool(allocation_state='resizing', metadata=items(THIS_RUN))
    watch.look()
    batch.pool.enable_auto_scale.assert_not_called()

    batch.pool.get.return_value = pool(metadata=items(THIS_RUN))
    watch.look()
    batch.pool.enable_auto_scale.assert_called_once()


def test_kept_pool_that_this_run_has_taken_over_gets_a_new_formula(
    watch: sample.PoolWatch, batch: BatchMock
) -> None:
    batch.pool.get.return_value = pool(**NO_NODES, metadata=items(THIS_RUN), enable_auto_scale=True)

    watch.look()

    batch.pool.enable_auto_scale.assert_called_once()


@pytest.mark.parametrize(
    'metadata', [SOMEBODY, {}, EARLIER_RUN], ids=['somebody-else', 'nobody', 'another-run']
)
def test_pool_of_somebody_else_gets_no_formula(
    metadata: dict[str, str], watch: sample.PoolWatch, batch: BatchMock
) -> None:
    batch.pool.get.return_value = pool(metadata=items(metadata))

    watch.look()

    batch.pool.enable_auto_scale.assert_not_called()


def test_pool_with_a_problem_gets_no_formula(watch: sample.PoolWatch, batch: BatchMock) -> None:
    batch.pool.get.return_value = pool(
        **NO_NODES, resize_errors=resize_error(), metadata=items(THIS_RUN)
    )

    watch.look()

    batch.pool.enable_auto_scale.assert_not_called()


@pytest.mark.parametrize(
    ('error', 'tries'),
    [
        pytest.param(batch_error('InvalidPropertyValue', 'No formula.', 400), 1, id='refused'),
        pytest.param(batch_error('PoolBeingResized', 'Not now.'), 3, id='resized-each-time'),
        pytest.param(ClientRequestError('No answer.'), 3, id='never-an-answer'),
    ],
)
def test_refused_formula_is_a_warning_that_says_what_follows(
    error: Exception,
    tries: int,
    watch: sample.PoolWatch,
    batch: BatchMock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    batch.pool.get.return_value = pool(metadata=items(THIS_RUN))
    batch.pool.enable_auto_scale.side_effect = error

    for _ in range(5):
        assert watch.look() == '5 nodes: 5 running'

    assert watch.problem == ''
    assert batch.pool.enable_auto_scale.call_count == tries
    assert capsys.readouterr().err == (
        f'Warning: the nodes of pool [{POOL_ID}] will not end by themselves: they bill until the '
        f'pool is deleted. {sample.describe(error)}\n'
    )


@pytest.mark.parametrize(
    'error', [batch_error('PoolBeingResized'), ClientRequestError('No answer.')]
)
def test_formula_that_cannot_be_given_for_a_moment_is_given_later(
    error: Exception,
    watch: sample.PoolWatch,
    batch: BatchMock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    batch.pool.get.return_value = pool(metadata=items(THIS_RUN))
    batch.pool.enable_auto_scale.side_effect = [error, error, None]

    for _ in range(5):
        watch.look()

    assert batch.pool.enable_auto_scale.call_count == 3
    assert capsys.readouterr().err == ''


def test_formula_has_the_numbers_until_the_end_and_none_after(clock: Clock) -> None:
    clock.sleep(60)

    formula = sample.nodes_formula(3, 5, timedelta(hours=1))

    assert formula == (
        '$TargetDedicatedNodes = time() < time("2026-11-22T16:21:21Z") ? 3 : 0;\n'
        '$TargetLowPriorityNodes = time() < time("2026-11-22T16:21:21Z") ? 5 : 0;'
    )


# --- last_lines, printable ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('chunks', 'lines'),
    [
        pytest.param([], [], id='empty'),
        pytest.param([b'one\n'], ['one'], id='one-line'),
        pytest.param([b'o', b'ne\ntw', b'o'], ['one', 'two'], id='in-chunks'),
        pytest.param([b'%d\n' % number for number in range(9)], list('45678'), id='the-last-five'),
        pytest.param([b'red \x1b[31m bell \x07\n'], ['red  [31m bell  '], id='control-characters'),
        pytest.param([b'\xff\n'], ['\ufffd'], id='not-utf8'),
    ],
)
def test_last_lines_shows_the_end_of_a_file(chunks: list[bytes], lines: list[str]) -> None:
    shown = sample.last_lines(lambda *_: iter(chunks), 'job', 'task', 'stderr.txt')

    assert shown == ''.join(f'\n    {line}' for line in lines)


def test_last_lines_keeps_little_of_a_huge_file() -> None:
    chunks = itertools.repeat(b'x' * 65536, 100)

    assert len(sample.last_lines(lambda *_: chunks, 'job', 'task', 'stderr.txt')) < 3000


@pytest.mark.parametrize(
    'error',
    [
        pytest.param(batch_error('NodeNotReady'), id='batch'),
        pytest.param(proxy_error(), id='proxy'),
        pytest.param(storage_error('InternalError'), id='storage'),
        pytest.param(OSError('cut off'), id='system'),
    ],
)
def test_last_lines_of_a_file_that_cannot_be_read_says_so(error: Exception) -> None:
    def cut_off(*_: Any) -> Iterator[bytes]:
        yield b'the beginning'
        raise error

    shown = sample.last_lines(cut_off, 'job', 'task', 'stderr.txt')

    assert shown == f'\n    no stderr: {sample.describe(error)}'


def test_printable_text_keeps_letters_and_loses_what_moves_the_cursor() -> None:
    assert sample.printable('Käse 日本\x1b[2J\r\t\u202e!') == 'Käse 日本 [2J   !'


# --- node_hours, delete_pool_early ----------------------------------------------------------------


@pytest.fixture
def ended_run(new_run: NewRun, batch: BatchMock, clock: Clock) -> NewRun:
    """Makes a run of these options, of which all tasks have ended; its nodes are 10 minutes old."""
    batch.pool.get.return_value = pool(metadata=items(THIS_RUN))
    batch.pool.delete.return_value = None
    batch.compute_node.list.return_value = [models.ComputeNode(allocation_time=BEGAN)] * 5
    clock.sleep(600)

    def make(*argv: str) -> sample.Run:
        run = new_run(*argv)
        run.results = {name: sample.VideoResult(name) for name in run.videos}
        return run

    return make


def test_node_hours_are_those_of_all_nodes_together(batch: BatchMock, clock: Clock) -> None:
    clock.sleep(5400)
    batch.compute_node.list.return_value = [
        models.ComputeNode(allocation_time=BEGAN),
        models.ComputeNode(allocation_time=BEGAN + timedelta(hours=1)),
        models.ComputeNode(allocation_time=None),
    ]

    assert sample.node_hours(batch.client, BEGAN) == pytest.approx(2.0)


def test_node_hours_of_an_earlier_run_do_not_count(batch: BatchMock, clock: Clock) -> None:
    clock.sleep(5400)
    batch.compute_node.list.return_value = [models.ComputeNode(allocation_time=BEGAN)]

    assert sample.node_hours(batch.client, BEGAN + timedelta(hours=1)) == pytest.approx(0.5)


def test_nodes_are_released_before_the_downloads_with_yes(
    ended_run: NewRun, batch: BatchMock
) -> None:
    run = ended_run('-y')

    sample.delete_pool_early(run)

    batch.pool.delete.assert_called_once_with(POOL_ID)
    assert run.pool_released
    assert run.node_hours == pytest.approx(5 / 6)


def test_nodes_are_released_before_the_downloads_where_nobody_can_be_asked(
    ended_run: NewRun, batch: BatchMock
) -> None:
    run = ended_run()

    sample.delete_pool_early(run)

    batch.pool.delete.assert_called_once_with(POOL_ID)
    assert run.pool_released


def test_nodes_are_released_although_the_answer_was_lost(
    ended_run: NewRun, batch: BatchMock
) -> None:
    batch.pool.delete.side_effect = batch_error('PoolBeingDeleted')
    run = ended_run('-y')

    sample.delete_pool_early(run)

    assert run.pool_released


def assert_not_released(run: sample.Run, batch: BatchMock) -> None:
    batch.pool.delete.assert_not_called()
    assert not run.pool_released


def test_nodes_stay_if_the_user_keeps_them(ended_run: NewRun, batch: BatchMock) -> None:
    run = ended_run('--keep')

    sample.delete_pool_early(run)

    assert_not_released(run, batch)
    assert run.node_hours == pytest.approx(5 / 6)


def test_nodes_stay_until_the_question_on_a_terminal(
    ended_run: NewRun, batch: BatchMock, typed: Typed
) -> None:
    typed()
    run = ended_run()

    sample.delete_pool_early(run)

    assert_not_released(run, batch)


def test_nodes_stay_while_a_task_runs(ended_run: NewRun, batch: BatchMock) -> None:
    run = ended_run('-y')
    run.results['a.mp4'].done = False

    sample.delete_pool_early(run)

    assert_not_released(run, batch)


@pytest.mark.parametrize('metadata', [EARLIER_RUN, SOMEBODY], ids=['earlier-run', 'somebody-else'])
def test_nodes_of_others_stay(
    metadata: dict[str, str], ended_run: NewRun, batch: BatchMock
) -> None:
    batch.pool.get.return_value = pool(metadata=items(metadata))
    run = ended_run('-y')

    sample.delete_pool_early(run)

    assert_not_released(run, batch)


def test_nodes_that_are_gone_need_no_release(ended_run: NewRun, batch: BatchMock) -> None:
    batch.pool.get.side_effect = batch_error('PoolNotFound', status=404)
    run = ended_run('-y')

    sample.delete_pool_early(run)

    assert_not_released(run, batch)


@pytest.mark.parametrize('request_', ['list-nodes', 'get-pool', 'delete-pool'])
@pytest.mark.parametrize('error', [batch_error('InternalError'), ClientRequestError('No answer.')])
def test_nodes_that_cannot_be_released_are_left_to_the_cleanup(
    error: Exception, request_: str, ended_run: NewRun, batch: BatchMock
) -> None:
    requests = {
        'list-nodes': batch.compute_node.list,
        'get-pool': batch.pool.get,
        'delete-pool': batch.pool.delete,
    }
    requests[request_].side_effect = error
    run = ended_run('-y')

    sample.delete_pool_early(run)

    assert not run.pool_released
