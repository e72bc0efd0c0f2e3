"""Charts of a report: of its tasks, and over them.

A function takes parts of a `Report` and returns a chart, or None where there is nothing to draw.
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
    ROW_AXIS,
    WIDTH,
    Chart,
    Row,
    data,
    digits,
    drawn,
    legend_below,
    level_colours,
    log_scale,
    number,
    save,
    svg_of,
    theme,
    time_unit,
    worker_bars,
)
from hbsim.bench.report.diagnosis import FEW_TASKS, by_setting, views
from hbsim.bench.report.formatting import FileNames, short_names, shortened
from hbsim.bench.report.model import (
    BEST,
    NO_SCORE,
    OPEN,
    WORSE,
    Across,
    Heatmap,
    Line,
    Report,
    Task,
    Timeline,
)
from hbsim.errors import OutputError, ParameterError

if TYPE_CHECKING:
    from hbsim.bench.conclusions import Interval
    from hbsim.bench.report.model import BracketRow, Regrets, RungRow, Shares, TaskRow, VariantInfo, View

__all__ = [
    "Chart",
    "VariantStyles",
    "across_charts",
    "overview",
    "save",
    "task_charts",
    "variant_styles",
    "write_figures",
]


@dataclass(frozen=True)
class VariantStyles:
    """What each variant is called in charts, and how it is drawn: the same in all charts of a report."""

    label: Mapping[str, str]
    colour: Mapping[str, str]
    dashes: Mapping[str, Sequence[int]]

    def shown(self, names: Iterable[str]) -> list[str]:
        """Return those of `names` that are variants, once each, in the order of the sweep's file."""
        there = set(names)
        return [name for name in self.label if name in there]


def variant_styles(variants: Sequence[VariantInfo]) -> VariantStyles:
    """Return the looks of a report's variants, no two the same up to 28.

    Where there are several types and few variants of each, a type has one colour, and its variants differ in
    dashes; else each variant has the next colour.
    """
    names = [variant.name for variant in variants]
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
    return VariantStyles(short_names(names), colour, dashes)


def _by_variant(looks: VariantStyles, names: Sequence[str]) -> tuple[alt.Color, alt.StrokeDash]:
    """Return colours and dashes of variants, with one legend below the chart."""
    labels = [looks.label[name] for name in names]
    legend = legend_below(labels, WIDTH, symbolType="stroke", symbolSize=260)
    colour = alt.Scale(domain=labels, range=[looks.colour[name] for name in names])
    dash = alt.Scale(domain=labels, range=[list(looks.dashes[name]) for name in names])
    return (
        alt.Color("variant:N", scale=colour, legend=legend, title=None),
        alt.StrokeDash("variant:N", scale=dash, legend=legend, title=None),
    )


def _titled(title: str, *subtitles: str, width: float = WIDTH) -> alt.TitleParams:
    letters = int((width + 60) / 5.6)
    return alt.TitleParams(
        shortened(title, letters), subtitle=[shortened(one, letters + 8) for one in subtitles]
    )


PARTS: Final = {
    "regrets": {"sampling": "#56b4e9", "decisions": "#d55e00", "unfinished": "#999999", "choice": "#009e73"},
    "shares": {
        "training": "#0072b2",
        "retrained": "#cc79a7",
        "overhead": "#e69f00",
        "idle": "#d0d5da",
        "absent": "#8b939c",
    },
}


# Curves over time

EARLIEST: Final = 0.01  # of the time: what came before is the luck of the first few trials
DECADES: Final = 4  # of regret, at most
BANDED: Final = 3  # the best variants have a band: more would hide each other
REGRET: Final = "normalised regret"


def anytime(task: Task, looks: VariantStyles, time: tuple[str, float] | None = None) -> Chart | None:
    """Return the mean normalised regret of each variant's incumbent over simulated time, with its band."""
    made = _Curves.of(task.anytime, task, looks, time)
    values = [] if made is None else [y for line in made.lines for y in line.mean if y > 0]
    if made is None or not values:
        return None
    high = 1.25 * max(values)
    low = max(min(values) / 1.25, high / 10**DECADES)
    levels = [(1.0, "median configuration"), (task.target, "target")]
    return made.chart(
        {"title": REGRET, **log_scale(low, high)}, low, [at for at in levels if low < at[0] < high]
    )


