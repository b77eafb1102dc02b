"""Request bodies: known properties, their types, the service's limits and defaults.

Names and types, and what is required, are those of the SDK's own model classes (SDK14: azure.batch.models).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from functools import cache, partial
from typing import Any

import azure.batch.models

from tests.local_azure.batch.errors import BatchError, invalid_property
from tests.local_azure.batch.images import VM_SIZES, image_of
from tests.local_azure.batch.model import NEVER
from tests.local_azure.batch.times import SECOND, format_duration, parse_duration

_INT32 = 2**31 - 1
# SDK15 (2025-06-01) has these no more; SDK14 (2024-02-01.19.0) does.
_ONLY_2024 = {
    *('applicationLicenses', 'certificateReferences', 'cloudServiceConfiguration', 'resourceTags'),
    *('targetNodeCommunicationMode', 'authenticationTokenSettings'),
}
# Known to the service, refused here with 501 rather than ignored.
_NOT_IMITATED = {
    *(
        'cloudServiceConfiguration',
        'certificateReferences',
        'applicationPackageReferences',
        'mountConfiguration',
    ),
    *(
        'containerConfiguration',
        'containerSettings',
        'autoPoolSpecification',
        'jobManagerTask',
        'jobPreparationTask',
    ),
    *(
        'jobReleaseTask',
        'dependsOn',
        'multiInstanceSettings',
        'exitConditions',
        'autoStorageContainerName',
    ),
    *(
        'identityReference',
        'authenticationTokenSettings',
        'autoScaleFormula',
        'autoScaleEvaluationInterval',
    ),
    *(
        'virtualMachineImageId',
        'PoolPatchParameter.startTask',
        'PoolPatchParameter.targetNodeCommunicationMode',
    ),
    *('uploadHeaders', 'extensions', 'dataDisks', 'windowsConfiguration'),
}
_SIMPLE = {'str': str, 'bool': bool, 'object': object, '{str}': dict}
_ALSO_REQUIRED = {
    'PoolAddParameter': 'virtualMachineConfiguration',
    'PoolInformation': 'poolId',
    'OutputFileDestination': 'container',
}
_USER = {'autoUser': {'scope': 'pool', 'elevationLevel': 'nonadmin'}}
# Recorded traffic: POST, then GET /pools/{id}, /jobs/{id}, /jobs/{id}/tasks, 2022-01-01.15.0.
_DEFAULTS: dict[str, dict[str, Any]] = {
    'PoolAddParameter': {
        'resizeTimeout': 'PT15M',
        **{'targetDedicatedNodes': 0, 'targetLowPriorityNodes': 0, 'taskSlotsPerNode': 1},
        **{'enableAutoScale': False, 'enableInterNodeCommunication': False},
        'taskSchedulingPolicy': {'nodeFillType': 'Spread'},
    },
    'PoolResizeParameter': {'nodeDeallocationOption': 'requeue'},
    'StartTask': {'maxTaskRetryCount': 0, 'waitForSuccess': True, 'userIdentity': _USER},
    'ImageReference': {'version': 'latest'},
    'JobAddParameter': {
        'constraints': {'maxWallClockTime': format_duration(NEVER), 'maxTaskRetryCount': 0},
        **{
            'priority': 0,
            'maxParallelTasks': -1,
            'usesTaskDependencies': False,
            'allowTaskPreemption': False,
        },
        **{'onAllTasksComplete': 'noaction', 'onTaskFailure': 'noaction'},
    },
    'JobConstraints': {'maxWallClockTime': format_duration(NEVER), 'maxTaskRetryCount': 0},
    'TaskAddParameter': {'requiredSlots': 1, 'userIdentity': _USER},
    'AutoUserSpecification': _USER['autoUser'],
}
# Sent in lower case, comes back like this (recorded traffic: POST /jobs/{id}/addtaskcollection, GET /pools/{id}).
_PASCAL_CASE = {
    name.lower(): name
    for name in ('TaskSuccess', 'TaskFailure', 'TaskCompletion', 'Spread', 'Pack')
}


def _between(low: int, high: int = _INT32) -> tuple[Callable[[Any], object], str]:
    return lambda value: low <= value <= high, f'the value must be between {low} and {high}'


_LIMITS: dict[str, tuple[Callable[[Any], object], str]] = {  # SDK14: the docs of these properties
    'id': (
        re.compile(r'[A-Za-z0-9_-]{1,64}').fullmatch,
        'at most 64 letters, digits, hyphens and underscores',
    ),
    'fileMode': (
        re.compile('[0-7]{3,4}').fullmatch,
        'an octal number of 3 or 4 digits is expected',
    ),
    'vmSize': (lambda size: size.lower() in VM_SIZES, 'The specified VM size is not supported'),
    'resizeTimeout': (
        lambda duration: parse_duration(duration) >= 300 * SECOND,
        'the minimum is 5 minutes',
    ),
    **dict.fromkeys(('targetDedicatedNodes', 'targetLowPriorityNodes'), _between(0)),
    **dict.fromkeys(('maxParallelTasks', 'maxTaskRetryCount'), _between(-1)),
    **dict.fromkeys(('requiredSlots', 'taskSlotsPerNode'), _between(1)),
    'priority': _between(-1000, 1000),
    **dict.fromkeys(('commandLine', 'filePattern', 'poolId'), (str.strip, 'the value is empty')),
}


@cache
def properties(kind: str) -> dict[str, str]:
    """The types of a model's properties, by their names on the wire."""
    return {
        entry['key']: entry['type']
        for entry in getattr(azure.batch.models, kind)._attribute_map.values()
    }


