"""What two logs of the same study say: order, survivors, decisions and regret.

A log is a dict of columns, arrays of shape (results,), as `same_log.Log` writes them, in the order in which
the scheduler was told.
"""

from __future__ import annotations

from fractions import Fraction
from math import isclose
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.same_log import COLUMNS, RUNGS
from hbsim.core.rungs import RULES

__all__ = [
    "Agreement",
    "Columns",
    "Steps",
    "agreement",
    "disorder",
    "head",
    "incumbents",
    "lateness",
    "overlap",
    "reached",
    "read_log",
    "regret_at",
    "regret_over",
]

Mode: TypeAlias = Literal["max", "min"]
Columns: TypeAlias = dict[str, NDArray[np.float64]]
Steps: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]  # times, and the regret from then on

SIGNS: Final = {"max": 1.0, "min": -1.0}
TIE: Final = 1e-12  # relative: what floats make of equal numbers


def read_log(path: Path) -> Columns:
    """Return a log, its columns as floats."""
    with np.load(path) as arrays:
        return {name: arrays[name].astype(np.float64) for name in COLUMNS}


def head(log: Columns, results: int | None) -> Columns:
    """Return the first results of a log; all for None."""
    return {name: column[:results] for name, column in log.items()}


def disorder(log: Columns) -> float:
    """Return the share of results that were told after one that was there later."""
    due = log["due"]
    return float(np.mean(due < np.maximum.accumulate(due)))


def lateness(log: Columns) -> tuple[float, float]:
    """Return the mean and the greatest lateness: simulated seconds from there to told."""
    late = log["time"] - log["due"]
    return float(late.mean()), float(late.max())


def reached(log: Columns) -> dict[int, set[int]]:
    """Return which trials have a result at each rung level."""
    return {level: {int(t) for t in log["trial"][log["level"] == level]} for level in RUNGS}


def overlap(one: Columns, other: Columns) -> dict[int, float | None]:
    """Return Jaccard's index of the trials at each rung level: those at it in both, over those in either.

    None where no trial came so far in either.
    """
    mine, theirs = reached(one), reached(other)
    shares: dict[int, float | None] = {}
    for level in RUNGS:
        either = mine[level] | theirs[level]
        shares[level] = len(mine[level] & theirs[level]) / len(either) if either else None
    return shares


class Agreement(NamedTuple):
    """Decisions below R: `same` of `total` alike; of the others, `tied` where a value equals the cutoff."""

    same: int
    total: int
    tied: int


def agreement(log: Columns, rule: str, mode: Mode) -> Agreement:
    """Return how many decisions below R hbsim's core takes alike, told of results in the log's own order.

    Each rung is held against all that was told there, whoever decided.

    Parameters
    ----------
    log : dict
        Of a study of the stopping type.
    rule : str
        hbsim's, as in `hbsim.make_scheduler`; eta is 3.
    mode : "max" or "min"
        Which values are better.
    """
    cuts = {level: RULES[rule](Fraction(3)) for level in RUNGS[:-1]}
    same = total = tied = 0
    for level, value, goes_on in zip(
        *(log[name].tolist() for name in ("level", "value", "goes_on")), strict=True
    ):
        if level < RUNGS[-1]:
            cut, signed = cuts[int(level)], SIGNS[mode] * value
            alike = cut.decide(signed) == bool(goes_on)
            total += 1
            same += alike
            tied += not alike and cut.cutoff is not None and isclose(signed, cut.cutoff, rel_tol=TIE)
    return Agreement(same, total, tied)


def incumbents(log: Columns, at_r: NDArray[np.float64], mode: Mode) -> Steps:
    """Return the regret at R of the incumbent, whenever it changes.

    Parameters
    ----------
    log : dict
        A study's; the incumbent is the trial of the best value told so far, at any level.
    at_r : array, shape (n,)
        The values of all rows at R; regret is the distance from the best of these.
    mode : "max" or "min"
        Which values are better.
    """
    signed = SIGNS[mode] * log["value"]
    best = np.maximum.accumulate(signed)
    changes = np.flatnonzero(np.diff(best, prepend=-np.inf) > 0)
    regret = (SIGNS[mode] * at_r).max() - SIGNS[mode] * at_r
    return log["time"][changes], regret[log["trial"][changes].astype(np.int64)]


def regret_at(steps: Steps, time: float) -> float:
    """Return the regret at a time, not before the first incumbent.

    Raises
    ------
    ValueError
        There is no incumbent yet.
    """
    times, regrets = steps
    place = int(np.searchsorted(times, time, side="right")) - 1
    if place < 0:
        raise ValueError(f"no incumbent at {time} s: the first comes at {times[0]} s")
    return float(regrets[place])


def regret_over(steps: Steps, start: float, end: float) -> float:
    """Return the mean regret over the time from `start` to `end`, not before the first incumbent."""
    times, regrets = steps
    inside = (times > start) & (times < end)
    edges = np.concatenate([[start], times[inside], [end]])
    heights = np.concatenate([[regret_at(steps, start)], regrets[inside]])
    return float(np.sum(np.diff(edges) * heights) / (end - start))
