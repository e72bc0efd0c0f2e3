"""Charts of a report: those of each task, and those over all tasks.

A function takes parts of a `SweepReport` and returns a chart, or None where there is nothing to draw.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import altair as alt
import numpy as np

from hbsim.bench.chart_style import (
    COLOURS,
    DASHES,
    GREY,
    HEIGHT,
    HOVER,
    OTHER,
    ROW,
    WIDTH,
    Chart,
    Row,
    coloured,
    data,
    digits,
    file_content,
    legend_below,
    level_colours,
    log_scale,
    number,
    svg_of,
    theme,
    time_unit,
    variant_rows,
    worker_bars,
)
from hbsim.bench.formatting import FileNames, last_if_nan, short_names, shortened
from hbsim.bench.report.diagnosis import FEW_TASKS, by_setting, views
from hbsim.bench.report.model import (
    BEST,
    NO_SCORE,
    OPEN,
    WORSE,
    Across,
    Heatmap,
    Line,
    SweepReport,
    TaskReport,
    Timeline,
    View,
)
from hbsim.errors import OutputError, ParameterError

if TYPE_CHECKING:
    from hbsim.bench.conclusions import Interval
    from hbsim.bench.report.model import VariantInfo


@dataclass(frozen=True)
class VariantStyles:
    """The label, colour and dashes of each variant, the same in all charts of a report."""

    label: Mapping[str, str]
    colour: Mapping[str, str]
    dashes: Mapping[str, Sequence[int]]

    def shown(self, names: Iterable[str]) -> list[str]:
        """Return the variants among `names`, once each, in the order of the sweep's file."""
        wanted = set(names)
        return [name for name in self.label if name in wanted]

    def colours(self, names: Iterable[str]) -> dict[str, str]:
        """Return the colour of the label of each of `names`."""
        return {self.label[name]: self.colour[name] for name in names}


def variant_styles(variants: Sequence[VariantInfo]) -> VariantStyles:
    """Return a style for each variant of a report; up to 28 variants all styles differ.

    Where there are several types and few variants of each, a type has one colour, and its variants differ in
    dashes; else each variant has the next colour.
    """
    count = Counter(variant.type for variant in variants)
    by_type = 1 < len(count) <= len(COLOURS) and max(count.values()) <= len(DASHES)
    types, seen = list(count), Counter[str]()
    colour, dashes = {}, {}
    for index, variant in enumerate(variants):
        row, place = divmod(index, len(COLOURS))
        if by_type:
            row, place = seen[variant.type], types.index(variant.type)
            seen[variant.type] += 1
        colour[variant.name], dashes[variant.name] = COLOURS[place], DASHES[row % len(DASHES)]
    return VariantStyles(short_names([variant.name for variant in variants]), colour, dashes)


def _titled(title: str, *subtitles: str, width: float = WIDTH) -> alt.TitleParams:
    letters = int((width + 60) / 5.6)
    return alt.TitleParams(
        shortened(title, letters), subtitle=[shortened(one, letters + 8) for one in subtitles]
    )


# Curves over time

EARLIEST: Final = 0.01  # share of the time; earlier scores depend on the first few trials by chance
DECADES: Final = 4  # decades of regret that are shown, at most
BANDED: Final = 3  # how many of the best variants have a band: more bands would hide each other
REGRET: Final = "normalised regret"


def anytime(task: TaskReport, styles: VariantStyles, time: tuple[str, float] | None = None) -> Chart | None:
    """Return the mean normalised regret of each variant's incumbent over simulated time, with its band."""
    lines = _shown(task.anytime, task)
    values = [y for line in lines for y in line.mean if y > 0]
    if not values:
        return None
    high = 1.25 * max(values)
    low = max(min(values) / 1.25, high / 10**DECADES)
    levels = [(1.0, "median configuration"), (task.target, "target")]
    y = {"title": REGRET, **log_scale(low, high)}
    return _curves(lines, task, styles, y, low, [at for at in levels if low < at[0] < high], time)


