"""The ranking over all tasks: a block for each setting and measure, tables and diagram without a script."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from hbsim.bench.report.build_across import ALL
from hbsim.bench.report.chart_ranks import can_be_drawn, ranks_diagram
from hbsim.bench.report.model import Across, Report
from hbsim.bench.report.page_names import short_names
from hbsim.bench.report.page_tables import interval_cell, table, variant_cell
from hbsim.bench.report.page_text import escape, fixed
from hbsim.bench.report.tables_across import friedman_name
from hbsim.bench.report.tables_marks import BEST, CLOSE, WORSE, across_marks, few, untested
from hbsim.bench.report.tables_numbers import decimals, p_value, plural
from hbsim.bench.statistics import ALPHA

__all__ = ["ACROSS_CONTENTS", "across_blocks"]

ACROSS_CONTENTS: Final = (
    '<li><a href="#ranking">Ranking over all tasks</a></li>\n'
    '<li class="script"><a href="#duels">Duels</a></li>'
)

MEASURES = {"score": "normalised regret at equal time", "area": "normalised regret averaged over time"}

_READ_RANKS = (
    "How to read it: further left is better. A thick bar joins variants whose mean ranks are less than the "
    "critical difference apart: they are not told apart by Nemenyi's test, which asks for more than the test "
    "of pairs in the table."
)


def across_blocks(report: Report) -> str:
    """Return all blocks; the script shows the one that is chosen."""
    number = {variant.name: index for index, variant in enumerate(report.variants)}
    short = short_names(list(number))
    return "".join(_block(index, across, number, short) for index, across in enumerate(report.across))


def _block(index: int, across: Across, number: Mapping[str, int], short: Mapping[str, str]) -> str:
    measure = MEASURES.get(across.measure, across.measure)
    diagram = ""
    if can_be_drawn(across):
        label = f"Mean ranks of {len(across.variants)} variants in {across.setting}, by {measure}"
        drawn = ranks_diagram(across, number, short, label)
        diagram = (
            f"<figure><h4>Mean ranks, and what is not told apart</h4>"
            f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}">{drawn}</div>'
            f"<figcaption>{_READ_RANKS}</figcaption></figure>"
        )
    return (
        f'<div class="across" data-across="{index}"><h3>{escape(_title(across))}: {escape(measure)}</h3>'
        f"<p>{_friedman(across)}</p>{_ranking(across, number, measure)}{diagram}</div>"
    )


def _title(across: Across) -> str:
    return across.setting.capitalize() if across.setting == ALL else across.setting


def _friedman(across: Across) -> str:
    groups = f"{plural(len(across.groups), 'independent group')} of tasks"
    if math.isnan(across.p_friedman):
        said = f"Over {groups}; too few groups or variants for a test over all of them."
    else:
        verdict = "differ" if across.p_friedman < ALPHA else "are not shown to differ"
        test = escape(f"{friedman_name(across)}: p {p_value(across.p_friedman, sign=True)}")
        said = f"Over {groups}. Taken together, the variants {verdict} ({test})."
    return " ".join(text for text in (said, escape(few(len(across.groups), "group"))) if text)


def _ranking(across: Across, number: Mapping[str, int], measure: str) -> str:
    places, marks = decimals(across.means), across_marks(across)
    heads = [
        ("Variant", False),
        ("Mean rank", True),
        ("", False),
        ("Mean score, 95% interval", True),
        ("Groups won", True),
    ]
    rows = []
    for name, rank, mean, won in zip(across.variants, across.ranks, across.means, _wins(across), strict=True):
        mark = marks.get(name, "")
        cells = f'<td class="number">{fixed(rank, 2)}</td><td>{mark}</td>{interval_cell(mean, places)}'
        cells += f'<td class="number">{won}</td>'
        kind = " class=first" if mark == BEST else ""
        rows.append(f"<tr{kind} data-variant={number[name]}>{variant_cell(name, number)}{cells}</tr>")
    caption = f"Over all tasks in {across.setting}: {measure}; lower is better"
    return f'{table(caption, heads, rows)}<p class="read">{escape(_foot(across, set(marks.values())))}</p>'


def _foot(across: Across, marks: set[str]) -> str:
    said = [f"{BEST}: the best mean rank"]
    said += [f"{CLOSE}: too close to it to call"] if CLOSE in marks else []
    said += [f"{WORSE}: worse"] if WORSE in marks else []
    by = "by Wilcoxon’s test over groups against the first, Holm-corrected for all pairs"
    return f"{'; '.join(said)}, {by}." if len(said) > 1 else f"{said[0]}; pairs are {untested(across)}."


def _wins(across: Across) -> list[int]:
    """Return in how many groups each variant has the least score; ties count for all of them."""
    wins = [0] * len(across.variants)
    for row in across.scores:
        best = min((score for score in row if math.isfinite(score)), default=math.nan)
        wins = [won + (score == best) for won, score in zip(wins, row, strict=True)]
    return wins
