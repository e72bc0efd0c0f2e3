"""Rows of a table: each once, then each again where that is allowed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.errors import ParameterError
from hbsim.searchers import RowSearcher, Searcher
from tests.profile import examples


@settings(max_examples=examples(50), deadline=None)
@given(
    rows=st.sampled_from([1, 2, 7, 1000, 4095, 4096, 5000]),
    sizes=st.lists(st.integers(0, 3000), max_size=5),
    seed=st.integers(0, 2**70),
)
def test_sizes_of_requests_do_not_matter_and_every_round_has_every_row(rows, sizes, seed):
    whole = RowSearcher(rows, seed, replace=True).suggest(sum(sizes))
    searcher = RowSearcher(rows, seed, replace=True)
    parts = [searcher.suggest(size) for size in sizes]
    assert (np.concatenate([np.empty(0, np.int64), *parts]) == whole).all()
    for start in range(0, whole.size - rows + 1, rows):
        assert np.bincount(whole[start : start + rows], minlength=rows).tolist() == [1] * rows


@given(rows=st.integers(1, 300), seed=st.integers(0, 100))
def test_the_first_round_is_the_same_with_and_without_replacement(rows, seed):
    once = RowSearcher(rows, seed).suggest(rows)
    assert once.dtype == np.int64
    assert (once == RowSearcher(rows, seed, replace=True).suggest(rows)).all()


def test_rounds_and_seeds_have_orders_of_their_own():
    rounds = [RowSearcher(50, seed, replace=True).suggest(100_000).reshape(-1, 50) for seed in (0, 1)]
    assert len(np.unique(np.concatenate(rounds), axis=0)) == 4000


def test_every_row_comes_first_equally_often():
    first = RowSearcher(10, 3, replace=True).suggest(50_000)[::10]
    chi_square = ((np.bincount(first, minlength=10) - 500.0) ** 2 / 500.0).sum()
    assert chi_square < 27.9  # the 0.999 quantile with 9 degrees of freedom


def test_the_meaning_of_a_seed_is_fixed():
    # Published results name a seed: a change here changes all of them.
    assert RowSearcher(8, 0).suggest(8).tolist() == [1, 5, 4, 0, 3, 7, 2, 6]


def test_too_few_rows_name_the_options_and_change_nothing():
    searcher = RowSearcher(5, 0)
    start = searcher.suggest(3).tolist()
    with pytest.raises(ParameterError) as caught:
        searcher.suggest(3)
    assert (caught.value.field, caught.value.value) == ("num_trials", 6)
    assert "5 rows" in caught.value.rule
    assert "replace=True" in caught.value.rule
    assert "fitted surrogate" in caught.value.rule
    assert searcher.remaining == 2
    assert sorted(start + searcher.suggest(2).tolist()) == [0, 1, 2, 3, 4]
    assert searcher.suggest(0).shape == (0,)


def test_what_it_is_told_does_not_matter():
    told, untold = RowSearcher(5, 1), RowSearcher(5, 1)
    for trial in range(5):
        told.register_pending(trial, 1.0)
        told.observe(trial, 1.0, None if trial else 0.5)
        told.forget(trial)
        assert told.suggest(1) == untold.suggest(1)


def test_it_is_a_searcher_without_a_model():
    searcher: Searcher = RowSearcher(5, 0)
    assert searcher.model_based is False
    assert RowSearcher(5, 0, replace=True).remaining is None


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: RowSearcher(0, 0), "rows"),
        (lambda: RowSearcher(2.0, 0), "rows"),
        (lambda: RowSearcher(True, 0), "rows"),
        (lambda: RowSearcher(5, -1), "seed"),
        (lambda: RowSearcher(5, 0, replace="yes"), "replace"),
        (lambda: RowSearcher(5, 0).suggest(-1), "n"),
    ],
)
def test_errors_name_the_field(make, field):
    with pytest.raises(ParameterError) as caught:
        make()
    assert caught.value.field == field
