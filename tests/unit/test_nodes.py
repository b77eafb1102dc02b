"""Nodes: how many are ready, why there are none, and the end of a file on one of them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
from azure.batch import models

import batch_python_tutorial_ffmpeg as sample

from .mocks import BatchMock
from .service_objects import batch_error, node_counts, pool, proxy_error, storage_error

POOL_ID = sample._POOL_ID


@pytest.fixture(autouse=True)
def five_nodes(batch: BatchMock) -> None:
    batch.pool.get.return_value = pool()


# --- describe_nodes ---------------------------------------------------------------------------------------------------
def resize_error(code: str = 'AllocationFailed') -> list[models.ResizeError]:
    return [models.ResizeError(code=code, message='Not all nodes could be allocated.')]


@pytest.mark.parametrize(
    ('numbers', 'text'),
    [
        pytest.param({}, '0 of 5 nodes ready: being allocated', id='none-yet'),
        pytest.param({'idle': 2, 'running': 3}, '5 of 5 nodes ready', id='all'),
        pytest.param({'creating': 4, 'idle': 1}, '1 of 5 nodes ready: 4 creating', id='creating'),
        pytest.param(
            {'starting': 2, 'waiting_for_start_task': 3},
            '0 of 5 nodes ready: 2 starting, 3 in start task',
            id='starting',
        ),
        pytest.param(
            {'running': 4, 'preempted': 1}, '4 of 5 nodes ready: 1 preempted', id='preempted'
        ),
        pytest.param({'unusable': 5}, '0 of 5 nodes ready: 5 unusable', id='unusable'),
    ],
)
def test_describe_nodes_counts_those_that_are_ready(
    numbers: dict[str, int], text: str, batch: BatchMock
) -> None:
    batch.account.list_pool_node_counts.return_value = node_counts(**numbers)

    assert sample.describe_nodes(batch.client, POOL_ID)[0] == text


def test_describe_nodes_of_a_pool_without_counts_yet(batch: BatchMock) -> None:
    batch.account.list_pool_node_counts.return_value = []

    assert sample.describe_nodes(batch.client, POOL_ID)[0] == '0 of 5 nodes ready: being allocated'


def test_describe_nodes_counts_dedicated_and_low_priority_nodes(batch: BatchMock) -> None:
    (counts,) = node_counts(idle=2)
    counts.dedicated = node_counts(running=1)[0].low_priority
    batch.pool.get.return_value = pool(target_dedicated_nodes=1)
    batch.account.list_pool_node_counts.return_value = [counts]

    assert sample.describe_nodes(batch.client, POOL_ID)[0] == '3 of 6 nodes ready'


@pytest.mark.parametrize(
    'code', ['AccountLowPriorityCoreQuotaReached', 'AccountSpotCoreQuotaReached']
)
def test_describe_nodes_without_quota_for_any_node_is_an_error_with_the_remedy(
    code: str, batch: BatchMock
) -> None:
    batch.pool.get.return_value = pool(
        current_low_priority_nodes=0, resize_errors=resize_error(code)
    )
    batch.account.list_pool_node_counts.return_value = []

    with pytest.raises(sample.SampleError) as raised:
        sample.describe_nodes(batch.client, POOL_ID)

    assert f'gets no nodes. {code}: Not all nodes could be allocated.' in str(raised.value)
    assert 'lower _LOW_PRIORITY_POOL_NODE_COUNT' in str(raised.value)


def test_describe_nodes_with_quota_for_some_nodes_warns_once(
    batch: BatchMock, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.pool.get.return_value = pool(current_low_priority_nodes=2, resize_errors=resize_error())
    batch.account.list_pool_node_counts.return_value = node_counts(idle=2)

    descriptions = [sample.describe_nodes(batch.client, POOL_ID)[0] for _ in range(3)]

    assert descriptions == ['2 of 5 nodes ready'] * 3
    assert (
        capsys.readouterr().err.count(
            'Warning: pool [LinuxFFmpegPool] gets fewer nodes than asked for'
        )
        == 1
    )


def test_describe_nodes_waits_while_the_pool_is_still_resizing(
    batch: BatchMock, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.pool.get.return_value = pool(
        allocation_state='resizing', current_low_priority_nodes=0, resize_errors=resize_error()
    )
    batch.account.list_pool_node_counts.return_value = []

    assert sample.describe_nodes(batch.client, POOL_ID)[0] == '0 of 5 nodes ready: being allocated'
    assert capsys.readouterr().err == ''


def test_describe_nodes_with_the_start_task_failed_on_all_shows_its_stderr(
    batch: BatchMock,
) -> None:
    batch.account.list_pool_node_counts.return_value = node_counts(start_task_failed=5)
    batch.compute_node.list.return_value = [models.ComputeNode(id='node-1')]
    batch.file.get_from_compute_node.return_value = [b'E: Unable to locate package ffmpeg\n']

    with pytest.raises(sample.SampleError) as raised:
        sample.describe_nodes(batch.client, POOL_ID)

    assert 'The start task failed on all nodes' in str(raised.value)
    assert 'E: Unable to locate package ffmpeg' in str(raised.value)
    batch.file.get_from_compute_node.assert_called_once_with(
        POOL_ID, 'node-1', 'startup/stderr.txt'
    )


def test_describe_nodes_with_the_start_task_failed_on_some_warns_and_goes_on(
    batch: BatchMock, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.account.list_pool_node_counts.return_value = node_counts(start_task_failed=2, idle=3)

    description, _ = sample.describe_nodes(batch.client, POOL_ID)

    assert description == '3 of 5 nodes ready: 2 start task failed'
    assert 'the start task failed on 2 of 5 nodes' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('numbers', 'letters'),
    [
        pytest.param({}, '', id='none-yet'),
        pytest.param({'idle': 2, 'running': 3}, 'iiRRR', id='ready'),
        pytest.param(
            {'creating': 1, 'starting': 1, 'waiting_for_start_task': 2}, 'sstt', id='starting'
        ),
        pytest.param(
            {'running': 2, 'preempted': 1, 'unusable': 1, 'leaving_pool': 1}, 'RRpFl', id='lost'
        ),
        pytest.param({'running': 2, 'start_task_failed': 1}, 'RRF', id='start-task-failed'),
    ],
)
@pytest.mark.parametrize('no_color', ['', '1'])
def test_describe_nodes_has_a_cell_for_each_node_in_colour_unless_no_color_is_set(
    no_color: str,
    numbers: dict[str, int],
    letters: str,
    batch: BatchMock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('NO_COLOR', no_color)
    batch.account.list_pool_node_counts.return_value = node_counts(**numbers)
    batch.compute_node.list.return_value = []

    _, cells = sample.describe_nodes(batch.client, POOL_ID)

    assert sorted(re.sub(r'\033\[[\d;]+m', '', cells)) == sorted(letters)
    assert ('\033' in cells) == bool(letters and not no_color)


# --- last_lines -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ('chunks', 'lines'),
    [
        pytest.param([], [], id='empty'),
        pytest.param([b'one\n'], ['one'], id='one-line'),
        pytest.param([b'o', b'ne\ntw', b'o'], ['one', 'two'], id='in-chunks'),
        pytest.param([b'%d\n' % number for number in range(9)], list('45678'), id='the-last-five'),
        pytest.param(
            [b'red \x1b[31m\rbell \x07\n'], ['red  [31m', 'bell  '], id='control-characters'
        ),
        pytest.param([b'\xff\n'], ['\ufffd'], id='not-utf8'),
    ],
)
def test_last_lines_shows_the_end_of_a_file(chunks: list[bytes], lines: list[str]) -> None:
    shown = sample.last_lines(lambda *_: iter(chunks), 'job', 'task', 'stderr.txt')

    assert shown == ''.join(f'\n    {line}' for line in lines)


def test_last_lines_keeps_little_of_a_huge_file() -> None:
    shown = sample.last_lines(
        lambda *_: itertools.repeat(b'x' * 65536, 100), 'job', 'task', 'stderr.txt'
    )

    assert len(shown) < 3000


@pytest.mark.parametrize(
    'error',
    [
        batch_error('NodeNotReady'),
        proxy_error(),
        storage_error('InternalError'),
        OSError('cut off'),
    ],
)
def test_last_lines_of_a_file_that_cannot_be_read_says_so(error: Exception) -> None:
    def cut_off(*_: Any) -> Iterator[bytes]:
        yield b'the beginning'
        raise error

    assert sample.last_lines(cut_off, 'job', 'task', 'stderr.txt').startswith('\n    (no stderr: ')
