"""Dropped trials of the promotion type: paused ones that can never go on.

A paused trial can go on only while its rung may still have a place for it. A rung has at most
floor(n / eta) places, n being all values that may still be recorded there. A better trial keeps its
place for good once it cannot fail any more: it has completed, or can never go on itself. With
``failed_places="held"`` it keeps its place from the start. So a trial is lost when as many better trials
keep their places as there can ever be places. The rungs are followed in heaps, O(log n) an event, from
the first call of `Promotion.dropped` on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from heapq import heappop, heappush

from hbsim.core.rungs import TopRung

Key = tuple[float, int]  # (value, -order): the smaller, the worse


class WatchedRung:
    """A rung, the trials that pause in it, and those that keep a place in it for good."""

    __slots__ = ("paused", "permanent_places", "rung", "seen")

    def __init__(self, rung: TopRung) -> None:
        self.rung = rung
        self.seen = 0
        self.paused: list[Key] = []  # a heap, the worst on top; entries may be out of date
        # A heap of the best trials that keep their places for good, the worst on top.
        self.permanent_places: list[Key] = []


class DroppedTrialFinder:
    """Follows the rungs of a scheduler and finds the paused trials that are lost.

    Parameters
    ----------
    groups : sequence of sequence of TopRung
        The rungs of one bracket, or of all brackets if they share rungs; lowest level first, the last is R's.
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
        self._groups = [[WatchedRung(rung) for rung in rungs] for rungs in groups]
        self._eta = eta
        self._passes_on = passes_on
        self._keys: dict[int, dict[int, Key]] = {}  # trial -> level index -> key

    def update(self, to_start: int, is_paused: Callable[[int, int], bool]) -> list[int]:
        """Return the trials that are lost now; call it again until it returns none.

        Parameters
        ----------
        to_start : int
            How many new trials may still start.
        is_paused : callable
            Whether a trial is paused at the level with this index, and was not returned as dropped yet.
        """
        lost: list[int] = []
        for watched in self._groups:
            self._read(watched)
            lost += self._sweep(watched, to_start, is_paused)
        return lost

    def slack(self, to_start: int, named: int) -> int:
        """Return a lower bound of the free places in the fullest rung; if it is above 0, no trial is lost.

        Completed and `named` (dropped) trials keep places; with failed places held, all recorded trials do.
        """
        least = 1 << 62
        for watched in self._groups:
            ended, coming = named + len(watched[-1].rung.values), to_start
            for one in watched[:-1]:
                rung = one.rung
                recorded = len(rung.values)
                places = (rung.targeted + coming) * self._eta.denominator // self._eta.numerator
                least = min(least, places - (ended if self._passes_on else recorded))
                coming += rung.paused + rung.targeted - recorded
        return least

    def hold(self, trial: int, at: int, group: int) -> None:
        """Count the places that `trial`, which can never go on from level `at`, keeps in its group."""
        self._read(self._groups[group])
        self._hold(self._groups[group], trial, at)

    def _read(self, watched: Sequence[WatchedRung]) -> None:
        """Read the values recorded since the last call."""
        for at, one in enumerate(watched):
            rung = one.rung
            for order in range(one.seen, len(rung.values)):
                trial, key = rung.trials[order], (rung.values[order], -order)
                heappush(one.paused, key)
                if not self._passes_on:
                    heappush(one.permanent_places, key)
                    continue
                self._keys.setdefault(trial, {})[at] = key
                if at == len(watched) - 1:
                    self._hold(watched, trial, at)
            one.seen = len(rung.values)

    def _hold(self, watched: Sequence[WatchedRung], trial: int, at: int) -> None:
        for level, key in self._keys.get(trial, {}).items():
            if level < at:
                heappush(watched[level].permanent_places, key)

    def _sweep(
        self, watched: Sequence[WatchedRung], to_start: int, is_paused: Callable[[int, int], bool]
    ) -> list[int]:
        """Find the lost trials in one pass over the rungs from the lowest."""
        lost = []
        coming = to_start
        for at, one in enumerate(watched[:-1]):
            rung = one.rung
            places = (rung.targeted + coming) * self._eta.denominator // self._eta.numerator
            worse = self._worse_than_held(one, at, places, is_paused)
            for trial in worse:
                self._hold(watched, trial, at)
            lost += worse
            coming += rung.paused - len(worse) + rung.targeted - len(rung.values)
        return lost

    def _worse_than_held(
        self, one: WatchedRung, at: int, places: int, is_paused: Callable[[int, int], bool]
    ) -> list[int]:
        while len(one.permanent_places) > places:
            heappop(one.permanent_places)
        full = len(one.permanent_places) == places
        worst_held = one.permanent_places[0] if one.permanent_places else None
        lost = []
        while one.paused:
            key = one.paused[0]
            trial = one.rung.trials[-key[1]]
            if is_paused(trial, at):
                if not full or (worst_held is not None and key >= worst_held):
                    break
                lost.append(trial)
            heappop(one.paused)
        return lost
