"""Files that cannot be converted: the others are, and the truth is told about each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from batch_python_tutorial_ffmpeg import output_name
from tests.conftest import MakeVideo

from .conftest import Sample, mp3s_of

JOB = 'LinuxFFmpegJob'


def test_bad_files_fail_alone_and_need_no_second_upload(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('good.mp4')
    make_video('empty.mp4').write_bytes(b'')
    make_video('silent.mp4', audible=False)
    make_video('text.mp4').write_text('this is no video\n' * 100)

    result = sample.run()

    assert result.returncode == 1
    assert sample.mp3s() == mp3s_of('good.mp4')
    for name in ('empty.mp4', 'silent.mp4', 'text.mp4'):
        sample.assert_failed(result.stderr, name, '.')
    assert sample.nothing_is_left()


def test_videos_without_a_verdict_fail_alone_and_stay_for_the_next_run(
    sample: Sample, make_video: MakeVideo
) -> None:
    for name in ('earlier', 'empty', 'ended', 'good', 'lost', 'refused'):
        make_video(f'{name}.mp4')
    put_output_of_an_earlier_run(sample, 'earlier.mp4')
    sample.azure.lose_output(output_name('earlier.mp4'))
    sample.azure.lose_output(output_name('empty.mp4'), empty=True)
    sample.azure.lose_output(output_name('lost.mp4'))
    sample.azure.refuse_upload(output_name('refused.mp4'))
    held = sample.azure.hold_requests(
        'GET', '/input/ended.mp4', count=None, service='storage', source='node'
    )
    process = sample.start_until_held(held)
    end_the_task(sample, 'ended.mp4')
    held.remove()

    result = sample.finish(process)

    assert result.returncode == 1
    assert sample.mp3s() == mp3s_of('good.mp4')
    for name, code in (
        ('earlier.mp4', '.'),
        ('empty.mp4', '.'),
        ('ended.mp4', 'TaskEnded: '),
        ('lost.mp4', '.'),
        ('refused.mp4', 'FileUpload'),
    ):
        sample.assert_failed(result.stderr, name, code)
    assert (sample.jobs(), sample.pools()) == ([], [])
    assert sample.containers() == ['input', 'output']


def put_output_of_an_earlier_run(sample: Sample, video: str) -> None:
    with sample.azure.blob_service_client() as client:
        blob = client.create_container('output').upload_blob(output_name(video), b'an MP3')
        written = blob.get_blob_properties().last_modified
    sample.azure.wait_until(lambda: datetime.now(UTC) - written > timedelta(seconds=1))


def end_the_task(sample: Sample, video: str) -> None:
    tasks = sample.azure.batch_client().task
    for task in list(tasks.list(JOB)):
        if task.display_name == video:
            tasks.terminate(JOB, task.id)


def test_what_does_not_arrive_is_named_and_leaves_nothing_half_written(
    sample: Sample, make_video: MakeVideo
) -> None:
    for name in ('cut.mp4', 'folder.mp4', 'good.mp4'):
        make_video(name)
    cut = sample.azure.cut_requests(
        'GET', f'output/{output_name("cut.mp4")}', count=None, service='storage', where='mid-body'
    )
    (sample.output / output_name('folder.mp4')).mkdir(parents=True)  # in the place of the file

    result = sample.run('-y')

    cut.check()
    assert result.returncode == 1
    assert sample.mp3s() == mp3s_of('good.mp4')
    for name in ('cut.mp4', 'folder.mp4'):
        sample.assert_failed(result.stderr, name, '.')
    assert sample.nothing_is_left()
