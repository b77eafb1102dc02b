"""What exists already: whose it is, and waiting until it is gone."""

from __future__ import annotations

from datetime import timedelta
from unittest.mock import Mock

import pytest
from azure.batch import models
from azure.core.exceptions import ServiceRequestError

import batch_python_tutorial_ffmpeg as sample

from .conftest import Clock
from .service_objects import (
    EARLIER_RUN,
    SOMEBODY,
    THIS_RUN,
    batch_error,
    container_properties,
    items,
    job,
    pool,
    proxy_error,
    storage_error,
)

PATIENCE = timedelta(minutes=1)


# --- is_ours ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ('mark', 'ours', 'of_this_run'),
    [
        pytest.param(THIS_RUN, True, True, id='this-run'),
        pytest.param(EARLIER_RUN, True, False, id='earlier-run'),
        pytest.param(SOMEBODY, False, False, id='somebody-else'),
        pytest.param({'run': THIS_RUN['run']}, False, False, id='run-only'),
        pytest.param({}, False, False, id='no-mark'),
        pytest.param(None, False, False, id='no-metadata'),
    ],
)
def test_is_ours_reads_the_mark_of_either_service(
    mark: dict[str, str] | None, ours: bool, of_this_run: bool
) -> None:
    in_storage = container_properties(mark)
    in_batch = pool(metadata=None if mark is None else items(mark))

    assert [sample.is_ours(thing) for thing in (in_storage, in_batch)] == [ours, ours]
    assert [sample.is_ours(thing, run=True) for thing in (in_storage, in_batch)] == [
        of_this_run,
        of_this_run,
    ]


# --- find -------------------------------------------------------------------------------------------------------------
def test_find_returns_what_there_is() -> None:
    get = Mock(return_value='thing')

    assert sample.find(get, 'id', retry_total=1) == 'thing'
    get.assert_called_once_with('id', retry_total=1)


@pytest.mark.parametrize(
    'error', [batch_error('PoolNotFound', status=404), storage_error('ContainerNotFound')]
)
def test_find_returns_none_for_what_the_service_does_not_know(error: Exception) -> None:
    assert sample.find(Mock(side_effect=error)) is None


@pytest.mark.parametrize(
    'error',
    [
        batch_error('AuthenticationFailed', status=403),
        storage_error('AuthorizationFailure'),
        proxy_error(),
        ServiceRequestError('no connection'),
        sample.SampleError('given up'),
    ],
)
def test_find_raises_every_other_error(error: Exception) -> None:
    with pytest.raises(type(error)):
        sample.find(Mock(side_effect=error))


# --- add_or_find ------------------------------------------------------------------------------------------------------
def test_add_or_find_returns_none_for_something_new(clock: Clock) -> None:
    add, get = Mock(), Mock()

    assert sample.add_or_find(add, get, 'Pool [p]', PATIENCE) is None
    assert (add.call_count, get.call_count, clock.sleeps) == (1, 0, [])


@pytest.mark.parametrize(
    'error', [batch_error('PoolExists'), storage_error('ContainerAlreadyExists')]
)
def test_add_or_find_returns_what_exists(error: Exception, clock: Clock) -> None:
    existing = pool()

    found = sample.add_or_find(
        Mock(side_effect=error), Mock(return_value=existing), 'Pool [p]', PATIENCE
    )

    assert found is existing
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
def test_add_or_find_waits_while_the_old_thing_is_deleted(
    error: Exception, existing: object, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    add = Mock(side_effect=[error, error, error, None])

    assert sample.add_or_find(add, Mock(return_value=existing), 'Pool [p]', PATIENCE) is None
    assert add.call_count == 4
    assert all(pause >= 1 for pause in clock.sleeps)
    assert capsys.readouterr().err.count('Pool [p] is still being deleted') == 1


def test_add_or_find_does_not_wait_for_ever(clock: Clock) -> None:
    add = Mock(side_effect=batch_error('PoolBeingDeleted'))

    with pytest.raises(
        sample.SampleError, match=r'Pool \[p\] is still being deleted after 0:01:00'
    ):
        sample.add_or_find(add, Mock(return_value=job(state='deleting')), 'Pool [p]', PATIENCE)

    assert clock.elapsed == pytest.approx(PATIENCE.total_seconds(), abs=5)


@pytest.mark.parametrize(
    'error', [batch_error('PoolQuotaReached'), proxy_error(), ServiceRequestError('no route')]
)
def test_add_or_find_raises_every_other_error(error: Exception, clock: Clock) -> None:
    with pytest.raises(type(error)):
        sample.add_or_find(Mock(side_effect=error), Mock(), 'Pool [p]', PATIENCE)

    assert clock.sleeps == []
