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


def assert_stops_soon(sample: Sample) -> None:
    """Run the sample: exit code 1 within five polls, nothing left."""
    result = sample.run('-y')

    assert result.returncode == 1
    assert 1 <= sample.polls() <= 5
    assert sample.mp3s() == []
    assert sample.nothing_is_left()


def test_a_quota_of_zero_stops_the_run(sample: Sample) -> None:
    sample.azure.set_quota(low_priority_cores=0)

    assert_stops_soon(sample)


def test_a_start_task_that_fails_on_all_nodes_stops_the_run(sample: Sample) -> None:
    fault = sample.azure.fail_start_task()

    assert_stops_soon(sample)

    fault.check()


def test_some_nodes_that_do_not_come_and_some_that_fail_leave_the_work_to_the_others(
    sample: Sample,
) -> None:
    sample.azure.set_quota(low_priority_cores=2)
    fault = sample.azure.fail_start_task(1)

    result = sample.run_past_polls()

    fault.check()
    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == mp3s_of(*VIDEOS)


def test_a_node_lost_in_the_middle_of_a_task_costs_only_time(sample: Sample) -> None:
    fault = sample.azure.preempt_node('Task0')

    result = sample.run('-y')

    fault.check()
    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == mp3s_of(*VIDEOS)
