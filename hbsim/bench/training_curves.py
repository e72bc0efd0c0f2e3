"""A picture of a real study's training curves: a line a trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hbsim.bench.study_style import INK, MARK, clean, new_figure, save, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hbsim.live.result import RunResult

__all__ = ["plot_curves"]

Floats: TypeAlias = NDArray[np.float64]

FEW: Final = 12  # trials up to which each has its number beside it
# Okabe and Ito, "Color Universal Design" (2008): what became of a trial, the least of it first.
COLOURS: Final = {
    "stopped": "#9a9a9a",
    "paused": "#56b4e9",
    "failed": "#cc79a7",
    "running": "#e69f00",
    "completed": "#009e73",
}
FAR: Final = 3.0  # so many times the span of the middle half, and further, is far from all others
WIDE: Final = 30.0  # a greatest value so many times the least takes a logarithmic scale


@dataclass(frozen=True, slots=True)
class Curve:
    """A trial's reports, each resource once."""

    trial: int
    status: str
    resource: Floats
    value: Floats


def plot_curves(result: RunResult, path: Path | str | None = None) -> Figure:
    """Draw the metric that decides over the resource, a line a trial.

    Lines are coloured by what became of the trial; the incumbent's is thick. Up to twelve trials have their
    numbers beside them. Vertical lines are the rung levels. Values that are far worse than all others are
    left outside of the picture, and counted in it. Where a trial trained again what it had, its later report
    counts.

    Parameters
    ----------
    result : RunResult
        The study.
    path : path, optional
        Where to write a PNG.

    Returns
    -------
    matplotlib.figure.Figure
    """
    curves, best = curves_of(result), result.summary()["best_trial"]
    figure = new_figure(8, 5)
    axes = figure.subplots()
    _levels(axes, result, curves)
    for status in COLOURS:
        mine = [curve for curve in curves if curve.status == status]
        _lines(axes, mine, COLOURS[status], len(curves))
    incumbent = next((curve for curve in curves if curve.trial == best), None)
    if incumbent is not None:
        _incumbent(axes, incumbent, result.scheduler.mode)
    outside = _heights(axes, curves, result.scheduler.mode)
    if len(curves) <= FEW:
        _number(axes, curves, incumbent)
    axes.set(xlabel=result.spec.time_attr, ylabel=f"{result.spec.reward_attr} ({result.scheduler.mode})")
    clean(axes)
    axes.grid(visible=False, axis="x")
    title(axes, "Training curves", study_line(result, outside))
    _legend(figure, curves, incumbent)
    if path is not None:
        save(figure, Path(path))
    return figure


def study_line(result: RunResult, outside: int = 0) -> str:
    """Return a study in a line: scheduler, training function, workers, trials."""
    parts = [f"{result.scheduler.type} of {result.spec.train}"]
    parts += [_count(result.workers, "worker"), _count(result.scheduler.started, "trial")]
    if outside:
        parts.append(f"{_count(outside, 'value')} outside")
    return ", ".join(parts)


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def curves_of(result: RunResult) -> list[Curve]:
    """Return the curves of the trials that reported a number, in the order of trials."""
    import polars as pl

    rows = result.reports.filter(pl.col("value").is_finite())
    rows = rows.unique(["trial", "resource"], keep="last", maintain_order=True).sort("trial", "resource")
    statuses: Mapping[int, str] = dict(result.trials.select("trial", "status").iter_rows())
    return [
        Curve(trial, statuses[trial], part["resource"].to_numpy(), part["value"].to_numpy())
        for (trial,), part in rows.group_by("trial", maintain_order=True)
    ]


def _levels(axes: Axes, result: RunResult, curves: list[Curve]) -> None:
    """Mark the rung levels, and take a logarithmic scale where they are spaced so."""
    levels = [] if result.spec.until_return else list(result.scheduler.levels)
    first = min((curve.resource[0] for curve in curves), default=1.0)
    if len(levels) > 2 and first > 0:
        axes.set_xscale("log")
        axes.set_xticks(levels, [f"{level:.10g}" for level in levels])
        axes.minorticks_off()
        axes.set_xlim(min(first, levels[0]) / 1.08, 1.08 * levels[-1])
    for level in levels:
        axes.axvline(level, color="#e0e0e0", linewidth=1, zorder=0)


