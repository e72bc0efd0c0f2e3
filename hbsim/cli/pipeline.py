"""What ``hbsim compare`` and ``hbsim sweep`` share: they run a plan in a folder, and tell what came out."""

from __future__ import annotations

import shlex
import warnings
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from hbsim import terminal
from hbsim.cli.command import command_line, say
from hbsim.cli.fields import flag, whole
from hbsim.cli.remote_options import REMOTE, RemoteOptions
from hbsim.errors import HbsimWarning, ParameterError
from hbsim.terminal import print_out

if TYPE_CHECKING:
    from hbsim.bench.remote import Remote
    from hbsim.bench.report.model import SweepReport
    from hbsim.bench.sweep import CellStudy, Counts, Estimate, SweepPlan, SweepStore

__all__ = ["RunOptions", "SmallestDifference", "carry_out"]

SmallestDifference: TypeAlias = Annotated[
    str | None,
    typer.Option("--matters", metavar="X", help="The smallest difference that matters: 0.005, or 10%."),
]

RUN: Final = "Run"
# What results do not depend on, and what a command that is told to be entered leaves out.
NOT_THE_PLAN: Final = ("out", "force", "as_json", "jobs", "dry_run", "retry_failed", "matters", *REMOTE)
NOT_TO_RUN: Final = ("dry_run", "as_json")


@dataclass(frozen=True, slots=True)
class RunOptions(RemoteOptions):
    """How a plan is run, and where its results go."""

    out: Annotated[
        str | None,
        typer.Option("--out", metavar="DIR", rich_help_panel=RUN, help="Where results are, and go on from."),
    ] = None
    jobs: Annotated[
        int | None, whole("--jobs", panel=RUN, help="Processes (default: one a core). With --hosts: on each.")
    ] = None
    confirm: Annotated[
        int | None,
        whole("--confirm", panel=RUN, help="Judge the best again, on so many fresh seeds alone."),
    ] = None
    matters: SmallestDifference = None
    dry_run: Annotated[
        bool, flag("--dry-run", panel=RUN, help="Check, and say how many cells there are and about how long.")
    ] = False
    retry_failed: Annotated[
        bool, flag("--retry-failed", panel=RUN, help="Run cells again that failed before.")
    ] = False
    force: Annotated[bool, flag("--force", panel=RUN, help="Replace another sweep's results in --out.")] = (
        False
    )
    as_json: Annotated[bool, flag("--json", panel=RUN, help="Print one JSON object.")] = False

    def check(self) -> Remote | None:
        """Check them, and return the cluster that runs the studies; None where this machine does.

        Raises
        ------
        ParameterError
            One of them breaks its rule.
        """
        from hbsim.bench.report.build import smallest_difference
        from hbsim.core.numbers import whole as check_whole

        if self.out == "":
            raise ParameterError("out", "", "must name a folder")
        for name in ("jobs", "confirm"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), 1)
        if self.matters is not None:
            smallest_difference(self.matters)
        return self.remote(self.jobs)


def carry_out(
    ctx: typer.Context, plan: SweepPlan, options: RunOptions, remote: Remote | None, is_shown: bool
) -> None:
    """Run a plan, and print what came out.

    Parameters
    ----------
    ctx : Context
        The command's.
    plan : SweepPlan
        What is wanted.
    options : RunOptions
        How.
    remote : Remote, optional
        As `RunOptions.check` returns it.
    is_shown : bool
        Whether the ranking is printed, and the results may be dropped afterwards.

    Raises
    ------
    typer.Exit
        With code 1: cells failed, or it was interrupted.
    """
    from hbsim.bench.pool import default_jobs

    jobs = options.jobs or default_jobs(len(plan.different))
    if options.dry_run:
        _dry(ctx, plan, options, jobs)
        return
    with ExitStack() as held:
        if options.out is None and not is_shown:
            raise ParameterError("out", None, "is needed: a folder for the results (or --dry-run)")
        out = Path(options.out or held.enter_context(TemporaryDirectory(prefix="hbsim-")))
        run = _Run(command_line(ctx, NOT_THE_PLAN), jobs, remote, options.retry_failed, not is_shown)
        found = run(plan, out, options.force)
        count = plan.source.table.confirm if options.confirm is None else options.confirm
        if found is not None and count is not None:
            run.confirm(plan, out, count)
        _tell(plan, out, run, options, is_shown)
    if run.problems:
        raise typer.Exit(1)


