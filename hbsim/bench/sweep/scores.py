"""Scores of studies: the scale of regrets, the budget of each task, and the arrays of scores.

A score is always computed the same way: the incumbent at a time, its value at R, the distance from the best
value, divided by that of the median configuration.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import polars as pl

from hbsim.bench.sweep.store import DONE, KEY, PLANNED
from hbsim.bench.targets import area_under, first_time, on_grid
from hbsim.surrogates.protocol import Floats, Ints

if TYPE_CHECKING:
    from hbsim.bench.sweep.folder import SweepResults

TASK: Final = ("surrogate", "cluster", "workers")
POINTS: Final = 64  # points of the grid of each task
COLUMNS: Final = ("resource", "picked", "test")  # columns of incumbents beside time and value
TaskKey: TypeAlias = tuple[str, str, int]  # surrogate, cluster, workers


@dataclass(frozen=True)
class Scale:
    """The scale that turns a value at R into a regret, and a regret into a score.

    Attributes
    ----------
    mode : "max" or "min"
        Which values are better.
    best : float
        The best of the space at R; where that is unknown, the best trial that any study has started.
    is_known : bool
        Whether `best` is the best of the space.
    median : float
        The value at R of the median configuration drawn at random.
    """

    mode: str
    best: float
    is_known: bool
    median: float

    @property
    def unit(self) -> float:
        """The regret of the median configuration; NaN where it is unknown, or 0: nothing to tune."""
        distance = float(self.regret(np.array([self.median]))[0])
        return distance if distance > 0 else math.nan

    def regret(self, values: Floats) -> Floats:
        """Return the distance of values at R from the best, at least 0; NaN stays."""
        signed = self.best - values if self.mode == "max" else values - self.best
        return np.maximum(signed, 0.0)

    def score(self, values: Floats) -> Floats:
        """Return the normalised regret of values at R: 0 is the best there is; NaN where the unit is."""
        return self.regret(values) / self.unit


@dataclass(frozen=True)
class Budget:
    """The budget of a task: simulated seconds at which it is scored, who set them, and if the file did."""

    value: float
    text: str
    is_given: bool = False


@dataclass(frozen=True)
class Steps:
    """The incumbents of a study: when each was reported, and its value at R; shapes (n,).

    `columns` has further arrays by name, where they are known: the ``resource`` trained by then, the value by
    which the incumbent was ``picked``, and the held-out ``test`` value at R.
    """

    time: Floats
    value: Floats
    columns: Mapping[str, Floats] = field(default_factory=dict)

    def at(self, values: Floats, x: Floats, axis: str = "time") -> Floats:
        """Return `values` of the last incumbent by each of `x`, a time or resource; NaN before the first."""
        return on_grid(self.time if axis == "time" else self.columns[axis], values, x)

    def column(self, name: str) -> Floats:
        """Return a column; NaN where it is not known."""
        return self.value if name == "value" else self.columns.get(name, np.full(len(self.time), math.nan))


NOTHING: Final = Steps(np.empty(0), np.empty(0), {name: np.empty(0) for name in COLUMNS})


def scales(
    manifest: Mapping[str, Any], cells: pl.DataFrame, incumbents: pl.DataFrame
) -> dict[TaskKey, Scale]:
    """Return the scale of each task.

    Parameters
    ----------
    manifest : mapping
        The manifest that the sweep wrote.
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
        median = math.nan if task["guess"] is None else task["guess"]
        found[key_of(task)] = Scale(task["mode"], best, known, median)
    return found


def _seen(
    manifest: Mapping[str, Any], cells: pl.DataFrame, incumbents: pl.DataFrame
) -> dict[tuple[str, float], float]:
    """Return the best observed value at R of learning curves whose best is unknown."""
    values: dict[tuple[str, float], list[float]] = {}
    modes = {task["surrogate"]: task["mode"] for task in manifest["tasks"]}
    for task in manifest["tasks"]:
        if task["optimum"] is None:
            names = dict(zip(TASK, key_of(task), strict=True))
            mine = cells.filter(**names)
            shown = incumbents.join(mine.select(KEY), on=KEY, how="semi")
            started = values.setdefault((task["surrogate"], float(task["max_t"])), [])
            started += [*mine["best_started_part"].drop_nulls(), *shown["value"].drop_nulls()]
    return {
        key: max(found) if modes[key[0]] == "max" else min(found) for key, found in values.items() if found
    }


