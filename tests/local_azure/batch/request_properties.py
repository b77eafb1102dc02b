"""The objects in request bodies: their properties, which of these are required, and defaults.

Names, types and limits: the models of azure-batch 14.2.0 and 15.1.0 and what these say about their
properties. Since when a property is known: the models of azure-batch 6.0.0 to 15.1.0; what came
with 2024-07-01.20.0 or 2025-06-01 is taken from the first of the two on. Defaults: recorded
traffic, POST and then GET /pools/{id}, /jobs/{id} and /jobs/{id}/tasks, 2022-01-01.15.0.
"""

from __future__ import annotations

import re

from tests.local_azure.batch import api_versions, request_rules
from tests.local_azure.batch.images_and_sizes import VM_SIZES
from tests.local_azure.batch.model import NEVER
from tests.local_azure.batch.property_types import (
    Boolean,
    Duration,
    Integer,
    ListOf,
    NotImitated,
    OneOf,
    Shape,
    Text,
    TextMap,
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


# Simple values

TEXT = Text()
INTEGER = Integer()
BOOLEAN = Boolean()
DURATION = Duration()
TEXTS = ListOf(TEXT)
NOT_IMITATED = NotImitated()

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

METADATA_ITEM = Shape(
    name='MetadataItem',
    properties={
        'name': TEXT,
        'value': TEXT,
    },
    required=('name', 'value'),
)
METADATA = ListOf(METADATA_ITEM)

ENVIRONMENT_SETTING = Shape(
    name='EnvironmentSetting',
    properties={
        'name': TEXT,
        'value': TEXT,
    },
    required=('name',),
    rule=request_rules.environment_setting,
)
ENVIRONMENT = ListOf(ENVIRONMENT_SETTING)

RESOURCE_FILE = Shape(
    name='ResourceFile',
    properties={
        'autoStorageContainerName': NOT_IMITATED,
        'storageContainerUrl': TEXT,
        'httpUrl': TEXT,
        'blobPrefix': TEXT,
        'filePath': TEXT,
        'fileMode': FILE_MODE,
        'identityReference': NOT_IMITATED,
    },
    rule=request_rules.resource_file,
)
RESOURCE_FILES = ListOf(RESOURCE_FILE)

AUTO_USER = Shape(
    name='AutoUserSpecification',
    properties={
        'scope': OneOf(('task', 'pool')),
        'elevationLevel': OneOf(('nonadmin', 'admin')),
    },
    rule=request_rules.auto_user_of_task,
)

USER_IDENTITY = Shape(
    name='UserIdentity',
    properties={
        'username': TEXT,
        'autoUser': AUTO_USER,
    },
)

START_TASK = Shape(
    name='StartTask',
    properties={
        'commandLine': NOT_EMPTY,
        'containerSettings': NOT_IMITATED,
        'resourceFiles': RESOURCE_FILES,
        'environmentSettings': ENVIRONMENT,
        'userIdentity': USER_IDENTITY,
        'maxTaskRetryCount': RETRIES,
        'waitForSuccess': BOOLEAN,
    },
    required=('commandLine',),
    defaults={'maxTaskRetryCount': 0},
    rule=request_rules.start_task,
)

# The machines of a pool. What is not NOT_IMITATED here concerns Azure's disks, network, users and
# updates only: it is kept and shown, and changes nothing.

IMAGE_REFERENCE = Shape(
    name='ImageReference',
    properties={
        'publisher': TEXT,
        'offer': TEXT,
        'sku': TEXT,
        'version': TEXT,
        'virtualMachineImageId': NOT_IMITATED,
        'exactVersion': TEXT,
        'sharedGalleryImageId': NOT_IMITATED,
        'communityGalleryImageId': NOT_IMITATED,
    },
    defaults={'version': 'latest'},
    since={
        'sharedGalleryImageId': _SDK15,
        'communityGalleryImageId': _SDK15,
    },
)

_CACHING = OneOf(('none', 'readonly', 'readwrite'))

_DISK_SECURITY_PROFILE = Shape(
    name='VMDiskSecurityProfile',
    properties={
        'securityEncryptionType': OneOf(
            ('DiskWithVMGuestState', 'NonPersistedTPM', 'VMGuestStateOnly')
        ),
    },
)

_DISK_ENCRYPTION_SET = Shape(
    name='DiskEncryptionSetParameters',
    properties={'id': TEXT},
)

_MANAGED_DISK = Shape(
    name='ManagedDisk',
    properties={
        'diskEncryptionSet': _DISK_ENCRYPTION_SET,
        'storageAccountType': OneOf(('standard_lrs', 'premium_lrs', 'standardssd_lrs')),
        'securityProfile': _DISK_SECURITY_PROFILE,
    },
    since={
        'diskEncryptionSet': _SDK15,
        'securityProfile': _SDK15,
    },
)

_EPHEMERAL_DISK = Shape(
    name='DiffDiskSettings',
    properties={'placement': OneOf(('CacheDisk',))},
)

_OS_DISK = Shape(
    name='OSDisk',
    properties={
        'ephemeralOSDiskSettings': _EPHEMERAL_DISK,
        'caching': _CACHING,
        'diskSizeGB': INTEGER,
        'managedDisk': _MANAGED_DISK,
        'writeAcceleratorEnabled': BOOLEAN,
    },
    since={
        'caching': _SDK14_1,
        'diskSizeGB': _SDK14_1,
        'managedDisk': _SDK14_1,
        'writeAcceleratorEnabled': _SDK14_1,
    },
)

_IDENTITY_REFERENCE = Shape(
    name='BatchPoolIdentityReference',
    properties={'resourceId': TEXT},
)

_CUSTOMER_MANAGED_KEY = Shape(
    name='DiskCustomerManagedKey',
    properties={
        'identityReference': _IDENTITY_REFERENCE,
        'keyUrl': TEXT,
        'rotationToLatestKeyVersionEnabled': BOOLEAN,
    },
)

_DISK_ENCRYPTION = Shape(
    name='DiskEncryptionConfiguration',
    properties={
        'customerManagedKey': _CUSTOMER_MANAGED_KEY,
        'targets': ListOf(OneOf(('osdisk', 'temporarydisk'))),
    },
    since={'customerManagedKey': _SDK15},
)

_NODE_PLACEMENT = Shape(
    name='NodePlacementConfiguration',
    properties={'policy': OneOf(('regional', 'zonal'))},
)

_HOST_ENDPOINT = Shape(
    name='HostEndpointSettings',
    properties={
        'inVMAccessControlProfileReferenceId': TEXT,
        'mode': OneOf(('Audit', 'Enforce')),
    },
)

_PROXY_AGENT = Shape(
    name='ProxyAgentSettings',
    properties={
        'enabled': BOOLEAN,
        'imds': _HOST_ENDPOINT,
        'wireServer': _HOST_ENDPOINT,
    },
)

_UEFI = Shape(
    name='UefiSettings',
    properties={
        'secureBootEnabled': BOOLEAN,
        'vTpmEnabled': BOOLEAN,
    },
)

_SECURITY_PROFILE = Shape(
    name='SecurityProfile',
    properties={
        'securityType': OneOf(('trustedLaunch', 'confidentialVM')),
        'encryptionAtHost': BOOLEAN,
        'proxyAgentSettings': _PROXY_AGENT,
        'uefiSettings': _UEFI,
    },
    since={'proxyAgentSettings': _SDK15},
)

_SERVICE_ARTIFACT = Shape(
    name='ServiceArtifactReference',
    properties={'id': TEXT},
    required=('id',),
)

VIRTUAL_MACHINE = Shape(
    name='VirtualMachineConfiguration',
    properties={
        'imageReference': IMAGE_REFERENCE,
        'nodeAgentSKUId': TEXT,
        'windowsConfiguration': NOT_IMITATED,
        'dataDisks': NOT_IMITATED,
        'licenseType': TEXT,
        'containerConfiguration': NOT_IMITATED,
        'diskEncryptionConfiguration': _DISK_ENCRYPTION,
        'nodePlacementConfiguration': _NODE_PLACEMENT,
        'extensions': NOT_IMITATED,
        'osDisk': _OS_DISK,
        'securityProfile': _SECURITY_PROFILE,
        'serviceArtifactReference': _SERVICE_ARTIFACT,
    },
    required=('imageReference', 'nodeAgentSKUId'),
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

_SECURITY_GROUP_RULE = Shape(
    name='NetworkSecurityGroupRule',
    properties={
        'priority': INTEGER,
        'access': OneOf(('allow', 'deny')),
        'sourceAddressPrefix': TEXT,
        'sourcePortRanges': TEXTS,
    },
    required=('priority', 'access', 'sourceAddressPrefix'),
)

_INBOUND_NAT_POOL = Shape(
    name='InboundNATPool',
    properties={
        'name': TEXT,
        'protocol': OneOf(('tcp', 'udp')),
        'backendPort': INTEGER,
        'frontendPortRangeStart': INTEGER,
        'frontendPortRangeEnd': INTEGER,
        'networkSecurityGroupRules': ListOf(_SECURITY_GROUP_RULE),
    },
    required=(
        'name',
        'protocol',
        'backendPort',
        'frontendPortRangeStart',
        'frontendPortRangeEnd',
    ),
)

_ENDPOINTS = Shape(
    name='PoolEndpointConfiguration',
    properties={'inboundNATPools': ListOf(_INBOUND_NAT_POOL)},
    required=('inboundNATPools',),
)

_IP_TAG = Shape(
    name='IPTag',
    properties={
        'ipTagType': TEXT,
        'tag': TEXT,
    },
)

_PUBLIC_IP_ADDRESSES = Shape(
    name='PublicIPAddressConfiguration',
    properties={
        'provision': OneOf(('batchmanaged', 'usermanaged', 'nopublicipaddresses')),
        'ipFamilies': ListOf(OneOf(('IPv4', 'IPv6'))),
        'ipAddressIds': TEXTS,
        'ipTags': ListOf(_IP_TAG),
    },
    since={
        'ipFamilies': _SDK15,
        'ipTags': _SDK15,
    },
)

NETWORK = Shape(
    name='NetworkConfiguration',
    properties={
        'subnetId': TEXT,
        'dynamicVNetAssignmentScope': OneOf(('none', 'job')),
        'endpointConfiguration': _ENDPOINTS,
        'publicIPs': TEXTS,
        'publicIPAddressConfiguration': _PUBLIC_IP_ADDRESSES,
        'enableAcceleratedNetworking': BOOLEAN,
    },
    since={
        'publicIPs': '2019-08-01.10.0',
        'publicIPAddressConfiguration': '2020-03-01.11.0',
        'enableAcceleratedNetworking': _SDK14_0,
    },
    until={'publicIPs': '2020-03-01.11.0'},
    rule=request_rules.network,
)

SCHEDULING_POLICY = Shape(
    name='TaskSchedulingPolicy',
    properties={
        'jobDefaultOrder': OneOf(('none', 'creationtime')),
        'nodeFillType': OneOf(('Spread', 'Pack')),
    },
    required=('nodeFillType',),
    since={'jobDefaultOrder': _SDK15},
)

_LINUX_USER = Shape(
    name='LinuxUserConfiguration',
    properties={
        'uid': INTEGER,
        'gid': INTEGER,
        'sshPrivateKey': TEXT,
    },
)

_WINDOWS_USER = Shape(
    name='WindowsUserConfiguration',
    properties={'loginMode': OneOf(('batch', 'interactive'))},
)

USER_ACCOUNT = Shape(
    name='UserAccount',
    properties={
        'name': TEXT,
        'password': TEXT,
        'elevationLevel': OneOf(('nonadmin', 'admin')),
        'linuxUserConfiguration': _LINUX_USER,
        'windowsUserConfiguration': _WINDOWS_USER,
    },
    required=('name', 'password'),
)

_AUTOMATIC_OS_UPGRADE = Shape(
    name='AutomaticOSUpgradePolicy',
    properties={
        'disableAutomaticRollback': BOOLEAN,
        'enableAutomaticOSUpgrade': BOOLEAN,
        'useRollingUpgradePolicy': BOOLEAN,
        'osRollingUpgradeDeferral': BOOLEAN,
    },
)

_ROLLING_UPGRADE = Shape(
    name='RollingUpgradePolicy',
    properties={
        'enableCrossZoneUpgrade': BOOLEAN,
        'maxBatchInstancePercent': INTEGER,
        'maxUnhealthyInstancePercent': INTEGER,
        'maxUnhealthyUpgradedInstancePercent': INTEGER,
        'pauseTimeBetweenBatches': DURATION,
        'prioritizeUnhealthyInstances': BOOLEAN,
        'rollbackFailedInstancesOnPolicyBreach': BOOLEAN,
    },
)

UPGRADE_POLICY = Shape(
    name='UpgradePolicy',
    properties={
        'mode': OneOf(('automatic', 'manual', 'rolling')),
        'automaticOSUpgradePolicy': _AUTOMATIC_OS_UPGRADE,
        'rollingUpgradePolicy': _ROLLING_UPGRADE,
    },
    required=('mode',),
)

COMMUNICATION_MODE = OneOf(('default', 'classic', 'simplified'))

# Pools

POOL = Shape(
    name='PoolAddParameter',
    properties={
        'id': ID,
        'displayName': TEXT,
        'vmSize': VM_SIZE,
        'cloudServiceConfiguration': NOT_IMITATED,
        'virtualMachineConfiguration': VIRTUAL_MACHINE,
        'resizeTimeout': RESIZE_TIMEOUT,
        'targetDedicatedNodes': NODE_COUNT,
        'targetLowPriorityNodes': NODE_COUNT,
        'enableAutoScale': BOOLEAN,
        'autoScaleFormula': TEXT,
        'autoScaleEvaluationInterval': AUTOSCALE_INTERVAL,
        'enableInterNodeCommunication': BOOLEAN,
        'networkConfiguration': NETWORK,
        'startTask': START_TASK,
        'certificateReferences': NOT_IMITATED,
        'applicationPackageReferences': NOT_IMITATED,
        'applicationLicenses': TEXTS,
        'maxTasksPerNode': SLOTS,
        'taskSlotsPerNode': SLOTS,
        'taskSchedulingPolicy': SCHEDULING_POLICY,
        'userAccounts': ListOf(USER_ACCOUNT),
        'metadata': METADATA,
        'mountConfiguration': NOT_IMITATED,
        'targetNodeCommunicationMode': COMMUNICATION_MODE,
        'upgradePolicy': UPGRADE_POLICY,
        'resourceTags': TextMap(),
    },
    required=('id', 'vmSize', 'virtualMachineConfiguration'),
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

POOL_PATCH = Shape(
    name='PoolPatchParameter',
    properties={
        'displayName': TEXT,
        'vmSize': VM_SIZE,
        'enableInterNodeCommunication': BOOLEAN,
        'startTask': NOT_IMITATED,
        'certificateReferences': NOT_IMITATED,
        'applicationPackageReferences': NOT_IMITATED,
        'metadata': METADATA,
        'virtualMachineConfiguration': VIRTUAL_MACHINE,
        'targetNodeCommunicationMode': NOT_IMITATED,
        'taskSlotsPerNode': SLOTS,
        'taskSchedulingPolicy': SCHEDULING_POLICY,
        'networkConfiguration': NETWORK,
        'userAccounts': ListOf(USER_ACCOUNT),
        'mountConfiguration': NOT_IMITATED,
        'upgradePolicy': UPGRADE_POLICY,
    },
    since={
        'displayName': _SDK15,
        'vmSize': _SDK15,
        'enableInterNodeCommunication': _SDK15,
        'virtualMachineConfiguration': _SDK15,
        'targetNodeCommunicationMode': _SDK13,
        'taskSlotsPerNode': _SDK15,
        'taskSchedulingPolicy': _SDK15,
        'networkConfiguration': _SDK15,
        'userAccounts': _SDK15,
        'mountConfiguration': _SDK15,
        'upgradePolicy': _SDK15,
    },
    until={
        'certificateReferences': _DROPPED_BY_SDK15,
        'targetNodeCommunicationMode': _DROPPED_BY_SDK15,
    },
    rule=request_rules.pool_patch,
)

RESIZE = Shape(
    name='PoolResizeParameter',
    properties={
        'targetDedicatedNodes': NODE_COUNT,
        'targetLowPriorityNodes': NODE_COUNT,
        'resizeTimeout': RESIZE_TIMEOUT,
        'nodeDeallocationOption': OneOf(('requeue', 'terminate', 'taskcompletion', 'retaineddata')),
    },
    defaults={'nodeDeallocationOption': 'requeue'},
    rule=request_rules.resize,
)

REMOVE_NODES = Shape(
    name='NodeRemoveParameter',
    properties={
        'nodeList': TEXTS,
        'resizeTimeout': RESIZE_TIMEOUT,
        'nodeDeallocationOption': RESIZE.properties['nodeDeallocationOption'],
    },
    required=('nodeList',),
    defaults={'nodeDeallocationOption': 'requeue'},
    rule=request_rules.remove_nodes,
)

ENABLE_AUTOSCALE = Shape(
    name='PoolEnableAutoScaleParameter',
    properties={
        'autoScaleFormula': TEXT,
        'autoScaleEvaluationInterval': AUTOSCALE_INTERVAL,
    },
)

EVALUATE_AUTOSCALE = Shape(
    name='PoolEvaluateAutoScaleParameter',
    properties={'autoScaleFormula': TEXT},
    required=('autoScaleFormula',),
)

# Jobs

JOB_CONSTRAINTS = Shape(
    name='JobConstraints',
    properties={
        'maxWallClockTime': DURATION,
        'maxTaskRetryCount': RETRIES,
    },
    defaults={
        'maxWallClockTime': format_duration(NEVER),
        'maxTaskRetryCount': 0,
    },
)

POOL_INFORMATION = Shape(
    name='PoolInformation',
    properties={
        'poolId': NOT_EMPTY,
        'autoPoolSpecification': NOT_IMITATED,
    },
    required=('poolId',),
)

JOB_NETWORK = Shape(
    name='JobNetworkConfiguration',
    properties={
        'subnetId': TEXT,
        'skipWithdrawFromVNet': BOOLEAN,
    },
    required=('subnetId',),
    since={'skipWithdrawFromVNet': _SDK15},
    rule=request_rules.network,
)

ON_ALL_TASKS_COMPLETE = OneOf(('noaction', 'terminatejob'))

JOB = Shape(
    name='JobAddParameter',
    properties={
        'id': ID,
        'displayName': TEXT,
        'priority': PRIORITY,
        'maxParallelTasks': PARALLEL_TASKS,
        'allowTaskPreemption': BOOLEAN,
        'constraints': JOB_CONSTRAINTS,
        'jobManagerTask': NOT_IMITATED,
        'jobPreparationTask': NOT_IMITATED,
        'jobReleaseTask': NOT_IMITATED,
        'commonEnvironmentSettings': ENVIRONMENT,
        'poolInfo': POOL_INFORMATION,
        'onAllTasksComplete': ON_ALL_TASKS_COMPLETE,
        'onTaskFailure': OneOf(('noaction', 'performexitoptionsjobaction')),
        'metadata': METADATA,
        'usesTaskDependencies': BOOLEAN,
        'networkConfiguration': JOB_NETWORK,
    },
    required=('id', 'poolInfo'),
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

JOB_PATCH = Shape(
    name='JobPatchParameter',
    properties={
        'priority': PRIORITY,
        'maxParallelTasks': PARALLEL_TASKS,
        'allowTaskPreemption': BOOLEAN,
        'onAllTasksComplete': ON_ALL_TASKS_COMPLETE,
        'constraints': JOB_CONSTRAINTS,
        'poolInfo': POOL_INFORMATION,
        'metadata': METADATA,
        'networkConfiguration': JOB_NETWORK,
    },
    since={
        'maxParallelTasks': api_versions.PARALLEL_TASKS,
        'allowTaskPreemption': api_versions.TASK_PREEMPTION,
        'networkConfiguration': _SDK15,
    },
    rule=request_rules.job,
)

TERMINATE_JOB = Shape(
    name='JobTerminateParameter',
    properties={'terminateReason': TEXT},
)

DISABLE_JOB = Shape(
    name='JobDisableParameter',
    properties={'disableTasks': OneOf(('requeue', 'terminate', 'wait'))},
    required=('disableTasks',),
)

# Tasks

_OUTPUT_CONTAINER = Shape(
    name='OutputFileBlobContainerDestination',
    properties={
        'path': TEXT,
        'containerUrl': TEXT,
        'identityReference': NOT_IMITATED,
        'uploadHeaders': NOT_IMITATED,
    },
    required=('containerUrl',),
    since={
        'identityReference': '2021-06-01.14.0',
        'uploadHeaders': _SDK12,
    },
)

_OUTPUT_DESTINATION = Shape(
    name='OutputFileDestination',
    properties={'container': _OUTPUT_CONTAINER},
    required=('container',),
)

_UPLOAD_OPTIONS = Shape(
    name='OutputFileUploadOptions',
    properties={
        # Sent in lower case, comes back like this (recorded traffic).
        'uploadCondition': OneOf(('TaskSuccess', 'TaskFailure', 'TaskCompletion')),
    },
    required=('uploadCondition',),
)

OUTPUT_FILE = Shape(
    name='OutputFile',
    properties={
        'filePattern': NOT_EMPTY,
        'destination': _OUTPUT_DESTINATION,
        'uploadOptions': _UPLOAD_OPTIONS,
    },
    required=('filePattern', 'destination', 'uploadOptions'),
)

TASK_CONSTRAINTS = Shape(
    name='TaskConstraints',
    properties={
        'maxWallClockTime': DURATION,
        'retentionTime': DURATION,
        'maxTaskRetryCount': RETRIES,
    },
)

AFFINITY = Shape(
    name='AffinityInformation',
    properties={'affinityId': TEXT},
    required=('affinityId',),
)

TASK = Shape(
    name='TaskAddParameter',
    properties={
        'id': ID,
        'displayName': TEXT,
        'commandLine': NOT_EMPTY,
        'containerSettings': NOT_IMITATED,
        'exitConditions': NOT_IMITATED,
        'resourceFiles': RESOURCE_FILES,
        'outputFiles': ListOf(OUTPUT_FILE),
        'environmentSettings': ENVIRONMENT,
        'affinityInfo': AFFINITY,
        'constraints': TASK_CONSTRAINTS,
        'requiredSlots': SLOTS,
        'userIdentity': USER_IDENTITY,
        'multiInstanceSettings': NOT_IMITATED,
        'dependsOn': NOT_IMITATED,
        'applicationPackageReferences': NOT_IMITATED,
        'authenticationTokenSettings': NOT_IMITATED,
    },
    required=('id', 'commandLine'),
    defaults={'requiredSlots': 1},
    since={'requiredSlots': api_versions.TASK_SLOTS},
    until={'authenticationTokenSettings': _DROPPED_BY_SDK15},
    rule=request_rules.task,
)
