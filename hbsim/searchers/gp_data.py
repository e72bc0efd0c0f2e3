"""What a Gaussian process is given of what was observed: robust values, and not too many."""

from __future__ import annotations

from typing import Final

import numpy as np

from hbsim.searchers.protocol import Floats, Ints

__all__ = ["keep", "stage", "standardize"]

FENCE: Final = 1.5  # interquartile ranges; Tukey's
GROWTH: Final = 1.3


def standardize(values: Floats) -> Floats:
    """Return values, larger is better, with mean 0 and standard deviation 1, bad outliers drawn in.

    What lies more than 1.5 interquartile ranges below the lower quartile (Tukey's fence) counts as lying
    there: how bad a diverged trial was says nothing of the good ones. Good values are never drawn in. Equal
    values are all 0.

    Parameters
    ----------
    values : array, shape (n,)
        Finite, of any size.
    """
    largest = np.abs(values).max(initial=0.0)
    if largest == 0.0:
        return np.zeros(len(values))
    scaled = values / largest  # squares of huge values have no room in a float
    low, high = np.quantile(scaled, [0.25, 0.75])
    fenced = np.maximum(scaled, low - FENCE * (high - low)) if high > low else scaled
    centred = fenced - fenced.mean()
    size = float(np.abs(centred).max())
    if size == 0.0:
        return np.zeros(len(values))
    centred = centred / size  # nor have those of tiny ones, and beside an outlier all may be tiny
    spread = float(np.sqrt(np.square(centred).mean()))
    if spread * size <= 1e-12 * np.abs(fenced).max():
        return np.zeros(len(values))
    return np.asarray(centred / spread)


def keep(levels: Floats, values: Floats, limit: int) -> Ints:
    """Return which observations a model of at most `limit` takes, ascending.

    Each level has the same share of the room; what one leaves of its own goes to the others. Of a level with
    more than its share half are the best, half others, evenly spread over the order in which they came, so
    that bad regions stay known.

    Parameters
    ----------
    levels, values : array, shape (n,)
        Where each was observed, and its value, larger is better, in the order in which they came.
    limit : int
        1 or more.
    """
    if len(values) <= limit:
        return np.arange(len(values))
    kept: list[Ints] = []
    found, counts = np.unique(levels, return_counts=True)
    room, rarest = limit, np.argsort(counts, kind="stable")
    for left, level in zip(range(len(found), 0, -1), found[rarest], strict=True):
        here = np.flatnonzero(levels == level)
        share = room // left
        kept.append(here if len(here) <= share else _some(here, values[here], share))
        room -= len(kept[-1])
    return np.sort(np.concatenate(kept))


def _some(places: Ints, values: Floats, room: int) -> Ints:
    """Return `room` of these places: half of them the best."""
    order = np.argsort(-values, kind="stable")
    best = places[order[: (room + 1) // 2]]
    rest = np.setdiff1d(places, best)
    spread = (np.arange(room - len(best)) * len(rest)) // max(1, room - len(best))
    return np.concatenate([best, rest[spread]])


def stage(observations: int) -> int:
    """Return on how many of so many observations hyperparameters are fitted.

    It is the largest that is not above them of 1, 3, 5, 7, 9, 11, 14, 18, 23, 29, ...: each is three tenths
    more than the one before, rounded down, and at least two more. So 1,000 observations need 23 fits, and
    which one is in use depends on how many there are and on nothing else.
    """
    found, after = min(observations, 1), 1
    while after <= observations:
        found, after = after, max(after + 2, int(after * GROWTH))
    return found
