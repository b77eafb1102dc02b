"""Files that cannot be converted: the others are, and the truth is told about each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from batch_python_tutorial_ffmpeg import output_name
from tests.conftest import MakeVideo

from .conftest import Sample

B = output_name('b.mp4')
OTHERS = [output_name('a.mp4'), output_name('c.mp4')]


def assert_only_b_failed(sample: Sample, reason: str, *, has_verdict: bool) -> None:
    """Run the sample on a.mp4, b.mp4 and c.mp4.

    It must give this reason (a pattern) for b.mp4, and the other two must arrive. If ffmpeg has not
    spoken, the next run may need the videos again, and nobody is here to ask.
    """
    result = sample.run()

    assert result.returncode == 1
    assert 'Success' not in result.stdout
    assert sample.mp3s() == OTHERS
    sample.assert_failed(result.stderr, 'b.mp4', reason)
    assert ('--missing' in result.stderr) == (not has_verdict)
    assert ('input' in sample.containers()) == (not has_verdict)
    assert (sample.jobs(), sample.pools()) == ([], [])


@pytest.fixture(autouse=True)
def good_videos(make_video: MakeVideo) -> None:
    for name in ('a.mp4', 'b.mp4', 'c.mp4'):
        make_video(name)


def test_a_text_file_among_the_videos_fails_alone(sample: Sample) -> None:
    (sample.input / 'b.mp4').write_text('this is no video\n' * 100)

    assert_only_b_failed(sample, r'exit code \d+$', has_verdict=True)


def test_an_empty_file_fails_alone(sample: Sample) -> None:
    (sample.input / 'b.mp4').write_bytes(b'')

    assert_only_b_failed(sample, 'exit code', has_verdict=True)


def test_a_video_without_sound_fails_alone(sample: Sample, make_video: MakeVideo) -> None:
    make_video('b.mp4', audible=False)

    assert_only_b_failed(sample, r'exit code \d+: no audio track', has_verdict=True)


def test_a_task_that_is_ended_by_the_service_fails_alone_with_its_code(sample: Sample) -> None:
    sample.azure.slow_nodes(start_task=0.5)
    process = sample.start('-y')
    client = sample.azure.batch_client()
    sample.azure.wait_until(lambda: len(list_tasks(sample)) == 3)
    client.task.terminate('LinuxFFmpegJob', 'Task1')

    result = sample.finish(process)

    assert result.returncode == 1
    sample.assert_failed(result.stderr, 'b.mp4', 'TaskEnded: ')
    assert sample.mp3s() == OTHERS


def list_tasks(sample: Sample) -> list[str]:
    if not sample.jobs():
        return []
    return [task.id for task in sample.azure.batch_client().task.list('LinuxFFmpegJob')]


def test_an_output_that_cannot_be_uploaded_fails_alone_with_its_code(sample: Sample) -> None:
    fault = sample.azure.refuse_upload(B)

    assert_only_b_failed(sample, 'FileUpload', has_verdict=False)
    fault.check()


@pytest.mark.parametrize('empty', [False, True], ids=['missing', 'empty'])
def test_a_task_that_succeeds_without_its_mp3_counts_as_failed(sample: Sample, empty: bool) -> None:
    fault = sample.azure.lose_output(B, empty=empty)

    assert_only_b_failed(sample, '.', has_verdict=False)
    fault.check()


def test_an_mp3_of_an_earlier_run_does_not_hide_a_missing_one(sample: Sample) -> None:
    with sample.azure.blob_service_client() as client:
        old = (
            client.create_container('output')
            .upload_blob(B, b'from an earlier run')
            .get_blob_properties()
        )
    sample.azure.wait_until(lambda: datetime.now(UTC) - old.last_modified > timedelta(seconds=1))
    sample.azure.lose_output(B)

    assert_only_b_failed(sample, '.', has_verdict=False)


def test_an_mp3_that_cannot_be_written_is_named_and_leaves_nothing_half_written(
    sample: Sample,
) -> None:
    (sample.output / B).mkdir(parents=True)

    result = sample.run('-y')

    assert result.returncode == 1
    sample.assert_failed(result.stderr, 'b.mp4', 'not downloaded: ')
    assert sample.mp3s() == OTHERS


def test_a_download_that_stays_cut_is_named_and_leaves_nothing_half_written(sample: Sample) -> None:
    fault = sample.azure.cut_requests(
        'GET', f'output/{B}', count=None, service='storage', where='mid-body'
    )

    result = sample.run('-y')

    fault.check()
    assert result.returncode == 1
    sample.assert_failed(result.stderr, 'b.mp4', 'not downloaded: ')
    assert sample.mp3s() == OTHERS
    assert sample.nothing_is_left()
