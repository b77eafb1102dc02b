"""What a person sees: the screen of a terminal while the sample runs."""

from __future__ import annotations

import re

import pytest

from tests.conftest import MakeVideo
from tests.local_azure.faults import Fault
from tests.screen import CTRL_C, ENTER

from .conftest import OpenScreen, Sample

SIZES = [(80, 24), (120, 40)]
BAR = r' \[#*\.*\]'
LEFT = r'(, \d+:\d\d:\d\d left)?'
TRANSCRIPT = (
    'Sample start: ',
    'Container [input] created.',
    'Container [output] created.',
    *(f'Uploading file {name}.mp4 to container [input]...' for name in 'abc'),
    'Creating pool [LinuxFFmpegPool]...',
    'Creating job [LinuxFFmpegJob]...',
    'Adding 3 tasks to job [LinuxFFmpegJob]...',
    "Monitoring all tasks for 'Completed' state, timeout in 00:30:00...",
    'Success! All tasks completed successfully within the specified timeout period.',
    'Downloading 3 files from container [output] to ',
    'Deleting container [input]...',
    'Sample end: ',
    'Elapsed time: ',
    'Delete job? [Y/n]',
)
UPLOADS = slice(3, 6)  # their lines in the transcript


@pytest.fixture(autouse=True)
def videos(make_video: MakeVideo) -> None:
    for name in 'abc':
        make_video(f'{name}.mp4')


@pytest.fixture
def endless(sample: Sample) -> Fault:
    """Lets the task of b.mp4 run until the fault is removed."""
    return sample.azure.hang_requests(
        'GET', '/input/b.mp4', count=None, service='storage', source='node'
    )


@pytest.mark.parametrize(('width', 'height'), SIZES)
def test_a_run_is_seen_at_a_glance(
    width: int, height: int, open_screen: OpenScreen, endless: Fault, sample: Sample
) -> None:
    sample.azure.set_latency(0.2)
    sample.azure.slow_nodes(start_task=3)
    upload = sample.azure.hang_requests('PUT', '/input/c.mp4', service='storage')
    download = sample.azure.hang_requests('GET', '/output/', service='storage')

    screen = open_screen(width=width, height=height)

    screen.wait_for(rf'^Uploading: [\d.]+ (bytes|kB) of 38\.\d kB{LEFT}{BAR}$')
    upload.remove()
    screen.wait_for(
        r'^Tasks: 0 of 3 done, 3 queued, 0 running, 0 failed \[\.+\]\n'
        r'5 nodes: 5 in start task$'
    )
    screen.wait_for(  # the state that lasts: the two lines are not of the same moment
        rf'^Tasks: 2 of 3 done, 0 queued, 1 running, 0 failed{LEFT}{BAR}\n'
        r'5 nodes: 4 idle, 1 running$'
    )
    endless.remove()
    screen.wait_for(rf'^Downloading: \d of 3{LEFT}{BAR}$')
    download.remove()
    screen.wait_for(r'^Delete job\? \[Y/n\]')
    whole = screen.look_back()
    places = [whole.index(text) for text in TRANSCRIPT]
    places[UPLOADS] = sorted(places[UPLOADS])  # a line is printed when its upload begins
    assert places == sorted(places)
    assert not re.search('Uploading:|Tasks:|Downloading:| nodes: ', whole)
    screen.type(ENTER)
    screen.wait_for(r'^Delete pool\? \[Y/n\]')
    screen.type(ENTER)
    assert screen.finish() == 0


@pytest.mark.parametrize(('width', 'height'), SIZES)
def test_the_table_at_the_end_fits_the_screen(
    width: int, height: int, open_screen: OpenScreen, sample: Sample
) -> None:
    (sample.input / 'b.mp4').write_text('no video')

    shown = open_screen(width=width, height=height).wait_for(r'^Delete job\? \[Y/n\]')

    rows = shown[shown.index('File ') :].splitlines()
    node_times_and_sizes = r' +\w{6}_p +\d+\.\d s +\d+\.\d s +[\d.]+ \w+ +[\d.]+ \w+  '
    assert rows[0].split() == [
        'File',
        '(3',
        'of',
        '3)',
        'Node',
        'Wait',
        'Run',
        'In',
        'Out',
        'Result',
    ]
    assert re.fullmatch(f'b.mp4{node_times_and_sizes}failed', rows[1])
    assert any(re.match('b.mp4 failed: exit code ', row) for row in rows)
    a, c = (row for row in rows if row.endswith('  ok'))
    assert re.fullmatch(f'a.mp4{node_times_and_sizes}ok', a)
    assert re.fullmatch(f'c.mp4{node_times_and_sizes}ok', c)
    totals = (
        r'Work: \d+\.\d s in \d+\.\d s(, \d\.\d times as fast as one node)?\. '
        r'Pool: \d+\.\d\d node-hours\.'
    )
    assert any(re.fullmatch(totals, row) for row in rows)
    error = 'Error: 1 of 3 files failed. To convert only those that have no MP3 yet'
    assert error[:width] in rows or any(row.startswith(error) for row in rows)


@pytest.mark.usefixtures('endless')
def test_the_counts_stay_whole_in_a_narrow_terminal(open_screen: OpenScreen) -> None:
    screen = open_screen(width=40, height=24)

    shown = screen.wait_for('5 nodes: 4 idle, 1 running')

    words = ' '.join(shown.split())
    assert 'Tasks: 2 of 3 done, 0 queued, 1 running, 0 failed' in words
    assert max(len(line) for line in shown.splitlines()) <= 40


@pytest.mark.usefixtures('endless')
@pytest.mark.parametrize('reflow', [False, True])
def test_a_terminal_that_is_resized_shows_the_bars_once(
    open_screen: OpenScreen, reflow: bool
) -> None:
    screen = open_screen(width=100, height=24)
    screen.wait_for('5 nodes: 4 idle, 1 running')

    for width in (50, 120, 70):
        screen.resize(width, 24, reflow=reflow)

    screen.wait_for(rf'^Tasks: 2 of 3 done, 0 queued, 1 running, 0 failed{LEFT}')
    screen.type(CTRL_C)
    screen.wait_for(r'^Delete job\? \[Y/n\]')
    whole = screen.look_back()
    assert not re.search('Tasks:| nodes: ', whole), whole
    screen.type(ENTER)
    screen.wait_for(r'^Delete pool\? \[Y/n\]')
    screen.type(ENTER)
    assert screen.finish() == 130


@pytest.mark.usefixtures('endless')
def test_ctrl_c_leaves_no_torn_bar(open_screen: OpenScreen, sample: Sample) -> None:
    screen = open_screen()
    screen.wait_for('^Tasks: ')
    screen.wait_for('^5 nodes: 4 idle, 1 running$')

    screen.type(CTRL_C)

    shown = screen.wait_for(r'^Delete job\? \[Y/n\]')
    lines = [line for line in shown.splitlines() if line]
    place = lines.index('Interrupted: cleaning up. Once more leaves at once.')
    assert lines[place - 1].startswith('Monitoring all tasks')
    assert not re.search('Tasks:| nodes: ', shown)
    screen.type(ENTER)
    screen.wait_for(r'^Delete pool\? \[Y/n\]')
    screen.type(ENTER)
    assert screen.finish() == 130
    assert sample.nothing_is_left()
