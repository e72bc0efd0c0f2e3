"""A surrogate that is fitted to recorded curves."""

import itertools
import subprocess
import sys

import numpy as np
import pytest

from hbsim.errors import HbsimWarning, ParameterError
from hbsim.surrogates import Fitted, Table, fit, fit_outcomes, fit_regression, load, rank_correlation
from tests.surrogates.fit_pilots import LEVELS, curves, stopped, write

pytestmark = pytest.mark.usefixtures("small_forests")


@pytest.fixture(scope="module")
def pilot(tmp_path_factory):
    """A file of 80 synthetic curves, some of which diverge, and where they are from."""
    surrogate, points, values, seconds = curves(80, mode="min", divergence=0.2)
    return write(tmp_path_factory.mktemp("fit") / "pilot.npz", surrogate, points, values, seconds), surrogate


@pytest.fixture(scope="module")
def fitted(pilot):
    return load(f"fit:{pilot[0]}", metric="val", mode="min")


@pytest.fixture(scope="module")
def stopped_pilot(tmp_path_factory):
    """A file of 150 curves that a stopping scheduler saw, with what it did not see."""
    surrogate, points, values, seconds = curves(150, seed=1, mode="min", early_rank=0.7)
    ends = stopped(values, "min")
    path = tmp_path_factory.mktemp("fit") / "stopped.npz"
    return write(path, surrogate, points, values, seconds, ends), surrogate, points, values, ends


def test_it_is_a_surrogate_of_any_configuration(fitted):
    assert isinstance(fitted, Fitted)
    assert (fitted.name, fitted.metric, fitted.mode) == ("fit:pilot.npz", "val", "min")
    assert (fitted.rows, fitted.max_resource, fitted.resources) == (None, 81.0, tuple(LEVELS))
    assert fitted.space.names == ("learning_rate", "weight_decay", "width_multiplier")
    assert all(fitted.space[name].log for name in ("learning_rate", "weight_decay"))
    assert fitted.optimum(81.0) is None
    assert fitted.test_values(np.zeros((1, 3)), 81.0) is None
    assert load(fitted) is fitted


def test_values_and_seconds_can_be(fitted):
    points = fitted.space.sample(3000, np.random.default_rng(1))
    values, seconds = fitted.evaluate(points, LEVELS)
    assert (seconds > 0).all()
    assert (np.diff(seconds, axis=1) >= 0).all()
    finite = np.isfinite(values)
    assert (values[finite] > 0).all()
    assert (values[finite] < 1).all()
    lost = ~finite
    assert (lost[:, 1:] >= lost[:, :-1]).all()  # what has diverged stays so
    high, low = points[:, 0] > 0.95, points[:, 0] < 0.6
    assert lost[high, -1].mean() > 0.7
    assert lost[low, -1].mean() < 0.1
    assert len(np.unique(values[finite])) > 0.9 * finite.sum()


@pytest.mark.parametrize("sizes", [(1,) * 40, (7, 33), (40,)])
def test_a_configuration_has_the_same_bytes_in_any_block(fitted, sizes):
    points = fitted.space.sample(4096, np.random.default_rng(2))
    whole = fitted.evaluate(points, LEVELS)
    at = np.cumsum([0, *sizes])
    parts = [fitted.evaluate(points[a:b], LEVELS[[1, 4]]) for a, b in itertools.pairwise(at)]
    for column, found in enumerate(whole):
        together = np.concatenate([part[column] for part in parts])
        assert together.tobytes() == found[:40][:, [1, 4]].tobytes()
    turned = fitted.evaluate(points[::-1], LEVELS)
    assert turned[0][::-1].tobytes() == whole[0].tobytes()


def test_the_same_file_and_seed_give_the_same_bytes(pilot, fitted):
    """In another process, with one thread, and on x86 with the matrix products of another processor."""
    code = f"""
import numpy as np, hbsim.surrogates
from hbsim.surrogates import fit_outcomes, fit_regression
fit_regression.TREES = {fit_regression.TREES}
fit_outcomes.TREES = {fit_outcomes.TREES}
fitted = hbsim.surrogates.fit({str(pilot[0])!r}, metric="val", mode="min")
values, seconds = fitted.evaluate(fitted.space.sample(500, np.random.default_rng(3)), np.array([1.0, 81.0]))
print(values.tobytes().hex() + seconds.tobytes().hex())
"""
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={"OPENBLAS_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "Nehalem"},
        capture_output=True,
        text=True,
        check=True,
    )
    points = fitted.space.sample(500, np.random.default_rng(3))
    values, seconds = fitted.evaluate(points, np.array([1.0, 81.0]))
    assert found.stdout.strip() == values.tobytes().hex() + seconds.tobytes().hex()


def test_another_seed_gives_other_curves_around_the_same(pilot, fitted):
    other = fit(Table.load(pilot[0], metric="val", mode="min"), seed=1)
    assert other.name == "fit:pilot.npz,seed=1"
    points = fitted.space.sample(1000, np.random.default_rng(4))
    mine, its = (one.evaluate(points, LEVELS)[0] for one in (fitted, other))
    assert not np.array_equal(mine, its)
    assert np.nanmedian(mine[:, -1]) == pytest.approx(np.nanmedian(its[:, -1]), rel=0.1)
    assert not np.array_equal(fitted.expected(points, LEVELS), other.expected(points, LEVELS))  # of its trees
    again = fitted.again(points, LEVELS, 3)[0]
    assert not np.array_equal(again, mine, equal_nan=True)
    assert np.array_equal(again, fitted.again(points, LEVELS, 3)[0], equal_nan=True)


