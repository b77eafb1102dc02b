"""Cleanup: it deletes what this run made, goes on past errors, and names what is left."""

from __future__ import annotations

import builtins
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from azure.core.exceptions import DeserializationError, ServiceRequestError
from msrest.exceptions import ClientRequestError

import batch_python_tutorial_ffmpeg as sample

from .conftest import BATCH_KEY, STORAGE_KEY, Clock, NewRun, Typed
from .mocks import INPUT, OUTPUT, BatchMock, StorageMock
from .service_objects import (
    BEGAN,
    EARLIER_RUN,
    SOMEBODY,
    THIS_RUN,
    batch_error,
    blob_properties,
    container_properties,
    items,
    job,
    pool,
    storage_error,
    unfinished,
)

KINDS = ['container', 'job', 'pool']
ALL_DELETED = {'container': True, 'job': True, 'pool': True}
NOTHING_BILLS = (
    'Nothing that bills is left, except the files in Storage. '
    'Nodes stop billing when they are gone, in a few minutes.'
)


class Remains:
    """What a run has made; all of its tasks have completed."""

    def __init__(self, new_run: NewRun, batch: BatchMock, storage: StorageMock) -> None:
        self.new_run = new_run
        self.batch = batch
        self.storage = storage
        self.container = storage.container(INPUT)
        self.deletions: dict[str, Any] = {
            'container': self.container.delete_container,
            'job': batch.job.delete,
            'pool': batch.pool.delete,
        }
        for kind in KINDS:
            self.deletions[kind].return_value = None
            self.belongs_to(kind, THIS_RUN)

    def belongs_to(self, kind: str, metadata: dict[str, str]) -> None:
        """Say who has created the container, the job or the pool."""
        if kind == 'container':
            self.container.get_container_properties.return_value = container_properties(metadata)
        elif kind == 'job':
            self.batch.job.get.return_value = job(metadata)
        else:
            self.batch.pool.get.return_value = pool(metadata=items(metadata))

    def lookup(self, kind: str) -> Any:
        """Return the request that looks whether something exists."""
        if kind == 'container':
            return self.container.get_container_properties
        return getattr(self.batch, kind).get

    def clean_up(self, *argv: str) -> bool:
        """Clean up after a run with these options, and return what the cleanup returns."""
        return sample.clean_up(self.new_run(*argv))

    @property
    def deleted(self) -> dict[str, bool]:
        return {kind: deletion.called for kind, deletion in self.deletions.items()}


@pytest.fixture
def remains(new_run: NewRun, batch: BatchMock, storage: StorageMock) -> Remains:
    return Remains(new_run, batch, storage)


# --- Deleting -------------------------------------------------------------------------------------


def test_clean_up_deletes_everything_that_this_run_made(
    remains: Remains, capsys: pytest.CaptureFixture[str]
) -> None:
    worked = remains.clean_up('-y')

    assert worked is True
    assert remains.deleted == ALL_DELETED
    assert capsys.readouterr().err == f'{NOTHING_BILLS}\n'


def test_clean_up_prints_the_end_of_the_transcript(
    remains: Remains, capsys: pytest.CaptureFixture[str], clock: Clock
) -> None:
    clock.sleep(555)

    remains.clean_up('-y')

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'Deleting container [input]...'
    assert lines[2].startswith('Sample end: 2026-11-2')
    assert lines[3] == 'Elapsed time: 0:09:15'
    assert lines[5:] == ['Delete job? [Y/n] yes', 'Delete pool? [Y/n] yes']


def test_clean_up_deletes_by_the_names_of_the_settings(remains: Remains) -> None:
    remains.clean_up('-y')

    remains.batch.job.delete.assert_called_once_with(sample._JOB_ID)
    remains.batch.pool.delete.assert_called_once_with(sample._POOL_ID)


def test_clean_up_never_touches_the_output_container(remains: Remains) -> None:
    remains.clean_up('-y')

    assert list(remains.storage.containers) == [INPUT]


def test_clean_up_without_a_terminal_deletes(
    remains: Remains, capsys: pytest.CaptureFixture[str]
) -> None:
    remains.clean_up()

    assert remains.deleted == ALL_DELETED
    assert 'Delete pool? [Y/n] yes (there is no terminal to ask)' in capsys.readouterr().out


def test_clean_up_asks_about_job_and_pool_on_a_terminal(remains: Remains, typed: Typed) -> None:
    prompts = typed('y', 'n')

    remains.clean_up()

    assert prompts == ['Delete job? [Y/n] ', 'Delete pool? [Y/n] ']
    assert remains.deleted == {'container': True, 'job': True, 'pool': False}


