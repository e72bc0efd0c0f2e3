"""A comparison for people, and as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hbsim import terminal
from hbsim.cli.output import versions, write_frame, write_json

if TYPE_CHECKING:
    from hbsim.bench import Comparison

__all__ = ["show", "write"]

WIDE: Final = 240  # columns, where stdout is no terminal


def show(comparison: Comparison, out: Path | None) -> None:
    """Print the ranking on stdout, and what to know about it."""
    from hbsim.bench.tables import captions, not_shown, rich_table

    console = terminal.console()
    if not console.is_terminal:
        console = terminal.console(width=WIDE)
    console.print(rich_table(comparison, console.width))
    hidden = not_shown(comparison, console.width)
    if hidden:
        where = (
            "--out or a wider terminal has"
            if out is None
            else f"{out / 'table.md'} and a wider terminal have"
        )
        console.print(f"not shown at this width: {', '.join(hidden)}; {where} them", style="dim")
    console.print()
    for text in captions(comparison):
        console.print(text, soft_wrap=not console.is_terminal)
    for note in comparison.notes:
        console.print(f"- {note}", soft_wrap=not console.is_terminal)
    if out is not None:
        names = ", ".join(sorted(path.name for path in out.iterdir()))
        console.print(f"\n{out}: {names}", soft_wrap=True)


def write(comparison: Comparison, request: Mapping[str, object], folder: Path) -> None:
    """Write tables, curves and a picture; no clock, so the same request gives the same bytes."""
    from hbsim.bench import frames
    from hbsim.bench.document import as_dict
    from hbsim.bench.plot import save_anytime
    from hbsim.bench.tables import markdown

    write_frame(frames.cells(comparison), folder / "cells.parquet")
    write_frame(frames.incumbents(comparison), folder / "incumbents.parquet")
    write_frame(frames.anytime(comparison), folder / "anytime.parquet")
    (folder / "compare.csv").write_text(comparison.table.write_csv(), "utf-8")
    (folder / "table.md").write_text(markdown(comparison), "utf-8")
    save_anytime(comparison, folder / "anytime.png")
    content = {"schema": 1, **request, "versions": versions(), **as_dict(comparison)}
    write_json(folder / "compare.json", content)
