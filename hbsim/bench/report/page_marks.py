"""How a variant looks in the page: a line with dashes and a marker, in SVG and for Plotly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, cast

from hbsim.bench.report.model import VariantInfo
from hbsim.bench.report.page_text import escape
from hbsim.bench.styles import Style, styles
from hbsim.bench.variants import Variant

__all__ = ["colour_rules", "marked", "marks", "plotly_styles"]

WIDTH: Final = 2.0  # of a line in pixels, the unit of dashes

SHORT: Final = 44  # characters of a name that stays in one line where there is room

# What matplotlib calls a marker: what Plotly does, and its outline as corners (radius, degrees from the top).
MARKERS: Final = {
    "o": ("circle", ()),
    "s": ("square", ((4.8, 45), (4.8, 135), (4.8, 225), (4.8, 315))),
    "D": ("diamond", ((4.8, 0), (4.8, 90), (4.8, 180), (4.8, 270))),
    "^": ("triangle-up", ((4.8, 0), (4.8, 120), (4.8, 240))),
    "v": ("triangle-down", ((4.8, 180), (4.8, 300), (4.8, 60))),
    "P": ("cross", tuple((r, a + 90 * i) for i in range(4) for r, a in ((4.5, -20), (4.5, 20), (2, 45)))),
    "X": ("x", tuple((r, a + 45 + 90 * i) for i in range(4) for r, a in ((4.5, -20), (4.5, 20), (2, 45)))),
    "<": ("triangle-left", ((4.8, 270), (4.8, 30), (4.8, 150))),
    ">": ("triangle-right", ((4.8, 90), (4.8, 210), (4.8, 330))),
    "p": ("pentagon", tuple((4.5, 72 * i) for i in range(5))),
    "h": ("hexagon", tuple((4.5, 60 * i) for i in range(6))),
    "*": ("star", tuple((5.2 if i % 2 == 0 else 2.3, 36 * i) for i in range(10))),
}


def _styles(variants: Sequence[VariantInfo]) -> list[Style]:
    return styles(cast("Sequence[Variant]", variants))  # it looks at their types only


def _dashes(style: Style) -> list[float]:
    return [] if isinstance(style.dashes, str) else [WIDTH * length for length in style.dashes[1]]


def plotly_styles(variants: Sequence[VariantInfo]) -> list[dict[str, str]]:
    """Return colour, colour on a dark ground, dashes and marker of each variant, as Plotly calls them."""
    return [
        {
            "colour": style.colour,
            "dark": _on_dark(style.colour),
            "dash": ",".join(f"{length:g}px" for length in _dashes(style)) or "solid",
            "marker": MARKERS[style.marker][0],
        }
        for style in _styles(variants)
    ]


def _on_dark(colour: str) -> str:
    """Return a colour that can be told from a dark ground: black turns white, blue lighter."""
    return {"#000000": "#f2f2f2", "#0072B2": "#3d9fdc"}.get(colour, colour)


def colour_rules(variants: Sequence[VariantInfo], dark: bool = False) -> str:
    """Return the custom properties of CSS that hold the variants' colours."""
    colours = [_on_dark(one.colour) if dark else one.colour for one in _styles(variants)]
    return "".join(f"--v{index}:{colour};" for index, colour in enumerate(colours))


def marks(variants: Sequence[VariantInfo]) -> str:
    """Return a hidden SVG that defines each variant's line and marker once, as `#mark-0` and so on."""
    symbols = "".join(_symbol(index, style) for index, style in enumerate(_styles(variants)))
    return f'<svg width="0" height="0" class="marks" aria-hidden="true"><defs>{symbols}</defs></svg>'


def _symbol(index: int, style: Style) -> str:
    dashes = " ".join(f"{length:g}" for length in _dashes(style))
    dashes = f' stroke-dasharray="{dashes}"' if dashes else ""
    line = f'<path d="M0 7H34" stroke="var(--v{index})" stroke-width="2" fill="none"{dashes}/>'
    return f'<symbol id="mark-{index}" viewBox="0 0 34 14">{line}{_shape(index, style)}</symbol>'


def _shape(index: int, style: Style) -> str:
    corners = MARKERS[style.marker][1]
    if not corners:
        return f'<circle cx="17" cy="7" r="4" fill="var(--v{index})"/>'
    at = [(17 + r * math.sin(math.radians(a)), 7 - r * math.cos(math.radians(a))) for r, a in corners]
    points = " ".join(f"{x:.2f},{y:.2f}" for x, y in at)
    return f'<polygon points="{points}" fill="var(--v{index})"/>'


def marked(name: str, index: int) -> str:
    """Return a variant's picture and name; a long name may break after a comma."""
    picture = f'<svg class="swatch" aria-hidden="true"><use href="#mark-{index}"/></svg>'
    text = escape(name).replace(",", ",<wbr>")
    style = "variant" if len(name) > SHORT else "variant short"
    return f'<span class="{style}">{picture}<span>{text}</span></span>'
