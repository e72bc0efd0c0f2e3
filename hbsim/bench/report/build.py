"""From a sweep's results to a report."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from hbsim.bench.report.build_across import across_settings, heatmaps
from hbsim.bench.report.build_task import Matters, make_task
from hbsim.bench.report.diagnosed import diagnosis
from hbsim.bench.report.model import Missing, Report, Task, VariantInfo, setting_of
from hbsim.bench.report.notes import report_notes
from hbsim.bench.report.words import answer, summary
from hbsim.bench.sweep.folder import SweepResults
from hbsim.bench.sweep.scores import TASK, TaskKey, TaskScores, key_of, task_scores

__all__ = ["build"]


def build(results: SweepResults, command: str, folder: str = "DIR", matters: str | None = None) -> Report:
    """Work out all that a report says.

    Parameters
    ----------
    results : SweepResults
        Of a sweep, finished or not.
    command : str
        The one that makes this report.
    folder : str
        Where the results are, as its user says it.
    matters : str, optional
        The smallest difference that matters: ``0.005`` in the metric's unit, or ``10%`` of the least regret.

    Raises
    ------
    ParameterError
        `matters` is no such number, or the extra ``report`` is not installed.
    """
    least, manifest = None if matters is None else Matters.of(matters), results.manifest
    scored = _scored(results)
    found = diagnosis(results, {key for scores in scored.values() for row in scores.keys for key in row})
    fresh = results.confirm
    groups = {key_of(task): task["group"] for task in manifest["tasks"]}
    names = [variant["name"] for variant in manifest["variants"]]
    report = Report(
        title=manifest["title"],
        description=manifest["description"],
        answer="",
        summary=(),
        notes=(),
        cells=len(results.cells),
        finished=len(results.done),
        variants=tuple(VariantInfo(v["name"], v["type"], v["options"]) for v in manifest["variants"]),
        tasks=tuple(
            replace(task, **found.of((task.surrogate, task.cluster, task.workers)))
            for task in _tasks(results, scored, least)
        ),
        across=across_settings(list(scored.values()), groups, names),
        heatmaps=heatmaps(list(scored.values()), groups, manifest),
        confirmed=() if fresh is None else _tasks(fresh, _scored(fresh), least),
        missing=tuple(_missing(results.cells)),
        commands={
            "the studies": f"{manifest['command']} --out {shlex.quote(folder)}",
            "this report": command,
        },
        versions=manifest["versions"],
        spec=results.spec,
    )
    said = report_notes(report, manifest["warnings"])
    return replace(report, answer=answer(report), summary=tuple(summary(report)), notes=tuple(said))


def _tasks(
    results: SweepResults, scored: Mapping[TaskKey, TaskScores], least: Matters | None
) -> tuple[Task, ...]:
    by_task = _by_task(results.done)
    return tuple(
        make_task(task, scored[key], by_task[key], least)
        for task in results.manifest["tasks"]
        if (key := key_of(task)) in scored
    )


def _scored(results: SweepResults) -> dict[TaskKey, TaskScores]:
    """Score the tasks that have a finished cell; a variant that has none anywhere is absent nowhere."""
    by_task, plan = _by_task(results.done), _by_task(results.cells)
    scored = {
        key: task_scores(results, key, by_task[key], set(plan[key]["variant"]))
        for key in map(key_of, results.manifest["tasks"])
        if key in by_task
    }
    there = {name for scores in scored.values() for name in scores.variants}
    return {
        key: replace(scores, absent=tuple(name for name in scores.absent if name in there))
        for key, scores in scored.items()
    }


def _by_task(done: pl.DataFrame) -> dict[TaskKey, pl.DataFrame]:
    groups = done.group_by(TASK, maintain_order=True)
    return {(str(names[0]), str(names[1]), int(names[2])): group for names, group in groups}


def _missing(cells: pl.DataFrame) -> list[Missing]:
    """Return why cells have no result, the most frequent reason first."""
    without = cells.filter(pl.col("status").is_null() | (pl.col("status") != "done"))
    reasons: dict[str, list[str]] = {}
    for row in without.iter_rows(named=True):
        reason = "not run yet" if row["status"] is None else str(row["error"])
        name = f"{row['variant']} on {row['surrogate']}, {setting_of(row['cluster'], row['workers'])}"
        reasons.setdefault(reason, []).append(f"{name}, seed {row['seed']}")
    found = [Missing(reason, len(names), names[0]) for reason, names in reasons.items()]
    return sorted(found, key=lambda missing: -missing.cells)
