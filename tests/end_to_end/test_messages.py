"""What a user reads when something is wrong: what it is, which setting, and the way out."""

from __future__ import annotations

import base64
import itertools
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from azure.storage.blob import BlobLeaseClient

from tests.conftest import MakeVideo
from tests.local_azure import LocalAzure, script_environment
from tests.screen import CTRL_C, CTRL_D, Screen

from .conftest import SCRIPT, TIMEOUT, OpenScreen, Sample

OTHER_KEY = base64.b64encode(b'not the key of this account').decode()
BATCH_HELP = 'Batch account localbatch: Wrong key (_BATCH_ACCOUNT_KEY, AZURE_BATCH_ACCESS_KEY)'
STORAGE_HELP = 'Storage account localstorage: Wrong key (_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_KEY)'
DELETE_JOB = r'^Delete job\? \[Y/n\]'
DELETE_POOL = r'^Delete pool\? \[Y/n\]'
# A sitecustomize.py that lets the import of a package fail.
NOT_INSTALLED = """
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {0!r}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)

sys.meta_path.insert(0, Finder())
"""


@pytest.fixture(autouse=True)
def video(make_video: MakeVideo) -> None:
    make_video('a.mp4')


def assert_usage_error(sample: Sample, *words: str, options: tuple[str, ...] = ('-y',)) -> str:
    """Run the sample, and return its one line: exit code 2, no request, with these words."""
    result = sample.run(*options)

    assert result.returncode == 2
    assert result.stdout == ''
    lines = [line for line in result.stderr.splitlines() if not line.startswith('  ')]
    assert len(lines) == 1  # beside commands, which have lines of their own
    for word in words:
        assert word in result.stderr
    assert not sample.has_contacted_azure()
    return result.stderr


def edit_script(sample: Sample, setting: str, value: str) -> None:
    """Run a copy of the script in which this setting was edited, as most users do it."""
    text, edited = re.subn(
        rf'^{setting} = .*$', f'{setting} = {value}', SCRIPT.read_text(), flags=re.MULTILINE
    )
    assert edited == 1
    copy = sample.output.parent / SCRIPT.name
    copy.write_text(text)
    sample.shell = f'exec "$1" {copy} "${{@:3}}"'


def sleeps(screen: Screen) -> bool:
    """Whether the sample sleeps, which after a question means that it waits for the answer."""
    status = Path(f'/proc/{screen.process.pid}/stat').read_text()
    state = status.rpartition(')')[2].split()[0]
    return state == 'S'


# --- Keys and addresses ---------------------------------------------------------------------------


def assert_storage_key_is_named(stderr: str) -> None:
    assert STORAGE_HELP in stderr
    assert '_BATCH_ACCOUNT_KEY' not in stderr
    assert 'Azure Batch' not in stderr  # as the role is called


def test_a_wrong_storage_key_names_the_account_the_setting_and_its_variable(
    sample: Sample,
) -> None:
    sample.environment = {'AZURE_STORAGE_KEY': OTHER_KEY}

    stderr = sample.assert_refused('AuthorizationFailure')  # Azurite's code

    assert_storage_key_is_named(stderr)


def test_a_storage_key_that_azure_refuses_is_named_with_both_clocks(sample: Sample) -> None:
    sample.azure.fail_requests(
        '*', '', count=None, service='storage', status=403, code='AuthenticationFailed'
    )

    stderr = sample.assert_refused('AuthenticationFailed', '(Clocks: service ')

    assert_storage_key_is_named(stderr)


def test_a_wrong_batch_key_names_the_account_the_setting_and_its_variable(sample: Sample) -> None:
    sample.environment = {'AZURE_BATCH_ACCESS_KEY': OTHER_KEY}

    stderr = sample.assert_refused('AuthenticationFailed', BATCH_HELP)

    assert '_STORAGE_ACCOUNT_KEY' not in stderr


