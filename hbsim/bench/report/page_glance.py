"""All tasks at a glance: a row a task, a column a variant; without a script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hbsim.bench.report.model import Report, Task
from hbsim.bench.report.page_names import short_names
from hbsim.bench.report.page_tables import task_link
from hbsim.bench.report.page_text import escape, fixed
from hbsim.bench.report.tables_glance import LEGEND, best_first, task_names
from hbsim.bench.report.tables_marks import BEST, CLOSE, WORSE, mark_of
from hbsim.bench.report.tables_numbers import decimals

__all__ = ["GLANCE_CONTENTS", "glance_section"]

GLANCE_CONTENTS: Final = '<li><a href="#glance">At a glance</a></li>\n'
WORDS: Final = {BEST: "best", CLOSE: "too close to call", WORSE: "worse"}
PRINTED: Final = 12  # variants: with more, paper is too narrow
KINDS: Final = {BEST: "best", CLOSE: "close", WORSE: "behind"}


def glance_section(report: Report) -> str:
    """Return the section; nothing where there is one task, or none."""
    if len(report.tasks) < 2 or not report.variants:
        return ""
    place = {variant.name: index for index, variant in enumerate(report.variants)}
    number = {name: place[name] for name in best_first(report)}
    what, labels, _ = task_names(report.tasks)
    rows = [_row(task, label, number) for task, label in zip(report.tasks, labels, strict=True)]
    wide = " class=wide" if len(number) > PRINTED else ""
    caption = "Mean normalised regret of every variant on every task; lower is better"
    return (
        f'<section id="glance"{wide} aria-labelledby="glance-head"><h2 id="glance-head">At a glance</h2>\n'
        f'<div class="scroll tall" tabindex="0" role="region" aria-label="{caption}"><table>'
        f"<caption><span>{caption}</span></caption><thead><tr>"
        f'<th scope="col">{escape(what.capitalize())}</th>{_heads(report, number)}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>\n"
        f'<p class="read">{BEST}: best; {escape(LEGEND)}; empty: not run there. By Wilcoxon’s test over the '
        "seeds of the task, Holm-corrected. Variants stand by their mean rank over the tasks. "
        "A task leads to its charts and tables.</p></section>"
    )


def _heads(report: Report, number: Mapping[str, int]) -> str:
    short = short_names([variant.name for variant in report.variants])
    return "".join(
        f'<th scope="col" class="number" data-variant={index} title="{escape(name)}">'
        f'<svg class="swatch" aria-hidden="true"><use href="#mark-{index}"/></svg>'
        f"<span>{escape(short[name]).replace(',', ',<wbr>')}</span></th>"
        for name, index in number.items()
    )


def _row(task: Task, label: str, number: Mapping[str, int]) -> str:
    mine = {row.variant: row for row in task.rows}
    places = decimals(row.score for row in task.rows)
    cells = []
    for name, index in number.items():
        row = mine.get(name)
        mark = mark_of(row) if row else ""
        words = f'<span class="aside">{WORDS[mark]}</span>' if mark else ""
        kind = f"number {KINDS[mark]}" if mark else "number"
        seen = f'<span class="mark" aria-hidden="true">{mark}</span>{words}' if mark else ""
        shown = f"{fixed(row.score.mean, places)}{seen}" if row else ""
        cells.append(f'<td class="{kind}" data-variant={index}>{shown}</td>')
    return f'<tr><th scope="row" class="name">{task_link(task, label)}</th>{"".join(cells)}</tr>'