def _lines(axes: Axes, curves: list[Curve], colour: str, count: int) -> None:
    """Draw the curves of trials that met the same end; fainter the more there are."""
    from matplotlib.collections import LineCollection

    width, alpha = (1.5, 0.9) if count <= FEW else (1.0, max(0.15, min(0.8, 40 / count)))
    points = [np.column_stack((curve.resource, curve.value)) for curve in curves]
    lines = [line for line in points if len(line) > 1]
    axes.add_collection(LineCollection(lines, colors=colour, linewidths=width, alpha=alpha, zorder=2))
    ends = np.array([line[-1] for line in points]).reshape(-1, 2)
    size = 12 if count <= FEW else 5
    axes.scatter(ends[:, 0], ends[:, 1], s=size, color=colour, alpha=min(1.0, 2 * alpha), lw=0, zorder=3)
    axes.autoscale_view()


def _incumbent(axes: Axes, curve: Curve, mode: str) -> None:
    best = int(np.argmax(curve.value) if mode == "max" else np.argmin(curve.value))
    axes.plot(curve.resource, curve.value, color=MARK, linewidth=2.4, zorder=4)
    at = (curve.resource[best], curve.value[best])
    axes.scatter(*at, s=50, color=MARK, edgecolor="white", zorder=5)


def _heights(axes: Axes, curves: list[Curve], mode: str) -> int:
    """Leave values outside that are so bad that they would squeeze all others together: how many."""
    if not curves:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no reports", transform=axes.transAxes, ha="center", color=INK)
        return 0
    values = np.concatenate([curve.value for curve in curves])
    sign = 1.0 if mode == "max" else -1.0
    ends = np.array([sign * curve.value[place] for curve in curves for place in (0, -1)])
    low, high = np.quantile(ends, (0.25, 0.75))
    inside = values[sign * values >= low - FAR * (high - low)]
    least, most = float(inside.min()), float(inside.max())
    if least > 0 and most > WIDE * least:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        margin = (most / least) ** 0.05
        least, most = least / margin, most * margin
    else:
        margin = 0.05 * (most - least)
        least, most = least - margin, most + margin
    if len(inside) < len(values):
        axes.set_ylim(least, most)
    return len(values) - len(inside)


def _number(axes: Axes, curves: list[Curve], incumbent: Curve | None) -> None:
    """Write the numbers of trials beside the ends of their lines, none over another."""
    to_axes = axes.transScale + axes.transLimits
    ends = [to_axes.transform((curve.resource[-1], curve.value[-1])) for curve in curves]
    below: dict[float, float] = {}  # by place on the x axis: the height of the last number
    for place in sorted(range(len(curves)), key=lambda place: float(ends[place][1])):
        x, y = ends[place]
        if not 0 <= y <= 1:
            continue
        column = round(float(x), 3)
        below[column] = height = max(float(y), below.get(column, -1.0) + 0.04)
        curve = curves[place]
        axes.annotate(
            str(curve.trial),
            (x, height),
            (6, -3),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=8,
            color=MARK if curve is incumbent else COLOURS[curve.status],
        )


def _legend(figure: Figure, curves: list[Curve], incumbent: Curve | None) -> None:
    """Say what the colours mean, and how many trials have each."""
    from matplotlib.lines import Line2D

    handles = []
    if incumbent is not None:
        text = f"incumbent: trial {incumbent.trial}, {incumbent.status}"
        handles.append(Line2D([], [], color=MARK, linewidth=2.4, label=text))
    for status in reversed(COLOURS):
        count = sum(curve.status == status for curve in curves)
        if count:
            handles.append(Line2D([], [], color=COLOURS[status], label=f"{count:,} {status}"))
    if handles:
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=len(handles),
            frameon=False,
            fontsize=9,
            labelcolor=INK,
        )
