"""The figures that explain hbsim in docs/explanation, drawn by code: `python -m benchmarks.doc_figures`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import altair as alt

from benchmarks.measure import ROOT
from benchmarks.pages import shrink
from hbsim.bench.chart_style import COLOURS, GREY, Row, data, save
from hbsim.core import Report, make_scheduler

FOLDER: Final = ROOT / "docs" / "pictures"

# Of rungs. Nine trials: the best at level 1 are 0, 5 and 7, in this order; at level 3 it is 7.
ERRORS: Final[dict[int, Any]] = {
    1: [0.30, 0.60, 0.70, 0.65, 0.55, 0.35, 0.58, 0.40, 0.62],
    3: {0: 0.28, 5: 0.26, 7: 0.20},
}
STEPS: Final = (3, 7, 11, 13)  # reports so far
STATES: Final = {"waits": GREY, "went on": COLOURS[4], "goes on now": COLOURS[1], "complete": COLOURS[2]}


def error(trial: int, level: float) -> float:
    """Return what a trial reports at a level."""
    return ERRORS[1][trial] if level == 1 else ERRORS[3].get(trial, 0.5)


def walk() -> Iterator[tuple[int, list[tuple[int, int]], tuple[int, int] | None]]:
    """Give, after each report of one worker, their number, the reports so far and what trains next."""
    scheduler = make_scheduler("promotion", max_t=9, num_trials=9, mode="min", straight_on=False)
    reports: list[tuple[int, int]] = []
    job = scheduler.ask()
    while job:
        reports.append((job.trial, int(job.stop)))
        scheduler.tell(Report(job.trial, job.stop, error(job.trial, job.stop)))
        job = scheduler.ask()
        yield len(reports), list(reports), (job.trial, int(job.stop)) if job else None


def rungs() -> Any:
    """Return the figure of rungs that fill: a panel after each of a few reports."""
    panels = [_panel(*step) for step in walk() if step[0] in STEPS]
    return alt.vconcat(alt.hconcat(*panels[:2]), alt.hconcat(*panels[2:]))


def _panel(number: int, reports: list[tuple[int, int]], following: tuple[int, int] | None) -> Any:
    rows: list[Row] = []
    for level in (1, 3, 9):
        here = [trial for trial, at in reports if at == level]
        for place, trial in enumerate(here):
            above = (trial, 3 * level)
            state = "goes on now" if above == following else "went on" if above in reports else "waits"
            state = "complete" if level == 9 else state
            rows.append({"rung": f"level {level}", "place": place + 1, "trial": str(trial), "state": state})
    scale = alt.Scale(domain=list(STATES), range=list(STATES.values()))
    x = alt.X("place:Q", title=None, axis=None, scale=alt.Scale(domain=[0.3, 9.7]))
    y = alt.Y("rung:N", title=None, sort=["level 9", "level 3", "level 1"])
    y.scale = alt.Scale(domain=["level 9", "level 3", "level 1"])
    base = alt.Chart(data(rows)).encode(x=x, y=y)
    circles = base.mark_circle(size=560, opacity=1).encode(
        color=alt.Color("state:N", scale=scale, legend=alt.Legend(title=None))
    )
    numbers = base.mark_text(color="white", fontWeight="bold", fontSize=12).encode(text="trial:N")
    if following is None:
        says = "nothing is promotable, and no trial is left"
    elif following[1] == 1:
        says = f"trial {following[0]} starts"
    else:
        says = f"trial {following[0]} goes on to level {following[1]}"
    title = alt.TitleParams(f"After {number} reports", subtitle=f"Next: {says}")
    return alt.layer(circles, numbers).properties(width=330, height=120, title=title)


# Of rooms, from the top: imports go down.
ROOMS: Final = (
    (("hbsim/cli", "the command line"),),
    (
        ("hbsim/bench", "comparisons, reports"),
        ("hbsim/planning", "plans"),
        ("hbsim/validation", "the simulator checked"),
        ("hbsim/autotorch", "AutoTorch's classes"),
        ("hbsim/integrations", "training libraries"),
    ),
    (("hbsim/study", "what you call: run, simulate, record, load, show"),),
    (("hbsim/simulation", "simulated time"), ("executors", "real processes, here and on other machines")),
    (("hbsim/runner", "the loop, the journal, the tables of a study"),),
    (("hbsim/searchers", "choose configurations"), ("surrogates", "learning curves")),
    (("hbsim/core", "schedulers: no clock, no files, no threads"),),
)


def rooms() -> Any:
    """Return the figure of the package's rooms."""
    rows: list[Row] = []
    for place, row in enumerate(ROOMS):
        width = 12 / len(row)
        for number, (name, what) in enumerate(row):
            left, top = number * width, len(ROOMS) - place
            box = {"left": left + 0.06, "right": left + width - 0.06, "top": top - 0.08, "bottom": top - 0.92}
            rows.append(
                {**box, "name": name, "what": what, "x": left + width / 2, "core": name == "hbsim/core"}
            )
    base = alt.Chart(data(rows))
    hidden = {"axis": None, "title": None}
    x = alt.X("left:Q", scale=alt.Scale(domain=[0, 12]), **hidden)
    boxes = base.mark_rect(cornerRadius=4, stroke=COLOURS[0], strokeWidth=1).encode(
        x=x,
        x2="right:Q",
        y=alt.Y("bottom:Q", scale=alt.Scale(domain=[0, len(ROOMS)]), **hidden),
        y2="top:Q",
        color=alt.Color(
            "core:N", scale=alt.Scale(domain=[False, True], range=["#eaf2fa", "#bcd8ef"]), legend=None
        ),
    )
    texts = [
        base.transform_calculate(middle=f"(datum.top + datum.bottom) / 2 + {up}")
        .mark_text(fontSize=size, fontWeight=weight, color="#1d2126")
        .encode(x="x:Q", y="middle:Q", text=f"{field}:N")
        for field, up, size, weight in (("name", 0.17, 13, "bold"), ("what", -0.17, 11, "normal"))
    ]
    return alt.layer(boxes, *texts).properties(width=720, height=52 * len(ROOMS))


FIGURES: Final = {"rungs-fill": rungs, "rooms": rooms}


def main() -> None:
    """Draw all figures."""
    for name, draw in FIGURES.items():
        save(draw(), FOLDER / f"{name}.png")
        shrink(FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
