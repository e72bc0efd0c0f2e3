"""Checks of numbers given to a scheduler: exact decimals in its options, floats in reports.

Options count as the decimals that they print as, so that no decision depends on a float's last bit.
"""

from __future__ import annotations

import math
from fractions import Fraction
from math import isfinite, nan
from numbers import Rational

from hbsim.errors import ParameterError, ProtocolError


def exact(field: str, value: object) -> Fraction:
    """Return the decimal that `value` prints as, exactly (2.2 is 11/5).

    Raises
    ------
    ParameterError
        If `value` is not a finite number; it names `field`.
    """
    if isinstance(value, (bool, str)):
        raise ParameterError(field, value, "must be a number")
    if isinstance(value, Rational):
        return Fraction(int(value.numerator), int(value.denominator))
    try:
        if not math.isfinite(value):  # type: ignore[arg-type]
            raise ParameterError(field, value, "must be finite")
        return Fraction(str(value))
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, ParameterError):
            raise
        raise ParameterError(field, value, "must be a number") from None


def whole(field: str, value: object, least: int) -> int:
    """Return `value` as a whole number of at least `least`.

    Raises
    ------
    ParameterError
        If `value` is not whole, or below `least`; it names `field`.
    """
    number = exact(field, value)
    if number.denominator != 1 or number < least:
        raise ParameterError(field, value, f"must be a whole number of at least {least}")
    return int(number)


def finite(value: object) -> float | None:
    """Return a finite number, integers unchanged; None for anything else."""
    kind = type(value)
    if (kind is int or kind is float) and -1e300 < value < 1e300:  # type: ignore[operator]
        return value  # type: ignore[return-value]
    if isinstance(value, (bool, str, bytes)):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    if not isfinite(number):
        return None
    return value if isinstance(value, int) else number


def metric(trial: int, value: float | None) -> float:
    """Return a reported value as a float; NaN for None."""
    if type(value) is float:
        return value
    if value is None:
        return nan
    if isinstance(value, (bool, str, bytes)):
        raise ProtocolError(trial, f"the value {value!r}", "a number or None")
    try:
        return float(value)
    except OverflowError:
        return nan
    except (TypeError, ValueError):
        raise ProtocolError(trial, f"the value {value!r}", "a number or None") from None
