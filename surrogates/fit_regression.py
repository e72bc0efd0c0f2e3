"""The regression of a fit: for each target, the model out of several that predicts held-out rows best.

scikit-learn finds the kernel's parameters of a Gaussian process. Predictions are then sums in a fixed order,
not matrix products, whose last bits depend on a row's place in a block.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, Protocol, TypeAlias

import numpy as np

from hbsim.surrogates.fit_curves import rounded
from hbsim.surrogates.protocol import Floats, Ints

TUNED_ON: Final = 250  # the most rows used to find the kernel's parameters
KEPT: Final = 600  # the most rows used for predictions
STEPS: Final = 20
FOLDS: Final = 5
FOLD_STEPS: Final = 5  # steps of a search that starts at the parameters of all rows
DIGITS: Final = 2  # decimals of the parameters' logarithms: further ones depend on the machine
# Prior mean and standard deviation of the logarithms of amplitude, scales and noise: without a prior, ten
# scales overfit 50 rows.
PRIOR_MEAN: Final = (0.0, 1.0, math.log(0.2))
PRIOR_DEVIATION: Final = (1.5, 0.7, 1.5)


@dataclass(frozen=True)
class GaussianProcessFit:
    """A Gaussian process with noise and a Matern 5/2 kernel that has a length scale for each feature.

    See chapters 2 and 5 of Rasmussen and Williams (2006).

    Attributes
    ----------
    held_out : array, shape (n,)
        The prediction of each row from other rows.
    """

    held_out: Floats
    _rows: Floats
    _weights: Floats
    _scales: Floats
    _offset: float

    def predict(self, features: Floats) -> Floats:
        """Return the mean at features (q, d), shape (q,)."""
        found = np.empty(len(features))
        step = max(1, 2**19 // len(self._rows))  # a block that fits in the cache
        for start in range(0, len(features), step):
            block = _matern(features[start : start + step] * self._scales, self._rows)
            block *= self._weights
            found[start : start + step] = block.sum(axis=1)
        return found + self._offset


@dataclass(frozen=True)
class _Rows:
    """Data of a Gaussian process: targets (n,) of mean 0 and variance 1, each with its own noise."""

    features: Floats
    targets: Floats
    noise: Floats

    def take(self, rows: Ints) -> _Rows:
        return _Rows(self.features[rows], self.targets[rows], self.noise[rows])


def fit_gaussian_process(features: Floats, targets: Floats, noise: Floats) -> GaussianProcessFit:
    """Fit a Gaussian process.

    Parameters
    ----------
    features : array, shape (n, d)
        The features of each row.
    targets, noise : array, shape (n,)
        The values to predict, and the known variance of each, in addition to a noise that is fitted.
    """
    certain = 1.0 / (noise + 0.3 * max(float(targets.var()), 1e-12))
    offset = float(np.average(targets, weights=certain))
    spread = math.sqrt(max(float(np.average((targets - offset) ** 2, weights=certain)), 1e-12))
    own = np.minimum(noise / spread**2, 1e4) + 1e-8
    rows = _Rows(features, (targets - offset) / spread, own)
    kept = rows.take(_some(len(targets), KEPT))
    theta = _tuned(kept, _each(PRIOR_MEAN, features.shape[1]), STEPS)
    whole = _solved(kept, theta)
    held_out = whole.predict(features)
    held_out[_some(len(targets), KEPT)] = _held_out(kept, theta)
    return GaussianProcessFit(
        offset + spread * held_out, whole._rows, spread * whole._weights, whole._scales, offset
    )


def _held_out(rows: _Rows, theta: Floats) -> Floats:
    """Return the prediction of each row by a process that is fitted to the other four fifths."""
    n = len(rows.targets)
    part = np.random.default_rng(0).permutation(n) % FOLDS
    found = np.empty(n)
    for fold in range(FOLDS):
        others = rows.take(np.flatnonzero(part != fold))
        process = _solved(others, _tuned(others, theta, FOLD_STEPS))
        found[part == fold] = process.predict(rows.features[part == fold])
    return found


def _some(n: int, most: int) -> Ints:
    """Return at most `most` of n places, evenly spread."""
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).astype(np.int64)


def _solved(rows: _Rows, theta: Floats) -> GaussianProcessFit:
    amplitude, scales, rest = math.exp(theta[0]), np.exp(-theta[1:-1]), math.exp(theta[-1])
    places = rows.features * scales
    covariance = amplitude * _matern(places, places) + np.diag(rows.noise + rest)
    weights: Floats = amplitude * np.linalg.solve(covariance, rows.targets).astype(np.float64)
    return GaussianProcessFit(np.empty(0), places, weights, scales, 0.0)


def _each(prior: tuple[float, float, float], scales: int) -> Floats:
    """Return one prior value for the amplitude, for each scale, and for the noise."""
    return np.array([prior[0], *[prior[1]] * scales, prior[2]])


def _tuned(rows: _Rows, start: Floats, steps: int) -> Floats:
    """Return the most probable logarithms of amplitude, scales and noise, given their prior."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    rows = rows.take(_some(len(rows.targets), TUNED_ON))
    kernel = ConstantKernel(1.0, (1e-3, 30.0))
    kernel = kernel * Matern(np.ones(rows.features.shape[1]), (0.05, 50.0), nu=2.5)
    kernel = (kernel + WhiteKernel(0.2, (1e-3, 3.0))).clone_with_theta(start)
    search = partial(_search, steps=steps)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ignore warnings of a parameter at its bound, which is allowed
        found = GaussianProcessRegressor(kernel, alpha=rows.noise, optimizer=search)
        found.fit(rows.features, rows.targets)
    theta: Floats = np.round(found.kernel_.theta, DIGITS)
    return theta


