"""Which heatmaps are shown, what they are called, and over what range their colours go."""

from __future__ import annotations

import math
from typing import Final

from hbsim.bench.report.model import Heatmap, Report

__all__ = ["heat_range", "heatmap_title", "shown_heatmaps"]

LEAST: Final = 0.25  # of the mean: colours span at least that, so that what is nearly equal looks it
AXES: Final = ("brackets", "reduction_factor")
LONGEST: Final = 90  # characters of what variants share


def shown_heatmaps(report: Report) -> list[Heatmap]:
    """Return those with at least two values of both options: of one a ranking says as much."""
    return [one for one in report.heatmaps if len(one.brackets) > 1 and len(one.etas) > 1]


def heatmap_title(heatmap: Heatmap, report: Report) -> str:
    """Return the title of a heatmap, with what else its variants share of their options."""
    kind, *rest = heatmap.title.split(", ")
    mine = [
        one.options
        for one in report.variants
        if one.type == kind and set(rest) <= {f"{name}={value}" for name, value in one.options.items()}
    ]
    if not mine:
        return heatmap.title
    shared = [
        f"{name}={value}"
        for name, value in mine[0].items()
        if name not in AXES and all(options.get(name) == value for options in mine)
    ]
    new = [text for text in shared if text not in rest]
    return ", ".join([heatmap.title, *new]) if len(", ".join(new)) <= LONGEST else heatmap.title


def heat_range(heatmap: Heatmap) -> tuple[float, float]:
    """Return the ends of the colours: those of the values, further apart where these are nearly equal."""
    known = [value for row in heatmap.values for value in row if math.isfinite(value)]
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    span = max(high - low, LEAST * abs(math.fsum(known)) / len(known)) or 1.0
    middle = (low + high) / 2
    return middle - span / 2, middle + span / 2
