"""Means with bootstrap intervals."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np

from hbsim.surrogates.protocol import Floats

__all__ = ["ALPHA", "CONFIDENCE", "MISSING", "Interval", "mean_band", "mean_interval"]

CONFIDENCE: Final = 0.95
ALPHA: Final = 0.05  # the level of every test of a report
MISSING: Final = 0.1  # of the seeds may lack a score where a mean is still drawn
_RESAMPLES: Final = 9_999
_BAND_RESAMPLES: Final = 999
_SEED: Final = 0  # of the resampling: the same data give the same interval


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval; NaN where there is none.

    Attributes
    ----------
    mean, low, high : float
        In the unit of the data.
    """

    mean: float
    low: float
    high: float

    def includes(self, value: float) -> bool:
        """Return whether `value` lies inside, the ends included; True if there is no interval."""
        return not (value < self.low or value > self.high)


def mean_interval(data: Floats) -> Interval:
    """Return the mean of independent values and its 95 % interval.

    The bias-corrected and accelerated bootstrap (Efron, "Better Bootstrap Confidence Intervals", JASA
    82(397), 1987), or the percentile one where that is undefined. A single value has no interval; of
    equal values it is the point.

    Parameters
    ----------
    data : array, shape (n,)
        Without NaN; may be empty.
    """
    if not len(data):
        return Interval(math.nan, math.nan, math.nan)
    mean = math.fsum(data) / len(data)
    if len(data) == 1:
        return Interval(mean, math.nan, math.nan)
    if np.ptp(data) == 0.0:
        return Interval(float(data[0]), float(data[0]), float(data[0]))
    low, high = _bootstrap(data, "BCa")
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = _bootstrap(data, "percentile")
    return Interval(mean, low, high)


def _bootstrap(data: Floats, method: str) -> tuple[float, float]:
    from scipy.stats import bootstrap

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # degenerate data: NaN says it, and is dealt with
        found = bootstrap(
            (data,),
            np.mean,
            confidence_level=CONFIDENCE,
            n_resamples=_RESAMPLES,
            method=method,
            random_state=np.random.default_rng(_SEED),
        ).confidence_interval
    return float(found.low), float(found.high)


def mean_band(data: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the means of columns and their pointwise 95 % percentile bootstrap bands.

    Parameters
    ----------
    data : array, shape (n, m)
        A row a seed. NaN is left out of a column's mean; a column where more than one in ten are NaN has
        none.

    Returns
    -------
    mean, low, high : arrays, shape (m,)
        NaN where there is none; a single row has no band.
    """
    from scipy.stats import bootstrap

    mean, low, high = np.full((3, data.shape[1]), np.nan)
    there = np.isnan(data).sum(axis=0) <= MISSING * len(data)
    if not there.any():
        return mean, low, high
    mean[there] = np.nanmean(data[:, there], axis=0)
    if len(data) > 1:
        found = bootstrap(
            (data[:, there],),
            np.nanmean,
            axis=0,
            confidence_level=CONFIDENCE,
            n_resamples=_BAND_RESAMPLES,
            method="percentile",
            random_state=np.random.default_rng(_SEED),
        ).confidence_interval
        low[there], high[there] = found.low, found.high
    return mean, low, high