def anytime_mean(across: Across, tasks: Sequence[Task], looks: VariantStyles) -> Chart | None:
    """Return the mean of the anytime curves over groups of tasks, over the share of each task's budget.

    Of tasks that have all variants, so that all means are over the same ones; None below two groups.
    """
    names = [name for name in across.variants if name in looks.label]
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
    return anytime(mean, looks, ("time, % of the budget", 0.01))


def reached(task: Task, looks: VariantStyles) -> Chart | None:
    """Return the share of seeds that have reached the target, over simulated time."""
    made = _Curves.of(task.reached, task, looks)
    return None if made is None else made.chart(_shares(f"seeds that reached {task.target:g}"))


def chances(task: Task, looks: VariantStyles) -> Chart | None:
    """Return the probability of each variant of being the best one, over simulated time."""
    made = _Curves.of(task.chances, task, looks)
    return None if made is None else made.chart(_shares("probability of being best"))


def _shares(title: str) -> dict[str, Any]:
    return {"title": title, "scale": alt.Scale(domain=[0, 1]), "axis": alt.Axis(format=".0%")}


@dataclass(frozen=True)
class _Curves:
    """Curves in steps over the time of a task, cut to what the axis shows."""

    lines: Sequence[Line]
    task: Task
    looks: VariantStyles
    first: float
    last: float
    time: tuple[str, float]

    @classmethod
    def of(
        cls, lines: Sequence[Line], task: Task, looks: VariantStyles, time: tuple[str, float] | None = None
    ) -> _Curves | None:
        there = [line for line in lines if line.variant in looks.label and any(map(math.isfinite, line.mean))]
        every = [line for line in (*task.anytime, *task.reached, *task.chances) if line.x]  # one axis for all
        last = max((line.x[-1] for line in every), default=0.0)
        if not there or not last > 0 or not math.isfinite(last):
            return None
        first = max(last * EARLIEST, min(line.x[0] for line in every))
        return cls(
            [_from(line, first) for line in there],
            task,
            looks,
            min(first, last / 2),
            last,
            time or time_unit(last),
        )

    def chart(
        self, y: dict[str, Any], least: float = -math.inf, levels: Sequence[tuple[float, str]] = ()
    ) -> Chart:
        """Return them drawn; what is below `least` is drawn there."""
        unit, length = self.time
        names = self.looks.shown(line.variant for line in self.lines)
        colour, dash = _by_variant(self.looks, names)
        chosen = alt.selection_point(name="chosen", fields=["variant"], bind="legend")
        banded = [row.variant for row in self.task.rows if row.variant in names][:BANDED]
        banded = [line.variant for line in self.lines if line.variant in banded and line.low]
        base = alt.Chart(data(self._rows(length, least, banded)))
        x = alt.X("x:Q", title=f"simulated {unit}", **log_scale(self.first / length, self.last / length))
        shade = alt.when(chosen).then(alt.value(0.14)).otherwise(alt.value(0.0))
        strength = alt.when(chosen).then(alt.value(1.0)).otherwise(alt.value(0.1))
        line = base.mark_line(interpolate="step-after", clip=True, strokeWidth=1.7).encode(
            x=x, y=alt.Y("y:Q", **y), color=colour, strokeDash=dash, opacity=strength
        )
        told = [
            alt.Tooltip("variant:N"),
            alt.Tooltip("x:Q", title=unit, format=".4~g"),
            alt.Tooltip("y:Q", title=y["title"], format=".4~g"),
            *([alt.Tooltip("low:Q", format=".4~g"), alt.Tooltip("high:Q", format=".4~g")] if banded else []),
        ]
        hover = base.mark_point(**HOVER).encode(x=x, y=alt.Y("y:Q", **y), tooltip=told)
        layers: list[Any] = [self._marks(x, y, length, levels)]
        if banded:
            band = base.mark_area(interpolate="step-after", clip=True)
            layers.append(band.encode(x=x, y=alt.Y("low:Q", **y), y2="high:Q", color=colour, opacity=shade))
        task = self.task
        return alt.layer(*layers, line.add_params(chosen), hover).properties(
            width=WIDTH, height=HEIGHT, title=_titled(task.surrogate, task.setting), usermeta={"fit": "both"}
        )

    def _rows(self, length: float, least: float, banded: Collection[str]) -> Iterator[Row]:
        for line in self.lines:
            ends = line.variant in banded
            for i, x in enumerate(line.x):
                row: Row = {"variant": self.looks.label[line.variant], "x": digits(x / length, 6)}
                row["y"] = digits(max(line.mean[i], least))
                if ends:
                    row |= {"low": digits(max(line.low[i], least)), "high": digits(max(line.high[i], least))}
                yield row

    def _marks(
        self, x: alt.X, y: dict[str, Any], length: float, levels: Sequence[tuple[float, str]]
    ) -> Chart:
        """Return thin lines: the levels, and the budget where curves go on after it."""
        across = alt.Chart(data({"y": at, "text": text} for at, text in levels))
        at = alt.Y("y:Q", **y)
        text = across.mark_text(align="right", baseline="bottom", dy=-2, fontSize=10, color=GREY)
        marks = [
            across.mark_rule(strokeDash=[2, 3]).encode(y=at),
            text.encode(y=at, x=alt.value("width"), text="text:N"),
        ]
        if 0 < self.task.budget < 0.98 * self.last:
            upright = alt.Chart(data([{"x": self.task.budget / length}]))
            marks.append(upright.mark_rule(strokeDash=[5, 3]).encode(x=x))
        return alt.layer(*marks)


