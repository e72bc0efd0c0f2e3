"""Variants over tasks: against a published example, scipy, and naive doubles."""

from __future__ import annotations

import itertools
import math
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import PermutationMethod, friedmanchisquare, trim_mean, wilcoxon
from scipy.stats import f as f_distribution

from hbsim.bench.conclusions import mean_intervals
from hbsim.bench.over_tasks import (
    across_tasks,
    block_ranks,
    cliques,
    critical_difference,
    friedman,
    group_means,
    holm_pairs,
    improvements,
    interquartile_means,
    least_pairs,
    nemenyi,
    signed_rank,
)
from hbsim.errors import ParameterError
from tests.profile import examples, thorough

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
    """Section 3.1.3: C4.5 with m and without differ by Wilcoxon's test."""
    assert signed_rank((AUC[:, 1] - AUC[:, 0]).round(3)) < 0.05


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


@settings(max_examples=examples(40), deadline=None)
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


@settings(max_examples=examples(60), deadline=None)
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
    assert found.missing == (0, 1, 0)
    for variant, column in enumerate((scores[:, 0], np.delete(scores[:, 1], 2))):
        mean = found.means[variant]
        assert (mean.mean, mean.low, mean.high) == tuple(float(one) for one in mean_intervals(column))
    assert [(pair.first, pair.second) for pair in found.pairs] == [(0, 1), (0, 2), (1, 2)]
    p, p_nemenyi = holm_pairs(scores), nemenyi(block_ranks(scores))
    for pair in found.pairs:
        a, b = np.nan_to_num(scores[:, pair.first], nan=99.0), np.nan_to_num(scores[:, pair.second], nan=99.0)
        counts = (int((a < b).sum()), int((a == b).sum()), int((a > b).sum()))
        assert (pair.wins, pair.ties, pair.losses) == counts
        assert pair.p == p[pair.first, pair.second]
        assert pair.p_nemenyi == p_nemenyi[pair.first, pair.second]
    assert found.pairs[1].p >= wilcoxon(scores[:, 0], scores[:, 2]).pvalue


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (1, 3), (4, 1), (4, 0)])
def test_too_few_have_no_test(shape: tuple[int, int]):
    found = across_tasks(np.ones(shape))
    assert math.isnan(found.p_friedman)
    assert math.isnan(found.critical_difference)
    assert np.isnan(nemenyi(np.ones(shape))).all()
    assert found.cliques == ()
    assert all(math.isnan(pair.p) for pair in found.pairs)
    assert len(found.means) == shape[1]


def test_two_variants_over_blocks():
    scores = np.array([[0.0, 1.0]] * 5 + [[1.0, 0.0]])
    found = across_tasks(scores)
    assert found.mean_ranks.tolist() == pytest.approx([7 / 6, 11 / 6])
    assert friedman(block_ranks(scores))[0] == pytest.approx(16 / 6)  # the sign test: (5 - 1)^2 / 6
    assert found.pairs[0].wins == 5


def test_five_blocks_are_never_significant_by_wilcoxon():
    assert across_tasks(np.array([[0.0, 1.0]] * 5)).pairs[0].p > 0.05
    assert across_tasks(np.array([[0.0, 1.0]] * 6)).pairs[0].p < 0.05


def test_infinite_is_no_score():
    scores = np.array([[1.0, 2.0], [np.inf, 2.0], [1.0, 2.0]])
    found = across_tasks(scores)
    assert found.missing == (1, 0)
    assert found.means[0].mean == 1.0


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scikit_posthocs", None)
    with pytest.raises(ParameterError, match=r"\[report\]"):
        across_tasks(np.ones((3, 2)))


def test_groups_are_averaged_into_one_block():
    scores = np.array([[1.0, 2.0], [5.0, 6.0], [3.0, np.nan]])
    names, means = group_means(scores, ["b", "a", "b"])
    assert names == ("b", "a")
    assert np.array_equal(means, [[2.0, np.nan], [5.0, 6.0]], equal_nan=True)
    assert group_means(np.ones((0, 2)), [])[1].shape == (0, 2)


# Two variants


def naive_ranks(values: list[float]) -> list[float]:
    """Return mid-ranks of sizes: one more than half of what is smaller or the same, itself left out."""
    sizes = [abs(value) for value in values]
    return [1 + sum(s < one for s in sizes) + (sum(s == one for s in sizes) - 1) / 2 for one in sizes]


