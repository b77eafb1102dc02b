"""The objects in request bodies: what azure-batch's models say, and what they do not say.

The models of 14.2.0 give names, types and what is required (`shape_of`). Here stand limits, which
they only mention; what other versions of the API know, from the models of azure-batch 6.0.0 to
15.1.0 (what came with 2024-07-01.20.0 or 2025-06-01 is taken from the first of the two on); what is
not imitated; and defaults: recorded traffic, POST and then GET /pools/{id}, /jobs/{id} and
/jobs/{id}/tasks, 2022-01-01.15.0.
"""

from __future__ import annotations

import re

from tests.local_azure.batch import api_versions, request_rules
from tests.local_azure.batch.images_and_sizes import VM_SIZES
from tests.local_azure.batch.model import NEVER
from tests.local_azure.batch.model_shapes import shape_of
from tests.local_azure.batch.property_types import (
    BOOLEAN,
    TEXTS,
    AnyObject,
    Duration,
    Integer,
    ListOf,
    OneOf,
    Text,
)
from tests.local_azure.batch.time_formats import format_duration

_SDK12 = '2022-01-01.15.0'
_SDK13 = '2022-10-01.16.0'
_SDK14_0 = '2023-05-01.17.0'
_SDK14_1 = '2023-11-01.18.0'
_SDK14_2 = '2024-02-01.19.0'
_SDK15 = '2024-07-01.20.0'
_DROPPED_BY_SDK15 = '2025-06-01'

_FIVE_MINUTES = 5 * 60
_SEVEN_DAYS = 168 * 3600


def _is_vm_size(text: str) -> bool:
    return text.lower() in VM_SIZES


# Values with limits

ID = Text(
    re.compile(r'[A-Za-z0-9_-]{1,64}').fullmatch,
    'at most 64 letters, digits, hyphens and underscores',
)
FILE_MODE = Text(
    re.compile('[0-7]{3,4}').fullmatch,
    'an octal number of 3 or 4 digits is expected',
)
NOT_EMPTY = Text(str.strip, 'the value is empty')
VM_SIZE = Text(_is_vm_size, 'The specified VM size is not supported')
RESIZE_TIMEOUT = Duration(_FIVE_MINUTES, reason='the minimum is 5 minutes')
AUTOSCALE_INTERVAL = Duration(
    _FIVE_MINUTES, _SEVEN_DAYS, 'The value must be between 5 minutes and 168 hours'
)
NODE_COUNT = Integer(0)
SLOTS = Integer(1)
RETRIES = Integer(-1)  # -1: no limit
PARALLEL_TASKS = Integer(-1)  # -1: no limit
PRIORITY = Integer(-1000, 1000)

# Parts of several bodies

METADATA = ListOf(shape_of('MetadataItem'))

ENVIRONMENT_SETTING = shape_of('EnvironmentSetting', rule=request_rules.environment_setting)
ENVIRONMENT = ListOf(ENVIRONMENT_SETTING)

RESOURCE_FILE = shape_of(
    'ResourceFile',
    {'fileMode': FILE_MODE},
    not_imitated=('autoStorageContainerName', 'identityReference'),
    rule=request_rules.resource_file,
)
RESOURCE_FILES = ListOf(RESOURCE_FILE)

AUTO_USER = shape_of('AutoUserSpecification', rule=request_rules.auto_user_of_task)
USER_IDENTITY = shape_of('UserIdentity', {'autoUser': AUTO_USER})

START_TASK = shape_of(
    'StartTask',
    {
        'commandLine': NOT_EMPTY,
        'resourceFiles': RESOURCE_FILES,
        'environmentSettings': ENVIRONMENT,
        'userIdentity': USER_IDENTITY,
        'maxTaskRetryCount': RETRIES,
    },
    not_imitated=('containerSettings',),
    defaults={'maxTaskRetryCount': 0},
    rule=request_rules.start_task,
)

