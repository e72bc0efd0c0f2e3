"""The tables of a report: plain text in cells, which `hbsim.bench.report.render` shows in four forms."""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from hbsim.bench.conclusions import Interval
from hbsim.bench.formatting import (
    MEASURES,
    NONE,
    count,
    decimals,
    duration,
    interval,
    intervals,
    number,
    p_value,
    percent,
    plural,
    short_names,
    time_unit,
)
from hbsim.bench.over_tasks import least_pairs
from hbsim.bench.report.diagnosis import FEW_TASKS, REGRETS, views
from hbsim.bench.report.model import (
    ALL,
    BEST,
    NO_SCORE,
    OPEN,
    WORSE,
    Across,
    Heatmap,
    Regrets,
    RungRow,
    SweepReport,
    TaskReport,
    TaskRow,
    VariantStanding,
    View,
)
from hbsim.bench.sweep.store import SHARES

MARKS: Final = {BEST: "★", OPEN: "≈", WORSE: "▼", NO_SCORE: NONE}
LEGEND: Final = (
    f"{MARKS[BEST]} best, {MARKS[OPEN]} not told apart from the best, {MARKS[WORSE]} worse, {NONE} no score"
)
MOST_COLUMNS: Final = 8  # the most variants with a column each, where all tasks are in one table
MOST_PAIRS: Final = 15  # where there are more variants, only pairs with the best are shown
MOST_RUNGS: Final = 60  # the most rows of a table of rungs: with more, there is none
MANY_GROUPS: Final = 10  # the fewest groups for which Friedman's p is that of an F distribution
LEFT: Final = ("variant", "first", "second", "leads", "best", "surrogate", "cluster and workers", "task")
SHORT: Final = 12  # the most characters of a name that heads a column
ALL_THE_TIME: Final = 0.9995  # share of the time that is shown as 100.0%


@dataclass(frozen=True)
class Heading:
    """A column of a table.

    Attributes
    ----------
    head : str
        The text above the column; may have two lines.
    align : "l" or "r"
        The alignment.
    need : int
        0: always shown. Where there is no room, columns with the greatest number are left out first.
    """

    head: str
    align: str = "r"
    need: int = 0


