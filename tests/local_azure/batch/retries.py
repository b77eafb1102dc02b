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
    is_bad_exit_code = bool(outcome.exit_code) and outcome.failure is None
    is_limit_reached = 0 <= limit <= execution.retries
    return is_bad_exit_code and not is_limit_reached
