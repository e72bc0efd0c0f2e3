"""Learning curves: synthetic families, recorded tables, predicted ones, and users' own."""

from hbsim.surrogates.checked import Checked
from hbsim.surrogates.describe import Description, describe, rank_correlation, spread_levels
from hbsim.surrogates.fingerprint import fingerprint
from hbsim.surrogates.fit_report import FitReport
from hbsim.surrogates.fitted import Fitted, fit
from hbsim.surrogates.import_runs import Imported, import_runs
from hbsim.surrogates.options import check_levels
from hbsim.surrogates.protocol import Surrogate
from hbsim.surrogates.registry import available, load
from hbsim.surrogates.simple import Ideal
from hbsim.surrogates.synthetic import Synthetic
from hbsim.surrogates.table import Table
from hbsim.surrogates.wrap_corrupted import Corrupted
from hbsim.surrogates.wrap_cost import ScaledCost
from hbsim.surrogates.wrap_delayed import Delayed
from hbsim.surrogates.wrap_half import Half
from hbsim.surrogates.wrap_negated import Negated
from hbsim.surrogates.wrap_noise import Noisy
from hbsim.surrogates.yahpo import Yahpo

__all__ = [
    "Checked",
    "Corrupted",
    "Delayed",
    "Description",
    "FitReport",
    "Fitted",
    "Half",
    "Ideal",
    "Imported",
    "Negated",
    "Noisy",
    "ScaledCost",
    "Surrogate",
    "Synthetic",
    "Table",
    "Yahpo",
    "available",
    "check_levels",
    "describe",
    "fingerprint",
    "fit",
    "import_runs",
    "load",
    "rank_correlation",
    "spread_levels",
]
