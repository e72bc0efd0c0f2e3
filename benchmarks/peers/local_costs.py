"""From what the drivers of `benchmarks.peers.local` say to what a trial and a report cost."""

from __future__ import annotations

from statistics import fmean
from typing import Any

__all__ = ["Outcome", "report_costs", "study_costs"]

Outcome = dict[str, Any]


def study_costs(outcome: Outcome, trials: int, workers: int, warm: float | None) -> Outcome:
    """Return what a study's trials cost.

    The first tenth, or the first two, are left out of what a trial costs: there are imports that only the
    first trial of a process pays for.

    Parameters
    ----------
    outcome : dict
        What the driver said.
    trials, workers : int
        How many trials, and how many at a time.
    warm : float or None
        Milliseconds of an epoch in a process that has trained before; None: as in these trials themselves.

    Raises
    ------
    RuntimeError
        Not all trials reported.
    """
    begun = sorted(outcome["trials"], key=lambda trial: trial["began"])
    if len(begun) != trials:
        raise RuntimeError(f"{len(begun)} trials reported instead of {trials}")
    steady = begun[max(2, trials // 10) :]
    first, last = (fmean(trial["began"] for trial in part) for part in (steady[:workers], steady[-workers:]))
    between = (last - first) / (len(steady) - workers)  # whether they start together or in turn
    whole = 1e3 * workers * between
    own = 1e3 * fmean(trial["trained"] for trial in steady[:-workers])
    epochs = fmean(trial["epoch"] for trial in steady[:-workers])
    same = own if warm is None else epochs * warm
    return {
        "trial_ms": whole,
        "own_ms": own,
        "beyond_own_ms": whole - own,
        "warm_ms": same,
        "beyond_warm_ms": whole - same,
        "epochs": epochs,
        "reports_a_trial": outcome["seen"] / trials,
        "startup": begun[0]["began"] - outcome["called"],
        "seconds": outcome["ended"] - outcome["called"],
    }


def report_costs(outcome: Outcome, reports: int) -> Outcome:
    """Return what a trial's reports cost.

    Raises
    ------
    RuntimeError
        Not all reports were seen.
    """
    if outcome["seen"] != reports:
        raise RuntimeError(f"{outcome['seen']} reports were seen instead of {reports}")
    (trial,) = outcome["trials"]
    return {
        "report_us": 1e6 * trial["spent"] / (reports - 1),  # the last row was made before its own report
        "reports_a_second": reports / (outcome["ended"] - trial["began"]),
    }
