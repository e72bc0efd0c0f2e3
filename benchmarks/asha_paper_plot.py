"""The pictures of the ASHA paper's workloads, from their figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from benchmarks.asha_paper_cells import DROPS, LIMIT, POLICIES, STDS, VARIANTS
from benchmarks.asha_paper_figures import Figures
from benchmarks.plots import COLOURS, DASHES, INK, MARKERS, clean, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = ["save_policies", "save_workloads"]

Sample: TypeAlias = Callable[[float], Sequence[float]]  # p -> a figure by seed

NAMES: Final = {
    "pausing": "promotion, always pauses",
    "straight on": "promotion, goes straight on",
    "overlapping": "sha, brackets overlap",
    "waiting": "sha, one bracket at a time",
}
PAID: Final = {"promotion": "lost, place held", "sha": "lost, nominal quota"}  # of the first picture
ROWS: Final = ("trials trained to R", "time of the first")
STD: Final = 1.33  # of the second picture
LEGENDS: Final = {1: "lower left", 3: "upper left"}  # its columns with room for one, of each type
SIZE: Final = (13.0, 6.4)  # inches
NOTE: Final = (
    f"Means and twice their standard error; a seed without any trial at R counts as {LIMIT:.0f}. "
    "25 workers, eta=4, R=256, 2000 time units."
)


def save_workloads(content: Mapping[str, Any], path: Path) -> None:
    """Draw all variants against p, a column a std; a dropped job is lost, and its place with it."""
    figures = Figures(content)
    figure, grid = _panels(
        len(STDS), "Trained to R, and the first of them: a dropped job is lost, and its place with it"
    )
    lines: list[Line2D] = []
    for column, std in enumerate(STDS):
        grid[0][column].set_title(f"std {std:g}", fontsize=11, color=INK)
        lines = []
        for number, variant in enumerate(VARIANTS):
            policy = PAID[str(VARIANTS[variant]["type"])]
            samples = _samples(figures, variant, policy, std)
            lines.append(_line([grid[0][column], grid[1][column]], samples, number, NAMES[variant]))
    _finish(figure, grid)
    grid[0][-1].legend(handles=lines, loc="upper right", frameon=False, fontsize=9)
    save(figure, path)


def save_policies(content: Mapping[str, Any], path: Path) -> None:
    """Draw all policies against p at the largest std, a column a variant."""
    figures = Figures(content)
    figure, grid = _panels(len(VARIANTS), f"What becomes of a dropped job, at std {STD:g}")
    for column, variant in enumerate(VARIANTS):
        grid[0][column].set_title(NAMES[variant], fontsize=11, color=INK)
        lines = []
        for number, policy in enumerate(POLICIES[str(VARIANTS[variant]["type"])]):
            samples = _samples(figures, variant, policy, STD)
            lines.append(_line([grid[0][column], grid[1][column]], samples, number, policy))
        if column in LEGENDS:
            grid[0][column].legend(handles=lines, loc=LEGENDS[column], frameon=False, fontsize=9)
    _finish(figure, grid)
    save(figure, path)


def _panels(columns: int, title: str) -> tuple[Figure, Any]:
    figure = new_figure(*SIZE)
    grid = figure.subplots(len(ROWS), columns, sharex=True, sharey="row", squeeze=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
    return figure, grid


def _samples(figures: Figures, variant: str, policy: str, std: float) -> list[Sample]:
    return [
        lambda p: figures.trained(variant, policy, std, p),
        lambda p: figures.first(variant, policy, std, p),
    ]


def _line(column: Sequence[Axes], samples: Sequence[Sample], number: int, label: str) -> Line2D:
    """Draw a variant or policy in both rows of a column."""
    for axes, sample in zip(column, samples, strict=True):
        means = [fmean(sample(p)) for p in DROPS]
        bars = [2 * stdev(sample(p)) / sqrt(len(sample(p))) for p in DROPS]
        low = [mean - bar for mean, bar in zip(means, bars, strict=True)]
        high = [mean + bar for mean, bar in zip(means, bars, strict=True)]
        x = [1000 * p for p in DROPS]
        colour = COLOURS[number]
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        (line,) = axes.plot(
            x,
            means,
            color=colour,
            linestyle=DASHES[number],
            marker=MARKERS[number],
            markersize=5,
            label=label,
        )
    return line


def _finish(figure: Figure, grid: Any) -> None:
    for row, name in zip(grid, ROWS, strict=True):
        row[0].set_ylabel(name, fontsize=11, color=INK)
        for axes in row:
            clean(axes)
            axes.set_ylim(bottom=0)
    for axes in grid[-1]:
        axes.set_xticks([1000 * p for p in DROPS], ["0", "0.25", "0.5", "0.75", "1"])
    figure.supxlabel(
        f"p, probability a time unit that a job is dropped, in thousandths\n{NOTE}", fontsize=9.5, color=INK
    )
