"""The properties of each resource: what $select may name, and what $filter compares with what.

Names and types: the models of azure-batch 14.2.0, with what other versions of it call differently.
"""

from __future__ import annotations

from tests.local_azure.batch import request_properties
from tests.local_azure.batch.property_types import ListOf, NotImitated, Shape, Text
from tests.local_azure.batch.request_properties import BOOLEAN, DURATION, INTEGER, TEXT, TEXTS


class Time(Text):
    literal = 'time'


TIME = Time()
NOT_SHOWN = NotImitated()  # no resource has it here, and no filter can know it

_NAME_VALUE_PAIRS = ListOf(Shape('NameValuePair', {'name': TEXT, 'value': TEXT}))

# Pools

_AUTOSCALE_ERROR = Shape(
    name='AutoScaleRunError',
    properties={
        'code': TEXT,
        'message': TEXT,
        'values': _NAME_VALUE_PAIRS,
    },
)

_AUTOSCALE_RUN = Shape(
    name='AutoScaleRun',
    properties={
        'timestamp': TIME,
        'results': TEXT,
        'error': _AUTOSCALE_ERROR,
    },
)

POOL = Shape(
    name='CloudPool',
    properties={
        'id': TEXT,
        'displayName': TEXT,
        'url': TEXT,
        'eTag': TEXT,
        'lastModified': TIME,
        'creationTime': TIME,
        'state': TEXT,
        'stateTransitionTime': TIME,
        'allocationState': TEXT,
        'allocationStateTransitionTime': TIME,
        'vmSize': TEXT,
        'cloudServiceConfiguration': NOT_SHOWN,
        'resizeTimeout': DURATION,
        'currentDedicatedNodes': INTEGER,
        'targetDedicatedNodes': INTEGER,
        'currentLowPriorityNodes': INTEGER,
        'targetLowPriorityNodes': INTEGER,
        'resizeErrors': NOT_SHOWN,
        'enableAutoScale': BOOLEAN,
        'autoScaleFormula': TEXT,
        'autoScaleEvaluationInterval': DURATION,
        'autoScaleRun': _AUTOSCALE_RUN,
        'enableInterNodeCommunication': BOOLEAN,
        'startTask': request_properties.START_TASK,
        'certificateReferences': NOT_SHOWN,
        'applicationPackageReferences': NOT_SHOWN,
        'userAccounts': ListOf(request_properties.USER_ACCOUNT),
        'metadata': request_properties.METADATA,
        'maxTasksPerNode': INTEGER,
        'taskSlotsPerNode': INTEGER,
        'taskSchedulingPolicy': request_properties.SCHEDULING_POLICY,
        'virtualMachineConfiguration': request_properties.VIRTUAL_MACHINE,
        'networkConfiguration': request_properties.NETWORK,
        'applicationLicenses': TEXTS,
        'stats': NOT_SHOWN,
        'mountConfiguration': NOT_SHOWN,
        'identity': NOT_SHOWN,
        'targetNodeCommunicationMode': TEXT,
        'currentNodeCommunicationMode': TEXT,
        'upgradePolicy': request_properties.UPGRADE_POLICY,
        'resourceTags': NOT_SHOWN,
    },
)

_COUNTS_OF_NODES = Shape(
    name='NodeCounts',
    properties={
        'creating': INTEGER,
        'idle': INTEGER,
        'leavingPool': INTEGER,
        'offline': INTEGER,
        'preempted': INTEGER,
        'rebooting': INTEGER,
        'reimaging': INTEGER,
        'running': INTEGER,
        'starting': INTEGER,
        'startTaskFailed': INTEGER,
        'unusable': INTEGER,
        'unknown': INTEGER,
        'upgradingOS': INTEGER,
        'waitingForStartTask': INTEGER,
        'deallocated': INTEGER,
        'deallocating': INTEGER,
        'total': INTEGER,
    },
)

NODE_COUNTS = Shape(
    name='PoolNodeCounts',
    properties={
        'poolId': TEXT,
        'dedicated': _COUNTS_OF_NODES,
        'lowPriority': _COUNTS_OF_NODES,
    },
)

# Tasks

_FAILURE_INFO = Shape(
    name='TaskFailureInformation',
    properties={
        'category': TEXT,
        'code': TEXT,
        'message': TEXT,
        'details': _NAME_VALUE_PAIRS,
    },
)

_EXECUTION = Shape(
    name='TaskExecutionInformation',
    properties={
        'startTime': TIME,
        'endTime': TIME,
        'exitCode': INTEGER,
        'containerInfo': NOT_SHOWN,
        'failureInfo': _FAILURE_INFO,
        'result': TEXT,
        'retryCount': INTEGER,
        'lastRetryTime': TIME,
        'requeueCount': INTEGER,
        'lastRequeueTime': TIME,
    },
)

_NODE_INFO = Shape(
    name='ComputeNodeInformation',
    properties={
        'affinityId': TEXT,
        'nodeUrl': TEXT,
        'poolId': TEXT,
        'nodeId': TEXT,
        'taskRootDirectory': TEXT,
        'taskRootDirectoryUrl': TEXT,
    },
)

