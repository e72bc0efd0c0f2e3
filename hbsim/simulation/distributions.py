"""Distributions of seconds and sizes, as classes and as texts: ``lognormal:mean=5,std=2``.

Draws are quantiles of uniform numbers, so that a draw depends on its uniform number only. Logarithms and
powers are computed number by number and rounded to 24 significant bits, since their last bits differ between
machines and vector units.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Final, Protocol, TypeAlias, cast, runtime_checkable

import numpy as np

from hbsim.core.numbers import exact
from hbsim.errors import ParameterError, nearest
from hbsim.surrogates.protocol import Floats

_SPLIT: Final = 2.0**29 + 1.0  # leaves 24 of 53 bits
_LEAST_U: Final = 2.0**-54  # in place of 0: the middle between 0 and the next uniform number
_LEAST_SHAPE: Final = 0.01
_MOST_SPREAD: Final = 100.0


class _NamedDistribution:
    """The base of distributions whose text is a name and parameters."""

    __slots__ = ()

    def __post_init__(self) -> None:
        """Check the parameters, which are numbers of at least 0, and the rules of a kind."""
        for each in fields(cast(Any, self)):
            _set(self, each.name, _number(each.name, getattr(self, each.name)))
        self._check()

    def _check(self) -> None:
        """Check the rules of a kind; by default there are none."""

    @property
    def text(self) -> str:
        """The text from which `parse` makes the same distribution."""
        values = ((each.name, getattr(self, each.name)) for each in fields(cast(Any, self)))
        return f"{type(self).__name__.lower()}:" + ",".join(f"{name}={plain(x)}" for name, x in values)


@dataclass(frozen=True, slots=True)
class Exponential(_NamedDistribution):
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

    def quantile(self, u: Floats) -> Floats:
        """Return a draw for each of `u`, shape (n,)."""
        return self.mean * _rounded([-math.log1p(-x) for x in _above_zero(u).tolist()])


@dataclass(frozen=True, slots=True)
class Weibull(_NamedDistribution):
    """The Weibull distribution; with a shape below 1 the rate of events falls with time.

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

    def _check(self) -> None:
        if self.shape < _LEAST_SHAPE:
            raise ParameterError("shape", self.shape, f"must be at least {_LEAST_SHAPE}")

    def quantile(self, u: Floats) -> Floats:
        """Return a draw for each of `u`, shape (n,)."""
        power = 1.0 / self.shape
        scale = 1.0 / math.gamma(1.0 + power)
        return self.mean * _rounded(
            [scale * math.pow(-math.log1p(-x), power) for x in _above_zero(u).tolist()]
        )


@dataclass(frozen=True, slots=True)
class _SpreadDistribution(_NamedDistribution):
    """The base of distributions that are given by their mean and standard deviation."""

    mean: float
    std: float

    def _check(self) -> None:
        if self.mean == 0:
            raise ParameterError("mean", self.mean, "must be above 0")
        if self.std > _MOST_SPREAD * self.mean:
            raise ParameterError("std", self.std, f"must be at most {_MOST_SPREAD:g} times the mean")


@dataclass(frozen=True, slots=True)
class LogNormal(_SpreadDistribution):
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

    def quantile(self, u: Floats) -> Floats:
        """Return a draw for each of `u`, shape (n,)."""
        from scipy.special import ndtri  # takes long to import

        spread = self.std / self.mean
        variance = math.log1p(spread * spread)
        sigma, shift = math.sqrt(variance), variance / 2.0
        return self.mean * _rounded([math.exp(sigma * z - shift) for z in ndtri(_above_zero(u)).tolist()])


@dataclass(frozen=True, slots=True)
class Gamma(_SpreadDistribution):
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

    def quantile(self, u: Floats) -> Floats:
        """Return a draw for each of `u`, shape (n,)."""
        from scipy.special import gammaincinv  # takes long to import

        spread = self.std / self.mean
        if spread < 1e-9:  # less than the rounding
            return np.full(len(u), self.mean)
        shape = 1.0 / (spread * spread)
        return self.mean * _rounded(gammaincinv(shape, _above_zero(u)) / shape)


@dataclass(frozen=True, slots=True)
class Uniform(_NamedDistribution):
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

    def _check(self) -> None:
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
        """The text from which `parse` makes the same distribution."""
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


def _set(distribution: object, name: str, value: object) -> None:
    object.__setattr__(distribution, name, value)  # the classes are frozen


def plain(number: float) -> str:
    """Return the shortest text of a number: without a point if it is whole."""
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _above_zero(u: Floats) -> Floats:
    """Return uniform numbers without 0, whose quantile may be infinite."""
    return np.maximum(u, _LEAST_U)


def _rounded(numbers: list[float] | Floats) -> Floats:
    """Return numbers, 0 or more, rounded to 24 significant bits (Veltkamp's splitting)."""
    exact_ones = np.asarray(numbers, dtype=np.float64)
    high = exact_ones * _SPLIT
    rounded: Floats = high - (high - exact_ones)
    return rounded


