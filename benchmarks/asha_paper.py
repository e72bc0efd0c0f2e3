"""The simulated workloads of the ASHA paper: `python -m benchmarks.asha_paper --help`.

Writes the same bytes each time, for the same version of matplotlib.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev, variance
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from benchmarks.asha_paper_cells import (
    DROPS,
    LIMIT,
    POLICIES,
    SEEDS,
    STDS,
    UNDROPPED,
    VARIANTS,
    cells,
    run_cells,
)
from benchmarks.measure import ROOT, say
from benchmarks.pages import (
    COLOURS,
    DASHES,
    INK,
    MARKERS,
    clean,
    joined,
    new_figure,
    publish,
    save,
    table,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# A policy of promotion, and the one of sha that belongs to it.
PAIRS: Final = tuple(zip(POLICIES["promotion"], POLICIES["sha"], strict=True))
OTHERS: Final = 10  # the fewest seeds that an independent figure was averaged over


class Figures:
    """What the cells came to, by variant, policy, std and p; the policy is of no account where p is 0."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._cells = {self._key(cell): cell for cell in content["cells"]}

    @staticmethod
    def _key(cell: Mapping[str, Any]) -> tuple[object, ...]:
        return cell["variant"], cell["policy"], cell["std"], cell["p"]

    def _cell(self, variant: str, policy: str, std: float, p: float) -> Mapping[str, Any]:
        return self._cells[variant, policy if p else UNDROPPED, std, p]

    def trained(self, variant: str, policy: str, std: float, p: float) -> list[int]:
        """Return how many trials were trained to R, by seed."""
        return list(self._cell(variant, policy, std, p)["trained"])

    def first(self, variant: str, policy: str, std: float, p: float) -> list[float]:
        """Return when the first was, by seed; the end, where there was none."""
        return [LIMIT if time is None else time for time in self._cell(variant, policy, std, p)["first"]]

    def without(self, variant: str, policy: str, std: float, p: float) -> int:
        """Return in how many seeds no trial was trained to R."""
        return list(self._cell(variant, policy, std, p)["first"]).count(None)

    def ratio(self, pair: tuple[str, str], std: float, p: float) -> float:
        """Return trials trained by promotion that pauses, over those of sha that overlaps."""
        ours, theirs = (fmean(self.trained(*key, std, p)) for key in _keys(pair))
        return ours / theirs

    def sooner(self, pair: tuple[str, str], std: float, p: float) -> tuple[float, float]:
        """Return by how much its first is sooner, and the standard error, by the same seeds."""
        ours, theirs = (self.first(*key, std, p) for key in _keys(pair))
        differences = [late - early for early, late in zip(ours, theirs, strict=True)]
        return fmean(differences), stdev(differences) / sqrt(len(differences))


def _keys(pair: tuple[str, str]) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("pausing", pair[0]), ("overlapping", pair[1])


def spread(sample: Sequence[float]) -> str:
    """Return mean and standard deviation over seeds, as counts or as times."""
    mean, deviation = fmean(sample), stdev(sample)
    return f"{mean:.0f} ({deviation:.0f})" if mean > 100 else f"{mean:.1f} ({deviation:.1f})"


