"""The block by which `uv run` and `pipx run` install what the script needs (PEP 723)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / 'batch_python_tutorial_ffmpeg.py'
BLOCK = r'(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$'  # as PEP 723 gives it


@pytest.fixture
def metadata() -> dict[str, Any]:
    tomllib: Any = pytest.importorskip('tomllib', reason='Python 3.10 has no TOML parser')
    blocks = [
        match
        for match in re.finditer(BLOCK, SCRIPT.read_text('utf-8'))
        if match['type'] == 'script'
    ]
    assert len(blocks) == 1
    lines = blocks[0]['content'].splitlines(keepends=True)
    parsed: dict[str, Any] = tomllib.loads(
        ''.join(line[2:] if line.startswith('# ') else line[1:] for line in lines)
    )
    return parsed


def test_the_dependencies_are_those_of_the_requirements(metadata: dict[str, Any]) -> None:
    lines = (ROOT / 'requirements.txt').read_text('utf-8').splitlines()
    required = [line.partition('#')[0].strip() for line in lines]

    assert metadata['dependencies'] == [requirement for requirement in required if requirement]


def test_the_oldest_python_is_3_10(metadata: dict[str, Any]) -> None:
    assert metadata['requires-python'] == '>=3.10'
