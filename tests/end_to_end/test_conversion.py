"""Videos in, MP3s out: what a user sees when all goes well."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import MakeVideo

from .audio import decode, streams
from .conftest import Sample

TIME = r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d'
TRANSCRIPT = rf"""Sample start: {TIME}

Container \[input\] created\.
Container \[output\] created\.
(?P<uploads>(?:Uploading file .*\n){{5}})Creating pool \[LinuxFFmpegPool\]\.\.\.
Creating job \[LinuxFFmpegJob\]\.\.\.
Adding 5 tasks to job \[LinuxFFmpegJob\]\.\.\.
Monitoring all tasks for 'Completed' state, timeout in 00:30:00\.\.\.
Success! All tasks completed successfully within the specified timeout period\.
Downloading 5 files from container \[output\] to (?P<folder>.*)\.\.\.
Deleting container \[input\]\.\.\.

Sample end: {TIME}
Elapsed time: 0:0\d:\d\d

Delete job\? \[Y/n\] (?P<job>.*)
Delete pool\? \[Y/n\] (?P<pool>.*)
"""
STRANGE_NAMES = [
    'with spaces.mp4',
    'a.b.mp4',
    'UPPER.MP4',
    '[x] {y} (z).mp4',
    'it\'s "q" $(touch pwned);&.mp4',
    '-leading.mp4',
    '50%.mp4',
    'ação de graças.mp4',
    '视频文件.mp4',
    'one/same.mp4',
    'two/same.mp4',
    'a?b*c#d+e=f.mp4',
    '`backtick` | tick.mp4',
    'at 3.04\u202fPM\xa0on\u3000Sunday.mp4',  # macOS names screen recordings with such spaces
    'a family 👨\u200d👩\u200d👧.mp4',
]


def test_five_clips_become_five_mp3s_with_the_transcript_of_the_tutorial(
    sample: Sample, clips: Path
) -> None:
    sample.input = clips

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    match = re.fullmatch(TRANSCRIPT, result.stdout)
    assert match, result.stdout
    assert sorted(match['uploads'].splitlines()) == [  # in the order in which they began
        f'Uploading file LowPriVMs-{number}.mp4 to container [input]...' for number in range(1, 6)
    ]
    assert (match['folder'], match['job'], match['pool']) == (str(sample.output), 'yes', 'yes')
    assert sample.mp3s() == [f'LowPriVMs-{number}.mp3' for number in range(1, 6)]
    for mp3 in sample.output.iterdir():
        video, sound = decode(clips / f'{mp3.stem}.mp4'), decode(mp3)
        assert sound.seconds == pytest.approx(video.seconds, abs=0.1)
        assert sound.loudest > 3000
        assert 'Audio: mp3' in streams(mp3)
        assert 'Video' not in streams(mp3)
    assert sample.nothing_is_left()
    assert sample.containers() == ['output']


def test_strange_file_names_survive_the_whole_way(sample: Sample, make_video: MakeVideo) -> None:
    for name in STRANGE_NAMES:
        make_video(name)

    result = sample.run('--keep')  # with the folders of the nodes

    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == sorted(f'{name[:-4]}.mp3' for name in STRANGE_NAMES)
    assert all(decode(path).loudest > 1000 for path in sample.output.rglob('*.mp3'))
    assert not list(sample.azure.root.rglob('pwned'))


def test_names_that_the_terminal_cannot_show_are_no_error(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('视频.mp4')
    sample.environment = {'PYTHONIOENCODING': 'ascii', 'LC_ALL': 'C'}

    result = sample.run('-y')

    assert result.returncode == 0, result.stderr
    assert sample.mp3s() == ['视频.mp3']


def test_no_part_of_a_file_name_reaches_a_command_line(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('unmistakable $(name).mp4')

    assert sample.run('--keep').returncode == 0

    (task,) = sample.azure.batch_client().task.list('LinuxFFmpegJob')
    assert 'unmistakable' not in task.command_line + task.output_files[0].file_pattern
    assert task.display_name == 'unmistakable $(name).mp4'
    assert task.constraints.max_task_retry_count == 0


def test_without_a_terminal_the_questions_answer_themselves_and_say_so(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('a.mp4')

    result = sample.run()

    assert result.returncode == 0, result.stderr
    assert 'Delete job? [Y/n] yes (there is no terminal to ask)' in result.stdout
    assert sample.nothing_is_left()


def test_keep_keeps_job_and_pool_and_says_that_the_pool_bills(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('a.mp4')

    result = sample.run('--keep')

    assert result.returncode == 0, result.stderr
    assert (sample.jobs(), sample.pools()) == (['LinuxFFmpegJob'], ['LinuxFFmpegPool'])
    assert sample.containers() == ['output']
    assert re.search(
        r'The pool is kept\. Its nodes bill until .*it is deleted\. To delete it:\n'
        r'  az batch pool delete --pool-id LinuxFFmpegPool --yes ',
        result.stderr,
    )


def test_old_files_in_the_output_container_stay(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')
    with sample.azure.blob_service_client() as client:
        client.create_container('output').upload_blob('precious.txt', b'keep me')

    assert sample.run('-y').returncode == 0

    with sample.azure.blob_service_client() as client:
        names = {blob.name for blob in client.get_container_client('output').list_blobs()}
    assert names == {'precious.txt', 'a.mp3'}
    assert sample.mp3s() == ['a.mp3']


def test_every_sas_grants_no_more_than_its_use_needs(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')

    assert sample.run('--keep').returncode == 0

    (task,) = sample.azure.batch_client().task.list('LinuxFFmpegJob')
    url, container_url = (
        task.resource_files[0].http_url,
        task.output_files[0].destination.container.container_url,
    )
    assert re.search('[?&]sp=r(&|$)', url)
    assert re.search('[?&]sr=b(&|$)', url)
    assert re.search('[?&]sp=cw(&|$)', container_url)
    assert re.search('[?&]sr=c(&|$)', container_url)
