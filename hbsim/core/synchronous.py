"""The synchronous types: successive halving, and Hyperband, which opens its brackets in turn.

Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", JMLR 18(185),
2018. Nothing goes on from a rung before all of it is in.
"""

from __future__ import annotations

import warnings
from array import array
from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from math import inf

from hbsim.core.levels import Levels, hyperband_size
from hbsim.core.options import Options
from hbsim.core.scheduler import COMPLETE, PAUSE, Scheduler
from hbsim.errors import HbsimWarning

__all__ = ["Synchronous"]


class Opening:
    """A bracket that was opened: its present rung, and the values of all its rungs.

    Attributes
    ----------
    bracket, n : int
        Which bracket, and the size that its formula gives.
    first, at : int
        Indices in the levels: of its lowest rung, and of the present one.
    to_start : int
        New trials that it still starts; only in its lowest rung.
    winners : list of int
        A heap of the trials that go on to the present rung and were not handed out yet.
    out : int
        Trials handed out whose results in the present rung are not in.
    """

    __slots__ = ("at", "bracket", "first", "n", "out", "to_start", "trials", "values", "winners")

    def __init__(self, bracket: int, n: int, first: int, to_start: int) -> None:
        self.bracket = bracket
        self.n = n
        self.first = self.at = first
        self.to_start = to_start
        self.winners: list[int] = []
        self.out = 0
        self.values: list[list[float]] = [[]]
        self.trials: list[list[int]] = [[]]

    @property
    def has_work(self) -> bool:
        """Whether there is a trial to hand out."""
        return self.to_start > 0 or bool(self.winners)

    @property
    def is_in(self) -> bool:
        """Whether all of the present rung is in."""
        return not (self.has_work or self.out)

    def rise(self, winners: list[int]) -> None:
        """Go to the next rung with these trials."""
        self.at += 1
        self.winners = winners
        heapify(winners)
        self.values.append([])
        self.trials.append([])

    def select(self, places: int) -> tuple[list[int], list[int]]:
        """Split the present rung's trials into the best `places` numbers and the others."""
        values, trials = self.values[-1], self.trials[-1]
        # A rung is sorted once in its life: O(log n) for each of its reports.
        order = sorted(range(len(values)), key=lambda i: (-values[i], i))
        ranked = [(trials[i], values[i] > -inf) for i in order]
        winners = [trial for trial, is_number in ranked[:places] if is_number]
        return winners, [trial for trial, _ in ranked[len(winners) :]]


