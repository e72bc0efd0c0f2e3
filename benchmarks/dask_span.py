"""Figures as the pages of the Dask benchmarks show them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

__all__ = ["short", "span"]


def short(value: float) -> str:
    """Return a figure with three digits: ``0.046``, ``4.61``, ``46.1``, ``461``, ``4,610``."""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{digits}f}"


def span(values: Sequence[float]) -> str:
    """Return the median, and the least and the most in brackets if there are several; a dash for nothing."""
    if not any(values):
        return "–"
    middle = short(median(values))
    return middle if len(values) == 1 else f"{middle} ({short(min(values))} to {short(max(values))})"
