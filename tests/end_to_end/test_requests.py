"""A network and services that fail for a moment, or for good."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from tests.conftest import MakeVideo
from tests.local_azure.http_front import Request

from .conftest import Sample

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


LONGEST_FIRST_CONTACT = 100  # seconds, without a single answer


@pytest.fixture(autouse=True)
def videos(make_video: MakeVideo) -> None:
    make_video('a.mp4')
    make_video('b.mp4')


STORAGE_REQUESTS = [
    ('PUT', r'/input\?'),
    ('PUT', '/input/a.mp4'),
    ('GET', r'/output\?.*comp=list'),
    ('GET', '/output/a.mp3'),
    ('DELETE', r'/input\?'),
]


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
    assert sample.mp3s() == ['a.mp3', 'b.mp3']
    assert sample.nothing_is_left()


@pytest.mark.parametrize('fault', FAULTS)
def test_every_batch_request_survives_a_passing_fault(sample: Sample, fault: str) -> None:
    assert_survived(sample, fault, BATCH_REQUESTS, 'batch')


@pytest.mark.parametrize('fault', ['408', '429', '503', 'cut after'])
def test_every_storage_request_survives_a_passing_fault(sample: Sample, fault: str) -> None:
    assert_survived(sample, fault, STORAGE_REQUESTS, 'storage')


def test_a_request_that_is_never_answered_is_sent_again(sample: Sample) -> None:
    fault = sample.azure.hang_requests('POST', r'/jobs\?')

    result = sample.run('-y')

    fault.check()
    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == ['a.mp3', 'b.mp3']


@pytest.mark.parametrize(
    ('path', 'command'), [('/jobs/', 'az batch job delete'), ('/pools/', 'az batch pool delete')]
)
def test_a_deletion_that_fails_is_named_and_the_others_still_happen(
    sample: Sample, path: str, command: str
) -> None:
    fault = sample.azure.fail_requests(
        'DELETE', path, count=None, status=403, code='InsufficientAccountPermissions'
    )

    result = sample.run('-y')

    fault.check()
    assert result.returncode == 1
    assert command in result.stderr
    assert 'may be left' in result.stderr
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


def test_a_service_that_stays_down_gets_one_clear_error(sample: Sample) -> None:
    fault = sample.azure.fail_requests('*', '.', count=None, status=503, retry_after=90)

    result = sample.run('-y')

    fault.check()
    assert result.returncode == 1
    assert result.stderr.count('Error: ') == 1
    assert '503' in result.stderr
    assert sample.containers() == []


@pytest.mark.parametrize(
    ('service', 'status', 'setting'),
    [
        ('batch', 200, '_BATCH_ACCOUNT_URL'),
        ('batch', 403, '_BATCH_ACCOUNT_URL'),
        ('storage', 403, '_STORAGE_ACCOUNT_URL'),
    ],
)
def test_a_page_of_a_proxy_gets_one_message_with_the_setting(
    sample: Sample, service: str, status: int, setting: str
) -> None:
    sample.azure.html_requests('*', '.', count=None, status=status, service=service)

    stderr = sample.assert_refused(
        f'Error: {status} ', f'the answer did not come from Azure. Check {setting} and the proxy.'
    )

    assert len(stderr.splitlines()) == 1


def test_an_error_of_the_server_for_single_tasks_that_never_ends_gets_one_message(
    sample: Sample,
) -> None:
    # The client repeats such tasks by itself, without a pause and for ever.
    fault = sample.azure.fail_requests(
        'POST', '/addtaskcollection', count=None, status=200, code='servererror'
    )

    result = sample.run('-y')

    assert result.returncode == 1
    assert 2 <= fault.hits <= 10
    assert 'Error: Batch could not add some of the tasks. Try again later.' in result.stderr
    assert result.stderr.count('Error: ') == 1
    assert sample.nothing_is_left()


def test_an_error_of_the_server_for_single_tasks_that_passes_is_survived(sample: Sample) -> None:
    fault = sample.azure.fail_requests(
        'POST', '/addtaskcollection', 2, status=200, code='servererror'
    )

    result = sample.run('-y')

    assert fault.hits == 2
    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == ['a.mp3', 'b.mp3']


@pytest.mark.parametrize(
    ('service', 'setting'), [('batch', '_BATCH_ACCOUNT_URL'), ('storage', '_STORAGE_ACCOUNT_URL')]
)
def test_a_service_that_never_answers_gets_one_message_with_the_setting(
    sample: Sample, service: str, setting: str
) -> None:
    fault = sample.azure.hang_requests('*', '.', count=None, service=service)
    began = time.monotonic()

    result = sample.run('-y')

    fault.remove()
    assert result.returncode == 1
    assert time.monotonic() - began < LONGEST_FIRST_CONTACT
    assert f'does not answer. Check {setting}' in result.stderr.replace(
        '_STORAGE_ACCOUNT_NAME (AZURE_STORAGE_ACCOUNT), ', ''
    )
    assert result.stderr.count('Error: ') == 1


@pytest.mark.parametrize(
    ('service', 'method', 'path', 'status'),
    [
        ('batch', 'GET', '/taskcounts', 503),
        ('storage', 'PUT', '/input/a.mp4', 429),
        ('storage', 'PUT', '/input/a.mp4', 503),
    ],
)
def test_a_service_that_asks_for_an_hour_of_patience_gets_half_a_minute(
    sample: Sample, service: str, method: str, path: str, status: int
) -> None:
    fault = sample.azure.fail_requests(
        method, path, service=service, status=status, retry_after=3600
    )
    began = time.monotonic()

    result = sample.run('-y')

    fault.check()
    assert result.returncode == 0, result.stderr
    assert time.monotonic() - began < 60
    assert sample.mp3s() == ['a.mp3', 'b.mp3']


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
