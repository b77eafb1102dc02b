"""Tasks without processes: each ends at once with exit code 0, its output files are really put into the storage."""

from __future__ import annotations

from typing import Any

from tests.local_azure.batch.model import CommandRun, Node, Outcome
from tests.local_azure.node.agent import TransferError
from tests.local_azure.node.machine import WILDCARDS, Machines


class InstantMachines(Machines):
    """`output` is the content of every output file. The nodes have no disk."""

    def __init__(self, output: bytes, *parts: Any) -> None:
        super().__init__(*parts)
        self._output = output

    def add_node(self, node: Node) -> None:
        """It has no files."""

    def _execute(self, run: CommandRun) -> Outcome:
        for output in run.spec.get('outputFiles', ()):
            blob = (
                output['destination']['container'].get('path')
                or output['filePattern'].rpartition('/')[2]
            )
            if output['uploadOptions']['uploadCondition'] != 'TaskFailure' and not WILDCARDS.search(
                blob
            ):
                try:
                    self._upload(run, output, blob, self._output)
                except TransferError as error:
                    return Outcome(0, error.failure)
        return Outcome(run.forced[0] if run.forced else 0)
