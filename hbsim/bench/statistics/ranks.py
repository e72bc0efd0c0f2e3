"""Ranks of variants over independent tasks: Friedman's and Nemenyi's tests, and who is not told apart."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from hbsim.bench.statistics.checks import need_report
from hbsim.surrogates.protocol import Floats

__all__ = ["block_ranks", "cliques", "critical_difference", "friedman", "nemenyi"]

_MANY: Final = 10  # blocks, from which on Iman and Davenport's F is near enough
_PERMUTATIONS: Final = 9_999
_SEED: Final = 0  # of the permutations: the same ranks give the same p


def block_ranks(scores: Floats) -> Floats:
    """Return the ranks within each block, 1 for the least score, shape (g, k).

    Ties share their mean rank; NaN comes last, and is tied with NaN.
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

    For fewer than 10 blocks the F distribution is not near enough: three variants that are the same would be
    told apart on 3 blocks in one of five cases. There, p counts how many of 9,999 random orders within the
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
    spread = float(((ranks - middle) ** 2).sum())  # 0 if all are tied in each block
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
    twice = np.rint(2 * ranks).astype(np.int64)  # whole also where tied, so that sums are exact
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
    need_report("scikit_posthocs")
    from scikit_posthocs import posthoc_nemenyi_friedman

    return np.array(posthoc_nemenyi_friedman(ranks), dtype=np.float64)


def critical_difference(blocks: int, variants: int, alpha: float = 0.05) -> float:
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
        Of the variants.
    difference : float
        `critical_difference`; if it is NaN there are no groups.

    Returns
    -------
    tuple of tuples of int
        Indices of two or more variants, by mean rank. All of a group lie less than `difference` apart, and no
        group lies inside another.
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
