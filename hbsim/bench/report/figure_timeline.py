"""What workers did in one study of each variant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from hbsim.bench.report.figures_names import shortened
from hbsim.bench.report.figures_style import DOUBLE, Looks, legend_height, new_figure, put_legend
from hbsim.bench.report.model import Timeline
from hbsim.bench.study_style import OVERHEAD_COLOUR, Colour, boxes, clean, level_colours, spread, time_unit

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["timeline_page"]

BARS: Final = 3000  # in a panel: with more, it is an image in the SVG


def timeline_page(timelines: Sequence[Timeline], title: str, looks: Looks) -> Figure | None:
    """Draw the workers of a few variants over time, coloured by the level they train towards."""
    shown = [one for one in timelines if one.segments and one.workers > 0 and one.variant in looks.label]
    if not shown:
        return None
    end = max(segment.end for one in shown for segment in one.segments)
    unit, length = time_unit(end)
    levels = sorted({level for one in shown for level in one.levels})
    colours = dict(zip(levels, level_colours(len(levels)), strict=True))
    texts = [*(_text(level) for level in _named(levels)), "start-up, checkpoints"]
    heights = [min(1.5, 0.35 + 0.07 * one.workers) for one in shown]
    figure = new_figure(DOUBLE, 0.7 + sum(heights) + 0.22 * len(shown) + legend_height(DOUBLE, texts))
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False, height_ratios=heights).flatten()
    for axes, timeline in zip(panels, shown, strict=True):
        _panel(axes, timeline, colours, length)
        axes.set_title(f"{looks.label[timeline.variant]}{_cut(timeline)}", fontsize=7, pad=3)
    panels[-1].set(xlim=(0, end / length), xlabel=f"simulated {unit}")
    panels[-1].xaxis.set_major_formatter("{x:,.10g}")
    figure.suptitle(shortened(title, 110), fontsize=8, x=0.01, ha="left")
    put_legend(figure, _patches(colours))
    return figure


def _named(levels: Iterable[float]) -> list[float]:
    """Return the levels that the legend has: not all of very many."""
    all_of_them = list(levels)
    return [all_of_them[index] for index in spread(len(all_of_them))]


def _text(level: float) -> str:
    return f"to level {level:g}"


def _cut(timeline: Timeline) -> str:
    cut = "" if timeline.cut is None else f", the first {len(timeline.segments):,} stretches"
    return f" (seed {timeline.seed}{cut})"


def _panel(axes: Axes, timeline: Timeline, colours: dict[float, Colour], length: float) -> None:
    from matplotlib.collections import PolyCollection
    from matplotlib.ticker import MaxNLocator

    start = np.array([segment.start for segment in timeline.segments]) / length
    end = np.array([segment.end for segment in timeline.segments]) / length
    worker = np.array([segment.worker for segment in timeline.segments])
    faces = [
        OVERHEAD_COLOUR if segment.level is None else colours.get(segment.level, OVERHEAD_COLOUR)
        for segment in timeline.segments
    ]
    shapes = PolyCollection(list(boxes(start, end, worker, 0.42)), facecolors=faces, linewidths=0)
    shapes.set_rasterized(len(faces) > BARS)
    axes.add_collection(shapes)
    axes.set_ylim(timeline.workers - 0.5, -0.5)
    axes.set_ylabel("worker")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    clean(axes)
    axes.grid(visible=False)


def _patches(colours: dict[float, Colour]) -> list[Artist]:
    from matplotlib.patches import Patch

    made: list[Artist] = [Patch(color=colours[level], label=_text(level)) for level in _named(colours)]
    return [*made, Patch(color=OVERHEAD_COLOUR, label="start-up, checkpoints")]
