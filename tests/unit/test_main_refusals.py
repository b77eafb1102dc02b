"""Runs that make nothing: wrong usage, something in the way, and --check."""

from __future__ import annotations

from pathlib import Path

import pytest
from azure.batch import models

import batch_python_tutorial_ffmpeg as sample

from .conftest import Run
from .mocks import Azure
from .service_objects import EARLIER_RUN, SOMEBODY, batch_error

INPUT, OUTPUT = sample._INPUT_CONTAINER_NAME, sample._OUTPUT_CONTAINER_NAME


@pytest.fixture
def no_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, 'create_clients', lambda: pytest.fail('a client was made'))


@pytest.mark.usefixtures('no_clients')
def test_main_with_a_placeholder_has_exit_code_2(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sample, '_BATCH_ACCOUNT_KEY', '<Batch account key>')

    assert run() == 2
    assert '_BATCH_ACCOUNT_KEY is still a placeholder' in capsys.readouterr().err


@pytest.mark.usefixtures('no_clients')
def test_main_without_input_files_has_exit_code_2(tmp_path: Path) -> None:
    assert sample.main(['--input', str(tmp_path / 'missing')]) == 2


def test_main_with_an_output_folder_that_is_a_file_is_wrong_usage(
    run: Run, azure: Azure, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output.write_bytes(b'a file')

    with pytest.raises(SystemExit) as raised:
        run()

    assert raised.value.code == 2
    assert azure.made == set()
    assert f'--output: {output} is not a folder that you may write to' in capsys.readouterr().err


@pytest.mark.parametrize('mark', [SOMEBODY, {}], ids=['somebody-else', 'no-mark'])
def test_main_with_an_input_container_of_somebody_else_touches_nothing(
    mark: dict[str, str], run: Run, azure: Azure
) -> None:
    azure.made.add(INPUT)
    azure.mark = mark

    assert run('-y') == 1
    assert azure.made == {INPUT}


def test_main_with_an_old_job_and_no_leave_to_delete_it_touches_nothing(
    run: Run, azure: Azure
) -> None:
    azure.made |= {'job', 'pool'}
    azure.mark = EARLIER_RUN

    assert run('--keep') == 1
    assert azure.made == {'job', 'pool'}


def test_main_check_makes_nothing(run: Run, azure: Azure, output: Path) -> None:
    image = models.ImageReference(**sample._POOL_IMAGE)
    supported = models.ImageInformation(
        node_agent_sku_id=sample._POOL_NODE_AGENT_SKU_ID,
        image_reference=image,
        os_type='linux',
        verification_type='verified',
    )
    azure.batch.account.list_supported_images.return_value = [supported]

    assert run('--check') == 0
    assert azure.made == set()
    assert not output.exists()


def test_main_check_with_an_account_that_refuses_has_exit_code_1(run: Run, azure: Azure) -> None:
    azure.batch.job.get.side_effect = batch_error('AuthenticationFailed', status=403)

    assert run('--check') == 1
    assert azure.made == set()
