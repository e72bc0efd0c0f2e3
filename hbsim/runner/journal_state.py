"""The state of a real study, computed from its journal's records, both live and on resume."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, nan
from typing import Any

from hbsim.core.types import COMPLETE, LOSSES, VERDICTS, Verdict
from hbsim.runner.records import (
    EndReason,
    JobBegun,
    JobFailed,
    JobReturned,
    LateReports,
    MilestoneReached,
    MissingReports,
    ProcessEnded,
    Record,
    ReportBatch,
    ReportsReceived,
    Row,
    SessionEnded,
    StudyClosed,
    StudyResumed,
    ValuesChanged,
    WorkerJoined,
    WorkerLeft,
)
from hbsim.runner.reports import IncumbentHistory, ReportColumns
from hbsim.runner.tables import CENSORED, FAILED, JobRow, JobTable


class WorkerSeconds:
    """Adds up worker seconds, session by session.

    In a session with hosts that come and go, a worker counts while it is open, and after that while it has a
    job: a lost job occupies its worker until the loss is known. In a session on this machine alone all
    workers count from its beginning to its end; the journal does not say how many there are, so those up to
    the highest one that had a job count. The time after the last job does not count.

    Attributes
    ----------
    most : int
        The largest number of workers at the same time.
    """

    def __init__(self) -> None:
        self.most = 0
        self._hosts = False  # whether any session had hosts
        self._sum = 0.0  # of earlier sessions, and of hosts in this one
        self._began = self._until = 0.0  # the begin and the end so far of this session
        self._since = 0.0  # when the set of workers changed last
        self._local = 0  # how many workers of this machine the session has; 0 as soon as it has hosts
        self._open: set[int] = set()
        self._there: set[int] = set()  # workers that count now; only in a session with hosts
        self._moved = False  # whether this session has hosts

    @property
    def total(self) -> float | None:
        """The worker seconds until now; None if all sessions were on this machine alone."""
        there = self._local * (self._until - self._began) + len(self._there) * (self._until - self._since)
        return self._sum + there if self._hosts else None

    def pass_to(self, now: float) -> None:
        """Advance the time of the session."""
        self._until = now

    def open(self, worker: int) -> None:
        """Count a worker that a host opens."""
        self._hosts = self._moved = True
        self._local = 0
        self._open.add(worker)
        self._come(worker)

    def shut(self, worker: int, busy: bool) -> None:
        """Handle that a host's worker is shut; `busy` if it still has a job."""
        self._open.discard(worker)
        if not busy:
            self._go(worker)

    def begin(self, worker: int) -> None:
        """Handle that a worker gets a job."""
        if self._moved:
            self._come(worker)
        else:
            self._local = max(self._local, worker + 1)
            self.most = max(self.most, self._local)

    def end(self, worker: int) -> None:
        """Handle that a worker's job is over."""
        if worker not in self._open:
            self._go(worker)

    def resume(self, now: float) -> None:
        """End the session, and begin another one."""
        self._sum += self._local * (self._until - self._began)
        self._add_up()
        self._began = self._until = self._since = now
        self._local, self._moved = 0, False
        self._open.clear()
        self._there.clear()

    def _add_up(self) -> None:
        self._sum += len(self._there) * (self._until - self._since)
        self._since = self._until

    def _go(self, worker: int) -> None:
        self._add_up()
        self._there.discard(worker)

    def _come(self, worker: int) -> None:
        self._add_up()
        self._there.add(worker)
        self.most = max(self.most, len(self._there))


class RunningJob(JobRow):
    """A job on a worker.

    Attributes
    ----------
    bracket : int
        The trial's.
    stop : float
        Its next milestone.
    resource : float
        The last resource reported; before the first report, where the job started.
    best : float
        The best value reported that is a finite number; NaN before.
    rows : int
        How many reports were received.
    heard : int
        The number of the job's next report; larger than `rows` if some were never received.
    ended : int or None
        The index of the verdict that ended it, or FAILED or CENSORED; None while it trains.
    lost : bool
        Whether it was lost with its host.
    """

    __slots__ = ("best", "bracket", "ended", "heard", "lost", "resource", "rows", "stop")

    bracket: int
    stop: float
    resource: float
    best: float
    rows: int
    heard: int
    ended: int | None
    lost: bool


