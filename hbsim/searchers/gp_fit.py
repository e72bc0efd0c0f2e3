"""Covariances of Gaussian processes on GPyTorch, their hyperparameters fitted by BoTorch."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from math import log
from typing import Final

import torch
from botorch.models import SingleTaskGP
from botorch.models.utils.gpytorch_modules import get_gaussian_likelihood_with_lognormal_prior
from botorch.optim.fit import fit_gpytorch_mll_scipy
from gpytorch import settings
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import ConstantKernel, Kernel, LinearKernel, MaternKernel, ScaleKernel
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import LogNormalPrior

from hbsim.searchers.protocol import Floats

__all__ = ["Fit", "fit"]

ITERATIONS: Final = 50  # of L-BFGS, for a fit
SAME: Final = 1e-6  # the length scale of what is one configuration
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

    Without levels the covariance is a Matern-5/2 with a length scale a column, whose prior grows with the
    dimension (Hvarfner et al., "Vanilla Bayesian Optimization Performs Great in High Dimensions", 2024). It
    is narrower than theirs: where the values at low levels are noisy, long scales would win, and with them
    the corner that the first few values point to. With levels it is

        k((x, r), (x', r')) = k_m(r, r') + k_x(x, x') (c + k_r(r, r')) + [x = x'] e g(r) g(r')

    where k_x is that Matern, k_r and k_m are scaled Materns over log r, c and e constants, and g(r) is
    sqrt(R / r - 1): a mean curve that all share, what a configuration is worth at every level, how that
    differs between levels, and the luck that it has at first and that wears off. Without the last a few
    unlucky values at a low level would speak against all configurations near by.

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
    kernel = _kernel(columns.shape[1] - 2 * levelled, levelled)
    x, y = torch.from_numpy(columns), torch.from_numpy(values)[:, None]
    eager, exact = settings.lazily_evaluate_kernels(False), settings.fast_computations(False, False, False)
    with warnings.catch_warnings(), eager, exact:
        warnings.simplefilter("ignore")  # of few iterations, and of values that cannot be standardised
        model = SingleTaskGP(
            x, y, likelihood=likelihood, covar_module=kernel, outcome_transform=None
        ).double()
        _fit(model)
    covariance = model.covar_module.requires_grad_(False)
    return Fit(covariance, model.likelihood.noise.item(), model.mean_module.constant.item())


def _fit(model: SingleTaskGP) -> None:
    modes = {name: value.clone() for name, value in model.state_dict().items()}
    likelihood = ExactMarginalLogLikelihood(model.likelihood, model)
    try:
        fit_gpytorch_mll_scipy(likelihood, options={"maxiter": ITERATIONS, "ftol": TOLERANCE})
        broken = not all(bool(value.isfinite().all()) for value in model.parameters())
    except (RuntimeError, ValueError, ArithmeticError):
        broken = True
    if broken:
        model.load_state_dict(modes)


def _kernel(width: int, levelled: bool) -> Kernel:
    over_x = _over_columns(width)
    if not levelled:
        return over_x
    shared = ConstantKernel(constant_prior=LogNormalPrior(log(0.5), 1.0))
    shared.initialize(constant=torch.tensor([0.5]))
    worth = over_x * (shared + _over_levels(width, 0.3))
    return _over_levels(width, 0.5) + worth + _luck(width)


def _over_columns(width: int) -> Kernel:
    """Return a Matern-5/2 with a length scale a column.

    In k dimensions points are sqrt(k) times as far apart as in one, so the prior grows with that.
    """
    prior = LogNormalPrior(log(0.5) + 0.5 * log(width / 3), 0.6)
    return MaternKernel(
        nu=2.5,
        ard_num_dims=width,
        active_dims=list(range(width)),
        lengthscale_prior=prior,
        lengthscale_constraint=GreaterThan(0.025, transform=None, initial_value=prior.mode),
    )


def _luck(width: int) -> Kernel:
    """Return the last term, a covariance of equal configurations only; g(r) is after the level."""
    same = MaternKernel(nu=0.5, active_dims=list(range(width)))
    same.initialize(lengthscale=SAME)
    luck = LinearKernel(active_dims=[width + 1], variance_prior=LogNormalPrior(log(1e-3), 1.5))
    luck.initialize(variance=1e-3)
    return same.requires_grad_(False) * luck


def _over_levels(place: int, scale: float) -> Kernel:
    """Return a scaled Matern-5/2 over the log level; a length of 1 is a factor of 81 (`mobster.UNIT`)."""
    matern = MaternKernel(nu=2.5, active_dims=[place], lengthscale_prior=LogNormalPrior(0.0, 0.7))
    matern.initialize(lengthscale=1.0)
    scaled = ScaleKernel(matern, outputscale_prior=LogNormalPrior(log(scale), 1.0))
    scaled.initialize(outputscale=scale)
    return scaled
