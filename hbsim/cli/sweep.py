"""The command ``hbsim sweep``: runs the studies of a file; also runs the plan of ``hbsim compare``."""

from __future__ import annotations

import shlex
import warnings
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hbsim.cli.command import INTERRUPTED, command_line, say
from hbsim.cli.groups import MACHINES, machines_of
from hbsim.cli.options import Given, group
from hbsim.cli.output import duration, print_json, progress, wide_console
from hbsim.core.numbers import whole
from hbsim.errors import HbsimWarning, ParameterError
from hbsim.executors.remote.options import Dask, Hosts
from hbsim.options import option
from hbsim.terminal import print_out

if TYPE_CHECKING:
    from hbsim.bench.remote import Remote
    from hbsim.bench.report.model import SweepReport
    from hbsim.bench.sweep.cell import CellStudy
    from hbsim.bench.sweep.plan import SweepPlan
    from hbsim.bench.sweep.run import Counts, Estimate

COMMON: Final = (
    "folder",
    "data",
    "jobs",
    "dry_run",
    "confirm",
    "matters",
    "retry_failed",
    "force",
    "as_json",
)
MATTERS: Final = "The smallest difference that matters to you: 0.005, or 10%."
WIDTH: Final = 100  # columns, where stdout is no terminal


@dataclass(frozen=True)
class TrustOptions:
    """The option to trust a network without TLS."""

    insecure: bool = option(
        False,
        takes="flag",
        help="Trust a tcp:// address, although everybody in the network can then run code here.",
        panel="Dask cluster",
    )


@dataclass(frozen=True)
class ResultOptions:
    """The options for running a plan, and for its results."""

    folder: str | None = option(
        None,
        metavar="DIR",
        flags=("--folder", "--out"),
        help="The folder of the results; the same command goes on with it.",
    )
    jobs: int | None = option(
        None, takes="whole", help="Processes, on each host with --hosts (default: one per core)."
    )
    confirm: int | None = option(None, takes="whole", help="Judge the best again, on so many new seeds.")
    matters: str | None = option(None, metavar="X", help=MATTERS)
    dry_run: bool = option(
        False, takes="flag", help="Only check, and say how many cells there are and how long they take."
    )
    retry_failed: bool = option(False, takes="flag", help="Run failed cells again.")
    force: bool = option(False, takes="flag", help="Replace the results of another sweep in the folder.")
    as_json: bool = option(False, takes="flag", flags=("--json",), help="Print one JSON object.")


SWEEP_MACHINES: Final = group("Hosts by SSH", Hosts, Dask, TrustOptions, only=(*MACHINES.options, "insecure"))
RESULTS: Final = group("Output", ResultOptions)
NOT_TO_RUN: Final = ("dry_run", "as_json")
# Options that do not affect results, and that are left out of the command to enter again.
NOT_THE_PLAN: Final = (
    *("folder", "force", "as_json", "jobs", "dry_run", "retry_failed", "matters"),
    *SWEEP_MACHINES.options,
)


def sweep(
    ctx: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="FILE.toml", help="A file with variants, curves, clusters and seeds.")
    ],
    *,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="DIR", help="The folder of the curves' files (default: that of FILE.toml)."
        ),
    ] = None,
    machines: Annotated[Given, SWEEP_MACHINES],
    results: Annotated[Given, RESULTS],
) -> None:
    """Run many simulated studies as a TOML file says: variants, curves, clusters, workers, seeds.

    Everything is checked before anything runs. A finished cell is never run again: the same command goes on
    after Ctrl-C or a crash, and runs only what is new when the file has grown. A failed cell is kept with its
    error, and the exit code is 1.

    For example:
      hbsim sweep sweep.toml --dry-run
      hbsim sweep sweep.toml --folder sweep
    """
    from hbsim.bench.sweep.plan import read_sweep

    if data == "":
        raise ParameterError("data", data, "must name a folder")
    remote = check_results(results, machines)
    carry_out(ctx, read_sweep(file, data), results, remote, is_shown=False)


