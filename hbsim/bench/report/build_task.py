"""A task of a report: its ranking and its curves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from hbsim.bench.report.build_notes import task_notes
from hbsim.bench.report.model import Line, Task, TaskRow
from hbsim.bench.report.pairs import TaskScores
from hbsim.bench.statistics import (
    ALPHA,
    Interval,
    compare_pairs,
    holm_pairs,
    median_time,
    on_grid,
    reached_curve,
    restricted_time,
    seeds_needed,
    verdict,
)
from hbsim.bench.statistics.many import mean_bands, mean_intervals
from hbsim.bench.sweep.results import SweepResults
from hbsim.bench.sweep.scored import grid_of
from hbsim.surrogates.protocol import Floats

__all__ = ["anytime_lines", "make_task", "reached_lines", "task_rows"]

MEANS = ("completed", "busy_share", "simulated_seconds", "cost")


def make_task(
    task: Mapping[str, Any], scores: TaskScores, results: SweepResults, cells: pl.DataFrame
) -> Task:
    """Return what there is to say of a task, the diagnosis aside.

    Parameters
    ----------
    task : mapping
        As the manifest has it.
    scores : TaskScores
        Its scores.
    results : SweepResults
        Of the sweep.
    cells : polars.DataFrame
        Its finished cells.
    """
    return Task(
        surrogate=task["surrogate"],
        cluster=task["cluster"],
        workers=task["workers"],
        group=task["group"],
        metric=task["metric"],
        mode=task["mode"],
        max_t=float(task["max_t"]),
        seeds=len(scores.seeds),
        budget=scores.budget.value,
        budget_text=scores.budget.text,
        optimum=scores.scale.best,
        is_optimum_known=scores.scale.is_known,
        guess=scores.scale.guess,
        target=results.manifest["target"],
        rows=task_rows(scores, cells),
        anytime=anytime_lines(scores, results),
        reached=reached_lines(scores),
        notes=(*task_notes(scores, cells), *task.get("notes", ())),
    )


def task_rows(scores: TaskScores, cells: pl.DataFrame) -> tuple[TaskRow, ...]:
    """Return a row a variant, by rank."""
    if not scores.seeds:
        return ()
    score, area = mean_intervals(scores.score.T), mean_intervals(scores.area.T)
    restricted = restricted_time(scores.reach, scores.budget.value)
    to_target = mean_intervals(restricted.T)
    missing = np.isnan(scores.score).sum(axis=0)
    order = [(int(missing[v]), _last_if_nan(score[v].mean)) for v in range(len(scores.variants))]
    best = order.index(min(order))
    p, p_target = holm_pairs(scores.score), holm_pairs(restricted)
    differences = mean_intervals((scores.score - scores.score[:, [best]]).T)
    means = _means(scores, cells)
    rows = []
    for v, name in enumerate(scores.variants):
        rank = 1 + sum(other < order[v] for other in order)
        pair = compare_pairs(scores.score[:, v], scores.score[:, best], differences[v])
        call = "best" if rank == 1 else verdict(pair, float(p[v, best]), ALPHA)
        call = "no score" if pair.missing == pair.n else "too close to call" if call == "better" else call
        open_ = call == "too close to call"
        rows.append(
            TaskRow(
                variant=name,
                rank=rank,
                score=score[v],
                regret=_times(score[v], scores.scale.unit),
                area=area[v],
                to_target=to_target[v],
                median_time=_median(scores, v),
                p_target=math.nan if v == best else float(p_target[v, best]),
                reached=float(np.isfinite(scores.reach[:, v]).mean()),
                missing=int(missing[v]),
                difference=differences[v],
                p=math.nan if v == best else float(p[v, best]),
                effect=math.nan if v == best else pair.rank_biserial,
                superiority=math.nan if v == best else pair.superiority,
                call=call,
                seeds_needed=_needed(scores, v, best) if open_ else None,
                **{mean: means[name][mean] for mean in MEANS},
            )
        )
    return tuple(sorted(rows, key=lambda row: row.rank))


def _median(scores: TaskScores, variant: int) -> Interval:
    found = median_time(scores.reach[:, variant], scores.budget.value)
    return Interval(found.median, found.low, found.high)


def _needed(scores: TaskScores, variant: int, best: int) -> int | None:
    pairs = len(scores.variants) * (len(scores.variants) - 1) / 2
    return seeds_needed(scores.score[:, variant] - scores.score[:, best], alpha=ALPHA / pairs)


def _means(scores: TaskScores, cells: pl.DataFrame) -> dict[str, dict[str, float]]:
    shared = cells.filter(pl.col("seed").is_in(list(scores.seeds)))
    means = shared.group_by("variant").agg(pl.col(MEANS).mean())
    found = {}
    for row in means.iter_rows(named=True):
        found[row["variant"]] = {name: math.nan if row[name] is None else float(row[name]) for name in MEANS}
    return found


def anytime_lines(scores: TaskScores, results: SweepResults) -> tuple[Line, ...]:
    """Return the normalised regret over time of each variant, on points that all share."""
    studies = [scores.studies(results, variant) for variant in range(len(scores.variants))]
    begun = [study for of_variant in studies for study in of_variant if len(study.time)]
    if not begun:
        return ()
    x = grid_of(begun, scores.budget.value)
    lines = []
    for name, of_variant in zip(scores.variants, studies, strict=True):
        data = np.array([on_grid(s.time, scores.scale.score(s.value), x) for s in of_variant])
        mean, low, high = mean_bands(data)
        there = np.isfinite(mean)
        band = (low, high) if len(scores.seeds) > 1 else (np.empty(0), np.empty(0))
        lines.append(Line(name, *(_tuple(c[there] if len(c) else c) for c in (x, mean, *band))))
    return tuple(lines)


def reached_lines(scores: TaskScores) -> tuple[Line, ...]:
    """Return the share of seeds that have reached the target over time, of each variant."""
    if not scores.seeds:
        return ()
    horizon = scores.budget.value
    ends = np.full(len(scores.seeds), horizon)
    found = (reached_curve(scores.reach[:, v], ends, horizon) for v in range(len(scores.variants)))
    return tuple(
        Line(name, _tuple(x), _tuple(y)) for name, (x, y) in zip(scores.variants, found, strict=True)
    )


def _times(interval: Interval, unit: float) -> Interval:
    return Interval(interval.mean * unit, interval.low * unit, interval.high * unit)


def _last_if_nan(number: float) -> float:
    return math.inf if math.isnan(number) else number


def _tuple(column: Floats) -> tuple[float, ...]:
    return tuple(column.tolist())