@dataclass(frozen=True)
class Cell:
    """A text, not escaped for anything."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class ReportTable:
    """A table of a report.

    Attributes
    ----------
    kind, texts : str, tuple of str
        The parts of its file's name: the kind, and the texts that distinguish it from others of its kind.
    title : str
        The title.
    columns : tuple of Heading
        The first two may hold names, and break where they must.
    rows : tuple of tuples of Cell
        As many cells as there are columns.
    notes : tuple of str
        What its columns and marks mean, a sentence each.
    """

    kind: str
    texts: tuple[str, ...]
    title: str
    columns: tuple[Heading, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


Columns: TypeAlias = dict[Heading | str, list[str] | None]  # columns by their heads, or by how they are shown


def row(texts: Iterable[str], bold: bool = False, strong: Sequence[int] = ()) -> tuple[Cell, ...]:
    """Make a row of cells: all `bold`, or only those at the places in `strong`."""
    return tuple(Cell(text, bold or place in strong) for place, text in enumerate(texts))


def _table(
    kind: str,
    texts: tuple[str, ...],
    title: str,
    columns: Columns,
    bold: Sequence[bool] | None = None,
    notes: Iterable[str] = (),
) -> ReportTable:
    """Make a table from columns, without those that are None, or empty and optional."""
    made = {
        Heading(key, "l" if key in LEFT else "r") if isinstance(key, str) else key: column
        for key, column in columns.items()
        if column is not None
    }
    kept = {key: column for key, column in made.items() if not key.need or set(column) - {NONE}}
    lines = list(zip(*kept.values(), strict=True))
    rows = tuple(
        row(line, bold=strong) for line, strong in zip(lines, bold or [False] * len(lines), strict=True)
    )
    return ReportTable(kind, texts, title, tuple(kept), rows, tuple(note for note in notes if note))


def sections(report: SweepReport) -> list[tuple[str, list[ReportTable]]]:
    """Return all tables of a report, under their titles."""
    tasks = report.tasks if len(report.tasks) <= FEW_TASKS else ()
    of_tasks = [table for task in tasks for table in (task_table(task), leads_table(task), cost_table(task))]
    of_tasks += [task_table(task, "fresh seed") for task in report.confirmed]
    return [
        ("At a glance", overview_table(report)),
        ("Over tasks", rankings(report)),
        ("Tasks", [table for table in of_tasks if table.rows]),
        ("Brackets and reduction factor", [heatmap_table(heatmap) for heatmap in report.heatmaps]),
        ("Early decisions and time", diagnosis_tables(report)),
    ]


# A task


def task_table(task: TaskReport, what: str = "seed") -> ReportTable:
    """Return the table of the standings of a task's variants; `what` describes the studies."""
    rows, digits = task.rows, decimals(one.score for one in task.rows)
    apart = decimals(one.standing.difference for one in rows if one.call != BEST)
    at_r, tests = decimals(one.value for one in rows), decimals(one.test for one in rows)
    draws = [_mark(one.draw) for one in rows] if task.has_draws else None
    chances = None if task.matters is None else [_chances(one.standing) for one in rows]
    picked = [number(one.picked.mean, at_r) for one in rows]
    held_out = None
    if any(one.test_standing is not None for one in rows):
        held_out = [f"{_sign(one.test_standing)}{number(one.test.mean, tests)}" for one in rows]
    resources = [f"{_sign(one.resource_standing)}{number(one.resource.mean, digits)}" for one in rows]
    columns: Columns = {
        "rank": [str(one.rank) for one in rows],
        "variant": [one.variant for one in rows],
        "normalised\nregret [95%]": [interval(one.score, digits) for one in rows],
        Heading("difference from\nthe best [95%]", need=2): [
            _difference(one.standing, apart) for one in rows
        ],
        Heading("these\ncurves", "l"): [_mark(one.curves) for one in rows],
        Heading("another\ndraw", "l"): draws,
        Heading("P better,\nsame, worse", need=1): chances,
        Heading("at R", need=3): [number(one.value.mean, at_r) for one in rows],
        Heading("picked", need=4): picked,
        Heading("held-\nout", need=3): held_out,
        Heading("equal\nresource", need=5): resources,
        Heading("completed", need=6): [count(one.completed) for one in rows],
        Heading("busy", need=6): [percent(one.busy_share) for one in rows],
        Heading("cost", need=6): [number(one.cost, 2) for one in rows],
        Heading(f"regret,\n{task.metric} [95%]", need=7): intervals([one.regret for one in rows]),
        Heading("p", need=8): [p_value(one.standing.p) for one in rows],
        Heading("no\nscore", need=1): [str(one.missing or NONE) for one in rows],
    }
    return _table("task", task.view.texts, _title(task, what), columns, _is_best(rows), _task_notes(task))


def _is_best(rows: Iterable[TaskRow]) -> list[bool]:
    return [one.call == BEST for one in rows]


def _difference(standing: VariantStanding, digits: int) -> str:
    return NONE if standing.call == BEST else interval(standing.difference, digits, sign=True)


def _chances(standing: VariantStanding) -> str:
    if standing.call == BEST or math.isnan(standing.same):
        return NONE
    return ", ".join(map(percent, (standing.better, standing.same, standing.worse)))


def _mark(standing: VariantStanding | None) -> str:
    if standing is None:
        return NONE
    mark = MARKS[standing.call]
    return f"{mark} {standing.call}" if standing.call in (BEST, WORSE) else mark


def _sign(standing: VariantStanding | None) -> str:
    """Return the mark beside a variant's number."""
    return "" if standing is None or standing.call == NO_SCORE else f"{MARKS[standing.call]} "


def _title(task: TaskReport, what: str) -> str:
    ends = {
        "best" if task.is_optimum_known else "best seen": task.optimum,
        "median configuration": task.median,
    }
    known = [f"{name} {value:.6g}" for name, value in ends.items() if math.isfinite(value)]
    return (
        f"{task.name}: {task.metric} at R={task.max_t:g} ({', '.join([task.mode, *known])}), "
        f"{plural(task.seeds, what)}, after {duration(task.budget)} of simulated time, {task.budget_text}"
    )


