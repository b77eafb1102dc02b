"""Request bodies: known properties, their types, the service's limits and defaults.

Names and types are taken from the SDK's own model classes (SDK14: azure.batch.models, `_attribute_map` and
`_validation`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from functools import cache
from typing import Any, NamedTuple

import azure.batch.models

from .durations import SECOND, format_duration, parse_duration
from .errors import BatchError, invalid_property
from .images import IMAGES, VM_SIZES
from .model import NEVER

INT32 = 2**31 - 1
_ID = re.compile(r'[A-Za-z0-9_-]{1,64}')  # SDK14 PoolAddParameter.id, JobAddParameter.id, TaskAddParameter.id
# SDK15 (2025-06-01) has these no more; SDK14 (2024-02-01.19.0) does.
_ONLY_2024 = {
    *('applicationLicenses', 'certificateReferences', 'cloudServiceConfiguration', 'resourceTags'),
    *('targetNodeCommunicationMode', 'authenticationTokenSettings'),
}
# Known to the service, refused here with 501 rather than ignored.
_NOT_IMITATED = {
    *('cloudServiceConfiguration', 'certificateReferences', 'applicationPackageReferences', 'mountConfiguration'),
    *('containerConfiguration', 'containerSettings', 'autoPoolSpecification', 'jobManagerTask', 'jobPreparationTask'),
    *('jobReleaseTask', 'dependsOn', 'multiInstanceSettings', 'exitConditions', 'autoStorageContainerName'),
    *('identityReference', 'authenticationTokenSettings', 'autoScaleFormula', 'autoScaleEvaluationInterval'),
    'virtualMachineImageId',
}
# Sent in lower case, comes back like this (recorded traffic: POST /jobs/{id}/addtaskcollection, GET /pools/{id}).
_PASCAL_CASE = {
    'tasksuccess': 'TaskSuccess',
    'taskfailure': 'TaskFailure',
    'taskcompletion': 'TaskCompletion',
    'spread': 'Spread',
    'pack': 'Pack',
}


class _Property(NamedTuple):
    kind: str  # the SDK's type: 'str', 'int', '[ResourceFile]', 'VirtualMachineConfiguration', ...
    required: bool


@cache
def properties(model: str) -> dict[str, _Property]:
    """The properties of one SDK model by their wire names."""
    cls = getattr(azure.batch.models, model)
    return {
        entry['key']: _Property(entry['type'], bool(cls._validation.get(name, {}).get('required')))
        for name, entry in cls._attribute_map.items()
    }


def _model(name: str, value: object, kind: str, version: str) -> dict[str, Any]:
    known = properties(kind)
    if not isinstance(value, dict):
        raise BatchError('InvalidRequestBody', Reason=f'{name} must be an object')
    checked = {}
    for key, item in value.items():
        if key not in known or (key in _ONLY_2024 and version >= '2025'):
            raise BatchError(
                'InvalidRequestBody', Reason=f"The property '{key[:100]}' does not exist on type '{kind}'."
            )
        if item is None:
            continue
        if key in _NOT_IMITATED and item != []:
            raise BatchError('NotImplemented', f'The local Batch service does not imitate {kind}.{key}.')
        checked[key] = _value(key, item, known[key].kind, version)
    for key, (_, required) in known.items():
        if required and key not in checked:
            raise BatchError('MissingRequiredProperty', PropertyName=key)
    return checked


def _integer(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -INT32 - 1 <= value <= INT32:
        raise invalid_property(name, 'a 32-bit integer is expected', value)
    return value


def _duration(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise invalid_property(name, 'a duration is expected', value)
    try:
        ticks = parse_duration(value)
    except ValueError as error:
        raise invalid_property(name, 'the format is ISO 8601, e.g. PT5M', value) from error
    return format_duration(min(ticks, NEVER))


def _of_type(expected: type) -> Callable[[str, object], object]:
    def check(name: str, value: object) -> object:
        if not isinstance(value, expected):
            raise BatchError('InvalidRequestBody', Reason=f'{name} has a value of the wrong type')
        return value

    return check


_SCALARS: dict[str, Callable[[str, object], object]] = {
    'str': _of_type(str),
    'bool': _of_type(bool),
    'int': _integer,
    'duration': _duration,
    'object': lambda _, value: value,
}


def _value(name: str, value: object, kind: str, version: str) -> object:
    if kind in _SCALARS:
        return _SCALARS[kind](name, value)
    if kind.startswith('['):
        if not isinstance(value, list):
            raise BatchError('InvalidRequestBody', Reason=f'{name} must be a list')
        return [_value(name, item, kind[1:-1], version) for item in value]
    if kind.startswith('{'):
        return _of_type(dict)(name, value)
    cls = getattr(azure.batch.models, kind)
    if issubclass(cls, Enum):
        lowered = _of_type(str)(name, value).lower()  # type: ignore[attr-defined]
        if lowered not in {member.value for member in cls}:
            raise invalid_property(name, 'the value is not one of those allowed', value)
        return _PASCAL_CASE.get(lowered, lowered)
    return _model(name, value, kind, version)


def _require(name: str, value: object, good: bool, reason: str) -> None:
    if not good:
        raise invalid_property(name, reason, value)


def _check_id(spec: dict[str, Any]) -> None:
    _require('id', spec['id'], bool(_ID.fullmatch(spec['id'])), 'at most 64 letters, digits, hyphens and underscores')


def _between(spec: dict[str, Any], name: str, low: int, high: int = INT32) -> None:
    if name in spec:
        _require(name, spec[name], low <= spec[name] <= high, f'the value must be between {low} and {high}')


def _check_command(spec: dict[str, Any]) -> None:
    _require('commandLine', spec['commandLine'], bool(spec['commandLine'].strip()), 'the command line is empty')
    for setting in spec.get('environmentSettings', ()):
        name = setting['name']
        _require('environmentSettings', name, bool(name) and '=' not in name and '\0' not in name, 'not a valid name')
    for resource in spec.get('resourceFiles', ()):
        _check_resource_file(resource)
    spec.setdefault('userIdentity', {'autoUser': {}})
    if 'autoUser' in spec['userIdentity']:  # defaults: recorded traffic, GET /jobs/{id}/tasks
        spec['userIdentity']['autoUser'] = {
            'scope': 'pool',
            'elevationLevel': 'nonadmin',
            **spec['userIdentity']['autoUser'],
        }


def _check_resource_file(resource: dict[str, Any]) -> None:
    """SDK14 ResourceFile: exactly one source, a file path for a single file, no way out of the task's folder."""
    sources = [key for key in ('httpUrl', 'storageContainerUrl') if key in resource]
    _require('resourceFiles', sources, len(sources) == 1, 'specify exactly one of httpUrl and storageContainerUrl')
    path = resource.get('filePath', '')
    _require('filePath', path, bool(path) or sources == ['storageContainerUrl'], 'filePath is required with httpUrl')
    _require('filePath', path, '..' not in path.split('/') and not path.startswith('/'), 'the path must stay inside')
    _require('blobPrefix', '', sources == ['storageContainerUrl'] or 'blobPrefix' not in resource, 'not with httpUrl')


