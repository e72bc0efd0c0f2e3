"""Two variants on one task, seed by seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from hbsim.bench.statistics.checks import check_lengths, check_share
from hbsim.bench.statistics.intervals import Interval, mean_interval
from hbsim.bench.statistics.signed_rank import signed_rank
from hbsim.surrogates.protocol import Floats

__all__ = ["Call", "Pair", "compare_pairs", "paired_differences", "verdict"]

Call: TypeAlias = Literal["better", "worse", "too close to call", "no score"]


@dataclass(frozen=True)
class Pair:
    """A variant against another with the same seeds; less is better, so above 0 is worse.

    Attributes
    ----------
    n : int
        Seeds.
    scored : int
        Those in which both have a score.
    missing, missing_other : int
        Those in which the first has none, and in which the second has none.
    difference : Interval
        Mean of the first's score less the second's, over the scored seeds, and its 95 % bootstrap interval.
    p : float
        Of `signed_rank`, over all seeds; not corrected. NaN without seeds.
    wins, ties, losses : int
        Seeds in which the first is better, the same, and worse.
    rank_biserial : float
        The ranks of the losses less those of the wins, over those of all seeds: in [-1, 1], and 0 if all
        are ties. NaN without seeds.
    d_z : float
        The mean difference over its standard deviation (n - 1) in the scored seeds: infinite if all differ by
        the same, 0 if none differ, NaN for fewer than two.
    superiority : float
        The share of seeds in which the first is better, ties counted half. NaN without seeds.
    """

    n: int
    scored: int
    missing: int
    missing_other: int
    difference: Interval
    p: float
    wins: int
    ties: int
    losses: int
    rank_biserial: float
    d_z: float
    superiority: float


def paired_differences(a: Floats, b: Floats) -> Floats:
    """Return a - b, shape (n,): infinite where one has no score, 0 where neither has.

    A missing score is worse than any, so such a seed counts as the largest difference.

    Raises
    ------
    ParameterError
        They differ in shape.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    check_lengths("a", a, "b", b)
    none, none_other = ~np.isfinite(a), ~np.isfinite(b)
    with np.errstate(invalid="ignore"):
        differences = a - b
    differences[none], differences[none_other] = math.inf, -math.inf
    differences[none & none_other] = 0.0
    return differences


def compare_pairs(a: Floats, b: Floats, difference: Interval | None = None) -> Pair:
    """Compare two variants with the same seeds on one task.

    The test is `signed_rank`; the effect sizes are the matched-pairs rank-biserial correlation (D. S. Kerby,
    "The Simple Difference Formula", Comprehensive Psychology 3, 2014, with the ranks of ties counted for
    neither side), and Cohen's d_z.

    Parameters
    ----------
    a, b : array, shape (n,)
        Scores, less is better, the seeds in the same order; NaN where a study has none.
    difference : Interval, optional
        That of a - b, where it is known already.

    Raises
    ------
    ParameterError
        They differ in shape.
    """
    differences = paired_differences(a, b)
    finite = differences[np.isfinite(a) & np.isfinite(b)]
    test = signed_rank(differences)
    n, wins, losses = len(differences), int((differences < 0).sum()), int((differences > 0).sum())
    ties = n - wins - losses
    return Pair(
        n=n,
        scored=len(finite),
        missing=int((~np.isfinite(a)).sum()),
        missing_other=int((~np.isfinite(b)).sum()),
        difference=mean_interval(finite) if difference is None else difference,
        p=test.p,
        wins=wins,
        ties=ties,
        losses=losses,
        rank_biserial=(test.plus - test.minus) / test.total if n else math.nan,
        d_z=_d_z(finite),
        superiority=(wins + ties / 2) / n if n else math.nan,
    )


def _d_z(differences: Floats) -> float:
    if len(differences) < 2:
        return math.nan
    mean = float(differences.mean())
    if np.ptp(differences) == 0.0:
        return math.copysign(math.inf, mean) if mean else 0.0
    return mean / float(differences.std(ddof=1))


def verdict(pair: Pair, p_adjusted: float, alpha: float = 0.05) -> Call:
    """Say in words how the first of a pair did.

    A call needs a test that rejects, and a mean difference on the same side; with the same number of missing
    scores, that is. Otherwise the one with more of them is the worse.

    Parameters
    ----------
    pair : Pair
        As `compare_pairs` returns it.
    p_adjusted : float
        Its p, corrected for all comparisons that were made; see `holm_pairs`.
    alpha : float
        The level.

    Returns
    -------
    str
        "no score" if the first has a score in no seed; else "better" or "worse", or "too close to call".

    Raises
    ------
    ParameterError
        `alpha` is not in (0, 1).
    """
    check_share("alpha", alpha)
    if pair.missing == pair.n:
        return "no score"
    if not p_adjusted <= alpha:  # NaN: no test
        return "too close to call"
    mean = float(pair.missing - pair.missing_other) or pair.difference.mean
    if pair.rank_biserial * mean <= 0.0:
        return "too close to call"
    return "worse" if mean > 0.0 else "better"