def _task_notes(task: TaskReport) -> Iterable[str]:
    calls = {
        standing.call for one in task.rows for standing in (one.curves, one.draw) if standing is not None
    }
    marks = {
        OPEN: "not told apart from the best",
        WORSE: "worse; the error rate of 5 % is that of the whole table",
    }
    shown = [f"{MARKS[call]} {text}" for call, text in marks.items() if call in calls]
    if shown:
        yield f"{', '.join(shown)}."
    if task.has_draws:
        draw = f"these {task.configurations:,} rows" if task.configurations else "these rows"
        yield (
            f"These curves: true of {draw}, with other seeds. Another draw: true of other configurations of "
            "this task too; ranks and differences are by that."
        )
    if task.matters is not None:
        yield (
            f"P better, same, worse: how probable it is that the difference is below {-task.matters:.2g}, "
            f"within, or above {task.matters:.2g}."
        )
    held_out = any(one.test_standing is not None for one in task.rows)
    yield (
        f"At R: the incumbent's mean {task.metric} at R; picked: by its own report, when it became the "
        f"incumbent{'; held-out: at R, on data that no decision saw' if held_out else ''}."
    )


def leads_table(task: TaskReport) -> ReportTable:
    """Return the table of leading variants at shares of the budget, and beyond it."""
    columns: Columns = {
        "time": [duration(one.time) for one in task.leads],
        "of the\nbudget": [percent(one.share) for one in task.leads],
        "leads": [one.best or NONE for one in task.leads],
        "not told\napart": [str(max(0, len(one.leaders) - 1)) for one in task.leads],
        "worse": [str(len(one.worse)) for one in task.leads],
        "still\nrunning": [percent(one.running) for one in task.leads],
    }
    notes = ["Leads: the least mean regret; how many others are not told apart from it, and worse."]
    title, bold = f"{task.name}: who leads over the budget", [one.share == 1.0 for one in task.leads]
    return _table("leads", task.view.texts, title, columns, bold, notes)


def cost_table(task: TaskReport) -> ReportTable:
    """Return the table of each variant's time to the target, and its resources and cost."""
    rows, (unit, length) = task.rows, time_unit(task.budget)
    whole, size = time_unit(max((one.simulated_seconds for one in rows), default=math.nan))
    columns: Columns = {
        "variant": [one.variant for one in rows],
        "area [95%]": intervals([one.area for one in rows]),
        f"median time\nto target, {unit} [95%]": [reach(one.median_time, length) for one in rows],
        "reached": [percent(one.reached) for one in rows],
        f"mean time\nwithout, {unit}": [count(one.to_target.mean / length) for one in rows],
        "trials": [count(one.trials) for one in rows],
        "completed": [count(one.completed) for one in rows],
        "busy": [percent(one.busy_share) for one in rows],
        f"study, {whole}": [count(one.simulated_seconds / size) for one in rows],
        Heading("cost", need=1): [number(one.cost, 2) for one in rows],
    }
    notes = [
        "Area: normalised regret averaged over the time until the budget.",
        f"The target is normalised regret {task.target:g}: the time until half of the seeds have reached it "
        "(> budget: fewer have), how many have, and the mean time without it, at most the budget.",
        "Trials, completed, busy, study and cost are of whole studies.",
    ]
    title = f"{task.name}: time to the target, and what it took"
    return _table("cost", task.view.texts, title, columns, _is_best(rows), notes)


def reach(median: Interval, length: float) -> str:
    """Return the median time to a target in units of `length` seconds; infinity means after the budget."""
    if math.isnan(median.mean):
        return NONE
    if math.isinf(median.mean):
        return "> budget"
    scaled = [number_ / length for number_ in (median.mean, median.low, median.high)]
    if math.isnan(scaled[1]) or math.isnan(scaled[2]):
        return count(scaled[0])
    return f"{count(scaled[0])} [{count(scaled[1])}, {count(scaled[2])}]"


# All tasks at a glance


def overview_table(report: SweepReport) -> list[ReportTable]:
    """Return one table of all tasks, a row each; none where there is one task, or none.

    Each variant has a column. Where there are many variants, the columns are the best one and how many are
    not told apart from it, worse, or without a score.
    """
    if len(report.tasks) < 2:
        return []
    names, (what, labels, shared) = best_first(report), _task_names(report.tasks)
    title = f"{shared}: normalised regret, {plural(len(report.tasks), 'task')}, mean over seeds"
    if len(names) <= MOST_COLUMNS:
        heads, key = _heads(names)
        columns = (Heading(what, "l"), *map(Heading, heads))
        lines = zip(report.tasks, labels, strict=True)
        rows = tuple(_scores(task, label, names) for task, label in lines)
        note = f"{LEGEND}; empty: not run there. Variants by their mean rank. {key}".strip()
        return [ReportTable("tasks", (shared,), title, columns, rows, (note,))]
    calls = [[one.call for one in task.rows] for task in report.tasks]
    columns_of: Columns = {
        what: labels,
        "best": [task.best.variant if task.best else NONE for task in report.tasks],
        "normalised regret [95%]": [
            interval(task.best.score, decimals(one.score for one in task.rows)) if task.best else NONE
            for task in report.tasks
        ],
        MARKS[OPEN]: [str(of.count(OPEN)) for of in calls],
        MARKS[WORSE]: [str(of.count(WORSE)) for of in calls],
        "no score": [str(of.count(NO_SCORE)) for of in calls],
    }
    note = f"{MARKS[OPEN]}, {MARKS[WORSE]}: how many are not told apart from the best, and worse."
    return [_table("tasks", (shared,), title, columns_of, notes=[note])]


