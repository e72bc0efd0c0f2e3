"""Training that only sleeps, so that a small machine can run many trials at a time.

Knows no tuner: each driver gives the rows to its own reporter. Times are of the monotonic clock, which all
processes of a machine share.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

__all__ = ["LEAST", "LEVELS", "MOST", "R", "Row", "nap", "options", "outcome", "rows", "still"]

LEVELS: Final = (1, 3, 9, 27)  # of a trial's milestones; it reports nowhere else
R: Final = LEVELS[-1]
LEAST, MOST = 0.2, 1.0  # seconds until a milestone

Row = dict[str, Any]


def nap(x: float, level: int) -> float:
    """Return the seconds that a configuration sleeps before a level, between the least and the most."""
    return LEAST + (MOST - LEAST) * (x * 9973 * level % 1.0)


def rows(x: float, done: int = 0) -> Iterator[Row]:
    """Sleep until each of the levels above `done`.

    Yields
    ------
    dict
        epoch; accuracy; began, when the function was called; at, when this was reported; slept, seconds since
        the level before; trip, seconds from the report before until its verdict was back, 0 at the first.
    """
    began, trip = time.monotonic(), 0.0
    for number, level in enumerate(LEVELS):
        if level > done:
            slept = nap(x, level)
            time.sleep(slept)
            at = time.monotonic()
            accuracy = x * (1 - 0.5 ** (number + 1))
            times = {"began": began, "at": at, "slept": slept, "trip": trip}
            yield {"epoch": level, "accuracy": accuracy, **times}
            trip = time.monotonic() - at


def still(x: float) -> Iterator[Row]:
    """Do nothing, and report it once."""
    now = time.monotonic()
    yield {"epoch": 1, "accuracy": x, "began": now, "at": now, "slept": 0.0, "trip": 0.0}


def options(description: str | None) -> argparse.ArgumentParser:
    """Return the command line that all drivers share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--trials", type=int, default=640)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--still", action="store_true", help="trials that do nothing, and report once")
    return parser


def outcome(reports: Iterable[Row], called: float, ended: float) -> str:
    """Return what a driver prints: one line of JSON.

    Parameters
    ----------
    reports : iterable of dict
        Of all trials, each with its ``trial``.
    called, ended : float
        When the study was started, and when it returned.
    """
    kept = ("epoch", "began", "at", "slept", "trip")
    found = [{"trial": row["trial"], **{name: float(row[name]) for name in kept}} for row in reports]
    return json.dumps({"called": called, "ended": ended, "reports": found})
