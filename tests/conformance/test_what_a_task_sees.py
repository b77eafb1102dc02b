"""What a command line finds on a node, and how the service describes its end: as on Azure."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import azure.batch.models as models
import pytest
from azure.batch import BatchServiceClient
from azure.storage.blob import BlobServiceClient

from tests.local_azure import LocalAzure
from tests.local_azure.node.preinstalled import APT_GET

from .conftest import (
    a_job,
    a_pool,
    a_task,
    an_auto_user,
    run_to_end,
    wait_completed,
    wait_for_nodes,
)

UPDATE_AND_INSTALL = (
    '/bin/sh -c "apt-get -o DPkg::Lock::Timeout=60 update '
    '&& apt-get install -y --no-install-recommends ffmpeg"'
)
# Azure docs, quick-create-cli (2017) and a public log of 2018 with the same variables.
NAMES_IN_A_PRINTOUT = {
    'AZ_BATCH_ACCOUNT_NAME',
    'AZ_BATCH_ACCOUNT_URL',
    'AZ_BATCH_CERTIFICATES_DIR',
    'AZ_BATCH_JOB_ID',
    'AZ_BATCH_NODE_ID',
    'AZ_BATCH_NODE_IS_DEDICATED',
    'AZ_BATCH_NODE_ROOT_DIR',
    'AZ_BATCH_NODE_SHARED_DIR',
    'AZ_BATCH_NODE_STARTUP_DIR',
    'AZ_BATCH_POOL_ID',
    'AZ_BATCH_TASK_DIR',
    'AZ_BATCH_TASK_ID',
    'AZ_BATCH_TASK_USER',
    'AZ_BATCH_TASK_USER_IDENTITY',
    'AZ_BATCH_TASK_WORKING_DIR',
    'HOME',
    'PATH',
    'USER',
}
# Azure docs, batch-compute-node-environment-variables.
NAMES_IN_THE_TABLE = {
    'AZ_BATCH_NODE_MOUNTS_DIR',
    'AZ_BATCH_TASK_RESERVED_EPHEMERAL_DISK_SPACE_BYTES',
}


def stdout(client: BatchServiceClient, task_id: str = 'task') -> str:
    return b''.join(client.file.get_from_task('job', task_id, 'stdout.txt')).decode()


def environment(client: BatchServiceClient, task_id: str = 'task') -> dict[str, str]:
    """What `env -0` has printed."""
    pairs = stdout(client, task_id).split('\0')
    return dict(pair.split('=', 1) for pair in pairs if pair)


# PATH


def test_path_ends_with_the_shared_folder_and_the_working_directory(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    """Azure docs, quick-create-cli (2017): the printenv of a task."""
    run_to_end(azure, a_task(command_line='env -0'))

    variables = environment(client)
    assert variables['PATH'].split(':')[-2:] == [
        variables['AZ_BATCH_NODE_SHARED_DIR'],
        variables['AZ_BATCH_TASK_WORKING_DIR'],
    ]


@pytest.mark.parametrize('command_line', ['find_prime.py 7', '/bin/sh -c "find_prime.py 7"'])
def test_resource_file_is_called_by_its_bare_name(
    azure: LocalAzure,
    client: BatchServiceClient,
    blobs: BlobServiceClient,
    container_url: Callable[..., str],
    command_line: str,
) -> None:
    """With a shell: the PATH above. Without one: inferred."""
    path, sas = container_url('input', 'r').split('?')
    script = b'#!/usr/bin/env python3\nimport sys\nprint(sys.argv[1], "is prime")\n'
    blobs.get_blob_client('input', 'find_prime.py').upload_blob(script)
    resource = models.ResourceFile(
        http_url=f'{path}/find_prime.py?{sas}', file_path='find_prime.py'
    )

    run_to_end(azure, a_task(command_line=command_line, resource_files=[resource]))

    assert stdout(client) == '7 is prime\n'


def test_what_a_start_task_puts_into_the_shared_folder_is_called_by_its_bare_name(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    """Azure docs, files-and-directories: the shared folder is the same for all tasks of a node."""
    start = models.StartTask(
        command_line="/bin/bash -c 'install -m 755 <(echo echo hello) "
        '"$AZ_BATCH_NODE_SHARED_DIR/greet"\''
    )

    run_to_end(azure, a_task(command_line='/bin/sh -c greet'), start_task=start)

    assert stdout(client) == 'hello\n'


# Elevation


def test_start_task_that_is_not_elevated_cannot_install(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    """SDK14 AutoUserSpecification.elevation_level: the default is nonAdmin."""
    start = models.StartTask(command_line=UPDATE_AND_INSTALL)

    client.pool.add(a_pool(target_low_priority_nodes=1, start_task=start))
    wait_for_nodes(azure, 'starttaskfailed')

    (node,) = client.compute_node.list('pool')
    assert node.start_task_info.exit_code == 100
    errors = client.file.get_from_compute_node('pool', node.id, 'startup/stderr.txt')
    assert b'open (13: Permission denied)' in b''.join(errors)


def test_start_task_that_is_elevated_installs_for_tasks_that_are_not(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    start = models.StartTask(command_line=UPDATE_AND_INSTALL, user_identity=an_auto_user())

    run_to_end(azure, a_task(command_line='ffmpeg -version'), start_task=start)

    assert stdout(client).startswith('ffmpeg version')


@pytest.mark.parametrize(('level', 'exit_code'), [('admin', 0), ('nonadmin', 100)])
def test_account_of_a_named_user_decides_whether_its_tasks_are_elevated(
    azure: LocalAzure, client: BatchServiceClient, level: str, exit_code: int
) -> None:
    """SDK14 UserAccount.elevation_level."""
    account = models.UserAccount(name='ada', password='Secret1!', elevation_level=level)
    task = a_task(
        command_line=UPDATE_AND_INSTALL, user_identity=models.UserIdentity(user_name='ada')
    )

    run_to_end(azure, task, user_accounts=[account])

    assert client.task.get('job', 'task').execution_info.exit_code == exit_code


@pytest.mark.parametrize('arguments', ['update', 'install -y ffmpeg'])
def test_refusal_of_apt_get_has_the_words_of_the_real_one(tmp_path: Path, arguments: str) -> None:
    """Seen with apt 2.6.1 as the user nobody: exit code 100, and these lines."""
    program = tmp_path / 'bin' / 'apt-get'
    program.parent.mkdir()
    program.write_bytes(APT_GET.read_bytes())

    done = subprocess.run(
        ['/bin/sh', program, *arguments.split()], capture_output=True, text=True, check=False
    )

    lock, what = {
        'update': (
            '/var/lib/apt/lists/lock',
            'Unable to lock directory /var/lib/apt/lists/',
        ),
        'install -y ffmpeg': (
            '/var/lib/dpkg/lock-frontend',
            'Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), are you root?',
        ),
    }[arguments]
    assert done.returncode == 100
    assert done.stderr == (
        f'E: Could not open lock file {lock} - open (13: Permission denied)\nE: {what}\n'
    )


# Variables


def test_task_has_the_variables_of_azure_and_none_of_our_own(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    run_to_end(azure, a_task(command_line='env -0'))

    variables = environment(client)
    # LANG is that of this process, for the names of files.
    assert set(variables) == NAMES_IN_A_PRINTOUT | NAMES_IN_THE_TABLE | {'LANG'}
    folder = variables['AZ_BATCH_TASK_DIR']
    root = variables['AZ_BATCH_NODE_ROOT_DIR']
    assert variables['AZ_BATCH_CERTIFICATES_DIR'] == f'{folder}/certs'
    assert variables['AZ_BATCH_NODE_MOUNTS_DIR'] == f'{root}/fsmounts'
    assert variables['AZ_BATCH_TASK_RESERVED_EPHEMERAL_DISK_SPACE_BYTES'] == '1000000'
    assert (variables['USER'], variables['AZ_BATCH_TASK_USER']) == ('_azbatch', '_azbatch')


def test_start_task_has_all_variables_but_those_of_jobs_and_tasks(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    start = models.StartTask(command_line='env -0')

    run_to_end(azure, a_task(), start_task=start)

    (node,) = client.compute_node.list('pool')
    output = b''.join(client.file.get_from_compute_node('pool', node.id, 'startup/stdout.txt'))
    names = {pair.split('=')[0] for pair in output.decode().split('\0') if pair}
    of_a_task = NAMES_IN_A_PRINTOUT | NAMES_IN_THE_TABLE | {'LANG'}
    assert names == of_a_task - {'AZ_BATCH_JOB_ID', 'AZ_BATCH_TASK_ID'}


@pytest.mark.parametrize(
    ('scope', 'level', 'identity'),
    [
        ('pool', 'nonadmin', 'PoolNonAdmin'),
        ('task', 'nonadmin', 'TaskNonAdmin'),
        ('pool', 'admin', 'PoolAdmin'),
        ('task', 'admin', 'TaskAdmin'),
    ],
)
def test_identity_of_the_user_is_scope_and_elevation(
    azure: LocalAzure, client: BatchServiceClient, scope: str, level: str, identity: str
) -> None:
    """PoolNonAdmin: the printenv of a task (2017). The others by its pattern."""
    run_to_end(azure, a_task(command_line='env -0', user_identity=an_auto_user(scope, level)))

    assert environment(client)['AZ_BATCH_TASK_USER_IDENTITY'] == identity


# The end


@pytest.mark.parametrize('signal', [9, 15])
def test_process_that_a_signal_ended_has_its_negative_number_as_exit_code(
    azure: LocalAzure, client: BatchServiceClient, signal: int
) -> None:
    """Azure/Batch issue 101."""
    run_to_end(azure, a_task(command_line=f'/bin/sh -c "kill -{signal} $$"'))

    info = client.task.get('job', 'task').execution_info
    assert (info.exit_code, info.failure_info.code) == (-signal, 'FailureExitCode')


def test_task_over_its_wall_clock_is_described(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    """microsoft/accessibility-insights-service, a fixture of its tests."""
    limit = models.TaskConstraints(max_wall_clock_time=timedelta(seconds=0.2))

    run_to_end(azure, a_task(command_line='sleep 1000', constraints=limit))

    info = client.task.get('job', 'task').execution_info
    assert (info.exit_code, info.failure_info.code) == (-9, 'TaskEnded')
    assert info.failure_info.message == 'The task was ended by user request'
    assert [(detail.name, detail.value) for detail in info.failure_info.details] == [
        ('Message', 'The maximum execution time configured on the task was exceeded'),
        ('AdditionalErrorCode', 'FailureExitCode'),
    ]


def test_task_of_a_job_over_its_wall_clock_is_described_in_the_same_way(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    """Azure docs, error-handling: the constraints of a job end its tasks. The words are ours."""
    limit = models.JobConstraints(max_wall_clock_time=timedelta(seconds=1))
    client.pool.add(a_pool(target_low_priority_nodes=1))
    client.job.add(a_job(constraints=limit))
    client.task.add('job', a_task(command_line='sleep 1000'))

    wait_completed(azure, 1)

    info = client.task.get('job', 'task').execution_info
    assert info.failure_info.message == 'The task was ended by user request'
