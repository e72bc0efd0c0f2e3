"""Tables over tasks: the ranking in each setting, duels, heatmaps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from hbsim.bench.report.build_across import ALL
from hbsim.bench.report.model import Across, Duel, Heatmap, Report
from hbsim.bench.report.tables_grid import Grid, row
from hbsim.bench.report.tables_marks import BEST, CLOSE, WORSE, across_marks, few, untested
from hbsim.bench.report.tables_numbers import MEASURES, NONE, decimals, interval, number, p_value, plural
from hbsim.bench.statistics import Interval

__all__ = ["duels_grid", "friedman_name", "heatmap_grid", "ranking_grid", "rankings", "settings_first"]

MOST_PAIRS: Final = 15  # of more, those with the best
MANY_GROUPS: Final = 10  # from which on Friedman's p is that of an F distribution


def rankings(report: Report) -> list[Grid]:
    """Return the ranking in each setting, of both measures, then the duels; over all settings first."""
    made = []
    for setting in settings_first(report.across):
        mine = [across for across in report.across if across.setting == setting]
        made.append(ranking_grid(mine))
        made.extend(duels_grid(across) for across in mine if across.duels and len(across.groups) > 1)
    return made


def settings_first(across: Sequence[Across]) -> list[str]:
    """Return the settings, that of all of them first."""
    return sorted(dict.fromkeys(one.setting for one in across), key=lambda setting: setting != ALL)


def ranking_grid(measures: Sequence[Across]) -> Grid:
    """Return the ranking in a setting: variants by the first of `measures`, two columns for each."""
    first = measures[0]
    marks = {across.measure: across_marks(across) for across in measures}
    lines = []
    for name in first.variants:
        texts = [name]
        for across in measures:
            texts += _of(across, name, marks[across.measure])
        lines.append(row(*texts, bold=marks[first.measure].get(name) == BEST))
    return Grid(
        kind="ranking",
        texts=(first.setting,),
        caption=_caption(measures),
        headers=(
            "variant",
            *(text for a in measures for text in ("mean rank", f"{MEASURES[a.measure]} [95%]")),
        ),
        align="l" + "rr" * len(measures),
        rows=tuple(lines),
    )


def _of(across: Across, name: str, marks: Mapping[str, str]) -> list[str]:
    if name not in across.variants:
        return [NONE, NONE]
    place = across.variants.index(name)
    mark = marks.get(name, "")
    shown = f"{mark} " if mark and mark != BEST else ""
    return [
        f"{shown}{number(across.ranks[place], 2)}",
        interval(across.means[place], decimals(across.means)),
    ]


def _caption(measures: Sequence[Across]) -> str:
    first = measures[0]
    groups = plural(len(first.groups), "independent group")
    said = [f"{first.setting}: mean over {groups} of tasks, with bootstrap intervals over groups."]
    said += [few(len(first.groups), "group")]
    for across in measures:
        if math.isfinite(across.p_friedman):
            p = p_value(across.p_friedman, sign=True)
            said.append(f"{MEASURES[across.measure].capitalize()}: {friedman_name(across)}, p {p}.")
    shown = {mark for across in measures for mark in across_marks(across).values()}
    by = "by Wilcoxon's test over groups against the first, with Holm's correction"
    if shown & {CLOSE, WORSE}:
        said.append(f"The best mean rank is bold; {CLOSE}: too close to it to call, {WORSE}: worse, {by}.")
    if why := untested(first):
        said.append(f"{why.capitalize()}.")
    return " ".join(text for text in said if text)


def friedman_name(across: Across) -> str:
    """Return what the p of a ranking is of: below 10 groups it is counted, for the F is not near enough."""
    how = "Iman and Davenport's F" if len(across.groups) >= MANY_GROUPS else "by permutations"
    return f"Friedman's test, {how}"


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
        "signed-rank test with Holm's correction over all pairs, and Nemenyi's test, as in the diagram of "
        f"mean ranks.{_dot(untested(across))}",
        headers=("first", "second", "ahead", "ties", "behind", "p", "p, Nemenyi"),
        align="llrrrrr",
        rows=tuple(
            row(
                d.first, d.second, str(d.wins), str(d.ties), str(d.losses), p_value(d.p), p_value(d.p_nemenyi)
            )
            for d in duels
        ),
    )


def _dot(text: str) -> str:
    return f" {text.capitalize()}." if text else ""


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
