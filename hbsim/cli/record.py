"""``hbsim record``: train random configurations for real, and keep their learning curves."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hbsim.errors import HbsimWarning

if TYPE_CHECKING:
    from hbsim.core.types import Mode
    from hbsim.executors.record import RecordProgress

__all__ = ["record"]


def record(
    train: Annotated[str, typer.Argument(metavar="FILE.py:NAME", help="The training function.")],
    trials: Annotated[int, typer.Option(help="How many random configurations.")],
    out: Annotated[Path, typer.Option(help="The Parquet file to write.")],
    seed: Annotated[int, typer.Option(help="Chooses the configurations and their seeds.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that train at the same time.")] = 1,
    threads: Annotated[int, typer.Option(help="Threads of numerical libraries in each.")] = 1,
    time_attr: Annotated[str, typer.Option(help="The reported name that measures the resource.")] = "epoch",
    metric: Annotated[str | None, typer.Option(help="The metric that decides, noted in the file.")] = None,
    mode: Annotated[str | None, typer.Option(help="max or min: what is better, with --metric.")] = None,
    test_metric: Annotated[str | None, typer.Option(help="The metric to judge a chosen trial by.")] = None,
    max_t: Annotated[float | None, typer.Option(help="End each trial at this resource.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Record the learning curves of a training function, for the simulator.

    Trains TRIALS random configurations of FILE.py:NAME, a function train_fn(args, reporter) decorated with
    @hbsim.args(...), each to its end. What is finished is kept: after an interruption the same command
    goes on from there.

    Example: hbsim record examples/digits_mlp.py:train_fn --trials 100 --workers 2 --metric val_error
    --mode min --out curves.parquet
    """
    from hbsim.executors.record import record as record_curves

    with _telling_how_to_go_on(out, trials), _progress() as (progress, last), warnings.catch_warnings():
        warnings.simplefilter("ignore", HbsimWarning)  # what it says is in the last line
        record_curves(
            train,
            trials,
            out,
            seed=seed,
            workers=workers,
            threads=threads,
            time_attr=time_attr,
            metric=metric,
            mode=cast("Mode | None", mode),
            test_metric=test_metric,
            max_t=max_t,
            force=force,
            progress=progress,
        )
    failed = last[-1].failed
    if as_json:
        typer.echo(json.dumps({"schema": 1, "out": str(out), "trials": trials, "failed": failed}))
    else:
        typer.echo(f"{out}: {trials} trials{_failures(failed)}")


def _failures(failed: int) -> str:
    return f", {failed} failed (their curves end early)" if failed else ""


@contextmanager
def _progress() -> Iterator[tuple[Callable[[RecordProgress], None], list[RecordProgress]]]:
    """Show a progress bar on stderr; give what moves it, and a list that holds the last state."""
    from rich import progress as bars
    from rich.console import Console

    last: list[RecordProgress] = []
    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("recording", total=None)

        def show(state: RecordProgress) -> None:
            last[:] = [state]
            words = f"recording, {state.failed} failed" if state.failed else "recording"
            bar.update(task, description=words, completed=state.finished, total=state.trials)

        yield show, last


@contextmanager
def _telling_how_to_go_on(out: Path, trials: int) -> Iterator[None]:
    from hbsim.executors.record_part import count_kept, part_path

    try:
        yield
    except KeyboardInterrupt:
        kept = f"stopped; {count_kept(part_path(out))} of {trials} trials are kept in {part_path(out)}"
        typer.echo(f"{kept}. The same command goes on from there.", err=True)
        raise typer.Exit(130) from None
