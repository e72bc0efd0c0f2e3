"""What a model-based searcher knows of a study: configurations, what is pending, what was observed."""

from __future__ import annotations

from math import isfinite

import numpy as np

from hbsim.core.types import Mode
from hbsim.searchers.protocol import Floats

__all__ = ["Observed"]


class Observed:
    """Trials, in the order of their numbers, and their values; larger is better in here.

    Parameters
    ----------
    mode : "max" or "min"
        What is better outside.

    Attributes
    ----------
    points : list of array, shape (d,)
        The configuration of each trial so far, a point of the unit cube.
    values : dict
        By trial, by level: the value, signed so that larger is better; None for no finite number. Both in the
        order in which they came; a level that is observed again has its last value.
    pending : dict
        By trial, the levels at which it is pending. Trials that were suggested and not told of yet have None
        among their levels: it is not known how far they will train.
    """

    def __init__(self, mode: Mode) -> None:
        self._sign = 1.0 if mode == "max" else -1.0
        self.points: list[Floats] = []
        self.values: dict[int, dict[float, float | None]] = {}
        self.pending: dict[int, set[float | None]] = {}

    def suggested(self, point: Floats) -> None:
        """Take note of the configuration of the next trial."""
        self.pending[len(self.points)] = {None}
        self.points.append(point)

    def register_pending(self, trial: int, level: float) -> None:
        """Take note that a trial trains towards a level."""
        levels = self.pending.setdefault(trial, set())
        levels.discard(None)
        levels.add(level)

    def observe(self, trial: int, level: float, value: float | None) -> None:
        """Take note of a value."""
        levels = self.pending.get(trial)
        if levels is not None:
            levels -= {level, None}
            if not levels:
                del self.pending[trial]
        number = None if value is None or not isfinite(value) else self._sign * float(value)
        self.values.setdefault(trial, {})[level] = number

    def forget(self, trial: int) -> None:
        """Take note that a trial no longer runs."""
        self.pending.pop(trial, None)

    def counts(self) -> dict[float, int]:
        """Return how many trials have a value, a number or not, at each level, by level, ascending."""
        found: dict[float, int] = {}
        for levels in self.values.values():
            for level in levels:
                found[level] = found.get(level, 0) + 1
        return dict(sorted(found.items()))

    def at(self, level: float) -> tuple[list[int], Floats]:
        """Return the trials that have a value at a level, and the values; see `settled`."""
        trials = [trial for trial, levels in self.values.items() if level in levels]
        return trials, settled([self.values[trial][level] for trial in trials])

    def latest(self) -> tuple[list[int], Floats]:
        """Return the trials that have values, and each one's value at the highest level that it reached.

        What is no number is as bad as the worst number of the same level, or of all if there is none.
        """
        trials = list(self.values)
        tops = [max(self.values[trial]) for trial in trials]
        raw = [self.values[trial][top] for trial, top in zip(trials, tops, strict=True)]
        worst: dict[float, float] = {}
        for top, value in zip(tops, raw, strict=True):
            if value is not None:
                worst[top] = min(value, worst.get(top, value))
        overall = min(worst.values(), default=0.0)
        filled = [worst.get(top, overall) if v is None else v for top, v in zip(tops, raw, strict=True)]
        return trials, np.array(filled, dtype=np.float64)


def settled(values: list[float | None]) -> Floats:
    """Return values as an array; what is no number is as bad as the worst number, or 0 if there is none."""
    worst = min((value for value in values if value is not None), default=0.0)
    return np.array([worst if value is None else value for value in values], dtype=np.float64)
