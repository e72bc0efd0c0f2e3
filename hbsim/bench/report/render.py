"""The forms of a report's tables: Markdown, LaTeX with booktabs, HTML, and for a terminal."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hbsim.bench.formatting import FileNames, clean, plural
from hbsim.bench.report.model import SweepReport
from hbsim.bench.report.notes import shared_notes
from hbsim.bench.report.tables import (
    Cell,
    Heading,
    ReportTable,
    all_training,
    missing_table,
    overview_table,
    ranking_table,
    sections,
    task_table,
)
from hbsim.errors import OutputError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

LONGEST: Final = 45  # rows of a LaTeX table: about a page
MOST_ROWS: Final = 40  # in a terminal
MOST_NOTES: Final = 10  # in a terminal, without --full
GAP: Final = 2  # columns of the terminal between two of a table
NAME: Final = 24  # the least width of a name in a terminal, if its parts are that long
COLUMN: Final = 52  # characters in \small that fit one column of a two-column page
PAGE: Final = 104  # characters in \small that fit both columns
SMALLER: Final = 122  # characters in \footnotesize that fit both columns

_LATEX: Final = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\`{}",
    '"': "{''}",
    "≈": r"$\approx$",
    "≤": r"$\leq$",
    "▼": r"$\bigtriangledown$",
    "★": r"$\star$",
    "∞": r"$\infty$",
    "η": r"$\eta$",
    "·": r"$\cdot$",
    "–": "--",
    "…": r"\ldots{}",
}


def write_tables(report: SweepReport, folder: Path) -> list[Path]:
    """Write ``tables.md``, and a ``NAME.tex`` for each table.

    Parameters
    ----------
    report : SweepReport
        The report whose tables are written.
    folder : path
        The folder, which is created if it does not exist.

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


# Markdown, as GitHub writes it


def markdown(report: SweepReport) -> str:
    """Return a page with all tables of a report, its notes, commands and versions."""
    lines = [f"# {markdown_escaped(report.title)}", "", markdown_escaped(report.answer), ""]
    if report.description.strip():
        lines += [markdown_escaped(report.description), ""]
    lines += [
        f"{report.finished:,} of {plural(report.cells, 'study')} finished.",
        "",
        *bullets(report.summary),
    ]
    for title, tables in [*sections(report), ("Studies without a result", missing_table(report))]:
        if tables:
            lines += [f"## {title}", "", *(line for table in tables for line in as_markdown(table))]
    notes = [*report.notes, *shared_notes(report), *all_training(report)]
    lines += ["## Notes", "", *bullets(notes)] if notes else []
    if report.commands:
        lines += ["## Commands", ""]
        for what, command in report.commands.items():
            lines += [f"{markdown_escaped(what)}:", "", *_code(command)]
    if report.versions:
        versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
        lines += ["## Versions", "", markdown_escaped(versions), ""]
    return "\n".join(lines)


def as_markdown(table: ReportTable) -> list[str]:
    """Return the lines of a table, its title above it and its notes below."""
    rules = [":--" if column.align == "l" else "--:" for column in table.columns]
    heads = [_markdown_cell(Cell(_head(column))) for column in table.columns]
    body = [_pipes([_markdown_cell(cell) for cell in row]) for row in table.rows]
    notes = [markdown_escaped(" ".join(table.notes)), ""] if table.notes else []
    return [markdown_escaped(table.title), "", _pipes(heads), _pipes(rules), *body, "", *notes]


def _head(column: Heading) -> str:
    """Return the head of a column in one line."""
    return column.head.replace("-\n", "-").replace("\n", " ")


def markdown_escaped(text: str) -> str:
    """Escape `text` as one line of Markdown that shows it unchanged, also in a table."""
    made = re.sub(r"([\\`*|~$])", r"\\\1", clean(text))
    made = re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", made)
    made = re.sub(r"\](?=[(\[:])", r"\\]", made)  # a link
    made = re.sub(r"<(?=[A-Za-z/!?])", r"\\<", made)  # HTML
    made = re.sub(r"&(?=#?\w+;)", r"\\&", made)
    made = re.sub(r"^(#|[-+>=])", r"\\\1", made)  # a heading, a list, a quotation
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", made)


def _markdown_cell(cell: Cell) -> str:
    plain = clean(cell.text)
    # Numbers are not escaped, nor is their minus, which starts no list in a cell.
    is_number = re.match(r"[-+<]?[\d–∞]", plain) and not re.search(r"[A-Za-z_\\`*|~$&]|\][(\[:]", plain)
    text = plain if is_number else markdown_escaped(cell.text)
    return f"**{text}**" if cell.bold and text else text


