"""The covariances of the Gaussian processes, on GPyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Final

import torch
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import ConstantKernel, Kernel, LinearKernel, MaternKernel, ScaleKernel
from gpytorch.priors import LogNormalPrior

__all__ = ["Levels", "Terms", "terms"]

SHORTEST: Final = 0.025  # length scale in the unit cube


@dataclass(frozen=True)
class Levels:
    """What a covariance has beside that of configurations, where observations have levels.

    Attributes
    ----------
    curve : ScaleKernel
        k_m in `terms`: a mean curve that all share.
    shared : ConstantKernel
        c: what a configuration is worth at every level.
    differing : ScaleKernel
        k_r: how that differs between levels.
    luck : LinearKernel
        e g(r) g(r'): the luck that a configuration has at first.
    """

    curve: ScaleKernel
    shared: ConstantKernel
    differing: ScaleKernel
    luck: LinearKernel


@dataclass(frozen=True)
class Terms:
    """The terms of a covariance.

    Attributes
    ----------
    width : int
        Columns of a configuration.
    over_x : MaternKernel
        k_x in `terms`.
    levels : Levels or None
        None where observations have none.
    """

    width: int
    over_x: MaternKernel
    levels: Levels | None

    def kernel(self) -> Kernel:
        """Return their sum, over columns as `gp_fit.fit` takes them."""
        if self.levels is None:
            return self.over_x
        worth = self.over_x * (self.levels.shared + self.levels.differing)
        same = _Same(active_dims=list(range(self.width)))
        return self.levels.curve + worth + same * self.levels.luck


def terms(width: int, levelled: bool) -> Terms:
    """Return the terms of a covariance, their hyperparameters at the modes of their priors or near them.

    Without levels it is a Matern-5/2 with a length scale a column, whose prior grows with the dimension
    (Hvarfner et al., "Vanilla Bayesian Optimization Performs Great in High Dimensions", 2024). It is narrower
    than theirs: where the values at low levels are noisy, long scales would win, and with them the corner
    that the first few values point to. With levels it is

        k((x, r), (x', r')) = k_m(r, r') + k_x(x, x') (c + k_r(r, r')) + [x = x'] e g(r) g(r')

    where k_x is that Matern, k_r and k_m are scaled Materns over log r, c and e constants, and g(r) is
    sqrt(R / r - 1): a mean curve that all share, what a configuration is worth at every level, how that
    differs between levels, and the luck that it has at first and that wears off. Without the last a few
    unlucky values at a low level would speak against all configurations near by.
    """
    over_x = _over_columns(width)
    if not levelled:
        return Terms(width, over_x, None)
    shared = ConstantKernel(constant_prior=LogNormalPrior(log(0.5), 1.0))
    shared.initialize(constant=torch.tensor([0.5]))
    luck = LinearKernel(active_dims=[width + 1], variance_prior=LogNormalPrior(log(1e-3), 1.5))
    luck.initialize(variance=1e-3)
    levels = Levels(_over_levels(width, 0.5), shared, _over_levels(width, 0.3), luck)
    return Terms(width, over_x, levels)


def _over_columns(width: int) -> MaternKernel:
    """Return a Matern-5/2 with a length scale a column.

    In k dimensions points are sqrt(k) times as far apart as in one, so the prior grows with that.
    """
    prior = LogNormalPrior(log(0.5) + 0.5 * log(width / 3), 0.6)
    return MaternKernel(
        nu=2.5,
        ard_num_dims=width,
        active_dims=list(range(width)),
        lengthscale_prior=prior,
        lengthscale_constraint=GreaterThan(SHORTEST, transform=None, initial_value=prior.mode),
    )


def _over_levels(place: int, scale: float) -> ScaleKernel:
    """Return a scaled Matern-5/2 over the log level; a length of 1 is a factor of 81 (`mobster.UNIT`)."""
    matern = MaternKernel(nu=2.5, active_dims=[place], lengthscale_prior=LogNormalPrior(0.0, 0.7))
    matern.initialize(lengthscale=1.0)
    scaled = ScaleKernel(matern, outputscale_prior=LogNormalPrior(log(scale), 1.0))
    scaled.initialize(outputscale=scale)
    return scaled


class _Same(Kernel):  # type: ignore[misc, unused-ignore]
    """1 where two configurations are one, else 0.

    A short length scale would not do: GPyTorch's distances are rounded, so that one configuration would lie
    some way from itself.
    """

    def forward(
        self, x1: torch.Tensor, x2: torch.Tensor, diag: bool = False, **others: object
    ) -> torch.Tensor:
        if diag:
            return torch.ones(x1.shape[:-1], dtype=x1.dtype)
        return (x1.unsqueeze(-2) == x2.unsqueeze(-3)).all(-1).to(x1.dtype)
