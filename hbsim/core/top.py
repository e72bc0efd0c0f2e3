"""The best floor(n / eta) of a rung of the promotion type, kept by heaps, O(log n) a value."""

from __future__ import annotations

from fractions import Fraction
from heapq import heappop, heappush
from math import inf
from typing import Final

__all__ = ["HANDED_OUT", "TopRung"]

ABSENT, REST, TOP, PASSED_OVER, HANDED_OUT = range(5)
SPARE: Final = 4096


class TopRung:
    """The values recorded at one level, and which of them are among the best floor(n / eta).

    Values are signed so that larger is better; what is no number is -inf, counts in n, and is never
    among the best. Of equal values the earlier recorded is better. Trials that are passed over count
    in n, and their places go to others.

    Attributes
    ----------
    values, trials : list
        What was recorded, in order.
    targeted : int
        Jobs and stretches started with this level as target, less those that failed for good.
    paused : int
        Trials that pause here and may still go on.
    eligible : list
        A heap; empty where no trial can be promoted.
    """

    __slots__ = (
        "_place",
        "_rest",
        "_stale",
        "_top",
        "_top_size",
        "eligible",
        "p",
        "paused",
        "q",
        "targeted",
        "trials",
        "values",
    )

    def __init__(self, eta: Fraction) -> None:
        self.p = eta.numerator
        self.q = eta.denominator
        self.values: list[float] = []
        self.trials: list[int] = []
        self.targeted = 0
        self.paused = 0
        # Heaps hold (value, order) so that the worst of the top and the best of the rest come first.
        # A trial that was passed over or handed out leaves its entry behind; `_place` tells which count.
        self._top: list[tuple[float, int]] = []
        self._rest: list[tuple[float, int]] = []
        self._top_size = 0
        self._stale = False  # whether the heaps may hold trials that were passed over
        self.eligible: list[tuple[float, int]] = []
        self._place = bytearray()

    def append(self, trial: int, value: float) -> None:
        """Record a value where nothing is decided."""
        self.values.append(value)
        self.trials.append(trial)

    def record(self, trial: int, value: float) -> bool:
        """Record a value; return whether it is among the best floor(n / eta) now."""
        order = len(self.values)
        self.values.append(value)
        self.trials.append(trial)
        place = self._place
        if trial >= len(place):
            place.extend(bytes(trial - len(place) + SPARE))
        size = self.places()
        if value > -inf:
            if self._top_size and value > (self._worst_of_top() if self._stale else self._top[0][0]):
                place[trial] = TOP
                self._top_size += 1
                heappush(self._top, (value, -order))
            else:
                place[trial] = REST
                heappush(self._rest, (-value, order))
        if self._top_size != size:
            self._balance(size)
        return place[trial] == TOP

    def _worst_of_top(self) -> float:
        top, place, trials = self._top, self._place, self.trials
        while place[trials[-top[0][1]]] != TOP:
            heappop(top)
        return top[0][0]

    def _balance(self, size: int) -> None:
        """Move trials between the top and the rest until the top has `size`, or all there are."""
        top, rest, place, trials = self._top, self._rest, self._place, self.trials
        while self._top_size > size:
            value, order = heappop(top)
            trial = trials[-order]
            if place[trial] == TOP:
                place[trial] = REST
                self._top_size -= 1
                heappush(rest, (-value, -order))
        while self._top_size < size and rest:
            value, order = heappop(rest)
            trial = trials[order]
            if place[trial] == REST:
                place[trial] = TOP
                self._top_size += 1
                heappush(top, (-value, -order))
                self.enter(order)

    def pass_over(self, trial: int) -> None:
        """Give the place of a trial that has failed for good to the next best, if it has one."""
        if trial >= len(self._place):
            return
        was = self._place[trial]
        if was in (TOP, REST):
            self._place[trial] = PASSED_OVER
            self._stale = True
        if was == TOP:
            self._top_size -= 1
            self._balance(self.places())

    def cutoff(self) -> float | None:
        """Return the value in the last of the floor(n / eta) places; None while it is empty."""
        size = self.places()
        if not size or self._top_size != size:
            return None
        return self._worst_of_top() if self._stale else self._top[0][0]

    def places(self) -> int:
        """Return how many places there are now: floor(n / eta)."""
        return len(self.values) * self.q // self.p

    def rank(self, order: int) -> int:
        """Return the present rank of the order-th value, 1 for the best, trials passed over left out."""
        value, trials, place = self.values[order], self.trials, self._place
        better = sum(
            place[trials[at]] != PASSED_OVER
            for at, other in enumerate(self.values)
            if other > value or (other == value and at < order)
        )
        return 1 + better

    # Those among the best that wait for their promotion. Entries may be out of date: the scheduler,
    # which knows who is paused, looks at the first and drops it if so.

    def enter(self, order: int) -> None:
        """Enter a trial that is among the best; `order` is its place in `trials`."""
        heappush(self.eligible, (-self.values[order], order))

    def first_eligible(self) -> int:
        """Return the best of those entered."""
        return self.trials[self.eligible[0][1]]

    def drop_eligible(self) -> None:
        """Forget the best of those entered."""
        heappop(self.eligible)

    def is_top(self, trial: int) -> bool:
        """Return whether a trial recorded here is among the best floor(n / eta)."""
        return trial < len(self._place) and self._place[trial] == TOP
