"""The real azure-batch 15.1.0 on the local Azure, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.local_azure import LocalAzure, script_environment

FOLDER = Path(__file__).parent / '.azure-batch-15'
PROGRAM = Path(__file__).with_name('client_of_2026.py')
COMMAND = 'pip install --target tests/conformance/.azure-batch-15 azure-batch==15.1.0'


@pytest.mark.skipif(
    not (FOLDER / 'azure/batch').is_dir(),
    reason=f'azure-batch 15.1.0 is not there; this command prepares it: {COMMAND}',
)
@pytest.mark.parametrize('sign_in', ['key', 'token'])
def test_client_of_2026_sees_a_job_from_pool_to_deletion(
    entra_azure: LocalAzure, sign_in: str
) -> None:
    environment = script_environment(entra_azure)
    environment['PYTHONPATH'] = str(FOLDER)
    if sign_in == 'key':
        environment['AZURE_BATCH_ACCESS_KEY'] = entra_azure.keys['AZURE_BATCH_ACCESS_KEY']

    result = subprocess.run(
        [sys.executable, PROGRAM, sign_in],
        env=environment,
        capture_output=True,
        text=True,
        timeout=70,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {
        'version': '15.1.0',
        'nodes': ['idle', 'idle'],
        'node counts': [1, 1],
        'counts': [3, 2, 1],
        'failed': [['2', 3]],
        'files': ['stderr.txt', 'stdout.txt', 'wd'],
        'stdout': ['hello\n', 'ready\n'],
        'by hand': ['disabled', 'active', 1],
        'job': ['completed', 'enough'],
        'gone': [True, True],
    }
