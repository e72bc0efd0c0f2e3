"""Plots of one study, as PNG files: its incumbent, its timeline, its trials' survival."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hbsim.bench.study_segments import segments
from hbsim.bench.study_style import INK, Colour, clean, level_colours, new_figure, save, time_unit, title
from hbsim.bench.study_timeline import timeline_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hbsim.simulation import Result

__all__ = ["incumbent_figure", "plot_study", "study_line", "survival_figure"]


def plot_study(result: Result, folder: Path) -> list[Path]:
    """Draw a study into `folder`.

    Returns
    -------
    list of path
        incumbent.png, timeline.png and survival.png.
    """
    line = study_line(result)
    figures = {
        "incumbent": incumbent_figure(result, line),
        "timeline": timeline_figure(segments(result), line),
        "survival": survival_figure(result, line),
    }
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"{name}.png")
        save(figure, paths[-1])
    return paths


def study_line(result: Result) -> str:
    """Return a study in a line: scheduler, curves, workers, trials."""
    options = result.scheduler.options.as_dict()
    parts = [f"{options['type']} on {result.curves.surrogate.name}"]
    if "reduction_factor" in options:
        parts.append(f"eta {options['reduction_factor']}")
    if "brackets" in options:
        parts.append(f"brackets {result.scheduler.brackets}")
    parts += [f"{result.cluster.workers:,} workers", f"{result.scheduler.started:,} trials"]
    return ", ".join(parts)


MARKERS: Final = "os^Dv<>ph*"


# The incumbent


def incumbent_figure(result: Result, study: str) -> Figure:
    """Draw the best value so far over simulated time: at any level, and of completed trials."""
    figure = new_figure(7.5, 4.5)
    axes = figure.subplots()
    unit, length = time_unit(result.end_time)
    end, in_units = result.end_time / length, pl.col("time") / length
    any_level, completed = (result.incumbent(at).with_columns(in_units) for at in ("any", "max_t"))
    _steps(axes, any_level, end, "at any level", "#0072b2", "-")
    _steps(axes, completed, end, "of completed trials", "#d55e00", "--")
    surrogate = result.curves.surrogate
    optimum = surrogate.optimum(result.scheduler.levels[-1])
    if optimum is not None:
        axes.axhline(optimum, color=INK, linewidth=1, linestyle=":", label="best of the space at R")
    shown = [*any_level["value"], *completed["value"], *([] if optimum is None else [optimum])]
    _scales(axes, any_level["time"].to_numpy(), shown, end)
    axes.set(xlabel=f"simulated {unit}", ylabel=f"{surrogate.metric} ({surrogate.mode})")
    clean(axes)
    title(axes, "Best value so far", study)
    if axes.lines:
        axes.legend(frameon=False, loc="lower right" if surrogate.mode == "max" else "upper right")
    return figure


def _steps(axes: Axes, rows: pl.DataFrame, end: float, label: str, colour: str, style: str) -> None:
    if rows.is_empty():
        return
    times, values = rows["time"].to_list(), rows["value"].to_list()
    axes.step(
        [*times, end],
        [*values, values[-1]],
        where="post",
        label=label,
        color=colour,
        linestyle=style,
        linewidth=2,
    )


def _scales(axes: Axes, times: NDArray[np.float64], values: list[float], end: float) -> None:
    """Take logarithmic scales where most would be squeezed into a corner."""
    if len(times) and times[0] > 0 and np.median(times) < end / 20:
        axes.set_xscale("log")
        axes.set_xlim(times[0], end)
    else:
        axes.set_xlim(0, end or 1)
        axes.xaxis.set_major_formatter("{x:,.10g}")
    if values and min(values) > 0 and max(values) / min(values) > 30:
        axes.set_yscale("log")


# Survival


def survival_figure(result: Result, study: str) -> Figure:
    """Draw how many of the trials of each bracket came to each level."""
    from matplotlib.ticker import LogLocator

    figure = new_figure(7.5, 4.5)
    axes = figure.subplots()
    axes.margins(x=0.08)
    rungs = result.rungs().filter(pl.col("recorded") > 0)
    brackets = rungs["bracket"].unique(maintain_order=True).to_list()
    colours = level_colours(len(brackets))[::-1]
    started = np.bincount(np.array(result.scheduler.trial_brackets()), minlength=1)
    for place, bracket in enumerate(brackets):
        mine = rungs.filter(bracket=bracket)
        label = f"bracket {bracket}: {started[bracket]:,} trials"
        marker, colour = MARKERS[place % len(MARKERS)], colours[place]
        axes.plot(mine["level"], mine["recorded"], marker=marker, color=colour, label=label)
    levels = result.scheduler.levels
    axes.set(xscale="log", yscale="log", xlabel="level (resource)", ylabel="trials that reached it")
    named = _apart([float(level) for level in levels])
    axes.set_xticks(named, [f"{level:g}" for level in named])
    axes.minorticks_off()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    most = max(rungs["recorded"], default=1)
    axes.set_ylim(max(0.7, min(rungs["recorded"], default=1) / 1.6), max(10, 1.6 * most))
    _counts(axes, rungs.filter(pl.col("level").is_in(named)), dict(zip(brackets, colours, strict=True)))
    clean(axes)
    title(axes, "Survival by rung and bracket", study)
    if brackets:
        axes.legend(frameon=False)
    return figure


def _apart(levels: Sequence[float]) -> list[float]:
    """Return levels that can be named on a logarithmic axis: R, and those below that leave room."""
    least = np.log10(levels[-1] / levels[0]) * 0.045
    named = [levels[-1]]
    for level in reversed(levels):
        if np.log10(named[-1] / level) > least:
            named.append(level)
    return named[::-1]


def _counts(axes: Axes, rungs: pl.DataFrame, colours: dict[int, Colour]) -> None:
    """Write the counts beside their points, none over another."""
    from matplotlib.patheffects import withStroke

    low, high = np.log10(axes.get_ylim())
    apart = (high - low) * 0.045
    halo = [withStroke(linewidth=2.5, foreground="white")]
    for level in rungs["level"].unique():
        least = -np.inf
        here = rungs.filter(level=level).sort("recorded").select("bracket", "recorded")
        for bracket, count in here.iter_rows():
            least = max(least + apart, float(np.log10(count)))
            at = (level, 10**least)
            text = axes.annotate(f"{count:,}", at, (7, -3), textcoords="offset points", fontsize=8)
            text.set(color=colours[bracket], path_effects=halo)
