"""Distributions of seconds and sizes, from text: ``lognormal:mean=5,std=2``."""

from __future__ import annotations

from dataclasses import fields
from typing import Final, Protocol, TypeAlias, runtime_checkable

import numpy as np

from hbsim.core.numbers import exact
from hbsim.errors import ParameterError, nearest
from hbsim.simulation.distribution_kinds import (
    Empirical,
    Exponential,
    Gamma,
    LogNormal,
    Uniform,
    Weibull,
    plain,
)
from hbsim.surrogates.protocol import Floats

__all__ = [
    "Distribution",
    "Empirical",
    "Exponential",
    "Gamma",
    "LogNormal",
    "Uniform",
    "Weibull",
    "parse",
]


@runtime_checkable
class Distribution(Protocol):
    """Numbers of 0 or more.

    Attributes
    ----------
    mean : float
        The mean.
    text : str
        What `parse` makes the same distribution from.
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
LARGEST: Final = 1e12  # seconds, GB, prices: what is larger adds up to what no float holds
_LAST: Final = np.array([1.0 - 2.0**-53])  # of the uniform numbers
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
        What a number, or a distribution's mean, must at least be.
    positive : bool
        Whether it must also be above 0.

    Raises
    ------
    ParameterError
        It breaks a rule; names `field`.
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
    """Return the parameters ``key=value,...`` of a kind of distribution, all of them once."""
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
