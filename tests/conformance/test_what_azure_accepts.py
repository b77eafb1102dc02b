"""What Azure accepts is accepted here, or answered with 501 and the reason: never with Azure's 400.

Sources: the models of azure-batch 6.0.0 to 15.1.0; the REST reference, "Batch service REST API
versioning".
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.local_azure import LocalAzure
from tests.local_azure.batch import resource_properties
from tests.local_azure.batch.api_versions import ANSWERED, PUBLISHED_BUT_NOT_ANSWERED

from .conftest import (
    EMPTY_POOL,
    IMAGE,
    JOB,
    POOL,
    TASK,
    Wire,
    changed,
    details,
    error_of,
    wait_completed,
    wait_until_steady,
)

OLDEST = '2018-12-01.8.0'
FIRST_WITH_SLOTS = '2020-09-01.12.0'
OF_SDK14 = '2024-02-01.19.0'
MACHINE = 'virtualMachineConfiguration'


def test_body_that_begins_with_a_byte_order_mark(wire: Wire) -> None:
    body = json.dumps(JOB).encode('utf-8-sig')

    assert wire('POST', '/jobs', body).status_code == 201


# Versions of the API


def test_published_version_is_answered_or_501_and_any_other_400(wire: Wire) -> None:
    for number, version in enumerate(ANSWERED):
        answer = wire('POST', '/jobs', {**JOB, 'id': f'job{number}'}, version=version)
        assert answer.status_code == 201, version
        assert wire('GET', f'/jobs/job{number}', version=version).status_code == 200, version
    for version in PUBLISHED_BUT_NOT_ANSWERED:
        answer = wire('GET', '/jobs', version=version)
        assert error_of(answer) == (501, 'NotImplemented'), version
        assert version in answer.json()['message']['value']
    for version in ('', '2018-08-01.7.9', '2025-06-01.21.0', '2024-02-01', 'latest'):
        answer = wire('GET', '/jobs', version=None, query={'api-version': version})
        assert error_of(answer) == (400, 'UnsupportedRequestVersion'), version
    without = wire('GET', '/jobs', version=None)
    assert error_of(without) == (400, 'MissingRequiredQueryParameter')


def test_oldest_version_has_its_own_names_and_defaults(wire: Wire) -> None:
    """Flat task counts: recorded traffic, 2018-03-01.6.1. The rest: azure-batch 6.0.0."""
    pool = {**EMPTY_POOL, 'startTask': {'commandLine': 'x'}}

    refused = wire('POST', '/pools', {**pool, 'taskSlotsPerNode': 4}, version=OLDEST)
    wire('POST', '/pools', {**pool, 'maxTasksPerNode': 4}, version=OLDEST)
    wire('POST', '/jobs', JOB, version=OLDEST)
    wire('POST', '/jobs/Job1/tasks', TASK, version=OLDEST)

    def shown(path: str, version: str = OLDEST) -> Any:
        return wire('GET', path, version=version).json()

    assert refused.status_code == 400
    assert shown('/pools/Pool1')['maxTasksPerNode'] == 4
    assert shown('/pools/Pool1')['startTask']['waitForSuccess'] is False
    assert 'scope' not in shown('/pools/Pool1')['startTask']['userIdentity']['autoUser']
    assert shown('/jobs/Job1/taskcounts')['active'] == 1
    assert 'requiredSlots' not in shown('/jobs/Job1/tasks/myTask')
    assert not {'maxParallelTasks', 'allowTaskPreemption'} & set(shown('/jobs/Job1'))
    agents = {agent['id'] for agent in shown('/nodeagentskus')['value']}
    assert 'batch.node.ubuntu 24.04' in agents
    assert wire('GET', '/supportedimages', version=OLDEST).status_code == 501
    assert wire('GET', '/nodeagentskus').status_code == 501
    assert shown('/pools/Pool1', FIRST_WITH_SLOTS)['taskSlotsPerNode'] == 4
    assert shown('/jobs/Job1/taskcounts', FIRST_WITH_SLOTS)['taskCounts']['active'] == 1


def test_node_counts_have_the_states_of_the_version(wire: Wire) -> None:
    wire('POST', '/pools', EMPTY_POOL)
    later = {'upgradingOS', 'deallocated', 'deallocating'}

    known = {}
    for version in ('2022-10-01.16.0', OF_SDK14, '2025-06-01'):
        (counts,) = wire('GET', '/nodecounts', version=version).json()['value']
        known[version] = later & set(counts['dedicated'])

    assert known == {
        '2022-10-01.16.0': set(),
        OF_SDK14: {'upgradingOS'},
        '2025-06-01': later,
    }


# Properties


def test_selected_properties_of_a_task_are_those_of_the_whole_document(
    azure: LocalAzure, wire: Wire
) -> None:
    wire('POST', '/jobs', JOB)
    wire('POST', '/jobs/Job1/tasks', {**TASK, 'displayName': 'a', 'environmentSettings': []})
    query = {'$select': ','.join(resource_properties.TASK.properties)}

    for state in ('active', 'completed'):
        if state == 'completed':
            wire('POST', '/pools', POOL)
            wait_completed(azure, 1, 'Job1')
        whole = wire('GET', '/jobs/Job1/tasks/myTask').json()
        selected = wire('GET', '/jobs/Job1/tasks/myTask', query=query).json()
        assert selected == whole


def test_property_that_changes_nothing_is_kept_and_shown(wire: Wire) -> None:
    rows: list[tuple[str, Any]] = [
        ('metadata', [{'name': 'a', 'value': 'b'}]),
        ('taskSchedulingPolicy', {'nodeFillType': 'Pack', 'jobDefaultOrder': 'creationtime'}),
        (f'{MACHINE}/securityProfile', {'proxyAgentSettings': {'imds': {'mode': 'Audit'}}}),
        (f'{MACHINE}/osDisk', {'managedDisk': {'diskEncryptionSet': {'id': 'x'}}}),
        (f'{MACHINE}/osDisk', {'ephemeralOSDiskSettings': {'placement': 'CacheDisk'}}),
        ('networkConfiguration/publicIPAddressConfiguration', {'ipFamilies': ['IPv4', 'IPv6']}),
    ]

    for number, (path, value) in enumerate(rows):
        body = changed({**EMPTY_POOL, 'id': f'P{number}'}, path, value)
        assert wire('POST', '/pools', body).status_code == 201, path
        shown = wire('GET', f'/pools/P{number}').json()
        for name in path.split('/'):
            shown = shown[name]
        assert shown == value


def images(**reference: str) -> dict[str, Any]:
    return {**IMAGE, **reference}


OUTPUT_WITH_HEADERS = {
    'filePattern': 'a',
    'destination': {
        'container': {'containerUrl': 'https://x', 'uploadHeaders': [{'name': 'Content-Type'}]}
    },
    'uploadOptions': {'uploadCondition': 'tasksuccess'},
}
NOT_IMITATED: list[tuple[str, str, object, str]] = [  # path, property, value, what is named
    ('/pools', f'{MACHINE}/imageReference', images(sku='server-arm64'), 'server-arm64'),
    (
        '/pools',
        f'{MACHINE}/imageReference',
        images(publisher='microsoft-dsvm', offer='ubuntu-hpc', sku='2404'),
        'ubuntu-hpc',
    ),
    ('/pools', f'{MACHINE}/imageReference/virtualMachineImageId', 'x', 'virtualMachineImageId'),
    ('/pools', f'{MACHINE}/imageReference/sharedGalleryImageId', 'x', 'sharedGalleryImageId'),
    ('/pools', f'{MACHINE}/containerConfiguration', {'type': 'x'}, 'containerConfiguration'),
    ('/pools', f'{MACHINE}/extensions', [{'name': 'x'}], 'extensions'),
    ('/pools', f'{MACHINE}/dataDisks', [{'lun': 0, 'diskSizeGB': 1}], 'dataDisks'),
    ('/pools', 'startTask', {'commandLine': 'x', 'containerSettings': {}}, 'containerSettings'),
    ('/pools', 'mountConfiguration', [{}], 'mountConfiguration'),
    ('/jobs', 'onTaskFailure', 'performexitoptionsjobaction', 'onTaskFailure'),
    ('/jobs', 'allowTaskPreemption', True, 'allowTaskPreemption'),
    ('/jobs', 'poolInfo', {'autoPoolSpecification': {}}, 'autoPoolSpecification'),
    ('/jobs/Job1/tasks', 'dependsOn', {'taskIds': ['x']}, 'dependsOn'),
    ('/jobs/Job1/tasks', 'exitConditions', {'default': {}}, 'exitConditions'),
    ('/jobs/Job1/tasks', 'outputFiles', [OUTPUT_WITH_HEADERS], 'uploadHeaders'),
    ('/pools/Pool1/resize', 'nodeDeallocationOption', 'retaineddata', 'retaineddata'),
]


def test_what_changes_what_tasks_do_and_is_not_imitated_is_501_with_its_name(wire: Wire) -> None:
    wire('POST', '/pools', EMPTY_POOL)
    wire('POST', '/jobs', JOB)
    bodies: dict[str, dict[str, Any]] = {
        '/pools': {**EMPTY_POOL, 'id': 'other'},
        '/jobs': {**JOB, 'id': 'other'},
        '/jobs/Job1/tasks': TASK,
        '/pools/Pool1/resize': {'targetDedicatedNodes': 0},
    }

    for path, where, value, named in NOT_IMITATED:
        answer = wire('POST', path, changed(bodies[path], where, value))
        assert error_of(answer) == (501, 'NotImplemented'), where
        assert named in answer.json()['message']['value']
        assert named in answer.reason


@pytest.mark.parametrize(
    ('method', 'path'),
    [
        ('HEAD', '/jobs/Job1'),
        ('HEAD', '/nodecounts'),
        ('POST', '/pools/pool/nodes/node/disablescheduling'),
        ('GET', '/jobschedules'),
    ],
)
def test_operation_that_is_not_imitated_is_501_with_method_and_path(
    wire: Wire, method: str, path: str
) -> None:
    wire('POST', '/jobs', JOB)

    answer = wire(method, path)

    assert answer.status_code == 501
    assert answer.reason.endswith(f'{method} {path}.')


def test_patch_of_an_empty_pool(wire: Wire) -> None:
    wire('POST', '/pools', EMPTY_POOL)
    patches: list[dict[str, Any]] = [
        {'displayName': 'a name'},
        {'vmSize': 'standard_d2s_v3'},
        {'taskSlotsPerNode': 4},
        {'taskSchedulingPolicy': {'nodeFillType': 'Pack'}},
        {'metadata': [{'name': 'a', 'value': 'b'}]},
    ]

    for patch in patches:
        assert wire('PATCH', '/pools/Pool1', patch).status_code == 200, patch
        pool = wire('GET', '/pools/Pool1').json()
        assert {name: pool[name] for name in patch} == patch

    too_many = wire('PATCH', '/pools/Pool1', {'taskSlotsPerNode': 9})  # of two cores
    of_2025 = wire('PATCH', '/pools/Pool1', {'displayName': 'x'}, version=OF_SDK14)
    assert details(too_many)['PropertyName'] == 'taskSlotsPerNode'
    assert error_of(of_2025) == (400, 'InvalidRequestBody')
    missing = wire('PATCH', '/pools/none', {'metadata': []})
    assert error_of(missing) == (404, 'PoolNotFound')


def test_patch_that_azure_takes_of_an_empty_pool_only_is_501_with_nodes(
    azure: LocalAzure, wire: Wire
) -> None:
    wire('POST', '/pools', POOL)
    wait_until_steady(azure, 'Pool1')

    size = wire('PATCH', '/pools/Pool1', {'vmSize': 'standard_d2s_v3'})
    metadata = wire('PATCH', '/pools/Pool1', {'metadata': [{'name': 'a', 'value': 'b'}]})

    assert (size.status_code, metadata.status_code) == (501, 200)
    assert 'vmSize' in size.json()['message']['value']


# Conditions and filters


def test_condition_is_304_on_reads_and_412_on_writes(wire: Wire) -> None:
    long_ago, far_ahead = 'Mon, 01 Jan 2001 00:00:00 GMT', 'Thu, 01 Jan 2099 00:00:00 GMT'
    rows = [
        ('GET', {'If-None-Match': '*'}, 304),
        ('GET', {'If-Modified-Since': far_ahead}, 304),
        ('GET', {'If-Modified-Since': long_ago}, 200),
        ('GET', {'If-Unmodified-Since': long_ago}, 412),
        ('PATCH', {'If-None-Match': '*'}, 412),
        ('PATCH', {'If-Unmodified-Since': long_ago}, 412),
        ('PATCH', {'If-Unmodified-Since': far_ahead}, 200),
        ('PATCH', {'If-Match': '*'}, 200),
        ('PATCH', {'If-Match': '0x8D0000000000001'}, 412),
        ('DELETE', {'If-Match': '0x8D0000000000001'}, 412),
    ]
    wire('POST', '/jobs', JOB)

    for method, headers, status in rows:
        body = {'priority': 1} if method == 'PATCH' else None
        answer = wire(method, '/jobs/Job1', body, headers=headers)
        assert answer.status_code == status, (method, headers)


def test_condition_on_the_etag_that_was_read(wire: Wire) -> None:
    wire('POST', '/jobs', JOB)
    etag = wire('GET', '/jobs/Job1').headers['ETag']

    known = wire('GET', '/jobs/Job1', headers={'If-None-Match': f'"{etag}"'})
    first = wire('PATCH', '/jobs/Job1', {'priority': 1}, headers={'If-Match': etag})
    second = wire('PATCH', '/jobs/Job1', {'priority': 2}, headers={'If-Match': etag})

    assert (known.status_code, first.status_code) == (304, 200)
    assert error_of(second) == (412, 'ConditionNotMet')
    assert wire('GET', '/jobs/Job1', headers={'If-None-Match': etag}).json()['priority'] == 1


GOOD_FILTERS = [
    "startswith(id, 'jo')",
    "id eq 'JOB1' and (priority lt 1 or priority gt 5)",
    "state eq 'Active' and creationTime gt DateTime'2001-01-01'",
    "lastModified le DateTime'2099-01-01T00:00:00Z'",
    'usesTaskDependencies eq false',
    "poolInfo/poolId ne 'x' and priority ge 0",
    "id eq 'x' or id ne 'x' and id eq 'job1'",
]
FILTERS_WITHOUT_RESULT = ["startswith(id, 'x')", "id eq 'x' or priority lt 0", "displayName ne 'x'"]
BAD_FILTERS = [
    "startswith( ID , 'jo')",
    'startswith(priority, 0)',
    'priority eq true',
    "poolInfo ne 'x'",
    "id eq 'x",
    "(id eq 'x'",
    'id eq',
    "nothing eq 'x'",
    'state eq 5',
    "creationTime gt DateTime'yesterday'",
    "id like 'x'",
    "id eq 'x' id",
]


def test_filter_of_jobs(wire: Wire) -> None:
    wire('POST', '/jobs', JOB)

    def found(clause: str) -> list[str]:
        jobs = wire('GET', '/jobs', query={'$filter': clause}).json()['value']
        return [job['id'] for job in jobs]

    for clause in GOOD_FILTERS:
        assert found(clause) == ['Job1'], clause
    for clause in FILTERS_WITHOUT_RESULT:
        assert found(clause) == [], clause
    for query in (
        *({'$filter': clause} for clause in BAD_FILTERS),
        {'$select': 'id,nothing'},
        {'$expand': 'everything'},
    ):
        answer = wire('GET', '/jobs', query=query)
        assert error_of(answer) == (400, 'InvalidQueryParameterValue'), query
    assert wire('GET', '/jobs', query={'$expand': 'stats'}).status_code == 200


# Autoscaling


def test_formula_is_enabled_shown_evaluated_and_disabled(azure: LocalAzure, wire: Wire) -> None:
    """The answer to an evaluation: recorded traffic, 2020-03-01.11.0."""
    formula = '$TargetLowPriorityNodes = 2;'
    body = {**EMPTY_POOL, 'enableAutoScale': 'true', 'autoScaleFormula': formula}
    del body['targetDedicatedNodes']
    created = wire('POST', '/pools', {**body, 'autoScaleEvaluationInterval': 'PT6M'})
    wait_until_steady(azure, 'Pool1')

    pool = wire('GET', '/pools/Pool1').json()
    assert (pool['enableAutoScale'], pool['autoScaleFormula']) == (True, formula)
    assert pool['autoScaleEvaluationInterval'] == 'PT6M'
    assert pool['autoScaleRun']['results'] == (
        '$TargetDedicatedNodes=0;$TargetLowPriorityNodes=2;$NodeDeallocationOption=requeue'
    )
    assert pool['autoScaleRun']['timestamp'] > pool['creationTime']
    assert (pool['targetLowPriorityNodes'], pool['currentLowPriorityNodes']) == (2, 2)

    seven = {'autoScaleFormula': '$TargetDedicatedNodes=7'}
    evaluated = wire('POST', '/pools/Pool1/evaluateautoscale', seven)
    assert (evaluated.status_code, 'ETag' in evaluated.headers) == (200, False)
    assert set(evaluated.json()) == {'odata.metadata', 'timestamp', 'results'}
    assert evaluated.json()['results'].startswith('$TargetDedicatedNodes=7;')
    assert wire('GET', '/pools/Pool1').json()['targetDedicatedNodes'] == 0

    stale = {'If-Match': '0x8D0000000000001'}
    refused = wire('POST', '/pools/Pool1/enableautoscale', seven, headers=stale)
    enabled = wire('POST', '/pools/Pool1/enableautoscale', seven)
    assert error_of(refused) == (412, 'ConditionNotMet')
    assert enabled.headers['ETag'] == wire('GET', '/pools/Pool1').json()['eTag']
    assert enabled.headers['ETag'] > created.headers['ETag']

    disabled = wire('POST', '/pools/Pool1/disableautoscale')
    pool = wire('GET', '/pools/Pool1').json()
    assert (disabled.status_code, disabled.headers['ETag']) == (200, pool['eTag'])
    assert pool['enableAutoScale'] is False
    assert not {'autoScaleFormula', 'autoScaleEvaluationInterval', 'autoScaleRun'} & set(pool)
    assert pool['currentLowPriorityNodes'] == 2
