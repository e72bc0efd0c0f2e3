"""What a page leaves out of a huge report, so that it still opens: curves, bands, timelines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hbsim.bench.report.model import Line, Report, Task, Timeline

__all__ = ["LADDER", "Limits", "on_grid", "size", "thinned"]


@dataclass(frozen=True)
class Limits:
    """How much of each task is kept: points a curve, variants with bands, timelines and their segments."""

    points: int
    bands: int
    timelines: int
    segments: int


ALL: Final = 10**9
SMALL: Final = "To keep this page small,"

# From everything to next to nothing; the first that fits is taken.
LADDER: Final = (
    Limits(ALL, ALL, ALL, 2500),
    Limits(ALL, ALL, 4, 1000),
    Limits(100, ALL, 2, 600),
    Limits(100, 8, 1, 400),
    Limits(60, 8, 1, 300),
    Limits(40, 5, 1, 200),
    Limits(40, 3, 0, 0),
    Limits(25, 3, 0, 0),
    Limits(25, 0, 0, 0),
    Limits(12, 0, 0, 0),
    Limits(0, 0, 0, 0),
)


def size(task: Task, limits: Limits) -> int:
    """Return about how many bytes a task takes in the page's data with these limits."""
    anytime = [min(limits.points, len(line.x)) for line in task.anytime]
    reached = [min(limits.points, len(line.x)) for line in task.reached]
    banded = sum(sorted(anytime)[-limits.bands :]) if limits.bands else 0
    curves = 3 * (sum(anytime) + 2 * banded + sum(reached)) + 16 * (len(anytime) + len(reached))
    grids = sum(7 * min(limits.points, len(x)) for x in {line.x for line in (*task.anytime, *task.reached)})
    drawn = task.timelines[: limits.timelines]
    segments = sum(20 * min(limits.segments, len(one.segments)) + 80 for one in drawn)
    rows = 200 * len(task.rows) + 26 * len(task.rungs) + 34 * len(task.regrets)
    return 1500 + curves + grids + segments + rows + 26 * len(task.brackets) + 46 * len(task.shares)


def thinned(report: Report, limits: Limits) -> tuple[Report, tuple[str, ...]]:
    """Return what is kept of `report`, and sentences on what is not."""
    small = replace(report, tasks=tuple(_thin_task(task, limits) for task in report.tasks))
    return small, tuple(_notes(report, small, limits))


def on_grid(line: Line, grid: NDArray[np.float64]) -> Line:
    """Return a curve in steps at the times of `grid`; NaN before its first."""
    x = np.asarray(line.x)
    place = np.searchsorted(x, grid, side="right") - 1

    def at(values: tuple[float, ...]) -> tuple[float, ...]:
        if not values:
            return ()
        found: list[float] = np.where(place < 0, np.nan, np.asarray(values)[place]).tolist()
        return tuple(found)

    return Line(line.variant, tuple(grid.tolist()), at(line.mean), at(line.low), at(line.high))


def _thin_task(task: Task, limits: Limits) -> Task:
    # Best first, so that what is kept is what decides.
    rank = {row.variant: row.rank for row in task.rows}
    banded = sorted(rank, key=lambda name: rank[name])[: limits.bands]
    shown = sorted(task.timelines, key=lambda one: rank.get(one.variant, ALL))[: limits.timelines]
    anytime = [line if line.variant in banded else replace(line, low=(), high=()) for line in task.anytime]
    return replace(
        task,
        anytime=_resampled(anytime, limits.points),
        reached=_resampled(task.reached, limits.points),
        timelines=tuple(_cut(one, limits.segments) for one in task.timelines if one in shown),
    )


def _resampled(lines: Iterable[Line], points: int) -> tuple[Line, ...]:
    lines = tuple(line for line in lines if line.x) if points else ()
    if all(len(line.x) <= points for line in lines):
        return lines
    grid = _grid(np.unique(np.concatenate([line.x for line in lines])), points)
    return tuple(on_grid(line, grid) for line in lines)


def _grid(times: NDArray[np.float64], points: int) -> NDArray[np.float64]:
    """Return at most `points` of the range of `times`, even on a linear and on a logarithmic axis."""
    above = times[times > 0]
    if len(above) < 2:
        return times
    half = (points - 1) // 2
    even = np.linspace(above[0], above[-1], points - 1 - half)
    ratios = np.geomspace(above[0], above[-1], half + 2)[1:-1]
    return np.unique(np.concatenate([times[:1], even, ratios]))[:points]


def _cut(timeline: Timeline, segments: int) -> Timeline:
    if len(timeline.segments) <= segments:
        return timeline
    kept = sorted(timeline.segments, key=lambda one: (one.start, one.worker))[:segments]
    return replace(timeline, segments=tuple(kept), cut=max(one.end for one in kept))


def _notes(full: Report, small: Report, limits: Limits) -> Iterable[str]:
    def count(report: Report, what: str) -> int:
        if what == "segments":
            return sum(len(one.segments) for task in report.tasks for one in task.timelines)
        lines = [line for task in report.tasks for line in (*task.anytime, *task.reached)]
        return sum(len(line.low if what == "bands" else line.x) for line in lines)

    if not limits.points and count(full, "points"):
        yield f"{SMALL} it holds no curves over time; the results themselves have them."
    elif count(small, "points") < count(full, "points"):
        yield f"{SMALL} curves over time have at most {limits.points} points each."
    if count(small, "bands") < count(full, "bands") and limits.points:
        kept = (
            f"those of the best {limits.bands} variants of a task" if limits.bands < ALL else "thinner ones"
        )
        yield f"{SMALL} of the bands around curves it holds {kept if limits.bands else 'none'}."
    if count(small, "segments") < count(full, "segments"):
        most = f"the first {limits.segments} stretches of at most {limits.timelines} studies a task"
        most = most if limits.timelines < ALL else f"the first {limits.segments} stretches of a study"
        yield f"{SMALL} of the workers’ timelines it holds {most if limits.timelines else 'none'}."
