"""What the values of several properties of a request body mean together, and what they default to.

A rule gets the values that were read, which it may add to, and the API version of the request.
"""

from __future__ import annotations

from typing import Any

from tests.local_azure.batch import documented_limits
from tests.local_azure.batch.api_versions import START_TASK_IS_WAITED_FOR
from tests.local_azure.batch.errors import BatchError, invalid_property, not_imitated
from tests.local_azure.batch.images_and_sizes import VM_SIZES, image_of, is_known_image

Spec = dict[str, Any]

MAX_REMOVED_NODES = 100


def pool(spec: Spec, _: str) -> None:
    if 'maxTasksPerNode' in spec:  # the name of taskSlotsPerNode before 2020-09-01.12.0
        spec['taskSlotsPerNode'] = spec.pop('maxTasksPerNode')
    spec.setdefault('taskSlotsPerNode', 1)
    spec['vmSize'] = spec['vmSize'].lower()  # it comes back so (recorded traffic)

    _check_scaling(spec)
    _check_limits_of_pool(spec)
    spec.setdefault('targetDedicatedNodes', 0)
    spec.setdefault('targetLowPriorityNodes', 0)
    check_slots(spec['taskSlotsPerNode'], spec['vmSize'])


def _check_scaling(spec: Spec) -> None:
    """SDK14 PoolAddParameter: numbers of nodes or a formula, and not both. The codes are ours."""
    if spec['enableAutoScale']:
        word = 'true'
        forbidden = ('targetDedicatedNodes', 'targetLowPriorityNodes')
    else:
        word = 'false'
        forbidden = ('autoScaleFormula', 'autoScaleEvaluationInterval')

    reason = f'The property must not be specified if enableAutoScale is {word}'
    for name in forbidden:
        if name in spec:
            raise invalid_property(name, reason, spec[name])
    if spec['enableAutoScale'] and not spec.get('autoScaleFormula'):
        raise BatchError('MissingRequiredProperty', PropertyName='autoScaleFormula')


def _check_limits_of_pool(spec: Spec) -> None:
    documented_limits.check_display_name(spec)
    documented_limits.check_user_accounts(spec)
    documented_limits.check_ports(spec)
    documented_limits.check_kinds_of_nodes(spec)


def pool_patch(spec: Spec, _: str) -> None:
    _check_limits_of_pool(spec)
    if 'vmSize' in spec:
        spec['vmSize'] = spec['vmSize'].lower()


def check_slots(slots: int, vm_size: str) -> None:
    """SDK14 PoolAddParameter.task_slots_per_node: four for each core, 256 at most."""
    size = VM_SIZES[vm_size]
    most = min(4 * size.cores, 256)
    if slots > most:
        reason = f'at most {most} with this VM size'
        raise invalid_property('taskSlotsPerNode', reason, slots)


def resize(spec: Spec, _: str) -> None:
    has_dedicated = 'targetDedicatedNodes' in spec
    has_low_priority = 'targetLowPriorityNodes' in spec
    if not has_dedicated and not has_low_priority:
        raise BatchError('MissingRequiredProperty', PropertyName='targetDedicatedNodes')

    _check_deallocation(spec)


def remove_nodes(spec: Spec, _: str) -> None:
    """SDK14 NodeRemoveParameter.node_list."""
    _check_deallocation(spec)
    nodes = spec['nodeList']
    if not 1 <= len(nodes) <= MAX_REMOVED_NODES:
        reason = f'between 1 and {MAX_REMOVED_NODES} nodes are expected'
        raise invalid_property('nodeList', reason, len(nodes))


def _check_deallocation(spec: Spec) -> None:
    option = spec['nodeDeallocationOption']
    if option == 'retaineddata':
        raise not_imitated(f'the nodeDeallocationOption {option}')


def job(spec: Spec, _: str) -> None:
    documented_limits.check_display_name(spec)
    documented_limits.check_parallel_tasks(spec)
    if spec.get('onTaskFailure', 'noaction') != 'noaction':
        raise not_imitated('onTaskFailure, but for noaction')
    if spec.get('allowTaskPreemption'):
        raise not_imitated('allowTaskPreemption')


def network(spec: Spec, _: str) -> None:
    """No virtual network exists here.

    The reason: azure-sdk-for-net, integration tests of pools with a network configuration.
    """
    if 'subnetId' in spec:
        reason = (
            'Either the specified VNet does not exist, or the Batch service does not have access '
            'to it'
        )
        raise invalid_property('subnetId', reason, spec['subnetId'])


def virtual_machine(spec: Spec, _: str) -> None:
    """An image must be offered, and the node agent must be that of the image.

    REST reference, supported images; the reason for an unknown image is quoted by users.
    """
    reference = spec['imageReference']
    image = image_of(reference)
    publisher = reference.get('publisher')
    offer = reference.get('offer')
    sku = reference.get('sku')
    if image is None:
        if is_known_image(reference):
            raise not_imitated(f'the image {publisher} {offer} {sku}')
        reason = (
            f'The specified imageReference with publisher {publisher} offer {offer} sku {sku} is '
            'not supported.'
        )
        raise invalid_property('imageReference', reason)

    agent = spec['nodeAgentSKUId']
    if agent.lower() != image.agent:
        reason = 'The node agent does not fit the image'
        raise invalid_property('nodeAgentSKUId', reason, agent)


def environment_setting(spec: Spec, _: str) -> None:
    name = spec['name']
    if not name or '=' in name or '\0' in name:
        raise invalid_property('environmentSettings', 'not a valid name', name)


def resource_file(spec: Spec, _: str) -> None:
    """SDK14 ResourceFile: exactly one source, and no way out of the task's folder."""
    path = spec.get('filePath', '')
    is_blob = 'httpUrl' in spec
    is_container = 'storageContainerUrl' in spec

    if is_blob == is_container:
        reason = 'specify exactly one of httpUrl and storageContainerUrl'
        raise invalid_property('resourceFiles', reason)
    if is_blob and not path:
        raise invalid_property('filePath', 'filePath is required with httpUrl', path)
    if '..' in path.split('/') or path.startswith('/'):
        raise invalid_property('filePath', 'the path must stay inside', path)
    if is_blob and 'blobPrefix' in spec:
        raise invalid_property('blobPrefix', 'not with httpUrl')


def start_task(spec: Spec, version: str) -> None:
    spec.setdefault('waitForSuccess', version >= START_TASK_IS_WAITED_FOR)
    user_of_task(spec, version)


def task(spec: Spec, version: str) -> None:
    documented_limits.check_display_name(spec)
    user_of_task(spec, version)


def user_of_task(spec: Spec, version: str) -> None:
    documented_limits.check_user_identity(spec)
    auto_user: Spec = {}
    auto_user_of_task(auto_user, version)
    spec.setdefault('userIdentity', {'autoUser': auto_user})


def auto_user_of_task(spec: Spec, version: str) -> None:
    """Recorded traffic: without a scope in 2019-06-01.9.0, with it in 2022-01-01.15.0."""
    if version >= START_TASK_IS_WAITED_FOR:
        spec.setdefault('scope', 'pool')
    spec.setdefault('elevationLevel', 'nonadmin')