def budgets(manifest: Mapping[str, Any], cells: pl.DataFrame) -> dict[TaskKey, Budget]:
    """Return the budget of each task: its max_time, or the time at which the first of its studies ended.

    A study whose workers all left before the work was done does not set the budget.
    """
    done = cells.filter((pl.col("status") == DONE) & ~pl.col("is_deserted"))
    soonest = {
        tuple(names): (group["simulated_seconds"].min(), group)
        for names, group in done.group_by(TASK, maintain_order=True)
    }
    found = {}
    for task in manifest["tasks"]:
        key = key_of(task)
        if task["max_time"] is not None:
            text = "as given"
            if task["full_run"]:  # else training takes no time
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
    if incumbents.is_empty():
        return {}
    keys = incumbents["key"]
    names = ["value", *(name for name in COLUMNS if name in incumbents.columns)]
    numbers = {name: incumbents[name].fill_null(math.nan).to_numpy() for name in names}
    time, firsts = incumbents["time"].to_numpy(), np.unique(keys.rle_id().to_numpy(), return_index=True)[1]
    found = {}
    for first, end in zip(firsts, np.append(firsts[1:], len(keys)), strict=True):
        mine = {name: column[first:end] for name, column in numbers.items()}
        found[keys[int(first)]] = Steps(time[first:end], mine.pop("value"), mine)
    return found