# The machines of a pool. What is imitated here, but for the image, concerns Azure's disks, network,
# users and updates only: it is kept and shown, and changes nothing.

IMAGE_REFERENCE = shape_of(
    'ImageReference',
    not_imitated=('virtualMachineImageId', 'sharedGalleryImageId', 'communityGalleryImageId'),
    defaults={'version': 'latest'},
    since={
        'sharedGalleryImageId': _SDK15,
        'communityGalleryImageId': _SDK15,
    },
)

_MANAGED_DISK = shape_of(
    'ManagedDisk',
    {
        'diskEncryptionSet': AnyObject(),
        'securityProfile': AnyObject(),
    },
    since={
        'diskEncryptionSet': _SDK15,
        'securityProfile': _SDK15,
    },
)

_OS_DISK = shape_of(
    'OSDisk',
    {'managedDisk': _MANAGED_DISK},
    since={
        'caching': _SDK14_1,
        'diskSizeGB': _SDK14_1,
        'managedDisk': _SDK14_1,
        'writeAcceleratorEnabled': _SDK14_1,
    },
)

_DISK_ENCRYPTION = shape_of(
    'DiskEncryptionConfiguration',
    {'customerManagedKey': AnyObject()},
    since={'customerManagedKey': _SDK15},
)

_SECURITY_PROFILE = shape_of(
    'SecurityProfile',
    {
        'securityType': OneOf(('trustedLaunch', 'confidentialVM')),
        'proxyAgentSettings': AnyObject(),
    },
    since={'proxyAgentSettings': _SDK15},
)

VIRTUAL_MACHINE = shape_of(
    'VirtualMachineConfiguration',
    {
        'imageReference': IMAGE_REFERENCE,
        'diskEncryptionConfiguration': _DISK_ENCRYPTION,
        'osDisk': _OS_DISK,
        'securityProfile': _SECURITY_PROFILE,
    },
    not_imitated=('windowsConfiguration', 'dataDisks', 'containerConfiguration', 'extensions'),
    since={
        'diskEncryptionConfiguration': '2020-03-01.11.0',
        'nodePlacementConfiguration': '2021-06-01.14.0',
        'extensions': '2021-06-01.14.0',
        'osDisk': '2021-06-01.14.0',
        'securityProfile': _SDK14_1,
        'serviceArtifactReference': _SDK14_1,
    },
    rule=request_rules.virtual_machine,
)

_PUBLIC_IP_ADDRESSES = shape_of(
    'PublicIPAddressConfiguration',
    {
        'ipFamilies': ListOf(OneOf(('IPv4', 'IPv6'))),
        'ipTags': ListOf(AnyObject()),
    },
    since={
        'ipFamilies': _SDK15,
        'ipTags': _SDK15,
    },
)

NETWORK = shape_of(
    'NetworkConfiguration',
    {
        'publicIPs': TEXTS,
        'publicIPAddressConfiguration': _PUBLIC_IP_ADDRESSES,
    },
    since={
        'publicIPs': '2019-08-01.10.0',
        'publicIPAddressConfiguration': '2020-03-01.11.0',
        'enableAcceleratedNetworking': _SDK14_0,
    },
    until={'publicIPs': '2020-03-01.11.0'},
    rule=request_rules.network,
)

SCHEDULING_POLICY = shape_of(
    'TaskSchedulingPolicy',
    {
        'jobDefaultOrder': OneOf(('none', 'creationtime')),
        # Comes back like this (recorded traffic).
        'nodeFillType': OneOf(('Spread', 'Pack')),
    },
    since={'jobDefaultOrder': _SDK15},
)

# Pools