def naive_p(values: list[float]) -> float:
    """Return the share of all signs under which the rank sum is as far from its middle as it is."""
    ranks = [rank for rank, value in zip(naive_ranks(values), values, strict=True) if value]
    seen = sum(rank for rank, value in zip(naive_ranks(values), values, strict=True) if value > 0)
    middle = sum(ranks) / 2
    sums = [sum(itertools.compress(ranks, signs)) for signs in itertools.product((0, 1), repeat=len(ranks))]
    return sum(abs(one - middle) >= abs(seen - middle) for one in sums) / len(sums)


@settings(max_examples=examples(80), deadline=None)
@given(st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=9))
@example([0.0, 0.0])
@example([math.inf, -1.0, math.inf])
def test_p_counts_all_signs(values: list[float]):
    assert signed_rank(np.array(values)) == pytest.approx(naive_p(values), rel=1e-12)


@pytest.mark.parametrize("n", [6, 20, 50])
def test_p_is_scipys_exact_one_where_it_has_one(n: int):
    for seed in range(5):
        values = np.random.default_rng(seed).normal(0.2, size=n)
        assert signed_rank(values) == pytest.approx(wilcoxon(values, method="exact").pvalue, rel=1e-9)


def test_p_with_zeros_and_ties_is_scipys_permutation_test():
    values = np.array([0.0, 0.0, 0.0, 1.0, 1.0, -1.0, 2.0, 2.0, 3.0, 4.0, -2.0])
    expected = wilcoxon(values, zero_method="pratt", method=PermutationMethod()).pvalue
    assert signed_rank(values) == pytest.approx(expected, rel=1e-12)


def test_the_approximation_takes_over_smoothly():
    values = np.round(np.random.default_rng(3).normal(0.2, size=80), 1)
    values = values[values != 0.0][:52]
    assert len(values) == 52
    many, few = np.append(values, np.zeros(9)), np.append(values[:50], np.zeros(9))
    assert signed_rank(many) == wilcoxon(many, zero_method="pratt").pvalue
    assert signed_rank(few) == pytest.approx(wilcoxon(few, zero_method="pratt").pvalue, rel=0.05)


def test_infinite_differences_beyond_fifty():
    values = np.append(np.random.default_rng(4).normal(size=60), [math.inf, math.inf])
    large = np.where(np.isinf(values), 99.0, values)
    assert signed_rank(values) == signed_rank(large)


@given(n=st.integers(1, 5), zeros=st.integers(0, 60))
@settings(max_examples=examples(20), deadline=None)
@example(n=5, zeros=60)
def test_five_differences_are_never_significant_whatever_ties(n: int, zeros: int):
    values = np.append(np.arange(1.0, n + 1), np.zeros(zeros))
    assert signed_rank(values) == pytest.approx(2 / 2**n)
    assert signed_rank(values) > 0.05


@pytest.mark.parametrize("comparisons", [1, 3, 10, 28])
def test_least_pairs_are_the_first_that_can_be_significant(comparisons: int):
    n = least_pairs(comparisons)
    assert signed_rank(np.ones(n)) <= 0.05 / comparisons
    assert signed_rank(np.ones(n - 1)) > 0.05 / comparisons


def test_six_pairs_at_five_percent():
    assert least_pairs() == 6


