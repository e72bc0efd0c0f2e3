"""Seconds of training: from a column of them, from dates, or from how long whole trials took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import polars as pl

from hbsim.surrogates.import_levels import places_of
from hbsim.surrogates.import_log import Label, Log, counted
from hbsim.surrogates.protocol import Floats, Ints

__all__ = ["filled", "seconds_of", "without_start"]


def seconds_of(
    log: Log, time: str | None, rows: Ints, trials: Sequence[Label], levels: Floats
) -> tuple[Floats | None, list[str]]:
    """Return the seconds that each row shows, shape (n,), None where nothing is known; and notes.

    Parameters
    ----------
    log : Log
        What was read.
    time : str or None
        The column of time.
    rows : array of int, shape (n,)
        Rows of the log.
    trials, levels : sequence and array, shape (n,)
        Their trials and levels.
    """
    if time is None:
        if not any(value == value for value in log.durations.values()):
            return None, []
        note = "time is spread evenly over each trial, from its begin to its end"
        return _spread(trials, levels, log.durations), [note]
    clock = log.rows[time].cast(pl.Float64).fill_null(float("nan")).to_numpy()[rows]
    clock = np.where(np.isfinite(clock), clock, np.nan)
    if log.starts is None or time not in log.times:
        return clock, []
    return _since(trials, levels, clock, log.starts)


def _spread(trials: Sequence[Label], levels: Floats, durations: Mapping[Label, float]) -> Floats:
    places = places_of(trials)
    top = np.zeros(places.max() + 1)
    np.maximum.at(top, places, levels)
    whole = np.array([durations.get(trial, np.nan) for trial in trials])
    return whole * levels / top[places]


def _since(
    trials: Sequence[Label], levels: Floats, dates: Floats, starts: Mapping[Label, float]
) -> tuple[Floats, list[str]]:
    """Turn dates into seconds since each trial began.

    Where its begin is not known, the way to its first date took as long per unit as what followed.
    """
    places = places_of(trials)
    seconds = np.full(len(dates), np.nan)
    guessed = 0
    for place in range(int(places.max()) + 1):
        mine = np.flatnonzero((places == place) & ~np.isnan(dates))
        if not mine.size:
            continue
        start = starts.get(trials[mine[0]], np.nan)
        if not start <= dates[mine].min():
            first, last = mine[np.argmin(levels[mine])], mine[np.argmax(levels[mine])]
            units = levels[last] - levels[first]
            rate = (dates[last] - dates[first]) / units if units > 0 else np.nan
            start = dates[first] - rate * levels[first]
            guessed += 1
        seconds[mine] = dates[mine] - start
    notes = ["time is taken from dates: if a run waited in between, that is in it"]
    if guessed:
        notes.append(
            f"when {counted(guessed, 'trial')} began is not known: until the first date it is the mean pace"
        )
    return seconds, notes


def without_start(trials: Sequence[Label], levels: Floats, clock: Floats) -> tuple[Floats, list[str]]:
    """Leave out a time of 0 at a trial's first level: training it took time, whatever the clock shows.

    Later times are moved by what the first level takes at the mean pace of those after it, where there are
    two; rows may be in any order. Returns seconds, shape (n,), and notes.
    """
    places = places_of(trials)
    seconds, moved = clock.copy(), 0
    for place in range(int(places.max()) + 1):
        mine = np.flatnonzero((places == place) & ~np.isnan(clock))
        if not mine.size:
            continue
        first, last = mine[np.argmin(levels[mine])], mine[np.argmax(levels[mine])]
        if clock[first] == 0.0 and clock[last] > 0.0 and levels[last] > levels[first]:
            pace = clock[last] / (levels[last] - levels[first])
            seconds[mine] += pace * levels[first]
            moved += 1
    if not moved:
        return seconds, []
    text = f"the clock of {counted(moved, 'trial')} shows 0 at the first level: that took the mean pace"
    return seconds, [text]


def filled(trials: Sequence[Label], levels: Floats, seconds: Floats) -> tuple[Floats, list[str]]:
    """Return time without holes before a curve's last one: between two times, and from 0, along a line.

    Rows come trial by trial, levels ascending.
    """
    places = places_of(trials)
    begins = [*np.flatnonzero(np.diff(places, prepend=-1)).tolist(), len(places)]
    filled, holes = seconds.copy(), 0
    for begin, end in pairwise(begins):
        known = begin + np.flatnonzero(~np.isnan(seconds[begin:end]))
        if not known.size:
            continue
        lacks = np.flatnonzero(np.isnan(seconds[begin : known[-1]])) + begin
        holes += len(lacks)
        filled[lacks] = np.interp(levels[lacks], [0.0, *levels[known]], [0.0, *seconds[known]])
    return filled, [f"filled in the time of {counted(holes, 'row')}, along a line"] if holes else []