def anytime_mean(across: Across, tasks: Sequence[TaskReport], styles: VariantStyles) -> Chart | None:
    """Return the mean of the anytime curves over groups of tasks, over the share of each task's budget.

    Only tasks with all variants count, so that all means are over the same tasks. None below two groups.
    """
    names = across.variants
    whole = [task for task in tasks if {line.variant for line in task.anytime if line.x}.issuperset(names)]
    groups = sorted({task.group for task in whole})
    if len(groups) < 2:
        return None
    grid = np.geomspace(EARLIEST, 1.0, 100)
    lines = []
    for name in names:
        found: dict[str, list[Any]] = {group: [] for group in groups}
        for task in whole:
            line = next(line for line in task.anytime if line.variant == name)
            place = np.searchsorted(np.array(line.x), grid * task.budget * (1 + 1e-9), side="right")
            found[task.group].append(np.append(np.nan, np.array(line.mean))[place])
        means = np.mean([np.mean(one, axis=0) for one in found.values()], axis=0)
        lines.append(Line(name, tuple(grid.tolist()), tuple(means.tolist())))
    title = f"mean of {len(groups)} groups of tasks"
    mean = replace(whole[0], anytime=tuple(lines), reached=(), chances=(), budget=1.0, surrogate=title)
    return anytime(mean, styles, ("time, % of the budget", 0.01))


def reached(task: TaskReport, styles: VariantStyles) -> Chart | None:
    """Return the share of seeds that have reached the target, over simulated time."""
    lines = _shown(task.reached, task)
    return _curves(lines, task, styles, _percent(f"seeds that reached {task.target:g}")) if lines else None


def chances(task: TaskReport, styles: VariantStyles) -> Chart | None:
    """Return the probability of each variant of being the best one, over simulated time."""
    lines = _shown(task.chances, task)
    return _curves(lines, task, styles, _percent("probability of being best")) if lines else None


def _percent(title: str) -> dict[str, Any]:
    """Return the options of an axis of shares: title, scale and axis."""
    return {"title": title, "scale": alt.Scale(domain=[0, 1]), "axis": alt.Axis(format=".0%")}


def _ends(task: TaskReport) -> tuple[float, float]:
    """Return the first and the last time of the axis that all curves of a task share."""
    every = [line for line in (*task.anytime, *task.reached, *task.chances) if line.x]
    last = max((line.x[-1] for line in every), default=0.0)
    return max(last * EARLIEST, min((line.x[0] for line in every), default=0.0)), last


def _shown(lines: Sequence[Line], task: TaskReport) -> list[Line]:
    """Return the curves that have a number, cut to what the axis shows; none without an axis."""
    first, last = _ends(task)
    known = lines if 0 < last < math.inf else ()
    return [_from(line, first) for line in known if any(map(math.isfinite, line.mean))]


