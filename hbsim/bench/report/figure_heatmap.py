"""Normalised regret over number of brackets and reduction factor, numbers in the cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from hbsim.bench.report.figures_heat import heat_range
from hbsim.bench.report.figures_names import shortened
from hbsim.bench.report.figures_style import DOUBLE, LETTER, SINGLE, new_figure
from hbsim.bench.report.model import Heatmap
from hbsim.bench.report.tables_numbers import NONE, decimals, number
from hbsim.bench.statistics import Interval
from hbsim.bench.study_style import MARK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["heatmap_figure"]

COLOURS: Final = "cividis_r"  # even steps to the eye, with all colours, some or none; dark is worse
CELL: Final = 0.3  # inches, the height of a row
WIDEST: Final = 6  # columns of one column's width
DARK: Final = 0.45  # brightness below which text is white


def heatmap_figure(heatmap: Heatmap, title: str) -> Figure | None:
    """Draw a heatmap with its title; the best has a frame. None where no cell has a number."""
    values = np.array(heatmap.values, dtype=np.float64).reshape(len(heatmap.brackets), len(heatmap.etas))
    if not np.isfinite(values).any():
        return None
    width = SINGLE if len(heatmap.etas) <= WIDEST else DOUBLE
    figure = new_figure(width, 1.0 + CELL * max(3, len(heatmap.brackets)))
    axes = figure.subplots()
    low, high = heat_range(heatmap)
    picture = axes.pcolormesh(
        np.ma.masked_invalid(values), cmap=COLOURS, vmin=low, vmax=high, edgecolors="white", linewidth=1.0
    )
    _numbers(axes, values, np.asarray(picture.to_rgba(values)))
    axes.set_xticks(np.arange(len(heatmap.etas)) + 0.5, [f"{eta:g}" for eta in heatmap.etas])
    axes.set_yticks(np.arange(len(heatmap.brackets)) + 0.5, [f"{one:g}" for one in heatmap.brackets])
    axes.set(xlabel="reduction factor η", ylabel="brackets")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    letters = int((width - 0.6) / LETTER)
    axes.set_title("\n".join(shortened(text, letters) for text in (title, heatmap.setting)))
    bar = figure.colorbar(picture, ax=axes, label="normalised regret", fraction=0.06, pad=0.02)
    bar.outline.set_visible(False)
    return figure


def _numbers(axes: Axes, values: NDArray[np.float64], colours: NDArray[np.float64]) -> None:
    """Write each cell's number in black or white, whichever can be read on it; frame the least."""
    from matplotlib.patches import Rectangle

    digits = decimals(Interval(value, np.nan, np.nan) for value in values.flat)
    least = np.nanmin(values)
    for (row, column), value in np.ndenumerate(values):
        there = bool(np.isfinite(value))
        bright = colours[row, column, :3] @ (0.299, 0.587, 0.114)
        axes.text(
            column + 0.5,
            row + 0.5,
            number(value, digits) if there else NONE,
            ha="center",
            va="center",
            fontsize=7,
            weight="bold" if value == least else "normal",
            color="white" if there and bright < DARK else "black",
        )
        if value == least:
            axes.add_patch(
                Rectangle((column, row), 1, 1, fill=False, edgecolor=MARK, linewidth=1.6, zorder=4)
            )
