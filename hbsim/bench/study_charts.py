"""Charts of one study: its incumbent, its workers over time, its trials' survival, its training curves."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import altair as alt
import numpy as np
import polars as pl

from hbsim.bench.chart_style import (
    GONE,
    GREY,
    OTHER,
    OTHERS,
    Chart,
    Row,
    coloured,
    data,
    legend_below,
    level_colours,
    log_scale,
    save,
    time_unit,
    worker_bars,
)
from hbsim.bench.formatting import plural
from hbsim.bench.segments import Segments, absent_shares, busy_shares, raster, segments

if TYPE_CHECKING:
    from hbsim.simulation import Result
    from hbsim.study.result import RunResult
    from hbsim.study.simulated_run import SimulatedResult

WIDTH: Final = 560
MARKED: Final = "#d55e00"


def plot_study(result: Result, folder: Path) -> list[Path]:
    """Draw a study into `folder`.

    Returns
    -------
    list of path
        incumbent.png, timeline.png and survival.png.
    """
    line = _study_line(result)
    parts = segments(result)
    charts = {
        "incumbent": incumbent(result, line),
        "timeline": workers(parts, line),
        "survival": survival(result, line),
    }
    paths = []
    for name, chart in charts.items():
        paths.append(folder / f"{name}.png")
        save(chart, paths[-1])
    return paths


def _study_line(result: Result) -> str:
    """Describe a study in a line: scheduler, curves, workers, trials."""
    options = result.scheduler.options.as_dict()
    parts = [f"{options['type']} on {result.curves.surrogate.name}"]
    if "reduction_factor" in options:
        parts.append(f"eta {options['reduction_factor']}")
    if "brackets" in options:
        parts.append(f"brackets {result.scheduler.brackets}")
    parts += [plural(result.cluster.workers, "worker"), plural(result.scheduler.started, "trial")]
    return ", ".join(parts)


# The incumbent


def incumbent(result: Result, study: str) -> Chart:
    """Return the best value so far over simulated time: at any level, and of completed trials."""
    unit, length = time_unit(result.end_time)
    end = result.end_time / length
    kinds: dict[str, Literal["any", "max_t"]] = {"at any level": "any", "of completed trials": "max_t"}
    rows: list[Row] = []
    for kind, at in kinds.items():
        found = list(result.incumbent(at).select("time", "value").iter_rows())
        points = [*found, *((result.end_time, value) for _, value in found[-1:])]
        rows += [{"kind": kind, "time": time / length, "value": value} for time, value in points]
    times = [float(str(row["time"])) for row in rows]
    surrogate = result.curves.surrogate
    optimum = surrogate.optimum(result.scheduler.levels[-1])
    if optimum is not None:
        first = times[0] if times else 0.0
        rows += [{"kind": OPTIMUM, "time": time, "value": optimum} for time in (first, end)]
    shown = [kind for kind in KINDS if any(row["kind"] == kind for row in rows)]
    legend = legend_below(shown, WIDTH, symbolType="stroke", symbolSize=260)
    is_early = bool(times) and times[0] > 0 and float(np.median(times)) < end / 20
    along = log_scale(times[0], end) if is_early else _time(end)
    values = [float(str(row["value"])) for row in rows] or [0.0]
    height = _Scale(min(values), max(values)).encoding()
    line = (
        alt.Chart(data(rows))
        .mark_line(interpolate="step-after", strokeWidth=2, clip=True)
        .encode(
            x=alt.X("time:Q", title=f"simulated {unit}", **along),
            y=alt.Y("value:Q", title=f"{surrogate.metric} ({surrogate.mode})", **height),
            color=coloured("kind:N", {kind: KINDS[kind][0] for kind in shown}, legend),
            strokeDash=coloured("kind:N", {kind: KINDS[kind][1] for kind in shown}, legend, alt.StrokeDash),
        )
    )
    return alt.layer(line).properties(width=WIDTH, height=280, title=_title("Best value so far", study))


WIDE: Final = 30.0  # the ratio of the greatest to the least value from which on the scale is logarithmic
OPTIMUM: Final = "best of the space at R"
KINDS: Final = {  # the colours and dashes of the two incumbents
    "at any level": ("#0072b2", [1, 0]),
    "of completed trials": (MARKED, [6, 3]),
    OPTIMUM: (GREY, [2, 3]),
}


def _title(what: str, study: str) -> alt.TitleParams:
    return alt.TitleParams(what, subtitle=study)


# Workers over time

BARS: Final = 4000  # the most stretches that are drawn one by one
COLUMNS: Final = 1200  # the size of an image


def workers(parts: Segments, study: str) -> Chart:
    """Return the timeline of workers, and below it the share of workers that train towards each level."""
    unit, length = time_unit(parts.end_time)
    parts = parts.in_units(length)
    above = worker_chart(parts, None).properties(
        title=_title("Workers over time, by the level they train towards", study)
    )
    below = _busy(parts).encode(x=alt.X("time:Q", title=f"simulated {unit}", **_time(parts.end_time)))
    return alt.vconcat(above, below, spacing=6).resolve_scale(color="shared")


def _time(end: float) -> dict[str, Any]:
    return {"scale": alt.Scale(domain=[0, end or 1], nice=False), "axis": alt.Axis(format=",~f")}


def worker_chart(
    parts: Segments, what: str | None, end: float | None = None, cut: str = "under way at the end"
) -> alt.LayerChart:
    """Return a chart with a row for each worker, from 0 to `end`; an image where there are many stretches.

    `cut` is what the legend calls jobs that were cut.
    """
    x = alt.X("start:Q", title=what, **_time(parts.end_time if end is None else end))
    height = float(np.clip(16 * parts.workers, 70, 520))
    rows = _stretches(parts)
    is_few = len(rows) <= BARS
    shown = set(rows["level"].unique())
    bars = worker_bars(rows if is_few else rows.head(0), shown, parts.levels, parts.workers).encode(x=x)
    layers = [bars] if is_few else [bars, _image(parts, height)]
    size = float(np.clip(400 / parts.workers, 4, 26))
    for name, points, shape, colour in (
        ("cut short", parts.lost, "cross", MARKED),
        (cut, parts.cut, "triangle-left", GREY),
    ):
        if len(points):
            label = f"{name} ({len(points):,})"
            some = points[:: max(1, -(-len(points) // 1500))]
            marked = alt.Chart(
                data({"worker": w, "start": start, "mark": label} for w, start in some.tolist())
            )
            shapes = alt.Shape("mark:N", scale=alt.Scale(range=[shape]), title=None)
            marks = marked.mark_point(size=size, filled=True, opacity=1, color=colour)
            layers.append(marks.encode(x=x, y="worker:Q", shape=shapes))
    return alt.layer(*layers).resolve_scale(shape="independent").properties(width=LONG, height=height)


LONG: Final = 680


def _stretches(parts: Segments) -> pl.DataFrame:
    """Return the stretches as rows, each at least a pixel wide where there is room."""
    pixel = parts.end_time / COLUMNS
    same = np.append(parts.worker[1:] == parts.worker[:-1], False)
    room = np.where(same, np.roll(parts.start, -1), parts.end_time)
    right = np.maximum(parts.end, np.minimum(parts.start + pixel, room))
    names = [*_names(parts), OTHER]
    gone = parts.absent
    level = [*(names[level] for level in parts.level), *[GONE] * len(gone)]
    return pl.DataFrame(
        {
            "worker": np.append(parts.worker, gone[:, 0].astype(np.int64)),
            "start": np.append(parts.start, gone[:, 1]),
            "end": np.append(right, gone[:, 2]),
            "level": pl.Series(level, dtype=pl.String),
        }
    )


def _names(parts: Segments) -> list[str]:
    return [f"{level:g}" for level in parts.levels]


def _image(parts: Segments, height: float) -> alt.Chart:
    """Return the timeline as a picture, with a pixel for each worker and column of time."""
    picture = raster(parts, COLUMNS)
    others = [OTHERS[GONE], "#ffffff", OTHERS[OTHER]]  # ABSENT, IDLE, OVERHEAD
    colours = [*level_colours(len(parts.levels)), *others]
    palette = bytes.fromhex("".join(colour[1:] for colour in colours))
    lines = b"".join(b"\0" + row.tobytes() for row in (picture % len(colours)).astype(np.uint8))
    head = struct.pack(">IIBBBBB", COLUMNS, parts.workers, 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"PLTE", palette), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    url = "data:image/png;base64," + base64.b64encode(png).decode()
    image = alt.Chart(pl.DataFrame({"picture": [0]})).mark_image(
        width=LONG, height=height, aspect=False, align="left", baseline="top", smooth=False
    )
    return image.encode(x=alt.value(0), y=alt.value(0), url=alt.value(url))


def _busy(parts: Segments) -> alt.Chart:
    """Return the share of workers that train towards each level, over time."""
    names = [*_names(parts), OTHER, GONE]
    columns = min(300, 4500 // len(names))
    absent = absent_shares(parts.absent, parts.workers, parts.end_time, columns)
    found = np.vstack([busy_shares(parts, columns), absent])
    edges = np.linspace(0, parts.end_time, columns + 1).tolist()
    levels = len(parts.levels)
    rows: list[Row] = [
        {"time": edge, "share": share, "level": names[row], "place": place}
        for place, row in enumerate([*reversed(range(levels)), levels, levels + 1])
        if found[row].any()
        for edge, share in zip(edges, [*found[row].tolist(), float(found[row, -1])], strict=True)
    ]
    y = alt.Y(
        "share:Q",
        title="workers",
        stack="zero",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format=".0%", tickCount=3),
    )
    areas = alt.Chart(data(rows)).mark_area(interpolate="step-after")
    return areas.encode(y=y, color=alt.Color("level:N"), order="place:Q").properties(width=LONG, height=70)


# Survival


def survival(result: Result, study: str) -> Chart:
    """Return a chart of the number of trials of each bracket that reached each level."""
    rungs = result.rungs().filter(pl.col("recorded") > 0)
    brackets = rungs["bracket"].unique(maintain_order=True).to_list()
    started = np.bincount(np.array(result.scheduler.trial_brackets()), minlength=1)
    names = {bracket: f"bracket {bracket}: {plural(int(started[bracket]), 'trial')}" for bracket in brackets}
    levels = [float(level) for level in result.scheduler.levels]
    counts = rungs["recorded"].to_list() or [1]
    low, high = max(0.7, min(counts) / 1.6), max(10.0, 1.6 * max(counts))
    labels = list(names.values())
    colours = dict(zip(labels, level_colours(len(labels))[::-1], strict=True))
    rows: list[Row] = [
        {"bracket": names[bracket], "level": level, "trials": count, "height": height}
        for bracket, level, count, height in _placed(rungs, (low, high))
    ]
    base = alt.Chart(data(rows)).encode(
        x=alt.X(
            "level:Q", title="level (resource)", **_level_axis(levels, levels[0] / 1.15, levels[-1] * 1.3)
        ),
        color=coloured("bracket:N", colours, legend_below(labels, WIDTH)),
    )
    y = {"title": "trials that reached it", **log_scale(low, high)}
    line = base.mark_line(point={"size": 45, "filled": True}).encode(y=alt.Y("trials:Q", **y))
    text = base.mark_text(align="left", dx=7, fontSize=10).encode(
        y=alt.Y("height:Q", **y), text=alt.Text("trials:Q", format=",")
    )
    named = text.transform_filter(alt.FieldOneOfPredicate(field="level", oneOf=_apart(levels)))
    title = _title("Survival by rung and bracket", study)
    return alt.layer(line, named).properties(width=WIDTH, height=280, title=title)


def _level_axis(levels: Sequence[float], low: float, high: float, **axis: Any) -> dict[str, Any]:
    """Return the scale and the axis of a logarithmic encoding by levels."""
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    return {"scale": scale, "axis": alt.Axis(values=_apart(levels), format=",~g", **axis)}


def _apart(levels: Sequence[float]) -> list[float]:
    """Return the levels that a logarithmic axis can name without overlap: R, and lower ones with room."""
    least = np.log10(levels[-1] / levels[0]) * 0.045
    named = [levels[-1]]
    for level in reversed(levels):
        if np.log10(named[-1] / level) > least:
            named.append(level)
    return named[::-1]


def _placed(rungs: pl.DataFrame, ends: tuple[float, float]) -> list[tuple[int, float, float, float]]:
    """Return the bracket, level and count of each rung, and a height for its number so that none overlap."""
    apart = (np.log10(ends[1]) - np.log10(ends[0])) * 0.05
    made, heights = [], dict[float, float]()
    for bracket, level, count in rungs.sort("recorded").select("bracket", "level", "recorded").iter_rows():
        heights[level] = max(heights.get(level, -np.inf) + apart, float(np.log10(count)))
        made.append((bracket, float(level), float(count), float(10 ** heights[level])))
    return made


# Training curves

FEW: Final = 12  # the most trials for which each number is drawn
# Colours of Okabe and Ito, "Color Universal Design" (2008), for each status, the least important first.
STATUSES: Final = {
    "stopped": "#9a9a9a",
    "paused": "#56b4e9",
    "failed": "#cc79a7",
    "running": "#e69f00",
    "completed": "#009e73",
}
FAR: Final = 3.0  # a value this many spans of the middle half away is far from all others


def training_curves(
    result: RunResult | SimulatedResult,
    *,
    legend: bool = True,
    trials: Collection[int] | None = None,
    points: int | None = None,
) -> Chart:
    """Return a chart of the metric that decides over the resource, with a line for each trial.

    Lines are coloured by the status of the trial; the incumbent's is thick. Up to twelve trials have their
    numbers beside them. Vertical lines are the rung levels. Values that are far worse than all others are
    left outside, and their trials counted. Where a trial trained again what it had, its later report counts.

    Parameters
    ----------
    result : RunResult
        The study.
    legend : bool
        Whether the chart has a legend.
    trials : collection of int, optional
        The trials that are drawn; by default all. The legend counts all.
    points : int, optional
        How many points a line has at most; by default all. The last and the best are among them.
    """
    best, mode = result.summary()["best_trial"], result.scheduler.mode
    curves, names = _some_curves(result, trials, points)
    count = curves["trial"].n_unique()
    levels = [] if result.spec.until_return else [float(one) for one in result.scheduler.levels]
    scale = _heights(curves, mode)
    outside = _curves_beyond(result, curves, scale)
    first = float(curves["resource"].min()) if count else 1.0  # type: ignore[arg-type]
    along: dict[str, Any] = {
        "scale": alt.Scale(zero=False, nice=False),
        "axis": alt.Axis(format=",~f", grid=False),
    }
    if len(levels) > 2 and first > 0:
        along = _level_axis(levels, min(first, levels[0]) / 1.08, 1.12 * levels[-1], grid=False)
    x = alt.X("resource:Q", title=result.spec.time_attr, **along)
    title = f"{result.spec.metric} ({mode})" if count else "no reports"
    y = alt.Y("value:Q", title=title, **scale.encoding())
    colours = {
        names[status]: colour
        for status, colour in {"incumbent": MARKED, **STATUSES}.items()
        if status in names
    }
    below = legend_below(list(colours), WIDTH, symbolType="stroke", symbolSize=260)
    colour = coloured("status:N", colours, below if legend else None)
    faint = 0.9 if count <= FEW else max(0.15, min(0.8, 40 / count))
    layers = [alt.Chart(data({"resource": one} for one in levels)).mark_rule(opacity=0.35).encode(x=x)]
    for is_best in (False, True):
        mine = curves.filter(pl.col("trial").eq_missing(best) == is_best)
        reports = alt.Chart(data(mine.to_dicts()))
        base = reports.encode(x=x, y=y, color=colour, detail="trial:N")
        width, size, opacity = (2.6, 70, 1.0) if is_best else (1.2, 14, faint)
        end = base.transform_filter("datum.best" if is_best else "datum.last")
        layers += [
            base.mark_line(clip=True, strokeWidth=width, opacity=opacity),
            end.mark_point(clip=True, filled=True, size=size, opacity=min(1.0, 2 * opacity)),
        ]
    if count <= FEW:
        numbers = alt.Chart(data(_numbers(curves, scale)))
        text = numbers.mark_text(align="left", dx=6, fontSize=10)
        layers.append(text.encode(x=x, y=y, text="trial:N", color=colour))
    parts = [
        f"{result.scheduler.type} of {result.spec.train}",
        plural(result.workers, "worker"),
        plural(result.scheduler.started, "trial"),
        *([outside] if outside else []),
    ]
    return alt.layer(*layers).properties(
        width=WIDTH, height=320, title=_title("Training curves", ", ".join(parts))
    )


def curves_beyond(
    result: RunResult | SimulatedResult, trials: Collection[int] | None = None, points: int | None = None
) -> str:
    """Say how many trials have values beyond the axis of `training_curves`; empty if none has."""
    curves, _ = _some_curves(result, trials, points)
    return _curves_beyond(result, curves, _heights(curves, result.scheduler.mode))


def _curves_beyond(result: RunResult | SimulatedResult, curves: pl.DataFrame, scale: _Scale) -> str:
    (low, high), value, mode = scale.ends, pl.col("value"), result.scheduler.mode
    count = curves.filter(value < low if mode == "max" else value > high)["trial"].n_unique()
    side = f"below {low:.4g}" if mode == "max" else f"above {high:.4g}"
    verb = "has" if count == 1 else "have"
    return f"{plural(count, 'trial')} {verb} values beyond the axis, {side}" if count else ""


def _some_curves(
    result: RunResult | SimulatedResult, trials: Collection[int] | None, points: int | None
) -> tuple[pl.DataFrame, dict[str, str]]:
    """Return the reports to draw, and the names in the legend, as `curves_of` does."""
    curves, names = curves_of(result, result.summary()["best_trial"])
    if trials is not None:
        curves = curves.filter(pl.col("trial").is_in(list(trials)))
    if points is not None:
        step = (pl.len() / points).ceil().clip(1).cast(pl.Int64)
        kept = (pl.int_range(pl.len()) % step).over("trial") == 0
        curves = curves.filter(kept | pl.col("last") | pl.col("best"))
    return curves, names


def curves_of(
    result: RunResult | SimulatedResult, best: object = None
) -> tuple[pl.DataFrame, dict[str, str]]:
    """Return the reports of a number, each resource of a trial once, and the names in the legend.

    Returns
    -------
    reports : polars.DataFrame
        In the order of trial and resource. Columns: trial, status (as in the legend), resource, value, and
        whether it is the ``last`` and the ``best`` of its trial.
    names : dict
        The names of each status, with its number of trials, and of the incumbent.
    """
    rows = result.reports.filter(pl.col("value").is_finite())
    rows = rows.unique(["trial", "resource"], keep="last", maintain_order=True).sort("trial", "resource")
    rows = rows.join(result.trials.select("trial", "status"), on="trial", maintain_order="left")
    ends = rows.unique("trial")
    names = {}
    for status in ends.filter(pl.col("trial").eq_missing(best))["status"]:
        names["incumbent"] = f"incumbent: trial {best}, {status}"
    counts = {status: int((ends["status"] == status).sum()) for status in reversed(STATUSES)}
    names |= {status: f"{count:,} {status}" for status, count in counts.items() if count}
    kind = pl.when(pl.col("trial").eq_missing(best)).then(pl.lit("incumbent")).otherwise("status")
    value, place = pl.col("value"), pl.int_range(pl.len())
    top = value.arg_max() if result.scheduler.mode == "max" else value.arg_min()
    reports = rows.select(
        "trial",
        kind.replace_strict(names, return_dtype=pl.String).alias("status"),
        "resource",
        "value",
        last=(place == pl.len() - 1).over("trial"),
        best=(place == top).over("trial"),
    )
    return reports, names


def _heights(curves: pl.DataFrame, mode: str) -> _Scale:
    """Return the axis, which leaves outlying values out to give the others room."""
    if curves.is_empty():
        return _Scale(0.0, 1.0)
    sign = 1.0 if mode == "max" else -1.0
    first = pl.col("trial").is_first_distinct()
    ends = pl.concat([curves.filter(first), curves.filter("last")])["value"].to_numpy()
    low, high = np.quantile(sign * ends, (0.25, 0.75))
    values = curves["value"].to_numpy()
    inside = values[sign * values >= low - FAR * (high - low)]
    return _Scale(float(inside.min()), float(inside.max()))


def _numbers(curves: pl.DataFrame, scale: _Scale) -> list[Row]:
    """Place the numbers of trials beside the ends of their lines, without overlap."""
    below: dict[float, float] = {}  # by resource: the height of the last number
    rows: list[Row] = []
    for end in curves.filter("last").sort("value", maintain_order=True).iter_rows(named=True):
        at, height = end["resource"], scale.share(end["value"])
        if 0 <= height <= 1:
            below[at] = height = max(height, below.get(at, -1.0) + 0.04)
            place = {"resource": at, "value": scale.value(height)}
            rows.append({"trial": end["trial"], "status": end["status"], **place})
    return rows


@dataclass(frozen=True)
class _Scale:
    """An axis from `low` to `high`, with a margin; logarithmic where that is over several powers of ten."""

    low: float
    high: float

    @property
    def is_log(self) -> bool:
        return self.low > 0 and self.high > WIDE * self.low

    @property
    def ends(self) -> tuple[float, float]:
        if self.is_log:
            margin = (self.high / self.low) ** 0.05
            return self.low / margin, self.high * margin
        margin = 0.05 * (self.high - self.low) or abs(self.low) * 0.05 or 1.0
        return self.low - margin, self.high + margin

    def share(self, value: float) -> float:
        """Return the height of a value as a share of the axis."""
        low, high = self.ends
        if not self.is_log:
            return (value - low) / (high - low)
        return float(np.log(value / low) / np.log(high / low)) if value > 0 else -1.0

    def value(self, share: float) -> float:
        low, high = self.ends
        return float(low * (high / low) ** share) if self.is_log else low + share * (high - low)

    def encoding(self) -> dict[str, Any]:
        low, high = self.ends
        if self.is_log:
            return log_scale(low, high)
        return {
            "scale": alt.Scale(domain=[low, high], nice=False, zero=False),
            "axis": alt.Axis(format=",~f"),
        }
