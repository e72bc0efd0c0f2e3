"""Many comparisons at once: Holm's correction."""

from __future__ import annotations

import numpy as np

from hbsim.bench.statistics.checks import need_report
from hbsim.surrogates.protocol import Floats

__all__ = ["holm"]


def holm(p: Floats) -> Floats:
    """Return p-values corrected for being a family, so that any false rejection among them is rare.

    S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics
    6(2), 1979. It needs no assumption on how the tests depend on each other.

    Parameters
    ----------
    p : array, shape (m,)
        NaN where there was no test: it stays NaN and is not counted.

    Raises
    ------
    ParameterError
        The extra ``report`` is not installed.
    """
    need_report("statsmodels")
    from statsmodels.stats.multitest import multipletests

    p = np.asarray(p, dtype=np.float64)
    corrected = np.full(p.shape, np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        corrected[tested] = multipletests(p[tested], method="holm")[1]
    return corrected