def test_keys_of_the_two_accounts_that_were_swapped_name_the_account_and_the_setting(
    sample: Sample,
) -> None:
    keys = sample.azure.keys
    sample.environment = {
        'AZURE_BATCH_ACCESS_KEY': keys['AZURE_STORAGE_KEY'],
        'AZURE_STORAGE_KEY': keys['AZURE_BATCH_ACCESS_KEY'],
    }

    sample.assert_refused(BATCH_HELP)


@pytest.mark.parametrize(
    ('variable', 'words'),
    [
        (
            'AZURE_STORAGE_SERVICE_ENDPOINT',
            'Storage at https://no-such-account.invalid does not answer. Check '
            '_STORAGE_ACCOUNT_NAME (AZURE_STORAGE_ACCOUNT), _STORAGE_ACCOUNT_URL and the network.',
        ),
        (
            'AZURE_BATCH_ENDPOINT',
            'Batch at https://no-such-account.invalid does not answer. Check '
            '_BATCH_ACCOUNT_URL (AZURE_BATCH_ENDPOINT) and the network.',
        ),
    ],
)
def test_an_unknown_host_names_the_setting_and_the_way_out(
    sample: Sample, variable: str, words: str
) -> None:
    sample.environment = {variable: 'https://no-such-account.invalid'}

    sample.assert_refused(words)


@pytest.mark.parametrize(
    ('key', 'words'),
    [
        ('AZURE_STORAGE_KEY', '_STORAGE_ACCOUNT_URL: signing in without _STORAGE_ACCOUNT_KEY'),
        ('AZURE_BATCH_ACCESS_KEY', '_BATCH_ACCOUNT_URL: signing in without _BATCH_ACCOUNT_KEY'),
    ],
)
def test_an_http_endpoint_with_an_empty_key_is_named(sample: Sample, key: str, words: str) -> None:
    sample.environment = {key: ''}

    assert_usage_error(sample, f'{words} needs https')


# --- Settings and options -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('setting', 'value', 'words'),
    [
        (
            '_JOB_TIMEOUT',
            '30',
            '_JOB_TIMEOUT: 30 is not a duration of up to 6 days, such as timedelta(minutes=30)',
        ),
        (
            '_UPLOAD_TIMEOUT',
            '"2 h"',
            "_UPLOAD_TIMEOUT: '2 h' is not a duration of up to 6 days, "
            'such as timedelta(minutes=30)',
        ),
        (
            '_DEDICATED_POOL_NODE_COUNT',
            "'2'",
            "_DEDICATED_POOL_NODE_COUNT: '2' is not a number of nodes, such as 5",
        ),
        (
            '_LOW_PRIORITY_POOL_NODE_COUNT',
            '2.5',
            '_LOW_PRIORITY_POOL_NODE_COUNT: 2.5 is not a number of nodes, such as 5',
        ),
        (
            '_LOW_PRIORITY_POOL_NODE_COUNT',
            'None',
            '_LOW_PRIORITY_POOL_NODE_COUNT: None is not a number of nodes, such as 5',
        ),
        ('_JOB_ID', '7', '_JOB_ID: 7 is not letters, digits, hyphens and underscores'),
    ],
)
def test_a_setting_of_the_wrong_kind_is_named_with_the_form_that_is_expected(
    sample: Sample, setting: str, value: str, words: str
) -> None:
    edit_script(sample, setting, value)

    assert_usage_error(sample, words)


@pytest.mark.parametrize(
    ('setting', 'variable', 'value', 'form'),
    [
        ('_BATCH_ACCOUNT_URL', 'AZURE_BATCH_ENDPOINT', 'https://my account.com', 'https:// and'),
        ('_BATCH_ACCOUNT_NAME', 'AZURE_BATCH_ACCOUNT', 'My Account', '3 to 24 lower-case letters'),
        ('_STORAGE_ACCOUNT_URL', 'AZURE_STORAGE_SERVICE_ENDPOINT', 'a.com', 'https:// and'),
    ],
)
def test_a_value_of_the_wrong_form_is_quoted_with_its_variable(
    sample: Sample, setting: str, variable: str, value: str, form: str
) -> None:
    sample.environment = {variable: value}

    assert_usage_error(sample, f'{setting} (from the variable {variable}): {value!r} is not {form}')


