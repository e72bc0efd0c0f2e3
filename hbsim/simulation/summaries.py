"""From a study's columns to its trials, incumbents, counts and summary."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hbsim.core.types import Mode
from hbsim.history import Jobs
from hbsim.history.columns import CENSORED, numbers

if TYPE_CHECKING:
    from hbsim.core.scheduler import Scheduler
    from hbsim.simulation.result import Result

__all__ = ["incumbent", "rungs", "summary", "trials"]


def trials(scheduler: Scheduler, jobs: Jobs, decisions: pl.DataFrame) -> pl.DataFrame:
    """Return a row a trial: trial, bracket, status, resource, best, final, trained_seconds."""
    count = scheduler.started
    rows = jobs.rows()
    seconds = np.bincount(rows["trial"], weights=rows["trained"], minlength=count)
    frame = pl.DataFrame(
        {
            "trial": np.arange(count, dtype=np.int64),
            "bracket": np.array(scheduler.trial_brackets(), dtype=np.int64),
            "status": pl.Series(scheduler.trial_statuses(), dtype=pl.String),
            "resource": np.array(scheduler.trial_levels(), dtype=np.float64),
            "trained_seconds": seconds[:count],
        }
    )
    finite = pl.col("value").filter(pl.col("value").is_finite())
    best = finite.max() if scheduler.mode == "max" else finite.min()
    values = decisions.group_by("trial").agg(best=best, final=pl.col("value").last())
    frame = frame.join(values, on="trial", how="left", maintain_order="left")
    return frame.select("trial", "bracket", "status", "resource", "best", "final", "trained_seconds")


def incumbent(decisions: pl.DataFrame, mode: Mode, level: float | None) -> pl.DataFrame:
    """Return the rows that improve strictly on all before: time, trial, resource, value."""
    seen = decisions.filter(pl.col("value").is_finite())
    if level is not None:
        seen = seen.filter(pl.col("level") == level)
    value = pl.col("value")
    signed = value if mode == "max" else -value
    before = signed.cum_max().shift(1)
    better = seen.filter(before.is_null() | (signed > before))
    return better.select("time", "trial", pl.col("level").alias("resource"), "value")


def rungs(decisions: pl.DataFrame) -> pl.DataFrame:
    """Return counts by bracket and level: recorded, continue, pause, stop, complete, promoted."""
    verdict = pl.col("verdict")
    later = decisions.sort("trial", "time", maintain_order=True).with_columns(
        promoted=(verdict == "pause") & (pl.col("trial").shift(-1) == pl.col("trial")).fill_null(False)
    )
    return (
        later.group_by("bracket", "level")
        .agg(
            pl.len().cast(pl.Int64).alias("recorded"),
            *(
                (verdict == name).sum().cast(pl.Int64).alias(name)
                for name in ("continue", "pause", "stop", "complete")
            ),
            pl.col("promoted").sum().cast(pl.Int64),
        )
        .sort("bracket", "level")
    )


def summary(result: Result, jobs: Jobs) -> dict[str, object]:
    """Return the study in a few numbers."""
    scheduler, cluster = result.scheduler, result.cluster
    counts = scheduler.status_counts()
    rows = jobs.rows()
    occupied = math.fsum(rows["end_time"] - rows["start_time"])
    capacity = cluster.workers * result.end_time
    trained, wasted = resources(rows)
    surrogate = result.curves.surrogate
    return {
        "trials": scheduler.started,
        "jobs": len(jobs),
        **{name: counts[name] for name in ("completed", "stopped", "paused", "failed", "running")},
        "simulated_seconds": result.end_time,
        "busy_share": occupied / capacity if capacity else 0.0,
        "trained_resource": trained,
        "wasted_resource": wasted,
        **score(result),
        "scheduler": scheduler.options.as_dict(),
        "surrogate": surrogate.name,
        "metric": surrogate.metric,
        "mode": surrogate.mode,
        "workers": cluster.workers,
        "replace": result.replace,
    }


def resources(rows: NDArray[np.void]) -> tuple[float, float]:
    """Return the resource trained in all jobs, and what of it was wasted.

    Wasted is what was trained again (below where the trial stood), lost in failures, and overrun
    after a milestone whose decision was to end. What is cut at the end of the study is not.
    """
    start, reached = rows["start_resource"], rows["stop_resource"]
    again = np.minimum(reached, rows["stood"]) - start
    beyond = np.where(rows["verdict"] == CENSORED, 0.0, reached - np.maximum(rows["milestone"], start))
    wasted = np.maximum(again, 0.0) + np.maximum(beyond, 0.0)
    return math.fsum(reached - start), math.fsum(wasted)


def score(result: Result) -> dict[str, object]:
    """Return best, regret and test of the final incumbent."""
    last = result.incumbent().tail(1)
    if last.is_empty():
        return {"best": None, "regret": None, "test": None}
    trial = int(last["trial"][0])
    surrogate, level = result.curves.surrogate, result.scheduler.levels[-1]
    value = float(result.values_at_max([trial])[0])
    optimum = surrogate.optimum(level)
    distance = None
    if optimum is not None and math.isfinite(value):
        signed = optimum - value if surrogate.mode == "max" else value - optimum
        distance = max(0.0, signed)
    configuration = result.curves.configurations()[trial : trial + 1]
    tests = surrogate.test_values(configuration, level)
    test = None if tests is None else numbers([float(tests[0])])[0]
    return {"best": float(last["value"][0]), "regret": distance, "test": test}
