"""Tables in Markdown, as GitHub writes it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hbsim.bench.report.figures_names import clean
from hbsim.bench.report.tables_grid import Cell, Grid

__all__ = ["bullets", "code", "escaped", "table"]


def escaped(text: str) -> str:
    """Return `text` in one line of Markdown that shows it as it is, also in a table."""
    made = re.sub(r"([\\`*|~$])", r"\\\1", clean(text))
    made = re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", made)
    made = re.sub(r"\](?=[(\[:])", r"\\]", made)  # a link
    made = re.sub(r"<(?=[A-Za-z/!?])", r"\\<", made)  # HTML
    made = re.sub(r"&(?=#?\w+;)", r"\\&", made)
    made = re.sub(r"^(#|[-+>=])", r"\\\1", made)  # a heading, a list, a quotation
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", made)


def table(grid: Grid) -> list[str]:
    """Return the lines of a grid, its caption above it."""
    rules = [":--" if side == "l" else "--:" for side in grid.align]
    heads = [Cell(header) for header in grid.headers]
    body = [_line([_cell(cell) for cell in row]) for row in grid.rows]
    return [escaped(grid.caption), "", _line([_cell(head) for head in heads]), _line(rules), *body, ""]


def _cell(cell: Cell) -> str:
    text = _number(clean(cell.text)) or escaped(cell.text)
    return f"**{text}**" if cell.bold and text else text


def _number(text: str) -> str:
    """Return a number as it is, a minus too: it starts no list in a cell."""
    marks = re.search(r"[A-Za-z_\\`*|~$&]|\][(\[:]", text)
    return text if re.match(r"[-+<]?[\d–∞]", text) and not marks else ""


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def bullets(texts: Sequence[str]) -> list[str]:
    """Return a list, a line each, and an empty line."""
    return [*(f"- {escaped(text)}" for text in texts), ""] if texts else []


def code(text: str) -> list[str]:
    """Return `text` as a block of code; its fence is longer than any in it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", text)), default=0))
    return [f"{fence}sh", *text.splitlines(), fence, ""]
