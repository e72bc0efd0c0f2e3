"""What a terminal shows of a report: what came out, the ranking, and what to know about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from hbsim.bench.report.figures_names import clean
from hbsim.bench.report.model import Across, Report, Task, TaskRow
from hbsim.bench.report.tables_across import plural, told
from hbsim.bench.report.tables_numbers import CLOSE, NONE, decimals, interval, number, p_value

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

__all__ = ["show", "terminal"]

MOST_TABLES: Final = 4
MOST_ROWS: Final = 20
MOST_NOTES: Final = 8


def show(report: Report, console: Console) -> None:
    """Print a report in short, as wide as the console, from 60 columns on."""
    for part in terminal(report):
        console.print(part)


def terminal(report: Report) -> list[RenderableType]:
    """Return what `show` prints: title, sentences, a ranking for each setting or of the only task, notes."""
    from rich.text import Text

    done = f"{report.finished:,} of {plural(report.cells, 'cell')} finished"
    parts: list[RenderableType] = [Text.assemble((clean(report.title), "bold"), (f"  {done}", "dim")), Text()]
    parts += [Text(clean(sentence)) for sentence in report.summary]
    tables = _tables(report)
    for title, table, foot in tables[:MOST_TABLES]:
        parts += [Text(), Text(clean(title), style="bold"), table]
        parts += [Text(foot, style="dim")] if foot else []
    if len(tables) > MOST_TABLES:
        parts += [Text(), Text(f"and {len(tables) - MOST_TABLES} more in the report", style="dim")]
    notes = [*report.notes, *_missing(report)]
    if len(report.tasks) == 1:
        notes += report.tasks[0].notes
    return [*parts, *_bullets(notes)]


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
    ranked = [a for a in report.across if a.measure == "score" and any(map(math.isfinite, a.ranks))]
    if any(len(across.groups) > 1 for across in ranked):
        return [_of_setting(across) for across in ranked]
    return [_of_task(task) for task in report.tasks]


def _table(headers: Sequence[str], lines: Sequence[tuple[Sequence[str], bool]], name: int) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for place, header in enumerate(headers):
        is_name = place == name
        table.add_column(
            header,
            justify="left" if is_name or header == "" else "right",
            no_wrap=not is_name,
            overflow="fold" if is_name else "ellipsis",
            min_width=12 if is_name else None,
        )
    for texts, is_best in lines[:MOST_ROWS]:
        table.add_row(*(Text(clean(text)) for text in texts), style="bold" if is_best else None)
    if len(lines) > MOST_ROWS:
        table.add_row("", Text(f"and {len(lines) - MOST_ROWS} more", style="dim"))
    return table


def _of_setting(across: Across) -> tuple[str, Table, str]:
    digits, close = decimals(across.means), told(across)
    lines = []
    for place, name in enumerate(across.variants):
        is_best = place == 0
        call = "best" if is_best else CLOSE if name in close else ""
        mean = interval(across.means[place], digits)
        lines.append(([str(place + 1), name, number(across.ranks[place], 2), mean, call], is_best))
    table = _table(["", "variant", "mean\nrank", "normalised\nregret [95 %]", ""], lines, 1)
    if math.isnan(across.critical_difference):
        foot = "no test: there are too few groups of tasks, or variants"
    else:
        p = p_value(across.p_friedman, sign=True)
        foot = f"Friedman p {p}; {CLOSE} not told apart from the best"
    return f"{across.setting}: {plural(len(across.groups), 'group')} of tasks", table, foot


def _of_task(task: Task) -> tuple[str, Table, str]:
    digits = decimals(row.score for row in task.rows)
    apart = decimals(row.difference for row in task.rows if row.call != "best")
    lines = []
    for row in task.rows:
        texts = [str(row.rank), row.variant, interval(row.score, digits), _difference(row, apart), _call(row)]
        lines.append((texts, row.call == "best"))
    heads = ["", "variant", "normalised\nregret [95 %]", "difference\n[95 %]", ""]
    needed = [row.seeds_needed for row in task.rows if row.seeds_needed is not None]
    foot = f"{CLOSE} too close to call" if any(_call(row) == CLOSE for row in task.rows) else ""
    if foot and needed:
        foot += f"; about {max(needed):,} seeds would settle all that can be settled"
    return f"{task.name}: {plural(task.seeds, 'seed')}", _table(heads, lines, 1), foot


def _difference(row: TaskRow, digits: int) -> str:
    found = row.difference
    if row.call == "best" or math.isnan(found.mean):
        return NONE
    if math.isnan(found.low):
        return number(found.mean, digits, sign=True)
    return f"[{number(found.low, digits, sign=True)}, {number(found.high, digits, sign=True)}]"


def _call(row: TaskRow) -> str:
    return CLOSE if row.call == "too close to call" else row.call
