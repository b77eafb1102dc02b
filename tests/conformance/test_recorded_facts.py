"""The local service's answers against facts from recorded traffic with the real one.

The recordings are those of the public tests of azure-sdk-for-python, azure-cli, azure-powershell
and azure-sdk-for-java (2016 to 2024). Only what they establish stands here: names and types of
fields, defaults, headers, status codes, the order of states.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.local_azure import LocalAzure

from .conftest import (
    EMPTY_POOL,
    IMAGE,
    JOB,
    POOL,
    TASK,
    Wire,
    details,
    error_of,
    finish,
    let_time_pass,
    wait_for_nodes,
    wait_until_steady,
)

TIME = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z')
FOREVER = 'P10675199DT2H48M5.4775807S'
OUTPUT = {
    'filePattern': '*.txt',
    'destination': {'container': {'containerUrl': 'https://x.blob.core.windows.net/o?sig=s'}},
    'uploadOptions': {'uploadCondition': 'tasksuccess'},
}


def has(document: dict[str, Any], expected: dict[str, Any]) -> bool:
    return {name: document.get(name) for name in expected} == expected


# New resources


def test_new_pool_is_active_and_resizing_with_these_fields_and_defaults(
    azure: LocalAzure, wire: Wire
) -> None:
    azure.slow_allocation(60)
    assert wire('POST', '/pools', POOL).status_code == 201

    pool = wire('GET', '/pools/Pool1').json()

    names = (
        'odata.metadata id url eTag lastModified creationTime state stateTransitionTime '
        'allocationState allocationStateTransitionTime vmSize resizeTimeout '
        'currentDedicatedNodes targetDedicatedNodes currentLowPriorityNodes '
        'targetLowPriorityNodes enableAutoScale enableInterNodeCommunication taskSlotsPerNode '
        'taskSchedulingPolicy virtualMachineConfiguration'
    )
    assert set(pool) == set(names.split())
    times = [value for name, value in pool.items() if name.endswith('Time')]
    assert all(TIME.fullmatch(time) for time in [*times, pool['lastModified']])
    expected = {
        'odata.metadata': f'{wire.url}/$metadata#pools/@Element',
        'url': f'{wire.url}/pools/Pool1',
        'state': 'active',
        'allocationState': 'resizing',
        'vmSize': 'standard_d1_v2',
        'resizeTimeout': 'PT15M',
        'targetDedicatedNodes': 1,
        'targetLowPriorityNodes': 0,
        'enableAutoScale': False,
        'enableInterNodeCommunication': False,
        'taskSlotsPerNode': 1,
        'taskSchedulingPolicy': {'nodeFillType': 'Spread'},
    }
    assert has(pool, expected)
    assert pool['virtualMachineConfiguration']['imageReference'] == {**IMAGE, 'version': 'latest'}


def test_new_job_has_these_fields_and_defaults(wire: Wire) -> None:
    wire('POST', '/jobs', JOB)

    job = wire('GET', '/jobs/Job1').json()

    names = (
        'odata.metadata id url eTag lastModified creationTime state stateTransitionTime priority '
        'maxParallelTasks usesTaskDependencies allowTaskPreemption constraints poolInfo '
        'executionInfo onAllTasksComplete onTaskFailure'
    )
    assert set(job) == set(names.split())
    expected = {
        'url': f'{wire.url}/jobs/Job1',
        'constraints': {'maxWallClockTime': FOREVER, 'maxTaskRetryCount': 0},
        'priority': 0,
        'maxParallelTasks': -1,
        'state': 'active',
        'onAllTasksComplete': 'noaction',
        'onTaskFailure': 'noaction',
        'executionInfo': {'startTime': job['creationTime'], 'poolId': 'Pool1'},
    }
    assert has(job, expected)


def test_new_task_has_these_fields_and_defaults(wire: Wire) -> None:
    limits = {'maxTaskRetryCount': 5, 'maxWallClockTime': 'P1D'}
    wire('POST', '/jobs', {**JOB, 'constraints': limits})
    body = {**TASK, 'outputFiles': [OUTPUT], 'constraints': {'retentionTime': 'PT1H'}}
    wire('POST', '/jobs/Job1/tasks', body)

    task = wire('GET', '/jobs/Job1/tasks/myTask').json()

    names = (
        'odata.metadata id url eTag creationTime lastModified state stateTransitionTime '
        'commandLine outputFiles userIdentity constraints requiredSlots executionInfo'
    )
    assert set(task) == set(names.split())
    expected = {
        'state': 'active',
        # Retries come from the job, the wall clock does not.
        'constraints': {
            'maxWallClockTime': FOREVER,
            'retentionTime': 'PT1H',
            'maxTaskRetryCount': 5,
        },
        'userIdentity': {'autoUser': {'scope': 'pool', 'elevationLevel': 'nonadmin'}},
        'executionInfo': {'retryCount': 0, 'requeueCount': 0},
        'requiredSlots': 1,
    }
    assert has(task, expected)
    # Sent in lower case.
    assert task['outputFiles'][0]['uploadOptions'] == {'uploadCondition': 'TaskSuccess'}


# ETags


def test_etag_is_the_ticks_of_the_last_call_and_not_moved_by_the_service(
    azure: LocalAzure, wire: Wire
) -> None:
    created = wire('POST', '/pools', POOL)
    wait_until_steady(azure, 'Pool1')

    read = wire('GET', '/pools/Pool1')

    assert re.fullmatch(r'0x8D[0-9A-F]{13}', read.headers['ETag'])  # unquoted
    assert read.headers['ETag'] == created.headers['ETag'] == read.json()['eTag']
    assert read.headers['Last-Modified'] == created.headers['Last-Modified']
    assert read.headers['Last-Modified'].endswith(' GMT')
    assert read.json()['allocationStateTransitionTime'] > read.json()['lastModified']


def test_deletion_moves_the_etag_of_a_pool_but_not_of_a_job(azure: LocalAzure, wire: Wire) -> None:
    azure.batch.delays.pool_deleting = azure.batch.delays.job_deleting = 60
    wire('POST', '/pools', POOL)
    job = wire('POST', '/jobs', JOB)

    wire('DELETE', '/jobs/Job1')
    wire('DELETE', '/pools/Pool1')

    deleting, pool = wire('GET', '/jobs/Job1').json(), wire('GET', '/pools/Pool1').json()
    assert (deleting['state'], deleting['eTag']) == ('deleting', job.headers['ETag'])
    assert (pool['state'], pool['lastModified']) == ('deleting', pool['stateTransitionTime'])
    assert (pool['allocationState'], pool['targetDedicatedNodes']) == ('resizing', 0)


def test_end_of_a_job_by_itself_is_its_last_change(azure: LocalAzure, wire: Wire) -> None:
    wire('POST', '/jobs', JOB)
    wire('POST', '/jobs/Job1/tasks', TASK)
    patched = wire('PATCH', '/jobs/Job1', {'onAllTasksComplete': 'terminatejob'})

    wire('POST', '/jobs/Job1/tasks/myTask/terminate')
    azure.wait_until(lambda: azure.batch.jobs.get('Job1').state.value == 'completed')

    task = wire('GET', '/jobs/Job1/tasks/myTask').json()
    assert task['lastModified'] == task['stateTransitionTime']
    job = wire('GET', '/jobs/Job1').json()
    assert job['eTag'] > patched.headers['ETag']
    assert job['lastModified'] < job['stateTransitionTime']  # it is that of `terminating`


# Answers


@pytest.mark.parametrize(
    ('method', 'path', 'body', 'status', 'service_id', 'has_etag'),
    [
        ('POST', '/pools', {**POOL, 'id': 'P2'}, 201, '/pools/P2', True),
        ('POST', '/jobs', {**JOB, 'id': 'J2'}, 201, '/jobs/job-1', True),  # whatever the job's id
        ('POST', '/jobs/Job1/tasks', {**TASK, 'id': 't2'}, 201, '/jobs/Job1/tasks/t2', True),
        ('PATCH', '/jobs/Job1', {'onAllTasksComplete': 'noaction'}, 200, '/jobs/Job1', True),
        ('POST', '/pools/Pool1/resize', {'targetDedicatedNodes': 2}, 202, 'the path', True),
        ('POST', '/jobs/Job1/tasks/myTask/terminate', None, 204, 'the path', True),
        ('POST', '/jobs/Job1/terminate', None, 202, 'the path', True),
        ('DELETE', '/jobs/Job1/tasks/myTask', None, 200, None, False),
        ('DELETE', '/jobs/Job1', None, 202, None, False),
        ('DELETE', '/pools/Pool1', None, 202, None, False),
        ('HEAD', '/pools/Pool1', None, 200, None, True),
        ('HEAD', '/pools/none', None, 404, None, False),
    ],
)
def test_status_and_headers(
    azure: LocalAzure,
    wire: Wire,
    method: str,
    path: str,
    body: object,
    status: int,
    service_id: str | None,
    has_etag: bool,
) -> None:
    wire('POST', '/pools', EMPTY_POOL)
    wire('POST', '/jobs', JOB)
    wire('POST', '/jobs/Job1/tasks', TASK)
    wait_until_steady(azure, 'Pool1')

    answer = wire(method, path, body)

    url = None
    if service_id:
        url = f'{wire.url}{path if service_id == "the path" else service_id}'
    headers = answer.headers
    assert answer.status_code == status
    assert headers.get('DataServiceId') == url
    assert headers.get('Location') == (url if status == 201 else None)
    assert ('ETag' in headers) is has_etag
    assert headers['DataServiceVersion'] == '3.0'
    assert headers['X-Content-Type-Options'] == 'nosniff'
    assert headers['Strict-Transport-Security'] == 'max-age=31536000; includeSubDomains'
    assert headers['Server'] == 'Microsoft-HTTPAPI/2.0'
    assert re.fullmatch(r'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', headers['request-id'])
    assert answer.content == b''
    assert 'Content-Type' not in headers


DELETED = 'The specified job has been marked for deletion and is being garbage collected.'
NOT_COMPLETED = (
    'The specified task is not in a completed state, and the requested operation can be performed '
    'only on completed tasks.'
)
NO_BODY = 'The specified Request Body is not syntactically valid.'
WRONG_STATE = 'The specified operation is not valid for the current state of the resource.'
INVALID = 'The value provided for one of the properties in the request body is invalid.'
ERRORS: list[tuple[str, str, object, int, str, str]] = [
    ('GET', '/pools/none', None, 404, 'PoolNotFound', 'The specified pool does not exist.'),
    ('GET', '/jobs/none', None, 404, 'JobNotFound', 'The specified job does not exist.'),
    (
        'GET',
        '/jobs/Job1/tasks/none',
        None,
        404,
        'TaskNotFound',
        'The specified task does not exist.',
    ),
    ('POST', '/pools', POOL, 409, 'PoolExists', 'The specified pool already exists.'),
    ('DELETE', '/jobs/Dying', None, 409, 'JobBeingDeleted', DELETED),
    ('POST', '/pools', {**POOL, 'id': 'a b'}, 400, 'InvalidPropertyValue', INVALID),
    ('POST', '/jobs', None, 400, 'InvalidRequestBody', NO_BODY),
    ('POST', '/jobs/Job1/tasks/myTask/reactivate', None, 409, 'TaskNotCompleted', NOT_COMPLETED),
    ('POST', '/pools/Pool1/stopresize', None, 409, 'OperationInvalidForCurrentState', WRONG_STATE),
]


def test_errors(azure: LocalAzure, wire: Wire) -> None:
    """The last three have the words of the documentation: there is no recording."""
    azure.batch.delays.job_deleting = 60
    wire('POST', '/pools', EMPTY_POOL)
    for job_id in ('Job1', 'Dying'):
        wire('POST', '/jobs', {**JOB, 'id': job_id, 'poolInfo': {'poolId': 'none'}})
    wire('POST', '/jobs/Job1/tasks', TASK)
    wire('DELETE', '/jobs/Dying')
    wait_until_steady(azure, 'Pool1')

    for method, path, body, status, code, text in ERRORS:
        answer = wire(method, path, body)
        error = answer.json()
        assert (answer.status_code, error['code'], answer.reason) == (status, code, text)
        assert error['odata.metadata'].endswith(
            '/$metadata#Microsoft.Azure.Batch.Protocol.Entities.Container.errors/@Element'
        )
        assert error['message']['lang'] == 'en-US'
        first, request_id, time = error['message']['value'].split('\n')
        assert (first, request_id) == (text, f'RequestId:{answer.headers["request-id"]}')
        assert TIME.fullmatch(time.removeprefix('Time:'))
        assert answer.headers['Content-Type'] == 'application/json;odata=minimalmetadata'


def test_patch_replaces_constraints_whole_and_writes_durations_in_days(wire: Wire) -> None:
    wire('POST', '/jobs', {**JOB, 'constraints': {'maxTaskRetryCount': 5}})

    wire('PATCH', '/jobs/Job1', {'constraints': {'maxWallClockTime': 'P3Y6M4DT12H30M5S'}})

    constraints = wire('GET', '/jobs/Job1').json()['constraints']
    assert constraints == {'maxWallClockTime': 'P1279DT12H30M5S', 'maxTaskRetryCount': 0}


def test_next_link_is_absolute_and_repeats_the_query(wire: Wire) -> None:
    for job_id in ('b', 'a', 'c'):
        wire('POST', '/jobs', {**JOB, 'id': job_id})

    page = wire('GET', '/jobs', query={'maxresults': '1', '$select': 'id, state'}).json()

    assert page['value'] == [{'id': 'a', 'state': 'active'}]
    assert page['odata.nextLink'].startswith(f'{wire.url}/jobs?')
    assert 'maxresults=1' in page['odata.nextLink']
    last = wire('GET', '/jobs', query={'maxresults': '1', '$skiptoken': 'b'}).json()
    assert 'odata.nextLink' not in last


# Ends of jobs and tasks


def test_terminated_job_goes_through_terminating_and_skips_it_in_previous_state(
    azure: LocalAzure, wire: Wire
) -> None:
    azure.batch.delays.job_terminating = 60
    wire('POST', '/jobs', JOB)
    wire('POST', '/jobs/Job1/terminate')

    terminating = wire('GET', '/jobs/Job1').json()
    let_time_pass(azure)
    azure.wait_until(lambda: azure.batch.jobs.get('Job1').state.value == 'completed')
    completed = wire('GET', '/jobs/Job1').json()

    assert (terminating['state'], terminating['previousState']) == ('terminating', 'active')
    assert 'endTime' not in terminating['executionInfo']
    assert (completed['state'], completed['previousState']) == ('completed', 'active')
    info = completed['executionInfo']
    assert set(info) == {'startTime', 'endTime', 'poolId', 'terminateReason'}
    assert info['terminateReason'] == 'UserTerminate'  # of an empty body
    assert completed['eTag'] == terminating['eTag']


def test_succeeded_task(azure: LocalAzure, wire: Wire) -> None:
    task = finish(azure, wire)

    assert (task['state'], task['previousState']) == ('completed', 'running')
    info = task['executionInfo']
    counts = {'exitCode': 0, 'result': 'success', 'retryCount': 0, 'requeueCount': 0}
    times = {name: info[name] for name in ('startTime', 'endTime')}
    assert info == {**times, **counts}
    node = task['nodeInfo']
    assert re.fullmatch(r'tvmps_[0-9a-f]{64}_d', node['nodeId'])
    url = f'{wire.url}/pools/Pool1/nodes/{node["nodeId"]}'
    assert node == {
        'affinityId': f'TVM:{node["nodeId"]}',
        'nodeUrl': url,
        'poolId': 'Pool1',
        'nodeId': node['nodeId'],
        'taskRootDirectory': 'workitems/Job1/job-1/myTask',
        'taskRootDirectoryUrl': f'{url}/files/workitems/Job1/job-1/myTask',
    }
    assert task['eTag'] == f'0x{azure.batch.jobs.task("Job1", "myTask").created:X}'


def test_failed_task(azure: LocalAzure, wire: Wire) -> None:
    info = finish(azure, wire, commandLine='bash -c "exit 127"')['executionInfo']

    text = 'The task exited with an exit code representing a failure'
    assert (info['exitCode'], info['result']) == (127, 'failure')
    assert info['failureInfo'] == {
        'category': 'UserError',
        'code': 'FailureExitCode',
        'message': text,
        'details': [{'name': 'Message', 'value': text}],
    }


def test_active_task_terminated_then_reactivated(wire: Wire) -> None:
    wire('POST', '/jobs', JOB)
    wire('POST', '/jobs/Job1/tasks', TASK)
    wire('POST', '/jobs/Job1/tasks/myTask/terminate')
    twice = wire('POST', '/jobs/Job1/tasks/myTask/terminate')
    ended = wire('GET', '/jobs/Job1/tasks/myTask').json()
    reactivated = wire('POST', '/jobs/Job1/tasks/myTask/reactivate')
    again = wire('GET', '/jobs/Job1/tasks/myTask').json()

    info = ended['executionInfo']
    assert set(info) == {'endTime', 'failureInfo', 'result', 'retryCount', 'requeueCount'}
    assert info['failureInfo'] == {
        'category': 'UserError',
        'code': 'TaskEnded',
        'message': 'Task Was Ended by User Request',
    }
    assert error_of(twice) == (409, 'TaskCompleted')
    assert (ended['previousState'], ended['nodeInfo']) == ('active', {})
    assert (reactivated.status_code, 'DataServiceId' in reactivated.headers) == (204, False)
    assert (again['state'], again['previousState']) == ('active', 'completed')
    assert again['executionInfo'] == {'retryCount': 0, 'requeueCount': 0}
    assert 'nodeInfo' not in again


# Collections and counts


def test_collection_results(wire: Wire) -> None:
    wire('POST', '/jobs', JOB)
    wire('POST', '/jobs/Job1/tasks', TASK)

    tasks = [{**TASK, 'id': 'new'}, TASK, {**TASK, 'id': 'bad id!'}]
    answer = wire('POST', '/jobs/Job1/addtaskcollection', {'value': tasks})

    assert answer.status_code == 200
    bad, refused, added = answer.json()['value']  # not in the order in which they were sent
    assert set(added) == {'status', 'taskId', 'eTag', 'lastModified', 'location'}
    assert (added['status'], added['location']) == ('Success', f'{wire.url}/jobs/Job1/tasks/new')
    assert set(refused) == {'status', 'taskId', 'error'}
    assert (refused['status'], refused['taskId']) == ('ClientError', 'myTask')
    assert refused['error']['code'] == 'TaskExists'
    assert (bad['taskId'], bad['error']['code']) == ('bad id!', 'InvalidPropertyValue')
    listed = wire('GET', '/jobs/Job1/tasks').json()['value']
    assert [task['id'] for task in listed] == ['myTask', 'new']


def test_one_task_of_528959_bytes_is_too_large(wire: Wire) -> None:
    wire('POST', '/jobs', JOB)
    body = b'{"value": [{"id": "mytask", "commandLine": "' + b'x' * (528_959 - 48) + b'"}]}'
    assert len(body) == 528_959

    answer = wire('POST', '/jobs/Job1/addtaskcollection', body)

    assert error_of(answer) == (413, 'RequestBodyTooLarge')
    assert details(answer) == {'MaxLimit': '1048576'}


def test_task_counts_and_node_counts(azure: LocalAzure, wire: Wire) -> None:
    finish(azure, wire)

    counts = wire('GET', '/jobs/Job1/taskcounts').json()
    nodes = wire('GET', '/nodecounts', version='2024-02-01.19.0').json()['value'][0]

    expected = {'active': 0, 'running': 0, 'completed': 1, 'succeeded': 1, 'failed': 0}
    assert counts['odata.metadata'] == f'{wire.url}/$metadata#taskcountsresult/@Element'
    assert counts['taskCounts'] == counts['taskSlotCounts'] == expected
    names = (
        'creating idle leavingPool offline preempted rebooting reimaging running starting '
        'startTaskFailed unusable unknown upgradingOS waitingForStartTask total'
    )
    none = dict.fromkeys(names.split(), 0)
    dedicated = {**none, 'idle': 1, 'total': 1}
    assert nodes == {'poolId': 'Pool1', 'dedicated': dedicated, 'lowPriority': none}


# Nodes and files


def test_node_of_each_kind(azure: LocalAzure, wire: Wire) -> None:
    start = {'commandLine': 'true'}
    wire('POST', '/pools', {**POOL, 'targetLowPriorityNodes': 1, 'startTask': start})
    wait_for_nodes(azure, 'idle', 'idle', pool_id='Pool1')

    nodes = {node['id'][-2:]: node for node in wire('GET', '/pools/Pool1/nodes').json()['value']}

    node = nodes['_d']
    names = (
        'id url state schedulingState stateTransitionTime lastBootTime allocationTime ipAddress '
        'affinityId vmSize totalTasksRun totalTasksSucceeded runningTasksCount '
        'runningTaskSlotsCount startTask startTaskInfo isDedicated nodeAgentInfo '
        'virtualMachineInfo'
    )
    assert set(node) == set(names.split())
    assert (node['isDedicated'], nodes['_p']['isDedicated']) == (True, False)
    assert node['affinityId'] == f'TVM:{node["id"]}'
    assert node['startTask'] == {
        'commandLine': 'true',
        'userIdentity': {'autoUser': {'scope': 'pool', 'elevationLevel': 'nonadmin'}},
        'maxTaskRetryCount': 0,
        'waitForSuccess': True,
    }
    info = node['startTaskInfo']
    assert set(info) == {'state', 'startTime', 'endTime', 'exitCode', 'result', 'retryCount'}
    assert (info['state'], info['exitCode']) == ('completed', 0)


def test_files_of_a_linux_node(azure: LocalAzure, wire: Wire) -> None:
    finish(azure, wire)
    path = '/jobs/Job1/tasks/myTask/files'

    listed = {file['name']: file for file in wire('GET', path).json()['value']}
    head, read = wire('HEAD', f'{path}/stdout.txt'), wire('GET', f'{path}/stdout.txt')

    assert set(listed['wd']) == {'name', 'url', 'isDirectory'}  # directories have no properties
    properties = listed['stdout.txt']['properties']
    assert set(properties) == {'lastModified', 'contentLength', 'contentType', 'fileMode'}
    assert properties['contentLength'] == '5'  # a string
    assert read.text == 'test\n'
    assert (head.headers['Content-Length'], head.headers['Content-Type']) == ('5', 'text/plain')
    for answer in (head, read):
        assert answer.headers['ocp-batch-file-isdirectory'] == 'False'
        assert answer.headers['ocp-batch-file-mode'] == properties['fileMode'] == '0o100644'
        assert answer.headers['ocp-batch-file-url'].startswith('http%3A%2F%2F')
        assert not {'ETag', 'ocp-creation-time'} & set(answer.headers)


@pytest.mark.parametrize(
    ('terminated', 'reason'),
    [(False, 'state is still active'), (True, 'moved to completed state without running')],
)
def test_files_of_a_task_that_has_not_run(wire: Wire, terminated: bool, reason: str) -> None:
    """MicrosoftDocs/azure-docs issues 53298 and 100370."""
    wire('POST', '/jobs', JOB)
    wire('POST', '/jobs/Job1/tasks', TASK)
    if terminated:
        wire('POST', '/jobs/Job1/tasks/myTask/terminate')

    answer = wire('GET', '/jobs/Job1/tasks/myTask/files/stdout.txt')

    assert error_of(answer) == (409, 'OperationInvalidForCurrentState')
    assert details(answer) == {
        'Reason': f'The files of the specified task cannot be accessed as the task {reason}'
    }


def test_stopped_resize_has_errors_for_each_kind_and_keeps_targets(
    azure: LocalAzure, wire: Wire
) -> None:
    azure.slow_allocation(60)
    wire('POST', '/pools', {**POOL, 'targetLowPriorityNodes': 2})
    azure.batch.delays.allocation = 60
    assert wire('POST', '/pools/Pool1/stopresize').status_code == 202

    stopping = wire('GET', '/pools/Pool1').json()
    let_time_pass(azure)
    wait_until_steady(azure, 'Pool1')
    steady = wire('GET', '/pools/Pool1').json()

    assert (stopping['allocationState'], 'resizeErrors' in stopping) == ('stopping', False)
    assert (steady['targetDedicatedNodes'], steady['targetLowPriorityNodes']) == (1, 2)
    assert (steady['currentDedicatedNodes'], steady['currentLowPriorityNodes']) == (0, 0)
    text = 'Desired number of {} nodes could not be allocated due to a stop resize operation'
    assert steady['resizeErrors'] == [
        {'code': 'ResizeStopped', 'message': text.format('dedicated')},
        {'code': 'ResizeStopped', 'message': text.format('low priority')},
    ]
    assert steady['eTag'] == stopping['eTag']
