"""``hbsim sweep``: many studies from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hbsim.cli.command import command_line, say
from hbsim.cli.fields import whole

if TYPE_CHECKING:
    from hbsim.bench.sweep import Counts, Store, Sweep

__all__ = ["sweep"]

NOT_THE_SWEEP: Final = ("force", "as_json", "jobs", "dry_run", "retry_failed", "scheduler_address")


def sweep(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE.toml", help="Variants, curves, clusters, seeds.")],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where results are, and go on from.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="DIR", help="Where relative paths of curves start (default: the file's)."
        ),
    ] = None,
    jobs: Annotated[
        int | None, whole("--jobs", panel="Options", help="Processes; 1 starts none (default: one a core).")
    ] = None,
    scheduler_address: Annotated[
        str | None,
        typer.Option("--scheduler-address", metavar="ADDRESS", help="Of a Dask cluster that runs the cells."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, and say how many cells there are and about how long.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run cells again that failed before.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what a sweep left in --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    r"""Run variants on learning curves, clusters, numbers of workers and seeds, as a TOML file says.

    All is checked before anything runs. A cell that is finished is never run again: the same command goes on
    after Ctrl-C or a crash, and runs only what is new when the file has grown. A cell that fails is kept with
    its error, and the exit code is 1. docs/sweep.md says what stands in the file.

    For example:
      hbsim sweep study.toml --dry-run
      hbsim sweep study.toml --out study
      hbsim report study --out study.html
    """
    from hbsim.bench.sweep import open_folder, read_sweep, write_down

    made = read_sweep(file, data)
    for text in made.grid.warnings:
        say("warning", text)
    if dry_run:
        _dry_run(made, out, jobs, as_json)
        return
    if out is None:
        from hbsim.errors import ParameterError

        raise ParameterError("out", None, "is needed: a folder for the results (or --dry-run)")
    with open_folder(out, made.plan, force) as store:
        write_down(made, out, command_line(ctx, NOT_THE_SWEEP))
        counts = _run(made, store, jobs, scheduler_address, retry_failed)
    _tell(made, counts, out, as_json)
    if not counts.is_complete:
        raise typer.Exit(1)


def _run(made: Sweep, store: Store, jobs: int | None, address: str | None, is_retrying: bool) -> Counts:
    from hbsim.bench.pool import default_jobs
    from hbsim.bench.sweep import counts, finish, run_cells
    from hbsim.cli.progress import progress
    from hbsim.core.exact import whole as check_whole

    cells = len(made.grid.studies)
    processes = default_jobs(cells) if jobs is None else check_whole("jobs", jobs, 1)
    done = [0]

    def count(number: int) -> None:
        done[0] = number

    try:
        with progress(lambda: done[0], cells, "cells"):
            found = run_cells(made, store, processes, address, is_retrying, count)
            finish(made, store)
    except KeyboardInterrupt:
        there = counts(made, store)
        finished = there.done + there.failed
        say("error", f"interrupted: {finished:,} of {cells:,} cells are finished; the same command goes on")
        raise typer.Exit(1) from None
    return found


def _dry_run(made: Sweep, out: Path | None, jobs: int | None, as_json: bool) -> None:
    from hbsim.bench.pool import default_jobs
    from hbsim.bench.sweep import estimate, look_into
    from hbsim.cli.output import print_json

    grid = made.grid
    found = estimate(made, None if out is None else look_into(out))
    processes = default_jobs(len(grid.studies)) if jobs is None else jobs
    seconds = found.seconds / max(1, min(processes, found.cells))
    if as_json:
        content = {"cells": len(grid.studies), "left": found.cells, "tasks": len(grid.tasks)}
        print_json({**content, "variants": len(grid.variants), "seconds": seconds, "jobs": processes})
        return
    from hbsim.bench.tables import duration

    typer.echo(
        f"{made.title}: {len(grid.studies):,} cells: {len(grid.variants)} variants on {len(grid.tasks)} tasks"
    )
    if found.cells < len(grid.studies):
        typer.echo(f"{len(grid.studies) - found.cells:,} are finished or shared, {found.cells:,} are left")
    if found.tried:
        each = f"one took {duration(found.least)} to {duration(found.most)}"
        typer.echo(f"about {duration(seconds)} on {processes} processes ({found.tried} cells tell; {each})")


def _tell(made: Sweep, counts: Counts, out: Path, as_json: bool) -> None:
    from hbsim.cli.output import print_json

    if counts.failed:
        say(
            "error",
            f"{counts.failed:,} of {counts.cells:,} cells failed: {_first_error(out)}; --retry-failed",
        )
    if as_json:
        names = sorted(path.name for path in out.iterdir() if path.name != "lock")
        content = {"cells": counts.cells, "done": counts.done, "failed": counts.failed}
        print_json({**content, "before": counts.before, "out": str(out), "files": names})
        return
    new = counts.done + counts.failed - counts.before
    typer.echo(
        f"{made.title}: {counts.done:,} of {counts.cells:,} cells are done, {max(0, new):,} of them now"
    )
    typer.echo(f"{out}: hbsim report {out} --out report.html")


def _first_error(out: Path) -> str:
    from hbsim.bench.sweep import read_table

    cells = read_table(out / "cells.parquet")
    first = cells.filter(cells["status"] == "failed").row(0, named=True)
    return f"{first['variant']} on {first['surrogate']}, seed {first['seed']}: {first['error']}"
