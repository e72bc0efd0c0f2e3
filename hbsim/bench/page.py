"""The page of `hbsim report`: one HTML file that holds all it needs and asks the network for nothing."""

from __future__ import annotations

import base64
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from hbsim.bench.chart_style import Chart, spread, svg_of
from hbsim.bench.charts import (
    VariantStyles,
    across_charts,
    heatmap,
    ranks,
    task_charts,
    timeline,
    variant_styles,
)
from hbsim.bench.formatting import MEASURES, FileNames, plural
from hbsim.bench.html_page import asset, frame, packed, specs, template
from hbsim.bench.report.model import Line, SweepReport, TaskReport, Timeline
from hbsim.bench.report.notes import shared_notes
from hbsim.bench.report.render import as_html
from hbsim.bench.report.tables import (
    cost_table,
    diagnosis_tables,
    heatmap_table,
    leads_table,
    missing_table,
    overview_table,
    rankings,
    task_table,
)

if TYPE_CHECKING:
    from hbsim.bench.report.tables import ReportTable


TEXTS: Final = tomllib.loads(asset("texts.toml"))  # captions of figures, and the glossary
LIMIT: Final = 9_700_000  # bytes
NEEDED: Final = 4  # the open table leaves out columns of greater `need`, which folded ones show
FOLDS: Final = {
    "Over time": ("anytime", "best", "target"),
    "What early decisions cost": ("regret", "rungs"),
    "Brackets": ("brackets",),
    "What the workers did": ("time",),
}


@dataclass(frozen=True)
class PageLimits:
    """The limits on a task's data: points of a curve, variants with a timeline, stretches of a timeline."""

    points: int
    timelines: int
    stretches: int


LIMITS: Final = (
    PageLimits(200, 100, 10_000),
    PageLimits(80, 2, 300),
    PageLimits(40, 0, 0),
    PageLimits(12, 0, 0),
)


def render(report: SweepReport, *, limit: int = LIMIT) -> str:
    """Return the page as HTML: the same report gives the same text.

    The answer, one table and one chart are open, everything else is folded away. Tables are plain HTML;
    charts are drawn by Vega, which is part of the page. The policy of the page (CSP) lets only its own
    two scripts run, and none reach the network.

    Parameters
    ----------
    report : SweepReport
        The report. Its texts may hold anything; they are escaped.
    limit : int
        The size in bytes that the page should not exceed. For a report that is too large, curves are thinned
        and timelines left out, and the page says so. The page may still exceed a very small limit.
    """
    page = template("page.html")
    styles = variant_styles(report.variants)
    parts = {
        "report": report,
        "counts": _counts(report),
        "notes": [*report.notes, *shared_notes(report)],
        "answer_table": _top_table(report, styles),
        "over": _over(report, styles),
        "missing": _tables(missing_table(report), styles),
        "glossary": TEXTS["glossary"],
        "captions": TEXTS["captions"],
        "folds": FOLDS,
        **frame(),
    }
    fixed = len(page.render(**parts, tasks=[], top=None, left_out="").encode())
    tasks, left_out = _fitting(report, styles, limit - fixed)
    return page.render(**parts, tasks=tasks, top=_top_chart(report, styles), left_out=left_out)


def _counts(report: SweepReport) -> str:
    done = f"{plural(report.finished, 'study')} of {report.cells:,} finished"
    return " · ".join([plural(len(report.variants), "variant"), plural(len(report.tasks), "task"), done])


def _tables(tables: Iterable[ReportTable], styles: VariantStyles) -> list[str]:
    """Return tables as HTML, with the colour of each variant beside its name."""
    return [as_html(table, styles.colour) for table in tables if table.rows]


def _top_table(report: SweepReport, styles: VariantStyles) -> str:
    """Return the main table: of the only task, or over all tasks."""
    tables = overview_table(report) or [task_table(task) for task in report.tasks]
    return next(iter(_tables(map(_narrow, tables), styles)), "")


def _narrow(table: ReportTable) -> ReportTable:
    """Return a table with only the columns that most readers need, so that it fits the page."""
    kept = [place for place, column in enumerate(table.columns) if column.need <= NEEDED]
    rows = tuple(tuple(row[place] for place in kept) for row in table.rows)
    return replace(table, columns=tuple(table.columns[place] for place in kept), rows=rows)


def _top_chart(report: SweepReport, styles: VariantStyles) -> dict[str, str] | None:
    """Return the main chart, and a picture of it for readers without scripts."""
    over = report.overall
    ranked = None if over is None else ranks(over, styles)
    curves = (pair for task in report.tasks for pair in task_charts(task, styles, ("anytime",)).items())
    found = next(curves, None) if ranked is None else ("ranks", ranked)
    if found is None:
        return None
    name, chart = found
    picture = base64.b64encode(svg_of(chart).encode()).decode()
    return {"name": name, "data": packed(specs({name: chart})), "picture": picture}