def _from(line: Line, first: float) -> Line:
    """Return a curve in steps from `first` on, with what holds there."""
    start = max(0, sum(x <= first for x in line.x) - 1)
    x = (max(line.x[start], first), *line.x[start + 1 :])
    return Line(line.variant, x, line.mean[start:], line.low[start:], line.high[start:])


# Variants in rows

SHAPES: Final = {BEST: "diamond", OPEN: "circle", WORSE: "triangle-right"}


def scores(rows: Sequence[TaskRow], looks: VariantStyles, title: alt.TitleParams) -> Chart | None:
    """Return each variant's mean score and its interval, the best first; marks say who is not told apart."""
    kept = [row for row in rows if row.variant in looks.label and row.call != NO_SCORE]
    found = [(row.variant, row.score, row.call) for row in kept]
    return _intervals(found, looks, title, REGRET)


def _intervals(
    found: Sequence[tuple[str, Interval, str]], looks: VariantStyles, title: alt.TitleParams, what: str
) -> Chart | None:
    rows: list[Row] = [
        {
            "variant": looks.label[name],
            "mean": digits(score.mean),
            "low": digits(score.low),
            "high": digits(score.high),
            "call": call,
        }
        for name, score, call in found
        if math.isfinite(score.mean)
    ]
    if not rows:
        return None
    base = alt.Chart(data(rows)).encode(
        y=alt.Y("variant:N", sort=[str(row["variant"]) for row in rows], title=None, axis=ROW_AXIS),
        color=alt.Color("variant:N", scale=_colours(looks, [name for name, _, _ in found]), legend=None),
    )
    calls = [call for call in SHAPES if any(row["call"] == call for row in rows)]
    shape = alt.Shape(
        "call:N",
        scale=alt.Scale(domain=calls, range=[SHAPES[call] for call in calls]),
        legend=legend_below(calls, 1.3 * WIDTH, symbolFillColor=GREY, symbolStrokeColor=GREY),
        title=None,
    )
    axis = alt.Axis(format="~f", tickCount=6)
    ends = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=what, axis=axis), x2="high:Q")
    told = [
        alt.Tooltip("variant:N"),
        alt.Tooltip("call:N"),
        *(number(name) for name in ("mean", "low", "high")),
    ]
    dots = base.mark_point(filled=True, size=75, opacity=1).encode(x=alt.X("mean:Q"), tooltip=told)
    return alt.layer(ends, dots.encode(shape=shape) if calls else dots).properties(
        width=WIDTH, height=ROW * len(rows), title=title
    )


