"""A table in the terminal: names fold, numbers do not, and it has no more than so many rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from hbsim.bench.report.figures_names import clean

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["MOST_ROWS", "make_table"]

MOST_ROWS: Final = 20


def make_table(
    headers: Sequence[str], lines: Sequence[tuple[Sequence[str], bool]], *names: int, left: Sequence[int] = ()
) -> Table:
    """Return a table of rows, each with whether it is bold.

    Parameters
    ----------
    headers : sequence of str
        What stands above the columns.
    lines : sequence of (texts, is_bold)
        The rows; of many, the first `MOST_ROWS`.
    *names : int
        The columns that hold names: these fold where there is little room.
    left : sequence of int
        Further columns that are not aligned to the right.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for place, header in enumerate(headers):
        is_name = place in names
        table.add_column(
            Text(header),
            justify="left" if is_name or place in left or header == "" else "right",
            no_wrap=not is_name,
            overflow="fold" if is_name else "ellipsis",
            min_width=12 if is_name else None,
        )
    for texts, is_bold in lines[:MOST_ROWS]:
        table.add_row(*(Text(clean(text)) for text in texts), style="bold" if is_bold else None)
    if len(lines) > MOST_ROWS:
        more = Text(f"and {len(lines) - MOST_ROWS} more", style="dim")
        table.add_row(*(more if place == names[0] else Text() for place in range(len(headers))))
    return table
