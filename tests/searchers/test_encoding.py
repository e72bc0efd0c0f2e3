"""Points of the cube as columns: what is the same, what is how far apart, and how points are moved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.core.space import Bool, Choice, Int, Real, Space
from hbsim.searchers.encoding import Encoding
from tests.profile import examples

from .spaces import SPACES

MIXED = Space(
    {
        "lr": Real(1e-4, 1.0, log=True),
        "n": Int(1, 4),
        "act": Choice("a", "b", "c"),
        "b": Bool(),
        "one": Choice("x"),
    }
)


@settings(max_examples=examples(100), deadline=None)
@given(space=SPACES, seed=st.integers(0, 99))
def test_equal_values_are_equal_columns_and_others_are_not(space: Space, seed: int) -> None:
    encoding = Encoding(space)
    points = space.sample(12, np.random.default_rng(seed))
    columns = encoding.columns(points)
    assert columns.shape == (12, encoding.width)
    assert ((columns >= 0) & (columns <= 1)).all()
    configurations = [space.mapping(point) for point in points]
    for i, one in enumerate(configurations):
        for j, other in enumerate(configurations):
            assert (columns[i] == columns[j]).all() == (one == other)


@settings(max_examples=examples(100), deadline=None)
@given(space=SPACES, seed=st.integers(0, 99))
def test_snapping_changes_no_value_and_is_done_once(space: Space, seed: int) -> None:
    encoding = Encoding(space)
    points = space.sample(12, np.random.default_rng(seed))
    snapped = encoding.snap(points)
    assert [space.mapping(p) for p in points] == [space.mapping(p) for p in snapped]
    assert encoding.snap(snapped).tolist() == snapped.tolist()


def test_columns_of_each_kind() -> None:
    encoding = Encoding(MIXED)
    point = MIXED.encode({"lr": 0.01, "n": 3, "act": "b", "b": True, "one": "x"})
    half = 1 / np.sqrt(2)
    assert encoding.columns(point[None])[0] == pytest.approx([0.5, 0.625, 0, half, 0, 1])
    assert encoding.width == 6
    assert encoding.reals.tolist() == [0]
    assert encoding.real_columns.tolist() == [0]


@pytest.mark.parametrize("choices", ["ab", "abc", "abcde"])
def test_different_choices_are_at_distance_one(choices: str) -> None:
    space = Space({"act": Choice(list(choices))})
    points = np.array([space.encode({"act": choice}) for choice in choices])
    columns = Encoding(space).columns(points)
    distances = np.linalg.norm(columns[:, None] - columns, axis=2)
    assert distances == pytest.approx(1.0 - np.eye(len(choices)))


def test_moves_are_in_the_cube_and_each_point_is_moved() -> None:
    space: Any = Space({"x": Real(0, 1), "y": Real(0, 1), "act": Choice(list(range(50)))})
    points = np.tile(Encoding(space).snap(np.array([[0.0, 1.0, 0.5]])), (400, 1))
    moved = Encoding(space).perturb(points, np.random.default_rng(0))
    assert ((moved >= 0) & (moved <= 1)).all()
    changed = moved != points
    assert 0.3 < changed[:, 2].mean() < 0.7
    near = np.abs(moved - points)[:, :2]
    assert 0 < np.median(near[near > 0]) < 0.15  # most moves are small
    assert near.max() > 0.4
