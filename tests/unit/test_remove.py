"""Removing one thing: only if it is this run's and the user agrees; what is left is named."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
from azure.core.exceptions import ServiceRequestError

import batch_python_tutorial_ffmpeg as sample

from .service_objects import (
    EARLIER_RUN,
    SOMEBODY,
    THIS_RUN,
    batch_error,
    container_properties,
    items,
    pool,
)

GONE = ''  # what remove returns for something that is not there any more
KINDS = ['container', 'job', 'pool']


@pytest.mark.parametrize('kind', KINDS)
def test_remove_deletes_what_this_run_made(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    delete = Mock()

    assert sample.remove(kind, lambda: pool(metadata=items(THIS_RUN)), delete, 'yes') == GONE
    delete.assert_called_once_with()
    assert capsys.readouterr().err == ''


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize(
    'mark', [EARLIER_RUN, SOMEBODY, {}], ids=['earlier-run', 'somebody-else', 'no-mark']
)
def test_remove_leaves_what_this_run_did_not_make(mark: dict[str, str], kind: str) -> None:
    delete = Mock()

    state = sample.remove(kind, lambda: pool(metadata=items(mark)), delete, 'yes')

    delete.assert_not_called()
    assert state == 'was there before this run'


@pytest.mark.parametrize('kind', ['job', 'pool'])
def test_remove_keeps_what_the_user_wants_to_keep_and_says_what_it_costs(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    delete = Mock()

    state = sample.remove(kind, lambda: pool(metadata=items(THIS_RUN)), delete, 'no')

    delete.assert_not_called()
    assert state == 'is kept'
    assert capsys.readouterr().out == f'Delete {kind}? [Y/n] no\n'


def test_remove_does_not_ask_about_the_container(capsys: pytest.CaptureFixture[str]) -> None:
    delete = Mock()

    assert sample.remove('container', lambda: container_properties(THIS_RUN), delete, 'no') == GONE
    delete.assert_called_once_with()
    assert capsys.readouterr().out == 'Deleting container [input]...\n'


@pytest.mark.parametrize('kind', KINDS)
def test_remove_has_nothing_to_do_for_what_does_not_exist(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    delete = Mock()

    assert sample.remove(kind, Mock(side_effect=batch_error('PoolNotFound')), delete, None) == GONE
    delete.assert_not_called()
    assert capsys.readouterr() == ('', '')


@pytest.mark.parametrize('code', ['PoolNotFound', 'JobBeingDeleted'], ids=['gone', 'being-deleted'])
def test_remove_takes_a_deletion_whose_answer_was_lost_for_done(
    code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    delete = Mock(side_effect=batch_error(code))

    assert sample.remove('pool', lambda: pool(metadata=items(THIS_RUN)), delete, 'yes') == GONE
    assert capsys.readouterr().err == ''


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('failing', ['get', 'delete'])
@pytest.mark.parametrize(
    'error',
    [batch_error('InternalError'), ServiceRequestError('no route'), sample.SampleError('given up')],
)
def test_remove_names_what_may_be_left_when_it_fails(
    error: Exception, failing: str, kind: str
) -> None:
    get, delete = Mock(return_value=pool(metadata=items(THIS_RUN))), Mock()
    {'get': get, 'delete': delete}[failing].side_effect = error

    state = sample.remove(kind, get, delete, 'yes')

    assert state == f'may be left ({sample.describe(error)})'


@pytest.mark.parametrize('kind', KINDS)
def test_what_is_left_behind_has_a_command_that_deletes_it_and_holds_no_key(kind: str) -> None:
    text = sample._LEFT_BEHIND[kind]

    assert f'az storage {kind} delete' in text or f'az batch {kind} delete' in text
    assert '--account-key' not in text
