"""Settings: where they come from, and that wrong ones stop a run before anything is contacted."""

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
KEYS = ['_BATCH_ACCOUNT_KEY', '_STORAGE_ACCOUNT_KEY']  # empty: sign in with Entra ID

NAME_FORM = 'is not 3 to 24 lower-case letters and digits'
KEY_FORM = 'is not base64, as the portal shows it'
URL_FORM = 'is not https:// and the name of a host'
CONTAINER_FORM = 'is not lower-case letters, digits and single hyphens'
ID_FORM = 'is not letters, digits, hyphens and underscores'
EXTENSION_FORM = 'is not a dot and letters, such as .mp3'
COUNT_FORM = 'is not a number of nodes, such as 5'
DURATION_FORM = 'is not a duration of up to 6 days, such as timedelta(minutes=30)'


def load_script() -> dict[str, Any]:
    """Return the globals of a freshly loaded script."""
    return runpy.run_path(sample.__file__, run_name='not __main__')


def options(*argv: str) -> argparse.Namespace:
    return sample.parse_arguments(argv)


def problems(*argv: str) -> str:
    """Return the message of check_settings."""
    with pytest.raises(sample.UsageError) as raised:
        sample.check_settings(options(*argv))
    return str(raised.value)


# --- Where they come from -------------------------------------------------------------------------


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.setenv(variable, f'value of {variable}')

    script = load_script()

    values = {variable: script[setting] for variable, setting in VARIABLES.items()}
    assert values == {variable: f'value of {variable}' for variable in VARIABLES}


def test_settings_without_environment_are_placeholders_and_keys_are_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)

    script = load_script()

    for setting in VARIABLES.values():
        if setting in KEYS:
            assert script[setting] == ''
        else:
            assert '<' in script[setting], setting


def test_storage_url_without_its_own_variable_is_that_of_the_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv('AZURE_STORAGE_SERVICE_ENDPOINT', raising=False)
    monkeypatch.setenv('AZURE_STORAGE_ACCOUNT', 'mystorage')

    script = load_script()

    assert script['_STORAGE_ACCOUNT_URL'] == 'https://mystorage.blob.core.windows.net'


