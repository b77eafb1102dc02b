"""The report: a table of the first files, every file that was not converted, and the work done."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from datetime import timedelta

import pytest
from rich.cells import cell_len

import batch_python_tutorial_ffmpeg as sample

from .conftest import NewRun
from .service_objects import BEGAN
from .terminal import Terminal

NAMES = ['a.mp4', 'b.mp4', 'sub/c.d.mp4']


def result(name: str, status: str = 'ok', reason: str = '') -> sample.VideoResult:
    """Return the result of a video of 1,000 bytes, which waited for 60 s and ran for 90 s."""
    return sample.VideoResult(
        name,
        status=status,
        reason=reason,
        node_id='tvmps_0123456789abcdef_p',
        wait_seconds=60,
        run_seconds=90,
        started=BEGAN + timedelta(seconds=60),
        ended=BEGAN + timedelta(seconds=150),
        output_size=0 if status == 'failed' else 500,
    )


def ended(new_run: NewRun, results: Iterable[sample.VideoResult]) -> sample.Run:
    """Return a run at its end, with these results."""
    by_name = {result.name: result for result in results}
    run = new_run(names=by_name)
    for path in run.videos.values():
        path.write_bytes(b'v' * 1000)
    run.results = by_name
    run.node_hours = 0.8333
    return run


# --- The table ------------------------------------------------------------------------------------


def test_report_has_a_row_for_each_file_and_the_totals(
    new_run: NewRun, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ended(new_run, map(result, NAMES))

    sample.print_report(run)

    printed = capsys.readouterr()
    blank, heading, *rows, totals = printed.err.splitlines()
    assert printed.out == ''
    assert blank == ''
    assert ' '.join(heading.split()) == 'File (3 of 3) Node Wait Run In Out Result'
    assert [' '.join(row.split()) for row in rows] == [
        f'{name} abcdef_p 60.0 s 90.0 s 1.0 kB 500 bytes ok' for name in NAMES
    ]
    assert totals == (
        'Work: 270.0 s in 90.0 s, 3.0 times as fast as one node. Pool: 0.83 node-hours.'
    )


def test_numbers_of_the_table_stand_below_each_other(
    new_run: NewRun, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ended(new_run, map(result, NAMES))
    run.results['a.mp4'].wait_seconds = 1234

    sample.print_report(run)

    rows = capsys.readouterr().err.splitlines()[2:5]
    assert [row.index(' s ') for row in rows] == [rows[0].index('1234.0') + 6] * 3


def test_table_shows_names_as_they_are(new_run: NewRun, capsys: pytest.CaptureFixture[str]) -> None:
    names = ['[bold]b[/bold].mp4', ':smile:.mp4', '日本.mp4', 'a  b.mp4']
    run = ended(new_run, map(result, names))

    sample.print_report(run)

    printed = capsys.readouterr().err
    assert all(name in printed for name in names)


def test_table_does_not_need_the_videos_any_more(
    new_run: NewRun, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ended(new_run, map(result, NAMES))
    for path in run.videos.values():
        path.unlink()

    sample.print_report(run)

    assert capsys.readouterr().err.count(' 0 bytes ') == len(NAMES)


def test_table_has_the_first_twenty_files_and_says_how_many_more(
    new_run: NewRun, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ended(new_run, [result(f'{number:02}.mp4') for number in range(25)])

    sample.print_report(run)

    printed = capsys.readouterr().err
    assert 'File (20 of 25)' in printed
    assert printed.count('.mp4') == 20
    assert f'... and 5 more. The MP3s are in {run.options.output}.' in printed


def test_table_has_the_files_that_were_not_converted_first(
    new_run: NewRun, capsys: pytest.CaptureFixture[str]
) -> None:
    results = [result(f'{number:02}.mp4') for number in range(25)]
    results[22] = result('22.mp4', 'failed', 'exit code 1')
    results[24] = result('24.mp4', 'damaged', 'ffmpeg reported errors')
    run = ended(new_run, results)

    with pytest.raises(sample.SampleError):
        sample.print_report(run)

    rows = capsys.readouterr().err.splitlines()[2:]
    assert [row.split()[0] for row in rows[:3]] == ['22.mp4', '24.mp4', '00.mp4']


@pytest.mark.parametrize('width', [70, 80, 120])
def test_table_fits_the_terminal(
    width: int, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ['a' * 90 + '.mp4', '日本語の' * 20 + '.mp4', 'short.mp4']
    run = ended(new_run, map(result, names))

    with Terminal(width) as terminal:
        monkeypatch.setattr(sys, 'stderr', terminal.stream)
        sample.print_report(run)
        rows = terminal.rows

    assert rows[1].startswith('File (3 of 3)')
    for row in rows[2:5]:
        assert row.endswith(' ok')
        assert '.mp4 ' in row


def test_table_in_a_log_has_no_control_sequences(
    new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if stdout is a terminal."""
    run = ended(new_run, map(result, NAMES))
    log = io.StringIO()

    with Terminal(80) as terminal:
        monkeypatch.setenv('TERM', 'xterm-256color')
        monkeypatch.setattr(sys, 'stdout', terminal.stream)
        monkeypatch.setattr(sys, 'stderr', log)
        sample.print_report(run)

    assert 'a.mp4' in log.getvalue()
    assert '\033' not in log.getvalue()


