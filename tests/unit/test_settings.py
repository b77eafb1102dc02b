"""Settings and the command line: wrong ones stop a run before anything is contacted."""

from __future__ import annotations

import argparse
import runpy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import batch_python_tutorial_ffmpeg as sample

from .conftest import BATCH_KEY, SETTINGS

VARIABLES = {
    'AZURE_BATCH_ACCOUNT': '_BATCH_ACCOUNT_NAME',
    'AZURE_BATCH_ACCESS_KEY': '_BATCH_ACCOUNT_KEY',
    'AZURE_BATCH_ENDPOINT': '_BATCH_ACCOUNT_URL',
    'AZURE_STORAGE_ACCOUNT': '_STORAGE_ACCOUNT_NAME',
    'AZURE_STORAGE_KEY': '_STORAGE_ACCOUNT_KEY',
    'AZURE_STORAGE_SERVICE_ENDPOINT': '_STORAGE_ACCOUNT_URL',
}
KEYS = [
    '_BATCH_ACCOUNT_KEY',
    '_STORAGE_ACCOUNT_KEY',
]  # empty: the sample signs in with Microsoft Entra ID


def load_script() -> dict[str, Any]:
    """Return the globals of a freshly loaded script."""
    return runpy.run_path(sample.__file__, run_name='not __main__')


# --- Environment ------------------------------------------------------------------------------------------------------
def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.setenv(variable, f'value of {variable}')

    script = load_script()

    assert {script[setting] for setting in VARIABLES.values()} == {
        f'value of {variable}' for variable in VARIABLES
    }
    assert all(script[setting] == f'value of {variable}' for variable, setting in VARIABLES.items())


def test_settings_without_environment_are_placeholders_and_keys_are_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)

    script = load_script()

    assert [script[setting] for setting in KEYS] == ['', '']
    assert [setting for setting in VARIABLES.values() if '<' not in script[setting]] == KEYS


