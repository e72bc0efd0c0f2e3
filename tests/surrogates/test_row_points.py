"""The rows of a table as points of the space, through all wrappers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from hbsim.core.space import Bool, Choice, Int, Real, Space
from hbsim.errors import SurrogateError
from hbsim.surrogates import load
from hbsim.surrogates.table import row_points

SPACE = Space({"lr": Real(0.1, 1.0), "n": Int(1, 4), "act": Choice("a", "b"), "flag": Bool()})
ROWS = pl.DataFrame(
    {
        "config": [0, 1],
        "flag": [True, False],
        "lr": [0.1, 1.0],
        "n": [1, 4],
        "act": ["b", "a"],
        "more": [1, 2],
    }
)


def test_a_row_is_the_point_of_its_hyperparameters() -> None:
    found = row_points("t", ROWS, SPACE)
    assert found is not None
    assert found.tolist() == [[0.0, 0.125, 0.75, 0.75], [1.0, 0.875, 0.25, 0.25]]
    assert row_points("t", ROWS, None) is None


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (ROWS.drop("n"), "its rows have no 'n'"),
        (ROWS.with_columns(lr=pl.Series([0.5, 1.5])), "lr=1.5 is outside of its search space, in row 1"),
        (ROWS.with_columns(act=pl.Series(["b", None])), "act=None is outside of its search space, in row 1"),
        (ROWS.with_columns(n=pl.Series([1.5, 2])), "n=1.5 is outside of its search space, in row 0"),
    ],
)
def test_what_is_no_point_is_said(frame: pl.DataFrame, problem: str) -> None:
    with pytest.raises(SurrogateError) as caught:
        row_points("t.csv", frame, SPACE)
    assert caught.value.source == "t.csv"
    assert caught.value.problem.startswith(problem)


@pytest.mark.parametrize("wrap", [[], ["noise:std=0.1"], ["negate", "cost:factor=2"]])
def test_digits_gives_its_rows_through_wrappers(wrap: list[str]) -> None:
    curves = load("digits", wrap=wrap)
    table: Any = curves
    while hasattr(table, "wrapped"):
        table = table.wrapped
    points = curves.points  # type: ignore[attr-defined]
    assert points.shape == (1000, 7)
    assert curves.points is points  # type: ignore[attr-defined]
    decoded = curves.space.decode(points)  # type: ignore[union-attr]
    for name, column in decoded.items():
        recorded = table.configurations[name].to_list()
        assert list(column) == (
            pytest.approx(recorded, rel=1e-12) if name == "lr" else pytest.approx(recorded)
        )


def test_what_has_no_rows_has_no_points() -> None:
    assert getattr(load("synthetic", wrap=["noise:std=0.1"]), "points", None) is None


def own(points: Any, rows: int | None = 3, space: Space | None = SPACE) -> Any:
    def evaluate(configurations: Any, levels: Any) -> Any:
        shape = (len(configurations), len(levels))
        return np.zeros(shape), np.ones(shape)

    fields = {"metric": "loss", "mode": "min", "max_resource": 9, "rows": rows, "space": space}
    return SimpleNamespace(**fields, evaluate=evaluate, points=points)


def test_a_users_own_table_may_give_them() -> None:
    given = np.full((3, 4), 0.5)
    assert load(own(given)).points.tolist() == given.tolist()  # type: ignore[attr-defined]
    assert load(own(None)).points is None  # type: ignore[attr-defined]
    assert load(own(given, rows=None)).points is None  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("points", "problem"),
    [
        (np.zeros((2, 4)), r"must have the shape \(3, 4\)"),
        (np.full((3, 4), 1.5), r"must lie in \[0, 1\]"),
        (np.full((3, 4), np.nan), r"must lie in \[0, 1\]"),
        ("x", "must be numbers"),
    ],
)
def test_a_users_own_points_are_checked(points: Any, problem: str) -> None:
    curves = load(own(points))
    with pytest.raises(SurrogateError, match=problem):
        curves.points  # type: ignore[attr-defined]  # noqa: B018
