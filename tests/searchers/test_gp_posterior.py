"""The covariance against one written out by hand, and the loss of a fit against GPyTorch's own."""

from __future__ import annotations

from math import exp, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.profile import examples

torch = pytest.importorskip("torch")
pytest.importorskip("botorch", reason="needs BoTorch: the extra search")

from botorch.models import SingleTaskGP  # noqa: E402
from botorch.models.utils.gpytorch_modules import (  # noqa: E402
    get_gaussian_likelihood_with_lognormal_prior,
)
from botorch.optim.closures import get_loss_closure_with_grads  # noqa: E402
from gpytorch.mlls import ExactMarginalLogLikelihood  # noqa: E402

from hbsim.searchers.gp_model import (  # noqa: E402
    Loss,
    terms,
)


def observed(rng: Any, configurations: int, width: int, levelled: bool) -> Any:
    """Return columns; each configuration at one to three levels, or once or twice where there are none."""
    x = rng.random((configurations, width))
    x = np.repeat(x, rng.integers(1, 4 if levelled else 3, configurations), axis=0)
    if not levelled:
        return x
    level = rng.choice([1.0, 3.0, 9.0, 27.0], len(x))
    return np.column_stack([x, np.log(level) / np.log(81), np.sqrt(27 / level - 1)])


def drawn(rng: Any, columns: Any, levelled: bool) -> tuple[Any, Any]:
    """Return a model with hyperparameters somewhere, and the terms of its covariance."""
    parts = terms(columns.shape[1] - 2 * levelled, levelled)
    x, y = torch.from_numpy(columns), torch.from_numpy(rng.normal(size=len(columns)))
    model = SingleTaskGP(
        x,
        y[:, None],
        likelihood=get_gaussian_likelihood_with_lognormal_prior(),
        covar_module=parts.kernel(),
        outcome_transform=None,
    ).double()
    with torch.no_grad():
        for name, one in model.named_parameters():
            away = torch.from_numpy(rng.normal(size=tuple(one.shape), scale=0.7))
            bounded = "noise" in name or one is parts.over_x.raw_lengthscale
            one.copy_(one * away.exp() if bounded else one + away)
    return model, parts


def by_hand(columns: Any, parts: Any) -> Any:
    """Return the covariance that `terms` describes, entry by entry."""

    def matern(distance: float) -> float:
        return (1 + sqrt(5) * distance + 5 / 3 * distance**2) * exp(-sqrt(5) * distance)

    lengths = parts.over_x.lengthscale[0].tolist()
    over = parts.levels
    found = np.empty((len(columns), len(columns)))
    for i, one in enumerate(columns):
        for j, other in enumerate(columns):
            x, z = one[: parts.width], other[: parts.width]
            found[i, j] = matern(
                sqrt(sum(((a - b) / length) ** 2 for a, b, length in zip(x, z, lengths, strict=True)))
            )
            if over is not None:
                (r, g), (s, h) = one[parts.width :], other[parts.width :]
                differing = over.differing.outputscale.item() * matern(
                    abs(r - s) / over.differing.base_kernel.lengthscale.item()
                )
                found[i, j] *= over.shared.constant.item() + differing
                found[i, j] += over.curve.outputscale.item() * matern(
                    abs(r - s) / over.curve.base_kernel.lengthscale.item()
                )
                found[i, j] += over.early.variance.item() * g * h * (x.tolist() == z.tolist())
    return found


@pytest.mark.parametrize("levelled", [False, True])
def test_the_covariance_is_what_it_says(levelled: bool) -> None:
    """Between a configuration and itself at another level, too, and of many: distances are rounded then."""
    rng = np.random.default_rng(1)
    columns = observed(rng, 30, 3, levelled)
    model, parts = drawn(rng, columns, levelled)
    x = torch.from_numpy(columns)
    expected = by_hand(columns, parts)
    assert len(np.unique(columns[:, :3], axis=0)) < len(columns)
    assert model.covar_module(x, x).to_dense().detach().numpy() == pytest.approx(expected, abs=1e-7)
    some = model.covar_module(x[:4], x[2:]).to_dense().detach().numpy()
    assert some == pytest.approx(expected[:4, 2:], abs=1e-7)
    assert model.covar_module(x, diag=True).detach().numpy() == pytest.approx(np.diag(expected))


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 4), st.booleans())
@settings(max_examples=examples(40), deadline=None)
def test_the_loss_and_its_gradient_are_those_of_gpytorch(
    seed: int, configurations: int, width: int, levelled: bool
) -> None:
    rng = np.random.default_rng(seed)
    columns = observed(rng, configurations, width, levelled)
    model, parts = drawn(rng, columns, levelled)
    likelihood = ExactMarginalLogLikelihood(model.likelihood, model)
    value, gradients = get_loss_closure_with_grads(likelihood, dict(model.named_parameters()))()
    found, slopes = Loss(model, parts, torch.from_numpy(columns), model.train_targets)()
    assert found.item() == pytest.approx(value.item(), rel=1e-6, abs=1e-6)
    assert len(slopes) == len(gradients)
    for slope, gradient in zip(slopes, gradients, strict=True):
        assert slope.shape == gradient.shape
        assert slope.numpy() == pytest.approx(gradient.numpy(), rel=1e-4, abs=1e-5)


def test_a_covariance_that_cannot_be_factorised() -> None:
    model, parts = drawn(np.random.default_rng(0), np.full((3, 2), 0.5), False)
    none = torch.full((3, 2), torch.nan, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="cannot be factorised"):
        Loss(model, parts, none, model.train_targets)()
