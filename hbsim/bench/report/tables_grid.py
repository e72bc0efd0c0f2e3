"""A table before it is Markdown or LaTeX: plain text in cells, and what is to be bold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Cell", "Grid", "parts", "row"]


@dataclass(frozen=True)
class Cell:
    """A text, not escaped for anything."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes
    ----------
    kind : str
        What its file is called, before `texts`.
    texts : tuple of str
        What tells it from others of its kind.
    caption : str
        What it shows, and what its marks mean.
    headers : tuple of str
        A column each.
    align : str
        "l" or "r" for each column.
    rows : tuple of tuples of Cell
        As many cells as there are headers.
    """

    kind: str
    texts: tuple[str, ...]
    caption: str
    headers: tuple[str, ...]
    align: str
    rows: tuple[tuple[Cell, ...], ...]


def row(*texts: str, bold: bool = False, strong: Sequence[int] = ()) -> tuple[Cell, ...]:
    """Return cells, all of them `bold`, or those at the places in `strong`."""
    return tuple(Cell(text, bold or place in strong) for place, text in enumerate(texts))


def parts(grid: Grid, longest: int) -> list[tuple[tuple[Cell, ...], ...]]:
    """Return a grid's rows in parts of at most `longest`, as even as can be."""
    count = max(1, -(-len(grid.rows) // longest))
    size = max(1, -(-len(grid.rows) // count))
    return [grid.rows[first : first + size] for first in range(0, len(grid.rows), size)]
