"""``hbsim sweep``: many studies from a file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hbsim.cli.command import command_line, grouped, say
from hbsim.cli.fields import whole
from hbsim.cli.remote_options import REMOTE, RemoteOptions
from hbsim.cli.sweep_dry import dry
from hbsim.errors import ParameterError
from hbsim.terminal import print_out

if TYPE_CHECKING:
    from hbsim.bench import Remote
    from hbsim.bench.sweep import Counts, Store, Sweep

__all__ = ["sweep"]

# What results do not depend on.
NOT_TO_RUN: Final = ("dry_run", "as_json")
NOT_THE_SWEEP: Final = ("out", "force", "as_json", "jobs", "dry_run", "retry_failed", *REMOTE)


@grouped
def sweep(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE.toml", help="Variants, curves, clusters, seeds.")],
    *,
    out: Annotated[
        str | None, typer.Option("--out", metavar="DIR", help="Where results are, and go on from.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="DIR", help="Where relative paths of curves start (default: the file's)."
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        whole("--jobs", panel="Options", help="Processes (default: one a core). With --hosts: on each."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, and say how many cells there are and about how long.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run cells again that failed before.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what a sweep left in --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    dask: RemoteOptions,
) -> None:
    r"""Run variants on learning curves, clusters, numbers of workers and seeds, as a TOML file says.

    All is checked before anything runs. A cell that is finished is never run again: the same command goes on
    after Ctrl-C or a crash, and runs only what is new when the file has grown. A cell that fails is kept with
    its error, and the exit code is 1. docs/reference/sweep.md says what stands in the file.

    For example:
      hbsim sweep study.toml --dry-run
      hbsim sweep study.toml --out study
      hbsim report study --out study.html
    """
    from hbsim.bench.pool import default_jobs
    from hbsim.bench.sweep import read_sweep
    from hbsim.core.exact import whole as check_whole

    for field, path in (("out", out), ("data", data)):
        if path == "":
            raise ParameterError(field, path, "must name a folder")
    processes = None if jobs is None else check_whole("jobs", jobs, 1)
    remote = dask.remote(processes)
    if dry_run:
        made = read_sweep(file, data)
        processes = processes or default_jobs(len(made.grid.different))
        command = command_line(ctx, NOT_TO_RUN)
        command += f" --out {shlex.quote(Path(file).stem)}" if out is None else ""
        dry(made, None if out is None else Path(out), processes, retry_failed, force, as_json, command)
        return
    if out is None:
        raise ParameterError("out", None, "is needed: a folder for the results (or --dry-run)")
    made = read_sweep(file, data)
    _to_folder(
        made,
        Path(out),
        command_line(ctx, NOT_THE_SWEEP),
        processes or default_jobs(len(made.grid.different)),
        remote,
        retry_failed,
        force,
        as_json,
    )


def _to_folder(
    made: Sweep,
    out: Path,
    command: str,
    jobs: int,
    remote: Remote | None,
    is_retrying: bool,
    force: bool,
    as_json: bool,
) -> None:
    from hbsim.bench.sweep import open_folder, write_down

    with open_folder(out, made.plan, force) as store:
        for text in made.grid.warnings:
            say("warning", text)
        write_down(made, out, command)
        found = _run(made, store, jobs, remote, is_retrying)
        error = _first_error(made, store) if found.failed else ""
    _tell(made, found, error, out, as_json)
    if not found.is_complete:
        raise typer.Exit(1)


def _run(made: Sweep, store: Store, jobs: int, remote: Remote | None, is_retrying: bool) -> Counts:
    from hbsim.bench.sweep import counts, finish, run_cells, to_run
    from hbsim.cli.progress import progress

    done = [len(made.grid.different) - len(to_run(made, store, is_retrying))]

    def count(number: int) -> None:
        done[0] = number

    try:
        with progress(lambda: done[0], len(made.grid.different), "studies"):
            found = run_cells(made, store, jobs, remote, is_retrying, count, isolated=True)
            finish(made, store)
    except KeyboardInterrupt:
        there = counts(made, store)
        finished = there.done + there.failed
        say(
            "error",
            f"interrupted: {finished:,} of {there.cells:,} cells are finished; the same command goes on",
        )
        raise typer.Exit(1) from None
    return found


def _tell(made: Sweep, found: Counts, error: str, out: Path, as_json: bool) -> None:
    if found.failed:
        rest = f"{error}; --retry-failed runs them again"
        say("error", f"{found.failed:,} of {found.cells:,} cells failed: {rest}")
    if as_json:
        from hbsim.cli.output import print_json

        names = sorted(path.name for path in out.iterdir() if path.suffix in (".json", ".toml", ".parquet"))
        content = {"cells": found.cells, "done": found.done, "failed": found.failed, "before": found.before}
        print_json({**content, "out": str(out), "files": names})
        return
    new = found.done + found.failed - found.before
    print_out(f"{made.title}: {found.done:,} of {found.cells:,} cells are done; {new:,} were run now")
    print_out(f"hbsim report {out} --out report.html")


def _first_error(made: Sweep, store: Store) -> str:
    first = next(study for study in made.grid.studies if store.status[study.key] == "failed")
    error = store.tables([first.key])["cells"]["error"][0]
    return f"{first.of.variant.label} on {first.of.surrogate}, seed {first.seed}: {error}"
