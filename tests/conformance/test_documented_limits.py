"""Values of the right type that the service refuses all the same: 400 with the property.

Azure says so in the models of azure-batch 14.2.0, but for the kinds of nodes: Azure/aztk issue 172.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import azure.batch.models as models
import pytest
from azure.batch import BatchServiceClient

from tests.local_azure import LocalAzure

from .conftest import (
    EMPTY_POOL,
    JOB,
    TASK,
    Wire,
    a_job,
    a_task,
    changed,
    details,
    error_of,
    refusal,
    wait_until_steady,
)

MACHINE = 'virtualMachineConfiguration'
LONGEST_NAME = 'é' * 1024
ADMIN = {'elevationLevel': 'admin'}
BLOB = {'httpUrl': 'https://x/y', 'filePath': 'y'}
CONTAINER = {'storageContainerUrl': 'https://x'}

Row = tuple[str, object, str]  # where the value stands, the value, and the property that is named


def nat_pools(backend: int = 80, first: int = 1000, last: int = 1100) -> dict[str, Any]:
    """The networkConfiguration of a pool."""
    nat_pool = {
        'name': 'web',
        'protocol': 'tcp',
        'backendPort': backend,
        'frontendPortRangeStart': first,
        'frontendPortRangeEnd': last,
    }
    return {'endpointConfiguration': {'inboundNATPools': [nat_pool]}}


def user(**ids: int) -> list[dict[str, Any]]:
    return [{'name': 'ada', 'password': 'Secret1!', 'linuxUserConfiguration': ids}]


def start_task(**properties: object) -> dict[str, Any]:
    return {'commandLine': 'true', **properties}


REFUSED_POOLS: list[Row] = [
    ('id', 'x' * 65, 'id'),
    ('id', 'no spaces', 'id'),
    ('displayName', f'{LONGEST_NAME}é', 'displayName'),
    ('vmSize', 'STANDARD_A3_v2', 'vmSize'),
    ('vmSize', 'Standard_D3s_v3', 'vmSize'),
    ('vmSize', '', 'vmSize'),
    ('targetDedicatedNodes', -1, 'targetDedicatedNodes'),
    ('taskSlotsPerNode', 0, 'taskSlotsPerNode'),
    ('taskSlotsPerNode', 5, 'taskSlotsPerNode'),  # the VM size has one core
    ('resizeTimeout', 'PT4M59S', 'resizeTimeout'),
    ('resizeTimeout', 'soon', 'resizeTimeout'),
    ('autoScaleFormula', '$TargetDedicatedNodes=1', 'autoScaleFormula'),
    ('autoScaleEvaluationInterval', 'PT10M', 'autoScaleEvaluationInterval'),
    ('enableAutoScale', True, 'targetDedicatedNodes'),
    (f'{MACHINE}/nodeAgentSKUId', 'batch.node.ubuntu 22.04', 'nodeAgentSKUId'),
    ('startTask', start_task(maxTaskRetryCount=-2), 'maxTaskRetryCount'),
    ('startTask', start_task(userIdentity={}), 'userIdentity'),
    ('userAccounts', user(uid=1001), 'uid'),
    ('userAccounts', user(gid=1001), 'gid'),
    ('networkConfiguration', {'subnetId': '/x/y'}, 'subnetId'),
    *(
        ('networkConfiguration', nat_pools(backend=port), 'backendPort')
        for port in (22, 3389, 29876, 29877)
    ),
    ('networkConfiguration', nat_pools(first=50_000, last=50_100), 'frontendPortRangeStart'),
    ('networkConfiguration', nat_pools(first=55_000, last=55_100), 'frontendPortRangeStart'),
    ('networkConfiguration', nat_pools(first=49_900, last=50_000), 'frontendPortRangeEnd'),
    ('networkConfiguration', nat_pools(first=49_900, last=60_000), 'frontendPortRangeEnd'),
]
REFUSED_JOBS: list[Row] = [
    ('displayName', f'{LONGEST_NAME}é', 'displayName'),
    ('maxParallelTasks', 0, 'maxParallelTasks'),
    ('priority', 1001, 'priority'),
    ('priority', -1001, 'priority'),
    ('networkConfiguration', {'subnetId': '/x/y'}, 'subnetId'),
    ('commonEnvironmentSettings', [{'name': 'a=b', 'value': ''}], 'environmentSettings'),
]
REFUSED_TASKS: list[Row] = [
    ('displayName', f'{LONGEST_NAME}é', 'displayName'),
    ('commandLine', ' ', 'commandLine'),
    ('requiredSlots', 0, 'requiredSlots'),
    ('userIdentity', {}, 'userIdentity'),
    ('userIdentity', {'username': 'ada', 'autoUser': ADMIN}, 'userIdentity'),
    ('resourceFiles', [{**BLOB, **CONTAINER}], 'resourceFiles'),
    ('resourceFiles', [{'filePath': 'y'}], 'resourceFiles'),
    ('resourceFiles', [{'httpUrl': 'https://x/y'}], 'filePath'),
    ('resourceFiles', [{**BLOB, 'filePath': '../y'}], 'filePath'),
    ('resourceFiles', [{**BLOB, 'filePath': '/y'}], 'filePath'),
    ('resourceFiles', [{**BLOB, 'blobPrefix': 'a'}], 'blobPrefix'),
    *(
        ('resourceFiles', [{**BLOB, 'fileMode': mode}], 'fileMode')
        for mode in ('rwx', '', '0o770', '77777')
    ),
]


@pytest.mark.parametrize(
    ('path', 'good', 'rows'),
    [
        ('/pools', {**EMPTY_POOL, 'vmSize': 'standard_a1_v2'}, REFUSED_POOLS),
        ('/jobs', {**JOB, 'id': 'other'}, REFUSED_JOBS),
        ('/jobs/Job1/tasks', TASK, REFUSED_TASKS),
    ],
    ids=['pool', 'job', 'task'],
)
def test_value_beyond_its_limits_is_refused_with_the_property(
    wire: Wire, path: str, good: dict[str, Any], rows: list[Row]
) -> None:
    wire('POST', '/jobs', JOB)

    for where, value, named in rows:
        answer = wire('POST', path, changed(good, where, value))
        assert error_of(answer) == (400, 'InvalidPropertyValue'), (where, value)
        assert details(answer)['PropertyName'] == named, (where, value)


def test_string_that_is_no_number_or_boolean_is_refused(wire: Wire) -> None:
    """The Azure CLI sends both as strings."""
    numbers: list[Any] = ['', 'one', '1.5', '0x1', '1e3', '٣', '9' * 15, '-1', True, [], 1.5]
    booleans: list[Any] = ['', 'yes', '2', 1, []]

    for name, values in (
        ('targetDedicatedNodes', numbers),
        ('enableInterNodeCommunication', booleans),
    ):
        for value in values:
            answer = wire('POST', '/pools', {**EMPTY_POOL, name: value})
            assert answer.status_code == 400, (name, value)


def test_value_at_its_limits_is_accepted(wire: Wire) -> None:
    pools = [
        ('displayName', LONGEST_NAME),
        ('vmSize', 'Standard_D3_v2'),
        ('vmSize', 'STANDARD_DS14_V2'),
        ('vmSize', 'Standard_D4ds_v5'),
        ('vmSize', 'Standard_E8s_v5'),
        ('vmSize', 'Standard_F4s_v2'),
        ('vmSize', 'Standard_NC6s_v3'),
        ('taskSlotsPerNode', 4),
        ('resizeTimeout', 'PT5M'),
        ('startTask', start_task(maxTaskRetryCount=-1)),
        ('userAccounts', user(uid=1001, gid=1001)),
        ('networkConfiguration', nat_pools(first=49_900, last=49_999)),
        ('networkConfiguration', nat_pools(first=55_001, last=55_100)),
    ]
    jobs = [('maxParallelTasks', 1), ('priority', 1000), ('priority', -1000)]
    tasks = [('resourceFiles', [{**BLOB, 'fileMode': '777'}])]
    wire('POST', '/jobs', JOB)

    for path, good, rows in (
        ('/pools', EMPTY_POOL, pools),
        ('/jobs', JOB, jobs),
        ('/jobs/Job1/tasks', TASK, tasks),
    ):
        for number, (where, value) in enumerate(rows):
            body = changed({**good, 'id': f'x{number}'}, where, value)
            answer = wire('POST', path, body)
            assert answer.status_code == 201, (where, value, answer.text)


def test_interval_of_evaluations_is_5_minutes_to_168_hours(azure: LocalAzure, wire: Wire) -> None:
    azure.batch.delays.autoscale_pause = 0
    wire('POST', '/pools', EMPTY_POOL)
    wait_until_steady(azure, 'Pool1')

    def enable(interval: str) -> Any:
        formula = '$TargetLowPriorityNodes = 0;'
        body = {'autoScaleFormula': formula, 'autoScaleEvaluationInterval': interval}
        return wire('POST', '/pools/Pool1/enableautoscale', body)

    for interval in ('PT4M59S', 'PT168H1S', 'P8D', 'soon'):
        assert details(enable(interval))['PropertyName'] == 'autoScaleEvaluationInterval'
    for interval in ('PT5M', 'P7D'):
        assert enable(interval).status_code == 200


def test_pool_whose_nodes_talk_to_each_other_has_one_kind_of_them(wire: Wire) -> None:
    talking = {**EMPTY_POOL, 'enableInterNodeCommunication': True, 'targetDedicatedNodes': 1}

    both = wire('POST', '/pools', {**talking, 'targetLowPriorityNodes': 1})
    one = wire('POST', '/pools', talking)

    assert details(both)['PropertyName'] == 'targetLowPriorityNodes'
    assert one.status_code == 201


def test_pool_needs_an_image_and_a_pool_that_scales_a_formula(wire: Wire) -> None:
    scaled = {**EMPTY_POOL, 'enableAutoScale': True}
    del scaled['targetDedicatedNodes']

    for body in ({'id': 'x', 'vmSize': 'standard_a1_v2'}, scaled):
        assert error_of(wire('POST', '/pools', body)) == (400, 'MissingRequiredProperty')


@pytest.mark.parametrize(
    ('refused', 'patch'),
    [
        ('maxParallelTasks', models.JobPatchParameter(max_parallel_tasks=0)),
        ('onAllTasksComplete', models.JobPatchParameter(on_all_tasks_complete='noaction')),
    ],
)
def test_patch_of_a_job_is_held_to_the_same_limits(
    client: BatchServiceClient, refused: str, patch: models.JobPatchParameter
) -> None:
    """A job that ends by itself goes on doing so."""
    client.job.add(a_job())
    client.task.add('job', a_task())
    client.job.patch('job', models.JobPatchParameter(on_all_tasks_complete='terminatejob'))
    patch.priority = 7

    call: Callable[..., object] = client.job.patch
    assert refusal(call, 'job', patch) == (400, 'InvalidPropertyValue'), refused

    job = client.job.get('job')
    assert (job.on_all_tasks_complete.value, job.priority) == ('terminatejob', 0)


def test_unknown_image_is_refused_with_its_names(wire: Wire) -> None:
    image = {'publisher': 'Canonical', 'offer': 'UbuntuServer', 'sku': '18.04-LTS'}

    answer = wire('POST', '/pools', changed(EMPTY_POOL, f'{MACHINE}/imageReference', image))

    assert error_of(answer) == (400, 'InvalidPropertyValue')
    assert details(answer)['Reason'] == (
        'The specified imageReference with publisher Canonical offer UbuntuServer sku 18.04-LTS is '
        'not supported.'
    )
