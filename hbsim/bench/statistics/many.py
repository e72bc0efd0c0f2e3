"""Bootstrap intervals of many means at once: resamples are drawn once, and means are products of matrices.

A report has tens of thousands of intervals, which `scipy.stats.bootstrap` would take minutes for. Their last
bits depend on the machine's matrix library; what is compared byte by byte takes `mean_interval`, `mean_band`.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np

from hbsim.bench.statistics.intervals import CONFIDENCE, MISSING, Interval, mean_interval
from hbsim.surrogates.protocol import Floats

__all__ = ["mean_bands", "mean_intervals"]

_RESAMPLES: Final = 9_999
_BAND_RESAMPLES: Final = 999
_SEED: Final = 0
_SAME: Final = 1e-12  # of the spread: means that differ by less are equal, but for rounding
_ROWS: Final = 256  # at a time: 20 MB


def mean_intervals(data: Floats) -> list[Interval]:
    """Return the mean of each row and its 95 % interval, as `mean_interval` makes it of one.

    Bias-corrected and accelerated (Efron, "Better Bootstrap Confidence Intervals", JASA 82(397), 1987).

    Parameters
    ----------
    data : array, shape (m, n)
        NaN are left out of their row.
    """
    data = np.asarray(data, dtype=np.float64)
    found: list[Interval | None] = [None] * len(data)
    regular = np.isfinite(data).all(axis=1) & (data.shape[1] > 1)
    if data.shape[1] > 1:
        regular &= data.max(axis=1) > data.min(axis=1)
    places = np.flatnonzero(regular)
    for first in range(0, len(places), _ROWS):
        block = places[first : first + _ROWS]
        for place, interval in zip(block, _bca(data[block]), strict=True):
            found[place] = interval
    return [
        mean_interval(row[np.isfinite(row)]) if interval is None else interval
        for interval, row in zip(found, data, strict=True)
    ]


def mean_bands(data: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the means of columns and their pointwise 95 % bands, as `mean_band` does.

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
    mean, low, high = np.full((3, data.shape[1]), np.nan)
    there = np.isfinite(data)
    shown = (~there).sum(axis=0) <= MISSING * len(data)
    if not (len(data) and shown.any()):
        return mean, low, high
    kept = np.where(there, data, 0.0)[:, shown]
    weights = there[:, shown].astype(np.float64)
    mean[shown] = kept.sum(axis=0) / weights.sum(axis=0)
    if len(data) > 1:
        counts = _counts(len(data), _BAND_RESAMPLES)
        with np.errstate(invalid="ignore"):  # a resample of missing scores only has no mean
            means = (counts @ kept) / (counts @ weights)
        ends = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
        if np.isfinite(means).all():
            ordered = np.sort(means.T.copy(), axis=1)  # far quicker than quantiles along the first axis
            low[shown], high[shown] = (_quantile(ordered, np.full(len(ordered), end)) for end in ends)
        else:
            low[shown], high[shown] = np.nanquantile(means, ends, axis=0)
    return mean, low, high


def _bca(data: Floats) -> list[Interval]:
    """Return the intervals of rows of different finite numbers, shape (m, n)."""
    from scipy.special import ndtr, ndtri

    n = data.shape[1]
    mean = np.array([math.fsum(row) / n for row in data])
    away = data - mean[:, np.newaxis]
    means = away @ _counts(n, _RESAMPLES).T / n  # less the mean, so that equal ones are near 0
    near = _SAME * np.ptp(data, axis=1)[:, np.newaxis]
    below = ((means < -near).sum(axis=1) + (means <= near).sum(axis=1)) / (2 * _RESAMPLES)
    bias = ndtri(below)
    skew = (away**3).sum(axis=1) / (6.0 * (away**2).sum(axis=1) ** 1.5)
    ends = []
    for tail in ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2):
        shifted = bias + ndtri(tail)
        ends.append(ndtr(bias + shifted / (1.0 - skew * shifted)))
    means.sort(axis=1)
    low, high = (_quantile(means, end) for end in ends)
    rows = zip(mean.tolist(), (mean + low).tolist(), (mean + high).tolist(), strict=True)
    return [Interval(*row) for row in rows]


def _quantile(ordered: Floats, shares: Floats) -> Floats:
    """Return a quantile of each row, by its own share, linearly interpolated."""
    place = shares * (ordered.shape[1] - 1)
    whole = np.minimum(place.astype(np.int64), ordered.shape[1] - 2)
    rows = np.arange(len(ordered))
    low, high = ordered[rows, whole], ordered[rows, whole + 1]
    quantile: Floats = low + (high - low) * (place - whole)
    return quantile


@lru_cache(maxsize=8)
def _counts(n: int, resamples: int) -> Floats:
    """Return how often each of n values is in each resample, shape (resamples, n)."""
    picks = np.random.default_rng(_SEED).integers(0, n, (resamples, n))
    flat = np.arange(resamples)[:, np.newaxis] * n + picks
    return np.bincount(flat.ravel(), minlength=resamples * n).reshape(resamples, n).astype(np.float64)
