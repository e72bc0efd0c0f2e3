"""From reports as they were logged to one curve a trial: jobs joined, repeats gone, time cumulative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hbsim.errors import SurrogateError
from hbsim.surrogates.import_choose import Chosen
from hbsim.surrogates.import_levels import shifted, whole_curves
from hbsim.surrogates.import_log import Label, Log, counted
from hbsim.surrogates.import_time import filled, seconds_of, without_start
from hbsim.surrogates.protocol import Floats, Ints

__all__ = ["Curves", "tidy"]

_HIGHEST: Final = 2.0**53  # beyond it whole numbers are not apart


@dataclass(frozen=True)
class Curves:
    """Rows that are kept: trials in order of appearance, each with its levels ascending.

    Attributes
    ----------
    rows : array of int, shape (n,)
        Their places in the log.
    trials : list of int or str
        The trial of each.
    levels : array, shape (n,)
        The resource.
    seconds : array, shape (n,), or None
        Cumulative seconds of training; NaN where nothing is known of a trial.
    notes : tuple of str
        What was left out and joined.
    """

    rows: Ints
    trials: list[Label]
    levels: Floats
    seconds: Floats | None
    notes: tuple[str, ...]


@dataclass
class _Counts:
    joined: int = 0
    replaced: int = 0


def tidy(log: Log, chosen: Chosen, first_level: int | None) -> Curves:
    """Return the rows that make up curves.

    Raises
    ------
    ParameterError, SurrogateError
        No row has both the resource and the metric, a level or time is negative, or no curve is left.
    """
    kept, notes = _kept(log, chosen)
    levels, shift_notes = shifted(_numbers(log, chosen.resource)[kept], first_level)
    kept, levels = kept[levels > 0], levels[levels > 0]
    if not kept.size:
        raise SurrogateError(log.source, f"has no level above 0: {chosen.resource} is 0 everywhere")
    trials = [log.trials[row] for row in kept.tolist()]
    clock, time_notes = seconds_of(log, chosen.time, kept, trials, levels)
    if clock is not None and (clock < 0).any():
        raise SurrogateError(log.source, f"a time is negative: {chosen.time} is {np.nanmin(clock):g}")
    if clock is not None and log.counts_from_first:
        clock, first_notes = without_start(trials, levels, clock)
        time_notes += first_notes
    counts = _Counts()
    places, joined = _all_joined(log, _jobs(log)[kept], trials, levels, clock, counts)
    trials, levels = [trials[place] for place in places.tolist()], levels[places]
    seconds = None if clock is None else joined
    stays, gap_notes = whole_curves(log.source, trials, levels, chosen.resource)
    trials = [trials[place] for place in stays.tolist()]
    levels, seconds = levels[stays], None if seconds is None else seconds[stays]
    if seconds is not None:
        seconds, fill_notes = filled(trials, levels, seconds)
        time_notes += fill_notes
    return Curves(
        rows=kept[places][stays],
        trials=trials,
        levels=levels,
        seconds=seconds,
        notes=(*notes, *shift_notes, *_told(counts), *gap_notes, *time_notes),
    )


def _kept(log: Log, chosen: Chosen) -> tuple[Ints, list[str]]:
    levels = _numbers(log, chosen.resource)
    level_there = np.isfinite(levels)
    told = log.rows[chosen.metric].is_not_null().to_numpy()
    kept = np.flatnonzero(level_there & told)
    if not kept.size:
        raise SurrogateError(log.source, f"no row has both {chosen.resource} and {chosen.metric}")
    low, high = levels[kept].min(), levels[kept].max()
    if low < 0:
        raise SurrogateError(log.source, f"a level is negative: {chosen.resource} is {low:g}")
    if high > _HIGHEST:
        raise SurrogateError(log.source, f"a level is above {_HIGHEST:g}: {chosen.resource} is {high:g}")
    notes = []
    for name, lost in ((chosen.resource, ~level_there), (chosen.metric, level_there & ~told)):
        if count := int(lost.sum()):
            notes.append(f"left out {counted(count, 'row')} without {name}")
    return kept, notes


def _numbers(log: Log, name: str) -> Floats:
    return log.rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _jobs(log: Log) -> Ints:
    """Return the number of each row's job within its trial; rows that were left out count too."""
    if log.fresh is None:
        return np.zeros(log.rows.height, dtype=np.int64)
    frame = pl.DataFrame({"trial": list(map(str, log.trials)), "fresh": log.fresh.cast(pl.Int64)})
    return frame.select(pl.col("fresh").cum_sum().over("trial"))["fresh"].to_numpy()


def _all_joined(
    log: Log, jobs: Ints, trials: list[Label], levels: Floats, clock: Floats | None, counts: _Counts
) -> tuple[Ints, Floats]:
    """Return the places of rows that stay, by trial and level, and their seconds."""
    by_trial: dict[Label, list[int]] = {}
    for place, trial in enumerate(trials):
        by_trial.setdefault(trial, []).append(place)
    rows: list[Ints] = []
    seconds: list[float] = []
    for places in by_trial.values():
        order = np.array(places)
        if not log.ordered:
            order = order[np.argsort(levels[order], kind="stable")]
        fresh = np.diff(jobs[order], prepend=jobs[order[0]]) > 0
        times = np.full(len(order), np.nan) if clock is None else clock[order]
        stays, joined = _join(levels[order], times, fresh, log.restarts, counts)
        rows.append(order[stays])
        seconds += joined
    return np.concatenate(rows), np.array(seconds)


def _join(
    levels: Floats, times: Floats, fresh: NDArray[np.bool_], restarts: bool, counts: _Counts
) -> tuple[list[int], list[float]]:
    """Walk through a trial's rows; return which stay, and their cumulative seconds.

    A job that begins below what was reached replaces what it trains again. Its clock begins at 0 where
    `restarts`, or where it shows less than what had been spent until there.
    """
    stays: list[int] = []
    seconds: list[float] = []
    offset, before = 0.0, -np.inf
    triples = zip(levels.tolist(), times.tolist(), fresh.tolist(), strict=True)
    for row, (level, time, first) in enumerate(triples):
        while stays and levels[stays[-1]] >= level:
            stays.pop()
            seconds.pop()
            counts.replaced += 1
        if first or time < before:
            spent = next((s for s in reversed(seconds) if s == s), 0.0)
            offset = spent if restarts or time < spent else 0.0
            counts.joined += offset > 0
        stays.append(row)
        seconds.append(time + offset)
        before = time if time == time else before
    return stays, seconds


def _told(counts: _Counts) -> list[str]:
    notes = []
    if counts.replaced:
        notes.append(
            f"left out {counted(counts.replaced, 'row')}: their level was reported again later, which counts"
        )
    if counts.joined:
        notes.append(f"added up the time of jobs: it began again in {counted(counts.joined, 'resumed job')}")
    return notes
