"""Whatever is sent: a 4xx answer in the service's form, never a 500, a hang, or a crash."""

from __future__ import annotations

import base64
import hmac
import json
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.batch import BatchServiceClient
from azure.batch.batch_auth import SharedKeyCredentials
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.local_azure import LocalAzure
from tests.local_azure.batch import resource_properties, task_and_node_files
from tests.local_azure.batch.errors import ERRORS, BatchError
from tests.local_azure.batch.filters import parse_filter
from tests.local_azure.node.files_on_disk import NodeFile

from .conftest import Wire, a_job, address_of
from .test_recorded_facts import JOB, POOL, TASK

BODIES = {
    'empty': b'',
    'not JSON': b'{"id": ',
    'binary': bytes(range(256)) * 20,
    'not UTF-8': b'{"id": "\xff\xfe"}',
    'list': b'[]',
    'null': b'null',
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
    *('/pools', '/jobs', '/jobs/Job1/tasks', '/jobs/Job1/addtaskcollection', '/pools/Pool1/resize'),
    *('/jobs/Job1/terminate',),
)


OUTPUT = {'filePattern': '../stdout.txt', 'uploadOptions': {'uploadCondition': 'taskcompletion'}}


def assert_refused(answer: requests.Response) -> None:
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:500])
    if answer.content:
        assert answer.json()['code'] in ERRORS


@pytest.mark.parametrize('path', POSTS)
@pytest.mark.parametrize('name', BODIES)
def test_bodies(wire: Wire, path: str, name: str) -> None:
    wire('POST', '/pools', {**POOL, 'targetDedicatedNodes': 0})
    wire('POST', '/jobs', JOB)

    answer = wire('POST', path, BODIES[name])

    if path.endswith('/terminate') and name in ('empty', 'null'):
        assert answer.status_code == 202  # the reason may be left out
    else:
        assert_refused(answer)


BAD_VALUES: list[Any] = [
    *(None, True, -1, 0, 2**31, 10**30, 1.5, '', 'x' * 70_000, '\0', '../..', [], [None], [[]], {}),
    *({'x': 1}, [{'name': '='}], [{}], 'P', 'PT', 'PT1S', '-PT1S', 'P99999999999999Y'),
]


@pytest.mark.parametrize(
    ('path', 'good'),
    [('/pools', POOL), ('/jobs', JOB), ('/jobs/Job1/tasks', TASK)],
    ids=['pool', 'job', 'task'],
)
def test_values(wire: Wire, path: str, good: dict[str, Any]) -> None:
    wire('POST', '/jobs', JOB)
    names = {
        '/pools': 'id displayName vmSize virtualMachineConfiguration targetDedicatedNodes '
        'resizeTimeout startTask taskSlotsPerNode taskSchedulingPolicy metadata userAccounts '
        'networkConfiguration enableAutoScale',
        '/jobs': 'id displayName priority maxParallelTasks constraints poolInfo '
        'onAllTasksComplete metadata commonEnvironmentSettings usesTaskDependencies',
        '/jobs/Job1/tasks': 'id displayName commandLine resourceFiles outputFiles '
        'environmentSettings constraints requiredSlots userIdentity affinityInfo',
    }[path]
    for name in names.split():
        for number, value in enumerate(BAD_VALUES):
            answer = wire('POST', path, {**good, 'id': f'x{number}', name: value})

            assert answer.status_code < 500 or answer.status_code == 501, (name, value, answer.text)
    assert all(job['id'] for job in wire('GET', '/jobs').json()['value'])
    assert wire('GET', '/jobs/Job1/tasks').status_code == wire('GET', '/pools').status_code == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*POOL, *JOB, *TASK]) | st.text(), inner)
    ),
    max_leaves=15,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(path=st.sampled_from(POSTS), body=JSON)
def test_random_json(wire: Wire, path: str, body: object) -> None:
    assert wire('POST', path, json.dumps(body).encode()).status_code in (*range(200, 500), 501)


@settings(max_examples=300, deadline=None)
@given(
    clause=st.text(max_size=60)
    | st.lists(
        st.sampled_from(
            [
                'id',
                'state',
                'eq',
                'and',
                'or',
                '(',
                ')',
                "'x'",
                '5',
                ',',
                'startswith',
                "DateTime'2020-01-01'",
                'executionInfo/exitCode',
                'executionInfo',
                'true',
            ]
        ),
        max_size=12,
    ).map(' '.join)
)
def test_random_filters(clause: str) -> None:
    try:
        parse_filter(clause, resource_properties.TASK)
    except BatchError as error:
        assert error.status == 400


