"""The clients, tried on a web server of this machine: sign-in, versions, and what is repeated."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from unittest.mock import create_autospec

import certifi
import pytest
import requests
from azure.batch import models
from azure.batch.custom.custom_errors import CreateTasksErrorException
from azure.core.credentials import AccessToken
from azure.core.exceptions import AzureError, HttpResponseError
from azure.identity import DefaultAzureCredential
from msrest.exceptions import ClientRequestError
from requests.adapters import HTTPAdapter

import batch_python_tutorial_ffmpeg as sample

from .conftest import SETTINGS, Clock
from .web import Answer, Web, json_answer

FOUND = json_answer(200, {'id': 'job', 'state': 'active'})
REFUSED = json_answer(409, {'code': 'PoolExists', 'message': {'value': 'It exists.'}})
HTML = {'Content-Type': 'text/html; charset=utf-8'}
PROXY_PAGE = b'<html>Sign in</html>'
NEW_JOB = models.JobAddParameter(id='job', pool_info=models.PoolInformation(pool_id='pool'))


@pytest.fixture
def credential(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What signs in with Entra ID."""
    credential = create_autospec(DefaultAzureCredential, instance=True)
    credential.get_token.return_value = AccessToken('the token', 0)
    monkeypatch.setattr(sample, 'DefaultAzureCredential', lambda: credential)
    return credential


# --- The accounts ---------------------------------------------------------------------------------


def test_clients_are_those_of_the_settings() -> None:
    batch_client, blob_client = sample.create_clients()

    assert batch_client.config.batch_url == SETTINGS['_BATCH_ACCOUNT_URL']
    assert blob_client.url.rstrip('/') == SETTINGS['_STORAGE_ACCOUNT_URL']
    assert blob_client.account_name == SETTINGS['_STORAGE_ACCOUNT_NAME']
    assert blob_client.credential.account_key == SETTINGS['_STORAGE_ACCOUNT_KEY']


def test_batch_client_takes_a_url_with_a_slash_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, '_BATCH_ACCOUNT_URL', SETTINGS['_BATCH_ACCOUNT_URL'] + '/')

    batch_client, _ = sample.create_clients()

    assert batch_client.config.batch_url == SETTINGS['_BATCH_ACCOUNT_URL']


@pytest.mark.parametrize('group', ['account', 'compute_node', 'file', 'job', 'pool', 'task'])
def test_batch_client_sends_the_api_version_of_the_script(
    group: str, batch_client: Any, web: Web
) -> None:
    requests_of: dict[str, Callable[[], Any]] = {
        'account': lambda: list(batch_client.account.list_supported_images()),
        'compute_node': lambda: list(batch_client.compute_node.list('pool')),
        'file': lambda: batch_client.file.get_from_task('job', 'task', 'stderr.txt'),
        'job': lambda: batch_client.job.get('job'),
        'pool': lambda: batch_client.pool.get('pool'),
        'task': lambda: batch_client.task.get('job', 'task'),
    }

    with pytest.raises(models.BatchErrorException):
        requests_of[group]()

    (request,) = web.requests
    assert request.path.endswith('api-version=2025-06-01')


def test_batch_client_keeps_its_connection(batch_client: Any, web: Web) -> None:
    web.otherwise = FOUND

    for _ in range(5):
        batch_client.job.get('job')

    assert (len(web.requests), web.connections) == (5, 1)


