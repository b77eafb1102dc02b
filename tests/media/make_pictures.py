"""Makes the pictures of the README, tests/media/pictures/*.svg: screens of a real run.

    python -m tests.media.make_pictures

On the local Azure, twelve videos are converted on five nodes, two of which come late.
"""

from __future__ import annotations

import io
import itertools
import shutil
import sys
import tempfile
from pathlib import Path

from pyte.screens import Char
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from tests.local_azure import LocalAzure, script_environment
from tests.screen import Screen

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'batch_python_tutorial_ffmpeg.py'
PICTURES = ROOT / 'tests' / 'media' / 'pictures'
WIDTH, HEIGHT = 80, 24
COUNTS = 'Tasks: 8 of 12 done, 1 queued, 3 running, 0 failed; 5 nodes: 3 running, 2 in start task'

# A picture as Rich fills it in. Unlike Rich's own, it loads no typeface from elsewhere.
FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
    <style>
    .{unique_id}-matrix {{
        font-family: Fira Code, monospace;
        font-size: {char_height}px;
        line-height: {line_height}px;
    }}
    .{unique_id}-title {{
        font-family: sans-serif;
        font-size: 18px;
        font-weight: bold;
    }}
    {styles}
    </style>
    <defs>
    <clipPath id="{unique_id}-clip-terminal">
    <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
    </clipPath>
    {lines}
    </defs>
    {chrome}
    <g transform="translate({terminal_x}, {terminal_y})"
       clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix">
    {matrix}
    </g>
    </g>
</svg>
"""


def rich_color(name: str) -> Color | None:
    """Return the colour that pyte calls by this name, or by six hexadecimal digits."""
    if name == 'default':
        return None

    name = name.replace('brown', 'yellow')  # pyte calls the fourth of the eight colours brown
    if name.startswith('bright'):
        name = name.replace('bright', 'bright_')
    if len(name) == 6 and all(digit in '0123456789abcdef' for digit in name):
        name = f'#{name}'
    return Color.parse(name)


def rich_style(cell: Char) -> Style:
    """Return how the character of this cell looks."""
    color = rich_color(cell.fg)
    background = rich_color(cell.bg)
    return Style.from_color(color, background) + Style(
        bold=cell.bold,
        italic=cell.italics,
        underline=cell.underscore,
        strike=cell.strikethrough,
        reverse=cell.reverse,
    )


def rich_text(rows: list[list[Char]]) -> Text:
    """Return what these cells show, without the empty rows at the end."""
    text = Text()
    for row in rows:
        for style, cells in itertools.groupby(row, key=rich_style):
            text.append(''.join(cell.data for cell in cells), style)
        text.append('\n')
    text.rstrip()
    return text


def save(screen: Screen, name: str) -> None:
    """Write a picture of what is on the screen now, with its colours."""
    console = Console(
        record=True,
        width=WIDTH,
        file=io.StringIO(),
        force_terminal=True,
        color_system='truecolor',
        no_color=False,
    )
    console.print(rich_text(screen.cells()))

    picture = PICTURES / f'{name}.svg'
    title = f'python {SCRIPT.name}'
    console.save_svg(str(picture), title=title, code_format=FORMAT, unique_id=name)


def make_videos(folder: Path) -> None:
    """Fill the folder with twelve videos, copies of the five of the sample."""
    folder.mkdir()
    clips = sorted((ROOT / 'InputFiles').glob('*.mp4'))
    for number in range(12):
        clip = clips[number % len(clips)]
        shutil.copy(clip, folder / f'lecture-{number + 1:02}.mp4')


def take_pictures(azure: LocalAzure, folder: Path) -> None:
    """Run the sample on this local Azure, and save its screen during the tasks and at the end."""
    azure.set_latency(0.04)
    azure.slow_nodes(count=3)
    azure.slow_nodes(start_task=3600)
    last = azure.hold_requests(
        'GET', '/input/lecture-0[1-4]', count=None, service='storage', source='node'
    )  # so that these tasks run on

    command = [sys.executable, str(SCRIPT), '--input', str(folder / 'InputFiles')]
    screen = Screen(command, script_environment(azure), folder, WIDTH, HEIGHT)
    try:
        screen.wait_for(COUNTS.replace(' ', r'\W+'))  # the bar stands between two of these words
        save(screen, 'running')
        last.remove()
        screen.wait_for('^Delete job')
        save(screen, 'end')
    finally:
        screen.close()


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, LocalAzure() as azure:
        folder = Path(name)
        make_videos(folder / 'InputFiles')
        azure.wait_ready()
        take_pictures(azure, folder)


if __name__ == '__main__':
    main()
