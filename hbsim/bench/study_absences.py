"""When workers were not there, for a study's timeline: grey stripes."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, cast

import numpy as np
from numpy.typing import NDArray

from hbsim.bench.study_style import ABSENT_COLOUR, IDLE, boxes
from hbsim.simulation.presence import Presence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

    from hbsim.simulation import Result

__all__ = ["PATTERN", "absences", "absent_shares", "hatch", "hatched_patch", "striped", "until"]

PATTERN: Final = "//////"
STRIPE: Final = 3  # columns of a raster


def absences(result: Result) -> NDArray[np.float64]:
    """Return when each worker was not there, until the last job's end.

    Returns
    -------
    absent : array, shape (k, 3)
        Worker, from when, to when; ordered by worker and time.
    """
    cluster, end = result.cluster, result.end_time
    if not cluster.has_absences:
        return np.empty((0, 3))
    presence = Presence(cluster, result.simulated.seed)
    machines = [_of_machine(presence, machine, end) for machine in range(cluster.count_machines)]
    rows = [
        (worker, start, stop)
        for worker, machine in enumerate(cluster.machine_of)
        for start, stop in machines[machine]
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def _of_machine(presence: Presence, machine: int, end: float) -> list[tuple[float, float]]:
    found = []
    for absence in presence.absences(machine):
        if absence.start >= end:
            break
        found.append((absence.start, min(absence.end, end)))
    return found


def hatch(axes: Axes, absent: NDArray[np.float64], half: float) -> None:
    """Draw each absence as a striped rectangle, as high as a worker's row."""
    from matplotlib.collections import PolyCollection

    worker, left, right = absent.T
    drawn = PolyCollection(
        list(boxes(left, right, worker, half)),
        hatch=PATTERN,
        facecolors=IDLE,
        edgecolors=ABSENT_COLOUR,
        linewidths=0,
    )
    axes.add_collection(drawn)


def striped(absent: NDArray[np.float64], workers: int, end: float, columns: int) -> NDArray[np.bool_]:
    """Return the pixels that stripe absences in a raster, shape (workers, columns).

    A worker is absent in a column if it is in the middle of it.
    """
    middles = (np.arange(columns) + 0.5) * end / columns
    picture = np.zeros((workers, columns), dtype=np.bool_)
    firsts = np.searchsorted(absent[:, 0], np.arange(workers + 1))
    for worker, (first, last) in enumerate(pairwise(firsts)):
        if first < last:
            at = first + np.searchsorted(absent[first:last, 1], middles, side="right") - 1
            picture[worker] = (at >= first) & (middles < absent[np.maximum(at, first), 2])
    slant = np.arange(columns)[None, :] + STRIPE * np.arange(workers)[:, None]
    return cast("NDArray[np.bool_]", picture & (slant // STRIPE % 2 == 0))


def absent_shares(absent: NDArray[np.float64], workers: int, end: float, columns: int) -> NDArray[np.float64]:
    """Return the share of the workers that are not there in each column of time, shape (columns,)."""
    scale = columns / end if end else 0.0
    return (until(absent[:, 2] * scale, columns) - until(absent[:, 1] * scale, columns)) / workers


def until(times: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    """Return how much of each column lies before each time, summed over times; in columns."""
    whole = np.minimum(times.astype(np.int64), columns)
    counts = np.bincount(whole, minlength=columns + 1)
    parts = np.bincount(whole, weights=times - whole, minlength=columns + 1)
    beyond = np.cumsum(counts[::-1])[::-1] - counts  # how many times lie in later columns
    return np.asarray(beyond + parts, dtype=np.float64)[:columns]


def hatched_patch() -> Patch:
    """Return what stands for absences in a legend."""
    from matplotlib.patches import Patch

    return Patch(facecolor=IDLE, edgecolor=ABSENT_COLOUR, hatch=PATTERN, linewidth=0, label="absent")
