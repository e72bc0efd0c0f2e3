"""Rungs: the values recorded at one level, and the rules that decide which trials go on, O(log n) a value.

Values are signed so that larger is better; NaN and infinities are -inf, and their trials never go on. Two
heaps have the values next to the cutoff on top, so that no report needs a sort or a scan.
"""

from __future__ import annotations

from fractions import Fraction
from heapq import heappop, heappush, heappushpop
from math import inf
from typing import Final


class StoppingRule:
    """A rule that stops trials at a rung, with the rung's values in two heaps split at the cutoff."""

    __slots__ = ("best", "cutoff", "n", "p", "q", "rest")

    def __init__(self, eta: Fraction) -> None:
        self.p = eta.numerator
        self.q = eta.denominator
        self.n = 0
        self.best: list[float] = []  # a heap, the least on top
        self.rest: list[float] = []  # a heap of negated values, the greatest on top
        self.cutoff: float | None = None

    def decide(self, value: float) -> bool:
        """Record `value`; return whether its trial goes on. `cutoff` is the value it was compared with."""
        raise NotImplementedError

    def _add(self, value: float, size: int) -> None:
        # `size` is the new size of `best`: the present one, or one more.
        self.n += 1
        if len(self.best) < size:
            heappush(self.best, -heappushpop(self.rest, -value))
        else:
            heappush(self.rest, -heappushpop(self.best, value))


class QuantileRule(StoppingRule):
    """Stops below the (1 - 1/eta) quantile of the values recorded before: AutoTorch, Ray Tune."""

    __slots__ = ("_next",)

    def __init__(self, eta: Fraction) -> None:
        super().__init__(eta)
        self._next: float | None = None

    def decide(self, value: float) -> bool:
        """Record a value; return whether the trial goes on: it reaches the quantile of those before."""
        # Inlined copies of `_add` and `_quantile`: every report goes through this code.
        cutoff = self.cutoff = self._next
        n, p, best, rest = self.n, self.p, self.best, self.rest
        whole, part = divmod(n * (p - self.q), p)
        if len(best) < n - whole:
            heappush(best, -heappushpop(rest, -value))
        else:
            heappush(rest, -heappushpop(best, value))
        self.n = n + 1
        low = -rest[0]
        if part and low > -inf:
            next_cutoff = low + (best[0] - low) * part / p
            self._next = next_cutoff if next_cutoff < inf else self._quantile(part)
        else:
            self._next = low if low > -inf else None
        return value >= cutoff if cutoff is not None else value > -inf

    def _quantile(self, rest: int) -> float | None:
        """Interpolate between the two values next to the cutoff, rest/p of the way."""
        low = -self.rest[0]
        if low == -inf:
            return None
        if not rest:
            return low
        high = self.best[0]
        cutoff = low + (high - low) * rest / self.p
        if cutoff == inf:  # the difference was too large for a float
            return low * ((self.p - rest) / self.p) + high * (rest / self.p)
        return cutoff


class InclusiveQuantileRule(QuantileRule):
    """Stops below the quantile of all values, the new one included; needs two values: Syne Tune 0.13."""

    __slots__ = ()

    def decide(self, value: float) -> bool:
        """Record a value; return whether it reaches the quantile of all values."""
        whole, rest = divmod(self.n * (self.p - self.q), self.p)
        self._add(value, self.n - whole)
        cutoff = self.cutoff = self._quantile(rest) if self.n > 1 else None
        return value >= cutoff if cutoff is not None else value > -inf


