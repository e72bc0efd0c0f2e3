"""The figures of two pages in docs/, and all their tables, made anew: `python -m benchmarks.choosing --help`.

Comparisons are run once, and kept in `choosing.json`, which the pages are filled from. The same pages give
the same bytes.
"""

from __future__ import annotations

import argparse
import difflib
import json
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import altair as alt

import hbsim
from benchmarks.doc_pages import (
    PageError,
    Row,
    commands,
    filled,
    loose_figures,
    rows_of,
    run_comparison,
    show,
)
from benchmarks.measure import ROOT, say
from benchmarks.pages import rounded, shrink, write_json
from hbsim.bench.chart_style import COLOURS, DASHES, data, log_scale, save

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


FOLDER: Final = ROOT / "results" / "choosing"
PAGES: Final = (
    *(ROOT / "docs" / "explanation" / name for name in ("choosing.md", "stopping-rules.md")),
    FOLDER / "tables.md",
)
KEPT: Final = "choosing.json"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check",
        action="store_true",
        help="say what differs from what is kept; exit with 1 if anything does",
    )
    parser.add_argument("--pages", action="store_true", help="run only what is not kept: fill the pages")
    parser.add_argument("--out", type=Path, default=FOLDER, help="a folder for what is kept, and pictures")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    return parser.parse_args(arguments)


def comparisons() -> list[list[str]]:
    """Return the words of the comparisons on the pages."""
    found = [words for page in PAGES if page.exists() for words in commands(page.read_text("utf-8"))]
    return [words for words in found if words[:2] == ["hbsim", "compare"]]


def kept_rows(content: dict[str, Any], words: list[str]) -> list[Row]:
    """Return the rows of a comparison that are kept.

    Raises
    ------
    PageError
        There are none.
    """
    try:
        rows: list[Row] = content["comparisons"][shlex.join(words)]
    except KeyError:
        raise PageError(f"{shlex.join(words)}: is not kept; python -m benchmarks.choosing runs it") from None
    return rows


def update(page: Path, content: dict[str, Any], check: bool) -> bool:
    """Fill a page; return whether it was as it should be."""
    before = page.read_text("utf-8")
    after = filled(before, partial(show, compared=partial(kept_rows, content)))
    loose = list(loose_figures(after))
    for figure in loose:
        say(f"{page.name}: no command of its section prints {figure}")
    old, new = (text.splitlines(keepends=True) for text in (before, after))
    sys.stderr.writelines(difflib.unified_diff(old, new, page.name, "made anew", n=0))
    if not check:
        page.write_text(after, "utf-8")
    return before == after and not loose


def measure(kept: dict[str, Any], path: Path, jobs: int, is_new: bool) -> dict[str, Any]:
    """Run comparisons, those that are kept too if `is_new`, and write what they came to after each."""
    content: dict[str, Any] = {**kept, "command": "python -m benchmarks.choosing", "comparisons": {}}
    for words in comparisons():
        name = shlex.join(words)
        known = None if is_new else kept.get("comparisons", {}).get(name)
        if known is None:
            say(name)
            known = rounded(run_comparison(words, jobs))
        content["comparisons"][name] = known
        write_json(path, content)
    return content


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    options = parse(arguments)
    path = options.out / KEPT
    content = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    if not options.check:
        content = measure(content, path, options.jobs, is_new=not options.pages)
    good = [update(page, content, options.check) for page in PAGES if page.exists()]
    if options.check:
        sys.exit(0 if all(good) else 1)
    if not options.pages:
        write_json(path, {**content, **draw(options.out, options.jobs)})


if __name__ == "__main__":
    main()