POOL = shape_of(
    'PoolAddParameter',
    {
        'id': ID,
        'vmSize': VM_SIZE,
        'virtualMachineConfiguration': VIRTUAL_MACHINE,
        'resizeTimeout': RESIZE_TIMEOUT,
        'targetDedicatedNodes': NODE_COUNT,
        'targetLowPriorityNodes': NODE_COUNT,
        'autoScaleEvaluationInterval': AUTOSCALE_INTERVAL,
        'networkConfiguration': NETWORK,
        'startTask': START_TASK,
        'maxTasksPerNode': SLOTS,
        'taskSlotsPerNode': SLOTS,
        'taskSchedulingPolicy': SCHEDULING_POLICY,
    },
    not_imitated=(
        'cloudServiceConfiguration',
        'certificateReferences',
        'applicationPackageReferences',
        'mountConfiguration',
    ),
    required=('virtualMachineConfiguration',),
    defaults={
        'resizeTimeout': 'PT15M',
        'enableAutoScale': False,
        'enableInterNodeCommunication': False,
        'taskSchedulingPolicy': {'nodeFillType': 'Spread'},
    },
    since={
        'mountConfiguration': '2019-08-01.10.0',
        'taskSlotsPerNode': api_versions.TASK_SLOTS,
        'targetNodeCommunicationMode': _SDK13,
        'resourceTags': _SDK14_1,
        'upgradePolicy': _SDK14_2,
    },
    until={
        'maxTasksPerNode': api_versions.TASK_SLOTS,
        'cloudServiceConfiguration': _DROPPED_BY_SDK15,
        'certificateReferences': _DROPPED_BY_SDK15,
        'applicationLicenses': _DROPPED_BY_SDK15,
        'targetNodeCommunicationMode': _DROPPED_BY_SDK15,
        'resourceTags': _DROPPED_BY_SDK15,
    },
    rule=request_rules.pool,
)

_ADDED_TO_PATCHES_BY_SDK15 = (
    'displayName',
    'vmSize',
    'enableInterNodeCommunication',
    'virtualMachineConfiguration',
    'taskSlotsPerNode',
    'taskSchedulingPolicy',
    'networkConfiguration',
    'userAccounts',
    'mountConfiguration',
    'upgradePolicy',
)

POOL_PATCH = shape_of(
    'PoolPatchParameter',
    {name: POOL.properties[name] for name in _ADDED_TO_PATCHES_BY_SDK15},
    not_imitated=(
        'startTask',
        'certificateReferences',
        'applicationPackageReferences',
        'targetNodeCommunicationMode',
    ),
    since={
        **dict.fromkeys(_ADDED_TO_PATCHES_BY_SDK15, _SDK15),
        'targetNodeCommunicationMode': _SDK13,
    },
    until={
        'certificateReferences': _DROPPED_BY_SDK15,
        'targetNodeCommunicationMode': _DROPPED_BY_SDK15,
    },
    rule=request_rules.pool_patch,
)

RESIZE = shape_of(
    'PoolResizeParameter',
    {
        'targetDedicatedNodes': NODE_COUNT,
        'targetLowPriorityNodes': NODE_COUNT,
        'resizeTimeout': RESIZE_TIMEOUT,
    },
    defaults={'nodeDeallocationOption': 'requeue'},
    rule=request_rules.resize,
)

REMOVE_NODES = shape_of(
    'NodeRemoveParameter',
    {'resizeTimeout': RESIZE_TIMEOUT},
    defaults={'nodeDeallocationOption': 'requeue'},
    rule=request_rules.remove_nodes,
)

# A formula, an interval or both; which of them a pool needs depends on what it has.
ENABLE_AUTOSCALE = shape_of(
    'PoolEnableAutoScaleParameter', {'autoScaleEvaluationInterval': AUTOSCALE_INTERVAL}
)
EVALUATE_AUTOSCALE = shape_of('PoolEvaluateAutoScaleParameter')

# Jobs

JOB_CONSTRAINTS = shape_of(
    'JobConstraints',
    {'maxTaskRetryCount': RETRIES},
    defaults={
        'maxWallClockTime': format_duration(NEVER),
        'maxTaskRetryCount': 0,
    },
)

POOL_INFORMATION = shape_of(
    'PoolInformation',
    {'poolId': NOT_EMPTY},
    not_imitated=('autoPoolSpecification',),
    required=('poolId',),
)

