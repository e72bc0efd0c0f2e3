"""Fits of Gaussian processes: their hyperparameters, by BoTorch."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Final

import torch
from botorch.models import SingleTaskGP
from botorch.models.utils.gpytorch_modules import get_gaussian_likelihood_with_lognormal_prior
from botorch.optim.fit import fit_gpytorch_mll_scipy
from gpytorch.kernels import Kernel
from gpytorch.mlls import ExactMarginalLogLikelihood

from hbsim.searchers.gp_kernel import terms
from hbsim.searchers.gp_posterior import Loss
from hbsim.searchers.protocol import Floats

__all__ = ["Fit", "fit"]

ITERATIONS: Final = 50  # of L-BFGS, for a fit
TOLERANCE: Final = 1e-6  # of the log posterior an observation


@dataclass(frozen=True)
class Fit:
    """A covariance with its hyperparameters, of standardised values.

    Attributes
    ----------
    kernel : Kernel
        Over columns.
    noise : float
        Variance.
    mean : float
        Constant.
    """

    kernel: Kernel
    noise: float
    mean: float


def fit(columns: Floats, values: Floats, levelled: bool) -> Fit:
    """Fit a kernel's hyperparameters: the maximum a posteriori, climbed to from the priors' modes.

    The covariance is that of `gp_kernel.terms`.

    Parameters
    ----------
    columns : array, shape (n, width), or (n, width + 2) with log r, in units of log 81, and g(r) last
        Observations.
    values : array, shape (n,)
        Standardised.
    levelled : bool
        Whether the last columns are those of a level.

    Returns
    -------
    Fit
        That of the priors' modes where the optimiser fails.
    """
    likelihood = get_gaussian_likelihood_with_lognormal_prior()
    parts = terms(columns.shape[1] - 2 * levelled, levelled)
    x, y = torch.from_numpy(columns), torch.from_numpy(values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few iterations, and of values that cannot be standardised
        model = SingleTaskGP(
            x, y[:, None], likelihood=likelihood, covar_module=parts.kernel(), outcome_transform=None
        ).double()
        _fit(model, Loss(model, parts, x, y))
    covariance = model.covar_module.requires_grad_(False)
    return Fit(covariance, model.likelihood.noise.item(), model.mean_module.constant.item())


def _fit(model: SingleTaskGP, loss: Loss) -> None:
    modes = {name: value.clone() for name, value in model.state_dict().items()}
    likelihood = ExactMarginalLogLikelihood(model.likelihood, model)
    try:
        fit_gpytorch_mll_scipy(likelihood, closure=loss, options={"maxiter": ITERATIONS, "ftol": TOLERANCE})
        broken = not all(bool(value.isfinite().all()) for value in model.parameters())
    except (RuntimeError, ValueError, ArithmeticError):
        broken = True
    if broken:
        model.load_state_dict(modes)
