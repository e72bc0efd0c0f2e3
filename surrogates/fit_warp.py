"""A metric on a scale where curves are added: nearly normal over all recorded levels.

Losses span many powers of ten, errors crowd at chance level and at their best. Ranks decide, so any
monotone scale serves; this one follows the ranks of what was recorded, and goes on beyond them in a
straight line on the scale of the logarithm (or the log-odds).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from hbsim.surrogates.protocol import Floats

__all__ = ["Warp", "fit_warp", "rounded", "single"]

Base: TypeAlias = Literal["odds", "log", "plain"]

QUANTILES: Final = 65
TAIL: Final = 6  # quantiles whose slope goes on beyond the last one,
FLATTER: Final = 0.7  # so much flatter: errors have a floor, and the best of thousands is near it
PLACES: Final = 12  # of a height within the range of all
BEYOND: Final = 1.5  # how far a score may lie beyond the outermost quantile
NEAREST: Final = 1e-3  # a share is not taken for nearer to 0 or 1 than this, unless the table has nearer ones
LEAST: Final = 1e-15  # what 1 can be told from
LARGEST: Final = 3e38  # values are single precision
DECIMALS: Final = 6  # of scores and coefficients: further ones depend on the machine


@dataclass(frozen=True)
class Warp:
    """A monotone scale: piecewise linear from a metric's logarithm (or log-odds) to scores.

    Attributes
    ----------
    base : "odds", "log" or "plain"
        What is done to the metric first: shares in [0, 1] become log-odds, positive ones logarithms.
    edge : float
        The nearest that a share comes to 0 and 1.
    heights, scores : array, shape (k,)
        Where the lines meet, ascending; the first and last are beyond what was recorded.
    """

    base: Base
    edge: float
    heights: Floats
    scores: Floats

    def to_scores(self, values: Floats) -> Floats:
        """Return the scores of metric values, any shape; NaN stays."""
        found = np.interp(_raise(values, self.base, self.edge), self.heights, self.scores)
        return np.where(np.isnan(values), np.nan, found)

    def to_values(self, scores: Floats) -> Floats:
        """Return the metric values of scores, any shape, in single precision."""
        heights = np.interp(scores, self.scores, self.heights)
        if self.base == "odds":
            heights = 1.0 / (1.0 + np.exp(np.clip(-heights, -700.0, 700.0)))
        elif self.base == "log":
            heights = np.exp(np.minimum(heights, 88.0))
        return single(heights)


def single(numbers: Floats) -> Floats:
    """Return numbers rounded to single precision: the last bits of an exponential are not kept."""
    kept: Floats = np.clip(numbers, -LARGEST, LARGEST).astype(np.float32).astype(np.float64)
    return kept


def rounded(numbers: Floats) -> Floats:
    """Return numbers on the scale of scores without what differs from machine to machine.

    Matrix products and logarithms differ in their last bits; whatever decides between two ways (a tree's
    split, a donor) would carry such a bit on into another curve.
    """
    return np.round(numbers, DECIMALS)


def fit_warp(values: Floats) -> Warp:
    """Return the scale that makes the finite ones of `values` nearly normal.

    Parameters
    ----------
    values : array, any shape
        At least two finite ones that differ in single precision.
    """
    from scipy.special import ndtri

    values = values[np.isfinite(values)]
    base: Base = "plain"
    if values.min() >= 0 and values.max() <= 1:
        base = "odds"
    elif values.min() > 0:
        base = "log"
    inside = values[(values > 0) & (values < 1)]
    edge = max(min([NEAREST, *(0.5 * np.minimum(inside, 1 - inside)).tolist()]), LEAST)
    raised = _raise(values, base, edge)
    if np.ptp(raised) == 0:  # they differ by less than a logarithm knows
        base, raised = "plain", values
    at = (np.arange(QUANTILES) + 0.5) / QUANTILES
    low, span = raised.min(), np.ptp(raised)
    parts = np.round((np.quantile(raised, at) - low) / span, PLACES)  # none so near that slopes overflow
    heights, groups = np.unique(low + span * parts, return_inverse=True)
    if len(heights) == 1:  # almost all the same
        heights, groups = np.unique(raised, return_inverse=True)
        at = (np.argsort(np.argsort(groups, kind="stable"), kind="stable") + 0.5) / len(raised)
    scores = np.bincount(groups, ndtri(at)) / np.bincount(groups)
    return Warp(base, edge, *_with_tails(heights, scores))


def _with_tails(heights: Floats, scores: Floats) -> tuple[Floats, Floats]:
    last = min(TAIL, len(heights)) - 1
    below = FLATTER * BEYOND * (heights[last] - heights[0]) / (scores[last] - scores[0])
    above = FLATTER * BEYOND * (heights[-1] - heights[-1 - last]) / (scores[-1] - scores[-1 - last])
    heights = np.concatenate([[heights[0] - below], heights, [heights[-1] + above]])
    return heights, np.concatenate([[scores[0] - BEYOND], scores, [scores[-1] + BEYOND]])


def _raise(values: Floats, base: Base, edge: float) -> Floats:
    if base == "odds":
        shares = np.clip(values, edge, 1.0 - edge)
        odds: Floats = np.log(shares / (1.0 - shares))
        return odds
    return np.log(values) if base == "log" else values
