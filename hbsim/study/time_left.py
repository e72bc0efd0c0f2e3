"""The time that a study still needs, by simulations of its rest from what was seen so far."""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import copy, deepcopy
from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf, isfinite
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hbsim.core.types import COMPLETE, CONTINUE, Job
from hbsim.runner.loop import END, FAILURE, FREE, MILESTONE, NOTHING, Event, drive
from hbsim.runner.tables import CENSORED, FAILED, DecisionTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hbsim.core.scheduler import Scheduler
    from hbsim.runner.journal_state import JournalState, RunningJob
    from hbsim.study.spec import StudyState

Pool: TypeAlias = Sequence[float] | NDArray[np.float64]  # what is drawn from

SEEDS: Final = 21  # simulations
ENOUGH: Final = 5  # simulations that are made even if they take long
LIMIT: Final = 1.0  # seconds after which no further simulation begins
FEW: Final = 16  # jobs: of more, the later half counts
LOW: Final = 0.1  # the quantiles of the range
HIGH: Final = 0.9


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """How long a study is going to take from now.

    Attributes
    ----------
    seconds : float or None
        The median of the simulations; None if it is unknown.
    low, high : float or None
        The range of the middle 80 % of the simulations.
    at_most : float or None
        The seconds until ``max_time`` ends the study; None if there is no such limit.
    reason : str
        Why it is unknown; empty if it is known.
    simulations : int
        How many simulations there were.
    """

    seconds: float | None
    low: float | None = None
    high: float | None = None
    at_most: float | None = None
    reason: str = ""
    simulations: int = 0


def time_left(
    state: StudyState,
    now: float,
    *,
    runs: bool = True,
    until_return: bool = False,
    max_time: float | None = None,
    max_reward: float | None = None,
) -> TimeLeft:
    """Simulate the rest of a study, and return how long it takes.

    The study's own scheduler decides in each simulation, from its present state. How many seconds a unit of
    the resource takes, what a job takes beside, and how often jobs fail is drawn from the jobs so far;
    values at rungs are drawn from the values there so far: of a new trial its first, and then its changes
    from rung to rung. Each simulation draws from a resampled set of them (Efron's bootstrap), as few jobs
    say little.

    Parameters
    ----------
    state : StudyState
        The state of the study; it is not changed.
    now : float
        The study seconds now.
    runs : bool
        Whether the study's process runs. If not, running trials go on from their last reports.
    until_return : bool
        Whether a trial is complete when its function returns.
    max_time : float, optional
        Study seconds at which the study ends.
    max_reward : float, optional
        A value at which the study ends.
    """
    at_most = None if max_time is None else max(0.0, max_time - now)
    scheduler, journal_state = state.scheduler, state.journal_state
    seen = SeenJobs(journal_state, until_return)
    reason = ""
    if runs and journal_state.machines == {} and journal_state.workers_seen == 0:
        reason = "no trial has started yet"
    elif not len(seen.rates if not until_return else seen.durations):
        reason = "no trial has returned yet" if until_return else "no trial has reported yet"
    elif scheduler.num_trials is None and max_time is None:
        limit = "max_reward" if max_reward is not None else "its searcher"
        reason = f"there is no num_trials: the study ends by {limit}"
    if reason:
        return TimeLeft(None, at_most=at_most, reason=reason)
    values = SeenValues(state.decisions, len(scheduler.levels))
    end = inf if max_time is None else max(now, max_time)
    begun, found = time.monotonic(), list[float]()
    for seed in range(SEEDS):
        if len(found) >= ENOUGH and time.monotonic() - begun > LIMIT:
            break
        simulated = deepcopy(scheduler)
        rng = np.random.default_rng(seed)
        mixed = seen.resampled(rng), values.resampled(rng)
        rest = RestOfStudy(simulated, journal_state, *mixed, rng, now, end, runs)
        drive(simulated, rest, DecisionTable(), max_reward=max_reward)
        found.append(min(rest.now, end) - now)
    low, median, high = np.quantile(found, (LOW, 0.5, HIGH)).tolist()
    return TimeLeft(median, low, high, at_most, simulations=len(found))


