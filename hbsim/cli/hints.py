"""What a simulated study's user should hear beside its numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from hbsim.cli.show_study import duration

if TYPE_CHECKING:
    from hbsim.simulation import Result

__all__ = ["notes_of", "warnings_of"]

MANY_FAILED: Final = 0.1  # of the trials
LITTLE: Final = 0.05  # of the busy time


def warnings_of(result: Result) -> list[str]:
    """Return what may make a study other than it was meant, in a line each."""
    return [text for text in (_failed(result),) if text]


def _failed(result: Result) -> str:
    scheduler = result.scheduler
    trials, failed = scheduler.started, scheduler.status_counts()["failed"]
    if not failed or failed < MANY_FAILED * trials or result.no_worker_after is not None:
        return ""
    retries, name = scheduler.options.retries, "--retries"
    if scheduler.options.loss_retries is not None:  # all simulated failures are losses
        retries, name = scheduler.options.loss_retries, "--loss-retries"
    return f"{failed:,} of {trials:,} trials failed for good: give more {name} (now {retries})"


def notes_of(result: Result) -> list[str]:
    """Return what may have been forgotten, in a line each."""
    return [text for text in (_hardly_trains(result),) if text]


def _hardly_trains(result: Result) -> str:
    """Say it where workers do nearly all their time something else than training."""
    rows = result.simulated.jobs.ended()
    busy, trained = math.fsum(rows["end_time"] - rows["start_time"]), math.fsum(rows["trained"])
    if not trained or trained >= LITTLE * busy:
        return ""
    trial, besides = trained / result.scheduler.started, (busy - trained) / len(rows)
    own = "synthetic:seconds=..., " if result.curves.surrogate.name.startswith("synthetic") else ""
    return (
        f"a trial of these curves trains for {duration(trial)} on average, and start-up, loading, saving and "
        f"waiting take {duration(besides)} a job: give the curves' real cost ({own}--wrap cost:factor=...)"
    )
