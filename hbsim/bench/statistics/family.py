"""All pairs of variants as one family of tests."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from hbsim.bench.statistics.holm import holm
from hbsim.bench.statistics.paired import paired_differences
from hbsim.bench.statistics.signed_rank import signed_rank
from hbsim.surrogates.protocol import Floats

__all__ = ["holm_pairs"]


def holm_pairs(scores: Floats) -> Floats:
    """Return the p of `signed_rank` of every pair of variants, Holm-corrected over all pairs.

    All of them count, also where only those with the best variant are shown: which is the best was read off
    the same scores. A correction over the k - 1 shown would call too many variants worse.

    Parameters
    ----------
    scores : array, shape (n, k)
        A row a seed of one task, or an independent block; a column a variant. Less is better, NaN is worse
        than any.

    Returns
    -------
    array, shape (k, k)
        Symmetric; NaN on the diagonal, and everywhere for fewer than two rows.
    """
    scores = np.asarray(scores, dtype=np.float64)
    n, k = scores.shape
    corrected = np.full((k, k), np.nan)
    pairs = list(combinations(range(k), 2))
    if n < 2 or not pairs:
        return corrected
    p = [signed_rank(paired_differences(scores[:, one], scores[:, other])).p for one, other in pairs]
    for (one, other), value in zip(pairs, holm(np.array(p)), strict=True):
        corrected[one, other] = corrected[other, one] = value
    return corrected
