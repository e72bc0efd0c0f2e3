"""The Gaussian process of the searchers, by GPyTorch and BoTorch: covariance, fit, expected improvement."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import log, pi, sqrt
from typing import Final, NamedTuple

import numpy as np
import torch
from botorch.models import SingleTaskGP
from botorch.models.utils.gpytorch_modules import get_gaussian_likelihood_with_lognormal_prior
from botorch.optim.fit import fit_gpytorch_mll_scipy
from gpytorch import settings
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import ConstantKernel, Kernel, LinearKernel, MaternKernel, ScaleKernel
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import LogNormalPrior
from scipy.optimize import minimize

from hbsim.searchers.encoding import Encoding
from hbsim.searchers.protocol import Floats

SHORTEST: Final = 0.025  # length scale in the unit cube


@dataclass(frozen=True)
class LevelTerms:
    """The terms of a covariance that depend on the levels of observations.

    Attributes
    ----------
    curve : ScaleKernel
        k_m in `terms`: the mean curve of all configurations.
    shared : ConstantKernel
        c: the part of a configuration's value that is the same at all levels.
    differing : ScaleKernel
        k_r: the part that differs between levels.
    early : LinearKernel
        e g(r) g(r'): an effect on a configuration's first values, which fades.
    """

    curve: ScaleKernel
    shared: ConstantKernel
    differing: ScaleKernel
    early: LinearKernel


@dataclass(frozen=True)
class Terms:
    """The terms of a covariance.

    Attributes
    ----------
    width : int
        The number of columns of a configuration.
    over_x : MaternKernel
        k_x in `terms`.
    levels : LevelTerms or None
        The terms of levels; None where observations have no levels.
    """

    width: int
    over_x: MaternKernel
    levels: LevelTerms | None

    def kernel(self) -> Kernel:
        """Return the covariance, a function of the columns that `fit` describes."""
        if self.levels is None:
            return self.over_x
        worth = self.over_x * (self.levels.shared + self.levels.differing)
        same = _Same(active_dims=list(range(self.width)))
        return self.levels.curve + worth + same * self.levels.early


def terms(width: int, levelled: bool) -> Terms:
    """Return the terms of a covariance, with hyperparameters at or near the modes of their priors.

    Without levels it is a Matern-5/2 with a length scale a column, whose prior grows with the dimension
    (Hvarfner et al., "Vanilla Bayesian Optimization Performs Great in High Dimensions", 2024). It is narrower
    than theirs: where the values at low levels are noisy, long scales would be fitted, and the search would
    stay in the corner that the first few values suggest. With levels it is

        k((x, r), (x', r')) = k_m(r, r') + k_x(x, x') (c + k_r(r, r')) + [x = x'] e g(r) g(r')

    where k_x is that Matern, k_r and k_m are scaled Materns over log r, c and e constants, and g(r) is
    sqrt(R / r - 1): the mean curve of all configurations, a configuration's value at all levels, its change
    between levels, and an effect on its first values that fades. Without the last term a few bad values at a
    low level would count against all similar configurations.
    """
    over_x = _over_columns(width)
    if not levelled:
        return Terms(width, over_x, None)
    shared = ConstantKernel(constant_prior=LogNormalPrior(log(0.5), 1.0))
    shared.initialize(constant=torch.tensor([0.5]))
    early = LinearKernel(active_dims=[width + 1], variance_prior=LogNormalPrior(log(1e-3), 1.5))
    early.initialize(variance=1e-3)
    levels = LevelTerms(_over_levels(width, 0.5), shared, _over_levels(width, 0.3), early)
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
    """Return a scaled Matern-5/2 over the log level; a length of 1 is a factor of 81 (`gp.UNIT`)."""
    matern = MaternKernel(nu=2.5, active_dims=[place], lengthscale_prior=LogNormalPrior(0.0, 0.7))
    matern.initialize(lengthscale=1.0)
    scaled = ScaleKernel(matern, outputscale_prior=LogNormalPrior(log(scale), 1.0))
    scaled.initialize(outputscale=scale)
    return scaled


class _Same(Kernel):  # type: ignore[misc, unused-ignore]
    """The kernel that is 1 for equal configurations, and 0 for different ones.

    A kernel with a short length scale is not enough: GPyTorch's distances are rounded, so that a
    configuration would have a distance from itself.
    """

    def forward(
        self, x1: torch.Tensor, x2: torch.Tensor, diag: bool = False, **others: object
    ) -> torch.Tensor:
        if diag:
            return torch.ones(x1.shape[:-1], dtype=x1.dtype)
        return (x1.unsqueeze(-2) == x2.unsqueeze(-3)).all(-1).to(x1.dtype)


class Loss:
    """Compute GPyTorch's ``-ExactMarginalLogLikelihood`` and its gradient, in a fraction of the time.

    A fit evaluates it some seventy times on the same points. So everything that does not change is computed
    once, each pair of points is used once, and the gradient with respect to the covariance is a formula
    (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, equation 5.9). It is a closure
    for BoTorch's optimisers.

    Parameters
    ----------
    model : SingleTaskGP
        The model with the hyperparameters, their priors, the noise and the mean.
    terms : Terms
        The terms of its covariance.
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
        # All pairs: two different points stand for two entries of the covariance.
        self._row, self._column = torch.tril_indices(len(values), len(values))
        self._entries = torch.where(self._row == self._column, 1.0, 2.0).to(values.dtype)
        one, other = columns[self._row], columns[self._column]
        width = terms.width
        self._squares = (one[:, :width] - other[:, :width]).square()
        if terms.levels is not None:
            self._apart = (one[:, width] - other[:, width]).abs()
            self._early = one[:, width + 1] * other[:, width + 1] * (self._squares == 0).all(1)

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
        # A linear function of covariance, noise and mean that has the gradient of the loss at this point.
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
        early = levels.early.variance.sum() * self._early
        covariance: torch.Tensor = self._over_levels(levels.curve) + worth + early
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


FIT_ITERATIONS: Final = 50  # of L-BFGS, for a fit
TOLERANCE: Final = 1e-6  # of the log posterior an observation


@dataclass(frozen=True)
class Fit:
    """A fitted Gaussian process of standardised values.

    Attributes
    ----------
    kernel : Kernel
        The covariance.
    noise : float
        The variance of the noise.
    mean : float
        The constant mean.
    """

    kernel: Kernel
    noise: float
    mean: float


def fit(columns: Floats, values: Floats, levelled: bool) -> Fit:
    """Fit the hyperparameters by maximum a posteriori, starting at the modes of the priors.

    The covariance is that of `terms`.

    Parameters
    ----------
    columns : array, shape (n, width), or (n, width + 2) with log r, in units of log 81, and g(r) last
        The observed configurations.
    values : array, shape (n,)
        Standardised values.
    levelled : bool
        Whether the last two columns are those of a level.

    Returns
    -------
    Fit
        The fit; at the modes of the priors where the optimiser fails.
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
        fit_gpytorch_mll_scipy(
            likelihood, closure=loss, options={"maxiter": FIT_ITERATIONS, "ftol": TOLERANCE}
        )
        broken = not all(bool(value.isfinite().all()) for value in model.parameters())
    except (RuntimeError, ValueError, ArithmeticError):
        broken = True
    if broken:
        model.load_state_dict(modes)


JITTERS: Final = (0.0, 1e-8, 1e-6, 1e-4)  # added to the diagonal, one after another, until it works
DRAWS: Final = 20  # of the values of tried configurations; as in BoTorch
NUGGET: Final = 1e-6  # variance at which values count as noiseless


class Predicted(NamedTuple):
    """Posterior means and standard deviations of the noiseless value, shape (n,) each."""

    mean: torch.Tensor
    deviation: torch.Tensor


class Predictor:
    """The posterior of a Gaussian process, given observations.

    Parameters
    ----------
    fitted : Fit
        The hyperparameters.
    columns : array, shape (n, width)
        The observed configurations, as for `fit`.
    values : array, shape (n,)
        Standardised values.

    Raises
    ------
    RuntimeError
        The covariance cannot be factorised (`torch.linalg.LinAlgError` is a RuntimeError), or has NaN.
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


class ExpectedImprovement:
    """The log of the expected improvement over all tried configurations, whose values are uncertain.

    Letham, Karrer, Ottoni and Bakshy, "Constrained Bayesian Optimization with Noisy Experiments" (2019),
    section 3. The noiseless values of all tried and pending configurations are drawn jointly from the
    posterior, `DRAWS` times. Each draw is interpolated, and the improvement is over its best value. So a copy
    of a tried configuration improves nothing, however uncertain its value is. Given these values,
    observations add no information on a new configuration: the covariances of configurations and of levels
    are multiplied (except for the mean curve, which many values at one level determine as well).

    Parameters
    ----------
    predictor : Predictor
        The posterior, given all observations.
    tried : array, shape (t, width)
        The columns of the tried and pending configurations.
    level : sequence of float
        The columns of the level at which values are compared; none where the model has no levels.
    draws : numpy.random.Generator
        The generator of the draws.
    """

    def __init__(
        self, predictor: Predictor, tried: Floats, level: Sequence[float], draws: np.random.Generator
    ) -> None:
        self._fitted = predictor.fitted
        self._level = level
        self._x = torch.from_numpy(at_level(tried, level))
        mean, covariance = predictor.joint(self._x)
        normal = torch.from_numpy(draws.standard_normal((len(self._x), DRAWS)))
        values = mean[:, None] + _cholesky(covariance, NUGGET) @ normal
        self._root = _cholesky(_covariance(self._fitted, self._x, self._x), NUGGET)
        self._weights = torch.cholesky_solve(values - self._fitted.mean, self._root)
        self._best = values.amax(0)

    def __call__(self, columns: Floats) -> Floats:
        """Return the log of the expected improvement, shape (n,), at columns of shape (n, width)."""
        given = torch.from_numpy(at_level(columns, self._level))
        with torch.no_grad():
            parts = [self._at(given[start : start + CHUNK]) for start in range(0, len(given), CHUNK)]
        return torch.cat(parts).numpy() if parts else np.empty(0)

    def gradient(self, columns: Floats) -> tuple[float, Floats]:
        """Return the sum of the logs over columns, shape (n, width), and its gradient, of the same shape."""
        given = torch.from_numpy(at_level(columns, self._level)).requires_grad_()
        value = self._at(given).sum()
        (slope,) = torch.autograd.grad(value, given)
        return value.item(), slope.numpy()[:, : columns.shape[1]]

    def _at(self, columns: torch.Tensor) -> torch.Tensor:
        by_draw = log_improvement(self._predicted(columns), self._best)
        return torch.logsumexp(by_draw, 1) - log(DRAWS)

    def _predicted(self, columns: torch.Tensor) -> Predicted:
        """Return the mean of each draw, shape (n, DRAWS), and the deviation, shape (n, 1)."""
        cross = _covariance(self._fitted, self._x, columns)
        means = self._fitted.mean + cross.T @ self._weights
        return Predicted(means, _deviation(self._fitted, columns, self._root, cross)[:, None])


class ConfidenceBound(ExpectedImprovement):
    """The upper confidence bound: the mean plus `kappa` deviations, given all tried configurations.

    Srinivas, Krause, Kakade and Seeger, "Gaussian Process Optimization in the Bandit Setting" (2010), with
    pending configurations as in Desautels, Krause and Burdick, "Parallelizing Exploration-Exploitation
    Tradeoffs in Gaussian Process Bandit Optimization" (2014): they lower the deviation.

    Parameters
    ----------
    predictor, tried, level, draws
        As for `ExpectedImprovement`.
    kappa : float
        0 or more.
    """

    def __init__(
        self,
        predictor: Predictor,
        tried: Floats,
        level: Sequence[float],
        draws: np.random.Generator,
        kappa: float,
    ) -> None:
        super().__init__(predictor, tried, level, draws)
        self._kappa = kappa

    def _at(self, columns: torch.Tensor) -> torch.Tensor:
        found = self._predicted(columns)
        return found.mean.mean(1) + self._kappa * found.deviation[:, 0]


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
    """Return posterior deviations at columns.

    `root` is the Cholesky factor of the observations' covariance, `cross` their covariance with the columns.
    """
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


SPREAD: Final = 512  # candidates all over the cube, a scrambled Sobol sequence
NEAR: Final = 256  # candidates near good configurations
GOOD: Final = 8  # number of these configurations
CHUNK: Final = 2048  # points that are evaluated at a time
CLIMB_ITERATIONS: Final = 25  # of L-BFGS
APART: Final = 1e-4  # points that differ by less in every coordinate count as equal


def at_level(columns: Floats, level: Sequence[float]) -> Floats:
    """Append the columns of a level to columns of configurations."""
    return np.column_stack([columns, np.tile(np.array(level, dtype=np.float64), (len(columns), 1))])


def candidates(encoding: Encoding, d: int, good: Floats, draws: np.random.Generator) -> Floats:
    """Return candidates, snapped points of the unit cube, shape (n, d).

    Parameters
    ----------
    encoding : Encoding
        The encoding of the space.
    d : int
        The dimension of the space.
    good : array, shape (g, d)
        Good configurations, the best first; some candidates are near these.
    draws : numpy.random.Generator
        The generator of the draws.
    """
    seed = int(draws.integers(2**31))
    sobol = torch.quasirandom.SobolEngine(d, True, seed)  # type: ignore[no-untyped-call, unused-ignore]
    spread = sobol.draw(SPREAD, dtype=torch.float64).numpy()
    near = np.repeat(good[:GOOD], NEAR // max(1, min(len(good), GOOD)), axis=0)
    return np.concatenate([encoding.snap(spread), encoding.perturb(near, draws)])


def is_new(points: Floats, tried: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which points, shape (n, d), differ from all tried ones, shape (t, d); shape (n,)."""
    new = np.ones(len(points), dtype=np.bool_)
    for point in tried:
        new &= np.abs(points - point).max(axis=1) >= APART
    return new


def refine(encoding: Encoding, starts: Floats, target: ExpectedImprovement) -> Floats:
    """Maximise the target from each of the points, shape (n, d), over its active real coordinates."""
    if not len(encoding.reals):
        return starts
    columns = encoding.columns(starts)
    shape = (len(starts), len(encoding.reals))

    def loss(flat: Floats) -> tuple[float, Floats]:
        columns[:, encoding.real_columns] = flat.reshape(shape)
        value, slope = target.gradient(columns)
        return -value, -slope[:, encoding.real_columns].ravel()

    first = starts[:, encoding.reals].ravel()
    free = encoding.climbable(starts).ravel().tolist()
    bounds = [(0.0, 1.0) if moves else (at, at) for at, moves in zip(first.tolist(), free, strict=True)]
    options = {"maxiter": CLIMB_ITERATIONS}
    found = minimize(loss, first, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    climbed = starts.copy()
    climbed[:, encoding.reals] = np.clip(found.x, 0.0, 1.0).reshape(shape)
    return climbed