TASK = Shape(
    name='CloudTask',
    properties={
        'id': TEXT,
        'displayName': TEXT,
        'url': TEXT,
        'eTag': TEXT,
        'creationTime': TIME,
        'lastModified': TIME,
        'exitConditions': NOT_SHOWN,
        'state': TEXT,
        'stateTransitionTime': TIME,
        'previousState': TEXT,
        'previousStateTransitionTime': TIME,
        'commandLine': TEXT,
        'containerSettings': NOT_SHOWN,
        'resourceFiles': request_properties.RESOURCE_FILES,
        'outputFiles': ListOf(request_properties.OUTPUT_FILE),
        'environmentSettings': request_properties.ENVIRONMENT,
        'affinityInfo': request_properties.AFFINITY,
        'userIdentity': request_properties.USER_IDENTITY,
        'constraints': request_properties.TASK_CONSTRAINTS,
        'requiredSlots': INTEGER,
        'executionInfo': _EXECUTION,
        'nodeInfo': _NODE_INFO,
        'multiInstanceSettings': NOT_SHOWN,
        'stats': NOT_SHOWN,
        'dependsOn': NOT_SHOWN,
        'applicationPackageReferences': NOT_SHOWN,
        'authenticationTokenSettings': NOT_SHOWN,
    },
)

# Nodes

_START_TASK_INFO = Shape(
    name='StartTaskInformation',
    properties={
        'state': TEXT,
        'startTime': TIME,
        'endTime': TIME,
        'exitCode': INTEGER,
        'containerInfo': NOT_SHOWN,
        'failureInfo': _FAILURE_INFO,
        'result': TEXT,
        'retryCount': INTEGER,
        'lastRetryTime': TIME,
    },
)

_NODE_AGENT_INFO = Shape(
    name='NodeAgentInformation',
    properties={
        'lastUpdateTime': TIME,
        'version': TEXT,
    },
)

_VIRTUAL_MACHINE_INFO = Shape(
    name='VirtualMachineInfo',
    properties={
        'imageReference': request_properties.IMAGE_REFERENCE,
        'scaleSetVmResourceId': TEXT,
    },
)

NODE = Shape(
    name='ComputeNode',
    properties={
        'id': TEXT,
        'url': TEXT,
        'state': TEXT,
        'schedulingState': TEXT,
        'stateTransitionTime': TIME,
        'lastBootTime': TIME,
        'allocationTime': TIME,
        'ipAddress': TEXT,
        'ipv6Address': TEXT,
        'affinityId': TEXT,
        'vmSize': TEXT,
        'totalTasksRun': INTEGER,
        'totalTasksSucceeded': INTEGER,
        'runningTasksCount': INTEGER,
        'runningTaskSlotsCount': INTEGER,
        'recentTasks': NOT_SHOWN,
        'startTask': request_properties.START_TASK,
        'startTaskInfo': _START_TASK_INFO,
        'certificateReferences': NOT_SHOWN,
        'errors': NOT_SHOWN,
        'isDedicated': BOOLEAN,
        'endpointConfiguration': NOT_SHOWN,
        'nodeAgentInfo': _NODE_AGENT_INFO,
        'virtualMachineInfo': _VIRTUAL_MACHINE_INFO,
    },
)

# Jobs

_JOB_EXECUTION = Shape(
    name='JobExecutionInformation',
    properties={
        'startTime': TIME,
        'endTime': TIME,
        'poolId': TEXT,
        'schedulingError': NOT_SHOWN,
        'terminateReason': TEXT,
    },
)

JOB = Shape(
    name='CloudJob',
    properties={
        'id': TEXT,
        'displayName': TEXT,
        'url': TEXT,
        'eTag': TEXT,
        'lastModified': TIME,
        'creationTime': TIME,
        'state': TEXT,
        'stateTransitionTime': TIME,
        'previousState': TEXT,
        'previousStateTransitionTime': TIME,
        'priority': INTEGER,
        'maxParallelTasks': INTEGER,
        'usesTaskDependencies': BOOLEAN,
        'allowTaskPreemption': BOOLEAN,
        'constraints': request_properties.JOB_CONSTRAINTS,
        'jobManagerTask': NOT_SHOWN,
        'jobPreparationTask': NOT_SHOWN,
        'jobReleaseTask': NOT_SHOWN,
        'commonEnvironmentSettings': request_properties.ENVIRONMENT,
        'poolInfo': request_properties.POOL_INFORMATION,
        'metadata': request_properties.METADATA,
        'networkConfiguration': request_properties.JOB_NETWORK,
        'executionInfo': _JOB_EXECUTION,
        'onAllTasksComplete': TEXT,
        'onTaskFailure': TEXT,
        'stats': NOT_SHOWN,
    },
)

# Files and images

_FILE_PROPERTIES = Shape(
    name='FileProperties',
    properties={
        'creationTime': TIME,
        'lastModified': TIME,
        'contentLength': INTEGER,
        'contentType': TEXT,
        'fileMode': TEXT,
    },
)

FILE = Shape(
    name='NodeFile',
    properties={
        'name': TEXT,
        'url': TEXT,
        'isDirectory': BOOLEAN,
        'properties': _FILE_PROPERTIES,
    },
)

IMAGE = Shape(
    name='ImageInformation',
    properties={
        'imageReference': request_properties.IMAGE_REFERENCE,
        'verificationType': TEXT,
        'nodeAgentSKUId': TEXT,
        'capabilities': TEXTS,
        'batchSupportEndOfLife': TIME,
        'osType': TEXT,
    },
)

NODE_AGENT = Shape(
    name='NodeAgentSku',
    properties={
        'id': TEXT,
        'verifiedImageReferences': ListOf(request_properties.IMAGE_REFERENCE),
        'osType': TEXT,
    },
)
