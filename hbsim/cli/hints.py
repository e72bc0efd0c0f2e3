"""What a simulated study's user should hear beside its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hbsim.simulation import Result

__all__ = ["warnings_of"]

MANY_FAILED: Final = 0.1  # of the trials


def warnings_of(result: Result) -> list[str]:
    """Return what may make a study other than it was meant, in a line each."""
    return [text for text in (_failed(result),) if text]


def _failed(result: Result) -> str:
    scheduler = result.scheduler
    trials, failed = scheduler.started, scheduler.status_counts()["failed"]
    if not failed or failed < MANY_FAILED * trials or result.no_worker_after is not None:
        return ""
    retries = scheduler.options.as_dict()["retries"]
    return f"{failed:,} of {trials:,} trials failed for good: give more --retries (now {retries})"
