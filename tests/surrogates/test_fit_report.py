"""What a fit's report says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from hbsim.surrogates import fit, fit_report
from hbsim.surrogates.description import spearman
from tests.surrogates.fit_pilots import LEVELS, curves, stopped, write

N = 50

pytestmark = pytest.mark.usefixtures("small_forests")


@pytest.fixture(scope="module")
def pilot(tmp_path_factory):
    surrogate, points, values, seconds = curves(N, mode="min", early_rank=0.8)
    return write(tmp_path_factory.mktemp("fit") / "pilot.npz", surrogate, points, values, seconds)


@pytest.fixture(scope="module")
def fitted(pilot):
    return fit(pilot, mode="min")


@pytest.fixture(scope="module")
def held(fitted):
    return fit_report.hold_out(fitted._model.data, LEVELS, 0)


@pytest.fixture(scope="module")
def report(fitted, held):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_report, "hold_out", lambda data, levels, seed: held)  # the same, and takes seconds
        return fitted.report


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=30))
def test_rank_correlation_is_spearmans(pairs):
    a, b = np.array(pairs, dtype=float).T
    if np.ptp(a) and np.ptp(b):
        assert spearman(a, b) == pytest.approx(spearmanr(a, b)[0])
    else:
        assert np.isnan(spearman(a, b))


def test_counts_and_levels(fitted, report):
    assert (report.rows, report.complete, report.ended_early, report.diverged) == (N, N, 0, 0)
    assert (report.folds, report.given_curve, report.divergence, report.divergence_rate) == (
        5,
        False,
        "rate",
        0,
    )
    assert [one.level for one in report.levels] == LEVELS.tolist()
    assert [one.rows for one in report.levels] == [N] * 5
    assert report is fitted.report


def test_errors_are_those_of_held_out_rows(held, report):
    true, median = held.values[:, 2], held.median[:, 2]
    worst = np.quantile(true, 0.95)
    error = np.abs(np.minimum(median, worst) - np.minimum(true, worst)).mean()
    spread = np.abs(np.minimum(true, worst) - np.median(true)).mean()
    found = report.levels[2]
    assert (found.error, found.spread) == (pytest.approx(error), pytest.approx(spread))
    assert found.relative == pytest.approx(error / spread)
    assert found.rank_correlation == pytest.approx(spearmanr(median, true)[0])
    assert found.early_table == pytest.approx(spearmanr(held.values[:, 2], held.values[:, 4])[0])
    inside = [
        (np.quantile(held.curves[:, row, 2], 0.1) <= true[row] <= np.quantile(held.curves[:, row, 2], 0.9))
        for row in range(N)
    ]
    assert found.coverage[1] == pytest.approx(np.mean(inside))


def test_a_fit_that_is_good_says_so(report):
    last = report.levels[-1]
    assert last.relative < 0.8
    assert last.rank_correlation > 0.6
    assert 0.5 < last.coverage[1] <= 1
    assert last.early_fit == 1.0
    assert abs(report.levels[1].early_fit - report.levels[1].early_table) < 0.25
    assert report.log_seconds_error < 0.2 * report.log_seconds_spread
    assert report.verdict[0].startswith("At level 81 held-out configurations are predicted with 0.")
    assert report.best_drawn < report.levels[-1].spread + report.best_table


def test_a_fit_to_chance_says_so(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 1)) + 0.2 * rng.normal(size=(40, 3)) + 5
    rates = np.exp(rng.normal(size=(40, 1)))
    arrays = {"hp": ["x"], "X": rng.random((40, 1)), "val": values, "t": rates * [1.0, 2.0, 3.0]}
    np.savez(tmp_path / "p.npz", **arrays)
    with pytest.warns(match="no better than their mean"):
        fitted = fit(tmp_path / "p.npz", mode="min")
    assert set(fitted.report.regression) == {"mean"}
    assert "no better than by a constant" in fitted.report.verdict[0]
    assert fitted.report.levels[-1].relative > 0.95
    assert 0.6 < fitted.report.levels[-1].coverage[1] < 0.95


def test_rows_that_end_early_are_predicted_from_their_curves(tmp_path):
    surrogate, points, values, seconds = curves(70, seed=1, mode="min", early_rank=0.9)
    path = write(tmp_path / "p.npz", surrogate, points, values, seconds, stopped(values, "min"))
    with pytest.warns(match="rest on these"):
        report = fit(path, mode="min").report
    assert report.given_curve
    assert report.ended_early > 35
    assert [one.rows for one in report.levels] == sorted((one.rows for one in report.levels), reverse=True)
    assert "end early" in report.verdict[1]
    assert any("rest on these alone" in sentence for sentence in report.verdict)
