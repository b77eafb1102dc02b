"""The benchmark's table: numbers with their units, and what meets its target."""

from __future__ import annotations

from tests.benchmark.table import Cost, Row, table


def test_at_least_and_at_most_include_their_target_and_under_does_not() -> None:
    assert Row('', '', '', 10, '', 'at least', 10).met
    assert not Row('', '', '', 9.9, '', 'at least', 10).met
    assert Row('', '', '', 3, '', 'at most', 3).met
    assert not Row('', '', '', 4, '', 'at most', 3).met
    assert not Row('', '', '', 100, 'MB', 'under', 100).met


def test_the_table_has_numbers_with_their_units_and_what_was_missed() -> None:
    rows = [
        Row('uploads', Cost(1, 2, 5990.2), '-', 12, 'times faster', 'at least', 10, limit=0.5),
        Row('polls', 4, 5, 4, '', 'at most', 3),
    ]

    _, _, uploads, polls = table(rows).splitlines()

    cells = [cell.strip() for cell in uploads.split('|')]
    assert cells[2:4] == ['1 s, 2 requests, 5.99 KB', '0.50 s']
    assert polls.endswith('| MISSED |')
