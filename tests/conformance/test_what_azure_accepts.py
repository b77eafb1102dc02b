"""What Azure accepts is accepted here, or answered with 501 and the reason: never with Azure's 400.

Sources: the models of azure-batch 6.0.0 to 15.1.0; the Azure CLI, which sends numbers as strings;
the REST reference, "Batch service REST API versioning".
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.local_azure import LocalAzure
from tests.local_azure.batch import resource_properties
from tests.local_azure.batch.api_versions import ANSWERED, PUBLISHED_BUT_NOT_ANSWERED

from .conftest import Wire
from .test_recorded_facts import IMAGE, JOB, POOL, TASK

EMPTY_POOL = {**POOL, 'targetDedicatedNodes': 0}
OLDEST = '2018-12-01.8.0'
LAST_WITH_TASKS_PER_NODE = '2020-03-01.11.0'
FIRST_WITH_SLOTS = '2020-09-01.12.0'
OF_SDK14 = '2024-02-01.19.0'


def changed(body: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy of the body in which the property at this path has this value."""
    result = copy.deepcopy(body)
    *parents, last = path.split('/')
    target = result
    for name in parents:
        target = target.setdefault(name, {})
    target[last] = value
    return result


def details(answer: Any) -> dict[str, str]:
    return {value['key']: value['value'] for value in answer.json()['values']}


@pytest.fixture
def wait_steady(azure: LocalAzure) -> Callable[[], None]:
    def wait() -> None:
        pool = azure.batch.pools.get('Pool1')
        azure.wait_until(lambda: pool.allocation.value == 'steady')

    return wait


# Numbers and booleans as strings


@pytest.mark.parametrize(
    ('path', 'body', 'name', 'sent', 'shown'),
    [
        ('/pools', POOL, 'targetDedicatedNodes', '2', 2),
        ('/pools', POOL, 'targetLowPriorityNodes', ' 1 ', 1),
        ('/pools', POOL, 'taskSlotsPerNode', '3', 3),
        ('/pools', POOL, 'enableInterNodeCommunication', 'true', True),
        ('/pools', POOL, 'enableAutoScale', 'False', False),
        ('/jobs', JOB, 'priority', '-5', -5),
        ('/jobs', JOB, 'maxParallelTasks', '4', 4),
        ('/jobs', JOB, 'usesTaskDependencies', 'True', True),
        ('/jobs/Job1/tasks', TASK, 'requiredSlots', '2', 2),
    ],
)
def test_number_or_boolean_sent_as_a_string(
    azure: LocalAzure,
    wire: Wire,
    path: str,
    body: dict[str, Any],
    name: str,
    sent: str,
    shown: object,
) -> None:
    azure.slow_allocation(60)
    if 'tasks' in path:
        wire('POST', '/jobs', JOB)

    answer = wire('POST', path, {**body, name: sent})

    assert answer.status_code == 201, answer.text
    resource = wire('GET', f'{path}/{body["id"]}').json()
    assert resource[name] == shown
    assert type(resource[name]) is type(shown)


def test_number_sent_as_a_string_in_constraints_and_in_a_start_task(wire: Wire) -> None:
    start = {'commandLine': 'true', 'maxTaskRetryCount': '2', 'waitForSuccess': 'false'}

    pool = wire('POST', '/pools', {**EMPTY_POOL, 'startTask': start})
    job = wire('POST', '/jobs', {**JOB, 'constraints': {'maxTaskRetryCount': '3'}})

    assert (pool.status_code, job.status_code) == (201, 201)
    start_task = wire('GET', '/pools/Pool1').json()['startTask']
    assert (start_task['maxTaskRetryCount'], start_task['waitForSuccess']) == (2, False)
    assert wire('GET', '/jobs/Job1').json()['constraints']['maxTaskRetryCount'] == 3


def test_number_sent_as_a_string_in_a_resize(wire: Wire, wait_steady: Callable[[], None]) -> None:
    wire('POST', '/pools', EMPTY_POOL)
    wait_steady()

    answer = wire('POST', '/pools/Pool1/resize', {'targetDedicatedNodes': '1'})

    assert answer.status_code == 202
    assert wire('GET', '/pools/Pool1').json()['targetDedicatedNodes'] == 1


