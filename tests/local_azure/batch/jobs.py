"""Jobs and their tasks: adding, scheduling on nodes, ends, retries, requeues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.local_azure.batch.clock import Action
from tests.local_azure.batch.errors import BatchError
from tests.local_azure.batch.model import (
    ALIVE,
    NEVER,
    Execution,
    Failure,
    Job,
    Node,
    Outcome,
    Pool,
    Run,
    Spec,
    Task,
)
from tests.local_azure.batch.states import JobState, NodeState, TaskState
from tests.local_azure.batch.times import SECOND, format_duration, parse_duration

if TYPE_CHECKING:
    from tests.local_azure.batch.account import Account

ENDED = Failure(
    'TaskEnded', 'Task Was Ended by User Request'
)  # recorded traffic: GET /jobs/{id}/tasks, 2018-12-01.8.0
# The code is documented (Azure docs: error-handling, constraints); this text is ours.
OVERTIME = Failure('TaskEnded', 'The task exceeded its maximum wall clock time')
KILLED = 137  # exit code of a process that was killed; what a Linux node reports is not documented
_NOT_ACTIVE = {
    'deleting': 'JobBeingDeleted',
    'terminating': 'JobBeingTerminated',
    'completed': 'JobCompleted',
}


class Jobs:
    def __init__(self, account: Account) -> None:
        self._account = account
        self.by_key: dict[str, Job] = {}

    # Jobs

    def get(self, job_id: str) -> Job:
        if job := self.by_key.get(job_id.lower()):
            return job
        raise BatchError('JobNotFound')

    def add(self, spec: Spec) -> Job:
        """A new active job; its pool need not exist yet (SDK14 PoolInformation.pool_id)."""
        account = self._account
        with account.lock:
            account.check_new('Job', spec, self.by_key)
            unfinished = sum(job.state is not JobState.completed for job in self.by_key.values())
            if account.quota('jobs', unfinished + 1) is not None:
                raise BatchError('ActiveJobAndScheduleQuotaReached')
            job = Job(spec['id'], dict(spec), account.stamp)
            self.by_key[job.key] = job
            self._begin(job)
            return job

    def patch(self, job_id: str, spec: Spec) -> Job:
        """Replaces whole properties (recorded traffic: PATCH /jobs/{id} with constraints)."""
        with self._account.lock:
            job = self._active(job_id)
            # SDK14 JobPatchParameter.pool_info: only while the job is disabled; the code is ours.
            if 'poolInfo' in spec:
                raise BatchError('OperationInvalidForCurrentState')
            job.modified = self._account.stamp()
            job.spec.update(spec)
            self._begin(job)
            return job

    def terminate(self, job_id: str, reason: str) -> Job:
        with self._account.lock:
            job = self._active(job_id)
            self._terminate(job, reason)
            return job

    def delete(self, job_id: str) -> None:
        """Deleting, which moves no ETag, then gone (recorded traffic: GET /jobs/{id} after DELETE)."""
        with self._account.lock:
            job = self.get(job_id)
            if job.state is JobState.deleting:
                raise BatchError('JobBeingDeleted')
            job.move(JobState.deleting)
            self._end_running(job, ENDED)
            self._account.later(
                job, self._account.delays.job_deleting, lambda: self.by_key.pop(job.key)
            )

    def counts(self, job_id: str) -> tuple[dict[str, int], dict[str, int]]:
        """Tasks and slots by state; may lag on Azure, here only by the fault for it (SDK14 TaskCounts)."""
        with self._account.lock:
            job = self.get(job_id)
            counts = dict(job.counts), dict(job.slots)
            if fault := self._account.faults.take('stale_task_counts'):
                counts = fault.counts or fault.frozen.setdefault(job.key, counts)
            return counts

    def _active(self, job_id: str) -> Job:
        job = self.get(job_id)
        if job.state is not JobState.active:
            raise BatchError(_NOT_ACTIVE[job.state.value])
        return job

    def _begin(self, job: Job) -> None:
        """maxWallClockTime counts from the creation of the job (SDK14 JobConstraints)."""
        self._account.cancel(job)
        self._limit(job, job.created, lambda: self._terminate(job, 'MaxWallClockTimeExpiry'))
        self.proceed(job)

    def _limit(self, item: Job | Run, start: int, action: Action) -> None:
        ticks = parse_duration(item.spec['constraints']['maxWallClockTime'])
        if ticks < NEVER:
            self._account.later(
                item, max(0, start + ticks - self._account.stamp()) / SECOND, action
            )

    def proceed(self, job: Job) -> None:
        """Goes on. A job without tasks counts as complete (SDK14 JobAddParameter.on_all_tasks_complete)."""
        unfinished = job.counts['active'] + job.counts['running']
        if (
            job.state is JobState.active
            and job.spec['onAllTasksComplete'] == 'terminatejob'
            and not unfinished
        ):
            self._terminate(job, 'AllTasksComplete')
        self.schedule()

    def _terminate(self, job: Job, reason: str) -> None:
        """Running tasks end, active ones stay active for ever (SDK14 job.terminate).

        Whoever ends it, its ETag moves (recorded traffic: GET /jobs, terminateReason TaskFailed).
        """
        job.reason = reason
        job.move(JobState.terminating)
        job.modified = job.changed
        self._end_running(job, OVERTIME if reason == 'MaxWallClockTimeExpiry' else ENDED)
        self._account.later(
            job, self._account.delays.job_terminating, lambda: self._terminated(job)
        )

    def _terminated(self, job: Job) -> None:
        job.move(JobState.completed)
        job.ended = job.changed

    def _end_running(self, job: Job, failure: Failure) -> None:
        for task in job.tasks.values():
            if task.state is TaskState.running:
                self._end(task, failure)
        self.schedule()

    # Tasks

    def task(self, job_id: str, task_id: str) -> Task:
        if task := self.get(job_id).tasks.get(task_id.lower()):
            return task
        raise BatchError('TaskNotFound')

    def add_task(self, job_id: str, spec: Spec) -> Task:
        (result,) = self.add_tasks(job_id, [spec])
        if isinstance(result, BatchError):
            raise result
        return result

    def add_tasks(self, job_id: str, specs: list[Spec | BatchError]) -> list[Task | BatchError]:
        """One result for each, in order; what is wrong with one does not keep the others out."""
        with self._account.lock:
            job = self._active(job_id)
            results = [
                spec if isinstance(spec, BatchError) else self._add(job, spec) for spec in specs
            ]
            self.schedule()
            return results

    def _add(self, job: Job, spec: Spec) -> Task | BatchError:
        if spec['id'].lower() in job.tasks:
            return BatchError('TaskExists')
        constraints = {  # retries come from the job, its wall clock does not (recorded: GET /jobs/{id}/tasks/{id})
            'maxWallClockTime': format_duration(NEVER),
            'retentionTime': 'P7D',
            'maxTaskRetryCount': job.spec['constraints']['maxTaskRetryCount'],
            **spec.get('constraints', {}),
        }
        task = Task(spec['id'], {**spec, 'constraints': constraints}, self._account.stamp, job)
        job.tasks[task.key] = task
        task.count(1)
        job.queue.append(task)
        return task

    def terminate_task(self, job_id: str, task_id: str) -> Task:
        """Completed at once, whether it has run or not (recorded traffic: GET after POST .../terminate)."""
        with self._account.lock:
            task = self.task(job_id, task_id)
            if task.state is TaskState.completed:
                raise BatchError('TaskCompleted')
            self._end(task, ENDED)
            task.modified = task.changed
            self.proceed(task.job)
            return task

    def reactivate_task(self, job_id: str, task_id: str) -> Task:
        """Back to active with everything wiped.

        Recorded traffic: GET after POST .../reactivate; SDK14 task.reactivate.
        """
        with self._account.lock:
            job, task = self._active(job_id), self.task(job_id, task_id)
            if task.state is not TaskState.completed:
                raise BatchError('TaskNotCompleted')
            if task.execution.result == 'success':
                raise BatchError('TaskSucceeded')
            task.move(TaskState.active)
            task.modified = task.changed
            task.node, task.execution = None, Execution()
            job.queue.append(task)
            self.schedule()
            return task

    def delete_task(self, job_id: str, task_id: str) -> None:
        """Gone at once, also a running one (recorded traffic: GET after DELETE)."""
        with self._account.lock:
            task = self.task(job_id, task_id)
            self._end(task, ENDED)
            task.count(-1)
            del task.job.tasks[task.key]
            self.proceed(task.job)

    # Scheduling

    def schedule(self) -> None:
        """Gives waiting tasks to free slots: jobs by priority, tasks in their order, nodes by the pool's fill type.

        A task that needs more slots than a node has left lets others go first (Azure docs: batch-parallel-node-tasks).
        """
        for job in sorted(self.by_key.values(), key=lambda job: -job.spec['priority']):
            pool = self._account.pools.by_key.get(job.pool_key)
            while (
                pool
                and (free := self._free_slots(pool))
                and (task := self._next_task(job, max(free.values())))
            ):
                job.queue.remove(task)
                task.node = node = self._choose(pool, task, free)
                task.execution.start = self._account.stamp()
                task.move(TaskState.running)
                self._run(task, node)

    def _free_slots(self, pool: Pool) -> dict[Node, int]:
        return {
            n: pool.spec['taskSlotsPerNode'] - n.used_slots
            for n in pool.nodes.values()
            if n.state in ALIVE
        }

    def _next_task(self, job: Job, room: int) -> Task | None:
        if (
            not room
            or job.state is not JobState.active
            or 0 <= job.spec['maxParallelTasks'] <= job.counts['running']
        ):
            return None
        while job.queue and job.queue[0].state is not TaskState.active:
            job.queue.popleft()
        fitting = (
            t for t in job.queue if t.state is TaskState.active and t.spec['requiredSlots'] <= room
        )
        return next(fitting, None)

    def _choose(self, pool: Pool, task: Task, free: dict[Node, int]) -> Node:
        fitting = [node for node in free if free[node] >= task.spec['requiredSlots']]
        choose = max if pool.spec['taskSchedulingPolicy']['nodeFillType'] == 'Spread' else min
        return choose(fitting, key=lambda node: free[node])

    def _run(self, task: Task, node: Node) -> None:
        run = node.runs[task] = Run(node, task.spec, task)
        if node.state is NodeState.idle:
            node.move(NodeState.running)
        self._limit(run, self._account.stamp(), lambda: self._expired(task))
        self._account.nodes.arm_loss(run)
        self._account.machines.start(run, self._done)

    def _expired(self, task: Task) -> None:
        """Ends the whole process group; not retried (Azure docs: error-handling, constraints)."""
        self._end(task, OVERTIME)
        self.proceed(task.job)

    def _done(self, run: Run, outcome: Outcome) -> None:
        with self._account.lock:
            task = run.task
            if run.over.is_set() or not task:
                return
            if task.execution.retried(
                outcome, task.spec['constraints']['maxTaskRetryCount'], self._account.stamp()
            ):
                self._account.stop(run)
                self._run(task, run.node)
            else:
                self._complete(task, outcome)
                self.proceed(task.job)

    def _end(self, task: Task, failure: Failure) -> None:
        """Completes an active or running task from outside."""
        if task.state is not TaskState.completed:
            self._complete(
                task, Outcome(KILLED if task.state is TaskState.running else None, failure)
            )

    def _complete(self, task: Task, outcome: Outcome) -> None:
        task.execution.ended(outcome, self._account.stamp())
        task.move(TaskState.completed)
        if node := task.node:
            node.tasks_run += 1
            node.tasks_succeeded += not task.execution.failure
            self._release(task, node)

    def _release(self, task: Task, node: Node) -> None:
        self._account.stop(node.runs.pop(task))
        if node.state is NodeState.running and not node.runs:
            node.move(NodeState.idle)

    def node_lost(self, task: Task, node: Node, dealloc: str | None) -> None:
        """The node of a running task goes away. `dealloc`: what the user asked for; None: it was lost.

        The task runs again from the front of the queue; only a requeue on request is counted (SDK14
        TaskExecutionInformation.requeue_count).
        """
        if dealloc == 'terminate':
            self._end(task, ENDED)
            self.proceed(task.job)
            return
        task.execution.start = None
        if dealloc:
            task.execution.requeues += 1
            task.execution.last_requeue = self._account.stamp()
        task.move(TaskState.active)
        self._release(task, node)
        task.node = None
        task.job.queue.appendleft(task)
