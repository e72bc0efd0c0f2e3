"""Recommendations: the default variant, unless another one is surely better; and what to avoid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from hbsim.planning.forecast import group_weights
from hbsim.surrogates.protocol import Floats

if TYPE_CHECKING:
    import polars as pl

    from hbsim.planning.pilot import Correlation

SURE: Final = 0.9  # the probability from which on another variant is better, or worse
MATTERS: Final = 0.1  # the least difference of regret that matters
AVOIDED: Final = 0.5  # and from which on a variant is one to avoid
FAR: Final = 1.5  # a regret that is far off
MOST: Final = 5.0  # the most that a regret counts
LEAST_UNIT: Final = 0.02  # of the worst configuration's regret: where all variants find much the same
RESAMPLES: Final = 2000
LESS_PROBABLE: Final = 0.1
SAYS_LITTLE: Final = 0.3  # a rank correlation
Judgement = Literal[
    "default", "better", "leans better", "much the same", "not told apart", "leans worse", "avoid"
]


@dataclass(frozen=True)
class Standing:
    """How a variant did over the tasks of the library.

    Attributes
    ----------
    variant : str
        Its label.
    regret : float
        Mean normalised regret: 0 is the best variant of each task in hindsight, 1 the median one.
    difference, error : float
        From the default's regret, and its standard error over groups of tasks; 0 for the default.
    better, better_median : float
        The probability that its mean, and its median, over groups of tasks is better than the default's, by
        bootstrap over groups.
    far_off : float
        The share of tasks with a regret above 1.5.
    judgement : str
        "default", "better", "leans better", "much the same", "not told apart", "leans worse" or "avoid".
    """

    variant: str
    regret: float
    difference: float
    error: float
    better: float
    better_median: float
    far_off: float
    judgement: Judgement


def normalised(regrets: Floats, worst: Floats) -> Floats:
    """Return regrets on each task's own scale: 0 for the best variant, 1 for the median one, at most 5.

    Parameters
    ----------
    regrets : array, shape (tasks, variants)
        Distances from the best value, means over seeds.
    worst : array, shape (tasks,)
        The regret beyond which one configuration is as bad as another.
    """
    best = regrets.min(axis=1, keepdims=True)
    unit = np.maximum(np.median(regrets, axis=1, keepdims=True) - best, LEAST_UNIT * worst[:, None])
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = np.where(unit > 0, (regrets - best) / unit, 0.0)
    return np.minimum(scaled, MOST)


def standings(
    scores: Floats, groups: Sequence[str], variants: Sequence[str], seed: int = 0
) -> list[Standing]:
    """Return how variants did, the first of which is the default.

    Parameters
    ----------
    scores : array, shape (tasks, variants)
        Normalised regrets.
    groups : sequence of str
        The group of each task. All groups weigh the same, and the bootstrap draws groups.
    variants : sequence of str
        Labels.
    seed : int
        Of the bootstrap.
    """
    weights = group_weights(groups)
    names = sorted(set(groups))
    of_group = np.array([scores[[g == name for g in groups]].mean(axis=0) for name in names])
    differences = of_group - of_group[:, :1]
    picks = np.random.default_rng([seed, 24]).integers(0, len(names), (RESAMPLES, len(names)))
    drawn = differences[picks].mean(axis=1)
    medians = np.median(differences[picks], axis=1)
    errors = drawn.std(axis=0, ddof=1)
    found = []
    for at, variant in enumerate(variants):
        difference, error = float(differences[:, at].mean()), float(errors[at])
        better, in_most = (_below(one[:, at]) for one in (drawn, medians))
        found.append(
            Standing(
                variant=variant,
                regret=float(weights @ scores[:, at]),
                difference=difference,
                error=error,
                better=better,
                better_median=in_most,
                far_off=float(weights @ (scores[:, at] > FAR)),
                judgement=_judge(at, difference, error, (better, in_most), len(names), len(variants) - 1),
            )
        )
    return found


def _below(drawn: Floats) -> float:
    """Return the share of draws below 0; those at 0 count half."""
    return float((drawn < 0).mean() + 0.5 * (drawn == 0).mean())


def _judge(
    at: int, difference: float, error: float, better: tuple[float, float], groups: int, others: int
) -> Judgement:
    """Judge a variant by its difference from the default in the mean, and in most groups.

    In the mean alone, a few groups of tasks, such as those whose early ranks mislead, could decide. Words
    follow the numbers that are shown, in two digits.
    """
    from scipy.stats import t as student

    if not at:
        return "default"
    probability, loss = round(better[0], 2), round(difference, 2)
    if groups < 2 or round(1 - SURE, 2) < probability < SURE:
        return "not told apart"
    if abs(loss) < MATTERS:
        return "much the same"
    if loss > 0:
        is_sure = difference > 2 * error and max(better) <= 1 - SURE and loss >= AVOIDED
        return "avoid" if is_sure else "leans worse"
    # Bootstrapped errors of few groups are too small, and the best of several looks better than it is.
    bound = max(2.0, float(student.ppf(1 - (1 - SURE) / others, groups - 1)))
    return "better" if -difference > bound * error and min(better) >= SURE else "leans better"


def recommended(standings: Sequence[Standing], chances: Sequence[float]) -> int:
    """Return which variant to run: the default, 0, unless others are better; then the best of these.

    Parameters
    ----------
    standings : sequence of Standing
        Of all variants.
    chances : sequence of float
        How probable it is that each shows a full result: no variant is run that makes it much less probable.
    """
    usable = [at for at, chance in enumerate(chances) if chance >= chances[0] - LESS_PROBABLE]
    better = [at for at in usable if standings[at].judgement == "better"]
    return min(better, key=lambda at: standings[at].difference, default=0)


def grace_to_try(correlations: Sequence[Correlation]) -> Correlation | None:
    """Return the level at which to try to start, where a pilot says that early ranks mislead.

    That is so if the interval of the first level's rank correlation ends below 0, or if it ends below 0.3 and
    that of a later level lies wholly above it. Then it is the first level that is clearly better, or else the
    best one.
    """
    if len(correlations) < 2:
        return None
    first, later = correlations[0], correlations[1:]
    above = [one for one in later if one.low > first.high]
    if first.high < 0 and not above:
        best = max(later, key=lambda one: one.value)
        return best if best.value > first.value else None
    return above[0] if above and first.high < SAYS_LITTLE else None


def as_frame(standings: Sequence[Standing]) -> pl.DataFrame:
    """Return a row for each variant, with the attributes of `Standing`."""
    import polars as pl

    names = ("variant", "regret", "difference", "error", "better", "better_median", "far_off", "judgement")
    return pl.DataFrame([{name: getattr(one, name) for name in names} for one in standings])
