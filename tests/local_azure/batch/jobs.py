"""Jobs and their tasks: adding, running, ends, retries, requeues, disabling and enabling."""

from __future__ import annotations

from collections.abc import Callable

from tests.local_azure.batch import scheduling
from tests.local_azure.batch.documented_limits import check_completion
from tests.local_azure.batch.errors import TASK_ENDED, TASK_OVERTIME, BatchError, Failure
from tests.local_azure.batch.execution import KILLED, Execution, Outcome
from tests.local_azure.batch.model import (
    COUNTERS,
    NEVER,
    CommandRun,
    Job,
    Node,
    Pool,
    Spec,
    Task,
)
from tests.local_azure.batch.retries import is_retried
from tests.local_azure.batch.shared_state import SharedState
from tests.local_azure.batch.states import JobState, NodeState, TaskState
from tests.local_azure.batch.time_formats import SECOND, format_duration, parse_duration
from tests.local_azure.faults import StaleTaskCounts

Counts = dict[str, int]

# Why a job that has ended, or is about to, takes no changes.
_ENDED = {
    'deleting': 'JobBeingDeleted',
    'terminating': 'JobBeingTerminated',
    'completed': 'JobCompleted',
}


def _ignore(_: CommandRun) -> None:
    """Nobody wants to know."""