def test_clean_up_after_questions_left_unanswered_deletes(remains: Remains, typed: Typed) -> None:
    typed(EOFError(), EOFError())

    remains.clean_up()

    assert remains.deleted == ALL_DELETED


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_clean_up_goes_on_after_a_signal(number: signal.Signals, remains: Remains) -> None:
    def interrupt() -> None:
        signal.raise_signal(number)

    remains.container.delete_container.side_effect = interrupt

    with sample.signals_noted():
        worked = remains.clean_up('-y')

    assert worked is True
    assert remains.deleted == ALL_DELETED


def test_clean_up_that_finds_nothing_deletes_nothing(
    remains: Remains, capsys: pytest.CaptureFixture[str]
) -> None:
    remains.lookup('container').side_effect = storage_error('ContainerNotFound')
    remains.lookup('job').side_effect = batch_error('JobNotFound', status=404)
    remains.lookup('pool').side_effect = batch_error('PoolNotFound', status=404)
    remains.batch.task.list.side_effect = batch_error('JobNotFound', status=404)

    worked = remains.clean_up()

    printed = capsys.readouterr()
    assert worked is True
    assert remains.deleted == {'container': False, 'job': False, 'pool': False}
    assert 'Delete' not in printed.out
    assert printed.err == ''


@pytest.mark.parametrize(
    ('kind', 'code'),
    [
        ('container', 'ContainerBeingDeleted'),
        ('job', 'JobNotFound'),
        ('pool', 'PoolBeingDeleted'),
    ],
)
def test_clean_up_takes_a_deletion_whose_answer_was_lost_for_done(
    kind: str, code: str, remains: Remains, capsys: pytest.CaptureFixture[str]
) -> None:
    refused: Callable[[str], Exception] = storage_error if kind == 'container' else batch_error
    remains.deletions[kind].side_effect = refused(code)

    worked = remains.clean_up('-y')

    assert worked is True
    assert capsys.readouterr().err == f'{NOTHING_BILLS}\n'


def test_clean_up_after_the_nodes_were_released_answers_the_question_itself(
    remains: Remains, capsys: pytest.CaptureFixture[str]
) -> None:
    run = remains.new_run('-y')
    run.pool_released = True

    worked = sample.clean_up(run)

    printed = capsys.readouterr()
    assert worked is True
    assert remains.deleted == {'container': True, 'job': True, 'pool': False}
    assert printed.out.endswith('Delete pool? [Y/n] yes\n')
    assert printed.err == f'{NOTHING_BILLS}\n'


# --- Keeping --------------------------------------------------------------------------------------


def left(kind: str, why: str, cost: str) -> str:
    """Return the lines that name what is left."""
    return f'The {kind} {why}. {cost}. To delete it:\n  {sample.deletion_command(kind)}\n'


NODES_BILL = 'Its nodes bill until it is deleted'
NOT_OF_THIS_RUN = 'is not of this run, or another run uses it by now'


def test_clean_up_keeps_job_and_pool_if_told_so_and_says_what_they_cost(
    remains: Remains, capsys: pytest.CaptureFixture[str]
) -> None:
    worked = remains.clean_up('--keep')

    assert worked is True
    assert remains.deleted == {'container': True, 'job': False, 'pool': False}
    assert capsys.readouterr().err == (
        left('job', 'is kept', 'It costs nothing') + left('pool', 'is kept', NODES_BILL)
    )


def test_clean_up_says_until_when_a_kept_pool_bills_in_local_time(
    remains: Remains, capsys: pytest.CaptureFixture[str]
) -> None:
    formula = sample.nodes_formula(0, 5, timedelta(hours=1))
    remains.batch.pool.get.return_value = pool(metadata=items(THIS_RUN), auto_scale_formula=formula)
    end = (BEGAN + timedelta(hours=1)).astimezone()

    remains.clean_up('--keep')

    assert (
        f'The pool is kept. Its nodes bill until {end:%Y-%m-%d %H:%M}, or until it is deleted. '
        in capsys.readouterr().err
    )


def test_clean_up_promises_no_end_that_has_passed(
    remains: Remains, capsys: pytest.CaptureFixture[str], clock: Clock
) -> None:
    formula = sample.nodes_formula(0, 5, timedelta(hours=1))
    remains.batch.pool.get.return_value = pool(metadata=items(THIS_RUN), auto_scale_formula=formula)
    clock.sleep(2 * 60 * 60)

    remains.clean_up('--keep')

    printed = capsys.readouterr().err
    assert left('pool', 'is kept', 'Its nodes are gone, or going') in printed
    assert 'bill until' not in printed


