"""The curves of logged runs, with joined jobs, no repeated levels, cumulative time, and no gaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hbsim.errors import ParameterError, SurrogateError, counted
from hbsim.surrogates.import_log import Label, RunLog
from hbsim.surrogates.protocol import Floats, Ints

if TYPE_CHECKING:
    from hbsim.surrogates.import_table import Chosen

_HIGHEST: Final = 2.0**53  # beyond this, floats do not distinguish whole numbers


@dataclass(frozen=True)
class LoggedCurves:
    """Curves of logged runs: rows by trial, in order of appearance, each with its levels ascending.

    Attributes
    ----------
    rows : array of int, shape (n,)
        The places of the rows in the log.
    trials : list of int or str
        The trial of each row.
    levels : array, shape (n,)
        The resource.
    seconds : array, shape (n,), or None
        Cumulative seconds of training; NaN for trials without known time.
    notes : tuple of str
        Remarks on what was left out and joined.
    """

    rows: Ints
    trials: list[Label]
    levels: Floats
    seconds: Floats | None
    notes: tuple[str, ...]


def curves_of(log: RunLog, chosen: Chosen, first_level: int | None) -> LoggedCurves:
    """Return the curves of a log.

    Raises
    ------
    ParameterError, SurrogateError
        No row has both the resource and the metric, a level or time is negative, or no curve is left.
    """
    kept, notes = _reported(log, chosen)
    levels, shift_notes = counted_from_one(_numbers(log, chosen.resource)[kept], first_level)
    kept, levels = kept[levels > 0], levels[levels > 0]
    if not kept.size:
        raise SurrogateError(log.source, f"has no level above 0: {chosen.resource} is 0 everywhere")
    number: dict[Label, int] = {}
    trials = np.array([number.setdefault(log.trials[row], len(number)) for row in kept.tolist()])
    labels = list(number)
    clock, time_notes = _clock(log, chosen.time, kept, trials, labels, levels)
    places, joined, job_notes = _joined(log, _jobs(log)[kept], trials, levels, clock)
    kept, trials, levels = kept[places], trials[places], levels[places]
    whole, gap_notes = without_gaps(log.source, trials, levels, chosen.resource)
    kept, trials, levels = kept[whole], trials[whole], levels[whole]
    seconds = None
    if clock is not None:
        seconds, fill_notes = _without_holes(trials, levels, joined[whole])
        time_notes += fill_notes
    return LoggedCurves(
        rows=kept,
        trials=[labels[trial] for trial in trials.tolist()],
        levels=levels,
        seconds=seconds,
        notes=(*notes, *shift_notes, *job_notes, *gap_notes, *time_notes),
    )


def _numbers(log: RunLog, name: str) -> Floats:
    return log.rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _reported(log: RunLog, chosen: Chosen) -> tuple[Ints, list[str]]:
    """Return the rows with a level and a metric, and notes on the others."""
    levels = _numbers(log, chosen.resource)
    with_level = np.isfinite(levels)
    with_metric = log.rows[chosen.metric].is_not_null().to_numpy()
    kept = np.flatnonzero(with_level & with_metric)
    if not kept.size:
        raise SurrogateError(log.source, f"no row has both {chosen.resource} and {chosen.metric}")
    low, high = levels[kept].min(), levels[kept].max()
    if low < 0:
        raise SurrogateError(log.source, f"a level is negative: {chosen.resource} is {low:g}")
    if high > _HIGHEST:
        raise SurrogateError(log.source, f"a level is above {_HIGHEST:g}: {chosen.resource} is {high:g}")
    notes = []
    for name, lost in ((chosen.resource, ~with_level), (chosen.metric, with_level & ~with_metric)):
        if count := int(lost.sum()):
            notes.append(f"left out {counted(count, 'row')} without {name}")
    return kept, notes


# Levels: counted from 1, and without gaps within a curve


def counted_from_one(levels: Floats, first_level: int | None) -> tuple[Floats, list[str]]:
    """Convert levels that are counted from 0 to levels from 1.

    Parameters
    ----------
    levels : array, shape (n,)
        0 or more.
    first_level : 0, 1 or None
        The level of step 0: 0, the untrained state, or 1, the state after one unit. None: 1 if all steps
        0, 1, 2, ... are there, as where a loop counts from 0.

    Raises
    ------
    ParameterError
        `first_level` is given but is neither 0 nor 1, or there is no step 0.
    """
    if first_level not in (None, 0, 1):
        raise ParameterError("first_level", first_level, "must be 0 or 1")
    steps = np.unique(levels)
    if steps[0] != 0:
        if first_level is not None:
            rule = f"says what step 0 is; the first is {steps[0]:g}"
            raise ParameterError("first_level", first_level, rule)
        return levels, []
    consecutive = len(steps) > 1 and np.array_equal(steps, np.arange(len(steps)))
    if first_level == 1 or (first_level is None and consecutive):
        return levels + 1, ["steps are counted from 0: step 0 is level 1 (first_level=0: it is untrained)"]
    return levels, ["left out level 0, the untrained state"]


def without_gaps(source: str, trials: Ints, levels: Floats, resource: str) -> tuple[Ints, list[str]]:
    """Return the rows to keep so that no curve has a gap, and notes.

    A level is left out if fewer than half of the trials that got so far have it. A trial that then lacks a
    level ends before that level. Rows come trial by trial, levels ascending and above 0.

    Raises
    ------
    SurrogateError
        No curve is left, or only one.
    """
    count = int(trials[-1]) + 1
    known, places = np.unique(levels, return_inverse=True)
    last = np.zeros(count, dtype=np.int64)
    np.maximum.at(last, trials, places)
    running = np.bincount(last, minlength=len(known))[::-1].cumsum()[::-1]
    common = 2 * np.bincount(places) >= running
    candidates = np.flatnonzero(common[places])
    rank = np.cumsum(common) - 1
    kept = candidates[_place_within(trials[candidates]) == rank[places[candidates]]]
    before, after = (np.bincount(trials[rows], minlength=count) for rows in (candidates, kept))
    left = int((after > 0).sum())
    notes = []
    if odd := int((~common).sum()):
        notes.append(f"left out {odd} of {len(known)} levels, which fewer than half of the trials have")
    if ended := int(((after > 0) & (after < before)).sum()):
        notes.append(f"{counted(ended, 'trial')} without a {resource} that others have: cut there")
    if left < count:
        notes.append(f"left out {counted(count - left, 'trial')} without the first {resource} of the others")
    if left < 2:
        why = f" ({'; '.join(notes)})" if notes else ""
        raise SurrogateError(source, f"{left} of {count} trials can be used; ranks need at least two{why}")
    return kept, notes


def _place_within(trials: Ints) -> Ints:
    """Return each row's place within its trial, from 0."""
    begins = np.flatnonzero(np.diff(trials, prepend=-1))
    return np.arange(len(trials)) - np.repeat(begins, np.diff(np.append(begins, len(trials))))


