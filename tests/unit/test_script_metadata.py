"""The block by which `uv run` and `pipx run` install what the script needs (PEP 723)."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / 'batch_python_tutorial_ffmpeg.py'

# As PEP 723 gives it.
BLOCK = r'(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$'


@pytest.fixture
def metadata() -> dict[str, Any]:
    blocks = re.finditer(BLOCK, SCRIPT.read_text('utf-8'))
    contents = [block['content'] for block in blocks if block['type'] == 'script']
    assert len(contents) == 1

    lines = [line.removeprefix('#').removeprefix(' ') for line in contents[0].splitlines()]
    return tomllib.loads('\n'.join(lines))


def requirements() -> list[str]:
    """Return the lines of requirements.txt without comments."""
    lines = (ROOT / 'requirements.txt').read_text('utf-8').splitlines()
    required = [line.partition('#')[0].strip() for line in lines]
    return [requirement for requirement in required if requirement]


def test_the_dependencies_are_those_of_the_requirements(metadata: dict[str, Any]) -> None:
    assert metadata['dependencies'] == requirements()


def test_the_requirements_are_pinned() -> None:
    assert all(re.fullmatch(r'[\w-]+==[\w.]+', requirement) for requirement in requirements())


def test_the_oldest_python_is_3_11(metadata: dict[str, Any]) -> None:
    assert metadata['requires-python'] == '>=3.11'
