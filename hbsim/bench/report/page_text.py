"""Texts and numbers as they stand in the page: escaped, rounded, aligned."""

from __future__ import annotations

import html
import json
import math

from hbsim.bench.report.tables_numbers import half_up

__all__ = ["blob", "escape", "fixed", "rounded"]

DASH = "–"  # for what there is none of


def escape(text: str) -> str:
    """Return any text as HTML, fit for an element or a quoted attribute."""
    return html.escape(text, quote=True)


def fixed(value: float, places: int) -> str:
    """Return a number with `places` decimals and a true minus; a dash for NaN."""
    if not math.isfinite(value):
        return DASH if math.isnan(value) else ("∞" if value > 0 else "−∞")
    near = half_up(abs(value), places)
    return f"−{near:,f}" if value < 0.0 and near else f"{near:,f}"


def rounded(value: float | None, digits: int) -> float | int | None:
    """Return `value` to so many significant digits, whole numbers without a point; None if not finite."""
    if value is None or not math.isfinite(value):
        return None
    near = float(f"{value:.{digits}g}")
    return int(near) if near.is_integer() and abs(near) < 1e15 else near


def blob(data: object) -> str:
    """Return `data` as JSON that can stand in a <script>: no text in it can end that or open another."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
