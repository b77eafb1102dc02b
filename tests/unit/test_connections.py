"""Requests that are sent again, by the real clients on a server of this machine; sign-in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure.batch import models
from azure.core.credentials import AccessToken
from azure.core.exceptions import AzureError, ClientAuthenticationError, ResourceNotFoundError
from msrest.exceptions import ClientRequestError
from requests.adapters import HTTPAdapter

import batch_python_tutorial_ffmpeg as sample

from .conftest import Clock, interrupt
from .web import Answer, Web, json_answer

PAGE = Answer(200, b'<html>Sign in to the network</html>', {'Content-Type': 'text/html'})
POOL = json_answer(200, {'id': 'p', 'state': 'active'})
XML = {'Content-Type': 'application/xml'}
ADDED = json_answer(200, {'value': [{'taskId': 'Task0', 'status': 'success'}]})
CREATED = Answer(201, b'', {'ETag': '"0x1"', 'Last-Modified': 'Sun, 22 Nov 2026 15:20:21 GMT'})
NO_BLOBS = Answer(200, b'<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>', XML)


@pytest.fixture
def blob_client(web: Web) -> Any:  # noqa: ARG001 - it has to be there
    """A real client of Storage."""
    return sample.create_clients()[1]


def failing(kind: str) -> Answer:
    """Return an answer that is likely to be another one soon."""
    if kind == 'cut':
        return Answer(200, POOL.body, POOL.headers, cut=True)
    if kind == 'a page':
        return PAGE
    if kind == 'a page of a gateway':
        return Answer(502, PAGE.body, PAGE.headers)
    return json_answer(int(kind), {'code': 'Busy', 'message': {'value': 'Later.'}}, Retry_After='1')


TEMPORARY = ['408', '429', '500', '502', '503', '504', 'cut', 'a page', 'a page of a gateway']
calls: dict[str, Callable[[Any], Any]] = {
    'GET': lambda client: client.pool.get('p'),
    'POST': lambda client: client.task.add_collection('j', [models.TaskAddParameter(
        id='Task0', command_line='true')]),
    'DELETE': lambda client: client.job.delete('j'),
}  # fmt: skip


@pytest.mark.parametrize('kind', TEMPORARY)
@pytest.mark.parametrize('method', ['GET', 'POST'])
def test_a_request_to_batch_is_repeated_until_it_has_its_answer(
    web: Web, batch_client: Any, kind: str, method: str
) -> None:
    web.answers = [failing(kind)] * 3
    web.otherwise = POOL if method == 'GET' else ADDED

    calls[method](batch_client)

    assert [request.method for request in web.requests] == [method] * 4
    assert len({request.body for request in web.requests}) == 1


@pytest.mark.parametrize('kind', ['429', '503', 'a page'])
def test_a_request_to_storage_is_repeated_until_it_has_its_answer(
    web: Web, blob_client: Any, kind: str
) -> None:
    web.answers = [failing(kind)] * 3
    web.otherwise = NO_BLOBS

    assert list(blob_client.get_container_client('input').list_blobs()) == []
    assert len(web.requests) == 4


@pytest.mark.parametrize('kind', ['503', 'cut', 'a page', 'a page of a gateway'])
def test_a_service_that_has_never_answered_is_given_up_early(
    web: Web, batch_client: Any, clock: Clock, kind: str
) -> None:
    web.otherwise = failing(kind)

    with pytest.raises(ClientRequestError):
        batch_client.pool.get('p')

    assert len(web.requests) == 5
    assert clock.elapsed < 30


def test_the_client_of_storage_adds_no_tries_of_its_own(web: Web, blob_client: Any) -> None:
    web.otherwise = failing('503')

    with pytest.raises(AzureError):
        list(blob_client.get_container_client('input').list_blobs())

    assert len(web.requests) == 5


@pytest.mark.parametrize('service', ['Batch', 'Storage'])
def test_a_service_that_hangs_is_given_up_sooner_until_it_has_answered_once(
    web: Web, batch_client: Any, blob_client: Any, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    limits = []
    send = HTTPAdapter.send

    def send_and_note(adapter: HTTPAdapter, *arguments: Any, **options: Any) -> Any:
        limits.append(options['timeout'])
        return send(adapter, *arguments, **options)

    monkeypatch.setattr(HTTPAdapter, 'send', send_and_note)
    web.otherwise = POOL if service == 'Batch' else NO_BLOBS

    for _ in range(2):
        if service == 'Batch':
            batch_client.pool.get('p')
        else:
            list(blob_client.get_container_client('input').list_blobs())

    assert limits == [(5, 10), (10, 60)]


def test_a_service_that_has_answered_once_is_given_a_minute(
    web: Web, batch_client: Any, clock: Clock
) -> None:
    web.answers = [POOL]
    web.otherwise = json_answer(503, {})
    batch_client.pool.get('p')

    with pytest.raises(ClientRequestError):
        batch_client.pool.get('p')

    assert clock.elapsed > 40


def test_a_service_that_asks_for_hours_is_not_waited_for(
    web: Web, batch_client: Any, clock: Clock
) -> None:
    web.answers = [json_answer(503, {}, Retry_After='7200')]
    web.otherwise = POOL

    batch_client.pool.get('p')

    assert clock.elapsed <= 30


def test_a_refusal_is_not_repeated(web: Web, batch_client: Any) -> None:
    web.otherwise = json_answer(409, {'code': 'PoolExists', 'message': {'value': 'It exists.'}})

    with pytest.raises(models.BatchErrorException):
        batch_client.pool.get('p')

    assert len(web.requests) == 1


def test_a_refusal_without_a_body_is_one_of_storage(web: Web, blob_client: Any) -> None:
    web.otherwise = Answer(404, b'', {'x-ms-error-code': 'ContainerNotFound'})

    with pytest.raises(ResourceNotFoundError):
        blob_client.get_container_client('input').get_container_properties()

    assert len(web.requests) == 1


def test_a_refusal_that_is_not_of_batch_counts_as_no_answer(web: Web, batch_client: Any) -> None:
    web.otherwise = Answer(403, b'Forbidden by the proxy', {'Content-Type': 'text/plain'})

    with pytest.raises(ClientRequestError):
        batch_client.task.list('j').next()


@pytest.mark.parametrize(
    'request_of',
    [
        lambda client: list(client.account.list_supported_images()),
        lambda client: list(client.compute_node.list('p')),
        lambda client: client.file.get_from_task('j', 't', 'stderr.txt'),
        lambda client: client.job.delete('j'),
        lambda client: client.pool.get('p'),
        lambda client: list(client.task.list('j')),
    ],
    ids=['account', 'compute_node', 'file', 'job', 'pool', 'task'],
)
def test_all_requests_have_the_version_of_the_script(
    web: Web, batch_client: Any, request_of: Callable[[Any], Any]
) -> None:
    with pytest.raises(models.BatchErrorException):
        request_of(batch_client)

    assert web.requests[0].path.endswith(f'api-version={sample._BATCH_API_VERSION}')


def test_the_client_of_batch_keeps_its_connection(web: Web, batch_client: Any) -> None:
    web.otherwise = POOL

    for _ in range(5):
        batch_client.pool.get('p')

    assert (len(web.requests), web.connections) == (5, 1)


def test_uploads_use_the_connections_of_those_before_them(web: Web, blob_client: Any) -> None:
    all_at_once = threading.Barrier(sample._CONNECTIONS)
    web.wait = all_at_once.wait
    web.otherwise = CREATED

    def upload(number: int) -> None:
        blob_client.get_blob_client('input', f'{number}.mp4').upload_blob(b'a video')

    sample.in_parallel(upload, range(3 * sample._CONNECTIONS))

    assert len(web.requests) == 3 * sample._CONNECTIONS
    assert web.connections == sample._CONNECTIONS


def test_a_large_file_travels_in_blocks_with_their_checksums(
    web: Web, blob_client: Any, tmp_path: Path
) -> None:
    video = tmp_path / 'large.mp4'
    video.write_bytes(bytes(2 * sample._BLOCK_SIZE + 1))
    web.otherwise = CREATED

    sample.upload_file_to_container(blob_client, 'input', video)

    *blocks, commit = web.requests
    sizes = [len(request.body) for request in blocks]
    assert sorted(sizes) == [1, sample._BLOCK_SIZE, sample._BLOCK_SIZE]
    assert all('Content-MD5' in request.headers for request in blocks)
    assert 'comp=blocklist' in commit.path


def test_a_url_may_end_with_a_slash(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, '_BATCH_ACCOUNT_URL', f'{web.url}/')
    monkeypatch.setattr(sample, '_STORAGE_ACCOUNT_URL', f'{web.url}/')
    web.answers = [POOL, CREATED]

    batch_client, blob_client = sample.create_clients()
    batch_client.pool.get('p')
    sample.create_container(blob_client, 'input')

    paths = [request.path.partition('?')[0] for request in web.requests]
    assert paths == ['/pools/p', '/input']
    assert web.requests[1].headers['x-ms-meta-output'] == f'{web.url}/output'


def test_an_account_key_signs_without_any_identity(
    monkeypatch: pytest.MonkeyPatch, web: Web
) -> None:
    def fail(**_: object) -> None:
        pytest.fail('an identity was asked for')

    monkeypatch.setattr(sample, 'DefaultAzureCredential', fail)
    web.otherwise = POOL

    sample.create_clients()[0].pool.get('p')

    assert web.requests[0].headers['Authorization'].startswith('SharedKey mybatch:')


# --- Tokens ---------------------------------------------------------------------------------------


class Identity:
    """Gives tokens that live for an hour, or raises the errors that stand before."""

    def __init__(self, *answers: Exception | None, lives: float = 3600) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, ...]] = []
        self._lives = lives

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        self.asked.append(scopes)
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        return AccessToken(f'token {len(self.asked)}', int(time.time() + self._lives))


REFUSED = ClientAuthenticationError('Not signed in.')


def test_a_token_is_asked_for_once_however_many_threads_want_it() -> None:
    wanted = threading.Semaphore(0)

    class SlowIdentity(Identity):
        def get_token(self, *scopes: str, **options: object) -> AccessToken:
            token = super().get_token(*scopes, **options)
            if len(self.asked) == 1:
                for _ in range(20):  # by now the others want one as well
                    wanted.acquire()
            return token

    identity = SlowIdentity()
    token = sample.Token(identity)

    def ask(_: int) -> str:
        wanted.release()
        return token.get_token('scope').token

    assert set(sample.in_parallel(ask, range(20))) == {'token 1'}
    assert len(identity.asked) == 1


def test_each_service_has_a_token_of_its_own() -> None:
    token = sample.Token(Identity())

    assert token.for_batch() == {'tokenType': 'Bearer', 'accessToken': 'token 1'}
    assert token.get_token('https://storage.azure.com/.default').token == 'token 2'
    assert token.for_batch()['accessToken'] == 'token 1'


@pytest.mark.parametrize(
    ('host', 'resource'),
    [
        ('x.westeurope.batch.azure.com', 'batch.core.windows.net'),
        ('x.chinanorth.batch.chinacloudapi.cn/', 'batch.chinacloudapi.cn'),
        ('x.usgovvirginia.batch.usgovcloudapi.net', 'batch.core.usgovcloudapi.net'),
        ('x.usgovvirginia.batch.azure.us/', 'batch.core.usgovcloudapi.net'),
        ('127.0.0.1:10000', 'batch.core.windows.net'),
    ],
)
def test_the_token_for_batch_is_of_the_cloud_of_the_account(
    monkeypatch: pytest.MonkeyPatch, host: str, resource: str
) -> None:
    identity = Identity()
    monkeypatch.setattr(sample, '_BATCH_ACCOUNT_URL', f'https://{host}')

    sample.Token(identity).for_batch()

    assert identity.asked == [(f'https://{resource}/.default',)]


@pytest.mark.parametrize(('lives', 'asked'), [(301, 1), (299, 2)])
def test_a_token_is_kept_until_five_minutes_before_its_end(lives: float, asked: int) -> None:
    identity = Identity(lives=lives)
    token = sample.Token(identity)

    token.get_token('scope')
    token.get_token('scope')

    assert len(identity.asked) == asked


def test_a_token_for_other_claims_or_another_tenant_is_another() -> None:
    identity = Identity()
    token = sample.Token(identity)

    token.get_token('scope')
    token.get_token('scope', tenant_id='another')
    token.get_token('scope', claims='more')

    assert len(identity.asked) == 3


def test_a_sign_in_that_fails_at_the_beginning_ends_at_once() -> None:
    identity = Identity(REFUSED, REFUSED)

    with pytest.raises(ClientAuthenticationError):
        sample.Token(identity).get_token('scope')

    assert len(identity.asked) == 1


def test_a_sign_in_that_fails_in_mid_run_is_repeated(clock: Clock) -> None:
    identity = Identity(None, *[REFUSED] * 4, lives=10)
    token = sample.Token(identity)
    token.get_token('scope')

    assert token.get_token('scope').token == 'token 6'
    assert clock.elapsed > 10


def test_a_sign_in_that_fails_for_good_ends_with_its_error() -> None:
    identity = Identity(None, *[REFUSED] * 99, lives=10)
    token = sample.Token(identity)
    token.get_token('scope')

    with pytest.raises(AzureError):
        token.get_token('scope')


# --- Parallel work --------------------------------------------------------------------------------


def test_results_come_in_the_order_of_the_items() -> None:
    assert sample.in_parallel(lambda number: number * 2, range(100)) == list(range(0, 200, 2))


def test_progress_is_shown_up_to_the_end() -> None:
    shown: list[int] = []

    sample.in_parallel(lambda number: number, range(50), shown.append)

    assert shown[-1] == 50


def test_work_does_not_go_on_when_the_run_has_to_stop() -> None:
    interrupt()

    with pytest.raises(sample.InterruptedRunError):
        sample.in_parallel(lambda number: number, range(3))


def test_the_first_error_ends_the_work() -> None:
    may_go_on = threading.Event()
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        if number == 3:
            raise sample.SampleError
        may_go_on.wait()

    try:
        with pytest.raises(sample.SampleError):
            sample.in_parallel(work, range(100))
    finally:
        may_go_on.set()
    for thread in threading.enumerate():
        if thread.name.startswith('ThreadPoolExecutor'):
            thread.join()
    assert len(begun) <= sample._CONNECTIONS + 1


def test_work_that_hangs_does_not_hold_up_the_end_of_the_run() -> None:
    release = threading.Event()
    started = threading.Event()

    def work(_: int) -> None:
        started.set()
        release.wait()

    def stop(_done: int) -> None:
        assert started.wait(60)
        sample.stop.reason = sample.InterruptedRunError()

    try:
        with pytest.raises(sample.InterruptedRunError):
            sample.in_parallel(work, range(3), stop)
    finally:
        release.set()
