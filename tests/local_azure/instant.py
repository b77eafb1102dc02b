"""Tasks without processes: each ends at once with exit code 0, its output files are really put into the storage."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

from .executor import Done
from .faults import Faults, OutputFault
from .model import Failure, Node, Outcome, Run
from .transfer import TransferError, refused_upload, upload


class InstantExecutor:
    def __init__(self, output: bytes, faults: Faults, threads: int = 8) -> None:
        self._output, self._faults = output, faults
        self._pool = ThreadPoolExecutor(threads, 'instant')

    def add_node(self, node: Node) -> None:
        """A node without a disk: it has no files."""

    def remove_node(self, node: Node) -> None:
        """Nothing to remove."""

    def start(self, run: Run, done: Done) -> None:
        self._pool.submit(self._work, run, done)

    def stop(self, run: Run) -> None:
        """Nothing runs long enough to be stopped; a stopped run is `over` already."""

    def _work(self, run: Run, done: Done) -> None:
        try:
            failure = self._upload(run) if run.task and not run.over else None
        except TransferError as error:
            failure = error.failure
        exit_code = run.forced[0] if run.forced else 0
        if not run.over:
            done(run, Outcome(exit_code, failure))

    def _upload(self, run: Run) -> Failure | None:
        assert run.task
        for output in run.spec.get('outputFiles', ()):
            container = output['destination']['container']
            blob, task_id = container.get('path') or output['filePattern'].rpartition('/')[2], run.task.id
            if output['uploadOptions']['uploadCondition'] == 'TaskFailure' or any(c in blob for c in '*?['):
                continue
            fault = self._faults.take(OutputFault, lambda fault: fault.concerns(task_id, blob))  # noqa: B023
            if fault and fault.kind == 'refused':
                return refused_upload(blob).failure
            if not fault or fault.kind == 'empty':
                content = b'' if fault else self._output
                upload(container['containerUrl'], blob, BytesIO(content), len(content))
        return None
