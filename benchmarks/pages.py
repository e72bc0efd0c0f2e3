"""The pages of results: their tables, figures and JSON, and how they are published.

`python -m benchmarks.pages FILE...` rewrites figures that another command drew.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.measure import say

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


DIGITS: Final = 6  # of figures that are kept: the rest may differ between machines

INK: Final = "#333333"
# Okabe and Ito, "Color Universal Design" (2008), without its yellow, which is pale on white.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES: Final = ("-", (0, (5, 2)), (0, (1.2, 1.4)), (0, (6, 2, 1.2, 2)))
MARKERS: Final = "osD^vPX<>ph*"


def machine_lines(machine: dict[str, Any], load: float) -> list[str]:
    """Return what it was measured on."""
    hardware = f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB"
    names = [name for name in machine if name not in ("processor", "cores", "memory_gb", "system")]
    versions = ", ".join(f"{name} {machine[name]}" for name in names)
    return [
        f"- {hardware}; {machine['system']}",
        f"- {versions}",
        f"- load average at the start: {load:.1f}; a busy machine is slower, ratios hold better than seconds",
    ]


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table, Markdown."""
    lines = [list(head), *([str(cell) for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_json(path: Path, content: object, depth: int | None = None) -> None:
    """Write JSON, indented; down to a depth only, and a line each below it, if that is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    path.write_text(whole if depth is None else compact_json(content, depth), "utf-8")


def rounded(value: Any) -> Any:
    """Return plain types with floats of `DIGITS` digits; None for what is no finite number."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return value


def joined(*parts: str) -> str:
    """Return a page of these parts, a blank line between them."""
    return "\n\n".join(part.strip() for part in parts) + "\n"


def publish(
    folder: Path, name: str, content: object, page: str, *, depth: int | None = None, page_name: str = ""
) -> None:
    """Write the figures of a study as JSON, and its page beside it."""
    write_json(folder / f"{name}.json", content, depth)
    (folder / f"{page_name or name}.md").write_text(page, "utf-8")
    say(f"written: {folder}")


def compact_json(value: object, depth: int) -> str:
    """Return `value` as JSON, whose first `depth` levels are indented."""
    return _lines(value, depth, "\n") + "\n"


def _lines(value: object, depth: int, end: str) -> str:
    inner = end + " "
    if depth and isinstance(value, dict) and value:
        parts = (f"{json.dumps(key)}: {_lines(item, depth - 1, inner)}" for key, item in value.items())
        return "{" + inner + f",{inner}".join(parts) + end + "}"
    if depth and isinstance(value, list) and value:
        return "[" + inner + f",{inner}".join(_lines(item, depth - 1, inner) for item in value) + end + "]"
    return json.dumps(value, ensure_ascii=False)


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
