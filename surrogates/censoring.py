"""Recorded runs that end before the table's last level: what becomes of them."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import numpy as np

from hbsim.errors import SurrogateError
from hbsim.surrogates.options import check_choice
from hbsim.surrogates.protocol import Floats, Ints

__all__ = ["CHOICES", "LONGEST", "Censored", "ends_of", "settle_rows", "settle_time", "settle_values"]

Censored: TypeAlias = Literal["fail", "exclude", "extrapolate"]

LONGEST: Final = 1e15  # seconds: sums of larger ones are more than a float holds
CHOICES: Final = ("fail", "exclude", "extrapolate")


def ends_of(values: Floats, seconds: Floats | None) -> Ints:
    """Return for each row the number of levels until the last with a value or a time, shape (n,).

    With a time, a missing value is a run that diverged, and still runs. Without one, trailing missing
    values are a run that ended: the two cannot be told apart.
    """
    there = ~np.isnan(values)
    if seconds is not None:
        there |= ~np.isnan(seconds)
    last = there.shape[1] - np.argmax(there[:, ::-1], axis=1)
    return np.where(there.any(axis=1), last, 0)


def settle_rows(source: str, ends: Ints, levels: int, censored: str | None) -> Ints:
    """Return the rows to keep, or raise if some end early and nobody said what to do with them."""
    if censored is not None:
        check_choice("censored", censored, CHOICES)
    early = ends < levels
    count = int(early.sum())
    if count and censored is None:
        raise SurrogateError(
            source,
            f"{count} of {len(ends)} rows end before the last level. Say what they are: censored='fail' "
            "(failed there: NaN from then on), 'exclude' (left out) or 'extrapolate' (the last value stays)",
        )
    keep = np.flatnonzero(~early) if censored == "exclude" else np.arange(len(ends))
    if len(keep) < 2:
        problem = f"censored='exclude' leaves {len(keep)} of {len(ends)} rows; at least two are needed"
        raise SurrogateError(source, problem)
    return keep


def settle_values(values: Floats, ends: Ints, censored: str | None) -> Floats:
    """Return a metric without holes after the ends: the last value stays, or there is NaN.

    A run whose value was NaN at its end, which had diverged, stays NaN either way.
    """
    place = np.arange(values.shape[1])
    after = place >= ends[:, None]
    if censored != "extrapolate":
        return np.where(after, np.nan, values)
    last = np.take_along_axis(values, np.maximum(ends - 1, 0)[:, None], axis=1)
    return np.where(after & (ends > 0)[:, None], last, values)


def settle_time(source: str, seconds: Floats, levels: Floats) -> Floats:
    """Return time at every level: after its last one, a row goes on at its mean seconds per unit.

    A row without any time takes the median of the others' rates.

    Raises
    ------
    SurrogateError
        Time is missing before a level that has one, is negative, infinite, or goes back; or no row
        has any.
    """
    _refuse_bad_time(source, seconds, levels)
    count = (~np.isnan(seconds)).sum(axis=1)
    known = count > 0
    if not known.any():
        raise SurrogateError(source, "no row has a time")
    place = np.maximum(count - 1, 0)
    last = np.where(known, np.take_along_axis(seconds, place[:, None], axis=1)[:, 0], 0.0)
    reached = np.where(known, levels[place], 0.0)
    rates = np.full(len(seconds), np.median(last[known] / reached[known]))
    rates[known] = last[known] / reached[known]
    onward = last[:, None] + rates[:, None] * (levels - reached[:, None])
    return np.where(np.isnan(seconds), onward, seconds)


def _refuse_bad_time(source: str, seconds: Floats, levels: Floats) -> None:
    missing = np.isnan(seconds)
    faults = (
        (missing[:, :-1] & ~missing[:, 1:], 0, "has no time, though a later level has one"),
        ((seconds > LONGEST) | (seconds < 0), 0, f"has a time that is negative, or above {LONGEST:g} s"),
        (seconds[:, 1:] < seconds[:, :-1], 1, "has less time than the level before: time must be cumulative"),
    )
    for bad, shift, problem in faults:
        found = np.argwhere(bad)
        if len(found):
            row, place = found[0].tolist()
            others = f" ({len(np.unique(found[:, 0]))} such rows)"
            raise SurrogateError(source, f"row {row} at level {levels[place + shift]:g} {problem}{others}")