@pytest.mark.parametrize(
    'text',
    ['c2Vj=', ' c2Vj= ', 'c2Vj=\n', 'c2Vj=\r\n', '"c2Vj="', "'c2Vj='", ' "c2Vj=" \n', '" c2Vj= "'],
    ids=repr,
)
def test_setting_from_a_variable_loses_white_space_and_quotes_around_it(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('AZURE_TEST', text)

    assert sample.setting('AZURE_TEST', 'of the script') == 'c2Vj='


def test_setting_without_its_variable_is_what_stands_in_the_script(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv('AZURE_TEST', raising=False)

    assert sample.setting('AZURE_TEST', ' "of the script" ') == 'of the script'


def test_setting_whose_variable_is_empty_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('AZURE_TEST', '')

    assert sample.setting('AZURE_TEST', 'of the script') == ''


# --- What is accepted -----------------------------------------------------------------------------


def test_check_settings_accepts_possible_credentials() -> None:
    sample.check_settings(options())


@pytest.mark.parametrize('name', ['abc', 'a-b', '1-2-3', 'a' * 63])
def test_check_settings_accepts_every_container_name_of_storage(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, '_INPUT_CONTAINER_NAME', name)

    sample.check_settings(options())


@pytest.mark.parametrize('empty', [KEYS, KEYS[:1], KEYS[1:]], ids=['both', 'batch', 'storage'])
def test_check_settings_accepts_empty_keys(
    empty: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for setting in empty:
        monkeypatch.setattr(sample, setting, '')

    sample.check_settings(options())


@pytest.mark.parametrize(
    'url',
    [
        'https://mybatch.westeurope.batch.azure.com/',
        'https://mybatch.chinaeast2.batch.chinacloudapi.cn',
        'http://localhost:10000',
        'http://127.0.0.1:10000/devstoreaccount1',
        'https://127.0.0.1:10000',
        'http://[::1]:10000',
    ],
)
@pytest.mark.parametrize('setting', ['_BATCH_ACCOUNT_URL', '_STORAGE_ACCOUNT_URL'])
def test_check_settings_accepts_the_urls_of_azure_and_of_an_emulator(
    setting: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, setting, url)

    sample.check_settings(options())


@pytest.mark.parametrize(
    ('setting', 'value'),
    [
        ('_POOL_ID', 'My_Pool-1'),
        ('_POOL_ID', 'p' * 64),
        ('_JOB_ID', 'j'),
        ('_BATCH_ACCOUNT_NAME', 'a' * 24),
        ('_STORAGE_ACCOUNT_NAME', 'abc'),
        ('_OUTPUT_FORMAT', {'extension': '.m4a'}),
        ('_DEDICATED_POOL_NODE_COUNT', 100),
        ('_JOB_TIMEOUT', timedelta(days=6)),
        ('_UPLOAD_TIMEOUT', timedelta(seconds=1)),
    ],
)
def test_check_settings_accepts_the_longest_and_the_shortest(
    setting: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, setting, value)

    sample.check_settings(options())


# --- What is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('setting', 'value', 'problem'),
    [
        ('_BATCH_ACCOUNT_NAME', '<Batch account>', 'is still a placeholder'),
        ('_STORAGE_ACCOUNT_KEY', 'xxxxxxxxxxxxxxxx', 'is still a placeholder'),
        ('_BATCH_ACCOUNT_URL', 'https://<a>.b.batch.azure.com', 'is still a placeholder'),
        ('_STORAGE_ACCOUNT_NAME', '', 'is empty'),
        ('_BATCH_ACCOUNT_URL', '', 'is empty'),
        ('_BATCH_ACCOUNT_NAME', 'My-Batch', NAME_FORM),
        ('_STORAGE_ACCOUNT_NAME', 'ab', NAME_FORM),
        ('_STORAGE_ACCOUNT_NAME', 'a' * 25, NAME_FORM),
        ('_STORAGE_ACCOUNT_KEY', 'c2Vjcm', KEY_FORM),
        ('_BATCH_ACCOUNT_KEY', 'c2Vj$mV0', KEY_FORM),
        ('_BATCH_ACCOUNT_URL', 'http://mybatch.example', URL_FORM),
        ('_BATCH_ACCOUNT_URL', 'http://127.0.0.1.example', URL_FORM),
        ('_STORAGE_ACCOUNT_URL', 'mystorage.blob.core.windows.net', URL_FORM),
        ('_STORAGE_ACCOUNT_URL', f'https://{"a" * 64}.net', URL_FORM),
        ('_INPUT_CONTAINER_NAME', 'Input', CONTAINER_FORM),
        ('_INPUT_CONTAINER_NAME', 'ab', CONTAINER_FORM),
        ('_INPUT_CONTAINER_NAME', 'a' * 64, CONTAINER_FORM),
        ('_OUTPUT_CONTAINER_NAME', 'a--b', CONTAINER_FORM),
        ('_POOL_ID', 'my pool', ID_FORM),
        ('_POOL_ID', 5, ID_FORM),
        ('_JOB_ID', 'j' * 65, ID_FORM),
        ('_OUTPUT_FORMAT', {'extension': 'm4a'}, EXTENSION_FORM),
        ('_OUTPUT_FORMAT', {'extension': '.'}, EXTENSION_FORM),
        ('_OUTPUT_FORMAT', {'extension': '.mp 3'}, EXTENSION_FORM),
        ('_OUTPUT_FORMAT', {'extension': '/a.mp3'}, EXTENSION_FORM),
        ('_DEDICATED_POOL_NODE_COUNT', -1, COUNT_FORM),
        ('_LOW_PRIORITY_POOL_NODE_COUNT', '5', COUNT_FORM),
        ('_JOB_TIMEOUT', 30, DURATION_FORM),
        ('_JOB_TIMEOUT', timedelta(days=6, seconds=1), DURATION_FORM),
        ('_UPLOAD_TIMEOUT', timedelta(), DURATION_FORM),
    ],
)
def test_check_settings_names_a_wrong_setting_and_its_right_form(
    setting: str, value: object, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, setting, value)

    message = problems()

    assert message.startswith(setting)
    assert problem in message
    assert ';' not in message  # it is the only one


def test_check_settings_names_every_wrong_setting_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in SETTINGS:
        monkeypatch.setattr(sample, setting, '')

    message = problems()

    named = [setting for setting in SETTINGS if f'{setting} is empty' in message]
    assert named == [setting for setting in SETTINGS if setting not in KEYS]


@pytest.mark.parametrize(('variable', 'setting'), VARIABLES.items())
def test_check_settings_names_the_variable_that_a_wrong_setting_came_from(
    variable: str, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, setting, '?')
    monkeypatch.setenv(variable, '?')

    assert problems().startswith(f'{setting} (from the variable {variable}): ')


def test_check_settings_names_no_variable_for_a_setting_of_the_script(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sample, '_BATCH_ACCOUNT_NAME', '?')
    monkeypatch.delenv('AZURE_BATCH_ACCOUNT', raising=False)

    assert problems() == f"_BATCH_ACCOUNT_NAME: '?' {NAME_FORM}"


@pytest.mark.parametrize('setting', KEYS)
def test_check_settings_does_not_show_a_wrong_key(
    setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off = BATCH_KEY[:-3]
    monkeypatch.setattr(sample, setting, cut_off)

    assert cut_off not in problems()


def test_check_settings_names_the_way_without_an_account_beside_a_placeholder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sample, '_BATCH_ACCOUNT_NAME', '<Batch account>')

    assert problems().endswith('. Without an Azure account:\n  python -m tests.local_azure')


def test_check_settings_does_not_name_that_way_beside_a_typing_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sample, '_BATCH_ACCOUNT_NAME', 'My-Batch')

    assert 'tests.local_azure' not in problems()


# --- What does not go together --------------------------------------------------------------------


def test_check_settings_refuses_a_pool_without_nodes() -> None:
    assert '--dedicated and --low-priority are both 0' in problems('--low-priority', '0')


@pytest.mark.parametrize('argv', [['--dedicated', '1', '--low-priority', '0'], []])
def test_check_settings_accepts_nodes_of_either_kind(argv: list[str]) -> None:
    sample.check_settings(options(*argv))


def test_check_settings_refuses_one_container_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, '_OUTPUT_CONTAINER_NAME', sample._INPUT_CONTAINER_NAME)

    assert '_OUTPUT_CONTAINER_NAME is not other than _INPUT_CONTAINER_NAME' in problems()


