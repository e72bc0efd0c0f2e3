"""PASHA: promotion below a cap; after each record at the cap everything is ranked and estimated again."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from fractions import Fraction

from hbsim.core.types import Verdict

from .naive_async import NaivePromotion
from .naive_base import Rung, Trial
from .naive_rules import Score, badness, quantile


class NaivePasha(NaivePromotion):
    """Promotion that goes as far as `cap`, and further once the rankings of two levels differ."""

    given: float | None = None

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.cap = self.levels[0][:2][-1]
        self.epsilon = 0.0

    def promotable(self, bracket: int, level: float) -> list[int]:
        return super().promotable(bracket, level) if level < self.cap else []

    def decide(self, trial: Trial, rung: Rung, before: list[Score], new: Score) -> Verdict:
        if rung.level == self.cap and not self.settled(self.curves()):
            self.cap = self.next_level(self.cap)
        return super().decide(trial, rung, before, new)

    def curves(self) -> list[list[Score]]:
        """Return what the trials recorded at the cap were worth at each level, up to it."""
        levels = [level for level in self.levels[0] if level <= self.cap]
        rungs = [{t: s for s, t in self.rung_at(0, level).records} for level in levels]
        return [[rung[t] for rung in rungs] for t in rungs[-1]]

    def settled(self, curves: list[list[Score]]) -> bool:
        epsilon = self.estimate(curves) if self.given is None else self.given
        best_here = sorted(curves, key=lambda curve: (badness(curve[-1]), badness(curve[-2])))
        best_below = sorted((curve[-2] for curve in curves), key=badness)
        return all(
            equal(curve[-2], below, epsilon) for curve, below in zip(best_here, best_below, strict=True)
        )

    def estimate(self, curves: list[list[Score]]) -> float:
        pairs = [
            (one, other)
            for one, other in itertools.combinations(curves, 2)
            if None not in (one[-1], other[-1]) and (crosses_back(one, other) or crosses_back(other, one))
        ]
        distances = [min(abs(one[-1] - other[-1]), sys.float_info.max) for one, other in pairs]
        self.epsilon = quantile(distances, Fraction(10)) if distances else self.epsilon
        return self.epsilon


def equal(one: Score, other: Score, epsilon: float) -> bool:
    assert one is not None
    assert other is not None
    return abs(one - other) <= epsilon


def crosses_back(one: Sequence[Score], other: Sequence[Score]) -> bool:
    """Say whether `one` is ahead at last, behind at an earlier level, and ahead at one before that."""
    return any(
        one[-1] > other[-1] and one[k] < other[k] and one[j] > other[j]
        for j, k in itertools.combinations(range(len(one) - 1), 2)
    )
