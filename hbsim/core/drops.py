"""Which paused trials of the promotion type can never go on.

A paused trial can go on only while its rung may still have a place for it. A rung has at most
floor(n / eta) places, n being all values that may still be recorded there. A better trial holds its
place for good once it cannot fail any more: it has completed, or can never go on itself. Where the
places of failed trials are held, it does so from the first. So a trial is lost when at least as many
better ones hold theirs as there can ever be places. Only heaps are kept, O(log n) an event; nothing is
kept at all until `Promotion.dropped` is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from heapq import heappop, heappush

from hbsim.core.rungs import TopRung

__all__ = ["Drops"]

Key = tuple[float, int]  # (value, -order): the smaller, the worse


class Shelf:
    """One rung as `Drops` sees it."""

    __slots__ = ("held", "paused", "rung", "seen")

    def __init__(self, rung: TopRung) -> None:
        self.rung = rung
        self.seen = 0
        self.paused: list[Key] = []  # a heap, the worst on top; entries may be out of date
        self.held: list[Key] = []  # a heap of the best that hold their places for good, the worst on top


class Drops:
    """Follows the rungs of a scheduler and finds the paused trials that are lost.

    Parameters
    ----------
    groups : sequence of sequence of TopRung
        The rungs of each bracket, or of all where they are shared; lowest level first, the last is R's.
    eta : Fraction
        The reduction factor.
    passes_on : bool
        Whether trials that fail for good leave their places to others.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[TopRung]],
        eta: Fraction,
        passes_on: bool = True,
    ) -> None:
        self._shelves = [[Shelf(rung) for rung in rungs] for rungs in groups]
        self._eta = eta
        self._passes_on = passes_on
        self._keys: dict[int, dict[int, Key]] = {}  # trial -> level index -> key

    def update(self, to_start: int, is_paused: Callable[[int, int], bool]) -> list[int]:
        """Return trials that are lost now; call again until none is.

        Parameters
        ----------
        to_start : int
            How many new ones may still start.
        is_paused : callable
            Whether a trial is paused at the level of this index, and was not named yet.
        """
        lost: list[int] = []
        for shelves in self._shelves:
            self._read(shelves)
            lost += self._sweep(shelves, to_start, is_paused)
        return lost

    def slack(self, to_start: int, named: int) -> int:
        """Return how many places the fullest rung has left at least; above 0 no trial is lost.

        Only completed trials and the `named` can hold places; others hold theirs once they have failed.
        """
        least = 1 << 62
        for shelves in self._shelves:
            ended, coming = named + len(shelves[-1].rung.values), to_start
            for shelf in shelves[:-1]:
                rung = shelf.rung
                recorded = len(rung.values)
                places = (rung.targeted + coming) * self._eta.denominator // self._eta.numerator
                least = min(least, places - (ended if self._passes_on else recorded))
                coming += rung.paused + rung.targeted - recorded
        return least

    def hold(self, trial: int, at: int, group: int) -> None:
        """Take note that `trial`, of the rungs of this index, can never go on from level `at`."""
        self._read(self._shelves[group])
        self._hold(self._shelves[group], trial, at)

    def _read(self, shelves: Sequence[Shelf]) -> None:
        """Take in what was recorded since the last time."""
        for at, shelf in enumerate(shelves):
            rung = shelf.rung
            for order in range(shelf.seen, len(rung.values)):
                trial, key = rung.trials[order], (rung.values[order], -order)
                heappush(shelf.paused, key)
                if not self._passes_on:
                    heappush(shelf.held, key)
                    continue
                self._keys.setdefault(trial, {})[at] = key
                if at == len(shelves) - 1:
                    self._hold(shelves, trial, at)
            shelf.seen = len(rung.values)

    def _hold(self, shelves: Sequence[Shelf], trial: int, at: int) -> None:
        for level, key in self._keys.get(trial, {}).items():
            if level < at:
                heappush(shelves[level].held, key)

    def _sweep(
        self, shelves: Sequence[Shelf], to_start: int, is_paused: Callable[[int, int], bool]
    ) -> list[int]:
        """Go over the rungs once, from the lowest."""
        lost = []
        coming = to_start
        for at, shelf in enumerate(shelves[:-1]):
            rung = shelf.rung
            places = (rung.targeted + coming) * self._eta.denominator // self._eta.numerator
            worse = self._worse_than_held(shelf, at, places, is_paused)
            for trial in worse:
                self._hold(shelves, trial, at)
            lost += worse
            coming += rung.paused - len(worse) + rung.targeted - len(rung.values)
        return lost

    def _worse_than_held(
        self, shelf: Shelf, at: int, places: int, is_paused: Callable[[int, int], bool]
    ) -> list[int]:
        while len(shelf.held) > places:
            heappop(shelf.held)
        full = len(shelf.held) == places
        worst_held = shelf.held[0] if shelf.held else None
        lost = []
        while shelf.paused:
            key = shelf.paused[0]
            trial = shelf.rung.trials[-key[1]]
            if is_paused(trial, at):
                if not full or (worst_held is not None and key >= worst_held):
                    break
                lost.append(trial)
            heappop(shelf.paused)
        return lost
