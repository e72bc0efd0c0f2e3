"""Checks that surrogates share: options, shapes and levels."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence

import numpy as np

from hbsim.errors import ParameterError, nearest
from hbsim.surrogates.protocol import Floats, Ints, Surrogate

__all__ = [
    "check_choice",
    "check_levels",
    "check_number",
    "check_points",
    "check_positive_levels",
    "check_rows",
    "check_texts",
]


def check_choice(field: str, value: object, choices: Sequence[str]) -> None:
    """Raise a ParameterError unless `value` is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        rule = f"must be one of {', '.join(map(repr, choices))}.{nearest(value, choices)}"
        raise ParameterError(field, value, rule)


def check_texts(given: Mapping[str, object]) -> None:
    """Raise a ParameterError unless all values that are given, not None, are text."""
    for field, value in given.items():
        if value is not None and not isinstance(value, str):
            raise ParameterError(field, value, "must be text")


def check_number(
    field: str,
    value: object,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    above: float = -math.inf,
    whole: bool = False,
) -> float:
    """Return a finite number as a float, or raise a ParameterError that names the rule it breaks."""
    kind = "a whole number" if whole else "a finite number"
    wanted = numbers.Integral if whole else numbers.Real
    if isinstance(value, bool | np.bool_) or not isinstance(value, wanted):
        raise ParameterError(field, value, f"must be {kind}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ParameterError(field, value, f"must be {kind}")
    if not number > above:
        raise ParameterError(field, value, f"must be above {above:g}")
    if not low <= number <= high:
        rule = f"must be at least {low:g}" if math.isinf(high) else f"must lie in [{low:g}, {high:.17g}]"
        raise ParameterError(field, value, rule)
    return number


def check_points(configurations: Floats | Ints, dimension: int) -> Floats:
    """Return points of the unit cube, shape (n, dimension), as floats."""
    points = np.asarray(configurations, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != dimension:
        raise ParameterError("configurations.shape", points.shape, f"must be (n, {dimension})")
    return points


def check_rows(configurations: Floats | Ints, rows: int) -> Ints:
    """Return row numbers, shape (n,), each in [0, rows)."""
    numbers_ = np.asarray(configurations)
    if numbers_.ndim != 1 or numbers_.dtype.kind not in "iu":
        rule = "must be row numbers: integers, shape (n,)"
        raise ParameterError("configurations", f"{numbers_.dtype} {numbers_.shape}", rule)
    outside = np.flatnonzero((numbers_ < 0) | (numbers_ >= rows))
    if outside.size:
        raise ParameterError("configurations", int(numbers_[outside[0]]), f"must lie in [0, {rows})")
    return numbers_.astype(np.int64, copy=False)


def check_positive_levels(levels: Floats, max_resource: float) -> Floats:
    """Return levels, shape (m,), each in (0, max_resource]."""
    levels = np.asarray(levels, dtype=np.float64)
    if levels.ndim != 1:
        raise ParameterError("levels.shape", levels.shape, "must be (m,)")
    inside = (levels > 0.0) & (levels <= max_resource)
    if not inside.all():
        bad = float(levels[np.flatnonzero(~inside)[0]])
        raise ParameterError("levels", bad, f"must lie in (0, {max_resource:g}]")
    return levels


def check_levels(surrogate: Surrogate, levels: Sequence[float]) -> None:
    """Check that curves can be read at all levels that a scheduler decides at.

    Parameters
    ----------
    surrogate : Surrogate
        The curves.
    levels : sequence of float
        The levels, ascending; the last is the scheduler's `max_t`.

    Raises
    ------
    ParameterError
        `max_t` lies beyond the surrogate's last level (field ``max_t``), or a level is not among its
        `resources` (``max_t`` for the last one, ``grace_period`` for the first, ``levels`` between).
    """
    if not levels:
        return
    top = levels[-1]
    if top > surrogate.max_resource:
        rule = f"the curves of {surrogate.name} end at {surrogate.max_resource:g}"
        raise ParameterError("max_t", top, rule)
    if levels[0] <= 0:
        raise ParameterError("grace_period", levels[0], "must be above 0")
    if surrogate.resources is None:
        return
    there = set(surrogate.resources)
    for level in levels:
        if level not in there:
            field = "max_t" if level == top else "grace_period" if level == levels[0] else "levels"
            raise ParameterError(field, level, _no_such_level(surrogate, surrogate.resources, level))


def _no_such_level(surrogate: Surrogate, resources: tuple[float, ...], level: float) -> str:
    below = [r for r in resources if r < level][-1:]
    above = [r for r in resources if r > level][:1]
    near = " and ".join(f"{r:g}" for r in below + above)
    return f"the curves of {surrogate.name} have no such level; the nearest are {near}"
