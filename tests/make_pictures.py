"""Makes the pictures of the README, tests/pictures/*.svg: screens of a real run on the local Azure.

    python -m tests.make_pictures

Twelve videos are converted on five nodes, two of which come late. Needs tmux.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from tests.local_azure import LocalAzure, script_environment
from tests.screen import Screen

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / 'batch_python_tutorial_ffmpeg.py'
PICTURES = ROOT / 'tests' / 'pictures'
WIDTH, HEIGHT = 80, 24
FORMAT = re.sub(
    '@font-face {{.*?}}', '', CONSOLE_SVG_FORMAT, flags=re.DOTALL
)  # nothing is loaded from elsewhere


def save(screen: Screen, name: str) -> None:
    """Write what is on the screen now, with its colours."""
    with Path('/dev/null').open('w') as nowhere:
        console = Console(
            record=True, width=WIDTH, file=nowhere, force_terminal=True, color_system='standard'
        )
        console.print(Text.from_ansi(screen.look('-e').rstrip()))
    title = f'python {SCRIPT.name}'
    console.save_svg(str(PICTURES / f'{name}.svg'), title=title, code_format=FORMAT, unique_id=name)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, LocalAzure() as azure:
        videos = Path(folder, 'InputFiles')
        videos.mkdir()
        clips = sorted((ROOT / 'InputFiles').glob('*.mp4'))
        for number in range(12):
            shutil.copy(clips[number % len(clips)], videos / f'lecture-{number + 1:02}.mp4')
        azure.wait_ready()
        azure.set_latency(0.04)
        azure.slow_nodes(count=3)
        azure.slow_nodes(start_task=3600)
        source = {'service': 'storage', 'source': 'node'}
        last = azure.hang_requests(
            'GET', '/input/lecture-0[1-4]', count=None, **source
        )  # so that these run on
        screen = Screen(
            [sys.executable, SCRIPT], script_environment(azure), Path(folder), WIDTH, HEIGHT
        )
        try:
            screen.wait_for(r'^Tasks: +67%.*\n3 of 5 nodes ready: 2 in start task  .*RRR')
            save(screen, 'running')
            last.remove()
            screen.wait_for('^Delete job')
            save(screen, 'end')
        finally:
            screen.close()


if __name__ == '__main__':
    PICTURES.mkdir(exist_ok=True)
    main()
