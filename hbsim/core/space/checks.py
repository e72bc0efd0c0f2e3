"""What parameters check about what they are given; every failure is a ParameterError."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hbsim.errors import ParameterError, nearest

__all__ = [
    "Floats",
    "Given",
    "check_choices",
    "check_range",
    "finite",
    "numbers_between",
    "place_among",
    "plain",
    "whole",
]

Floats: TypeAlias = NDArray[np.float64]
Given: TypeAlias = Sequence[object] | NDArray[np.generic]  # a column of values, as users write it

# The centre of a whole number's share of [0, 1] must decode to that number again: on a log scale
# over 2**44 numbers the smallest share is still some ten float steps wide.
_LARGEST_INT: Final = 2**44
_SHOWN: Final = 10


def finite(field: str, value: object) -> float:
    """Return a finite number as a float; bools are no numbers."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise ParameterError(field, value, "must be a finite number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ParameterError(field, value, "must be a finite number")
    return number


def whole(field: str, value: object) -> int:
    """Return a whole number, at most 2**44 in size, as an int."""
    number = finite(field, value)
    if not number.is_integer():
        raise ParameterError(field, value, "must be a whole number")
    if abs(number) > _LARGEST_INT:
        raise ParameterError(field, value, "must lie between -2**44 and 2**44")
    return int(number)


def check_range(low: float, high: float, log: bool) -> None:
    """Check a range and its scale."""
    if not isinstance(log, bool | np.bool_):
        raise ParameterError("log", log, "must be True or False")
    if not low < high:
        raise ParameterError("low", low, f"must be below high={high!r}")
    if log and low <= 0:
        raise ParameterError("low", low, "must be above 0 with log=True")


def check_choices(choices: tuple[object, ...]) -> None:
    """Check that there are choices, hashable and no two of them equal."""
    if not choices:
        raise ParameterError("choices", choices, "needs at least one value")
    seen: set[object] = set()
    for choice in choices:
        try:
            hash(choice)
        except TypeError:
            raise ParameterError("choices", choice, "every choice must be hashable") from None
        if choice != choice:
            raise ParameterError("choices", choice, "NaN cannot be a choice: it does not equal itself")
        if choice in seen:
            raise ParameterError("choices", choice, "must not be given twice (1, 1.0 and True are equal)")
        seen.add(choice)


def numbers_between(values: Given, field: str, low: float, high: float) -> Floats:
    """Return the values as floats, each between low and high."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        x = values.astype(np.float64)
    else:
        x = np.array([finite(field, value) for value in values], dtype=np.float64)
    outside = np.flatnonzero(~((x >= low) & (x <= high)))
    if outside.size:
        raise ParameterError(field, plain(values[int(outside[0])]), f"must lie between {low!r} and {high!r}")
    return x


def place_among(places: dict[object, int], value: object, field: str) -> int:
    """Return the place of one of the choices."""
    try:
        return places[value]
    except (KeyError, TypeError):
        shown = [repr(choice) for choice in places]
        words = ", ".join(shown if len(shown) <= _SHOWN else [*shown[:_SHOWN], "..."])
        near = nearest(value, [c for c in places if isinstance(c, str)]) if isinstance(value, str) else ""
        raise ParameterError(field, plain(value), f"must be one of {words}.{near}") from None


def plain(value: object) -> object:
    """Return a NumPy scalar as the Python value it stands for, anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value