@pytest.mark.parametrize(
    'value', ['', 'one', '1.5', '0x1', '1e3', '٣', '9' * 15, '-1', True, [], 1.5]
)
def test_string_that_is_no_number_is_refused(wire: Wire, value: object) -> None:
    answer = wire('POST', '/pools', {**POOL, 'targetDedicatedNodes': value})

    assert (answer.status_code, answer.json()['code']) == (400, 'InvalidPropertyValue')


@pytest.mark.parametrize('value', ['', 'yes', '2', 1, []])
def test_string_that_is_no_boolean_is_refused(wire: Wire, value: object) -> None:
    answer = wire('POST', '/pools', {**POOL, 'enableInterNodeCommunication': value})

    assert answer.status_code == 400


def test_body_that_begins_with_a_byte_order_mark(wire: Wire) -> None:
    body = json.dumps(JOB).encode('utf-8-sig')

    assert wire('POST', '/jobs', body).status_code == 201


# Versions of the API


@pytest.mark.parametrize('version', ANSWERED)
def test_published_version_is_answered(wire: Wire, version: str) -> None:
    assert wire('POST', '/pools', EMPTY_POOL, version=version).status_code == 201
    assert wire('POST', '/jobs', JOB, version=version).status_code == 201
    assert wire('POST', '/jobs/Job1/tasks', TASK, version=version).status_code == 201
    assert wire('GET', '/pools/Pool1', version=version).json()['id'] == 'Pool1'
    assert wire('GET', '/jobs/Job1/tasks', version=version).json()['value'][0]['id'] == 'myTask'


@pytest.mark.parametrize('version', PUBLISHED_BUT_NOT_ANSWERED)
def test_published_version_that_is_not_answered_is_501_with_the_reason(
    wire: Wire, version: str
) -> None:
    answer = wire('GET', '/jobs', version=version)

    assert (answer.status_code, answer.json()['code']) == (501, 'NotImplemented')
    assert version in answer.json()['message']['value']


@pytest.mark.parametrize('version', ['', '2025-06-01.21.0', '2024-02-01', '2026-01-01', 'latest'])
def test_version_that_was_never_published_is_azures_400(wire: Wire, version: str) -> None:
    answer = wire('GET', '/jobs', version=None, query={'api-version': version})

    assert (answer.status_code, answer.json()['code']) == (400, 'UnsupportedRequestVersion')


@pytest.mark.parametrize(
    ('version', 'known', 'unknown'),
    [
        (LAST_WITH_TASKS_PER_NODE, 'maxTasksPerNode', 'taskSlotsPerNode'),
        (FIRST_WITH_SLOTS, 'taskSlotsPerNode', 'maxTasksPerNode'),
    ],
)
def test_slots_of_a_node_have_the_name_of_the_version(
    wire: Wire, version: str, known: str, unknown: str
) -> None:
    refused = wire('POST', '/pools', {**EMPTY_POOL, unknown: 4}, version=version)
    added = wire('POST', '/pools', {**EMPTY_POOL, known: 4}, version=version)

    assert (refused.status_code, added.status_code) == (400, 201)
    pool = wire('GET', '/pools/Pool1', version=version).json()
    assert pool[known] == 4
    assert unknown not in pool
    assert wire('GET', '/pools/Pool1').json()['taskSlotsPerNode'] == 4


def test_task_counts_are_flat_before_there_were_slots(wire: Wire) -> None:
    """Recorded traffic, 2018-03-01.6.1."""
    wire('POST', '/jobs', JOB)
    wire('POST', '/jobs/Job1/tasks', TASK)

    old = wire('GET', '/jobs/Job1/taskcounts', version=LAST_WITH_TASKS_PER_NODE).json()
    new = wire('GET', '/jobs/Job1/taskcounts', version=FIRST_WITH_SLOTS).json()

    counts = {'active': 1, 'running': 0, 'completed': 0, 'succeeded': 0, 'failed': 0}
    assert old == {'odata.metadata': f'{wire.url}/$metadata#taskcounts/@Element', **counts}
    assert new['taskCounts'] == new['taskSlotCounts'] == counts


