"""What a command line finds and leaves on a node: environment, files in and out, limits, its end.

Azure docs, quick-create-cli (2017): the printenv of a task, from which are the names of variables
and the end of PATH. Others: Azure docs, batch-compute-node-environment-variables.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import azure.batch.models as models
import pytest
from azure.batch import BatchServiceClient
from azure.storage.blob import BlobServiceClient

from tests.local_azure import LocalAzure

from .conftest import (
    LONG,
    a_job,
    a_pool,
    a_task,
    an_auto_user,
    an_output,
    file_of_start_task,
    is_alive,
    run_to_end,
    stdout,
    wait_completed,
    wait_for_nodes,
)

UPDATE_AND_INSTALL = (
    '/bin/sh -c "apt-get -o DPkg::Lock::Timeout=60 update '
    '&& apt-get install -y --no-install-recommends ffmpeg"'
)
OF_JOBS_AND_TASKS = {'AZ_BATCH_JOB_ID', 'AZ_BATCH_TASK_ID'}
VARIABLES = OF_JOBS_AND_TASKS | {
    'AZ_BATCH_ACCOUNT_NAME',
    'AZ_BATCH_ACCOUNT_URL',
    'AZ_BATCH_CERTIFICATES_DIR',
    'AZ_BATCH_NODE_ID',
    'AZ_BATCH_NODE_IS_DEDICATED',
    'AZ_BATCH_NODE_MOUNTS_DIR',
    'AZ_BATCH_NODE_ROOT_DIR',
    'AZ_BATCH_NODE_SHARED_DIR',
    'AZ_BATCH_NODE_STARTUP_DIR',
    'AZ_BATCH_POOL_ID',
    'AZ_BATCH_TASK_DIR',
    'AZ_BATCH_TASK_RESERVED_EPHEMERAL_DISK_SPACE_BYTES',
    'AZ_BATCH_TASK_USER',
    'AZ_BATCH_TASK_USER_IDENTITY',
    'AZ_BATCH_TASK_WORKING_DIR',
    'HOME',
    'LANG',  # that of this process, for the names of files
    'PATH',
    'USER',
}
NO_PROGRAM = ('failure', None, 'CommandProgramNotFound')
APT_FAILED = ('failure', 100, 'FailureExitCode')


def result(client: BatchServiceClient, task_id: str = 'task') -> tuple[str, int | None, str | None]:
    """Result, exit code and failure code of a task."""
    info = client.task.get('job', task_id).execution_info
    return info.result.value, info.exit_code, info.failure_info and info.failure_info.code


def names_in(blobs: BlobServiceClient) -> set[str]:
    return set(blobs.get_container_client('out').list_blob_names())


def variables_in(printed: str) -> dict[str, str]:
    """What `env -0` has printed."""
    return dict(pair.split('=', 1) for pair in printed.split('\0') if pair)


# Variables


def test_task_has_the_variables_of_azure_its_own_and_none_of_this_machine(
    azure: LocalAzure, client: BatchServiceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('SECRET_OF_THIS_MACHINE', 'x')
    odd = 'it\'s "q" $(touch pwned);&.mp4'
    own = [models.EnvironmentSetting(name='NAME', value=odd)]

    run_to_end(azure, a_task(command_line='env -0', environment_settings=own))

    environment = variables_in(stdout(client))
    assert set(environment) == VARIABLES | {'NAME'}
    assert environment['NAME'] == odd
    assert environment['AZ_BATCH_TASK_ID'] == 'task'
    assert environment['AZ_BATCH_NODE_IS_DEDICATED'] == 'false'
    folder, root = environment['AZ_BATCH_TASK_DIR'], environment['AZ_BATCH_NODE_ROOT_DIR']
    assert folder == f'{root}/workitems/job/job-1/task'
    assert environment['AZ_BATCH_TASK_WORKING_DIR'] == environment['HOME'] == f'{folder}/wd'
    assert environment['AZ_BATCH_NODE_SHARED_DIR'] == f'{root}/shared'
    assert environment['AZ_BATCH_NODE_MOUNTS_DIR'] == f'{root}/fsmounts'
    assert environment['AZ_BATCH_CERTIFICATES_DIR'] == f'{folder}/certs'
    assert environment['AZ_BATCH_TASK_RESERVED_EPHEMERAL_DISK_SPACE_BYTES'] == '1000000'
    assert environment['PATH'].endswith(f':{root}/shared:{folder}/wd')
    assert (environment['USER'], environment['AZ_BATCH_TASK_USER']) == ('_azbatch', '_azbatch')
    assert environment['AZ_BATCH_TASK_USER_IDENTITY'] == 'PoolNonAdmin'
    secrets = set(azure.keys.values())
    assert not secrets & set(environment.values())


def test_start_task_has_all_variables_but_those_of_jobs_and_tasks(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    start = models.StartTask(command_line='env -0', user_identity=an_auto_user('task'))

    run_to_end(azure, a_task(), start_task=start)

    (node,) = client.compute_node.list('pool')
    environment = variables_in(file_of_start_task(client, node.id, 'stdout.txt'))
    assert set(environment) == VARIABLES - OF_JOBS_AND_TASKS
    assert environment['AZ_BATCH_TASK_USER_IDENTITY'] == 'TaskAdmin'


# Command lines


def test_command_line_is_not_run_by_a_shell(azure: LocalAzure, client: BatchServiceClient) -> None:
    run_to_end(azure, a_task(command_line='echo $HOME *.txt "two words" | cat && false'))

    assert stdout(client) == '$HOME *.txt two words | cat && false\n'


def test_resource_file_is_called_by_its_bare_name(
    azure: LocalAzure,
    client: BatchServiceClient,
    blobs: BlobServiceClient,
    container_url: Callable[..., str],
) -> None:
    """With a shell: the PATH above. Without one: inferred."""
    path, sas = container_url('input', 'r').split('?')
    script = b'#!/usr/bin/env python3\nimport sys\nprint(sys.argv[1], "is prime")\n'
    blobs.get_blob_client('input', 'find_prime.py').upload_blob(script)
    url = f'{path}/find_prime.py?{sas}'
    resource = models.ResourceFile(http_url=url, file_path='find_prime.py')

    run_to_end(azure, a_task(command_line='find_prime.py 7', resource_files=[resource]))

    assert stdout(client) == '7 is prime\n'


FAILING_COMMANDS = {
    'nothing-like-this': NO_PROGRAM,
    'ffmpeg -version': NO_PROGRAM,
    'sudo true': NO_PROGRAM,
    '"unbalanced': ('failure', None, 'CommandLaunchFailed'),
    'apt-get remove ffmpeg': APT_FAILED,
    'apt-get install -y ffmpeg': APT_FAILED,  # before any update
    # Azure/Batch issue 101: the negative number of the signal.
    '/bin/sh -c "kill -9 $$"': ('failure', -9, 'FailureExitCode'),
    '/bin/sh -c "kill -15 $$"': ('failure', -15, 'FailureExitCode'),
}


def test_commands_that_fail(azure: LocalAzure, client: BatchServiceClient) -> None:
    tasks = []
    for number, command_line in enumerate(FAILING_COMMANDS):
        tasks.append(a_task(f'{number}', command_line, user_identity=an_auto_user()))

    run_to_end(azure, *tasks)

    ends = {task.command_line: result(client, task.id) for task in tasks}
    assert ends == FAILING_COMMANDS


def test_apt_get_knows_no_other_program(azure: LocalAzure, client: BatchServiceClient) -> None:
    install = 'bash -c "apt-get update && apt-get install -y curl"'

    run_to_end(azure, a_task(command_line=install, user_identity=an_auto_user()))

    assert result(client) == APT_FAILED


# Start tasks and elevation


def test_start_task_that_fails_keeps_tasks_away(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    start = models.StartTask(command_line='bash -c "echo no >&2; exit 3"', max_task_retry_count=2)
    client.pool.add(a_pool(target_low_priority_nodes=1, start_task=start))
    client.job.add(a_job())
    client.task.add('job', a_task())

    wait_for_nodes(azure, 'starttaskfailed')

    (node,) = client.compute_node.list('pool')
    info = node.start_task_info
    assert (info.exit_code, info.retry_count, info.result.value) == (3, 2, 'failure')
    assert info.failure_info.code == 'FailureExitCode'
    assert file_of_start_task(client, node.id, 'stderr.txt') == 'no\n'
    assert client.task.get('job', 'task').state == models.TaskState.active


def test_start_task_without_wait_for_success_holds_nothing_up(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    start = models.StartTask(command_line=LONG, wait_for_success=False)

    run_to_end(azure, a_task(), start_task=start)

    (node,) = client.compute_node.list('pool')
    assert node.start_task_info.state == models.StartTaskState.running


def test_start_task_that_is_not_elevated_cannot_install(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    """SDK14 AutoUserSpecification.elevation_level: the default is nonAdmin.

    The words are those of apt 2.6.1.
    """
    start = models.StartTask(command_line=UPDATE_AND_INSTALL)

    client.pool.add(a_pool(target_low_priority_nodes=1, start_task=start))
    wait_for_nodes(azure, 'starttaskfailed')

    (node,) = client.compute_node.list('pool')
    assert node.start_task_info.exit_code == 100
    lock = '/var/lib/apt/lists/lock'
    assert file_of_start_task(client, node.id, 'stderr.txt') == (
        f'E: Could not open lock file {lock} - open (13: Permission denied)\n'
        'E: Unable to lock directory /var/lib/apt/lists/\n'
    )


def test_start_task_that_is_elevated_installs_for_tasks_that_are_not(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    """What it puts into the shared folder is called by its bare name, too."""
    tool = 'install -m 755 <(echo echo hello) "$AZ_BATCH_NODE_SHARED_DIR/greet"'
    start = models.StartTask(
        command_line=f"/bin/bash -c '{UPDATE_AND_INSTALL[12:-1]} && {tool}'",
        user_identity=an_auto_user(),
    )

    run_to_end(
        azure, a_task('1', 'ffmpeg -version'), a_task('2', '/bin/sh -c greet'), start_task=start
    )

    assert stdout(client, '1').startswith('ffmpeg version')
    assert stdout(client, '2') == 'hello\n'


@pytest.mark.parametrize(('level', 'exit_code'), [('admin', 0), ('nonadmin', 100)])
def test_account_of_a_named_user_decides_whether_its_tasks_are_elevated(
    azure: LocalAzure, client: BatchServiceClient, level: str, exit_code: int
) -> None:
    """SDK14 UserAccount.elevation_level."""
    account = models.UserAccount(name='ada', password='Secret1!', elevation_level=level)
    identity = models.UserIdentity(user_name='ada')

    run_to_end(
        azure,
        a_task(command_line=UPDATE_AND_INSTALL, user_identity=identity),
        user_accounts=[account],
    )

    assert client.task.get('job', 'task').execution_info.exit_code == exit_code


# Resource files


def test_resource_files_by_url_and_by_container(
    azure: LocalAzure,
    client: BatchServiceClient,
    blobs: BlobServiceClient,
    container_url: Callable[..., str],
) -> None:
    url = container_url('inbox', 'rl')
    for name in ('film [1].mp4', 'sub/é 中.txt', 'sub/b.txt', 'other.txt'):
        blobs.get_blob_client('inbox', name).upload_blob(name.encode())
    path, sas = url.split('?')
    film = f'{path}/film%20%5B1%5D.mp4?{sas}'
    resources = [
        models.ResourceFile(http_url=film, file_path='in/one.mp4', file_mode='0640'),
        models.ResourceFile(storage_container_url=url, blob_prefix='sub/', file_path='all'),
    ]
    show = 'find . -type f -printf "%p %s %m\\n"'

    run_to_end(azure, a_task(command_line=show, resource_files=resources))

    assert sorted(stdout(client).splitlines()) == [
        './all/sub/b.txt 9 770',
        f'./all/sub/é 中.txt {len("sub/é 中.txt".encode())} 770',
        './in/one.mp4 12 640',
    ]


@pytest.mark.parametrize(
    ('blob', 'permissions', 'code'),
    [
        ('none', 'r', 'BlobNotFound'),
        ('there', 'l', 'BlobAccessDenied'),
        ('', 'r', 'ResourceContainerAccessDenied'),
    ],
)
def test_resource_file_that_cannot_be_had_is_not_tried_again(
    azure: LocalAzure,
    client: BatchServiceClient,
    blobs: BlobServiceClient,
    container_url: Callable[..., str],
    blob: str,
    permissions: str,
    code: str,
) -> None:
    path, sas = container_url('inbox', permissions).split('?')
    blobs.get_blob_client('inbox', 'there').upload_blob(b'x')
    resource = models.ResourceFile(http_url=f'{path}/{blob}?{sas}', file_path='x')
    if not blob:
        resource = models.ResourceFile(storage_container_url=f'{path}?{sas}')
    retries = models.TaskConstraints(max_task_retry_count=2)

    run_to_end(azure, a_task(resource_files=[resource], constraints=retries))

    assert result(client) == ('failure', None, code)
    assert client.task.get('job', 'task').execution_info.retry_count == 0


# Output files


def test_output_files_by_condition_path_and_wildcard(
    azure: LocalAzure, blobs: BlobServiceClient, container_url: Callable[..., str]
) -> None:
    url = container_url('out')
    outputs = [
        an_output('a.mp3', url, 'sub/x [1] é.mp3'),
        an_output('a.mp3', url),
        an_output('*.txt', url, 'texts'),
        an_output('**/*.log', url, 'logs', 'taskcompletion'),
        an_output('../std*.txt', url, 'std', 'taskcompletion'),
        an_output('$AZ_BATCH_TASK_DIR/stdout.txt', url, 'env.txt', 'taskcompletion'),
        an_output('none.mp3', url),
        an_output('a.mp3', url, 'never', 'taskfailure'),
    ]
    make = (
        'bash -c "echo hi; mkdir -p d/e; touch a.mp3 b.txt .hidden.txt d/no.txt; '
        'echo 1 > d/e/f.log; ln -s d/no.txt link.txt"'
    )

    run_to_end(azure, a_task(command_line=make, output_files=outputs))

    assert names_in(blobs) == {
        'sub/x [1] é.mp3',
        'a.mp3',
        'texts/b.txt',
        'texts/link.txt',
        'logs/d/e/f.log',
        'std/stdout.txt',
        'std/stderr.txt',
        'env.txt',
    }


def test_output_files_of_a_failed_task(
    azure: LocalAzure, blobs: BlobServiceClient, container_url: Callable[..., str]
) -> None:
    url = container_url('out')
    conditions = ('tasksuccess', 'taskfailure', 'taskcompletion')
    outputs = [an_output('a', url, condition, condition) for condition in conditions]

    run_to_end(azure, a_task(command_line='bash -c "touch a; exit 1"', output_files=outputs))

    assert names_in(blobs) == {'taskfailure', 'taskcompletion'}


@pytest.mark.parametrize(
    ('container', 'permissions', 'code', 'text'),
    [
        (
            'gone',
            'cw',
            'FileUploadContainerNotFound',
            'One of the specified Azure container(s) was not found '
            'while attempting to upload an output file',
        ),
        ('out', 'r', 'FileUploadAccessDenied', None),
    ],
)
def test_output_file_that_cannot_be_uploaded_is_not_tried_again(
    azure: LocalAzure,
    client: BatchServiceClient,
    blobs: BlobServiceClient,
    container_url: Callable[..., str],
    container: str,
    permissions: str,
    code: str,
    text: str | None,
) -> None:
    """The text: Azure docs, batch-task-output-files."""
    url = container_url(container, permissions)
    if container == 'gone':
        blobs.delete_container(container)
    outputs = [an_output('a', url)]
    retries = models.TaskConstraints(max_task_retry_count=2)

    run_to_end(azure, a_task(command_line='touch a', output_files=outputs, constraints=retries))

    assert result(client) == ('failure', 0, code)
    info = client.task.get('job', 'task').execution_info
    assert (info.retry_count, info.failure_info.category.value) == (0, 'usererror')
    assert text in (None, info.failure_info.message)
    log = b''.join(client.file.get_from_task('job', 'task', 'fileuploaderr.txt'))
    assert code in log.decode()


# Ends


def test_retries_are_counted_and_stop(azure: LocalAzure, client: BatchServiceClient) -> None:
    constraints = models.TaskConstraints(max_task_retry_count=2)
    second_time = 'bash -c "echo x >> tries; test $(wc -l < tries) -ge 2"'

    run_to_end(
        azure,
        a_task('bad', 'false', constraints=constraints),
        a_task('late', second_time, constraints=constraints),
    )

    assert result(client, 'bad') == ('failure', 1, 'FailureExitCode')
    assert client.task.get('job', 'bad').execution_info.retry_count == 2
    assert result(client, 'late') == ('success', 0, None)
    assert client.task.get('job', 'late').execution_info.retry_count == 1


def test_wall_clock_limit_ends_a_task_for_good(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    """The words: microsoft/accessibility-insights-service, a fixture of its tests."""
    limits = models.TaskConstraints(
        max_wall_clock_time=timedelta(seconds=0.3), max_task_retry_count=1
    )

    run_to_end(azure, a_task(command_line=LONG, constraints=limits))

    assert result(client) == ('failure', -9, 'TaskEnded')
    info = client.task.get('job', 'task').execution_info
    assert info.retry_count == 0
    assert info.failure_info.message == 'The task was ended by user request'
    assert [(detail.name, detail.value) for detail in info.failure_info.details] == [
        ('Message', 'The maximum execution time configured on the task was exceeded'),
        ('AdditionalErrorCode', 'FailureExitCode'),
    ]


def test_end_of_a_task_from_outside_ends_the_whole_process_group(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    client.pool.add(a_pool(target_low_priority_nodes=1))
    client.job.add(a_job())
    client.task.add('job', a_task(command_line='bash -c "sleep 86399 & echo $!; wait"'))
    pattern = 'nodes/*/tasks/workitems/job/job-1/task/stdout.txt'

    def printed() -> str:
        return ''.join(file.read_text() for file in azure.root.glob(pattern))

    azure.wait_until(lambda: printed().endswith('\n'))
    child = int(printed())

    client.task.terminate('job', 'task')

    assert result(client) == ('failure', -9, 'TaskEnded')
    azure.wait_until(lambda: not is_alive(child), describe='the end of the child process')


# Slots


def test_slots_and_job_priority_decide_what_runs(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    client.job.add(a_job('low'))
    client.job.add(a_job('high', priority=9, max_parallel_tasks=1))
    for job_id in ('low', 'high'):
        tasks = [a_task(f'{number}', LONG, required_slots=2) for number in range(2)]
        client.task.add_collection(job_id, tasks)

    client.pool.add(a_pool(target_dedicated_nodes=1, task_slots_per_node=4))

    low, high = azure.batch.jobs.get('low'), azure.batch.jobs.get('high')
    azure.wait_until(lambda: low.counts['running'] + high.counts['running'] == 2)
    assert (low.counts['running'], high.counts['running']) == (1, 1)
    assert (low.slots['running'], high.slots['active']) == (2, 2)


def test_task_that_needs_more_slots_than_there_are_never_runs_and_holds_up_no_other(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    client.pool.add(a_pool(target_dedicated_nodes=1, task_slots_per_node=2))
    client.job.add(a_job())
    client.task.add('job', a_task('large', required_slots=3))
    client.task.add('job', a_task('small'))

    wait_completed(azure, 1)

    assert client.task.get('job', 'small').state == models.TaskState.completed
    assert client.task.get('job', 'large').state == models.TaskState.active


def test_tasks_of_a_new_job_of_the_same_name_start_in_an_empty_folder(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    run_to_end(azure, a_task(command_line='touch left-over'))
    client.job.delete('job')
    azure.wait_until(lambda: not azure.batch.all_jobs())

    client.job.add(a_job())
    client.task.add('job', a_task(command_line='ls'))
    wait_completed(azure, 1)

    assert stdout(client) == ''
