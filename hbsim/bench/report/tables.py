"""The tables of a report: a page of Markdown, and LaTeX for papers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hbsim.bench.report import tables_latex, tables_markdown
from hbsim.bench.report.figures_heat import shown_heatmaps
from hbsim.bench.report.figures_names import FileNames
from hbsim.bench.report.model import Report
from hbsim.bench.report.tables_across import heatmap_grid, rankings
from hbsim.bench.report.tables_diagnosis import all_training, diagnosis_grids
from hbsim.bench.report.tables_glance import glance_grid
from hbsim.bench.report.tables_grid import Grid, parts, row
from hbsim.bench.report.tables_notes import task_notes
from hbsim.bench.report.tables_numbers import plural
from hbsim.bench.report.tables_tasks import task_grids
from hbsim.errors import OutputError

__all__ = ["latex", "markdown", "write_tables"]

LONGEST: Final = 45  # rows of a LaTeX table: about a page


def markdown(report: Report) -> str:
    """Return one page with all tables of a report, its notes, commands and versions."""
    lines = [f"# {tables_markdown.escaped(report.title)}", ""]
    if report.description.strip():
        lines += [tables_markdown.escaped(report.description), ""]
    lines += [
        f"{report.finished:,} of {plural(report.cells, 'study')} finished.",
        "",
        *tables_markdown.bullets(report.summary),
    ]
    for title, grids in [*_sections(report), ("Studies without a result", _missing(report))]:
        if grids:
            lines += [f"## {title}", "", *(line for grid in grids for line in tables_markdown.table(grid))]
    lines += _notes(report)
    if report.commands:
        lines += ["## Commands", ""]
        for what, command in report.commands.items():
            lines += [f"{tables_markdown.escaped(what)}:", "", *tables_markdown.code(command)]
    if report.versions:
        versions = [f"{name} {version}" for name, version in report.versions.items()]
        lines += ["## Versions", "", tables_markdown.escaped(", ".join(versions)), ""]
    return "\n".join(lines)


def latex(report: Report) -> dict[str, str]:
    """Return the tables of a report for LaTeX with booktabs, by names that are safe for files.

    A long one is split into several, each with the caption and a label.
    """
    names, made = FileNames(), {}
    for _, grids in _sections(report):
        for grid in grids:
            pieces = parts(grid, LONGEST)
            for number, rows in enumerate(pieces, start=1):
                many = len(pieces) > 1
                name = names.make(grid.kind, grid.texts, number if many else None)
                part = f" Part {number} of {len(pieces)}." if many else ""
                made[name] = tables_latex.table(grid, rows, name, part)
    return made


def write_tables(report: Report, folder: Path) -> list[Path]:
    """Write ``tables.md``, and a ``NAME.tex`` for each table.

    Parameters
    ----------
    report : Report
        What the tables are of.
    folder : path
        Where to; made if it is not there.

    Returns
    -------
    list of path
        The files, in the order of the report.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    texts = {"tables.md": markdown(report)}
    texts.update((f"{name}.tex", text) for name, text in latex(report).items())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_bytes(text.encode("utf-8"))
    except OSError as error:
        raise OutputError(str(folder), f"a table cannot be written: {error}") from error
    return [folder / name for name in texts]


def _sections(report: Report) -> list[tuple[str, Sequence[Grid]]]:
    return [
        ("At a glance", glance_grid(report)),
        ("Over tasks", rankings(report)),
        ("Tasks", task_grids(report)),
        ("Brackets and reduction factor", [heatmap_grid(heatmap) for heatmap in shown_heatmaps(report)]),
        ("Early decisions and time", diagnosis_grids(report)),
    ]


def _missing(report: Report) -> list[Grid]:
    if not report.missing:
        return []
    rows = [row(one.reason, f"{one.cells:,}", one.example) for one in report.missing]
    heads = "reason", "studies", "one of them"
    return [Grid("missing", (), "Studies that have no result.", heads, "lrl", tuple(rows))]


def _notes(report: Report) -> list[str]:
    said = [*report.notes, *task_notes(report), *all_training(report)]
    return ["## Notes", "", *tables_markdown.bullets(said)] if said else []