class SeenJobs:
    """What the jobs of a study took so far, for draws; of many jobs the later half.

    Attributes
    ----------
    rates : array
        Seconds a unit of the resource, of each job that reported progress.
    of_trial : dict of int to float
        The same of each trial's last job.
    beside : array
        Seconds of a job beside its training: start-up, checkpoints, waiting.
    durations : array
        Seconds of jobs until their functions returned; only where trials train until they return.
    failing, returning : float
        The shares of jobs that failed, and whose functions returned below R.
    resumes : bool
        Whether most jobs of trials that had trained before went on from their checkpoints.
    """

    def __init__(self, journal_state: JournalState, until_return: bool) -> None:
        rows = journal_state.jobs.ended()
        count = max(1, int((rows["verdict"] != CENSORED).sum()))
        self.returning = 0.0 if until_return else len(journal_state.returned) / count
        rows = rows[-max(FEW, len(rows) // 2) :]  # the machine may be another one since
        units = rows["stop_resource"] - rows["start_resource"]
        useful = (rows["trained"] > 0) & (units > 0)
        rates = (rows["trained"][useful] / units[useful]).tolist()
        self.of_trial: dict[int, float] = dict(zip(rows["trial"][useful].tolist(), rates, strict=True))
        for run in journal_state.runs.values():
            if run.rows and run.trained > 0 and run.resource > run.start_resource:
                rate = run.trained / (run.resource - run.start_resource)
                self.of_trial[run.trial] = rate
                rates.append(rate)
        self.rates = np.array(rates)
        whole = rows[(rows["verdict"] < FAILED) & (rows["trained"] > 0)]
        self.beside = np.maximum(0.0, whole["end_time"] - whole["start_time"] - whole["trained"])
        returned = rows["verdict"] == COMPLETE
        self.durations = (rows["end_time"] - rows["start_time"])[returned] if until_return else np.array([])
        ended = max(1, int((rows["verdict"] != CENSORED).sum()))
        self.failing = float((rows["verdict"] == FAILED).sum()) / ended
        later = (rows["stood"] > 0) & (rows["trained"] > 0)
        went_on = int((rows["start_resource"][later] > 0).sum())
        self.resumes = 2 * went_on >= int(later.sum())

    def resampled(self, rng: np.random.Generator) -> SeenJobs:
        """Return a copy with resampled rates and seconds."""
        made = copy(self)
        for name in ("rates", "beside", "durations"):
            setattr(made, name, _resampled(getattr(self, name), rng))
        return made


def _resampled(values: Pool, rng: np.random.Generator) -> Pool:
    return np.asarray(values)[rng.integers(len(values), size=len(values))] if len(values) else values


def _one(values: Pool, rng: np.random.Generator) -> float:
    """Draw one of the values; 0 if there are none."""
    return float(values[int(rng.integers(len(values)))]) if len(values) else 0.0


class SeenValues:
    """The values at rungs so far, for draws.

    Attributes
    ----------
    last : dict of int to (int, float)
        The last milestone of each trial, as an index of the levels, and the value there.
    """

    def __init__(self, decisions: DecisionTable, levels: int) -> None:
        self.last: dict[int, tuple[int, float]] = {}
        values: list[list[float]] = [[] for _ in range(levels)]
        changes: list[list[float]] = [[] for _ in range(levels)]
        rows = decisions.rows()
        columns = (rows[name].tolist() for name in ("trial", "at", "value"))
        for trial, at, value in zip(*columns, strict=True):
            before = self.last.get(trial)
            values[at].append(value)
            if before is not None and isfinite(value - before[1]):
                changes[at].append(value - before[1])
            self.last[trial] = (at, value)
        self._values: list[Pool] = [np.array(part) for part in values]
        self._changes: list[Pool] = [np.array(part) for part in changes]
        self._widths = self._change_widths = [0.0] * levels

    def resampled(self, rng: np.random.Generator) -> SeenValues:
        """Return a copy with resampled values and changes; a level without values has those of all."""
        made = copy(self)
        known = np.concatenate(self._values)
        parts = [part if len(part) else known for part in self._values]
        made._values = [_resampled(part, rng) for part in parts]
        made._changes = [_resampled(part, rng) for part in self._changes]
        made._widths, made._change_widths = ([_width(one) for one in part] for part in (parts, self._changes))
        return made

    def draw(self, at: int, before: float | None, rng: np.random.Generator) -> float:
        """Draw the value of a trial at a level, given that at its milestone before, if there was one.

        Draws are smoothed: new trials may be better than all before.
        """
        noise = float(rng.normal())
        if before is None:
            return _one(self._values[at], rng) + noise * self._widths[at]
        return before + _one(self._changes[at], rng) + noise * self._change_widths[at]


def _width(values: Pool) -> float:
    """Return the bandwidth of a smoothed bootstrap, by Silverman's rule; 1 if there are no values."""
    finite = np.asarray(values)[np.isfinite(values)]
    return 1.06 * float(np.std(finite)) * len(finite) ** -0.2 if len(finite) else float(not len(values))


class RestOfStudy:
    """An `Executor` that simulates the rest of a study on its workers.

    Parameters
    ----------
    scheduler : Scheduler
        The scheduler that decides, as it is now.
    journal_state : JournalState
        The state of the study now.
    seen, values
        What is drawn from.
    rng : Generator
        Of the draws.
    now, end : float
        The study seconds at which the simulation begins, and at which it is cut.
    runs : bool
        Whether running jobs go on as they are; else they start again.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        journal_state: JournalState,
        seen: SeenJobs,
        values: SeenValues,
        rng: np.random.Generator,
        now: float,
        end: float,
        runs: bool,
    ) -> None:
        self.now, self.trial, self.at, self.value, self.kind = now, -1, 0, 0.0, "error"
        self._end, self._seen, self._values = end, seen, values
        self._levels = scheduler.levels
        self._index = {level: at for at, level in enumerate(scheduler.levels)}
        self._last: dict[int, tuple[int, float]] = {}  # milestones in this simulation
        self._rng = rng
        self._events: list[tuple[float, int, Event, int, Job]] = []  # time, number, event, worker, job
        self._count = 0
        self._rates: Mapping[int, float] = seen.of_trial
        self._new_rates: dict[int, float] = {}
        machines = journal_state.machines
        self._free = sorted(machines) if machines and runs else list(range(journal_state.workers_seen))
        jobs = {job.trial: job for job in scheduler.running_jobs()}
        if runs:
            for run in journal_state.runs.values():
                if run.worker in self._free:
                    self._free.remove(run.worker)
                self._go_on(run, jobs.pop(run.trial, None) if run.ended is None else None)
        for job in jobs.values():  # of lost processes: they start again
            reached = max(job.start, journal_state.reached.get(job.trial, 0.0))
            self._begin(self._free.pop(0) if self._free else -1, job, min(reached, job.stop))

    # The interface of executors

    def idle(self) -> int:
        """Return an idle worker, or -1."""
        return self._free[0] if self._free else -1

    def start(self, worker: int, job: Job) -> None:
        """Start a job on an idle worker."""
        self._free.pop(0)
        self._begin(worker, job, job.start)

    def no_job(self, worker: int) -> None:
        """Leave the worker idle."""

    def wait(self) -> Event:
        """Return the next event; NOTHING when no job is left, or the study's time is over."""
        if not self._events:
            return NOTHING
        self.now, _, event, worker, job = heappop(self._events)
        if self.now > self._end:
            return NOTHING
        self._worker, self._job = worker, job
        if event is FREE:
            self._release()
            return FREE
        self.trial = job.trial
        if event is MILESTONE:
            self.at = self._index[job.stop]
            known = self._last.get(job.trial, self._values.last.get(job.trial))
            before = None if known is None else known[1]
            self.value = self._values.draw(self.at, before, self._rng)
            self._last[job.trial] = (self.at, self.value)
        return event

    def answer(self, code: int) -> None:
        """Let the job train on, or free its worker."""
        if code == CONTINUE:
            stop = self._levels[self.at + 1]
            job = self._job._replace(start=self._job.stop, stop=stop)
            self._push(self._rate(job.trial) * (stop - job.start), MILESTONE, self._worker, job)
        else:
            self._release()

    # The jobs

    def _release(self) -> None:
        if self._worker >= 0:
            self._free.append(self._worker)
            self._free.sort()

    def _push(self, seconds: float, event: Event, worker: int, job: Job) -> None:
        self._count += 1
        heappush(self._events, (self.now + seconds, self._count, event, worker, job))

    def _rate(self, trial: int) -> float:
        """Return the seconds a unit of a trial: its own, or another's."""
        known = self._rates.get(trial, self._new_rates.get(trial))
        if known is None:
            known = self._new_rates[trial] = _one(self._seen.rates, self._rng)
        return known

    def _seconds(self, job: Job, begin: float) -> float:
        """Draw the seconds of a whole job that trains from `begin`."""
        if len(self._seen.durations):
            return _one(self._seen.durations, self._rng)
        if not self._seen.resumes:
            begin = 0.0
        return _one(self._seen.beside, self._rng) + self._rate(job.trial) * (job.stop - begin)

    def _begin(self, worker: int, job: Job, begin: float) -> None:
        """Begin a job on a worker, and draw how it ends."""
        seconds, ending = self._seconds(job, begin), self._rng.random()
        if ending < self._seen.failing:
            self._push(seconds * self._rng.random(), FAILURE, worker, job)
        elif ending < self._seen.failing + self._seen.returning:
            self._push(seconds * self._rng.random(), END, worker, job)
        else:
            self._push(seconds, END if len(self._seen.durations) else MILESTONE, worker, job)

    def _go_on(self, run: RunningJob, job: Job | None) -> None:
        """Continue a running job; without a `job` its worker is about to be free."""
        if job is None:
            self._push(0.0, FREE, run.worker, Job(run.trial, run.bracket, 0.0, run.stop, 0))
        elif len(self._seen.durations):
            longer = self._seen.durations[self._seen.durations > self.now - run.start_time]
            lasts = max(0.0, _one(longer, self._rng) - (self.now - run.start_time))
            self._push(lasts, END, run.worker, job)
        elif run.rows:
            since = max(0.0, self.now - run.train_start - run.trained)
            rest = self._rate(run.trial) * max(0.0, job.stop - run.resource) - since
            self._push(max(0.0, rest), MILESTONE, run.worker, job)
        else:
            rest = self._seconds(job, job.start) - (self.now - run.start_time)
            self._push(max(0.0, rest), MILESTONE, run.worker, job)
