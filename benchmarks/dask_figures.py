"""From a study's journal, and what its processes took, to the figures of `benchmarks.dask_speed`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import Any, Final

from benchmarks.dask_study import KINDS, Outcome

__all__ = ["decision_figures", "middle", "per_message", "spread", "trial_figures", "trips"]

Record = Mapping[str, Any]

RAMP: Final = 0.1  # of the decisions come before the window
SKIPPED: Final = 0.1  # of the trials: there are imports that only the first pay for


def decision_figures(records: Sequence[Record], workers: int) -> Outcome:
    """Return how fast it decided while all workers had something to do.

    The window begins with the tenth of the decisions, and ends when there was no job for a worker.

    Returns
    -------
    dict
        decisions, of the whole study; rate, decisions a second in the window; limit, what sleeping alone
        would allow: workers over the mean sleep before a decision; share, of these; beyond_ms, a worker's
        milliseconds a decision that it did not sleep.
    """
    reached = _of(records, "reach")
    begin = reached[int(RAMP * len(reached))]["t"]
    end = min((record["t"] for record in _of(records, "none")), default=reached[-1]["t"])
    inside = [record for record in reached if begin < record["t"] <= end]
    rate = len(inside) / (end - begin)
    slept = fmean(record["rows"][-1][3]["slept"] for record in inside)
    figures = {"decisions": len(reached), "window": end - begin, "rate": rate, "limit": workers / slept}
    return {**figures, "share": rate * slept / workers, "beyond_ms": 1e3 * (workers / rate - slept)}


def trips(records: Sequence[Record]) -> Outcome:
    """Return milliseconds from a report at a milestone to its verdict, in the trial, and from stop to end.

    Both are ``[median, 99th percentile]``; the end is when the controller has heard that nothing of the
    trial's processes is left, a checkpoint included where it pauses.
    """
    there = [row[3].get("trip") for record in _of(records, "reach") for row in record["rows"]]
    told = {record["job"]: record["t"] for record in _of(records, "reach") if record["verdict"] != "continue"}
    gone = [record["t"] - told[record["job"]] for record in _of(records, "gone") if record["job"] in told]
    return {"trip_ms": spread(trip for trip in there if trip), "gone_ms": spread(gone)}


def spread(seconds: Iterable[float]) -> list[float]:
    """Return median and 99th percentile, in milliseconds."""
    ordered = sorted(1e3 * second for second in seconds)
    return [median(ordered), ordered[int(0.99 * (len(ordered) - 1))]] if ordered else []


def trial_figures(outcome: Outcome, workers: int) -> Outcome:
    """Return what a trial takes that does nothing: a worker's milliseconds from one start to the next.

    Returns
    -------
    dict
        trial_ms; first, seconds from the call to the first trial; last, from the last report to the return;
        cpu, milliseconds a trial, by kind of process.
    """
    reached = _of(outcome["records"], "reach")
    begun = sorted(record["rows"][-1][3]["began"] for record in reached)
    steady = begun[int(SKIPPED * len(begun)) :]
    first, last = fmean(steady[:workers]), fmean(steady[-workers:])
    return {
        "trial_ms": 1e3 * workers * (last - first) / (len(steady) - workers),
        "first": begun[0] - outcome["called"],
        "last": outcome["ended"] - begun[-1],
        **trips(outcome["records"]),
        "cpu_ms": per_message(outcome, len(begun)),
    }


def per_message(outcome: Outcome, messages: int, less: Mapping[str, float] | None = None) -> dict[str, float]:
    """Return cpu milliseconds a message by kind of process; `less` is what they take a second anyway."""
    idle, seconds = less or {}, outcome["seconds"]
    return {kind: 1e3 * (outcome["cpu"][kind] - idle.get(kind, 0.0) * seconds) / messages for kind in KINDS}


def middle(runs: Sequence[Any]) -> Any:
    """Return medians of figures of the same form, place by place."""
    first = runs[0]
    if isinstance(first, Mapping):
        return {name: middle([run[name] for run in runs]) for name in first}
    if isinstance(first, list):
        return [middle([run[place] for run in runs]) for place in range(len(first))]
    return median(runs)


def _of(records: Iterable[Record], kind: str) -> list[Record]:
    return [record for record in records if record["e"] == kind]