def _curves(
    lines: Sequence[Line],
    task: TaskReport,
    styles: VariantStyles,
    y: dict[str, Any],
    least: float = -math.inf,
    levels: Sequence[tuple[float, str]] = (),
    time: tuple[str, float] | None = None,
) -> Chart:
    """Return curves in steps over the time of a task; values below `least` are drawn at `least`."""
    first, last = _ends(task)
    unit, length = time or time_unit(last)
    names = styles.shown(line.variant for line in lines)
    colours = styles.colours(names)
    dashes = {styles.label[name]: list(styles.dashes[name]) for name in names}
    legend = legend_below(list(colours), WIDTH, symbolType="stroke", symbolSize=260)
    colour = coloured("variant:N", colours, legend)
    chosen = alt.selection_point(name="chosen", fields=["variant"], bind="legend")
    best = [row.variant for row in task.rows if row.variant in names][:BANDED]
    banded = [line.variant for line in lines if line.variant in best and line.low]
    base = alt.Chart(data(_rows(lines, styles, length, least, banded)))
    x = alt.X("x:Q", title=f"simulated {unit}", **log_scale(min(first, last / 2) / length, last / length))
    at = alt.Y("y:Q", **y)
    shade = alt.when(chosen).then(alt.value(0.14)).otherwise(alt.value(0.0))
    strength = alt.when(chosen).then(alt.value(1.0)).otherwise(alt.value(0.1))
    line = base.mark_line(interpolate="step-after", clip=True, strokeWidth=1.7).encode(
        x=x,
        y=at,
        color=colour,
        strokeDash=coloured("variant:N", dashes, legend, alt.StrokeDash),
        opacity=strength,
    )
    tips = [alt.Tooltip("variant:N"), number("x", title=unit), number("y", title=y["title"])]
    tips += [number("low"), number("high")] if banded else []
    hover = base.mark_point(**HOVER).encode(x=x, y=at, tooltip=tips)
    across = alt.Chart(data({"y": level, "text": text} for level, text in levels))
    text = across.mark_text(align="right", baseline="bottom", dy=-2, fontSize=10, color=GREY)
    rules = [
        across.mark_rule(strokeDash=[2, 3]).encode(y=at),
        text.encode(y=at, x=alt.value("width"), text="text:N"),
    ]
    if 0 < task.budget < 0.98 * last:  # the curves continue after the budget
        budget = alt.Chart(data([{"x": task.budget / length}]))
        rules.append(budget.mark_rule(strokeDash=[5, 3]).encode(x=x))
    layers: list[Any] = [alt.layer(*rules)]
    if banded:
        band = base.mark_area(interpolate="step-after", clip=True)
        layers.append(band.encode(x=x, y=alt.Y("low:Q", **y), y2="high:Q", color=colour, opacity=shade))
    return alt.layer(*layers, line.add_params(chosen), hover).properties(
        width=WIDTH,
        height=HEIGHT,
        title=_titled(task.surrogate, task.setting),
        usermeta={"fit": "both"},
    )


def _rows(
    lines: Sequence[Line], styles: VariantStyles, length: float, least: float, banded: Collection[str]
) -> Iterator[Row]:
    for line in lines:
        columns = {"y": line.mean}
        if line.variant in banded:
            columns |= {"low": line.low, "high": line.high}
        for i, x in enumerate(line.x):
            row: Row = {"variant": styles.label[line.variant], "x": digits(x / length, 6)}
            yield row | {name: digits(max(values[i], least)) for name, values in columns.items()}


def _from(line: Line, first: float) -> Line:
    """Return the part of a step curve from `first` on; it starts with the value that holds at `first`."""
    start = max(0, sum(x <= first for x in line.x) - 1)
    x = (max(line.x[start], first), *line.x[start + 1 :])
    return Line(line.variant, x, line.mean[start:], line.low[start:], line.high[start:])


# Variants in rows

SHAPES: Final = {BEST: "diamond", OPEN: "circle", WORSE: "triangle-right"}
REGRET_PARTS: Final = {
    "sampling": "#56b4e9",
    "decisions": "#d55e00",
    "unfinished": "#999999",
    "choice": "#009e73",
}
TIME_PARTS: Final = {
    "training": "#0072b2",
    "retrained": "#cc79a7",
    "overhead": "#e69f00",
    "idle": "#d0d5da",
    "absent": "#8b939c",
}
MEASURES: Final = {"score": f"{REGRET} at equal time", "area": f"{REGRET} averaged over time"}
BRACKET_SHARES: Final = {"trials": "trials started", "resource": "resource trained", "winners": "winners"}


def scores(task: TaskReport, styles: VariantStyles) -> Chart | None:
    """Return each variant's mean score and its interval, best first; marks show which are not told apart."""
    rows = [(row.variant, row.score, row.call) for row in task.rows if row.call != NO_SCORE]
    return _intervals(rows, styles, _titled(task.surrogate, task.setting), REGRET)


def means(across: Across, styles: VariantStyles) -> Chart | None:
    """Return each variant's interquartile mean over all studies of all tasks, with its interval."""
    rows = [(name, one, "") for name, one in zip(across.variants, across.iqm, strict=True)]
    rows.sort(key=lambda row: last_if_nan(row[1].mean))
    title = _titled(across.setting, "interquartile mean over tasks and seeds, 95% interval")
    return _intervals(rows, styles, title, MEASURES[across.measure])