def check_results(results: Given, machines: Given) -> Remote | None:
    """Check the options for running a plan; return the machines that run it, None for this machine.

    Raises
    ------
    ParameterError
        One of the options breaks its rule.
    """
    from hbsim.bench.remote import Remote
    from hbsim.bench.report.build import smallest_difference

    if results.get("folder") == "":
        raise ParameterError("folder", "", "must name a folder")
    for name in ("jobs", "confirm"):
        if name in results:
            whole(name, results[name], 1)
    if "matters" in results:
        smallest_difference(results["matters"])
    insecure = "insecure" in machines
    options = {name: value for name, value in machines.items() if name != "insecure"}
    if options:
        return Remote(machines_of(options), insecure, results.get("jobs"), say=partial(say, "note"))
    if insecure:
        raise ParameterError("insecure", True, "is for --scheduler-address")
    return None


def carry_out(
    ctx: typer.Context, plan: SweepPlan, results: Given, remote: Remote | None, is_shown: bool
) -> None:
    """Run a plan, and print its results.

    Parameters
    ----------
    ctx : Context
        The command's context.
    plan : SweepPlan
        The plan.
    results : mapping
        The given options of `RESULTS`.
    remote : Remote, optional
        The result of `check_results`.
    is_shown : bool
        Whether the ranking is printed, and the results may be dropped afterwards.

    Raises
    ------
    typer.Exit
        With code 1: cells failed, or the plan was interrupted; 75 if it goes on where it was.
    """
    from hbsim.bench.comparison import confirmation
    from hbsim.bench.pool import default_jobs
    from hbsim.bench.sweep.run import counts
    from hbsim.bench.sweep.store import SweepStore

    jobs = results.get("jobs") or default_jobs(len(plan.different))
    if "dry_run" in results:
        _dry_run(ctx, plan, results, jobs)
        return
    if "folder" not in results and not is_shown:
        raise ParameterError("folder", None, "is needed: a folder for the results (or --dry-run)")
    command = command_line(ctx, NOT_THE_PLAN)
    how = (command, jobs, remote, "retry_failed" in results, not is_shown, "folder" in results)
    problems: list[str] = []
    with ExitStack() as stack:
        out = Path(results.get("folder") or stack.enter_context(TemporaryDirectory(prefix="hbsim-")))
        found = _run(plan, out, "force" in results, how, problems)
        is_interrupted = found is None
        confirm = results.get("confirm", plan.source.table.confirm)
        if found is not None and confirm is not None:
            fresh = confirmation(plan, out, confirm)
            is_interrupted = fresh is not None and _run(*fresh, False, how, problems) is None
        found = found or counts(plan, SweepStore(out))
        _show_outcome(plan, out, found, command, results, is_shown, is_interrupted)
    for text in problems:
        say("error", text)
    if problems:
        raise typer.Exit(INTERRUPTED if is_interrupted and "folder" in results else 1)


def _run(
    plan: SweepPlan, folder: Path, force: bool, how: tuple[Any, ...], problems: list[str]
) -> Counts | None:
    """Run a plan, and add errors to `problems`; return None if the plan was interrupted."""
    from hbsim.bench.sweep.run import counts, run_plan
    from hbsim.bench.sweep.store import SweepStore

    command, jobs, remote, is_retrying, isolated, is_kept = how
    done = [0]
    what = "studies on fresh seeds" if plan.confirms else "studies"
    try:
        with progress(lambda: done[0], len(plan.different), what):
            found = run_plan(
                plan,
                folder,
                command,
                jobs,
                remote,
                force,
                is_retrying,
                lambda number: done.__setitem__(0, number),
                isolated,
            )
    except KeyboardInterrupt:
        kept = counts(plan, SweepStore(folder))
        finished = f"{kept.done + kept.failed:,} of {kept.cells:,} cells are finished"
        goes_on = "; the same command goes on" if is_kept else ""
        problems.append(f"interrupted: {finished}{goes_on}")
        return None
    if found.failed:
        store = SweepStore(folder)
        first = next(study for study in plan.studies if store.status[study.key] == "failed")
        error = _problem(first, store.tables([first.key])["cells"]["error"][0])
        problems.append(
            f"{found.failed:,} of {found.cells:,} cells failed: {error}; --retry-failed runs them again"
        )
    return found


def _problem(study: CellStudy, error: str) -> str:
    return f"{study.of.variant.label} on {study.of.surrogate}, seed {study.seed}: {error}"


