"""From what the drivers of `benchmarks.peers.dask_ray` say to decisions a second and what a trial costs."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median
from typing import Any, Final

__all__ = ["Outcome", "crowd", "trial"]

Outcome = dict[str, Any]

RAMP: Final = 0.1  # of the decisions come before the window, or of the trials: imports that the first pay for


def crowd(outcome: Outcome, trials: int, workers: int) -> Outcome:
    """Return how fast a study with many trials at a time decided, while there were trials to be started.

    Returns
    -------
    dict
        rate, decisions a second; limit, what sleeping alone would allow: workers over the mean sleep before a
        decision; beyond_ms, a worker's milliseconds a decision that it did not sleep; trip_ms, from a report
        to its verdict, median and 99th percentile; at_once, the most trials between their start and their
        last report; startup and seconds, to the first trial and in all.

    Raises
    ------
    RuntimeError
        Not all trials reported.
    """
    begun = _begun(outcome, trials)
    reached = sorted(outcome["reports"], key=lambda row: float(row["at"]))
    begin, end = reached[int(RAMP * len(reached))]["at"], begun[-1]
    inside = [row for row in reached if begin < row["at"] <= end]
    rate, slept = len(inside) / (end - begin), fmean(row["slept"] for row in inside)
    trips = sorted(1e3 * row["trip"] for row in reached if row["trip"])
    return {
        "decisions": len(reached),
        "window": end - begin,
        "rate": rate,
        "limit": workers / slept,
        "beyond_ms": 1e3 * (workers / rate - slept),
        "trip_ms": [median(trips), trips[int(0.99 * (len(trips) - 1))]],
        "at_once": _at_once(reached),
        "startup": begun[0] - outcome["called"],
        "seconds": outcome["ended"] - outcome["called"],
    }


def trial(outcome: Outcome, trials: int, workers: int) -> Outcome:
    """Return a worker's milliseconds from the start of a trial that does nothing to the next one's.

    Raises
    ------
    RuntimeError
        Not all trials reported.
    """
    begun = _begun(outcome, trials)
    steady = begun[max(2, int(RAMP * trials)) :]
    first, last = fmean(steady[:workers]), fmean(steady[-workers:])
    whole = 1e3 * workers * (last - first) / (len(steady) - workers)
    return {"trial_ms": whole, "seconds": outcome["ended"] - outcome["called"]}


def _begun(outcome: Outcome, trials: int) -> list[float]:
    """Return when each trial's function was called first, in order of time."""
    first: dict[Any, float] = {}
    for row in outcome["reports"]:
        first[row["trial"]] = min(row["began"], first.get(row["trial"], row["began"]))
    if len(first) != trials:
        raise RuntimeError(f"{len(first)} trials reported instead of {trials}")
    return sorted(first.values())


def _at_once(reports: Sequence[Outcome]) -> int:
    spans: dict[Any, list[float]] = {}
    for row in reports:
        span = spans.setdefault(row["trial"], [row["began"], row["at"]])
        span[1] = max(span[1], row["at"])
    steps = sorted(step for begin, end in spans.values() for step in ((begin, 1), (end, -1)))
    most = now = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most