# Jobs of a trial, which may have been resumed several times


def _jobs(log: RunLog) -> Ints:
    """Return the number of each row's job within its trial; rows that were left out count too."""
    if log.fresh is None:
        return np.zeros(log.rows.height, dtype=np.int64)
    frame = pl.DataFrame({"trial": list(map(str, log.trials)), "fresh": log.fresh.cast(pl.Int64)})
    return frame.select(pl.col("fresh").cum_sum().over("trial"))["fresh"].to_numpy()


def _joined(
    log: RunLog, jobs: Ints, trials: Ints, levels: Floats, clock: Floats | None
) -> tuple[Ints, Floats, list[str]]:
    """Join the jobs of trials: return the rows that count, by trial and level, their seconds, and notes."""
    by_trial = np.argsort(trials, kind="stable")
    rows: list[Ints] = []
    seconds: list[float] = []
    resumed = replaced = 0
    for order in np.split(by_trial, np.flatnonzero(np.diff(trials[by_trial])) + 1):
        if not log.ordered:
            order = order[np.argsort(levels[order], kind="stable")]
        fresh = np.diff(jobs[order], prepend=jobs[order[0]]) > 0
        times = np.full(len(order), np.nan) if clock is None else clock[order]
        kept, joined, clocks = _joined_trial(levels[order], times, fresh, log.restarts)
        rows.append(order[kept])
        seconds += joined
        resumed += clocks
        replaced += len(order) - len(kept)
    notes = []
    if replaced:
        notes.append(
            f"left out {counted(replaced, 'row')}: their level was reported again later, which counts"
        )
    if resumed:
        notes.append(f"added up the time of jobs: it began again in {counted(resumed, 'resumed job')}")
    return np.concatenate(rows), np.array(seconds), notes


def _joined_trial(
    levels: Floats, times: Floats, fresh: NDArray[np.bool_], restarts: bool
) -> tuple[list[int], list[float], int]:
    """Return which rows of a trial count, their cumulative seconds, and how often its clock began again.

    A job that begins below the level already reached replaces the rows that it trains again. Its clock begins
    at 0 where `restarts`, or where it shows less than the time spent until then.
    """
    kept: list[int] = []
    seconds: list[float] = []
    offset, before, resumed = 0.0, -np.inf, 0
    triples = zip(levels.tolist(), times.tolist(), fresh.tolist(), strict=True)
    for row, (level, time, first) in enumerate(triples):
        while kept and levels[kept[-1]] >= level:
            kept.pop()
            seconds.pop()
        if first or time < before:
            spent = next((s for s in reversed(seconds) if s == s), 0.0)
            offset = spent if restarts or time < spent else 0.0
            resumed += offset > 0
        kept.append(row)
        seconds.append(time + offset)
        before = time if time == time else before
    return kept, seconds, resumed


