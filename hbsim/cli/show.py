"""The command ``hbsim show``: the status of a study on a terminal, as JSON or as a page."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hbsim import terminal
from hbsim.cli.command import PageCommand, command_line
from hbsim.cli.output import facts, print_json, table, wide_console
from hbsim.cli.study_output import resume_command, rung_table
from hbsim.errors import ParameterError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from hbsim.study.status import StudyStatus

COMMAND: Final = PageCommand
EVERY: Final = 2.0  # seconds between two pictures with --watch
SHARE: Final = 0.1  # the share of time spent on reading, at most
PAGE_EVERY: Final = 15.0  # seconds between two pages, at least
PAGE_SHARE: Final = 0.12  # the share of a core that pages take, at most
FIRST_SHARE: Final = 0.3  # the same of the first page, for which libraries are loaded
POLL: Final = 0.25  # seconds between two looks at whether the study is over
REFRESH: Final = 15  # seconds after which a browser loads the page again, while the study runs
PLAIN_WIDTH: Final = 110  # columns where stdout is no terminal
NARROWEST: Final = 44  # columns that hyperparameters take in one column
FAILED_SHOWN: Final = 5
PAGE_HELP: Final = "Write a page (default: study.html in the folder of the study)."
UNTIL_OVER: Final = "Show it again every two seconds until the study is over."


def show(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a study of hbsim run.")],
    *,
    watch: Annotated[bool, typer.Option("--watch", help=UNTIL_OVER)] = False,
    html: Annotated[str | None, typer.Option("--html", metavar="[FILE.html]", help=PAGE_HELP)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show how a study stands: running trials, the best ones, rungs and failures.

    It only reads the folder, from any terminal, and does not disturb the study. The time that is left is
    simulated from the seconds, values and failures so far; four of five simulations end within the range. The
    page has learning curves, hyperparameters, workers and all trials. With `--watch` it is written again
    until the study is over.

    For example:
      hbsim show exp
      hbsim show exp --html
    """
    from hbsim.study.page import PAGE
    from hbsim.study.status import read_status

    if as_json and (watch or html is not None):
        raise ParameterError("as_json", None, f"goes without {'--watch' if watch else '--html'}")
    if html is not None:
        _write_pages(folder, Path(html) if html else folder / PAGE, watch)
        return
    if watch:
        _watch(folder)
        return
    status = read_status(folder)
    if as_json:
        print_json({"command": command_line(ctx), **status.as_dict()})
        return
    console = wide_console(PLAIN_WIDTH)
    for part in picture(status, folder, console):
        console.print(part)


def _watch(folder: Path) -> None:
    """Show the status until the study is over, or Ctrl-C.

    Where stdout is no terminal, print a line for each state, and the whole picture of the last one.
    """
    from rich.console import Group
    from rich.live import Live

    console = wide_console(PLAIN_WIDTH)
    try:
        if not console.is_terminal:
            for status in _states(folder):
                if status.over:
                    console.print(Group(*picture(status, folder, console)))
                else:
                    terminal.print_out(_line(status))
            return
        with Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
            for status in _states(folder):
                live.vertical_overflow = "visible" if status.over else "ellipsis"
                live.update(Group(*picture(status, folder, console)), refresh=True)
    except KeyboardInterrupt:
        return


def _states(folder: Path) -> Iterator[StudyStatus]:
    """Yield the status of a study again and again; the last one when it is over."""
    from hbsim.study.status import read_status

    while True:
        begin = time.monotonic()
        status = read_status(folder)
        yield status
        if status.over:
            return
        took = time.monotonic() - begin
        time.sleep(max(EVERY - took, took / SHARE - took))


def _line(status: StudyStatus) -> str:
    """Describe the state of a study in one line."""
    parts = (status.state_text, status.summary.trials(), status.summary.best())
    return "; ".join(part for part in parts if part)


def picture(status: StudyStatus, folder: Path, console: Console) -> Iterator[RenderableType]:
    """Yield the parts of the picture of a study, fitted to the console's width."""
    from rich.text import Text

    from hbsim.study.progress_summary import amount, number, plain, value_texts
    from hbsim.study.status import short_span

    result, width = status.result, console.width
    metric, resource = status.summary.metric, plain(result.spec.time_attr)
    yield facts(_facts(status, folder))
    if running := status.running():
        yield ""
        yield Text("Running now", "bold")
        columns = {
            "worker": [str(one.worker) for one in running],
            "trial": [str(one.trial) for one in running],
            "bracket": [str(one.bracket) for one in running],
            "rung": [one.rung for one in running],
            resource: [_far(one.resource, one.stop) for one in running],
            metric: ["" if one.value is None else number(one.value) for one in running],
            "time": [short_span(one.seconds) for one in running],
        }
        if result.scheduler.brackets == 1:
            del columns["bracket"]
        values = [value_texts(one.configuration, result.changed(one.trial)) for one in running]
        yield _trial_table(columns, values, width)
    if top := status.top():
        yield ""
        yield Text(f"Best {'trial' if len(top) == 1 else f'{len(top)} trials'}", "bold")
        columns = {
            "trial": [str(one.trial) for one in top],
            metric: [number(one.best) for one in top],
            resource: [amount(one.resource) for one in top],
            "reached": [amount(one.reached) for one in top],
            "status": [one.status for one in top],
        }
        values = [value_texts(one.configuration, result.changed(one.trial, one.resource)) for one in top]
        yield _trial_table(columns, values, width)
    if not result.spec.until_return and len(result.rungs()):
        yield ""
        yield Text("Rungs", "bold")
        yield rung_table(result)
    yield from _failures(status)


