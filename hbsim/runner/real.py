"""The executor of real studies: every event is in the journal before the study acts on it."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf, nan
from typing import Final

from hbsim.core.levels import Levels
from hbsim.core.types import COMPLETE, CONTINUE, PAUSE, RETRY, VERDICTS, Job
from hbsim.errors import HbsimWarning
from hbsim.runner.journal_state import JournalState, RunningJob, value_of
from hbsim.runner.loop import END, FAILURE, FREE, MILESTONE, NOTHING, Event
from hbsim.runner.records import (
    EndReason,
    JobFailed,
    JobReturned,
    LateReports,
    MilestoneReached,
    MissingReports,
    NothingToRun,
    ReportsReceived,
    StudyClosed,
    StudyResumed,
    ValuesChanged,
)
from hbsim.runner.worker_pool import Watchdog, WorkerPool
from hbsim.runner.workers import JobEnded, Message, Reported, ReportRow, WorkerBackend, WorkerOpened
from hbsim.runner.writer import Observer, RecordSink, RecordWriter

MAX_FAILURES_WITHOUT_REPORT: Final = 10  # failures in a row without a report


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a study in seconds: when it ends, and how long a trial may be silent and may train.

    Attributes
    ----------
    max_time : float
        Study seconds after which the study ends.
    max_reward : float or None
        The study ends at a report at least as good as this.
    hang_timeout : float
        A trial that sends no message for so long has hung, and is killed.
    grace : float
        A trial that was ordered to end at a milestone is killed if it has not ended after so long.
    trial_timeout : float
        A trial that trains for so long in all its jobs together fails.
    """

    max_time: float = inf
    max_reward: float | None = None
    hang_timeout: float = inf
    grace: float = 5.0
    trial_timeout: float = inf


class StopConditions:
    """The conditions that end a study before its scheduler is done.

    Attributes
    ----------
    interrupted : bool
        The study was interrupted.
    enough : bool
        A report was as good as `max_reward`.
    failing : bool
        Too many trials in a row failed without a report, as on a broken GPU, which would use up all trials.
    """

    def __init__(self, limits: Limits, mode: str, journal_state: JournalState) -> None:
        self.interrupted = self.enough = self.failing = False
        self._limits, self._journal_state = limits, journal_state
        self._sign = 1.0 if mode == "max" else -1.0
        self._barren = 0  # failures in a row
        self._reports = journal_state.reports  # how many reports there were before them
        self._known = 0  # the number of the next job when a loss last counted
        if journal_state.best is not None:
            self._look_at(journal_state.best.value)

    @property
    def closing(self) -> bool:
        """Whether the study is ending: running jobs have been ordered to leave."""
        return self._journal_state.closing

    def over(self, time: float) -> bool:
        """Return whether the study is over at `time`, in study seconds."""
        return self.interrupted or self.enough or self.failing or time >= self._limits.max_time

    def why(self, done: bool) -> EndReason:
        """Return why the study is over; `done` is whether its scheduler is done."""
        if done:
            return EndReason.DONE
        if self.interrupted:
            return EndReason.INTERRUPTED
        if self.failing:
            return EndReason.FAILURES
        return EndReason.MAX_REWARD if self.enough else EndReason.MAX_TIME

    def reported(self, rows: Sequence[ReportRow]) -> None:
        """Check reports against `max_reward`."""
        if self._limits.max_reward is not None:
            for row in rows:
                self._look_at(value_of(row.metrics, self._journal_state.metric))

    def failed(self, reason: str, lost: int | None = None) -> None:
        """Count a failure; warn and end the study after too many in a row.

        `lost` is the job's number if it was lost with its host. Jobs that are lost together count once: the
        loss of a large host says no more about the training function than that of one trial.
        """
        if self._reports != self._journal_state.reports:
            self._barren, self._reports = 0, self._journal_state.reports
        if lost is not None:
            if lost < self._known:
                return
            self._known = self._journal_state.jobs.started
        self._barren += 1
        if self._barren == MAX_FAILURES_WITHOUT_REPORT:
            self.failing = True
            count = MAX_FAILURES_WITHOUT_REPORT
            text = f"{count} failures in a row and no report between: the study ends here; "
            warnings.warn(HbsimWarning(f"{text}the last: {reason}"), stacklevel=2)

    def _look_at(self, value: float) -> None:
        target = self._limits.max_reward
        if target is not None and self._sign * target <= self._sign * value < inf:
            self.enough = True


