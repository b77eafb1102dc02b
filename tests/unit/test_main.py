"""The command line as `main` sees it: folders, exit codes, and what comes before what."""

from __future__ import annotations

import threading

import pytest
from azure.core.exceptions import DeserializationError, ServiceRequestError
from msrest.exceptions import ClientRequestError

import batch_python_tutorial_ffmpeg as sample

from .conftest import RunMain, Videos
from .mocks import MP3S, VIDEOS, Azure

MP3 = sample.output_name('a.mp4')


def test_a_tilde_that_the_shell_has_left_is_the_home_folder(
    azure: Azure, videos: Videos, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = videos(VIDEOS).parent
    monkeypatch.setenv('HOME', str(home))

    assert sample.main(['--input=~/videos', '--output=~/mp3s', '-y']) == 0

    assert (home / 'mp3s' / MP3).read_bytes() == MP3S[MP3]
    assert azure.batch.pool.add.call_count == 1


def test_the_bill_is_said_before_anything_is_contacted(
    run_main: RunMain, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []

    def refuse() -> None:
        said.append(capsys.readouterr().err)
        raise sample.SampleError

    monkeypatch.setattr(sample, 'describe_bill', lambda _: 'the bill')
    monkeypatch.setattr(sample, 'create_clients', refuse)

    run_main()

    assert said == ['the bill\n']


@pytest.mark.usefixtures('azure')
@pytest.mark.parametrize(
    'error',
    [
        sample.SampleError('A reason.'),
        ClientRequestError('Batch is away.'),
        ServiceRequestError('Storage is away.'),
        DeserializationError('This is not JSON.'),
        OSError(28, 'No space left on device'),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_may_happen_ends_a_run_with_one_message_and_1(
    run_main: RunMain,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(sample, 'create_clients', fail)

    assert run_main() == 1

    assert capsys.readouterr().err.count(sample.describe(error)) == 1


def test_a_bug_that_has_nothing_to_do_with_threads_keeps_its_traceback(
    azure: Azure, run_main: RunMain
) -> None:
    azure.batch.job.add.side_effect = RuntimeError('a bug')

    with pytest.raises(RuntimeError, match='a bug'):
        run_main('-y')


@pytest.mark.usefixtures('azure')
def test_a_run_in_a_thread_works(run_main: RunMain) -> None:
    """Only the main thread may set the handlers of signals."""
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(run_main('-y')))

    thread.start()
    thread.join()

    assert codes == [0]


@pytest.mark.usefixtures('azure')
def test_a_run_knows_nothing_of_an_interrupt_of_the_last_one(run_main: RunMain) -> None:
    sample.stop.signalled = True
    sample.stop.reason = sample.InterruptedRunError()

    assert run_main('-y') == 0
