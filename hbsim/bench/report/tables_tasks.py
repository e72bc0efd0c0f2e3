"""Tables of tasks: one each where they are few; of many, the best of each and what is too close to call."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping, Sequence
from typing import Final

from hbsim.bench.report.figures_views import FEW_TASKS, by_setting
from hbsim.bench.report.model import Report, Task, TaskRow
from hbsim.bench.report.tables_across import plural
from hbsim.bench.report.tables_grid import Cell, Grid, row
from hbsim.bench.report.tables_numbers import CLOSE, NONE, count, decimals, interval, number, p_value, percent

__all__ = ["call_text", "score_grid", "task_grids"]

MOST_COLUMNS: Final = 8  # variants in a table of many tasks, a column each
SHORT: Final = 12  # characters of a name that heads a column
UNITS: Final = (("d", 86400.0), ("h", 3600.0), ("min", 60.0))


def task_grids(report: Report) -> list[Grid]:
    """Return two tables a task; where there are more than `FEW_TASKS`, one a setting."""
    if len(report.tasks) <= FEW_TASKS:
        return [grid for task in report.tasks for grid in (score_grid(task), cost_grid(task))]
    names = [variant.name for variant in report.variants]
    make = _matrix if len(names) <= MOST_COLUMNS else _winners
    return [make(setting, tasks, names) for setting, tasks in by_setting(report.tasks).items()]


def call_text(row: TaskRow) -> str:
    """Return the call with its mark, and how many seeds would settle it."""
    if row.call != "too close to call":
        return row.call
    seeds = "" if row.seeds_needed is None else f" (about {row.seeds_needed:,} seeds)"
    return f"{CLOSE} too close to call{seeds}"


def score_grid(task: Task) -> Grid:
    """Return who is ahead on a task, and how sure that is."""
    digits = decimals(one.score for one in task.rows)
    apart = decimals(one.difference for one in task.rows if one.call != "best")
    lines = [
        row(
            str(one.rank),
            one.variant,
            interval(one.score, digits),
            NONE if one.call == "best" else interval(one.difference, apart, sign=True),
            p_value(one.p),
            number(one.effect, 2) if one.call != "best" else NONE,
            call_text(one),
            bold=one.call == "best",
        )
        for one in task.rows
    ]
    return Grid(
        kind="task",
        texts=(task.surrogate, task.setting),
        caption=f"{_caption(task)} Difference from the best with the same seed; p of Wilcoxon's signed-rank "
        "test with Holm's correction; effect: matched-pairs rank-biserial correlation, above 0 is worse.",
        headers=("", "variant", "normalised regret [95 %]", "difference [95 %]", "p", "effect", "call"),
        align="rlrrrrl",
        rows=tuple(lines),
    )


def _caption(task: Task) -> str:
    best = "best" if task.is_optimum_known else "best seen"
    return (
        f"{task.name}: {task.metric} at R={task.max_t:g} ({task.mode}, {best} {task.optimum:.6g}, a guess "
        f"{task.guess:.6g}), mean of {plural(task.seeds, 'seed')} at {_time(task.budget)} of simulated time, "
        f"{task.budget_text}."
    )


def cost_grid(task: Task) -> Grid:
    """Return when a task's variants got there, and what it took."""
    rows = task.rows
    unit, length = _unit(max((one.to_target.mean for one in rows), default=math.nan))
    whole, size = _unit(max((one.simulated_seconds for one in rows), default=math.nan))
    regret, area = decimals(one.regret for one in rows), decimals(one.area for one in rows)
    columns = {
        "variant": [one.variant for one in rows],
        "regret [95 %]": [interval(one.regret, regret) for one in rows],
        "area [95 %]": [interval(one.area, area) for one in rows],
        f"to target, {unit}": [count(one.to_target.mean / length) for one in rows],
        "reached": [percent(one.reached) for one in rows],
        "completed": [count(one.completed) for one in rows],
        "busy": [percent(one.busy_share) for one in rows],
        f"study, {whole}": [count(one.simulated_seconds / size) for one in rows],
        "cost": [number(one.cost, 2) for one in rows],
        "no score": [str(one.missing) for one in rows],
    }
    if all(math.isnan(one.cost) for one in rows):
        del columns["cost"]
    if not any(one.missing for one in rows):
        del columns["no score"]
    lines = zip(*columns.values(), strict=True)
    return Grid(
        kind="cost",
        texts=(task.surrogate, task.setting),
        caption=f"{task.name}: regret in the unit of {task.metric}; normalised regret averaged over the time "
        f"(area); mean time until normalised regret {task.target:g} and how many seeds reached it; trials "
        "trained to R, busy workers, and simulated time of whole studies.",
        headers=tuple(columns),
        align="l" + "r" * (len(columns) - 1),
        rows=tuple(row(*line, bold=one.call == "best") for line, one in zip(lines, rows, strict=True)),
    )


def _matrix(setting: str, tasks: Sequence[Task], names: Sequence[str]) -> Grid:
    """Return mean scores, a row a task and a column a variant."""
    heads, key = _heads(names)
    lines = []
    for task in tasks:
        mine = {one.variant: one for one in task.rows}
        digits = decimals(one.score for one in task.rows)
        lines.append((Cell(task.surrogate), *(_score(mine, name, digits) for name in names)))
    return Grid(
        kind="tasks",
        texts=(setting,),
        caption=f"{setting}: normalised regret, mean over seeds. The best is bold; "
        f"{CLOSE}: too close to call.{key}",
        headers=("surrogate", *heads),
        align="l" + "r" * len(names),
        rows=tuple(lines),
    )


def _score(rows: Mapping[str, TaskRow], name: str, digits: int) -> Cell:
    if name not in rows:
        return Cell(NONE)
    one = rows[name]
    mark = f"{CLOSE} " if one.call == "too close to call" else ""
    return Cell(f"{mark}{number(one.score.mean, digits)}", bold=one.call == "best")


def _heads(names: Sequence[str]) -> tuple[Sequence[str], str]:
    """Return heads of columns: the names, or letters and what they stand for."""
    if all(len(name) <= SHORT for name in names):
        return names, ""
    letters = string.ascii_uppercase[: len(names)]
    said = "; ".join(f"{letter}: {name}" for letter, name in zip(letters, names, strict=True))
    return letters, f" {said}."


def _winners(setting: str, tasks: Sequence[Task], names: Sequence[str]) -> Grid:
    """Return the best of each task, and how many are too close to it to call."""
    lines = []
    for task in tasks:
        digits = decimals(one.score for one in task.rows)
        best = next((one for one in task.rows if one.call == "best"), None)
        calls = [one.call for one in task.rows]
        lines.append(
            row(
                task.surrogate,
                NONE if best is None else best.variant,
                NONE if best is None else interval(best.score, digits),
                str(calls.count("too close to call")),
                str(calls.count("worse")),
                str(calls.count("no score")),
            )
        )
    return Grid(
        kind="tasks",
        texts=(setting,),
        caption=f"{setting}: the best of {plural(len(names), 'variant')} on each task, by mean normalised "
        "regret over seeds, and how many of the others are too close to it to call, or worse.",
        headers=("surrogate", "best", "normalised regret [95 %]", f"{CLOSE}", "worse", "no score"),
        align="llrrrr",
        rows=tuple(lines),
    )


def _unit(seconds: float) -> tuple[str, float]:
    return next(((name, length) for name, length in UNITS if seconds >= 2 * length), ("s", 1.0))


def _time(seconds: float) -> str:
    unit, length = _unit(seconds)
    return NONE if math.isnan(seconds) else f"{seconds / length:,.4g} {unit}"
