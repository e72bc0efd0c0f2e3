"""Tables of the diagnosis: where regret came from, what early decisions cost, how time was spent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from hbsim.bench.report.figures_views import View, views
from hbsim.bench.report.model import Regrets, Report, RungRow
from hbsim.bench.report.tables_grid import Grid, row
from hbsim.bench.report.tables_numbers import NONE, decimals, number, percent
from hbsim.bench.statistics import Interval

__all__ = ["diagnosis_grids"]

MOST_RUNGS: Final = 60  # rows: with more, rungs have no table


def diagnosis_grids(report: Report) -> list[Grid]:
    """Return up to three tables a view: regret and decisions, rungs, workers' time."""
    made = []
    for view in views(report):
        if view.regrets or view.rungs:
            made.append(_decisions(view))
        if 0 < len(view.rungs) <= MOST_RUNGS:
            made.append(_rungs(view))
        if view.shares:
            made.append(_shares(view))
    return made


def _digits(values: Iterable[float]) -> int:
    return decimals(Interval(value, math.nan, math.nan) for value in values)


def _parts(one: Regrets) -> list[float]:
    return [one.sampling, one.decisions, one.unfinished, one.choice]


def _decisions(view: View) -> Grid:
    regrets = {one.variant: one for one in view.regrets}
    digits = _digits(sum(_parts(one)) for one in view.regrets)
    lines = []
    for name in dict.fromkeys([*regrets, *(one.variant for one in view.rungs)]):
        values = _parts(regrets[name]) if name in regrets else [math.nan] * 4
        shown = [number(value, digits) for value in (*values, sum(values))]
        lines.append(row(name, *shown, *_counts([one for one in view.rungs if one.variant == name])))
    return Grid(
        kind="decisions",
        texts=view.texts,
        caption=f"{view.title}: the parts of the final normalised regret, and early decisions at all rungs: "
        "trials that were stopped, those of them that would have ended better than the best that went on, "
        "and those that went on without being among the rung's best at R, of all that went on.",
        headers=(
            *("variant", "sampling", "decisions", "unfinished", "choice", "sum"),
            *("stopped", "better", "false promotions"),
        ),
        align="l" + "r" * 8,
        rows=tuple(lines),
    )


def _counts(rungs: Sequence[RungRow]) -> list[str]:
    if not rungs:
        return [NONE, NONE, NONE]
    stopped = sum(one.stopped for one in rungs)
    went_on = sum(one.recorded for one in rungs) - stopped
    better, false = sum(one.better for one in rungs), sum(one.false_promotions for one in rungs)
    return [
        f"{stopped:,}",
        f"{better:,} ({percent(better / stopped)})" if stopped else f"{better:,}",
        f"{false:,} ({percent(false / went_on)})" if went_on > 0 else f"{false:,}",
    ]


def _rungs(view: View) -> Grid:
    digits = _digits(one.loss for one in view.rungs)
    return Grid(
        kind="rungs",
        texts=view.texts,
        caption=f"{view.title}: what was decided at each rung, summed over seeds, and what that cost: the "
        "normalised regret between the best of those recorded and the best of those that went on.",
        headers=("variant", "bracket", "level", "recorded", "stopped", "better", "false promotions", "loss"),
        align="l" + "r" * 7,
        rows=tuple(
            row(
                one.variant,
                str(one.bracket),
                f"{one.level:g}",
                f"{one.recorded:,}",
                f"{one.stopped:,}",
                f"{one.better:,}",
                f"{one.false_promotions:,}",
                number(one.loss, digits),
            )
            for one in view.rungs
        ),
    )


def _shares(view: View) -> Grid:
    names = "training", "retrained", "overhead", "idle", "absent", "saved"
    return Grid(
        kind="time",
        texts=view.texts,
        caption=f"{view.title}: how workers spent their time, shares of all of it, and the training that "
        "resuming saved, over that which was done.",
        headers=("variant", *names),
        align="l" + "r" * len(names),
        rows=tuple(
            row(one.variant, *(percent(float(getattr(one, name))) for name in names)) for one in view.shares
        ),
    )