def test_batch_client_waits_less_for_an_answer_until_the_service_has_answered_once(
    batch_client: Any, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = noted_limits(monkeypatch)
    web.otherwise = FOUND

    batch_client.job.get('job')
    sample.set_patience(batch_client, sample._RETRIES)
    batch_client.job.get('job')

    assert limits == [(10, 10), (10, 30)]


def noted_limits(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the seconds for which each request may wait: for a connection and for an answer."""
    limits = []
    send = requests.Session.request

    def request(session: requests.Session, *arguments: Any, **options: Any) -> requests.Response:
        limits.append(options['timeout'])
        return send(session, *arguments, **options)

    monkeypatch.setattr(requests.Session, 'request', request)
    return limits


# --- Sign-in --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('url', 'scope'),
    [
        ('https://mybatch.westeurope.batch.azure.com', 'https://batch.core.windows.net/.default'),
        ('https://mybatch.westeurope.batch.azure.com/', 'https://batch.core.windows.net/.default'),
        ('https://mybatch.cn1.batch.chinacloudapi.cn', 'https://batch.chinacloudapi.cn/.default'),
        ('https://mybatch.cn1.batch.chinacloudapi.cn/', 'https://batch.chinacloudapi.cn/.default'),
        (
            'https://mybatch.usgovvirginia.batch.usgovcloudapi.net/',
            'https://batch.core.usgovcloudapi.net/.default',
        ),
        ('https://mybatch.v.batch.azure.us', 'https://batch.core.usgovcloudapi.net/.default'),
        ('https://127.0.0.1:10000', 'https://batch.core.windows.net/.default'),
    ],
)
def test_batch_client_without_a_key_asks_for_a_token_of_its_cloud(
    url: str, scope: str, credential: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, '_BATCH_ACCOUNT_KEY', '')
    monkeypatch.setattr(sample, '_BATCH_ACCOUNT_URL', url)
    batch_client, _ = sample.create_clients()

    session = batch_client.config.credentials.signed_session()

    assert session.headers['Authorization'] == 'Bearer the token'
    credential.get_token.assert_called_once_with(scope)


def test_batch_client_without_a_key_sends_the_token_of_now(
    credential: Any, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, '_BATCH_ACCOUNT_KEY', '')
    web.otherwise = FOUND
    batch_client, _ = sample.create_clients()

    batch_client.job.get('job')
    credential.get_token.return_value = AccessToken('a newer one', 0)
    batch_client.job.get('job')

    tokens = [request.headers['Authorization'] for request in web.requests]
    assert tokens == ['Bearer the token', 'Bearer a newer one']


def test_batch_client_with_a_key_sends_no_token(
    credential: Any, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, '_STORAGE_ACCOUNT_KEY', '')
    monkeypatch.setattr(sample, '_STORAGE_ACCOUNT_URL', SETTINGS['_STORAGE_ACCOUNT_URL'])
    web.otherwise = FOUND
    batch_client, _ = sample.create_clients()

    batch_client.job.get('job')

    assert web.requests[0].headers['Authorization'].startswith('SharedKey mybatch:')
    credential.get_token.assert_not_called()


def test_clients_with_two_keys_look_for_no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sample, 'DefaultAzureCredential', lambda: pytest.fail('an identity was looked for')
    )

    sample.create_clients()


@pytest.mark.parametrize('batch_key', ['', SETTINGS['_BATCH_ACCOUNT_KEY']], ids=['entra', 'key'])
def test_blob_client_without_a_key_signs_in_whatever_the_batch_client_does(
    batch_key: str, credential: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, '_BATCH_ACCOUNT_KEY', batch_key)
    monkeypatch.setattr(sample, '_STORAGE_ACCOUNT_KEY', '')

    _, blob_client = sample.create_clients()

    assert blob_client.credential is credential


@pytest.mark.usefixtures('credential')
def test_blob_client_with_a_key_does_not_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, '_BATCH_ACCOUNT_KEY', '')

    _, blob_client = sample.create_clients()

    assert blob_client.credential.account_key == SETTINGS['_STORAGE_ACCOUNT_KEY']


# --- What Batch is asked again --------------------------------------------------------------------


@pytest.mark.parametrize('status', [408, 429, 500, 502, 503, 504])
def test_batch_client_repeats_what_fails_for_a_moment(
    status: int, batch_client: Any, web: Web, clock: Clock
) -> None:
    web.answers = [Answer(status), Answer(status), FOUND]

    job = batch_client.job.get('job')

    assert job.id == 'job'
    assert len(web.requests) == 3
    assert len({request.path for request in web.requests}) == 1
    assert sum(clock.sleeps) > 0


def test_batch_client_repeats_a_post_as_well(batch_client: Any, web: Web) -> None:
    web.answers = [Answer(503), Answer(201, b'')]

    batch_client.job.add(NEW_JOB)

    first, second = web.requests
    assert (first.method, first.path) == ('POST', '/jobs?api-version=2025-06-01')
    assert (second.method, second.path, second.body) == (first.method, first.path, first.body)


@pytest.mark.parametrize('status', [400, 403, 404, 409, 412])
def test_batch_client_does_not_repeat_what_is_refused(
    status: int, batch_client: Any, web: Web, clock: Clock
) -> None:
    web.otherwise = json_answer(status, {'code': 'Refused', 'message': {'value': 'No.'}})

    with pytest.raises(models.BatchErrorException) as raised:
        batch_client.job.add(NEW_JOB)

    assert sample.error_code(raised.value) == 'Refused'
    assert (len(web.requests), clock.sleeps) == (1, [])


def test_batch_client_has_little_patience_until_a_service_has_answered(
    batch_client: Any, web: Web, clock: Clock
) -> None:
    web.otherwise = Answer(503)

    with pytest.raises(ClientRequestError):
        batch_client.job.get('job')

    assert len(web.requests) == 5
    assert 10 <= clock.elapsed <= 20


def test_batch_client_has_more_patience_later(batch_client: Any, web: Web, clock: Clock) -> None:
    web.otherwise = FOUND
    batch_client.job.get('job')  # the session is made with the policy of now
    web.requests.clear()
    web.otherwise = Answer(503)

    sample.set_patience(batch_client, sample._RETRIES)
    with pytest.raises(ClientRequestError):
        batch_client.job.get('job')

    assert len(web.requests) == sample._RETRIES + 1 == 9
    assert 45 <= clock.elapsed <= 75
    assert max(clock.sleeps) <= 11
    assert min(pause for pause in clock.sleeps if pause) >= 0.5


def test_batch_client_has_its_patience_for_each_request(batch_client: Any, web: Web) -> None:
    web.answers = [Answer(503), Answer(503), FOUND] * 10

    for _ in range(10):
        batch_client.job.get('job')

    assert len(web.requests) == 30


@pytest.mark.parametrize('status', [429, 503])
def test_batch_client_waits_as_long_as_the_service_asks_for(
    status: int, batch_client: Any, web: Web, clock: Clock
) -> None:
    web.answers = [json_answer(status, {}, Retry_After='4'), FOUND]

    batch_client.job.get('job')

    assert clock.sleeps == [4]


@pytest.mark.parametrize('retry_after', ['3600', 'Sun, 22 Nov 2099 15:30:00 GMT'])
@pytest.mark.parametrize(('retries', 'longest'), [(None, 5), (8, 30)], ids=['first', 'later'])
def test_batch_client_does_not_wait_for_an_hour(
    retries: int | None,
    longest: int,
    retry_after: str,
    batch_client: Any,
    web: Web,
    clock: Clock,
) -> None:
    if retries is not None:
        sample.set_patience(batch_client, retries)
    web.answers = [json_answer(503, {}, Retry_After=retry_after), FOUND]

    batch_client.job.get('job')

    assert clock.sleeps == [longest]


def test_batch_client_repeats_a_connection_that_is_refused(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    with socket.socket() as unused:
        unused.bind(('127.0.0.1', 0))
        port = unused.getsockname()[1]
        monkeypatch.setattr(sample, '_BATCH_ACCOUNT_URL', f'http://127.0.0.1:{port}')
        batch_client = sample.create_batch_client(None)

        with pytest.raises(ClientRequestError):
            batch_client.job.get('job')

    assert 10 <= clock.elapsed <= 20


@pytest.mark.parametrize('method', ['GET', 'POST'])
def test_batch_client_repeats_a_request_whose_answer_was_cut(
    method: str, batch_client: Any, web: Web
) -> None:
    cut = Answer(200 if method == 'GET' else 201, FOUND.body, FOUND.headers, cut=True)
    web.answers = [cut, cut, FOUND if method == 'GET' else REFUSED]

    if method == 'GET':
        assert batch_client.job.get('job').id == 'job'
    else:
        with pytest.raises(models.BatchErrorException, match='PoolExists'):
            batch_client.job.add(NEW_JOB)

    assert [request.method for request in web.requests] == [method] * 3


def test_batch_client_gives_up_if_every_answer_is_cut(batch_client: Any, web: Web) -> None:
    web.otherwise = Answer(200, FOUND.body, FOUND.headers, cut=True)

    with pytest.raises(ClientRequestError):
        batch_client.job.get('job')

    assert 2 <= len(web.requests) <= 20


def test_batch_client_repeats_a_cut_request_with_the_certificates_of_the_first(
    batch_client: Any, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A company that reads along has certificates of its own, named in the environment."""
    monkeypatch.setenv('REQUESTS_CA_BUNDLE', certifi.where())
    verified = []
    send = HTTPAdapter.send

    def send_and_note(adapter: HTTPAdapter, *arguments: Any, **options: Any) -> Any:
        verified.append(options['verify'])
        return send(adapter, *arguments, **options)

    monkeypatch.setattr(HTTPAdapter, 'send', send_and_note)
    web.answers = [Answer(200, FOUND.body, FOUND.headers, cut=True), FOUND]

    batch_client.job.get('job')

    assert verified == [certifi.where()] * 2


# --- Answers that are not those of Batch ----------------------------------------------------------


@pytest.mark.parametrize('status', [200, 403, 407])
def test_batch_client_refuses_the_page_of_a_proxy(status: int, batch_client: Any, web: Web) -> None:
    web.otherwise = Answer(status, PROXY_PAGE, HTML)

    with pytest.raises(sample.SampleError) as raised:
        batch_client.job.get('job')

    assert str(raised.value).startswith(f'{status} ')
    assert 'the answer did not come from Azure. Check _BATCH_ACCOUNT_URL' in str(raised.value)


def test_batch_client_does_not_take_a_task_that_met_a_server_error_for_a_temporary_error(
    batch_client: Any, web: Web
) -> None:
    failure = {'category': 'ServerError', 'code': 'DiskFull'}
    execution = {'failureInfo': failure, 'retryCount': 0, 'requeueCount': 0}
    web.answers = [json_answer(200, {'value': [{'id': 'Task0', 'executionInfo': execution}]})]

    (task,) = batch_client.task.list('job')

    assert task.execution_info.failure_info.code == 'DiskFull'


@pytest.mark.parametrize('kind', ['text/html', 'text/plain', ''])
@pytest.mark.parametrize('status', [200, 403])
def test_adding_tasks_refuses_an_answer_that_is_not_json(
    status: int, kind: str, batch_client: Any, web: Web
) -> None:
    web.otherwise = Answer(status, b'Welcome', {'Content-Type': kind} if kind else {})

    with pytest.raises(CreateTasksErrorException) as raised:
        sample.add_chunk(batch_client, 'job', [models.TaskAddParameter(id='T', command_line='x')])

    assert 'the answer did not come from Azure' in sample.describe(raised.value)
    assert len(web.requests) == 1


# --- Storage --------------------------------------------------------------------------------------


@pytest.fixture
def container(web: Web) -> Any:  # noqa: ARG001 - it has to be there
    """A client of the input container."""
    return sample.create_blob_client(None).get_container_client('input')


CREATED = Answer(201, b'', {'Last-Modified': 'Sun, 22 Nov 2026 15:20:21 GMT', 'ETag': '"0x1"'})


@pytest.mark.parametrize('status', [429, 500, 503, 408])
def test_blob_client_repeats_what_fails_for_a_moment(
    status: int, container: Any, web: Web, clock: Clock
) -> None:
    web.answers = [Answer(status, b''), Answer(status, b''), CREATED]

    container.create_container()

    assert [request.method for request in web.requests] == ['PUT'] * 3
    assert sum(clock.sleeps) > 0


def test_blob_client_repeats_a_post_as_well(web: Web) -> None:
    times = '<SignedStart>{0}</SignedStart><SignedExpiry>{0}</SignedExpiry>'
    times = times.format('2026-11-22T15:20:21Z')
    key = f'<UserDelegationKey>{times}<Value>c2Vj</Value></UserDelegationKey>'.encode()
    web.answers = [Answer(429, b''), Answer(200, key, {'Content-Type': 'application/xml'})]
    now = datetime.now(UTC)

    delegated = sample.create_blob_client(None).get_user_delegation_key(now, now)

    assert delegated.value == 'c2Vj'
    assert [request.method for request in web.requests] == ['POST', 'POST']


def test_blob_client_waits_as_long_as_the_service_asks_for(
    container: Any, web: Web, clock: Clock
) -> None:
    web.answers = [Answer(429, b'', {'Retry-After': '7'}), CREATED]

    container.create_container()

    assert clock.sleeps == [7]


def test_blob_client_does_not_wait_for_an_hour(container: Any, web: Web, clock: Clock) -> None:
    web.answers = [Answer(429, b'', {'Retry-After': '3600'}), CREATED]

    container.create_container()

    assert clock.sleeps == [30]


@pytest.mark.parametrize('status', [429, 503])
def test_blob_client_gives_up_after_a_while(
    status: int, container: Any, web: Web, clock: Clock
) -> None:
    web.otherwise = Answer(status, b'')

    with pytest.raises(AzureError):
        container.create_container()

    assert len(web.requests) > 3
    assert clock.elapsed < 600


def test_blob_client_does_not_repeat_what_is_refused(
    container: Any, web: Web, clock: Clock
) -> None:
    web.otherwise = Answer(403, b'', {'x-ms-error-code': 'AuthenticationFailed'})

    with pytest.raises(HttpResponseError):
        container.create_container()

    assert (len(web.requests), clock.sleeps) == (1, [])


def test_blob_client_keeps_a_connection_for_each_request_under_way(
    container: Any, web: Web
) -> None:
    web.otherwise = CREATED
    all_are_sent = threading.Barrier(32, timeout=10)
    all_have_ended = threading.Barrier(32, timeout=10)
    web.wait = all_are_sent.wait

    def upload(number: int) -> None:
        container.upload_blob(f'{number}.mp4', b'a video', overwrite=True)
        all_have_ended.wait()  # so many connections are idle now, and have to be kept

    sample.in_parallel(upload, range(6 * 32))

    assert len(web.requests) == 6 * 32
    assert web.connections <= 34


def test_blob_client_sends_a_large_file_in_blocks(container: Any, web: Web) -> None:
    web.otherwise = CREATED
    data = bytes(2 * sample._BLOCK_SIZE + 1)

    container.upload_blob('large.mp4', data, overwrite=True)

    blocks = [len(request.body) for request in web.requests if 'comp=block&' in request.path]
    assert sorted(blocks) == [1, sample._BLOCK_SIZE, sample._BLOCK_SIZE]
    assert max(len(request.body) for request in web.requests) == 4 * 1024 * 1024


def test_blob_client_limits_the_wait_for_an_answer(
    container: Any, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = noted_limits(monkeypatch)
    web.otherwise = CREATED

    container.create_container()

    assert limits == [(10, 60)]