class RankRule(StoppingRule):
    """Goes on if at most 1/eta of the values, the new one included, are better: Syne Tune 0.16."""

    __slots__ = ()

    def decide(self, value: float) -> bool:
        """Record a value; return whether at most 1/eta of all values are better."""
        n = self.n + 1
        return self._against(value, n * self.q // self.p + 1)

    def _against(self, value: float, size: int) -> bool:
        self._add(value, size)
        least = self.best[0]
        self.cutoff = least if least > -inf and self.n > 1 else None
        return value >= least and value > -inf


class TopRule(RankRule):
    """Goes on if at least as good as the k-th best, k = max(1, floor(n / eta)): Optuna."""

    __slots__ = ()

    def decide(self, value: float) -> bool:
        """Record a value; return whether it is at least as good as the k-th best."""
        n = self.n + 1
        return self._against(value, max(1, n * self.q // self.p))


class Quantile(QuantileRule):
    """The (1 - 1/eta) quantile of the values added, without decisions about trials."""

    __slots__ = ()

    def add(self, value: float) -> None:
        """Add a value."""
        self.decide(value)

    @property
    def value(self) -> float | None:
        """The quantile; None without values, or while it depends on a value of -inf."""
        return self._next


RULES: Final[dict[str, type[StoppingRule]]] = {
    "quantile": QuantileRule,
    "quantile-inclusive": InclusiveQuantileRule,
    "rank": RankRule,
    "top-k": TopRule,
}


ABSENT, REST, TOP, PASSED_OVER, HANDED_OUT = range(5)
SPARE: Final = 4096


class TopRung:
    """The values recorded at one level, and which of them are among the best floor(n / eta).

    Values are signed so that larger is better; NaN and infinities are -inf, count in n, and are never
    among the best. Of equal values the earlier recorded is better. Trials that are passed over count
    in n, and their places go to others.

    Attributes
    ----------
    values, trials : list
        The recorded values and their trials, in order.
    targeted : int
        Jobs and stretches started with this level as target, less those that failed for good.
    paused : int
        Trials that pause at this level and may still go on.
    eligible : list
        A heap of trials that may be promoted; empty if there are none.
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
        # Entries of trials that were passed over or handed out remain; `_place` says which entries count.
        self._top: list[tuple[float, int]] = []
        self._rest: list[tuple[float, int]] = []
        self._top_size = 0
        self._stale = False  # whether the heaps may hold trials that were passed over
        self.eligible: list[tuple[float, int]] = []
        self._place = bytearray()

    def append(self, trial: int, value: float) -> None:
        """Record a value without ranking it."""
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
        """Move trials between the top and the rest until the top has `size` trials, or all of them."""
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

    # Trials among the best that wait for their promotion. Entries may be out of date: the scheduler,
    # which knows which trials are paused, checks the first entry and drops it if so.

    def enter(self, order: int) -> None:
        """Enter a trial that is among the best; `order` is its place in `trials`."""
        heappush(self.eligible, (-self.values[order], order))

    def first_eligible(self) -> int:
        """Return the best of the trials entered."""
        return self.trials[self.eligible[0][1]]

    def drop_eligible(self) -> None:
        """Remove the best of the trials entered."""
        heappop(self.eligible)

    def is_top(self, trial: int) -> bool:
        """Return whether a trial recorded here is among the best floor(n / eta)."""
        return trial < len(self._place) and self._place[trial] == TOP


class HalvingRung(TopRung):
    """A rung of synchronous halving: keeps its best trials, and hands them out in ascending order.

    Parameters
    ----------
    eta : Fraction
        The reduction factor.
    quota : int or None
        How many trials go on, if so many have finite values; None: floor(m / eta) of the m recorded.
    """

    __slots__ = ("_by_number", "_quota")

    def __init__(self, eta: Fraction, quota: int | None) -> None:
        super().__init__(eta)
        self._quota = quota
        self._by_number: list[int] = []  # a heap; may hold trials that are no longer among the best

    def places(self) -> int:
        """Return how many places there are now."""
        return super().places() if self._quota is None else self._quota

    def record(self, trial: int, value: float) -> bool:
        """Record a value; return whether it is among the best so far."""
        entered = len(self._by_number)
        is_top = super().record(trial, value)
        if is_top and len(self._by_number) == entered:
            heappush(self._by_number, trial)
        return is_top

    def enter(self, order: int) -> None:
        """Enter a trial that is among the best; `order` is its place in `trials`."""
        heappush(self._by_number, self.trials[order])

    @property
    def winners(self) -> int:
        """How many trials are among the best and were not handed out yet."""
        return self._top_size

    def take_winner(self) -> int:
        """Hand out the winner with the lowest trial number."""
        while not self.is_top(trial := heappop(self._by_number)):
            pass
        self.hand_out(trial)
        return trial

    def hand_out(self, trial: int) -> None:
        """Mark a winner as handed out: it goes on."""
        self._place[trial] = HANDED_OUT
        self._stale = True
        self._top_size -= 1

    def losers(self) -> list[int]:
        """Return the trials that do not go on, once the rung is complete."""
        return [trial for trial in self.trials if not (self.is_top(trial) or self.has_gone_on(trial))]

    def has_gone_on(self, trial: int) -> bool:
        """Return whether a trial was handed out."""
        return trial < len(self._place) and self._place[trial] == HANDED_OUT
