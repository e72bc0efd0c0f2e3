"""The critical-difference diagram: who is ahead over tasks, and who cannot be told apart.

Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7 (2006), section 3.2.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hbsim.bench.report.figures_names import shortened
from hbsim.bench.report.figures_style import DOUBLE, LETTER, SINGLE, Looks, text_width
from hbsim.bench.report.model import Across
from hbsim.bench.report.tables_numbers import MEASURES, p_value
from hbsim.bench.study_style import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["rank_figure", "stacked"]

# Lengths are inches: the axes are the whole figure, so that labels cannot meet whatever their number.
SIDE: Final = 0.06
ROW: Final = 0.17  # of a label
BAR: Final = 0.09  # between two bars
HEAD: Final = 0.62  # two lines of title, and ticks
BRACKET: Final = 0.3
FOOT: Final = 0.42
AXIS: Final = 1.3  # the least length of the axis
GREY: Final = "#555555"


@dataclass(frozen=True)
class _Scale:
    """The axis of ranks: from `best` at `left` to `worst` at `right`, at height `y`."""

    best: float
    worst: float
    left: float
    right: float
    y: float

    def x(self, rank: float) -> float:
        return self.left + (rank - self.best) / (self.worst - self.best) * (self.right - self.left)


def rank_figure(across: Across, looks: Looks) -> Figure | None:
    """Draw the mean ranks of a setting, the best at the left; None below two variants or two groups.

    Variants that a thick bar joins are not told apart by Nemenyi's test. The bracket above the axis is its
    critical difference.
    """
    ranks = {
        name: rank
        for name, rank in sorted(zip(across.variants, across.ranks, strict=True), key=lambda pair: pair[1])
        if math.isfinite(rank) and name in looks.label
    }
    if len(ranks) < 2 or len(across.groups) < 2:
        return None
    bars = stacked([_span(clique, ranks) for clique in across.cliques])
    depth = 0.2 + BAR * (1 + max((line for _, _, line in bars), default=-1))
    below = depth + ROW * -(-len(ranks) // 2) + FOOT
    room = 0.1 + max(text_width(_label(name, ranks, looks)) for name in ranks)
    width = SINGLE if 2 * (room + SIDE) + AXIS <= SINGLE else DOUBLE
    has_cd = math.isfinite(across.critical_difference)
    axes = _sheet(width, below + HEAD + (BRACKET if has_cd else 0.0))
    best, worst = _ends(ranks, across.critical_difference)
    scale = _Scale(best, worst, room + SIDE, width - room - SIDE, below)
    _axis(axes, scale)
    if has_cd:
        _bracket(axes, scale, across.critical_difference)
    for low, high, line in bars:
        level = below - 0.12 - BAR * line
        ends = [scale.x(low) - 0.03, scale.x(high) + 0.03]
        axes.plot(ends, [level, level], color=INK, linewidth=2.4, solid_capstyle="butt", zorder=4)
    _elbows(axes, scale, ranks, looks, below - depth)
    _texts(axes, across, width)
    return axes.figure  # type: ignore[return-value]


def stacked(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float, int]]:
    """Return spans with the line each is drawn in: those that touch are in different ones."""
    ends: list[float] = []
    made = []
    for low, high in sorted(span for span in spans if span[1] >= span[0]):
        line = next((i for i, end in enumerate(ends) if end < low), len(ends))
        ends[line : line + 1] = [high]
        made.append((low, high, line))
    return made


def _span(clique: Sequence[str], ranks: dict[str, float]) -> tuple[float, float]:
    there = [ranks[name] for name in clique if name in ranks]
    return (min(there), max(there)) if len(there) > 1 else (1.0, 0.0)


def _label(name: str, ranks: dict[str, float], looks: Looks) -> str:
    return f"{looks.label[name]}  {ranks[name]:.2f}"


def _ends(ranks: dict[str, float], cd: float) -> tuple[float, float]:
    best, worst = math.floor(min(ranks.values())), math.ceil(max(ranks.values()))
    worst = max(worst, best + 1)
    return float(best), float(max(worst, best + cd) if math.isfinite(cd) else worst)


def _sheet(width: float, height: float) -> Axes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return axes


def _axis(axes: Axes, scale: _Scale) -> None:
    axes.plot([scale.left, scale.right], [scale.y, scale.y], color=INK, linewidth=0.9)
    room = (scale.right - scale.left) / (scale.worst - scale.best)
    step = next((s for s in (1, 2, 5, 10) if s * room > 0.22), 20)
    for rank in range(math.ceil(scale.best), math.floor(scale.worst) + 1):
        if (rank - math.ceil(scale.best)) % step == 0:
            at = scale.x(rank)
            axes.plot([at, at], [scale.y, scale.y + 0.05], color=INK, linewidth=0.9)
            axes.text(at, scale.y + 0.07, str(rank), ha="center", va="bottom", fontsize=7)


def _bracket(axes: Axes, scale: _Scale, cd: float) -> None:
    left, right, y = scale.left, scale.x(scale.best + cd), scale.y + 0.07 + BRACKET
    axes.plot([left, left, right, right], [y - 0.04, y, y, y - 0.04], color=INK, linewidth=0.9)
    axes.text(right + 0.06, y, f"CD = {cd:.2f}", ha="left", va="center", fontsize=7)


def _elbows(axes: Axes, scale: _Scale, ranks: dict[str, float], looks: Looks, top: float) -> None:
    """Lead from each rank to its label: the outermost is the highest, so that no two lines cross."""
    half = -(-len(ranks) // 2)
    for place, name in enumerate(ranks):
        is_left = place < half
        y = top - ROW * (place if is_left else len(ranks) - 1 - place)
        x, end = scale.x(ranks[name]), scale.left - 0.04 if is_left else scale.right + 0.04
        look = looks.style[name]
        axes.plot([x, x, end], [scale.y, y, y], color=look.colour, linestyle=look.dashes, linewidth=0.9)
        axes.plot(
            [x],
            [scale.y],
            look.marker,
            color=look.colour,
            markersize=4.5,
            markeredgecolor="white",
            markeredgewidth=0.4,
            zorder=5,
        )
        text = _label(name, ranks, looks) if is_left else f"{ranks[name]:.2f}  {looks.label[name]}"
        side = -0.05 if is_left else 0.05
        axes.text(end + side, y, text, ha="right" if is_left else "left", va="center", fontsize=7)


def _texts(axes: Axes, across: Across, width: float) -> None:
    top = axes.get_ylim()[1] - 0.06
    axes.text(
        SIDE, top, shortened(across.setting, int((width - 2 * SIDE) / LETTER * 0.88)), va="top", fontsize=8
    )
    what = f"mean rank by {MEASURES[across.measure]}"
    axes.text(SIDE, top - 0.14, what, va="top", fontsize=7, color=GREY)
    groups = f"{len(across.groups)} groups of tasks"
    if math.isnan(across.critical_difference):
        foot = f"{groups}: no test"
    else:
        p = p_value(across.p_friedman, sign=True)
        foot = f"{groups}, Friedman p {p}\nbars: not told apart by Nemenyi's test"
    axes.text(SIDE, 0.05, foot, va="bottom", fontsize=7, color=GREY)
