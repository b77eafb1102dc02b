"""The terminal of these tests itself: it does what a person's terminal does."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.screen import CTRL_C, ENTER, Screen

OpenTerminal = Callable[[str], Screen]


@pytest.fixture
def open_terminal(tmp_path: Path) -> Iterator[OpenTerminal]:
    """A function that runs a bash line in a terminal of 10 columns and 4 rows."""
    screens: list[Screen] = []

    def start(line: str) -> Screen:
        screen = Screen(['bash', '-c', line], os.environ, tmp_path, width=10, height=4)
        screens.append(screen)
        return screen

    yield start

    for screen in screens:
        screen.close()


@pytest.mark.parametrize(
    ('printed', 'shown'),
    [
        ('0123456789abc', '0123456789\nabc\n\n'),
        ('a日b', 'a日b\n\n\n'),
        ('012345678日', '012345678\n日\n\n'),
        (r'a日b\e[2Gx', 'ax b\n\n\n'),
        (r'a日b\e[3Gx', 'a xb\n\n\n'),
        (r'a\u200db', 'ab\n\n\n'),
        (r'1\n2\n3\n4\n5\n', '3\n4\n5\n'),
    ],
    ids=['long', 'wide', 'wide at the end', 'first half', 'second half', 'no width', 'scrolled'],
)
def test_what_is_printed_takes_its_cells(
    open_terminal: OpenTerminal, printed: str, shown: str
) -> None:
    screen = open_terminal(f'printf "{printed}"')

    assert screen.finish() == 0

    assert screen.look() == shown


def test_what_has_left_the_screen_is_seen_when_looking_back(open_terminal: OpenTerminal) -> None:
    screen = open_terminal('seq 6')

    assert screen.finish() == 0

    assert screen.look_back() == '1\n2\n3\n4\n5\n6\n'


def test_a_new_size_reaches_the_command(open_terminal: OpenTerminal) -> None:
    screen = open_terminal('trap "stty size" WINCH; stty size; while sleep 0.05; do :; done')
    screen.wait_for('^4 10$')

    screen.resize(9, 5)

    screen.wait_for('^5 9$')


@pytest.mark.parametrize(
    ('printed', 'reflow', 'shown'),
    [
        (r'01234567\n89abcdef\n', False, '0123\n89ab\nx\n'),
        (r'01234567\n89abcdef\n', True, '4567\n89ab\ncdef\nx'),
        ('0123456', True, '0123\n456x\n\n'),
    ],
    ids=['cut', 'flows', 'flows with the cursor'],
)
def test_a_line_too_long_for_a_new_size_is_cut_or_flows(
    open_terminal: OpenTerminal, printed: str, reflow: bool, shown: str
) -> None:
    screen = open_terminal(f'stty -echo; printf "{printed}"; read; printf x; read')
    screen.wait_for('[6f]$')

    screen.resize(4, 4, reflow=reflow)
    screen.type(ENTER)
    screen.wait_for('x$')

    assert screen.look() == shown


def test_ctrl_c_interrupts_the_command(tmp_path: Path) -> None:
    # Not bash, which takes a terminal as its own even if it was not given to it.
    program = 'import time; print("ready", flush=True); time.sleep(60)'
    screen = Screen([sys.executable, '-c', program], os.environ, tmp_path)
    screen.wait_for('^ready$')

    screen.type(CTRL_C)
    exit_code = screen.finish()
    screen.close()

    assert exit_code == -signal.SIGINT


def test_the_wait_for_words_ends_with_the_command(open_terminal: OpenTerminal) -> None:
    screen = open_terminal('echo hello')

    with pytest.raises(AssertionError, match='has ended without'):
        screen.wait_for('goodbye')
