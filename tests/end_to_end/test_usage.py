"""Wrong settings and wrong folders: one line, exit code 2, nothing contacted."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.conftest import MakeVideo

from .conftest import Sample


def assert_refused(sample: Sample, *words: str, options: tuple[str, ...] = ('-y',)) -> None:
    """Run the sample: one line with these words on stderr, exit code 2, no request."""
    result = sample.run(*options)

    assert result.returncode == 2
    assert result.stdout == ''
    lines = [line for line in result.stderr.splitlines() if not line.startswith('  ')]
    assert len(lines) == 1, result.stderr  # beside commands, which have lines of their own
    for word in words:
        assert word in result.stderr
    assert not sample.has_contacted_azure()


@pytest.mark.parametrize(
    ('variable', 'value', 'words'),
    [
        ('AZURE_BATCH_ACCOUNT', '<Batch account>', ('_BATCH_ACCOUNT_NAME', 'placeholder')),
        ('AZURE_BATCH_ACCOUNT', '', ('_BATCH_ACCOUNT_NAME', 'empty')),
        ('AZURE_BATCH_ACCOUNT', 'My Account', ('_BATCH_ACCOUNT_NAME',)),
        ('AZURE_BATCH_ACCESS_KEY', 'xxxxxxxx==', ('_BATCH_ACCOUNT_KEY', 'placeholder')),
        ('AZURE_BATCH_ACCESS_KEY', 'not base64', ('_BATCH_ACCOUNT_KEY', 'base64')),
        (
            'AZURE_BATCH_ENDPOINT',
            'a.westeurope.batch.azure.com',
            ('_BATCH_ACCOUNT_URL', 'https://'),
        ),
        (
            'AZURE_BATCH_ENDPOINT',
            'http://a.westeurope.batch.azure.com',
            ('_BATCH_ACCOUNT_URL', 'https://'),
        ),
        (
            'AZURE_BATCH_ENDPOINT',
            'http://127.0.0.1.example.com',
            ('_BATCH_ACCOUNT_URL', 'https://'),
        ),
        ('AZURE_STORAGE_ACCOUNT', 'a', ('_STORAGE_ACCOUNT_NAME',)),
        ('AZURE_STORAGE_KEY', 'abc', ('_STORAGE_ACCOUNT_KEY', 'base64')),
        ('AZURE_STORAGE_SERVICE_ENDPOINT', 'ftp://x', ('_STORAGE_ACCOUNT_URL', 'https://')),
    ],
)
def test_a_setting_that_cannot_be_right_is_named(
    sample: Sample, make_video: MakeVideo, variable: str, value: str, words: tuple[str, ...]
) -> None:
    make_video('a.mp4')
    sample.environment = {variable: value}

    assert_refused(sample, *words, f'(from the variable {variable})')


def test_a_placeholder_is_told_how_to_try_the_sample_without_an_account(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('a.mp4')
    sample.environment = {'AZURE_STORAGE_ACCOUNT': '<storage account>'}

    assert_refused(sample, 'Without an Azure account:\n  python -m tests.local_azure')


def test_all_wrong_settings_are_named_at_once(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')
    sample.environment = {
        'AZURE_BATCH_ACCOUNT': '<Batch account>',
        'AZURE_STORAGE_KEY': 'a key cut o',
    }

    assert_refused(sample, '_BATCH_ACCOUNT_NAME', '_STORAGE_ACCOUNT_KEY')


def test_no_nodes_at_all_are_refused(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')

    assert_refused(sample, '--dedicated and --low-priority', options=('--low-priority', '0'))


@pytest.mark.parametrize(
    ('option', 'words'),
    [
        ('--dedicated=-1', 'argument --dedicated: a number of nodes cannot be negative'),
        ('--low-priority=many', 'argument --low-priority: '),
        *(
            (f'--timeout={minutes}', f'argument --timeout: {minutes}: it must be more than 0')
            for minutes in ('0', '-5', 'nan', 'inf', '-inf', '1e9')
        ),
        ('--timeout=soon', 'argument --timeout: '),
        ('--no-such-option', 'unrecognized arguments: --no-such-option'),
    ],
)
def test_an_option_that_cannot_be_is_refused(
    sample: Sample, make_video: MakeVideo, option: str, words: str
) -> None:
    make_video('a.mp4')

    result = sample.run(option)

    assert (result.returncode, result.stdout) == (2, '')
    assert words in result.stderr
    assert not sample.has_contacted_azure()


def test_options_take_the_place_of_settings(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')

    options = (
        '--dedicated',
        '1',
        '--low-priority',
        '2',
        '--vm-size',
        'Standard_D2s_v3',
        '--timeout',
        '7.5',
    )
    result = sample.run('--keep', *options)

    assert result.returncode == 0, result.stderr
    assert (
        '3 nodes Standard_D2s_v3, up to 2.12 node-hours, even if this machine disappears while'
        in result.stderr
    )
    assert 'timeout in 00:07:30...' in result.stdout
    client = sample.azure.batch_client()
    pool, job = client.pool.get('LinuxFFmpegPool'), client.job.get('LinuxFFmpegJob')
    assert (pool.target_dedicated_nodes, pool.target_low_priority_nodes) == (1, 2)
    assert pool.vm_size == 'standard_d2s_v3'
    assert job.constraints.max_wall_clock_time == timedelta(minutes=37.5)


def test_a_missing_input_folder_is_refused(sample: Sample) -> None:
    sample.input = sample.input / 'missing'

    assert_refused(sample, 'missing', 'is no folder')


def test_an_input_folder_without_videos_is_refused(sample: Sample) -> None:
    (sample.input / 'readme.txt').write_text('no video')

    assert_refused(sample, str(sample.input), 'no .mp4 file')


def test_an_output_folder_that_is_a_file_is_refused(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')
    sample.output.write_text('a file')

    result = sample.run('-y')

    assert (result.returncode, result.stdout) == (2, '')
    assert result.stderr.endswith(
        f'--output: {sample.output} is not a folder that you may write to\n'
    )
    assert not sample.has_contacted_azure()


def test_an_output_folder_that_cannot_be_made_is_refused(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('a.mp4')
    sample.output.write_text('a file')

    result = sample.run('-y', '--output', str(sample.output / 'sub'))  # the last one counts

    assert (result.returncode, result.stdout) == (2, '')
    assert f'--output: {sample.output / "sub"} is not a folder' in result.stderr
    assert not sample.has_contacted_azure()


def test_an_output_folder_whose_name_is_too_long_is_one_message(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('a.mp4')

    result = sample.run('-y', '--output', 'a' * 300)  # the last one counts

    assert result.returncode == 1
    assert result.stderr.startswith('Error: ')
    assert 'File name too long' in result.stderr
    assert not sample.has_contacted_azure()


def test_two_inputs_with_one_output_name_are_refused(sample: Sample, make_video: MakeVideo) -> None:
    make_video('a.mp4')
    make_video('a.MP4')

    assert_refused(sample, 'a.mp4', 'a.MP4', 'a.mp3')


def test_a_video_whose_mp3_would_be_where_a_folder_has_to_be_is_refused(
    sample: Sample, make_video: MakeVideo
) -> None:
    make_video('a.mp4')
    make_video('a.mp3/b.mp4')

    assert_refused(sample, 'a.mp4 becomes a file where a.mp3/b.mp4 needs a folder')


@pytest.mark.parametrize('name', ['new\nline.mp4', 'back\\slash.mp4', 'esc\x1b[2J.mp4'])
def test_a_name_that_storage_or_a_terminal_would_change_is_refused(
    sample: Sample, make_video: MakeVideo, name: str
) -> None:
    make_video(name)

    assert_refused(sample, 'Rename')
