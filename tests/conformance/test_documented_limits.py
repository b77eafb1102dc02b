"""Bodies that the service refuses though each value has the right type: 400 with the property.

Azure says so in the models of azure-batch 14.2.0, but for the kinds of nodes: Azure/aztk issue 172.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import azure.batch.models as models
import pytest
from azure.batch import BatchServiceClient

from .conftest import a_job, a_pool, a_task

ADMIN = models.AutoUserSpecification(elevation_level='admin')
LONGEST_NAME = 'é' * 1024


def refused_property(call: Callable[..., object], *arguments: object) -> str:
    """Which property an InvalidPropertyValue names."""
    with pytest.raises(models.BatchErrorException) as caught:
        call(*arguments)
    error: Any = caught.value.error
    assert (caught.value.response.status_code, error.code) == (400, 'InvalidPropertyValue')
    details = {detail.key: detail.value for detail in error.values}
    return str(details['PropertyName'])


def a_nat_pool(backend: int = 80, first: int = 1000, last: int = 1100) -> models.InboundNATPool:
    return models.InboundNATPool(
        name='web',
        protocol='tcp',
        backend_port=backend,
        frontend_port_range_start=first,
        frontend_port_range_end=last,
    )


def a_pool_with_nat(nat_pool: models.InboundNATPool) -> models.PoolAddParameter:
    endpoints = models.PoolEndpointConfiguration(inbound_nat_pools=[nat_pool])
    network = models.NetworkConfiguration(endpoint_configuration=endpoints)
    return a_pool(network_configuration=network)


def a_pool_with_user(**ids: Any) -> models.PoolAddParameter:
    account = models.UserAccount(
        name='ada',
        password='Secret1!',
        linux_user_configuration=models.LinuxUserConfiguration(**ids),
    )
    return a_pool(user_accounts=[account])


def test_display_name_has_at_most_1024_characters(client: BatchServiceClient) -> None:
    client.pool.add(a_pool(display_name=LONGEST_NAME))
    client.job.add(a_job(display_name=LONGEST_NAME))
    client.task.add('job', a_task(display_name=LONGEST_NAME))

    longer = f'{LONGEST_NAME}é'
    assert refused_property(client.pool.add, a_pool('p', display_name=longer)) == 'displayName'
    assert refused_property(client.job.add, a_job('j', display_name=longer)) == 'displayName'
    task = a_task('t', display_name=longer)
    assert refused_property(client.task.add, 'job', task) == 'displayName'


def test_number_of_parallel_tasks_is_not_0(client: BatchServiceClient) -> None:
    client.job.add(a_job(max_parallel_tasks=1))

    added = refused_property(client.job.add, a_job('other', max_parallel_tasks=0))
    patch = models.JobPatchParameter(max_parallel_tasks=0)
    patched = refused_property(client.job.patch, 'job', patch)

    assert (added, patched) == ('maxParallelTasks', 'maxParallelTasks')


def test_job_that_ends_by_itself_goes_on_doing_so(client: BatchServiceClient) -> None:
    client.job.add(a_job())
    client.task.add('job', a_task())
    client.job.patch('job', models.JobPatchParameter(on_all_tasks_complete='terminatejob'))

    patch = models.JobPatchParameter(on_all_tasks_complete='noaction', priority=7)
    name = refused_property(client.job.patch, 'job', patch)

    job = client.job.get('job')
    assert name == 'onAllTasksComplete'
    assert (job.on_all_tasks_complete.value, job.priority) == ('terminatejob', 0)


@pytest.mark.parametrize(
    'identity',
    [models.UserIdentity(), models.UserIdentity(user_name='ada', auto_user=ADMIN)],
    ids=['neither', 'both'],
)
def test_user_identity_is_either_a_name_or_an_auto_user(
    client: BatchServiceClient, identity: models.UserIdentity
) -> None:
    client.job.add(a_job())
    start = models.StartTask(command_line='true', user_identity=identity)

    of_task = refused_property(client.task.add, 'job', a_task(user_identity=identity))
    of_start_task = refused_property(client.pool.add, a_pool(start_task=start))

    assert (of_task, of_start_task) == ('userIdentity', 'userIdentity')


@pytest.mark.parametrize('name', ['uid', 'gid'])
def test_uid_and_gid_come_together(client: BatchServiceClient, name: str) -> None:
    assert refused_property(client.pool.add, a_pool_with_user(**{name: 1001})) == name

    client.pool.add(a_pool_with_user(uid=1001, gid=1001))


@pytest.mark.parametrize('port', [22, 3389, 29876, 29877])
def test_backend_ports_of_batch_are_refused(client: BatchServiceClient, port: int) -> None:
    assert refused_property(client.pool.add, a_pool_with_nat(a_nat_pool(port))) == 'backendPort'


@pytest.mark.parametrize(
    ('first', 'last', 'name'),
    [
        (50_000, 50_100, 'frontendPortRangeStart'),
        (55_000, 55_100, 'frontendPortRangeStart'),
        (49_900, 50_000, 'frontendPortRangeEnd'),
        (49_900, 60_000, 'frontendPortRangeEnd'),
    ],
)
def test_frontend_ports_of_batch_are_refused(
    client: BatchServiceClient, first: int, last: int, name: str
) -> None:
    pool = a_pool_with_nat(a_nat_pool(first=first, last=last))

    assert refused_property(client.pool.add, pool) == name


@pytest.mark.parametrize(('first', 'last'), [(49_900, 49_999), (55_001, 55_100)])
def test_frontend_ports_beside_those_of_batch_are_accepted(
    client: BatchServiceClient, first: int, last: int
) -> None:
    client.pool.add(a_pool_with_nat(a_nat_pool(first=first, last=last)))


def test_pool_whose_nodes_talk_to_each_other_has_one_kind_of_them(
    client: BatchServiceClient,
) -> None:
    numbers: dict[str, Any] = {'target_dedicated_nodes': 1, 'target_low_priority_nodes': 1}
    both = a_pool(enable_inter_node_communication=True, **numbers)

    assert refused_property(client.pool.add, both) == 'targetLowPriorityNodes'

    client.pool.add(a_pool('silent', **numbers))
    client.pool.add(a_pool(enable_inter_node_communication=True, target_dedicated_nodes=2))