def _show_outcome(
    plan: SweepPlan,
    out: Path,
    found: Counts,
    command: str,
    results: Given,
    is_shown: bool,
    is_interrupted: bool,
) -> None:
    """Print the ranking or the JSON object, and the command that makes a page of the results."""
    folder, as_json = results.get("folder"), "as_json" in results
    can_be_shown = is_shown or not is_interrupted
    report = None
    if can_be_shown and (is_shown or as_json) and found.done + found.failed:
        report = _report(out, command, folder or "", results.get("matters"))
    if as_json and can_be_shown:
        kinds = (".json", ".toml", ".parquet")
        print_json(
            {
                "command": command,
                "complete": found.is_complete,
                "cells": found.cells,
                "done": found.done,
                "failed": found.failed,
                "before": found.before,
                "out": folder,
                "files": sorted(p.name for p in out.iterdir() if p.suffix in kinds) if folder else [],
                "report": None if report is None else asdict(report),
            }
        )
        return
    if report is not None:
        from hbsim.bench.report.render import show

        show(report, wide_console(WIDTH))
    new = found.done + found.failed - found.before
    if folder is not None and not is_interrupted:
        print_out(f"{plan.title}: {found.done:,} of {found.cells:,} cells are done; {new:,} were run now")
        print_out(f"As a page: hbsim report {shlex.quote(folder)} --out report.html")


def _report(folder: Path, command: str, name: str, matters: str | None) -> SweepReport:
    from hbsim.bench.report.build import build
    from hbsim.bench.sweep.folder import read_results

    return build(read_results(folder), command, name, matters)


# A dry run


def _dry_run(ctx: typer.Context, plan: SweepPlan, results: Given, jobs: int) -> None:
    """Print the work to be done, its estimated time, and what would fail; write nothing."""
    from hbsim.bench.sweep.folder import look_into
    from hbsim.bench.sweep.run import estimate

    command, folder = command_line(ctx, NOT_TO_RUN), results.get("folder")
    if folder is None:
        command += f" --folder {shlex.quote(plan.source.name.rpartition('/')[2].removesuffix('.toml'))}"
    store = None if folder is None else look_into(Path(folder), plan.cells, "force" in results)
    for text in plan.warnings:
        warnings.warn(HbsimWarning(text), stacklevel=1)
    statuses = [] if store is None else [store.status.get(study.key) for study in plan.studies]
    done, failed = statuses.count("done"), statuses.count("failed")
    found = estimate(plan, store, "retry_failed" in results)
    problems = [_problem(*one) for one in found.failures]
    if "as_json" in results:
        print_json(
            {
                "cells": len(plan.studies),
                "finished": done,
                "failed": failed,
                "left": found.studies,
                "variants": len(plan.variants),
                "tasks": len(plan.tasks),
                "jobs": jobs,
                "tried": found.tried,
                "seconds": found.on(jobs),
                "problems": problems,
                "command": command,
            }
        )
    else:
        for line in _estimate_lines(plan, found, done, failed, jobs, "retry_failed" in results):
            print_out(line)
        if found.studies and not found.failures:
            print_out(command)
    if problems:
        count = _many(found.tried, "cell")
        say("error", f"{len(problems):,} of {count} that were tried failed: {problems[0]}")
        raise typer.Exit(1)


def _estimate_lines(
    plan: SweepPlan, found: Estimate, done: int, failed: int, jobs: int, is_retrying: bool
) -> list[str]:
    of = f"{_many(len(plan.variants), 'variant')} on {_many(len(plan.tasks), 'task')}"
    lines = [f"{plan.title}: {_many(len(plan.studies), 'cell')}: {of}"]
    if done:
        lines.append(f"{done:,} {_are(done)} finished")
    if failed:
        again = "to be run again" if is_retrying else "--retry-failed runs them again"
        lines.append(f"{failed:,} failed before: {again}")
    shared = len(plan.studies) - len(plan.different)
    if shared:
        lines.append(f"{shared:,} have the same inputs as others, and share their studies")
    if found.known:
        each = f"one takes {found.least:.2g} to {found.most:.2g} s, as {found.known} show"
        about = f"about {duration(float(f'{found.on(jobs):.2g}'))} on {_many(jobs, 'process')}"
        lines.append(f"{found.studies:,} {_are(found.studies)} to be run: {about} ({each})")
    elif not found.studies:
        lines.append("nothing is left to be run")
    return lines


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _many(count: int, what: str) -> str:
    end = "" if count == 1 else "es" if what.endswith("s") else "s"
    return f"{count:,} {what}{end}"
