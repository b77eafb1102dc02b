"""Folders that take long to upload: nothing is sent twice, whatever has ended a run."""

from __future__ import annotations

import os

import pytest

from tests.conftest import MakeVideo

from .conftest import Sample, mp3s_of

NAMES = ('a.mp4', 'b.mp4', 'c.mp4')


@pytest.fixture(autouse=True)
def videos(make_video: MakeVideo) -> None:
    for name in NAMES:
        make_video(name)


def sent(sample: Sample) -> list[str]:
    """Return the names of the videos that were sent, each as often as it was."""
    return sorted(
        request.path.rpartition('/')[2]
        for request in list(sample.azure.requests)
        if request.method == 'PUT' and '/input/' in request.path and request.source == 'client'
    )


def there(sample: Sample) -> set[str]:
    """Return the names of the videos that are in the input container."""
    with sample.azure.blob_service_client() as client:
        return set(client.get_container_client('input').list_blob_names())


def test_an_upload_that_was_killed_goes_on_where_it_stopped(sample: Sample) -> None:
    hanging = sample.azure.hang_requests('PUT', '/input/a.mp4', count=None, service='storage')
    process = sample.start_until(lambda: hanging.hits and there(sample) == {'b.mp4', 'c.mp4'})
    sample.kill(process)
    sample.break_lease()
    hanging.remove()
    sample.azure.wait_until(lambda: 'a.mp4' in sent(sample))  # in vain; it is on record now
    sample.azure.requests.clear()

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert sent(sample) == ['a.mp4']
    assert sample.mp3s() == mp3s_of(*NAMES)
    assert sample.nothing_is_left()


def test_after_a_quota_of_zero_only_what_has_changed_is_sent_again(sample: Sample) -> None:
    sample.azure.set_quota(low_priority_cores=0)
    assert sample.run().returncode == 1
    assert there(sample) == set(NAMES)
    sample.azure.requests.clear()
    os.utime(sample.input / 'b.mp4', (2_000_000_000, 2_000_000_000))

    result = sample.run('-y', '--dedicated', '2', '--low-priority', '0')

    assert result.returncode == 0, result.stderr
    assert sent(sample) == ['b.mp4']
    assert sample.mp3s() == mp3s_of(*NAMES)
    assert sample.nothing_is_left()
