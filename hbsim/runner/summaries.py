"""The trials, incumbents and counts of a study, simulated or real, computed from its tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hbsim.core.types import COMPLETE, CONTINUE, PAUSE, STOP, Mode
from hbsim.runner.tables import CENSORED, JobTable

if TYPE_CHECKING:
    from hbsim.core.scheduler import Scheduler
    from hbsim.core.space import Space


def configurations(space: Space, points: NDArray[np.float64]) -> pl.DataFrame:
    """Return a row for each trial: trial, then a column for each parameter; null if it is not active.

    Choices that are not plain values are text. A parameter called trial is ``hp_trial`` here.

    Parameters
    ----------
    space : Space
        The search space.
    points : array, shape (n, d)
        The trials' points of its unit cube.
    """
    plain = {
        name: [v if isinstance(v, int | float | str | bool | None) else repr(v) for v in column]
        if isinstance(column, list)
        else column
        for name, column in space.decode(points).items()
    }
    columns = {name: "hp_trial" if name == "trial" else name for name in space}
    series = [pl.Series(columns[name], values, strict=False) for name, values in plain.items()]
    frame = pl.DataFrame([pl.Series("trial", range(len(points)), dtype=pl.Int64), *series])
    active = dict(zip(space, space.active(points).T, strict=True))
    return frame.with_columns(
        pl.when(pl.Series(active[name])).then(pl.col(columns[name])).alias(columns[name])
        for name in sorted(space.conditional)
    )


def summary(
    scheduler: Scheduler, jobs: JobTable, capacity: float, more: Mapping[str, object]
) -> dict[str, object]:
    """Return the part of a study's summary that its tables give: counts, shares of time, resources.

    Parameters
    ----------
    scheduler : Scheduler
        The scheduler at the end of the study.
    jobs : JobTable
        The study's.
    capacity : float
        The worker seconds of the study.
    more : mapping
        Entries that follow the counts, such as the seconds of the study.
    """
    counts, rows = scheduler.status_counts(), jobs.ended()
    occupied = math.fsum(rows["end_time"] - rows["start_time"])
    trained, wasted = resources(rows)
    return {
        "trials": scheduler.started,
        "jobs": len(jobs),
        **{name: counts[name] for name in ("completed", "stopped", "paused", "failed", "running")},
        **more,
        "busy_share": occupied / capacity if capacity else 0.0,
        "training_share": math.fsum(rows["trained"]) / capacity if capacity else 0.0,
        "trained_resource": trained,
        "wasted_resource": wasted,
    }


def trials(scheduler: Scheduler, jobs: JobTable, decisions: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each trial: trial, bracket, status, resource, best, final, trained_seconds."""
    count = scheduler.started
    rows = jobs.ended()
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


def incumbent(rows: NDArray[np.void], levels: Sequence[float], mode: Mode, at_max: bool) -> pl.DataFrame:
    """Return the decisions that improve strictly on all earlier ones: time, trial, resource, value."""
    counts = np.isfinite(rows["value"])
    if at_max:
        counts &= rows["at"] == len(levels) - 1
    seen = np.flatnonzero(counts)
    signed = rows["value"][seen] * (1.0 if mode == "max" else -1.0)
    best = np.maximum.accumulate(signed) if len(seen) else signed
    better = rows[seen[np.diff(best, prepend=-np.inf) > 0]]
    return pl.DataFrame(
        {
            "time": better["time"],
            "trial": better["trial"].astype(np.int64),
            "resource": np.array(levels, dtype=np.float64)[better["at"]],
            "value": better["value"],
        }
    )