JOB_NETWORK = shape_of(
    'JobNetworkConfiguration',
    {'skipWithdrawFromVNet': BOOLEAN},
    since={'skipWithdrawFromVNet': _SDK15},
    rule=request_rules.network,
)

JOB = shape_of(
    'JobAddParameter',
    {
        'id': ID,
        'priority': PRIORITY,
        'maxParallelTasks': PARALLEL_TASKS,
        'constraints': JOB_CONSTRAINTS,
        'commonEnvironmentSettings': ENVIRONMENT,
        'poolInfo': POOL_INFORMATION,
        'networkConfiguration': JOB_NETWORK,
    },
    not_imitated=('jobManagerTask', 'jobPreparationTask', 'jobReleaseTask'),
    defaults={
        'priority': 0,
        'maxParallelTasks': -1,
        'allowTaskPreemption': False,
        'constraints': JOB_CONSTRAINTS.defaults,
        'onAllTasksComplete': 'noaction',
        'onTaskFailure': 'noaction',
        'usesTaskDependencies': False,
    },
    since={
        'maxParallelTasks': api_versions.PARALLEL_TASKS,
        'allowTaskPreemption': api_versions.TASK_PREEMPTION,
    },
    rule=request_rules.job,
)

JOB_PATCH = shape_of(
    'JobPatchParameter',
    {
        'priority': PRIORITY,
        'maxParallelTasks': PARALLEL_TASKS,
        'constraints': JOB_CONSTRAINTS,
        'poolInfo': POOL_INFORMATION,
        'networkConfiguration': JOB_NETWORK,
    },
    since={
        'maxParallelTasks': api_versions.PARALLEL_TASKS,
        'allowTaskPreemption': api_versions.TASK_PREEMPTION,
        'networkConfiguration': _SDK15,
    },
    rule=request_rules.job,
)

TERMINATE_JOB = shape_of('JobTerminateParameter')
DISABLE_JOB = shape_of('JobDisableParameter')

# Tasks

_OUTPUT_CONTAINER = shape_of(
    'OutputFileBlobContainerDestination',
    not_imitated=('identityReference', 'uploadHeaders'),
    since={
        'identityReference': '2021-06-01.14.0',
        'uploadHeaders': _SDK12,
    },
)

_OUTPUT_DESTINATION = shape_of(
    'OutputFileDestination', {'container': _OUTPUT_CONTAINER}, required=('container',)
)

_UPLOAD_OPTIONS = shape_of(
    'OutputFileUploadOptions',
    # Sent in lower case, comes back like this (recorded traffic).
    {'uploadCondition': OneOf(('TaskSuccess', 'TaskFailure', 'TaskCompletion'))},
)

OUTPUT_FILE = shape_of(
    'OutputFile',
    {
        'filePattern': NOT_EMPTY,
        'destination': _OUTPUT_DESTINATION,
        'uploadOptions': _UPLOAD_OPTIONS,
    },
)

TASK = shape_of(
    'TaskAddParameter',
    {
        'id': ID,
        'commandLine': NOT_EMPTY,
        'resourceFiles': RESOURCE_FILES,
        'outputFiles': ListOf(OUTPUT_FILE),
        'environmentSettings': ENVIRONMENT,
        'constraints': shape_of('TaskConstraints', {'maxTaskRetryCount': RETRIES}),
        'requiredSlots': SLOTS,
        'userIdentity': USER_IDENTITY,
    },
    not_imitated=(
        'containerSettings',
        'exitConditions',
        'multiInstanceSettings',
        'dependsOn',
        'applicationPackageReferences',
        'authenticationTokenSettings',
    ),
    defaults={'requiredSlots': 1},
    since={'requiredSlots': api_versions.TASK_SLOTS},
    until={'authenticationTokenSettings': _DROPPED_BY_SDK15},
    rule=request_rules.task,
)
