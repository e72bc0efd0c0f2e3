"""Variants over tasks: against a published example, scipy, and naive doubles."""

from __future__ import annotations

import itertools
import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import f as f_distribution
from scipy.stats import friedmanchisquare, wilcoxon

from hbsim.bench.statistics import (
    MISSING,
    across_tasks,
    block_ranks,
    cliques,
    critical_difference,
    friedman,
    group_means,
    holm_pairs,
    mean_interval,
    nemenyi,
    seed_means,
    signed_rank,
)
from hbsim.errors import ParameterError

# AUC of C4.5 with m and cf as they are, m tuned, cf tuned, and both, on 14 data sets: table 6 of J. Demsar,
# "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, 2006. More is better. The paper
# ranks what it rounds: its mean ranks need the third of the last but one row to be ahead of the fourth.
AUC = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def test_demsars_ranks_and_critical_difference():
    found = across_tasks(-AUC)
    assert found.mean_ranks.round(3).tolist() == [3.143, 2.0, 2.893, 1.964]
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)
    assert critical_difference(14, 4, 0.1) == pytest.approx(1.11, abs=0.01)
    assert found.cliques == ((3, 1, 2, 0),)  # the paper: nothing differs at 0.05 by Nemenyi's test


def test_demsars_statistics_are_ours_before_the_correction_for_ties():
    """The paper's 9.28 and 3.69 do not count ties; scipy does, and so do we."""
    g, k = AUC.shape
    ranks = block_ranks(-AUC)
    plain = 12 * g / (k * (k + 1)) * ((ranks.mean(axis=0) ** 2).sum() - k * (k + 1) ** 2 / 4)
    assert plain == pytest.approx(9.28, abs=0.005)
    assert (g - 1) * plain / (g * (k - 1) - plain) == pytest.approx(3.69, abs=0.005)
    tied = sum(t**3 - t for row in ranks for t in np.unique(row, return_counts=True)[1])
    chi_square, f, p = friedman(ranks)
    assert chi_square == pytest.approx(plain / (1 - tied / (g * k * (k**2 - 1))))
    assert chi_square == pytest.approx(friedmanchisquare(*-AUC.T).statistic)
    assert f > 3.69
    assert 0.001 < p < 0.02


def test_demsars_two_classifiers():
    """Section 3.1.3: rank sums of 93 and 12 for C4.5 with m and without, half of the zeros' ranks in each."""
    differences = AUC[:, 1] - AUC[:, 0]
    zeros = (differences.round(3) == 0).sum()
    found = signed_rank(differences.round(3))
    halves = zeros * (zeros + 1) / 4
    assert (found.plus + halves, found.minus + halves) == (93.0, 12.0)
    assert found.p < 0.05


def test_critical_values_of_the_paper():
    """Table 5a of the paper: q at 0.05 for 2 to 10 classifiers."""
    q = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
    for k, expected in enumerate(q, start=2):
        found = critical_difference(12, k) / math.sqrt(k * (k + 1) / 72)
        assert found == pytest.approx(expected, abs=0.0015)


def test_ranks_by_hand():
    nan = np.nan
    scores = np.array([[0.1, 0.1, 0.3], [nan, 0.2, nan], [nan, nan, nan], [3.0, 1.0, 2.0]])
    assert block_ranks(scores).tolist() == [
        [1.5, 1.5, 3.0],
        [2.5, 1.0, 2.5],
        [2.0, 2.0, 2.0],
        [3.0, 1.0, 2.0],
    ]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(3, 6), st.integers(2, 9))
def test_friedman_is_scipys(seed: int, g: int, k: int, values: int):
    scores = np.random.default_rng(seed).integers(values, size=(g, k)).astype(float)
    scores[0, :2] = 0.0, 1.0  # not all the same, where scipy has no number
    chi_square, f, p = friedman(block_ranks(scores))
    assert chi_square == pytest.approx(friedmanchisquare(*scores.T).statistic, abs=1e-9)
    assert f >= 0.0
    assert 0.0 <= p <= 1.0


@pytest.mark.parametrize(
    "ranks",
    [
        [[1.0, 2.0, 3.0], [1.0, 3.0, 2.0], [1.0, 2.0, 3.0]],
        [[1.5, 1.5, 3.0], [2.0, 1.0, 3.0], [2.0, 2.0, 2.0], [1.0, 3.0, 2.0]],
    ],
)
def test_few_blocks_are_held_against_all_orders(ranks: list[list[float]]):
    uneven = [sum(sum(column) ** 2 for column in zip(*rows, strict=True)) for rows in itertools.product(
        *(itertools.permutations(row) for row in ranks))]  # fmt: skip
    seen = sum(sum(column) ** 2 for column in zip(*ranks, strict=True))
    expected = sum(one >= seen for one in uneven) / len(uneven)
    assert friedman(np.array(ranks))[2] == pytest.approx(expected, abs=0.015)


def test_few_and_many_blocks_agree():
    scores = np.random.default_rng(3).normal(size=(10, 4)) + np.arange(4) / 3
    ranks = block_ranks(scores)
    few, many = friedman(ranks[:9]), friedman(ranks)
    assert few[2] == pytest.approx(f_distribution.sf(few[1], 3, 24), rel=0.2)
    assert many[2] == f_distribution.sf(many[1], 3, 27)
    assert friedman(ranks[:9]) == few


