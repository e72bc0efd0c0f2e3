"""What a model is given: robust values, not too many, and fits at certain counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.searchers.gp import keep, stage, standardize
from tests.profile import examples

SIZES = st.sampled_from([1e-300, 1e-3, 1.0, 1e34, 1e300])
LISTS = st.lists(st.floats(-1, 1), min_size=1, max_size=40)


@settings(max_examples=examples(200), deadline=None)
@given(values=LISTS, size=SIZES)
def test_standardized_values(values: list[float], size: float) -> None:
    raw = np.array(values) * size
    found = standardize(raw)
    assert np.isfinite(found).all()
    order = np.argsort(raw, kind="stable")
    assert (np.diff(found[order]) >= 0).all()  # the order stays, but for ties
    if found.any():
        assert found.mean() == pytest.approx(0, abs=1e-6)
        assert found.std() == pytest.approx(1)


def test_bad_outliers_are_drawn_in_and_good_ones_are_not() -> None:
    values = np.arange(20.0)
    values[0] = -1e9
    found = standardize(values)
    low, high = np.quantile(values, [0.25, 0.75])
    naive = np.maximum(values, low - 1.5 * (high - low))
    assert found == pytest.approx((naive - naive.mean()) / naive.std())
    assert np.diff(found)[1:].min() > 0.1
    values[0], values[19] = 0.0, 1e9
    assert np.argmax(standardize(values)) == 19
    assert standardize(values).max() == pytest.approx(np.sqrt(19))


@pytest.mark.parametrize("values", [[], [3.0], [1e34] * 5, [0.0] * 5, [-0.1] * 3])
def test_equal_values_are_all_zero(values: list[float]) -> None:
    assert standardize(np.array(values)).tolist() == [0.0] * len(values)


@settings(max_examples=examples(200), deadline=None)
@given(
    pairs=st.lists(st.tuples(st.sampled_from([1.0, 3.0, 9.0]), st.integers(-9, 9)), min_size=1, max_size=60),
    limit=st.integers(10, 40),
)
def test_what_is_kept(pairs: list[tuple[float, int]], limit: int) -> None:
    levels = np.array([level for level, _ in pairs])
    values = np.array([float(value) for _, value in pairs])
    kept = keep(levels, values, limit)
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert len(kept) == min(limit, len(pairs))
    share = limit // len(set(levels.tolist()))
    for level in set(levels.tolist()):
        here = np.flatnonzero(levels == level)
        there = np.intersect1d(kept, here)
        assert len(there) >= min(len(here), share)
        assert values[there].max() == values[here].max()


def test_of_one_level_half_are_the_best_and_the_rest_are_spread() -> None:
    values = np.arange(100.0)[::-1]
    kept = keep(np.ones(100), values, 20)
    assert kept[:10].tolist() == list(range(10))
    assert kept[10:].tolist() == list(range(10, 100, 9))


def test_fits_are_at_growing_counts() -> None:
    counts = sorted({stage(n) for n in range(1001)})
    assert counts[:12] == [0, 1, 3, 5, 7, 9, 11, 14, 18, 23, 29, 37]
    assert len(counts) == 24
    assert all(stage(count) == count and stage(count - 1) < count for count in counts[1:])
