"""A network and services that fail for a moment, or for good."""

from __future__ import annotations

from typing import Any

import pytest

from batch_python_tutorial_ffmpeg import output_name
from tests.conftest import MakeVideo

from .conftest import Sample, mp3s_of

# A request that is not executed, and two that are, whose answers do not arrive. (More kinds of
# failures are tried in tests/unit, each with one request.)
FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    '503': ('fail_requests', {}),
    'cut after': ('cut_requests', {'where': 'after'}),
    'cut in the answer': ('cut_requests', {'where': 'mid-body'}),
}
BATCH_REQUESTS = [
    ('POST', r'/pools\?'),
    ('POST', r'/jobs\?'),
    ('POST', '/addtaskcollection'),
    ('GET', '/taskcounts'),
    ('GET', '/nodecounts'),
    ('GET', r'/tasks\?'),
    ('DELETE', '/jobs/'),
    ('DELETE', '/pools/'),
]
STORAGE_REQUESTS = [
    ('PUT', r'/input\?'),
    ('PUT', '/input/a.mp4'),
    ('GET', r'/output\?.*comp=list'),
    ('GET', f'/output/{output_name("a.mp4")}'),
    ('DELETE', r'/input\?'),
]


@pytest.fixture(autouse=True)
def videos(make_video: MakeVideo) -> None:
    make_video('a.mp4')
    make_video('b.mp4')


def assert_survived(
    sample: Sample, fault: str, requests: list[tuple[str, str]], service: str
) -> None:
    """Run the sample; each of these requests fails once, all files arrive, nothing is left."""
    kind, options = FAULTS[fault]
    faults = [
        getattr(sample.azure, kind)(method, path, service=service, **options)
        for method, path in requests
    ]

    result = sample.run_past_polls() if service == 'batch' else sample.run('-y')

    assert result.returncode == 0, result.stderr
    for armed in faults:
        armed.check()
    assert sample.mp3s() == mp3s_of('a.mp4', 'b.mp4')
    assert sample.nothing_is_left()


@pytest.mark.parametrize('fault', FAULTS)
def test_every_batch_request_survives_a_passing_fault(sample: Sample, fault: str) -> None:
    assert_survived(sample, fault, BATCH_REQUESTS, 'batch')


@pytest.mark.parametrize('fault', FAULTS)
def test_every_storage_request_survives_a_passing_fault(sample: Sample, fault: str) -> None:
    assert_survived(sample, fault, STORAGE_REQUESTS, 'storage')


@pytest.mark.parametrize(
    ('service', 'kind'), [('batch', 'hang_requests'), ('storage', 'fail_requests')]
)
def test_a_service_that_is_away_for_good_gets_one_message(
    sample: Sample, service: str, kind: str
) -> None:
    sample.change('_FIRST_TIMEOUT', '(5, 1)')
    sample.change('_FIRST_RETRY', 'sample._RETRY.new(total=1)')
    fault = getattr(sample.azure, kind)('*', '.', count=None, service=service)

    sample.assert_refused()

    assert fault.hits == 2
    sample.azure.faults.clear()
    assert sample.nothing_is_left()


def test_deletions_that_fail_fail_the_run_and_keep_no_mp3_away(sample: Sample) -> None:
    refusals = [
        sample.azure.fail_requests('DELETE', path, count=None, status=403, service=service)
        for path, service in (('/jobs/', 'batch'), ('/pools/', 'batch'), ('/input', 'storage'))
    ]

    result = sample.run('-y')

    assert result.returncode == 1
    for refusal in refusals:
        refusal.check()
    assert sample.mp3s() == mp3s_of('a.mp4', 'b.mp4')
    assert sample.containers() == ['input', 'output']


def test_many_videos_are_uploaded_at_the_same_time(sample: Sample, make_video: MakeVideo) -> None:
    for number in range(20):
        make_video(f'{number}.mp4')
    sample.azure.set_quota(pools=0)  # the run ends after the uploads
    held = sample.azure.hold_requests('PUT', '/input/.', count=None, service='storage')

    process = sample.start_until(lambda: held.hits > 16, '-y')

    held.remove()
    sample.finish(process)