@pytest.mark.parametrize(
    ('name', 'width', 'expected'),
    [
        pytest.param('short.mp4', 12, 'short.mp4', id='fits'),
        pytest.param('exactly.mp4', 11, 'exactly.mp4', id='just-fits'),
        pytest.param('日本.mp4', 8, '日本.mp4', id='wide-just-fits'),
    ],
)
def test_name_that_fits_is_not_shortened(name: str, width: int, expected: str) -> None:
    assert sample.shortened(name, width) == expected


@pytest.mark.parametrize(
    'name', ['the beginning, the middle and the end.mp4', '日本語の名前のビデオです.mp4']
)
@pytest.mark.parametrize('width', [12, 13, 20])
def test_name_that_is_too_long_loses_its_middle(name: str, width: int) -> None:
    short = sample.shortened(name, width)

    beginning, _, end = short.partition('…')
    assert width - 3 <= cell_len(short) <= width
    assert short.count('…') == 1
    assert name.startswith(beginning)
    assert name.endswith(end)
    assert end.endswith('.mp4')


# --- What was not converted -----------------------------------------------------------------------


def test_report_of_a_success_names_no_file_twice(
    new_run: NewRun, capsys: pytest.CaptureFixture[str]
) -> None:
    sample.print_report(ended(new_run, map(result, NAMES)))

    assert capsys.readouterr().err.count('a.mp4') == 1


def test_report_names_every_file_that_was_not_converted_with_its_reason(
    new_run: NewRun, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = [result(f'{number:02}.mp4', 'failed', f'reason {number}') for number in range(30)]
    run = ended(new_run, [*bad, result('good.mp4')])

    with pytest.raises(sample.SampleError):
        sample.print_report(run)

    lines = capsys.readouterr().err.splitlines()
    for number in range(30):
        assert lines.count(f'{number:02}.mp4 failed: reason {number}') == 1


def test_report_shows_the_last_words_of_ffmpeg_on_lines_of_their_own(
    new_run: NewRun, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ended(new_run, [result('a.mp4', 'damaged', 'ffmpeg reported errors\n    Invalid data')])

    with pytest.raises(sample.SampleError):
        sample.print_report(run)

    assert '\na.mp4 damaged: ffmpeg reported errors\n    Invalid data\n' in (
        capsys.readouterr().err
    )


def test_report_counts_what_has_failed_and_what_is_damaged_and_names_the_way_out(
    new_run: NewRun,
) -> None:
    results = [
        result('a.mp4', 'failed', 'exit code 1'),
        result('b.mp4', 'damaged', 'ffmpeg reported errors'),
        result('c.mp4', 'failed', 'exit code 1'),
        result('d.mp4'),
    ]

    with pytest.raises(sample.SampleError) as raised:
        sample.print_report(ended(new_run, results))

    assert str(raised.value) == (
        '2 of 4 files failed. 1 are damaged. '
        'To convert only those that have no MP3 yet, run again with --missing.'
    )


# --- Work done ------------------------------------------------------------------------------------


def test_work_of_tasks_that_never_ran_claims_no_speed(new_run: NewRun) -> None:
    run = ended(new_run, [sample.VideoResult('a.mp4', status='failed')])

    assert sample.work_done(run) == 'Work: 0.0 s. Pool: 0.83 node-hours.'


def test_work_of_one_node_claims_no_speed(new_run: NewRun) -> None:
    run = ended(new_run, [result('a.mp4')])

    assert sample.work_done(run) == 'Work: 90.0 s in 90.0 s. Pool: 0.83 node-hours.'


def test_work_is_measured_from_the_first_start_to_the_last_end(new_run: NewRun) -> None:
    run = ended(new_run, map(result, NAMES))
    run.results['b.mp4'].started = BEGAN
    run.results['b.mp4'].ended = BEGAN + timedelta(seconds=180)
    run.results['b.mp4'].run_seconds = 180

    assert sample.work_done(run) == (
        'Work: 360.0 s in 180.0 s, 2.0 times as fast as one node. Pool: 0.83 node-hours.'
    )


def test_work_of_no_time_at_all_is_no_error(new_run: NewRun) -> None:
    run = ended(new_run, [result('a.mp4')])
    run.results['a.mp4'].ended = run.results['a.mp4'].started
    run.results['a.mp4'].run_seconds = 0

    assert sample.work_done(run) == 'Work: 0.0 s in 0.0 s. Pool: 0.83 node-hours.'
