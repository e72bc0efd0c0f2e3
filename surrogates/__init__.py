"""Learning curves: synthetic families, recorded tables, and users' own."""

from hbsim.surrogates.options import check_levels
from hbsim.surrogates.protocol import Surrogate
from hbsim.surrogates.registry import available, load
from hbsim.surrogates.simple import Ideal
from hbsim.surrogates.synthetic import Synthetic

__all__ = ["Ideal", "Surrogate", "Synthetic", "available", "check_levels", "load"]