def test_slots_of_a_task_are_not_shown_before_there_were_any(wire: Wire) -> None:
    wire('POST', '/jobs', JOB)
    wire('POST', '/jobs/Job1/tasks', TASK)

    old = wire('GET', '/jobs/Job1/tasks/myTask', version=OLDEST).json()

    assert 'requiredSlots' not in old
    assert wire('GET', '/jobs/Job1/tasks/myTask').json()['requiredSlots'] == 1


def test_job_shows_what_its_version_knows(wire: Wire) -> None:
    wire('POST', '/jobs', JOB)

    names = {'maxParallelTasks', 'allowTaskPreemption'}
    shown = {
        version: names & set(wire('GET', '/jobs/Job1', version=version).json())
        for version in (FIRST_WITH_SLOTS, '2021-06-01.14.0', '2022-01-01.15.0')
    }

    assert shown == {
        FIRST_WITH_SLOTS: set(),
        '2021-06-01.14.0': {'maxParallelTasks'},
        '2022-01-01.15.0': names,
    }


@pytest.mark.parametrize(
    ('version', 'absent'),
    [
        ('2023-11-01.18.0', {'upgradingOS', 'deallocated', 'deallocating'}),
        (OF_SDK14, {'deallocated', 'deallocating'}),
        ('2025-06-01', set()),
    ],
)
def test_node_counts_have_the_states_of_the_version(
    wire: Wire, version: str, absent: set[str]
) -> None:
    wire('POST', '/pools', EMPTY_POOL)

    counts = wire('GET', '/nodecounts', version=version).json()['value'][0]['dedicated']

    assert {'upgradingOS', 'deallocated', 'deallocating'} - set(counts) == absent


@pytest.mark.parametrize(
    ('version', 'waits', 'scope'),
    [('2019-06-01.9.0', False, None), ('2019-08-01.10.0', True, 'pool')],
)
def test_start_task_has_the_defaults_of_the_version(
    wire: Wire, version: str, waits: bool, scope: str | None
) -> None:
    wire('POST', '/pools', {**EMPTY_POOL, 'startTask': {'commandLine': 'x'}}, version=version)

    start = wire('GET', '/pools/Pool1', version=version).json()['startTask']

    assert start['waitForSuccess'] is waits
    assert start['userIdentity']['autoUser'].get('scope') == scope


def test_supported_images_came_with_2019_06_01(wire: Wire) -> None:
    assert wire('GET', '/supportedimages', version=OLDEST).status_code == 501
    assert wire('GET', '/supportedimages', version='2019-06-01.9.0').status_code == 200


def test_node_agents_were_listed_before(wire: Wire) -> None:
    """As azure-batch 6.0.0 and its samples choose an image."""
    query = {'$filter': "osType eq 'linux'"}

    agents = wire('GET', '/nodeagentskus', version=OLDEST, query=query).json()['value']

    skus = {
        agent['id']: [image['sku'] for image in agent['verifiedImageReferences']]
        for agent in agents
    }
    assert skus['batch.node.ubuntu 24.04'] == ['server', 'server-gen1']
    assert wire('GET', '/nodeagentskus', version='2019-06-01.9.0').status_code == 501


@pytest.mark.parametrize('state', ['active', 'completed'])
def test_selected_properties_of_a_task_are_those_of_the_whole_document(
    azure: LocalAzure, wire: Wire, state: str
) -> None:
    wire('POST', '/pools', {**EMPTY_POOL, 'targetDedicatedNodes': int(state == 'completed')})
    wire('POST', '/jobs', JOB)
    wire('POST', '/jobs/Job1/tasks', {**TASK, 'displayName': 'a', 'environmentSettings': []})
    azure.wait_until(lambda: azure.batch.jobs.get('Job1').counts[state])

    whole = wire('GET', '/jobs/Job1/tasks/myTask').json()
    names = list(resource_properties.TASK.properties)
    selected = wire('GET', '/jobs/Job1/tasks/myTask', query={'$select': ','.join(names)}).json()

    assert selected == whole


