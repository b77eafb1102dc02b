"""What a task finds and leaves on a node: environment, files in and out, limits, retries."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta

import azure.batch.models as models
import pytest
from azure.batch import BatchServiceClient
from azure.storage.blob import BlobServiceClient

from tests.local_azure import LocalAzure

from .conftest import a_job, a_pool, a_task, an_auto_user, an_output, run_to_end, wait_completed


def stdout(client: BatchServiceClient, task_id: str = 'task') -> str:
    return b''.join(client.file.get_from_task('job', task_id, 'stdout.txt')).decode()


def result(client: BatchServiceClient, task_id: str = 'task') -> tuple[str, int | None, str | None]:
    """Result, exit code and failure code of a task."""
    info = client.task.get('job', task_id).execution_info
    return info.result.value, info.exit_code, info.failure_info and info.failure_info.code


def test_environment_is_that_of_a_node(
    azure: LocalAzure, client: BatchServiceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('SECRET_OF_THIS_MACHINE', 'x')
    own = [models.EnvironmentSetting(name='NAME', value='it\'s "q" $(touch pwned);&.mp4')]

    run_to_end(azure, a_task(command_line='env -0', environment_settings=own))

    environment = dict(line.split('=', 1) for line in stdout(client).split('\0') if line)
    assert environment['NAME'] == 'it\'s "q" $(touch pwned);&.mp4'
    assert environment['AZ_BATCH_TASK_ID'] == 'task'
    assert environment['AZ_BATCH_TASK_WORKING_DIR'].endswith('/workitems/job/job-1/task/wd')
    assert environment['AZ_BATCH_NODE_IS_DEDICATED'] == 'false'
    assert 'SECRET_OF_THIS_MACHINE' not in environment
    assert not any(
        value in azure.environment.values() for value in environment.values() if len(value) > 40
    )


def test_command_line_is_not_run_by_a_shell(azure: LocalAzure, client: BatchServiceClient) -> None:
    run_to_end(azure, a_task(command_line='echo $HOME *.txt "two words" | cat && false'))

    assert stdout(client) == '$HOME *.txt two words | cat && false\n'


@pytest.mark.parametrize(
    ('command_line', 'expected'),
    [
        ('nothing-like-this', ('failure', None, 'CommandProgramNotFound')),
        ('ffmpeg -version', ('failure', None, 'CommandProgramNotFound')),
        ('sudo true', ('failure', None, 'CommandProgramNotFound')),
        ('"unbalanced', ('failure', None, 'CommandLaunchFailed')),
        ('apt-get remove ffmpeg', ('failure', 100, 'FailureExitCode')),
        (
            'bash -c "apt-get update && apt-get install -y curl"',
            ('failure', 100, 'FailureExitCode'),
        ),
        ('apt-get install -y ffmpeg', ('failure', 100, 'FailureExitCode')),  # before any update
    ],
)
def test_commands_that_fail(
    azure: LocalAzure,
    client: BatchServiceClient,
    command_line: str,
    expected: tuple[str, int | None, str],
) -> None:
    run_to_end(azure, a_task(command_line=command_line, user_identity=an_auto_user()))

    assert result(client) == expected


def test_start_task_that_fails_keeps_tasks_away(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    start = models.StartTask(command_line='bash -c "echo no >&2; exit 3"', max_task_retry_count=2)
    client.pool.add(a_pool(target_low_priority_nodes=1, start_task=start))
    client.job.add(a_job())
    client.task.add('job', a_task())

    azure.wait_until(
        lambda: [n.state.value for n in client.compute_node.list('pool')] == ['starttaskfailed']
    )

    (node,) = client.compute_node.list('pool')
    info = node.start_task_info
    assert (info.exit_code, info.retry_count, info.result.value, info.failure_info.code) == (
        3,
        2,
        'failure',
        'FailureExitCode',
    )
    assert (
        b''.join(client.file.get_from_compute_node('pool', node.id, 'startup/stderr.txt'))
        == b'no\n'
    )
    assert client.task.get('job', 'task').state == models.TaskState.active


def test_start_task_without_wait_for_success_holds_nothing_up(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    start = models.StartTask(command_line='sleep 60', wait_for_success=False)

    run_to_end(azure, a_task(), start_task=start)

    (node,) = client.compute_node.list('pool')
    assert node.start_task_info.state == models.StartTaskState.running


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
    resources = [
        models.ResourceFile(
            http_url=f'{path}/film%20%5B1%5D.mp4?{sas}', file_path='in/one.mp4', file_mode='0640'
        ),
        models.ResourceFile(storage_container_url=url, blob_prefix='sub/', file_path='all'),
    ]

    run_to_end(
        azure, a_task(command_line='find . -type f -printf "%p %s %m\\n"', resource_files=resources)
    )

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
def test_resource_file_that_cannot_be_had(
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

    assert {blob.name for blob in blobs.get_container_client('out').list_blobs()} == {
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
    outputs = [
        an_output('a', url, condition, condition)
        for condition in ('tasksuccess', 'taskfailure', 'taskcompletion')
    ]

    run_to_end(azure, a_task(command_line='bash -c "touch a; exit 1"', output_files=outputs))

    assert {blob.name for blob in blobs.get_container_client('out').list_blobs()} == {
        'taskfailure',
        'taskcompletion',
    }


@pytest.mark.parametrize(
    ('container', 'permissions', 'code'),
    [('gone', 'cw', 'FileUploadContainerNotFound'), ('out', 'r', 'FileUploadAccessDenied')],
)
def test_output_file_that_cannot_be_uploaded(
    azure: LocalAzure,
    client: BatchServiceClient,
    blobs: BlobServiceClient,
    container_url: Callable[..., str],
    container: str,
    permissions: str,
    code: str,
) -> None:
    url = container_url(container, permissions)
    if container == 'gone':
        blobs.delete_container(container)
    retries = models.TaskConstraints(max_task_retry_count=2)

    run_to_end(
        azure,
        a_task(command_line='touch a', output_files=[an_output('a', url)], constraints=retries),
    )

    assert result(client) == ('failure', 0, code)
    assert client.task.get('job', 'task').execution_info.retry_count == 0
    errors = b''.join(client.file.get_from_task('job', 'task', 'fileuploaderr.txt')).decode()
    assert code in errors


def test_upload_failure_has_the_words_of_the_documentation(
    azure: LocalAzure,
    client: BatchServiceClient,
    blobs: BlobServiceClient,
    container_url: Callable[..., str],
) -> None:
    url = container_url('gone')
    blobs.delete_container('gone')

    run_to_end(azure, a_task(command_line='touch a', output_files=[an_output('a', url)]))

    failure = client.task.get(
        'job', 'task'
    ).execution_info.failure_info  # Azure docs, batch-task-output-files
    assert (failure.category.value, failure.code, failure.message) == (
        'usererror',
        'FileUploadContainerNotFound',
        'One of the specified Azure container(s) was not found '
        'while attempting to upload an output file',
    )


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
    constraints = models.TaskConstraints(
        max_wall_clock_time=timedelta(seconds=0.3), max_task_retry_count=1
    )

    run_to_end(azure, a_task(command_line='sleep 1000', constraints=constraints))

    assert result(client) == ('failure', -9, 'TaskEnded')
    assert client.task.get('job', 'task').execution_info.retry_count == 0


def test_end_of_a_task_from_outside_ends_the_whole_process_group(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    client.pool.add(a_pool(target_low_priority_nodes=1))
    client.job.add(a_job())
    client.task.add('job', a_task(command_line='bash -c "sleep 86399 & echo $!; wait"'))
    azure.wait_until(lambda: _printed(azure).endswith('\n'))
    child = int(_printed(azure))
    assert _alive(child)

    client.task.terminate('job', 'task')

    assert result(client) == ('failure', -9, 'TaskEnded')
    azure.wait_until(lambda: not _alive(child), describe='the end of the child process')


def _printed(azure: LocalAzure) -> str:
    """What the only task has printed by now, '' before it runs."""
    return ''.join(
        file.read_text()
        for file in azure.root.glob('nodes/*/tasks/workitems/job/job-1/task/stdout.txt')
    )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f'/proc/{pid}/stat') as file:  # noqa: PTH123
        return ' Z ' not in file.read()


def test_slots_and_job_priority_decide_what_runs(
    azure: LocalAzure, client: BatchServiceClient
) -> None:
    client.job.add(a_job('low'))
    client.job.add(a_job('high', priority=9, max_parallel_tasks=1))
    for job_id in ('low', 'high'):
        client.task.add_collection(
            job_id, [a_task(f'{n}', 'sleep 60', required_slots=2) for n in range(2)]
        )

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

    assert [client.task.get('job', name).state.value for name in ('small', 'large')] == [
        'completed',
        'active',
    ]


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
