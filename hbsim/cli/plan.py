"""The command ``hbsim plan``: what a budget buys, what to run, and what to avoid."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hbsim.cli.command import PageCommand, command_line, say
from hbsim.cli.groups import CLUSTER, make_cluster
from hbsim.cli.options import Given, group
from hbsim.cli.output import facts, print_json, progress, table, wide_console
from hbsim.core.options import Options as SchedulerOptions
from hbsim.errors import ParameterError
from hbsim.options import option
from hbsim.planning.setting import PlanOptions
from hbsim.surrogates.options import SurrogateOptions

if TYPE_CHECKING:
    from hbsim.planning.plan import Plan

COMMAND: Final = PageCommand
WIDTH: Final = 190  # columns, where stdout is no terminal
FOLDER: Final = "exp"
PAGE: Final = "plan.html"
TRAIN: Final = "train.py:train_fn"


@dataclass(frozen=True)
class PlanOutput:
    """The options for what a plan writes."""

    train: str = option(
        TRAIN,
        metavar="FILE.py:NAME",
        help=f"The training function of the command that starts the study (default: {TRAIN}).",
    )
    toml: str | None = option(
        None, metavar="FILE.toml", help="Write a study that hbsim run takes, and keep the forecast for it."
    )
    folder: str | None = option(
        None,
        metavar="DIR",
        flags=("--folder", "--out"),
        help="The study's folder to be: the forecast is kept there, for hbsim validate (with --toml: exp).",
    )
    plot: str | None = option(
        None, metavar="FILE.png", help="Draw when results come and what the budget buys (or .svg, .pdf)."
    )
    html: str | None = option(
        None, metavar="[FILE.html]", help=f"Write a page that needs no network (default: {PAGE})."
    )
    as_json: bool = option(False, takes="flag", flags=("--json",), help="Print one JSON object.")


PLAN: Final = group(
    "Plan",
    SchedulerOptions,
    PlanOptions,
    SurrogateOptions,
    only=(
        *("max_t", "budget", "unit_seconds", "pilot", "metric", "mode", "what_if"),
        *("grace_period", "seed"),
    ),
    max_t={"help": "R, the units of training of a complete trial."},
    metric={"help": "The pilot's metric that decides, where the pilot does not say it."},
    mode={"help": "What is better, with --metric."},
    seed={"help": "Of all simulations (default: 0)."},
)
OUTPUT: Final = group("", PlanOutput)


def plan(
    ctx: typer.Context,
    *,
    request: Annotated[Given, PLAN],
    cluster: Annotated[Given, CLUSTER],
    output: Annotated[Given, OUTPUT],
) -> None:
    r"""Say what a budget buys: how many trials, when there is a full result, what it costs, what to avoid.

    A shortlist of variants is simulated on the cluster, on the learning curves of a library of tasks. A full
    result is a trial that trained to --max-t. A pilot, ten curves of the task or more, narrows the forecast:
    its costs and its share of diverged runs replace those of the library. Intervals are 80 %. Nobody can know
    before there are curves which variant is best; what to avoid is known.

    For example:
      hbsim plan --max-t 81 --workers 8 --budget 24h --unit-seconds 60
      hbsim plan --max-t 81 --workers 8 --budget 24h --pilot pilot.parquet --what-if workers=4,8,16
      hbsim plan --max-t 27 --cluster aws-spot --budget 500usd --unit-seconds 300 --html
      hbsim plan --max-t 81 --workers 8 --budget 60runs --what-if budget=30runs,120runs
      hbsim plan --max-t 81 --workers 8 --budget 24h --unit-seconds 60 --train train.py:train_fn \
        --toml study.toml
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
                "command": command_line(ctx, ("as_json",)),
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
    return files


def _start(found: Plan, output: Given, folder: str | None) -> list[str]:
    """Return the commands that start the study, and check it afterwards; write its file if asked for."""
    options = found.run_options()
    train = output.get("train", TRAIN)
    there = folder or FOLDER
    if "toml" in output:
        _write_toml(output["toml"], train, dict(options), there)
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


def _show(found: Plan, commands: list[str], folder: str | None) -> None:
    from rich.text import Text

    from hbsim.planning import report

    console = wide_console(WIDTH)
    for line in report.headline(found):
        console.print(Text(line), soft_wrap=True)
    console.print()
    console.print(facts(report.facts(found)))
    for one in report.tables(found):
        console.print(f"\n{one.title}", style="bold", highlight=False, soft_wrap=True)
        console.print(table(one.columns, one.rows, one.columns[: one.texts]))
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
