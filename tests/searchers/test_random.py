"""Random search: a configuration depends on the seed and its number only."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.core.space import Bool, Int, Real, Space
from hbsim.errors import ParameterError
from hbsim.searchers import RandomSearcher, Searcher
from tests.profile import examples

SPACE = Space({"lr": Real(1e-3, 1e-1, log=True), "depth": Int(1, 4), "flag": Bool()})


@settings(max_examples=examples(50), deadline=None)
@given(sizes=st.lists(st.integers(0, 6000), max_size=6), seed=st.integers(0, 2**70))
def test_sizes_of_requests_do_not_matter(sizes, seed):
    whole = RandomSearcher(SPACE, seed).suggest(sum(sizes))
    searcher = RandomSearcher(SPACE, seed)
    parts = [searcher.suggest(size) for size in sizes]
    assert [part.shape for part in parts] == [(size, 3) for size in sizes]
    assert (np.concatenate([np.empty((0, 3)), *parts]) == whole).all()


def test_what_it_is_told_does_not_matter():
    told, untold = RandomSearcher(SPACE, 1), RandomSearcher(SPACE, 1)
    for trial in range(5):
        told.register_pending(trial, 1.0)
        told.observe(trial, 1.0, None if trial else 0.5)
        told.forget(trial)
        assert (told.suggest(1) == untold.suggest(1)).all()


def test_seeds_and_blocks_differ():
    points = np.concatenate([RandomSearcher(SPACE, seed).suggest(9000) for seed in (0, 1)])
    assert len(np.unique(points)) == points.size


def test_points_are_uniform_and_coordinates_independent():
    points = RandomSearcher(SPACE, 7).suggest(50_000)
    assert ((points >= 0.0) & (points < 1.0)).all()
    counts, _ = np.histogramdd(points, bins=5, range=[(0, 1)] * 3)
    chi_square = ((counts - 400.0) ** 2 / 400.0).sum()
    assert chi_square < 179.0  # the 0.999 quantile with 124 degrees of freedom


def test_the_meaning_of_a_seed_is_fixed():
    # Published results name a seed: a change here changes all of them.
    found = RandomSearcher(SPACE, 0).suggest(4097)[[0, 4096], 0]
    np.testing.assert_array_equal(found, [0.8358885923155723, 0.8035112057772508])


def test_a_suggestion_is_its_own_array():
    searcher = RandomSearcher(SPACE, 0)
    searcher.suggest(10)[:] = -1.0
    assert (searcher.suggest(10) >= 0.0).all()


def test_it_is_a_searcher_without_a_model():
    searcher: Searcher = RandomSearcher(SPACE, 0)
    assert searcher.model_based is False
    assert RandomSearcher(SPACE, 0).remaining is None


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: RandomSearcher(SPACE, -1), "seed"),
        (lambda: RandomSearcher(SPACE, 1.5), "seed"),
        (lambda: RandomSearcher(SPACE, True), "seed"),
        (lambda: RandomSearcher({"lr": Real(0, 1)}, 0), "space"),
        (lambda: RandomSearcher(SPACE, 0).suggest(-1), "n"),
        (lambda: RandomSearcher(SPACE, 0).suggest(2.5), "n"),
    ],
)
def test_errors_name_the_field(make, field):
    with pytest.raises(ParameterError) as caught:
        make()
    assert caught.value.field == field