@pytest.mark.parametrize('account', ['BATCH', 'STORAGE'])
def test_check_settings_refuses_to_send_a_token_without_encryption(
    account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, f'_{account}_ACCOUNT_URL', 'http://127.0.0.1:10000')
    monkeypatch.setattr(sample, f'_{account}_ACCOUNT_KEY', '')

    expected = f'_{account}_ACCOUNT_URL: signing in without _{account}_ACCOUNT_KEY needs https'
    assert problems() == expected


@pytest.mark.parametrize('account', ['BATCH', 'STORAGE'])
def test_check_settings_accepts_to_send_a_token_with_encryption(
    account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, f'_{account}_ACCOUNT_URL', 'https://127.0.0.1:10000')
    monkeypatch.setattr(sample, f'_{account}_ACCOUNT_KEY', '')

    sample.check_settings(options())


def test_check_settings_refuses_an_output_folder_that_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / 'file'
    file.write_bytes(b'')

    message = problems('--output', str(file))

    assert message == f'--output: {file} is not a folder that you may write to'


def test_check_settings_refuses_an_output_folder_that_is_a_link_to_nowhere(tmp_path: Path) -> None:
    link = tmp_path / 'link'
    link.symlink_to(tmp_path / 'missing')

    assert f'{link} is not a folder' in problems('--output', str(link))


def test_check_settings_refuses_an_output_folder_that_cannot_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # root may write everywhere, so the permission is made up.
    monkeypatch.setattr('os.access', lambda path, _mode: path != tmp_path)

    assert f'{tmp_path} is not a folder that you may write to' in problems(
        '--output', str(tmp_path)
    )


def test_check_settings_refuses_an_output_folder_that_cannot_be_made_in_a_file(
    tmp_path: Path,
) -> None:
    file = tmp_path / 'file'
    file.write_bytes(b'')
    folder = file / 'sub' / 'new'

    assert f'{folder} is not a folder that you may write to' in problems('--output', str(folder))


def test_check_settings_refuses_an_output_folder_that_cannot_be_made_for_want_of_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # root may write everywhere, so the permission is made up.
    monkeypatch.setattr('os.access', lambda path, _mode: path != tmp_path)
    folder = tmp_path / 'new' / 'sub'

    assert f'{folder} is not a folder that you may write to' in problems('--output', str(folder))


def test_check_settings_accepts_an_output_folder_that_is_there_or_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    for folder in (tmp_path, tmp_path / 'new', tmp_path / 'new' / 'sub', Path('new')):
        sample.check_settings(options('--output', str(folder)))
