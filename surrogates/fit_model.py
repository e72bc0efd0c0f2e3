"""The fitted model: the expected curve of a configuration, and curves drawn around it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from hbsim.surrogates import hashing
from hbsim.surrogates.fit_curves import (
    MetricScale,
    Posterior,
    Shapes,
    choose_levels,
    fit_scale,
    fit_shapes,
    interpolation,
    rounded,
    single,
)
from hbsim.surrogates.fit_data import COMPLETE, FitData, features
from hbsim.surrogates.fit_outcomes import DivergenceModel, TimeModel, fit_divergence, fit_time
from hbsim.surrogates.fit_regression import Regression, fit_regression
from hbsim.surrogates.protocol import Floats, Ints

ROUNDS: Final = 10
# At least so many rows, and as large a share as what hyperparameters do not explain, lend their distance from
# what was expected of them. At both ends fewer do, down to twice EDGE: the chance of a worse row would carry
# the best ones beyond anything recorded.
DONORS: Final = 30
EDGE: Final = 5
CERTAIN: Final = 0.999  # the largest unknown share of a coefficient's variance


@dataclass(frozen=True)
class Expectation:
    """The expectations for q configurations, without random parts.

    Attributes
    ----------
    coefficients : array, shape (q, k)
        The coefficients of the shapes.
    rate : array, shape (q,)
        The logarithm of seconds per unit.
    divergence : array, shape (q,)
        The probability of having no number at the last level.
    """

    coefficients: Floats
    rate: Floats
    divergence: Floats


@dataclass(frozen=True)
class CurveModel:
    """Curves of any configuration; made by `fit_model`.

    A curve is its expectation plus the residual of a donor, a row of the table with about the same
    expectation; the residual is the distance from the prediction of the other rows. Unknown parts of the
    donor's curve are drawn at random, and so is each level's noise.

    Attributes
    ----------
    data : FitData
        The data that the model is fitted to.
    warp, shapes : MetricScale, Shapes
        The scale of curves, and the curves at the levels `fitted`.
    fitted : array, shape (m,)
        The fitted levels.
    regression, clock, failures : Regression, TimeModel, DivergenceModel
        From features to coefficients, to time and to divergence.
    covariance : array, shape (k, k)
        The covariance of coefficients around their expectation.
    """

    data: FitData
    scale: MetricScale
    shapes: Shapes
    fitted: Floats
    regression: Regression
    clock: TimeModel
    failures: DivergenceModel
    covariance: Floats
    _unexplained: float  # share of the variance of heights
    _order: Floats  # the donors' expected height, ascending
    _distance: Floats  # (n, k) residuals of the donors' coefficients
    _unknown: Floats  # (n, k, k) roots of the covariances of these residuals
    _delay: Floats  # (n,) the donors' residuals of time

    def expect(self, points: Floats) -> Expectation:
        """Return the expectations at points (q, d) of the unit cube, which `snap` has moved already."""
        seen = features(self.data.space, points)
        if not len(points):
            return Expectation(np.empty((0, self.shapes.count)), np.empty(0), np.empty(0))
        return Expectation(
            self.regression.predict(seen), self.clock.predict(seen), self.failures.predict(seen)
        )

    def median(self, expected: Expectation, levels: Floats) -> Floats:
        """Return the expected values at levels (m,), shape (q, m)."""
        return self.scale.to_values(self._scores(expected.coefficients, levels))

    def draw(self, expected: Expectation, keys: hashing.Keys, levels: Floats) -> tuple[Floats, Floats]:
        """Return values and seconds at levels (m,), shapes (q, m); keys (q,) determine the random parts.

        Values are finite; `lost` tells which of them diverge.
        """
        donors = self._donors(expected, keys)
        around = Expectation(
            expected.coefficients + self._distance[donors],
            expected.rate + self._delay[donors],
            expected.divergence,
        )
        values = self.draw_around(around, self._unknown[donors], keys, levels)
        units = np.interp(levels, np.concatenate([[0.0], self.data.levels]), [0.0, *self.clock.shape])
        return values, single(np.exp(around.rate)[:, None] * units)

    def draw_around(self, expected: Expectation, roots: Floats, keys: hashing.Keys, levels: Floats) -> Floats:
        """Return values at levels (m,), shape (q, m); roots (q, k, k) are Cholesky factors of covariances."""
        coefficients = np.array(expected.coefficients)
        for column in range(coefficients.shape[1]):
            chance = hashing.normal(_fork(keys, 2, column))
            coefficients += roots[:, :, column] * chance[:, None]
        scores = self._scores(coefficients, levels)
        noise = np.sqrt(interpolation(self.fitted, levels).mix(self.shapes.noise))
        scores += noise * hashing.normal(hashing.combine(keys, levels, hashing.scalar_key(3)))
        return self.scale.to_values(scores)

    def lost(self, expected: Expectation, keys: hashing.Keys, levels: Floats) -> np.ndarray:
        """Return which values are NaN because the run diverged, shape (q, m)."""
        share = np.interp(levels, self.data.levels, self.failures.by_level)
        chance = hashing.uniform(_fork(keys, 4))
        return chance[:, None] < expected.divergence[:, None] * share

    def posterior(self, expected: Expectation, scores: Floats) -> Posterior:
        """Return the posterior of coefficients, given scores (q, m) at the fitted levels."""
        return self.shapes.posterior(scores, expected.coefficients, self.covariance)

    def _scores(self, coefficients: Floats, levels: Floats) -> Floats:
        place = interpolation(self.fitted, levels)
        scores = np.tile(place.mix(self.shapes.mean), (len(coefficients), 1))
        for column, loading in enumerate(place.mix(self.shapes.loadings).T):
            scores += coefficients[:, column, None] * loading
        return scores

    def _donors(self, expected: Expectation, keys: hashing.Keys) -> Ints:
        """Return a donor for each configuration: a row with about the same expected height."""
        n = len(self._order)
        chance = hashing.uniform(_fork(keys, 1))
        most = min(n, max(DONORS, int(n * self._unexplained))) // 2
        least = min(most, max(EDGE, int(most * self._unexplained)))
        place = np.searchsorted(self._order, _height(expected.coefficients, self.shapes))
        side = np.clip(np.minimum(place, n - place), least, most)
        donors: Ints = np.clip(place - side, 0, n - 2 * side) + (chance * 2 * side).astype(np.int64)
        return donors


def _fork(keys: hashing.Keys, *purpose: int) -> hashing.Keys:
    return hashing.mix(keys + hashing.scalar_key(*purpose))


def _height(coefficients: Floats, shapes: Shapes) -> Floats:
    """Return the mean score over the fitted levels less that of the mean curve, summed in a fixed order."""
    heights: Floats = (coefficients * shapes.loadings.mean(axis=0)).sum(axis=1)
    return heights


def fit_model(data: FitData, seed: int) -> CurveModel:
    """Fit a model; the same data and seed give the same one on any number of cores.

    Raises
    ------
    SurrogateError
        No row takes any time.
    """
    # Imported first: only libraries that are already loaded can be limited to one thread.
    import sklearn.ensemble
    import sklearn.gaussian_process
    import sklearn.linear_model  # noqa: F401

    with threadpool_limits(1):
        return _fit(data, seed)


def _fit(data: FitData, seed: int) -> CurveModel:
    seen = features(data.space, data.points)
    counts = np.isfinite(data.values).sum(axis=0)
    usable = np.flatnonzero(counts >= min(COMPLETE, int(counts[-1])))  # the last level is always included
    places = choose_levels(data.levels, data.ends, usable)
    with_curve = np.flatnonzero(np.isfinite(data.values[:, places]).any(axis=1))
    values = data.values[np.ix_(with_curve, places)]
    scale = fit_scale(values)
    scores = scale.to_scores(values)
    shapes = fit_shapes(scores)
    regression, found, covariance = _regress(seen[with_curve], scores, shapes, seed)
    clock = fit_time(data.source, seen, data.seconds, data.levels, seed)
    height, expected = _height(found.mean, shapes), _height(regression.held_out, shapes)
    order = np.argsort(expected, kind="stable")
    return CurveModel(
        data=data,
        scale=scale,
        shapes=shapes,
        fitted=data.levels[places],
        regression=regression,
        clock=clock,
        failures=fit_divergence(seen, data.diverged, data.ends, len(data.levels), seed),
        covariance=covariance,
        _unexplained=float(np.clip(((height - expected) ** 2).mean() / max(height.var(), 1e-12), 0.0, 1.0)),
        _order=expected[order],
        _distance=rounded(found.mean - regression.held_out)[order],
        _unknown=rounded(found.roots)[order],
        _delay=clock.residuals[with_curve][order],
    )


def _regress(seen: Floats, scores: Floats, shapes: Shapes, seed: int) -> tuple[Regression, Posterior, Floats]:
    """Return the regression of coefficients, the posterior of each row's, and their residuals.

    A short curve carries little information: the coefficients of a row are those of its own curve (the
    posterior without the prior), with their uncertainty.
    """
    n, count = len(scores), shapes.count
    found = shapes.posterior(scores, np.zeros((n, count)), np.eye(count))
    unknown = np.clip(np.einsum("nkk->nk", found.covariance), 0.0, CERTAIN)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        regression = fit_regression(seen, found.mean / (1.0 - unknown), unknown / (1.0 - unknown), seed)
    covariance = np.eye(count)
    for _ in range(ROUNDS):
        found = shapes.posterior(scores, regression.held_out, covariance)
        distance = found.mean - regression.held_out
        covariance = distance.T @ distance / n + found.covariance.mean(axis=0)
    return regression, found, covariance