def _search(objective: Callable[..., Any], start: Floats, bounds: Floats, steps: int) -> tuple[Floats, float]:
    """Minimise scikit-learn's objective, less the logarithm of the prior."""
    from scipy.optimize import minimize

    mean, deviation = (_each(prior, len(start) - 2) for prior in (PRIOR_MEAN, PRIOR_DEVIATION))

    def penalised(theta: Floats) -> tuple[float, Floats]:
        value, slope = objective(theta)
        away = (theta - mean) / deviation
        return value + 0.5 * float((away * away).sum()), slope + away / deviation

    options = {"maxiter": steps}
    found = minimize(penalised, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return found.x, float(found.fun)


def _matern(a: Floats, b: Floats) -> Floats:
    """Return the correlations of points a (q, d) and b (n, d), shape (q, n)."""
    squares = np.zeros((len(a), len(b)))
    for column in range(a.shape[1]):
        difference = a[:, column, None] - b[:, column]
        difference *= difference
        squares += difference
    distance = np.sqrt(5.0 * squares)
    squares *= 5.0 / 3.0
    squares += distance
    squares += 1.0
    np.negative(distance, out=distance)
    np.exp(distance, out=distance)
    squares *= distance
    return squares


RegressionKind: TypeAlias = Literal["mean", "process", "trees"]

TREES: Final = 100
LEAF: Final = 2
BETTER: Final = 0.98  # a regression's error must be below this share of the mean's
FLOOR: Final = 1e-12


class _Predictor(Protocol):
    def predict(self, features: Floats) -> Floats: ...


@dataclass(frozen=True)
class Regression:
    """Regressions of k targets, each predicted separately.

    Attributes
    ----------
    kinds : tuple of "mean", "process" or "trees"
        The model of each target: the mean of the rows, a Gaussian process, or extremely randomised trees
        (Geurts and others, Machine Learning 2006).
    held_out : array, shape (n, k)
        The prediction of each row without the row itself.
    """

    kinds: tuple[RegressionKind, ...]
    held_out: Floats
    _predictors: tuple[_Predictor, ...]

    def predict(self, features: Floats) -> Floats:
        """Return the targets at features (q, d), shape (q, k); the same in any block."""
        return rounded(np.stack([one.predict(features) for one in self._predictors], axis=1))


@dataclass(frozen=True)
class _One:
    kind: RegressionKind
    held_out: Floats
    predictor: _Predictor


def fit_regression(features: Floats, targets: Floats, noise: Floats, seed: int) -> Regression:
    """Fit each kind of regression to each target, and keep the kind that predicts held-out rows best.

    Parameters
    ----------
    features : array, shape (n, d)
        The features of each row.
    targets, noise : array, shape (n, k)
        The values to predict, on the scale of scores, and their known variances.
    seed : int
        The seed of the trees.
    """
    targets, noise = rounded(targets), rounded(noise)
    best = [_best(features, y, own, seed) for y, own in zip(targets.T, noise.T, strict=True)]
    held_out = rounded(np.stack([one.held_out for one in best], axis=1))
    return Regression(tuple(one.kind for one in best), held_out, tuple(one.predictor for one in best))


def _best(features: Floats, y: Floats, own: Floats, seed: int) -> _One:
    weights = 1.0 / (own + max(float(y.var()), FLOOR))
    found = (_mean(y, weights), _process(features, y, own), _trees(features, y, weights, seed))
    errors = [float((weights * (y - one.held_out) ** 2).sum()) for one in found]
    errors[0] *= BETTER
    return found[int(np.argmin(errors))]


@dataclass(frozen=True)
class _Mean:
    value: float

    def predict(self, features: Floats) -> Floats:
        return np.full(len(features), self.value)


def _mean(y: Floats, weights: Floats) -> _One:
    total, product = weights.sum(), (weights * y).sum()
    held_out = (product - weights * y) / (total - weights)
    return _One("mean", held_out, _Mean(float(product / total)))


def _process(features: Floats, y: Floats, own: Floats) -> _One:
    process = fit_gaussian_process(features, y, own)
    return _One("process", process.held_out, process)


def _trees(features: Floats, y: Floats, weights: Floats, seed: int) -> _One:
    from sklearn.ensemble import ExtraTreesRegressor

    trees = ExtraTreesRegressor(
        TREES, min_samples_leaf=LEAF, max_features=0.7, bootstrap=True, oob_score=True, random_state=seed
    )
    trees.fit(features, y, sample_weight=weights)
    return _One("trees", trees.oob_prediction_, trees)
