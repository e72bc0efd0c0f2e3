"""The parts that bars are stacked of: their order, colours and hatches, in figures and on the page alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["PARTS", "Part"]


@dataclass(frozen=True)
class Part:
    """A colour (Okabe and Ito's, and greys), and a hatch as matplotlib and as Plotly call it.

    In print it is the hatch that tells parts apart.
    """

    colour: str
    hatch: str = ""
    pattern: str = ""


PARTS: Final = {
    "regrets": {
        "sampling": Part("#56B4E9"),
        "decisions": Part("#D55E00", "///", "/"),
        "unfinished": Part("#999999", "xxx", "x"),
        "choice": Part("#009E73", "...", "."),
    },
    "shares": {
        "training": Part("#0072B2"),
        "retrained": Part("#CC79A7", "///", "/"),
        "overhead": Part("#E69F00", "...", "."),
        "idle": Part("#D9DDE2"),
        "absent": Part("#8B939C", "xxx", "x"),
    },
}