NO_RUN = RunningJob()


@dataclass(slots=True)
class PendingEvent:
    """An event that the loop has not received yet."""

    event: Event
    run: RunningJob
    at: int = -1
    rows: Sequence[ReportRow] = ()
    ended: JobEnded | None = None


class MessageHandler:
    """Turns messages of workers into records and events of the loop.

    Parameters
    ----------
    writer : RecordWriter
        Writes reports to the journal.
    pool : WorkerPool
        Informed of workers, and of jobs whose process ended after their decision.
    watchdog : Watchdog
        Watches the running jobs.
    ends : StopConditions
        Informed of reports; knows whether the study ends.
    geometry : Levels
        The scheduler's.
    until_return : bool
        Whether a trial is complete when its function returns.

    Attributes
    ----------
    due : deque of PendingEvent
        Events that the loop has not received yet.
    """

    def __init__(
        self,
        writer: RecordWriter,
        pool: WorkerPool,
        watchdog: Watchdog,
        ends: StopConditions,
        geometry: Levels,
        until_return: bool,
    ) -> None:
        self.due: deque[PendingEvent] = deque()
        self._writer, self._pool, self._watchdog, self._ends = writer, pool, watchdog, ends
        self._journal_state = writer.journal_state
        self._index = {level: at for at, level in enumerate(geometry.levels)}
        self._last = len(geometry.levels) - 1
        self._until_return = until_return

    def handle(self, message: Message) -> None:
        """Process a message."""
        if isinstance(message, Reported):
            self._reported(message)
        elif isinstance(message, JobEnded):
            self._ended(message)
        elif isinstance(message, WorkerOpened):
            if self._pool.open(message):
                self.due.append(PendingEvent(FREE, NO_RUN))
        else:
            self._pool.shut(message)

    def _reported(self, message: Reported) -> None:
        run = self._run_of(message)
        if run is None:
            return
        rows = self._new(run, message)
        self._watchdog.trains(message, rows)
        if not rows or run.ended is not None:
            return
        if message.changed:
            values = {name: (given, now) for name, (given, now) in message.changed.items()}
            self._writer.write(
                ValuesChanged(time=self._writer.time(), job=run.job, resource=rows[0].resource, values=values)
            )
        if message.waits:
            self.due.append(PendingEvent(MILESTONE, run, self._index[run.stop], rows))
        else:
            self._note(run, rows)

    def _ended(self, message: JobEnded) -> None:
        run = self._run_of(message)
        if run is None:
            return
        rows = self._new(run, message)
        if rows and run.ended is None:
            self._note(run, rows)
        self._end(run, self._watchdog.judged(message))

    def _run_of(self, message: Reported | JobEnded) -> RunningJob | None:
        """Return the run that a message is about; None if it is over."""
        job = message.job
        if job not in self._watchdog.last_heard:
            self._drop(job, len(message.rows))
            return None
        self._watchdog.heard_of(job)
        return self._journal_state.runs[job]

    def _note(self, run: RunningJob, rows: Sequence[ReportRow]) -> None:
        writer = self._writer
        writer.write(ReportsReceived(time=writer.time(), job=run.job, rows=writer.packed(rows)))
        self._ends.reported(rows)

    def _new(self, run: RunningJob, message: Reported | JobEnded) -> Sequence[ReportRow]:
        """Return the new reports of a message; write records of late and missing reports."""
        if run.ended is not None or self._is_due(run):  # no job trains on before the answer
            late = len(message.rows)
        else:
            late = min(len(message.rows), max(0, run.heard - message.first))
            if message.first > run.heard:
                missing = message.first - run.heard
                self._writer.write(MissingReports(time=self._writer.time(), job=run.job, count=missing))
        self._drop(run.job, late)
        return message.rows[late:]

    def _is_due(self, run: RunningJob) -> bool:
        return any(due.run is run for due in self.due)

    def _drop(self, job: int, count: int) -> None:
        if count:
            self._writer.write(LateReports(time=self._writer.time(), job=job, count=count))

    def _end(self, run: RunningJob, ended: JobEnded) -> None:
        """Queue the event of a job's end, unless it was decided before, or left because the study ends."""
        del self._watchdog.last_heard[run.job]
        pending = self._is_due(run)
        left = self._left(run, ended)
        closing = self._ends.closing or self._ends.interrupted
        if run.ended is not None or (left and closing and not pending):
            self._pool.gone(ended)
            self.due.append(PendingEvent(FREE, run))
        elif left and closing:
            self.due.append(PendingEvent(FREE, run, ended=ended))  # after events that still need a decision
        else:
            self.due.append(self._fate(run, ended, left, pending))

    def _left(self, run: RunningJob, ended: JobEnded) -> bool:
        """Return whether the job left by an order or a signal, and did not fail by itself."""
        # A signal to all processes of a study may end trials before they are ordered to leave.
        signalled = self._ends.interrupted and ended.kind == "lost"
        return run.job in self._watchdog.cut or (ended.left and ended.kind is None) or signalled

    def _fate(self, run: RunningJob, ended: JobEnded, left: bool, pending: bool) -> PendingEvent:
        # A function that goes on from its last checkpoint may have nothing left to do.
        reported = run.heard or pending or self._journal_state.reached.get(run.trial, 0.0)
        if ended.kind is not None:
            return PendingEvent(FAILURE, run, ended=ended)
        if left:
            lost = replace(ended, kind="lost", reason="something else ended it by SIGTERM")
            return PendingEvent(FAILURE, run, ended=lost)
        if not reported:
            failed = replace(ended, kind="error", reason="the function returned without a report")
            return PendingEvent(FAILURE, run, ended=failed)
        if self._until_return:
            return PendingEvent(MILESTONE, run, self._last, ended=ended)
        return PendingEvent(END, run, ended=ended)


