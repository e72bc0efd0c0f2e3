"""A Gaussian process given observations: what it predicts, and what it expects to gain; on PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from math import log, pi, sqrt
from typing import Final, NamedTuple

import numpy as np
import torch
from gpytorch import settings

from hbsim.searchers.gp_fit import Fit
from hbsim.searchers.protocol import Floats

__all__ = ["Predicted", "Predictor", "log_improvement"]

JITTERS: Final = (0.0, 1e-8, 1e-6, 1e-4)  # tried in turn on the diagonal
CHUNK: Final = 2048  # points predicted at once


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
        self.columns = columns
        self.values = values
        self._x = torch.from_numpy(np.ascontiguousarray(columns))
        covariance = self._covariance(self._x, self._x)
        self._root = _cholesky(covariance, fitted.noise)
        residual = torch.from_numpy(values - fitted.mean)[:, None]
        self._weights = torch.cholesky_solve(residual, self._root)[:, 0]

    def __call__(self, columns: torch.Tensor) -> Predicted:
        """Predict at columns, shape (n, width); differentiable."""
        cross = self._covariance(self._x, columns)
        mean = self.fitted.mean + cross.T @ self._weights
        explained = torch.linalg.solve_triangular(self._root, cross, upper=False).square().sum(0)
        prior = self.fitted.kernel(columns, diag=True)
        return Predicted(mean, (prior - explained).clamp_min(1e-10).sqrt())

    def mean(self, columns: Floats) -> Floats:
        """Return posterior means, shape (n,), at columns, shape (n, width)."""
        return self._in_chunks(columns, lambda found: found.mean)

    def improvement(self, columns: Floats, best: float) -> Floats:
        """Return the log of the expected improvement on `best`, shape (n,), at columns, shape (n, width)."""
        return self._in_chunks(columns, lambda found: log_improvement(found, best))

    def given(self, columns: Floats, values: Floats) -> Predictor:
        """Return the process given these as well; the hyperparameters stay."""
        return Predictor(
            self.fitted,
            np.concatenate([self.columns, columns]),
            np.concatenate([self.values, values]),
        )

    def _covariance(self, some: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        with settings.lazily_evaluate_kernels(False):
            covariance: torch.Tensor = self.fitted.kernel(some, others).to_dense()
        return covariance

    def _in_chunks(self, columns: Floats, read: Callable[[Predicted], torch.Tensor]) -> Floats:
        with torch.no_grad():
            parts = [
                read(self(torch.from_numpy(columns[start : start + CHUNK]))).numpy()
                for start in range(0, len(columns), CHUNK)
            ]
        return np.concatenate(parts) if parts else np.empty(0)


def log_improvement(found: Predicted, best: float) -> torch.Tensor:
    """Return the log of the expected improvement on `best`, shape (n,); its gradients never vanish.

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


def _cholesky(covariance: torch.Tensor, noise: float) -> torch.Tensor:
    diagonal = torch.eye(len(covariance), dtype=covariance.dtype)
    for jitter in JITTERS:
        found = torch.linalg.cholesky_ex(covariance + (noise + jitter) * diagonal)
        root: torch.Tensor = found.L
        if not found.info and bool(root.isfinite().all()):
            return root
    raise RuntimeError("the covariance cannot be factorised")
