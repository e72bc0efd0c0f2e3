"""The levels at which shapes are fitted, and how other levels lie between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from hbsim.surrogates.protocol import Floats, Ints

__all__ = ["Between", "between", "choose_levels"]

COUNT: Final = 24
SHARE: Final = 0.05  # a level where so many of the rows end is one of them


def choose_levels(levels: Floats, ends: Ints, usable: Ints) -> Ints:
    """Return the places of about 24 levels: evenly spread on a logarithmic scale, and where rows end.

    Parameters
    ----------
    levels : array, shape (T,)
        Ascending, above 0.
    ends : array of int, shape (n,)
        How many levels each row has.
    usable : array of int
        The places to choose from, ascending.
    """
    if len(usable) <= COUNT:
        return usable
    there = levels[usable]
    wanted = np.geomspace(there[0], there[-1], COUNT)
    nearest = np.abs(np.log(there)[:, None] - np.log(wanted)).argmin(axis=0)
    counts = np.bincount(ends, minlength=len(levels) + 1)[1:]
    often = np.flatnonzero(counts >= max(2.0, SHARE * len(ends)))
    return np.union1d(usable[nearest], np.intersect1d(often, usable))


@dataclass(frozen=True)
class Between:
    """Where each of m levels lies between two of the fitted ones.

    Attributes
    ----------
    low, high : array of int, shape (m,)
        Its neighbours.
    weight : array, shape (m,)
        How much of the upper one there is in it, in [0, 1].
    """

    low: Ints
    high: Ints
    weight: Floats

    def mix(self, column: Floats) -> Floats:
        """Return what has the values `column` (k, ...) at the fitted levels, at these levels (m, ...)."""
        weight = self.weight.reshape(-1, *(1,) * (column.ndim - 1))
        return column[self.low] * (1.0 - weight) + column[self.high] * weight


def between(fitted: Floats, levels: Floats) -> Between:
    """Return where levels lie between the fitted ones, on a logarithmic scale."""
    high = np.clip(np.searchsorted(fitted, levels), 1, len(fitted) - 1)
    low = high - 1
    span = np.log(fitted[high] / fitted[low])
    weight = np.clip(np.log(levels / fitted[low]) / span, 0.0, 1.0)
    weight[levels == fitted[high]] = 1.0
    return Between(low, high, weight)