def pool(body: object, version: str) -> dict[str, Any]:
    """A checked PoolAddParameter with the defaults of recorded traffic.

    POST, then GET /pools/{id}, 2022-01-01.15.0.
    """
    spec = _model('pool', body, 'PoolAddParameter', version)
    _check_id(spec)
    spec['vmSize'] = spec['vmSize'].lower()  # recorded traffic: comes back in lower case
    size = VM_SIZES.get(spec['vmSize'])
    _require('vmSize', spec['vmSize'], size is not None, 'The specified VM size is not supported')
    assert size is not None
    if 'virtualMachineConfiguration' not in spec:
        raise BatchError('MissingRequiredProperty', PropertyName='virtualMachineConfiguration')
    if spec.get('enableAutoScale'):
        raise BatchError('NotImplemented', 'The local Batch service does not imitate enableAutoScale.')
    _check_image(spec['virtualMachineConfiguration'])
    _check_targets(spec)
    _between(spec, 'taskSlotsPerNode', 1, min(4 * size.cores, 256))  # SDK14 PoolAddParameter.task_slots_per_node
    if 'startTask' in spec:
        _check_command(spec['startTask'])
        _between(spec['startTask'], 'maxTaskRetryCount', -1)
        spec['startTask'] = {'maxTaskRetryCount': 0, 'waitForSuccess': True, **spec['startTask']}
    return {
        'resizeTimeout': 'PT15M',
        'targetDedicatedNodes': 0,
        'targetLowPriorityNodes': 0,
        'enableAutoScale': False,
        'enableInterNodeCommunication': False,
        'taskSlotsPerNode': 1,
        'taskSchedulingPolicy': {'nodeFillType': 'Spread'},
        **spec,
    }


def _check_targets(spec: dict[str, Any]) -> None:
    _between(spec, 'targetDedicatedNodes', 0)
    _between(spec, 'targetLowPriorityNodes', 0)
    if 'resizeTimeout' in spec:  # SDK14 PoolAddParameter.resize_timeout: at least 5 minutes
        ticks = parse_duration(spec['resizeTimeout'])
        _require('resizeTimeout', spec['resizeTimeout'], ticks >= 300 * SECOND, 'the minimum is 5 minutes')


