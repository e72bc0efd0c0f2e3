"""Numbers and texts of a study as people read them in one line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from hbsim.terminal import shown

__all__ = ["amount", "few", "hms", "near", "number", "plain", "span"]


def hms(seconds: float) -> str:
    """Return hours, minutes and seconds: ``"0:12:03"``."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def span(seconds: float) -> str:
    """Return how long something takes, in its two largest units: ``"3m 12s"``."""
    whole = int(seconds)
    for first, size, second, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size}{first} {whole % size // part:02}{second}"
    return f"{whole}s"


def few(names: Sequence[str], most: int = 3) -> str:
    """Return names in a list, the first ones if they are many: ``"a, b, c and 9 more"``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def number(value: float) -> str:
    """Return a value in five digits, without a plus in its exponent; ``"no number"`` for NaN."""
    return "no number" if value != value else f"{value:.5g}".replace("e+", "e")


def amount(resource: float) -> str:
    """Return a resource, in up to ten digits."""
    return f"{resource:.10g}"


def plain(text: str) -> str:
    """Return a text in one line, which steers no terminal."""
    return " ".join(shown(text).split())


def near(path: Path) -> str:
    """Return a path as seen from the working directory where it lies below it, else as it is."""
    here = os.getcwd()
    return os.path.relpath(path, here) if path.is_relative_to(here) else str(path)
