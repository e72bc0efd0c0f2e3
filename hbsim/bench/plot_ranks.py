"""The ranking at equal time as a picture, which is the legend too."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from hbsim.bench.plot_axes import log_axis, plain_frame
from hbsim.bench.styles import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hbsim.bench.comparison import Comparison

__all__ = ["draw_ranks"]

LONGEST: Final = 44  # characters of a label in a line


def draw_ranks(axes: Axes, comparison: Comparison, looks: Sequence[Style]) -> None:
    """Draw each variant's mean and interval at equal time, the best at the top, its name beside it."""
    places = {variant.label: index for index, variant in enumerate(comparison.plan.variants)}
    intervals = [row.at_time.interval for row in comparison.rows]
    means = np.array([interval.mean for interval in intervals])
    logarithmic = comparison.what == "regret" and bool((means > 0).any())
    if logarithmic:
        axes.set_xscale("log", nonpositive="clip")
    for line, row in enumerate(comparison.rows):
        look, found = looks[places[row.label]], row.at_time.interval
        if np.isfinite(found.low):
            ends = [found.low, found.high]
            axes.plot(ends, [line, line], color=look.colour, linestyle=look.dashes, linewidth=1.9)
        axes.plot([found.mean], [line], look.marker, color=look.colour, markersize=8, markeredgecolor="white")
    _frame(axes, comparison)
    if logarithmic:
        log_axis(axes.xaxis, ticks=3)


def _frame(axes: Axes, comparison: Comparison) -> None:
    plain_frame(axes)
    axes.spines["left"].set_visible(False)
    axes.spines["right"].set_visible(True)
    axes.yaxis.tick_right()
    axes.set_ylim(len(comparison.rows) - 0.4, -0.6)
    axes.set_yticks(range(len(comparison.rows)), [_name(comparison, i) for i in range(len(comparison.rows))])
    axes.tick_params(axis="y", length=0, labelsize=10)
    axes.set_xlabel(f"{comparison.what} at equal time")


def _name(comparison: Comparison, line: int) -> str:
    row = comparison.rows[line]
    text = f"{row.at_time.rank}  {row.label}"
    if row.at_time.call == "no score":
        text += " (no score)"
    return "\n".join(textwrap.wrap(text.replace(",", ", "), LONGEST))