@runtime_checkable
class Distribution(Protocol):
    """A distribution of numbers of 0 or more.

    Attributes
    ----------
    mean : float
        The mean.
    text : str
        The text from which `parse` makes the same distribution.
    """

    @property
    def mean(self) -> float: ...  # noqa: D102

    @property
    def text(self) -> str: ...  # noqa: D102

    def __hash__(self) -> int: ...

    def quantile(self, u: Floats) -> Floats:
        """Return a draw, finite, for each of the uniform numbers `u` in [0, 1), shape (n,)."""
        ...


_Kind: TypeAlias = type[Exponential] | type[Weibull] | type[LogNormal] | type[Gamma] | type[Uniform]

_KINDS: Final[dict[str, _Kind]] = {
    "exponential": Exponential,
    "weibull": Weibull,
    "lognormal": LogNormal,
    "gamma": Gamma,
    "uniform": Uniform,
}
LARGEST: Final = 1e12  # seconds, GB, prices: sums of larger numbers would overflow
_LAST: Final = np.array([1.0 - 2.0**-53])  # the largest uniform number
_NAMES: Final = (*_KINDS, "empirical")
_CLASSES: Final = (*_KINDS.values(), Empirical)


def parse(field: str, value: object, *, least: float = 0.0, positive: bool = False) -> float | Distribution:
    """Return a number or a distribution, checked.

    Parameters
    ----------
    field : str
        The parameter's name, for the error.
    value : float, Distribution or str
        A text is a distribution's name and parameters: ``lognormal:mean=5,std=2``.
    least : float
        The least value of a number, or of a distribution's mean.
    positive : bool
        Whether the number or the mean must be above 0.

    Raises
    ------
    ParameterError
        It breaks a rule, or is above 1e12 (its mean), or a draw may be above 1e15; names `field`.
    """
    parsed: float | Distribution
    if isinstance(value, str):
        parsed = _from_text(field, value)
    elif isinstance(value, _CLASSES):
        parsed = value
    else:
        parsed = float(exact(field, value))
    mean = parsed if isinstance(parsed, float) else parsed.mean
    whose = "" if isinstance(parsed, float) else "its mean "
    if mean < least:
        raise ParameterError(field, value, f"{whose}must be at least {plain(least)}")
    if positive and mean <= 0.0:
        raise ParameterError(field, value, f"{whose}must be above 0")
    if not mean <= LARGEST:
        raise ParameterError(field, value, f"{whose}must be at most {plain(LARGEST)}")
    if not isinstance(parsed, float) and not parsed.quantile(_LAST)[0] <= 1000 * LARGEST:
        raise ParameterError(field, value, f"all that it gives must be at most {plain(1000 * LARGEST)}")
    return parsed


def _from_text(field: str, text: str) -> Distribution:
    name, _, rest = (part.strip() for part in text.partition(":"))
    if name not in _NAMES:
        rule = f"must be a number, or one of {', '.join(_NAMES)} with its parameters.{nearest(name, _NAMES)}"
        raise ParameterError(field, text, rule)
    try:
        if name == "empirical":
            return Empirical(tuple(_from_digits("values", part) for part in rest.split("|") if rest))
        kind = _KINDS[name]
        return kind(**_options(field, text, rest, kind))
    except ParameterError as error:
        if error.field == field:
            raise
        wrong = error.value
        said = plain(wrong) if isinstance(wrong, float) else repr(wrong)
        raise ParameterError(field, text, f"{error.field}={said} {error.rule}") from None


def _options(field: str, text: str, rest: str, kind: _Kind) -> dict[str, float]:
    """Parse the parameters ``key=value,...`` of a kind of distribution; each must be given once."""
    name, names = text.partition(":")[0].strip(), [each.name for each in fields(kind)]
    form = f"{name}:" + ",".join(f"{key}=..." for key in names)
    options: dict[str, float] = {}
    for item in rest.split(",") if rest else []:
        key, equals, digits = (part.strip() for part in item.partition("="))
        if key not in names:
            rule = f"{key!r} is no parameter of {name}: {', '.join(names)}.{nearest(key, names)}"
            raise ParameterError(field, text, rule)
        if not equals or not digits:
            raise ParameterError(field, text, f"{key} needs a value: {form}")
        if key in options:
            raise ParameterError(field, text, f"{key} must not be given twice")
        options[key] = _from_digits(key, digits)
    missing = [key for key in names if key not in options]
    if missing:
        raise ParameterError(field, text, f"{' and '.join(missing)} missing: {form}")
    return options


def _from_digits(key: str, digits: str) -> float:
    try:
        return float(digits)
    except ValueError:
        raise ParameterError(key, digits, "must be a number") from None
