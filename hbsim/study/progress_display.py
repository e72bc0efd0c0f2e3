"""The display of a running study on stderr: a live table, or plain lines for logs."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from math import inf, isfinite
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

from hbsim import terminal
from hbsim.executors.local import trial_folder
from hbsim.executors.slots import describe
from hbsim.runner.journal_state import RunningJob
from hbsim.runner.records import JobFailed, Record, StudyClosed
from hbsim.runner.writer import Observer
from hbsim.study.folder import StudyFolder
from hbsim.study.options import RunOptions
from hbsim.study.progress_summary import (
    NO_ANSWER,
    WAITING,
    ProgressSummary,
    TrialFailure,
    few,
    hms,
    near,
    number,
    plain,
    span,
)
from hbsim.study.spec import StudySpec, StudyState
from hbsim.study.workers import StudyWorkers
from hbsim.terminal import print_err

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from hbsim.executors.slots import Slot


def shown(
    stack: ExitStack,
    spec: StudySpec,
    state: StudyState,
    study_folder: StudyFolder,
    options: RunOptions,
    workers: StudyWorkers,
) -> list[Observer]:
    """Make the observers that show a study that is about to run.

    Parameters
    ----------
    stack : ExitStack
        Closes the observers.
    spec, state, study_folder
        The study's description, state and folder.
    options : RunOptions
        The options, of which `progress` counts.
    workers : StudyWorkers
        The study's workers.
    """
    observers: list[Observer] = []
    kind: str = options.progress
    if kind == "auto":
        kind = "table" if _terminal() else "notebook" if _in_notebook() else "lines"
    if kind != "none":
        count = None if workers.hosts() else len(workers.slots)
        observers.append(_progress(kind, stack, ProgressSummary(spec, state, study_folder, count), workers))
    return observers


def _terminal() -> bool:
    """Return whether stderr is a terminal on which lines can be redrawn."""
    dumb = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    return sys.stderr is not None and sys.stderr.isatty() and not dumb


def _in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    shell = sys.modules.get("ipykernel.zmqshell")
    ipython = sys.modules.get("IPython")
    return shell is not None and ipython is not None and ipython.get_ipython() is not None


def printer(progress: str) -> Callable[[str], None]:
    """Return a function that writes lines to stderr before a study begins."""

    def write(text: str) -> None:
        # stderr may be closed.
        with suppress(OSError, ValueError):
            print_err(f"hbsim: {text}")

    def write_nothing(text: str) -> None:
        """Write nothing."""

    return write_nothing if progress == "none" else write


def _progress(kind: str, stack: ExitStack, summary: ProgressSummary, workers: StudyWorkers) -> Observer:
    if kind == "table":
        table = LiveTable(summary, lambda: workers.slots, lambda: _about(workers, summary.workers.open))
        stack.callback(table.close)
        return table
    if kind == "notebook":
        line = NotebookLine(summary)
        stack.callback(line.close)
        return line
    return PlainLines(summary, _about(workers, range(len(workers.slots))))


def _about(workers: StudyWorkers, numbers: Sequence[int]) -> str:
    """Return a line about some of the workers: their number, hosts and GPUs."""
    slots, hosts = workers.slots, workers.hosts()
    if not hosts:
        return describe(slots)
    there = [slots[worker] for worker in numbers if worker < len(slots)]
    if not there:
        return "no workers" if slots else "no workers yet"
    kinds = {(slot.cpus and len(slot.cpus), slot.threads, len(slot.gpus), slot.sharing) for slot in there}
    shares = describe(there) if len(kinds) == 1 else f"{len(there)} workers of {len(kinds)} sizes"
    return f"{shares} on {hosts}"


SUMMARY_EVERY: Final = 10.0  # seconds between two summaries
UNCHANGED_EVERY: Final = 600.0  # seconds between two summaries while nothing changes
APART: Final = 1.0  # seconds between two lines about the incumbent
FAILURES: Final = 5  # failures with their own line between two summaries


class PlainLines:
    """An `Observer` that writes a line when the incumbent improves or a trial fails, and summaries.

    A summary comes at most every ten seconds, and every ten minutes while nothing changes. The incumbent
    has at most a line a second, hosts that come and go have a line, and the first five failures between two
    summaries have a line each.

    Parameters
    ----------
    summary : ProgressSummary
        Gets each record first.
    about : str
        A line about the workers.
    clock : callable
        Seconds.
    """

    def __init__(
        self, summary: ProgressSummary, about: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._summary, self._about, self._clock = summary, about, clock
        self._begins = "goes on" if summary.journal_state.now else "starts"
        self._best = self._shown_best()
        self._begun = self._off = False
        self._best_time = self._summed = clock()
        self._elapsed = 0.0  # the study seconds of the last line; the first record may set the clock back
        self._trials = ""  # the last summary's
        self._workers_known: frozenset[int] | None = None  # workers that were written about
        self._workers_time = -APART + clock()
        self._failures = 0  # failures since the last summary
        self._more_failures = 0

    def record(self, record: Record) -> None:
        """Handle a record."""
        self._begin()
        self._summary.record(record)
        if isinstance(record, JobFailed) and self._summary.last_failure is not None:
            self._fail(self._summary.last_failure)
        elif isinstance(record, StudyClosed):
            self._improve(now=True)
            self._sum_up()

    def tick(self) -> None:
        """Write the lines that are due."""
        self._begin()
        self._improve()
        self._write_workers()
        since = self._clock() - self._summed
        if since >= UNCHANGED_EVERY or (
            since >= SUMMARY_EVERY and (self._more_failures or self._summary.trials() != self._trials)
        ):
            self._improve(now=True)
            self._sum_up()

    def close(self) -> None:
        """Do nothing: all lines are written."""

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            summary = self._summary
            self._write(
                f"{summary.name()} {self._begins}, {self._about}, in {near(summary.study_folder.path)}"
            )

    def _improve(self, now: bool = False) -> None:
        best, time = self._shown_best(), self._clock()
        if best != self._best and (now or time - self._best_time >= APART):
            self._best, self._best_time = best, time
            self._write(f"best {self._summary.best()}")

    def _shown_best(self) -> tuple[int, str] | None:
        """Return the incumbent's trial and its value as shown, to tell whether the line would change."""
        best = self._summary.journal_state.best
        return None if best is None else (best.trial, number(best.value))

    def _write_workers(self) -> None:
        """Write which workers have come or gone since the last call."""
        there, time = frozenset(self._summary.workers.open), self._clock()
        if there == self._workers_known or time - self._workers_time < APART:
            return
        before, self._workers_known, self._workers_time = self._workers_known, there, time
        if before is None and there:
            return  # the first line was about these workers
        parts = [f"{len(there):,} now" if there else WAITING]
        if came := there.difference(before or ()):
            parts.insert(0, f"new {self._on_hosts(came)}")
        if gone := frozenset(before or ()) - there:
            parts.insert(0, self._gone(gone))
        self._write("; ".join(parts))

    def _gone(self, workers: Collection[int]) -> str:
        """Say which workers no longer take jobs, with the first one's reason."""
        why = self._summary.workers.shut.get(min(workers), "")
        if why == NO_ANSWER:
            return f"{NO_ANSWER} from {self._on_hosts(workers)}"
        return f"lost {self._on_hosts(workers)}{f': {why}' if why else ''}"

    def _on_hosts(self, workers: Collection[int]) -> str:
        """Count workers, and name their hosts: ``"2 workers (a, b)"``."""
        hosts = list(dict.fromkeys(self._summary.workers.hosts.get(worker, "") for worker in sorted(workers)))
        count = f"{len(workers):,} worker{'' if len(workers) == 1 else 's'}"
        return f"{count} ({few(hosts)})"

    def _fail(self, failure: TrialFailure) -> None:
        if self._failures == FAILURES:
            self._more_failures += 1
            return
        self._failures += 1
        log = near(trial_folder(self._summary.study_folder.trials, failure.trial) / "log.txt")
        self._write(f"failed {self._summary.failure_text(failure)}; see {log}")

    def _sum_up(self) -> None:
        summary, self._trials = self._summary, self._summary.trials()
        count = self._more_failures
        more = f"; {count:,} more failure{'' if count == 1 else 's'}" if count else ""
        self._failures = self._more_failures = 0
        self._summed = self._clock()
        best = summary.journal_state.best
        best_ = "" if best is None else f"; best {summary.metric} {best.value:.5g} (trial {best.trial})"
        self._write(f"{self._trials}{best_}; {summary.state()}{more}")

    def _write(self, line: str) -> None:
        if self._off:
            return
        self._elapsed = max(self._elapsed, self._summary.elapsed)
        try:
            print_err(f"[{hms(self._elapsed)}] {line}")
        except (OSError, ValueError):
            self._off = True  # stderr is closed: the study goes on without lines


