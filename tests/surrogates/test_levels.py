"""Levels that curves have, descriptions, and rank correlations."""

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from hbsim.errors import ParameterError
from hbsim.surrogates import Ideal, Synthetic, Table, check_levels, describe, rank_correlation, spread_levels


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "curves.npz"
    loss = np.array([[4, 4, 4], [3, 2, 3], [2, 3, 2], [1, 1, 1], [np.nan, np.inf, np.nan]], dtype=float)
    np.savez(path, loss=loss, t=np.tile([1.0, 2.0, 5.0], (5, 1)), levels=np.array([1, 2, 5]))
    return Table.load(path, mode="min")


def test_levels_that_are_there(table):
    check_levels(table, [1, 2, 5])
    check_levels(table, [2.0])
    check_levels(table, [])
    check_levels(Synthetic(), [0.5, 2.2, 81])


@pytest.mark.parametrize(
    ("levels", "field", "value", "message"),
    [
        ([1, 6], "max_t", 6, "end at 5"),
        ([1, 2, 4], "max_t", 4, "nearest are 2 and 5"),
        ([0.5, 5], "grace_period", 0.5, "nearest are 1$"),
        ([1, 3, 5], "levels", 3, "nearest are 2 and 5"),
        ([0, 5], "grace_period", 0, "above 0"),
    ],
)
def test_a_level_that_is_not_there_is_named_with_the_nearest(table, levels, field, value, message):
    with pytest.raises(ParameterError, match=message) as error:
        check_levels(table, levels)
    assert (error.value.field, error.value.value) == (field, value)


def test_beyond_a_formula_as_well():
    with pytest.raises(ParameterError, match="max_t=100"):
        check_levels(Synthetic(), [1, 100])


def test_correlations_with_the_last_level_numbers_before_none(table):
    first, second, last = rank_correlation(table, [1, 2, 5])
    assert (first, last) == (1.0, 1.0)
    assert second == pytest.approx(spearmanr([4, 2, 3, 1, 5], [4, 3, 2, 1, 5])[0])


def test_correlations_of_a_formula_depend_on_the_seed_only():
    surrogate = Synthetic(divergence=0)
    found = rank_correlation(surrogate, [1, 9, 81], n=300, seed=4)
    assert found == rank_correlation(surrogate, [1, 9, 81], n=300, seed=4)
    assert found != rank_correlation(surrogate, [1, 9, 81], n=300, seed=5)
    values, _ = surrogate.evaluate(np.random.default_rng(4).random((300, 3)), np.array([1.0, 9.0, 81.0]))
    assert found == pytest.approx([spearmanr(column, values[:, -1])[0] for column in values.T])


def test_equal_values_have_no_correlation():
    assert math.isnan(rank_correlation(Ideal(qualities=[1.0, 1.0]), [1, 3])[0])


def test_fewer_rows_than_asked_for_are_all_of_them_and_more_are_drawn():
    some = Ideal(qualities=np.random.default_rng(0).random(50).tolist())
    assert rank_correlation(some, [1, 3], n=1000) == [1.0, 1.0]
    assert rank_correlation(some, [1, 3], n=10) == [1.0, 1.0]
    with pytest.raises(ParameterError, match="n=1"):
        rank_correlation(some, [1, 3], n=1)


def test_spread_levels_are_there(table):
    assert spread_levels(table) == (1.0, 5.0)
    assert spread_levels(Synthetic()) == (1.0, 3.0, 9.0, 27.0, 81.0)
    assert spread_levels(Synthetic(max_resource=100)) == (1.0, 3.0, 9.0, 27.0, 81.0, 100.0)
    assert spread_levels(Ideal(0.5)) == (0.5,)


def test_a_description(table):
    said = describe(table)
    assert (said.name, said.metric, said.mode, said.rows) == ("curves.npz", "loss", "min", 5)
    assert (said.fidelities, said.max_resource, said.optimum, said.has_test) == (3, 5.0, 1.0, False)
    assert (said.levels, said.correlations) == ((1.0, 5.0), (1.0, 1.0))
    assert describe(table, [2, 5]).levels == (2, 5)
    formula = describe(Synthetic())
    assert formula.parameters == ("learning_rate", "weight_decay", "width_multiplier")
    assert (formula.rows, formula.fidelities, len(formula.correlations)) == (None, None, 5)
