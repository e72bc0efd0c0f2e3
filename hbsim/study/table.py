"""A real study as a live table on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf, isfinite
from textwrap import wrap
from typing import TYPE_CHECKING, Final

from hbsim import terminal
from hbsim.runner.records import Record
from hbsim.runner.state import JobRun
from hbsim.study.overview import Overview
from hbsim.study.words import hms, near, number, plain, span

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from hbsim.executors.slots import Slot

__all__ = ["LiveTable"]

EVERY: Final = 0.25  # seconds between two pictures
SHARE: Final = 0.05  # of the time is spent on them, at most
HIGH: Final = 20  # lines from which on there is room for more than one of each of
FOLDED: Final = ("study", "time", "trials")
NAMES: Final = 9  # columns of their names
WIDE: Final = 110  # columns from which on there is room for bars
COLOURS: Final = {
    "no answer": "red",
    "host ": "red",
    "training": "green",
    "idle": "dim",
    "waits": "yellow",
    "failed": "red",
    "leaves": "yellow",
}
SILENT: Final = "yellow"


class LiveTable:
    """An `Observer` that shows a row a worker, and the study as a whole, on stderr.

    It has no thread: it is drawn at `tick`, at most four times a second, and less often where that would
    take more than a twentieth of the time.

    Parameters
    ----------
    overview : Overview
        Told of each record before.
    slots : callable
        Returns the workers' shares of their machines, by number.
    about : callable
        Returns what there is to say about the workers, in a line.
    console : Console, optional
        Where to draw; by default stderr.
    clock : callable
        Seconds.
    """

    def __init__(
        self,
        overview: Overview,
        slots: Callable[[], Sequence[Slot]],
        about: Callable[[], str],
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from rich.live import Live

        self._overview, self._slots, self._about, self._clock = overview, slots, about, clock
        self._gpus: list[str] = []
        self._hosts: dict[int, str] = {}
        self._timed = True
        self._console = console or terminal.console(stderr=True)
        # What is printed meanwhile goes above the table, unless it goes into a file.
        prints = sys.stdout is not None and sys.stdout.isatty()
        self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=prints)
        self._next = -inf
        self._off = False

    def record(self, record: Record) -> None:
        """Take note of a record."""
        self._overview.record(record)

    def tick(self) -> None:
        """Draw, if it is time."""
        begin = self._clock()
        if begin >= self._next:
            self._draw()
            self._next = begin + max(EVERY, (self._clock() - begin) / SHARE)

    def close(self) -> None:
        """Draw for the last time, and give the terminal back."""
        if self._live.is_started:
            self._draw()
            self._safely(self._live.stop)

    def _draw(self) -> None:
        def draw() -> None:
            self._live.start()
            self._live.update(self.picture(), refresh=True)

        self._safely(draw)

    def _safely(self, action: Callable[[], None]) -> None:
        """Do without a terminal that is gone: the study goes on."""
        if self._off:
            return
        try:
            action()
        except (OSError, ValueError):
            self._off = True

    # The picture

    def picture(self) -> RenderableType:
        """Return what is to be seen now; once the study is over, it is without its workers."""
        from rich.console import Group
        from rich.text import Text

        head = self._head()
        if self._overview.journal_state.why is not None:
            return head
        # Besides: two blank lines, the names of the columns, a rule, and the line of the cursor.
        room, rows = self._console.size.height - head.row_count - 5, self._overview.team.rows()
        shown = rows[: max(1, room)]
        more = f" ... and {self._rest(rows[len(shown) :])}" if len(shown) < len(rows) else ""
        self._hosts = self._overview.team.short_hosts()
        narrow = self._hosts and not self._wide  # what workers do is more than on which GPU, and since when
        self._timed = not narrow
        self._gpus = [] if narrow else gpu_labels(self._slots(), self._overview.team.hosts)
        # The last line is never full: what a terminal writes there at Ctrl-C would begin another.
        return Group(head, Text(), self._workers(shown), Text(more, "dim", overflow="ellipsis", no_wrap=True))

    def _head(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        overview = self._overview
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        lines = {
            "study": (f"{overview.name()}, {self._about()}", ""),
            "time": (f"{hms(overview.elapsed)}, {overview.state()}", ""),
            "trials": (overview.trials(), ""),
            "best": (overview.best(), "bold"),
            "failed": (overview.failure(), "red"),
            "folder": (near(overview.place.path), ""),
        }
        for name, (text, style) in lines.items():
            for place, line in enumerate(self._folded(name, text)):
                table.add_row("" if place else f" {name}", Text(line, style))
        return table

    def _folded(self, name: str, text: str) -> list[str]:
        """Return a text in lines that fit; what may be long is cut, and all where there is little room."""
        if name not in FOLDED or self._console.size.height < HIGH:
            return [text] if text else []
        return wrap(text, max(20, self._console.size.width - NAMES), break_on_hyphens=False)

    def _workers(self, workers: Sequence[int]) -> Table:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        table = Table(
            box=SIMPLE_HEAD,
            expand=True,
            padding=(0, 1, 0, 0),
            pad_edge=False,
            show_edge=False,
            header_style="dim",
            border_style="dim",
        )
        for name, width in self._columns():
            table.add_column(
                Text(name),
                justify="left" if name in ("", "host", "state") else "right",
                no_wrap=True,
                max_width=width,
                ratio=1 if name == "state" else None,
            )
        for worker in workers:
            table.add_row(*self._row(worker))
        return table

    def _columns(self) -> Iterator[tuple[str, int | None]]:
        """Return each column's name, and how wide it may become."""
        spec = self._overview.spec
        yield " worker", None
        if self._hosts:
            yield "host", 16
        yield "trial", None
        if self._overview.scheduler.brackets > 1:
            yield "bracket", None
        yield "rung", None
        yield plain(spec.time_attr), 16
        if self._wide:
            yield "", None
        yield self._overview.metric, 12
        if self._timed:
            yield "time", None
        if self._gpus:
            yield "GPU", 9
        yield "state", None

    @property
    def _wide(self) -> bool:
        return self._console.size.width >= WIDE

    def _row(self, worker: int) -> Iterator[RenderableType]:
        from rich.text import Text

        overview = self._overview
        yield str(worker)
        if self._hosts:
            yield Text(self._hosts.get(worker, ""))
        yield from self._trial(overview.journal_state.workers.get(worker))
        if self._gpus:
            yield Text(self._gpus[worker] if worker < len(self._gpus) else "")
        state = overview.what(worker)
        yield Text(state, _style(state))

    def _trial(self, stay: JobRun | None) -> Iterator[RenderableType]:
        """Return the cells between the worker and its GPU."""
        from rich.text import Text

        overview = self._overview
        several = overview.scheduler.brackets > 1
        if stay is None:
            yield from [""] * (4 + several + self._wide + self._timed)
            return
        best = overview.journal_state.best
        incumbent = best is not None and best.trial == stay.trial
        yield Text(f"{'*' if incumbent else ''}{stay.trial}", "bold" if incumbent else "")
        if several:
            yield str(stay.bracket)
        yield overview.rung(stay)
        yield overview.far(stay)
        if self._wide:
            yield _bar(stay)
        yield number(stay.value) if stay.rows else ""
        if self._timed:
            yield span(overview.elapsed - stay.start_time)

    def _rest(self, rest: Sequence[int]) -> str:
        """Say what the workers do that there is no room for."""
        overview = self._overview
        busy = sum(
            worker in overview.journal_state.workers and worker not in overview.team.silent for worker in rest
        )
        return f"{len(rest)} more workers: {busy} with a trial, {len(rest) - busy} without"