@cache
def _required(kind: str) -> list[str]:
    model, more = getattr(azure.batch.models, kind), _ALSO_REQUIRED.get(kind)
    required = {
        name for name, validation in model._validation.items() if validation.get('required')
    }
    return [
        entry['key']
        for name, entry in model._attribute_map.items()
        if name in required or entry['key'] == more
    ]


def _check(kind: str, body: object, version: str) -> dict[str, Any]:
    """A body of this model, checked, with defaults."""
    types, given = properties(kind), _typed(dict, kind, body)
    for key, item in given.items():
        if key not in types or (key in _ONLY_2024 and version >= '2025'):
            reason = f"The property '{key[:100]}' does not exist on type '{kind}'."
            raise BatchError('InvalidRequestBody', Reason=reason)
        if item is not None and item != [] and {key, f'{kind}.{key}'} & _NOT_IMITATED:
            raise BatchError(
                'NotImplemented', f'The local Batch service does not imitate {kind}.{key}.'
            )
    if missing := [key for key in _required(kind) if given.get(key) is None]:
        raise BatchError('MissingRequiredProperty', PropertyName=missing[0])
    spec = dict(_DEFAULTS.get(kind, {}))
    for key, item in given.items():
        if item is not None:
            spec[key] = _value(types[key], key, item, version)
            good, reason = _LIMITS.get(key, (None, ''))
            _require(not good or good(spec[key]), key, reason, spec[key])
    if rule := _RULES.get(kind):
        rule(spec)
    return {key: spec[key] for key in types if key in spec}


def _require(good: object, name: str, reason: str, value: object) -> None:
    if not good:
        raise invalid_property(name, reason, value)


def _typed(expected: type, name: str, value: object) -> Any:
    if not isinstance(value, expected):
        raise BatchError('InvalidRequestBody', Reason=f'{name} has a value of the wrong type')
    return value


def _value(kind: str, name: str, value: object, version: str) -> object:
    """A value of a type as the SDK writes it: 'int', '[ResourceFile]', '{str}', an enum's or a model's name."""
    if kind.startswith('['):
        return [_value(kind[1:-1], name, item, version) for item in _typed(list, name, value)]
    if kind in _SIMPLE:
        return _typed(_SIMPLE[kind], name, value)
    if kind == 'int':
        good = (
            isinstance(value, int)
            and not isinstance(value, bool)
            and -_INT32 - 1 <= value <= _INT32
        )
        _require(good, name, 'a 32-bit integer is expected', value)
        return value
    if kind == 'duration':
        try:
            return format_duration(min(parse_duration(str(value)), NEVER))
        except ValueError as error:
            raise invalid_property(name, 'the format is ISO 8601, e.g. PT5M', value) from error
    model = getattr(azure.batch.models, kind)
    if issubclass(model, Enum):
        lowered = _typed(str, name, value).lower()
        _require(
            lowered in {member.value for member in model},
            name,
            'the value is not one of those allowed',
            value,
        )
        return _PASCAL_CASE.get(lowered, lowered)
    return _check(kind, value, version)


