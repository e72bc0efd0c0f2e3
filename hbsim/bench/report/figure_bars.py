"""Stacked bars, a row a variant: parts of the final regret, of workers' time, and of the brackets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from hbsim.bench.report.figures_names import shortened
from hbsim.bench.report.figures_parts import PARTS
from hbsim.bench.report.figures_style import (
    DOUBLE,
    LETTER,
    SINGLE,
    Looks,
    bar_rows,
    legend_height,
    new_figure,
    put_legend,
    row_height,
    text_width,
)
from hbsim.bench.report.figures_views import View
from hbsim.bench.report.model import BracketRow
from hbsim.bench.report.tables_diagnosis import is_all_training
from hbsim.bench.report.tables_numbers import decimals, number, percent
from hbsim.bench.statistics import Interval
from hbsim.bench.study_style import INK, Colour, level_colours

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["brackets_figure", "regrets_figure", "shares_figure"]

_REGRETS: Final = {name: (part.colour, part.hatch) for name, part in PARTS["regrets"].items()}
_SHARES: Final = {name: (part.colour, part.hatch) for name, part in PARTS["shares"].items()}
_MIX: Final = {"trials": "trials started", "resource": "resource trained", "winners": "winners"}


def regrets_figure(view: View, looks: Looks) -> Figure | None:
    """Draw the four parts of each variant's final regret, the least sum first. None where there is none.

    A diamond is the sum; what is negative goes to the left of zero.
    """
    rows = {row.variant: [getattr(row, part) for part in _REGRETS] for row in view.regrets}
    names = [name for name in view.order(looks.order(list(rows))) if np.isfinite(rows[name]).any()]
    if not names:
        return None
    names.sort(key=lambda name: float(np.nansum(rows[name])))
    values = np.nan_to_num(np.array([rows[name] for name in names]))
    figure, axes = _figure(len(names), looks, names, [*_REGRETS, "sum"])
    _stack(axes, values, list(_REGRETS.values()))
    totals = values.sum(axis=1)
    axes.plot(totals, range(len(names)), "D", color=INK, markersize=3.5, markeredgecolor="white", zorder=5)
    axes.axvline(0, color=INK, linewidth=0.6)
    digits = decimals(Interval(float(total), np.nan, np.nan) for total in totals)
    _right(axes, [number(float(total), digits) for total in totals])
    axes.set_xlabel("normalised regret at the end")
    return _finish(figure, view, [*_patches(_REGRETS), _diamond()])


def shares_figure(view: View, looks: Looks) -> Figure | None:
    """Draw how workers spent their time; None where nothing is known of it, or all of it was training."""
    rows = {row.variant: row for row in view.shares}
    parts = {name: [getattr(row, part) for part in _SHARES] for name, row in rows.items()}
    names = [name for name in view.order(looks.order(list(rows))) if np.isfinite(parts[name]).any()]
    if not names or is_all_training(view.shares):
        return None
    values = 100 * np.nan_to_num(np.array([parts[name] for name in names]))
    used = {part: look for i, (part, look) in enumerate(_SHARES.items()) if values[:, i].any()}
    figure, axes = _figure(len(names), looks, names, list(used))
    _stack(axes, values, list(_SHARES.values()))
    _right(axes, [f"saved {percent(rows[name].saved)}" for name in names])
    axes.set(xlim=(0, 100), xlabel="share of the workers' time, %")
    return _finish(figure, view, _patches(used))


def brackets_figure(view: View, looks: Looks) -> Figure | None:
    """Draw each bracket's share of trials, resource and winners; None where no variant has two brackets."""
    count = 1 + max((row.bracket for row in view.brackets), default=0)
    names = view.order(looks.order([row.variant for row in view.brackets]))
    if count < 2 or not any(np.isfinite(row.trials) for row in view.brackets):
        return None
    colours: list[tuple[Colour, str]] = [(colour, "") for colour in level_colours(count)]
    texts = [f"bracket {i}" for i in range(count)]
    height = 0.75 + row_height(len(names)) + legend_height(DOUBLE, texts)
    figure = new_figure(DOUBLE, height)
    panels = figure.subplots(1, len(_MIX), sharey=True)
    for axes, (part, title) in zip(panels, _MIX.items(), strict=True):
        bar_rows(axes, looks, names)
        _stack(axes, 100 * _mix(view.brackets, names, count, part), colours)
        axes.set(xlim=(0, 100), xticks=(0, 25, 50, 75, 100), xlabel=f"{title}, %")
    figure.suptitle(shortened(view.title, 110), fontsize=8, x=0.01, ha="left")
    put_legend(figure, _patches(dict(zip(texts, colours, strict=True))))
    return figure


def _mix(rows: Sequence[BracketRow], names: Sequence[str], count: int, part: str) -> NDArray[np.float64]:
    """Return shares, shape (variants, brackets); 0 where there is none."""
    made = np.zeros((len(names), count))
    for row in rows:
        if row.variant in names:
            made[names.index(row.variant), row.bracket] = np.nan_to_num(getattr(row, part))
    return made


def _figure(rows: int, looks: Looks, names: Sequence[str], texts: Sequence[str]) -> tuple[Figure, Axes]:
    longest = max(text_width(looks.label[name]) for name in names)
    width = SINGLE if longest < 1.1 else DOUBLE
    figure = new_figure(width, 0.7 + row_height(rows) + legend_height(width, texts))
    axes = figure.subplots()
    bar_rows(axes, looks, names)
    return figure, axes


def _stack(axes: Axes, values: NDArray[np.float64], parts: Sequence[tuple[Colour, str]]) -> None:
    """Draw bars, `values` of shape (rows, parts); what is below 0 goes to the left."""
    rows = np.arange(len(values))
    right, left = np.zeros(len(values)), np.zeros(len(values))
    for part, (colour, hatch) in enumerate(parts):
        width = values[:, part]
        start = np.where(width < 0, left, right)
        axes.barh(
            rows, width, left=start, height=0.72, color=colour, hatch=hatch, edgecolor="white", linewidth=0.4
        )
        left, right = left + np.minimum(width, 0), right + np.maximum(width, 0)


def _right(axes: Axes, texts: Sequence[str]) -> None:
    """Write a text to the right of each row."""
    for row, text in enumerate(texts):
        axes.annotate(
            text,
            (1.0, row),
            xycoords=("axes fraction", "data"),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )


def _finish(figure: Figure, view: View, handles: Sequence[Artist]) -> Figure:
    letters = int(figure.get_figwidth() / LETTER * 0.85)
    figure.suptitle(shortened(view.title, letters), fontsize=8, x=0.01, ha="left")
    put_legend(figure, handles)
    return figure


def _diamond() -> Artist:
    from matplotlib.lines import Line2D

    return Line2D(
        [], [], color=INK, marker="D", markersize=3.5, markeredgecolor="white", linestyle="", label="sum"
    )


def _patches(parts: Mapping[str, tuple[Colour, str]]) -> list[Artist]:
    from matplotlib.patches import Patch

    return [
        Patch(facecolor=colour, hatch=hatch, edgecolor="white", linewidth=0.4, label=label)
        for label, (colour, hatch) in parts.items()
    ]
