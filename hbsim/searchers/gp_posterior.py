"""The log posterior of a Gaussian process's hyperparameters, and its gradient."""

from __future__ import annotations

from math import log, pi, sqrt

import torch
from botorch.models import SingleTaskGP
from gpytorch.kernels import ScaleKernel

from hbsim.searchers.gp_kernel import Terms

__all__ = ["Loss"]


class Loss:
    """What GPyTorch's ``-ExactMarginalLogLikelihood`` is, with its gradient: in a fraction of the time.

    A fit evaluates it some seventy times on the same points. So what does not change is computed once, each
    pair of points is looked at once, and the gradient with respect to the covariance is written down
    (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, equation 5.9). It is a closure
    for BoTorch's optimisers.

    Parameters
    ----------
    model : SingleTaskGP
        Holds the hyperparameters, their priors, the noise and the mean.
    terms : Terms
        Of its covariance.
    columns : Tensor, shape (n, width), or (n, width + 2) where the covariance has levels
    values : Tensor, shape (n,)
    """

    def __init__(
        self, model: SingleTaskGP, terms: Terms, columns: torch.Tensor, values: torch.Tensor
    ) -> None:
        self._model = model
        self._terms = terms
        self._values = values
        self._parameters = list(model.parameters())
        named = model.named_priors()  # type: ignore[operator, unused-ignore]
        self._priors = [(prior, value, module) for _, module, prior, value, _ in named]
        # Pairs, and a point with itself; each of the former is two entries of the covariance.
        self._row, self._column = torch.tril_indices(len(values), len(values))
        self._entries = torch.where(self._row == self._column, 1.0, 2.0).to(values.dtype)
        one, other = columns[self._row], columns[self._column]
        width = terms.width
        self._squares = (one[:, :width] - other[:, :width]).square()
        if terms.levels is not None:
            self._apart = (one[:, width] - other[:, width]).abs()
            self._luck = one[:, width + 1] * other[:, width + 1] * (self._squares == 0).all(1)

    def __call__(self) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Return the loss, a scalar, and its gradients, one a parameter of the model that has one.

        Raises
        ------
        RuntimeError
            The covariance cannot be factorised.
        """
        count = len(self._values)
        pairs = self._covariances()
        noise, mean = self._model.likelihood.noise.sum(), self._model.mean_module.constant
        log_prior = torch.stack(
            [prior.log_prob(value(module)).sum() for prior, value, module in self._priors]
        ).sum()
        with torch.no_grad():
            root = self._root(pairs, noise)
            residual = self._values - mean
            weights = torch.cholesky_solve(residual[:, None], root)[:, 0]
            fit = 0.5 * residual @ weights + root.diagonal().log().sum() + 0.5 * count * log(2 * pi)
            slope = 0.5 * (torch.cholesky_inverse(root) - torch.outer(weights, weights))
            by_pair = slope[self._row, self._column] * self._entries
        # Linear in the covariance, the noise and the mean, with the gradient that the loss has here.
        tangent = pairs @ by_pair + noise * slope.trace() - mean * weights.sum() - log_prior
        gradients = torch.autograd.grad(tangent / count, self._parameters)
        return (fit - log_prior.detach()) / count, gradients

    def _covariances(self) -> torch.Tensor:
        """Return the covariance of each pair of points, as `terms` says."""
        squares = self._squares @ self._terms.over_x.lengthscale[0].pow(-2)
        over_x = _matern(squares.clamp_min(1e-30).sqrt())
        levels = self._terms.levels
        if levels is None:
            return over_x
        worth = over_x * (levels.shared.constant + self._over_levels(levels.differing))
        luck = levels.luck.variance.sum() * self._luck
        covariance: torch.Tensor = self._over_levels(levels.curve) + worth + luck
        return covariance

    def _over_levels(self, scaled: ScaleKernel) -> torch.Tensor:
        length = scaled.base_kernel.lengthscale[0, 0]
        covariance: torch.Tensor = scaled.outputscale * _matern(self._apart / length)
        return covariance

    def _root(self, pairs: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        covariance = pairs.new_empty(len(self._values), len(self._values))
        covariance[self._row, self._column] = pairs
        covariance[self._column, self._row] = pairs
        covariance.diagonal().add_(noise)
        found = torch.linalg.cholesky_ex(covariance)
        if found.info:
            raise RuntimeError("the covariance cannot be factorised")
        root: torch.Tensor = found.L
        return root


def _matern(distance: torch.Tensor) -> torch.Tensor:
    """Return the Matern-5/2 at distances in length scales."""
    scaled = sqrt(5) * distance
    return (1 + scaled + scaled.square() / 3) * torch.exp(-scaled)
