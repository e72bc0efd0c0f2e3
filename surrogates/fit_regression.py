"""From hyperparameters to coefficients: the regression that predicts held-out rows best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

import numpy as np

from hbsim.surrogates.fit_process import fit_process
from hbsim.surrogates.protocol import Floats

__all__ = ["Kind", "Regression", "fit_regression"]

Kind: TypeAlias = Literal["mean", "process", "trees"]

TREES: Final = 100
LEAF: Final = 2
BETTER: Final = 0.98  # a regression has to err that much less than the mean


class _Predictor(Protocol):
    def predict(self, features: Floats) -> Floats: ...


@dataclass(frozen=True)
class Regression:
    """k targets, each predicted on its own.

    Attributes
    ----------
    kind : "mean", "process" or "trees"
        What predicts: the mean of the rows, a Gaussian process, or extremely randomised trees.
    held_out : array, shape (n, k)
        For each row what is predicted without it.
    """

    kind: Kind
    held_out: Floats
    _predictors: tuple[_Predictor, ...]

    def predict(self, features: Floats) -> Floats:
        """Return the targets at features (q, d), shape (q, k); the same in any block."""
        return np.stack([one.predict(features) for one in self._predictors], axis=1)


def fit_regression(features: Floats, targets: Floats, noise: Floats, seed: int) -> Regression:
    """Fit each kind of regression, and return the one that predicts rows best that it has not seen.

    Parameters
    ----------
    features : array, shape (n, d)
        What is known of each row.
    targets, noise : array, shape (n, k)
        What to predict, and how uncertain it already is (variances).
    seed : int
        Of the trees.
    """
    fits = (_means, _processes, _trees)
    found = [fit(features, targets, noise, seed) for fit in fits]
    weights = 1.0 / (noise + 0.3 * np.maximum(targets.var(axis=0), 1e-12))
    errors = [float((weights * (targets - one.held_out) ** 2).sum()) for one in found]
    errors[0] *= BETTER
    return found[int(np.argmin(errors))]


@dataclass(frozen=True)
class _Mean:
    value: float

    def predict(self, features: Floats) -> Floats:
        return np.full(len(features), self.value)


def _means(features: Floats, targets: Floats, noise: Floats, seed: int) -> Regression:
    weights = 1.0 / (noise + np.maximum(targets.var(axis=0), 1e-12))
    total, products = weights.sum(axis=0), (weights * targets).sum(axis=0)
    held_out = (products - weights * targets) / (total - weights)
    return Regression("mean", held_out, tuple(_Mean(mean) for mean in (products / total).tolist()))


def _processes(features: Floats, targets: Floats, noise: Floats, seed: int) -> Regression:
    fits = tuple(fit_process(features, y, own) for y, own in zip(targets.T, noise.T, strict=True))
    return Regression("process", np.stack([fit.held_out for fit in fits], axis=1), fits)


def _trees(features: Floats, targets: Floats, noise: Floats, seed: int) -> Regression:
    from sklearn.ensemble import ExtraTreesRegressor

    fits = []
    for y, own in zip(targets.T, noise.T, strict=True):
        trees = ExtraTreesRegressor(
            TREES, min_samples_leaf=LEAF, max_features=0.7, bootstrap=True, oob_score=True, random_state=seed
        )
        fits.append(trees.fit(features, y, sample_weight=1.0 / (own + max(float(y.var()), 1e-12))))
    return Regression("trees", np.stack([fit.oob_prediction_ for fit in fits], axis=1), tuple(fits))
