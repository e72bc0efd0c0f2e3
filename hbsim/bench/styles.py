"""Colours, dashes and markers that tell variants apart, for colour-blind people and in print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from hbsim.bench.variants import Variant

__all__ = ["Style", "styles"]

Dashes: TypeAlias = str | tuple[int, tuple[float, ...]]

# Okabe and Ito, "Color Universal Design" (2008), without its yellow, which is pale on white.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES: Final[tuple[Dashes, ...]] = ("-", (0, (5, 2)), (0, (1.2, 1.4)), (0, (6, 2, 1.2, 2)))
MARKERS: Final = "osD^vPX<>ph*"


@dataclass(frozen=True)
class Style:
    """How a variant is drawn."""

    colour: str
    dashes: Dashes
    marker: str


def styles(variants: Sequence[Variant]) -> list[Style]:
    """Return a style for each variant, no two the same up to 28.

    Where there are several types and few variants of each, a type has one colour, and its variants
    differ in dashes; else each variant has the next colour. The markers differ in any case, up to 12.
    """
    count = Counter(variant.type for variant in variants)
    by_type = 1 < len(count) <= len(COLOURS) and max(count.values()) <= len(DASHES)
    types = list(count)
    seen: Counter[str] = Counter()
    made = []
    for index, variant in enumerate(variants):
        row, place = divmod(index, len(COLOURS))
        if by_type:
            row, place = seen[variant.type], types.index(variant.type)
            seen[variant.type] += 1
        marker = MARKERS[index % len(MARKERS)]
        made.append(Style(COLOURS[place], DASHES[row % len(DASHES)], marker))
    return made
