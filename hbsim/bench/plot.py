"""Anytime curves as a picture: how good the incumbent is, when, and at what cost."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hbsim.bench.anytime import Curve
from hbsim.bench.plot_axes import log_axis, mark_budget, plain_frame, score_limits
from hbsim.bench.plot_ranks import draw_ranks
from hbsim.bench.scores import Budget
from hbsim.bench.styles import Style, styles
from hbsim.bench.tables import UNITS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hbsim.bench.comparison import Comparison

__all__ = ["anytime_figure", "save_anytime"]

WIDTH: Final = 14.0  # inches
HEIGHT: Final = 5.2
VARIANT_LINE: Final = 0.3  # inches a variant in the ranking
DPI: Final = 130
EARLIEST: Final = 0.01  # of the budget, where an axis starts
MANY: Final = 4  # variants: with more, bands are paler


def save_anytime(comparison: Comparison, path: Path) -> None:
    """Write the anytime curves as a PNG file."""
    # No version of matplotlib in the file: the same picture has the same bytes.
    anytime_figure(comparison).savefig(path, dpi=DPI, metadata={"Software": None})


def anytime_figure(comparison: Comparison) -> Figure:
    """Return the mean score of each variant's incumbent, over simulated time and over trained resource.

    The third part is the ranking at equal time, and the legend.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    looks = styles(comparison.plan.variants)
    height = max(HEIGHT, 1.6 + VARIANT_LINE * len(looks))
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3, sharey=False, width_ratios=(5, 5, 2.4))
    unit, length = _unit(comparison)
    for axes, budget, scale in ((left, comparison.time, length), (middle, comparison.resource, 1.0)):
        _draw(axes, comparison, budget, scale, looks)
    draw_ranks(right, comparison, looks)
    workers = comparison.plan.cluster.workers
    left.set_ylabel(_score_label(comparison))
    left.set_xlabel(f"simulated {unit}, {workers} worker{'s' if workers > 1 else ''}")
    middle.set_xlabel("resource trained in all jobs")
    middle.tick_params(labelleft=False)
    figure.suptitle(_title(comparison), x=0.01, ha="left", fontsize=12, weight="bold")
    return figure


def _draw(axes: Axes, comparison: Comparison, budget: Budget, length: float, looks: Sequence[Style]) -> None:
    ranks = {row.label: row.at_time.rank for row in comparison.rows}
    curves = [curve for curve in comparison.curves if curve.axis == budget.axis]
    for curve in curves:
        label = comparison.plan.variants[curve.variant].label
        _draw_curve(axes, curve, looks[curve.variant], length, len(looks), 100 - ranks[label])
    mark_budget(axes, budget, length)
    plain_frame(axes)
    score_limits(axes, comparison)
    _time_limits(axes, curves, budget, length)


def _draw_curve(axes: Axes, curve: Curve, look: Style, length: float, variants: int, order: int) -> None:
    x = curve.x / length
    alpha = 0.15 if variants <= MANY else 0.07
    axes.fill_between(x, curve.low, curve.high, step="post", color=look.colour, alpha=alpha, linewidth=0)
    axes.plot(
        x,
        curve.mean,
        color=look.colour,
        linestyle=look.dashes,
        linewidth=1.7,
        drawstyle="steps-post",
        marker=look.marker,
        markersize=6,
        markevery=_spread(curve, variants),
        markeredgecolor="white",
        markeredgewidth=0.7,
        zorder=order,
    )


def _spread(curve: Curve, variants: int) -> list[int]:
    """Return where markers stand: a few, each variant's a little further along, and the last point."""
    there = np.flatnonzero(np.isfinite(curve.mean))
    if not there.size:
        return []
    step = max(1, len(curve.x) // 10)
    first = step * curve.variant // max(1, variants)
    return [*there[there % step == first].tolist(), int(there[-1])]


def _time_limits(axes: Axes, curves: Sequence[Curve], budget: Budget, length: float) -> None:
    """Leave out what came before a hundredth of the budget: it is the luck of the first few trials."""
    if not curves:
        return
    first, last = curves[0].x[0] / length, max(curve.x[-1] for curve in curves) / length
    if first > 0:
        axes.set_xscale("log")
        axes.set_xlim(max(first, budget.value / length * EARLIEST), last * 1.12)
        log_axis(axes.xaxis)


def _unit(comparison: Comparison) -> tuple[str, float]:
    """Return the unit of time, and its seconds."""
    last = max((curve.x[-1] for curve in comparison.curves if curve.axis == "time"), default=0.0)
    for name, length in UNITS:
        if last >= 2 * length:
            return {"d": "days", "h": "hours", "min": "minutes"}[name], length
    return "seconds", 1.0


def _score_label(comparison: Comparison) -> str:
    metric = f"{comparison.surrogate.metric} at R={comparison.plan.max_t:g}"
    if comparison.what == "regret":
        return f"regret of the incumbent, {metric} (less is better)"
    better = "more" if comparison.surrogate.mode == "max" else "less"
    return f"{metric} of the incumbent ({better} is better)"


def _title(comparison: Comparison) -> str:
    seeds = len(comparison.seeds)
    band = ", bands: 95 % bootstrap of the mean" if seeds > 1 else ""
    name = textwrap.shorten(comparison.surrogate.name, 70, placeholder=" ...")
    return f"{name}: mean of {seeds} seed{'s' if seeds > 1 else ''}{band}"