def growth(ratio: Mapping[tuple[float, float], float]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return in how many of the steps from one std, then from one p, to the next a figure grows."""
    by_std = ([ratio[std, p] for std in STDS] for p in DROPS)
    by_p = ([ratio[std, p] for p in DROPS] for std in STDS)
    return _grows(by_std), _grows(by_p)


def _grows(rows: Iterable[Sequence[float]]) -> tuple[int, int]:
    steps = [later > earlier for row in rows for earlier, later in pairwise(row)]
    return sum(steps), len(steps)


def standard_errors(ours: Sequence[float], theirs: float, their_sd: float | None) -> float | None:
    """Return the difference in standard errors of a difference; None where nothing varies.

    Without `their_sd` theirs varies as ours does, over as few seeds as such a figure may have.
    """
    others = variance(ours) / OTHERS if their_sd is None else their_sd**2 / 25
    error = sqrt(variance(ours) / len(ours) + others)
    return (fmean(ours) - theirs) / error if error else None


# std, p, variant: trials trained to R, their standard deviation where it is known, and the first.
FIGURES: Final[dict[tuple[float, float, str], tuple[float, float | None, float]]] = {
    (0.0, 0.0, "pausing"): (43.5, 4.8, 354),
    (0.0, 0.0, "straight on"): (53.8, None, 304),
    (0.0, 0.0, "overlapping"): (33.0, None, 360),
    (0.56, 0.0, "pausing"): (28.7, 3.6, 462),
    (0.56, 0.0, "straight on"): (35.8, None, 394),
    (0.56, 0.0, "overlapping"): (21, None, 518),
    (1.33, 0.0, "pausing"): (18.3, 2.8, 607),
    (1.33, 0.0, "straight on"): (23.3, None, 498),
    (1.33, 0.0, "overlapping"): (12.4, None, 758),
    (1.33, 0.001, "pausing"): (10.5, 2.7, 694),
    (1.33, 0.001, "straight on"): (15.8, None, 590),
    (1.33, 0.001, "overlapping"): (8.5, None, 735),
}
INTRODUCTION: Final = """\
Another simulator's means for the same workloads: 25 seeds, for sha 10 to 25. Of the trials of promotion that
pauses its standard deviation is known. Inside: the two means differ by at most one standard deviation of ours
over seeds. Beside it the difference in standard errors of both means; where theirs is not known, as if its
figures varied as ours, over 10 seeds."""
CONCLUSION: Final = """\
With p=0.001 these figures come out where a lost job takes its place with it: `failed_places="held"`, and
`quota="nominal"` for sha (one retry gives these too). Where the place is passed on, promotion trains more.
Where sha takes a quarter of the results that are in, four trials of which one is lost send none to R."""


def calibration(figures: Figures) -> Iterator[str]:
    """Give the paragraphs of the comparison."""
    yield INTRODUCTION
    head = ("std", "p", "variant", "dropped jobs are", "", "theirs", "ours", "inside", "standard errors")
    rows = []
    for (std, p, variant), (trained, sd, first) in FIGURES.items():
        policies = list(POLICIES[str(VARIANTS[variant]["type"])]) if p else ["-"]
        for policy in policies:
            place = [f"{std:g}", f"{p:g}", variant, policy]
            key = (variant, policy, std, p)
            rows.append([*place, "trained", *_compared(figures.trained(*key), trained, sd)])
            rows.append([*place, "first", *_compared(figures.first(*key), first, None)])
    yield table(head, rows)
    yield CONCLUSION
    yield _exact(figures)


def _compared(ours: Sequence[float], theirs: float, sd: float | None) -> list[str]:
    off = standard_errors(ours, theirs, sd)
    shown = f"{theirs:g}" if sd is None else f"{theirs:g} ({sd:g})"
    return [
        shown,
        spread(ours),
        "yes" if inside(ours, theirs) else "no",
        "-" if off is None else f"{off:+.1f}",
    ]


def inside(ours: Sequence[float], theirs: float) -> bool:
    """Return whether a figure is within one standard deviation over seeds of ours, as it is printed."""
    digits = 0.5 if theirs > 100 else 0.05
    return abs(fmean(ours) - theirs) <= stdev(ours) + digits


def _exact(figures: Figures) -> str:
    """Say why the one figure without any spread is another: sha with neither noise nor failures."""
    (time,) = set(figures.first("overlapping", "-", 0.0, 0.0))
    return f"""\
Sha without noise and failures has no spread: all seeds have their first at {time:g}, the other simulator at
360. Many jobs end at the same time there. Here all of these ends are told before a job starts; where each
worker starts its next job before the next end is told, it is 360 here too."""


Policy = TypeVar("Policy")

SETTING: Final = f"""\
eta=4, r=1, R=256, 25 workers, {LIMIT:.0f} time units. Training takes the resource that is trained, times
1 + |z| with z ~ Normal(0, std); a job is dropped with probability p a time unit; a promoted or retried trial
trains from zero. Qualities are random, and trial i has the same quality, slowness and failures in all cells
of a seed. Where p is 0 all policies are the same. [What this shows](../../docs/explanation/asha-paper.md)."""
TITLES: Final = {
    "pausing": "promotion that always pauses (`straight_on=False`, the paper's ASHA)",
    "straight on": "promotion that goes straight on (`straight_on=True`)",
    "overlapping": "sha of 256 trials a bracket; an idle worker opens the next (`overlap=True`)",
    "waiting": "sha of 256 trials a bracket, one bracket after the other (`overlap=False`)",
}
TREND: Final = """\
Promotion that pauses over sha that overlaps, each under the same policy. More than 1 is more trials; a time
above 0 is sooner (in brackets its standard error, by the same seeds)."""


def render(content: dict[str, Any]) -> str:
    """Return the page, Markdown."""
    figures = Figures(content)
    seeds = content["seeds"]
    parts = [
        "# The simulated workloads of the ASHA paper",
        f"Written by `{content['command']}`, with [all figures](asha_paper.json): {seeds} seeds a cell.",
        SETTING,
        "![Trials trained to R, and the time of the first](workloads.png)",
        "![What becomes of a dropped job](policies.png)",
        f"## Trained to R, and when the first was\n\nMeans of {seeds} seeds (standard deviation over seeds).",
        f"A seed without any trial at R counts as {LIMIT:.0f}, so that the mean is a lower bound (≥).",
        *(part for variant in VARIANTS for part in _variant(figures, variant)),
        "## Asynchronous against synchronous",
        TREND,
        *_trend(figures),
        "## Against independent figures",
        *calibration(figures),
    ]
    return joined(*parts)


def _variant(figures: Figures, variant: str) -> Iterator[str]:
    def trained(policy: str, std: float, p: float) -> str:
        return spread(figures.trained(variant, policy, std, p))

    def first(policy: str, std: float, p: float) -> str:
        text = spread(figures.first(variant, policy, std, p))
        none = figures.without(variant, policy, std, p)
        return f"≥ {text}, {none} none" if none else text

    policies = {policy: policy for policy in POLICIES[str(VARIANTS[variant]["type"])]}
    yield f"### {TITLES[variant]}"
    yield "Trials trained to R:"
    yield _grid(policies, trained)
    yield "Time of the first:"
    yield _grid(policies, first)


def _trend(figures: Figures) -> Iterator[str]:
    def ratio(pair: tuple[str, str], std: float, p: float) -> str:
        return f"{figures.ratio(pair, std, p):.2f}"

    def sooner(pair: tuple[str, str], std: float, p: float) -> str:
        mean, error = figures.sooner(pair, std, p)
        return f"{mean:+.0f} ({error:.0f})"

    pairs = {_named(pair): pair for pair in PAIRS}
    yield "Trials trained to R, ratio of the means:"
    yield _grid(pairs, ratio)
    yield "The first, sooner by:"
    yield _grid(pairs, sooner)
    yield "\n".join(_steps(figures))


def _grid(policies: Mapping[str, Policy], cell: Callable[[Policy, float, float], str]) -> str:
    """Return a table with a row a std and policy, and a column a p."""
    head = ["std", "dropped jobs are", *(f"p={p:g}" for p in DROPS)]
    rows = [
        (f"{std:g}", name, *(cell(policy, std, p) for p in DROPS))
        for std in STDS
        for name, policy in policies.items()
    ]
    return table(head, rows)


def _named(pair: tuple[str, str]) -> str:
    return pair[0] if pair[0] == pair[1] else f"{pair[0]} / {pair[1]}"


def _steps(figures: Figures) -> Iterator[str]:
    yield "How often these grow from one std, or one p, to the next:\n"
    places = [(std, p) for std in STDS for p in DROPS]
    for pair in PAIRS:
        ratio = {place: figures.ratio(pair, *place) for place in places}
        sooner = {place: figures.sooner(pair, *place)[0] for place in places}
        more = sum(value > 1 for value in ratio.values())
        parts = [
            f"{what} with std in {up} of {ups}, with p in {along} of {alongs}"
            for what, values in (("trained", ratio), ("sooner", sooner))
            for (up, ups), (along, alongs) in [growth(values)]
        ]
        mean = fmean(ratio.values())
        counts = f"More trained in {more} of {len(ratio)} cells, {mean:.1f} times as many on average."
        yield f"- {_named(pair)}: {'; '.join(parts)}. {counts}"


Sample: TypeAlias = Callable[[float], Sequence[float]]  # p -> a figure by seed

NAMES: Final = {
    "pausing": "promotion, always pauses",
    "straight on": "promotion, goes straight on",
    "overlapping": "sha, brackets overlap",
    "waiting": "sha, one bracket at a time",
}
PAID: Final = {"promotion": "lost, place held", "sha": "lost, nominal quota"}  # of the first picture
ROWS: Final = ("trials trained to R", "time of the first")
STD: Final = 1.33  # of the second picture
LEGENDS: Final = {1: "lower left", 3: "upper left"}  # its columns with room for one, of each type
SIZE: Final = (13.0, 6.4)  # inches
NOTE: Final = (
    f"Means and twice their standard error; a seed without any trial at R counts as {LIMIT:.0f}. "
    "25 workers, eta=4, R=256, 2000 time units."
)


def save_workloads(content: Mapping[str, Any], path: Path) -> None:
    """Draw all variants against p, a column a std; a dropped job is lost, and its place with it."""
    figures = Figures(content)
    figure, grid = _panels(
        len(STDS), "Trained to R, and the first of them: a dropped job is lost, and its place with it"
    )
    lines: list[Line2D] = []
    for column, std in enumerate(STDS):
        grid[0][column].set_title(f"std {std:g}", fontsize=11, color=INK)
        lines = []
        for number, variant in enumerate(VARIANTS):
            policy = PAID[str(VARIANTS[variant]["type"])]
            samples = _samples(figures, variant, policy, std)
            lines.append(_line([grid[0][column], grid[1][column]], samples, number, NAMES[variant]))
    _finish(figure, grid)
    grid[0][-1].legend(handles=lines, loc="upper right", frameon=False, fontsize=9)
    save(figure, path)


def save_policies(content: Mapping[str, Any], path: Path) -> None:
    """Draw all policies against p at the largest std, a column a variant."""
    figures = Figures(content)
    figure, grid = _panels(len(VARIANTS), f"What becomes of a dropped job, at std {STD:g}")
    for column, variant in enumerate(VARIANTS):
        grid[0][column].set_title(NAMES[variant], fontsize=11, color=INK)
        lines = []
        for number, policy in enumerate(POLICIES[str(VARIANTS[variant]["type"])]):
            samples = _samples(figures, variant, policy, STD)
            lines.append(_line([grid[0][column], grid[1][column]], samples, number, policy))
        if column in LEGENDS:
            grid[0][column].legend(handles=lines, loc=LEGENDS[column], frameon=False, fontsize=9)
    _finish(figure, grid)
    save(figure, path)


def _panels(columns: int, title: str) -> tuple[Figure, Any]:
    figure = new_figure(*SIZE)
    grid = figure.subplots(len(ROWS), columns, sharex=True, sharey="row", squeeze=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
    return figure, grid


def _samples(figures: Figures, variant: str, policy: str, std: float) -> list[Sample]:
    return [
        lambda p: figures.trained(variant, policy, std, p),
        lambda p: figures.first(variant, policy, std, p),
    ]


def _line(column: Sequence[Axes], samples: Sequence[Sample], number: int, label: str) -> Line2D:
    """Draw a variant or policy in both rows of a column."""
    for axes, sample in zip(column, samples, strict=True):
        means = [fmean(sample(p)) for p in DROPS]
        bars = [2 * stdev(sample(p)) / sqrt(len(sample(p))) for p in DROPS]
        low = [mean - bar for mean, bar in zip(means, bars, strict=True)]
        high = [mean + bar for mean, bar in zip(means, bars, strict=True)]
        x = [1000 * p for p in DROPS]
        colour = COLOURS[number]
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        (line,) = axes.plot(
            x,
            means,
            color=colour,
            linestyle=DASHES[number],
            marker=MARKERS[number],
            markersize=5,
            label=label,
        )
    return line


def _finish(figure: Figure, grid: Any) -> None:
    for row, name in zip(grid, ROWS, strict=True):
        row[0].set_ylabel(name, fontsize=11, color=INK)
        for axes in row:
            clean(axes)
            axes.set_ylim(bottom=0)
    for axes in grid[-1]:
        axes.set_xticks([1000 * p for p in DROPS], ["0", "0.25", "0.5", "0.75", "1"])
    figure.supxlabel(
        f"p, probability a time unit that a job is dropped, in thousandths\n{NOTE}", fontsize=9.5, color=INK
    )


COMMAND: Final = "python -m benchmarks.asha_paper"
FOLDER: Final = ROOT / "results" / "asha_paper"


def collect(seeds: int, jobs: int) -> dict[str, Any]:
    """Run all cells; return what is written as JSON."""
    chosen = list(cells())
    found = []
    for number, figures in enumerate(run_cells(chosen, seeds, jobs), 1):
        found.append(dict(figures))
        if number % 20 == 0 or number == len(chosen):
            say(f"{number} of {len(chosen)} cells")
    return {
        "schema": 1,
        "command": COMMAND,
        "seeds": seeds,
        "time_units": LIMIT,
        "variants": VARIANTS,
        "policies": POLICIES,
        "cells": found,
    }


def write(content: dict[str, Any], out: Path) -> None:
    """Write the figures, the page and the pictures."""
    publish(out, "asha_paper", content, render(content), depth=2, page_name="table")
    save_workloads(content, out / "workloads.png")
    save_policies(content, out / "policies.png")


def main() -> None:
    """Run the workloads and write them down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER, help="a folder")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="studies a cell, seeds 0, 1, ...")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    options = parser.parse_args()
    write(collect(options.seeds, options.jobs), options.out)


if __name__ == "__main__":
    main()
