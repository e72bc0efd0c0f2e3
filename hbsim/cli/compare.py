"""``hbsim compare``: variants against each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hbsim.cli.command import command_line, grouped, say
from hbsim.cli.compare_curves import loader
from hbsim.cli.compare_options import GridOptions, SearchOptions, SharedOptions
from hbsim.cli.options import ClusterOptions, FileOptions, SurrogateName
from hbsim.cli.remote_options import REMOTE, RemoteOptions
from hbsim.cli.search_options import search_options

if TYPE_CHECKING:
    from hbsim.bench import Comparison, Plan, Remote
    from hbsim.surrogates import Surrogate

__all__ = ["compare"]

NOT_THE_COMPARISON: Final = ("out", "force", "as_json", "jobs", *REMOTE)


@grouped
def compare(
    ctx: typer.Context,
    *,
    shared: SharedOptions,
    search: SearchOptions,
    grid: GridOptions,
    surrogate: SurrogateName = "digits",
    files: FileOptions,
    cluster: ClusterOptions,
    dask: RemoteOptions,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write the table, curves and a picture here.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace earlier results in --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    r"""Compare variants of schedulers, over seeds, at equal simulated time and at equal resource.

    Every variant runs with the same seeds, which give trial i the same configuration, curve and luck; not the
    same configuration where searchers learn, or differ. The incumbent, the best value so far at any level, is
    scored by what it shows at R.

    For example:
      hbsim compare --variant stopping --variant promotion --vary brackets=1,3 --trials 500 --max-time 300 \
        --surrogate synthetic
      hbsim compare --variant promotion --vary searcher=random,sobol,gp --trials 100 --surrogate synthetic
      hbsim compare --variant promotion --variant fifo --vary reduction_factor=2,3,4 --max-t 81 --trials 500 \
        --surrogate digits --workers 32 --seeds 20 --out comparison
    """
    from hbsim.cli.compare_report import show, write
    from hbsim.cli.output import print_json

    request: dict[str, object] = {"command": command_line(ctx, NOT_THE_COMPARISON)}
    remote = dask.remote(grid.jobs)
    with _folder(out, force) as folder:
        curves = files.load(surrogate)
        load, remote = loader(surrogate, files, curves, remote)
        plan = _plan(shared, search, grid, load, cluster, curves)
        request["cluster"] = plan.cluster.as_dict()
        comparison = _run(plan, curves, grid.jobs, remote)
        if folder is not None:
            write(comparison, request, folder)
    if as_json:
        print_json(_document(comparison, request, out))
    else:
        show(comparison, out)
    if not comparison.complete:
        finished, planned = len(comparison.seeds), len(plan.seeds)
        say("error", f"interrupted: the results are of the {finished} of {planned} seeds that were finished")
        raise typer.Exit(1)


@contextmanager
def _folder(out: Path | None, force: bool) -> Iterator[Path | None]:
    """Check the folder before any work; give where to write, None if there is none."""
    from hbsim.cli.output import output_folder

    if out is None:
        yield None
        return
    with output_folder(out, force) as temporary:
        yield temporary


def _plan(
    shared: SharedOptions,
    search: SearchOptions,
    grid: GridOptions,
    load: Callable[[], Surrogate],
    cluster: ClusterOptions,
    curves: Surrogate,
) -> Plan:
    from hbsim.bench import Plan, make_variants
    from hbsim.bench.located import located

    options = asdict(shared)
    variants, vary = options.pop("variant"), options.pop("vary") or []
    found = search_options(search.search_option, search.points)
    if isinstance(constraint := found.get("constraints"), str):
        found["constraints"] = located(constraint, os.getcwd())  # for processes elsewhere
    if options["max_t"] is None:
        top = curves.max_resource
        options["max_t"] = int(top) if top == int(top) else top
    return Plan(
        make_variants(variants, vary, {**options, "num_trials": grid.trials}, search.searcher, found),
        load,
        range(grid.seed, grid.seed + grid.seeds),
        cluster.make(),
        grid.max_time,
        grid.replace,
    )


def _run(plan: Plan, curves: Surrogate, jobs: int | None, remote: Remote | None) -> Comparison:
    """Check, warn and run, with a progress bar; the slow parts of the statistics are done then too."""
    from hbsim.bench.compare import run
    from hbsim.cli.progress import progress

    for text in plan.check(curves):
        say("warning", text)
    done = [0]
    with progress(lambda: done[0], len(plan.cells), "studies"):
        try:
            comparison = run(plan, curves, jobs, partial(done.__setitem__, 0), remote)
        except BrokenExecutor as error:
            text = f"a study cannot be run: {error}, though no other ran beside it"
            say("error", f"{text}; for want of memory perhaps")
            raise typer.Exit(1) from None
        comparison.table  # noqa: B018 - cached
    return comparison


def _document(comparison: Comparison, request: dict[str, object], out: Path | None) -> dict[str, object]:
    from hbsim.bench.document import as_dict

    names = [] if out is None else sorted(path.name for path in out.iterdir())
    return {**request, **as_dict(comparison), "out": None if out is None else str(out), "files": names}
