"""The command ``hbsim run``: runs a study for real, or simulates the same study."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hbsim.cli.command import PageCommand, command_line, is_given, say, spelling_of
from hbsim.cli.groups import CLUSTER, SCHEDULER, STUDY, OutputOptions, search_options
from hbsim.cli.options import Given, group
from hbsim.cli.output import print_json
from hbsim.cli.real_study import (
    FUNCTION,
    REAL,
    RESOURCES,
    RUN_MACHINES,
    earlier_options,
    end_interrupted,
    executor_of,
    new_study,
    option_errors,
    resumed_study,
    run_to_end,
    simulated_study,
)
from hbsim.cli.script import SCRIPT
from hbsim.cli.simulate import check_trials
from hbsim.cli.study_file import SUFFIX, StudyValues, read_study, study_toml, write_study
from hbsim.cli.study_output import notes, resume_command, run_as_json, show_run
from hbsim.core.options import Options as SchedulerOptions
from hbsim.errors import ParameterError
from hbsim.options import declared, one_of
from hbsim.study.folder import StudyFolder
from hbsim.study.options import REAL_ONLY, RunOptions
from hbsim.surrogates.options import SurrogateOptions

if TYPE_CHECKING:
    from hbsim.study.result import RunResult
    from hbsim.study.simulated_run import SimulatedResult

COMMAND: Final = PageCommand
COMMON: Final = (
    *("type", "max_t", "num_trials", "max_time", "metric", "mode"),
    *("workers", "num_gpus", "folder", "resume"),
)

FOLDER: Final = "exp"
EXECUTORS: Final = ("local", "hosts", "dask", "sim")

RUN_SCHEDULER: Final = SCHEDULER.changed(
    type={"default": None},
    max_t={"help": "R, where a trial is complete; needed by all schedulers but fifo."},
)
RUN_STUDY: Final = STUDY.changed(
    seed={"help": "Seed of brackets, configurations and trials (default: 0)."},
    max_time={"help": declared(RunOptions)["max_time"].help},
    replace={"help": declared(RunOptions)["replace"].help, "panel": "Learning curves"},
)
RUN_CURVES: Final = group(
    "Learning curves",
    RunOptions,
    SurrogateOptions,
    only=("surrogate", *declared(SurrogateOptions)),
    metric={"panel": FUNCTION, "help": declared(RunOptions)["metric"].help},
    mode={"panel": FUNCTION, "help": declared(SchedulerOptions)["mode"].help},
)
RUN_CLUSTER: Final = CLUSTER.changed(
    workers={
        "panel": RUN_STUDY.heading,
        "help": "How many trials run at the same time (default: as many as fit).",
    },
    resume={"parameter": "checkpoints", "flags": ("--checkpoints/--no-checkpoints",)},
)
RUN_OUTPUT: Final = group(
    "Output",
    OutputOptions,
    leave_out=("plot", "force"),
    folder={"help": declared(RunOptions)["folder"].help},
)
# Options of simulations only.
SIMULATED: Final = (
    *(name for name in RUN_CURVES.options if name not in ("metric", "mode")),
    *(name for name in RUN_CLUSTER.options if name != "workers"),
    "replace",
)


def run(
    ctx: typer.Context,
    *,
    train: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE.py:NAME|FILE.toml",
            help="The training function, or a file with a whole study; not with --command or --resume.",
        ),
    ] = None,
    executor: Annotated[
        str,
        typer.Option(
            "--executor",
            rich_help_panel="Study",
            metavar="|".join(EXECUTORS),
            help=declared(RunOptions)["executor"].help,
            show_default=False,
        ),
    ] = "local",
    write_toml: Annotated[
        str | None,
        typer.Option(
            "--write-toml",
            rich_help_panel="Study",
            metavar="FILE.toml",
            help="Write a file with this study instead of running it.",
        ),
    ] = None,
    script: Annotated[Given, SCRIPT],
    scheduler: Annotated[Given, RUN_SCHEDULER],
    study: Annotated[Given, RUN_STUDY],
    real: Annotated[Given, REAL],
    machines: Annotated[Given, RUN_MACHINES],
    curves: Annotated[Given, RUN_CURVES],
    cluster: Annotated[Given, RUN_CLUSTER],
    output: Annotated[Given, RUN_OUTPUT],
) -> None:
    r"""Run a study for real, on the CPUs and GPUs of this machine or of others.

    The training function is `train_fn(args, reporter)`, decorated with `@hbsim.args(...)`. A script has
    `--command` and `--param` instead. All that happens is kept in the study's folder: after Ctrl-C, a crash
    or a power cut `--resume` goes on from there. A TOML file has the options of a study; those of the command
    override it.

    With `--executor sim` the same study is simulated, with as many workers. Its curves are those of the study
    in `--folder`, of another folder or file (`--surrogate`), or `synthetic`. Nothing is written. The groups
    of simulated costs are for this executor only; `--checkpoints` is the cluster's `--resume` there.

    For example:
      hbsim run train.py:train_fn --scheduler promotion --max-t 27 --num-trials 30
      hbsim run --command "python script.py --lr {lr}" --metric loss --mode min \
        --param lr=real:1e-3:1:log --scheduler stopping --max-t 9 --num-trials 9 \
        --folder scripted
    """
    asked = {name: ctx.params[name] for name in ctx.params if is_given(ctx, name)}
    of_command: dict[str, Any] = {name: asked[name] for name in ("train", "executor") if name in asked}
    of_command |= {"workers": cluster["workers"]} if "workers" in cluster else {}
    values: dict[str, Any] = {**script, **study, **curves, **real, **machines, **of_command}
    given, file = StudyValues(dict(scheduler), values, dict(cluster)), StudyValues()
    if train is not None and train.endswith(SUFFIX):
        file = read_study(train)
        given = given.over(file)
        given.values.setdefault("folder", str(Path(train).parent / FOLDER))
    folder = Path(output.get("folder", given.values.pop("folder", FOLDER)))
    executor = _executor(ctx, given.values, folder)
    if write_toml is not None:
        _write_toml(ctx, given, folder, write_toml)
        return
    _note_ignored(executor, asked, spelling_of(ctx), file)
    given.values["executor"] = executor
    _run(ctx, given, folder, output)


def _executor(ctx: typer.Context, values: Mapping[str, Any], folder: Path) -> str:
    """Return the executor: by the options, else as in earlier commands, else this machine."""
    executor = executor_of(values)
    known = dict(values)
    if "resume" in values and executor in (None, "dask", "hosts"):
        before = earlier_options(ctx, StudyFolder(folder))
        executor = executor_of({**before, **values}) if executor is None else executor
        if executor == "dask" and "hosts" in before and "scheduler_address" not in values:
            return "hosts"  # earlier versions had no name for this executor
        known |= before
    if executor == "hosts" and "hosts" not in known:
        raise ParameterError("executor", executor, "needs --hosts")
    chosen: str = one_of(*EXECUTORS)("executor", executor or "local")
    return chosen


def _note_ignored(
    executor: str, asked: Mapping[str, Any], spelling: Mapping[str, str], file: StudyValues
) -> None:
    """Say in one line which of the given options have no meaning for the executor."""
    ignored = set(SIMULATED)
    if executor == "sim":
        ignored = {*REAL_ONLY, *RUN_MACHINES.options} - {"resume"}
        ignored |= set(RESOURCES) if "workers" in {**asked, **file.values} else set()
    elif executor == "local":
        ignored |= set(RUN_MACHINES.options)
    given = [spelling[name] for name in asked if name in ignored]
    of_file = [name for name in file.values if name in ignored]
    of_file += ["cluster"] if file.cluster and executor != "sim" else []
    if of_file:
        given.append(f"{', '.join(of_file)} of the file")
    if given:
        say("note", f"--executor {executor} ignores {', '.join(given)}")


def _write_toml(ctx: typer.Context, given: StudyValues, folder: Path, path: str) -> None:
    """Write the study's file, if its options make a study."""
    with option_errors(given.values, {}):
        new_study(ctx, given.scheduler, given.values)
    points = search_options(given.values).get("points_to_evaluate")
    written = StudyValues(given.scheduler, {**given.values, "folder": str(folder)}, given.cluster)
    write_study(path, study_toml(written, points, path))
    say("note", f"wrote {path}; it runs with: hbsim run {shlex.quote(path)}")