# What the values of several properties say about each other


def _pool(spec: dict[str, Any]) -> None:
    if spec['enableAutoScale']:
        raise BatchError(
            'NotImplemented', 'The local Batch service does not imitate enableAutoScale.'
        )
    spec['vmSize'] = spec['vmSize'].lower()  # recorded traffic: comes back in lower case
    slots, most = spec['taskSlotsPerNode'], min(4 * VM_SIZES[spec['vmSize']].cores, 256)
    _require(slots <= most, 'taskSlotsPerNode', f'at most {most} with this VM size', slots)


def _job(spec: dict[str, Any]) -> None:
    if spec.get('onTaskFailure', 'noaction') != 'noaction' or spec.get('allowTaskPreemption'):
        text = 'The local Batch service imitates neither onTaskFailure, but for noaction, nor allowTaskPreemption.'
        raise BatchError('NotImplemented', text)


def _resize(spec: dict[str, Any]) -> None:
    if not {'targetDedicatedNodes', 'targetLowPriorityNodes'} & spec.keys():
        raise BatchError('MissingRequiredProperty', PropertyName='targetDedicatedNodes')
    if spec['nodeDeallocationOption'] not in ('requeue', 'terminate'):
        raise BatchError(
            'NotImplemented', 'The local Batch service imitates requeue and terminate only.'
        )


def _machine(spec: dict[str, Any]) -> None:
    """REST reference, supported images: an image that is not in the list with this node agent is refused."""
    reference, agent = spec['imageReference'], spec['nodeAgentSKUId'].lower()
    image = image_of(reference)
    _require(image, 'imageReference', 'The image is not among the supported images', reference)
    _require(
        image and image.agent == agent,
        'nodeAgentSKUId',
        'The node agent does not fit the image',
        agent,
    )


def _environment(spec: dict[str, Any]) -> None:
    name = spec['name']
    _require(
        name and '=' not in name and '\0' not in name,
        'environmentSettings',
        'not a valid name',
        name,
    )


def _resource_file(spec: dict[str, Any]) -> None:
    """SDK14 ResourceFile: exactly one source, a file path for a single file, no way out of the task's folder."""
    path, single, many = spec.get('filePath', ''), 'httpUrl' in spec, 'storageContainerUrl' in spec
    _require(
        single != many,
        'resourceFiles',
        'specify exactly one of httpUrl and storageContainerUrl',
        None,
    )
    _require(path or many, 'filePath', 'filePath is required with httpUrl', path)
    _require(
        '..' not in path.split('/') and not path.startswith('/'),
        'filePath',
        'the path must stay inside',
        path,
    )
    _require(many or 'blobPrefix' not in spec, 'blobPrefix', 'not with httpUrl', None)


_RULES = {
    'PoolAddParameter': _pool,
    'PoolResizeParameter': _resize,
    **dict.fromkeys(('JobAddParameter', 'JobPatchParameter'), _job),
    'VirtualMachineConfiguration': _machine,
    'EnvironmentSetting': _environment,
    'ResourceFile': _resource_file,
}


# Bodies of requests

pool = partial(_check, 'PoolAddParameter')
pool_patch = partial(_check, 'PoolPatchParameter')
resize = partial(_check, 'PoolResizeParameter')
job = partial(_check, 'JobAddParameter')
job_patch = partial(_check, 'JobPatchParameter')
task = partial(
    _check, 'TaskAddParameter'
)  # what depends on its job (retries) is filled in when it is added


def terminate_reason(body: object, version: str) -> str:
    """The caller's text, or UserTerminate without one (recorded traffic: POST /jobs/{id}/terminate, empty body)."""
    spec = _check('JobTerminateParameter', {} if body is None else body, version)
    return str(spec.get('terminateReason') or 'UserTerminate')


def task_collection(body: object) -> list[Any]:
    """The tasks of one collection, not yet checked: each gets its own result."""
    if not isinstance(body, dict) or not isinstance(body.get('value'), list):
        raise BatchError(
            'InvalidRequestBody', Reason='an object with a list named value is expected'
        )
    tasks: list[Any] = body['value']
    _require(
        len(tasks) <= 100, 'value', 'a collection has at most 100 tasks', len(tasks)
    )  # SDK14 task.add_collection
    return tasks
