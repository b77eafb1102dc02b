"""The machines of the nodes: folders, environment, real processes, resource files, output files."""

from __future__ import annotations

import glob
import os
import re
import secrets
import shlex
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import Any

import imageio_ffmpeg

from tests.local_azure.batch.model import CommandRun, Failure, Node, Outcome
from tests.local_azure.faults import Faults, LostOutput, OutputFault, RefusedUpload
from tests.local_azure.node.agent import Agent, TransferError, blob_url
from tests.local_azure.watchdog import Watchdog, kill_group

# What a task finds on its PATH besides its node's own bin folder: never the package tools of this machine.
ORDINARY_TOOLS = (
    '[ awk base64 basename bash bunzip2 bzip2 cat chmod chown cmp comm cp curl cut date dd df diff dirname du '
    'echo egrep env expr false fgrep file find flock fold free gawk getopt grep gunzip gzip head hostname id '
    'install join kill less ln ls mawk md5 md5sum mkdir mkfifo mktemp mv nice nl nohup nproc od paste perl pgrep '
    'pkill printenv printf ps pwd python3 readlink realpath rev rm rmdir sed seq setsid sh sha1sum sha256sum '
    'shasum sleep sort split stat stdbuf strings sync tac tail tar tee test time timeout top touch tr true '
    'truncate tty uname uniq unxz unzip uptime wait wc wget which whoami xargs xxd xz yes zcat zip '
)
WILDCARDS = re.compile(r'[*?\[]')


def _remove(folder: Path, threads: list[threading.Thread]) -> None:
    for thread in threads:  # what they are still writing would stay behind
        thread.join(5)
    shutil.rmtree(folder, ignore_errors=True)


