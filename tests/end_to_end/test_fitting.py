"""What the sample draws fits the terminal: the table at the end, and the lines at the bottom."""

from __future__ import annotations

import re

import pytest
from wcwidth import wcswidth

from tests.conftest import MakeVideo
from tests.local_azure.faults import Fault
from tests.screen import ENTER, Screen

from .conftest import OpenScreen, Sample

TITLE = r'^File \(\d+ of \d+\) +Node +Wait +Run +In +Out +Result'
# In the order of the table
SHORT_NAMES = ('a.mp4', '会議の録画.mp4')
LONG_NAMES = (
    f'{"the name of one video, which is long, " * 4}1.mp4',
    f'{"the name of one video, which is long, " * 4}2.mp4',
    f'{"長い会議の録画" * 7}.mp4',
)


def answer_questions(screen: Screen) -> int:
    """Answer both with Enter, and return the exit code."""
    for question in (r'^Delete job\? \[Y/n\]', r'^Delete pool\? \[Y/n\]'):
        screen.wait_for(question)
        screen.type(ENTER)
    return screen.finish()


# --- The table ------------------------------------------------------------------------------------


def table_rows(screen: Screen) -> list[str]:
    """Return the rows of the table, each with one character for each column of the screen.

    The second half of a wide character is a `~` here.
    """
    lines = [''.join(cell.data[:1] or '~' for cell in cells) for cells in screen.cells()]
    first = next(place for place, line in enumerate(lines) if re.match(TITLE, line))
    last = next(place for place, line in enumerate(lines) if line.startswith('Work: '))
    return [line.rstrip() for line in lines[first:last]]


def names_in(rows: list[str]) -> list[str]:
    """Return what is below the title `File`."""
    end = rows[0].index('Node')
    return [row[:end].replace('~', '').rstrip() for row in rows[1:]]


def results_in(rows: list[str]) -> list[str]:
    """Return what is below the title `Result`."""
    return [row.split()[-1] for row in rows[1:]]


@pytest.mark.parametrize('width', [80, 130])
def test_the_table_fits_long_and_wide_names(
    open_screen: OpenScreen, make_video: MakeVideo, width: int
) -> None:
    for name in (*SHORT_NAMES, *LONG_NAMES):
        make_video(name)

    screen = open_screen(width=width, height=50)

    screen.wait_for(r'^Delete job\? \[Y/n\]')
    rows = table_rows(screen)
    assert results_in(rows) == ['ok'] * 5  # so no row goes on in the next
    names = names_in(rows)
    assert set(names[:1] + names[3:4]) == set(SHORT_NAMES)  # whole
    # The middle is left out, as the end tells most.
    assert re.fullmatch(r'the name of .+….+ 1\.mp4', names[1])
    assert re.fullmatch(r'the name of .+….+ 2\.mp4', names[2])
    assert re.fullmatch(r'長い会議.+….+録画\.mp4', names[4])
    # All of the room is used, but for what half a wide character needs.
    room = width - len(rows[0][rows[0].index('  Node') :])
    assert room - 2 <= min(wcswidth(names[place]) for place in (1, 2, 4))
    assert answer_questions(screen) == 0


def test_the_numbers_of_the_table_are_aligned(
    open_screen: OpenScreen, make_video: MakeVideo
) -> None:
    """Below each heading of numbers, they must end where the heading ends."""
    make_video(SHORT_NAMES[1])
    with make_video('large.mp4').open('ab') as file:
        file.write(b'\0' * 2_000_000)  # 2.0 MB among kB

    screen = open_screen()

    screen.wait_for(r'^Delete job\? \[Y/n\]')
    rows = table_rows(screen)
    assert ' MB  ' in rows[1] + rows[2]
    for heading in ('Wait', 'Run', 'In', 'Out'):
        end = rows[0].index(f' {heading} ') + 1 + len(heading)
        for row in rows[1:]:
            assert re.search(r'\d ([kM]B|bytes|s)$', row[:end]), rows
            assert row[end] == ' ', rows


def test_a_table_of_more_than_twenty_files_shows_failed_ones_first_and_how_many_more(
    open_screen: OpenScreen, make_video: MakeVideo, sample: Sample
) -> None:
    good = [f'{number:02}.mp4' for number in range(21)]
    for name in good:
        make_video(name)
    for bad in ('y.mp4', 'z.mp4'):
        make_video(bad).write_text('no video')

    screen = open_screen(width=200, height=100)

    screen.wait_for(r'^Delete job\? \[Y/n\]')
    *rows, more = table_rows(screen)
    assert rows[0].startswith('File (20 of 23) ')
    assert names_in(rows) == ['y.mp4', 'z.mp4', *good[:18]]
    assert results_in(rows) == ['failed'] * 2 + ['ok'] * 18
    assert more == f'... and 3 more. The MP3s are in {sample.output}.'
    assert len(sample.mp3s()) == 21
    assert answer_questions(screen) == 1


