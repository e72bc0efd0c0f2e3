"""A rung of the synchronous types: who goes on when all of it is in, O(log n) a value."""

from __future__ import annotations

from fractions import Fraction
from heapq import heappop, heappush

from hbsim.core.top import HANDED_OUT, TopRung

__all__ = ["HalvingRung"]


class HalvingRung(TopRung):
    """Keeps the best of a rung as they come in, and hands them out by their numbers.

    Parameters
    ----------
    eta : Fraction
        The reduction factor.
    quota : int or None
        How many go on, as far as there are numbers; None: floor(m / eta) of the m that are in.
    """

    __slots__ = ("_by_number", "_quota")

    def __init__(self, eta: Fraction, quota: int | None) -> None:
        super().__init__(eta)
        self._quota = quota
        self._by_number: list[int] = []  # a heap; may hold trials that were pushed out since

    def places(self) -> int:
        """Return how many places there are now."""
        return super().places() if self._quota is None else self._quota

    def record(self, trial: int, value: float) -> bool:
        """Record a value; return whether it is among the best now."""
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
        """How many are among the best and were not handed out yet."""
        return self._top_size

    def take_winner(self) -> int:
        """Hand out the winner with the lowest number."""
        while not self.is_top(trial := heappop(self._by_number)):
            pass
        self.hand_out(trial)
        return trial

    def hand_out(self, trial: int) -> None:
        """Note that a winner goes on."""
        self._place[trial] = HANDED_OUT
        self._stale = True
        self._top_size -= 1

    def losers(self) -> list[int]:
        """Return those that do not go on, once the rung is complete."""
        return [trial for trial in self.trials if not (self.is_top(trial) or self.has_gone_on(trial))]

    def has_gone_on(self, trial: int) -> bool:
        """Return whether a trial was handed out."""
        return trial < len(self._place) and self._place[trial] == HANDED_OUT
