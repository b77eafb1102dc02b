"""Clients and requests: how they are set up, what is sent again and for how long, how many at once."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from typing import Any
from unittest.mock import create_autospec

import pytest
import requests
from azure.batch import BatchServiceClient, models
from azure.batch.batch_auth import SharedKeyCredentials
from azure.core.credentials import AccessToken
from azure.identity import DefaultAzureCredential
from msrest.exceptions import ClientRequestError
from msrest.universal_http import ClientRequest

import batch_python_tutorial_ffmpeg as sample

from .conftest import BATCH_KEY, SETTINGS, Clock, Run
from .mocks import Azure
from .service_objects import answer

OK = answer(200, {})
GET = ClientRequest('GET', 'https://mybatch.westeurope.batch.azure.com/jobs/job')
BUSY = answer(503)
NO_CONNECTION = ClientRequestError('Connection refused')


# --- create_clients ---------------------------------------------------------------------------------------------------
def test_clients_send_the_api_version_of_the_settings_in_every_operation_group() -> None:
    batch_client, _ = sample.create_clients()

    groups = {
        name: group.api_version
        for name, group in vars(batch_client).items()
        if hasattr(group, 'api_version')
    }
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

    batch_client.job.add(
        models.JobAddParameter(id='job', pool_info=models.PoolInformation(pool_id='pool'))
    )

    assert (
        sent
        == [
            (
                'POST',
                f'{SETTINGS["_BATCH_ACCOUNT_URL"]}/jobs?api-version={sample._BATCH_API_VERSION}',
            )
        ]
        * 2
    )
    assert len(clock.sleeps) == 1


@pytest.mark.parametrize(
    'request_type', ['PoolAddParameter', 'JobAddParameter', 'TaskAddParameter']
)
def test_batch_client_sends_what_its_own_serializer_would_send(
    request_type: str, run: Run, azure: Azure
) -> None:
    run('-y')
    sent = {
        'PoolAddParameter': azure.batch.pool.add.call_args.args[0],
        'JobAddParameter': azure.batch.job.add.call_args.args[0],
        'TaskAddParameter': azure.batch.task.add_collection.call_args.args[1][0],
    }[request_type]
    standard: Any = BatchServiceClient(
        SharedKeyCredentials('mybatch', BATCH_KEY), 'https://mybatch'
    )

    expected = json.dumps(standard._serialize.body(sent, request_type))

    durations = {'PT1200S': 'PT20M', 'PT3600S': 'PT1H'}
    body = re.sub(
        'PT[0-9]+S', lambda seconds: durations[seconds[0]], json.dumps(sent, default=sample.to_json)
    )
    assert json.loads(body) == json.loads(expected)


# --- Microsoft Entra ID -----------------------------------------------------------------------------------------------
def authorization(monkeypatch: pytest.MonkeyPatch, credential: object) -> str:
    """Return the Authorization header of a request to Batch."""
    sent = []

    def send(
        session: requests.Session, *_: object, headers: dict[str, str], **__: Any
    ) -> requests.Response:
        sent.append({**session.headers, **headers})
        response = requests.Response()
        response.status_code, response._content = 404, b'{}'
        return response

    monkeypatch.setattr(sample, 'DefaultAzureCredential', lambda: credential)
    monkeypatch.setattr(requests.Session, 'request', send)
    batch_client, _ = sample.create_clients()
    with pytest.raises(models.BatchErrorException):
        batch_client.job.get('job')
    return str(sent[0].get('Authorization'))


@pytest.mark.parametrize(
    ('url', 'scope'),
    [
        ('https://mybatch.westeurope.batch.azure.com', 'https://batch.core.windows.net/.default'),
        ('https://mybatch.westeurope.batch.azure.com/', 'https://batch.core.windows.net/.default'),
        (
            'https://mybatch.chinaeast2.batch.chinacloudapi.cn',
            'https://batch.chinacloudapi.cn/.default',
        ),
        (
            'https://mybatch.usgovvirginia.batch.usgovcloudapi.net/',
            'https://batch.core.usgovcloudapi.net/.default',
        ),
        ('https://127.0.0.1:10000', 'https://batch.core.windows.net/.default'),
    ],
)
def test_batch_client_without_a_key_sends_a_token_for_the_batch_service_of_its_cloud(
    url: str, scope: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, '_BATCH_ACCOUNT_KEY', '')
    monkeypatch.setattr(sample, '_BATCH_ACCOUNT_URL', url)
    credential = create_autospec(DefaultAzureCredential, instance=True)
    credential.get_token.return_value = AccessToken('the token', 0)

    assert authorization(monkeypatch, credential) == 'Bearer the token'
    credential.get_token.assert_called_once_with(scope)


def test_batch_client_with_a_key_asks_for_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    credential = create_autospec(DefaultAzureCredential, instance=True)

    assert 'Bearer' not in authorization(monkeypatch, credential)
    credential.get_token.assert_not_called()


def test_clients_with_two_keys_look_for_no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sample, 'DefaultAzureCredential', lambda: pytest.fail('an identity was looked for')
    )

    sample.create_clients()


@pytest.mark.parametrize('key', ['', SETTINGS['_STORAGE_ACCOUNT_KEY']], ids=['entra', 'key'])
def test_blob_client_signs_in_independently_of_the_batch_client(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    credential = create_autospec(DefaultAzureCredential, instance=True)
    monkeypatch.setattr(sample, 'DefaultAzureCredential', lambda: credential)
    monkeypatch.setattr(sample, '_STORAGE_ACCOUNT_KEY', key)

    _, blob_client = sample.create_clients()

    assert getattr(blob_client.credential, 'account_key', '') == key
    assert (blob_client.credential is credential) == (not key)


# --- send_with_retries ------------------------------------------------------------------------------------------------
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


def retried(service: Service) -> Callable[..., Any]:
    """Return the sending as the client does it: through the retries."""
    return functools.partial(sample.send_with_retries, service)


PASSING = [
    pytest.param(NO_CONNECTION, id='connection-refused'),
    pytest.param(ClientRequestError('Read timed out.'), id='timeout'),
    pytest.param(requests.exceptions.ChunkedEncodingError('cut off'), id='answer-cut-off'),
    *(pytest.param(answer(status), id=str(status)) for status in (408, 429, 500, 502, 503, 504)),
    pytest.param(
        answer(200, b'<html>Sign in', Content_Type='text/html; charset=utf-8'), id='html-of-a-proxy'
    ),
]


@pytest.mark.parametrize('fault', PASSING)
def test_send_with_retries_sends_the_same_request_again(fault: object, clock: Clock) -> None:
    service = Service(fault, fault, OK)

    result = retried(service)(GET, stream=True)

    assert result is OK
    assert service.requests == [(GET, {'stream': True})] * 3
    assert len(clock.sleeps) == 2


@pytest.mark.parametrize('fault', PASSING)
def test_send_with_retries_gives_up_in_the_end(fault: object, clock: Clock) -> None:
    service = Service(OK, fault)
    send = retried(service)
    send(GET)

    with pytest.raises(sample.SampleError) as raised:
        send(GET)

    assert SETTINGS['_BATCH_ACCOUNT_URL'] in str(raised.value)
    assert sample._RETRY_SECONDS / 2 < clock.elapsed <= sample._RETRY_SECONDS


def test_send_with_retries_asks_again_when_the_service_could_not_add_one_of_the_tasks(
    clock: Clock,
) -> None:
    busy = answer(200, {'value': [{'taskId': 'Task0', 'status': 'ServerError'}]})
    service = Service(busy, OK)
    request = ClientRequest(
        'POST', 'https://mybatch.westeurope.batch.azure.com/jobs/job/addtaskcollection'
    )

    assert retried(service)(request) is OK
    assert len(clock.sleeps) == 1


def test_send_with_retries_does_not_take_a_task_that_met_a_server_error_for_a_passing_fault(
    clock: Clock,
) -> None:
    service = Service(tasks := answer(200, {'value': [{'id': 'Task0', 'category': 'ServerError'}]}))

    assert retried(service)(GET) is tasks
    assert clock.sleeps == []


@pytest.mark.parametrize('outcome', [OK, NO_CONNECTION])
@pytest.mark.parametrize(
    ('method', 'path', 'creates'),
    [
        ('POST', '/pools', True),
        ('POST', '/jobs', True),
        ('POST', '/jobs/j/addtaskcollection', False),
        ('GET', '/', False),
    ],
)
def test_send_with_retries_tells_while_it_creates_a_pool_or_job(
    method: str, path: str, creates: bool, outcome: object, clock: Clock
) -> None:
    seen: list[bool] = []
    service = Service(outcome, OK)
    clock.on_sleep.append(lambda: seen.append(sample.Run.adds))

    def send(request: Any, **options: Any) -> Any:
        seen.append(sample.Run.adds)
        return service(request, **options)

    sample.send_with_retries(
        send, ClientRequest(method, f'https://mybatch.westeurope.batch.azure.com{path}')
    )

    assert seen == ([creates] if outcome is OK else [creates, False, creates])
    assert not sample.Run.adds


def test_send_with_retries_ends_a_run_whose_interrupt_got_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = Service(OK)
    monkeypatch.setattr(sample.Run, 'interrupted', True)

    with pytest.raises(KeyboardInterrupt):
        retried(service)(GET)

    assert service.requests == []


@pytest.mark.parametrize('status', [200, 201, 202, 304, 400, 403, 404, 409, 412, 501])
def test_send_with_retries_returns_a_final_answer_at_once(status: int, clock: Clock) -> None:
    service = Service(final := answer(status, {}))

    assert retried(service)(GET) is final
    assert (len(service.requests), clock.sleeps) == (1, [])


def test_send_with_retries_does_not_take_an_error_page_for_a_passing_fault() -> None:
    service = Service(page := answer(403, b'<html>Forbidden', Content_Type='text/html'))

    assert retried(service)(GET) is page


@pytest.mark.parametrize('error', [ValueError('a bug'), KeyError('another')])
def test_send_with_retries_lets_an_unexpected_error_through(error: Exception, clock: Clock) -> None:
    with pytest.raises(type(error)):
        retried(Service(error))(GET)

    assert clock.sleeps == []


@pytest.mark.parametrize('status', [429, 503])
def test_send_with_retries_waits_as_long_as_the_service_asks_for(status: int, clock: Clock) -> None:
    service = Service(answer(status, Retry_After='7'), OK)

    retried(service)(GET)

    assert clock.sleeps == [7]


def test_send_with_retries_does_not_wait_longer_than_its_patience(clock: Clock) -> None:
    service = Service(OK, answer(429, Retry_After='3600'))
    send = retried(service)
    send(GET)

    with pytest.raises(sample.SampleError, match='429'):
        send(GET)

    assert clock.sleeps == []


def test_send_with_retries_takes_its_own_pause_for_a_date_in_retry_after(clock: Clock) -> None:
    service = Service(answer(503, Retry_After='Sun, 22 Nov 2026 15:30:00 GMT'), OK)

    retried(service)(GET)

    assert 0 < clock.sleeps[0] <= 1


def test_send_with_retries_has_little_patience_before_the_first_answer(clock: Clock) -> None:
    with pytest.raises(
        sample.SampleError, match=r'is unreachable\. Check _BATCH_ACCOUNT_URL and the network'
    ):
        retried(Service(NO_CONNECTION))(GET)

    assert sample._FIRST_RETRY_SECONDS / 3 < clock.elapsed <= sample._FIRST_RETRY_SECONDS


def test_send_with_retries_has_its_full_patience_after_any_answer(clock: Clock) -> None:
    with pytest.raises(sample.SampleError, match='503'):
        retried(Service(BUSY))(GET)

    assert sample._FIRST_RETRY_SECONDS < clock.elapsed <= sample._RETRY_SECONDS


def test_send_with_retries_has_its_patience_for_each_request(clock: Clock) -> None:
    service = Service(*[BUSY, BUSY, BUSY, OK] * 30)
    send = retried(service)

    results = [send(GET) for _ in range(30)]

    assert results == [OK] * 30
    assert clock.elapsed > sample._RETRY_SECONDS


@pytest.mark.parametrize('fault', [NO_CONNECTION, BUSY], ids=['connection', 'busy'])
def test_send_with_retries_pauses_longer_and_longer_up_to_ten_seconds(
    fault: object, clock: Clock
) -> None:
    send = retried(Service(OK, fault))
    send(GET)

    with pytest.raises(sample.SampleError):
        send(GET)

    assert clock.sleeps == sorted(clock.sleeps)
    assert clock.sleeps[0] >= 0.5
    assert max(clock.sleeps) <= 10
