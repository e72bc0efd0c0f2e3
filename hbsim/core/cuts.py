"""Where a rung of the stopping type cuts: two heaps, O(log n) a value.

Values are signed so that larger is better; what is no number is -inf, and never goes on. A cut keeps the
values of a rung in two heaps, the `best` and the `rest`, whose sizes depend on n only and never shrink, so
that the values on both sides of the cut are always on top.
"""

from __future__ import annotations

from fractions import Fraction
from heapq import heappush, heappushpop
from math import inf
from typing import Final

__all__ = ["RULES", "Cut", "Quantile", "make_cut"]


class Cut:
    """The recorded values of a rung, split where its rule decides."""

    __slots__ = ("best", "cutoff", "n", "p", "q", "rest")

    def __init__(self, eta: Fraction) -> None:
        self.p = eta.numerator
        self.q = eta.denominator
        self.n = 0
        self.best: list[float] = []  # a heap, the least on top
        self.rest: list[float] = []  # a heap of negated values, the greatest on top
        self.cutoff: float | None = None

    def decide(self, value: float) -> bool:
        """Record `value`; return whether its trial goes on. `cutoff` is what it was held against."""
        raise NotImplementedError

    def _add(self, value: float, size: int) -> None:
        # `size` is the new size of `best`: the present one, or one more.
        self.n += 1
        if len(self.best) < size:
            heappush(self.best, -heappushpop(self.rest, -value))
        else:
            heappush(self.rest, -heappushpop(self.best, value))


class QuantileCut(Cut):
    """Stops below the (1 - 1/eta) quantile of the values recorded before: AutoTorch, Ray Tune."""

    __slots__ = ("_next",)

    def __init__(self, eta: Fraction) -> None:
        super().__init__(eta)
        self._next: float | None = None

    def decide(self, value: float) -> bool:
        # `_add` and `_quantile` stand here once more: this is what every report goes through.
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
        """Interpolate between the two values at the cut, rest/p of the way."""
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


class InclusiveQuantileCut(QuantileCut):
    """The quantile of all values, the new one included; needs two: Syne Tune 0.13."""

    __slots__ = ()

    def decide(self, value: float) -> bool:
        whole, rest = divmod(self.n * (self.p - self.q), self.p)
        self._add(value, self.n - whole)
        cutoff = self.cutoff = self._quantile(rest) if self.n > 1 else None
        return value >= cutoff if cutoff is not None else value > -inf


class RankCut(Cut):
    """Goes on if at most 1/eta of the values, the new one included, are better: Syne Tune 0.16."""

    __slots__ = ()

    def decide(self, value: float) -> bool:
        n = self.n + 1
        return self._against(value, n * self.q // self.p + 1)

    def _against(self, value: float, size: int) -> bool:
        self._add(value, size)
        least = self.best[0]
        self.cutoff = least if least > -inf and self.n > 1 else None
        return value >= least and value > -inf


class TopCut(RankCut):
    """Goes on if at least as good as the k-th best, k = max(1, floor(n / eta)): Optuna."""

    __slots__ = ()

    def decide(self, value: float) -> bool:
        n = self.n + 1
        return self._against(value, max(1, n * self.q // self.p))


class Quantile(QuantileCut):
    """The (1 - 1/eta) quantile of the values that were added, where no trial is held against it."""

    __slots__ = ()

    def add(self, value: float) -> None:
        """Take one more value in."""
        self.decide(value)

    @property
    def value(self) -> float | None:
        """The quantile; None without values, or while a non-number has weight in it."""
        return self._next


RULES: Final[dict[str, type[Cut]]] = {
    "quantile": QuantileCut,
    "quantile-inclusive": InclusiveQuantileCut,
    "rank": RankCut,
    "top-k": TopCut,
}


def make_cut(rule: str, eta: Fraction) -> Cut:
    """Return an empty cut that decides by `rule`."""
    return RULES[rule](eta)
