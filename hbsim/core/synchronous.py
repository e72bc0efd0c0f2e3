"""The synchronous types: successive halving, and Hyperband, which opens its brackets in turn.

Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", JMLR 18(185),
2018. No trial goes on from a rung before the rung is complete.
"""

from __future__ import annotations

import warnings
from array import array
from heapq import heappop, heappush
from math import inf
from typing import cast

from hbsim.core.levels import Levels, hyperband_size
from hbsim.core.options import Options
from hbsim.core.rungs import HalvingRung
from hbsim.core.scheduler import Scheduler
from hbsim.core.state import check_rungs, integer, integers, pack_rungs, unpack_rungs
from hbsim.core.types import COMPLETE, PAUSE, PAUSED, RUNNING, WAITING
from hbsim.errors import HbsimWarning


class OpenBracket:
    """A bracket that was started, and its rungs so far.

    Attributes
    ----------
    bracket, n : int
        The bracket's number, and its size by the formula.
    first, at : int
        Indices in the levels of its lowest rung and of its present rung.
    to_start : int
        How many trials it still starts; above 0 only in its lowest rung.
    out : int
        How many trials on their way to the present rung have no result yet.
    rungs : list of HalvingRung
        Its rungs from the lowest to the present one.
    """

    __slots__ = ("at", "bracket", "first", "n", "out", "rungs", "to_start")

    def __init__(self, bracket: int, n: int, first: int, to_start: int, rung: HalvingRung) -> None:
        self.bracket = bracket
        self.n = n
        self.first = self.at = first
        self.to_start = to_start
        self.out = 0
        self.rungs = [rung]

    @property
    def has_work(self) -> bool:
        """Whether there is a trial to hand out."""
        return self.to_start > 0 or (len(self.rungs) > 1 and self.rungs[-2].winners > 0)

    @property
    def is_in(self) -> bool:
        """Whether the present rung is complete."""
        return not (self.out or self.has_work)

    def rise(self, rung: HalvingRung) -> None:
        """Move to the next rung, for the winners of the present one."""
        self.at += 1
        self.rungs.append(rung)


