"""The style of all charts by Vega-Altair: theme, scales and legends, and how charts are written to files."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import altair as alt
import polars as pl

from hbsim.errors import OutputError, ParameterError

Chart: TypeAlias = alt.LayerChart | alt.FacetChart | alt.ConcatChart | alt.HConcatChart | alt.VConcatChart
Row: TypeAlias = dict[str, object]

VEGA_LITE: Final = alt.SCHEMA_VERSION.rpartition(".")[0].lstrip("v")  # the version of Altair's charts

# The look

WIDTH: Final = 330  # of the data, px; 96 are an inch
HEIGHT: Final = 210
ROW: Final = 19  # of a variant
FONT: Final = "Liberation Sans, Arial, Helvetica, sans-serif"  # vl-convert has the first: the same everywhere
# Okabe and Ito, "Color Universal Design" (2008); grey for black and yellow, to be seen on both grounds.
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7d7d7d")
DASHES: Final = ([1, 0], [6, 2], [2, 2], [7, 2, 2, 2])
GREY: Final = "#8b939c"
OVERHEAD: Final = "#b5bbc2"
# Invisible points on curves, which carry the tooltips.
HOVER: Final[dict[str, Any]] = {"clip": True, "opacity": 0, "size": 70}
UNITS: Final = (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0))


def theme(*, dark: bool = False) -> dict[str, Any]:
    """Return the configuration of Vega-Lite that all charts share."""
    ink, muted, line = ("#e6e9ed", "#a3abb5", "#353b43") if dark else ("#1d2126", "#59616b", "#e1e4e8")
    return {
        "background": "transparent" if dark else "white",
        "font": FONT,
        "padding": 6,
        "view": {"stroke": None},
        "axis": {
            "domainColor": muted,
            "gridColor": line,
            "labelColor": muted,
            "labelLimit": 300,
            "tickColor": muted,
            "tickSize": 4,
            "titleColor": ink,
            "titleFontWeight": "normal",
            "titlePadding": 6,
        },
        "header": {"labelColor": ink, "titleColor": ink, "labelFontSize": 11},
        "legend": {
            "columnPadding": 14,
            "labelColor": ink,
            "labelFontSize": 11,
            "labelLimit": 420,
            "orient": "bottom",
            "rowPadding": 3,
            "symbolSize": 80,
            "symbolStrokeWidth": 2,
            "title": None,
            "titleColor": ink,
        },
        "title": {
            "anchor": "start",
            "color": ink,
            "fontSize": 12,
            "fontWeight": "bold",
            "frame": "group",
            "limit": 900,
            "offset": 10,
            "subtitleColor": muted,
            "subtitleFontSize": 11,
            "subtitlePadding": 4,
        },
        "rule": {"color": muted},
        "text": {"color": ink, "fontSize": 11},
        "tick": {"color": ink},
        "point": {"color": ink},
        "range": {"category": list(COLOURS), "heatmap": {"scheme": "viridis"}},
    }


def save(chart: Chart, path: Path) -> None:
    """Write a chart as ``.png``, ``.svg`` or ``.pdf``.

    The same chart gives the same bytes, except as a PDF, whose fonts are in no fixed order.

    Raises
    ------
    ParameterError
        The name of the file has another ending.
    OutputError
        The file cannot be written.
    """
    kind = path.suffix.lower()
    if kind not in (".png", ".svg", ".pdf"):
        raise ParameterError("filename", str(path), "must end in .png, .svg or .pdf")
    try:
        path.write_bytes(file_content(svg_of(chart), kind))
    except OSError as error:
        raise OutputError(str(path), f"cannot be written: {error.strerror or error}") from error


def svg_of(chart: Chart) -> str:
    """Return a chart as SVG, without its tooltips and other interaction."""
    import vl_convert

    spec = _without_hover(chart.to_dict(validate=False))
    svg = vl_convert.vegalite_to_svg(spec, VEGA_LITE, config=theme(), allowed_base_urls=[])
    # Vega numbers clip paths across all charts of the process.
    places: dict[str, int] = {}
    pattern = r'(id="|url\(#)(clip|gradient_?)(\d+)'
    return re.sub(pattern, lambda m: f"{m[1]}{m[2]}{places.setdefault(m[2] + m[3], len(places))}", svg)


def file_content(svg: str, kind: str) -> bytes:
    """Convert a chart's SVG to the content of a file of a `kind`, such as ``.png``."""
    import vl_convert

    if kind == ".svg":
        return svg.encode()
    if kind == ".pdf":
        return bytes(vl_convert.svg_to_pdf(svg))
    return bytes(vl_convert.svg_to_png(svg, scale=2.0))


def _without_hover(part: Any) -> Any:
    if isinstance(part, list):
        return [
            _without_hover(one)
            for one in part
            if not (isinstance(one, dict) and one.get("mark") == {"type": "point", **HOVER})
        ]
    if isinstance(part, dict):
        return {key: one if key == "datasets" else _without_hover(one) for key, one in part.items()}
    return part


MOST: Final = 5000  # the most rows that Altair accepts in a frame


def data(rows: Iterable[Row]) -> pl.DataFrame | dict[str, Any]:
    """Return rows as a chart's data: a frame, or inline rows where a frame would be too long for Altair."""
    found = list(rows)
    if len(found) > MOST:
        return {"values": found}
    return pl.DataFrame(found, infer_schema_length=None)