# Properties that a later version knows


MACHINE = 'virtualMachineConfiguration'
NEW_PROPERTIES: list[tuple[str, object]] = [
    ('taskSchedulingPolicy', {'nodeFillType': 'Pack', 'jobDefaultOrder': 'creationtime'}),
    (f'{MACHINE}/securityProfile', {'proxyAgentSettings': {'imds': {'mode': 'Audit'}}}),
    (f'{MACHINE}/securityProfile', {'securityType': 'confidentialVM'}),
    (f'{MACHINE}/osDisk', {'managedDisk': {'diskEncryptionSet': {'id': 'x'}}}),
    (
        f'{MACHINE}/osDisk',
        {'managedDisk': {'securityProfile': {'securityEncryptionType': 'NonPersistedTPM'}}},
    ),
    (f'{MACHINE}/osDisk', {'ephemeralOSDiskSettings': {'placement': 'CacheDisk'}}),
    (f'{MACHINE}/diskEncryptionConfiguration', {'customerManagedKey': {'keyUrl': 'x'}}),
    (
        'networkConfiguration/publicIPAddressConfiguration',
        {'ipFamilies': ['IPv4', 'IPv6'], 'ipTags': [{'ipTagType': 'a', 'tag': 'b'}]},
    ),
]


@pytest.mark.parametrize(('path', 'value'), NEW_PROPERTIES)
def test_property_that_changes_nothing_is_kept_and_shown(
    wire: Wire, path: str, value: object
) -> None:
    answer = wire('POST', '/pools', changed(EMPTY_POOL, path, value))

    assert answer.status_code == 201, answer.text
    shown = wire('GET', '/pools/Pool1').json()
    for name in path.split('/'):
        shown = shown[name]
    assert shown == value


@pytest.mark.parametrize(
    ('path', 'value', 'name'),
    [
        (f'{MACHINE}/imageReference/sharedGalleryImageId', 'x', 'sharedGalleryImageId'),
        (f'{MACHINE}/imageReference/communityGalleryImageId', 'x', 'communityGalleryImageId'),
        (f'{MACHINE}/imageReference/virtualMachineImageId', 'x', 'virtualMachineImageId'),
        (f'{MACHINE}/containerConfiguration', {'type': 'dockerCompatible'}, 'containerConfigur'),
        ('startTask', {'commandLine': 'x', 'containerSettings': {}}, 'containerSettings'),
        ('mountConfiguration', [{}], 'mountConfiguration'),
    ],
)
def test_property_that_is_not_imitated_is_501_with_its_name(
    wire: Wire, path: str, value: object, name: str
) -> None:
    answer = wire('POST', '/pools', changed(EMPTY_POOL, path, value))

    assert (answer.status_code, answer.json()['code']) == (501, 'NotImplemented')
    assert name in answer.json()['message']['value']


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('displayName', 'a name'),
        ('vmSize', 'standard_d2s_v3'),
        ('enableInterNodeCommunication', True),
        ('taskSlotsPerNode', 4),
        ('taskSchedulingPolicy', {'nodeFillType': 'Pack'}),
        ('networkConfiguration', {'enableAcceleratedNetworking': True}),
        ('userAccounts', [{'name': 'a', 'password': 'b'}]),
        ('upgradePolicy', {'mode': 'manual'}),
        (
            MACHINE,
            {
                'imageReference': {**IMAGE, 'sku': 'server', 'version': 'latest'},
                'nodeAgentSKUId': 'batch.node.ubuntu 24.04',
            },
        ),
    ],
)
def test_patch_of_an_empty_pool(wire: Wire, name: str, value: object) -> None:
    wire('POST', '/pools', EMPTY_POOL)

    answer = wire('PATCH', '/pools/Pool1', {name: value})

    assert answer.status_code == 200, answer.text
    assert wire('GET', '/pools/Pool1').json()[name] == value


