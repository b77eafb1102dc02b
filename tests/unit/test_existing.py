"""What exists already: whose it is, and waiting until it is gone."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
from azure.batch import models
from azure.core.exceptions import ServiceRequestError

import batch_python_tutorial_ffmpeg as sample

from .conftest import Clock
from .service_objects import (
    EARLIER_RUN,
    SOMEBODY,
    STORAGE_URL,
    THIS_RUN,
    batch_error,
    container_properties,
    items,
    job,
    pool,
    proxy_error,
    storage_error,
)

# --- Metadata -------------------------------------------------------------------------------------


def test_run_metadata_names_the_sample_the_run_and_where_its_mp3s_go() -> None:
    metadata = sample.run_metadata()

    assert metadata['createdby'] == 'batch_python_tutorial_ffmpeg'
    assert metadata['output'] == f'{STORAGE_URL}/output'
    assert len(metadata['run']) == 32


def test_run_metadata_is_the_same_with_a_slash_at_the_end_of_the_url(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without = sample.run_metadata()
    monkeypatch.setattr(sample, '_STORAGE_ACCOUNT_URL', f'{STORAGE_URL}/')

    assert sample.run_metadata() == without


def test_batch_metadata_is_the_same_in_the_form_of_batch() -> None:
    assert {item.name: item.value for item in sample.batch_metadata()} == sample.run_metadata()


@pytest.mark.parametrize(
    ('metadata', 'ours', 'of_this_run'),
    [
        pytest.param(THIS_RUN, True, True, id='this-run'),
        pytest.param(EARLIER_RUN, True, False, id='earlier-run'),
        pytest.param(SOMEBODY, False, False, id='somebody-else'),
        pytest.param({'run': THIS_RUN['run']}, False, False, id='run-only'),
        pytest.param({'createdby': THIS_RUN['createdby']}, True, False, id='no-run'),
        pytest.param({}, False, False, id='empty'),
        pytest.param(None, False, False, id='none'),
    ],
)
def test_is_ours_reads_the_metadata_of_either_service(
    metadata: dict[str, str] | None, ours: bool, of_this_run: bool
) -> None:
    in_storage = container_properties(metadata)
    in_batch = pool(metadata=None if metadata is None else items(metadata))

    assert sample.is_ours(in_storage) is ours
    assert sample.is_ours(in_batch) is ours
    assert sample.is_ours(in_storage, this_run=True) is of_this_run
    assert sample.is_ours(in_batch, this_run=True) is of_this_run


# --- find -----------------------------------------------------------------------------------------


def test_find_returns_what_there_is() -> None:
    get = Mock(return_value='thing')

    assert sample.none_if_gone(get, 'id', retry_total=1) == 'thing'
    get.assert_called_once_with('id', retry_total=1)


@pytest.mark.parametrize(
    'error',
    [
        batch_error('PoolNotFound', status=404),
        batch_error('JobNotFound', status=404),
        storage_error('ContainerNotFound'),
        batch_error('PoolBeingDeleted'),
        batch_error('JobBeingDeleted'),
        storage_error('ContainerBeingDeleted'),
    ],
    ids=sample.error_code,
)
def test_find_returns_none_for_what_is_gone_or_going(error: Exception) -> None:
    assert sample.none_if_gone(Mock(side_effect=error)) is None


@pytest.mark.parametrize(
    'error',
    [
        batch_error('AuthenticationFailed', status=403),
        batch_error('NodeNotFound', status=404),
        storage_error('AuthorizationFailure'),
        storage_error('BlobNotFound'),
        proxy_error(),
        ServiceRequestError('no connection'),
        sample.SampleError('given up'),
    ],
    ids=lambda error: sample.error_code(error) or type(error).__name__,
)
def test_find_raises_every_other_error(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        sample.none_if_gone(Mock(side_effect=error))

    assert raised.value is error


# --- create_or_find -------------------------------------------------------------------------------


def test_create_or_find_returns_none_for_something_new(clock: Clock) -> None:
    create = Mock()
    get = Mock()

    assert sample.create_or_find('Pool [p]', create, get) is None
    assert (create.call_count, get.call_count, clock.sleeps) == (1, 0, [])


@pytest.mark.parametrize(
    'error',
    [
        batch_error('PoolExists'),
        batch_error('JobExists'),
        storage_error('ContainerAlreadyExists'),
    ],
    ids=sample.error_code,
)
def test_create_or_find_returns_what_exists(error: Exception, clock: Clock) -> None:
    existing = pool()
    create = Mock(side_effect=error)
    get = Mock(return_value=existing)

    assert sample.create_or_find('Pool [p]', create, get) is existing
    assert clock.sleeps == []


@pytest.mark.parametrize(
    ('error', 'existing'),
    [
        pytest.param(
            batch_error('PoolBeingDeleted'), pool(state=models.PoolState.deleting), id='pool'
        ),
        pytest.param(batch_error('JobExists'), job(state='deleting'), id='job'),
        pytest.param(batch_error('PoolBeingDeleted'), None, id='pool-gone-by-now'),
        pytest.param(storage_error('ContainerBeingDeleted'), None, id='container'),
    ],
)
def test_create_or_find_waits_while_the_old_thing_is_deleted(
    error: Exception, existing: object, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    create = Mock(side_effect=[error, error, error, None])
    get = Mock(return_value=existing)
    if existing is None:
        get.side_effect = storage_error('ContainerNotFound')

    assert sample.create_or_find('Pool [p]', create, get) is None
    assert create.call_count == 4
    assert 3 <= clock.elapsed <= 30  # it does not ask without a pause
    assert capsys.readouterr().err.count('Pool [p] is still being deleted') == 1


def test_create_or_find_does_not_wait_for_ever(clock: Clock) -> None:
    create = Mock(side_effect=batch_error('PoolBeingDeleted'))
    get = Mock(return_value=job(state='deleting'))

    with pytest.raises(sample.SampleError) as raised:
        sample.create_or_find('Pool [p]', create, get)

    message = 'Pool [p] is still being deleted after 0:10:00. Try again later.'
    assert str(raised.value) == message
    assert clock.elapsed == pytest.approx(600, abs=5)


def test_create_or_find_stops_waiting_when_the_run_has_to_stop(clock: Clock) -> None:
    create = Mock(side_effect=batch_error('PoolBeingDeleted'))
    get = Mock(return_value=job(state='deleting'))
    clock.on_sleep.append(stop)

    with pytest.raises(sample.InterruptedRunError):
        sample.create_or_find('Pool [p]', create, get)

    assert clock.elapsed < 1


def stop() -> None:
    sample.stop.reason = sample.InterruptedRunError()


@pytest.mark.parametrize(
    'error',
    [batch_error('PoolQuotaReached'), proxy_error(), ServiceRequestError('no route')],
    ids=['quota', 'proxy', 'no route'],
)
def test_create_or_find_raises_every_other_error(error: Exception, clock: Clock) -> None:
    with pytest.raises(type(error)) as raised:
        sample.create_or_find('Pool [p]', Mock(side_effect=error), Mock())

    assert raised.value is error
    assert clock.sleeps == []
