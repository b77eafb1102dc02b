"""Files that cannot be converted: the others are, and the truth is told about each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import MakeVideo

from .conftest import Sample


def assert_only_b_failed(sample: Sample, *words: str) -> str:
    """Run the sample on a.mp4, b.mp4 and c.mp4, and return stderr.

    It must name b.mp4 with these words, and the other two must arrive.
    """
    result = sample.run('-y')

    assert result.returncode == 1
    assert 'Success' not in result.stdout
    assert sample.mp3s() == ['a.mp3', 'c.mp3']
    sample.assert_failed(result.stderr, 'b.mp4', '.')
    assert 'Error: 1 of 3 files failed.' in result.stderr
    assert 'run again with --missing.' in result.stderr
    for word in words:
        assert word in result.stderr
    assert sample.nothing_is_left()
    return result.stderr


@pytest.fixture(autouse=True)
def good_videos(make_video: MakeVideo) -> None:
    for name in ('a.mp4', 'b.mp4', 'c.mp4'):
        make_video(name)


def test_a_text_file_among_the_videos_fails_alone_with_ffmpegs_last_words(sample: Sample) -> None:
    (sample.input / 'b.mp4').write_text('this is no video\n' * 100)

    assert_only_b_failed(sample, 'exit code', 'Invalid data found')


def test_an_empty_file_fails_alone(sample: Sample) -> None:
    (sample.input / 'b.mp4').write_bytes(b'')

    assert_only_b_failed(sample, 'exit code', 'Invalid data found')


def test_a_video_without_sound_fails_alone(sample: Sample, make_video: MakeVideo) -> None:
    make_video('b.mp4', audible=False)

    assert_only_b_failed(sample, 'exit code', ': no audio track', 'does not contain any stream')


def test_a_task_that_is_ended_by_the_service_fails_alone_with_its_code(sample: Sample) -> None:
    sample.azure.slow_nodes(start_task=0.5)
    process = sample.start('-y')
    client = sample.azure.batch_client()
    sample.azure.wait_until(lambda: len(list_tasks(sample)) == 3)
    client.task.terminate('LinuxFFmpegJob', 'Task1')

    result = sample.finish(process)

    assert result.returncode == 1
    sample.assert_failed(result.stderr, 'b.mp4', 'TaskEnded: ')
    assert sample.mp3s() == ['a.mp3', 'c.mp3']


def list_tasks(sample: Sample) -> list[str]:
    if not sample.jobs():
        return []
    return [task.id for task in sample.azure.batch_client().task.list('LinuxFFmpegJob')]


def test_an_output_that_cannot_be_uploaded_fails_alone_with_its_code(sample: Sample) -> None:
    fault = sample.azure.refuse_upload('b.mp3')

    assert_only_b_failed(sample, 'FileUpload')
    fault.check()


@pytest.mark.parametrize(('empty', 'word'), [(False, 'missing'), (True, 'empty')])
def test_a_task_that_succeeds_without_its_mp3_counts_as_failed(
    sample: Sample, empty: bool, word: str
) -> None:
    fault = sample.azure.lose_output('b.mp3', empty=empty)

    assert_only_b_failed(sample, f'its MP3 is {word}')
    fault.check()


def test_an_mp3_of_an_earlier_run_does_not_hide_a_missing_one(sample: Sample) -> None:
    with sample.azure.blob_service_client() as client:
        old = (
            client.create_container('output')
            .upload_blob('b.mp3', b'from an earlier run')
            .get_blob_properties()
        )
    sample.azure.wait_until(lambda: datetime.now(UTC) - old.last_modified > timedelta(seconds=1))
    sample.azure.lose_output('b.mp3')

    assert_only_b_failed(sample, 'its MP3 is missing')


def test_an_mp3_that_cannot_be_written_is_named_and_leaves_nothing_half_written(
    sample: Sample,
) -> None:
    (sample.output / 'b.mp3').mkdir(parents=True)

    result = sample.run('-y')

    assert result.returncode == 1
    sample.assert_failed(result.stderr, 'b.mp4', 'not downloaded: ')
    assert sample.mp3s() == ['a.mp3', 'c.mp3']


def test_a_download_that_stays_cut_is_named_and_leaves_nothing_half_written(sample: Sample) -> None:
    fault = sample.azure.cut_requests(
        'GET', 'output/b.mp3', count=None, service='storage', where='mid-body'
    )

    result = sample.run('-y')

    fault.check()
    assert result.returncode == 1
    sample.assert_failed(result.stderr, 'b.mp4', 'not downloaded: ')
    assert sample.mp3s() == ['a.mp3', 'c.mp3']
    assert sample.nothing_is_left()
