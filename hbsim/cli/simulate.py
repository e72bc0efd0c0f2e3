"""``hbsim simulate``: one study."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hbsim.cli.command import command_line, grouped, say
from hbsim.cli.fields import parse_whole
from hbsim.cli.study_options import ClusterOptions, FileOptions, SchedulerOptions, StudyOptions, SurrogateName
from hbsim.errors import ParameterError

if TYPE_CHECKING:
    from hbsim.cli.show_study import Request
    from hbsim.core.scheduler import Scheduler
    from hbsim.simulation import Cluster, Result
    from hbsim.surrogates import Surrogate

__all__ = ["simulate"]

PLOTS: Final = Path("hbsim-plots")  # where pictures go without --out


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """What is told of a study, and where it is written."""

    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write tables and a summary here.")
    ] = None
    plot: Annotated[
        bool, typer.Option("--plot", help="Draw the study: PNG files in --out, or in ./hbsim-plots.")
    ] = False
    force: Annotated[bool, typer.Option("--force", help="Replace earlier results in --out.")] = False
    explain: Annotated[
        list[int] | None,
        typer.Option(
            "--explain", parser=parse_whole, metavar="TRIAL", help="Say why it stopped, paused or went on."
        ),
    ] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False

    @property
    def folder(self) -> Path | None:
        """Where files go; None if there are none."""
        return self.out or (PLOTS if self.plot else None)


@grouped
def simulate(
    ctx: typer.Context,
    *,
    scheduler: SchedulerOptions,
    study: StudyOptions,
    surrogate: SurrogateName = "digits",
    files: FileOptions,
    cluster: ClusterOptions,
    output: OutputOptions,
) -> None:
    r"""Simulate one study, and say what came of it.

    With --out, its jobs, trials, decisions and incumbents are written as Parquet, beside a summary.json: the
    same command gives the same bytes.

    For example:
      hbsim simulate --scheduler promotion --max-t 81 --eta 3 --brackets 3 --trials 1000
      hbsim simulate --scheduler stopping --trials 500 --surrogate synthetic --explain 17
      hbsim simulate --scheduler promotion --trials 300 --surrogate synthetic --workers 8 --startup 5 \
        --save 2 --load 2 --out study --plot
    """
    from hbsim.cli.hints import notes_of, warnings_of
    from hbsim.cli.output import print_json
    from hbsim.cli.show_study import Request, as_json, show

    asked = output.explain or []
    check_trials(asked, study.trials)
    options = {"study": asdict(study), "surrogate": {"surrogate": surrogate, **asdict(files)}}
    request = Request(command_line(ctx, {field.name for field in fields(output)}), options)
    with _written(output, request) as written:
        curves = files.load(surrogate)
        made = scheduler.make(curves, study.trials, study.seed)
        result = _simulate(made, curves, study, cluster.make())
        if not result.interrupted:
            check_trials(asked, result.scheduler.started)
        written.append(result)
    asked = [trial for trial in asked if trial < result.scheduler.started]
    if output.as_json:
        print_json(as_json(result, request, asked, output.folder))
    else:
        show(result, asked, output.folder)
    for text in warnings_of(result):
        say("warning", text)
    for text in notes_of(result):
        say("note", text)
    if result.interrupted:
        kept = f"in {output.folder}" if output.folder else "above"
        say(
            "error",
            f"interrupted after {result.end_time:.4g} simulated seconds: what came until then is {kept}",
        )
        raise typer.Exit(1)
    milestones = len(result.decisions)
    if milestones and result.incumbent().is_empty():
        metric = result.curves.surrogate.metric
        say("error", f"no trial has shown a number: {metric} was none at all {milestones:,} milestones")
        raise typer.Exit(1)


def check_trials(asked: list[int], count: int | None) -> None:
    for trial in asked:
        if trial < 0 or (count is not None and trial >= count):
            among = "at least 0" if count is None else f"one of the trials 0 ... {count - 1}"
            raise ParameterError("explain", trial, f"must be {among}")


def _simulate(scheduler: Scheduler, curves: Surrogate, study: StudyOptions, cluster: Cluster) -> Result:
    from hbsim.cli.progress import progress
    from hbsim.study.simulate import Interrupted, simulate

    try:
        with progress(lambda: scheduler.started, study.trials, "trials started"):
            return simulate(
                scheduler,
                curves,
                seed=study.seed,
                cluster=cluster,
                searcher=study.searcher,
                max_time=study.max_time,
                max_reward=study.max_reward,
                replace=study.replace,
                search_options=study.search_options(),
            )
    except Interrupted as interrupted:
        result: Result = interrupted.result
        return result


@contextmanager
def _written(output: OutputOptions, request: Request) -> Iterator[list[Result]]:
    """Check the folder before any work; then write what is put into the list."""
    from hbsim.cli.output import output_folder
    from hbsim.cli.progress import progress
    from hbsim.cli.show_study import write

    results: list[Result] = []
    if output.folder is None:
        yield results
        return
    # Plots without --out have a folder of their own, where the last ones are replaced.
    with output_folder(output.folder, output.force or output.out is None) as temporary:
        yield results
        with progress(lambda: len(os.listdir(temporary)), None, "files written"):
            if output.out is not None:
                write(results[0], request, temporary)
            if output.plot:
                from hbsim.bench.study_charts import plot_study

                plot_study(results[0], temporary)
