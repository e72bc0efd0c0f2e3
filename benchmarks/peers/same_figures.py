"""What two logs of the same study say: order, survivors, decisions and regret.

A log is a dict of columns, arrays of shape (results,), as `same_log.Log` writes them, in the order in which
the scheduler was told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isclose
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.same_log import COLUMNS, RUNGS
from hbsim.bench.conclusions import mean_intervals
from hbsim.core.rungs import RULES

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


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool, one way to run it, and the study of hbsim's that it is held against.

    Attributes
    ----------
    name : str
        In the tables.
    packages : tuple of str
        Whose versions are kept; the first is the tool.
    environment : str
        ``requirements-ENVIRONMENT.txt``.
    command : tuple of str
        The driver, and its options.
    rule : str or None
        hbsim's stopping rule; None: its promotion type, of which the first `results` count.
    results : int or None
        How many results are looked at; None: all.
    """

    name: str
    packages: tuple[str, ...]
    environment: str
    command: tuple[str, ...]
    rule: str | None
    results: int | None = None


RESULTS: Final = 1300  # as many as leave rows to start with to the end, at 100 workers too
MFHPO: Final = ("mfhpo.py", "--results", str(RESULTS))
PEERS: Final = (
    Peer("Syne Tune", ("syne-tune", "numpy"), "syne", ("syne.py",), "rank"),
    Peer(
        "Syne Tune, polls every 0.25 s, no delays",
        ("syne-tune", "numpy"),
        "syne",
        ("syne.py", "--poll", "0.25", "--instant"),
        "rank",
    ),
    Peer(
        "Ray Tune's ASHAScheduler",
        ("ray", "numpy"),
        "ray-scheduler",
        ("with_ray.py", "same_study"),
        "quantile",
    ),
    Peer("Optuna", ("optuna", "numpy"), "optuna", ("with_optuna.py", "same_study"), "top-k"),
    Peer("mfhpo-simulator", ("mfhpo-simulator", "numpy"), "mfhpo", MFHPO, None, RESULTS),
    Peer(
        "mfhpo-simulator, every job a configuration",
        ("mfhpo-simulator", "numpy"),
        "mfhpo",
        (*MFHPO, "--plain"),
        None,
        RESULTS,
    ),
)


def regrets(
    theirs: Columns, ours: Columns, at_r: NDArray[np.float64], mode: Mode
) -> dict[str, tuple[float, float]]:
    """Return regret at R of the incumbents, theirs and ours, over the time that both studies had.

    From the later of the two first results to the earlier of the two ends: after its first quarter, at its
    end, and the mean over all of it.
    """
    pair = [incumbents(log, at_r, mode) for log in (theirs, ours)]
    start = max(float(times[0]) for times, _ in pair)
    end = min(float(log["time"].max()) for log in (theirs, ours))
    quarter = start + (end - start) / 4
    one, other = pair
    return {
        "quarter": (regret_at(one, quarter), regret_at(other, quarter)),
        "end": (regret_at(one, end), regret_at(other, end)),
        "mean": (regret_over(one, start, end), regret_over(other, start, end)),
    }


def compare(
    peer: Peer,
    mode: Mode,
    theirs: Sequence[Columns],
    ours: Sequence[Columns],
    at_r: Sequence[NDArray[np.float64]],
) -> dict[str, Any]:
    """Return the figures of a peer's studies at one number of workers, lists with an entry a seed.

    Raises
    ------
    RuntimeError
        A study used up the rows where it should not.
    """
    for log, rows in zip((*theirs, *ours), (*at_r, *at_r), strict=True):
        if peer.results and max(log["trial"]) >= len(rows) - 1:
            raise RuntimeError(f"{peer.name}: no row was left to start with before result {peer.results}")
    pairs = list(zip(theirs, ours, strict=True))
    by_seed = [regrets(*pair, rows, mode) for pair, rows in zip(pairs, at_r, strict=True)]
    decisions = [list(agreement(log, peer.rule, mode)) for log in theirs] if peer.rule else None
    return {
        "disorder": [disorder(log) for log in theirs],
        "late": [lateness(log) for log in theirs],
        "hbsim_disorder": [disorder(log) for log in ours],
        "hbsim_late": [lateness(log) for log in ours],
        "reached": [_counts(log) for log in theirs],
        "hbsim_reached": [_counts(log) for log in ours],
        "overlap": [list(overlap(*pair).values()) for pair in pairs],
        "decisions": decisions,
        "regret": {name: _spread([seed[name] for seed in by_seed]) for name in ("quarter", "end", "mean")},
        "simulated_seconds": [float(log["time"].max()) for log in theirs],
        "hbsim_simulated_seconds": [float(log["time"].max()) for log in ours],
    }


def _spread(pairs: list[tuple[float, float]]) -> dict[str, Any]:
    """Return the seeds' pairs, and the mean of theirs less ours with its 95 % interval."""
    difference = mean_intervals(np.array([one - other for one, other in pairs]))
    return {"seeds": pairs, "difference": [float(end) for end in difference]}


def _counts(log: Columns) -> list[int]:
    return [len(trials) for trials in reached(log).values()]
