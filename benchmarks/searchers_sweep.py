"""The studies of `benchmarks.searchers` as a sweep, in a folder that keeps what is finished."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hbsim.bench.pool import default_jobs
from hbsim.bench.sweep import SweepResults, read_results, read_sweep, run_plan

__all__ = ["LAST", "SEARCHERS", "SHIPPED", "TYPES", "YAHPO", "Wanted", "read", "run", "spec", "variant"]

SEARCHERS: Final = ("random", "sobol", "tpe", "bohb", "gp", "mobster")
TYPES: Final = ("stopping", "promotion")
SHIPPED: Final = ("synthetic:max_resource=27", "digits")
YAHPO: Final = ("yahpo:lcbench/3945", "yahpo:lcbench/167181")
STUDIES: Final = "studies"  # within the folder that keeps them
FOLDER: Final = "yahpo_lcbench"  # within the folder of `--data`
ROWS: Final = 1000  # of digits
LAST: Final = 27  # R, in epochs
MANY: Final = 3000  # trials, more than any study starts


@dataclass(frozen=True)
class Wanted:
    """What is to be run.

    Attributes
    ----------
    searchers, tasks : tuple of str
        Names of searchers; curves as `hbsim.surrogates.load` takes them.
    seeds : int
        How many, from 0 on.
    workers : int
        Of the simulated cluster.
    full_runs : float
        The time after which a study ends: mean seconds of a run to R.
    data : Path or None
        The folder that has YAHPO's files.
    """

    searchers: tuple[str, ...]
    tasks: tuple[str, ...]
    seeds: int
    workers: int
    full_runs: float
    data: Path | None


def variant(searcher: str, type: str) -> str:
    """Return what a searcher under a type of scheduler is called."""
    return f"{searcher}, {type}"


def spec(wanted: Wanted) -> str:
    """Return the sweep's file, TOML."""
    return "\n".join(_lines(wanted)) + "\n"


def _lines(wanted: Wanted) -> Iterator[str]:
    yield 'title = "Searchers"'
    yield f"seeds = {wanted.seeds}"
    yield "halves = false"
    yield f"workers = {wanted.workers}"
    yield "[defaults]"
    yield f"max_full_runs = {wanted.full_runs:g}"
    yield f"max_t = {LAST}"
    for searcher in wanted.searchers:
        for type in TYPES:
            yield "[[variants]]"
            yield f'name = "{variant(searcher, type)}"'
            yield f'type = "{type}"'
            yield f'searcher = "{searcher}"'
    for task in wanted.tasks:
        yield "[[surrogates]]"
        yield f'surrogate = "{task}"'
        yield f"num_trials = {ROWS if task == 'digits' else MANY}"
        if task.startswith("yahpo:"):
            yield f'yahpo_data = "{FOLDER}"'


def run(wanted: Wanted, work: Path, jobs: int | None) -> SweepResults:
    """Run what is not finished in a folder, and read all of it.

    Raises
    ------
    RuntimeError
        A study failed.
    """
    work.mkdir(parents=True, exist_ok=True)
    file = work / "searchers.toml"
    file.write_text(spec(wanted), "utf-8")
    plan, studies = read_sweep(file, wanted.data), work / STUDIES
    processes = default_jobs(len(plan.different)) if jobs is None else jobs
    counts = run_plan(plan, studies, "python -m benchmarks.searchers", processes)
    if not counts.is_complete:
        raise RuntimeError(f"{counts.failed} of {counts.cells} studies failed: see hbsim report {studies}")
    return read(work)


def read(work: Path) -> SweepResults:
    """Read what there is in a folder, finished or not."""
    return read_results(work / STUDIES)
