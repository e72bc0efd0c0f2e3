"""When a target is reached, by studies of which some never reach it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hbsim.bench.statistics.checks import check_above_zero, check_lengths
from hbsim.bench.statistics.intervals import CONFIDENCE
from hbsim.surrogates.protocol import Floats

if TYPE_CHECKING:
    from scipy.stats import CensoredData

__all__ = ["MedianTime", "first_time", "logrank", "median_time", "reached_curve", "restricted_time"]


def first_time(time: Floats, score: Floats, target: float) -> float:
    """Return when a study first has an incumbent whose score is at most `target`; infinity if never.

    The first time counts, not whether it stays: a later incumbent can be worse at R, since incumbents are
    picked by what was seen. A user who stops there has reached the target.

    Parameters
    ----------
    time : array, shape (n,)
        When each incumbent was reported, ascending.
    score : array, shape (n,)
        Their normalised regrets; NaN reaches nothing.
    target : float
        A normalised regret.

    Raises
    ------
    ParameterError
        The arrays differ in shape.
    """
    check_lengths("time", time, "score", score)
    there = np.asarray(score) <= target
    return float(time[int(np.argmax(there))]) if there.any() else math.inf


def restricted_time(reach: Floats, horizon: float) -> Floats:
    """Return the time each study spends before it reaches the target, until the horizon; shape of `reach`.

    A study that has not reached it by then counts the whole horizon, also one that ended before for lack of
    trials. As all have the same horizon this is seen of every study, and its mean is the restricted mean
    time (P. Royston and M. K. B. Parmar, "Restricted Mean Survival Time", BMC Medical Research Methodology
    13, 2013); nothing is assumed of what comes after.

    Parameters
    ----------
    reach : array, shape (n,)
        When each study reaches the target; infinity or NaN for never.
    horizon : float
        Above 0, in the unit of `reach`.

    Raises
    ------
    ParameterError
        `horizon` is not a finite number above 0.
    """
    check_above_zero("horizon", horizon)
    return np.fmin(np.asarray(reach, dtype=np.float64), horizon)


@dataclass(frozen=True)
class MedianTime:
    """The median time to a target.

    Attributes
    ----------
    median : float
        Infinite where half of the studies or more do not reach it by the horizon. NaN without studies.
    low, high : float
        Its 95 % interval; infinite where an end comes after the horizon. NaN for fewer than 6 studies.
    """

    median: float
    low: float
    high: float


def median_time(reach: Floats, horizon: float) -> MedianTime:
    """Return the median time to a target, with an interval between two of the times seen.

    The interval inverts the sign test (W. J. Conover, "Practical Nonparametric Statistics", 3rd ed., 1999,
    section 3.2): it holds whatever the distribution.

    Parameters
    ----------
    reach : array, shape (n,)
        When each study reaches the target; infinity or NaN for never.
    horizon : float
        What comes after it was not seen.

    Raises
    ------
    ParameterError
        `horizon` is not a finite number above 0.
    """
    from scipy.stats import binom

    check_above_zero("horizon", horizon)
    times = np.sort(np.where(np.asarray(reach) <= horizon, reach, math.inf))
    n = len(times)
    if not n:
        return MedianTime(math.nan, math.nan, math.nan)
    below, above = float(times[(n - 1) // 2]), float(times[n // 2])
    median = below + (above - below) / 2 if below < math.inf else math.inf
    ends = int(
        binom.ppf((1 - CONFIDENCE) / 2, n, 0.5)
    )  # the interval goes from the ends-th least to greatest
    if not ends:
        return MedianTime(median, math.nan, math.nan)
    return MedianTime(median, float(times[ends - 1]), float(times[n - ends]))


def reached_curve(times: Floats, ends: Floats, horizon: float) -> tuple[Floats, Floats]:
    """Return the share of studies that have reached a target over time.

    One less the estimator of E. L. Kaplan and P. Meier, "Nonparametric Estimation from Incomplete
    Observations", JASA 53(282), 1958. It takes a study that was cut for one that would have gone on as the
    others did. A study that ran out of trials would not: give the horizon as its end.

    Parameters
    ----------
    times : array, shape (n,)
        When each study reaches the target; infinity or NaN for never.
    ends : array, shape (n,)
        Until when each was watched; what comes after is not known.
    horizon : float
        Where the curve ends, or at the last of `ends` if that is before.

    Returns
    -------
    x, share : arrays, shape (m,)
        Steps: `share[i]` holds from `x[i]` until `x[i + 1]`; the last point is the end. None without studies.

    Raises
    ------
    ParameterError
        The arrays differ in shape, or `horizon` is not a finite number above 0.
    """
    from scipy.stats import ecdf

    check_lengths("times", times, "ends", ends)
    check_above_zero("horizon", horizon)
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


def logrank(times: Floats, ends: Floats, times_other: Floats, ends_other: Floats, horizon: float) -> float:
    """Return the two-sided p of two variants reaching a target at the same rate, their seeds not paired.

    N. Mantel, "Evaluation of Survival Data and Two New Rank Order Statistics Arising in Its Consideration",
    Cancer Chemotherapy Reports 50(3), 1966, as `scipy.stats.logrank` has it. It knows studies that were cut,
    but not that seeds are paired, so it misses what `compare_pairs` of restricted times would find.

    Parameters
    ----------
    times, ends, times_other, ends_other, horizon
        As in `reached_curve`.

    Returns
    -------
    float
        1 if no study reaches the target, or if there is no time at which one of both variants' could; NaN if
        a variant has no study.

    Raises
    ------
    ParameterError
        As in `reached_curve`.
    """
    from scipy import stats

    check_lengths("times", times, "ends", ends)
    check_lengths("times_other", times_other, "ends_other", ends_other)
    check_above_zero("horizon", horizon)
    if not (len(times) and len(times_other)):
        return math.nan
    one, other = _censored(times, ends, horizon), _censored(times_other, ends_other, horizon)
    with np.errstate(divide="ignore", invalid="ignore"):  # no variance: 0 / 0
        p = float(stats.logrank(one, other).pvalue)
    return 1.0 if math.isnan(p) else p


def _censored(times: Floats, ends: Floats, horizon: float) -> CensoredData:
    from scipy.stats import CensoredData

    watched = np.fmin(np.asarray(ends, dtype=np.float64), horizon)
    reached = np.asarray(times) <= watched
    return CensoredData(uncensored=np.asarray(times)[reached], right=watched[~reached])
