"""What a person sees: the screen of a terminal while the sample runs."""

from __future__ import annotations

import re

import pytest

from tests.conftest import MakeVideo
from tests.local_azure.faults import Fault
from tests.screen import (
    BARS,
    CTRL_C,
    DELETE_CONTAINER,
    DELETE_JOB,
    DELETE_POOL,
    ENTER,
    INTERRUPTED,
    Screen,
)

from .conftest import OpenScreen, Sample, mp3s_of

COUNTS = 'Tasks: 2 of 3 done, 0 queued, 1 running, 0 failed; 3 nodes: 2 idle, 1 running'


@pytest.fixture
def videos(make_video: MakeVideo) -> None:
    for name in 'abc':
        make_video(f'{name}.mp4')


@pytest.fixture
def endless(sample: Sample, videos: None) -> Fault:  # noqa: ARG001 - the videos of the run
    """Lets the task of b.mp4 run until the fault is removed."""
    return sample.azure.hold_requests(
        'GET', '/input/b.mp4', count=None, service='storage', source='node'
    )


def answer(screen: Screen, *questions: str) -> int:
    """Answer these questions with Enter, and return the exit code."""
    for question in questions:
        screen.wait_for(question)
        screen.type(ENTER)
    return screen.finish()


def wait_for_counts(screen: Screen) -> str:
    """Wait until all counts of COUNTS are on the screen, in however many rows beside the bar."""
    words = [re.escape(word) for word in COUNTS.split()]
    return screen.wait_for(r'\W+'.join(words))


def has_a_bar(text: str) -> bool:
    """Whether anything of a bar is there."""
    return any(bar in text for bar in BARS) or '━' in text


# --- The bar --------------------------------------------------------------------------------------


def test_each_step_that_takes_long_has_a_bar_that_goes_away(
    open_screen: OpenScreen, endless: Fault, sample: Sample
) -> None:
    sample.azure.slow_nodes(start_task=3)
    upload = sample.azure.hold_requests('PUT', '/input/c.mp4', service='storage')
    download = sample.azure.hold_requests('GET', '/output/', service='storage')

    screen = open_screen()

    screen.wait_for(rf'^{BARS[0]}.*━')
    upload.remove()
    screen.wait_for(rf'^{BARS[1]}0 of 3 .*━')
    screen.wait_for(rf'^{BARS[1]}2 of 3 .*━')
    endless.remove()
    screen.wait_for(rf'^{BARS[2]}.*━')
    download.remove()
    screen.wait_for(DELETE_JOB)
    assert not has_a_bar(screen.look_back())
    assert answer(screen, DELETE_JOB, DELETE_POOL) == 0


@pytest.mark.usefixtures('endless')
def test_a_terminal_that_is_resized_shows_the_bar_once(open_screen: OpenScreen) -> None:
    screen = open_screen(width=100)
    wait_for_counts(screen)

    for width in (50, 120, 70):
        screen.resize(width, 24)
        wait_for_counts(screen)  # `Screen` finds no bar twice

    screen.type(CTRL_C)
    screen.wait_for(DELETE_CONTAINER)
    assert not has_a_bar(screen.look_back())
    assert answer(screen, DELETE_CONTAINER, DELETE_JOB, DELETE_POOL) == 130


def test_a_bar_that_the_terminal_has_wrapped_takes_no_line_of_the_transcript_away(
    open_screen: OpenScreen, endless: Fault
) -> None:
    screen = open_screen('-y', width=100)
    wait_for_counts(screen)
    before = screen.look_back().partition(BARS[1])[0].split()

    screen.resize(60, 24, reflow=True)

    endless.remove()
    assert screen.finish() == 0
    assert before
    assert ''.join(screen.look_back().split()).startswith(''.join(before))


# --- Interrupts -----------------------------------------------------------------------------------


@pytest.mark.usefixtures('endless')
@pytest.mark.parametrize('width', [40, 120])
def test_what_ctrl_c_says_takes_the_place_of_the_bar(
    open_screen: OpenScreen, sample: Sample, width: int
) -> None:
    screen = open_screen(width=width)
    wait_for_counts(screen)

    screen.type(CTRL_C)

    shown = screen.wait_for(DELETE_CONTAINER)
    assert not has_a_bar(shown)
    # It stands below the last line of the transcript.
    assert re.search(rf'\.\.\.\n{INTERRUPTED}', shown, re.MULTILINE)
    assert answer(screen, DELETE_CONTAINER, DELETE_JOB, DELETE_POOL) == 130
    assert (sample.jobs(), sample.pools(), sample.mp3s()) == ([], [], [])


@pytest.mark.usefixtures('endless')
def test_ctrl_c_twice_leaves_at_once_and_brings_back_the_cursor(
    open_screen: OpenScreen, sample: Sample
) -> None:
    screen = open_screen(width=200)
    wait_for_counts(screen)
    hanging = sample.azure.hang_requests('GET', '/taskcounts', count=None)
    sample.azure.wait_until(lambda: hanging.hits)

    screen.type(CTRL_C)
    screen.wait_for(INTERRUPTED)  # at once, while there is no answer
    screen.type(CTRL_C)

    assert screen.finish() == 130
    assert (len(sample.jobs()), len(sample.pools())) == (1, 1)
    assert not has_a_bar(screen.look_back())
    assert screen.output.rindex('\x1b[?25h') > screen.output.rindex('\x1b[?25l')


# --- The table ------------------------------------------------------------------------------------

NAMES = (
    'a.mp4',
    '会議の録画.mp4',
    f'{"the name of one video, which is long, " * 4}1.mp4',
    f'{"長い会議の録画" * 7}.mp4',
)


def test_the_table_shows_each_name_whole_and_each_result_in_its_column(
    open_screen: OpenScreen, make_video: MakeVideo
) -> None:
    for name in NAMES:
        make_video(name)

    screen = open_screen(height=50)

    shown = screen.wait_for(DELETE_JOB)
    rows = shown[shown.index('File (4 of 4)') :].partition('\n\n')[0].splitlines()[1:]
    assert len(re.findall(r' s +[\d.]+ kB +[\d.]+ kB  ok$', '\n'.join(rows), re.MULTILINE)) == 4
    in_first_column = ''.join(re.sub(r' +[\d.]+ s +.*', '', row) for row in rows)
    for name in NAMES:
        assert name.replace(' ', '') in in_first_column.replace(' ', '')
    assert answer(screen, DELETE_JOB, DELETE_POOL) == 0


# --- Other terminals ------------------------------------------------------------------------------


@pytest.mark.usefixtures('endless')
def test_who_wants_no_colors_gets_none(
    open_screen: OpenScreen, endless: Fault, sample: Sample
) -> None:
    sample.environment = {'NO_COLOR': '1'}

    screen = open_screen('-y')

    wait_for_counts(screen)
    endless.remove()
    assert screen.finish() == 0
    assert '\x1b[2K' in screen.output
    assert not re.search(r'\x1b\[[\d;]*3[0-8][\d;]*m', screen.output)


@pytest.mark.usefixtures('videos')
def test_a_terminal_that_does_not_tell_its_size_is_no_obstacle(
    open_screen: OpenScreen, sample: Sample
) -> None:
    screen = open_screen('-y', width=0, height=0)

    assert screen.finish() == 0
    assert sample.mp3s() == mp3s_of('a.mp4', 'b.mp4', 'c.mp4')
