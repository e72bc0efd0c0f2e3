"""Anytime curves: normalised regret, or the share of seeds at the target, over simulated time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from hbsim.bench.plot_axes import GREY, log_axis, plain_frame
from hbsim.bench.report.figures_names import shortened
from hbsim.bench.report.figures_style import DOUBLE, LETTER, SINGLE, Looks, legend, legend_height, new_figure
from hbsim.bench.report.model import Line, Task
from hbsim.bench.study_style import time_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PANELS", "anytime_figure", "anytime_page", "mean_figure", "reached_figure"]

PANELS: Final = 12  # of a page
COLUMNS: Final = 3
EARLIEST: Final = 0.01  # of the budget, where an axis starts
DECADES: Final = 4  # of regret, at most
FEW: Final = 4  # variants: with more, bands are paler
BANDED: Final = 8  # variants: with more, there are no bands
REGRET: Final = "normalised regret"


def anytime_figure(task: Task, looks: Looks) -> Figure | None:
    """Draw a task's anytime curves, one column wide if they are few; None where there are none."""
    if not any(_there(line).any() for line in task.anytime):
        return None
    unit, length = time_unit(_end(task))
    figure, axes = _single(task.anytime, looks, band=_banded(task.anytime))
    _curves(axes, task.anytime, looks, length)
    _time_axis(axes, task, length)
    _regret_axis(axes, task.anytime, length)
    axes.set(xlabel=f"simulated {unit}", ylabel=REGRET)
    axes.set_title(_title(task.name, SINGLE))
    return figure


def reached_figure(task: Task, looks: Looks) -> Figure | None:
    """Draw the share of seeds that have reached the target; None where there is none."""
    if not any(_there(line).any() for line in task.reached):
        return None
    unit, length = time_unit(_end(task))
    figure, axes = _single(task.reached, looks, band=False)
    _curves(axes, task.reached, looks, length)
    _time_axis(axes, task, length)
    axes.set(xlabel=f"simulated {unit}", ylabel=f"seeds at regret ≤ {task.target:g}", ylim=(-0.03, 1.03))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    axes.set_title(_title(task.name, SINGLE))
    return figure


