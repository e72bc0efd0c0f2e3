"""Gaussian processes: what they predict, what they expect to gain, and what lower levels are worth."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from hbsim.core.space import Real, Space
from hbsim.surrogates import load

torch = pytest.importorskip("torch")
pytest.importorskip("botorch", reason="needs BoTorch: the extra search")

from hbsim.searchers import SearchTask  # noqa: E402
from hbsim.searchers.encoding import Encoding  # noqa: E402
from hbsim.searchers.gp import (  # noqa: E402
    Mobster,
    standardize,
)
from hbsim.searchers.gp_model import (  # noqa: E402
    ExpectedImprovement,
    Predicted,
    Predictor,
    at_level,
    candidates,
    fit,
    is_new,
    log_improvement,
    refine,
)
from hbsim.searchers.model_based import one_thread  # noqa: E402

pytestmark = pytest.mark.usefixtures("coarse_models")


def smooth(n: int, d: int = 3, seed: int = 0) -> tuple[Any, Any]:
    x = np.random.default_rng(seed).random((n, d))
    return x, standardize(-np.square(x - 0.3).sum(axis=1) + 0.1 * np.sin(9 * x[:, 0]))


def test_predictions_are_those_of_botorch() -> None:
    from botorch.models import SingleTaskGP

    x, y = smooth(20)
    fitted = fit(x, y, levelled=False)
    model = SingleTaskGP(
        torch.from_numpy(x), torch.from_numpy(y)[:, None], covar_module=fitted.kernel, outcome_transform=None
    )
    model.likelihood.noise = fitted.noise
    model.mean_module.constant = torch.tensor(fitted.mean, dtype=torch.float64)
    at = torch.from_numpy(np.random.default_rng(1).random((50, 3)))
    posterior = model.posterior(at)
    found = Predictor(fitted, x, y)(at)
    assert found.mean.numpy() == pytest.approx(posterior.mean[:, 0].detach().numpy(), abs=1e-6)
    expected = posterior.variance[:, 0].detach().sqrt().numpy()
    assert found.deviation.numpy() == pytest.approx(expected, abs=1e-5)


def test_a_fit_is_better_than_the_modes_of_the_priors() -> None:
    """Of a function of one of three coordinates the others' length scales are long."""
    x = np.random.default_rng(0).random((40, 3))
    fitted = fit(x, standardize(np.sin(7 * x[:, 1])), levelled=False)
    lengths = fitted.kernel.lengthscale[0].tolist()
    assert lengths[1] * 3 < min(lengths[0], lengths[2])
    assert fitted.noise < 0.01


def test_improvement_is_that_of_botorch_and_has_gradients_far_away() -> None:
    from botorch.acquisition.analytic import _log_ei_helper

    z = torch.tensor([-1e7, -1e5, -1e4, -9999.0, -100.0, -5.0, -1.0, -0.999, 0.0, 1.0, 8.0, 300.0]).double()
    z.requires_grad_()
    found = log_improvement(Predicted(z * 0.5 + 2.0, torch.full_like(z, 0.5)), 2.0)
    expected = _log_ei_helper(z.detach()) + np.log(0.5)
    assert found.detach().numpy() == pytest.approx(expected.numpy(), rel=1e-6)
    found.sum().backward()
    assert bool((z.grad > 0).all())
    assert bool(z.grad.isfinite().all())


def test_improvement_is_what_it_says() -> None:
    """The mean of what draws are above the best, by many of them."""
    mean, deviation, best = 0.3, 0.7, 0.9
    draws = norm.ppf((np.arange(200_000) + 0.5) / 200_000) * deviation + mean
    found = log_improvement(Predicted(torch.tensor([mean]), torch.tensor([deviation])), best)
    assert float(found) == pytest.approx(np.log(np.maximum(draws - best, 0).mean()), abs=1e-3)


@lru_cache
def modelled(levelled: bool) -> tuple[Predictor, Any]:
    """Return a model of noisy values, and what was tried."""
    x, y = smooth(25)
    columns = np.column_stack([x, LEVELS]) if levelled else x
    return Predictor(fit(columns, y + 0.3 * np.cos(99 * x[:, 0]), levelled), columns, y), x


LEVELS = np.repeat([[0.0, 5.0], [0.5, 2.0], [1.0, 0.0], [0.5, 2.0], [0.0, 5.0]], 5, axis=0)


def targeted(levelled: bool, draws: int = 0) -> tuple[Predictor, Any, Any, ExpectedImprovement]:
    """Return a model, what was tried, the level that counts, and the target."""
    predictor, x = modelled(levelled)
    level = (1.0, 0.0) if levelled else ()
    return predictor, x, level, ExpectedImprovement(predictor, x, level, np.random.default_rng(draws))


