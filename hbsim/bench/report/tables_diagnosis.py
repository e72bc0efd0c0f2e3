"""Tables of the diagnosis: where regret came from, what early decisions cost, how time was spent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from hbsim.bench.report.figures_parts import PARTS
from hbsim.bench.report.figures_views import View, views
from hbsim.bench.report.model import Regrets, Report, RungRow, Shares
from hbsim.bench.report.tables_grid import Grid, row
from hbsim.bench.report.tables_numbers import NONE, decimals, number, percent
from hbsim.bench.statistics import Interval

__all__ = ["all_training", "diagnosis_grids", "is_all_training"]

ALL: Final = 0.9995  # of the time: is shown as 100.0%
ALL_TRAINING: Final = "all workers trained all the time, nothing was trained again"
MOST_RUNGS: Final = 60  # rows: with more, rungs have no table


def diagnosis_grids(report: Report) -> list[Grid]:
    """Return up to three tables a view: regret and decisions, rungs, workers' time."""
    made = []
    for view in views(report):
        if view.regrets or view.rungs:
            made.append(_decisions(view))
        if 0 < len(view.rungs) <= MOST_RUNGS:
            made.append(_rungs(view))
        if view.shares and not is_all_training(view.shares):
            made.append(_shares(view))
    return made


def is_all_training(shares: Sequence[Shares]) -> bool:
    """Return whether workers did nothing but train, for the first time: there is nothing to show of that."""
    return all(one.training >= ALL for one in shares)


def all_training(report: Report) -> list[str]:
    """Say of what there is no table of the workers' time; nothing where there are all of them."""
    found = [view.title for view in views(report) if view.shares and is_all_training(view.shares)]
    return [f"{'; '.join(found)}: {ALL_TRAINING}"] if found else []


def _digits(values: Iterable[float]) -> int:
    return decimals(Interval(value, math.nan, math.nan) for value in values)


def _parts(one: Regrets) -> list[float]:
    return [float(getattr(one, part)) for part in PARTS["regrets"]]


def _decisions(view: View) -> Grid:
    regrets = {one.variant: one for one in view.regrets}
    digits = _digits(sum(_parts(one)) for one in view.regrets)
    lines = []
    for name in _by_sum(view.order([*regrets, *(one.variant for one in view.rungs)]), regrets):
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
            *("variant", *PARTS["regrets"], "sum"),
            *("stopped", "better", "false promotions"),
        ),
        align="l" + "r" * 8,
        rows=tuple(lines),
    )


def _by_sum(names: list[str], regrets: Mapping[str, Regrets]) -> list[str]:
    """Return names as they stand in the figure: the least sum first, those without one last."""
    sums = {name: sum(_parts(one)) for name, one in regrets.items()}
    return sorted(names, key=lambda name: math.inf if math.isnan(sums.get(name, math.nan)) else sums[name])


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
            for name in view.order(one.variant for one in view.rungs)
            for one in view.rungs
            if one.variant == name
        ),
    )


def _shares(view: View) -> Grid:
    parts = (*PARTS["shares"], "saved")
    shares = {one.variant: one for one in view.shares}
    return Grid(
        kind="time",
        texts=view.texts,
        caption=f"{view.title}: how workers spent their time, shares of all of it, and the training that "
        "resuming saved, over that which was done.",
        headers=("variant", *parts),
        align="l" + "r" * len(parts),
        rows=tuple(
            row(name, *(percent(float(getattr(shares[name], part))) for part in parts))
            for name in view.order(shares)
        ),
    )