@dataclass(frozen=True, slots=True)
class Incumbent:
    """The best value reported so far, with its trial and resource."""

    time: float
    trial: int
    resource: float
    value: float


class JournalState:
    """The state of a study after its records so far; `apply` adds a record.

    Parameters
    ----------
    levels : sequence of float
        The scheduler's.
    mode : "max" or "min"
        What is better.
    metric : str or None
        The metric that decides, if there is one.
    study : str
        The study's id.

    Attributes
    ----------
    now : float
        The study seconds of the last record.
    jobs : JobTable
        A row for each run that is over.
    runs : dict of int to RunningJob
        The jobs on workers by number, including those that are about to leave.
    workers : dict of int to RunningJob
        The jobs on workers, by worker.
    machines : dict of int to WorkerJoined
        The record with which each open worker joined. Empty if all workers are this machine's.
    points : list of list of float
        The configuration of each trial.
    best : Incumbent or None
        The incumbent so far.
    reached : dict of int to float
        The highest resource that each trial has reported in jobs that are over.
    earlier : dict of int to list of (int, float, int)
        The jobs of each trial that are over: number, start, and how many reports each had.
    trained : dict of int to float
        The seconds that each trial has trained in jobs that are over: up to the last report of a job, or to
        its end if the trial itself has failed.
    values, bests, highest : dict of int to float
        The last value that each trial has reported in jobs that are over, the best that is a finite number,
        and the highest resource.
    improvements : IncumbentHistory
        The incumbents, by the time of reports.
    reports, late, lost_rows : int
        How many reports there were; how many were dropped as too late; how many were missing when later
        ones came.
    gone : int
        The trial of the last job that left its worker.
    returned : dict of int to float
        The trials whose function returned below R, and the last resource of each.
    changes : dict of int to list of (float, dict)
        The hyperparameters and constants that each trial has reported with other values than it was given,
        and later changes: from which resource on, and the given and the present value of each.
    failures : list of (trial, kind, reason)
        The failures in order.
    why : EndReason or None
        Why the study is over. None while it runs.
    closing : bool
        Whether the study is ending and starts no more jobs. No record has this; the study's process sets it.
    """

    def __init__(self, levels: Sequence[float], mode: str, metric: str | None, study: str = "") -> None:
        self.metric = metric
        self.study = study
        self.now = 0.0
        self.jobs = JobTable()
        self.runs: dict[int, RunningJob] = {}
        self.workers: dict[int, RunningJob] = {}
        self.points: list[list[float]] = []
        self.best: Incumbent | None = None
        self.reached: dict[int, float] = {}
        self.trained: dict[int, float] = {}
        self.values: dict[int, float] = {}
        self.earlier: dict[int, list[tuple[int, float, int]]] = {}
        self.bests: dict[int, float] = {}
        self.highest: dict[int, float] = {}
        self.reports = 0
        self.machines: dict[int, WorkerJoined] = {}
        self.late = 0
        self.lost_rows = 0
        self.gone = -1
        self.returned: dict[int, float] = {}
        self.changes: dict[int, list[tuple[float, dict[str, tuple[Any, Any]]]]] = {}
        self.failures: list[tuple[int, str, str]] = []
        self.why: EndReason | None = None
        self.closing = False
        self._levels = tuple(levels)
        self._sign = 1.0 if mode == "max" else -1.0
        self.improvements = IncumbentHistory(self._sign)
        self._capacity = WorkerSeconds()

    @property
    def workers_seen(self) -> int:
        """The largest number of workers at once, over all sessions; of this machine, those that had jobs."""
        return self._capacity.most

    @property
    def capacity(self) -> float | None:
        """The worker seconds so far; None if all workers ever were this machine's."""
        return self._capacity.total

    def milestone(self, run: RunningJob) -> int:
        """Return the index of a run's next milestone in the levels; the last index if it waits at none."""
        return min(bisect_left(self._levels, run.stop), len(self._levels) - 1)

    def changed(self, trial: int, resource: float = inf) -> dict[str, tuple[Any, Any]]:
        """Return the given and the present value of what a trial had changed at a resource."""
        found: dict[str, tuple[Any, Any]] = {}
        for since, values in self.changes.get(trial, ()):
            if since <= resource:
                found |= {name: (given, now) for name, (given, now) in values.items()}
        return {name: (given, now) for name, (given, now) in found.items() if given != now}

    def apply(self, record: Record) -> None:  # noqa: C901 - a case for each kind of record
        """Update the state by a record."""
        self.now = record.time
        if not isinstance(record, SessionEnded):  # time between sessions does not count
            self._capacity.pass_to(self.now)
        match record:
            case ReportsReceived():
                self._take(self.runs[record.job], record.rows)
            case MilestoneReached():
                self._reach(record)
            case JobBegun():
                self._begin(record)
            case ProcessEnded():
                self._gone(record)
            case ReportBatch():
                self._take_columns([self.runs[job] for job in record.jobs], record.reports)
            case ValuesChanged():
                change = (record.resource, record.values)
                self.changes.setdefault(self.runs[record.job].trial, []).append(change)
            case JobFailed():
                run = self.runs[record.job]
                run.ended, run.lost = FAILED, record.kind in LOSSES
                self.failures.append((run.trial, record.kind, record.reason))
            case JobReturned():
                run = self.runs[record.job]
                run.ended = COMPLETE
                self.returned[run.trial] = run.milestone = self._came_to(run)
            case LateReports():
                self.late += record.count
            case MissingReports():
                self.runs[record.job].heard += record.count
                self.lost_rows += record.count
            case WorkerJoined():
                self.machines[record.worker] = record
                self._capacity.open(record.worker)
            case WorkerLeft():
                self.machines.pop(record.worker, None)
                self._capacity.shut(record.worker, record.worker in self.workers)
            case StudyResumed():
                self._resume()
            case StudyClosed():
                self.why = record.why

    def _resume(self) -> None:
        """Begin a session in a new process: running jobs are over, and `JobRestarted` starts them again."""
        for run in self.runs.values():
            self._end(run, CENSORED if run.ended is None else run.ended)
        self.runs.clear()
        self.workers.clear()
        self.machines.clear()
        self._capacity.resume(self.now)
        self.why = None

    def _begin(self, record: JobBegun) -> None:
        if record.point is not None:
            self.points.append(record.point)
        run = RunningJob()
        run.job, run.worker, run.trial = record.job, record.worker, record.trial
        run.bracket, run.attempt = record.bracket, record.attempt
        self._capacity.begin(run.worker)
        run.stood = run.milestone = run.start_resource = run.resource = record.start
        run.stop = inf if record.stop is None else record.stop
        run.start_time = self.now
        run.train_start = inf
        run.trained, run.value, run.best = 0.0, nan, nan
        run.rows = run.heard = 0
        run.ended, run.lost = None, False
        self.jobs.started = max(self.jobs.started, run.job + 1)
        self.runs[run.job] = self.workers[run.worker] = run
        self.why = None

    def _take(self, run: RunningJob, rows: Sequence[Row]) -> None:
        for at, trained, resource, metrics in rows:
            self._report(run, at, trained, resource, value_of(metrics, self.metric))

    def _report(self, run: RunningJob, at: float, trained: float, resource: float, value: float) -> None:
        self._count_reports(run, 1, at - trained, resource)
        run.trained, run.resource, run.value = trained, resource, value
        if not isfinite(value):
            return
        signed = self._sign * value
        if not signed <= self._sign * run.best:
            run.best = value
        if self.best is None or signed > self._sign * self.best.value:
            self.best = Incumbent(at, run.trial, resource, value)
        self.improvements.add(at, run.trial, resource, value)

    def _take_columns(self, runs: Sequence[RunningJob], reports: ReportColumns) -> None:
        """Add the reports of several records, whose jobs are `runs`."""
        import numpy as np

        at, resource, value = reports.at, reports.resource, reports.values(self.metric)
        signed = np.where(np.isfinite(value), self._sign * value, -inf)
        jobs, trials = np.repeat([[run.job, run.trial] for run in runs], reports.counts, axis=0).T
        order = np.argsort(jobs, kind="stable")
        for mine in np.split(order, np.flatnonzero(np.diff(jobs[order])) + 1):
            first, last = mine[0], mine[-1]
            run = self.runs[int(jobs[first])]
            self._count_reports(
                run, len(mine), float(at[first] - reports.trained[first]), float(resource[first])
            )
            run.trained, run.resource = float(reports.trained[last]), float(resource[last])
            run.value = float(value[last])
            best = mine[np.argmax(signed[mine])]
            if not signed[best] <= self._sign * run.best and signed[best] > -inf:
                run.best = float(value[best])
        top = int(np.argmax(signed))
        if signed[top] > (-inf if self.best is None else self._sign * self.best.value):
            self.best = Incumbent(float(at[top]), int(trials[top]), float(resource[top]), float(value[top]))
        self.improvements.add_all(at, trials, resource, value)

    def _count_reports(self, run: RunningJob, count: int, train_start: float, resource: float) -> None:
        """Count reports of a job; at its first, set where and when its training began."""
        if not run.rows:
            run.train_start = train_start
            run.start_resource = self._started_at(run, resource)
        run.rows += count
        run.heard += count
        self.reports += count

    def _started_at(self, run: RunningJob, first: float) -> float:
        """Return where a job's training begins, by its first report: a checkpoint, its milestone, or 0."""
        known = self.reached.get(run.trial, 0.0)
        if first > known:
            return max(known, run.stood)
        return run.stood if first > run.stood else 0.0

    def _reach(self, record: MilestoneReached) -> None:
        run = self.runs[record.job]
        self._take(run, record.rows)
        run.milestone = self._levels[record.at] if run.stop < inf else self._came_to(run)
        if record.verdict is Verdict.CONTINUE:
            run.stop = self._levels[record.at + 1]
        else:
            run.ended = VERDICTS.index(record.verdict)

    def _came_to(self, run: RunningJob) -> float:
        """Return the resource at which a trial's training function returned, maybe in an earlier job."""
        return run.resource if run.rows else self.reached.get(run.trial, 0.0)

    def _gone(self, record: ProcessEnded) -> None:
        run = self.runs.pop(record.job)
        if self.workers.get(run.worker) is run:
            del self.workers[run.worker]
            self._capacity.end(run.worker)
        self.gone = run.trial
        if record.begun is not None:
            run.train_start = record.begun
            if run.ended == FAILED and not run.lost:
                beside = sum(record.seconds.get(name, 0.0) for name in ("load", "save", "wait"))
                rest = record.time - record.begun - beside - run.trained
                self.trained[run.trial] = self.trained.get(run.trial, 0.0) + max(0.0, rest)
        self._end(run, CENSORED if run.ended is None else run.ended)

    def _end(self, run: RunningJob, verdict: int) -> None:
        self.trained[run.trial] = self.trained.get(run.trial, 0.0) + run.trained
        self.reached[run.trial] = max(run.resource, self.reached.get(run.trial, 0.0))
        if run.rows:
            self._put_down(run, self.values, self.bests, self.highest)
        self.earlier.setdefault(run.trial, []).append((run.job, run.start_time, run.heard))
        reached = max(run.resource, run.start_resource) if run.rows else run.start_resource
        self.jobs.end(run, reached, self.now, verdict)

    def _put_down(
        self, run: RunningJob, values: dict[int, float], bests: dict[int, float], highest: dict[int, float]
    ) -> None:
        """Add the reports of a job to those of its trial."""
        values[run.trial] = run.value
        highest[run.trial] = max(run.resource, highest.get(run.trial, run.resource))
        best = bests.get(run.trial, nan)
        if best != best or self._sign * run.best > self._sign * best:
            bests[run.trial] = run.best

    def reported(self) -> tuple[dict[int, float], dict[int, float], dict[int, float]]:
        """Return `values`, `bests` and `highest` with the jobs that are not over."""
        found = dict(self.values), dict(self.bests), dict(self.highest)
        for run in self.runs.values():
            if run.rows:
                self._put_down(run, *found)
        return found


def value_of(metrics: Mapping[str, float | None], name: str | None) -> float:
    """Return the value of a metric; NaN if it is not a number, or if no metric decides."""
    value = None if name is None else metrics.get(name)
    return nan if value is None else value