def test_all_pairs_are_one_family():
    from statsmodels.stats.multitest import multipletests

    scores = np.random.default_rng(7).normal(size=(12, 3)) + np.arange(3)
    p = [signed_rank(scores[:, i] - scores[:, j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    found = holm_pairs(scores)
    expected = multipletests(p, method="holm")[1].tolist()
    assert [found[0, 1], found[0, 2], found[1, 2]] == pytest.approx(expected)
    assert np.array_equal(found, found.T, equal_nan=True)
    assert np.isnan(np.diag(found)).all()


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (5, 1), (5, 0)])
def test_no_pairs_to_test(shape: tuple[int, int]):
    found = holm_pairs(np.ones(shape))
    assert found.shape == (shape[1], shape[1])
    assert np.isnan(found).all()


# How often the tests reject

REPEATS = 100


def at_most(share: float, repeats: int = REPEATS) -> float:
    """Return the most rejections that chance allows a test of that rate: three standard deviations."""
    return share * repeats + 3 * math.sqrt(repeats * share * (1 - share))


def tasks(random: np.random.Generator) -> np.ndarray:
    """Ten tasks, 20 seeds, four variants: each is better on some tasks, and none on all."""
    level, taste = random.normal(size=(10, 1, 1)), random.normal(size=(10, 1, 4))
    return level + taste + 0.3 * random.normal(size=(10, 20, 4))


@thorough
def test_seeds_are_no_tasks():
    """Counting seeds as blocks finds differences that are there on these tasks only."""
    random = np.random.default_rng(15)
    by_task = pairs_by_task = by_seed = 0
    few = 60  # permutations take a while
    for _ in range(few):
        scores = tasks(random)
        means = scores.mean(axis=1)
        by_task += friedman(block_ranks(means))[2] <= 0.05
        pairs_by_task += np.nanmin(holm_pairs(means)) <= 0.05
        by_seed += friedman(block_ranks(scores.reshape(-1, 4)))[2] <= 0.05
    assert max(by_task, pairs_by_task) <= at_most(0.05, few)
    assert by_seed >= 0.6 * few


@pytest.mark.parametrize(
    ("blocks", "variants"),
    [(3, 3), (12, 5), *(pytest.param(*one, marks=thorough) for one in ((5, 3), (4, 6)))],
)
def test_of_few_tasks_none_are_called_too_often(blocks: int, variants: int):
    random = np.random.default_rng(17)
    false = false_nemenyi = 0
    for _ in range(REPEATS):
        ranks = block_ranks(random.normal(size=(blocks, variants)))
        false += friedman(ranks)[2] <= 0.05
        false_nemenyi += np.ptp(ranks.mean(axis=0)) >= critical_difference(blocks, variants)
    assert max(false, false_nemenyi) <= at_most(0.05)


def test_a_difference_on_all_tasks_is_found():
    random = np.random.default_rng(16)
    scores = tasks(random).mean(axis=1) + np.array([0.0, 0.0, 0.0, 3.0])
    found = across_tasks(scores)
    assert found.p_friedman < 0.01
    assert found.mean_ranks.argmax() == 3
    assert all((3 in (pair.first, pair.second)) == (pair.p <= 0.05) for pair in found.pairs)


# All studies of all tasks


@settings(max_examples=examples(20), deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_over_studies_it_is_what_a_loop_says(seed: int, count: int, k: int, tied: bool):
    random = np.random.default_rng(seed)
    made = [random.lognormal(size=(int(random.integers(1, 9)), k)) for _ in range(count)]
    if tied:
        made = [one.round() for one in made]
    for variant, found in enumerate(interquartile_means(made)):
        everything = np.concatenate([one[:, variant] for one in made])
        assert found.mean == pytest.approx(trim_mean(everything, 0.25))
        assert everything.min() - 1e-9 <= found.low <= found.high <= everything.max() + 1e-9
    better = improvements(made)
    for first in range(k):
        for second in range(k):
            chances = [
                np.mean([[(x < y) + (x == y) / 2 for y in one[:, second]] for x in one[:, first]])
                for one in made
            ]
            found = better[first][second]
            assert found.mean == pytest.approx(np.mean(chances))
            assert -1e-9 <= found.low <= found.high <= 1 + 1e-9
            assert found.mean + better[second][first].mean == pytest.approx(1.0)
    assert interquartile_means(made) == interquartile_means(made)


def test_intervals_over_studies_hold_the_truth():
    random = np.random.default_rng(21)
    truth = random.lognormal(size=(2, 50_000, 2)) * [[[1.0, 1.2]], [[2.0, 3.0]]]
    mean = trim_mean(truth[:, :, 0].ravel(), 0.25)
    chance = np.mean([(one[:, 0] < one[:, 1]).mean() for one in truth])
    held = np.zeros(2)
    for _ in range(20):
        made = [random.lognormal(size=(30, 2)) * scale for scale in ([1.0, 1.2], [2.0, 3.0])]
        middle, better = interquartile_means(made)[0], improvements(made)[0][1]
        held += middle.low <= mean <= middle.high, better.low <= chance <= better.high
    assert (held >= 16).all()  # 19 expected
    assert (held < 20).any()


def test_studies_without_a_score_are_worse_than_any():
    nan = np.nan
    made = [np.array([[1.0, nan], [2.0, nan], [3.0, 1.0], [nan, 2.0]])]
    assert interquartile_means(made)[0].mean == 2.5
    assert math.isnan(interquartile_means(made)[1].mean)
    assert improvements(made)[0][1].mean == 9 / 16
