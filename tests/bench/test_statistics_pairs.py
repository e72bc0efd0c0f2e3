"""Pairs of seeds: tests and effect sizes against naive doubles that count every sign."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import PermutationMethod, wilcoxon
from statsmodels.stats.multitest import multipletests

from hbsim.bench.statistics import (
    Interval,
    Pair,
    compare_pairs,
    holm,
    holm_pairs,
    least_pairs,
    paired_differences,
    signed_rank,
    verdict,
)
from hbsim.errors import ParameterError

few = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=9)
score = st.one_of(st.just(math.nan), st.integers(0, 5).map(float))


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


@settings(max_examples=80, deadline=None)
@given(few)
@example([0.0, 0.0])
@example([math.inf, -1.0, math.inf])
def test_p_counts_all_signs(values: list[float]):
    found = signed_rank(np.array(values))
    ranks = naive_ranks(values)
    assert found.p == pytest.approx(naive_p(values), rel=1e-12)
    assert found.plus == sum(rank for rank, value in zip(ranks, values, strict=True) if value > 0)
    assert found.minus == sum(rank for rank, value in zip(ranks, values, strict=True) if value < 0)
    assert found.total == sum(ranks)


@pytest.mark.parametrize("n", [6, 20, 50])
def test_p_is_scipys_exact_one_where_it_has_one(n: int):
    for seed in range(5):
        values = np.random.default_rng(seed).normal(0.2, size=n)
        assert signed_rank(values).p == pytest.approx(wilcoxon(values, method="exact").pvalue, rel=1e-9)


def test_p_with_zeros_and_ties_is_scipys_permutation_test():
    values = np.array([0.0, 0.0, 0.0, 1.0, 1.0, -1.0, 2.0, 2.0, 3.0, 4.0, -2.0])
    expected = wilcoxon(values, zero_method="pratt", method=PermutationMethod()).pvalue
    assert signed_rank(values).p == pytest.approx(expected, rel=1e-12)


def test_the_approximation_takes_over_smoothly():
    values = np.round(np.random.default_rng(3).normal(0.2, size=80), 1)
    values = values[values != 0.0][:52]
    assert len(values) == 52
    many, few = np.append(values, np.zeros(9)), np.append(values[:50], np.zeros(9))
    assert signed_rank(many).p == wilcoxon(many, zero_method="pratt").pvalue
    assert signed_rank(few).p == pytest.approx(wilcoxon(few, zero_method="pratt").pvalue, rel=0.05)


def test_infinite_differences_beyond_fifty():
    values = np.append(np.random.default_rng(4).normal(size=60), [math.inf, math.inf])
    large = np.where(np.isinf(values), 99.0, values)
    assert signed_rank(values) == signed_rank(large)


@given(n=st.integers(1, 5), zeros=st.integers(0, 60))
@settings(max_examples=20, deadline=None)
@example(n=5, zeros=60)
def test_five_differences_are_never_significant_whatever_ties(n: int, zeros: int):
    values = np.append(np.arange(1.0, n + 1), np.zeros(zeros))
    assert signed_rank(values).p == pytest.approx(2 / 2**n)
    assert signed_rank(values).p > 0.05


@pytest.mark.parametrize(("alpha", "comparisons"), [(0.05, 1), (0.05, 3), (0.05, 10), (0.01, 1), (0.5, 1)])
def test_least_pairs_are_the_first_that_can_be_significant(alpha: float, comparisons: int):
    n = least_pairs(alpha, comparisons)
    assert signed_rank(np.ones(n)).p <= alpha / comparisons
    assert signed_rank(np.ones(n - 1)).p > alpha / comparisons


def test_six_pairs_at_five_percent():
    assert least_pairs() == 6


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(score, score), min_size=1, max_size=8))
def test_a_pair_is_what_a_naive_count_says(rows: list[tuple[float, float]]):
    a, b = np.array(rows).T
    found = compare_pairs(a, b)
    worse = [0.0 if math.isnan(x) and math.isnan(y) else 99.0 if math.isnan(x) else -99.0 if math.isnan(y)
             else x - y for x, y in rows]  # fmt: skip
    both = [x - y for x, y in rows if not math.isnan(x - y)]
    assert (found.n, found.scored) == (len(rows), len(both))
    assert found.wins == sum(d < 0 for d in worse)
    assert found.losses == sum(d > 0 for d in worse)
    assert found.wins + found.ties + found.losses == found.n
    assert found.p == pytest.approx(naive_p(worse), rel=1e-12)
    signed = sum(math.copysign(rank, d) for rank, d in zip(naive_ranks(worse), worse, strict=True) if d)
    assert found.rank_biserial == pytest.approx(signed / sum(naive_ranks(worse)))
    assert found.superiority == pytest.approx(sum((d < 0) + (d == 0) / 2 for d in worse) / len(rows))
    assert found.missing == sum(math.isnan(x) for x, _ in rows)
    assert found.missing_other == sum(math.isnan(y) for _, y in rows)
    if both:
        assert found.difference.mean == pytest.approx(sum(both) / len(both))


def test_swapping_the_two_turns_everything_round():
    random = np.random.default_rng(5)
    a, b = random.normal(size=(2, 15)).round(1)
    a[3] = b[4] = np.nan
    one, other = compare_pairs(a, b), compare_pairs(b, a)
    assert one.p == other.p
    assert (one.wins, one.losses) == (other.losses, other.wins)
    assert one.rank_biserial == -other.rank_biserial
    assert one.d_z == pytest.approx(-other.d_z)
    assert one.superiority == pytest.approx(1 - other.superiority)


def test_kerbys_figures():
    """Ranks 1 to 5 against, and 6 to 10 for: 15/55 and 40/55."""
    differences = np.append(np.arange(1.0, 6.0), -np.arange(6.0, 11.0))
    assert compare_pairs(differences, np.zeros(10)).rank_biserial == pytest.approx((15 - 40) / 55)


def test_no_difference_at_all():
    found = compare_pairs(np.array([1.0, 2.0, np.nan]), np.array([1.0, 2.0, np.nan]))
    assert (found.p, found.ties, found.rank_biserial, found.d_z) == (1.0, 3, 0.0, 0.0)
    assert found.difference == Interval(0.0, 0.0, 0.0)
    assert verdict(found, found.p) == "too close to call"


def test_no_seeds():
    found = compare_pairs(np.empty(0), np.empty(0))
    assert math.isnan(found.p)
    assert math.isnan(found.rank_biserial)
    assert verdict(found, found.p) == "no score"


def test_effects_of_one_and_of_equal_differences():
    assert math.isnan(compare_pairs(np.array([2.0]), np.array([1.0])).d_z)
    assert compare_pairs(np.full(4, 2.0), np.full(4, 1.0)).d_z == math.inf


def test_other_lengths_are_refused():
    with pytest.raises(ParameterError, match="same length as a"):
        compare_pairs(np.zeros(3), np.zeros(4))


@pytest.mark.parametrize("shift", [0.5, -0.5])
def test_a_verdict_needs_the_corrected_p(shift: float):
    random = np.random.default_rng(6)
    b = random.normal(size=12)
    found = compare_pairs(b + shift + 0.01 * random.normal(size=12), b)
    word = "worse" if shift > 0 else "better"
    assert verdict(found, 0.05) == word
    assert verdict(found, 0.0501) == "too close to call"
    assert verdict(found, 0.02, alpha=0.01) == "too close to call"
    assert verdict(found, math.nan) == "too close to call"


def test_a_mean_on_the_other_side_is_too_close_to_call():
    """Worse in most seeds, but in one so much better that the mean is."""
    found = compare_pairs(np.append(np.full(19, 0.1), -30.0), np.zeros(20))
    assert found.p < 0.05
    assert found.rank_biserial > 0 > found.difference.mean
    assert verdict(found, found.p) == "too close to call"


def test_missing_scores_are_worse_than_any():
    a, b = np.zeros(20), np.ones(20)
    a[:15] = np.nan
    found = compare_pairs(a, b)
    assert found.difference.mean == -1.0
    assert verdict(found, found.p) == "worse"
    back = compare_pairs(b, a)
    assert verdict(back, back.p) == "better"


def test_no_score_in_any_seed():
    found = compare_pairs(np.full(9, np.nan), np.zeros(9))
    assert found.p < 0.05
    assert verdict(found, found.p) == "no score"


def test_missing_against_missing_is_a_tie():
    nan = np.nan
    assert paired_differences(np.array([nan, nan, 1.0]), np.array([nan, 2.0, nan])).tolist() == [
        0.0,
        math.inf,
        -math.inf,
    ]


def naive_holm(p: list[float]) -> list[float]:
    """Return for each p the least level at which Holm's steps, done one by one, reject it."""
    out = []
    for index in range(len(p)):
        level = 0.0
        for step, other in enumerate(sorted(range(len(p)), key=p.__getitem__)):
            level = max(level, min(1.0, (len(p) - step) * p[other]))
            if other == index:
                break
        out.append(level)
    return out


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), max_size=7))
def test_holm_steps(p: list[float]):
    found = holm(np.array(p))
    there = [one for one in p if not math.isnan(one)]
    assert found[~np.isnan(p)].tolist() == pytest.approx(naive_holm(there))
    assert np.isnan(found).tolist() == np.isnan(p).tolist() if p else len(found) == 0


