"""A Gaussian process given observations: what it predicts, and what it expects to gain; on PyTorch."""

from __future__ import annotations

from math import log, pi, sqrt
from typing import Final, NamedTuple

import numpy as np
import torch
from gpytorch import settings

from hbsim.searchers.gp_fit import Fit
from hbsim.searchers.protocol import Floats

__all__ = ["Predicted", "Predictor", "log_improvement"]

JITTERS: Final = (0.0, 1e-8, 1e-6, 1e-4)  # tried in turn on the diagonal
DRAWS: Final = 20  # of the values of what was tried; as in BoTorch
NUGGET: Final = 1e-6  # variance at which values count as noiseless


class Predicted(NamedTuple):
    """Posterior means and standard deviations of the noiseless value, shape (n,) each."""

    mean: torch.Tensor
    deviation: torch.Tensor


class Predictor:
    """A Gaussian process given observations.

    Parameters
    ----------
    fitted : Fit
        Its hyperparameters.
    columns : array, shape (n, width)
        As for `fit`.
    values : array, shape (n,)
        Standardised.

    Raises
    ------
    RuntimeError
        The covariance cannot be factorised (`torch.linalg.LinAlgError` is one), or is no number.
    """

    def __init__(self, fitted: Fit, columns: Floats, values: Floats) -> None:
        self.fitted = fitted
        self._x = torch.from_numpy(np.ascontiguousarray(columns))
        self._root = _cholesky(_covariance(fitted, self._x, self._x), fitted.noise)
        residual = torch.from_numpy(values - fitted.mean)[:, None]
        self._weights = torch.cholesky_solve(residual, self._root)[:, 0]

    def __call__(self, columns: torch.Tensor) -> Predicted:
        """Predict at columns, shape (n, width); differentiable."""
        cross = self._cross(columns)
        mean = self.fitted.mean + cross.T @ self._weights
        return Predicted(mean, _deviation(self.fitted, columns, self._root, cross))

    def means(self, columns: Floats) -> Floats:
        """Return posterior means, shape (n,), at columns, shape (n, width)."""
        found = self.fitted.mean + self._cross(torch.from_numpy(columns)).T @ self._weights
        means: Floats = found.numpy()  # PyTorch has no types for it where it is not installed
        return means

    def joint(self, columns: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return posterior means, shape (n,), and the covariance, shape (n, n), of noiseless values."""
        cross = self._cross(columns)
        explained = torch.linalg.solve_triangular(self._root, cross, upper=False)
        covariance = _covariance(self.fitted, columns, columns) - explained.T @ explained
        return self.fitted.mean + cross.T @ self._weights, covariance

    def _cross(self, columns: torch.Tensor) -> torch.Tensor:
        return _covariance(self.fitted, self._x, columns)


class Improvement:
    """The log of the expected improvement on what was tried, whose noiseless values are uncertain, too.

    Letham, Karrer, Ottoni and Bakshy, "Constrained Bayesian Optimization with Noisy Experiments" (2019),
    section 3. The values of all that was tried or is pending are drawn together from the posterior, time and
    again. Each draw is interpolated, and improvement is what is above its best. So a copy of what was tried
    improves nothing, however little is known of its value. Observations say no more of a new configuration
    once these values are given: the covariances of configurations and of levels are multiplied (but for the
    curve that all share, which many values at one level tell as well).

    Parameters
    ----------
    predictor : Predictor
        Given all that was observed.
    tried : array, shape (n, width)
        Columns of what was tried or is pending, at the level at which values count.
    draws : numpy.random.Generator
        Chooses the values.
    """

    def __init__(self, predictor: Predictor, tried: Floats, draws: np.random.Generator) -> None:
        self._fitted = predictor.fitted
        self._x = torch.from_numpy(tried)
        mean, covariance = predictor.joint(self._x)
        normal = torch.from_numpy(draws.standard_normal((len(self._x), DRAWS)))
        values = mean[:, None] + _cholesky(covariance, NUGGET) @ normal
        self._root = _cholesky(_covariance(self._fitted, self._x, self._x), NUGGET)
        self._weights = torch.cholesky_solve(values - self._fitted.mean, self._root)
        self._best = values.amax(0)

    def __call__(self, columns: torch.Tensor) -> torch.Tensor:
        """Return it, shape (n,), at columns, shape (n, width); differentiable."""
        cross = _covariance(self._fitted, self._x, columns)
        means = self._fitted.mean + cross.T @ self._weights
        deviation = _deviation(self._fitted, columns, self._root, cross)[:, None]
        by_draw = log_improvement(Predicted(means, deviation), self._best)
        return torch.logsumexp(by_draw, 1) - log(DRAWS)


def log_improvement(found: Predicted, best: torch.Tensor | float) -> torch.Tensor:
    """Return the log of the expected improvement on `best`; its gradients never vanish.

    Ament et al., "Unexpected Improvements to Expected Improvement for Bayesian Optimization" (2023), section
    4.1.
    """
    z = (found.mean - best) / found.deviation
    above, below = z.clamp_min(-1.0), z.clamp(-1e4, -1.0)
    density = torch.exp(-0.5 * above.square()) / sqrt(2 * pi)
    direct = torch.log(density + above * torch.special.ndtr(above))
    tail = torch.log1p(sqrt(pi / 2) * below * torch.special.erfcx(-below / sqrt(2)))
    far = z.clamp_max(-1e4)
    logarithm = torch.where(z > -1e4, tail, -2 * torch.log(-far)) - 0.5 * z.square() - 0.5 * log(2 * pi)
    return torch.where(z > -1.0, direct, logarithm) + torch.log(found.deviation)


def _covariance(fitted: Fit, some: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    with settings.lazily_evaluate_kernels(False):
        covariance: torch.Tensor = fitted.kernel(some, others).to_dense()
    return covariance


def _deviation(fitted: Fit, columns: torch.Tensor, root: torch.Tensor, cross: torch.Tensor) -> torch.Tensor:
    """Return posterior deviations, given values with a covariance of this root and this one with columns."""
    explained = torch.linalg.solve_triangular(root, cross, upper=False).square().sum(0)
    prior = fitted.kernel(columns, diag=True)
    deviation: torch.Tensor = (prior - explained).clamp_min(1e-10).sqrt()
    return deviation


def _cholesky(covariance: torch.Tensor, noise: float) -> torch.Tensor:
    diagonal = torch.eye(len(covariance), dtype=covariance.dtype)
    for jitter in JITTERS:
        found = torch.linalg.cholesky_ex(covariance + (noise + jitter) * diagonal)
        root: torch.Tensor = found.L
        if not found.info and bool(root.isfinite().all()):
            return root
    raise RuntimeError("the covariance cannot be factorised")