def _intervals(
    found: Sequence[tuple[str, Interval, str]], styles: VariantStyles, title: alt.TitleParams, what: str
) -> Chart | None:
    rows: list[Row] = [
        {
            "variant": styles.label[name],
            **{end: digits(getattr(score, end)) for end in ("mean", "low", "high")},
            "call": call,
        }
        for name, score, call in found
        if math.isfinite(score.mean)
    ]
    if not rows:
        return None
    base = alt.Chart(data(rows)).encode(
        y=variant_rows([str(row["variant"]) for row in rows]),
        color=coloured("variant:N", styles.colours(name for name, _, _ in found), None),
    )
    shapes = {call: shape for call, shape in SHAPES.items() if any(row["call"] == call for row in rows)}
    legend = legend_below(list(shapes), 1.3 * WIDTH, symbolFillColor=GREY, symbolStrokeColor=GREY)
    axis = alt.Axis(format="~f", tickCount=6)
    ends = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=what, axis=axis), x2="high:Q")
    tips = [alt.Tooltip("variant:N"), alt.Tooltip("call:N"), *map(number, ("mean", "low", "high"))]
    dots = base.mark_point(filled=True, size=75, opacity=1).encode(x=alt.X("mean:Q"), tooltip=tips)
    if shapes:
        dots = dots.encode(shape=coloured("call:N", shapes, legend, alt.Shape))
    return alt.layer(ends, dots).properties(width=WIDTH, height=ROW * len(rows), title=title)


def _bars(rows: Sequence[Row], labels: Sequence[str], parts: Mapping[str, str], **x: Any) -> alt.Chart:
    """Return a stacked bar for each variant; negative values extend to the left."""
    legend = legend_below(list(parts), 1.3 * WIDTH, symbolType="square", symbolStrokeWidth=0)
    return (
        alt.Chart(data(rows))
        .mark_bar(height={"band": 0.78}, stroke="white", strokeWidth=0.6)
        .encode(
            y=variant_rows(labels),
            x=alt.X("value:Q", stack="zero", **x),
            color=coloured("part:N", parts, legend),
            order=alt.Order("place:Q"),
            tooltip=[alt.Tooltip("variant:N"), alt.Tooltip("part:N"), number("value")],
        )
    )


def _part_rows(
    names: Sequence[str], records: Mapping[str, object], parts: Iterable[str], styles: VariantStyles
) -> list[Row]:
    """Return the rows for `_bars` from the fields of each variant's record; unknown values count as 0."""
    return [
        {
            "variant": styles.label[name],
            "part": part,
            "place": place,
            "value": digits(getattr(records[name], part)) or 0.0,
        }
        for name in names
        for place, part in enumerate(parts)
    ]


def regrets(view: View, styles: VariantStyles, title: alt.TitleParams) -> Chart | None:
    """Return bars of the parts of each variant's final regret, the least sum first; a diamond is the sum."""
    known = {row.variant: row for row in view.regrets}
    names = view.order(styles.shown(known))
    rows = _part_rows(names, known, REGRET_PARTS, styles)
    if not any(row["value"] for row in rows):
        return None
    totals = {
        name: math.fsum(digits(getattr(known[name], part)) or 0.0 for part in REGRET_PARTS) for name in names
    }
    labels = [styles.label[name] for name in sorted(names, key=lambda name: totals[name])]
    axis = alt.Axis(format="~f", tickCount=6)
    bars = _bars(rows, labels, REGRET_PARTS, title=f"{REGRET} at the end", axis=axis)
    sums = alt.Chart(data({"variant": styles.label[name], "sum": digits(totals[name])} for name in names))
    dots = sums.mark_point(shape="diamond", filled=True, size=55, opacity=1).encode(
        y=alt.Y("variant:N", sort=labels), x="sum:Q", tooltip=[alt.Tooltip("variant:N"), number("sum")]
    )
    return alt.layer(bars, dots).properties(width=WIDTH, height=ROW * len(labels), title=title)