def anytime(cells: pl.DataFrame, incumbents: pl.DataFrame, manifest: Mapping[str, Any]) -> pl.DataFrame:
    """Return each cell's normalised regret over time, on a grid that all of its task share.

    Columns: key, the cell's names, time (simulated seconds), score (null before the first incumbent, and
    where the incumbent has none). The 64 points have equal ratios, from the first incumbent of the task to
    its budget. Cells without any incumbent are left out.
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
    """Return points of time from the first incumbent to the budget, with equal ratios if it is above 0."""
    first = min(float(study.time[0]) for study in studies)
    if not first < budget:
        return np.array([budget])
    grid = np.geomspace(first, budget, points) if first > 0 else np.linspace(first, budget, points)
    grid[0], grid[-1] = first, budget
    return grid


def key_of(task: Mapping[str, Any]) -> TaskKey:
    """Return the names of a task of the manifest."""
    return task["surrogate"], task["cluster"], task["workers"]


@dataclass(frozen=True)
class TaskScores:
    """The scores of variants on a task, paired by seed.

    Attributes
    ----------
    key : TaskKey
        The task.
    variants : tuple of str
        The k variants that are compared here, in the sweep's order.
    absent : tuple of str
        The planned variants with fewer than half of the seeds of others; usually none.
    seeds : tuple of int
        The n seeds that all compared variants have.
    keys : tuple of tuples of str, (n, k)
        The keys of the studies.
    studies : tuple of tuples of Steps, (n, k)
        The incumbents of the studies.
    ends, totals : arrays, shape (n, k)
        When the studies ended, and the resource they had trained by then.
    split, part : arrays of int, shape (n,), or None
        The half of the rows that each seed's studies saw; None where they saw all rows.
    scale, budget, target
        The scale of scores, the time at which they are taken, and the score that counts as the target.
    beyond : float
        How many times the budget studies run, at least 1.
    """

    key: TaskKey
    variants: tuple[str, ...]
    absent: tuple[str, ...]
    seeds: tuple[int, ...]
    keys: tuple[tuple[str, ...], ...]
    studies: tuple[tuple[Steps, ...], ...]
    ends: Floats
    totals: Floats
    split: Ints | None
    part: Ints | None
    scale: Scale
    budget: Budget
    target: float
    beyond: float = 1.0

    @property
    def is_complete(self) -> bool:
        """Whether all planned variants have seeds in common, and scores can be given."""
        return bool(self.seeds) and not self.absent and math.isfinite(self.scale.unit)

    def at(self, name: str, x: Floats, axis: str = "time") -> Floats:
        """Return a column of the incumbents at each time or resource `x`; shape (len(x), n, k)."""
        rows = [[study.at(study.column(name), x, axis) for study in row] for row in self.studies]
        found = np.array(rows, dtype=np.float64).reshape(len(self.seeds), len(self.variants), len(x))
        moved: Floats = np.moveaxis(found, 2, 0)
        return moved

    def scores(self, x: Floats, axis: str = "time") -> Floats:
        """Return the normalised regrets at each time or resource `x`; shape (len(x), n, k)."""
        return self.scale.score(self.at("value", x, axis))

    @cached_property
    def score(self) -> Floats:
        """Normalised regret at the budget, shape (n, k); NaN without an incumbent."""
        found: Floats = self.scores(np.array([self.budget.value]))[0]
        return found

    @cached_property
    def area(self) -> Floats:
        """Normalised regret averaged over the time until the budget, shape (n, k)."""
        if math.isnan(self.scale.unit):
            return np.full(self.ends.shape, math.nan)
        return self._each(lambda time, score: area_under(time, score, self.budget.value))

    @cached_property
    def reach(self) -> Floats:
        """The time at which the target was reached, shape (n, k); infinite where it was not by the budget."""

        def first(time: Floats, score: Floats) -> float:
            found = first_time(time, score, self.target)
            return found if found <= self.budget.value else math.inf

        return self._each(first)

    @cached_property
    def resource(self) -> float:
        """The median over studies of the resource trained by the budget; linear between incumbents."""
        if not self.seeds:
            return math.nan
        trained = [
            np.interp(self.budget.value, [0.0, *study.time, end], [0.0, *study.column("resource"), total])
            for row, ends, totals in zip(self.studies, self.ends, self.totals, strict=True)
            for study, end, total in zip(row, ends, totals, strict=True)
        ]
        return float(np.median(trained))

    def _each(self, measure: Callable[[Floats, Floats], float]) -> Floats:
        rows = [[measure(study.time, self.scale.score(study.value)) for study in row] for row in self.studies]
        return np.array(rows, dtype=np.float64).reshape(self.ends.shape)


def task_scores(
    results: SweepResults, key: TaskKey, cells: pl.DataFrame, planned: Collection[str]
) -> TaskScores:
    """Score a task.

    Parameters
    ----------
    results : SweepResults
        Of the sweep.
    key : TaskKey
        The task.
    cells : polars.DataFrame
        Its finished cells; at least one.
    planned : collection of str
        The planned variants.
    """
    order = [variant["name"] for variant in results.manifest["variants"]]
    counts = dict(cells.group_by("variant").len().iter_rows())
    there = {name for name, count in counts.items() if 2 * count >= max(counts.values())}
    variants = tuple(name for name in order if name in there)
    rows = {(row["variant"], row["seed"]): row for row in cells.iter_rows(named=True)}
    budget, found = results.budgets[key], []
    if budget.value > 0:  # else training took no time
        for seed in cells["seed"].unique(maintain_order=True):
            mine = [rows.get((variant, seed)) for variant in variants]
            if all(row is not None for row in mine):
                found.append([row for row in mine if row is not None])

    def numbers(name: str) -> Floats:
        shape = (len(found), len(variants))
        return np.array([[row[name] for row in mine] for mine in found], dtype=np.float64).reshape(shape)

    def halves(name: str) -> Ints | None:
        known = [row.get(name) for mine in found for row in mine[:1]]
        return None if not known or None in known else np.array(known, dtype=np.int64)

    return TaskScores(
        key=key,
        variants=variants,
        absent=tuple(name for name in order if name in planned and name not in there),
        seeds=tuple(mine[0]["seed"] for mine in found),
        keys=tuple(tuple(row[KEY] for row in mine) for mine in found),
        studies=tuple(tuple(results.steps.get(row[KEY], NOTHING) for row in mine) for mine in found),
        ends=numbers("simulated_seconds"),
        totals=numbers("trained_resource"),
        split=halves("split"),
        part=halves("part"),
        scale=results.scales[key],
        budget=budget,
        target=results.manifest["target"],
        beyond=results.manifest.get("beyond", 1.0),
    )
