"""Numbers as the decimals that they print as, so that nothing hangs on a float's last bit."""

from __future__ import annotations

import math
from fractions import Fraction
from numbers import Rational

from hbsim.errors import ParameterError

__all__ = ["exact", "whole"]


def exact(field: str, value: object) -> Fraction:
    """Return the decimal that `value` prints as, exactly (2.2 is 11/5).

    Raises
    ------
    ParameterError
        If it is no finite number; names `field`.
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
        If it is not whole, or below `least`; names `field`.
    """
    number = exact(field, value)
    if number.denominator != 1 or number < least:
        raise ParameterError(field, value, f"must be a whole number of at least {least}")
    return int(number)