@pytest.mark.parametrize(
    'formula',
    [
        '$TargetDedicatedNodes = 5;',
        '$TargetDedicatedNodes = time() > time("Sun, 22 Nov 2026 20:00:00 GMT") ? 1 : 5;',
        '$TargetDedicatedNodes = time() < time("10:00") ? 1 : 5;',
    ],
)
def test_clean_up_promises_no_end_of_a_pool_with_another_formula(
    formula: str, remains: Remains, capsys: pytest.CaptureFixture[str]
) -> None:
    remains.batch.pool.get.return_value = pool(metadata=items(SOMEBODY), auto_scale_formula=formula)

    remains.clean_up('-y')

    assert left('pool', NOT_OF_THIS_RUN, NODES_BILL) in capsys.readouterr().err


def test_clean_up_keeps_the_videos_that_a_kept_job_still_needs(
    remains: Remains, capsys: pytest.CaptureFixture[str]
) -> None:
    remains.batch.tasks[:] = [unfinished('a.mp4')]

    remains.clean_up('--keep')

    assert remains.deleted == {'container': False, 'job': False, 'pool': False}
    assert left('container', 'is kept: the job still needs it', 'Its files bill') in (
        capsys.readouterr().err
    )


def test_clean_up_deletes_the_job_before_the_videos_of_unfinished_tasks(remains: Remains) -> None:
    remains.batch.tasks[:] = [unfinished('a.mp4', 'running')]
    order: list[str] = []
    remains.deletions['job'].side_effect = lambda _: order.append('job')
    remains.deletions['container'].side_effect = lambda: order.append('container')

    remains.clean_up('-y')

    assert order == ['job', 'container']


@pytest.mark.parametrize('kind', ['container', 'job', 'pool'])
@pytest.mark.parametrize(
    'metadata', [EARLIER_RUN, SOMEBODY, {}], ids=['earlier-run', 'somebody-else', 'nobody']
)
def test_clean_up_leaves_what_this_run_did_not_make(
    metadata: dict[str, str], kind: str, remains: Remains, capsys: pytest.CaptureFixture[str]
) -> None:
    remains.belongs_to(kind, metadata)

    worked = remains.clean_up('-y')

    assert worked is True
    assert remains.deleted[kind] is False
    assert f'The {kind} {NOT_OF_THIS_RUN}. ' in capsys.readouterr().err


