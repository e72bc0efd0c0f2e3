"""``hbsim record``: train random configurations for real, and keep their learning curves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hbsim.cli.command import say
from hbsim.terminal import print_out

if TYPE_CHECKING:
    from hbsim.core.types import Mode

__all__ = ["record"]


def record(
    train: Annotated[str, typer.Argument(metavar="FILE.py:NAME", help="The training function.")],
    trials: Annotated[int, typer.Option(help="How many random configurations.")],
    out: Annotated[Path, typer.Option(help="The Parquet file to write.")],
    seed: Annotated[int, typer.Option(help="Chooses the configurations and their seeds.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that train at the same time.")] = 1,
    threads: Annotated[int, typer.Option(help="Threads of numerical libraries in each.")] = 1,
    time_attr: Annotated[str, typer.Option(help="The reported name that measures the resource.")] = "epoch",
    metric: Annotated[
        str | None, typer.Option(help="The metric that decides, noted in the file (default: accuracy).")
    ] = None,
    mode: Annotated[
        str | None, typer.Option(help="max or min: what is better, with --metric (of accuracy: max).")
    ] = None,
    test_metric: Annotated[str | None, typer.Option(help="The metric to judge a chosen trial by.")] = None,
    max_t: Annotated[float | None, typer.Option(help="End each trial at this resource.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Record the learning curves of a training function, for the simulator.

    Trains random configurations of a function train_fn(args, reporter) decorated with @hbsim.args(...), each
    to its end. What has ended is kept at once: after an interruption the same command goes on from there.

    For example:
      hbsim record examples/digits_mlp.py:train_fn --trials 100 --workers 2 --out curves.parquet
      hbsim record train.py:train_fn --trials 50 --max-t 27 --metric val_error --mode min --out curves.parquet
    """
    from hbsim.cli.progress import progress
    from hbsim.executors.record import RecordProgress
    from hbsim.executors.record import record as record_curves

    state = RecordProgress(trials, 0, 0)

    def note(now: RecordProgress) -> None:
        nonlocal state
        state = now

    with _telling_how_to_go_on(out, trials), progress(lambda: state.finished, trials, "trials recorded"):
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
            progress=note,
        )
    _say_what_there_is(out, state.failed, trials, as_json)


def _say_what_there_is(out: Path, failed: int, trials: int, as_json: bool) -> None:
    import polars as pl

    from hbsim.cli.output import print_json

    if as_json:
        print_json({"out": str(out), "trials": trials, "failed": failed})
    else:
        print_out(f"{out}: {trials} trials" + (f", {failed} failed" if failed else ""))
    said = pl.read_parquet_metadata(out)
    if missing := [f"--{name}" for name in ("metric", "mode") if f"hbsim.{name}" not in said]:
        say("note", f"{out} does not say what decides: to read it takes {' and '.join(missing)}")


@contextmanager
def _telling_how_to_go_on(out: Path, trials: int) -> Iterator[None]:
    from hbsim.executors.record_part import count_kept, part_path

    try:
        yield
    except KeyboardInterrupt:
        part = part_path(out)
        kept = f"{count_kept(part)} of {trials} trials are kept in {part}"
        say("error", f"interrupted: {kept}; the same command goes on from there")
        raise typer.Exit(1) from None
