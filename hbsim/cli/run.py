"""``hbsim run``: a study for real, or the same one simulated."""

from __future__ import annotations

import inspect
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hbsim.cli.command import command_line, grouped, say
from hbsim.cli.fields import given, word
from hbsim.cli.remote_options import RunRemoteOptions
from hbsim.cli.run_local_options import FUNCTION, RunLocalOptions
from hbsim.cli.run_options import (
    CURVES,
    RunClusterOptions,
    RunCurveOptions,
    RunOutputOptions,
    RunSchedulerOptions,
    RunStudyOptions,
    check_executor,
    check_words,
)
from hbsim.cli.run_plan import Asked, Plan, earlier, executor_of, is_given, new_plan, resumed_plan
from hbsim.cli.simulate import check_trials, simulate
from hbsim.errors import ExecutorError, ParameterError

if TYPE_CHECKING:
    from hbsim.study.result import RunResult

__all__ = ["end_interrupted", "finished", "in_options", "run"]

FOLDER: Final = Path("exp")


@grouped
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
        word(
            "--executor",
            panel=FUNCTION,
            metavar="local|hosts|dask|sim",
            help="For real, on this machine, on hosts or a Dask cluster; or simulated (default: local).",
        ),
    ] = "local",
    scheduler: RunSchedulerOptions,
    study: RunStudyOptions,
    local: RunLocalOptions,
    remote: RunRemoteOptions,
    surrogate: Annotated[
        str | None,
        word(
            "--surrogate",
            panel=CURVES,
            metavar="NAME|FILE|FILE.py:NAME",
            help="Needed with --executor sim; `hbsim surrogates` lists the names.",
        ),
    ] = None,
    curves: RunCurveOptions,
    cluster: RunClusterOptions,
    output: RunOutputOptions,
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
    named = [name for name in ctx.params if is_given(ctx, name)]
    executor = _executor(ctx, named, local, output)
    check_executor(executor, named, ctx.params)
    if executor != "sim":
        groups = {**given(study), **given(curves), **given(local), **given(cluster), **given(remote)}
        values = {name: value for name, value in {**groups, "train": train}.items() if name in named}
        _run(Asked(ctx, scheduler.chosen(), {**values, "executor": executor}), local, output)
        return
    if surrogate is None:
        ctx.fail("Missing option '--surrogate': --executor sim needs learning curves.")
    if not scheduler.type:
        ctx.fail("Missing option '--scheduler'.")
    _check_file(train)
    options = {"scheduler": scheduler, "study": study, "files": curves, "cluster": cluster}
    inspect.unwrap(simulate)(ctx, **options, surrogate=surrogate, output=output)


def _executor(
    ctx: typer.Context, named: Sequence[str], local: RunLocalOptions, output: RunOutputOptions
) -> str:
    """Return where the study runs: as the options say, else as before, else on this machine."""
    asked = {name: ctx.params[name] for name in named}
    executor = executor_of(asked)
    if local.go_on and executor in (None, "dask", "hosts"):
        from hbsim.study.folder import StudyFolder

        before = earlier(ctx, StudyFolder(output.out or FOLDER))
        executor = executor_of({**before, **asked}) if executor is None else executor
        if executor == "dask" and "hosts" in before and "scheduler_address" not in asked:
            return "hosts"  # it was called so before there was such a word
        asked |= before
    if executor == "hosts" and "hosts" not in asked:
        raise ParameterError("executor", executor, "needs --hosts")
    return executor or "local"


def _check_file(train: str | None) -> None:
    """Check that a training function that is not needed is there all the same: its user means to run it."""
    if train is not None:
        from hbsim.executors.training_function import split_target

        split_target(train)


# For real


def _run(asked: Asked, local: RunLocalOptions, output: RunOutputOptions) -> None:
    from hbsim.cli.output import print_json
    from hbsim.cli.run_report import as_json, resume_command, show
    from hbsim.study.folder import StudyFolder

    folder = output.out or FOLDER
    explain = output.explain or []
    check_words(asked.values)
    check_trials(explain, asked.values.get("trials"))
    place = StudyFolder(folder)
    with in_options(asked.values, {}):
        place.check(local.go_on)
        plan = resumed_plan(asked, place) if local.go_on else new_plan(asked)
    with in_options(asked.values, plan.options["args"]):
        result = finished(plan, folder, local.progress, resume_command(folder))
    explain = [trial for trial in explain if trial < result.scheduler.started]
    if output.as_json:
        left_out = {field.name for field in fields(output)} | {"progress"}
        print_json(as_json(result, command_line(asked.ctx, left_out - {"out"}), explain, folder))
    else:
        show(result, explain, folder)
    _end(result, resume_command(folder))


def finished(plan: Plan, folder: Path, progress: str | None, to_go_on: str) -> RunResult:
    """Run the study to its end, or until it is interrupted; `to_go_on` is the command that resumes it."""
    from hbsim.study.folder import StudyFolder
    from hbsim.study.run import Interrupted, run

    place = StudyFolder(folder)
    # Polars has system calls go on after Ctrl-C, so that waiting for the warm server would not end.
    signal.siginterrupt(signal.SIGINT, True)
    options = {**plan.options, "progress": progress or "auto"}
    try:
        return run(plan.train, plan.scheduler, folder=folder, **options)
    except Interrupted as interrupted:
        result: RunResult = interrupted.result
        return result
    except ExecutorError as error:
        if not place.holds_study:
            raise
        say("error", f"{error}; to go on: {to_go_on}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        if not place.holds_study:
            raise  # while the training function was loaded: there is nothing to go on with
        say("error", f"interrupted: nothing runs any more; to go on: {to_go_on}")
        raise typer.Exit(1) from None


def end_interrupted(result: RunResult, to_go_on: str) -> None:
    """Say how to go on, and end with exit code 1, if the study was interrupted."""
    if result.why == "interrupted":
        say("error", f"interrupted after {result.end_time:.4g} s; to go on: {to_go_on}")
        raise typer.Exit(1)


def _end(result: RunResult, to_go_on: str) -> None:
    """Say what went wrong, with exit code 1, if anything did."""
    end_interrupted(result, to_go_on)
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


# What parameters of `hbsim.run` are called here.
NAMES: Final = {"folder": "out", "args": "set_"}


@contextmanager
def in_options(values: Mapping[str, Any], constants: Mapping[str, object]) -> Iterator[None]:
    """Raise errors of `hbsim.run` in the words of this command's options."""
    try:
        yield
    except ParameterError as error:
        rule = error.rule.replace("resume=True", "--resume")
        if error.field in constants:
            raise ParameterError("set_", f"{error.field}={error.value}", rule) from error
        name = NAMES.get(error.field, error.field)
        value = error.value
        if error.field == "resource":
            name = "num_gpus" if "GPU" in rule.partition(";")[0] or "num_gpus" in rule else "num_cpus"
            value = values.get(name)
        elif error.field == "space":
            name, value = "train", values.get("train")
            rule = "its search space is not the one that the study began with; go on with the same function"
        raise ParameterError(name, value, rule) from error
