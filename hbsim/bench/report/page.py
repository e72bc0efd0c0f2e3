"""The page of `hbsim report`: one HTML file that holds all it needs and asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from importlib.resources import files
from string import Template
from typing import Final

from hbsim.bench.report.model import Report
from hbsim.bench.report.page_across import ACROSS_CONTENTS, across_blocks
from hbsim.bench.report.page_data import encoded
from hbsim.bench.report.page_glance import GLANCE_CONTENTS, glance_section
from hbsim.bench.report.page_marks import colour_rules, marks, plotly_styles
from hbsim.bench.report.page_tables import missing_table, pairs, tasks_table, variants_table
from hbsim.bench.report.page_text import blob, escape
from hbsim.bench.report.page_thin import LADDER, size, thinned
from hbsim.bench.report.tables_notes import task_notes
from hbsim.bench.report.tables_numbers import plural
from hbsim.bench.statistics.checks import need_report

__all__ = ["LIMIT", "render"]

LIMIT: Final = 9_700_000  # bytes
ROOM: Final = 2000  # of them for the policy and for notes on what is left out
SCRIPTS: Final = (
    "format",
    "state",
    "marks",
    "table",
    "draw",
    "tables",
    "curves",
    "bars",
    "heat",
    "timeline",
    "main",
)


def render(report: Report, *, limit: int = LIMIT) -> str:
    """Return the page as HTML: the same report gives the same text.

    Tables of the ranking over all tasks, of the tasks, the variants, the missing cells and the commands are
    plain HTML; charts and the tables of the chosen task are drawn by the page's script, with plotly.js, which
    is part of the page. The policy of the page (CSP) lets only these scripts run, and none reach the network.

    Parameters
    ----------
    report : Report
        What it says. All its texts may be anything; they are escaped.
    limit : int
        Bytes that the page should not exceed. Of a report that is too large for that, curves are thinned and
        then bands and timelines left out, and the page says so. What remains may exceed a very small limit.

    Raises
    ------
    ParameterError
        Without plotly.
    """
    need_report("plotly")
    plotly = _plotly()
    fixed = _fixed_parts(report)
    script = "\n".join(_asset(f"{name}.js") for name in SCRIPTS)
    script = f'(function () {{\n"use strict";\n{script}\n}})();'
    used = sum(
        len(part.encode())
        for part in (
            plotly,
            script,
            _asset("template.html"),
            _notes((*report.notes, *task_notes(report))),
            *fixed.values(),
        )
    )
    data, notes = _fitting(report, limit - used - ROOM)
    return Template(_asset("template.html")).substitute(
        fixed,
        policy=escape(_policy(plotly, script)),
        notes=_notes((*report.notes, *task_notes(report), *notes)),
        data=data,
        plotly=plotly,
        script=script,
    )


def _fixed_parts(report: Report) -> dict[str, str]:
    return {
        "title": escape(report.title),
        "description": "".join(f"<p>{escape(part)}</p>" for part in report.description.split("\n\n") if part),
        "style": _style(report),
        "marks": marks(report.variants),
        "counts": _counts(report),
        "summary": _items(report.summary),
        "glance": glance_section(report),
        "contents": (GLANCE_CONTENTS if len(report.tasks) > 1 else "")
        + (ACROSS_CONTENTS if report.across else ""),
        "across": _across(report),
        "tasks": tasks_table(report),
        "variants": variants_table(report),
        "missing": missing_table(report),
        "commands": pairs(report.commands, is_code=True),
        "versions": pairs(report.versions, is_code=False),
        "spec": escape(report.spec),
    }


def _across(report: Report) -> str:
    """Return the sections that compare over tasks; nothing where there is one group of them."""
    blocks = across_blocks(report)
    return Template(_asset("across.html")).substitute(blocks=blocks) if report.across else ""


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    # A browser reads one kind of line end; the hash of the policy is of what it reads.
    text: str = get_plotlyjs()
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("</script", "<\\/script")


def _asset(name: str) -> str:
    return files("hbsim.bench.report").joinpath("assets", name).read_text(encoding="utf-8")


def _style(report: Report) -> str:
    light, dark = colour_rules(report.variants), colour_rules(report.variants, dark=True)
    return (
        f"{_asset('page.css')}\n:root{{{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    )


def _items(sentences: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<ul>{items}</ul>" if items else ""


def _notes(sentences: Sequence[str]) -> str:
    if not sentences:
        return ""
    head = '<section id="notes" class="notes" aria-labelledby="notes-head">'
    return f'{head}<h2 id="notes-head">To keep in mind</h2>{_items(sentences)}</section>'


def _counts(report: Report) -> str:
    done = f"{plural(report.finished, 'study')} of {report.cells:,} finished"
    parts = [plural(len(report.variants), "variant"), plural(len(report.tasks), "task"), done]
    return escape(" · ".join(parts))


def _policy(*scripts: str) -> str:
    """Return the content security policy: these scripts, the page's own styles and pictures; no network."""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _fitting(report: Report, room: int) -> tuple[str, tuple[str, ...]]:
    """Return the data, in at most `room` bytes if that can be, and what was left out for it."""
    styles = plotly_styles(report.variants)
    data = ""
    notes: tuple[str, ...] = ()
    for limits in LADDER:
        # To make the data takes long where there is much of it: only where it may fit.
        if limits is LADDER[-1] or 0.9 * sum(size(task, limits) for task in report.tasks) <= room:
            small, notes = thinned(report, limits)
            data = blob(encoded(small, styles))
            if len(data) <= room:
                break
    return data, notes
