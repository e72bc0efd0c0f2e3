"""The command ``hbsim show``: the status of a study on a terminal, as JSON or as a page."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hbsim import terminal
from hbsim.cli.command import command_line
from hbsim.cli.output import facts, print_json, table, wide_console
from hbsim.cli.study_output import resume_command, rung_table
from hbsim.errors import ParameterError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from hbsim.study.status import StudyStatus
    from hbsim.study.time_left import TimeLeft

EVERY: Final = 2.0  # seconds between two pictures with --watch
SHARE: Final = 0.1  # the share of time spent on reading, at most
PLAIN_WIDTH: Final = 110  # columns where stdout is no terminal
NARROWEST: Final = 44  # columns that hyperparameters take in one column
FAILED_SHOWN: Final = 5
UNTIL_OVER: Final = "Read it again every two seconds until the study is over."


def show(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a study of hbsim run.")],
    *,
    watch: Annotated[bool, typer.Option("--watch", help=UNTIL_OVER)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show how a study stands, while it runs and after it: what trains, the best trials, rungs, failures.

    It only reads the study's folder, from any terminal, and does not disturb the process that runs the
    study. The time that is left is simulated: the study's scheduler decides, and seconds, values and failures
    are drawn from those so far; the range is that of four in five simulations.

    For example:
      hbsim show exp
      hbsim show exp --watch
      hbsim show exp --json
    """
    from hbsim.study.status import read_status

    if watch and as_json:
        raise ParameterError("as_json", None, "goes without --watch")
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
    """Show the status until the study is over, or Ctrl-C."""
    from rich.console import Group
    from rich.live import Live

    from hbsim.study.status import read_status

    console = wide_console(PLAIN_WIDTH)
    try:
        with Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
            while True:
                begin = time.monotonic()
                status = read_status(folder)
                live.vertical_overflow = "visible" if status.over else "ellipsis"
                live.update(Group(*picture(status, folder, console)), refresh=console.is_terminal)
                if status.over:
                    break
                took = time.monotonic() - begin
                time.sleep(max(EVERY - took, took / SHARE - took))
    except KeyboardInterrupt:
        return


def picture(status: StudyStatus, folder: Path, console: Console) -> Iterator[RenderableType]:
    """Yield the parts of the picture of a study, fitted to the console's width."""
    from rich.text import Text

    yield facts(_facts(status, folder))
    width = console.width
    if running := status.running():
        yield ""
        yield Text("Running now", "bold")
        several = status.result.scheduler.brackets > 1
        yield _trial_table(
            {
                "worker": [str(one.worker) for one in running],
                "trial": [str(one.trial) for one in running],
                **({"bracket": [str(one.bracket) for one in running]} if several else {}),
                "rung": [one.rung for one in running],
                _name(status.result.spec.time_attr): [_far(one.resource, one.stop) for one in running],
                _name(status.summary.metric): [_value(one.value) for one in running],
                "time": [_span(one.seconds) for one in running],
            },
            [one.configuration for one in running],
            width,
        )
    if top := status.top():
        yield ""
        yield Text(f"Best {'trial' if len(top) == 1 else f'{len(top)} trials'}", "bold")
        yield _trial_table(
            {
                "trial": [str(one.trial) for one in top],
                _name(status.summary.metric): [_value(one.best) for one in top],
                _name(status.result.spec.time_attr): [f"{one.reached:.10g}" for one in top],
                "status": [_in_words(one.status, status) for one in top],
            },
            [one.configuration for one in top],
            width,
        )
    if not status.result.spec.until_return and len(status.result.rungs()):
        yield ""
        yield Text("Rungs", "bold")
        yield rung_table(status.result)
    yield from _failures(status)


def _facts(status: StudyStatus, folder: Path) -> list[tuple[str, str]]:
    summary = status.summary
    lines = [
        ("study", f"{summary.name()}, in {folder}"),
        ("state", _state(status)),
    ]
    if status.time_left is not None:
        lines.append(("time left", _time_left(status.time_left, status.over)))
    lines.append(("trials", summary.trials()))
    if summary.best():
        lines.append(("best", summary.best()))
    if status.over and status.time_left is not None:
        lines.append(("to go on", resume_command(folder)))
    return lines


def _state(status: StudyStatus) -> str:
    from hbsim.study.progress_summary import hms

    since = "" if status.since is None else f"{status.since:%Y-%m-%d %H:%M}"
    if status.over:
        said = "its process was killed" if status.state == "killed" else status.summary.state()
        return f"{said}, at {since} after {hms(status.elapsed)}"
    since = f", since {since}" if since else ""
    return f"running for {hms(status.elapsed)}{since}, by {status.process}; {_busy(status)}"


def _busy(status: StudyStatus) -> str:
    count = len(status.summary.journal_state.workers)
    return f"{count:,} worker{'' if count == 1 else 's'} with a trial"


def _time_left(left: TimeLeft, is_over: bool) -> str:
    bound = "" if left.at_most is None else f"at most {_span(left.at_most)}, by max_time"
    if left.seconds is None or left.low is None or left.high is None:
        return f"unknown: {left.reason}" + (f"; {bound}" if bound else "")
    low, high = _span(left.low), _span(left.high)
    within = f" (80 %: {low} to {high})" if low != high else ""
    text = f"about {_span(left.seconds)}{within}, by {left.simulations} simulations of the rest"
    text += f"; {bound}" if bound else ""
    return f"{text}, once it is resumed" if is_over else text


def _in_words(status: str, study: StudyStatus) -> str:
    return "interrupted" if status == "running" and study.over else status


def _name(text: str) -> str:
    from hbsim.study.progress_summary import plain

    return plain(text)


def _span(seconds: float) -> str:
    from hbsim.study.progress_summary import span

    return span(seconds) if seconds >= 10 or not seconds else f"{seconds:.2g}s"


def _value(value: float | None) -> str:
    from hbsim.study.progress_summary import number

    return "" if value is None else number(value)


def _far(resource: float, stop: float | None) -> str:
    return f"{resource:.10g}" if stop is None else f"{resource:.10g}/{stop:.10g}"


def _trial_table(
    columns: Mapping[str, Sequence[str]], configurations: Sequence[Mapping[str, object]], width: int
) -> RenderableType:
    """Return a table of trials: a column for each hyperparameter, or one for all where room is short."""
    names = list(dict.fromkeys(name for one in configurations for name in one))
    cells = {name: [_cell(one[name]) if name in one else "" for one in configurations] for name in names}
    apart = {**columns, **{_name(name): cells[name] for name in names}}
    needed = sum(max(map(len, (name, *texts))) + 2 for name, texts in apart.items())
    if needed <= width + 2 and len(apart) == len(columns) + len(names):
        return table(list(apart), zip(*apart.values(), strict=True), left=("status",))
    together = [
        " ".join(f"{name}={cells[name][place]}" for name in names if name in one)
        for place, one in enumerate(configurations)
    ]
    taken = sum(max(map(len, (name, *texts))) + 2 for name, texts in columns.items())
    if width - taken < NARROWEST:
        columns = {name: texts for name, texts in columns.items() if name not in ("time", "rung")}
    all_ = {**columns, "hyperparameters": together}
    return table(list(all_), zip(*all_.values(), strict=True), left=("status", "hyperparameters"))


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}".replace("e+", "e")
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


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
