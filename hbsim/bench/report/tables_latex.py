"""Tables in LaTeX, with booktabs."""

from __future__ import annotations

import re
from typing import Final

from hbsim.bench.report.figures_names import clean
from hbsim.bench.report.tables_grid import Cell, Grid

__all__ = ["escaped", "table"]

COLUMN: Final = 52  # characters in \small that fit one of two columns
PAGE: Final = 104  # and both
SMALLER: Final = 122  # both, in \footnotesize

_CHARACTERS: Final = {
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


def escaped(text: str) -> str:
    """Return `text` as LaTeX that prints it."""
    apart = re.sub(r"(-|–)(?=-|–)|(')(?=')|(,)(?=,)", "\\g<0>\0", clean(text))  # else they are joined
    made = "".join(_CHARACTERS.get(character, character) for character in apart).replace("\0", "{}")
    return re.sub(r"(?<![\w\]{}-])-(?=[\d$])", "$-$", made)  # a minus, not a hyphen


def table(grid: Grid, rows: tuple[tuple[Cell, ...], ...], name: str, part: str = "") -> str:
    """Return a grid, or some `rows` of it, as a floating table.

    A wide one spans both columns of a page, then gets smaller letters, then is shrunk to the width.
    """
    width = _width(grid)
    star = "*" if width > COLUMN else ""
    shrunk = width > SMALLER
    size = r"\small" if width <= PAGE else r"\footnotesize"
    needs = "booktabs and graphicx" if shrunk else "booktabs"
    body = [
        rf"\begin{{tabular}}{{{grid.align}}}",
        r"\toprule",
        _line([Cell(header) for header in grid.headers]),
        r"\midrule",
        *(_line(row) for row in rows),
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
            rf"\caption{{{escaped(grid.caption + part)}}}",
            rf"\label{{tab:{name}}}",
            *body,
            rf"\end{{table{star}}}",
            "",
        ]
    )


def _width(grid: Grid) -> int:
    """Return the characters of a line, with two between columns."""
    columns = zip(*([grid.headers, *([cell.text for cell in row] for row in grid.rows)]), strict=True)
    return sum(max(map(len, column)) + 2 for column in columns) - 2


def _line(cells: tuple[Cell, ...] | list[Cell]) -> str:
    texts = [rf"\textbf{{{escaped(cell.text)}}}" if cell.bold else escaped(cell.text) for cell in cells]
    if texts[0].startswith(("[", "*")):  # would belong to the end of the line before
        texts[0] = "{}" + texts[0]
    return " & ".join(texts) + r" \\"
