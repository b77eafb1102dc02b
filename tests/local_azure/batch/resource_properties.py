"""The properties of each resource: what $select may name, and what $filter compares with what.

Those of azure-batch's models, and what other versions than 14.2.0 know beside them. Many are not
shown here: a resource without such a property fulfils no condition on it.
"""

from __future__ import annotations

from tests.local_azure.batch.model_shapes import shape_of
from tests.local_azure.batch.property_types import INTEGER, TEXT, ListOf, Shape

_COUNTS_OF_NODES = shape_of('NodeCounts', {'deallocated': INTEGER, 'deallocating': INTEGER})

POOL = shape_of('CloudPool', {'maxTasksPerNode': INTEGER})
NODE_COUNTS = shape_of(
    'PoolNodeCounts', {'dedicated': _COUNTS_OF_NODES, 'lowPriority': _COUNTS_OF_NODES}
)
NODE = shape_of('ComputeNode', {'ipv6Address': TEXT})
JOB = shape_of('CloudJob')
TASK = shape_of('CloudTask')
FILE = shape_of('NodeFile')
IMAGE = shape_of('ImageInformation')
NODE_AGENT = Shape(
    name='NodeAgentSku',  # of azure-batch 6
    properties={
        'id': TEXT,
        'verifiedImageReferences': ListOf(shape_of('ImageReference')),
        'osType': TEXT,
    },
)
