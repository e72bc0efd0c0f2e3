"""The command ``hbsim run``: runs a study for real, or simulates the same study."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hbsim.cli.command import command_line, is_given, say, spelling_of
from hbsim.cli.groups import CLUSTER, CURVES, OUTPUT, SCHEDULER, STUDY, load_curves
from hbsim.cli.options import Given
from hbsim.cli.output import print_json
from hbsim.cli.real_study import (
    FUNCTION,
    REAL,
    RUN_MACHINES,
    earlier_options,
    end_interrupted,
    executor_of,
    new_study,
    option_errors,
    resumed_study,
    run_to_end,
)
from hbsim.cli.simulate import check_trials, simulate_study
from hbsim.cli.study_output import resume_command, run_as_json, show_run
from hbsim.errors import ParameterError
from hbsim.executors.training_function import split_target
from hbsim.options import one_of
from hbsim.study.folder import StudyFolder

if TYPE_CHECKING:
    from hbsim.study.result import RunResult
    from hbsim.surrogates import Surrogate

FOLDER: Final = "exp"
EXECUTORS: Final = ("local", "hosts", "dask", "sim")

RUN_SCHEDULER: Final = SCHEDULER.changed(
    type={"default": None, "help": "Which scheduler decides. Needed, unless with --resume."},
    max_t={
        "help": "R, where a trial is complete. Needed but for fifo; with sim by default where curves end."
    },
)
RUN_STUDY: Final = STUDY.changed(
    seed={"help": "Of brackets, configurations and the seeds that trials are given."},
    max_time={"help": "Seconds of the study at which running jobs are cut."},
    replace={"help": "sim: rows of a table may come again, in a seeded order."},
)
RUN_CURVES: Final = CURVES.changed(
    surrogate={
        "metavar": "NAME|FILE|FILE.py:NAME",
        "help": "Needed with --executor sim; `hbsim surrogates` lists the names.",
    },
    metric={
        "panel": FUNCTION,
        "help": "The reported metric that decides (default: accuracy; with sim that of the curves).",
    },
    mode={"panel": FUNCTION, "help": "What is better (default: max; with sim as the curves have it)."},
)
RUN_CLUSTER: Final = CLUSTER.changed(
    workers={
        "panel": RUN_STUDY.heading,
        "help": "How many trials run at the same time (default: as many as fit; with sim 32).",
    },
    resume={"parameter": "checkpoints", "flags": ("--checkpoints/--no-checkpoints",)},
)
RUN_OUTPUT: Final = OUTPUT.changed(
    folder={"help": "The study's folder (default: exp). With sim: for tables, if wanted."},
    plot={"panel": RUN_CURVES.heading, "help": "Draw the study: PNG files in --folder."},
    force={"panel": RUN_CURVES.heading},
)
# Options of some executors only. --time-attr is allowed for sim, which has the resource from its curves.
TAKERS: Final = {
    **dict.fromkeys((name for name in REAL.options if name != "time_attr"), ("local", "hosts", "dask")),
    **dict.fromkeys(RUN_MACHINES.options, ("hosts", "dask")),
    **dict.fromkeys((name for name in RUN_CURVES.options if name not in ("metric", "mode")), ("sim",)),
    **dict.fromkeys((name for name in RUN_CLUSTER.options if name != "workers"), ("sim",)),
    **dict.fromkeys(("replace", "plot", "force"), ("sim",)),
}


def run(
    ctx: typer.Context,
    *,
    train: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE.py:NAME", rich_help_panel=FUNCTION, help="Needed, unless with --resume or sim."
        ),
    ] = None,
    executor: Annotated[
        str,
        typer.Option(
            "--executor",
            rich_help_panel=FUNCTION,
            metavar="|".join(EXECUTORS),
            help="For real, on this machine, on hosts or a Dask cluster; or simulated (default: local).",
            show_default=False,
        ),
    ] = "local",
    scheduler: Annotated[Given, RUN_SCHEDULER],
    study: Annotated[Given, RUN_STUDY],
    real: Annotated[Given, REAL],
    machines: Annotated[Given, RUN_MACHINES],
    curves: Annotated[Given, RUN_CURVES],
    cluster: Annotated[Given, RUN_CLUSTER],
    output: Annotated[Given, RUN_OUTPUT],
) -> None:
    r"""Run a study for real: a process a trial, on the CPUs and GPUs of this machine or of others.

    The training function is train_fn(args, reporter), decorated with @hbsim.args(...). Everything that
    happens is kept in the study's folder: after Ctrl-C, a crash or a power cut, --resume goes on from there.
    With --hosts trials run on hosts that are reached by SSH, with --scheduler-address on the workers of a
    Dask cluster; --executor dask alone is a Dask cluster in this process. With --executor sim and --surrogate
    the same study is simulated, as `hbsim simulate` does.

    For example:
      hbsim run train.py:train_fn --scheduler promotion --max-t 81 --trials 200 --num-gpus 1
      hbsim run train.py:train_fn --scheduler stopping --max-t 27 --max-time 3600 --metric loss --mode min
      hbsim run --resume --out exp
      hbsim run train.py:train_fn --scheduler promotion --max-t 81 --trials 200 --hosts a,b,c
      hbsim run train.py:train_fn --scheduler promotion --max-t 81 --trials 200 --executor sim \
        --surrogate synthetic --workers 8
    """
    asked = {name: ctx.params[name] for name in ctx.params if is_given(ctx, name)}
    executor = _executor(ctx, asked, output)
    _check_takers(executor, asked)
    if executor != "sim":
        values = {**study, **curves, **real, **cluster, **machines, "executor": executor}
        values |= {"train": train} if "train" in asked else {}
        _run(ctx, scheduler, values, output)
        return
    if "surrogate" not in curves:
        ctx.fail("Missing option '--surrogate': --executor sim needs learning curves.")
    if "type" not in scheduler:
        ctx.fail("Missing option '--scheduler'.")
    if train is not None:
        split_target(train)  # the function is not needed, but a wrong name is an error
    simulate_study(ctx, scheduler, study, curves, cluster, output, _load_agreeing)


def _executor(ctx: typer.Context, asked: Mapping[str, Any], output: Given) -> str:
    """Return the executor: by the options, else as in earlier commands, else this machine."""
    executor = executor_of(asked)
    known = dict(asked)
    if "resume" in asked and executor in (None, "dask", "hosts"):
        before = earlier_options(ctx, StudyFolder(output.get("folder", FOLDER)))
        executor = executor_of({**before, **asked}) if executor is None else executor
        if executor == "dask" and "hosts" in before and "scheduler_address" not in asked:
            return "hosts"  # earlier versions had no name for this executor
        known |= before
    if executor == "hosts" and "hosts" not in known:
        raise ParameterError("executor", executor, "needs --hosts")
    chosen: str = one_of(*EXECUTORS)("executor", executor or "local")
    return chosen


def _check_takers(executor: str, asked: Mapping[str, Any]) -> None:
    """Check that the executor has all options that were given.

    Raises
    ------
    ParameterError
        Names the first option that only other executors have.
    """
    for name, value in asked.items():
        takers = TAKERS.get(name, EXECUTORS)
        if executor not in takers:
            others = " or ".join(takers).replace(" or ", ", ", len(takers) - 2)
            rule = f"is for --executor {others}; --executor {executor} does not take it"
            raise ParameterError(name, None if isinstance(value, bool) else value, rule)


def _load_agreeing(curves: Given) -> Surrogate:
    """Load learning curves; those of a named surrogate must have the study's metric and mode.

    Raises
    ------
    ParameterError, SurrogateError
        As by `hbsim.surrogates.load`; or the curves have another metric or mode.
    """
    from hbsim.surrogates import load
    from hbsim.surrogates.fitted import PREFIX as FITTED
    from hbsim.surrogates.table import SUFFIXES
    from hbsim.surrogates.yahpo import PREFIX

    name = curves["surrogate"]
    file = Path(name).suffix in SUFFIXES or name.startswith(FITTED)
    if file or not ("metric" in curves or "mode" in curves):
        return load_curves(curves)
    bare = load_curves({key: curves[key] for key in curves if key not in ("metric", "mode", "wrap")})
    has_several = name == "digits" or name.startswith(PREFIX)
    if has_several and curves.get("metric", bare.metric) != bare.metric:
        return load_curves(curves)
    for key in ("metric", "mode"):
        has = getattr(bare, key)
        if curves.get(key, has) != has:
            rule = f"{name} decides on {bare.metric}, where {bare.mode} is better"
            raise ParameterError(key, curves[key], rule)
    return load(bare, wrap=curves.get("wrap"))


# For real


def _run(ctx: typer.Context, scheduler: Given, values: Mapping[str, Any], output: Given) -> None:
    folder = Path(output.get("folder", FOLDER))
    to_go_on = resume_command(folder, option=spelling_of(ctx)["folder"])
    explain = output.get("explain", [])
    check_trials(explain, values.get("num_trials"))
    study_folder, resumes = StudyFolder(folder), "resume" in values
    with option_errors(values, {}):
        study_folder.check(resumes)
        if resumes:
            study = resumed_study(ctx, scheduler, values, study_folder)
        else:
            study = new_study(ctx, scheduler, values)
    with option_errors(values, study["args"]):
        result = run_to_end(study, folder, to_go_on)
    explain = [trial for trial in explain if trial < result.scheduler.started]
    if "as_json" in output:
        left_out = {*RUN_OUTPUT.options, "progress"} - {"folder"}
        print_json(run_as_json(result, command_line(ctx, left_out), explain, folder, to_go_on))
    else:
        show_run(result, explain, folder)
    end_interrupted(result, to_go_on)
    _end_failed(result)


def _end_failed(result: RunResult) -> None:
    """If no trial has a result, print the reason, and end with exit code 1."""
    summary = result.summary()
    if summary["trials"] and summary["failed"] == summary["trials"]:
        reason = result.failures()["reason"][0]
        say("error", f"all {summary['trials']} trials failed; the first: {reason}")
        raise typer.Exit(1)
    if summary["trials"] and summary["best"] is None and summary["metric"] is not None:
        reports = len(result.reports)
        shown = f"{summary['metric']} was none in all {reports:,} reports"
        say("error", f"no trial has shown a number: {shown if reports else 'nothing was reported'}")
        raise typer.Exit(1)
