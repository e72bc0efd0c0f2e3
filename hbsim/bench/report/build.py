"""From a sweep's results to a report."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from hbsim.bench.report.build_across import across_settings, heatmaps
from hbsim.bench.report.build_diagnosis import Diagnosed, diagnosis
from hbsim.bench.report.build_task import make_task
from hbsim.bench.report.model import Missing, Report, Task, VariantInfo
from hbsim.bench.report.pairs import TaskScores, task_scores
from hbsim.bench.report.words import notes, summary
from hbsim.bench.sweep.results import SweepResults
from hbsim.bench.sweep.scored import TaskKey

__all__ = ["build"]


def build(results: SweepResults, command: str, folder: str = "DIR") -> Report:
    """Work out all that a report says.

    Parameters
    ----------
    results : SweepResults
        Of a sweep, finished or not.
    command : str
        The one that makes this report.
    folder : str
        Where the results are, as its user says it.

    Raises
    ------
    ParameterError
        The extra ``report`` is not installed.
    """
    manifest = results.manifest
    scored = _scored(results)
    found = diagnosis(results, {key for scores in scored.values() for row in scores.keys for key in row})
    by_task = _by_task(results.done)
    tasks = [
        _diagnosed(make_task(task, scored[_key(task)], results, by_task[_key(task)]), _key(task), found)
        for task in manifest["tasks"]
        if _key(task) in scored
    ]
    groups = {_key(task): task["group"] for task in manifest["tasks"]}
    names = [variant["name"] for variant in manifest["variants"]]
    report = Report(
        title=manifest["title"],
        description=manifest["description"],
        summary=(),
        notes=(),
        cells=len(results.cells),
        finished=len(results.done),
        variants=tuple(VariantInfo(v["name"], v["type"], v["options"]) for v in manifest["variants"]),
        tasks=tuple(tasks),
        across=across_settings(list(scored.values()), groups, names),
        heatmaps=heatmaps(list(scored.values()), groups, manifest),
        missing=tuple(_missing(results.cells)),
        commands=_commands(manifest, command, folder),
        versions=manifest["versions"],
        spec=results.spec,
    )
    return replace(report, summary=tuple(summary(report)), notes=tuple(notes(report, manifest["warnings"])))


def _scored(results: SweepResults) -> dict[TaskKey, TaskScores]:
    """Score the tasks that have a finished cell; a variant that has none anywhere is absent nowhere."""
    by_task, plan = _by_task(results.done), _by_task(results.cells)
    scored = {
        key: task_scores(results, key, by_task[key], set(plan[key]["variant"]))
        for key in map(_key, results.manifest["tasks"])
        if key in by_task
    }
    there = {name for scores in scored.values() for name in scores.variants}
    return {
        key: replace(scores, absent=tuple(name for name in scores.absent if name in there))
        for key, scores in scored.items()
    }


def _key(task: Mapping[str, Any]) -> TaskKey:
    return task["surrogate"], task["cluster"], task["workers"]


def _by_task(done: pl.DataFrame) -> dict[TaskKey, pl.DataFrame]:
    groups = done.group_by("surrogate", "cluster", "workers", maintain_order=True)
    return {(str(names[0]), str(names[1]), int(names[2])): group for names, group in groups}


def _diagnosed(task: Task, key: TaskKey, found: Diagnosed) -> Task:
    return replace(
        task,
        rungs=found.rungs.get(key, ()),
        regrets=found.regrets.get(key, ()),
        brackets=found.brackets.get(key, ()),
        shares=found.shares.get(key, ()),
        timelines=found.timelines.get(key, ()),
    )


def _missing(cells: pl.DataFrame) -> list[Missing]:
    """Return why cells have no result, the most frequent reason first."""
    without = cells.filter(pl.col("status").is_null() | (pl.col("status") != "done"))
    reasons: dict[str, list[str]] = {}
    for row in without.iter_rows(named=True):
        reason = "not run yet" if row["status"] is None else str(row["error"])
        name = f"{row['variant']} on {row['surrogate']}, {row['cluster']}, {row['workers']} workers"
        reasons.setdefault(reason, []).append(f"{name}, seed {row['seed']}")
    found = [Missing(reason, len(names), names[0]) for reason, names in reasons.items()]
    return sorted(found, key=lambda missing: -missing.cells)


def _commands(manifest: Mapping[str, Any], command: str, folder: str) -> dict[str, str]:
    return {"the studies": f"{manifest['command']} --out {shlex.quote(folder)}", "this report": command}
