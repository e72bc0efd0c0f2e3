"""What pictures of benchmarks share: drawn by matplotlib, for development alone; hbsim uses Vega-Altair."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "DASHES", "INK", "MARKERS", "clean", "log_axis", "new_figure", "save"]

Dashes: TypeAlias = str | tuple[int, tuple[float, ...]]

INK: Final = "#333333"
# Okabe and Ito, "Color Universal Design" (2008), without its yellow, which is pale on white.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES: Final[tuple[Dashes, ...]] = ("-", (0, (5, 2)), (0, (1.2, 1.4)), (0, (6, 2, 1.2, 2)))
MARKERS: Final = "osD^vPX<>ph*"
FEW: Final = 10.0  # between the ends of an axis: 1, 2 and 5 would be three ticks or less


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


def clean(axes: Axes) -> None:
    """Take away the frame, but for the axes; light grid lines behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e6", linewidth=0.6)
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
