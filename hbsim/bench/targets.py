"""Scores over time as step curves: the area under them, and the time to a target."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from hbsim.bench.conclusions import Interval
from hbsim.surrogates.protocol import Floats

if TYPE_CHECKING:
    from scipy.stats import CensoredData


def on_grid(time: Floats, score: Floats, x: Floats) -> Floats:
    """Return the score of the incumbent at each time `x`, inclusive; NaN without an incumbent or a score.

    Parameters
    ----------
    time : array, shape (n,)
        When each incumbent was reported, ascending; of equal times the last counts.
    score : array, shape (n,)
        Their scores.
    x : array
        In the unit of `time`.
    """
    places = np.searchsorted(time, x, side="right")
    return np.append(math.nan, np.asarray(score, dtype=np.float64))[places]


def area_under(time: Floats, score: Floats, budget: float) -> float:
    """Return the mean over time of the normalised regret: the area under the anytime curve over the budget.

    It is exact: a sum over steps. Before the first incumbent, and while the incumbent has no score, it counts
    1, the median configuration; and never more than 1, so that one bad incumbent does not outweigh all else.

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
    """
    edges = np.concatenate(([0.0], np.clip(time, 0.0, budget), [budget]))
    heights = np.fmin(np.append(1.0, np.asarray(score, dtype=np.float64)), 1.0)
    return math.fsum(np.diff(edges) * heights) / budget


def first_time(time: Floats, score: Floats, target: float) -> float:
    """Return the first time at which the incumbent's score is at most `target`; infinity if never.

    The first time counts even if a later incumbent is worse at R, which can happen since incumbents are
    picked by reported values. A user who stops there has reached the target.

    Parameters
    ----------
    time : array, shape (n,)
        When each incumbent was reported, ascending.
    score : array, shape (n,)
        Their normalised regrets; NaN reaches nothing.
    target : float
        A normalised regret.
    """
    there = np.asarray(score) <= target
    return float(time[int(np.argmax(there))]) if there.any() else math.inf


def restricted_time(reach: Floats, horizon: float) -> Floats:
    """Return the time each study spends before it reaches the target, until the horizon; shape of `reach`.

    A study that has not reached it by then counts the whole horizon, also one that ended before for lack of
    trials. All studies have the same horizon, so this time is known for each. Its mean is the
    restricted mean time (P. Royston and M. K. B. Parmar, "Restricted Mean Survival Time", BMC Medical
    Research Methodology 13, 2013); nothing is assumed about later times.

    Parameters
    ----------
    reach : array, shape (n,)
        When each study reaches the target; infinity or NaN for never.
    horizon : float
        Above 0, in the unit of `reach`.
    """
    return np.fmin(np.asarray(reach, dtype=np.float64), horizon)


def median_time(reach: Floats, horizon: float) -> Interval:
    """Return the median time to a target, with an interval between two of the observed times.

    The interval inverts the sign test (W. J. Conover, "Practical Nonparametric Statistics", 3rd ed., 1999,
    section 3.2): it holds whatever the distribution.

    Parameters
    ----------
    reach : array, shape (n,)
        When each study reaches the target; infinity or NaN for never.
    horizon : float
        The time until which studies were observed.

    Returns
    -------
    Interval
        The median as `mean`, infinite where half of the studies or more do not reach it by the horizon, NaN
        without studies; and its 95 % interval, of which an end is infinite where it comes after the horizon,
        and NaN for fewer than 6 studies.
    """
    from scipy.stats import binom

    times = np.sort(np.where(np.asarray(reach) <= horizon, reach, math.inf))
    n = len(times)
    if not n:
        return Interval(math.nan, math.nan, math.nan)
    below, above = float(times[(n - 1) // 2]), float(times[n // 2])
    median = below + (above - below) / 2 if below < math.inf else math.inf
    ends = int(binom.ppf(0.025, n, 0.5))  # the interval goes from the ends-th least to greatest
    if not ends:
        return Interval(median, math.nan, math.nan)
    return Interval(median, float(times[ends - 1]), float(times[n - ends]))


def reached_curve(times: Floats, ends: Floats, horizon: float) -> tuple[Floats, Floats]:
    """Return the share of studies that have reached a target over time.

    One less the estimator of E. L. Kaplan and P. Meier, "Nonparametric Estimation from Incomplete
    Observations", JASA 53(282), 1958. It assumes that a study that was cut would have gone on as the
    others did. A study that ran out of trials would not: give the horizon as its end.

    Parameters
    ----------
    times : array, shape (n,)
        When each study reaches the target; infinity or NaN for never.
    ends : array, shape (n,)
        Until when each study was observed.
    horizon : float
        Where the curve ends, or at the last of `ends` if that is before.

    Returns
    -------
    x, share : arrays, shape (m,)
        Steps: `share[i]` holds from `x[i]` until `x[i + 1]`; the last point is the end. None without studies.
    """
    from scipy.stats import ecdf

    if not len(times):
        return np.empty(0), np.empty(0)
    survival = ecdf(_censored(times, ends, horizon)).sf
    end = min(horizon, float(np.max(ends)))
    share = 1.0 - survival.probabilities
    jumps = np.diff(share, prepend=0.0) > 0.0
    x, share = survival.quantiles[jumps], share[jumps]
    if not len(x) or x[0] > 0.0:
        x, share = np.append(0.0, x), np.append(0.0, share)
    if x[-1] < end:
        x, share = np.append(x, end), np.append(share, share[-1])
    return x, share


def _censored(times: Floats, ends: Floats, horizon: float) -> CensoredData:
    from scipy.stats import CensoredData

    watched = np.fmin(np.asarray(ends, dtype=np.float64), horizon)
    reached = np.asarray(times) <= watched
    return CensoredData(uncensored=np.asarray(times)[reached], right=watched[~reached])
