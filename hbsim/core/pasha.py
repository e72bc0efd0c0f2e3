"""PASHA: promotion whose maximum resource grows while the ranking of the best trials is not settled.

Bohdal, Balles, Wistuba, Ermis, Archambeau, Zappella, "PASHA: Efficient HPO and NAS with Progressive
Resource Allocation", ICLR 2023 (arXiv 2207.06940), algorithm 1 and section 4. Values are signed so that
larger is better; NaN and infinities are -inf.
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

from hbsim.core.levels import Levels
from hbsim.core.options import Options
from hbsim.core.promotion import Promotion
from hbsim.core.rungs import Quantile
from hbsim.core.state import integer, number
from hbsim.core.types import PAUSED, RUNNING, WAITING

ROOM: Final = 64  # trials
PERCENTILE: Final = Fraction(10)  # 1 - 1/10: the 90th


class Ranking:
    """The trials recorded at a level, ranked by their values at it and by their values one level below.

    The two rankings agree if at each rank the trial that has it at this level has a value at the level below
    within epsilon of the value that has this rank there. Ties at this level are ranked as at the level below.
    The values at the level below are finite: no other trial goes on.

    A trial costs two bisections, three insertions into arrays, and a comparison of the ranks between its two
    places: all other ranks change by one in both rankings.
    """

    __slots__ = ("_below", "_sorted", "_values", "_worst")

    def __init__(self) -> None:
        self._values = array("d")  # ascending
        self._below = array("d")  # the values below of the same trials, in the same order
        self._sorted = array("d")  # the values below, ascending
        self._worst = 0.0  # an upper bound of the distance between the two

    def add(self, value: float, below: float) -> None:
        """Record a trial's value, and its value one level below."""
        first = bisect_left(self._values, value)
        last = bisect_right(self._values, value, first)
        place = bisect_right(self._below, below, first, last)
        self._values.insert(place, value)
        self._below.insert(place, below)
        least = bisect_left(self._sorted, below)
        other = min(max(place, least), bisect_right(self._sorted, below, least))
        self._sorted.insert(other, below)
        self._worst = max(self._worst, self._distance(min(place, other), max(place, other) + 1))

    def agrees(self, epsilon: float) -> bool:
        """Return whether the two rankings agree, values within epsilon being equal."""
        if self._worst > epsilon:
            self._worst = self._distance(0, len(self._values))
        return self._worst <= epsilon

    def _distance(self, first: int, end: int) -> float:
        """Return the largest distance between the two values of a rank, among these ranks."""
        if end - first == 1:
            return abs(self._below[first] - self._sorted[first])
        with np.errstate(over="ignore"):
            differences = np.frombuffer(self._below)[first:end] - np.frombuffer(self._sorted)[first:end]
        return float(np.abs(differences).max())


class EpsilonEstimator:
    """Estimates epsilon from pairs of trials whose learning curves cross and cross back.

    Parameters
    ----------
    levels : int
        How many levels a curve has, at least 3; distances are taken at the last.
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
        """Compare a trial with all earlier ones; a trial without a finite value at the last level is ignored.

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
    """Return which curves end ahead after being behind, and ahead before that: (levels, n) to (n,)."""
    before = np.logical_or.accumulate(ahead[:-2], axis=0)
    crossed: np.ndarray = ahead[-1] & (before & behind[1:-1]).any(axis=0)
    return crossed