def shares(view: View, styles: VariantStyles, title: alt.TitleParams) -> Chart | None:
    """Return bars of how workers spent their time; None where it is unknown, or was all training."""
    known = {row.variant: row for row in view.shares if math.isfinite(row.training)}
    used = {
        part: colour
        for part, colour in TIME_PARTS.items()
        if any(getattr(row, part) > 0.0005 for row in known.values())
    }
    names = view.order(styles.shown(known))
    if not names or list(used) == ["training"]:
        return None
    rows = _part_rows(names, known, used, styles)
    axis, scale = alt.Axis(format=".0%", tickCount=5), alt.Scale(domain=[0, 1], clamp=True)
    labels = [styles.label[name] for name in names]
    bars = _bars(rows, labels, used, title="share of the workers' time", axis=axis, scale=scale)
    return alt.layer(bars).properties(width=WIDTH, height=ROW * len(names), title=title)


def brackets(view: View, styles: VariantStyles, title: alt.TitleParams) -> Chart | None:
    """Return each bracket's share of trials, resource and winners; None if no variant has two brackets."""
    known = [row for row in view.brackets if math.isfinite(row.trials)]
    count = 1 + max((row.bracket for row in known), default=0)
    if count < 2:
        return None
    rows: list[Row] = [
        {
            "variant": styles.label[row.variant],
            "part": f"bracket {row.bracket}",
            "place": row.bracket,
            "value": digits(getattr(row, kind)),
            "of": text,
        }
        for row in known
        for kind, text in BRACKET_SHARES.items()
    ]
    labels = [styles.label[name] for name in view.order(styles.shown(row.variant for row in known))]
    colours = {f"bracket {i}": colour for i, colour in enumerate(level_colours(count))}
    axis, scale = alt.Axis(format=".0%", values=[0, 0.5, 1]), alt.Scale(domain=[0, 1], clamp=True)
    bars = _bars(rows, labels, colours, title=None, axis=axis, scale=scale)
    panels = bars.properties(width=WIDTH / 2, height={"step": ROW})
    facet = alt.Facet("of:N", sort=list(BRACKET_SHARES.values()), title=None)
    return panels.facet(facet=facet, columns=3).properties(title=title)


