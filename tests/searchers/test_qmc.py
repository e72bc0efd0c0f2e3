"""Sobol sequences and Latin hypercubes: of points, and of the rows of tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hbsim
from hbsim.core import make_scheduler
from hbsim.core.space import Real, Space
from hbsim.errors import ParameterError
from hbsim.searchers import Searcher, SearchTask, make_searcher
from hbsim.searchers.qmc import SOBOL_BLOCK, SOBOL_DIMENSIONS, SOBOL_MOST, LatinHypercubes, SobolSequence
from hbsim.surrogates import load
from tests.doubles import naive_searchers as naive
from tests.profile import examples

from .spaces import SPACE, few_a, never

NAMES = ["sobol", "lhs"]
TABLE = np.random.default_rng(0).random((30, 4))


def sequence(name: str, seed: int) -> Any:
    """Return the same sequence once more."""
    return (
        SobolSequence(SPACE.dimension, seed)
        if name == "sobol"
        else LatinHypercubes(SPACE.dimension, seed, 64)
    )


@settings(max_examples=examples(40), deadline=None)
@given(
    name=st.sampled_from(NAMES),
    sizes=st.lists(st.integers(0, 1500), max_size=4),
    constrained=st.booleans(),
    seed=st.integers(0, 2**70),
)
def test_the_ith_point_depends_on_seed_and_i_only(
    name: str, sizes: list[int], constrained: bool, seed: int
) -> None:
    if constrained:
        sizes = [size // 20 for size in sizes]
    task = SearchTask(SPACE, seed, constraint=few_a if constrained else None)
    wanted = naive.design(SPACE, sequence(name, seed), sum(sizes), task.constraint)
    searcher = make_searcher(name, task)
    done = 0
    for size in sizes:
        resumed = make_searcher(name, task)
        resumed.resume(np.array(wanted[:done]))
        part = searcher.suggest(size)
        assert part.shape == (size, 4)
        assert part.tolist() == resumed.suggest(size).tolist() == wanted[done : done + size]
        done += size
    assert ((np.array(wanted) >= 0) & (np.array(wanted) < 1)).all()


def test_a_sobol_sequence_is_evenly_spread() -> None:
    """Of 2^k points in the plane each of 2^k boxes of the same shape has one: it is a (0, k, 2)-net."""
    points = SobolSequence(2, 7).block(0)[:256]
    for bits in range(9):
        boxes = np.floor(points * [2**bits, 2 ** (8 - bits)]).astype(int)
        assert len(np.unique(boxes, axis=0)) == 256


def test_a_sobol_sequence_goes_on_over_its_blocks() -> None:
    from scipy.stats.qmc import Sobol

    from hbsim.core.streams import Purpose, block_generator

    engine = Sobol(3, scramble=True, rng=block_generator(5, Purpose.DESIGN, 0))
    whole = engine.random(4 * SOBOL_BLOCK)
    ours = SobolSequence(3, 5)
    for number in (2, 0, 3, 3, 1):
        assert (ours.block(number) == whole[number * SOBOL_BLOCK :][:SOBOL_BLOCK]).all()
    with pytest.raises(ParameterError, match="1,073,741,824 points"):
        ours.block(SOBOL_MOST // SOBOL_BLOCK)


@given(size=st.integers(2, 40), number=st.integers(0, 3), dimension=st.integers(1, 5))
def test_a_latin_hypercube_has_a_point_in_each_interval(size: int, number: int, dimension: int) -> None:
    points = LatinHypercubes(dimension, 1, size).block(number)
    assert points.shape == (size, dimension)
    assert (np.sort(np.floor(points * size), axis=0) == np.arange(size)[:, np.newaxis]).all()


def test_seeds_and_hypercubes_differ() -> None:
    for name in NAMES:
        both = [make_searcher(name, SearchTask(SPACE, seed)).suggest(200) for seed in (0, 1)]
        assert len(np.unique(np.concatenate(both))) == 1600
    sized = [make_searcher("lhs", SearchTask(SPACE, 0), {"size": size}).suggest(8) for size in (8, 9)]
    assert (np.sort(np.floor(sized[0] * 8), axis=0) == np.arange(8)[:, np.newaxis]).all()
    assert not (sized[0] == sized[1]).all()


def test_the_meaning_of_a_seed_is_fixed() -> None:
    found = make_searcher("lhs", SearchTask(SPACE, 0)).suggest(65)[[0, 64], 0]
    np.testing.assert_array_equal(found, [0.5544450499339956, 0.5024747734579107])


@settings(max_examples=examples(40), deadline=None)
@given(
    name=st.sampled_from(NAMES),
    sizes=st.lists(st.integers(0, 12), max_size=4),
    replace=st.booleans(),
    constrained=st.booleans(),
    given_rows=st.lists(st.integers(0, 29), max_size=3, unique=True),
    seed=st.integers(0, 9),
)
def test_of_a_table_the_nearest_row_left_is_taken(
    name: str, sizes: list[int], replace: bool, constrained: bool, given_rows: list[int], seed: int
) -> None:
    constraint = (lambda c: c["act"] == "a") if constrained else None
    task = SearchTask(SPACE, seed, rows=30, points=TABLE, replace=replace, constraint=constraint)
    allowed = {row for row in range(30) if constraint is None or constraint(SPACE.mapping(TABLE[row]))}
    given_rows = [row for row in given_rows if row in allowed]
    if not replace:
        sizes = sizes[: max(0, (len(allowed) - len(given_rows)) // 12)]
    n = sum(sizes)
    wanted = given_rows + naive.nearest_rows(TABLE, sequence(name, seed), n, allowed, replace, given_rows)
    options: Any = {"points_to_evaluate": given_rows} if given_rows else {}
    searcher = make_searcher(name, task, options)
    done = 0
    for size in [len(given_rows), *sizes]:
        resumed = make_searcher(name, task, options)
        resumed.resume(np.array(wanted[:done], dtype=np.int64))
        part = searcher.suggest(size)
        assert part.dtype == np.int64
        assert part.tolist() == resumed.suggest(size).tolist() == wanted[done : done + size]
        done += size
    left = None if replace else len(allowed) - done
    assert searcher.remaining == resumed.remaining == left  # type: ignore[attr-defined]


def test_too_few_rows_change_nothing() -> None:
    searcher = make_searcher(
        "sobol", SearchTask(SPACE, 0, rows=30, points=TABLE), {"points_to_evaluate": [3]}
    )
    first = searcher.suggest(20).tolist()
    with pytest.raises(ParameterError) as caught:
        searcher.suggest(11)
    assert (caught.value.field, caught.value.value) == ("num_trials", 31)
    assert "30 rows" in caught.value.rule
    assert sorted(first + searcher.suggest(10).tolist()) == list(range(30))


def test_a_sobol_sequence_has_so_many_dimensions_and_no_more() -> None:
    from scipy.stats.qmc import Sobol

    assert SOBOL_DIMENSIONS == Sobol.MAXDIM
    wide = Space({f"x{i}": Real(0, 1) for i in range(SOBOL_DIMENSIONS + 1)})
    with pytest.raises(ParameterError, match="at most 21,201 parameters") as caught:
        make_searcher("sobol", SearchTask(wide, 0))
    assert caught.value.field == "searcher"
    assert make_searcher("lhs", SearchTask(wide, 0)).suggest(1).shape == (1, SOBOL_DIMENSIONS + 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_constraint_that_allows_nothing_gives_up(name: str) -> None:
    asked = []
    searcher = make_searcher(name, SearchTask(SPACE, 0), {"constraints": lambda c: bool(asked.append(c))})
    for _ in range(2):
        with pytest.raises(ParameterError, match="rejected 1000 points"):
            searcher.suggest(1)
    assert searcher.suggest(0).shape == (0, 4)
    assert 1000 <= len(asked) < 1100


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("curves", ["synthetic", "digits"])
def test_a_study_has_these_configurations(name: str, curves: str) -> None:
    surrogate = load(curves)
    used = []
    for type, workers in (("promotion", 3), ("stopping", 8)):
        scheduler = make_scheduler(type, max_t=9, num_trials=50, mode=surrogate.mode)
        result = hbsim.simulate(scheduler, surrogate, searcher=name, workers=workers, seed=3)
        used.append(result.curves.configurations().tolist())
    task = SearchTask(surrogate.space, 3, surrogate.rows, getattr(surrogate, "points", None))
    assert used[0] == used[1] == make_searcher(name, task).suggest(50).tolist()


def test_they_are_searchers_without_a_model() -> None:
    for name in NAMES:
        searcher: Searcher = make_searcher(name, SearchTask(SPACE, 0))
        assert searcher.model_based is False
        assert searcher.remaining is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("task", "options", "field", "rule"),
    [
        (SearchTask(None, 0), {}, "searcher", "needs a search space"),
        (SearchTask(Space({}), 0), {}, "searcher", "needs a search space"),
        (SearchTask(SPACE, 0, rows=5), {}, "searcher", "needs the hyperparameters of the rows"),
        (SearchTask(None, 0, rows=5), {}, "searcher", "needs the hyperparameters of the rows"),
        (
            SearchTask(SPACE, 0, rows=30, points=TABLE),
            {"constraints": never},
            "search_options.constraints",
            "rejects all 30 rows",
        ),
        (SearchTask(SPACE, 0), {"sise": 3}, "search_options.sise", "is no option of the searcher"),
    ],
)
def test_errors_name_the_field(name: str, task: SearchTask, options: Any, field: str, rule: str) -> None:
    with pytest.raises(ParameterError) as caught:
        make_searcher(name, task, options)
    assert caught.value.field == field
    assert rule in caught.value.rule


@pytest.mark.parametrize("size", [1, 0, 2.5, "x", True])
def test_a_hypercube_has_two_points_or_more(size: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        make_searcher("lhs", SearchTask(Space({"x": Real(0, 1)}), 0), {"size": size})
    assert caught.value.field == "search_options.size"
