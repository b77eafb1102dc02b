"""Cleanup: it deletes what this run made and nothing else, goes on past errors, and names what is left."""

from __future__ import annotations

from datetime import datetime

import pytest

import batch_python_tutorial_ffmpeg as sample

from .conftest import Typed
from .mocks import BatchMock, StorageMock
from .service_objects import (
    SOMEBODY,
    THIS_RUN,
    batch_error,
    container_properties,
    items,
    job,
    pool,
    storage_error,
    unfinished,
)

INPUT = sample._INPUT_CONTAINER_NAME
RUN_BEGAN = datetime(2026, 11, 22, 15, 20, 21)
KINDS = ['container', 'job', 'pool']


@pytest.fixture
def after_a_run(batch: BatchMock, storage: StorageMock) -> None:
    """A container, a job and a pool that this run made; all tasks have completed."""
    storage.container(INPUT).get_container_properties.return_value = container_properties(THIS_RUN)
    batch.job.get.return_value = job(THIS_RUN)
    batch.pool.get.return_value = pool(metadata=items(THIS_RUN))


def clean_up(batch: BatchMock, storage: StorageMock, answer: str | None = 'yes') -> dict[str, bool]:
    """Clean up and return what was deleted."""
    sample.clean_up(batch.client, storage.client, answer, RUN_BEGAN)
    deletions = {'container': storage.container(INPUT).delete_container, 'job': batch.job.delete}
    return {
        kind: delete.called for kind, delete in (deletions | {'pool': batch.pool.delete}).items()
    }


@pytest.mark.usefixtures('after_a_run')
def test_clean_up_deletes_everything_that_this_run_made(
    batch: BatchMock, storage: StorageMock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert clean_up(batch, storage) == {'container': True, 'job': True, 'pool': True}

    printed = capsys.readouterr()
    for line in (
        'Deleting container [input]...',
        'Elapsed time: ',
        'Delete job? [Y/n] yes',
        'Delete pool? [Y/n] yes',
    ):
        assert line in printed.out
    assert 'Nothing is left that bills' in printed.err


@pytest.mark.usefixtures('after_a_run')
@pytest.mark.parametrize('answer', ['yes', 'no'])
def test_clean_up_that_did_what_the_user_wants_returns_true(
    answer: str, batch: BatchMock, storage: StorageMock
) -> None:
    assert sample.clean_up(batch.client, storage.client, answer, RUN_BEGAN) is True


@pytest.mark.usefixtures('after_a_run')
@pytest.mark.parametrize('failing', ['job', 'pool'])
def test_clean_up_that_may_have_left_something_returns_false(
    failing: str, batch: BatchMock, storage: StorageMock
) -> None:
    getattr(batch, failing).delete.side_effect = batch_error('InternalError')

    assert sample.clean_up(batch.client, storage.client, 'yes', RUN_BEGAN) is False


@pytest.mark.usefixtures('after_a_run')
def test_clean_up_deletes_by_the_names_of_the_settings(
    batch: BatchMock, storage: StorageMock
) -> None:
    clean_up(batch, storage)

    batch.job.delete.assert_called_once_with(sample._JOB_ID)
    batch.pool.delete.assert_called_once_with(sample._POOL_ID)


@pytest.mark.usefixtures('after_a_run')
def test_clean_up_never_deletes_the_output_container(
    batch: BatchMock, storage: StorageMock
) -> None:
    clean_up(batch, storage)

    assert list(storage.containers) == [INPUT]


@pytest.mark.usefixtures('after_a_run')
def test_clean_up_keeps_job_and_pool_if_told_so(
    batch: BatchMock, storage: StorageMock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert clean_up(batch, storage, 'no') == {'container': True, 'job': False, 'pool': False}
    assert 'Nothing is left that bills' not in capsys.readouterr().err


@pytest.mark.usefixtures('after_a_run')
def test_clean_up_deletes_the_videos_of_unfinished_tasks_after_their_job(
    batch: BatchMock, storage: StorageMock
) -> None:
    batch.tasks[:] = [unfinished('a.mp4', 'running')]
    order: list[str] = []
    batch.job.delete.side_effect = lambda _: order.append('job')
    storage.container(INPUT).delete_container.side_effect = lambda: order.append('container')

    assert clean_up(batch, storage) == {'container': True, 'job': True, 'pool': True}
    assert order == ['job', 'container']


@pytest.mark.usefixtures('after_a_run')
def test_clean_up_keeps_the_videos_that_a_kept_job_still_needs(
    batch: BatchMock, storage: StorageMock, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.tasks[:] = [unfinished('a.mp4')]

    assert clean_up(batch, storage, 'no')['container'] is False
    assert (
        'The container is kept: the job still needs it. Its files bill.' in capsys.readouterr().err
    )


@pytest.mark.usefixtures('after_a_run')
def test_clean_up_keeps_the_pool_for_a_job_that_somebody_else_has_just_made(
    batch: BatchMock, storage: StorageMock, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.job.get.return_value = job(SOMEBODY)

    assert clean_up(batch, storage)['pool'] is False
    assert 'The pool is kept: the job still needs it. Its nodes bill.' in capsys.readouterr().err


@pytest.mark.usefixtures('after_a_run')
@pytest.mark.parametrize('failing', KINDS)
def test_clean_up_goes_on_past_a_deletion_that_fails(
    failing: str, batch: BatchMock, storage: StorageMock, capsys: pytest.CaptureFixture[str]
) -> None:
    error = storage_error('InternalError')
    deletions = {'container': storage.container(INPUT).delete_container, 'job': batch.job.delete}
    (deletions | {'pool': batch.pool.delete})[failing].side_effect = error

    assert clean_up(batch, storage) == {'container': True, 'job': True, 'pool': True}
    assert f'The {failing} may be left' in capsys.readouterr().err


@pytest.mark.usefixtures('after_a_run')
def test_clean_up_goes_on_when_batch_does_not_answer(
    batch: BatchMock, storage: StorageMock, capsys: pytest.CaptureFixture[str]
) -> None:
    for request in (batch.task.list, batch.job.get, batch.pool.get):
        request.side_effect = sample.SampleError('The Batch service cannot be reached.')

    clean_up(batch, storage)

    printed = capsys.readouterr().err
    for kind in ('job', 'pool'):
        assert f'The {kind} may be left (The Batch service cannot be reached.)' in printed
    assert 'Nothing is left that bills' not in printed


@pytest.mark.usefixtures('after_a_run')
def test_clean_up_leaves_a_pool_that_was_there_before(
    batch: BatchMock, storage: StorageMock
) -> None:
    batch.pool.get.return_value = pool(metadata=items(SOMEBODY))

    assert clean_up(batch, storage) == {'container': True, 'job': True, 'pool': False}


def test_clean_up_before_anything_was_made_deletes_nothing(
    batch: BatchMock, storage: StorageMock
) -> None:
    storage.container(INPUT).get_container_properties.side_effect = storage_error(
        'ContainerNotFound'
    )
    batch.task.list.side_effect = batch.job.get.side_effect = batch_error('JobNotFound', status=404)
    batch.pool.get.side_effect = batch_error('PoolNotFound', status=404)

    assert clean_up(batch, storage, None) == {'container': False, 'job': False, 'pool': False}


@pytest.mark.usefixtures('after_a_run')
def test_clean_up_after_questions_left_unanswered_deletes(
    batch: BatchMock, storage: StorageMock, typed: Typed
) -> None:
    typed(EOFError(), EOFError())

    assert clean_up(batch, storage, None) == {'container': True, 'job': True, 'pool': True}
