"""Nodes: creation, start task, losses, departure."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from tests.local_azure.batch.model import Execution, Failure, Node, Outcome, Pool, Run, Spec
from tests.local_azure.batch.states import NodeState

if TYPE_CHECKING:
    from tests.local_azure.batch.account import Account
    from tests.local_azure.faults import Fault

LOSSES = 'preempt_node make_node_unusable'  # faults


class Nodes:
    def __init__(self, account: Account) -> None:
        self._account = account

    def create(self, pool: Pool, dedicated: bool) -> None:
        # Recorded traffic: GET /pools/{id}/nodes.
        node_id = f'tvmps_{secrets.token_hex(32)}_{"d" if dedicated else "p"}'
        address = f'10.0.0.{4 + len(pool.nodes) % 250}'
        node = pool.nodes[node_id] = Node(
            node_id, {}, self._account.stamp, pool, dedicated, address
        )
        self._begin(node)

    def _begin(self, node: Node) -> None:
        """`creating`, `starting`, `idle`, as recorded; `waitingforstarttask` between (SDK14 ComputeNodeState).

        Recorded traffic: GET /pools/{id}/nodes.
        """
        account, slow = self._account, self._account.faults.take('slow_nodes')

        def starting() -> None:
            node.move(NodeState.starting)
            account.machines.add_node(node)
            account.later(
                node, account.delays.node_starting + (slow.starting if slow else 0), booted
            )

        def booted() -> None:
            node.booted = account.stamp()
            start_task = node.pool.spec.get('startTask')
            if start_task and start_task['waitForSuccess']:
                node.move(NodeState.waiting_for_start_task)
            else:
                self._idle(node)
            if start_task:
                node.start = Execution(start=account.stamp())
                self._run_start_task(node, start_task, slow.start_task if slow else 0)

        account.later(node, account.delays.node_creating + (slow.creating if slow else 0), starting)

    def _run_start_task(self, node: Node, spec: Spec, delay: float = 0) -> None:
        fault = self._account.faults.take(
            'fail_start_task',
            lambda fault: fault.nodes == 'all' or len(fault.seen | {node}) <= fault.nodes,
        )
        if fault:
            fault.seen.add(node)
        node.start_run = Run(
            node, spec, forced=(fault.exit_code, fault.stderr) if fault else None, delay=delay
        )
        self._account.machines.start(node.start_run, self._start_task_done)

    def _start_task_done(self, run: Run, outcome: Outcome) -> None:
        """With waitForSuccess the node is unusable for tasks after a failure (SDK14 StartTask)."""
        with self._account.lock:
            node, stamp = run.node, self._account.stamp
            if run.over.is_set() or not node.start:
                return
            run.over.set()
            if node.start.retried(outcome, run.spec['maxTaskRetryCount'], stamp()):
                self._run_start_task(node, run.spec)
                return
            node.start.ended(outcome, stamp())
            node.start_run = None
            if node.state is NodeState.waiting_for_start_task and node.start.failure:
                node.move(NodeState.start_task_failed)
            elif node.state is NodeState.waiting_for_start_task:
                self._idle(node)

    def _idle(self, node: Node) -> None:
        node.move(NodeState.idle)
        self._account.jobs.schedule()

    def abandon(self, node: Node) -> None:
        """Nothing of what the node does or will do counts any more."""
        self._account.cancel(node)
        for run in [*([node.start_run] if node.start_run else []), *node.runs.values()]:
            self._account.stop(run)
        node.start_run = None

    def leave(self, nodes: Iterable[Node]) -> None:
        """Their tasks are requeued or ended (SDK14 ComputeNodeDeallocationOption), then they go."""
        leaving = [node for node in nodes if node.state is not NodeState.leaving_pool]
        for node in leaving:
            self.abandon(node)
            node.move(NodeState.leaving_pool)
        for node in leaving:
            for task in list(node.runs):
                self._account.jobs.node_lost(task, node, node.pool.dealloc)
        self._account.jobs.schedule()

    def gone(self, node: Node) -> None:
        """The files of a node that left are gone with it (SDK14 ComputeNode: data on a removed node is lost)."""
        del node.pool.nodes[node.key]
        self._account.machines.remove_node(node)

    # Losses on demand

    def arm_loss(self, run: Run) -> None:
        """A task begins to run: its node may be lost."""
        if fault := self._account.faults.find(LOSSES, lambda fault: _concerns(fault, run)):
            self._account.later(object(), fault.after, lambda: self._lose(run))

    def armed(self, fault: Fault) -> None:
        """A new fault, if it is a loss, also concerns tasks that are running already."""
        with self._account.lock:
            for task in self._account.all_tasks():
                if fault.kind in LOSSES.split() and task.node and (run := task.node.runs.get(task)):
                    self.arm_loss(run)

    def _lose(self, run: Run) -> None:
        """Spot eviction or a broken node: its tasks run again elsewhere.

        Azure docs: batch-spot-vms, node error checking.
        """
        account, node = self._account, run.node
        if run.over.is_set() or not (
            fault := account.faults.take(LOSSES, lambda fault: _concerns(fault, run))
        ):
            return
        self.abandon(node)
        broken = fault.kind == 'make_node_unusable'
        node.move(NodeState.unusable if broken else NodeState.preempted)
        if broken:
            node.errors.append(Failure('NodeUnusable', 'The node has become unusable'))
        for task in list(node.runs):
            account.jobs.node_lost(task, node, None)
        account.machines.remove_node(node)
        if not broken and fault.restore:
            account.later(node, account.delays.node_restore, lambda: self._restored(node))
        account.jobs.schedule()

    def _restored(self, node: Node) -> None:
        node.move(NodeState.creating)
        node.start = None
        self._begin(node)


def _concerns(fault: Any, run: Run) -> bool:
    return run.task is not None and fnmatchcase(run.task.id, fault.task)
