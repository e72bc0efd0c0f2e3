"""What early decisions cost at each rung, a panel a bracket."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from hbsim.bench.plot_axes import log_axis, plain_frame
from hbsim.bench.report.figures_names import shortened
from hbsim.bench.report.figures_style import DOUBLE, LETTER, SINGLE, Looks, legend, legend_height, new_figure
from hbsim.bench.report.figures_views import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["rungs_figure"]

COLUMNS: Final = 4
PANELS: Final = 12  # brackets, at most


def rungs_figure(view: View, looks: Looks) -> Figure | None:
    """Draw the loss of each rung's decisions over its level; None where nothing was decided."""
    rows = [row for row in view.rungs if math.isfinite(row.loss) and row.variant in looks.style]
    brackets = sorted({row.bracket for row in rows})[:PANELS]
    if not brackets:
        return None
    names = looks.order([row.variant for row in rows])
    width = SINGLE if len(brackets) == 1 and len(names) <= 8 else DOUBLE
    columns = min(COLUMNS, len(brackets))
    lines = -(-len(brackets) // columns)
    below = legend_height(width, [looks.label[name] for name in names])
    figure = new_figure(width, 0.4 + 1.75 * lines + below)
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False).flatten()
    levels = [row.level for row in rows]
    for place, (axes, bracket) in enumerate(zip(grid, brackets, strict=False)):
        _panel(axes, view, bracket, looks, (min(levels), max(levels)))
        if len(brackets) > 1:
            axes.set_title(f"bracket {bracket}", fontsize=7)
        if place % columns == 0:
            axes.set_ylabel("loss, normalised regret")
        if place + columns >= len(brackets):
            axes.set_xlabel("level of the rung")
    losses = [0.0, *(row.loss for row in rows if row.bracket in brackets)]
    margin = 0.06 * (max(losses) - min(losses)) or 1.0
    grid[0].set_ylim(min(losses) - (margin if min(losses) < 0 else 0.0), max(losses) + margin)
    for axes in grid[len(brackets) :]:
        axes.set_visible(False)
    letters = int(width / LETTER * 0.85)
    figure.suptitle(shortened(view.title, letters), fontsize=8, x=0.01, ha="left")
    legend(figure, looks, names)
    return figure


def _panel(axes: Axes, view: View, bracket: int, looks: Looks, ends: tuple[float, float]) -> None:
    for name in looks.style:
        mine = sorted(
            (row.level, row.loss)
            for row in view.rungs
            if row.variant == name and row.bracket == bracket and math.isfinite(row.loss)
        )
        look = looks.style[name]
        axes.plot(
            [level for level, _ in mine],
            [loss for _, loss in mine],
            color=look.colour,
            linestyle=look.dashes,
            linewidth=1.0,
            marker=look.marker,
            markersize=4,
            markeredgecolor="white",
            markeredgewidth=0.4,
        )
    axes.set_xscale("log")
    axes.set_xlim(ends[0] / 1.3, ends[1] * 1.3)
    log_axis(axes.xaxis)
    plain_frame(axes)