def test_patch_that_azure_takes_of_an_empty_pool_only_is_501_with_nodes(
    wire: Wire, wait_steady: Callable[[], None]
) -> None:
    wire('POST', '/pools', POOL)
    wait_steady()

    size = wire('PATCH', '/pools/Pool1', {'vmSize': 'standard_d2s_v3'})
    metadata = wire('PATCH', '/pools/Pool1', {'metadata': [{'name': 'a', 'value': 'b'}]})

    assert (size.status_code, metadata.status_code) == (501, 200)
    assert 'vmSize' in size.json()['message']['value']


def test_patch_of_slots_is_held_to_the_size_of_the_pool(wire: Wire) -> None:
    wire('POST', '/pools', EMPTY_POOL)  # of one core

    answer = wire('PATCH', '/pools/Pool1', {'taskSlotsPerNode': 5})

    assert details(answer)['PropertyName'] == 'taskSlotsPerNode'


def test_patch_of_2025_is_unknown_to_2024(wire: Wire) -> None:
    wire('POST', '/pools', EMPTY_POOL)

    answer = wire('PATCH', '/pools/Pool1', {'displayName': 'x'}, version=OF_SDK14)

    assert (answer.status_code, answer.json()['code']) == (400, 'InvalidRequestBody')


# Sizes, images, networks


@pytest.mark.parametrize(
    'size',
    [
        'STANDARD_A1_v2',
        'STANDARD_DS1_V2',
        'standard_d1_v2',
        'Standard_D3_v2',
        'Standard_DS14_v2',
        'Standard_D2s_v3',
        'Standard_D4ds_v5',
        'Standard_E8s_v5',
        'Standard_F4s_v2',
        'Standard_NC6s_v3',
    ],
)
def test_vm_size_that_exists_is_accepted(wire: Wire, size: str) -> None:
    assert wire('POST', '/pools', {**EMPTY_POOL, 'vmSize': size}).status_code == 201


@pytest.mark.parametrize('size', ['STANDARD_A3_v2', 'Standard_D3s_v3', 'large', ''])
def test_vm_size_that_does_not_exist_is_refused(wire: Wire, size: str) -> None:
    answer = wire('POST', '/pools', {**EMPTY_POOL, 'vmSize': size})

    assert answer.status_code == 400
    assert details(answer)['PropertyName'] == 'vmSize'


def test_unknown_image_is_refused_with_its_names(wire: Wire) -> None:
    image = {'publisher': 'Canonical', 'offer': 'UbuntuServer', 'sku': '18.04-LTS'}

    answer = wire('POST', '/pools', changed(EMPTY_POOL, f'{MACHINE}/imageReference', image))

    assert (answer.status_code, answer.json()['code']) == (400, 'InvalidPropertyValue')
    assert details(answer)['Reason'] == (
        'The specified imageReference with publisher Canonical offer UbuntuServer sku 18.04-LTS is '
        'not supported.'
    )


@pytest.mark.parametrize(
    ('publisher', 'offer', 'sku'),
    [
        ('microsoft-dsvm', 'ubuntu-hpc', '2404'),
        ('MicrosoftWindowsServer', 'WindowsServer', '2022-datacenter'),
        ('canonical', 'ubuntu-24_04-lts', 'server-arm64'),
    ],
)
def test_image_that_is_not_offered_here_is_501(
    wire: Wire, publisher: str, offer: str, sku: str
) -> None:
    image = {'publisher': publisher, 'offer': offer, 'sku': sku}

    answer = wire('POST', '/pools', changed(EMPTY_POOL, f'{MACHINE}/imageReference', image))

    assert answer.status_code == 501
    assert sku in answer.json()['message']['value']


@pytest.mark.parametrize(('path', 'body'), [('/pools', EMPTY_POOL), ('/jobs', JOB)])
def test_subnet_of_a_network_that_does_not_exist_is_refused(
    wire: Wire, path: str, body: dict[str, Any]
) -> None:
    answer = wire('POST', path, {**body, 'networkConfiguration': {'subnetId': '/x/y'}})

    assert (answer.status_code, answer.json()['code']) == (400, 'InvalidPropertyValue')
    assert details(answer)['PropertyName'] == 'subnetId'
    assert details(answer)['Reason'].startswith('Either the specified VNet does not exist')


# Conditions and filters


