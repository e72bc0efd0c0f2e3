"""Progress on stderr, of what takes longer than a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from hbsim import terminal

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["progress"]

QUIET: Final = 1.0  # seconds
SURE: Final = 5.0  # seconds, before it says how long the rest takes
FEW: Final = 5  # of what is counted, likewise


@contextmanager
def progress(count: Callable[[], int], total: int | None, what: str) -> Iterator[None]:
    """Show how far it is, and about how long the rest takes, on a terminal only; nothing in the first second.

    What is there as it begins was not done in no time: it does not count for how long the rest takes.
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
    from rich.live import Live

    begin, first = time.monotonic(), count()

    def line() -> RenderableType:
        seconds = time.monotonic() - begin
        return "" if seconds < QUIET else _line(count(), total, what, seconds, first)

    console = terminal.console(stderr=True)
    with Live(console=console, get_renderable=line, refresh_per_second=4, transient=True):
        yield


def _line(done: int, total: int | None, what: str, seconds: float, first: int = 0) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    columns = Table.grid(padding=(0, 1))
    known = total is not None
    bar = ProgressBar(total=total, completed=done, width=40, pulse=not known)
    left = "" if total is None else _left(done - first, total - done, seconds)
    columns.add_row(bar, f"{done:,}{f' of {total:,}' if known else ''} {what}, {seconds:.0f} s{left}")
    return columns


def _left(new: int, rest: int, seconds: float) -> str:
    """Say about how long the rest takes, once that can be told from what was done meanwhile."""
    if seconds < SURE or new < FEW or rest <= 0:
        return ""
    from hbsim.cli.show_study import duration

    return f", about {duration(float(f'{rest * seconds / new:.2g}'))} left"