def test_a_value_that_stands_in_the_script_is_not_said_to_come_from_a_variable(
    sample: Sample,
) -> None:
    edit_script(sample, '_POOL_ID', "'my pool'")

    assert_usage_error(sample, "Error: _POOL_ID: 'my pool' is not letters, digits, hyphens")


def test_a_key_of_the_wrong_form_is_not_quoted(sample: Sample) -> None:
    sample.environment = {'AZURE_STORAGE_KEY': 'part of a secret'}

    stderr = assert_usage_error(
        sample,
        '_STORAGE_ACCOUNT_KEY (from the variable AZURE_STORAGE_KEY): its value is not base64',
    )

    assert 'secret' not in stderr


@pytest.mark.parametrize('options', [('--timeout', '-5'), ('--timeout=-5',), ('--timeout', 'abc')])
def test_a_wrong_timeout_talks_about_the_timeout(sample: Sample, options: tuple[str, ...]) -> None:
    result = sample.run('-y', *options)

    assert (result.returncode, result.stdout) == (2, '')
    message = result.stderr.splitlines()[-1]
    assert 'error: argument --timeout: ' in message
    assert options[-1].removeprefix('--timeout=') in message
    assert 'node' not in message


def test_a_placeholder_names_the_command_for_those_without_an_account(sample: Sample) -> None:
    sample.environment = {'AZURE_BATCH_ACCOUNT': '<Batch account>'}

    assert_usage_error(
        sample, 'still a placeholder. Without an Azure account:\n  python -m tests.local_azure\n'
    )


def test_a_wrong_setting_under_the_local_azure_does_not_name_the_local_azure(
    sample: Sample,
) -> None:
    """Nothing is a placeholder there, as the local Azure gives the script its accounts."""
    edit_script(sample, '_POOL_ID', "'my pool'")

    stderr = assert_usage_error(sample, '_POOL_ID')

    assert 'local_azure' not in stderr


# --- Interrupts and questions ---------------------------------------------------------------------


def test_ctrl_c_at_the_question_about_a_kept_job_says_what_is_left_and_whether_it_bills(
    open_screen: OpenScreen, sample: Sample
) -> None:
    assert sample.run('--keep').returncode == 0
    screen = open_screen(width=200)
    screen.wait_for(r'^Delete it and go on\? \[y/N\]')
    sample.azure.wait_until(lambda: sleeps(screen))

    screen.type(CTRL_C)

    assert screen.finish() == 130
    shown = screen.look_back()
    assert 'Interrupted: cleaning up. Once more leaves at once.\n' in shown
    assert 'Delete it and go on? [y/N] no (interrupted)\n' in shown
    assert 'Error: Job [LinuxFFmpegJob] exists.' in shown
    assert re.search(
        r'^It costs nothing\. To delete it:\n  az batch job delete .*\n'
        r'Pool \[LinuxFFmpegPool\] exists\. Its nodes bill until [-\d]+ [:\d]+, '
        r'or until it is deleted\. To delete it:\n  az batch pool delete .*$',
        shown,
        re.MULTILINE,
    )
    assert (sample.jobs(), sample.pools()) == (['LinuxFFmpegJob'], ['LinuxFFmpegPool'])


