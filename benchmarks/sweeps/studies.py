"""Run the studies of a file. What is finished stays, as with `hbsim sweep`."""

from __future__ import annotations

from pathlib import Path

from benchmarks.sweeps.driver import SPECS
from hbsim.bench.pool import default_jobs
from hbsim.bench.sweep import read_sweep, run_plan

__all__ = ["commands", "run_study"]


def commands(name: str, has_files: bool) -> tuple[str, str]:
    """Return the commands that do the same step by step; DIR is where the curves' files are.

    The first is without ``--out``, as a sweep keeps it: the report says where the results are.
    """
    data = " --data DIR" if has_files else ""
    return (
        f"hbsim sweep benchmarks/sweeps/{name}.toml{data}",
        f"hbsim report sweeps/{name} --out {name}.html --figures figures --tables tables",
    )


def run_study(name: str, work: Path, data: Path | None, jobs: int | None) -> None:
    """Run all that is not finished in a folder.

    Raises
    ------
    ParameterError
        The file or the curves cannot be used, or the folder holds something else.
    RuntimeError
        A study failed.
    """
    made = read_sweep(SPECS / f"{name}.toml", data)
    work.parent.mkdir(parents=True, exist_ok=True)
    processes = default_jobs(len(made.grid.studies)) if jobs is None else jobs
    counts = run_plan(made, work, commands(name, data is not None)[0], processes)
    if not counts.is_complete:
        raise RuntimeError(f"{name}: {counts.failed} of {counts.cells} cells failed: see hbsim report {work}")
