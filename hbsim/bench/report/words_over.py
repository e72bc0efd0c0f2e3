"""What tests over groups of tasks say, in sentences, and no more than they say."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hbsim.bench.report.build_across import ALL
from hbsim.bench.report.model import Across, Duel, Report
from hbsim.bench.report.words_lists import are, listed, p_text, quoted
from hbsim.bench.statistics import ALPHA, least_pairs

__all__ = ["by_setting", "over_tasks", "overall_of"]


def overall_of(report: Report) -> Across | None:
    """Return the comparison over all settings, or the only one; None where tasks are all of one group."""
    scores = [across for across in report.across if across.measure == "score"]
    whole = [across for across in scores if across.setting == ALL] or scores[:1]
    return whole[0] if whole else None


def over_tasks(across: Across) -> list[str]:
    """Say what holds over tasks, and only what a test says."""
    groups = len(across.groups)
    over = f"Over {groups} groups of tasks" + (", all settings averaged," if across.setting == ALL else "")
    if groups < least_pairs(ALPHA):
        return [
            f"{over} nothing can be told apart: a test needs {least_pairs(ALPHA)}. "
            "Which variant is better on other tasks is open."
        ]
    if not across.p_friedman < ALPHA:
        return [
            f"{over} the variants' ranks differ no more than chance would have them "
            f"(Friedman p = {p_text(across.p_friedman)}): too close to call."
        ]
    first = [v for v, rank in zip(across.variants, across.ranks, strict=True) if rank == across.ranks[0]]
    verb = "has" if len(first) == 1 else "share"
    said = [
        f"{over} {listed(first)} {verb} the best mean rank, {across.ranks[0]:.2f} of {len(across.variants)}."
    ]
    duels = [duel for duel in across.duels if {duel.first, duel.second} & set(first)]
    if all(math.isnan(duel.p) for duel in duels):
        pairs = len(across.variants) * (len(across.variants) - 1) // 2
        least = least_pairs(ALPHA, pairs)
        said.append(f"They differ, but which pairs do takes at least {least} groups with so many variants.")
        return said
    worse = [v for v in across.variants if v not in first and all(_is_behind(v, f, duels) for f in first)]
    close = [v for v in across.variants if v not in first and v not in worse]
    if worse:
        said.append(
            f"{listed(first)} {are(first)} ahead of {listed(worse)} (Wilcoxon over groups, Holm-corrected)."
        )
    if close and not worse:
        said.append("Pair by pair all others are too close to call against it.")
    elif close:
        said.append(f"Too close to call: {listed(close)}.")
    return said


def _is_behind(variant: str, leader: str, duels: Sequence[Duel]) -> bool:
    """Return whether a test says that a variant is worse than a leader."""
    for duel in duels:
        if (duel.first, duel.second) == (variant, leader):
            return duel.call == "worse"
        if (duel.first, duel.second) == (leader, variant):
            return duel.call == "better"
    return False


def by_setting(report: Report) -> list[str]:
    """Say in which settings variants are told apart over tasks, and who leads there."""
    settings = [a for a in report.across if a.measure == "score" and a.setting != ALL]
    if len(settings) < 2 or all(len(a.groups) < least_pairs(ALPHA) for a in settings):
        return []
    leaders: dict[str, list[str]] = {}
    for across in settings:
        if across.p_friedman < ALPHA:
            leaders.setdefault(across.variants[0], []).append(across.setting)
    open_ = [across.setting for across in settings if not across.p_friedman < ALPHA]
    parts = [f"{quoted(name)} with {listed(where, quote=False)}" for name, where in leaders.items()]
    said = [f"Setting by setting, the best mean rank is that of {'; '.join(parts)}."] if parts else []
    return [*said, *([f"Not told apart at all: {listed(open_, quote=False)}."] if open_ else [])]
