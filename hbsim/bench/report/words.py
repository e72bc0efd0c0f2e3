"""What came out, in plain sentences that say no more than the conclusions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

from hbsim.bench.conclusions import ALPHA
from hbsim.bench.over_tasks import least_pairs
from hbsim.bench.report.diagnosed import mean_over_groups
from hbsim.bench.report.model import ALL, BEST, NO_SCORE, OPEN, WORSE, Across, Report, Standing, Task, TaskRow
from hbsim.bench.report.text import LISTED, count, duration, listed, number, p_value, percent, plural, quoted

__all__ = ["answer", "overall_of", "stands_text", "summary", "where_of"]

TASKS: Final = 3  # that are told one by one
IF_SO: Final = "if the difference is as large as it seems"
MOST_ROWS: Final = 1000.0  # times as many: more is no advice
EARLY: Final = 0.25  # of the budget, until which it is not said who leads


def answer(report: Report) -> str:
    """Return what came out in one sentence."""
    if not report.tasks:
        return f"None of the {report.cells:,} cells has a result yet."
    if len(report.tasks) == 1:
        return " ".join(_confirmed(report)) or task_answer(report.tasks[0])
    overall = overall_of(report)
    if overall is not None and len(overall.groups) >= least_pairs(ALPHA):
        return _over_tasks(overall)
    return f"{_leading(report)}; {_untested(report, overall)}."


def summary(report: Report) -> list[str]:
    """Return what else came out: how much there is, what holds over tasks, over time, and task by task."""
    if not report.tasks:
        return []
    said = [*_missing(report), _size(report)]
    if len(report.tasks) == 1:
        chosen = report.tasks[0]
        said += [f"Chosen on other seeds: {task_answer(chosen)}"] if report.confirmed else []
        said += _task_summary(chosen)
    else:
        said += _confirmed(report)
        said += [*_over_tasks_summary(report), *_tasks(report)]
    return [*said, *_losses(report)]


def _missing(report: Report) -> list[str]:
    missing = report.cells - report.finished
    if not missing:
        return []
    reason = f": {report.missing[0].reason}" if report.missing else ""
    return [f"Not complete: {missing:,} of {report.cells:,} cells have no result{reason.rstrip('.')}."]


def _size(report: Report) -> str:
    seeds = sorted({task.seeds for task in report.tasks})
    each = plural(seeds[0], "seed") if len(seeds) == 1 else f"{seeds[0]:,} to {seeds[-1]:,} seeds"
    size = f"{plural(len(report.variants), 'variant')} on {plural(len(report.tasks), 'task')}"
    return f"{plural(report.finished, 'study')}: {size}, {each} each."


# One task


def where_of(task: Task) -> str:
    """Return for what the ranks of a task hold."""
    return "on another draw of configurations" if task.has_draws else "on these curves"


def task_answer(task: Task) -> str:
    """Return who is best on a task, who is not told apart from it, and who is worse, in one sentence."""
    best = next((row for row in task.rows if row.call == BEST), None)
    if best is None:
        return f"On {quoted(task.surrogate)}, {task.setting}, no variant has a score."
    regret = f"{_significant(best.score.mean)} of the median configuration's"
    if len(task.rows) == 1:
        return f"{quoted(best.variant)} has a regret of {regret} after {duration(task.budget)}."
    said = f"{quoted(best.variant)} has the least regret after {duration(task.budget)}, {regret}"
    others = stands_text([row for row in task.rows if row is not best])
    return f"{said}; {where_of(task)} {others}." if others else f"{said}."


def stands_text(others: Sequence[TaskRow]) -> str:
    """Say which of the others are not told apart from the best, worse, or without a score."""
    names = {call: [row.variant for row in others if row.call == call] for call in (OPEN, WORSE, NO_SCORE)}
    parts = []
    if len(names[OPEN]) == len(others) > 1:
        return f"none of the {len(others)} others is told apart from it"
    if 0 < len(names[OPEN]) <= LISTED:
        parts.append(f"{listed(names[OPEN])} {_are(names[OPEN])} not told apart from it")
    if names[WORSE]:
        all_others = len(names[WORSE]) == len(others) > 1
        which = f"all {len(others)} others" if all_others else listed(names[WORSE])
        parts.append(f"{which} {_are(names[WORSE])} worse")
    if names[NO_SCORE]:
        parts.append(f"{listed(names[NO_SCORE])} {'has' if len(names[NO_SCORE]) == 1 else 'have'} no score")
    if len(names[OPEN]) > LISTED:
        parts.append(f"the {len(names[OPEN])} others are not told apart from it")
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1] if parts else ""


def _task_summary(task: Task) -> list[str]:
    return [*_turns(task), *_needed(task), *_over_time(task), *_other_measures(task)]


def _confirmed(report: Report) -> list[str]:
    """Say what fresh seeds say of the variants that led on each task."""
    return [f"On {plural(task.seeds, 'fresh seed')} alone {task_answer(task)}" for task in report.confirmed]


def _turns(task: Task) -> list[str]:
    """Say what holds on these curves, and may turn on another draw."""
    turned = [row for row in task.rows if row.draw is not None and row.draw.call == OPEN != row.curves.call]
    worse = [row for row in turned if row.curves.call == WORSE]
    if not worse:
        return []
    these = "these" if task.configurations is None else f"these {task.configurations:,}"
    names = listed([row.variant for row in worse])
    said = f"Worse on {these} configurations; another draw may turn it: {names}."
    easiest = _rows(task, worse)
    if easiest is None:
        return [said]
    name, rows = easiest
    if len(worse) == 1:
        return [f"{said} About {rows} would decide, {IF_SO}."]
    return [f"{said} {quoted(name)} takes the fewest rows to decide: about {rows}, {IF_SO}."]


def _rows(task: Task, rows: Sequence[TaskRow]) -> tuple[str, str] | None:
    """Return which of `rows` another draw would tell apart first, and from how many rows of a table on."""
    found = [(row.draw.rows_factor, row.variant) for row in rows if row.draw is not None]
    found = [one for one in found if 1 < one[0] < MOST_ROWS]
    if not found:
        return None
    factor, name = min(found)
    if task.configurations is None:
        return name, f"{_round(factor):,} times as many rows"
    return name, f"{_round(factor * task.configurations):,} rows"


def _needed(task: Task) -> list[str]:
    """Say what would tell apart what is not told apart on these curves either; never seeds that cannot."""
    open_ = [row for row in task.rows if row.call == OPEN and row.curves.call != WORSE]
    seeds = [
        (row.standing.seeds_needed, row.variant) for row in open_ if row.standing.seeds_needed is not None
    ]
    if seeds:
        count_, name = min(seeds)
        if len(open_) == 1:
            return [f"About {_round(count_):,} seeds would tell {quoted(name)} from the best, {IF_SO}."]
        which = f"Of those not told apart, {quoted(name)} takes the fewest seeds to tell"
        return [f"{which}: about {_round(count_):,}, {IF_SO}."]
    easiest = _rows(task, open_)
    if easiest is None:
        return []
    name, rows = easiest
    if len(open_) == 1:
        return [f"More seeds do not tell {quoted(name)} from the best; about {rows} would, {IF_SO}."]
    which = f"{quoted(name)} takes the fewest rows: about {rows}"
    return [f"More seeds tell none of those apart that are not told apart; {which}, {IF_SO}."]


def _over_time(task: Task) -> list[str]:
    """Say when the leader changes, and whether the one before is worse in the end; and who leads beyond."""
    if len(task.chances) < 2 or not task.chances[0].x:
        return []
    names = [line.variant for line in task.chances]
    late = [at for at, time in enumerate(task.chances[0].x) if time >= EARLY * task.budget]
    if not late:
        return []
    leaders = [names[max(range(len(names)), key=lambda v: task.chances[v].mean[at])] for at in late]
    changes = [place for place in range(1, len(late)) if leaders[place] != leaders[place - 1]]
    said = [f"{quoted(leaders[0])} leads from a quarter of the budget on."]
    if changes:
        before, after = leaders[changes[-1] - 1], leaders[changes[-1]]
        times = {2: "twice"}.get(len(changes), f"{len(changes)} times")
        often = "" if len(changes) == 1 else f" {times} after a quarter of the budget, the last time"
        said = [
            f"The leader changes{often} at about {duration(task.chances[0].x[late[changes[-1]]])}, from "
            f"{quoted(before)} to {quoted(after)}{_told(task, before)}."
        ]
    beyond = [lead for lead in task.leads if lead.share > 1.0]
    best = next((row.variant for row in task.rows if row.call == BEST), "")
    for lead in beyond:
        if lead.best and lead.best != best:
            told = "is worse then" if best in lead.worse else "is not told apart from it then"
            said.append(
                f"After {duration(lead.time)}, when {percent(lead.running)} of the studies still ran, "
                f"{quoted(lead.best)} leads; {quoted(best)} {told}."
            )
    return said


def _told(task: Task, before: str) -> str:
    call = next((row.call for row in task.rows if row.variant == before), "")
    return {WORSE: ", and the first is worse in the end", OPEN: "; in the end they are not told apart"}.get(
        call, ""
    )


def _other_measures(task: Task) -> list[str]:
    """Say who is best by the held-out metric and at equal resource, where that is another one."""
    best = next((row for row in task.rows if row.call == BEST), None)
    if best is None:
        return []
    said = []
    by: dict[str, dict[str, Standing | None]] = {
        "By the held-out metric": {row.variant: row.test_standing for row in task.rows},
        f"At equal resource, {count(task.resource)} units,": {
            row.variant: row.resource_standing for row in task.rows
        },
    }
    for what, standings in by.items():
        other = next((name for name, one in standings.items() if one is not None and one.call == BEST), "")
        mine = standings[best.variant]
        if other and other != best.variant and mine is not None:
            told = (
                "is not told apart from it"
                if mine.call == OPEN
                else f"{'has' if mine.call == NO_SCORE else 'is'} {mine.call}"
            )
            said.append(f"{what} {quoted(other)} is best, and {quoted(best.variant)} {told}.")
    return said


# Over tasks


def overall_of(report: Report) -> Across | None:
    """Return the comparison over all settings, or the only one; None where tasks are all of one group."""
    scores = [across for across in report.across if across.measure == "score"]
    whole = [across for across in scores if across.setting == ALL] or scores[:1]
    return whole[0] if whole else None


def _leading(report: Report) -> str:
    """Say which variant is in front on most tasks; of tasks with several variants."""
    tasks = [task for task in report.tasks if len(task.rows) > 1]
    calls = [(row.variant, row.call) for task in tasks for row in task.rows]
    if not any(call == BEST for _, call in calls):
        return "No task has scores of several variants"
    if not any(call in (WORSE, NO_SCORE) for _, call in calls):
        return f"None of {plural(len(tasks), 'task')} tells any variant from its best one"
    ahead = Counter(name for name, call in calls if call in (BEST, OPEN))
    names = [name for name, times in ahead.items() if times == max(ahead.values())]
    verb = f"{listed(names)} {_are(names)} best, or not told apart from the best"
    return f"{verb}, on {max(ahead.values())} of {plural(len(tasks), 'task')}"


def _untested(report: Report, overall: Across | None) -> str:
    """Say why nothing is tested over tasks."""
    if overall is not None:
        groups = f"over {len(overall.groups)} groups of tasks"
        return f"{groups} nothing can be told apart, since a test needs {least_pairs(ALPHA)}"
    if len({task.group for task in report.tasks}) > 1:
        return "nothing is tested over tasks, since of too few groups there are results of all variants"
    return "nothing is tested over tasks, since they are of one group"


def _over_tasks(across: Across) -> str:
    """Say what holds over tasks, and only what a test says."""
    groups = len(across.groups)
    over = f"Over {groups} groups of tasks" + (", all settings averaged," if across.setting == ALL else "")
    if not across.p_friedman < ALPHA:
        return (
            f"{over} the variants' ranks differ no more than chance would have them (Friedman's test, p "
            f"{p_value(across.p_friedman, sign=True)}): none is told apart from the others."
        )
    first = [name for name, call in across.calls.items() if call == BEST]
    verb = "has" if len(first) == 1 else "share"
    said = (
        f"{over} {listed(first)} {verb} the best mean rank, {across.ranks[0]:.2f} of {len(across.variants)}"
    )
    if not across.is_tested:
        least = least_pairs(ALPHA, len(across.variants) * (len(across.variants) - 1) // 2)
        return f"{said}; variants differ, but which ones takes at least {least} groups with so many variants."
    worse = [name for name, call in across.calls.items() if call == WORSE]
    open_ = [name for name, call in across.calls.items() if call == OPEN]
    parts = [f"{listed(worse)} {_are(worse)} worse"] if worse else []
    if open_ and not worse:
        parts.append("pair by pair none of the others is told apart from it")
    elif open_:
        parts.append(f"{listed(open_)} {_are(open_)} not told apart from it")
    return f"{said}; {' and '.join(parts)} (Wilcoxon over groups, Holm-corrected)." if parts else f"{said}."


def _over_tasks_summary(report: Report) -> list[str]:
    """Say in which settings variants are told apart over tasks, and who leads there."""
    settings = [a for a in report.across if a.measure == "score" and a.setting != ALL]
    if len(settings) < 2 or all(len(a.groups) < least_pairs(ALPHA) for a in settings):
        return []
    leaders: dict[str, list[str]] = {}
    for across in settings:
        if across.p_friedman < ALPHA:
            leaders.setdefault(across.variants[0], []).append(across.setting)
    open_ = [across.setting for across in settings if not across.p_friedman < ALPHA]
    parts = [f"{quoted(name)} with {listed(where, quote=False)}" for name, where in leaders.items()]
    said = [f"Setting by setting, the best mean rank is that of {'; '.join(parts)}."] if parts else []
    return [*said, *([f"Not told apart at all: {listed(open_, quote=False)}."] if open_ else [])]


def _tasks(report: Report) -> list[str]:
    """Say how many tasks tell variants apart, and where the leader over tasks is worse than the best."""
    ranked = [task for task in report.tasks if len(task.rows) > 1]
    told = [task for task in ranked if any(row.call == WORSE for row in task.rows)]
    if not ranked:
        return []
    if not told:
        return []
    said = [
        f"Task by task, {len(told)} of {plural(len(ranked), 'task')} tell some variant from their best one."
    ]
    for task in told[:TASKS]:
        best = next(row for row in task.rows if row.call == BEST)
        others = [row for row in task.rows if row.call == WORSE]
        said.append(f"On {task.name} {stands_text(others)} than {quoted(best.variant)}.")
    overall = overall_of(report)
    first = "" if overall is None else overall.variants[0]
    behind = [t.name for t in told if any(r.variant == first and r.call == WORSE for r in t.rows)]
    if behind:
        said.append(f"{quoted(first)}, first by mean rank, is worse on {listed(behind, quote=False)}.")
    changes = [
        task.name for task in ranked if len({lead.best for lead in task.leads if lead.share <= 1.0}) > 1
    ]
    if changes:
        said.append(
            f"On {len(changes)} of {plural(len(ranked), 'task')} the leader is another one at a quarter, "
            "half or three quarters of the budget."
        )
    return said


def _losses(report: Report) -> list[str]:
    """Say what early decisions cost, over all tasks; fifo takes none."""
    complete = [task for task in report.tasks if task.regrets]
    means: dict[str, float] = {}
    for variant in report.variants:
        parts = [
            (task.group, part.decisions)
            for task in complete
            for part in task.regrets
            if part.variant == variant.name and math.isfinite(part.decisions)
        ]
        if variant.type != "fifo" and {group for group, _ in parts} == {task.group for task in complete}:
            means[variant.name] = mean_over_groups(parts)
    if not complete or not means:
        return []
    most, least = max(means.values()), min(means.values())
    if most == 0.0:
        return ["Early decisions cost nothing: no trial was stopped that would have ended best."]
    ends = list(dict.fromkeys((percent(least), percent(most))))
    amount = ends[0] if len(ends) == 1 else f"{ends[0]} to {ends[1]}, by variant,"
    return [
        f"Early decisions cost {amount} of the median configuration's regret by the end of a study; what "
        "they gain is time."
    ]


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _round(amount: float) -> int:
    """Return an amount with two digits: it is rough."""
    return int(float(f"{math.ceil(amount):.2g}"))


def _significant(value: float) -> str:
    return number(value, max(0, 1 - math.floor(math.log10(value)))) if value > 0 else "0"