class Pasha(Promotion):
    """Promotes as the promotion type does, but no trial beyond the cap; the cap grows from level to level.

    At first the cap is eta * r, the second level. Whenever a trial is recorded at the cap, all trials
    recorded there are ranked by their values there, and by those one level below. Where the rankings do
    not agree (see `hbsim.core.pasha`), the cap grows by one level; at R it no longer grows, and PASHA
    works as the promotion type. Then it is decided whether the trial goes straight on. A trial that is
    recorded at the cap pauses there, and may go on later if the cap grows.

    Values within epsilon are equal. Unless it is given, epsilon is the 90th percentile of the distances,
    at the cap, of the pairs of trials recorded there whose learning curves cross and cross back: one is
    ahead, then behind, then ahead. **The paper compares curves in every epoch; the core sees values at
    levels only, and compares these.** Three levels are needed: with the first cap epsilon is 0. After the
    cap has grown epsilon does not change until there is such a pair at the new cap. A trial without a
    finite value at the cap ranks last there, and does not count for epsilon.

    Cost: that of promotion, and for a trial recorded at the cap, with m trials there, O(log m) and
    three insertions into arrays (O(m), some microseconds for m = 100,000); if epsilon is estimated,
    from the third level on, a comparison with each of the m curves, in NumPy, and O(log) and a float for
    every pair that crosses back. No rung is sorted.
    """

    def __init__(self, options: Options, geometry: Levels) -> None:
        super().__init__(options, geometry)
        self._estimates = options.epsilon is None
        self._epsilon = options.epsilon or 0.0
        self._curves: dict[int, list[float]] = {}  # of trials beyond the lowest level, to estimate epsilon
        self._raise(min(1, self._top))

    @property
    def cap(self) -> float:
        """The level beyond which no trial trains now."""
        return self.levels[self._cap]

    @property
    def epsilon(self) -> float:
        """The difference up to which values count as equal now."""
        return self._epsilon

    def _raise(self, cap: int) -> None:
        """Raise the cap to the level with this index."""
        self._cap = cap
        self._ranking = Ranking()
        self._noise = EpsilonEstimator(cap + 1) if self._estimates and 1 < cap < self._top else None
        if cap == self._top:
            self._curves = {}

    def _decide(self, trial: int, at: int, value: float) -> int:
        if at and self._cap < self._top:
            below = self._rungs[0][at - 1].values[self._position[trial]]
            self._follow(trial, value, below)
            if at == self._cap:
                self._rank(trial, value, below)
        code = super()._decide(trial, at, value)
        if at == self._cap:
            self.cutoff = None
        return code

    def _follow(self, trial: int, value: float, below: float) -> None:
        if self._estimates:
            self._curves.setdefault(trial, [below]).append(value)

    def _rank(self, trial: int, value: float, below: float) -> None:
        """Rank a trial that is recorded at the cap; raise the cap if the two rankings differ."""
        self._compare(trial, value, below)
        if self._noise is not None and self._noise.epsilon is not None:
            self._epsilon = self._noise.epsilon
        if not self._ranking.agrees(self._epsilon):
            self._raise(self._cap + 1)

    def _compare(self, trial: int, value: float, below: float) -> None:
        self._ranking.add(value, below)
        if self._noise is not None:
            self._noise.add(self._curves[trial])

    # Explanations and state

    def _since(self, trial: int) -> str:
        at = self._at[trial] - 1
        if self._status[trial] != PAUSED or at < self._cap:
            return super()._since(trial)
        rung = self._rungs[0][at]
        if rung.values[self._position[trial]] == -inf:
            return ""
        return (
            f"Now it is rank {rung.rank(self._position[trial])} of {len(rung.values)}, and no trial goes "
            f"beyond {self.levels[at]} while those there rank as they did at {self.levels[at - 1]}."
        )

    def _extra_state(self) -> dict[str, object]:
        return {**super()._extra_state(), "cap": self._cap, "epsilon": self._epsilon}

    def _load_extra(self, state: dict[str, object]) -> None:
        super()._load_extra(state)
        cap = integer(state["cap"])
        if not min(1, self._top) <= cap <= self._top:
            raise ValueError(f"the cap is level {cap} of {len(self.levels)}")
        epsilon = float(number(state["epsilon"]))
        if epsilon < 0 or not (self._estimates or epsilon == self._epsilon):
            raise ValueError(f"epsilon is {epsilon}")
        if any(rung.trials for rung in self._rungs[0][cap + 1 :]):
            raise ValueError("a trial is beyond the cap")
        self._epsilon = epsilon
        self._raise(cap)

    def _check_extra(self) -> None:
        super()._check_extra()
        targets = (at for at, s in zip(self._at, self._status, strict=True) if s in (RUNNING, WAITING))
        if max(targets, default=0) > self._cap:
            raise ValueError("a trial is on its way beyond the cap")
        if self._cap < self._top:
            self._recall()

    def _recall(self) -> None:
        """Rebuild curves and rankings from the rungs, in the order of recording."""
        rungs = self._rungs[0][: self._cap + 1]
        values = [dict(zip(rung.trials, rung.values, strict=True)) for rung in rungs]
        for at in range(1, self._cap + 1):
            for trial, value in values[at].items():
                self._follow(trial, value, values[at - 1][trial])
        for trial, value in values[self._cap].items() if self._cap else ():
            self._compare(trial, value, values[self._cap - 1][trial])
