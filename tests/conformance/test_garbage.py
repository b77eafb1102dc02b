"""Whatever is sent: a 4xx answer in the service's form, never a 500, a hang, or a crash."""

from __future__ import annotations

import base64
import hmac
import json
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.batch.batch_auth import SharedKeyCredentials
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.local_azure import LocalAzure
from tests.local_azure.batch import resource_properties, task_and_node_files
from tests.local_azure.batch.errors import ERRORS, BatchError
from tests.local_azure.batch.filters import parse_filter
from tests.local_azure.node.files_on_disk import NodeFile

from .conftest import EMPTY_POOL, JOB, POOL, TASK, Wire, address_of, error_of, finish

BODIES = {
    'empty': b'',
    'null': b'null',
    'not JSON': b'{"id": ',
    'binary': bytes(range(256)) * 20,
    'not UTF-8': b'{"id": "\xff\xfe"}',
    'list': b'[]',
    'number': b'5',
    'string': b'"x"',
    'NaN': b'{"id": NaN}',
    'huge number': b'{"priority": 1' + b'0' * 5000 + b'}',
    'deep': b'[' * 100_000,
    'deep objects': b'{"a":' * 50_000,
    'wrong types': b'{"id": 5, "commandLine": [], "poolInfo": "x", "vmSize": {}}',
    'nulls': b'{"id": null, "commandLine": null, "poolInfo": null, "vmSize": null}',
    'unknown property': b'{"id": "x", "nothing": 1}',
    'lone surrogate': b'{"id": "\\ud800", "commandLine": "\\ud800", "vmSize": "\\ud800"}',
    'too large': b'{"id": "' + b'x' * (9 << 20) + b'"}',
}
POSTS = (
    '/pools',
    '/jobs',
    '/jobs/Job1/tasks',
    '/jobs/Job1/addtaskcollection',
    '/pools/Pool1/resize',
    '/jobs/Job1/terminate',
)
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**31, 10**30, 1.5, '', 'x' * 70_000, '\0', '../..'),
    *([], [None], [{}], {}, {'x': 1}, [{'name': '='}], 'PT1S', 'P99999999999999Y'),
)
PROPERTIES = {
    '/pools': 'id displayName vmSize virtualMachineConfiguration targetDedicatedNodes '
    'resizeTimeout startTask taskSlotsPerNode taskSchedulingPolicy metadata userAccounts '
    'networkConfiguration enableAutoScale',
    '/jobs': 'id displayName priority maxParallelTasks constraints poolInfo '
    'onAllTasksComplete metadata commonEnvironmentSettings usesTaskDependencies',
    '/jobs/Job1/tasks': 'id displayName commandLine resourceFiles outputFiles '
    'environmentSettings constraints requiredSlots userIdentity affinityInfo',
}
OUTPUT = {'filePattern': '../stdout.txt', 'uploadOptions': {'uploadCondition': 'taskcompletion'}}
NOWHERE = 'http://127.0.0.1:1/x'


def assert_refused(answer: requests.Response, what: object) -> None:
    assert 400 <= answer.status_code < 500, (what, answer.status_code, answer.text[:500])
    if answer.content:
        assert answer.json()['code'] in ERRORS, what


@pytest.mark.parametrize('path', POSTS)
def test_bodies(wire: Wire, path: str) -> None:
    wire('POST', '/pools', EMPTY_POOL)
    wire('POST', '/jobs', JOB)
    bodies = dict(BODIES)
    if path.endswith('/terminate'):  # whose reason may be left out
        del bodies['empty'], bodies['null']

    for name, body in bodies.items():
        assert_refused(wire('POST', path, body), name)


@pytest.mark.parametrize(
    ('path', 'good'), [('/pools', POOL), ('/jobs', JOB), ('/jobs/Job1/tasks', TASK)]
)
def test_values(wire: Wire, path: str, good: dict[str, Any]) -> None:
    wire('POST', '/jobs', JOB)

    for name in PROPERTIES[path].split():
        for number, value in enumerate(VALUES):
            answer = wire('POST', path, {**good, 'id': f'x{number}', name: value})
            assert answer.status_code < 500 or answer.status_code == 501, (name, value, answer.text)

    for shown in ('/pools', '/jobs', '/jobs/Job1/tasks'):
        assert wire('GET', shown).status_code == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*POOL, *JOB, *TASK]) | st.text(), inner)
    ),
    max_leaves=15,
)
NAMES = ('id', 'state', 'executionInfo/exitCode', 'executionInfo')
LITERALS = ("'x'", '5', 'true', "DateTime'2020-01-01'")
WORDS = st.sampled_from([*NAMES, *LITERALS, 'eq', 'and', 'or', '(', ')', ',', 'startswith'])


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(path=st.sampled_from(POSTS), body=JSON)
def test_random_json(wire: Wire, path: str, body: object) -> None:
    assert wire('POST', path, json.dumps(body).encode()).status_code in (*range(200, 500), 501)


