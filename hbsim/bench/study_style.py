"""What the plots of a study share: figures without a display, colours of levels, units."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "ABSENT_COLOUR",
    "IDLE",
    "INK",
    "MARK",
    "OVERHEAD_COLOUR",
    "Colour",
    "boxes",
    "clean",
    "level_colours",
    "new_figure",
    "save",
    "spread",
    "time_unit",
    "title",
]

Colour: TypeAlias = str | tuple[float, float, float, float]

INK: Final = "#333333"
MARK: Final = "#d55e00"  # the vermillion of Okabe and Ito
IDLE: Final = "#ffffff"
OVERHEAD_COLOUR: Final = "#d9d9d9"
ABSENT_COLOUR: Final = "#a6a6a6"  # of stripes on white


def new_figure(width: float, height: float) -> Figure:
    """Return a figure that needs no display; sizes in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a PNG; the same figure gives the same bytes."""
    figure.savefig(path, dpi=150, metadata={"Software": None})


UNITS: Final = (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0))


def time_unit(end: float) -> tuple[str, float]:
    """Return the unit of an axis from 0 to `end` seconds, and how many seconds it has."""
    return next(((name, length) for name, length in UNITS if end >= 5 * length), ("seconds", 1.0))


def level_colours(count: int) -> list[Colour]:
    """Return a colour a level, from light to dark: an order that eyes without red or green see too."""
    from matplotlib import colormaps

    palette = colormaps["viridis_r"]
    return [palette(1.0 - 0.9 * (count - 1 - i) / max(1, count - 1)) for i in range(count)]


def spread(count: int, most: int = 10) -> list[int]:
    """Return the indices of at most so many of `count` items, evenly, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(index * (count - 1) / (most - 1)) for index in range(most)]


def clean(axes: Axes) -> None:
    """Take away the frame, but for the axes; light grid lines behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)


def title(axes: Axes, what: str, study: str) -> None:
    """Say what is shown, and of which study."""
    axes.set_title(what, loc="left", fontsize=12, fontweight="bold", color=INK, pad=22)
    axes.text(0, 1.02, study, transform=axes.transAxes, fontsize=9, color="#666666", va="bottom")


def boxes(
    left: NDArray[np.float64], right: NDArray[np.float64], y: NDArray[np.integer | np.floating], half: float
) -> NDArray[np.float64]:
    """Return the corners of boxes around the heights `y`, shape (n, 4, 2)."""
    corners = ((left, -half), (right, -half), (right, half), (left, half))
    return np.stack([np.stack([x, y + side], axis=1) for x, side in corners], axis=1)