def _check_image(configuration: dict[str, Any]) -> None:
    """REST reference, supported images: an image that is not in the list with this node agent is refused."""
    reference = configuration['imageReference']
    wanted = tuple(reference.get(key, '').lower() for key in ('publisher', 'offer', 'sku'))
    images = [image for image in IMAGES if (image.publisher, image.offer, image.sku) == wanted]
    _require('imageReference', '/'.join(wanted), bool(images), 'The image is not among the supported images')
    agent = configuration['nodeAgentSKUId'].lower()
    _require('nodeAgentSKUId', agent, any(i.agent == agent for i in images), 'The node agent does not fit the image')
    reference.setdefault('version', 'latest')  # recorded traffic: GET /pools/{id}


def pool_patch(body: object, version: str) -> dict[str, Any]:
    """A checked PoolPatchParameter; of its properties only the metadata is imitated."""
    spec = _model('pool', body, 'PoolPatchParameter', version)
    if spec.keys() - {'metadata'}:
        raise BatchError('NotImplemented', 'The local Batch service patches the metadata of a pool only.')
    return spec


def resize(body: object, version: str) -> dict[str, Any]:
    spec = _model('resize', body, 'PoolResizeParameter', version)
    _check_targets(spec)
    if 'targetDedicatedNodes' not in spec and 'targetLowPriorityNodes' not in spec:
        raise BatchError('MissingRequiredProperty', PropertyName='targetDedicatedNodes')
    if spec.get('nodeDeallocationOption') in ('taskcompletion', 'retaineddata'):
        raise BatchError('NotImplemented', 'The local Batch service imitates requeue and terminate only.')
    return {'nodeDeallocationOption': 'requeue', **spec}


def _check_job(spec: dict[str, Any]) -> None:
    _between(spec, 'priority', -1000, 1000)  # SDK14 JobAddParameter.priority
    _between(spec, 'maxParallelTasks', -1)
    if 'poolInfo' in spec and not spec['poolInfo'].get('poolId'):
        raise BatchError('MissingRequiredProperty', PropertyName='poolId')
    if 'constraints' in spec:
        spec['constraints'] = {
            'maxWallClockTime': format_duration(NEVER),
            'maxTaskRetryCount': 0,
            **spec['constraints'],
        }
        _between(spec['constraints'], 'maxTaskRetryCount', -1)


def job(body: object, version: str) -> dict[str, Any]:
    """A checked JobAddParameter with the defaults of recorded traffic (POST, then GET /jobs/{id}, 2022-01-01.15.0)."""
    spec = _model('job', body, 'JobAddParameter', version)
    _check_id(spec)
    spec.setdefault('constraints', {})
    _check_job(spec)
    for name in spec.get('commonEnvironmentSettings', ()):
        _require('commonEnvironmentSettings', name, bool(name['name']), 'not a valid name')
    return {
        'priority': 0,
        'maxParallelTasks': -1,
        'usesTaskDependencies': False,
        'allowTaskPreemption': False,
        'onAllTasksComplete': 'noaction',
        'onTaskFailure': 'noaction',
        **spec,
    }


def job_patch(body: object, version: str) -> dict[str, Any]:
    spec = _model('job', body, 'JobPatchParameter', version)
    _check_job(spec)
    return spec


def terminate_reason(body: object, version: str) -> str:
    """The caller's text, or UserTerminate without one.

    Recorded traffic: POST /jobs/{id}/terminate with an empty body.
    """
    spec = _model('terminate', body, 'JobTerminateParameter', version) if body is not None else {}
    return str(spec.get('terminateReason') or 'UserTerminate')


def task(body: object, version: str) -> dict[str, Any]:
    """A checked TaskAddParameter; what depends on its job (retries) is filled in when it is added."""
    spec = _model('task', body, 'TaskAddParameter', version)
    _check_id(spec)
    _check_command(spec)
    _between(spec, 'requiredSlots', 1)
    _between(spec.get('constraints', {}), 'maxTaskRetryCount', -1)
    for output in spec.get('outputFiles', ()):
        _require('outputFiles', output['filePattern'], bool(output['filePattern']), 'the file pattern is empty')
        if 'container' not in output['destination']:
            raise BatchError('MissingRequiredProperty', PropertyName='container')
        upload = output['uploadOptions']
        upload.setdefault('uploadCondition', 'TaskCompletion')
    return {'requiredSlots': 1, **spec}


def task_collection(body: object) -> list[object]:
    """The tasks of one collection, not yet checked: each gets its own result.

    SDK14 task.add_collection: at most 100.
    """
    if not isinstance(body, dict) or not isinstance(body.get('value'), list):
        raise BatchError('InvalidRequestBody', Reason='an object with a list named value is expected')
    tasks: list[object] = body['value']
    _require('value', len(tasks), len(tasks) <= 100, 'a collection has at most 100 tasks')
    return tasks