def test_new_curves_spread_and_cross_as_the_true_ones(pilot, fitted):
    truth = pilot[1]
    points = truth.space.sample(2000, np.random.default_rng(5))
    inside = points[points[:, 0] < 0.75]  # none of them diverges
    true = truth.evaluate(inside, LEVELS)[0]
    mine = fitted.evaluate(inside, LEVELS)[0]
    kept = np.isfinite(mine).all(axis=1)
    for at in (0, 2, 4):
        quantiles = [np.quantile(found[:, at], [0.1, 0.5, 0.9]) for found in (true, mine[kept])]
        np.testing.assert_allclose(quantiles[1], quantiles[0], atol=0.08)
    expected = fitted.expected(inside, LEVELS)
    assert np.abs(expected - true)[:, -1].mean() < 0.65 * np.abs(true - np.median(true, axis=0))[:, -1].mean()
    table = np.array(rank_correlation(truth, [*LEVELS[:-1].tolist(), 81.0]))
    assert np.array(rank_correlation(fitted, LEVELS.tolist())) == pytest.approx(table, abs=0.2)


def test_what_hyperparameters_explain_is_not_expected_again_of_a_curve(fitted):
    """The expectation of a curve's rest leaves it out; heights have a variance of about 1."""
    assert fitted._model.regression.kinds[0] == "process"
    assert fitted._model.covariance[0, 0] < 0.6


def test_points_that_stand_for_one_configuration_have_one_curve(tmp_path):
    rng = np.random.default_rng(0)
    depth, rate = rng.integers(1, 5, 60), rng.random(60)
    values = (depth + rate)[:, None] + 1.0 / LEVELS
    x = np.stack([depth, rate], axis=1)
    np.savez(
        tmp_path / "p.npz", hp=["depth", "rate"], X=x, val=values, t=np.tile(LEVELS, (60, 1)), levels=LEVELS
    )
    fitted = fit(tmp_path / "p.npz", mode="min")
    same = np.array([[0.26, 0.5], [0.49, 0.5], [0.51, 0.5]])
    values, seconds = fitted.evaluate(same, LEVELS)
    assert values[0].tobytes() == values[1].tobytes()
    assert not np.array_equal(values[0], values[2])
    assert seconds.tolist() == [LEVELS.tolist()] * 3


def test_trials_that_were_stopped_are_not_left_out(stopped_pilot):
    """Stopped trials are the bad ones: a fit to complete ones takes all for good."""
    path, _, points, values, ends = stopped_pilot
    unseen = ends < len(LEVELS)
    assert 5 <= (~unseen).sum() < 0.3 * len(ends)
    with pytest.warns(HbsimWarning, match=f"{(~unseen).sum()} of 150 rows reach level 81"):
        corrected = fit(path, mode="min")
    assert any("rows end early" in note for note in corrected.notes)
    error = {}
    keep = np.tile(np.flatnonzero(~unseen), 2)  # a fit to these alone needs 20: each twice
    surrogate = stopped_pilot[1]
    again = write(
        path.with_name("complete.npz"), surrogate, points[keep], values[keep], np.tile(LEVELS, (len(keep), 1))
    )
    naive = fit(again, mode="min")
    for name, one in (("corrected", corrected), ("naive", naive)):
        columns = surrogate.space.decode(points[unseen])
        inside = {
            key: np.clip(column, one.space[key].low, one.space[key].high) for key, column in columns.items()
        }
        error[name] = one.expected(one.space.encode(inside), LEVELS[-1:])[:, 0] - values[unseen, -1]
    assert error["naive"].mean() < -0.05  # too good
    assert abs(error["corrected"].mean()) < 0.4 * abs(error["naive"].mean())
    assert np.abs(error["corrected"]).mean() < 0.7 * np.abs(error["naive"]).mean()


def test_what_becomes_of_early_ends_can_be_said(stopped_pilot):
    path, surrogate, _, _, ends = stopped_pilot
    failed = fit(path, mode="min", censored="fail")
    held = fit(path, mode="min", censored="extrapolate")
    points = surrogate.space.sample(2000, np.random.default_rng(6))
    lost = np.isnan(failed.evaluate(points, LEVELS)[0])
    np.testing.assert_allclose(
        lost.mean(axis=0)[1:], [(ends <= level).mean() for level in range(1, 5)], atol=0.1
    )
    assert np.isfinite(held.evaluate(points, LEVELS)[0]).all()
    assert not any("end early" in note for note in held.notes)


@pytest.mark.parametrize(
    ("points", "levels", "field"),
    [
        (np.zeros((2, 2)), [1.0], "configurations.shape"),
        (np.full((1, 3), 1.1), [1.0], "learning_rate"),
        (np.full((1, 3), np.nan), [1.0], "learning_rate"),
        (np.zeros((1, 3)), [2.0], "max_t"),
        (np.zeros((1, 3)), [0.0], "grace_period"),
        (np.zeros((1, 3)), [82.0], "max_t"),
    ],
)
def test_what_it_has_not_is_one_error(fitted, points, levels, field):
    with pytest.raises(ParameterError) as error:
        fitted.evaluate(points, np.array(levels))
    assert error.value.field == field


def test_no_configurations_have_no_curves(fitted):
    values, seconds = fitted.evaluate(np.empty((0, 3)), LEVELS)
    assert values.shape == seconds.shape == (0, 5)
