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
FEW_GROUPS = 6


def summary(report: Report) -> list[str]:
    """Return a few sentences: how much there is, who leads, what cannot be told apart, where it is lost."""
    if not report.tasks:
        return [f"None of the {report.cells:,} cells has a result yet."]
    said = [_size(report)]
    overall = _overall(report)
    settings = [across for across in report.across if across.measure == "score" and across.setting != ALL]
    if overall is not None:
        said += _across(overall)
        said += _by_setting(settings) if len(settings) > 1 else []
    elif len(report.tasks) == 1:
        said += _task(report.tasks[0])
    else:
        said += _tasks(report.tasks)
    said += _losses(report)
    return said


def _size(report: Report) -> str:
    seeds = sorted({task.seeds for task in report.tasks})
    each = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    variants, tasks = len(report.variants), len(report.tasks)
    text = f"{report.finished:,} studies: {_count(variants, 'variant')} on {_count(tasks, 'task')}, "
    text += f"{each} paired seeds each."
    missing = report.cells - report.finished
    return text + (f" {missing:,} of {report.cells:,} cells have no result." if missing else "")


def _overall(report: Report) -> Across | None:
    """Return the comparison over all settings, or the only one; None where variants or tasks are too few."""
    scores = [across for across in report.across if across.measure == "score" and len(across.variants) > 1]
    whole = [across for across in scores if across.setting == ALL] or scores[:1]
    return whole[0] if whole and len(whole[0].groups) > 1 else None


def _across(across: Across) -> list[str]:
    best, groups = across.variants[0], len(across.groups)
    first = [v for v, rank in zip(across.variants, across.ranks, strict=True) if rank == across.ranks[0]]
    lead = f"Over {groups} independent groups of tasks {_listed(first)} {_has(first)} the best mean rank, "
    said = [f"{lead}{across.ranks[0]:.2f} of {len(across.variants)}."]
    if groups < FEW_GROUPS:
        least = least_pairs(ALPHA)
        said.append(
            f"{groups} groups are too few for a test between tasks (Wilcoxon's needs {least}): "
            "whether that holds for other tasks is open."
        )
        return said
    if not across.p_friedman < ALPHA:
        said.append(
            f"But the variants' ranks differ no more than chance would have them (Friedman p = "
            f"{_p(across.p_friedman)}): too close to call."
        )
        return said
    duels = {frozenset((duel.first, duel.second)): duel.p for duel in across.duels}
    close = [v for v in across.variants[1:] if not duels[frozenset((best, v))] < ALPHA]
    worse = [v for v in across.variants[1:] if v not in close]
    if worse:
        said.append(f"It is ahead of {_listed(worse)} (Wilcoxon over tasks, Holm-corrected).")
    if close:
        said.append(f"Too close to call against it: {_listed(close)}.")
    return said


def _tasks(tasks: Sequence[Task]) -> list[str]:
    """Say who leads where, of tasks that are all of one group."""
    leaders: dict[str, list[str]] = {}
    close = pairs = 0
    for task in tasks:
        if len(task.rows) < 2 or not math.isfinite(task.rows[0].score.mean):
            continue
        leaders.setdefault(task.rows[0].variant, []).append(task.name)
        close += sum(row.call == "too close to call" for row in task.rows)
        pairs += len(task.rows) - 1
    if not leaders:
        return []
    parts = [f"{quoted(name)} on {_listed(where, quote=False)}" for name, where in leaders.items()]
    said = [f"In front are {'; '.join(parts)}." if len(parts) > 1 else f"In front is {parts[0]}."]
    return [*said, f"Of {pairs} variants beside them {close} are too close to call, seed by seed."]


def _task(task: Task) -> list[str]:
    rows = task.rows
    if len(rows) < 2 or not math.isfinite(rows[0].score.mean):
        return []
    best = rows[0]
    said = [
        f"On {quoted(task.surrogate)} with {task.workers} workers, {quoted(best.variant)} leads after "
        f"{task.budget:.4g} simulated seconds: its incumbents have {best.score.mean:.2g} of a guess's regret."
    ]
    worse = [row.variant for row in rows if row.call == "worse"]
    close = [row for row in rows if row.call == "too close to call"]
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
    return (
        f" About {count:,} seeds would settle {quoted(variant)}."
        if len(needed) == len(close) == 1
        else (f" About {count:,} seeds would settle the nearest to it, {quoted(variant)}.")
    )


def _by_setting(settings: Sequence[Across]) -> list[str]:
    leaders: dict[str, list[str]] = {}
    for across in settings:
        if across.variants and math.isfinite(across.ranks[0]):
            leaders.setdefault(across.variants[0], []).append(across.setting)
    if len(leaders) < 2:
        return [f"{quoted(next(iter(leaders)))} leads in every setting."] if leaders else []
    parts = [f"{quoted(name)} with {_listed(where, quote=False)}" for name, where in leaders.items()]
    return [f"Who leads depends on the setting: {'; '.join(parts)}."]


def _losses(report: Report) -> list[str]:
    """Say what early decisions cost, least and most, over all tasks."""
    means: dict[str, float] = {}
    for variant in report.variants:
        parts = [p.decisions for task in report.tasks for p in task.regrets if p.variant == variant.name]
        known = [part for part in parts if math.isfinite(part)]
        if known and variant.type != "fifo":
            means[variant.name] = math.fsum(known) / len(known)
    if not means:
        return []
    most, least = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
    if means[most] == 0.0:
        return ["Early decisions cost nothing: no trial was stopped that would have ended best."]
    text = f"Early decisions cost {quoted(most)} most: {_share(means[most])} of a guess's regret"
    return [f"{text}; {quoted(least)} least, {_share(means[least])}." if most != least else f"{text}."]


def notes(report: Report, warnings: Iterable[str]) -> list[str]:
    """Return what a reader should keep in mind."""
    said = [f"warned when the sweep began: {text}" for text in warnings]
    if report.tasks:
        said.append(
            "Scores are normalised regrets: 0 is the best there is at R, 1 no better than a configuration "
            "drawn at random."
        )
        said.append(
            "Seeds of a task say how sure its own result is, not what other tasks would show; tests over "
            "tasks count each group of tasks once."
        )
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


def _has(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "share"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _share(number: float) -> str:
    return f"{number:.1%}" if number >= 0.001 else "less than 0.1%"


def _p(p: float) -> str:
    return "unknown" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.2g}"