@settings(max_examples=200, deadline=None)
@given(clause=st.text(max_size=60) | st.lists(WORDS, max_size=12).map(' '.join))
def test_random_filters(clause: str) -> None:
    try:
        parse_filter(clause, resource_properties.TASK)
    except BatchError as error:
        assert error.status == 400


def test_queries_and_headers(wire: Wire) -> None:
    queries = [
        {'maxresults': '0'},
        {'maxresults': '1001'},
        {'maxresults': '9' * 5000},
        {'maxresults': '-1'},
        {'maxresults': '²'},
        {'timeout': 'soon'},
        {'$filter': "id eq '" + 'x' * 3000 + "'"},
        {'$filter': '(' * 500},
        {'$select': ','},
        {'$expand': ''},
    ]
    headers = [
        {'If-Modified-Since': 'yesterday'},
        {'If-Unmodified-Since': '9' * 400},
        {'If-Unmodified-Since': 'Mon, 01 Jan 2001 00:00:00 -0000'},
        {'ocp-date': 'now'},
        {'ocp-date': 'Mon, 99 Foo 0000 00:00:00 GMT'},
    ]
    wire('POST', '/jobs', JOB)

    for query in queries:
        assert_refused(wire('GET', '/jobs', query=query), query)
    for header in headers:
        assert_refused(wire('GET', '/jobs/Job1', headers=header), header)


# Sign-in


def test_authorization_headers(wire: Wire) -> None:
    credentials = [
        None,
        '',
        'SharedKey',
        'SharedKey :',
        'SharedKey localbatch:',
        'SharedKey other:eA==',
        'Bearer x',
        'SharedKey localbatch:é',
    ]

    for credential in credentials:
        headers: dict[str, Any] = {'ocp-date': format_datetime(datetime.now(UTC), usegmt=True)}
        if credential is not None:
            headers['Authorization'] = credential.encode()
        answer = requests.get(
            f'{wire.url}/jobs?api-version=2025-06-01', headers=headers, timeout=120
        )
        assert error_of(answer) == (403, 'AuthenticationFailed'), credential


@pytest.mark.parametrize('change', ['key', 'path', 'query', 'method', 'signed header', 'account'])
def test_what_was_changed_after_signing_is_refused(azure: LocalAzure, change: str) -> None:
    account = 'other' if change == 'account' else azure.environment['AZURE_BATCH_ACCOUNT']
    key = azure.keys['AZURE_BATCH_ACCESS_KEY']
    if change == 'key':
        key = base64.b64encode(b'x' * 64).decode()
    url = f'{azure.environment["AZURE_BATCH_ENDPOINT"]}/jobs/a%20b/tasks?api-version=2025-06-01'
    auth = SharedKeyCredentials(account, key).auth
    prepared = requests.Request('GET', url, auth=auth).prepare()
    if change == 'path':
        prepared.url = url.replace('a%20b', 'c')
    if change == 'query':
        prepared.url = f'{url}&maxresults=1'
    if change == 'method':
        prepared.method = 'DELETE'
    if change == 'signed header':
        prepared.headers['If-Match'] = '*'

    with requests.Session() as session:
        answer = session.send(prepared, timeout=120)

    assert error_of(answer) == (403, 'AuthenticationFailed')
    assert answer.json()['values'][0]['key'] == 'AuthenticationErrorDetail'


def test_signature_covers_encoded_paths_and_decoded_queries(wire: Wire) -> None:
    wire('POST', '/jobs', JOB)
    query = {'$filter': "startswith(id, 'é %20+&=')", '$select': 'id, state'}

    assert wire('GET', '/jobs/Job1/tasks', query=query).ok
    assert error_of(wire('GET', '/jobs/j%20%C3%A9')) == (404, 'JobNotFound')


