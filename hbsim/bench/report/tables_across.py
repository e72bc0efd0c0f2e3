"""Tables over tasks: the ranking in each setting, duels, heatmaps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from hbsim.bench.report.model import Across, Duel, Heatmap, Report
from hbsim.bench.report.tables_grid import Grid, row
from hbsim.bench.report.tables_numbers import CLOSE, MEASURES, NONE, decimals, interval, number, p_value
from hbsim.bench.statistics import Interval

__all__ = ["duels_grid", "heatmap_grid", "plural", "ranking_grid", "rankings", "told"]

MOST_PAIRS: Final = 15  # of more, those with the best


def rankings(report: Report) -> list[Grid]:
    """Return the ranking in each setting, of both measures, then the duels."""
    settings = list(dict.fromkeys(across.setting for across in report.across))
    made = []
    for setting in settings:
        mine = [across for across in report.across if across.setting == setting]
        made.append(ranking_grid(mine))
        made.extend(duels_grid(across) for across in mine if across.duels and len(across.groups) > 1)
    return made


def ranking_grid(measures: Sequence[Across]) -> Grid:
    """Return the ranking in a setting: variants by the first of `measures`, two columns for each."""
    first = measures[0]
    lines = []
    for place, name in enumerate(first.variants):
        texts = [name]
        for across in measures:
            texts += _of(across, name)
        lines.append(row(*texts, bold=place == 0 and math.isfinite(first.ranks[0])))
    return Grid(
        kind="ranking",
        texts=(first.setting,),
        caption=_caption(measures),
        headers=(
            "variant",
            *(text for a in measures for text in ("mean rank", f"{MEASURES[a.measure]} [95 %]")),
        ),
        align="l" + "rr" * len(measures),
        rows=tuple(lines),
    )


def _of(across: Across, name: str) -> list[str]:
    if name not in across.variants:
        return [NONE, NONE]
    place = across.variants.index(name)
    mark = f"{CLOSE} " if name in told(across) else ""
    rank = number(across.ranks[place], 2)
    return [f"{mark}{rank}", interval(across.means[place], decimals(across.means))]


def told(across: Across) -> set[str]:
    """Return the variants that are not told apart from the one of the best mean rank, without it."""
    if not across.variants:
        return set()
    best = across.variants[0]
    return {name for clique in across.cliques if best in clique for name in clique} - {best}


def _caption(measures: Sequence[Across]) -> str:
    first = measures[0]
    groups = plural(len(first.groups), "independent group")
    said = [f"{first.setting}: mean over {groups} of tasks, with bootstrap intervals over groups."]
    for across in measures:
        if math.isfinite(across.critical_difference):
            p = p_value(across.p_friedman, sign=True)
            what, cd = MEASURES[across.measure].capitalize(), across.critical_difference
            said.append(f"{what}: Friedman p {p}, critical difference {cd:.2f}.")
    if any(told(across) for across in measures):
        said.append(f"{CLOSE}: not told apart from the best.")
    if all(math.isnan(across.critical_difference) for across in measures):
        said.append("No test: there are too few groups, or variants.")
    return " ".join(said)


def duels_grid(across: Across) -> Grid:
    """Return a row a pair of variants; of many pairs, those with the best by mean rank."""
    duels: Sequence[Duel] = across.duels
    which = "every pair"
    if len(duels) > MOST_PAIRS:
        best = across.variants[0]
        duels = [duel for duel in duels if best in (duel.first, duel.second)]
        which = "pairs with the best by mean rank"
    return Grid(
        kind="duels",
        texts=(across.measure, across.setting),
        caption=f"{across.setting}: {which}, by {MEASURES[across.measure]} over "
        f"{plural(len(across.groups), 'group')} of tasks: how often the first is ahead, Wilcoxon's "
        "signed-rank test with Holm's correction, and Nemenyi's test.",
        headers=("first", "second", "ahead", "ties", "behind", "p", "p, Nemenyi"),
        align="llrrrrr",
        rows=tuple(
            row(
                d.first, d.second, str(d.wins), str(d.ties), str(d.losses), p_value(d.p), p_value(d.p_nemenyi)
            )
            for d in duels
        ),
    )


def heatmap_grid(heatmap: Heatmap) -> Grid:
    """Return normalised regret, a row a number of brackets and a column a reduction factor."""
    there = [value for line in heatmap.values for value in line if not math.isnan(value)]
    digits = decimals(Interval(value, math.nan, math.nan) for value in there)
    least = min(there, default=math.nan)
    lines = []
    for brackets, values in zip(heatmap.brackets, heatmap.values, strict=True):
        strong = [place for place, value in enumerate(values, start=1) if value == least]
        lines.append(row(f"{brackets:g}", *(number(value, digits) for value in values), strong=strong))
    return Grid(
        kind="heatmap",
        texts=(heatmap.title, heatmap.setting),
        caption=f"{heatmap.title}, {heatmap.setting}: mean normalised regret over the number of brackets and "
        "the reduction factor η. The best is bold.",
        headers=("brackets", *(f"η = {eta:g}" for eta in heatmap.etas)),
        align="r" * (1 + len(heatmap.etas)),
        rows=tuple(lines),
    )


def plural(count: int, noun: str) -> str:
    """Return ``1 group``, ``2 groups``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
