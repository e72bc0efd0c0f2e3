"""The picture that `benchmarks.stopping_rules` draws."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from benchmarks.plots import COLOURS, INK, MARKERS, clean, new_figure, save
from benchmarks.rules_curves import BASE
from hbsim.core.rungs import RULES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

Row: TypeAlias = dict[str, Any]

WIDTH: Final = 15.0  # inches
HEIGHT: Final = 6.0
STEP: Final = 0.22  # between the rules of a set of curves
OTHERS: Final = [(place, rule) for place, rule in enumerate(RULES) if rule != BASE]
MIDDLE: Final = sum(place for place, _ in OTHERS) / len(OTHERS)


def draw(curves: list[Row], path: Path) -> None:
    """Draw what each rule trains a trial and its regret, both beside the base rule's."""
    figure = new_figure(WIDTH, HEIGHT)
    budgets = curves[0]["equal_time"]
    panels = figure.subplots(1, 2 + len(budgets), sharey=True)
    _costs(panels[0], curves)
    trials = curves[0]["to_the_end"][-1]["trials"]
    ends = [entry["to_the_end"][-1]["rules"] for entry in curves]
    _regrets(panels[1], ends, f"regret after the same {trials} trials")
    for place, axes in enumerate(panels[2:]):
        rules = [_in_time(entry["equal_time"][place]["rules"]) for entry in curves]
        _regrets(axes, rules, f"regret in the same time, {budgets[place]['full_runs']:g} full runs")
    panels[0].set_yticks(range(len(curves)), [_name(entry["title"]) for entry in curves])
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    title = (
        f"Stopping rules beside {BASE!r}: what they train, and what they miss (left is less; 95 % intervals)"
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold", color=INK)
    save(figure, path)


def _name(title: str) -> str:
    """Break a long name over lines."""
    return title.replace(",", ",\n") if "," in title else title.replace(":", ":\n")


def _in_time(rules: Row) -> Row | None:
    if any(found["out_of_trials"] for found in rules.values()):
        return None
    return rules


def _height(row: int, place: int) -> float:
    return row + STEP * (place - MIDDLE)


def _costs(axes: Axes, curves: list[Row]) -> None:
    size = curves[0]["to_the_end"][-1]
    ends = [entry["to_the_end"][-1]["rules"] for entry in curves]
    for place, rule in OTHERS:
        x = [100 * (rules[rule]["trained_a_trial"] / rules[BASE]["trained_a_trial"] - 1) for rules in ends]
        y = [_height(row, place) for row in range(len(curves))]
        axes.plot(x, y, MARKERS[place], color=COLOURS[place], markersize=7, label=rule)
    _frame(axes, f"units trained a trial, {size['trials']} trials", f"% more than {BASE}")


def _regrets(axes: Axes, sets: list[Row | None], title: str) -> None:
    """Draw differences of regret with their intervals; None is a set of curves that has too few rows."""
    for row, rules in enumerate(sets):
        base = 0.0 if rules is None else rules[BASE]["regret"]
        if rules is None or not base:
            why = "too few rows" if rules is None else f"{BASE} misses nothing"
            axes.annotate(why, (0, row), (6, 0), textcoords="offset points", va="center")
            continue
        for place, rule in OTHERS:
            mean, low, high = (
                100 * rules[rule]["difference"][name] / base for name in ("mean", "low", "high")
            )
            y = _height(row, place)
            axes.plot([low, high], [y, y], color=COLOURS[place], linewidth=1.6)
            axes.plot([mean], [y], MARKERS[place], color=COLOURS[place], markersize=7)
    _frame(axes, title, f"% of {BASE}'s median regret")


def _frame(axes: Axes, title: str, label: str) -> None:
    clean(axes)
    axes.axvline(0, color=INK, linewidth=1.0)
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.set_xlabel(label)
