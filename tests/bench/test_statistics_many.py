"""Many bootstrap intervals at once, against one at a time and against plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from hbsim.bench.statistics import mean_band, mean_interval
from hbsim.bench.statistics.many import _counts, mean_bands, mean_intervals

NUMBERS = st.floats(-1e3, 1e3, allow_nan=False).map(lambda x: round(x, 3))


def bca_by_hand(row, resamples):
    """Efron's interval of a mean, from means of resamples that are given."""
    n, mean = len(row), sum(row) / len(row)
    means = sorted(sum(c * x for c, x in zip(counts, row, strict=True)) / n for counts in resamples)
    near = 1e-12 * (max(row) - min(row))
    below = sum(m < mean - near for m in means) + sum(m <= mean + near for m in means)
    bias = norm.ppf(below / (2 * len(means)))
    left_out = [(sum(row) - x) / (n - 1) for x in row]
    centre = sum(left_out) / n
    skew = sum((centre - x) ** 3 for x in left_out) / (6 * sum((centre - x) ** 2 for x in left_out) ** 1.5)
    ends = []
    for tail in (0.025, 0.975):
        z = bias + norm.ppf(tail)
        ends.append(float(np.quantile(means, norm.cdf(bias + z / (1 - skew * z)))))
    return ends


@settings(max_examples=20, deadline=None)
@given(st.lists(NUMBERS, min_size=3, max_size=8).filter(lambda row: max(row) - min(row) > 0.1))
def test_an_interval_is_what_the_formula_says(row):
    [found] = mean_intervals(np.array([row]))
    low, high = bca_by_hand(row, _counts(len(row), 9_999).tolist())
    scale = max(row) - min(row)
    assert found.mean == pytest.approx(sum(row) / len(row), abs=1e-9)
    assert found.low == pytest.approx(low, abs=1e-6 * scale)
    assert found.high == pytest.approx(high, abs=1e-6 * scale)


def test_many_are_about_what_one_is_alone_and_do_not_depend_on_each_other():
    rng = np.random.default_rng(3)
    data = np.concatenate([rng.exponential(size=(300, 20)), rng.normal(5, 1, size=(20, 20))])
    found = mean_intervals(data)
    for place in (0, 7, 299, 319):
        alone, other = mean_intervals(data[place : place + 1])[0], mean_interval(data[place])
        assert (found[place].low, found[place].high) == pytest.approx((alone.low, alone.high), rel=1e-12)
        width = other.high - other.low
        assert found[place].low == pytest.approx(other.low, abs=0.05 * width)
        assert found[place].high == pytest.approx(other.high, abs=0.05 * width)


def test_rows_that_no_bootstrap_takes_are_those_of_one_alone():
    data = np.array([[1.0, 1.0, 1.0], [math.nan, 2.0, 4.0], [math.nan] * 3, [math.nan, math.nan, 5.0]])
    for row, found in zip(data, mean_intervals(data), strict=True):
        alone = mean_interval(row[np.isfinite(row)])
        assert (found.mean, found.low, found.high) == pytest.approx(
            (alone.mean, alone.low, alone.high), nan_ok=True
        )
    assert mean_intervals(np.empty((2, 0)))[0].mean != mean_intervals(np.empty((2, 0)))[0].mean
    assert [i.mean for i in mean_intervals(np.array([[3.0], [4.0]]))] == [3.0, 4.0]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 25), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_bands_are_about_those_of_one_curve(n, m, seed):
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(n, m))
    data[rng.random((n, m)) < 0.1] = math.nan
    found, alone = mean_bands(data), mean_band(data)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(alone))
    np.testing.assert_allclose(found[0], alone[0], rtol=1e-12, atol=1e-12)
    shown = np.isfinite(found[1])
    width = (alone[2] - alone[1])[shown]
    assert (np.abs(found[1] - alone[1])[shown] <= 0.35 * width + 1e-12).all()
    assert (np.abs(found[2] - alone[2])[shown] <= 0.35 * width + 1e-12).all()
