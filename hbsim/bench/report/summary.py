"""The answer and summary of a report: plain sentences that say no more than the conclusions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from hbsim.bench.formatting import (
    LISTED,
    count,
    duration,
    is_or_are,
    listed,
    number,
    p_value,
    percent,
    plural,
    quoted,
)
from hbsim.bench.over_tasks import least_pairs
from hbsim.bench.report.diagnosis import mean_over_groups
from hbsim.bench.report.model import (
    ALL,
    BEST,
    NO_SCORE,
    OPEN,
    WORSE,
    Across,
    SweepReport,
    TaskReport,
    TaskRow,
    VariantStanding,
)

TASKS: Final = 3  # the most tasks that have a sentence each
IF_SO: Final = "if the difference is as large as it seems"
MOST_ROWS: Final = 1000.0  # times as many rows: more is no useful advice
EARLY: Final = 0.25  # share of the budget before which the summary names no leader


def answer(report: SweepReport) -> str:
    """Return the result of the report in one sentence."""
    if not report.tasks:
        return f"None of the {report.cells:,} cells has a result yet."
    if len(report.tasks) == 1:
        return " ".join(_confirmed(report)) or task_answer(report.tasks[0])
    if report.overall is not None and len(report.overall.groups) >= least_pairs():
        return _over_tasks(report.overall)
    return f"{_leading(report)}; {_untested(report)}."


def summary(report: SweepReport) -> list[str]:
    """Return further results: how many studies, what holds over tasks, over time, and task by task."""
    if not report.tasks:
        return []
    sentences = [*_missing(report), _size(report)]
    if len(report.tasks) == 1:
        [task] = report.tasks
        sentences += [f"Chosen on other seeds: {task_answer(task)}"] if report.confirmed else []
        sentences += [*_turns(task), *_needed(task), *_over_time(task), *_other_measures(task)]
    else:
        sentences += [*_confirmed(report), *_by_setting(report), *_by_task(report)]
    return [*sentences, *_losses(report)]


def _missing(report: SweepReport) -> list[str]:
    missing = report.cells - report.finished
    if not missing:
        return []
    reason = f": {report.missing[0].reason}" if report.missing else ""
    return [f"Not complete: {missing:,} of {report.cells:,} cells have no result{reason.rstrip('.')}."]


def _size(report: SweepReport) -> str:
    seeds = sorted({task.seeds for task in report.tasks})
    each = plural(seeds[0], "seed") if len(seeds) == 1 else f"{seeds[0]:,} to {seeds[-1]:,} seeds"
    size = f"{plural(len(report.variants), 'variant')} on {plural(len(report.tasks), 'task')}"
    return f"{plural(report.finished, 'study')}: {size}, {each} each."


# One task


def task_answer(task: TaskReport) -> str:
    """Return a sentence on a task: the best variant, those not told apart from it, and those worse."""
    if task.best is None:
        return f"On {quoted(task.surrogate)}, {task.setting}, no variant has a score."
    score = task.best.score.mean
    digits = max(0, 1 - math.floor(math.log10(score))) if score > 0 else 0
    regret = f"{number(score, digits) if score > 0 else '0'} of the median configuration's"
    if len(task.rows) == 1:
        return f"{quoted(task.best.variant)} has a regret of {regret} after {duration(task.budget)}."
    best = f"{quoted(task.best.variant)} has the least regret after {duration(task.budget)}, {regret}"
    others = _stands(row for row in task.rows if row is not task.best)
    holds = "on another draw of configurations" if task.has_draws else "on these curves"
    return f"{best}; {holds} {others}." if others else f"{best}."


def _stands(rows: Iterable[TaskRow]) -> str:
    """Describe which variants are not told apart from the best, worse, or without a score."""
    others = list(rows)
    open_, worse, unscored = (_called(others, call) for call in (OPEN, WORSE, NO_SCORE))
    if len(open_) == len(others) > 1:
        return f"none of the {len(others)} others is told apart from it"
    parts = []
    if 0 < len(open_) <= LISTED:
        parts.append(f"{listed(open_)} {is_or_are(open_)} not told apart from it")
    if worse:
        which = f"all {len(others)} others" if len(worse) == len(others) > 1 else listed(worse)
        parts.append(f"{which} {is_or_are(worse)} worse")
    if unscored:
        parts.append(f"{listed(unscored)} {'has' if len(unscored) == 1 else 'have'} no score")
    if len(open_) > LISTED:
        parts.append(f"the {len(open_)} others are not told apart from it")
    return listed(parts, quote=False) if parts else ""


def _called(rows: Iterable[TaskRow], *calls: str) -> list[str]:
    return [row.variant for row in rows if row.call in calls]


def _confirmed(report: SweepReport) -> list[str]:
    """Describe the results of the leading variants on fresh seeds, for each task."""
    return [f"On {plural(task.seeds, 'fresh seed')} alone {task_answer(task)}" for task in report.confirmed]


def _turns(task: TaskReport) -> list[str]:
    """Describe which variants are worse on these curves, but may not be on another draw."""
    worse = [row for row in task.rows if row.draw and (row.draw.call, row.curves.call) == (OPEN, WORSE)]
    if not worse:
        return []
    these = "these" if task.configurations is None else f"these {task.configurations:,}"
    names = listed([row.variant for row in worse])
    said = f"Worse on {these} configurations; another draw may turn it: {names}."
    variant, rows = _fewest_rows(task, worse)
    if not rows:
        return [said]
    if len(worse) == 1:
        return [f"{said} About {rows} would decide, {IF_SO}."]
    return [f"{said} {variant} takes the fewest rows to decide: about {rows}, {IF_SO}."]


def _fewest_rows(task: TaskReport, rows: Sequence[TaskRow]) -> tuple[str, str]:
    """Return the variant of `rows` that the fewest table rows would tell apart, and that number of rows.

    Both are empty where no sensible number of rows would do.
    """
    factors = [(row.draw.rows_factor, row.variant) for row in rows if row.draw is not None]
    factors = [one for one in factors if 1 < one[0] < MOST_ROWS]
    if not factors:
        return "", ""
    factor, name = min(factors)
    if task.configurations is None:
        return quoted(name), f"{_rough(factor)} times as many rows"
    return quoted(name), f"{_rough(factor * task.configurations)} rows"


def _needed(task: TaskReport) -> list[str]:
    """Describe how many seeds, else rows, would tell apart what is not told apart on these curves either."""
    open_ = [row for row in task.rows if row.call == OPEN and row.curves.call != WORSE]
    seeds = [(needed, row.variant) for row in open_ if (needed := row.standing.seeds_needed) is not None]
    if seeds:
        least, name = min(seeds)
        if len(open_) == 1:
            return [f"About {_rough(least)} seeds would tell {quoted(name)} from the best, {IF_SO}."]
        which = f"Of those not told apart, {quoted(name)} takes the fewest seeds to tell"
        return [f"{which}: about {_rough(least)}, {IF_SO}."]
    variant, rows = _fewest_rows(task, open_)
    if not rows:
        return []
    if len(open_) == 1:
        return [f"More seeds do not tell {variant} from the best; about {rows} would, {IF_SO}."]
    which = f"{variant} takes the fewest rows: about {rows}"
    return [f"More seeds tell none of those apart that are not told apart; {which}, {IF_SO}."]


def _over_time(task: TaskReport) -> list[str]:
    """Describe when the leader changes, whether the earlier one is worse in the end, and leads beyond."""
    late = [at for at, time in enumerate(task.chances[0].x if len(task.chances) > 1 else ())
            if time >= EARLY * task.budget]  # fmt: skip
    if not late:
        return []
    leaders = [max(task.chances, key=lambda line: line.mean[at]).variant for at in late]
    changes = [place for place in range(1, len(late)) if leaders[place] != leaders[place - 1]]
    calls = {row.variant: row.call for row in task.rows}
    if changes:
        before, after = leaders[changes[-1] - 1], leaders[changes[-1]]
        times = "twice" if len(changes) == 2 else f"{len(changes)} times"
        often = "" if len(changes) == 1 else f" {times} after a quarter of the budget, the last time"
        in_the_end = {
            WORSE: ", and the first is worse in the end",
            OPEN: "; in the end they are not told apart",
        }.get(calls.get(before, ""), "")
        said = [
            f"The leader changes{often} at about {duration(task.chances[0].x[late[changes[-1]]])}, from "
            f"{quoted(before)} to {quoted(after)}{in_the_end}."
        ]
    else:
        said = [f"{quoted(leaders[0])} leads from a quarter of the budget on."]
    best = task.best.variant if task.best else ""
    for lead in task.leads:
        if lead.share > 1.0 and lead.best not in ("", best):
            stands = "is worse then" if best in lead.worse else "is not told apart from it then"
            said.append(
                f"After {duration(lead.time)}, when {percent(lead.running)} of the studies still ran, "
                f"{quoted(lead.best)} leads; {quoted(best)} {stands}."
            )
    return said


def _other_measures(task: TaskReport) -> list[str]:
    """Describe where another variant is best by the held-out metric or at equal resource."""
    measures: dict[str, dict[str, VariantStanding | None]] = {
        "By the held-out metric": {row.variant: row.test_standing for row in task.rows},
        f"At equal resource, {count(task.resource)} units,": {
            row.variant: row.resource_standing for row in task.rows
        },
    }
    said = []
    for what, standings in measures.items():
        best = [name for name, one in standings.items() if one is not None and one.call == BEST]
        mine = standings[task.best.variant] if task.best else None
        if mine is not None and best and task.best and best[0] != task.best.variant:
            stands = {OPEN: "is not told apart from it", NO_SCORE: "has no score"}.get(mine.call, "is worse")
            said.append(f"{what} {quoted(best[0])} is best, and {quoted(task.best.variant)} {stands}.")
    return said


def _rough(amount: float) -> str:
    """Round an amount to two digits."""
    return f"{int(float(f'{math.ceil(amount):.2g}')):,}"


# Over tasks


def _leading(report: SweepReport) -> str:
    """Name the variant that leads on most of the tasks with several variants."""
    tasks = [task for task in report.tasks if len(task.rows) > 1]
    rows = [row for task in tasks for row in task.rows]
    of_tasks = plural(len(tasks), "task")
    if not _called(rows, BEST):
        return "No task has scores of several variants"
    if not _called(rows, WORSE, NO_SCORE):
        return f"None of {of_tasks} tells any variant from its best one"
    ahead = Counter(_called(rows, BEST, OPEN))
    most = max(ahead.values())
    names = [name for name, times in ahead.items() if times == most]
    return (
        f"{listed(names)} {is_or_are(names)} best, or not told apart from the best, on {most} of {of_tasks}"
    )


def _untested(report: SweepReport) -> str:
    """Explain why nothing is tested over tasks."""
    if report.overall is not None:
        groups = f"over {len(report.overall.groups)} groups of tasks"
        return f"{groups} nothing can be told apart, since a test needs {least_pairs()}"
    if len({task.group for task in report.tasks}) > 1:
        return "nothing is tested over tasks, since of too few groups there are results of all variants"
    return "nothing is tested over tasks, since they are of one group"


def _over_tasks(across: Across) -> str:
    """Describe what holds over tasks, as far as a test shows it."""
    groups, variants = len(across.groups), len(across.variants)
    over = f"Over {groups} groups of tasks" + (", all settings averaged," if across.setting == ALL else "")
    if not across.has_differences:
        return (
            f"{over} the variants' ranks differ no more than chance would have them (Friedman's test, p "
            f"{p_value(across.p_friedman, sign=True)}): none is told apart from the others."
        )
    calls = across.calls
    first, worse, open_ = ([name for name in calls if calls[name] == call] for call in (BEST, WORSE, OPEN))
    verb = "has" if len(first) == 1 else "share"
    said = f"{over} {listed(first)} {verb} the best mean rank, {across.ranks[0]:.2f} of {variants}"
    if not across.is_tested:
        least = least_pairs(variants * (variants - 1) // 2)
        return f"{said}; variants differ, but which ones takes at least {least} groups with so many variants."
    parts = [f"{listed(worse)} {is_or_are(worse)} worse"] if worse else []
    if open_ and not worse:
        parts.append("pair by pair none of the others is told apart from it")
    elif open_:
        parts.append(f"{listed(open_)} {is_or_are(open_)} not told apart from it")
    return f"{said}; {' and '.join(parts)} (Wilcoxon over groups, Holm-corrected)." if parts else f"{said}."


def _by_setting(report: SweepReport) -> list[str]:
    """Describe in which settings variants are told apart over tasks, and which variant leads there."""
    settings = [a for a in report.across if a.measure == "score" and a.setting != ALL]
    if len(settings) < 2 or all(len(a.groups) < least_pairs() for a in settings):
        return []
    leaders: dict[str, list[str]] = {}
    for across in settings:
        if across.has_differences:
            leaders.setdefault(across.variants[0], []).append(across.setting)
    parts = [f"{quoted(name)} with {listed(led, quote=False)}" for name, led in leaders.items()]
    said = [f"Setting by setting, the best mean rank is that of {'; '.join(parts)}."] if parts else []
    open_ = [across.setting for across in settings if not across.has_differences]
    return [*said, *([f"Not told apart at all: {listed(open_, quote=False)}."] if open_ else [])]


def _by_task(report: SweepReport) -> list[str]:
    """Describe how many tasks tell variants apart, and where the leader over tasks is worse than the best."""
    ranked = [task for task in report.tasks if len(task.rows) > 1]
    apart = [task for task in ranked if _called(task.rows, WORSE)]
    if not apart:
        return []
    of_tasks = plural(len(ranked), "task")
    said = [f"Task by task, {len(apart)} of {of_tasks} tell some variant from their best one."]
    for task in apart[:TASKS]:
        worse = _stands(row for row in task.rows if row.call == WORSE)
        said.append(f"On {task.name} {worse} than {quoted(task.best.variant if task.best else '')}.")
    first = "" if report.overall is None else report.overall.variants[0]
    behind = [task.name for task in apart if first in _called(task.rows, WORSE)]
    if behind:
        said.append(f"{quoted(first)}, first by mean rank, is worse on {listed(behind, quote=False)}.")
    changes = [task for task in ranked if len({lead.best for lead in task.leads if lead.share <= 1.0}) > 1]
    if changes:
        said.append(
            f"On {len(changes)} of {of_tasks} the leader is another one at a quarter, half or three quarters "
            "of the budget."
        )
    return said


def _losses(report: SweepReport) -> list[str]:
    """Describe what early decisions cost, over all tasks; fifo makes none."""
    complete = [task for task in report.tasks if task.regrets]
    parts: dict[str, list[tuple[str, float]]] = {v.name: [] for v in report.variants if v.type != "fifo"}
    for task in complete:
        for part in task.regrets:
            if part.variant in parts and math.isfinite(part.decisions):
                parts[part.variant].append((task.group, part.decisions))
    groups = {task.group for task in complete}
    losses = [mean_over_groups(one) for one in parts.values() if {group for group, _ in one} == groups]
    if not complete or not losses:
        return []
    if max(losses) == 0.0:
        return ["Early decisions cost nothing: no trial was stopped that would have ended best."]
    ends = list(dict.fromkeys((percent(min(losses)), percent(max(losses)))))
    amount = ends[0] if len(ends) == 1 else f"{ends[0]} to {ends[1]}, by variant,"
    return [
        f"Early decisions cost {amount} of the median configuration's regret by the end of a study; what "
        "they gain is time."
    ]
