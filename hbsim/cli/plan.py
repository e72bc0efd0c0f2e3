"""The command ``hbsim plan``: what a budget buys, what to run, and what to avoid."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hbsim import terminal
from hbsim.cli.command import PageCommand, command_line, say
from hbsim.cli.groups import CLUSTER, make_cluster
from hbsim.cli.options import Given, group
from hbsim.cli.output import duration, facts, print_json, progress, wide_console
from hbsim.core.options import Options as SchedulerOptions
from hbsim.errors import ParameterError
from hbsim.options import option
from hbsim.planning.setting import PlanOptions
from hbsim.surrogates.options import SurrogateOptions

if TYPE_CHECKING:
    from hbsim.bench.report.tables import ReportTable
    from hbsim.planning.plan import Plan
    from hbsim.validation.report import TextTable

COMMAND: Final = PageCommand
COMMON: Final = (
    *("max_t", "budget", "unit_seconds", "pilot", "workers", "cluster"),
    *("what_if", "toml", "plot", "html"),
)
WIDTH: Final = 190  # columns, where stdout is no terminal
# Columns that are left out where there is no room, the greatest number first.
NEED: Final = {
    "complete": 1,
    "first full result": 2,
    "P(full result)": 3,
    "trials": 4,
    "checkpoints": 5,
    "GB": 5,
    "money": 6,
    "machine hours": 7,
    "busy": 8,
    "from the default": 1,
    "P(better)": 2,
    "regret": 3,
    "regret above 1.5": 4,
}
HEADS: Final = {"P(full result)": "P(full\nresult)"}
FOLDER: Final = "exp"
PAGE: Final = "plan.html"
TRAIN: Final = "train.py:train_fn"


@dataclass(frozen=True)
class PlanOutput:
    """The options for what a plan writes."""

    train: str = option(
        TRAIN,
        metavar="FILE.py:NAME",
        help=f"The training function in the printed command (default: {TRAIN}).",
    )
    toml: str | None = option(
        None, metavar="FILE.toml", help="Write a study file for hbsim run, and keep the forecast."
    )
    folder: str | None = option(
        None,
        metavar="DIR",
        flags=("--folder", "--out"),
        help="The folder of the later study; keeps the forecast for hbsim validate (with --toml: exp).",
    )
    plot: str | None = option(
        None, metavar="FILE.png", help="Draw when results come and what the budget buys; also .svg or .pdf."
    )
    html: str | None = option(None, metavar="[FILE.html]", help=f"Write a page (default: {PAGE}).")
    as_json: bool = option(False, takes="flag", flags=("--json",), help="Print one JSON object.")


PLAN: Final = group(
    "Study",
    SchedulerOptions,
    PlanOptions,
    SurrogateOptions,
    only=(
        *("max_t", "budget", "unit_seconds", "pilot", "metric", "mode", "what_if"),
        *("grace_period", "seed"),
    ),
    max_t={"help": "R, where a trial is complete, such as 81 epochs."},
    metric={"help": "The metric of the pilot that decides (default: as the pilot says)."},
    mode={"help": "Whether a higher or a lower value is better; needed with --metric."},
    seed={"help": "Seed of all simulations (default: 0)."},
)
OUTPUT: Final = group("Output", PlanOutput)


def plan(
    ctx: typer.Context,
    *,
    request: Annotated[Given, PLAN],
    cluster: Annotated[Given, CLUSTER],
    output: Annotated[Given, OUTPUT],
) -> None:
    """Forecast what a budget buys, and say which scheduler to run and what to avoid.

    A budget is a time (`24h`, `2d`, `90min`, `3600s`), money by the cluster's price (`500usd`, `eur`, `gbp`),
    or the training time of full runs on all workers together (`30runs`). A shortlist of schedulers is
    simulated on the cluster, on the curves of a library of tasks. A full result is a trial that trained to
    `--max-t`. Intervals are 80 %.

    A pilot of ten or more curves of your task narrows the forecast: its costs and its share of diverged runs
    replace those of the library. Before there are curves nobody can know which scheduler is best; what to
    avoid is known.

    For example:
      hbsim plan --max-t 81 --budget 24h --unit-seconds 60 --workers 8
      hbsim plan --max-t 27 --budget 500usd --unit-seconds 300 --cluster aws-spot
    """
    from hbsim.planning.check import check_folder
    from hbsim.planning.plan import prepare

    folder = output.get("folder")
    if folder is None and "toml" in output:
        folder = str(Path(output["toml"]).parent / FOLDER)
    if folder is not None:
        check_folder(folder)
    files = _check_files(output)
    made = prepare(**request, cluster=make_cluster(cluster), around=bool(files))
    if made.is_long:  # before the first study ends, and where stderr is no terminal
        count, runs = len(made.studies), made.setting.simulated_runs * len(made.studies)
        text = f"simulating {count} studies of {len(made.shortlist)} schedulers, {runs:,.0f} full runs each"
        say("note", f"{text}: about {duration(made.seconds)} of a core")
    with progress(lambda: made.done, len(made.studies), "studies simulated"):
        found = made.carry_out()
    commands = _start(found, output, folder)
    if folder is not None:
        found.keep(folder)
    if "plot" in output:
        from hbsim.bench.chart_style import save

        save(found.plot(), Path(output["plot"]))
    if "html" in output:
        found.page(files["html"], commands)
    if output.get("as_json"):
        written = [*([output["toml"]] if "toml" in output else []), *map(str, files.values())]
        print_json(
            {
                "command": command_line(ctx),
                **found.as_dict(),
                "start": commands,
                "folder": folder,
                "files": written,
            }
        )
    else:
        _show(found, commands, folder)


def _check_files(output: Given) -> dict[str, Path]:
    """Check the files to write before any work, and return them."""
    from hbsim.study.page import check_page

    files = {}
    if "plot" in output:
        files["plot"] = Path(output["plot"])
        if files["plot"].suffix.lower() not in (".png", ".svg", ".pdf"):
            raise ParameterError("plot", output["plot"], "must end in .png, .svg or .pdf")
        if not files["plot"].parent.is_dir():
            raise ParameterError("plot", output["plot"], f"there is no folder {files['plot'].parent}")
    if "html" in output:
        files["html"] = check_page("html", Path(output["html"] or PAGE))
    if "toml" in output:
        from hbsim.cli.study_file import SUFFIX

        path = Path(output["toml"])
        if path.suffix != SUFFIX:
            raise ParameterError("toml", str(path), f"must end in {SUFFIX}")
        if path.exists():
            raise ParameterError("toml", str(path), "exists already")
        if not path.parent.is_dir():
            raise ParameterError("toml", str(path), f"there is no folder {path.parent}")
        train = output.get("train", "")
        if (source := train.rpartition(":")[0]).endswith(".py") and not Path(source).is_file():
            raise ParameterError("train", train, f"there is no file {source}")
    return files


def _start(found: Plan, output: Given, folder: str | None) -> list[str]:
    """Return the commands that start the study, and check it afterwards; write its file if asked for."""
    options = found.run_options()
    train = output.get("train", TRAIN)
    if "toml" in output:
        _write_toml(output["toml"], train, dict(options), folder or FOLDER)
        run = ["hbsim", "run", output["toml"]]
    else:
        run = ["hbsim", "run", train, "--scheduler", options.pop("type")]
        for name, value in options.items():
            run += [
                f"--{name.replace('_', '-')}",
                f"{value:.12g}" if isinstance(value, float) else str(value),
            ]
        if folder is not None:
            run += ["--folder", folder]
    commands = [shlex.join(run)]
    if folder is not None:
        commands.append(shlex.join(["hbsim", "validate", folder]))
    return commands


def _write_toml(path: str, train: str, options: dict[str, Any], folder: str) -> None:
    from hbsim.cli.study_file import StudyValues, study_toml, write_study

    names = ("type", "max_t", "grace_period", "reduction_factor", "brackets")
    scheduler = {name: options.pop(name) for name in names if name in options}
    values = StudyValues(scheduler, {"train": train, "folder": folder, **options})
    write_study(path, study_toml(values, None, path))


def _by_need(table: TextTable) -> ReportTable:
    """Return a table whose less important columns are left out where there is no room for them."""
    from hbsim.bench.report.tables import Cell, Heading, ReportTable

    heads = [
        Heading(HEADS.get(name, name), "l" if at < table.texts else "r", NEED.get(name, 0))
        for at, name in enumerate(table.columns)
    ]
    rows = tuple(tuple(map(Cell, row)) for row in table.rows)
    return ReportTable("plan", (), table.title, tuple(heads), rows)


def _show(found: Plan, commands: list[str], folder: str | None) -> None:
    from rich.text import Text

    from hbsim.bench.report.render import as_rich, not_shown
    from hbsim.planning import report

    console = terminal.console() if "COLUMNS" in os.environ else wide_console(WIDTH)
    for line in report.headline(found):
        console.print(Text(line), soft_wrap=True)
    console.print()
    console.print(facts(report.facts(found)))
    for one in report.tables(found):
        console.print(f"\n{one.title}", style="bold", highlight=False, soft_wrap=True)
        made = _by_need(one)
        console.print(as_rich(made, console.width))
        if left := not_shown(made, console.width):
            console.print(f"({left})", style="dim", soft_wrap=True)
    console.print()
    for line in report.advice(found):
        console.print(Text(line), soft_wrap=True)
    console.print("\nWhat nobody can know", style="bold")
    for line in report.unknown(found):
        console.print(Text(line), soft_wrap=True)
    console.print("\nStart it", style="bold")
    for line in commands:
        console.print(Text(line), soft_wrap=True)
    if folder is not None:
        say("note", f"the forecast is kept in {folder}: after the study, hbsim validate says how it did")
