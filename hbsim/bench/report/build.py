"""The builder of a report: from a sweep's results to standings, curves and the diagnosis of each task."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
import polars as pl

from hbsim.bench.conclusions import Interval, best_probability, mean_intervals
from hbsim.bench.formatting import last_if_nan
from hbsim.bench.report.across import across_settings, heatmaps
from hbsim.bench.report.diagnosis import diagnosis
from hbsim.bench.report.model import (
    NO_SCORE,
    WORSE,
    Lead,
    Line,
    Missing,
    SweepReport,
    TaskReport,
    TaskRow,
    VariantInfo,
    setting_of,
)
from hbsim.bench.report.notes import report_notes, task_notes
from hbsim.bench.report.standings import Standings, means_of
from hbsim.bench.report.summary import answer, summary
from hbsim.bench.sweep.folder import SweepResults
from hbsim.bench.sweep.scores import POINTS, TASK, Steps, TaskKey, TaskScores, grid_of, key_of, task_scores
from hbsim.bench.sweep.store import SUMMARY
from hbsim.bench.targets import median_time, reached_curve, restricted_time
from hbsim.errors import ParameterError
from hbsim.surrogates.protocol import Floats

MEANS: Final = tuple(one.name for one in fields(TaskRow) if one.name in SUMMARY)
LEAD_SHARES: Final = (0.25, 0.5, 0.75, 1.0)  # shares of the budget at which the report names the leader
FURTHER: Final = (1.5, 2.0, 3.0, 5.0)  # likewise, where studies go on after the budget
BEYOND: Final = 1.1  # share of the budget; leads beyond it are shown where half of the studies ran longer
MOMENTS: Final = 24  # points of the probability of being best over time


@dataclass(frozen=True)
class Scored:
    """A task with a finished study: its entry in the manifest, its scores and its finished cells."""

    task: Mapping[str, Any]
    scores: TaskScores
    cells: pl.DataFrame


def build(
    results: SweepResults, command: str, folder: str = "DIR", matters: str | None = None
) -> SweepReport:
    """Build a report from the results of a sweep.

    Parameters
    ----------
    results : SweepResults
        Of a sweep, finished or not.
    command : str
        The command that makes this report.
    folder : str
        The folder of the results, as the user wrote it.
    matters : str, optional
        The smallest difference that matters: ``0.005`` in the metric's unit, or ``10%`` of the least regret.

    Raises
    ------
    ParameterError
        `matters` is no such difference, or the extra ``report`` is not installed.
    """
    if matters is not None:
        smallest_difference(matters)
    manifest, scored = results.manifest, _scored(results)
    scores = [one.scores for one in scored]
    diagnosed = diagnosis(results, {key for one in scores for studies in one.keys for key in studies})
    groups = {key_of(task): task["group"] for task in manifest["tasks"]}
    fresh = [] if results.confirm is None else _scored(results.confirm)
    report = SweepReport(
        title=manifest["title"],
        description=manifest["description"],
        answer="",
        summary=(),
        notes=(),
        cells=len(results.cells),
        finished=len(results.done),
        variants=tuple(VariantInfo(v["name"], v["type"], v["options"]) for v in manifest["variants"]),
        tasks=tuple(_task(one, matters, diagnosed.get(one.scores.key, {})) for one in scored),
        across=across_settings(scores, groups, [variant["name"] for variant in manifest["variants"]]),
        heatmaps=heatmaps(scores, groups, manifest),
        confirmed=tuple(_task(one, matters, {}) for one in fresh),
        missing=tuple(_missing(results.cells)),
        commands={
            "the studies": f"{manifest['command']} --out {shlex.quote(folder)}",
            "this report": command,
        },
        versions=manifest["versions"],
        spec=results.spec,
    )
    notes = report_notes(report, manifest["warnings"])
    return replace(report, answer=answer(report), summary=tuple(summary(report)), notes=tuple(notes))


def smallest_difference(text: str) -> tuple[float, bool]:
    """Read the smallest difference that matters, ``0.005`` or ``10%``.

    Returns
    -------
    amount, is_share : float, bool
        In the metric's unit, or as a share of the least regret.

    Raises
    ------
    ParameterError
        The text is neither, or not above 0.
    """
    is_share = text.strip().endswith("%")
    try:
        amount = float(text.strip().removesuffix("%"))
    except ValueError:
        amount = math.nan
    if not (math.isfinite(amount) and amount > 0):
        raise ParameterError("matters", text, "must be a number above 0, or a percentage as 10%")
    return (amount / 100 if is_share else amount), is_share


def _scored(results: SweepResults) -> list[Scored]:
    """Score the tasks with a finished cell; a variant without scores anywhere counts as absent nowhere."""
    done, planned = _by_task(results.done), _by_task(results.cells)
    found = []
    for task in results.manifest["tasks"]:
        key = key_of(task)
        if key in done:
            scores = task_scores(results, key, done[key], set(planned[key]["variant"]))
            found.append(Scored(task, scores, done[key]))
    finished = {name for one in found for name in one.scores.variants}
    return [
        replace(one, scores=replace(one.scores, absent=tuple(n for n in one.scores.absent if n in finished)))
        for one in found
    ]


def _by_task(cells: pl.DataFrame) -> dict[TaskKey, pl.DataFrame]:
    groups = cells.group_by(TASK, maintain_order=True)
    return {(str(names[0]), str(names[1]), int(names[2])): group for names, group in groups}


def _missing(cells: pl.DataFrame) -> list[Missing]:
    """Return why cells have no result, the most frequent reason first."""
    without = cells.filter(pl.col("status").is_null() | (pl.col("status") != "done"))
    examples: dict[str, list[str]] = {}
    for row in without.iter_rows(named=True):
        reason = "not run yet" if row["status"] is None else str(row["error"])
        setting = setting_of(row["cluster"], row["workers"])
        example = f"{row['variant']} on {row['surrogate']}, {setting}, seed {row['seed']}"
        examples.setdefault(reason, []).append(example)
    missing = [Missing(reason, len(names), names[0]) for reason, names in examples.items()]
    return sorted(missing, key=lambda one: -one.cells)


# A task


def _task(scored: Scored, matters: str | None, diagnosed: Mapping[str, tuple[Any, ...]]) -> TaskReport:
    """Build the report of a task."""
    task, scores, cells = scored.task, scored.scores, scored.cells
    least = None if matters is None else _as_regret(matters, scores)
    standings = Standings.of(scores, scores.score, 1.0, least)
    has_curves = any(len(study.time) for studies in scores.studies for study in studies)
    is_compared = has_curves and len(scores.variants) > 1
    return TaskReport(
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
        rows=_rows(scores, standings, cells) if scores.seeds else (),
        leads=_leads(scores) if is_compared else (),
        chances=_chances(scores) if is_compared else (),
        anytime=_anytime(scores) if has_curves else (),
        reached=_reached(scores) if scores.seeds else (),
        notes=(
            *task_notes(scores, standings, cells, task.get("rows")),
            *task.get("notes", ()),
        ),
        **diagnosed,
    )


def _as_regret(matters: str, scores: TaskScores) -> float | None:
    """Return the smallest difference that matters as normalised regret; None where that is 0 or unknown."""
    amount, is_share = smallest_difference(matters)
    unit = 1.0 / scores.scale.unit
    if is_share:
        means = [mean.mean for mean in means_of(scores.score) if math.isfinite(mean.mean)]
        unit = min(means, default=math.nan)
    return amount * unit if amount * unit > 0 else None


def _rows(scores: TaskScores, by_score: Standings, cells: pl.DataFrame) -> tuple[TaskRow, ...]:
    """Return a row a variant, by rank, then by mean score."""
    budget, sign = np.array([scores.budget.value]), -1.0 if scores.scale.mode == "max" else 1.0
    by_resource = Standings.of(scores, scores.scores(np.array([scores.resource]), "resource")[0], 1.0)
    picked, value, test = (scores.at(name, budget)[0] for name in ("picked", "value", "test"))
    by_test = Standings.of(scores, sign * test) if np.isfinite(test).any() else None
    intervals: dict[str, Any] = {
        "picked": means_of(picked),
        "value": means_of(value),
        "test": means_of(test),
        "area": means_of(scores.area),
        "to_target": means_of(restricted_time(scores.reach, scores.budget.value)),
    }
    shared = cells.filter(pl.col("seed").is_in(list(scores.seeds)))
    means = shared.group_by("variant").agg(pl.col(MEANS).mean().cast(pl.Float64).fill_null(math.nan))
    numbers = means.rows_by_key("variant", named=True, unique=True)
    rows = []
    for v, name in enumerate(scores.variants):
        unit, score = scores.scale.unit, by_score.means[v]
        rows.append(
            TaskRow(
                variant=name,
                rank=by_score.ranking[v].rank,
                call=by_score.ranking[v].call,
                score=score,
                curves=by_score.curves[v],
                draw=None if by_score.draw is None else by_score.draw[v],
                regret=Interval(score.mean * unit, score.low * unit, score.high * unit),
                test_standing=None if by_test is None else by_test.ranking[v],
                resource=by_resource.means[v],
                resource_standing=by_resource.ranking[v],
                median_time=median_time(scores.reach[:, v], scores.budget.value),
                reached=float(np.isfinite(scores.reach[:, v]).mean()),
                missing=int(np.isnan(scores.score[:, v]).sum()),
                **{kind: of_each[v] for kind, of_each in intervals.items()},
                **numbers[name],
            )
        )
    return tuple(sorted(rows, key=lambda row: (row.rank, last_if_nan(row.score.mean))))


def _leads(scores: TaskScores) -> tuple[Lead, ...]:
    """Return the leading variants at shares of the budget and beyond it."""
    budget = scores.budget.value
    last = max(float(np.median(scores.ends)) / budget, scores.beyond)
    shares = [*LEAD_SHARES, *(share for share in FURTHER if BEYOND * share < last)]
    shares += [last] if last > BEYOND else []
    times = np.array(shares) * budget
    leads = []
    for share, time, numbers in zip(shares, times.tolist(), scores.scores(times), strict=True):
        standings = Standings.of(scores, numbers, 1.0)
        order = sorted(range(len(scores.variants)), key=lambda v: last_if_nan(standings.means[v].mean))
        calls = {scores.variants[v]: standings.ranking[v].call for v in order}
        leaders = tuple(name for name, call in calls.items() if call not in (WORSE, NO_SCORE))
        worse = tuple(name for name, call in calls.items() if call == WORSE)
        running = float((scores.ends > time).mean())
        leads.append(Lead(share, time, leaders[0] if leaders else "", leaders, worse, running))
    return tuple(leads)


def _chances(scores: TaskScores) -> tuple[Line, ...]:
    """Return the probability of each variant of being the best, over time."""
    x = _grid(scores, MOMENTS)
    numbers = np.moveaxis(scores.scores(x), (0, 1, 2), (2, 1, 0))
    chances = best_probability(numbers, scores.split, scores.part, median=1.0)
    known = np.isfinite(chances).all(axis=0)
    return tuple(_line(name, x[known], chances[v, known]) for v, name in enumerate(scores.variants))


def _anytime(scores: TaskScores) -> tuple[Line, ...]:
    """Return the normalised regret over time of each variant, on points that all share."""
    x, lines = _grid(scores, POINTS), []
    data = scores.scores(x)
    for v, name in enumerate(scores.variants):
        mean, low, high = mean_intervals(data[:, :, v])
        known = np.isfinite(mean)
        band = (low[known], high[known]) if len(scores.seeds) > 1 else ()
        lines.append(_line(name, x[known], mean[known], *band))
    return tuple(lines)


def _reached(scores: TaskScores) -> tuple[Line, ...]:
    """Return the share of seeds that have reached the target over time, of each variant."""
    horizon = scores.budget.value
    ends = np.full(len(scores.seeds), horizon)
    return tuple(
        _line(name, *reached_curve(scores.reach[:, v], ends, horizon))
        for v, name in enumerate(scores.variants)
    )


def _grid(scores: TaskScores, points: int) -> Floats:
    """Return points of time from the first incumbent to where studies end, the budget among them."""
    begun: list[Steps] = [study for studies in scores.studies for study in studies if len(study.time)]
    budget = scores.budget.value
    return np.unique(np.append(grid_of(begun, budget * scores.beyond, points), budget))


def _line(variant: str, *columns: Floats) -> Line:
    return Line(variant, *(tuple(column.tolist()) for column in columns))