class Synchronous(Scheduler):
    """Trains all trials of a rung, then promotes the best floor(m / eta) of its m results to the next."""

    def __init__(self, options: Options, geometry: Levels) -> None:
        super().__init__(options, geometry)
        self.brackets = geometry.k + 1 if options.type == "hyperband" else 1
        self._sizes = [self._size(bracket) for bracket in range(self.brackets)]
        for bracket, size in enumerate(self._sizes):
            self._warn_if_small(bracket, size)
        self._openings: list[OpenBracket] = []
        self._ready: list[int] = []  # a heap of indices of open brackets with work
        self._open = 0  # how many open brackets have not ended
        self._opening = array("q")  # the index of each trial's open bracket
        # Complete rungs whose losers `dropped` did not return yet: the open bracket and the rung, by index.
        self._complete: list[tuple[int, int]] = []

    def _size(self, bracket: int) -> int:
        if self.type == "sha":
            return self.options.n
        return hyperband_size(self.geometry.k, bracket, self.geometry.eta, self.options.n_formula)

    def _warn_if_small(self, bracket: int, size: int) -> None:
        eta, levels = self.geometry.eta, self.geometry.of_bracket(bracket)
        last = size
        for number in range(1, len(levels)):
            last = int(size / eta**number if self.options.quota == "nominal" else last / eta)
        needed = eta ** (self.geometry.k - bracket)
        if size >= needed and last:
            return
        name = "n" if self.type == "sha" else f"bracket {bracket}: n"
        then = "" if last else f": a rung comes out empty before max_t={self.options.max_t}"
        text = f"{name}={size} is below {float(needed):g}, what all levels divide down to 1{then}"
        warnings.warn(HbsimWarning(text), stacklevel=6)

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
            trial = opening.rungs[-2].take_winner()
        opening.out += 1
        if not opening.has_work:
            heappop(self._ready)
        return trial

    def _open_next(self) -> None:
        bracket = len(self._openings) % len(self._sizes)
        size = self._sizes[bracket]
        to_start = int(min(size, self._limit - self.started))
        heappush(self._ready, len(self._openings))
        self._openings.append(self._make_opening(bracket, size, to_start))
        self._open += 1

    def _extend(self) -> None:
        if not self._openings:
            return
        index = len(self._openings) - 1
        opening = self._openings[index]
        if opening.is_in or len(opening.rungs) > 1:
            return
        had_work, begun = opening.has_work, self._opening.count(index)
        opening.to_start = int(min(opening.n - begun, self._limit - self.started))
        if opening.has_work and not had_work:
            heappush(self._ready, index)

    def _make_opening(self, bracket: int, n: int, to_start: int) -> OpenBracket:
        return OpenBracket(bracket, n, self.geometry.first[bracket], to_start, self._make_rung(n, 0))

    def _make_rung(self, n: int, number: int) -> HalvingRung:
        """Return the rung with this number, from 0, of a bracket of size n."""
        eta = self.geometry.eta
        return HalvingRung(eta, int(n / eta ** (number + 1)) if self.options.quota == "nominal" else None)

    # Deciding

    def _decide(self, trial: int, at: int, value: float) -> int:
        index = self._opening[trial]
        opening = self._openings[index]
        rung = opening.rungs[-1]
        self.n_before = self._position[trial] = len(rung.values)
        self.cutoff = None
        if at == self._top:
            rung.append(trial, value)
        else:
            rung.record(trial, value)
        self._one_in(index, opening)
        return COMPLETE if at == self._top else PAUSE

    def _lose(self, trial: int, at: int) -> None:
        index = self._opening[trial]
        self._one_in(index, self._openings[index])

    def _leave(self, trial: int, at: int) -> None:
        self._lose(trial, at)

    def _one_in(self, index: int, opening: OpenBracket) -> None:
        """Count a trial's result, or its failure; after the last one the best go on together."""
        opening.out -= 1
        if not opening.is_in:
            return
        if opening.at < self._top:
            number = len(opening.rungs)
            self._complete.append((index, number - 1))
            if opening.rungs[-1].winners:
                opening.rise(self._make_rung(opening.n, number))
                heappush(self._ready, index)
                return
        self._open -= 1

    def dropped(self) -> list[int]:
        """Return the losers of complete rungs that were not returned before, in ascending order."""
        complete, self._complete = self._complete, []
        rungs = [self._openings[index].rungs[number] for index, number in complete]
        return sorted(trial for rung in rungs for trial in rung.losers())

    # Explanations and state

    def _last_rung(self, trial: int) -> HalvingRung:
        opening = self._openings[self._opening[trial]]
        return opening.rungs[self._at[trial] - 1 - opening.first]

    def _rung_values(self, trial: int) -> list[float]:
        return self._last_rung(trial).values

    def _is_complete(self, rung: HalvingRung, opening: OpenBracket) -> bool:
        return rung is not opening.rungs[-1] or opening.is_in

    def standing(self, trial: int) -> tuple[float | None, int, int, float | None]:
        """Return a trial's last value, n, its rank and the cutoff; of the whole rung once it is complete."""
        opening, rung = self._openings[self._opening[trial]], self._last_rung(trial)
        value, n, rank, cutoff = super().standing(trial)
        if self._code[trial] == PAUSE and self._is_complete(rung, opening):
            n, rank = len(rung.values), rung.rank(self._position[trial])
            ranked = sorted(rung.values, reverse=True)[: rung.places()]
            cutoff = self._shown(ranked[-1]) if ranked else None
        return value, n, rank, cutoff

    def _since(self, trial: int) -> str:
        opening, rung = self._openings[self._opening[trial]], self._last_rung(trial)
        if not self._is_complete(rung, opening):
            return f"Its rung waits for {opening.out + opening.to_start} more."
        became = "does not" if self._status[trial] == PAUSED else "went on"
        if rung.is_top(trial):
            became = "goes on"
        return f"Its rung is complete, and the best {rung.places()} go on: it {became}."

    def _extra_state(self) -> dict[str, object]:
        return {
            "openings": [_pack(opening) for opening in self._openings],
            "ready": list(self._ready),
            "open": self._open,
            "opening": self._opening.tolist(),
            "complete": [list(place) for place in self._complete],
        }

    def _load_extra(self, state: dict[str, object]) -> None:
        self._opening = array("q", integers(state["opening"]))
        packed = cast(list[dict[str, object]], state["openings"])
        self._openings = [self._unpack(opening) for opening in packed]
        self._ready = integers(state["ready"])
        self._open = integer(state["open"])
        self._complete = [
            (index, number) for index, number in map(integers, cast(list[object], state["complete"]))
        ]

    def _check_extra(self) -> None:
        if len(self._opening) != self.started or not all(0 <= i < len(self._openings) for i in self._opening):
            raise ValueError("opening must have an opening's number for each trial")
        rungs = (
            (i, o.first + n, r.trials) for i, o in enumerate(self._openings) for n, r in enumerate(o.rungs)
        )
        check_rungs(self, rungs, self._opening.__getitem__)
        started, out = [0] * len(self._openings), [0] * len(self._openings)
        for trial, index in enumerate(self._opening):
            opening, status = self._openings[index], self._status[trial]
            started[index] += 1
            if self._bracket[trial] != opening.bracket:
                raise ValueError(f"trial {trial} is of another bracket than its opening")
            if status in (RUNNING, WAITING):
                out[index] += 1
                if self._at[trial] != opening.at:
                    raise ValueError(f"trial {trial} is on its way to another rung than its opening's")
        for index, opening in enumerate(self._openings):
            self._check_opening(opening, index, started[index], out[index])
        self._check_counts()

    def _check_counts(self) -> None:
        if sum(opening.to_start for opening in self._openings) > self._limit - self.started:
            raise ValueError("to_start counts more trials than may start")
        if sorted(self._ready) != [i for i, opening in enumerate(self._openings) if opening.has_work]:
            raise ValueError("ready must be the openings with work")
        if self._open != sum(not opening.is_in for opening in self._openings):
            raise ValueError("open must count the openings that have not ended")
        if len(set(self._complete)) < len(self._complete) or not all(
            map(self._may_be_complete, self._complete)
        ):
            raise ValueError("complete must be rungs that are complete")

    def _check_opening(self, opening: OpenBracket, index: int, started: int, out: int) -> None:
        bracket = index % len(self._sizes)
        expected = bracket, self._sizes[bracket], out
        if (opening.bracket, opening.n, opening.out) != expected:
            raise ValueError(f"opening {index} is not of bracket {bracket}, or does not count its trials")
        left = opening.to_start
        if left < 0 or (left and len(opening.rungs) > 1) or started + left > opening.n:
            raise ValueError(f"opening {index} starts {left} more trials")
        if self._limit == inf and started + left < opening.n:
            raise ValueError(f"opening {index} lacks trials")
        if opening.is_in and opening.at < self._top and opening.rungs[-1].winners:
            raise ValueError(f"opening {index} must go on")

    def _may_be_complete(self, place: tuple[int, int]) -> bool:
        index, number = place
        if not (0 <= index < len(self._openings) and 0 <= number < len(self._openings[index].rungs)):
            return False
        opening = self._openings[index]
        return opening.first + number < self._top and self._is_complete(opening.rungs[number], opening)

    def _unpack(self, packed: dict[str, object]) -> OpenBracket:
        bracket, n, at, to_start, out = integers(packed["counts"])
        if not 0 <= bracket < len(self._sizes):
            raise ValueError(f"there is no bracket {bracket}")
        opening = self._make_opening(bracket, n, to_start)
        opening.out = out
        rungs = unpack_rungs(packed["rungs"], self.started)
        if not 0 < len(rungs) <= self._top + 1 - opening.first:
            raise ValueError(f"an opening of bracket {bracket} has {len(rungs)} rungs")
        for number, (values, trials) in enumerate(rungs):
            if number:
                opening.rise(self._make_rung(n, number))
            self._refill(opening.rungs[-1], opening.at, values, trials)
        if opening.at != at:
            raise ValueError(f"an opening of bracket {bracket} has {len(opening.rungs)} rungs")
        return opening

    def _refill(self, rung: HalvingRung, at: int, values: list[float], trials: list[int]) -> None:
        for trial, value in zip(trials, values, strict=True):
            if at == self._top:
                rung.append(trial, value)
            else:
                rung.record(trial, value)
        for trial in trials if at < self._top else ():
            if self._status[trial] != PAUSED or self._at[trial] > at + 1:
                if not rung.is_top(trial):
                    raise ValueError(f"trial {trial} went on and is not among the best")
                rung.hand_out(trial)


def _pack(opening: OpenBracket) -> dict[str, object]:
    counts = [opening.bracket, opening.n, opening.at, opening.to_start, opening.out]
    return {"counts": counts, "rungs": pack_rungs((rung.values, rung.trials) for rung in opening.rungs)}