# Time: from a column of seconds, from dates, or from the durations of whole trials


def _clock(
    log: RunLog, time: str | None, rows: Ints, trials: Ints, labels: Sequence[Label], levels: Floats
) -> tuple[Floats | None, list[str]]:
    """Return the seconds of each row, shape (n,), None where no time is known; and notes.

    Parameters
    ----------
    log : RunLog
        The log.
    time : str or None
        The column of time.
    rows, trials : array of int, shape (n,)
        Rows of the log, and the places of their trials in `labels`.
    labels : sequence of int or str
        The names of trials.
    levels : array, shape (n,)
        The resource of each row.

    Raises
    ------
    SurrogateError
        A time is negative.
    """
    notes: list[str] = []
    if time is None:
        if not any(value == value for value in log.durations.values()):
            return None, []
        top = np.zeros(len(labels))
        np.maximum.at(top, trials, levels)
        whole = np.array([log.durations.get(label, np.nan) for label in labels])
        clock = whole[trials] * levels / top[trials]
        notes = ["time is spread evenly over each trial, from its begin to its end"]
    else:
        clock = _numbers(log, time)[rows]
        clock = np.where(np.isfinite(clock), clock, np.nan)
        if log.starts is not None and time in log.times:
            starts = np.array([log.starts.get(label, np.nan) for label in labels])
            clock, notes = _since_start(trials, levels, clock, starts)
    if (clock < 0).any():
        raise SurrogateError(log.source, f"a time is negative: {time} is {np.nanmin(clock):g}")
    if log.counts_from_first:
        clock, first_notes = _with_first_level(trials, levels, clock)
        notes += first_notes
    return clock, notes


def _timed(trials: Ints, levels: Floats, clock: Floats) -> Iterator[tuple[Ints, int, int]]:
    """Yield each trial's rows that have a time, and the rows of its lowest and highest level among them."""
    for trial in range(int(trials.max()) + 1):
        rows = np.flatnonzero((trials == trial) & ~np.isnan(clock))
        if rows.size:
            yield rows, int(rows[np.argmin(levels[rows])]), int(rows[np.argmax(levels[rows])])


def _since_start(trials: Ints, levels: Floats, dates: Floats, starts: Floats) -> tuple[Floats, list[str]]:
    """Convert dates to seconds since each trial began.

    Where the begin is not known, the time until the first date is assumed at the mean pace afterwards.
    """
    seconds = np.full(len(dates), np.nan)
    guessed = 0
    for rows, first, last in _timed(trials, levels, dates):
        start = starts[trials[first]]
        if not start <= dates[rows].min():
            units = levels[last] - levels[first]
            rate = (dates[last] - dates[first]) / units if units > 0 else np.nan
            start = dates[first] - rate * levels[first]
            guessed += 1
        seconds[rows] = dates[rows] - start
    notes = ["time is taken from dates: if a run waited in between, that is in it"]
    if guessed:
        notes.append(
            f"when {counted(guessed, 'trial')} began is not known: until the first date it is the mean pace"
        )
    return seconds, notes


def _with_first_level(trials: Ints, levels: Floats, clock: Floats) -> tuple[Floats, list[str]]:
    """Add the time of a trial's first level where its clock shows 0 there, although training took time.

    The time is taken from the mean pace of the levels after it, where there are two. Rows may be in any
    order. Returns seconds, shape (n,), and notes.
    """
    seconds, moved = clock.copy(), 0
    for rows, first, last in _timed(trials, levels, clock):
        if clock[first] == 0.0 and clock[last] > 0.0 and levels[last] > levels[first]:
            pace = clock[last] / (levels[last] - levels[first])
            seconds[rows] += pace * levels[first]
            moved += 1
    if not moved:
        return seconds, []
    text = f"the clock of {counted(moved, 'trial')} shows 0 at the first level: that took the mean pace"
    return seconds, [text]


def _without_holes(trials: Ints, levels: Floats, seconds: Floats) -> tuple[Floats, list[str]]:
    """Fill holes in time before a curve's last time, by a line between two times, or from 0."""
    filled, holes = seconds.copy(), 0
    for known, _, last in _timed(trials, levels, seconds):
        begin = int(np.searchsorted(trials, trials[last]))  # rows come trial by trial, levels ascending
        missing = np.flatnonzero(np.isnan(seconds[begin:last])) + begin
        holes += len(missing)
        filled[missing] = np.interp(levels[missing], [0.0, *levels[known]], [0.0, *seconds[known]])
    return filled, [f"filled in the time of {counted(holes, 'row')}, along a line"] if holes else []
