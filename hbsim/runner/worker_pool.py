"""The worker pool of a real study, which assigns jobs, and the watchdog, which ends jobs at their limits."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from typing import Final

from hbsim.core.streams import trial_seed
from hbsim.core.types import Job
from hbsim.errors import HbsimWarning
from hbsim.runner.journal_state import RunningJob
from hbsim.runner.records import (
    JobRestarted,
    JobStarted,
    ProcessEnded,
    WorkerJoined,
    WorkerLeft,
)
from hbsim.runner.workers import (
    NEVER,
    Assignment,
    JobEnded,
    Reported,
    ReportRow,
    WorkerBackend,
    WorkerClosed,
    WorkerOpened,
)
from hbsim.runner.writer import STEP, RecordWriter


class Watchdog:
    """Kills running jobs that hang, that train for too long, or that do not leave in time.

    Parameters
    ----------
    workers : WorkerBackend
        Runs the jobs.
    clock : callable
        Seconds.
    hang_timeout : float
        Seconds without a message after which a job counts as hung.
    trial_timeout : float
        Seconds of training after which a trial fails.

    Attributes
    ----------
    last_heard : dict of int to float
        The time of the last message of each running job.
    cut : set of int
        Jobs that were killed because they did not leave.
    """

    def __init__(
        self,
        workers: WorkerBackend,
        clock: Callable[[], float],
        hang_timeout: float,
        trial_timeout: float = inf,
    ) -> None:
        self.last_heard: dict[int, float] = {}
        self.cut: set[int] = set()
        self._workers, self._clock, self._limit = workers, clock, hang_timeout
        self._leaving: dict[int, float] = {}  # when each job is killed
        self._until = inf  # when all jobs are killed
        self._trial_limit = trial_timeout
        self._earlier: dict[int, float] = {}  # seconds of training in earlier jobs of each job's trial
        self._overdue: dict[int, float] = {}  # when each job that trains has trained for too long
        self._too_long: set[int] = set()  # jobs that were killed for that

    def begin(self, job: int, trained: float) -> None:
        """Watch a job that begins now, and whose trial has trained for so many seconds in earlier jobs."""
        self.heard_of(job)
        self._earlier[job] = trained
        if trained >= self._trial_limit:  # a retry gets no more time
            self._overdue[job] = self._clock()

    def trains(self, message: Reported, rows: Sequence[ReportRow]) -> None:
        """Learn from a message and its new reports how long a job has trained; one that waits does not."""
        if rows and message.waits:
            self._overdue.pop(message.job, None)
        elif rows:
            last = rows[-1]
            self._overdue[message.job] = self._end_of_training(message.job, last.at, last.trained)
        elif message.begun is not None and message.job not in self._overdue:
            self._overdue[message.job] = self._end_of_training(message.job, message.begun, 0.0)

    def goes_on(self, job: int, trained: float) -> None:
        """Take into account that a job that waited for an answer trains on from now."""
        self._overdue[job] = self._end_of_training(job, self._clock(), trained)

    def _end_of_training(self, job: int, at: float, trained: float) -> float:
        return at + self._trial_limit - self._earlier[job] - trained

    def judged(self, ended: JobEnded) -> JobEnded:
        """Return how a job ended; a job that was killed since it trained for too long has an error."""
        if ended.job in self._too_long and ended.kind == "lost":
            reason = f"it trained for more than {self._trial_limit:g} s (trial_timeout)"
            return replace(ended, kind="error", reason=reason)
        return ended

    def heard_of(self, job: int) -> None:
        """Record that a job sent a message now."""
        self.last_heard[job] = self._clock()

    def leave(self, job: int, save: bool, seconds: float) -> None:
        """Order a job to leave; kill it if it has not left after so many seconds."""
        self._leaving[job] = self._clock() + seconds
        self._workers.leave(job, save=save)

    def hurry(self, seconds: float) -> None:
        """Kill all jobs that have not ended after so many seconds, whatever their own limits are."""
        self._until = self._clock() + seconds

    def forget(self, job: int) -> None:
        """Stop watching a job that has ended."""
        for known in (self._leaving, self.last_heard, self._earlier, self._overdue):
            known.pop(job, None)

    def look(self) -> None:
        """Kill jobs that have hung, have trained for too long, or have not left in time."""
        clock, limit = self._clock(), self._limit
        for job, last_heard in list(self.last_heard.items()):
            if clock - last_heard > limit:
                self.last_heard[job] = clock
                self._workers.kill(job, f"nothing was reported for {limit:g} s (hang_timeout)")
            elif clock > self._overdue.get(job, inf) and job not in self._too_long:
                self._too_long.add(job)
                self._workers.kill(job, "trial_timeout")
            elif job not in self.cut and min(self._leaving.get(job, inf), self._until) <= clock:
                self.cut.add(job)
                self._workers.kill(job, "it was told to leave and did not")


PAUSE: Final = 1.0  # seconds after which a postponed job starts where no other runs


class WorkerPool:
    """The workers of a study, which may come and go, and the jobs on them.

    If the last process of a job's trial still runs because it saves, the job is held on its worker until
    that process has ended. The retry of a trial that ran out of memory is postponed until another trial has
    left its worker, so that memory is free again, and its worker takes other jobs; it then starts on another
    host, GPU or worker if one is free.

    Parameters
    ----------
    workers : WorkerBackend
        Runs the jobs.
    writer : RecordWriter
        Writes records of jobs that start and end.
    watchdog : Watchdog
        Informed of jobs that begin and end.
    seed : int
        The study's seed.
    until_return : bool
        Whether jobs train until their function returns, without waiting at milestones.

    Attributes
    ----------
    free : list of int
        The open workers without a job, in order.
    restarts : deque of (RunningJob or None, Job)
        Jobs that start again as soon as a worker is free, each with its last run.
    postponed : deque of (float, RunningJob, Job)
        Retries of trials that ran out of memory, each with the time on the clock and with its last run.
    stranded : set of int
        Jobs on workers that were shut while they ran.
    """

    def __init__(
        self, workers: WorkerBackend, writer: RecordWriter, watchdog: Watchdog, seed: int, until_return: bool
    ) -> None:
        self.free = list(range(workers.count))
        self.restarts: deque[tuple[RunningJob | None, Job]] = deque()
        self.postponed: deque[tuple[float, RunningJob, Job]] = deque()
        self.stranded: set[int] = set()
        self._no_memory: dict[int, int] = {}  # where trials that wait for a retry ran out of memory
        self._released = 0  # how many postponed jobs may start
        self._workers, self._writer, self._watchdog = workers, writer, watchdog
        self._journal_state = writer.journal_state
        self._seed, self._until_return = seed, until_return
        self._open = set(self.free)
        self._held: dict[int, Assignment] = {}  # held jobs, by worker

    # Jobs

    def start(self, worker: int, job: Job, point: list[float] | None) -> None:
        """Start a job on a free worker; `point` is the configuration if the trial is new."""
        if job.trial in self._no_memory:
            self._postpone(worker, job)
        else:
            self._launch(worker, job, point=point)

    def start_again(self) -> None:
        """Start restarts on free workers, each on its earlier worker if possible; then postponed jobs."""
        while self.restarts and self.free:
            before, job = self.restarts.popleft()
            worker = before.worker if before is not None and before.worker in self.free else self.free[0]
            was = -1 if before is None else before.job
            self._launch(worker, job, was=was)
        while self.postponed and self.free and self._may_resume(self.postponed[0][0]):
            _, last, job = self.postponed.popleft()
            self._released = max(0, self._released - 1)
            self._launch(self._elsewhere(self._no_memory.pop(job.trial)), job, was=last.job)

    def ran_out_of_memory(self, run: RunningJob) -> None:
        """Record that a trial ran out of memory, and is going to be tried again."""
        self._no_memory[run.trial] = run.worker

    def _postpone(self, worker: int, job: Job) -> None:
        """Record that a job is the scheduler's answer, without starting it yet."""
        task = self._assign(worker, job)
        run = self._journal_state.runs[task.job]
        self.gone(JobEnded(task.job))
        self.postponed.append((self._writer.clock(), run, job))

    def _may_resume(self, since: float) -> bool:
        """Return whether the first postponed job may start: another trial has left, or none runs."""
        is_quiet = not self._watchdog.last_heard and self._writer.clock() >= since + PAUSE
        return self._released > 0 or is_quiet

    def _elsewhere(self, worker: int) -> int:
        """Return a free worker on another host than this one, or with other GPUs, or another, if possible."""
        machines = self._journal_state.machines
        place = machines.get(worker)

        def shared(other: int) -> tuple[bool, bool, bool, int]:
            there = machines.get(other)
            if place is None or there is None:
                return False, False, other == worker, other
            has_same_host = there.host == place.host
            return has_same_host, has_same_host and there.gpus == place.gpus, other == worker, other

        return min(self.free, key=shared)

    def gone(self, ended: JobEnded) -> None:
        """Write a record that a job's process has ended, and free its worker and trial."""
        begun = None if ended.begun is None else self._writer.since(ended.begun)
        seconds = {name: round(value, STEP) for name, value in ended.seconds.items()}
        run = self._journal_state.runs[ended.job]
        if ended.begun is not None and ended.kind != "oom":
            self._released = min(self._released + 1, len(self.postponed))
        failed_to_leave = ended.kind is None and ended.reason
        if failed_to_leave:
            text = f"trial {run.trial} left with an error, and may have no checkpoint: {ended.reason}"
            warnings.warn(HbsimWarning(text), stacklevel=2)
        record = ProcessEnded(
            time=self._writer.time(),
            job=ended.job,
            begun=begun,
            seconds=seconds,
            note=ended.reason if failed_to_leave else None,
        )
        self._writer.write(record)
        self._watchdog.forget(ended.job)
        self.stranded.discard(ended.job)
        self._held.pop(run.worker, None)
        self._release(run.worker)
        for worker, task in list(self._held.items()):
            if task.trial == run.trial:
                del self._held[worker]
                self._begin(worker, task)

    def withdraw(self) -> None:
        """Take back all held jobs, which have not begun."""
        for task in list(self._held.values()):
            self.gone(JobEnded(task.job))

    def _launch(
        self, worker: int, job: Job, was: int | None = None, point: list[float] | None = None
    ) -> None:
        """Start a job, or with `was` start it again, as soon as no earlier process of its trial runs."""
        task = self._assign(worker, job, was, point)
        runs = self._journal_state.runs.values()
        if any(run.trial == job.trial and run.job != task.job for run in runs):
            self._held[worker] = task
        else:
            self._begin(worker, task)

    def _assign(
        self, worker: int, job: Job, was: int | None = None, point: list[float] | None = None
    ) -> Assignment:
        """Write a record that a free worker gets a job, and return the data that it needs."""
        self.free.remove(worker)
        journal_state = self._journal_state
        number = journal_state.jobs.started
        begun = JobStarted if was is None else JobRestarted
        record = begun(
            time=self._writer.time(),
            worker=worker,
            was=was,
            job=number,
            trial=job.trial,
            bracket=job.bracket,
            start=job.start,
            stop=None if self._until_return else job.stop,
            attempt=job.attempt,
            point=point,
        )
        self._writer.write(record)
        point, seed = journal_state.points[job.trial], trial_seed(self._seed, job.trial)
        stop = NEVER if self._until_return else job.stop
        key = (journal_state.study, journal_state.runs[number].start_time)
        return Assignment(number, job.trial, job.attempt, job.start, stop, point, seed, *key)

    def _begin(self, worker: int, task: Assignment) -> None:
        self._watchdog.begin(task.job, self._journal_state.trained.get(task.trial, 0.0))
        earlier = list(self._journal_state.earlier.get(task.trial, ()))
        best = self._journal_state.best
        value = None if best is None else best.value
        changed = {name: now for name, (_, now) in self._journal_state.changed(task.trial).items()}
        self._workers.start(worker, replace(task, earlier=earlier, best=value, changed=changed))

    # Workers

    def open(self, message: WorkerOpened) -> bool:
        """Handle that a worker takes jobs; return whether it is newly free."""
        worker = message.worker
        record = WorkerJoined(
            time=self._writer.time(),
            worker=worker,
            host=message.host,
            cpus=message.cpus,
            gpus=message.gpus,
        )
        known = self._journal_state.machines.get(worker)
        if known is not None and replace(known, time=record.time) == record:
            return False
        self._writer.write(record)
        if worker in self._open:
            return False
        self._open.add(worker)
        busy = worker in self._journal_state.workers
        if not busy:
            self._release(worker)
        return not busy

    def shut(self, message: WorkerClosed) -> None:
        """Handle that a worker takes no more jobs. The end of its running job is a message of its own."""
        worker = message.worker
        if worker not in self._open:
            return
        self._writer.write(WorkerLeft(time=self._writer.time(), worker=worker, reason=message.reason))
        self._open.remove(worker)
        if worker in self.free:
            self.free.remove(worker)
        elif worker in self._held:
            self._take_back(self._held[worker])
        else:
            self.stranded.add(self._journal_state.workers[worker].job)

    def _take_back(self, task: Assignment) -> None:
        """Queue a held job to start on another worker, unchanged, as it has not failed."""
        run = self._journal_state.runs[task.job]
        self.gone(JobEnded(task.job))
        self.restarts.append((run, Job(task.trial, run.bracket, task.start, task.stop, task.attempt)))

    def _release(self, worker: int) -> None:
        if worker in self._open:
            self.free.append(worker)
            self.free.sort()