@pytest.mark.parametrize(('key', 'signs_in'), [('', True), ('c2VjcmV0', False)])
def test_command_that_deletes_the_container_signs_in_as_the_sample_does(
    key: str, signs_in: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('AZURE_STORAGE_KEY', key)

    script = load_script()

    assert script['_LEFT_BEHIND']['container'].endswith(' --auth-mode login') is signs_in


def test_storage_url_without_its_own_variable_is_that_of_the_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv('AZURE_STORAGE_SERVICE_ENDPOINT', raising=False)
    monkeypatch.setenv('AZURE_STORAGE_ACCOUNT', 'mystorage')

    script = load_script()

    assert script['_STORAGE_ACCOUNT_URL'] == 'https://mystorage.blob.core.windows.net'


# --- check_settings ---------------------------------------------------------------------------------------------------
def test_check_settings_accepts_possible_credentials() -> None:
    sample.check_settings()


@pytest.mark.parametrize('name', ['abc', 'a-b', '1-2-3', 'a' * 63])
def test_check_settings_accepts_every_container_name_of_storage(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, '_INPUT_CONTAINER_NAME', name)

    sample.check_settings()


@pytest.mark.parametrize('empty', [KEYS, KEYS[:1], KEYS[1:]], ids=['both', 'batch', 'storage'])
def test_check_settings_accepts_empty_keys(
    empty: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for setting in empty:
        monkeypatch.setattr(sample, setting, '')

    sample.check_settings()


@pytest.mark.parametrize(
    ('setting', 'value', 'problem'),
    [
        pytest.param(
            '_BATCH_ACCOUNT_NAME', '<Batch account>', 'still a placeholder', id='placeholder'
        ),
        pytest.param(
            '_STORAGE_ACCOUNT_KEY',
            'xxxxxxxxxxxxxxxx',
            'still a placeholder',
            id='tutorial-placeholder',
        ),
        pytest.param(
            '_BATCH_ACCOUNT_URL',
            'https://<a>.b.batch.azure.com',
            'still a placeholder',
            id='part-of-a-url',
        ),
        pytest.param('_STORAGE_ACCOUNT_NAME', '', 'empty', id='empty'),
        pytest.param('_BATCH_ACCOUNT_KEY', '  ', 'empty', id='blank'),
        pytest.param(
            '_BATCH_ACCOUNT_NAME', 'My-Batch', 'not lower-case letters and digits', id='name-form'
        ),
        pytest.param(
            '_STORAGE_ACCOUNT_NAME', 'ab', 'not lower-case letters and digits', id='name-too-short'
        ),
        pytest.param('_STORAGE_ACCOUNT_KEY', 'c2Vjcm', 'not base64', id='key-cut-off'),
        pytest.param(
            '_BATCH_ACCOUNT_KEY', 'c2Vj$mV0', 'not base64', id='key-with-another-character'
        ),
        pytest.param(
            '_BATCH_ACCOUNT_URL', 'http://mybatch.example', 'not https://...', id='plain-http'
        ),
        pytest.param(
            '_BATCH_ACCOUNT_URL', 'http://127.0.0.1.example', 'not https://...', id='fake-loopback'
        ),
        pytest.param(
            '_STORAGE_ACCOUNT_URL',
            'mystorage.blob.core.windows.net',
            'not https://...',
            id='no-scheme',
        ),
        pytest.param(
            '_STORAGE_ACCOUNT_URL',
            f'https://{"a" * 64}.net',
            'not https://...',
            id='label-too-long',
        ),
        pytest.param(
            '_INPUT_CONTAINER_NAME',
            'Input',
            'not lower-case letters, digits and',
            id='container-form',
        ),
        pytest.param(
            '_INPUT_CONTAINER_NAME',
            'a' * 64,
            'not lower-case letters, digits and',
            id='container-too-long',
        ),
        pytest.param(
            '_OUTPUT_CONTAINER_NAME',
            'input',
            'not other than _INPUT_CONTAINER_NAME',
            id='one-container',
        ),
        pytest.param(
            '_OUTPUT_CONTAINER_NAME', 'a--b', 'not lower-case letters, digits and', id='two-hyphens'
        ),
        pytest.param(
            '_POOL_ID', 'my pool', 'not letters, digits, hyphens and underscores', id='pool-form'
        ),
        pytest.param(
            '_JOB_ID', 'j' * 65, 'not letters, digits, hyphens and underscores', id='job-too-long'
        ),
    ],
)
def test_check_settings_names_a_wrong_setting(
    setting: str, value: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, setting, value)

    with pytest.raises(argparse.ArgumentError) as raised:
        sample.check_settings()

    assert f'{setting} is {problem}' in str(raised.value)
    assert [other for other in SETTINGS if other != setting and other in str(raised.value)] == []


@pytest.mark.parametrize('host', ['localhost', '127.0.0.1', '[::1]'])
def test_check_settings_accepts_plain_http_on_this_machine(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, '_BATCH_ACCOUNT_URL', f'http://{host}:10000')

    sample.check_settings()


def test_check_settings_names_every_wrong_setting_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in SETTINGS:
        monkeypatch.setattr(sample, setting, '')

    with pytest.raises(argparse.ArgumentError) as raised:
        sample.check_settings()

    assert [
        setting for setting in SETTINGS if f'{setting} is empty' not in str(raised.value)
    ] == KEYS


def test_check_settings_does_not_show_a_wrong_key(monkeypatch: pytest.MonkeyPatch) -> None:
    cut_off = BATCH_KEY[:-3]
    monkeypatch.setattr(sample, '_BATCH_ACCOUNT_KEY', cut_off)

    with pytest.raises(argparse.ArgumentError) as raised:
        sample.check_settings()

    assert cut_off not in str(raised.value)


# --- parse_arguments --------------------------------------------------------------------------------------------------
def test_arguments_have_the_defaults_of_the_tutorial() -> None:
    options = sample.parse_arguments([])

    assert (options.input, options.output) == (Path('InputFiles'), Path('OutputFiles'))
    assert (options.answer, options.check) == (None, False)


@pytest.mark.parametrize(('argument', 'answer'), [('-y', 'yes'), ('--keep', 'no')])
def test_arguments_answer_the_questions(argument: str, answer: str) -> None:
    assert sample.parse_arguments([argument]).answer == answer


def test_arguments_name_the_folders() -> None:
    options = sample.parse_arguments(['--input', 'in', '--output', 'out', '--check'])

    assert (options.input, options.output, options.check) == (Path('in'), Path('out'), True)


def test_arguments_leave_the_settings_alone_that_they_do_not_name() -> None:
    sample.parse_arguments(['--low-priority', '0'])

    assert (sample._LOW_PRIORITY_POOL_NODE_COUNT, sample._DEDICATED_POOL_NODE_COUNT) == (0, 0)
    assert ('STANDARD_A1_v2', timedelta(minutes=30)) == (sample._POOL_VM_SIZE, sample._JOB_TIMEOUT)


@pytest.mark.parametrize(
    'argv',
    [
        pytest.param(['-y', '--keep'], id='both'),
        pytest.param(['--unknown'], id='unknown'),
        pytest.param(['a file'], id='positional'),
        pytest.param(['--dedicated', '1.5'], id='half a node'),
        pytest.param(['--timeout', 'soon'], id='no number'),
    ],
)
def test_arguments_that_are_wrong_exit_with_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        sample.parse_arguments(argv)

    assert raised.value.code == 2
