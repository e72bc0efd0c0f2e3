"""Many studies: variants, learning curves, clusters, workers and seeds, from one specification."""

from hbsim.bench.sweep.cell import Combination, Study
from hbsim.bench.sweep.folder import (
    SweepResults,
    is_own,
    look_into,
    open_folder,
    read_manifest,
    read_results,
    write_down,
)
from hbsim.bench.sweep.plan import Plan, make_plan, read_sweep
from hbsim.bench.sweep.run import Counts, Estimate, counts, estimate, finish, run_cells, run_plan, to_run
from hbsim.bench.sweep.store import Store

__all__ = [
    "Combination",
    "Counts",
    "Estimate",
    "Plan",
    "Store",
    "Study",
    "SweepResults",
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
    "write_down",
]
