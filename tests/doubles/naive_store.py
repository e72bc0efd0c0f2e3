"""A shared store as a fluid: every transfer runs at its rate until the number of transfers changes."""

from __future__ import annotations

import math
from collections.abc import Hashable


class NaiveStore:
    """Transfers under way; `bandwidth` is shared in equal parts."""

    def __init__(self, bandwidth: float) -> None:
        self.bandwidth = bandwidth
        self.left: dict[Hashable, float] = {}  # GB
        self.own: dict[Hashable, float] = {}  # the most that a transfer can use, GB a second

    def begin(self, key: Hashable, size: float, own: float | None) -> None:
        self.left[key] = size
        self.own[key] = math.inf if own is None else own

    def cut(self, key: Hashable) -> None:
        self.left.pop(key, None)

    def rate(self, key: Hashable) -> float:
        return min(self.own[key], self.bandwidth / len(self.left))

    def end(self, key: Hashable, now: float) -> float:
        """Return when a transfer is over, should no other begin or end."""
        return now + self.left[key] / self.rate(key)

    def pass_time(self, now: float, then: float) -> list[Hashable]:
        """Go on from `now` to `then`, at most to the next end; return what is over then."""
        over = [key for key in self.left if self.end(key, now) <= then]
        rates = {key: self.rate(key) for key in self.left}
        for key in list(self.left):
            self.left[key] -= rates[key] * (then - now)
        for key in over:
            self.cut(key)
        return over
