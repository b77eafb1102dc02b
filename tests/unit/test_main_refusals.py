"""Runs that make nothing: wrong usage, something in the way, nothing missing, and --check."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from azure.batch import models
from azure.core.exceptions import ServiceRequestError

import batch_python_tutorial_ffmpeg as sample

from .conftest import Clock, RunMain, Typed
from .mocks import INPUT, MP3S, OUTPUT, VIDEOS, Azure
from .service_objects import EARLIER_RUN, SOMEBODY, batch_error, storage_error, task_counts

SCRIPT = Path(sample.__file__)


@pytest.fixture
def no_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, 'create_clients', lambda: pytest.fail('a client was made'))


def supported_image() -> models.ImageInformation:
    """Return the image of the settings, as Batch lists it."""
    return models.ImageInformation(
        node_agent_sku_id=sample._POOL_NODE_AGENT_SKU_ID,
        image_reference=models.ImageReference(**sample._POOL_IMAGE),
        os_type='linux',
        verification_type='verified',
    )


# --- Wrong usage ----------------------------------------------------------------------------------


@pytest.mark.usefixtures('no_clients')
def test_main_with_a_placeholder_has_exit_code_2(
    run_main: RunMain, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sample, '_BATCH_ACCOUNT_KEY', '<Batch account key>')

    assert run_main() == 2
    assert capsys.readouterr().err.startswith('Error: _BATCH_ACCOUNT_KEY is still a placeholder')


@pytest.mark.usefixtures('no_clients')
def test_main_without_an_input_folder_has_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / 'missing'

    assert sample.main(['--input', str(missing)]) == 2
    assert capsys.readouterr().err == f'Error: --input: {missing} is no folder.\n'


@pytest.mark.usefixtures('no_clients')
def test_main_with_an_output_folder_that_is_a_file_has_exit_code_2(
    run_main: RunMain, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output.write_bytes(b'a file')

    assert run_main() == 2
    assert f'--output: {output} is not a folder that you may write to' in capsys.readouterr().err


@pytest.mark.usefixtures('no_clients')
def test_main_with_an_output_folder_that_cannot_be_made_has_exit_code_2(
    run_main: RunMain, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output.write_bytes(b'a file')
    folder = output / 'sub'

    assert run_main('--output', str(folder)) == 2
    assert f'--output: {folder} is not a folder that you may write to' in capsys.readouterr().err


@pytest.mark.usefixtures('no_clients')
def test_main_with_an_unknown_option_has_exit_code_2(run_main: RunMain) -> None:
    with pytest.raises(SystemExit) as raised:
        run_main('--no-such-option')

    assert raised.value.code == 2


@pytest.mark.usefixtures('no_clients')
def test_main_interrupted_while_it_looks_for_videos_has_exit_code_130(
    run_main: RunMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_folder: Path) -> dict[str, Path]:
        signal.raise_signal(signal.SIGINT)
        return {}

    monkeypatch.setattr(sample, 'find_videos', interrupted)

    assert run_main() == 130


# --- --missing ------------------------------------------------------------------------------------


@pytest.mark.usefixtures('no_clients')
def test_main_with_nothing_missing_contacts_nothing_and_has_exit_code_0(
    run_main: RunMain, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, mp3 in MP3S.items():
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_bytes(mp3)

    assert run_main('--missing') == 0
    assert capsys.readouterr().out == (f'3 of 3 videos have an MP3 in {output} and are left out.\n')


def test_main_check_with_nothing_missing_checks_all_the_same(
    run_main: RunMain, azure: Azure, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, mp3 in MP3S.items():
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_bytes(mp3)
    azure.batch.account.list_supported_images.return_value = [supported_image()]

    assert run_main('--check', '--missing') == 0
    assert 'Both accounts answer.' in capsys.readouterr().out

    azure.batch.job.get.side_effect = batch_error('AuthenticationFailed', status=403)
    assert run_main('--check', '--missing') == 1


def test_main_with_some_missing_converts_only_those(
    run_main: RunMain, azure: Azure, output: Path
) -> None:
    output.mkdir()
    (output / 'a.mp3').write_bytes(b'of an earlier run')
    azure.batch.tasks[:] = [task for task in azure.batch.tasks if task.display_name != 'a.mp4']

    exit_code = run_main('--missing', '-y')

    _, tasks = azure.batch.task.add_collection.call_args.args
    assert exit_code == 0
    assert [task.display_name for task in tasks] == VIDEOS[1:]
    assert (output / 'a.mp3').read_bytes() == b'of an earlier run'


# --- Something in the way -------------------------------------------------------------------------


@pytest.mark.parametrize('metadata', [SOMEBODY, {}], ids=['somebody-else', 'nobody'])
def test_main_with_an_input_container_of_somebody_else_touches_nothing(
    metadata: dict[str, str], run_main: RunMain, azure: Azure
) -> None:
    azure.made.add(INPUT)
    azure.metadata = metadata

    assert run_main('-y') == 1
    assert azure.made == {INPUT}


@pytest.mark.parametrize('argv', [['--keep'], []], ids=['keep', 'nobody-to-ask'])
def test_main_with_an_old_job_at_work_and_no_leave_to_delete_it_touches_nothing(
    argv: list[str], run_main: RunMain, azure: Azure, capsys: pytest.CaptureFixture[str]
) -> None:
    azure.made |= {'job', 'pool'}
    azure.metadata = EARLIER_RUN
    azure.batch.job.get_task_counts.return_value = task_counts(running=1)

    assert run_main(*argv) == 1
    assert azure.made == {'job', 'pool', OUTPUT}
    assert 'Error: Job [LinuxFFmpegJob] exists.' in capsys.readouterr().err
    azure.lease.release.assert_called_once_with()


@pytest.mark.parametrize('argv', [['-y'], []], ids=['yes', 'somebody-to-ask'])
def test_main_interrupted_before_it_looks_at_an_old_job_asks_and_deletes_nothing(
    argv: list[str], run_main: RunMain, azure: Azure, typed: Typed
) -> None:
    azure.made |= {'job', 'pool'}
    azure.metadata = EARLIER_RUN
    prompts = typed()

    def interrupted(*_: object, **__: object) -> object:
        signal.raise_signal(signal.SIGINT)
        return azure.lease

    azure.storage.container(OUTPUT).acquire_lease.side_effect = interrupted

    assert run_main(*argv) == 130
    assert prompts == []
    assert azure.made == {'job', 'pool', OUTPUT}
    azure.lease.release.assert_called_once_with()


def test_main_while_another_run_is_at_work_waits_a_minute_and_touches_nothing(
    run_main: RunMain, azure: Azure, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    azure.made |= {'job', 'pool', INPUT, OUTPUT}
    azure.metadata = EARLIER_RUN
    azure.storage.container(OUTPUT).acquire_lease.side_effect = storage_error('LeaseAlreadyPresent')

    assert run_main('-y') == 1
    assert azure.made == {'job', 'pool', INPUT, OUTPUT}
    assert 60 < clock.elapsed < 75
    assert 'Error: Another run is at work' in capsys.readouterr().err


def test_main_interrupted_while_it_waits_for_another_run_has_exit_code_130(
    run_main: RunMain, azure: Azure, clock: Clock
) -> None:
    azure.storage.container(OUTPUT).acquire_lease.side_effect = storage_error('LeaseAlreadyPresent')

    def interrupt() -> None:
        if clock.elapsed > 10 and not sample.stop.signals:
            signal.raise_signal(signal.SIGINT)

    clock.on_sleep.append(interrupt)

    assert run_main('-y') == 130
    assert azure.made == {OUTPUT}
    assert clock.elapsed < 11


@pytest.mark.parametrize(
    'error',
    [
        pytest.param(storage_error('AuthenticationFailed'), id='refused'),
        pytest.param(ServiceRequestError('no route'), id='no-answer'),
    ],
)
def test_main_with_an_account_that_cannot_be_used_makes_nothing(
    error: Exception, run_main: RunMain, azure: Azure, capsys: pytest.CaptureFixture[str]
) -> None:
    azure.storage.container(INPUT).get_container_properties.side_effect = error

    assert run_main('-y') == 1
    assert azure.made == set()
    assert capsys.readouterr().err == f'Error: {sample.describe(error)}\n'


# --- --check --------------------------------------------------------------------------------------


def test_main_check_makes_nothing(run_main: RunMain, azure: Azure, output: Path) -> None:
    azure.batch.account.list_supported_images.return_value = [supported_image()]

    assert run_main('--check') == 0
    assert azure.made == set()
    assert not output.exists()
    azure.storage.container(OUTPUT).acquire_lease.assert_not_called()


def test_main_check_with_an_account_that_refuses_has_exit_code_1(
    run_main: RunMain, azure: Azure
) -> None:
    azure.batch.job.get.side_effect = batch_error('AuthenticationFailed', status=403)

    assert run_main('--check') == 1
    assert azure.made == set()


# --- Import ---------------------------------------------------------------------------------------


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Run some lines of Python beside the script."""
    command = [sys.executable, '-c', code]
    return subprocess.run(
        command, cwd=SCRIPT.parent, capture_output=True, text=True, timeout=60, check=False
    )


def test_missing_package_is_one_line_with_the_command_and_exit_code_2() -> None:
    done = python('import sys; sys.modules["requests"] = None; import batch_python_tutorial_ffmpeg')

    assert done.returncode == 2
    assert done.stderr.count('\n') == 1
    assert done.stderr.endswith('Run: pip install -r requirements.txt\n')


def test_import_has_no_effect() -> None:
    done = python(
        'import signal, threading\n'
        'before = signal.getsignal(signal.SIGINT)\n'
        'import batch_python_tutorial_ffmpeg\n'
        'assert signal.getsignal(signal.SIGINT) is before\n'
        'assert threading.active_count() == 1\n'
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
