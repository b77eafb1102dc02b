"""The benchmark's table: numbers with their units, and what meets its target."""

from __future__ import annotations

import pytest

from tests.benchmark.table import Cost, Row, amount, in_bytes, table


@pytest.mark.parametrize(
    ('number', 'text'),
    [
        (0.5, '0.50'),
        (2.5, '2.50'),
        (12.34, '12.3'),
        (3.0, '3'),
        (5990.2, '5,990'),
        (10000, '10,000'),
    ],
)
def test_amounts_have_the_digits_that_matter(number: float, text: str) -> None:
    assert amount(number) == text


@pytest.mark.parametrize(
    ('size', 'text'), [(999, '999 bytes'), (1923, '1.92 KB'), (11_519_424, '11.5 MB')]
)
def test_bytes_have_a_unit(size: float, text: str) -> None:
    assert in_bytes(size) == text


def test_a_share_of_the_work_is_scaled_to_the_whole() -> None:
    assert Cost(1, 2, 3).times(4) == Cost(4, 8, 12)


def test_the_limit_is_what_the_requests_wait_with_all_connections_busy() -> None:
    assert Cost(seconds=3, requests=1000, size=0).limit(latency=0.04, connections=32) == 1.25


def test_at_least_and_at_most_include_their_target_and_under_does_not() -> None:
    assert Row('', '', '', 10, '', 'at least', 10).met
    assert not Row('', '', '', 9.9, '', 'at least', 10).met
    assert Row('', '', '', 3, '', 'at most', 3).met
    assert not Row('', '', '', 4, '', 'at most', 3).met
    assert not Row('', '', '', 100, 'MB', 'under', 100).met


def test_the_table_is_markdown_with_columns_in_line() -> None:
    rows = [
        Row('uploads', Cost(1, 2, 3), '-', 12, 'times faster', 'at least', 10, limit=0.5),
        Row('polls', 4, 5, 4, '', 'at most', 3),
    ]
    lines = table(rows).splitlines()
    assert len(lines) == 4
    assert len({len(line) for line in lines}) == 1
    assert [cell.strip() for cell in lines[2].split('|')[1:-1]] == [
        'uploads',
        '1 s, 2 requests, 3 bytes',
        '0.50 s',
        '-',
        '12 times faster',
        'at least 10 times faster',
        'yes',
    ]
    assert lines[3].endswith('| MISSED |')