def test_all_pairs_are_one_family():
    scores = np.random.default_rng(7).normal(size=(12, 3)) + np.arange(3)
    p = [signed_rank(scores[:, i] - scores[:, j]).p for i, j in ((0, 1), (0, 2), (1, 2))]
    found = holm_pairs(scores)
    assert [found[0, 1], found[0, 2], found[1, 2]] == pytest.approx(naive_holm(p))
    assert np.array_equal(found, found.T, equal_nan=True)
    assert np.isnan(np.diag(found)).all()


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (5, 1), (5, 0)])
def test_no_pairs_to_test(shape: tuple[int, int]):
    found = holm_pairs(np.ones(shape))
    assert found.shape == (shape[1], shape[1])
    assert np.isnan(found).all()


def test_holm_is_that_of_statsmodels():
    p = np.random.default_rng(8).uniform(size=12) ** 4
    assert holm(p).tolist() == pytest.approx(multipletests(p, method="holm")[1].tolist())


@pytest.mark.parametrize("alpha", [0.0, 1.0, math.nan])
def test_a_level_that_is_none(alpha: float):
    pair = Pair(1, 1, 0, 0, Interval(0.0, 0.0, 0.0), 1.0, 0, 1, 0, 0.0, 0.0, 0.5)
    with pytest.raises(ParameterError, match="alpha"):
        verdict(pair, 1.0, alpha)
    with pytest.raises(ParameterError, match="alpha"):
        least_pairs(alpha)


def test_importing_the_statistics_loads_no_statistics_library():
    code = "import sys, hbsim.bench.statistics; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"scipy", "statsmodels", "scikit_posthocs", "pandas"}
