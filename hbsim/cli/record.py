"""``hbsim record``: train random configurations for real, and keep their learning curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer

from hbsim.cli.command import grouped, say
from hbsim.cli.fields import flag, number, whole, word
from hbsim.cli.run import end_interrupted, finished, in_options
from hbsim.cli.run_local_options import FUNCTION, RunLocalOptions
from hbsim.cli.run_options import check_words
from hbsim.cli.run_plan import Asked, earlier, is_given, new_plan, resumed_plan
from hbsim.terminal import print_out

if TYPE_CHECKING:
    from hbsim.core.types import Mode
    from hbsim.study.result import RunResult

__all__ = ["record"]

RECORDING: Final = "Recording"


@grouped
def record(
    ctx: typer.Context,
    *,
    train: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE.py:NAME", rich_help_panel=FUNCTION, help="Needed, unless with --resume or --from."
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", rich_help_panel=RECORDING, help="The file to write: .parquet or .csv.")
    ],
    trials: Annotated[
        int | None,
        whole(
            "--trials", panel=RECORDING, help="How many random configurations. More with --resume: it grows."
        ),
    ] = None,
    max_t: Annotated[
        float | None,
        number(
            "--max-t", panel=RECORDING, help="End each trial at this resource (default: when it returns)."
        ),
    ] = None,
    seed: Annotated[
        int, whole("--seed", panel=RECORDING, help="Chooses the configurations and their seeds.")
    ] = 0,
    workers: Annotated[
        int | None,
        whole(
            "--workers",
            panel=RECORDING,
            help="How many trials run at the same time (default: as many as fit).",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        word(
            "--metric",
            panel=FUNCTION,
            metavar="NAME",
            help="The metric that decides, noted in the file (default: accuracy, if it is reported).",
        ),
    ] = None,
    mode: Annotated[
        str | None,
        word("--mode", panel=FUNCTION, metavar="max|min", help="What is better, with --metric."),
    ] = None,
    test_metric: Annotated[
        str | None,
        word("--test-metric", panel=FUNCTION, metavar="NAME", help="The metric to judge a chosen trial by."),
    ] = None,
    local: RunLocalOptions,
    study: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="DIR",
            rich_help_panel=RECORDING,
            help="Train nothing: write the curves of this study.",
        ),
    ] = None,
    force: Annotated[
        bool, flag("--force", panel=RECORDING, help="Begin anew: replace the file and its study.")
    ] = False,
    as_json: Annotated[bool, flag("--json", panel=RECORDING, help="Print one JSON object.")] = False,
) -> None:
    """Record the learning curves of a training function, for the simulator.

    Trains random configurations of a function train_fn(args, reporter) decorated with @hbsim.args(...), each
    to its end: a study of `hbsim run` with the scheduler fifo, which is kept in the folder OUT.study. After
    Ctrl-C, a crash or a power cut, --resume goes on from there; with more --trials it grows.

    For example:
      hbsim record examples/digits_mlp.py:train_fn --trials 100 --workers 2 --out curves.parquet
      hbsim record train.py:train_fn --trials 50 --max-t 27 --metric val_error --mode min --out curves.parquet
      hbsim record --resume --trials 1000 --out curves.parquet
      hbsim record --from exp --out curves.parquet
    """
    from hbsim.study.options import check_metric
    from hbsim.study.record import finish, study_folder

    if study is not None:
        result = _exported(ctx, study, out, metric, cast("Mode | None", mode), test_metric, force)
    else:
        if not local.go_on:
            check_metric(metric, mode)
        result, test_metric = _recorded(ctx, local, out, force)
        finish(result, out, test_metric)
    _say_what_there_is(result, study or study_folder(out), out, as_json)


def _exported(
    ctx: typer.Context,
    study: Path,
    out: Path,
    metric: str | None,
    mode: Mode | None,
    test_metric: str | None,
    force: bool,
) -> RunResult:
    """Write the curves of a study that was run."""
    from hbsim.errors import ParameterError
    from hbsim.study.folder import StudyFolder
    from hbsim.study.result import load

    taken = ("study", "out", "metric", "mode", "test_metric", "force", "as_json")
    for name in ctx.params:
        if name not in taken and is_given(ctx, name):
            raise ParameterError(name, ctx.params[name], "is of no use with --from, which trains nothing")
    if not StudyFolder(study).holds_study:
        raise ParameterError("study", str(study), "holds no study: it has no journal.jsonl")
    result = load(study)
    result.export(out, metric, mode, test_metric, force)
    return result


def _recorded(
    ctx: typer.Context, local: RunLocalOptions, out: Path, force: bool
) -> tuple[RunResult, str | None]:
    """Run the study to its end; return it, and the metric to judge a trial by."""
    from hbsim.cli.run_report import resume_command
    from hbsim.study.folder import StudyFolder
    from hbsim.study.record import prepare

    values: dict[str, Any] = {name: value for name, value in ctx.params.items() if is_given(ctx, name)}
    check_words(values)
    scheduler = {"type": "fifo", **{name: values[name] for name in ("max_t",) if name in values}}
    to_go_on = resume_command(out, "record")
    with in_options(values, {}):
        if local.go_on:
            folder = prepare(out, True, force)
            StudyFolder(folder).check(True)
            plan = resumed_plan(Asked(ctx, scheduler, values), StudyFolder(folder))
        else:
            if "trials" not in values:
                ctx.fail("Missing option '--trials'.")
            plan = new_plan(Asked(ctx, scheduler, {"metric": None, **values}))
            folder = prepare(out, False, force)
    with in_options(values, plan.options["args"]):
        result = finished(plan, folder, local.progress, to_go_on)
    end_interrupted(result, to_go_on)
    return result, values.get("test_metric", earlier(ctx, StudyFolder(folder)).get("test_metric"))


def _say_what_there_is(result: RunResult, folder: Path, out: Path, as_json: bool) -> None:
    import polars as pl

    from hbsim.cli.output import print_json

    summary = result.summary()
    trials, failed = cast(int, summary["trials"]), cast(int, summary["failed"])
    if as_json:
        print_json({"out": str(out), "trials": trials, "failed": failed, "study": str(folder)})
    else:
        print_out(f"{out}: {trials} trials" + (f", {failed} failed" if failed else ""))
    if out.suffix == ".parquet":
        said = pl.read_parquet_metadata(out)
        if missing := [f"--{name}" for name in ("metric", "mode") if f"hbsim.{name}" not in said]:
            say("note", f"{out} does not say what decides: to read it takes {' and '.join(missing)}")
