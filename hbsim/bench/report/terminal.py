"""What a terminal shows of a report: the answer, one table, what else came out, and what to know about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hbsim.bench.report.model import Report
from hbsim.bench.report.notes import shared_notes
from hbsim.bench.report.render import as_rich, not_shown
from hbsim.bench.report.tables import (
    Table,
    all_training,
    glance_table,
    ranking_table,
    sections,
    task_table,
)
from hbsim.bench.report.text import clean, plural
from hbsim.bench.report.words import overall_of

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["show"]

MOST_NOTES: Final = 10


def show(report: Report, console: Console, is_full: bool = False) -> None:
    """Print a report, as wide as the console, from 60 columns on.

    Parameters
    ----------
    report : Report
        What to print.
    console : rich.console.Console
        Where to.
    is_full : bool
        Whether to print all tables, and all notes, instead of the one that answers.
    """
    from rich.table import Table as Grid
    from rich.text import Text

    if report.title:
        console.print(Text(clean(report.title), style="dim"))
    console.print(Text(clean(report.answer), style="bold"))
    tables = [table for _, of in sections(report) for table in of] if is_full else _answers(report)
    said: tuple[str, ...] = ()
    for table in tables:
        console.print()
        console.print(Text(clean(table.title), style="dim"))
        console.print(as_rich(table, console.width))
        if table.notes and table.notes != said:
            console.print(Text(clean(" ".join(table.notes)), style="dim"))
        said = table.notes
        if left := not_shown(table, console.width):
            console.print(Text(f"({left})", style="dim"))
    console.print()
    for sentence in report.summary:
        console.print(Text(clean(sentence)))
    notes = [*shared_notes(report), *report.notes, *_missing(report)]
    if is_full:
        notes += all_training(report)
    grid = Grid.grid(padding=(0, 1, 0, 0))
    for note in notes if is_full else notes[:MOST_NOTES]:
        grid.add_row("-", Text(clean(note)))
    console.print(grid)
    if not is_full and len(notes) > MOST_NOTES:
        console.print(Text(f"and {len(notes) - MOST_NOTES} more notes with --full", style="dim"))


def _answers(report: Report) -> list[Table]:
    """Return the table that answers: of the task, over tasks, or of all tasks at a glance."""
    if len(report.tasks) == 1:
        fresh = [task_table(task, "fresh seed") for task in report.confirmed]
        return [*fresh, *(task_table(task) for task in report.tasks if task.rows)]
    overall = overall_of(report)
    return glance_table(report) if overall is None or not overall.is_tested else [ranking_table([overall])]


def _missing(report: Report) -> list[str]:
    return [
        f"{plural(one.cells, 'cell')} without a result: {one.reason} ({one.example})"
        for one in report.missing
    ]