@pytest.mark.parametrize(
    'query',
    [
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
        {'api-version': '2030-01-01'},
    ],
    ids=str,
)
def test_queries(wire: Wire, query: dict[str, str]) -> None:
    assert_refused(wire('GET', '/jobs', query=query))


def test_missing_and_unsupported_versions(wire: Wire) -> None:
    assert wire('GET', '/jobs', version=None).json()['code'] == 'MissingRequiredQueryParameter'
    assert (
        wire('GET', '/jobs', version='2018-08-01.7.9').json()['code'] == 'UnsupportedRequestVersion'
    )


@pytest.mark.parametrize(
    'headers',
    [
        {'If-Modified-Since': 'yesterday'},
        {'If-Unmodified-Since': '9' * 400},
        {'If-Unmodified-Since': 'Mon, 01 Jan 2001 00:00:00 -0000'},
        {'ocp-date': 'now'},
        {'ocp-date': 'Mon, 99 Foo 0000 00:00:00 GMT'},
        {'ocp-date': format_datetime(datetime.now(UTC) - timedelta(minutes=16), usegmt=True)},
    ],
    ids=[
        'no date',
        'too long',
        'no zone',
        'ocp-date no date',
        'ocp-date no day',
        'ocp-date too old',
    ],
)
def test_headers(client: BatchServiceClient, wire: Wire, headers: dict[str, str]) -> None:
    client.job.add(a_job())

    assert_refused(wire('GET', '/jobs/job', headers=headers))


