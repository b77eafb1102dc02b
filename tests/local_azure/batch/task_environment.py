"""The variables that a command line gets of its pool, job and task, and those of its user.

The folders and PATH are the node's business (`environment.py` there).
"""

from __future__ import annotations

from tests.local_azure.batch.model import CommandRun
from tests.local_azure.batch.task_users import user_of


def environment_of(run: CommandRun) -> dict[str, str]:
    """Azure docs, batch-compute-node-environment-variables; the job's own, then the task's own."""
    node = run.node
    user = user_of(run)
    environment = {
        'USER': user.name,
        'AZ_BATCH_TASK_USER': user.name,
        'AZ_BATCH_TASK_USER_IDENTITY': user.identity,
        'AZ_BATCH_POOL_ID': node.pool.id,
        'AZ_BATCH_NODE_ID': node.id,
        'AZ_BATCH_NODE_IS_DEDICATED': 'true' if node.dedicated else 'false',
    }
    if run.task:
        job = run.task.job
        environment['AZ_BATCH_JOB_ID'] = job.id
        environment['AZ_BATCH_TASK_ID'] = run.task.id
        for setting in job.spec.get('commonEnvironmentSettings', ()):
            environment[setting['name']] = setting.get('value', '')
    for setting in run.spec.get('environmentSettings', ()):
        environment[setting['name']] = setting.get('value', '')
    return environment
