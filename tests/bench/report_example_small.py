"""Made-up reports with awkward names, as small or large as a test wants them."""

from __future__ import annotations

from dataclasses import replace

from hbsim.bench.conclusions import Interval
from hbsim.bench.report.model import SweepReport
from tests.bench.report.example import NAN, TYPES, example, without_results

NONE = Interval(NAN, NAN, NAN)
AWKWARD = ("a_b $x_1$", "50% & more #1", "{x} ~ ^ \\alpha", "pipe | `tick` *star* [link](x) <b>")


def names(count: int) -> tuple[str, ...]:
    """Return awkward names, then ordinary ones."""
    more = (f"{TYPES[i % 4]}, brackets={i % 5}, eta={2 + i % 3}, n={i}" for i in range(4, count))
    return (*AWKWARD, *more)[:count]


def report(tasks: int = 2, variants: int = 4, *, empty: bool = False, seed: int = 0) -> SweepReport:
    """Return a report of `tasks` tasks, two settings where there are several; all of it NaN if `empty`."""
    workers = (8, 32)[: min(2, tasks)]
    made = example(
        (tasks + 1) // 2,
        workers,
        ("busy cluster_1",),
        variants,
        names(variants),
        points=60,
        segments=100,
        seed=seed,
    )
    made = replace(made, title="Brackets & rungs: 100% of $x_1$", tasks=made.tasks[:tasks])
    return without_results(made) if empty else made