class _Run:
    """Runs plans, with progress, and keeps what went wrong.

    Parameters
    ----------
    command : str
        What a user enters to have the same results.
    jobs, remote, is_retrying, isolated
        As for `hbsim.bench.sweep.run_plan`.

    Attributes
    ----------
    counts : Counts
        Of the first plan.
    problems : list of str
        What went wrong: cells that failed, an interrupt.
    is_interrupted : bool
        Whether it ended by Ctrl-C.
    """

    def __init__(
        self, command: str, jobs: int, remote: Remote | None, is_retrying: bool, isolated: bool
    ) -> None:
        self.command = command
        self.problems: list[str] = []
        self.counts: Counts | None = None
        self.is_interrupted = False
        self._how = (jobs, remote, is_retrying, isolated)

    def __call__(self, plan: SweepPlan, folder: Path, force: bool) -> Counts | None:
        """Run a plan; return None if it was interrupted."""
        from hbsim.bench.sweep import SweepStore, counts, run_plan
        from hbsim.cli.progress import progress

        jobs, remote, is_retrying, isolated = self._how
        done, found = [0], None
        what = "studies on fresh seeds" if plan.confirms else "studies"
        try:
            with progress(lambda: done[0], len(plan.different), what):
                found = run_plan(
                    plan,
                    folder,
                    self.command,
                    jobs,
                    remote,
                    force,
                    is_retrying,
                    lambda number: done.__setitem__(0, number),
                    isolated,
                )
        except KeyboardInterrupt:
            there = counts(plan, SweepStore(folder))
            finished = f"{there.done + there.failed:,} of {there.cells:,} cells are finished"
            self.problems.append(f"interrupted: {finished}; the same command goes on")
            self.counts, self.is_interrupted = self.counts or there, True
            return None
        self.counts = self.counts or found
        if found.failed:
            first = _first_failed(plan, SweepStore(folder))
            self.problems.append(
                f"{found.failed:,} of {found.cells:,} cells failed: {first}; --retry-failed runs them again"
            )
        return found

    def confirm(self, plan: SweepPlan, folder: Path, count: int) -> None:
        """Run what confirms a choice, if there is something to choose from."""
        from hbsim.bench.comparison import confirmation

        found = confirmation(plan, folder, count)
        if found is not None:
            self(*found, force=False)


def _first_failed(plan: SweepPlan, store: SweepStore) -> str:
    first = next(study for study in plan.studies if store.status[study.key] == "failed")
    return _problem(first, store.tables([first.key])["cells"]["error"][0])


def _problem(study: CellStudy, error: str) -> str:
    return f"{study.of.variant.label} on {study.of.surrogate}, seed {study.seed}: {error}"


def _tell(plan: SweepPlan, out: Path, run: _Run, options: RunOptions, is_shown: bool) -> None:
    from hbsim.cli.output import print_json

    found = run.counts
    assert found is not None
    is_told = is_shown or not run.is_interrupted
    report = None
    if is_told and (is_shown or options.as_json) and found.done + found.failed:
        report = _report(out, run.command, options)
    if options.as_json and is_told:
        content: dict[str, object] = {"command": run.command, "complete": found.is_complete}
        content |= {"cells": found.cells, "done": found.done, "failed": found.failed, "before": found.before}
        kinds = (".json", ".toml", ".parquet")
        names = [] if options.out is None else sorted(p.name for p in out.iterdir() if p.suffix in kinds)
        content |= {"out": options.out, "files": names}
        print_json({**content, "report": None if report is None else asdict(report)})
    else:
        if report is not None:
            _show(report)
        new = found.done + found.failed - found.before
        if options.out is not None and not run.is_interrupted:
            print_out(f"{plan.title}: {found.done:,} of {found.cells:,} cells are done; {new:,} were run now")
            print_out(f"As a page: hbsim report {shlex.quote(options.out)} --out report.html")
    for text in run.problems:
        say("error", text)


def _report(folder: Path, command: str, options: RunOptions) -> SweepReport:
    from hbsim.bench.report.build import build
    from hbsim.bench.sweep import read_results

    return build(read_results(folder), command, options.out or "", options.matters)


def _show(report: SweepReport) -> None:
    from hbsim.bench.report.render import show

    console = terminal.console()
    show(report, console if console.is_terminal else terminal.console(width=100))


# A dry run


def _dry(ctx: typer.Context, plan: SweepPlan, options: RunOptions, jobs: int) -> None:
    """Print how much there is to run, about how long that takes, and what fails; nothing is written."""
    from hbsim.bench.sweep import estimate, look_into

    command = command_line(ctx, NOT_TO_RUN)
    if options.out is None:
        command += f" --out {shlex.quote(plan.source.name.rpartition('/')[2].removesuffix('.toml'))}"
    store = None if options.out is None else look_into(Path(options.out), plan.cells, options.force)
    for text in plan.warnings:
        warnings.warn(HbsimWarning(text), stacklevel=1)
    there = [] if store is None else [store.status.get(study.key) for study in plan.studies]
    done, failed = there.count("done"), there.count("failed")
    found = estimate(plan, store, options.retry_failed)
    problems = [_problem(*one) for one in found.failures]
    if options.as_json:
        from hbsim.cli.output import print_json

        grid = plan
        content: dict[str, object] = {
            "cells": len(grid.studies),
            "finished": done,
            "failed": failed,
            "left": found.studies,
        }
        content |= {"variants": len(grid.variants), "tasks": len(grid.tasks), "jobs": jobs}
        content |= {"tried": found.tried, "seconds": found.on(jobs)}
        print_json({**content, "problems": problems, "command": command})
    else:
        for line in _lines(plan, found, done, failed, jobs, options.retry_failed):
            print_out(line)
        if found.studies and not found.failures:
            print_out(command)
    if problems:
        count = _many(found.tried, "cell")
        say("error", f"{len(problems):,} of {count} that were tried failed: {problems[0]}")
        raise typer.Exit(1)


def _lines(
    plan: SweepPlan, found: Estimate, done: int, failed: int, jobs: int, is_retrying: bool
) -> list[str]:
    from hbsim.cli.show_study import duration

    grid = plan
    of = f"{_many(len(grid.variants), 'variant')} on {_many(len(grid.tasks), 'task')}"
    lines = [f"{plan.title}: {_many(len(grid.studies), 'cell')}: {of}"]
    if done:
        lines.append(f"{done:,} {_are(done)} finished")
    if failed:
        again = "to be run again" if is_retrying else "--retry-failed runs them again"
        lines.append(f"{failed:,} failed before: {again}")
    shared = len(grid.studies) - len(grid.different)
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