def anytime_page(tasks: Sequence[Task], setting: str, part: str, looks: Looks) -> Figure | None:
    """Draw the anytime curves of up to `PANELS` tasks of a setting, a panel each, in two columns' width."""
    lines = [line for task in tasks for line in task.anytime]
    if not any(_there(line).any() for line in lines):
        return None
    names = looks.order([line.variant for line in lines])
    rows, below = -(-len(tasks) // COLUMNS), legend_height(DOUBLE, [looks.label[name] for name in names])
    figure = new_figure(DOUBLE, 0.55 + 1.55 * rows + below)
    unit, length = time_unit(max(map(_end, tasks)))
    grid = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
    for axes, task in zip(grid, tasks, strict=False):
        _curves(axes, task.anytime, looks, length)
        _time_axis(axes, task, length)
        _regret_axis(axes, task.anytime, length)
        axes.set_title(_title(task.surrogate, DOUBLE / COLUMNS), fontsize=7)
    for axes in grid[len(tasks) :]:
        axes.set_visible(False)
    for place, axes in enumerate(grid[: len(tasks)]):
        if place + COLUMNS >= len(tasks):
            axes.set_xlabel(f"simulated {unit}")
        if place % COLUMNS == 0:
            axes.set_ylabel(REGRET)
    figure.suptitle(f"{shortened(setting, 90)}{part}", fontsize=8, x=0.01, ha="left")
    legend(figure, looks, names, band=_banded(lines))
    return figure


def mean_figure(
    tasks: Sequence[Task], setting: str, looks: Looks, names: Sequence[str] = ()
) -> Figure | None:
    """Draw the mean over groups of tasks, over the share of each task's budget; None below two groups.

    Parameters
    ----------
    tasks : sequence of Task
        Those of a setting. One that lacks any of the variants is left out, so that all means are over the
        same tasks.
    setting : str
        What it is called.
    looks : Looks
        Of the variants.
    names : sequence of str
        The variants to show; without, those that are on all tasks.
    """
    drawn = [{line.variant for line in task.anytime if _there(line).any()} for task in tasks]
    shown = [name for name in looks.style if (name in names if names else all(name in d for d in drawn))]
    whole = [task for task, there in zip(tasks, drawn, strict=True) if there.issuperset(shown)]
    groups = len({task.group for task in whole})
    if groups < 2 or not shown:
        return None
    lines = [_mean_line(whole, name) for name in shown]
    if not any(_there(line).any() for line in lines):
        return None
    figure, axes = _single(lines, looks, band=_banded(lines))
    _curves(axes, lines, looks, 1.0)
    axes.set_xscale("log")
    axes.set_xlim(min(np.array(line.x)[_there(line)].min() for line in lines if _there(line).any()), 1.08)
    shares = [share for share in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if share >= axes.get_xlim()[0]]
    axes.set_xticks(shares, [f"{100 * share:.0f}" for share in shares])
    axes.minorticks_off()
    _regret_axis(axes, lines, 1.0)
    axes.set(xlabel="simulated time, % of the task's budget", ylabel=REGRET)
    axes.set_title(_title(setting, SINGLE - 1.1) + f": mean of {groups} groups")
    return figure


def _mean_line(tasks: Sequence[Task], variant: str) -> Line:
    """Return a variant's mean over tasks of a group, then over groups, with a bootstrap band over groups.

    It starts where all of them have a value.
    """
    from hbsim.bench.statistics import mean_band

    grid = np.geomspace(EARLIEST, 1.0, 100)
    groups: dict[str, list[NDArray[np.float64]]] = {}
    for task in tasks:
        line = next(line for line in task.anytime if line.variant == variant)
        groups.setdefault(task.group, []).append(_at(line, grid * task.budget))
    means = np.array([np.mean(found, axis=0) for found in groups.values()])
    means[:, np.isnan(means).any(axis=0)] = np.nan
    mean, low, high = mean_band(means)
    return Line(variant, tuple(grid), tuple(mean), tuple(low), tuple(high))


def _at(line: Line, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a curve in steps at `times`; NaN before it starts."""
    place = np.searchsorted(np.array(line.x), times, side="right")
    return np.append(np.nan, np.array(line.mean))[place]


def _single(lines: Sequence[Line], looks: Looks, *, band: bool) -> tuple[Figure, Axes]:
    names = looks.order([line.variant for line in lines])
    texts = [*(looks.label[name] for name in names), *(["95% interval"] if band else [])]
    width = SINGLE if len(names) <= BANDED else DOUBLE
    figure = new_figure(width, (2.35 if width == SINGLE else 3.2) + legend_height(width, texts))
    axes = figure.subplots()
    legend(figure, looks, names, band=band)
    return figure, axes


def _curves(axes: Axes, lines: Sequence[Line], looks: Looks, length: float) -> None:
    shown = [line for name in looks.style for line in lines if line.variant == name and line.x]
    banded = _banded(shown)
    for place, line in enumerate(shown):
        look, x, mean = looks.style[line.variant], np.array(line.x) / length, np.array(line.mean)
        if banded and line.low and line.high:
            alpha = 0.15 if len(shown) <= FEW else 0.08
            axes.fill_between(
                x, line.low, line.high, step="post", color=look.colour, alpha=alpha, linewidth=0
            )
        axes.plot(
            x,
            mean,
            color=look.colour,
            linestyle=look.dashes,
            linewidth=1.1,
            drawstyle="steps-post",
            marker=look.marker,
            markersize=3.5,
            markevery=_spread(mean, place, len(shown)),
            markeredgecolor="white",
            markeredgewidth=0.35,
            zorder=3 + len(shown) - place,
        )
    plain_frame(axes)


def _spread(mean: NDArray[np.float64], place: int, curves: int) -> list[int]:
    """Return where markers stand: a few, each curve's a little further along."""
    there = np.flatnonzero(np.isfinite(mean))
    if not there.size:
        return []
    step = max(1, len(mean) // 5)
    return [int(index) for index in there[there % step == step * place // max(1, curves)]]


def _time_axis(axes: Axes, task: Task, length: float) -> None:
    """Leave out what came before a hundredth of the budget: it is the luck of the first few trials."""
    last = _end(task)
    first = min((line.x[0] for line in (*task.anytime, *task.reached) if line.x), default=0.0)
    axes.set_xlim(0.0, last / length or 1.0)
    if last > 0 and np.isfinite(last):
        axes.set_xscale("log")
        axes.set_xlim(max(first, last * EARLIEST) / length, last * 1.08 / length)
        log_axis(axes.xaxis)
    if 0 < task.budget < last * 0.98:
        axes.axvline(task.budget / length, color=GREY, linewidth=0.7, linestyle=(0, (4, 3)), zorder=1)


def _regret_axis(axes: Axes, lines: Sequence[Line], length: float) -> None:
    """Choose scale and range from the means that the time axis shows; bands may leave it."""
    first = axes.get_xlim()[0] * length
    values = np.concatenate([_from(line, first) for line in lines] or [np.empty(0)])
    positive = values[values > 0]
    if positive.size:
        top = float(positive.max()) * 1.3
        axes.set_yscale("log", nonpositive="clip")
        axes.set_ylim(max(float(positive.min()) / 1.5, top / 10**DECADES), top)
        log_axis(axes.yaxis)


def _from(line: Line, first: float) -> NDArray[np.float64]:
    """Return the means of a curve in steps that hold at `first` or later."""
    if not line.x:
        return np.empty(0)
    shown = np.append(_at(line, np.array([first])), np.array(line.mean)[np.array(line.x) >= first])
    return np.asarray(shown[np.isfinite(shown)], dtype=np.float64)


def _end(task: Task) -> float:
    """Return when the last curve of a task ends, simulated seconds; its budget where there is none."""
    return max((line.x[-1] for line in (*task.anytime, *task.reached) if line.x), default=task.budget)


def _there(line: Line) -> NDArray[np.bool_]:
    return np.isfinite(np.array(line.mean, dtype=np.float64))


def _banded(lines: Sequence[Line]) -> bool:
    few = len({line.variant for line in lines}) <= BANDED
    return few and any(line.low and np.isfinite(line.low).any() for line in lines)


def _title(text: str, width: float) -> str:
    return shortened(text, int((width - 0.5) / LETTER))
