"""The environment of a command line: PATH, the folders of its node and task.

What the account knows of the pool, the job, the task and its user comes with the assignment
(`task_environment.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

# Azure docs, batch-compute-node-environment-variables: the example of a value.
RESERVED_DISK_SPACE = '1000000'


def environment_of(root: Path, folder: Path, programs: Iterable[Path]) -> dict[str, str]:
    """Azure docs, batch-compute-node-environment-variables.

    `root`: of the node; `folder`: of the task; `programs`: folders with programs. Nothing of this
    process's own environment but the locale.
    """
    return {
        'PATH': _search_path(root, folder, programs),
        'HOME': str(folder / 'wd'),
        'LANG': os.environ.get('LANG', 'C.UTF-8'),
        'AZ_BATCH_CERTIFICATES_DIR': str(folder / 'certs'),
        'AZ_BATCH_NODE_MOUNTS_DIR': str(root / 'fsmounts'),
        'AZ_BATCH_NODE_ROOT_DIR': str(root),
        'AZ_BATCH_NODE_SHARED_DIR': str(root / 'shared'),
        'AZ_BATCH_NODE_STARTUP_DIR': str(root / 'startup'),
        'AZ_BATCH_TASK_DIR': str(folder),
        'AZ_BATCH_TASK_RESERVED_EPHEMERAL_DISK_SPACE_BYTES': RESERVED_DISK_SPACE,
        'AZ_BATCH_TASK_WORKING_DIR': str(folder / 'wd'),
    }


def _search_path(root: Path, folder: Path, programs: Iterable[Path]) -> str:
    """Last come the folder that all tasks share and the task's own.

    Azure docs, quick-create-cli (2017): the printenv of a task. So a resource file runs by its bare
    name, without a shell, too.
    """
    folders = [*programs, root / 'shared', folder / 'wd']
    return ':'.join(str(one) for one in folders)
