"""Nodes: creation, start task, losses, departure."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from tests.local_azure.batch.errors import NODE_UNUSABLE
from tests.local_azure.batch.execution import Execution, Outcome
from tests.local_azure.batch.jobs import Jobs
from tests.local_azure.batch.model import (
    CommandRun,
    Node,
    Pool,
    Spec,
)
from tests.local_azure.batch.retries import is_retried
from tests.local_azure.batch.shared_state import SharedState
from tests.local_azure.batch.states import NodeState
from tests.local_azure.faults import FailedStartTask, NodeLoss, PreemptedNode, SlowNodes

NO_DELAY = SlowNodes()


class Nodes:
    def __init__(self, shared: SharedState, jobs: Jobs) -> None:
        self._shared = shared
        self._jobs = jobs

    # Creation

    def create(self, pool: Pool, dedicated: bool) -> None:
        """A new node, with an id as recorded (GET /pools/{id}/nodes)."""
        kind = 'd' if dedicated else 'p'
        node_id = f'tvmps_{secrets.token_hex(32)}_{kind}'
        address = f'10.0.0.{4 + len(pool.nodes) % 250}'
        node = Node(node_id, {}, self._shared.stamp, pool, dedicated, address)
        pool.nodes[node_id] = node
        self._begin(node)

    def _begin(self, node: Node) -> None:
        """`creating`, `starting`, `idle`, as recorded (GET /pools/{id}/nodes).

        `waitingforstarttask` comes before `idle` (SDK14 ComputeNodeState).
        """
        slow = self._shared.faults.take(SlowNodes) or NO_DELAY
        seconds = self._shared.delays.node_creating + slow.creating
        self._shared.later(node, seconds, self._created, node, slow)

    def _created(self, node: Node, slow: SlowNodes) -> None:
        node.move(NodeState.starting)
        self._shared.host.add_node(node)
        seconds = self._shared.delays.node_starting + slow.starting
        self._shared.later(node, seconds, self._booted, node, slow)

    def _booted(self, node: Node, slow: SlowNodes) -> None:
        node.booted = self._shared.stamp()
        start_task = node.pool.spec.get('startTask')
        if start_task and start_task['waitForSuccess']:
            node.move(NodeState.waiting_for_start_task)
        else:
            self._idle(node)

        if start_task:
            node.start = Execution(start=self._shared.stamp())
            self._run_start_task(node, start_task, slow.start_task)

    def _idle(self, node: Node) -> None:
        node.move(NodeState.idle)
        self._jobs.schedule()

    # Start task

    def _run_start_task(self, node: Node, spec: Spec, delay: float = 0) -> None:
        run = CommandRun(node, spec, delay=delay)

        def concerns(fault: FailedStartTask) -> bool:
            return fault.concerns(node)

        fault = self._shared.faults.take(FailedStartTask, concerns)
        if fault:
            fault.nodes_seen.add(node)
            run.forced = (fault.exit_code, fault.stderr)

        node.start_run = run
        self._shared.host.start(run, self._start_task_done)

    def _start_task_done(self, run: CommandRun, outcome: Outcome) -> None:
        """With waitForSuccess the node is unusable for tasks after a failure (SDK14 StartTask)."""
        with self._shared.lock:
            node = run.node
            if run.over.is_set() or node.start is None:
                return
            run.over.set()

            limit = run.spec['maxTaskRetryCount']
            if is_retried(node.start, outcome, limit):
                node.start.retried(self._shared.stamp())
                self._run_start_task(node, run.spec)
                return

            node.start.ended(outcome, self._shared.stamp())
            node.start_run = None
            if node.state is not NodeState.waiting_for_start_task:
                return
            if node.start.failure:
                node.move(NodeState.start_task_failed)
            else:
                self._idle(node)

    # Departure

    def leave(self, nodes: Iterable[Node], deallocation: str) -> None:
        """No task starts there any more, and running ones are requeued, ended or waited for.

        SDK14 ComputeNodeDeallocationOption. That a node is `leavingpool` while it is waited for is
        ours.
        """
        leaving = list(nodes)
        for node in leaving:
            if deallocation != 'taskcompletion' or not node.runs:
                self._abandon(node)
            if node.state is not NodeState.leaving_pool:
                node.move(NodeState.leaving_pool)

        for node in leaving:
            for task in list(node.runs):
                if deallocation != 'taskcompletion':
                    self._jobs.node_leaves(task, node, deallocation)
        self._jobs.schedule()

    def gone(self, node: Node) -> None:
        """The files of a node that left are gone with it (SDK14 ComputeNode)."""
        del node.pool.nodes[node.key]
        self._shared.host.remove_node(node)

    def remove_all(self, pool: Pool) -> None:
        """Without asking anybody: the account is emptied."""
        for node in pool.nodes.values():
            self._abandon(node)
            self._shared.host.remove_node(node)

    def _abandon(self, node: Node) -> None:
        """Nothing of what the node does or will do counts any more."""
        self._shared.cancel(node)
        if node.start_run:
            self._shared.stop(node.start_run)
            node.start_run = None
        for run in node.runs.values():
            self._shared.stop(run)

    # Losses on demand

    def plan_loss(self, run: CommandRun) -> None:
        """A task runs: its node may be lost."""
        loss = self._find_loss(run)
        if loss:
            self._shared.later(object(), loss.after, self._lose, run)

    def plan_losses(self) -> None:
        """A new fault concerns the tasks that are running already, too."""
        for job in self._shared.jobs.values():
            for task in job.tasks.values():
                node = task.node
                if node and task in node.runs:
                    self.plan_loss(node.runs[task])

    def _find_loss(self, run: CommandRun) -> NodeLoss | None:
        task = run.task
        if task is None:
            return None

        def concerns(loss: NodeLoss) -> bool:
            return loss.concerns(task.id)

        return self._shared.faults.find(NodeLoss, concerns)

    def _lose(self, run: CommandRun) -> None:
        """Spot eviction or a broken node: its tasks run again elsewhere.

        Azure docs: batch-spot-vms, node error checking.
        """
        task = run.task
        is_leaving = run.node.state is NodeState.leaving_pool
        if run.over.is_set() or task is None or is_leaving:
            return

        def concerns(loss: NodeLoss) -> bool:
            return loss.concerns(task.id)

        loss = self._shared.faults.take(NodeLoss, concerns)
        if loss is None:
            return

        node = run.node
        self._abandon(node)
        if isinstance(loss, PreemptedNode):
            node.move(NodeState.preempted)
        else:
            node.move(NodeState.unusable)
            node.errors.append(NODE_UNUSABLE)
        for running in list(node.runs):
            self._jobs.node_lost(running, node)
        self._shared.host.remove_node(node)

        if isinstance(loss, PreemptedNode) and loss.restore:
            seconds = self._shared.delays.node_restore
            self._shared.later(node, seconds, self._restored, node)
        self._jobs.schedule()

    def _restored(self, node: Node) -> None:
        node.move(NodeState.creating)
        node.start = None
        self._begin(node)
