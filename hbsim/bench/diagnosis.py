"""The diagnosis of a study: what its decisions cost, exactly, since the simulator knows all values at R."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hbsim.bench.segments import OVERHEAD, segments
from hbsim.errors import ParameterError
from hbsim.runner.tables import CENSORED, FAILED
from hbsim.simulation.availability import MachineAvailability
from hbsim.surrogates.protocol import Floats, Ints

if TYPE_CHECKING:
    from hbsim.simulation import Result


@dataclass(frozen=True)
class FinalValues:
    """The values that the n trials of a study have, or would have, at R.

    Attributes
    ----------
    mode : "max" or "min"
        Whether the metric is maximised or minimised.
    worth : float array, shape (n,)
        What each trial shows, or would show, at R: the metric, with the other sign if it is minimised, so
        that more is better. -inf where it is no number, which is worse than any.
    bracket : int array, shape (n,)
        The bracket in which each trial started.
    is_held : bool array, shape (n,)
        Whether a decision below R holds the trial back at the end of the study: it is stopped or paused.
    is_completed : bool array, shape (n,)
        Whether it reached R.
    incumbent : int
        The trial with the best value of all that were reported, at any level; -1 if there is none.
    """

    mode: str
    worth: Floats
    bracket: Ints
    is_held: NDArray[np.bool_]
    is_completed: NDArray[np.bool_]
    incumbent: int

    @classmethod
    def of(cls, result: Result) -> FinalValues:
        """Read the value at R of each trial of a study."""
        scheduler, curves = result.scheduler, result.curves
        count, width = scheduler.started, len(scheduler.levels)
        # The engine has read every curve in full, up to R: nothing is evaluated again.
        values = np.array(curves.values, dtype=np.float64)[: count * width].reshape(count, width)[:, -1]
        signed = values if scheduler.mode == "max" else -values
        status = np.array(scheduler.trial_statuses(), dtype="U9")
        last = result.incumbent().tail(1)["trial"]
        return cls(
            scheduler.mode,
            np.where(np.isfinite(values), signed, -np.inf),
            np.array(scheduler.trial_brackets(), dtype=np.int64),
            (status == "stopped") | (status == "paused"),
            status == "completed",
            int(last[0]) if len(last) else -1,
        )

    def best(self, trials: NDArray[np.bool_]) -> float:
        """Return the greatest worth among these trials; -inf if none has a number."""
        return float(self.worth.max(where=trials, initial=-np.inf))

    def metric(self, worth: Floats) -> Floats:
        """Convert a worth back to a value of the metric; NaN for -inf."""
        signed = worth if self.mode == "max" else -worth
        return np.where(np.isfinite(worth), signed + 0.0, np.nan)  # no -0.0


SCHEMA: Final = {
    "bracket": pl.Int64,
    "level": pl.Float64,
    "recorded": pl.Int64,
    "went_on": pl.Int64,
    "stopped": pl.Int64,
    "better": pl.Int64,
    "false_promotions": pl.Int64,
    "best_recorded": pl.Float64,
    "best_went_on": pl.Float64,
    "loss": pl.Float64,
}


def _early_decisions(result: Result, ended: FinalValues) -> pl.DataFrame:
    """Compare the decisions at each rung below R with the trials' values at R.

    A row is all trials of a bracket that recorded a value at a level, as in `Result.rungs`: with
    `shared_rungs` too, and where a synchronous bracket was opened more than once. NaN at R is worse than
    any number.

    Returns
    -------
    polars.DataFrame
        Ordered by bracket and level; no rows for fifo. Columns:

        - bracket, level, recorded: the rung, and how many trials have a value there.
        - went_on, stopped: how many of them went on, at once or later; and how many were stopped, or
          still paused at the end of the study.
        - better: how many of those that did not go on end better at R than the best of those that did. If
          none went on, that best is worse than any number.
        - false_promotions: how many went on without being among the best `went_on` of the recorded at R.
          Ties are among them.
        - best_recorded, best_went_on: the best value at R of either set, in the metric's unit; NaN for none.
        - loss: the difference of these two, at least 0; NaN if one is NaN.
    """
    rows, levels = result.simulated.decisions.rows(), result.scheduler.levels
    rows = rows[rows["at"] < len(levels) - 1]
    if not len(rows):
        return pl.DataFrame(schema=SCHEMA)
    at, trial = rows["at"].astype(np.int64), rows["trial"].astype(np.int64)
    last = np.full(len(ended.worth), -1)
    np.maximum.at(last, trial, at)
    stayed = ended.is_held[trial] & (at == last[trial])
    # Ordered by rung, then from the worst to the best: the best m of a rung are its last m rows.
    order = np.lexsort((ended.worth[trial], at, ended.bracket[trial]))
    at, bracket = at[order], ended.bracket[trial][order]
    firsts = np.flatnonzero(np.diff(bracket * len(levels) + at, prepend=-1))
    columns = _columns(ended, ended.worth[trial][order], ~stayed[order], firsts)
    named = {"bracket": bracket[firsts], "level": np.array(levels, dtype=np.float64)[at[firsts]]}
    return pl.DataFrame({**named, **columns}, schema=SCHEMA)


def _columns(
    ended: FinalValues, worth: Floats, went_on: NDArray[np.bool_], firsts: Ints
) -> dict[str, NDArray[np.float64] | NDArray[np.int64]]:
    """Return the figures of each rung; rungs begin at `firsts`, and worth ascends in each."""
    recorded = np.diff(firsts, append=len(worth))
    passed = np.add.reduceat(went_on.astype(np.int64), firsts)
    best = np.maximum.reduceat(worth, firsts)
    best_on = np.maximum.reduceat(np.where(went_on, worth, -np.inf), firsts)
    places = np.minimum(firsts + recorded - passed, firsts + recorded - 1)
    better = ~went_on & (worth > np.repeat(best_on, recorded))
    is_false = went_on & (worth < np.repeat(worth[places], recorded))
    best_recorded, best_went_on = ended.metric(best), ended.metric(best_on)
    return {
        "recorded": recorded,
        "went_on": passed,
        "stopped": recorded - passed,
        "better": np.add.reduceat(better.astype(np.int64), firsts),
        "false_promotions": np.add.reduceat(is_false.astype(np.int64), firsts),
        "best_recorded": best_recorded,
        "best_went_on": best_went_on,
        "loss": np.abs(best_recorded - best_went_on),
    }


@dataclass(frozen=True)
class RegretParts:
    """The final regret at R, in four parts; in the metric's unit.

    Attributes
    ----------
    sampling : float
        The best of the space less the best of all trials that were started; NaN where either is unknown.
    decisions : float
        The best started trial less the best that no decision below R held back, at least 0.
    unfinished : float
        The best trial not held back less the best that reached R, at least 0: the cost of failures and of
        the end of the study.
    choice : float
        The best trial that reached R less the incumbent. Negative where the incumbent would end better
        than all that reached R.
    best_started : float
        What the best of all trials that were started shows at R: the metric itself. NaN for none.
    """

    sampling: float
    decisions: float
    unfinished: float
    choice: float
    best_started: float

    @property
    def total(self) -> float:
        """The final regret: the sum of the four parts, NaN where one is unknown."""
        return math.fsum((self.sampling, self.decisions, self.unfinished, self.choice))


def _regret_parts(result: Result, ended: FinalValues) -> RegretParts:
    """Split the final regret into parts, which sum to the regret in `Result.summary`.

    Where a set of trials has no number at R its best is that of the set before: then that part is 0, and
    the next one takes up the rest. Where the incumbent is better at R than what the surrogate calls its
    optimum, the summary's regret is 0, and the incumbent stands for the best of the space here.

    """
    started = ended.best(np.ones(len(ended.worth), dtype=np.bool_))
    let_through = _or(ended.best(~ended.is_held), started)
    finished = _or(ended.best(ended.is_completed), let_through)
    chosen = float(ended.worth[ended.incumbent]) if ended.incumbent >= 0 else -math.inf
    optimum = _optimum(result, ended)
    space = max(optimum, chosen) if math.isfinite(optimum) else optimum
    return RegretParts(
        sampling=_distance(space, started),
        decisions=_distance(started, let_through),
        unfinished=_distance(let_through, finished),
        choice=_distance(finished, chosen),
        best_started=float(ended.metric(np.array(started))),
    )


def _or(best: float, before: float) -> float:
    return best if math.isfinite(best) else before


def _optimum(result: Result, ended: FinalValues) -> float:
    """Return the worth of the best of the space at R; -inf where it is unknown."""
    best = result.curves.surrogate.optimum(result.scheduler.levels[-1])
    if best is None:
        return -math.inf
    return best if ended.mode == "max" else -best


def _distance(better: float, worse: float) -> float:
    is_known = math.isfinite(better) and math.isfinite(worse)
    return better - worse if is_known else math.nan


def _bracket_mix(result: Result, ended: FinalValues) -> pl.DataFrame:
    """Return a row for each bracket, also for those without trials.

    Returns
    -------
    polars.DataFrame
        Columns: bracket; trials, how many started there; trained_resource, of all their jobs; best, what the
        best of them shows or would show at R, NaN for none; completed, how many reached R; is_winner,
        whether the final incumbent started there.
    """
    count, bracket, jobs = result.scheduler.brackets, ended.bracket, result.job_rows()
    best = np.full(count, -np.inf)
    np.maximum.at(best, bracket, ended.worth)
    trained = jobs["stop_resource"] - jobs["start_resource"]
    winner = bracket[ended.incumbent] if ended.incumbent >= 0 else -1
    return pl.DataFrame(
        {
            "bracket": np.arange(count),
            "trials": np.bincount(bracket, minlength=count),
            "trained_resource": np.bincount(bracket[jobs["trial"]], weights=trained, minlength=count),
            "best": ended.metric(best),
            "completed": np.bincount(bracket[ended.is_completed], minlength=count),
            "is_winner": np.arange(count) == winner,
        },
        schema_overrides={"bracket": pl.Int64, "trials": pl.Int64, "completed": pl.Int64},
    )


def _worker_shares(result: Result) -> dict[str, float]:
    """Return how the workers' time was spent, and how much training resuming saved.

    Parameters
    ----------
    result : Result
        A study.

    Returns
    -------
    dict
        Shares of all worker seconds, workers times the last end; they sum to 1, and are NaN if no time went
        by:

        - training: training that brought a trial further, or was still under way at the end.
        - retrained: trained again below where the trial stood, lost in a failure, or run on after the
          milestone at which the trial paused, stopped or completed (the seconds of `wasted_resource`).
        - overhead: the rest of what jobs occupied: start-up, checkpoints, waits.
        - idle, absent: workers that had no job, and workers that were not there.

        And of the jobs that went on from a checkpoint:

        - saved_resource, saved_seconds: the training they would have had to repeat from zero. The seconds are
          those of the trials' own curves, stragglers' slowness included, on a worker of speed 1. A job that
          was lost before it brought its trial further, to a milestone or to what it saved upon a notice,
          saved nothing; nor did one that never trained.
        - saved: saved_resource over all that was trained; 0 if nothing was.
    """
    jobs = result.job_rows()
    clock = _Clock(result, jobs)
    capacity = result.cluster.workers * result.end_time
    occupied = math.fsum(jobs["end_time"] - jobs["start_time"])
    trained = math.fsum(jobs["trained"])
    again = math.fsum(_wasted_seconds(result, jobs, clock))
    absent = _absent_seconds(result)
    seconds = {
        "training": trained - again,
        "retrained": again,
        "overhead": max(0.0, occupied - trained),
        "idle": max(0.0, capacity - absent - occupied),
        "absent": absent,
    }
    shares = {name: part / capacity if capacity else math.nan for name, part in seconds.items()}
    return {**shares, **_saved(jobs, clock)}


class _Clock:
    """The training clock of each job's trial: seconds of its curve from zero to a resource."""

    def __init__(self, result: Result, jobs: NDArray[np.void]) -> None:
        curves, geometry = result.curves, result.scheduler.geometry
        self._levels = np.array(geometry.levels, dtype=np.float64)
        width, trial = len(geometry.levels), jobs["trial"]
        brackets = np.array(result.scheduler.trial_brackets(), dtype=np.int64)
        self._first = np.array(geometry.first)[brackets[trial]]
        steps = np.array(curves.seconds, dtype=np.float64).reshape(-1, width)[trial]
        from_zero = curves.from_zero if curves.high_brackets else curves.seconds
        rows = np.arange(len(jobs))
        # A trial's first stretch leads from zero to its bracket's first level.
        steps[rows, self._first] = np.array(from_zero, dtype=np.float64).reshape(-1, width)[
            trial, self._first
        ]
        steps[np.arange(width) < self._first[:, None]] = 0.0
        self._steps, self._ends, self._rows = steps, np.cumsum(steps, axis=1), rows

    def seconds(self, resource: Floats) -> Floats:
        """Return the seconds of training from zero to a resource of each job, linear between two levels."""
        at = np.maximum(np.searchsorted(self._levels, resource), self._first)
        below = np.where(at > self._first, self._levels[at - 1], 0.0)
        left = (self._levels[at] - resource) / (self._levels[at] - below)
        found = self._ends[self._rows, at] - left * self._steps[self._rows, at]
        return np.asarray(found, dtype=np.float64)


