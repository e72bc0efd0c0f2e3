"""The timeline of a study: a row a worker, coloured by the level that is trained towards."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from hbsim.bench.study_absences import PATTERN, absent_shares, hatch, hatched_patch, striped, until
from hbsim.bench.study_segments import OVERHEAD, Segments
from hbsim.bench.study_style import (
    ABSENT_COLOUR,
    IDLE,
    INK,
    MARK,
    OVERHEAD_COLOUR,
    Colour,
    boxes,
    clean,
    level_colours,
    new_figure,
    spread,
    time_unit,
    title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["busy_shares", "raster", "timeline_figure"]

COLUMNS: Final = 1500  # of a raster, and steps of the shares
BARS: Final = 4000  # no more bars than these are drawn one by one
MARKS: Final = 1500  # nor marks


def timeline_figure(segments: Segments, study: str) -> Figure:
    """Draw who did what when, and below it the share of workers that train towards each level.

    Parameters
    ----------
    segments : Segments
        Of the study.
    study : str
        A line that names it.
    """
    unit, length = time_unit(segments.end_time)
    segments = segments.in_units(length)
    height = min(9.0, 3.4 + 0.16 * segments.workers)
    figure = new_figure(11, height)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(height - 1.9, 1.3))
    if len(segments.start) + len(segments.absent) <= BARS:
        bars(above, segments)
    else:
        image(above, segments)
    marks(above, segments)
    above.set(ylabel="worker", ylim=(segments.workers - 0.5, -0.5), xlim=(0, segments.end_time or 1))
    above.yaxis.get_major_locator().set_params(integer=True, nbins=8 if segments.workers > 12 else 12)
    above.spines[["top", "right"]].set_visible(False)
    title(above, "Workers over time, by the level they train towards", study)
    _shares(below, segments)
    below.set_xlabel(f"simulated {unit}")
    legend(figure, segments)
    return figure


def _colours(segments: Segments) -> list[Colour]:
    """Return colours so that level i has entry i, and `OVERHEAD`, -1, the last."""
    return [*level_colours(len(segments.levels)), OVERHEAD_COLOUR]


def bars(axes: Axes, segments: Segments) -> None:
    """Draw a rectangle a segment, at least a pixel wide where there is room, and gaps between long jobs."""
    from matplotlib.collections import LineCollection, PolyCollection

    pixel = segments.end_time / COLUMNS
    half = 0.42 if segments.workers <= 100 else 0.5
    left, y = segments.start, segments.worker
    same = np.append(y[1:] == y[:-1], False)
    room = np.where(same, np.roll(left, -1), segments.end_time)
    right = np.maximum(segments.end, np.minimum(left + pixel, room))
    colours = _colours(segments)
    faces = [colours[level] for level in segments.level]
    axes.add_collection(PolyCollection(list(boxes(left, right, y, half)), facecolors=faces, linewidths=0))
    new = np.append(True, segments.job[1:] != segments.job[:-1]) & (right - left > 4 * pixel)
    gaps = [[(x, worker - half), (x, worker + half)] for x, worker in zip(left[new], y[new], strict=True)]
    axes.add_collection(LineCollection(gaps, colors=IDLE, linewidths=0.8))
    if len(segments.absent):
        hatch(axes, segments.absent, half)


def image(axes: Axes, segments: Segments) -> None:
    from matplotlib.colors import BoundaryNorm, ListedColormap

    count = len(segments.levels)
    colours = ListedColormap([IDLE, OVERHEAD_COLOUR, *level_colours(count), ABSENT_COLOUR])
    norm = BoundaryNorm(np.arange(count + 4) - 2.5, colours.N)
    extent = (0, segments.end_time, segments.workers - 0.5, -0.5)
    picture = raster(segments, COLUMNS)
    picture[striped(segments.absent, segments.workers, segments.end_time, COLUMNS)] = count
    axes.imshow(
        picture,
        cmap=colours,
        norm=norm,
        extent=extent,
        aspect="auto",
        interpolation="nearest",
    )


def raster(segments: Segments, columns: int) -> NDArray[np.int64]:
    """Return what each worker does in the middle of each column of time, shape (workers, columns).

    Indices of levels; -1 for start-up, loading and saving, -2 for nothing. One moment stands for a
    column, so that where columns hold many jobs colours are as frequent as their shares of time.
    """
    middles = (np.arange(columns) + 0.5) * segments.end_time / columns
    picture = np.full((segments.workers, columns), -2, dtype=np.int64)
    firsts = np.searchsorted(segments.worker, np.arange(segments.workers + 1))
    for worker, (first, last) in enumerate(pairwise(firsts)):
        if first == last:
            continue
        at = first + np.searchsorted(segments.start[first:last], middles, side="right") - 1
        within = (at >= first) & (middles < segments.end[np.maximum(at, first)])
        picture[worker, within] = segments.level[at[within]]
    return picture


def marks(axes: Axes, segments: Segments) -> None:
    """Mark where jobs were cut short by failures, and where they were cut at the end of the study."""
    size = float(np.clip(400 / segments.workers, 4, 40))
    lost = segments.lost[:: max(1, -(-len(segments.lost) // MARKS))]
    if len(lost):
        axes.scatter(lost[:, 1], lost[:, 0], s=size, marker="x", color=MARK, linewidths=1, zorder=3)
    if len(segments.cut):
        x = np.full(len(segments.cut), segments.end_time)
        axes.scatter(
            x, segments.cut[:, 0], s=2 * size, marker="|", color=INK, linewidths=1.5, zorder=3, clip_on=False
        )


def _shares(axes: Axes, segments: Segments) -> None:
    """Draw the share of workers that train towards each level, over time."""
    columns = 300
    shares = busy_shares(segments, columns)
    edges = np.linspace(0, segments.end_time, columns + 1)
    order = [*range(len(segments.levels) - 1, -1, -1), OVERHEAD]
    steps = np.concatenate([shares, shares[:, -1:]], axis=1)
    colours = _colours(segments)
    bottom = np.zeros(columns + 1)
    for level in order:
        top = bottom + 100 * steps[level]
        axes.fill_between(edges, bottom, top, step="post", color=colours[level], linewidth=0)
        bottom = top
    if len(segments.absent):
        absent = absent_shares(segments.absent, segments.workers, segments.end_time, columns)
        top = 100 * (1 - np.append(absent, absent[-1:]))
        axes.fill_between(
            edges,
            top,
            100,
            step="post",
            hatch=PATTERN,
            facecolor=IDLE,
            edgecolor=ABSENT_COLOUR,
            linewidth=0,
        )
    axes.xaxis.set_major_formatter("{x:,.10g}")
    axes.set(ylim=(0, 100), ylabel="workers, %")
    clean(axes)


def busy_shares(segments: Segments, columns: int) -> NDArray[np.float64]:
    """Return the share of workers' time spent on each level in each column of time.

    Returns
    -------
    shares : array, shape (levels + 1, columns)
        The last row is start-up, loading and saving.
    """
    scale = columns / segments.end_time if segments.end_time else 0.0
    shares = np.zeros((len(segments.levels) + 1, columns))
    for level in range(OVERHEAD, len(segments.levels)):
        mine = segments.level == level
        busy = until(segments.end[mine] * scale, columns) - until(segments.start[mine] * scale, columns)
        shares[level] = busy / segments.workers
    return shares


def legend(figure: Figure, segments: Segments) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    colours = _colours(segments)
    handles: list[object] = [
        Patch(color=colours[i], label=f"to {segments.levels[i]:g}") for i in spread(len(segments.levels))
    ]
    if (segments.level == OVERHEAD).any():
        handles.append(Patch(color=OVERHEAD_COLOUR, label="start-up, load, save"))
    if len(segments.absent):
        handles.append(hatched_patch())
    if len(segments.lost):
        handles.append(
            Line2D([], [], color=MARK, marker="x", linestyle="", label=f"cut short ({len(segments.lost):,})")
        )
    if len(segments.cut):
        handles.append(Line2D([], [], color=INK, marker="|", linestyle="", label="under way at the end"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 10), frameon=False)
