"""A machine without processes: each task succeeds at once, its output files are really uploaded."""

from __future__ import annotations

from tests.local_azure.node.agent import WILDCARDS, applies
from tests.local_azure.node.assignment import Assignment, OutputFile, Report
from tests.local_azure.node.blobs import TransferError
from tests.local_azure.node.machine import Equipment, Machine


class InstantMachine(Machine):
    """`output` is the content of every output file. It has no files of its own."""

    def __init__(self, output: bytes, equipment: Equipment) -> None:
        super().__init__(equipment)
        self._output = output

    def _execute(self, assignment: Assignment) -> Report:
        if assignment.pretended_end:
            return Report(assignment.pretended_end.exit_code)

        report = Report(0)
        for output in assignment.output_files:
            blob = _blob_name(output)
            if not applies(output, report) or WILDCARDS.search(blob):
                continue
            try:
                self._equipment.agent.upload(assignment, output, blob, self._output)
            except TransferError as error:
                return Report(0, error.problem)
        return report


def _blob_name(output: OutputFile) -> str:
    _, _, name = output.pattern.rpartition('/')
    return output.path or name
