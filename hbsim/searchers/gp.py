"""The searcher `gp`: Bayesian optimisation by a Gaussian process over the latest value of each trial."""

from __future__ import annotations

import numpy as np

from hbsim.searchers.gp_search import GaussianSearch, Observations
from hbsim.searchers.observed import Observed

__all__ = ["GaussianProcess"]


class GaussianProcess(GaussianSearch):
    """Models each trial by its value at the highest level that it reached.

    Values of different levels are taken as they are: those of trials that were let go on are better for being
    trained longer, too. Where every trial trains to the same level (fifo) nothing is lost by that; elsewhere
    `Mobster` keeps levels apart. Standardising by level would be wrong: what reaches a high level was
    selected, so that a mean value there would count for as little as a mean value at the first.

    Parameters
    ----------
    As for `GaussianSearch`.
    """

    name = "gp"
    levelled = False

    def observations(self, known: Observed) -> Observations:
        """Return the value of each trial at its highest level; all count as of one level."""
        trials, values = known.latest()
        return Observations(np.array(trials, dtype=np.int64), np.zeros(len(trials)), values)

    def target_level(self) -> tuple[float, ...]:
        """Return none: the model has no levels."""
        return ()
