"""Compute nodes that do not come, do not get ready, or go away."""

from __future__ import annotations

import pytest

from tests.conftest import MakeVideo

from .conftest import Sample, mp3s_of

VIDEOS = ('a.mp4', 'b.mp4', 'c.mp4')  # and as many nodes


@pytest.fixture(autouse=True)
def videos(make_video: MakeVideo) -> None:
    for name in VIDEOS:
        make_video(name)


def assert_stops_soon(sample: Sample, *words: str) -> None:
    """Run the sample: exit code 1 within five polls, these words on stderr, nothing left."""
    result = sample.run('-y')

    assert result.returncode == 1
    assert 1 <= sample.polls() <= 5
    for word in words:
        assert word in result.stderr
    assert 'Success' not in result.stdout
    assert sample.nothing_is_left()


def assert_warns(sample: Sample, word: str) -> None:
    """Run the sample: it succeeds, with a warning that holds this word."""
    result = sample.run_past_polls()

    assert result.returncode == 0, result.stderr
    assert word in result.stderr.partition('Warning: ')[2]
    assert sample.mp3s() == mp3s_of(*VIDEOS)


# --- Nodes that do not come -----------------------------------------------------------------------


def test_a_quota_of_zero_stops_the_run(sample: Sample) -> None:
    sample.azure.set_quota(low_priority_cores=0)

    assert_stops_soon(sample, 'CoreQuotaReached', '--dedicated')


def test_a_quota_that_leaves_some_nodes_is_a_warning(sample: Sample) -> None:
    sample.azure.set_quota(low_priority_cores=2)

    assert_warns(sample, 'CoreQuotaReached')


def test_a_quota_of_one_kind_of_node_is_a_warning_when_the_other_kind_comes(
    sample: Sample,
) -> None:
    sample.change('_DEDICATED_POOL_NODE_COUNT', '1')
    sample.azure.set_quota(dedicated_cores=0)

    assert_warns(sample, 'AccountCoreQuotaReached')


def test_a_failed_allocation_stops_the_run(sample: Sample) -> None:
    fault = sample.azure.fail_allocation()

    assert_stops_soon(sample, 'AllocationFailed')

    fault.check()


def test_an_image_that_the_vm_size_cannot_boot_stops_the_run_with_the_setting_to_change(
    sample: Sample,
) -> None:
    sample.change('_POOL_IMAGE', "{**sample._POOL_IMAGE, 'sku': 'server'}")

    assert_stops_soon(sample, '_POOL_VM_SIZE')


# --- Nodes that do not get ready ------------------------------------------------------------------


def test_a_start_task_that_fails_on_all_nodes_stops_the_run_with_its_last_words(
    sample: Sample,
) -> None:
    sample.azure.fail_start_task(stderr='E: Unable to locate package ffmpeg\n')

    assert_stops_soon(
        sample, 'The start task failed on all nodes', 'E: Unable to locate package ffmpeg'
    )


def test_a_start_task_that_fails_on_some_nodes_leaves_the_work_to_the_others(
    sample: Sample,
) -> None:
    fault = sample.azure.fail_start_task(2)

    result = sample.run_past_polls()

    fault.check()
    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == mp3s_of(*VIDEOS)


# --- Nodes that go away, and counts that are wrong ------------------------------------------------


@pytest.mark.parametrize('loss', ['preempt_node', 'make_node_unusable'])
def test_a_node_lost_in_the_middle_of_a_task_costs_only_time(sample: Sample, loss: str) -> None:
    fault = getattr(sample.azure, loss)('Task0')

    result = sample.run('-y')

    fault.check()
    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == mp3s_of(*VIDEOS)


@pytest.mark.parametrize('done', [0, len(VIDEOS)])
def test_task_counts_that_never_move_neither_end_the_run_early_nor_hang_it(
    sample: Sample, done: int
) -> None:
    sample.azure.slow_nodes(start_task=2)
    fault = sample.azure.stale_task_counts(
        counts={
            'active': len(VIDEOS) - done,
            'running': 0,
            'completed': done,
            'succeeded': done,
            'failed': 0,
        }
    )

    result = sample.run('-y')

    fault.check()
    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == mp3s_of(*VIDEOS)