@pytest.mark.parametrize('also_ocp_date', [False, True])
def test_date_is_signed_empty_beside_an_ocp_date(azure: LocalAzure, also_ocp_date: bool) -> None:
    """A client without the SDK signs like this.

    REST reference, "Authenticate requests to the Azure Batch service".
    """
    now = format_datetime(datetime.now(UTC), usegmt=True)
    account = azure.environment['AZURE_BATCH_ACCOUNT']
    headers = {'Date': now}
    lines = ['GET', *[''] * 5, now, *[''] * 5]
    if also_ocp_date:
        headers['ocp-date'] = now
        lines = ['GET', *[''] * 11, f'ocp-date:{now}']
    text = '\n'.join([*lines, f'/{account}/jobs', 'api-version:2025-06-01'])
    key = base64.b64decode(azure.keys['AZURE_BATCH_ACCESS_KEY'])
    signature = base64.b64encode(hmac.digest(key, text.encode(), 'sha256')).decode()
    headers['Authorization'] = f'SharedKey {account}:{signature}'

    url = f'{azure.environment["AZURE_BATCH_ENDPOINT"]}/jobs?api-version=2025-06-01'
    answer = requests.get(url, headers=headers, timeout=120)

    assert answer.status_code == 200, answer.text


# Files and tasks