def _facts(status: StudyStatus, folder: Path) -> list[tuple[str, str]]:
    from hbsim.study.progress_summary import near

    summary = status.summary
    lines = [
        ("study", f"{summary.name()}, in {folder}"),
        ("state", status.state_text),
        ("time left", status.time_left_text),
        ("trials", summary.trials()),
        ("best", summary.best()),
        ("its model", "" if status.checkpoint is None else near(status.checkpoint)),
    ]
    if status.over and status.time_left is not None:
        lines.append(("to go on", resume_command(folder)))
    return [(name, text) for name, text in lines if text]


def _far(resource: float, stop: float | None) -> str:
    from hbsim.study.progress_summary import amount

    return amount(resource) if stop is None else f"{amount(resource)}/{amount(stop)}"


def _trial_table(
    columns: Mapping[str, Sequence[str]], values: Sequence[Mapping[str, str]], width: int
) -> RenderableType:
    """Return a table of trials: a column for each hyperparameter, or one for all where room is short.

    The column ``reached`` is left out first. `values` has the texts of each trial's hyperparameters.
    """
    from hbsim.study.progress_summary import plain

    names = list(dict.fromkeys(name for one in values for name in one))
    cells = {name: [one.get(name, "") for one in values] for name in names}
    without = {name: texts for name, texts in columns.items() if name != "reached"}
    for some in (columns, without):
        apart = {**some, **{plain(name): cells[name] for name in names}}
        needed = sum(max(map(len, (name, *texts))) + 2 for name, texts in apart.items())
        if needed <= width + 2 and len(apart) == len(some) + len(names):
            return table(list(apart), zip(*apart.values(), strict=True), left=("status",))
    together = [
        " ".join(f"{name}={cells[name][place]}" for name in names if name in one)
        for place, one in enumerate(values)
    ]
    taken = sum(max(map(len, (name, *texts))) + 2 for name, texts in columns.items())
    if width - taken < NARROWEST:
        columns = {name: texts for name, texts in columns.items() if name not in ("time", "rung", "reached")}
    all_ = {**columns, "hyperparameters": together}
    return table(list(all_), zip(*all_.values(), strict=True), left=("status", "hyperparameters"))


def _failures(status: StudyStatus) -> Iterator[RenderableType]:
    from rich.text import Text

    failures = status.failures()
    if not failures:
        return
    count = f"{len(failures):,} trial{'' if len(failures) == 1 else 's'}"
    yield ""
    yield Text(f"Failures of {count}", "bold")
    for one in failures[:FAILED_SHOWN]:
        times = "" if one["count"] == 1 else f", {one['count']} times"
        end = "failed for good" if one["final"] else "tried again"
        yield Text(terminal.shown(f"trial {one['trial']}, {one['kind']}{times}, {end}: {one['reason']}"))
        yield Text(terminal.shown(f"  {one['log']}"), "dim", overflow="fold")
    if len(failures) > FAILED_SHOWN:
        yield Text(f"and {len(failures) - FAILED_SHOWN} more: hbsim show --json has all")


def _write_pages(folder: Path, out: Path, watch: bool) -> None:
    """Write the page; with `watch` again and again, until the study is over or Ctrl-C."""
    import os

    from hbsim.bench.html_page import write_page
    from hbsim.bench.study_page import render_study
    from hbsim.study.page import check_page
    from hbsim.study.status import ended, read_status

    status = read_status(folder, forecast=False)
    check_page("html", out)
    if watch:
        os.nice(10)
    try:
        every, share = PAGE_EVERY, FIRST_SHARE
        while True:
            begin, used = time.monotonic(), time.process_time()
            status = read_status(folder)
            again = watch and not status.over
            write_page(render_study(status, REFRESH if again else None, every if again else None), out)
            if not again:
                break
            every = max(PAGE_EVERY, (time.process_time() - used) / share)
            due, share = begin + every, PAGE_SHARE
            while time.monotonic() < due and not ended(folder):
                time.sleep(POLL)
    except KeyboardInterrupt:
        return
    terminal.print_out(str(out))
