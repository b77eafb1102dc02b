"""A program that uses azure-batch 15.1.0, which cannot be imported beside 14.2.0.

`python client_of_2026.py key|token` takes an account from pool to deletion and prints what it saw
as one JSON object. The account and the way to sign in are in the environment.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import ResourceNotFoundError
from azure.identity import DefaultAzureCredential

# Type checkers see azure-batch 14.2.0, which has none of these names.
batch: Any = importlib.import_module('azure.batch')
models: Any = batch.models

POOL = 'pool'
JOB = 'job'
NODES = 2
INTERVAL = 0.1  # seconds between two polls of an operation


def make_client(sign_in: str) -> Any:
    endpoint = os.environ['AZURE_BATCH_ENDPOINT']
    if sign_in == 'token':
        return batch.BatchClient(endpoint, DefaultAzureCredential())

    account = os.environ['AZURE_BATCH_ACCOUNT']
    key = os.environ['AZURE_BATCH_ACCESS_KEY']
    return batch.BatchClient(endpoint, AzureNamedKeyCredential(account, key))


def create_pool(client: Any) -> None:
    client.create_pool(
        models.BatchPoolCreateOptions(
            id=POOL,
            vm_size='STANDARD_A1_v2',
            target_dedicated_nodes=1,
            target_low_priority_nodes=1,
            virtual_machine_configuration=models.VirtualMachineConfiguration(
                image_reference=models.BatchVmImageReference(
                    publisher='canonical',
                    offer='ubuntu-24_04-lts',
                    sku='server-gen1',
                    version='latest',
                ),
                node_agent_sku_id='batch.node.ubuntu 24.04',
            ),
            start_task=models.BatchStartTask(
                command_line="/bin/bash -c 'echo ready > $AZ_BATCH_NODE_SHARED_DIR/ready'",
                wait_for_success=True,
                max_task_retry_count=1,
            ),
        )
    )


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f'waited in vain for {what}')
        time.sleep(0.1)


def wait_for_nodes(client: Any) -> list[str]:
    """The states of the nodes, once all are idle or 30 seconds have passed."""

    def states() -> list[str]:
        return [str(node.state.value) for node in client.list_nodes(POOL, select=['id', 'state'])]

    wait_for(lambda: states() == ['idle'] * NODES, 'idle nodes')
    return states()


def run_tasks(client: Any) -> None:
    client.create_job(
        models.BatchJobCreateOptions(id=JOB, pool_info=models.BatchPoolInfo(pool_id=POOL))
    )
    client.create_tasks(
        JOB,
        [
            models.BatchTaskCreateOptions(id='1', command_line="/bin/bash -c 'echo hello'"),
            models.BatchTaskCreateOptions(id='2', command_line="/bin/bash -c 'exit 3'"),
            models.BatchTaskCreateOptions(
                id='3', command_line="/bin/bash -c 'cat $AZ_BATCH_NODE_SHARED_DIR/ready'"
            ),
        ],
    )

    def are_completed() -> bool:
        states = [str(task.state.value) for task in client.list_tasks(JOB)]
        return states == ['completed'] * 3

    wait_for(are_completed, 'completed tasks')


def read_file(client: Any, task_id: str) -> str:
    content: bytes = b''.join(client.download_task_file(JOB, task_id, 'stdout.txt'))
    return content.decode()


def is_gone(get: Callable[[str], object], name: str) -> bool:
    try:
        get(name)
    except ResourceNotFoundError:
        return True
    return False


def main(sign_in: str) -> None:
    client = make_client(sign_in)
    seen: dict[str, Any] = {'version': batch.__version__}

    create_pool(client)
    seen['nodes'] = wait_for_nodes(client)
    (node_counts,) = client.list_pool_node_counts()
    seen['node counts'] = [node_counts.dedicated.idle, node_counts.low_priority.idle]

    run_tasks(client)
    counts = client.get_job_task_counts(JOB).task_counts
    seen['counts'] = [counts.completed, counts.succeeded, counts.failed]
    failed = client.list_tasks(JOB, filter='executionInfo/exitCode ne 0')
    seen['failed'] = [[task.id, task.execution_info.exit_code] for task in failed]
    seen['files'] = [file.name for file in client.list_task_files(JOB, '1')]
    seen['stdout'] = [read_file(client, '1'), read_file(client, '3')]

    by_hand = models.BatchJobDisableOptions(disable_tasks='requeue')
    client.begin_disable_job(JOB, by_hand, polling_interval=INTERVAL).wait()
    seen['by hand'] = [str(client.get_job(JOB).state.value)]
    client.begin_enable_job(JOB, polling_interval=INTERVAL).wait()
    seen['by hand'].append(str(client.get_job(JOB).state.value))
    node = next(iter(client.list_nodes(POOL)))
    removal = models.BatchNodeRemoveOptions(node_ids=[node.id])
    client.begin_remove_nodes(POOL, removal, polling_interval=INTERVAL).wait()
    seen['by hand'].append(len(list(client.list_nodes(POOL))))

    # 15.1.0 exports no model for these options, and without any it fails before it sends.
    reason = {'terminateReason': 'enough'}
    client.begin_terminate_job(JOB, reason, polling_interval=INTERVAL).wait()
    job = client.get_job(JOB)
    seen['job'] = [str(job.state.value), job.execution_info.termination_reason]
    client.begin_delete_job(JOB, polling_interval=INTERVAL).wait()
    client.begin_delete_pool(POOL, polling_interval=INTERVAL).wait()
    seen['gone'] = [is_gone(client.get_job, JOB), is_gone(client.get_pool, POOL)]

    print(json.dumps(seen))


if __name__ == '__main__':
    main(sys.argv[1])
