"""The first start on a machine fetches Azurite: once, into one folder, or with a clear message."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.local_azure import azurite

# Stands in for npm; run by a shell as: sh NPM install azurite@VERSION --prefix FOLDER ...
NPM = """
echo fetched >> "{log}"
sleep 0.2
mkdir -p "$4/{parent}"
touch "$4/{program}"
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    return tmp_path / 'batch-python-tutorial-ffmpeg'


@pytest.fixture
def fetches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that gets a line whenever npm is run, which succeeds."""
    log = tmp_path / 'fetches'
    npm = tmp_path / 'npm.sh'
    npm.write_text(NPM.format(log=log, parent=azurite.PROGRAM.parent, program=azurite.PROGRAM))
    monkeypatch.setattr(azurite, 'NODE', Path('/bin/sh'))
    monkeypatch.setattr(azurite, 'NPM', npm)
    return log


def test_two_first_starts_at_once_fetch_once(cache: Path, fetches: Path) -> None:
    with ThreadPoolExecutor(2) as threads:
        starts = [threads.submit(azurite.program) for _ in range(2)]
        programs = {start.result() for start in starts}

    assert fetches.read_text() == 'fetched\n'
    assert programs == {cache / f'azurite-{azurite.VERSION}' / azurite.PROGRAM}
    assert programs.pop().exists()


@pytest.mark.usefixtures('fetches')
def test_start_after_one_that_was_interrupted_fetches_again(cache: Path) -> None:
    left_over = cache / 'incomplete' / 'node_modules' / 'azurite'
    left_over.mkdir(parents=True)

    program = azurite.program()

    assert program.exists()
    assert sorted(path.name for path in cache.iterdir()) == [f'azurite-{azurite.VERSION}', 'lock']


def test_relative_cache_home_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', 'relative')

    assert azurite.cache_folder().parent == Path.home() / '.cache'


def test_registry_that_cannot_be_reached_is_one_message(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm = tmp_path / 'npm.sh'
    npm.write_text('echo npm error ECONNREFUSED >&2; exit 1')
    monkeypatch.setattr(azurite, 'NODE', Path('/bin/sh'))
    monkeypatch.setattr(azurite, 'NPM', npm)

    with pytest.raises(azurite.AzuriteError) as caught:
        azurite.program()

    message = str(caught.value)
    assert message.startswith('Azurite, the storage emulator, could not be fetched.')
    assert 'ECONNREFUSED' in message
    assert not (cache / f'azurite-{azurite.VERSION}').exists()
