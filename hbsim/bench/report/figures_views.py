"""What is diagnosed together: a task, or, of many tasks, the mean of those in a setting."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from hbsim.bench.report.model import BracketRow, Regrets, Report, RungRow, Shares, Task

__all__ = ["FEW_TASKS", "View", "by_setting", "mean_over_groups", "views"]

FEW_TASKS: Final = 6  # up to so many, each has its own figures and tables

_Row = TypeVar("_Row", RungRow, Regrets, BracketRow, Shares)


@dataclass(frozen=True)
class View:
    """The diagnosis of a task, or the mean of a setting's tasks: over those of a group, then over groups.

    Attributes
    ----------
    title : str
        What it is of.
    texts : tuple of str
        What names of its files are made from.
    ranked : tuple of str
        The variants, best first: by score on the task, or by mean rank in the setting.
    rungs, regrets, brackets, shares : tuples
        As of a `Task`; counts of rungs are sums.
    """

    title: str
    texts: tuple[str, ...]
    ranked: tuple[str, ...]
    rungs: tuple[RungRow, ...]
    regrets: tuple[Regrets, ...]
    brackets: tuple[BracketRow, ...]
    shares: tuple[Shares, ...]

    def order(self, names: Iterable[str]) -> list[str]:
        """Return `names`, once each, best first; those without a rank come last, as they stand."""
        place = {name: index for index, name in enumerate(self.ranked)}
        return sorted(dict.fromkeys(names), key=lambda name: place.get(name, len(place)))


def by_setting(tasks: Sequence[Task]) -> dict[str, list[Task]]:
    """Return the tasks of each setting, in their order."""
    found: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        found[task.setting].append(task)
    return dict(found)


def views(report: Report) -> list[View]:
    """Return a view of each task, or, where there are more than `FEW_TASKS`, of each setting."""
    if len(report.tasks) <= FEW_TASKS:
        return [_of_task(task) for task in report.tasks]
    ranked = {one.setting: one.variants for one in report.across if one.measure == "score"}
    names = tuple(variant.name for variant in report.variants)
    return [
        _of_setting(setting, tasks, ranked.get(setting, names))
        for setting, tasks in by_setting(report.tasks).items()
    ]


def _of_task(task: Task) -> View:
    return View(
        title=task.name,
        texts=(task.surrogate, task.setting),
        ranked=tuple(row.variant for row in task.rows),
        rungs=task.rungs,
        regrets=task.regrets,
        brackets=task.brackets,
        shares=task.shares,
    )


def _of_setting(setting: str, tasks: Sequence[Task], ranked: tuple[str, ...]) -> View:
    if len(tasks) == 1:
        return _of_task(tasks[0])
    groups = [task.group for task in tasks]
    return View(
        title=f"{setting}: mean of {len(tasks)} tasks",
        texts=(setting,),
        ranked=ranked,
        rungs=_rungs(groups, [task.rungs for task in tasks]),
        regrets=_regrets(groups, [task.regrets for task in tasks]),
        brackets=_brackets(groups, [task.brackets for task in tasks]),
        shares=_shares(groups, [task.shares for task in tasks]),
    )


def mean_over_groups(values: Iterable[tuple[str, float]]) -> float:
    """Return the mean over groups of the means within them; NaN counts as not there.

    Parameters
    ----------
    values : iterable of (group, value)
    """
    found: dict[str, list[float]] = defaultdict(list)
    for group, value in values:
        if not math.isnan(value):
            found[group].append(value)
    if not found:
        return math.nan
    return math.fsum(math.fsum(part) / len(part) for part in found.values()) / len(found)


def _collected(
    groups: Sequence[str], parts: Sequence[tuple[_Row, ...]], key: Callable[[_Row], tuple[object, ...]]
) -> list[list[tuple[str, _Row]]]:
    """Return the rows of all tasks that have the same key, each with its task's group."""
    found: dict[tuple[object, ...], list[tuple[str, _Row]]] = defaultdict(list)
    for group, rows in zip(groups, parts, strict=True):
        for row in rows:
            found[key(row)].append((group, row))
    return list(found.values())


def _mean(rows: Sequence[tuple[str, _Row]], name: str) -> float:
    return mean_over_groups((group, float(getattr(row, name))) for group, row in rows)


def _rungs(groups: Sequence[str], parts: Sequence[tuple[RungRow, ...]]) -> tuple[RungRow, ...]:
    made = []
    for rows in _collected(groups, parts, lambda row: (row.variant, row.bracket, row.level)):
        first = rows[0][1]
        made.append(
            RungRow(
                variant=first.variant,
                bracket=first.bracket,
                level=first.level,
                recorded=sum(row.recorded for _, row in rows),
                stopped=sum(row.stopped for _, row in rows),
                better=sum(row.better for _, row in rows),
                false_promotions=sum(row.false_promotions for _, row in rows),
                loss=_mean(rows, "loss"),
            )
        )
    return tuple(made)


def _regrets(groups: Sequence[str], parts: Sequence[tuple[Regrets, ...]]) -> tuple[Regrets, ...]:
    names = "sampling", "decisions", "unfinished", "choice"
    found = _collected(groups, parts, lambda row: (row.variant,))
    return tuple(Regrets(rows[0][1].variant, *(_mean(rows, name) for name in names)) for rows in found)


def _brackets(groups: Sequence[str], parts: Sequence[tuple[BracketRow, ...]]) -> tuple[BracketRow, ...]:
    names = "trials", "resource", "winners"
    found = _collected(groups, parts, lambda row: (row.variant, row.bracket))
    return tuple(
        BracketRow(rows[0][1].variant, rows[0][1].bracket, *(_mean(rows, name) for name in names))
        for rows in found
    )


def _shares(groups: Sequence[str], parts: Sequence[tuple[Shares, ...]]) -> tuple[Shares, ...]:
    names = "training", "retrained", "overhead", "idle", "absent", "saved"
    found = _collected(groups, parts, lambda row: (row.variant,))
    return tuple(Shares(rows[0][1].variant, *(_mean(rows, name) for name in names)) for rows in found)
