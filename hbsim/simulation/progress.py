"""How far a job has trained, read off the curves."""

from __future__ import annotations

from collections.abc import Sequence

from hbsim.core.levels import Levels
from hbsim.simulation.curves import Curves
from hbsim.simulation.stay import Stay

__all__ = ["Progress"]


class Progress:
    """Seconds and resources of a job's stretches.

    Parameters
    ----------
    curves : Curves
        The seconds of each trial's stretches.
    geometry : Levels
        The scheduler's.
    speeds : sequence of float
        Of each worker.
    runs_on : bool
        Whether training goes on while a decision is on its way.
    """

    def __init__(self, curves: Curves, geometry: Levels, speeds: Sequence[float], runs_on: bool) -> None:
        self._seconds = curves.seconds
        self._from_zero = curves.from_zero if curves.high_brackets else curves.seconds
        self._levels = geometry.levels
        self._width = len(geometry.levels)
        self._speeds = speeds
        self._runs_on = runs_on

    def stretch(self, stay: Stay) -> float:
        """Return the seconds of training from where a job stands to its next milestone."""
        row, at, first, below = stay.row, stay.at, stay.first, stay.base_at
        if below >= 0:
            if below == at - 1 and not stay.done:
                return self._seconds[row + at] / self._speeds[stay.worker]
            total = sum(self._seconds[row + below + 1 : row + at + 1])
        else:
            total = self._from_zero[row + first]
            if at > first:
                total += sum(self._seconds[row + first + 1 : row + at + 1])
        return max(0.0, total - stay.done) / self._speeds[stay.worker]

    def free_run(self, stay: Stay, time: float) -> float:
        """Return the seconds trained from `base` to `time` if nothing but R stops it."""
        row = stay.row
        if stay.base_at < 0:
            rest = self._from_zero[row + stay.first] + sum(
                self._seconds[row + stay.first + 1 : row + self._width]
            )
        else:
            rest = sum(self._seconds[row + stay.base_at + 1 : row + self._width])
        return max(0.0, min(time - stay.base, (rest - stay.done) / self._speeds[stay.worker]))

    def until(self, stay: Stay, time: float) -> float:
        """Return the seconds trained from `base` to `time`, the present stretch or more undecided.

        Negative where training had not begun.
        """
        if self._runs_on:
            return self.free_run(stay, time)
        return min(time - stay.base, stay.seconds)

    def resource(self, stay: Stay, trained: float) -> float:
        """Return the resource reached `trained` seconds after `base`."""
        return self.at(stay, stay.base_at, stay.done + trained * self._speeds[stay.worker])

    def at(self, stay: Stay, at: int, seconds: float) -> float:
        """Return the resource `seconds` of the curve beyond a level, linear between two levels.

        `at` is the level's index, -1 for zero. A stretch that takes no time is not passed by itself.
        """
        row = stay.row
        while at < self._width - 1:
            below = self._levels[at] if at >= 0 else 0.0
            if not seconds:
                return below
            stretch = self._from_zero[row + stay.first] if at < 0 else self._seconds[row + at + 1]
            above = stay.first if at < 0 else at + 1
            if seconds < stretch:
                reached = below + (self._levels[above] - below) * seconds / stretch
                return min(reached, self._levels[above])  # 0.3 + (0.9 - 0.3) is above 0.9
            seconds -= stretch
            at = above
        return self._levels[-1]
