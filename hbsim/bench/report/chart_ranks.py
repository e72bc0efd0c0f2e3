"""The critical-difference diagram as SVG, readable without a script.

Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7 (2006), section 3.2.2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from hbsim.bench.report.model import Across
from hbsim.bench.report.page_text import escape, fixed

__all__ = ["can_be_drawn", "ranks_diagram", "rows_of_bars"]

WIDTH: Final = 1000
SIDE: Final = 320  # left and right of the axis, for the names
ROW: Final = 20
AXIS: Final = 52  # the axis is so far below the top
BAR: Final = 9


def can_be_drawn(across: Across) -> bool:
    """Return whether there are two variants with ranks."""
    return len(across.variants) > 1 and all(map(math.isfinite, across.ranks))


def ranks_diagram(across: Across, number: Mapping[str, int], short: Mapping[str, str], label: str) -> str:
    """Return the diagram: an axis of mean ranks, variants on both sides, bars over those not told apart."""
    count = len(across.variants)
    x = [_x(rank, count) for rank in across.ranks]
    bars = rows_of_bars([_ends(across, clique) for clique in across.cliques])
    first = AXIS + 16 + BAR * len(bars) + 10
    half = (count + 1) // 2
    parts = [_axis(count), _critical(across, count)]
    for index, name in enumerate(across.variants):
        on_left = index < half
        y = first + ROW * (index if on_left else count - 1 - index)
        text = (name, short[name], fixed(across.ranks[index], 2))
        parts.append(_branch(number[name], x[index], y, on_left, text))
    for row, ends in enumerate(bars):
        parts += [_bar(_x(low, count), _x(high, count), AXIS + 16 + BAR * row) for low, high in ends]
    height = first + ROW * half
    head = f'class="ranks" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}"'
    return f"<svg {head}>{''.join(parts)}</svg>"


def rows_of_bars(bars: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """Return `bars` in rows, none over another in the same row; as few rows as there can be."""
    rows: list[list[tuple[float, float]]] = []
    for low, high in sorted(bars):
        row = next((row for row in rows if row[-1][1] < low), None)
        if row is None:
            rows.append([(low, high)])
        else:
            row.append((low, high))
    return rows


def _ends(across: Across, clique: Sequence[str]) -> tuple[float, float]:
    rank = dict(zip(across.variants, across.ranks, strict=True))
    ranks = [rank[name] for name in clique]
    return min(ranks), max(ranks)


def _x(rank: float, count: int) -> float:
    return SIDE + (rank - 1) / (count - 1) * (WIDTH - 2 * SIDE)


def _axis(count: int) -> str:
    line = f'<path class="ink" d="M{SIDE} {AXIS}H{WIDTH - SIDE}"/>'
    every = 1 if count <= 12 else 2 if count <= 24 else 5
    ticks = []
    for rank in range(1, count + 1):
        is_named = (rank - 1) % every == 0 or rank == count
        is_named &= rank == count or count - rank >= every or every == 1
        up = 6 if is_named else 3
        ticks.append(f'<path class="ink" d="M{_x(rank, count):.1f} {AXIS}v{-up}"/>')
        if is_named:
            ticks.append(
                f'<text x="{_x(rank, count):.1f}" y="{AXIS - 10}" text-anchor="middle">{rank}</text>'
            )
    return line + "".join(ticks)


def _critical(across: Across, count: int) -> str:
    if not math.isfinite(across.critical_difference):
        return ""
    left, right = SIDE, _x(1 + min(across.critical_difference, count - 1), count)
    bar = f'<path class="ink" d="M{left} 8v8M{left} 12H{right:.1f}M{right:.1f} 8v8"/>'
    more = " (wider than the axis)" if across.critical_difference > count - 1 else ""
    text = f"critical difference {fixed(across.critical_difference, 2)}{more}"
    return f'{bar}<text x="{right + 8:.1f}" y="16">{text}</text>'


def _branch(index: int, x: float, y: float, on_left: bool, text: tuple[str, str, str]) -> str:
    end, anchor, away = (SIDE - 20, "end", -1) if on_left else (WIDTH - SIDE + 20, "start", 1)
    path = f'<path d="M{x:.1f} {AXIS}V{y}H{end}" style="stroke:var(--v{index})"/>'
    dot = f'<circle cx="{x:.1f}" cy="{AXIS}" r="3.5" style="fill:var(--v{index})"/>'
    name, short, rank = (escape(part) for part in text)
    rank = f'<tspan class="muted" dx="6">{rank}</tspan>'
    label = f"<tspan>{short}</tspan>{rank}"
    title = f"<title>{name}</title>"
    return (
        f'<g data-variant="{index}">{title}{path}{dot}'
        f'<text x="{end + 6 * away}" y="{y + 4}" text-anchor="{anchor}">{label}</text></g>'
    )


def _bar(left: float, right: float, y: float) -> str:
    return f'<path class="clique" d="M{left - 4:.1f} {y}H{right + 4:.1f}"/>'
