"""A peer's logs held against hbsim's, study by study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.same_figures import (
    Columns,
    Mode,
    agreement,
    disorder,
    incumbents,
    lateness,
    overlap,
    reached,
    regret_at,
    regret_over,
)
from hbsim.bench.conclusions import Interval, mean_intervals

__all__ = ["PEERS", "Peer", "compare", "regrets"]


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
MFHPO: Final = ("same_mfhpo.py", "--results", str(RESULTS))
PEERS: Final = (
    Peer("Syne Tune", ("syne-tune", "numpy"), "syne", ("same_syne.py",), "rank"),
    Peer(
        "Syne Tune, polls every 0.25 s, no delays",
        ("syne-tune", "numpy"),
        "syne",
        ("same_syne.py", "--poll", "0.25", "--instant"),
        "rank",
    ),
    Peer("Ray Tune's ASHAScheduler", ("ray", "numpy"), "ray-scheduler", ("same_ray.py",), "quantile"),
    Peer("Optuna", ("optuna", "numpy"), "optuna", ("same_optuna.py",), "top-k"),
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
    difference = Interval(*map(float, mean_intervals(np.array([one - other for one, other in pairs]))))
    return {"seeds": pairs, "difference": [difference.mean, difference.low, difference.high]}


def _counts(log: Columns) -> list[int]:
    return [len(trials) for trials in reached(log).values()]
