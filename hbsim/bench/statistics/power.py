"""How many seeds would settle a comparison."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from hbsim.bench.statistics.checks import check_share
from hbsim.bench.statistics.signed_rank import least_pairs
from hbsim.surrogates.protocol import Floats

__all__ = ["seeds_needed"]


def seeds_needed(
    differences: Floats, alpha: float = 0.05, power: float = 0.8, most: int = 100_000
) -> int | None:
    """Return about how many seeds `signed_rank` needs to find differences that are distributed like these.

    It takes how these differences are distributed for the truth, which it is not: of few seeds the answer is
    good to a factor of two or worse. The power is that of the normal approximation with the statistic's mean
    and variance under the alternative (E. L. Lehmann, "Nonparametrics: Statistical Methods Based on Ranks",
    1975, section 4.2). It needs no shape: what counts is how often a difference, or the sum of two, is above
    0. Zeros and ties count for a half, as in the test.

    Parameters
    ----------
    differences : array, shape (n,)
        Between two variants with the same seeds; those that are not finite are left out.
    alpha : float
        The two-sided level; that of the family over its size, k(k - 1)/2 for `holm_pairs`, to be safe.
    power : float
        How likely the difference is to be found.
    most : int
        Beyond that there is no number.

    Returns
    -------
    int or None
        At least `least_pairs(alpha)`. None if there are fewer than three differences, if their signed ranks
        are balanced, or if more than `most` were needed.

    Raises
    ------
    ParameterError
        `alpha` or `power` is not in (0, 1).
    """
    check_share("alpha", alpha)
    check_share("power", power)
    differences = np.asarray(differences, dtype=np.float64)
    differences = differences[np.isfinite(differences)]
    if len(differences) < 3:
        return None
    power_of = _power_of(differences, alpha)
    low = least_pairs(alpha) - 1  # too few
    high = low + 1
    while power_of(high) < power:
        if high >= most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if power_of(middle) < power else (low, middle)
    return high if high <= most else None


def _power_of(differences: Floats, alpha: float) -> Callable[[int], float]:
    """Return the power as a function of the number of pairs."""
    from scipy.stats import norm, rankdata

    m = len(differences)
    scaled = differences / max(np.abs(differences).max(), np.finfo(float).tiny)
    above = (1 + np.sign(scaled[:, None] + scaled)) / 2  # of the sum of each two
    one = float(above.diagonal().mean())
    np.fill_diagonal(above, 0.0)
    two = float(above.sum() / (m * (m - 1)))
    both = float((np.square(above.sum(1)) - np.square(above).sum(1)).sum() / (m * (m - 1) * (m - 2)))
    places = (rankdata(np.abs(scaled)) - 0.5) / m
    square = float(np.square(places[scaled != 0.0]).sum() / m)  # 1/3 without zeros and ties
    critical = float(norm.isf(alpha / 2))

    def power(n: int) -> float:
        pairs = n * (n - 1) / 2
        shift = abs(n * (one - 0.5) + pairs * (two - 0.5))
        usual = n * (n + 1) * (2 * n + 1) / 8 * square
        variance = n * one * (1 - one) + pairs * (2 * (one - two) ** 2 + 3 * two * (1 - two))
        variance += 2 * pairs * (n - 2) * (both - two**2)
        away = shift - critical * math.sqrt(usual)
        return float(norm.cdf(away / math.sqrt(variance))) if variance > 0.0 else float(away > 0.0)

    return power
