"""Small sweeps, run in this process, and what they leave."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hbsim.bench.sweep.plan import SweepPlan, read_sweep
from hbsim.bench.sweep.run import Counts, run_plan

SMALL = """\
seeds = 3
workers = [1, 4]
[defaults]
num_trials = 12
[[variants]]
type = "stopping"
vary = {brackets = [1, 2]}
[[variants]]
type = "promotion"
[[surrogates]]
surrogate = "synthetic:mode=min,max_resource=9"
name = "syn"
"""


def read(folder: Path, text: str, name: str = "study.toml") -> SweepPlan:
    """Write a sweep's file, and read it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return read_sweep(path)


def run(
    sweep: SweepPlan,
    out: Path,
    jobs: int = 1,
    force: bool = False,
    retry: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Counts:
    """Run a sweep as the command does."""
    return run_plan(sweep, out, "hbsim sweep study.toml", jobs, None, force, retry, progress)


def left(out: Path) -> dict[str, bytes]:
    """Return all files of a sweep but what differs between runs: seconds, and the lock."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in ("lock", "timings.parquet")
    }
