"""Axes of pictures: scales, ticks and frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

    from hbsim.bench.comparison import Comparison
    from hbsim.bench.scores import Budget

__all__ = ["GREY", "log_axis", "mark_budget", "plain_frame", "score_limits"]

GREY: Final = "#555555"
FEW: Final = 10.0  # between the ends of an axis: 1, 2 and 5 would be three ticks or less


def plain_frame(axes: Axes) -> None:
    """Leave out the upper and right lines, and draw a pale grid behind."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(which="major", color="#e2e2e2", linewidth=0.7)
    axes.set_axisbelow(True)


def log_axis(axis: Axis, ticks: int = 6) -> None:
    """Write numbers as people do (0.02, 5, 2k), at 1, 2 and 5, or at powers of ten over many decades.

    Where that makes too few, at about `ticks` round numbers.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    low, high = axis.get_view_interval()
    ratio = high / low
    subs = (1.0, 2.0, 5.0) if ratio < 10**3 else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=30) if ratio > FEW else MaxNLocator(ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _written(value)))
    axis.set_minor_formatter(NullFormatter())


def _written(value: float) -> str:
    for suffix, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.4g}{suffix}"
    return f"{value:.4g}"


def mark_budget(axes: Axes, budget: Budget, length: float) -> None:
    """Draw a line where the variants are held against each other."""
    at = budget.value / length
    axes.axvline(at, color=GREY, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    axes.annotate(
        f"equal {budget.axis}",
        (at, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=9,
        color=GREY,
    )


def score_limits(axes: Axes, comparison: Comparison) -> None:
    """Choose scale and range of scores from the means, the same for all axes; bands may leave it."""
    means = np.concatenate([curve.mean for curve in comparison.curves] or [np.empty(0)])
    means = means[np.isfinite(means)]
    positive = means[means > 0]
    if comparison.what == "regret" and positive.size:
        axes.set_yscale("log", nonpositive="clip")
        axes.set_ylim(positive.min() / 1.6, positive.max() * 1.3)
        log_axis(axes.yaxis)
    elif means.size:
        margin = 0.06 * np.ptp(means) or 0.05 * abs(means[0]) or 1.0
        axes.set_ylim(means.min() - margin, means.max() + margin)
