"""Scores over time: steps, their values, and the area under them."""

from __future__ import annotations

import math

import numpy as np

from hbsim.bench.statistics.checks import check_above_zero, check_lengths
from hbsim.surrogates.protocol import Floats

__all__ = ["area_under", "at", "normalise", "on_grid"]


def normalise(regret: Floats, guess_regret: float) -> Floats:
    """Return regrets over that of a guess: 0 is the best there is, 1 is no better than a guess.

    Parameters
    ----------
    regret : array
        Of incumbents, at R; NaN stays.
    guess_regret : float
        The regret at R of the median configuration drawn at random, in the same unit.

    Raises
    ------
    ParameterError
        `guess_regret` is not a finite number above 0: where half of all configurations are the best there is,
        nothing is to be tuned.
    """
    check_above_zero("guess_regret", guess_regret)
    return np.asarray(regret, dtype=np.float64) / guess_regret


def at(time: Floats, score: Floats, t: float) -> float:
    """Return the score of the incumbent at time `t`, included; NaN if there is none yet, or it has none.

    Parameters
    ----------
    time : array, shape (n,)
        When each incumbent was reported, ascending; of equal times the last counts.
    score : array, shape (n,)
        Their scores.
    t : float
        In the unit of `time`.

    Raises
    ------
    ParameterError
        The arrays differ in shape.
    """
    return float(on_grid(time, score, np.array([t]))[0])


def on_grid(time: Floats, score: Floats, x: Floats) -> Floats:
    """Return the score of the incumbent at each of `x`, shape of `x`; see `at`."""
    check_lengths("time", time, "score", score)
    places = np.searchsorted(time, x, side="right")
    return np.append(math.nan, np.asarray(score, dtype=np.float64))[places]


def area_under(time: Floats, score: Floats, budget: float) -> float:
    """Return the mean over time of the normalised regret: the area under the anytime curve over the budget.

    It is exact: a sum over steps. Before the first incumbent, and while the incumbent has no score, it counts
    1, a guess; and never more than 1, so that one bad incumbent does not outweigh all else.

    Parameters
    ----------
    time : array, shape (n,)
        When each incumbent was reported, ascending.
    score : array, shape (n,)
        Their normalised regrets.
    budget : float
        Where it ends, in the unit of `time`. A study that ended before keeps its last incumbent.

    Returns
    -------
    float
        In [0, 1] if no score is below 0.

    Raises
    ------
    ParameterError
        The arrays differ in shape, or `budget` is not a finite number above 0.
    """
    check_lengths("time", time, "score", score)
    check_above_zero("budget", budget)
    edges = np.concatenate(([0.0], np.clip(time, 0.0, budget), [budget]))
    heights = np.fmin(np.append(1.0, np.asarray(score, dtype=np.float64)), 1.0)
    return math.fsum(np.diff(edges) * heights) / budget
