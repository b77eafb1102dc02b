"""Random sequences of operations against the state machines, without HTTP, processes or real time.

After every step: every move was legal (an illegal one raises), no task is lost, counts are what a
list gives, slots are not exceeded, and a terminal state is never left.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.local_azure.batch.account import Account
from tests.local_azure.batch.errors import BatchError, Failure
from tests.local_azure.batch.execution import Outcome
from tests.local_azure.batch.model import ALIVE, COUNTERS, Task
from tests.local_azure.batch.request_properties import (
    ENABLE_AUTOSCALE,
    JOB,
    JOB_PATCH,
    POOL,
    REMOVE_NODES,
    RESIZE,
    TASK,
)
from tests.local_azure.batch.resource_documents import View, pool_document
from tests.local_azure.batch.states import (
    AllocationState,
    JobState,
    NodeState,
    PoolState,
    TaskState,
)
from tests.local_azure.faults import (
    FailedAllocation,
    FailedStartTask,
    NodeLoss,
    PreemptedNode,
    Quota,
    UnusableNode,
)

from .manual import ManualMachines, ManualTimeline

FORMULAS = (
    '$TargetDedicatedNodes = 1; $TargetLowPriorityNodes = 0;',
    '$TargetLowPriorityNodes = min(3, $PendingTasks.GetSample(1), 2);',
    '$TargetLowPriorityNodes = 0; $NodeDeallocationOption = taskcompletion;',
    '$TargetDedicatedNodes = max($RunningTasks.GetSample(TimeInterval_Minute, 90));',
)
VERSION = '2025-06-01'
IMAGE = {'publisher': 'canonical', 'offer': 'ubuntu-24_04-lts', 'sku': 'server-gen1'}
POOL_ID = st.sampled_from(['P1', 'p1', 'P2'])
JOB_ID = st.sampled_from(['J1', 'j1', 'J2'])
TASK_ID = st.sampled_from(['a', 'A', 'b', 'c', 'd'])
OPTION = st.sampled_from(['requeue', 'terminate', 'taskcompletion'])
REFUSALS = {400, 404, 409, 503}
VIEW = View('', VERSION)


class BatchMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.timeline, self.machines = ManualTimeline(), ManualMachines()
        self.account = Account(self.timeline, self.machines)
        self.quota = Quota()
        self.expected: dict[str, set[str]] = {}  # the tasks that each job must have
        self.terminal: dict[Task, tuple[TaskState, str | None]] = {}
        self.ended_jobs: set[object] = set()

    def attempt(self, call: Any, *arguments: Any) -> Any:
        """An operation; refusals of the service are fine, anything else is not."""
        try:
            return call(*arguments)
        except BatchError as error:
            assert error.status in REFUSALS
            return None

    # Pools

    @rule(
        pool_id=POOL_ID,
        dedicated=st.integers(0, 2),
        low=st.integers(0, 2),
        slots=st.integers(1, 3),
        start_task=st.sampled_from(
            [None, {'commandLine': 'x'}, {'commandLine': 'x', 'waitForSuccess': False}]
        ),
        pack=st.booleans(),
    )
    def add_pool(
        self, pool_id: str, dedicated: int, low: int, slots: int, start_task: Any, pack: bool
    ) -> None:
        body = {
            'id': pool_id,
            'vmSize': 'standard_a1_v2',
            'virtualMachineConfiguration': {
                'imageReference': dict(IMAGE),
                'nodeAgentSKUId': 'batch.node.ubuntu 24.04',
            },
            'targetDedicatedNodes': dedicated,
            'targetLowPriorityNodes': low,
            'taskSlotsPerNode': slots,
            'startTask': dict(start_task) if start_task else None,
            'taskSchedulingPolicy': {'nodeFillType': 'pack' if pack else 'spread'},
        }
        self.attempt(self.account.pools.add, POOL.read_body(body, VERSION))

    @rule(
        pool_id=POOL_ID,
        dedicated=st.integers(0, 3),
        low=st.integers(0, 3),
        option=OPTION,
    )
    def resize_pool(self, pool_id: str, dedicated: int, low: int, option: str) -> None:
        body = {
            'targetDedicatedNodes': dedicated,
            'targetLowPriorityNodes': low,
            'nodeDeallocationOption': option,
        }
        self.attempt(self.account.pools.resize, pool_id, RESIZE.read_body(body, VERSION))

    @rule(pool_id=POOL_ID)
    def stop_resize(self, pool_id: str) -> None:
        self.attempt(self.account.pools.stop_resize, pool_id)

    @rule(pool_id=POOL_ID, data=st.data(), option=OPTION)
    def remove_nodes(self, pool_id: str, data: st.DataObject, option: str) -> None:
        pool = self.account.pools.by_key.get(pool_id.lower())
        if pool and pool.nodes:
            nodes = data.draw(st.lists(st.sampled_from(sorted(pool.nodes)), min_size=1))
            body = {'nodeList': nodes, 'nodeDeallocationOption': option}
            spec = REMOVE_NODES.read_body(body, VERSION)
            self.attempt(self.account.pools.remove_nodes, pool_id, spec)

    @rule(pool_id=POOL_ID, formula=st.sampled_from(FORMULAS))
    def scale_by_formula(self, pool_id: str, formula: str) -> None:
        body = {'autoScaleFormula': formula, 'autoScaleEvaluationInterval': 'PT5M'}
        spec = ENABLE_AUTOSCALE.read_body(body, VERSION)
        self.attempt(self.account.pools.enable_autoscale, pool_id, spec)

    @rule(pool_id=POOL_ID)
    def scale_by_hand(self, pool_id: str) -> None:
        self.attempt(self.account.pools.disable_autoscale, pool_id)

    @rule(pool_id=POOL_ID)
    def delete_pool(self, pool_id: str) -> None:
        self.attempt(self.account.pools.delete, pool_id)

    # Jobs and tasks

    @rule(
        job_id=JOB_ID,
        pool_id=POOL_ID,
        ends=st.booleans(),
        retries=st.integers(0, 2),
        parallel=st.sampled_from([-1, 1]),
        limit=st.sampled_from([None, 'PT30S']),
    )
    def add_job(
        self, job_id: str, pool_id: str, ends: bool, retries: int, parallel: int, limit: str | None
    ) -> None:
        body = {
            'id': job_id,
            'poolInfo': {'poolId': pool_id},
            'onAllTasksComplete': 'terminatejob' if ends else 'noaction',
            'maxParallelTasks': parallel,
            'constraints': {'maxTaskRetryCount': retries, 'maxWallClockTime': limit},
        }
        if self.attempt(self.account.jobs.add, JOB.read_body(body, VERSION)):
            self.expected[job_id.lower()] = set()

    @rule(job_id=JOB_ID, ends=st.booleans())
    def patch_job(self, job_id: str, ends: bool) -> None:
        spec = JOB_PATCH.read_body(
            {'onAllTasksComplete': 'terminatejob' if ends else 'noaction'}, VERSION
        )
        self.attempt(self.account.jobs.patch, job_id, spec)

    @rule(job_id=JOB_ID, pool_id=POOL_ID)
    def change_pool_of_job(self, job_id: str, pool_id: str) -> None:
        spec = JOB_PATCH.read_body({'poolInfo': {'poolId': pool_id}}, VERSION)
        self.attempt(self.account.jobs.patch, job_id, spec)

    @rule(
        job_id=JOB_ID,
        disable_tasks=st.sampled_from(['requeue', 'terminate', 'wait']),
    )
    def disable_job(self, job_id: str, disable_tasks: str) -> None:
        self.attempt(self.account.jobs.disable, job_id, disable_tasks)

    @rule(job_id=JOB_ID)
    def enable_job(self, job_id: str) -> None:
        self.attempt(self.account.jobs.enable, job_id)

    @rule(job_id=JOB_ID)
    def terminate_job(self, job_id: str) -> None:
        self.attempt(self.account.jobs.terminate, job_id, 'enough')

    @rule(job_id=JOB_ID)
    def delete_job(self, job_id: str) -> None:
        self.attempt(self.account.jobs.delete, job_id)

    @rule(
        job_id=JOB_ID,
        task_ids=st.lists(TASK_ID, min_size=1, max_size=4),
        slots=st.integers(1, 2),
        limit=st.sampled_from([None, 'PT5S']),
    )
    def add_tasks(self, job_id: str, task_ids: list[str], slots: int, limit: str | None) -> None:
        bodies = [
            {
                'id': task_id,
                'commandLine': 'x',
                'requiredSlots': slots,
                'constraints': {'maxWallClockTime': limit},
            }
            for task_id in task_ids
        ]
        results = self.attempt(
            self.account.jobs.add_tasks, job_id, [TASK.read_body(body, VERSION) for body in bodies]
        )
        for result in results or ():
            if isinstance(result, Task):
                self.expected[job_id.lower()].add(result.key)
            else:
                assert result.code == 'TaskExists'

    @rule(job_id=JOB_ID, task_id=TASK_ID)
    def terminate_task(self, job_id: str, task_id: str) -> None:
        self.attempt(self.account.jobs.terminate_task, job_id, task_id)

    @rule(job_id=JOB_ID, task_id=TASK_ID)
    def reactivate_task(self, job_id: str, task_id: str) -> None:
        if task := self.attempt(self.account.jobs.reactivate_task, job_id, task_id):
            self.terminal.pop(task, None)

    @rule(job_id=JOB_ID, task_id=TASK_ID)
    def delete_task(self, job_id: str, task_id: str) -> None:
        before = self.account.jobs.by_key.get(job_id.lower())
        if before and task_id.lower() in before.tasks:
            self.account.jobs.delete_task(job_id, task_id)
            self.expected[job_id.lower()].discard(task_id.lower())

    # The world

    @rule(seconds=st.sampled_from([0.0, 0.02, 0.05, 0.2, 6.0, 40.0, 301.0]))
    def time_passes(self, seconds: float) -> None:
        self.timeline.advance(seconds)

    @precondition(lambda self: self.machines.running)
    @rule(
        data=st.data(),
        outcome=st.sampled_from(
            [
                Outcome(0),
                Outcome(1),
                Outcome(None, Failure('BlobNotFound', '')),
                Outcome(0, Failure('FileUploadMiscError', '')),
            ]
        ),
    )
    def run_ends(self, data: st.DataObject, outcome: Outcome) -> None:
        runs = sorted(self.machines.running, key=lambda run: (run.directory, run.node.id))
        self.machines.finish(runs[data.draw(st.integers(0, len(runs) - 1))], outcome)

    @rule(unusable=st.booleans(), restore=st.booleans())
    def node_is_lost(self, unusable: bool, restore: bool) -> None:
        loss: NodeLoss = (
            UnusableNode(count=1) if unusable else PreemptedNode(restore=restore, count=1)
        )
        self.account.faults.add(loss)
        self.timeline.advance(0)

    @rule(low=st.sampled_from([None, 0, 1, 3]), pools=st.sampled_from([None, 1]))
    def quota_changes(self, low: int | None, pools: int | None) -> None:
        self.quota.remove()
        self.quota = self.account.faults.add(Quota(low_priority_cores=low, pools=pools))

    @rule()
    def allocation_and_start_task_will_fail_once(self) -> None:
        self.account.faults.add(FailedAllocation(allocated=1, count=1))
        self.account.faults.add(FailedStartTask(nodes=1, stderr='', count=1))

    # What must always hold

    @invariant()
    def no_task_is_lost(self) -> None:
        for key in set(self.expected) - set(self.account.jobs.by_key):
            del self.expected[key]  # deleted with its job
        assert {
            key: set(job.tasks) for key, job in self.account.jobs.by_key.items()
        } == self.expected

    @invariant()
    def counts_are_what_a_list_gives(self) -> None:
        results = {'success': 'succeeded', 'failure': 'failed'}
        for job in self.account.all_jobs():
            tasks: dict[str, int] = dict.fromkeys(COUNTERS, 0)
            slots = dict(tasks)
            for task in job.tasks.values():
                ended = task.execution.result
                for name in (task.state.value, *([results[ended]] if ended else [])):
                    tasks[name] += 1
                    slots[name] += task.spec['requiredSlots']
            assert (job.counts, job.slots) == (tasks, slots)

    @invariant()
    def running_tasks_are_on_living_nodes_and_fit(self) -> None:
        on_nodes = []
        for pool in self.account.all_pools():
            for node in pool.nodes.values():
                assert node.used_slots <= pool.spec['taskSlotsPerNode']
                if node.state is not NodeState.leaving_pool:  # it may wait for its tasks
                    assert (node.state is NodeState.running) == bool(node.runs)
                on_nodes += [run.task for run in node.runs.values()]
        running = [task for task in self.account.all_tasks() if task.state is TaskState.running]
        assert Counter(map(id, running)) == Counter(map(id, on_nodes))
        assert {id(run.task) for run in self.machines.running if run.task} == set(map(id, running))

    @invariant()
    def disabled_jobs_run_nothing(self) -> None:
        for job in self.account.all_jobs():
            if job.state in (JobState.disabled, JobState.enabling):
                assert job.counts['running'] == 0

    @invariant()
    def steady_pools_have_no_leaving_nodes(self) -> None:
        for pool in self.account.all_pools():
            if pool.allocation is AllocationState.steady:
                for node in pool.nodes.values():
                    assert node.state is not NodeState.leaving_pool

    @invariant()
    def active_tasks_of_active_jobs_wait_in_the_queue(self) -> None:
        for job in self.account.all_jobs():
            waiting = {task.key for task in job.queue if task.state is TaskState.active}
            assert waiting >= {
                task.key for task in job.tasks.values() if task.state is TaskState.active
            }

    @invariant()
    def nothing_waits_where_there_is_room(self) -> None:
        for job in self.account.all_jobs():
            pool = self.account.pools.by_key.get(job.pool_key)
            waiting = [
                task
                for task in job.queue
                if task.state is TaskState.active and task.key in job.tasks
            ]
            room = (
                job.spec['maxParallelTasks'] < 0
                or job.counts['running'] < job.spec['maxParallelTasks']
            )
            if (
                pool
                and pool.state is PoolState.active
                and job.state is JobState.active
                and waiting
                and room
            ):
                free = [
                    pool.spec['taskSlotsPerNode'] - n.used_slots
                    for n in pool.nodes.values()
                    if n.state in ALIVE
                ]
                assert max(free, default=0) < min(task.spec['requiredSlots'] for task in waiting)

    @invariant()
    def a_terminal_state_is_final(self) -> None:
        for task, ended in self.terminal.items():
            assert (task.state, task.execution.result) == ended
        for task in self.account.all_tasks():
            if task.state is TaskState.completed:
                assert task.execution.result in ('success', 'failure')
                self.terminal[task] = (task.state, task.execution.result)
        for job in self.account.all_jobs():
            if job in self.ended_jobs:
                assert job.state in (JobState.completed, JobState.deleting)
            if job.state is JobState.completed:
                self.ended_jobs.add(job)

    @invariant()
    def resize_errors_only_while_steady(self) -> None:
        for pool in self.account.all_pools():
            shown = pool_document(pool, VIEW)
            assert shown['allocationState'] == 'steady' or 'resizeErrors' not in shown

    def teardown(self) -> None:
        """However it went: with time, deletions end and nothing is left."""
        self.account.faults.clear()
        for job in self.account.all_jobs():
            self.attempt(self.account.jobs.delete, job.id)
        for pool in self.account.all_pools():
            self.attempt(self.account.pools.delete, pool.id)
        self.timeline.advance(1)
        assert not self.account.all_jobs()
        assert not self.account.all_pools()
        assert not self.machines.running


TestBatchMachine = BatchMachine.TestCase
TestBatchMachine.settings = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
