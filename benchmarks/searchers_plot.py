"""The picture that `benchmarks.searchers` draws: a panel a setting."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from benchmarks.plots import COLOURS, INK, clean, new_figure, save
from benchmarks.searchers_sweep import SEARCHERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

Row: TypeAlias = dict[str, Any]
STYLES: Final = dict(
    zip(SEARCHERS, (COLOURS[6], COLOURS[4], COLOURS[5], COLOURS[3], COLOURS[2], COLOURS[1]), strict=True)
)
DASHES: Final = {
    "random": "-",
    "sobol": (0, (5, 2)),
    "tpe": (0, (1.2, 1.4)),
    "bohb": "-",
    "gp": (0, (5, 2)),
    "mobster": "-",
}
WIDTH: Final = 3.4  # inches, of a panel
HEIGHT: Final = 3.0


def draw(content: Row, path: Path) -> None:
    """Draw each searcher's mean score over simulated time; bands of random search and of mobster alone."""
    found = content["settings"]
    tasks = list(dict.fromkeys(setting["task"] for setting in found))
    types = list(dict.fromkeys(setting["type"] for setting in found))
    figure = new_figure(WIDTH * max(2, len(tasks)), HEIGHT * len(types) + 0.7)
    panels = figure.subplots(len(types), len(tasks), squeeze=False, sharex=True, sharey="col")
    for setting in found:
        axes = panels[types.index(setting["type"])][tasks.index(setting["task"])]
        _panel(axes, setting)
    for axes in panels[-1]:
        axes.set_xlabel("simulated time, % of the budget")
    for row in panels:
        row[0].set_ylabel("normalised regret")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    title = "Searchers: mean score of the incumbent at R (bands: 95 %, of random and mobster)"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold", color=INK)
    save(figure, path)


def _panel(axes: Axes, setting: Row) -> None:
    clean(axes)
    for name, row in setting["searchers"].items():
        x, mean, low, high = (_floats(row[part]) for part in ("time", "mean", "low", "high"))
        axes.plot(
            100 * x,
            mean,
            color=STYLES[name],
            linestyle=DASHES[name],
            drawstyle="steps-post",
            label=name,
            linewidth=1.7,
        )
        if name in ("random", "mobster"):
            axes.fill_between(100 * x, low, high, step="post", color=STYLES[name], alpha=0.12, linewidth=0)
    axes.set_xscale("log")
    axes.set_xlim(4, 100)
    axes.set_xticks([5, 10, 20, 50, 100], ["5", "10", "20", "50", "100"])
    axes.minorticks_off()
    axes.set_yscale("log")
    seeds = {row["seeds"] for row in setting["searchers"].values()}
    said = f"{min(seeds)}" if len(seeds) == 1 else f"{min(seeds)} to {max(seeds)}"
    axes.set_title(f"{setting['task']}\n{setting['type']}, {said} seeds", loc="left", fontsize=10, color=INK)


def _floats(column: list[float | None]) -> Any:
    return np.array(column, dtype=np.float64)
