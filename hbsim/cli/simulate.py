"""The command ``hbsim simulate``: simulates one study."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hbsim.cli.command import command_line, say
from hbsim.cli.groups import (
    CLUSTER,
    CURVES,
    OUTPUT,
    SCHEDULER,
    STUDY,
    load_curves,
    make_cluster,
    search_options,
)
from hbsim.cli.options import Given, default_of
from hbsim.cli.output import output_folder, print_json, progress
from hbsim.errors import ParameterError

if TYPE_CHECKING:
    from hbsim.cli.study_output import Request
    from hbsim.core.scheduler import Scheduler
    from hbsim.simulation import Cluster, Result
    from hbsim.surrogates import Surrogate

COMMON: Final = (
    *("type", "max_t", "num_trials", "max_time", "surrogate"),
    *("workers", "cluster", "seed", "folder", "plot"),
)
PLOTS: Final = Path("hbsim-plots")  # the folder of plots without --folder


def simulate(
    ctx: typer.Context,
    *,
    scheduler: Annotated[Given, SCHEDULER],
    study: Annotated[Given, STUDY],
    curves: Annotated[Given, CURVES],
    cluster: Annotated[Given, CLUSTER],
    output: Annotated[Given, OUTPUT],
) -> None:
    r"""Simulate one study on learning curves and a simulated cluster.

    With `--folder` jobs, trials, decisions and incumbents are written as Parquet, beside a `summary.json`.
    The same command gives the same bytes.

    For example:
      hbsim simulate --scheduler promotion --num-trials 1000 --workers 32
      hbsim simulate --scheduler stopping --num-trials 500 --surrogate synthetic \
        --folder study --plot
    """
    from hbsim.cli.study_output import Request, as_json, notes, show
    from hbsim.core import make_scheduler

    explain = output.get("explain", [])
    folder = Path(output["folder"]) if "folder" in output else PLOTS if "plot" in output else None
    check_trials(explain, study.get("num_trials"))
    options = {"study": default_of(STUDY, study), "surrogate": default_of(CURVES, curves)}
    request = Request(command_line(ctx, OUTPUT.options), options)
    with _written(output, folder, request) as written:
        loaded = load_curves(curves)
        shared = {"num_trials": study.get("num_trials"), "seed": study.get("seed", 0), "mode": loaded.mode}
        made = make_scheduler(**{"max_t": loaded.max_resource, **scheduler, **shared})
        result = _simulate(made, loaded, study, make_cluster(cluster))
        if not result.interrupted:
            check_trials(explain, result.scheduler.started)
        written.append(result)
    explain = [trial for trial in explain if trial < result.scheduler.started]
    if output.get("as_json"):
        print_json(as_json(result, request, explain, folder))
    else:
        show(result, explain, folder)
    for kind, text in notes(result):
        say(kind, text)
    if result.interrupted:
        kept = f"in {folder}" if folder else "above"
        time = f"{result.end_time:.4g} simulated seconds"
        say("error", f"interrupted after {time}: what came until then is {kept}")
        raise typer.Exit(1)
    milestones = len(result.decisions)
    if milestones and result.incumbent().is_empty():
        metric = result.curves.surrogate.metric
        say("error", f"no trial has shown a number: {metric} was none at all {milestones:,} milestones")
        raise typer.Exit(1)


def check_trials(explain: Sequence[int], count: int | None) -> None:
    """Check that the trials to explain exist, or can exist."""
    for trial in explain:
        if trial < 0 or (count is not None and trial >= count):
            among = "at least 0" if count is None else f"one of the trials 0 ... {count - 1}"
            raise ParameterError("explain", trial, f"must be {among}")


def _simulate(scheduler: Scheduler, curves: Surrogate, study: Given, cluster: Cluster) -> Result:
    from hbsim.study.interrupts import Interrupted
    from hbsim.study.simulate import simulate

    options = {name: value for name, value in study.items() if name not in ("num_trials", "points")}
    options["search_options"] = search_options(study)
    try:
        with progress(lambda: scheduler.started, study.get("num_trials"), "trials started"):
            return simulate(scheduler, curves, cluster=cluster, **options)
    except Interrupted as interrupted:
        result: Result = interrupted.result
        return result


@contextmanager
def _written(output: Given, folder: Path | None, request: Request) -> Iterator[list[Result]]:
    """Check the folder before any work; at the end write the result that the caller puts into the list."""
    from hbsim.cli.study_output import write

    results: list[Result] = []
    if folder is None:
        yield results
        return
    # Without --folder plots go to a folder of their own, where they replace earlier ones.
    with output_folder(folder, "force" in output or "folder" not in output) as temporary:
        yield results
        with progress(lambda: len(os.listdir(temporary)), None, "files written"):
            if "folder" in output:
                write(results[0], request, temporary)
            if "plot" in output:
                from hbsim.bench.study_charts import plot_study

                plot_study(results[0], temporary)
