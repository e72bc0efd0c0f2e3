"""What scores are held against: the best and a guess at R, and the time at which variants are scored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import polars as pl

from hbsim.bench.statistics import normalise, on_grid
from hbsim.bench.sweep.tables import DONE, KEY, PLANNED
from hbsim.surrogates.protocol import Floats

__all__ = ["Budget", "Scale", "Steps", "TaskKey", "anytime", "budgets", "grid_of", "scales", "steps"]

TASK: Final = ("surrogate", "cluster", "workers")
POINTS: Final = 64  # of the grid of each task
TaskKey: TypeAlias = tuple[str, str, int]  # surrogate, cluster, workers


@dataclass(frozen=True)
class Scale:
    """What makes a regret of a value at R, and a score of a regret.

    Attributes
    ----------
    mode : "max" or "min"
        Which values are better.
    best : float
        The best of the space at R; where that is unknown, the best that any study of the sweep has started.
    is_known : bool
        Which of them.
    guess : float
        What a configuration drawn at random shows at R: the median.
    """

    mode: str
    best: float
    is_known: bool
    guess: float

    @property
    def unit(self) -> float:
        """The regret of a guess; NaN where that is unknown or the best there is: there is nothing to tune."""
        distance = float(self.regret(np.array([self.guess]))[0])
        return distance if distance > 0 else math.nan

    def regret(self, values: Floats) -> Floats:
        """Return the distance of values at R from the best, at least 0; NaN stays."""
        signed = self.best - values if self.mode == "max" else values - self.best
        return np.maximum(signed, 0.0)

    def score(self, values: Floats) -> Floats:
        """Return the normalised regret of values at R: 0 is the best there is, 1 no better than a guess."""
        if math.isnan(self.unit):
            return np.full(len(values), math.nan)
        return normalise(self.regret(values), self.unit)


@dataclass(frozen=True)
class Budget:
    """Simulated seconds at which a task's variants are scored, who set them, and whether the file did."""

    value: float
    text: str
    is_given: bool = False


@dataclass(frozen=True)
class Steps:
    """The incumbents of a study: when each was reported, and what it shows at R; shapes (n,)."""

    time: Floats
    value: Floats


def scales(
    manifest: Mapping[str, Any], cells: pl.DataFrame, incumbents: pl.DataFrame
) -> dict[TaskKey, Scale]:
    """Return the scale of each task.

    Parameters
    ----------
    manifest : mapping
        As the sweep wrote it.
    cells : polars.DataFrame
        With the names of cells, and `best_started_part`.
    incumbents : polars.DataFrame
        With key and value.
    """
    seen = _seen(manifest, cells, incumbents)
    found = {}
    for task in manifest["tasks"]:
        known = task["optimum"] is not None
        best = task["optimum"] if known else seen.get((task["surrogate"], task["max_t"]), math.nan)
        guess = math.nan if task["guess"] is None else task["guess"]
        found[_key(task)] = Scale(task["mode"], best, known, guess)
    return found


def _seen(
    manifest: Mapping[str, Any], cells: pl.DataFrame, incumbents: pl.DataFrame
) -> dict[tuple[str, float], float]:
    """Return the best value at R that was seen, of learning curves whose best is unknown."""
    tasks = pl.DataFrame(
        [(*_key(t), float(t["max_t"]), t["mode"]) for t in manifest["tasks"] if t["optimum"] is None],
        schema={"surrogate": pl.String, "cluster": pl.String, "workers": pl.Int64, "max_t": pl.Float64,
                "mode": pl.String},
        orient="row",
    )  # fmt: skip
    if tasks.is_empty() or cells.is_empty():
        return {}
    of = cells.join(tasks, on=["surrogate", "cluster", "workers"], how="inner")
    shown = incumbents.join(of.select("key", "surrogate", "max_t", "mode").unique(), on="key", how="inner")
    values = pl.concat(
        [
            of.select("surrogate", "max_t", "mode", value="best_started_part"),
            shown.select("surrogate", "max_t", "mode", "value"),
        ]
    ).drop_nulls("value")
    best = values.group_by("surrogate", "max_t", "mode").agg(
        low=pl.col("value").min(), high=pl.col("value").max()
    )
    return {
        (row["surrogate"], row["max_t"]): row["high"] if row["mode"] == "max" else row["low"]
        for row in best.iter_rows(named=True)
    }


