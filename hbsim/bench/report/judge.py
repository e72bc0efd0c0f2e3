"""How the variants of a task stand by some scores: `hbsim.bench.conclusions`, in a report's terms."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hbsim.bench.conclusions import (
    Column,
    Conclusions,
    Interval,
    best_probability,
    conclude,
    mean_intervals,
)
from hbsim.bench.report.model import BEST, NO_SCORE, OPEN, Standing
from hbsim.bench.sweep.scores import TaskScores
from hbsim.surrogates.protocol import Floats

__all__ = ["Judged", "chances", "judge", "last_if_nan", "means_of"]


@dataclass(frozen=True)
class Judged:
    """Means of the k variants and how they stand; `draw` is None where that is unknown, and `why` says why.

    `why` is of that column or, where there are no conclusions at all, of both.
    """

    means: tuple[Interval, ...]
    curves: tuple[Standing, ...]
    draw: tuple[Standing, ...] | None
    why: str

    @property
    def decides(self) -> tuple[Standing, ...]:
        """How they stand in the column that ranks go by."""
        return self.curves if self.draw is None else self.draw


def judge(
    scores: TaskScores, numbers: Floats, median: float | None = None, matters: float | None = None
) -> Judged:
    """Return how variants stand by some numbers of their studies.

    Parameters
    ----------
    scores : TaskScores
        Whose studies these are.
    numbers : array, shape (n, k)
        Less is better; NaN for none.
    median : float, optional
        What stands in for a missing one; by default the worst of all.
    matters : float, optional
        The smallest difference that matters.
    """
    found = conclude(numbers.T, scores.split, scores.part, median=median, matters=matters)
    means = zip(found.mean, found.low, found.high, strict=True)
    return Judged(
        means=tuple(Interval(*map(float, row)) for row in means),
        curves=_unjudged(found) if found.curves is None else _standings(found.curves),
        draw=None if found.draw is None else _standings(found.draw),
        why=found.no_draw,
    )


def _standings(column: Column) -> tuple[Standing, ...]:
    def number(values: Floats | None, v: int) -> float:
        return math.nan if values is None else float(values[v])

    return tuple(
        Standing(
            rank=int(column.rank[v]),
            call=call,
            difference=Interval(*(float(x[v]) for x in (column.difference, column.low, column.high))),
            p=math.nan if call == BEST else float(column.p[v]),
            seeds_needed=_whole(column.seeds_needed[v]) if call == OPEN else None,
            rows_factor=float(column.rows_factor[v]) if call == OPEN else math.nan,
            better=number(column.better, v),
            same=number(column.same, v),
            worse=number(column.worse, v),
        )
        for v, call in enumerate(column.call)
    )


def _whole(number: float) -> int | None:
    return int(number) if math.isfinite(number) else None


def _unjudged(found: Conclusions) -> tuple[Standing, ...]:
    """Return how variants stand by their means, of which nothing can be concluded."""
    best = math.nan if found.best is None else found.mean[found.best]
    last = 1 + int(np.isfinite(found.mean).sum())
    return tuple(
        Standing(
            1 if math.isfinite(mean) else last,
            NO_SCORE if math.isnan(mean) else BEST if v == found.best else OPEN,
            Interval(float(mean - best), math.nan, math.nan),
            math.nan,
        )
        for v, mean in enumerate(found.mean)
    )


def chances(scores: TaskScores, numbers: Floats) -> Floats:
    """Return the probability of being best of the k variants at m times, shape (k, m).

    Parameters
    ----------
    scores : TaskScores
        Whose studies these are.
    numbers : array, shape (m, n, k)
        Normalised regrets.
    """
    return best_probability(np.moveaxis(numbers, (0, 1, 2), (2, 1, 0)), scores.split, scores.part, median=1.0)


def means_of(columns: Floats) -> list[Interval]:
    """Return the mean of each column, and its interval."""
    return [Interval(*map(float, row)) for row in zip(*mean_intervals(columns.T), strict=True)]


def last_if_nan(number: float) -> float:
    """Return what a number is sorted by, the least first."""
    return math.inf if math.isnan(number) else number
