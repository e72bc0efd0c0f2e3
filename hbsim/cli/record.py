"""The command ``hbsim record``: trains random configurations for real, and records their learning curves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hbsim.cli.command import PageCommand, is_given, say
from hbsim.cli.options import Given, group
from hbsim.cli.output import print_json
from hbsim.cli.real_study import (
    REAL,
    earlier_options,
    end_interrupted,
    new_study,
    option_errors,
    resumed_study,
    run_to_end,
)
from hbsim.cli.script import SCRIPT
from hbsim.cli.study_output import resume_command
from hbsim.errors import ParameterError
from hbsim.options import option
from hbsim.study.folder import StudyFolder
from hbsim.study.options import RecordOptions, RunOptions, check_metric
from hbsim.terminal import print_out

if TYPE_CHECKING:
    from hbsim.study.result import RunResult


@dataclass(frozen=True)
class ExportOptions:
    """The options that `hbsim.record` does not have."""

    study: str | None = option(
        None, metavar="DIR", flags=("--from",), help="Write the curves of this study, and train nothing."
    )
    as_json: bool = option(False, takes="flag", flags=("--json",), help="Print one JSON object.")


RECORDING: Final = group(
    "Options",
    RunOptions,
    RecordOptions,
    ExportOptions,
    only=(
        *("out", "num_trials", "max_t", "seed", "workers", "metric", "mode", "test_metric"),
        *("study", "force", "as_json"),
    ),
    num_trials={
        "default": None,
        "help": "How many random configurations are trained; more with --resume.",
    },
    seed={"help": "Seed of the configurations and trials (default: 0)."},
    mode={"help": "Whether a higher or a lower value is better; needed with --metric."},
    as_json={"panel": "Output"},
)
COMMAND: Final = PageCommand
COMMON: Final = (
    *("out", "num_trials", "max_t", "metric", "mode"),
    *("workers", "num_gpus", "resume", "study", "force"),
)
# Options that can be used without training.
OF_EXPORTS: Final = ("study", "out", "metric", "mode", "test_metric", "force", "as_json")


def record(
    ctx: typer.Context,
    *,
    train: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE.py:NAME",
            help="The training function; not with --command, --resume or --from.",
        ),
    ] = None,
    script: Annotated[Given, SCRIPT],
    recording: Annotated[Given, RECORDING],
    real: Annotated[Given, REAL],
) -> None:
    """Record the learning curves of a training function, for the simulator.

    It trains random configurations, each to its end, in a study with the scheduler `fifo` and the folder
    `OUT.study`. After Ctrl-C, a crash or a power cut `--resume` goes on from there. With more `--num-trials`
    the recording grows.

    For example:
      hbsim record train.py:train_fn --num-trials 20 --out curves.parquet
      hbsim record --from exp --out study.parquet
    """
    from hbsim.study.record import finish, study_folder

    out = Path(recording["out"])
    if "study" in recording:
        folder = Path(recording["study"])
        result = _export(ctx, recording, folder, out)
    else:
        folder = study_folder(out)
        values = {**script, **recording, **real, **({"train": train} if is_given(ctx, "train") else {})}
        result, test_metric = _record(ctx, values, out)
        finish(result, out, test_metric)
    _show(result, folder, out, "as_json" in recording)


def _export(ctx: typer.Context, recording: Given, folder: Path, out: Path) -> RunResult:
    """Write the learning curves of a finished or interrupted study."""
    from hbsim.study.result import load

    for name in ctx.params:
        if name not in OF_EXPORTS and is_given(ctx, name):
            raise ParameterError(name, ctx.params[name], "is of no use with --from, which trains nothing")
    StudyFolder(folder).check_holds_study("study")
    result = load(folder)
    names = ("metric", "mode", "test_metric", "force")
    result.export(out, **{name: recording[name] for name in names if name in recording})
    return result


def _record(ctx: typer.Context, values: Given, out: Path) -> tuple[RunResult, str | None]:
    """Run the study to its end; return its result, and the metric by which trials are compared."""
    from hbsim.study.record import prepare

    scheduler: dict[str, Any] = {"type": "fifo"}
    if "max_t" in values:
        scheduler["max_t"] = values["max_t"]
    to_go_on, resumes, force = resume_command(out, "record", "--out"), "resume" in values, "force" in values
    if not resumes:
        check_metric(values.get("metric"), values.get("mode"))
    with option_errors(values, {}):
        if resumes:
            folder = StudyFolder(prepare(out, True, force))
            folder.check(True, "out")
            study = resumed_study(ctx, scheduler, values, folder)
        else:
            if "num_trials" not in values:
                ctx.fail("Missing option '--num-trials'.")
            study = new_study(ctx, scheduler, {"metric": None, **values})
            folder = StudyFolder(prepare(out, False, force))
    with option_errors(values, study["args"]):
        result = run_to_end(study, folder.path, to_go_on)
    end_interrupted(result, to_go_on)
    return result, values.get("test_metric", earlier_options(ctx, folder).get("test_metric"))


def _show(result: RunResult, folder: Path, out: Path, as_json: bool) -> None:
    import polars as pl

    summary = result.summary()
    trials, failed = summary["trials"], summary["failed"]
    if as_json:
        print_json({"out": str(out), "trials": trials, "failed": failed, "study": str(folder)})
    else:
        print_out(f"{out}: {trials} trials" + (f", {failed} failed" if failed else ""))
    if out.suffix == ".parquet":
        known = pl.read_parquet_metadata(out)
        if missing := [f"--{name}" for name in ("metric", "mode") if f"hbsim.{name}" not in known]:
            say("note", f"{out} does not say what decides: to read it takes {' and '.join(missing)}")
