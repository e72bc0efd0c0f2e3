"""Training that takes longer or shorter."""

from __future__ import annotations

from typing import Final

from hbsim.errors import ParameterError
from hbsim.surrogates import hashing
from hbsim.surrogates.options import check_number
from hbsim.surrogates.protocol import Floats, Ints
from hbsim.surrogates.wrap_axes import axis_of
from hbsim.surrogates.wrapper import Wrapper, check_seed, configuration_keys

__all__ = ["ScaledCost"]

_CONFIGURATION: Final = 21


class ScaledCost(Wrapper):
    """Seconds times a factor, and if wanted times another one for each configuration, of mean 1.

    Parameters
    ----------
    surrogate : Surrogate
        Or anything else that `hbsim.surrogates.load` takes.
    factor : float
        Of all seconds, above 0.
    spread : float
        The largest over the smallest of the configurations' factors, at least 1. They are spread evenly.
    parameter : str, optional
        The hyperparameter with which they rise, from its lowest value to its highest. In a space, along
        its scale; in a table, by rank. Without it they are drawn for each configuration.
    seed : int
        Of the draws.

    Raises
    ------
    ParameterError
        A parameter breaks its rule, or there is no such hyperparameter.
    """

    def __init__(
        self,
        surrogate: object,
        *,
        factor: float = 1.0,
        spread: float = 1.0,
        parameter: str | None = None,
        seed: int = 0,
    ) -> None:
        options = {"factor": factor, "spread": spread, "parameter": parameter, "seed": seed}
        super().__init__(surrogate, "cost", options)
        self.factor = check_number("factor", factor, above=0.0)
        self.spread = check_number("spread", spread, low=1.0)
        self.seed = check_seed(seed)
        if parameter is not None and self.spread == 1.0:
            raise ParameterError("parameter", parameter, "needs a spread above 1: with 1 all cost the same")
        self.parameter = parameter
        self._axis = None if parameter is None else axis_of(self.wrapped, parameter)

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        """Return the metric and the scaled cumulative seconds, shapes (n, m)."""
        values, seconds = self.wrapped.evaluate(configurations, levels)
        if self.spread == 1.0:
            return values, seconds * self.factor
        cheapest = 2.0 * self.factor / (1.0 + self.spread)
        factors = cheapest * (1.0 + (self.spread - 1.0) * self._places(configurations))
        return values, seconds * factors[:, None]

    def _places(self, configurations: Floats | Ints) -> Floats:
        """Return where each configuration lies between the cheapest, 0, and the dearest, 1; shape (n,)."""
        if self._axis is not None:
            return self._axis.places(configurations)
        return hashing.uniform(configuration_keys(self, configurations, self.seed, _CONFIGURATION))
