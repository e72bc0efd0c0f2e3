"""Curves that learn later."""

from __future__ import annotations

import numpy as np

from hbsim.errors import ParameterError
from hbsim.surrogates.options import check_number
from hbsim.surrogates.protocol import Floats, Ints
from hbsim.surrogates.wrapper import Wrapper

__all__ = ["Delayed"]


class Delayed(Wrapper):
    """Curves that stay at their first value for a while, and then learn as before, only later.

    The first level is a table's first one, or 1 where any level can be asked for. The metric at level l
    is that of level ``l - units``, and until that is beyond the first level it is that of the first. Time
    is that of level l. A level in between those of a table has a value on the straight line between its
    neighbours, NaN if one of them is. What curves learn in their last `units` is never seen.

    Parameters
    ----------
    surrogate : Surrogate
        Or anything else that `hbsim.surrogates.load` takes.
    units : float
        For how long, in units of the resource: at least 0, and below what lies between the first and the
        last level.

    Raises
    ------
    ParameterError
        `units` breaks its rule.
    """

    def __init__(self, surrogate: object, *, units: float = 3) -> None:
        super().__init__(surrogate, "delay", {"units": units})
        self.units = check_number("units", units, low=0.0)
        self._first = min(1.0, self.max_resource) if self.resources is None else self.resources[0]
        span = self.max_resource - self._first
        if self.units and self.units >= span:
            limit = f"below {span:g}" if span > 0.0 else "0"
            ends = f"{self._first:g} to {self.max_resource:g}"
            raise ParameterError(
                "units", units, f"must be {limit}: {self.wrapped.name} learns from level {ends}"
            )
        if self.units:
            self.best_configuration = None

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        """Return the metric of an earlier level, and cumulative seconds, shapes (n, m)."""
        levels = np.asarray(levels, dtype=np.float64)
        if levels.ndim != 1:
            raise ParameterError("levels.shape", levels.shape, "must be (m,)")
        low, high, weight = self._sources(levels)
        # One call for all: whoever is asked may work out a whole curve each time.
        asked = np.unique(np.concatenate((levels, low, high)))
        values, seconds = self.wrapped.evaluate(configurations, asked)
        lower, upper, real = (np.searchsorted(asked, at) for at in (low, high, levels))
        return _between(values[:, lower], values[:, upper], weight), seconds[:, real]

    def optimum(self, level: float) -> float | None:
        """Return the best value at `level` of all rows; of a space that of the earlier level, or None."""
        if self.rows is not None:
            return self.best_of_rows(level)
        low, _, weight = (float(part[0]) for part in self._sources(np.array([level], dtype=np.float64)))
        return None if weight else self.wrapped.optimum(low)

    def test_values(self, configurations: Floats | Ints, level: float) -> Floats | None:
        """Return the held-out metric of an earlier level, shape (n,), None where there is none."""
        low, high, weight = self._sources(np.array([level], dtype=np.float64))
        lower = self.wrapped.test_values(configurations, float(low[0]))
        upper = self.wrapped.test_values(configurations, float(high[0]))
        return None if lower is None or upper is None else _between(lower, upper, weight)

    def _sources(self, levels: Floats) -> tuple[Floats, Floats, Floats]:
        """Return whence each level has its value: the levels around, and the weight of the upper one."""
        source = np.maximum(levels - self.units, np.minimum(self._first, levels))
        if self.resources is None:
            return source, source, np.zeros(len(levels))
        there = np.array(self.resources)
        upper = np.minimum(np.searchsorted(there, source), len(there) - 1)
        high = there[upper]
        low = np.where(high == source, high, there[np.maximum(upper - 1, 0)])
        with np.errstate(invalid="ignore"):
            weight = np.where(high == low, 0.0, (source - low) / (high - low))
        return low, high, weight


def _between(lower: Floats, upper: Floats, weight: Floats) -> Floats:
    """Return what lies between two values, `weight` of the way up; where they are one, that one itself."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(lower == upper, lower, lower + (upper - lower) * weight)
