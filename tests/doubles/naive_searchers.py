"""Grids and designs the slow way: one value, one point, one row after the other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from hbsim.core.space import Bool, Choice, Int, Real, Space

Rule = Callable[[Mapping[str, Any]], bool]


def values_of(parameter: Any, count: int) -> list[Any]:
    """Return the values that a grid of `count` gives a parameter."""
    if isinstance(parameter, Choice):
        return list(parameter.choices)
    if isinstance(parameter, Bool):
        return [False, True]
    if isinstance(parameter, Int) and parameter.high - parameter.low + 1 <= count:
        return list(range(parameter.low, parameter.high + 1))
    low, high = parameter.low, parameter.high
    shares = [i / (count - 1) for i in range(count)] if count > 1 else [0.5]
    if parameter.log:
        found = [math.exp(math.log(low) + share * (math.log(high) - math.log(low))) for share in shares]
    else:
        found = [low + share * (high - low) for share in shares]
    if isinstance(parameter, Real):
        return found
    rounded = [math.floor(value + 0.5) for value in found]
    return sorted(set(rounded))


def grid(space: Space, counts: Mapping[str, int], allowed: Rule | None = None) -> list[dict[str, Any]]:
    """Return all configurations of a grid, the last parameter's values one after the other."""
    columns = [values_of(parameter, counts[name]) for name, parameter in space.parameters.items()]
    every = [dict(zip(space, values, strict=True)) for values in itertools.product(*columns)]
    return [one for one in every if allowed is None or allowed(one)]


def points(sequence: Any) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the points of a sequence, one after the other."""
    number = 0
    while True:
        yield from sequence.block(number)
        number += 1


def design(space: Space, sequence: Any, n: int, allowed: Rule | None = None) -> list[list[float]]:
    """Return the first n points of a sequence that are allowed."""
    kept = (p for p in points(sequence) if allowed is None or allowed(space.mapping(p)))
    return [p.tolist() for p in itertools.islice(kept, n)]


def nearest_rows(
    table: Any, sequence: Any, n: int, allowed: set[int], replace: bool, used: list[int] | None = None
) -> list[int]:
    """Return for each of n points the nearest row of those allowed that were used least often."""
    times = dict.fromkeys(allowed, 0)
    if not replace:
        for row in used or []:
            times.pop(row)
    rows = []
    for point in itertools.islice(points(sequence), n):
        least = min(times.values())
        left = [row for row in sorted(times) if times[row] == least]
        row = min(left, key=lambda row: (float(((table[row] - point) ** 2).sum()), row))
        times[row] += 1
        if not replace:
            times.pop(row)
        rows.append(row)
    return rows