@pytest.mark.parametrize('change', ['removed', 'shorter'])
def test_file_that_changes_while_it_is_read(
    azure: LocalAzure, wire: Wire, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    finish(azure, wire)
    find = task_and_node_files.get

    def find_and_change(folder: Path, name: str) -> NodeFile:
        file = find(folder, name)
        file.path.unlink() if change == 'removed' else file.path.write_bytes(b'te')
        return file

    monkeypatch.setattr(task_and_node_files, 'get', find_and_change)
    answer = wire('GET', '/jobs/Job1/tasks/myTask/files/stdout.txt')

    assert not azure.crashes
    if change == 'removed':
        assert error_of(answer) == (404, 'FileNotFound')
    else:
        assert (answer.status_code, answer.text) == (200, 'te')


def test_ranges(azure: LocalAzure, wire: Wire) -> None:
    finish(azure, wire)

    for value in ('bytes=5', 'bytes=-', 'lines=1-2', 'bytes=9-3', 'bytes=' + '9' * 30 + '-'):
        headers = {'ocp-range': value}
        answer = wire('GET', '/jobs/Job1/tasks/myTask/files/stdout.txt', headers=headers)
        assert_refused(answer, value)


def an_output_to(**container: str) -> dict[str, Any]:
    return {'outputFiles': [{**OUTPUT, 'destination': {'container': container}}]}


TASKS_THAT_CANNOT_RUN: Mapping[str, dict[str, Any]] = {
    'command': {'commandLine': 'echo \0'},
    'command-surrogate': {'commandLine': 'echo \ud800'},
    'environment': {'environmentSettings': [{'name': 'A', 'value': '\0'}]},
    'file-path': {'resourceFiles': [{'httpUrl': NOWHERE, 'filePath': 'a\0b'}]},
    'file-path-surrogate': {'resourceFiles': [{'httpUrl': NOWHERE, 'filePath': '\ud800/x'}]},
    'url': {'resourceFiles': [{'httpUrl': '\ud800', 'filePath': 'x'}]},
    'container': {'resourceFiles': [{'storageContainerUrl': 'http://[::1', 'filePath': 'x'}]},
    'blob-name': an_output_to(containerUrl='http://x', path='\ud800'),
}


def test_task_that_cannot_run_fails_by_itself(azure: LocalAzure, wire: Wire) -> None:
    wire('POST', '/pools', POOL)
    wire('POST', '/jobs', JOB)
    counts = azure.batch.jobs.get('Job1').counts

    for name, properties in TASKS_THAT_CANNOT_RUN.items():
        answer = wire('POST', '/jobs/Job1/tasks', {**TASK, 'id': name, **properties})
        assert answer.status_code == 201, name

    azure.wait_until(lambda: counts['completed'] == len(TASKS_THAT_CANNOT_RUN))
    assert not azure.crashes
    for task in wire('GET', '/jobs/Job1/tasks').json()['value']:
        info = task['executionInfo']
        assert info['result'] == 'failure', task['id']
        assert info['failureInfo']['code'] != 'Unknown', task['id']


def test_file_name_that_is_not_utf_8_fails_its_upload_and_can_be_listed(
    azure: LocalAzure, wire: Wire
) -> None:
    outputs = an_output_to(containerUrl=NOWHERE)
    outputs['outputFiles'][0]['filePattern'] = '*'
    make = "bash -c \"touch $(printf '\\\\377a') $(printf '\\\\377b')\""

    task = finish(azure, wire, commandLine=make, **outputs)
    query = {'recursive': 'true', 'maxresults': '6'}
    page = wire('GET', '/jobs/Job1/tasks/myTask/files', query=query).json()
    last = wire.next_page(page)

    assert not azure.crashes
    assert task['executionInfo']['failureInfo']['code'] == 'FileUploadMiscError'
    names = [file['name'] for file in [*page['value'], *last['value']]]
    assert names[4:] == ['wd', 'wd/\udcffa', 'wd/\udcffb']


# Bytes


def raw(azure: LocalAzure, data: bytes) -> bytes:
    """The answer to raw bytes on a new connection."""
    address = address_of(azure.environment['AZURE_BATCH_ENDPOINT'])
    with socket.create_connection(address, 120) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b''
        while part := connection.recv(65536):
            answer += part
    return answer


RAW_REQUESTS = (
    b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + bytes(200),  # a TLS client
    b'GET\r\n\r\n',
    b'GET / HTTP/9.9\r\n\r\n',
    b'GET /' + b'x' * 70_000 + b' HTTP/1.1\r\n\r\n',
    b'GET / HTTP/1.1\r\n' + b'a: b\r\n' * 300 + b'\r\n',
    b'POST /jobs HTTP/1.1\r\nContent-Length: -5\r\n\r\n',
    b'POST /jobs HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n',
    b'POST /jobs HTTP/1.1\r\nContent-Length: 5\r\n\r\nab',
    b'POST /jobs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n',
    b'BREW /pot HTTP/1.1\r\n\r\n',
    b'GET http://elsewhere/jobs HTTP/1.1\r\n\r\n',
    b'GET /%zz%00%ff?%zz=%ff&& HTTP/1.1\r\n\r\n',
)


def test_raw_bytes(azure: LocalAzure) -> None:
    for data in RAW_REQUESTS:
        answer = raw(azure, data)
        status = answer[9:12]
        is_refusal = b'400' <= status < b'500' or status in (b'501', b'505')
        is_closed = answer == b'' or answer.startswith(b'<!DOCTYPE')
        assert is_refusal or is_closed, (data[:60], answer[:200])


def test_body_of_unknown_length_is_400_and_ends_the_connection(azure: LocalAzure) -> None:
    framings = [
        b'Content-Length: many\r\n\r\n',
        b'Content-Length: \xb2\r\n\r\n',
        b'Transfer-Encoding: chunked\r\n\r\nzz\r\n',
    ]

    for framing in framings:
        sent = b'POST /jobs HTTP/1.1\r\n' + framing + b'GET / HTTP/1.1\r\n\r\n'
        head, _, body = raw(azure, sent).partition(b'\r\n\r\n')
        assert head.startswith(b'HTTP/1.1 400 '), framing
        # One answer, and no second one after it.
        assert json.loads(body)['code'] == 'InvalidHeaderValue', framing


@pytest.mark.parametrize('which', ['azure', 'entra_azure'])  # without and with TLS
def test_connections_opened_and_dropped(request: pytest.FixtureRequest, which: str) -> None:
    azure: LocalAzure = request.getfixturevalue(which)
    beginnings = (
        b'',
        b'POST /jobs HT',
        b'POST /jobs HTTP/1.1\r\nContent-Length: 9\r\n\r\nx',
        b'\x16\x03\x01\x02\x00\x01\x00',  # of a TLS handshake
    )

    for variable in ('AZURE_BATCH_ENDPOINT', 'AZURE_STORAGE_SERVICE_ENDPOINT'):
        address = address_of(azure.environment[variable])
        for number in range(200):
            with socket.create_connection(address, 120) as connection:
                connection.sendall(beginnings[number % len(beginnings)])

    assert list(azure.batch_client().job.list()) == []
    with azure.blob_service_client() as blobs:
        assert list(blobs.list_containers()) == []
