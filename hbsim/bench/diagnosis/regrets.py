"""Where the final regret came from, in four parts that sum to it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hbsim.bench.diagnosis.ended import Ended

if TYPE_CHECKING:
    from hbsim.simulation import Result

__all__ = ["RegretParts", "regret_parts"]


@dataclass(frozen=True)
class RegretParts:
    """The final regret at R, in four parts; in the metric's unit.

    Attributes
    ----------
    sampling : float
        The best of the space against the best of all trials that were started; NaN where either is unknown.
    decisions : float
        That one against the best of those that no decision below R held back, at least 0.
    unfinished : float
        That one against the best of those that reached R, at least 0: what failures and the end of the
        study took.
    choice : float
        That one against the incumbent. Negative where the incumbent would end better than all that
        reached R.
    best_started : float
        What the best of all trials that were started shows at R: the metric itself. NaN for none.
    """

    sampling: float
    decisions: float
    unfinished: float
    choice: float
    best_started: float

    @property
    def total(self) -> float:
        """The final regret: the sum of the four parts, NaN where one is unknown."""
        return math.fsum((self.sampling, self.decisions, self.unfinished, self.choice))


def regret_parts(result: Result, ended: Ended | None = None) -> RegretParts:
    """Return the parts that the final regret came from; they sum to `Result.summary`'s.

    Where a set of trials has no number at R its best is that of the set before: then that part is 0, and
    the next one takes up the rest. Where the incumbent is better at R than what the surrogate calls its
    optimum, the summary's regret is 0, and the incumbent stands for the best of the space here.

    Parameters
    ----------
    result : Result
        A study.
    ended : Ended, optional
        Its trials at R, where they are known already.
    """
    ended = ended or Ended.of(result)
    started = ended.best(np.ones(len(ended.worth), dtype=np.bool_))
    let_through = _or(ended.best(~ended.is_held), started)
    finished = _or(ended.best(ended.is_completed), let_through)
    chosen = float(ended.worth[ended.incumbent]) if ended.incumbent >= 0 else -math.inf
    optimum = _optimum(result, ended)
    space = max(optimum, chosen) if math.isfinite(optimum) else optimum
    return RegretParts(
        sampling=_distance(space, started),
        decisions=_distance(started, let_through),
        unfinished=_distance(let_through, finished),
        choice=_distance(finished, chosen),
        best_started=float(ended.metric(np.array(started))),
    )


def _or(best: float, before: float) -> float:
    return best if math.isfinite(best) else before


def _optimum(result: Result, ended: Ended) -> float:
    """Return what the best of the space is worth at R; -inf where it is unknown."""
    best = result.curves.surrogate.optimum(result.scheduler.levels[-1])
    if best is None:
        return -math.inf
    return best if ended.mode == "max" else -best


def _distance(better: float, worse: float) -> float:
    is_known = math.isfinite(better) and math.isfinite(worse)
    return better - worse if is_known else math.nan
