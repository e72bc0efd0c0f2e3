"""What decisions cost, where winners came from and what workers' time went to: of tasks, and of settings."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, TypeVar

import polars as pl

from hbsim.bench.report.model import (
    BracketRow,
    Regrets,
    Report,
    RungRow,
    Segment,
    Shares,
    Task,
    Timeline,
    View,
)
from hbsim.bench.sweep.folder import SweepResults
from hbsim.bench.sweep.scores import TASK, TaskKey

__all__ = [
    "FEW_TASKS",
    "REGRETS",
    "SHARES",
    "Diagnosed",
    "by_setting",
    "diagnosis",
    "mean_over_groups",
    "views",
]

FEW_TASKS: Final = 6  # up to so many, each has its own figures and tables
SHARES: Final = ("training", "retrained", "overhead", "idle", "absent", "saved")
REGRETS: Final = ("sampling", "decisions", "unfinished", "choice")
RUNG_COUNTS: Final = ("recorded", "stopped", "better", "false_promotions")

_Row = TypeVar("_Row", RungRow, Regrets, BracketRow, Shares)


@dataclass(frozen=True)
class Diagnosed:
    """The diagnosis of each task, in the order of the sweep's variants."""

    rungs: dict[TaskKey, tuple[RungRow, ...]]
    regrets: dict[TaskKey, tuple[Regrets, ...]]
    brackets: dict[TaskKey, tuple[BracketRow, ...]]
    shares: dict[TaskKey, tuple[Shares, ...]]
    timelines: dict[TaskKey, tuple[Timeline, ...]]

    def of(self, key: TaskKey) -> dict[str, Any]:
        """Return that of a task, by the names of its fields."""
        return {one.name: getattr(self, one.name).get(key, ()) for one in fields(self)}


def diagnosis(results: SweepResults, keys: Collection[str]) -> Diagnosed:
    """Return the diagnosis of a sweep, at the end of each study.

    Parameters
    ----------
    results : SweepResults
        Of the sweep.
    keys : collection of str
        The studies that count: seeds that all variants of a task have. Timelines are of the first seed.
    """
    counted = pl.col("key").is_in(list(keys))
    units = pl.DataFrame(
        [(*key, scale.unit, scale.best, scale.mode) for key, scale in results.scales.items()],
        schema={"surrogate": pl.String, "cluster": pl.String, "workers": pl.Int64, "unit": pl.Float64,
                "best": pl.Float64, "mode": pl.String},
        orient="row",
    )  # fmt: skip
    return Diagnosed(
        _gathered(results, _rungs(results.rows("rungs").filter(counted), units), RungRow),
        _gathered(results, _regrets(results.done.filter(counted), units), Regrets),
        _gathered(results, _brackets(results.rows("brackets").filter(counted)), BracketRow),
        _gathered(results, _shares(results.done.filter(counted)), Shares),
        _timelines(results),
    )


def _rungs(rows: pl.DataFrame, units: pl.DataFrame) -> pl.DataFrame:
    rows = rows.join(units, on=TASK, how="left", maintain_order="left")
    return (
        rows.group_by(*TASK, "variant", "bracket", "level", maintain_order=True)
        .agg(pl.col(RUNG_COUNTS).sum(), loss=(pl.col("loss") / pl.col("unit")).mean())
        .sort("bracket", "level", maintain_order=True)
    )


def _regrets(cells: pl.DataFrame, units: pl.DataFrame) -> pl.DataFrame:
    """Return the parts of the regret; where the optimum is unknown, the sampling's against the best seen."""
    cells = cells.join(units, on=TASK, how="left", maintain_order="left")
    distance = (
        pl.when(pl.col("mode") == "max")
        .then(pl.col("best") - pl.col("best_started_part"))
        .otherwise(pl.col("best_started_part") - pl.col("best"))
    ).clip(lower_bound=0.0)
    cells = cells.with_columns(sampling_part=pl.col("sampling_part").fill_null(distance))
    # Only studies of which all four are known, so that they add up to the mean of the final regrets.
    cells = cells.drop_nulls([f"{name}_part" for name in REGRETS])
    means = [(pl.col(f"{name}_part") / pl.col("unit")).mean().alias(name) for name in REGRETS]
    return cells.group_by(*TASK, "variant", maintain_order=True).agg(means)


def _brackets(rows: pl.DataFrame) -> pl.DataFrame:
    sums = rows.group_by(*TASK, "variant", "bracket", maintain_order=True).agg(
        pl.col("trials", "trained_resource", "is_winner").sum()
    )
    shares = [
        (pl.col(name) / pl.col(name).sum().over(*TASK, "variant")).alias(alias)
        for name, alias in (("trials", "trials"), ("trained_resource", "resource"), ("is_winner", "winners"))
    ]
    return sums.select(*TASK, "variant", "bracket", *shares).sort("bracket", maintain_order=True)