def best_first(report: SweepReport) -> list[str]:
    """Return the names of the variants by their mean rank over the tasks they are on."""
    ranks: dict[str, list[int]] = {variant.name: [] for variant in report.variants}
    for task in report.tasks:
        for one in task.rows:
            ranks[one.variant].append(one.rank)
    means = {name: math.fsum(found) / len(found) if found else math.inf for name, found in ranks.items()}
    return sorted(means, key=lambda name: means[name])


def _task_names(tasks: Sequence[TaskReport]) -> tuple[str, list[str], str]:
    """Return the head of a column of tasks, the names in it, and what all names share."""
    if len({task.setting for task in tasks}) == 1:
        return "surrogate", [task.surrogate for task in tasks], tasks[0].setting
    if len({task.surrogate for task in tasks}) == 1:
        return "cluster and workers", [task.setting for task in tasks], tasks[0].surrogate
    return "task", [task.name for task in tasks], "all tasks"


def _heads(names: Sequence[str]) -> tuple[Sequence[str], str]:
    """Return heads of columns: short names, or letters with notes that explain them."""
    short = short_names(names)
    if all(len(short[name]) <= SHORT for name in names):
        return [short[name] for name in names], ""
    letters = string.ascii_uppercase[: len(names)]
    said = "; ".join(f"{letter}: {short[name]}" for letter, name in zip(letters, names, strict=True))
    return letters, f"{said}."


def _scores(task: TaskReport, label: str, names: Sequence[str]) -> tuple[Cell, ...]:
    found, digits = {one.variant: one for one in task.rows}, decimals(one.score for one in task.rows)
    cells = [Cell(label)]
    for name in names:
        mine = found.get(name)
        mark = "" if mine is None or mine.call == NO_SCORE else f"{MARKS[mine.call]} "
        text = "" if mine is None else f"{mark}{number(mine.score.mean, digits)}"
        cells.append(Cell(text, mine is not None and mine.call == BEST))
    return tuple(cells)


# Over tasks


def rankings(report: SweepReport) -> list[ReportTable]:
    """Return the ranking in each setting, then its pairwise comparisons; over all settings first."""
    made = []
    order = sorted(dict.fromkeys(one.setting for one in report.across), key=lambda setting: setting != ALL)
    for setting in order:
        mine = [across for across in report.across if across.setting == setting]
        made.append(ranking_table(mine))
        made += [pairs_table(across) for across in mine if across.pairs and len(across.groups) > 1]
    return made


def ranking_table(measures: Sequence[Across]) -> ReportTable:
    """Return the ranking in a setting: variants by the first of `measures`, columns for each."""
    first = measures[0]
    ranks = [1 + sum(other < rank for other in first.ranks) for rank in first.ranks]
    columns: Columns = {
        "rank": [
            str(rank) if math.isfinite(mean) else NONE for rank, mean in zip(ranks, first.ranks, strict=True)
        ],
        "variant": list(first.variants),
    }
    for place, across in enumerate(measures):
        order = [across.variants.index(name) for name in first.variants]
        head = MEASURES[across.measure].replace(" ", "\n", 1)
        of = "" if not place else f", {across.measure}"
        columns |= {
            Heading(f"mean\nrank{of}", need=place): [
                f"{_rank_mark(across, at)}{number(across.ranks[at], 2)}" for at in order
            ],
            Heading(f"{head} [95%]", need=place): intervals([across.means[at] for at in order]),
            Heading(f"interquartile\nmean{of} [95%]", need=place + 1): intervals(
                [across.iqm[at] for at in order]
            ),
        }
    title = f"{first.setting}: over {plural(len(first.groups), 'group')} of tasks"
    bold = [first.calls.get(name) == BEST for name in first.variants]
    return _table("ranking", (first.setting,), title, columns, bold, _ranking_notes(measures))


