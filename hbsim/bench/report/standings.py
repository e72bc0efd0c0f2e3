"""The standings of a task's variants: conclusions from their studies, as a report records them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hbsim.bench.conclusions import Column, Conclusions, Interval, conclude, mean_intervals
from hbsim.bench.report.model import BEST, NO_SCORE, OPEN, VariantStanding
from hbsim.bench.sweep.scores import TaskScores
from hbsim.surrogates.protocol import Floats


@dataclass(frozen=True)
class Standings:
    """The standings of the k variants of a task by the means of some numbers.

    `draw` is None where nothing is concluded about another draw of configurations; `why` gives the reason.
    """

    means: tuple[Interval, ...]
    curves: tuple[VariantStanding, ...]
    draw: tuple[VariantStanding, ...] | None
    why: str

    @classmethod
    def of(
        cls, scores: TaskScores, numbers: Floats, median: float | None = None, matters: float | None = None
    ) -> Standings:
        """Conclude the standings of variants by numbers of their studies, shape (n, k); less is better."""
        found = conclude(numbers.T, scores.split, scores.part, median=median, matters=matters)
        return cls(
            means=_intervals(found.mean, found.low, found.high),
            curves=_by_means(found) if found.curves is None else _standings(found.curves),
            draw=None if found.draw is None else _standings(found.draw),
            why=found.no_draw,
        )

    @property
    def ranking(self) -> tuple[VariantStanding, ...]:
        """The standings that ranks go by."""
        return self.curves if self.draw is None else self.draw


def _standings(column: Column) -> tuple[VariantStanding, ...]:
    """Convert a column of conclusions to one record a variant."""
    none = np.full(len(column.call), math.nan)
    chances = [none if one is None else one for one in (column.better, column.same, column.worse)]
    differences = _intervals(column.difference, column.low, column.high)
    standings = []
    for v, call in enumerate(column.call):
        seeds = column.seeds_needed[v] if call == OPEN else math.inf
        standings.append(
            VariantStanding(
                int(column.rank[v]),
                call,
                differences[v],
                math.nan if call == BEST else float(column.p[v]),
                int(seeds) if math.isfinite(seeds) else None,
                float(column.rows_factor[v]) if call == OPEN else math.nan,
                *(float(chance[v]) for chance in chances),
            )
        )
    return tuple(standings)


def _by_means(found: Conclusions) -> tuple[VariantStanding, ...]:
    """Order variants by their means alone, where nothing can be concluded."""
    best = math.nan if found.best is None else found.mean[found.best]
    last = 1 + int(np.isfinite(found.mean).sum())
    standings = []
    for v, mean in enumerate(found.mean):
        call = NO_SCORE if math.isnan(mean) else BEST if v == found.best else OPEN
        difference = Interval(float(mean - best), math.nan, math.nan)
        standings.append(VariantStanding(last if call == NO_SCORE else 1, call, difference, math.nan))
    return tuple(standings)


def _intervals(mean: Floats, low: Floats, high: Floats) -> tuple[Interval, ...]:
    return tuple(Interval(*map(float, row)) for row in zip(mean, low, high, strict=True))


def means_of(columns: Floats) -> tuple[Interval, ...]:
    """Return the mean of each column, and its interval."""
    return _intervals(*mean_intervals(columns.T))
