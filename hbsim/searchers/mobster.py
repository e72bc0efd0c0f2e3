"""The searcher `mobster`: a Gaussian process over configurations and levels, for asynchronous Hyperband.

Klein et al., "Model-based Asynchronous Hyperparameter and Neural Architecture Search" (2020), arXiv
2003.10865.
"""

from __future__ import annotations

from math import log
from typing import Final

import numpy as np

from hbsim.searchers.gp_search import GaussianSearch, Observations
from hbsim.searchers.observed import Observed
from hbsim.searchers.protocol import Floats, Ints

__all__ = ["Mobster"]

UNIT: Final = log(81)  # a step of 1 in a level's column is a factor of 81


class Mobster(GaussianSearch):
    """Models all values of all trials at all levels, and looks for the best value at R.

    Parameters
    ----------
    task : Task
        Its `max_t` is R; where it has none, R is the highest level heard of, and luck is left out.
    others
        As for `GaussianSearch`.
    """

    name = "mobster"
    levelled = True

    def observations(self, known: Observed) -> Observations:
        """Return all values; what is no number is as bad as the worst at its level, or of all."""
        found = [(t, level, v) for t, levels in known.values.items() for level, v in levels.items()]
        worst: dict[float, float] = {}
        for _, level, value in found:
            if value is not None:
                worst[level] = min(value, worst.get(level, value))
        overall = min(worst.values(), default=0.0)
        values = [worst.get(level, overall) if v is None else v for _, level, v in found]
        return Observations(
            np.array([trial for trial, _, _ in found], dtype=np.int64),
            np.array([level for _, level, _ in found], dtype=np.float64),
            np.array(values, dtype=np.float64),
        )

    def target_level(self) -> tuple[float, ...]:
        """Return the columns of R."""
        return (log(self._last()) / UNIT, 0.0)

    def columns(self, trials: Ints, levels: Floats) -> Floats:
        """Return the columns of trials, and those of levels after them; see `gp_fit.fit`."""
        end = self.task.max_t
        luck = np.zeros(len(levels)) if end is None else np.sqrt(np.maximum(end / levels - 1.0, 0.0))
        return np.column_stack([super().columns(trials, levels), np.log(levels) / UNIT, luck])

    def _last(self) -> float:
        """Return R."""
        if self.task.max_t is not None:
            return float(self.task.max_t)
        seen = [level for levels in self.known.values.values() for level in levels]
        pending = [level for levels in self.known.pending.values() for level in levels if level is not None]
        return max([*seen, *pending], default=1.0)