def _rank_mark(across: Across, at: int) -> str:
    call = across.calls.get(across.variants[at])
    return f"{MARKS[call]} " if call in (OPEN, WORSE) else ""


def _ranking_notes(measures: Sequence[Across]) -> Iterable[str]:
    for across in measures:
        if math.isfinite(across.p_friedman):
            how = "Iman and Davenport's F" if len(across.groups) >= MANY_GROUPS else "by permutations"
            p = p_value(across.p_friedman, sign=True)
            yield f"{MEASURES[across.measure].capitalize()}: Friedman's test, {how}, p {p}."
    if {call for across in measures for call in across.calls.values()} & {OPEN, WORSE}:
        yield (
            f"The best mean rank is bold; {MARKS[OPEN]} not told apart from it, {MARKS[WORSE]} worse, by "
            "Wilcoxon's test over groups with Holm's correction."
        )
    yield _untested(measures[0])


def _untested(across: Across) -> str:
    """Explain why no pair was tested; empty where pairs were."""
    pairs = len(across.variants) * (len(across.variants) - 1) // 2
    needed = least_pairs(pairs)
    if across.is_tested:
        return ""
    if len(across.groups) < needed:
        return f"Not tested: fewer than {needed} groups for {plural(pairs, 'pair')}."
    return "Not tested: no scores."


def pairs_table(across: Across) -> ReportTable:
    """Return a row a pair of variants; of many pairs, those with the best by mean rank."""
    pairs, which = list(across.pairs), "every pair"
    if len(pairs) > MOST_PAIRS:
        pairs = [pair for pair in pairs if across.variants[0] in (pair.first, pair.second)]
        which = "pairs with the best by mean rank"
    chances = [interval(pair.improvement, 2) for pair in pairs]
    columns: Columns = {
        "first": [pair.first for pair in pairs],
        "second": [pair.second for pair in pairs],
        "better": [str(pair.wins) for pair in pairs],
        "tied": [str(pair.ties) for pair in pairs],
        "worse": [str(pair.losses) for pair in pairs],
        "p": [p_value(pair.p) for pair in pairs],
        "p, Nemenyi": [p_value(pair.p_nemenyi) for pair in pairs],
        Heading("probability of\nimprovement [95%]", need=1): chances,
    }
    groups = plural(len(across.groups), "group")
    title = f"pairwise comparisons by {MEASURES[across.measure]}, {which}, over {groups} of tasks"
    notes = [
        "In how many groups the first is better, tied and worse; p: Wilcoxon's signed-rank test with Holm's "
        "correction over all pairs, and Nemenyi's test.",
        "How probable it is that a study of the first is better than one of the second on the same task."
        if set(chances) - {NONE}
        else "",
        _untested(across),
    ]
    return _table(
        "pairs", (across.measure, across.setting), f"{across.setting}: {title}", columns, None, notes
    )


def heatmap_table(heatmap: Heatmap) -> ReportTable:
    """Return normalised regret, a row a number of brackets and a column a reduction factor."""
    known = [value for line in heatmap.values for value in line if not math.isnan(value)]
    digits, least = _digits(known), min(known, default=math.nan)
    return ReportTable(
        kind="heatmap",
        texts=(heatmap.title, heatmap.setting),
        title=f"{heatmap.title}, {heatmap.setting}: mean normalised regret over the number of brackets and "
        "the reduction factor η",
        columns=(Heading("brackets"), *(Heading(f"η = {eta:g}") for eta in heatmap.etas)),
        rows=tuple(
            row(
                (f"{brackets:g}", *(number(value, digits) for value in values)),
                strong=[place for place, value in enumerate(values, start=1) if value == least],
            )
            for brackets, values in zip(heatmap.brackets, heatmap.values, strict=True)
        ),
        notes=("The best is bold.",),
    )


def _digits(values: Iterable[float]) -> int:
    return decimals(Interval(value, math.nan, math.nan) for value in values)


# Diagnosis


def diagnosis_tables(report: SweepReport) -> list[ReportTable]:
    """Return up to three tables a view: regret and decisions, rungs, workers' time."""
    made = []
    for view in views(report):
        if view.regrets or view.rungs:
            made.append(_decisions(view))
        if 0 < len(view.rungs) <= MOST_RUNGS:
            made.append(_rungs(view))
        if view.shares and not is_all_training(view):
            made.append(_shares(view))
    return made


