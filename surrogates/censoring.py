"""Recorded runs that end before the table's last level, and their clocks: what becomes of them."""

from __future__ import annotations

from typing import Final

import numpy as np

from hbsim.errors import SurrogateError
from hbsim.surrogates.options import CENSORED, check_choice
from hbsim.surrogates.protocol import Floats, Ints

__all__ = [
    "LONGEST",
    "clock_jump",
    "ends_of",
    "settle_rows",
    "settle_time",
    "settle_values",
    "stop_time",
]

LONGEST: Final = 1e15  # seconds: sums of larger ones are more than a float holds
JUMP: Final = 50.0  # times as long as at a row's own pace: no training takes such a step
FIRST_JUMP: Final = 10_000.0  # the first step has start-up in it; a date is no start-up


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
        check_choice("censored", censored, CENSORED)
    early = ends < levels
    count = int(early.sum())
    if count and censored is None:
        raise SurrogateError(
            source,
            f"{count} of {len(ends)} rows end before the last level. Say what they are: censored='fail' "
            "(failed there: NaN from then on), 'exclude' (left out), 'extrapolate' (the last value stays, "
            "time goes on) or 'final' (the last value stays, no more time passes)",
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
    if censored in ("extrapolate", "final"):
        return _held(values, ends, np.nan)
    return np.where(np.arange(values.shape[1]) >= ends[:, None], np.nan, values)


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


def stop_time(seconds: Floats, ends: Ints, censored: str | None) -> Floats:
    """Return settled time that stands still after the ends of rows, where these are final."""
    return _held(seconds, ends, 0.0) if censored == "final" else seconds


def _held(columns: Floats, ends: Ints, start: float) -> Floats:
    """Return columns in which what stands at the end of a row stays; `start` in a row that has nothing."""
    after = np.arange(columns.shape[1]) >= ends[:, None]
    last = np.take_along_axis(columns, np.maximum(ends - 1, 0)[:, None], axis=1)
    return np.where(after, np.where(ends[:, None] > 0, last, start), columns)


def clock_jump(seconds: Floats, levels: Floats) -> str | None:
    """Say where a recorded clock jumps most, if one does: a step that takes 50 times as long as others.

    A step is held against the row's pace until then. The first one, which has start-up in it, is held against
    the pace after it, and may take more.
    """
    lengths = np.diff(levels, prepend=0.0)
    rates = np.diff(seconds, axis=1, prepend=0.0) / lengths
    total = np.nan_to_num(seconds).max(axis=1)
    reached = levels[np.maximum((~np.isnan(seconds)).sum(axis=1) - 1, 0)]
    with np.errstate(divide="ignore", invalid="ignore"):
        after = (total - seconds[:, 0]) / (reached - levels[0])
        paces = np.column_stack([after, seconds[:, :-1] / levels[:-1]])
        factors = np.where(paces > 0, rates / paces, 0.0)
    limits = np.where(np.arange(len(levels)) > 0, JUMP, FIRST_JUMP)
    jumps = np.where(factors >= limits, factors, 0.0)
    count = int(jumps.any(axis=1).sum())
    if not count:
        return None
    row, step = map(int, np.unravel_index(np.argmax(jumps), jumps.shape))
    start = levels[step - 1] if step else 0.0
    took, pace = rates[row, step] * lengths[step], paces[row, step]
    text = f"the clock of row {row} jumps {factors[row, step]:,.0f}-fold in the step from level {start:g} to "
    text += f"{levels[step]:g}: {took:,.6g} s, and {pace:,.4g} s a unit {'until' if step else 'after'} then"
    return text if count == 1 else f"{text}; {count:,} rows have such a step"


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