def test_an_interrupt_in_the_downloads_says_what_has_arrived_and_how_to_fetch_the_rest(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('b.mp4')
    held = sample.azure.hang_requests('GET', '/output/b.mp3', service='storage')
    process = sample.start('-y')
    sample.azure.wait_until(lambda: held.hits and (sample.output / 'a.mp3').exists())

    process.send_signal(signal.SIGINT)
    result = sample.finish(process)

    assert result.returncode == 130
    assert (
        '2 MP3s of this run are in container [output], 1 of them have arrived in '
        f'{sample.output}. To fetch them:\n'
        '  az storage blob download-batch --source output '
        f'--destination "{sample.output}" --account-name localstorage '
        f'--blob-endpoint {sample.azure.environment["AZURE_STORAGE_SERVICE_ENDPOINT"]}\n'
        'To convert only what is missing, run again with --missing.\n'
    ) in result.stderr
    assert 'a.mp3' in sample.mp3s()
    assert 'b.mp3' not in sample.mp3s()
    assert sample.nothing_is_left()
    with sample.azure.blob_service_client() as client:
        blobs = client.get_container_client('output').list_blob_names()
        assert sorted(blobs) == ['a.mp3', 'b.mp3']


def test_an_interrupt_before_anything_was_made_says_nothing_of_mp3s(sample: Sample) -> None:
    held = sample.azure.hold_requests(
        'GET', '/input/a.mp4', count=None, service='storage', source='node'
    )
    process = sample.start('-y')
    sample.azure.wait_until(lambda: held.hits)

    process.send_signal(signal.SIGINT)
    result = sample.finish(process)

    assert result.returncode == 130
    assert 'MP3' not in result.stderr
    assert 'az ' not in result.stderr


def test_keep_twice_replaces_the_job_uses_the_pool_again_and_says_so(sample: Sample) -> None:
    sample.azure.batch.delays = replace(sample.azure.batch.delays, autoscale_pause=0)
    assert sample.run('--keep').returncode == 0
    first = sample.azure.batch_client().job.get('LinuxFFmpegJob')

    result = sample.run('--keep')

    assert result.returncode == 0, result.stderr
    assert (
        'Job [LinuxFFmpegJob] exists: 1 tasks done, 0 not done.\n'
        'It was kept by an earlier run, and is replaced.\n'
    ) in result.stdout
    assert (
        'Pool [LinuxFFmpegPool] exists with the same settings and is used again.\n' in result.stdout
    )
    assert 'Error' not in result.stderr
    second = sample.azure.batch_client().job.get('LinuxFFmpegJob')
    assert second.creation_time > first.creation_time


@pytest.mark.parametrize(
    ('key', 'answered'),
    [
        (CTRL_D, r'^Delete job\? \[Y/n\] yes\nDelete pool\? \[Y/n\]'),
        (
            CTRL_C,
            r'^Delete job\? \[Y/n\].*\nInterrupted: cleaning up\. Once more leaves at once\.\n'
            r'Delete job\? \[Y/n\] yes \(interrupted\)\nDelete pool\? \[Y/n\]',
        ),
    ],
    ids=['Ctrl-D', 'Ctrl-C'],
)
def test_a_key_that_ends_the_question_says_what_follows_and_ends_the_line(
    open_screen: OpenScreen, sample: Sample, key: str, answered: str
) -> None:
    screen = open_screen()
    screen.wait_for(DELETE_JOB)
    sample.azure.wait_until(lambda: sleeps(screen))

    screen.type(key)

    shown = screen.wait_for(DELETE_POOL)
    assert re.search(answered, shown, re.MULTILINE), shown
    screen.type(CTRL_D)
    assert screen.finish() == (130 if key == CTRL_C else 0)
    ends = screen.look_back()
    assert re.search(r'^Delete pool\? \[Y/n\] yes\n', ends, re.MULTILINE), ends
    assert sample.nothing_is_left()


def test_the_end_of_input_where_there_is_no_terminal_ends_its_lines(sample: Sample) -> None:
    result = sample.run()

    assert result.stdout.endswith(
        'Delete job? [Y/n] yes (there is no terminal to ask)\n'
        'Delete pool? [Y/n] yes (there is no terminal to ask)\n'
    )


# --- Files and packages ---------------------------------------------------------------------------


def test_a_video_without_sound_is_said_to_have_no_audio_track_before_ffmpegs_words(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('silent.mp4', audible=False)

    result = sample.run('-y')

    assert result.returncode == 1
    assert re.search(
        r'^silent\.mp4 failed: exit code \d+: no audio track\n(    .*\n)*'
        r'    .*does not contain any stream',
        result.stderr,
        re.MULTILINE,
    ), result.stderr
    assert sample.mp3s() == ['a.mp3']


def test_the_videos_beside_the_script_are_taken_when_it_runs_in_another_folder(
    azure: LocalAzure, clips: Path, tmp_path: Path
) -> None:
    folder = tmp_path / 'elsewhere'
    folder.mkdir()

    result = subprocess.run(
        [sys.executable, SCRIPT, '-y'],
        env=script_environment(azure),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding='utf-8',
        timeout=TIMEOUT,
    )

    assert result.returncode == 0, result.stderr
    arrived = sorted(path.stem for path in (folder / 'OutputFiles').iterdir())
    assert arrived == sorted(path.stem for path in clips.glob('*.mp4'))


@pytest.mark.parametrize('package', ['azure.batch', 'azure.identity', 'msrestazure', 'rich'])
@pytest.mark.parametrize('option', ['-y', '--check'])
def test_a_missing_package_is_one_line_with_the_pip_command(
    sample: Sample, tmp_path: Path, package: str, option: str
) -> None:
    (tmp_path / 'sitecustomize.py').write_text(NOT_INSTALLED.format(package))
    sample.environment = {'PYTHONPATH': str(tmp_path)}

    stderr = assert_usage_error(
        sample, package, 'Run: pip install -r requirements.txt', options=(option,)
    )

    assert stderr.startswith('Error: No module named ')


# --- What bills -----------------------------------------------------------------------------------


def test_a_run_that_fails_before_it_has_created_a_pool_does_not_speak_of_nodes_that_end(
    sample: Sample,
) -> None:
    sample.azure.fail_requests(
        'PUT',
        '/input/a.mp4',
        count=None,
        service='storage',
        status=403,
        code='AuthenticationFailed',
    )

    stderr = sample.assert_refused('AuthenticationFailed')

    assert 'bill' not in stderr
    assert 'Nodes' not in stderr
    assert sample.nothing_is_left()


# --- Commands to copy -----------------------------------------------------------------------------


def assert_commands_stand_alone(text: str, *commands: str) -> None:
    """Each command of the Azure CLI must be a whole line of its own, and these must be there."""
    lines = text.splitlines()
    mentioned = [line for line in lines if re.search(r'\baz [a-z]+ [a-z]', line)]
    for line in mentioned:
        assert re.match(r'  az (batch|role|storage) ', line), line
        assert not re.search(r'[.:;,]( |$)', line), line
        assert line.count('(') == line.count(')'), line
    for command in commands:
        assert any(line.startswith(f'  az {command} ') for line in mentioned), text


def keep(sample: Sample) -> str:
    result = sample.run('--keep')
    assert result.returncode == 0
    return result.stderr


def old_job(sample: Sample) -> str:
    keep(sample)
    return sample.assert_refused('exists', options=())


def old_job_in_a_check(sample: Sample) -> str:
    keep(sample)
    return sample.assert_refused('exists', options=('--check',))


def pool_with_other_settings(sample: Sample) -> str:
    keep(sample)
    sample.azure.batch_client().job.delete('LinuxFFmpegJob')
    return sample.assert_refused('other settings', options=('-y', '--vm-size=STANDARD_A2_v2'))


def failing_cleanup(sample: Sample) -> str:
    for path in ('/jobs/', '/pools/'):
        sample.azure.fail_requests('DELETE', path, count=None, status=403, code='PermissionDenied')
    sample.azure.fail_requests(
        'DELETE',
        '/input',
        count=None,
        service='storage',
        status=403,
        code='AuthorizationPermissionMismatch',
    )
    result = sample.run('-y')
    assert result.returncode == 1
    return result.stderr


def missing_batch_role(sample: Sample) -> str:
    sample.azure.fail_requests('POST', r'/pools\?', status=403, code='PermissionDenied')
    return sample.assert_refused('a role is missing')


def missing_storage_role(sample: Sample) -> str:
    sample.azure.fail_requests(
        '*', '', count=None, service='storage', status=403, code='AuthorizationPermissionMismatch'
    )
    return sample.assert_refused('a role is missing')


def refused_formula(sample: Sample) -> str:
    sample.azure.fail_requests('POST', '/enableautoscale', status=403, code='PermissionDenied')
    return keep(sample)


def refused_words_of_ffmpeg(sample: Sample) -> str:
    (sample.input / 'a.mp4').write_text('no video')
    sample.azure.fail_requests(
        'GET', '/files/stderr.txt', count=None, status=403, code='PermissionDenied'
    )
    return sample.assert_refused('no stderr')


def two_interrupts(sample: Sample) -> str:
    hanging = sample.azure.hang_requests('DELETE', '/jobs/', count=None)
    process = sample.start('-y')
    sample.azure.wait_until(lambda: hanging.hits)
    process.send_signal(signal.SIGINT)
    assert process.stderr
    lines = iter(process.stderr.readline, '')
    before = ''.join(itertools.takewhile(lambda line: 'Interrupted' not in line, lines))
    process.send_signal(signal.SIGINT)
    return before + sample.finish(process).stderr


def interrupted_with_keep(sample: Sample) -> str:
    held = sample.azure.hold_requests(
        'GET', '/input/a.mp4', count=None, service='storage', source='node'
    )
    process = sample.start('--keep')
    sample.azure.wait_until(lambda: held.hits)
    process.send_signal(signal.SIGINT)
    return sample.finish(process).stderr


def stolen_lease(sample: Sample) -> str:
    sample.change('_LEASE_SECONDS', '15')
    held = sample.azure.hold_requests(
        'GET', '/input/a.mp4', count=None, service='storage', source='node'
    )
    process = sample.start('-y')
    sample.azure.wait_until(lambda: held.hits)
    with sample.azure.blob_service_client() as client:
        output = client.get_container_client('output')
        BlobLeaseClient(output).break_lease(lease_break_period=0)
        output.acquire_lease()
    return sample.finish(process).stderr


SCENARIOS = [
    (keep, ['batch job delete', 'batch pool delete']),
    (old_job, ['batch job delete', 'batch pool delete']),
    (old_job_in_a_check, ['batch job delete', 'batch pool delete']),
    (pool_with_other_settings, ['batch pool delete']),
    (failing_cleanup, ['batch job delete', 'batch pool delete', 'storage container delete']),
    (missing_batch_role, ['role assignment create']),
    (missing_storage_role, ['role assignment create']),
    (refused_formula, ['role assignment create', 'batch pool delete']),
    (refused_words_of_ffmpeg, ['role assignment create']),
    (two_interrupts, ['batch job delete', 'batch pool delete', 'storage container delete']),
    (
        interrupted_with_keep,
        ['batch job delete', 'batch pool delete', 'storage container delete'],
    ),
    (stolen_lease, ['batch job delete', 'batch pool delete']),
]


@pytest.mark.parametrize(
    ('scenario', 'commands'), SCENARIOS, ids=[scenario.__name__ for scenario, _ in SCENARIOS]
)
def test_every_command_to_copy_stands_on_a_line_of_its_own(
    sample: Sample, scenario: Callable[[Sample], str], commands: list[str]
) -> None:
    stderr = scenario(sample)

    assert_commands_stand_alone(stderr, *commands)
