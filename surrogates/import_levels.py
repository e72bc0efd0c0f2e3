"""Levels that can be compared: counted from 1, and without gaps within a curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hbsim.errors import ParameterError, SurrogateError
from hbsim.surrogates.import_log import Label, counted
from hbsim.surrogates.protocol import Floats, Ints

__all__ = ["places_of", "shifted", "whole_curves"]


def shifted(levels: Floats, first_level: int | None) -> tuple[Floats, list[str]]:
    """Count levels from 1 where they are counted from 0.

    Parameters
    ----------
    levels : array, shape (n,)
        0 or more.
    first_level : 0, 1 or None
        What step 0 is: 0, the untrained state, or 1, the state after the first unit. None: 1 if all steps
        0, 1, 2, ... are there, as where a loop counts from 0.

    Raises
    ------
    ParameterError
        `first_level` is given, but is neither, or there is no step 0.
    """
    if first_level not in (None, 0, 1):
        raise ParameterError("first_level", first_level, "must be 0 or 1")
    there = np.unique(levels)
    if there[0] != 0:
        if first_level is not None:
            raise ParameterError(
                "first_level", first_level, f"says what step 0 is; the first is {there[0]:g}"
            )
        return levels, []
    counted = len(there) > 1 and np.array_equal(there, np.arange(len(there)))
    if first_level == 1 or (first_level is None and counted):
        return levels + 1, ["steps are counted from 0: step 0 is level 1 (first_level=0: it is untrained)"]
    return levels, ["left out level 0, the untrained state"]


def whole_curves(source: str, trials: Sequence[Label], levels: Floats, name: str) -> tuple[Ints, list[str]]:
    """Return the rows that stay so that no curve has a gap, and what is to be said of it.

    A level that fewer than half of the trials have that got so far is left out. A trial that then lacks a
    level ends before it. Rows come trial by trial, levels ascending and above 0.

    Raises
    ------
    SurrogateError
        No curve is left, or only one.
    """
    rows = places_of(trials)
    count = int(rows[-1]) + 1
    known, places = np.unique(levels, return_inverse=True)
    last = np.zeros(count, dtype=np.int64)
    np.maximum.at(last, rows, places)
    running = np.bincount(last, minlength=len(known))[::-1].cumsum()[::-1]
    common = 2 * np.bincount(places) >= running
    there = np.flatnonzero(common[places])
    rank = np.cumsum(common) - 1
    stays = there[_nth(rows[there]) == rank[places[there]]]
    before, after = (np.bincount(rows[kept], minlength=count) for kept in (there, stays))
    left = int((after > 0).sum())
    notes = []
    if odd := int((~common).sum()):
        notes.append(f"left out {odd} of {len(known)} levels, which fewer than half of the trials have")
    if ended := int(((after > 0) & (after < before)).sum()):
        notes.append(f"{counted(ended, 'trial')} without a {name} that others have: cut there")
    if left < count:
        notes.append(f"left out {counted(count - left, 'trial')} without the first {name} of the others")
    if left < 2:
        why = f" ({'; '.join(notes)})" if notes else ""
        raise SurrogateError(source, f"{left} of {count} trials can be used; ranks need at least two{why}")
    return stays, notes


def places_of(trials: Sequence[Label]) -> Ints:
    """Return each row's trial as its number in order of appearance, shape (n,)."""
    number = {trial: at for at, trial in enumerate(dict.fromkeys(trials))}
    return np.array([number[trial] for trial in trials], dtype=np.int64)


def _nth(rows: Ints) -> Ints:
    """Return each row's place within its trial, from 0."""
    begins = np.flatnonzero(np.diff(rows, prepend=-1))
    return np.arange(len(rows)) - np.repeat(begins, np.diff(np.append(begins, len(rows))))
