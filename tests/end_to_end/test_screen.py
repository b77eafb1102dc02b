"""What a person sees: the screens of a real terminal (tmux) while the sample runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import MakeVideo
from tests.local_azure import script_environment
from tests.local_azure.faults import Fault
from tests.screen import Screen

from .conftest import Sample, needs_tmux

pytestmark = needs_tmux
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
OpenScreen = Callable[[int, int], Screen]


@pytest.fixture
def open_screen(sample: Sample, make_video: MakeVideo) -> Iterator[OpenScreen]:
    """Starts the sample with three videos in a terminal of a given size."""
    screens: list[Screen] = []
    for name in 'abc':
        make_video(f'{name}.mp4')

    def start(width: int, height: int) -> Screen:
        environment = {**script_environment(sample.azure), **sample.environment}
        screens.append(Screen(sample.command(), environment, sample.output.parent, width, height))
        return screens[-1]

    yield start
    for screen in screens:
        screen.close()


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

    screen = open_screen(width, height)

    screen.wait_for(r'^Uploading: +\d+%\|.+\| [\d.]+k?/38\.\d+?k \[.*B/s\]$')
    upload.remove()
    screen.wait_for(
        r'^Tasks: +0%\|.*\| 0/3 \[.*, 3 queued, 0 running, 0 failed\]\n'
        r'0 of 5 nodes ready: 5 in start task  ttttt'
    )
    screen.wait_for(  # one comes after the other, and so from another moment: wait for the state that lasts
        r'^Tasks: +67%\|.*\| 2/3 \[.*<\d\d:\d\d.*, 0 queued, 1 running, 0 failed\]\n'
        r'5 of 5 nodes ready  (?=[iR]{5}$)i*Ri*'
    )
    endless.remove()
    screen.wait_for(r'^Downloading: +\d+%\|.+\| \d/3 \[')
    download.remove()
    screen.wait_for(r'^Delete job\? \[Y/n\]')
    whole = screen.look('-S', '-')
    places = [whole.index(text) for text in TRANSCRIPT]
    assert places == sorted(places)
    assert not re.search('Uploading:|Tasks:|Downloading:|nodes ready', whole)
    screen.type('Enter')
    screen.wait_for(r'^Delete pool\? \[Y/n\]')
    screen.type('Enter')
    screen.wait_for(r'^Exit code: 0\.$')


@pytest.mark.parametrize(('width', 'height'), SIZES)
def test_the_table_at_the_end_fits_the_screen(
    width: int, height: int, open_screen: OpenScreen, sample: Sample
) -> None:
    (sample.input / 'b.mp4').write_text('no video')

    shown = open_screen(width, height).wait_for(r'^Delete job\? \[Y/n\]')

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
    totals = r'Work: \d+\.\d s in \d+\.\d s(, \d\.\d times as fast as one node)?\. Pool: \d+\.\d\d node-hours\.'
    assert any(re.fullmatch(totals, row) for row in rows)
    assert 'Error: 1 of 3 files failed.' in rows


@pytest.mark.usefixtures('endless')
@pytest.mark.parametrize('no_color', [False, True])
def test_nodes_are_coloured_unless_no_color_is_set(
    open_screen: OpenScreen, sample: Sample, no_color: bool
) -> None:
    sample.environment = {'NO_COLOR': '1'} if no_color else {}
    screen = open_screen(80, 24)

    screen.wait_for('^5 of 5 nodes ready  i*Ri*$')

    green = re.search(r'nodes ready.*\x1b\[[\d;]*42m.*R', screen.look('-e'))
    assert bool(green) is not no_color
    assert ('\x1b' in screen.look('-e')) is not no_color


@pytest.mark.usefixtures('endless')
def test_ctrl_c_leaves_no_torn_bar(open_screen: OpenScreen, sample: Sample) -> None:
    screen = open_screen(80, 24)
    screen.wait_for('^Tasks: ')
    screen.wait_for('^5 of 5 nodes ready')

    screen.type('C-c')

    shown = screen.wait_for(r'^Delete job\? \[Y/n\]')
    lines = [line for line in shown.splitlines() if line]
    place = lines.index('Interrupted: cleaning up. Once more leaves at once.')
    assert lines[place - 1].startswith('Monitoring all tasks')
    assert not re.search('Tasks:|nodes ready', shown)
    screen.type('Enter')
    screen.wait_for(r'^Delete pool\? \[Y/n\]')
    screen.type('Enter')
    screen.wait_for(r'^Exit code: 130\.$')
    assert sample.nothing_is_left()
