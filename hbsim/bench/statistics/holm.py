"""Many comparisons at once: Holm's correction."""

from __future__ import annotations

import numpy as np

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
    """
    # statsmodels has this too, but collects garbage at every call: slower than all tests of a task together.
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")  # NaN last
    tested = order[: np.count_nonzero(~np.isnan(p))]
    corrected = np.full(p.shape, np.nan)
    steps = p[tested] * np.arange(len(tested), 0, -1)
    corrected[tested] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected
