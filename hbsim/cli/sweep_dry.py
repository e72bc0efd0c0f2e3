"""``hbsim sweep --dry-run``: how much there is to run, about how long that takes, and what fails."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hbsim.cli.command import say
from hbsim.terminal import print_out

if TYPE_CHECKING:
    from hbsim.bench.sweep import Estimate, Sweep

__all__ = ["dry"]


def dry(
    made: Sweep, out: Path | None, jobs: int, is_retrying: bool, force: bool, as_json: bool, command: str
) -> None:
    """Print what a sweep would do; nothing is written.

    Raises
    ------
    typer.Exit
        With code 1, if a study that was tried failed.
    """
    from hbsim.bench.sweep import estimate, look_into

    store = None if out is None else look_into(out, made.plan, force)
    for text in made.grid.warnings:
        say("warning", text)
    there = [] if store is None else [store.status.get(study.key) for study in made.grid.studies]
    done, failed = there.count("done"), there.count("failed")
    found = estimate(made, store, is_retrying)
    if as_json:
        _print_json(made, found, done, failed, jobs, command)
    else:
        _print(made, found, done, failed, jobs, is_retrying, command)
    if found.failures:
        count, first = len(found.failures), _problem(found, 0)
        say("error", f"{count:,} of {_many(found.tried, 'cell')} that were tried failed: {first}")
        raise typer.Exit(1)


def _print_json(made: Sweep, found: Estimate, done: int, failed: int, jobs: int, command: str) -> None:
    from hbsim.cli.output import print_json

    grid = made.grid
    content = {"cells": len(grid.studies), "finished": done, "failed": failed, "left": found.studies}
    content |= {"variants": len(grid.variants), "tasks": len(grid.tasks), "jobs": jobs, "tried": found.tried}
    problems = [_problem(found, at) for at in range(len(found.failures))]
    print_json({**content, "seconds": found.on(jobs), "problems": problems, "command": command})


def _print(
    made: Sweep, found: Estimate, done: int, failed: int, jobs: int, is_retrying: bool, command: str
) -> None:
    grid = made.grid
    of = f"{_many(len(grid.variants), 'variant')} on {_many(len(grid.tasks), 'task')}"
    print_out(f"{made.title}: {_many(len(grid.studies), 'cell')}: {of}")
    if done:
        print_out(f"{done:,} {_are(done)} finished")
    if failed:
        again = "to be run again" if is_retrying else "--retry-failed runs them again"
        print_out(f"{failed:,} failed before: {again}")
    shared = len(grid.studies) - len(grid.different)
    if shared:
        print_out(f"{shared:,} have the same inputs as others, and share their studies")
    if found.known:
        each = f"one takes {found.least:.2g} to {found.most:.2g} s, as {found.known} show"
        about = f"about {_about(found.on(jobs))} on {_many(jobs, 'process')}"
        print_out(f"{found.studies:,} {_are(found.studies)} to be run: {about} ({each})")
    elif not found.studies:
        print_out("nothing is left to be run")
    if found.studies and not found.failures:
        print_out(command)


def _problem(found: Estimate, at: int) -> str:
    study, error = found.failures[at]
    return f"{study.of.variant.label} on {study.of.surrogate}, seed {study.seed}: {error}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _many(count: int, what: str) -> str:
    end = "" if count == 1 else "es" if what.endswith("s") else "s"
    return f"{count:,} {what}{end}"


def _about(seconds: float) -> str:
    from hbsim.bench.tables import duration

    return duration(float(f"{seconds:.2g}"))
