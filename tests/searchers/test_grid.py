"""Every combination of chosen values: which there are, in which order, and when the study ends."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hbsim
from hbsim.core import make_scheduler
from hbsim.core.space import Choice, Int, Real, Space
from hbsim.errors import HbsimWarning, ParameterError
from hbsim.searchers import Searcher, SearchTask, make_searcher
from hbsim.searchers.factory import about
from hbsim.searchers.grid import GridSearcher
from hbsim.surrogates import load
from tests.doubles import naive_searchers as naive
from tests.profile import examples

from .spaces import SPACE, SPACES, few_a, never


def configurations(space: Space, points: Any) -> list[dict[str, Any]]:
    return [space.mapping(point) for point in points]


def close(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> bool:
    """Whether they are the same, reals within the last bits."""
    if len(found) != len(wanted):
        return False
    return all(
        one[name] == pytest.approx(other[name], rel=1e-12)
        if isinstance(one[name], float)
        else one[name] == other[name]
        for one, other in zip(found, wanted, strict=True)
        for name in other
    )


def some(configuration: Any) -> bool:
    """Allow some configurations, the same for reals that differ in a last bit."""
    numbers = [ord(v) if isinstance(v, str) else round(1000 * float(v)) for v in configuration.values()]
    return sum(numbers) % 7 < 3


@settings(max_examples=examples(150), deadline=None)
@given(space=SPACES, data=st.data(), constraint=st.sampled_from([None, some]))
def test_it_is_every_combination_once_in_order(space: Space, data: Any, constraint: Any) -> None:
    counts = {name: data.draw(st.integers(1, 6)) for name in space}
    numbers = {name: n for name, n in counts.items() if isinstance(space[name], Real | Int)}
    wanted = naive.grid(space, counts, constraint)
    if not wanted:
        with pytest.raises(ParameterError, match="it is empty"):
            GridSearcher(SearchTask(space, 0, constraint=constraint), numbers)
        return
    grid = GridSearcher(SearchTask(space, 0, constraint=constraint), numbers)
    assert grid.limit == len(wanted) == len(grid.points)
    assert grid.size == len(naive.grid(space, counts))
    assert close(configurations(space, grid.points), wanted)


@settings(max_examples=examples(50), deadline=None)
@given(
    sizes=st.lists(st.integers(0, 40), max_size=6),
    shuffle=st.booleans(),
    constrained=st.booleans(),
    seed=st.integers(0, 5),
)
def test_sizes_of_requests_and_resumes_do_not_matter(
    sizes: list[int], shuffle: bool, constrained: bool, seed: int
) -> None:
    task = SearchTask(SPACE, seed, constraint=few_a if constrained else None)
    whole = GridSearcher(task, 7, shuffle).points
    searcher = GridSearcher(task, 7, shuffle)
    done = 0
    for size in sizes:
        size = min(size, searcher.remaining)
        resumed = GridSearcher(task, 7, shuffle)
        resumed.resume(whole[:done])
        part = searcher.suggest(size)
        assert (part == whole[done : done + size]).all()
        assert (resumed.suggest(size) == part).all()
        done += size
        assert searcher.remaining == resumed.remaining == len(whole) - done


def test_a_shuffled_grid_is_the_same_grid_in_an_order_of_its_seed() -> None:
    plain = GridSearcher(SearchTask(SPACE, 0)).points
    orders = [GridSearcher(SearchTask(SPACE, seed), shuffle=True).points for seed in (0, 1, 1)]
    for order in orders:
        assert sorted(order.tolist()) == sorted(plain.tolist())
        assert not (order == plain).all()
    assert not (orders[0] == orders[1]).all()
    assert (orders[1] == orders[2]).all()


def test_the_meaning_of_a_seed_is_fixed() -> None:
    shuffled = GridSearcher(SearchTask(Space({"n": Int(0, 7)}), 0), 8, True)
    assert (shuffled.points[:, 0] * 8).astype(int).tolist() == [7, 2, 4, 3, 5, 1, 6, 0]


def test_few_values_are_all_and_numbers_are_spaced_in_their_scale() -> None:
    space = Space(
        {"a": Int(1, 5), "b": Int(1, 100, log=True), "c": Real(1e-4, 1.0, log=True), "d": Real(0, 8)}
    )
    columns = {
        name: sorted(set(np.asarray(c).tolist()))
        for name, c in space.decode(GridSearcher(SearchTask(space, 0)).points).items()
    }
    assert columns["a"] == [1, 2, 3, 4, 5]
    assert columns["b"] == [1, 3, 10, 32, 100]
    assert columns["c"] == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1])
    assert columns["d"] == [0, 2, 4, 6, 8]
    six = GridSearcher(SearchTask(Space({"n": Int(0, 5)}), 0))
    assert [configuration["n"] for configuration in configurations(six.space, six.points)] == [0, 1, 3, 4, 5]
    one = configurations(space, GridSearcher(SearchTask(space, 0), 1).points)
    assert one == [pytest.approx({"a": 3, "b": 10, "c": 0.01, "d": 4})]


def test_it_says_how_many_there_are() -> None:
    grid = make_searcher("grid", SearchTask(SPACE, 0, constraint=few_a), {"points": {"lr": 4}})
    assert (grid.limit, grid.size) == (12, 48)  # type: ignore[attr-defined]
    assert (
        about(grid)
        == "grid of 12 configurations, of 48 without the constraint: lr 4 x depth 3 x act 2 x flag 2"
    )
    first = make_searcher("grid", SearchTask(SPACE, 0), {"points_to_evaluate": [{"lr": 0.5}] * 3})
    assert first.limit == 63  # type: ignore[attr-defined]
    first.suggest(2)
    assert (first.limit, first.remaining) == (63, 61)  # type: ignore[attr-defined]
    assert about(first) == "grid of 60 configurations: lr 5 x depth 3 x act 2 x flag 2"
    assert about(make_searcher("random", SearchTask(SPACE, 0))) == ""


def test_a_million_points_are_made_when_they_are_asked_for() -> None:
    space = Space({f"x{i}": Real(0, 1) for i in range(6)})
    begin = time.perf_counter()
    grid = GridSearcher(SearchTask(space, 0), 10)
    grid.suggest(1)
    assert grid.limit == 1_000_000
    assert not {"_places", "_order"} & {name for name, value in vars(grid).items() if value is not None}
    assert time.perf_counter() - begin < 60  # not a measurement: that it ends


def test_it_is_a_searcher_without_a_model_and_ends() -> None:
    searcher: Searcher = GridSearcher(SearchTask(SPACE, 0))
    assert searcher.model_based is False
    searcher.suggest(60)
    with pytest.raises(ParameterError) as caught:
        searcher.suggest(1)
    assert (caught.value.field, caught.value.value) == ("num_trials", 61)


ALL = {
    "stopping": {},
    "promotion": {},
    "sha": {"n": 9},
    "hyperband": {},
    "pasha": {},
    "median": {},
    "fifo": {},
}


@pytest.mark.parametrize("type", ALL)
@pytest.mark.parametrize("num_trials", [None, 7, 100])
def test_a_study_ends_when_it_is_through(type: str, num_trials: int | None) -> None:
    curves = load("synthetic")
    numbers = dict.fromkeys(curves.space, 1)  # type: ignore[union-attr]
    first = next(iter(numbers))
    scheduler = make_scheduler(type, max_t=9, num_trials=num_trials, mode=curves.mode, **ALL[type])
    options = {"points": {**numbers, first: 20}}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = hbsim.simulate(scheduler, curves, searcher="grid", search_options=options, workers=4)
    assert scheduler.done
    assert result.summary()["trials"] == min(20, num_trials or 20)
    used = result.curves.configurations()
    wanted = GridSearcher(SearchTask(curves.space, 0), options["points"]).points  # type: ignore[arg-type]
    assert (used == wanted[: len(used)]).all()
    said = [str(one.message) for one in caught if issubclass(one.category, HbsimWarning)]
    assert [text for text in said if "grid of 20" in text] == [text for text in said if num_trials == 7][:1]
    assert any("grid of 20" in text for text in said) == (num_trials == 7)


def test_a_shuffled_grid_that_is_cut_needs_no_warning() -> None:
    curves = load("synthetic")
    scheduler = make_scheduler("fifo", max_t=1, num_trials=3, mode=curves.mode)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hbsim.simulate(scheduler, curves, searcher="grid", search_options={"points": 2, "shuffle": True})


@pytest.mark.parametrize(
    ("task", "options", "field", "rule"),
    [
        (SearchTask(SPACE, 0, rows=5), {}, "searcher", "rows are its configurations"),
        (SearchTask(None, 0), {}, "searcher", "needs a search space"),
        (SearchTask(Space({}), 0), {}, "searcher", "needs a search space"),
        (SearchTask(SPACE, 0), {"points": 0}, "search_options.points", "at least 1"),
        (SearchTask(SPACE, 0), {"points": 2.5}, "search_options.points", "whole number"),
        (SearchTask(SPACE, 0), {"points": "many"}, "search_options.points", "must be a number"),
        (SearchTask(SPACE, 0), {"points": {"lr": 0}}, "search_options.points.lr", "at least 1"),
        (SearchTask(SPACE, 0), {"points": {"lrr": 3}}, "search_options.points", "Did you mean 'lr'?"),
        (SearchTask(SPACE, 0), {"points": {"act": 3}}, "search_options.points.act", "has all of its values"),
        (SearchTask(SPACE, 0), {"points": 3_000_000}, "search_options.points", "10,000,000 are the most"),
        (SearchTask(SPACE, 0), {"shuffle": 1}, "search_options.shuffle", "True or False"),
        (SearchTask(SPACE, 0), {"constraints": never}, "search_options.constraints", "it is empty"),
        (
            SearchTask(SPACE, 0),
            {"constraints": lambda c: None},
            "search_options.constraints",
            "True or False",
        ),
        (SearchTask(SPACE, 0), {"constraints": "never"}, "search_options.constraints", "must be a function"),
        (SearchTask(SPACE, 0), {"pionts": 3}, "search_options.pionts", "Did you mean 'points'?"),
    ],
)
def test_errors_name_the_option(task: SearchTask, options: Any, field: str, rule: str) -> None:
    with pytest.raises(ParameterError) as caught:
        make_searcher("grid", task, options)
    assert caught.value.field == field
    assert rule in caught.value.rule


def test_choices_of_any_kind_are_taken() -> None:
    space = Space({"layers": Choice((1, 2), None, "x")})
    assert [one["layers"] for one in configurations(space, GridSearcher(SearchTask(space, 0)).points)] == [
        (1, 2),
        None,
        "x",
    ]
