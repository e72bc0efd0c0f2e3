"""Synthetic curves: two parametric families with a known optimum, and flat lines for exact tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import numpy as np

from hbsim.core.space import Real, Space
from hbsim.core.types import Mode
from hbsim.errors import ParameterError
from hbsim.surrogates import hashing
from hbsim.surrogates.options import check_choice, check_number
from hbsim.surrogates.protocol import (
    Floats,
    Ints,
    SurrogateBase,
    check_points,
    check_positive_levels,
    check_rows,
)

Family: TypeAlias = Literal["power", "exponential"]

BEST: Final = 0.95  # accuracy of the best configuration at max_resource
SPAN: Final = 0.45  # how much lower the worst configuration ends
EARLY: Final = (0.10, 0.40)  # the range of accuracies at the first level
# The weight of each parameter in the distance from the optimum; weights sum to 1.
WEIGHTS: Final = (0.5, 0.2, 0.3)
# Exponents (power) and rates (exponential) of a fast and of a slow learner.
RATES: Final = {"power": (1.0, 0.4), "exponential": (12.0, 4.0)}


class Synthetic(SurrogateBase):
    """Learning curves given by a formula, over three parameters: see `docs/reference/surrogates.md`.

    A curve runs from an early value at level 1 to a final value at `max_resource`. The final value
    depends on the distance from the optimum. The early value mixes the final one's rank with chance.
    In between a mixture of a fast and a slow curve is followed: low learning rates are slow, so curves
    cross. Noise fades linearly to nothing at `max_resource`, and no value is better than the optimum.

    Parameters
    ----------
    family : "power" or "exponential"
        How the distance to the final value shrinks with the level.
    max_resource : float
        R, above 1; any level in (0, R] can be evaluated.
    noise : float
        Standard deviation of the noise between levels near level 0, at least 0.
    early_rank : float
        How well ranks at level 1 predict the final ones, in [-1, 1]: about their correlation without
        noise. 1: the ranks are the final ones at every level; 0: those at level 1 are random; -1: they
        are the final ones in reverse.
    divergence : float
        The share of the space, with the highest learning rates, where the metric is NaN from some
        level on, in [0, 0.9].
    cost_spread : float
        The most expensive configuration's seconds per unit over the cheapest one's, at least 1.
    seconds : float
        Mean seconds per unit over the space, above 0.
    mode : "max" or "min"
        An `accuracy` to maximise, or its mirror image, an `error` to minimise.
    seed : int
        The seed of the place of the optimum, of the random part of early values, and of the noise.

    Attributes
    ----------
    best_configuration : array, shape (3,)
        The point of the unit cube where the optimum is attained.

    Raises
    ------
    ParameterError
        A parameter breaks its rule.
    """

    def __init__(
        self,
        *,
        family: Family = "power",
        max_resource: float = 81,
        noise: float = 0.01,
        early_rank: float = 0.5,
        divergence: float = 0.05,
        cost_spread: float = 4.0,
        seconds: float = 1.0,
        mode: Mode = "max",
        seed: int = 0,
    ) -> None:
        check_choice("family", family, ("power", "exponential"))
        check_choice("mode", mode, ("max", "min"))
        self.family = family
        self.max_resource = check_number("max_resource", max_resource, above=1.0)
        self.noise = check_number("noise", noise, low=0.0)
        self.early_rank = check_number("early_rank", early_rank, low=-1.0, high=1.0)
        self.divergence = check_number("divergence", divergence, low=0.0, high=0.9)
        self.cost_spread = check_number("cost_spread", cost_spread, low=1.0)
        self.seconds = check_number("seconds", seconds, above=0.0)
        self.mode: Mode = mode
        self.seed = int(check_number("seed", seed, low=0, high=2**53, whole=True))
        self.metric = "accuracy" if mode == "max" else "error"
        self.space = Space(
            {
                "learning_rate": Real(1e-4, 1.0, log=True),
                "weight_decay": Real(1e-6, 1e-1, log=True),
                "width_multiplier": Real(0.25, 4.0, log=True),
            }
        )
        self.name = self._full_name()
        self._prepare()

    def _full_name(self) -> str:
        """Return the text from which `hbsim.surrogates.load` makes the same curves."""
        defaults = type(self).__init__.__kwdefaults__ or {}
        changed = [f"{k}={getattr(self, k)}" for k, v in defaults.items() if getattr(self, k) != v]
        return "synthetic" + (":" + ",".join(changed) if changed else "")

    def _prepare(self) -> None:
        """Compute values that depend on the parameters only."""
        places = hashing.uniform(np.array([hashing.scalar_key(self.seed, 1, j) for j in range(3)]))
        best = 0.2 + 0.6 * places
        best[0] *= 1.0 - self.divergence  # outside the region that diverges
        self.best_configuration: Floats = best
        self._scales = [w / max(c, 1.0 - c) ** 2 for w, c in zip(WEIGHTS, best.tolist(), strict=True)]
        self._early_weight = _mixing_weight(abs(self.early_rank), _distance_std(best, self._scales))
        self._cheapest = 2.0 * self.seconds / (1.0 + self.cost_spread)

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        """Return the metric and cumulative seconds, shapes (n, m).

        Parameters
        ----------
        configurations : array, shape (n, 3)
            Points of the unit cube of `space`.
        levels : array, shape (m,)
            Levels in (0, max_resource].

        Raises
        ------
        ParameterError
            The shape is another, or a level lies outside (0, max_resource].
        """
        points = check_points(configurations, 3)
        levels = check_positive_levels(levels, self.max_resource)
        distance = self._distance(points)
        keys = hashing.float_keys(points, hashing.scalar_key(self.seed, 2))
        values = self._curves(points, distance, keys, levels)
        if self.noise > 0.0:
            self._add_noise(values, keys, levels)
        if self.mode == "min":
            np.subtract(1.0, values, out=values)
        if self.divergence > 0.0:
            self._diverge(values, points[:, 0], levels)
        per_unit = self._cheapest * (1.0 + (self.cost_spread - 1.0) * points[:, 2])
        return values, per_unit[:, None] * levels

    def optimum(self, level: float) -> float | None:
        """Return the best value of the space at `max_resource`, exactly; None at other levels."""
        if level != self.max_resource:
            return None
        return BEST if self.mode == "max" else 1.0 - BEST

    def _distance(self, points: Floats) -> Floats:
        """Return each point's distance from the optimum, shape (n,), in [0, 1]."""
        total = np.zeros(len(points))
        for column, (centre, scale) in enumerate(
            zip(self.best_configuration.tolist(), self._scales, strict=True)
        ):
            offset = points[:, column] - centre
            total += scale * (offset * offset)
        return np.minimum(total, 1.0, out=total)

    def _curves(self, points: Floats, distance: Floats, keys: hashing.Keys, levels: Floats) -> Floats:
        """Return accuracies without noise or divergence, shape (n, m)."""
        weight, (lowest, highest) = self._early_weight, EARLY
        final = BEST - SPAN * distance
        near = distance if self.early_rank < 0.0 else 1.0 - distance
        early = lowest + (highest - lowest) * (weight * near + (1.0 - weight) * hashing.uniform(keys))
        # With early_rank=1 all configurations learn at the same pace, so that no two curves cross.
        slowness = 0.5 + (0.5 - points[:, 0]) * (1.0 - abs(self.early_rank))
        lag = early - final
        slow = lag * slowness
        fast = lag - slow
        values = np.empty((len(points), len(levels)))
        rates = RATES[self.family]
        for column, level in enumerate(levels.tolist()):
            x = max(level, 1.0)
            f, s = (_remaining(self.family, rate, x, self.max_resource) for rate in rates)
            curve = final + fast * f + slow * s
            values[:, column] = curve if level >= 1.0 else lowest + (curve - lowest) * level
        return values

    def _add_noise(self, values: Floats, keys: hashing.Keys, levels: Floats) -> None:
        noise = hashing.normal(hashing.combine(keys, levels, hashing.scalar_key(self.seed, 3)))
        noise *= self.noise * (1.0 - levels / self.max_resource)
        values += noise
        np.maximum(values, 0.0, out=values)
        np.minimum(values, BEST, out=values)

    def _diverge(self, values: Floats, learning_rate: Floats, levels: Floats) -> None:
        """Set NaN from a level on that falls from R to 1 as the learning rate rises."""
        edge = 1.0 - self.divergence
        rows = np.flatnonzero(learning_rate > edge)
        depth = (learning_rate[rows] - edge) / self.divergence
        onset = 1.0 + (self.max_resource - 1.0) * ((1.0 - depth) * (1.0 - depth))
        block = values[rows]
        block[levels >= onset[:, None]] = math.nan
        values[rows] = block