class Synchronous(Scheduler):
    """Trains all trials of a rung, then takes the best floor(m / eta) of the m that are in to the next."""

    def __init__(self, options: Options, geometry: Levels) -> None:
        super().__init__(options, geometry)
        self.brackets = geometry.k + 1 if options.type == "hyperband" else 1
        self._sizes = [self._size(bracket) for bracket in range(self.brackets)]
        for bracket, size in enumerate(self._sizes):
            self._warn_if_small(bracket, size)
        self._openings: list[Opening] = []
        self._ready: list[int] = []  # a heap of indices of openings with work
        self._open = 0  # openings that have not ended
        self._opening = array("q")  # of each trial
        self._lost: list[int] = []  # paused trials that can never go on, not named yet

    def _size(self, bracket: int) -> int:
        if self.type == "sha":
            return self.options.n
        return hyperband_size(self.geometry.k, bracket, self.geometry.eta, self.options.n_formula)

    def _warn_if_small(self, bracket: int, size: int) -> None:
        eta = self.geometry.eta
        last = size
        for _ in self.geometry.of_bracket(bracket)[1:]:
            last = int(last / eta)
        if size < eta ** (self.geometry.k - bracket) or last == 0:
            name = "n" if self.type == "sha" else f"bracket {bracket}: n"
            text = f"{name}={size} is too few to reach max_t={self.options.max_t}: a rung comes out empty"
            warnings.warn(HbsimWarning(text), stacklevel=5)

    # Choosing

    def _may_open(self) -> bool:
        return self.started < self._limit and (self.options.overlap or not self._open)

    def _has_work(self) -> bool:
        return bool(self._ready) or self._may_open()

    def _choose(self) -> int:
        if not self._ready:
            if not self._may_open():
                return -1
            self._open_next()
        index = self._ready[0]
        opening = self._openings[index]
        if opening.to_start:
            opening.to_start -= 1
            trial = self._start(opening.bracket)
            self._opening.append(index)
        else:
            trial = heappop(opening.winners)
        opening.out += 1
        if not opening.has_work:
            heappop(self._ready)
        return trial

    def _open_next(self) -> None:
        bracket = len(self._openings) % len(self._sizes)
        size = self._sizes[bracket]
        to_start = int(min(size, self._limit - self.started))
        heappush(self._ready, len(self._openings))
        self._openings.append(Opening(bracket, size, self.geometry.first[bracket], to_start))
        self._open += 1

    # Deciding

    def _decide(self, trial: int, at: int, value: float) -> int:
        index = self._opening[trial]
        opening = self._openings[index]
        self.n_before = self._position[trial] = len(opening.values[-1])
        self.cutoff = None
        opening.values[-1].append(value)
        opening.trials[-1].append(trial)
        self._one_in(index, opening)
        return COMPLETE if at == self._top else PAUSE

    def _lose(self, trial: int, at: int) -> None:
        index = self._opening[trial]
        self._one_in(index, self._openings[index])

    def _one_in(self, index: int, opening: Opening) -> None:
        """One trial less to wait for; when none is left the best go on together."""
        opening.out -= 1
        if not opening.is_in:
            return
        if opening.at < self._top:
            winners, losers = opening.select(self._places(opening))
            self._lost += losers
            if winners:
                opening.rise(winners)
                heappush(self._ready, index)
                return
        self._open -= 1

    def _places(self, opening: Opening) -> int:
        eta = self.geometry.eta
        if self.options.quota == "nominal":
            return int(opening.n / eta ** (opening.at - opening.first + 1))
        return int(len(opening.values[-1]) / eta)

    def dropped(self) -> list[int]:
        """Return the losers of complete rungs that were not named before, in ascending order."""
        lost, self._lost = sorted(self._lost), []
        return lost

    # Looking and keeping

    def _rung_values(self, trial: int) -> list[float]:
        opening = self._openings[self._opening[trial]]
        return opening.values[self._at[trial] - 1 - opening.first]

    def rung_is_complete(self, trial: int) -> bool:
        """Return whether all of the rung that recorded `trial` last is in."""
        opening = self._openings[self._opening[trial]]
        return opening.at > self._at[trial] - 1 or opening.is_in

    def places_in_rung(self, trial: int) -> int:
        """Return how many go on from the rung that recorded `trial` last, were it complete now."""
        opening = self._openings[self._opening[trial]]
        place = self._at[trial] - 1 - opening.first
        if self.options.quota == "nominal":
            return int(opening.n / self.geometry.eta ** (place + 1))
        return int(len(opening.values[place]) / self.geometry.eta)

    def _extra_state(self) -> dict[str, object]:
        return {
            "openings": [_pack(opening) for opening in self._openings],
            "ready": list(self._ready),
            "open": self._open,
            "opening": self._opening.tolist(),
            "lost": list(self._lost),
        }

    def _load_extra(self, state: dict[str, object]) -> None:
        from hbsim.core.state import integers

        self._openings = [_unpack(packed) for packed in list(state["openings"])]  # type: ignore[call-overload]
        self._ready = integers(state["ready"])
        self._open = int(state["open"])  # type: ignore[call-overload]
        self._opening = array("q", integers(state["opening"]))
        self._lost = integers(state["lost"])


def _pack(opening: Opening) -> dict[str, object]:
    from hbsim.core.state import pack_rungs

    counts = [opening.bracket, opening.n, opening.first, opening.at, opening.to_start, opening.out]
    rungs = pack_rungs(zip(opening.values, opening.trials, strict=True))
    return {"counts": counts, "winners": list(opening.winners), "rungs": rungs}


def _unpack(packed: dict[str, Sequence[int]]) -> Opening:
    from hbsim.core.state import unpack_rungs

    bracket, n, first, at, to_start, out = packed["counts"]
    opening = Opening(bracket, n, first, to_start)
    opening.at, opening.out, opening.winners = at, out, list(packed["winners"])
    rungs = unpack_rungs(packed["rungs"])
    opening.values = [values for values, _ in rungs]
    opening.trials = [trials for _, trials in rungs]
    return opening
