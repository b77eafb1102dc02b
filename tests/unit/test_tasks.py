"""Tasks: one for each video, names as data only, in requests of at most 100, each confirmed."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from azure.batch import models
from azure.batch.custom.custom_errors import CreateTasksErrorException

import batch_python_tutorial_ffmpeg as sample

from .conftest import Clock
from .mocks import BatchMock, confirm_all
from .service_objects import STORAGE_URL, batch_error
from .web import Answer, Web, json_answer

JOB_ID = 'LinuxFFmpegJob'
OUTPUT_SAS_URL = f'{STORAGE_URL}/output?sp=cw&sig=c2VjcmV0'
NASTY_NAMES = [
    '$(reboot).mp4',
    "'; rm -rf *; '.mp4",
    'a*?[b].mp4',
    '-version.mp4',
    'sub/%AZ_BATCH%.mp4',
    'vid\u00e9o.mp4',
]
M4A = {'extension': '.m4a', 'ffmpeg_options': '-vn -c:a aac'}


def resource_files(names: list[str]) -> list[models.ResourceFile]:
    """Return the uploaded videos of these names."""
    files = []
    for number, name in enumerate(names):
        url = f'{STORAGE_URL}/input/{number}?sp=r&sig={number}'
        files.append(models.ResourceFile(http_url=url, file_path=name))
    return files


def added_tasks(batch: BatchMock, names: list[str]) -> list[Any]:
    """Return all tasks that add_tasks sends for videos of these names."""
    sample.add_tasks(batch.client, JOB_ID, resource_files(names), OUTPUT_SAS_URL)
    return [task for call in batch.task.add_collection.call_args_list for task in call.args[1]]


def many(number: int) -> list[str]:
    return [f'{index}.mp4' for index in range(number)]


# --- Names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('video', 'mp3'),
    [
        ('LowPriVMs-1.mp4', 'LowPriVMs-1.mp3'),
        ('a.b.mp4', 'a.b.mp3'),
        ('sub/x.mp4', 'sub/x.mp3'),
        ('UPPER.MP4', 'UPPER.mp3'),
        ('folder.mp4/x.mp4', 'folder.mp4/x.mp3'),
    ],
)
def test_output_name_changes_the_suffix_only(video: str, mp3: str) -> None:
    assert sample.output_name(video) == mp3


def test_output_format_is_changed_in_one_place(
    batch: BatchMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, '_OUTPUT_FORMAT', M4A)

    (task,) = added_tasks(batch, ['sub/a.mp4'])

    assert sample.output_name('sub/a.mp4') == 'sub/a.m4a'
    assert '-i input.mp4 -vn -c:a aac output.m4a' in task.command_line
    assert task.output_files[0].file_pattern == 'output.m4a'
    assert task.output_files[0].destination.container.path == 'sub/a.m4a'


# --- The commands ---------------------------------------------------------------------------------


def program(folder: Path, name: str, script: str) -> None:
    """Put a program into a folder."""
    path = folder / name
    path.write_text(f'#!/bin/bash\n{script}\n')
    path.chmod(0o755)


def run_command(command: str, folder: Path, path: str) -> subprocess.CompletedProcess[str]:
    """Run a command line as a node does it: without a shell."""
    return subprocess.run(
        shlex.split(command),
        cwd=folder,
        env={'PATH': path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ('ffmpeg', 'exit_code', 'kept', 'words'),
    [
        pytest.param('echo MP3 > output.mp3', 0, True, b'', id='sound'),
        pytest.param('echo MP3 > output.mp3; echo moov >&2', 3, True, b'moov\n', id='damaged'),
        pytest.param('echo MP3 > output.mp3; printf "\\0" >&2', 3, True, b'\0\n', id='binary'),
        pytest.param('echo MP3 > output.mp3; exit 69', 69, False, b'', id='failed silently'),
        pytest.param('echo bad >&2; exit 1', 1, False, b'bad\n', id='failed'),
        pytest.param('echo half > output.mp3; kill -9 $$', 137, False, None, id='killed'),
    ],
)
def test_task_command_tells_sound_damaged_and_failed_apart(
    ffmpeg: str, exit_code: int, kept: bool, words: bytes | None, tmp_path: Path
) -> None:
    program(tmp_path, 'ffmpeg', ffmpeg)

    ended = subprocess.run(
        shlex.split(sample.task_command()),
        cwd=tmp_path,
        env={'PATH': f'{tmp_path}:{os.environ["PATH"]}'},
        capture_output=True,
        check=False,
    )

    assert ended.returncode == exit_code
    assert (tmp_path / 'output.mp3').exists() is kept
    if words is not None:
        assert ended.stderr == words


def test_task_command_gives_ffmpeg_the_video_and_no_terminal(tmp_path: Path) -> None:
    program(tmp_path, 'ffmpeg', 'printf "%s\\n" "$@" > arguments')

    run_command(sample.task_command(), tmp_path, f'{tmp_path}:{os.environ["PATH"]}')

    arguments = (tmp_path / 'arguments').read_text().split()
    place = arguments.index('-i')
    assert arguments[place - 1 : place + 2] == ['-y', '-i', 'input.mp4']
    assert arguments[-1] == sample.output_name('output')
    assert '-nostdin' in arguments


def test_start_task_finds_ffmpeg_that_is_there(tmp_path: Path) -> None:
    program(tmp_path, 'ffmpeg', 'exit 0')
    program(tmp_path, 'apt-get', ': > called')

    ended = run_command(sample._START_TASK_COMMAND, tmp_path, str(tmp_path))

    assert ended.returncode == 0
    assert not (tmp_path / 'called').exists()


@pytest.mark.parametrize(('failures', 'exit_code'), [(0, 0), (18, 0), (1000, 1)])
def test_start_task_tries_again_while_apt_is_locked(
    failures: int, exit_code: int, tmp_path: Path
) -> None:
    program(
        tmp_path,
        'apt-get',
        'echo "$@" >> calls; mapfile -t calls < calls\n'
        f'if [ ${{#calls[@]}} -le {failures} ]; then exit 100; fi\n'
        'if [ "$1" = install ]; then echo "#!/bin/bash" > ffmpeg; /bin/chmod 755 ffmpeg; fi',
    )
    program(tmp_path, 'sleep', 'echo "$1" >> pauses')

    ended = run_command(sample._START_TASK_COMMAND, tmp_path, str(tmp_path))

    assert ended.returncode == exit_code
    calls = (tmp_path / 'calls').read_text().splitlines()
    assert calls[0] == 'update'
    assert (calls[-1] == 'install -y --no-install-recommends ffmpeg') is (exit_code == 0)
    pauses = tmp_path / 'pauses'
    waited = len(pauses.read_text().splitlines()) if pauses.exists() else 0
    assert waited == min(failures, 20)


# --- What a task is -------------------------------------------------------------------------------


def test_task_reads_its_video_and_uploads_its_mp3_with_their_sas(batch: BatchMock) -> None:
    (task,) = added_tasks(batch, ['sub/a.b.mp4'])

    (resource_file,) = task.resource_files
    (output_file,) = task.output_files
    assert resource_file.http_url == f'{STORAGE_URL}/input/0?sp=r&sig=0'
    assert output_file.destination.container.container_url == OUTPUT_SAS_URL
    assert output_file.destination.container.path == 'sub/a.b.mp3'


def test_task_uploads_the_mp3_of_a_damaged_video_too(batch: BatchMock) -> None:
    (task,) = added_tasks(batch, ['a.mp4'])

    condition = task.output_files[0].upload_options.upload_condition
    assert condition == models.OutputFileUploadCondition.task_completion


def test_task_has_the_name_of_its_video_to_be_shown(batch: BatchMock) -> None:
    tasks = added_tasks(batch, ['a.mp4', 'sub/b.mp4'])

    assert [task.display_name for task in tasks] == ['a.mp4', 'sub/b.mp4']


def test_task_is_not_tried_again_and_has_no_time_limit_of_its_own(batch: BatchMock) -> None:
    (task,) = added_tasks(batch, ['a.mp4'])

    assert task.constraints.max_task_retry_count == 0
    assert task.constraints.max_wall_clock_time is None


@pytest.mark.parametrize('name', NASTY_NAMES)
def test_task_has_no_part_of_a_file_name_in_command_pattern_and_path(
    name: str, batch: BatchMock
) -> None:
    (plain,) = added_tasks(BatchMock(), ['plain.mp4'])

    (task,) = added_tasks(batch, [name])

    assert task.command_line == plain.command_line == sample.task_command()
    assert task.output_files[0].file_pattern == plain.output_files[0].file_pattern == 'output.mp3'
    assert task.resource_files[0].file_path == plain.resource_files[0].file_path == 'input.mp4'
    assert task.id == plain.id
    assert not task.environment_settings


# --- How they are added ---------------------------------------------------------------------------


def test_tasks_of_250_videos_go_in_three_requests(batch: BatchMock) -> None:
    tasks = added_tasks(batch, many(250))

    sent = batch.task.add_collection.call_args_list
    assert sorted(len(call.args[1]) for call in sent) == [50, 100, 100]
    assert {call.args[0] for call in sent} == {JOB_ID}
    assert sorted(task.display_name for task in tasks) == sorted(many(250))
    assert len({task.id for task in tasks}) == 250


@pytest.mark.parametrize(('number', 'requests'), [(1, 1), (99, 1), (100, 1), (101, 2)])
def test_tasks_fill_their_requests(number: int, requests: int, batch: BatchMock) -> None:
    tasks = added_tasks(batch, many(number))

    assert len(tasks) == number
    assert batch.task.add_collection.call_count == requests


def test_tasks_are_added_by_several_requests_at_once(batch: BatchMock) -> None:
    all_under_way = threading.Barrier(5, timeout=10)

    def add(job_id: str, tasks: list[Any]) -> models.TaskAddCollectionResult:
        all_under_way.wait()
        return confirm_all(job_id, tasks)

    batch.task.add_collection.side_effect = add

    assert len(added_tasks(batch, many(500))) == 500


def test_tasks_are_announced(batch: BatchMock, capsys: pytest.CaptureFixture[str]) -> None:
    added_tasks(batch, many(5))

    assert capsys.readouterr().out == 'Adding 5 tasks to job [LinuxFFmpegJob]...\n'


@pytest.mark.parametrize('lost', [[0], [149], list(range(150))], ids=['first', 'last', 'all'])
def test_tasks_that_are_not_confirmed_are_an_error(lost: list[int], batch: BatchMock) -> None:
    lost_ids = {f'Task{number}' for number in lost}

    def add(job_id: str, tasks: list[Any]) -> models.TaskAddCollectionResult:
        return confirm_all(job_id, [task for task in tasks if task.id not in lost_ids])

    batch.task.add_collection.side_effect = add

    with pytest.raises(sample.SampleError, match=r'did not confirm \d+ tasks, such as Task\d+'):
        added_tasks(batch, many(150))


def test_tasks_that_batch_refuses_are_an_error(batch: BatchMock) -> None:
    batch.task.add_collection.side_effect = batch_error('JobCompleted')

    with pytest.raises(models.BatchErrorException, match='JobCompleted'):
        added_tasks(batch, many(3))


# --- Tasks that Batch could not add for the moment ------------------------------------------------

TASKS = [models.TaskAddParameter(id=f'Task{number}', command_line='x') for number in range(2)]


def result(number: int, status: str, code: str = '') -> dict[str, Any]:
    answer: dict[str, Any] = {'taskId': f'Task{number}', 'status': status}
    if code:
        answer['error'] = {'code': code, 'message': {'value': 'No.'}}
    return answer


def results(*of_tasks: dict[str, Any]) -> Answer:
    return json_answer(200, {'value': list(of_tasks)})


BOTH_ADDED = results(result(0, 'success'), result(1, 'success'))
ONE_FAILED = results(result(0, 'success'), result(1, 'servererror'))
ONE_EXISTS = results(result(0, 'clienterror', 'TaskExists'), result(1, 'success'))


@pytest.mark.parametrize('last', [BOTH_ADDED, ONE_EXISTS], ids=['added', 'exists by now'])
def test_tasks_that_met_a_server_error_are_added_again(
    last: Answer, batch_client: Any, web: Web, clock: Clock
) -> None:
    web.answers = [ONE_FAILED, ONE_FAILED, last]

    assert sample.add_chunk(batch_client, JOB_ID, TASKS) == {'Task0', 'Task1'}
    assert len(web.requests) == 3
    for request in web.requests:
        sent = json.loads(request.body)['value']
        assert sorted(task['id'] for task in sent) == ['Task0', 'Task1']
    assert clock.elapsed == pytest.approx(3, abs=0.1)  # 1 second, then 2


@pytest.mark.parametrize(
    'answer',
    [ONE_FAILED, json_answer(501, {'code': 'X', 'message': {'value': 'No.'}})],
    ids=['a task', 'the whole request'],
)
def test_tasks_that_meet_server_errors_again_and_again_are_an_error_in_the_end(
    answer: Answer, batch_client: Any, web: Web, clock: Clock
) -> None:
    """`task.add_collection` itself would repeat both without end and without a pause."""
    web.otherwise = answer

    with pytest.raises(CreateTasksErrorException) as raised:
        sample.add_chunk(batch_client, JOB_ID, TASKS)

    assert sample.describe(raised.value).startswith('Batch could not add some of the tasks.')
    assert len(web.requests) == sample._RETRIES + 1 == 9
    assert 45 <= clock.elapsed <= 75  # about a minute


def test_tasks_that_are_refused_are_not_added_again(
    batch_client: Any, web: Web, clock: Clock
) -> None:
    web.otherwise = results(result(0, 'clienterror', 'InvalidPropertyValue'), result(1, 'success'))

    with pytest.raises(CreateTasksErrorException) as raised:
        sample.add_chunk(batch_client, JOB_ID, TASKS)

    assert sample.describe(raised.value).startswith('InvalidPropertyValue: No.')
    assert (len(web.requests), clock.sleeps) == (1, [])


def test_tasks_wait_no_longer_when_the_run_has_to_stop(
    batch_client: Any, web: Web, clock: Clock
) -> None:
    web.otherwise = ONE_FAILED

    def stop() -> None:
        sample.stop.reason = sample.InterruptedRunError()

    clock.on_sleep.append(stop)

    with pytest.raises(sample.InterruptedRunError):
        sample.add_chunk(batch_client, JOB_ID, TASKS)

    assert len(web.requests) == 1