LONG_AGO = 'Mon, 01 Jan 2001 00:00:00 GMT'
FAR_AHEAD = 'Thu, 01 Jan 2099 00:00:00 GMT'


@pytest.mark.parametrize(
    ('method', 'headers', 'status'),
    [
        ('GET', {'If-None-Match': '*'}, 304),
        ('GET', {'If-Modified-Since': FAR_AHEAD}, 304),
        ('GET', {'If-Modified-Since': LONG_AGO}, 200),
        ('GET', {'If-Unmodified-Since': LONG_AGO}, 412),
        ('PATCH', {'If-None-Match': '*'}, 412),
        ('PATCH', {'If-Unmodified-Since': LONG_AGO}, 412),
        ('PATCH', {'If-Unmodified-Since': FAR_AHEAD}, 200),
        ('PATCH', {'If-Match': '*'}, 200),
    ],
)
def test_condition_is_304_on_reads_and_412_on_writes(
    wire: Wire, method: str, headers: dict[str, str], status: int
) -> None:
    wire('POST', '/jobs', JOB)
    body = {'priority': 1} if method == 'PATCH' else None

    answer = wire(method, '/jobs/Job1', body, headers=headers)

    assert answer.status_code == status


@pytest.mark.parametrize(
    ('clause', 'status'),
    [
        ("startswith(id, 'jo')", 200),
        ("startswith( ID , 'jo')", 400),
        ('startswith(priority, 0)', 400),
        ("id eq 'JOB1' and (priority lt 1 or priority gt 5)", 200),
        ("creationTime gt DateTime'2001-01-01'", 200),
        ('usesTaskDependencies eq false', 200),
        ('priority eq true', 400),
        ("poolInfo/poolId ne 'x'", 200),
        ("poolInfo ne 'x'", 400),
        ("id eq 'x", 400),
        ("(id eq 'x'", 400),
    ],
)
def test_filter_of_jobs(wire: Wire, clause: str, status: int) -> None:
    wire('POST', '/jobs', JOB)

    answer = wire('GET', '/jobs', query={'$filter': clause})

    assert answer.status_code == status, answer.text
    if status == 200:
        assert [job['id'] for job in answer.json()['value']] == ['Job1']


# Texts


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

    assert (answer.status_code, answer.json()['code']) == (409, 'OperationInvalidForCurrentState')
    assert answer.reason == (
        'The specified operation is not valid for the current state of the resource.'
    )
    assert details(answer) == {
        'Reason': f'The files of the specified task cannot be accessed as the task {reason}'
    }


# Autoscaling


FORMULA = '$TargetLowPriorityNodes = 2;'


@pytest.fixture
def scaled_pool(wire: Wire, wait_steady: Callable[[], None]) -> str:
    """The path of a pool that has a formula, and the nodes that it wants."""
    pool = {name: value for name, value in EMPTY_POOL.items() if name != 'targetDedicatedNodes'}
    formula = {
        'enableAutoScale': True,
        'autoScaleFormula': FORMULA,
        'autoScaleEvaluationInterval': 'PT6M',
    }
    assert wire('POST', '/pools', {**pool, **formula}).status_code == 201
    wait_steady()
    return '/pools/Pool1'


def test_enabled_autoscaling_is_shown(wire: Wire, scaled_pool: str) -> None:
    pool = wire('GET', scaled_pool).json()

    assert pool['enableAutoScale'] is True
    assert (pool['autoScaleFormula'], pool['autoScaleEvaluationInterval']) == (FORMULA, 'PT6M')
    assert pool['autoScaleRun']['results'] == (
        '$TargetDedicatedNodes=0;$TargetLowPriorityNodes=2;$NodeDeallocationOption=requeue'
    )
    assert pool['autoScaleRun']['timestamp'] > pool['creationTime']
    assert (pool['targetLowPriorityNodes'], pool['currentLowPriorityNodes']) == (2, 2)


