"""Scores over time and times to a target, against naive doubles."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hbsim.bench.targets import (
    area_under,
    first_time,
    median_time,
    on_grid,
    reached_curve,
    restricted_time,
)

INF, NAN = math.inf, math.nan
whole = st.integers(0, 12).map(float)
height = st.one_of(st.just(NAN), st.integers(0, 12).map(lambda value: value / 8))


@st.composite
def steps(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    time = sorted(draw(st.lists(whole, max_size=6)))
    return np.array(time), np.array([draw(height) for _ in time])


def naive_at(time: list[float], score: list[float], t: float) -> float:
    found = NAN
    for when, value in zip(time, score, strict=True):
        if when <= t:
            found = value
    return found


def naive_area(time: list[float], score: list[float], budget: float) -> float:
    """Add up slices of one eighth: all times are whole, all budgets eighths."""
    total = 0.0
    for index in range(round(budget * 8)):
        value = naive_at(time, score, index / 8)
        total += 1.0 if math.isnan(value) else min(value, 1.0)
    return total / round(budget * 8)


@given(steps(), st.integers(1, 120))
def test_area_is_what_slices_add_up_to(curve: tuple[np.ndarray, np.ndarray], eighths: int):
    time, score = curve
    found = area_under(time, score, eighths / 8)
    assert found == pytest.approx(naive_area(time.tolist(), score.tolist(), eighths / 8))
    assert 0.0 <= found <= 1.0


@given(steps(), st.lists(st.integers(0, 30).map(lambda value: value / 2), max_size=5))
def test_values_on_a_grid(curve: tuple[np.ndarray, np.ndarray], grid: list[float]):
    time, score = curve
    expected = [naive_at(time.tolist(), score.tolist(), t) for t in grid]
    assert on_grid(time, score, np.array(grid)).tolist() == pytest.approx(expected, nan_ok=True)


def test_area_by_hand():
    time, score = np.array([1.0, 2.0, 4.0, 50.0]), np.array([0.5, NAN, 0.25, 0.0])
    assert area_under(time, score, 8.0) == (1 + 0.5 + 2 + 4 * 0.25) / 8
    assert area_under(np.empty(0), np.empty(0), 3.0) == 1.0


def test_the_first_time_counts_not_whether_it_stays():
    time, score = np.array([1.0, 2.0, 3.0, 4.0]), np.array([NAN, 0.1, 0.5, 0.05])
    assert first_time(time, score, 0.1) == 2.0
    assert first_time(time, score, 0.05) == 4.0
    assert first_time(time, score, 0.01) == INF
    assert first_time(np.empty(0), np.empty(0), 0.1) == INF


def test_who_never_reaches_it_counts_the_whole_horizon():
    assert restricted_time(np.array([1.0, 9.0, INF, NAN, 8.0]), 8.0).tolist() == [1.0, 8.0, 8.0, 8.0, 8.0]


def naive_kaplan_meier(times: list[float], ends: list[float], t: float) -> float:
    """Multiply the chances of going on at each time at which a study reached the target."""
    left = 1.0
    pairs = list(zip(times, ends, strict=True))
    for when in sorted({x for x, end in pairs if x <= end and x <= t}):
        risk = sum(min(x, end) >= when for x, end in pairs)
        left *= 1 - sum(x == when and x <= end for x, end in pairs) / risk
    return 1 - left


@settings(deadline=None)
@given(st.lists(st.tuples(st.one_of(whole, st.just(INF)), whole), min_size=1, max_size=9), st.integers(1, 13))
@example([(0.0, 5.0)], 5)
@example([(INF, 5.0)], 5)
def test_the_curve_is_kaplan_and_meiers(rows: list[tuple[float, float]], horizon: int):
    times, ends = (np.array(column) for column in zip(*rows, strict=True))
    x, share = reached_curve(times, ends, float(horizon))
    assert x[0] == 0.0
    assert x[-1] == min(horizon, max(ends))
    assert (np.diff(x) > 0).all()
    cut = np.minimum(ends, horizon)
    for t in np.arange(0.0, x[-1] + 0.5, 0.5):
        assert on_grid(x, share, np.array([t]))[0] == pytest.approx(
            naive_kaplan_meier(times.tolist(), cut.tolist(), t)
        )


def test_without_cuts_the_curve_is_the_share():
    x, share = reached_curve(np.array([1.0, 3.0, INF, 3.0]), np.full(4, 10.0), 10.0)
    assert x.tolist() == [0.0, 1.0, 3.0, 10.0]
    assert share.tolist() == pytest.approx([0.0, 0.25, 0.75, 0.75])
    assert len(reached_curve(np.empty(0), np.empty(0), 1.0)[0]) == 0


def test_median_times_by_hand():
    found = median_time(np.array([5.0, 1.0, 2.0, 3.0, 4.0, 6.0]), 10.0)
    assert (found.mean, found.low, found.high) == (3.5, 1.0, 6.0)  # 1 - 2/2^6 = 0.97
    late = median_time(np.array([5.0, 1.0, 2.0, 3.0, 4.0, NAN]), 3.0)
    assert (late.mean, late.low, late.high) == (INF, 1.0, INF)
    few = median_time(np.arange(1.0, 6.0), 10.0)
    assert few.mean == 3.0
    assert math.isnan(few.low)
    assert math.isnan(median_time(np.empty(0), 1.0).mean)


@pytest.mark.parametrize("n", [6, 15, 40])
def test_the_median_lies_in_its_interval(n: int):
    data = np.random.default_rng(n).exponential(size=(300, n))
    found = [median_time(row, 1.5) for row in data]
    held = sum(one.low <= math.log(2) <= one.high for one in found)
    assert held >= 300 * 0.95 - 3 * math.sqrt(300 * 0.95 * 0.05)