def _pipes(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def bullets(texts: Sequence[str]) -> list[str]:
    """Return a list in Markdown, a line each, and an empty line."""
    return [*(f"- {markdown_escaped(text)}" for text in texts), ""] if texts else []


def _code(text: str) -> list[str]:
    """Return `text` as a block of code; its fence is longer than any within the text."""
    fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", text)), default=0))
    return [f"{fence}sh", *text.splitlines(), fence, ""]


# LaTeX


def latex(report: SweepReport) -> dict[str, str]:
    """Return the tables of a report for LaTeX with booktabs, by names that are safe for files.

    A long table is split into several, each with the caption and a label.
    """
    names, made = FileNames(), {}
    for table in (table for _, tables in sections(report) for table in tables):
        pieces = parts(table.rows, LONGEST)
        for place, rows in enumerate(pieces, start=1):
            many = len(pieces) > 1
            name = names.make(table.kind, table.texts, place if many else None)
            made[name] = as_latex(table, rows, name, f" Part {place} of {len(pieces)}." if many else "")
    return made


def parts(rows: Sequence[tuple[Cell, ...]], longest: int) -> list[Sequence[tuple[Cell, ...]]]:
    """Return rows in parts of at most `longest`, as even as can be."""
    size = max(1, -(-len(rows) // max(1, -(-len(rows) // longest))))
    return [rows[first : first + size] for first in range(0, len(rows), size)]


def latex_escaped(text: str) -> str:
    """Return `text` as LaTeX that prints it."""
    apart = re.sub(r"(-|–)(?=-|–)|(')(?=')|(,)(?=,)", "\\g<0>\0", clean(text))  # else they are joined
    made = "".join(_LATEX.get(character, character) for character in apart).replace("\0", "{}")
    return re.sub(r"(?<![\w\]{}-])-(?=[\d$])", "$-$", made)  # a minus, not a hyphen


def as_latex(table: ReportTable, rows: Sequence[tuple[Cell, ...]], name: str, part: str = "") -> str:
    """Return a table, or some `rows` of it, as a floating table.

    A wide table spans both columns of a page; a wider one gets smaller letters, or is shrunk to the width.
    """
    lines = [[_head(column) for column in table.columns], *([c.text for c in row] for row in table.rows)]
    width = sum(max(map(len, column)) + 2 for column in zip(*lines, strict=True)) - 2
    star = "*" if width > COLUMN else ""
    shrunk = width > SMALLER
    size = r"\small" if width <= PAGE else r"\footnotesize"
    needs = "booktabs and graphicx" if shrunk else "booktabs"
    body = [
        rf"\begin{{tabular}}{{{''.join(column.align for column in table.columns)}}}",
        r"\toprule",
        _latex_line([Cell(_head(column)) for column in table.columns]),
        r"\midrule",
        *(_latex_line(row) for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    if shrunk:
        body = [r"\resizebox{\textwidth}{!}{%", *body[:-1], body[-1] + "%", "}"]
    return "\n".join(
        [
            f"% Needs {needs}; names that are not in Latin letters need XeLaTeX or LuaLaTeX.",
            rf"\begin{{table{star}}}[tbp]",
            r"\centering",
            size,
            rf"\caption{{{latex_escaped(' '.join((table.title + '.', *table.notes)) + part)}}}",
            rf"\label{{tab:{name}}}",
            *body,
            rf"\end{{table{star}}}",
            "",
        ]
    )


def _latex_line(cells: Sequence[Cell]) -> str:
    escaped = [latex_escaped(cell.text) for cell in cells]
    texts = [rf"\textbf{{{text}}}" if c.bold else text for text, c in zip(escaped, cells, strict=True)]
    if texts[0].startswith(("[", "*")):  # else read as an option of the line break before
        texts[0] = "{}" + texts[0]
    return " & ".join(texts) + r" \\"


# HTML


def as_html(table: ReportTable, colours: Mapping[str, str] | None = None) -> str:
    """Return a table as an element of HTML: its title is the caption, its notes follow in a paragraph.

    Names of variants that have a colour in `colours` get a dot of that colour.
    """
    sides = ["" if column.align == "l" else ' class="number"' for column in table.columns]
    heads = "".join(
        f'<th scope="col"{side}>{html.escape(_head(column))}</th>'
        for column, side in zip(table.columns, sides, strict=True)
    )
    lines = []
    for row in table.rows:
        cells = ""
        for cell, side in zip(row, sides, strict=True):
            colour = None if side or colours is None else colours.get(cell.text)
            dot = "" if colour is None else f'<i style="background:{colour}"></i>'
            text = f"{dot}{html.escape(cell.text)}"
            cells += f"<td{side}><b>{text}</b></td>" if cell.bold else f"<td{side}>{text}</td>"
        lines.append(f"<tr>{cells}</tr>")
    notes = f'<p class="notes">{html.escape(" ".join(table.notes))}</p>' if table.notes else ""
    return (
        f"<table><caption>{html.escape(table.title)}</caption><thead><tr>{heads}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>{notes}"
    )


# A terminal


def fitting(table: ReportTable, width: int) -> tuple[list[int], list[str]]:
    """Return the columns of a table that fit a width, and the heads of those that do not."""
    least = [_least(table, place) for place in range(len(table.columns))]
    kept: list[int] = []
    order = sorted(range(len(least)), key=lambda place: table.columns[place].need)
    for place in order:
        room = sum(least[one] + GAP for one in [*kept, place]) - GAP
        if table.columns[place].need and room > width:
            break
        kept.append(place)
    return sorted(kept), [_head(table.columns[place]) for place in sorted(set(order) - set(kept))]


def _least(table: ReportTable, place: int) -> int:
    """Return the least width of a column; names can break, so their longest part counts."""
    texts = [clean(row[place].text) for row in table.rows[:MOST_ROWS]]
    if _is_name(table, place):
        return min(NAME, max((len(part) for text in texts for part in _breaking(text).split(" ")), default=0))
    return max(map(len, [*table.columns[place].head.split("\n"), *texts]))


def _is_name(table: ReportTable, place: int) -> bool:
    return place < 2 and table.columns[place].align == "l"


def _breaking(text: str) -> str:
    """Return a name that can break after a comma."""
    return re.sub(r",(?=\S)", ", ", text)


def as_rich(table: ReportTable, width: int) -> RichTable:
    """Return a table for a terminal: the columns that fit, and at most `MOST_ROWS` rows."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    shown, _ = fitting(table, width)
    made = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    for place in shown:
        column, is_name = table.columns[place], _is_name(table, place)
        made.add_column(
            Text(column.head),
            justify="left" if column.align == "l" else "right",
            no_wrap=not is_name,
            overflow="fold" if is_name else "ellipsis",
            min_width=_least(table, place) if is_name else None,
        )
    for row in table.rows[:MOST_ROWS]:
        texts = [clean(row[p].text) for p in shown]
        texts = [
            _breaking(text) if _is_name(table, p) else text for text, p in zip(texts, shown, strict=True)
        ]
        made.add_row(*(Text(t, "bold" if row[p].bold else "") for t, p in zip(texts, shown, strict=True)))
    if len(table.rows) > MOST_ROWS:
        more = Text(f"and {len(table.rows) - MOST_ROWS} more", style="dim")
        made.add_row(*(more if _is_name(table, place) else Text() for place in shown))
    return made


def not_shown(table: ReportTable, width: int) -> str:
    """Name the columns that do not fit; empty where all do."""
    heads = fitting(table, width)[1]
    return f"not shown at this width: {', '.join(heads)}" if heads else ""


def show(report: SweepReport, console: Console, is_full: bool = False) -> None:
    """Print a report, as wide as the console, from 60 columns on.

    Parameters
    ----------
    report : SweepReport
        The report.
    console : rich.console.Console
        The console.
    is_full : bool
        Whether to print all tables and notes, instead of the main table only.
    """
    from rich.table import Table as Grid
    from rich.text import Text

    if report.title:
        console.print(Text(clean(report.title), style="dim"))
    console.print(Text(clean(report.answer), style="bold"))
    tables = [table for _, of in sections(report) for table in of] if is_full else _answers(report)
    shown: tuple[str, ...] = ()
    for table in tables:
        console.print()
        console.print(Text(clean(table.title), style="dim"))
        console.print(as_rich(table, console.width))
        if table.notes and table.notes != shown:
            console.print(Text(clean(" ".join(table.notes)), style="dim"))
        shown = table.notes
        if left := not_shown(table, console.width):
            console.print(Text(f"({left})", style="dim"))
    console.print()
    for sentence in report.summary:
        console.print(Text(clean(sentence)))
    notes = [*shared_notes(report), *report.notes, *_without_result(report)]
    if is_full:
        notes += all_training(report)
    grid = Grid.grid(padding=(0, 1, 0, 0))
    for note in notes if is_full else notes[:MOST_NOTES]:
        grid.add_row("-", Text(clean(note)))
    console.print(grid)
    if not is_full and len(notes) > MOST_NOTES:
        console.print(Text(f"and {len(notes) - MOST_NOTES} more notes with --full", style="dim"))


def _answers(report: SweepReport) -> list[ReportTable]:
    """Return the main table: of the only task, over tasks, or of all tasks at a glance."""
    if len(report.tasks) == 1:
        fresh = [task_table(task, "fresh seed") for task in report.confirmed]
        return [*fresh, *(task_table(task) for task in report.tasks if task.rows)]
    overall = report.overall
    return overview_table(report) if overall is None or not overall.is_tested else [ranking_table([overall])]


def _without_result(report: SweepReport) -> list[str]:
    return [
        f"{plural(one.cells, 'cell')} without a result: {one.reason} ({one.example})"
        for one in report.missing
    ]