def _colours(looks: VariantStyles, names: Sequence[str]) -> alt.Scale:
    return alt.Scale(domain=[looks.label[n] for n in names], range=[looks.colour[n] for n in names])


def _bars(rows: Sequence[Row], order: Sequence[str], parts: Mapping[str, str], x: alt.X) -> alt.Chart:
    """Return stacked bars, a row a variant; what is below 0 goes to the left."""
    legend = legend_below(list(parts), 1.3 * WIDTH, symbolType="square", symbolStrokeWidth=0)
    return (
        alt.Chart(data(rows))
        .mark_bar(height={"band": 0.78}, stroke="white", strokeWidth=0.6)
        .encode(
            y=alt.Y("variant:N", sort=list(order), title=None, axis=ROW_AXIS),
            x=x,
            color=alt.Color(
                "part:N",
                scale=alt.Scale(domain=list(parts), range=list(parts.values())),
                legend=legend,
                title=None,
            ),
            order=alt.Order("place:Q"),
            tooltip=[alt.Tooltip("variant:N"), alt.Tooltip("part:N"), number("value")],
        )
    )


def regrets(
    rows: Sequence[Regrets], looks: VariantStyles, order: Sequence[str], title: alt.TitleParams
) -> Chart | None:
    """Return where the final regret of each variant came from, the least sum first; a diamond is the sum."""
    parts = PARTS["regrets"]
    known = {row.variant: {part: digits(getattr(row, part)) or 0.0 for part in parts} for row in rows}
    totals = {
        name: math.fsum(known[name].values()) for name in order if name in known and name in looks.label
    }
    if not any(any(known[name].values()) for name in totals):
        return None
    labels = [looks.label[name] for name in sorted(totals, key=lambda name: totals[name])]
    cells: list[Row] = [
        {"variant": looks.label[name], "part": part, "place": place, "value": known[name][part]}
        for name in totals
        for place, part in enumerate(parts)
    ]
    x = alt.X("value:Q", title=f"{REGRET} at the end", stack="zero", axis=alt.Axis(format="~f", tickCount=6))
    bars = _bars(cells, labels, parts, x)
    sums = alt.Chart(
        data({"variant": looks.label[name], "sum": digits(total)} for name, total in totals.items())
    )
    dots = sums.mark_point(shape="diamond", filled=True, size=55, opacity=1).encode(
        y=alt.Y("variant:N", sort=labels), x="sum:Q", tooltip=[alt.Tooltip("variant:N"), number("sum")]
    )
    return alt.layer(bars, dots).properties(width=WIDTH, height=ROW * len(labels), title=title)


def shares(
    rows: Sequence[Shares], looks: VariantStyles, order: Sequence[str], title: alt.TitleParams
) -> Chart | None:
    """Return how workers spent their time; None where nothing is known of it, or all of it was training."""
    known = {row.variant: row for row in rows if row.variant in looks.label and math.isfinite(row.training)}
    used = {
        part: colour
        for part, colour in PARTS["shares"].items()
        if any(getattr(row, part) > 0.0005 for row in known.values())
    }
    names = [name for name in order if name in known]
    if not names or list(used) == ["training"]:
        return None
    cells: list[Row] = [
        {
            "variant": looks.label[name],
            "part": part,
            "place": place,
            "value": digits(getattr(known[name], part)),
        }
        for name in names
        for place, part in enumerate(used)
    ]
    axis, scale = alt.Axis(format=".0%", tickCount=5), alt.Scale(domain=[0, 1], clamp=True)
    x = alt.X("value:Q", title="share of the workers' time", stack="zero", axis=axis, scale=scale)
    bars = _bars(cells, [looks.label[name] for name in names], used, x)
    return alt.layer(bars).properties(width=WIDTH, height=ROW * len(names), title=title)


MIX: Final = {"trials": "trials started", "resource": "resource trained", "winners": "winners"}


