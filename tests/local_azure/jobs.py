"""Jobs and their tasks: adding, scheduling on nodes, ends, retries, requeues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import states
from .durations import SECOND, format_duration, parse_duration
from .errors import BatchError
from .faults import StaleCounts
from .model import NEVER, Execution, Failure, Job, Node, Outcome, Pool, Run, Spec, Task
from .nodes import ALIVE, FAILURE_EXIT
from .states import TASK_MOVES, JobState, TaskState
from .timeline import Action

if TYPE_CHECKING:
    from .account import Account

ENDED = Failure('TaskEnded', 'Task Was Ended by User Request')  # recorded traffic: GET /jobs/{id}/tasks, 2018-12-01.8.0
# The code is documented (Azure docs: error-handling, constraints); this text is ours.
OVERTIME = Failure('TaskEnded', 'The task exceeded its maximum wall clock time')
KILLED = 137  # exit code of a process that was killed; what a Linux node reports is not documented


class Jobs:
    def __init__(self, account: Account) -> None:
        self._account = account
        self.by_key: dict[str, Job] = {}

    # Jobs

    def get(self, job_id: str) -> Job:
        with self._account.lock:
            if job := self.by_key.get(job_id.lower()):
                return job
            raise BatchError('JobNotFound')

    def add(self, spec: Spec) -> Job:
        """A new active job; its pool need not exist yet (SDK14 PoolInformation.pool_id)."""
        account = self._account
        with account.lock:
            if old := self.by_key.get(spec['id'].lower()):
                deleting = old.state is JobState.DELETING and not account.exists_while_deleting
                raise BatchError('JobBeingDeleted' if deleting else 'JobExists')
            unfinished = sum(job.state is not JobState.COMPLETED for job in self.by_key.values())
            if account.quotas.jobs is not None and unfinished >= account.quotas.jobs:
                raise BatchError('ActiveJobAndScheduleQuotaReached')
            created = account.stamp()
            now = account.stamp()
            job = Job(spec['id'], dict(spec), created, now, now)
            self.by_key[job.key] = job
            self._limit(job)
            self._check_all_complete(job)
            account.notify()
            return job

    def patch(self, job_id: str, spec: Spec) -> Job:
        """Replaces whole properties (recorded traffic: PATCH /jobs/{id} with constraints)."""
        with self._account.lock:
            job = self._active(job_id)
            if 'poolInfo' in spec:  # SDK14 JobPatchParameter.pool_info: only while the job is disabled
                raise BatchError('JobNotDisabled')
            job.modified = self._account.stamp()
            job.spec.update(spec)
            self._limit(job)
            self._check_all_complete(job)
            self._schedule_for(job)
            return job

    def terminate(self, job_id: str, reason: str) -> Job:
        with self._account.lock:
            job = self._active(job_id)
            job.modified = self._account.stamp()
            self._terminate(job, reason)
            return job

    def delete(self, job_id: str) -> None:
        account = self._account
        with account.lock:
            job = self.get(job_id)
            if job.state is JobState.DELETING:
                raise BatchError('JobBeingDeleted')
            self._stop_clock(job)
            job.modified = account.stamp()
            job.move(JobState.DELETING, account.stamp())
            self._end_running(job, ENDED)
            self._plan(job, account.delays.job_deleting, lambda: self._deleted(job))
            self._schedule_for(job)

    def clear(self) -> None:
        for job in self.by_key.values():
            self._stop_clock(job)
            if job.plan:
                job.plan.cancel()
            for task in job.tasks.values():
                if task.state is TaskState.RUNNING:
                    self._account.executor.stop(self._take_run(task))
        self.by_key.clear()

    def counts(self, job_id: str) -> tuple[dict[str, int], dict[str, int]]:
        """Tasks and slots by state; may lag on Azure, here only by the StaleCounts fault (SDK14 TaskCounts)."""
        with self._account.lock:
            job = self.get(job_id)
            fresh = {'tasks': dict(job.counts), 'slots': dict(job.slots)}
            if fault := self._account.faults.take(StaleCounts):
                if fault.counts is not None:
                    stale = {**dict.fromkeys(job.counts, 0), **fault.counts}
                    return stale, stale
                fresh = fault.frozen.setdefault(job.key, fresh)
            return fresh['tasks'], fresh['slots']

    def _active(self, job_id: str) -> Job:
        job = self.get(job_id)
        if job.state is not JobState.ACTIVE:
            raise BatchError(
                {
                    JobState.DELETING: 'JobBeingDeleted',
                    JobState.TERMINATING: 'JobBeingTerminated',
                    JobState.COMPLETED: 'JobCompleted',
                }[job.state]
            )
        return job

    def _plan(self, job: Job, seconds: float, action: Action) -> None:
        if job.plan:
            job.plan.cancel()
        job.plan = self._account.later(seconds, action)

    def _limit(self, job: Job) -> None:
        """maxWallClockTime counts from the creation of the job (SDK14 JobConstraints)."""
        if job.limit:
            job.limit.cancel()
        ticks = parse_duration(job.spec['constraints'].get('maxWallClockTime', format_duration(NEVER)))
        if ticks < NEVER:
            left = max(0.0, (job.created + ticks - self._account.stamp()) / SECOND)
            job.limit = self._account.later(left, lambda: self._expire_job(job))

    def _expire_job(self, job: Job) -> None:
        if job.state is JobState.ACTIVE:
            self._terminate(job, 'MaxWallClockTimeExpiry')

    def _stop_clock(self, job: Job) -> None:
        if job.limit:
            job.limit.cancel()

    def _terminate(self, job: Job, reason: str) -> None:
        """Running tasks end, active ones stay active for ever (SDK14 job.terminate)."""
        self._stop_clock(job)
        job.reason = reason
        job.move(JobState.TERMINATING, self._account.stamp())
        self._end_running(job, OVERTIME if reason == 'MaxWallClockTimeExpiry' else ENDED)
        self._plan(job, self._account.delays.job_terminating, lambda: self._terminated(job))
        self._schedule_for(job)

    def _terminated(self, job: Job) -> None:
        job.ended = self._account.stamp()
        job.move(JobState.COMPLETED, job.ended)

    def _deleted(self, job: Job) -> None:
        del self.by_key[job.key]

    def _check_all_complete(self, job: Job) -> None:
        """A job without tasks counts as complete (SDK14 JobAddParameter.on_all_tasks_complete)."""
        unfinished = job.counts['active'] + job.counts['running']
        if job.state is JobState.ACTIVE and job.spec['onAllTasksComplete'] == 'terminatejob' and not unfinished:
            self._terminate(job, 'AllTasksComplete')

    def _end_running(self, job: Job, failure: Failure) -> None:
        for task in job.tasks.values():
            if task.state is TaskState.RUNNING:
                self._end(task, failure)

    # Tasks

    def task(self, job_id: str, task_id: str) -> Task:
        with self._account.lock:
            if task := self.get(job_id).tasks.get(task_id.lower()):
                return task
            raise BatchError('TaskNotFound')

    def add_task(self, job_id: str, spec: Spec) -> Task:
        with self._account.lock:
            job = self._active(job_id)
            task = self._add(job, spec)
            self._schedule_for(job)
            return task

    def add_tasks(self, job_id: str, specs: list[Spec | BatchError]) -> list[Task | BatchError]:
        """One result for each, in order; what is wrong with one does not keep the others out."""
        with self._account.lock:
            job = self._active(job_id)
            results: list[Task | BatchError] = []
            for spec in specs:
                try:
                    results.append(spec if isinstance(spec, BatchError) else self._add(job, spec))
                except BatchError as error:
                    results.append(error)
            self._schedule_for(job)
            return results

    def terminate_task(self, job_id: str, task_id: str) -> Task:
        with self._account.lock:
            task = self.task(job_id, task_id)
            if task.state is TaskState.COMPLETED:
                raise BatchError('TaskCompleted')
            task.modified = self._account.stamp()
            self._end(task, ENDED)
            self._after_end(task.job)
            return task

    def reactivate_task(self, job_id: str, task_id: str) -> Task:
        """Back to active with everything wiped.

        Recorded traffic: GET after POST .../reactivate; SDK14 task.reactivate.
        """
        with self._account.lock:
            job = self._active(job_id)
            task = self.task(job_id, task_id)
            if task.state is not TaskState.COMPLETED:
                raise BatchError('TaskNotCompleted')
            if task.execution.result == 'success':
                raise BatchError('TaskSucceeded')
            task.modified = self._account.stamp()
            self._move(task, TaskState.ACTIVE, Execution())
            task.node, task.ran = None, False
            job.queue.append(task)
            self._schedule_for(job)
            return task

    def delete_task(self, job_id: str, task_id: str) -> None:
        with self._account.lock:
            task = self.task(job_id, task_id)
            if task.state is not TaskState.COMPLETED:
                self._end(task, ENDED)
            task.job.recount(task, -1)
            del task.job.tasks[task.key]
            self._after_end(task.job)

    def _add(self, job: Job, spec: Spec) -> Task:
        if spec['id'].lower() in job.tasks:
            raise BatchError('TaskExists')
        constraints = {  # retries come from the job, its wall clock does not (recorded: GET /jobs/{id}/tasks/{id})
            'maxWallClockTime': format_duration(NEVER),
            'retentionTime': 'P7D',
            'maxTaskRetryCount': job.spec['constraints'].get('maxTaskRetryCount', 0),
            **spec.get('constraints', {}),
        }
        now = self._account.stamp()
        task = Task(spec['id'], job, {**spec, 'constraints': constraints}, now, now, now)
        job.tasks[task.key] = task
        job.recount(task, 1)
        job.queue.append(task)
        return task

    def _move(self, task: Task, state: TaskState, execution: Execution) -> None:
        task.job.recount(task, -1)
        task.previous = (task.state, task.changed)
        task.state, task.execution = states.move(TASK_MOVES, task.state, state), execution
        task.changed = self._account.stamp()
        task.job.recount(task, 1)

    # Scheduling

    def _schedule_for(self, job: Job) -> None:
        if pool := self._account.pools.by_key.get(job.pool_key):
            self.schedule(pool)
        self._account.notify()

    def schedule(self, pool: Pool) -> None:
        """Gives waiting tasks to free slots: jobs by priority, tasks in their order, nodes by the pool's fill type."""
        nodes = [node for node in pool.nodes.values() if node.state in ALIVE]
        slots = pool.spec['taskSlotsPerNode']
        free = {node: slots - node.used_slots for node in nodes}
        if not any(free.values()):
            return
        jobs = [job for job in self.by_key.values() if job.pool_key == pool.key and job.state is JobState.ACTIVE]
        spread = pool.spec['taskSchedulingPolicy']['nodeFillType'] == 'Spread'
        for job in sorted(jobs, key=lambda job: -job.spec['priority']):
            while task := self._next_task(job):
                needed = task.spec['requiredSlots']
                fitting = [node for node in nodes if free[node] >= needed]
                if not fitting:
                    break
                node = (
                    max(fitting, key=lambda node: free[node]) if spread else min(fitting, key=lambda node: free[node])
                )
                job.queue.popleft()
                free[node] -= needed
                self._begin(task, node)

    def _next_task(self, job: Job) -> Task | None:
        if 0 <= job.spec['maxParallelTasks'] <= job.counts['running']:
            return None
        while job.queue and (
            job.queue[0].state is not TaskState.ACTIVE or job.tasks.get(job.queue[0].key) is not job.queue[0]
        ):
            job.queue.popleft()
        return job.queue[0] if job.queue else None

    def _begin(self, task: Task, node: Node) -> None:
        execution = task.execution
        execution.start = self._account.stamp()
        self._move(task, TaskState.RUNNING, execution)
        task.node, task.ran = node, True
        self._run(task, node)

    def _run(self, task: Task, node: Node) -> None:
        settings = [*task.job.spec.get('commonEnvironmentSettings', ()), *task.spec.get('environmentSettings', ())]
        environment = {setting['name']: setting.get('value', '') for setting in settings}
        run = Run(node, task.spec, f'workitems/{task.job.id}/job-1/{task.id}', environment, task)
        ticks = parse_duration(task.spec['constraints']['maxWallClockTime'])
        if ticks < NEVER:
            run.limit = self._account.later(ticks / SECOND, lambda: self._expire(run))
        self._account.nodes.occupy(node, run)
        self._account.executor.start(run, self._done)

    def _expire(self, run: Run) -> None:
        """Ends the whole process group; not retried (Azure docs: error-handling, constraints)."""
        if run.task and not run.over:
            self._end(run.task, OVERTIME)
            self._after_end(run.task.job)

    def _done(self, run: Run, outcome: Outcome) -> None:
        with self._account.lock:
            task = run.task
            if run.over or not task:
                return
            self._finish_run(run)
            limit, execution = task.spec['constraints']['maxTaskRetryCount'], task.execution
            # Only exit codes are retried, not failed downloads or uploads (SDK14 TaskConstraints.max_task_retry_count).
            if outcome.exit_code and not outcome.failure and (limit < 0 or execution.retries < limit):
                execution.retries += 1
                execution.start = execution.last_retry = self._account.stamp()
                self._run(task, run.node)
                self._account.notify()
                return
            failure = outcome.failure or (FAILURE_EXIT if outcome.exit_code else None)
            self._complete(task, outcome.exit_code, failure)
            self._account.nodes.release(run.node, run, not failure)
            self._after_end(task.job)

    def _finish_run(self, run: Run) -> None:
        run.over = True
        if run.limit:
            run.limit.cancel()

    def _take_run(self, task: Task) -> Run:
        assert task.node
        run = task.node.runs[task.run_key]
        self._finish_run(run)
        return run

    def _complete(self, task: Task, exit_code: int | None, failure: Failure | None) -> None:
        execution = task.execution
        execution.end, execution.exit_code, execution.failure = self._account.stamp(), exit_code, failure
        execution.result = 'failure' if failure else 'success'
        self._move(task, TaskState.COMPLETED, execution)

    def _end(self, task: Task, failure: Failure) -> None:
        """Completes an active or running task from outside."""
        if task.state is TaskState.RUNNING:
            run = self._take_run(task)
            self._account.executor.stop(run)
            self._complete(task, KILLED, failure)
            self._account.nodes.release(run.node, run, False)
        elif task.state is TaskState.ACTIVE:
            self._complete(task, None, failure)

    def _after_end(self, job: Job) -> None:
        self._check_all_complete(job)
        self._schedule_for(job)

    def node_lost(self, run: Run, dealloc: str | None) -> None:
        """The node of a running task goes away. `dealloc`: what the user asked for; None: it was lost.

        The task runs again from the front of the queue; only a requeue on request is counted (SDK14
        TaskExecutionInformation.requeue_count).
        """
        task = run.task
        assert task
        if dealloc == 'terminate':
            self._end(task, ENDED)
            self._check_all_complete(task.job)
            return
        self._finish_run(run)
        self._account.executor.stop(run)
        execution = Execution(requeues=task.execution.requeues, last_requeue=task.execution.last_requeue)
        execution.retries, execution.last_retry = task.execution.retries, task.execution.last_retry
        if dealloc is not None:
            execution.requeues += 1
            execution.last_requeue = self._account.stamp()
        self._move(task, TaskState.ACTIVE, execution)
        task.node, task.ran = None, False
        self._account.nodes.release(run.node, run, None)
        task.job.queue.appendleft(task)
