"""The local service's answers against facts from recorded traffic with the real one.

The recordings are those of the public tests of azure-sdk-for-python, azure-cli, azure-powershell
and azure-sdk-for-java (2016 to 2024). Only what they establish stands here: names, order and types
of fields, defaults, headers, status codes, the order of states.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.local_azure import LocalAzure

from .conftest import Wire, let_time_pass, wait_until_steady

TIME = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z')
IMAGE = {'publisher': 'canonical', 'offer': 'ubuntu-24_04-lts', 'sku': 'server-gen1'}
POOL = {
    'id': 'Pool1',
    'vmSize': 'STANDARD_D1_V2',
    'virtualMachineConfiguration': {
        'imageReference': IMAGE,
        'nodeAgentSKUId': 'batch.node.ubuntu 24.04',
    },
    'targetDedicatedNodes': 1,
}
JOB = {'id': 'Job1', 'poolInfo': {'poolId': 'Pool1'}}
TASK = {'id': 'myTask', 'commandLine': '/bin/bash -c "echo test"'}
FOREVER = 'P10675199DT2H48M5.4775807S'


def the_times(body: dict[str, Any]) -> list[str]:
    return [
        value for name, value in body.items() if name.endswith('Time') or name == 'lastModified'
    ]


def finish(azure: LocalAzure, wire: Wire, **task: Any) -> dict[str, Any]:
    """A pool, a job and this task, run to its end; the task as it is then."""
    wire('POST', '/pools', POOL)
    wire('POST', '/jobs', JOB)
    assert wire('POST', '/jobs/Job1/tasks', {**TASK, **task}).status_code == 201
    azure.wait_until(lambda: azure.batch.jobs.get('Job1').counts['completed'])
    body: dict[str, Any] = wire('GET', '/jobs/Job1/tasks/myTask').json()
    return body


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
    assert list(pool) == names.split()
    assert pool['odata.metadata'] == f'{wire.url}/$metadata#pools/@Element'
    assert pool['url'] == f'{wire.url}/pools/Pool1'
    assert all(TIME.fullmatch(time) for time in the_times(pool))
    expected = {
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
    assert {name: pool[name] for name in expected} == expected
    assert pool['virtualMachineConfiguration']['imageReference'] == {**IMAGE, 'version': 'latest'}


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


@pytest.mark.parametrize(
    ('method', 'path', 'body', 'status', 'service_id', 'has_etag'),
    [
        ('POST', '/pools', {**POOL, 'id': 'P2'}, 201, '/pools/P2', True),
        ('POST', '/jobs', {**JOB, 'id': 'J2'}, 201, '/jobs/job-1', True),  # whatever the job's id
        ('POST', '/jobs/Job1/tasks', {**TASK, 'id': 't2'}, 201, '/jobs/Job1/tasks/t2', True),
        ('PATCH', '/jobs/Job1', {'onAllTasksComplete': 'noaction'}, 200, '/jobs/Job1', True),
        (
            'POST',
            '/pools/Pool1/resize',
            {'targetDedicatedNodes': 2},
            202,
            '/pools/Pool1/resize',
            True,
        ),
        (
            'POST',
            '/jobs/Job1/tasks/myTask/terminate',
            None,
            204,
            '/jobs/Job1/tasks/myTask/terminate',
            True,
        ),
        ('POST', '/jobs/Job1/terminate', None, 202, '/jobs/Job1/terminate', True),
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
    wire('POST', '/pools', {**POOL, 'targetDedicatedNodes': 0})
    wire('POST', '/jobs', JOB)
    wire('POST', '/jobs/Job1/tasks', TASK)
    wait_until_steady(azure, 'Pool1')

    answer = wire(method, path, body)

    assert answer.status_code == status
    assert answer.headers.get('DataServiceId') == (
        f'{wire.url}{service_id}' if service_id else None
    )
    assert answer.headers.get('Location') == (f'{wire.url}{service_id}' if status == 201 else None)
    assert ('ETag' in answer.headers) is has_etag
    assert answer.headers['DataServiceVersion'] == '3.0'
    assert answer.headers['X-Content-Type-Options'] == 'nosniff'
    assert answer.headers['Strict-Transport-Security'] == 'max-age=31536000; includeSubDomains'
    assert answer.headers['Server'] == 'Microsoft-HTTPAPI/2.0'
    assert re.fullmatch(r'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', answer.headers['request-id'])
    assert answer.content == b''
    assert 'Content-Type' not in answer.headers


def test_new_job_has_these_fields_and_defaults(wire: Wire) -> None:
    wire('POST', '/jobs', JOB)

    job = wire('GET', '/jobs/Job1').json()

    names = (
        'odata.metadata id url eTag lastModified creationTime state stateTransitionTime priority '
        'maxParallelTasks usesTaskDependencies allowTaskPreemption constraints poolInfo '
        'executionInfo onAllTasksComplete onTaskFailure'
    )
    assert list(job) == names.split()
    assert job['constraints'] == {'maxWallClockTime': FOREVER, 'maxTaskRetryCount': 0}
    assert (job['priority'], job['maxParallelTasks'], job['state']) == (0, -1, 'active')
    assert (job['onAllTasksComplete'], job['onTaskFailure']) == ('noaction', 'noaction')
    assert list(job['executionInfo']) == ['startTime', 'poolId']


def test_deletion_moves_the_etag_of_a_pool_but_not_of_a_job(azure: LocalAzure, wire: Wire) -> None:
    azure.batch.delays.pool_deleting = azure.batch.delays.job_deleting = 60
    wire('POST', '/pools', {**POOL, 'targetDedicatedNodes': 0})
    job = wire('POST', '/jobs', JOB)

    wire('DELETE', '/jobs/Job1')
    wire('DELETE', '/pools/Pool1')

    deleting, pool = wire('GET', '/jobs/Job1').json(), wire('GET', '/pools/Pool1').json()
    assert (deleting['state'], deleting['eTag']) == ('deleting', job.headers['ETag'])
    assert (pool['state'], pool['lastModified']) == ('deleting', pool['stateTransitionTime'])


def test_termination_is_the_last_change_of_a_job_and_of_a_task(
    azure: LocalAzure, wire: Wire
) -> None:
    azure.batch.delays.job_terminating = 60
    wire('POST', '/jobs', JOB)
    wire('POST', '/jobs/Job1/tasks', TASK)
    wire('POST', '/jobs/Job1/tasks/myTask/terminate')
    wire('POST', '/jobs/Job1/terminate')

    for path in ('/jobs/Job1/tasks/myTask', '/jobs/Job1'):
        ended = wire('GET', path).json()
        assert ended['lastModified'] == ended['stateTransitionTime']


def test_job_that_ends_by_itself_has_a_new_etag(azure: LocalAzure, wire: Wire) -> None:
    wire('POST', '/jobs', JOB)
    wire('POST', '/jobs/Job1/tasks', TASK)
    patched = wire('PATCH', '/jobs/Job1', {'onAllTasksComplete': 'terminatejob'})

    wire('POST', '/jobs/Job1/tasks/myTask/terminate')
    azure.wait_until(lambda: azure.batch.jobs.get('Job1').state.value == 'completed')

    job = wire('GET', '/jobs/Job1').json()
    assert job['eTag'] > patched.headers['ETag']
    assert job['lastModified'] < job['stateTransitionTime']  # it is that of `terminating`


def test_patch_replaces_constraints_whole_and_writes_durations_in_days(wire: Wire) -> None:
    wire('POST', '/jobs', {**JOB, 'constraints': {'maxTaskRetryCount': 5}})

    wire('PATCH', '/jobs/Job1', {'constraints': {'maxWallClockTime': 'P3Y6M4DT12H30M5S'}})

    constraints = wire('GET', '/jobs/Job1').json()['constraints']
    assert constraints == {'maxWallClockTime': 'P1279DT12H30M5S', 'maxTaskRetryCount': 0}


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
    assert list(completed['executionInfo']) == ['startTime', 'endTime', 'poolId', 'terminateReason']
    assert completed['executionInfo']['terminateReason'] == 'UserTerminate'  # of an empty body
    assert completed['eTag'] == terminating['eTag']


def test_new_task_has_these_fields_and_defaults(wire: Wire) -> None:
    wire(
        'POST', '/jobs', {**JOB, 'constraints': {'maxTaskRetryCount': 5, 'maxWallClockTime': 'P1D'}}
    )
    output = {
        'filePattern': '*.txt',
        'destination': {'container': {'containerUrl': 'https://x.blob.core.windows.net/o?sig=s'}},
        'uploadOptions': {'uploadCondition': 'tasksuccess'},
    }
    wire(
        'POST',
        '/jobs/Job1/tasks',
        {**TASK, 'outputFiles': [output], 'constraints': {'retentionTime': 'PT1H'}},
    )

    task = wire('GET', '/jobs/Job1/tasks/myTask').json()

    names = (
        'odata.metadata id url eTag creationTime lastModified state stateTransitionTime '
        'commandLine outputFiles userIdentity constraints requiredSlots executionInfo'
    )
    assert list(task) == names.split()
    # Retries come from the job, the wall clock does not.
    assert task['constraints'] == {
        'maxWallClockTime': FOREVER,
        'retentionTime': 'PT1H',
        'maxTaskRetryCount': 5,
    }
    assert task['userIdentity'] == {'autoUser': {'scope': 'pool', 'elevationLevel': 'nonadmin'}}
    assert task['executionInfo'] == {'retryCount': 0, 'requeueCount': 0}
    assert task['outputFiles'][0]['uploadOptions'] == {
        'uploadCondition': 'TaskSuccess'
    }  # sent in lower case
    assert task['requiredSlots'] == 1


def test_succeeded_task(azure: LocalAzure, wire: Wire) -> None:
    task = finish(azure, wire)

    assert (task['state'], task['previousState']) == ('completed', 'running')
    info = task['executionInfo']
    assert list(info) == [
        'startTime',
        'endTime',
        'exitCode',
        'result',
        'retryCount',
        'requeueCount',
    ]
    assert (info['exitCode'], info['result']) == (0, 'success')
    node = task['nodeInfo']
    assert list(node) == [
        'affinityId',
        'nodeUrl',
        'poolId',
        'nodeId',
        'taskRootDirectory',
        'taskRootDirectoryUrl',
    ]
    assert re.fullmatch(r'tvmps_[0-9a-f]{64}_d', node['nodeId'])
    assert node['taskRootDirectory'] == 'workitems/Job1/job-1/myTask'
    assert node['taskRootDirectoryUrl'] == f'{node["nodeUrl"]}/files/{node["taskRootDirectory"]}'
    assert task['eTag'] == f'0x{azure.batch.jobs.task("Job1", "myTask").created:X}'


def test_failed_task(azure: LocalAzure, wire: Wire) -> None:
    task = finish(azure, wire, commandLine='bash -c "exit 127"')

    text = 'The task exited with an exit code representing a failure'
    assert task['state'] == 'completed'
    info = task['executionInfo']
    assert list(info) == [
        'startTime',
        'endTime',
        'exitCode',
        'failureInfo',
        'result',
        'retryCount',
        'requeueCount',
    ]
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
    ended = wire('GET', '/jobs/Job1/tasks/myTask').json()
    reactivated = wire('POST', '/jobs/Job1/tasks/myTask/reactivate')
    again = wire('GET', '/jobs/Job1/tasks/myTask').json()

    assert list(ended['executionInfo']) == [
        'endTime',
        'failureInfo',
        'result',
        'retryCount',
        'requeueCount',
    ]
    failure = {
        'category': 'UserError',
        'code': 'TaskEnded',
        'message': 'Task Was Ended by User Request',
    }
    assert ended['executionInfo']['failureInfo'] == failure
    assert (ended['previousState'], ended['nodeInfo']) == ('active', {})
    assert (reactivated.status_code, 'DataServiceId' in reactivated.headers) == (204, False)
    assert (again['state'], again['previousState']) == ('active', 'completed')
    assert again['executionInfo'] == {'retryCount': 0, 'requeueCount': 0}
    assert 'nodeInfo' not in again


def test_collection_results(wire: Wire) -> None:
    wire('POST', '/jobs', JOB)
    wire('POST', '/jobs/Job1/tasks', TASK)

    answer = wire('POST', '/jobs/Job1/addtaskcollection', {'value': [{**TASK, 'id': 'new'}, TASK]})

    body = answer.json()
    assert (answer.status_code, body['odata.metadata']) == (
        200,
        f'{wire.url}/$metadata#taskaddresult',
    )
    refused, added = body['value']  # not in the order in which they were sent
    assert list(added) == ['status', 'taskId', 'eTag', 'lastModified', 'location']
    assert (added['status'], added['location']) == ('Success', f'{wire.url}/jobs/Job1/tasks/new')
    assert (refused['status'], refused['taskId'], refused['error']['code']) == (
        'ClientError',
        'myTask',
        'TaskExists',
    )
    assert set(refused) == {'status', 'taskId', 'error'}


def test_task_counts_and_node_counts(azure: LocalAzure, wire: Wire) -> None:
    finish(azure, wire)

    counts = wire('GET', '/jobs/Job1/taskcounts').json()
    old = wire('GET', '/nodecounts', version='2024-02-01.19.0').json()['value'][0]
    new = wire('GET', '/nodecounts').json()

    zeros = {'active': 0, 'running': 0, 'completed': 1, 'succeeded': 1, 'failed': 0}
    assert counts['odata.metadata'] == f'{wire.url}/$metadata#taskcountsresult/@Element'
    assert counts['taskCounts'] == counts['taskSlotCounts'] == zeros
    names = (
        'creating idle leavingPool offline preempted rebooting reimaging running starting '
        'startTaskFailed unusable unknown upgradingOS waitingForStartTask total'
    )
    assert list(old) == ['poolId', 'dedicated', 'lowPriority']
    assert list(old['dedicated']) == names.split()
    assert (old['dedicated']['idle'], old['dedicated']['total'], old['lowPriority']['total']) == (
        1,
        1,
        0,
    )
    assert new['odata.metadata'] == f'{wire.url}/$metadata#poolnodecounts'
    assert set(new['value'][0]['dedicated']) - set(old['dedicated']) == {
        'deallocated',
        'deallocating',
    }


def test_node_of_each_kind(azure: LocalAzure, wire: Wire) -> None:
    start = {'commandLine': 'true'}
    wire('POST', '/pools', {**POOL, 'targetLowPriorityNodes': 1, 'startTask': start})
    azure.wait_until(
        lambda: (
            [n.state.value for n in azure.batch.pools.get('Pool1').nodes.values()] == ['idle'] * 2
        )
    )

    nodes = {node['id'][-2:]: node for node in wire('GET', '/pools/Pool1/nodes').json()['value']}

    names = (
        'id url state schedulingState stateTransitionTime lastBootTime allocationTime ipAddress '
        'affinityId vmSize totalTasksRun totalTasksSucceeded runningTasksCount '
        'runningTaskSlotsCount startTask startTaskInfo isDedicated nodeAgentInfo '
        'virtualMachineInfo'
    )
    assert list(nodes['_d']) == names.split()
    assert (nodes['_d']['isDedicated'], nodes['_p']['isDedicated']) == (True, False)
    assert nodes['_d']['affinityId'] == f'TVM:{nodes["_d"]["id"]}'
    assert nodes['_d']['startTask'] == {
        'commandLine': 'true',
        'userIdentity': {'autoUser': {'scope': 'pool', 'elevationLevel': 'nonadmin'}},
        'maxTaskRetryCount': 0,
        'waitForSuccess': True,
    }
    info = nodes['_d']['startTaskInfo']
    assert list(info) == ['state', 'startTime', 'endTime', 'exitCode', 'result', 'retryCount']
    assert (info['state'], info['exitCode']) == ('completed', 0)


def test_pool_being_deleted_is_resizing_to_nothing(azure: LocalAzure, wire: Wire) -> None:
    azure.batch.delays.pool_deleting = 60
    wire('POST', '/pools', POOL)
    wire('DELETE', '/pools/Pool1')

    pool = wire('GET', '/pools/Pool1').json()

    assert (pool['state'], pool['allocationState']) == ('deleting', 'resizing')
    assert (pool['targetDedicatedNodes'], pool['targetLowPriorityNodes']) == (0, 0)


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
    text = 'Desired number of {} nodes could not be allocated due to a stop resize operation'
    assert steady['resizeErrors'] == [
        {'code': 'ResizeStopped', 'message': text.format('dedicated')},
        {'code': 'ResizeStopped', 'message': text.format('low priority')},
    ]
    names = list(steady)
    assert names[names.index('resizeErrors') - 1] == 'targetLowPriorityNodes'
    assert steady['eTag'] == stopping['eTag']


@pytest.mark.parametrize(
    ('method', 'path', 'body', 'status', 'code', 'text'),
    [
        ('GET', '/pools/none', None, 404, 'PoolNotFound', 'The specified pool does not exist.'),
        (
            'GET',
            '/jobs/Job1/tasks/none',
            None,
            404,
            'TaskNotFound',
            'The specified task does not exist.',
        ),
        ('POST', '/pools', POOL, 409, 'PoolExists', 'The specified pool already exists.'),
        (
            'DELETE',
            '/jobs/Dying',
            None,
            409,
            'JobBeingDeleted',
            'The specified job has been marked for deletion and is being garbage collected.',
        ),
        (
            'POST',
            '/pools',
            {**POOL, 'id': 'a b'},
            400,
            'InvalidPropertyValue',
            'The value provided for one of the properties in the request body is invalid.',
        ),
    ],
)
def test_errors(
    azure: LocalAzure,
    wire: Wire,
    method: str,
    path: str,
    body: object,
    status: int,
    code: str,
    text: str,
) -> None:
    azure.batch.delays.job_deleting = 60
    wire('POST', '/pools', {**POOL, 'targetDedicatedNodes': 0})
    for job_id in ('Job1', 'Dying'):
        wire('POST', '/jobs', {**JOB, 'id': job_id})
    wire('DELETE', '/jobs/Dying')

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


@pytest.mark.parametrize(
    ('method', 'path', 'code', 'text'),
    [
        (
            'POST',
            '/jobs/Job1/tasks/myTask/reactivate',
            'TaskNotCompleted',
            'The specified task is not in a completed state, and the requested operation can be '
            'performed only on completed tasks.',
        ),
        ('GET', '/jobs/none', 'JobNotFound', 'The specified job does not exist.'),
        (
            'POST',
            '/pools/Pool1/stopresize',
            'OperationInvalidForCurrentState',
            'The specified operation is not valid for the current state of the resource.',
        ),
        (
            'POST',
            '/jobs',
            'InvalidRequestBody',
            'The specified Request Body is not syntactically valid.',
        ),
    ],
)
def test_errors_without_a_recording_have_the_words_of_the_documentation(
    azure: LocalAzure, wire: Wire, method: str, path: str, code: str, text: str
) -> None:
    wire('POST', '/pools', {**POOL, 'targetDedicatedNodes': 0})
    wire('POST', '/jobs', {**JOB, 'poolInfo': {'poolId': 'none'}})
    wire('POST', '/jobs/Job1/tasks', TASK)
    wait_until_steady(azure, 'Pool1')

    answer = wire(method, path)

    assert (answer.json()['code'], answer.reason) == (code, text)


def test_one_task_of_528959_bytes_is_too_large(wire: Wire) -> None:
    wire('POST', '/jobs', JOB)
    body = b'{"value": [{"id": "mytask", "commandLine": "' + b'x' * (528_959 - 48) + b'"}]}'
    assert len(body) == 528_959

    answer = wire('POST', '/jobs/Job1/addtaskcollection', body)

    assert (answer.status_code, answer.json()['code']) == (413, 'RequestBodyTooLarge')
    assert answer.json()['values'] == [{'key': 'MaxLimit', 'value': '1048576'}]


def test_files_of_a_linux_node(azure: LocalAzure, wire: Wire) -> None:
    finish(azure, wire)
    path = '/jobs/Job1/tasks/myTask/files'

    listed = {file['name']: file for file in wire('GET', path).json()['value']}
    head, read = wire('HEAD', f'{path}/stdout.txt'), wire('GET', f'{path}/stdout.txt')

    assert list(listed['wd']) == ['name', 'url', 'isDirectory']  # directories have no properties
    properties = listed['stdout.txt']['properties']
    assert list(properties) == ['lastModified', 'contentLength', 'contentType', 'fileMode']
    assert (properties['contentLength'], properties['fileMode']) == (
        '5',
        '0o100644',
    )  # a string, and no creation time
    assert read.text == 'test\n'
    assert (head.headers['Content-Length'], head.headers['Content-Type']) == ('5', 'text/plain')
    for answer in (head, read):
        assert answer.headers['ocp-batch-file-isdirectory'] == 'False'
        assert answer.headers['ocp-batch-file-mode'] == '0o100644'
        assert answer.headers['ocp-batch-file-url'].startswith('http%3A%2F%2F')
        assert not {'ETag', 'ocp-creation-time'} & set(answer.headers)


def test_next_link_is_absolute_and_repeats_the_query(wire: Wire) -> None:
    for job_id in ('b', 'a', 'c'):
        wire('POST', '/jobs', {**JOB, 'id': job_id})

    page = wire('GET', '/jobs', query={'maxresults': '1', '$select': 'id, state'}).json()

    assert list(page) == ['odata.metadata', 'value', 'odata.nextLink']
    assert page['value'] == [{'id': 'a', 'state': 'active'}]
    assert page['odata.nextLink'].startswith(f'{wire.url}/jobs?')
    assert 'maxresults=1' in page['odata.nextLink']
    last = wire('GET', '/jobs', query={'maxresults': '1', '$skiptoken': 'b'}).json()
    assert 'odata.nextLink' not in last