def test_enabling_autoscaling_moves_the_etag(wire: Wire, wait_steady: Callable[[], None]) -> None:
    created = wire('POST', '/pools', EMPTY_POOL)
    wait_steady()

    answer = wire('POST', '/pools/Pool1/enableautoscale', {'autoScaleFormula': FORMULA})

    assert answer.headers['DataServiceId'] == f'{wire.url}/pools/Pool1/enableautoscale'
    assert answer.headers['ETag'] == wire('GET', '/pools/Pool1').json()['eTag']
    assert answer.headers['ETag'] > created.headers['ETag']


def test_evaluated_formula_is_not_applied(wire: Wire, scaled_pool: str) -> None:
    """Recorded traffic, 2020-03-01.11.0."""
    answer = wire(
        'POST', f'{scaled_pool}/evaluateautoscale', {'autoScaleFormula': '$TargetDedicatedNodes=7'}
    )

    run = answer.json()
    metadata = f'{wire.url}/$metadata#Microsoft.Azure.Batch.Protocol.Entities.AutoScaleRun'
    assert (answer.status_code, 'ETag' in answer.headers) == (200, False)
    assert answer.headers['DataServiceId'] == f'{wire.url}{scaled_pool}/evaluateautoscale'
    assert list(run) == ['odata.metadata', 'timestamp', 'results']
    assert run['odata.metadata'] == metadata
    assert run['results'].startswith('$TargetDedicatedNodes=7;')
    assert wire('GET', scaled_pool).json()['targetDedicatedNodes'] == 0


def test_disabled_autoscaling_keeps_the_nodes(wire: Wire, scaled_pool: str) -> None:
    answer = wire('POST', f'{scaled_pool}/disableautoscale')

    pool = wire('GET', scaled_pool).json()
    assert answer.status_code == 200
    assert answer.headers['ETag'] == pool['eTag']
    assert pool['enableAutoScale'] is False
    assert not {'autoScaleFormula', 'autoScaleEvaluationInterval', 'autoScaleRun'} & set(pool)
    assert pool['currentLowPriorityNodes'] == 2


@pytest.mark.parametrize('interval', ['PT4M59S', 'PT168H1S', 'P8D', 'soon'])
def test_evaluation_interval_out_of_range_is_refused(
    wire: Wire, wait_steady: Callable[[], None], interval: str
) -> None:
    wire('POST', '/pools', EMPTY_POOL)
    wait_steady()
    body = {'autoScaleFormula': FORMULA, 'autoScaleEvaluationInterval': interval}

    answer = wire('POST', '/pools/Pool1/enableautoscale', body)

    assert (answer.status_code, answer.json()['code']) == (400, 'InvalidPropertyValue')
    assert details(answer)['PropertyName'] == 'autoScaleEvaluationInterval'


def test_new_pool_has_a_formula_instead_of_numbers_of_nodes(
    wire: Wire, wait_steady: Callable[[], None]
) -> None:
    pool = {name: value for name, value in POOL.items() if name != 'targetDedicatedNodes'}
    formula = {'enableAutoScale': 'true', 'autoScaleFormula': FORMULA}

    both = wire('POST', '/pools', {**POOL, **formula})
    added = wire('POST', '/pools', {**pool, **formula})

    assert details(both)['PropertyName'] == 'targetDedicatedNodes'
    assert added.status_code == 201, added.text
    wait_steady()
    assert wire('GET', '/pools/Pool1').json()['currentLowPriorityNodes'] == 2


@pytest.mark.parametrize('name', ['autoScaleFormula', 'autoScaleEvaluationInterval'])
def test_new_pool_with_numbers_of_nodes_has_no_formula(wire: Wire, name: str) -> None:
    answer = wire('POST', '/pools', {**POOL, name: 'PT10M'})

    assert details(answer)['PropertyName'] == name


def test_if_match_holds_for_autoscaling(wire: Wire, wait_steady: Callable[[], None]) -> None:
    wire('POST', '/pools', EMPTY_POOL)
    wait_steady()
    body = {'autoScaleFormula': FORMULA}

    answer = wire(
        'POST', '/pools/Pool1/enableautoscale', body, headers={'If-Match': '0x8D0000000000001'}
    )

    assert (answer.status_code, answer.json()['code']) == (412, 'ConditionNotMet')
