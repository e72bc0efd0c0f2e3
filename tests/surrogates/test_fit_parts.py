"""The parts of a fit, each against something plainer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hbsim.errors import SurrogateError
from hbsim.surrogates.fit_curves import Shapes, choose_levels, fit_scale, fit_shapes, interpolation
from hbsim.surrogates.fit_outcomes import fit_divergence, fit_time
from hbsim.surrogates.fit_regression import fit_gaussian_process, fit_regression
from tests.profile import examples

pytestmark = pytest.mark.usefixtures("small_forests")
VALUES = arrays(
    np.float64,
    st.integers(2, 80),
    elements=st.floats(-1e34, 1e34) | st.floats(0, 1) | st.just(float("nan")),
)


@settings(max_examples=examples(400), deadline=None)
@given(VALUES)
def test_a_warp_keeps_the_order_and_comes_back(values):
    finite = np.unique(values[np.isfinite(values)])
    if len(finite) < 2 or np.ptp(finite.astype(np.float32)) == 0:
        return
    scale = fit_scale(values)
    scores = scale.to_scores(values)
    assert np.array_equal(np.isnan(scores), np.isnan(values))
    ordered = scale.to_scores(finite)
    assert (np.diff(ordered) >= -1e-9).all()  # scores have six decimals
    assert ordered[0] < ordered[-1]
    grid = np.linspace(-6, 6, 200)
    back = scale.to_values(grid)
    assert np.isfinite(back).all()
    assert (np.diff(back) >= 0).all()
    if scale.base != "plain":
        assert back[0] >= 0
    if scale.base == "odds":
        assert back[-1] <= 1


def test_a_warp_comes_back_where_there_were_values():
    values = np.exp(np.random.default_rng(0).normal(size=500) * 5)
    scale = fit_scale(values)
    inner = values[(values > np.quantile(values, 0.02)) & (values < np.quantile(values, 0.98))]
    np.testing.assert_allclose(scale.to_values(scale.to_scores(inner)), inner, rtol=1e-6)
    assert np.abs(scale.to_scores(values).mean()) < 0.05
    assert scale.to_scores(values).std() == pytest.approx(1.0, abs=0.05)


def test_levels_are_spread_and_include_where_rows_end():
    levels = np.arange(1.0, 1001.0)
    ends = np.full(100, 1000)
    ends[:10] = 333
    chosen = choose_levels(levels, ends, np.arange(1000))
    assert {0, 332, 999} <= set(chosen.tolist())
    assert len(chosen) <= 25
    assert choose_levels(levels[:7], ends, np.arange(1, 7)).tolist() == [1, 2, 3, 4, 5, 6]


@given(st.lists(st.floats(0.1, 1000), min_size=2, max_size=8, unique=True), st.floats(0.1, 1000))
def test_between_is_linear_in_the_logarithm(fitted, level):
    fitted = np.array(sorted(fitted))
    place = interpolation(fitted, np.append(fitted, level))
    found = place.mix(np.log(fitted))
    np.testing.assert_allclose(found[:-1], np.log(fitted), atol=1e-9)
    assert found[-1] == pytest.approx(np.clip(np.log(level), np.log(fitted[0]), np.log(fitted[-1])), abs=1e-6)


def smooth(n=60, d=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random((n, d))
    return x, np.sin(4 * x[:, 0]) + x[:, 1] ** 2 + 0.1 * rng.normal(size=n)


def test_a_process_predicts_what_a_plain_solution_does():
    x, y = smooth()
    process = fit_gaussian_process(x, y, np.full(len(y), 0.01))
    rows = x * process._scales

    def matern(a, b):
        distance = np.sqrt(5) * np.linalg.norm(a[:, None] - b, axis=2)
        return (1 + distance + distance**2 / 3) * np.exp(-distance)

    new, truth = smooth(40, seed=1)
    plain = matern(new * process._scales, rows) @ process._weights + process._offset
    np.testing.assert_allclose(process.predict(new), plain, rtol=1e-9, atol=1e-9)
    assert np.abs(process.predict(new) - truth).mean() < 0.3 * np.abs(truth - np.median(truth)).mean()
    assert np.abs(process.held_out - y).mean() > np.abs(process.predict(x) - y).mean()


def test_a_process_has_the_same_bytes_in_any_block():
    x, y = smooth()
    process = fit_gaussian_process(x, y, np.zeros(len(y)))
    new = np.random.default_rng(2).random((1000, 3))
    whole = process.predict(new)
    for size in (1, 3, 64, 999):
        parts = [process.predict(new[at : at + size]) for at in range(0, 60, size)]
        assert np.concatenate(parts)[:60].tobytes() == whole[:60].tobytes()


def test_the_regression_that_predicts_best_is_taken():
    x, y = smooth(80)
    noise = np.zeros((80, 1))
    assert fit_regression(x, y[:, None], noise, 0).kinds == ("process",)
    chance = np.random.default_rng(3).normal(size=(80, 1))
    found = fit_regression(x, chance, noise, 0)
    assert found.kinds == ("mean",)
    np.testing.assert_allclose(found.held_out[0, 0], np.delete(chance, 0).mean(), atol=1e-6)
    steps = (np.floor(x[:, :1] * 20) % 2) * 4 + chance * 0.01
    assert fit_regression(x[:, :1], steps, noise, 0).kinds == ("trees",)


@settings(max_examples=examples(50), deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(2, 6))
def test_a_posterior_is_the_conditional_normal(seed, count, levels):
    rng = np.random.default_rng(seed)
    shapes = Shapes(
        rng.normal(size=levels), rng.normal(size=(levels, count)), rng.uniform(0.1, 1, size=levels)
    )
    prior, root = rng.normal(size=(1, count)), rng.normal(size=(count, count))
    covariance = root @ root.T + 0.1 * np.eye(count)
    scores = np.where(rng.random((1, levels)) < 0.4, np.nan, rng.normal(size=(1, levels)))
    found = shapes.posterior(scores, prior, covariance)
    there = np.flatnonzero(np.isfinite(scores[0]))
    loadings = shapes.loadings[there]
    joint = loadings @ covariance @ loadings.T + np.diag(shapes.noise[there])
    gain = covariance @ loadings.T @ np.linalg.inv(joint)
    mean = prior[0] + gain @ (scores[0, there] - shapes.mean[there] - loadings @ prior[0])
    np.testing.assert_allclose(found.mean[0], mean, atol=1e-8)
    np.testing.assert_allclose(found.covariance[0], covariance - gain @ loadings @ covariance, atol=1e-8)


def test_shapes_of_curves_that_were_stopped_for_their_values_are_those_of_all():
    rng = np.random.default_rng(0)
    height = rng.normal(size=(400, 1))
    scores = height * np.linspace(0.8, 1.2, 6) + np.linspace(0, 2, 6) + 0.3 * rng.normal(size=(400, 6))
    seen = np.array(scores)
    seen[scores[:, 1] > np.quantile(scores[:, 1], 0.4), 2:] = np.nan  # bad ones are stopped at level 1
    shapes = fit_shapes(seen)
    left, truth = seen[:, -1][np.isfinite(seen[:, -1])].mean(), scores[:, -1].mean()
    assert abs(left - truth) > 0.6
    assert abs(shapes.mean[-1] - truth) < 0.15
    assert np.abs(shapes.loadings[-1, 0]) == pytest.approx(1.2, rel=0.15)


def test_divergence_is_found_where_it_is():
    rng = np.random.default_rng(0)
    x = rng.random((200, 2))
    diverged = np.where(x[:, 0] > 0.8, 3, 5)
    found = fit_divergence(x, diverged, np.full(200, 5), 5, 0)
    assert found.kind != "rate"
    chance = found.predict(np.array([[0.95, 0.5], [0.2, 0.5]]))
    assert chance[0] > 0.8
    assert chance[1] < 0.1
    assert found.by_level.tolist() == [0, 0, 0, 1, 1]
    anywhere = fit_divergence(x, np.where(rng.random(200) < 0.2, 1, 5), np.full(200, 5), 5, 0)
    assert anywhere.kind == "rate"
    never = fit_divergence(x, np.full(200, 5), np.full(200, 5), 5, 0)
    assert never.predict(x).max() == 0


def test_the_share_that_diverges_counts_rows_as_far_as_they_came():
    # 4 rows: one diverges at level 1; one ends after level 0; so 1 of 3 at risk.
    found = fit_divergence(np.zeros((4, 1)), np.array([1, 3, 3, 3]), np.array([3, 1, 3, 3]), 3, 0)
    assert found.rate == pytest.approx(1 / 3)


def test_time_goes_on_as_in_rows_that_go_on():
    levels = np.array([1.0, 2.0, 4.0, 8.0])
    rates = np.exp(np.random.default_rng(0).normal(size=40))
    seconds = rates[:, None] * (levels + 3.0)  # a start-up of three units
    seen = np.array(seconds)
    seen[::2, 2:] = np.nan
    clock = fit_time("x", np.random.default_rng(1).random((40, 2)), seen, levels, 0)
    np.testing.assert_allclose(clock.shape / clock.shape[-1], (levels + 3) / 11, rtol=1e-6)
    one = fit_time("x", np.zeros((40, 2)), np.tile(levels * 2.5, (40, 1)), levels, 0)
    assert one.rates is None
    np.testing.assert_allclose(np.exp(one.usual) * one.shape, levels * 2.5)
    with pytest.raises(SurrogateError, match="takes any time"):
        fit_time("x", np.zeros((40, 2)), np.full((40, 4), np.nan), levels, 0)
