"""What the service refuses in a body although each value has the right type: 400 and the property.

Limits that the models of azure-batch 14.2.0 state (SDK14), but for the kinds of nodes. A check gets
the object that has the property.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.local_azure.batch.errors import BatchError, invalid_property

Spec = Mapping[str, Any]

LONGEST_DISPLAY_NAME = 1024  # characters
RESERVED_BACKEND_PORTS = (22, 3389, 29876, 29877)
RESERVED_FRONTEND_PORTS = range(50_000, 55_001)


def check_display_name(spec: Spec) -> None:
    """SDK14 PoolAddParameter, JobAddParameter and TaskAddParameter.display_name."""
    name = spec.get('displayName', '')
    if len(name) > LONGEST_DISPLAY_NAME:
        raise invalid_property('displayName', f'at most {LONGEST_DISPLAY_NAME} characters', name)


def check_parallel_tasks(spec: Spec) -> None:
    """SDK14 JobAddParameter.max_parallel_tasks."""
    if spec.get('maxParallelTasks') == 0:
        reason = 'the value must be -1 or greater than 0'
        raise invalid_property('maxParallelTasks', reason, 0)


def check_user_identity(spec: Spec) -> None:
    """SDK14 UserIdentity: exactly one of its two properties."""
    identity = spec.get('userIdentity')
    if identity is None:
        return
    if ('username' in identity) == ('autoUser' in identity):
        raise invalid_property('userIdentity', 'specify exactly one of username and autoUser')


def check_user_accounts(spec: Spec) -> None:
    """SDK14 LinuxUserConfiguration.uid and gid."""
    for account in spec.get('userAccounts', ()):
        configuration = account.get('linuxUserConfiguration', {})
        for given, missing in (('uid', 'gid'), ('gid', 'uid')):
            if given in configuration and missing not in configuration:
                reason = 'uid and gid must be specified together or not at all'
                raise invalid_property(given, reason, configuration[given])


def check_ports(spec: Spec) -> None:
    """SDK14 InboundNATPool.backend_port, frontend_port_range_start and frontend_port_range_end."""
    network = spec.get('networkConfiguration', {})
    endpoints = network.get('endpointConfiguration', {})
    for nat_pool in endpoints.get('inboundNATPools', ()):
        backend = nat_pool['backendPort']
        if backend in RESERVED_BACKEND_PORTS:
            raise invalid_property('backendPort', 'The port is reserved', backend)

        first = nat_pool['frontendPortRangeStart']
        last = nat_pool['frontendPortRangeEnd']
        if first in RESERVED_FRONTEND_PORTS:
            raise invalid_property('frontendPortRangeStart', 'The port is reserved', first)
        if first < RESERVED_FRONTEND_PORTS.start <= last:
            raise invalid_property('frontendPortRangeEnd', 'The range has reserved ports', last)


def check_kinds_of_nodes(spec: Spec) -> None:
    """One kind only where nodes talk to each other (Azure/aztk issues 172 and 226: the text).

    Which code it has, and which property it names, is ours.
    """
    dedicated = spec.get('targetDedicatedNodes', 0)
    low_priority = spec.get('targetLowPriorityNodes', 0)
    if spec.get('enableInterNodeCommunication') and dedicated and low_priority:
        text = (
            'Pool cannot have both TargetDedicatedNodes and TargetLowPriorityNodes specified if '
            'communication is enabled.'
        )
        raise BatchError(
            'InvalidPropertyValue', text, PropertyName='targetLowPriorityNodes', Reason=text
        )


def check_completion(present: str, wanted: str) -> None:
    """SDK14 JobPatchParameter.on_all_tasks_complete: once engaged, it is not turned off."""
    if present == 'terminatejob' and wanted == 'noaction':
        reason = 'The value cannot be changed from terminatejob to noaction'
        raise invalid_property('onAllTasksComplete', reason, wanted)