def digits(value: float, count: int = 5) -> float | None:
    """Round a number to `count` digits; return None where it is not finite."""
    return float(f"{value:.{count}g}") if math.isfinite(value) else None


def legend_below(labels: Sequence[str], width: float, **more: Any) -> alt.Legend | None:
    """Return a legend below a chart, in as many columns as fit; None without labels."""
    if not labels:
        return None
    longest, total = max(map(len, labels)), sum(34 + 5.6 * len(label) for label in labels)
    columns = 0 if total <= width else max(1, int(width // (34 + 5.6 * longest)))
    return alt.Legend(columns=columns, symbolOpacity=1, **more)


def time_unit(end: float) -> tuple[str, float]:
    """Return the unit of an axis from 0 to `end` seconds, and its length in seconds."""
    return next(((name, length) for name, length in UNITS if end >= 5 * length), ("seconds", 1.0))


def ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Return the ticks of a logarithmic axis: 1, 2, 5 in each decade, or powers of ten over many decades."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for parts in ((1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0), (1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
        found = [float(f"{part}e{power}") for power in powers for part in parts]
        found = [one for one in found if low <= one <= high]
        if len(found) <= most:
            return found
    return found[:: -(-len(found) // most)]


def log_scale(low: float, high: float) -> dict[str, Any]:
    """Return the scale and the axis of a logarithmic encoding."""
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    return {"scale": scale, "axis": alt.Axis(values=ticks(low, high), format=",~g", labelOverlap="greedy")}


def number(name: str, **more: Any) -> alt.Tooltip:
    """Return the tooltip of a field of numbers."""
    return alt.Tooltip(f"{name}:Q", format=".4~g", **more)


def variant_rows(labels: Sequence[str]) -> alt.Y:
    """Return an axis with a row for each variant."""
    axis = alt.Axis(domain=False, ticks=False, labelPadding=8, grid=False)
    return alt.Y("variant:N", sort=list(labels), title=None, axis=axis)


def coloured(
    field: str, values: Mapping[str, Any], legend: alt.Legend | None, channel: Any = alt.Color
) -> Any:
    """Return an encoding of a text field by colour, dashes or shape, as `channel` says; without a title."""
    scale = alt.Scale(domain=list(values), range=list(values.values()))
    return channel(field, scale=scale, legend=legend, title=None)


def level_colours(count: int) -> list[str]:
    """Return a colour for each level, from light to dark, in an order that colour-blind readers see too."""
    viridis = (
        (253, 231, 37),
        (159, 218, 58),
        (74, 193, 109),
        (31, 161, 135),
        (39, 127, 142),
        (54, 92, 141),
        (70, 50, 127),
        (68, 1, 84),
    )
    made = []
    for index in range(count):
        place = 0.7 + 6.3 * index / max(1, count - 1)
        low, part = min(6, int(place)), place - min(6, int(place))
        mixed = (round(a + (b - a) * part) for a, b in zip(viridis[low], viridis[low + 1], strict=True))
        made.append("#" + "".join(f"{one:02x}" for one in mixed))
    return made


# Workers over time

OTHER: Final = "start-up, load, save"
GONE: Final = "absent"


def worker_bars(
    rows: pl.DataFrame | dict[str, Any], shown: Collection[str], levels: Sequence[float], workers: int
) -> alt.Chart:
    """Return a chart with a bar for each stretch of a worker's time, without a time axis.

    Parameters
    ----------
    rows : frame or mapping
        Columns worker, start, end and level: a text of `levels`, `OTHER` or `GONE`.
    shown : collection of str
        The levels in the legend, which leaves some out where there are very many.
    levels : sequence of float
        All levels that have a colour.
    workers : int
        How many workers have a row.
    """
    colours = {
        **dict(zip((f"{level:g}" for level in levels), level_colours(len(levels)), strict=False)),
        **OTHERS,
    }
    named = [level for level in colours if level in shown]
    legend = legend_below(
        [f"to {one}" for one in named],
        1.8 * WIDTH,
        values=[named[i] for i in spread(len(named))],
        symbolType="square",
        symbolStrokeWidth=0,
        labelExpr="test(/^[0-9]/, datum.label) ? 'to ' + datum.label : datum.label",
    )
    places = alt.Scale(domain=[workers - 0.5, -0.5], nice=False, zero=False)
    axis = alt.Axis(
        values=list(range(0, workers, 1 + workers // 12)),
        format=",d",
        labelOverlap=False,
        domain=False,
        ticks=False,
        grid=False,
    )
    return (
        alt.Chart(rows)
        .transform_calculate(top="datum.worker - 0.43", bottom="datum.worker + 0.43")
        .mark_rect(stroke="white", strokeWidth=0.3)
        .encode(
            x2="end:Q",
            y=alt.Y("top:Q", axis=axis, scale=places, title="worker"),
            y2="bottom:Q",
            color=coloured("level:N", colours, legend),
            tooltip=[alt.Tooltip("worker:Q"), alt.Tooltip("level:N"), number("start"), number("end")],
        )
    )


OTHERS: Final = {OTHER: OVERHEAD, GONE: "#f3dccf"}


def spread(count: int, most: int = 10) -> list[int]:
    """Return at most `most` evenly spread indices of `count` items, the first and the last included."""
    if count <= most:
        return list(range(count))
    return [round(index * (count - 1) / (most - 1)) for index in range(most)]