@pytest.mark.parametrize("levelled", [False, True])
def test_improvement_is_over_what_the_values_of_all_that_was_tried_may_be(
    levelled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against many draws of these values and the new one's together."""
    monkeypatch.setattr("hbsim.searchers.gp_model.DRAWS", 2000)
    predictor, x, level, target = targeted(levelled)
    assert predictor(torch.from_numpy(at_level(x, level))).deviation.min() > 0.05  # no value is known
    random = np.random.default_rng(1)
    points = random.random((300, 3))
    scores = target(points)
    for place in np.argsort(-scores)[:3]:
        mean, covariance = predictor.joint(torch.from_numpy(at_level([*x, points[place]], level)))
        values = random.multivariate_normal(mean.numpy(), covariance.numpy(), 30_000, method="cholesky")
        gain = np.maximum(values[:, -1] - values[:, :-1].max(axis=1), 0.0).mean()
        assert scores[place] == pytest.approx(np.log(gain), abs=0.1)


@pytest.mark.parametrize("levelled", [False, True])
def test_a_copy_improves_nothing(levelled: bool) -> None:
    predictor, x, level, target = targeted(levelled)
    best = x[np.argsort(-predictor.means(at_level(x, level)))[:5]]
    elsewhere = target(np.random.default_rng(1).random((200, 3)))
    assert target(best + 1e-6).max() < elsewhere.max() - 3.0


@pytest.mark.parametrize("levelled", [False, True])
def test_gradients_are_those_of_differences(levelled: bool) -> None:
    *_, target = targeted(levelled)
    at = np.random.default_rng(2).random((3, 3))
    value, slope = target.gradient(at)
    assert value == pytest.approx(target(at).sum())
    assert slope.shape == (3, 3)
    step = 1e-6 * np.eye(3)[1]
    assert slope[:, 1] == pytest.approx((target(at + step) - target(at - step)) / 2e-6, rel=1e-3, abs=1e-4)


def test_climbing_improves_and_leaves_what_is_discrete() -> None:
    from .test_encoding import MIXED

    encoding = Encoding(MIXED)
    points = encoding.snap(MIXED.sample(15, np.random.default_rng(0)))
    columns = encoding.columns(points)
    y = standardize(-np.square(columns[:, 0] - 0.37))
    draws = np.random.default_rng(0)
    target = ExpectedImprovement(Predictor(fit(columns, y, False), columns, y), columns, (), draws)
    starts = candidates(encoding, MIXED.dimension, points, np.random.default_rng(1))[:4]
    climbed = refine(encoding, starts, target)
    assert (target(encoding.columns(climbed)) >= target(encoding.columns(starts)) - 1e-9).all()
    assert climbed[:, 1:].tolist() == starts[:, 1:].tolist()
    assert (climbed[:, 0] != starts[:, 0]).any()
    assert ((climbed >= 0) & (climbed <= 1)).all()


def test_what_is_new() -> None:
    points = np.array([[0.5, 0.5], [0.5, 0.50005], [0.5, 0.6], [0.1, 0.2]])
    assert is_new(points, points[:1]).tolist() == [False, False, True, True]
    assert is_new(points, np.empty((0, 2))).all()


@pytest.mark.parametrize("fails", [RuntimeError("not positive"), ValueError("nan")])
def test_a_fit_that_fails_is_that_of_the_priors(fails: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    import hbsim.searchers.gp_model as module

    def broken(mll: Any, closure: Any, options: Any) -> None:
        mll.model.likelihood.noise = 0.9
        raise fails

    monkeypatch.setattr(module, "fit_gpytorch_mll_scipy", broken)
    assert fit(*smooth(10), False).noise == pytest.approx(np.exp(-5))


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def held_out(seed: int, lower: bool) -> float:
    """Return the error at R of 60 unseen configurations, in standard deviations; 30 seen, 6 of them at R."""
    surrogate = load("synthetic:divergence=0")
    searcher = Mobster(SearchTask(surrogate.space, seed, mode="max", max_t=81))
    assert surrogate.space is not None
    points = surrogate.space.sample(90, np.random.default_rng(seed))
    levels = np.array([3.0, 9.0, 27.0, 81.0])
    values, _ = surrogate.evaluate(points, levels)
    searcher.resume(points)
    for trial in range(30):
        for place, level in enumerate(levels):
            if level == 81.0 and trial >= 6:
                continue
            if level == 81.0 or lower:
                searcher.observe(trial, level, float(values[trial, place]))
    seen = searcher.observations(searcher.known)
    columns, scaled = searcher.columns(seen.trials, seen.levels), standardize(seen.values)
    predictor = Predictor(fit(columns, scaled, True), columns, scaled)
    unseen = np.arange(30, 90)
    found = predictor.means(searcher.columns(unseen, np.full(60, 81.0)))
    scale = np.polyfit(scaled, seen.values, 1)  # back to what the values were
    return float(np.sqrt(np.square(np.polyval(scale, found) - values[30:, 3]).mean()) / values[30:, 3].std())


def test_luck_at_low_levels_is_told_from_worth() -> None:
    """Of values with much noise at level 1 and none at R, those at R are believed."""
    draws = np.random.default_rng(0)
    x = draws.random((60, 1))
    worth = -8 * np.square(x[:, 0] - 0.6)
    searcher = Mobster(SearchTask(Space({"x": Real(0, 1)}), 0, max_t=81))
    searcher.resume(x)
    for trial in range(60):
        searcher.observe(trial, 1.0, float(worth[trial] - 2 + draws.standard_normal()))
        if trial % 6 == 0:
            searcher.observe(trial, 81.0, float(worth[trial]))
    seen = searcher.observations(searcher.known)
    columns, scaled = searcher.columns(seen.trials, seen.levels), standardize(seen.values)
    at_r = seen.levels == 81.0
    assert not columns[at_r, -1].any()
    assert columns[~at_r, -1] == pytest.approx(np.sqrt(80))
    errors = []
    for luck in (1.0, 0.0):
        columns[:, -1] *= luck
        found = Predictor(fit(columns, scaled, True), columns, scaled).means(columns[at_r])
        errors.append(np.abs(found - scaled[at_r]).max())
    assert errors[0] < 0.1
    assert errors[0] < 0.5 * errors[1]


def test_lower_levels_help_at_r() -> None:
    assert held_out(0, lower=True) < 0.75 * held_out(0, lower=False)
