"""Options, settings and folders: what is wrong stops the run before anything is contacted."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest

import batch_python_tutorial_ffmpeg as sample

from .conftest import RunMain, Videos
from .mocks import VIDEOS


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('http_proxy', 'https_proxy', 'all_proxy'):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def check(*argv: str) -> None:
    sample.check_settings(sample.parse_arguments(argv))


# --- Settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('setting', 'value'),
    [
        ('_BATCH_ACCOUNT_NAME', ''),
        ('_BATCH_ACCOUNT_NAME', 'My-Account'),
        ('_BATCH_ACCOUNT_URL', 'https://<Batch account>.<region>.batch.azure.com'),
        ('_BATCH_ACCOUNT_URL', 'https://xxxx.westeurope.batch.azure.com'),
        ('_BATCH_ACCOUNT_URL', 'http://mybatch.westeurope.batch.azure.com'),
        ('_BATCH_ACCOUNT_URL', 'http://127.0.0.1.example'),
        ('_STORAGE_ACCOUNT_NAME', 'st'),
        ('_STORAGE_ACCOUNT_URL', 'https://'),
        ('_INPUT_CONTAINER_NAME', 'a--b'),
        ('_OUTPUT_CONTAINER_NAME', 'UPPER'),
        ('_POOL_ID', 'my pool'),
        ('_JOB_ID', 'j' * 65),
        ('_JOB_TIMEOUT', timedelta(0)),
        ('_JOB_TIMEOUT', timedelta(days=7)),
        ('_OUTPUT_FORMAT', {'extension': '.mp3', 'ffmpeg_options': "-metadata title='x'"}),
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_right_is_named(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: object
) -> None:
    monkeypatch.setattr(sample, setting, value)

    with pytest.raises(sample.UsageError, match=setting):
        check()


@pytest.mark.parametrize(
    ('setting', 'value'),
    [
        ('_BATCH_ACCOUNT_URL', 'https://mybatch.westeurope.batch.azure.com/'),
        ('_BATCH_ACCOUNT_URL', 'http://127.0.0.1:10000'),
        ('_BATCH_ACCOUNT_URL', 'http://[::1]:10000'),
        ('_STORAGE_ACCOUNT_URL', 'http://localhost:10000/devstoreaccount1'),
        ('_STORAGE_ACCOUNT_KEY', ''),
        ('_BATCH_ACCOUNT_KEY', ''),
        ('_JOB_TIMEOUT', timedelta(days=5, hours=3)),
        ('_OUTPUT_FORMAT', {'extension': '.m4a', 'ffmpeg_options': '-vn -c:a aac'}),
    ],
    ids=str,
)
def test_a_setting_that_can_be_right_passes(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: object
) -> None:
    monkeypatch.setattr(sample, setting, value)

    check()


def test_a_placeholder_in_a_url_that_is_made_of_it_is_named_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sample, '_STORAGE_ACCOUNT_NAME', '<storage account>')
    url = 'https://<storage account>.blob.core.windows.net'
    monkeypatch.setattr(sample, '_STORAGE_ACCOUNT_URL', url)

    (problem,) = sample.wrong_settings(sample.parse_arguments([]))

    assert problem.startswith('_STORAGE_ACCOUNT_NAME')


@pytest.mark.parametrize('service', ['BATCH', 'STORAGE'])
def test_signing_in_needs_https_also_on_this_machine(
    monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    monkeypatch.setattr(sample, f'_{service}_ACCOUNT_URL', 'http://127.0.0.1:10000/x')
    monkeypatch.setattr(sample, f'_{service}_ACCOUNT_KEY', '')

    with pytest.raises(sample.UsageError, match=f'_{service}_ACCOUNT_URL'):
        check()


@pytest.mark.parametrize(
    ('variable', 'character'),
    [*(('HTTPS_PROXY', one) for one in '/#@?[]'), ('HTTP_PROXY', '#'), ('ALL_PROXY', '#')],
)
def test_a_proxy_whose_password_breaks_its_url_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, variable: str, character: str
) -> None:
    monkeypatch.setenv(variable, f'http://me:pass{character}word@proxy.local:3128')

    with pytest.raises(sample.UsageError, match=variable) as refused:
        check()

    assert 'word@' not in str(refused.value)


@pytest.mark.parametrize(
    'proxy',
    ['http://proxy.local:3128', 'proxy:3128', 'http://me:p%5Bw@proxy:80/', 'http://[::1]:80'],
)
def test_a_proxy_that_is_a_url_passes(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv('HTTPS_PROXY', proxy)

    check()


# --- Options --------------------------------------------------------------------------------------


@pytest.mark.parametrize('option', ['--low-priority=-1', '--output='])
def test_an_option_that_cannot_be_is_named(option: str) -> None:
    with pytest.raises(sample.UsageError, match=option.partition('=')[0]):
        check(option)


@pytest.mark.parametrize('output', ['', '/dev/null/x'], ids=['setting', 'folder'])
def test_what_is_wrong_ends_a_run_with_2_before_anything_is_contacted(
    run_main: RunMain, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    monkeypatch.setattr(sample, 'create_clients', lambda: pytest.fail('a client was made'))

    assert run_main('--output', output) == 2


@pytest.mark.parametrize(
    'argv', [['-y', '--keep'], ['--timeout', '0'], ['--timeout', '8641'], ['--timeout', 'nan']]
)
def test_argparse_refuses_what_it_can_see(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        sample.main(argv)

    assert ended.value.code == 2


def limits(argv: Iterable[str], sizes: Iterable[int], folder: Path) -> tuple[int, int, timedelta]:
    """Return nodes of both kinds and the time limit, for videos of so many bytes."""
    options = sample.parse_arguments(list(argv))
    videos = {}
    for number, size in enumerate(sizes):
        path = folder / f'{number}.mp4'
        with path.open('wb') as file:
            file.truncate(size)  # a sparse file
        videos[path.name] = path
    sample.set_limits(options, videos)
    return options.dedicated_nodes, options.low_priority_nodes, options.timeout


@pytest.mark.parametrize(
    ('argv', 'videos', 'dedicated', 'low_priority'),
    [
        ([], 5, 0, 5),
        ([], 1, 0, 1),
        (['--low-priority', '500'], 3, 0, 3),
        (['--dedicated', '2'], 4, 2, 2),
        (['--dedicated', '9'], 4, 4, 0),
    ],
)
def test_there_are_never_more_nodes_than_videos(
    tmp_path: Path, argv: list[str], videos: int, dedicated: int, low_priority: int
) -> None:
    assert limits(argv, [1] * videos, tmp_path)[:2] == (dedicated, low_priority)


@pytest.mark.parametrize(
    ('argv', 'gigabytes', 'minutes'),
    [
        ([], [0], 30),
        ([], [1], 36),
        ([], [1] * 5, 36),
        ([], [1.99], 41),
        ([], [10_000], 6 * 24 * 60),
        (['--timeout', '90'], [100], 90),
    ],
)
def test_the_time_limit_grows_with_what_one_node_has_to_convert(
    tmp_path: Path, argv: list[str], gigabytes: list[float], minutes: int
) -> None:
    timeout = limits(argv, [int(size * 1e9) for size in gigabytes], tmp_path)[2]

    assert timeout == timedelta(minutes=minutes)


@pytest.mark.parametrize(('videos', 'blocks'), [(1, 8), (4, 8), (5, 6), (32, 1), (1000, 1)])
def test_the_fewer_files_there_are_the_more_blocks_of_each_travel_at_once(
    tmp_path: Path, videos: int, blocks: int
) -> None:
    options = sample.parse_arguments(['--timeout', '1'])

    sample.set_limits(options, {str(number): tmp_path for number in range(videos)})

    assert options.max_concurrency == blocks


# --- Videos ---------------------------------------------------------------------------------------


def test_videos_are_found_in_all_folders_by_their_names(videos: Videos) -> None:
    names = ['sub/deep/ä b.mp4', 'b.MP4', 'a.mp4']
    no_videos = ['c.mov', '.hidden.mp4', '.trash/d.mp4', '$RECYCLE.BIN/e.mp4', '@eaDir/f.mp4']
    folder = videos([*names, *no_videos])

    found = sample.find_videos(folder)

    assert list(found) == ['a.mp4', 'b.MP4', 'sub/deep/ä b.mp4']
    assert found['sub/deep/ä b.mp4'] == folder / 'sub/deep/ä b.mp4'


@pytest.mark.parametrize(
    'names',
    [
        ['a.mp4', 'a.MP4'],
        ['e\u0301.mp4', '\u00e9.mp4'],
        ['talk.mp4', 'talk.damaged.mp4'],
        ['a.mp4', f'{sample.output_name("A.mp4")}/b.mp4'],
        ['\x1b[2J.mp4'],
        ['\x9b2J.mp4'],
        ['no utf-8 \udcff.mp4'],
    ],
    ids=repr,
)
def test_names_that_would_be_lost_or_changed_are_refused(names: list[str]) -> None:
    with pytest.raises(sample.UsageError):
        sample.check_names(names)


def test_odd_names_that_azure_keeps_pass() -> None:
    sample.check_names(['d' * 1020 + '.mp4'])
    sample.check_names(["it's.mp4", '%20?#&.mp4', '日本.mp4', 'a\u00a0b.mp4', 'a.b.mp4', 'a.mp4'])


def test_a_video_that_may_not_be_read_is_refused(
    videos: Videos, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = videos(['a.mp4', 'closed.mp4'])
    monkeypatch.setattr(os, 'access', lambda path, _mode: path.name != 'closed.mp4')

    with pytest.raises(sample.UsageError, match=r'closed\.mp4'):
        sample.find_videos(folder)


def test_a_socket_is_no_video(videos: Videos, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = videos(['a.mp4'])
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind('b.mp4')

    with pytest.raises(sample.UsageError, match=r'b\.mp4'):
        sample.find_videos(folder)


@pytest.mark.parametrize('mode', [0o000, 0o400], ids=oct)
def test_a_folder_that_cannot_be_read_is_refused(
    videos: Videos, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    folder = videos(['a.mp4', 'closed/b.mp4'])
    closed = folder / 'closed'

    def refuse(path: Path) -> None:
        if closed in (path, path.parent) and (mode == 0o400) == (path != closed):
            raise PermissionError(13, 'Permission denied', str(path))

    refuse_calls(monkeypatch, 'iterdir', refuse)
    refuse_calls(monkeypatch, 'lstat', refuse)

    with pytest.raises(sample.UsageError, match='closed'):
        sample.find_videos(folder)


def refuse_calls(monkeypatch: pytest.MonkeyPatch, name: str, refuse: object) -> None:
    """Let a method of Path ask `refuse` first (root may read everything)."""
    original = getattr(Path, name)

    def ask_first(path: Path, *arguments: object, **options: object) -> object:
        refuse(path)  # type: ignore[operator]
        return original(path, *arguments, **options)

    monkeypatch.setattr(Path, name, ask_first)


# --- The output folder ----------------------------------------------------------------------------


@pytest.mark.parametrize('missing', [os.W_OK, os.X_OK])
def test_an_output_folder_that_cannot_be_written_to_is_refused(
    videos: Videos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: int
) -> None:
    found = sample.find_videos(videos(VIDEOS))
    monkeypatch.setattr(os, 'access', lambda _path, mode: not mode & missing)

    with pytest.raises(sample.UsageError, match='--output'):
        sample.check_outputs(found, tmp_path / 'new' / 'folder')


def test_a_link_to_nowhere_is_no_output_folder(tmp_path: Path) -> None:
    (tmp_path / 'link').symlink_to(tmp_path / 'nowhere')

    with pytest.raises(sample.UsageError, match='--output'):
        sample.check_outputs({}, tmp_path / 'link')


@pytest.mark.parametrize('folder', ['there', 'new', 'new/folder'])
def test_an_output_folder_may_be_there_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    (tmp_path / 'there').mkdir()
    monkeypatch.chdir(tmp_path)

    sample.check_outputs({}, Path(folder))

    assert not (tmp_path / 'new').exists()


def test_an_output_that_is_one_of_the_videos_is_refused_however_it_is_called(
    videos: Videos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, 'output_name', lambda name: name)
    folder = videos(VIDEOS)
    link = folder.with_name('link')
    link.symlink_to(folder)

    with pytest.raises(sample.UsageError):
        sample.check_outputs(sample.find_videos(link), folder)


# --- --missing ------------------------------------------------------------------------------------


@pytest.mark.parametrize('status', ['good', 'damaged'])
@pytest.mark.parametrize(('age', 'is_left_out'), [(-10, True), (0, True), (10, False)])
def test_a_video_is_left_out_if_it_was_converted_since_it_changed(
    videos: Videos, output: Path, status: str, age: int, is_left_out: bool
) -> None:
    found = sample.find_videos(videos(['a.mp4', 'b.mp4']))
    output.mkdir()
    good, damaged = sample.outputs_of('a.mp4', output)
    made = good if status == 'good' else damaged
    made.write_bytes(b'ID3')
    os.utime(made, (1_000_000, 1_000_000))
    os.utime(found['a.mp4'], (1_000_000 + age, 1_000_000 + age))

    missing = sample.leave_out_converted(found, output)

    assert list(missing) == (['b.mp4'] if is_left_out else ['a.mp4', 'b.mp4'])


def test_a_folder_in_the_place_of_an_output_is_no_output(videos: Videos, output: Path) -> None:
    found = sample.find_videos(videos(['a.mp4']))
    (output / sample.output_name('a.mp4')).mkdir(parents=True)

    assert list(sample.leave_out_converted(found, output)) == ['a.mp4']
