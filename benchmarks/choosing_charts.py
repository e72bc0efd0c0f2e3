"""The pictures of docs/explanation/choosing.md: its comparisons, at more places."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import altair as alt

import hbsim
from benchmarks.measure import rounded, say
from benchmarks.page_output import Row, rows_of
from benchmarks.plots import shrink
from hbsim.bench.chart_style import COLOURS, DASHES, data, log_scale, save

__all__ = ["EARLY", "STARTS", "draw", "early_ranks", "workers"]

SEEDS: Final = 20  # where only counts are shown
FEWER: Final = 40  # of many comparisons
WORKERS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
KINDS: Final = (
    "promotion",
    "stopping",
    "sha,n=81",
    "sha,n=81,overlap=true",
    "hyperband",
    "hyperband,overlap=true",
)
EARLY: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
STARTS: Final = (
    "promotion",
    "promotion,grace_period=3",
    "promotion,grace_period=9",
    "promotion,brackets=3",
    "promotion,brackets=5",
)
SHAPES: Final = {"best": "diamond", "≈": "circle", "worse": "triangle-down"}
WIDTH: Final = 330
HEIGHT: Final = 240


def workers(jobs: int, counts: Sequence[int] = WORKERS) -> list[Row]:
    """Return how busy workers are, and how long 400 trials take, by how many workers there are."""
    return [
        {"workers": count, **row}
        for count in counts
        for row in rows_of(
            hbsim.compare(KINDS, surrogate="synthetic", workers=count, num_trials=400, seeds=SEEDS, jobs=jobs)
        )
    ]


def early_ranks(jobs: int) -> list[Row]:
    """Return how later starts and more brackets stand, by what early ranks say."""
    return [
        {"family": family, "early_rank": early, **row}
        for family in ("power", "exponential")
        for early in EARLY
        for row in rows_of(
            hbsim.compare(
                STARTS,
                surrogate=f"synthetic:family={family},early_rank={early:g}",
                workers=16,
                max_time=300,
                seeds=FEWER,
                jobs=jobs,
            )
        )
    ]


def draw(folder: Path, jobs: int) -> dict[str, Any]:
    """Run the comparisons, draw them, and return what they came to."""
    content = {}
    for name, compare, picture in (("workers", workers, _workers), ("early_ranks", early_ranks, _early)):
        say(name)
        content[name] = rounded(compare(jobs))
        save(picture(content[name]), folder / f"{name}.png")
        shrink(folder / f"{name}.png")
    return content


def _workers(rows: list[Row]) -> Any:
    shown = [
        {
            "workers": row["workers"],
            "variant": row["variant"],
            "busy": row["busy_share"],
            "minutes": row["simulated_seconds"] / 60,
        }
        for row in rows
    ]
    ends = min(row["minutes"] for row in shown), max(row["minutes"] for row in shown)
    busy = {"title": "share of worker time that is busy", "axis": alt.Axis(format=".0%")}
    minutes = {"title": "simulated minutes until 400 trials are done", **log_scale(*ends)}
    x = alt.X("workers:Q", title="workers", **log_scale(WORKERS[0], WORKERS[-1]))
    return alt.hconcat(
        *(
            _lines(shown, KINDS).encode(x=x, y=alt.Y(f"{name}:Q", **y))
            for name, y in (("busy", busy), ("minutes", minutes))
        ),
        title=f"Who keeps workers busy: synthetic curves, R = 81, mean of {SEEDS} seeds",
    )


def _early(rows: list[Row]) -> Any:
    panels = []
    for family in ("power", "exponential"):
        shown: list[dict[str, object]] = [
            {
                "early_rank": row["early_rank"],
                "variant": row["variant"],
                "regret": row["score"],
                "stands": row["these curves"],
            }
            for row in rows
            if row["family"] == family
        ]
        shape = alt.Scale(domain=list(SHAPES), range=list(SHAPES.values()))
        x = alt.X("early_rank:Q", title="early_rank: what ranks at level 1 say")
        y = alt.Y("regret:Q", title="normalised regret", scale=alt.Scale(domain=[0, _most(rows)]))
        lines = _lines(shown, STARTS).encode(x=x, y=y)
        points = alt.Chart(data(shown)).mark_point(filled=True, size=70, opacity=1)
        marks = points.encode(
            x=x,
            y=y,
            color=_colour(STARTS),
            shape=alt.Shape("stands:N", scale=shape, title=None),
        )
        panels.append(alt.layer(lines, marks).properties(title=f"family={family}"))
    return alt.hconcat(
        *panels, title=f"Later starts and more brackets: promotion, 16 workers, 300 s, {FEWER} seeds"
    )


def _most(rows: list[Row]) -> float:
    return 1.05 * max(row["score"] for row in rows)


def _colour(variants: Sequence[str]) -> alt.Color:
    scale = alt.Scale(domain=list(variants), range=list(COLOURS[: len(variants)]))
    return alt.Color("variant:N", scale=scale, title=None, legend=alt.Legend(columns=2))


def _lines(rows: list[Row], variants: Sequence[str]) -> alt.Chart:
    dashes = [DASHES[place % len(DASHES)] for place in range(len(variants))]
    dash = alt.Scale(domain=list(variants), range=dashes)
    return (
        alt.Chart(data(rows))
        .mark_line(strokeWidth=1.8)
        .encode(
            color=_colour(variants),
            strokeDash=alt.StrokeDash("variant:N", scale=dash, title=None, legend=alt.Legend(columns=2)),
        )
        .properties(width=WIDTH, height=HEIGHT)
    )
