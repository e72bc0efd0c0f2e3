"""Kinds of distributions, given by their means.

Draws are quantiles of uniform numbers, so that what is drawn depends on its place only. The part of a draw
that needs a logarithm or a power is worked out number by number and keeps 24 significant bits: the last
bits differ between machines and vector units.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Final, cast

import numpy as np

from hbsim.core.numbers import exact
from hbsim.errors import ParameterError
from hbsim.surrogates.protocol import Floats

__all__ = ["Empirical", "Exponential", "Gamma", "LogNormal", "Uniform", "Weibull", "plain"]

_SPLIT: Final = 2.0**29 + 1.0  # leaves 24 of 53 bits
_LEAST_U: Final = 2.0**-54  # 0 is drawn as what lies between it and the next number
_LEAST_SHAPE: Final = 0.01
_MOST_SPREAD: Final = 100.0


class _Written:
    """What is written as its name and its fields."""

    __slots__ = ()

    @property
    def text(self) -> str:
        """What `parse` makes it from."""
        values = ((each.name, getattr(self, each.name)) for each in fields(cast(Any, self)))
        return f"{type(self).__name__.lower()}:" + ",".join(f"{name}={plain(x)}" for name, x in values)


@dataclass(frozen=True, slots=True)
class Exponential(_Written):
    """The exponential distribution.

    Parameters
    ----------
    mean : float
        At least 0.

    Raises
    ------
    ParameterError
        A parameter breaks its rule.
    """

    mean: float

    def __post_init__(self) -> None:
        _set(self, "mean", _number("mean", self.mean))

    def quantile(self, u: Floats) -> Floats:
        """Return a draw for each of `u`, shape (n,)."""
        return self.mean * _rounded([-math.log1p(-x) for x in _inner(u).tolist()])


@dataclass(frozen=True, slots=True)
class Weibull(_Written):
    """The Weibull distribution; with a shape below 1 what has lasted long lasts longer.

    Parameters
    ----------
    mean : float
        At least 0; the scale is the mean over Gamma(1 + 1/shape).
    shape : float
        At least 0.01. 1 is the exponential distribution.

    Raises
    ------
    ParameterError
        A parameter breaks its rule.
    """

    mean: float
    shape: float

    def __post_init__(self) -> None:
        _set(self, "mean", _number("mean", self.mean))
        _set(self, "shape", _number("shape", self.shape))
        if self.shape < _LEAST_SHAPE:
            raise ParameterError("shape", self.shape, f"must be at least {_LEAST_SHAPE}")

    def quantile(self, u: Floats) -> Floats:
        """Return a draw for each of `u`, shape (n,)."""
        power = 1.0 / self.shape
        scale = 1.0 / math.gamma(1.0 + power)
        return self.mean * _rounded([scale * math.pow(-math.log1p(-x), power) for x in _inner(u).tolist()])


@dataclass(frozen=True, slots=True)
class LogNormal(_Written):
    """The lognormal distribution, by the mean and standard deviation of the number, not of its logarithm.

    Parameters
    ----------
    mean : float
        Above 0.
    std : float
        From 0 to 100 times the mean.

    Raises
    ------
    ParameterError
        A parameter breaks its rule.
    """

    mean: float
    std: float

    def __post_init__(self) -> None:
        _check_spread(self)

    def quantile(self, u: Floats) -> Floats:
        """Return a draw for each of `u`, shape (n,)."""
        from scipy.special import ndtri  # takes long to import

        spread = self.std / self.mean
        variance = math.log1p(spread * spread)
        sigma, shift = math.sqrt(variance), variance / 2.0
        return self.mean * _rounded([math.exp(sigma * z - shift) for z in ndtri(_inner(u)).tolist()])


@dataclass(frozen=True, slots=True)
class Gamma(_Written):
    """The gamma distribution, by its mean and standard deviation.

    Parameters
    ----------
    mean : float
        Above 0.
    std : float
        From 0 to 100 times the mean.

    Raises
    ------
    ParameterError
        A parameter breaks its rule.
    """

    mean: float
    std: float

    def __post_init__(self) -> None:
        _check_spread(self)

    def quantile(self, u: Floats) -> Floats:
        """Return a draw for each of `u`, shape (n,)."""
        from scipy.special import gammaincinv  # takes long to import

        spread = self.std / self.mean
        if spread < 1e-9:  # less than the rounding
            return np.full(len(u), self.mean)
        shape = 1.0 / (spread * spread)
        return self.mean * _rounded(gammaincinv(shape, _inner(u)) / shape)


@dataclass(frozen=True, slots=True)
class Uniform(_Written):
    """The uniform distribution.

    Parameters
    ----------
    low, high : float
        Its range, 0 or more.

    Raises
    ------
    ParameterError
        A parameter breaks its rule.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _set(self, "low", _number("low", self.low))
        _set(self, "high", _number("high", self.high))
        if self.low > self.high:
            raise ParameterError("low", self.low, f"must be at most high={plain(self.high)}")

    @property
    def mean(self) -> float:
        """The mean."""
        return self.low + (self.high - self.low) / 2.0

    def quantile(self, u: Floats) -> Floats:
        """Return a draw for each of `u`, shape (n,)."""
        return np.minimum(self.low + (self.high - self.low) * u, self.high)


@dataclass(frozen=True, slots=True)
class Empirical:
    """Recorded numbers, each as likely as the others.

    Parameters
    ----------
    values : sequence of float
        At least one; 0 or more.

    Raises
    ------
    ParameterError
        A parameter breaks its rule.
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if isinstance(self.values, str) or not isinstance(self.values, Iterable):
            raise ParameterError("values", self.values, "must be numbers")
        _set(self, "values", tuple(_number("values", value) for value in self.values))
        if not self.values:
            raise ParameterError("values", self.values, "must be at least one number")

    @property
    def mean(self) -> float:
        """The mean."""
        return math.fsum(value / len(self.values) for value in self.values)

    @property
    def text(self) -> str:
        """What `parse` makes it from."""
        return "empirical:" + "|".join(plain(value) for value in self.values)

    def quantile(self, u: Floats) -> Floats:
        """Return a draw for each of `u`, shape (n,): exactly one of the values."""
        values = np.array(self.values)
        places = np.floor(u * len(values)).astype(np.int64)
        drawn: Floats = values[np.minimum(places, len(values) - 1)]
        return drawn


def _number(name: str, value: object) -> float:
    number = exact(name, value)
    if number < 0:
        raise ParameterError(name, value, "must be at least 0")
    return float(number)


def _check_spread(distribution: LogNormal | Gamma) -> None:
    for name in ("mean", "std"):
        _set(distribution, name, _number(name, getattr(distribution, name)))
    if distribution.mean == 0:
        raise ParameterError("mean", distribution.mean, "must be above 0")
    if distribution.std > _MOST_SPREAD * distribution.mean:
        rule = f"must be at most {_MOST_SPREAD:g} times the mean"
        raise ParameterError("std", distribution.std, rule)


def _set(distribution: object, name: str, value: object) -> None:
    object.__setattr__(distribution, name, value)  # the classes are frozen


def plain(number: float) -> str:
    """Return the shortest text of a number: without a point if it is whole."""
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _inner(u: Floats) -> Floats:
    return np.maximum(u, _LEAST_U)


def _rounded(numbers: list[float] | Floats) -> Floats:
    """Return numbers, 0 or more, rounded to 24 significant bits (Veltkamp's splitting)."""
    exact_ones = np.asarray(numbers, dtype=np.float64)
    high = exact_ones * _SPLIT
    rounded: Floats = high - (high - exact_ones)
    return rounded