def test_blocks_of_one_order():
    """Three variants, the same order in 4 blocks: (1/3!)^3."""
    chi_square, f, p = friedman(np.tile([2.0, 1.0, 3.0], (4, 1)))
    assert (chi_square, f) == (pytest.approx(8.0), math.inf)
    assert p == pytest.approx(6.0**-3)
    assert friedman(np.tile([1.5, 1.5, 3.0], (4, 1)))[2] == pytest.approx(3.0**-3)


def test_blocks_without_a_difference():
    assert friedman(np.full((5, 3), 2.0)) == (0.0, 0.0, 1.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(2, 12), min_size=1, max_size=7), st.floats(0.1, 4))
def test_cliques_are_the_largest_groups(halves: list[int], difference: float):
    ranks = np.array(halves) / 2
    close = {
        group
        for size in range(2, len(ranks) + 1)
        for group in itertools.combinations(range(len(ranks)), size)
        if np.ptp(ranks[list(group)]) < difference
    }
    largest = {group for group in close if not any(set(group) < set(other) for other in close)}
    found = cliques(ranks, difference)
    assert {tuple(sorted(group)) for group in found} == largest
    assert len(found) == len(largest)
    assert all((np.diff(ranks[list(group)]) >= 0).all() for group in found)


def test_cliques_are_what_nemenyi_does_not_tell_apart():
    scores = np.random.default_rng(8).normal(size=(15, 6)) + np.arange(6) / 2
    ranks = block_ranks(scores)
    p = nemenyi(ranks)
    together = {
        frozenset(pair)
        for clique in across_tasks(scores).cliques
        for pair in itertools.combinations(clique, 2)
    }
    assert together == {frozenset(pair) for pair in itertools.combinations(range(6), 2) if p[pair] > 0.05}
    assert 0 < len(together) < 15


def test_parts_of_the_comparison():
    random = np.random.default_rng(9)
    scores = random.normal(size=(9, 3)) + np.array([0.0, 1.0, 1.0])
    scores[2, 1] = np.nan
    scores[4, :2] = 0.5
    found = across_tasks(scores)
    assert (found.blocks, found.variants, found.missing) == (9, 3, (0, 1, 0))
    assert found.means[0] == mean_interval(scores[:, 0])
    assert found.means[1] == mean_interval(np.delete(scores[:, 1], 2))
    assert [(duel.first, duel.second) for duel in found.duels] == [(0, 1), (0, 2), (1, 2)]
    p = holm_pairs(scores)
    for duel in found.duels:
        a, b = np.nan_to_num(scores[:, duel.first], nan=99.0), np.nan_to_num(scores[:, duel.second], nan=99.0)
        counts = (int((a < b).sum()), int((a == b).sum()), int((a > b).sum()))
        assert (duel.wins, duel.ties, duel.losses) == counts
        assert duel.p == p[duel.first, duel.second]
        assert duel.p_nemenyi == found.nemenyi[duel.first, duel.second]
    assert found.duels[1].p >= wilcoxon(scores[:, 0], scores[:, 2]).pvalue


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (1, 3), (4, 1), (4, 0)])
def test_too_few_have_no_test(shape: tuple[int, int]):
    found = across_tasks(np.ones(shape))
    assert (found.blocks, found.variants) == shape
    assert math.isnan(found.p_friedman)
    assert math.isnan(found.critical_difference)
    assert np.isnan(found.nemenyi).all()
    assert found.cliques == ()
    assert all(math.isnan(duel.p) for duel in found.duels)
    assert len(found.means) == shape[1]


def test_two_variants_over_blocks():
    found = across_tasks(np.array([[0.0, 1.0]] * 5 + [[1.0, 0.0]]))
    assert found.mean_ranks.tolist() == pytest.approx([7 / 6, 11 / 6])
    assert found.chi_square == pytest.approx(16 / 6)  # the sign test: (5 - 1)^2 / 6
    assert found.duels[0].wins == 5


def test_five_blocks_are_never_significant_by_wilcoxon():
    assert across_tasks(np.array([[0.0, 1.0]] * 5)).duels[0].p > 0.05
    assert across_tasks(np.array([[0.0, 1.0]] * 6)).duels[0].p < 0.05


def test_infinite_is_no_score():
    scores = np.array([[1.0, 2.0], [np.inf, 2.0], [1.0, 2.0]])
    found = across_tasks(scores)
    assert found.missing == (1, 0)
    assert found.means[0].mean == 1.0


def test_bad_input_is_named():
    with pytest.raises(ParameterError, match="scores"):
        across_tasks(np.ones(3))
    with pytest.raises(ParameterError, match="alpha"):
        across_tasks(np.ones((3, 2)), alpha=5.0)
    with pytest.raises(ParameterError, match="groups"):
        group_means(np.ones((3, 2)), ["a"])


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scikit_posthocs", None)
    with pytest.raises(ParameterError, match=r"hbsim\[report\]"):
        across_tasks(np.ones((3, 2)))


def test_groups_are_averaged_into_one_block():
    scores = np.array([[1.0, 2.0], [5.0, 6.0], [3.0, np.nan]])
    names, means = group_means(scores, ["b", "a", "b"])
    assert names == ("b", "a")
    assert np.array_equal(means, [[2.0, np.nan], [5.0, 6.0]], equal_nan=True)
    assert group_means(np.ones((0, 2)), [])[1].shape == (0, 2)


def test_seeds_are_averaged_into_one_number():
    scores = np.arange(30.0).reshape(10, 3)
    scores[0, 1] = np.nan
    scores[:2, 2] = np.nan  # two in ten
    assert MISSING == 0.1
    assert seed_means(scores).tolist() == pytest.approx([13.5, 16.0, math.nan], nan_ok=True)
    assert np.isnan(seed_means(np.ones((0, 2)))).all()
