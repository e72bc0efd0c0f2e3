"""What came out, in plain sentences, and what to keep in mind."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from hbsim.bench.report.build_notes import ABSENT
from hbsim.bench.report.model import Across, Report, Task, TaskRow
from hbsim.bench.report.words_lists import are, listed, many, quoted, share_text
from hbsim.bench.report.words_over import by_setting, over_tasks, overall_of
from hbsim.bench.statistics import ALPHA, least_pairs

__all__ = ["notes", "summary"]

TASKS: Final = 3  # that are told one by one


def summary(report: Report) -> list[str]:
    """Return a few sentences: how much there is, what is told apart over tasks, and what task by task."""
    if not report.tasks:
        return [f"None of the {report.cells:,} cells has a result yet."]
    overall = overall_of(report)
    said = [*_missing(report), _size(report)]
    if overall is not None:
        said += over_tasks(overall)
        said += by_setting(report)
    elif len({task.group for task in report.tasks}) > 1:
        said.append("Nothing is tested over tasks: of too few groups there are results of all variants.")
    elif len(report.tasks) > 1:
        said.append("The tasks are of one group, so nothing is tested over tasks: each speaks for itself.")
    said += _task(report.tasks[0]) if len(report.tasks) == 1 else _tasks(report, overall)
    return [*said, *_losses(report)]


def _missing(report: Report) -> list[str]:
    missing = report.cells - report.finished
    if not missing:
        return []
    reason = f": {report.missing[0].reason}" if report.missing else ""
    return [f"Not complete: {missing:,} of {report.cells:,} cells have no result{reason.rstrip('.')}."]


def _size(report: Report) -> str:
    seeds = sorted({task.seeds for task in report.tasks})
    each = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    variants, tasks = len(report.variants), len(report.tasks)
    text = f"{report.finished:,} studies: {many(variants, 'variant')} on {many(tasks, 'task')}, "
    return text + f"{each} paired seeds each."


def _tasks(report: Report, overall: Across | None) -> list[str]:
    """Say how many tasks tell variants apart, seed by seed, and where the leader over tasks is behind."""
    told = [task for task in report.tasks if any(row.call == "worse" for row in task.rows)]
    ranked = [task for task in report.tasks if len(task.rows) > 1]
    if not ranked:
        return []
    able = [task for task in ranked if task.seeds >= _least_seeds(task)]
    if not able:
        task = min(ranked, key=_least_seeds)
        return [
            f"Seed by seed nothing can be told: {many(len(task.rows), 'variant')} take at least "
            f"{_least_seeds(task)} seeds, whatever comes out."
        ]
    if not told:
        return [f"Seed by seed, none of {many(len(ranked), 'task')} tells any variant from its best one."]
    said = [
        f"Seed by seed, {len(told)} of {many(len(ranked), 'task')} tell some variant from their best one."
    ]
    shown = told[:TASKS]
    for task in shown:
        worse = [row.variant for row in task.rows if row.call == "worse"]
        first = [row.variant for row in task.rows if row.rank == 1]
        said.append(f"On {task.name}: {listed(first)} {are(first)} ahead of {listed(worse)}.")
    if overall is not None:
        behind = [
            t.name
            for t in told
            if any(r.variant == overall.variants[0] and r.call == "worse" for r in t.rows)
        ]
        if behind:
            best = quoted(overall.variants[0])
            said.append(f"{best}, first by mean rank, is behind the best on {listed(behind, quote=False)}.")
    return said


def _least_seeds(task: Task) -> int:
    """Return how many seeds it takes to tell any of so many variants apart."""
    return least_pairs(ALPHA, max(1, len(task.rows) * (len(task.rows) - 1) // 2))


def _task(task: Task) -> list[str]:
    rows = task.rows
    if len(rows) < 2 or not math.isfinite(rows[0].score.mean):
        return []
    best = rows[0]
    first = [row.variant for row in rows if row.rank == 1]
    worse = [row.variant for row in rows if row.call == "worse"]
    close = [row for row in rows if row.call == "too close to call"]
    said = [
        f"On {quoted(task.surrogate)}, {task.setting}, {listed(first)} "
        f"{'has' if len(first) == 1 else 'share'} the least regret "
        f"after {task.budget:.4g} simulated seconds: {best.score.mean:.2g} of a guess's."
    ]
    if worse:
        said.append(
            f"{listed(first)} {are(first)} ahead of {listed(worse)}, seed by seed (Wilcoxon, Holm-corrected)."
        )
    if close:
        said.append(f"Too close to call: {listed([r.variant for r in close])}.{_settle(close)}")
    return said


def _settle(close: Sequence[TaskRow]) -> str:
    needed = [(row.seeds_needed, row.variant) for row in close if row.seeds_needed is not None]
    if not needed:
        return ""
    count, variant = min(needed)
    which = quoted(variant) if len(needed) == 1 else f"the easiest, {quoted(variant)}"
    return f" With about {count:,} new seeds such a difference from {which} would show in four of five cases."


def _losses(report: Report) -> list[str]:
    """Say what early decisions cost, over all tasks; fifo takes none."""
    complete = [task for task in report.tasks if task.regrets]
    means: dict[str, float] = {}
    for variant in report.variants:
        groups: dict[str, list[float]] = {}
        for task in complete:
            for part in task.regrets:
                if part.variant == variant.name and math.isfinite(part.decisions):
                    groups.setdefault(task.group, []).append(part.decisions)
        of_groups = [math.fsum(parts) / len(parts) for parts in groups.values()]
        if variant.type != "fifo" and groups.keys() == {task.group for task in complete}:
            means[variant.name] = math.fsum(of_groups) / len(of_groups)
    if not means:
        return []
    most, least = max(means.values()), min(means.values())
    if most == 0.0:
        return ["Early decisions cost nothing: no trial was stopped that would have ended best."]
    ends = list(dict.fromkeys((share_text(least), share_text(most))))
    amount = ends[0] if len(ends) == 1 else f"{ends[0]} to {ends[1]}, by variant,"
    return [
        f"Early decisions cost {amount} of a guess's regret by the end of a study; what they gain is time."
    ]


def notes(report: Report, warnings: Iterable[str]) -> list[str]:
    """Return what a reader should keep in mind."""
    said = [f"Warned when the sweep began: {text}" for text in warnings]
    if report.tasks:
        said.append(
            "Scores are normalised regrets: 0 is the best there is at R, 1 no better than a configuration "
            "drawn at random."
        )
        said.append(
            "Seeds of a task say how sure its own result is, not what other tasks would show; tests over "
            "tasks count each group of tasks once."
        )
    left_out = [task.name for task in report.tasks if not task.seeds]
    if left_out:
        said.append(f"{listed(left_out, quote=False)}: no seed is finished for all variants there.")
    nowhere = [v.name for v in report.variants if not any(v.name in _names(task) for task in report.tasks)]
    if nowhere:
        said.append(f"{listed(nowhere)}: not compared, since too few studies of it are finished.")
    aside = [task.name for task in report.tasks if any(ABSENT in note for note in task.notes)]
    if aside:
        said.append(f"{listed(aside, quote=False)}: not complete, so left out where tasks are counted.")
    return said


def _names(task: Task) -> set[str]:
    return {row.variant for row in task.rows}
