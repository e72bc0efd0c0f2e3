"""Noise on the metric."""

from __future__ import annotations

from typing import Final

import numpy as np

from hbsim.errors import ParameterError
from hbsim.surrogates import hashing
from hbsim.surrogates.options import check_number
from hbsim.surrogates.protocol import Floats, Ints
from hbsim.surrogates.wrapper import Wrapper, check_seed, configuration_keys

__all__ = ["Noisy"]

_CONFIGURATION: Final = 11  # what the draws are for: no two purposes share a key
_LEVEL: Final = 12


class Noisy(Wrapper):
    """Noise on every value, a pure function of configuration, level and seed.

    It is nearly normal, at most 3.5 standard deviations, and independent between levels. Nothing is cut
    off: an accuracy may exceed 1. NaN stays, and so does the held-out metric: it shows what the noise
    costs.

    Parameters
    ----------
    surrogate : Surrogate
        Or anything else that `hbsim.surrogates.load` takes.
    std : float
        Standard deviation, in units of the metric, at least 0.
    fade : bool
        Whether it falls linearly, from `std` at level 0 to nothing at `max_resource`. Then the optimum
        there is that of the curves within. Otherwise it is the best of the noisy values, which is known
        for rows only.
    seed : int
        Of the draws. Two wrappers with the same seed draw the same.

    Raises
    ------
    ParameterError
        A parameter breaks its rule.
    """

    def __init__(self, surrogate: object, *, std: float = 0.01, fade: bool = False, seed: int = 0) -> None:
        super().__init__(surrogate, "noise", {"std": std, "fade": fade, "seed": seed})
        if not isinstance(fade, bool):
            raise ParameterError("fade", fade, "must be True or False")
        self.std = check_number("std", std, low=0.0)
        self.fade = fade
        self.seed = check_seed(seed)
        self._key = hashing.scalar_key(self.seed, _LEVEL)
        if not self._exact(self.max_resource):
            self.best_configuration = None

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        """Return the noisy metric and cumulative seconds, shapes (n, m)."""
        values, seconds = self.wrapped.evaluate(configurations, levels)
        levels = np.asarray(levels, dtype=np.float64)
        keys = configuration_keys(self, configurations, self.seed, _CONFIGURATION)
        noise = hashing.normal(hashing.combine(keys, levels, self._key))
        noise *= self.std * (1.0 - levels / self.max_resource) if self.fade else self.std
        return values + noise, seconds

    def optimum(self, level: float) -> float | None:
        """Return the best noisy value of all rows; of a space only where there is no noise, else None."""
        return self.wrapped.optimum(level) if self._exact(level) else self.best_of_rows(level)

    def _exact(self, level: float) -> bool:
        """Return whether there is no noise at a level."""
        return self.std == 0.0 or (self.fade and level == self.max_resource)
