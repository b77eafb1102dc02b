"""Clients and requests: how they are set up, what is sent again and for how long, how many at once."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from azure.batch import models
from msrest.exceptions import ClientRequestError

import batch_python_tutorial_ffmpeg as sample

from .conftest import SETTINGS, Clock
from .service_objects import answer

OK = answer(200, {})
BUSY = answer(503)
NO_CONNECTION = ClientRequestError('Connection refused')


# --- create_clients ---------------------------------------------------------------------------------------------------
def test_clients_send_the_api_version_of_the_settings_in_every_operation_group() -> None:
    batch_client, _ = sample.create_clients()

    groups = {name: group.api_version for name, group in vars(batch_client).items() if hasattr(group, 'api_version')}
    assert {'account', 'compute_node', 'file', 'job', 'pool', 'task'} <= set(groups)
    assert set(groups.values()) == {sample._BATCH_API_VERSION}


def test_clients_are_those_of_the_settings() -> None:
    batch_client, blob_client = sample.create_clients()

    assert batch_client.config.batch_url == SETTINGS['_BATCH_ACCOUNT_URL']
    assert blob_client.url.rstrip('/') == SETTINGS['_STORAGE_ACCOUNT_URL']
    assert blob_client.account_name == SETTINGS['_STORAGE_ACCOUNT_NAME']


def test_batch_client_takes_a_url_with_a_slash_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, '_BATCH_ACCOUNT_URL', SETTINGS['_BATCH_ACCOUNT_URL'] + '/')

    batch_client, _ = sample.create_clients()

    assert batch_client.config.batch_url == SETTINGS['_BATCH_ACCOUNT_URL']


def test_batch_client_keeps_connections_and_limits_the_wait_for_an_answer() -> None:
    batch_client, _ = sample.create_clients()

    assert batch_client.config.keep_alive
    assert all(0 < seconds <= 30 for seconds in batch_client.config.connection.timeout)


def test_batch_client_sends_a_post_again(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    sent = []

    def send(_session: object, method: str, url: str, **_: Any) -> requests.Response:
        sent.append((method, url))
        response = requests.Response()
        response.status_code, response._content = (503 if len(sent) == 1 else 201), b''
        return response

    monkeypatch.setattr(requests.Session, 'request', send)
    batch_client, _ = sample.create_clients()

    batch_client.job.add(models.JobAddParameter(id='job', pool_info=models.PoolInformation(pool_id='pool')))

    assert sent == [('POST', f'{SETTINGS["_BATCH_ACCOUNT_URL"]}/jobs?api-version={sample._BATCH_API_VERSION}')] * 2
    assert len(clock.sleeps) == 1


# --- retried ----------------------------------------------------------------------------------------------------------
class Service:
    """Answers one request after the other with `outcomes`; the last one for ever."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.requests: list[tuple[Any, dict[str, Any]]] = []

    def __call__(self, request: Any, **options: Any) -> Any:
        self.requests.append((request, options))
        outcome = self.outcomes[min(len(self.requests), len(self.outcomes)) - 1]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


PASSING = [
    pytest.param(NO_CONNECTION, id='connection-refused'),
    pytest.param(ClientRequestError('Read timed out.'), id='timeout'),
    pytest.param(requests.exceptions.ChunkedEncodingError('cut off'), id='answer-cut-off'),
    *(pytest.param(answer(status), id=str(status)) for status in (408, 429, 500, 502, 503, 504)),
    pytest.param(answer(200, b'<html>Sign in', Content_Type='text/html; charset=utf-8'), id='html-of-a-proxy'),
]


@pytest.mark.parametrize('fault', PASSING)
def test_retried_sends_the_same_request_again(fault: object, clock: Clock) -> None:
    service = Service(fault, fault, OK)

    result = sample.retried(service)('the request', stream=True)

    assert result is OK
    assert service.requests == [('the request', {'stream': True})] * 3
    assert len(clock.sleeps) == 2