def brackets(
    rows: Sequence[BracketRow], looks: VariantStyles, order: Sequence[str], title: alt.TitleParams
) -> Chart | None:
    """Return each bracket's share of trials, of resource and of winners; None where no variant has two."""
    kept = [row for row in rows if row.variant in looks.label and math.isfinite(row.trials)]
    count = 1 + max((row.bracket for row in kept), default=0)
    if count < 2:
        return None
    parts = {f"bracket {i}": colour for i, colour in enumerate(level_colours(count))}
    cells: list[Row] = [
        {
            "variant": looks.label[row.variant],
            "part": f"bracket {row.bracket}",
            "place": row.bracket,
            "value": digits(getattr(row, kind)),
            "of": text,
        }
        for row in kept
        for kind, text in MIX.items()
    ]
    labels = [looks.label[name] for name in order if name in looks.label]
    axis, scale = alt.Axis(format=".0%", values=[0, 0.5, 1]), alt.Scale(domain=[0, 1], clamp=True)
    bars = _bars(cells, labels, parts, alt.X("value:Q", title=None, stack="zero", axis=axis, scale=scale))
    panels = bars.properties(width=WIDTH / 2, height={"step": ROW}).facet(
        facet=alt.Facet("of:N", sort=list(MIX.values()), title=None), columns=3
    )
    return panels.properties(title=title)


