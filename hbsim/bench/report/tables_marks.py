"""Who is best, who is too close to it to call, who is worse: the same marks by the same tests everywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from hbsim.bench.report.model import Across, Task, TaskRow
from hbsim.bench.report.tables_numbers import plural
from hbsim.bench.statistics import ALPHA, least_pairs

__all__ = [
    "BEST",
    "CLOSE",
    "MARKS",
    "WORSE",
    "across_marks",
    "best_of",
    "few",
    "firsts",
    "is_tested",
    "mark_of",
    "untested",
]

BEST: Final = "★"
CLOSE: Final = "≈"
WORSE: Final = "▼"
MARKS: Final = {"best": BEST, "too close to call": CLOSE, "worse": WORSE, "no score": ""}

# Measured: of 100 bootstrap intervals that are made to hold the mean in 95, so many do, by number of values.
COVERAGE: Final = {2: 51, 3: 72, 5: 83, 10: 89}


def mark_of(row: TaskRow) -> str:
    """Return the mark of a variant on a task."""
    return MARKS.get(row.call, "")


def best_of(task: Task) -> list[TaskRow]:
    """Return the best of a task: several where they are level, none where there is no score."""
    return [row for row in task.rows if row.call == "best"]


def firsts(across: Across) -> list[str]:
    """Return the variants of the best mean rank: several where they are level."""
    if not across.ranks or not math.isfinite(across.ranks[0]):
        return []
    return [v for v, rank in zip(across.variants, across.ranks, strict=True) if rank == across.ranks[0]]


def is_tested(across: Across) -> bool:
    """Return whether pairs were tested at all: with too few groups for so many pairs they are not."""
    return any(math.isfinite(duel.p) for duel in across.duels)


def across_marks(across: Across) -> dict[str, str]:
    """Return the mark of each variant in a ranking; without a test only those of the best mean rank.

    By Wilcoxon's test of each against the first, Holm-corrected over all pairs. Where Friedman's test does
    not tell the variants apart, none is worse.
    """
    best = firsts(across)
    marks = dict.fromkeys(best, BEST)
    if not best or not is_tested(across):
        return marks
    worse = _behind(across, across.variants[0]) if across.p_friedman < ALPHA else set()
    others = (name for name in across.variants if name not in marks)
    return marks | {name: WORSE if name in worse else CLOSE for name in others}


def _behind(across: Across, best: str) -> set[str]:
    found = set()
    for duel in across.duels:
        if duel.first == best and duel.call == "better":
            found.add(duel.second)
        if duel.second == best and duel.call == "worse":
            found.add(duel.first)
    return found


def untested(across: Across) -> str:
    """Say why no pair was tested; empty where they were."""
    if is_tested(across):
        return ""
    pairs = len(across.variants) * (len(across.variants) - 1) // 2
    needed = least_pairs(ALPHA, pairs)
    if len(across.groups) < needed:
        return f"not tested: fewer than {needed} groups for {plural(pairs, 'pair')}"
    return "not tested: no scores"


def few(number: int, noun: str) -> str:
    """Say that intervals over few groups or seeds are too narrow, as it was measured; empty from 10 on."""
    if not 2 <= number < max(COVERAGE):
        return ""
    known: Sequence[int] = [n for n in COVERAGE if n <= number][-1:]
    known = known if known == [number] else [*known, next(n for n in COVERAGE if n > number)]
    held = " and ".join(f"{COVERAGE[n]}% with {n}" for n in known)
    said = f"Intervals over {plural(number, noun)} are too narrow"
    return f"{said}: made to hold the mean in 95% of cases, they do in {held}."