# --- The lines at the bottom ----------------------------------------------------------------------


@pytest.fixture
def two_videos(make_video: MakeVideo) -> None:
    make_video('a.mp4')
    make_video('b.mp4')


@pytest.fixture
def endless(sample: Sample) -> Fault:
    """Lets the task of b.mp4 run until the fault is removed."""
    return sample.azure.hang_requests(
        'GET', '/input/b.mp4', count=None, service='storage', source='node'
    )


# At 40 columns: the counts whole, and no bar. At 80 and more: one line, and a bar.
NARROW_TASKS = (
    r'^Tasks: 1 of 2 done, 0 queued, 1\n'
    r'running, 0 failed(, \d:\d\d:\d\d left)?\n'
    r'5 nodes: 4 idle, 1 running$'
)
WIDE_TASKS = (
    r'^Tasks: 1 of 2 done, 0 queued, 1 running, 0 failed(, \d:\d\d:\d\d left)? \[#+\.+\]\n'
    r'5 nodes: 4 idle, 1 running$'
)


def bars(shown: str) -> int:
    return len(re.findall(r'\[#*\.*\]', shown))


@pytest.mark.usefixtures('two_videos')
@pytest.mark.parametrize('reflow', [False, True])
def test_a_resized_terminal_leaves_no_ghost_of_the_tasks_bar(
    open_screen: OpenScreen, endless: Fault, reflow: bool
) -> None:
    screen = open_screen()
    screen.wait_for(WIDE_TASKS)

    screen.resize(40, 24, reflow=reflow)

    shown = screen.wait_for(NARROW_TASKS)
    assert bars(shown) == 0
    screen.resize(100, 24, reflow=reflow)
    shown = screen.wait_for(WIDE_TASKS)
    assert bars(shown) == 1
    endless.remove()
    assert answer_questions(screen) == 0
    assert not re.search(r'Tasks: | nodes: |left \[|running, ', screen.look_back())


@pytest.mark.usefixtures('two_videos')
@pytest.mark.parametrize('reflow', [False, True])
@pytest.mark.parametrize(
    ('method', 'path', 'counts'),
    [
        ('PUT', '/input/b.mp4', r'Uploading: \d\d\.\d kB of \d\d\.\d kB'),
        ('GET', '/output/b.mp3', r'Downloading: 1 of 2'),
    ],
    ids=['upload', 'download'],
)
def test_a_resized_terminal_leaves_no_ghost_of_a_transfers_bar(
    open_screen: OpenScreen, sample: Sample, reflow: bool, method: str, path: str, counts: str
) -> None:
    """These lines are drawn again five times a second, which the time that is left shows."""
    held = sample.azure.hold_requests(method, path, service='storage')
    screen = open_screen()
    screen.wait_for(rf'^{counts}, \d:\d\d:\d\d left \[#+\.+\]$')

    screen.resize(40, 24, reflow=reflow)

    # At 40 columns the text of the upload takes two rows.
    shown = screen.wait_for(rf'^{counts},\s\d:\d\d:\d\d\sleft( \[#*\.*\])?$')
    assert bars(shown) <= 1
    screen.resize(100, 24, reflow=reflow)
    shown = screen.wait_for(rf'^{counts}, \d:\d\d:\d\d left \[[#.]{{40}}\]$')
    assert bars(shown) == 1
    held.remove()
    assert answer_questions(screen) == 0
    assert not re.search(r'Uploading: |Downloading: |left \[|#', screen.look_back())


@pytest.mark.usefixtures('two_videos')
def test_at_40_columns_the_counts_are_whole_and_the_bar_gives_way(
    open_screen: OpenScreen, endless: Fault, sample: Sample
) -> None:
    download = sample.azure.hold_requests('GET', '/output/b.mp3', service='storage')

    screen = open_screen(width=40)

    shown = screen.wait_for(NARROW_TASKS)
    assert bars(shown) == 0
    endless.remove()
    screen.wait_for(r'^Downloading: 1 of 2')
    download.remove()
    assert answer_questions(screen) == 0


@pytest.mark.usefixtures('two_videos')
def test_the_nodes_are_one_line_of_words(
    open_screen: OpenScreen, endless: Fault, sample: Sample
) -> None:
    slow = sample.azure.slow_nodes(start_task=4, count=5)

    screen = open_screen()

    states = r'(5 in start task|\d in start task, \d idle|\d idle, \d in start task)'
    shown = screen.wait_for(rf'^Tasks: 0 of 2 done, .*\n5 nodes: {states}$')
    assert shown.rstrip().splitlines()[-1].startswith('5 nodes: ')
    slow.check()
    shown = screen.wait_for(r'^Tasks: 1 of 2 done, .*\n5 nodes: 4 idle, 1 running$')
    assert shown.rstrip().splitlines()[-1] == '5 nodes: 4 idle, 1 running'
    endless.remove()
    assert answer_questions(screen) == 0
