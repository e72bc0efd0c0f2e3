"""Tables of tasks, where they are few: who is ahead, when the target was reached, and what it took."""

from __future__ import annotations

import math

from hbsim.bench.report.figures_views import FEW_TASKS
from hbsim.bench.report.model import Report, Task, TaskRow
from hbsim.bench.report.tables_grid import Grid, row
from hbsim.bench.report.tables_marks import few, mark_of
from hbsim.bench.report.tables_numbers import (
    NONE,
    count,
    decimals,
    interval,
    number,
    p_value,
    percent,
    plural,
    reach,
    time_unit,
)

__all__ = ["call_text", "score_grid", "task_grids"]


def task_grids(report: Report) -> list[Grid]:
    """Return two tables a task, who is ahead and what it took; none where they are more than `FEW_TASKS`."""
    if len(report.tasks) > FEW_TASKS:
        return []
    return [grid for task in report.tasks for grid in (score_grid(task), cost_grid(task))]


def call_text(row: TaskRow) -> str:
    """Return the call, with its mark where it is not the best."""
    mark = "" if row.call == "best" else mark_of(row)
    return f"{mark} {row.call}".strip()


def score_grid(task: Task) -> Grid:
    """Return who is ahead on a task, and how sure that is."""
    digits = decimals(one.score for one in task.rows)
    apart = decimals(one.difference for one in task.rows if one.call != "best")
    has_needed = any(one.seeds_needed is not None for one in task.rows)
    lines = [
        row(
            str(one.rank),
            one.variant,
            interval(one.score, digits),
            NONE if one.call == "best" else interval(one.difference, apart, sign=True),
            p_value(one.p),
            number(one.effect, 2) if one.call != "best" else NONE,
            percent(one.superiority) if one.call != "best" else NONE,
            call_text(one),
            *([NONE if one.seeds_needed is None else f"{one.seeds_needed:,}"] if has_needed else []),
            bold=one.call == "best",
        )
        for one in task.rows
    ]
    needed = (
        " New seeds needed: about so many would show a difference of this size in 4 of 5 cases."
        if has_needed
        else ""
    )
    said = (
        f"{_caption(task)} Difference from the best with the same seed; p: Wilcoxon's signed-rank test with "
        "Holm's correction; effect: matched-pairs rank-biserial correlation, above 0 is worse; ahead: seeds "
        f"in which it is better than the best, ties half.{needed} {few(task.seeds, 'seed')}"
    )
    head = ("", "variant", "normalised regret [95%]", "difference [95%]", "p", "effect", "ahead", "call")
    return Grid(
        kind="task",
        texts=(task.surrogate, task.setting),
        caption=said.strip(),
        headers=(*head, *(["new seeds needed"] if has_needed else [])),
        align="rlrrrrrl" + ("r" if has_needed else ""),
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
    unit, length = time_unit(task.budget)
    whole, size = time_unit(max((one.simulated_seconds for one in rows), default=math.nan))
    regret, area = decimals(one.regret for one in rows), decimals(one.area for one in rows)
    columns = {
        "variant": [one.variant for one in rows],
        "regret [95%]": [interval(one.regret, regret) for one in rows],
        "area [95%]": [interval(one.area, area) for one in rows],
        f"median time to target, {unit} [95%]": [reach(one.median_time, length) for one in rows],
        "reached": [percent(one.reached) for one in rows],
        f"mean time without, {unit}": [count(one.to_target.mean / length) for one in rows],
        "p, time": [p_value(one.p_target) for one in rows],
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
        f"(area); the target is normalised regret {task.target:g}: the time until half of the seeds have "
        "reached it (not by half: fewer have within the budget; ∞: after it), how many have, the mean time "
        "without it, at most the budget, and Wilcoxon's p of that against the best variant with Holm's "
        "correction; trials trained to R, busy workers, and simulated time of whole studies.",
        headers=tuple(columns),
        align="l" + "r" * (len(columns) - 1),
        rows=tuple(row(*line, bold=one.call == "best") for line, one in zip(lines, rows, strict=True)),
    )


def _time(seconds: float) -> str:
    unit, length = time_unit(seconds)
    return NONE if math.isnan(seconds) else f"{seconds / length:,.4g} {unit}"
