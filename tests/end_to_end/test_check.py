"""--check: all that can be known without creating anything."""

from __future__ import annotations

import pytest

from tests.conftest import MakeVideo

from .conftest import Sample


@pytest.fixture(autouse=True)
def video(make_video: MakeVideo) -> None:
    make_video('a.mp4')


def assert_created_nothing(sample: Sample) -> None:
    assert {request.method for request in sample.azure.requests} <= {'GET', 'HEAD'}
    assert not sample.output.exists()


def test_check_tells_what_a_run_would_do_and_cost(sample: Sample) -> None:
    result = sample.run('--check')

    assert result.returncode == 0, result.stderr
    assert 'Both accounts answer. Image: server-gen1 is supported, no end known.' in result.stdout
    assert 'Files: 1. Pool: new. Job: new.' in result.stdout
    assert '5 nodes STANDARD_A1_v2, up to 5.42 node-hours' in result.stderr
    assert_created_nothing(sample)


def test_check_with_nothing_missing_checks_all_the_same(sample: Sample) -> None:
    sample.output.mkdir()
    (sample.output / 'a.mp3').write_bytes(b'of an earlier run')

    result = sample.run('--check', '--missing')

    assert result.returncode == 0, result.stderr
    assert 'Both accounts answer.' in result.stdout
    assert {request.method for request in sample.azure.requests} == {'GET'}


def test_check_refuses_what_a_run_would_refuse(sample: Sample) -> None:
    with sample.azure.blob_service_client() as client:
        client.create_container('input')
    sample.azure.wait_until(lambda: sample.azure.requests)  # on record
    sample.azure.requests.clear()

    result = sample.run('--check')

    assert result.returncode == 1
    assert "not this sample's" in result.stderr
    assert_created_nothing(sample)


def test_check_names_a_job_that_is_in_the_way(sample: Sample) -> None:
    assert sample.run('--keep', '--output', str(sample.input / 'elsewhere')).returncode == 0
    sample.azure.requests.clear()

    result = sample.run('--check', '-y')

    assert result.returncode == 1
    assert 'Job [LinuxFFmpegJob] exists' in result.stderr
    assert_created_nothing(sample)
    assert sample.jobs() == ['LinuxFFmpegJob']


def test_check_of_wrong_settings_contacts_nobody(sample: Sample) -> None:
    sample.environment = {'AZURE_STORAGE_ACCOUNT': ''}

    assert sample.run('--check').returncode == 2
    assert not sample.has_contacted_azure()
