"""Where a real study stands: what its journal's records add up to, live and when it is read again."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, nan
from typing import Any, Final

from hbsim.core.types import VERDICTS
from hbsim.runner.capacity import Capacity
from hbsim.runner.columns import CENSORED, FAILED
from hbsim.runner.jobs import JobRow, Jobs
from hbsim.runner.records import Record
from hbsim.runner.reports import Improvements, Reports

__all__ = ["CODES", "Best", "Ledger", "Stay", "value_of"]

CODES: Final = {verdict.value: code for code, verdict in enumerate(VERDICTS)}

EARLIER_WORDS: Final = {"time_out": "max_time"}  # journals of 0.1 have for why they ended
BOUNDS: Final = ("close", "resume")  # of a session


class Stay(JobRow):
    """A job on a worker.

    Attributes
    ----------
    bracket : int
        The trial's.
    stop : float
        Its next milestone.
    resource : float
        The last resource reported; where it started before.
    best : float
        The best value reported that is a finite number; NaN before.
    rows : int
        How many reports have come.
    heard : int
        The number of the next report of the job; above `rows` where some never came.
    ended : int or None
        The index of the verdict that ended it, or FAILED or CENSORED; None while it trains.
    """

    __slots__ = ("best", "bracket", "ended", "heard", "resource", "rows", "stop")

    bracket: int
    stop: float
    resource: float
    best: float
    rows: int
    heard: int
    ended: int | None


@dataclass(frozen=True, slots=True)
class Best:
    """The incumbent: the best value reported so far, and where it was."""

    time: float
    trial: int
    resource: float
    value: float


class Ledger:
    """The sum of a study's records; `apply` adds one.

    Parameters
    ----------
    levels : sequence of float
        The scheduler's.
    mode : "max" or "min"
        What is better.
    metric : str or None
        The metric that decides, if one does.
    study : str
        The study's id.

    Attributes
    ----------
    now : float
        Study seconds of the last record.
    jobs : Jobs
        A row a stay that is over.
    stays : dict of int to Stay
        The jobs on workers, by number, those that are about to leave included.
    workers : dict of int to Stay
        The same by worker.
    machines : dict of int to dict
        By worker, what is known of those that are open now: ``host``, ``cpus``, ``gpus``. Empty where all
        workers are this machine's.
    points : list of list of float
        The configuration of each trial.
    best : Best or None
        The incumbent.
    reached : dict of int to float
        The highest resource that each trial has reported in jobs that are over.
    earlier : dict of int to list of (int, float, int)
        The jobs of each trial that are over: number, start, and the number of their reports.
    values, bests, highest : dict of int to float
        The last value that each trial has reported in jobs that are over, the best that is a finite number,
        and the highest resource.
    improvements : Improvements
        The incumbents, by the time of reports.
    reports, late, lost_rows : int
        How many reports there were; how many late ones were dropped; how many had not come when later
        ones did.
    gone : int
        The trial of the last job that left its worker.
    returned : dict of int to float
        The trials whose function returned below R, and the last resource of each.
    failures : list of (trial, kind, reason)
        In order.
    why : str or None
        Why the study is over: done, max_reward, max_time or interrupted. None while it runs.
    closing : bool
        Whether nothing starts any more although it might: the study ends. It is in no record; who runs the
        study says so.
    """

    def __init__(self, levels: Sequence[float], mode: str, metric: str | None, study: str = "") -> None:
        self.metric = metric
        self.study = study
        self.now = 0.0
        self.jobs = Jobs()
        self.stays: dict[int, Stay] = {}
        self.workers: dict[int, Stay] = {}
        self.points: list[list[float]] = []
        self.best: Best | None = None
        self.reached: dict[int, float] = {}
        self.values: dict[int, float] = {}
        self.earlier: dict[int, list[tuple[int, float, int]]] = {}
        self.bests: dict[int, float] = {}
        self.highest: dict[int, float] = {}
        self.reports = 0
        self.machines: dict[int, Mapping[str, Any]] = {}
        self.late = 0
        self.lost_rows = 0
        self.gone = -1
        self.returned: dict[int, float] = {}
        self.failures: list[tuple[int, str, str]] = []
        self.why: str | None = None
        self.closing = False
        self._levels = tuple(levels)
        self._sign = 1.0 if mode == "max" else -1.0
        self.improvements = Improvements(self._sign)
        self._capacity = Capacity()

    @property
    def workers_seen(self) -> int:
        """The most workers that there were at once, over all sessions; here, only those that had jobs."""
        return self._capacity.most

    @property
    def capacity(self) -> float | None:
        """Worker seconds that there were; None if all workers ever were this machine's."""
        return self._capacity.total

    def milestone(self, stay: Stay) -> int:
        """Return the index in the levels of a stay's next milestone: the last, if it waits at none."""
        return min(bisect_left(self._levels, stay.stop), len(self._levels) - 1)

    def apply(self, record: Record) -> None:
        """Add a record."""
        self.now = record.get("t", self.now)
        kind = record["e"]
        if kind not in BOUNDS:
            self._capacity.pass_to(self.now)
        if kind != "study":
            getattr(self, f"_{kind}")(record)

    # One method a kind of record

    def _start(self, record: Record) -> None:
        if "point" in record:
            self.points.append(record["point"])
        self._begin(record)

    def _restart(self, record: Record) -> None:
        self._begin(record)

    def _begin(self, record: Record) -> None:
        stay = Stay()
        stay.job, stay.worker, stay.trial = record["job"], record["worker"], record["trial"]
        stay.bracket, stay.attempt = record["bracket"], record["attempt"]
        self._capacity.begin(stay.worker)
        stay.stood = stay.milestone = stay.start_resource = stay.resource = record["start"]
        stay.stop = inf if record["stop"] is None else record["stop"]
        stay.start_time = self.now
        stay.train_start = inf
        stay.trained, stay.value, stay.best = 0.0, nan, nan
        stay.rows = stay.heard = 0
        stay.ended = None
        self.jobs.started = max(self.jobs.started, stay.job + 1)
        self.stays[stay.job] = self.workers[stay.worker] = stay
        self.why = None

    def _rows(self, record: Record) -> None:
        if "reports" in record:
            self._take_columns([self.stays[job] for job in record["jobs"]], record["reports"])
        else:
            self._take(self.stays[record["job"]], record["rows"])

    def _take(self, stay: Stay, rows: Sequence[Sequence[Any]] | Reports) -> None:
        if isinstance(rows, Reports):
            self._take_columns([stay], rows)
            return
        for at, trained, resource, metrics in rows:
            self._report(stay, at, trained, resource, value_of(metrics, self.metric))

    def _report(self, stay: Stay, at: float, trained: float, resource: float, value: float) -> None:
        self._hear(stay, 1, at - trained, resource)
        stay.trained, stay.resource, stay.value = trained, resource, value
        if not isfinite(value):
            return
        signed = self._sign * value
        if not signed <= self._sign * stay.best:
            stay.best = value
        if self.best is None or signed > self._sign * self.best.value:
            self.best = Best(at, stay.trial, resource, value)
        self.improvements.add(at, stay.trial, resource, value)

    def _take_columns(self, stays: Sequence[Stay], reports: Reports) -> None:
        """Take the reports of several records, whose jobs are `stays`."""
        import numpy as np

        at, resource, value = reports.at, reports.resource, reports.values(self.metric)
        signed = np.where(np.isfinite(value), self._sign * value, -inf)
        jobs, trials = np.repeat([[stay.job, stay.trial] for stay in stays], reports.counts, axis=0).T
        order = np.argsort(jobs, kind="stable")
        for mine in np.split(order, np.flatnonzero(np.diff(jobs[order])) + 1):
            first, last = mine[0], mine[-1]
            stay = self.stays[int(jobs[first])]
            self._hear(stay, len(mine), float(at[first] - reports.trained[first]), float(resource[first]))
            stay.trained, stay.resource = float(reports.trained[last]), float(resource[last])
            stay.value = float(value[last])
            best = mine[np.argmax(signed[mine])]
            if not signed[best] <= self._sign * stay.best and signed[best] > -inf:
                stay.best = float(value[best])
        top = int(np.argmax(signed))
        if signed[top] > (-inf if self.best is None else self._sign * self.best.value):
            self.best = Best(float(at[top]), int(trials[top]), float(resource[top]), float(value[top]))
        self.improvements.add_all(at, trials, resource, value)

    def _hear(self, stay: Stay, count: int, train_start: float, resource: float) -> None:
        """Take note of the first reports of a job, or of more."""
        if not stay.rows:
            stay.train_start = train_start
            stay.start_resource = self._started_at(stay, resource)
        stay.rows += count
        stay.heard += count
        self.reports += count

    def _started_at(self, stay: Stay, first: float) -> float:
        """Return from where a job trains, by its first report: a checkpoint, its milestone, or zero."""
        known = self.reached.get(stay.trial, 0.0)
        if first > known:
            return max(known, stay.stood)
        return stay.stood if first > stay.stood else 0.0

    def _reach(self, record: Record) -> None:
        stay = self.stays[record["job"]]
        self._take(stay, record["rows"])
        at, code = record["at"], CODES[record["verdict"]]
        stay.milestone = self._levels[at] if stay.stop < inf else self._came_to(stay)
        if code:
            stay.ended = code
        else:
            stay.stop = self._levels[at + 1]

    def _fail(self, record: Record) -> None:
        stay = self.stays[record["job"]]
        stay.ended = FAILED
        self.failures.append((stay.trial, record["kind"], record["reason"]))

    def _return(self, record: Record) -> None:
        stay = self.stays[record["job"]]
        stay.ended = CODES["complete"]
        self.returned[stay.trial] = stay.milestone = self._came_to(stay)

    def _came_to(self, stay: Stay) -> float:
        """Return where a trial's training has come to an end of its own, maybe in an earlier job."""
        return stay.resource if stay.rows else self.reached.get(stay.trial, 0.0)

    def _gone(self, record: Record) -> None:
        stay = self.stays.pop(record["job"])
        if self.workers.get(stay.worker) is stay:
            del self.workers[stay.worker]
            self._capacity.end(stay.worker)
        self.gone = stay.trial
        if record["begun"] is not None:
            stay.train_start = record["begun"]
        self._end(stay, CENSORED if stay.ended is None else stay.ended)

    def _end(self, stay: Stay, verdict: int) -> None:
        self.reached[stay.trial] = max(stay.resource, self.reached.get(stay.trial, 0.0))
        if stay.rows:
            self._put_down(stay, self.values, self.bests, self.highest)
        self.earlier.setdefault(stay.trial, []).append((stay.job, stay.start_time, stay.heard))
        reached = max(stay.resource, stay.start_resource) if stay.rows else stay.start_resource
        self.jobs.end(stay, reached, self.now, verdict)

    def _put_down(
        self, stay: Stay, values: dict[int, float], bests: dict[int, float], highest: dict[int, float]
    ) -> None:
        """Add the reports of a job to those of its trial."""
        values[stay.trial] = stay.value
        highest[stay.trial] = max(stay.resource, highest.get(stay.trial, stay.resource))
        best = bests.get(stay.trial, nan)
        if best != best or self._sign * stay.best > self._sign * best:
            bests[stay.trial] = stay.best

    def reported(self) -> tuple[dict[int, float], dict[int, float], dict[int, float]]:
        """Return `values`, `bests` and `highest` with the jobs that are not over."""
        found = dict(self.values), dict(self.bests), dict(self.highest)
        for stay in self.stays.values():
            if stay.rows:
                self._put_down(stay, *found)
        return found

    def _late(self, record: Record) -> None:
        self.late += record["count"]

    def _missing(self, record: Record) -> None:
        self.stays[record["job"]].heard += record["count"]
        self.lost_rows += record["count"]

    def _open(self, record: Record) -> None:
        self.machines[record["worker"]] = {name: record[name] for name in ("host", "cpus", "gpus")}
        self._capacity.open(record["worker"])

    def _shut(self, record: Record) -> None:
        worker = record["worker"]
        self.machines.pop(worker, None)
        self._capacity.shut(worker, worker in self.workers)

    def _none(self, record: Record) -> None:
        """The scheduler had no job: nothing changes."""

    def _resume(self, record: Record) -> None:
        """The study goes on in a new process: what was under way is gone, and starts again by `restart`."""
        for stay in self.stays.values():
            self._end(stay, CENSORED if stay.ended is None else stay.ended)
        self.stays.clear()
        self.workers.clear()
        self.machines.clear()
        self._capacity.resume(self.now)
        self.why = None

    def _close(self, record: Record) -> None:
        self.why = EARLIER_WORDS.get(record["why"], record["why"])


def value_of(metrics: Mapping[str, float | None], name: str | None) -> float:
    """Return a metric, NaN where it was no number, or where none decides."""
    value = None if name is None else metrics.get(name)
    return nan if value is None else value
