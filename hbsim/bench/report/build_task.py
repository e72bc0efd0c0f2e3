"""A task of a report: how its variants stand, at the budget and over it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from hbsim.bench.conclusions import Interval, mean_intervals
from hbsim.bench.report.judge import Judged, chances, judge, last_if_nan, means_of
from hbsim.bench.report.model import NO_SCORE, WORSE, Lead, Line, Task, TaskRow
from hbsim.bench.report.notes import task_notes
from hbsim.bench.sweep.scores import POINTS, Steps, TaskScores, grid_of
from hbsim.bench.targets import median_time, reached_curve, restricted_time
from hbsim.errors import ParameterError
from hbsim.surrogates.protocol import Floats

__all__ = ["Matters", "make_task"]

MEANS: Final = ("trials", "completed", "failed", "busy_share", "simulated_seconds", "cost")
SHARES: Final = (0.25, 0.5, 0.75, 1.0)  # of the budget, at which it is said who leads
FURTHER: Final = (1.5, 2.0, 3.0, 5.0)  # of it likewise, where studies go on
BEYOND: Final = 1.1  # of the budget: where half of the studies ran longer, it is said beyond it too
MOMENTS: Final = 24  # of the probability of being best over time


@dataclass(frozen=True)
class Matters:
    """The smallest difference that matters: in the metric's unit, or as a share of the best one's regret."""

    amount: float
    is_share: bool

    @classmethod
    def of(cls, text: str) -> Matters:
        """Read ``0.005`` or ``10%``.

        Raises
        ------
        ParameterError
            It is neither, or not above 0.
        """
        is_share = text.strip().endswith("%")
        try:
            amount = float(text.strip().removesuffix("%"))
        except ValueError:
            amount = math.nan
        if not (math.isfinite(amount) and amount > 0):
            raise ParameterError("matters", text, "must be a number above 0, or a percentage as 10%")
        return cls(amount / 100 if is_share else amount, is_share)

    def scaled(self, scores: TaskScores) -> float | None:
        """Return it as normalised regret; None where that is 0 or unknown."""
        unit = 1.0 / scores.scale.unit
        if self.is_share:
            means = [mean.mean for mean in means_of(scores.score) if math.isfinite(mean.mean)]
            unit = min(means, default=math.nan)
        return self.amount * unit if self.amount * unit > 0 else None


def make_task(
    task: Mapping[str, Any], scores: TaskScores, cells: pl.DataFrame, matters: Matters | None = None
) -> Task:
    """Return what there is to say of a task, the diagnosis aside.

    Parameters
    ----------
    task : mapping
        As the manifest has it.
    scores : TaskScores
        Its scores.
    cells : polars.DataFrame
        Its finished cells.
    matters : Matters, optional
        The smallest difference that matters.
    """
    least = None if matters is None else matters.scaled(scores)
    by_score = judge(scores, scores.score, 1.0, least)
    leads, chances = _over_budget(scores)
    return Task(
        surrogate=task["surrogate"],
        cluster=task["cluster"],
        workers=task["workers"],
        group=task["group"],
        metric=task["metric"],
        mode=task["mode"],
        max_t=float(task["max_t"]),
        seeds=len(scores.seeds),
        splits=0 if scores.split is None else len(np.unique(scores.split)),
        configurations=task.get("rows"),
        budget=scores.budget.value,
        budget_text=scores.budget.text,
        resource=scores.resource,
        optimum=scores.scale.best,
        is_optimum_known=scores.scale.is_known,
        median=scores.scale.median,
        target=scores.target,
        matters=least,
        rows=_rows(scores, by_score, cells) if scores.seeds else (),
        leads=leads,
        chances=chances,
        anytime=_anytime(scores),
        reached=_reached(scores),
        notes=(*task_notes(scores, by_score, cells, task.get("rows")), *task.get("notes", ())),
    )


def _rows(scores: TaskScores, by_score: Judged, cells: pl.DataFrame) -> tuple[TaskRow, ...]:
    """Return a row a variant, by rank, then by mean score."""
    budget, sign = np.array([scores.budget.value]), -1.0 if scores.scale.mode == "max" else 1.0
    by_resource = judge(scores, scores.scores(np.array([scores.resource]), "resource")[0], 1.0)
    shown = {name: scores.at(name, budget)[0] for name in ("picked", "value", "test")}
    by_test = judge(scores, sign * shown["test"]) if np.isfinite(shown["test"]).any() else None
    restricted = means_of(restricted_time(scores.reach, scores.budget.value))
    intervals = {name: means_of(column) for name, column in shown.items()}
    area, means, rows = means_of(scores.area), _means(scores, cells), []
    for v, name in enumerate(scores.variants):
        standing, time = by_score.decides[v], median_time(scores.reach[:, v], scores.budget.value)
        rows.append(
            TaskRow(
                variant=name,
                rank=standing.rank,
                call=standing.call,
                score=by_score.means[v],
                curves=by_score.curves[v],
                draw=None if by_score.draw is None else by_score.draw[v],
                regret=_times(by_score.means[v], scores.scale.unit),
                picked=intervals["picked"][v],
                value=intervals["value"][v],
                test=intervals["test"][v],
                test_standing=None if by_test is None else by_test.decides[v],
                resource=by_resource.means[v],
                resource_standing=by_resource.decides[v],
                area=area[v],
                to_target=restricted[v],
                median_time=Interval(time.median, time.low, time.high),
                reached=float(np.isfinite(scores.reach[:, v]).mean()),
                missing=int(np.isnan(scores.score[:, v]).sum()),
                **means[name],
            )
        )
    return tuple(sorted(rows, key=lambda row: (row.rank, last_if_nan(row.score.mean))))


def _means(scores: TaskScores, cells: pl.DataFrame) -> dict[str, dict[str, float]]:
    shared = cells.filter(pl.col("seed").is_in(list(scores.seeds)))
    found = shared.group_by("variant").agg(pl.col(MEANS).mean().cast(pl.Float64).fill_null(math.nan))
    return {row.pop("variant"): row for row in found.iter_rows(named=True)}


def _over_budget(scores: TaskScores) -> tuple[tuple[Lead, ...], tuple[Line, ...]]:
    """Return who leads at shares of the budget and beyond, and the probability of being best over time."""
    if len(scores.variants) < 2 or not _begun(scores):
        return (), ()
    budget = scores.budget.value
    last = max(float(np.median(scores.ends)) / budget, scores.beyond)
    shares = [*SHARES, *(share for share in FURTHER if BEYOND * share < last)]
    shares += [last] if last > BEYOND else []
    times = np.array(shares) * budget
    leads = tuple(
        _lead(scores, share, time, judge(scores, numbers, 1.0))
        for share, time, numbers in zip(shares, times, scores.scores(times), strict=True)
    )
    x = _grid(scores, MOMENTS)
    found = chances(scores, scores.scores(x))
    there = np.isfinite(found).all(axis=0)
    return leads, tuple(
        Line(name, _tuple(x[there]), _tuple(found[v, there])) for v, name in enumerate(scores.variants)
    )


def _begun(scores: TaskScores) -> list[Steps]:
    return [study for row in scores.studies for study in row if len(study.time)]


def _grid(scores: TaskScores, points: int = POINTS) -> Floats:
    """Return points of time from the first incumbent to where studies end, the budget among them."""
    budget = scores.budget.value
    return np.unique(np.append(grid_of(_begun(scores), budget * scores.beyond, points), budget))


def _lead(scores: TaskScores, share: float, time: float, judged: Judged) -> Lead:
    order = sorted(range(len(scores.variants)), key=lambda v: last_if_nan(judged.means[v].mean))
    calls = {scores.variants[v]: judged.decides[v].call for v in order}
    leaders = tuple(name for name, call in calls.items() if call not in (WORSE, NO_SCORE))
    return Lead(
        share=share,
        time=float(time),
        best=leaders[0] if leaders else "",
        leaders=leaders,
        worse=tuple(name for name, call in calls.items() if call == WORSE),
        running=float((scores.ends > time).mean()),
    )


def _anytime(scores: TaskScores) -> tuple[Line, ...]:
    """Return the normalised regret over time of each variant, on points that all share."""
    if not _begun(scores):
        return ()
    x, lines = _grid(scores), []
    data = scores.scores(x)
    for v, name in enumerate(scores.variants):
        mean, low, high = mean_intervals(data[:, :, v])
        there = np.isfinite(mean)
        band = (low[there], high[there]) if len(scores.seeds) > 1 else ()
        lines.append(Line(name, *map(_tuple, (x[there], mean[there], *band))))
    return tuple(lines)


def _reached(scores: TaskScores) -> tuple[Line, ...]:
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


def _tuple(column: Floats) -> tuple[float, ...]:
    return tuple(column.tolist())