def rungs(
    rows: Sequence[RungRow], looks: VariantStyles, order: Sequence[str], title: alt.TitleParams
) -> Chart | None:
    """Return what the decisions at each rung cost, a panel a bracket; None where nothing was decided."""
    kept = [row for row in rows if row.variant in looks.label and math.isfinite(row.loss) and row.recorded]
    if not any(row.loss for row in kept):
        return None
    cells: list[Row] = [
        {
            "variant": looks.label[row.variant],
            "bracket": f"bracket {row.bracket}",
            "level": digits(row.level),
            "loss": digits(row.loss),
            "trials": row.recorded,
            "stopped": row.stopped,
            "better": row.better,
            "false promotions": row.false_promotions,
        }
        for row in kept
    ]
    labels = [looks.label[name] for name in order if name in looks.label]
    counts = ("trials", "stopped", "better", "false promotions")
    told = [alt.Tooltip("variant:N"), alt.Tooltip("level:O"), number("loss")]
    told += [alt.Tooltip(f"{name}:Q", format=",") for name in counts]
    levels = sorted({row.level for row in kept})
    squares = (
        alt.Chart(data(cells))
        .mark_rect(stroke="white", strokeWidth=1)
        .encode(
            x=alt.X(
                "level:O",
                title="level of the rung",
                axis=alt.Axis(labelAngle=0, format="~f", labelOverlap=True),
            ),
            y=alt.Y("variant:N", sort=labels, title=None, axis=ROW_AXIS),
            color=alt.Color(
                "loss:Q",
                scale=alt.Scale(scheme="lightorange", domainMin=min(0.0, *(row.loss for row in kept))),
                legend=alt.Legend(
                    title="regret that its decisions cost",
                    gradientLength=160,
                    format="~f",
                    direction="horizontal",
                    titleFontWeight="normal",
                ),
            ),
            tooltip=told,
        )
        .properties(width={"step": max(14, min(34, WIDTH // len(levels)))}, height={"step": ROW})
    )
    found = sorted({row.bracket for row in kept})
    if len(found) == 1:
        return alt.layer(squares).properties(title=title)
    panels = squares.facet(
        facet=alt.Facet("bracket:N", sort=[f"bracket {i}" for i in found], title=None), columns=3
    )
    return panels.resolve_scale(x="independent").properties(title=title)


# Timelines


def timeline(timeline: Timeline, looks: VariantStyles, title: str) -> Chart | None:
    """Return what workers did in one study, coloured by the level that they trained towards."""
    if not timeline.segments or timeline.variant not in looks.label:
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
    name = f"{looks.label[timeline.variant]}, seed {timeline.seed}{cut}"
    there = {str(row["level"]) for row in rows}
    bars = worker_bars(data(rows), there, timeline.levels, timeline.workers)
    x = alt.X(
        "start:Q",
        title=f"simulated {unit}",
        axis=alt.Axis(format=",~f"),
        scale=alt.Scale(nice=False, zero=True),
    )
    height, heading = 14 * timeline.workers, _titled(name, title, width=2 * WIDTH)
    return alt.layer(bars.encode(x=x)).properties(width=1.7 * WIDTH, height=height, title=heading)


# Over tasks


def ranks(across: Across, looks: VariantStyles) -> Chart | None:
    """Return the critical-difference diagram: mean ranks, and bars over variants that are not told apart.

    Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7 (2006), section 3.2.2.
    """
    found = {
        name: rank
        for name, rank in zip(across.variants, across.ranks, strict=True)
        if math.isfinite(rank) and name in looks.label
    }
    if len(found) < 2 or len(across.groups) < 2:
        return None
    names = sorted(found, key=lambda name: found[name])
    spans = [[found[name] for name in clique if name in found] for clique in across.cliques]
    bars = stacked([(min(span), max(span)) for span in spans if len(span) > 1])
    top = 16.0 + 9 * (1 + max((line for _, _, line in bars), default=-1))
    best, worst = (
        math.floor(found[names[0]]),
        max(math.ceil(found[names[-1]]), math.floor(found[names[0]]) + 1),
    )
    half = -(-len(names) // 2)
    rows: list[Row] = []
    for place, name in enumerate(names):
        left = place < half
        label, rank = looks.label[name], f"{found[name]:.2f}"
        row: Row = {"variant": label, "rank": found[name], "zero": 0, "end": best if left else worst}
        row["y"] = top + ROW * (place if left else len(names) - 1 - place)
        row |= {
            "side": "left" if left else "right",
            "text": f"{label}  {rank}" if left else f"{rank}  {label}",
        }
        rows.append(row)
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
    colour = alt.Color("variant:N", scale=_colours(looks, names), legend=None)
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


MEASURES: Final = {"score": f"{REGRET} at equal time", "area": f"{REGRET} averaged over time"}


def stacked(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float, int]]:
    """Return spans with the line each is drawn in: those that touch are in different ones."""
    ends: list[float] = []
    made = []
    for low, high in sorted(spans):
        line = next((i for i, end in enumerate(ends) if end < low), len(ends))
        ends[line : line + 1] = [high]
        made.append((low, high, line))
    return made


def means(across: Across, looks: VariantStyles) -> Chart | None:
    """Return each variant's interquartile mean over all studies of all tasks, with its interval."""
    found = [
        (name, one, "") for name, one in zip(across.variants, across.iqm, strict=True) if name in looks.label
    ]
    found.sort(key=lambda one: (math.isnan(one[1].mean), one[1].mean))
    title = _titled(across.setting, "interquartile mean over tasks and seeds, 95% interval")
    return _intervals(found, looks, title, MEASURES[across.measure])


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
    # Colours span at least a quarter of the mean: what is nearly equal looks it.
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

TASK_CHARTS: Final = ("scores", "anytime", "best", "target", "regret", "rungs", "brackets", "time")


def task_charts(task: Task, looks: VariantStyles, names: Collection[str] = TASK_CHARTS) -> dict[str, Chart]:
    """Return the charts of a task by their names, without those that have nothing to show."""
    title = _titled(task.surrogate, task.setting)
    of_scores: dict[str, Callable[[], Chart | None]] = {
        "scores": lambda: scores(task.rows, looks, title),
        "anytime": lambda: anytime(task, looks),
        "best": lambda: chances(task, looks),
        "target": lambda: reached(task, looks),
    }
    made = {name: draw() for name, draw in of_scores.items() if name in names}
    found = {name: chart for name, chart in made.items() if chart is not None}
    return found | diagnosis_charts(task, looks, title, names)


def diagnosis_charts(
    of: Task | View, looks: VariantStyles, title: alt.TitleParams, names: Collection[str] = TASK_CHARTS
) -> dict[str, Chart]:
    """Return what decisions cost, where winners came from and what time went to, where there is any."""
    order = [row.variant for row in of.rows] if isinstance(of, Task) else of.order(looks.label)
    every: dict[str, Callable[[], Chart | None]] = {
        "regret": lambda: regrets(of.regrets, looks, order, title),
        "rungs": lambda: rungs(of.rungs, looks, order, title),
        "brackets": lambda: brackets(of.brackets, looks, order, title),
        "time": lambda: shares(of.shares, looks, order, title),
    }
    made = {name: draw() for name, draw in every.items() if name in names}
    return {name: chart for name, chart in made.items() if chart is not None}


def across_charts(report: Report, looks: VariantStyles) -> list[tuple[str, Across, Chart]]:
    """Return the charts over tasks: name, what of, chart."""
    made: list[tuple[str, Across, Chart | None]] = []
    for across in report.across:
        made += [("ranks", across, ranks(across, looks)), ("means", across, means(across, looks))]
        tasks = [task for task in report.tasks if task.setting == across.setting]
        if across.measure == "score" and tasks:
            made.append(("anytime-mean", across, anytime_mean(across, tasks, looks)))
    return [(name, across, chart) for name, across, chart in made if chart is not None]


def overview(report: Report) -> Chart:
    """Return the one chart of a report, as a notebook shows it: over tasks the mean ranks, else of a task.

    Raises
    ------
    ParameterError
        Nothing has a score.
    """
    looks = variant_styles(report.variants)
    over = report.overall
    if over is not None and (chart := ranks(over, looks)):
        return chart.configure(**theme())
    for task in report.tasks:
        made = task_charts(task, looks, ("anytime", "scores"))
        panels = [made[name] for name in ("anytime", "scores") if name in made]
        for panel in panels:
            panel.title = panel.usermeta = alt.Undefined
        if panels:
            title = _titled(task.surrogate, task.setting)
            both = alt.hconcat(*panels, spacing=30, title=title).configure(**theme())
            return both.resolve_scale(color="independent", strokeDash="independent", shape="independent")
    raise ParameterError("report", report.title, "has no scores to draw")


TIMELINES: Final = 3  # tasks with timelines, and variants of each


def write_figures(report: Report, folder: Path) -> list[Path]:
    """Write every figure of a report as ``NAME.png`` and ``NAME.svg``.

    Each task has its curves; the diagnosis is of tasks where they are few, else the mean of each setting. The
    same report gives the same bytes.

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
                written[-1].write_bytes(drawn(svg, suffix, 2.0))
    except OSError as error:
        raise OutputError(str(folder), f"a figure cannot be written: {error}") from error
    return written


def _figures(report: Report) -> Iterator[tuple[str, Sequence[str], Chart]]:
    looks = variant_styles(report.variants)
    for name, across, chart in across_charts(report, looks):
        yield name, (*([] if name == "anytime-mean" else [across.measure]), across.setting), chart
    for one in report.heatmaps:
        if drawn_map := heatmap(one):
            yield "heatmap", (one.title, one.setting), drawn_map
    few = len(report.tasks) <= FEW_TASKS
    for task in report.tasks:
        charts = (
            task_charts(task, looks)
            if few
            else task_charts(task, looks, ("scores", "anytime", "best", "target"))
        )
        for name, chart in charts.items():
            yield name, (task.surrogate, task.setting), chart
    for view in () if few else views(report):
        for name, chart in diagnosis_charts(view, looks, _titled(view.title)).items():
            yield name, view.texts, chart
    for tasks in list(by_setting(report.tasks).values())[:TIMELINES]:
        yield from _timelines(tasks[0], looks)


def _timelines(task: Task, looks: VariantStyles) -> Iterator[tuple[str, Sequence[str], Chart]]:
    """Yield the timelines of the best variants of a task."""
    place = {row.variant: index for index, row in enumerate(task.rows)}
    for one in sorted(task.timelines, key=lambda one: place.get(one.variant, len(place)))[:TIMELINES]:
        if chart := timeline(one, looks, task.name):
            yield "timeline", (task.surrogate, task.setting, one.variant), chart