def rungs(scheduler: Scheduler, rows: NDArray[np.void], jobs: NDArray[np.void]) -> pl.DataFrame:
    """Return counts by bracket and level: recorded, continue, pause, stop, complete, promoted, failed."""
    levels, brackets = scheduler.levels, np.array(scheduler.trial_brackets(), dtype=np.int64)
    decided = pl.DataFrame({name: rows[name] for name in ("trial", "at", "verdict")})
    decided = decided.with_columns(bracket=brackets[rows["trial"]])
    verdict = pl.col("verdict")
    kinds = {"continue": CONTINUE, "pause": PAUSE, "stop": STOP, "complete": COMPLETE}
    counts = [(verdict == code).sum().cast(pl.Int64).alias(name) for name, code in kinds.items()]
    table = decided.group_by("bracket", "at").agg(pl.len().cast(pl.Int64).alias("recorded"), *counts)
    # A trial that paused at a level and has a job that starts there was promoted.
    later = jobs[jobs["stood"] > 0]
    place = np.searchsorted(np.array(levels, dtype=np.float64), later["stood"]).astype(np.uint16)
    resumed = pl.DataFrame({"trial": later["trial"], "at": place}).unique()
    promoted = decided.filter(verdict == PAUSE).join(resumed, on=["trial", "at"], how="semi")
    promoted = promoted.group_by("bracket", "at").agg(pl.len().cast(pl.Int64).alias("promoted"))
    return (
        table.join(promoted, on=["bracket", "at"], how="left")
        .join(_failed(scheduler), on=["bracket", "at"], how="full", coalesce=True)
        .fill_null(0)
        .sort("bracket", "at")
        .with_columns(level=pl.col("at").replace_strict(dict(enumerate(levels)), return_dtype=pl.Float64))
        .select("bracket", "level", "recorded", *kinds, "promoted", "failed")
    )


RUNG_COLUMNS: Final = {  # columns of the rungs' table, and their headings
    "bracket": "bracket",
    "level": "level",
    "recorded": "trials",
    "share": "share",
    "continue": "went on",
    "promoted": "promoted",
    "pause": "paused",
    "stop": "stopped",
    "complete": "completed",
    "failed": "failed",
}
ALWAYS_SHOWN: Final = ("bracket", "level", "recorded", "share")
RUNG_FORMATS: Final = {"level": "{:g}", "share": "{:.1%}"}


def rung_texts(rungs: pl.DataFrame) -> list[list[str]]:
    """Return the table of `rungs` as texts: the headings, then a row for each bracket and level."""
    rows = rungs.to_dicts()
    first = {row["bracket"]: row["recorded"] for row in reversed(rows)}
    columns = [name for name in RUNG_COLUMNS if name in ALWAYS_SHOWN or any(row[name] for row in rows)]
    for row in rows:
        row["pause"] -= row["promoted"]  # so that the numbers of decisions add up
        row["share"] = row["recorded"] / max(1, first[row["bracket"]])
    cells = ([RUNG_FORMATS.get(name, "{:,}").format(row[name]) for name in columns] for row in rows)
    return [[RUNG_COLUMNS[name] for name in columns], *cells]


def _failed(scheduler: Scheduler) -> pl.DataFrame:
    """Return how many trials failed for good on their way to each level: bracket, at, failed."""
    if not scheduler.status_counts()["failed"]:
        return pl.DataFrame(schema={"bracket": pl.Int64, "at": pl.UInt16, "failed": pl.Int64})
    trials = np.flatnonzero([status == "failed" for status in scheduler.trial_statuses()])
    brackets = np.array(scheduler.trial_brackets(), dtype=np.int64)[trials]
    stood = np.array(scheduler.trial_levels(), dtype=np.float64)[trials]
    above = np.searchsorted(np.array(scheduler.levels, dtype=np.float64), stood, side="right")
    at = np.maximum(above, np.array(scheduler.geometry.first)[brackets]).astype(np.uint16)
    return (
        pl.DataFrame({"bracket": brackets, "at": at})
        .group_by("bracket", "at")
        .agg(pl.len().cast(pl.Int64).alias("failed"))
    )


def resources(rows: NDArray[np.void]) -> tuple[float, float]:
    """Return the resource trained in all jobs, and how much of it was wasted.

    A trial needs the resource up to its last milestone, or up to where its function returned or the study's
    end cut it, once. The rest is wasted: resource that was trained again, lost in failures, or trained past
    a milestone whose decision was to end.

    Parameters
    ----------
    rows : structured array
        Of all jobs, those of a trial in the order of time.
    """
    trial = rows["trial"].astype(np.int64)  # as an index array: much faster than the packed field
    trained = rows["stop_resource"] - rows["start_resource"]
    of_trial = np.bincount(trial, weights=trained)
    needed = np.zeros(len(of_trial))
    np.maximum.at(needed, trial, rows["milestone"])
    last = np.full(len(of_trial), -1)
    last[trial] = np.arange(len(rows))  # the last row of each trial remains
    cut = last[last >= 0]
    cut = cut[rows["verdict"][cut] == CENSORED]
    needed[trial[cut]] = np.maximum(needed[trial[cut]], rows["stop_resource"][cut])
    return math.fsum(trained), math.fsum(np.maximum(of_trial - needed, 0.0))