def _wasted_seconds(result: Result, jobs: NDArray[np.void], clock: _Clock) -> Floats:
    """Return the seconds of each job that did not bring its trial further; see `hbsim.runner.summaries`."""
    start, reached = jobs["start_resource"], jobs["stop_resource"]
    again = np.maximum(np.minimum(reached, jobs["stood"]), start)
    kept = np.where(jobs["verdict"] == CENSORED, reached, np.maximum(jobs["milestone"], start))
    kept = np.minimum(kept, reached)
    curve = clock.seconds(again) - clock.seconds(start) + clock.seconds(reached) - clock.seconds(kept)
    speeds = np.array(result.cluster.speeds, dtype=np.float64)[jobs["worker"]]
    return np.asarray(np.minimum(np.maximum(curve, 0.0) / speeds, jobs["trained"]), dtype=np.float64)


def _saved(jobs: NDArray[np.void], clock: _Clock) -> dict[str, float]:
    got_further = jobs["milestone"] > np.maximum(jobs["stood"], jobs["start_resource"])
    went_on = (jobs["train_start"] <= jobs["end_time"]) & ((jobs["verdict"] != FAILED) | got_further)
    start = np.where(went_on, jobs["start_resource"], 0.0)
    trained = math.fsum(jobs["stop_resource"] - jobs["start_resource"])
    resource = math.fsum(start)
    return {
        "saved": resource / trained if trained else 0.0,
        "saved_resource": resource,
        "saved_seconds": math.fsum(np.where(start > 0.0, clock.seconds(start), 0.0)),
    }


