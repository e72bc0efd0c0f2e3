from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.bench.conclusions import Interval, mean_band, mean_interval


def test_equal_values_are_the_point():
    assert mean_interval(np.full(7, 0.1)) == Interval(0.1, 0.1, 0.1)


def test_one_value_has_no_interval():
    found = mean_interval(np.array([3.0]))
    assert found.mean == 3.0
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.includes(0.0)


def test_no_value_has_no_mean():
    assert math.isnan(mean_interval(np.empty(0)).mean)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12))
def test_interval_holds_the_mean_and_stays_within_the_data(data: list[float]):
    found = mean_interval(np.array(data))
    slack = 1e-9 * (1 + max(map(abs, data)))
    assert min(data) - slack <= found.low <= found.high <= max(data) + slack
    assert found.low - slack <= found.mean <= found.high + slack


def test_almost_equal_values_have_an_interval():
    found = mean_interval(np.array([0.0] * 19 + [1.0]))
    assert 0.0 <= found.low < 0.05 < found.high < 1.0


def test_the_interval_is_about_as_wide_as_theory_says():
    data = np.random.default_rng(0).normal(size=200)
    found = mean_interval(data)
    half = 1.96 * data.std(ddof=1) / math.sqrt(200)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.06)


def test_the_same_data_give_the_same_interval():
    data = np.random.default_rng(1).exponential(size=20)
    assert mean_interval(data) == mean_interval(data.copy())


def test_a_point_includes_only_itself():
    assert Interval(0.0, 0.0, 0.0).includes(0.0)
    assert not Interval(0.1, 0.1, 0.1).includes(0.0)


def test_band_where_few_lack_a_score():
    data = np.random.default_rng(2).normal(size=(20, 3))
    data[:2, 0] = np.nan  # one in ten: still drawn
    data[:3, 1] = np.nan
    mean, low, high = mean_band(data)
    assert mean[0] == pytest.approx(data[2:, 0].mean())
    assert math.isnan(mean[1])
    assert math.isnan(low[1])
    assert low[2] < mean[2] < high[2]
    wide = mean_interval(data[:, 2])
    assert low[2] == pytest.approx(wide.low, abs=0.1)
    assert high[2] == pytest.approx(wide.high, abs=0.1)


def test_band_of_one_row_is_its_values():
    mean, low, _ = mean_band(np.array([[1.0, np.nan, 3.0]]))
    assert mean[0] == 1.0
    assert math.isnan(mean[1])
    assert np.isnan(low).all()