def is_all_training(view: View) -> bool:
    """Return whether all workers' time was first-time training, so that a table would show nothing."""
    return all(one.training >= ALL_THE_TIME for one in view.shares)


def all_training(report: SweepReport) -> list[str]:
    """Name the views without a table of the workers' time; nothing where each has one."""
    found = [view.title for view in views(report) if view.shares and is_all_training(view)]
    said = "all workers trained all the time, nothing was trained again"
    return [f"{'; '.join(found)}: {said}"] if found else []


def _decisions(view: View) -> ReportTable:
    parts = {one.variant: _parts(one) for one in view.regrets}
    sums = {name: math.fsum(values) for name, values in parts.items()}
    names = view.order([*parts, *(one.variant for one in view.rungs)])
    names.sort(key=lambda name: math.inf if math.isnan(sums.get(name, math.nan)) else sums[name])
    values = [[*parts.get(name, [math.nan] * len(REGRETS)), sums.get(name, math.nan)] for name in names]
    counts = [_counts([one for one in view.rungs if one.variant == name]) for name in names]
    digits = _digits(sums.values())
    columns: Columns = {"variant": names}
    for place, head in enumerate((*REGRETS, "sum")):
        columns[Heading(head, need=1)] = [number(line[place], digits) for line in values]
    for place, head in enumerate(("stopped", "better", "false\npromotions")):
        columns[Heading(head, need=2 + place)] = [line[place] for line in counts]
    title = f"{view.title}: the parts of the final normalised regret, and early decisions at all rungs"
    note = (
        "Trials that were stopped, those of them that would have ended better than the best that went on, "
        "and those that went on without being among the rung's best at R, of all that went on."
    )
    return _table("decisions", view.texts, title, columns, notes=[note])


def _parts(one: Regrets) -> list[float]:
    return [float(getattr(one, part)) for part in REGRETS]


def _counts(rungs: Sequence[RungRow]) -> list[str]:
    if not rungs:
        return [NONE, NONE, NONE]
    stopped = sum(one.stopped for one in rungs)
    went_on = sum(one.recorded for one in rungs) - stopped
    better, false = sum(one.better for one in rungs), sum(one.false_promotions for one in rungs)
    return [
        f"{stopped:,}",
        f"{better:,} ({percent(better / stopped)})" if stopped else f"{better:,}",
        f"{false:,} ({percent(false / went_on)})" if went_on > 0 else f"{false:,}",
    ]


def _rungs(view: View) -> ReportTable:
    order = view.order(one.variant for one in view.rungs)
    rungs = sorted(view.rungs, key=lambda one: order.index(one.variant))
    digits = _digits(one.loss for one in rungs)
    columns: Columns = {
        "variant": [one.variant for one in rungs],
        "bracket": [str(one.bracket) for one in rungs],
        "level": [f"{one.level:g}" for one in rungs],
        "recorded": [f"{one.recorded:,}" for one in rungs],
        "stopped": [f"{one.stopped:,}" for one in rungs],
        "better": [f"{one.better:,}" for one in rungs],
        "false\npromotions": [f"{one.false_promotions:,}" for one in rungs],
        "loss": [number(one.loss, digits) for one in rungs],
    }
    note = "Loss: the normalised regret that a rung's decisions cost, mean over seeds."
    return _table("rungs", view.texts, f"{view.title}: early decisions at each rung", columns, notes=[note])


def _shares(view: View) -> ReportTable:
    found = {one.variant: one for one in view.shares}
    names = view.order(found)
    columns: Columns = {"variant": names}
    columns |= {share: [percent(float(getattr(found[name], share))) for name in names] for share in SHARES}
    title = f"{view.title}: what workers did, shares of their time"
    note = "Saved: what resuming from checkpoints saved, of all that was trained."
    return _table("time", view.texts, title, columns, notes=[note])


def missing_table(report: SweepReport) -> list[ReportTable]:
    """Return the table of why studies have no result; None where all have one."""
    if not report.missing:
        return []
    rows = tuple(row((one.reason, f"{one.cells:,}", one.example)) for one in report.missing)
    columns = Heading("reason", "l"), Heading("studies"), Heading("one of them", "l")
    return [ReportTable("missing", (), "Studies that have no result", columns, rows)]
