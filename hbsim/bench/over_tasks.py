"""Tests of variants over independent tasks, one score a task and variant: docs/explanation/statistics.md."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

import numpy as np

from hbsim.bench.conclusions import ALPHA, Interval, mean_intervals
from hbsim.errors import ParameterError, needs
from hbsim.surrogates.protocol import Floats

_COUNTED: Final = 50  # the most differences for which all combinations of signs are counted
_MANY: Final = 10  # the fewest blocks for which Iman and Davenport's F is accurate enough
_PERMUTATIONS: Final = 9_999
_RESAMPLES: Final = 500
_SIDES: Final[tuple[Literal["left", "right"], ...]] = ("left", "right")
_SEED: Final = 0  # the seed of permutations and resamples: the same scores give the same numbers


@dataclass(frozen=True)
class Pair:
    """A comparison of two variants, block by block.

    Attributes
    ----------
    first, second : int
        Their indices; `first` is the lesser.
    wins, ties, losses : int
        Blocks in which the first is better, the same, and worse.
    p : float
        As `holm_pairs` returns it; NaN for fewer than two blocks.
    p_nemenyi : float
        As `nemenyi` returns it, corrected as well; NaN for fewer than two blocks.
    """

    first: int
    second: int
    wins: int
    ties: int
    losses: int
    p: float
    p_nemenyi: float


@dataclass(frozen=True)
class AcrossTasks:
    """A comparison of all variants over blocks.

    Attributes
    ----------
    means : tuple of Interval
        For each variant, over the blocks in which it has a score; the interval is Student's, over blocks.
    missing : tuple of int
        For each variant, the blocks in which it has none.
    mean_ranks : array, shape (k,)
        NaN without blocks.
    p_friedman : float
        As `friedman` returns it.
    critical_difference : float
        Nemenyi's.
    cliques : tuple of tuples of int
        Indices of variants that are not told apart, by mean rank.
    pairs : tuple of Pair
        Every pair, in the order of `itertools.combinations`.
    """

    means: tuple[Interval, ...]
    missing: tuple[int, ...]
    mean_ranks: Floats
    p_friedman: float
    critical_difference: float
    cliques: tuple[tuple[int, ...], ...]
    pairs: tuple[Pair, ...]


def across_tasks(scores: Floats) -> AcrossTasks:
    """Compare all variants over independent blocks.

    As J. Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, 2006, recommends:
    Friedman's test in the form of Iman and Davenport, Nemenyi's for all pairs (both in section 3.2.2), and
    Wilcoxon's signed-rank test for two (section 3.1.3), Holm-corrected.

    A block is one number a variant: seeds of one task are no blocks, and tasks that
    depend on each other are one (see `group_means`). Fewer than 2 blocks have no test. Wilcoxon's test of
    fewer than 6 cannot be significant at 0.05, and with more variants it takes more; see `least_pairs`.
    Nemenyi's is an approximation for many blocks; with few it rejects less often than it may.

    Parameters
    ----------
    scores : array, shape (g, k)
        A row a block, a column a variant; less is better. NaN, no score, is worse than any.

    Raises
    ------
    ParameterError
        The extra ``report`` is not installed.
    """
    scores = np.where(np.isfinite(scores), scores, np.nan)
    g, k = scores.shape
    ranks = block_ranks(scores)
    mean_ranks = ranks.mean(axis=0) if g else np.full(k, np.nan)
    difference = critical_difference(g, k)
    return AcrossTasks(
        means=tuple(_student(column[~np.isnan(column)]) for column in scores.T),
        missing=tuple(int(count) for count in np.isnan(scores).sum(axis=0)),
        mean_ranks=mean_ranks,
        p_friedman=friedman(ranks)[2],
        critical_difference=difference,
        cliques=cliques(mean_ranks, difference),
        pairs=_pairs(scores, nemenyi(ranks)),
    )


def _pairs(scores: Floats, p_nemenyi: Floats) -> tuple[Pair, ...]:
    p, pairs = holm_pairs(scores), []
    for first, second in combinations(range(scores.shape[1]), 2):
        difference = paired_differences(scores[:, first], scores[:, second])
        wins, losses = int((difference < 0).sum()), int((difference > 0).sum())
        ties, at = len(difference) - wins - losses, (first, second)
        pairs.append(Pair(first, second, wins, ties, losses, float(p[at]), float(p_nemenyi[at])))
    return tuple(pairs)


def group_means(scores: Floats, groups: list[str]) -> tuple[tuple[str, ...], Floats]:
    """Return one block a group of tasks: the means of their scores.

    Parameters
    ----------
    scores : array, shape (t, k)
        A row a task, a column a variant; NaN for no score.
    groups : list of str, length t
        Each task's group.

    Returns
    -------
    groups : tuple of str
        The g groups, as they first appear.
    scores : array, shape (g, k)
        NaN where a variant has no score in some task of the group: all variants are averaged over the same
        tasks, since tasks differ in level.
    """
    names = tuple(dict.fromkeys(groups))
    of_each = np.array([names.index(group) for group in groups], dtype=np.int64)
    rows = [scores[of_each == index].mean(axis=0) for index in range(len(names))]
    return names, np.array(rows, dtype=np.float64).reshape(len(names), scores.shape[1])


def block_ranks(scores: Floats) -> Floats:
    """Return the ranks within each block, 1 for the least score, shape (g, k).

    Ties share their mean rank. NaN ranks last, and several NaN are tied.
    """
    from scipy.stats import rankdata

    last = np.where(np.isnan(scores), np.inf, scores)
    return np.asarray(rankdata(last, axis=1), dtype=np.float64).reshape(np.shape(scores))


def friedman(ranks: Floats) -> tuple[float, float, float]:
    """Test whether all variants rank the same.

    M. Friedman, "The Use of Ranks to Avoid the Assumption of Normality Implicit in the Analysis of Variance",
    JASA 32(200), 1937, corrected for ties (W. J. Conover, "Practical Nonparametric Statistics", 3rd ed.,
    1999, section 5.8), and R. L. Iman and J. M. Davenport, "Approximations of the Critical Region of the
    Friedman Statistic", Communications in Statistics A9(6), 1980. `scipy.stats.friedmanchisquare` has the
    first only, and not for two variants.

    For fewer than 10 blocks the F distribution is too inaccurate: three equal variants would be told apart
    on 3 blocks in one of five cases. There, p counts how many of 9,999 random orders within the
    blocks lead to ranks as uneven; the seed is fixed.

    Parameters
    ----------
    ranks : array, shape (g, k)
        As `block_ranks` returns them.

    Returns
    -------
    chi_square, f, p : float
        Friedman's statistic, Iman and Davenport's, and the p-value. NaN for fewer than two blocks or
        variants. If all ranks are the same, 0, 0 and 1. If all blocks have the same order, f is infinite, and
        p is the chance of that: (1/k!)^(g - 1), without ties.
    """
    from scipy.stats import f as f_distribution

    g, k = ranks.shape
    if g < 2 or k < 2:
        return math.nan, math.nan, math.nan
    middle = (k + 1) / 2
    spread = float(((ranks - middle) ** 2).sum())  # 0 if all variants are tied in each block
    if spread == 0.0:
        return 0.0, 0.0, 1.0
    between = g * float(((ranks.mean(axis=0) - middle) ** 2).sum())
    chi_square = (k - 1) * g * between / spread
    if (ranks == ranks[0]).all():
        return chi_square, math.inf, _chance_of_one_order(ranks)
    f = (g - 1) * chi_square / (g * (k - 1) - chi_square)
    p = float(f_distribution.sf(f, k - 1, (g - 1) * (k - 1))) if g >= _MANY else _permuted(ranks)
    return chi_square, f, p


def _permuted(ranks: Floats) -> float:
    twice = np.rint(2 * ranks).astype(np.int64)  # whole numbers even for ties, so that sums are exact
    orders = np.broadcast_to(twice, (_PERMUTATIONS, *ranks.shape))
    orders = np.random.default_rng(_SEED).permuted(orders, axis=2)
    seen = int((twice.sum(axis=0) ** 2).sum())
    as_uneven = np.count_nonzero((orders.sum(axis=1) ** 2).sum(axis=1) >= seen)
    return (1 + int(as_uneven)) / (1 + _PERMUTATIONS)


def _chance_of_one_order(ranks: Floats) -> float:
    g, k = ranks.shape
    _, tied = np.unique(ranks[0], return_counts=True)
    orders = math.factorial(k) // math.prod(math.factorial(int(size)) for size in tied)
    return math.pow(orders, 1 - g)


def nemenyi(ranks: Floats) -> Floats:
    """Return the p-values of all pairs of variants, shape (k, k), 1 on the diagonal.

    P. Nemenyi, "Distribution-free Multiple Comparisons", 1963, as `scikit_posthocs` has it: corrected for all
    pairs. NaN for fewer than two blocks or variants.

    Parameters
    ----------
    ranks : array, shape (g, k)
        As `block_ranks` returns them.

    Raises
    ------
    ParameterError
        The extra ``report`` is not installed.
    """
    g, k = ranks.shape
    if g < 2 or k < 2:
        return np.full((k, k), np.nan)
    _need_report("scikit_posthocs")
    from scikit_posthocs import posthoc_nemenyi_friedman

    return np.array(posthoc_nemenyi_friedman(ranks), dtype=np.float64)


def critical_difference(blocks: int, variants: int, alpha: float = ALPHA) -> float:
    """Return by how much two mean ranks must differ for Nemenyi's test to tell them apart.

    q_alpha sqrt(k(k + 1)/(6g)), as in J. Demsar, "Statistical Comparisons of Classifiers over Multiple Data
    Sets", JMLR 7, 2006, section 3.2.2. NaN for fewer than two blocks or variants.

    Parameters
    ----------
    blocks, variants : int
        g and k.
    alpha : float
        The level.
    """
    if blocks < 2 or variants < 2:
        return math.nan
    from scipy.stats import studentized_range

    q = float(studentized_range.isf(alpha, variants, np.inf)) / math.sqrt(2)
    return q * math.sqrt(variants * (variants + 1) / (6 * blocks))


def cliques(mean_ranks: Floats, difference: float) -> tuple[tuple[int, ...], ...]:
    """Return the largest groups of variants that are not told apart: the bars of Demsar's diagram.

    Parameters
    ----------
    mean_ranks : array, shape (k,)
        The mean ranks of the variants.
    difference : float
        `critical_difference`; if it is NaN there are no groups.

    Returns
    -------
    tuple of tuples of int
        Indices of two or more variants, by mean rank. All of a group lie less than `difference` apart;
        no group lies inside another.
    """
    order = np.argsort(mean_ranks, kind="stable")
    sorted_ranks = np.asarray(mean_ranks)[order]
    found: list[tuple[int, ...]] = []
    reached = 0  # the end of the last group
    for start, rank in enumerate(sorted_ranks):
        end = start + int((sorted_ranks[start:] - rank < difference).sum())
        if end - start > 1 and end > reached:
            found.append(tuple(int(index) for index in order[start:end]))
            reached = end
    return tuple(found)


def holm_pairs(scores: Floats) -> Floats:
    """Return the p of `signed_rank` of every pair of variants, Holm-corrected over all pairs.

    S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics
    6(2), 1979, as statsmodels has it. All pairs count, also where only those with the best variant are
    shown, because the same scores decided which variant is the best.

    Parameters
    ----------
    scores : array, shape (g, k)
        A row an independent block, a column a variant. Less is better, NaN is worse than any.

    Returns
    -------
    array, shape (k, k)
        Symmetric; NaN on the diagonal, and everywhere for fewer than two rows.

    Raises
    ------
    ParameterError
        The extra ``report`` is not installed.
    """
    scores = np.asarray(scores, dtype=np.float64)
    g, k = scores.shape
    corrected = np.full((k, k), np.nan)
    if g < 2 or k < 2:
        return corrected
    _need_report("statsmodels")
    from statsmodels.stats.multitest import multipletests

    first, second = np.triu_indices(k, 1)
    pairs = zip(first, second, strict=True)
    p = [signed_rank(paired_differences(scores[:, one], scores[:, other])) for one, other in pairs]
    corrected[first, second] = corrected[second, first] = multipletests(p, method="holm")[1]
    return corrected


def paired_differences(a: Floats, b: Floats) -> Floats:
    """Return a - b, shape (n,): infinite where only one has a score, 0 where neither has.

    A missing score is worse than any, so such a seed counts as the largest difference.
    """
    none, none_other = ~np.isfinite(a), ~np.isfinite(b)
    with np.errstate(invalid="ignore"):
        differences = a - b
    differences[none], differences[none_other] = math.inf, -math.inf
    differences[none & none_other] = 0.0
    return differences


def signed_rank(differences: Floats) -> float:
    """Return the two-sided p-value for the hypothesis that either sign of each difference is equally likely.

    F. Wilcoxon, "Individual Comparisons by Ranking Methods", Biometrics Bulletin 1(6), 1945, with zeros as in
    J. W. Pratt, "Remarks on Zeros and Ties in the Wilcoxon Signed Rank Procedures", JASA 54(287), 1959. Up to
    50 differences other than 0, p is exact: all combinations of signs are counted. Beyond, p is scipy's.

    Parameters
    ----------
    differences : array, shape (n,)
        Without NaN. Infinite ones have the highest rank and are tied.

    Returns
    -------
    float
        1 if all are 0, NaN if there are none.
    """
    from scipy.stats import rankdata, wilcoxon

    if not len(differences):
        return math.nan
    ranks = rankdata(np.abs(differences)) * np.sign(differences)  # finite ranks, tied for infinite values
    there = np.abs(ranks[ranks != 0.0])
    if len(there) > _COUNTED:
        return float(wilcoxon(ranks, zero_method="pratt").pvalue)
    # scipy counts signs too, but not with ties, and it may take minutes.
    twice = np.rint(2 * there).astype(np.int64)  # doubled, since ties may have half ranks
    chance = np.zeros(twice.sum() + 1)  # the count of each sum of positive ranks
    chance[0] = 1.0
    for rank in twice:
        chance[rank:] += chance[: len(chance) - rank].copy()
        chance /= 2
    least = 2 * min(ranks[ranks > 0].sum(), -ranks[ranks < 0].sum())
    return min(1.0, 2.0 * math.fsum(chance[: round(least) + 1]))


def least_pairs(comparisons: int = 1) -> int:
    """Return the least number of pairs, all of one sign, with which Wilcoxon's test can be significant.

    That is the least n with 2/2^n <= `ALPHA` / comparisons: 6 for one comparison.

    Parameters
    ----------
    comparisons : int
        The number of comparisons that Holm corrects for.
    """
    return 1 + math.ceil(math.log2(max(comparisons, 1) / ALPHA))


def interquartile_means(tasks: Sequence[Floats]) -> tuple[Interval, ...]:
    """Return the interquartile mean of each variant over all studies of all tasks, and its 95 % interval.

    The mean of the middle half of the scores is robust to a few bad studies or easy tasks (R. Agarwal
    and others, "Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021, section
    4). The interval is a percentile bootstrap that draws studies within each task, so it is about other
    seeds of these tasks, not about other tasks.

    Parameters
    ----------
    tasks : sequence of array, shape (n, k)
        The scores of each task, a row a study, a column a variant: numbers that tasks share, as normalised
        regrets. NaN, no score, is worse than any; where it is in the middle half there is no mean.
    """
    scores = _tasks(tasks)
    random = np.random.default_rng(_SEED)
    picks = [random.integers(0, len(one), (_RESAMPLES, len(one))) for one in scores]
    found = []
    for variant in range(scores[0].shape[1]):
        columns = [one[:, variant] for one in scores]
        drawn = np.concatenate([one[at] for one, at in zip(columns, picks, strict=True)], axis=1)
        found.append(_interval(_middle_mean(np.concatenate(columns)), _middle_mean(drawn)))
    return tuple(found)


def improvements(tasks: Sequence[Floats]) -> tuple[tuple[Interval, ...], ...]:
    """Return the probability that a study of one variant has a lower score than a study of another.

    The two studies are drawn independently from one task, and ties count half. The result is the mean over
    tasks, with an interval as in `interquartile_means` (Agarwal and others, section 4).

    Parameters
    ----------
    tasks : sequence of array, shape (n, k)
        As in `interquartile_means`.

    Returns
    -------
    tuple of tuple of Interval
        The probability for each variant over each other one.
    """
    scores = _tasks(tasks)
    k = scores[0].shape[1]
    random = np.random.default_rng(_SEED)
    means = np.zeros((k, k, 1 + _RESAMPLES))
    for one in scores:
        n = len(one)
        picks = random.integers(0, n, (_RESAMPLES, n))
        counts = [np.ones(n), *(np.bincount(row, minlength=n) for row in picks)]  # first: all studies
        shares = np.stack(counts) / n
        for second in range(k):
            order = np.argsort(one[:, second])
            below = np.cumsum(np.pad(shares[:, order], ((0, 0), (1, 0))), axis=1)
            for first in range(k):
                left, right = (np.searchsorted(one[order, second], one[:, first], side) for side in _SIDES)
                better = 1.0 - (below[:, left] + below[:, right]) / 2
                means[first, second] += (better * shares).sum(axis=1) / len(scores)
    found = [[_interval(pair[:1], pair[1:]) for pair in row] for row in means]
    return tuple(map(tuple, found))


def _tasks(tasks: Sequence[Floats]) -> list[Floats]:
    """Return the scores of each task, infinite where a score is missing."""
    return [np.where(np.isfinite(one), one, np.inf) for one in tasks]


def _middle_mean(scores: Floats) -> Floats:
    """Return the mean of the middle half along the last axis: a quarter is cut off at each end."""
    n = scores.shape[-1]
    middle: Floats = np.sort(scores, axis=-1)[..., n // 4 : n - n // 4].mean(axis=-1)
    return middle


def _interval(seen: Floats, drawn: Floats) -> Interval:
    mean = float(np.squeeze(seen))
    if not math.isfinite(mean):
        return Interval(math.nan, math.nan, math.nan)
    low, high = np.quantile(drawn, (0.025, 0.975), method="closest_observation").tolist()
    return Interval(mean, low, high)


def _student(data: Floats) -> Interval:
    return Interval(*(float(one) for one in mean_intervals(data)))


def _need_report(package: str) -> None:
    """Raise a ParameterError if a package of the extra `report` is missing."""
    try:
        importlib.import_module(package)
    except ImportError:
        rule = f"a test over tasks {needs(package, 'report')}"
        raise ParameterError(package, "not installed", rule) from None