def _remaining(family: Family, rate: float, level: float, top: float) -> float:
    """Return the remaining share of the way from the early to the final value: 1 at level 1, 0 at `top`."""
    if level == top:
        return 0.0
    if family == "power":
        end = math.pow(top, -rate)
        return (math.pow(level, -rate) - end) / (1.0 - end)
    end = math.exp(-rate)
    return (math.exp(-rate * (level - 1.0) / (top - 1.0)) - end) / (1.0 - end)


def _mixing_weight(early_rank: float, std: float) -> float:
    """Return the weight of the final value in the early one, so that they correlate by `early_rank`.

    The rest is uniform on [0, 1], with standard deviation 1/sqrt(12); the final value has `std`.
    """
    chance = math.sqrt(1.0 - early_rank * early_rank)
    return early_rank / (early_rank + chance * std * math.sqrt(12.0))


def _distance_std(best: Floats, scales: list[float]) -> float:
    """Return the standard deviation of the distance over the unit cube."""
    variance = 0.0
    for c, scale in zip(best.tolist(), scales, strict=True):
        second, fourth = (((1.0 - c) ** k + c**k) / k for k in (3, 5))
        variance += scale * scale * (fourth - second * second)
    return math.sqrt(variance)


class Ideal(SurrogateBase):
    """Flat curves: every level shows a configuration's true quality, and every unit takes the same time.

    Parameters
    ----------
    max_resource : float
        R; any level in (0, R] can be evaluated.
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
        self.space = Space({"quality": Real(0.0, 1.0)})
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

    def _quality(self, configurations: Floats | Ints) -> Floats:
        if self._qualities is None:
            return check_points(configurations, 1)[:, 0]
        return self._qualities[check_rows(configurations, len(self._qualities))]
