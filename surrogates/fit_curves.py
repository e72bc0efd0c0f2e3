"""The curve model of a fit: a scale for the metric, the fitted levels, and a mean with a few shapes.

The shapes are probabilistic principal components by expectation and maximisation (Tipping and Bishop, JRSS B
1999), each level with a noise of its own. Missing values are left out: the likelihood is that of the observed
values. Where a trial was stopped for its values, and these are recorded, this keeps the estimated curves
unbiased ("missing at random": Rubin, Biometrika 1976).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from hbsim.surrogates.protocol import Floats, Ints

Base: TypeAlias = Literal["odds", "log", "plain"]

QUANTILES: Final = 65
TAIL: Final = 6  # how many outer quantiles set the slope beyond the last one,
FLATTER: Final = 0.7  # factor on that slope: errors have a floor, and the best of thousands is near it
PLACES: Final = 12  # decimals of heights, as shares of their range
BEYOND: Final = 1.5  # how far a score may lie beyond the outermost quantile
NEAREST: Final = 1e-3  # a share is kept this far from 0 and 1, unless the table has nearer ones
LEAST: Final = 1e-15  # the least distance from 1 that a float resolves
LARGEST: Final = 3e38  # values are single precision
DECIMALS: Final = 6  # decimals of scores and coefficients: further ones depend on the machine


@dataclass(frozen=True)
class MetricScale:
    """A monotone scale: piecewise linear from a metric's logarithm (or log-odds) to scores.

    Attributes
    ----------
    base : "odds", "log" or "plain"
        The first transformation of the metric: shares in [0, 1] become log-odds, positive values logarithms.
    edge : float
        The nearest that a share comes to 0 and 1.
    heights, scores : array, shape (k,)
        The knots of the scale, ascending; the first and last lie beyond the recorded values.
    """

    base: Base
    edge: float
    heights: Floats
    scores: Floats

    def to_scores(self, values: Floats) -> Floats:
        """Return the scores of metric values, any shape; NaN stays."""
        found = np.interp(_raise(values, self.base, self.edge), self.heights, self.scores)
        return np.where(np.isnan(values), np.nan, found)

    def to_values(self, scores: Floats) -> Floats:
        """Return the metric values of scores, any shape, in single precision."""
        heights = np.interp(scores, self.scores, self.heights)
        if self.base == "odds":
            heights = 1.0 / (1.0 + np.exp(np.clip(-heights, -700.0, 700.0)))
        elif self.base == "log":
            heights = np.exp(np.minimum(heights, 88.0))
        return single(heights)


def single(numbers: Floats) -> Floats:
    """Round numbers to single precision, which drops the last bits of an exponential."""
    kept: Floats = np.clip(numbers, -LARGEST, LARGEST).astype(np.float32).astype(np.float64)
    return kept


def rounded(numbers: Floats) -> Floats:
    """Round numbers on the scale of scores, to drop the bits that differ from machine to machine.

    Matrix products and logarithms differ in their last bits; where such a bit decides between two ways (a
    tree's split, a donor), it would lead to another curve.
    """
    return np.round(numbers, DECIMALS)


def fit_scale(values: Floats) -> MetricScale:
    """Fit the scale that makes the finite values nearly normal.

    Parameters
    ----------
    values : array, any shape
        Metric values, at least two of them finite and different in single precision.
    """
    from scipy.special import ndtri

    values = values[np.isfinite(values)]
    base: Base = "plain"
    if values.min() >= 0 and values.max() <= 1:
        base = "odds"
    elif values.min() > 0:
        base = "log"
    inside = values[(values > 0) & (values < 1)]
    edge = max(min([NEAREST, *(0.5 * np.minimum(inside, 1 - inside)).tolist()]), LEAST)
    raised = _raise(values, base, edge)
    if np.ptp(raised) == 0:  # values that differ by less than a logarithm resolves
        base, raised = "plain", values
    at = (np.arange(QUANTILES) + 0.5) / QUANTILES
    low, span = raised.min(), np.ptp(raised)
    parts = np.round((np.quantile(raised, at) - low) / span, PLACES)  # no knots so near that slopes overflow
    heights, groups = np.unique(low + span * parts, return_inverse=True)
    if len(heights) == 1:  # almost all the same
        heights, groups = np.unique(raised, return_inverse=True)
        at = (np.argsort(np.argsort(groups, kind="stable"), kind="stable") + 0.5) / len(raised)
    scores = np.bincount(groups, ndtri(at)) / np.bincount(groups)
    return MetricScale(base, edge, *_with_tails(heights, scores))


def _with_tails(heights: Floats, scores: Floats) -> tuple[Floats, Floats]:
    last = min(TAIL, len(heights)) - 1
    below = FLATTER * BEYOND * (heights[last] - heights[0]) / (scores[last] - scores[0])
    above = FLATTER * BEYOND * (heights[-1] - heights[-1 - last]) / (scores[-1] - scores[-1 - last])
    heights = np.concatenate([[heights[0] - below], heights, [heights[-1] + above]])
    return heights, np.concatenate([[scores[0] - BEYOND], scores, [scores[-1] + BEYOND]])


def _raise(values: Floats, base: Base, edge: float) -> Floats:
    if base == "odds":
        shares = np.clip(values, edge, 1.0 - edge)
        odds: Floats = np.log(shares / (1.0 - shares))
        return odds
    return np.log(values) if base == "log" else values


COUNT: Final = 24
SHARE: Final = 0.05  # a level is chosen if at least this share of the rows ends there


def choose_levels(levels: Floats, ends: Ints, usable: Ints) -> Ints:
    """Choose about 24 levels, evenly spread on a logarithmic scale and where rows end; return their places.

    Parameters
    ----------
    levels : array, shape (T,)
        Ascending, above 0.
    ends : array of int, shape (n,)
        How many levels each row has.
    usable : array of int
        The places to choose from, ascending.
    """
    if len(usable) <= COUNT:
        return usable
    there = levels[usable]
    wanted = np.geomspace(there[0], there[-1], COUNT)
    nearest = np.abs(np.log(there)[:, None] - np.log(wanted)).argmin(axis=0)
    counts = np.bincount(ends, minlength=len(levels) + 1)[1:]
    often = np.flatnonzero(counts >= max(2.0, SHARE * len(ends)))
    return np.union1d(usable[nearest], np.intersect1d(often, usable))


@dataclass(frozen=True)
class Interpolation:
    """Interpolation at m levels between the fitted ones.

    Attributes
    ----------
    low, high : array of int, shape (m,)
        The fitted levels below and above each level.
    weight : array, shape (m,)
        The weight of the upper fitted level, in [0, 1].
    """

    low: Ints
    high: Ints
    weight: Floats

    def mix(self, column: Floats) -> Floats:
        """Interpolate values `column` (k, ...) at the fitted levels to these levels, shape (m, ...)."""
        weight = self.weight.reshape(-1, *(1,) * (column.ndim - 1))
        return column[self.low] * (1.0 - weight) + column[self.high] * weight


def interpolation(fitted: Floats, levels: Floats) -> Interpolation:
    """Return the interpolation of levels between the fitted ones, on a logarithmic scale."""
    high = np.clip(np.searchsorted(fitted, levels), 1, len(fitted) - 1)
    low = high - 1
    span = np.log(fitted[high] / fitted[low])
    weight = np.clip(np.log(levels / fitted[low]) / span, 0.0, 1.0)
    weight[levels == fitted[high]] = 1.0
    return Interpolation(low, high, weight)


ROUNDS: Final = 60
COMPLETE: Final = (20, 40)  # the least numbers of complete curves for two shapes, and for three
# Weight, in rows, of the prior that a level resembles the one before: with all rows, and with none.
KEPT: Final = (2.0, 12.0)
LEAST_NOISE: Final = 1e-4


@dataclass(frozen=True)
class Shapes:
    """Shapes of curves: scores at m levels are ``mean + coefficients @ loadings.T`` and independent noise.

    Attributes
    ----------
    mean, noise : array, shape (m,)
        The mean score and the noise, a variance, of each level.
    loadings : array, shape (m, k)
        The k shapes. A coefficient has mean 0 and variance 1 over the table.
    """

    mean: Floats
    loadings: Floats
    noise: Floats

    @property
    def count(self) -> int:
        """The number of shapes, k."""
        return len(self.loadings.T)

    def posterior(self, scores: Floats, mean: Floats, covariance: Floats) -> Posterior:
        """Return the posterior of coefficients with this prior, given scores (n, m), NaN where missing.

        Parameters
        ----------
        scores : array, shape (n, m)
            Curves.
        mean : array, shape (n, k)
            The expected coefficients of each row without its curve.
        covariance : array, shape (k, k)
            The covariance of coefficients around that expectation.
        """
        there = np.isfinite(scores)
        inverse = np.linalg.inv(covariance)
        weights = there / self.noise
        precision = np.einsum("nm,mk,mj->nkj", weights, self.loadings, self.loadings) + inverse
        pull = np.where(there, scores - self.mean, 0.0) / self.noise @ self.loadings + mean @ inverse
        covariances = np.linalg.inv(precision)
        return Posterior(np.einsum("nkj,nj->nk", covariances, pull), covariances)


@dataclass(frozen=True)
class Posterior:
    """The normal distribution of each row's coefficients, given its curve.

    Attributes
    ----------
    mean : array, shape (n, k)
        The mean of the coefficients.
    covariance : array, shape (n, k, k)
        Their covariance.
    """

    mean: Floats
    covariance: Floats

    @property
    def roots(self) -> Floats:
        """The lower Cholesky factors of the covariances, shape (n, k, k)."""
        return np.linalg.cholesky(self.covariance).astype(np.float64, copy=False)


def fit_shapes(scores: Floats) -> Shapes:
    """Fit the shapes of curves.

    Parameters
    ----------
    scores : array, shape (n, m)
        Curves at m levels, NaN where missing; each has a value, and so does each level.
    """
    complete = int(np.isfinite(scores).all(axis=1).sum())
    count = min(1 + sum(complete >= least for least in COMPLETE), scores.shape[1] - 1)
    shapes = _first(scores, count)
    nothing, unit = np.zeros((len(scores), count)), np.eye(count)
    for _ in range(ROUNDS):
        shapes = _maximised(scores, shapes.posterior(scores, nothing, unit), shapes)
    shapes = _turned(shapes)
    return Shapes(rounded(shapes.mean), rounded(shapes.loadings), rounded(shapes.noise))


def _first(scores: Floats, count: int) -> Shapes:
    """Return starting shapes: the principal components of curves, with missing ends filled by the others."""
    filled = np.array(scores)
    for level in [*range(1, scores.shape[1]), *range(scores.shape[1] - 2, -1, -1)]:
        missing = np.isnan(filled[:, level])
        side = level - 1 if level and np.isfinite(filled[missing, level - 1]).all() else level + 1
        if missing.any():
            filled[missing, level] = filled[missing, side] + np.nanmean(filled[:, level] - filled[:, side])
    mean = filled.mean(axis=0)
    filled -= mean
    _, sizes, turns = np.linalg.svd(filled, full_matrices=False)
    loadings = turns[:count].T * sizes[:count] / np.sqrt(len(scores))
    rest = (filled**2).mean() - (loadings**2).sum() / len(mean)
    return Shapes(mean, loadings, np.full(len(mean), max(float(rest), 1e-3)))


def _maximised(scores: Floats, found: Posterior, before: Shapes) -> Shapes:
    """Return the shapes that maximise the likelihood of the curves, given their coefficients.

    The loadings of a level with few rows are shrunk towards those of the level before, because its few rows
    are selected, and a line through them is extrapolated to all others. Its mean is free: curves may fall.
    """
    n, levels, count = *scores.shape, before.count
    there = np.isfinite(scores)
    known = np.column_stack([found.mean, np.ones(n)])
    products = known[:, :, None] * known[:, None, :]
    products[:, :count, :count] += found.covariance
    lines: Floats = np.zeros((levels, count + 1))
    noise: Floats = np.empty(levels)
    for level in range(levels):
        rows = there[:, level]
        of_rows, at = known[rows], scores[rows, level]
        left, right = products[rows].sum(axis=0), of_rows.T @ at
        kept = KEPT[0] + (KEPT[1] - KEPT[0]) * (1.0 - rows.mean())
        slopes = np.append(np.full(count, kept if level else 0.0), 0.0)
        left = left + np.diag(slopes + 1e-6)
        right = right + slopes * lines[level - 1]
        line: Floats = np.linalg.solve(left, right)
        lines[level] = line
        squares = (at - of_rows @ line) ** 2 + np.einsum(
            "k,nkj,j->n", line[:count], found.covariance[rows], line[:count]
        )
        usual = noise[level - 1] if level else before.noise[0]
        noise[level] = max((squares.sum() + kept * usual) / (rows.sum() + kept), LEAST_NOISE)
    return Shapes(lines[:, count], lines[:, :count], noise)


def _turned(shapes: Shapes) -> Shapes:
    """Rotate shapes so that a complete curve determines them independently, the clearest first."""
    weighted = shapes.loadings.T / shapes.noise @ shapes.loadings
    turn = np.linalg.eigh(weighted)[1][:, ::-1]
    loadings = shapes.loadings @ turn
    signs = np.where(loadings.sum(axis=0) < 0, -1.0, 1.0)
    return Shapes(shapes.mean, loadings * signs, shapes.noise)