class Machines:
    """Nodes are folders, command lines real processes. `done` is called from any thread, unless the run is over.

    Below `root`: tools/, nodes/<node>/bin/ and nodes/<node>/tasks/ (a node's root directory).
    """

    def __init__(
        self,
        root: Path,
        environment: dict[str, str],
        faults: Faults,
        watchdog: Watchdog,
        agent: Agent,
        on_crash: Callable[[BaseException], None],
    ) -> None:
        self._root, self._environ, self._faults = root, environment, faults
        self._watchdog, self._agent, self._on_crash = watchdog, agent, on_crash
        self._lock = threading.Lock()
        self._threads: dict[CommandRun, threading.Thread] = {}
        self._groups: dict[CommandRun, int] = {}  # of processes
        self._cleaner = ThreadPoolExecutor(1, 'cleaner')
        self._ffmpeg = str(imageio_ffmpeg.get_ffmpeg_exe())
        self._tools = root / 'tools'
        self._tools.mkdir()
        for tool in ORDINARY_TOOLS.split():
            if found := shutil.which(tool):
                (self._tools / tool).symlink_to(found)

    def close(self) -> None:
        self._cleaner.shutdown()
        self._agent.close()

    # Nodes

    def add_node(self, node: Node) -> None:
        home = (
            self._root / 'nodes' / f'{node.id}.{secrets.token_hex(4)}'
        )  # a restored node starts with a new disk
        (home / 'bin').mkdir(parents=True)
        stand_in = home / 'bin' / 'apt-get'
        shutil.copyfile(Path(__file__).with_name('apt-get'), stand_in)
        stand_in.chmod(0o755)
        node.root = home / 'tasks'
        # The folders of recorded traffic: GET /pools/{id}/nodes/{id}/files.
        for folder in (
            'applications',
            'fsmounts',
            'shared',
            'startup/wd',
            'volatile/startup',
            'workitems',
        ):
            (node.root / folder).mkdir(parents=True)

    def remove_node(self, node: Node) -> None:
        if node.root:
            with self._lock:
                threads = [thread for run, thread in self._threads.items() if run.node is node]
            self._cleaner.submit(_remove, node.root.parent, threads)
            node.root = None

    # Runs

    def start(self, run: CommandRun, done: Callable[[CommandRun, Outcome], None]) -> None:
        thread = threading.Thread(
            target=self._work, args=(run, done), name=run.directory, daemon=True
        )
        with self._lock:
            self._threads[run] = thread
        thread.start()

    def stop(self, run: CommandRun) -> None:
        with self._lock:
            if run in self._groups:
                kill_group(self._groups[run])

    def _work(self, run: CommandRun, done: Callable[[CommandRun, Outcome], None]) -> None:
        try:
            outcome = self._execute(run)
        except TransferError as error:
            outcome = Outcome(None, error.failure)
        except Exception as error:  # noqa: BLE001 - the thread ends here, and the test must hear of it
            outcome = Outcome(
                None, Failure('Unknown', f'The node agent failed: {error}', 'ServerError')
            )
            if not run.over.is_set():
                self._on_crash(error)
        if not run.over.is_set():
            done(run, outcome)
        with self._lock:
            del self._threads[run]

    def _execute(self, run: CommandRun) -> Outcome:
        assert run.node.root
        folder = run.node.root / run.directory
        retry = run.task is not None and run.task.execution.retries > 0
        if run.task and not retry:  # left over from an earlier job of the same name
            shutil.rmtree(folder, ignore_errors=True)
        (folder / 'wd').mkdir(parents=True, exist_ok=True)
        for name in ('stdout.txt', 'stderr.txt'):
            (folder / name).write_bytes(b'')
        for resource in run.spec.get('resourceFiles', ()):
            self._fetch(resource, folder / 'wd')
        run.over.wait(run.delay)
        outcome = self._process(run, folder)
        if run.spec.get('outputFiles') and not run.over.is_set():
            failed = bool(outcome.exit_code or outcome.failure)
            failure = self._upload_all(run, folder, 'TaskFailure' if failed else 'TaskSuccess')
            if not failed:  # else the command's own failure is what counts
                return Outcome(outcome.exit_code, failure)
        return outcome

    def _process(self, run: CommandRun, folder: Path) -> Outcome:
        if run.forced:
            (folder / 'stderr.txt').write_text(run.forced[1])
            return Outcome(run.forced[0])
        with (
            (folder / 'stdout.txt').open('wb') as stdout,
            (folder / 'stderr.txt').open('wb') as stderr,
        ):
            try:
                arguments = shlex.split(
                    run.spec['commandLine']
                )  # no shell (SDK14 TaskAddParameter.command_line)
                streams: Any = {'stdin': subprocess.DEVNULL, 'stdout': stdout, 'stderr': stderr}
                environment = self._environment(run, folder)
                with self._lock:
                    if run.over.is_set():
                        return Outcome(None)
                    process = subprocess.Popen(
                        arguments,
                        cwd=folder / 'wd',
                        env=environment,
                        start_new_session=True,
                        **streams,
                    )
                    self._groups[run] = process.pid
            except FileNotFoundError:
                return Outcome(
                    None,
                    Failure(
                        'CommandProgramNotFound', 'The specified command program is not found.'
                    ),
                )
            except (OSError, ValueError) as error:
                why = (('Message', str(error)),)
                text = 'Failed to launch the specified command line.'
                return Outcome(None, Failure('CommandLaunchFailed', text, details=why))
        self._watchdog.watch(process.pid)
        exit_code = process.wait()
        kill_group(process.pid)  # what it left running in the background
        with self._lock:
            del self._groups[run]
        self._watchdog.forget(process.pid)
        return Outcome(exit_code if exit_code >= 0 else 128 - exit_code)

    def _environment(self, run: CommandRun, folder: Path) -> dict[str, str]:
        """Azure docs, batch-compute-node-environment-variables.

        Nothing of this process's own environment but the locale.
        """
        node = run.node
        assert node.root
        environment = {
            'PATH': f'{node.root.parent / "bin"}:{self._tools}',
            'HOME': str(folder / 'wd'),
            'LANG': os.environ.get('LANG', 'C.UTF-8'),
            'LOCAL_AZURE_FFMPEG': self._ffmpeg,
            **self._environ,
            'AZ_BATCH_POOL_ID': node.pool.id,
            'AZ_BATCH_NODE_ID': node.id,
            'AZ_BATCH_NODE_IS_DEDICATED': str(node.dedicated).lower(),
            'AZ_BATCH_NODE_ROOT_DIR': str(node.root),
            'AZ_BATCH_NODE_SHARED_DIR': str(node.root / 'shared'),
            'AZ_BATCH_NODE_STARTUP_DIR': str(node.root / 'startup'),
            'AZ_BATCH_TASK_DIR': str(folder),
            'AZ_BATCH_TASK_WORKING_DIR': str(folder / 'wd'),
        }
        settings = run.spec.get('environmentSettings', ())
        if run.task:
            environment |= {'AZ_BATCH_JOB_ID': run.task.job.id, 'AZ_BATCH_TASK_ID': run.task.id}
            settings = (*run.task.job.spec.get('commonEnvironmentSettings', ()), *settings)
        return environment | {setting['name']: setting.get('value', '') for setting in settings}

    # Files in and out

    def _fetch(self, resource: dict[str, Any], working: Path) -> None:
        target = working / resource.get('filePath', '')
        if 'httpUrl' in resource:
            wanted = [(resource['httpUrl'], target)]
        else:
            container = resource['storageContainerUrl']
            names = self._agent.list_blobs(container, resource.get('blobPrefix', ''))
            wanted = [(blob_url(container, name), target / name) for name in names]
        for url, path in wanted:
            self._agent.download(url, path)
            path.chmod(int(resource.get('fileMode', '0770'), 8))  # SDK14 ResourceFile.file_mode

    def _upload_all(self, run: CommandRun, folder: Path, condition: str) -> Failure | None:
        """Uploads what the conditions ask for and keeps its own log beside stdout.txt.

        Azure docs: batch-task-output-files.
        """
        failure = None
        log: Any = {'mode': 'w', 'errors': 'surrogateescape'}  # the names of files may be any bytes
        with (
            (folder / 'fileuploadout.txt').open(**log) as out,
            (folder / 'fileuploaderr.txt').open(**log) as err,
        ):
            for output in run.spec['outputFiles']:
                if output['uploadOptions']['uploadCondition'] not in ('TaskCompletion', condition):
                    continue
                for path, blob in _matches(output, folder, self._environment(run, folder)):
                    try:
                        self._upload(run, output, blob, path.read_bytes())
                        print(f'Uploaded {path.name}', file=out)
                    except TransferError as error:
                        failure = failure or error.failure
                        print(f'{error.failure.code}: {path.name}', file=err)
        return failure

    def _upload(self, run: CommandRun, output: dict[str, Any], blob: str, content: bytes) -> None:
        task_id = run.task.id if run.task else ''
        fault = self._faults.take(OutputFault, lambda fault: fault.concerns(task_id, blob))
        if isinstance(fault, RefusedUpload):
            raise TransferError('FileUploadAccessDenied', FilePath=blob)
        if not isinstance(fault, LostOutput) or fault.empty:
            container = output['destination']['container']['containerUrl']
            self._agent.upload(container, blob, b'' if fault else content)


def _matches(
    output: dict[str, Any], folder: Path, environment: dict[str, str]
) -> Iterator[tuple[Path, str]]:
    """Files and their blob names (SDK14 OutputFile.file_pattern, OutputFileBlobContainerDestination.path).

    A pattern may match no file at all, and that is no failure (Azure docs: batch-task-output-files).
    """
    pattern = re.sub(
        r'\$\{?(AZ_BATCH_\w+)\}?', lambda m: environment.get(m[1], m[0]), output['filePattern']
    )
    path = output['destination']['container'].get('path')
    working = folder / 'wd'
    if not WILDCARDS.search(pattern):
        file = working / pattern
        if file.is_file():
            yield file, path or file.name
        return
    fixed = ''.join(
        WILDCARDS.split(pattern)[0].rpartition('/')[:2]
    )  # its folders without wildcards
    names = glob.glob(pattern, root_dir=working, recursive=True)  # noqa: PTH207 - it ignores dotfiles, as the service
    for name in sorted(names):
        if (working / name).is_file():
            below = PurePath(name).relative_to(fixed).as_posix()
            yield working / name, f'{path}/{below}' if path else below
