"""The uploads of a run: all videos, many at once, within their time limit, and unchanged."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import UserDelegationKey

import batch_python_tutorial_ffmpeg as sample

from .conftest import Clock, Videos
from .mocks import INPUT, StorageMock
from .service_objects import STORAGE_URL, storage_error, user_delegation_key

NAMES = ['a.mp4', 'sub/b c.mp4', 'vid\u00e9o?#.mp4']
TIMEOUT = timedelta(minutes=30)

Upload = Callable[..., Any]


def many(number: int) -> list[str]:
    return [f'{index:02}.mp4' for index in range(number)]


@pytest.fixture
def upload(storage: StorageMock, videos: Videos) -> Upload:
    """Uploads small videos of these names; `action` stands for the upload of each."""

    def run(names: list[str], action: Callable[..., Any] | None = None) -> Any:
        folder = videos(names)
        paths = {name: folder / name for name in names}
        for name in names:
            storage.blob(INPUT, name).upload_blob.side_effect = action
        return sample.upload_videos(storage.client, paths, TIMEOUT)

    return run


def test_uploads_are_under_the_names_of_the_videos_in_their_order(
    upload: Upload, storage: StorageMock, videos: Videos
) -> None:
    uploaded = {}
    lock = threading.Lock()

    def keep(data: Any, **_: Any) -> None:
        content = data.read()
        with lock:
            uploaded[Path(data.name)] = content

    resource_files = upload(NAMES, keep)

    folder = videos([])
    assert uploaded == {folder / name: (folder / name).read_bytes() for name in NAMES}
    assert [file.file_path for file in resource_files] == NAMES
    for name, file in zip(NAMES, resource_files, strict=True):
        assert file.http_url.startswith(f'{STORAGE_URL}/input/{name}?')
        storage.blob(INPUT, name).upload_blob.assert_called_once()


def test_uploads_are_announced(upload: Upload, capsys: pytest.CaptureFixture[str]) -> None:
    upload(NAMES)

    printed = capsys.readouterr().out.splitlines()
    assert sorted(printed) == sorted(
        f'Uploading file {name} to container [input]...' for name in NAMES
    )


def test_an_upload_is_announced_when_it_begins(
    upload: Upload, capsys: pytest.CaptureFixture[str]
) -> None:
    """32 are under way at once. The 33rd is not announced before one of them has ended."""
    printed = []

    def note() -> None:
        printed.append(capsys.readouterr().out.count('Uploading file'))

    all_under_way = threading.Barrier(32, action=note, timeout=10)

    def wait(_data: Any, **_: Any) -> None:
        all_under_way.wait()

    upload(many(64), wait)

    assert printed == [32, 32]


@pytest.mark.parametrize(('files', 'blocks'), [(1, 8), (8, 4), (40, 1)])
def test_few_uploads_send_several_blocks_of_a_file_at_once(
    files: int, blocks: int, upload: Upload, storage: StorageMock
) -> None:
    names = many(files)

    upload(names)

    sent = storage.blob(INPUT, names[0]).upload_blob.call_args.kwargs
    assert sent['max_concurrency'] == blocks


def test_an_upload_that_fails_ends_the_run(upload: Upload) -> None:
    refused = storage_error('AuthorizationFailure')

    def fail(data: Any, **_: Any) -> None:
        if data.name.endswith('b c.mp4'):
            raise refused

    with pytest.raises(type(refused)) as raised:
        upload(NAMES, fail)

    assert raised.value is refused


def test_uploads_that_take_longer_than_their_limit_end_the_run(
    upload: Upload, storage: StorageMock, clock: Clock
) -> None:
    """A SAS could end before its task, otherwise."""
    names = many(40)

    def take_long(_data: Any, **_: Any) -> None:
        clock.sleep(2 * 60 * 60 + 1)

    with pytest.raises(sample.SampleError, match='longer than _UPLOAD_TIMEOUT, 2:00:00'):
        upload(names, take_long)

    storage.blob(INPUT, names[39]).upload_blob.assert_not_called()


def test_an_upload_under_way_ends_when_the_uploads_take_too_long(
    upload: Upload, clock: Clock
) -> None:
    arrived = []

    def take_hours(_data: Any, progress_hook: Callable[..., None], **_: Any) -> None:
        for hour in range(10):
            progress_hook(hour, 10)
            arrived.append(hour)
            clock.sleep(60 * 60)

    with pytest.raises(sample.SampleError, match='longer than _UPLOAD_TIMEOUT, 2:00:00'):
        upload(['a.mp4'], take_hours)

    assert arrived == [0, 1]


def test_an_upload_under_way_ends_when_the_run_has_to_stop(upload: Upload) -> None:
    went_on = []

    def interrupted(_data: Any, progress_hook: Callable[..., None], **_: Any) -> None:
        progress_hook(1, 10)
        sample.stop.reason = sample.InterruptedRunError()
        progress_hook(2, 10)
        went_on.append(True)

    with pytest.raises(sample.InterruptedRunError):
        upload(['a.mp4'], interrupted)

    assert went_on == []


def test_uploads_tell_a_log_how_many_bytes_have_arrived(
    upload: Upload,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = threading.Event()
    show = sample.Progress.show

    def show_and_tell(progress: sample.Progress, done: int) -> None:
        show(progress, done)
        if done == 10:
            shown.set()

    monkeypatch.setattr(sample.Progress, 'show', show_and_tell)
    both_are_half_way = threading.Barrier(2, action=lambda: clock.sleep(11), timeout=10)

    def half(_data: Any, progress_hook: Callable[..., None], **_: Any) -> None:
        progress_hook(2, 14)
        progress_hook(5, 14)
        both_are_half_way.wait()
        assert shown.wait(10)

    upload(['a.mp4', 'b.mp4'], half)

    assert capsys.readouterr().err == 'Uploading: 10 bytes of 28 bytes, 0:00:20 left\n'


def test_uploads_ask_for_one_key_that_signs_all_of_them(
    upload: Upload, storage: StorageMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, '_STORAGE_ACCOUNT_KEY', '')
    never = threading.Event()

    def delegate(*_: object) -> UserDelegationKey:
        never.wait(0.2)  # time for the other threads to ask as well
        return user_delegation_key()

    storage.client.get_user_delegation_key.side_effect = delegate

    upload(many(40))

    assert storage.client.get_user_delegation_key.call_count == 1


# --- A file that changes meanwhile ----------------------------------------------------------------


def grow(path: Path) -> None:
    with path.open('ab') as file:
        file.write(b'more')


def cut(path: Path) -> None:
    os.truncate(path, 3)


def overwrite(path: Path) -> None:
    """Write other bytes of the same number."""
    before = path.stat()
    path.write_bytes(b'x' * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


@pytest.mark.parametrize('change', [grow, cut, overwrite])
def test_a_video_that_changes_while_it_is_uploaded_ends_the_run_and_is_named(
    change: Callable[[Path], None], upload: Upload, videos: Videos
) -> None:
    path = videos(NAMES) / 'a.mp4'

    def change_it(data: Any, **_: Any) -> None:
        if Path(data.name) == path:
            change(path)

    with pytest.raises(sample.SampleError) as raised:
        upload(NAMES, change_it)

    message = f'{path} was changed while it was uploaded. Run again when it is ready.'
    assert str(raised.value) == message


def test_a_video_that_changes_is_named_even_if_its_upload_fails(
    upload: Upload, videos: Videos
) -> None:
    """What is sent does not have the length that was announced."""
    path = videos(['a.mp4']) / 'a.mp4'

    def cut_and_fail(_data: Any, **_: Any) -> None:
        cut(path)
        raise storage_error('InvalidInput')

    with pytest.raises(sample.SampleError, match='was changed while it was uploaded'):
        upload(['a.mp4'], cut_and_fail)


def test_a_video_that_is_gone_before_its_upload_is_named(
    storage: StorageMock, tmp_path: Path
) -> None:
    path = tmp_path / 'a.mp4'

    with pytest.raises(OSError, match='No such file') as raised:
        sample.upload_videos(storage.client, {'a.mp4': path}, TIMEOUT)

    assert sample.describe(raised.value) == f'{path}: No such file or directory'