class NotebookLine:
    """An `Observer` that shows one line in a notebook's cell, and updates it at most once a second.

    Parameters
    ----------
    summary : ProgressSummary
        Gets each record first.
    clock : callable
        Seconds.
    """

    def __init__(self, summary: ProgressSummary, clock: Callable[[], float] = time.monotonic) -> None:
        self._summary, self._clock = summary, clock
        self._line: Any = None  # IPython's handle
        self._next = -inf

    def record(self, record: Record) -> None:
        """Handle a record."""
        self._summary.record(record)

    def tick(self) -> None:
        """Update the line if it is due."""
        if self._clock() >= self._next:
            self._next = self._clock() + APART
            self._show()

    def close(self) -> None:
        """Show how the study ended."""
        self._show()

    def _show(self) -> None:
        from IPython.display import display

        summary = self._summary
        parts = (summary.trials(), summary.best(), summary.state())
        text = {"text/plain": f"[{hms(summary.elapsed)}] {'; '.join(part for part in parts if part)}"}
        with suppress(Exception):  # a notebook that is gone does not end the study
            if self._line is None:
                self._line = display(text, raw=True, display_id=True)  # type: ignore[no-untyped-call, unused-ignore]
            else:
                self._line.update(text, raw=True)


PICTURE_EVERY: Final = 0.25  # seconds between two pictures
SHARE: Final = 0.05  # the share of time spent on pictures, at most
HIGH: Final = 20  # height in lines from which on these may have more than one line each
FOLDED: Final = ("study", "time", "trials")
TOP: Final = {40: 5, HIGH: 3}  # how many of the best trials have a line, by the height from which on
TRAINING: Final = "training"
NAMES: Final = 9  # width of their names
WIDE: Final = 110  # width in columns from which on there is room for bars
COLOURS: Final = {
    "no answer": "red",
    "host ": "red",
    "training": "green",
    "idle": "dim",
    "waits": "yellow",
    "failed": "red",
    "leaves": "yellow",
}
SILENT_COLOUR: Final = "yellow"


