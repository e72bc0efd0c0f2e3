"""What decisions cost, where winners came from and what workers' time went to: of all tasks at once."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import polars as pl

from hbsim.bench.report.model import BracketRow, Regrets, RungRow, Segment, Shares, Timeline
from hbsim.bench.sweep.results import SweepResults
from hbsim.bench.sweep.scored import TaskKey

__all__ = ["Diagnosed", "diagnosis"]

TASK = ("surrogate", "cluster", "workers")
SHARES = ("training", "retrained", "overhead", "idle", "absent", "saved")
REGRETS = ("sampling", "decisions", "unfinished", "choice")


@dataclass(frozen=True)
class Diagnosed:
    """The diagnosis of each task, in the order of the sweep's variants."""

    rungs: dict[TaskKey, tuple[RungRow, ...]]
    regrets: dict[TaskKey, tuple[Regrets, ...]]
    brackets: dict[TaskKey, tuple[BracketRow, ...]]
    shares: dict[TaskKey, tuple[Shares, ...]]
    timelines: dict[TaskKey, tuple[Timeline, ...]]


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
    counts = ("recorded", "stopped", "better", "false_promotions")
    return (
        rows.group_by(*TASK, "variant", "bracket", "level", maintain_order=True)
        .agg(pl.col(counts).sum(), loss=(pl.col("loss") / pl.col("unit")).mean())
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
