"""What a terminal shows of a report: what came out, the ranking, and what to know about it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from hbsim.bench.report.figures_names import clean
from hbsim.bench.report.model import Across, Report, Task, TaskRow
from hbsim.bench.report.tables_across import friedman_name, settings_first
from hbsim.bench.report.tables_marks import BEST, CLOSE, WORSE, across_marks, mark_of, untested
from hbsim.bench.report.tables_notes import task_notes
from hbsim.bench.report.tables_numbers import NONE, decimals, interval, number, p_value, plural
from hbsim.bench.report.terminal_glance import glance
from hbsim.bench.report.terminal_table import make_table

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

__all__ = ["show", "terminal"]

MOST_TABLES: Final = 4
MOST_NOTES: Final = 8


def show(report: Report, console: Console) -> None:
    """Print a report in short, as wide as the console, from 60 columns on."""
    for part in terminal(report):
        console.print(part)


def terminal(report: Report) -> list[RenderableType]:
    """Return what `show` prints: title, sentences, all tasks at a glance, rankings or tasks, notes."""
    from rich.text import Text

    done = f"{report.finished:,} of {plural(report.cells, 'cell')} finished"
    parts: list[RenderableType] = [Text.assemble((clean(report.title), "bold"), (f"  {done}", "dim")), Text()]
    parts += [Text(clean(sentence)) for sentence in report.summary]
    tables = _tables(report)
    for title, table, foot in [*glance(report), *tables[:MOST_TABLES]]:
        parts += [Text(), Text(clean(title), style="bold"), table]
        parts += [Text(clean(foot), style="dim")] if foot else []
    if len(tables) > MOST_TABLES:
        parts += [Text(), Text(f"and {len(tables) - MOST_TABLES} more in the report", style="dim")]
    return [*parts, *_bullets([*task_notes(report), *report.notes, *_missing(report)])]


def _missing(report: Report) -> list[str]:
    return [
        f"{plural(one.cells, 'cell')} without a result: {one.reason} ({one.example})"
        for one in report.missing
    ]


def _bullets(notes: Sequence[str]) -> list[RenderableType]:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    if not notes:
        return []
    grid = Table.grid(padding=(0, 1, 0, 0))
    for note in notes[:MOST_NOTES]:
        grid.add_row("-", Text(clean(note)))
    if len(notes) > MOST_NOTES:
        grid.add_row("-", Text(f"and {len(notes) - MOST_NOTES} more notes in the report", style="dim"))
    return [Padding(grid, (1, 0, 0, 0))]


def _tables(report: Report) -> list[tuple[str, Table, str]]:
    """Return title, table and foot of each ranking: over groups of tasks if there are several."""
    order = settings_first(report.across)
    ranked = [a for a in report.across if a.measure == "score" and any(map(math.isfinite, a.ranks))]
    ranked.sort(key=lambda across: order.index(across.setting))
    if any(len(across.groups) > 1 for across in ranked):
        return [_of_setting(across) for across in ranked]
    return [_of_task(task) for task in report.tasks]


def _of_setting(across: Across) -> tuple[str, Table, str]:
    digits, marks = decimals(across.means), across_marks(across)
    lines = []
    for place, name in enumerate(across.variants):
        mean, mark = interval(across.means[place], digits), marks.get(name, "")
        lines.append(
            ([str(_rank(across, place)), name, number(across.ranks[place], 2), mean, mark], mark == BEST)
        )
    table = make_table(["", "variant", "mean\nrank", "normalised\nregret [95%]", ""], lines, 1)
    feet = []
    if math.isfinite(across.p_friedman):
        feet.append(f"{friedman_name(across)}: p {p_value(across.p_friedman, sign=True)}")
    feet += [why] if (why := untested(across)) else [_legend(marks.values())]
    return f"{across.setting}: {plural(len(across.groups), 'group')} of tasks", table, "; ".join(feet)


def _rank(across: Across, place: int) -> int:
    return 1 + sum(other < across.ranks[place] for other in across.ranks)


def _legend(marks: Iterable[str]) -> str:
    """Say what the marks mean that are there."""
    there = set(marks)
    said = {BEST: "best", CLOSE: "too close to the best to call", WORSE: "worse"}
    return ", ".join(f"{mark} {text}" for mark, text in said.items() if mark in there)


def _of_task(task: Task) -> tuple[str, Table, str]:
    digits = decimals(row.score for row in task.rows)
    apart = decimals(row.difference for row in task.rows if row.call != "best")
    lines = []
    for row in task.rows:
        texts = [str(row.rank), row.variant, interval(row.score, digits), _difference(row, apart), _call(row)]
        lines.append((texts, row.call == "best"))
    heads = ["", "variant", "normalised\nregret [95%]", "difference\n[95%]", ""]
    foot = _legend(_call(row) for row in task.rows)
    return f"{task.name}: {plural(task.seeds, 'seed')}", make_table(heads, lines, 1), foot


def _difference(row: TaskRow, digits: int) -> str:
    found = row.difference
    if row.call == "best" or math.isnan(found.mean):
        return NONE
    if math.isnan(found.low):
        return number(found.mean, digits, sign=True)
    return f"[{number(found.low, digits, sign=True)}, {number(found.high, digits, sign=True)}]"


def _call(row: TaskRow) -> str:
    return mark_of(row) or row.call