TICK: Final = 0.25  # seconds between two checks of the clock
EXTRA: Final = 0.75  # seconds that ending takes beside the graces


class RealExecutor:
    """The `Executor` of the runner's loop on real workers.

    Parameters
    ----------
    workers : WorkerBackend
        Who runs the jobs.
    journal : RecordSink
        Gets every record before the study acts on it.
    journal_state : JournalState
        The state of a new study, or of one that goes on.
    geometry : Levels
        The scheduler's.
    suggest : callable
        Returns the configuration of the next trial.
    done : callable
        Returns whether the scheduler is done: then the study does not wait for workers.
    seed : int
        Of the study.
    mode : "max" or "min"
        What is better.
    clock : callable
        Seconds; the one that `ReportRow.at` is read from.
    limits : Limits
        When it ends.
    until_return : bool
        Whether a trial is complete when its function returns, at any resource: it waits at no milestones.
    observers : sequence of Observer
        Informed of every record.
    save_completed : bool
        Whether a trial that reaches R makes a checkpoint, as one that pauses does.
    """

    def __init__(
        self,
        workers: WorkerBackend,
        journal: RecordSink,
        journal_state: JournalState,
        geometry: Levels,
        suggest: Callable[[], list[float]],
        done: Callable[[], bool],
        seed: int,
        mode: str,
        clock: Callable[[], float],
        limits: Limits,
        until_return: bool = False,
        observers: Sequence[Observer] = (),
        save_completed: bool = False,
    ) -> None:
        self.now, self.trial, self.at, self.value, self.kind = journal_state.now, -1, 0, 0.0, "error"
        self.journal_state = journal_state
        self.ends = StopConditions(limits, mode, journal_state)
        self._workers, self._clock, self._limits = workers, clock, limits
        self._suggest, self._done = suggest, done
        self._save_completed = save_completed
        self._writer = RecordWriter(journal, journal_state, observers, clock)
        self._watchdog = Watchdog(workers, clock, limits.hang_timeout, limits.trial_timeout)
        self._pool = WorkerPool(workers, self._writer, self._watchdog, seed, until_return)
        self._handler = MessageHandler(
            self._writer, self._pool, self._watchdog, self.ends, geometry, until_return
        )
        self._due = self._handler.due
        self._now = PendingEvent(NOTHING, NO_RUN)
        self._levels = geometry.levels
        self._warned = False
        self._hurried = False
        self._cut_at = inf
        self._ticked = -inf

    # Methods that the loop calls

    def idle(self) -> int:
        """Return the lowest idle worker, or -1 if none is idle or an event comes first."""
        if self._due or self._over():
            return -1
        pool = self._pool
        pool.start_again()
        return pool.free[0] if pool.free else -1

    def no_job(self, worker: int) -> None:
        """Write a record that the scheduler had no job."""
        self._writer.write(NothingToRun(time=self._writer.time(), worker=worker))

    def start(self, worker: int, job: Job) -> None:
        """Start a job; it waits for the trial's last process if that still saves."""
        new = job.trial == len(self.journal_state.points)
        self._pool.start(worker, job, self._suggest() if new else None)

    def wait(self) -> Event:
        """Wait for the next event; NOTHING once no job is running and none can start."""
        while True:
            while not self._due:
                if not self.ends.closing:
                    if self._over():
                        self._close()
                    else:
                        self._pool.start_again()
                if not (self._watchdog.last_heard or self._waits_for_workers()):
                    return NOTHING
                self._listen()
            due = self._now = self._due.popleft()
            run = due.run
            if due.event is FREE and due.ended is None:
                return FREE
            if due.ended is not None and (run.ended is not None or due.event is FREE):
                self._pool.gone(due.ended)  # the decision came before the message of the end
                return FREE
            self.trial, self.at = run.trial, due.at
            if due.event is MILESTONE:
                self.value = self._value(due)
            elif due.event is FAILURE and due.ended is not None:
                self.kind = str(due.ended.kind)
            self.now = self._writer.time()
            return due.event

    def answer(self, code: int) -> None:
        """Write a record of the decision, then carry it out."""
        due = self._now
        if due.event is MILESTONE:
            self._decided(due, code)
            return
        job, ended = due.run.job, due.ended
        assert ended is not None
        if due.event is FAILURE:
            assert ended.kind is not None
            self._writer.write(
                JobFailed(
                    time=self._writer.time(),
                    job=job,
                    resource=due.run.resource,
                    kind=ended.kind,
                    reason=ended.reason,
                    verdict=VERDICTS[code],
                )
            )
            if ended.kind == "oom" and code == RETRY:
                self._pool.ran_out_of_memory(due.run)
            with_host = ended.kind == "lost" and job in self._pool.stranded
            self.ends.failed(ended.reason, job if with_host else None)
        else:
            self._writer.write(JobReturned(time=self._writer.time(), job=job))
        self._pool.gone(ended)

    # Methods for the caller of the loop

    def interrupt(self, hurried: bool = False) -> None:
        """End the study at the next event; may be called by a signal handler.

        Parameters
        ----------
        hurried : bool
            Whether jobs that have not left after the grace are killed; else there is no time limit.
        """
        self.ends.interrupted = True
        self._hurried = self._hurried or hurried
        self._workers.wake()

    def resume(self, jobs: Sequence[Job], trials: int | None = None) -> None:
        """Restart the jobs that ran when the study's last process ended.

        Parameters
        ----------
        jobs : sequence of Job
            The scheduler's `running_jobs()`.
        trials : int, optional
            How many trials there are in all from now on, if the study was extended.
        """
        runs = {run.trial: run for run in self.journal_state.runs.values() if run.ended is None}
        self._writer.write(StudyResumed(time=self._writer.time(), trials=trials))
        self._pool.restarts.extend((runs.get(job.trial), job) for job in jobs)

    def finish(self, done: bool) -> None:
        """Write a record of why the study, or this session, is over; `done` is the scheduler's."""
        self._writer.write(StudyClosed(time=self._writer.time(), why=self.ends.why(done)))

    # Internals

    def _over(self) -> bool:
        return self.ends.over(self._writer.time())

    def _waits_for_workers(self) -> bool:
        """Return whether there is work but no worker yet, or only postponed work, and no job is running."""
        pool = self._pool
        if self.ends.closing:
            return False
        return bool(pool.postponed) or (not pool.free and (bool(pool.restarts) or not self._done()))

    def _close(self) -> None:
        """Order all jobs to leave at their next report; no job starts, but events are still decided."""
        self.journal_state.closing = True
        self._pool.withdraw()
        grace = inf if self.ends.interrupted else self._limits.grace
        for run in list(self.journal_state.runs.values()):
            if run.ended is None and run.job in self._watchdog.last_heard:
                self._watchdog.leave(run.job, True, grace)

    def _value(self, due: PendingEvent) -> float:
        if due.rows:
            return value_of(due.rows[-1].metrics, self.journal_state.metric)
        return due.run.value if due.run.rows else self.journal_state.values.get(due.run.trial, nan)

    def _decided(self, due: PendingEvent, code: int) -> None:
        run, writer = due.run, self._writer
        writer.write(
            MilestoneReached(
                time=self.now,
                job=run.job,
                rows=writer.packed(due.rows),
                at=due.at,
                value=self.value if self.value == self.value else None,
                verdict=VERDICTS[code],
            )
        )
        if due.rows and run.resource >= self._above(due.at):
            self._warn_skipped(run)
        self.ends.reported(due.rows)
        if due.ended is not None:  # the function had returned
            self._pool.gone(due.ended)
        elif code != CONTINUE:
            save = code == PAUSE or (code == COMPLETE and self._save_completed)
            self._watchdog.leave(run.job, save, inf if save else self._limits.grace)
        elif run.resource >= run.stop:
            self._due.appendleft(PendingEvent(MILESTONE, run, due.at + 1))
        elif self.ends.closing:
            self._workers.leave(run.job, save=True)
        else:
            self._watchdog.goes_on(run.job, run.trained)
            self._workers.go_on(run.job, run.stop)

    def _above(self, at: int) -> float:
        """Return the level above the one with this index."""
        return self._levels[at + 1] if at + 1 < len(self._levels) else inf

    def _warn_skipped(self, run: RunningJob) -> None:
        if not self._warned:
            self._warned = True
            text = f"trial {run.trial} reported at {run.resource:g}, past several milestones; it counts at "
            text += "each in order, as far as the trial goes on"
            if run.rows == 1 and not run.stood:
                text += ". This was its first report: a resource that counts down has to count up"
            warnings.warn(HbsimWarning(text), stacklevel=2)

    def _timeout(self) -> float:
        if self.ends.closing:
            return TICK
        return max(0.0, min(TICK, self._limits.max_time - self._writer.time()))

    def _listen(self) -> None:
        """Process messages until the next check of the clock."""
        for message in self._workers.wait(self._timeout()):
            self._handler.handle(message)
        clock = self._clock()
        if self._hurried and self._cut_at == inf:
            self._watchdog.hurry(self._limits.grace)
            self._cut_at = clock + 2 * self._limits.grace + EXTRA  # for SIGTERM, and for SIGKILL
        if clock >= self._cut_at:
            self._cut_at = clock + EXTRA
            self._workers.cut("it did not end in time")
        if clock >= self._ticked + TICK:
            self._ticked = clock
            self._watchdog.look()
            self._writer.tick()
