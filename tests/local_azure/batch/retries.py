"""When the command line of a task or start task is run once more on its node.

A task whose node is lost runs again, too. That is no retry but a requeue: `Jobs.node_lost`.
"""

from __future__ import annotations

from tests.local_azure.batch.execution import Execution, Outcome


def is_retried(execution: Execution, outcome: Outcome, limit: int) -> bool:
    """Whether it runs once more after this outcome; a negative limit is none.

    Only exit codes are retried, not failed downloads or uploads (SDK14
    TaskConstraints.max_task_retry_count, StartTask.max_task_retry_count).
    """
    if outcome.exit_code in (None, 0):
        return False
    if outcome.failure:
        return False

    has_limit = limit >= 0
    return not has_limit or execution.retries < limit