def rungs(view: View, styles: VariantStyles, title: alt.TitleParams) -> Chart | None:
    """Return the cost of the decisions at each rung, a panel for each bracket; None without decisions."""
    known = [row for row in view.rungs if math.isfinite(row.loss) and row.recorded]
    if not any(row.loss for row in known):
        return None
    rows: list[Row] = [
        {
            "variant": styles.label[row.variant],
            "bracket": f"bracket {row.bracket}",
            "level": digits(row.level),
            "loss": digits(row.loss),
            "trials": row.recorded,
            "stopped": row.stopped,
            "better": row.better,
            "false promotions": row.false_promotions,
        }
        for row in known
    ]
    labels = [styles.label[name] for name in view.order(styles.shown(row.variant for row in known))]
    counts = ("trials", "stopped", "better", "false promotions")
    tips = [alt.Tooltip("variant:N"), alt.Tooltip("level:O"), number("loss")]
    tips += [alt.Tooltip(f"{name}:Q", format=",") for name in counts]
    legend = alt.Legend(
        title="regret that its decisions cost",
        gradientLength=160,
        format="~f",
        direction="horizontal",
        titleFontWeight="normal",
    )
    scale = alt.Scale(scheme="lightorange", domainMin=min(0.0, *(row.loss for row in known)))
    axis = alt.Axis(labelAngle=0, format="~f", labelOverlap=True)
    step = max(14, min(34, WIDTH // len({row.level for row in known})))
    squares = (
        alt.Chart(data(rows))
        .mark_rect(stroke="white", strokeWidth=1)
        .encode(
            x=alt.X("level:O", title="level of the rung", axis=axis),
            y=variant_rows(labels),
            color=alt.Color("loss:Q", scale=scale, legend=legend),
            tooltip=tips,
        )
        .properties(width={"step": step}, height={"step": ROW})
    )
    panels = [f"bracket {bracket}" for bracket in sorted({row.bracket for row in known})]
    if len(panels) == 1:
        return alt.layer(squares).properties(title=title)
    facets = squares.facet(facet=alt.Facet("bracket:N", sort=panels, title=None), columns=3)
    return facets.resolve_scale(x="independent").properties(title=title)


# Timelines


def timeline(timeline: Timeline, styles: VariantStyles, title: str) -> Chart | None:
    """Return a timeline of the workers of one study, coloured by the level that they trained towards."""
    if not timeline.segments:
        return None
    unit, length = time_unit(max(one.end for one in timeline.segments))
    rows: list[Row] = [
        {
            "worker": one.worker,
            "start": digits(one.start / length, 6),
            "end": digits(one.end / length, 6),
            "level": OTHER if one.level is None else f"{one.level:g}",
        }
        for one in timeline.segments
    ]
    cut = "" if timeline.cut is None else f", the first {len(rows):,} stretches"
    name = f"{styles.label[timeline.variant]}, seed {timeline.seed}{cut}"
    bars = worker_bars(data(rows), {str(row["level"]) for row in rows}, timeline.levels, timeline.workers)
    x = alt.X(
        "start:Q",
        title=f"simulated {unit}",
        axis=alt.Axis(format=",~f"),
        scale=alt.Scale(nice=False, zero=True),
    )
    height, heading = 14 * timeline.workers, _titled(name, title, width=2 * WIDTH)
    return alt.layer(bars.encode(x=x)).properties(width=1.7 * WIDTH, height=height, title=heading)


# Over tasks


def ranks(across: Across, styles: VariantStyles) -> Chart | None:
    """Return the critical-difference diagram: mean ranks, and bars over variants that are not told apart.

    Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7 (2006), section 3.2.2.
    """
    ranked = dict(zip(across.variants, across.ranks, strict=True))
    found = {name: rank for name, rank in ranked.items() if math.isfinite(rank)}
    if len(found) < 2 or len(across.groups) < 2:
        return None
    names = sorted(found, key=lambda name: found[name])
    spans = [[found[name] for name in clique if name in found] for clique in across.cliques]
    bars = stacked([(min(span), max(span)) for span in spans if len(span) > 1])
    top = 16.0 + 9 * (1 + max((line for _, _, line in bars), default=-1))
    best = math.floor(found[names[0]])
    worst = max(math.ceil(found[names[-1]]), best + 1)
    half = -(-len(names) // 2)
    rows: list[Row] = []
    for place, name in enumerate(names):
        left = place < half
        label, rank = styles.label[name], f"{found[name]:.2f}"
        rows.append(
            {
                "variant": label,
                "rank": found[name],
                "zero": 0,
                "end": best if left else worst,
                "y": top + ROW * (place if left else len(names) - 1 - place),
                "side": "left" if left else "right",
                "text": f"{label}  {rank}" if left else f"{rank}  {label}",
            }
        )
    height = top + ROW * (half - 1) + 8
    x = alt.X(
        "rank:Q",
        scale=alt.Scale(domain=[best, worst], nice=False, zero=False),
        axis=alt.Axis(
            orient="top",
            grid=False,
            values=list(range(best, worst + 1)),
            labelFlush=False,
            labelOverlap=True,
            format="d",
        ),
        title=f"mean rank, by {MEASURES[across.measure]}",
    )
    y = alt.Y("y:Q", scale=alt.Scale(domain=[height, 0], nice=False, zero=False), axis=None)
    base = alt.Chart(data(rows))
    colour = coloured("variant:N", styles.colours(names), None)
    cliques = alt.Chart(data({"rank": low, "high": high, "y": 10 + 9 * line} for low, high, line in bars))
    layers = [
        base.mark_rule(strokeWidth=1.2).encode(x=x, y=y, y2="zero:Q", color=colour),
        base.mark_rule(strokeWidth=1.2).encode(x=x, x2="end:Q", y=y, color=colour),
        base.mark_point(filled=True, size=45, opacity=1).encode(
            x=x,
            y=alt.Y("zero:Q", axis=None),
            color=colour,
            tooltip=[alt.Tooltip("variant:N"), number("rank")],
        ),
        cliques.mark_rule(strokeWidth=4, strokeCap="round").encode(x=x, x2="high:Q", y=y),
    ]
    sides: tuple[tuple[Literal["left", "right"], Literal["right", "left"], int], ...] = (
        ("left", "right", -6),
        ("right", "left", 6),
    )
    for side, align, dx in sides:
        text = base.transform_filter(f"datum.side == '{side}'").mark_text(align=align, dx=dx)
        layers.append(text.encode(x=alt.X("end:Q"), y=y, text="text:N"))
    groups = f"{len(across.groups)} groups of tasks"
    foot = (
        "no test"
        if math.isnan(across.critical_difference)
        else f"bars join what is less than the critical difference of {across.critical_difference:.2f} apart"
    )
    title = _titled(across.setting, f"{groups}: {foot}", width=2 * WIDTH)
    return alt.layer(*layers).properties(width=WIDTH, height=height, title=title, usermeta={"fit": "none"})


def stacked(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float, int]]:
    """Return each span with the line that it is drawn in; spans that touch are in different lines."""
    ends: list[float] = []
    made = []
    for low, high in sorted(spans):
        line = next((i for i, end in enumerate(ends) if end < low), len(ends))
        ends[line : line + 1] = [high]
        made.append((low, high, line))
    return made


def heatmap(heatmap: Heatmap) -> Chart | None:
    """Return the mean score over brackets and reduction factor; the best are framed."""
    cells: list[Row] = [
        {"brackets": row, "eta": column, "score": digits(value), "text": f"{value:.3g}"}
        for row, values in zip(heatmap.brackets, heatmap.values, strict=True)
        for column, value in zip(heatmap.etas, values, strict=True)
        if math.isfinite(value)
    ]
    if not cells:
        return None
    known = [float(str(cell["score"])) for cell in cells]
    low, high = min(known), max(known)
    # Colours span at least a quarter of the mean: nearly equal scores look nearly equal.
    margin = max(0.0, 0.25 * sum(map(abs, known)) / len(known) - (high - low)) / 2
    for cell in cells:
        cell["dark"] = float(str(cell["score"])) > (low + high) / 2
    base = alt.Chart(data(cells)).encode(
        x=alt.X(
            "eta:O",
            title="reduction factor",
            axis=alt.Axis(labelAngle=0, domain=False, ticks=False, format="~f"),
        ),
        y=alt.Y(
            "brackets:O",
            title="brackets",
            sort="descending",
            axis=alt.Axis(domain=False, ticks=False, format="~f"),
        ),
    )
    squares = base.mark_rect(stroke="white", strokeWidth=1).encode(
        color=alt.Color(
            "score:Q",
            scale=alt.Scale(scheme="viridis", reverse=True, domain=[low - margin, high + margin or 1]),
            legend=None,
        ),
        tooltip=[alt.Tooltip("brackets:O"), alt.Tooltip("eta:O", title="reduction factor"), number("score")],
    )
    paint = alt.when(alt.datum.dark).then(alt.value("white")).otherwise(alt.value("#1d2126"))
    text = base.mark_text().encode(text="text:N", color=paint)
    frame = base.transform_filter(f"datum.score == {low!r}").mark_rect(
        filled=False, stroke="#d55e00", strokeWidth=3
    )
    title = _titled(heatmap.title, f"{heatmap.setting}: {REGRET}, the best framed", width=2 * WIDTH)
    return alt.layer(squares, text, frame).properties(width={"step": 54}, height={"step": 34}, title=title)


# All of a report

CURVES: Final[dict[str, Callable[[TaskReport, VariantStyles], Chart | None]]] = {
    "scores": scores,
    "anytime": anytime,
    "best": chances,
    "target": reached,
}
DIAGNOSIS: Final[dict[str, Callable[[View, VariantStyles, alt.TitleParams], Chart | None]]] = {
    "regret": regrets,
    "rungs": rungs,
    "brackets": brackets,
    "time": shares,
}
TASK_CHARTS: Final = (*CURVES, *DIAGNOSIS)


def task_charts(
    task: TaskReport, styles: VariantStyles, names: Collection[str] = TASK_CHARTS
) -> dict[str, Chart]:
    """Return the charts of a task by name, without empty ones."""
    made = {name: draw(task, styles) for name, draw in CURVES.items() if name in names}
    curves = {name: chart for name, chart in made.items() if chart is not None}
    return curves | diagnosis_charts(task.view, styles, _titled(task.surrogate, task.setting), names)


def diagnosis_charts(
    view: View, styles: VariantStyles, title: alt.TitleParams, names: Collection[str] = TASK_CHARTS
) -> dict[str, Chart]:
    """Return the diagnosis charts that are not empty: regrets, rungs, brackets and workers' time."""
    made = {name: draw(view, styles, title) for name, draw in DIAGNOSIS.items() if name in names}
    return {name: chart for name, chart in made.items() if chart is not None}


def across_charts(report: SweepReport, styles: VariantStyles) -> list[tuple[str, Across, Chart]]:
    """Return the charts over tasks, each with its name and a description of what it covers."""
    made: list[tuple[str, Across, Chart | None]] = []
    for across in report.across:
        made += [("ranks", across, ranks(across, styles)), ("means", across, means(across, styles))]
        tasks = [task for task in report.tasks if task.setting == across.setting]
        if across.measure == "score" and tasks:
            made.append(("anytime-mean", across, anytime_mean(across, tasks, styles)))
    return [(name, across, chart) for name, across, chart in made if chart is not None]


def overview(report: SweepReport) -> Chart:
    """Return the chart that a notebook shows: mean ranks over tasks, or the chart of the only task.

    Raises
    ------
    ParameterError
        Nothing has a score.
    """
    styles = variant_styles(report.variants)
    over = report.overall
    if over is not None and (chart := ranks(over, styles)):
        return chart.configure(**theme())
    for task in report.tasks:
        made = task_charts(task, styles, ("anytime", "scores"))
        panels = [made[name] for name in ("anytime", "scores") if name in made]
        for panel in panels:
            panel.title = panel.usermeta = alt.Undefined
        if panels:
            title = _titled(task.surrogate, task.setting)
            both = alt.hconcat(*panels, spacing=30, title=title).configure(**theme())
            return both.resolve_scale(color="independent", strokeDash="independent", shape="independent")
    raise ParameterError("report", report.title, "has no scores to draw")


TIMELINES: Final = 3  # how many tasks have timelines, and how many variants of each


def write_figures(report: SweepReport, folder: Path) -> list[Path]:
    """Write every figure of a report as ``NAME.png`` and ``NAME.svg``.

    Each task has its curves. The diagnosis is drawn for each task where there are few, else as the mean of
    each setting. The same report gives the same bytes.

    Returns
    -------
    list of path
        The files, in the order of the report.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    written: list[Path] = []
    names = FileNames()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for kind, texts, chart in _figures(report):
            name, svg = names.make(kind, texts), svg_of(chart)
            for suffix in (".png", ".svg"):
                written.append(folder / f"{name}{suffix}")
                written[-1].write_bytes(file_content(svg, suffix))
    except OSError as error:
        raise OutputError(str(folder), f"a figure cannot be written: {error}") from error
    return written


def _figures(report: SweepReport) -> Iterator[tuple[str, Sequence[str], Chart]]:
    styles = variant_styles(report.variants)
    for name, across, chart in across_charts(report, styles):
        yield name, (*([] if name == "anytime-mean" else [across.measure]), across.setting), chart
    for one in report.heatmaps:
        if chart_of := heatmap(one):
            yield "heatmap", (one.title, one.setting), chart_of
    few = len(report.tasks) <= FEW_TASKS
    for task in report.tasks:
        for name, chart in task_charts(task, styles, TASK_CHARTS if few else tuple(CURVES)).items():
            yield name, (task.surrogate, task.setting), chart
    for view in () if few else views(report):
        for name, chart in diagnosis_charts(view, styles, _titled(view.title)).items():
            yield name, view.texts, chart
    for tasks in list(by_setting(report.tasks).values())[:TIMELINES]:
        yield from _timelines(tasks[0], styles)


def _timelines(task: TaskReport, styles: VariantStyles) -> Iterator[tuple[str, Sequence[str], Chart]]:
    """Yield the timelines of the best variants of a task."""
    place = {row.variant: index for index, row in enumerate(task.rows)}
    for one in sorted(task.timelines, key=lambda one: place.get(one.variant, len(place)))[:TIMELINES]:
        if chart := timeline(one, styles, task.name):
            yield "timeline", (task.surrogate, task.setting, one.variant), chart
