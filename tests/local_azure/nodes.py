"""Nodes: creation, start task, the tasks on them, losses, departure."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from .faults import NodeLoss, SlowNodes, StartTaskFault
from .model import Execution, Failure, Node, Outcome, Pool, Run, Spec
from .states import NodeState
from .timeline import Action

if TYPE_CHECKING:
    from .account import Account

FAILURE_EXIT = Failure(  # recorded traffic: GET /jobs/{id}/tasks/{id}, 2019-06-01.9.0
    'FailureExitCode',
    'The task exited with an exit code representing a failure',
    details=(('Message', 'The task exited with an exit code representing a failure'),),
)
ALIVE = (NodeState.IDLE, NodeState.RUNNING)


class Nodes:
    def __init__(self, account: Account) -> None:
        self._account = account

    def _plan(self, node: Node, seconds: float, action: Action) -> None:
        if node.plan:
            node.plan.cancel()
        node.plan = self._account.later(seconds, action)

    def create(self, pool: Pool, dedicated: bool) -> None:
        now = self._account.stamp()
        node_id = (
            f'tvmps_{secrets.token_hex(32)}_{"d" if dedicated else "p"}'  # recorded traffic: GET /pools/{id}/nodes
        )
        node = Node(node_id, pool, dedicated, now, now, f'10.0.0.{4 + len(pool.nodes) % 250}')
        pool.nodes[node.key] = node
        self._begin_creating(node)

    def _begin_creating(self, node: Node) -> None:
        slow = self._account.faults.take(SlowNodes)
        extra = (slow.creating, slow.starting, slow.start_task) if slow else (0.0, 0.0, 0.0)
        seconds = self._account.delays.node_creating + extra[0]
        self._plan(node, seconds, lambda: self._starting(node, extra[1], extra[2]))

    def _starting(self, node: Node, slow: float, start_task_slow: float) -> None:
        node.move(NodeState.STARTING, self._account.stamp())
        self._account.executor.add_node(node)
        self._plan(node, self._account.delays.node_starting + slow, lambda: self._booted(node, start_task_slow))

    def _booted(self, node: Node, start_task_slow: float) -> None:
        node.booted = self._account.stamp()
        start_task = node.pool.spec.get('startTask')
        if start_task is None:
            self._idle(node)
            return
        if start_task['waitForSuccess']:
            node.move(NodeState.WAITING_FOR_START_TASK, self._account.stamp())
        else:
            self._idle(node)
        node.start = Execution()
        self._run_start_task(node, start_task, start_task_slow)

    def _run_start_task(self, node: Node, spec: Spec, delay: float = 0) -> None:
        assert node.start
        node.start.start = self._account.stamp()
        fault = self._account.faults.take(
            StartTaskFault,
            lambda fault: fault.nodes is None or node.id in fault.failing or len(fault.failing) < fault.nodes,
        )
        if fault:
            fault.failing.add(node.id)
        environment = {s['name']: s.get('value', '') for s in spec.get('environmentSettings', ())}
        forced = (fault.exit_code, fault.stderr) if fault else None
        node.start_run = Run(node, spec, 'startup', environment, forced=forced, delay=delay)
        self._account.executor.start(node.start_run, self._start_task_done)

    def _start_task_done(self, run: Run, outcome: Outcome) -> None:
        """SDK14 StartTask: retried on a non-zero exit code.

        With waitForSuccess the node is unusable for tasks afterwards.
        """
        account, node = self._account, run.node
        with account.lock:
            if run.over:
                return
            run.over = True
            assert node.start
            limit = run.spec['maxTaskRetryCount']
            if outcome.exit_code and (limit < 0 or node.start.retries < limit):
                node.start.retries += 1
                node.start.last_retry = account.stamp()
                self._run_start_task(node, run.spec)
                return
            node.start.end, node.start.exit_code = account.stamp(), outcome.exit_code
            node.start.failure = outcome.failure or (FAILURE_EXIT if outcome.exit_code else None)
            node.start.result = 'failure' if node.start.failure else 'success'
            node.start_run = None
            if node.state is NodeState.WAITING_FOR_START_TASK:
                if node.start.failure:
                    node.move(NodeState.START_TASK_FAILED, account.stamp())
                else:
                    self._idle(node)
            account.notify()

    def _idle(self, node: Node) -> None:
        node.move(NodeState.IDLE, self._account.stamp())
        self._account.jobs.schedule(node.pool)

    def occupy(self, node: Node, run: Run) -> None:
        """A task begins to run on the node."""
        assert run.task
        node.runs[run.task.run_key] = run
        if node.state is NodeState.IDLE:
            node.move(NodeState.RUNNING, self._account.stamp())
        self._arm_loss(run)

    def release(self, node: Node, run: Run, succeeded: bool | None) -> None:
        """A task has ended on the node (None: it ended without a result)."""
        assert run.task
        node.runs.pop(run.task.run_key, None)
        if succeeded is not None:
            node.tasks_run += 1
            node.tasks_succeeded += succeeded
        if node.state is NodeState.RUNNING and not node.runs:
            node.move(NodeState.IDLE, self._account.stamp())

    def abandon(self, node: Node) -> None:
        if node.plan:
            node.plan.cancel()
        if node.start_run:
            node.start_run.over = True
            self._account.executor.stop(node.start_run)
            node.start_run = None

    def leave(self, node: Node) -> None:
        if node.state is NodeState.LEAVING_POOL:
            return
        self.abandon(node)
        node.move(NodeState.LEAVING_POOL, self._account.stamp())
        for run in list(node.runs.values()):
            self._account.jobs.node_lost(run, node.pool.dealloc)

    def gone(self, node: Node) -> None:
        """The files of a node that left are gone with it (SDK14 ComputeNode: data on a removed node is lost)."""
        node.pool.nodes.pop(node.key, None)
        self._account.executor.remove_node(node)

    # Losses on demand

    def _arm_loss(self, run: Run) -> None:
        if fault := self._account.faults.find(NodeLoss, lambda fault: fault.concerns(run)):
            self._account.later(fault.after, lambda: self._lose(run))

    def arm_running(self) -> None:
        """Lets a loss that was just asked for happen to tasks that are running already."""
        with self._account.lock:
            for pool in self._account.all_pools():
                for node in pool.nodes.values():
                    for run in node.runs.values():
                        self._arm_loss(run)

    def _lose(self, run: Run) -> None:
        """Spot eviction or a broken node: its tasks run again elsewhere.

        Azure docs: batch-spot-vms, node error checking.
        """
        account, node = self._account, run.node
        if run.over or not (fault := account.faults.take(NodeLoss, lambda fault: fault.concerns(run))):
            return
        self.abandon(node)
        if fault.unusable:
            node.move(NodeState.UNUSABLE, account.stamp())
            node.errors.append(Failure('NodeUnusable', 'The node has become unusable'))
        else:
            node.move(NodeState.PREEMPTED, account.stamp())
        for lost in list(node.runs.values()):
            account.jobs.node_lost(lost, None)
        account.executor.remove_node(node)
        if fault.restore and not fault.unusable:
            self._plan(node, account.delays.node_restore, lambda: self._restored(node))
        account.jobs.schedule(node.pool)

    def _restored(self, node: Node) -> None:
        node.move(NodeState.CREATING, self._account.stamp())
        node.start = None
        self._begin_creating(node)
