"""A network and services that fail for a moment, or for good."""

from __future__ import annotations

import re
from typing import Any

import pytest

from batch_python_tutorial_ffmpeg import output_name
from tests.conftest import MakeVideo
from tests.local_azure.http_front import Request

from .conftest import Sample, mp3s_of

FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    '408': ('fail_requests', {'status': 408, 'code': 'OperationTimedOut'}),
    '429': ('fail_requests', {'status': 429, 'code': 'TooManyRequests', 'retry_after': 1}),
    '500': ('fail_requests', {'status': 500, 'code': 'InternalError'}),
    '503': ('fail_requests', {}),
    'cut before': ('cut_requests', {}),
    'cut after': ('cut_requests', {'where': 'after'}),
    'cut in the answer': ('cut_requests', {'where': 'mid-body'}),
    'HTML 502': ('html_requests', {}),
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


def test_a_request_that_is_never_answered_is_sent_again(sample: Sample) -> None:
    fault = sample.azure.hang_requests('GET', '/supportedimages')  # the first one to Batch

    result = sample.run('-y')

    fault.check()
    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == mp3s_of('a.mp4', 'b.mp4')


# --- Services that do not come back ---------------------------------------------------------------


@pytest.mark.parametrize('service', ['batch', 'storage'])
def test_a_service_that_stays_down_gets_one_message(sample: Sample, service: str) -> None:
    fault = sample.azure.fail_requests('*', '.', count=None, status=503, service=service)

    sample.assert_refused('503')

    fault.check()
    sample.azure.faults.clear()
    assert sample.nothing_is_left()


@pytest.mark.parametrize('service', ['batch', 'storage'])
def test_a_service_that_never_answers_gets_one_message(sample: Sample, service: str) -> None:
    sample.change('_FIRST_TIMEOUT', '(5, 1)')
    sample.change('_FIRST_RETRY', 'sample._RETRY.new(total=1)')
    fault = sample.azure.hang_requests('*', '.', count=None, service=service)

    sample.assert_refused(f'{service.capitalize()} at ', 'does not answer')

    assert fault.hits == 2


@pytest.mark.parametrize(('service', 'status'), [('batch', 200), ('batch', 403), ('storage', 403)])
def test_a_page_of_a_proxy_gets_one_message(sample: Sample, service: str, status: int) -> None:
    sample.azure.html_requests('*', '.', count=None, status=status, service=service)

    sample.assert_refused(f'{service.capitalize()} at ', 'does not answer', str(status))


# --- Deletions that fail --------------------------------------------------------------------------


@pytest.mark.parametrize('kind', ['job', 'pool'])
def test_a_deletion_that_fails_is_named_and_the_others_still_happen(
    sample: Sample, kind: str
) -> None:
    fault = sample.azure.fail_requests(
        'DELETE', f'/{kind}s/', count=None, status=403, code='InsufficientAccountPermissions'
    )

    result = sample.run('-y')

    fault.check()
    assert result.returncode == 1
    assert f'az batch {kind} delete' in result.stderr
    assert len(sample.jobs() + sample.pools()) == 1
    assert sample.containers() == ['output']


def test_an_input_container_that_cannot_be_deleted_is_named(sample: Sample) -> None:
    fault = sample.azure.fail_requests(
        'DELETE', '/input', count=None, status=403, code='AuthorizationFailure', service='storage'
    )

    result = sample.run('-y')

    fault.check()
    assert result.returncode == 1
    assert 'az storage container delete -n input' in result.stderr
    assert not sample.jobs() + sample.pools()


# --- Many requests --------------------------------------------------------------------------------


def test_many_uploads_share_a_few_connections(sample: Sample, make_video: MakeVideo) -> None:
    for number in range(198):
        make_video(f'{number}.mp4')
    sample.azure.set_latency(0.04)
    sample.azure.set_quota(pools=0)  # the run ends after the uploads

    result = sample.run('-y')

    assert 'PoolQuotaReached' in result.stderr
    uploads = [
        request
        for request in sample.azure.requests
        if request.method == 'PUT' and re.search(r'/input/.+', request.path)
    ]
    assert len(uploads) == 200
    assert most_at_once(uploads) > 16
    ports = {request.port for request in sample.azure.requests if request.service == 'storage'}
    assert len(ports) <= 34


def most_at_once(requests: list[Request]) -> int:
    """Return how many of these were under way at the same time."""
    return max(
        sum(other.started <= one.started < other.started + other.seconds for other in requests)
        for one in requests
    )
