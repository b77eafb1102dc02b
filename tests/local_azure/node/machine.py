"""The machine of a node: a folder, and command lines that run as real processes."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.local_azure.node.agent import Agent
from tests.local_azure.node.assignment import Assignment, Problem, Report
from tests.local_azure.node.blobs import TransferError
from tests.local_azure.node.environment import environment_of
from tests.local_azure.node.preinstalled import NodeImage
from tests.local_azure.watchdog import Watchdog, kill_group

Done = Callable[[Report], None]

PROGRAM_NOT_FOUND = Problem('CommandProgramNotFound')


@dataclass(frozen=True)
class Equipment:
    """What all machines share."""

    image: NodeImage
    agent: Agent
    watchdog: Watchdog
    on_crash: Callable[[BaseException], None]


class Machine(ABC):
    """Does its assignments, each in a thread of its own; `root` is None if it has no files."""

    root: Path | None = None

    def __init__(self, equipment: Equipment) -> None:
        self._equipment = equipment
        self._lock = threading.Lock()
        self._threads: dict[Assignment, threading.Thread] = {}

    def start(self, assignment: Assignment, done: Done) -> None:
        """Runs it in the background, then calls `done` from there, unless it was stopped."""
        thread = threading.Thread(
            target=self._work,
            args=(assignment, done),
            name=assignment.directory,
            daemon=True,
        )
        with self._lock:
            self._threads[assignment] = thread
        thread.start()

    def stop(self, assignment: Assignment) -> None:
        """Nobody waits for its report any more."""
        assignment.stopped.set()

    def remove(self) -> None:
        """Returns when nothing runs on it any more."""
        with self._lock:
            threads = list(self._threads.values())
        for thread in threads:
            thread.join(5)

    @abstractmethod
    def _execute(self, assignment: Assignment) -> Report:
        """Does it, and returns when it has ended."""

    def _work(self, assignment: Assignment, done: Done) -> None:
        try:
            report = self._execute(assignment)
        except TransferError as error:
            report = Report(None, error.problem)
        except Exception as error:  # noqa: BLE001 - the thread ends here
            problem = Problem('Unknown', f'The node agent failed: {error}')
            report = Report(None, problem)
            if not assignment.stopped.is_set():
                self._equipment.on_crash(error)

        if not assignment.stopped.is_set():
            done(report)
        with self._lock:
            del self._threads[assignment]


class ProcessMachine(Machine):
    """Lives in the folder `home`: bin/ has its programs, tasks/ is the node's root directory."""

    def __init__(self, home: Path, equipment: Equipment) -> None:
        super().__init__(equipment)
        self._home = home
        self._process_groups: dict[Assignment, int] = {}
        self.root: Path = equipment.image.install(home)

    def stop(self, assignment: Assignment) -> None:
        """Kills its processes; nobody waits for its report any more."""
        with self._lock:
            assignment.stopped.set()
            group = self._process_groups.get(assignment)
            if group:
                kill_group(group)

    def remove(self) -> None:
        """Deletes all files when nothing writes to them any more."""
        super().remove()
        shutil.rmtree(self._home, ignore_errors=True)

    def _execute(self, assignment: Assignment) -> Report:
        """Resource files, the command line, output files."""
        folder = self._prepare_folder(assignment)
        environment = self._environment(assignment, folder)
        agent = self._equipment.agent
        for resource in assignment.resource_files:
            agent.fetch(resource, folder / 'wd')

        assignment.stopped.wait(assignment.delay)
        report = self._run_command_line(assignment, folder, environment)

        if not assignment.output_files or assignment.stopped.is_set():
            return report
        upload_problem = agent.upload_outputs(assignment, folder, environment, report)
        if report.exit_code or report.problem:  # this is what counts then
            return report
        return Report(report.exit_code, upload_problem)

    def _prepare_folder(self, assignment: Assignment) -> Path:
        folder = self.root / assignment.directory
        if not assignment.keeps_files:  # there may be files of an earlier job of the same name
            shutil.rmtree(folder, ignore_errors=True)
        (folder / 'wd').mkdir(parents=True, exist_ok=True)
        (folder / 'stdout.txt').write_bytes(b'')
        (folder / 'stderr.txt').write_bytes(b'')
        return folder

    def _environment(self, assignment: Assignment, folder: Path) -> dict[str, str]:
        programs = self._equipment.image.search_path(self._home, assignment.is_elevated)
        return {
            **environment_of(self.root, folder, programs),
            **assignment.environment,
        }

    def _run_command_line(
        self, assignment: Assignment, folder: Path, environment: dict[str, str]
    ) -> Report:
        pretended = assignment.pretended_end
        if pretended:
            (folder / 'stderr.txt').write_text(pretended.stderr)
            return Report(pretended.exit_code)

        try:
            process = self._start_process(assignment, folder, environment)
        except FileNotFoundError:
            return Report(None, PROGRAM_NOT_FOUND)
        except (OSError, ValueError) as error:
            details = (('Message', str(error)),)
            return Report(None, Problem('CommandLaunchFailed', details=details))
        if process is None:
            return Report(None)

        self._equipment.watchdog.watch(process.pid)
        exit_code = process.wait()
        kill_group(process.pid)  # what it left running in the background
        with self._lock:
            del self._process_groups[assignment]
        self._equipment.watchdog.forget(process.pid)

        return Report(exit_code)  # after a signal its negative number (Azure/Batch issue 101)

    def _start_process(
        self, assignment: Assignment, folder: Path, environment: dict[str, str]
    ) -> subprocess.Popen[bytes] | None:
        """Without a shell (SDK14 TaskAddParameter.command_line); None if it has been stopped."""
        arguments = shlex.split(assignment.command_line)
        with (
            (folder / 'stdout.txt').open('wb') as stdout,
            (folder / 'stderr.txt').open('wb') as stderr,
            self._lock,  # so that `stop` comes either before or after the start
        ):
            if assignment.stopped.is_set():
                return None
            process = subprocess.Popen(
                arguments,
                cwd=folder / 'wd',
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
            self._process_groups[assignment] = process.pid
            return process