def _run(ctx: typer.Context, given: StudyValues, folder: Path, output: Given) -> None:
    from hbsim.executors.training_function import stop_if_loading

    stop_if_loading()
    values = given.values
    to_go_on = resume_command(folder, option=spelling_of(ctx)["folder"])
    explain = output.get("explain", [])
    check_trials(explain, values.get("num_trials"))
    study_folder, resumes, simulates = StudyFolder(folder), "resume" in values, values["executor"] == "sim"
    with option_errors(values, {}):
        if resumes or not simulates:
            study_folder.check(resumes)
        if resumes:
            study = resumed_study(ctx, given.scheduler, values, study_folder)
        else:
            study = new_study(ctx, given.scheduler, values)
        if simulates:
            study = simulated_study(study, values, given.cluster)
    with option_errors(values, study["args"]):
        result = run_to_end(study, folder, to_go_on)
    explain = [trial for trial in explain if trial < result.scheduler.started]
    if "as_json" in output:
        left_out = {*RUN_OUTPUT.options, "progress"} - {"folder"}
        print_json(run_as_json(result, command_line(ctx, left_out), explain, folder, to_go_on))
    else:
        show_run(result, explain, folder)
    for kind, text in notes(result) if simulates else ():
        say(kind, text)
    end_interrupted(result, to_go_on)
    _end_failed(result)


def _end_failed(result: RunResult | SimulatedResult) -> None:
    """If no trial has a result, print the reason, and end with exit code 1."""
    from hbsim.study.result import all_failed

    summary = result.summary()
    if text := all_failed(result):
        say("error", text)
        raise typer.Exit(1)
    if summary["trials"] and summary["best"] is None and summary["metric"] is not None:
        reports = len(result.reports)
        shown = f"{summary['metric']} was none in all {reports:,} reports"
        say("error", f"no trial has shown a number: {shown if reports else 'nothing was reported'}")
        raise typer.Exit(1)