def _bar(stay: JobRun) -> RenderableType:
    from rich.progress_bar import ProgressBar

    if not isfinite(stay.stop):
        return ""
    return ProgressBar(
        total=stay.stop,
        completed=stay.resource,
        width=12,
        style="bright_black",
        complete_style="cyan",
        finished_style="cyan",
    )


def _style(state: str) -> str:
    if "silent" in state:
        return SILENT
    return next((style for word, style in COLOURS.items() if word in state), "")


def gpu_labels(slots: Sequence[Slot], hosts: Mapping[int, str] | None = None) -> list[str]:
    """Return the numbers of each worker's GPUs, as ``"0,1"``; an empty list where there are none.

    Those in ``CUDA_VISIBLE_DEVICES`` where it has numbers, else they are counted from 0 on each host.
    """
    if not any(slot.gpus for slot in slots):
        return []
    hosts = hosts or {}
    numbers: dict[str | None, dict[str, str]] = {}  # by host
    labels = []
    for slot in slots:
        known = numbers.setdefault(hosts.get(slot.worker), {})
        for gpu in slot.gpus:
            known.setdefault(gpu.visible, gpu.visible if gpu.visible.isdigit() else str(len(known)))
        labels.append(",".join(known[gpu.visible] for gpu in slot.gpus))
    return labels
