"""All tasks at a glance, in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hbsim.bench.report.model import Report
from hbsim.bench.report.tables_glance import LEGEND, best_first, heads, scored, task_names, winner_cells
from hbsim.bench.report.tables_marks import BEST, CLOSE, WORSE
from hbsim.bench.report.tables_numbers import decimals, plural
from hbsim.bench.report.terminal_table import make_table

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["glance"]

MOST_COLUMNS: Final = 6  # variants with a column each
SHORT: Final = 9  # characters of their names


def glance(report: Report) -> list[tuple[str, Table, str]]:
    """Return title, table and foot; none where there is one task.

    A row a task and a column a variant; of many variants the best, and how many are too close to it to call,
    or worse.
    """
    if len(report.tasks) < 2:
        return []
    what, labels, shared = task_names(report.tasks)
    title = f"At a glance: normalised regret, {plural(len(report.tasks), 'task')} " + (
        f", {shared}" if what != "task" else ""
    )
    if len(report.variants) <= MOST_COLUMNS:
        return [(title, *_matrix(report))]
    lines = []
    for task, label in zip(report.tasks, labels, strict=True):
        best, score, close, worse, _ = winner_cells(task)
        lines.append(([label, best, score.split(" [")[0], close, worse], False))
    foot = f"{CLOSE}, {WORSE}: how many others are too close to the best to call, or worse"
    return [(title, make_table([what, "best", "regret", CLOSE, WORSE], lines, 0, 1), foot)]


def _matrix(report: Report) -> tuple[Table, str]:
    names = best_first(report)
    columns, key = heads(names, SHORT)
    what, labels, _ = task_names(report.tasks)
    lines = []
    for task, label in zip(report.tasks, labels, strict=True):
        rows, digits = {row.variant: row for row in task.rows}, decimals(row.score for row in task.rows)
        cells = [scored(rows, name, digits, star=True) for name in names]
        lines.append(([label, *cells], False))
    foot = f"{BEST}: best, {LEGEND}"
    return make_table([what, *columns], lines, 0), f"{foot}. {key}".strip()
