"""The numbers in reports and failures, checked."""

from __future__ import annotations

from math import isfinite, nan

from hbsim.errors import ProtocolError

__all__ = ["finite", "metric"]


def finite(value: object) -> float | None:
    """Return a number that is finite, whole ones as they are; None for anything else."""
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
