"""The figures of results: the look of those by matplotlib, and how all are written.

`python -m benchmarks.plots FILE...` rewrites figures that another command drew.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "DASHES", "INK", "MARKERS", "clean", "new_figure", "save", "shrink"]

INK: Final = "#333333"
# Okabe and Ito, "Color Universal Design" (2008), without its yellow, which is pale on white.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES: Final = ("-", (0, (5, 2)), (0, (1.2, 1.4)), (0, (6, 2, 1.2, 2)))
MARKERS: Final = "osD^vPX<>ph*"


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
    shrink(path)


def shrink(path: Path) -> None:
    """Rewrite a PNG with a palette of 256 colours: a tenth of the bytes, as charts have few colours."""
    from PIL import Image

    with Image.open(path) as image:
        resolution = image.info.get("dpi", (96, 96))
        palette = image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    palette.save(path, optimize=True, dpi=resolution)


def clean(axes: Axes) -> None:
    """Take away the frame, but for the axes; light grid lines behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        shrink(Path(name))
