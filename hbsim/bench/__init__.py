"""Variants of schedulers against each other: the same seeds, honest statistics, tables and pictures."""

from hbsim.bench.cells import Cell
from hbsim.bench.compare import compare
from hbsim.bench.comparison import Comparison
from hbsim.bench.plan import Plan
from hbsim.bench.pool_dask import Remote
from hbsim.bench.variants import Variant, make_variants

__all__ = ["Cell", "Comparison", "Plan", "Remote", "Variant", "compare", "make_variants"]
