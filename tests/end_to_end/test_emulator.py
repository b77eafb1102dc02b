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


def test_a_long_line_goes_on_in_the_next_row(open_terminal: OpenTerminal) -> None:
    screen = open_terminal('printf 0123456789abc')

    assert screen.finish() == 0

    assert screen.look() == '0123456789\nabc\n\n'


def test_a_wide_character_takes_two_cells(open_terminal: OpenTerminal) -> None:
    screen = open_terminal('printf "a日b"')

    assert screen.finish() == 0

    assert screen.look() == 'a日b\n\n\n'
    assert [cell.data for cell in screen.cells()[0][:5]] == ['a', '日', '', 'b', ' ']


def test_a_wide_character_is_not_split_at_the_end_of_a_row(open_terminal: OpenTerminal) -> None:
    screen = open_terminal('printf "012345678日"')

    assert screen.finish() == 0

    assert screen.look() == '012345678\n日\n\n'


@pytest.mark.parametrize(('place', 'shown'), [(2, 'ax b'), (3, 'a xb')])
def test_half_a_wide_character_does_not_stay(
    open_terminal: OpenTerminal, place: int, shown: str
) -> None:
    screen = open_terminal(f'printf "a日b\\e[{place}Gx"')

    assert screen.finish() == 0

    assert screen.look() == f'{shown}\n\n\n'


def test_a_character_without_a_width_takes_no_cell(open_terminal: OpenTerminal) -> None:
    screen = open_terminal(r'printf "a\u200db"')

    assert screen.finish() == 0

    assert screen.look() == 'ab\n\n\n'


def test_what_has_left_the_screen_is_seen_when_looking_back(open_terminal: OpenTerminal) -> None:
    screen = open_terminal('seq 6')

    assert screen.finish() == 0

    assert screen.look() == '4\n5\n6\n'
    assert screen.look_back() == '1\n2\n3\n4\n5\n6\n'


def test_a_new_size_reaches_the_command(open_terminal: OpenTerminal) -> None:
    screen = open_terminal('trap "stty size" WINCH; stty size; while sleep 0.05; do :; done')
    screen.wait_for('^4 10$')

    screen.resize(9, 5)

    screen.wait_for('^5 9$')


@pytest.mark.parametrize(
    ('reflow', 'shown'),
    [(False, '0123\n89ab\nx\n'), (True, '4567\n89ab\ncdef\nx')],
    ids=['cut', 'flows'],
)
def test_a_line_too_long_for_a_new_size_is_cut_or_flows(
    open_terminal: OpenTerminal, reflow: bool, shown: str
) -> None:
    screen = open_terminal(r'stty -echo; printf "01234567\n89abcdef\n"; read; printf x; read')
    screen.wait_for('89abcdef')

    screen.resize(4, 4, reflow=reflow)
    screen.type(ENTER)
    screen.wait_for('^x$')

    assert screen.look() == shown


def test_the_cursor_moves_with_the_line_that_flows(open_terminal: OpenTerminal) -> None:
    screen = open_terminal('stty -echo; printf 0123456; read; printf x; read')
    screen.wait_for('0123456')

    screen.resize(4, 4, reflow=True)
    screen.type(ENTER)
    screen.wait_for('x')

    assert screen.look() == '0123\n456x\n\n'


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
