"""What came out, in plain sentences, and what to keep in mind."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from hbsim.bench.report.build_across import ALL
from hbsim.bench.report.model import Across, Report, Task, TaskRow
from hbsim.bench.statistics import least_pairs

__all__ = ["notes", "summary"]

ALPHA = 0.05
MANY = 4  # names that a sentence lists
TASKS = 3  # that are told one by one


def summary(report: Report) -> list[str]:
    """Return a few sentences: how much there is, what is told apart over tasks, and what task by task."""
    if not report.tasks:
        return [f"None of the {report.cells:,} cells has a result yet."]
    overall = _overall(report)
    said = [*_missing(report), _size(report)]
    if overall is not None:
        said += _over_tasks(overall)
        said += _by_setting(report)
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
    text = f"{report.finished:,} studies: {_count(variants, 'variant')} on {_count(tasks, 'task')}, "
    return text + f"{each} paired seeds each."


def _overall(report: Report) -> Across | None:
    """Return the comparison over all settings, or the only one; None where tasks are all of one group."""
    scores = [across for across in report.across if across.measure == "score"]
    whole = [across for across in scores if across.setting == ALL] or scores[:1]
    return whole[0] if whole else None


def _over_tasks(across: Across) -> list[str]:
    """Say what holds over tasks, and only what a test says."""
    groups = len(across.groups)
    if groups < least_pairs(ALPHA):
        return [
            f"Over {groups} groups of tasks nothing can be told apart: a test needs {least_pairs(ALPHA)}. "
            "Which variant is better on other tasks is open."
        ]
    if not across.p_friedman < ALPHA:
        return [
            f"Over {groups} groups of tasks the variants' ranks differ no more than chance would have them "
            f"(Friedman p = {_p(across.p_friedman)}): too close to call."
        ]
    first = [v for v, rank in zip(across.variants, across.ranks, strict=True) if rank == across.ranks[0]]
    best = across.variants[0]
    verb = "has" if len(first) == 1 else "share"
    said = [
        f"Over {groups} groups of tasks {_listed(first)} {verb} the best mean rank, {across.ranks[0]:.2f} of "
        f"{len(across.variants)}."
    ]
    duels = {frozenset((duel.first, duel.second)): duel.p for duel in across.duels}
    close = [v for v in across.variants[1:] if not duels[frozenset((best, v))] < ALPHA]
    worse = [v for v in across.variants[1:] if v not in close]
    if worse:
        said.append(f"{quoted(best)} is ahead of {_listed(worse)} (Wilcoxon over groups, Holm-corrected).")
    if close and not worse:
        said.append(f"All {len(close)} others are too close to call against {quoted(best)}, pair by pair.")
    elif close:
        said.append(f"Too close to call against {quoted(best)}: {_listed(close)}.")
    return said


def _by_setting(report: Report) -> list[str]:
    """Say in which settings variants are told apart over tasks, and who leads there."""
    settings = [a for a in report.across if a.measure == "score" and a.setting != ALL]
    if len(settings) < 2 or all(len(a.groups) < least_pairs(ALPHA) for a in settings):
        return []
    leaders: dict[str, list[str]] = {}
    for across in settings:
        if across.p_friedman < ALPHA:
            leaders.setdefault(across.variants[0], []).append(across.setting)
    open_ = [across.setting for across in settings if not across.p_friedman < ALPHA]
    parts = [f"{quoted(name)} with {_listed(where, quote=False)}" for name, where in leaders.items()]
    said = [f"Setting by setting, the best mean rank is that of {'; '.join(parts)}."] if parts else []
    return [*said, *([f"Not told apart at all: {_listed(open_, quote=False)}."] if open_ else [])]


def _tasks(report: Report, overall: Across | None) -> list[str]:
    """Say how many tasks tell variants apart, seed by seed, and where the leader over tasks is behind."""
    told = [task for task in report.tasks if any(row.call == "worse" for row in task.rows)]
    ranked = [task for task in report.tasks if len(task.rows) > 1]
    if not ranked:
        return []
    if not told:
        return [f"Seed by seed, none of {_count(len(ranked), 'task')} tells any variant from its best one."]
    said = [
        f"Seed by seed, {len(told)} of {_count(len(ranked), 'task')} tell some variant from their best one."
    ]
    shown = told[:TASKS]
    for task in shown:
        worse = [row.variant for row in task.rows if row.call == "worse"]
        said.append(f"On {task.name}: {quoted(task.rows[0].variant)} is ahead of {_listed(worse)}.")
    if overall is not None:
        behind = [
            t.name
            for t in told
            if any(r.variant == overall.variants[0] and r.call == "worse" for r in t.rows)
        ]
        if behind:
            best = quoted(overall.variants[0])
            said.append(f"{best}, first by mean rank, is behind the best on {_listed(behind, quote=False)}.")
    return said


def _task(task: Task) -> list[str]:
    rows = task.rows
    if len(rows) < 2 or not math.isfinite(rows[0].score.mean):
        return []
    best = rows[0]
    worse = [row.variant for row in rows if row.call == "worse"]
    close = [row for row in rows if row.call == "too close to call"]
    said = [
        f"On {quoted(task.surrogate)}, {task.setting}, {quoted(best.variant)} has the least regret "
        f"after {task.budget:.4g} simulated seconds: {best.score.mean:.2g} of a guess's."
    ]
    if worse:
        said.append(f"It is ahead of {_listed(worse)}, seed by seed (Wilcoxon, Holm-corrected).")
    if close:
        said.append(f"Too close to call against it: {_listed([r.variant for r in close])}.{_settle(close)}")
    return said


def _settle(close: Sequence[TaskRow]) -> str:
    needed = [(row.seeds_needed, row.variant) for row in close if row.seeds_needed is not None]
    if not needed:
        return ""
    count, variant = min(needed)
    which = quoted(variant) if len(needed) == 1 else f"the easiest, {quoted(variant)}"
    return f" About {count:,} new seeds would settle {which}."


def _losses(report: Report) -> list[str]:
    """Say what early decisions cost, over all tasks; fifo takes none."""
    means: dict[str, float] = {}
    for variant in report.variants:
        parts = [p.decisions for task in report.tasks for p in task.regrets if p.variant == variant.name]
        known = [part for part in parts if math.isfinite(part)]
        if known and variant.type != "fifo":
            means[variant.name] = math.fsum(known) / len(known)
    if not means:
        return []
    most, least = max(means.values()), min(means.values())
    if most == 0.0:
        return ["Early decisions cost nothing: no trial was stopped that would have ended best."]
    amount = _share(most) if len(means) == 1 else f"{_share(least)} to {_share(most)}, by variant,"
    return [f"Early decisions cost {amount} of a guess's regret on average; what was gained for it is time."]


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
        said.append(f"{_listed(left_out, quote=False)}: no seed is finished for all variants there.")
    partial = [v.name for v in report.variants if any(v.name not in _names(task) for task in report.tasks)]
    if partial:
        said.append(f"{_listed(partial)}: not on every task, so left out where all tasks count.")
    return said


def _names(task: Task) -> set[str]:
    return {row.variant for row in task.rows}


def quoted(name: str) -> str:
    """Return a user's name as one within a sentence."""
    return f"“{name}”"


def _listed(names: Sequence[str], quote: bool = True) -> str:
    shown = [quoted(name) if quote else name for name in names[:MANY]]
    if len(names) > MANY:
        return f"{', '.join(shown)} and {len(names) - MANY} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _share(number: float) -> str:
    return f"{number:.1%}" if number >= 0.001 else "less than 0.1%"


def _p(p: float) -> str:
    return "unknown" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.2g}"
