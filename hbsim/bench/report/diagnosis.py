"""The diagnosis of tasks and settings: what decisions cost, where winners came from, how time was spent."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields, replace
from typing import Any, Final, TypeVar

import polars as pl

from hbsim.bench.report.model import (
    BracketRow,
    Regrets,
    RungRow,
    Segment,
    Shares,
    SweepReport,
    TaskReport,
    Timeline,
    View,
)
from hbsim.bench.sweep.folder import SweepResults
from hbsim.bench.sweep.scores import TASK, TaskKey
from hbsim.bench.sweep.store import PARTS, SHARES

FEW_TASKS: Final = 6  # up to this many tasks, each has its own figures and tables
REGRETS: Final = PARTS[:4]
RUNG_COUNTS: Final = ("recorded", "stopped", "better", "false_promotions")

_Row = TypeVar("_Row", RungRow, Regrets, BracketRow, Shares)


def diagnosis(results: SweepResults, keys: Collection[str]) -> dict[TaskKey, dict[str, tuple[Any, ...]]]:
    """Return the diagnosis of each task at the end of its studies, by the names of a `TaskReport`'s fields.

    Parameters
    ----------
    results : SweepResults
        Of the sweep.
    keys : collection of str
        The keys of the studies to use: seeds that all variants of a task have. Timelines show the first seed.
    """
    counted = pl.col("key").is_in(list(keys))
    scales = pl.DataFrame(
        [(*key, scale.unit, scale.best, scale.mode) for key, scale in results.scales.items()],
        schema={"surrogate": pl.String, "cluster": pl.String, "workers": pl.Int64, "unit": pl.Float64,
                "best": pl.Float64, "mode": pl.String},
        orient="row",
    )  # fmt: skip
    cells = results.done.filter(counted).join(scales, on=TASK, how="left", maintain_order="left")
    rungs = results.rows("rungs").filter(counted).join(scales, on=TASK, how="left", maintain_order="left")
    frames: dict[str, tuple[type, pl.DataFrame]] = {
        "rungs": (RungRow, _rungs(rungs)),
        "regrets": (Regrets, _regrets(cells)),
        "brackets": (BracketRow, _brackets(results.rows("brackets").filter(counted))),
        "shares": (Shares, _shares(cells)),
    }
    place = {variant["name"]: at for at, variant in enumerate(results.manifest["variants"])}
    diagnosed: dict[TaskKey, dict[str, tuple[Any, ...]]] = defaultdict(dict)
    for name, (row, frame) in frames.items():
        numbers_of = frame.with_columns(pl.col(pl.Float64).fill_null(math.nan))
        for task, group in numbers_of.group_by(TASK, maintain_order=True):
            rows = [row(**numbers) for numbers in group.drop(TASK).iter_rows(named=True)]
            diagnosed[task][name] = tuple(sorted(rows, key=lambda one: place[one.variant]))
    for task, group in results.rows("timelines").group_by(TASK, maintain_order=True):
        diagnosed[task]["timelines"] = tuple(_timelines(group))
    return diagnosed


def _rungs(rows: pl.DataFrame) -> pl.DataFrame:
    return (
        rows.group_by(*TASK, "variant", "bracket", "level", maintain_order=True)
        .agg(pl.col(RUNG_COUNTS).sum(), loss=(pl.col("loss") / pl.col("unit")).mean())
        .sort("bracket", "level", maintain_order=True)
    )


def _regrets(cells: pl.DataFrame) -> pl.DataFrame:
    """Return the parts of the regret; where the optimum is unknown, sampling is relative to the best seen."""
    distance = (
        pl.when(pl.col("mode") == "max")
        .then(pl.col("best") - pl.col("best_started_part"))
        .otherwise(pl.col("best_started_part") - pl.col("best"))
    ).clip(lower_bound=0.0)
    cells = cells.with_columns(sampling_part=pl.col("sampling_part").fill_null(distance))
    # Only studies with all four parts known, so that the means add up to that of the final regrets.
    cells = cells.drop_nulls([f"{name}_part" for name in REGRETS])
    means = [(pl.col(f"{name}_part") / pl.col("unit")).mean().alias(name) for name in REGRETS]
    return cells.group_by(*TASK, "variant", maintain_order=True).agg(means)


def _brackets(rows: pl.DataFrame) -> pl.DataFrame:
    sums = rows.group_by(*TASK, "variant", "bracket", maintain_order=True).agg(
        pl.col("trials").sum(), resource=pl.col("trained_resource").sum(), winners=pl.col("is_winner").sum()
    )
    parts = pl.col("trials", "resource", "winners")
    shares = sums.select(*TASK, "variant", "bracket", parts / parts.sum().over(*TASK, "variant"))
    return shares.sort("bracket", maintain_order=True)


def _shares(cells: pl.DataFrame) -> pl.DataFrame:
    means = [pl.col(f"{name}_share").mean().alias(name) for name in SHARES]
    return cells.group_by(*TASK, "variant", maintain_order=True).agg(means)


def _timelines(rows: pl.DataFrame) -> Iterable[Timeline]:
    for (variant, seed), group in rows.group_by("variant", "seed", maintain_order=True):
        segments = tuple(Segment(*line) for line in group.select("worker", "start", "end", "level").rows())
        workers = 1 + max(segment.worker for segment in segments)
        levels = tuple(group["level"].drop_nulls().unique().sort().to_list())
        yield Timeline(str(variant), int(seed), workers, levels, segments, group["cut"][0])


def by_setting(tasks: Sequence[TaskReport]) -> dict[str, list[TaskReport]]:
    """Return the tasks of each setting, in their order."""
    found: dict[str, list[TaskReport]] = defaultdict(list)
    for task in tasks:
        found[task.setting].append(task)
    return dict(found)


def views(report: SweepReport) -> list[View]:
    """Return a view of each task, or, where there are more than `FEW_TASKS`, of each setting."""
    if len(report.tasks) <= FEW_TASKS:
        return [task.view for task in report.tasks]
    ranked = {one.setting: one.variants for one in report.across if one.measure == "score"}
    names = tuple(variant.name for variant in report.variants)
    return [
        tasks[0].view if len(tasks) == 1 else _of_setting(setting, tasks, ranked.get(setting, names))
        for setting, tasks in by_setting(report.tasks).items()
    ]


def _of_setting(setting: str, tasks: Sequence[TaskReport], ranked: tuple[str, ...]) -> View:
    def rows(name: str) -> list[tuple[str, Any]]:
        return [(task.group, row) for task in tasks for row in getattr(task, name)]

    return View(
        title=f"{setting}: mean of {len(tasks)} tasks",
        texts=(setting,),
        ranked=ranked,
        rungs=_mean_rows(rows("rungs"), ("bracket", "level"), RUNG_COUNTS),
        regrets=_mean_rows(rows("regrets")),
        brackets=_mean_rows(rows("brackets"), ("bracket",)),
        shares=_mean_rows(rows("shares")),
    )


def _mean_rows(
    rows: Sequence[tuple[str, _Row]], names: Sequence[str] = (), sums: Sequence[str] = ()
) -> tuple[_Row, ...]:
    """Merge rows of the same variant and `names`: sums of the fields `sums`, means of the others.

    `rows` come with the group of their task.
    """
    alike: dict[tuple[object, ...], list[tuple[str, _Row]]] = defaultdict(list)
    for group, row in rows:
        alike[tuple(getattr(row, name) for name in ("variant", *names))].append((group, row))
    made = []
    for same in alike.values():
        numbers: dict[str, Any] = {}
        for name in {one.name for one in fields(same[0][1])} - {"variant", *names}:
            values = [(group, getattr(row, name)) for group, row in same]
            is_sum = name in sums
            numbers[name] = sum(value for _, value in values) if is_sum else mean_over_groups(values)
        made.append(replace(same[0][1], **numbers))
    return tuple(made)


def mean_over_groups(values: Iterable[tuple[str, float]]) -> float:
    """Return the mean over groups of the means within them; NaN is left out.

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
