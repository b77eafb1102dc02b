"""--check: all that can be known without creating anything."""

from __future__ import annotations

import pytest

from batch_python_tutorial_ffmpeg import output_name
from tests.conftest import MakeVideo

from .conftest import Sample


@pytest.fixture(autouse=True)
def video(make_video: MakeVideo) -> None:
    make_video('a.mp4')


def assert_created_nothing(sample: Sample) -> None:
    assert {request.method for request in sample.azure.requests} <= {'GET', 'HEAD'}
    assert not sample.output.exists()


def test_check_asks_both_accounts_and_creates_nothing(sample: Sample) -> None:
    result = sample.run('--check')

    assert result.returncode == 0, result.stderr
    assert {request.service for request in sample.azure.requests} == {'batch', 'storage'}
    assert_created_nothing(sample)


def test_check_with_nothing_missing_checks_all_the_same(sample: Sample) -> None:
    sample.output.mkdir()
    (sample.output / output_name('a.mp4')).write_bytes(b'of an earlier run')

    result = sample.run('--check', '--missing')

    assert result.returncode == 0, result.stderr
    assert {request.service for request in sample.azure.requests} == {'batch', 'storage'}


def test_check_refuses_what_a_run_would_refuse(sample: Sample) -> None:
    with sample.azure.blob_service_client() as client:
        client.create_container('input')
    sample.azure.wait_until(lambda: sample.azure.requests)  # on record
    sample.azure.requests.clear()

    result = sample.run('--check')

    assert result.returncode == 1
    assert 'Container [input]' in result.stderr
    assert_created_nothing(sample)


def test_check_names_a_job_that_is_in_the_way(sample: Sample) -> None:
    assert sample.run('--keep', '--output', str(sample.input / 'elsewhere')).returncode == 0
    sample.azure.requests.clear()

    result = sample.run('--check', '-y')

    assert result.returncode == 1
    assert 'Job [LinuxFFmpegJob]' in result.stderr
    assert_created_nothing(sample)
    assert sample.jobs() == ['LinuxFFmpegJob']
