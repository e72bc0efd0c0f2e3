"""Many studies: variants, surrogates, clusters, workers and seeds, from a file."""

from hbsim.bench.sweep.estimate import Estimate, estimate
from hbsim.bench.sweep.folder import is_own, look_into, open_folder, write_down
from hbsim.bench.sweep.manifest import read_manifest
from hbsim.bench.sweep.results import SweepResults, read_results
from hbsim.bench.sweep.run import Counts, counts, finish, run_cells, to_run
from hbsim.bench.sweep.store import Store
from hbsim.bench.sweep.study import Combination, Study
from hbsim.bench.sweep.sweep import Sweep, read_sweep

__all__ = [
    "Combination",
    "Counts",
    "Estimate",
    "Store",
    "Study",
    "Sweep",
    "SweepResults",
    "counts",
    "estimate",
    "finish",
    "is_own",
    "look_into",
    "open_folder",
    "read_manifest",
    "read_results",
    "read_sweep",
    "run_cells",
    "to_run",
    "write_down",
]
