"""What is there before a run, and what is left after it: what is ours, and what is not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ServiceRequestError

import batch_python_tutorial_ffmpeg as sample

from .conftest import Clock, RunMain, Typed, interrupt
from .mocks import INPUT, OUTPUT, Azure, StorageMock
from .service_objects import (
    OTHER_OUTPUT,
    OURS,
    SOMEBODY,
    STORAGE_URL,
    batch_error,
    blob_properties,
    image,
    job,
    storage_error,
    task_counts,
)


def assert_nothing_was_touched(azure: Azure, *made: str) -> None:
    assert azure.made == {OUTPUT, *made}
    azure.batch.pool.add.assert_not_called()
    assert not any(blob.upload_blob.called for blob in azure.storage.blobs.values())
    azure.lease.release.assert_called_once()


@pytest.mark.parametrize('metadata', [{}, SOMEBODY, OTHER_OUTPUT])
@pytest.mark.parametrize('thing', ['job', 'pool', INPUT])
def test_what_is_not_ours_stops_the_run_before_anything_is_sent(
    azure: Azure, run_main: RunMain, thing: str, metadata: dict[str, str]
) -> None:
    azure.made.add(thing)
    azure.metadata = metadata

    exit_code = run_main('-y')

    assert exit_code == 1
    assert_nothing_was_touched(azure, thing)


def test_an_image_that_batch_does_not_have_stops_the_run_before_anything_is_sent(
    azure: Azure, run_main: RunMain
) -> None:
    images = azure.batch.account.list_supported_images
    images.return_value = [image('another')]

    assert run_main('-y') == 1

    assert_nothing_was_touched(azure)
    assert sample._POOL_NODE_AGENT_SKU_ID in images.call_args.args[0].filter


def test_what_an_earlier_run_has_left_is_used_again(azure: Azure, run_main: RunMain) -> None:
    azure.made |= {INPUT, OUTPUT, 'pool'}
    azure.metadata = OURS | {'added by': 'somebody'}

    assert run_main('-y') == 0

    azure.batch.pool.enable_auto_scale.assert_called_once()
    assert azure.made == {OUTPUT}


@pytest.mark.parametrize(
    ('argv', 'old_tasks', 'goes_on'),
    [
        (['-y'], task_counts(completed=2), True),
        (['-y'], task_counts(active=2), True),
        (['--keep'], task_counts(completed=2), True),
        (['--keep'], task_counts(active=2), False),
        (['--keep'], task_counts(running=2), False),
        ([], task_counts(completed=2), False),
    ],
    ids=['yes', 'yes, unfinished', 'keep', 'keep, queued', 'keep, running', 'nobody there'],
)
def test_an_old_job_is_replaced_only_by_agreement(
    azure: Azure, run_main: RunMain, argv: list[str], old_tasks: Any, goes_on: bool
) -> None:
    azure.made.add('job')
    first = old_tasks
    later = azure.batch.job.get_task_counts.return_value
    azure.batch.job.get_task_counts.side_effect = [first, *[later] * 9]

    exit_code = run_main(*argv)

    assert (exit_code == 0) == goes_on
    if not goes_on:
        assert_nothing_was_touched(azure, 'job')


@pytest.mark.parametrize(('reply', 'exit_code'), [('y', 0), ('', 1), ('n', 1)])
def test_somebody_who_is_there_is_asked_about_an_old_job(
    azure: Azure, run_main: RunMain, typed: Typed, reply: str, exit_code: int
) -> None:
    azure.made.add('job')
    prompts = typed(reply, '', '')

    assert run_main() == exit_code

    assert prompts[0] == 'Delete it and go on? [y/N] '


@pytest.mark.parametrize('code', ['JobNotFound', 'JobBeingDeleted'])
def test_an_old_job_that_goes_while_the_user_thinks_is_deleted_enough(
    azure: Azure, run_main: RunMain, code: str
) -> None:
    azure.made.add('job')
    delete = azure.batch.job.delete.side_effect

    def delete_too_late(*_: object) -> None:
        azure.batch.job.delete.side_effect = delete
        azure.made.discard('job')
        raise batch_error(code)

    azure.batch.job.delete.side_effect = delete_too_late

    assert run_main('-y') == 0


def test_a_slash_at_the_end_of_the_url_makes_no_other_account(
    azure: Azure, run_main: RunMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    azure.made.add(INPUT)
    monkeypatch.setattr(sample, '_STORAGE_ACCOUNT_URL', f'{STORAGE_URL}/')

    assert run_main('-y') == 0


def test_a_job_that_is_being_deleted_is_not_asked_about(azure: Azure, run_main: RunMain) -> None:
    jobs = iter([job(state='deleting')])
    get = azure.batch.job.get.side_effect
    azure.batch.job.get.side_effect = lambda *arguments: next(jobs, None) or get(*arguments)

    assert run_main('--keep') == 0


# --- --check --------------------------------------------------------------------------------------


def test_check_creates_nothing(
    azure: Azure, run_main: RunMain, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    end = datetime(2027, 6, 30, tzinfo=UTC)
    azure.batch.account.list_supported_images.return_value = [image('server-gen1', end)]

    assert run_main('--check') == 0

    assert azure.made == set()
    assert not output.exists()
    shown = capsys.readouterr().out
    assert '2027-06-30' in shown
    assert '3 Spot nodes (STANDARD_A1_v2), for at most 1 hour 5 minutes each' in shown


@pytest.mark.parametrize(
    ('thing', 'metadata'), [('job', OURS), ('job', SOMEBODY), ('pool', SOMEBODY), (INPUT, SOMEBODY)]
)
def test_check_finds_what_is_in_the_way(
    azure: Azure, run_main: RunMain, thing: str, metadata: dict[str, str]
) -> None:
    azure.made.add(thing)
    azure.metadata = metadata

    assert run_main('--check') == 1

    assert azure.made == {thing}


def test_check_finds_the_pool_that_would_be_used_and_a_wrong_clock(
    azure: Azure, run_main: RunMain, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    azure.made.add('pool')
    clock.elapsed = 3600

    assert run_main('--check') == 0

    shown = capsys.readouterr()
    assert 'Pool: exists' in shown.out
    assert 'clock' in shown.err


# --- One run at a time ----------------------------------------------------------------------------


def run_renewals(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """Let the thread that renews the lease not start; return what it would run."""
    targets: list[Callable[[], None]] = []

    class NoThread:
        def __init__(self, target: Callable[[], None], **_: object) -> None:
            targets.append(target)

        def start(self) -> None:
            """Do not start."""

    monkeypatch.setattr(threading, 'Thread', NoThread)
    return targets


def test_a_run_waits_a_minute_for_the_lock_of_another(
    storage: StorageMock, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_renewals(monkeypatch)
    acquire = storage.container(OUTPUT).acquire_lease
    acquire.side_effect = storage_error('LeaseAlreadyPresent')

    with pytest.raises(sample.SampleError):
        sample.take_lock(storage.client)

    assert clock.elapsed > sample._LEASE_SECONDS
    assert {call.args for call in acquire.call_args_list} == {(sample._LEASE_SECONDS,)}
    assert len({call.kwargs['lease_id'] for call in acquire.call_args_list}) == 1


def test_a_signal_ends_the_wait_for_the_lock(storage: StorageMock, clock: Clock) -> None:
    storage.container(OUTPUT).acquire_lease.side_effect = storage_error('LeaseAlreadyPresent')
    clock.on_sleep.append(interrupt)

    with pytest.raises(sample.InterruptedRunError):
        sample.take_lock(storage.client)


def test_a_lock_that_becomes_free_is_taken(
    storage: StorageMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = run_renewals(monkeypatch)
    busy = storage_error('LeaseAlreadyPresent')
    storage.container(OUTPUT).acquire_lease.side_effect = [busy, busy, 'a lease']

    lock = sample.take_lock(storage.client)

    assert lock.lease == 'a lease'
    assert targets == [lock.keep]


def test_another_refusal_of_the_lock_is_no_wait(storage: StorageMock, clock: Clock) -> None:
    storage.container(OUTPUT).acquire_lease.side_effect = storage_error('AuthorizationFailure')

    with pytest.raises(HttpResponseError):
        sample.take_lock(storage.client)

    assert clock.elapsed == 0


@pytest.mark.parametrize(
    ('answer', 'lost'),
    [
        (None, False),
        (ServiceRequestError('no answer'), False),
        (storage_error('ServerBusy', status=503), False),
        (storage_error('LeaseIdMismatchWithLeaseOperation', status=409), True),
        (storage_error('ContainerNotFound', status=404), True),
        (storage_error('LeaseLost', status=412), True),
    ],
    ids=['renewed', 'no answer', '503', '409', '404', '412'],
)
def test_a_lock_is_lost_only_if_the_service_says_so(
    azure: Azure, answer: Exception | None, lost: bool
) -> None:
    azure.lease.renew.side_effect = answer
    lock = sample.RunLock(azure.lease)

    assert lock.is_lost() == lost
    assert (sample.stop.reason is not None) == lost


def test_the_lease_is_renewed_well_within_its_time_until_it_is_released(
    azure: Azure, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = sample.RunLock(azure.lease)
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) > 3

    monkeypatch.setattr(lock.released, 'wait', wait)
    azure.lease.renew.return_value = None

    lock.keep()

    assert azure.lease.renew.call_count == 3
    assert max(waits) <= sample._LEASE_SECONDS / 2


@pytest.mark.parametrize('lost', [False, True])
def test_a_lock_is_given_back_unless_it_was_lost(azure: Azure, lost: bool) -> None:
    lock = sample.RunLock(azure.lease, lost=lost)

    lock.release()

    assert azure.lease.release.called != lost
    assert lock.released.is_set()  # ends the thread


# --- What is left ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('setting', 'value', 'options'),
    [
        ('_STORAGE_ACCOUNT_KEY', '', '--auth-mode login'),
        ('_STORAGE_ACCOUNT_URL', 'https://here:1/a', '--blob-endpoint https://here:1/a'),
    ],
    ids=['signed in', 'another endpoint'],
)
def test_the_commands_reach_storage_as_the_run_does(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str, options: str
) -> None:
    monkeypatch.setattr(sample, setting, value)

    command = sample.az_commands('container')

    assert command.endswith(f'-n input --account-name mystorage {options}')


def show_formula(azure: Azure, formula: str) -> None:
    """Let the pool have this formula."""
    get = azure.batch.pool.get.side_effect

    def get_with_formula(*arguments: object, **options: object) -> Any:
        found = get(*arguments, **options)
        getattr(found, 'output', found).auto_scale_formula = formula
        return found

    azure.batch.pool.get.side_effect = get_with_formula


@pytest.fixture
def in_kolkata() -> Iterator[None]:
    """The time zone of this machine is five and a half hours ahead."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('TZ', 'Asia/Kolkata')
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures('in_kolkata')
def test_the_end_of_a_kept_pools_bill_is_said_in_local_time(
    azure: Azure, run_main: RunMain, capsys: pytest.CaptureFixture[str]
) -> None:
    show_formula(azure, '$TargetDedicatedNodes = time() < time("2026-11-22T16:50:21Z") ? 1 : 0;')

    run_main('--keep')

    assert 'bill until 2026-11-22 22:20' in capsys.readouterr().err


def test_only_outputs_of_this_run_are_named_to_be_fetched(
    azure: Azure, run_main: RunMain, capsys: pytest.CaptureFixture[str]
) -> None:
    blobs = azure.storage.container(OUTPUT).list_blobs
    blobs.return_value = [*blobs.return_value, blob_properties('other.mp3', 9)]
    azure.storage.put_output('a.mp3', OSError(28, 'No space left on device'))

    run_main('-y')

    assert '1 output of this run' in capsys.readouterr().err


def test_outputs_that_cannot_be_listed_are_no_further_error(
    azure: Azure, run_main: RunMain
) -> None:
    container = azure.storage.container(OUTPUT)
    container.list_blobs.side_effect = storage_error('ContainerNotFound')

    assert run_main('-y') == 1

    assert azure.made == {OUTPUT}
