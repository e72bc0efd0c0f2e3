"""What the figures for papers share: sizes, fonts, the styles of variants, legends, files."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hbsim.bench.report.figures_names import labels
from hbsim.bench.report.page_names import short_names
from hbsim.bench.study_style import IDLE, INK
from hbsim.bench.styles import Style, styles
from hbsim.bench.variants import Variant

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hbsim.bench.report.model import Report

__all__ = [
    "DOUBLE",
    "LETTER",
    "SINGLE",
    "Looks",
    "bar_rows",
    "legend",
    "legend_height",
    "looks_of",
    "new_figure",
    "paper_style",
    "put_legend",
    "row_height",
    "save",
    "text_width",
]

SINGLE: Final = 3.4  # inches: a column of a paper
DOUBLE: Final = 7.0  # inches: both columns
DPI: Final = 200
LETTER: Final = 0.057  # inches: about the mean width of one at 7 pt
LONGEST: Final = 34  # characters of a variant's label

_RC: Final = {
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.titlelocation": "left",
    "axes.labelsize": 8.0,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "legend.fontsize": 7.0,
    "legend.handlelength": 2.6,
    "legend.columnspacing": 1.2,
    "legend.borderaxespad": 0.2,
    "hatch.linewidth": 0.5,
    "figure.constrained_layout.h_pad": 0.04,
    "figure.constrained_layout.w_pad": 0.03,
    "text.parse_math": False,  # names are the user's: a $ is a $
    "svg.fonttype": "path",  # looks the same wherever it is opened
    "svg.hashsalt": "hbsim",
}


class Looks:
    """How each variant is drawn and what it is called, by its name."""

    def __init__(self, style: Mapping[str, Style], label: Mapping[str, str]) -> None:
        self.style = style
        self.label = label

    def order(self, names: Sequence[str]) -> list[str]:
        """Return those of `names` that are variants, once each, in the order of the sweep's file."""
        there = set(names)
        return [name for name in self.style if name in there]


def looks_of(report: Report) -> Looks:
    """Return the looks of a report's variants: their place in the file gives each its colour."""
    names = [variant.name for variant in report.variants]
    made = styles([Variant(variant.name, variant.type) for variant in report.variants])
    short = short_names(names)
    cut = labels([short[name] for name in names], LONGEST)
    return Looks(dict(zip(names, made, strict=True)), {name: cut[short[name]] for name in names})


@contextmanager
def paper_style() -> Iterator[None]:
    """Draw with the fonts and sizes of a paper, whatever this machine's settings are."""
    from matplotlib import style

    with style.context([_RC], after_reset=True), warnings.catch_warnings():
        # Names may be in scripts that the font does not have: a box is drawn.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return a figure that needs no display; sizes in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as PNG and SVG with the same layout; no version and no clock in either."""
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    figure.savefig(png, dpi=DPI, metadata={"Software": None})
    figure.set_layout_engine("none")
    figure.savefig(svg, dpi=DPI, metadata={"Date": None, "Creator": None})
    return [png, svg]


def legend(figure: Figure, looks: Looks, names: Sequence[str], *, band: bool = False) -> None:
    """Put a legend of variants below a figure, in as many columns as fit its width."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Line2D | Patch] = []
    for name in looks.order(names):
        look = looks.style[name]
        handle = Line2D([], [], color=look.colour, linewidth=1.3, marker=look.marker, markersize=4)
        handle.set(linestyle=look.dashes, markeredgecolor="white", markeredgewidth=0.4)
        handle.set_label(looks.label[name])
        handles.append(handle)
    if band:
        handles.append(Patch(color="#cccccc", label="95% interval"))
    put_legend(figure, handles)


def put_legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """Put a legend below a figure, in as many columns as fit its width."""
    if not handles:
        return
    rows = _legend_rows(figure.get_figwidth(), [str(handle.get_label()) for handle in handles])
    figure.legend(
        handles=list(handles),
        loc="outside lower center",
        ncols=-(-len(handles) // rows),
        frameon=False,
    )


def legend_height(width: float, texts: Sequence[str]) -> float:
    """Return the inches that `put_legend` needs in a figure of `width` inches."""
    return 0.1 + 0.145 * _legend_rows(width, texts) if texts else 0.0


def _legend_rows(width: float, texts: Sequence[str]) -> int:
    columns = int(width / (0.45 + max(map(text_width, texts))))
    return -(-len(texts) // max(1, columns))


def text_width(text: str, size: float = 7.0) -> float:
    """Return the width of a text in inches; `size` in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=size), ismath=False)
    return float(width) / 72.0


def row_height(rows: int) -> float:
    """Return the inches that `rows` bars need."""
    return 0.19 * rows + 0.1


def bar_rows(axes: Axes, looks: Looks, names: Sequence[str]) -> None:
    """Give each variant a row of horizontal bars, the first at the top."""
    axes.set_yticks(range(len(names)), [looks.label[name] for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", color="#e2e2e2", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_facecolor(IDLE)