def _shares(cells: pl.DataFrame) -> pl.DataFrame:
    means = [pl.col(f"{name}_share").mean().alias(name) for name in SHARES]
    return cells.group_by(*TASK, "variant", maintain_order=True).agg(means)


def _gathered(results: SweepResults, frame: pl.DataFrame, row: Any) -> dict[TaskKey, Any]:
    """Return the rows of each task, variants in the sweep's order."""
    order = {variant["name"]: place for place, variant in enumerate(results.manifest["variants"])}
    names = [name for name in frame.columns if name not in TASK]
    found: dict[TaskKey, list[Any]] = {}
    for line in frame.iter_rows(named=True):
        numbers = {name: math.nan if line[name] is None else line[name] for name in names}
        found.setdefault((line["surrogate"], line["cluster"], line["workers"]), []).append(row(**numbers))
    return {task: tuple(sorted(rows, key=lambda r: order[r.variant])) for task, rows in found.items()}


def _timelines(results: SweepResults) -> dict[TaskKey, tuple[Timeline, ...]]:
    found: dict[TaskKey, list[Timeline]] = {}
    rows = results.rows("timelines")
    for names, group in rows.group_by(*TASK, "variant", "seed", maintain_order=True):
        surrogate, cluster, workers, variant, seed = names
        level = group["level"]
        segments = tuple(
            Segment(*line) for line in group.select("worker", "start", "end", "level").iter_rows()
        )
        shown = int(group["worker"].max()) + 1  # type: ignore[arg-type]
        levels = tuple(level.drop_nulls().unique().sort().to_list())
        line = Timeline(str(variant), int(seed), shown, levels, segments, group["cut"][0])
        found.setdefault((str(surrogate), str(cluster), int(workers)), []).append(line)
    return {task: tuple(lines) for task, lines in found.items()}


def by_setting(tasks: Sequence[Task]) -> dict[str, list[Task]]:
    """Return the tasks of each setting, in their order."""
    found: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        found[task.setting].append(task)
    return dict(found)


def views(report: Report) -> list[View]:
    """Return a view of each task, or, where there are more than `FEW_TASKS`, of each setting."""
    if len(report.tasks) <= FEW_TASKS:
        return [_of_task(task) for task in report.tasks]
    ranked = {one.setting: one.variants for one in report.across if one.measure == "score"}
    names = tuple(variant.name for variant in report.variants)
    return [
        _of_setting(setting, tasks, ranked.get(setting, names))
        for setting, tasks in by_setting(report.tasks).items()
    ]


def _of_task(task: Task) -> View:
    return View(
        title=task.name,
        texts=(task.surrogate, task.setting),
        ranked=tuple(row.variant for row in task.rows),
        rungs=task.rungs,
        regrets=task.regrets,
        brackets=task.brackets,
        shares=task.shares,
    )


def _of_setting(setting: str, tasks: Sequence[Task], ranked: tuple[str, ...]) -> View:
    if len(tasks) == 1:
        return _of_task(tasks[0])
    groups = [task.group for task in tasks]
    return View(
        title=f"{setting}: mean of {len(tasks)} tasks",
        texts=(setting,),
        ranked=ranked,
        rungs=_collected(groups, [task.rungs for task in tasks], ("bracket", "level"), RUNG_COUNTS),
        regrets=_collected(groups, [task.regrets for task in tasks]),
        brackets=_collected(groups, [task.brackets for task in tasks], ("bracket",)),
        shares=_collected(groups, [task.shares for task in tasks]),
    )


def mean_over_groups(values: Iterable[tuple[str, float]]) -> float:
    """Return the mean over groups of the means within them; NaN counts as not there.

    Parameters
    ----------
    values : iterable of (group, value)
    """
    found: dict[str, list[float]] = defaultdict(list)
    for group, value in values:
        if not math.isnan(value):
            found[group].append(value)
    if not found:
        return math.nan
    return math.fsum(math.fsum(part) / len(part) for part in found.values()) / len(found)


def _collected(
    groups: Sequence[str],
    parts: Sequence[tuple[_Row, ...]],
    names: Sequence[str] = (),
    sums: Sequence[str] = (),
) -> tuple[_Row, ...]:
    """Return one row for the rows of all tasks with the same variant and `names`: `sums`, and means."""
    found: dict[tuple[object, ...], list[tuple[str, _Row]]] = defaultdict(list)
    for group, rows in zip(groups, parts, strict=True):
        for row in rows:
            found[tuple(getattr(row, name) for name in ("variant", *names))].append((group, row))
    made = []
    for same in found.values():
        first = same[0][1]
        new: dict[str, Any] = {name: sum(getattr(row, name) for _, row in same) for name in sums}
        for one in fields(first):
            if one.name not in (*sums, *names, "variant"):
                new[one.name] = mean_over_groups((group, getattr(row, one.name)) for group, row in same)
        made.append(replace(first, **new))
    return tuple(made)
