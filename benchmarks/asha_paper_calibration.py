"""Figures that another simulator has for the same workloads, beside ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean, stdev
from typing import Final

from benchmarks.asha_paper_cells import POLICIES, VARIANTS
from benchmarks.asha_paper_figures import Figures, spread, standard_errors
from benchmarks.report import table

__all__ = ["FIGURES", "calibration", "inside"]

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
