"""What a person sees: the screen of a terminal while the sample runs."""

from __future__ import annotations

import re

import pytest

from tests.conftest import MakeVideo
from tests.local_azure.faults import Fault
from tests.screen import CTRL_C, ENTER

from .conftest import OpenScreen, Sample

SIZES = [(80, 24), (120, 40)]
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

    screen.wait_for(r'^Uploading: +\d+%\|.+\| [\d.]+k?/38\.\d+?k \[.*B/s\]$')
    upload.remove()
    screen.wait_for(
        r'^Tasks: +0%\|.*\| 0/3 \[.*, 3 queued, 0 running, 0 failed\]\n'
        r'0 of 5 nodes ready: 5 in start task  ttttt'
    )
    screen.wait_for(  # the state that lasts: the two lines are not of the same moment
        r'^Tasks: +67%\|.*\| 2/3 \[.*<\d\d:\d\d.*, 0 queued, 1 running, 0 failed\]\n'
        r'5 of 5 nodes ready  (?=[iR]{5}$)i*Ri*'
    )
    endless.remove()
    screen.wait_for(r'^Downloading: +\d+%\|.+\| \d/3 \[')
    download.remove()
    screen.wait_for(r'^Delete job\? \[Y/n\]')
    whole = screen.look_back()
    places = [whole.index(text) for text in TRANSCRIPT]
    assert places == sorted(places)
    assert not re.search('Uploading:|Tasks:|Downloading:|nodes ready', whole)
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
    time_and_size = r' +\w{6}_p +\d+\.\d s +\d+\.\d s +[\d.]+k?B +[\d.]+k?B  '
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
    assert re.fullmatch(f'b.mp4{time_and_size}failed', rows[1])
    assert rows[2].startswith('    exit code ')
    a, c = (row for row in rows if row.endswith('  ok'))
    assert re.fullmatch(f'a.mp4{time_and_size}ok', a)
    assert re.fullmatch(f'c.mp4{time_and_size}ok', c)
    totals = (
        r'Work: \d+\.\d s in \d+\.\d s(, \d\.\d times as fast as one node)?\. '
        r'Pool: \d+\.\d\d node-hours\.'
    )
    assert any(re.fullmatch(totals, row) for row in rows)
    assert 'Error: 1 of 3 files failed.' in rows


@pytest.mark.usefixtures('endless')
@pytest.mark.parametrize('no_color', [False, True])
def test_nodes_are_coloured_unless_no_color_is_set(
    open_screen: OpenScreen, sample: Sample, no_color: bool
) -> None:
    sample.environment = {'NO_COLOR': '1'} if no_color else {}
    screen = open_screen()

    screen.wait_for('^5 of 5 nodes ready  i*Ri*$')

    cells = [cell for row in screen.cells() for cell in row]
    backgrounds = {cell.bg for cell in cells}
    foregrounds = {cell.fg for cell in cells}
    running = [cell for cell in cells if cell.data == 'R' and cell.bg == 'green']
    assert len(running) == (0 if no_color else 1)
    assert ((backgrounds | foregrounds) == {'default'}) is no_color


@pytest.mark.usefixtures('endless')
def test_ctrl_c_leaves_no_torn_bar(open_screen: OpenScreen, sample: Sample) -> None:
    screen = open_screen()
    screen.wait_for('^Tasks: ')
    screen.wait_for('^5 of 5 nodes ready')

    screen.type(CTRL_C)

    shown = screen.wait_for(r'^Delete job\? \[Y/n\]')
    lines = [line for line in shown.splitlines() if line]
    place = lines.index('Interrupted: cleaning up. Once more leaves at once.')
    assert lines[place - 1].startswith('Monitoring all tasks')
    assert not re.search('Tasks:|nodes ready', shown)
    screen.type(ENTER)
    screen.wait_for(r'^Delete pool\? \[Y/n\]')
    screen.type(ENTER)
    assert screen.finish() == 130
    assert sample.nothing_is_left()
