"""Progress on stderr, of what takes longer than a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["progress"]

QUIET: Final = 1.0  # seconds


@contextmanager
def progress(count: Callable[[], int], total: int | None, what: str) -> Iterator[None]:
    """Show how far it is, on a terminal only; nothing in the first second.

    Rich asks for it a few times a second, so what is measured need not report.

    Parameters
    ----------
    count : callable
        Returns how much is done.
    total : int, optional
        How much there is; None where nobody knows.
    what : str
        What is counted: "trials started".
    """
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.live import Live

    begin = time.monotonic()

    def line() -> RenderableType:
        seconds = time.monotonic() - begin
        return "" if seconds < QUIET else _line(count(), total, what, seconds)

    console = Console(stderr=True)
    with Live(console=console, get_renderable=line, refresh_per_second=4, transient=True):
        yield


def _line(done: int, total: int | None, what: str, seconds: float) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    columns = Table.grid(padding=(0, 1))
    known = total is not None
    bar = ProgressBar(total=total, completed=done, width=40, pulse=not known)
    columns.add_row(bar, f"{done:,}{f' of {total:,}' if known else ''} {what}, {seconds:.0f} s")
    return columns
