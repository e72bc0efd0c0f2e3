"""Configurations that people give come first; those that a constraint rejects do not come at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hbsim
from hbsim.core import make_scheduler
from hbsim.errors import ParameterError
from hbsim.searchers import SearchTask, make_searcher
from hbsim.surrogates import load

from .spaces import SPACE, few_a

NO_MODEL = ["random", "grid", "sobol", "lhs"]
TABLE = np.random.default_rng(1).random((12, 4))
GIVEN = [{"lr": 0.02, "act": "b"}, {"depth": 3}]
FIRST = [
    {"lr": pytest.approx(0.02), "depth": 2, "act": "b", "flag": False},
    {"lr": pytest.approx(10**-1.5), "depth": 3, "act": "a", "flag": False},
]


@pytest.mark.parametrize("name", NO_MODEL)
def test_they_come_first_and_the_searcher_goes_on_as_it_would_have(name: str) -> None:
    plain = make_searcher(name, SearchTask(SPACE, 4)).suggest(20)
    searcher = make_searcher(name, SearchTask(SPACE, 4), {"points_to_evaluate": GIVEN})
    whole = np.concatenate([searcher.suggest(n) for n in (1, 4, 17)])
    assert [SPACE.mapping(point) for point in whole[:2]] == FIRST
    assert (whole[2:] == plain).all()
    for done in range(8):
        resumed = make_searcher(name, SearchTask(SPACE, 4), {"points_to_evaluate": GIVEN})
        resumed.resume(whole[: done // 2])
        resumed.resume(whole[done // 2 : done])
        assert (resumed.suggest(22 - done) == whole[done:]).all()


@pytest.mark.parametrize("name", ["random", "sobol", "lhs", "tpe", "bohb", "gp", "mobster"])
@pytest.mark.parametrize("replace", [False, True])
def test_of_a_table_a_row_that_was_given_does_not_come_again(name: str, replace: bool) -> None:
    needed = {"tpe": "optuna", "bohb": "optuna", "gp": "botorch", "mobster": "botorch"}
    if name in needed:
        pytest.importorskip(needed[name])
    task = SearchTask(SPACE, 0, rows=12, points=TABLE, replace=replace, max_t=9)
    given = [7, SPACE.mapping(TABLE[2]), SPACE.mapping(TABLE[2])]
    searcher = make_searcher(name, task, {"points_to_evaluate": given})
    rows = [int(searcher.suggest(1)[0]) for _ in range(12)]
    assert rows[:2] == [7, 2]
    assert (rows[2] == 2) == replace
    assert (sorted(rows) == list(range(12))) == (not replace)
    if not replace:
        assert searcher.remaining == 0  # type: ignore[attr-defined]
        with pytest.raises(ParameterError) as caught:
            searcher.suggest(1)
        assert (caught.value.field, caught.value.value) == ("num_trials", 13)
        assert "12 rows" in caught.value.rule


@pytest.mark.parametrize("name", ["random", "sobol", "lhs"])
@pytest.mark.parametrize("replace", [False, True])
def test_of_a_table_only_rows_that_the_constraint_allows_come(name: str, replace: bool) -> None:
    task = SearchTask(SPACE, 0, rows=12, points=TABLE, replace=replace)
    allowed = {row for row in range(12) if SPACE.mapping(TABLE[row])["depth"] > 1}
    searcher = make_searcher(name, task, {"constraints": lambda c: c["depth"] > 1})
    assert searcher.remaining == (None if replace else len(allowed))  # type: ignore[attr-defined]
    rounds = 3 if replace else 1
    for _ in range(rounds):
        assert set(searcher.suggest(len(allowed)).tolist()) == allowed


def test_rows_that_are_left_out_leave_the_order_of_the_others_as_it_was() -> None:
    task = SearchTask(SPACE, 5, rows=12, points=TABLE)
    plain = make_searcher("random", task).suggest(12).tolist()
    some = make_searcher("random", task, {"constraints": lambda c: c["depth"] > 1, "points_to_evaluate": [7]})
    wanted = [row for row in plain if SPACE.mapping(TABLE[row])["depth"] > 1 and row != 7]
    assert some.suggest(len(wanted) + 1).tolist() == [7, *wanted]


@pytest.mark.parametrize("name", ["random", "sobol", "lhs"])
def test_digits_with_a_constraint_and_given_rows(name: str) -> None:
    curves = load("digits", wrap=["noise:std=0.01"])
    options = {"constraints": lambda c: c["depth"] > 2, "points_to_evaluate": [{"depth": 3, "lr": 0.1}, 0]}
    scheduler = make_scheduler("promotion", max_t=9, num_trials=300, mode=curves.mode)
    result = hbsim.simulate(scheduler, curves, searcher=name, search_options=options)
    rows = result.curves.configurations().tolist()
    assert len(set(rows)) == 300
    assert rows[1] == 0
    table = curves.wrapped.configurations  # type: ignore[attr-defined]
    assert min(table["depth"][rows]) == 3
    points = curves.points  # type: ignore[attr-defined]
    wanted = curves.space.encode({**curves.space.defaults, "depth": 3, "lr": 0.1})  # type: ignore[union-attr]
    distances = {row: ((points[row] - wanted) ** 2).sum() for row in range(1000) if table["depth"][row] > 2}
    assert rows[0] == min(distances, key=lambda row: (distances[row], row))


def test_too_many_trials_for_what_a_constraint_leaves_are_said_before_anything_runs() -> None:
    curves = load("digits")
    scheduler = make_scheduler("promotion", max_t=9, num_trials=900, mode=curves.mode)
    with pytest.raises(ParameterError) as caught:
        hbsim.simulate(scheduler, curves, search_options={"constraints": lambda c: c["depth"] > 2})
    assert (caught.value.field, caught.value.value) == ("num_trials", 900)
    assert "the constraint leaves" in caught.value.rule


POINTS = "search_options.points_to_evaluate"
ROWS = SearchTask(SPACE, 0, rows=12, points=TABLE)


@pytest.mark.parametrize(
    ("task", "options", "field", "rule"),
    [
        (SearchTask(SPACE, 0), {"points_to_evaluate": {"lr": 0.1}}, POINTS, "must be a list"),
        (SearchTask(SPACE, 0), {"points_to_evaluate": "x"}, POINTS, "must be a list"),
        (SearchTask(SPACE, 0), {"points_to_evaluate": [3]}, POINTS, "must be a dict by name"),
        (SearchTask(SPACE, 0), {"points_to_evaluate": [{"lrr": 0.1}]}, POINTS, "Did you mean 'lr'?"),
        (SearchTask(SPACE, 0), {"points_to_evaluate": [{"lr": 2.0}]}, POINTS, "lr=2.0"),
        (SearchTask(SPACE, 0), {"points_to_evaluate": [{"act": "c"}]}, POINTS, "act='c'"),
        (
            SearchTask(SPACE, 0),
            {"points_to_evaluate": [{"lr": [0.1]}]},
            POINTS,
            "lr=[0.1]: must be one value",
        ),
        (ROWS, {"points_to_evaluate": [{"lr": np.array([0.1])}]}, POINTS, "must be one value"),
        (SearchTask(SPACE, 0), {"points_to_evaluate": GIVEN, "constraints": few_a}, POINTS, "rejects it"),
        (ROWS, {"points_to_evaluate": [12]}, POINTS, "numbered from 0 to 11"),
        (ROWS, {"points_to_evaluate": [3, 3]}, POINTS, "comes twice"),
        (ROWS, {"points_to_evaluate": [True]}, POINTS, "must be a dict by name"),
        (ROWS, {"points_to_evaluate": [{}] * 13}, POINTS, "at most 12"),
        (SearchTask(None, 0, rows=5), {"points_to_evaluate": [{"lr": 1}]}, POINTS, "number of a row"),
        (
            SearchTask(None, 0, rows=5),
            {"constraints": few_a},
            "search_options.constraints",
            "no search space",
        ),
        (
            SearchTask(SPACE, 0, rows=5),
            {"constraints": few_a},
            "search_options.constraints",
            "do not give the hyperparameters",
        ),
        (ROWS, {"constraints": lambda c: False}, "search_options.constraints", "rejects all 12 rows"),
        (ROWS, {"constraints": lambda c: 1}, "search_options.constraints", "True or False"),
    ],
)
def test_errors_name_the_option(task: SearchTask, options: Any, field: str, rule: str) -> None:
    with pytest.raises(ParameterError) as caught:
        make_searcher("random", task, options)
    assert caught.value.field == field
    assert rule in caught.value.rule


def test_a_row_that_the_constraint_rejects_cannot_be_given() -> None:
    rejected = next(row for row in range(12) if SPACE.mapping(TABLE[row])["depth"] == 1)
    options = {"constraints": lambda c: c["depth"] > 1, "points_to_evaluate": [rejected]}
    with pytest.raises(ParameterError, match="the constraint rejects it"):
        make_searcher("random", ROWS, options)
