"""Between the account and its nodes: what a node is told to run, and what becomes of its report.

The account knows pools, tasks and the properties in requests; a node knows none of them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.local_azure.batch.errors import reported_failure
from tests.local_azure.batch.execution import Outcome
from tests.local_azure.batch.model import CommandRun, Node
from tests.local_azure.batch.task_environment import environment_of
from tests.local_azure.batch.task_users import user_of
from tests.local_azure.node.assignment import (
    Assignment,
    OutputFile,
    PretendedEnd,
    Report,
    ResourceFile,
)
from tests.local_azure.node.machine import Machine

Done = Callable[[CommandRun, Outcome], None]
MakeMachine = Callable[[Path], Machine]

DEFAULT_FILE_MODE = '0770'  # SDK14 ResourceFile.file_mode


class Machines:
    """The machines of all nodes of an account, in the folder `root`.

    `make_machine` gets a folder that does not exist. `environment` is what the command lines of all
    nodes find. `task_delay`: seconds before the command line of each task.
    """

    def __init__(
        self,
        root: Path,
        environment: dict[str, str],
        make_machine: MakeMachine,
        task_delay: float = 0.0,
    ) -> None:
        self._root = root
        self._environment = environment
        self._make_machine = make_machine
        self._task_delay = task_delay
        self._machines: dict[Node, Machine] = {}
        self._under_way: dict[CommandRun, tuple[Machine, Assignment]] = {}
        self._cleaner = ThreadPoolExecutor(1, 'cleaner')

    def close(self) -> None:
        """Returns when the machines that were removed are gone."""
        self._cleaner.shutdown()

    def add_node(self, node: Node) -> None:
        """Gives the node a machine, with an empty disk also if it had one before."""
        home = self._root / f'{node.id}.{secrets.token_hex(4)}'
        machine = self._make_machine(home)
        self._machines[node] = machine
        node.root = machine.root

    def remove_node(self, node: Node) -> None:
        node.root = None
        machine = self._machines.pop(node, None)
        if machine:
            self._cleaner.submit(machine.remove)

    def start(self, run: CommandRun, done: Done) -> None:
        """Has it run on its node; `done` is called from another thread, unless it was stopped."""
        machine = self._machines[run.node]
        assignment = self._describe(run)
        self._under_way[run] = (machine, assignment)

        def ended(report: Report) -> None:
            self._under_way.pop(run, None)
            done(run, _outcome(report))

        machine.start(assignment, ended)

    def stop(self, run: CommandRun) -> None:
        """Whatever it is doing, it ends."""
        under_way = self._under_way.pop(run, None)
        if under_way:
            machine, assignment = under_way
            machine.stop(assignment)

    def _describe(self, run: CommandRun) -> Assignment:
        """What the node needs to know."""
        resource_files = run.spec.get('resourceFiles', ())
        output_files = run.spec.get('outputFiles', ())
        is_first_of_task = run.task is not None and run.task.execution.retries == 0
        assignment = Assignment(
            command_line=run.spec['commandLine'],
            environment={**self._environment, **environment_of(run)},
            directory=run.directory,
            name=run.task.id if run.task else '',
            is_elevated=user_of(run).is_elevated,
            resource_files=[_resource_file(properties) for properties in resource_files],
            output_files=[_output_file(properties) for properties in output_files],
            keeps_files=not is_first_of_task,
            delay=run.delay + (self._task_delay if run.task else 0.0),
        )
        if run.forced:
            assignment.pretended_end = PretendedEnd(*run.forced)
        return assignment


def _resource_file(properties: dict[str, Any]) -> ResourceFile:
    return ResourceFile(
        path=properties.get('filePath', ''),
        mode=int(properties.get('fileMode', DEFAULT_FILE_MODE), 8),
        blob_url=properties.get('httpUrl'),
        container_url=properties.get('storageContainerUrl'),
        prefix=properties.get('blobPrefix', ''),
    )


def _output_file(properties: dict[str, Any]) -> OutputFile:
    container = properties['destination']['container']
    return OutputFile(
        pattern=properties['filePattern'],
        container_url=container['containerUrl'],
        path=container.get('path'),
        condition=properties['uploadOptions']['uploadCondition'],
    )


def _outcome(report: Report) -> Outcome:
    problem = report.problem
    if not problem:
        return Outcome(report.exit_code)

    failure = reported_failure(problem.code, problem.message, problem.details)
    return Outcome(report.exit_code, failure)
