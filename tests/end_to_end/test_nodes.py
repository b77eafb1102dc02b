"""Compute nodes that do not come, do not get ready, or go away."""

from __future__ import annotations

import pytest

from tests.conftest import MakeVideo

from .conftest import Sample


@pytest.fixture(autouse=True)
def video(make_video: MakeVideo) -> None:
    make_video('a.mp4')


def assert_stops_soon(sample: Sample, *words: str) -> None:
    """Run the sample: exit code 1 within five polls, these words on stderr, nothing left."""
    result = sample.run('-y')

    assert result.returncode == 1
    assert 1 <= sample.polls() <= 5
    for word in words:
        assert word in result.stderr
    assert 'Success' not in result.stdout
    assert sample.nothing_is_left()


def test_a_quota_of_zero_stops_the_run_with_the_quota_to_raise(sample: Sample) -> None:
    sample.azure.set_quota(low_priority_cores=0)

    assert_stops_soon(sample, 'CoreQuotaReached', 'quota', '_LOW_PRIORITY_POOL_NODE_COUNT')


def test_a_failed_allocation_stops_the_run_with_the_setting_to_change(sample: Sample) -> None:
    fault = sample.azure.fail_allocation()

    assert_stops_soon(sample, 'AllocationFailed', '_POOL_VM_SIZE')
    fault.check()


def test_a_quota_that_leaves_some_nodes_is_a_warning(sample: Sample) -> None:
    sample.azure.set_quota(low_priority_cores=2)

    result = sample.run_past_polls()

    assert result.returncode == 0, result.stderr
    assert 'Warning: pool [LinuxFFmpegPool] gets fewer nodes than asked for.' in result.stderr


def test_an_image_that_the_vm_size_cannot_boot_stops_the_run_with_the_setting_to_change(
    sample: Sample,
) -> None:
    sample.change('_POOL_IMAGE', "{**sample._POOL_IMAGE, 'sku': 'server'}")

    assert_stops_soon(sample, 'AllocationFailed', 'generation 1 or 2')


def test_an_error_for_one_kind_of_node_is_a_warning_when_the_other_kind_comes(
    sample: Sample,
) -> None:
    sample.change('_DEDICATED_POOL_NODE_COUNT', '1')
    sample.azure.set_quota(dedicated_cores=0)

    result = sample.run_past_polls()

    assert result.returncode == 0, result.stderr
    assert (
        'Warning: pool [LinuxFFmpegPool] gets fewer nodes than asked for. AccountCoreQuotaReached'
        in result.stderr
    )


def test_a_start_task_that_fails_on_all_nodes_stops_the_run_with_its_last_words(
    sample: Sample,
) -> None:
    sample.azure.fail_start_task(stderr='E: Unable to locate package ffmpeg\n')

    assert_stops_soon(
        sample, 'The start task failed on all nodes', 'E: Unable to locate package ffmpeg'
    )


def test_a_start_task_that_fails_on_some_nodes_is_a_warning(sample: Sample) -> None:
    sample.azure.fail_start_task(2)

    result = sample.run_past_polls()

    assert result.returncode == 0, result.stderr
    assert (
        'Warning: the start task failed on 2 of 5 nodes of pool [LinuxFFmpegPool].' in result.stderr
    )


def test_nodes_that_are_slow_to_come_are_explained(sample: Sample) -> None:
    sample.azure.slow_allocation(4)
    sample.azure.slow_nodes(starting=4, start_task=4)

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    tasks = 'Tasks: 0 of 1 done, 1 queued, 0 running, 0 failed'
    assert f'\n0 of 5 nodes: being allocated; {tasks}\n' in result.stderr
    assert f'\n5 nodes: 5 starting; {tasks}\n' in result.stderr
    assert f'\n5 nodes: 5 in start task; {tasks}\n' in result.stderr


@pytest.mark.parametrize('loss', ['preempt_node', 'make_node_unusable'])
def test_a_node_lost_in_the_middle_of_a_task_costs_only_time(sample: Sample, loss: str) -> None:
    fault = getattr(sample.azure, loss)('Task0')

    result = sample.run('-y')

    fault.check()
    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == ['a.mp3']


def test_stale_task_counts_neither_end_the_run_early_nor_hang_it(sample: Sample) -> None:
    sample.azure.slow_nodes(start_task=3)
    done = sample.azure.stale_task_counts(
        counts={'active': 0, 'running': 0, 'completed': 1, 'succeeded': 1, 'failed': 0}
    )

    result = sample.run('-y')

    done.check()
    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == ['a.mp3']


def test_task_counts_that_never_move_do_not_hang_the_run(sample: Sample) -> None:
    fault = sample.azure.stale_task_counts(
        counts={'active': 1, 'running': 0, 'completed': 0, 'succeeded': 0, 'failed': 0}
    )

    result = sample.run('-y')

    fault.check()
    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == ['a.mp3']