@pytest.mark.parametrize('change', ['removed', 'shorter'])
def test_file_that_changes_while_it_is_read(
    azure: LocalAzure, wire: Wire, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    wire('POST', '/pools', POOL)
    wire('POST', '/jobs', JOB)
    wire('POST', '/jobs/Job1/tasks', TASK)
    azure.wait_until(lambda: azure.batch.jobs.get('Job1').counts['completed'])
    find = task_and_node_files.get

    def find_and_change(folder: Path, name: str) -> NodeFile:
        file = find(folder, name)
        file.path.unlink() if change == 'removed' else file.path.write_bytes(b'te')
        return file

    monkeypatch.setattr(task_and_node_files, 'get', find_and_change)
    answer = wire('GET', '/jobs/Job1/tasks/myTask/files/stdout.txt')

    assert not azure.crashes
    assert (answer.status_code, answer.text) == (200, 'te') or answer.json()[
        'code'
    ] == 'FileNotFound'


@pytest.mark.parametrize(
    'value', ['bytes=5', 'bytes=-', 'lines=1-2', 'bytes=9-3', 'bytes=' + '9' * 30 + '-']
)
def test_ranges(azure: LocalAzure, wire: Wire, value: str) -> None:
    wire('POST', '/pools', POOL)
    wire('POST', '/jobs', JOB)
    wire('POST', '/jobs/Job1/tasks', TASK)
    azure.wait_until(lambda: azure.batch.jobs.get('Job1').counts['completed'])

    answer = wire('GET', '/jobs/Job1/tasks/myTask/files/stdout.txt', headers={'ocp-range': value})

    assert_refused(answer)


@pytest.mark.parametrize(
    'authorization',
    [
        None,
        '',
        'SharedKey',
        'SharedKey :',
        'SharedKey localbatch:',
        'SharedKey other:eA==',
        'Bearer x',
        'SharedKey localbatch:é',
    ],
)
def test_authorization(wire: Wire, authorization: str | None) -> None:
    headers = {'ocp-date': format_datetime(datetime.now(UTC), usegmt=True)}
    if authorization is not None:
        headers['Authorization'] = authorization.encode('utf-8')  # type: ignore[assignment]

    answer = requests.get(f'{wire.url}/jobs?api-version=2025-06-01', headers=headers, timeout=5)

    assert (answer.status_code, answer.json()['code']) == (403, 'AuthenticationFailed')


@pytest.mark.parametrize('change', ['key', 'path', 'query', 'method', 'signed header', 'account'])
def test_what_was_changed_after_signing_is_refused(azure: LocalAzure, change: str) -> None:
    account = azure.environment['AZURE_BATCH_ACCOUNT']
    key = azure.keys['AZURE_BATCH_ACCESS_KEY']
    if change == 'key':
        key = base64.b64encode(b'x' * 64).decode()
    if change == 'account':
        account = 'other'
    prepared = requests.Request(
        'GET',
        f'{azure.environment["AZURE_BATCH_ENDPOINT"]}/jobs/a%20b/tasks?api-version=2025-06-01',
        auth=SharedKeyCredentials(account, key).auth,
    ).prepare()
    assert prepared.url
    if change == 'path':
        prepared.url = prepared.url.replace('a%20b', 'c')
    if change == 'query':
        prepared.url += '&maxresults=1'
    if change == 'method':
        prepared.method = 'DELETE'
    if change == 'signed header':
        prepared.headers['If-Match'] = '*'

    with requests.Session() as session:
        answer = session.send(prepared, timeout=5)

    assert (answer.status_code, answer.json()['code']) == (403, 'AuthenticationFailed')
    assert answer.json()['values'][0]['key'] == 'AuthenticationErrorDetail'


def test_signature_covers_encoded_paths_and_decoded_queries(
    client: BatchServiceClient, wire: Wire
) -> None:
    client.job.add(a_job())

    assert wire(
        'GET',
        '/jobs/job/tasks',
        query={'$filter': "startswith(id, 'é %20+&=')", '$select': 'id, state'},
    ).ok
    assert wire('GET', '/jobs/j%20%C3%A9').json()['code'] == 'JobNotFound'


@pytest.mark.parametrize('also_ocp_date', [False, True])
def test_date_is_signed_empty_beside_an_ocp_date(azure: LocalAzure, also_ocp_date: bool) -> None:
    """A client without the SDK signs like this.

    REST reference, "Authenticate requests to the Azure Batch service".
    """
    now, account = (
        format_datetime(datetime.now(UTC), usegmt=True),
        azure.environment['AZURE_BATCH_ACCOUNT'],
    )
    lines = [
        'GET',
        *[''] * 5,
        '' if also_ocp_date else now,
        *[''] * 5,
        *([f'ocp-date:{now}'] if also_ocp_date else []),
    ]
    text = '\n'.join([*lines, f'/{account}/jobs', 'api-version:2025-06-01'])
    key = base64.b64decode(azure.keys['AZURE_BATCH_ACCESS_KEY'])
    signature = base64.b64encode(hmac.digest(key, text.encode(), 'sha256')).decode()
    headers = {'Date': now, 'Authorization': f'SharedKey {account}:{signature}'}
    headers |= {'ocp-date': now} if also_ocp_date else {}

    url = f'{azure.environment["AZURE_BATCH_ENDPOINT"]}/jobs?api-version=2025-06-01'
    answer = requests.get(url, headers=headers, timeout=5)

    assert answer.status_code == 200, answer.text


def raw(azure: LocalAzure, data: bytes) -> bytes:
    """The answer to raw bytes on a new connection."""
    address = address_of(azure.environment['AZURE_BATCH_ENDPOINT'])
    with socket.create_connection(address, 5) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b''
        while part := connection.recv(65536):
            answer += part
    return answer


@pytest.mark.parametrize(
    'data',
    [
        b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + bytes(200),  # a TLS client
        b'GET\r\n\r\n',
        b'GET / HTTP/9.9\r\n\r\n',
        b'GET /' + b'x' * 70_000 + b' HTTP/1.1\r\n\r\n',
        b'GET / HTTP/1.1\r\n' + b'a: b\r\n' * 300 + b'\r\n',
        b'POST /jobs HTTP/1.1\r\nContent-Length: -5\r\n\r\n',
        b'POST /jobs HTTP/1.1\r\nContent-Length: many\r\n\r\n',
        b'POST /jobs HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n',
        b'POST /jobs HTTP/1.1\r\nContent-Length: 5\r\n\r\nab',
        b'POST /jobs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
        b'POST /jobs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n',
        b'BREW /pot HTTP/1.1\r\n\r\n',
        b'GET http://elsewhere/jobs HTTP/1.1\r\n\r\n',
        b'GET /%zz%00%ff?%zz=%ff&& HTTP/1.1\r\n\r\n',
    ],
    ids=lambda data: repr(data[:30]),
)
def test_raw_bytes(azure: LocalAzure, data: bytes) -> None:
    answer = raw(azure, data)

    status = answer[9:12]
    assert (
        answer == b''
        or b'400' <= status < b'500'
        or status in (b'501', b'505')
        or answer.startswith(b'<!DOCTYPE')
    )


@pytest.mark.parametrize(
    'framing',
    [
        b'Content-Length: many\r\n\r\n',
        b'Content-Length: \xb2\r\n\r\n',
        b'Transfer-Encoding: chunked\r\n\r\nzz\r\n',
    ],
)
def test_body_of_unknown_length_is_400_and_ends_the_connection(
    azure: LocalAzure, framing: bytes
) -> None:
    head, _, body = raw(
        azure, b'POST /jobs HTTP/1.1\r\n' + framing + b'GET / HTTP/1.1\r\n\r\n'
    ).partition(b'\r\n\r\n')

    assert head.startswith(b'HTTP/1.1 400 ')
    assert (
        json.loads(body)['code'] == 'InvalidHeaderValue'
    )  # one answer, and no second one after it


TASKS_THAT_CANNOT_RUN: dict[str, dict[str, Any]] = {
    'command': {'commandLine': 'echo \0'},
    'command surrogate': {'commandLine': 'echo \ud800'},
    'environment': {'environmentSettings': [{'name': 'A', 'value': '\0'}]},
    'file path': {'resourceFiles': [{'httpUrl': 'http://127.0.0.1:1/x', 'filePath': 'a\0b'}]},
    'file path surrogate': {
        'resourceFiles': [{'httpUrl': 'http://127.0.0.1:1/x', 'filePath': '\ud800/x'}]
    },
    'url': {'resourceFiles': [{'httpUrl': '\ud800', 'filePath': 'x'}]},
    'container': {'resourceFiles': [{'storageContainerUrl': 'http://[::1', 'filePath': 'x'}]},
    'blob name': {
        'outputFiles': [
            {**OUTPUT, 'destination': {'container': {'containerUrl': 'http://x', 'path': '\ud800'}}}
        ]
    },
}


@pytest.mark.parametrize('name', TASKS_THAT_CANNOT_RUN)
def test_task_that_cannot_run_fails_by_itself(azure: LocalAzure, wire: Wire, name: str) -> None:
    wire('POST', '/pools', POOL)
    wire('POST', '/jobs', JOB)

    answer = wire('POST', '/jobs/Job1/tasks', {**TASK, **TASKS_THAT_CANNOT_RUN[name]})

    assert answer.status_code == 201
    azure.wait_until(lambda: azure.batch.jobs.get('Job1').counts['failed'])
    assert not azure.crashes
    info = wire('GET', '/jobs/Job1/tasks/myTask').json()['executionInfo']
    assert info['failureInfo']['code'] != 'Unknown'


def test_file_name_that_is_not_utf_8_fails_its_upload_and_can_be_listed(
    azure: LocalAzure, wire: Wire
) -> None:
    wire('POST', '/pools', POOL)
    wire('POST', '/jobs', JOB)
    output = {
        **OUTPUT,
        'filePattern': '*',
        'destination': {'container': {'containerUrl': 'http://127.0.0.1:1/x'}},
    }
    make = "bash -c \"touch $(printf '\\\\377a') $(printf '\\\\377b')\""
    wire('POST', '/jobs/Job1/tasks', {**TASK, 'commandLine': make, 'outputFiles': [output]})
    azure.wait_until(lambda: azure.batch.jobs.get('Job1').counts['failed'])

    query = {'recursive': 'true', 'maxresults': '6'}
    page = wire('GET', '/jobs/Job1/tasks/myTask/files', query=query).json()
    last = wire.next_page(page)

    assert not azure.crashes
    info = wire('GET', '/jobs/Job1/tasks/myTask').json()['executionInfo']
    assert info['failureInfo']['code'] == 'FileUploadMiscError'
    assert [file['name'] for file in [*page['value'], *last['value']]][4:] == [
        'wd',
        'wd/\udcffa',
        'wd/\udcffb',
    ]


@pytest.mark.parametrize('mode', ['rwx', '', '0o770', '77777'])
def test_file_mode_that_is_not_octal_is_refused(wire: Wire, mode: str) -> None:
    wire('POST', '/jobs', JOB)
    file = {'httpUrl': 'http://127.0.0.1:1/x', 'filePath': 'x', 'fileMode': mode}

    assert_refused(wire('POST', '/jobs/Job1/tasks', {**TASK, 'resourceFiles': [file]}))


@pytest.mark.parametrize('variable', ['AZURE_BATCH_ENDPOINT', 'AZURE_STORAGE_SERVICE_ENDPOINT'])
def test_a_thousand_connections_opened_and_dropped(
    azure: LocalAzure, wire: Wire, variable: str
) -> None:
    address = address_of(azure.environment[variable])
    for number in range(1000):
        connection = socket.create_connection(address, 5)
        connection.sendall(
            (b'', b'POST /jobs HT', b'POST /jobs HTTP/1.1\r\nContent-Length: 9\r\n\r\nx')[
                number % 3
            ]
        )
        connection.close()

    assert wire('GET', '/jobs').status_code == 200
    assert azure.blob_service_client().get_service_properties()
