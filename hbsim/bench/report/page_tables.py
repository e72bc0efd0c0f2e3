"""The tables of the page that can be read without a script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlencode

from hbsim.bench.report.model import Report, Task
from hbsim.bench.report.page_marks import marked
from hbsim.bench.report.page_text import DASH, escape, fixed
from hbsim.bench.report.tables_marks import best_of
from hbsim.bench.report.tables_numbers import decimals
from hbsim.bench.statistics import Interval

__all__ = [
    "interval_cell",
    "missing_table",
    "pairs",
    "table",
    "task_link",
    "tasks_table",
    "variant_cell",
    "variants_table",
]


def table(caption: str, heads: Sequence[tuple[str, bool]], rows: Iterable[str], more: str = "") -> str:
    """Return a table in a box that scrolls; `heads` are labels, and whether their column holds numbers."""
    head = "".join(
        f'<th scope="col"{" class=number" if is_number else ""}>{escape(label)}</th>'
        for label, is_number in heads
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table{more}>'
        f"<caption><span>{escape(caption)}</span></caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def variant_cell(name: str, number: Mapping[str, int]) -> str:
    """Return the head of a row: the variant's mark and its name."""
    return f'<th scope="row" class="name">{marked(name, number[name])}</th>'


def interval_cell(interval: Interval, places: int) -> str:
    """Return a mean with its interval, small."""
    ends = f"{fixed(interval.low, places)}{DASH}{fixed(interval.high, places)}"
    is_known = interval.low == interval.low and interval.high == interval.high
    shown = f' <span class="ends">[{ends.replace(DASH, ", ", 1)}]</span>' if is_known else ""
    return f'<td class="number">{fixed(interval.mean, places)}{shown}</td>'


def variants_table(report: Report) -> str:
    """Return what was compared: each variant, its scheduler and its options."""
    number = {variant.name: index for index, variant in enumerate(report.variants)}
    rows = []
    for variant in report.variants:
        options = ", ".join(f"{key} = {value}" for key, value in variant.options.items()) or "as it comes"
        rows.append(
            f"<tr data-variant={number[variant.name]}>{variant_cell(variant.name, number)}"
            f'<td>{escape(variant.type)}</td><td class="text">{escape(options)}</td></tr>'
        )
    return table(
        "The variants: scheduler and options", [("Variant", False), ("Type", False), ("Options", False)], rows
    )


def tasks_table(report: Report) -> str:
    """Return one row a task: who is best there and how many are too close to it to call."""
    number = {variant.name: index for index, variant in enumerate(report.variants)}
    places = decimals(task.rows[0].score for task in report.tasks if task.rows)
    rows = [_task_row(task, number, places) for task in report.tasks]
    heads = [("Surrogate", False), ("Cluster", False), ("Workers", True), ("Seeds", True)]
    heads += [("Best variant", False), ("Its score", True), ("Too close to call", True)]
    return table("All tasks and the best variant of each", heads, rows)


def _task_row(task: Task, number: Mapping[str, int], places: int) -> str:
    best = best_of(task)
    close = sum(row.call == "too close to call" for row in task.rows)
    who = "".join(marked(one.variant, number[one.variant]) for one in best) or DASH
    score = interval_cell(best[0].score, places) if best else f'<td class="number">{DASH}</td>'
    return (
        f'<tr><th scope="row" class="name">{task_link(task, task.surrogate)}</th>'
        f'<td>{escape(task.cluster)}</td><td class="number">{task.workers}</td>'
        f'<td class="number">{task.seeds}</td><td class="name">{who}</td>{score}'
        f'<td class="number">{close}</td></tr>'
    )


def task_link(task: Task, text: str) -> str:
    """Return a link to the view of a task, by its names: it leads there also where tasks were added."""
    names = {"surrogate": task.surrogate, "cluster": task.cluster, "workers": task.workers}
    shown = escape(text).replace(",", ",<wbr>").replace(":", ":<wbr>")
    return f'<a href="#{escape(urlencode(names))}">{shown}</a>'


def missing_table(report: Report) -> str:
    """Return why there are cells without a result, or that there are none."""
    if not report.missing:
        what = "All cells have a result." if report.finished == report.cells else "No reasons are known."
        return f"<p>{what}</p>"
    rows = [
        f'<tr><td class="text">{escape(one.reason)}</td><td class="number">{one.cells}</td>'
        f'<td class="text">{escape(one.example)}</td></tr>'
        for one in report.missing
    ]
    return table("Cells without a result", [("Reason", False), ("Cells", True), ("One of them", False)], rows)


def pairs(items: Mapping[str, str], is_code: bool) -> str:
    """Return a list of what something is for, or called, and the text itself."""
    tag = "pre" if is_code else "span"
    body = "".join(
        f"<dt>{escape(key)}</dt><dd><{tag}>{escape(value)}</{tag}></dd>" for key, value in items.items()
    )
    return f'<dl class="{"commands" if is_code else "versions"}">{body}</dl>'
