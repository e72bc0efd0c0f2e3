"""The table of all units of training in a study, expanded from its jobs on demand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hbsim.runner.tables import numbers
from hbsim.surrogates.protocol import Floats

if TYPE_CHECKING:
    from hbsim.simulation.result import Result


def expand(result: Result, trials: Sequence[int]) -> pl.DataFrame:
    """Return a row a unit of training: job, trial, worker, resource, time, value.

    Units are the surrogate's levels, or whole numbers up to R where it takes any level. `time` is when
    the worker was done with the unit: at a milestone the time of the report, before any delay. A milestone
    that was saved before its report arrived is a row of the job that trained it, not of the one that reports.
    """
    wanted = np.unique(np.array(trials, dtype=np.int64))
    units = _units(result)
    values, seconds = result.curves.surrogate.evaluate(result.curves.configurations()[wanted], units)
    place = {int(trial): i for i, trial in enumerate(wanted)}
    times = _decision_times(result, wanted)
    columns: list[tuple[NDArray[np.int64], Floats, Floats, Floats]] = []
    rows, speeds = result.job_rows(), result.cluster.speeds
    for row in rows[np.isin(rows["trial"], wanted)]:
        at = place[int(row["trial"])]
        mask, when = _one_job(result, row, units, seconds[at], times, speeds[int(row["worker"])])
        ids = np.array([row["job"], row["trial"], row["worker"]], dtype=np.int64)
        columns.append((np.tile(ids, (int(mask.sum()), 1)), units[mask], when, values[at][mask]))
    return _frame(columns)


def _frame(columns: list[tuple[NDArray[np.int64], Floats, Floats, Floats]]) -> pl.DataFrame:
    ids = np.concatenate([np.empty((0, 3), dtype=np.int64), *(c[0] for c in columns)])
    resource, time, value = (np.concatenate([np.empty(0), *(c[i] for c in columns)]) for i in (1, 2, 3))
    return pl.DataFrame(
        {
            "job": ids[:, 0],
            "trial": ids[:, 1],
            "worker": ids[:, 2],
            "resource": resource,
            "time": time,
            "value": numbers(value),
        }
    )


def _units(result: Result) -> Floats:
    """Return the levels to expand to, ascending, the scheduler's among them."""
    levels = np.array(result.scheduler.levels, dtype=np.float64)
    every = result.curves.surrogate.resources
    units = np.arange(1.0, levels[-1] + 1.0) if every is None else np.array(every, dtype=np.float64)
    return np.union1d(units[units <= levels[-1]], levels)


def _decision_times(result: Result, wanted: NDArray[np.int64]) -> dict[tuple[int, float], float]:
    rows = result.decisions.filter(pl.col("trial").is_in(wanted.tolist())).select("trial", "level", "time")
    return {(trial, level): time for trial, level, time in rows.iter_rows()}


def _one_job(
    result: Result,
    row: np.void,
    units: Floats,
    seconds: Floats,
    times: dict[tuple[int, float], float],
    speed: float,
) -> tuple[NDArray[np.bool_], Floats]:
    """Return which units a job went through, and when it was done with each."""
    start, stop, trial = float(row["start_resource"]), float(row["stop_resource"]), int(row["trial"])
    mask = (units > start) & (units <= stop)
    when = np.empty(len(units))
    effects = result.simulated.effects
    waits = result.cluster.report == "blocking" and not effects.no_delays
    clock = float(row["train_start"])
    for at, below, level, factor in _stretches(result, trial, speed, start, float(row["stood"])):
        inside = (units > below) & (units <= level)
        base = np.interp(below, units, seconds) if below else 0.0
        if start > below:  # a checkpoint within the stretch
            base += (np.interp(level, units, seconds) - base) * (start - below) / (level - below)
        when[inside] = np.maximum(clock, clock + (seconds[inside] - base) * factor)
        last = float(when[inside][-1])
        decided = times.get((trial, level))
        is_reported = level > float(row["stood"]) and decided is not None
        clock = (
            decided + effects.decision_delay(trial, at)
            if waits and decided is not None and is_reported
            else last
        )
        if level >= stop:
            break
    return mask, when[mask]


def _stretches(
    result: Result, trial: int, speed: float, start: float, stood: float
) -> Iterator[tuple[int, float, float, float]]:
    """Yield the stretches of a trial that end above `start`, or there if that is still to be reported.

    As (index of the level, level below, level, seconds per second of the curve).
    """
    scheduler, curves = result.scheduler, result.curves
    first = scheduler.geometry.first[scheduler.bracket_of(trial)]
    width = len(scheduler.levels)
    below = 0.0
    for at in range(first, width):
        level = scheduler.levels[at]
        if level > start or level == start > stood:  # saved at a milestone, before its report
            factor = curves.slowness(trial, at) / speed
            yield at, below, level, factor
        below = level