@pytest.mark.parametrize('kind', ['job', 'pool'])
def test_clean_up_leaves_what_another_run_has_taken_over_while_the_question_waited(
    kind: str,
    remains: Remains,
    typed: Typed,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A machine may sleep at a question, and lose its lease."""
    typed()

    def reply(prompt: str) -> str:
        if kind in prompt:
            remains.belongs_to(kind, EARLIER_RUN)
        return 'y'

    monkeypatch.setattr(builtins, 'input', reply)

    worked = remains.clean_up()

    assert worked is True
    assert remains.deleted[kind] is False
    assert f'The {kind} {NOT_OF_THIS_RUN}. ' in capsys.readouterr().err


def test_clean_up_keeps_the_pool_for_a_job_that_somebody_else_has_just_made(
    remains: Remains, capsys: pytest.CaptureFixture[str]
) -> None:
    remains.belongs_to('job', SOMEBODY)

    remains.clean_up('-y')

    assert remains.deleted == {'container': True, 'job': False, 'pool': False}
    assert left('pool', 'is kept: the job still needs it', NODES_BILL) in capsys.readouterr().err


# --- Errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('failing', ['lookup', 'deletion'])
@pytest.mark.parametrize(
    'error',
    [
        pytest.param(batch_error('InternalError'), id='batch'),
        pytest.param(ClientRequestError('no route'), id='no-answer-of-batch'),
        pytest.param(ServiceRequestError('no route'), id='no-answer-of-storage'),
        pytest.param(sample.SampleError('a page of a proxy'), id='proxy'),
        pytest.param(DeserializationError('a page of a proxy'), id='not-of-batch'),
    ],
)
def test_clean_up_goes_on_past_an_error_and_names_what_may_be_left(
    error: Exception,
    failing: str,
    kind: str,
    remains: Remains,
    capsys: pytest.CaptureFixture[str],
) -> None:
    request = remains.lookup(kind) if failing == 'lookup' else remains.deletions[kind]
    request.side_effect = error

    worked = remains.clean_up('-y')

    printed = capsys.readouterr().err
    others = {other: gone for other, gone in remains.deleted.items() if other != kind}
    assert worked is False
    assert set(others.values()) == {True}
    assert f'Warning: the {kind} could not be deleted. {sample.describe(error)}\n' in printed
    assert f'The {kind} may be left. ' in printed
    assert f'\n  {sample.deletion_command(kind)}\n' in printed
    assert (NOTHING_BILLS in printed) == (kind != 'pool')


def test_clean_up_goes_on_when_nothing_answers(
    remains: Remains, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in KINDS:
        remains.lookup(kind).side_effect = ClientRequestError('no route')
    remains.batch.task.list.side_effect = ClientRequestError('no route')

    worked = remains.clean_up('-y')

    printed = capsys.readouterr().err
    assert worked is False
    assert all(f'The {kind} may be left. ' in printed for kind in KINDS)
    assert NOTHING_BILLS not in printed


# --- Commands -------------------------------------------------------------------------------------


def test_commands_delete_what_the_settings_name() -> None:
    batch_account = '--account-name mybatch --account-endpoint https://mybatch.westeurope.batch.'

    assert sample.deletion_command('job').startswith(
        f'az batch job delete --job-id LinuxFFmpegJob --yes {batch_account}'
    )
    assert sample.deletion_command('pool').startswith(
        f'az batch pool delete --pool-id LinuxFFmpegPool --yes {batch_account}'
    )
    assert sample.deletion_command('container') == (
        'az storage container delete -n input --account-name mystorage'
    )


def test_command_signs_in_to_storage_as_the_sample_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, '_STORAGE_ACCOUNT_KEY', '')

    assert sample.deletion_command('container').endswith(
        '--account-name mystorage --auth-mode login'
    )


@pytest.mark.parametrize('kind', KINDS)
def test_command_holds_no_key(kind: str) -> None:
    command = sample.deletion_command(kind)

    assert BATCH_KEY not in command
    assert STORAGE_KEY not in command


@pytest.mark.parametrize('pool_exists', [True, False])
def test_job_in_the_way_is_named_with_the_commands(pool_exists: bool, remains: Remains) -> None:
    if not pool_exists:
        remains.lookup('pool').side_effect = batch_error('PoolNotFound', status=404)

    lines = sample.left_message(remains.new_run()).splitlines()

    assert lines[:2] == [
        'It costs nothing. To delete it:',
        f'  {sample.deletion_command("job")}',
    ]
    pool_lines = [
        'Pool [LinuxFFmpegPool] exists. Its nodes bill until it is deleted. To delete it:',
        f'  {sample.deletion_command("pool")}',
    ]
    assert lines[2:] == (pool_lines if pool_exists else [])


# --- Where the MP3s are ---------------------------------------------------------------------------


@pytest.fixture
def interrupted_run(new_run: NewRun, storage: StorageMock) -> sample.Run:
    """A run whose first two videos were converted; nothing was downloaded yet."""
    run = new_run()
    run.since = BEGAN
    storage.container(OUTPUT).list_blobs.return_value = [
        blob_properties('a.mp3', 5),
        blob_properties('b.c.mp3', 6),
        blob_properties('of-somebody-else.mp3', 7),
    ]
    return run


def test_mp3s_that_were_not_downloaded_are_told_of_with_the_command(
    interrupted_run: sample.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted_run.arrived = ['a.mp4']

    sample.say_where_outputs_are(interrupted_run)

    folder = interrupted_run.options.output
    assert capsys.readouterr().err.splitlines() == [
        '2 MP3s of this run are in container [output], '
        f'1 of them have arrived in {folder}. To fetch them:',
        f'  az storage blob download-batch --source output --destination "{folder}" '
        '--account-name mystorage',
        'To convert only what is missing, run again with --missing.',
    ]


def test_mp3s_that_have_all_arrived_are_told_of_after_an_interrupt_only(
    interrupted_run: sample.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted_run.arrived = ['a.mp4', 'b.c.mp4']

    sample.say_where_outputs_are(interrupted_run)
    assert capsys.readouterr().err == ''

    sample.stop.signals = 1
    sample.say_where_outputs_are(interrupted_run)
    assert '2 MP3s of this run are in container [output], 2 of them have' in capsys.readouterr().err


def test_nothing_is_told_of_when_there_is_no_mp3(
    interrupted_run: sample.Run, storage: StorageMock, capsys: pytest.CaptureFixture[str]
) -> None:
    storage.container(OUTPUT).list_blobs.return_value = []
    sample.stop.signals = 1

    sample.say_where_outputs_are(interrupted_run)

    assert capsys.readouterr().err == ''


def test_mp3s_that_cannot_be_listed_are_no_error(
    interrupted_run: sample.Run, storage: StorageMock, capsys: pytest.CaptureFixture[str]
) -> None:
    storage.container(OUTPUT).list_blobs.side_effect = storage_error('ContainerNotFound')

    sample.say_where_outputs_are(interrupted_run)

    assert capsys.readouterr().err == ''