def _absent_seconds(result: Result) -> float:
    cluster, end = result.cluster, result.end_time
    if not cluster.has_absences:
        return 0.0
    presence = MachineAvailability(cluster, result.simulated.seed)
    there = [presence.there(machine, end) for machine in range(cluster.count_machines)]
    return math.fsum(end - there[machine] for machine in cluster.machine_of)


def timeline(result: Result, workers: int = 12, most: int = 600) -> tuple[pl.DataFrame, float | None]:
    """Return the timeline of the first workers, cut when it has too many stretches of time.

    Parameters
    ----------
    result : Result
        A study.
    workers : int
        How many workers, at least 1.
    most : int
        How many stretches at most; at least as many as workers.

    Returns
    -------
    stretches : polars.DataFrame
        Columns worker, start, end (simulated seconds) and level: what was trained towards, null for start-up,
        checkpoints and waits. Ordered by worker and start; those of a worker do not overlap.
    cut : float or None
        The start of the first stretch beyond `most`, where all stretches end. None if there are no more.

    Raises
    ------
    ParameterError
        A number is too small.
    """
    if workers < 1:
        raise ParameterError("workers", workers, "must be at least 1")
    if most < workers:
        raise ParameterError("most", most, f"must be at least the number of workers, {workers}")
    parts = segments(result)
    shown = parts.worker < workers
    start, end = parts.start[shown], parts.end[shown]
    cut = None
    if len(start) > most:
        cut = float(np.partition(start, most)[most])
        end = np.minimum(end, cut)
    kept = start < end
    level = parts.level[shown][kept]
    resource = np.array(parts.levels, dtype=np.float64)[level]
    columns = {"worker": parts.worker[shown][kept], "start": start[kept], "end": end[kept]}
    towards = pl.Series(np.where(level == OVERHEAD, np.nan, resource), nan_to_null=True)
    return pl.DataFrame({**columns, "level": towards}), cut


@dataclass(frozen=True)
class Diagnosis:
    """The diagnosis of one study: what its decisions cost, in the metric's own unit.

    Attributes
    ----------
    rungs : polars.DataFrame
        A row a rung below R: columns in docs/reference/diagnosis.md.
    regrets : RegretParts
        The parts of the final regret.
    brackets : polars.DataFrame
        A row a bracket: columns in docs/reference/diagnosis.md.
    shares : mapping
        How the workers' time was spent: parts in docs/reference/diagnosis.md.
    """

    rungs: pl.DataFrame
    regrets: RegretParts
    brackets: pl.DataFrame
    shares: Mapping[str, float]


def diagnose(result: Result) -> Diagnosis:
    """Diagnose a study: work out what its decisions cost. Each trial's value at R is read once."""
    ended = FinalValues.of(result)
    return Diagnosis(
        _early_decisions(result, ended),
        _regret_parts(result, ended),
        _bracket_mix(result, ended),
        _worker_shares(result),
    )
