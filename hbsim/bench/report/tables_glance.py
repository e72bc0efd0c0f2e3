"""All tasks at a glance: a row each, a column a variant; of many variants the best, and how others stand."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping, Sequence
from typing import Final

from hbsim.bench.report.model import Report, Task, TaskRow
from hbsim.bench.report.page_names import short_names
from hbsim.bench.report.tables_grid import Cell, Grid, row
from hbsim.bench.report.tables_marks import BEST, CLOSE, WORSE, best_of, mark_of
from hbsim.bench.report.tables_numbers import NONE, decimals, interval, number, plural

__all__ = ["LEGEND", "best_first", "glance_grid", "heads", "scored", "task_names", "winner_cells"]

MOST_COLUMNS: Final = 8  # variants with a column each
SHORT: Final = 12  # characters of a name that heads a column
LEGEND: Final = f"{CLOSE}: too close to the best to call, {WORSE}: worse, {NONE}: no score"


def glance_grid(report: Report) -> list[Grid]:
    """Return one table of all tasks; none where there is one task, or none."""
    if len(report.tasks) < 2:
        return []
    names = best_first(report)
    return [_matrix(report.tasks, names) if len(names) <= MOST_COLUMNS else _winners(report.tasks, names)]


def task_names(tasks: Sequence[Task]) -> tuple[str, list[str], str]:
    """Return what a column of tasks is called, their names in it, and what all of them share."""
    if len({task.setting for task in tasks}) == 1:
        return "surrogate", [task.surrogate for task in tasks], tasks[0].setting
    if len({task.surrogate for task in tasks}) == 1:
        return "cluster and workers", [task.setting for task in tasks], tasks[0].surrogate
    return "task", [task.name for task in tasks], "all tasks"


def best_first(report: Report) -> list[str]:
    """Return the names of the variants by their mean rank over the tasks they are on."""
    ranks: dict[str, list[int]] = {variant.name: [] for variant in report.variants}
    for task in report.tasks:
        for one in task.rows:
            ranks[one.variant].append(one.rank)
    means = {name: math.fsum(found) / len(found) if found else math.inf for name, found in ranks.items()}
    return sorted(means, key=lambda name: means[name])


def scored(rows: Mapping[str, TaskRow], name: str, digits: int, *, star: bool) -> str:
    """Return a variant's mean score with its mark, that of the best only if asked for."""
    if name not in rows:
        return ""
    mark = mark_of(rows[name])
    shown = mark if star or mark != BEST else ""
    return f"{shown} {number(rows[name].score.mean, digits)}".strip()


def heads(names: Sequence[str], longest: int = SHORT) -> tuple[Sequence[str], str]:
    """Return heads of columns: short names, or letters and what they stand for."""
    short = short_names(names)
    if all(len(short[name]) <= longest for name in names):
        return [short[name] for name in names], ""
    letters = string.ascii_uppercase[: len(names)]
    said = "; ".join(f"{letter}: {short[name]}" for letter, name in zip(letters, names, strict=True))
    return letters, f"{said}."


def _matrix(tasks: Sequence[Task], names: Sequence[str]) -> Grid:
    columns, key = heads(names)
    what, labels, shared = task_names(tasks)
    lines = []
    for task, label in zip(tasks, labels, strict=True):
        mine = {one.variant: one for one in task.rows}
        best = {one.variant for one in best_of(task)}
        digits = decimals(one.score for one in task.rows)
        cells = (Cell(scored(mine, name, digits, star=False), name in best) for name in names)
        lines.append((Cell(label), *cells))
    return Grid(
        kind="tasks",
        texts=(shared,),
        caption=f"{shared}: normalised regret, mean over seeds. The best is bold; {LEGEND}; empty: not run "
        f"there. Variants by their mean rank. {key}".strip(),
        headers=(what, *columns),
        align="l" + "r" * len(names),
        rows=tuple(lines),
    )


def winner_cells(task: Task) -> list[str]:
    """Return the best of a task, their score, and how many are too close to call, worse, without a score."""
    best = best_of(task)
    calls = [one.call for one in task.rows]
    return [
        ", ".join(one.variant for one in best) or NONE,
        interval(best[0].score, decimals(one.score for one in task.rows)) if best else NONE,
        *(str(calls.count(call)) for call in ("too close to call", "worse", "no score")),
    ]


def _winners(tasks: Sequence[Task], names: Sequence[str]) -> Grid:
    what, labels, shared = task_names(tasks)
    return Grid(
        kind="tasks",
        texts=(shared,),
        caption=f"{shared}: the best of {plural(len(names), 'variant')} on each task, by mean normalised "
        f"regret over seeds, and how many of the others are too close to it to call ({CLOSE}), worse "
        f"({WORSE}), or without a score.",
        headers=(what, "best", "normalised regret [95%]", CLOSE, WORSE, "no score"),
        align="llrrrr",
        rows=tuple(row(label, *winner_cells(task)) for task, label in zip(tasks, labels, strict=True)),
    )