@pytest.mark.parametrize('fault', PASSING)
def test_retried_gives_up_in_the_end(fault: object, clock: Clock) -> None:
    service = Service(OK, fault)
    send = sample.retried(service)
    send('first')

    with pytest.raises(sample.SampleError) as raised:
        send('second')

    assert SETTINGS['_BATCH_ACCOUNT_URL'] in str(raised.value)
    assert sample._RETRY_SECONDS / 2 < clock.elapsed <= sample._RETRY_SECONDS


@pytest.mark.parametrize('status', [200, 201, 202, 304, 400, 403, 404, 409, 412, 501])
def test_retried_returns_a_final_answer_at_once(status: int, clock: Clock) -> None:
    service = Service(final := answer(status, {}))

    assert sample.retried(service)('request') is final
    assert (len(service.requests), clock.sleeps) == (1, [])


def test_retried_does_not_take_an_error_page_for_a_passing_fault() -> None:
    service = Service(page := answer(403, b'<html>Forbidden', Content_Type='text/html'))

    assert sample.retried(service)('request') is page


@pytest.mark.parametrize('error', [ValueError('a bug'), KeyError('another')])
def test_retried_lets_an_unexpected_error_through(error: Exception, clock: Clock) -> None:
    with pytest.raises(type(error)):
        sample.retried(Service(error))('request')

    assert clock.sleeps == []


@pytest.mark.parametrize('status', [429, 503])
def test_retried_waits_as_long_as_the_service_asks_for(status: int, clock: Clock) -> None:
    service = Service(answer(status, Retry_After='7'), OK)

    sample.retried(service)('request')

    assert clock.sleeps == [7]


def test_retried_does_not_wait_longer_than_its_patience(clock: Clock) -> None:
    service = Service(OK, answer(429, Retry_After='3600'))
    send = sample.retried(service)
    send('first')

    with pytest.raises(sample.SampleError, match='429'):
        send('second')

    assert clock.sleeps == []


def test_retried_takes_its_own_pause_for_a_date_in_retry_after(clock: Clock) -> None:
    service = Service(answer(503, Retry_After='Sun, 22 Nov 2026 15:30:00 GMT'), OK)

    sample.retried(service)('request')

    assert 0 < clock.sleeps[0] <= 1


def test_retried_has_little_patience_before_the_first_answer(clock: Clock) -> None:
    with pytest.raises(sample.SampleError, match=r'cannot be reached\. Check _BATCH_ACCOUNT_URL and the network'):
        sample.retried(Service(NO_CONNECTION))('request')

    assert sample._FIRST_RETRY_SECONDS / 3 < clock.elapsed <= sample._FIRST_RETRY_SECONDS


def test_retried_has_its_full_patience_after_any_answer(clock: Clock) -> None:
    with pytest.raises(sample.SampleError, match='503'):
        sample.retried(Service(BUSY))('request')

    assert sample._FIRST_RETRY_SECONDS < clock.elapsed <= sample._RETRY_SECONDS


def test_retried_has_its_patience_for_each_request(clock: Clock) -> None:
    service = Service(*[BUSY, BUSY, BUSY, OK] * 30)
    send = sample.retried(service)

    results = [send(number) for number in range(30)]

    assert results == [OK] * 30
    assert clock.elapsed > sample._RETRY_SECONDS


@pytest.mark.parametrize('fault', [NO_CONNECTION, BUSY], ids=['connection', 'busy'])
def test_retried_pauses_longer_and_longer_up_to_ten_seconds(fault: object, clock: Clock) -> None:
    send = sample.retried(Service(OK, fault))
    send('first')

    with pytest.raises(sample.SampleError):
        send('second')

    assert clock.sleeps == sorted(clock.sleeps)
    assert clock.sleeps[0] >= 0.5
    assert max(clock.sleeps) <= 10
