"""The versions of the Batch service's REST API: which there are, and which are answered here.

Sources: REST reference, "Batch service REST API versioning" (the list) and "Batch API life cycle";
azure-batch 6.0.0 to 15.1.0, each of which sends one of them.
"""

from __future__ import annotations

from tests.local_azure.batch.errors import BatchError

ANSWERED = (
    '2018-12-01.8.0',  # azure-batch 6
    '2019-06-01.9.0',  # azure-batch 7
    '2019-08-01.10.0',  # azure-batch 8
    '2020-03-01.11.0',  # azure-batch 9
    '2020-09-01.12.0',  # azure-batch 10
    '2021-06-01.14.0',  # azure-batch 11
    '2022-01-01.15.0',  # azure-batch 12
    '2022-10-01.16.0',  # azure-batch 13, @azure/batch 10
    '2023-05-01.17.0',  # azure-batch 14.0
    '2023-11-01.18.0',  # azure-batch 14.1
    '2024-02-01.19.0',  # azure-batch 14.2, the Azure CLI
    '2024-07-01.20.0',
    '2025-06-01',  # azure-batch 15
)
# Those up to 2017-09-01.6.0 were to be removed by April 2021 ("Batch API life cycle").
PUBLISHED_BUT_NOT_ANSWERED = (
    '2014-01-01.1.0',
    '2014-04-01.1.0',
    '2014-10-01.1.0',
    '2015-03-01.1.1',
    '2015-06-01.2.0',
    '2015-11-01.2.1',
    '2015-12-01.2.2',
    '2016-02-01.3.0',
    '2016-07-01.3.1',
    '2017-01-01.4.0',
    '2017-05-01.5.0',
    '2017-06-01.5.1',
    '2017-09-01.6.0',
    '2018-03-01.6.1',
    '2018-08-01.7.0',
)

# From which version on something is known or different. Versions sort as their text does.
SUPPORTED_IMAGES = '2019-06-01.9.0'
START_TASK_IS_WAITED_FOR = '2019-08-01.10.0'  # by default; and an auto-user's scope is the pool
TASK_SLOTS = '2020-09-01.12.0'  # before: maxTasksPerNode, and one slot for each task
PARALLEL_TASKS = '2021-06-01.14.0'
VIRTUAL_MACHINE_INFO = '2021-06-01.14.0'
TASK_PREEMPTION = '2022-01-01.15.0'
OS_UPGRADES = '2024-02-01.19.0'
DEALLOCATED_NODES = '2025-06-01'


def check_version(version: str) -> None:
    """Refuses what is not answered: with Azure's 400 only if Azure never published it."""
    if version in ANSWERED:
        return
    if version in PUBLISHED_BUT_NOT_ANSWERED:
        oldest = ANSWERED[0]
        text = f'The local Batch service answers API versions from {oldest} on, not {version}.'
        raise BatchError('NotImplemented', text)
    raise BatchError('UnsupportedRequestVersion', QueryParameterValue=version[:100])