def _over(report: SweepReport, styles: VariantStyles) -> dict[str, object]:
    """Return charts over tasks (name in the data, kind, what the chart covers), and the tables."""
    charts: dict[str, Chart] = {}

    def named(kind: str, of: str, chart: Chart) -> tuple[str, str, str]:
        name = f"c{len(charts)}"
        charts[name] = chart
        return name, kind, of

    ranked = [
        named(kind, f"{across.setting}, by {MEASURES[across.measure]}", chart)
        for kind, across, chart in across_charts(report, styles)
    ]
    heated = [
        named("heatmap", f"{one.title}, {one.setting}", chart)
        for one in report.heatmaps
        if (chart := heatmap(one))
    ]
    folds = [
        ("Over tasks", ranked, _tables(rankings(report), styles)),
        ("Brackets and reduction factor", heated, _tables(map(heatmap_table, report.heatmaps), styles)),
    ]
    return {"folds": [fold for fold in folds if fold[1] or fold[2]], "data": packed(specs(charts))}


@dataclass(frozen=True)
class Section:
    """A task on the page.

    Attributes
    ----------
    id, name : str
        Its name in addresses, and for readers.
    notes : sequence of str
        Remarks on the task.
    table : str
        The standings of its variants, as HTML.
    charts : sequence of str
        The names of its charts.
    timelines : sequence of (str, str)
        The name of each timeline in the data, and its variant.
    data : str
        Charts and further tables, packed.
    """

    id: str
    name: str
    notes: Sequence[str]
    table: str
    charts: Sequence[str]
    timelines: Sequence[tuple[str, str]]
    data: str


def _fitting(report: SweepReport, styles: VariantStyles, room: int) -> tuple[list[Section], str]:
    """Return the tasks, in at most `room` bytes if possible, and what was left out to fit."""
    names = FileNames()
    ids = [names.make("task", (task.surrogate, task.setting)) for task in report.tasks]
    for limits in LIMITS:
        sections: list[Section] = []
        for id_, task in zip(ids, report.tasks, strict=True):
            sections.append(_section(id_, task, report, styles, limits))
            if limits is not LIMITS[-1] and len(sections) == 1 and _size(sections) * len(ids) > room:
                break  # making all of them takes long
        if len(sections) == len(ids) and _size(sections) <= room:
            break
    if limits is LIMITS[0]:
        return sections, ""
    timelines = "no timelines"
    if limits.timelines:
        timelines = f"timelines of {plural(limits.timelines, 'variant')} a task"
    return (
        sections,
        f"To keep this page small, curves have {limits.points} points, and there are {timelines}.",
    )


def _size(sections: Iterable[Section]) -> int:
    return sum(len(one.data) + len(one.table.encode()) + 3000 for one in sections)


def _section(
    id_: str, task: TaskReport, report: SweepReport, styles: VariantStyles, limits: PageLimits
) -> Section:
    small = _thinned(task, limits)
    charts = task_charts(small, styles)
    names = list(charts)
    timelines = []
    for place, one in enumerate(small.timelines):
        if chart := timeline(one, styles, ""):
            timelines.append((f"timeline{place}", f"{one.variant}, seed {one.seed}"))
            charts[f"timeline{place}"] = chart
    alone = replace(report, tasks=(task,))
    more = _tables([leads_table(task), cost_table(task), *diagnosis_tables(alone)], styles)
    table = "".join(_tables([task_table(task)], styles))
    data = packed({**specs(charts), "tables": more})
    return Section(id_, task.name, task.notes, table, names, timelines, data)


def _thinned(task: TaskReport, limits: PageLimits) -> TaskReport:
    anytime, reached, chances = (
        tuple(_of_points(line, limits.points) for line in lines)
        for lines in (task.anytime, task.reached, task.chances)
    )
    timelines = tuple(_of_stretches(one, limits.stretches) for one in task.timelines[: limits.timelines])
    return replace(task, timelines=timelines, anytime=anytime, reached=reached, chances=chances)


def _of_stretches(timeline: Timeline, most: int) -> Timeline:
    """Return a timeline of all its workers, cut when it has too many stretches."""
    if len(timeline.segments) <= most:
        return timeline
    cut = sorted(one.start for one in timeline.segments)[most]
    kept = (replace(one, end=min(one.end, cut)) for one in timeline.segments if one.start < cut)
    return replace(timeline, segments=tuple(kept), cut=cut)


def _of_points(line: Line, most: int) -> Line:
    """Return a step curve with at most `most` points, the first and the last among them."""
    at = spread(len(line.x), most)
    parts = ([column[i] for i in at if column] for column in (line.x, line.mean, line.low, line.high))
    return Line(line.variant, *map(tuple, parts))
