"""What the drivers of `benchmarks.peers.same_study` share; needs NumPy only, as they run beside the peers."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from heapq import heappop, heappush
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

RUNGS: Final = (1, 3, 9, 27, 81)
COLUMNS: Final = ("time", "due", "trial", "level", "value", "goes_on")


class Log:
    """Results at milestones, in the order in which the scheduler was told of them."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, float, int, int, float, bool]] = []

    def add(self, time: float, due: float, trial: int, level: int, value: float, goes_on: bool) -> None:
        """Append a result.

        Parameters
        ----------
        time, due : float
            Simulated seconds: when the scheduler was told, and when the training had reached the level.
        trial, level : int
            The trial, which is a row of the table, and its epoch.
        value : float
            Of the metric.
        goes_on : bool
            Whether the scheduler lets the trial train on.
        """
        self.rows.append((time, due, trial, level, value, goes_on))

    def save(self, path: Path) -> None:
        """Write the columns as ``.npz``."""
        columns = zip(*self.rows, strict=True)
        np.savez(path, **{name: np.array(column) for name, column in zip(COLUMNS, columns, strict=True)})


Run: TypeAlias = Callable[[Path, str, int, Log], dict[str, object]]


def at_rungs(path: Path) -> tuple[list[list[float]], list[list[float]]]:
    """Return a table's values and seconds at the rung levels, two lists of shape (n, 5)."""
    columns = np.array(RUNGS) - 1
    with np.load(path) as table:
        return table["value"][:, columns].tolist(), table["t"][:, columns].tolist()


def drive(parser: argparse.ArgumentParser, make: Callable[[argparse.Namespace], Run]) -> None:
    """Run all studies that the command line asks for; print a line of JSON for each.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        With the driver's own options.
    make : callable
        From the options to what runs one study: a table, "max" or "min", workers, and the log to fill, to
        its figures, of which "cpu" is one.
    """
    parser.add_argument("--curves", type=Path, required=True, nargs="+", help="tables; row i is trial i")
    parser.add_argument("--mode", choices=("max", "min"), required=True)
    parser.add_argument("--workers", type=int, required=True, nargs="+")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the logs")
    options = parser.parse_args()
    run = make(options)
    for workers in options.workers:
        for curves in options.curves:
            log = Log()
            figures = run(curves, options.mode, workers, log)
            path = options.out / f"{curves.stem}-{workers}.npz"
            log.save(path)
            print(json.dumps({"workers": workers, "log": str(path), **figures}), flush=True)


def simulate(
    values: list[list[float]],
    seconds: list[list[float]],
    workers: int,
    goes_on: Callable[[int, int, float], bool],
    log: Log,
) -> None:
    """Train all trials, in order, each until it is stopped or has reached R.

    A result is told at the time at which it is there, and a worker starts the next trial at the time at
    which its last one ends; all results of one time are told before that.

    Parameters
    ----------
    values, seconds : lists of lists of float, shape (n, 5)
        At the rung levels; seconds since the trial began.
    workers : int
        How many.
    goes_on : callable
        From a trial, a level and a value to whether the trial goes on; not heeded at R.
    log : Log
        Every result is added to it.
    """
    running: list[tuple[float, int, int, float]] = []  # when due, trial, which rung, when it began
    now, started, idle = 0.0, 0, workers
    while running or started < len(values):
        while idle and started < len(values):
            heappush(running, (now + seconds[started][0], started, 0, now))
            started, idle = started + 1, idle - 1
        now = running[0][0]
        while running and running[0][0] == now:
            _, trial, rung, began = heappop(running)
            on = goes_on(trial, RUNGS[rung], values[trial][rung]) and rung + 1 < len(RUNGS)
            log.add(now, now, trial, RUNGS[rung], values[trial][rung], on)
            if on:
                heappush(running, (began + seconds[trial][rung + 1], trial, rung + 1, began))
            else:
                idle += 1