class Jobs:
    """`on_task_start` is called whenever a task begins to run."""

    def __init__(self, shared: SharedState) -> None:
        self._shared = shared
        self.by_key = shared.jobs
        self.on_task_start: Callable[[CommandRun], None] = _ignore

    # Jobs

    def get(self, job_id: str) -> Job:
        job = self.by_key.get(job_id.lower())
        if job is None:
            raise BatchError('JobNotFound')
        return job

    def add(self, spec: Spec) -> Job:
        """A new active job; its pool need not exist yet (SDK14 PoolInformation.pool_id)."""
        with self._shared.lock:
            self._check_new(spec['id'])
            job = Job(spec['id'], dict(spec), self._shared.stamp)
            self.by_key[job.key] = job
            self._begin(job)
            return job

    def _check_new(self, job_id: str) -> None:
        existing = self.by_key.get(job_id.lower())
        if existing and existing.state is JobState.deleting:
            raise BatchError('JobBeingDeleted')
        if existing:
            raise BatchError('JobExists')

        unfinished = sum(job.state is not JobState.completed for job in self.by_key.values())
        if self._shared.exceeded_quota('jobs', unfinished + 1) is not None:
            raise BatchError('ActiveJobAndScheduleQuotaReached')

    def patch(self, job_id: str, spec: Spec) -> Job:
        """Replaces whole properties (recorded traffic: PATCH /jobs/{id} with constraints)."""
        with self._shared.lock:
            job = self._changeable(job_id)
            # SDK14 JobPatchParameter.pool_info: only while the job is disabled; the code is ours.
            if 'poolInfo' in spec and job.state is not JobState.disabled:
                raise BatchError('OperationInvalidForCurrentState')
            completion = job.spec['onAllTasksComplete']
            check_completion(completion, spec.get('onAllTasksComplete', completion))

            job.modified = self._shared.stamp()
            job.spec.update(spec)
            self._begin(job)
            return job

    def terminate(self, job_id: str, reason: str) -> Job:
        with self._shared.lock:
            job = self._changeable(job_id)
            self._terminate(job, reason)
            return job

    def delete(self, job_id: str) -> None:
        """Deleting, which moves no ETag, then gone.

        Recorded traffic: GET /jobs/{id} after DELETE.
        """
        with self._shared.lock:
            job = self.get(job_id)
            if job.state is JobState.deleting:
                raise BatchError('JobBeingDeleted')
            job.move(JobState.deleting)
            self._shared.cancel(_next_state_of(job))
            self._end_running(job, TASK_ENDED)
            self._shared.later(job, self._shared.delays.job_deleting, self._deleted, job)

    def disable(self, job_id: str, disable_tasks: str) -> Job:
        """No task starts any more, and running ones are requeued, ended or waited for.

        SDK14 job.disable. That its ETag moves is ours.
        """
        with self._shared.lock:
            job = self._changeable(job_id)
            if job.state is JobState.enabling:
                raise BatchError('OperationInvalidForCurrentState')
            if job.state is JobState.active:
                job.move(JobState.disabling)
                job.modified = job.changed

            if disable_tasks == 'requeue':
                self._requeue_running(job)
            elif disable_tasks == 'terminate':
                self._end_running(job, TASK_ENDED)
            self.proceed(job)
            return job

    def enable(self, job_id: str) -> Job:
        """Its tasks start again (SDK14 job.enable).

        Ours: it is refused for a job in any other state than disabled, and moves the ETag.
        """
        with self._shared.lock:
            job = self._changeable(job_id)
            if job.state is not JobState.disabled:
                raise BatchError('OperationInvalidForCurrentState')
            job.move(JobState.enabling)
            job.modified = job.changed
            seconds = self._shared.delays.job_enabling
            self._shared.later(_next_state_of(job), seconds, self._enabled, job)
            return job

    def _enabled(self, job: Job) -> None:
        job.move(JobState.active)
        self.proceed(job)

    def _disable_when_idle(self, job: Job) -> None:
        if job.state is JobState.disabling and job.counts['running'] == 0:
            seconds = self._shared.delays.job_disabling
            self._shared.later(_next_state_of(job), seconds, job.move, JobState.disabled)

    def counts(self, job_id: str) -> tuple[Counts, Counts]:
        """Tasks and slots by state (SDK14 TaskCounts).

        They may lag on Azure, here only by the fault for it.
        """
        with self._shared.lock:
            job = self.get(job_id)
            now = _copy_counts(job)
            stale = self._shared.faults.take(StaleTaskCounts)
            if stale is None:
                return now

            if stale.counts:
                given = {**dict.fromkeys(COUNTERS, 0), **stale.counts}
                return given, given
            frozen: tuple[Counts, Counts] = stale.frozen.setdefault(job.key, now)
            return frozen

    def freeze_counts(self, stale: StaleTaskCounts) -> None:
        """Keeps the counts of this moment in the fault."""
        for job in self.by_key.values():
            stale.frozen[job.key] = _copy_counts(job)

    def _changeable(self, job_id: str) -> Job:
        """A job that has not ended. That a disabled one takes tasks, too, is ours."""
        job = self.get(job_id)
        if job.state.value in _ENDED:
            raise BatchError(_ENDED[job.state.value])
        return job

    def _begin(self, job: Job) -> None:
        """maxWallClockTime counts from the creation of the job (SDK14 JobConstraints)."""
        self._shared.cancel(job)
        seconds = self._seconds_left(job.spec, job.created)
        if seconds is not None:
            self._shared.later(job, seconds, self._terminate, job, 'MaxWallClockTimeExpiry')
        self.proceed(job)

    def _seconds_left(self, spec: Spec, start: int) -> float | None:
        """Until the wall clock limit of a job or task; None without one."""
        limit = parse_duration(spec['constraints']['maxWallClockTime'])
        if limit >= NEVER:
            return None
        return max(0, start + limit - self._shared.stamp()) / SECOND

    def proceed(self, job: Job) -> None:
        """What follows when tasks have ended or gone.

        A job without tasks counts as complete (SDK14 JobAddParameter.on_all_tasks_complete).
        """
        is_complete = job.counts['active'] == 0 and job.counts['running'] == 0
        ends = job.spec['onAllTasksComplete'] == 'terminatejob'
        if job.state is JobState.active and is_complete and ends:
            self._terminate(job, 'AllTasksComplete')
        self._disable_when_idle(job)
        self.schedule()

    def _terminate(self, job: Job, reason: str) -> None:
        """Running tasks end, active ones stay active for ever (SDK14 job.terminate).

        Whoever ends it, its ETag moves (recorded traffic: GET /jobs, terminateReason TaskFailed).
        """
        job.reason = reason
        self._shared.cancel(_next_state_of(job))
        job.move(JobState.terminating)
        job.modified = job.changed
        is_late = reason == 'MaxWallClockTimeExpiry'
        self._end_running(job, TASK_OVERTIME if is_late else TASK_ENDED)
        self._shared.later(job, self._shared.delays.job_terminating, self._terminated, job)

    def _terminated(self, job: Job) -> None:
        job.move(JobState.completed)
        job.ended = job.changed

    def _deleted(self, job: Job) -> None:
        del self.by_key[job.key]

    def _end_running(self, job: Job, failure: Failure) -> None:
        for task in job.tasks.values():
            if task.state is TaskState.running:
                self._end(task, failure)
        self.schedule()

    def _requeue_running(self, job: Job) -> None:
        """The last one first, since each goes to the front of the queue."""
        for task in reversed(job.tasks.values()):
            if task.node and task.state is TaskState.running:
                self._requeue_for_user(task, task.node)

    # Tasks

    def task(self, job_id: str, task_id: str) -> Task:
        task = self.get(job_id).tasks.get(task_id.lower())
        if task is None:
            raise BatchError('TaskNotFound')
        return task

    def add_task(self, job_id: str, spec: Spec) -> Task:
        with self._shared.lock:
            task = self._add(self._changeable(job_id), spec)
            self.schedule()
            return task

    def add_tasks(self, job_id: str, specs: list[Spec | BatchError]) -> list[Task | BatchError]:
        """One result for each, in order; what is wrong with one does not keep the others out."""
        with self._shared.lock:
            job = self._changeable(job_id)
            results: list[Task | BatchError] = []
            for spec in specs:
                if isinstance(spec, BatchError):
                    results.append(spec)
                    continue
                try:
                    results.append(self._add(job, spec))
                except BatchError as error:
                    results.append(error)
            self.schedule()
            return results

    def _add(self, job: Job, spec: Spec) -> Task:
        if spec['id'].lower() in job.tasks:
            raise BatchError('TaskExists')

        # Retries come from the job, its wall clock does not (recorded: GET /jobs/{id}/tasks/{id}).
        constraints = {
            'maxWallClockTime': format_duration(NEVER),
            'retentionTime': 'P7D',
            'maxTaskRetryCount': job.spec['constraints']['maxTaskRetryCount'],
            **spec.get('constraints', {}),
        }
        task = Task(spec['id'], {**spec, 'constraints': constraints}, self._shared.stamp, job)
        job.tasks[task.key] = task
        task.count(1)
        job.queue.append(task)
        return task

    def terminate_task(self, job_id: str, task_id: str) -> Task:
        """Completed at once, whether it has run or not.

        Recorded traffic: GET after POST .../terminate.
        """
        with self._shared.lock:
            task = self.task(job_id, task_id)
            if task.state is TaskState.completed:
                raise BatchError('TaskCompleted')
            self._end(task, TASK_ENDED)
            task.modified = task.changed
            self.proceed(task.job)
            return task

    def reactivate_task(self, job_id: str, task_id: str) -> Task:
        """Back to active with everything wiped.

        Recorded traffic: GET after POST .../reactivate; SDK14 task.reactivate.
        """
        with self._shared.lock:
            job = self._changeable(job_id)
            task = self.task(job_id, task_id)
            if task.state is not TaskState.completed:
                raise BatchError('TaskNotCompleted')
            if task.execution.result == 'success':
                raise BatchError('TaskSucceeded')

            task.move(TaskState.active)
            task.modified = task.changed
            task.node = None
            task.execution = Execution()
            job.queue.append(task)
            self.schedule()
            return task

    def delete_task(self, job_id: str, task_id: str) -> None:
        """Gone at once, also a running one (recorded traffic: GET after DELETE)."""
        with self._shared.lock:
            task = self.task(job_id, task_id)
            self._end(task, TASK_ENDED)
            task.count(-1)
            del task.job.tasks[task.key]
            self.proceed(task.job)

    # Running tasks

    def schedule(self) -> None:
        """Gives waiting tasks to free slots: jobs by priority, tasks in their order."""
        for job in scheduling.by_priority(self.by_key.values()):
            pool = self._shared.pools.get(job.pool_key)
            if pool:
                self._schedule_job(job, pool)

    def _schedule_job(self, job: Job, pool: Pool) -> None:
        while True:
            _drop_old_entries(job)
            free = scheduling.free_slots(pool)
            task = scheduling.next_task(job, room=max(free.values(), default=0))
            if task is None:
                return

            node = scheduling.choose_node(pool, task, free)
            job.queue.remove(task)
            task.node = node
            task.execution.start = self._shared.stamp()
            task.move(TaskState.running)
            self._run(task, node)

    def _run(self, task: Task, node: Node) -> None:
        run = CommandRun(node, task.spec, task)
        node.runs[task] = run
        if node.state is NodeState.idle:
            node.move(NodeState.running)

        seconds = self._seconds_left(task.spec, self._shared.stamp())
        if seconds is not None:
            self._shared.later(run, seconds, self._expired, task)
        self.on_task_start(run)
        self._shared.host.start(run, self._done)

    def _expired(self, task: Task) -> None:
        """Ends the whole process group; not retried (Azure docs: error-handling, constraints)."""
        self._end(task, TASK_OVERTIME)
        self.proceed(task.job)

    def _done(self, run: CommandRun, outcome: Outcome) -> None:
        """The node reports how a command line has ended."""
        with self._shared.lock:
            task = run.task
            if run.over.is_set() or task is None:
                return

            limit = task.spec['constraints']['maxTaskRetryCount']
            if is_retried(task.execution, outcome, limit):
                task.execution.retried(self._shared.stamp())
                self._shared.stop(run)
                self._run(task, run.node)
            else:
                self._complete(task, outcome)
                self.proceed(task.job)

    def _end(self, task: Task, failure: Failure) -> None:
        """Completes an active or running task from outside."""
        if task.state is TaskState.running:
            self._complete(task, Outcome(KILLED, failure))
        elif task.state is TaskState.active:
            self._complete(task, Outcome(None, failure))

    def _complete(self, task: Task, outcome: Outcome) -> None:
        task.execution.ended(outcome, self._shared.stamp())
        task.move(TaskState.completed)
        node = task.node
        if node:
            node.tasks_run += 1
            if not task.execution.failure:
                node.tasks_succeeded += 1
            self._release(task, node)

    def _release(self, task: Task, node: Node) -> None:
        self._shared.stop(node.runs.pop(task))
        if node.state is NodeState.running and not node.runs:
            node.move(NodeState.idle)

    def node_leaves(self, task: Task, node: Node, deallocation: str) -> None:
        """Somebody takes the node of a running task away (SDK14 ComputeNodeDeallocationOption)."""
        if deallocation == 'terminate':
            self._end(task, TASK_ENDED)
            self.proceed(task.job)
        else:
            self._requeue_for_user(task, node)

    def _requeue_for_user(self, task: Task, node: Node) -> None:
        """Only such requeues are counted (SDK14 TaskExecutionInformation.requeue_count)."""
        task.execution.requeues += 1
        task.execution.last_requeue = self._shared.stamp()
        self.node_lost(task, node)

    def node_lost(self, task: Task, node: Node) -> None:
        """A task whose node is gone runs again, from the front of the queue."""
        task.execution.start = None
        task.move(TaskState.active)
        self._release(task, node)
        task.node = None
        task.job.queue.appendleft(task)
        self._disable_when_idle(task.job)


def _next_state_of(job: Job) -> object:
    """Under this a move to disabled or active is planned; under the job itself, its end."""
    return ('next state', job)


def _copy_counts(job: Job) -> tuple[Counts, Counts]:
    return dict(job.counts), dict(job.slots)


def _drop_old_entries(job: Job) -> None:
    """A task that was active when it was queued may have ended since then."""
    while job.queue and job.queue[0].state is not TaskState.active:
        job.queue.popleft()
