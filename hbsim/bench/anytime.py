"""Mean regret of the incumbent over simulated time, and over trained resource."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from hbsim.bench.cells import Cell
from hbsim.bench.scores import Axis, Budget
from hbsim.bench.statistics import mean_band
from hbsim.surrogates.protocol import Floats, Ints

__all__ = ["Curve", "anytime"]

_POINTS: Final = 240


@dataclass(frozen=True)
class Curve:
    """The mean score of a variant's incumbents, and its 95 % band.

    Attributes
    ----------
    variant : int
        Its index.
    axis : "time" or "resource"
        What `x` counts.
    x, mean, low, high : arrays, shape (n,)
        Each mean, over the seeds that have a score, holds until the next `x`. It is NaN where more than
        one seed in ten has no incumbent yet, or one without a number at R.
    seeds : array of int, shape (n,)
        How many seeds have a score.
    """

    variant: int
    axis: Axis
    x: Floats
    mean: Floats
    low: Floats
    high: Floats
    seeds: Ints


def anytime(variants: Sequence[Sequence[Cell]], budget: Budget, what: str) -> list[Curve]:
    """Return a curve for each variant, on points that all share.

    Each ends where the first of its studies does, or at the budget if that is later.

    Parameters
    ----------
    variants : sequence of sequences of Cell
        For each variant its cells.
    budget : Budget
        One of the points.
    what : str
        The column of `Cell` that counts.
    """
    ends = [_end(cells, budget) for cells in variants]
    firsts = [float(getattr(cell, budget.axis)[0]) for cells in variants for cell in cells if len(cell.trial)]
    if not firsts:
        return []
    grid = _grid(min(firsts), max(ends), budget.value)
    curves = []
    for index, (cells, end) in enumerate(zip(variants, ends, strict=True)):
        x = np.unique(np.append(grid[grid < end], end))
        data = np.array([_steps(cell, budget.axis, x, what) for cell in cells])
        curves.append(Curve(index, budget.axis, x, *mean_band(data), np.isfinite(data).sum(axis=0)))
    return curves


def _end(cells: Sequence[Cell], budget: Budget) -> float:
    ends = [cell.end_time if budget.axis == "time" else cell.total_resource for cell in cells]
    return max(min(ends), budget.value)


def _grid(first: float, last: float, budget: float) -> Floats:
    """Return points with equal ratios, from the first incumbent on; equal steps if it comes at 0."""
    points = np.linspace(first, last, _POINTS) if first <= 0 else np.geomspace(first, last, _POINTS)
    points[0], points[-1] = first, last  # exactly
    return np.unique(np.append(points, budget))


def _steps(cell: Cell, axis: Axis, x: Floats, what: str) -> Floats:
    places = np.searchsorted(getattr(cell, axis), x, side="right")
    return np.append(np.nan, getattr(cell, what))[places]