class LiveTable:
    """An `Observer` that shows a row for each worker, and the study as a whole, on stderr.

    It has no thread: `tick` redraws it, at most four times a second, and less often if that would take more
    than a twentieth of the time.

    Parameters
    ----------
    summary : ProgressSummary
        Gets each record first.
    slots : callable
        Returns the slots of the workers, by number.
    about : callable
        Returns a line about the workers.
    console : Console, optional
        Where to draw; by default stderr.
    clock : callable
        Seconds.
    """

    def __init__(
        self,
        summary: ProgressSummary,
        slots: Callable[[], Sequence[Slot]],
        about: Callable[[], str],
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from rich.live import Live

        self._summary, self._slots, self._about, self._clock = summary, slots, about, clock
        self._gpus: list[str] = []
        self._hosts: dict[int, str] = {}
        self._timed = True
        self._console = console or terminal.console(stderr=True)
        # Text printed in the meantime goes above the table, unless it goes into a file.
        prints = sys.stdout is not None and sys.stdout.isatty()
        self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=prints)
        self._next = -inf
        self._off = False

    def record(self, record: Record) -> None:
        """Handle a record."""
        self._summary.record(record)

    def tick(self) -> None:
        """Draw the table if it is due."""
        begin = self._clock()
        if begin >= self._next:
            self._draw()
            self._next = begin + max(PICTURE_EVERY, (self._clock() - begin) / SHARE)

    def close(self) -> None:
        """Draw for the last time, and restore the terminal."""
        if self._live.is_started:
            self._draw()
            self._safely(self._live.stop)

    def _draw(self) -> None:
        def draw() -> None:
            self._live.start()
            self._live.update(self.picture(), refresh=True)

        self._safely(draw)

    def _safely(self, action: Callable[[], None]) -> None:
        """Call `action`; if the terminal is gone, the study goes on without a table."""
        if self._off:
            return
        try:
            action()
        except (OSError, ValueError):
            self._off = True

    # Contents of the table

    def picture(self) -> RenderableType:
        """Return the table to be shown now, without the workers once the study is over."""
        from rich.console import Group
        from rich.text import Text

        head = self._head()
        if self._summary.journal_state.why is not None:
            return head
        # Further lines: two blank ones, the names of the columns, a rule, and the line of the cursor.
        room, rows = self._console.size.height - head.row_count - 5, self._summary.workers.rows()
        shown = rows[: max(1, room)]
        more = f" ... and {self._rest(rows[len(shown) :])}" if len(shown) < len(rows) else ""
        self._hosts = self._summary.workers.short_hosts()
        narrow = self._hosts and not self._wide  # leaves out GPUs and times, for what workers do
        self._timed = not narrow
        self._gpus = [] if narrow else gpu_labels(self._slots(), self._summary.workers.hosts)
        # The last line is never full: the terminal's ^C at Ctrl-C would begin another line.
        return Group(head, Text(), self._workers(shown), Text(more, "dim", overflow="ellipsis", no_wrap=True))

    def _head(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        summary = self._summary
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        lines = {
            "study": (f"{summary.name()}, {self._about()}", ""),
            "time": (f"{hms(summary.elapsed)}, {summary.state()}", ""),
            "trials": (summary.trials(), ""),
            "best": (summary.best(), "bold"),
            **self._top(),
            "failed": (summary.failure(), "red"),
            "folder": (near(summary.study_folder.path), ""),
        }
        for name, (text, style) in lines.items():
            for place, line in enumerate(self._folded(name, text)):
                table.add_row("" if place else f" {name}", Text(line, style))
        return table

    def _top(self) -> dict[str, tuple[str, str]]:
        """Return the lines of the best trials' hyperparameters, of more trials the taller the terminal is."""
        summary, height = self._summary, self._console.size.height
        most = next((count for least, count in TOP.items() if height >= least), 0)
        lines = {}
        for place, (trial, value) in enumerate(summary.top(most)):
            name = "" if not place else f"{place + 1}."
            shown = summary.configuration(trial)
            if place:
                shown = f"{number(value)}: trial {trial}, {shown}"
            lines[name] = (shown, "dim" if place else "")
        return lines

    def _folded(self, name: str, text: str) -> list[str]:
        """Fold a text into lines that fit; cut texts that may be long, and all texts on a small terminal."""
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
        """Yield each column's name and maximal width."""
        spec = self._summary.spec
        yield " worker", None
        if self._hosts:
            yield "host", 16
        yield "trial", None
        if self._summary.scheduler.brackets > 1:
            yield "bracket", None
        yield "rung", None
        yield plain(spec.time_attr), 16
        if self._wide:
            yield "", None
        yield self._summary.metric, 12
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

        summary = self._summary
        yield str(worker)
        if self._hosts:
            yield Text(self._hosts.get(worker, ""))
        yield from self._trial(summary.journal_state.workers.get(worker))
        if self._gpus:
            yield Text(self._gpus[worker] if worker < len(self._gpus) else "")
        state, run = summary.what(worker), summary.journal_state.workers.get(worker)
        parts = Text() if state == TRAINING and not self._wide else Text(f"{state}  ", _style(state))
        if run is not None:
            parts.append(summary.configuration(run.trial), "dim")
        parts.rstrip()
        yield parts

    def _trial(self, run: RunningJob | None) -> Iterator[RenderableType]:
        """Yield the cells between the worker and its GPU."""
        from rich.text import Text

        summary = self._summary
        several = summary.scheduler.brackets > 1
        if run is None:
            yield from [""] * (4 + several + self._wide + self._timed)
            return
        best = summary.journal_state.best
        incumbent = best is not None and best.trial == run.trial
        yield Text(f"{'*' if incumbent else ''}{run.trial}", "bold" if incumbent else "")
        if several:
            yield str(run.bracket)
        yield summary.rung(run)
        yield summary.far(run)
        if self._wide:
            yield _bar(run)
        yield number(run.value) if run.rows else ""
        if self._timed:
            yield span(summary.elapsed - run.start_time)

    def _rest(self, rest: Sequence[int]) -> str:
        """Summarise the workers for which there is no room."""
        summary = self._summary
        busy = sum(
            worker in summary.journal_state.workers and worker not in summary.workers.silent
            for worker in rest
        )
        return f"{len(rest)} more workers: {busy} with a trial, {len(rest) - busy} without"


def _bar(run: RunningJob) -> RenderableType:
    from rich.progress_bar import ProgressBar

    if not isfinite(run.stop):
        return ""
    return ProgressBar(
        total=run.stop,
        completed=run.resource,
        width=12,
        style="bright_black",
        complete_style="cyan",
        finished_style="cyan",
    )


def _style(state: str) -> str:
    if "silent" in state:
        return SILENT_COLOUR
    return next((style for word, style in COLOURS.items() if word in state), "")


def gpu_labels(slots: Sequence[Slot], hosts: Mapping[int, str] | None = None) -> list[str]:
    """Return the numbers of each worker's GPUs, as ``"0,1"``; an empty list without GPUs.

    The numbers are those in ``CUDA_VISIBLE_DEVICES`` if it has some, else counted from 0 on each host.
    """
    if not any(slot.gpus for slot in slots):
        return []
    hosts = hosts or {}
    numbers: dict[str | None, dict[str, str]] = {}  # for each host
    labels = []
    for slot in slots:
        known = numbers.setdefault(hosts.get(slot.worker), {})
        for gpu in slot.gpus:
            known.setdefault(gpu.visible, gpu.visible if gpu.visible.isdigit() else str(len(known)))
        labels.append(",".join(known[gpu.visible] for gpu in slot.gpus))
    return labels
