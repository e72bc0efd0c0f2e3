"""How many seeds would settle a comparison."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from hbsim.bench.statistics.checks import check_share
from hbsim.bench.statistics.signed_rank import least_pairs
from hbsim.surrogates.protocol import Floats

__all__ = ["seeds_needed"]

_EFFICIENCY: Final = 3 / math.pi  # of Wilcoxon's test against t on normal data: 0.955
_FAR: Final = 30.0  # standard errors from 0 at which the power is 1, whatever the degrees of freedom


def seeds_needed(
    differences: Floats, alpha: float = 0.05, power: float = 0.8, most: int = 100_000
) -> int | None:
    """Return about how many seeds `signed_rank` needs to find a difference of this size.

    It takes the mean and the standard deviation of the differences for the true ones, which they are not:
    of few seeds the answer is good to a factor of two or worse. The number for a t-test comes from the
    noncentral t distribution (J. Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988), and
    is divided by Wilcoxon's asymptotic efficiency against t on normal data, 3/pi (J. L. Hodges and
    E. L. Lehmann, "The Efficiency of Some Nonparametric Competitors of the t-Test", Annals of Mathematical
    Statistics 27(2), 1956). On data with heavy tails fewer do.

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
        At least `least_pairs(alpha)`. None if there are fewer than two differences, if their mean is 0, or if
        more than `most` were needed.

    Raises
    ------
    ParameterError
        `alpha` or `power` is not in (0, 1).
    """
    check_share("alpha", alpha)
    check_share("power", power)
    differences = np.asarray(differences, dtype=np.float64)
    differences = differences[np.isfinite(differences)]
    if len(differences) < 2:
        return None
    mean = abs(float(differences.mean()))
    if not mean:
        return None
    spread = float(differences.std(ddof=1)) if np.ptp(differences) else 0.0
    pairs = _pairs(mean / spread if spread else math.inf, alpha, power, most)
    if pairs is None:
        return None
    needed = max(least_pairs(alpha), math.ceil(pairs / _EFFICIENCY))
    return needed if needed <= most else None


def _pairs(effect: float, alpha: float, power: float, most: int) -> int | None:
    """Return the least number of pairs, at least 2, with which a t-test has the power."""
    high = 2
    while _power(high, effect, alpha) < power:
        if high > most:
            return None
        high *= 2
    low = high // 2  # too few, or 1
    while high - low > 1:
        middle = (low + high) // 2
        if _power(middle, effect, alpha) < power:
            low = middle
        else:
            high = middle
    return high


def _power(pairs: int, effect: float, alpha: float) -> float:
    from scipy.stats import nct, t

    away = effect * math.sqrt(pairs)
    critical = float(t.isf(alpha / 2, pairs - 1))
    if away > _FAR + critical:
        return 1.0
    return float(nct.sf(critical, pairs - 1, away) + nct.cdf(-critical, pairs - 1, away))
