"""A region of the space where every run fails."""

from __future__ import annotations

import math

import numpy as np

from hbsim.errors import ParameterError
from hbsim.surrogates.options import check_choice, check_number
from hbsim.surrogates.protocol import Floats, Ints
from hbsim.surrogates.wrap_regions import Bools, End, Region, drawn_region, end_region
from hbsim.surrogates.wrapper import Wrapper, check_seed

__all__ = ["Corrupted"]


class Corrupted(Wrapper):
    """A region of the space where the metric is NaN, and the held-out metric too; time goes on.

    Which configurations they are depends on the configuration and the parameters here, never on an
    order: they are the same ones for every scheduler and every variant.

    Parameters
    ----------
    surrogate : Surrogate
        Or anything else that `hbsim.surrogates.load` takes.
    share : float
        How much of the space, in [0, 1). Of rows exactly so many, rounded. Of a space a box in the unit
        cube, along two of its real parameters and with exactly this volume, that the seed chooses;
        beyond an end of a parameter's scale it goes on at the other. A space without real parameters has
        no box: each configuration is drawn with this probability.
    from_level : float
        The metric is NaN from this level on; 0: at all levels.
    parameter : str, optional
        Instead of what the seed chooses, those with the highest (or lowest) values of this
        hyperparameter. Of one with few values, whole values: those whose middle lies within the share.
    end : "high" or "low"
        Which of them.
    seed : int
        Of the draw.

    Raises
    ------
    ParameterError
        A parameter breaks its rule, there is no such hyperparameter, or the share is too small for a
        single row or value.
    """

    def __init__(
        self,
        surrogate: object,
        *,
        share: float = 0.1,
        from_level: float = 0,
        parameter: str | None = None,
        end: End = "high",
        seed: int = 0,
    ) -> None:
        options = {
            "share": share,
            "from_level": from_level,
            "parameter": parameter,
            "end": end,
            "seed": seed,
        }
        super().__init__(surrogate, "corrupt", options)
        self.share = check_number("share", share, low=0.0)
        if self.share >= 1.0:
            raise ParameterError("share", share, "must be below 1")
        self.from_level = check_number("from_level", from_level, low=0.0, high=self.max_resource)
        check_choice("end", end, ("high", "low"))
        self.parameter, self.end, self.seed = parameter, end, check_seed(seed)
        self._region: Region = (
            drawn_region(self.wrapped, self.share, self.seed)
            if parameter is None
            else end_region(self.wrapped, self.share, parameter, end)
        )

    def in_region(self, configurations: Floats | Ints) -> Bools:
        """Return whether each configuration is corrupted, shape (n,)."""
        return self._region.contains(configurations)

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        """Return the metric, NaN where it is corrupted, and cumulative seconds, shapes (n, m)."""
        values, seconds = self.wrapped.evaluate(configurations, levels)
        late = np.asarray(levels, dtype=np.float64) >= self.from_level
        return np.where(self.in_region(configurations)[:, None] & late, math.nan, values), seconds

    def optimum(self, level: float) -> float | None:
        """Return the best value outside the region.

        Of rows exactly. Of a space where it is known to be attained outside, else None.
        """
        if level < self.from_level or self.share == 0.0:
            return self.wrapped.optimum(level)
        if self.rows is not None:
            return self.best_of_rows(level)
        best = self.best_configuration
        if best is None or level != self.max_resource or self.in_region(best[np.newaxis])[0]:
            return None
        return self.wrapped.optimum(level)

    def test_values(self, configurations: Floats | Ints, level: float) -> Floats | None:
        """Return the held-out metric, NaN where it is corrupted, shape (n,); None where there is none."""
        tests = self.wrapped.test_values(configurations, level)
        if tests is None or level < self.from_level:
            return tests
        return np.where(self.in_region(configurations), math.nan, tests)
