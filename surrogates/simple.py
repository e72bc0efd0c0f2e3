"""Curves that are flat lines: for exact tests and for the simulated workloads of the ASHA paper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hbsim.core.space import Real, Space
from hbsim.core.types import Mode
from hbsim.errors import ParameterError
from hbsim.surrogates.options import check_choice, check_number
from hbsim.surrogates.protocol import Floats, Ints, check_points, check_positive_levels, check_rows

__all__ = ["Ideal"]


class Ideal:
    """Every level shows a configuration's true quality, and every unit takes the same time.

    Parameters
    ----------
    max_resource : float
        R; any level in (0, R] can be asked for.
    mode : "max" or "min"
        Whether high or low qualities are good.
    qualities : sequence of float, optional
        The quality of each row. Without it there are any number of configurations, points of [0, 1],
        each its own quality.
    seconds : float
        Seconds per unit; level l takes exactly ``l * seconds``.

    Attributes
    ----------
    best_configuration : array, shape (1,)
        The point of the unit interval where the optimum is attained; without `qualities` only.

    Raises
    ------
    ParameterError
        A parameter breaks its rule.
    """

    def __init__(
        self,
        max_resource: float = 81,
        *,
        mode: Mode = "max",
        qualities: Sequence[float] | None = None,
        seconds: float = 1.0,
    ) -> None:
        check_choice("mode", mode, ("max", "min"))
        self.max_resource = check_number("max_resource", max_resource, above=0.0)
        self.seconds = check_number("seconds", seconds, low=0.0)
        self.mode: Mode = mode
        self.name = "ideal"
        self.metric = "quality"
        self.resources: tuple[float, ...] | None = None
        self.rows: int | None = None
        self.space: Space | None = Space({"quality": Real(0.0, 1.0)})
        self._qualities: Floats | None = None
        if qualities is not None:
            self._qualities = np.array(qualities, dtype=np.float64)
            if self._qualities.ndim != 1 or not np.isfinite(self._qualities).any():
                raise ParameterError("qualities", qualities, "must be numbers, one a row")
            self.rows, self.space = len(self._qualities), None
        else:
            self.best_configuration: Floats = np.array([1.0 if mode == "max" else 0.0])

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        """Return qualities and ``level * seconds``, shapes (n, m).

        Raises
        ------
        ParameterError
            The shape is another, or a level lies outside (0, max_resource].
        """
        quality = self._quality(configurations)
        levels = check_positive_levels(levels, self.max_resource)
        shape = (len(quality), len(levels))
        values = np.repeat(quality, shape[1]).reshape(shape)
        return values, np.tile(levels * self.seconds, (shape[0], 1))

    def optimum(self, level: float) -> float | None:
        """Return the best quality: 1 or 0, or the best one of the rows; the same at every level."""
        if self._qualities is None:
            return 1.0 if self.mode == "max" else 0.0
        numbers = self._qualities[np.isfinite(self._qualities)]
        return float(numbers.max() if self.mode == "max" else numbers.min())

    def test_values(self, configurations: Floats | Ints, level: float) -> Floats | None:
        """Return None: there is no held-out metric."""
        return None

    def _quality(self, configurations: Floats | Ints) -> Floats:
        if self._qualities is None:
            return check_points(configurations, 1)[:, 0]
        return self._qualities[check_rows(configurations, len(self._qualities))]
