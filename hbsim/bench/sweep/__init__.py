"""Sweeps: studies over variants, learning curves, clusters, workers and seeds, from one specification."""

from hbsim.bench.sweep.cell import CellStudy, Combination
from hbsim.bench.sweep.folder import (
    SweepResults,
    is_own,
    look_into,
    open_folder,
    read_manifest,
    read_results,
    write_plan,
)
from hbsim.bench.sweep.plan import SweepPlan, make_plan, read_sweep
from hbsim.bench.sweep.run import Counts, Estimate, counts, estimate, finish, run_cells, run_plan, to_run
from hbsim.bench.sweep.store import SweepStore

__all__ = [
    "CellStudy",
    "Combination",
    "Counts",
    "Estimate",
    "SweepPlan",
    "SweepResults",
    "SweepStore",
    "counts",
    "estimate",
    "finish",
    "is_own",
    "look_into",
    "make_plan",
    "open_folder",
    "read_manifest",
    "read_results",
    "read_sweep",
    "run_cells",
    "run_plan",
    "to_run",
    "write_plan",
]
