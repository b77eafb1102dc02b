"""One run at a time: the lease on the output container."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest
from azure.core.exceptions import ServiceRequestError
from azure.storage.blob import BlobLeaseClient

import batch_python_tutorial_ffmpeg as sample

from .conftest import Clock
from .mocks import OUTPUT, StorageMock, mock_of
from .service_objects import (
    EARLIER_RUN,
    THIS_RUN,
    batch_error,
    container_properties,
    storage_error,
)

TAKEN = storage_error('LeaseAlreadyPresent', status=409)
GONE = [
    storage_error('LeaseIdMismatchWithLeaseOperation', status=409),
    storage_error('LeaseLost', status=412),
    storage_error('ContainerNotFound', status=404),
]
PASSING = [
    ServiceRequestError('no route'),
    storage_error('ServerBusy', status=503),
    storage_error('AuthenticationFailed', status=403),
]


@pytest.fixture
def lease(storage: StorageMock) -> Any:
    """The lease that Storage gives on the output container."""
    lease = mock_of(BlobLeaseClient)
    storage.container(OUTPUT).acquire_lease.return_value = lease
    return lease


def threads() -> int:
    return threading.active_count()


# --- take_lock ------------------------------------------------------------------------------------


def test_take_lock_makes_the_container_and_leases_it_for_a_minute(
    storage: StorageMock, lease: Any
) -> None:
    lock = sample.take_lock(storage.client)
    lock.release()

    container = storage.container(OUTPUT)
    container.create_container.assert_called_once_with(metadata=THIS_RUN)
    ((seconds,), options) = container.acquire_lease.call_args
    assert seconds == 60
    assert uuid.UUID(options['lease_id'])
    lease.release.assert_called_once_with()
    assert not lock.lost


@pytest.mark.usefixtures('lease')
def test_take_lock_leases_a_container_that_exists(storage: StorageMock) -> None:
    container = storage.container(OUTPUT)
    container.create_container.side_effect = storage_error('ContainerAlreadyExists')
    container.get_container_properties.return_value = container_properties(EARLIER_RUN)

    sample.take_lock(storage.client).release()

    container.acquire_lease.assert_called_once()
    container.set_container_metadata.assert_not_called()


def test_take_lock_waits_for_a_run_that_has_just_died(
    storage: StorageMock, lease: Any, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    acquire = storage.container(OUTPUT).acquire_lease
    acquire.side_effect = [TAKEN] * 25 + [lease]

    sample.take_lock(storage.client).release()

    assert 30 <= clock.elapsed <= 60
    assert capsys.readouterr().err == (
        'Container [output] is used by another run, or by one that has just died: '
        'waiting for up to 60 seconds...\n'
    )
    # An answer that was lost counts: the lease is this run's then.
    assert len({call.kwargs['lease_id'] for call in acquire.call_args_list}) == 1


def test_take_lock_gives_up_after_a_minute_and_touches_nothing(
    storage: StorageMock, clock: Clock
) -> None:
    container = storage.container(OUTPUT)
    container.acquire_lease.side_effect = TAKEN

    with pytest.raises(sample.SampleError) as raised:
        sample.take_lock(storage.client)

    message = str(raised.value)
    assert message.startswith('Another run is at work, and nothing of it was touched.')
    for setting in ('_INPUT_CONTAINER_NAME', '_OUTPUT_CONTAINER_NAME', '_POOL_ID', '_JOB_ID'):
        assert setting in message
    assert 60 < clock.elapsed < 75
    assert {call[0] for call in container.method_calls} == {'create_container', 'acquire_lease'}


def test_take_lock_stops_waiting_when_the_run_has_to_stop(
    storage: StorageMock, clock: Clock
) -> None:
    storage.container(OUTPUT).acquire_lease.side_effect = TAKEN

    def stop() -> None:
        sample.stop.reason = sample.InterruptedRunError()

    clock.on_sleep.append(stop)

    with pytest.raises(sample.InterruptedRunError):
        sample.take_lock(storage.client)

    assert clock.elapsed < 1


def test_take_lock_raises_every_other_error(storage: StorageMock, clock: Clock) -> None:
    refused = storage_error('AuthorizationPermissionMismatch', status=403)
    storage.container(OUTPUT).acquire_lease.side_effect = refused

    with pytest.raises(type(refused)) as raised:
        sample.take_lock(storage.client)

    assert raised.value is refused
    assert clock.sleeps == []


# --- RunLock --------------------------------------------------------------------------------------


def test_lock_renews_its_lease_until_it_is_released(
    lease: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, '_LEASE_SECONDS', 0.03)
    renewed_often = threading.Event()

    def count(**_: Any) -> None:
        if lease.renew.call_count >= 3:
            renewed_often.set()

    lease.renew.side_effect = count
    before = threads()

    lock = sample.RunLock(lease)
    assert renewed_often.wait(10)
    lock.release()

    assert threads() == before  # nothing renews it any more
    assert lease.method_calls[-1][0] == 'release'


def test_lock_gives_up_a_renewal_well_before_its_lease_ends(lease: Any) -> None:
    """A connection that is dead must not take the whole minute."""
    lock = sample.RunLock(lease)

    lock.renew()
    lock.release()

    options = lease.renew.call_args.kwargs
    tries = 1 + options['retry_total']
    assert tries * options['read_timeout'] <= sample._LEASE_SECONDS / 2


@pytest.mark.parametrize('error', GONE, ids=sample.error_code)
def test_lock_that_another_run_has_taken_stops_this_run_and_is_not_given_back(
    error: Exception, lease: Any
) -> None:
    lease.renew.side_effect = error
    lock = sample.RunLock(lease)

    lock.renew()
    lock.release()

    assert lock.lost
    lease.release.assert_not_called()
    words = r'taken over container \[output\], or somebody has deleted it or broken its lease'
    with pytest.raises(sample.SampleError, match=words):
        sample.stop_if_asked()


@pytest.mark.parametrize('error', PASSING, ids=lambda error: type(error).__name__)
def test_lock_that_cannot_be_renewed_for_the_moment_is_kept(error: Exception, lease: Any) -> None:
    lease.renew.side_effect = error
    lock = sample.RunLock(lease)

    lock.renew()
    lock.release()

    assert not lock.lost
    lease.release.assert_called_once_with()
    sample.stop_if_asked()  # raises nothing


@pytest.mark.parametrize('error', [GONE[1], PASSING[0]], ids=['gone', 'no answer'])
def test_lock_that_cannot_be_given_back_is_no_error(error: Exception, lease: Any) -> None:
    lease.release.side_effect = error

    sample.RunLock(lease).release()


def test_lock_does_not_hide_an_error_that_nobody_expects(lease: Any) -> None:
    lease.renew.side_effect = batch_error('JobNotFound')
    lock = sample.RunLock(lease)

    with pytest.raises(type(lease.renew.side_effect)):
        lock.renew()

    lock.release()
