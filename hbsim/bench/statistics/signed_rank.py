"""Wilcoxon's signed-rank test of paired differences, with Pratt's zeros, exact for few differences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from hbsim.bench.statistics.checks import check_share
from hbsim.surrogates.protocol import Floats

__all__ = ["SignedRank", "least_pairs", "signed_rank"]

_EXACT: Final = 50  # differences other than 0, up to which all their signs are counted


@dataclass(frozen=True)
class SignedRank:
    """Wilcoxon's test.

    Attributes
    ----------
    p : float
        Two-sided, of the hypothesis that every difference is as likely to have either sign; 1 if all are 0,
        NaN if there are none.
    plus, minus : float
        The sums of the ranks of the differences above and below 0.
    total : float
        The sum of all ranks, those of the zeros included: n(n + 1)/2.
    """

    p: float
    plus: float
    minus: float
    total: float


def signed_rank(differences: Floats) -> SignedRank:
    """Test whether paired differences lie around 0.

    F. Wilcoxon, "Individual Comparisons by Ranking Methods", Biometrics Bulletin 1(6), 1945. Zeros are ranked
    and then left out, as in J. W. Pratt, "Remarks on Zeros and Ties in the Wilcoxon Signed Rank Procedures",
    JASA 54(287), 1959. Without their ranks, adding the same amount to every difference could make a
    significant excess vanish. With the same seeds exact zeros are common: two variants end with the same
    incumbent.

    Up to 50 differences other than 0, the distribution over all their signs is counted, ties and all;
    beyond, it is the normal approximation of `scipy.stats.wilcoxon`. So few differences are never
    significant, however many zeros stand beside them: with m of them the least p is 2/2^m.

    Parameters
    ----------
    differences : array, shape (n,)
        Without NaN. Infinite ones have the highest rank and are tied.
    """
    from scipy.stats import rankdata, wilcoxon

    if not len(differences):
        return SignedRank(math.nan, 0.0, 0.0, 0.0)
    ranks = rankdata(np.abs(differences)) * np.sign(differences)
    plus, minus = float(ranks[ranks > 0].sum()), float(-ranks[ranks < 0].sum())
    there = np.abs(ranks[ranks != 0.0])
    if len(there) <= _EXACT:
        p = _exact(there, min(plus, minus))
    else:
        p = float(wilcoxon(ranks, zero_method="pratt").pvalue)  # the ranks of these ranks are the same
    return SignedRank(p, plus, minus, len(ranks) * (len(ranks) + 1) / 2)


def _exact(ranks: Floats, least: float) -> float:
    """Return how likely it is, over all signs of `ranks`, that either sum is at most `least`."""
    twice = np.rint(2 * ranks).astype(np.int64)  # ranks of ties are halves
    chance = np.zeros(twice.sum() + 1)  # of each sum of the ranks with a plus
    chance[0] = 1.0
    for rank in twice:
        moved = np.zeros_like(chance)
        moved[rank:] = chance[: len(chance) - rank]
        chance = (chance + moved) / 2
    return min(1.0, 2.0 * math.fsum(chance[: round(2 * least) + 1]))


def least_pairs(alpha: float = 0.05, comparisons: int = 1) -> int:
    """Return with how many pairs, all of them of one sign, Wilcoxon's test can be significant at all.

    That is the least n with 2/2^n <= alpha / comparisons: 6 at 0.05.

    Parameters
    ----------
    alpha : float
        In (0, 1).
    comparisons : int
        In the family that Holm corrects, at least 1.

    Raises
    ------
    ParameterError
        `alpha` is not in (0, 1).
    """
    check_share("alpha", alpha)
    return 1 + math.ceil(math.log2(max(comparisons, 1) / alpha))