def budgets(manifest: Mapping[str, Any], cells: pl.DataFrame) -> dict[TaskKey, Budget]:
    """Return where each task's variants are scored: its max_time, or where the first of its studies ended.

    A study that all workers left before the work was done does not set it.
    """
    done = cells.filter((pl.col("status") == DONE) & ~pl.col("is_deserted"))
    soonest = {
        tuple(names): (group["simulated_seconds"].min(), group)
        for names, group in done.group_by(TASK, maintain_order=True)
    }
    found = {}
    for task in manifest["tasks"]:
        key = _key(task)
        if task["max_time"] is not None:
            text = "as given"
            if task["full_run"]:  # else the curves take no time
                text += f": {task['max_time'] / task['full_run']:.3g} mean full runs"
            found[key] = Budget(task["max_time"], text, is_given=True)
        elif key in soonest:
            end, group = soonest[key]
            first = group.filter(pl.col("simulated_seconds") == end).row(0, named=True)
            text = f"the earliest end of any study: {first['variant']}, seed {first['seed']}"
            found[key] = Budget(float(first["simulated_seconds"]), text)
        else:
            found[key] = Budget(math.nan, "no study came to its end")
    return found


def steps(incumbents: pl.DataFrame) -> dict[str, Steps]:
    """Return the incumbents of each study that has any, by its key."""
    ordered = incumbents.select("key", "time", pl.col("value").fill_null(math.nan))
    keys, time, value = (ordered[name] for name in ("key", "time", "value"))
    if not len(keys):
        return {}
    names, firsts = np.unique(keys.rle_id().to_numpy(), return_index=True)
    ends = np.append(firsts[1:], len(keys))
    times, values = time.to_numpy(), value.to_numpy()
    return {
        keys[int(first)]: Steps(times[first:end], values[first:end])
        for _, first, end in zip(names, firsts, ends, strict=True)
    }


def anytime(cells: pl.DataFrame, incumbents: pl.DataFrame, manifest: Mapping[str, Any]) -> pl.DataFrame:
    """Return each cell's normalised regret over time, on a grid that all of its task share.

    Columns: key, the cell's names, time (simulated seconds), score (null before the first incumbent, and
    where it has none). The 64 points have equal ratios, from the first incumbent of the task to where it is
    scored. Cells without any incumbent are not there.
    """
    scale, budget, found = scales(manifest, cells, incumbents), budgets(manifest, cells), steps(incumbents)
    schema = {**PLANNED, "time": pl.Float64(), "score": pl.Float64()}
    frames = [pl.DataFrame(schema=schema)]
    done = cells.filter((pl.col("status") == DONE) & pl.col(KEY).is_in(list(found)))
    for names, group in done.group_by(TASK, maintain_order=True):
        task = (str(names[0]), str(names[1]), int(names[2]))
        of = [found[key] for key in group[KEY]]
        grid = grid_of(of, budget[task].value)
        scores = [on_grid(study.time, scale[task].score(study.value), grid) for study in of]
        points = pl.DataFrame(
            {
                "time": np.tile(grid, len(of)),
                "score": pl.Series(np.concatenate(scores), dtype=pl.Float64, nan_to_null=True),
            }
        )
        rows = group.select(list(PLANNED))[np.repeat(np.arange(len(of)), len(grid))]
        frames.append(rows.hstack(points).cast(schema))  # type: ignore[arg-type]
    return pl.concat(frames)


def grid_of(studies: list[Steps], budget: float, points: int = POINTS) -> Floats:
    """Return points of time from the first incumbent to the budget, with equal ratios where it is above 0."""
    first = min(float(study.time[0]) for study in studies)
    if not first < budget:
        return np.array([budget])
    grid = np.geomspace(first, budget, points) if first > 0 else np.linspace(first, budget, points)
    grid[0], grid[-1] = first, budget
    return grid


def _key(task: Mapping[str, Any]) -> TaskKey:
    return task["surrogate"], task["cluster"], task["workers"]
