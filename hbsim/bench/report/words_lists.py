"""Names, numbers and lists within a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

__all__ = ["are", "listed", "many", "p_text", "quoted", "share_text"]

MANY: Final = 4  # names that a sentence lists


def quoted(name: str) -> str:
    """Return a user's name as one within a sentence."""
    return f"“{name}”"


def listed(names: Sequence[str], quote: bool = True) -> str:
    """Return names one after the other, the first four of many."""
    shown = [quoted(name) if quote else name for name in names[:MANY]]
    if len(names) > MANY:
        return f"{', '.join(shown)} and {len(names) - MANY} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def many(number: int, what: str) -> str:
    """Return a number of things: ``1 seed``, ``1,080 seeds``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def are(names: Sequence[str]) -> str:
    """Return the verb for so many names."""
    return "is" if len(names) == 1 else "are"


def share_text(share: float) -> str:
    """Return a share in percent."""
    return f"{share:.1%}" if share >= 0.001 or share == 0.0 else "less than 0.1%"


def p_text(p: float) -> str:
    """Return a p value."""
    return "unknown" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.2g}"
