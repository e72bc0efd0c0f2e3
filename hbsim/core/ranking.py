"""Whether the trials at one level rank there as they did one level below, softly, and how soft that is.

Bohdal et al., "PASHA: Efficient HPO and NAS with Progressive Resource Allocation", ICLR 2023 (arXiv
2207.06940), section 4. Values are signed so that larger is better; what is no number is -inf.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from fractions import Fraction
from math import inf
from sys import float_info
from typing import Final

import numpy as np

from hbsim.core.cuts import Quantile

__all__ = ["Noise", "Ranking"]

ROOM: Final = 64  # trials
PERCENTILE: Final = Fraction(10)  # 1 - 1/10: the 90th


class Ranking:
    """The trials recorded at a level, by their values there and by those one level below.

    The rankings agree if at each rank the trial that has it here has a value below within epsilon of the
    value that has that rank below. Equal values here rank as they do below. The values below are
    numbers: no trial without one goes on.

    A trial costs two bisections, three insertions into arrays, and a look at the ranks between its two
    places: those of others change by one together, here and below, and stay as far apart as they were.
    """

    __slots__ = ("_below", "_here", "_sorted", "_worst")

    def __init__(self) -> None:
        self._here = array("d")  # ascending
        self._below = array("d")  # those of the same trials, in the same order
        self._sorted = array("d")  # and ascending
        self._worst = 0.0  # at least the largest distance between the two

    def add(self, value: float, below: float) -> None:
        """Record a trial's value, and the one it had a level below."""
        first = bisect_left(self._here, value)
        last = bisect_right(self._here, value, first)
        place = bisect_right(self._below, below, first, last)
        self._here.insert(place, value)
        self._below.insert(place, below)
        least = bisect_left(self._sorted, below)
        other = min(max(place, least), bisect_right(self._sorted, below, least))
        self._sorted.insert(other, below)
        self._worst = max(self._worst, self._distance(min(place, other), max(place, other) + 1))

    def agrees(self, epsilon: float) -> bool:
        """Return whether the two rankings agree, values within epsilon being equal."""
        if self._worst > epsilon:
            self._worst = self._distance(0, len(self._here))
        return self._worst <= epsilon

    def _distance(self, first: int, end: int) -> float:
        """Return how far the values of a rank are apart at most, among these ranks."""
        if end - first == 1:
            return abs(self._below[first] - self._sorted[first])
        with np.errstate(over="ignore"):
            differences = np.frombuffer(self._below)[first:end] - np.frombuffer(self._sorted)[first:end]
        return float(np.abs(differences).max())


class Noise:
    """How far two trials are apart at a level though their learning curves cross and cross back.

    Parameters
    ----------
    levels : int
        How many levels a curve has; the last is where the distance is taken. At least 3.
    """

    __slots__ = ("_count", "_curves", "_distances")

    def __init__(self, levels: int) -> None:
        self._curves = np.empty((levels, ROOM))
        self._count = 0
        self._distances = Quantile(PERCENTILE)

    @property
    def epsilon(self) -> float | None:
        """The 90th percentile of the distances, linearly interpolated; None without any."""
        return self._distances.value

    def add(self, curve: Sequence[float]) -> None:
        """Hold a trial against all before; one without a number at the last level tells nothing.

        Parameters
        ----------
        curve : sequence of float
            Its values at all levels.
        """
        if curve[-1] == -inf:
            return
        values = np.array(curve)
        others = self._curves[:, : self._count]
        ahead, behind = others > values[:, None], others < values[:, None]
        crossed = _crosses_back(ahead, behind) | _crosses_back(behind, ahead)
        with np.errstate(over="ignore"):
            distances = np.abs(others[-1, crossed] - values[-1])
        for distance in np.minimum(distances, float_info.max).tolist():
            self._distances.add(distance)
        self._append(values)

    def _append(self, values: np.ndarray) -> None:
        count = self._count
        if count == self._curves.shape[1]:
            self._curves = np.concatenate([self._curves, np.empty_like(self._curves)], axis=1)
        self._curves[:, count] = values
        self._count = count + 1


def _crosses_back(ahead: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """Return who is ahead at last, was behind before, and ahead before that: (levels, n) to (n,)."""
    before = np.logical_or.accumulate(ahead[:-2], axis=0)
    crossed: np.ndarray = ahead[-1] & (before & behind[1:-1]).any(axis=0)
    return crossed
